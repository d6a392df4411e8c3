use crate::clock::Beat;
use crate::cluster::{Cluster, ClusterParts};
use crate::fan_outs::FanOuts;
use crate::host::{Command, Host};
use crate::journal::RoomJournal;
use crate::link::{Attach, AttachError, ClientSink, RoomLink};
use crate::matchmaking::{MatchError, MatchRequest, Reservation};
use crate::metrics as names;
use crate::options::{Kind, Options};
use crate::recovery::Restored;
use crate::registry::{NewRoom, Registry, RoomEntry, RoomInfo};
use crate::shelf::Shelf;
use everplay_live::{
    Arbiter, ArbiterError, Chain, GrantError, Incarnation, LiveStore, LoadError, LoadedRoom, Pending,
    Position, RegisterError, Registration, RoomError,
};
use everplay_room::{Birth, CatchUp, ConnId, Connect, RoomEngine, Settings};
use everplay_types::{Epoch, ErrorCode, RoomId, RoomKey, Seq, ServiceLevel, Token};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// Characters of a room id, 6 random bits each; as the official server's, so that links stay short.
const ROOM_ID_LEN: usize = 9;

/// How often a store that is busy is asked again while a room is made.
const STORE_TRIES: u32 = 5;

/// The rooms of this process and what they need.
pub struct Node {
    pub(crate) options: Options,
    pub(crate) kinds: HashMap<String, Kind>,
    pub(crate) live: Arc<dyn LiveStore>,
    pub(crate) arbiter: Arc<dyn Arbiter>,
    pub(crate) incarnation: Incarnation,
    pub(crate) registry: Registry,
    phase: AtomicU8,
    next_conn: AtomicU64,
    creating: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
    pub(crate) beat: Beat,
    pub(crate) fan_outs: FanOuts,
    /// True ends every host; each holds a receiver until it is gone.
    pub(crate) ended: watch::Sender<bool>,
    /// How much of the service there is; each host tells its room.
    pub(crate) service: watch::Sender<ServiceLevel>,
    /// The other nodes, if it is one of several.
    pub(crate) cluster: Option<Cluster>,
}

/// Where the node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Restoring,
    Ready,
    Draining,
}

/// What the directory keeps beside a room: what its ledger does not know.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Registered {
    pub(crate) created_at: u64,
    #[serde(default)]
    pub(crate) filters: serde_json::Map<String, serde_json::Value>,
    /// The highest version of its kind that ever ran it.
    #[serde(default)]
    pub(crate) version: u32,
    /// Wall time of the last snapshot in ms, of kinds whose rooms expire; 0: not known, which never expires.
    #[serde(default)]
    pub(crate) saved_at: u64,
}

impl Registered {
    /// How long ago it was saved, as far as it is known.
    pub(crate) fn saved_ago(&self, now_ms: u64) -> Option<Duration> {
        (self.saved_at > 0).then(|| Duration::from_millis(now_ms.saturating_sub(self.saved_at)))
    }
}

/// The node, to call it. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<Node>);

/// How the node is doing.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Whether it takes joins: restored and not draining.
    pub ready: bool,
    /// Rooms running.
    pub rooms: usize,
    /// Rooms standing still because their journal does not advance.
    pub paused: usize,
}

/// Why rooms could not be brought back.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The directory cannot be read.
    #[error(transparent)]
    Store(#[from] RoomError),
    /// The arbiter does not list this node, or the others.
    #[error("the cluster cannot be joined: {0}")]
    Join(#[from] ArbiterError),
}

/// What a drain came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Rooms that play on elsewhere.
    pub moved: usize,
    /// Rooms with everything durable.
    pub settled: usize,
    /// Rooms that did not finish in time; their unconfirmed steps were not seen by anyone.
    pub unsettled: usize,
}

impl Node {
    /// A node that is alone on its stores and runs nothing yet. [`Handle::restore`] comes first.
    pub fn start(
        options: Options,
        kinds: Vec<Kind>,
        live: Arc<dyn LiveStore>,
        arbiter: Arc<dyn Arbiter>,
    ) -> Handle {
        Self::build(options, kinds, live, arbiter, None)
    }

    /// A node that shares its stores with others. [`Handle::restore`] comes first.
    pub fn start_in_cluster(
        options: Options,
        kinds: Vec<Kind>,
        live: Arc<dyn LiveStore>,
        arbiter: Arc<dyn Arbiter>,
        parts: ClusterParts,
    ) -> Handle {
        Self::build(options, kinds, live, arbiter, Some(parts))
    }

