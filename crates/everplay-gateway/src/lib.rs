//! Sockets and HTTP of a server: matchmaking routes, WebSockets of rooms, health, and the bounds on all of it.
//!
//! ```text
//!            Service (accepts, bounds)
//!               | HTTP/1.1
//!   +-----------+-----------+--------------+
//! matchmake   health      upgrade        application's router
//!   |           |           |
//!   +---- Rooms (port) -----+-> RoomInbox <- frames in
//!                               Outbox    -> frames out
//! ```
//!
//! What is absent: the gateway knows no room kind, no state, no node and no store; it calls [`Rooms`] and delivers what
//! an [`Outbox`] is given. A slow or hostile client is dealt with here, so that a room never notices one.

mod http;
mod limits;
mod metrics;
mod options;
mod outbox;
mod registry;
mod rooms;
mod server;
mod socket;
mod watched;

pub use http::error::RequestId;
pub use limits::Limits;
pub use options::{InvalidOption, Network, NotANetwork, Options};
pub use outbox::{Frame, FrameKind, Outbox};
pub use rooms::{
    Attach, AttachError, Attached, BoxFuture, ClientInfo, MatchError, MatchRequest, PushError, Readiness,
    RoomInbox, Rooms,
};
pub use server::{
    BindError, Handle, Listening, Parts, RenderMetrics, Service, SocketHandler, SocketSlot, StaffPaths,
    Upgrades,
};
pub use socket::{Incoming, Socket, Violation};
