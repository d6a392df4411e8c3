//! The live store on real servers of Redis: alone, replicated, behind Sentinels, as a Cluster, full, and dying.

mod servers;

use bytes::Bytes;
use everplay_live::suite::{self, Owner, fresh_room, registration, token};
use everplay_live::{
    AppendError, Limits, LiveStore, LoadError, Position, RedisAddress, RedisDurability, RedisLiveStore,
    RedisNotice, RedisOpenError, RedisOptions, RegisterError, RoomError, UnsafeRedis, record,
};
use everplay_types::Seq;
use servers::redis::{Cluster, Redis, Watched};
use servers::wait_until;
use std::num::NonZeroU8;
use std::time::{Duration, Instant};

fn limits() -> Limits {
    Limits { payload: 64 << 10, batch: 512 << 10, records: 256, snapshot: 1 << 20, listing: 4 << 10 }
}

/// With patience for a busy machine; tests of impatience set their own.
fn options(url: &str) -> RedisOptions {
    let patience = Duration::from_secs(5);
    RedisOptions {
        limits: limits(),
        connect_timeout: Duration::from_secs(2),
        wait_timeout: patience,
        answer_timeout: patience,
        ..RedisOptions::new(RedisAddress::parse(url).unwrap())
    }
}

async fn open(url: &str) -> RedisLiveStore {
    RedisLiveStore::open(options(url)).await.unwrap()
}

/// A primary with a replica that has caught up.
fn pair(settings: &[&str]) -> (Redis, Redis) {
    let primary = Redis::start(settings);
    let follows = ["--replicaof", "127.0.0.1", &primary.port.to_string(), "--appendfsync", "always"];
    let replica = Redis::start(&follows);
    wait_until("the primary sees its replica", || primary.command(&["INFO"]).contains("state=online"));
    (primary, replica)
}

