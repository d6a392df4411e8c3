//! Playing over HTTP: each request that changes something may be repeated under its `Idempotency-Key`.

use super::{Game, GameNow, GameServices, TableError, Wish, find, game_id};
use crate::{ApiError, Json, Path, Player};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use everplay_records::GameId;
use everplay_types::Identity;
use serde::Deserialize;
use serde_json::Value;
use std::ops::RangeInclusive;
use std::sync::Arc;
use utoipa::ToSchema;

/// Bytes of a key.
const KEY_LENGTH: usize = 128;
/// Seconds for a move, with a clock.
const MOVE_SECONDS: RangeInclusive<u32> = 5..=300;

/// A game that is wanted.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewGame {
    /// Which game, such as `tic_tac_toe`. Default: the server's first.
    game: Option<String>,
    /// `quick` against whoever waits or comes next, `private` against who is told the id, `computer`. Default `quick`.
    mode: Option<String>,
    /// Of the computer: `easy`, `medium` or `perfect`. Default `medium`.
    level: Option<String>,
    /// Seconds for each move, 5 to 300, or 0 for no clock, which `quick` does not allow. The default is the game's. Who joins a
    /// game plays by the clock of who began it.
    move_seconds: Option<u32>,
}

/// A move.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewMove {
    /// What is played, in the game's terms: a cell from 0 to 8 in tic-tac-toe.
    #[schema(example = 4)]
    played: Value,
}

/// The key of a request, if it has one.
fn key_of(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= KEY_LENGTH);
    let key = key.ok_or_else(|| ApiError::invalid_field("Idempotency-Key", "1 to 128 printable characters"));
    key.map(|key| Some(key.to_owned()))
}

/// Begin a game
///
/// Who waits for a quick game of that kind already gets that one.
#[utoipa::path(
    post, path = "/games", tag = "games", operation_id = "createGame", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Names the request: repeated, it gets the same game")),
    request_body = NewGame,
    responses((status = 201, description = "The game, with a seat in it", body = Game))
)]
pub(super) async fn create(
    State(services): State<GameServices>,
    Player(who): Player,
    headers: HeaderMap,
    Json(wanted): Json<NewGame>,
) -> Result<(StatusCode, Json<Game>), ApiError> {
    // A game that is joined does not look at it, so it is looked at here.
    let quick = wanted.mode.as_deref().is_none_or(|mode| mode == "quick");
    let allowed = |seconds: &u32| MOVE_SECONDS.contains(seconds) || (*seconds == 0 && !quick);
    if !wanted.move_seconds.iter().all(allowed) {
        let message = "the time for a move is 5 to 300 seconds, or 0 for no clock unless the game is quick";
        return Err(ApiError::invalid_field("moveSeconds", message));
    }
    let wish = Wish {
        kind: wanted.game,
        mode: wanted.mode,
        level: wanted.level,
        move_seconds: wanted.move_seconds,
        key: key_of(&headers)?,
    };
    let now = services.tables.create(&who, wish).await?;
    Ok((StatusCode::CREATED, Json(Game::now(&now, Some(&who)))))
}

/// Take a seat in somebody's game
#[utoipa::path(
    post, path = "/games/{id}/join", tag = "games", operation_id = "joinGame", security(("bearer" = [])),
    params(("id" = String, Path, description = "The game; its room alone will do")),
    responses((status = 200, description = "The game, with a seat in it", body = Game))
)]
pub(super) async fn join(
    State(services): State<GameServices>,
    Player(who): Player,
    Path(id): Path<String>,
) -> Result<Json<Game>, ApiError> {
    let id = game_id(&id)?;
    let error = match services.tables.join(&who, &id.room).await {
        Ok(now) => return Ok(Json(Game::now(&now, Some(&who)))),
        Err(error) => error,
    };
    if error != TableError::NotFound {
        return Err(error.into());
    }
    // The room is gone, or on its way to another server.
    let is_over = find(&services, Some(&who), &id).await?.borrow().stage.is_over();
    Err(if is_over { TableError::Over } else { TableError::Unavailable }.into())
}

async fn moved(
    services: GameServices,
    who: Player,
    id: &str,
    headers: &HeaderMap,
    NewMove { played }: NewMove,
) -> Result<Json<Game>, ApiError> {
    let (id, key, who) = (game_id(id)?, key_of(headers)?, who.0);
    let now = play_in(&services, &who, &id, played, key).await?;
    Ok(Json(Game::now(&now, Some(&who))))
}

