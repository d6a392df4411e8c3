//! Events reach their consumers exactly once: consumers that fail, are away or repeat, nodes that die at any moment,
//! rooms that end meanwhile, kinds of every durability.

use everplay_live::{Arbiter, Fault, LiveStore, MemoryArbiter, MemoryLiveStore, Pending};
use everplay_node::{
    Ambient, EventConsumer, Events, Handle, Kind, Limits, MatchRequest, Method, Node, Options, RoomEvent,
    SnapshotPolicy, TakeError,
};
use everplay_room::{AuthRequest, Context, Durability, Refusal, Room, RoomType, Settings};
use everplay_schema::State;
use everplay_types::{CustomerId, ProcessId};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Emits its count every few milliseconds, and ends after the last.
#[derive(State, Default)]
struct Drummer {
    beats: u32,
    last: u32,
}

#[derive(Deserialize)]
struct Beats {
    beats: u32,
}

impl Room for Drummer {
    type Options = Beats;
    type Timer = ();

    fn settings() -> Settings {
        Settings { auto_dispose: false, patch_interval: Duration::from_millis(5), ..Settings::default() }
    }

    fn create(cx: &mut Context<Self>, options: Beats) -> Result<Self, Refusal> {
        cx.schedule(Duration::from_millis(1), &());
        Ok(Drummer { beats: 0, last: options.beats })
    }

    fn timer(&mut self, cx: &mut Context<Self>, (): ()) {
        self.beats += 1;
        cx.emit("beat", &self.beats).expect("there is room for it");
        if self.beats == self.last {
            cx.disconnect();
        } else {
            cx.schedule(Duration::from_millis(1), &());
        }
    }

    fn dispose(&mut self, cx: &mut Context<Self>) {
        cx.emit("stopped", &self.beats).expect("there is room for it");
        cx.emit("nonsense", &()).expect("there is room for it");
    }
}

/// Remembers what it has taken; fails when told to.
#[derive(Debug, Default)]
struct Listener {
    /// Only events of this name; empty: all.
    of: &'static str,
    away: AtomicBool,
    /// Every third batch is taken and then said not to be.
    forgetful: AtomicBool,
    calls: AtomicU32,
    /// By room and number: what, and how often it was brought.
    heard: Mutex<BTreeMap<(String, u64), (String, u32)>>,
}

impl EventConsumer for Listener {
    fn name(&self) -> &'static str {
        "listener"
    }

    fn wants(&self, name: &str) -> bool {
        self.of.is_empty() || name == self.of
    }

    fn take(&self, events: Vec<Arc<RoomEvent>>) -> Pending<Result<(), TakeError>> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if self.away.load(Ordering::Relaxed) {
            return Box::pin(async { Err(TakeError::Later("away".into())) });
        }
        if let Some(at) = events.iter().position(|event| event.name == "nonsense") {
            return Box::pin(async move { Err(TakeError::Senseless { at, reason: "no".into() }) });
        }
        let mut heard = self.heard.lock();
        for event in &events {
            let beats: u32 = event.read().unwrap();
            assert!(event.date > 1_600_000_000_000);
            let entry = heard.entry((event.room.room.to_string(), event.number)).or_default();
            let what = format!("{} {beats}", event.name);
            assert!(entry.1 == 0 || entry.0 == what, "{entry:?} was {what} at first");
            *entry = (what, entry.1 + 1);
        }
        let fails = self.forgetful.load(Ordering::Relaxed) && call.is_multiple_of(3);
        Box::pin(async move { if fails { Err(TakeError::Later("forgot".into())) } else { Ok(()) } })
    }
}

impl Listener {
    /// What it heard of the only room, in order, each once.
    fn story(&self) -> Vec<String> {
        self.heard.lock().values().map(|(what, _)| what.clone()).collect()
    }
}

#[derive(Default)]
struct World {
    live: MemoryLiveStore,
    arbiter: MemoryArbiter,
    listener: Arc<Listener>,
}

impl World {
    async fn node(&self, durability: Durability) -> Handle {
        self.node_of(durability, vec![self.listener.clone()]).await
    }

    async fn node_of(&self, durability: Durability, consumers: Vec<Arc<dyn EventConsumer>>) -> Handle {
        let options = Options {
            process_id: ProcessId::new("test").unwrap(),
            customer: CustomerId::default(),
            limits: Limits::default(),
            snapshots: SnapshotPolicy { records: 8, ..SnapshotPolicy::default() },
            ambient: Ambient::default(),
            events: Events::to(consumers),
        };
        let settings = Settings { durability, ..Drummer::settings() };
        let kind = Kind::new(Arc::new(Arc::new(RoomType::<Drummer>::with_settings("drummer", settings))));
        let live: Arc<dyn LiveStore> = Arc::new(self.live.clone());
        let arbiter: Arc<dyn Arbiter> = Arc::new(self.arbiter.clone());
        let node = Node::start(options, vec![kind], live, arbiter);
        node.restore().await.unwrap();
        node
    }

    async fn listed(&self) -> usize {
        self.live.list(None).await.unwrap().len()
    }
}

