//! The sockets this node holds, whichever node runs their rooms.
//!
//! ```text
//! socket -> Seat.push -> mailbox of the room here | link to its owner | kept, while the owner is sought
//! room -> SeatSink (here) or Delivery (from its owner) -> socket
//!
//! group of a room:  Here | There --moved, link down, owner dead--> Lost --news of an owner--> re-attached
//!                   Here | There --Hold--> held --Resume | news of an owner--> ...
//! ```
//!
//! Invariants:
//! - All frames a client sends reach one owner after the other, in order: a seat's way is switched under its lock, and
//!   what came while there was no way goes first when there is one.
//! - Frames of an owner older than the newest one heard of are dropped.
//! - `forwarded` is the position up to which every live client of the group was given everything; the next owner goes on
//!   from there.
//!
//! Bounds: a seat keeps [`KEPT_FRAMES`] frames or [`KEPT_BYTES`] bytes, then its socket is not read. A group whose owner is
//! not found within [`SEEK`] has its sockets closed with a code that makes the SDKs come back by themselves.

use super::guests::{LINK_FULL, connect};
use crate::host::{Command, Reattach, ReattachSeat};
use crate::link::{Attach, ClientSink, PushError, insist};
use crate::planted::{self, Bug};
use crate::registry::RoomEntry;
use bytes::Bytes;
use everplay_cluster::{Control, Delivery, Item, Links, Message, RoomLine, SeatClaim, SeatKept};
use everplay_room::{ConnId, Connect, FrameKind, Input};
use everplay_types::{CloseCode, Epoch, Incarnation, RoomId, Seq};
use everplay_wire::{ClientFrame, InputClock, InputOptions, is_join_room};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Frames a seat keeps while its room's owner is sought: a second of a fast game.
const KEPT_FRAMES: usize = 64;
/// Bytes a seat keeps.
const KEPT_BYTES: usize = 64 << 10;
/// Low bits of a socket's number on a link that tell its attachments apart.
pub(super) const ATTACHMENT_BITS: u32 = 20;
/// How long an owner is sought: longer than a store's failover takes, shorter than players wait.
const SEEK: Duration = Duration::from_secs(15);

/// Where a room's owner is.
#[derive(Clone)]
pub(super) enum Owner {
    Here(Arc<RoomEntry>),
    There(Incarnation),
    Lost,
}

/// All sockets of one room on this node.
struct Group {
    owner: Owner,
    epoch: Epoch,
    forwarded: Seq,
    /// What its sockets were last attached again with: what a room here delivered before it took that is not theirs.
    reattached: u64,
    /// The owner asked to keep frames: it is about to hand the room over.
    held: bool,
    lost_at: Instant,
    seats: BTreeMap<u64, Arc<Seat>>,
}

/// The groups of this node.
pub(super) struct Seats {
    links: Arc<dyn Links>,
    groups: Mutex<BTreeMap<RoomId, Group>>,
    next: AtomicU64,
    /// Rooms whose owner here ended without closing its sockets.
    lost: mpsc::UnboundedSender<RoomId>,
}

/// One socket and its way into its room.
pub(crate) struct Seat {
    /// This node's number of it.
    number: u64,
    room: RoomId,
    attach: Attach,
    inputs: InputOptions,
    sink: Arc<dyn ClientSink>,
    links: Arc<dyn Links>,
    lost: mpsc::UnboundedSender<RoomId>,
    /// Raised at each change of owner: what an older attachment delivers is dropped.
    attachment: AtomicU64,
    /// JOIN_ROOM went out: the owner found the claim good.
    accepted: AtomicBool,
    /// A full state is owed to it: it acknowledged its join, or missed patches, and none has come since.
    awaits_state: AtomicBool,
    path: Mutex<Path>,
}

