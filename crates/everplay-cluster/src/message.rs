//! What one node says to another.
//!
//! ```text
//! message = tag u8 | body
//!           1 control   JSON of `Control`
//!           2 push      conn u64 | frame                                    gateway -> owner
//!           3 delivery  room len u8, room | epoch u64 | seq u64 | item*     owner -> gateway
//!                       item = 0 | kind u8 | count u32 | conn u64 * count | len u32 | frame
//!                            | 1 | conn u64 | code u16 | len u8 | reason
//!           4 offer     id u64 | len u32 | JSON of `Offer` | image          owner -> successor
//! ```
//!
//! Numbers are little-endian. What travels with every patch and every client frame is binary; the rest is rare and carries
//! JSON (options, listings) anyway. An unknown tag or a body that does not fit breaks the link: nodes of one cluster
//! speak versions that know each other, and guessing could show a client something that never was.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use everplay_room::{FrameKind, Listing};
use everplay_types::{CloseCode, Epoch, Incarnation, RoomId, Seq, SessionId, Token};
use everplay_wire::Dialect;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Anything rare.
    Control(Control),
    /// A frame of a client, for the room it sits in.
    Push {
        /// The gateway's number of the connection.
        conn: u64,
        /// As the client sent it.
        bytes: Bytes,
    },
    /// What one step of a room sends to the clients of one gateway.
    Delivery(Delivery),
    /// A room handed over.
    Offer {
        /// The answer names it.
        id: u64,
        /// Which room, standing where.
        offer: Offer,
        /// Its image at that position.
        image: Bytes,
    },
}

/// What is rare.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Control {
    /// How the sender is: said when the link stands, and when it changes.
    Hello {
        /// First segment of its rooms' URLs.
        process: String,
        /// It takes no rooms and hands its own over.
        draining: bool,
        /// Rooms it runs.
        rooms: u32,
    },
    /// Every room of the sender; what is not among them is not there.
    Rooms(Vec<RoomLine>),
    /// A room of the sender is new, or its line changed. Said only of what is durable.
    Room(Box<RoomLine>),
    /// A room of the sender ended or went elsewhere.
    RoomGone {
        /// Which.
        room: RoomId,
        /// In this epoch.
        epoch: Epoch,
    },
    /// The sender does not hear a node, or hears it again.
    Suspect {
        /// Which.
        node: Incarnation,
        /// Not heard.
        silent: bool,
    },
    /// A question; the answer names it.
    Ask {
        /// Chosen by the sender.
        id: u64,
        /// The question.
        request: Request,
    },
    /// The answer to a question or an offer.
    Reply {
        /// Whose.
        id: u64,
        /// The answer.
        answer: Answer,
    },
    /// A client asks for its seat.
    Attach {
        /// In this room.
        room: RoomId,
        /// Who and how.
        claim: SeatClaim,
    },
    /// A gateway kept sockets over a change of owner or a broken link.
    Reattach {
        /// Of this room.
        room: RoomId,
        /// The last epoch it delivered frames of.
        epoch: Epoch,
        /// The last sequence it delivered to all of these clients.
        forwarded: Seq,
        /// The clients.
        seats: Vec<SeatKept>,
    },
    /// A client's socket is gone.
    Closed {
        /// Which.
        conn: u64,
        /// What it was closed with.
        code: CloseCode,
    },
    /// A client's queue was cut: it needs one full state.
    Resync {
        /// Which.
        conn: u64,
    },
    /// The room is not on the node that was asked.
    NotHere {
        /// Which.
        room: RoomId,
    },
    /// Keep frames for this room: it is about to move.
    Hold {
        /// Which.
        room: RoomId,
        /// Of the owner that says it.
        epoch: Epoch,
    },
    /// No more frames for this room come on this link until `Resume` or a new owner.
    Held {
        /// Which.
        room: RoomId,
        /// As asked.
        epoch: Epoch,
    },
    /// The room stays: send what was kept.
    Resume {
        /// Which.
        room: RoomId,
        /// Of the owner that says it.
        epoch: Epoch,
    },
}

/// A room as other nodes know it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoomLine {
    /// Its id.
    pub id: RoomId,
    /// Its kind's name.
    pub kind: String,
    /// Of the grant its owner holds; 0 for rooms that do not outlive their node.
    pub epoch: Epoch,
    /// Wall time in ms since 1970.
    pub created_at: u64,
    /// The options clients must share to be matched into it.
    pub filters: Map<String, Value>,
    /// What matchmaking knows.
    pub listing: Listing,
    /// Messages a second one client may send.
    pub messages_per_second: u32,
    /// The input options its clients are told, encoded.
    pub inputs: Vec<u8>,
    /// Last durable sequence when the line was made; for people.
    pub seq: Seq,
}

