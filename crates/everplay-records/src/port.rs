//! The port of the record store, and its words.

use crate::{Cursor, Table};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::pin::Pin;

/// An answer on its way. The call may be under way when the method returns; a dropped future leaves a write of unknown
/// outcome.
pub type Pending<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// One record: its attributes by name, the key's among them. Objects, lists, texts, numbers, booleans and null.
pub type Item = serde_json::Map<String, serde_json::Value>;

/// The attributes of a value that serialises to an object.
///
/// Panics when it does not: the types of this crate are objects.
pub fn item_of(value: &impl Serialize) -> Item {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::Object(item)) => item,
        other => panic!("a record is an object, this is {other:?}"),
    }
}

/// Second part of a key: the order of items within a partition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// The table has no sort attribute.
    None,
    /// A whole number.
    Number(i64),
}

/// Where an item is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// First part; begins with the customer.
    pub partition: String,
    /// Second part, of the table's kind.
    pub sort: Sort,
}

impl Key {
    /// The key of a table without a sort attribute.
    pub fn single(partition: impl Into<String>) -> Self {
        Self { partition: partition.into(), sort: Sort::None }
    }

    /// The key of a table with one.
    pub fn pair(partition: impl Into<String>, sort: i64) -> Self {
        Self { partition: partition.into(), sort: Sort::Number(sort) }
    }
}

/// What must be true of the item at a key for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Always,
    /// There is none.
    Absent,
    /// There is one and its attribute `version` is this number.
    Version(u64),
    /// There is none, or its attribute `version` is below this number.
    OlderThan(u64),
}

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Puts an item in the place of what is at its key.
    Put {
        /// Where to.
        table: Table,
        /// Its attributes; the key is read from them.
        item: Item,
        /// When.
        condition: Condition,
    },
    /// Takes an item away; nothing there is no error.
    Delete {
        /// Where from.
        table: Table,
        /// Which.
        key: Key,
        /// When.
        condition: Condition,
    },
    /// Changes nothing, but the other writes happen only if this holds.
    Check {
        /// Where.
        table: Table,
        /// Which.
        key: Key,
        /// What.
        condition: Condition,
    },
}

/// How much of a list, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paging {
    /// Items at most, 1 to 1,000.
    pub limit: u32,
    /// Go on after this position of an earlier page.
    pub after: Option<Cursor>,
}

impl Paging {
    /// The first `limit` items.
    pub fn first(limit: u32) -> Self {
        Self { limit, after: None }
    }
}

/// Items of one partition, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Of which table.
    pub table: Table,
    /// By which index; None: by the table's own key.
    pub index: Option<&'static str>,
    /// Value of the partition attribute (the index's, if one is named).
    pub partition: String,
    /// Only those whose number in the sort attribute is at least this. Not for indexes sorted by text.
    pub from: Option<i64>,
    /// Highest first.
    pub descending: bool,
    /// Which part of the answer.
    pub paging: Paging,
}

/// Part of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// In order; expired ones are not among them, so there may be fewer than asked for although more follow.
    pub items: Vec<T>,
    /// Where the rest begins; None: this was all.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// The same page of other values.
    pub fn try_map<U, E>(self, map: impl FnMut(T) -> Result<U, E>) -> Result<Page<U>, E> {
        Ok(Page { items: self.items.into_iter().map(map).collect::<Result<_, _>>()?, next: self.next })
    }
}

/// Why a store did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Too many calls: the database or the queue in front of it says so. Nothing was written; later.
    #[error("the record store is busy")]
    Throttled,
    /// It is away, or broken. Nothing was written; later.
    #[error("the record store is unavailable: {0}")]
    Unavailable(String),
    /// It did not say whether the write happened. The same write repeated settles it.
    #[error("the record store did not say whether it wrote: {0}")]
    Unknown(String),
    /// The breaker is open: it was not even asked. Not before that many milliseconds.
    #[error("the record store is given a rest for {0} ms")]
    Resting(u64),
    /// The call is wrong, today and tomorrow: a key is missing, a cursor is forged, an item is too large.
    #[error("the record store refuses the call: {0}")]
    Invalid(String),
    /// What was read is not what this release writes.
    #[error("a record cannot be read: {0}")]
    Unreadable(String),
}

impl StoreError {
    /// Whether the same call may succeed later.
    pub fn is_passing(&self) -> bool {
        !matches!(self, StoreError::Invalid(_) | StoreError::Unreadable(_))
    }
}

/// Why nothing was written.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WriteError {
    /// A condition does not hold.
    #[error("write {at} is refused: its condition does not hold")]
    Refused {
        /// The first of the writes, from 0.
        at: usize,
        /// What is at its key.
        found: Option<Box<Item>>,
    },
    /// The store did not do it, or did not say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Tables of items.
///
/// What an implementor owes, for every method:
/// - **All or nothing.** A list of writes happens whole or not at all, and readers of single items never see half.
///   Conditions are checked against one moment, the moment of the change.
/// - **Durability.** `Ok` to a write is said only after it survives what the adapter documents.
/// - **Fresh reads.** `get` and `query` of a table see every write that was answered. A query of an *index* may be
///   behind for a moment (DynamoDB); who must not be fooled reads the item before changing it under a condition.
/// - **Unknown outcomes.** A write answered `Unknown` happened or not, whole. [`Guarded`](crate::Guarded) settles it.
/// - **Expiry.** An item whose attribute `expiresAt` (seconds since 1970) has passed is not there, whether it was
///   deleted already or not.
/// - **Bounds.** At most [`MAX_WRITES`](crate::MAX_WRITES) writes, each about another key, 350 KiB each; else
///   `Invalid` before anything happened.
pub trait RecordStore: Send + Sync + fmt::Debug {
    /// The item at a key.
    fn get(&self, table: Table, key: Key) -> Pending<Result<Option<Item>, StoreError>>;

    /// Items of a partition, in the order of the sort attribute.
    fn query(&self, query: Query) -> Pending<Result<Page<Item>, StoreError>>;

    /// Changes items, all or none.
    fn write(&self, writes: Vec<Write>) -> Pending<Result<(), WriteError>>;

    /// Makes the tables that are not there. Those that are and differ from [`TABLES`](crate::TABLES) are `Invalid`,
    /// with the difference.
    fn create_tables(&self) -> Pending<Result<(), StoreError>>;
}

/// A record as its type.
pub(crate) fn typed<T: DeserializeOwned>(item: Item) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::Object(item))
        .map_err(|error| StoreError::Unreadable(error.to_string()))
}