struct Path {
    way: Way,
    /// The way as it was when the owner asked to keep frames.
    held: Option<Way>,
    /// Taken by an owner that never looked at them, and therefore before those in `kept`.
    returned: VecDeque<Bytes>,
    kept: VecDeque<Bytes>,
    kept_bytes: usize,
    acknowledged: bool,
    inputs: u32,
    clock: InputClock,
    closed: bool,
}

#[derive(Clone)]
enum Way {
    Here { mailbox: mpsc::Sender<Command>, conn: ConnId },
    There(Incarnation),
    Nowhere,
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat").field("room", &self.room).field("number", &self.number).finish_non_exhaustive()
    }
}

/// A seat as the room's host here sees it, through one attachment.
struct SeatSink {
    seat: Arc<Seat>,
    attachment: u64,
}

impl SeatSink {
    fn is_current(&self) -> bool {
        self.seat.attachment.load(Ordering::Acquire) == self.attachment
    }
}

impl ClientSink for SeatSink {
    fn deliver(&self, kind: FrameKind, bytes: Bytes) {
        if self.is_current() {
            self.seat.deliver(kind, bytes);
        }
    }

    fn close(&self, code: CloseCode, reason: &str) {
        if self.is_current() {
            self.seat.sink.close(code, reason);
        }
    }

    fn outlives_owner(&self) -> bool {
        true
    }

    fn moved(&self) {
        if self.is_current() {
            self.seat.path.lock().way = Way::Nowhere;
            // The loop is gone only when the node is.
            let _ = self.seat.lost.send(self.seat.room.clone());
        }
    }

    fn unprocessed(&self, frame: Bytes) {
        if self.is_current() {
            self.seat.path.lock().take_back(frame, &self.seat.inputs);
        }
    }
}

impl Path {
    /// What the frame says about the client, once it is on its way.
    fn note(&mut self, frame: &Bytes, options: &InputOptions) {
        match ClientFrame::decode_with(frame, options) {
            Ok(ClientFrame::Ack) => self.acknowledged = true,
            Ok(ClientFrame::InputReliable { stamp, .. }) => {
                self.inputs = self.inputs.wrapping_add(1);
                if let Some(stamp) = stamp {
                    self.clock.advance(stamp);
                }
            }
            Ok(ClientFrame::InputUnreliable { inputs }) => {
                self.inputs = inputs.iter().map(|input| input.seq).fold(self.inputs, u32::max);
            }
            _ => {}
        }
    }

    /// Numbered inputs that fell with an owner were counted already; the client predicts over the gap.
    fn take_back(&mut self, frame: Bytes, options: &InputOptions) {
        let input = matches!(
            ClientFrame::decode_with(&frame, options),
            Ok(ClientFrame::InputReliable { .. } | ClientFrame::InputUnreliable { .. })
        );
        if !input && !self.closed {
            self.returned.push_back(frame);
        }
    }

    fn keep(&mut self, frame: Bytes) -> Result<(), PushError> {
        if self.kept.len() >= KEPT_FRAMES || self.kept_bytes + frame.len() > KEPT_BYTES {
            return Err(PushError::Full(frame));
        }
        self.kept_bytes += frame.len();
        self.kept.push_back(frame);
        Ok(())
    }
}

impl Seat {
    pub(crate) fn input_options(&self) -> InputOptions {
        self.inputs
    }

    pub(crate) fn push(&self, frame: Bytes) -> Result<(), PushError> {
        let mut path = self.path.lock();
        if path.closed {
            return Err(PushError::Closed);
        }
        if !path.kept.is_empty() || !path.returned.is_empty() {
            // A flush stopped at a full queue: go on with it first.
            self.flush(&mut path);
        }
        if !path.kept.is_empty() || !path.returned.is_empty() {
            return path.keep(frame);
        }
        match self.send(&mut path, frame) {
            Ok(()) => Ok(()),
            Err(PushError::Closed) => unreachable!("a way that ended keeps the frame"),
            Err(full) => Err(full),
        }
    }

