//! Events that others have not taken yet, kept in the ledger: they live and move with the room.
//!
//! ```text
//! emit -> record (event section) and outbox, in one step -> durable -> taken by every consumer -> Input::Taken -> gone
//!   '-> refused: the outbox is full. The author is told, and nothing was emitted
//! ```
//!
//! An event is named by its room and its number, which counts up from 1 and is part of the room's state. A step that
//! was never durable takes its numbers with it; what was durable keeps its number for ever, whoever owns the room and
//! however often it is told. See docs/events.md.

use crate::ledger::{Ledger, from_hex, to_hex};
use crate::{Event, Room};
use everplay_schema::State;
use everplay_types::Millis;
use everplay_wire::msgpack;
use serde::Serialize;
use std::collections::HashMap;

/// Events that one room keeps. A waiting line of 16 tables ends 1,340 games an hour, so it can wait six hours for
/// somebody who takes them; a room that ends a game a minute five days. One more is refused.
pub const OUTBOX_EVENTS: usize = 8192;

/// Bytes of payload that the events of one room may have together. In the ledger they are hexadecimal text: twice as
/// much, half of the 16 MiB that a snapshot may have.
pub const OUTBOX_BYTES: usize = 4 << 20;

/// As many events wait for somebody to take them as a room may keep. The event was not emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many events wait for somebody to take them")]
pub struct OutboxFull;

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
        let outgoing = |number: u64, waiting: &Waiting| {
            Some(Outgoing {
                number,
                event: Event { name: waiting.name.clone(), payload: from_hex(&waiting.payload)? },
                time: Millis(waiting.time),
                date: waiting.date,
            })
        };
        // Mostly the last few of many are asked for.
        if self.last_event.saturating_sub(after) < self.outbox.len() as u64 {
            let numbers = after + 1..=self.last_event;
            let known = |number: u64| outgoing(number, self.outbox.get(&number.to_string())?);
            return numbers.filter_map(known).collect();
        }
        let all = self.outbox.iter().filter_map(|(number, waiting)| Some((number.parse().ok()?, waiting)));
        let after = all.filter(|(number, _)| *number > after);
        let mut waiting: Vec<_> = after.filter_map(|(number, waiting)| outgoing(number, waiting)).collect();
        waiting.sort_unstable_by_key(|outgoing| outgoing.number);
        waiting
    }
}

/// What the ledger's outbox sums up to; made anew with the context.
#[derive(Default)]
pub(crate) struct Sums {
    events: usize,
    bytes: usize,
    by_name: HashMap<String, usize>,
    /// Everything up to this number is gone.
    through: u64,
}

impl Sums {
    pub(crate) fn of(ledger: &Ledger) -> Self {
        let mut sums = Self::default();
        ledger.outbox.values().for_each(|waiting| sums.add(waiting));
        sums
    }

    fn add(&mut self, waiting: &Waiting) {
        self.events += 1;
        self.bytes += waiting.payload.len() / 2;
        *self.by_name.entry(waiting.name.clone()).or_default() += 1;
    }

    fn remove(&mut self, waiting: &Waiting) {
        self.events -= 1;
        self.bytes -= waiting.payload.len() / 2;
        if let Some(count) = self.by_name.get_mut(&waiting.name) {
            *count -= 1;
            if *count == 0 {
                self.by_name.remove(&waiting.name);
            }
        }
    }

    fn has_room(&self, events: usize, bytes: usize) -> bool {
        self.events + events <= OUTBOX_EVENTS && self.bytes + bytes <= OUTBOX_BYTES
    }
}

impl<R: Room> crate::Context<R> {
    /// Tells the world: the event is in the journal exactly if this step's state is, and waits in the room until
    /// everybody who should know has taken it.
    ///
    /// Errors: [`OutboxFull`], after hours in which somebody did not take them; an operator is told. A room should begin
    /// nothing whose end it could not tell: see [`can_emit`](Self::can_emit).
    ///
    /// Panics when the payload cannot be encoded.
    pub fn emit(&mut self, name: impl Into<String>, payload: &impl Serialize) -> Result<(), OutboxFull> {
        let payload =
            msgpack::to_vec(payload).unwrap_or_else(|error| panic!("the event cannot be encoded: {error}"));
        let event = Event { name: name.into(), payload };
        if self.keeps_events {
            if !self.waits.has_room(1, event.payload.len()) {
                self.warnings.push(format!(
                    "{} events wait for somebody to take them; {:?} is refused",
                    self.waits.events, event.name
                ));
                return Err(OutboxFull);
            }
            let (time, date) = (self.now.0, self.date);
            let waiting = Waiting { name: event.name.clone(), payload: to_hex(&event.payload), time, date };
            self.waits.add(&waiting);
            let ledger = self.ledger_mut();
            ledger.last_event += 1;
            ledger.outbox.insert(ledger.last_event.to_string(), waiting);
        }
        self.events.push(event);
        Ok(())
    }

    /// As [`emit`](Self::emit), while fewer than `most` events of this name wait: for what can be told in other words
    /// later, so that it leaves the room's outbox to what cannot.
    ///
    /// Errors: [`OutboxFull`] when that many do. No operator is told: the author knows what to do.
    pub fn emit_up_to(
        &mut self,
        most: usize,
        name: impl Into<String>,
        payload: &impl Serialize,
    ) -> Result<(), OutboxFull> {
        let name = name.into();
        if self.keeps_events && self.waits.by_name.get(&name).is_some_and(|waiting| *waiting >= most) {
            return Err(OutboxFull);
        }
        self.emit(name, payload)
    }

    /// Whether so many more events, of so many bytes in all, can be emitted before somebody takes what waits.
    pub fn can_emit(&self, events: usize, bytes: usize) -> bool {
        !self.keeps_events || self.waits.has_room(events, bytes)
    }

    /// Forgets the events up to `through` and those of the numbers `beyond`; answers whether there were any.
    pub(crate) fn taken(&mut self, through: u64, beyond: &[u64]) -> bool {
        let before = self.waits.events;
        self.ledger_touched = true;
        let (outbox, waits) = (&mut self.ledger.get_mut().outbox, &mut self.waits);
        if through > waits.through {
            waits.through = through;
            outbox.retain(|number, waiting| {
                let stays = number.parse::<u64>().is_ok_and(|number| number > through);
                if !stays {
                    waits.remove(waiting);
                }
                stays
            });
        }
        for number in beyond {
            if let Some(waiting) = outbox.remove(&number.to_string()) {
                waits.remove(&waiting);
            }
        }
        waits.events != before
    }
}
