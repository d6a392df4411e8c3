use super::{Courier, Lane};
use crate::Ambient;
use crate::metrics as names;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often it is measured what waits: an operator is to hear of minutes.
const EVERY: Duration = Duration::from_secs(5);

impl Courier {
    /// Keeps the gauges of what waits, as long as the courier is there.
    pub(super) fn measure(self: &Arc<Self>, ambient: Ambient) {
        if self.lanes.is_empty() {
            return;
        }
        let courier: Weak<Self> = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(courier) = courier.upgrade() {
                courier.lanes.iter().for_each(|lane| lane.measure(ambient.wall_ms()));
                drop(courier);
                tokio::time::sleep(EVERY).await;
            }
        });
    }
}

impl Lane {
    fn measure(&self, now: u64) {
        let (waiting, oldest) = {
            let queue = self.queue.lock();
            // Not the one in front: what a room tells again comes behind what is younger.
            (queue.len(), queue.iter().map(|event| event.date).min())
        };
        let age = oldest.map_or(0, |date| now.saturating_sub(date));
        let consumer = self.consumer.name();
        metrics::gauge!(names::EVENTS_WAITING, "consumer" => consumer).set(waiting as f64);
        metrics::gauge!(names::EVENTS_OLDEST, "consumer" => consumer).set(age as f64 / 1000.0);
    }
}
