//! The store that nodes see: a primary that is late to tell its replica, calls that get lost, a replica that takes over.
//!
//! The rules are those of [`MemoryLiveStore`]. Around them: every call travels, what changes something is answered once
//! the replica has it, and a fail-over goes back to what the replica had, by doing the same calls again on an empty
//! store. A call whose answer does not come is answered as unknown after [`PATIENCE`], as a client of a store does
//! whose connection is silent; it may have been done, may never be, or may be done later.

use super::checks::Journal;
use super::world::{Dice, Lane, Ms, Property, World};
use crate::planted::Planted;
use everplay_live::{
    Append, AppendError, Appended, DirectoryEntry, LiveStore, LoadError, LoadedRoom, MemoryLiveStore,
    Pending, Position, RegisterError, Registration, RoomError, Snapshot, SnapshotError,
};
use everplay_types::{CustomerId, RoomKey, Seq, Token};
use futures_util::FutureExt;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use tokio::sync::oneshot;

/// How long a call waits for its answer.
const PATIENCE: Ms = 400;

type Replay = Arc<dyn Fn(&MemoryLiveStore) + Send + Sync>;

/// The store's servers and what happens to them.
pub(crate) struct Store {
    world: Arc<World>,
    planted: Planted,
    journal: Arc<Journal>,
    core: Mutex<Core>,
}

struct Core {
    primary: MemoryLiveStore,
    /// What changed something, in order.
    history: Vec<Replay>,
    /// How many of them the replica has.
    replicated: usize,
    /// Counts fail-overs.
    generation: u64,
    away: bool,
    full: bool,
    slow: Ms,
    /// Calls of a thousand that meet with an accident.
    lossy: u64,
    /// Machines whose way to the store is cut.
    cut: BTreeSet<u64>,
    writers: BTreeMap<(RoomKey, Token), u64>,
}

/// What becomes of one call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Fine,
    RequestLost,
    AnswerLost,
    Late,
    Twice,
}

/// One process's way to the store.
#[derive(Clone)]
pub(crate) struct StoreClient {
    store: Arc<Store>,
    machine: u64,
    process: u64,
}

impl Store {
    pub(crate) fn new(world: &Arc<World>, planted: Planted, journal: &Arc<Journal>) -> Arc<Store> {
        Arc::new(Store {
            world: Arc::clone(world),
            planted,
            journal: Arc::clone(journal),
            core: Mutex::new(Core {
                primary: MemoryLiveStore::new(),
                history: Vec::new(),
                replicated: 0,
                generation: 0,
                away: false,
                full: false,
                slow: 0,
                lossy: 0,
                cut: BTreeSet::new(),
                writers: BTreeMap::new(),
            }),
        })
    }

    pub(crate) fn client(self: &Arc<Self>, machine: u64, process: u64) -> StoreClient {
        StoreClient { store: Arc::clone(self), machine, process }
    }

    pub(crate) fn set_full(&self, full: bool) {
        self.core.lock().full = full;
    }

    pub(crate) fn set_slow(&self, slow: Ms) {
        self.core.lock().slow = slow;
    }

    pub(crate) fn set_lossy(&self, per_mille: u64) {
        self.core.lock().lossy = per_mille;
    }

    pub(crate) fn set_cut(&self, machine: u64, cut: bool) {
        let mut core = self.core.lock();
        if cut {
            core.cut.insert(machine)
        } else {
            core.cut.remove(&machine)
        };
    }

    /// The primary dies; its replica takes its place after `pause`.
    pub(crate) fn fail_over(self: &Arc<Self>, pause: Ms) {
        let mut core = self.core.lock();
        if core.away {
            return;
        }
        core.away = true;
        core.generation += 1;
        let lost = core.history.len() - core.replicated;
        self.world.note("store fails", lost as u64, core.history.len() as u64);
        drop(core);
        let store = Arc::clone(self);
        self.world.after(pause, move || store.promote());
    }

