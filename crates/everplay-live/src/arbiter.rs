//! The port that says who owns a room.
//!
//! Called by nodes before they seal a journal, and by nobody in between: a running room proves its ownership with
//! each append, so the arbiter may be away while rooms play.

use crate::{Pending, Unavailable};
use everplay_types::{Epoch, RoomKey, Token};
use std::fmt;

/// One start of one node process: 128 random bits drawn when it starts.
///
/// Not a host or pod name: a restarted process must not inherit what its predecessor was granted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub [u8; 16]);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incarnation({self})")
    }
}

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

/// Why the arbiter did not answer or change a row.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ArbiterError {
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
/// - **No clocks.** Grants do not expire; whoever has evidence asks for the next one, and the journal's fence makes
///   a mistake harmless.
pub trait Arbiter: Send + Sync + fmt::Debug {
    /// Makes `owner` the owner of `room` if its epoch is still `seen` ([`Epoch::NONE`]: never granted).
    fn grant(&self, room: RoomKey, seen: Epoch, owner: Incarnation) -> Pending<Result<Token, GrantError>>;

    /// The grant in force; `None` when there never was one. Reads the truth, not a replica.
    fn current(&self, room: RoomKey) -> Pending<Result<Option<Grant>, ArbiterError>>;

    /// Forgets a room that ended. Only the token in force may; a room without a grant is forgotten already (`Ok`).
    fn retire(&self, room: RoomKey, token: Token) -> Pending<Result<(), ArbiterError>>;
}
