//! Sockets that other nodes hold, in rooms of this node.
//!
//! ```text
//! Attach, Reattach -> mailbox of the room         room -> PeerRelay -> Delivery -> link
//! Push -> inlet of (node, room) -> mailbox
//! link down -> Detach: the clients are awaited, not gone
//! ```
//!
//! An inlet waits for a mailbox that is full, so that one room in trouble does not stop the link all rooms share. It holds
//! [`INLET`] commands; beyond them the client whose frame came is closed with a code that brings it back: its gateway
//! bounds what a client sends a second, so only a room that stands still gets there.

use super::seats::ATTACHMENT_BITS;
use crate::host::{Command, Reattach, ReattachSeat};
use crate::link::{ClientSink, Relay, RelayBatch, RelayItem, RelaySeat, insist};
use crate::planted::{self, Bug};
use crate::registry::RoomEntry;
use bytes::Bytes;
use everplay_cluster::{Control, Delivery, Item, Links, Message, SeatClaim, SeatKept};
use everplay_room::{ConnId, Connect, FrameKind, Input};
use everplay_types::{CloseCode, Epoch, Incarnation, RoomId, Seq};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// Commands that wait for one room from one node.
const INLET: usize = 4_096;

/// Bytes queued on a link from which on clients' sockets are not read.
pub(super) const LINK_FULL: usize = 8 << 20;

/// One socket of another node.
struct Guest {
    room: RoomId,
    conn: ConnId,
}

#[derive(Default)]
pub(super) struct Guests(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// By node and that node's number of the socket.
    guests: BTreeMap<(Incarnation, u64), Guest>,
    inlets: BTreeMap<(Incarnation, RoomId), Inlet>,
    /// How often a link to the node stood.
    links: BTreeMap<Incarnation, Arc<AtomicU64>>,
}

struct Inlet {
    queue: mpsc::Sender<Command>,
    entry: Arc<RoomEntry>,
    sockets: usize,
    /// Up to which record the node knows that its sockets were given everything: it said so, or was told.
    told: Arc<AtomicU64>,
}

/// The sockets of one node, as rooms see them.
struct PeerRelay {
    peer: Incarnation,
    /// Tells a link from the one before it.
    link: u64,
    /// The link that stands now. What a room that stood still meanwhile has for sockets as they were attached over an
    /// earlier one would tell their node that it has everything up to there.
    newest: Arc<AtomicU64>,
    told: Arc<AtomicU64>,
    links: Arc<dyn Links>,
}

impl Relay for PeerRelay {
    fn id(&self) -> u128 {
        u128::from_le_bytes(self.peer.0).wrapping_add(u128::from(self.link))
    }

    fn batch(&self, batch: RelayBatch) {
        if self.newest.load(Ordering::Acquire) != self.link && !planted::is(Bug::SpeaksOnLaterLinks) {
            return;
        }
        let RelayBatch { room, epoch, seq, items } = batch;
        if let Some(seq) = seq {
            self.told.store(seq.0, Ordering::Release);
        }
        let seq = seq.unwrap_or_else(|| Seq(self.told.load(Ordering::Acquire)));
        let items = items
            .into_iter()
            .map(|item| match item {
                RelayItem::Frame { conns, kind, bytes } => Item::Frame { conns, kind, bytes },
                RelayItem::Close { conn, code, reason } => Item::Close { conn, code, reason },
            })
            .collect();
        let message = Message::Delivery(Delivery { room, epoch, seq, items });
        // A link that broke is told of by its event; the node then says how far it came.
        let _ = self.links.send(self.peer, message.encode());
    }
}

/// One socket of another node, as its room sees it.
struct GuestSink {
    seat: RelaySeat,
    entry: Arc<RoomEntry>,
}

impl GuestSink {
    fn send(&self, item: RelayItem) {
        // Outside of the room's steps: the position the sockets have does not change.
        let (room, epoch) = (self.entry.id.clone(), self.entry.epoch());
        self.seat.relay.batch(RelayBatch { room, epoch, seq: None, items: vec![item] });
    }
}

impl ClientSink for GuestSink {
    fn deliver(&self, kind: FrameKind, bytes: Bytes) {
        self.send(RelayItem::Frame { conns: vec![self.seat.conn], kind, bytes });
    }

