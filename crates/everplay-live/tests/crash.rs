//! Kills the process at random moments: whatever was confirmed before is there afterwards, whole and in one chain.
//!
//! This binary runs itself again as the victim: [`victim`] does nothing unless it is told where its data is.

use everplay_live::record::{self, Kind, Record};
use everplay_live::suite::block_on;
use everplay_live::*;
use everplay_types::{CustomerId, Nonce, RoomId, RoomKey, Seq, Token};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const SYNC_DIR: &str = "EVERPLAY_SYNC_TEST_DIR";
const DIR: &str = "EVERPLAY_CRASH_TEST_DIR";
const ROOMS: usize = 24;
const THREADS: usize = 4;
const ROUNDS: u64 = 8;

fn key(n: usize) -> RoomKey {
    RoomKey { customer: CustomerId::default(), room: RoomId::new(format!("room-{n}")).unwrap() }
}

fn payload(n: usize, seq: Seq) -> Vec<u8> {
    let mut payload = format!("{n}:{seq}:").into_bytes();
    payload.resize(20 + (n * 31 + seq.0 as usize * 7) % 400, b'.');
    payload
}

/// Takes each room over from whoever had it, as a node does after a restart.
fn take_over(store: &SqliteLiveStore, n: usize) -> (Token, Position) {
    let room = key(n);
    block_on(async {
        let arbiter = store.arbiter();
        let seen =
            arbiter.current(room.clone()).await.unwrap().map(|grant| grant.token.epoch).unwrap_or_default();
        let token = arbiter.grant(room.clone(), seen, Incarnation([n as u8; 16])).await.unwrap();
        let (kind, listing) = ("crash".to_owned(), Default::default());
        match store.register(Registration { room: room.clone(), token, kind, listing }).await {
            Ok(at) => (token, at),
            Err(RegisterError::Exists { .. }) => (token, store.seal(room, token).await.unwrap()),
            Err(error) => panic!("{error}"),
        }
    })
}

fn play(store: &SqliteLiveStore, rooms: Vec<usize>) {
    let mut owners: Vec<(usize, Token, Position)> = rooms
        .into_iter()
        .map(|n| {
            let (token, at) = take_over(store, n);
            (n, token, at)
        })
        .collect();
    for round in 1.. {
        let pending: Vec<_> = owners
            .iter()
            .map(|(n, token, at)| {
                let expected = at.last.next();
                let payloads = (0..1 + round % 3).map(|k| payload(*n, Seq(expected.0 + k)).into()).collect();
                store.append(Append { room: key(*n), token: *token, expected, prev: at.chain, payloads })
            })
            .collect();
        for (owner, pending) in owners.iter_mut().zip(pending) {
            owner.2 = block_on(pending).unwrap();
            let (n, at) = (owner.0, owner.2);
            // One write per line, so that a kill cuts between lines or within the last one.
            std::io::stdout()
                .write_all(format!("confirmed {n} {} {}\n", at.last, at.chain).as_bytes())
                .unwrap();
        }
        if round % 16 == 0 {
            for (n, token, at) in &owners {
                let bytes = format!("image {n} {}", at.last).into();
                let snapshot =
                    Snapshot { room: key(*n), token: *token, seq: at.last, chain: at.chain, bytes };
                block_on(store.publish_snapshot(snapshot)).unwrap();
                block_on(store.truncate(key(*n), *token, at.last)).unwrap();
            }
        }
    }
}

#[test]
fn victim() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let store = SqliteLiveStore::open(SqliteOptions::new(dir)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || play(store, (thread..ROOMS).step_by(THREADS).collect()));
        }
    });
}

/// Lets the victim run until it confirmed something and a while longer, kills it, and returns what it confirmed.
fn run_and_kill(dir: &Path, linger: Duration) -> Vec<(usize, Seq, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let (first, started) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut confirmed = Vec::new();
        let mut line = String::new();
        while lines.read_line(&mut line).unwrap() > 0 {
            let words: Vec<&str> = line.split_whitespace().collect();
            // The harness prints before the first one, and the kill may cut the last one.
            if let (true, [.., "confirmed", n, seq, chain]) = (line.ends_with('\n'), &words[..]) {
                // The parent waits for the first only, and is gone from the channel after it.
                let _ = first.send(());
                confirmed.push((n.parse().unwrap(), Seq(seq.parse().unwrap()), (*chain).to_owned()));
            }
            line.clear();
        }
        confirmed
    });
    started.recv_timeout(Duration::from_secs(60)).expect("something is confirmed");
    std::thread::sleep(linger);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

