//! A TCP stream that knows whose turn it is in HTTP, so that a slow request can be told from a quiet connection.
//!
//! ```text
//! accept -> Head --request--> Busy --answer--> Idle --first byte--> Head
//! ```
//!
//! hyper has one bound from the end of an answer to the end of the next headers. A proxy that keeps connections open
//! wants that to be minutes, a client that sends headers byte by byte must be cut after seconds: two bounds, two clocks.

use parking_lot::Mutex;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The client's: headers are due, since then.
    Head(Instant),
    /// Ours: a request is being answered.
    Busy,
    /// Nobody's.
    Idle,
}

/// Shared by the stream, the task that serves it, and the handler of its requests.
pub(crate) type SharedTurn = Arc<Mutex<Turn>>;

pub(crate) struct Watched {
    pub(crate) tcp: TcpStream,
    turn: SharedTurn,
}

impl Watched {
    /// A stream that was just accepted: headers are due.
    pub(crate) fn new(tcp: TcpStream) -> (Self, SharedTurn) {
        let turn = Arc::new(Mutex::new(Turn::Head(Instant::now())));
        (Watched { tcp, turn: Arc::clone(&turn) }, turn)
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, into);
        if into.filled().len() > before {
            let mut turn = self.turn.lock();
            if *turn == Turn::Idle {
                *turn = Turn::Head(Instant::now());
            }
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}
