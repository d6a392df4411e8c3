//! What one client has still to be sent, between the room that says it and the socket that takes it.
//!
//! ```text
//! room -> deliver -> [frames, at most outbox_bytes] -> connection task -> socket
//!                      | full: queued patches go, freshness = Stale
//!                      v
//!   Current -> Stale --(everything left was sent)--> Asked --(State arrives)--> Current
//!                      | not sent within outbox_drain: close 4100
//! ```
//!
//! Invariants:
//! - Frames leave in the order they were delivered. A message is sent or the connection ends with a code: no message
//!   is dropped while later ones go through.
//! - While not `Current`, no patch is accepted: a client sees patches only on top of a state they belong to.
//! - Bytes counted against the budget are those of patches and messages. Full states are not: shedding one would
//!   only ask for the next. At most one is queued, so memory is bounded by budget + one frame + one state.
//! - `deliver` and `close` never wait and never fail, so a room cannot notice a slow client.

use bytes::Bytes;
use everplay_types::CloseCode;
use parking_lot::Mutex;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// What a frame is to a client that falls behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A change of state: superseded by any later full state.
    Patch,
    /// A full state: supersedes all patches before it.
    State,
    /// Something that was said once: never dropped.
    Message,
    /// Join, error, leave, pong and the like: never dropped.
    Control,
}

/// One frame for one or many clients. Cloning shares the bytes.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The frame, opcode first, without WebSocket framing.
    pub bytes: Bytes,
    /// What it is.
    pub kind: FrameKind,
}

/// The sending end of one connection, held by its room. Cheap to clone.
#[derive(Clone)]
pub struct Outbox(Arc<Shared>);

struct Shared {
    /// Bytes after which patches give way.
    budget: u32,
    /// Guards everything else; held for a push or a pop, never across a wait.
    queue: Mutex<Queue>,
}

struct Queue {
    frames: VecDeque<Frame>,
    /// Bytes of patches and messages in `frames`.
    bytes: usize,
    freshness: Freshness,
    /// Patches dropped since the connection last looked.
    shed: u32,
    end: Option<End>,
    /// The connection task, when it waits.
    waker: Option<Waker>,
    /// It waits for the socket, not for frames.
    blocked: bool,
}

/// Whether patches may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Freshness {
    Current,
    /// Patches were dropped; the room is asked for a full state when the rest was sent.
    Stale,
    /// The room was asked.
    Asked,
}

/// How a connection is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) code: CloseCode,
    pub(crate) reason: Cow<'static, str>,
}

/// What the connection task finds in the outbox.
#[derive(Debug)]
pub(crate) enum Next {
    Frame(Bytes),
    /// Everything was sent, and patches were dropped before: ask the room for a full state.
    Resync,
    /// Everything was sent; close.
    End(End),
}

impl Outbox {
    /// An empty outbox whose patches give way after `budget` bytes.
    pub(crate) fn new(budget: u32) -> Self {
        Outbox(Arc::new(Shared {
            budget,
            queue: Mutex::new(Queue {
                frames: VecDeque::new(),
                bytes: 0,
                freshness: Freshness::Current,
                shed: 0,
                end: None,
                waker: None,
                blocked: false,
            }),
        }))
    }

