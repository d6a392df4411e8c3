//! What a confirmed record costs: `cargo bench -p everplay-live`.
//!
//! - appends of 200 bytes by 1, 16 and 256 rooms at once, each waiting for its answer before the next one, as a room
//!   kind with Confirmed durability does with one step in flight: records per second and the time to the answer;
//! - the floor under it: the same bytes written to the end of a plain file and synced, so many records per sync as
//!   there are rooms;
//! - the same appends on a Redis with its append-only file, alone and with a replica that confirms each batch, when
//!   `redis-server` is there;
//! - loading rooms with a snapshot and 256 records after it.
//!
//! The machine's disk is in every figure: compare the ratios, which come from the same run. `--quick` runs each part
//! for half a second instead of three, for a machine that only checks that it still runs.

use everplay_live::suite::{block_on, token};
use everplay_live::{
    Append, LiveStore, Position, RedisAddress, RedisLiveStore, RedisOptions, Registration, Snapshot,
    SqliteLiveStore, SqliteOptions, record,
};
use everplay_types::{CustomerId, RoomId, RoomKey};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

#[path = "../tests/servers/mod.rs"]
mod servers;

const PAYLOAD: usize = 200;
const ROOMS: [usize; 3] = [1, 16, 256];
const LOADED_ROOMS: usize = 400;
const TAIL: usize = 256;
const SNAPSHOT: usize = 16 << 10;

struct Outcome {
    per_second: f64,
    p50: Duration,
    p99: Duration,
    /// `None` where nobody counts.
    per_commit: Option<f64>,
    cpu_per_record: Duration,
}

fn key(n: usize) -> RoomKey {
    RoomKey { customer: CustomerId::default(), room: RoomId::new(format!("room-{n}")).expect("an id") }
}

fn at_percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times.get(times.len() * percent / 100).copied().unwrap_or_default()
}

/// Processor time of this process so far: user and system, in ticks of 10 ms.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// The floor: `batch` framed records per write and sync.
fn raw(dir: &Path, batch: usize, time: Duration) -> Outcome {
    let mut file = File::create(dir.join("raw")).expect("a file in a fresh folder");
    let bytes = vec![7; batch * record::framed_len(PAYLOAD)];
    let mut times = Vec::new();
    let (start, before) = (Instant::now(), cpu());
    while start.elapsed() < time {
        let one = Instant::now();
        file.write_all(&bytes).and_then(|()| file.sync_data()).expect("the disk works");
        times.push(one.elapsed());
    }
    let records = times.len() * batch;
    Outcome {
        per_second: records as f64 / start.elapsed().as_secs_f64(),
        p50: at_percentile(&mut times, 50),
        p99: at_percentile(&mut times, 99),
        per_commit: Some(batch as f64),
        cpu_per_record: (cpu() - before) / records.max(1) as u32,
    }
}

fn register(store: &dyn LiveStore, rooms: usize) -> Vec<Position> {
    let register = |n| {
        let (kind, listing) = ("bench".to_owned(), Default::default());
        store.register(Registration { room: key(n), token: token(1, 1), kind, listing })
    };
    let pending: Vec<_> = (0..rooms).map(register).collect();
    pending.into_iter().map(|pending| block_on(pending).expect("registered")).collect()
}

fn sqlite(dir: &Path, rooms: usize, time: Duration) -> Outcome {
    let store = SqliteLiveStore::open(SqliteOptions::new(dir)).expect("opens");
    drive(&store, rooms, time, Some(&|| store.stats().commits))
}

fn redis(runtime: &tokio::runtime::Runtime, url: &str, rooms: usize, time: Duration) -> Outcome {
    let address = RedisAddress::parse(url).expect("a URL");
    // Rooms of their own for each round.
    let options = RedisOptions { prefix: format!("bench-{rooms}"), ..RedisOptions::new(address) };
    let store = runtime.block_on(RedisLiveStore::open(options)).expect("opens");
    drive(&store, rooms, time, None)
}

/// Each room has one append in flight at any time, driven from one thread as a node's runtime would.
fn drive(store: &dyn LiveStore, rooms: usize, time: Duration, commits: Option<&dyn Fn() -> u64>) -> Outcome {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::mpsc;
    use std::task::{Context, Poll, Wake, Waker};

    struct Ready(usize, mpsc::Sender<usize>);
    impl Wake for Ready {
        fn wake(self: Arc<Self>) {
            // Only the end of the measurement closes the channel.
            let _ = self.1.send(self.0);
        }
    }

    let mut at = register(store, rooms);
    let payload = bytes::Bytes::from(vec![7; PAYLOAD]);
    let append = |n: usize, at: Position| {
        let payloads = vec![payload.clone()];
        store.append(Append {
            room: key(n),
            token: token(1, 1),
            expected: at.last.next(),
            prev: at.chain,
            payloads,
        })
    };
    let (ready, woken) = mpsc::channel();
    let wakers: Vec<Waker> = (0..rooms).map(|n| Waker::from(Arc::new(Ready(n, ready.clone())))).collect();
    let mut times = Vec::new();
    let (counted, before) = (commits.map(|commits| (commits, commits())), cpu());
    let start = Instant::now();
    let mut pending: Vec<(Instant, Pin<Box<_>>)> =
        at.iter().enumerate().map(|(n, at)| (Instant::now(), append(n, *at))).collect();
    for n in 0..rooms {
        ready.send(n).expect("the receiver is here");
    }
    while start.elapsed() < time {
        let n = woken.recv().expect("a sender is here");
        let (since, future) = &mut pending[n];
        let mut cx = Context::from_waker(&wakers[n]);
        if let Poll::Ready(answer) = future.as_mut().poll(&mut cx) {
            times.push(since.elapsed());
            at[n] = answer.expect("appended");
            pending[n] = (Instant::now(), append(n, at[n]));
            ready.send(n).expect("the receiver is here");
        }
    }
    let records = times.len();
    Outcome {
        per_second: records as f64 / start.elapsed().as_secs_f64(),
        p50: at_percentile(&mut times, 50),
        p99: at_percentile(&mut times, 99),
        per_commit: counted.map(|(commits, before)| records as f64 / (commits() - before).max(1) as f64),
        cpu_per_record: (cpu() - before) / records.max(1) as u32,
    }
}

