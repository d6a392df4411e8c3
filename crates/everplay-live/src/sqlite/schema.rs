//! The file: its tables, how they are opened, and the bytes of its rows.
//!
//! Called by the store when it opens and by the writer for every row that is not a record. `docs/journal.md` describes
//! the same for other readers.

use super::index::{Group, Index, Meta, Room, RoomNo, SnapRef};
use super::{OpenError, SqliteOptions};
use crate::group::{Run, decode_runs};
use crate::record::{self, Damage};
use crate::rules::{Head, Stage};
use crate::{Chain, Corruption, Grant, Incarnation, Position};
use bytes::Bytes;
use everplay_types::{CustomerId, Epoch, Nonce, RoomId, RoomKey, Seq, Token};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, params};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

/// Version of the tables. Raised when an older release could not read them.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// "EvPl": tells the file apart from any other SQLite database.
const APPLICATION_ID: i32 = 0x4576_506c;

const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE rooms (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    customer TEXT NOT NULL,
    room TEXT NOT NULL,
    kind TEXT NOT NULL,
    listing BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    nonce BLOB NOT NULL,
    first INTEGER NOT NULL,
    stage INTEGER NOT NULL,
    reason TEXT NOT NULL,
    closed_ms INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    UNIQUE (customer, room)
);
CREATE TABLE records (id INTEGER PRIMARY KEY, room INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE groups (first INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE snapshots (
    first INTEGER PRIMARY KEY,
    parts INTEGER NOT NULL,
    room INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    identity BLOB NOT NULL
);
CREATE TABLE parts (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE grants (
    customer TEXT NOT NULL,
    room TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    nonce BLOB NOT NULL,
    owner BLOB NOT NULL,
    PRIMARY KEY (customer, room)
) WITHOUT ROWID;
";

/// SQLite's integers are signed; the bits are kept.
pub(super) fn int(value: u64) -> i64 {
    i64::from_ne_bytes(value.to_ne_bytes())
}

fn unsigned(value: i64) -> u64 {
    u64::from_ne_bytes(value.to_ne_bytes())
}

/// Opens the file for writing, makes its tables if it is new, and brings everything in its log into its pages.
pub(super) fn open(file: &Path, options: &SqliteOptions) -> Result<Connection, OpenError> {
    let failed = |source| OpenError::Sqlite { file: file.to_owned(), source };
    let mut conn = Connection::open(file).map_err(failed)?;
    let found: i32 = conn.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
    let tables: u32 =
        conn.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0)).map_err(failed)?;
    if found != APPLICATION_ID && tables > 0 {
        return Err(OpenError::Foreign { file: file.to_owned() });
    }
    set_up(&conn).map_err(failed)?;
    let mode: String =
        conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(failed)?;
    conn.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    let synchronous: i32 = conn.pragma_query_value(None, "synchronous", |row| row.get(0)).map_err(failed)?;
    if mode != "wal" || synchronous != 2 {
        let reason = format!("journal mode is {mode} and synchronous is {synchronous}, needed are wal and 2");
        return Err(OpenError::Settings { file: file.to_owned(), reason });
    }
    // The background thread checkpoints; a commit never does.
    conn.pragma_update(None, "wal_autocheckpoint", 0).map_err(failed)?;
    if tables == 0 {
        let make = |tx: Transaction<'_>| {
            tx.execute_batch(TABLES)?;
            tx.execute("INSERT INTO meta VALUES ('format', ?1)", params![SCHEMA_VERSION.to_string()])?;
            tx.pragma_update(None, "application_id", APPLICATION_ID)?;
            tx.commit()
        };
        conn.transaction().and_then(make).map_err(failed)?;
    }
    let format: Option<String> = conn
        .query_row("SELECT value FROM meta WHERE key = 'format'", (), |row| row.get(0))
        .optional()
        .map_err(failed)?;
    let format = format.unwrap_or_default();
    if format != SCHEMA_VERSION.to_string() {
        return Err(OpenError::Version { file: file.to_owned(), found: format });
    }
    // Whatever an earlier process wrote but could not sync is written and synced again here, so that nothing is
    // believed only because it happens to be in the page cache.
    let busy: i32 =
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0)).map_err(failed)?;
    if busy != 0 {
        let reason = "another process reads it and holds up the checkpoint".to_owned();
        return Err(OpenError::Settings { file: file.to_owned(), reason });
    }
    if let Some(bytes) = options.max_bytes {
        let page: i64 = conn.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(failed)?;
        let pages = i64::try_from(bytes).unwrap_or(i64::MAX) / page;
        conn.pragma_update(None, "max_page_count", pages.max(1)).map_err(failed)?;
    }
    Ok(conn)
}

