//! Delivers notices until each was taken, whatever restarts in between.
//!
//! ```text
//! due -> claimed for a minute -> delivered -> removed
//!            ^                '-> failed: again after 5 s, 10 s, ... 1 h (+-25 %), 24 times, about 15 hours
//!            '-- its claimer died           '-> given up: kept for a month for people to look at
//! ```
//!
//! Any number of nodes may run it on one store: a claim is taken by one of them.

use crate::complaints::Complaints;
use crate::notice::{self, Courier, CourierError};
use crate::now_ms;
use everplay_records::{Notice, Notices, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// Nobody else takes a claimed notice for so long; a delivery is given up well before.
const CLAIM_MS: u64 = 60_000;
const DELIVERY: Duration = Duration::from_secs(20);
/// Deliveries at the same time.
const AT_ONCE: u32 = 16;
const FIRST_PAUSE_MS: u64 = 5_000;
const LONGEST_PAUSE_MS: u64 = 3_600_000;
const TRIES: u32 = 24;
/// Those that were given up are kept for so many seconds.
const KEPT_S: u64 = 30 * 24 * 3600;
/// How often is looked when nothing says that there is something.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The task that delivers. It ends when this is dropped; what was not delivered is there at the next start.
#[derive(Debug)]
pub struct Outbox(JoinHandle<()>);

impl Outbox {
    /// Begins to deliver what is in the store. `wake` says that there is something new.
    pub fn start(notices: Notices, courier: Arc<dyn Courier>, wake: Arc<Notify>) -> Self {
        Outbox(tokio::spawn(run(notices, courier, wake)))
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(notices: Notices, courier: Arc<dyn Courier>, wake: Arc<Notify>) {
    let complaints = Complaints::default();
    loop {
        match round(&notices, &courier, &complaints).await {
            Ok(taken) if taken > 0 => {}
            Ok(_) => {
                tokio::select! {
                    () = wake.notified() => {}
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the outbox cannot be read");
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
}

/// Delivers some of what is due, and says how many it took.
async fn round(
    notices: &Notices,
    courier: &Arc<dyn Courier>,
    complaints: &Complaints,
) -> Result<usize, StoreError> {
    let mut deliveries = JoinSet::new();
    let due = notices.due(now_ms(), AT_ONCE).await?;
    for (id, error) in due.unreadable {
        complaints.of(&id, || tracing::error!(notice.id = id, %error, "a notice cannot be told"));
    }
    for notice in due.notices {
        let claimed = match notices.claim(&notice, now_ms() + CLAIM_MS).await {
            Ok(claimed) => claimed,
            Err(error @ StoreError::Resting(_)) => return Err(error),
            Err(error) => {
                tracing::error!(notice.id = notice.notice_id, %error, "a notice cannot be taken");
                continue;
            }
        };
        let Some(claimed) = claimed else { continue };
        deliveries.spawn(deliver(notices.clone(), Arc::clone(courier), claimed));
    }
    let taken = deliveries.len();
    while let Some(delivered) = deliveries.join_next().await {
        if let Err(error) = delivered {
            tracing::error!(%error, "a delivery broke; it is tried again");
        }
    }
    Ok(taken)
}

async fn deliver(notices: Notices, courier: Arc<dyn Courier>, notice: Notice) {
    let answer = match notice::read(&notice) {
        None => Err(CourierError::Never("this release does not know such a notice".to_owned())),
        Some((channel, told)) => {
            let delivery = courier.deliver(&notice.customer, channel, &notice.notice_id, &told);
            tokio::time::timeout(DELIVERY, delivery)
                .await
                .unwrap_or_else(|_| Err(CourierError::Later("it took too long".to_owned())))
        }
    };
    let written = match answer {
        Ok(()) => notices.done(&notice).await,
        Err(CourierError::Later(problem)) if notice.tries < TRIES => {
            let due_at = now_ms() + pause_ms(notice.tries, rand::random());
            notices.later(&notice, problem, due_at).await
        }
        Err(CourierError::Later(problem) | CourierError::Never(problem)) => {
            tracing::warn!(notice.id = notice.notice_id, problem, "a notice was given up");
            notices.give_up(&notice, problem, now_ms() / 1000 + KEPT_S).await
        }
    };
    if let Err(error) = written {
        // The claim runs out, and it is delivered again.
        tracing::warn!(%error, notice.id = notice.notice_id, "the end of a delivery was not written down");
    }
}

/// Before the next try after `tries` that failed. `chance` is from 0 to 1.
fn pause_ms(tries: u32, chance: f64) -> u64 {
    let doubled = FIRST_PAUSE_MS.saturating_mul(1 << tries.saturating_sub(1).min(20));
    (doubled.min(LONGEST_PAUSE_MS) as f64 * (0.75 + 0.5 * chance)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        let pauses: Vec<u64> = [1, 2, 3, 11, 24].into_iter().map(|tries| pause_ms(tries, 0.5)).collect();
        assert_eq!(pauses, [5_000, 10_000, 20_000, 3_600_000, 3_600_000]);
        assert_eq!((pause_ms(1, 0.0), pause_ms(1, 1.0)), (3_750, 6_250));
    }
}
