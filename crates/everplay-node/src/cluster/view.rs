//! Rooms of the other nodes, as those nodes tell them. A moment old, never more: each change is told when it happens,
//! and all of them again whenever a link stands.

use everplay_cluster::RoomLine;
use everplay_types::{Epoch, Incarnation, RoomId};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap, HashSet};

#[derive(Default)]
pub(super) struct View {
    rooms: BTreeMap<RoomId, (Incarnation, RoomLine)>,
    /// Rooms that take clients, by kind, oldest first.
    open: HashMap<String, BTreeMap<(u64, RoomId), Incarnation>>,
}

impl View {
    /// A line of a room. False: it is older than what is known.
    pub(super) fn put(&mut self, owner: Incarnation, line: RoomLine) -> bool {
        if let Some((known_owner, known)) = self.rooms.get(&line.id)
            && (known.epoch > line.epoch
                || (known.epoch == line.epoch && *known_owner != owner && line.epoch != Epoch::NONE))
        {
            return false;
        }
        self.remove(&line.id);
        if !line.listing.locked && !line.listing.private {
            let of_kind = self.open.entry(line.kind.clone()).or_default();
            of_kind.insert((line.created_at, line.id.clone()), owner);
        }
        self.rooms.insert(line.id.clone(), (owner, line));
        true
    }

    fn remove(&mut self, room: &RoomId) {
        if let Some((_, line)) = self.rooms.remove(room)
            && let Some(of_kind) = self.open.get_mut(&line.kind)
        {
            of_kind.remove(&(line.created_at, line.id));
        }
    }

    /// The owner says that the room ended or went.
    pub(super) fn gone(&mut self, owner: Incarnation, room: &RoomId, epoch: Epoch) {
        if self.rooms.get(room).is_some_and(|(known, line)| *known == owner && line.epoch <= epoch) {
            self.remove(room);
        }
    }

    /// All rooms of a node: what is not among them is not there.
    pub(super) fn reset(&mut self, owner: Incarnation, lines: Vec<RoomLine>) {
        let told: HashSet<&RoomId> = lines.iter().map(|line| &line.id).collect();
        let stale: Vec<RoomId> = self
            .rooms
            .iter()
            .filter(|(room, (known, _))| *known == owner && !told.contains(room))
            .map(|(room, _)| room.clone())
            .collect();
        stale.iter().for_each(|room| self.remove(room));
        for line in lines {
            self.put(owner, line);
        }
    }

    /// The node is dead, or cannot be reached: nobody is sent there.
    pub(super) fn forget(&mut self, owner: Incarnation) {
        self.reset(owner, Vec::new());
    }

    pub(super) fn get(&self, room: &RoomId) -> Option<(Incarnation, &RoomLine)> {
        self.rooms.get(room).map(|(owner, line)| (*owner, line))
    }

    /// Every room, in the order of their names.
    pub(super) fn all(&self) -> impl Iterator<Item = (Incarnation, &RoomLine)> {
        self.rooms.values().map(|(owner, line)| (*owner, line))
    }

    /// The oldest room of the kind with these filter values that takes a client and is not among those tried.
    pub(super) fn candidate(
        &self,
        kind: &str,
        filters: &Map<String, Value>,
        tried: &HashSet<RoomId>,
    ) -> Option<(Incarnation, &RoomLine)> {
        self.open.get(kind)?.iter().find_map(|((_, room), owner)| {
            let (_, line) = self.rooms.get(room)?;
            let place = line.listing.clients < line.listing.max_clients;
            (place && line.filters == *filters && !tried.contains(room)).then_some((*owner, line))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use everplay_room::Listing;
    use everplay_types::Seq;

    const A: Incarnation = Incarnation([1; 16]);
    const B: Incarnation = Incarnation([2; 16]);

    fn line(id: &str, epoch: u64, created_at: u64, clients: u32) -> RoomLine {
        RoomLine {
            id: RoomId::new(id).unwrap(),
            kind: "arena".into(),
            epoch: Epoch(epoch),
            created_at,
            filters: Map::new(),
            listing: Listing {
                clients,
                max_clients: 2,
                locked: clients >= 2,
                private: false,
                unlisted: false,
                metadata: Value::Null,
            },
            messages_per_second: 0,
            inputs: vec![0],
            seq: Seq(1),
        }
    }

    fn pick(view: &View) -> Option<String> {
        view.candidate("arena", &Map::new(), &HashSet::new()).map(|(_, line)| line.id.to_string())
    }

    #[test]
    fn the_oldest_room_with_a_place_is_filled_first() {
        let mut view = View::default();
        view.put(A, line("young", 1, 20, 0));
        view.put(B, line("old", 1, 10, 1));
        assert_eq!(pick(&view).as_deref(), Some("old"));
        view.put(B, line("old", 1, 10, 2));
        assert_eq!(pick(&view).as_deref(), Some("young"));
        let tried = HashSet::from([RoomId::new("young").unwrap()]);
        assert!(view.candidate("arena", &Map::new(), &tried).is_none());
    }

    #[test]
    fn an_older_owner_is_not_believed() {
        let mut view = View::default();
        assert!(view.put(A, line("r", 2, 1, 0)));
        assert!(!view.put(B, line("r", 1, 1, 0)));
        view.gone(B, &RoomId::new("r").unwrap(), Epoch(1));
        assert_eq!(view.get(&RoomId::new("r").unwrap()).map(|(owner, _)| owner), Some(A));
    }

    #[test]
    fn ghosts_of_a_dead_node_vanish() {
        let mut view = View::default();
        view.put(A, line("r", 1, 1, 0));
        view.put(B, line("s", 1, 2, 0));
        view.forget(A);
        assert_eq!(pick(&view).as_deref(), Some("s"));
        assert_eq!(view.all().count(), 1);
    }
}
