//! The port of the live store: what a room's owner asks of whatever keeps its journal.

use crate::{AppendError, Chain, Corruption, LoadError, RegisterError, RoomError, SnapshotError};
use bytes::Bytes;
use everplay_types::{CustomerId, Epoch, RoomKey, Seq, Token};
use std::fmt;
use std::pin::Pin;

/// An answer on its way. The call is queued when the method returns, not when the future is first polled.
pub type Pending<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// How large things may be. One meaning in every adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one payload. Default 1 MiB: the first record of a room holds its whole state, and 10,000 entities
    /// of 100 bytes still fit.
    pub payload: usize,
    /// Bytes of all payloads of one append. Default 4 MiB.
    pub batch: usize,
    /// Payloads of one append. Default 1,024.
    pub records: usize,
    /// Bytes of one snapshot. Default 16 MiB.
    pub snapshot: usize,
    /// Bytes of a listing, of a room kind's name and of a quarantine reason. Default 16 KiB.
    pub listing: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { payload: 1 << 20, batch: 4 << 20, records: 1024, snapshot: 16 << 20, listing: 16 << 10 }
    }
}

/// A new room for the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Its name, never used before.
    pub room: RoomKey,
    /// Its first owner's token: the journal's first fence.
    pub token: Token,
    /// The room kind's name, by which the code is found again after a restart.
    pub kind: String,
    /// What matchmaking lists about it; opaque here, JSON by convention.
    pub listing: Bytes,
}

/// Records to append, all or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Whose journal.
    pub room: RoomKey,
    /// The owner's token; must be the fence.
    pub token: Token,
    /// Position that the first payload gets; must be the one after the journal's last.
    pub expected: Seq,
    /// Chain at the journal's last record ([`Chain::start`] when there is none); must be the journal's.
    pub prev: Chain,
    /// In order, one record each. Empty is allowed and writes nothing: a check that the room is still owned.
    pub payloads: Vec<Bytes>,
}

/// Where a journal ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The last durable record; [`Seq::ZERO`] when there is none.
    pub last: Seq,
    /// The chain at it: `prev` of the next append.
    pub chain: Chain,
}

/// The answer to an append: where the journal ended right after *this* batch.
pub type Appended = Position;

/// A room's image to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Of which room.
    pub room: RoomKey,
    /// The owner's token; must be the fence.
    pub token: Token,
    /// The last record it contains. Must be durable.
    pub seq: Seq,
    /// The chain at `seq`.
    pub chain: Chain,
    /// Opaque here.
    pub bytes: Bytes,
}

/// A snapshot as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedSnapshot {
    /// The last record it contains.
    pub seq: Seq,
    /// The chain at it.
    pub chain: Chain,
    /// As published.
    pub bytes: Bytes,
}

/// One record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its position.
    pub seq: Seq,
    /// Epoch of the owner that wrote it.
    pub epoch: Epoch,
    /// As appended.
    pub payload: Bytes,
}

/// What is needed to bring a room back: verified from the snapshot (or the first record) to the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedRoom {
    /// The newest readable snapshot; `None` when there is none, and then the tail starts at 1.
    pub snapshot: Option<LoadedSnapshot>,
    /// Every record after the snapshot, without a hole.
    pub tail: Vec<Entry>,
    /// Where the journal ends: what the last element of `tail` adds up to.
    pub position: Position,
    /// The fence at the time of reading.
    pub fence: Token,
    /// Damaged newer snapshots that were passed over. The room is whole; an operator should still know.
    pub passed_over: Vec<Corruption>,
}

/// Whether a room in the directory may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomState {
    /// It may: whoever is granted it recovers it.
    Live,
    /// It must not until an operator lifts the quarantine.
    Quarantined {
        /// Why, in words for the operator.
        reason: String,
    },
}

/// One room of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Its name.
    pub room: RoomKey,
    /// Its kind's name.
    pub kind: String,
    /// As last given.
    pub listing: Bytes,
    /// The fence.
    pub token: Token,
    /// The last durable record.
    pub last: Seq,
    /// May it run.
    pub state: RoomState,
}

