use std::time::Duration;

/// How a connection that was lost comes back; the defaults are the SDKs'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconnection {
    /// Whether it tries at all.
    pub enabled: bool,
    /// Younger connections do not come back: a room that fails at once would be joined forever.
    pub min_uptime: Duration,
    /// Attempts before it gives up. With the delays below, 15 are about 56 seconds.
    pub max_retries: u32,
    /// Delay before the first attempts; doubled for each, starting at twice this.
    pub delay: Duration,
    /// Longest delay.
    pub max_delay: Duration,
    /// Messages kept while there is no connection; the oldest are dropped first.
    pub max_enqueued: usize,
}

impl Default for Reconnection {
    fn default() -> Self {
        Self {
            enabled: true,
            min_uptime: Duration::from_secs(5),
            max_retries: 15,
            delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(5),
            max_enqueued: 10,
        }
    }
}

impl Reconnection {
    /// Never comes back.
    pub fn off() -> Self {
        Self { enabled: false, ..Self::default() }
    }

    /// Delay before attempt 1, 2, ...: 0.2 s, 0.4 s, 0.8 s and so on.
    pub(crate) fn delay_before(&self, attempt: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempt).unwrap_or(u32::MAX);
        self.delay.saturating_mul(factor).clamp(self.delay.min(self.max_delay), self.max_delay)
    }

    /// Close codes after which an SDK comes back: going away, none, abnormal, and the server's request to.
    pub(crate) fn comes_back_after(code: u16) -> bool {
        matches!(code, 1001 | 1005 | 1006 | 4010)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_five_seconds() {
        let delays: Vec<u128> =
            (1..8).map(|attempt| Reconnection::default().delay_before(attempt).as_millis()).collect();
        assert_eq!(delays, [200, 400, 800, 1600, 3200, 5000, 5000]);
        let total: Duration = (1..=15).map(|attempt| Reconnection::default().delay_before(attempt)).sum();
        assert_eq!(total.as_secs(), 56);
    }
}
