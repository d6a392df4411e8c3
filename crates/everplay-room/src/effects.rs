use crate::{ConnId, Ticket};
use bytes::Bytes;
use everplay_types::{CloseCode, Millis, SessionId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What one turn of the engine leaves for the node to do.
#[derive(Debug, Default)]
pub struct Step {
    /// Goes to the journal first; None: nothing durable changed.
    pub record: Option<Vec<u8>>,
    /// Leaves in this order, once the record and all before it are durable.
    pub out: Vec<Out>,
    /// The room's entry in listings, when it changed; shown with `out`.
    pub listing: Option<Listing>,
    /// Call [`wake`](crate::RoomEngine::wake) at this time at the latest. None: nothing to wait for.
    pub wake_at: Option<Millis>,
    /// The room asked for a snapshot now.
    pub checkpoint: bool,
    /// The room has ended; nothing follows.
    pub ended: bool,
    /// Number of the last event that was emitted so far; see [`RoomEngine::outbox`](crate::RoomEngine::outbox).
    pub emitted: u64,
    /// Clients whose sockets were kept are awaited: keep the records, to know what they miss meanwhile.
    pub awaiting: bool,
    /// Simulation steps skipped because the room fell too far behind.
    pub overruns: u32,
    /// What an operator should know; each a sentence.
    pub warnings: Vec<String>,
}

/// One thing that leaves the room.
#[derive(Debug, Clone)]
pub enum Out {
    /// A frame for one or many connections.
    Frame {
        /// Who gets it.
        to: Recipients,
        /// How a full queue treats it.
        kind: FrameKind,
        /// Encoded once, shared by all.
        bytes: Bytes,
    },
    /// Close a connection after what was sent to it before.
    Close {
        /// This one.
        conn: ConnId,
        /// Told to the client.
        code: CloseCode,
        /// Told to the client; at most 123 bytes.
        reason: String,
    },
    /// The answer to a question.
    Reply {
        /// Who asked.
        ticket: Ticket,
        /// The answer.
        reply: Reply,
    },
}

/// Who gets a frame.
#[derive(Debug, Clone)]
pub enum Recipients {
    /// One connection.
    One(ConnId),
    /// Many connections.
    Many(Arc<[ConnId]>),
}

/// What a frame is, for queues that must choose what to drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// Superseded by a later full state.
    Patch,
    /// A full state: supersedes every patch before it.
    State,
    /// Must arrive or the connection must end.
    Message,
}

/// Answers to the questions among the inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To `Reserve`.
    Reserved(Result<(), ReserveError>),
    /// To `FindSession`: the session the token belongs to, if any.
    Session(Option<SessionId>),
}

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReserveError {
    /// Every seat is taken or reserved.
    #[error("is already full")]
    Full,
    /// The room locked itself.
    #[error("is locked")]
    Locked,
    /// The room is ending.
    #[error("has been disposed")]
    Ended,
}

/// A room as the matchmaker and lobbies see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listing {
    /// Seats taken or reserved.
    pub clients: u32,
    /// Seats there are.
    pub max_clients: u32,
    /// Full, or locked by itself.
    pub locked: bool,
    /// Joinable by id only.
    pub private: bool,
    /// Joinable, but not shown in lobbies.
    pub unlisted: bool,
    /// What the room says of itself.
    pub metadata: serde_json::Value,
}
