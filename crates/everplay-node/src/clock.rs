use everplay_types::Millis;
use tokio::time::Instant;

/// A room's time as read from the machine's monotonic clock.
///
/// Stands still while paused and while the room has no owner, so that no player is timed out by a server that
/// was not there.
#[derive(Debug)]
pub(crate) struct RoomClock {
    base: Millis,
    since: Option<Instant>,
}

impl RoomClock {
    /// Runs on from `base`.
    pub(crate) fn starting_at(base: Millis) -> Self {
        Self { base, since: Some(Instant::now()) }
    }

    pub(crate) fn now(&self) -> Millis {
        self.since.map_or(self.base, |since| self.base + since.elapsed())
    }

    pub(crate) fn pause(&mut self) {
        self.base = self.now();
        self.since = None;
    }

    pub(crate) fn resume(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// When the room's time will be `time`; None while it stands still.
    pub(crate) fn instant_of(&self, time: Millis) -> Option<Instant> {
        self.since.map(|since| since + time.since(self.base))
    }
}
