//! A WebSocket on a TCP stream, from the server's side.
//!
//! ```text
//! kernel -> decoder (tungstenite) -> Incoming
//!              | pong, close replies
//!              v
//! frames -> Writer -> kernel
//! ```
//!
//! The decoder is a library's: fragments, masks, UTF-8, control frames, the closing handshake. It believes it writes
//! to the stream too, but its rare answers land in our [`Writer`], so all that leaves has one order and one queue.
//! Why not the library's writing side: it copies every payload once per client into a buffer that never shrinks.
//! See docs/decisions/2026-11-21-websocket-transport.md.
//!
//! After a violation the decoder is not used again: what still arrives is read and thrown away for a moment, so that
//! the close code reaches the client instead of a reset (a socket closed with unread bytes resets the connection).

use super::writer::{Opcode, Progress, Writer};
use crate::limits::Limits;
use bytes::Bytes;
use everplay_types::CloseCode;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message, Utf8Bytes};

/// A WebSocket whose handshake is done.
pub struct Socket {
    reading: OwnedReadHalf,
    /// Shared with the outbox only, which holds it weakly: the stream ends with the socket.
    sending: Arc<OwnedWriteHalf>,
    decoder: WebSocketContext,
    /// The decoder has asked for more than there was. Until more arrives it need not be asked: each time it clears its
    /// whole buffer first.
    drained: bool,
    writer: Writer,
}

/// What arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A binary message.
    Binary(Bytes),
    /// A text message.
    Text(Utf8Bytes),
    /// A ping (its pong is already queued) or a pong.
    Control,
    /// The client closed, with this code; 1005 when it gave none.
    Close(CloseCode),
}

/// Why nothing more can be read.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// A message is larger than allowed.
    #[error("a message is larger than allowed")]
    TooBig,
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    InvalidText,
    /// The WebSocket protocol was broken.
    #[error("websocket protocol: {0}")]
    Protocol(tungstenite::error::ProtocolError),
    /// The stream ended or failed without a closing handshake.
    #[error("the connection broke")]
    Gone,
}

impl Violation {
    /// The close code that tells the client; none when there is nobody to tell.
    pub fn close_code(&self) -> Option<CloseCode> {
        match self {
            Violation::TooBig => Some(CloseCode::TOO_BIG),
            Violation::InvalidText => Some(CloseCode::INVALID_TEXT),
            Violation::Protocol(_) => Some(CloseCode::PROTOCOL),
            Violation::Gone => None,
        }
    }
}

/// The close code of a connection that ended without one: never sent, only reported.
pub(crate) const ABNORMAL: CloseCode = CloseCode(1006);
/// A close frame without a code: never sent, only reported.
const NO_STATUS: CloseCode = CloseCode(1005);

