//! Adapters on one SQLite file: what a single node needs to outlive its process and the machine's power.
//!
//! ```text
//! callers --encode--> queue --> writer thread --commit, sync--> journal.sqlite-wal --checkpoint thread--> journal.sqlite
//!                                    |-> index in memory                                                    ^
//! loads, read-backs ----------> reader threads -------------------------------------------------------------'
//! ```
//!
//! Durable means: the commit's log pages were written and synced (`synchronous=FULL`) before the answer. Records lie
//! in the order they were committed, not by room, because appending to the end of one table is several times cheaper
//! than to thousands of places in it; where a room's records are is known in memory and rebuilt at start from one
//! small row per commit. The page `docs/journal.md` is the full description.
//!
//! Invariants: one process per directory (a locked file); one writer; no answer of success after a failed sync.

mod checkpoint;
mod index;
mod queue;
mod reader;
mod schema;
mod writer;

use crate::nodes::Nodes;
use crate::rules::Batch;
use crate::{
    Append, AppendError, Appended, Arbiter, ArbiterError, Corruption, DirectoryEntry, Grant, GrantError,
    GrantsOf, Incarnation, Limits, LiveStore, LoadError, LoadedRoom, NodeLease, NodeRow, NodeState, Pending,
    Position, RegisterError, Registration, RoomError, Snapshot, SnapshotError, Unavailable,
};
use bytes::Bytes;
use checkpoint::Checkpoint;
use everplay_types::{CustomerId, Epoch, RoomKey, Seq, Token};
use index::Index;
use parking_lot::Mutex;
use queue::{Bounds, Command, Failure, Queue, Upload};
use reader::Readers;
use rusqlite::OpenFlags;
use std::fmt;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;
use writer::Writer;

/// Version of the file's tables; `docs/journal.md` names the same number.
pub const SCHEMA_VERSION: u32 = schema::SCHEMA_VERSION;

/// The file in the data directory.
pub const FILE_NAME: &str = "journal.sqlite";

/// The file whose lock says that the directory is in use. Empty, never deleted.
pub const LOCK_NAME: &str = "lock";

/// Pages that each reader thread keeps, in KiB.
const READER_CACHE_KIB: i64 = 16 << 10;

/// Settings of a [`SqliteLiveStore`].
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The data directory; made if it is not there. Must be on a local disk: file locks and shared memory are used.
    pub dir: PathBuf,
    /// How large things may be.
    pub limits: Limits,
    /// How long a closed room can still be loaded. Default 24 h: a complaint about a game comes within a day.
    pub retention: Duration,
    /// Commands in one commit. Default 256.
    pub group_commands: usize,
    /// Bytes of records in one commit, beyond which no further append joins it. Default 512 KiB.
    pub group_bytes: usize,
    /// Commands that may wait. Default 65,536: eight appends in flight of each of 8,000 rooms.
    pub queue_commands: usize,
    /// Bytes that may wait. Default 64 MiB.
    pub queue_bytes: usize,
    /// Largest size of the file without its log; `None`: as large as the disk. Beyond, appends are answered `Full`.
    pub max_bytes: Option<u64>,
    /// Threads that load rooms. Default 2.
    pub readers: usize,
}

impl SqliteOptions {
    /// The defaults for this data directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        SqliteOptions {
            dir: dir.into(),
            limits: Limits::default(),
            retention: Duration::from_secs(24 * 60 * 60),
            group_commands: 256,
            group_bytes: 512 << 10,
            queue_commands: 65_536,
            queue_bytes: 64 << 20,
            max_bytes: None,
            readers: 2,
        }
    }
}

/// Why a data directory could not be opened. All of them end the start; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the data directory {} is in use by another process", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The file is another program's.
    #[error("{} is a database of another program", file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
    },
    /// The file was written by another, most likely newer, release.
    #[error("{} has format version {found:?}, this release reads {SCHEMA_VERSION}", file.display())]
    Version {
        /// The file.
        file: PathBuf,
        /// The version it names; empty when it names none.
        found: String,
    },
    /// The file cannot be used in the way that durability needs.
    #[error("{} cannot be used safely: {reason}", file.display())]
    Settings {
        /// The file.
        file: PathBuf,
        /// What is not as it must be.
        reason: String,
    },
    /// The directory or its lock could not be made or opened.
    #[error("cannot use {}", path.display())]
    Io {
        /// What could not be used.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// SQLite refused: the disk is full, or the file is damaged in a place that belongs to no room.
    #[error("cannot open {}", file.display())]
    Sqlite {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
}

/// What the store did since it was opened, and what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SqliteStats {
    /// Commits with records.
    pub commits: u64,
    /// Records committed.
    pub records: u64,
    /// Bytes of them and of what was written with them.
    pub bytes: u64,
    /// Groups that were refused because the disk was full.
    pub full: u64,
    /// Commands that wait for the writer.
    pub waiting: u64,
}