    fn build(
        options: Options,
        kinds: Vec<Kind>,
        live: Arc<dyn LiveStore>,
        arbiter: Arc<dyn Arbiter>,
        parts: Option<ClusterParts>,
    ) -> Handle {
        let kinds = kinds.into_iter().map(|kind| (kind.kind.name().to_owned(), kind)).collect();
        let incarnation = match &parts {
            Some(parts) => parts.row.incarnation,
            None => Incarnation(options.ambient.bytes()),
        };
        let registry = Registry::default();
        let cluster = parts.map(|parts| Cluster::new(parts, &registry));
        Handle(Arc::new(Node {
            options,
            kinds,
            live,
            arbiter,
            incarnation,
            registry,
            phase: AtomicU8::new(0),
            next_conn: AtomicU64::new(1),
            creating: Mutex::default(),
            beat: Beat::new(),
            fan_outs: FanOuts::new(),
            ended: watch::Sender::new(false),
            service: watch::Sender::default(),
            cluster,
        }))
    }

    /// A number for a connection that no other of this node has.
    pub(crate) fn next_conn(&self) -> ConnId {
        ConnId(self.next_conn.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Restoring,
            1 => Phase::Ready,
            _ => Phase::Draining,
        }
    }

    pub(crate) fn restored(&self) {
        self.options.events.measure(&self.options.ambient);
        // A drain that began meanwhile stays.
        let _ = self.phase.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire);
    }

    pub(crate) fn key(&self, room: &RoomId) -> RoomKey {
        RoomKey { customer: self.options.customer.clone(), room: room.clone() }
    }

    pub(crate) fn creation_lock(
        &self,
        kind: &str,
        filters: &serde_json::Map<String, serde_json::Value>,
    ) -> Arc<tokio::sync::Mutex<()>> {
        let name = format!("{kind} {}", serde_json::Value::Object(filters.clone()));
        let mut creating = self.creating.lock();
        if let Some(lock) = creating.get(&name).and_then(Weak::upgrade) {
            return lock;
        }
        creating.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        creating.insert(name, Arc::downgrade(&lock));
        lock
    }

    /// Makes a room and starts its host.
    pub(crate) async fn create_room(
        self: &Arc<Self>,
        kind: &Kind,
        options: &serde_json::Value,
        filters: serde_json::Map<String, serde_json::Value>,
    ) -> Result<Arc<RoomEntry>, MatchError> {
        if self.registry.len() >= self.options.limits.rooms {
            let message = format!("this server runs {} rooms and takes no more", self.options.limits.rooms);
            return Err(MatchError::new(ErrorCode::UNHANDLED, message));
        }
        let id = RoomId::new(self.options.ambient.id(ROOM_ID_LEN)).expect("the alphabet is that of ids");
        let seed = self.options.ambient.bytes();
        let birth = Birth { room_id: id.clone(), seed, options: options.clone() };
        let engine = match catch_unwind(AssertUnwindSafe(|| kind.kind.create(birth))) {
            Ok(Ok(engine)) => engine,
            Ok(Err(refusal)) => return Err(MatchError::refused(refusal, ErrorCode::UNHANDLED)),
            Err(panic) => {
                let message = crate::host::panic_message(panic.as_ref());
                tracing::error!(kind = kind.kind.name(), panic = message, "the create hook failed");
                return Err(MatchError::new(ErrorCode::UNHANDLED, "the room could not be created"));
            }
        };
        let version = kind.kind.settings().version;
        let created_at = self.options.ambient.wall_ms();
        // What a room begins with is saved with its registration.
        let saved_at = kind.kind.settings().expires.map_or(0, |_| created_at);
        let registered = Registered { created_at, filters, version, saved_at };
        let mut journal = self.journal(
            &id,
            Token::default(),
            Position { last: Seq::ZERO, chain: Chain::start(&self.key(&id)) },
        );
        if kind.kind.settings().durability.survives() {
            let (token, position) = self.register(kind, &id, &registered).await.map_err(|reason| {
                tracing::error!(room.id = %id, reason, "the room could not be registered");
                MatchError::new(ErrorCode::UNHANDLED, "the room could not be stored")
            })?;
            journal = self.journal(&id, token, position);
        }
        metrics::counter!(names::ROOMS_CREATED, "kind" => kind.kind.name().to_owned()).increment(1);
        let tail = CatchUp::new(journal.assigned());
        Ok(self.host(kind, id, registered, engine, journal, tail))
    }

    async fn register(
        &self,
        kind: &Kind,
        id: &RoomId,
        registered: &Registered,
    ) -> Result<(Token, Position), String> {
        let key = self.key(id);
        let token = self.grant(&key, Epoch::NONE).await?;
        let listing = serde_json::to_vec(registered).map_err(|error| error.to_string())?;
        let registration =
            Registration { room: key, token, kind: kind.kind.name().to_owned(), listing: listing.into() };
        for attempt in 1.. {
            match self.live.register(registration.clone()).await {
                Ok(position) => return Ok((token, position)),
                Err(RegisterError::Refused(RoomError::Busy | RoomError::Unknown))
                    if attempt < STORE_TRIES =>
                {
                    tokio::time::sleep(Duration::from_millis(20) * attempt).await;
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        unreachable!("the loop returns")
    }

    /// Tells the directory that a room was saved just now, for a start that asks whether it is worth coming back to.
    pub(crate) fn saved(&self, entry: &RoomEntry, settings: &Settings, token: Token) {
        let registered = Registered {
            created_at: entry.created_at,
            filters: entry.filters.clone(),
            version: settings.version,
            saved_at: self.options.ambient.wall_ms(),
        };
        let Ok(listing) = serde_json::to_vec(&registered) else { return };
        let told = self.live.relist(self.key(&entry.id), token, listing.into());
        let id = entry.id.clone();
        tokio::spawn(async move {
            if let Err(error) = told.await {
                tracing::debug!(room.id = %id, %error, "the directory has an older time of saving");
            }
        });
    }

    /// Asks the arbiter until it has decided.
    pub(crate) async fn grant(&self, key: &RoomKey, seen: Epoch) -> Result<Token, String> {
        for attempt in 1.. {
            match self.arbiter.grant(key.clone(), seen, self.incarnation).await {
                Ok(token) => return Ok(token),
                Err(GrantError::Unknown) => {
                    let current =
                        self.arbiter.current(key.clone()).await.map_err(|error| error.to_string())?;
                    if let Some(grant) = current.filter(|grant| grant.owner == self.incarnation) {
                        return Ok(grant.token);
                    }
                }
                Err(GrantError::Later { .. }) => {}
                Err(error) => return Err(error.to_string()),
            }
            if attempt >= STORE_TRIES {
                return Err("the arbiter does not decide".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(20) * attempt).await;
        }
        unreachable!("the loop returns")
    }

    pub(crate) fn journal(&self, room: &RoomId, token: Token, at: Position) -> RoomJournal {
        let (live, arbiter) = (Arc::clone(&self.live), Arc::clone(&self.arbiter));
        RoomJournal::new(live, arbiter, self.key(room), token, at)
    }

    /// Enters the room in the registry and starts its task. `tail` are the records it was recovered from, which end
    /// where the journal does.
    pub(crate) fn host(
        self: &Arc<Self>,
        kind: &Kind,
        id: RoomId,
        registered: Registered,
        engine: Box<dyn RoomEngine>,
        journal: RoomJournal,
        tail: CatchUp,
    ) -> Arc<RoomEntry> {
        let (sender, mailbox) = mpsc::channel(self.options.limits.mailbox);
        let entry = self.registry.insert(NewRoom {
            id,
            kind: kind.kind.name().into(),
            created_at: registered.created_at,
            filters: registered.filters,
            mailbox: sender,
            shelf: kind.kind.settings().tick.map(|_| Arc::new(Shelf::new(self.options.limits.mailbox))),
            messages_per_second: kind.kind.settings().messages_per_second,
            inputs: kind.kind.input_options(),
        });
        entry.set_progress(journal.token().epoch, journal.durable(), None);
        let kind = Arc::clone(&kind.kind);
        let host = Host::new(Arc::clone(self), kind, Arc::clone(&entry), mailbox, engine, journal);
        let host = host.recovered(tail);
        let mut ended = self.ended.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = host.run() => {}
                _ = ended.wait_for(|ended| *ended) => {}
            }
        });
        entry
    }

    pub(crate) fn read_room(&self, room: &RoomId) -> Pending<Result<LoadedRoom, LoadError>> {
        self.live.load(self.key(room))
    }

    pub(crate) fn quarantine(&self, room: &RoomId, reason: String) {
        let (id, done) = (room.clone(), self.live.quarantine(self.key(room), reason));
        tokio::spawn(async move {
            if let Err(error) = done.await {
                tracing::error!(room.id = %id, %error, "the room could not be quarantined; it will be tried again at the next start");
            }
        });
    }

    /// The room ended: its journal is kept for the store's retention, the directory forgets it.
    pub(crate) fn forget(&self, room: &RoomId, token: Token) {
        let key = self.key(room);
        let (closed, retired) = (self.live.close(key.clone(), token), self.arbiter.retire(key, token));
        let id = room.clone();
        tokio::spawn(async move {
            if let Err(error) = closed.await {
                tracing::warn!(room.id = %id, %error, "the ended room is still in the directory; the next start ends it");
            }
            if let Err(error) = retired.await {
                tracing::warn!(room.id = %id, %error, "the arbiter still knows the ended room");
            }
        });
    }
}