impl Socket {
    /// Takes over `tcp` after the handshake; `early` is what was read behind it.
    pub(crate) fn new(tcp: TcpStream, early: Bytes, limits: &Limits) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(limits.read_buffer_bytes as usize)
            // The decoder's own frames go to our writer at once.
            .write_buffer_size(0)
            .max_message_size(Some(limits.frame_bytes as usize))
            .max_frame_size(Some(limits.frame_bytes as usize));
        let decoder = if early.is_empty() {
            WebSocketContext::new(Role::Server, Some(config))
        } else {
            WebSocketContext::from_partially_read(early.to_vec(), Role::Server, Some(config))
        };
        let (reading, sending) = tcp.into_split();
        Socket { reading, sending: Arc::new(sending), decoder, drained: false, writer: Writer::new() }
    }

    /// The sending half, for as long as the socket lives.
    pub(crate) fn sending(&self) -> Weak<OwnedWriteHalf> {
        Arc::downgrade(&self.sending)
    }

    /// The next message. After an error, only [`queue_close`](Self::queue_close) and
    /// [`finish`](Self::finish) make sense.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, Violation>> {
        if self.drained && self.reading.as_ref().poll_read_ready(cx).is_pending() {
            return Poll::Pending;
        }
        self.drained = false;
        loop {
            let mut stream = Stream { tcp: &mut self.reading, writer: &mut self.writer, cx };
            let incoming = match self.decoder.read(&mut stream) {
                Ok(Message::Binary(bytes)) => Incoming::Binary(bytes),
                Ok(Message::Text(text)) => Incoming::Text(text),
                Ok(Message::Ping(_)) => {
                    // The pong is made at the next call; make it now, so that it is not read time that decides.
                    let mut stream = Stream { tcp: &mut self.reading, writer: &mut self.writer, cx };
                    match self.decoder.flush(&mut stream) {
                        Ok(()) => Incoming::Control,
                        Err(_) => return Poll::Ready(Err(Violation::Gone)),
                    }
                }
                Ok(Message::Pong(_)) => Incoming::Control,
                Ok(Message::Close(frame)) => {
                    // Queues the reply; the decoder reports that the conversation is over.
                    let mut stream = Stream { tcp: &mut self.reading, writer: &mut self.writer, cx };
                    match self.decoder.flush(&mut stream) {
                        Ok(()) | Err(_) => {}
                    }
                    let code = frame.map_or(NO_STATUS, |frame| CloseCode(frame.code.into()));
                    Incoming::Close(code)
                }
                Ok(Message::Frame(_)) => continue,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.drained = true;
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(violation(error))),
            };
            return Poll::Ready(Ok(incoming));
        }
    }

    /// The next message; `Err` ends the reading.
    pub async fn recv(&mut self) -> Result<Incoming, Violation> {
        std::future::poll_fn(|cx| {
            let mut progress = Progress::default();
            // What is queued (pongs, replies) leaves while we wait.
            if let Poll::Ready(Err(_)) = self.poll_flush(&mut progress, cx) {
                return Poll::Ready(Err(Violation::Gone));
            }
            let received = self.poll_recv(cx);
            if received.is_pending()
                && !self.writer.is_empty()
                && let Poll::Ready(Err(_)) = self.poll_flush(&mut progress, cx)
            {
                return Poll::Ready(Err(Violation::Gone));
            }
            received
        })
        .await
    }

    /// Sends one binary message and waits until the kernel has it.
    pub async fn send_binary(&mut self, payload: Bytes) -> io::Result<()> {
        self.queue(Opcode::Binary, payload);
        self.flush().await
    }

    /// Sends one text message and waits until the kernel has it.
    pub async fn send_text(&mut self, text: Utf8Bytes) -> io::Result<()> {
        self.queue(Opcode::Text, text.into());
        self.flush().await
    }

    /// Waits until the kernel has everything queued.
    async fn flush(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_flush(&mut Progress::default(), cx)).await
    }

    pub(crate) fn queue(&mut self, opcode: Opcode, payload: Bytes) {
        self.writer.push(opcode, payload);
    }

    /// Queues the rest of a message whose beginning was sent.
    pub(crate) fn queue_rest(&mut self, rest: Bytes) {
        self.writer.push_framed(rest);
    }

    /// Whether another frame should be queued before the next write.
    pub(crate) fn wants_more(&self) -> bool {
        !self.writer.is_full()
    }

    /// Whether the kernel has everything.
    pub(crate) fn is_flushed(&self) -> bool {
        self.writer.is_empty()
    }

    pub(crate) fn poll_flush(
        &mut self,
        progress: &mut Progress,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.writer.poll_flush(&self.sending, progress, cx)
    }

    /// Queues a close frame. Nothing is sent after it. `reason` is cut to what a close frame holds (123 bytes). A code that
    /// must not be sent (RFC 6455, 7.4.2) becomes [`CloseCode::WITH_ERROR`]: a close without a code brings SDKs back.
    pub fn queue_close(&mut self, code: CloseCode, reason: &str) {
        let sent = tungstenite::protocol::frame::coding::CloseCode::from(code.0);
        let sent = if sent.is_allowed() { sent } else { CloseCode::WITH_ERROR.0.into() };
        let frame = CloseFrame { code: sent, reason: cut(reason).into() };
        let mut stream = QueueOnly { writer: &mut self.writer };
        // The only failures are of a stream, and this one takes everything; after a close frame it does nothing.
        if let Err(error) = self.decoder.close(&mut stream, Some(frame)) {
            tracing::trace!(%error, "close frame not queued");
        }
    }

    /// Sends what is queued, closes the sending half, and waits for the client to be done. Takes at most `limit`; then
    /// drop the socket.
    pub async fn finish(&mut self, limit: Duration) {
        let done = async {
            if self.flush().await.is_err() {
                return;
            }
            let tcp: &TcpStream = (*self.sending).as_ref();
            if socket2::SockRef::from(tcp).shutdown(Shutdown::Write).is_err() {
                return;
            }
            // Whatever the client still sends is of no interest, but must be taken: see the module header.
            std::future::poll_fn(|cx| {
                let mut scratch = [0u8; 1024];
                loop {
                    let mut buffer = ReadBuf::new(&mut scratch);
                    match Pin::new(&mut self.reading).poll_read(cx, &mut buffer) {
                        Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                        Poll::Ready(_) => return Poll::Ready(()),
                        Poll::Pending => return Poll::Pending,
                    }
                }
            })
            .await;
        };
        // Out of time: dropping the stream tells the rest.
        drop(tokio::time::timeout(limit, done).await);
    }

    /// Gives memory of past bursts back.
    pub(crate) fn shrink(&mut self) {
        self.writer.shrink();
    }
}

fn violation(error: Error) -> Violation {
    match error {
        Error::Capacity(_) => Violation::TooBig,
        Error::Utf8(_) => Violation::InvalidText,
        Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => Violation::Gone,
        Error::Protocol(error) => Violation::Protocol(error),
        _ => Violation::Gone,
    }
}

/// The longest prefix of `reason` that fits a close frame: 125 bytes less two for the code.
fn cut(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(123)]
}

/// What the decoder believes to be its stream: reads from the kernel, writes into our queue.
struct Stream<'a, 'b> {
    tcp: &'a mut OwnedReadHalf,
    writer: &'a mut Writer,
    cx: &'a mut Context<'b>,
}

impl Read for Stream<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(into);
        match Pin::new(&mut *self.tcp).poll_read(self.cx, &mut buffer) {
            Poll::Ready(result) => result.map(|()| buffer.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Stream<'_, '_> {
    fn write(&mut self, framed: &[u8]) -> io::Result<usize> {
        self.writer.push_framed(Bytes::copy_from_slice(framed));
        Ok(framed.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The same where nothing is read.
struct QueueOnly<'a> {
    writer: &'a mut Writer,
}

impl Read for QueueOnly<'_> {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Write for QueueOnly<'_> {
    fn write(&mut self, framed: &[u8]) -> io::Result<usize> {
        self.writer.push_framed(Bytes::copy_from_slice(framed));
        Ok(framed.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn long_reasons_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"a".repeat(200)).len(), 123);
        assert_eq!(cut(&"ä".repeat(100)).len(), 122);
    }
}