    /// Sends one frame on its way, or keeps it when there is none.
    fn send(&self, path: &mut Path, frame: Bytes) -> Result<(), PushError> {
        if !path.acknowledged && matches!(ClientFrame::decode(&frame), Ok(ClientFrame::Ack)) {
            // Before the frame is on its way: the state may come at once.
            self.awaits_state.store(true, Ordering::Release);
        }
        match path.way.clone() {
            Way::Here { mailbox, conn } => {
                let command = Command::Input(Input::Frame { conn, bytes: frame.clone() });
                match mailbox.try_send(command) {
                    Ok(()) => {
                        path.note(&frame, &self.inputs);
                        Ok(())
                    }
                    Err(mpsc::error::TrySendError::Full(_)) => Err(PushError::Full(frame)),
                    Err(mpsc::error::TrySendError::Closed(_)) => {
                        path.way = Way::Nowhere;
                        path.keep(frame)
                    }
                }
            }
            Way::There(peer) => {
                if self.links.queued(peer) > LINK_FULL {
                    return Err(PushError::Full(frame));
                }
                let message = Message::Push { conn: self.wire_number(), bytes: frame.clone() };
                if self.links.send(peer, message.encode()).is_err() {
                    path.way = Way::Nowhere;
                    return path.keep(frame);
                }
                path.note(&frame, &self.inputs);
                Ok(())
            }
            Way::Nowhere => path.keep(frame),
        }
    }

    /// Sends what was kept, as far as it goes.
    fn flush(&self, path: &mut Path) {
        while !matches!(path.way, Way::Nowhere) {
            let (frame, returned) = match path.returned.pop_front() {
                Some(frame) => (frame, true),
                None => match path.kept.pop_front() {
                    Some(frame) => (frame, false),
                    None => return,
                },
            };
            if !returned {
                path.kept_bytes -= frame.len();
                if planted::is(Bug::SendsKeptTwice) {
                    // Whether it goes is of no matter here.
                    let _ = self.send(path, frame.clone());
                }
            }
            let len = path.kept.len();
            let unsent = match self.send(path, frame) {
                // The way ended with this frame: it was kept at the end and belongs to the front.
                Ok(()) if path.kept.len() > len => path.kept.pop_back().inspect(|frame| {
                    path.kept_bytes -= frame.len();
                }),
                Ok(()) => None,
                Err(PushError::Full(frame)) => Some(frame),
                Err(PushError::Closed) => return,
            };
            if let Some(frame) = unsent {
                if returned {
                    path.returned.push_front(frame);
                } else {
                    path.kept_bytes += frame.len();
                    path.kept.push_front(frame);
                }
                return;
            }
        }
    }

    fn deliver(&self, kind: FrameKind, bytes: Bytes) {
        if kind == FrameKind::Message && is_join_room(&bytes) {
            self.accepted.store(true, Ordering::Release);
        }
        if kind == FrameKind::State {
            self.awaits_state.store(false, Ordering::Release);
        }
        self.sink.deliver(kind, bytes);
    }

    /// Asks for one full state, because patches were dropped.
    pub(crate) fn resync(&self) {
        let path = self.path.lock();
        // An owner that does not live to answer leaves the debt to the next one.
        self.awaits_state.store(true, Ordering::Release);
        match &path.way {
            Way::Here { mailbox, conn } => insist(mailbox, Input::Resync { conn: *conn }),
            Way::There(peer) => self.tell(*peer, Control::Resync { conn: self.wire_number() }),
            Way::Nowhere => false,
        };
    }

    /// The socket is gone.
    fn closed(&self, code: CloseCode) {
        let mut path = self.path.lock();
        if std::mem::replace(&mut path.closed, true) {
            return;
        }
        // Without a way the next owner waits for this client in vain, and then drops it.
        match std::mem::replace(&mut path.way, Way::Nowhere) {
            Way::Here { mailbox, conn } => insist(&mailbox, Input::Closed { conn, code }),
            Way::There(peer) => self.tell(peer, Control::Closed { conn: self.wire_number(), code }),
            Way::Nowhere => false,
        };
    }

