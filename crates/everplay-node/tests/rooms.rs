//! A node with real stores and pretend sockets: matchmaking, durability, crashes, panics, full disks.

mod common;

use common::*;
use everplay_live::{Fault, LiveStore};
use everplay_node::AttachError;
use everplay_node::{Attach, MatchRequest, Method, Node};
use everplay_room::AuthRequest;
use everplay_schema::Decoder;
use everplay_types::{CloseCode, CustomerId, SessionId};
use everplay_wire::ClientFrame;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn callers_at_the_same_moment_share_a_room() {
    let node = Stores::new().node().await;
    let joins = (0..20).map(|_| {
        let node = node.clone();
        tokio::spawn(async move { join(&node, "counter").await })
    });
    let players = futures_util::future::join_all(joins.collect::<Vec<_>>()).await;
    let rooms: std::collections::BTreeSet<_> =
        players.iter().map(|player| player.as_ref().expect("joined").seat.room_id.clone()).collect();
    assert_eq!(rooms.len(), 1, "{rooms:?}");
}

#[tokio::test]
async fn filters_seats_and_locks_are_respected() {
    let node = Stores::new().node().await;
    let a = join_with(&node, Method::JoinOrCreate, "mapped", json!({ "map": "dunes", "seats": 2 })).await;
    let b = join_with(&node, Method::JoinOrCreate, "mapped", json!({ "map": "moon" })).await;
    let c = join_with(&node, Method::JoinOrCreate, "mapped", json!({ "map": "dunes" })).await;
    let d = join_with(&node, Method::JoinOrCreate, "mapped", json!({ "map": "dunes" })).await;
    assert_ne!(a.seat.room_id, b.seat.room_id);
    assert_eq!(a.seat.room_id, c.seat.room_id);
    assert_ne!(a.seat.room_id, d.seat.room_id, "two seats are two seats");
    // To leave it out, or to say null, is to say what it means.
    let e = join_with(&node, Method::JoinOrCreate, "mapped", json!({})).await;
    let f = join_with(&node, Method::Join, "mapped", json!({ "map": "woods" })).await;
    let g = join_with(&node, Method::Join, "mapped", json!({ "map": null })).await;
    assert_eq!([&f.seat.room_id, &g.seat.room_id], [&e.seat.room_id; 2]);
    let refused = |method, target: &str| {
        let request =
            MatchRequest { method, target: target.into(), options: json!({}), auth: AuthRequest::default() };
        let node = node.clone();
        async move { node.matchmake(request).await.expect_err("no seat") }
    };
    assert_eq!(refused(Method::JoinOrCreate, "nothing").await.code, 520);
    assert_eq!(refused(Method::Join, "counter").await.code, 521);
    assert_eq!(refused(Method::JoinById, "nowhere").await.code, 522);
    assert_eq!(
        refused(Method::JoinById, &a.seat.room_id).await.message,
        format!("{} is already full.", a.seat.room_id)
    );
    assert_eq!(refused(Method::Reconnect, &a.seat.room_id).await.code, 523);
}

#[tokio::test]
async fn a_new_process_carries_on_where_the_old_one_was_seen() {
    for kind in ["counter", "bounded"] {
        let stores = Stores::new();
        let node = stores.node().await;
        let mut ann = join(&node, kind).await;
        let mut bob = join(&node, kind).await;
        // More than one snapshot's worth of records.
        for round in 1..=30 {
            ann.message("click", &1u32);
            bob.clicks(round).await;
        }
        // Nothing is said to the old process: its rooms are fenced when the new one has sealed their journals.
        let node = stores.node().await;
        come_back(&node, &mut ann).await;
        come_back(&node, &mut bob).await;
        ann.message("click", &5u32);
        assert_eq!(bob.clicks(31).await, 35);
        assert_eq!(ann.clicks(35).await, 35);
        let states =
            [&ann, &bob].map(|player| player.socket.seen.lock().decoder.as_ref().map(Decoder::to_json));
        assert_eq!(states[0], states[1]);
    }
}

