//! A node with real stores and pretend sockets: matchmaking, durability, crashes, panics, full disks.

use bytes::Bytes;
use everplay_live::{Arbiter, Fault, LiveStore, MemoryArbiter, MemoryLiveStore};
use everplay_node::{
    Attach, ClientSink, Handle, Kind, MatchRequest, Method, Node, Options, Reservation, RoomLink,
};
use everplay_node::{Ambient, AttachError, Limits, SnapshotPolicy};
use everplay_room::{
    AuthRequest, Client, Context, Durability, FrameKind, Messages, Refusal, Room, RoomType, Settings,
};
use everplay_schema::{Decoder, Map, State};
use everplay_types::{CloseCode, CustomerId, ProcessId, SessionId};
use everplay_wire::{ClientFrame, Dialect, Join, MessageType, ServerFrame, msgpack};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

#[derive(State, Default)]
struct Counter {
    clicks: u32,
    by: Map<u32>,
    lives: u32,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Options_ {
    seats: u32,
}

impl Room for Counter {
    type Options = Options_;
    type Timer = ();

    fn settings() -> Settings {
        Settings { patch_interval: Duration::from_millis(10), ..Settings::default() }
    }

    fn messages(on: &mut Messages<Self>) {
        on.message("click", |room: &mut Counter, _cx, client, by: u32| {
            room.clicks += by;
            let own = room.by.get(client.session_id()).copied().unwrap_or_default();
            room.by.insert(client.session_id().as_str(), own + by);
            Ok(())
        });
        on.message("echo", |_room, cx, client, payload: msgpack::Value| {
            cx.send(client, "echo", &payload);
            Ok(())
        });
        on.message("panic", |_room, _cx, _client, (): ()| panic!("poison"));
        on.message("panic once", |room: &mut Counter, _cx, _client, lives: u32| {
            // Fails while the journal remembers fewer restarts than asked for.
            assert!(room.lives >= lives, "not yet");
            room.clicks += 100;
            Ok(())
        });
    }

    fn create(cx: &mut Context<Self>, options: Options_) -> Result<Self, Refusal> {
        if options.seats > 0 {
            cx.set_max_clients(options.seats);
        }
        Ok(Self::default())
    }

    fn restored(&mut self, _cx: &mut Context<Self>) {
        self.lives += 1;
    }

    fn join(&mut self, _cx: &mut Context<Self>, client: &Client, _options: Options_) -> Result<(), Refusal> {
        self.by.insert(client.session_id().as_str(), 0);
        Ok(())
    }
}

#[derive(Default)]
struct Seen {
    token: Option<String>,
    decoder: Option<Decoder>,
    messages: Vec<(String, serde_json::Value)>,
    errors: Vec<(i32, String)>,
    closed: Option<CloseCode>,
}

/// The client's end of a pretend socket.
#[derive(Default)]
struct Socket {
    seen: Mutex<Seen>,
    news: Notify,
}

impl ClientSink for Socket {
    fn deliver(&self, _kind: FrameKind, bytes: Bytes) {
        let mut seen = self.seen.lock();
        match ServerFrame::decode(&bytes, Dialect::V18).expect("frames decode") {
            ServerFrame::Join(Join { token, handshake, .. }) => {
                seen.token = Some(token.to_owned());
                if !handshake.is_empty() {
                    seen.decoder = Some(Decoder::from_handshake(handshake).expect("decodes"));
                }
            }
            ServerFrame::State { body, .. } | ServerFrame::Patch { body, .. } => {
                seen.decoder.as_mut().expect("joined").apply(body).expect("applies");
            }
            ServerFrame::Data { ty, payload } => {
                let payload = msgpack::from_slice(payload).expect("msgpack");
                seen.messages.push((ty.to_string(), payload));
            }
            ServerFrame::Error { code, message } => seen.errors.push((code, message.to_owned())),
            _ => {}
        }
        drop(seen);
        self.news.notify_one();
    }

