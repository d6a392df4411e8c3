//! A running room over a real Redis behind Sentinels whose primary is killed in the middle of play.

#[path = "../../everplay-live/tests/servers/mod.rs"]
mod servers;

use bytes::Bytes;
use everplay_live::{Arbiter, LiveStore, MemoryArbiter, RedisAddress, RedisLiveStore, RedisOptions};
use everplay_node::{
    Attach, ClientSink, Handle, Kind, Limits, MatchRequest, Method, Node, Options, Reservation, RoomLink,
    SnapshotPolicy,
};
use everplay_room::{AuthRequest, Context, FrameKind, Messages, Refusal, Room, RoomType, Settings};
use everplay_schema::{Decoder, State};
use everplay_types::{CloseCode, CustomerId, ProcessId};
use everplay_wire::{ClientFrame, Dialect, Join, MessageType, ServerFrame, msgpack};
use parking_lot::Mutex;
use servers::redis::{Redis, Watched};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

#[derive(State, Default)]
struct Counter {
    clicks: u32,
}

impl Room for Counter {
    type Options = ();
    type Timer = ();

    fn settings() -> Settings {
        Settings { patch_interval: Duration::from_millis(10), ..Settings::default() }
    }

    fn messages(on: &mut Messages<Self>) {
        on.message("click", |room: &mut Counter, _cx, _client, (): ()| {
            room.clicks += 1;
            Ok(())
        });
    }

    fn create(_cx: &mut Context<Self>, (): ()) -> Result<Self, Refusal> {
        Ok(Self::default())
    }
}

/// The client's end of a pretend socket, and every number it ever showed.
#[derive(Default)]
struct Socket {
    seen: Mutex<Seen>,
    news: Notify,
}

#[derive(Default)]
struct Seen {
    joined: bool,
    decoder: Option<Decoder>,
    clicks: Vec<u64>,
    pauses: usize,
    closed: Option<CloseCode>,
}

impl ClientSink for Socket {
    fn deliver(&self, _kind: FrameKind, bytes: Bytes) {
        let mut seen = self.seen.lock();
        match ServerFrame::decode(&bytes, Dialect::V18).expect("frames decode") {
            ServerFrame::Join(Join { handshake, .. }) => {
                seen.joined = true;
                seen.decoder = Some(Decoder::from_handshake(handshake).expect("decodes"));
            }
            ServerFrame::State { body, .. } | ServerFrame::Patch { body, .. } => {
                let decoder = seen.decoder.as_mut().expect("joined");
                decoder.apply(body).expect("applies");
                let clicks = decoder.to_json()["clicks"].as_u64().unwrap_or_default();
                seen.clicks.push(clicks);
            }
            ServerFrame::Data { .. } => seen.pauses += 1,
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

struct Player {
    seat: Reservation,
    socket: Arc<Socket>,
    link: RoomLink,
}

impl Player {
    async fn join(node: &Handle, method: Method, target: &str) -> Player {
        let request = MatchRequest {
            method,
            target: target.into(),
            options: serde_json::Value::Null,
            auth: AuthRequest::default(),
        };
        let seat = node.matchmake(request).await.expect("a seat");
        let socket = Arc::new(Socket::default());
        let attach = Attach {
            room: seat.room_id.clone(),
            session: seat.session_id.clone(),
            token: None,
            skip_handshake: false,
            dialect: None,
        };
        let link =
            node.attach(attach, Arc::clone(&socket) as Arc<dyn ClientSink>).await.expect("the room is there");
        let player = Player { seat, socket, link };
        player.until("join", |seen| seen.joined).await;
        player.send(ClientFrame::Ack);
        player.until("state", |seen| !seen.clicks.is_empty()).await;
        player
    }

    fn send(&self, frame: ClientFrame<'_>) {
        self.link.push(frame.to_vec().into()).expect("the mailbox takes it");
    }

    fn click(&self) {
        let payload = msgpack::to_vec(&()).expect("encodes");
        self.send(ClientFrame::Data { ty: MessageType::from("click"), payload: &payload });
    }

    async fn until(&self, what: &str, check: impl Fn(&Seen) -> bool) {
        let wait = async {
            while !check(&self.socket.seen.lock()) {
                self.socket.news.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait)
            .await
            .unwrap_or_else(|_| panic!("no {what} in 20 s"));
    }

    async fn sees(&self, clicks: u64) {
        self.until("clicks", |seen| seen.clicks.last().is_some_and(|last| *last >= clicks)).await;
    }
}

async fn start(live: &RedisLiveStore, arbiter: Arc<dyn Arbiter>) -> Handle {
    let options = Options {
        process_id: ProcessId::new("test").expect("an id"),
        customer: CustomerId::default(),
        limits: Limits::default(),
        snapshots: SnapshotPolicy { records: 8, ..SnapshotPolicy::default() },
        ambient: everplay_node::Ambient::default(),
        events: everplay_node::Events::default(),
    };
    let kinds = vec![Kind::new(Arc::new(Arc::new(RoomType::<Counter>::new("counter"))))];
    let node = Node::start(options, kinds, Arc::new(live.clone()) as Arc<dyn LiveStore>, arbiter);
    let restored = node.restore().await.expect("the directory can be read");
    assert!(restored.quarantined.is_empty() && restored.stranded.is_empty(), "{restored:?}");
    node
}

/// The links to the replicas are cut, then the primary dies: clicks that were taken meanwhile are shown once the next
/// primary has confirmed them, on the same sockets; nothing that was shown is taken back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_play_on_over_a_failover_of_redis() {
    let mut watched = Watched::start();
    let address = RedisAddress::parse(&watched.url()).expect("a URL");
    let live = RedisLiveStore::open(RedisOptions::new(address)).await.expect("opens");
    let arbiter: Arc<dyn Arbiter> = Arc::new(MemoryArbiter::new(7));
    let node = start(&live, Arc::clone(&arbiter)).await;
    let mut players = Vec::new();
    for _ in 0..3 {
        players.push(Player::join(&node, Method::JoinOrCreate, "counter").await);
    }
    let mut clicks = 0;
    for _ in 0..20 {
        players.iter().for_each(Player::click);
        clicks += 3;
        players[0].sees(clicks).await;
    }
    watched.servers[1..].iter().for_each(Redis::freeze);
    players.iter().for_each(Player::click);
    clicks += 3;
    players[0].until("pause", |seen| seen.pauses > 0).await;
    let shown = players[0].socket.seen.lock().clicks.last().copied();
    assert_eq!(shown, Some(clicks - 3), "nothing is shown that no replica confirmed");
    watched.servers[0].kill();
    let killed = Instant::now();
    watched.servers[1..].iter().for_each(Redis::thaw);
    for player in &players {
        player.sees(clicks).await;
    }
    println!("shown {} ms after the kill", killed.elapsed().as_millis());
    for _ in 0..20 {
        players.iter().for_each(Player::click);
        clicks += 3;
        players[2].sees(clicks).await;
    }
    for player in &players {
        player.sees(clicks).await;
        let seen = player.socket.seen.lock();
        assert!(seen.clicks.is_sorted(), "{:?}", seen.clicks);
        assert_eq!(seen.closed, None);
    }
    // What a new process finds is what was shown.
    let room = players[0].seat.room_id.clone();
    node.end().await;
    let node = start(&live, arbiter).await;
    let player = Player::join(&node, Method::JoinById, &room).await;
    player.sees(clicks).await;
    assert_eq!(player.socket.seen.lock().clicks.last(), Some(&clicks));
}
