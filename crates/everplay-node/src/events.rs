//! Brings the events of rooms to those who take them, and tells the rooms when they were taken.
//!
//! ```text
//! step -> Outlet (waits until its record is durable) -> Courier -> a lane per consumer: a queue and a task
//!                                                                  takes batches, again and again until they are taken
//! room <- Input::Taken, for each event once every consumer that wants it has taken it
//! ```
//!
//! The room's own outbox is what is kept; all of this is only on its way. Whoever owns the room tells everything that
//! waits there, so an event is told at least once whatever dies, and a consumer that remembers `(room, number)` takes
//! it exactly once. A room that ends stays in the directory until its last event was taken.
//!
//! A consumer that is away holds up nothing but its own lane: the others go on taking, and what only they want leaves
//! the rooms.
//!
//! Queues are bounded by what the rooms keep: [`OUTBOX_EVENTS`](everplay_room::OUTBOX_EVENTS) of
//! [`OUTBOX_BYTES`](everplay_room::OUTBOX_BYTES) each. See docs/events.md.

mod outlet;
mod waiting;

pub(crate) use outlet::Outlet;

use crate::Ambient;
use crate::host::Command;
use crate::metrics as names;
use crate::node::Node;
use bytes::Bytes;
use everplay_live::Pending;
use everplay_room::{Input, Outgoing};
use everplay_types::{Millis, RoomId, RoomKey, Token};
use everplay_wire::msgpack;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// Events that a consumer is given at once.
const BATCH: usize = 256;
/// Pause after a consumer's first failure; doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// A consumer that comes back after an hour is noticed within this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Something that happened in a room, durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomEvent {
    /// Where.
    pub room: RoomKey,
    /// Name of the room's kind.
    pub kind: Arc<str>,
    /// Counts the room's events from 1; a consumer sees gaps where events are that it does not want. With the room it
    /// names the event for ever.
    pub number: u64,
    /// What, such as `game finished`.
    pub name: String,
    /// msgpack.
    pub payload: Bytes,
    /// The room's time.
    pub time: Millis,
    /// The time of day, ms since 1970, when it happened.
    pub date: u64,
}

impl RoomEvent {
    /// What it says, as a type. Errors: it says something else.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        msgpack::from_slice(&self.payload).map_err(|error| error.to_string())
    }
}

/// Why events were not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// Not now. They are brought again.
    #[error("{0}")]
    Later(String),
    /// This one never: it is left out, an operator is told, and the others are brought again.
    #[error("event {at} of the batch makes no sense: {reason}")]
    Senseless {
        /// Its place in the batch.
        at: usize,
        /// Why.
        reason: String,
    },
}

/// Somebody who wants to know what happens in rooms.
///
/// What an implementor owes: events come at least once, those of one room in their order, but a repeated one may come
/// after later ones. `Ok` says that all of them are safe with the consumer; taking one again changes nothing.
pub trait EventConsumer: Send + Sync + fmt::Debug {
    /// For logs and metrics.
    fn name(&self) -> &'static str;

    /// Whether it cares for events of this name.
    fn wants(&self, name: &str) -> bool;

    /// Takes events.
    fn take(&self, events: Vec<Arc<RoomEvent>>) -> Pending<Result<(), TakeError>>;
}

/// Who takes a node's events. Clones share their queues.
#[derive(Clone, Default)]
pub struct Events(Arc<Courier>);

impl Events {
    /// These do.
    pub fn to(consumers: Vec<Arc<dyn EventConsumer>>) -> Self {
        Self(Courier::new(consumers))
    }

    /// Whether anybody does.
    pub(crate) fn are_wanted(&self) -> bool {
        !self.0.lanes.is_empty()
    }

    /// Keeps the gauges of what waits from now on.
    pub(crate) fn measure(&self, ambient: &Ambient) {
        self.0.measure(ambient.clone());
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.lanes.iter().map(|lane| lane.consumer.name())).finish()
    }
}

impl Node {
    /// Forgets a room that ended, once everybody has taken what it had to tell. Until then it stays in the directory:
    /// another process finds it there if this one dies.
    pub(crate) fn forget_when_told(self: &Arc<Self>, room: &RoomId, token: Token) {
        let (node, id) = (Arc::downgrade(self), room.clone());
        self.options.events.0.after_all(room, move || {
            if let Some(node) = node.upgrade() {
                node.forget(&id, token);
            }
        });
    }

