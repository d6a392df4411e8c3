//! The port that says who owns a room, and which nodes there are.
//!
//! Called by nodes before they seal a journal, and by nobody in between: a running room proves its ownership with
//! each append, so the arbiter may be away while rooms play.

use crate::{Pending, Unavailable};
use everplay_types::{Epoch, Incarnation, ProcessId, RoomKey, Token};
use std::fmt;
use std::time::Duration;

/// Who was last granted a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// What the owner writes with.
    pub token: Token,
    /// The owner.
    pub owner: Incarnation,
}

/// Why a room was not granted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GrantError {
    /// The room's epoch is not the one seen: someone else was granted it. Look again and go there.
    #[error("the room was granted to {owner}")]
    Taken {
        /// What is in force; `None` when the room has no grant (any more).
        current: Option<Grant>,
        /// The owner in words, for the message.
        owner: String,
    },
    /// Granted or not, nobody knows: ask [`Arbiter::current`] and compare the owner. Never assume.
    #[error("the outcome is unknown")]
    Unknown,
    /// Nothing was granted; repeat after a pause.
    #[error("no grants for the moment: {reason}")]
    Later {
        /// For operators: the queue or the disk is full.
        reason: &'static str,
    },
    /// The arbiter does not work.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl GrantError {
    pub(crate) fn taken(current: Option<Grant>) -> Self {
        let owner = current.map_or_else(|| "nobody".to_owned(), |grant| grant.owner.to_string());
        GrantError::Taken { current, owner }
    }
}

/// What a node says about itself when it starts: how others find it. Texts of at most [`NodeRow::MAX_TEXT`] bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Which start of which process.
    pub incarnation: Incarnation,
    /// First segment of the URLs of the rooms that are made there.
    pub process_id: ProcessId,
    /// `host:port` at which other nodes link up with it.
    pub address: String,
    /// `host:port` of its gateway, for people and for tools.
    pub http: String,
    /// Of the program.
    pub version: String,
    /// Where it stands; empty when nobody said.
    pub zone: String,
}

impl NodeRow {
    /// Longest text of a row in bytes: a host name has at most 253.
    pub const MAX_TEXT: usize = 512;

    /// Whether every text is within [`Self::MAX_TEXT`].
    pub(crate) fn fits(&self) -> bool {
        [&self.address, &self.http, &self.version, &self.zone]
            .iter()
            .all(|text| text.len() <= Self::MAX_TEXT && !text.contains('\0'))
    }
}

/// What changes about a node while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NodeState {
    /// It hands its rooms over and takes none.
    pub draining: bool,
    /// Rooms it runs.
    pub rooms: u32,
}

/// A node as the arbiter knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeLease {
    /// As it joined.
    pub row: NodeRow,
    /// As it last renewed.
    pub state: NodeState,
    /// Since it joined or last renewed, by the arbiter's clock. For people and placement only: ownership never
    /// depends on it.
    pub age: Duration,
}

/// Which grants are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantsOf {
    /// Those of one start of a node: what is to be taken over when it is gone.
    Owner(Incarnation),
    /// Those of owners that are none of these: what earlier starts left behind.
    NotOf(Vec<Incarnation>),
}

impl GrantsOf {
    pub(crate) fn includes(&self, owner: Incarnation) -> bool {
        match self {
            GrantsOf::Owner(wanted) => *wanted == owner,
            GrantsOf::NotOf(others) => !others.contains(&owner),
        }
    }
}

/// Why the arbiter did not answer or change a row.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ArbiterError {
    /// The node has no row (any more): someone found it dead, or it never joined. It may join again.
    #[error("the node is not listed")]
    NotListed,
    /// A text of a node's row does not fit.
    #[error("a text of the node's row is longer than {} bytes or has a zero in it", NodeRow::MAX_TEXT)]
    Text,
    /// Another token is in force.
    #[error("the room was granted to {}", current.owner)]
    Taken {
        /// What is in force.
        current: Grant,
    },
    /// Repeat the call.
    #[error("no answer for the moment")]
    Later,
    /// The arbiter does not work.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Mints `(epoch, nonce)`: who may own a room next.
///
/// What an implementor owes:
/// - **Compare-and-set.** Of several grants that saw the same epoch exactly one succeeds. The granted epoch is one
///   above the one seen; the nonce is 128 fresh random bits, so that an arbiter that forgot a grant and issues its
///   number again is told apart.
/// - **Durability.** A grant that was answered is never forgotten by a restart; one that was not answered may have
///   happened (`Unknown`, or a dropped future).
/// - **Order.** Calls take effect one after another, each between its start and its answer.
/// - **Cancellation.** Dropping a returned future takes nothing back.
/// - **Nodes.** Rows of nodes say where to look and who should be alive. They decide nothing, need not survive the
///   arbiter's failover, and the last write wins.
/// - **No clocks.** Grants do not expire; whoever has evidence asks for the next one, and the journal's fence makes
///   a mistake harmless.
pub trait Arbiter: Send + Sync + fmt::Debug {
    /// Makes `owner` the owner of `room` if its epoch is still `seen` ([`Epoch::NONE`]: never granted).
    fn grant(&self, room: RoomKey, seen: Epoch, owner: Incarnation) -> Pending<Result<Token, GrantError>>;

    /// The grant in force; `None` when there never was one. Reads the truth, not a replica.
    fn current(&self, room: RoomKey) -> Pending<Result<Option<Grant>, ArbiterError>>;

    /// Forgets a room that ended. Only the token in force may; a room without a grant is forgotten already (`Ok`).
    fn retire(&self, room: RoomKey, token: Token) -> Pending<Result<(), ArbiterError>>;

    /// Lists a node as one that neither drains nor runs rooms, in place of an earlier row of the same incarnation.
    fn join(&self, node: NodeRow) -> Pending<Result<(), ArbiterError>>;

    /// Says that a node is alive, and how it is. [`ArbiterError::NotListed`] when its row was removed.
    fn renew(&self, node: Incarnation, state: NodeState) -> Pending<Result<(), ArbiterError>>;

    /// Removes a node's row: it stopped, or whoever calls has evidence that it is gone. Its grants stay. `Ok` also when
    /// there is none.
    fn leave(&self, node: Incarnation) -> Pending<Result<(), ArbiterError>>;

    /// Every listed node, in the order of their incarnations.
    fn nodes(&self) -> Pending<Result<Vec<NodeLease>, ArbiterError>>;

    /// Grants in force by their owner, in the order of the rooms' names.
    fn grants(&self, of: GrantsOf) -> Pending<Result<Vec<(RoomKey, Grant)>, ArbiterError>>;
}
