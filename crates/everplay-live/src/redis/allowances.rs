//! Buckets on the servers of the live store.
//!
//! A lane of their own: its connections carry nothing about rooms, wait for no replica, and are given up sooner. Each
//! bucket has a slot of its own, so that a Cluster shares the work.

use super::RedisLiveStore;
use super::keys;
use super::lane::{self, Call, Entrance, Job, Outcome};
use super::options::{Durability, RedisOptions};
use crate::{Allowance, Allowances, Bucket, Pending, Unavailable};
use ::redis::Value;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::sync::oneshot;

/// Time for a batch. Who asks for an allowance waits for less; this is for how long a silent connection is kept.
const PATIENCE: Duration = Duration::from_millis(500);

/// Calls that may queue: a second's worth of a busy node. More are refused at once.
const QUEUE: usize = 4096;

/// [`Allowances`] on Redis. Clones share the connection.
#[derive(Clone)]
pub struct RedisAllowances {
    prefix: Arc<str>,
    lane: Entrance,
}

impl fmt::Debug for RedisAllowances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisAllowances").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl RedisLiveStore {
    /// Buckets on the same servers, over connections of their own. These are made with the first question.
    pub fn allowances(&self) -> RedisAllowances {
        let options = RedisOptions {
            durability: Durability::Alone,
            queue: QUEUE,
            wait_timeout: Duration::ZERO,
            answer_timeout: PATIENCE,
            ..(*self.shared.options).clone()
        };
        let prefix = options.prefix.as_str().into();
        let entered = self.shared.runtime.enter();
        let lane = lane::start(Arc::new(options), Arc::new(AtomicUsize::new(0)));
        drop(entered);
        RedisAllowances { prefix, lane }
    }
}

impl Allowances for RedisAllowances {
    fn take(&self, name: &str, bucket: Bucket) -> Pending<Result<Allowance, Unavailable>> {
        let (slot, key) = keys::allowance(&self.prefix, name);
        let fill = u64::try_from(bucket.fills_in.as_micros().max(1)).unwrap_or(u64::MAX);
        let mut command = super::call("take", 1);
        command.arg(key).arg(bucket.size).arg(fill);
        let (answer, waiting) = oneshot::channel();
        let bytes = command.get_packed_command().len();
        // Nobody waits any more when sending fails.
        let answer = Box::new(move |outcome| drop::<Result<_, _>>(answer.send(outcome)));
        let call = Some(Call { slot, command });
        let pushed = self.lane.push(Job { room: None, before: Vec::new(), call, bytes, answer });
        Box::pin(async move {
            pushed.map_err(|lane::Busy| Unavailable::new("too many ask at once"))?;
            read(waiting.await.unwrap_or(Outcome::Lost))
        })
    }
}

/// Reads the function's answer: whether it was taken, and what is left or how many microseconds to wait.
fn read(outcome: Outcome) -> Result<Allowance, Unavailable> {
    let value = match outcome {
        Outcome::Answered { value, .. } => value,
        Outcome::Lost => return Err(Unavailable::new("no answer")),
        Outcome::Full => return Err(Unavailable::new("the server takes no more")),
        Outcome::Failed(reason) => return Err(Unavailable::new(reason)),
    };
    match value {
        Value::Array(parts) => match parts[..] {
            [Value::Int(1), Value::Int(left)] => {
                Ok(Allowance::Taken { remaining: u32::try_from(left).unwrap_or(0) })
            }
            [Value::Int(0), Value::Int(wait)] => {
                Ok(Allowance::Empty { wait: Duration::from_micros(u64::try_from(wait).unwrap_or(0)) })
            }
            _ => Err(Unavailable::new("the server's function answered strangely")),
        },
        _ => Err(Unavailable::new("the server's function answered strangely")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_spread_over_the_slots_and_name_nobody() {
        let places: Vec<_> =
            (0..1000).map(|n| keys::allowance("everplay", &format!("network 10.0.0.{n}"))).collect();
        let third = keys::SLOTS / 3;
        for server in 0..3 {
            let here = places.iter().filter(|(slot, _)| usize::from(*slot) / third == server).count();
            assert!(here > 250, "{here} of 1000 on server {server}");
        }
        assert!(places.iter().all(|(_, key)| key.starts_with("everplay:rate:{") && !key.contains("10.0")));
    }
}
