//! Games: played over HTTP in the rooms where everybody plays, followed while they are on, and what was played.
//!
//! ```text
//! POST /games, .../join -> a seat        PUT .../moves -> play        DELETE -> forfeit       (module `play`)
//! GET  /games/{id}      -> the room while it is on, else the record store
//! GET  /games/{id}/live -> a WebSocket that tells every change                                (module `live`)
//! ```

mod live;
mod play;
mod tables;

pub use tables::{Following, GameNow, Stage, TableError, Tables, Wish};

use crate::accounts::is_account;
use crate::error::ErrorEnvelope;
use crate::identity::Authenticate;
use crate::router::PREFIX;
use crate::{ApiError, Json, MaybePlayer, Path, Query};
use axum::extract::State;
use everplay_accounts::Accounts;
use everplay_records::{Cursor, GameId, GamePlayer, Games, MAX_PAGE, Paging, PlayedGame, StoreError};
use everplay_types::{CustomerId, Identity, MAX_ID_LEN, timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Games of a page when nobody says.
const GAMES: u32 = 25;
/// Games of a page at most.
const MAX_GAMES: u32 = 100;
const _: () = assert!(MAX_GAMES <= MAX_PAGE, "the store gives at most so many at once");
/// How long an answer waits for a game that its room tells no longer, and the store not yet.
const SETTLING: Duration = Duration::from_secs(1);
/// Between two looks at both.
const LOOK: Duration = Duration::from_millis(50);

/// What the routes need.
#[derive(Clone)]
pub struct GameServices {
    /// What was played.
    pub games: Games,
    /// What is on.
    pub tables: Arc<dyn Tables>,
    /// Whose token it is that a live socket brings.
    pub authenticate: Arc<dyn Authenticate>,
    /// Who has an account, also without games.
    pub accounts: Accounts,
}

/// The routes: `/games` and `/users/{id}/games`.
pub fn routes(services: GameServices) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(play::create))
        .routes(routes!(game, play::forfeit))
        .routes(routes!(play::join))
        .routes(routes!(play::play, play::play_by_post))
        .routes(routes!(live::live))
        .routes(routes!(history))
        .with_state(services)
}

/// Whether a WebSocket handshake at this path is for [`routes()`].
pub fn takes_socket(path: &str) -> bool {
    let path = path.strip_prefix(PREFIX).unwrap_or(path);
    let id = path.strip_prefix("/games/").and_then(|rest| rest.strip_suffix("/live"));
    id.is_some_and(|id| !id.is_empty() && !id.contains('/'))
}

/// Somebody who played.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlayerOfGame {
    /// The account; the session of somebody without one.
    pub id: String,
    /// As shown then.
    pub name: String,
    /// The side, such as `X`.
    pub mark: String,
    /// Played by the server.
    #[serde(default)]
    pub computer: bool,
}

/// A move.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MoveOfGame {
    /// From 1.
    pub number: u32,
    /// The side.
    pub mark: String,
    /// What was played, in the game's terms: a cell from 0 to 8 in tic-tac-toe.
    pub played: Value,
}

/// A game.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Game {
    /// The room, a full stop, and the number of the game in it.
    #[schema(example = "V1StGXR8Z.1")]
    pub game_id: String,
    /// Such as `tic_tac_toe`.
    pub kind: String,
    /// In the order of the sides. One while a game waits for the other.
    pub players: Vec<PlayerOfGame>,
    /// The position by rows: a mark or null. Three rows of three in tic-tac-toe.
    pub board: Vec<Vec<Option<String>>>,
    /// The side to move; null when nobody is.
    pub current_player: Option<String>,
    /// The asker's side; null for others.
    pub you: Option<String>,
    /// `waiting` for somebody, `active`, `completed`, `forfeited` when somebody gave up, left or ran out of time,
    /// `abandoned` when it ended before it began.
    #[schema(example = "active")]
    pub status: String,
    /// `player1`, `player2` or `draw`; null while it is on.
    pub winner: Option<String>,
    /// How it ended, in the game's words; empty while it is on.
    pub reason: String,
    /// In order.
    pub moves: Vec<MoveOfGame>,
    /// Milliseconds left for the move when this was told; null without a clock.
    pub clock: Option<u64>,
    /// RFC 3339. While it is on: when its room was made, as far as the server that answers knows.
    pub created_at: String,
    /// RFC 3339. While it is on: when the server that answers heard of it last.
    pub updated_at: String,
}