/// A client asking for its seat through another node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeatClaim {
    /// The gateway's number of the connection.
    pub conn: u64,
    /// The seat.
    pub session: SessionId,
    /// Given by a client that comes back.
    pub token: Option<String>,
    /// It has its decoder.
    pub skip_handshake: bool,
    /// Its generation, if known.
    pub dialect: Option<Dialect>,
}

/// A client whose socket its gateway kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeatKept {
    /// Who it is. Without a token: its gateway vouches for it.
    pub claim: SeatClaim,
    /// It acknowledged its join.
    pub acknowledged: bool,
    /// It needs a full state in any case.
    pub full: bool,
    /// Numbered inputs it has sent on this connection.
    pub inputs: u32,
    /// What the time stamps of those inputs add up to.
    pub input_time: u32,
}

/// A question to another node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// A seat in this room.
    Reserve {
        /// The room.
        room: RoomId,
        /// Join options.
        options: Value,
        /// What the auth hook returned.
        auth: Value,
    },
    /// The session a reconnection token belongs to.
    FindSession {
        /// The room.
        room: RoomId,
        /// As the client gave it. Never logged.
        token: String,
    },
    /// A room that fits, or a new one: asked of the node that decides for these filters.
    FindOrCreate {
        /// The kind's name.
        kind: String,
        /// Join options.
        options: Value,
        /// What the auth hook returned.
        auth: Value,
    },
    /// A new room on the node that is asked, and a seat in it.
    Create {
        /// The kind's name.
        kind: String,
        /// Join options.
        options: Value,
        /// What the auth hook returned.
        auth: Value,
    },
    /// An operator's: move a room of the node that is asked.
    Move {
        /// The room.
        room: RoomId,
        /// To this node.
        to: Incarnation,
    },
    /// An operator's: hand all rooms over and take none, or take rooms again.
    Drain {
        /// Whether to drain.
        draining: bool,
    },
}

/// An answer of another node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// A seat, and the room it is in as it now stands.
    Seat {
        /// The session.
        session: SessionId,
        /// First segment of the room's URL.
        process: String,
        /// The room.
        line: Box<RoomLine>,
    },
    /// The session of a token; none: the token opens nothing.
    Session(Option<SessionId>),
    /// It was done.
    Done,
    /// It was not, as a client of the Colyseus routes is told.
    Refused {
        /// What kind of refusal.
        code: u16,
        /// A sentence.
        message: String,
    },
    /// The room is not there (any more).
    NotHere,
}

/// A room that is to go on elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// Which.
    pub room: RoomId,
    /// Its kind's name.
    pub kind: String,
    /// Wall time in ms since 1970.
    pub created_at: u64,
    /// The options clients must share to be matched into it.
    pub filters: Map<String, Value>,
    /// The version of its kind that ran it.
    pub version: u32,
    /// The token it was last written with.
    pub token: Token,
    /// The last record the image contains.
    pub seq: Seq,
    /// The journal's chain there.
    pub chain: [u8; 16],
}

/// What one step sends to the clients of one gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Of this room.
    pub room: RoomId,
    /// Under this grant. A gateway refuses what is older than what it has seen.
    pub epoch: Epoch,
    /// The journal is durable up to here.
    pub seq: Seq,
    /// In order.
    pub items: Vec<Item>,
}

/// One thing for one or more clients.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A frame, written once for all of them.
    Frame {
        /// The gateway's numbers of the connections.
        conns: Vec<u64>,
        /// How a full queue treats it.
        kind: FrameKind,
        /// The frame.
        bytes: Bytes,
    },
    /// Close a connection after what came before.
    Close {
        /// Which.
        conn: u64,
        /// Told to the client.
        code: CloseCode,
        /// Told to the client; at most 123 bytes.
        reason: String,
    },
}

/// Why bytes are no message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MessageError {
    /// Ends in the middle.
    #[error("the message ends in the middle")]
    Truncated,
    /// Of a release this one does not know.
    #[error("message {0} is not known to this release")]
    Tag(u8),
    /// A part is not what it should be.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// A control message does not fit.
    #[error("the control message does not fit: {0}")]
    Control(String),
}

const CONTROL: u8 = 1;
const PUSH: u8 = 2;
const DELIVERY: u8 = 3;
const OFFER: u8 = 4;

/// Longest reason of a close frame.
const MAX_REASON: usize = 123;

impl From<Control> for Message {
    fn from(control: Control) -> Message {
        Message::Control(control)
    }
}

