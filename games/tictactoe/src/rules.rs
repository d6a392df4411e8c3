//! The rules: a board, who may put a mark where, and when a game is over.
//!
//! Pure values, nothing else: no names, sessions, clocks or chance. The room asks here before it changes
//! anything, the computer players look ahead with the same code.
//!
//! Always holds for a [`Board`] that was only changed by [`Board::play`]: X has as many marks as O or one
//! more, and nobody moved after a line was complete. A board from elsewhere is checked by [`Board::from_cells`].

use std::fmt;

/// How many cells there are. They are numbered by rows: 0 1 2 on top, 6 7 8 at the bottom.
pub const CELLS: usize = 9;

/// The eight ways to win: rows, columns, diagonals.
pub const LINES: [[usize; 3]; 8] =
    [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]];

/// One of the two sides. X moves first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mark {
    /// Moves first. 1 in the room's state.
    X,
    /// Moves second. 2 in the room's state.
    O,
}

impl Mark {
    /// The other side.
    pub fn other(self) -> Mark {
        match self {
            Mark::X => Mark::O,
            Mark::O => Mark::X,
        }
    }

    /// The number that stands for the mark in the room's state; 0 stands for none.
    pub fn number(self) -> u8 {
        match self {
            Mark::X => 1,
            Mark::O => 2,
        }
    }

    /// The mark that a number stands for.
    pub fn from_number(number: u8) -> Option<Mark> {
        match number {
            1 => Some(Mark::X),
            2 => Some(Mark::O),
            _ => None,
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mark::X => "X",
            Mark::O => "O",
        })
    }
}

/// Nine cells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Board([Option<Mark>; CELLS]);

/// How a game ended on the board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// One side holds a line, or two that its last move completed together; three cells for each.
    Win {
        /// The side that holds it.
        mark: Mark,
        /// The completed lines, in the order of [`LINES`].
        lines: Vec<[usize; 3]>,
    },
    /// All cells are taken and nobody holds a line.
    Draw,
}

/// Why a move is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// There are only the cells 0 to 8.
    #[error("there is no such cell")]
    NoSuchCell,
    /// A mark is there already.
    #[error("the cell is taken")]
    Occupied,
    /// The other side moves.
    #[error("it is the other side's turn")]
    OutOfTurn,
    /// Nobody moves any more.
    #[error("the game is over")]
    Over,
}

/// Cells that no game leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no game leads to these cells")]
pub struct Unreachable;

impl Board {
    /// A board as the room's state holds it: 0 empty, 1 X, 2 O.
    ///
    /// Errors: not nine cells, another number, or a position that no game leads to.
    pub fn from_cells(cells: impl IntoIterator<Item = u8>) -> Result<Board, Unreachable> {
        let mut board = Board::default();
        let mut cells = cells.into_iter();
        for slot in &mut board.0 {
            *slot = match cells.next().ok_or(Unreachable)? {
                0 => None,
                number => Some(Mark::from_number(number).ok_or(Unreachable)?),
            };
        }
        if cells.next().is_some() || !board.is_reachable() { Err(Unreachable) } else { Ok(board) }
    }

    /// The mark in a cell; None for an empty one and for one that does not exist.
    pub fn at(&self, cell: usize) -> Option<Mark> {
        self.0.get(cell).copied().flatten()
    }

    /// The empty cells, in order.
    pub fn empty(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().filter(|(_, mark)| mark.is_none()).map(|(cell, _)| cell)
    }

    /// How many marks are on the board.
    pub fn moves(&self) -> usize {
        self.0.iter().flatten().count()
    }

    /// Whose turn it is by the number of marks, whether or not the game is over.
    pub fn turn(&self) -> Mark {
        if self.moves().is_multiple_of(2) { Mark::X } else { Mark::O }
    }

    /// Puts `mark` into `cell`; returns how the game ended if this ended it. A refused move changes nothing.
    pub fn play(&mut self, cell: usize, mark: Mark) -> Result<Option<Outcome>, Illegal> {
        if self.outcome().is_some() {
            return Err(Illegal::Over);
        }
        if mark != self.turn() {
            return Err(Illegal::OutOfTurn);
        }
        let slot = self.0.get_mut(cell).ok_or(Illegal::NoSuchCell)?;
        if slot.is_some() {
            return Err(Illegal::Occupied);
        }
        *slot = Some(mark);
        Ok(self.outcome())
    }

    /// How the game ended; None while it goes on.
    pub fn outcome(&self) -> Option<Outcome> {
        for mark in [Mark::X, Mark::O] {
            if self.holds_line(mark) {
                let lines = LINES.into_iter().filter(|line| self.holds(mark, line)).collect();
                return Some(Outcome::Win { mark, lines });
            }
        }
        (self.moves() == CELLS).then_some(Outcome::Draw)
    }

    /// Whether this side holds a whole line.
    pub fn holds_line(&self, mark: Mark) -> bool {
        LINES.iter().any(|line| self.holds(mark, line))
    }

    fn holds(&self, mark: Mark, line: &[usize; 3]) -> bool {
        line.iter().all(|&cell| self.0[cell] == Some(mark))
    }

    /// Counts fit the turns, and the side that moved last is the only one that can hold a line.
    fn is_reachable(&self) -> bool {
        let count = |mark| self.0.iter().filter(|&&cell| cell == Some(mark)).count();
        let (x, o) = (count(Mark::X), count(Mark::O));
        if x != o && x != o + 1 {
            return false;
        }
        // Lines of one side that have no cell in common cannot both come from its last move.
        let lines: Vec<_> = LINES.iter().filter(|line| self.holds(self.turn().other(), line)).collect();
        let one_move = (0..CELLS).any(|cell| lines.iter().all(|line| line.contains(&cell)));
        !self.holds_line(self.turn()) && one_move
    }
}

#[cfg(test)]
mod tests;