/// A line of a history.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GameOfHistory {
    /// The room, a full stop, and the number of the game in it.
    pub game_id: String,
    /// Such as `tic_tac_toe`.
    pub kind: String,
    /// In the order of the sides.
    pub players: Vec<PlayerOfGame>,
    /// The side of the player whose history this is.
    pub mark: String,
    /// `completed` or `forfeited`.
    pub status: String,
    /// `player1`, `player2` or `draw`.
    pub winner: Option<String>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
}

/// Part of a history.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct GameHistory {
    /// Newest first.
    pub games: Vec<GameOfHistory>,
    /// Give it as `after` to get the rest; null: this was all.
    pub next: Option<String>,
}

/// Which part of a history.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
struct HistoryQuery {
    /// Games, 1 to 100. Default 25.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next` of the page before.
    after: Option<String>,
}

/// The fields of a history's record that are told.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    kind: String,
    players: Vec<PlayerOfGame>,
    mark: String,
    status: String,
    winner: Option<String>,
    created_at: u64,
    updated_at: u64,
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Invalid(_) => ApiError::invalid("that is no game, or no page of this list"),
            StoreError::Unreadable(why) => {
                tracing::error!(why, "a record cannot be read");
                ApiError::internal()
            }
            StoreError::Resting(ms) => {
                let mut refusal = ApiError::database_unavailable("the record store");
                refusal.retry_after = Some(Duration::from_millis(ms));
                refusal
            }
            error => {
                tracing::warn!(%error, "the record store did not answer");
                ApiError::database_unavailable("the record store")
            }
        }
    }
}

/// Rows of a square board; other boards are one row.
fn rows(board: Vec<Option<String>>) -> Vec<Vec<Option<String>>> {
    let side = board.len().isqrt();
    if side > 1 && side * side == board.len() {
        board.chunks(side).map(<[_]>::to_vec).collect()
    } else {
        vec![board]
    }
}

fn player(player: GamePlayer) -> PlayerOfGame {
    PlayerOfGame { id: player.id, name: player.name, mark: player.mark, computer: player.computer }
}

impl Game {
    fn now(now: &GameNow, who: Option<&Identity>) -> Self {
        let marks: Vec<&str> = now.players.iter().map(|player| player.mark.as_str()).collect();
        let winner = match &now.winner {
            Some(winner) => {
                marks.iter().position(|mark| mark == winner).map(|at| format!("player{}", at + 1))
            }
            None => matches!(now.stage, Stage::Completed | Stage::Forfeited).then(|| "draw".to_owned()),
        };
        let played = |(at, played): (usize, &Value)| MoveOfGame {
            number: at as u32 + 1,
            mark: marks.get(at % marks.len().max(1)).copied().unwrap_or_default().to_owned(),
            played: played.clone(),
        };
        Game {
            game_id: now.id.to_string(),
            kind: now.kind.clone(),
            you: who.and_then(|who| now.side(&who.id)).map(|side| marks[side].to_owned()),
            players: now.players.iter().cloned().map(player).collect(),
            board: rows(now.board.clone()),
            current_player: now.turn.clone(),
            status: now.stage.name().to_owned(),
            winner,
            reason: now.reason.clone(),
            moves: now.moves.iter().enumerate().map(played).collect(),
            clock: now.clock,
            created_at: timestamp(now.created_at),
            updated_at: timestamp(now.updated_at),
        }
    }
}

/// Reads the id of a game.
fn game_id(text: &str) -> Result<GameId, ApiError> {
    text.parse().map_err(|_| ApiError::not_found("game"))
}

