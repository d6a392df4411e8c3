//! Tic-tac-toe for Everplay: turns, a clock, computer players, watchers.
//!
//! - [`rules`]: the board and what is allowed on it.
//! - [`computer`]: players for those who have no opponent.
//! - [`room`]: the two at a table, built on both; its public contract is `docs/rooms/tic_tac_toe.md`.

pub mod computer;
pub mod room;
pub mod rules;

pub use room::TicTacToe;
