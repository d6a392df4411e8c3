//! How often one asker may ask, and all of them together.
//!
//! ```text
//! request -> its own bucket (account, or network of a guest or stranger) -> everybody's bucket
//!         -> in a cluster: its own bucket that all servers share -> handler
//! ```
//!
//! A bucket holds a minute's worth and refills steadily, so an asker may use the minute at once and then waits. The
//! bucket of all bounds what one server takes in a burst, whoever asks; it is each server's own.
//!
//! The server's own buckets come first, so that what they refuse costs the shared ones nothing, and they follow the shared
//! ones down: an asker whose budget was used up elsewhere is refused here without a question until there is one again,
//! and when the shared ones are away, what is known of them still counts.
//!
//! The number of buckets is bounded: when there are too many, full ones (whose owners ask for nothing) are dropped, and
//! when there are none of those, strangers share one.

mod shared;

use crate::ApiError;
use crate::caller::network_of;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use everplay_live::{Allowance, Allowances};
use everplay_types::Identity;
use parking_lot::Mutex;
use shared::Shared;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What an asker is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Name of the policy in the answers' headers.
    pub name: &'static str,
    /// Requests a minute, which may come at once.
    pub per_minute: u32,
}

impl Limit {
    fn per_second(self) -> f64 {
        f64::from(self.per_minute) / 60.0
    }
}

/// What askers are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RatePolicy {
    /// Requests a minute of a signed-in account or of a server's key. Default 1000.
    pub account: u32,
    /// Requests a minute of a guest, or of a network that nobody is signed in from. Default 100.
    pub guest: u32,
    /// Searches for a seat in a room a minute, of a signed-in account, or of a network whose players have none: guests
    /// count with their network, because whoever wants another guest gets one. Default 300.
    pub matchmake: u32,
    /// Requests of all together that one server takes at once; refilled within a second. Searches for seats have a bucket of
    /// this size to themselves. Default 2000.
    pub burst: u32,
}

impl Default for RatePolicy {
    fn default() -> Self {
        Self { account: 1000, guest: 100, matchmake: 300, burst: 2000 }
    }
}

/// Buckets at the same time: at 80 bytes each, 8 MiB.
const BUCKETS: usize = 100_000;

/// The buckets of one server, and the way to those that all share.
#[derive(Debug)]
pub struct Rates {
    policy: RatePolicy,
    state: Mutex<State>,
    shared: Option<Shared>,
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
    /// Full buckets. `shared`: those of all servers, if there are several.
    pub fn new(policy: RatePolicy, shared: Option<Arc<dyn Allowances>>) -> Self {
        let all = Bucket::full(policy.burst, Instant::now());
        let state = Mutex::new(State { buckets: HashMap::new(), all });
        Self { policy, state, shared: shared.map(Shared::new) }
    }

    pub(crate) fn account(&self) -> Limit {
        Limit { name: "account", per_minute: self.policy.account }
    }

    pub(crate) fn guest(&self) -> Limit {
        Limit { name: "guest", per_minute: self.policy.guest }
    }

    /// Counts one search for a seat, if it may be answered now. `who` is whoever proved who they are. Errors:
    /// `RATE_LIMITED` (429) with when to come again, or `OVERLOADED` (503) when all together ask too often.
    pub async fn take_seat(&self, who: Option<&Identity>, ip: IpAddr) -> Result<(), ApiError> {
        let key = match who {
            Some(player) if !player.guest => format!("seat account {} {}", player.customer, player.id),
            _ => format!("seat network {}", network_of(ip)),
        };
        let limit = Limit { name: "matchmake", per_minute: self.policy.matchmake };
        self.take(key, limit).await.1.map_err(ApiError::from)
    }

    /// Counts one request, if it may be answered now.
    pub(crate) async fn take(&self, key: String, limit: Limit) -> (Taken, Result<(), Exceeded>) {
        let own = self.take_own(&key, limit, Instant::now());
        let (Some(shared), (_, Ok(()))) = (&self.shared, &own) else { return own };
        let Some(answer) = shared.take(&key, limit).await else { return own };
        self.follow(&key, limit, answer, Instant::now());
        match answer {
            Allowance::Taken { remaining } => (Taken { limit, remaining }, Ok(())),
            Allowance::Empty { wait } => (Taken { limit, remaining: 0 }, Err(Exceeded::Own(wait))),
        }
    }

