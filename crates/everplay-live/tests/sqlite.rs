//! What only a file can show: restarts, a second process, a full disk, broken storage, damaged bytes, space given back.

use everplay_live::record::Damage;
use everplay_live::suite::{Owner, block_on, fresh_room, registration, token};
use everplay_live::*;
use everplay_types::{Epoch, RoomKey, Seq};
use rusqlite::{Connection, params};
use std::path::Path;
use std::time::{Duration, Instant};

fn open(dir: &Path) -> SqliteLiveStore {
    SqliteLiveStore::open(SqliteOptions::new(dir)).unwrap()
}

/// The file, opened beside the store or after it.
fn file(dir: &Path) -> Connection {
    let conn = Connection::open(dir.join(FILE_NAME)).unwrap();
    conn.busy_timeout(Duration::from_secs(10)).unwrap();
    conn
}

fn load(store: &SqliteLiveStore, room: &RoomKey) -> Result<LoadedRoom, LoadError> {
    block_on(store.load(room.clone()))
}

fn corruption(outcome: Result<LoadedRoom, LoadError>) -> Corruption {
    match outcome {
        Err(LoadError::Corrupt(place)) => place,
        other => panic!("{other:?}"),
    }
}

/// Waits until it holds; a test that waits this long has failed.
fn until(mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A room with ten records, cut into three appends.
fn ten(store: &SqliteLiveStore, name: &str) -> (RoomKey, Position) {
    block_on(async {
        let mut owner = Owner::new(store, name).await;
        owner.append(["a", "b", "c"]).await;
        owner.append(["d"]).await;
        owner.append(["e", "f", "g", "h", "i", "j"]).await;
        (owner.room, owner.at)
    })
}

/// Fence, end, chain, snapshots, listing, stage and grants are the same after the process went and came back.
#[test]
fn a_restart_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (room, at) = ten(&store, "restart");
    let (quarantined, _) = ten(&store, "restart");
    let (closed, _) = ten(&store, "restart");
    let before = block_on(async {
        let owner = Owner { store: &store, room: room.clone(), token: token(1, 7), at };
        owner.publish(b"image").await.unwrap();
        let mut owner = owner.succeed().await;
        owner.append(["k"]).await;
        owner.publish(b"image two").await.unwrap();
        owner.append(["l"]).await;
        assert_eq!(store.truncate(room.clone(), owner.token, Seq(8)).await.unwrap(), Seq(8));
        store.quarantine(quarantined.clone(), "tested".to_owned()).await.unwrap();
        store.close(closed.clone(), token(1, 7)).await.unwrap();
        store.load(room.clone()).await.unwrap()
    });
    let arbiter = store.arbiter();
    let granted = block_on(arbiter.grant(room.clone(), Epoch::NONE, Incarnation([5; 16]))).unwrap();
    let listed = block_on(store.list(None)).unwrap();
    drop((store, arbiter));

    let store = open(dir.path());
    assert_eq!(load(&store, &room).unwrap(), before);
    assert_eq!(load(&store, &closed).unwrap().tail.len(), 10);
    assert_eq!(block_on(store.list(None)).unwrap(), listed);
    assert_eq!(store.damaged(), []);
    let grant = block_on(store.arbiter().current(room.clone())).unwrap().unwrap();
    assert_eq!((grant.token, grant.owner), (granted, Incarnation([5; 16])));
    // The old token is still fenced, the new one still goes on where it was.
    let mut owner = Owner { store: &store, room: room.clone(), token: token(1, 7), at: before.position };
    let stale = block_on(store.append(owner.next(["zombie"])));
    assert!(matches!(stale, Err(AppendError::Fenced { .. })));
    owner.token = before.fence;
    assert_eq!(block_on(owner.append(["m"])).last, Seq(13));
}

#[test]
fn one_process_per_directory() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let second = SqliteLiveStore::open(SqliteOptions::new(dir.path())).unwrap_err();
    assert!(matches!(&second, OpenError::InUse { .. }), "{second:?}");
    assert!(second.to_string().contains(&dir.path().display().to_string()), "{second}");
    drop(store);
    open(dir.path());
}