/// Appends until it is done, as an owner does; a failover makes it ask for the room again with its own token.
async fn insist(owner: &mut Owner<'_>, payload: &str) {
    let batch = owner.next([payload]);
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < Duration::from_secs(20), "not appended for 20 s");
        match owner.store.append(batch.clone()).await {
            Ok(at) => {
                owner.at = at;
                return;
            }
            Err(AppendError::Unknown | AppendError::Full) => {
                tokio::time::sleep(Duration::from_millis(10)).await
            }
            Err(AppendError::Fenced { fence }) if fence == owner.token => {
                // Nobody else owns it: seal again, and go on where the journal is.
                match owner.store.seal(owner.room.clone(), owner.token).await {
                    Ok(at) => {
                        assert!(at == owner.at || at.last == owner.at.last.next(), "{at:?} {:?}", owner.at)
                    }
                    Err(RoomError::Unknown) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A registered room, also when confirmations are slow to come.
async fn newcomer<'a>(store: &'a dyn LiveStore, case: &str) -> Owner<'a> {
    let (room, token) = (fresh_room(case), token(1, 7));
    loop {
        match store.register(registration(&room, token)).await {
            Ok(at) => return Owner { store, room, token, at },
            Err(RegisterError::Refused(RoomError::Unknown)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn alone() {
    let server = Redis::start(&[]);
    let store = open(&server.url()).await;
    assert_eq!(store.notices(), [RedisNotice::Alone { replicas: 0 }]);
    suite::live(&store, limits()).await;
}

/// The same with batches of one call, with one lane, under a prefix, as a user who may do no more than is needed.
#[tokio::test]
async fn one_by_one_with_an_access_list() {
    let server = Redis::start(&[]);
    let list = "SETUSER node on >p@ss/word ~other:* +fcall +function|load +wait +info +cluster|slots +time +get +set \
        +unlink +pexpire +hget +hmget +hset +hdel +hkeys +xadd +xrange +xtrim";
    let words: Vec<&str> = std::iter::once("ACL").chain(list.split_whitespace()).collect();
    server.command(&words);
    server.command(&["ACL", "SETUSER", "default", "off"]);
    let url = format!("redis://node:p%40ss%2Fword@{}", server.address());
    let options = RedisOptions { batch_calls: 1, lanes: 1, prefix: "other".to_owned(), ..options(&url) };
    let store = RedisLiveStore::open(options).await.unwrap();
    suite::live(&store, limits()).await;
    suite::allowances(&store.allowances()).await;
    let wrong =
        RedisLiveStore::open(self::options(&format!("redis://node:hunter2@{}", server.address()))).await;
    let error = wrong.unwrap_err();
    assert!(matches!(error, RedisOpenError::Unreachable { .. }), "{error:?}");
    assert!(
        !format!("{error} {error:?} {store:?}").contains("hunter2") && !format!("{store:?}").contains("p@ss")
    );
}

/// Over TLS, with an authority of its own; a certificate that nobody vouches for is refused.
#[tokio::test]
async fn encrypted() {
    let data = |name: &str| format!("{}/tests/data/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let server = Redis::start(&[]);
    server.command(&[
        "CONFIG",
        "SET",
        "tls-cert-file",
        &data("server.pem"),
        "tls-key-file",
        &data("server.key"),
    ]);
    server.command(&["CONFIG", "SET", "tls-ca-cert-file", &data("authority.pem"), "tls-auth-clients", "no"]);
    let port = servers::free_port();
    server.command(&["CONFIG", "SET", "tls-port", &port.to_string()]);
    let url = format!("rediss://127.0.0.1:{port}");
    let root_certificate = Some(std::fs::read(data("authority.pem")).unwrap());
    let store = RedisLiveStore::open(RedisOptions { root_certificate, ..options(&url) }).await.unwrap();
    suite::live(&store, limits()).await;
    let stranger = RedisLiveStore::open(options(&url)).await;
    assert!(matches!(stranger, Err(RedisOpenError::Unreachable { .. })), "{stranger:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicated() {
    let (primary, _replica) = pair(&[]);
    let store = open(&format!("{}?replicas=1", primary.url())).await;
    assert_eq!(store.notices(), []);
    suite::live(&store, limits()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster() {
    let cluster = Cluster::start();
    // All hosts named, or one of them that knows the others.
    for url in [cluster.url(), cluster.servers[1].url()] {
        let store = open(&url).await;
        suite::live(&store, limits()).await;
    }
    let keys: Vec<u32> =
        cluster.servers.iter().map(|server| server.command(&["DBSIZE"]).parse().unwrap()).collect();
    assert!(keys.iter().all(|keys| *keys > 3), "every server has rooms: {keys:?}");
}

/// The primary of a Sentinel group is killed while rooms append, its link to the replica cut first: what was
/// confirmed is there, in one chain, and the owners go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failover_in_the_middle_of_appends() {
    let mut watched = Watched::start();
    let patience = Duration::from_millis(300);
    let options =
        RedisOptions { connect_timeout: patience, wait_timeout: patience, ..options(&watched.url()) };
    let store = RedisLiveStore::open(options).await.unwrap();
    let mut owners = Vec::new();
    for _ in 0..8 {
        owners.push(newcomer(&store, "failover").await);
    }
    for n in 0..20 {
        for owner in &mut owners {
            insist(owner, &n.to_string()).await;
        }
    }
    // Cut: the replicas hear nothing, so nothing may be confirmed from here on.
    watched.servers[1..].iter().for_each(Redis::freeze);
    let confirmed: Vec<Position> = owners.iter().map(|owner| owner.at).collect();
    let lost: Vec<_> = owners.iter().map(|owner| store.append(owner.next(["never seen"]))).collect();
    for answer in lost {
        let answer = answer.await;
        assert!(matches!(answer, Err(AppendError::Unknown)), "{answer:?}");
    }
    watched.servers[0].kill();
    let killed = Instant::now();
    watched.servers[1..].iter().for_each(Redis::thaw);
    // An owner whose first answer was unknown repeats the identical batch.
    for owner in &mut owners {
        insist(owner, "never seen").await;
    }
    println!("first records confirmed {} ms after the kill", killed.elapsed().as_millis());
    for n in 0..20 {
        for owner in &mut owners {
            insist(owner, &n.to_string()).await;
        }
    }
    for (owner, confirmed) in owners.iter().zip(confirmed) {
        let room = store.load(owner.room.clone()).await.unwrap();
        assert_eq!(room.position, owner.at);
        assert_eq!(room.tail.len(), 41);
        let last = usize::try_from(confirmed.last.0).unwrap();
        let before: Vec<String> = room.tail[..last]
            .iter()
            .map(|entry| String::from_utf8_lossy(&entry.payload).into_owned())
            .collect();
        assert_eq!(before, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}

/// The primary is frozen, replaced and wakes up believing that it still is the primary: nothing it says counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_wakes_up_too_late() {
    let watched = Watched::start();
    let patience = Duration::from_millis(300);
    let options = RedisOptions {
        connect_timeout: patience,
        wait_timeout: patience,
        answer_timeout: patience,
        ..options(&watched.url())
    };
    let store = RedisLiveStore::open(options).await.unwrap();
    let mut owner = newcomer(&store, "late").await;
    for n in 0..5 {
        insist(&mut owner, &n.to_string()).await;
    }
    watched.servers[0].freeze();
    for n in 5..10 {
        insist(&mut owner, &n.to_string()).await;
    }
    watched.servers[0].thaw();
    for n in 10..15 {
        insist(&mut owner, &n.to_string()).await;
    }
    let room = store.load(owner.room.clone()).await.unwrap();
    assert_eq!((room.position, room.tail.len()), (owner.at, 15));
}

/// One server of a Cluster is away: the rooms of the others go on, and its own once it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_without_one_of_its_servers() {
    let mut cluster = Cluster::start();
    for server in &cluster.servers {
        server.command(&["CONFIG", "SET", "cluster-require-full-coverage", "no", "appendfsync", "always"]);
    }
    let store = open(&cluster.url()).await;
    let mut owners = Vec::new();
    for _ in 0..12 {
        owners.push(newcomer(&store, "part").await);
    }
    cluster.servers[0].kill();
    let mut answers = Vec::new();
    for owner in &owners {
        answers.push(store.append(owner.next(["x"])).await);
    }
    let done = answers.iter().filter(|answer| answer.is_ok()).count();
    let unknown = answers.iter().filter(|answer| matches!(answer, Err(AppendError::Unknown))).count();
    assert!(done > 0 && unknown > 0 && done + unknown == 12, "{answers:?}");
    cluster.servers[0].restart();
    for owner in &mut owners {
        let batch = owner.next(["x"]);
        if let Ok(at) = store.append(batch).await {
            owner.at = at;
        } else {
            insist(owner, "x").await;
        }
        assert_eq!(owner.at.last, Seq(1));
    }
}

/// An owner that slept through a failover must not write before it asked for its room again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_makes_owners_seal_again() {
    let (mut primary, replica) = pair(&[]);
    let url = |server: &Redis| format!("redis://{}", server.address());
    let old = open(&format!("{}?replicas=1", url(&primary))).await;
    let mut owner = Owner::new(&old, "reseal").await;
    owner.append(["a"]).await;
    primary.kill();
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    let new = open(&url(&replica)).await;
    let mut owner = Owner { store: &new, ..owner };
    let refused = new.append(owner.next(["b"])).await;
    assert!(matches!(refused, Err(AppendError::Fenced { fence }) if fence == owner.token), "{refused:?}");
    let relisted = new.relist(owner.room.clone(), owner.token, Bytes::new()).await;
    assert!(matches!(relisted, Err(RoomError::Fenced { .. })), "{relisted:?}");
    assert_eq!(new.seal(owner.room.clone(), owner.token).await.unwrap(), owner.at);
    owner.append(["b"]).await;
    // The same server after a restart is not the same data set either.
    let mut replica = replica;
    wait_until("its append-only file is whole", || {
        ["aof_rewrite_in_progress", "aof_rewrite_scheduled"].iter().all(|field| replica.info(field) == "0")
    });
    replica.restart_as_primary();
    insist(&mut owner, "c").await;
    assert_eq!(new.load(owner.room.clone()).await.unwrap().tail.len(), 3);
}

/// Without its replica a primary confirms nothing: what it has is of unknown outcome, and repeats settle it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_confirmations_are_not_durable() {
    let (primary, replica) = pair(&[]);
    let options = RedisOptions {
        wait_timeout: Duration::from_millis(50),
        ..options(&format!("{}?replicas=1", primary.url()))
    };
    let store = RedisLiveStore::open(options).await.unwrap();
    let mut owner = newcomer(&store, "wait").await;
    insist(&mut owner, "a").await;
    replica.freeze();
    let batch = owner.next(["b"]);
    for _ in 0..3 {
        assert!(matches!(store.append(batch.clone()).await, Err(AppendError::Unknown)));
    }
    assert!(matches!(store.seal(owner.room.clone(), token(2, 1)).await, Err(RoomError::Unknown)));
    let other = registration(&fresh_room("wait"), token(1, 1));
    let answer = store.register(other.clone()).await;
    assert!(matches!(answer, Err(RegisterError::Refused(RoomError::Unknown))), "{answer:?}");
    // Telling of it would tell what a failover may take back, on any connection.
    let mut load = store.load(owner.room.clone());
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut load).await.is_err());
    replica.thaw();
    wait_until("the replica has caught up", || replica.info("master_link_status") == "up");
    let room = load.await.unwrap();
    assert_eq!((room.tail.len(), room.fence), (2, token(2, 1)));
    assert_eq!(store.seal(owner.room.clone(), token(2, 1)).await.unwrap().last, Seq(2));
    assert!(matches!(store.append(batch).await, Err(AppendError::Fenced { .. })));
    store.register(other).await.unwrap();
}

/// A frozen primary: the answer is `Unknown` within the configured time, and later calls work again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_makes_outcomes_unknown() {
    let server = Redis::start(&[]);
    let quick = Duration::from_millis(150);
    let options = RedisOptions {
        wait_timeout: quick,
        answer_timeout: quick,
        connect_timeout: quick,
        ..options(&server.url())
    };
    let store = RedisLiveStore::open(options).await.unwrap();
    let mut owner = newcomer(&store, "frozen").await;
    insist(&mut owner, "a").await;
    server.freeze();
    let start = Instant::now();
    let (first, second) = {
        let first = owner.next(["b"]);
        let mut ahead = Owner { store: &store, room: owner.room.clone(), token: owner.token, at: owner.at };
        ahead.at = batch_end(&first);
        (first, ahead.next(["c"]))
    };
    // The second is queued behind the first: it must not be called a gap.
    let (one, two) = (store.append(first.clone()), store.append(second.clone()));
    assert!(matches!(one.await, Err(AppendError::Unknown)));
    assert!(matches!(two.await, Err(AppendError::Unknown)));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    // A connection attempt to it ends too.
    assert!(matches!(store.append(first.clone()).await, Err(AppendError::Unknown)));
    server.thaw();
    insist(&mut owner, "b").await;
    insist(&mut owner, "c").await;
    let load = store.load(owner.room.clone()).await.unwrap();
    assert_eq!((load.tail.len(), load.position), (3, owner.at));
}

fn batch_end(append: &everplay_live::Append) -> Position {
    let mut at = Position { last: Seq(append.expected.0 - 1), chain: append.prev };
    for payload in &append.payloads {
        let seq = at.last.next();
        let entry = record::Record {
            kind: record::Kind::Entry,
            flags: 0,
            epoch: append.token.epoch,
            seq,
            prev: at.chain,
            payload,
        };
        at = Position { last: seq, chain: record::encode(&entry, &mut Vec::new()) };
    }
    at
}

/// When the memory is full, what adds is refused with nothing written, and what guards or frees still works.
#[tokio::test]
async fn full_memory_and_later_success() {
    let server = Redis::start(&[]);
    let store = open(&server.url()).await;
    let mut owner = Owner::new(&store, "full").await;
    owner.append(["a"]).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let batch = owner.next(["b"]);
    assert!(matches!(store.append(batch.clone()).await, Err(AppendError::Full)));
    let other = registration(&fresh_room("full"), token(1, 1));
    let answer = store.register(other.clone()).await;
    assert!(matches!(answer, Err(RegisterError::Refused(RoomError::Full))), "{answer:?}");
    let answer = owner.publish(b"image").await;
    assert!(matches!(answer, Err(everplay_live::SnapshotError::Refused(RoomError::Full))), "{answer:?}");
    // Opened anew while it is full, the store takes its rooms over and reads them.
    let second = open(&server.url()).await;
    assert_eq!(second.seal(owner.room.clone(), owner.token).await.unwrap(), owner.at);
    assert_eq!(second.load(owner.room.clone()).await.unwrap().tail.len(), 1);
    assert_eq!(second.list(None).await.unwrap().len(), 1);
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(store.append(batch).await.unwrap().last, Seq(2));
    store.register(other).await.unwrap();
}

/// The functions vanish (a new empty server in the Cluster, an operator's flush): they are loaded, and the same calls
/// repeated, without the caller noticing.
#[tokio::test]
async fn lost_functions_are_loaded_again() {
    let server = Redis::start(&[]);
    let store = open(&server.url()).await;
    let mut owner = Owner::new(&store, "functions").await;
    owner.append(["a"]).await;
    server.command(&["FUNCTION", "FLUSH", "SYNC"]);
    owner.append(["b"]).await;
    server.command(&["FUNCTION", "FLUSH", "SYNC"]);
    assert_eq!(store.load(owner.room.clone()).await.unwrap().tail.len(), 2);
}

/// SIGKILL of a lone Redis with its append-only file: rooms are there again, once they are sealed again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_server_is_restarted() {
    let mut server = Redis::start(&["--appendfsync", "always"]);
    let store = open(&server.url()).await;
    let mut owner = Owner::new(&store, "restart").await;
    for n in 0..10 {
        insist(&mut owner, &n.to_string()).await;
    }
    server.kill();
    assert!(matches!(store.append(owner.next(["x"])).await, Err(AppendError::Unknown)));
    let listing = store.list(None).await;
    assert!(matches!(listing, Err(RoomError::Unknown)), "{listing:?}");
    // A load that begins while it is away waits for it, and never says that there is no such room.
    let load = store.load(owner.room.clone());
    server.restart();
    assert_eq!(load.await.unwrap().position, owner.at);
    insist(&mut owner, "x").await;
    assert_eq!(store.load(owner.room.clone()).await.unwrap().tail.len(), 11);
}

#[tokio::test]
async fn unsafe_servers_are_refused() {
    let server = Redis::start(&["--appendonly", "no"]);
    let store = open(&server.url()).await;
    assert_eq!(store.notices(), [RedisNotice::Alone { replicas: 0 }, RedisNotice::NoAppendOnlyFile]);
    let error = RedisLiveStore::open(options(&format!("{}?replicas=1", server.url()))).await.unwrap_err();
    let missing = UnsafeRedis::Replicas { need: 1, have: 0 };
    assert!(matches!(&error, RedisOpenError::Unsafe { source, .. } if *source == missing), "{error}");
    server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let error = RedisLiveStore::open(options(&server.url())).await.unwrap_err();
    assert!(error.to_string().contains("noeviction"), "{error}");
    let mut gone = options("redis://127.0.0.1:1");
    gone.durability = RedisDurability::Replicas(NonZeroU8::MIN);
    assert!(matches!(RedisLiveStore::open(gone).await, Err(RedisOpenError::Unreachable { .. })));
}

/// Directories stay right across crashes between the two writes, and forget closed rooms.
#[tokio::test]
async fn directories_pass_over_leftovers() {
    let server = Redis::start(&[]);
    let retention = Duration::from_millis(50);
    let store = RedisLiveStore::open(RedisOptions { retention, ..options(&server.url()) }).await.unwrap();
    let mut owner = Owner::new(&store, "leftover").await;
    owner.append(["a"]).await;
    owner.publish(b"image").await.unwrap();
    // A crash after the first write of a registration, now and long ago.
    let directory = "everplay:{default}:rooms";
    let now = server.command(&["TIME"]).lines().next().unwrap().to_owned();
    server.command(&["HSET", directory, "just-now", &now, "long-ago", "1000"]);
    assert_eq!(store.list(None).await.unwrap().len(), 1);
    let names = server.command(&["HKEYS", directory]);
    assert!(names.contains("just-now") && !names.contains("long-ago"), "{names}");
    store.close(owner.room.clone(), owner.token).await.unwrap();
    wait_until("the name is taken out", || !server.command(&["HKEYS", directory]).contains("leftover"));
    // After the retention nothing of the room is left.
    wait_until("the journal is gone", || server.command(&["KEYS", "*leftover*"]).is_empty());
    assert!(matches!(store.load(owner.room.clone()).await, Err(LoadError::NotFound)));
    assert!(matches!(store.close(owner.room.clone(), owner.token).await, Err(RoomError::NotFound)));
}

/// What is damaged is said to be damaged, with its place; a damaged newer image is passed over.
#[tokio::test]
async fn damage_is_found() {
    let server = Redis::start(&[]);
    let store = open(&server.url()).await;
    let mut owner = Owner::new(&store, "damage").await;
    owner.append(["a"]).await;
    owner.publish(b"first").await.unwrap();
    owner.append(["b"]).await;
    owner.publish(b"second").await.unwrap();
    owner.append(["c"]).await;
    let image = server.command(&["KEYS", "*:s:00000000000000000002:*"]);
    server.command(&["SETRANGE", &image, "41", "x"]);
    let room = store.load(owner.room.clone()).await.unwrap();
    assert_eq!(&*room.snapshot.unwrap().bytes, b"first");
    assert_eq!((room.tail.len(), room.passed_over.len()), (2, 1));
    let first = server.command(&["KEYS", "*:s:00000000000000000001:*"]);
    server.command(&["DEL", &first]);
    let room = store.load(owner.room.clone()).await.unwrap();
    assert_eq!((room.snapshot, room.tail.len(), room.passed_over.len()), (None, 3, 2));
    let journal = format!("everplay:{{default/{}}}:journal", owner.room.room);
    server.command(&["XDEL", &journal, "2-0"]);
    let damaged = store.load(owner.room.clone()).await;
    assert!(matches!(&damaged, Err(LoadError::Corrupt(place)) if place.file == journal), "{damaged:?}");
    // A journal longer than its head: the append is refused, nothing is overwritten.
    server.command(&["XADD", &journal, "9-0", "r", "x"]);
    let answer = store.append(owner.next(["d"])).await;
    assert!(matches!(answer, Err(AppendError::Corrupt(_))), "{answer:?}");
}
