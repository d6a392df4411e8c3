//! This node among others.
//!
//! ```text
//! links -> events -> loop: members (who lives), view (who has which room), seats (sockets here), guests (rooms here)
//! arbiter -> roster, once a second                        registry -> what changed here -> told to all
//! ```
//!
//! One task takes every event in order; what takes long (questions, take-overs, hand-overs) runs beside it. The rules are in
//! [`everplay_cluster`]; this module carries them out.
//!
//! What must hold: a room's frames reach a socket only through the newest owner that socket's node has heard of
//! ([`seats`]); a room of a dead node is granted, sealed, read and live on one survivor ([`takeover`]); a room that moves
//! loses nothing and nobody ([`handover`]).

mod asks;
mod guests;
mod handover;
mod info;
mod placing;
mod seats;
mod takeover;
mod view;

use asks::AskError;
pub use handover::MoveError;
pub use info::{ClusterHandle, ClusterRoom, NodeInfo};
pub(crate) use placing::Elsewhere;
pub(crate) use seats::Seat;

use crate::host::Command;
use crate::link::{Attach, AttachError, ClientSink, RoomLink};
use crate::node::Node;
use crate::planted::{self, Bug};
use crate::recovery::Restored;
use crate::registry::{News, RoomEntry};
use asks::Asks;
use everplay_cluster::{
    Candidate, Control, Effect, LinkEvent, Links, Members, Message, RoomLine, Row, Timing,
};
use everplay_live::{ArbiterError, NodeLease, NodeRow, NodeState};
use everplay_types::{CloseCode, Incarnation, Millis, RoomId, RoomKey};
use guests::{Guests, not_here};
use parking_lot::Mutex;
use seats::{Owner, Seats};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};
use view::View;

/// Between two looks at who is silent.
const TICK: Duration = Duration::from_millis(50);
/// Between two readings of the arbiter's list of nodes: how long a new node waits for the others to answer it.
const ROSTER: Duration = Duration::from_millis(500);
/// Between two renewals of this node's row.
const RENEW: Duration = Duration::from_secs(2);
/// Between two searches for owners of rooms whose sockets wait here.
const SEEK_EVERY: Duration = Duration::from_millis(250);
/// Between two sweeps for rooms that belong to nobody.
const SWEEP: Duration = Duration::from_secs(10);
/// How long a socket waits for news of a room that its node has not heard of.
const NEWS: Duration = Duration::from_millis(300);

/// What makes a node one of several.
pub struct ClusterParts {
    /// To the other nodes.
    pub links: Arc<dyn Links>,
    /// What happens on them.
    pub events: mpsc::UnboundedReceiver<LinkEvent>,
    /// How this node is listed. Its incarnation is the node's.
    pub row: NodeRow,
    /// When others count as dead.
    pub timing: Timing,
}

/// What a node knows of the others.
pub(crate) struct Cluster {
    links: Arc<dyn Links>,
    members: Mutex<Members>,
    view: Mutex<View>,
    seats: Seats,
    guests: Guests,
    asks: Asks,
    holds: Holds,
    /// Rooms granted to this node that it may not run yet.
    strays: Mutex<BTreeSet<RoomKey>>,
    row: NodeRow,
    start: Instant,
    draining: AtomicBool,
    /// Rooms that are being brought here.
    pub(crate) adopting: Mutex<BTreeSet<RoomId>>,
    /// Rooms the others were told of.
    told_rooms: AtomicU32,
    /// Raised when a room was heard of.
    heard_of: watch::Sender<u64>,
    inputs: Mutex<Option<Inputs>>,
}

/// What the loop listens to; taken when it starts.
struct Inputs {
    events: mpsc::UnboundedReceiver<LinkEvent>,
    news: mpsc::UnboundedReceiver<News>,
    lost: mpsc::UnboundedReceiver<RoomId>,
}

/// Hand-overs that wait for gateways to keep their clients' frames back.
#[derive(Default)]
struct Holds(Mutex<BTreeMap<RoomId, Hold>>);

struct Hold {
    waiting: BTreeSet<Incarnation>,
    done: Option<oneshot::Sender<()>>,
}

