//! The payload of one journal record, and of one snapshot.
//!
//! ```text
//! record   = version u8 | room time varint | section*
//! section  = tag u8 | length varint | body
//!            1 born      two length-prefixed tree snapshots (state, ledger)
//!            2 state     journal patch of the author's state
//!            3 ledger    journal patch of the ledger
//!            4 event     name length varint, name, msgpack payload
//!            5 restored  (empty) the room came back here
//!            6 ended     (empty) the room ended here
//!            7 sent      item*: what left beside the patch, for clients whose sockets outlive the room's owner. Its
//!                        place among the state sections is its place among the patches
//! item     = 1 frame              a message to all clients
//!          | 2 names frame        a message to these
//!          | 3 names frame        a message to all but these
//!          | 4 name               JOIN_ROOM, to be acknowledged (never with its bytes: they hold a token)
//!          | 5 name               the acknowledged client's first full state
//!          | 6 name               a full state in place of patches that were dropped
//!          | 7 name, code varint, reason   the connection was closed
//! names    = count varint, name*; names, frames and reasons are length-prefixed
//! snapshot = version u8 | room time varint | state length varint, state | ledger length varint, ledger
//! ```
//!
//! Written by the engine's [`Step`](crate::Step), read by restore, by replay and by the event relay. An unknown
//! version or tag is an error: guessing would change what players have seen. Numbers are LEB128.

use everplay_types::{CloseCode, Millis};
use thiserror::Error;

const VERSION: u8 = 1;

/// Why bytes are not a record.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Ends in the middle of something.
    #[error("the record ends in the middle of {0}")]
    Truncated(&'static str),
    /// Written by a release this one does not know.
    #[error("record version {0} is not known to this release")]
    Version(u8),
    /// A section this release does not know.
    #[error("section {0} is not known to this release")]
    Section(u8),
    /// A text is not UTF-8, or a number too long.
    #[error("{0} is malformed")]
    Malformed(&'static str),
}

/// Something that happened in the room and others should know, exactly if the state that caused it exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Such as `game finished`.
    pub name: String,
    /// msgpack.
    pub payload: Vec<u8>,
}

/// One part of a record, borrowed from its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Section<'a> {
    /// The room begins with this state and ledger.
    Born {
        /// Snapshot of the author's state.
        state: &'a [u8],
        /// Snapshot of the ledger.
        ledger: &'a [u8],
    },
    /// The author's state changed.
    State(&'a [u8]),
    /// The ledger changed.
    Ledger(&'a [u8]),
    /// The room told the world.
    Event(Event),
    /// The room came back from its journal here.
    Restored,
    /// The room ended here.
    Ended,
    /// What left beside the patch, in order.
    Sent(Vec<Sent<'a>>),
}

/// One thing that left for clients beside the patch. Sessions are given by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent<'a> {
    /// A message to these clients.
    Message {
        /// Who got it: those with a connection, acknowledged or not.
        to: To<'a>,
        /// The whole frame.
        frame: &'a [u8],
    },
    /// JOIN_ROOM.
    Join(&'a str),
    /// The full state after the acknowledgement; patches follow from here.
    Live(&'a str),
    /// A full state in place of patches that were dropped.
    Full(&'a str),
    /// The connection was closed.
    Closed {
        /// Whose.
        session: &'a str,
        /// As told to the client.
        code: CloseCode,
        /// As told to the client.
        reason: &'a str,
    },
}

/// Whom a message was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To<'a> {
    /// All clients.
    All,
    /// These.
    Only(Vec<&'a str>),
    /// All but these.
    Except(Vec<&'a str>),
}

impl To<'_> {
    /// Whether this session is among them.
    pub fn includes(&self, session: &str) -> bool {
        match self {
            To::All => true,
            To::Only(sessions) => sessions.contains(&session),
            To::Except(sessions) => !sessions.contains(&session),
        }
    }
}

/// A decoded record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// The room's time when the step was computed.
    pub time: Millis,
    /// In the order they apply.
    pub sections: Vec<Section<'a>>,
}

impl<'a> Record<'a> {
    /// Reads a whole record. Allocates at most one section, item or name per byte of input.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let mut reader = Reader(bytes);
        reader.version()?;
        let time = Millis(reader.varint("the time")?);
        let mut sections = Vec::new();
        while !reader.0.is_empty() {
            let tag = reader.byte("a tag")?;
            let mut body = Reader(reader.prefixed("a section")?);
            sections.push(match tag {
                1 => Section::Born { state: body.prefixed("a state")?, ledger: body.prefixed("a ledger")? },
                2 => Section::State(body.0),
                3 => Section::Ledger(body.0),
                4 => {
                    let name = std::str::from_utf8(body.prefixed("a name")?)
                        .map_err(|_| RecordError::Malformed("an event name"))?;
                    Section::Event(Event { name: name.to_owned(), payload: body.0.to_vec() })
                }
                5 => Section::Restored,
                6 => Section::Ended,
                7 => Section::Sent(body.sent()?),
                unknown => return Err(RecordError::Section(unknown)),
            });
        }
        Ok(Self { time, sections })
    }
}

/// A decoded snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot<'a> {
    /// The room's time.
    pub time: Millis,
    /// Snapshot of the author's state.
    pub state: &'a [u8],
    /// Snapshot of the ledger.
    pub ledger: &'a [u8],
}

impl<'a> Snapshot<'a> {
    /// Reads a whole snapshot.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let mut reader = Reader(bytes);
        reader.version()?;
        let time = Millis(reader.varint("the time")?);
        let state = reader.prefixed("a state")?;
        let ledger = reader.prefixed("a ledger")?;
        if reader.0.is_empty() {
            Ok(Self { time, state, ledger })
        } else {
            Err(RecordError::Malformed("the end"))
        }
    }

    pub(crate) fn encode(time: Millis, state: &[u8], ledger: &[u8]) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        put_varint(&mut bytes, time.0);
        put_prefixed(&mut bytes, state);
        put_prefixed(&mut bytes, ledger);
        bytes
    }
}

