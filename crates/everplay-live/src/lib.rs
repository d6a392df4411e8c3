//! Where a room outlives its process: journals, snapshots, the room directory and the right to own a room.
//!
//! ```text
//! arbiter.grant -> token -> store.seal -> store.load -> own records: store.append ... -> store.close
//! ```
//!
//! Three ports, each with its obligations in the trait's documentation and a conformance suite that every adapter runs:
//!
//! | port | adapters here | suite |
//! |---|---|---|
//! | [`LiveStore`]: journals, snapshots, directory | [`MemoryLiveStore`], [`SqliteLiveStore`], [`RedisLiveStore`] | `suite::live` |
//! | [`Arbiter`]: who owns a room | [`MemoryArbiter`], [`SqliteArbiter`], [`PostgresArbiter`] | `suite::arbiter` |
//! | [`Allowances`]: how often one may ask, over all nodes | [`MemoryAllowances`], [`RedisAllowances`] | `suite::allowances` |
//!
//! What must always hold, in every adapter:
//! - one value per (room, seq), for ever: the sequence and chain comparison makes forks impossible even if tokens collide;
//! - after a seal no older token writes, so what the new owner reads afterwards is final;
//! - an answer of success means durable in the adapter's documented sense, and nothing else does;
//! - "no such room" and "could not read" are different answers.
//!
//! The format on disk is described in `docs/journal.md`, what each store promises in `docs/stores.md`.

mod allowance;
mod arbiter;
mod error;
#[doc(hidden)]
pub mod group;
mod memory;
mod nodes;
mod port;
#[cfg(feature = "postgres")]
mod postgres;
pub mod record;
#[cfg(feature = "redis")]
mod redis;
mod rules;
#[cfg(feature = "sqlite")]
mod sqlite;
#[doc(hidden)]
pub mod suite;

#[cfg(feature = "redis")]
pub use self::redis::{
    AddressError, Discovery, Durability as RedisDurability, Host, Login, Notice as RedisNotice, RedisAddress,
    RedisAllowances, RedisLiveStore, RedisOpenError, RedisOptions, Unsafe as UnsafeRedis,
};
pub use allowance::{Allowance, Allowances, Bucket, MemoryAllowances};
pub use arbiter::{Arbiter, ArbiterError, Grant, GrantError, GrantsOf, NodeLease, NodeRow, NodeState};
pub use error::{
    AppendError, Corruption, LoadError, RegisterError, Retry, RoomError, SnapshotError, Unavailable,
};
pub use everplay_types::Incarnation;
pub use memory::{Fault, MemoryArbiter, MemoryLiveStore};
pub use port::{
    Append, Appended, DirectoryEntry, Entry, Limits, LiveStore, LoadedRoom, LoadedSnapshot, Pending,
    Position, Registration, RoomState, Snapshot,
};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresArbiter, PostgresError, PostgresOptions};
pub use record::Chain;
#[cfg(feature = "sqlite")]
pub use sqlite::{
    FILE_NAME, LOCK_NAME, OpenError, SCHEMA_VERSION, SqliteArbiter, SqliteLiveStore, SqliteOptions,
    SqliteStats,
};