impl Message {
    /// The message as bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            Message::Control(control) => {
                out.put_u8(CONTROL);
                put_json(&mut out, control);
            }
            Message::Push { conn, bytes } => {
                out.reserve(9 + bytes.len());
                out.put_u8(PUSH);
                out.put_u64_le(*conn);
                out.put_slice(bytes);
            }
            Message::Delivery(delivery) => delivery.put(&mut out),
            Message::Offer { id, offer, image } => {
                let mut head = BytesMut::new();
                put_json(&mut head, offer);
                out.reserve(13 + head.len() + image.len());
                out.put_u8(OFFER);
                out.put_u64_le(*id);
                out.put_u32_le(head.len() as u32);
                out.put_slice(&head);
                out.put_slice(image);
            }
        }
        out.freeze()
    }

    /// Reads a whole message. Frames and images share the bytes given.
    pub fn decode(mut bytes: Bytes) -> Result<Message, MessageError> {
        Ok(match take_u8(&mut bytes)? {
            CONTROL => Message::Control(json(&bytes)?),
            PUSH => Message::Push { conn: take_u64(&mut bytes)?, bytes },
            DELIVERY => Message::Delivery(Delivery::take(&mut bytes)?),
            OFFER => {
                let id = take_u64(&mut bytes)?;
                let head = take_prefixed(&mut bytes)?;
                Message::Offer { id, offer: json(&head)?, image: bytes }
            }
            unknown => return Err(MessageError::Tag(unknown)),
        })
    }
}

impl Delivery {
    fn put(&self, out: &mut BytesMut) {
        let frames: usize = self.items.iter().map(Item::len).sum();
        out.reserve(18 + self.room.as_str().len() + frames);
        out.put_u8(DELIVERY);
        // Ids have at most 64 bytes.
        out.put_u8(self.room.as_str().len() as u8);
        out.put_slice(self.room.as_str().as_bytes());
        out.put_u64_le(self.epoch.0);
        out.put_u64_le(self.seq.0);
        for item in &self.items {
            item.put(out);
        }
    }

    fn take(bytes: &mut Bytes) -> Result<Delivery, MessageError> {
        let len = usize::from(take_u8(bytes)?);
        let room = take(bytes, len)?;
        let room = std::str::from_utf8(&room).ok().and_then(|room| RoomId::new(room).ok());
        let room = room.ok_or(MessageError::Malformed("a room id"))?;
        let (epoch, seq) = (Epoch(take_u64(bytes)?), Seq(take_u64(bytes)?));
        let mut items = Vec::new();
        while !bytes.is_empty() {
            items.push(Item::take(bytes)?);
        }
        Ok(Delivery { room, epoch, seq, items })
    }
}

impl Item {
    fn len(&self) -> usize {
        match self {
            Item::Frame { conns, bytes, .. } => 10 + conns.len() * 8 + bytes.len(),
            Item::Close { reason, .. } => 12 + reason.len(),
        }
    }

    fn put(&self, out: &mut BytesMut) {
        match self {
            Item::Frame { conns, kind, bytes } => {
                out.put_u8(0);
                out.put_u8(match kind {
                    FrameKind::Patch => 0,
                    FrameKind::State => 1,
                    FrameKind::Message => 2,
                });
                out.put_u32_le(conns.len() as u32);
                for conn in conns {
                    out.put_u64_le(*conn);
                }
                out.put_u32_le(bytes.len() as u32);
                out.put_slice(bytes);
            }
            Item::Close { conn, code, reason } => {
                let reason = &reason[..reason.floor_char_boundary(MAX_REASON)];
                out.put_u8(1);
                out.put_u64_le(*conn);
                out.put_u16_le(code.0);
                out.put_u8(reason.len() as u8);
                out.put_slice(reason.as_bytes());
            }
        }
    }

    fn take(bytes: &mut Bytes) -> Result<Item, MessageError> {
        match take_u8(bytes)? {
            0 => {
                let kind = match take_u8(bytes)? {
                    0 => FrameKind::Patch,
                    1 => FrameKind::State,
                    2 => FrameKind::Message,
                    _ => return Err(MessageError::Malformed("a frame's kind")),
                };
                let count = take_u32(bytes)? as usize;
                let mut numbers = take(bytes, count.checked_mul(8).ok_or(MessageError::Truncated)?)?;
                let conns = (0..count).map(|_| numbers.get_u64_le()).collect();
                Ok(Item::Frame { conns, kind, bytes: take_prefixed(bytes)? })
            }
            1 => {
                let (conn, code) = (take_u64(bytes)?, CloseCode(take_u16(bytes)?));
                let len = usize::from(take_u8(bytes)?);
                let reason = String::from_utf8(take(bytes, len)?.to_vec())
                    .map_err(|_| MessageError::Malformed("a close reason"))?;
                Ok(Item::Close { conn, code, reason })
            }
            _ => Err(MessageError::Malformed("an item")),
        }
    }
}

