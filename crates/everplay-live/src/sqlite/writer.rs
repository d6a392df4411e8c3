//! The one thread that writes.
//!
//! ```text
//! take a group -> decide (no file access) -> one transaction -> commit + sync -> index -> answers
//!                    refused ones too           |-> full: roll back, answer Full
//!                                               |-> anything else: poison the store
//! ```
//!
//! There is no timer: while one commit runs the next group queues up, so a busy store makes large groups and an idle
//! one commits at once. Refusals wait for the commit as well, because they may rest on an earlier command of the
//! same group. Snapshots are written in pieces between appends, so that a large one delays nobody for long.
//!
//! Invariants: the index changes only after a commit; an answer of success is sent only after it; after an error
//! other than "full" nothing is committed any more.
//!
//! Rows are never deleted one by one behind a moving window, which would dirty every page many times: a truncation
//! only raises the room's first position, and a group's rows go together once nobody needs any of them. Rooms that
//! stand still hold groups back; when dead rows outnumber live ones, old groups are thinned.

use super::Shared;
use super::index::{Group, Meta, Room, RoomNo, SnapRef};
use super::queue::{Command, Failure, Reply, Sent, Upload};
use super::schema;
use crate::group::{Run, decode_runs, encode_runs};
use crate::record::{self, Kind, Record};
use crate::rules::{self, Batch, Head, Refusal, Stage, Verdict};
use crate::{
    AppendError, ArbiterError, Chain, Corruption, Grant, GrantError, Position, RegisterError, RoomError,
    SnapshotError, Unavailable,
};
use everplay_types::{Nonce, RoomKey, Seq, Token};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bytes of snapshots written in one commit: a few milliseconds of a slow disk.
const SNAPSHOT_STEP: usize = 256 << 10;

/// Rows deleted in one commit. At most a few hundred pages.
const DELETE_STEP: u32 = 2048;

/// Dead rows that are left alone however few live ones there are.
const DEAD_ROWS_ALLOWED: u64 = 65_536;

/// Groups looked at in one search for something to thin.
const THIN_SEARCH: usize = 256;

/// How long deletions and snapshot pieces pause after the disk was full.
const PAUSE_WHEN_FULL: Duration = Duration::from_millis(250);

/// Bytes written between two wishes for a checkpoint.
const CHECKPOINT_EVERY: usize = 4 << 20;

pub(super) struct Writer {
    shared: Arc<Shared>,
    conn: Connection,
    groups: BTreeMap<i64, Group>,
    next_row: i64,
    next_room: RoomNo,
    next_part: i64,
    uploads: VecDeque<Upload>,
    /// Bytes of `uploads`.
    upload_bytes: usize,
    /// Groups none of whose rows is needed.
    dead: VecDeque<i64>,
    dead_rows: u64,
    live_rows: u64,
    /// Where the next search for a group to thin begins.
    thin_from: i64,
    /// Rows of `parts` that nothing refers to: (first, count).
    orphans: VecDeque<(i64, u32)>,
    /// Closed rooms by the time they closed.
    closed: BTreeSet<(u64, RoomNo)>,
    /// The disk was full: until then no deletions and pieces of snapshots, and each command in a commit of its own.
    pause: Option<Instant>,
    since_checkpoint: usize,
}

/// What a group will change, decided before anything is written.
#[derive(Default)]
struct Plan {
    drafts: HashMap<RoomNo, Draft>,
    made: HashMap<RoomKey, RoomNo>,
    batches: Vec<(RoomNo, Batch)>,
    published: Vec<(RoomNo, SnapRef)>,
    unpublished: Vec<SnapRef>,
    orphans: Vec<(i64, u32)>,
    grants: HashMap<RoomKey, Option<Grant>>,
    purged: Vec<RoomNo>,
    uploads: Vec<Upload>,
    replies: Vec<Reply>,
}

/// A room as this group will leave it.
struct Draft {
    key: RoomKey,
    meta: Meta,
    /// Its row must be written.
    dirty: bool,
    /// Ends of the batches this group appends.
    ends: Vec<Position>,
}

/// What the transaction did beyond the plan, to be remembered once it is committed.
#[derive(Default)]
struct Written {
    runs: Vec<Run>,
    rows: usize,
    bytes: usize,
    /// (offset, first row, rows) of the uploads at the front of the queue.
    progress: Vec<(usize, i64, u32)>,
    next_part: i64,
    dead_groups: usize,
    thinned: Option<(i64, u32)>,
    orphans: usize,
}