#[derive(Debug, Default)]
struct Stats {
    commits: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    full: AtomicU64,
}

/// What the threads share.
struct Shared {
    /// For messages.
    file: String,
    limits: Limits,
    retention: Duration,
    queue: Queue,
    readers: Readers,
    checkpoint: Checkpoint,
    /// Short critical sections only: the writer, loads and listings meet here.
    index: Mutex<Index>,
    /// Not in the file: whoever opens it is the only process there is.
    nodes: Mutex<Nodes>,
    stats: Stats,
}

/// The threads and the lock; the last handle to go ends them.
struct Service {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    readers: Vec<JoinHandle<()>>,
    checkpoints: Option<JoinHandle<()>>,
    /// Released when everything else has ended.
    _lock: File,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shared.queue.close();
        // A thread that panicked has poisoned the store already; here is nobody left to tell.
        let _ = self.writer.take().map(JoinHandle::join);
        self.shared.readers.close();
        for thread in self.readers.drain(..) {
            let _ = thread.join();
        }
        // Last, because the last connection to close brings the log into the file, which one that only reads cannot.
        self.shared.checkpoint.close();
        let _ = self.checkpoints.take().map(JoinHandle::join);
    }
}

/// A [`LiveStore`] in one SQLite file. Clones share it; dropping the last one (arbiters included) finishes what is
/// queued and lets go of the directory.
#[derive(Clone)]
pub struct SqliteLiveStore {
    service: Arc<Service>,
}

impl fmt::Debug for SqliteLiveStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLiveStore").field("file", &self.service.shared.file).finish_non_exhaustive()
    }
}