#[tokio::test]
async fn the_old_process_is_fenced_and_mute() {
    let stores = Stores::new();
    let old = stores.node().await;
    let ann = join(&old, "counter").await;
    ann.message("click", &1u32);
    ann.clicks(1).await;
    let _new = stores.node().await;
    ann.message("click", &1u32);
    assert_eq!(ann.closed().await, CloseCode::MAY_TRY_RECONNECT);
    let state = ann.socket.seen.lock().decoder.as_ref().map(Decoder::to_json);
    assert_eq!(state.expect("joined")["clicks"], 1, "what it could not confirm was not seen");
}

#[tokio::test]
async fn rooms_that_only_snapshot_fall_back_to_their_last_one() {
    let stores = Stores::new();
    let node = stores.node().await;
    let mut ann = join(&node, "snapshot").await;
    ann.message("click", &7u32);
    ann.clicks(7).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    ann.message("click", &1u32);
    ann.clicks(8).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    let node = stores.node().await;
    come_back(&node, &mut ann).await;
    let clicks = ann.clicks(7).await;
    assert!((7..=8).contains(&clicks), "{clicks}");
}

#[tokio::test]
async fn ephemeral_rooms_end_with_their_process() {
    let stores = Stores::new();
    let node = stores.node().await;
    let ann = join(&node, "ephemeral").await;
    ann.message("click", &1u32);
    ann.clicks(1).await;
    let node = stores.node().await;
    let attach = Attach {
        room: ann.seat.room_id.clone(),
        session: SessionId::new("x").expect("an id"),
        token: None,
        skip_handshake: false,
        dialect: None,
    };
    let error = node.attach(attach, Arc::new(Socket::default())).await.expect_err("it is gone");
    assert_eq!(error, AttachError::NoSuchRoom);
}

#[tokio::test]
async fn a_panic_on_one_input_closes_the_room_and_no_other() {
    let stores = Stores::new();
    let node = stores.node().await;
    let ann = join_with(&node, Method::Create, "counter", json!({})).await;
    let bob = join_with(&node, Method::Create, "counter", json!({})).await;
    ann.message("click", &2u32);
    ann.clicks(2).await;
    ann.message("panic", &());
    assert_eq!(ann.closed().await, CloseCode::ROOM_FAILED);
    bob.message("click", &1u32);
    bob.clicks(1).await;
    // It stays out of service: the next process does not run into the same input.
    let node = stores.node().await;
    assert_eq!(node.rooms().len(), 1);
}

#[tokio::test]
async fn a_room_that_fails_once_goes_on_from_its_journal() {
    let node = Stores::new().node().await;
    let ann = join(&node, "counter").await;
    let bob = join(&node, "counter").await;
    ann.message("click", &2u32);
    bob.clicks(2).await;
    ann.message("panic once", &1u32);
    assert_eq!(bob.clicks(100).await, 102);
    assert!(ann.socket.seen.lock().closed.is_none(), "its clients stayed");
    bob.message("click", &1u32);
    assert_eq!(ann.clicks(103).await, 103);
}

#[tokio::test]
async fn an_ended_room_is_not_restored() {
    let stores = Stores::new();
    let node = stores.node().await;
    let ann = join(&node, "counter").await;
    ann.send(ClientFrame::Leave);
    assert_eq!(ann.closed().await, CloseCode::CONSENTED);
    let node = stores.node().await;
    assert_eq!(node.rooms().len(), 0);
}

#[tokio::test]
async fn a_drained_node_leaves_rooms_that_go_on() {
    let stores = Stores::new();
    let node = stores.node().await;
    let mut ann = join(&node, "counter").await;
    ann.message("click", &3u32);
    ann.clicks(3).await;
    let drained = node.drain(Duration::from_secs(5)).await;
    assert_eq!((drained.settled, drained.unsettled), (1, 0));
    let request = MatchRequest {
        method: Method::JoinOrCreate,
        target: "counter".into(),
        options: json!({}),
        auth: AuthRequest::default(),
    };
    assert_eq!(node.matchmake(request).await.expect_err("draining").code, 503);
    let node = stores.node().await;
    come_back(&node, &mut ann).await;
    assert_eq!(ann.clicks(3).await, 3);
}

