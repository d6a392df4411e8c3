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

#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<HashMap<String, (i64, u32)>>);

impl Throttle {
    /// Whether the key may try now; else how long it waits.
    pub(crate) fn check(&self, key: &str, bound: Bound, now: i64) -> Result<(), Duration> {
        match self.0.lock().get(key) {
            Some((since, count)) if *count >= bound.failures && now < since + bound.window_ms => {
                Err(Duration::from_millis(u64::try_from(since + bound.window_ms - now).unwrap_or_default()))
            }
            _ => Ok(()),
        }
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, key: &str, bound: Bound, now: i64) {
        let mut keys = self.0.lock();
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

    /// Takes one of a bounded number of tries: for what may happen only so often, failed or not.
    pub(crate) fn take(&self, key: &str, bound: Bound, now: i64) -> Result<(), Duration> {
        self.check(key, bound, now)?;
        self.failed(key, bound, now);
        Ok(())
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
}
