//! A room's sockets, here and on other nodes.
//!
//! What one step sends to sockets of one other node leaves as one [`Parcels`] entry: one call of its relay, in the
//! order of the step.

use crate::link::{ClientSink, Relay, RelayBatch, RelayItem, RelaySeat};
use crate::planted::{self, Bug};
use bytes::Bytes;
use everplay_room::{ConnId, FrameKind};
use everplay_types::{CloseCode, Epoch, RoomId, Seq, SessionId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// One socket.
pub(super) struct Connection {
    pub(super) session: SessionId,
    pub(super) sink: Arc<dyn ClientSink>,
    /// It was given a full state: from then on it has seen what the journal holds.
    pub(super) live: bool,
    relay: Option<RelaySeat>,
    outlives: bool,
    /// The token it came with.
    shown: Option<String>,
    since: Instant,
}

/// How long a socket may take to acknowledge before another one with the same token counts as the later one.
const JOINING: Duration = Duration::from_secs(1);

impl Connection {
    pub(super) fn new(session: SessionId, sink: Arc<dyn ClientSink>) -> Self {
        let (relay, outlives) = (sink.relay(), sink.outlives_owner());
        Self { session, sink, live: false, relay, outlives, shown: None, since: Instant::now() }
    }

    /// It came with this token.
    pub(super) fn showing(self, token: Option<String>) -> Self {
        Self { shown: token, ..self }
    }

    /// Whether this is the same socket as `other`, under another number.
    fn is_socket_of(&self, other: &Connection) -> bool {
        match (&self.relay, &other.relay) {
            (Some(a), Some(b)) => a.conn == b.conn && a.relay.id() == b.relay.id(),
            _ => false,
        }
    }
}

/// The sockets by the numbers the engine knows.
#[derive(Default)]
pub(super) struct Connections {
    by_conn: BTreeMap<ConnId, Connection>,
    /// How many are kept when the room's owner is gone.
    outlive: usize,
    /// Relays whose node has yet to get what its sockets missed, by the number of its [`Reattach`](super::Reattach).
    behind: BTreeMap<u128, u64>,
}

impl Connections {
    pub(super) fn insert(&mut self, conn: ConnId, connection: Connection) {
        self.outlive += usize::from(connection.outlives);
        if let Some(old) = self.by_conn.insert(conn, connection) {
            self.outlive -= usize::from(old.outlives);
        }
    }

    pub(super) fn remove(&mut self, conn: &ConnId) -> Option<Connection> {
        let connection = self.by_conn.remove(conn)?;
        self.outlive -= usize::from(connection.outlives);
        Some(connection)
    }

    pub(super) fn get(&self, conn: &ConnId) -> Option<&Connection> {
        self.by_conn.get(conn)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&ConnId, &Connection)> {
        self.by_conn.iter()
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Connection> + use<> {
        self.outlive = 0;
        std::mem::take(&mut self.by_conn).into_values()
    }

    /// Whether another socket came with the same token a moment ago and has not acknowledged its JOIN_ROOM yet. Sockets
    /// of one client come by way of different nodes, and the one that comes later may be the one it gave up.
    pub(super) fn is_joining(&self, later: &Connection) -> bool {
        later.outlives
            && later.shown.is_some()
            && self.by_conn.values().any(|known| {
                !known.live
                    && known.shown == later.shown
                    && known.session == later.session
                    && known.since.elapsed() < JOINING
            })
    }

    pub(super) fn any_outlive(&self) -> bool {
        self.outlive > 0
    }

    /// The older number of a socket that is attached once more.
    pub(super) fn number_of(&self, socket: &Connection) -> Option<ConnId> {
        self.by_conn.iter().find(|(_, known)| known.is_socket_of(socket)).map(|(conn, _)| *conn)
    }

    pub(super) fn deliver(&mut self, conn: ConnId, kind: FrameKind, bytes: Bytes, parcels: &mut Parcels) {
        let Some(connection) = self.by_conn.get_mut(&conn) else { return };
        connection.live |= kind == FrameKind::State;
        match &connection.relay {
            None => connection.sink.deliver(kind, bytes),
            Some(seat) => {
                let conns = vec![seat.conn];
                parcels.of(&seat.relay).items.push(RelayItem::Frame { conns, kind, bytes });
            }
        }
    }

    pub(super) fn deliver_all(
        &self,
        conns: &[ConnId],
        kind: FrameKind,
        bytes: &Bytes,
        parcels: &mut Parcels,
    ) {
        let connections = conns.iter().filter_map(|conn| self.by_conn.get(conn));
        Self::deliver_each(connections, kind, bytes, parcels);
    }

    pub(super) fn deliver_to_live(&self, kind: FrameKind, bytes: &Bytes, parcels: &mut Parcels) {
        let live = self.by_conn.values().filter(|connection| connection.live);
        Self::deliver_each(live, kind, bytes, parcels);
    }

    fn deliver_each<'a>(
        connections: impl Iterator<Item = &'a Connection>,
        kind: FrameKind,
        bytes: &Bytes,
        parcels: &mut Parcels,
    ) {
        for connection in connections {
            match &connection.relay {
                None => connection.sink.deliver(kind, bytes.clone()),
                Some(seat) => parcels.of(&seat.relay).gathered.push(seat.conn),
            }
        }
        parcels.frame(kind, bytes);
    }

    pub(super) fn close(&mut self, conn: ConnId, code: CloseCode, reason: String, parcels: &mut Parcels) {
        if let Some(connection) = self.remove(&conn) {
            connection.close(code, reason, parcels);
        }
    }

    pub(super) fn close_all(&mut self, code: CloseCode, reason: &str, parcels: &mut Parcels) {
        self.drain().for_each(|connection| connection.close(code, reason.to_owned(), parcels));
    }

    /// The sockets of these relays were attached again, with this number: what they missed comes with the turn that
    /// follows, and what the room sent before that is not for them.
    pub(super) fn are_behind(&mut self, relays: impl Iterator<Item = u128>, number: u64) {
        if !planted::is(Bug::TellsBeforeReattached) {
            self.behind.extend(relays.map(|relay| (relay, number)));
        }
    }

    /// What was made after the [`Reattach`](super::Reattach) of this number leaves from now on.
    pub(super) fn caught_up(&mut self, number: u64) {
        if !self.behind.is_empty() {
            self.behind.retain(|_, reattached| *reattached > number);
        }
    }

    /// Hands out what belongs to a step, with the record it rests on; None: what belongs to no step.
    pub(super) fn send(&self, parcels: Parcels, room: &RoomId, epoch: Epoch, seq: Option<Seq>) {
        for Parcel { id, relay, items, .. } in parcels.0 {
            let seq = seq.filter(|_| !self.behind.contains_key(&id));
            relay.batch(RelayBatch { room: room.clone(), epoch, seq, items });
        }
    }

    /// Makes an entry for every node that keeps sockets of this room.
    pub(super) fn all_relays(&self, parcels: &mut Parcels) {
        for seat in self.by_conn.values().filter_map(|connection| connection.relay.as_ref()) {
            parcels.of(&seat.relay);
        }
    }
}

impl Connection {
    fn close(self, code: CloseCode, reason: String, parcels: &mut Parcels) {
        match &self.relay {
            None => self.sink.close(code, &reason),
            Some(seat) => {
                let item = RelayItem::Close { conn: seat.conn, code, reason };
                parcels.of(&seat.relay).items.push(item);
            }
        }
    }
}

/// What leaves at one moment for other nodes. Nothing is allocated while there are none.
#[derive(Default)]
pub(super) struct Parcels(Vec<Parcel>);

pub(super) struct Parcel {
    id: u128,
    relay: Arc<dyn Relay>,
    items: Vec<RelayItem>,
    /// Sockets that get the frame being handed out.
    gathered: Vec<u64>,
}

impl Parcels {
    fn of(&mut self, relay: &Arc<dyn Relay>) -> &mut Parcel {
        let id = relay.id();
        // A handful of nodes: looking is cheaper than hashing.
        let at = self.0.iter().position(|parcel| parcel.id == id).unwrap_or_else(|| {
            let relay = Arc::clone(relay);
            self.0.push(Parcel { id, relay, items: Vec::new(), gathered: Vec::new() });
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    fn frame(&mut self, kind: FrameKind, bytes: &Bytes) {
        for parcel in self.0.iter_mut().filter(|parcel| !parcel.gathered.is_empty()) {
            let conns = std::mem::take(&mut parcel.gathered);
            parcel.items.push(RelayItem::Frame { conns, kind, bytes: bytes.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    #[derive(Default)]
    struct Positions(u128, Mutex<Vec<Option<Seq>>>);

    impl Relay for Positions {
        fn id(&self) -> u128 {
            self.0
        }

        fn batch(&self, batch: RelayBatch) {
            self.1.lock().push(batch.seq);
        }
    }

    struct Socket(Arc<Positions>);

    impl ClientSink for Socket {
        fn deliver(&self, kind: FrameKind, _bytes: Bytes) {
            panic!("a {kind:?} came around the relay");
        }

        fn close(&self, _code: CloseCode, reason: &str) {
            panic!("closed around the relay: {reason}");
        }

        fn relay(&self) -> Option<RelaySeat> {
            Some(RelaySeat { relay: Arc::clone(&self.0) as Arc<dyn Relay>, conn: 1 })
        }
    }

    #[test]
    fn what_was_made_before_a_reattachment_says_nothing_of_how_far_its_node_is() {
        let (back, stayed) =
            (Arc::new(Positions(1, Mutex::default())), Arc::new(Positions(2, Mutex::default())));
        let mut connections = Connections::default();
        for (conn, relay) in [(ConnId(1), &back), (ConnId(2), &stayed)] {
            let session = SessionId::new(format!("session{}", conn.0)).expect("an id");
            connections.insert(conn, Connection::new(session, Arc::new(Socket(Arc::clone(relay)))));
        }
        connections.are_behind([1].into_iter(), 2);
        for (seq, taken) in [(5, 1), (6, 2), (7, 2)] {
            connections.caught_up(taken);
            let mut parcels = Parcels::default();
            connections.all_relays(&mut parcels);
            connections.send(parcels, &RoomId::new("room").expect("an id"), Epoch(1), Some(Seq(seq)));
        }
        assert_eq!(*back.1.lock(), [None, Some(Seq(6)), Some(Seq(7))]);
        assert_eq!(*stayed.1.lock(), [5, 6, 7].map(|seq| Some(Seq(seq))));
    }
}