    fn promote(&self) {
        let mut core = self.core.lock();
        core.away = false;
        let kept = core.replicated;
        core.history.truncate(kept);
        core.primary = MemoryLiveStore::new();
        core.history.iter().for_each(|call| call(&core.primary));
        let lost = usize::from(self.planted == Planted::FailoverLosesARecord);
        let failed: Replay = Arc::new(move |store| store.fail_over(lost));
        failed(&core.primary);
        core.history.push(failed);
        core.replicated += 1;
        self.world.note("store is back", core.replicated as u64, 0);
    }

    fn fate(&self, machine: u64, dice: &mut Dice) -> Fate {
        let core = self.core.lock();
        if core.cut.contains(&machine) {
            // What was on its way when a link is cut arrives much later, or never.
            return if dice.chance(100) { Fate::Late } else { Fate::RequestLost };
        }
        if !dice.chance(core.lossy) {
            return Fate::Fine;
        }
        [Fate::RequestLost, Fate::AnswerLost, Fate::Late, Fate::Twice][dice.below(4) as usize]
    }
}

impl fmt::Debug for StoreClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreClient({})", self.process)
    }
}

type Act<T, E> = dyn Fn(&MemoryLiveStore) -> Result<T, E> + Send + Sync;

/// A call: what it does, and how its answer may be known to be missing.
struct Call<T, E> {
    act: Arc<Act<T, E>>,
    unknown: fn() -> E,
    writes: bool,
    /// Answered before the replica has it, contrary to the rule.
    hasty: bool,
    append: Option<Append>,
}

type Answer<T, E> = Arc<Mutex<Option<oneshot::Sender<Result<T, E>>>>>;

impl StoreClient {
    fn call<T, E>(&self, call: Call<T, E>) -> Pending<Result<T, E>>
    where
        T: Clone + Send + Sync + 'static,
        E: Clone + Send + Sync + 'static,
    {
        let world = Arc::clone(&self.store.world);
        let (answer, waiting) = oneshot::channel();
        let answer: Answer<T, E> = Arc::new(Mutex::new(Some(answer)));
        let unknown = call.unknown;
        let (fate, to, extra) = world.dice(|dice| {
            (self.store.fate(self.machine, dice), dice.between(0, 2), dice.between(PATIENCE, 3 * PATIENCE))
        });
        let late = Arc::clone(&answer);
        world.after(PATIENCE, move || reply(&late, Err(unknown())));
        let call = Arc::new(call);
        let slow = self.store.core.lock().slow;
        let arrive = |answer: Option<Answer<T, E>>| {
            let (client, call) = (self.clone(), Arc::clone(&call));
            move || client.arrive(&call, answer)
        };
        match fate {
            Fate::RequestLost => {}
            Fate::Late => world.after(extra, arrive(None)),
            Fate::AnswerLost => drop(world.send(Lane::ToStore(self.process), to + slow, arrive(None))),
            Fate::Fine => drop(world.send(Lane::ToStore(self.process), to + slow, arrive(Some(answer)))),
            Fate::Twice => {
                world.send(Lane::ToStore(self.process), to + slow, arrive(Some(answer)));
                world.after(extra, arrive(None));
            }
        }
        Box::pin(async move { waiting.await.unwrap_or_else(|_| Err(unknown())) })
    }

