//! The bytes between a server and the Colyseus SDKs of 0.16, 0.17 and 0.18, both directions.
//!
//! ```text
//! POST /matchmake/...  --> matchmake   (seat reservation, errors, CORS)
//! upgrade request      --> url         (room, session, tokens, dialect hint)
//! frame from a client  --> ClientFrame --> msgpack --> the author's type
//! frame to a client    <-- server_frame <-- msgpack <-- the author's type
//! ```
//!
//! Everything here is a pure function of its arguments. The formats are not ours: where an SDK has a quirk it is
//! reproduced here and named, and no other crate knows about it.
//!
//! Invariants: decoders read any bytes without panicking, borrow from the frame, and allocate no more than they say;
//! what an encoder writes, the decoder of this crate and every SDK of the dialect reads.
//! State bytes (the body of ROOM_STATE and ROOM_STATE_PATCH, the handshake) are opaque here.

#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]

mod client_frame;
mod dialect;
mod error;
mod input;
mod join;
pub mod matchmake;
mod message_type;
pub mod msgpack;
pub mod number;
mod opcode;
pub mod server_frame;
pub mod url;

pub use client_frame::ClientFrame;
pub use dialect::Dialect;
pub use error::FrameError;
pub use input::{Input, InputClock, InputOptions, MAX_INPUTS, ReliableStamp, Stamp};
pub use join::{Join, JoinError, JoinForm, MAX_TOKEN_LEN, Section, Serializer, is_join_room};
pub use message_type::{MessageType, OwnedMessageType};
pub use server_frame::{ResponseStatus, ServerFrame, Timed};