    fn close(&self, code: CloseCode, reason: &str) {
        self.send(RelayItem::Close { conn: self.seat.conn, code, reason: reason.to_owned() });
    }

    fn relay(&self) -> Option<RelaySeat> {
        Some(self.seat.clone())
    }

    /// Its node hears of the new owner from that one.
    fn moved(&self) {}
}

impl Guests {
    /// A link to the node stands: what comes over it is of another sitting.
    pub(super) fn link_up(&self, peer: Incarnation) {
        self.0.lock().links.entry(peer).or_default().fetch_add(1, Ordering::AcqRel);
    }

    /// The link broke: the node's clients are awaited.
    pub(super) fn link_down(&self, peer: Incarnation) {
        let mut inner = self.0.lock();
        let mut detached: BTreeMap<RoomId, Vec<ConnId>> = BTreeMap::new();
        inner.guests.retain(|(node, _), guest| {
            if *node == peer {
                detached.entry(guest.room.clone()).or_default().push(guest.conn);
            }
            *node != peer
        });
        let mut inlets = std::mem::take(&mut inner.inlets);
        inlets.retain(|(node, room), inlet| {
            if *node == peer
                && let Some(conns) = detached.remove(room)
            {
                // Behind what the inlet still holds; a room that is gone needs no word.
                let (queue, command) = (inlet.queue.clone(), Command::Detach(conns));
                tokio::spawn(async move { queue.send(command).await });
            }
            *node != peer
        });
        inner.inlets = inlets;
    }

    fn sink(
        links: &Arc<dyn Links>,
        inner: &Inner,
        peer: Incarnation,
        conn: u64,
        entry: &Arc<RoomEntry>,
    ) -> Arc<dyn ClientSink> {
        let newest = inner.links.get(&peer).map(Arc::clone).unwrap_or_default();
        let link = newest.load(Ordering::Acquire);
        let told = inner.inlets.get(&(peer, entry.id.clone())).map(|inlet| Arc::clone(&inlet.told));
        let told = told.unwrap_or_default();
        let relay = Arc::new(PeerRelay { peer, link, newest, told, links: Arc::clone(links) });
        Arc::new(GuestSink { seat: RelaySeat { relay, conn }, entry: Arc::clone(entry) })
    }

    /// A client on another node asks for its seat in a room here.
    pub(super) fn attach(
        &self,
        links: &Arc<dyn Links>,
        peer: Incarnation,
        entry: &Arc<RoomEntry>,
        claim: SeatClaim,
        conn: ConnId,
    ) {
        let mut inner = self.0.lock();
        inner.admit(peer, entry, claim.conn, conn);
        let sink = Self::sink(links, &inner, peer, claim.conn, entry);
        let command = Command::Attach { connect: connect(claim, conn), sink };
        inner.send(peer, &entry.id, command);
    }

    /// A node kept the sockets of a room that is here now.
    pub(super) fn reattach(
        &self,
        links: &Arc<dyn Links>,
        peer: Incarnation,
        entry: &Arc<RoomEntry>,
        (epoch, forwarded): (Epoch, Seq),
        kept: Vec<SeatKept>,
        next: &dyn Fn() -> ConnId,
    ) {
        let mut inner = self.0.lock();
        let mut seats = Vec::with_capacity(kept.len());
        for SeatKept { claim, acknowledged, full, inputs, input_time } in kept {
            let conn = next();
            inner.admit(peer, entry, claim.conn, conn);
            let sink = Self::sink(links, &inner, peer, claim.conn, entry);
            let connect = connect(SeatClaim { token: None, ..claim }, conn);
            seats.push(ReattachSeat { connect, sink, acknowledged, full, inputs, input_time });
        }
        if let Some(inlet) = inner.inlets.get(&(peer, entry.id.clone())) {
            inlet.told.store(forwarded.0, Ordering::Release);
        }
        inner.send(peer, &entry.id, Command::Reattach(Reattach { epoch, forwarded, seats, number: 0 }));
    }

    /// A frame of a client.
    pub(super) fn push(&self, links: &Arc<dyn Links>, peer: Incarnation, number: u64, bytes: Bytes) {
        let inner = self.0.lock();
        // None: a frame that was on its way when the socket was closed from here.
        let Some(guest) = inner.guests.get(&(peer, number)) else { return };
        let Some(inlet) = inner.inlets.get(&(peer, guest.room.clone())) else { return };
        let command = Command::Input(Input::Frame { conn: guest.conn, bytes });
        if let Err(mpsc::error::TrySendError::Full(_)) = inlet.queue.try_send(command) {
            let sink = Self::sink(links, &inner, peer, number, &inlet.entry);
            sink.close(CloseCode::MAY_TRY_RECONNECT, "the room does not keep up");
        }
    }

