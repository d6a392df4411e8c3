use everplay_room::{FrameKind, Listing, Out, Recipients};
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
    /// How many [`Reattach`](crate::host::Reattach)es were taken before it.
    pub(crate) taken: u64,
}

/// Frames that are worth a turn: fewer are written sooner than it comes.
const MANY: usize = 8;

impl Batch {
    fn is_free(&self, durable: Seq, ahead_until: Option<Instant>) -> bool {
        self.seq <= durable || ahead_until.is_some_and(|until| self.made >= until)
    }

    fn is_patches(&self) -> bool {
        let patch = |out: &Out| matches!(out, Out::Frame { kind: FrameKind::Patch, .. });
        self.listing.is_none() && !self.ended && !self.mark && self.out.iter().all(patch)
    }

    fn frames(&self) -> usize {
        let of = |out: &Out| match out {
            Out::Frame { to: Recipients::Many(conns), .. } => conns.len(),
            _ => 1,
        };
        self.out.iter().map(of).sum()
    }
}

impl Gate {
    pub(crate) fn hold(&mut self, batch: Batch) {
        self.0.push_back(batch);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all that waits are patches, and many of them.
    pub(crate) fn is_fan_out(&self) -> bool {
        let mut frames = 0;
        self.0.iter().all(|batch| {
            frames += batch.frames();
            batch.is_patches()
        }) && frames >= MANY
    }

    /// Whether there is a batch that may leave.
    pub(crate) fn may_release(&self, durable: Seq, ahead_until: Option<Instant>) -> bool {
        self.0.front().is_some_and(|first| first.is_free(durable, ahead_until))
    }

    /// The next batch that may leave: durable, or made before `lead` when clients may be ahead that far.
    pub(crate) fn release(&mut self, durable: Seq, ahead_until: Option<Instant>) -> Option<Batch> {
        if self.may_release(durable, ahead_until) { self.0.pop_front() } else { None }
    }

    /// Forgets everything: none of it was seen.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use everplay_room::ConnId;

    fn batch(seq: u64) -> Batch {
        Batch {
            seq: Seq(seq),
            made: Instant::now(),
            out: Vec::new(),
            listing: None,
            ended: false,
            mark: false,
            reattached: 0,
            taken: 0,
        }
    }

    #[test]
    fn only_patches_for_many_wait_for_a_turn() {
        let frame = |to, kind| Out::Frame { to, kind, bytes: bytes::Bytes::new() };
        let many = || Recipients::Many((0..MANY as u64).map(ConnId).collect());
        let one = || Recipients::One(ConnId(1));
        let mut gate = Gate::default();
        gate.hold(Batch { out: vec![frame(one(), FrameKind::Patch)], ..batch(1) });
        assert!(!gate.is_fan_out());
        gate.hold(Batch { out: vec![frame(many(), FrameKind::Patch)], ..batch(2) });
        assert!(gate.is_fan_out());
        assert!(gate.may_release(Seq(1), None) && !gate.may_release(Seq(0), None));
        gate.hold(Batch { out: vec![frame(one(), FrameKind::Message)], ..batch(2) });
        assert!(!gate.is_fan_out());
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
