//! What every adapter must do, as cases that any adapter can run. For tests: a broken promise panics.
//!
//! Each case works for a customer of its own, so one store may serve all of them, in any order and side by side.

use crate::rules::now_s;
use crate::{
    Condition, Cursor, Game, GameId, GameMove, GamePlayer, GameStatus, Games, Item, Key, Line, LineChange,
    LineRecord, LineStatus, Paging, Query, RecordStore, Reply, Saved, StoreError, Table, Ticket, Tickets,
    Write, WriteError, item_of,
};
use everplay_types::{CustomerId, RoomId};
use serde_json::{Value, json};
use std::sync::Arc;

/// A store under test.
pub type Store = Arc<dyn RecordStore>;

/// Runs every case.
pub async fn all(store: Store) {
    store.create_tables().await.expect("the tables are made");
    store.create_tables().await.expect("making them again changes nothing");
    records_come_back_as_they_were(&store).await;
    conditions_decide(&store).await;
    all_or_none(&store).await;
    racing_writers_lose_nothing(&store).await;
    pages_cover_everything_once(&store).await;
    wrong_calls_are_refused(&store).await;
    expired_records_are_gone(&store).await;
    games_are_saved_once_and_found(&store).await;
    a_long_game_keeps_its_moves(&store).await;
    a_player_is_forgotten(&store).await;
    the_line_is_in_order(&store).await;
    what_rooms_tell_is_followed_once(&store).await;
    tickets_keep_their_replies(&store).await;
    tickets_carry_their_game_and_their_clock(&store).await;
    notices_are_taken_once(&store).await;
    articles_change_under_their_version(&store).await;
    customers_do_not_meet(&store).await;
}

fn customer(case: &str) -> CustomerId {
    // Stores may live longer than a run of the suite.
    CustomerId::new(format!("{case}-{:08x}", rand::random::<u32>())).expect("letters, digits and a line")
}

fn put(table: Table, value: Value, condition: Condition) -> Write {
    Write::Put { table, item: item_of(&value), condition }
}

fn refused_at(answer: Result<(), WriteError>) -> (usize, Option<Item>) {
    match answer {
        Err(WriteError::Refused { at, found }) => (at, found.map(|item| *item)),
        other => panic!("expected a refusal, not {other:?}"),
    }
}

/// Every kind of value survives.
pub async fn records_come_back_as_they_were(store: &Store) {
    let id = format!("{}/a", customer("values"));
    let item = json!({
        "connectionId": id, "status": "x/y", "joinedAt": "2026", "whole": -5, "large": 4_000_000_000_000u64, "part": 0.25,
        "text": "äöü \u{1F680} \" '", "empty": "", "yes": true, "no": false, "nothing": null,
        "list": [1, "two", [null]], "map": { "a": { "b": 1 } }, "none": [], "blank": {},
    });
    store.write(vec![put(Table::Line, item.clone(), Condition::Always)]).await.unwrap();
    let found = store.get(Table::Line, Key::single(id.clone())).await.unwrap();
    assert_eq!(found.map(Value::Object), Some(item));
    let delete =
        Write::Delete { table: Table::Line, key: Key::single(id.clone()), condition: Condition::Always };
    store.write(vec![delete.clone()]).await.unwrap();
    assert_eq!(store.get(Table::Line, Key::single(id)).await.unwrap(), None);
    store.write(vec![delete]).await.unwrap();
}

