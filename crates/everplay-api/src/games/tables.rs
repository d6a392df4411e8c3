//! The port: games that are on. Implemented by whoever runs rooms.

use super::rows;
use crate::{ApiError, BoxFuture};
use axum::http::StatusCode;
use everplay_records::{GameId, GamePlayer, GameStatus, PlayedGame};
use everplay_types::{Identity, RoomId};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::watch;

/// A game as its room tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct GameNow {
    /// Which.
    pub id: GameId,
    /// Name of the room's kind.
    pub kind: String,
    /// Where it stands.
    pub stage: Stage,
    /// In the order of the sides; fewer than the game has while it waits for somebody.
    pub players: Vec<GamePlayer>,
    /// Cells by rows: a mark or null.
    pub board: Vec<Option<String>>,
    /// Mark of the side to move.
    pub turn: Option<String>,
    /// Mark of the side that won.
    pub winner: Option<String>,
    /// How it ended, in the game's words; empty while it is on.
    pub reason: String,
    /// What was played, in the game's terms; sides take turns.
    pub moves: Vec<Value>,
    /// Milliseconds left for the move when this was told; None without a clock.
    pub clock: Option<u64>,
    /// When its room was made, as far as this server knows. Milliseconds since 1970.
    pub created_at: u64,
    /// When this server heard of it last. Milliseconds since 1970.
    pub updated_at: u64,
    /// What its room is for, in the words of a wish; None when the kind does not tell.
    pub mode: Option<String>,
}

impl From<PlayedGame> for GameNow {
    fn from(PlayedGame { id, game, .. }: PlayedGame) -> Self {
        let side = |winner: &str| match winner.strip_prefix("player") {
            Some(at) => game.players.get(at.parse::<usize>().ok()?.checked_sub(1)?),
            None => None,
        };
        GameNow {
            id,
            kind: game.kind,
            stage: match game.status {
                GameStatus::Active => Stage::Active,
                GameStatus::Completed => Stage::Completed,
                GameStatus::Forfeited => Stage::Forfeited,
            },
            winner: game.winner.as_deref().and_then(side).map(|player| player.mark.clone()),
            players: game.players,
            board: game.board,
            turn: game.current_player,
            reason: game.reason,
            moves: game.moves,
            clock: None,
            created_at: game.created_at,
            updated_at: game.updated_at,
            mode: None,
        }
    }
}

impl GameNow {
    /// A game of which nothing was told yet: it waits.
    pub fn untold(id: GameId, kind: String, created_at: u64) -> Self {
        GameNow {
            id,
            kind,
            stage: Stage::Waiting,
            players: Vec::new(),
            board: Vec::new(),
            turn: None,
            winner: None,
            reason: String::new(),
            moves: Vec::new(),
            clock: None,
            created_at,
            updated_at: created_at,
            mode: None,
        }
    }

    /// Whether this account plays in it, and which side.
    pub(super) fn side(&self, account: &str) -> Option<usize> {
        self.players.iter().position(|player| player.id == account && !player.computer)
    }

    /// Whether this side has played this.
    pub(super) fn has_played(&self, side: usize, played: &Value) -> bool {
        let sides = self.players.len().max(1);
        self.moves.iter().enumerate().any(|(at, known)| at % sides == side && known == played)
    }
}

/// Where a game stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// For somebody to play with.
    Waiting,
    /// It is on.
    Active,
    /// It was played to its end.
    Completed,
    /// Somebody gave up, left or ran out of time.
    Forfeited,
    /// It ended before it began.
    Abandoned,
}

impl Stage {
    /// Whether nothing more happens in it.
    pub fn is_over(self) -> bool {
        !matches!(self, Stage::Waiting | Stage::Active)
    }

    /// As in answers.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Waiting => "waiting",
            Stage::Active => "active",
            Stage::Completed => "completed",
            Stage::Forfeited => "forfeited",
            Stage::Abandoned => "abandoned",
        }
    }
}

/// A game that is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// Name of a room kind; None: the program's first.
    pub kind: Option<String>,
    /// As the kind's join option `mode`; `quick` joins somebody who waits.
    pub mode: Option<String>,
    /// As the kind's join option.
    pub level: Option<String>,
    /// As the kind's join option.
    pub move_seconds: Option<u32>,
    /// The request's name: the same one gets the same game.
    pub key: Option<String>,
}

