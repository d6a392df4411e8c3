//! One client's socket, as cheap as a fair measurement needs: frames are found and counted, not copied.
//!
//! The driver shares the machine with what it drives. So bytes are read into one buffer for all clients, frames are looked
//! at where they lie, and what is sent is masked with zero, which RFC 6455 allows.

use anyhow::{Context as _, Result, bail, ensure};
use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// The buffer all clients of a thread read into.
pub(crate) type Scratch = Rc<RefCell<Vec<u8>>>;

/// As large as a burst of frames for one client.
pub(crate) fn scratch() -> Scratch {
    Rc::new(RefCell::new(vec![0; 64 << 10]))
}

/// The reading half of a client.
pub(crate) struct Line {
    reading: OwnedReadHalf,
    pub(crate) sending: Rc<Sender>,
    /// The beginning of a frame whose end has not come yet.
    rest: Vec<u8>,
    scratch: Scratch,
}

/// The sending half of a client.
pub(crate) struct Sender(OwnedWriteHalf);

const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

impl Sender {
    /// Sends one message of at most 125 bytes. What does not fit into the socket at once is an error: the driver sends
    /// little, and a server that does not take it is not measured but overrun.
    pub(crate) fn send(&self, frame: &[u8]) -> Result<()> {
        self.write(BINARY, frame)
    }

    fn write(&self, opcode: u8, payload: &[u8]) -> Result<()> {
        ensure!(payload.len() <= 125, "the driver sends short messages only");
        let mut bytes = [0; 131];
        bytes[0] = 0x80 | opcode;
        bytes[1] = 0x80 | payload.len() as u8;
        bytes[6..6 + payload.len()].copy_from_slice(payload);
        let whole = &bytes[..6 + payload.len()];
        let written = self.0.try_write(whole).context("a client cannot send")?;
        ensure!(written == whole.len(), "a client's socket is full");
        Ok(())
    }
}

impl Line {
    /// `early` is what came behind the handshake.
    pub(crate) fn new(tcp: TcpStream, early: &[u8], scratch: Scratch) -> Self {
        let (reading, sending) = tcp.into_split();
        Line { reading, sending: Rc::new(Sender(sending)), rest: early.to_vec(), scratch }
    }

    /// Waits until something is there and hands over every whole message. Errors: the connection ended, or what came is
    /// not WebSocket. May be dropped and called again.
    pub(crate) async fn hear(&mut self, mut on: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        poll_fn(|cx| self.poll_hear(cx, &mut on)).await
    }

    fn poll_hear(
        &mut self,
        cx: &mut Context<'_>,
        on: &mut impl FnMut(&[u8]) -> Result<()>,
    ) -> Poll<Result<()>> {
        let mut scratch = self.scratch.borrow_mut();
        if !self.rest.is_empty() {
            // Of a handshake, or of a frame that was long.
            let used = frames(&self.rest, &self.sending, on)?;
            self.rest.drain(..used);
            if used > 0 {
                return Poll::Ready(Ok(()));
            }
        }
        let mut into = ReadBuf::new(&mut scratch);
        std::task::ready!(Pin::new(&mut self.reading).poll_read(cx, &mut into))
            .context("a client cannot read")?;
        let read = into.filled();
        if read.is_empty() {
            return Poll::Ready(Err(anyhow::anyhow!("the server closed without a word")));
        }
        if self.rest.is_empty() {
            let used = frames(read, &self.sending, on)?;
            self.rest.extend_from_slice(&read[used..]);
        } else {
            self.rest.extend_from_slice(read);
            let used = frames(&self.rest, &self.sending, on)?;
            self.rest.drain(..used);
        }
        Poll::Ready(Ok(()))
    }
}

/// Hands over the whole messages at the beginning of `bytes`, answers pings, and tells how many bytes that were.
fn frames(bytes: &[u8], sending: &Sender, on: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<usize> {
    let mut used = 0;
    while let Some((opcode, payload, len)) = frame(&bytes[used..]) {
        used += len;
        match opcode {
            BINARY => on(payload)?,
            PING => sending.write(PONG, payload)?,
            PONG => {}
            CLOSE => {
                let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                bail!(
                    "the server closed with {code} {}",
                    String::from_utf8_lossy(payload.get(2..).unwrap_or(&[]))
                );
            }
            other => bail!("a WebSocket frame of kind {other} that no server of rooms sends"),
        }
    }
    Ok(used)
}

/// Opcode, payload and whole length of the first frame. Servers do not mask and, in what is driven here, not fragment.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (len, header) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()?, 10),
        len => (usize::from(len), 2),
    };
    let payload = bytes.get(header..)?.get(..len)?;
    Some((first & 0x0f, payload, header + len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_all_lengths_are_found_and_half_ones_wait() {
        let long = [&[0x82, 126, 1, 0][..], &[7; 256]].concat();
        let longer = [&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0][..], &[8; 1 << 16]].concat();
        assert_eq!(frame(&[0x82, 2, 5, 6, 0x89]), Some((BINARY, &[5, 6][..], 4)));
        assert_eq!(frame(&long), Some((BINARY, &[7; 256][..], 260)));
        assert_eq!(
            frame(&longer).map(|(_, payload, len)| (payload.len(), len)),
            Some((1 << 16, (1 << 16) + 10))
        );
        for cut in [0, 1, 3, 100, 259] {
            assert_eq!(frame(&long[..cut]), None, "{cut}");
        }
    }
}
