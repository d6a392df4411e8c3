use super::{Courier, Events};
use crate::host::Command;
use everplay_room::{Durability, RoomEngine};
use everplay_types::{RoomKey, Seq};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::mpsc;

/// One host's side: lets the events of a step go once what they rest on cannot be taken back.
///
/// Kinds that journal each step: once the step's record is durable. Kinds that only snapshot: once a snapshot that
/// holds them was published, because they fall back to the one before otherwise. Ephemeral ones: at once.
pub(crate) struct Outlet {
    courier: Arc<Courier>,
    room: RoomKey,
    kind: Arc<str>,
    mailbox: mpsc::WeakSender<Command>,
    durability: Durability,
    /// Events up to this number may go when that is reached; both rise.
    marks: VecDeque<(Until, u64)>,
    marked: u64,
    offered: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    Durable(Seq),
    /// A snapshot is to be taken.
    Imaged,
    /// The snapshot on its way.
    Published,
    Now,
}

impl Outlet {
    pub(crate) fn new(
        events: &Events,
        room: RoomKey,
        kind: Arc<str>,
        mailbox: mpsc::WeakSender<Command>,
        durability: Durability,
    ) -> Self {
        let courier = Arc::clone(&events.0);
        Self { courier, room, kind, mailbox, durability, marks: VecDeque::new(), marked: 0, offered: 0 }
    }

    /// A step was taken: its record, if any, is at `seq`, and `emitted` events were emitted in the room so far.
    /// Answers whether there are new ones that wait for a snapshot.
    pub(crate) fn step(&mut self, seq: Seq, emitted: u64) -> bool {
        if emitted <= self.marked || self.courier.lanes.is_empty() {
            return false;
        }
        self.marked = emitted;
        let until = match self.durability {
            Durability::Confirmed | Durability::Bounded(_) => Until::Durable(seq),
            Durability::Snapshot(_) => Until::Imaged,
            Durability::Ephemeral => Until::Now,
        };
        self.marks.push_back((until, emitted));
        until == Until::Imaged
    }

    /// A snapshot was taken: it holds every event so far.
    pub(crate) fn imaged(&mut self) {
        self.turn(Until::Imaged, Until::Published);
    }

    /// What became of it.
    pub(crate) fn published(&mut self, well: bool) {
        self.turn(Until::Published, if well { Until::Now } else { Until::Imaged });
    }

    fn turn(&mut self, from: Until, to: Until) {
        self.marks.iter_mut().filter(|(until, _)| *until == from).for_each(|(until, _)| *until = to);
    }

    /// Lets go what may go.
    pub(crate) fn release(&mut self, durable: Seq, engine: &dyn RoomEngine) {
        let mut through = self.offered;
        while let Some((until, emitted)) = self.marks.front() {
            match until {
                Until::Durable(seq) if *seq <= durable => {}
                Until::Now => {}
                _ => break,
            }
            through = *emitted;
            self.marks.pop_front();
        }
        if through > self.offered {
            let mut events = engine.outbox(self.offered);
            events.retain(|event| event.number <= through);
            self.offered = through;
            if !events.is_empty() {
                self.courier.offer(&self.room, &self.kind, &self.mailbox, events);
            }
        }
    }

    /// The engine fell: what was not let go is forgotten with it.
    pub(crate) fn clear(&mut self) {
        self.marks.clear();
        self.marked = self.offered;
    }

    /// The room has ended: nothing takes its last events back any more.
    pub(crate) fn end(&mut self, engine: &dyn RoomEngine) {
        self.marks.iter_mut().for_each(|(until, _)| *until = Until::Now);
        self.release(Seq::ZERO, engine);
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.courier.left(&self.room.room);
    }
}
