//! The words that the functions answer with, and the form of what they are given. Pure.

use crate::record::Chain;
use crate::{DirectoryEntry, Position, RoomError, RoomState};
use bytes::Bytes;
use everplay_types::{Epoch, Nonce, RoomKey, Seq, Token};
use redis::Value;
use std::fmt::Write;

/// An epoch and a nonce in 48 hexadecimal digits: their order is the tokens' order.
pub(super) fn token(token: Token) -> String {
    let mut out = format!("{:016x}", token.epoch.0);
    for byte in token.nonce.0 {
        write!(out, "{byte:02x}").expect("strings take any text");
    }
    out
}

/// A position in 20 digits.
pub(super) fn position(seq: Seq) -> String {
    format!("{:020}", seq.0)
}

/// The stream's id of the record after a position.
pub(super) fn id_after(seq: Seq) -> String {
    format!("{}-0", seq.0.saturating_add(1))
}

/// What a function found, when it did not refuse.
#[derive(Debug)]
pub(super) enum Answer {
    Done,
    At(Position),
    Kept(Seq),
    Gap(Position),
    Exists(Token),
    Same,
    Stale(Seq),
    Future(Seq),
    Gone,
    Loaded(Stored),
    Names(Vec<String>),
    Head(Head),
}

/// A refusal that says nothing about what is stored, or an answer that does.
#[derive(Debug)]
pub(super) enum Verdict {
    Answer(Answer),
    Refused(RoomError),
}

/// One look at a room.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) fence: Token,
    pub(super) end: Position,
    /// The image that was asked for, and its position.
    pub(super) pointer: Option<(String, Seq)>,
    pub(super) image: Vec<u8>,
    /// After the image, or all of them.
    pub(super) records: Vec<Vec<u8>>,
    /// The older image.
    pub(super) older: Option<String>,
}

/// What the directory shows of a room.
#[derive(Debug)]
pub(super) struct Head {
    token: Token,
    last: Seq,
    stage: String,
    reason: String,
    kind: String,
    listing: Bytes,
}

/// A room of the directory, or what is left of one.
#[derive(Debug)]
pub(super) enum Listed {
    Open(DirectoryEntry),
    Closed,
}

impl Head {
    pub(super) fn of(self, room: RoomKey) -> Listed {
        let Head { token, last, stage, reason, kind, listing } = self;
        let state = match stage.as_str() {
            "closed" => return Listed::Closed,
            "quarantined" => RoomState::Quarantined { reason },
            _ => RoomState::Live,
        };
        Listed::Open(DirectoryEntry { room, kind, listing, token, last, state })
    }
}

/// The parts of one answer, taken in order.
struct Parts(std::vec::IntoIter<Value>);

impl Parts {
    fn bytes(&mut self) -> Result<Vec<u8>, String> {
        match self.0.next() {
            Some(Value::BulkString(bytes)) => Ok(bytes),
            Some(Value::Nil) => Ok(Vec::new()),
            other => Err(format!("the function's answer has {} where text belongs", name(other.as_ref()))),
        }
    }

    fn text(&mut self) -> Result<String, String> {
        String::from_utf8(self.bytes()?).map_err(|_| "the function's answer is not text".to_owned())
    }

    fn array(&mut self) -> Result<Parts, String> {
        match self.0.next() {
            Some(Value::Array(values)) => Ok(Parts(values.into_iter())),
            other => Err(format!("the function's answer has {} where a list belongs", name(other.as_ref()))),
        }
    }

    fn seq(&mut self) -> Result<Seq, String> {
        let text = self.text()?;
        text.parse().map(Seq).map_err(|_| format!("`{text}` is no position"))
    }

    fn chain(&mut self) -> Result<Chain, String> {
        let text = self.text()?;
        hex(&text).map(Chain).ok_or_else(|| format!("`{text}` is no chain"))
    }

    fn token(&mut self) -> Result<Token, String> {
        let text = self.text()?;
        let parsed = text.split_at_checked(16).and_then(|(epoch, nonce)| {
            Some(Token { epoch: Epoch(u64::from_str_radix(epoch, 16).ok()?), nonce: Nonce(hex(nonce)?) })
        });
        parsed.ok_or_else(|| format!("`{text}` is no token"))
    }

    fn position(&mut self) -> Result<Position, String> {
        Ok(Position { last: self.seq()?, chain: self.chain()? })
    }
}

/// What kind of value it is; its content may be a player's.
fn name(value: Option<&Value>) -> &'static str {
    match value {
        None => "nothing",
        Some(Value::Int(_)) => "a number",
        Some(Value::Array(_)) => "a list",
        Some(Value::BulkString(_)) => "text",
        Some(_) => "something else",
    }
}

fn hex(text: &str) -> Option<[u8; 16]> {
    u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32).map(u128::to_be_bytes)
}

/// Reads an answer. `size`: what was too large, and the limit, when the caller knows it to be. Errors: words for
/// operators; the answer is of another release, or what is stored is damaged.
pub(super) fn read(value: Value, size: Option<(usize, usize)>) -> Result<Verdict, String> {
    let Value::Array(parts) = value else {
        return Err(format!("the function answered {}", name(Some(&value))));
    };
    let mut parts = Parts(parts.into_iter());
    let answer = match parts.text()?.as_str() {
        "DONE" => Answer::Done,
        "AT" => Answer::At(parts.position()?),
        "KEPT" => Answer::Kept(parts.seq()?),
        "GAP" => Answer::Gap(parts.position()?),
        "EXISTS" => Answer::Exists(parts.token()?),
        "SAME" => Answer::Same,
        "STALE" => Answer::Stale(parts.seq()?),
        "FUTURE" => Answer::Future(parts.seq()?),
        "GONE" => Answer::Gone,
        "LOADED" => {
            let (fence, end, pointer, image) =
                (parts.token()?, parts.position()?, parts.text()?, parts.bytes()?);
            let mut list = parts.array()?;
            let mut records = Vec::with_capacity(list.0.len());
            while list.0.len() > 0 {
                records.push(list.bytes()?);
            }
            let older = Some(parts.text()?).filter(|older| !older.is_empty());
            let pointer = match pointer.split_once(':') {
                None => None,
                Some((seq, _)) => {
                    let seq = seq.parse().map_err(|_| format!("`{pointer}` points at no image"))?;
                    Some((pointer, Seq(seq)))
                }
            };
            Answer::Loaded(Stored { fence, end, pointer, image, records, older })
        }
        "NAMES" => {
            let mut list = parts.array()?;
            let mut names = Vec::with_capacity(list.0.len());
            while list.0.len() > 0 {
                names.push(list.text()?);
            }
            Answer::Names(names)
        }
        "HEAD" => Answer::Head(Head {
            token: parts.token()?,
            last: parts.seq()?,
            stage: parts.text()?,
            reason: parts.text()?,
            kind: parts.text()?,
            listing: parts.bytes()?.into(),
        }),
        "NONE" => return Ok(Verdict::Refused(RoomError::NotFound)),
        "CLOSED" => return Ok(Verdict::Refused(RoomError::Closed)),
        "FENCED" => return Ok(Verdict::Refused(RoomError::Fenced { fence: parts.token()? })),
        "QUARANTINED" => return Ok(Verdict::Refused(RoomError::Quarantined { reason: parts.text()? })),
        "LARGE" => {
            let (bytes, limit) = size.ok_or("the function found too large what is not")?;
            return Ok(Verdict::Refused(RoomError::TooLarge { bytes, limit }));
        }
        _ => return Err("the function answered a word of another release".to_owned()),
    };
    Ok(Verdict::Answer(answer))
}
