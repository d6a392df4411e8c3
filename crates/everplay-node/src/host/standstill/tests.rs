//! Rooms that change their owner while their clients' sockets are kept: moved, taken over, cut off.

use crate::ambient::Ambient;
use crate::events::Events;
use crate::host::{Command, Control, Frozen, Reattach, ReattachSeat, tail_of};
use crate::link::{ClientSink, Relay, RelayBatch, RelayItem, RelaySeat};
use crate::node::{Node, Registered};
use crate::options::{Kind, Limits, Options, SnapshotPolicy};
use crate::registry::RoomEntry;
use crate::{Handle, MatchRequest, Method};
use bytes::Bytes;
use everplay_live::{Arbiter, LiveStore, MemoryArbiter, MemoryLiveStore};
use everplay_room::{
    Absent, AuthRequest, CatchUp, Client, ConnId, Connect, Context, FrameKind, Input, Messages, Refusal,
    Room, RoomType, Settings,
};
use everplay_schema::{Decoder, Map, State};
use everplay_types::{CloseCode, CustomerId, Epoch, ProcessId, RoomId, Seq, SessionId};
use everplay_wire::{ClientFrame, Dialect, Join, MessageType, ServerFrame, msgpack};
use parking_lot::Mutex;
use serde::de::IgnoredAny;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};

#[derive(State, Default)]
struct Counter {
    clicks: u32,
    by: Map<u32>,
    drops: u32,
    leaves: u32,
}

impl Room for Counter {
    type Options = IgnoredAny;
    type Timer = ();

    fn settings() -> Settings {
        Settings { patch_interval: Duration::from_millis(10), ..Settings::default() }
    }

    fn messages(on: &mut Messages<Self>) {
        on.message("click", |room: &mut Counter, cx, client, (): ()| {
            room.clicks += 1;
            let own = room.by.get(client.session_id()).copied().unwrap_or_default();
            room.by.insert(client.session_id().as_str(), own + 1);
            cx.broadcast("clicked", &room.clicks);
            Ok(())
        });
        on.message("quiet", |room: &mut Counter, _cx, _client, (): ()| {
            room.clicks += 1;
            Ok(())
        });
    }

    fn create(_cx: &mut Context<Self>, _options: IgnoredAny) -> Result<Self, Refusal> {
        Ok(Self::default())
    }

    fn join(&mut self, cx: &mut Context<Self>, client: &Client, _: IgnoredAny) -> Result<(), Refusal> {
        self.by.insert(client.session_id().as_str(), 0);
        cx.send(client, "welcome", &self.clicks);
        Ok(())
    }

    fn drop(&mut self, _cx: &mut Context<Self>, _client: &Client, _code: CloseCode) {
        self.drops += 1;
    }

    fn leave(&mut self, _cx: &mut Context<Self>, _client: &Client, _why: everplay_room::Leave) {
        self.leaves += 1;
    }
}

/// A client behind a gateway.
#[derive(Default)]
struct Peer {
    joins: usize,
    states: usize,
    decoder: Option<Decoder>,
    token: String,
    messages: Vec<(String, u64)>,
    closed: Option<CloseCode>,
    moved: usize,
    unprocessed: Vec<Bytes>,
}

impl Peer {
    fn receive(&mut self, bytes: &[u8]) {
        match ServerFrame::decode(bytes, Dialect::V18).expect("frames decode") {
            ServerFrame::Join(Join { handshake, token, .. }) => {
                self.joins += 1;
                token.clone_into(&mut self.token);
                self.decoder = Some(Decoder::from_handshake(handshake).expect("decodes"));
            }
            ServerFrame::State { body, .. } => {
                self.states += 1;
                self.decoder.as_mut().expect("joined").apply(body).expect("applies");
            }
            ServerFrame::Patch { body, .. } => {
                self.decoder.as_mut().expect("joined").apply(body).expect("applies");
            }
            ServerFrame::Data { ty, payload } => {
                let payload: serde_json::Value = msgpack::from_slice(payload).expect("msgpack");
                self.messages.push((ty.to_string(), payload.as_u64().unwrap_or_default()));
            }
            _ => {}
        }
    }

    fn clicks(&self) -> u64 {
        let state = self.decoder.as_ref().map(Decoder::to_json).unwrap_or_default();
        state["clicks"].as_u64().unwrap_or_default()
    }