/// Journals, snapshots and the directory of live rooms.
///
/// What an implementor owes, for every method:
/// - **Order.** A call is queued when the method is called. Calls about one room take effect in the order they were
///   made by one caller, so an owner may have several appends in flight; when one is refused, the later ones fail by
///   themselves (`Gap`). Nothing is promised about the order between rooms.
/// - **All or nothing.** A call is done whole or not at all; after any error but `Unknown`, not at all.
/// - **Durability.** `Ok` is said only after the change survives what the adapter documents (SQLite: power loss;
///   memory: nothing). Whatever a later call of anyone sees is durable too.
/// - **Fence.** Every call that changes a journal carries a token and is refused with `Fenced` unless it is the
///   fence. Only `seal` moves the fence, and only up.
/// - **Unknown outcomes.** A call answered `Unknown` was done or not. The same call repeated settles it: every
///   method may be repeated with the same arguments and then answers as before.
/// - **Cancellation.** Dropping a returned future takes nothing back: the call is then one of unknown outcome.
/// - **Bounds.** Queues are bounded; beyond them the answer is `Busy` at once, with nothing written.
/// - **Broken storage.** After a failed sync nothing is reported durable any more: every later call is
///   `Unavailable` until the store was opened anew.
pub trait LiveStore: Send + Sync + fmt::Debug {
    /// Puts a new room into the directory with an empty journal whose fence is the registration's token.
    ///
    /// Repeated with the same token it changes nothing and answers where the journal is now.
    fn register(&self, registration: Registration) -> Pending<Result<Position, RegisterError>>;

    /// Replaces what the directory says about a room. Only after the records it was derived from are durable.
    fn relist(&self, room: RoomKey, token: Token, listing: Bytes) -> Pending<Result<(), RoomError>>;

    /// Appends records.
    ///
    /// Checked in this order before anything is written: the token is the fence; `expected` follows the last record;
    /// `prev` is the journal's chain; sizes. The identical batch repeated (same token, positions, chain, payloads)
    /// answers as it did the first time, as long as its records were not truncated. Fails as [`AppendError`] says.
    fn append(&self, append: Append) -> Pending<Result<Appended, AppendError>>;

    /// Makes `token` the fence if it is not lower than the present one, and answers where the journal ends.
    ///
    /// From the moment of the answer no older token appends, so what is read afterwards is final: first seal, then
    /// load. A lower token is `Fenced`. The order of tokens is by epoch, then by nonce.
    fn seal(&self, room: RoomKey, token: Token) -> Pending<Result<Position, RoomError>>;

    /// Reads what is needed to recover a room: the newest readable snapshot and every record after it.
    ///
    /// Verified: each checksum, the chain from the snapshot to the end, epochs that never fall, and that the end is
    /// where the directory says. A damaged newest snapshot is passed over if the one before (or the first record)
    /// and the records after it are there. Anything else that is damaged is `Corrupt` with its place. Needs no
    /// token; a reader that did not seal may see the journal grow.
    fn load(&self, room: RoomKey) -> Pending<Result<LoadedRoom, LoadError>>;

    /// Publishes an image of the room at a durable position.
    ///
    /// Written aside, read back, compared, then made visible under the fence; the two newest are kept. `seq` must be
    /// above the newest published one; the identical snapshot repeated is `Ok`.
    fn publish_snapshot(&self, snapshot: Snapshot) -> Pending<Result<(), SnapshotError>>;

    /// Lets the store drop records below `below`, and answers the lowest position that is kept.
    ///
    /// Never drops what recovery from the older of the two published snapshots needs; with fewer than two nothing is
    /// dropped. Space is given back later, in bounded steps.
    fn truncate(&self, room: RoomKey, token: Token, below: Seq) -> Pending<Result<Seq, RoomError>>;

    /// The room ended: takes it out of the directory. Its journal can be loaded until the adapter's retention is
    /// over. Repeated, it answers `Ok`, and `NotFound` once the journal is gone.
    fn close(&self, room: RoomKey, token: Token) -> Pending<Result<(), RoomError>>;

    /// The rooms of one customer, or of all, in order of their names; closed ones are not among them.
    fn list(&self, customer: Option<CustomerId>) -> Pending<Result<Vec<DirectoryEntry>, RoomError>>;

    /// One room of the directory; `None` when it is not there (any more).
    fn find(&self, room: RoomKey) -> Pending<Result<Option<DirectoryEntry>, RoomError>>;

    /// Takes a room out of service: it stays listed with the reason, and appends and seals are refused.
    ///
    /// Needs no token, because whoever found the damage may not own the room; it writes no record and loses none.
    /// A second reason does not replace the first.
    fn quarantine(&self, room: RoomKey, reason: String) -> Pending<Result<(), RoomError>>;

    /// An operator's decision: the room may run again. `Ok` also when it was not quarantined.
    fn lift_quarantine(&self, room: RoomKey) -> Pending<Result<(), RoomError>>;
}
