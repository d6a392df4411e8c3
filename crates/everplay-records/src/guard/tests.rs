//! The schedule and the breaker by themselves, then both around a store that fails on command, with paused time.

use super::*;
use crate::{Condition, MemoryRecordStore, item_of};
use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn pauses_double_up_to_the_longest_and_vary_by_a_quarter() {
    let retry = RetryOptions::default();
    let plain: Vec<u128> = (0..4).map(|number| retry.pause(number, 0.5).as_millis()).collect();
    assert_eq!(plain, [100, 200, 400, 800]);
    assert_eq!(retry.pause(60, 0.5), Duration::from_secs(30));
    assert_eq!(retry.pause(0, 0.0), Duration::from_millis(75));
    assert_eq!(retry.pause(0, 1.0), Duration::from_millis(125));
}

fn call(breaker: &mut Breaker, now: Duration, healthy: bool) {
    let permit = breaker.admit(now).unwrap();
    breaker.settle(permit, now, Some(healthy));
}

#[test]
fn half_of_a_minute_opens_it_and_three_probes_close_it() {
    let mut breaker = Breaker::new(BreakerOptions::default());
    for number in 0..9 {
        call(&mut breaker, SECOND * number, number % 2 == 0);
    }
    assert!(breaker.is_closed(), "nine calls are too few");
    call(&mut breaker, SECOND * 9, false);
    assert!(!breaker.is_closed());
    assert_eq!(breaker.admit(SECOND * 9), Err(SECOND * 30));
    assert_eq!(breaker.admit(SECOND * 38), Err(SECOND));
    let probes: Vec<Permit> = (0..3).map(|_| breaker.admit(SECOND * 39).unwrap()).collect();
    assert!(breaker.admit(SECOND * 39).is_err(), "three probes and no more");
    for probe in probes {
        assert!(!breaker.is_closed());
        breaker.settle(probe, SECOND * 40, Some(true));
    }
    assert!(breaker.is_closed());
}

#[test]
fn a_failed_probe_opens_it_again_and_a_dropped_one_is_given_back() {
    let mut breaker = Breaker::new(BreakerOptions { least_calls: 1, ..BreakerOptions::default() });
    call(&mut breaker, SECOND, false);
    for _ in 0..5 {
        let dropped = breaker.admit(SECOND * 31).unwrap();
        breaker.settle(dropped, SECOND * 31, None);
    }
    let late = breaker.admit(SECOND * 31).unwrap();
    call(&mut breaker, SECOND * 31, false);
    assert_eq!(breaker.admit(SECOND * 60), Err(SECOND));
    breaker.settle(late, SECOND * 60, Some(true));
    assert!(!breaker.is_closed(), "what was let through before does not count");
}

#[test]
fn what_is_older_than_a_minute_does_not_count() {
    let mut breaker = Breaker::new(BreakerOptions::default());
    for _ in 0..9 {
        call(&mut breaker, SECOND, false);
    }
    for _ in 0..9 {
        call(&mut breaker, SECOND * 66, true);
    }
    call(&mut breaker, SECOND * 66, false);
    assert!(breaker.is_closed());
}

/// Fails in its own way for the first calls, then works.
#[derive(Debug)]
struct Failing {
    inner: MemoryRecordStore,
    error: StoreError,
    left: AtomicU32,
    calls: AtomicU32,
    /// Does the write before it says `error`.
    writes_anyway: bool,
}

impl Failing {
    fn new(error: StoreError, left: u32, writes_anyway: bool) -> Arc<Self> {
        let (left, calls) = (AtomicU32::new(left), AtomicU32::new(0));
        Arc::new(Self { inner: MemoryRecordStore::new(), error, left, calls, writes_anyway })
    }

    fn fails(&self) -> bool {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

impl RecordStore for Failing {
    fn get(&self, table: Table, key: Key) -> Pending<Result<Option<Item>, StoreError>> {
        let error = self.error.clone();
        if self.fails() { Box::pin(async { Err(error) }) } else { self.inner.get(table, key) }
    }

    fn query(&self, query: Query) -> Pending<Result<Page<Item>, StoreError>> {
        self.inner.query(query)
    }

    fn write(&self, writes: Vec<Write>) -> Pending<Result<(), WriteError>> {
        if !self.fails() {
            return self.inner.write(writes);
        }
        let (inner, error) = (self.inner.clone(), self.error.clone());
        let writes = self.writes_anyway.then_some(writes);
        Box::pin(async move {
            if let Some(writes) = writes {
                inner.write(writes).await?;
            }
            Err(error.into())
        })
    }

    fn create_tables(&self) -> Pending<Result<(), StoreError>> {
        self.inner.create_tables()
    }
}

fn guarded(store: &Arc<Failing>) -> Guarded {
    let store: Arc<dyn RecordStore> = store.clone();
    Guarded::new(store, RetryOptions::default(), BreakerOptions::default())
}

fn put(id: &str, condition: Condition) -> Vec<Write> {
    let item = item_of(&json!({ "connectionId": id, "version": 1 }));
    vec![Write::Put { table: Table::Line, item, condition }]
}

#[tokio::test(start_paused = true)]
async fn a_passing_failure_is_survived_within_four_tries() {
    let store = Failing::new(StoreError::Throttled, 3, false);
    guarded(&store).write(put("a/b", Condition::Absent)).await.unwrap();
    assert_eq!(store.calls.load(Ordering::Relaxed), 4);
    let store = Failing::new(StoreError::Throttled, 4, false);
    let error = guarded(&store).write(put("a/b", Condition::Absent)).await.unwrap_err();
    assert_eq!((error, store.calls.load(Ordering::Relaxed)), (StoreError::Throttled.into(), 4));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_call_is_not_repeated() {
    let store = Failing::new(StoreError::Invalid("no".into()), 1, false);
    guarded(&store).get(Table::Line, Key::single("a")).await.unwrap_err();
    assert_eq!(store.calls.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_of_unknown_outcome_is_settled() {
    let store = Failing::new(StoreError::Unknown("cut off".into()), 1, true);
    guarded(&store).write(put("a/b", Condition::Absent)).await.unwrap();
    // Somebody else's record is still a refusal.
    let store = Failing::new(StoreError::Unknown("cut off".into()), 1, false);
    let other = item_of(&json!({ "connectionId": "a/b", "version": 7 }));
    let theirs = Write::Put { table: Table::Line, item: other, condition: Condition::Always };
    store.inner.write(vec![theirs]).await.unwrap();
    let refused = guarded(&store).write(put("a/b", Condition::Absent)).await.unwrap_err();
    assert!(matches!(refused, WriteError::Refused { at: 0, .. }));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_left_alone_and_found_again() {
    let store = Failing::new(StoreError::Unavailable("away".into()), 10, false);
    let guard = guarded(&store);
    for _ in 0..10 {
        guard.get(Table::Line, Key::single("a")).await.unwrap_err();
    }
    assert_eq!(store.calls.load(Ordering::Relaxed), 10, "the breaker opened at the tenth");
    let error = guard.get(Table::Line, Key::single("a")).await.unwrap_err();
    assert!(matches!(error, StoreError::Resting(_)));
    tokio::time::sleep(SECOND * 31).await;
    for _ in 0..3 {
        guard.get(Table::Line, Key::single("a")).await.unwrap();
    }
    assert!(guard.is_closed());
}