enum Trouble {
    Full,
    Broken(String),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        if is_full(&error) { Trouble::Full } else { Trouble::Broken(error.to_string()) }
    }
}

/// Did the disk (or the configured bound) run out? The shared-memory file cannot grow on a full disk either.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    const IOERR_SHMSIZE: i32 = rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
    error.sqlite_error().is_some_and(|error| {
        error.code == rusqlite::ErrorCode::DiskFull || error.extended_code == IOERR_SHMSIZE
    })
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, conn: Connection, contents: schema::Contents) -> Self {
        let schema::Contents { groups, next_row, next_room, next_part, orphans, .. } = contents;
        let closed = {
            let index = shared.index.lock();
            let closed = index.rooms.iter().filter(|(_, room)| room.meta.head.stage == Stage::Closed);
            closed.map(|(no, room)| (room.meta.closed_ms, *no)).collect()
        };
        let dead = groups.iter().filter(|(_, group)| group.live == 0).map(|(first, _)| *first).collect();
        let live_rows = groups.values().map(|group| u64::from(group.live)).sum();
        let dead_rows = groups.values().map(|group| u64::from(group.count - group.live)).sum();
        Writer {
            shared,
            conn,
            groups,
            next_row,
            next_room,
            next_part,
            uploads: VecDeque::new(),
            upload_bytes: 0,
            dead,
            dead_rows,
            live_rows,
            thin_from: 0,
            orphans: orphans.into(),
            closed,
            pause: None,
            since_checkpoint: 0,
        }
    }

    /// Runs until the store closes or breaks.
    pub(super) fn run(mut self) {
        // Should this thread panic, nobody may wait for it.
        let guard = PoisonOnPanic(Arc::clone(&self.shared));
        while let Some(commands) = self.shared.queue.take(self.wait_until(), self.pause.is_some()) {
            let mut outcome = Ok(());
            if self.pause.is_some_and(|until| until <= Instant::now()) {
                // What gives space back must not fail together with what needs it.
                self.pause = None;
                outcome = self.group(Vec::new());
            }
            let outcome = match outcome {
                Ok(()) => self.group(commands),
                Err(reason) => {
                    for command in commands {
                        command.fail(Failure::Unavailable(Unavailable::new(&reason)));
                    }
                    Err(reason)
                }
            };
            if let Err(reason) = outcome {
                let why =
                    Unavailable::new(format!("{}: {reason}; nothing is written any more", self.shared.file));
                self.shared.queue.poison(&why);
                for upload in self.uploads.drain(..) {
                    Command::Snapshot(upload).fail(Failure::Unavailable(why.clone()));
                }
                break;
            }
        }
        drop(guard);
    }

    /// When there is something to do without a command.
    fn wait_until(&self) -> Option<Instant> {
        let now = Instant::now();
        let pending =
            !self.uploads.is_empty() || !self.dead.is_empty() || !self.orphans.is_empty() || self.crowded();
        let work = pending.then(|| self.pause.unwrap_or(now));
        let due = self.closed.first().map(|(closed, _)| {
            let retention = u64::try_from(self.shared.retention.as_millis()).unwrap_or(u64::MAX);
            let due = Duration::from_millis(closed.saturating_add(retention).saturating_sub(now_ms()));
            // A clock that jumps is looked at again soon enough.
            now + due.min(Duration::from_secs(60))
        });
        work.into_iter().chain(due).min()
    }

    fn crowded(&self) -> bool {
        self.dead_rows > self.live_rows.max(DEAD_ROWS_ALLOWED) && !self.groups.is_empty()
    }

    /// One commit. Errors: why the store is broken; then every command of the group is answered already.
    fn group(&mut self, commands: Vec<Command>) -> Result<(), String> {
        let mut plan = Plan::default();
        for command in commands {
            self.decide(&mut plan, command);
        }
        self.purge(&mut plan);
        let failure = match self.write(&plan) {
            Ok(written) => {
                self.apply(&mut plan, written);
                None
            }
            Err(Trouble::Full) => {
                if self.pause.is_none() {
                    // Snapshots are what a room can do without; half of one only takes the space of appends.
                    for upload in self.uploads.drain(..) {
                        self.orphans.push_back((upload.first, upload.parts));
                        Command::Snapshot(upload).fail(Failure::Full);
                    }
                    self.upload_bytes = 0;
                }
                // Not prolonged by those who keep asking.
                self.pause.get_or_insert_with(|| Instant::now() + PAUSE_WHEN_FULL);
                self.shared.stats.full.fetch_add(1, Ordering::Relaxed);
                // What the log holds may fit into the pages, and then the log starts over.
                self.shared.checkpoint.wish();
                // Parts of snapshots that were not published are found again only if they are remembered.
                self.orphans.extend(plan.published.iter().map(|(_, kept)| (kept.first, kept.parts)));
                self.orphans.extend(plan.orphans.drain(..));
                Some(Failure::Full)
            }
            Err(Trouble::Broken(reason)) => {
                for reply in plan.replies {
                    reply.finish(Some(&Failure::Unknown));
                }
                for upload in plan.uploads {
                    Command::Snapshot(upload).fail(Failure::Unknown);
                }
                return Err(reason);
            }
        };
        for reply in plan.replies {
            reply.finish(failure.as_ref());
        }
        for upload in plan.uploads {
            match &failure {
                None => {
                    self.upload_bytes += upload.frame.len();
                    self.uploads.push_back(upload);
                }
                Some(failure) => Command::Snapshot(upload).fail(failure.clone()),
            }
        }
        match self.shared.checkpoint.failed() {
            Some(reason) => Err(reason),
            None => Ok(()),
        }
    }

    // ---- deciding -------------------------------------------------------------------------------------------

    /// The room as the commands before left it.
    fn draft<'a>(&self, plan: &'a mut Plan, key: &RoomKey) -> Option<(RoomNo, &'a mut Draft)> {
        let no = match plan.made.get(key) {
            Some(no) => *no,
            None => {
                let index = self.shared.index.lock();
                let no = index.number(key)?;
                plan.drafts.entry(no).or_insert_with(|| {
                    let meta = index.rooms.get(&no).expect("a number in the index has its room").meta.clone();
                    Draft { key: key.clone(), meta, dirty: false, ends: Vec::new() }
                });
                no
            }
        };
        Some((no, plan.drafts.get_mut(&no)?))
    }

    fn decide(&mut self, plan: &mut Plan, command: Command) {
        let reply = match command {
            Command::Append { room, batch, answer } => {
                let outcome = self.append(plan, &room, batch);
                Reply::Append(Sent { to: answer, outcome })
            }
            Command::Register { registration, answer } => {
                let crate::Registration { room, token, kind, listing } = registration;
                let outcome = self.register(plan, &room, token, &kind, listing);
                Reply::Register(Sent { to: answer, outcome })
            }
            Command::Relist { room, token, listing, answer } => {
                let outcome = self.change(plan, &room, |_, draft| {
                    draft.meta.head.admit(token)?;
                    draft.meta.listing = listing;
                    draft.dirty = true;
                    Ok(())
                });
                Reply::Done(Sent { to: answer, outcome })
            }
            Command::Seal { room, token, answer } => {
                let outcome = self.change(plan, &room, |_, draft| {
                    draft.meta.head.seal(token)?;
                    draft.dirty |= draft.meta.head.fence != token;
                    draft.meta.head.fence = token;
                    Ok(draft.meta.head.end)
                });
                Reply::Position(Sent { to: answer, outcome })
            }
            Command::Snapshot(upload) => match self.snapshot(plan, &upload) {
                Ok(true) => {
                    let planned: usize = plan.uploads.iter().map(|upload| upload.frame.len()).sum();
                    if self.upload_bytes + planned < self.shared.queue.upload_bytes() {
                        return plan.uploads.push(upload);
                    }
                    Reply::Snapshot(Sent { to: upload.answer, outcome: Err(RoomError::Busy.into()) })
                }
                Ok(false) => Reply::Snapshot(Sent { to: upload.answer, outcome: Ok(()) }),
                Err(error) => Reply::Snapshot(Sent { to: upload.answer, outcome: Err(error) }),
            },
            Command::Publish { upload, read_back } => {
                let outcome = read_back.and_then(|()| self.publish(plan, &upload));
                if outcome.is_err() {
                    plan.orphans.push((upload.first, upload.parts));
                }
                Reply::Snapshot(Sent { to: upload.answer, outcome })
            }
            Command::Truncate { room, token, below, answer } => {
                let outcome = self.change(plan, &room, |_, draft| {
                    draft.meta.head.admit(token)?;
                    let published: Vec<Seq> = draft.meta.snapshots.iter().map(|kept| kept.seq).collect();
                    let keep = rules::truncation(below, &published);
                    draft.dirty |= keep > draft.meta.first;
                    draft.meta.first = keep.max(draft.meta.first);
                    Ok(draft.meta.first)
                });
                Reply::Kept(Sent { to: answer, outcome })
            }
            Command::Close { room, token, answer } => {
                let outcome = self.change(plan, &room, |_, draft| match draft.meta.head.admit(token) {
                    Err(Refusal::Closed) => Ok(()),
                    Err(refusal) => Err(refusal.into()),
                    Ok(()) => {
                        draft.meta.head.stage = Stage::Closed;
                        draft.meta.closed_ms = now_ms().max(1);
                        draft.dirty = true;
                        Ok(())
                    }
                });
                Reply::Done(Sent { to: answer, outcome })
            }
            Command::Quarantine { room, reason, answer } => {
                let outcome = self.change(plan, &room, |_, draft| {
                    let stage = match (&draft.meta.head.stage, reason) {
                        (Stage::Closed, _) => return Err(RoomError::Closed),
                        (Stage::Quarantined(_), Some(_)) | (Stage::Live, None) => return Ok(()),
                        (Stage::Live, Some(reason)) => Stage::Quarantined(reason),
                        (Stage::Quarantined(_), None) => Stage::Live,
                    };
                    draft.meta.head.stage = stage;
                    draft.dirty = true;
                    Ok(())
                });
                Reply::Done(Sent { to: answer, outcome })
            }
            Command::Grant { room, seen, owner, answer } => {
                let current = self.grant(plan, &room);
                let outcome =
                    if current.map_or(everplay_types::Epoch::NONE, |grant| grant.token.epoch) == seen {
                        self.mint(seen.next()).inspect(|token| {
                            plan.grants.insert(room, Some(Grant { token: *token, owner }));
                        })
                    } else {
                        Err(GrantError::taken(current))
                    };
                Reply::Grant(Sent { to: answer, outcome })
            }
            Command::Current { room, answer } => {
                let outcome = Ok(self.grant(plan, &room));
                Reply::Current(Sent { to: answer, outcome })
            }
            Command::Retire { room, token, answer } => {
                let outcome = match self.grant(plan, &room) {
                    Some(current) if current.token != token => Err(ArbiterError::Taken { current }),
                    None => Ok(()),
                    Some(_) => {
                        plan.grants.insert(room, None);
                        Ok(())
                    }
                };
                Reply::Retire(Sent { to: answer, outcome })
            }
        };
        plan.replies.push(reply);
    }

    fn change<T>(
        &self,
        plan: &mut Plan,
        key: &RoomKey,
        act: impl FnOnce(RoomNo, &mut Draft) -> Result<T, RoomError>,
    ) -> Result<T, RoomError> {
        let (no, draft) = self.draft(plan, key).ok_or(RoomError::NotFound)?;
        act(no, draft)
    }

    fn register(
        &mut self,
        plan: &mut Plan,
        key: &RoomKey,
        token: Token,
        kind: &str,
        listing: bytes::Bytes,
    ) -> Result<Position, RegisterError> {
        if let Some((_, draft)) = self.draft(plan, key) {
            let head = &draft.meta.head;
            if head.fence != token {
                return Err(RegisterError::Exists { fence: head.fence });
            }
            head.admit(token).map_err(RoomError::from)?;
            return Ok(head.end);
        }
        let head = Head::new(token, Chain::start(key));
        let end = head.end;
        let snapshots = Arc::from([]);
        let meta = Meta { head, kind: Arc::from(kind), listing, first: Seq(1), snapshots, closed_ms: 0 };
        // A number that a failed commit did not use is skipped, never given twice.
        let no = self.next_room;
        self.next_room += 1;
        plan.made.insert(key.clone(), no);
        plan.drafts.insert(no, Draft { key: key.clone(), meta, dirty: true, ends: Vec::new() });
        Ok(end)
    }

    fn append(&self, plan: &mut Plan, key: &RoomKey, batch: Batch) -> Result<Position, AppendError> {
        let (no, draft) = self.draft(plan, key).ok_or(AppendError::NotFound)?;
        let end = match draft.meta.head.append(&batch)? {
            Verdict::Nothing => return Ok(draft.meta.head.end),
            Verdict::RepeatIf(end) => {
                let same = draft.ends.contains(&end) || self.chain_at(key, end.last)? == Some(end.chain);
                return if same { Ok(end) } else { Err(draft.meta.head.gap()) };
            }
            Verdict::Write => batch.end,
        };
        if let Some(place) = self.shared.index.lock().room(key).and_then(|room| room.damage.clone()) {
            return Err(AppendError::Corrupt(place));
        }
        draft.meta.head.end = end;
        draft.ends.push(end);
        plan.batches.push((no, batch));
        Ok(end)
    }

    /// The chain at a committed position; `None` when it is not kept.
    fn chain_at(&self, key: &RoomKey, seq: Seq) -> Result<Option<Chain>, AppendError> {
        let row = {
            let index = self.shared.index.lock();
            let Some(room) = index.room(key) else { return Ok(None) };
            if room.meta.head.end.last == seq {
                return Ok(Some(room.meta.head.end.chain));
            }
            room.row(seq)
        };
        if seq == Seq::ZERO {
            return Ok(Some(Chain::start(key)));
        }
        let Some(row) = row else { return Ok(None) };
        let place = |damage| {
            let file = self.shared.file.clone();
            AppendError::Corrupt(Corruption { file, table: "records", row, damage })
        };
        let body: Option<Vec<u8>> = self
            .conn
            .prepare_cached("SELECT body FROM records WHERE id = ?1")
            .and_then(|mut select| select.query_row([row], |row| row.get(0)).optional())
            .map_err(|error| place(record::Damage::Unreadable { reason: error.to_string() }))?;
        let body = body.ok_or_else(|| place(record::Damage::Missing { seq }))?;
        let read = record::decode(&body).map_err(place)?;
        Ok(Some(read.prev.extend(&body[..body.len() - record::TRAILER_LEN])))
    }

    /// May this snapshot be written? `false`: it is published already.
    fn snapshot(&self, plan: &mut Plan, upload: &Upload) -> Result<bool, SnapshotError> {
        let (_, draft) = self.draft(plan, &upload.room).ok_or(RoomError::NotFound)?;
        draft.meta.head.admit(upload.token)?;
        let (bytes, limit) = (upload.payload, self.shared.limits.snapshot);
        if bytes > limit {
            return Err(RoomError::TooLarge { bytes, limit }.into());
        }
        if let Some(newest) = draft.meta.snapshots.last()
            && upload.seq <= newest.seq
        {
            let same = upload.identity == newest.identity;
            return if same { Ok(false) } else { Err(SnapshotError::Stale { newest: newest.seq }) };
        }
        let have = draft.meta.head.end.last;
        let known = draft.ends.contains(&Position { last: upload.seq, chain: upload.chain });
        let chain = match self.chain_at(&upload.room, upload.seq) {
            Ok(chain) => chain,
            Err(AppendError::Corrupt(place)) => return Err(SnapshotError::Corrupt(place)),
            Err(_) => None,
        };
        // A room registered in this very group is not in the index yet and has only its start.
        let start = upload.seq == Seq::ZERO && upload.chain == Chain::start(&upload.room);
        if known || start || chain == Some(upload.chain) {
            Ok(true)
        } else {
            Err(SnapshotError::NotDurable { have })
        }
    }

    /// Makes a snapshot visible that was written and read back. The fence may have moved meanwhile.
    fn publish(&self, plan: &mut Plan, upload: &Upload) -> Result<(), SnapshotError> {
        if !self.snapshot(plan, upload)? {
            plan.orphans.push((upload.first, upload.parts));
            return Ok(());
        }
        let (no, draft) = self.draft(plan, &upload.room).ok_or(RoomError::NotFound)?;
        let Upload { first, parts, seq, identity, .. } = *upload;
        let kept = SnapRef { first, parts, seq, identity };
        let mut snapshots: Vec<SnapRef> = draft.meta.snapshots.to_vec();
        snapshots.push(kept);
        let dropped = if snapshots.len() > 2 { Some(snapshots.remove(0)) } else { None };
        draft.meta.snapshots = snapshots.into();
        plan.published.push((no, kept));
        plan.unpublished.extend(dropped);
        Ok(())
    }

    fn grant(&self, plan: &Plan, room: &RoomKey) -> Option<Grant> {
        match plan.grants.get(room) {
            Some(grant) => *grant,
            None => self.shared.index.lock().grants.get(room).copied(),
        }
    }

    /// A token of this epoch with a nonce from SQLite's generator, which the operating system seeds.
    fn mint(&self, epoch: everplay_types::Epoch) -> Result<Token, GrantError> {
        let nonce = self
            .conn
            .prepare_cached("SELECT randomblob(16)")
            .and_then(|mut select| select.query_row((), |row| row.get::<_, [u8; 16]>(0)))
            .map_err(|error| Unavailable::new(format!("no random bytes: {error}")))?;
        Ok(Token { epoch, nonce: Nonce(nonce) })
    }

    /// Plans to forget closed rooms whose retention is over.
    fn purge(&self, plan: &mut Plan) {
        let retention = u64::try_from(self.shared.retention.as_millis()).unwrap_or(u64::MAX);
        let due = now_ms().saturating_sub(retention);
        let index = self.shared.index.lock();
        for (_, no) in self.closed.iter().take_while(|(closed, _)| *closed <= due).take(64) {
            if plan.drafts.contains_key(no) {
                continue;
            }
            if let Some(room) = index.rooms.get(no) {
                plan.unpublished.extend(room.meta.snapshots.iter().copied());
                plan.grants.insert(room.key.clone(), None);
            }
            plan.purged.push(*no);
        }
    }

    // ---- writing --------------------------------------------------------------------------------------------

    fn write(&mut self, plan: &Plan) -> Result<Written, Trouble> {
        let background = self.pause.is_none();
        let deletions = !self.dead.is_empty() || !self.orphans.is_empty() || self.crowded();
        let own_work = background && (deletions || !self.uploads.is_empty());
        let changes = !plan.batches.is_empty()
            || plan.drafts.values().any(|draft| draft.dirty)
            || !plan.published.is_empty()
            || !plan.unpublished.is_empty()
            || !plan.orphans.is_empty()
            || !plan.grants.is_empty()
            || !plan.purged.is_empty();
        let mut written = Written { next_part: self.next_part, ..Written::default() };
        if !changes && !own_work {
            return Ok(written);
        }
        if self.shared.checkpoint.take_finish() {
            // The log is long and nearly all of it is in the pages: with the rest, the next commit starts it over.
            super::checkpoint::passive(&self.conn).map_err(Trouble::Broken)?;
        }
        self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
        let outcome = self.fill(plan, &mut written, background).and_then(|()| {
            self.conn.prepare_cached("COMMIT")?.execute(())?;
            Ok(())
        });
        match outcome {
            Ok(()) => Ok(written),
            Err(trouble) => {
                // SQLite may have rolled back by itself; if not, it must now, or the store is of no more use.
                if !self.conn.is_autocommit()
                    && let Err(error) = self.conn.execute_batch("ROLLBACK")
                {
                    return Err(Trouble::Broken(format!("cannot roll back: {error}")));
                }
                Err(trouble)
            }
        }
    }

    fn fill(&self, plan: &Plan, written: &mut Written, background: bool) -> Result<(), Trouble> {
        for (no, draft) in plan.drafts.iter().filter(|(_, draft)| draft.dirty) {
            schema::write_room(&self.conn, *no, &draft.key, &draft.meta)?;
            written.bytes += 4096;
        }
        self.write_records(plan, written)?;
        let conn = &self.conn;
        for (no, kept) in &plan.published {
            conn.prepare_cached("INSERT INTO snapshots VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
                kept.first,
                kept.parts,
                no,
                schema::int(kept.seq.0),
                kept.identity.0
            ])?;
        }
        for gone in &plan.unpublished {
            conn.prepare_cached("DELETE FROM snapshots WHERE first = ?1")?.execute([gone.first])?;
            delete_parts(conn, (gone.first, gone.parts))?;
        }
        for gone in &plan.orphans {
            delete_parts(conn, *gone)?;
        }
        for (key, grant) in &plan.grants {
            let names = [key.customer.as_str(), key.room.as_str()];
            match grant {
                Some(Grant { token, owner }) => conn
                    .prepare_cached("INSERT OR REPLACE INTO grants VALUES (?1, ?2, ?3, ?4, ?5)")?
                    .execute(params![
                        names[0],
                        names[1],
                        schema::int(token.epoch.0),
                        token.nonce.0,
                        owner.0
                    ])?,
                None => conn
                    .prepare_cached("DELETE FROM grants WHERE customer = ?1 AND room = ?2")?
                    .execute(names)?,
            };
        }
        for no in &plan.purged {
            conn.prepare_cached("DELETE FROM rooms WHERE id = ?1")?.execute([no])?;
        }
        if background {
            self.write_parts(written)?;
            self.reclaim(written)?;
        }
        Ok(())
    }

    fn write_records(&self, plan: &Plan, written: &mut Written) -> Result<(), Trouble> {
        if plan.batches.is_empty() {
            return Ok(());
        }
        let mut insert = self.conn.prepare_cached("INSERT INTO records VALUES (?1, ?2, ?3)")?;
        let mut row = self.next_row;
        for (no, batch) in &plan.batches {
            for body in batch.records() {
                insert.execute(params![row, no, body])?;
                row += 1;
            }
            let count = u32::try_from(batch.count).expect("the limit on records of an append fits");
            written.runs.push(Run { room: *no, first: batch.expected, count, chain: batch.end.chain });
            written.rows += batch.count;
            written.bytes += batch.len();
        }
        let runs = encode_runs(&written.runs);
        written.bytes += runs.len() + 8192;
        self.conn
            .prepare_cached("INSERT INTO groups VALUES (?1, ?2)")?
            .execute(params![self.next_row, runs])?;
        Ok(())
    }

    /// Writes the next pieces of the snapshots under way, one snapshot after another so that each lies in one range.
    fn write_parts(&self, written: &mut Written) -> Result<(), Trouble> {
        let mut budget = SNAPSHOT_STEP;
        for upload in &self.uploads {
            if budget == 0 {
                break;
            }
            let first = if upload.parts == 0 { written.next_part } else { upload.first };
            let (mut offset, mut parts) = (upload.offset, upload.parts);
            while offset < upload.frame.len() && budget > 0 {
                let end = upload.frame.len().min(offset + budget);
                let body = &upload.frame[offset..end];
                self.conn
                    .prepare_cached("INSERT INTO parts VALUES (?1, ?2)")?
                    .execute(params![written.next_part, body])?;
                written.next_part += 1;
                written.bytes += body.len();
                budget -= body.len();
                parts += 1;
                offset = end;
            }
            written.progress.push((offset, first, parts));
            if offset < upload.frame.len() {
                break;
            }
        }
        Ok(())
    }

    /// Deletes a bounded number of rows that nobody needs.
    fn reclaim(&self, written: &mut Written) -> Result<(), Trouble> {
        let conn = &self.conn;
        if let Some(gone) = self.orphans.front() {
            delete_parts(conn, *gone)?;
            written.orphans = 1;
        }
        let mut deleted = 0;
        for first in &self.dead {
            let count = self.groups.get(first).map_or(0, |group| group.count);
            conn.prepare_cached("DELETE FROM records WHERE id >= ?1 AND id < ?2")?
                .execute([*first, first + i64::from(count)])?;
            conn.prepare_cached("DELETE FROM groups WHERE first = ?1")?.execute([first])?;
            written.dead_groups += 1;
            written.bytes += 4096;
            deleted += count;
            if deleted >= DELETE_STEP {
                return Ok(());
            }
        }
        if deleted == 0 && self.crowded() {
            written.thinned = self.thin()?;
        }
        Ok(())
    }

    /// Deletes the dead rows of the next group that is at least half dead. Returns where to search on, and the rows
    /// of the group just before that count as dead no more (some may have been deleted by an earlier process).
    fn thin(&self) -> Result<Option<(i64, u32)>, Trouble> {
        let mut search = self.groups.range(self.thin_from..).take(THIN_SEARCH);
        let dead = |group: &Group| group.count.saturating_sub(group.live + group.removed);
        let found = search.find(|(_, group)| dead(group) > 0 && dead(group) >= group.live);
        let Some((first, group)) = found else {
            let last = self.groups.range(self.thin_from..).nth(THIN_SEARCH).map(|(first, _)| *first);
            return Ok(Some((last.unwrap_or(0), 0)));
        };
        let body: Vec<u8> = self
            .conn
            .prepare_cached("SELECT body FROM groups WHERE first = ?1")?
            .query_row([first], |row| row.get(0))?;
        // A damaged group keeps its rows until all of them are dead: which of them are, it cannot say.
        if let Ok(runs) = decode_runs(&body) {
            let mut delete = self.conn.prepare_cached("DELETE FROM records WHERE id = ?1")?;
            let mut row = *first;
            for run in runs {
                let keep = self.shared.index.lock().rooms.get(&run.room).map(|room| room.meta.first);
                for n in 0..u64::from(run.count) {
                    if keep.is_none_or(|keep| run.first.0 + n < keep.0) {
                        delete.execute([row])?;
                    }
                    row += 1;
                }
            }
        }
        Ok(Some((first + 1, dead(group))))
    }

    // ---- after the commit -----------------------------------------------------------------------------------

    fn apply(&mut self, plan: &mut Plan, written: Written) {
        let shared = Arc::clone(&self.shared);
        let stats = &shared.stats;
        if written.rows > 0 {
            stats.commits.fetch_add(1, Ordering::Relaxed);
            stats.records.fetch_add(written.rows as u64, Ordering::Relaxed);
            stats.bytes.fetch_add(written.bytes as u64, Ordering::Relaxed);
        }
        for _ in 0..written.dead_groups {
            let group = self.dead.pop_front().and_then(|first| self.groups.remove(&first));
            let present = group.map_or(0, |group| group.count - group.removed);
            self.dead_rows = self.dead_rows.saturating_sub(u64::from(present));
        }
        if let Some((next, deleted)) = written.thinned {
            if let Some((_, group)) = self.groups.range_mut(..next).next_back().filter(|_| deleted > 0) {
                group.removed += deleted;
            }
            self.dead_rows = self.dead_rows.saturating_sub(u64::from(deleted));
            self.thin_from = next;
        }
        for _ in 0..written.orphans {
            self.orphans.pop_front();
        }
        self.apply_rooms(plan, &written);
        self.next_part = written.next_part;
        for (at, (offset, first, parts)) in written.progress.iter().enumerate() {
            let upload = &mut self.uploads[at];
            (upload.offset, upload.first, upload.parts) = (*offset, *first, *parts);
        }
        while self.uploads.front().is_some_and(|upload| upload.offset == upload.frame.len()) {
            let upload = self.uploads.pop_front().expect("there is a front");
            self.upload_bytes -= upload.frame.len();
            shared.readers.verify(upload);
        }
        self.since_checkpoint += written.bytes;
        if self.since_checkpoint >= CHECKPOINT_EVERY {
            self.since_checkpoint = 0;
            shared.checkpoint.wish();
        }
    }

    fn apply_rooms(&mut self, plan: &mut Plan, written: &Written) {
        let shared = Arc::clone(&self.shared);
        let mut index = shared.index.lock();
        let mut dropped = Vec::new();
        let mut made: HashMap<RoomNo, RoomKey> = plan.made.drain().map(|(key, no)| (no, key)).collect();
        for (no, draft) in plan.drafts.drain() {
            if draft.meta.head.stage == Stage::Closed {
                self.closed.insert((draft.meta.closed_ms, no));
            }
            if let Some(key) = made.remove(&no) {
                index.insert(no, Room { key, meta: draft.meta, rows: VecDeque::new(), damage: None });
            } else if let Some(room) = index.rooms.get_mut(&no) {
                let cut = usize::try_from(draft.meta.first.0 - room.meta.first.0).expect("rows fit memory");
                dropped.extend(room.rows.drain(..cut.min(room.rows.len())));
                room.meta = draft.meta;
            }
        }
        let mut row = self.next_row;
        for run in &written.runs {
            let room = index.rooms.get_mut(&run.room).expect("an append has its room");
            room.rows.extend(row..row + i64::from(run.count));
            row += i64::from(run.count);
        }
        if row > self.next_row {
            let count = u32::try_from(row - self.next_row).expect("a group is bounded");
            self.groups.insert(self.next_row, Group { count, live: count, removed: 0 });
            self.live_rows += u64::from(count);
            self.next_row = row;
        }
        for (room, grant) in plan.grants.drain() {
            match grant {
                Some(grant) => index.grants.insert(room, grant),
                None => index.grants.remove(&room),
            };
        }
        for no in plan.purged.drain(..) {
            if let Some(room) = index.remove(no) {
                self.closed.remove(&(room.meta.closed_ms, no));
                dropped.extend(room.rows);
            }
        }
        drop(index);
        for row in dropped {
            self.drop_row(row);
        }
    }

    fn drop_row(&mut self, row: i64) {
        let Some((first, group)) = self.groups.range_mut(..=row).next_back() else { return };
        group.live = group.live.saturating_sub(1);
        self.live_rows = self.live_rows.saturating_sub(1);
        self.dead_rows += 1;
        if group.live == 0 {
            self.dead.push_back(*first);
        }
    }
}

fn delete_parts(conn: &Connection, (first, count): (i64, u32)) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM parts WHERE id >= ?1 AND id < ?2")?
        .execute([first, first + i64::from(count)])?;
    Ok(())
}

/// Frames a snapshot. Returns its bytes and their hash.
pub(super) fn frame(snapshot: &crate::Snapshot) -> (Vec<u8>, Chain) {
    let mut frame = Vec::new();
    let identity = record::encode(
        &Record {
            kind: Kind::Snapshot,
            flags: 0,
            epoch: snapshot.token.epoch,
            seq: snapshot.seq,
            prev: snapshot.chain,
            payload: &snapshot.bytes,
        },
        &mut frame,
    );
    (frame, identity)
}

struct PoisonOnPanic(Arc<Shared>);

impl Drop for PoisonOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.queue.poison(&Unavailable::new("the writer thread panicked"));
        }
    }
}
