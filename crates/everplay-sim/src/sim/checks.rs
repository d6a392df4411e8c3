//! What the journals hold, kept beside the store: the truth that clients' views are compared with.

use super::room::{MARK, Mark, RESULT};
use super::world::{Property, World};
use everplay_live::Append;
use everplay_room::{Record, Section};
use everplay_types::{RoomKey, Seq};
use everplay_wire::msgpack;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The durable records of all rooms, as far as the checks need them.
pub(crate) struct Journal {
    world: Arc<World>,
    rooms: Mutex<BTreeMap<String, RoomTruth>>,
}

#[derive(Default)]
struct RoomTruth {
    /// State number to digest.
    marks: BTreeMap<u32, u32>,
    /// Result number to where it stands.
    results: BTreeMap<u32, Seq>,
    /// The highest state number any client saw.
    seen: u32,
}

impl Journal {
    pub(crate) fn new(world: &Arc<World>) -> Arc<Journal> {
        Arc::new(Journal { world: Arc::clone(world), rooms: Mutex::default() })
    }

    /// The store's replica has these records.
    pub(crate) fn durable(&self, append: &Append) {
        let mut rooms = self.rooms.lock();
        let room = rooms.entry(append.room.room.to_string()).or_default();
        for (index, payload) in append.payloads.iter().enumerate() {
            let seq = Seq(append.expected.0 + index as u64);
            let Ok(record) = Record::decode(payload) else { continue };
            for section in &record.sections {
                let Section::Event(event) = section else { continue };
                match event.name.as_str() {
                    MARK => self.mark(room, &append.room, &event.payload),
                    RESULT => self.result(room, &append.room, seq, &event.payload),
                    _ => {}
                }
            }
        }
    }

    fn mark(&self, room: &mut RoomTruth, key: &RoomKey, payload: &[u8]) {
        let Ok(Mark { version, digest }) = msgpack::from_slice(payload) else { return };
        // What was never seen may be replaced: an owner that fell before its records were durable.
        if let Some(before) = room.marks.insert(version, digest)
            && before != digest
            && version <= room.seen
        {
            self.world.fail(Property::SeenSurvives, || {
                format!("room {key}: state {version} was seen, and the journal now holds another one")
            });
        }
    }

    fn result(&self, room: &mut RoomTruth, key: &RoomKey, seq: Seq, payload: &[u8]) {
        let Ok(number) = msgpack::from_slice::<u32>(payload) else { return };
        if let Some(before) = room.results.insert(number, seq)
            && before != seq
        {
            self.world.fail(Property::CountedOnce, || {
                format!("room {key}: result {number} is in the journal at {before} and {seq}")
            });
        }
    }

    /// A client of the room sees this state now.
    pub(crate) fn seen(&self, room: &str, version: u32, digest: u32) {
        let mut rooms = self.rooms.lock();
        let truth = rooms.entry(room.to_owned()).or_default();
        truth.seen = truth.seen.max(version);
        match truth.marks.get(&version) {
            None => self.world.fail(Property::SeenIsDurable, || {
                format!("room {room}: state {version} was seen and is not in the journal")
            }),
            Some(durable) if *durable != digest => self.world.fail(Property::SeenSurvives, || {
                format!("room {room}: state {version} was seen otherwise than the journal has it")
            }),
            Some(_) => {}
        }
    }

    /// The highest state of the room that anyone saw.
    pub(crate) fn highest_seen(&self, room: &str) -> u32 {
        self.rooms.lock().get(room).map_or(0, |room| room.seen)
    }

    /// How many results of the room are in the journal.
    pub(crate) fn results(&self, room: &str) -> usize {
        self.rooms.lock().get(room).map_or(0, |room| room.results.len())
    }
}
