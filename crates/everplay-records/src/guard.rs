//! What stands in front of a store that can be away: bounded tries with jitter, and a breaker.
//!
//! ```text
//! call -> breaker closed? -> try -> passing failure? -> pause 100 ms x2 (+-25 %, at most 30 s) -> again, 3 times at most
//!            | open: Resting, at once
//! ```
//!
//! Who calls decides what then happens: an event waits in its room's journal and is brought again, a request is
//! answered "later". Nothing is kept here.
//!
//! Invariant: a write that may have happened is never reported as refused by itself: what a refused repetition finds
//! is compared with what was to be written.

use crate::{Item, Key, Page, Pending, Query, RecordStore, StoreError, Table, Write, WriteError};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often and how far apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryOptions {
    /// Pause before the second try; doubled before each further one. Default 100 ms.
    pub first: Duration,
    /// Longest pause. Default 30 s.
    pub longest: Duration,
    /// Repetitions after the first try. Default 3.
    pub repeats: u32,
    /// Each pause is longer or shorter by up to this share, so that callers do not come back together. Default 0.25.
    pub jitter: f64,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(30), repeats: 3, jitter: 0.25 }
    }
}

impl RetryOptions {
    /// The pause before repetition `number` (from 0). `chance` is from 0 to 1: the jitter.
    pub fn pause(&self, number: u32, chance: f64) -> Duration {
        let pause = self.first.saturating_mul(2u32.saturating_pow(number)).min(self.longest);
        pause.mul_f64(1.0 + self.jitter * (chance.clamp(0.0, 1.0) * 2.0 - 1.0))
    }
}

/// When a breaker opens and closes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerOptions {
    /// Calls of this time are judged together. Default 1 min.
    pub window: Duration,
    /// Opens at this share of failures. Default 0.5.
    pub share: f64,
    /// Fewer calls within the window are not judged. Default 10.
    pub least_calls: u32,
    /// How long it stays open. Default 30 s.
    pub rest: Duration,
    /// Calls let through afterwards; when all of them succeed it closes, when one fails it opens again. Default 3.
    pub probes: u32,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(60),
            share: 0.5,
            least_calls: 10,
            rest: Duration::from_secs(30),
            probes: 3,
        }
    }
}

/// Parts of the window in which calls are counted together: old ones leave in steps of a twelfth.
const SLOTS: u32 = 12;

/// Lets calls through, or not, by how the latest ones went. Time is an argument: since any fixed moment.
#[derive(Debug)]
pub struct Breaker {
    options: BreakerOptions,
    state: State,
    /// Number of the slot, calls, failures; oldest first.
    slots: VecDeque<(u64, u32, u32)>,
    /// Raised with each change of state: what was let through before it is not judged after it.
    turn: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Closed,
    Open { until: Duration },
    Probing { sent: u32, passed: u32 },
}

/// That a call may be made; goes back with how it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the breaker waits for how the call went"]
pub struct Permit(u64);

impl Breaker {
    /// A closed one.
    pub fn new(options: BreakerOptions) -> Self {
        Self { options, state: State::Closed, slots: VecDeque::new(), turn: 0 }
    }

    /// May a call be made now? If not, after how long to ask again.
    pub fn admit(&mut self, now: Duration) -> Result<Permit, Duration> {
        if let State::Open { until } = self.state {
            if now < until {
                return Err(until - now);
            }
            self.change(State::Probing { sent: 0, passed: 0 });
        }
        if let State::Probing { sent, .. } = &mut self.state {
            if *sent >= self.options.probes {
                // The probes are on their way; one of them will say.
                return Err(self.options.rest / 30);
            }
            *sent += 1;
        }
        Ok(Permit(self.turn))
    }

    /// How the call went. `None`: it says nothing of the store's health (it was dropped, or the call was wrong).
    pub fn settle(&mut self, permit: Permit, now: Duration, healthy: Option<bool>) {
        if permit.0 != self.turn {
            return;
        }
        match (&mut self.state, healthy) {
            (State::Probing { sent, .. }, None) => *sent -= 1,
            (State::Probing { .. }, Some(false)) => self.open(now),
            (State::Probing { passed, .. }, Some(true)) => {
                *passed += 1;
                if *passed >= self.options.probes {
                    self.change(State::Closed);
                }
            }
            (State::Closed, Some(healthy)) => self.count(now, healthy),
            (State::Closed | State::Open { .. }, _) => {}
        }
    }

    /// Whether calls are let through without being counted as probes.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    fn count(&mut self, now: Duration, healthy: bool) {
        let slot = (now.as_nanos() / (self.options.window / SLOTS).as_nanos().max(1)) as u64;
        while self.slots.front().is_some_and(|(first, ..)| first + u64::from(SLOTS) <= slot) {
            self.slots.pop_front();
        }
        if self.slots.back().is_none_or(|(last, ..)| *last != slot) {
            self.slots.push_back((slot, 0, 0));
        }
        if let Some((_, calls, failures)) = self.slots.back_mut() {
            *calls += 1;
            *failures += u32::from(!healthy);
        }
        let (calls, failures) = self.slots.iter().fold((0, 0), |sum, slot| (sum.0 + slot.1, sum.1 + slot.2));
        if calls >= self.options.least_calls && f64::from(failures) >= self.options.share * f64::from(calls) {
            self.open(now);
        }
    }

    fn open(&mut self, now: Duration) {
        self.change(State::Open { until: now + self.options.rest });
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.turn += 1;
        self.slots.clear();
    }
}

