//! Between a socket and a room: what the room gives ([`ClientSink`]) and what it takes ([`RoomLink`]).
//!
//! Sockets that another node holds are reached through that node's [`Relay`]: one call for each step and node,
//! however many of its clients the step concerns.

use crate::cluster::Seat;
use crate::host::Command;
use crate::node::Node;
use crate::registry::RoomEntry;
use crate::shelf::Shelf;
use bytes::Bytes;
use everplay_room::{ConnId, FrameKind, Input};
use everplay_types::{CloseCode, Epoch, RoomId, Seq, SessionId};
use everplay_wire::{Dialect, InputOptions};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::mpsc;

/// A socket as a room sees it. Never blocks, never fails: what cannot be delivered is the socket's business.
pub trait ClientSink: Send + Sync {
    /// Queues one frame. A queue that is full may drop patches and then asks for a
    /// [`resync`](RoomLink::resync); messages are delivered or the socket is closed.
    fn deliver(&self, kind: FrameKind, bytes: Bytes);

    /// Closes the socket after what was queued before.
    fn close(&self, code: CloseCode, reason: &str);

    /// The node that holds the socket, when it is not this one. Asked once, when the socket is attached; frames and
    /// closes that belong to a step then go to the relay and not to this sink.
    fn relay(&self) -> Option<RelaySeat> {
        None
    }

    /// Whether the socket stays open when its room changes its owner: what was sent to it is then journaled, so that
    /// the next owner knows what it missed. Asked once, when the socket is attached.
    fn outlives_owner(&self) -> bool {
        self.relay().is_some()
    }

    /// The room has another owner by now, and nothing more comes from this one. Whoever holds the socket seeks the
    /// new owner, or lets the client do so.
    fn moved(&self) {
        self.close(CloseCode::MAY_TRY_RECONNECT, "the room moved");
    }

    /// A frame of this socket that the room took but will never look at, because it moves: it belongs to the next
    /// owner, before anything that the client sends later. Called in order, and before [`moved`](Self::moved).
    fn unprocessed(&self, frame: Bytes) {
        drop(frame);
    }
}

/// The way to the sockets that one other node holds.
pub trait Relay: Send + Sync {
    /// Tells relays apart: equal for all sockets of one node, another after the link was made anew.
    fn id(&self) -> u128;

    /// Hands over what leaves one room at one moment for this node's sockets. Never waits.
    fn batch(&self, batch: RelayBatch);
}

/// A socket that another node holds.
#[derive(Clone)]
pub struct RelaySeat {
    /// The way there.
    pub relay: Arc<dyn Relay>,
    /// The number that node gave the socket.
    pub conn: u64,
}

/// What leaves a room for the sockets of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayBatch {
    /// The room.
    pub room: RoomId,
    /// Of the owner that speaks: a node that has heard of a later one drops the batch.
    pub epoch: Epoch,
    /// The newest record this rests on. Who has this batch and those before it has seen all up to here. None: it says
    /// nothing of how far the node is.
    pub seq: Option<Seq>,
    /// In this order. Empty when there is only the position to tell.
    pub items: Vec<RelayItem>,
}

/// One thing that leaves a room for sockets of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayItem {
    /// A frame.
    Frame {
        /// The sockets, by the numbers their node gave them.
        conns: Vec<u64>,
        /// How a full queue treats it.
        kind: FrameKind,
        /// The same for all.
        bytes: Bytes,
    },
    /// Close a socket after what was sent to it before.
    Close {
        /// The socket.
        conn: u64,
        /// Told to the client.
        code: CloseCode,
        /// Told to the client; at most 123 bytes.
        reason: String,
    },
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
    /// The mailbox is full; the frame is given back. Try again in a moment.
    #[error("the room's mailbox is full")]
    Full(Bytes),
    /// The room is gone; its sink was told.
    #[error("the room is gone")]
    Closed,
}

/// A socket's way into its room. Dropping it without [`closed`](RoomLink::closed) counts as a lost connection.
pub struct RoomLink {
    way: Way,
    messages_per_second: u32,
    inputs: InputOptions,
    reported: bool,
}

enum Way {
    /// Straight to the room's mailbox, for as long as the room is there; inputs of rooms with a fixed step to its shelf.
    Mailbox { conn: ConnId, mailbox: mpsc::Sender<Command>, shelf: Option<Arc<Shelf>> },
    /// To wherever the room is.
    Seat { node: Arc<Node>, seat: Arc<Seat> },
}

impl std::fmt::Debug for RoomLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.way {
            Way::Mailbox { conn, .. } => f.debug_tuple("RoomLink").field(conn).finish(),
            Way::Seat { seat, .. } => f.debug_tuple("RoomLink").field(seat).finish(),
        }
    }
}

impl RoomLink {
    pub(crate) fn here(entry: &RoomEntry, conn: ConnId) -> Self {
        Self {
            way: Way::Mailbox { conn, mailbox: entry.mailbox.clone(), shelf: entry.shelf.clone() },
            messages_per_second: entry.messages_per_second,
            inputs: entry.inputs,
            reported: false,
        }
    }

    pub(crate) fn in_cluster(node: Arc<Node>, seat: Arc<Seat>, messages_per_second: u32) -> Self {
        let inputs = seat.input_options();
        Self { way: Way::Seat { node, seat }, messages_per_second, inputs, reported: false }
    }

    /// Hands over one frame.
    pub fn push(&self, bytes: Bytes) -> Result<(), PushError> {
        let (conn, mailbox, shelf) = match &self.way {
            Way::Mailbox { conn, mailbox, shelf } => (*conn, mailbox, shelf),
            Way::Seat { seat, .. } => return seat.push(bytes),
        };
        if let Some(shelf) = shelf.as_ref().filter(|_| Shelf::is_for(&bytes)) {
            return match shelf.put(conn, &bytes) {
                _ if mailbox.is_closed() => Err(PushError::Closed),
                true => Ok(()),
                false => Err(PushError::Full(bytes)),
            };
        }
        let command = Command::Input(Input::Frame { conn, bytes });
        mailbox.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(Command::Input(Input::Frame { bytes, .. })) => {
                PushError::Full(bytes)
            }
            _ => PushError::Closed,
        })
    }

    /// Asks for one full state, because patches were dropped.
    pub fn resync(&self) {
        match &self.way {
            Way::Mailbox { conn, mailbox, .. } => {
                insist(mailbox, Input::Resync { conn: *conn });
            }
            Way::Seat { seat, .. } => seat.resync(),
        }
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
        match &self.way {
            Way::Mailbox { conn, mailbox, .. } => {
                insist(mailbox, Input::Closed { conn: *conn, code });
            }
            Way::Seat { node, seat } => node.seat_closed(seat, code),
        }
    }
}

/// Hands over what must not be lost because the mailbox was full at this moment. False: the room is gone; it has told its
/// sinks.
pub(crate) fn insist(mailbox: &mpsc::Sender<Command>, input: Input) -> bool {
    match mailbox.try_send(Command::Input(input)) {
        Ok(()) => true,
        Err(mpsc::error::TrySendError::Full(command)) => {
            let mailbox = mailbox.clone();
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move { mailbox.send(command).await });
            }
            true
        }
        Err(mpsc::error::TrySendError::Closed(_)) => false,
    }
}

impl Drop for RoomLink {
    fn drop(&mut self) {
        self.report(CloseCode(1006));
    }
}