impl SqliteLiveStore {
    /// Opens the data directory and takes it for this process. Blocks while it reads the directory of rooms.
    ///
    /// Errors: [`OpenError`].
    pub fn open(options: SqliteOptions) -> Result<Self, OpenError> {
        let dir = options.dir.clone();
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        std::fs::create_dir_all(&dir).map_err(io(&dir))?;
        let lock_path = dir.join(LOCK_NAME);
        let lock = File::options().create(true).append(true).open(&lock_path).map_err(io(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { dir }),
            Err(TryLockError::Error(source)) => return Err(OpenError::Io { path: lock_path, source }),
        }
        let path = dir.join(FILE_NAME);
        let failed = |source| OpenError::Sqlite { file: path.clone(), source };
        let conn = schema::open(&path, &options)?;
        // The names of new files must survive a power loss as well as their contents.
        File::open(&dir).and_then(|dir| dir.sync_all()).map_err(io(&dir))?;
        let file = path.display().to_string();
        let mut contents = schema::read(&conn, &file).map_err(failed)?;
        let shared = Arc::new(Shared {
            file,
            limits: options.limits,
            retention: options.retention,
            queue: Queue::new(Bounds {
                queue_commands: options.queue_commands,
                queue_bytes: options.queue_bytes,
                group_commands: options.group_commands.max(1),
                group_bytes: options.group_bytes,
            }),
            readers: Readers::default(),
            checkpoint: Checkpoint::default(),
            index: Mutex::new(std::mem::take(&mut contents.index)),
            nodes: Mutex::default(),
            stats: Stats::default(),
        });
        let mut service =
            Service { shared, writer: None, readers: Vec::new(), checkpoints: None, _lock: lock };
        let thread = |name: &str| std::thread::Builder::new().name(format!("journal-{name}"));
        for n in 0..options.readers.max(1) {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let conn = schema::connect(&path, flags).map_err(failed)?;
            // Records of rooms that played at the same time share pages: loading many rooms meets them again.
            conn.pragma_update(None, "cache_size", -READER_CACHE_KIB).map_err(failed)?;
            let shared = Arc::clone(&service.shared);
            let run = move || shared.readers.run(&shared, &conn);
            service.readers.push(thread(&format!("read-{n}")).spawn(run).map_err(io(&dir))?);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let checkpoints = schema::connect(&path, flags).map_err(failed)?;
        let shared = Arc::clone(&service.shared);
        let run = move || shared.checkpoint.run(&checkpoints);
        service.checkpoints = Some(thread("checkpoint").spawn(run).map_err(io(&dir))?);
        let writer = Writer::new(Arc::clone(&service.shared), conn, contents);
        service.writer = Some(thread("write").spawn(move || writer.run()).map_err(io(&dir))?);
        Ok(SqliteLiveStore { service: Arc::new(service) })
    }

    /// The arbiter on the same file and in the same commits.
    pub fn arbiter(&self) -> SqliteArbiter {
        SqliteArbiter { store: self.clone() }
    }

    /// Counters for metrics.
    pub fn stats(&self) -> SqliteStats {
        let stats = &self.shared().stats;
        SqliteStats {
            commits: stats.commits.load(Ordering::Relaxed),
            records: stats.records.load(Ordering::Relaxed),
            bytes: stats.bytes.load(Ordering::Relaxed),
            full: stats.full.load(Ordering::Relaxed),
            waiting: self.shared().queue.len() as u64,
        }
    }

    /// Rooms in which damage was found when the store opened, with the place.
    pub fn damaged(&self) -> Vec<(RoomKey, Corruption)> {
        let index = self.shared().index.lock();
        index.rooms.values().filter_map(|room| Some((room.key.clone(), room.damage.clone()?))).collect()
    }

    fn shared(&self) -> &Shared {
        &self.service.shared
    }

    fn ask<T, E>(&self, command: impl FnOnce(queue::Answer<T, E>) -> Command) -> Pending<Result<T, E>>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
    {
        let (answer, waiting) = oneshot::channel();
        self.shared().queue.push(command(answer));
        Box::pin(async { waiting.await.unwrap_or_else(|_| Err(Failure::Unknown.into())) })
    }

    fn check_size(&self, bytes: usize) -> Result<(), RoomError> {
        let limit = self.shared().limits.listing;
        if bytes > limit { Err(RoomError::TooLarge { bytes, limit }) } else { Ok(()) }
    }
}

fn ready<T: Send + 'static>(value: T) -> Pending<T> {
    Box::pin(std::future::ready(value))
}

impl LiveStore for SqliteLiveStore {
    fn register(&self, registration: Registration) -> Pending<Result<Position, RegisterError>> {
        match self.check_size(registration.listing.len().max(registration.kind.len())) {
            Ok(()) => self.ask(|answer| Command::Register { registration, answer }),
            Err(error) => ready(Err(error.into())),
        }
    }

    fn relist(&self, room: RoomKey, token: Token, listing: Bytes) -> Pending<Result<(), RoomError>> {
        match self.check_size(listing.len()) {
            Ok(()) => self.ask(|answer| Command::Relist { room, token, listing, answer }),
            Err(error) => ready(Err(error)),
        }
    }

    fn append(&self, append: Append) -> Pending<Result<Appended, AppendError>> {
        // Encoded here, on the caller's thread: the writer only compares and copies.
        let batch = Batch::encode(&append, &self.shared().limits);
        self.ask(|answer| Command::Append { room: append.room, batch, answer })
    }

    fn seal(&self, room: RoomKey, token: Token) -> Pending<Result<Position, RoomError>> {
        self.ask(|answer| Command::Seal { room, token, answer })
    }

    fn load(&self, room: RoomKey) -> Pending<Result<LoadedRoom, LoadError>> {
        if let Some(why) = self.shared().queue.broken() {
            return ready(Err(why.into()));
        }
        let (answer, waiting) = oneshot::channel();
        self.shared().readers.load(room, answer);
        let gone = || LoadError::Unavailable(Unavailable::new("the store was closed"));
        Box::pin(async move { waiting.await.unwrap_or_else(|_| Err(gone())) })
    }

    fn publish_snapshot(&self, snapshot: Snapshot) -> Pending<Result<(), SnapshotError>> {
        let payload = snapshot.bytes.len();
        // Too large to be framed; its turn is waited for all the same, so that a fenced owner hears that first.
        let fits = payload <= self.shared().limits.snapshot;
        let (frame, identity) = if fits {
            let (frame, identity) = writer::frame(&snapshot);
            (Arc::new(frame), identity)
        } else {
            (Arc::default(), snapshot.chain)
        };
        let Snapshot { room, token, seq, chain, .. } = snapshot;
        self.ask(|answer| {
            let (first, parts, offset) = (0, 0, 0);
            Command::Snapshot(Upload {
                room,
                token,
                seq,
                chain,
                payload,
                frame,
                identity,
                first,
                parts,
                offset,
                answer,
            })
        })
    }

