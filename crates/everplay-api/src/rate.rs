//! How often one asker may ask, and all of them together.
//!
//! ```text
//! request -> its own bucket (account, or network of a guest or stranger) -> everybody's bucket -> handler
//! ```
//!
//! A bucket holds a minute's worth and refills steadily, so an asker may use the minute at once and then waits. The
//! bucket of all bounds what one server takes in a burst, whoever asks.
//!
//! The number of buckets is bounded: when there are too many, full ones (whose owners ask for nothing) are dropped, and
//! when there are none of those, strangers share one.

use crate::ApiError;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What an asker is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Name of the policy in the answers' headers.
    pub name: &'static str,
    /// Requests a minute, which may come at once.
    pub per_minute: u32,
}

/// What askers are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RatePolicy {
    /// Requests a minute of a signed-in account or of a server's key. Default 1000.
    pub account: u32,
    /// Requests a minute of a guest, or of a network that nobody is signed in from. Default 100.
    pub guest: u32,
    /// Requests of all together that one server takes at once; refilled within a second. Default 2000.
    pub burst: u32,
}

impl Default for RatePolicy {
    fn default() -> Self {
        Self { account: 1000, guest: 100, burst: 2000 }
    }
}

/// Buckets at the same time: at 80 bytes each, 8 MiB.
const BUCKETS: usize = 100_000;

/// The buckets of one server.
#[derive(Debug)]
pub struct Rates {
    policy: RatePolicy,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    buckets: HashMap<String, Bucket>,
    all: Bucket,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// What is left, as of `at`.
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(size: u32, now: Instant) -> Self {
        Bucket { tokens: f64::from(size), at: now }
    }

    /// Takes one, or says how long until there is one.
    fn take(&mut self, size: u32, per_second: f64, now: Instant) -> Result<u32, Duration> {
        self.refill(size, per_second, now);
        if self.tokens < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.tokens) / per_second));
        }
        self.tokens -= 1.0;
        Ok(self.tokens as u32)
    }

    fn refill(&mut self, size: u32, per_second: f64, now: Instant) {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + since * per_second).min(f64::from(size));
        self.at = now;
    }
}

/// What an answer says of the asker's bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    limit: Limit,
    remaining: u32,
}

impl Rates {
    /// Full buckets.
    pub fn new(policy: RatePolicy) -> Self {
        let all = Bucket::full(policy.burst, Instant::now());
        Self { policy, state: Mutex::new(State { buckets: HashMap::new(), all }) }
    }

    pub(crate) fn account(&self) -> Limit {
        Limit { name: "account", per_minute: self.policy.account }
    }

    pub(crate) fn guest(&self) -> Limit {
        Limit { name: "guest", per_minute: self.policy.guest }
    }

    /// Counts one request, if it may be answered now.
    pub(crate) fn take(&self, key: String, limit: Limit, now: Instant) -> (Taken, Result<(), Exceeded>) {
        let mut state = self.state.lock();
        let State { buckets, all } = &mut *state;
        let per_second = f64::from(limit.per_minute) / 60.0;
        let key = if buckets.len() >= BUCKETS && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| now.saturating_duration_since(bucket.at) < Duration::from_secs(60));
            if buckets.len() >= BUCKETS { "everybody else".to_owned() } else { key }
        } else {
            key
        };
        let bucket = buckets.entry(key).or_insert_with(|| Bucket::full(limit.per_minute, now));
        match bucket.take(limit.per_minute, per_second, now) {
            Err(wait) => (Taken { limit, remaining: 0 }, Err(Exceeded::Own(wait))),
            Ok(remaining) => {
                let burst = f64::from(self.policy.burst);
                let taken = all.take(self.policy.burst, burst, now).map(drop).map_err(|_| Exceeded::All);
                (Taken { limit, remaining }, taken)
            }
        }
    }
}

/// Which bucket is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exceeded {
    /// The asker's; and how long until it is not.
    Own(Duration),
    /// Everybody's.
    All,
}

impl From<Exceeded> for ApiError {
    fn from(exceeded: Exceeded) -> Self {
        match exceeded {
            Exceeded::Own(wait) => ApiError::too_many("too many requests; ask again later", wait),
            Exceeded::All => ApiError::unavailable("the server"),
        }
    }
}

impl Taken {
    /// `RateLimit-Policy` and `RateLimit` of the IETF draft (draft-ietf-httpapi-ratelimit-headers-11, structured
    /// fields); the one place that writes them, because the draft has changed its syntax before.
    pub(crate) fn apply(self, headers: &mut HeaderMap) {
        let Limit { name, per_minute } = self.limit;
        let reset =
            60 * u64::from(per_minute - self.remaining.min(per_minute)) / u64::from(per_minute.max(1));
        let fields = [
            ("ratelimit-policy", format!("\"{name}\";q={per_minute};w=60")),
            ("ratelimit", format!("\"{name}\";r={};t={reset}", self.remaining)),
        ];
        for (header, value) in fields {
            let value = HeaderValue::from_str(&value).expect("names and numbers are header text");
            headers.insert(HeaderName::from_static(header), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_worth_at_once_and_then_steadily() {
        let rates = Rates::new(RatePolicy { guest: 60, ..RatePolicy::default() });
        let start = Instant::now();
        let take = |after: f64| {
            let now = start + Duration::from_secs_f64(after);
            rates.take("ip".into(), rates.guest(), now).1
        };
        for _ in 0..60 {
            take(0.0).unwrap();
        }
        assert_eq!(take(0.5), Err(Exceeded::Own(Duration::from_millis(500))));
        let refusal = ApiError::from(Exceeded::Own(Duration::from_millis(500)));
        assert_eq!((refusal.status.as_u16(), refusal.code), (429, "RATE_LIMITED"));
        take(1.0).unwrap();
        take(1.5).unwrap_err();
        rates.take("another".into(), rates.guest(), start).1.unwrap();
    }

    #[test]
    fn one_server_takes_so_much_at_once_from_all() {
        let rates = Rates::new(RatePolicy { burst: 10, ..RatePolicy::default() });
        let now = Instant::now();
        let taken = (0..20).filter(|n| rates.take(n.to_string(), rates.account(), now).1.is_ok()).count();
        assert_eq!(taken, 10);
        assert_eq!(rates.take("x".into(), rates.account(), now).1, Err(Exceeded::All));
        assert_eq!(ApiError::from(Exceeded::All).status.as_u16(), 503);
    }
}