async fn drum(node: &Handle, beats: u32) {
    let request = MatchRequest {
        method: Method::Create,
        target: "drummer".into(),
        options: json!({ "beats": beats }),
        auth: AuthRequest::default(),
    };
    node.matchmake(request).await.unwrap();
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !done().await {
        // Who was away for long is asked again after half a minute.
        assert!(began.elapsed() < Duration::from_secs(180), "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn whole_story(beats: u32) -> Vec<String> {
    (1..=beats).map(|beat| format!("beat {beat}")).chain([format!("stopped {beats}")]).collect()
}

#[tokio::test]
async fn a_room_tells_everything_once_and_is_then_forgotten() {
    for durability in [
        Durability::Confirmed,
        Durability::Bounded(Duration::from_millis(50)),
        Durability::Snapshot(Duration::from_millis(20)),
        Durability::Ephemeral,
    ] {
        let world = World::default();
        let node = world.node(durability).await;
        drum(&node, 30).await;
        until("the story", async || world.listener.story() == whole_story(30)).await;
        until("the room is gone", async || world.listed().await == 0).await;
        assert!(world.listener.heard.lock().values().all(|(_, times)| *times == 1), "{durability:?}");
    }
}

#[tokio::test]
async fn a_consumer_that_was_away_hears_of_rooms_that_ended_meanwhile() {
    let world = World::default();
    world.listener.away.store(true, Ordering::Relaxed);
    let node = world.node(Durability::Confirmed).await;
    drum(&node, 30).await;
    until("the room ends", async || node.rooms().is_empty()).await;
    assert_eq!(world.listed().await, 1, "it waits in the directory");
    // The process dies with everything that was on its way; the next one finds the consumer away, too.
    node.end().await;
    let node = world.node(Durability::Confirmed).await;
    assert_eq!((node.rooms().len(), world.listed().await), (0, 1));
    world.listener.away.store(false, Ordering::Relaxed);
    until("the story", async || world.listener.story() == whole_story(30)).await;
    until("the room is gone", async || world.listed().await == 0).await;
}

/// The node is killed again and again while a room tells its story to somebody who repeats.
#[tokio::test]
async fn nodes_that_die_lose_and_double_nothing() {
    let world = World::default();
    world.listener.forgetful.store(true, Ordering::Relaxed);
    let mut node = world.node(Durability::Confirmed).await;
    drum(&node, 300).await;
    let mut heard = 0;
    for round in 0..12 {
        heard += 20;
        until("some more", async || world.listener.heard.lock().len() >= heard).await;
        // Sometimes the store itself is in the middle of something.
        let fault = [Fault::None, Fault::AnswersLost, Fault::RequestsLost][round % 3];
        world.live.set_fault(fault);
        tokio::time::sleep(Duration::from_millis(5)).await;
        node.end().await;
        world.live.set_fault(Fault::None);
        heard = world.listener.heard.lock().len();
        node = world.node(Durability::Confirmed).await;
        if heard > 280 {
            break;
        }
    }
    until("the story", async || world.listener.story() == whole_story(300)).await;
    until("the room is gone", async || world.listed().await == 0).await;
}

/// Without a journal of each step an event counts from the snapshot that holds it.
#[tokio::test]
async fn what_only_a_snapshot_holds_is_told_after_it() {
    let world = World::default();
    let mut node = world.node(Durability::Snapshot(Duration::from_secs(60))).await;
    drum(&node, 200).await;
    for heard in [10, 60, 120] {
        until("some more", async || world.listener.heard.lock().len() >= heard).await;
        node.end().await;
        node = world.node(Durability::Snapshot(Duration::from_secs(60))).await;
    }
    until("the story", async || world.listener.story() == whole_story(200)).await;
}

fn away(of: &'static str) -> Arc<Listener> {
    Arc::new(Listener { of, away: AtomicBool::new(true), ..Listener::default() })
}

/// One consumer is away for as long as a line of 16 tables plays an hour, the others go on taking; what only they
/// want leaves the room. The node dies meanwhile. When the one comes back it hears everything, once.
#[tokio::test]
async fn a_consumer_that_is_away_holds_up_nobody() {
    const BEATS: u32 = 1500;
    let world = World::default();
    let (records, boards, line) = (away("beat"), away("beat"), away("stopped"));
    boards.away.store(false, Ordering::Relaxed);
    line.away.store(false, Ordering::Relaxed);
    let consumers = || -> Vec<Arc<dyn EventConsumer>> { vec![records.clone(), boards.clone(), line.clone()] };
    let mut node = world.node_of(Durability::Confirmed, consumers()).await;
    drum(&node, BEATS).await;
    until("half of it", async || boards.heard.lock().len() as u32 > BEATS / 2).await;
    node.end().await;
    node = world.node_of(Durability::Confirmed, consumers()).await;
    until("the boards have all", async || boards.heard.lock().len() as u32 == BEATS).await;
    until("the room ends", async || node.rooms().is_empty()).await;
    until("its end is told", async || !line.heard.lock().is_empty()).await;
    assert!(records.heard.lock().is_empty());
    assert_eq!(world.listed().await, 1, "the room waits for the records");
    assert!(records.calls.load(Ordering::Relaxed) > 0);
    records.away.store(false, Ordering::Relaxed);
    until("the records have all", async || records.heard.lock().len() as u32 == BEATS).await;
    until("the room is gone", async || world.listed().await == 0).await;
    assert_eq!(records.story(), boards.story());
    assert!(records.heard.lock().values().all(|(_, times)| *times == 1));
    assert_eq!(line.story(), [format!("stopped {BEATS}")]);
    node.end().await;
}
