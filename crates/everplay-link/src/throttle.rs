//! Log lines that repeat: one at once, then at most one in a while, saying how many were left out.

use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Time between two lines.
const QUIET: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<Option<(Instant, u64)>>);

impl Throttle {
    /// Runs `log` with the number of lines left out since the last one, unless it is too soon.
    pub(crate) fn log(&self, log: impl FnOnce(u64)) {
        let mut last = self.0.lock();
        let left_out = match &mut *last {
            Some((at, left_out)) if at.elapsed() < QUIET => {
                *left_out += 1;
                return;
            }
            Some((_, left_out)) => *left_out,
            None => 0,
        };
        *last = Some((Instant::now(), 0));
        drop(last);
        log(left_out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lines_are_told_once_and_counted() {
        let throttle = Throttle::default();
        let mut told = Vec::new();
        for _ in 0..5 {
            throttle.log(|left_out| told.push(left_out));
        }
        tokio::time::advance(QUIET).await;
        throttle.log(|left_out| told.push(left_out));
        assert_eq!(told, [0, 4]);
    }
}
