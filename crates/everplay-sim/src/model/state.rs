//! What the machine remembers, packed small: millions of these are kept.

use std::fmt;

/// What must never happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// What a client saw is not what the journal holds at that place.
    SeenIsNotInTheJournal,
    /// A client got an entry again, or out of turn, or another one than it had at that place.
    OutOfTurn,
    /// A client knows entries that the owner it comes to does not have.
    ClientFromTheFuture,
    /// Two nodes wrote with one token.
    TwoWriters,
    /// The node whose token is the fence is refused by the journal: it missed or made up entries, and is stuck.
    OwnerIsRefused,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Violation::SeenIsNotInTheJournal => "what a client saw is not in the journal",
            Violation::OutOfTurn => "a client got an entry out of turn",
            Violation::ClientFromTheFuture => "a client knows more than the owner",
            Violation::TwoWriters => "two writers with one token",
            Violation::OwnerIsRefused => "the rightful owner is refused by its journal",
        })
    }
}

/// Up to seven values of 1 to 15, four bits each, the oldest lowest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Log(u32);

impl Log {
    pub(super) fn len(self) -> u8 {
        ((35 - self.0.leading_zeros()) / 4) as u8
    }

    pub(super) fn at(self, index: u8) -> u8 {
        if index > 7 { 0 } else { (self.0 >> (4 * index) & 15) as u8 }
    }

    pub(super) fn last(self) -> u8 {
        self.len().checked_sub(1).map_or(0, |index| self.at(index))
    }

    #[must_use]
    pub(super) fn with(self, value: u8) -> Log {
        Log(self.0 | u32::from(value) << (4 * self.len()))
    }

    pub(super) fn has(self, value: u8) -> bool {
        (0..self.len()).any(|index| self.at(index) == value)
    }

    pub(super) fn starts_with(self, other: Log) -> bool {
        let bits = 4 * u32::from(other.len());
        self.0 & ((1u32 << bits) - 1) == other.0
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries((0..self.len()).map(|index| self.at(index))).finish()
    }
}

/// Epoch in the high four bits, nonce in the low ones; ordered as the store orders them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Token(u8);

impl Token {
    pub(super) fn new(epoch: u8, nonce: u8) -> Token {
        Token(epoch << 4 | nonce)
    }

    pub(super) fn epoch(self) -> u8 {
        self.0 >> 4
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, n{})", self.epoch(), self.0 & 15)
    }
}

/// A server of the journal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Store {
    pub(super) log: Log,
    pub(super) fence: Token,
}

/// What the primary did and the replica has not heard of yet, in order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Op {
    Seal(Token),
    Append(u8),
}

/// At most [`Ops::ROOM`] of them: a primary further ahead waits, which only postpones what it does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Ops {
    ops: [Option<Op>; Ops::ROOM],
}

impl Ops {
    const ROOM: usize = 4;

    pub(super) fn is_full(&self) -> bool {
        self.ops[Self::ROOM - 1].is_some()
    }

    pub(super) fn push(&mut self, op: Op) {
        if let Some(free) = self.ops.iter_mut().find(|op| op.is_none()) {
            *free = Some(op);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Op> {
        let first = self.ops[0];
        self.ops.rotate_left(1);
        self.ops[Self::ROOM - 1] = None;
        first
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) enum Phase {
    #[default]
    Idle,
    /// Was asked to take the room over from its living owner.
    Offered,
    Granted,
    /// Read, contrary to the rule, before the seal.
    ReadEarly,
    Sealing,
    Sealed,
    Read,
    Live,
}

/// A frame on its way to the gateway.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Frame {
    pub(super) token: Token,
    pub(super) index: u8,
    pub(super) value: u8,
}

/// Whether a client waits for its seat.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) enum Join {
    #[default]
    None,
    Asked,
    /// The pending entry holds its seat.
    InEntry,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Node {
    pub(super) phase: Phase,
    pub(super) token: Token,
    /// Entries that count for this node.
    pub(super) image: Log,
    /// What the owner gave to the target of a hand-over.
    pub(super) warm: Option<Log>,
    /// Computed, and not yet counting; 0 for none.
    pub(super) pending: u8,
    /// The store took the pending entry and said so.
    pub(super) written: bool,
    /// An append of this token was taken.
    pub(super) wrote: bool,
    pub(super) frozen: bool,
    /// Entries sent to the gateway; none when it is not attached here.
    pub(super) sent: Option<u8>,
    pub(super) frame: Option<Frame>,
    pub(super) join: Join,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Gateway {
    pub(super) newest: Token,
    /// What its clients saw.
    pub(super) seen: Log,
    /// Its clients come back and have no seat on it yet.
    pub(super) fresh: bool,
}

/// The whole machine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct State {
    pub(super) granted: Token,
    /// What is in force again when the arbiter forgets.
    pub(super) before: Token,
    pub(super) primary: Store,
    pub(super) replica: Store,
    pub(super) ops: Ops,
    pub(super) nodes: [Node; 3],
    pub(super) gateway: Gateway,
    pub(super) grants: u8,
    pub(super) values: u8,
    pub(super) failovers: u8,
    pub(super) forgotten: u8,
    pub(super) handovers: u8,
    pub(super) gateways: u8,
}

impl State {
    /// The same state with its nodes in a fixed order: they differ in nothing but their numbers.
    pub(super) fn canonical(mut self) -> State {
        // Idle ones last: a search with fewer nodes leaves those at the end out.
        self.nodes.sort_unstable_by(|one, other| other.cmp(one));
        self
    }

    /// What can be told from a state alone.
    pub(super) fn check(&self) -> Result<(), Violation> {
        if !self.primary.log.starts_with(self.gateway.seen) {
            return Err(Violation::SeenIsNotInTheJournal);
        }
        for (index, one) in self.nodes.iter().enumerate() {
            let twin = |other: &Node| other.wrote && other.token == one.token;
            if one.wrote && self.nodes[index + 1..].iter().any(twin) {
                return Err(Violation::TwoWriters);
            }
        }
        Ok(())
    }
}
