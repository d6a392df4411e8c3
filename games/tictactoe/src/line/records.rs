//! What leaves the room beside its state: the line's records, and boards for clients without an SDK.

use super::{LinePlayer, LineTable, PLAYING};
use crate::rules::Mark;
use everplay::prelude::*;

/// Somebody in the line, as the table `TicTacToeUsers` has it but for the form of the time.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LineRecord<'a> {
    connection_id: &'a str,
    session_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
    /// Milliseconds since 1970, made distinct: who came later has more.
    joined_at: u64,
}

impl<'a> LineRecord<'a> {
    pub(super) fn of(session: &'a str, player: &'a LinePlayer) -> Self {
        LineRecord {
            connection_id: session,
            session_id: &player.record,
            username: Some(player.name.as_str()).filter(|_| player.named),
            status: if player.status == PLAYING { "active" } else { "inactive" },
            marker: Mark::from_number(player.mark).map(|mark| mark.to_string()),
            joined_at: player.joined_at,
        }
    }
}

/// What changed in a line; the payload of the event `line changed`.
#[derive(Debug, Serialize)]
pub(super) struct LineChanged<'a> {
    pub(super) line: &'a str,
    /// `put` is everybody: changes before it were not told. Absent when false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) whole: bool,
    pub(super) put: Vec<LineRecord<'a>>,
    pub(super) removed: &'a [String],
}

/// A table for clients that do not read the state.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TableView {
    /// From 1.
    table: usize,
    /// `open`, `playing`, `finished`.
    stage: String,
    game: u32,
    /// Connection ids; null while a seat is empty.
    players: Players,
    /// By rows.
    board: Vec<Option<String>>,
    turn: Option<String>,
    winner: Option<String>,
    reason: Option<String>,
    clock_ms: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "UPPERCASE")]
struct Players {
    x: Option<String>,
    o: Option<String>,
}

impl TableView {
    pub(super) fn of(table: usize, at: &LineTable) -> Self {
        let mark = |number: u8| Mark::from_number(number).map(|mark| mark.to_string());
        let set = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        TableView {
            table: table + 1,
            stage: at.stage.clone(),
            game: at.game,
            players: Players { x: set(&at.x), o: set(&at.o) },
            board: at.board.iter().map(|cell| mark(*cell)).collect(),
            turn: mark(at.turn),
            winner: mark(at.winner),
            reason: set(&at.reason),
            clock_ms: at.clock,
        }
    }
}
