//! Frames to clients: functions that encode each of them, and [`ServerFrame`] for clients of our own.
//!
//! The functions return a buffer that is cheap to clone: most frames go to many clients.

use crate::number::{Reader, write_int, write_text, write_uint};
use crate::opcode::*;
use crate::{Dialect, FrameError, Join, JoinError, JoinForm, MessageType, Section, Serializer, join};
use bytes::Bytes;

/// Server time and acknowledgement before a state or a patch; only in rooms with inputs, there in every frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timed {
    /// Milliseconds since the room started.
    pub now: u32,
    /// The last input of this client that was consumed.
    pub input_seq: u32,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ResponseStatus {
    /// The payload is the handler's answer.
    Ok = 0,
    /// The payload is the handler's reason.
    Rejected = 1,
    /// The payload is `{name, message, code?}`; `name` is `no_handler` when nobody answers such requests.
    Error = 2,
}

impl TryFrom<u8> for ResponseStatus {
    type Error = FrameError;

    fn try_from(status: u8) -> Result<Self, FrameError> {
        match status {
            0 => Ok(ResponseStatus::Ok),
            1 => Ok(ResponseStatus::Rejected),
            2 => Ok(ResponseStatus::Error),
            status => Err(FrameError::UnknownStatus { status }),
        }
    }
}

/// Encodes JOIN_ROOM. Errors: [`JoinError`], all of them mistakes of the caller.
pub fn join_room(
    form: JoinForm,
    token: &str,
    serializer: Serializer,
    handshake: &[u8],
    sections: &[Section<'_>],
) -> Result<Bytes, JoinError> {
    let mut out = Vec::with_capacity(handshake.len() + 64);
    join::write(&mut out, form, token, serializer, handshake, sections)?;
    Ok(out.into())
}

/// Encodes ERROR. Before JOIN_ROOM it makes the client's join fail with this code and message.
pub fn error(code: i32, message: &str) -> Bytes {
    ServerFrame::Error { code, message }.to_bytes()
}

/// Encodes LEAVE_ROOM: asks the SDK to leave, which it does by its own LEAVE_ROOM.
pub fn leave() -> Bytes {
    Bytes::from_static(&[LEAVE_ROOM])
}

/// Encodes PING.
pub fn ping() -> Bytes {
    Bytes::from_static(&[PING])
}

/// Encodes a message; an empty payload is `undefined`.
pub fn data<'a>(ty: impl Into<MessageType<'a>>, payload: &[u8]) -> Bytes {
    ServerFrame::Data { ty: ty.into(), payload }.to_bytes()
}

/// Encodes a message of raw bytes.
pub fn bytes<'a>(ty: impl Into<MessageType<'a>>, bytes: &[u8]) -> Bytes {
    ServerFrame::Bytes { ty: ty.into(), bytes }.to_bytes()
}

/// Encodes a full state.
pub fn state(timed: Option<Timed>, body: &[u8]) -> Bytes {
    ServerFrame::State { timed, body }.to_bytes()
}

/// Encodes a patch.
pub fn patch(timed: Option<Timed>, body: &[u8]) -> Bytes {
    ServerFrame::Patch { timed, seq: None, body }.to_bytes()
}

/// Encodes the answer to a request; an empty payload is `undefined`.
pub fn response(id: u32, status: ResponseStatus, payload: &[u8]) -> Bytes {
    ServerFrame::Response { id, status, payload }.to_bytes()
}

