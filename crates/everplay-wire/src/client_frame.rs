use crate::input::{read_reliable_stamp, read_unreliable, write_reliable_stamp, write_unreliable};
use crate::number::{Reader, write_uint};
use crate::opcode::*;
use crate::{FrameError, Input, InputOptions, MessageType, ReliableStamp};

/// What a client sends. Borrows from the frame.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientFrame<'a> {
    /// The client has read JOIN_ROOM and wants the state.
    Ack,
    /// The client leaves on purpose.
    Leave,
    /// A message.
    Data {
        /// Which handler it is for.
        ty: MessageType<'a>,
        /// msgpack; empty means that nothing was sent (`undefined`).
        payload: &'a [u8],
    },
    /// A message of raw bytes.
    Bytes {
        /// Which handler it is for.
        ty: MessageType<'a>,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// Asks for a PING back.
    Ping,
    /// A message that wants an answer (0.18).
    Request {
        /// Counted by the client; the answer repeats it.
        id: u32,
        /// Which handler it is for.
        ty: MessageType<'a>,
        /// msgpack; empty means that nothing was sent.
        payload: &'a [u8],
    },
    /// The next input of this connection (0.18).
    InputReliable {
        /// Its time, when the room asked for stamps and the client sent one.
        stamp: Option<ReliableStamp>,
        /// A patch of the input type; empty repeats the last values.
        body: &'a [u8],
    },
    /// The last few inputs of this connection, oldest first (0.18).
    InputUnreliable {
        /// At most [`MAX_INPUTS`](crate::MAX_INPUTS).
        inputs: Vec<Input<'a>>,
    },
}

impl<'a> ClientFrame<'a> {
    /// Decodes a frame for a room that asked for no input stamps. Errors: see [`ClientFrame::decode_with`].
    pub fn decode(frame: &'a [u8]) -> Result<Self, FrameError> {
        Self::decode_with(frame, &InputOptions::default())
    }

    /// Decodes a frame; `options` say which stamps the room asked for, without which a stamped input cannot be read.
    ///
    /// Bytes after the code of an ack, a leave or a ping are ignored: Defold in browsers appends one.
    /// Errors: any [`FrameError`]; the client is broken or hostile and its connection should be closed.
    pub fn decode_with(frame: &'a [u8], options: &InputOptions) -> Result<Self, FrameError> {
        let mut reader = Reader::new(frame);
        let first = reader.peek().ok_or(FrameError::Empty)?;
        reader.u8("code")?;
        let (code, bits) = split(first);
        let timed_allowed = matches!(code, ROOM_INPUT_RELIABLE | ROOM_INPUT_UNRELIABLE);
        let allowed = if timed_allowed { TIMED | UNRELIABLE } else { 0 };
        let frame = match code {
            JOIN_ROOM => ClientFrame::Ack,
            LEAVE_ROOM => ClientFrame::Leave,
            PING => ClientFrame::Ping,
            ROOM_DATA => {
                ClientFrame::Data { ty: MessageType::read(&mut reader)?, payload: reader.take_rest() }
            }
            ROOM_DATA_BYTES => {
                ClientFrame::Bytes { ty: MessageType::read(&mut reader)?, bytes: reader.take_rest() }
            }
            ROOM_REQUEST => ClientFrame::Request {
                id: reader.uint("request id")?,
                ty: MessageType::read(&mut reader)?,
                payload: reader.take_rest(),
            },
            ROOM_INPUT_RELIABLE => {
                let stamp =
                    if bits & TIMED != 0 { Some(read_reliable_stamp(&mut reader, options)?) } else { None };
                ClientFrame::InputReliable { stamp, body: reader.take_rest() }
            }
            ROOM_INPUT_UNRELIABLE => ClientFrame::InputUnreliable {
                inputs: read_unreliable(&mut reader, bits & TIMED != 0, options)?,
            },
            code => return Err(FrameError::UnknownCode { code }),
        };
        if bits & !allowed != 0 {
            return Err(FrameError::Modifier { code, bits });
        }
        Ok(frame)
    }

    /// Whether a frame is an input, by its first byte alone: it may be broken all the same.
    pub fn is_input(frame: &[u8]) -> bool {
        frame
            .first()
            .is_some_and(|first| matches!(split(*first).0, ROOM_INPUT_RELIABLE | ROOM_INPUT_UNRELIABLE))
    }