/// Each condition lets through what it says, and a refusal shows what is there.
pub async fn conditions_decide(store: &Store) {
    let id = format!("{}/a", customer("conditions"));
    let at = |version: u64| json!({ "connectionId": id, "version": version });
    let write = |version, condition| store.write(vec![put(Table::Line, at(version), condition)]);
    assert_eq!(refused_at(write(1, Condition::Version(1)).await), (0, None));
    write(1, Condition::Absent).await.unwrap();
    assert_eq!(refused_at(write(9, Condition::Absent).await), (0, Some(item_of(&at(1)))));
    write(2, Condition::Version(1)).await.unwrap();
    assert_eq!(refused_at(write(3, Condition::Version(1)).await).1, Some(item_of(&at(2))));
    assert_eq!(refused_at(write(2, Condition::OlderThan(2)).await).1, Some(item_of(&at(2))));
    write(5, Condition::OlderThan(5)).await.unwrap();
    let delete = |condition| {
        store.write(vec![Write::Delete { table: Table::Line, key: Key::single(id.clone()), condition }])
    };
    assert_eq!(refused_at(delete(Condition::Version(4)).await).0, 0);
    delete(Condition::Version(5)).await.unwrap();
    write(1, Condition::OlderThan(1)).await.unwrap();
}

/// A refused call changes nothing, whichever of its writes is refused.
pub async fn all_or_none(store: &Store) {
    let who = customer("transactions");
    let line =
        |name: &str, version: u64| json!({ "connectionId": format!("{who}/{name}"), "version": version });
    let key = |name: &str| Key::single(format!("{who}/{name}"));
    let first = vec![
        put(Table::Line, line("a", 1), Condition::Absent),
        put(Table::Line, line("b", 1), Condition::Absent),
        put(
            Table::Tickets,
            json!({ "ticketId": format!("{who}/t"), "part": 0, "version": 1 }),
            Condition::Absent,
        ),
    ];
    store.write(first).await.unwrap();
    let second = vec![
        put(Table::Line, line("a", 2), Condition::Version(1)),
        Write::Delete { table: Table::Line, key: key("b"), condition: Condition::Always },
        Write::Check {
            table: Table::Tickets,
            key: Key::pair(format!("{who}/t"), 0),
            condition: Condition::Version(7),
        },
    ];
    assert_eq!(refused_at(store.write(second.clone()).await).0, 2);
    assert_eq!(store.get(Table::Line, key("a")).await.unwrap(), Some(item_of(&line("a", 1))));
    assert!(store.get(Table::Line, key("b")).await.unwrap().is_some());
    let mut third = second;
    third[2] = Write::Check {
        table: Table::Tickets,
        key: Key::pair(format!("{who}/t"), 0),
        condition: Condition::Version(1),
    };
    store.write(third).await.unwrap();
    assert_eq!(store.get(Table::Line, key("a")).await.unwrap(), Some(item_of(&line("a", 2))));
    assert!(store.get(Table::Line, key("b")).await.unwrap().is_none());
}