    /// The same for a room that ended in an earlier process, with what it still had to tell.
    pub(crate) fn tell_and_forget(
        self: &Arc<Self>,
        room: &RoomId,
        kind: &str,
        token: Token,
        outbox: Vec<Outgoing>,
    ) {
        self.options.events.0.adopt(&self.key(room), kind, outbox);
        self.forget_when_told(room, token);
    }
}

/// The way from rooms to consumers. Its lanes end with it.
#[derive(Default)]
pub(crate) struct Courier {
    lanes: Vec<Arc<Lane>>,
    rooms: Mutex<HashMap<RoomId, Way>>,
    running: AtomicBool,
}

/// One consumer with what it has still to take.
struct Lane {
    consumer: Arc<dyn EventConsumer>,
    queue: Mutex<VecDeque<Arc<RoomEvent>>>,
    arrived: Notify,
    over: AtomicBool,
}

/// One room's events on their way.
struct Way {
    /// Where to say that they were taken; the newest host's.
    mailbox: mpsc::WeakSender<Command>,
    /// Number of the last one that was brought on its way.
    offered: u64,
    /// By number: how many lanes have still to take it.
    open: BTreeMap<u64, usize>,
    /// What to do when all of them were: the room has ended.
    then: Option<Box<dyn FnOnce() + Send>>,
    /// A host of this process runs the room.
    hosted: bool,
}

impl Way {
    /// Everything up to this number was taken by all.
    fn done(&self) -> u64 {
        self.open.first_key_value().map_or(self.offered, |(number, _)| number - 1)
    }

    fn is_over(&self) -> bool {
        self.open.is_empty()
    }
}

impl Courier {
    fn new(consumers: Vec<Arc<dyn EventConsumer>>) -> Arc<Self> {
        let lane = |consumer| {
            Arc::new(Lane {
                consumer,
                queue: Mutex::default(),
                arrived: Notify::new(),
                over: AtomicBool::new(false),
            })
        };
        let lanes = consumers.into_iter().map(lane).collect();
        Arc::new(Self { lanes, rooms: Mutex::default(), running: AtomicBool::new(false) })
    }

    /// Starts the lanes, once.
    fn run(self: &Arc<Self>) {
        if self.running.swap(true, Ordering::AcqRel) {
            return;
        }
        for lane in &self.lanes {
            let (courier, lane) = (Arc::downgrade(self), Arc::clone(lane));
            tokio::spawn(async move { lane.run(&courier).await });
        }
    }

    /// Brings durable events on their way. What is on its way already is not brought twice.
    fn offer(
        self: &Arc<Self>,
        room: &RoomKey,
        kind: &Arc<str>,
        mailbox: &mpsc::WeakSender<Command>,
        events: Vec<Outgoing>,
    ) {
        self.run();
        let mut rooms = self.rooms.lock();
        let first = events.first().map_or(1, |event| event.number);
        let way = rooms.entry(room.room.clone()).or_insert_with(|| Way {
            mailbox: mailbox.clone(),
            offered: first.saturating_sub(1),
            open: BTreeMap::new(),
            then: None,
            hosted: true,
        });
        way.mailbox = mailbox.clone();
        way.hosted = true;
        let mut beyond = Vec::new();
        for outgoing in events {
            if outgoing.number <= way.offered {
                if !way.open.contains_key(&outgoing.number) {
                    // Taken, and an owner of the room did not live to write it down.
                    beyond.push(outgoing.number);
                }
                continue;
            }
            way.offered = outgoing.number;
            let event = Arc::new(RoomEvent {
                room: room.clone(),
                kind: Arc::clone(kind),
                number: outgoing.number,
                name: outgoing.event.name,
                payload: outgoing.event.payload.into(),
                time: outgoing.time,
                date: outgoing.date,
            });
            let mut lanes = 0;
            for lane in self.lanes.iter().filter(|lane| lane.consumer.wants(&event.name)) {
                lane.queue.lock().push_back(Arc::clone(&event));
                lane.arrived.notify_one();
                lanes += 1;
            }
            if lanes > 0 {
                way.open.insert(event.number, lanes);
            } else {
                beyond.push(event.number);
            }
        }
        tell(way, beyond);
    }

    /// The room's host is gone, whatever the reason.
    fn left(&self, room: &RoomId) {
        let mut rooms = self.rooms.lock();
        if let Some(way) = rooms.get_mut(room) {
            way.hosted = false;
            if way.is_over() && way.then.is_none() {
                rooms.remove(room);
            }
        }
    }