    fn truncate(&self, room: RoomKey, token: Token, below: Seq) -> Pending<Result<Seq, RoomError>> {
        self.ask(|answer| Command::Truncate { room, token, below, answer })
    }

    fn close(&self, room: RoomKey, token: Token) -> Pending<Result<(), RoomError>> {
        self.ask(|answer| Command::Close { room, token, answer })
    }

    fn list(&self, customer: Option<CustomerId>) -> Pending<Result<Vec<DirectoryEntry>, RoomError>> {
        if let Some(why) = self.shared().queue.broken() {
            return ready(Err(why.into()));
        }
        let mut entries: Vec<DirectoryEntry> = {
            let index = self.shared().index.lock();
            let wanted = |key: &RoomKey| customer.as_ref().is_none_or(|customer| *customer == key.customer);
            index.rooms.values().filter(|room| wanted(&room.key)).filter_map(index::Room::entry).collect()
        };
        entries.sort_by(|a, b| a.room.cmp(&b.room));
        ready(Ok(entries))
    }

    fn find(&self, room: RoomKey) -> Pending<Result<Option<DirectoryEntry>, RoomError>> {
        if let Some(why) = self.shared().queue.broken() {
            return ready(Err(why.into()));
        }
        let entry = self.shared().index.lock().room(&room).and_then(index::Room::entry);
        ready(Ok(entry))
    }

    fn quarantine(&self, room: RoomKey, reason: String) -> Pending<Result<(), RoomError>> {
        match self.check_size(reason.len()) {
            Ok(()) => self.ask(|answer| Command::Quarantine { room, reason: Some(reason), answer }),
            Err(error) => ready(Err(error)),
        }
    }

    fn lift_quarantine(&self, room: RoomKey) -> Pending<Result<(), RoomError>> {
        self.ask(|answer| Command::Quarantine { room, reason: None, answer })
    }
}

/// An [`Arbiter`] in the file of a [`SqliteLiveStore`]: grants join the commits of the journal.
#[derive(Debug, Clone)]
pub struct SqliteArbiter {
    store: SqliteLiveStore,
}

impl Arbiter for SqliteArbiter {
    fn grant(&self, room: RoomKey, seen: Epoch, owner: Incarnation) -> Pending<Result<Token, GrantError>> {
        self.store.ask(|answer| Command::Grant { room, seen, owner, answer })
    }

    fn current(&self, room: RoomKey) -> Pending<Result<Option<Grant>, ArbiterError>> {
        self.store.ask(|answer| Command::Current { room, answer })
    }

    fn retire(&self, room: RoomKey, token: Token) -> Pending<Result<(), ArbiterError>> {
        self.store.ask(|answer| Command::Retire { room, token, answer })
    }

    fn join(&self, node: NodeRow) -> Pending<Result<(), ArbiterError>> {
        ready(self.store.shared().nodes.lock().join(node))
    }

    fn renew(&self, node: Incarnation, state: NodeState) -> Pending<Result<(), ArbiterError>> {
        ready(self.store.shared().nodes.lock().renew(node, state))
    }

    fn leave(&self, node: Incarnation) -> Pending<Result<(), ArbiterError>> {
        ready(self.store.shared().nodes.lock().leave(node))
    }

    fn nodes(&self) -> Pending<Result<Vec<NodeLease>, ArbiterError>> {
        ready(self.store.shared().nodes.lock().list())
    }

    fn grants(&self, of: GrantsOf) -> Pending<Result<Vec<(RoomKey, Grant)>, ArbiterError>> {
        if let Some(why) = self.store.shared().queue.broken() {
            return ready(Err(why.into()));
        }
        let mut grants: Vec<(RoomKey, Grant)> = {
            let index = self.store.shared().index.lock();
            let wanted = index.grants.iter().filter(|(_, grant)| of.includes(grant.owner));
            wanted.map(|(room, grant)| (room.clone(), *grant)).collect()
        };
        grants.sort_by(|(a, _), (b, _)| a.cmp(b));
        ready(Ok(grants))
    }
}