    /// The socket's number on a link: another one at each attachment, so that what an owner sends to an earlier one, over
    /// whichever link, is known for what it is.
    fn wire_number(&self) -> u64 {
        let attachment = self.attachment.load(Ordering::Acquire);
        self.number << ATTACHMENT_BITS | (attachment & ((1 << ATTACHMENT_BITS) - 1))
    }

    fn tell(&self, peer: Incarnation, control: Control) -> bool {
        self.links.send(peer, Message::Control(control).encode()).is_ok()
    }

    fn claim(&self, token: Option<String>) -> SeatClaim {
        SeatClaim {
            conn: self.wire_number(),
            session: self.attach.session.clone(),
            token,
            skip_handshake: self.attach.skip_handshake,
            dialect: self.attach.dialect,
        }
    }

    fn connect(&self, conn: ConnId, token: Option<String>) -> Connect {
        connect(self.claim(token), conn)
    }
}

/// Numbers connections for the rooms of this node.
pub(super) type NextConn<'a> = &'a dyn Fn() -> ConnId;

impl Seats {
    pub(super) fn new(links: Arc<dyn Links>, lost: mpsc::UnboundedSender<RoomId>) -> Seats {
        Seats { links, groups: Mutex::default(), next: AtomicU64::new(1), lost }
    }

    /// Takes a socket to its room, whose owner is known. The room answers through the sink.
    pub(super) fn attach(
        &self,
        attach: Attach,
        sink: Arc<dyn ClientSink>,
        owner: Owner,
        line: &RoomLine,
        conn: ConnId,
    ) -> Arc<Seat> {
        let inputs = InputOptions::decode(&line.inputs).unwrap_or_default();
        let seat = Arc::new(Seat {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            room: attach.room.clone(),
            attach,
            inputs,
            sink,
            links: Arc::clone(&self.links),
            lost: self.lost.clone(),
            attachment: AtomicU64::new(0),
            accepted: AtomicBool::new(false),
            awaits_state: AtomicBool::new(false),
            path: Mutex::new(Path {
                way: Way::Nowhere,
                held: None,
                returned: VecDeque::new(),
                kept: VecDeque::new(),
                kept_bytes: 0,
                acknowledged: false,
                inputs: 0,
                clock: InputClock::default(),
                closed: false,
            }),
        });
        let mut groups = self.groups.lock();
        let group = groups.entry(seat.room.clone()).or_insert_with(|| Group {
            owner: owner.clone(),
            epoch: line.epoch,
            forwarded: Seq::ZERO,
            reattached: 0,
            held: false,
            lost_at: Instant::now(),
            seats: BTreeMap::new(),
        });
        group.seats.insert(seat.number, Arc::clone(&seat));
        if !group.held {
            let lost = !self.claim(group, &seat, conn);
            if lost {
                group.lose();
            }
        }
        seat
    }

    /// Sends a claim that no owner has found good yet. False: the owner cannot be reached.
    fn claim(&self, group: &Group, seat: &Arc<Seat>, conn: ConnId) -> bool {
        let mut path = seat.path.lock();
        let attachment = seat.attachment.fetch_add(1, Ordering::AcqRel) + 1;
        let token = seat.attach.token.clone();
        match &group.owner {
            Owner::Here(entry) => {
                let sink = Arc::new(SeatSink { seat: Arc::clone(seat), attachment });
                let command = Command::Attach { connect: seat.connect(conn, token), sink };
                if entry.mailbox.try_send(command).is_err() {
                    return false;
                }
                path.way = Way::Here { mailbox: entry.mailbox.clone(), conn };
            }
            Owner::There(peer) => {
                let control = Control::Attach { room: seat.room.clone(), claim: seat.claim(token) };
                if !seat.tell(*peer, control) {
                    return false;
                }
                path.way = Way::There(*peer);
            }
            Owner::Lost => return false,
        }
        seat.flush(&mut path);
        true
    }

