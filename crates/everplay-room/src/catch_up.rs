//! What clients missed while the room had no owner, or while the way to their sockets was broken.
//!
//! ```text
//! records of the journal -> CatchUp (the newest of them) -> Missed since F -> frames for one client
//! ```
//!
//! A node that keeps sockets knows up to which record it has given them everything. From there on the records say
//! what each client was sent: the shared patch is part of the state's journal patch, messages are in a section of
//! their own. So a client's stream of frames goes on without a repeat and without a gap, whoever owns the room.
//! Clients with a view or with timed patches get a full state instead of the patches, and the messages all the same.

use crate::RecordError;
use crate::record::{Record, Section, Sent, To};
use bytes::Bytes;
use everplay_types::{CloseCode, Seq};
use everplay_wire::server_frame;
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes of records kept at most while someone is awaited. Whoever missed more gets a full state, which is smaller.
pub const CATCH_UP_BYTES: usize = 1 << 20;

/// Bytes of records kept at most while nobody is: what a room writes until a broken way to its clients is noticed.
pub const RECENT_BYTES: usize = 32 << 10;

/// The newest records of a room, without a hole.
#[derive(Debug, Clone)]
pub struct CatchUp {
    /// The records follow this one.
    after: Seq,
    records: VecDeque<Bytes>,
    bytes: usize,
    limit: usize,
}

impl CatchUp {
    /// Knows nothing up to `after`, and what is [`push`](Self::push)ed from there on.
    pub fn new(after: Seq) -> Self {
        Self { after, records: VecDeque::new(), bytes: 0, limit: CATCH_UP_BYTES }
    }

    /// Keeps at most this many bytes from now on; [`CATCH_UP_BYTES`] at first.
    pub fn set_limit(&mut self, bytes: usize) {
        self.limit = bytes;
        self.trim();
    }

    /// Takes the next record. The oldest are dropped beyond the limit.
    pub fn push(&mut self, record: Bytes) {
        self.bytes += record.len();
        self.records.push_back(record);
        self.trim();
    }

    fn trim(&mut self) {
        while self.bytes > self.limit
            && let Some(oldest) = self.records.pop_front()
        {
            self.bytes -= oldest.len();
            self.after = self.after.next();
        }
    }

    /// Everything after this position is known.
    pub fn after(&self) -> Seq {
        self.after
    }

    /// What was sent after `forwarded`. Errors: a record cannot be read.
    pub fn missed(&self, forwarded: Seq) -> Result<Missed, RecordError> {
        let mut missed = Missed { whole: forwarded >= self.after, ..Missed::default() };
        let mut seq = self.after;
        for record in &self.records {
            if seq <= forwarded {
                missed.since = missed.pieces.len();
            }
            seq = seq.next();
            for section in Record::decode(record)?.sections {
                missed.add(section);
            }
        }
        if seq <= forwarded {
            missed.since = missed.pieces.len();
        }
        Ok(missed)
    }
}

/// What a room sent, from some point on; shared by all clients that stand at that point.
#[derive(Debug, Clone, Default)]
pub struct Missed {
    pieces: Vec<Piece>,
    /// The first piece that was missed; those before it are known by chance.
    since: usize,
    /// Nothing is lacking.
    whole: bool,
}

#[derive(Debug, Clone)]
enum Piece {
    /// The frame that clients without a view got.
    Patch(Bytes),
    /// There was a patch, and the record does not hold it.
    Unknown,
    Message {
        to: Audience,
        frame: Bytes,
    },
    Join(Arc<str>),
    Live(Arc<str>),
    Full(Arc<str>),
    Closed {
        session: Arc<str>,
        code: CloseCode,
        reason: String,
    },
}

#[derive(Debug, Clone)]
enum Audience {
    All,
    Only(Vec<Arc<str>>),
    Except(Vec<Arc<str>>),
}

/// What is to be sent to one client that missed something.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Remainder {
    /// In order. Without patches when a full state is needed.
    pub(crate) frames: Vec<Missing>,
    /// The patches do not lead from what the client has to what the room has.
    pub(crate) needs_full: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Missing {
    Patch(Bytes),
    Message(Bytes),
}

