use crate::{Ambient, Events};
use everplay_room::RoomKind;
use everplay_types::{CustomerId, ProcessId};
use std::sync::Arc;
use std::time::Duration;

/// A room kind with how clients are matched into its rooms.
#[derive(Clone)]
pub struct Kind {
    /// The rules.
    pub kind: Arc<dyn RoomKind>,
    /// Join options that must be equal for two clients to share a room.
    pub filter_by: Vec<String>,
    /// What it means to leave one of them out; null for those that are not here.
    pub filter_defaults: serde_json::Map<String, serde_json::Value>,
}

impl Kind {
    /// A kind whose rooms anyone may share.
    pub fn new(kind: Arc<dyn RoomKind>) -> Self {
        Self { kind, filter_by: Vec::new(), filter_defaults: serde_json::Map::new() }
    }
}

/// What a node is told at its start.
#[derive(Debug, Clone)]
pub struct Options {
    /// First segment of its rooms' URLs.
    pub process_id: ProcessId,
    /// Whose rooms these are.
    pub customer: CustomerId,
    /// What it takes at most.
    pub limits: Limits,
    /// When rooms are snapshotted.
    pub snapshots: SnapshotPolicy,
    /// Where ids and the time of day come from.
    pub ambient: Ambient,
    /// Who takes the events of its rooms.
    pub events: Events,
}

/// What a node takes at most. Beyond each bound the asker is told; nothing grows.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Rooms on this node; more are refused with 523. Default 10,000.
    pub rooms: usize,
    /// Inputs waiting for one room; a full mailbox stops reading from its clients' sockets. Default 1,024.
    pub mailbox: usize,
    /// Bytes of records of one room that wait for the journal; beyond them the room stops stepping until the
    /// journal has caught up. Default 512 KiB.
    pub unconfirmed_bytes: usize,
    /// Rooms restored at the same time at start. Default 32.
    pub restoring: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rooms: 10_000, mailbox: 1_024, unconfirmed_bytes: 512 << 10, restoring: 32 }
    }
}

/// When a room is snapshotted: recovery reads one snapshot and at most this much after it.
#[derive(Debug, Clone)]
pub struct SnapshotPolicy {
    /// Records since the last one. Default 256.
    pub records: u64,
    /// Bytes of records since the last one, but at least the size of the last snapshot: a large room that
    /// changes little is not written whole again and again. Default 64 KiB.
    pub bytes: usize,
    /// Time since the last one, if anything changed. Default 60 s.
    pub interval: Duration,
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self { records: 256, bytes: 64 << 10, interval: Duration::from_secs(60) }
    }
}