fn put_json<T: Serialize>(out: &mut BytesMut, value: &T) {
    serde_json::to_writer(out.writer(), value).expect("control messages have text keys and do not fail");
}

fn json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, MessageError> {
    serde_json::from_slice(bytes).map_err(|error| MessageError::Control(error.to_string()))
}

fn take(bytes: &mut Bytes, len: usize) -> Result<Bytes, MessageError> {
    if bytes.len() < len { Err(MessageError::Truncated) } else { Ok(bytes.split_to(len)) }
}

fn take_prefixed(bytes: &mut Bytes) -> Result<Bytes, MessageError> {
    let len = take_u32(bytes)? as usize;
    take(bytes, len)
}

fn take_u8(bytes: &mut Bytes) -> Result<u8, MessageError> {
    bytes.try_get_u8().map_err(|_| MessageError::Truncated)
}

fn take_u16(bytes: &mut Bytes) -> Result<u16, MessageError> {
    bytes.try_get_u16_le().map_err(|_| MessageError::Truncated)
}

fn take_u32(bytes: &mut Bytes) -> Result<u32, MessageError> {
    bytes.try_get_u32_le().map_err(|_| MessageError::Truncated)
}

fn take_u64(bytes: &mut Bytes) -> Result<u64, MessageError> {
    bytes.try_get_u64_le().map_err(|_| MessageError::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn delivery() -> Message {
        Message::Delivery(Delivery {
            room: RoomId::new("abc").unwrap(),
            epoch: Epoch(3),
            seq: Seq(77),
            items: vec![
                Item::Frame {
                    conns: vec![1, 2, 900],
                    kind: FrameKind::Patch,
                    bytes: Bytes::from_static(b"p"),
                },
                Item::Close { conn: 4, code: CloseCode(4000), reason: "bye".into() },
                Item::Frame { conns: vec![], kind: FrameKind::Message, bytes: Bytes::new() },
            ],
        })
    }

    fn offer() -> Message {
        let offer = Offer {
            room: RoomId::new("r-1").unwrap(),
            kind: "arena".into(),
            created_at: 7,
            filters: Map::new(),
            version: 1,
            token: Token::default(),
            seq: Seq(9),
            chain: [5; 16],
        };
        Message::Offer { id: 11, offer, image: Bytes::from_static(b"image") }
    }

    fn controls() -> Vec<Control> {
        let room = RoomId::new("r").unwrap();
        let claim = SeatClaim {
            conn: 5,
            session: SessionId::new("s").unwrap(),
            token: Some("t".into()),
            skip_handshake: true,
            dialect: Some(Dialect::V17),
        };
        vec![
            Control::Hello { process: "p".into(), draining: true, rooms: 4 },
            Control::Attach { room: room.clone(), claim: claim.clone() },
            Control::Reattach {
                room: room.clone(),
                epoch: Epoch(2),
                forwarded: Seq(10),
                seats: vec![SeatKept { claim, acknowledged: true, full: false, inputs: 3, input_time: 9 }],
            },
            Control::Suspect { node: Incarnation([7; 16]), silent: true },
            Control::Closed { conn: 1, code: CloseCode(1006) },
            Control::Hold { room, epoch: Epoch(1) },
        ]
    }

    #[test]
    fn messages_read_back_as_they_were() {
        let push = Message::Push { conn: u64::MAX, bytes: Bytes::from_static(b"frame") };
        let controls = controls().into_iter().map(Message::Control);
        for message in [delivery(), offer(), push].into_iter().chain(controls) {
            assert_eq!(Message::decode(message.encode()), Ok(message));
        }
    }

    #[test]
    fn every_cut_of_a_message_is_an_error_or_a_shorter_frame() {
        for message in [delivery(), offer()] {
            let whole = message.encode();
            for len in 0..whole.len() {
                // An image, like a pushed frame, is whatever follows the head; a delivery may end after any item.
                if let Ok(read) = Message::decode(whole.slice(..len)) {
                    assert_ne!(read, message);
                }
            }
        }
    }

    #[test]
    fn a_reason_that_is_too_long_is_cut_between_characters() {
        let item = Item::Close { conn: 1, code: CloseCode(4000), reason: "ä".repeat(100) };
        let message = Message::Delivery(Delivery {
            room: RoomId::new("r").unwrap(),
            epoch: Epoch(1),
            seq: Seq(1),
            items: vec![item],
        });
        let Ok(Message::Delivery(read)) = Message::decode(message.encode()) else { panic!("a delivery") };
        assert!(matches!(&read.items[..], [Item::Close { reason, .. }] if *reason == "ä".repeat(61)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::decode(Bytes::from(bytes));
        }
    }
}