#[test]
fn files_of_others_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    file(dir.path()).execute("UPDATE meta SET value = '2'", ()).unwrap();
    let error = SqliteLiveStore::open(SqliteOptions::new(dir.path())).unwrap_err();
    assert!(matches!(&error, OpenError::Version { found, .. } if found == "2"), "{error}");

    let dir = tempfile::tempdir().unwrap();
    file(dir.path()).execute_batch("CREATE TABLE theirs (x)").unwrap();
    let error = SqliteLiveStore::open(SqliteOptions::new(dir.path())).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }));
    let tables: Vec<String> = {
        let conn = file(dir.path());
        let mut select = conn.prepare("SELECT name FROM sqlite_schema").unwrap();
        let names = select.query_map((), |row| row.get(0)).unwrap();
        names.collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(tables, ["theirs"]);

    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE_NAME), vec![b'x'; 8192]).unwrap();
    let error = SqliteLiveStore::open(SqliteOptions::new(dir.path())).unwrap_err();
    assert!(matches!(error, OpenError::Sqlite { .. }) && error.to_string().contains(FILE_NAME));
}

/// Fills the store with appends of `size` bytes until it says `Full`, and checks that this lost nothing.
fn fill(store: &SqliteLiveStore, owner: &mut Owner<'_>, size: usize) -> Append {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < Duration::from_secs(30), "never full");
        let batch = owner.next([vec![b'x'; size], vec![b'y'; size]]);
        match block_on(store.append(batch.clone())) {
            Ok(at) => owner.at = at,
            Err(AppendError::Full) => {
                let room = load(store, &owner.room).unwrap();
                assert_eq!(room.position, owner.at, "a refused append left something");
                return batch;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A bound on the file: appends are refused whole, everything written stays, and when it is raised the same append
/// succeeds.
#[test]
fn a_full_file_refuses_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions { max_bytes: Some(400 << 10), ..SqliteOptions::new(dir.path()) };
    let store = SqliteLiveStore::open(options).unwrap();
    let mut owner = block_on(Owner::new(&store, "full"));
    let refused = fill(&store, &mut owner, 1000);
    assert!(store.stats().full > 0);
    let image = vec![0; 500 << 10].into();
    let Position { last: seq, chain } = owner.at;
    let image = Snapshot { room: owner.room.clone(), token: owner.token, seq, chain, bytes: image };
    let outcome = block_on(store.publish_snapshot(image));
    assert!(matches!(outcome, Err(SnapshotError::Refused(RoomError::Full))), "{outcome:?}");
    // Still full, still nothing lost, and a smaller thing that changes no size is possible.
    assert!(matches!(block_on(store.append(refused.clone())), Err(AppendError::Full)));
    let (room, at, fence) = (owner.room.clone(), owner.at, owner.token);
    assert_eq!(block_on(store.seal(room.clone(), fence)).unwrap(), at);
    drop(store);

    let store = open(dir.path());
    assert_eq!(load(&store, &room).unwrap().position, at);
    let done = block_on(store.append(refused.clone())).unwrap();
    assert_eq!(done.last, Seq(at.last.0 + 2));
    assert_eq!(block_on(store.append(refused)).unwrap(), done);
}

/// A full file gives its space to those who go on once another room ended, although everyone keeps asking for more.
#[test]
fn a_full_file_can_be_emptied() {
    let dir = tempfile::tempdir().unwrap();
    let (max_bytes, retention) = (Some(400 << 10), Duration::ZERO);
    let store =
        SqliteLiveStore::open(SqliteOptions { max_bytes, retention, ..SqliteOptions::new(dir.path()) })
            .unwrap();
    let mut large = block_on(Owner::new(&store, "large"));
    let waiting = block_on(Owner::new(&store, "waiting"));
    fill(&store, &mut large, 1000);
    let batch = waiting.next([[b'x'; 3000]]);
    let pending = store.append(batch.clone());
    let closed = store.close(large.room.clone(), large.token);
    let also = store.append(batch.clone());
    assert!(matches!(block_on(pending), Err(AppendError::Full)));
    let _ = block_on(also);
    if block_on(closed).is_err() {
        until(|| block_on(store.close(large.room.clone(), large.token)).is_ok());
    }
    until(|| {
        let all: Vec<_> = (0..20).map(|_| store.append(batch.clone())).collect();
        all.into_iter().map(block_on).filter(Result::is_ok).count() == 20
    });
    assert_eq!(load(&store, &waiting.room).unwrap().tail.len(), 1);
}

/// A file system that is really full, and has space again later. Needs the right to mount one; without it the test
/// above has shown the same through SQLite's own bound.
#[test]
fn a_full_disk_refuses_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let mount = |args: &[&str]| {
        let done = std::process::Command::new("mount").args(args).arg(dir.path()).output();
        done.is_ok_and(|done| done.status.success())
    };
    if !mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs"]) {
        println!("not allowed to mount: only the bound of the file was tested");
        return;
    }
    let unmount = Unmount(dir.path());
    {
        let store = open(dir.path());
        let mut owner = block_on(Owner::new(&store, "disk"));
        let refused = fill(&store, &mut owner, 3000);
        assert!(mount(&["-o", "remount,size=8m"]));
        let done = block_on(store.append(refused)).expect("there is space again");
        assert_eq!(done.last.0, owner.at.last.0 + 2);
        owner.at = done;
        block_on(owner.append(["more"]));
        let (room, at) = (owner.room.clone(), owner.at);
        drop(store);
        assert_eq!(load(&open(dir.path()), &room).unwrap().position, at);
    }
    drop(unmount);
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0).status();
    }
}

