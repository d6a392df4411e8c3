//! Buckets on real servers of Redis: alone, as a Cluster, shared by nodes, and away.

mod servers;

use everplay_live::suite::{self, Owner};
use everplay_live::{
    Allowance, Allowances, Bucket, RedisAddress, RedisAllowances, RedisLiveStore, RedisOptions,
};
use servers::redis::{Cluster, Redis};
use std::time::{Duration, Instant};

const BUCKET: Bucket = Bucket { size: 100, fills_in: Duration::from_secs(60) };

/// With patience for a busy machine.
async fn open(url: &str) -> RedisAllowances {
    let options = RedisOptions {
        connect_timeout: Duration::from_secs(2),
        ..RedisOptions::new(RedisAddress::parse(url).unwrap())
    };
    RedisLiveStore::open(options).await.unwrap().allowances()
}

/// Asks until the servers answer.
async fn insist(allowances: &RedisAllowances, name: &str) -> Allowance {
    let start = Instant::now();
    loop {
        match allowances.take(name, BUCKET).await {
            Ok(answer) => return answer,
            Err(error) => assert!(start.elapsed() < Duration::from_secs(20), "{error}"),
        }
    }
}

#[tokio::test]
async fn alone_and_as_a_cluster() {
    let server = Redis::start(&[]);
    suite::allowances(&open(&server.url()).await).await;
    let cluster = Cluster::start();
    let allowances = open(&cluster.url()).await;
    suite::allowances(&allowances).await;
    for n in 0..60 {
        insist(&allowances, &n.to_string()).await;
    }
    for server in &cluster.servers {
        assert_ne!(server.command(&["DBSIZE"]), "0");
    }
}

/// What one node takes is missing for the others; the keys vanish by themselves and say nothing of who asked.
#[tokio::test]
async fn nodes_share_and_nothing_stays() {
    let server = Redis::start(&[]);
    let nodes = [open(&server.url()).await, open(&server.url()).await, open(&server.url()).await];
    let mut taken = 0;
    'all: loop {
        for node in &nodes {
            match node.take("network 192.0.2.1", BUCKET).await.unwrap() {
                Allowance::Taken { .. } => taken += 1,
                Allowance::Empty { .. } => break 'all,
            }
        }
    }
    assert!((100..=110).contains(&taken), "{taken}");
    let keys = server.command(&["KEYS", "*rate*"]);
    assert!(keys.starts_with("everplay:rate:{") && !keys.contains("192.0.2.1"), "{keys}");
    let expires: u64 = server.command(&["PTTL", &keys]).parse().unwrap();
    assert!((50_000..=60_001).contains(&expires), "{expires} ms");
    // One request is forgotten as soon as it is made up for: a hundredth of a minute.
    nodes[0].take("somebody", BUCKET).await.unwrap();
    servers::wait_until("the other key expires", || server.command(&["DBSIZE"]) == "1");
}

/// Connections of their own: rooms and buckets do not wait for each other's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_have_their_own_connections() {
    let server = Redis::start(&[]);
    let options = RedisOptions::new(RedisAddress::parse(&server.url()).unwrap());
    let store = RedisLiveStore::open(options).await.unwrap();
    // The one that looks is one of them; those that found the server are closed.
    let connections = |wanted: &str| {
        servers::wait_until("connections are opened and closed", || {
            server.info("connected_clients") == wanted
        });
    };
    connections("1");
    let allowances = store.allowances();
    insist(&allowances, "x").await;
    connections("2");
    Owner::new(&store, "beside").await;
    connections("3");
}

#[tokio::test]
async fn errors_while_it_is_away_and_full_buckets_when_it_is_back() {
    let mut server = Redis::start(&["--appendonly", "no"]);
    let allowances = open(&server.url()).await;
    assert_eq!(insist(&allowances, "x").await, Allowance::Taken { remaining: 99 });
    server.command(&["FUNCTION", "FLUSH"]);
    assert_eq!(insist(&allowances, "y").await, Allowance::Taken { remaining: 99 });
    server.freeze();
    let start = Instant::now();
    allowances.take("x", BUCKET).await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    server.thaw();
    server.kill();
    allowances.take("x", BUCKET).await.unwrap_err();
    server.restart();
    assert_eq!(insist(&allowances, "x").await, Allowance::Taken { remaining: 99 });
    // Memory that is full is for rooms.
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let error = allowances.take("z", BUCKET).await.unwrap_err();
    assert!(error.to_string().contains("takes no more"), "{error}");
}