impl Missed {
    /// Nobody knows what was missed.
    pub fn unknown() -> Self {
        Self::default()
    }

    fn add(&mut self, section: Section<'_>) {
        match section {
            Section::Born { .. } => self.pieces.push(Piece::Unknown),
            Section::State(patch) => match everplay_schema::shared_of(patch) {
                Ok(Some([])) => {}
                Ok(Some(shared)) => self.pieces.push(Piece::Patch(server_frame::patch(None, shared))),
                // What cannot be cut out is not guessed at.
                Ok(None) | Err(_) => self.pieces.push(Piece::Unknown),
            },
            Section::Sent(items) => self.pieces.extend(items.into_iter().map(Piece::of)),
            Section::Ledger(_) | Section::Event(_) | Section::Restored | Section::Ended => {}
        }
    }

    /// What an acknowledged client missed. `patches`: patches are of use to it.
    pub(crate) fn of(&self, session: &str, patches: bool) -> Remainder {
        let mut remainder = Remainder { needs_full: !patches || !self.whole, ..Remainder::default() };
        for piece in &self.pieces[self.since..] {
            match piece {
                Piece::Patch(frame) => remainder.frames.push(Missing::Patch(frame.clone())),
                Piece::Unknown => remainder.needs_full = true,
                Piece::Message { to, frame } if to.includes(session) => {
                    remainder.frames.push(Missing::Message(frame.clone()));
                }
                // It came, or came back, in the meantime: what was before is not for it.
                Piece::Live(name) if **name == *session => {
                    remainder = Remainder { needs_full: true, ..Remainder::default() };
                }
                Piece::Full(name) if **name == *session => remainder.needs_full = true,
                _ => {}
            }
        }
        if remainder.needs_full {
            remainder.frames.retain(|frame| matches!(frame, Missing::Message(_)));
        }
        remainder
    }

    /// The messages for a client that has not acknowledged JOIN_ROOM: those since it was sent.
    pub(crate) fn since_join(&self, session: &str) -> Vec<Bytes> {
        let join = |piece: &Piece| matches!(piece, Piece::Join(name) if **name == *session);
        let Some(joined) = self.pieces.iter().rposition(join) else { return Vec::new() };
        let message = |piece: &Piece| match piece {
            Piece::Message { to, frame } if to.includes(session) => Some(frame.clone()),
            _ => None,
        };
        self.pieces[joined..].iter().filter_map(message).collect()
    }

    /// How the client's connection was closed, if it was and the client was not told.
    pub(crate) fn closed(&self, session: &str) -> Option<(CloseCode, String)> {
        self.pieces.iter().rev().find_map(|piece| match piece {
            Piece::Closed { session: name, code, reason } if **name == *session => {
                Some((*code, reason.clone()))
            }
            _ => None,
        })
    }
}

impl Piece {
    fn of(sent: Sent<'_>) -> Self {
        match sent {
            Sent::Message { to, frame } => {
                let names = |names: Vec<&str>| names.into_iter().map(Arc::from).collect();
                let to = match to {
                    To::All => Audience::All,
                    To::Only(sessions) => Audience::Only(names(sessions)),
                    To::Except(sessions) => Audience::Except(names(sessions)),
                };
                Piece::Message { to, frame: Bytes::copy_from_slice(frame) }
            }
            Sent::Join(session) => Piece::Join(session.into()),
            Sent::Live(session) => Piece::Live(session.into()),
            Sent::Full(session) => Piece::Full(session.into()),
            Sent::Closed { session, code, reason } => {
                Piece::Closed { session: session.into(), code, reason: reason.to_owned() }
            }
        }
    }
}

impl Audience {
    fn includes(&self, session: &str) -> bool {
        match self {
            Audience::All => true,
            Audience::Only(sessions) => sessions.iter().any(|name| **name == *session),
            Audience::Except(sessions) => !sessions.iter().any(|name| **name == *session),
        }
    }
}
