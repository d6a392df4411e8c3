//! The suite on a real PostgreSQL, and what only a server can do: go away, be full of waiting transactions, be changed by
//! somebody else.

#[path = "../../everplay-live/tests/servers/mod.rs"]
mod servers;

use everplay_records::{
    Condition, Item, Key, Paging, PostgresError, PostgresRecordStore, Query, RecordStore, StoreError, Table,
    Write, WriteError, item_of, suite,
};
use serde_json::{Value, json};
use servers::postgres::Postgres;
use std::sync::Arc;
use std::time::{Duration, Instant};

async fn open(server: &Postgres) -> Arc<PostgresRecordStore> {
    Arc::new(PostgresRecordStore::open(&server.url()).await.unwrap())
}

fn put(table: Table, value: Value, condition: Condition) -> Write {
    Write::Put { table, item: item_of(&value), condition }
}

fn line(name: &str, version: u64) -> Value {
    json!({ "connectionId": format!("default/{name}"), "version": version })
}

fn key(name: &str) -> Key {
    Key::single(format!("default/{name}"))
}

async fn version(store: &PostgresRecordStore, name: &str) -> Option<u64> {
    let found = store.get(Table::Line, key(name)).await.unwrap();
    found.map(|item| item["version"].as_u64().unwrap())
}

/// What connections counted is published when they end.
fn no_connection_is_left(server: &Postgres) {
    servers::wait_until("no connection is left", || {
        server.query("select count(*) from pg_stat_activity where application_name = 'everplay-records'")
            == "0"
    });
}

