//! The bytes of one record: framing, checksum and chain. Pure; reads any bytes without panicking or allocating.
//!
//! ```text
//! 0   u16   version            little-endian throughout
//! 2   u8    kind               1 entry, 2 snapshot
//! 3   u8    flags              low four bits may be ignored, high four must be understood
//! 4   u64   epoch              of the owner that wrote it
//! 12  u64   seq                entry: its own; snapshot: the last entry it contains
//! 20  [16]  previous chain     entry: chain before it; snapshot: chain at `seq`
//! 36  u32   payload length     n
//! 40  [n]   payload
//! 40+n u32  crc32c             of everything before it
//! ```
//!
//! `chain(n) = BLAKE3(chain(n-1) || record without checksum)`, cut to 128 bits. It starts from the room's name, so
//! that a record of one room cannot stand in another's journal.
//!
//! Invariant: [`decode`] of [`encode`] is the identity, and a change of any single byte is an error.
//! Called by the adapters for every row they write or read; the page `docs/journal.md` describes it for other readers.

use everplay_types::{Epoch, RoomKey, Seq};
use std::fmt;

/// Version of the framing that [`encode`] writes. `docs/journal.md` names the same number; a test compares them.
pub const FORMAT_VERSION: u16 = 1;

/// Bytes before the payload: 2 + 1 + 1 + 8 + 8 + 16 + 4.
pub const HEADER_LEN: usize = 40;

/// Bytes after the payload: the checksum.
pub const TRAILER_LEN: usize = 4;

/// Flag bits that a reader may ignore when it does not know them.
pub const OPTIONAL_FLAGS: u8 = 0x0f;

/// Bytes that a payload of `len` bytes takes as a record.
pub const fn framed_len(len: usize) -> usize {
    HEADER_LEN + len + TRAILER_LEN
}

/// Running hash over a room's records: equal chains mean equal journals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chain(pub [u8; 16]);

impl Chain {
    /// The chain of a journal without records: a hash of the room's name under a context of its own.
    pub fn start(room: &RoomKey) -> Chain {
        let mut hasher = blake3::Hasher::new_derive_key("everplay journal 2026-11 chain start");
        hasher.update(room.customer.as_bytes());
        hasher.update(b"/");
        hasher.update(room.room.as_bytes());
        Chain::cut(&hasher)
    }

    /// The chain after one more record. `unchecked` is the record without its checksum.
    pub fn extend(self, unchecked: &[u8]) -> Chain {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        hasher.update(unchecked);
        Chain::cut(&hasher)
    }

    fn cut(hasher: &blake3::Hasher) -> Chain {
        let mut chain = [0; 16];
        chain.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Chain(chain)
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chain({self})")
    }
}

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// One payload of the room's owner, at its own sequence number.
    Entry = 1,
    /// A whole image of the room, containing everything up to its sequence number.
    Snapshot = 2,
}

/// One record, its payload borrowed from the bytes it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// What the payload is.
    pub kind: Kind,
    /// Version 1 writes 0.
    pub flags: u8,
    /// Whose record it is.
    pub epoch: Epoch,
    /// Entry: its position. Snapshot: the last position it contains.
    pub seq: Seq,
    /// Entry: the chain before it. Snapshot: the chain at `seq`.
    pub prev: Chain,
    /// Opaque to the store.
    pub payload: &'a [u8],
}

/// What is wrong with stored bytes. Each is a reason to stop the room, none a reason to start it afresh.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The bytes end before the record does.
    #[error("truncated: {have} bytes of at least {need}")]
    Truncated {
        /// Bytes the record says it has.
        need: u64,
        /// Bytes there are.
        have: u64,
    },
    /// The bytes go on after the record's end.
    #[error("{extra} bytes after the record's end")]
    Trailing {
        /// Bytes too many.
        extra: u64,
    },
    /// A format that this release does not know, most likely a newer one.
    #[error("format version {found}, this release reads up to {FORMAT_VERSION}")]
    Version {
        /// The version the record names.
        found: u16,
    },
    /// A flag that must be understood and is not.
    #[error("mandatory flags {flags:#04x} are not known to this release")]
    Flags {
        /// All flags of the record.
        flags: u8,
    },
    /// Neither of the known kinds, or not the kind that belongs in this place.
    #[error("record kind {found} does not belong here")]
    Kind {
        /// The kind the record names.
        found: u8,
    },
    /// The bytes are not those that were written.
    #[error("checksum is {computed:08x}, the record says {stored:08x}")]
    Checksum {
        /// The checksum in the record.
        stored: u32,
        /// The checksum of the bytes found.
        computed: u32,
    },
    /// A record that does not follow from the one before it.
    #[error("chain is broken: follows {found}, expected {expected}")]
    Chain {
        /// The chain of the records before.
        expected: Chain,
        /// The chain the record says it follows.
        found: Chain,
    },
    /// A record at a position where another one belongs.
    #[error("sequence number is {found}, expected {expected}")]
    Sequence {
        /// The next position.
        expected: Seq,
        /// The position the record says it has.
        found: Seq,
    },
    /// A record of an older owner after one of a newer owner.
    #[error("epoch goes back from {before} to {found}")]
    Epoch {
        /// The highest epoch before this record.
        before: Epoch,
        /// The record's own.
        found: Epoch,
    },
    /// A record that must be there and is not.
    #[error("record {seq} is missing")]
    Missing {
        /// The position without a record.
        seq: Seq,
    },
    /// The storage engine could not read it.
    #[error("unreadable: {reason}")]
    Unreadable {
        /// The engine's words.
        reason: String,
    },
}