/// An error that is not "full" ends the store: that append's outcome is unknown, everything later is unavailable, and
/// after a new start the journal is whole.
#[test]
fn a_failed_write_poisons_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (room, at) = ten(&store, "poison");
    // Stands for a failing disk: an error SQLite reports from within the commit's statements.
    let break_it =
        "CREATE TRIGGER broken BEFORE INSERT ON groups BEGIN SELECT RAISE(ABORT, 'input/output error'); END";
    file(dir.path()).execute_batch(break_it).unwrap();
    let owner = Owner { store: &store, room: room.clone(), token: token(1, 7), at };
    let batch = owner.next(["k"]);
    assert!(matches!(block_on(store.append(batch.clone())), Err(AppendError::Unknown)));
    let later = block_on(store.append(batch.clone()));
    let Err(AppendError::Unavailable(why)) = &later else { panic!("{later:?}") };
    assert!(why.reason.contains("input/output error") && why.reason.contains(FILE_NAME), "{why}");
    assert!(matches!(load(&store, &room), Err(LoadError::Unavailable(_))));
    assert!(matches!(block_on(store.list(None)), Err(RoomError::Unavailable(_))));
    assert!(matches!(block_on(store.seal(room.clone(), token(2, 1))), Err(RoomError::Unavailable(_))));
    assert!(matches!(block_on(store.arbiter().current(room.clone())), Err(ArbiterError::Unavailable(_))));
    assert!(matches!(block_on(owner.publish(b"x")), Err(SnapshotError::Refused(RoomError::Unavailable(_)))));
    drop(store);

    file(dir.path()).execute_batch("DROP TRIGGER broken").unwrap();
    let store = open(dir.path());
    assert_eq!(load(&store, &room).unwrap().position, at);
    let done = block_on(store.append(batch)).unwrap();
    assert_eq!(done.last, Seq(11));
}

/// Damages the file while no store has it open, and opens it again.
fn damaged(dir: &Path, sql: &str, values: impl rusqlite::Params) -> SqliteLiveStore {
    assert!(file(dir).execute(sql, values).unwrap() > 0, "{sql}");
    open(dir)
}

