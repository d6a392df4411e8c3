//! What the rest of the node asks of a room's host.

use crate::link::ClientSink;
use crate::planted::{self, Bug};
use bytes::Bytes;
use everplay_live::Position;
use everplay_room::{ConnId, Connect, Input, Reply};
use everplay_types::{Epoch, Seq, SessionId, Token};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// What the rest of the node asks of a room.
pub(crate) enum Command {
    Input(Input),
    Attach {
        connect: Connect,
        sink: Arc<dyn ClientSink>,
    },
    Ask {
        question: Question,
        answer: oneshot::Sender<Reply>,
    },
    /// Stop, with everything durable. Answered when done.
    Drain(oneshot::Sender<()>),
    /// A node kept the sockets of these clients over a change of owner, or over a broken link.
    Reattach(Reattach),
    /// The link to the node that holds these sockets broke: their clients are awaited for
    /// [`REATTACH_WINDOW`](everplay_room::REATTACH_WINDOW) without a word to the room.
    Detach(Vec<ConnId>),
    /// Stand still at a patch boundary, with everything taken before processed, durable and released. None: the room
    /// ended, or was given up meanwhile.
    Freeze(oneshot::Sender<Option<Frozen>>),
    /// The room has a later owner; a journal with nothing to write would not notice.
    Superseded,
}

impl Command {
    /// Whether what came before in its turn is to be sent first: a socket that is attached once more misses nothing of
    /// a step only when the records hold that step.
    pub(crate) fn begins_anew(&self, before: &[Input]) -> bool {
        matches!(self, Command::Detach(_) | Command::Reattach(_))
            && before.iter().any(|input| matches!(input, Input::Reattach(_)))
            && !planted::is(Bug::ReattachesTwiceInATurn)
    }
}

/// What a frozen room waits for. A sender that goes away without a word thaws it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    /// Go on.
    Thaw,
    /// The room has another owner: end without closing a socket, and forget the room.
    Release,
}

/// A room that stands still, to be carried on by another node.
#[derive(Debug)]
pub(crate) struct Frozen {
    /// The whole room at `position`.
    pub(crate) image: Bytes,
    /// Where its journal ends.
    pub(crate) position: Position,
    /// The owner's token.
    pub(crate) token: Token,
    /// Ends the standstill.
    pub(crate) control: mpsc::Sender<Control>,
}

/// Sockets of this room that one node kept.
pub(crate) struct Reattach {
    /// The newest owner that node has heard of.
    pub(crate) epoch: Epoch,
    /// Up to which record that node has given everything to all its live clients of the room.
    pub(crate) forwarded: Seq,
    /// The sockets.
    pub(crate) seats: Vec<ReattachSeat>,
    /// Of sockets of this node: told in the room's [`RoomEntry`](crate::registry::RoomEntry) once they have what they
    /// missed. Higher at each call.
    pub(crate) number: u64,
}

/// One socket that was kept.
pub(crate) struct ReattachSeat {
    /// A new number for the connection, its session, and no token: the node that kept the socket is believed.
    pub(crate) connect: Connect,
    /// The socket.
    pub(crate) sink: Arc<dyn ClientSink>,
    /// The client has acknowledged JOIN_ROOM. Otherwise it is sent again.
    pub(crate) acknowledged: bool,
    /// Patches for it were dropped: it gets one full state.
    pub(crate) full: bool,
    /// Numbered inputs that were forwarded on this connection so far: the next one's number is one more.
    pub(crate) inputs: u32,
    /// What the time stamps of those inputs add up to, as an [`InputClock`](everplay_wire::InputClock) has it.
    pub(crate) input_time: u32,
}

pub(crate) enum Question {
    Reserve { session: SessionId, options: serde_json::Value, auth: serde_json::Value },
    FindSession { token: String },
}
