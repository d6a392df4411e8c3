//! By when a ticket must be answered.
//!
//! The clock runs while the desk owes something (`open`, `in_progress`), and stands while the player is waited for. It is
//! allowed 4, 24, 48 or 72 hours by priority; when they are over the ticket is escalated: urgent, and four more hours.

use crate::triage::Priority;
use crate::{Act, Status};
use serde::{Deserialize, Serialize};

const HOUR: u64 = 3_600_000;
/// Silence after which a ticket that waits for its player, or is resolved, goes on by itself.
const SILENCE: u64 = 7 * 24 * HOUR;
/// Escalations after which the desk is not told again.
const MAX_ESCALATIONS: u32 = 3;

/// A ticket's clock. Times are milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sla {
    /// What the desk may take altogether.
    pub allowed_ms: u64,
    /// What it took until the clock was stopped last.
    pub spent_ms: u64,
    /// Since when it runs, since 1970; None: it stands.
    pub running_since: Option<u64>,
    /// How often the time was over.
    pub escalations: u32,
}

impl Sla {
    /// Of a ticket that is opened now.
    pub fn begin(priority: Priority, now: u64) -> Self {
        Sla { allowed_ms: allowed(priority), spent_ms: 0, running_since: Some(now), escalations: 0 }
    }

    /// The ticket stands here now; `now` is never before the last change.
    pub fn turn(&mut self, status: Status, now: u64) {
        match (status.is_owed(), self.running_since) {
            (true, None) => self.running_since = Some(now),
            (false, Some(_)) => {
                self.spent_ms = self.spent_at(now);
                self.running_since = None;
            }
            _ => {}
        }
    }

    /// The ticket is as urgent as this now. Time that was spent stays spent.
    pub fn prioritise(&mut self, priority: Priority) {
        self.allowed_ms = allowed(priority);
    }

    /// The time was over, and is extended.
    pub fn escalate(&mut self, now: u64) {
        self.allowed_ms = self.spent_at(now) + allowed(Priority::Urgent);
        self.escalations += 1;
    }

    /// When something is due, and whether it happens by itself then. `changed`: since when the ticket stands there.
    pub fn due(&self, status: Status, changed: u64) -> (u64, bool) {
        match self.running_since {
            Some(since) => {
                let left = self.allowed_ms.saturating_sub(self.spent_ms);
                (since + left, self.escalations < MAX_ESCALATIONS)
            }
            None => (changed + SILENCE, status.after(Act::ClockRings).is_some()),
        }
    }

    /// Whether the desk is late at this moment, or ever was.
    pub fn is_overdue(&self, now: u64) -> bool {
        self.escalations > 0 || self.spent_at(now) > self.allowed_ms
    }

    fn spent_at(&self, now: u64) -> u64 {
        self.spent_ms + self.running_since.map_or(0, |since| now.saturating_sub(since))
    }
}

fn allowed(priority: Priority) -> u64 {
    priority.hours() * HOUR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_by_priority() {
        let hours = Priority::ALL.map(|priority| Sla::begin(priority, 10).due(Status::Open, 10));
        assert_eq!(hours, [4, 24, 48, 72].map(|hours| (10 + hours * HOUR, true)));
    }

    #[test]
    fn the_clock_stands_while_the_player_is_waited_for() {
        let mut sla = Sla::begin(Priority::Urgent, 0);
        sla.turn(Status::InProgress, HOUR);
        assert_eq!(sla.due(Status::InProgress, HOUR), (4 * HOUR, true));
        sla.turn(Status::WaitingForCustomer, HOUR);
        assert_eq!(sla.due(Status::WaitingForCustomer, HOUR), (HOUR + SILENCE, true));
        assert!(!sla.is_overdue(100 * HOUR));
        sla.turn(Status::InProgress, 100 * HOUR);
        assert_eq!(sla.due(Status::InProgress, 100 * HOUR), (103 * HOUR, true));
        sla.turn(Status::Resolved, 101 * HOUR);
        assert_eq!(sla.due(Status::Resolved, 101 * HOUR), (101 * HOUR + SILENCE, true));
        sla.turn(Status::Closed, 102 * HOUR);
        assert!(!sla.due(Status::Closed, 102 * HOUR).1);
    }

    #[test]
    fn an_escalation_gives_four_more_hours_and_is_not_forgotten() {
        let mut sla = Sla::begin(Priority::Low, 0);
        let late = 72 * HOUR + 5;
        assert!(sla.is_overdue(late));
        sla.escalate(late);
        assert_eq!(sla.due(Status::Open, 0), (late + 4 * HOUR, true));
        assert!(sla.is_overdue(late + 1));
        sla.escalate(late + 4 * HOUR);
        sla.escalate(late + 8 * HOUR);
        assert!(!sla.due(Status::Open, 0).1, "the desk is not told for ever");
    }

    #[test]
    fn another_priority_counts_what_was_spent() {
        let mut sla = Sla::begin(Priority::Low, 0);
        sla.turn(Status::WaitingForCustomer, 3 * HOUR);
        sla.prioritise(Priority::Urgent);
        sla.turn(Status::InProgress, 50 * HOUR);
        assert_eq!(sla.due(Status::InProgress, 0).0, 51 * HOUR);
    }
}
