//! A room to click in, a pretend socket that remembers what it saw, and stores that survive their nodes.
//!
//! Each test file takes what it needs.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod hub;

use bytes::Bytes;
use everplay_live::{Arbiter, LiveStore, MemoryArbiter, MemoryLiveStore};
use everplay_node::{Ambient, Limits, SnapshotPolicy};
use everplay_node::{
    Attach, ClientSink, Handle, Kind, MatchRequest, Method, Node, Options, Reservation, RoomLink,
};
use everplay_room::{
    AuthRequest, Client, Context, Durability, FrameKind, Messages, Refusal, Room, RoomType, Settings,
};
use everplay_schema::{Decoder, List, Map, State};
use everplay_types::{CloseCode, CustomerId, ProcessId, ServiceLevel};
use everplay_wire::{ClientFrame, Dialect, Join, MessageType, ServerFrame, msgpack};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

#[derive(State, Default)]
pub(crate) struct Counter {
    pub(crate) clicks: u32,
    pub(crate) by: Map<u32>,
    pub(crate) lives: u32,
    /// How much of the service there was, as it was told.
    pub(crate) levels: List<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Options_ {
    pub(crate) seats: u32,
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

    fn service(&mut self, _cx: &mut Context<Self>, level: ServiceLevel) {
        self.levels.push(level.name().to_owned());
    }

    fn join(&mut self, _cx: &mut Context<Self>, client: &Client, _options: Options_) -> Result<(), Refusal> {
        self.by.insert(client.session_id().as_str(), 0);
        Ok(())
    }
}

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) token: Option<String>,
    pub(crate) decoder: Option<Decoder>,
    pub(crate) messages: Vec<(String, serde_json::Value)>,
    pub(crate) errors: Vec<(i32, String)>,
    pub(crate) closed: Option<CloseCode>,
    /// Full states.
    pub(crate) states: usize,
}

/// The client's end of a pretend socket.
#[derive(Default)]
pub(crate) struct Socket {
    pub(crate) seen: Mutex<Seen>,
    pub(crate) news: Notify,
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
            ServerFrame::State { body, .. } => {
                seen.states += 1;
                seen.decoder.as_mut().expect("joined").apply(body).expect("applies");
            }
            ServerFrame::Patch { body, .. } => {
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
pub(crate) struct Player {
    pub(crate) seat: Reservation,
    pub(crate) socket: Arc<Socket>,
    pub(crate) link: Option<RoomLink>,
}

impl Player {
    pub(crate) async fn until<T>(&self, what: &str, check: impl Fn(&Seen) -> Option<T>) -> T {
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

    pub(crate) async fn clicks(&self, at_least: u64) -> u64 {
        self.until("clicks", |seen| {
            let state = seen.decoder.as_ref()?.to_json();
            state["clicks"].as_u64().filter(|&clicks| clicks >= at_least)
        })
        .await
    }

    pub(crate) fn send(&self, frame: ClientFrame<'_>) {
        self.link.as_ref().expect("attached").push(frame.to_vec().into()).expect("the mailbox takes it");
    }

    pub(crate) fn message(&self, kind: &str, payload: &impl serde::Serialize) {
        let payload = msgpack::to_vec(payload).expect("encodes");
        self.send(ClientFrame::Data { ty: MessageType::from(kind), payload: &payload });
    }

    pub(crate) async fn closed(&self) -> CloseCode {
        self.until("close", |seen| seen.closed).await
    }

    pub(crate) fn token(&self) -> String {
        self.socket.seen.lock().token.clone().expect("joined")
    }
}

pub(crate) async fn attach(
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

pub(crate) async fn join_with(
    node: &Handle,
    method: Method,
    target: &str,
    options: serde_json::Value,
) -> Player {
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

pub(crate) async fn join(node: &Handle, name: &str) -> Player {
    join_with(node, Method::JoinOrCreate, name, json!({})).await
}

/// The seat again, on a new socket, with the decoder the client already has.
pub(crate) async fn come_back(node: &Handle, player: &mut Player) {
    let token = player.token();
    player.socket.seen.lock().closed = None;
    let link = attach(node, &player.seat, Some(token), true, &player.socket).await;
    player.link = Some(link);
    player.socket.seen.lock().token = None;
    player.until("join", |seen| seen.token.clone()).await;
    player.send(ClientFrame::Ack);
}

pub(crate) fn kinds() -> Vec<Kind> {
    kinds_of_version(1)
}

/// As a release knows them whose rooms have this version.
pub(crate) fn kinds_of_version(version: u32) -> Vec<Kind> {
    let with = |name: &str, durability| {
        let settings = Settings { durability, version, ..Counter::settings() };
        Kind::new(Arc::new(Arc::new(RoomType::<Counter>::with_settings(name, settings))))
    };
    vec![
        with("counter", Durability::Confirmed),
        with("bounded", Durability::Bounded(Duration::from_millis(200))),
        with("snapshot", Durability::Snapshot(Duration::from_millis(50))),
        with("ephemeral", Durability::Ephemeral),
        Kind {
            filter_by: vec!["map".into()],
            filter_defaults: [("map".to_owned(), "woods".into())].into_iter().collect(),
            ..with("mapped", Durability::Confirmed)
        },
    ]
}

pub(crate) fn options() -> Options {
    Options {
        process_id: ProcessId::new("test").expect("an id"),
        customer: CustomerId::default(),
        limits: Limits::default(),
        snapshots: SnapshotPolicy { records: 8, ..SnapshotPolicy::default() },
        ambient: Ambient::default(),
        events: everplay_node::Events::default(),
    }
}

pub(crate) struct Stores {
    pub(crate) live: MemoryLiveStore,
    pub(crate) arbiter: MemoryArbiter,
}

impl Stores {
    pub(crate) fn new() -> Self {
        Self { live: MemoryLiveStore::default(), arbiter: MemoryArbiter::default() }
    }

    /// A node on these stores, as a new process would start.
    pub(crate) async fn node(&self) -> Handle {
        let live: Arc<dyn LiveStore> = Arc::new(self.live.clone());
        let arbiter: Arc<dyn Arbiter> = Arc::new(self.arbiter.clone());
        let node = Node::start(options(), kinds(), live, arbiter);
        node.restore().await.expect("the directory can be read");
        node
    }
}