impl Holds {
    fn begin(&self, room: &RoomId, gateways: BTreeSet<Incarnation>) -> oneshot::Receiver<()> {
        let (done, held) = oneshot::channel();
        let mut holds = self.0.lock();
        if gateways.is_empty() {
            // Nobody to wait for; a receiver that went away is a hand-over that ended.
            let _ = done.send(());
        } else {
            holds.insert(room.clone(), Hold { waiting: gateways, done: Some(done) });
        }
        held
    }

    fn held(&self, room: &RoomId, gateway: Incarnation) {
        let mut holds = self.0.lock();
        if let Some(hold) = holds.get_mut(room) {
            hold.waiting.remove(&gateway);
            if hold.waiting.is_empty()
                && let Some(done) = hold.done.take()
            {
                let _ = done.send(());
            }
        }
    }

    fn link_down(&self, gateway: Incarnation) {
        let rooms: Vec<RoomId> = self.0.lock().keys().cloned().collect();
        rooms.iter().for_each(|room| self.held(room, gateway));
    }

    fn end(&self, room: &RoomId) {
        self.0.lock().remove(room);
    }
}

impl Cluster {
    pub(crate) fn new(parts: ClusterParts, registry: &crate::registry::Registry) -> Cluster {
        let (listener, news) = mpsc::unbounded_channel();
        registry.watch(listener);
        let (lost_sender, lost) = mpsc::unbounded_channel();
        Cluster {
            seats: Seats::new(Arc::clone(&parts.links), lost_sender),
            links: parts.links,
            members: Mutex::new(Members::new(parts.row.incarnation, parts.timing)),
            view: Mutex::default(),
            guests: Guests::default(),
            asks: Asks::default(),
            holds: Holds::default(),
            strays: Mutex::default(),
            adopting: Mutex::default(),
            row: parts.row,
            start: Instant::now(),
            draining: AtomicBool::new(false),
            told_rooms: AtomicU32::new(0),
            heard_of: watch::Sender::new(0),
            inputs: Mutex::new(Some(Inputs { events: parts.events, news, lost })),
        }
    }

