//! What one client has still to be sent, between the room that says it and the socket that takes it.
//!
//! ```text
//! room -> deliver -> [frames, at most outbox_bytes] -> connection task -> socket
//!            |         | full: queued patches go, freshness = Stale          ^
//!            '---------|------ nothing waits, in a small room ---------------'
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
//! - The room writes to the socket itself only while the connection task has nothing to write (`idle`), under the lock;
//!   what the kernel does not take is queued before anything else. That spares the task's turn, which costs half as
//!   much as the write. In a large room it would be one core that writes to everyone, so there the tasks do it.

use crate::metrics::Metrics;
use crate::socket::writer::{Opcode, header};
use bytes::Bytes;
use everplay_types::CloseCode;
use parking_lot::Mutex;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use tokio::net::tcp::OwnedWriteHalf;

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
    /// How the room writes to the socket itself.
    direct: Option<Direct>,
    /// Guards everything else; held for a push, a pop or a write, never across a wait.
    queue: Mutex<Queue>,
}

/// The way past the connection task.
pub(crate) struct Direct {
    /// The socket, while it lives.
    pub(crate) sending: Weak<OwnedWriteHalf>,
    /// Connections of the same room.
    pub(crate) members: Arc<AtomicU32>,
    /// Counts what is written.
    pub(crate) metrics: Arc<Metrics>,
}

/// Connections of a room that its own task writes to: at some 7 us a write, 2 ms.
const DIRECT_MEMBERS: u32 = 256;
/// Payloads up to this are copied behind their header: one slice costs the kernel less than two.
const COPIED: usize = 512;

/// What became of a direct write.
enum Written {
    All,
    /// The rest of the frame, with its header if that is part of it.
    Partly(Bytes),
    Nothing,
}

impl Direct {
    fn write(&self, payload: &Bytes) -> Written {
        if self.members.load(Ordering::Relaxed) > DIRECT_MEMBERS {
            return Written::Nothing;
        }
        let Some(sending) = self.sending.upgrade() else { return Written::Nothing };
        let (header, header_len) = header(Opcode::Binary, payload.len());
        let header = &header[..usize::from(header_len)];
        let all = header.len() + payload.len();
        let taken = if payload.len() <= COPIED {
            let mut whole = [0; 10 + COPIED];
            whole[..header.len()].copy_from_slice(header);
            whole[header.len()..all].copy_from_slice(payload);
            sending.try_write(&whole[..all])
        } else {
            sending.try_write_vectored(&[IoSlice::new(header), IoSlice::new(payload)])
        };
        // What is wrong with the socket is for its task to find out.
        let taken = taken.unwrap_or(0);
        if taken == 0 {
            return Written::Nothing;
        }
        let metrics = &self.metrics;
        metrics.frames_out.increment(1);
        metrics.bytes_out.increment(taken as u64);
        metrics.writes.increment(1);
        match taken.checked_sub(header.len()) {
            Some(sent) if sent == payload.len() => Written::All,
            Some(sent) => Written::Partly(payload.slice(sent..)),
            None => Written::Partly([&header[taken..], payload].concat().into()),
        }
    }
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
    /// It has nothing to write: the room may.
    idle: bool,
    /// What is left of a frame that the room began to write; leaves before everything else.
    rest: Option<Bytes>,
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
    /// The end of a frame whose beginning was sent, as it is.
    Rest(Bytes),
    /// Everything was sent, and patches were dropped before: ask the room for a full state.
    Resync,
    /// Everything was sent; close.
    End(End),
}

impl Outbox {
    /// An empty outbox whose patches give way after `budget` bytes.
    pub(crate) fn new(budget: u32, direct: Option<Direct>) -> Self {
        Outbox(Arc::new(Shared {
            budget,
            direct,
            queue: Mutex::new(Queue {
                frames: VecDeque::new(),
                bytes: 0,
                freshness: Freshness::Current,
                shed: 0,
                end: None,
                waker: None,
                blocked: false,
                idle: false,
                rest: None,
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
            if queue.idle
                && let Some(direct) = &self.0.direct
                && queue.end.is_none()
                && queue.freshness == Freshness::Current
                && queue.frames.is_empty()
            {
                match direct.write(&frame.bytes) {
                    Written::All => return,
                    Written::Partly(rest) => {
                        queue.rest = Some(rest);
                        queue.idle = false;
                        let waker = queue.waker.take();
                        drop(queue);
                        return waker.into_iter().for_each(Waker::wake);
                    }
                    Written::Nothing => {}
                }
            }
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
        queue.idle = false;
        if let Some(rest) = queue.rest.take() {
            return Poll::Ready(Next::Rest(rest));
        }
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
        queue.idle = sent;
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
        queue.idle = false;
        queue.rest = None;
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
