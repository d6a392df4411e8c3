//! Between a socket and a room: what the room gives ([`ClientSink`]) and what it takes ([`RoomLink`]).

use crate::host::Command;
use bytes::Bytes;
use everplay_room::{ConnId, FrameKind, Input};
use everplay_types::{CloseCode, RoomId, SessionId};
use everplay_wire::{Dialect, InputOptions};
use thiserror::Error;
use tokio::sync::mpsc;

/// A socket as a room sees it. Never blocks, never fails: what cannot be delivered is the socket's business.
pub trait ClientSink: Send + Sync {
    /// Queues one frame. A queue that is full may drop patches and then asks for a
    /// [`resync`](RoomLink::resync); messages are delivered or the socket is closed.
    fn deliver(&self, kind: FrameKind, bytes: Bytes);

    /// Closes the socket after what was queued before.
    fn close(&self, code: CloseCode, reason: &str);
}

/// A socket asking for its seat.
#[derive(Debug, Clone)]
pub struct Attach {
    /// The room.
    pub room: RoomId,
    /// The seat.
    pub session: SessionId,
    /// Given by a client that comes back.
    pub token: Option<String>,
    /// The client still has its decoder, or knows the types by itself.
    pub skip_handshake: bool,
    /// What the endpoint said about the SDK's generation.
    pub dialect: Option<Dialect>,
}

/// Why a socket was not attached to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AttachError {
    /// No such room: it ended, or never was.
    #[error("the room does not exist")]
    NoSuchRoom,
    /// The room may be among those still being restored.
    #[error("rooms are being restored")]
    Restoring,
    /// The node is going away.
    #[error("the server is shutting down")]
    Draining,
}

impl AttachError {
    /// Whether the client should try again in a moment.
    pub fn is_transient(self) -> bool {
        self != AttachError::NoSuchRoom
    }
}

/// Why a frame was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PushError {
    /// The mailbox is full; the frame is given back. Wait with [`RoomLink::ready`].
    #[error("the room's mailbox is full")]
    Full(Bytes),
    /// The room is gone; its sink was told.
    #[error("the room is gone")]
    Closed,
}

/// A socket's way into its room. Dropping it without [`closed`](RoomLink::closed) counts as a lost connection.
#[derive(Debug)]
pub struct RoomLink {
    pub(crate) conn: ConnId,
    pub(crate) mailbox: mpsc::Sender<Command>,
    pub(crate) messages_per_second: u32,
    pub(crate) inputs: InputOptions,
    pub(crate) reported: bool,
}

impl RoomLink {
    /// Hands over one frame.
    pub fn push(&self, bytes: Bytes) -> Result<(), PushError> {
        let command = Command::Input(Input::Frame { conn: self.conn, bytes });
        self.mailbox.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(Command::Input(Input::Frame { bytes, .. })) => {
                PushError::Full(bytes)
            }
            _ => PushError::Closed,
        })
    }

    /// Waits until the mailbox has room. Returns false when the room is gone.
    pub async fn ready(&self) -> bool {
        self.mailbox.reserve().await.is_ok()
    }

    /// Asks for one full state, because patches were dropped.
    pub fn resync(&self) {
        self.insist(Input::Resync { conn: self.conn });
    }

    /// The socket is closed.
    pub fn closed(mut self, code: CloseCode) {
        self.report(code);
    }

    /// Messages a second the room kind allows one client.
    pub fn messages_per_second(&self) -> u32 {
        self.messages_per_second
    }

    /// Which stamps the room's clients put on inputs.
    pub fn input_options(&self) -> InputOptions {
        self.inputs
    }

    fn report(&mut self, code: CloseCode) {
        if std::mem::replace(&mut self.reported, true) {
            return;
        }
        self.insist(Input::Closed { conn: self.conn, code });
    }

    /// Hands over what must not be lost because the mailbox was full at this moment. A room that is gone has told
    /// its sink.
    fn insist(&self, input: Input) {
        if let Err(mpsc::error::TrySendError::Full(command)) = self.mailbox.try_send(Command::Input(input)) {
            let mailbox = self.mailbox.clone();
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move { mailbox.send(command).await });
            }
        }
    }
}

impl Drop for RoomLink {
    fn drop(&mut self) {
        self.report(CloseCode(1006));
    }
}
