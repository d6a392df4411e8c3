//! One room connection after its handshake: what comes in is judged here, what goes out passes through here.
//!
//! ```text
//! Attaching --ok--> Joining --ack--> Joined --> Ended --> closing handshake
//!     | refused        | not acked      | bound, violation, ping, outbox says so, client closes
//!     v                v                v
//!   ERROR + close    close 4102       close with a code
//! ```
//!
//! One task per connection reads, writes and keeps time: three tasks would cost three times the memory and a lock.
//!
//! Invariants:
//! - The room's inbox sees an ack first, and `closed` exactly once, before the closing handshake. What comes before the
//!   ack is kept until then: an SDK that comes back sends as soon as its socket is open.
//! - While the room's mailbox is full the socket is not read, so the sender feels it.
//! - Every way to end is an [`Ended`] with the code the client is told, and a refusal label if it was one.

use super::rate::Rate;
use super::transport::{ABNORMAL, Incoming, Socket, Violation};
use super::writer::{Opcode, Progress};
use crate::metrics::Refusal;
use crate::outbox::{Next, Outbox};
use crate::rooms::{Attached, PushError, RoomInbox};
use crate::server::Shared;
use bytes::Bytes;
use everplay_types::CloseCode;
use everplay_wire::{ClientFrame, InputOptions};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Messages taken from a socket before what is to be sent gets its turn.
const READ_BATCH: usize = 32;
/// How often a frame is offered to a full mailbox.
const INBOX_RETRY: Duration = Duration::from_millis(5);

/// Frames kept until the join is acknowledged: more than an SDK queues (10). One more: the connection is closed.
const EARLY: usize = 16;

/// A connection that has its seat.
pub(super) struct Connection {
    socket: Socket,
    outbox: Outbox,
    shared: Arc<Shared>,
    inbox: Inbox,
    inputs: InputOptions,
    messages: Rate,
    controls: Rate,
    /// A frame its room had no space for.
    held: Option<Held>,
    /// Frames that came before the join was acknowledged, oldest first; at most [`EARLY`].
    early: VecDeque<Bytes>,
    /// When the ack must be there; `None` once it is.
    ack_by: Option<Instant>,
    /// When the outbox must be empty, while it is urgent.
    drain_by: Option<Instant>,
    ping_at: Instant,
    pings_unanswered: u32,
    timer: Pin<Box<Sleep>>,
}

/// A frame that waits for space in its room's mailbox.
struct Held {
    bytes: Bytes,
    since: Instant,
    retry_at: Instant,
}

/// The room's end; told exactly once that the socket is gone, also when the whole task is dropped.
struct Inbox {
    /// `None` once told.
    open: Option<Box<dyn RoomInbox>>,
}

impl Inbox {
    fn room(&mut self) -> &mut dyn RoomInbox {
        self.open
            .as_deref_mut()
            .expect("it is told when the connection has ended, which then uses it no more")
    }

    fn close(&mut self, code: CloseCode) {
        if let Some(mut inbox) = self.open.take() {
            inbox.closed(code);
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.close(ABNORMAL);
    }
}

/// How a connection ended.
#[derive(Debug)]
struct Ended {
    /// What the room is told, and the client unless `tell` is none.
    code: CloseCode,
    /// The reason for the close frame; none when there is nobody to tell, or the client closed first.
    tell: Option<Cow<'static, str>>,
    refusal: Option<Refusal>,
}

impl Ended {
    fn refused(code: CloseCode, reason: impl Into<Cow<'static, str>>, refusal: Refusal) -> Self {
        Ended { code, tell: Some(reason.into()), refusal: Some(refusal) }
    }

