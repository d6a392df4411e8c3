//! Bugs put in on purpose: a simulation that does not find them has shown nothing.
//!
//! Those of stores, arbiter, links and the room are put into what surrounds the nodes; those of the nodes are behind a
//! feature of everplay-node that the program is built without.

use everplay_node::Bug;

/// One bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Planted {
    /// The program as it is.
    #[default]
    None,
    /// The store takes an append whatever its place.
    AppendUnplaced,
    /// The store writes a repeated batch a second time.
    RepeatWritesAgain,
    /// The store confirms an append before its replica has it.
    AppendUnconfirmed,
    /// The store confirms some appends that it did not write.
    AppendNotWritten,
    /// A seal changes nothing.
    SealWithoutEffect,
    /// A load leaves the newest record out.
    LoadStale,
    /// A fail-over loses a record that was confirmed.
    FailoverLosesARecord,
    /// The arbiter gives an epoch to a second node.
    GrantTwice,
    /// The arbiter says who owned a room before.
    GrantStale,
    /// The arbiter's list of grants lacks one.
    GrantsLeftOut,
    /// A link loses messages from the middle.
    LinkDrops,
    /// A link delivers messages twice.
    LinkRepeats,
    /// A link delivers messages out of order.
    LinkSwaps,
    /// A room that came back tells its last result again.
    ResultAgain,
    /// In the node.
    Node(Bug),
}

impl Planted {
    /// All of them.
    pub const ALL: [Planted; 31] = [
        Planted::AppendUnplaced,
        Planted::RepeatWritesAgain,
        Planted::AppendUnconfirmed,
        Planted::AppendNotWritten,
        Planted::SealWithoutEffect,
        Planted::LoadStale,
        Planted::FailoverLosesARecord,
        Planted::GrantTwice,
        Planted::GrantStale,
        Planted::GrantsLeftOut,
        Planted::LinkDrops,
        Planted::LinkRepeats,
        Planted::LinkSwaps,
        Planted::ResultAgain,
        Planted::Node(Bug::SendsEarly),
        Planted::Node(Bug::UnknownIsDone),
        Planted::Node(Bug::ReadsBeforeSeal),
        Planted::Node(Bug::TakeoverDrops),
        Planted::Node(Bug::LeavesStrays),
        Planted::Node(Bug::TakesOldAttachments),
        Planted::Node(Bug::ForwardedLess),
        Planted::Node(Bug::ForwardedMore),
        Planted::Node(Bug::SendsKeptTwice),
        Planted::Node(Bug::LeavesDeadLinks),
        Planted::Node(Bug::SpeaksOnLaterLinks),
        Planted::Node(Bug::ReattachesTwiceInATurn),
        Planted::Node(Bug::CountsBeforeReattached),
        Planted::Node(Bug::TellsBeforeReattached),
        Planted::Node(Bug::TakesEveryJoin),
        Planted::Node(Bug::AdoptsTwice),
        Planted::Node(Bug::UnknownRoomIsGone),
    ];

    /// As the command line has it.
    pub fn name(self) -> String {
        match self {
            Planted::Node(bug) => format!("{bug:?}"),
            other => format!("{other:?}"),
        }
    }
}