impl Handle {
    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.0
    }

    /// Brings back every room of the directory, or in a cluster this node's share of those that have no living owner;
    /// the node takes joins when this returns.
    pub async fn restore(&self) -> Result<Restored, RestoreError> {
        let restored = match self.0.cluster() {
            None => crate::recovery::restore(self.node()).await?,
            Some(_) => self.0.join_cluster().await?,
        };
        self.0.restored();
        Ok(restored)
    }

    /// Takes joins without bringing a room back. Those of the directory stay there as they are, out of play, and are
    /// answered as stranded: a start that restores has them again. Not for a node of a cluster, where others bring back
    /// what has no owner.
    pub async fn start_fresh(&self) -> Result<Restored, RestoreError> {
        let left = crate::recovery::leave(self.node()).await?;
        self.0.restored();
        Ok(left)
    }

    /// Finds or makes a room and reserves a seat in it. The answer is durable: a restart honours the seat.
    pub async fn matchmake(&self, request: MatchRequest) -> Result<Reservation, MatchError> {
        self.0.matchmake(request).await
    }

    /// Hands a socket to its room. The room itself answers through the sink, also when it refuses the seat.
    pub async fn attach(&self, attach: Attach, sink: Arc<dyn ClientSink>) -> Result<RoomLink, AttachError> {
        if self.0.cluster().is_some() {
            return self.0.attach_in_cluster(attach, sink).await;
        }
        match self.0.phase() {
            Phase::Draining => return Err(AttachError::Draining),
            Phase::Restoring | Phase::Ready => {}
        }
        let Some(entry) = self.0.registry.get(&attach.room) else {
            let restoring = self.0.phase() == Phase::Restoring;
            return Err(if restoring { AttachError::Restoring } else { AttachError::NoSuchRoom });
        };
        let conn = self.0.next_conn();
        let connect = Connect {
            conn,
            session: attach.session,
            token: attach.token,
            skip_handshake: attach.skip_handshake,
            dialect: attach.dialect,
        };
        let sent = entry.mailbox.send(Command::Attach { connect, sink }).await;
        sent.map_err(|_| AttachError::NoSuchRoom)?;
        Ok(RoomLink::here(&entry, conn))
    }

    /// Whether the directory has a room: one that is on, is on its way to another node, or has ended and not yet told
    /// everything.
    pub async fn is_listed(&self, room: &RoomId) -> Result<bool, RoomError> {
        Ok(self.0.live.find(self.0.key(room)).await?.is_some())
    }

    /// All rooms, oldest first; only what is durable.
    pub fn rooms(&self) -> Vec<RoomInfo> {
        self.0.registry.infos()
    }

    /// How the node is doing.
    pub fn status(&self) -> Status {
        Status { ready: self.is_ready(), rooms: self.0.registry.len(), paused: self.0.registry.paused() }
    }

    /// Whether it takes joins: restored and not draining.
    pub fn is_ready(&self) -> bool {
        self.0.phase() == Phase::Ready
    }

    /// Tells every room how much of the service there is: those that run, and those that come to run here later. A room
    /// that stands still hears of it once it goes on.
    pub fn set_service(&self, level: ServiceLevel) {
        self.0.service.send_if_modified(|told| std::mem::replace(told, level) != level);
    }

    /// Takes no more joins. In a cluster every room is handed over to another node, as far as seven tenths of the time
    /// allow; what is left, and every room of a node that is alone, is brought to a durable stand. Clients stay
    /// attached, to where their room is; close their sockets afterwards with a code that makes them come back.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        self.0.phase.store(2, Ordering::Release);
        let until = Instant::now() + deadline;
        let moved = self.0.leave_rooms(Instant::now() + deadline * 7 / 10).await;
        let mut waiting = Vec::new();
        for entry in self.0.registry.entries() {
            let (done, settled) = oneshot::channel();
            // A mailbox that stays full until the deadline belongs to a room that does not settle.
            let sent = tokio::time::timeout_at(until, entry.mailbox.send(Command::Drain(done))).await;
            waiting.push((matches!(sent, Ok(Ok(()))), settled));
        }
        let mut drained = Drained { moved, settled: 0, unsettled: 0 };
        for (sent, settled) in waiting {
            match sent && matches!(tokio::time::timeout_at(until, settled).await, Ok(Ok(()))) {
                true => drained.settled += 1,
                false => drained.unsettled += 1,
            }
        }
        drained
    }

    /// Ends every room's task where it stands. Nothing that was seen is lost, as at a crash; call
    /// [`drain`](Self::drain) first to have everything durable.
    pub fn abandon(&self) {
        self.0.phase.store(2, Ordering::Release);
        self.0.ended.send_replace(true);
    }

    /// [`abandon`](Self::abandon)s the rooms and waits until none holds the stores any more.
    pub async fn end(&self) {
        self.0.leave_cluster().await;
        self.abandon();
        self.0.ended.closed().await;
    }
}
