//! Playing over HTTP: each request that changes something may be repeated under its `Idempotency-Key`.

use super::{Game, GameServices, TableError, Wish, game_id, side};
use crate::{ApiError, Json, Path, Player};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use everplay_types::RoomId;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Bytes of a key.
const KEY_LENGTH: usize = 128;

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
    /// Seconds for each move; 0: no clock. The default is the game's.
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
/// Who waits for a quick game already gets that one.
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
    let room: RoomId = game_id(&id)?.room;
    let now = services.tables.join(&who, &room).await?;
    Ok(Json(Game::now(&now, Some(&who))))
}

async fn moved(
    services: GameServices,
    who: Player,
    id: &str,
    headers: &HeaderMap,
    NewMove { played }: NewMove,
) -> Result<Json<Game>, ApiError> {
    let (id, key, who) = (game_id(id)?, key_of(headers)?, who.0);
    match services.tables.play(&who, &id, played.clone(), key).await {
        Ok(now) => Ok(Json(Game::now(&now, Some(&who)))),
        // The room may be over and gone, or its player gone from it.
        Err(error @ (TableError::NotFound | TableError::NotAPlayer)) => {
            let Some(kept) = services.games.game(&who.customer, &id).await? else { return Err(error.into()) };
            let side = side(&kept.game.players, Some(&who)).ok_or(TableError::NotAPlayer)?;
            let last = kept.moves.last().is_some_and(|last| last.mark == side && last.played == played);
            // The move that ended the game: its answer may have been lost.
            if last { Ok(Json(Game::kept(kept, Some(&who)))) } else { Err(TableError::Over.into()) }
        }
        Err(error) => Err(error.into()),
    }
}

/// Play a move
///
/// A move that is repeated under its key is played once and answered the same.
#[utoipa::path(
    put, path = "/games/{id}/moves", tag = "games", operation_id = "playMove", security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "The game"),
        ("Idempotency-Key" = Option<String>, Header, description = "Names the move"),
    ),
    request_body = NewMove,
    responses((status = 200, description = "The game as it is after the move", body = Game))
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
    responses((status = 200, description = "The game as it is after the move", body = Game))
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
    let id = game_id(&id)?;
    match services.tables.forfeit(&who, &id).await {
        Ok(now) => Ok(Json(Game::now(&now, Some(&who)))),
        Err(error @ (TableError::NotFound | TableError::NotAPlayer)) => {
            let kept = services.games.game(&who.customer, &id).await?.ok_or(error)?;
            side(&kept.game.players, Some(&who)).ok_or(TableError::NotAPlayer)?;
            Err(TableError::Over.into())
        }
        Err(error) => Err(error.into()),
    }
}