    fn close(&self, code: CloseCode, _reason: &str) {
        self.seen.lock().closed = Some(code);
        self.news.notify_one();
    }
}

/// One client: its seat, its socket and what it saw.
struct Player {
    seat: Reservation,
    socket: Arc<Socket>,
    link: Option<RoomLink>,
}

impl Player {
    async fn until<T>(&self, what: &str, check: impl Fn(&Seen) -> Option<T>) -> T {
        let wait = async {
            loop {
                if let Some(found) = check(&self.socket.seen.lock()) {
                    return found;
                }
                self.socket.news.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait)
            .await
            .unwrap_or_else(|_| panic!("no {what} in 10 s"))
    }

    async fn clicks(&self, at_least: u64) -> u64 {
        self.until("clicks", |seen| {
            let state = seen.decoder.as_ref()?.to_json();
            state["clicks"].as_u64().filter(|&clicks| clicks >= at_least)
        })
        .await
    }

    fn send(&self, frame: ClientFrame<'_>) {
        self.link.as_ref().expect("attached").push(frame.to_vec().into()).expect("the mailbox takes it");
    }

    fn message(&self, kind: &str, payload: &impl serde::Serialize) {
        let payload = msgpack::to_vec(payload).expect("encodes");
        self.send(ClientFrame::Data { ty: MessageType::from(kind), payload: &payload });
    }

    async fn closed(&self) -> CloseCode {
        self.until("close", |seen| seen.closed).await
    }

    fn token(&self) -> String {
        self.socket.seen.lock().token.clone().expect("joined")
    }
}

async fn attach(
    node: &Handle,
    seat: &Reservation,
    token: Option<String>,
    skip: bool,
    socket: &Arc<Socket>,
) -> RoomLink {
    let attach = Attach {
        room: seat.room_id.clone(),
        session: seat.session_id.clone(),
        token,
        skip_handshake: skip,
        dialect: None,
    };
    let sink: Arc<dyn ClientSink> = Arc::clone(socket) as Arc<dyn ClientSink>;
    node.attach(attach, sink).await.expect("the room is there")
}

async fn join_with(node: &Handle, method: Method, target: &str, options: serde_json::Value) -> Player {
    let request = MatchRequest { method, target: target.into(), options, auth: AuthRequest::default() };
    let seat = node.matchmake(request).await.expect("a seat");
    let socket = Arc::new(Socket::default());
    let link = attach(node, &seat, None, false, &socket).await;
    let player = Player { seat, socket, link: Some(link) };
    player.until("join", |seen| seen.token.clone()).await;
    player.send(ClientFrame::Ack);
    player.clicks(0).await;
    player
}

async fn join(node: &Handle, name: &str) -> Player {
    join_with(node, Method::JoinOrCreate, name, json!({})).await
}

/// The seat again, on a new socket, with the decoder the client already has.
async fn come_back(node: &Handle, player: &mut Player) {
    let token = player.token();
    player.socket.seen.lock().closed = None;
    let link = attach(node, &player.seat, Some(token), true, &player.socket).await;
    player.link = Some(link);
    player.socket.seen.lock().token = None;
    player.until("join", |seen| seen.token.clone()).await;
    player.send(ClientFrame::Ack);
}

fn kinds() -> Vec<Kind> {
    let with = |name: &str, durability| {
        let settings = Settings { durability, ..Counter::settings() };
        Kind::new(Arc::new(Arc::new(RoomType::<Counter>::with_settings(name, settings))))
    };
    vec![
        with("counter", Durability::Confirmed),
        with("bounded", Durability::Bounded(Duration::from_millis(200))),
        with("snapshot", Durability::Snapshot(Duration::from_millis(50))),
        with("ephemeral", Durability::Ephemeral),
        Kind { filter_by: vec!["map".into()], ..with("mapped", Durability::Confirmed) },
    ]
}

fn options() -> Options {
    Options {
        process_id: ProcessId::new("test").expect("an id"),
        customer: CustomerId::default(),
        limits: Limits::default(),
        snapshots: SnapshotPolicy { records: 8, ..SnapshotPolicy::default() },
        ambient: Ambient::default(),
        events: everplay_node::Events::default(),
    }
}

struct Stores {
    live: MemoryLiveStore,
    arbiter: MemoryArbiter,
}

impl Stores {
    fn new() -> Self {
        Self { live: MemoryLiveStore::default(), arbiter: MemoryArbiter::default() }
    }

    /// A node on these stores, as a new process would start.
    async fn node(&self) -> Handle {
        let live: Arc<dyn LiveStore> = Arc::new(self.live.clone());
        let arbiter: Arc<dyn Arbiter> = Arc::new(self.arbiter.clone());
        let node = Node::start(options(), kinds(), live, arbiter);
        node.restore().await.expect("the directory can be read");
        node
    }
}

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
