//! Adapters that keep everything in memory: for tests, for room kinds that may be lost, and as the rules in the open.
//!
//! Durable means nothing here: everything ends with the process. Records are kept in the same framing as on disk and
//! verified on load, so that what runs on memory runs on a file. [`Fault`]s let a test see its own code under a
//! stalled, full or silent store.

use crate::nodes::Nodes;
use crate::record::{self, Damage, Kind, Record};
use crate::rules::{self, Batch, Head, Stage, Verdict};
use crate::{
    Append, AppendError, Appended, Arbiter, ArbiterError, Chain, Corruption, DirectoryEntry, Entry, Grant,
    GrantError, GrantsOf, Incarnation, Limits, LiveStore, LoadError, LoadedRoom, LoadedSnapshot, NodeLease,
    NodeRow, NodeState, Pending, Position, RegisterError, Registration, RoomError, RoomState, Snapshot,
    SnapshotError, Unavailable,
};
use bytes::Bytes;
use everplay_types::{CustomerId, Epoch, Nonce, RoomKey, Seq, Token};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What goes wrong with appends from now on. Other calls are not touched, except by `Broken`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Appends are not answered, and not done, until another fault (or none) is set. Then they are, in order.
    Stalled,
    /// Appends are answered `Full`.
    Full,
    /// Appends are done and answered `Unknown`.
    AnswersLost,
    /// Appends are not done and answered `Unknown`.
    RequestsLost,
    /// Every call is answered `Unavailable`.
    Broken,
}

/// A [`LiveStore`] in memory. Clones share the same rooms.
#[derive(Debug, Clone, Default)]
pub struct MemoryLiveStore {
    limits: Limits,
    shared: Arc<Mutex<Rooms>>,
}

#[derive(Debug, Default)]
struct Rooms {
    rooms: BTreeMap<RoomKey, Room>,
    fault: Fault,
    stalled: VecDeque<Stalled>,
}

#[derive(Debug)]
struct Stalled {
    room: RoomKey,
    batch: Batch,
    answer: oneshot::Sender<Result<Appended, AppendError>>,
}

#[derive(Debug)]
struct Room {
    head: Head,
    /// False after a failover: the owner must seal again before it writes.
    sealed_here: bool,
    kind: String,
    listing: Bytes,
    /// Everything below is dropped.
    first: Seq,
    /// Framed, `first` at the front.
    records: VecDeque<Vec<u8>>,
    /// Framed, oldest first, at most two.
    snapshots: VecDeque<(Seq, Vec<u8>)>,
}

impl MemoryLiveStore {
    /// An empty store with the usual limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store with limits of its own.
    pub fn with_limits(limits: Limits) -> Self {
        MemoryLiveStore { limits, shared: Arc::default() }
    }

    /// From now on appends meet `fault`; whatever was stalled before is done now, in order, under the new one.
    pub fn set_fault(&self, fault: Fault) {
        let mut shared = self.shared.lock();
        shared.fault = fault;
        if fault == Fault::Stalled {
            return;
        }
        while let Some(Stalled { room, batch, answer }) = shared.stalled.pop_front() {
            let outcome = shared.append(&room, &batch);
            // A receiver that is gone is a cancelled call: done or not, nobody asks.
            let _ = answer.send(outcome);
        }
    }

    /// The store fails over to a copy, as Redis to a replica: every owner is refused as fenced, by its own token, until
    /// it has sealed again. The copy lacks the newest `lost` records of every room, which a store must not do.
    pub fn fail_over(&self, lost: usize) {
        let mut shared = self.shared.lock();
        for (key, room) in &mut shared.rooms {
            room.fail_over(key, lost);
        }
    }

    /// Appends that wait for a stall to end.
    pub fn stalled(&self) -> usize {
        self.shared.lock().stalled.len()
    }

    /// Flips one bit of a stored record, as a bad disk would. False when there is no such record or byte.
    pub fn damage_record(&self, room: &RoomKey, seq: Seq, byte: usize) -> bool {
        let mut shared = self.shared.lock();
        let found = shared.rooms.get_mut(room).and_then(|room| {
            let index = usize::try_from(seq.0.checked_sub(room.first.0)?).ok()?;
            room.records.get_mut(index)?.get_mut(byte)
        });
        found.map(|byte| *byte ^= 1).is_some()
    }

