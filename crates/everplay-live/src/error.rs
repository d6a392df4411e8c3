use crate::record::{Chain, Damage};
use everplay_types::{Seq, Token};
use std::fmt;
use std::sync::Arc;

/// What the caller does next after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same call will fail again.
    Never,
    /// Repeat the *identical* call, and compute nothing else for the same sequence numbers until it is answered.
    Identical,
    /// Nothing was written. Repeat after a pause; the caller may also change its mind.
    Later,
}

/// The store itself does not work: nothing will succeed until the process, or the server behind it, starts again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the store is unavailable: {reason}")]
pub struct Unavailable {
    /// For operators.
    pub reason: Arc<str>,
}

impl Unavailable {
    /// With the reason that operators will read.
    pub fn new(reason: impl AsRef<str>) -> Self {
        Unavailable { reason: Arc::from(reason.as_ref()) }
    }
}

/// Where stored bytes are not what was written, and in what way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corruption {
    /// The file, or what stands for it in a store that has none.
    pub file: String,
    /// The table or stream in it.
    pub table: &'static str,
    /// The row (SQLite: its rowid). 0 when no row is there to be named.
    pub row: i64,
    /// What is wrong; [`Damage::offset`] says at which byte of the row.
    pub damage: Damage,
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Corruption { file, table, row, damage } = self;
        write!(f, "{file}: {table} row {row}, byte {}: {damage}", damage.offset())
    }
}

impl std::error::Error for Corruption {}

/// Why records were not appended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// Another owner sealed the journal (or this one did not). Drop the room's image and stop.
    #[error("fenced by the owner of epoch {}", fence.epoch)]
    Fenced {
        /// The token that may write.
        fence: Token,
    },
    /// The records do not follow from what the journal holds. The room's image is not the journal's: drop it.
    #[error("the journal is at {have}, not where these records belong")]
    Gap {
        /// The last record the journal holds.
        have: Seq,
        /// The chain at that record.
        chain: Chain,
    },
    /// A record or the batch is larger than [`Limits`](crate::Limits) allow.
    #[error("{bytes} bytes, at most {limit} are allowed")]
    TooLarge {
        /// Size of the record or batch that is too large.
        bytes: usize,
        /// The limit it breaks.
        limit: usize,
    },
    /// No space. Nothing was written; repeat until there is.
    #[error("no space left for the journal")]
    Full,
    /// Too much is queued. Nothing was written; repeat after a pause.
    #[error("the journal's queue is full")]
    Busy,
    /// Written or not, nobody knows. Repeat the identical batch until another answer comes.
    #[error("the outcome is unknown")]
    Unknown,
    /// No such room.
    #[error("no such room")]
    NotFound,
    /// The room ended.
    #[error("the room is closed")]
    Closed,
    /// The room is out of service until an operator decides.
    #[error("the room is quarantined: {reason}")]
    Quarantined {
        /// As given to `quarantine`.
        reason: String,
    },
    /// What is stored about the room cannot be believed.
    #[error(transparent)]
    Corrupt(Corruption),
    /// The store does not work.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl AppendError {
    /// What the owner does next.
    pub fn retry(&self) -> Retry {
        match self {
            AppendError::Full | AppendError::Busy => Retry::Later,
            AppendError::Unknown => Retry::Identical,
            AppendError::Fenced { .. }
            | AppendError::Gap { .. }
            | AppendError::TooLarge { .. }
            | AppendError::NotFound
            | AppendError::Closed
            | AppendError::Quarantined { .. }
            | AppendError::Corrupt(_)
            | AppendError::Unavailable(_) => Retry::Never,
        }
    }
}

/// Why something other than an append was not done to a room. The meanings are those of [`AppendError`].
#[derive(Debug, Clone, thiserror::Error)]
pub enum RoomError {
    /// Another owner's token is the fence.
    #[error("fenced by the owner of epoch {}", fence.epoch)]
    Fenced {
        /// The token that may write.
        fence: Token,
    },
    /// The listing or reason is larger than allowed.
    #[error("{bytes} bytes, at most {limit} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit it breaks.
        limit: usize,
    },
    /// No space; nothing was written.
    #[error("no space left for the journal")]
    Full,
    /// Too much is queued; nothing was written.
    #[error("the journal's queue is full")]
    Busy,
    /// Repeat the identical call.
    #[error("the outcome is unknown")]
    Unknown,
    /// No such room.
    #[error("no such room")]
    NotFound,
    /// The room ended.
    #[error("the room is closed")]
    Closed,
    /// The room is out of service.
    #[error("the room is quarantined: {reason}")]
    Quarantined {
        /// As given to `quarantine`.
        reason: String,
    },
    /// The store does not work.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl RoomError {
    /// What the caller does next.
    pub fn retry(&self) -> Retry {
        match self {
            RoomError::Full | RoomError::Busy => Retry::Later,
            RoomError::Unknown => Retry::Identical,
            RoomError::Fenced { .. }
            | RoomError::TooLarge { .. }
            | RoomError::NotFound
            | RoomError::Closed
            | RoomError::Quarantined { .. }
            | RoomError::Unavailable(_) => Retry::Never,
        }
    }
}

/// Why a room was not registered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegisterError {
    /// There is, or was within the retention, a room of this name under another token. Names are never reused.
    #[error("the room exists, owned by epoch {}", fence.epoch)]
    Exists {
        /// Its fence.
        fence: Token,
    },
    /// Anything that can also go wrong with a room that exists.
    #[error(transparent)]
    Refused(#[from] RoomError),
}

/// Why a snapshot was not published. The room goes on with its longer tail.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SnapshotError {
    /// The snapshot is of a position that is not durable, or of another history.
    #[error("not an image of the journal, which is at {have}")]
    NotDurable {
        /// The last durable record.
        have: Seq,
    },
    /// A snapshot at this position or a later one is published already.
    #[error("a snapshot at {newest} is published already")]
    Stale {
        /// The newest published one.
        newest: Seq,
    },
    /// What was read back differs from what was written; nothing was published.
    #[error("read back differently: {0}")]
    Corrupt(Corruption),
    /// Anything that can also go wrong with other calls.
    #[error(transparent)]
    Refused(#[from] RoomError),
}

/// Why a room could not be loaded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// No such room: it never was, or its retention is over. Never said when reading failed.
    #[error("no such room")]
    NotFound,
    /// The room is there and cannot be believed: quarantine it.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// Too many loads are queued; repeat after a pause.
    #[error("too many loads are queued")]
    Busy,
    /// The store does not work.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<Unavailable> for RegisterError {
    fn from(source: Unavailable) -> Self {
        RegisterError::Refused(source.into())
    }
}

impl From<Unavailable> for SnapshotError {
    fn from(source: Unavailable) -> Self {
        SnapshotError::Refused(source.into())
    }
}