/// What a server sends. Borrows from the frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerFrame<'a> {
    /// The client is in the room; it acks and then gets the state. Encode it with [`join_room`].
    Join(Join<'a>),
    /// Something went wrong; the connection may go on.
    Error {
        /// An error code; see the error codes of the types crate.
        code: i32,
        /// For people.
        message: &'a str,
    },
    /// Asks the client to leave.
    Leave,
    /// A message.
    Data {
        /// Which callback it is for.
        ty: MessageType<'a>,
        /// msgpack; empty means `undefined`.
        payload: &'a [u8],
    },
    /// A message of raw bytes.
    Bytes {
        /// Which callback it is for.
        ty: MessageType<'a>,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// The whole state.
    State {
        /// Only in rooms with inputs.
        timed: Option<Timed>,
        /// State encoding.
        body: &'a [u8],
    },
    /// What changed.
    Patch {
        /// Only in rooms with inputs.
        timed: Option<Timed>,
        /// Only in datagrams: frames that are not newer are dropped.
        seq: Option<u16>,
        /// State encoding; may be empty.
        body: &'a [u8],
    },
    /// The answer to a PING.
    Ping,
    /// The answer to a request.
    Response {
        /// The request's id.
        id: u32,
        /// How it ended.
        status: ResponseStatus,
        /// msgpack; empty means `undefined`.
        payload: &'a [u8],
    },
}

impl<'a> ServerFrame<'a> {
    /// Decodes a frame as an SDK of that dialect does. Errors: any [`FrameError`].
    ///
    /// SDKs before 0.18 compare the whole first byte, so that frames with modifier bits are unknown to them.
    pub fn decode(frame: &'a [u8], dialect: Dialect) -> Result<Self, FrameError> {
        let mut reader = Reader::new(frame);
        let first = reader.peek().ok_or(FrameError::Empty)?;
        reader.u8("code")?;
        let (code, bits) = if dialect < Dialect::V18 { (first, 0) } else { split(first) };
        Ok(match code {
            JOIN_ROOM => ServerFrame::Join(join::read(&mut reader, dialect)?),
            ERROR => {
                let code = i32::try_from(reader.int("error code")?)
                    .map_err(|_| FrameError::OutOfRange { part: "error code" })?;
                let message = reader.text("error message")?;
                end(&reader, "error message")?;
                ServerFrame::Error { code, message }
            }
            LEAVE_ROOM => ServerFrame::Leave,
            PING => ServerFrame::Ping,
            ROOM_DATA => {
                ServerFrame::Data { ty: MessageType::read(&mut reader)?, payload: reader.take_rest() }
            }
            ROOM_DATA_BYTES => {
                ServerFrame::Bytes { ty: MessageType::read(&mut reader)?, bytes: reader.take_rest() }
            }
            ROOM_STATE => {
                ServerFrame::State { timed: read_timed(&mut reader, bits)?, body: reader.take_rest() }
            }
            ROOM_STATE_PATCH => {
                let timed = read_timed(&mut reader, bits)?;
                let seq = if bits & UNRELIABLE != 0 { Some(reader.u16("sequence number")?) } else { None };
                ServerFrame::Patch { timed, seq, body: reader.take_rest() }
            }
            ROOM_RESPONSE if dialect.knows_requests() => ServerFrame::Response {
                id: reader.uint("request id")?,
                status: reader.u8("response status")?.try_into()?,
                payload: reader.take_rest(),
            },
            code => return Err(FrameError::UnknownCode { code }),
        })
    }

    /// Appends the frame. A join is written in the layout of 0.18; [`join_room`] knows the others.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            ServerFrame::Join(frame) => {
                out.push(JOIN_ROOM);
                for text in [frame.token, frame.serializer] {
                    // Decoded from a length of one byte, or made by a test.
                    let len = u8::try_from(text.len()).expect("tokens and serializer ids are short");
                    out.push(len);
                    out.extend_from_slice(text.as_bytes());
                }
                join::write_v18(out, frame.handshake, &frame.sections);
            }
            ServerFrame::Error { code, message } => {
                out.push(ERROR);
                write_int(out, *code);
                write_text(out, message);
            }
            ServerFrame::Leave => out.push(LEAVE_ROOM),
            ServerFrame::Ping => out.push(PING),
            ServerFrame::Data { ty, payload } => {
                out.push(ROOM_DATA);
                ty.write(out);
                out.extend_from_slice(payload);
            }
            ServerFrame::Bytes { ty, bytes } => {
                out.push(ROOM_DATA_BYTES);
                ty.write(out);
                out.extend_from_slice(bytes);
            }
            ServerFrame::State { timed, body } => {
                write_timed(out, ROOM_STATE, *timed);
                out.extend_from_slice(body);
            }
            ServerFrame::Patch { timed, seq, body } => {
                let unreliable = if seq.is_some() { UNRELIABLE } else { 0 };
                write_timed(out, ROOM_STATE_PATCH | unreliable, *timed);
                if let Some(seq) = seq {
                    out.extend_from_slice(&seq.to_le_bytes());
                }
                out.extend_from_slice(body);
            }
            ServerFrame::Response { id, status, payload } => {
                out.push(ROOM_RESPONSE);
                write_uint(out, *id);
                out.push(*status as u8);
                out.extend_from_slice(payload);
            }
        }
    }

    /// [`encode`](Self::encode) into a shared buffer of its own, in one allocation.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.len_hint());
        self.encode(&mut out);
        out.into()
    }

    /// At least the encoded length: the parts that vary and the longest fixed ones.
    fn len_hint(&self) -> usize {
        const NUMBER: usize = 5;
        let of_type = |ty: &MessageType<'_>| match ty {
            MessageType::Text(text) => NUMBER + text.len(),
            MessageType::Number(_) => NUMBER,
        };
        1 + match self {
            ServerFrame::Join(join) => join.handshake.len() + 64,
            ServerFrame::Error { message, .. } => 2 * NUMBER + message.len(),
            ServerFrame::Leave | ServerFrame::Ping => 0,
            ServerFrame::Data { ty, payload: body } | ServerFrame::Bytes { ty, bytes: body } => {
                of_type(ty) + body.len()
            }
            ServerFrame::State { body, .. } => 8 + body.len(),
            ServerFrame::Patch { body, .. } => 10 + body.len(),
            ServerFrame::Response { payload, .. } => NUMBER + 1 + payload.len(),
        }
    }
}

fn read_timed(reader: &mut Reader<'_>, bits: u8) -> Result<Option<Timed>, FrameError> {
    if bits & TIMED == 0 {
        return Ok(None);
    }
    Ok(Some(Timed { now: reader.u32("server time")?, input_seq: reader.u32("input number")? }))
}

fn write_timed(out: &mut Vec<u8>, code: u8, timed: Option<Timed>) {
    match timed {
        Some(timed) => {
            out.push(code | TIMED);
            out.extend_from_slice(&timed.now.to_le_bytes());
            out.extend_from_slice(&timed.input_seq.to_le_bytes());
        }
        None => out.push(code),
    }
}

fn end(reader: &Reader<'_>, part: &'static str) -> Result<(), FrameError> {
    match reader.rest().len() {
        0 => Ok(()),
        count => Err(FrameError::TrailingBytes { part, count }),
    }
}