    /// The socket of a seat is gone.
    pub(crate) fn closed(&self, seat: &Seat, code: CloseCode) {
        seat.closed(code);
        let mut groups = self.groups.lock();
        if let Some(group) = groups.get_mut(&seat.room) {
            group.seats.remove(&seat.number);
            if group.seats.is_empty() {
                groups.remove(&seat.room);
            }
        }
    }

    /// Frames from the owner of a room, on its link.
    pub(super) fn delivery(&self, from: Incarnation, delivery: Delivery) {
        let mut going = Vec::new();
        {
            let mut groups = self.groups.lock();
            let Some(group) = groups.get_mut(&delivery.room) else { return };
            let old = || delivery.epoch < group.epoch || !group.is_of(Some(from));
            // The owner had not read yet that these sockets were attached anew, and goes on from where they stood.
            let stale = || delivery.items.iter().any(|item| group.is_stale(item));
            if old() || (stale() && !planted::is(Bug::TakesOldAttachments)) {
                metrics::counter!(crate::metrics::STALE_FRAMES).increment(delivery.items.len() as u64);
                return;
            }
            group.epoch = delivery.epoch;
            group.forwarded = delivery.seq;
            for item in delivery.items {
                match item {
                    Item::Frame { conns, kind, bytes } => {
                        for conn in conns {
                            if let Some(seat) = group.seats.get(&(conn >> ATTACHMENT_BITS)) {
                                going.push((Arc::clone(seat), Ok((kind, bytes.clone()))));
                            }
                        }
                    }
                    Item::Close { conn, code, reason } => {
                        if let Some(seat) = group.seats.remove(&(conn >> ATTACHMENT_BITS)) {
                            going.push((seat, Err((code, reason))));
                        }
                    }
                }
            }
            if group.seats.is_empty() {
                groups.remove(&delivery.room);
            }
        }
        for (seat, what) in going {
            match what {
                Ok((kind, bytes)) => seat.deliver(kind, bytes),
                Err((code, reason)) => {
                    seat.path.lock().way = Way::Nowhere;
                    seat.sink.close(code, &reason);
                }
            }
        }
    }

    /// News of a room's owner. Takes the sockets there if it is a later one, or the one that was lost is back.
    pub(super) fn owner(&self, room: &RoomId, owner: Owner, epoch: Epoch, conn: NextConn<'_>) {
        let mut groups = self.groups.lock();
        let Some(group) = groups.get_mut(room) else { return };
        let lost = matches!(group.owner, Owner::Lost);
        let elsewhere = match (&group.owner, &owner) {
            (Owner::Here(old), Owner::Here(new)) => !Arc::ptr_eq(old, new),
            (Owner::There(old), Owner::There(new)) => old != new,
            _ => true,
        };
        let later = epoch > group.epoch && elsewhere;
        if later || (epoch == group.epoch && (lost || (group.held && elsewhere))) {
            self.reattach(room, group, owner, epoch, conn);
        } else if epoch > group.epoch {
            group.epoch = epoch;
        }
    }

    /// Tries an owner that nobody told of: the arbiter names it.
    pub(super) fn try_owner(&self, room: &RoomId, owner: Owner, epoch: Epoch, conn: NextConn<'_>) {
        let mut groups = self.groups.lock();
        let Some(group) = groups.get_mut(room) else { return };
        if matches!(group.owner, Owner::Lost) && epoch >= group.epoch {
            self.reattach(room, group, owner, epoch, conn);
        }
    }

