use crate::Missed;
use bytes::Bytes;
use everplay_types::{CloseCode, ServiceLevel, SessionId};
use everplay_wire::Dialect;
use std::sync::Arc;

/// One connection to this room, numbered by the node; never reused in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// Names a question whose answer leaves with the step it was asked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// What happens to a room from outside.
#[derive(Debug, Clone)]
pub enum Input {
    /// The matchmaker asks for a seat. Answered with [`Reply::Reserved`](crate::Reply).
    Reserve {
        /// Answered under this ticket.
        ticket: Ticket,
        /// The session the seat is for.
        session: SessionId,
        /// The join options, kept until the client connects.
        options: serde_json::Value,
        /// What the auth hook returned.
        auth: serde_json::Value,
    },
    /// A client wants its old seat back over HTTP. Answered with [`Reply::Session`](crate::Reply).
    FindSession {
        /// Answered under this ticket.
        ticket: Ticket,
        /// The reconnection token it holds.
        token: String,
    },
    /// A socket wants a seat.
    Connect(Connect),
    /// A frame arrived. Only the bytes: the engine parses, so that a replayed input is the input.
    Frame {
        /// From this connection.
        conn: ConnId,
        /// The whole frame.
        bytes: Bytes,
    },
    /// The connection is gone.
    Closed {
        /// This one.
        conn: ConnId,
        /// With this code; 1006 when the peer just vanished.
        code: CloseCode,
    },
    /// The way to the connection's socket broke, and the socket itself may still be there: its client is awaited for
    /// [`REATTACH_WINDOW`](crate::REATTACH_WINDOW) and then counts as dropped.
    Detached {
        /// This one.
        conn: ConnId,
    },
    /// A socket that was kept, over a change of the room's owner or a broken way, is here again.
    Reattach(Reattach),
    /// The connection's queue was cut; it needs a full state before anything else makes sense to it.
    Resync {
        /// This one.
        conn: ConnId,
    },
    /// Events were taken by everybody who should know.
    Taken {
        /// All up to this number.
        through: u64,
        /// And these: somebody still has to take one that came before them.
        beyond: Vec<u64>,
    },
    /// So much of the service there is now. Of effect when it is not what the room was told last.
    Service {
        /// How much.
        level: ServiceLevel,
    },
    /// End the room: clients are closed with this code.
    End {
        /// Told to every client.
        code: CloseCode,
    },
}

/// A socket asking for a seat.
#[derive(Debug, Clone)]
pub struct Connect {
    /// The connection's number.
    pub conn: ConnId,
    /// The seat it asks for.
    pub session: SessionId,
    /// Given when it comes back.
    pub token: Option<String>,
    /// The client still has its decoder, or knows the types by itself.
    pub skip_handshake: bool,
    /// What the endpoint said about the SDK's generation.
    pub dialect: Option<Dialect>,
}

/// A socket that was kept while the room was not there for it.
#[derive(Debug, Clone)]
pub struct Reattach {
    /// The connection's new number, its session, and no token: whoever kept the socket is believed.
    pub connect: Connect,
    /// The client has acknowledged JOIN_ROOM. Otherwise it is sent again.
    pub acknowledged: bool,
    /// Patches for it were dropped: it gets one full state.
    pub full: bool,
    /// Numbered inputs that were taken from this connection so far, arrived or not.
    pub inputs: u32,
    /// What the time stamps of those inputs add up to.
    pub input_time: u32,
    /// What left the room since its socket was last given something.
    pub missed: Arc<Missed>,
}