    /// Flips one bit of the newest snapshot. False when there is none that long.
    pub fn damage_snapshot(&self, room: &RoomKey, byte: usize) -> bool {
        let mut shared = self.shared.lock();
        let found = shared.rooms.get_mut(room).and_then(|room| room.snapshots.back_mut()?.1.get_mut(byte));
        found.map(|byte| *byte ^= 1).is_some()
    }

    fn with<T, E>(&self, act: impl FnOnce(&mut Rooms) -> Result<T, E>) -> Pending<Result<T, E>>
    where
        T: Send + 'static,
        E: From<Unavailable> + Send + 'static,
    {
        let mut shared = self.shared.lock();
        let outcome = match shared.fault {
            Fault::Broken => Err(broken().into()),
            _ => act(&mut shared),
        };
        Box::pin(std::future::ready(outcome))
    }

    fn check_size(&self, bytes: usize) -> Result<(), RoomError> {
        let limit = self.limits.listing;
        if bytes > limit { Err(RoomError::TooLarge { bytes, limit }) } else { Ok(()) }
    }
}

fn broken() -> Unavailable {
    Unavailable::new("a fault was set")
}

impl Rooms {
    fn room(&mut self, key: &RoomKey) -> Result<&mut Room, RoomError> {
        self.rooms.get_mut(key).ok_or(RoomError::NotFound)
    }

    fn append(&mut self, key: &RoomKey, batch: &Batch) -> Result<Appended, AppendError> {
        match self.fault {
            Fault::Broken => return Err(broken().into()),
            Fault::Full => return Err(AppendError::Full),
            Fault::RequestsLost => return Err(AppendError::Unknown),
            Fault::None | Fault::Stalled | Fault::AnswersLost => {}
        }
        let room = self.rooms.get_mut(key).ok_or(AppendError::NotFound)?;
        let outcome = room.append(batch);
        if self.fault == Fault::AnswersLost { Err(AppendError::Unknown) } else { outcome }
    }
}

impl Room {
    /// May this token change the room now?
    fn admit(&self, token: Token) -> Result<(), rules::Refusal> {
        self.head.admit(token)?;
        if self.sealed_here { Ok(()) } else { Err(rules::Refusal::Fenced(self.head.fence)) }
    }

    fn fail_over(&mut self, key: &RoomKey, lost: usize) {
        self.sealed_here = false;
        for _ in 0..lost {
            let Some(record) = self.records.pop_back() else { break };
            let before = self.head.end.last.0.saturating_sub(1);
            let chain = record::decode(&record).map_or(Chain::start(key), |record| record.prev);
            self.head.end = Position { last: Seq(before), chain };
        }
        let end = self.head.end.last;
        self.snapshots.retain(|(seq, _)| *seq <= end);
    }

    fn append(&mut self, batch: &Batch) -> Result<Appended, AppendError> {
        self.admit(batch.token)?;
        match self.head.append(batch)? {
            Verdict::Write => {
                self.records.extend(batch.records().map(<[u8]>::to_vec));
                self.head.end = batch.end;
                Ok(batch.end)
            }
            Verdict::Nothing => Ok(self.head.end),
            Verdict::RepeatIf(end) => {
                if self.chain_at(end.last) == Some(end.chain) {
                    Ok(end)
                } else {
                    Err(self.head.gap())
                }
            }
        }
    }

    /// The chain at a position; `None` when its record, needed to know it, is dropped or damaged.
    fn chain_at(&self, seq: Seq) -> Option<Chain> {
        if seq == self.head.end.last {
            return Some(self.head.end.chain);
        }
        let index = usize::try_from(seq.next().0.checked_sub(self.first.0)?).ok()?;
        record::decode(self.records.get(index)?).ok().map(|record| record.prev)
    }

