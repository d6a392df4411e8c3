use everplay_types::Millis;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Lines up the steps of a node's rooms, so that what rooms step in the same moment shares a commit of the journal.
///
/// A commit costs the same whatever it holds; ten rooms of 20 steps a second that step on their own cause 150 commits
/// a second, in line 30. Rooms are handed out to moments in groups: few rooms share one, many are spread over the
/// step's length, so that their work does not come in one burst.
#[derive(Debug)]
pub(crate) struct Beat {
    origin: Instant,
    rooms: AtomicU64,
}

/// Rooms that share a moment before the next one is used: about what one core steps within a millisecond.
const GROUP: u64 = 32;
/// Moments within one step.
const MOMENTS: u64 = 16;

impl Beat {
    /// A beat that begins now.
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now(), rooms: AtomicU64::new(0) }
    }

    /// The clock of the next room, whose time runs on from `base` and which steps every `step`.
    pub(crate) fn clock(&self, base: Millis, step: Duration) -> RoomClock {
        let step_ms = u64::try_from(step.as_millis()).unwrap_or(u64::MAX).max(1);
        let group = self.rooms.fetch_add(1, Ordering::Relaxed) / GROUP % MOMENTS;
        let moment_ms = step_ms.saturating_mul(group) / MOMENTS;
        let origin = self.origin + Duration::from_millis(moment_ms.min(step_ms));
        let mut clock = RoomClock { base, since: None, origin, step_ms };
        clock.resume();
        clock
    }
}

/// A room's time as read from the machine's monotonic clock.
///
/// Stands still while paused and while the room has no owner, so that no player is timed out by a server that
/// was not there. When it starts it skips less than one step, to fall in with its beat: its time is then a multiple of
/// the step in the same moments as that of its group.
#[derive(Debug)]
pub(crate) struct RoomClock {
    base: Millis,
    since: Option<Instant>,
    origin: Instant,
    step_ms: u64,
}

impl RoomClock {
    pub(crate) fn now(&self) -> Millis {
        self.since.map_or(self.base, |since| self.base + since.elapsed())
    }

    pub(crate) fn pause(&mut self) {
        self.base = self.now();
        self.since = None;
    }

    pub(crate) fn resume(&mut self) {
        if self.since.is_some() {
            return;
        }
        let now = Instant::now();
        // The origin of a late group is still to come in the node's first step.
        let Some(since_origin) = now.checked_duration_since(self.origin) else {
            self.since = Some(now);
            return;
        };
        let beat_ms = u64::try_from(since_origin.as_millis()).unwrap_or(u64::MAX);
        let skip_ms = (beat_ms % self.step_ms + self.step_ms - self.base.0 % self.step_ms) % self.step_ms;
        self.base = self.base + Duration::from_millis(skip_ms);
        self.since = Some(self.origin + Duration::from_millis(beat_ms));
    }

    /// When the room's time will be `time`; None while it stands still.
    pub(crate) fn instant_of(&self, time: Millis) -> Option<Instant> {
        self.since.map(|since| since + time.since(self.base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(50);

    #[tokio::test(start_paused = true)]
    async fn rooms_of_a_group_step_in_the_same_moments() {
        let beat = Beat::new();
        let mut moments = Vec::new();
        for base in [0, 0, 1_234, 77] {
            tokio::time::advance(Duration::from_micros(13_377)).await;
            let clock = beat.clock(Millis(base), STEP);
            assert!(clock.now() >= Millis(base) && clock.now() < Millis(base) + STEP);
            let next_step = Millis((clock.now().0 / 50 + 1) * 50);
            let due = clock.instant_of(next_step).unwrap();
            moments.push(due.duration_since(beat.origin).as_micros() % 50_000);
        }
        assert_eq!(moments, [0; 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn many_rooms_are_spread_over_the_step() {
        let beat = Beat::new();
        tokio::time::advance(STEP * 3).await;
        let mut moments = std::collections::BTreeMap::<u128, usize>::new();
        for _ in 0..GROUP * MOMENTS {
            let clock = beat.clock(Millis::ZERO, STEP);
            let due = clock.instant_of(Millis((clock.now().0 / 50 + 1) * 50)).unwrap();
            *moments.entry(due.duration_since(beat.origin).as_millis() % 50).or_default() += 1;
        }
        assert_eq!(moments.len(), MOMENTS as usize);
        assert!(moments.values().all(|rooms| *rooms == GROUP as usize));
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_room_falls_in_again_and_its_time_never_goes_back() {
        let beat = Beat::new();
        let mut clock = beat.clock(Millis(10), STEP);
        tokio::time::advance(Duration::from_millis(20)).await;
        clock.pause();
        let paused = clock.now();
        tokio::time::advance(Duration::from_millis(1_007)).await;
        assert_eq!(clock.now(), paused);
        clock.resume();
        assert!(clock.now() >= paused && clock.now() < paused + STEP);
        let since_origin = Instant::now().duration_since(beat.origin).as_millis() as u64;
        assert_eq!(clock.now().0 % 50, since_origin % 50);
    }
}
