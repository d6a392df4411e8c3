//! The record store: what is kept when a room is long gone. Finished games with their moves, players' histories, the
//! waiting line's records, tickets, notices and articles of the support desk.
//!
//! ```text
//! Games, Line, Tickets, ...  what is stored, in which table, under which condition: once, for every adapter
//!        |
//! RecordStore               the port: items by key, queries of an index, writes that all happen or none
//!        |
//! Guarded                   bounded tries and a breaker in front of a store that can be away
//!        |
//! MemoryRecordStore  SqliteRecordStore  PostgresRecordStore  DynamoRecordStore
//! ```
//!
//! The port is shaped like DynamoDB because that is the narrower side: what it can do, the others can do too. The
//! customer is part of every key. [`suite`] is what every adapter must do.

mod articles;
mod cursor;
#[cfg(feature = "dynamodb")]
mod dynamodb;
mod games;
mod guard;
mod line;
mod memory;
mod notices;
mod port;
#[cfg(feature = "postgres")]
mod postgres;
mod rules;
#[cfg(feature = "sqlite")]
mod sqlite;
pub mod suite;
mod tables;
mod tickets;

pub use articles::{Article, Articles};
pub use cursor::Cursor;
#[cfg(feature = "dynamodb")]
pub use dynamodb::{DynamoError, DynamoOptions, DynamoRecordStore};
pub use games::{Game, GameId, GameMove, GamePlayer, GameStatus, Games, PlayedGame, Saved};
pub use guard::{Breaker, BreakerOptions, Guarded, Permit, RetryOptions};
pub use line::{Line, LineChange, LineRecord, LineStatus};
pub use memory::MemoryRecordStore;
pub use notices::{Notice, NoticeList, Notices};
pub use port::{
    Condition, Item, Key, Page, Paging, Pending, Query, RecordStore, Sort, StoreError, Write, WriteError,
    item_of,
};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresError, PostgresRecordStore};
pub use rules::{MAX_ITEM_BYTES, MAX_PAGE, MAX_WRITES};
#[cfg(feature = "sqlite")]
pub use sqlite::{OpenError, SqliteRecordStore};
pub use tables::{Attribute, EXPIRY, Index, TABLES, Table, TableSpec};
pub use tickets::{Evidence, Reply, Ticket, Tickets};
