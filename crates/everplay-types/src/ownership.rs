use serde::{Deserialize, Serialize};
use std::fmt;

/// Number raised each time a room changes owner. Minted by the arbiter, enforced by the journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// No owner yet: the epoch of a journal nobody has sealed.
    pub const NONE: Epoch = Epoch(0);

    /// The epoch of the next owner.
    pub fn next(self) -> Epoch {
        Epoch(self.0.checked_add(1).expect("2^64 changes of owner do not happen"))
    }
}

/// 128 random bits drawn once per grant: a regressed arbiter that issues an epoch twice is still told apart.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(pub [u8; 16]);

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce(")?;
        for byte in &self.0[..4] {
            write!(f, "{byte:02x}")?;
        }
        write!(f, "..)")
    }
}

/// One start of one node process: 128 random bits drawn when it starts.
///
/// Not a host or pod name: a restarted process must not inherit what its predecessor was granted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
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

/// What every write to a journal carries, so that old owners are refused.
///
/// Order: the higher epoch wins; equal epochs need equal nonces, and a different one loses or wins by its
/// bytes, so that exactly one of two owners with the same epoch survives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Token {
    /// Raised at each grant.
    pub epoch: Epoch,
    /// Drawn at each grant.
    pub nonce: Nonce,
}

/// Position of a record in a room's journal. The first record has 1; 0 means "nothing yet".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first record.
    pub const ZERO: Seq = Seq(0);

    /// The position after this one.
    pub fn next(self) -> Seq {
        Seq(self.0.checked_add(1).expect("2^64 records do not fit any store"))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
