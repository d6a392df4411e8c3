//! The rules of a journal, without the storage: who may write, and what follows from what. Pure.
//!
//! Every adapter decides with these, so that the order of checks and their answers are the same everywhere.

use crate::record::{self, Kind, Record};
use crate::{Append, AppendError, Chain, Limits, Position, RoomError, SnapshotError};
use everplay_types::{Seq, Token};

/// Where a room is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    Live,
    Quarantined(String),
    Closed,
}

/// What must be known of a room to decide a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) fence: Token,
    pub(crate) end: Position,
    pub(crate) stage: Stage,
}

/// Why a token or stage forbids a write; each operation's error has the same branches.
#[derive(Debug, Clone)]
pub(crate) enum Refusal {
    Fenced(Token),
    Closed,
    Quarantined(String),
}

impl From<Refusal> for AppendError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Fenced(fence) => AppendError::Fenced { fence },
            Refusal::Closed => AppendError::Closed,
            Refusal::Quarantined(reason) => AppendError::Quarantined { reason },
        }
    }
}

impl From<Refusal> for RoomError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Fenced(fence) => RoomError::Fenced { fence },
            Refusal::Closed => RoomError::Closed,
            Refusal::Quarantined(reason) => RoomError::Quarantined { reason },
        }
    }
}

impl From<Refusal> for SnapshotError {
    fn from(refusal: Refusal) -> Self {
        SnapshotError::Refused(refusal.into())
    }
}

/// What to do with an append that may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Write the records; the journal then ends at the batch's end.
    Write,
    /// Nothing to write: an empty batch at the right place.
    Nothing,
    /// All positions are taken. The same batch if the chain at its last position is the batch's end, otherwise a gap.
    RepeatIf(Position),
}

impl Head {
    pub(crate) fn new(fence: Token, start: Chain) -> Self {
        Head { fence, end: Position { last: Seq::ZERO, chain: start }, stage: Stage::Live }
    }

    /// May this token change the room now? The fence is asked first: a fenced owner must learn that, whatever else.
    pub(crate) fn admit(&self, token: Token) -> Result<(), Refusal> {
        if token != self.fence {
            return Err(Refusal::Fenced(self.fence));
        }
        self.in_service()
    }

    fn in_service(&self) -> Result<(), Refusal> {
        match &self.stage {
            Stage::Live => Ok(()),
            Stage::Closed => Err(Refusal::Closed),
            Stage::Quarantined(reason) => Err(Refusal::Quarantined(reason.clone())),
        }
    }

    /// Is this token allowed to become (or stay) the fence?
    pub(crate) fn seal(&self, token: Token) -> Result<(), Refusal> {
        if token < self.fence {
            return Err(Refusal::Fenced(self.fence));
        }
        self.in_service()
    }

    /// Token, position, chain, size, in this order and before anything is written.
    pub(crate) fn append(&self, batch: &Batch) -> Result<Verdict, AppendError> {
        self.admit(batch.token)?;
        let gap = self.gap();
        if self.end.last.0.checked_add(1) != Some(batch.expected.0) {
            // Positions at or below the end were written by someone: by this very batch, perhaps.
            let inside = batch.count > 0 && batch.end.last <= self.end.last && batch.oversize.is_none();
            return if inside { Ok(Verdict::RepeatIf(batch.end)) } else { Err(gap) };
        }
        if batch.prev != self.end.chain {
            return Err(gap);
        }
        if let Some((bytes, limit)) = batch.oversize {
            return Err(AppendError::TooLarge { bytes, limit });
        }
        Ok(if batch.count == 0 { Verdict::Nothing } else { Verdict::Write })
    }

    pub(crate) fn gap(&self) -> AppendError {
        AppendError::Gap { have: self.end.last, chain: self.end.chain }
    }
}

/// An append, encoded on the caller's thread: what it will write and where the journal then ends.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) token: Token,
    pub(crate) expected: Seq,
    pub(crate) prev: Chain,
    pub(crate) count: usize,
    /// Where the journal ends once it is written; `expected - 1` and `prev` for an empty one.
    pub(crate) end: Position,
    /// Size found and limit broken. Nothing is encoded then, and the answer waits its turn behind the other checks.
    pub(crate) oversize: Option<(usize, usize)>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    pub(crate) fn encode(append: &Append, limits: &Limits) -> Batch {
        let Append { token, expected, prev, payloads, .. } = append;
        let total: usize = payloads.iter().map(|payload| payload.len()).sum();
        let oversize = payloads
            .iter()
            .map(|payload| payload.len())
            .find(|len| *len > limits.payload)
            .map(|len| (len, limits.payload))
            .or_else(|| (total > limits.batch).then_some((total, limits.batch)))
            .or_else(|| (payloads.len() > limits.records).then_some((payloads.len(), limits.records)));
        let mut batch = Batch {
            token: *token,
            expected: *expected,
            prev: *prev,
            count: payloads.len(),
            end: Position { last: Seq(expected.0.saturating_sub(1)), chain: *prev },
            oversize,
            bytes: Vec::new(),
            ends: Vec::new(),
        };
        // A position that cannot be counted up to follows no journal; the check of `expected` refuses it.
        let countable = expected.0.checked_add(payloads.len() as u64).is_some();
        if batch.oversize.is_some() || !countable {
            return batch;
        }
        batch.bytes.reserve_exact(total + payloads.len() * record::framed_len(0));
        batch.ends.reserve_exact(payloads.len());
        for payload in payloads {
            let seq = batch.end.last.next();
            let entry = Record {
                kind: Kind::Entry,
                flags: 0,
                epoch: token.epoch,
                seq,
                prev: batch.end.chain,
                payload,
            };
            let chain = record::encode(&entry, &mut batch.bytes);
            batch.ends.push(batch.bytes.len());
            batch.end = Position { last: seq, chain };
        }
        batch
    }

    /// Size of all records in bytes.
    #[cfg(feature = "sqlite")]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The records' bytes, in order.
    pub(crate) fn records(&self) -> impl Iterator<Item = &[u8]> {
        self.ends.iter().scan(0, |start, end| {
            let bytes = &self.bytes[*start..*end];
            *start = *end;
            Some(bytes)
        })
    }
}

/// The lowest position to keep when a room asks to drop what is below `below`: never more than the older of its two
/// published snapshots allows, and nothing with fewer than two.
pub(crate) fn truncation(below: Seq, published: &[Seq]) -> Seq {
    match published {
        [.., older, _] => below.min(older.next()),
        _ => Seq(1),
    }
}

#[cfg(test)]
mod tests;