#[tokio::test]
async fn nothing_is_seen_before_the_journal_holds_it() {
    let stores = Stores::new();
    let node = stores.node().await;
    let ann = join(&node, "counter").await;
    let bob = join(&node, "counter").await;
    stores.live.set_fault(Fault::Stalled);
    ann.message("click", &1u32);
    // The echo changes nothing, but it comes after a step that did: it waits with it.
    ann.message("echo", &"hello");
    while stores.live.stalled() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    for player in [&ann, &bob] {
        let seen = player.socket.seen.lock();
        assert_eq!(seen.decoder.as_ref().expect("joined").to_json()["clicks"], 0);
        assert!(seen.messages.is_empty());
    }
    stores.live.set_fault(Fault::None);
    bob.clicks(1).await;
    ann.until("echo", |seen| seen.messages.iter().any(|(kind, _)| kind == "echo").then_some(())).await;
}

#[tokio::test]
async fn bounded_rooms_run_ahead_and_then_wait() {
    let stores = Stores::new();
    let node = stores.node().await;
    let ann = join(&node, "bounded").await;
    stores.live.set_fault(Fault::Stalled);
    ann.message("click", &1u32);
    ann.clicks(1).await;
    stores.live.set_fault(Fault::None);
    ann.message("click", &1u32);
    ann.clicks(2).await;
}

#[tokio::test]
async fn a_full_disk_pauses_and_nothing_is_lost() {
    let stores = Stores::new();
    let node = stores.node().await;
    let ann = join(&node, "counter").await;
    stores.live.set_fault(Fault::Full);
    ann.message("click", &1u32);
    let told = |paused: bool| {
        move |seen: &Seen| {
            let last = seen.messages.iter().rfind(|(kind, _)| kind == "__everplay")?;
            (last.1["paused"] == paused).then(|| last.1["reason"].clone())
        }
    };
    let reason = ann.until("pause", told(true)).await;
    assert_eq!(reason, "the disk is full");
    ann.message("click", &1u32);
    assert_eq!(node.status().paused, 1);
    assert_eq!(ann.socket.seen.lock().decoder.as_ref().expect("joined").to_json()["clicks"], 0);
    stores.live.set_fault(Fault::None);
    ann.until("resume", told(false)).await;
    ann.clicks(2).await;
}

#[tokio::test]
async fn lost_answers_and_lost_requests_change_nothing() {
    let stores = Stores::new();
    let node = stores.node().await;
    let mut ann = join(&node, "counter").await;
    let mut expected = 0;
    for fault in [Fault::AnswersLost, Fault::RequestsLost, Fault::AnswersLost] {
        stores.live.set_fault(fault);
        for _ in 0..5 {
            ann.message("click", &1u32);
            expected += 1;
        }
        tokio::time::sleep(Duration::from_millis(60)).await;
        stores.live.set_fault(Fault::None);
        assert_eq!(ann.clicks(expected).await, expected);
    }
    let node = stores.node().await;
    come_back(&node, &mut ann).await;
    assert_eq!(ann.clicks(expected).await, expected);
}

#[tokio::test]
async fn a_broken_store_gives_the_room_up_and_tells_its_clients_to_come_back() {
    let stores = Stores::new();
    let node = stores.node().await;
    let ann = join(&node, "counter").await;
    stores.live.set_fault(Fault::Broken);
    ann.message("click", &1u32);
    assert_eq!(ann.closed().await, CloseCode::MAY_TRY_RECONNECT);
    assert_eq!(node.rooms().len(), 0);
}

#[tokio::test]
async fn a_damaged_room_is_quarantined_and_the_others_go_on() {
    let stores = Stores::new();
    let node = stores.node().await;
    let mut ann = join_with(&node, Method::Create, "counter", json!({})).await;
    let bob = join_with(&node, Method::Create, "counter", json!({})).await;
    ann.message("click", &1u32);
    ann.clicks(1).await;
    let key = everplay_types::RoomKey { customer: CustomerId::default(), room: bob.seat.room_id.clone() };
    assert!(stores.live.damage_record(&key, everplay_types::Seq(1), 30));
    let live: Arc<dyn LiveStore> = Arc::new(stores.live.clone());
    let node = Node::start(options(), kinds(), live, Arc::new(stores.arbiter.clone()));
    let restored = node.restore().await.expect("the directory can be read");
    assert_eq!(restored.rooms, 1);
    assert_eq!(restored.quarantined.len(), 1);
    let (room, reason) = &restored.quarantined[0];
    assert_eq!(*room, bob.seat.room_id);
    assert!(reason.contains("row"), "{reason}");
    come_back(&node, &mut ann).await;
    ann.clicks(1).await;
}