/// Why there is no such game, or nothing happened in it.
#[derive(Debug, Clone, PartialEq)]
pub enum TableError {
    /// No room of that id, or not that game in it. What a room that ended has still to tell was told.
    NotFound,
    /// The asker has no seat in it.
    NotAPlayer,
    /// It is over.
    Over,
    /// The position does not allow the move, whoever is to move.
    InvalidMove {
        /// See the room's page.
        code: u16,
        /// For people.
        message: String,
        /// What was to be played.
        played: Value,
        /// The position.
        now: Box<GameNow>,
    },
    /// The room refused for another reason, with its own code.
    Refused {
        /// See the room's page.
        code: u16,
        /// For people.
        message: String,
    },
    /// What was asked makes no sense to the room.
    Invalid(String),
    /// All its seats are taken.
    Full,
    /// The asker sits in so many games already.
    TooMany(usize),
    /// The room, or the server, cannot answer now; also when the room has ended and is about to be forgotten.
    Unavailable,
}

impl From<TableError> for ApiError {
    fn from(error: TableError) -> Self {
        match error {
            TableError::NotFound => ApiError::not_found("game"),
            TableError::NotAPlayer => {
                ApiError::new(StatusCode::FORBIDDEN, "NOT_A_PLAYER", "you do not play in this game")
            }
            TableError::Over => ApiError::conflict("GAME_OVER", "the game is over"),
            TableError::InvalidMove { code, message, played, now } => {
                let board = rows(now.board);
                // Boards are numbered by rows. What is no number names no cell.
                let side = board.first().map_or(1, Vec::len).max(1) as u64;
                let position = played.as_u64().map(|cell| [cell / side, cell % side]);
                ApiError::conflict("INVALID_MOVE", message).details(json!({
                    "gameId": now.id.to_string(),
                    "position": position,
                    "currentBoard": board,
                    "roomCode": code,
                }))
            }
            TableError::Refused { code, message } => {
                ApiError::conflict("MOVE_REFUSED", message).details(json!({ "roomCode": code }))
            }
            TableError::Invalid(message) => ApiError::invalid(message),
            TableError::Full => ApiError::conflict("GAME_FULL", "all seats of this game are taken"),
            TableError::TooMany(most) => {
                ApiError::conflict("TOO_MANY_GAMES", format!("you sit in {most} games already"))
            }
            TableError::Unavailable => ApiError::unavailable("the room"),
        }
    }
}

/// Follows a game: the newest it told. Ends with the game, its room, or the server.
pub type Following = watch::Receiver<Arc<GameNow>>;

/// Seats for players who come over HTTP, in the rooms where everybody plays.
///
/// What an implementor owes: a seat that is taken here is a seat of the room like any other; it is found again by its
/// player after whatever ended; and what is answered is durable.
pub trait Tables: Send + Sync + 'static {
    /// Takes a seat in a new game, or in one that waits for somebody.
    fn create<'a>(&'a self, who: &'a Identity, wish: Wish) -> BoxFuture<'a, Result<GameNow, TableError>>;

    /// Takes a seat in this room's game. Who has one keeps it.
    fn join<'a>(&'a self, who: &'a Identity, room: &'a RoomId) -> BoxFuture<'a, Result<GameNow, TableError>>;

    /// Plays; answers the game as it is after it. Asked again under the same key it plays nothing and answers the same.
    fn play<'a>(
        &'a self,
        who: &'a Identity,
        id: &'a GameId,
        played: Value,
        key: Option<String>,
    ) -> BoxFuture<'a, Result<GameNow, TableError>>;

    /// Gives the game up; what waits for somebody is abandoned.
    fn forfeit<'a>(&'a self, who: &'a Identity, id: &'a GameId)
    -> BoxFuture<'a, Result<GameNow, TableError>>;

    /// Follows a game that is on, or ended a moment ago. A player who asks is back in the seat.
    fn follow<'a>(
        &'a self,
        who: Option<&'a Identity>,
        id: &'a GameId,
    ) -> BoxFuture<'a, Result<Following, TableError>>;
}
