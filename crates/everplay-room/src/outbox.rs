//! Events that others have not taken yet, kept in the ledger: they live and move with the room.
//!
//! ```text
//! emit -> record (event section) and outbox, in one step -> durable -> taken by every consumer -> Input::Taken -> gone
//! ```
//!
//! An event is named by its room and its number, which counts up from 1 and is part of the room's state. A step that
//! was never durable takes its numbers with it; what was durable keeps its number for ever, whoever owns the room and
//! however often it is told. See docs/events.md.

use crate::ledger::{Ledger, from_hex, to_hex};
use crate::{Event, Room};
use everplay_schema::State;
use everplay_types::Millis;

/// Events that one room keeps. A room that ends a game a minute can wait half a day for somebody who takes them. What
/// comes on top is in the journal only, and an operator is told.
pub const OUTBOX_EVENTS: usize = 1024;

/// An event that waits.
#[derive(State, Default, Clone)]
pub struct Waiting {
    /// As emitted.
    pub name: String,
    /// msgpack as hexadecimal text.
    pub payload: String,
    /// The room's time.
    pub time: u64,
    /// The time of day as the node had it, ms since 1970.
    pub date: u64,
}

/// An event that waits, as others take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its number in the room, from 1, without gaps.
    pub number: u64,
    /// What happened.
    pub event: Event,
    /// The room's time when it happened.
    pub time: Millis,
    /// The time of day when it happened, ms since 1970; for people and calendars.
    pub date: u64,
}

impl Ledger {
    /// The events after `after` that wait, in order.
    pub(crate) fn outbox_after(&self, after: u64) -> Vec<Outgoing> {
        let mut waiting: Vec<Outgoing> = self
            .outbox
            .iter()
            .filter_map(|(number, waiting)| {
                let number: u64 = number.parse().ok()?;
                let payload = from_hex(&waiting.payload)?;
                (number > after).then(|| Outgoing {
                    number,
                    event: Event { name: waiting.name.clone(), payload },
                    time: Millis(waiting.time),
                    date: waiting.date,
                })
            })
            .collect();
        waiting.sort_unstable_by_key(|outgoing| outgoing.number);
        waiting
    }

    /// Forgets the events up to `through`; answers whether there were any.
    pub(crate) fn taken(&mut self, through: u64) -> bool {
        let before = self.outbox.len();
        self.outbox.retain(|number, _| number.parse::<u64>().is_ok_and(|number| number > through));
        self.outbox.len() != before
    }
}

impl<R: Room> crate::Context<R> {
    pub(crate) fn put_out(&mut self, event: Event) {
        if self.keeps_events {
            if self.ledger.get().outbox.len() >= OUTBOX_EVENTS {
                self.warnings.push(format!(
                    "{OUTBOX_EVENTS} events wait for somebody to take them; {:?} stays in the journal only",
                    event.name
                ));
            } else {
                let (time, date) = (self.now.0, self.date);
                let waiting =
                    Waiting { name: event.name.clone(), payload: to_hex(&event.payload), time, date };
                let ledger = self.ledger_mut();
                ledger.last_event += 1;
                ledger.outbox.insert(ledger.last_event.to_string(), waiting);
            }
        }
        self.events.push(event);
    }
}
