//! The writing half of a WebSocket: frames as header + shared payload, written together.
//!
//! ```text
//! outbox -> push -> [pieces, about GATHER_BYTES] -> one vectored write -> kernel
//! ```
//!
//! A server's frames are not masked, so a frame is its header and the very bytes every other recipient shares: no copy
//! per client, and no buffer that grows to the largest state ever sent and stays.
//!
//! Invariant: pieces leave whole and in order; `written` counts bytes of the first one only.

use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};
use tokio::net::tcp::OwnedWriteHalf;

/// Bytes gathered for one write. What lies here can no longer give way to a full state, so it is small against the
/// outbox's budget, and large against one network packet.
const GATHER_BYTES: usize = 16 * 1024;
/// Frames gathered for one write; two slices each, well below the 1024 slices a system takes.
const GATHER_FRAMES: usize = 32;
/// Pieces for which a quiet connection keeps space.
const IDLE_PIECES: usize = 2;

/// WebSocket opcodes a server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Opcode {
    Text = 0x1,
    Binary = 0x2,
    Ping = 0x9,
}

/// Frames on their way to the socket.
pub(crate) struct Writer {
    pieces: VecDeque<Piece>,
    /// Bytes of all pieces, written or not.
    bytes: usize,
    /// Bytes of the first piece the kernel has.
    written: usize,
}

/// What a flush did, for the metrics.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) writes: u64,
    pub(crate) bytes: u64,
}

struct Piece {
    /// The WebSocket header: opcode, length in 1, 3 or 9 bytes. Unused when `payload` is already framed.
    header: [u8; 10],
    header_len: u8,
    payload: Bytes,
}

/// The header of an unmasked message: as many of the bytes as the number says.
pub(crate) fn header(opcode: Opcode, len: usize) -> ([u8; 10], u8) {
    let mut header = [0; 10];
    header[0] = 0x80 | opcode as u8;
    let header_len = match len {
        len @ 0..=125 => {
            header[1] = len as u8;
            2
        }
        len @ 126..=0xffff => {
            header[1] = 126;
            header[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            4
        }
        len => {
            header[1] = 127;
            header[2..10].copy_from_slice(&(len as u64).to_be_bytes());
            10
        }
    };
    (header, header_len)
}

impl Piece {
    fn frame(opcode: Opcode, payload: Bytes) -> Self {
        let (header, header_len) = header(opcode, payload.len());
        Piece { header, header_len, payload }
    }

    fn header(&self) -> &[u8] {
        &self.header[..usize::from(self.header_len)]
    }

    fn len(&self) -> usize {
        usize::from(self.header_len) + self.payload.len()
    }
}

impl Writer {
    pub(crate) fn new() -> Self {
        Writer { pieces: VecDeque::new(), bytes: 0, written: 0 }
    }

    /// Whether everything went to the kernel.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether a write is full enough.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= GATHER_BYTES || self.pieces.len() >= GATHER_FRAMES
    }

    /// Queues one message.
    pub(crate) fn push(&mut self, opcode: Opcode, payload: Bytes) {
        self.push_piece(Piece::frame(opcode, payload));
    }

    /// Queues bytes that carry their WebSocket header already: a pong or close, made by the decoder, or the rest of a
    /// message whose beginning was written elsewhere.
    pub(crate) fn push_framed(&mut self, framed: Bytes) {
        self.push_piece(Piece { header: [0; 10], header_len: 0, payload: framed });
    }

    fn push_piece(&mut self, piece: Piece) {
        self.bytes += piece.len();
        self.pieces.push_back(piece);
    }

    /// Writes until nothing is left or the kernel takes no more.
    pub(crate) fn poll_flush(
        &mut self,
        tcp: &OwnedWriteHalf,
        progress: &mut Progress,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.pieces.is_empty() {
            let mut slices = [IoSlice::new(&[]); 2 * GATHER_FRAMES];
            let mut used = 0;
            let mut skip = self.written;
            for piece in self.pieces.iter().take(GATHER_FRAMES) {
                for part in [piece.header(), piece.payload.chunk()] {
                    if skip >= part.len() {
                        skip -= part.len();
                    } else {
                        slices[used] = IoSlice::new(&part[skip..]);
                        skip = 0;
                        used += 1;
                    }
                }
            }
            let taken = match tcp.try_write_vectored(&slices[..used]) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(taken) => taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(tcp.as_ref().poll_write_ready(cx))?;
                    continue;
                }
                Err(error) => return Poll::Ready(Err(error)),
            };
            progress.writes += 1;
            progress.bytes += taken as u64;
            self.advance(taken);
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, taken: usize) {
        self.written += taken;
        while let Some(first) = self.pieces.front() {
            let len = first.len();
            if self.written < len {
                break;
            }
            self.written -= len;
            self.bytes -= len;
            self.pieces.pop_front();
        }
    }

    /// Gives memory of past bursts back.
    pub(crate) fn shrink(&mut self) {
        self.pieces.shrink_to(IDLE_PIECES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_the_length_in_the_shortest_form() {
        for (len, header) in [
            (0, &[0x82, 0][..]),
            (125, &[0x82, 125]),
            (126, &[0x82, 126, 0, 126]),
            (0xffff, &[0x82, 126, 0xff, 0xff]),
            (0x1_0000, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            assert_eq!(Piece::frame(Opcode::Binary, Bytes::from(vec![7; len])).header(), header, "{len}");
        }
    }

    #[test]
    fn a_short_write_continues_in_the_middle_of_a_frame() {
        let mut writer = Writer::new();
        writer.push(Opcode::Binary, Bytes::from_static(b"abc"));
        writer.push(Opcode::Binary, Bytes::from_static(b"de"));
        writer.advance(4);
        assert_eq!((writer.pieces.len(), writer.written, writer.bytes), (2, 4, 9));
        writer.advance(2);
        assert_eq!((writer.pieces.len(), writer.written, writer.bytes), (1, 1, 4));
        writer.advance(3);
        assert!(writer.is_empty());
        assert_eq!((writer.written, writer.bytes), (0, 0));
    }
}
