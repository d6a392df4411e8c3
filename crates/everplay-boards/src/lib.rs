//! Statistics and leaderboards.
//!
//! ```text
//! results -> BoardStore (the truth: standings, each result counted once, one order of changes)
//!                 |  changed rows, and those of other processes
//!                 v
//!            Model in memory: standings and rankings -> statistics, pages, ranks; marked stale while the store is away
//! ```
//!
//! Rules are pure ([`rules`]): what a result does to standings. Stores only keep: SQLite by default, PostgreSQL for
//! several processes. Reading never asks a database, because a rank is a count over everybody who is better: in memory
//! it is two steps of a search, in SQL it is a scan. See docs/leaderboards.md.

mod boards;
mod heads;
mod model;
#[cfg(feature = "postgres")]
mod postgres;
mod ranking;
pub mod rules;
#[cfg(feature = "sqlite")]
mod sqlite;
mod standing;
mod store;
pub mod suite;

pub use boards::{Boards, BoardsOptions};
pub use model::{Board, BoardPage, BoardRow, Fresh, Order, PlayerStats, StatsRow};
#[cfg(feature = "postgres")]
pub use postgres::PostgresBoardStore;
pub use ranking::Ranking;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteBoardStore;
pub use standing::{GameResult, Outcome, ResultPlayer, Scope, Source, Standing, season_of};
pub use store::{BoardStore, Pending, Profile, StoreError, Taken};