/// Opens one more connection to a file that [`open`] prepared.
pub(super) fn connect(file: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(file, flags)?;
    set_up(&conn)?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(conn)
}

fn set_up(conn: &Connection) -> rusqlite::Result<()> {
    // Only a checkpoint and a writer that restarts the log ever wait for each other, and briefly.
    conn.busy_timeout(std::time::Duration::from_secs(10))?;
    conn.set_prepared_statement_cache_capacity(32);
    conn.pragma_update(None, "cell_size_check", true)?;
    conn.pragma_update(None, "trusted_schema", false)
}

/// The checksum of a room's row, over all of its columns with their lengths.
fn room_sum(no: RoomNo, key: &RoomKey, meta: &Meta, stage: i64, reason: &str, closed_ms: u64) -> u32 {
    let mut bytes = Vec::with_capacity(256);
    let mut field = |value: &[u8]| {
        bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        bytes.extend_from_slice(value);
    };
    field(&no.to_le_bytes());
    field(key.customer.as_bytes());
    field(key.room.as_bytes());
    field(meta.kind.as_bytes());
    field(&meta.listing);
    field(&meta.head.fence.epoch.0.to_le_bytes());
    field(&meta.head.fence.nonce.0);
    field(&meta.first.0.to_le_bytes());
    field(&stage.to_le_bytes());
    field(reason.as_bytes());
    field(&closed_ms.to_le_bytes());
    crc32c::crc32c(&bytes)
}

/// Inserts or replaces a room's row.
pub(super) fn write_room(conn: &Connection, no: RoomNo, key: &RoomKey, meta: &Meta) -> rusqlite::Result<()> {
    let (stage, reason) = match &meta.head.stage {
        Stage::Live => (0, ""),
        Stage::Quarantined(reason) => (1, reason.as_str()),
        Stage::Closed => (2, ""),
    };
    let sum = room_sum(no, key, meta, stage, reason, meta.closed_ms);
    conn.prepare_cached(
        "INSERT INTO rooms VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (id) DO UPDATE SET listing = ?5, epoch = ?6, nonce = ?7, first = ?8, stage = ?9, reason = ?10,
         closed_ms = ?11, sum = ?12",
    )?
    .execute(params![
        no,
        key.customer.as_str(),
        key.room.as_str(),
        &*meta.kind,
        &*meta.listing,
        int(meta.head.fence.epoch.0),
        meta.head.fence.nonce.0,
        int(meta.first.0),
        stage,
        reason,
        int(meta.closed_ms),
        sum
    ])?;
    Ok(())
}

/// What the file holds, brought into memory when the store opens.
pub(super) struct Contents {
    pub(super) index: Index,
    pub(super) groups: BTreeMap<i64, Group>,
    pub(super) next_row: i64,
    pub(super) next_room: RoomNo,
    pub(super) next_part: i64,
    /// Rows of `parts` that no published snapshot owns: (first, count).
    pub(super) orphans: Vec<(i64, u32)>,
}

/// Reads the directory, the groups' runs and the snapshots' places. Records themselves are read when a room is.
pub(super) fn read(conn: &Connection, file: &str) -> rusqlite::Result<Contents> {
    let mut index = Index::default();
    read_rooms(conn, file, &mut index)?;
    read_snapshots(conn, file, &mut index)?;
    let (groups, after_groups) = read_groups(conn, file, &mut index)?;
    check_ends(file, &mut index);
    read_grants(conn, &mut index)?;
    let highest = |sql: &str| conn.query_row(sql, (), |row| row.get::<_, i64>(0));
    let next_row = highest("SELECT coalesce(max(id), 0) FROM records")?.max(after_groups) + 1;
    let next_room = highest("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'rooms'")? + 1;
    let next_part = highest("SELECT coalesce(max(id), 0) FROM parts")? + 1;
    let owned: BTreeSet<(i64, u32)> = index
        .rooms
        .values()
        .flat_map(|room| room.meta.snapshots.iter().map(|kept| (kept.first, kept.parts)))
        .collect();
    let mut orphans = Vec::new();
    let mut free = 1;
    for (first, parts) in owned.iter().copied().chain([(next_part, 0)]) {
        if free < first {
            orphans.push((free, u32::try_from(first - free).unwrap_or(u32::MAX)));
        }
        free = first + i64::from(parts);
    }
    Ok(Contents { index, groups, next_row, next_room, next_part, orphans })
}

