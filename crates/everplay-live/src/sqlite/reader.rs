//! Threads that read rooms, each with a connection of its own, so that a load waits for no commit.
//!
//! A load copies where the room's records are, then reads them. Between the two the writer may have dropped some:
//! a load that fails looks again whether the places have changed, and only if they have not is the room corrupt.

use super::Shared;
use super::index::{Meta, SnapRef};
use super::queue::{Answer, Command, Upload};
use crate::record::{self, Damage, Kind};
use crate::{
    Chain, Corruption, Entry, LoadError, LoadedRoom, LoadedSnapshot, Position, SnapshotError, Unavailable,
};
use bytes::Bytes;
use everplay_types::{Epoch, RoomKey, Seq};
use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, ErrorCode, OptionalExtension};
use std::collections::VecDeque;

/// Loads that may wait. Beyond, `Busy`: more rooms than any node runs.
const QUEUE: usize = 65_536;

/// How often a load looks again when the writer drops records under it.
const ATTEMPTS: usize = 4;

enum Job {
    Load { room: RoomKey, answer: Answer<LoadedRoom, LoadError> },
    Verify(Upload),
}

/// What the reader threads wait for.
#[derive(Default)]
pub(super) struct Readers {
    waiting: Mutex<(VecDeque<Job>, bool)>,
    wake: Condvar,
}

impl Readers {
    pub(super) fn load(&self, room: RoomKey, answer: Answer<LoadedRoom, LoadError>) {
        let mut waiting = self.waiting.lock();
        if waiting.1 || waiting.0.len() >= QUEUE {
            let closing = LoadError::Unavailable(Unavailable::new("the store is closing"));
            let error = if waiting.1 { closing } else { LoadError::Busy };
            drop(waiting);
            // A receiver that is gone asked no more.
            let _ = answer.send(Err(error));
            return;
        }
        waiting.0.push_back(Job::Load { room, answer });
        drop(waiting);
        self.wake.notify_one();
    }

    /// Reads back a snapshot that was written, then asks the writer to publish it.
    pub(super) fn verify(&self, upload: Upload) {
        self.waiting.lock().0.push_front(Job::Verify(upload));
        self.wake.notify_one();
    }

    pub(super) fn close(&self) {
        self.waiting.lock().1 = true;
        self.wake.notify_all();
    }

    /// A reader thread. Whatever is queued when the store closes is dropped: loads have nobody waiting any more, and
    /// an unpublished snapshot's parts are removed at the next start.
    pub(super) fn run(&self, shared: &Shared, conn: &Connection) {
        loop {
            let mut waiting = self.waiting.lock();
            let job = loop {
                if waiting.1 {
                    return;
                }
                match waiting.0.pop_front() {
                    Some(job) => break job,
                    None => self.wake.wait(&mut waiting),
                }
            };
            drop(waiting);
            match job {
                Job::Load { room, answer } => {
                    let _ = answer.send(load(shared, conn, &room));
                }
                Job::Verify(upload) => {
                    let read_back = verify(shared, conn, &upload);
                    shared.queue.push(Command::Publish { upload, read_back });
                }
            }
        }
    }
}

/// A row that could not be used: the room's fault or the engine's.
enum Fault {
    Corrupt(Corruption),
    Unavailable(Unavailable),
}

impl From<Fault> for LoadError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Corrupt(place) => LoadError::Corrupt(place),
            Fault::Unavailable(why) => LoadError::Unavailable(why),
        }
    }
}

struct Place<'a> {
    file: &'a str,
    table: &'static str,
    row: i64,
}

impl Place<'_> {
    fn damaged(&self, damage: Damage) -> Corruption {
        Corruption { file: self.file.to_owned(), table: self.table, row: self.row, damage }
    }

    /// A page that cannot be read condemns the rooms on it; anything else says nothing about the room.
    fn failed(&self, error: rusqlite::Error) -> Fault {
        let about_the_row = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::SystemIoFailure) => true,
            Some(_) => false,
            // Not SQLite's complaint but a column of the wrong type.
            None => true,
        };
        if about_the_row {
            Fault::Corrupt(self.damaged(Damage::Unreadable { reason: error.to_string() }))
        } else {
            Fault::Unavailable(Unavailable::new(format!("{}: {error}", self.file)))
        }
    }
}

struct View {
    meta: Meta,
    rows: Vec<i64>,
    damage: Option<Corruption>,
}

fn view(shared: &Shared, key: &RoomKey) -> Option<View> {
    let index = shared.index.lock();
    let room = index.room(key)?;
    let rows = room.rows.iter().copied().collect();
    Some(View { meta: room.meta.clone(), rows, damage: room.damage.clone() })
}

fn load(shared: &Shared, conn: &Connection, key: &RoomKey) -> Result<LoadedRoom, LoadError> {
    let mut attempt = 1;
    loop {
        let View { meta, rows, damage } = view(shared, key).ok_or(LoadError::NotFound)?;
        if let Some(place) = damage {
            return Err(place.into());
        }
        let fault = match read(&shared.file, conn, key, &meta, &rows) {
            Ok(room) => return Ok(room),
            Err(fault) => fault,
        };
        let moved = view(shared, key)
            .is_none_or(|now| now.meta.first != meta.first || now.meta.snapshots != meta.snapshots);
        if !moved || attempt == ATTEMPTS {
            return Err(fault.into());
        }
        attempt += 1;
    }
}

