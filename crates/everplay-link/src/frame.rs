//! Frames on a connection that stands: `length u32 little-endian | kind u8 | payload`, `length` counting the payload only.
//!
//! | kind | payload | meaning |
//! |---|---|---|
//! | 0 | none | a sign of life |
//! | 1 | bytes | a message |
//!
//! Written by [`Outgoing`], read by [`Incoming`]. Anything else breaks the connection.

use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::IoSlice;

/// Bytes of a frame beside its payload.
pub(crate) const HEADER: usize = 5;

const HEARTBEAT: u8 = 0;
const MESSAGE: u8 = 1;

/// Messages up to this length are gathered into one block; longer ones are written from where they lie.
const GATHERED: usize = 4096;
/// A block is given away once it is this long.
const BLOCK: usize = 64 * 1024;
/// Pieces given to the system at once.
const PIECES: usize = 32;

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of kind {kind}")]
    Kind { kind: u8 },
    #[error("a message of {length} bytes, at most {most} are allowed")]
    TooLong { length: usize, most: usize },
    #[error("a sign of life with {length} bytes")]
    Heartbeat { length: usize },
}

/// Frames on their way out, as few pieces as is cheap.
#[derive(Default)]
pub(crate) struct Outgoing {
    pieces: VecDeque<Bytes>,
    block: BytesMut,
}

impl Outgoing {
    /// Adds a message. Its length fits in 32 bits: the queue checked it.
    pub(crate) fn message(&mut self, message: Bytes) {
        self.header(message.len(), MESSAGE);
        if message.len() <= GATHERED {
            self.block.extend_from_slice(&message);
            if self.block.len() >= BLOCK {
                self.seal();
            }
        } else {
            self.seal();
            self.pieces.push_back(message);
        }
    }

    /// Adds a sign of life.
    pub(crate) fn heartbeat(&mut self) {
        self.header(0, HEARTBEAT);
    }

    fn header(&mut self, length: usize, kind: u8) {
        let length =
            u32::try_from(length).expect("messages longer than the bound are refused when they are queued");
        self.block.extend_from_slice(&length.to_le_bytes());
        self.block.extend_from_slice(&[kind]);
    }

    /// No more will be added before the next write.
    pub(crate) fn seal(&mut self) {
        if !self.block.is_empty() {
            self.pieces.push_back(self.block.split().freeze());
        }
    }

    /// What is to be written next. Only sealed bytes count.
    pub(crate) fn slices(&self) -> ([IoSlice<'_>; PIECES], usize) {
        let mut slices = [IoSlice::new(&[]); PIECES];
        let mut used = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
            used += 1;
        }
        (slices, used)
    }

    /// Whether everything sealed was written.
    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Forgets what was written.
    pub(crate) fn advance(&mut self, mut written: usize) {
        while let Some(piece) = self.pieces.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.pieces.pop_front();
        }
    }
}

/// What a peer said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    Heartbeat,
    Message(Bytes),
}

/// Cuts what was read into frames.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Incoming {
    /// Bytes a message may have.
    pub(crate) most: usize,
}

impl Incoming {
    /// Takes one frame off the front; `None` when more must be read, for which room was made.
    pub(crate) fn take(&self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some((header, _)) = buffer.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let [a, b, c, d, kind] = *header;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        match kind {
            HEARTBEAT if length > 0 => return Err(FrameError::Heartbeat { length }),
            HEARTBEAT => {
                buffer.advance(HEADER);
                return Ok(Some(Frame::Heartbeat));
            }
            MESSAGE if length > self.most => return Err(FrameError::TooLong { length, most: self.most }),
            MESSAGE => {}
            kind => return Err(FrameError::Kind { kind }),
        }
        if buffer.len() < HEADER + length {
            buffer.reserve(HEADER + length - buffer.len());
            return Ok(None);
        }
        buffer.advance(HEADER);
        Ok(Some(Frame::Message(buffer.split_to(length).freeze())))
    }
}

#[cfg(test)]
mod tests;
