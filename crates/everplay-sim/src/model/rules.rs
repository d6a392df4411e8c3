//! What can be switched off, and how far the search goes.

use std::fmt;

/// One rule of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Rule {
    /// An append is refused unless its token is the fence. Without: any token writes.
    Fence,
    /// An append is refused unless it follows the journal's end, by position and chain. Without: it goes to the end.
    Position,
    /// A seal never lowers the fence. Without: the last one to seal is the fence.
    SealRises,
    /// A successor reads after its seal. Without: before.
    SealBeforeRead,
    /// A seal counts once the replica has it. Without: once the primary has it.
    WaitSeal,
    /// An entry counts once the replica has it. Without: once the primary has it.
    WaitEntries,
    /// Nothing is sent before its entry counts. Without: when it is computed.
    SendAfterDurable,
    /// A successor is live once its first own entry counts. Without: as soon as it has read.
    EpochStart,
    /// An append without an answer is repeated as it was, and known by that. Without: something new is computed for its
    /// place.
    RepeatSame,
    /// Tokens carry a nonce. Without: epochs alone are compared.
    Nonce,
    /// Epochs come from the arbiter. Without: from the journal store, one above its fence.
    ArbiterMints,
    /// The target of a hand-over compares what it was given with its seal and reads again. Without: it trusts its copy.
    RereadAfterSeal,
    /// A gateway takes frames of its newest epoch only, and never attaches to an older one. Without: of any.
    GatewayFence,
    /// A gateway says what it forwarded when it attaches. Without: the owner begins with what comes next.
    TellForwarded,
    /// A client that joins sees nothing before its seat's own entry counts. Without: it sees the state at once.
    JoinThroughJournal,
}

impl Rule {
    /// All of them, in the order in which they come up in a room's life.
    pub const ALL: [Rule; 15] = [
        Rule::ArbiterMints,
        Rule::Nonce,
        Rule::SealRises,
        Rule::SealBeforeRead,
        Rule::WaitSeal,
        Rule::EpochStart,
        Rule::Fence,
        Rule::Position,
        Rule::RepeatSame,
        Rule::WaitEntries,
        Rule::SendAfterDurable,
        Rule::GatewayFence,
        Rule::TellForwarded,
        Rule::JoinThroughJournal,
        Rule::RereadAfterSeal,
    ];
}

impl Rule {
    /// Whether the rule can make any difference there.
    pub fn matters(self, bounds: &Bounds) -> bool {
        match self {
            Rule::RereadAfterSeal => bounds.handovers > 0,
            Rule::JoinThroughJournal => bounds.gateways > 0,
            _ => true,
        }
    }
}

/// The rules in force.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rules(u32);

impl Rules {
    /// Every rule.
    pub const ALL: Rules = Rules(u32::MAX);

    /// These without one.
    #[must_use]
    pub const fn without(self, rule: Rule) -> Rules {
        Rules(self.0 & !(1 << rule as u8))
    }

    pub(crate) const fn has(self, rule: Rule) -> bool {
        self.0 & (1 << rule as u8) != 0
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing: Vec<Rule> = Rule::ALL.into_iter().filter(|rule| !self.has(*rule)).collect();
        write!(f, "all but {missing:?}")
    }
}

/// What ends a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judge {
    /// Every [`Violation`](super::Violation).
    Strict,
    /// Only what a client could notice: an owner that is refused by its journal gives the room up instead.
    Players,
}

/// How often what may happen, and how long the room's journal gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Name in the tables.
    pub name: &'static str,
    /// Nodes that take part, at most 3.
    pub nodes: usize,
    /// Epochs granted, at most 6.
    pub grants: u8,
    /// Entries computed, at most 7; an epoch's first one counts.
    pub values: u8,
    /// Fail-overs of the journal store.
    pub failovers: u8,
    /// Grants that the arbiter forgets.
    pub forgotten: u8,
    /// Hand-overs begun.
    pub handovers: u8,
    /// Gateways lost; their clients come back through one that knows nothing.
    pub gateways: u8,
}

impl Bounds {
    /// What the tests search. Together they take seconds.
    pub const TESTED: [Bounds; 4] = [
        Bounds {
            name: "take-over, store fails twice",
            nodes: 2,
            grants: 3,
            values: 4,
            failovers: 2,
            forgotten: 0,
            handovers: 0,
            gateways: 0,
        },
        Bounds {
            name: "arbiter forgets",
            nodes: 2,
            grants: 3,
            values: 3,
            failovers: 0,
            forgotten: 1,
            handovers: 0,
            gateways: 0,
        },
        Bounds {
            name: "hand-over",
            nodes: 3,
            grants: 3,
            values: 4,
            failovers: 0,
            forgotten: 0,
            handovers: 1,
            gateways: 0,
        },
        Bounds {
            name: "gateway lost",
            nodes: 2,
            grants: 3,
            values: 4,
            failovers: 1,
            forgotten: 0,
            handovers: 0,
            gateways: 1,
        },
    ];
}