fn read_rooms(conn: &Connection, file: &str, index: &mut Index) -> rusqlite::Result<()> {
    let mut select = conn.prepare("SELECT * FROM rooms")?;
    let mut rows = select.query(())?;
    while let Some(row) = rows.next()? {
        let no: RoomNo = row.get(0)?;
        let stored: i64 = row.get(11).unwrap_or(-1);
        // A damaged column reads as something; the checksum then says so.
        let text = |column: usize| row.get::<_, String>(column).unwrap_or_default();
        let blob = |column: usize| row.get::<_, Vec<u8>>(column).unwrap_or_default();
        let number = |column: usize| row.get::<_, i64>(column).map(unsigned).unwrap_or_default();
        let names = (CustomerId::new(text(1)).ok(), RoomId::new(text(2)).ok());
        let key = match names {
            (Some(customer), Some(room)) => RoomKey { customer, room },
            // Without a name nobody can ask for it; its rows are kept for whoever repairs the file.
            _ => nameless(no),
        };
        let fence = Token { epoch: Epoch(number(5)), nonce: Nonce(blob(6).try_into().unwrap_or_default()) };
        let (stage, reason, closed_ms) = (row.get::<_, i64>(8).unwrap_or(-1), text(9), number(10));
        let mut meta = Meta {
            head: Head::new(fence, Chain::start(&key)),
            kind: Arc::from(text(3)),
            listing: Bytes::from(blob(4)),
            first: Seq(number(7)),
            snapshots: Arc::from([]),
            closed_ms,
        };
        let computed = room_sum(no, &key, &meta, stage, &reason, closed_ms);
        meta.head.stage = match stage {
            0 => Stage::Live,
            2 => Stage::Closed,
            _ => Stage::Quarantined(reason),
        };
        if stored != i64::from(computed) {
            let stored = u32::try_from(stored).unwrap_or_default();
            let damage = Damage::Checksum { stored, computed };
            let place = Corruption { file: file.to_owned(), table: "rooms", row: no, damage };
            meta.head.stage = Stage::Quarantined(place.to_string());
        }
        index.insert(no, Room { key, meta, rows: VecDeque::new(), damage: None });
    }
    Ok(())
}

fn nameless(no: RoomNo) -> RoomKey {
    let room = RoomId::new(format!("damaged-row-{no}")).expect("letters, digits and dashes");
    RoomKey { customer: CustomerId::default(), room }
}

fn read_snapshots(conn: &Connection, file: &str, index: &mut Index) -> rusqlite::Result<()> {
    let mut select =
        conn.prepare("SELECT first, parts, room, seq, identity FROM snapshots ORDER BY room, seq")?;
    let mut rows = select.query(())?;
    while let Some(row) = rows.next()? {
        let (first, no): (i64, RoomNo) = (row.get(0)?, row.get(2)?);
        let identity = row.get::<_, Vec<u8>>(4).ok().and_then(|identity| identity.try_into().ok());
        let Some(room) = index.rooms.get_mut(&no) else { continue };
        let (Ok(parts), Some(identity)) = (row.get(1), identity) else {
            let damage = Damage::Unreadable { reason: "columns of the wrong type".to_owned() };
            room.damaged(Corruption { file: file.to_owned(), table: "snapshots", row: first, damage });
            continue;
        };
        let seq = Seq(unsigned(row.get(3)?));
        let kept = SnapRef { first, parts, seq, identity: Chain(identity) };
        room.meta.snapshots = room.meta.snapshots.iter().copied().chain([kept]).collect();
    }
    Ok(())
}