    fn clicked(&self) -> Vec<u64> {
        self.messages.iter().filter(|(kind, _)| kind == "clicked").map(|(_, number)| *number).collect()
    }
}

/// Another node that holds sockets.
struct Gateway {
    id: u128,
    inner: Mutex<Inner>,
    news: Notify,
}

#[derive(Default)]
struct Inner {
    peers: BTreeMap<u64, Peer>,
    forwarded: Seq,
    epoch: Epoch,
    /// The link is broken: what comes is lost.
    deaf: bool,
    /// What came, as counts of items.
    batches: Vec<usize>,
    frames: Vec<Vec<u64>>,
}

impl Relay for Gateway {
    fn id(&self) -> u128 {
        self.id
    }

    fn batch(&self, batch: RelayBatch) {
        let mut inner = self.inner.lock();
        if inner.deaf || batch.epoch < inner.epoch {
            return;
        }
        inner.epoch = batch.epoch;
        if let Some(seq) = batch.seq {
            assert!(seq >= inner.forwarded, "positions rise");
            inner.forwarded = seq;
        }
        inner.batches.push(batch.items.len());
        for item in batch.items {
            match item {
                RelayItem::Frame { conns, bytes, .. } => {
                    for conn in &conns {
                        inner.peers.entry(*conn).or_default().receive(&bytes);
                    }
                    inner.frames.push(conns);
                }
                RelayItem::Close { conn, code, .. } => {
                    inner.peers.entry(conn).or_default().closed = Some(code);
                }
            }
        }
        drop(inner);
        self.news.notify_waiters();
    }
}

/// One of a gateway's sockets as a room sees it.
struct Socket {
    gateway: Arc<Gateway>,
    conn: u64,
}

impl Socket {
    fn with<T>(&self, change: impl FnOnce(&mut Peer) -> T) -> T {
        change(self.gateway.inner.lock().peers.entry(self.conn).or_default())
    }
}

impl ClientSink for Socket {
    fn deliver(&self, kind: FrameKind, _bytes: Bytes) {
        panic!("a {kind:?} came around the relay");
    }

    fn close(&self, code: CloseCode, _reason: &str) {
        self.with(|peer| peer.closed = Some(code));
    }

    fn relay(&self) -> Option<RelaySeat> {
        Some(RelaySeat { relay: Arc::clone(&self.gateway) as Arc<dyn Relay>, conn: self.conn })
    }

    fn moved(&self) {
        self.with(|peer| peer.moved += 1);
    }

    fn unprocessed(&self, frame: Bytes) {
        self.with(|peer| peer.unprocessed.push(frame));
    }
}

impl Gateway {
    fn new(id: u128) -> Arc<Self> {
        Arc::new(Self { id, inner: Mutex::default(), news: Notify::new() })
    }

    fn socket(self: &Arc<Self>, conn: u64) -> Arc<dyn ClientSink> {
        Arc::new(Socket { gateway: Arc::clone(self), conn })
    }

    async fn until(&self, what: &str, check: impl Fn(&Inner) -> bool) {
        let wait = async {
            loop {
                let news = self.news.notified();
                if check(&self.inner.lock()) {
                    return;
                }
                // Not everything that is waited for is announced.
                let _ = tokio::time::timeout(Duration::from_millis(5), news).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait)
            .await
            .unwrap_or_else(|_| panic!("no {what} in 10 s"));
    }

    async fn clicks(&self, conn: u64, at_least: u64) {
        self.until("clicks", |inner| inner.peers[&conn].clicks() >= at_least).await;
    }
}

fn options() -> Options {
    Options {
        process_id: ProcessId::new("test").expect("an id"),
        customer: CustomerId::default(),
        limits: Limits::default(),
        snapshots: SnapshotPolicy { records: 8, ..SnapshotPolicy::default() },
        ambient: Ambient::default(),
        events: Events::default(),
    }
}

struct Stores(MemoryLiveStore, MemoryArbiter);

impl Stores {
    fn new() -> Self {
        Self(MemoryLiveStore::default(), MemoryArbiter::default())
    }

