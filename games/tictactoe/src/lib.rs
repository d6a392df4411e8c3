//! Tic-tac-toe for Everplay.
//!
//! - [`rules`]: the board and what is allowed on it.
//! - [`computer`]: players for those who have no opponent.

pub mod computer;
pub mod rules;