fn query(table: Table, index: Option<&'static str>, partition: &str) -> Query {
    Query {
        table,
        index,
        partition: partition.into(),
        from: None,
        descending: false,
        paging: Paging::first(10),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_on_postgresql() {
    let server = Postgres::start();
    let stores = tokio::join!(open(&server), open(&server), open(&server));
    suite::all(stores.0).await;
    // On what is there already, and by a role that may make nothing.
    server.execute("create role plain login");
    server.execute("grant usage on schema everplay to plain");
    server.execute("grant select, insert, update, delete on all tables in schema everplay to plain");
    let url = server.url().replace("postgres@", "plain@");
    suite::all(Arc::new(PostgresRecordStore::open(&url).await.unwrap())).await;
}

/// Many transactions over the same keys, each in an order of its own, that put and delete: none waits for another in a
/// circle, and each happens whole.
#[tokio::test(flavor = "multi_thread")]
async fn transactions_in_any_order_neither_fail_nor_mix() {
    const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    const WRITERS: u64 = 12;
    const ROUNDS: u64 = 25;
    let server = Postgres::start();
    let stores = [open(&server).await, open(&server).await];
    let write = |at: usize, tag: u64, turn: u64| {
        let (name, condition) = (NAMES[at], Condition::Always);
        let ticket = format!("default/{name}");
        match (turn % 4, at % 2) {
            (0, 0) => Write::Delete { table: Table::Line, key: key(name), condition },
            (0, _) => Write::Delete { table: Table::Tickets, key: Key::pair(ticket, 0), condition },
            (_, 0) => put(Table::Line, line(name, tag), condition),
            _ => put(
                Table::Tickets,
                json!({ "ticketId": ticket, "part": 0, "version": tag, "customer": "default", "updatedAt": tag }),
                condition,
            ),
        }
    };
    let writers = (0..WRITERS).map(|writer| {
        let store = Arc::clone(&stores[writer as usize % 2]);
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                let mut order: Vec<usize> = (0..NAMES.len()).collect();
                let start = (writer * 7 + round) as usize % NAMES.len();
                order.rotate_left(start);
                if round % 2 == 0 {
                    order.reverse();
                }
                let tag = writer * ROUNDS + round;
                let writes: Vec<_> = order.into_iter().map(|at| write(at, tag, writer + round)).collect();
                let began = Instant::now();
                // On a machine that is very slow some wait in vain.
                while let Err(error) = store.write(writes.clone()).await {
                    assert_eq!(error, WriteError::Store(StoreError::Throttled));
                    assert!(began.elapsed() < Duration::from_secs(60), "it never gets its turn");
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let mut tags = Vec::new();
    for (at, name) in NAMES.into_iter().enumerate() {
        let (table, key) = match at % 2 {
            0 => (Table::Line, key(name)),
            _ => (Table::Tickets, Key::pair(format!("default/{name}"), 0)),
        };
        tags.push(stores[0].get(table, key).await.unwrap().map(|item| item["version"].clone()));
    }
    assert!(tags.iter().all(|tag| *tag == tags[0]), "{tags:?}");
    let listed = stores[1].query(query(Table::Tickets, Some("CustomerTickets"), "default")).await.unwrap();
    assert_eq!(listed.items.len(), if tags[0].is_some() { 3 } else { 0 });
    drop(stores);
    no_connection_is_left(&server);
    assert_eq!(server.query("select sum(deadlocks) from pg_stat_database"), "0");
}

/// Each puts its record only if the other's is not there: not both.
#[tokio::test(flavor = "multi_thread")]
async fn an_absence_that_was_checked_lasts_until_the_commit() {
    let server = Postgres::start();
    let store = open(&server).await;
    for round in 0..60 {
        let (one, two) = (format!("one{round}"), format!("two{round}"));
        let only = |mine: &str, other: &str| {
            let condition = Condition::Absent;
            let check = Write::Check { table: Table::Line, key: key(other), condition };
            let put = put(Table::Line, line(mine, 1), condition);
            store.write(if round % 2 == 0 { vec![check, put] } else { vec![put, check] })
        };
        let done = tokio::join!(only(&one, &two), only(&two, &one));
        let written = [done.0.is_ok(), done.1.is_ok()];
        assert_eq!(written.iter().filter(|written| **written).count(), 1, "{done:?}");
        let refused = [done.0, done.1].into_iter().find_map(Result::err).unwrap();
        assert!(matches!(refused, WriteError::Refused { found: Some(_), .. }), "{refused}");
        let found = [version(&store, &one).await.is_some(), version(&store, &two).await.is_some()];
        assert_eq!(found, written);
    }
}

/// Keys, attributes of indexes and other text may hold any character; the order is that of their bytes.
#[tokio::test(flavor = "multi_thread")]
async fn text_is_kept_whatever_it_holds() {
    let server = Postgres::start();
    let store = open(&server).await;
    let times = ["\0", "\0\u{1}", "'; drop table record_games; --", "Z", "a", "ä", "\u{ffff}", "\u{1F680}"];
    let item = |at: usize| -> Item {
        item_of(&json!({
            "connectionId": format!("default/{at}\0'\""), "status": "default/\0\\", "joinedAt": times[at],
            "text": "\0 \u{0} $1 %s \\u0000 \u{1F680}", "\0": { "\0": ["\0"] },
        }))
    };
    for at in (0..times.len()).rev() {
        let write = Write::Put { table: Table::Line, item: item(at), condition: Condition::Absent };
        store.write(vec![write]).await.unwrap();
    }
    let both =
        (0..2).map(|at| Write::Put { table: Table::Line, item: item(at), condition: Condition::Always });
    store.write(both.collect()).await.unwrap();
    for at in 0..times.len() {
        let found = store.get(Table::Line, Key::single(format!("default/{at}\0'\""))).await.unwrap();
        assert_eq!(found, Some(item(at)));
    }
    let mut page = query(Table::Line, Some("statusIndex"), "default/\0\\");
    page.paging.limit = 3;
    let mut listed = Vec::new();
    loop {
        let found = store.query(page.clone()).await.unwrap();
        listed.extend(found.items);
        page.paging.after = found.next;
        if page.paging.after.is_none() {
            break;
        }
    }
    assert_eq!(listed, (0..times.len()).map(item).collect::<Vec<_>>());
}

/// Versions up to the largest number there is, and attributes that no index can hold.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_and_sizes_at_their_ends() {
    let server = Postgres::start();
    let store = open(&server).await;
    let write = async |version: u64, condition| {
        store.write(vec![put(Table::Line, line("a", version), condition)]).await
    };
    write(u64::MAX - 1, Condition::Absent).await.unwrap();
    assert!(write(1, Condition::OlderThan(5)).await.is_err());
    write(u64::MAX, Condition::Version(u64::MAX - 1)).await.unwrap();
    assert!(write(1, Condition::OlderThan(u64::MAX)).await.is_err());
    assert_eq!(version(&store, "a").await, Some(u64::MAX));
    write(i64::MAX as u64, Condition::Version(u64::MAX)).await.unwrap();
    write(i64::MAX as u64 + 1, Condition::OlderThan(i64::MAX as u64 + 1)).await.unwrap();
    // Texts that do not compress.
    let letter = |_| char::from(rand::random_range(b'0'..=b'Z'));
    let long = |bytes: usize| (0..bytes).map(letter).collect::<String>();
    let of = |status: usize, joined: usize| {
        let item = json!({ "connectionId": long(1024), "status": long(status), "joinedAt": long(joined) });
        store.write(vec![put(Table::Line, item, Condition::Always)])
    };
    of(1000, 576).await.unwrap();
    let answer = of(1000, 577).await;
    assert!(matches!(answer, Err(WriteError::Store(StoreError::Invalid(_)))), "{answer:?}");
    let large = json!({ "connectionId": "default/l", "text": long(349 << 10) });
    store.write(vec![put(Table::Line, large, Condition::Always)]).await.unwrap();
}

/// Lists are read from an index, from the place where they begin, however long they are.
#[tokio::test(flavor = "multi_thread")]
async fn lists_read_what_they_show() {
    let server = Postgres::start();
    let store = open(&server).await;
    server.execute(
        "insert into everplay.record_games select 'default/g', n, json_build_object('gameId', 'default/g',
         'timestamp', n, 'playerId', 'default/p', 'createdAt', n / 3), 1, null, 'default/p', n / 3
         from generate_series(1, 30000) n",
    );
    server.execute("vacuum analyze everplay.record_games");
    let counted =
        "select seq_scan || ' ' || (select sum(idx_blks_hit + idx_blks_read) from pg_statio_user_indexes
                   where relname = 'record_games') from pg_stat_user_tables where relname = 'record_games'";
    let numbers = || {
        let text = server.query(counted);
        let (scans, blocks) = text.split_once(' ').unwrap();
        (scans.parse::<u64>().unwrap(), blocks.parse::<u64>().unwrap())
    };
    let settled = async |store: Arc<PostgresRecordStore>| {
        drop(store);
        no_connection_is_left(&server);
        numbers()
    };
    let mut pages = Vec::new();
    for (index, partition) in [(None, "default/g"), (Some("PlayerGames"), "default/p")] {
        for descending in [false, true] {
            for from in [None, Some(2000)] {
                let mut page = Query { from, descending, ..query(Table::Games, index, partition) };
                page.paging.limit = 3;
                pages.push(page.clone());
                page.paging.limit = 1000;
                for _ in 0..15 {
                    let found = store.query(page.clone()).await.unwrap();
                    page.paging.after = Some(found.next.expect("there are more"));
                }
                page.paging.limit = 3;
                pages.push(page);
            }
        }
    }
    let before = settled(store).await;
    let store = open(&server).await;
    // More often than PostgreSQL makes a plan anew for each call.
    for _ in 0..8 {
        for page in &pages {
            assert_eq!(store.query(page.clone()).await.unwrap().items.len(), 3);
        }
    }
    let after = settled(store).await;
    assert_eq!(before.0, after.0, "the table was read from its beginning");
    // A descent to the place and a few entries; from the list's beginning it were a hundred blocks.
    let (blocks, asked) = (after.1 - before.1, 8 * pages.len() as u64);
    assert!(blocks < asked * 6, "{blocks} blocks of the indexes for {asked} pages");
}

/// What has expired goes away for good, a bounded part at a time.
#[tokio::test(flavor = "multi_thread")]
async fn expired_records_are_taken_away() {
    let server = Postgres::start();
    let store = open(&server).await;
    server.execute(
        "insert into everplay.record_notices
         select convert_to('default/' || n, 'UTF8'), 0, '{}', 1, case when n <= 700 then n else 4000000000 end, null, null
         from generate_series(1, 1000) n",
    );
    let rows = || server.query("select count(*) from everplay.record_notices");
    let touch = |store: Arc<PostgresRecordStore>| async move {
        store.write(vec![put(Table::Line, line("a", 1), Condition::Always)]).await.unwrap();
    };
    touch(Arc::clone(&store)).await;
    servers::wait_until("500 are gone", || rows() == "500");
    // Not again so soon; another process has its own minute.
    touch(store).await;
    touch(open(&server).await).await;
    servers::wait_until("all that expired are gone", || rows() == "300");
}

/// The server dies in the middle of writes and comes back: what was answered is there, meanwhile it is said to be away.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_is_said_to_be_away_and_found_again() {
    let mut server = Postgres::start();
    let store = open(&server).await;
    let writers = (0..6).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut written = Vec::new();
            for number in 0.. {
                let name = format!("{writer}-{number}");
                match store.write(vec![put(Table::Line, line(&name, 1), Condition::Absent)]).await {
                    Ok(()) => written.push(name),
                    Err(error) => {
                        let away = matches!(
                            error,
                            WriteError::Store(
                                StoreError::Unavailable(_) | StoreError::Unknown(_) | StoreError::Throttled
                            )
                        );
                        assert!(away, "{error}");
                        break;
                    }
                }
            }
            written
        })
    });
    let writers: Vec<_> = writers.collect();
    servers::wait_until("many are written", || {
        server.query("select count(*) > 100 from everplay.record_tic_tac_toe_users") == "t"
    });
    server.kill();
    let mut written = Vec::new();
    for writer in writers {
        written.extend(writer.await.unwrap());
    }
    assert!(written.len() > 90, "{}", written.len());
    let away = store.get(Table::Line, key("0-0")).await.unwrap_err();
    assert!(matches!(away, StoreError::Unavailable(_)), "{away}");
    // A connection that was just in use may have died with the call on it; then nobody is there.
    let began = Instant::now();
    loop {
        match store.write(vec![put(Table::Line, line("b", 1), Condition::Always)]).await {
            Err(WriteError::Store(StoreError::Unavailable(_))) => break,
            Err(WriteError::Store(StoreError::Unknown(_))) => {}
            other => panic!("{other:?}"),
        }
        assert!(began.elapsed() < Duration::from_secs(20));
    }
    server.restart();
    // The first call finds it, whatever connections were left.
    store.write(vec![put(Table::Line, line("b", 2), Condition::Absent)]).await.unwrap();
    assert_eq!(version(&store, "b").await, Some(2));
    for name in written {
        assert_eq!(version(&store, &name).await, Some(1), "{name} was answered");
    }
}