    fn load(&self, key: &RoomKey) -> Result<LoadedRoom, LoadError> {
        let place = |table, row, damage| Corruption { file: format!("memory of {key}"), table, row, damage };
        let mut passed_over = Vec::new();
        let mut snapshot = None;
        for (row, (seq, bytes)) in self.snapshots.iter().enumerate().rev() {
            match record::decode(bytes) {
                Ok(read) if read.kind == Kind::Snapshot => {
                    let bytes = Bytes::copy_from_slice(read.payload);
                    snapshot = Some(LoadedSnapshot { seq: *seq, chain: read.prev, bytes });
                    break;
                }
                Ok(read) => {
                    passed_over.push(place("snapshots", row as i64, Damage::Kind { found: read.kind as u8 }))
                }
                Err(damage) => passed_over.push(place("snapshots", row as i64, damage)),
            }
        }
        let (mut seq, mut chain) = match &snapshot {
            Some(snapshot) => (snapshot.seq, snapshot.chain),
            None => (Seq::ZERO, Chain::start(key)),
        };
        if seq.next() < self.first {
            let missing = place("records", 0, Damage::Missing { seq: seq.next() });
            return Err(passed_over.into_iter().next().unwrap_or(missing).into());
        }
        let mut epoch = Epoch::NONE;
        let mut tail = Vec::new();
        let skip = usize::try_from(seq.next().0 - self.first.0).expect("records fit memory");
        for bytes in self.records.iter().skip(skip) {
            seq = seq.next();
            let (record, next) = record::chained(bytes, seq, chain, epoch)
                .map_err(|damage| place("records", seq.0 as i64, damage))?;
            (chain, epoch) = (next, record.epoch);
            tail.push(Entry { seq, epoch, payload: Bytes::copy_from_slice(record.payload) });
        }
        let position = Position { last: seq, chain };
        if chain != self.head.end.chain {
            let damage = Damage::Chain { expected: self.head.end.chain, found: chain };
            return Err(place("records", seq.0 as i64, damage).into());
        }
        Ok(LoadedRoom { snapshot, tail, position, fence: self.head.fence, passed_over })
    }

    fn publish(&mut self, snapshot: &Snapshot) -> Result<(), SnapshotError> {
        self.admit(snapshot.token)?;
        let mut bytes = Vec::new();
        record::encode(
            &Record {
                kind: Kind::Snapshot,
                flags: 0,
                epoch: snapshot.token.epoch,
                seq: snapshot.seq,
                prev: snapshot.chain,
                payload: &snapshot.bytes,
            },
            &mut bytes,
        );
        if let Some((newest, kept)) = self.snapshots.back()
            && snapshot.seq <= *newest
        {
            let same = snapshot.seq == *newest && *kept == bytes;
            return if same { Ok(()) } else { Err(SnapshotError::Stale { newest: *newest }) };
        }
        if snapshot.seq > self.head.end.last || self.chain_at(snapshot.seq) != Some(snapshot.chain) {
            return Err(SnapshotError::NotDurable { have: self.head.end.last });
        }
        self.snapshots.push_back((snapshot.seq, bytes));
        if self.snapshots.len() > 2 {
            self.snapshots.pop_front();
        }
        Ok(())
    }
}

impl LiveStore for MemoryLiveStore {
    fn register(&self, registration: Registration) -> Pending<Result<Position, RegisterError>> {
        let Registration { room, token, kind, listing } = registration;
        let size = self.check_size(listing.len().max(kind.len()));
        self.with(|shared| {
            if let Some(known) = shared.rooms.get(&room) {
                return if known.head.fence == token {
                    known.admit(token).map_err(RoomError::from)?;
                    Ok(known.head.end)
                } else {
                    Err(RegisterError::Exists { fence: known.head.fence })
                };
            }
            size?;
            let head = Head::new(token, Chain::start(&room));
            let end = head.end;
            let (records, snapshots) = Default::default();
            shared.rooms.insert(
                room,
                Room { head, sealed_here: true, kind, listing, first: Seq(1), records, snapshots },
            );
            Ok(end)
        })
    }

    fn relist(&self, room: RoomKey, token: Token, listing: Bytes) -> Pending<Result<(), RoomError>> {
        let size = self.check_size(listing.len());
        self.with(|shared| {
            let room = shared.room(&room)?;
            room.admit(token)?;
            size?;
            room.listing = listing;
            Ok(())
        })
    }