/// A store with tries and a breaker in front of it. Clones share the breaker.
#[derive(Debug, Clone)]
pub struct Guarded {
    store: Arc<dyn RecordStore>,
    retry: RetryOptions,
    breaker: Arc<Mutex<Breaker>>,
    began: Instant,
}

impl Guarded {
    /// Puts the guard in front of `store`.
    pub fn new(store: Arc<dyn RecordStore>, retry: RetryOptions, breaker: BreakerOptions) -> Self {
        Self { store, retry, breaker: Arc::new(Mutex::new(Breaker::new(breaker))), began: Instant::now() }
    }

    /// Whether the store is believed to be well.
    pub fn is_closed(&self) -> bool {
        self.breaker.lock().is_closed()
    }

    /// One try, if the breaker allows it.
    async fn once<T, E>(&self, call: impl FnOnce() -> Pending<Result<T, E>>) -> Result<T, E>
    where
        E: From<StoreError> + AsStore,
    {
        let permit = self.breaker.lock().admit(self.began.elapsed());
        let permit = permit.map_err(|rest| StoreError::Resting(rest.as_millis() as u64))?;
        let mut settled = Settled { guard: self, permit, healthy: None };
        let answer = call().await;
        settled.healthy = match answer.as_ref().err().and_then(AsStore::as_store) {
            None => Some(true),
            Some(StoreError::Throttled | StoreError::Unavailable(_) | StoreError::Unknown(_)) => Some(false),
            Some(StoreError::Resting(_) | StoreError::Invalid(_) | StoreError::Unreadable(_)) => None,
        };
        answer
    }

    async fn tries<T>(&self, call: impl Fn() -> Pending<Result<T, StoreError>>) -> Result<T, StoreError> {
        for number in 0.. {
            match self.once(&call).await {
                Err(error) if self.again(&error, number) => self.pause(number).await,
                answer => return answer,
            }
        }
        unreachable!("the tries are bounded")
    }

    fn again(&self, error: &StoreError, number: u32) -> bool {
        number < self.retry.repeats
            && matches!(error, StoreError::Throttled | StoreError::Unavailable(_) | StoreError::Unknown(_))
    }

    async fn pause(&self, number: u32) {
        tokio::time::sleep(self.retry.pause(number, rand::random())).await;
    }

    async fn write_tries(&self, writes: Vec<Write>) -> Result<(), WriteError> {
        let mut unknown = false;
        for number in 0.. {
            match self.once(|| self.store.write(writes.clone())).await {
                Err(WriteError::Store(error)) if self.again(&error, number) => {
                    unknown |= matches!(error, StoreError::Unknown(_));
                    self.pause(number).await;
                }
                Err(refused @ WriteError::Refused { .. }) if unknown => {
                    return if self.is_done(&writes).await? { Ok(()) } else { Err(refused) };
                }
                answer => return answer,
            }
        }
        unreachable!("the tries are bounded")
    }

    /// Whether everything is as these writes would leave it.
    async fn is_done(&self, writes: &[Write]) -> Result<bool, StoreError> {
        for write in writes {
            let (table, key) = write.place()?;
            let found = self.tries(|| self.store.get(table, key.clone())).await?;
            let done = match write {
                Write::Put { item, .. } => found.as_ref() == Some(item),
                Write::Delete { .. } => found.is_none(),
                Write::Check { .. } => true,
            };
            if !done {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Tells the breaker how a call went, also when it is dropped.
struct Settled<'a> {
    guard: &'a Guarded,
    permit: Permit,
    healthy: Option<bool>,
}

impl Drop for Settled<'_> {
    fn drop(&mut self) {
        let mut breaker = self.guard.breaker.lock();
        let before = breaker.is_closed();
        breaker.settle(self.permit, self.guard.began.elapsed(), self.healthy);
        match (before, breaker.is_closed()) {
            (true, false) => tracing::warn!("the record store fails too often and is given a rest"),
            (false, true) => tracing::info!("the record store is back"),
            _ => {}
        }
    }
}

/// The part of an error that is about the store.
trait AsStore {
    fn as_store(&self) -> Option<&StoreError>;
}

impl AsStore for StoreError {
    fn as_store(&self) -> Option<&StoreError> {
        Some(self)
    }
}

impl AsStore for WriteError {
    fn as_store(&self) -> Option<&StoreError> {
        match self {
            WriteError::Refused { .. } => None,
            WriteError::Store(error) => Some(error),
        }
    }
}

impl RecordStore for Guarded {
    fn get(&self, table: Table, key: Key) -> Pending<Result<Option<Item>, StoreError>> {
        let guard = self.clone();
        Box::pin(async move { guard.tries(|| guard.store.get(table, key.clone())).await })
    }

    fn query(&self, query: Query) -> Pending<Result<Page<Item>, StoreError>> {
        let guard = self.clone();
        Box::pin(async move { guard.tries(|| guard.store.query(query.clone())).await })
    }

    fn write(&self, writes: Vec<Write>) -> Pending<Result<(), WriteError>> {
        let guard = self.clone();
        Box::pin(async move { guard.write_tries(writes).await })
    }

    fn create_tables(&self) -> Pending<Result<(), StoreError>> {
        self.store.create_tables()
    }
}

#[cfg(test)]
mod tests;
