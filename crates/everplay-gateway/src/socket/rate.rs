//! A rate bound in two words: the time at which everything taken so far would have been due.
//!
//! Each event moves that time on by 1/rate; when it runs more than a burst ahead of the clock, the event is too much
//! (the generic cell rate algorithm, ITU-T I.371).

use std::time::Duration;
use tokio::time::Instant;

/// The burst: one second's worth, so that what was gathered during a short stall passes.
const BURST: Duration = Duration::from_secs(1);

pub(super) struct Rate {
    /// Time one event stands for; zero means no bound.
    interval: Duration,
    due: Instant,
}

impl Rate {
    /// At most `per_second` events in the long run; 0 for no bound.
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        let interval = if per_second == 0 { Duration::ZERO } else { BURST / per_second };
        Rate { interval, due: now }
    }

    /// Counts one event; false when it is one too many.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        if self.interval.is_zero() {
            return true;
        }
        self.due = self.due.max(now) + self.interval;
        self.due <= now + BURST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_one_second_then_the_rate() {
        let start = Instant::now();
        let mut rate = Rate::new(10, start);
        assert!((0..10).all(|_| rate.allows(start)));
        assert!(!rate.allows(start));
        let mut rate = Rate::new(10, start);
        assert!((0..1000).all(|tick| rate.allows(start + Duration::from_millis(100 * tick))));
        let mut open = Rate::new(0, start);
        assert!((0..1_000_000).all(|_| open.allows(start)));
    }
}
