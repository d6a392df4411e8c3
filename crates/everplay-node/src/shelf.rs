//! Inputs that wait for the next step of their room.
//!
//! A room with a fixed step looks at inputs in its steps only. Fifty players that send sixty a second would wake it
//! three thousand times for nothing, so what they send lies here until it steps, and wakes nobody.
//!
//! Invariants: inputs of one connection stay in order. What a connection sent before an input, the mailbox holds by the
//! time the input is taken: whoever [takes](Shelf::take) must then look at the mailbox first.

use bytes::Bytes;
use everplay_room::{ConnId, Input};
use everplay_wire::ClientFrame;
use parking_lot::Mutex;

/// One room's inputs since its last step.
#[derive(Debug)]
pub(crate) struct Shelf {
    bound: usize,
    frames: Mutex<Frames>,
}

/// Frames are copied behind each other: kept as they are, each would keep the read buffer of its connection alive.
#[derive(Debug, Default)]
struct Frames {
    /// Whose, and where it ends in `bytes`.
    ends: Vec<(ConnId, usize)>,
    bytes: Vec<u8>,
}

impl Shelf {
    /// Holds at most `bound` frames: what a mailbox does.
    pub(crate) fn new(bound: usize) -> Self {
        Self { bound, frames: Mutex::default() }
    }

    /// Whether the frame is one that waits here.
    pub(crate) fn is_for(frame: &[u8]) -> bool {
        ClientFrame::is_input(frame)
    }

    /// Puts an input behind the others. False: it is full, as when the room is paused.
    pub(crate) fn put(&self, conn: ConnId, frame: &[u8]) -> bool {
        let mut frames = self.frames.lock();
        if frames.ends.len() >= self.bound {
            return false;
        }
        frames.bytes.extend_from_slice(frame);
        let end = frames.bytes.len();
        frames.ends.push((conn, end));
        true
    }

    /// Everything that waits, oldest first.
    pub(crate) fn take(&self) -> Vec<Input> {
        let Frames { ends, bytes } = {
            let mut frames = self.frames.lock();
            if frames.ends.is_empty() {
                return Vec::new();
            }
            // The next step has about as many.
            let next = Frames {
                ends: Vec::with_capacity(frames.ends.len()),
                bytes: Vec::with_capacity(frames.bytes.len()),
            };
            std::mem::replace(&mut *frames, next)
        };
        let bytes = Bytes::from(bytes);
        let mut start = 0;
        let frame = |(conn, end)| {
            let bytes = bytes.slice(start..end);
            start = end;
            Input::Frame { conn, bytes }
        };
        ends.into_iter().map(frame).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order_up_to_its_bound() {
        let shelf = Shelf::new(2);
        assert!(shelf.take().is_empty());
        assert!(shelf.put(ConnId(7), &[19]) && shelf.put(ConnId(3), &[19, 1]));
        assert!(!shelf.put(ConnId(7), &[19, 2]));
        let taken: Vec<(u64, Vec<u8>)> = shelf
            .take()
            .into_iter()
            .map(|input| match input {
                Input::Frame { conn, bytes } => (conn.0, bytes.to_vec()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(taken, [(7, vec![19]), (3, vec![19, 1])]);
        assert!(shelf.put(ConnId(7), &[19, 2]));
        assert_eq!(shelf.take().len(), 1);
    }

    #[test]
    fn only_inputs_wait() {
        let input = ClientFrame::InputReliable { stamp: None, body: &[0x80, 1] }.to_vec();
        let repeated = ClientFrame::InputUnreliable { inputs: Vec::new() }.to_vec();
        assert!(Shelf::is_for(&input) && Shelf::is_for(&repeated));
        assert!(!Shelf::is_for(&ClientFrame::Ack.to_vec()) && !Shelf::is_for(&[]));
    }
}