/// Every way in which a room's bytes can be wrong names the file, the row and what is wrong; other rooms go on.
#[test]
fn damage_is_named_and_stays_in_its_room() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (good, end) = ten(&store, "good");
    let (bad, _) = ten(&store, "bad");
    drop(store);
    let clean = std::fs::read(dir.path().join(FILE_NAME)).unwrap();
    let row_of_bad = |n: i64| 10 + n;
    let body = |row: i64| -> Vec<u8> {
        let select = "SELECT body FROM records WHERE id = ?1";
        file(dir.path()).query_row(select, [row], |row| row.get(0)).unwrap()
    };
    let set = "UPDATE records SET body = ?2 WHERE id = ?1";
    let check = |sql: &str, row: i64, value: Option<Vec<u8>>, expected: &dyn Fn(&Damage) -> bool| {
        let store = match value {
            Some(value) => damaged(dir.path(), sql, params![row, value]),
            None => damaged(dir.path(), sql, params![row]),
        };
        let place = corruption(load(&store, &bad));
        assert!(expected(&place.damage), "{place}");
        assert!(place.to_string().starts_with(&dir.path().join(FILE_NAME).display().to_string()), "{place}");
        assert!(place.to_string().contains(&format!("records row {}", place.row)), "{place}");
        // It can be put aside with its reason, and the other room plays on.
        block_on(store.quarantine(bad.clone(), place.to_string())).unwrap();
        let entries = block_on(store.list(None)).unwrap();
        let reason = RoomState::Quarantined { reason: place.to_string() };
        assert!(entries.iter().any(|entry| entry.room == bad && entry.state == reason));
        let mut owner = Owner { store: &store, room: good.clone(), token: token(1, 7), at: end };
        block_on(owner.append(["k"]));
        assert_eq!(load(&store, &good).unwrap().tail.len(), 11);
        drop(store);
        for name in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(dir.path().join(format!("{FILE_NAME}{name}")));
        }
        std::fs::write(dir.path().join(FILE_NAME), &clean).unwrap();
        place.row
    };
    let flipped = |row: i64, at: usize| {
        let mut body = body(row);
        body[at] ^= 1;
        Some(body)
    };
    let four = row_of_bad(4);
    let row = check(set, four, flipped(four, 40), &|damage| matches!(damage, Damage::Checksum { .. }));
    assert_eq!(row, four);
    check(set, four, flipped(four, 0), &|damage| matches!(damage, Damage::Version { found: 0 }));
    check(set, four, Some(body(four)[..20].to_vec()), &|damage| matches!(damage, Damage::Truncated { .. }));
    check(set, four, Some(Vec::new()), &|damage| matches!(damage, Damage::Truncated { have: 0, .. }));
    check(set, four, Some(body(four + 1)), &|damage| matches!(damage, Damage::Sequence { .. }));
    // The same position, well formed, from another room.
    check(set, four, Some(body(4)), &|damage| matches!(damage, Damage::Chain { .. }));
    let gone = "DELETE FROM records WHERE id = ?1";
    check(gone, four, None, &|damage| matches!(damage, Damage::Missing { seq: Seq(4) }));
    check(gone, row_of_bad(10), None, &|damage| matches!(damage, Damage::Missing { seq: Seq(10) }));
    // A commit's row that is gone leaves a hole in its room, found at start.
    let row = check("DELETE FROM groups WHERE first = ?1", four, None, &|damage| {
        matches!(damage, Damage::Missing { seq: Seq(4) })
    });
    assert!(row > four);
    let place = {
        let store = damaged(dir.path(), "DELETE FROM groups WHERE first = ?1", [four]);
        let found = store.damaged();
        assert_eq!(found.len(), 1);
        found[0].1.clone()
    };
    assert_eq!(place.damage, Damage::Missing { seq: Seq(4) });
}

/// A commit's row that is damaged is made anew from the records; nothing is lost.
#[test]
fn a_damaged_commit_row_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (room, at) = ten(&store, "regroup");
    drop(store);
    let store = damaged(dir.path(), "UPDATE groups SET body = x'0100ff' WHERE first = ?1", [5]);
    assert_eq!(store.damaged(), []);
    assert_eq!(load(&store, &room).unwrap().position, at);
}