    fn arrive<T, E>(&self, call: &Arc<Call<T, E>>, answer: Option<Answer<T, E>>)
    where
        T: Clone + Send + Sync + 'static,
        E: Clone + Send + Sync + 'static,
    {
        let store = &self.store;
        let mut core = store.core.lock();
        if core.away {
            return;
        }
        let result = (call.act)(&core.primary);
        let generation = core.generation;
        let done = call.writes && result.is_ok();
        if done {
            let again = Arc::clone(call);
            core.history.push(Arc::new(move |store| drop((again.act)(store))));
            if let Some(append) = &call.append {
                self.wrote(&mut core, append);
            }
        }
        let lag =
            store.world.dice(|dice| if dice.chance(20) { dice.between(5, 80) } else { dice.between(0, 2) });
        drop(core);
        let process = self.process;
        let world = Arc::clone(&store.world);
        let respond = move |result: Result<T, E>| {
            if let Some(answer) = answer {
                let back = world.dice(|dice| dice.between(0, 2));
                world.send(Lane::FromStore(process), back, move || reply(&answer, result));
            }
        };
        let (store, call) = (Arc::clone(store), Arc::clone(call));
        let mut early = None;
        let mut late = None;
        if call.hasty {
            early = Some((respond, result))
        } else {
            late = Some((respond, result))
        };
        self.store.world.send(Lane::Replica, lag, move || {
            let mut core = store.core.lock();
            if core.generation != generation {
                return;
            }
            if done {
                core.replicated += 1;
                drop(core);
                if let Some(append) = &call.append {
                    store.journal.durable(append);
                }
            } else {
                drop(core);
            }
            if let Some((respond, result)) = late {
                respond(result);
            }
        });
        if let Some((respond, result)) = early {
            respond(result);
        }
    }

    fn wrote(&self, core: &mut Core, append: &Append) {
        let world = &self.store.world;
        let key = (append.room.clone(), append.token);
        let writer = *core.writers.entry(key).or_insert(self.process);
        if writer != self.process {
            world.fail(Property::OneWriter, || {
                format!(
                    "room {} was written with epoch {} by processes {writer} and {}",
                    append.room, append.token.epoch, self.process
                )
            });
        }
        world.note("append", append.expected.0, append.token.epoch.0);
    }

    fn is(&self, planted: Planted) -> bool {
        self.store.planted == planted
    }

    fn write<T, E>(
        &self,
        unknown: fn() -> E,
        act: impl Fn(&MemoryLiveStore) -> Pending<Result<T, E>> + Send + Sync + 'static,
    ) -> Pending<Result<T, E>>
    where
        T: Clone + Send + Sync + 'static,
        E: Clone + Send + Sync + 'static,
    {
        let act = Arc::new(move |store: &MemoryLiveStore| now(act(store)));
        self.call(Call { act, unknown, writes: true, hasty: false, append: None })
    }

    fn read<T, E>(
        &self,
        unknown: fn() -> E,
        act: impl Fn(&MemoryLiveStore) -> Pending<Result<T, E>> + Send + Sync + 'static,
    ) -> Pending<Result<T, E>>
    where
        T: Clone + Send + Sync + 'static,
        E: Clone + Send + Sync + 'static,
    {
        let act = Arc::new(move |store: &MemoryLiveStore| now(act(store)));
        self.call(Call { act, unknown, writes: false, hasty: false, append: None })
    }
}

fn reply<T, E>(answer: &Answer<T, E>, result: Result<T, E>) {
    if let Some(answer) = answer.lock().take() {
        // Whoever asked may be gone.
        let _ = answer.send(result);
    }
}

/// The memory store answers at once.
fn now<T>(pending: Pending<T>) -> T {
    pending.now_or_never().expect("the memory store does not wait unless it is told to stall")
}

/// Where the room's journal ends and what its fence is; for planted bugs that go round the checks.
fn head(store: &MemoryLiveStore, room: &RoomKey) -> Option<(Token, Position)> {
    let loaded = now(store.load(room.clone())).ok()?;
    Some((loaded.fence, loaded.position))
}

impl LiveStore for StoreClient {
    fn register(&self, registration: Registration) -> Pending<Result<Position, RegisterError>> {
        self.write(|| RoomError::Unknown.into(), move |store| store.register(registration.clone()))
    }

    fn relist(&self, room: RoomKey, token: Token, listing: bytes::Bytes) -> Pending<Result<(), RoomError>> {
        self.write(|| RoomError::Unknown, move |store| store.relist(room.clone(), token, listing.clone()))
    }