/// Plays a move. One that was played under a key is not refused when it is repeated after the end: its answer may have
/// been lost.
pub(super) async fn play_in(
    services: &GameServices,
    who: &Identity,
    id: &GameId,
    played: Value,
    key: Option<String>,
) -> Result<Arc<GameNow>, ApiError> {
    let repeated = key.as_ref().map(|_| played.clone());
    let error = match services.tables.play(who, id, played, key).await {
        Ok(now) => return Ok(Arc::new(now)),
        Err(error) => error,
    };
    let (now, side) = ended(services, who, id, error).await?;
    match repeated {
        Some(played) if now.has_played(side, &played) => Ok(now),
        _ => Err(TableError::Over.into()),
    }
}

/// Gives a game up.
pub(super) async fn forfeit_in(
    services: &GameServices,
    who: &Identity,
    id: &GameId,
) -> Result<GameNow, ApiError> {
    match services.tables.forfeit(who, id).await {
        Ok(now) => Ok(now),
        Err(error) => {
            ended(services, who, id, error).await?;
            Err(TableError::Over.into())
        }
    }
}

/// The game that could not be played, with the asker's side, if that is because it is over: then the room is perhaps
/// gone, or its player gone from it. Errors: it is not over, or not the asker's.
async fn ended(
    services: &GameServices,
    who: &Identity,
    id: &GameId,
    error: TableError,
) -> Result<(Arc<GameNow>, usize), ApiError> {
    if !matches!(error, TableError::NotFound | TableError::NotAPlayer | TableError::Over) {
        return Err(error.into());
    }
    let now = Arc::clone(&find(services, Some(who), id).await?.borrow());
    match now.side(&who.id) {
        None => Err(TableError::NotAPlayer.into()),
        Some(side) if now.stage.is_over() => Ok((now, side)),
        // The seat was not found and the game is there: on its way to another server.
        Some(_) if error == TableError::NotFound => Err(TableError::Unavailable.into()),
        Some(_) => Err(error.into()),
    }
}

/// Play a move
///
/// A move that is repeated under its key is played once and answered the same. A move that the position does not allow is
/// answered `INVALID_MOVE`, with `gameId`, `position` (row and column), `currentBoard` and `roomCode` as `details`.
#[utoipa::path(
    put, path = "/games/{id}/moves", tag = "games", operation_id = "playMove", security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "The game"),
        ("Idempotency-Key" = Option<String>, Header, description = "Names the move"),
    ),
    request_body = NewMove,
    responses(
        (status = 200, description = "The game as it is after the move", body = Game),
        (status = 409, description = "`INVALID_MOVE`, `MOVE_REFUSED` or `GAME_OVER`", body = crate::ErrorEnvelope),
    )
)]
pub(super) async fn play(
    State(services): State<GameServices>,
    who: Player,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(played): Json<NewMove>,
) -> Result<Json<Game>, ApiError> {
    moved(services, who, &id, &headers, played).await
}

/// Play a move, by POST
///
/// The same as by PUT.
#[utoipa::path(
    post, path = "/games/{id}/moves", tag = "games", operation_id = "playMoveByPost", security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "The game"),
        ("Idempotency-Key" = Option<String>, Header, description = "Names the move"),
    ),
    request_body = NewMove,
    responses(
        (status = 200, description = "The game as it is after the move", body = Game),
        (status = 409, description = "`INVALID_MOVE`, `MOVE_REFUSED` or `GAME_OVER`", body = crate::ErrorEnvelope),
    )
)]
pub(super) async fn play_by_post(
    State(services): State<GameServices>,
    who: Player,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(played): Json<NewMove>,
) -> Result<Json<Game>, ApiError> {
    moved(services, who, &id, &headers, played).await
}

/// Give a game up
///
/// The other player wins it. A game that still waits for somebody is abandoned.
#[utoipa::path(
    delete, path = "/games/{id}", tag = "games", operation_id = "forfeitGame", security(("bearer" = [])),
    params(("id" = String, Path, description = "The game")),
    responses((status = 200, description = "The game as it ended", body = Game))
)]
pub(super) async fn forfeit(
    State(services): State<GameServices>,
    Player(who): Player,
    Path(id): Path<String>,
) -> Result<Json<Game>, ApiError> {
    let now = forfeit_in(&services, &who, &game_id(&id)?).await?;
    Ok(Json(Game::now(&now, Some(&who))))
}