    fn reattach(&self, room: &RoomId, group: &mut Group, owner: Owner, epoch: Epoch, conn: NextConn<'_>) {
        group.note_forwarded();
        if planted::is(Bug::ForwardedLess) {
            group.forwarded.0 = group.forwarded.0.saturating_sub(1);
        } else if planted::is(Bug::ForwardedMore) {
            group.forwarded.0 += 1;
        }
        let (accepted, claims): (Vec<_>, Vec<_>) =
            group.seats.values().cloned().partition(|seat| seat.accepted.load(Ordering::Acquire));
        let last = group.epoch;
        group.held = false;
        // Every path is locked before the first message, so that no client's frame can come before its seat.
        let mut paths: Vec<_> = accepted.iter().map(|seat| seat.path.lock()).collect();
        paths.iter_mut().for_each(|path| path.held = None);
        let told = match &owner {
            Owner::Here(entry) => {
                let mut seats = Vec::new();
                for (seat, path) in accepted.iter().zip(&mut paths) {
                    let conn = conn();
                    let attachment = seat.attachment.fetch_add(1, Ordering::AcqRel) + 1;
                    path.way = Way::Here { mailbox: entry.mailbox.clone(), conn };
                    seats.push(ReattachSeat {
                        connect: seat.connect(conn, None),
                        sink: Arc::new(SeatSink { seat: Arc::clone(seat), attachment }),
                        acknowledged: path.acknowledged,
                        full: seat.awaits_state.load(Ordering::Acquire),
                        inputs: path.inputs,
                        input_time: path.clock.time(),
                    });
                }
                group.reattached = self.next.fetch_add(1, Ordering::Relaxed);
                let (forwarded, number) = (group.forwarded, group.reattached);
                let command = Command::Reattach(Reattach { epoch: last, forwarded, seats, number });
                entry.mailbox.try_send(command).is_ok()
            }
            Owner::There(peer) => {
                let mut seats = Vec::new();
                for (seat, path) in accepted.iter().zip(&mut paths) {
                    seat.attachment.fetch_add(1, Ordering::AcqRel);
                    path.way = Way::There(*peer);
                    seats.push(SeatKept {
                        claim: seat.claim(None),
                        acknowledged: path.acknowledged,
                        full: seat.awaits_state.load(Ordering::Acquire),
                        inputs: path.inputs,
                        input_time: path.clock.time(),
                    });
                }
                let control =
                    Control::Reattach { room: room.clone(), epoch: last, forwarded: group.forwarded, seats };
                self.links.send(*peer, Message::Control(control).encode()).is_ok()
            }
            Owner::Lost => false,
        };
        let (kept, new) = (accepted.len(), claims.len());
        tracing::debug!(room.id = %room, told, kept, new, forwarded = %group.forwarded, "sockets go to an owner");
        if !told {
            paths.iter_mut().for_each(|path| path.way = Way::Nowhere);
            drop(paths);
            group.lose();
            return;
        }
        for (seat, path) in accepted.iter().zip(&mut paths) {
            seat.flush(path);
        }
        drop(paths);
        group.owner = owner;
        group.epoch = epoch;
        for seat in claims {
            if !self.claim(group, &seat, conn()) {
                group.lose();
                return;
            }
        }
    }

    /// A room's owner here went away without closing its sockets, or a node says it does not have the room.
    pub(super) fn lose(&self, room: &RoomId, owner: Option<Incarnation>) {
        let mut groups = self.groups.lock();
        let Some(group) = groups.get_mut(room) else { return };
        // Word of a host that ended here may come when the sockets are at the next one already.
        let gone = match &group.owner {
            Owner::Here(entry) => entry.mailbox.is_closed() || group.has_lost_ways(),
            Owner::There(_) | Owner::Lost => true,
        };
        if group.is_of(owner) && gone {
            group.lose();
        }
    }

    /// The link to a node broke, or the node died: nothing of its rooms comes from there for now.
    pub(super) fn lose_all(&self, owner: Incarnation) {
        let mut groups = self.groups.lock();
        for group in groups.values_mut() {
            if group.is_of(Some(owner)) {
                group.lose();
            }
        }
    }

    /// Keeps frames for a room from now on, if it is its owner that asks; None: this node.
    pub(super) fn hold(&self, room: &RoomId, by: Option<Incarnation>) {
        let mut groups = self.groups.lock();
        let Some(group) = groups.get_mut(room) else { return };
        if group.is_of(by) {
            group.held = true;
            for seat in group.seats.values() {
                let mut path = seat.path.lock();
                let way = std::mem::replace(&mut path.way, Way::Nowhere);
                path.held = Some(way);
            }
        }
    }