    fn append(&self, append: Append) -> Pending<Result<Appended, AppendError>> {
        if self.store.core.lock().full {
            let refused = async { Err(AppendError::Full) };
            return Box::pin(refused);
        }
        let planted = self.store.planted;
        let note = Some(append.clone());
        let lost = planted == Planted::AppendNotWritten && self.store.world.dice(|dice| dice.chance(30));
        let act = move |store: &MemoryLiveStore| {
            let mut append = append.clone();
            let head = || head(store, &append.room);
            match planted {
                Planted::AppendUnplaced => {
                    if let Some((_, end)) = head() {
                        (append.expected, append.prev) = (end.last.next(), end.chain);
                    }
                }
                Planted::RepeatWritesAgain => {
                    if let Some((_, end)) = head()
                        && append.expected <= end.last
                    {
                        (append.expected, append.prev) = (end.last.next(), end.chain);
                    }
                }
                Planted::AppendNotWritten if lost => {
                    let last = Seq(append.expected.0 + append.payloads.len() as u64 - 1);
                    return Ok(Position { last, chain: append.prev });
                }
                _ => {}
            }
            now(store.append(append))
        };
        let hasty = self.is(Planted::AppendUnconfirmed);
        let unknown = || AppendError::Unknown;
        self.call(Call { act: Arc::new(act), unknown, writes: true, hasty, append: note })
    }

    fn seal(&self, room: RoomKey, token: Token) -> Pending<Result<Position, RoomError>> {
        let planted = self.store.planted;
        let act = move |store: &MemoryLiveStore| match (planted, head(store, &room)) {
            (Planted::SealWithoutEffect, Some((_, end))) => Ok(end),
            _ => now(store.seal(room.clone(), token)),
        };
        let unknown = || RoomError::Unknown;
        self.call(Call { act: Arc::new(act), unknown, writes: true, hasty: false, append: None })
    }

    fn load(&self, room: RoomKey) -> Pending<Result<LoadedRoom, LoadError>> {
        let planted = self.store.planted;
        self.read(
            || LoadError::Busy,
            move |store| {
                let mut loaded = now(store.load(room.clone()));
                if let (Planted::LoadStale, Ok(loaded)) = (planted, &mut loaded)
                    && loaded.tail.len() > 1
                {
                    loaded.tail.pop();
                }
                Box::pin(async { loaded })
            },
        )
    }

    fn publish_snapshot(&self, snapshot: Snapshot) -> Pending<Result<(), SnapshotError>> {
        let unknown = || RoomError::Unknown.into();
        self.write(unknown, move |store| store.publish_snapshot(snapshot.clone()))
    }

    fn truncate(&self, room: RoomKey, token: Token, below: Seq) -> Pending<Result<Seq, RoomError>> {
        self.write(|| RoomError::Unknown, move |store| store.truncate(room.clone(), token, below))
    }

    fn close(&self, room: RoomKey, token: Token) -> Pending<Result<(), RoomError>> {
        self.write(|| RoomError::Unknown, move |store| store.close(room.clone(), token))
    }

    fn list(&self, customer: Option<CustomerId>) -> Pending<Result<Vec<DirectoryEntry>, RoomError>> {
        self.read(|| RoomError::Busy, move |store| store.list(customer.clone()))
    }

    fn find(&self, room: RoomKey) -> Pending<Result<Option<DirectoryEntry>, RoomError>> {
        self.read(|| RoomError::Busy, move |store| store.find(room.clone()))
    }

    fn quarantine(&self, room: RoomKey, reason: String) -> Pending<Result<(), RoomError>> {
        self.write(|| RoomError::Unknown, move |store| store.quarantine(room.clone(), reason.clone()))
    }

    fn lift_quarantine(&self, room: RoomKey) -> Pending<Result<(), RoomError>> {
        self.write(|| RoomError::Unknown, move |store| store.lift_quarantine(room.clone()))
    }
}
