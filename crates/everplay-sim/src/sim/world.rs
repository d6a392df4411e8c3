//! Time, order and chance of a run, and the first thing that went wrong in it.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Simulated milliseconds since the run began.
pub(crate) type Ms = u64;

/// A source of chance: SplitMix64. The same seed gives the same numbers in every build.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Dice of their own for each purpose: what one throws does not change what another does.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for byte in purpose.bytes() {
            dice.0 = dice.next() ^ u64::from(byte);
        }
        dice
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// One of 0..n.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// One of low..=high.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in that many of a thousand cases.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() { None } else { items.get(self.below(items.len() as u64) as usize) }
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}

type Event = Box<dyn FnOnce() + Send>;

/// Shared by everything in a run.
pub(crate) struct World {
    inner: Mutex<Inner>,
}

struct Inner {
    now: Ms,
    order: u64,
    events: BTreeMap<(Ms, u64), Event>,
    /// When the last thing sent on a lane arrives: nothing overtakes on one.
    lanes: BTreeMap<Lane, Ms>,
    dice: Dice,
    hash: u64,
    log: Option<Vec<String>>,
    failure: Option<Failure>,
}

/// A one-way connection on which the order is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    ToStore(u64),
    FromStore(u64),
    ToArbiter(u64),
    FromArbiter(u64),
    Replica,
    Link(u64, u64),
    Down(u64),
    Up(u64),
}

/// What went wrong first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// When, in simulated milliseconds.
    pub at: u64,
    /// The property that does not hold.
    pub property: Property,
    /// What was seen.
    pub detail: String,
}

/// What must hold in every run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Property {
    /// Only one process ever writes a room's journal with one token.
    OneWriter,
    /// What a client sees was durable before it left.
    SeenIsDurable,
    /// What a client saw is what the journal holds, then and later.
    SeenSurvives,
    /// A client gets patches and messages in order, none twice, none left out while its socket is kept.
    InSequence,
    /// A client's state is the room's state.
    Converges,
    /// A message a client sent has at most one effect.
    ConsumedOnce,
    /// A result is in the journal once.
    CountedOnce,
    /// A seat has one session, and a session has one live socket.
    OneSession,
    /// Nobody leaves because the servers were away.
    NoFalseLeave,
    /// Once everything heals every room plays again, for every client that stayed.
    Lives,
    /// No node fails by itself.
    NoPanic,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {} ms: {}", self.property, self.at, self.detail)
    }
}

impl World {
    pub(crate) fn new(seed: u64, verbose: bool) -> Arc<World> {
        Arc::new(World {
            inner: Mutex::new(Inner {
                now: 0,
                order: 0,
                events: BTreeMap::new(),
                lanes: BTreeMap::new(),
                dice: Dice::new(seed, "world"),
                hash: seed,
                log: verbose.then(Vec::new),
                failure: None,
            }),
        })
    }

    pub(crate) fn now(&self) -> Ms {
        self.inner.lock().now
    }

    /// Throws the world's own dice: delays, losses.
    pub(crate) fn dice<T>(&self, throw: impl FnOnce(&mut Dice) -> T) -> T {
        throw(&mut self.inner.lock().dice)
    }

    /// Has `event` happen after `delay`, and after everything sent on `lane` before.
    pub(crate) fn send(&self, lane: Lane, delay: Ms, event: impl FnOnce() + Send + 'static) -> Ms {
        let mut inner = self.inner.lock();
        let due = (inner.now + delay).max(inner.lanes.get(&lane).copied().unwrap_or_default());
        inner.lanes.insert(lane, due);
        inner.at(due, Box::new(event));
        due
    }

    /// Has `event` happen after `delay`, whatever else is on its way.
    pub(crate) fn after(&self, delay: Ms, event: impl FnOnce() + Send + 'static) {
        let mut inner = self.inner.lock();
        let due = inner.now + delay;
        inner.at(due, Box::new(event));
    }

    /// Does everything that is due now.
    pub(crate) fn perform(&self) {
        loop {
            let event = {
                let mut inner = self.inner.lock();
                let now = inner.now;
                match inner.events.first_entry() {
                    Some(first) if first.key().0 <= now => first.remove(),
                    _ => return,
                }
            };
            event();
        }
    }

    pub(crate) fn advance(&self) {
        self.inner.lock().now += 1;
    }

    /// Adds to the log, whose hash tells whether two runs were the same.
    pub(crate) fn note(&self, what: &'static str, a: u64, b: u64) {
        let mut inner = self.inner.lock();
        let now = inner.now;
        for word in [now, what.len() as u64, u64::from(what.as_bytes()[0]), a, b] {
            inner.hash = (inner.hash.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        if let Some(log) = &mut inner.log {
            tracing::debug!("{now:>6} {what} {a} {b}");
            log.push(format!("{now:>6} {what} {a} {b}"));
        }
    }

    /// Adds a line for people to the log.
    pub(crate) fn say(&self, line: impl FnOnce() -> String) {
        let mut inner = self.inner.lock();
        let now = inner.now;
        if let Some(log) = &mut inner.log {
            let line = format!("{now:>6} {}", line());
            tracing::debug!("{line}");
            log.push(line);
        }
    }

    /// The first one counts.
    pub(crate) fn fail(&self, property: Property, detail: impl FnOnce() -> String) {
        let mut inner = self.inner.lock();
        if inner.failure.is_none() {
            inner.failure = Some(Failure { at: inner.now, property, detail: detail() });
        }
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        self.inner.lock().failure.clone()
    }

    pub(crate) fn hash(&self) -> u64 {
        self.inner.lock().hash
    }

    pub(crate) fn take_log(&self) -> Vec<String> {
        self.inner.lock().log.take().unwrap_or_default()
    }

    /// Breaks the circle of events that hold the world.
    pub(crate) fn clear(&self) {
        let events = std::mem::take(&mut self.inner.lock().events);
        drop(events);
    }
}

impl Inner {
    fn at(&mut self, due: Ms, event: Event) {
        self.order += 1;
        self.events.insert((due, self.order), event);
    }
}

/// A number for a text, the same in every build.
pub(crate) fn number(text: &[u8]) -> u64 {
    text.iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