    fn node(&self) -> Handle {
        let kind = Kind::new(Arc::new(Arc::new(RoomType::<Counter>::new("counter"))));
        let live: Arc<dyn LiveStore> = Arc::new(self.0.clone());
        let arbiter: Arc<dyn Arbiter> = Arc::new(self.1.clone());
        let node = Node::start(options(), vec![kind], live, arbiter);
        node.node().restored();
        node
    }
}

/// A room as the test plays it, wherever it is.
struct Play {
    node: Handle,
    room: RoomId,
    entry: Arc<RoomEntry>,
    /// By the gateway's number of the socket: who it is, and what the room's host calls it.
    seats: BTreeMap<u64, (Arc<Gateway>, SessionId, ConnId)>,
    next: u64,
}

impl Play {
    async fn begin(node: Handle, gateway: &Arc<Gateway>) -> Self {
        let seat = reserve(&node, Method::Create, "counter").await;
        let entry = node.node().registry.get(&seat.0).expect("it was made");
        let mut play = Self { node, room: seat.0.clone(), entry, seats: BTreeMap::new(), next: 1 };
        play.attach(gateway, seat.1).await;
        play
    }

    async fn join(&mut self, gateway: &Arc<Gateway>) -> u64 {
        let (_, session) = reserve(&self.node, Method::JoinById, &self.room).await;
        self.attach(gateway, session).await
    }

    /// Attaches without an acknowledgement, and answers the socket's number.
    async fn attach_only(&mut self, gateway: &Arc<Gateway>, session: SessionId) -> u64 {
        let number = self.next;
        self.next += 1;
        let conn = ConnId(1_000 + number);
        let dialect = Some(Dialect::V18);
        let connect = Connect { conn, session: session.clone(), token: None, skip_handshake: false, dialect };
        self.command(Command::Attach { connect, sink: gateway.socket(number) }).await;
        self.seats.insert(number, (Arc::clone(gateway), session, conn));
        gateway.until("join", |inner| inner.peers.get(&number).is_some_and(|peer| peer.joins > 0)).await;
        number
    }

    async fn attach(&mut self, gateway: &Arc<Gateway>, session: SessionId) -> u64 {
        let number = self.attach_only(gateway, session).await;
        self.send(number, ClientFrame::Ack).await;
        gateway.until("state", |inner| inner.peers[&number].states > 0).await;
        number
    }

    async fn command(&self, command: Command) {
        self.entry.mailbox.send(command).await.unwrap_or_else(|_| panic!("the room is there"));
    }

    async fn send(&self, number: u64, frame: ClientFrame<'_>) {
        let conn = self.seats[&number].2;
        self.command(Command::Input(Input::Frame { conn, bytes: frame.to_vec().into() })).await;
    }

    async fn say(&self, number: u64, what: &str) {
        let payload = msgpack::to_vec(&()).expect("encodes");
        self.send(number, ClientFrame::Data { ty: MessageType::from(what), payload: &payload }).await;
    }

    async fn freeze(&self) -> Option<Frozen> {
        let (answer, frozen) = oneshot::channel();
        self.command(Command::Freeze(answer)).await;
        let frozen = tokio::time::timeout(Duration::from_secs(10), frozen).await;
        frozen.expect("it stands still in time").expect("it is answered")
    }

    /// Brings the room up in another node, from its image or its journal.
    async fn carry_on(&mut self, node: &Handle, image: Option<Bytes>) {
        self.node = node.clone();
        let node = node.node();
        let key = node.key(&self.room);
        let current = node.arbiter.current(key.clone()).await.expect("an arbiter").expect("granted");
        let token = node.grant(&key, current.token.epoch).await.expect("granted");
        let position = node.live.seal(key.clone(), token).await.expect("sealed");
        let kind = &node.kinds["counter"];
        let (mut engine, tail) = match image {
            Some(image) => {
                let engine = kind.kind.revive(&self.room, Some(&image), &[]).expect("the image is whole");
                (engine, CatchUp::new(position.last))
            }
            None => {
                let loaded = node.live.load(key).await.expect("the journal is whole");
                let snapshot = loaded.snapshot.as_ref().map(|snapshot| snapshot.bytes.as_ref());
                let records: Vec<&[u8]> = loaded.tail.iter().map(|entry| entry.payload.as_ref()).collect();
                let engine = kind.kind.revive(&self.room, snapshot, &records).expect("the journal is whole");
                (engine, tail_of(&loaded))
            }
        };
        engine.resume(&[], Absent::Awaited);
        let journal = node.journal(&self.room, token, position);
        self.entry = node.host(kind, self.room.clone(), Registered::default(), engine, journal, tail);
    }

