//! Tic-tac-toe for Everplay: turns, a clock, computer players, watchers.
//!
//! - [`rules`]: the board and what is allowed on it.
//! - [`computer`]: players for those who have no opponent.
//! - [`room`]: the two at a table, built on both; its public contract is `docs/rooms/tic_tac_toe.md`.
//! - [`mod@line`]: tables where the winner stays and the others wait in order; its public contract is `docs/line.md`.

pub mod computer;
pub mod line;
pub mod room;
pub mod rules;

pub use line::WaitingLine;
pub use room::TicTacToe;