#[test]
fn confirmed_records_survive_sigkill() {
    let dir = tempfile::tempdir().unwrap();
    let seed = RandomState::new().hash_one(0) % 1000;
    println!("seed {seed}");
    let mut confirmed: HashMap<usize, BTreeMap<Seq, String>> = HashMap::new();
    let mut total = 0;
    for round in 0..ROUNDS {
        let linger = Duration::from_millis((seed * (round + 1) * 7919) % 200);
        for (n, seq, chain) in run_and_kill(dir.path(), linger) {
            total += 1;
            let before = confirmed.entry(n).or_default().insert(seq, chain.clone());
            assert!(before.is_none_or(|before| before == chain), "room {n}: two values at {seq}");
        }
        let store = SqliteLiveStore::open(SqliteOptions::new(dir.path())).unwrap();
        assert_eq!(store.damaged(), []);
        for (n, confirmed) in &confirmed {
            check(*n, confirmed, &block_on(store.load(key(*n))).unwrap());
        }
    }
    println!("{total} appends confirmed over {ROUNDS} kills");
}

/// Everything confirmed is in the room, at its place in the chain.
fn check(n: usize, confirmed: &BTreeMap<Seq, String>, room: &LoadedRoom) {
    assert_eq!(room.passed_over, []);
    let (mut seq, mut chain) = match &room.snapshot {
        Some(snapshot) => {
            assert_eq!(snapshot.bytes, format!("image {n} {}", snapshot.seq));
            (snapshot.seq, snapshot.chain)
        }
        None => (Seq::ZERO, Chain::start(&key(n))),
    };
    let mut chains = BTreeMap::from([(seq, chain)]);
    for entry in &room.tail {
        seq = entry.seq;
        assert_eq!(entry.payload, payload(n, seq));
        let (kind, epoch, payload) = (Kind::Entry, entry.epoch, &entry.payload);
        chain = record::encode(&Record { kind, flags: 0, epoch, seq, prev: chain, payload }, &mut Vec::new());
        chains.insert(seq, chain);
    }
    assert_eq!(room.position, Position { last: seq, chain });
    assert!(confirmed.keys().all(|confirmed| *confirmed <= seq), "room {n}: confirmed records are gone");
    for (seq, chain) in confirmed {
        let found = chains.get(seq);
        assert!(found.is_none_or(|found| found.to_string() == *chain), "room {n}: another value at {seq}");
    }
    assert!(room.fence.nonce != Nonce::default());
}

/// Appends until it is refused, then once more, and prints what it was told.
#[test]
fn victim_of_a_failing_sync() {
    let Ok(dir) = std::env::var(SYNC_DIR) else { return };
    let store = SqliteLiveStore::open(SqliteOptions::new(dir)).unwrap();
    let (token, mut at) = take_over(&store, 0);
    let append = |at: Position| {
        let expected = at.last.next();
        let payloads = vec![payload(0, expected).into()];
        block_on(store.append(Append { room: key(0), token, expected, prev: at.chain, payloads }))
    };
    let refused = loop {
        match append(at) {
            Ok(now) => at = now,
            Err(error) => break error,
        }
        println!("confirmed 0 {} {}", at.last, at.chain);
    };
    println!("refused {refused:?}");
    println!("later {:?}", append(at));
}

/// The operating system reports a failed sync (by the hand of `strace`, where it is allowed to): nothing is confirmed
/// any more, and after a new start everything that was is there.
#[test]
fn a_failed_sync_is_never_confirmed() {
    let dir = tempfile::tempdir().unwrap();
    let inject = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"];
    let run = Command::new("strace")
        .args(inject)
        .args(["-e", "inject=fsync,fdatasync:error=EIO:when=12+"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "victim_of_a_failing_sync", "--nocapture", "--test-threads=1"])
        .env(SYNC_DIR, dir.path())
        .output();
    let Some(run) = run.ok().filter(|run| run.stdout.windows(9).any(|word| word == b"confirmed")) else {
        println!("no strace here that may trace: the failing trigger of another test stands for it");
        return;
    };
    let said = String::from_utf8(run.stdout).unwrap();
    assert!(said.contains("refused Unknown"), "{said}");
    assert!(said.contains("later Err(Unavailable"), "{said}");
    let confirmed: BTreeMap<Seq, String> = said
        .lines()
        .filter_map(|line| line.split("confirmed 0 ").nth(1)?.split_once(' '))
        .map(|(seq, chain)| (Seq(seq.parse().unwrap()), chain.to_owned()))
        .collect();
    assert!((5..12).contains(&confirmed.len()), "{said}");
    let store = SqliteLiveStore::open(SqliteOptions::new(dir.path())).unwrap();
    check(0, &confirmed, &block_on(store.load(key(0))).unwrap());
}