    fn now(&self) -> Millis {
        Millis(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    fn tell_all(&self, control: Control) {
        let message = Message::Control(control).encode();
        let peers: Vec<Incarnation> = self
            .members
            .lock()
            .alive()
            .filter(|member| member.linked)
            .map(|member| member.row.node)
            .collect();
        for peer in peers {
            // Whoever has no link now is told everything when it has one.
            let _ = self.links.send(peer, message.clone());
        }
    }
}

fn row_of(lease: NodeLease) -> Row {
    Row {
        node: lease.row.incarnation,
        address: lease.row.address,
        process: lease.row.process_id.to_string(),
        http: lease.row.http,
        version: lease.row.version,
        zone: lease.row.zone,
        draining: lease.state.draining,
        rooms: lease.state.rooms,
        age: u64::try_from(lease.age.as_millis()).unwrap_or(u64::MAX),
    }
}

impl Node {
    pub(crate) fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// Nodes that can take rooms; this one among them unless it drains.
    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        let Some(cluster) = self.cluster() else { return Vec::new() };
        let members = cluster.members.lock();
        let mut candidates: Vec<Candidate> = members
            .alive()
            .filter(|member| member.linked && !member.row.draining)
            .map(|member| Candidate { node: member.row.node, rooms: member.row.rooms, near: false })
            .collect();
        if !cluster.is_draining() {
            candidates.push(Candidate { node: self.incarnation, rooms: self.rooms(), near: false });
        }
        candidates
    }

    /// The same, for the rooms of a node that was lost.
    pub(crate) fn heirs(&self, candidates: &[Candidate], lost: Incarnation) -> Vec<Candidate> {
        let Some(cluster) = self.cluster() else { return candidates.to_vec() };
        let members = cluster.members.lock();
        let zone = |node: Incarnation| {
            let zone = if node == self.incarnation {
                Some(cluster.row.zone.as_str())
            } else {
                members.get(node).map(|member| member.row.zone.as_str())
            };
            zone.filter(|zone| !zone.is_empty())
        };
        let struck = zone(lost);
        let near = |node| struck.is_some() && zone(node) == struck;
        candidates.iter().map(|heir| Candidate { near: near(heir.node), ..*heir }).collect()
    }

    fn rooms(&self) -> u32 {
        u32::try_from(self.registry.len()).unwrap_or(u32::MAX)
    }

    fn hello(&self) -> Control {
        Control::Hello {
            process: self.options.process_id.to_string(),
            draining: self.cluster().is_some_and(Cluster::is_draining),
            rooms: self.rooms(),
        }
    }

    /// Tells the others how many rooms there are here, when that has changed.
    fn tell_count(&self) {
        let Some(cluster) = self.cluster() else { return };
        if cluster.told_rooms.swap(self.rooms(), Ordering::AcqRel) != self.rooms() {
            cluster.tell_all(self.hello());
        }
    }

    /// A room of this node as the others are told of it.
    pub(crate) fn line(&self, entry: &RoomEntry) -> RoomLine {
        RoomLine {
            id: entry.id.clone(),
            kind: entry.kind.to_string(),
            epoch: entry.epoch(),
            created_at: entry.created_at,
            filters: entry.filters.clone(),
            listing: entry.listing(),
            messages_per_second: entry.messages_per_second,
            inputs: entry.inputs.encode(),
            seq: entry.seq(),
        }
    }

    fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let mut ended = self.ended.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                _ = ended.wait_for(|ended| *ended) => {}
                () = work => {}
            }
        });
    }

    /// Joins the others: from here on this node is listed, linked and listening.
    pub(crate) async fn join_cluster(self: &Arc<Self>) -> Result<Restored, ArbiterError> {
        let began = Instant::now();
        let mut restored = Restored::default();
        let Some(cluster) = self.cluster() else { return Ok(restored) };
        // A first start may come before the arbiter answers; nothing can be owned without it.
        let roster = loop {
            let listed = match self.arbiter.join(cluster.row.clone()).await {
                Ok(()) => self.arbiter.nodes().await,
                Err(error) => Err(error),
            };
            match listed {
                Ok(roster) => break roster,
                Err(ArbiterError::Later) => tokio::time::sleep(Duration::from_millis(100)).await,
                Err(error) => return Err(error),
            }
        };
        // Only now, so that a node that could not join may try again.
        let Some(inputs) = cluster.inputs.lock().take() else { return Ok(restored) };
        let node = Arc::clone(self);
        self.roster(roster);
        self.spawn(async move { node.run_cluster(inputs).await });
        let node = Arc::clone(self);
        self.spawn(async move { node.keep_listed().await });
        self.spawn(Arc::clone(self).keep_strays());
        // Until every listed node is linked or found dead; a node that is neither is dealt with later.
        let settled = async {
            let mut round = tokio::time::interval(Duration::from_millis(10));
            loop {
                round.tick().await;
                let members = cluster.members.lock();
                if members.all().all(|member| member.linked || member.dead) {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(Duration::from_millis(1_000), settled).await;
        restored.rooms = takeover::take_orphans(self, 0).await;
        restored.took = began.elapsed();
        Ok(restored)
    }

    /// Hands every room over, as far as the time allows. Answers how many went.
    pub(crate) async fn leave_rooms(self: &Arc<Self>, until: Instant) -> usize {
        if self.cluster().is_none() {
            return 0;
        }
        self.set_draining(true);
        self.hand_over_all(until).await
    }

    /// Takes this node off the list: others need not wait for its silence.
    pub(crate) async fn leave_cluster(&self) {
        if self.cluster().is_some()
            && let Err(error) = self.arbiter.leave(self.incarnation).await
        {
            tracing::warn!(%error, "this node stays listed until its lease is over");
        }
    }

    /// Renews this node's row and reads the others'.
    async fn keep_listed(self: Arc<Self>) {
        let Some(cluster) = self.cluster() else { return };
        let mut renew = every(RENEW);
        let mut roster = every(ROSTER);
        let mut sweep = every(SWEEP);
        let mut sweeps = 0;
        loop {
            tokio::select! {
                biased;
                _ = renew.tick() => {
                    let state = NodeState {
                        draining: cluster.is_draining(),
                        rooms: self.rooms(),
                    };
                    match self.arbiter.renew(self.incarnation, state).await {
                        Ok(()) => {}
                        Err(ArbiterError::NotListed) => {
                            tracing::warn!("others took this node for dead; it is listed again");
                            if let Err(error) = self.arbiter.join(cluster.row.clone()).await {
                                tracing::warn!(%error, "this node is not listed");
                            }
                        }
                        Err(error) => tracing::debug!(%error, "this node's row was not renewed"),
                    }
                }
                _ = roster.tick() => match self.arbiter.nodes().await {
                    Ok(leases) => self.roster(leases),
                    Err(error) => tracing::debug!(%error, "the nodes cannot be listed"),
                },
                _ = sweep.tick() => {
                    takeover::take_orphans(&self, sweeps).await;
                    sweeps += 1;
                }
            }
        }
    }

    fn roster(self: &Arc<Self>, leases: Vec<NodeLease>) {
        let Some(cluster) = self.cluster() else { return };
        let effects = cluster.members.lock().roster(leases.into_iter().map(row_of).collect(), cluster.now());
        self.apply(effects);
    }

    fn apply(self: &Arc<Self>, effects: Vec<Effect>) {
        let Some(cluster) = self.cluster() else { return };
        for effect in effects {
            match effect {
                Effect::Connect { node, address } => cluster.links.connect(node, address),
                Effect::Forget(node) => cluster.links.forget(node),
                Effect::Tell { node, silent } => cluster.tell_all(Control::Suspect { node, silent }),
                Effect::Dead(dead) => {
                    if cluster.members.lock().get(dead).is_some_and(|member| member.row.draining) {
                        tracing::info!(node = %dead, "a node that was drained is gone");
                    } else {
                        tracing::warn!(node = %dead, "a node died; its rooms are taken over");
                        metrics::counter!(crate::metrics::NODES_LOST).increment(1);
                    }
                    self.unreachable(dead);
                    self.reset_link(dead);
                    let node = Arc::clone(self);
                    self.spawn(takeover::take_over(node, dead));
                }
            }
        }
    }

    /// A link that stands to a node that counts as dead: this side has forgotten what was said on it, the other one has
    /// not. Should the node speak again, both begin anew.
    fn reset_link(&self, peer: Incarnation) {
        let Some(cluster) = self.cluster() else { return };
        let address = {
            let members = cluster.members.lock();
            let standing = members.get(peer).filter(|member| member.linked);
            standing.map(|member| member.row.address.clone())
        };
        if let Some(address) = address
            && !planted::is(Bug::LeavesDeadLinks)
        {
            cluster.links.forget(peer);
            cluster.links.connect(peer, address);
        }
    }

    /// Nothing goes to or comes from this node for now.
    fn unreachable(&self, peer: Incarnation) {
        let Some(cluster) = self.cluster() else { return };
        cluster.view.lock().forget(peer);
        cluster.seats.lose_all(peer);
        cluster.guests.link_down(peer);
        cluster.holds.link_down(peer);
        cluster.asks.link_down(peer);
    }

    async fn run_cluster(self: Arc<Self>, inputs: Inputs) {
        let Some(cluster) = self.cluster() else { return };
        let Inputs { mut events, mut news, mut lost } = inputs;
        let mut tick = every(TICK);
        let mut seek = every(SEEK_EVERY);
        loop {
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Some(event) => self.link_event(event),
                    None => return,
                },
                Some(news) = news.recv() => self.news(news),
                Some(room) = lost.recv() => cluster.seats.lose(&room, None),
                _ = tick.tick() => {
                    let effects = cluster.members.lock().tick(cluster.now());
                    self.apply(effects);
                }
                _ = seek.tick() => {
                    self.tell_count();
                    self.seek();
                }
            }
        }
    }

    fn link_event(self: &Arc<Self>, event: LinkEvent) {
        let Some(cluster) = self.cluster() else { return };
        match event {
            LinkEvent::Up { peer } => {
                tracing::info!(node = %peer, "linked");
                cluster.guests.link_up(peer);
                let effects = cluster.members.lock().heard(peer);
                self.introduce(peer);
                self.apply(effects);
            }
            LinkEvent::Message { peer, bytes } => match Message::decode(bytes) {
                Ok(message) => self.message(peer, message),
                Err(error) => {
                    tracing::error!(node = %peer, %error, "the link is reset");
                    self.reset_link(peer);
                }
            },
            LinkEvent::Down { peer } => {
                tracing::warn!(node = %peer, "the link broke");
                cluster.members.lock().down(peer, cluster.now());
                self.unreachable(peer);
            }
            LinkEvent::Silent { peer } => cluster.members.lock().silent(peer, cluster.now()),
            LinkEvent::Heard { peer } => {
                let effects = cluster.members.lock().heard(peer);
                self.apply(effects);
            }
            LinkEvent::Gone { peer } => {
                let effects = cluster.members.lock().gone(peer);
                self.apply(effects);
            }
        }
    }

    /// Everything a node must know of this one.
    fn introduce(&self, peer: Incarnation) {
        let Some(cluster) = self.cluster() else { return };
        let rooms = self.registry.entries();
        let lines = rooms.iter().filter(|entry| entry.is_listed()).map(|entry| self.line(entry)).collect();
        for control in [self.hello(), Control::Rooms(lines)] {
            // A link that broke meanwhile introduces anew.
            let _ = cluster.links.send(peer, Message::Control(control).encode());
        }
    }

    /// A room of this node changed.
    fn news(&self, news: News) {
        let Some(cluster) = self.cluster() else { return };
        match news {
            News::Listed(entry) => {
                cluster.tell_all(Control::Room(Box::new(self.line(&entry))));
                cluster
                    .seats
                    .owner(&entry.id, Owner::Here(Arc::clone(&entry)), entry.epoch(), &|| self.next_conn());
            }
            News::Removed(entry) => {
                cluster.tell_all(Control::RoomGone { room: entry.id.clone(), epoch: entry.epoch() });
                cluster.guests.forget(&entry);
            }
        }
    }

    fn message(self: &Arc<Self>, peer: Incarnation, message: Message) {
        let Some(cluster) = self.cluster() else { return };
        match message {
            Message::Push { conn, bytes } => cluster.guests.push(&cluster.links, peer, conn, bytes),
            Message::Delivery(delivery) => cluster.seats.delivery(peer, delivery),
            Message::Offer { id, offer, image } => {
                let node = Arc::clone(self);
                self.spawn(async move {
                    let answer = node.take_offer(offer, image).await;
                    node.reply(peer, id, answer);
                });
            }
            Message::Control(control) => self.control(peer, control),
        }
    }

    fn control(self: &Arc<Self>, peer: Incarnation, control: Control) {
        let Some(cluster) = self.cluster() else { return };
        match control {
            Control::Hello { draining, rooms, .. } => cluster.members.lock().said(peer, draining, rooms),
            Control::Rooms(lines) => {
                cluster.view.lock().reset(peer, lines.clone());
                lines.into_iter().for_each(|line| self.heard_of(peer, line));
            }
            Control::Room(line) => {
                if cluster.view.lock().put(peer, (*line).clone()) {
                    self.heard_of(peer, *line);
                }
            }
            Control::RoomGone { room, epoch } => cluster.view.lock().gone(peer, &room, epoch),
            Control::Suspect { node, silent } => cluster.members.lock().suspicion(peer, node, silent),
            Control::Ask { id, request } => {
                let node = Arc::clone(self);
                self.spawn(async move {
                    let answer = node.answer(request).await;
                    node.reply(peer, id, answer);
                });
            }
            Control::Reply { id, answer } => cluster.asks.answered(peer, id, answer),
            Control::Attach { room, claim } => match self.registry.get(&room) {
                Some(entry) => cluster.guests.attach(&cluster.links, peer, &entry, claim, self.next_conn()),
                None => drop(cluster.links.send(peer, not_here(room))),
            },
            Control::Reattach { room, epoch, forwarded, seats } => match self.registry.get(&room) {
                Some(entry) => {
                    let at = (epoch, forwarded);
                    cluster.guests.reattach(&cluster.links, peer, &entry, at, seats, &|| self.next_conn());
                }
                None => drop(cluster.links.send(peer, not_here(room))),
            },
            Control::Closed { conn, code } => cluster.guests.closed(peer, conn, code),
            Control::Resync { conn } => cluster.guests.resync(peer, conn),
            Control::NotHere { room } => {
                cluster.view.lock().gone(peer, &room, everplay_types::Epoch(u64::MAX));
                cluster.seats.lose(&room, Some(peer));
            }
            Control::Hold { room, epoch } => {
                cluster.seats.hold(&room, Some(peer));
                let held = Control::Held { room, epoch };
                // Without a link there is nothing on it that could come later.
                let _ = cluster.links.send(peer, Message::Control(held).encode());
            }
            Control::Held { room, .. } => cluster.holds.held(&room, peer),
            Control::Resume { room, .. } => {
                cluster.seats.resume(&room, Some(peer), &|| self.next_conn());
            }
        }
    }

    /// A room is on another node.
    fn heard_of(&self, owner: Incarnation, line: RoomLine) {
        let Some(cluster) = self.cluster() else { return };
        if let Some(entry) = self.registry.get(&line.id)
            && entry.epoch() < line.epoch
        {
            // It was taken over while this node was thought dead; a room with nothing to write would not notice.
            let mailbox = entry.mailbox.clone();
            tokio::spawn(async move { mailbox.send(Command::Superseded).await });
        }
        cluster.seats.owner(&line.id, Owner::There(owner), line.epoch, &|| self.next_conn());
        cluster.heard_of.send_modify(|count| *count += 1);
    }

    /// Looks for owners of rooms whose sockets wait here.
    fn seek(self: &Arc<Self>) {
        let Some(cluster) = self.cluster() else { return };
        for room in cluster.seats.seeking() {
            if let Some(entry) = self.registry.get(&room).filter(|entry| entry.is_listed()) {
                let epoch = entry.epoch();
                cluster.seats.try_owner(&room, Owner::Here(entry), epoch, &|| self.next_conn());
                continue;
            }
            let known = cluster.view.lock().get(&room).map(|(owner, line)| (owner, line.epoch));
            if let Some((owner, epoch)) = known {
                cluster.seats.try_owner(&room, Owner::There(owner), epoch, &|| self.next_conn());
                continue;
            }
            let node = Arc::clone(self);
            self.spawn(async move { node.seek_by_arbiter(room).await });
        }
    }

    async fn seek_by_arbiter(&self, room: RoomId) {
        let Some(cluster) = self.cluster() else { return };
        let Ok(Some(grant)) = self.arbiter.current(self.key(&room)).await else { return };
        if cluster.members.lock().get(grant.owner).is_some_and(|member| member.linked && !member.dead) {
            let owner = Owner::There(grant.owner);
            cluster.seats.try_owner(&room, owner, grant.token.epoch, &|| self.next_conn());
        }
    }

    /// Hands a socket to its room, wherever that is.
    pub(crate) async fn attach_in_cluster(
        self: &Arc<Self>,
        attach: Attach,
        sink: Arc<dyn ClientSink>,
    ) -> Result<RoomLink, AttachError> {
        let Some(cluster) = self.cluster() else { return Err(AttachError::NoSuchRoom) };
        let (owner, line) = self.locate(&attach.room).await?;
        let messages_per_second = line.messages_per_second;
        let seat = cluster.seats.attach(attach, sink, owner, &line, self.next_conn());
        Ok(RoomLink::in_cluster(Arc::clone(self), seat, messages_per_second))
    }

    /// The socket of a seat is gone.
    pub(crate) fn seat_closed(&self, seat: &Seat, code: CloseCode) {
        if let Some(cluster) = self.cluster() {
            cluster.seats.closed(seat, code);
        }
    }

    fn known(&self, room: &RoomId) -> Option<(Owner, RoomLine)> {
        if let Some(entry) = self.registry.get(room) {
            let line = self.line(&entry);
            return Some((Owner::Here(entry), line));
        }
        let view = self.cluster()?.view.lock();
        view.get(room).map(|(owner, line)| (Owner::There(owner), line.clone()))
    }

    async fn locate(&self, room: &RoomId) -> Result<(Owner, RoomLine), AttachError> {
        let Some(cluster) = self.cluster() else { return Err(AttachError::NoSuchRoom) };
        let mut heard_of = cluster.heard_of.subscribe();
        let until = Instant::now() + NEWS;
        loop {
            if let Some(known) = self.known(room) {
                return Ok(known);
            }
            if !matches!(tokio::time::timeout_at(until, heard_of.changed()).await, Ok(Ok(()))) {
                break;
            }
        }
        // Nobody tells of it: it ended, or its owner died and the next one is not live yet.
        match self.arbiter.current(self.key(room)).await {
            Ok(None) => Err(AttachError::NoSuchRoom),
            Ok(Some(_)) if planted::is(Bug::UnknownRoomIsGone) => Err(AttachError::NoSuchRoom),
            Ok(Some(_)) | Err(_) => Err(AttachError::Restoring),
        }
    }

    /// Takes no rooms any more, or takes them again; the others are told.
    pub(crate) fn set_draining(&self, draining: bool) {
        let Some(cluster) = self.cluster() else { return };
        cluster.draining.store(draining, Ordering::Release);
        cluster.tell_all(self.hello());
    }
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
