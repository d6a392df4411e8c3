//! A client of a room inside this process: a seat without a socket. Frames go straight to the room and come straight back,
//! wherever in the cluster it is.

use bytes::Bytes;
use everplay_node::{Attach, AttachError, ClientSink, Handle, PushError, RoomLink};
use everplay_room::FrameKind;
use everplay_types::{CloseCode, RoomId, SessionId};
use everplay_wire::{ClientFrame, Dialect, FrameError, ServerFrame};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;

/// Frames that wait to be read. Patches beyond are dropped, for clients here are only told by them that something changed;
/// anything else that is lost ends the connection.
const FRAMES: usize = 256;
/// What a broken connection is closed with.
const BROKEN: CloseCode = CloseCode(1006);

/// What comes from the room.
pub(crate) enum Got {
    Frame(Bytes),
    Closed(CloseCode),
}

/// The client.
pub(crate) struct Inside {
    room: RoomId,
    session: SessionId,
    /// Opens the seat again, once there is one.
    token: Option<String>,
    link: Option<RoomLink>,
    frames: mpsc::Receiver<Got>,
    /// Something that must not be lost was.
    lost: Arc<AtomicBool>,
    live: bool,
}

struct Sink {
    frames: mpsc::Sender<Got>,
    lost: Arc<AtomicBool>,
}

impl ClientSink for Sink {
    fn deliver(&self, kind: FrameKind, bytes: Bytes) {
        if self.frames.try_send(Got::Frame(bytes)).is_err() && kind == FrameKind::Message {
            self.lost.store(true, Ordering::Release);
        }
    }

    fn close(&self, code: CloseCode, _: &str) {
        if self.frames.try_send(Got::Closed(code)).is_err() {
            self.lost.store(true, Ordering::Release);
        }
    }
}

impl Inside {
    /// For a seat that was reserved.
    pub(crate) fn new(room: RoomId, session: SessionId) -> Self {
        let frames = mpsc::channel(1).1;
        Self { room, session, token: None, link: None, frames, lost: Arc::default(), live: false }
    }

    /// Goes to the seat, or back to it.
    pub(crate) async fn attach(&mut self, node: &Handle) -> Result<(), AttachError> {
        let (sender, frames) = mpsc::channel(FRAMES);
        (self.frames, self.lost, self.live) = (frames, Arc::default(), false);
        let attach = Attach {
            room: self.room.clone(),
            session: self.session.clone(),
            token: self.token.clone(),
            skip_handshake: true,
            dialect: Some(Dialect::V18),
        };
        let sink = Sink { frames: sender, lost: Arc::clone(&self.lost) };
        self.link = Some(node.attach(attach, Arc::new(sink)).await?);
        Ok(())
    }

    /// Whether there is a way back to the seat.
    pub(crate) fn may_come_back(&self) -> bool {
        self.token.is_some()
    }

    /// Whether the room has let it in.
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// The next thing that comes. Being let in is acknowledged before it is told. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Got {
        let got = self.frames.recv().await.unwrap_or(Got::Closed(BROKEN));
        if self.lost.load(Ordering::Acquire) {
            return Got::Closed(BROKEN);
        }
        if let Got::Frame(bytes) = &got
            && let Ok(ServerFrame::Join(join)) = Self::read(bytes)
        {
            self.token = Some(join.token.to_owned());
            self.live = true;
            self.push(&ClientFrame::Ack);
        }
        got
    }

    /// A frame as the room wrote it.
    pub(crate) fn read(bytes: &[u8]) -> Result<ServerFrame<'_>, FrameError> {
        ServerFrame::decode(bytes, Dialect::V18)
    }

    /// Says something to the room. A room that is gone says so itself; one that takes nothing more is joined anew.
    pub(crate) fn push(&self, frame: &ClientFrame<'_>) {
        let Some(link) = &self.link else { return };
        if let Err(PushError::Full(_)) = link.push(frame.to_vec().into()) {
            self.lost.store(true, Ordering::Release);
        }
    }

    /// The connection is over; the seat may wait.
    pub(crate) fn hang_up(&mut self) {
        self.link = None;
    }

    /// Gives the seat back, and waits until the room has taken it.
    pub(crate) async fn give_back(&mut self) {
        self.push(&ClientFrame::Leave);
        while !matches!(self.next().await, Got::Closed(_)) {}
        self.link = None;
    }

    /// Gives the seat back.
    pub(crate) fn leave(&mut self) {
        self.push(&ClientFrame::Leave);
        if let Some(link) = self.link.take() {
            link.closed(CloseCode::CONSENTED);
        }
    }
}