/// A directory row that was changed from outside is not believed: the room is listed, and out of service.
#[test]
fn a_damaged_directory_row_is_quarantined() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (good, _) = ten(&store, "dir");
    let (bad, _) = ten(&store, "dir");
    drop(store);
    let store = damaged(dir.path(), "UPDATE rooms SET epoch = 9 WHERE room = ?1", [bad.room.as_str()]);
    let entries = block_on(store.list(None)).unwrap();
    let state = |room: &RoomKey| entries.iter().find(|entry| entry.room == *room).unwrap().state.clone();
    assert_eq!(state(&good), RoomState::Live);
    let RoomState::Quarantined { reason } = state(&bad) else { panic!("{entries:?}") };
    assert!(reason.contains(FILE_NAME) && reason.contains("rooms row 2"), "{reason}");
    let sealed = block_on(store.seal(bad.clone(), token(20, 1)));
    assert!(matches!(sealed, Err(RoomError::Quarantined { .. })));
}

/// The newest snapshot is damaged: the one before and the longer tail bring the same room back. Both are damaged:
/// the first record does, as long as it is there; then the room is corrupt.
#[test]
fn a_damaged_snapshot_falls_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (room, at) = ten(&store, "fallback");
    let mut owner = Owner { store: &store, room: room.clone(), token: token(1, 7), at };
    let end = block_on(async {
        owner.publish(b"ten").await.unwrap();
        owner.append(["k"]).await;
        owner.publish(b"eleven").await.unwrap();
        owner.append(["l"]).await
    });
    drop(store);
    let damage = "UPDATE parts SET body = x'00' WHERE id = (SELECT first FROM snapshots WHERE seq = ?1)";

    let store = damaged(dir.path(), damage, [11]);
    let loaded = load(&store, &room).unwrap();
    assert_eq!(&*loaded.snapshot.unwrap().bytes, b"ten");
    assert_eq!((loaded.tail.len(), loaded.position), (2, end));
    assert_eq!(loaded.passed_over.len(), 1);
    assert_eq!(loaded.passed_over[0].table, "parts");
    drop(store);

    let store = damaged(dir.path(), damage, [10]);
    let loaded = load(&store, &room).unwrap();
    assert_eq!((loaded.snapshot, loaded.tail.len(), loaded.position), (None, 12, end));
    assert_eq!(loaded.passed_over.len(), 2);
    assert_eq!(block_on(store.truncate(room.clone(), token(1, 7), Seq(11))).unwrap(), Seq(11));
    let place = corruption(load(&store, &room));
    assert_eq!(place.table, "parts");
}

/// Closed rooms can be loaded until the retention is over; then nothing of them is left, and neither is their grant.
#[test]
fn closed_rooms_go_after_the_retention() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions { retention: Duration::ZERO, ..SqliteOptions::new(dir.path()) };
    let store = SqliteLiveStore::open(options).unwrap();
    let (kept, _) = ten(&store, "kept");
    let (room, _) = ten(&store, "purge");
    block_on(store.arbiter().grant(room.clone(), Epoch::NONE, Incarnation([1; 16]))).unwrap();
    block_on(store.close(room.clone(), token(1, 7))).unwrap();
    until(|| matches!(load(&store, &room), Err(LoadError::NotFound)));
    assert_eq!(block_on(store.arbiter().current(room)).unwrap(), None);
    let count = || -> i64 {
        let conn = file(dir.path());
        conn.query_row("SELECT count(*) FROM records", (), |row| row.get(0)).unwrap()
    };
    until(|| count() == 10);
    drop(store);
    let store = open(dir.path());
    assert_eq!(load(&store, &kept).unwrap().tail.len(), 10);
    let room = fresh_room("after");
    block_on(store.register(registration(&room, token(1, 1)))).unwrap();
    assert_eq!(load(&store, &room).unwrap().tail, []);
}

