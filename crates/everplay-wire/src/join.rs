//! JOIN_ROOM, the one frame whose layout differs between the generations.
//!
//! ```text
//! 0a  u8 len, token  u8 len, serializer  | handshake to the end                              0.16, 0.17
//!                                        | number len, handshake, (u8 tag, number len, ..)*  0.18
//! ```
//!
//! A client that gets the wrong layout never joins, and nothing but the endpoint says which it wants. So the server
//! has a frame that only 0.18 takes ([`JoinForm::Probe`]) and one that all of them read ([`JoinForm::Polyglot`]).

use crate::FrameError;
use crate::number::{Reader, write_uint};
use crate::opcode::{JOIN_ROOM, RESERVED};
use crate::{Dialect, InputOptions};

/// Longest reconnection token in bytes: Defold reads its length byte as the prefix of a short text.
pub const MAX_TOKEN_LEN: usize = 31;

/// How JOIN_ROOM is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JoinForm {
    /// The layout of 0.18 with a reserved modifier bit in the first byte: 0.18 joins, older SDKs ignore the frame.
    /// No ack after a round trip means that the client is older.
    Probe,
    /// Read by all: the handshake must be the polyglot one, and its length is written so that old decoders step over
    /// it. Not possible with sections.
    Polyglot,
    /// 0.18.
    V18,
    /// 0.16 and 0.17. Not possible with sections.
    V16V17,
    /// Nothing after the serializer: for clients that keep their decoder (rejoin, own schema) and rooms without
    /// state. Read by all. With sections it is the layout of 0.18 with an empty handshake.
    Bare,
}

/// How the room's state travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Serializer {
    /// State and patches of the schema encoding.
    Schema,
    /// The room has no state.
    None,
}

impl Serializer {
    /// The id in the frame.
    pub fn as_str(self) -> &'static str {
        match self {
            Serializer::Schema => "schema",
            Serializer::None => "none",
        }
    }
}

/// A part after the handshake of 0.18. Clients skip those they do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section<'a> {
    /// What it is.
    pub tag: u8,
    /// Its bytes.
    pub payload: &'a [u8],
}

impl<'a> Section<'a> {
    /// Tag of the handshake of the input type.
    pub const INPUT_REFLECTION: u8 = 1;
    /// Tag of [`InputOptions`].
    pub const INPUT_OPTIONS: u8 = 2;

    /// The handshake of the room's input type.
    pub fn input_reflection(handshake: &'a [u8]) -> Self {
        Self { tag: Self::INPUT_REFLECTION, payload: handshake }
    }

    /// The options of the room's inputs, as [`InputOptions::encode`] wrote them.
    pub fn input_options(payload: &'a [u8]) -> Self {
        Self { tag: Self::INPUT_OPTIONS, payload }
    }
}

/// Why JOIN_ROOM cannot be written: a mistake of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// Longer than [`MAX_TOKEN_LEN`].
    #[error("a reconnection token has at most 31 bytes")]
    TokenTooLong,
    /// The SDKs split `roomId:token` at the colon.
    #[error("a reconnection token has no colon")]
    TokenWithColon,
    /// A polyglot handshake does not start with a switch to the root, so old decoders would not find it.
    #[error("the handshake is not the polyglot one")]
    NotPolyglot,
    /// A polyglot handshake has a length of 16 bits.
    #[error("the handshake is too long for a polyglot join")]
    HandshakeTooLong,
    /// SDKs before 0.18 cannot read sections.
    #[error("sections need the layout of 0.18")]
    SectionsNeedV18,
}

/// Whether a server's frame is JOIN_ROOM in any of its forms, without reading it.
pub fn is_join_room(frame: &[u8]) -> bool {
    frame.first().is_some_and(|opcode| opcode & !RESERVED == JOIN_ROOM)
}

/// JOIN_ROOM as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join<'a> {
    /// Identifies this connection for a reconnection; new on every join.
    pub token: &'a str,
    /// `schema` or `none`.
    pub serializer: &'a str,
    /// The state's types; empty when the client keeps what it has.
    pub handshake: &'a [u8],
    /// 0.18 only.
    pub sections: Vec<Section<'a>>,
}