/// Opens a journal of many rooms and loads them all. Returns the time to open and the rooms loaded per second.
fn load(dir: &Path) -> (Duration, f64) {
    let store = SqliteLiveStore::open(SqliteOptions::new(dir)).expect("opens");
    let mut at = register(&store, LOADED_ROOMS);
    for n in 0..=TAIL {
        let payloads = vec![vec![n as u8; PAYLOAD].into()];
        let append = |(room, at): (usize, &Position)| {
            let (expected, prev, payloads) = (at.last.next(), at.chain, payloads.clone());
            store.append(Append { room: key(room), token: token(1, 1), expected, prev, payloads })
        };
        let pending: Vec<_> = at.iter().enumerate().map(append).collect();
        for (at, pending) in at.iter_mut().zip(pending) {
            *at = block_on(pending).expect("appended");
        }
        if n == 0 {
            for (room, at) in at.iter().enumerate() {
                let (seq, chain, bytes) = (at.last, at.chain, vec![1; SNAPSHOT].into());
                let image = Snapshot { room: key(room), token: token(1, 1), seq, chain, bytes };
                block_on(store.publish_snapshot(image)).expect("published");
            }
        }
    }
    drop(store);
    let start = Instant::now();
    let store = SqliteLiveStore::open(SqliteOptions::new(dir)).expect("opens");
    let opened = start.elapsed();
    let start = Instant::now();
    let pending: Vec<_> = (0..LOADED_ROOMS).map(|n| store.load(key(n))).collect();
    for pending in pending {
        let room = block_on(pending).expect("loads");
        assert_eq!((room.tail.len(), room.snapshot.is_some()), (TAIL, true));
    }
    (opened, LOADED_ROOMS as f64 / start.elapsed().as_secs_f64())
}

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let time = Duration::from_millis(if quick { 500 } else { 3000 });
    // Beside the build's output: a disk, where a temporary folder may be memory.
    let base = std::env::current_exe().expect("this program has a path");
    let base = base.parent().expect("it lies in a folder");
    println!("{PAYLOAD}-byte payloads, one append in flight per room");
    println!("rooms  what        records/s  ratio   p50 ms   p99 ms  records/commit  CPU us/record");
    let installed = std::process::Command::new("redis-server").arg("--version").output().is_ok();
    let servers = installed.then(|| {
        let primary = servers::redis::Redis::start(&[]);
        let replica = servers::redis::Redis::start(&["--replicaof", "127.0.0.1", &primary.port.to_string()]);
        servers::wait_until("the replica follows", || primary.command(&["INFO"]).contains("state=online"));
        (primary, replica)
    });
    let runtime = tokio::runtime::Runtime::new().expect("threads start");
    for rooms in ROOMS {
        let dir = tempfile::tempdir_in(base).expect("a fresh folder");
        let floor = raw(dir.path(), rooms, time);
        let mut measured = vec![("sqlite", sqlite(dir.path(), rooms, time))];
        if let Some((primary, _)) = &servers {
            measured.push(("redis", redis(&runtime, &primary.url(), rooms, time)));
            let replicated = format!("{}/1?replicas=1", primary.url());
            measured.push(("redis+wait", redis(&runtime, &replicated, rooms, time)));
        }
        let base = floor.per_second;
        for (what, outcome) in std::iter::once(&("write+sync", floor)).chain(&measured) {
            println!(
                "{rooms:>5}  {what:<10} {:>10.0}  {:>5.2}  {:>7.3}  {:>7.3}  {:>14}  {:>13.2}",
                outcome.per_second,
                outcome.per_second / base,
                outcome.p50.as_secs_f64() * 1e3,
                outcome.p99.as_secs_f64() * 1e3,
                outcome.per_commit.map_or_else(|| "-".to_owned(), |records| format!("{records:.1}")),
                outcome.cpu_per_record.as_secs_f64() * 1e6,
            );
        }
    }
    let dir = tempfile::tempdir_in(base).expect("a fresh folder");
    let (opened, rate) = load(dir.path());
    println!();
    println!("{LOADED_ROOMS} rooms, each a snapshot of {SNAPSHOT} bytes and {TAIL} records after it:");
    println!("opened in {:.0} ms, then {rate:.0} rooms loaded per second", opened.as_secs_f64() * 1e3);
}
