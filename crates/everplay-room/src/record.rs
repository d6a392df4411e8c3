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
//! snapshot = version u8 | room time varint | state length varint, state | ledger length varint, ledger
//! ```
//!
//! Written by the engine's [`Step`](crate::Step), read by restore, by replay and by the event relay. An unknown
//! version or tag is an error: guessing would change what players have seen. Numbers are LEB128.

use everplay_types::Millis;
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
    /// Reads a whole record. Allocates at most one section per two bytes of input.
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
                Section::Ended,
            ]
        );
    }

    #[test]
    fn every_truncation_is_an_error_or_a_shorter_record() {
        let bytes = sample();
        for len in 0..bytes.len() {
            if let Ok(record) = Record::decode(&bytes[..len]) {
                assert!(record.sections.len() < 6);
            }
        }
    }

    #[test]
    fn the_unknown_is_refused_by_name() {
        assert_eq!(Record::decode(&[9]), Err(RecordError::Version(9)));
        assert_eq!(Record::decode(&[1, 0, 77, 0]), Err(RecordError::Section(77)));
        assert_eq!(Record::decode(&[1, 0, 2, 200, 1]), Err(RecordError::Truncated("a section")));
        assert!(Snapshot::decode(&[1, 0, 0, 0, 0]).is_err());
        assert!(Snapshot::decode(&Snapshot::encode(Millis(5), b"a", b"b")).is_ok());
    }
}
