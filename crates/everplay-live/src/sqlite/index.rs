//! What is known of every room without reading the file: fences, ends, and in which row each record is.
//!
//! Rebuilt when the store opens, changed only by the writer and only after a commit, read by everyone. Eight bytes
//! per record that is kept, so that records can lie in the order they came and a room's are found all the same.

use crate::record::Chain;
use crate::rules::{Head, Stage};
use crate::{Corruption, DirectoryEntry, Grant, RoomState};
use bytes::Bytes;
use everplay_types::{RoomKey, Seq};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// A room's number in the file: never reused, unlike its position in memory.
pub(crate) type RoomNo = i64;

/// Everything committed.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) rooms: HashMap<RoomNo, Room>,
    by_key: HashMap<RoomKey, RoomNo>,
    pub(super) grants: HashMap<RoomKey, Grant>,
}

#[derive(Debug)]
pub(super) struct Room {
    pub(super) key: RoomKey,
    pub(super) meta: Meta,
    /// Rows of the records from `meta.first` to the end.
    pub(super) rows: VecDeque<i64>,
    /// A hole or broken row found when the store opened.
    pub(super) damage: Option<Corruption>,
}

/// What a group of commands may change about a room; cheap to copy, because every group works on a copy.
#[derive(Debug, Clone)]
pub(super) struct Meta {
    pub(super) head: Head,
    pub(super) kind: Arc<str>,
    pub(super) listing: Bytes,
    /// The lowest position that is kept.
    pub(super) first: Seq,
    /// Published, oldest first, at most two.
    pub(super) snapshots: Arc<[SnapRef]>,
    /// When it was closed, milliseconds since 1970; 0 while it is not.
    pub(super) closed_ms: u64,
}

/// Where a published snapshot lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SnapRef {
    /// Its first row in `parts`.
    pub(super) first: i64,
    /// How many rows it has.
    pub(super) parts: u32,
    pub(super) seq: Seq,
    /// Hash of the framed snapshot: the same snapshot published again has the same.
    pub(super) identity: Chain,
}

/// How much of a commit is still needed.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Rows it was written with.
    pub(super) count: u32,
    /// Rows that a room still needs.
    pub(super) live: u32,
    /// Rows that were deleted before all of them could be.
    pub(super) removed: u32,
}

impl Index {
    pub(super) fn insert(&mut self, no: RoomNo, room: Room) {
        self.by_key.insert(room.key.clone(), no);
        self.rooms.insert(no, room);
    }

    pub(super) fn remove(&mut self, no: RoomNo) -> Option<Room> {
        let room = self.rooms.remove(&no)?;
        self.by_key.remove(&room.key);
        Some(room)
    }

    pub(super) fn number(&self, key: &RoomKey) -> Option<RoomNo> {
        self.by_key.get(key).copied()
    }

    pub(super) fn room(&self, key: &RoomKey) -> Option<&Room> {
        self.rooms.get(&self.number(key)?)
    }
}

impl Room {
    /// Keeps the first damage: later ones follow from it.
    pub(super) fn damaged(&mut self, place: Corruption) {
        self.damage.get_or_insert(place);
    }

    /// The row of a record; `None` when it is dropped or not committed.
    pub(super) fn row(&self, seq: Seq) -> Option<i64> {
        let at = usize::try_from(seq.0.checked_sub(self.meta.first.0)?).ok()?;
        self.rows.get(at).copied()
    }

    pub(super) fn entry(&self) -> Option<DirectoryEntry> {
        let state = match &self.meta.head.stage {
            Stage::Live => RoomState::Live,
            Stage::Quarantined(reason) => RoomState::Quarantined { reason: reason.clone() },
            Stage::Closed => return None,
        };
        Some(DirectoryEntry {
            room: self.key.clone(),
            kind: self.meta.kind.to_string(),
            listing: self.meta.listing.clone(),
            token: self.meta.head.fence,
            last: self.meta.head.end.last,
            state,
        })
    }
}