    fn append(&self, append: Append) -> Pending<Result<Appended, AppendError>> {
        let batch = Batch::encode(&append, &self.limits);
        let mut shared = self.shared.lock();
        if shared.fault != Fault::Stalled {
            let outcome = shared.append(&append.room, &batch);
            return Box::pin(std::future::ready(outcome));
        }
        let (answer, waiting) = oneshot::channel();
        shared.stalled.push_back(Stalled { room: append.room, batch, answer });
        Box::pin(async { waiting.await.unwrap_or(Err(AppendError::Unknown)) })
    }

    fn seal(&self, room: RoomKey, token: Token) -> Pending<Result<Position, RoomError>> {
        self.with(|shared| {
            let room = shared.room(&room)?;
            room.head.seal(token)?;
            room.head.fence = token;
            room.sealed_here = true;
            Ok(room.head.end)
        })
    }

    fn load(&self, room: RoomKey) -> Pending<Result<LoadedRoom, LoadError>> {
        self.with(|shared| shared.rooms.get(&room).ok_or(LoadError::NotFound)?.load(&room))
    }

    fn publish_snapshot(&self, snapshot: Snapshot) -> Pending<Result<(), SnapshotError>> {
        let (bytes, limit) = (snapshot.bytes.len(), self.limits.snapshot);
        let mut shared = self.shared.lock();
        let outcome = if shared.fault == Fault::Broken {
            Err(SnapshotError::Refused(broken().into()))
        } else {
            shared.room(&snapshot.room).map_err(SnapshotError::Refused).and_then(|room| {
                room.admit(snapshot.token)?;
                if bytes > limit {
                    return Err(RoomError::TooLarge { bytes, limit }.into());
                }
                room.publish(&snapshot)
            })
        };
        Box::pin(std::future::ready(outcome))
    }

    fn truncate(&self, room: RoomKey, token: Token, below: Seq) -> Pending<Result<Seq, RoomError>> {
        self.with(|shared| {
            let room = shared.room(&room)?;
            room.admit(token)?;
            let published: Vec<Seq> = room.snapshots.iter().map(|(seq, _)| *seq).collect();
            let keep = rules::truncation(below, &published);
            while room.first < keep && room.records.pop_front().is_some() {
                room.first = room.first.next();
            }
            Ok(room.first)
        })
    }

    fn close(&self, room: RoomKey, token: Token) -> Pending<Result<(), RoomError>> {
        self.with(|shared| {
            let room = shared.room(&room)?;
            match room.admit(token) {
                Err(rules::Refusal::Closed) => Ok(()),
                Err(refusal) => Err(refusal.into()),
                Ok(()) => {
                    room.head.stage = Stage::Closed;
                    Ok(())
                }
            }
        })
    }

    fn list(&self, customer: Option<CustomerId>) -> Pending<Result<Vec<DirectoryEntry>, RoomError>> {
        self.with(|shared| {
            let wanted = |key: &RoomKey| customer.as_ref().is_none_or(|customer| *customer == key.customer);
            let rooms = shared.rooms.iter().filter(|(key, _)| wanted(key));
            Ok(rooms.filter_map(|(key, room)| room.entry(key)).collect())
        })
    }

    fn find(&self, room: RoomKey) -> Pending<Result<Option<DirectoryEntry>, RoomError>> {
        self.with(|shared| Ok(shared.rooms.get(&room).and_then(|found| found.entry(&room))))
    }

    fn quarantine(&self, room: RoomKey, reason: String) -> Pending<Result<(), RoomError>> {
        let size = self.check_size(reason.len());
        self.with(|shared| {
            let room = shared.room(&room)?;
            match room.head.stage {
                Stage::Closed => Err(RoomError::Closed),
                Stage::Quarantined(_) => Ok(()),
                Stage::Live => {
                    size?;
                    room.head.stage = Stage::Quarantined(reason);
                    Ok(())
                }
            }
        })
    }

    fn lift_quarantine(&self, room: RoomKey) -> Pending<Result<(), RoomError>> {
        self.with(|shared| {
            let room = shared.room(&room)?;
            match room.head.stage {
                Stage::Closed => Err(RoomError::Closed),
                Stage::Quarantined(_) | Stage::Live => {
                    room.head.stage = Stage::Live;
                    Ok(())
                }
            }
        })
    }
}