    /// The gateway finds the room where it is now.
    async fn reattach(&mut self, gateway: &Arc<Gateway>) {
        let mut seats = Vec::new();
        let (forwarded, epoch) = {
            let mut inner = gateway.inner.lock();
            inner.deaf = false;
            (inner.forwarded, inner.epoch)
        };
        for (number, (of, session, conn)) in &mut self.seats {
            if !Arc::ptr_eq(of, gateway) {
                continue;
            }
            *conn = ConnId(self.next * 1_000 + number);
            let dialect = Some(Dialect::V18);
            let connect = Connect {
                conn: *conn,
                session: session.clone(),
                token: None,
                skip_handshake: false,
                dialect,
            };
            let acknowledged = gateway.inner.lock().peers[number].states > 0;
            let sink = gateway.socket(*number);
            seats.push(ReattachSeat { connect, sink, acknowledged, full: false, inputs: 0, input_time: 0 });
        }
        self.next += 1;
        self.command(Command::Reattach(Reattach { epoch, forwarded, seats, number: 0 })).await;
    }

    /// Everybody has the same, each message once, one state each, and nobody noticed anything.
    fn check(&self, clicks: u64) {
        for (number, (gateway, _, _)) in &self.seats {
            let inner = gateway.inner.lock();
            let peer = &inner.peers[number];
            assert_eq!((peer.closed, peer.states, peer.joins), (None, 1, 1), "client {number}");
            let state = peer.decoder.as_ref().expect("joined").to_json();
            assert_eq!((&state["drops"], &state["leaves"]), (&json!(0), &json!(0)));
            assert_eq!(peer.clicks(), clicks, "client {number}");
            let clicked = peer.clicked();
            let first = clicked.first().copied().unwrap_or(clicks + 1);
            assert_eq!(clicked, (first..=clicks).collect::<Vec<_>>(), "client {number}");
        }
    }
}

async fn reserve(node: &Handle, method: Method, target: &str) -> (RoomId, SessionId) {
    let auth = AuthRequest::default();
    let request = MatchRequest { method, target: target.into(), options: json!({}), auth };
    let seat = node.matchmake(request).await.expect("a seat");
    (seat.room_id.clone(), seat.session_id.clone())
}

#[tokio::test]
async fn a_frozen_room_is_carried_on_by_another_node() {
    let stores = Stores::new();
    let (a, b) = (Gateway::new(1), Gateway::new(2));
    let mut play = Play::begin(stores.node(), &a).await;
    let bob = play.join(&a).await;
    let cyd = play.join(&b).await;
    for _ in 0..20 {
        play.say(1, "click").await;
    }
    let frozen = play.freeze().await.expect("it stands still");
    for gateway in [&a, &b] {
        assert_eq!(gateway.inner.lock().forwarded, frozen.position.last, "all of it was released");
    }
    assert_eq!(play.entry.delivered.load(Ordering::Acquire), frozen.position.last.0);
    // What comes now waits for the next owner.
    play.say(cyd, "click").await;
    let old = Arc::clone(&play.entry);
    let first = play.node.clone();
    play.carry_on(&stores.node(), Some(frozen.image)).await;
    frozen.control.send(Control::Release).await.expect("the host waits for it");
    old.mailbox.closed().await;
    assert_eq!(first.status().rooms, 0);
    play.reattach(&a).await;
    play.reattach(&b).await;
    let late = std::mem::take(&mut b.inner.lock().peers.get_mut(&cyd).expect("known").unprocessed);
    assert_eq!(late.len(), 1);
    for bytes in late {
        let conn = play.seats[&cyd].2;
        play.command(Command::Input(Input::Frame { conn, bytes })).await;
    }
    play.say(bob, "click").await;
    for (gateway, conn) in [(&a, 1), (&a, bob), (&b, cyd)] {
        gateway.clicks(conn, 22).await;
    }
    play.check(22);
    assert!([&a, &b].iter().all(|gateway| gateway.inner.lock().peers.values().all(|peer| peer.moved == 0)));
}

#[tokio::test]
async fn a_room_that_nobody_takes_goes_on() {
    let stores = Stores::new();
    let gateway = Gateway::new(1);
    let play = Play::begin(stores.node(), &gateway).await;
    for round in 1..=3 {
        play.say(1, "click").await;
        let frozen = play.freeze().await.expect("it stands still");
        play.say(1, "click").await;
        let (again, second) = oneshot::channel();
        if round == 1 {
            frozen.control.send(Control::Thaw).await.expect("the host waits for it");
        } else if round == 2 {
            drop(frozen);
        } else {
            // An asker that went away before it was answered.
            drop(frozen);
            play.command(Command::Freeze(again)).await;
            drop(second);
        }
        gateway.clicks(1, round * 2).await;
    }
    play.check(6);
}

#[tokio::test]
async fn a_standstill_waits_for_clients_that_are_joining() {
    let stores = Stores::new();
    let gateway = Gateway::new(1);
    let mut play = Play::begin(stores.node(), &gateway).await;
    let (_, session) = reserve(&play.node, Method::JoinById, &play.room.clone()).await;
    let bob = play.attach_only(&gateway, session).await;
    let (answer, mut frozen) = oneshot::channel();
    play.command(Command::Freeze(answer)).await;
    play.say(1, "click").await;
    gateway.clicks(1, 1).await;
    assert!(frozen.try_recv().is_err(), "it goes on meanwhile");
    play.send(bob, ClientFrame::Ack).await;
    let frozen = frozen.await.expect("answered").expect("it stands still");
    gateway.until("state", |inner| inner.peers[&bob].states == 1).await;
    frozen.control.send(Control::Thaw).await.expect("the host waits for it");
    play.say(bob, "click").await;
    gateway.clicks(bob, 2).await;
    // One that never acknowledges does not hold it up for long.
    let (_, session) = reserve(&play.node, Method::JoinById, &play.room.clone()).await;
    play.attach_only(&gateway, session).await;
    assert!(play.freeze().await.is_some());
}

#[tokio::test]
async fn a_room_that_ends_does_not_stand_still() {
    let stores = Stores::new();
    let gateway = Gateway::new(1);
    let mut play = Play::begin(stores.node(), &gateway).await;
    let (_, session) = reserve(&play.node, Method::JoinById, &play.room.clone()).await;
    play.attach_only(&gateway, session).await;
    let (answer, frozen) = oneshot::channel();
    play.command(Command::Freeze(answer)).await;
    play.command(Command::Input(Input::End { code: CloseCode::CONSENTED })).await;
    assert!(frozen.await.expect("answered").is_none());
    gateway.until("close", |inner| inner.peers[&1].closed == Some(CloseCode::CONSENTED)).await;
}

#[tokio::test]
async fn who_is_taken_over_misses_nothing() {
    let stores = Stores::new();
    let (a, b) = (Gateway::new(1), Gateway::new(2));
    let mut play = Play::begin(stores.node(), &a).await;
    let bob = play.join(&b).await;
    for round in 1..=10 {
        play.say(1, "click").await;
        b.clicks(bob, round).await;
    }
    for _ in 0..3 {
        // One link breaks before the owner goes.
        b.inner.lock().deaf = true;
        let seen = a.inner.lock().peers[&1].clicks();
        for round in 1..=5 {
            play.say(1, "click").await;
            a.clicks(1, seen + round).await;
        }
        play.node.end().await;
        a.inner.lock().deaf = true;
        play.carry_on(&stores.node(), None).await;
        play.reattach(&a).await;
        play.say(1, "click").await;
        a.clicks(1, seen + 6).await;
        play.reattach(&b).await;
        b.clicks(bob, seen + 6).await;
        play.check(seen + 6);
    }
}

#[tokio::test]
async fn a_broken_link_is_mended_from_the_journal() {
    let stores = Stores::new();
    let (a, b) = (Gateway::new(1), Gateway::new(2));
    let mut play = Play::begin(stores.node(), &a).await;
    let bob = play.join(&b).await;
    b.inner.lock().deaf = true;
    for round in 1..=3 {
        play.say(1, "click").await;
        a.clicks(1, round).await;
    }
    // Only now it is noticed.
    play.command(Command::Detach(vec![play.seats[&bob].2])).await;
    play.say(1, "click").await;
    a.clicks(1, 4).await;
    play.reattach(&b).await;
    b.clicks(bob, 4).await;
    // And once more without a word: the same socket under another number.
    b.inner.lock().deaf = true;
    play.say(1, "click").await;
    a.clicks(1, 5).await;
    play.reattach(&b).await;
    play.say(bob, "click").await;
    a.clicks(1, 6).await;
    b.clicks(bob, 6).await;
    play.check(6);
}

#[tokio::test]
async fn what_a_turn_sent_before_it_read_that_the_link_broke_is_kept() {
    let stores = Stores::new();
    let gateway = Gateway::new(1);
    let mut play = Play::begin(stores.node(), &gateway).await;
    gateway.inner.lock().deaf = true;
    let before = play.entry.delivered.load(Ordering::Acquire);
    // All of it waits in the mailbox before the room looks.
    for _ in 0..3 {
        play.say(1, "click").await;
    }
    play.command(Command::Detach(vec![play.seats[&1].2])).await;
    let entry = Arc::clone(&play.entry);
    gateway.until("step", |_| entry.delivered.load(Ordering::Acquire) > before).await;
    play.reattach(&gateway).await;
    gateway.clicks(1, 3).await;
    play.check(3);
}

#[tokio::test]
async fn a_socket_that_is_attached_twice_in_a_turn_gets_everything_once() {
    let stores = Stores::new();
    let (a, b, broken) = (Gateway::new(1), Gateway::new(2), Gateway::new(3));
    let mut play = Play::begin(stores.node(), &a).await;
    let bob = play.join(&b).await;
    a.inner.lock().deaf = true;
    broken.inner.lock().deaf = true;
    play.say(bob, "click").await;
    b.clicks(bob, 1).await;
    let (epoch, forwarded) = {
        let inner = a.inner.lock();
        (inner.epoch, inner.forwarded)
    };
    let (_, session, old) = play.seats[&1].clone();
    let (conn, dialect) = (ConnId(77), Some(Dialect::V18));
    let connect = Connect { conn, session, token: None, skip_handshake: false, dialect };
    let (sink, acknowledged) = (broken.socket(1), true);
    let seat = ReattachSeat { connect, sink, acknowledged, full: false, inputs: 0, input_time: 0 };
    // The link breaks, stands, breaks, and stands, before the room looks.
    play.command(Command::Detach(vec![old])).await;
    play.command(Command::Reattach(Reattach { epoch, forwarded, seats: vec![seat], number: 0 })).await;
    play.command(Command::Detach(vec![conn])).await;
    play.reattach(&a).await;
    play.say(bob, "click").await;
    a.clicks(1, 2).await;
    b.clicks(bob, 2).await;
    play.check(2);
}

#[tokio::test]
async fn one_socket_of_a_client_joins_at_a_time() {
    let stores = Stores::new();
    let gateway = Gateway::new(1);
    let mut play = Play::begin(stores.node(), &gateway).await;
    let session = play.seats[&1].1.clone();
    let token = Some(gateway.inner.lock().peers[&1].token.clone());
    let dialect = Some(Dialect::V18);
    for number in [7, 8] {
        let conn = ConnId(number);
        let (session, token) = (session.clone(), token.clone());
        let connect = Connect { conn, session, token, skip_handshake: false, dialect };
        play.command(Command::Attach { connect, sink: gateway.socket(number) }).await;
    }
    let told = |inner: &Inner| inner.peers.get(&8).is_some_and(|peer| peer.closed.is_some());
    gateway.until("word for the second one", told).await;
    gateway.until("join", |inner| inner.peers.get(&7).is_some_and(|peer| peer.joins == 1)).await;
    assert_eq!(gateway.inner.lock().peers[&8].closed, Some(CloseCode::MAY_TRY_RECONNECT));
    play.seats.insert(7, (Arc::clone(&gateway), session, ConnId(7)));
    play.send(7, ClientFrame::Ack).await;
    gateway.until("state", |inner| inner.peers[&7].states == 1).await;
    assert_eq!(gateway.inner.lock().peers[&7].closed, None);
}

#[tokio::test]
async fn one_step_is_one_call_for_each_node() {
    let stores = Stores::new();
    let (a, b) = (Gateway::new(1), Gateway::new(2));
    let mut play = Play::begin(stores.node(), &a).await;
    let bob = play.join(&a).await;
    let cyd = play.join(&b).await;
    for gateway in [&a, &b] {
        let mut inner = gateway.inner.lock();
        inner.batches.clear();
        inner.frames.clear();
    }
    play.say(1, "click").await;
    a.clicks(bob, 1).await;
    b.clicks(cyd, 1).await;
    // The message and the patch.
    let inner = a.inner.lock();
    assert_eq!(inner.batches, [2]);
    let frames: Vec<Vec<u64>> = inner
        .frames
        .iter()
        .map(|conns| {
            let mut conns = conns.clone();
            conns.sort_unstable();
            conns
        })
        .collect();
    assert_eq!(frames, [[1, bob], [1, bob]]);
    assert_eq!(b.inner.lock().frames, [[cyd], [cyd]]);
}

#[tokio::test]
async fn a_client_from_the_future_gets_a_state_and_an_old_owner_gets_nobody() {
    let stores = Stores::new();
    let gateway = Gateway::new(1);
    let mut play = Play::begin(stores.node(), &gateway).await;
    play.say(1, "click").await;
    gateway.clicks(1, 1).await;
    play.node.end().await;
    play.carry_on(&stores.node(), None).await;
    let epoch = {
        let mut inner = gateway.inner.lock();
        inner.forwarded = Seq(10_000);
        inner.epoch
    };
    let seat = |gateway: &Arc<Gateway>, session: &SessionId, conn: u64| {
        let (session, dialect) = (session.clone(), Some(Dialect::V18));
        let connect = Connect { conn: ConnId(conn), session, token: None, skip_handshake: false, dialect };
        let sink = gateway.socket(1);
        ReattachSeat { connect, sink, acknowledged: true, full: false, inputs: 0, input_time: 0 }
    };
    let session = play.seats[&1].1.clone();
    let seats = vec![seat(&gateway, &session, 77)];
    play.command(Command::Reattach(Reattach { epoch: Epoch(99), forwarded: Seq(1), seats, number: 0 })).await;
    gateway.until("refusal", |inner| inner.peers[&1].moved == 1).await;
    let seats = vec![seat(&gateway, &session, 78)];
    gateway.inner.lock().forwarded = Seq::ZERO;
    play.command(Command::Reattach(Reattach { epoch, forwarded: Seq(10_000), seats, number: 0 })).await;
    gateway.until("state", |inner| inner.peers[&1].states == 2).await;
    assert_eq!(gateway.inner.lock().peers[&1].clicks(), 1);
}

#[tokio::test]
async fn a_fenced_owner_gives_back_what_it_did_not_look_at() {
    let stores = Stores::new();
    let gateway = Gateway::new(1);
    let mut play = Play::begin(stores.node(), &gateway).await;
    let old = Arc::clone(&play.entry);
    let conn = play.seats[&1].2;
    play.carry_on(&stores.node(), None).await;
    let payload = msgpack::to_vec(&()).expect("encodes");
    let frame = ClientFrame::Data { ty: MessageType::from("click"), payload: &payload }.to_vec();
    let sent: mpsc::Sender<Command> = old.mailbox.clone();
    let bytes = Bytes::from(frame);
    sent.send(Command::Input(Input::Frame { conn, bytes })).await.unwrap_or_else(|_| panic!("still there"));
    gateway.until("word of the move", |inner| inner.peers[&1].moved == 1).await;
    let inner = gateway.inner.lock();
    assert_eq!((inner.peers[&1].closed, inner.peers[&1].clicks()), (None, 0));
}

#[tokio::test]
async fn a_superseded_owner_gives_back_all_it_was_just_sent() {
    let stores = Stores::new();
    let gateway = Gateway::new(1);
    let play = Play::begin(stores.node(), &gateway).await;
    // The host does not run between these.
    play.say(1, "click").await;
    play.command(Command::Superseded).await;
    play.say(1, "quiet").await;
    gateway.until("word of the move", |inner| inner.peers[&1].moved == 1).await;
    let inner = gateway.inner.lock();
    let peer = &inner.peers[&1];
    assert_eq!((peer.unprocessed.len(), peer.closed, peer.clicks()), (2, None, 0));
}
