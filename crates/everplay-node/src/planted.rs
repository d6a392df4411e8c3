//! Bugs put in on purpose, to see whether the simulator finds them.
//!
//! Only with the feature `planted`, which nothing but the simulator asks for: without it [`is`] is false at compile time,
//! and nothing of a bug is in the program. With it, a bug is chosen for everything that runs on the calling thread.

/// One bug.
#[cfg_attr(not(feature = "planted"), expect(unreachable_pub, reason = "only the simulator sees it"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// What a step sends leaves before its record is durable.
    SendsEarly,
    /// An append without an answer counts as done.
    UnknownIsDone,
    /// A take-over reads the journal before it seals.
    ReadsBeforeSeal,
    /// A take-over drops the clients, as a restart of a single node does.
    TakeoverDrops,
    /// A room that was granted and not sealed is left alone.
    LeavesStrays,
    /// A gateway takes frames for sockets' earlier attachments.
    TakesOldAttachments,
    /// A gateway says it forwarded one record less than it did.
    ForwardedLess,
    /// A gateway says it forwarded one record more than it did.
    ForwardedMore,
    /// A gateway sends what it kept twice.
    SendsKeptTwice,
    /// The link to a node that counts as dead is left as it is.
    LeavesDeadLinks,
    /// What a room has for sockets as they were attached over a link that broke goes out over the next one.
    SpeaksOnLaterLinks,
    /// A socket is attached twice in one turn of its room.
    ReattachesTwiceInATurn,
    /// What a room delivered before it took this node's sockets counts as given to them.
    CountsBeforeReattached,
    /// What a room delivered before it took another node's sockets is told of as given to them, with what it says beside
    /// its steps, too.
    TellsBeforeReattached,
    /// A socket may join while another one that came with the same token does.
    TakesEveryJoin,
    /// Two tasks of a node take the same room over at the same time.
    AdoptsTwice,
    /// A room that nobody told of counts as ended.
    UnknownRoomIsGone,
}

#[cfg(feature = "planted")]
mod chosen {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        static CHOSEN: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Puts a bug into every node that runs on this thread from now on.
    pub fn plant(bug: Option<Bug>) {
        CHOSEN.set(bug);
    }

    pub(crate) fn is(bug: Bug) -> bool {
        CHOSEN.get() == Some(bug)
    }
}

#[cfg(feature = "planted")]
pub(crate) use chosen::is;
#[cfg(feature = "planted")]
pub use chosen::plant;

/// There are no bugs on purpose in this build.
#[cfg(not(feature = "planted"))]
pub(crate) const fn is(_: Bug) -> bool {
    false
}