impl Room {
    fn entry(&self, key: &RoomKey) -> Option<DirectoryEntry> {
        let state = match &self.head.stage {
            Stage::Live => RoomState::Live,
            Stage::Quarantined(reason) => RoomState::Quarantined { reason: reason.clone() },
            Stage::Closed => return None,
        };
        Some(DirectoryEntry {
            room: key.clone(),
            kind: self.kind.clone(),
            listing: self.listing.clone(),
            token: self.head.fence,
            last: self.head.end.last,
            state,
        })
    }
}

/// An [`Arbiter`] in memory. Clones share the same grants. Nonces follow from the seed, so that a test repeats itself.
#[derive(Debug, Clone, Default)]
pub struct MemoryArbiter {
    shared: Arc<Mutex<Grants>>,
}

#[derive(Debug, Default)]
struct Grants {
    seed: u64,
    minted: u64,
    away: bool,
    grants: BTreeMap<RoomKey, Grant>,
    nodes: Nodes,
}

impl MemoryArbiter {
    /// Two arbiters with one seed mint the same nonces: give each its own, and a random one outside of tests.
    pub fn new(seed: u64) -> Self {
        MemoryArbiter { shared: Arc::new(Mutex::new(Grants { seed, ..Grants::default() })) }
    }

    /// While it is away nothing is granted and every call is answered `Later`.
    pub fn set_away(&self, away: bool) {
        self.shared.lock().away = away;
    }

    fn with<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Grants) -> Result<T, ArbiterError>,
    ) -> Pending<Result<T, ArbiterError>> {
        let mut shared = self.shared.lock();
        let outcome = if shared.away { Err(ArbiterError::Later) } else { act(&mut shared) };
        Box::pin(std::future::ready(outcome))
    }
}

impl Grants {
    fn mint(&mut self, epoch: Epoch) -> Token {
        self.minted += 1;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes()).update(&self.minted.to_le_bytes());
        let mut nonce = Nonce::default();
        nonce.0.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Token { epoch, nonce }
    }
}

impl Arbiter for MemoryArbiter {
    fn grant(&self, room: RoomKey, seen: Epoch, owner: Incarnation) -> Pending<Result<Token, GrantError>> {
        let mut shared = self.shared.lock();
        let current = shared.grants.get(&room).copied();
        let outcome = if shared.away {
            Err(GrantError::Later { reason: "a fault was set" })
        } else if current.map_or(Epoch::NONE, |grant| grant.token.epoch) == seen {
            let token = shared.mint(seen.next());
            shared.grants.insert(room, Grant { token, owner });
            Ok(token)
        } else {
            Err(GrantError::taken(current))
        };
        Box::pin(std::future::ready(outcome))
    }

    fn current(&self, room: RoomKey) -> Pending<Result<Option<Grant>, ArbiterError>> {
        self.with(|shared| Ok(shared.grants.get(&room).copied()))
    }

    fn retire(&self, room: RoomKey, token: Token) -> Pending<Result<(), ArbiterError>> {
        self.with(|shared| match shared.grants.get(&room).copied() {
            Some(current) if current.token != token => Err(ArbiterError::Taken { current }),
            _ => {
                shared.grants.remove(&room);
                Ok(())
            }
        })
    }

    fn join(&self, node: NodeRow) -> Pending<Result<(), ArbiterError>> {
        self.with(|shared| shared.nodes.join(node))
    }

    fn renew(&self, node: Incarnation, state: NodeState) -> Pending<Result<(), ArbiterError>> {
        self.with(|shared| shared.nodes.renew(node, state))
    }

    fn leave(&self, node: Incarnation) -> Pending<Result<(), ArbiterError>> {
        self.with(|shared| shared.nodes.leave(node))
    }

    fn nodes(&self) -> Pending<Result<Vec<NodeLease>, ArbiterError>> {
        self.with(|shared| shared.nodes.list())
    }

    fn grants(&self, of: GrantsOf) -> Pending<Result<Vec<(RoomKey, Grant)>, ArbiterError>> {
        self.with(|shared| {
            let wanted = shared.grants.iter().filter(|(_, grant)| of.includes(grant.owner));
            Ok(wanted.map(|(room, grant)| (room.clone(), *grant)).collect())
        })
    }
}