    pub(super) fn resync(&self, peer: Incarnation, number: u64) {
        let inner = self.0.lock();
        if let Some(guest) = inner.guests.get(&(peer, number))
            && let Some(inlet) = inner.inlets.get(&(peer, guest.room.clone()))
        {
            insist(&inlet.queue, Input::Resync { conn: guest.conn });
        }
    }

    pub(super) fn closed(&self, peer: Incarnation, number: u64, code: CloseCode) {
        let mut inner = self.0.lock();
        let Some(guest) = inner.guests.remove(&(peer, number)) else { return };
        let key = (peer, guest.room);
        if let Some(inlet) = inner.inlets.get_mut(&key) {
            insist(&inlet.queue, Input::Closed { conn: guest.conn, code });
            inlet.sockets = inlet.sockets.saturating_sub(1);
            if inlet.sockets == 0 {
                inner.inlets.remove(&key);
            }
        }
    }

    /// The nodes that hold sockets of a room.
    pub(super) fn nodes_of(&self, room: &RoomId) -> BTreeSet<Incarnation> {
        let inner = self.0.lock();
        inner.inlets.keys().filter(|(_, of)| of == room).map(|(node, _)| *node).collect()
    }

    /// The room ended here, or went elsewhere.
    pub(super) fn forget(&self, entry: &RoomEntry) {
        let mut inner = self.0.lock();
        let Inner { guests, inlets, .. } = &mut *inner;
        inlets.retain(|(_, room), inlet| {
            *room != entry.id || !inlet.entry.mailbox.same_channel(&entry.mailbox)
        });
        guests.retain(|(node, _), guest| {
            guest.room != entry.id || inlets.contains_key(&(*node, guest.room.clone()))
        });
    }
}

impl Inner {
    fn admit(&mut self, peer: Incarnation, entry: &Arc<RoomEntry>, number: u64, conn: ConnId) {
        let inlet = self.inlets.entry((peer, entry.id.clone())).or_insert_with(|| Inlet::new(entry));
        if !Arc::ptr_eq(&inlet.entry, entry) {
            // The room was here before, left, and came back.
            *inlet = Inlet::new(entry);
        }
        let first = number >> ATTACHMENT_BITS << ATTACHMENT_BITS;
        let last = first | ((1 << ATTACHMENT_BITS) - 1);
        let earlier = self.guests.range((peer, first)..=(peer, last)).next().map(|(key, _)| *key);
        let known = earlier.and_then(|key| self.guests.remove(&key));
        self.guests.insert((peer, number), Guest { room: entry.id.clone(), conn });
        if known.is_none() {
            inlet.sockets += 1;
        }
    }

    fn send(&self, peer: Incarnation, room: &RoomId, command: Command) {
        let Some(inlet) = self.inlets.get(&(peer, room.clone())) else { return };
        if let Err(mpsc::error::TrySendError::Full(command)) = inlet.queue.try_send(command) {
            let queue = inlet.queue.clone();
            tokio::spawn(async move { queue.send(command).await });
        }
    }
}

impl Inlet {
    fn new(entry: &Arc<RoomEntry>) -> Inlet {
        let (queue, mut waiting) = mpsc::channel(INLET);
        let room = entry.mailbox.clone();
        tokio::spawn(async move {
            while let Some(command) = waiting.recv().await {
                if room.send(command).await.is_err() {
                    return;
                }
            }
        });
        Inlet { queue, entry: Arc::clone(entry), sockets: 0, told: Arc::default() }
    }
}

/// A claim as the room's engine reads it.
pub(super) fn connect(claim: SeatClaim, conn: ConnId) -> Connect {
    Connect {
        conn,
        session: claim.session,
        token: claim.token,
        skip_handshake: claim.skip_handshake,
        dialect: claim.dialect,
    }
}

/// What a node is told that asks for a room which is not here.
pub(super) fn not_here(room: RoomId) -> Bytes {
    Message::Control(Control::NotHere { room }).encode()
}
