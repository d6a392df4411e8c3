//! Where a patch is written: three streams side by side.
//!
//! - *shared*: what every client gets;
//! - *filtered*: ranges with the set of views each is for. A view's section is the ranges it may see, copied;
//! - *private*: what only the journal gets.
//!
//! Buffers keep their memory from patch to patch.

use crate::number::put_uint;
use crate::view::{ViewId, ViewSet};

/// Operation bytes.
pub(crate) mod op {
    pub(crate) const REPLACE: u8 = 0x00;
    pub(crate) const DELETE: u8 = 0x40;
    pub(crate) const ADD: u8 = 0x80;
    pub(crate) const DELETE_AND_ADD: u8 = 0xc0;
    pub(crate) const CLEAR: u8 = 0x0a;
    pub(crate) const REVERSE: u8 = 0x0f;
    pub(crate) const MOVE: u8 = 0x20;
    pub(crate) const DELETE_AND_MOVE: u8 = 0x60;
    pub(crate) const MOVE_AND_ADD: u8 = 0xa0;
    pub(crate) const DELETE_BY_REFID: u8 = 0x21;
    pub(crate) const ADD_BY_REFID: u8 = 0x81;
    pub(crate) const SWITCH: u8 = 0xff;
    pub(crate) const TYPE_ID: u8 = 0xd5;
}

/// No refId.
pub const NO_REF: u32 = u32::MAX;

/// Where an operation goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    Shared,
    Private,
    /// To these views; `journal` tells whether the journal keeps it, too. An empty set is legal with `journal`.
    Views {
        audience: &'a ViewSet,
        journal: bool,
    },
}

/// A range of the filtered stream.
#[derive(Debug, Default)]
struct Range {
    end: usize,
    audience: ViewSet,
    journal: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) shared: Vec<u8>,
    shared_at: u32,
    /// Parts of `shared` the journal does not keep: items of streams, which it got when they were added.
    unkept: Vec<std::ops::Range<usize>>,
    filtered: Vec<u8>,
    ranges: Vec<Range>,
    /// Those of earlier patches, for the memory of their sets.
    spare: Vec<Range>,
    /// The ranges of each view, as places in `ranges`, by view; made once, because a range is for few views and there
    /// are many of both.
    by_view: Vec<Vec<u32>>,
    filtered_at: u32,
    pub(crate) private: Vec<u8>,
    private_at: u32,
    /// Counters and visibility, as records of `meta.rs`.
    pub(crate) meta: Vec<u8>,
}

impl Output {
    pub(crate) fn clear(&mut self) {
        self.shared.clear();
        self.unkept.clear();
        // The root is current at the start of the shared part without a switch.
        self.shared_at = 0;
        self.filtered.clear();
        self.spare.append(&mut self.ranges);
        self.by_view.iter_mut().for_each(Vec::clear);
        self.filtered_at = NO_REF;
        self.private.clear();
        self.private_at = NO_REF;
        self.meta.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.shared.is_empty() && self.filtered.is_empty() && self.private.is_empty() && self.meta.is_empty()
    }

    /// The buffer to write an operation on structure `ref_id` to; switches to the structure first if need be.
    pub(crate) fn op(&mut self, target: Target<'_>, ref_id: u32) -> &mut Vec<u8> {
        let (buffer, at) = match target {
            Target::Shared => (&mut self.shared, &mut self.shared_at),
            Target::Private => (&mut self.private, &mut self.private_at),
            Target::Views { audience, journal } => {
                let same = self
                    .ranges
                    .last()
                    .is_some_and(|range| range.journal == journal && range.audience == *audience);
                if !same {
                    let end = self.filtered.len();
                    let mut range = self.spare.pop().unwrap_or_default();
                    (range.end, range.journal) = (end, journal);
                    range.audience.clone_from(audience);
                    self.ranges.push(range);
                    self.filtered_at = NO_REF;
                }
                (&mut self.filtered, &mut self.filtered_at)
            }
        };
        if *at != ref_id {
            buffer.push(op::SWITCH);
            put_uint(buffer, ref_id);
            *at = ref_id;
        }
        buffer
    }

    /// What was written to the shared part since `start` is for clients only: the next operation switches first.
    pub(crate) fn leave_shared(&mut self, start: usize) {
        self.unkept.push(start..self.shared.len());
        self.shared_at = NO_REF;
    }

    /// Sets the ends of the ranges: each is pushed with its start, and ends where the next one starts.
    pub(crate) fn finish(&mut self) {
        let mut end = self.filtered.len();
        for range in self.ranges.iter_mut().rev() {
            end = std::mem::replace(&mut range.end, end);
        }
        for (at, range) in self.ranges.iter().enumerate() {
            for view in range.audience.iter() {
                let view = view.0 as usize;
                if self.by_view.len() <= view {
                    self.by_view.resize_with(view + 1, Vec::new);
                }
                self.by_view[view].push(at as u32);
            }
        }
    }

    fn ranges(&self) -> impl Iterator<Item = (&Range, &[u8])> {
        let mut start = 0;
        self.ranges.iter().map(move |range| {
            let bytes = &self.filtered[start..range.end];
            start = range.end;
            (range, bytes)
        })
    }

    /// Appends what this view gets beyond the shared part.
    pub(crate) fn view(&self, view: ViewId, out: &mut Vec<u8>) {
        let Some(ranges) = self.by_view.get(view.0 as usize) else { return };
        for &at in ranges {
            let at = at as usize;
            let start = at.checked_sub(1).map_or(0, |before| self.ranges[before].end);
            out.extend_from_slice(&self.filtered[start..self.ranges[at].end]);
        }
    }

    /// Appends everything the journal keeps of the operations, the shared part first. Answers how long that is; `None`
    /// when the journal does not keep all of it.
    pub(crate) fn journal(&self, out: &mut Vec<u8>) -> Option<usize> {
        let mut start = 0;
        for unkept in &self.unkept {
            out.extend_from_slice(&self.shared[start..unkept.start]);
            start = unkept.end;
        }
        out.extend_from_slice(&self.shared[start..]);
        for (range, bytes) in self.ranges() {
            if range.journal {
                out.extend_from_slice(bytes);
            }
        }
        out.extend_from_slice(&self.private);
        self.unkept.is_empty().then_some(self.shared.len())
    }
}