/// A record that somebody else holds: its writers are told to come later, readers and other records do not notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_record_is_busy_for_writers_only() {
    use sqlx::Connection;
    let server = Postgres::start();
    let store = open(&server).await;
    let write = |names: &[&str], version| {
        store.write(
            names.iter().map(|name| put(Table::Line, line(name, version), Condition::Always)).collect(),
        )
    };
    write(&["a", "b"], 1).await.unwrap();
    let mut other = sqlx::PgConnection::connect(&server.url()).await.unwrap();
    sqlx::raw_sql(
        "begin; select * from everplay.record_tic_tac_toe_users where body like '%/b\"%' for update",
    )
    .execute(&mut other)
    .await
    .unwrap();
    let began = Instant::now();
    for names in [&["b"][..], &["a", "b", "c"]] {
        let answer = write(names, 2).await;
        assert!(matches!(answer, Err(WriteError::Store(StoreError::Throttled))), "{answer:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(10));
    write(&["a"], 3).await.unwrap();
    assert_eq!((version(&store, "a").await, version(&store, "b").await), (Some(3), Some(1)));
    drop(other);
    let began = Instant::now();
    while let Err(error) = write(&["b", "c"], 4).await {
        assert!(began.elapsed() < Duration::from_secs(20), "{error}");
    }
    assert_eq!((version(&store, "b").await, version(&store, "c").await), (Some(4), Some(4)));
}

/// More calls than may be under way are refused at once; the others are answered.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_are_bounded() {
    let server = Postgres::start();
    let store = open(&server).await;
    let mut calls: Vec<_> = (0..1124).map(|_| store.get(Table::Line, key("a"))).collect();
    for beyond in calls.split_off(1024) {
        assert_eq!(beyond.await, Err(StoreError::Throttled));
    }
    for call in calls.drain(..8) {
        assert_eq!(call.await, Ok(None));
    }
    // Those that nobody waits for any more make place.
    drop(calls);
    assert_eq!(version(&store, "a").await, None);
}

