//! The computer players.
//!
//! Pure: a board goes in, a cell comes out, chance is an argument. None of them looks at anything that a
//! person at the same board would not see.

use crate::rules::{Board, CELLS, LINES, Mark};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

const CORNERS: [usize; 4] = [0, 2, 6, 8];
const CENTRE: usize = 4;

/// How well the computer plays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Any empty cell.
    Easy,
    /// Wins if it can, blocks if it must, then prefers corners, then the centre. Looks one move ahead, so two
    /// threats at once beat it.
    #[default]
    Medium,
    /// Looks to the end: never loses, and wins as soon as it can.
    Perfect,
}

impl Level {
    /// The name in join options and in the room's state.
    pub fn name(self) -> &'static str {
        match self {
            Level::Easy => "easy",
            Level::Medium => "medium",
            Level::Perfect => "perfect",
        }
    }

    /// Chooses a cell for the side whose turn it is; None when the game is over.
    ///
    /// `below(n)` gives a random number in `0..n`; it is asked at most once, and only when several cells are
    /// as good as each other for this level.
    pub fn choose(self, board: &Board, below: impl FnOnce(usize) -> usize) -> Option<usize> {
        if board.outcome().is_some() {
            return None;
        }
        let candidates = match self {
            Level::Easy => board.empty().collect(),
            Level::Medium => medium(board),
            Level::Perfect => perfect(board),
        };
        match candidates.len() {
            0 => None,
            1 => Some(candidates[0]),
            several => candidates.get(below(several)).copied(),
        }
    }
}

/// The cells of the first rule that names one: win, block, corner, centre, rest.
fn medium(board: &Board) -> Vec<usize> {
    let me = board.turn();
    let empty = |cells: &[usize]| -> Vec<usize> {
        cells.iter().copied().filter(|&cell| board.at(cell).is_none()).collect()
    };
    [completing(board, me), completing(board, me.other()), empty(&CORNERS), empty(&[CENTRE])]
        .into_iter()
        .find(|cells| !cells.is_empty())
        .unwrap_or_else(|| board.empty().collect())
}

/// The cells that complete a line for `mark`.
fn completing(board: &Board, mark: Mark) -> Vec<usize> {
    let completes = |cell: usize| {
        LINES.iter().any(|line| {
            line.contains(&cell) && line.iter().all(|&other| other == cell || board.at(other) == Some(mark))
        })
    };
    board.empty().filter(|&cell| completes(cell)).collect()
}

/// The cells that lead to the best end that can be forced, the soonest win or the latest defeat.
fn perfect(board: &Board) -> Vec<usize> {
    let value_of = |cell: usize| -VALUES[index(&after(board, cell))];
    let best = board.empty().map(value_of).max();
    board.empty().filter(|&cell| Some(value_of(cell)) == best).collect()
}

fn after(board: &Board, cell: usize) -> Board {
    let mut next = *board;
    next.play(cell, board.turn()).expect("an empty cell of a game that is not over");
    next
}

/// What each position is worth to the side whose turn it is, by [`index`]: 0 a draw, positive a win, negative
/// a defeat, and the nearer the end the further from 0 (a finished defeat is -10). Only reachable positions
/// are filled in, which takes the place of searching them again for every move.
static VALUES: LazyLock<Vec<i8>> = LazyLock::new(|| {
    let mut values = vec![None; 3_usize.pow(CELLS as u32)];
    solve(&Board::default(), &mut values);
    values.into_iter().map(Option::unwrap_or_default).collect()
});

fn solve(board: &Board, values: &mut [Option<i8>]) -> i8 {
    if let Some(known) = values[index(board)] {
        return known;
    }
    let value = if board.holds_line(board.turn().other()) {
        -10
    } else {
        // One step further from the end than the position after the move.
        let worth = |next: Board, values: &mut [Option<i8>]| {
            let value = -solve(&next, values);
            value - value.signum()
        };
        board.empty().map(|cell| worth(after(board, cell), values)).max().unwrap_or(0)
    };
    values[index(board)] = Some(value);
    value
}

/// The position as a number with nine digits of base three.
fn index(board: &Board) -> usize {
    (0..CELLS).fold(0, |sum, cell| sum * 3 + board.at(cell).map_or(0, |mark| usize::from(mark.number())))
}

#[cfg(test)]
mod tests;