fn read(
    file: &str,
    conn: &Connection,
    key: &RoomKey,
    meta: &Meta,
    rows: &[i64],
) -> Result<LoadedRoom, Fault> {
    let begin = Place { file, table: "records", row: 0 };
    // One view of the file for all of the room's rows.
    let view = conn.unchecked_transaction().map_err(|error| begin.failed(error))?;
    let mut passed_over = Vec::new();
    let mut snapshot = None;
    for kept in meta.snapshots.iter().rev() {
        match read_snapshot(file, &view, kept) {
            Ok(found) => {
                snapshot = Some(found);
                break;
            }
            Err(Fault::Corrupt(place)) => passed_over.push(place),
            Err(fault) => return Err(fault),
        }
    }
    let (mut last, mut chain) = match &snapshot {
        Some(snapshot) => (snapshot.seq, snapshot.chain),
        None => (Seq::ZERO, Chain::start(key)),
    };
    if last.next() < meta.first {
        let missing = begin.damaged(Damage::Missing { seq: last.next() });
        return Err(Fault::Corrupt(passed_over.into_iter().next().unwrap_or(missing)));
    }
    let skip = usize::try_from(last.0 + 1 - meta.first.0).unwrap_or(usize::MAX);
    let mut select =
        view.prepare_cached("SELECT body FROM records WHERE id = ?1").map_err(|error| begin.failed(error))?;
    let mut epoch = Epoch::NONE;
    let mut tail = Vec::with_capacity(rows.len().saturating_sub(skip));
    let mut at = begin;
    for row in rows.iter().skip(skip) {
        at.row = *row;
        let seq = last.next();
        let body: Option<Vec<u8>> =
            select.query_row([row], |row| row.get(0)).optional().map_err(|error| at.failed(error))?;
        let body = body.ok_or_else(|| Fault::Corrupt(at.damaged(Damage::Missing { seq })))?;
        let (read, next) =
            record::chained(&body, seq, chain, epoch).map_err(|damage| Fault::Corrupt(at.damaged(damage)))?;
        (last, chain, epoch) = (seq, next, read.epoch);
        let payload = record::HEADER_LEN..body.len() - record::TRAILER_LEN;
        tail.push(Entry { seq, epoch, payload: Bytes::from(body).slice(payload) });
    }
    let end = meta.head.end;
    if last != end.last {
        return Err(Fault::Corrupt(at.damaged(Damage::Missing { seq: last.next() })));
    }
    if chain != end.chain {
        return Err(Fault::Corrupt(at.damaged(Damage::Chain { expected: end.chain, found: chain })));
    }
    let position = Position { last, chain };
    Ok(LoadedRoom { snapshot, tail, position, fence: meta.head.fence, passed_over })
}

/// The framed bytes of a snapshot, put together from its parts.
fn read_parts(file: &str, conn: &Connection, first: i64, parts: u32) -> Result<Vec<u8>, Fault> {
    let place = Place { file, table: "parts", row: first };
    let failed = |error| place.failed(error);
    let mut select = conn
        .prepare_cached("SELECT body FROM parts WHERE id >= ?1 AND id < ?2 ORDER BY id")
        .map_err(failed)?;
    let mut rows = select.query([first, first + i64::from(parts)]).map_err(failed)?;
    let mut frame = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let part: Vec<u8> = row.get(0).map_err(failed)?;
        frame.extend_from_slice(&part);
    }
    Ok(frame)
}

fn read_snapshot(file: &str, conn: &Connection, kept: &SnapRef) -> Result<LoadedSnapshot, Fault> {
    let frame = read_parts(file, conn, kept.first, kept.parts)?;
    let place = Place { file, table: "parts", row: kept.first };
    let read = record::decode(&frame).map_err(|damage| Fault::Corrupt(place.damaged(damage)))?;
    if read.kind != Kind::Snapshot {
        return Err(Fault::Corrupt(place.damaged(Damage::Kind { found: read.kind as u8 })));
    }
    if read.seq != kept.seq {
        let damage = Damage::Sequence { expected: kept.seq, found: read.seq };
        return Err(Fault::Corrupt(place.damaged(damage)));
    }
    let (seq, chain) = (read.seq, read.prev);
    let payload = record::HEADER_LEN..frame.len() - record::TRAILER_LEN;
    Ok(LoadedSnapshot { seq, chain, bytes: Bytes::from(frame).slice(payload) })
}

/// Is what lies in the file what was to be written?
fn verify(shared: &Shared, conn: &Connection, upload: &Upload) -> Result<(), SnapshotError> {
    let place = Place { file: &shared.file, table: "parts", row: upload.first };
    let frame = match read_parts(&shared.file, conn, upload.first, upload.parts) {
        Ok(frame) => frame,
        Err(Fault::Corrupt(place)) => return Err(SnapshotError::Corrupt(place)),
        Err(Fault::Unavailable(why)) => return Err(why.into()),
    };
    record::decode(&frame).map_err(|damage| SnapshotError::Corrupt(place.damaged(damage)))?;
    if frame != *upload.frame {
        let reason = "differs from what was written".to_owned();
        return Err(SnapshotError::Corrupt(place.damaged(Damage::Unreadable { reason })));
    }
    Ok(())
}