/// A commit that its standby does not confirm in time may have happened, and is settled by being repeated.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_its_standby_is_of_unknown_outcome() {
    let server = Postgres::start();
    let store = open(&server).await;
    let standby = server.synchronous_standby();
    let write = || store.write(vec![put(Table::Line, line("a", 1), Condition::Absent)]);
    store.write(vec![put(Table::Line, line("b", 1), Condition::Absent)]).await.unwrap();
    let frozen = standby.freeze_receiver();
    let answer = write().await;
    assert!(matches!(answer, Err(WriteError::Store(StoreError::Unknown(_)))), "{answer:?}");
    // Others neither see it nor take its place.
    assert_eq!(version(&store, "a").await, None);
    let answer = write().await;
    assert!(matches!(answer, Err(WriteError::Store(StoreError::Throttled))), "{answer:?}");
    drop(frozen);
    let began = Instant::now();
    loop {
        match write().await {
            Err(WriteError::Refused { at: 0, found: Some(found) }) => break assert_eq!(found["version"], 1),
            Ok(()) => panic!("it was written already"),
            Err(error) => assert!(began.elapsed() < Duration::from_secs(20), "{error}"),
        }
    }
}

/// Tables that somebody changed are told, those of a later release are used, and no error shows the password.
#[tokio::test(flavor = "multi_thread")]
async fn tables_that_differ_are_told() {
    let server = Postgres::start();
    let store = open(&server).await;
    server.execute("insert into everplay.record_migrations values (2)");
    server.execute("alter table everplay.record_games add column later text");
    PostgresRecordStore::open(&server.url()).await.unwrap();
    server.execute("drop index everplay.record_tickets_desk_tickets");
    let error = PostgresRecordStore::open(&server.url()).await.unwrap_err();
    assert!(
        matches!(&error, PostgresError::Tables(StoreError::Invalid(why)) if why.contains("record_tickets_desk_tickets")),
        "{error}"
    );
    assert!(matches!(store.create_tables().await, Err(StoreError::Invalid(_))));
    server.execute("alter table everplay.record_games drop column player_id");
    let why = store.create_tables().await.unwrap_err().to_string();
    assert!(why.contains("everplay.record_games has no column player_id"), "{why}");
    // Somebody's fault, not the call's: later.
    let answer = store.write(vec![put(
        Table::Games,
        json!({ "gameId": "default/a", "timestamp": 0 }),
        Condition::Always,
    )]);
    let answer = answer.await.unwrap_err();
    assert!(matches!(answer, WriteError::Store(StoreError::Unavailable(_))), "{answer}");
    for url in ["postgres://who:secret@[", "http://who:secret@host/db"] {
        let error = PostgresRecordStore::open(url).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
    }
}
