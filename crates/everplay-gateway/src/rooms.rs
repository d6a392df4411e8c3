//! The port: what the gateway needs from whatever runs the rooms. Implemented outside, on top of a node.
//!
//! ```text
//! POST /matchmake  -> matchmake -> a seat
//! WebSocket        -> attach(seat, outbox) -> inbox
//! frames           -> inbox.push           room -> outbox.deliver -> frames
//! end of socket    -> inbox.closed
//! ```

use crate::outbox::Outbox;
use bytes::Bytes;
use everplay_types::CloseCode;
use everplay_wire::matchmake::{Method, SeatReservation};
use everplay_wire::{ClientFrame, Dialect, InputOptions};
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

/// A future of a port: boxed, because ports are trait objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs the rooms.
///
/// What an implementor owes:
/// - Every call may come from any task, any number of them at once.
/// - A future that is dropped (the client went away, or a bound in [`Limits`](crate::Limits) passed) leaves no seat
///   used: a seat is used when [`attach`](Self::attach) has answered, and then `closed` follows in any case.
/// - `readiness` and `health` answer at once, from what is known.
pub trait Rooms: Send + Sync + 'static {
    /// Reserves a seat. Errors are answered in the form of the Colyseus routes. How often one may ask is the implementor's
    /// to bound: only it knows who asks.
    fn matchmake(&self, request: MatchRequest) -> BoxFuture<'_, Result<SeatReservation, MatchError>>;

    /// Takes a connection to its seat. From the call on, frames for the client may be delivered to `outbox`; they
    /// leave after the answer, and not at all when it is a refusal.
    fn attach(&self, request: Attach, outbox: Outbox) -> BoxFuture<'_, Result<Attached, AttachError>>;

    /// Whether new players may come.
    fn readiness(&self) -> Readiness;

    /// Details for an operator, answered on `/health`.
    fn health(&self) -> serde_json::Value;

    /// Whether the Redis that keeps the rooms answers; None: there is none. Answered on `/health`, at once.
    fn redis(&self) -> Option<bool> {
        None
    }

    /// How much of the service there is, in one word; told with every answer as `everplay-service`. None: nobody says.
    fn service(&self) -> Option<&'static str> {
        None
    }
}

/// A matchmaking request.
#[derive(Debug, Clone)]
pub struct MatchRequest {
    /// What is asked for.
    pub method: Method,
    /// Name of a room kind; for `joinById` and `reconnect` the id of a room. As in the path, not decoded.
    pub target: String,
    /// The join options: an object, or whatever the client sent instead.
    pub options: serde_json::Value,
    /// The SDK generation, if the endpoint names it.
    pub dialect: Option<Dialect>,
    /// What the client presented to the gateway.
    pub client: ClientInfo,
}

/// Why a matchmaking request got no seat.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct MatchError {
    /// One of [`ErrorCode`](everplay_types::ErrorCode), or the application's own. The answer's status is the code when it
    /// can be one, else 523.
    pub code: i32,
    /// For the player and the author.
    pub message: String,
    /// When to come again, if that is known; told as `Retry-After`.
    pub retry_after: Option<Duration>,
}

impl MatchError {
    /// A refusal without a time to come again.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None }
    }
}

/// A connection that asks for its seat.
#[derive(Debug, Clone)]
pub struct Attach {
    /// Second-last segment of the path: the process the seat was reserved in. Not checked by the gateway.
    pub process: String,
    /// The room.
    pub room: String,
    /// The seat.
    pub session: String,
    /// Proves the right to a seat that is held for someone who was there before.
    pub reconnection_token: Option<String>,
    /// The client has the state's types already.
    pub skip_handshake: bool,
    /// The SDK generation, if the endpoint names it.
    pub dialect: Option<Dialect>,
    /// What the client presented to the gateway. The token is that of the query, else of the header.
    pub client: ClientInfo,
}

/// Who is at the other end, as far as the edge can tell.
#[derive(Debug, Clone)]
pub struct ClientInfo {
    /// Address of the player; that of the nearest untrusted hop behind trusted proxies.
    pub ip: IpAddr,
    /// The bearer token. Never logged.
    pub token: Option<String>,
    /// The request's headers, for an auth hook. They hold secrets: never logged.
    pub headers: axum::http::HeaderMap,
    /// Names this request in logs and error answers.
    pub request_id: crate::RequestId,
}

/// A connection that has its seat.
pub struct Attached {
    /// Where its frames go.
    pub inbox: Box<dyn RoomInbox>,
    /// Bound of the room kind; `None` takes [`Limits::messages_per_second`](crate::Limits::messages_per_second), 0 means no bound.
    pub messages_per_second: Option<u32>,
    /// Which stamps the room asked for: inputs cannot be read without.
    pub inputs: InputOptions,
}

/// Why a connection gets no seat. Each answers with an ERROR frame, then a close.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// No such room, or no valid seat in it: 524, then 4002, or 4003 when the client came with a reconnection token.
    #[error("seat reservation expired.")]
    NoSeat,
    /// The room will be back in a moment: 524, then 4010, and SDKs come back by themselves.
    #[error("the room is being restored")]
    Restoring,
    /// The room refused the client: its code and message, then 4002.
    #[error("{message}")]
    Refused {
        /// What the SDK's error carries.
        code: i32,
        /// For the player.
        message: String,
    },
}

/// The receiving end of one connection, in its room's mailbox.
///
/// Dropped after `closed` was called; `closed` is called exactly once.
pub trait RoomInbox: Send {
    /// Hands over a frame. Must not wait. `frame` borrows from `bytes`: `bytes.slice_ref` keeps a part without copying,
    /// and keeps the connection's read buffer alive with it, so copy what is to be kept for long.
    ///
    /// Errors: `Full`, the same frame is offered again soon; `Closed`, the connection is about to be ended.
    fn push(&mut self, frame: ClientFrame<'_>, bytes: &Bytes) -> Result<(), PushError>;

    /// The client missed patches and has read the rest: deliver one full state. Must not wait.
    fn resync(&mut self);

    /// The socket is gone; `code` is what it was closed with by either side, 1006 when it broke. Must not wait.
    fn closed(&mut self, code: CloseCode);
}

/// Why a room did not take a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The mailbox is full.
    #[error("the room's mailbox is full")]
    Full,
    /// The room has ended, or moved.
    #[error("the room has ended")]
    Closed,
}

/// Whether new players may come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// Yes.
    Ready,
    /// Not now, for this reason, e.g. `restoring rooms`.
    NotReady(String),
}
