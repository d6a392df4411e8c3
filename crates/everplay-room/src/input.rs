use bytes::Bytes;
use everplay_types::{CloseCode, SessionId};
use everplay_wire::Dialect;

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
    /// The connection's queue was cut; it needs a full state before anything else makes sense to it.
    Resync {
        /// This one.
        conn: ConnId,
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