    /// Takes one from this server's buckets.
    fn take_own(&self, key: &str, limit: Limit, now: Instant) -> (Taken, Result<(), Exceeded>) {
        let mut state = self.state.lock();
        let State { buckets, all } = &mut *state;
        let key = if buckets.len() >= BUCKETS && !buckets.contains_key(key) {
            buckets.retain(|_, bucket| now.saturating_duration_since(bucket.at) < Duration::from_secs(60));
            if buckets.len() >= BUCKETS { "everybody else" } else { key }
        } else {
            key
        };
        let full = Bucket::full(limit.per_minute, now);
        let bucket = buckets.entry(key.to_owned()).or_insert(full);
        match bucket.take(limit.per_minute, limit.per_second(), now) {
            Err(wait) => (Taken { limit, remaining: 0 }, Err(Exceeded::Own(wait))),
            Ok(remaining) => {
                let burst = f64::from(self.policy.burst);
                let taken = all.take(self.policy.burst, burst, now).map(drop).map_err(|_| Exceeded::All);
                (Taken { limit, remaining }, taken)
            }
        }
    }

    /// Lowers the asker's bucket to what the shared one has. One that several strangers share stays as it is.
    fn follow(&self, key: &str, limit: Limit, shared: Allowance, now: Instant) {
        let left = match shared {
            // Whole ones are told; there may be almost one more.
            Allowance::Taken { remaining } => f64::from(remaining) + 1.0,
            Allowance::Empty { wait } => 1.0 - wait.as_secs_f64() * limit.per_second(),
        };
        if let Some(bucket) = self.state.lock().buckets.get_mut(key) {
            bucket.refill(limit.per_minute, limit.per_second(), now);
            bucket.tokens = bucket.tokens.min(left);
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
            Exceeded::All => ApiError::overloaded("the server"),
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
    use everplay_live::{Bucket as SharedBucket, MemoryAllowances, Pending, Unavailable};

    #[test]
    fn a_minutes_worth_at_once_and_then_steadily() {
        let rates = Rates::new(RatePolicy { guest: 60, ..RatePolicy::default() }, None);
        let start = Instant::now();
        let take = |after: f64| {
            let now = start + Duration::from_secs_f64(after);
            rates.take_own("ip", rates.guest(), now).1
        };
        for _ in 0..60 {
            take(0.0).unwrap();
        }
        assert_eq!(take(0.5), Err(Exceeded::Own(Duration::from_millis(500))));
        let refusal = ApiError::from(Exceeded::Own(Duration::from_millis(500)));
        assert_eq!((refusal.status.as_u16(), refusal.code), (429, "RATE_LIMITED"));
        take(1.0).unwrap();
        take(1.5).unwrap_err();
        rates.take_own("another", rates.guest(), start).1.unwrap();
    }

    #[test]
    fn one_server_takes_so_much_at_once_from_all() {
        let rates = Rates::new(RatePolicy { burst: 10, ..RatePolicy::default() }, None);
        let now = Instant::now();
        let taken =
            (0..20).filter(|n| rates.take_own(&n.to_string(), rates.account(), now).1.is_ok()).count();
        assert_eq!(taken, 10);
        assert_eq!(rates.take_own("x", rates.account(), now).1, Err(Exceeded::All));
        assert_eq!(ApiError::from(Exceeded::All).status.as_u16(), 503);
    }

    #[tokio::test]
    async fn seats_count_by_account_or_by_the_network_of_guests() {
        let rates = Rates::new(RatePolicy { matchmake: 2, ..RatePolicy::default() }, None);
        let home: IpAddr = "192.0.2.7".parse().unwrap();
        let player = |id: &str, guest| Identity {
            customer: "default".parse().unwrap(),
            id: id.parse().unwrap(),
            login: "login".parse().unwrap(),
            name: id.to_owned(),
            guest,
            roles: everplay_types::Roles::default(),
            second_factor: false,
        };
        let (ann, guests) = (player("ann", false), ["g1", "g2", "g3"].map(|id| player(id, true)));
        rates.take_seat(Some(&guests[0]), home).await.unwrap();
        rates.take_seat(None, home).await.unwrap();
        for who in [Some(&guests[1]), Some(&guests[2]), None] {
            let refusal = rates.take_seat(who, home).await.unwrap_err();
            assert_eq!((refusal.code, refusal.status.as_u16()), ("RATE_LIMITED", 429));
            assert!(refusal.retry_after.unwrap() > Duration::from_secs(20));
        }
        for _ in 0..2 {
            rates.take_seat(Some(&ann), home).await.unwrap();
            rates.take_seat(None, "192.0.2.8".parse().unwrap()).await.unwrap();
        }
        rates.take_seat(Some(&ann), home).await.unwrap_err();
        // What services count is another budget.
        rates.take_own("network 192.0.2.7", rates.guest(), Instant::now()).1.unwrap();
    }

    /// Counts questions; answers from memory, or not at all.
    #[derive(Default)]
    struct Store {
        asked: Mutex<u32>,
        away: Mutex<bool>,
        buckets: MemoryAllowances,
    }

    impl Allowances for Store {
        fn take(&self, name: &str, bucket: SharedBucket) -> Pending<Result<Allowance, Unavailable>> {
            *self.asked.lock() += 1;
            if *self.away.lock() { Box::pin(std::future::pending()) } else { self.buckets.take(name, bucket) }
        }
    }

    /// So slow a policy that nothing fills in during a test.
    fn servers(count: usize) -> (Arc<Store>, Vec<Rates>) {
        let store = Arc::new(Store::default());
        let policy = RatePolicy { guest: 6, ..RatePolicy::default() };
        let one = || Rates::new(policy, Some(Arc::clone(&store) as Arc<dyn Allowances>));
        (Arc::clone(&store), (0..count).map(|_| one()).collect())
    }

    async fn ask(rates: &Rates) -> (u32, Result<(), Exceeded>) {
        let (taken, allowed) = rates.take("ip".into(), rates.guest()).await;
        (taken.remaining, allowed)
    }

    #[tokio::test]
    async fn servers_share_a_budget_and_remember_that_it_is_empty() {
        let (store, servers) = servers(3);
        for left in (0..6).rev() {
            let (remaining, allowed) = ask(&servers[left as usize % 3]).await;
            assert_eq!((remaining, allowed), (left, Ok(())));
        }
        for rates in &servers {
            let (remaining, refused) = ask(rates).await;
            let Err(Exceeded::Own(wait)) = refused else { panic!("{refused:?}") };
            assert!(remaining == 0 && wait > Duration::from_secs(5), "{wait:?}");
        }
        let asked = *store.asked.lock();
        for rates in &servers {
            ask(rates).await.1.unwrap_err();
        }
        assert_eq!(*store.asked.lock(), asked, "what is known to be empty is not asked");
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_away_refuses_nobody_and_soon_costs_no_time() {
        let (store, servers) = servers(2);
        for _ in 0..4 {
            ask(&servers[0]).await.1.unwrap();
        }
        *store.away.lock() = true;
        let start = tokio::time::Instant::now();
        // What was known of the budget still counts; the other server never heard of it.
        for left in [1, 0] {
            assert_eq!(ask(&servers[0]).await, (left, Ok(())));
        }
        ask(&servers[0]).await.1.unwrap_err();
        for left in (0..6).rev() {
            assert_eq!(ask(&servers[1]).await, (left, Ok(())));
        }
        let (asked, waited) = (*store.asked.lock(), start.elapsed());
        assert_eq!(asked, 4 + 2 + 3, "two were asked of by the first, three by the second");
        assert!(waited < Duration::from_millis(300), "{waited:?}");
    }
}
