use everplay_room::{Listing, Out};
use everplay_types::Seq;
use std::collections::VecDeque;
use tokio::time::Instant;

/// Holds what steps want to send until the journal is durable up to them.
///
/// Invariant: batches leave in the order they were made, and none leaves before the journal holds every record
/// up to its own. It is not bounded by itself: a room whose records wait stops stepping
/// ([`Limits::unconfirmed_bytes`](crate::Limits)).
#[derive(Debug, Default)]
pub(crate) struct Gate(VecDeque<Batch>);

/// What one step wants to send.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The step's record, or the last one before it when it has none.
    pub(crate) seq: Seq,
    pub(crate) made: Instant,
    pub(crate) out: Vec<Out>,
    pub(crate) listing: Option<Listing>,
    pub(crate) ended: bool,
    /// Nodes that keep sockets of this room are told of `seq`, also those that nothing is sent to.
    pub(crate) mark: bool,
    /// The newest [`Reattach`](crate::host::Reattach) of this node's sockets before it.
    pub(crate) reattached: u64,
}

impl Gate {
    pub(crate) fn hold(&mut self, batch: Batch) {
        self.0.push_back(batch);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next batch that may leave: durable, or made before `lead` when clients may be ahead that far.
    pub(crate) fn release(&mut self, durable: Seq, ahead_until: Option<Instant>) -> Option<Batch> {
        let first = self.0.front()?;
        let free = first.seq <= durable || ahead_until.is_some_and(|until| first.made >= until);
        if free { self.0.pop_front() } else { None }
    }

    /// Forgets everything: none of it was seen.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(seq: u64) -> Batch {
        Batch {
            seq: Seq(seq),
            made: Instant::now(),
            out: Vec::new(),
            listing: None,
            ended: false,
            mark: false,
            reattached: 0,
        }
    }

    #[test]
    fn nothing_overtakes_an_undurable_batch() {
        let mut gate = Gate::default();
        for seq in [1, 2, 2, 3] {
            gate.hold(batch(seq));
        }
        assert_eq!(gate.release(Seq(0), None).map(|b| b.seq), None);
        assert_eq!(gate.release(Seq(2), None).map(|b| b.seq), Some(Seq(1)));
        assert_eq!(gate.release(Seq(2), None).map(|b| b.seq), Some(Seq(2)));
        assert_eq!(gate.release(Seq(2), None).map(|b| b.seq), Some(Seq(2)));
        assert_eq!(gate.release(Seq(2), None).map(|b| b.seq), None);
        assert!(!gate.is_empty());
    }
}
