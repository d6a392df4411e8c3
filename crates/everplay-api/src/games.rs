//! Games that were played: each with its moves, and everybody's history.

use crate::error::timestamp;
use crate::{ApiError, Json, MaybePlayer, Path, Query};
use axum::extract::State;
use everplay_records::{Cursor, GameId, Games, MAX_PAGE, Paging, PlayedGame, StoreError};
use everplay_types::MAX_ID_LEN;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::{Duration, UNIX_EPOCH};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Games of a page when nobody says.
const GAMES: u32 = 25;
/// Games of a page at most.
const MAX_GAMES: u32 = 100;
const _: () = assert!(MAX_GAMES <= MAX_PAGE, "the store gives at most so many at once");

/// The routes: `GET /games/{id}` and `GET /users/{id}/games`.
pub fn routes(games: Games) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(game)).routes(routes!(history)).with_state(games)
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

/// A game that was played.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FinishedGame {
    /// The room, a full stop, and the number of the game in it.
    #[schema(example = "V1StGXR8Z.1")]
    pub game_id: String,
    /// Such as `tic_tac_toe`.
    pub kind: String,
    /// In the order of the sides.
    pub players: Vec<PlayerOfGame>,
    /// The last position by rows: a mark or null. Three rows of three in tic-tac-toe.
    pub board: Vec<Vec<Option<String>>>,
    /// `completed`, or `forfeited` when somebody gave up, left or ran out of time.
    pub status: String,
    /// `player1`, `player2` or `draw`.
    pub winner: Option<String>,
    /// How it ended, in the game's words.
    pub reason: String,
    /// In order.
    pub moves: Vec<MoveOfGame>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
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
                let mut refusal = ApiError::unavailable("the record store");
                refusal.retry_after = Some(Duration::from_millis(ms));
                refusal
            }
            error => {
                tracing::warn!(%error, "the record store did not answer");
                ApiError::unavailable("the record store")
            }
        }
    }
}

fn time(ms: u64) -> String {
    timestamp(UNIX_EPOCH + Duration::from_millis(ms))
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

impl From<PlayedGame> for FinishedGame {
    fn from(PlayedGame { id, game, moves }: PlayedGame) -> Self {
        let player = |player: everplay_records::GamePlayer| PlayerOfGame {
            id: player.id,
            name: player.name,
            mark: player.mark,
            computer: player.computer,
        };
        let played = |played: everplay_records::GameMove| MoveOfGame {
            number: played.number,
            mark: played.mark,
            played: played.played,
        };
        FinishedGame {
            game_id: id.to_string(),
            kind: game.kind,
            players: game.players.into_iter().map(player).collect(),
            board: rows(game.board),
            status: match game.status {
                everplay_records::GameStatus::Active => "active",
                everplay_records::GameStatus::Completed => "completed",
                everplay_records::GameStatus::Forfeited => "forfeited",
            }
            .to_owned(),
            winner: game.winner,
            reason: game.reason,
            moves: moves.into_iter().map(played).collect(),
            created_at: time(game.created_at),
            updated_at: time(game.updated_at),
        }
    }
}

/// See a game that was played
#[utoipa::path(
    get, path = "/games/{id}", tag = "games", operation_id = "getGame",
    params(("id" = String, Path, description = "The room, a full stop, and the number of the game in it")),
    responses((status = 200, description = "The game with its moves", body = FinishedGame))
)]
async fn game(
    State(games): State<Games>,
    who: MaybePlayer,
    Path(id): Path<String>,
) -> Result<Json<FinishedGame>, ApiError> {
    let id: GameId = id.parse().map_err(|_| ApiError::not_found("game"))?;
    let customer = who.0.map(|identity| identity.customer).unwrap_or_default();
    let found = games.game(&customer, &id).await?;
    Ok(Json(found.ok_or_else(|| ApiError::not_found("game"))?.into()))
}

/// List the games of a player
///
/// `me` is the account that asks.
#[utoipa::path(
    get, path = "/users/{id}/games", tag = "users", operation_id = "listUserGames",
    params(("id" = String, Path, description = "An account, or `me`"), HistoryQuery),
    responses((status = 200, description = "Part of the list", body = GameHistory))
)]
async fn history(
    State(games): State<Games>,
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
    let paging = Paging { limit, after: query.after.map(Cursor::from_text) };
    let page = games.of_player(&customer, &id, paging).await?;
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
            created_at: time(line.created_at),
            updated_at: time(line.updated_at),
        })
    };
    let page = page.try_map(line)?;
    Ok(Json(GameHistory { games: page.items, next: page.next.map(|cursor| cursor.to_string()) }))
}