    /// The room stays where it is: what was kept goes there.
    pub(super) fn resume(&self, room: &RoomId, by: Option<Incarnation>, conn: NextConn<'_>) {
        let mut groups = self.groups.lock();
        let Some(group) = groups.get_mut(room) else { return };
        if !group.is_of(by) || !std::mem::take(&mut group.held) {
            return;
        }
        let mut late = Vec::new();
        for seat in group.seats.values() {
            let mut path = seat.path.lock();
            match path.held.take() {
                Some(way) => {
                    path.way = way;
                    seat.flush(&mut path);
                }
                // It came while frames were kept.
                None => late.push(Arc::clone(seat)),
            }
        }
        for seat in late {
            if !self.claim(group, &seat, conn()) {
                return group.lose();
            }
        }
    }

    /// Rooms whose owner is sought. Those sought for too long have their sockets closed.
    pub(super) fn seeking(&self) -> Vec<RoomId> {
        let mut given_up = Vec::new();
        let seeking = {
            let mut groups = self.groups.lock();
            groups.retain(|room, group| {
                let over = matches!(group.owner, Owner::Lost) && group.lost_at.elapsed() >= SEEK;
                if over {
                    tracing::warn!(room.id = %room, "no node has the room; its sockets are closed");
                    given_up.extend(std::mem::take(&mut group.seats).into_values());
                }
                !over
            });
            let lost = groups.iter().filter(|(_, group)| matches!(group.owner, Owner::Lost));
            lost.map(|(room, _)| room.clone()).collect()
        };
        for seat in given_up {
            seat.sink.close(CloseCode::MAY_TRY_RECONNECT, "the room is being moved");
        }
        seeking
    }

    /// Sockets held, and how many of them wait for an owner.
    pub(super) fn count(&self) -> (usize, usize) {
        let groups = self.groups.lock();
        let all = groups.values().map(|group| group.seats.len()).sum();
        let lost = groups.values().filter(|group| matches!(group.owner, Owner::Lost));
        (all, lost.map(|group| group.seats.len()).sum())
    }
}

impl Group {
    /// Whether `node` runs the room; None: this one.
    fn is_of(&self, node: Option<Incarnation>) -> bool {
        match (&self.owner, node) {
            (Owner::There(peer), Some(node)) => *peer == node,
            (Owner::Here(_), None) => true,
            _ => false,
        }
    }

    /// For an attachment that is over.
    fn is_stale(&self, item: &Item) -> bool {
        let stale = |conn: &u64| {
            let seat = self.seats.get(&(conn >> ATTACHMENT_BITS));
            seat.is_some_and(|seat| seat.wire_number() != *conn)
        };
        match item {
            Item::Frame { conns, .. } => conns.iter().any(stale),
            Item::Close { conn, .. } => stale(conn),
        }
    }

    /// What the room here has delivered is known to its entry.
    fn note_forwarded(&mut self) {
        if let Owner::Here(entry) = &self.owner
            && (entry.reattached.load(Ordering::Acquire) >= self.reattached
                || planted::is(Bug::CountsBeforeReattached))
        {
            self.forwarded = Seq(entry.delivered.load(Ordering::Acquire));
        }
    }

    fn lose(&mut self) {
        if matches!(self.owner, Owner::Lost) {
            return;
        }
        self.note_forwarded();
        self.owner = Owner::Lost;
        self.held = false;
        self.lost_at = Instant::now();
        for seat in self.seats.values() {
            seat.attachment.fetch_add(1, Ordering::AcqRel);
            let mut path = seat.path.lock();
            (path.way, path.held) = (Way::Nowhere, None);
        }
    }

    fn has_lost_ways(&self) -> bool {
        self.seats.values().any(|seat| matches!(seat.path.lock().way, Way::Nowhere))
    }
}