/// Returns the groups and the last row that any of them names.
fn read_groups(
    conn: &Connection,
    file: &str,
    index: &mut Index,
) -> rusqlite::Result<(BTreeMap<i64, Group>, i64)> {
    let mut groups = BTreeMap::new();
    let mut last = 0;
    let mut select = conn.prepare("SELECT first, body FROM groups ORDER BY first")?;
    let mut after =
        conn.prepare("SELECT coalesce(min(first), 9223372036854775807) FROM groups WHERE first > ?1")?;
    let mut rows = select.query(())?;
    while let Some(row) = rows.next()? {
        let first: i64 = row.get(0)?;
        let runs = row.get::<_, Vec<u8>>(1).map_err(|error| Damage::Unreadable { reason: error.to_string() });
        let runs = match runs.and_then(|body| decode_runs(&body)) {
            Ok(runs) => runs
                .into_iter()
                .scan(first, |at, run| {
                    let first_row = *at;
                    *at += i64::from(run.count);
                    Some((first_row, run))
                })
                .collect(),
            // The records say themselves what they are; only their order in time rested on the group.
            Err(_) => reread(conn, file, first, after.query_row([first], |row| row.get(0))?, index)?,
        };
        let mut group = Group::default();
        for (first_row, run) in runs {
            group.count += run.count;
            group.live += index.found(file, first_row, &run);
            last = last.max(first_row + i64::from(run.count) - 1);
        }
        groups.insert(first, group);
    }
    Ok((groups, last))
}

/// Makes the runs of a damaged group from its records.
fn reread(
    conn: &Connection,
    file: &str,
    first: i64,
    end: i64,
    index: &mut Index,
) -> rusqlite::Result<Vec<(i64, Run)>> {
    let mut runs = Vec::new();
    let mut select =
        conn.prepare("SELECT id, room, body FROM records WHERE id >= ?1 AND id < ?2 ORDER BY id")?;
    let mut rows = select.query([first, end])?;
    while let Some(row) = rows.next()? {
        let (id, no): (i64, RoomNo) = (row.get(0)?, row.get(1)?);
        let body: Vec<u8> = row.get(2).unwrap_or_default();
        match record::decode(&body) {
            Ok(read) => {
                let chain = read.prev.extend(&body[..body.len() - record::TRAILER_LEN]);
                runs.push((id, Run { room: no, first: read.seq, count: 1, chain }));
            }
            Err(damage) => {
                if let Some(room) = index.rooms.get_mut(&no) {
                    room.damaged(Corruption { file: file.to_owned(), table: "records", row: id, damage });
                }
            }
        }
    }
    Ok(runs)
}

/// A snapshot beyond the last record, or a first record that is not the one that must be kept, is a hole.
fn check_ends(file: &str, index: &mut Index) {
    for room in index.rooms.values_mut() {
        let end = room.meta.head.end.last;
        let reaches = room.meta.snapshots.last().map_or(Seq::ZERO, |newest| newest.seq);
        let kept = room.meta.first > Seq(1);
        if reaches > end || (kept && room.rows.is_empty()) {
            let damage = Damage::Missing { seq: room.meta.first.max(end.next()) };
            room.damaged(Corruption { file: file.to_owned(), table: "records", row: 0, damage });
        }
    }
}

fn read_grants(conn: &Connection, index: &mut Index) -> rusqlite::Result<()> {
    let mut select = conn.prepare("SELECT customer, room, epoch, nonce, owner FROM grants")?;
    let mut rows = select.query(())?;
    while let Some(row) = rows.next()? {
        let names = (CustomerId::new(row.get::<_, String>(0)?), RoomId::new(row.get::<_, String>(1)?));
        let (Ok(customer), Ok(room)) = names else { continue };
        let token = Token { epoch: Epoch(unsigned(row.get(2)?)), nonce: Nonce(row.get(3)?) };
        index.grants.insert(RoomKey { customer, room }, Grant { token, owner: Incarnation(row.get(4)?) });
    }
    Ok(())
}

impl Index {
    /// Takes one run found in the file. Returns how many of its rows are still needed.
    fn found(&mut self, file: &str, first_row: i64, run: &Run) -> u32 {
        let Some(room) = self.rooms.get_mut(&run.room) else { return 0 };
        let mut live = 0;
        for n in 0..run.count {
            let seq = Seq(run.first.0.saturating_add(u64::from(n)));
            if seq < room.meta.first {
                continue;
            }
            let expected = Seq(room.meta.first.0.saturating_add(room.rows.len() as u64));
            let row = first_row + i64::from(n);
            live += 1;
            if seq != expected {
                let damage = Damage::Missing { seq: expected };
                room.damaged(Corruption { file: file.to_owned(), table: "records", row, damage });
                continue;
            }
            room.rows.push_back(row);
        }
        if live > 0 && room.damage.is_none() {
            let last = Seq(run.first.0.saturating_add(u64::from(run.count) - 1));
            room.meta.head.end = Position { last, chain: run.chain };
        }
        live
    }
}
