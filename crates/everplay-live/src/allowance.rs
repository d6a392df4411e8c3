//! The port that counts who may do something how often, over all nodes together.
//!
//! A bucket is kept as one moment: the one at which it will be full again. Nothing is kept of a full bucket, so what is
//! kept is bounded by what was taken lately, not by how many ever asked:
//!
//! ```text
//! take: moment = max(moment, now) + interval; refused, and nothing changed, when that is more than `fills_in` ahead
//! ```
//!
//! Apart from [`LiveStore`](crate::LiveStore) on purpose: a room's journal must be durable and in order, a bucket may be
//! forgotten. Losing buckets (a failover, memory that is full) only makes them full.

use crate::{Pending, Unavailable};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How much a bucket holds and how fast it fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// What a full one holds. An empty kind of bucket (0) refuses everything.
    pub size: u32,
    /// How long until an empty one is full, in whole microseconds and at least one. Filled steadily.
    pub fills_in: Duration,
}

/// Whether there was one to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowance {
    /// Taken.
    Taken {
        /// Whole ones that are left.
        remaining: u32,
    },
    /// Nothing was taken.
    Empty {
        /// How long until there is one, if nobody else takes it.
        wait: Duration,
    },
}

/// Buckets that every node takes from.
///
/// Obligations, checked by `suite::allowances`: buckets of one name are one bucket for all who ask; takers side by side
/// never take more than there is; what is refused costs nothing; buckets of different names know nothing of each other.
/// Counting is exact to a microsecond of filling per take, in favour of the taker. A bucket that another `Bucket` was said
/// of before is at most as empty as an empty one of the present kind.
pub trait Allowances: Send + Sync + 'static {
    /// Takes one from the bucket of this name. An error says nothing about whether it was taken.
    fn take(&self, name: &str, bucket: Bucket) -> Pending<Result<Allowance, Unavailable>>;
}

/// Buckets of one process, for tests and for what has to be shared inside of it. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryAllowances {
    full_at: Arc<Mutex<HashMap<String, Instant>>>,
}

impl MemoryAllowances {
    /// Full buckets.
    pub fn new() -> Self {
        Self::default()
    }
}

/// Full buckets are looked for when there are more than this.
const SWEEP: usize = 10_000;

impl Allowances for MemoryAllowances {
    fn take(&self, name: &str, bucket: Bucket) -> Pending<Result<Allowance, Unavailable>> {
        let mut all = self.full_at.lock();
        let now = Instant::now();
        if all.len() > SWEEP {
            all.retain(|_, full_at| *full_at > now);
        }
        let ahead = all.get(name).map_or(Duration::ZERO, |full_at| full_at.saturating_duration_since(now));
        let (answer, ahead) = bucket.take(ahead);
        if let Some(ahead) = ahead {
            all.insert(name.to_owned(), now + ahead);
        }
        Box::pin(std::future::ready(Ok(answer)))
    }
}

impl Bucket {
    /// The rule, for a bucket that will be full after `ahead`; and after how long then, if that changes.
    fn take(self, ahead: Duration) -> (Allowance, Option<Duration>) {
        let fill = self.fills_in.as_micros().max(1) as f64;
        let interval = fill / f64::from(self.size);
        let ahead = (ahead.as_micros() as f64).min(fill) + interval;
        // With a size of 0 the interval is endless.
        if ahead > fill {
            let wait = Duration::from_micros((ahead - fill).min(fill).ceil() as u64);
            return (Allowance::Empty { wait }, None);
        }
        let ahead = ahead.floor();
        let remaining = ((fill - ahead) * f64::from(self.size) / fill).floor() as u32;
        (Allowance::Taken { remaining }, Some(Duration::from_micros(ahead as u64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_one_gives_its_size_and_then_one_per_interval() {
        for size in [1, 3, 7, 100, 1000, 7_000] {
            let bucket = Bucket { size, fills_in: Duration::from_secs(60) };
            let mut ahead = Duration::ZERO;
            for left in (0..size).rev() {
                let (answer, then) = bucket.take(ahead);
                assert_eq!(answer, Allowance::Taken { remaining: left }, "{size}");
                ahead = then.unwrap();
            }
            let (Allowance::Empty { wait }, None) = bucket.take(ahead) else { panic!("{size} at {ahead:?}") };
            assert!(wait <= Duration::from_secs(60) / size, "{size}: {wait:?}");
            let (answer, _) = bucket.take(ahead - wait);
            assert_eq!(answer, Allowance::Taken { remaining: 0 }, "{size} after {wait:?}");
        }
    }

    #[test]
    fn strange_buckets() {
        let never = Bucket { size: 0, fills_in: Duration::from_secs(1) };
        assert_eq!(never.take(Duration::ZERO), (Allowance::Empty { wait: never.fills_in }, None));
        let smaller = Bucket { size: 2, fills_in: Duration::from_secs(1) };
        let wait = Duration::from_millis(500);
        assert_eq!(smaller.take(Duration::from_secs(3600)), (Allowance::Empty { wait }, None));
    }
}