/// A record that says nothing but the time: a position in the journal for a snapshot to stand at.
pub fn marker(time: Millis) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    put_varint(&mut bytes, time.0);
    bytes
}

/// Collects the sections of one step.
#[derive(Debug, Default)]
pub(crate) struct Draft(Vec<u8>);

impl Draft {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn born(&mut self, state: &[u8], ledger: &[u8]) {
        let mut body = Vec::with_capacity(state.len() + ledger.len() + 8);
        put_prefixed(&mut body, state);
        put_prefixed(&mut body, ledger);
        self.section(1, &body);
    }

    pub(crate) fn state(&mut self, patch: &[u8]) {
        self.section(2, patch);
    }

    pub(crate) fn ledger(&mut self, patch: &[u8]) {
        self.section(3, patch);
    }

    pub(crate) fn event(&mut self, event: &Event) {
        let mut body = Vec::with_capacity(event.name.len() + event.payload.len() + 2);
        put_prefixed(&mut body, event.name.as_bytes());
        body.extend_from_slice(&event.payload);
        self.section(4, &body);
    }

    pub(crate) fn restored(&mut self) {
        self.section(5, &[]);
    }

    pub(crate) fn ended(&mut self) {
        self.section(6, &[]);
    }

    /// Items as [`Tape`] wrote them.
    pub(crate) fn sent(&mut self, items: &[u8]) {
        self.section(7, items);
    }

    fn section(&mut self, tag: u8, body: &[u8]) {
        self.0.push(tag);
        put_prefixed(&mut self.0, body);
    }

    /// The record, and an empty draft again.
    pub(crate) fn take(&mut self, time: Millis) -> Option<Vec<u8>> {
        if self.0.is_empty() {
            return None;
        }
        let mut bytes = Vec::with_capacity(self.0.len() + 8);
        bytes.push(VERSION);
        put_varint(&mut bytes, time.0);
        bytes.append(&mut self.0);
        Some(bytes)
    }
}

/// Writes down what leaves beside patches, as long as someone might miss it.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    on: bool,
    items: Vec<u8>,
}

impl Tape {
    /// Off, it writes nothing.
    pub(crate) fn set_on(&mut self, on: bool) {
        self.on = on;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(crate) fn items(&self) -> &[u8] {
        &self.items
    }

    pub(crate) fn clear(&mut self) {
        self.items.clear();
    }

    pub(crate) fn all(&mut self, frame: &[u8]) {
        if self.on {
            self.items.push(1);
            put_prefixed(&mut self.items, frame);
        }
    }

    pub(crate) fn only(&mut self, session: &str, frame: &[u8]) {
        if self.on {
            self.items.extend_from_slice(&[2, 1]);
            put_prefixed(&mut self.items, session.as_bytes());
            put_prefixed(&mut self.items, frame);
        }
    }

    pub(crate) fn except<'a>(&mut self, sessions: impl ExactSizeIterator<Item = &'a str>, frame: &[u8]) {
        if self.on {
            self.items.push(3);
            put_varint(&mut self.items, sessions.len() as u64);
            sessions.for_each(|session| put_prefixed(&mut self.items, session.as_bytes()));
            put_prefixed(&mut self.items, frame);
        }
    }

    pub(crate) fn join(&mut self, session: &str) {
        self.about(4, session);
    }

    pub(crate) fn live(&mut self, session: &str) {
        self.about(5, session);
    }

    pub(crate) fn full(&mut self, session: &str) {
        self.about(6, session);
    }

    pub(crate) fn closed(&mut self, session: &str, code: CloseCode, reason: &str) {
        if self.on {
            self.about(7, session);
            put_varint(&mut self.items, u64::from(code.0));
            put_prefixed(&mut self.items, reason.as_bytes());
        }
    }

