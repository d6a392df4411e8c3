//! The arbiter on a real PostgreSQL: alone, with a synchronous standby, restarted, cancelled and raced.

mod servers;

use everplay_live::suite::{self, fresh_room};
use everplay_live::{
    Arbiter, ArbiterError, GrantError, GrantsOf, Incarnation, NodeRow, NodeState, PostgresArbiter,
    PostgresError, PostgresOptions,
};
use everplay_types::{Epoch, ProcessId};
use servers::postgres::Postgres;
use servers::wait_until;
use std::time::{Duration, Instant};

const ME: Incarnation = Incarnation([1; 16]);
const OTHER: Incarnation = Incarnation([2; 16]);

async fn open(server: &Postgres) -> PostgresArbiter {
    PostgresArbiter::open(PostgresOptions::new(server.url())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_and_what_is_refused() {
    let server = Postgres::start();
    // Several nodes start at once: the tables are made once.
    let opening: Vec<_> = (0..4)
        .map(|_| {
            let options =
                PostgresOptions { schema: "games_2".to_owned(), ..PostgresOptions::new(server.url()) };
            tokio::spawn(PostgresArbiter::open(options))
        })
        .collect();
    let mut arbiters = Vec::new();
    for opening in opening {
        arbiters.push(opening.await.unwrap().unwrap());
    }
    for arbiter in &arbiters[..2] {
        assert!(!arbiter.has_standby());
        suite::arbiter(arbiter).await;
    }
    // Of several nodes exactly one is granted each room, also in batches that meet.
    let rooms: Vec<_> = (0..40).map(|_| fresh_room("race")).collect();
    let mut won = 0;
    let asked: Vec<_> = arbiters
        .iter()
        .enumerate()
        .flat_map(|(n, arbiter)| {
            let order: Vec<_> =
                if n % 2 == 0 { rooms.clone() } else { rooms.iter().rev().cloned().collect() };
            let owner = Incarnation([u8::try_from(n).unwrap(); 16]);
            order.into_iter().map(move |room| (room.clone(), owner, arbiter.grant(room, Epoch::NONE, owner)))
        })
        .collect();
    for (room, owner, answer) in asked {
        let current = match answer.await {
            Ok(token) => {
                won += 1;
                arbiters[0]
                    .current(room)
                    .await
                    .unwrap()
                    .filter(|grant| grant.token == token && grant.owner == owner)
            }
            Err(GrantError::Taken { current, .. }) => current,
            Err(error) => panic!("{error}"),
        };
        assert!(current.is_some());
    }
    assert_eq!(won, rooms.len());
    let tables = server.query("select count(*) from pg_tables where schemaname = 'games_2'");
    assert_eq!(tables, "2");
    // A take-over's question does not read the rows of every other node.
    let plan = server.query(
        "set enable_seqscan = off; explain select room from games_2.room_grants where owner = '\\x01'",
    );
    assert!(plan.contains("room_grants_owner"), "{plan}");

    let strict = PostgresOptions { require_standby: true, ..PostgresOptions::new(server.url()) };
    assert!(matches!(PostgresArbiter::open(strict).await, Err(PostgresError::NoStandby)));
    let injected = PostgresOptions { schema: "a; drop".to_owned(), ..PostgresOptions::new(server.url()) };
    assert!(matches!(PostgresArbiter::open(injected).await, Err(PostgresError::Schema)));
    let wrong = PostgresArbiter::open(PostgresOptions::new("hunter2")).await.unwrap_err();
    assert!(matches!(wrong, PostgresError::Url) && !format!("{wrong:?}").contains("hunter2"));
    let gone = PostgresOptions::new("postgres://u:hunter2@127.0.0.1:1/x");
    let error = PostgresArbiter::open(gone).await.unwrap_err();
    assert!(matches!(error, PostgresError::Refused(_)) && !format!("{error} {error:?}").contains("hunter2"));
    // A role whose commits do not wait, and whose statements are cancelled, is put right.
    server.execute("alter role postgres set synchronous_commit = off");
    server.execute("alter role postgres set statement_timeout = 1");
    let arbiter = open(&server).await;
    arbiter.grant(fresh_room("role"), Epoch::NONE, ME).await.unwrap();
    server.execute("alter system set fsync = off");
    server.execute("select pg_reload_conf()");
    wait_until("fsync is off", || server.query("show fsync") == "off");
    let refused = PostgresArbiter::open(PostgresOptions::new(server.url())).await;
    assert!(matches!(refused, Err(PostgresError::Unsafe { setting: "fsync" })), "{refused:?}");
}

/// Killed while grants are on their way: every answered grant is in force afterwards, every other is settled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_middle() {
    let mut server = Postgres::start();
    let arbiter = open(&server).await;
    let room = fresh_room("restart");
    let first = arbiter.grant(room.clone(), Epoch::NONE, ME).await.unwrap();
    let granting = {
        let (arbiter, room) = (arbiter.clone(), room.clone());
        tokio::spawn(async move {
            let (mut token, start) = (first, Instant::now());
            while start.elapsed() < Duration::from_secs(3) {
                // The same owner raises its own epoch again and again; nobody else asks.
                token = arbiter.grant(room.clone(), token.epoch, ME).await.unwrap();
            }
            token
        })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.kill();
    server.restart();
    let last = granting.await.unwrap();
    let current = arbiter.current(room.clone()).await.unwrap().unwrap();
    assert_eq!((current.token, current.owner), (last, ME));
    assert!(last.epoch > Epoch(10), "{last:?}");

    // While it is away nothing is granted, and nothing is assumed.
    server.kill();
    let patience = Duration::from_millis(300);
    let options = PostgresOptions { patience, ..PostgresOptions::new(server.url()) };
    let unreachable = PostgresArbiter::open(options.clone()).await;
    assert!(matches!(unreachable, Err(PostgresError::Refused(_))), "{unreachable:?}");
    server.restart();
    let impatient = PostgresArbiter::open(options).await.unwrap();
    server.kill();
    let answer = impatient.grant(room.clone(), last.epoch, OTHER).await;
    assert!(matches!(answer, Err(GrantError::Unknown | GrantError::Later { .. })), "{answer:?}");
    assert!(matches!(impatient.current(room.clone()).await, Err(ArbiterError::Later)));
    assert!(matches!(impatient.retire(room.clone(), last).await, Err(ArbiterError::Later)));
    server.restart();
    assert_eq!(impatient.current(room).await.unwrap().unwrap().token, last);
}

/// A standby that confirms nothing: the grant waits. Cancelling the wait does not make it a success; the standby's
/// confirmation does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_wait_is_no_grant() {
    let server = Postgres::start();
    let standby = server.synchronous_standby();
    let strict = PostgresOptions { require_standby: true, ..PostgresOptions::new(server.url()) };
    let arbiter = PostgresArbiter::open(strict).await.unwrap();
    assert!(arbiter.has_standby());
    suite::arbiter(&arbiter).await;
    let on_standby = PostgresArbiter::open(PostgresOptions::new(standby.url())).await;
    assert!(matches!(on_standby, Err(PostgresError::Standby)), "{on_standby:?}");

    let room = fresh_room("cancel");
    let frozen = standby.freeze_receiver();
    let grant = tokio::spawn(arbiter.grant(room.clone(), Epoch::NONE, ME));
    let waiting =
        "from pg_stat_activity where wait_event = 'SyncRep' and application_name = 'everplay-arbiter'";
    wait_until("the grant waits", || server.query(&format!("select count(*) {waiting}")) == "1");
    server.query(&format!("select pg_cancel_backend(pid) {waiting}"));
    let row = format!("select count(*) from everplay.room_grants where room = '{}'", room.room);
    wait_until("PostgreSQL calls it committed", || server.query(&row) == "1");
    wait_until("it is repeated", || server.query(&format!("select count(*) {waiting}")) == "1");
    assert!(!grant.is_finished(), "a cancelled wait must not be told as a grant");
    // Nodes are alive whatever grants wait for, and the grant that waits is not told.
    let node = NodeRow {
        incarnation: ME,
        process_id: ProcessId::new("p").unwrap(),
        address: "127.0.0.1:1".to_owned(),
        http: "127.0.0.1:2".to_owned(),
        version: "1".to_owned(),
        zone: String::new(),
    };
    arbiter.join(node).await.unwrap();
    arbiter.renew(ME, NodeState::default()).await.unwrap();
    assert_eq!(arbiter.nodes().await.unwrap().len(), 1);
    let held = arbiter.grants(GrantsOf::Owner(ME)).await.unwrap();
    assert!(!grant.is_finished() && held.iter().all(|(_, grant)| grant.owner == ME), "{held:?}");
    drop(frozen);
    let token = grant.await.unwrap().unwrap();
    assert_eq!(token.epoch, Epoch(1));
    assert_eq!(standby.query(&row), "1");

    // Nobody thaws it within the patience: unknown, and what happened is found out later.
    let patience = Duration::from_millis(500);
    let impatient = PostgresArbiter::open(PostgresOptions { patience, ..PostgresOptions::new(server.url()) });
    let impatient = impatient.await.unwrap();
    let frozen = standby.freeze_receiver();
    let answer = impatient.grant(room.clone(), token.epoch, OTHER).await;
    assert!(matches!(answer, Err(GrantError::Unknown)), "{answer:?}");
    drop(frozen);
    wait_until("the wait is over", || server.query(&format!("select count(*) {waiting}")) == "0");
    let current = impatient.current(room).await.unwrap().unwrap();
    assert_eq!((current.token.epoch, current.owner), (Epoch(2), OTHER));
}
