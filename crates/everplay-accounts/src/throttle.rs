//! Counts failures, so that guessing gets slow before it gets anywhere.
//!
//! A key that failed too often within its window waits until the window ends. Keys hold the asker's network, so that a
//! stranger cannot lock an account out for its owner; the account as a whole gets a far wider bound, which a guesser
//! with a thousand networks meets and its owner never.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

/// Keys at the same time; then the windows that have ended are dropped, and if there are none, all: a flood of keys
/// comes from more networks than this defends against, and forgetting is better than refusing everybody.
const KEYS: usize = 200_000;

/// So many failures within so long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) failures: u32,
    pub(crate) window_ms: i64,
}

/// When a key's window began, and its failures since.
type Windows = HashMap<String, (i64, u32)>;

#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<Windows>);

fn wait(keys: &Windows, key: &str, bound: Bound, now: i64) -> Result<(), Duration> {
    match keys.get(key) {
        Some((since, count)) if *count >= bound.failures && now < since + bound.window_ms => {
            Err(Duration::from_millis(u64::try_from(since + bound.window_ms - now).unwrap_or_default()))
        }
        _ => Ok(()),
    }
}

fn count(keys: &mut Windows, key: &str, bound: Bound, now: i64) {
    if keys.len() >= KEYS {
        keys.retain(|_, (since, _)| now < *since + bound.window_ms);
        if keys.len() >= KEYS {
            keys.clear();
        }
    }
    let (since, count) = keys.entry(key.to_owned()).or_insert((now, 0));
    if now >= *since + bound.window_ms {
        (*since, *count) = (now, 0);
    }
    *count += 1;
}

impl Throttle {
    /// Whether the key may try now; else how long it waits.
    pub(crate) fn check(&self, key: &str, bound: Bound, now: i64) -> Result<(), Duration> {
        wait(&self.0.lock(), key, bound, now)
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, key: &str, bound: Bound, now: i64) {
        count(&mut self.0.lock(), key, bound, now);
    }

    /// Takes one of a bounded number of tries, failed or not. Tries that are being looked at count, so that many at the
    /// same time are not more than the bound; what turns out to be no failure is [given back](Self::give_back).
    pub(crate) fn take(&self, key: &str, bound: Bound, now: i64) -> Result<(), Duration> {
        let mut keys = self.0.lock();
        wait(&keys, key, bound, now)?;
        count(&mut keys, key, bound, now);
        Ok(())
    }

    /// The try that was taken was none to count.
    pub(crate) fn give_back(&self, key: &str) {
        if let Some((_, count)) = self.0.lock().get_mut(key) {
            *count = count.saturating_sub(1);
        }
    }

    /// It was the owner after all.
    pub(crate) fn forget(&self, key: &str) {
        self.0.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_waits_for_the_end_of_its_window() {
        let throttle = Throttle::default();
        let bound = Bound { failures: 2, window_ms: 1_000 };
        for now in [0, 10] {
            throttle.check("a", bound, now).unwrap();
            throttle.failed("a", bound, now);
        }
        assert_eq!(throttle.check("a", bound, 400), Err(Duration::from_millis(600)));
        assert_eq!(throttle.check("b", bound, 400), Ok(()));
        assert_eq!(throttle.check("a", bound, 1_000), Ok(()));
        throttle.failed("a", bound, 1_000);
        assert_eq!(throttle.check("a", bound, 1_001), Ok(()));
    }

    #[test]
    fn tries_at_the_same_time_are_bounded_and_given_back() {
        let (throttle, bound) = (Throttle::default(), Bound { failures: 2, window_ms: 1_000 });
        throttle.take("a", bound, 0).unwrap();
        throttle.take("a", bound, 0).unwrap();
        assert_eq!(throttle.take("a", bound, 100), Err(Duration::from_millis(900)));
        throttle.give_back("a");
        throttle.take("a", bound, 100).unwrap();
        throttle.give_back("never taken");
    }
}