    fn about(&mut self, item: u8, session: &str) {
        if self.on {
            self.items.push(item);
            put_prefixed(&mut self.items, session.as_bytes());
        }
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_prefixed(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn version(&mut self) -> Result<(), RecordError> {
        match self.byte("the version")? {
            VERSION => Ok(()),
            other => Err(RecordError::Version(other)),
        }
    }

    fn byte(&mut self, what: &'static str) -> Result<u8, RecordError> {
        let (&first, rest) = self.0.split_first().ok_or(RecordError::Truncated(what))?;
        self.0 = rest;
        Ok(first)
    }

    fn varint(&mut self, what: &'static str) -> Result<u64, RecordError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(what)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(RecordError::Malformed(what));
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(RecordError::Malformed(what))
    }

    fn sent(&mut self) -> Result<Vec<Sent<'a>>, RecordError> {
        let mut items = Vec::new();
        while !self.0.is_empty() {
            items.push(match self.byte("an item")? {
                1 => Sent::Message { to: To::All, frame: self.prefixed("a frame")? },
                2 => Sent::Message { to: To::Only(self.names()?), frame: self.prefixed("a frame")? },
                3 => Sent::Message { to: To::Except(self.names()?), frame: self.prefixed("a frame")? },
                4 => Sent::Join(self.text("a session")?),
                5 => Sent::Live(self.text("a session")?),
                6 => Sent::Full(self.text("a session")?),
                7 => Sent::Closed {
                    session: self.text("a session")?,
                    code: u16::try_from(self.varint("a close code")?)
                        .map(CloseCode)
                        .map_err(|_| RecordError::Malformed("a close code"))?,
                    reason: self.text("a reason")?,
                },
                _ => return Err(RecordError::Malformed("an item of what was sent")),
            });
        }
        Ok(items)
    }

    fn names(&mut self) -> Result<Vec<&'a str>, RecordError> {
        let count = self.varint("a count of sessions")?;
        // The count is not believed: each name takes a byte at least.
        (0..count).map(|_| self.text("a session")).collect()
    }

    fn text(&mut self, what: &'static str) -> Result<&'a str, RecordError> {
        std::str::from_utf8(self.prefixed(what)?).map_err(|_| RecordError::Malformed(what))
    }

    fn prefixed(&mut self, what: &'static str) -> Result<&'a [u8], RecordError> {
        let len = usize::try_from(self.varint(what)?).map_err(|_| RecordError::Truncated(what))?;
        if len > self.0.len() {
            return Err(RecordError::Truncated(what));
        }
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut draft = Draft::default();
        draft.born(b"state", b"ledger");
        draft.state(b"patch");
        draft.ledger(&[]);
        draft.event(&Event { name: "game finished".into(), payload: vec![1, 2] });
        draft.restored();
        let mut tape = Tape::default();
        tape.all(b"not written");
        tape.set_on(true);
        tape.all(b"to all");
        tape.only("ann", b"to one");
        tape.except(["bob", "cyd"].into_iter(), b"to the others");
        tape.join("ann");
        tape.live("ann");
        tape.full("bob");
        tape.closed("cyd", CloseCode::CONSENTED, "bye");
        draft.sent(tape.items());
        draft.ended();
        draft.take(Millis(300)).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = sample();
        let record = Record::decode(&bytes).unwrap();
        assert_eq!(record.time, Millis(300));
        assert_eq!(
            record.sections,
            [
                Section::Born { state: b"state", ledger: b"ledger" },
                Section::State(b"patch"),
                Section::Ledger(b""),
                Section::Event(Event { name: "game finished".into(), payload: vec![1, 2] }),
                Section::Restored,
                Section::Sent(vec![
                    Sent::Message { to: To::All, frame: b"to all" },
                    Sent::Message { to: To::Only(vec!["ann"]), frame: b"to one" },
                    Sent::Message { to: To::Except(vec!["bob", "cyd"]), frame: b"to the others" },
                    Sent::Join("ann"),
                    Sent::Live("ann"),
                    Sent::Full("bob"),
                    Sent::Closed { session: "cyd", code: CloseCode::CONSENTED, reason: "bye" },
                ]),
                Section::Ended,
            ]
        );
    }

    #[test]
    fn every_truncation_is_an_error_or_a_shorter_record() {
        let bytes = sample();
        for len in 0..bytes.len() {
            if let Ok(record) = Record::decode(&bytes[..len]) {
                assert!(record.sections.len() < 7);
            }
        }
    }

    #[test]
    fn the_unknown_is_refused_by_name() {
        assert_eq!(Record::decode(&[9]), Err(RecordError::Version(9)));
        assert_eq!(Record::decode(&[1, 0, 77, 0]), Err(RecordError::Section(77)));
        assert_eq!(Record::decode(&[1, 0, 7, 1, 8]), Err(RecordError::Malformed("an item of what was sent")));
        assert_eq!(Record::decode(&[1, 0, 7, 2, 2, 255]), Err(RecordError::Truncated("a count of sessions")));
        assert_eq!(Record::decode(&[1, 0, 2, 200, 1]), Err(RecordError::Truncated("a section")));
        assert!(Snapshot::decode(&[1, 0, 0, 0, 0]).is_err());
        assert!(Snapshot::decode(&Snapshot::encode(Millis(5), b"a", b"b")).is_ok());
    }
}