    fn silently(code: CloseCode, refusal: Option<Refusal>) -> Self {
        Ended { code, tell: None, refusal }
    }
}

impl From<Violation> for Ended {
    fn from(violation: Violation) -> Self {
        let refusal = match violation {
            Violation::TooBig => Refusal::FrameSize,
            Violation::InvalidText => Refusal::InvalidText,
            Violation::Protocol(_) => Refusal::Protocol,
            Violation::Gone => return Ended::silently(ABNORMAL, None),
        };
        let code = violation.close_code().unwrap_or(CloseCode::PROTOCOL);
        Ended::refused(code, violation.to_string(), refusal)
    }
}

impl Connection {
    pub(super) fn new(socket: Socket, outbox: Outbox, attached: Attached, shared: Arc<Shared>) -> Self {
        let limits = &shared.options.limits;
        let now = Instant::now();
        Connection {
            messages: Rate::new(attached.messages_per_second.unwrap_or(limits.messages_per_second), now),
            controls: Rate::new(limits.control_frames_per_second, now),
            held: None,
            early: VecDeque::new(),
            ack_by: Some(now + limits.ack),
            drain_by: None,
            ping_at: now + limits.ping_every,
            pings_unanswered: 0,
            timer: Box::pin(tokio::time::sleep_until(now + limits.ping_every)),
            inbox: Inbox { open: Some(attached.inbox) },
            inputs: attached.inputs,
            socket,
            outbox,
            shared,
        }
    }

    /// Serves the connection to its end. By reference, so that a task holds no second copy of it.
    pub(super) async fn run(&mut self) {
        self.shared.metrics.connections.increment(1);
        let ended = std::future::poll_fn(|cx| self.poll_ended(cx)).await;
        self.shared.metrics.patches_shed.increment(u64::from(self.outbox.take_shed()));
        self.outbox.abandon(ended.code);
        self.inbox.close(ended.code);
        self.shared.metrics.connections.decrement(1);
        self.shared.metrics.closed(ended.code);
        if let Some(refusal) = ended.refusal {
            self.shared.metrics.refuse(refusal);
        }
        if let Some(reason) = &ended.tell {
            self.socket.queue_close(ended.code, reason);
        }
        self.socket.finish(self.shared.options.limits.close).await;
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            if let Poll::Ready(ended) = self.poll_out(cx) {
                return Poll::Ready(ended);
            }
            match self.poll_in(cx) {
                Err(ended) => return Poll::Ready(ended),
                // What was read may have queued a pong, or made the room answer already.
                Ok(true) => {}
                Ok(false) => match self.poll_time(cx) {
                    Poll::Ready(Some(ended)) => return Poll::Ready(ended),
                    Poll::Ready(None) => {}
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }

    /// Moves frames from the outbox to the kernel until one of them is empty or full. Ready only at the end.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let mut frames = 0;
        let mut progress = Progress::default();
        let polled = loop {
            while self.socket.wants_more() {
                match self.outbox.poll_next(self.socket.is_flushed(), cx) {
                    Poll::Ready(Next::Frame(bytes)) => {
                        frames += 1;
                        self.socket.queue(Opcode::Binary, bytes);
                    }
                    Poll::Ready(Next::Rest(rest)) => self.socket.queue_rest(rest),
                    Poll::Ready(Next::Resync) => {
                        self.drain_by = None;
                        self.shared.metrics.resyncs.increment(1);
                        self.shared.metrics.patches_shed.increment(u64::from(self.outbox.take_shed()));
                        self.inbox.room().resync();
                    }
                    Poll::Ready(Next::End(end)) => {
                        let refusal = (end.code == CloseCode::TOO_SLOW).then_some(Refusal::TooSlow);
                        return Poll::Ready(Ended { code: end.code, tell: Some(end.reason), refusal });
                    }
                    Poll::Pending => break,
                }
            }
            if self.socket.is_flushed() {
                break Poll::Pending;
            }
            match self.socket.poll_flush(&mut progress, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => break Poll::Ready(Ended::silently(ABNORMAL, None)),
                Poll::Pending => {
                    let urgent = self.outbox.blocked(cx);
                    let by = Instant::now() + self.shared.options.limits.outbox_drain;
                    self.drain_by = urgent.then(|| self.drain_by.unwrap_or(by));
                    break Poll::Pending;
                }
            }
        };
        if progress.writes > 0 {
            let metrics = &self.shared.metrics;
            metrics.frames_out.increment(frames);
            metrics.bytes_out.increment(progress.bytes);
            metrics.writes.increment(progress.writes);
        }
        polled
    }

    /// Takes what arrived. True when there was something.
    fn poll_in(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        for taken in 0..READ_BATCH {
            if self.held.is_some() {
                return Ok(taken > 0);
            }
            match self.socket.poll_recv(cx) {
                Poll::Pending => return Ok(taken > 0),
                Poll::Ready(received) => self.take(received?)?,
            }
        }
        Ok(true)
    }

    fn take(&mut self, incoming: Incoming) -> Result<(), Ended> {
        self.pings_unanswered = 0;
        match incoming {
            Incoming::Binary(bytes) => {
                let metrics = &self.shared.metrics;
                metrics.frames_in.increment(1);
                metrics.bytes_in.increment(bytes.len() as u64);
                if !self.messages.allows(Instant::now()) {
                    let reason = "too many messages per second";
                    return Err(Ended::refused(CloseCode::RATE_LIMITED, reason, Refusal::MessageRate));
                }
                self.offer(bytes, None)
            }
            Incoming::Control => {
                if self.controls.allows(Instant::now()) {
                    Ok(())
                } else {
                    let reason = "too many pings per second";
                    Err(Ended::refused(CloseCode::RATE_LIMITED, reason, Refusal::ControlRate))
                }
            }
            Incoming::Text(_) => {
                let reason = "text frames are not understood here";
                Err(Ended::refused(CloseCode::BAD_FRAME, reason, Refusal::TextFrame))
            }
            Incoming::Close(code) => Err(Ended::silently(code, None)),
        }
    }

    /// Hands a frame to the room, or holds it; `since` when it is held already.
    fn offer(&mut self, bytes: Bytes, since: Option<Instant>) -> Result<(), Ended> {
        let frame = ClientFrame::decode_with(&bytes, &self.inputs)
            .map_err(|error| Ended::refused(CloseCode::BAD_FRAME, error.to_string(), Refusal::BadFrame))?;
        if self.ack_by.is_some() {
            if frame != ClientFrame::Ack {
                if self.early.len() >= EARLY {
                    let reason = "too many frames before the join was acknowledged";
                    return Err(Ended::refused(CloseCode::BAD_FRAME, reason, Refusal::BeforeAck));
                }
                self.early.push_back(bytes);
                return Ok(());
            }
            self.ack_by = None;
        }
        match self.inbox.room().push(frame, &bytes) {
            Ok(()) => {
                self.held = None;
                if let Some(early) = self.early.pop_front() {
                    self.offer(early, None)?;
                }
            }
            // A room that ends says so through the outbox; until then its inbox is as good as full.
            Err(PushError::Full | PushError::Closed) => {
                let now = Instant::now();
                self.held = Some(Held { bytes, since: since.unwrap_or(now), retry_at: now + INBOX_RETRY });
            }
        }
        Ok(())
    }

    /// Ready when a time came: with the end, or with nothing but a reason to look again.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ended>> {
        let retry_at = self.held.as_ref().map(|held| held.retry_at);
        let next =
            [self.ack_by, self.drain_by, retry_at].into_iter().flatten().fold(self.ping_at, Instant::min);
        // A timer that fires too early costs one look at the clock; moving it at each event would cost more.
        if next < self.timer.deadline() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(next);
        }
        std::task::ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(self.look_at_clock(Instant::now()).err())
    }