impl Damage {
    /// The byte of the record at which the damage shows; 0 when it is about the whole record.
    pub fn offset(&self) -> u64 {
        match self {
            Damage::Truncated { have, .. } => *have,
            Damage::Kind { .. } => 2,
            Damage::Flags { .. } => 3,
            Damage::Epoch { .. } => 4,
            Damage::Sequence { .. } => 12,
            Damage::Chain { .. } => 20,
            Damage::Version { .. }
            | Damage::Trailing { .. }
            | Damage::Checksum { .. }
            | Damage::Missing { .. }
            | Damage::Unreadable { .. } => 0,
        }
    }
}

/// Appends the record's bytes to `out`. Returns the chain after an entry; for a snapshot the value has no meaning.
///
/// Panics if the payload has 4 GiB or more; the size limits of every adapter are far below.
pub fn encode(record: &Record<'_>, out: &mut Vec<u8>) -> Chain {
    let start = out.len();
    let len = u32::try_from(record.payload.len()).expect("size limits keep payloads below 4 GiB");
    out.reserve(framed_len(record.payload.len()));
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.push(record.kind as u8);
    out.push(record.flags);
    out.extend_from_slice(&record.epoch.0.to_le_bytes());
    out.extend_from_slice(&record.seq.0.to_le_bytes());
    out.extend_from_slice(&record.prev.0);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(record.payload);
    let unchecked = &out[start..];
    let chain = record.prev.extend(unchecked);
    let crc = crc32c::crc32c(unchecked);
    out.extend_from_slice(&crc.to_le_bytes());
    chain
}

/// Reads exactly one record that fills `bytes`.
///
/// Errors: [`Damage`] of the record alone (`Truncated`, `Trailing`, `Version`, `Flags`, `Kind`, `Checksum`); whether
/// it follows from its predecessor is [`chained`]'s question. The version is looked at first, because the place of
/// everything else depends on it, and the checksum before anything else is believed.
pub fn decode(bytes: &[u8]) -> Result<Record<'_>, Damage> {
    let have = bytes.len() as u64;
    let truncated = |need: usize| Damage::Truncated { need: need as u64, have };
    let version = bytes.first_chunk::<2>().ok_or_else(|| truncated(framed_len(0)))?;
    match u16::from_le_bytes(*version) {
        FORMAT_VERSION => {}
        found => return Err(Damage::Version { found }),
    }
    if bytes.len() < framed_len(0) {
        return Err(truncated(framed_len(0)));
    }
    let need = u64::from(u32::from_le_bytes(field(bytes, 36))) + framed_len(0) as u64;
    if have < need {
        return Err(Damage::Truncated { need, have });
    }
    if have > need {
        return Err(Damage::Trailing { extra: have - need });
    }
    let (unchecked, trailer) = bytes.split_at(bytes.len() - TRAILER_LEN);
    let stored = u32::from_le_bytes(field(trailer, 0));
    let computed = crc32c::crc32c(unchecked);
    if stored != computed {
        return Err(Damage::Checksum { stored, computed });
    }
    let kind = match unchecked[2] {
        1 => Kind::Entry,
        2 => Kind::Snapshot,
        found => return Err(Damage::Kind { found }),
    };
    let flags = unchecked[3];
    if flags & !OPTIONAL_FLAGS != 0 {
        return Err(Damage::Flags { flags });
    }
    Ok(Record {
        kind,
        flags,
        epoch: Epoch(u64::from_le_bytes(field(unchecked, 4))),
        seq: Seq(u64::from_le_bytes(field(unchecked, 12))),
        prev: Chain(field(unchecked, 20)),
        payload: &unchecked[HEADER_LEN..],
    })
}

/// Reads an entry and checks that it follows: `seq` and `prev` are what the journal must hold here, `epoch` the
/// highest one before. Returns the record and the chain after it.
pub fn chained(bytes: &[u8], seq: Seq, prev: Chain, epoch: Epoch) -> Result<(Record<'_>, Chain), Damage> {
    let record = decode(bytes)?;
    if record.kind != Kind::Entry {
        return Err(Damage::Kind { found: record.kind as u8 });
    }
    if record.seq != seq {
        return Err(Damage::Sequence { expected: seq, found: record.seq });
    }
    if record.prev != prev {
        return Err(Damage::Chain { expected: prev, found: record.prev });
    }
    if record.epoch < epoch {
        return Err(Damage::Epoch { before: epoch, found: record.epoch });
    }
    Ok((record, prev.extend(&bytes[..bytes.len() - TRAILER_LEN])))
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("callers checked the length")
}

#[cfg(test)]
mod tests;