/// A room that stands still does not hold the space of busy ones: dead rows go, its own stay, over restarts too.
#[test]
fn space_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut idle = block_on(Owner::new(&store, "idle"));
    let mut busy = block_on(Owner::new(&store, "busy"));
    // Both rooms in each group, so that no group is ever wholly dead.
    for _ in 0..100 {
        let payloads: Vec<Vec<u8>> = vec![vec![1; 8]; 1000];
        let (one, two) = (store.append(idle.next(["i"])), store.append(busy.next(payloads)));
        (idle.at, busy.at) = block_on(async { (one.await.unwrap(), two.await.unwrap()) });
    }
    block_on(async {
        busy.publish(b"one").await.unwrap();
        busy.append(["x"]).await;
        busy.publish(b"two").await.unwrap();
        store.truncate(busy.room.clone(), busy.token, busy.at.last).await.unwrap();
    });
    let count = || -> i64 {
        let conn = file(dir.path());
        conn.query_row("SELECT count(*) FROM records", (), |row| row.get(0)).unwrap()
    };
    until(|| count() < 70_000);
    let check = |store: &SqliteLiveStore| {
        assert_eq!(load(store, &idle.room).unwrap().position, idle.at);
        assert_eq!(load(store, &idle.room).unwrap().tail.len(), 100);
        assert_eq!(load(store, &busy.room).unwrap().position, busy.at);
    };
    check(&store);
    drop(store);
    check(&open(dir.path()));
}

/// Loads beside a writer that drops records under them: each sees one whole state.
#[test]
fn loads_race_truncation() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut owner = block_on(Owner::new(&store, "race"));
    let done = &std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let room = owner.room.clone();
        let store = &store;
        let loads = scope.spawn(move || {
            let mut last = Seq::ZERO;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let loaded = load(store, &room).unwrap();
                assert!(loaded.position.last >= last);
                last = loaded.position.last;
            }
        });
        for _ in 0..200 {
            block_on(async {
                owner.append(["a", "b", "c"]).await;
                owner.publish(b"image").await.unwrap();
                store.truncate(owner.room.clone(), owner.token, owner.at.last).await.unwrap();
            });
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        loads.join().unwrap();
    });
}

/// Beyond the bounds of the queue the answer is `Busy`, at once and with nothing written.
#[test]
fn a_full_queue_says_busy() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions { queue_bytes: 100, ..SqliteOptions::new(dir.path()) };
    let store = SqliteLiveStore::open(options).unwrap();
    let mut owner = block_on(Owner::new(&store, "busy"));
    let answer = block_on(store.append(owner.next([[0; 100]])));
    assert!(matches!(answer, Err(AppendError::Busy)), "{answer:?}");
    block_on(owner.append([[0; 10]]));
}

/// A seal that was answered is in the file, although it wrote no record: after a restart the old owner stays out.
#[test]
fn a_seal_alone_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (room, at) = ten(&store, "sealed");
    block_on(store.seal(room.clone(), token(2, 2))).unwrap();
    drop(store);
    let store = open(dir.path());
    let zombie = Owner { store: &store, room, token: token(1, 7), at };
    let answer = block_on(store.append(zombie.next(["zombie"])));
    assert!(matches!(answer, Err(AppendError::Fenced { fence }) if fence == token(2, 2)), "{answer:?}");
}

/// An old owner's snapshot that is still being written when the new owner seals is not published.
#[test]
fn a_late_snapshot_is_fenced() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (room, Position { last: seq, chain }) = ten(&store, "late");
    // Dozens of commits long: the seal comes in between.
    let bytes = vec![3; 8 << 20].into();
    let pending =
        store.publish_snapshot(Snapshot { room: room.clone(), token: token(1, 7), seq, chain, bytes });
    block_on(store.seal(room.clone(), token(2, 2))).unwrap();
    let answer = block_on(pending);
    assert!(matches!(answer, Err(SnapshotError::Refused(RoomError::Fenced { .. }))), "{answer:?}");
    assert_eq!(load(&store, &room).unwrap().snapshot, None);
    let parts =
        || -> i64 { file(dir.path()).query_row("SELECT count(*) FROM parts", (), |row| row.get(0)).unwrap() };
    until(|| parts() == 0);
}