    fn look_at_clock(&mut self, now: Instant) -> Result<(), Ended> {
        let shared = Arc::clone(&self.shared);
        let limits = &shared.options.limits;
        if self.ack_by.is_some_and(|by| by <= now) {
            let reason = "the join was not acknowledged";
            return Err(Ended::refused(CloseCode::BAD_FRAME, reason, Refusal::AckTimeout));
        }
        if self.drain_by.is_some_and(|by| by <= now) {
            let reason = "the client does not read what it is sent";
            return Err(match self.outbox.end() {
                Some(end) => {
                    Ended { code: end.code, tell: Some(end.reason), refusal: Some(Refusal::TooSlow) }
                }
                None => Ended::refused(CloseCode::TOO_SLOW, reason, Refusal::TooSlow),
            });
        }
        if let Some(Held { bytes, since, .. }) = self.held.take() {
            if since + limits.inbox_wait <= now {
                let reason = "the room does not take messages";
                return Err(Ended::refused(CloseCode::MAY_TRY_RECONNECT, reason, Refusal::InboxFull));
            }
            self.offer(bytes, Some(since))?;
        }
        if self.ping_at <= now {
            if self.pings_unanswered >= limits.pings_missed {
                return Err(Ended::silently(ABNORMAL, Some(Refusal::PingTimeout)));
            }
            self.pings_unanswered += 1;
            self.ping_at = now + limits.ping_every;
            self.socket.queue(Opcode::Ping, Bytes::new());
            self.socket.shrink();
            self.outbox.shrink();
        }
        Ok(())
    }
}