fn customer_of(who: Option<&Identity>) -> CustomerId {
    who.map(|identity| identity.customer.clone()).unwrap_or_default()
}

/// See a game
///
/// Anybody who knows its id may, while it is on and afterwards. A player who asks is back in the seat after the server
/// was restarted.
#[utoipa::path(
    get, path = "/games/{id}", tag = "games", operation_id = "getGame",
    params(("id" = String, Path, description = "The room, a full stop, and the number of the game in it")),
    responses((status = 200, description = "The game with its moves", body = Game))
)]
async fn game(
    State(services): State<GameServices>,
    who: MaybePlayer,
    Path(id): Path<String>,
) -> Result<Json<Game>, ApiError> {
    let (id, who) = (game_id(&id)?, who.0.as_ref());
    let following = find(&services, who, &id).await?;
    Ok(Json(Game::now(&following.borrow(), who)))
}

/// A game: as it is kept, or else in its room. 404 only for one that neither the room nor the store has.
async fn find(services: &GameServices, who: Option<&Identity>, id: &GameId) -> Result<Following, ApiError> {
    let customer = customer_of(who);
    let ended = |kept: PlayedGame| watch::channel(Arc::new(GameNow::from(kept))).1;
    if let Ok(Some(kept)) = services.games.game(&customer, id).await {
        return Ok(ended(kept));
    }
    let began = Instant::now();
    loop {
        let error = match services.tables.follow(who, id).await {
            Err(error @ (TableError::NotFound | TableError::Unavailable)) => error,
            told => return Ok(told?),
        };
        // A room is there until the store has what it told, so the store is asked after the room was.
        if let Some(kept) = services.games.game(&customer, id).await? {
            return Ok(ended(kept));
        }
        if error == TableError::NotFound || began.elapsed() > SETTLING {
            return Err(error.into());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// List the games of a player
///
/// `me` is the account that asks.
#[utoipa::path(
    get, path = "/users/{id}/games", tag = "users", operation_id = "listUserGames",
    params(("id" = String, Path, description = "An account, or `me`"), HistoryQuery),
    responses(
        (status = 200, description = "Part of the list; of an account that has not played, empty", body = GameHistory),
        (status = 404, description = "NOT_FOUND: no account has this name, and none that played", body = ErrorEnvelope),
    )
)]
async fn history(
    State(services): State<GameServices>,
    who: MaybePlayer,
    Path(id): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<GameHistory>, ApiError> {
    let limit = query.limit.unwrap_or(GAMES);
    if !(1..=MAX_GAMES).contains(&limit) {
        return Err(ApiError::invalid_field("limit", "1 to 100 games at a time"));
    }
    let (customer, id) = match who.0 {
        Some(identity) if id == "me" => (identity.customer, identity.id.to_string()),
        None if id == "me" => return Err(ApiError::unauthenticated()),
        who => (who.map(|identity| identity.customer).unwrap_or_default(), id),
    };
    if id.is_empty() || id.len() > MAX_ID_LEN {
        return Err(ApiError::invalid("this is no account"));
    }
    let first = query.after.is_none();
    let paging = Paging { limit, after: query.after.map(Cursor::from_text) };
    let page = services.games.of_player(&customer, &id, paging).await?;
    if first && page.items.is_empty() && page.next.is_none() {
        is_account(&services.accounts, &customer, &id).await?;
    }
    let line = |(id, item): (GameId, everplay_records::Item)| {
        let line: Line = serde_json::from_value(Value::Object(item))
            .map_err(|error| StoreError::Unreadable(error.to_string()))?;
        Ok::<_, StoreError>(GameOfHistory {
            game_id: id.to_string(),
            kind: line.kind,
            players: line.players,
            mark: line.mark,
            status: line.status,
            winner: line.winner,
            created_at: timestamp(line.created_at),
            updated_at: timestamp(line.updated_at),
        })
    };
    let page = page.try_map(line)?;
    Ok(Json(GameHistory { games: page.items, next: page.next.map(|cursor| cursor.to_string()) }))
}
