//! A connection that stands: one task that reads, writes, gives signs of life and listens for them.

use crate::frame::{Frame, HEADER, Incoming, Outgoing};
use crate::links::Shared;
use crate::peer::{Cause, Link, Peer};
use crate::stream::Stream;
use bytes::BytesMut;
use socket2::SockRef;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::{debug, warn};

/// Bytes there is room for when reading begins.
const READ: usize = 64 * 1024;
/// Reads in a row before the writing half has its turn.
const READS: u32 = 8;

/// Runs a link until it ends, and tells so.
pub(crate) async fn run(shared: Arc<Shared>, peer: Arc<Peer>, link: Arc<Link>, stream: Stream) {
    // Kept, to break the connection at the end without waiting for what is still to be written.
    let (reading, writing) = tokio::io::split(stream);
    let mut reader = Reader { shared: &shared, peer: &peer, link: &link, from: reading };
    let mut writer = Writer { shared: &shared, link: &link, to: writing };
    // One task for both halves: under TLS they share a session, and a busy one must not keep the other from its turn.
    let cause = tokio::select! {
        biased;
        () = link.stop.notified() => Cause::Forgotten,
        cause = reader.run() => cause,
        cause = writer.run() => cause,
    };
    let (reading, writing) = (reader.from, writer.to);
    peer.down(&link, cause);
    let stream = reading.unsplit(writing);
    if !link.is_finished() {
        // What is half written would only be thrown away at the other end.
        if let Err(error) = SockRef::from(stream.socket()).set_linger(Some(Duration::ZERO)) {
            debug!(error = %error, "a link is not reset but closed");
        }
    }
}

struct Reader<'a> {
    shared: &'a Shared,
    peer: &'a Arc<Peer>,
    link: &'a Arc<Link>,
    from: ReadHalf<Stream>,
}

impl Reader<'_> {
    async fn run(&mut self) -> Cause {
        let incoming = Incoming { most: self.shared.options.max_message };
        let silence = self.shared.options.silence;
        let mut buffer = BytesMut::with_capacity(READ);
        let mut messages = Vec::new();
        let mut heard = Instant::now();
        let mut silent = false;
        let mut reads = 0;
        let due = sleep_until(heard + silence);
        tokio::pin!(due);
        loop {
            buffer.reserve(READ / 4);
            let read = tokio::select! {
                // What has come is read before silence is judged.
                biased;
                read = self.from.read_buf(&mut buffer) => read,
                () = &mut due => {
                    let late = due.deadline().elapsed();
                    if late > silence / 2 {
                        // This process itself stood still: it cannot judge others by its own clock.
                        debug!(peer.id = %self.peer.id, late_ms = late.as_millis(), "this node stood still");
                        heard = Instant::now();
                    } else if heard.elapsed() >= silence && !silent {
                        silent = true;
                        self.peer.tell_silence(self.link, true);
                    }
                    let next = if silent { Instant::now() } else { heard };
                    due.as_mut().reset(next + silence);
                    continue;
                }
            };
            match read {
                Ok(0) => return Cause::Closed,
                Ok(read) => self.shared.flow.received.increment(read as u64),
                Err(error) => {
                    debug!(peer.id = %self.peer.id, error = %error, "link broke while reading");
                    return Cause::Closed;
                }
            }
            heard = Instant::now();
            if silent {
                silent = false;
                self.peer.tell_silence(self.link, false);
                due.as_mut().reset(heard + silence);
            }
            loop {
                match incoming.take(&mut buffer) {
                    Ok(Some(Frame::Message(message))) => messages.push(message),
                    Ok(Some(Frame::Heartbeat)) => {}
                    Ok(None) => break,
                    Err(error) => {
                        self.peer.tell_messages(self.link, &mut messages);
                        warn!(peer.id = %self.peer.id, error = %error, "a node sent what is not a frame");
                        return Cause::Protocol;
                    }
                }
            }
            if !messages.is_empty() && !self.peer.tell_messages(self.link, &mut messages) {
                return Cause::Replaced;
            }
            reads += 1;
            if reads == READS {
                reads = 0;
                tokio::task::yield_now().await;
            }
        }
    }
}

struct Writer<'a> {
    shared: &'a Shared,
    link: &'a Arc<Link>,
    to: WriteHalf<Stream>,
}

impl Writer<'_> {
    async fn run(&mut self) -> Cause {
        let mut outgoing = Outgoing::default();
        let mut beats = interval(self.shared.options.heartbeat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Not bytes of messages, so not counted in the queue.
            let mut uncounted = 0;
            self.link.take(&mut outgoing);
            outgoing.seal();
            if outgoing.is_empty() {
                if self.link.is_finished() {
                    if self.to.shutdown().await.is_err() {
                        return Cause::Closed;
                    }
                    // Closing with something unread would take back what the peer has not read yet, so it ends first.
                    return std::future::pending().await;
                }
                tokio::select! {
                    biased;
                    () = self.link.ready.notified() => continue,
                    _ = beats.tick() => {
                        uncounted = HEADER;
                        outgoing.heartbeat();
                        outgoing.seal();
                    }
                }
            }
            while !outgoing.is_empty() {
                let (slices, used) = outgoing.slices();
                let written = match self.to.write_vectored(&slices[..used]).await {
                    Ok(0) => return Cause::Closed,
                    Ok(written) => written,
                    Err(error) => {
                        debug!(error = %error, "link broke while writing");
                        return Cause::Closed;
                    }
                };
                outgoing.advance(written);
                self.shared.flow.sent.increment(written as u64);
                let counted = written.saturating_sub(uncounted);
                uncounted = 0;
                self.link.written(counted);
            }
            if let Err(error) = self.to.flush().await {
                debug!(error = %error, "link broke while flushing");
                return Cause::Closed;
            }
        }
    }
}