/// Many change the same two records under their versions: every change counts, and the two never differ.
pub async fn racing_writers_lose_nothing(store: &Store) {
    let who = customer("races");
    let line =
        |name: &str, version: u64| json!({ "connectionId": format!("{who}/{name}"), "version": version });
    let both = |version: u64, condition: Condition| {
        vec![put(Table::Line, line("a", version), condition), put(Table::Line, line("b", version), condition)]
    };
    store.write(both(1, Condition::Absent)).await.unwrap();
    const WRITERS: u64 = 8;
    const CHANGES: u64 = 5;
    let writer = |_| async {
        let mut changed = 0;
        while changed < CHANGES {
            let found = store.get(Table::Line, Key::single(format!("{who}/a"))).await.unwrap().unwrap();
            let version = found["version"].as_u64().unwrap();
            match store.write(both(version + 1, Condition::Version(version))).await {
                Ok(()) => changed += 1,
                // Another transaction holds the records (DynamoDB says so), or was faster.
                Err(WriteError::Refused { .. } | WriteError::Store(StoreError::Throttled)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    join_all((0..WRITERS).map(writer)).await;
    for name in ["a", "b"] {
        let found = store.get(Table::Line, Key::single(format!("{who}/{name}"))).await.unwrap().unwrap();
        assert_eq!(found["version"], 1 + WRITERS * CHANGES);
    }
}

/// Runs futures side by side on this task.
async fn join_all<F: Future<Output = ()>>(futures: impl Iterator<Item = F>) {
    let mut running: Vec<_> = futures.map(|future| Some(Box::pin(future))).collect();
    std::future::poll_fn(|cx| {
        for slot in &mut running {
            if slot.as_mut().is_some_and(|future| future.as_mut().poll(cx).is_ready()) {
                *slot = None;
            }
        }
        if running.iter().all(Option::is_none) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

/// Pages of any size, in both directions, of table and index: everything once, in order, equal values included.
pub async fn pages_cover_everything_once(store: &Store) {
    let who = customer("pages");
    for number in 0..23i64 {
        let item = json!({
            "ticketId": format!("{who}/t"), "part": number, "authorId": format!("{who}/p"), "createdAt": number / 3,
        });
        store.write(vec![put(Table::Tickets, item, Condition::Always)]).await.unwrap();
    }
    for index in [None, Some("AuthorTickets")] {
        for descending in [false, true] {
            for limit in [1, 5, 23, 100] {
                let partition = format!("{who}/{}", if index.is_some() { "p" } else { "t" });
                let table = Table::Tickets;
                let paging = Paging::first(limit);
                let mut query = Query { table, index, partition, from: None, descending, paging };
                let (mut parts, mut orders) = (Vec::new(), Vec::new());
                loop {
                    let page = store.query(query.clone()).await.unwrap();
                    assert!(page.items.len() <= limit as usize);
                    parts.extend(page.items.iter().map(|item| item["part"].as_i64().unwrap()));
                    orders.extend(page.items.iter().map(|item| item["createdAt"].as_i64().unwrap()));
                    query.paging.after = page.next;
                    if query.paging.after.is_none() {
                        break;
                    }
                }
                assert_eq!(parts.len(), 23, "{index:?} by {limit}");
                if descending {
                    parts.reverse();
                    orders.reverse();
                }
                assert!(orders.is_sorted(), "{index:?} by {limit}: {orders:?}");
                // Where the index's values are equal DynamoDB promises no order among them.
                parts.sort_unstable();
                assert!(parts.into_iter().eq(0..23), "{index:?} by {limit}");
            }
        }
    }
    let query = Query {
        table: Table::Tickets,
        index: None,
        partition: format!("{who}/t"),
        from: Some(20),
        descending: false,
        paging: Paging::first(10),
    };
    assert_eq!(store.query(query).await.unwrap().items.len(), 3);
}

/// What is wrong is said so, and not tried.
pub async fn wrong_calls_are_refused(store: &Store) {
    let who = customer("wrong");
    let line = |name: &str| json!({ "connectionId": format!("{who}/{name}") });
    let large = json!({ "connectionId": format!("{who}/a"), "text": "x".repeat(400 << 10) });
    let many =
        (0..101).map(|number| put(Table::Line, line(&number.to_string()), Condition::Always)).collect();
    let twice =
        vec![put(Table::Line, line("a"), Condition::Always), put(Table::Line, line("a"), Condition::Always)];
    for writes in [
        vec![],
        vec![put(Table::Line, json!({}), Condition::Always)],
        vec![put(Table::Line, json!({ "connectionId": "" }), Condition::Always)],
        vec![put(Table::Games, json!({ "gameId": "a" }), Condition::Always)],
        vec![put(Table::Line, json!({ "connectionId": "a", "status": 1 }), Condition::Always)],
        vec![put(Table::Line, large, Condition::Always)],
        many,
        twice,
    ] {
        let answer = store.write(writes).await;
        assert!(matches!(answer, Err(WriteError::Store(StoreError::Invalid(_)))), "{answer:?}");
    }
    let answer = store.get(Table::Games, Key::single("a")).await;
    assert!(matches!(answer, Err(StoreError::Invalid(_))), "{answer:?}");
    let partition = format!("{who}/a");
    let paging = Paging::first(10);
    let query = Query {
        table: Table::Line,
        index: Some("statusIndex"),
        partition,
        from: None,
        descending: false,
        paging,
    };
    let after = |text: &str| Paging { limit: 10, after: Some(Cursor::from_text(text)) };
    for wrong in [
        Query { index: Some("nowhere"), ..query.clone() },
        Query { paging: Paging::first(0), ..query.clone() },
        Query { from: Some(1), ..query.clone() },
        Query { paging: after("forged"), ..query.clone() },
    ] {
        let answer = store.query(wrong).await;
        assert!(matches!(answer, Err(StoreError::Invalid(_))), "{answer:?}");
    }
}

/// Past its second a record is not there, whoever looks.
pub async fn expired_records_are_gone(store: &Store) {
    let who = customer("expiry");
    let line = |name: &str, at: i64| {
        json!({ "connectionId": format!("{who}/{name}"), "status": format!("{who}/inactive"), "joinedAt": name,
                "version": 1, "expiresAt": at })
    };
    store.write(vec![put(Table::Line, line("old", now_s() - 10), Condition::Absent)]).await.unwrap();
    store.write(vec![put(Table::Line, line("new", now_s() + 600), Condition::Absent)]).await.unwrap();
    assert!(store.get(Table::Line, Key::single(format!("{who}/old"))).await.unwrap().is_none());
    let query = Query {
        table: Table::Line,
        index: Some("statusIndex"),
        partition: format!("{who}/inactive"),
        from: None,
        descending: false,
        paging: Paging::first(10),
    };
    let found = store.query(query).await.unwrap().items;
    assert_eq!(found.iter().map(|item| item["joinedAt"].as_str()).collect::<Vec<_>>(), [Some("new")]);
    let again = put(Table::Line, line("old", now_s() - 10), Condition::Version(1));
    assert_eq!(refused_at(store.write(vec![again]).await), (0, None));
    store.write(vec![put(Table::Line, line("old", now_s() + 600), Condition::Absent)]).await.unwrap();
}

fn game_id(room: &str, number: u32) -> GameId {
    GameId { room: RoomId::new(room).expect("a fit id"), number }
}

fn game(players: [&str; 2], version: u64, at: u64) -> (Game, Vec<GameMove>) {
    let marks = ["X", "O"];
    let player = |(id, mark): (&str, &str)| GamePlayer {
        id: id.to_owned(),
        name: id.to_uppercase(),
        mark: mark.to_owned(),
        computer: false,
    };
    let moves = (1..=version as u32).map(|number| GameMove {
        number,
        mark: marks[(number as usize + 1) % 2].to_owned(),
        played: (number - 1).into(),
    });
    let game = Game {
        kind: "tic_tac_toe".to_owned(),
        players: players.into_iter().zip(marks).map(player).collect(),
        board: vec![Some("X".to_owned()), None],
        current_player: None,
        status: GameStatus::Completed,
        winner: Some("player1".to_owned()),
        reason: "line".to_owned(),
        moves: (0..version).map(Value::from).collect(),
        created_at: at,
        updated_at: at + 1,
        version,
        expires_at: None,
    };
    (game, moves.collect())
}

/// A later state replaces an earlier one and never the other way round; both players find the game.
pub async fn games_are_saved_once_and_found(store: &Store) {
    let (who, games) = (customer("games"), Games::new(store.clone()));
    let id = game_id("ABC-1", 2);
    let (early, early_moves) = game(["ada", "bob"], 3, 100);
    let (late, late_moves) = game(["ada", "bob"], 5, 100);
    assert_eq!(games.game(&who, &id).await.unwrap(), None);
    assert_eq!(games.save(&who, &id, &early, &early_moves).await.unwrap(), Saved::Stored);
    assert_eq!(games.save(&who, &id, &late, &late_moves).await.unwrap(), Saved::Stored);
    assert_eq!(games.save(&who, &id, &late, &late_moves).await.unwrap(), Saved::AlreadyThere);
    assert_eq!(games.save(&who, &id, &early, &early_moves).await.unwrap(), Saved::AlreadyThere);
    let found = games.game(&who, &id).await.unwrap().expect("it was saved");
    assert_eq!((found.game, found.moves), (late, late_moves));
    let (other, moves) = game(["cyd", "ada"], 1, 200);
    games.save(&who, &game_id("DEF", 1), &other, &moves).await.unwrap();
    let page = games.of_player(&who, "ada", Paging::first(1)).await.unwrap();
    assert_eq!(page.items[0].0, game_id("DEF", 1));
    assert_eq!(page.items[0].1["mark"], "O");
    let rest = games.of_player(&who, "ada", Paging { limit: 5, after: page.next }).await.unwrap();
    assert_eq!(rest.items.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), [id]);
    assert_eq!(games.of_player(&who, "bob", Paging::first(5)).await.unwrap().items.len(), 1);
    assert!(games.of_player(&who, "eve", Paging::first(5)).await.unwrap().items.is_empty());
}

/// More moves than fit into one call.
pub async fn a_long_game_keeps_its_moves(store: &Store) {
    let (who, games) = (customer("long"), Games::new(store.clone()));
    let (long, moves) = game(["ada", "bob"], 333, 1);
    let id = game_id("LONG", 1);
    assert_eq!(games.save(&who, &id, &long, &moves).await.unwrap(), Saved::Stored);
    assert_eq!(games.game(&who, &id).await.unwrap().expect("it was saved").moves, moves);
}

/// Their name is nowhere, the games are still there.
pub async fn a_player_is_forgotten(store: &Store) {
    let (who, games) = (customer("forgotten"), Games::new(store.clone()));
    for number in 1..=3 {
        let (game, moves) = game(["ada", "bob"], 5, u64::from(number));
        games.save(&who, &game_id("R", number), &game, &moves).await.unwrap();
    }
    assert_eq!(games.forget_player(&who, "ada").await.unwrap(), 3);
    let found = games.game(&who, &game_id("R", 2)).await.unwrap().expect("the game stays");
    assert_eq!(
        (found.game.players[0].name.as_str(), found.game.players[1].name.as_str()),
        ("Forgotten", "BOB")
    );
    let bobs = games.of_player(&who, "bob", Paging::first(9)).await.unwrap().items;
    assert!(bobs.len() == 3 && !format!("{bobs:?}").contains("ADA"));
    assert!(games.of_player(&who, "ada", Paging::first(9)).await.unwrap().items.is_empty());
}

fn waiting(name: &str, joined_at: u64) -> LineRecord {
    LineRecord {
        connection_id: name.to_owned(),
        session_id: format!("session-{name}"),
        username: None,
        status: LineStatus::Inactive,
        marker: None,
        joined_at,
        line: "main".to_owned(),
        room: String::new(),
        version: 1,
        expires_at: None,
    }
}

/// What a room tells again, or told before, changes nothing; what it tells as a whole is all there is of it.
pub async fn what_rooms_tell_is_followed_once(store: &Store) {
    let (who, line) = (customer("followed"), Line::new(store.clone()));
    let names = async |status| {
        let page = line.of_status(&who, status, Paging::first(1000)).await.unwrap();
        page.items.into_iter().map(|record| record.connection_id).collect::<Vec<_>>()
    };
    let of = |room: &str, number: u64, names: &[&str], removed: &[&str]| {
        let record = |(at, name): (usize, &&str)| LineRecord {
            room: room.to_owned(),
            version: 0,
            ..waiting(name, 1_795_248_000_000 + at as u64)
        };
        LineChange {
            room: room.to_owned(),
            number,
            date: 1_795_248_000,
            put: names.iter().enumerate().map(record).collect(),
            removed: removed.iter().map(|name| (*name).to_owned()).collect(),
            whole: false,
        }
    };
    let (came, went) = (of("one", 1, &["a", "b", "c"], &[]), of("one", 4, &[], &["b", "never"]));
    line.follow(&who, came.clone()).await.unwrap();
    line.follow(&who, went.clone()).await.unwrap();
    line.follow(&who, of("two", 1, &["x"], &[])).await.unwrap();
    for told_again in [came, went.clone(), of("one", 3, &["b"], &["a"])] {
        line.follow(&who, told_again).await.unwrap();
    }
    let is_there = async |name: &str| line.get(&who, name).await.unwrap().is_some();
    assert!(is_there("a").await && !is_there("b").await && is_there("c").await && is_there("x").await);
    assert!(!is_there("room/one").await, "what is kept of the room is no record");
    // More than fits into one call; two were not told to have gone.
    let many: Vec<String> = (100..320).map(|number| format!("p{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let whole = LineChange { whole: true, ..of("one", 9, &many, &[]) };
    line.follow(&who, whole.clone()).await.unwrap();
    line.follow(&who, went).await.unwrap();
    let mut there = names(LineStatus::Inactive).await;
    there.retain(|name| name != "x");
    assert_eq!(there, many);
    assert!(is_there("x").await, "the other room's");
}

/// Who came first stands first; seats change hands together or not at all.
pub async fn the_line_is_in_order(store: &Store) {
    let (who, line) = (customer("line"), Line::new(store.clone()));
    let second = 1_795_248_000_000u64;
    for (name, at) in [("c", 3000), ("a", 999), ("b", 1000)] {
        line.change(&who, &[waiting(name, second + at)], &[]).await.unwrap();
    }
    assert_eq!(refused_at(line.change(&who, &[waiting("a", 0)], &[]).await).0, 0);
    let names = async |status| {
        let page = line.of_status(&who, status, Paging::first(9)).await.unwrap();
        page.items.into_iter().map(|record| record.connection_id).collect::<String>()
    };
    assert_eq!(names(LineStatus::Inactive).await, "abc");
    // Each at a time of its own: among equal times DynamoDB promises no order.
    let seated = |name: &str, mark: &str| LineRecord {
        status: LineStatus::Active,
        marker: Some(mark.to_owned()),
        username: Some(name.to_uppercase()),
        version: 2,
        ..waiting(name, second + u64::from(mark == "O"))
    };
    line.change(&who, &[seated("a", "X"), seated("b", "O")], &[]).await.unwrap();
    // Somebody who looked before that seats another pair: refused as a whole.
    assert_eq!(refused_at(line.change(&who, &[seated("c", "X"), seated("b", "O")], &[]).await).0, 1);
    assert_eq!(
        (names(LineStatus::Active).await, names(LineStatus::Inactive).await),
        ("ab".into(), "c".into())
    );
    assert_eq!(line.get(&who, "a").await.unwrap(), Some(seated("a", "X")));
    line.change(&who, &[seated("c", "X")], &[("a".to_owned(), 2)]).await.unwrap();
    assert_eq!(line.get(&who, "a").await.unwrap(), None);
    let raw = store.get(Table::Line, Key::single(format!("{who}/c"))).await.unwrap().expect("it is there");
    assert_eq!(
        (&raw["status"], &raw["joinedAt"]),
        (&json!(format!("{who}/active")), &json!("2026-11-21T08:00:00.000Z"))
    );
}

fn ticket(id: &str, author: &str, due_at: u64) -> Ticket {
    Ticket {
        ticket_id: id.to_owned(),
        author_id: author.to_owned(),
        subject: "The other left".to_owned(),
        description: "and nothing happened".to_owned(),
        category: "game".to_owned(),
        priority: "high".to_owned(),
        status: "open".to_owned(),
        assignee: None,
        evidence: Some(crate::Evidence { room: RoomId::new("ROOM").expect("a fit id"), seq: 17, game: None }),
        created_at: due_at / 2,
        updated_at: due_at / 2,
        due_at,
        clock_runs: false,
        replies: 0,
        version: 1,
        expires_at: None,
        more: Item::new(),
    }
}

/// Heads change under their version with what was said; both indexes find them.
pub async fn tickets_keep_their_replies(store: &Store) {
    let (who, tickets) = (customer("tickets"), Tickets::new(store.clone()));
    let ticket = |id: &str, due_at: u64| ticket(id, "ada", due_at);

    let reply = |text: &str| Reply {
        by: "agent".to_owned(),
        text: text.to_owned(),
        internal: false,
        at: 5,
        attachments: vec![],
    };
    for (id, due) in [("t1", 900), ("t2", 300), ("t3", 600)] {
        tickets.save(&who, &ticket(id, due), &[]).await.unwrap();
    }
    let answered = Ticket { status: "answered".to_owned(), replies: 2, version: 2, ..ticket("t2", 300) };
    tickets.save(&who, &answered, &[reply("one"), reply("two")]).await.unwrap();
    assert_eq!(refused_at(tickets.save(&who, &answered, &[reply("three"), reply("four")]).await).0, 0);
    assert_eq!(tickets.get(&who, "t2").await.unwrap(), Some(answered));
    let said = tickets.replies(&who, "t2", Paging::first(9)).await.unwrap().items;
    assert_eq!(said, [reply("one"), reply("two")]);
    let open = tickets.of_status(&who, "open", Paging::first(9)).await.unwrap().items;
    assert_eq!(open.iter().map(|ticket| ticket.ticket_id.as_str()).collect::<Vec<_>>(), ["t3", "t1"]);
    let theirs = tickets.of_author(&who, "ada", Paging::first(9)).await.unwrap().items;
    assert_eq!(theirs.iter().map(|ticket| ticket.ticket_id.as_str()).collect::<Vec<_>>(), ["t1", "t3", "t2"]);
}

/// The position stays with the ticket, running clocks are found in their order, and all of it goes together.
pub async fn tickets_carry_their_game_and_their_clock(store: &Store) {
    let (who, tickets) = (customer("clocks"), Tickets::new(store.clone()));
    let notice = notice(&who, "n1", 5);
    let position = json!({ "state": { "board": ["X", null] } });
    let first = Ticket { clock_runs: true, ..ticket("t1", "ada", 20) };
    let others = vec![crate::Notices::put(&notice)];
    tickets.save_with(&who, &first, &[], Some(position.clone()), others.clone()).await.unwrap();
    // The notice is there already: the second ticket is not.
    let second = Ticket { clock_runs: true, ..ticket("t2", "bob", 10) };
    assert_eq!(refused_at(tickets.save_with(&who, &second, &[], None, others).await).0, 1);
    assert_eq!(tickets.get(&who, "t2").await.unwrap(), None);
    tickets.save(&who, &second, &[]).await.unwrap();
    tickets.save(&who, &ticket("t3", "cyd", 5), &[]).await.unwrap();
    assert_eq!(tickets.position(&who, "t1").await.unwrap(), Some(position));
    assert_eq!(tickets.position(&who, "t2").await.unwrap(), None);
    let running = async || {
        let mut found = Vec::new();
        let mut paging = Paging::first(100);
        loop {
            let page = tickets.running(paging).await.unwrap();
            let ours = page.items.into_iter().flatten().filter(|(customer, _)| *customer == who);
            found.extend(ours.map(|(_, ticket)| ticket.ticket_id));
            match page.next {
                Some(next) => paging = Paging { limit: 100, after: Some(next) },
                None => return found,
            }
        }
    };
    assert_eq!(running().await, ["t2", "t1"]);
    let stopped = Ticket { version: 2, clock_runs: false, updated_at: 99, ..second };
    tickets.save(&who, &stopped, &[]).await.unwrap();
    assert_eq!(running().await, ["t1"]);
    let all = tickets.of_customer(&who, Paging::first(9)).await.unwrap().items;
    assert_eq!(all.iter().map(|ticket| ticket.ticket_id.as_str()).collect::<Vec<_>>(), ["t2", "t1", "t3"]);
    tickets.remove(&who, "t1").await.unwrap();
    tickets.remove(&who, "t1").await.unwrap();
    assert_eq!(tickets.position(&who, "t1").await.unwrap(), None);
    assert!(running().await.is_empty());
}

fn notice(who: &CustomerId, name: &str, due_at: u64) -> crate::Notice {
    crate::Notice {
        notice_id: format!("{who}-{name}"),
        customer: who.clone(),
        channel: "mail".to_owned(),
        body: item_of(&json!({ "to": "ada" })),
        created_at: due_at,
        due_at,
        tries: 0,
        version: 1,
        problem: None,
        expires_at: None,
    }
}

/// Two who want the same notice: one gets it. What was not delivered is due again; what was is gone.
pub async fn notices_are_taken_once(store: &Store) {
    let (who, notices) = (customer("notices"), crate::Notices::new(store.clone()));
    for (name, due) in [("a", 3), ("b", 1), ("c", 4_000_000_000_000)] {
        store.write(vec![crate::Notices::put(&notice(&who, name, due))]).await.unwrap();
    }
    let due = async |now| {
        let found = notices.due(now, 1000).await.unwrap();
        found.notices.into_iter().filter(|notice| notice.customer == who).collect::<Vec<_>>()
    };
    let found = due(10).await;
    assert_eq!(found, [notice(&who, "b", 1), notice(&who, "a", 3)]);
    let claimed = notices.claim(&found[0], 50).await.unwrap().expect("it is free");
    assert_eq!(notices.claim(&found[0], 50).await.unwrap(), None);
    assert_eq!(due(10).await.len(), 1, "the other one");
    notices.later(&claimed, "nobody there".to_owned(), 60).await.unwrap();
    // The claim is over: what its holder says now is not heard.
    notices.done(&claimed).await.unwrap();
    let again = due(60).await.into_iter().find(|notice| notice.tries == 1).expect("it is due again");
    assert_eq!(again.problem.as_deref(), Some("nobody there"));
    let claimed = notices.claim(&again, 100).await.unwrap().expect("it is free");
    notices.done(&claimed).await.unwrap();
    assert_eq!(due(1000).await.len(), 1);
    let last = notices.claim(&due(1000).await[0], 2000).await.unwrap().expect("it is free");
    notices.give_up(&last, "never".to_owned(), 4_000_000_000).await.unwrap();
    assert!(due(1000).await.is_empty());
    let failed = notices.failed(1000).await.unwrap();
    assert!(failed.notices.iter().any(|notice| notice.customer == who && notice.problem.is_some()));
}

/// Who changes an article must have seen it as it is.
pub async fn articles_change_under_their_version(store: &Store) {
    let (who, articles) = (customer("articles"), crate::Articles::new(store.clone()));
    let article = crate::Article {
        slug: "lost-game".to_owned(),
        title: "I lost my game".to_owned(),
        category: "gameplay".to_owned(),
        words: vec!["gone".to_owned()],
        text: "It is still there.".to_owned(),
        hidden: false,
        by: "agent".to_owned(),
        updated_at: 5,
        version: 1,
    };
    articles.save(&who, &article).await.unwrap();
    assert_eq!(refused_at(articles.save(&who, &article).await).0, 0);
    let newer = crate::Article { version: 2, updated_at: 6, hidden: true, ..article };
    articles.save(&who, &newer).await.unwrap();
    assert_eq!(articles.get(&who, "lost-game").await.unwrap(), Some(newer.clone()));
    assert_eq!(articles.of_customer(&who, 10).await.unwrap(), [newer]);
    articles.remove(&who, "lost-game").await.unwrap();
    assert!(articles.of_customer(&who, 10).await.unwrap().is_empty());
}

/// The same names of two customers are two things.
pub async fn customers_do_not_meet(store: &Store) {
    let (one, other) = (customer("one"), customer("other"));
    let games = Games::new(store.clone());
    let (game, moves) = game(["ada", "bob"], 5, 1);
    games.save(&one, &game_id("SAME", 1), &game, &moves).await.unwrap();
    assert_eq!(games.game(&other, &game_id("SAME", 1)).await.unwrap(), None);
    assert!(games.of_player(&other, "ada", Paging::first(5)).await.unwrap().items.is_empty());
    assert_eq!(games.save(&other, &game_id("SAME", 1), &game, &moves).await.unwrap(), Saved::Stored);
}