    /// Queues `frame`. Never waits. Does nothing when the connection has ended or is told to.
    ///
    /// Over the budget: a patch is dropped with all queued ones, and the room is asked for a full state later
    /// ([`RoomInbox::resync`](crate::RoomInbox::resync)); anything else makes queued patches give way, and ends the
    /// connection with [`CloseCode::TOO_SLOW`] when that does not make room.
    pub fn deliver(&self, frame: Frame) {
        let waker = {
            let mut queue = self.0.queue.lock();
            let urgent = queue.is_urgent();
            queue.deliver(frame, self.0.budget as usize);
            // A blocked connection can do nothing about one more frame; it must know when a deadline starts.
            if queue.blocked && urgent == queue.is_urgent() { None } else { queue.waker.take() }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ends the connection after what is queued was sent. The first call decides; later frames are dropped.
    pub fn close(&self, code: CloseCode, reason: impl Into<Cow<'static, str>>) {
        let waker = {
            let mut queue = self.0.queue.lock();
            if queue.end.is_none() {
                queue.end = Some(End { code, reason: reason.into() });
            }
            queue.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the connection has ended or is told to: nothing more will be sent.
    pub fn is_closed(&self) -> bool {
        self.0.queue.lock().end.is_some()
    }

    /// The next thing to do; [`Next::Resync`] and [`Next::End`] only once all frames were taken and, as `sent` tells,
    /// written. Registers the task for a wake-up otherwise.
    pub(crate) fn poll_next(&self, sent: bool, cx: &mut Context<'_>) -> Poll<Next> {
        let mut queue = self.0.queue.lock();
        if let Some(frame) = queue.frames.pop_front() {
            if frame.kind != FrameKind::State {
                queue.bytes -= frame.bytes.len();
            }
            return Poll::Ready(Next::Frame(frame.bytes));
        }
        if let Some(end) = &queue.end {
            return Poll::Ready(Next::End(end.clone()));
        }
        if sent && queue.freshness == Freshness::Stale {
            queue.freshness = Freshness::Asked;
            return Poll::Ready(Next::Resync);
        }
        queue.wait(false, cx);
        Poll::Pending
    }

    /// The socket takes nothing. Whether what is queued must be read before long (patches were dropped, or this is
    /// the end); registers the task for a wake-up when that changes.
    pub(crate) fn blocked(&self, cx: &mut Context<'_>) -> bool {
        let mut queue = self.0.queue.lock();
        queue.wait(true, cx);
        queue.is_urgent()
    }

    /// How to end, once told.
    pub(crate) fn end(&self) -> Option<End> {
        self.0.queue.lock().end.clone()
    }

    /// Patches dropped since the last call.
    pub(crate) fn take_shed(&self) -> u32 {
        std::mem::take(&mut self.0.queue.lock().shed)
    }

    /// Drops what is queued and accepts nothing more: the socket is gone.
    pub(crate) fn abandon(&self, code: CloseCode) {
        let mut queue = self.0.queue.lock();
        queue.frames = VecDeque::new();
        queue.bytes = 0;
        queue.waker = None;
        queue.end.get_or_insert(End { code, reason: Cow::Borrowed("") });
    }

    /// Gives memory of past bursts back.
    pub(crate) fn shrink(&self) {
        self.0.queue.lock().frames.shrink_to(IDLE_FRAMES);
    }
}

/// Frames for which a quiet connection keeps space: 4 * 40 bytes.
const IDLE_FRAMES: usize = 4;

impl Queue {
    fn is_urgent(&self) -> bool {
        self.freshness == Freshness::Stale || self.end.is_some()
    }

    fn wait(&mut self, blocked: bool, cx: &mut Context<'_>) {
        self.blocked = blocked;
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }

    fn deliver(&mut self, frame: Frame, budget: usize) {
        if self.end.is_some() {
            return;
        }
        match frame.kind {
            FrameKind::State => {
                if self.frames.iter().any(|queued| queued.kind == FrameKind::State) {
                    self.drop_superseded();
                }
                self.freshness = Freshness::Current;
            }
            FrameKind::Patch if self.freshness != Freshness::Current => {
                self.shed = self.shed.saturating_add(1);
                return;
            }
            FrameKind::Patch if self.bytes >= budget => {
                self.shed_patches();
                self.freshness = Freshness::Stale;
                self.shed = self.shed.saturating_add(1);
                return;
            }
            FrameKind::Message | FrameKind::Control if self.bytes >= budget => {
                self.shed_patches();
                if self.bytes >= budget {
                    self.frames = VecDeque::new();
                    self.bytes = 0;
                    self.end = Some(End {
                        code: CloseCode::TOO_SLOW,
                        reason: Cow::Borrowed("the client does not read what it is sent"),
                    });
                    return;
                }
            }
            FrameKind::Patch | FrameKind::Message | FrameKind::Control => {}
        }
        if frame.kind != FrameKind::State {
            self.bytes += frame.bytes.len();
        }
        self.frames.push_back(frame);
    }

    /// Drops queued patches; a full state will take their place.
    fn shed_patches(&mut self) {
        let before = self.frames.len();
        let mut freed = 0;
        self.frames.retain(|frame| {
            let patch = frame.kind == FrameKind::Patch;
            freed += if patch { frame.bytes.len() } else { 0 };
            !patch
        });
        self.bytes -= freed;
        let dropped = before - self.frames.len();
        self.shed = self.shed.saturating_add(u32::try_from(dropped).unwrap_or(u32::MAX));
        // Without patches there is nothing to make good: only a dropped one makes a client stale.
        if dropped > 0 {
            self.freshness = Freshness::Stale;
        }
    }

    /// Drops queued states and patches, because a newer state follows.
    fn drop_superseded(&mut self) {
        let mut freed = 0;
        self.frames.retain(|frame| match frame.kind {
            FrameKind::Patch => {
                freed += frame.bytes.len();
                false
            }
            FrameKind::State => false,
            FrameKind::Message | FrameKind::Control => true,
        });
        self.bytes -= freed;
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.0.queue.lock();
        f.debug_struct("Outbox")
            .field("frames", &queue.frames.len())
            .field("bytes", &queue.bytes)
            .field("freshness", &queue.freshness)
            .field("end", &queue.end)
            .finish()
    }
}

#[cfg(test)]
mod tests;
