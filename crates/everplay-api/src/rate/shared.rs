//! Asking the buckets that all servers share, without ever waiting for them long.
//!
//! No answer in time is an answer: this server's own buckets decide alone then, so limits hold per server and nobody is
//! refused because a store is away. After a few questions without an answer none are asked for a while, but one now and
//! then: an outage costs one request in five seconds the time limit, and the others nothing.

use super::Limit;
use everplay_live::{Allowance, Allowances, Bucket};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A request waits this long for its answer: many times what a store nearby needs.
const TIME: Duration = Duration::from_millis(50);

/// Questions without an answer, one after the other, after which none are asked.
const FAILURES: u32 = 3;

/// For so long.
const REST: Duration = Duration::from_secs(5);

/// The way to the shared buckets.
pub(super) struct Shared {
    allowances: Arc<dyn Allowances>,
    patience: Mutex<Patience>,
}

#[derive(Debug, Default)]
struct Patience {
    /// Since the last answer.
    failures: u32,
    /// Nobody asks before.
    until: Option<Instant>,
}

impl Patience {
    /// May a question be asked now? The first after a rest begins the next one, which its answer ends.
    fn ask(&mut self, now: Instant) -> bool {
        match self.until {
            Some(until) if now < until => false,
            Some(_) => {
                self.until = Some(now + REST);
                true
            }
            None => true,
        }
    }

    /// True when the others were away and are back.
    fn answered(&mut self) -> bool {
        self.failures = 0;
        self.until.take().is_some()
    }

    /// True when this is one too many.
    fn failed(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        let begins = self.failures >= FAILURES && self.until.is_none();
        if begins {
            self.until = Some(now + REST);
        }
        begins
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(allowances: Arc<dyn Allowances>) -> Self {
        Self { allowances, patience: Mutex::default() }
    }

    /// Takes one from the asker's shared bucket; `None`: nobody knows, and the caller decides.
    pub(super) async fn take(&self, key: &str, limit: Limit) -> Option<Allowance> {
        if !self.patience.lock().ask(Instant::now()) {
            return None;
        }
        let bucket = Bucket { size: limit.per_minute, fills_in: Duration::from_secs(60) };
        let reason = match tokio::time::timeout(TIME, self.allowances.take(key, bucket)).await {
            Ok(Ok(answer)) => {
                if self.patience.lock().answered() {
                    tracing::info!("limits of requests are shared with the other servers again");
                }
                return Some(answer);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} ms", TIME.as_millis()),
        };
        if self.patience.lock().failed(Instant::now()) {
            tracing::warn!(reason, "limits of requests hold per server: the shared ones do not answer");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_failures_then_one_question_per_rest() {
        let (mut patience, start) = (Patience::default(), Instant::now());
        for n in 1..=FAILURES {
            assert!(patience.ask(start));
            assert_eq!(patience.failed(start), n == FAILURES, "told once");
        }
        assert!(!patience.ask(start + REST / 2));
        assert!(patience.ask(start + REST));
        assert!(!patience.ask(start + REST), "one of those who come after the rest asks");
        assert!(!patience.failed(start + REST));
        assert!(!patience.ask(start + REST * 3 / 2));
        assert!(patience.ask(start + REST * 2));
        assert!(patience.answered());
        assert!(patience.ask(start + REST * 2));
        assert!(!patience.answered());
    }
}