    /// Appends the frame as the SDKs write it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            ClientFrame::Ack => out.push(JOIN_ROOM),
            ClientFrame::Leave => out.push(LEAVE_ROOM),
            ClientFrame::Ping => out.push(PING),
            ClientFrame::Data { ty, payload } => {
                out.push(ROOM_DATA);
                ty.write(out);
                out.extend_from_slice(payload);
            }
            ClientFrame::Bytes { ty, bytes } => {
                out.push(ROOM_DATA_BYTES);
                ty.write(out);
                out.extend_from_slice(bytes);
            }
            ClientFrame::Request { id, ty, payload } => {
                out.push(ROOM_REQUEST);
                write_uint(out, *id);
                ty.write(out);
                out.extend_from_slice(payload);
            }
            ClientFrame::InputReliable { stamp, body } => {
                out.push(ROOM_INPUT_RELIABLE | if stamp.is_some() { TIMED } else { 0 });
                if let Some(stamp) = stamp {
                    write_reliable_stamp(out, *stamp);
                }
                out.extend_from_slice(body);
            }
            ClientFrame::InputUnreliable { inputs } => {
                let start = out.len();
                out.push(ROOM_INPUT_UNRELIABLE);
                if write_unreliable(out, inputs) {
                    out[start] |= TIMED;
                }
            }
        }
    }

    /// [`encode`](Self::encode) into a buffer of its own.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(frame: &[u8], error: FrameError) {
        assert_eq!(ClientFrame::decode(frame), Err(error));
    }

    #[test]
    fn broken_frames_are_refused_by_name() {
        refused(&[], FrameError::Empty);
        refused(&[14], FrameError::UnknownCode { code: 14 });
        refused(&[0], FrameError::UnknownCode { code: 0 });
        refused(&[0x80 | 13, 0xa1, b'x'], FrameError::Modifier { code: 13, bits: 0x80 });
        refused(&[13], FrameError::Truncated { part: "message type" });
        refused(&[13, 0xa0], FrameError::EmptyType);
        refused(&[13, 0xd9, 0], FrameError::EmptyType);
        refused(&[13, 0xa2, b'x'], FrameError::Truncated { part: "message type" });
        refused(&[13, 0xa1, 0xff], FrameError::NotUtf8 { part: "message type" });
        refused(&[13, 0xc0], FrameError::NotANumber { part: "message type", byte: 0xc0 });
        refused(&[13, 0xff], FrameError::OutOfRange { part: "message type" });
        refused(&[21, 0xa1, b'x'], FrameError::NotANumber { part: "request id", byte: 0xa1 });
        refused(&[0x80 | 19, 1], FrameError::StampNotAsked);
        refused(&[0x80 | 20, 1], FrameError::StampNotAsked);
        refused(&[20, 1, 5, 0], FrameError::Truncated { part: "input" });
    }

    #[test]
    fn longer_acks_are_acks() {
        assert_eq!(ClientFrame::decode(&[10, 0]), Ok(ClientFrame::Ack));
        assert_eq!(ClientFrame::decode(&[12, 0]), Ok(ClientFrame::Leave));
    }

    #[test]
    fn a_frame_lists_no_more_inputs_than_allowed() {
        let mut frame = vec![20, 0];
        frame.extend(std::iter::repeat_n(0, crate::MAX_INPUTS));
        assert!(ClientFrame::decode(&frame).is_ok());
        frame.push(0);
        refused(&frame, FrameError::TooManyInputs);
    }

    #[test]
    fn stamps_walk_back_from_the_newest() {
        let both = InputOptions { render_time: true, reckon_time: true, ..InputOptions::default() };
        // k = 3, newest = 1000, then 16 and 17 ms back; render 100, then 1 less and 2 more back; base 7; bodies.
        let frame = [0x94, 3, 0xe8, 3, 0, 0, 16, 17, 100, 0, 1, 0xfe, 7, 1, 0xaa, 0, 1, 0xbb];
        let decoded = ClientFrame::decode_with(&frame, &both).unwrap();
        let input = |seq, time, render, body: &'static [u8]| Input {
            seq,
            stamp: Some(Stamp { time, render_delta: Some(render) }),
            body,
        };
        let inputs = vec![input(7, 967, 101, &[0xaa]), input(8, 984, 99, &[]), input(9, 1000, 100, &[0xbb])];
        assert_eq!(decoded, ClientFrame::InputUnreliable { inputs });
        assert_eq!(decoded.to_vec(), frame);
    }

    #[test]
    fn reliable_stamps_are_differences() {
        let one = InputOptions { reckon_time: true, ..InputOptions::default() };
        let frame = [0x93, 0xcc, 0xfa, 0x80, 0x01];
        let decoded = ClientFrame::decode_with(&frame, &one).unwrap();
        let stamp = ReliableStamp { delta: 250, render_delta: None };
        assert_eq!(decoded, ClientFrame::InputReliable { stamp: Some(stamp), body: &[0x80, 0x01] });
        assert_eq!(decoded.to_vec(), frame);
        let mut clock = crate::InputClock::default();
        assert_eq!(clock.advance(stamp).time, 250);
        assert_eq!(clock.advance(stamp).time, 500);
        assert_eq!(clock.advance(ReliableStamp { delta: -900, render_delta: None }).time, 0);
    }

    use crate::Stamp;
}