    /// The room has ended and tells no more: calls `then` when everything was taken, perhaps at once.
    fn after_all(&self, room: &RoomId, then: impl FnOnce() + Send + 'static) {
        let mut rooms = self.rooms.lock();
        match rooms.get_mut(room) {
            Some(way) if !way.is_over() => way.then = Some(Box::new(then)),
            _ => {
                rooms.remove(room);
                drop(rooms);
                then();
            }
        }
    }

    /// The room ended in an earlier process: brings what it had still to tell.
    fn adopt(self: &Arc<Self>, room: &RoomKey, kind: &str, outbox: Vec<Outgoing>) {
        if !self.lanes.is_empty() && !outbox.is_empty() {
            // Nobody listens to what is taken.
            let (sender, _) = mpsc::channel(1);
            self.offer(room, &kind.into(), &sender.downgrade(), outbox);
        }
    }

    /// A lane has taken these events.
    fn taken(&self, events: &[Arc<RoomEvent>]) {
        let mut rooms = self.rooms.lock();
        let mut done: HashMap<&RoomId, Vec<u64>> = HashMap::new();
        for event in events {
            let Some(way) = rooms.get_mut(&event.room.room) else { continue };
            if let Entry::Occupied(mut lanes) = way.open.entry(event.number) {
                *lanes.get_mut() -= 1;
                if *lanes.get() == 0 {
                    lanes.remove();
                    done.entry(&event.room.room).or_default().push(event.number);
                }
            }
        }
        let mut over = Vec::new();
        for (room, numbers) in done {
            let Some(way) = rooms.get_mut(room) else { continue };
            tell(way, numbers);
            if way.is_over() {
                over.extend(way.then.take());
                if !way.hosted {
                    rooms.remove(room);
                }
            }
        }
        drop(rooms);
        over.into_iter().for_each(|then| then());
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        for lane in &self.lanes {
            lane.over.store(true, Ordering::Release);
            lane.arrived.notify_one();
        }
    }
}

/// Tells the room's host what all have taken; `done` is what is new of it.
fn tell(way: &Way, done: Vec<u64>) {
    let through = way.done();
    let beyond: Vec<u64> = done.into_iter().filter(|number| *number > through).collect();
    let Some(mailbox) = way.mailbox.upgrade().filter(|_| through > 0 || !beyond.is_empty()) else { return };
    let command = Command::Input(Input::Taken { through, beyond });
    if let Err(mpsc::error::TrySendError::Full(command)) = mailbox.try_send(command) {
        // A host that is gone meanwhile needs no answer: the next one tells everything again.
        tokio::spawn(async move { mailbox.send(command).await });
    }
}

impl Lane {
    async fn run(&self, courier: &Weak<Courier>) {
        let mut pause = FIRST_PAUSE;
        // Of the batch in front: they count as taken with it, so that their rooms may forget them.
        let mut left_out: Vec<Arc<RoomEvent>> = Vec::new();
        while !self.over.load(Ordering::Acquire) {
            let batch: Vec<Arc<RoomEvent>> = self.queue.lock().iter().take(BATCH).cloned().collect();
            if batch.is_empty() {
                self.arrived.notified().await;
                continue;
            }
            let kept_out = |event: &&Arc<RoomEvent>| left_out.iter().any(|other| Arc::ptr_eq(other, event));
            let wanted: Vec<_> = batch.iter().filter(|event| !kept_out(event)).cloned().collect();
            let count = wanted.len() as u64;
            match if wanted.is_empty() { Ok(()) } else { self.consumer.take(wanted.clone()).await } {
                Ok(()) => {
                    metrics::counter!(names::EVENTS_TAKEN, "consumer" => self.consumer.name())
                        .increment(count);
                    self.queue.lock().drain(..batch.len());
                    left_out.clear();
                    if let Some(courier) = courier.upgrade() {
                        courier.taken(&batch);
                    }
                    pause = FIRST_PAUSE;
                }
                Err(TakeError::Senseless { at, reason }) if at < wanted.len() => {
                    let event = &wanted[at];
                    tracing::error!(
                        room.id = %event.room.room, event.number, event.name, consumer = self.consumer.name(), reason,
                        "an event makes no sense to its consumer and is left out"
                    );
                    metrics::counter!(names::EVENTS_SENSELESS, "consumer" => self.consumer.name())
                        .increment(1);
                    left_out.push(Arc::clone(event));
                }
                Err(error) => {
                    metrics::counter!(names::EVENT_RETRIES, "consumer" => self.consumer.name()).increment(1);
                    if pause == FIRST_PAUSE {
                        tracing::warn!(consumer = self.consumer.name(), %error, "events wait in their rooms");
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}