/// What the first bytes of a polyglot handshake must be: a switch to the root, where old decoders resume.
const SWITCH_TO_ROOT: [u8; 2] = [0xff, 0x00];

pub(crate) fn write(
    out: &mut Vec<u8>,
    form: JoinForm,
    token: &str,
    serializer: Serializer,
    handshake: &[u8],
    sections: &[Section<'_>],
) -> Result<(), JoinError> {
    if token.len() > MAX_TOKEN_LEN {
        return Err(JoinError::TokenTooLong);
    }
    if token.contains(':') {
        return Err(JoinError::TokenWithColon);
    }
    if matches!(form, JoinForm::Polyglot | JoinForm::V16V17) && !sections.is_empty() {
        return Err(JoinError::SectionsNeedV18);
    }
    let polyglot_len = match form {
        JoinForm::Polyglot if !handshake.is_empty() => {
            if !handshake.starts_with(&SWITCH_TO_ROOT) {
                return Err(JoinError::NotPolyglot);
            }
            Some(u16::try_from(handshake.len()).map_err(|_| JoinError::HandshakeTooLong)?)
        }
        _ => None,
    };

    out.push(if form == JoinForm::Probe { JOIN_ROOM | RESERVED } else { JOIN_ROOM });
    for text in [token, serializer.as_str()] {
        out.push(
            u8::try_from(text.len()).expect("the token's length was checked, the serializer's is known"),
        );
        out.extend_from_slice(text.as_bytes());
    }
    match form {
        JoinForm::Bare if sections.is_empty() => {}
        JoinForm::Bare => write_v18(out, &[], sections),
        JoinForm::V16V17 => out.extend_from_slice(handshake),
        JoinForm::Polyglot => {
            if let Some(len) = polyglot_len {
                out.push(0xcd);
                out.extend_from_slice(&len.to_le_bytes());
                out.extend_from_slice(handshake);
            }
        }
        JoinForm::V18 | JoinForm::Probe => write_v18(out, handshake, sections),
    }
    Ok(())
}

pub(crate) fn write_v18(out: &mut Vec<u8>, handshake: &[u8], sections: &[Section<'_>]) {
    write_uint(out, len32(handshake));
    out.extend_from_slice(handshake);
    for section in sections {
        out.push(section.tag);
        write_uint(out, len32(section.payload));
        out.extend_from_slice(section.payload);
    }
}

fn len32(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a description of types is far below 4 GiB")
}

pub(crate) fn read<'a>(reader: &mut Reader<'a>, dialect: Dialect) -> Result<Join<'a>, FrameError> {
    let token = read_short(reader, "reconnection token")?;
    let serializer = read_short(reader, "serializer id")?;
    if dialect < Dialect::V18 {
        return Ok(Join { token, serializer, handshake: reader.take_rest(), sections: Vec::new() });
    }
    let mut join = Join { token, serializer, handshake: &[], sections: Vec::new() };
    if !reader.is_empty() {
        join.handshake = read_part(reader, "handshake")?;
    }
    while !reader.is_empty() {
        let tag = reader.u8("section tag")?;
        join.sections.push(Section { tag, payload: read_part(reader, "section")? });
    }
    Ok(join)
}

impl Join<'_> {
    /// The options of the room's inputs, when it has any.
    pub fn input_options(&self) -> Result<Option<InputOptions>, FrameError> {
        let section = self.sections.iter().find(|section| section.tag == Section::INPUT_OPTIONS);
        section.map(|section| InputOptions::decode(section.payload)).transpose()
    }
}

fn read_short<'a>(reader: &mut Reader<'a>, part: &'static str) -> Result<&'a str, FrameError> {
    let len = reader.u8(part)?;
    std::str::from_utf8(reader.take(usize::from(len), part)?).map_err(|_| FrameError::NotUtf8 { part })
}

fn read_part<'a>(reader: &mut Reader<'a>, part: &'static str) -> Result<&'a [u8], FrameError> {
    let len = reader.uint(part)?;
    reader.take(len as usize, part)
}
