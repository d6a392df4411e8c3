//! The arbiter that nodes see: calls travel, get lost, and for a while nobody answers.

use super::world::{Lane, Ms, Property, World};
use crate::planted::Planted;
use everplay_live::{
    Arbiter, ArbiterError, Grant, GrantError, GrantsOf, Incarnation, MemoryArbiter, NodeLease, NodeRow,
    NodeState, Pending,
};
use everplay_types::{Epoch, RoomKey, Token};
use futures_util::FutureExt;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a call waits for its answer.
const PATIENCE: Ms = 400;

/// The arbiter and what happens to it.
pub(crate) struct Court {
    world: Arc<World>,
    planted: Planted,
    core: Mutex<Core>,
}

struct Core {
    memory: MemoryArbiter,
    away: bool,
    lossy: u64,
    cut: BTreeSet<u64>,
    heard: BTreeMap<Incarnation, Ms>,
    granted: BTreeMap<(RoomKey, Token), Incarnation>,
    /// The grant before the newest one of each room.
    before: BTreeMap<RoomKey, Grant>,
}

/// One process's way to the arbiter.
#[derive(Clone)]
pub(crate) struct CourtClient {
    court: Arc<Court>,
    machine: u64,
    process: u64,
}

impl Court {
    pub(crate) fn new(world: &Arc<World>, seed: u64, planted: Planted) -> Arc<Court> {
        Arc::new(Court {
            world: Arc::clone(world),
            planted,
            core: Mutex::new(Core {
                memory: MemoryArbiter::new(seed),
                away: false,
                lossy: 0,
                cut: BTreeSet::new(),
                heard: BTreeMap::new(),
                granted: BTreeMap::new(),
                before: BTreeMap::new(),
            }),
        })
    }

    pub(crate) fn client(self: &Arc<Self>, machine: u64, process: u64) -> CourtClient {
        CourtClient { court: Arc::clone(self), machine, process }
    }

    pub(crate) fn set_away(&self, away: bool) {
        self.core.lock().away = away;
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
}

impl fmt::Debug for CourtClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CourtClient({})", self.process)
    }
}

impl CourtClient {
    fn call<T, E>(
        &self,
        unknown: fn() -> E,
        act: impl FnOnce(&Court, &mut Core) -> Result<T, E> + Send + 'static,
    ) -> Pending<Result<T, E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let world = &self.court.world;
        let (answer, waiting) = oneshot::channel();
        let answer = Arc::new(Mutex::new(Some(answer)));
        let (lossy, cut) = {
            let core = self.court.core.lock();
            (core.lossy, core.cut.contains(&self.machine))
        };
        let (accident, kind, to, back) =
            world.dice(|dice| (dice.chance(lossy), dice.below(2), dice.between(1, 5), dice.between(1, 5)));
        let late = Arc::clone(&answer);
        world.after(PATIENCE, move || reply(&late, Err(unknown())));
        let lost = cut || (accident && kind == 0);
        if !lost {
            let (court, process) = (Arc::clone(&self.court), self.process);
            world.send(Lane::ToArbiter(process), to, move || {
                let mut core = court.core.lock();
                if core.away {
                    return;
                }
                let result = act(&court, &mut core);
                drop(core);
                if !accident {
                    court.world.send(Lane::FromArbiter(process), back, move || reply(&answer, result));
                }
            });
        }
        Box::pin(async move { waiting.await.unwrap_or_else(|_| Err(unknown())) })
    }

    fn ask<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Court, &mut Core) -> Result<T, ArbiterError> + Send + 'static,
    ) -> Pending<Result<T, ArbiterError>> {
        self.call(|| ArbiterError::Later, act)
    }
}

fn reply<T, E>(answer: &Mutex<Option<oneshot::Sender<Result<T, E>>>>, result: Result<T, E>) {
    if let Some(answer) = answer.lock().take() {
        // Whoever asked may be gone.
        let _ = answer.send(result);
    }
}

fn now<T>(pending: Pending<T>) -> T {
    pending.now_or_never().expect("the memory arbiter does not wait")
}

impl Arbiter for CourtClient {
    fn grant(&self, room: RoomKey, seen: Epoch, owner: Incarnation) -> Pending<Result<Token, GrantError>> {
        self.call(
            || GrantError::Unknown,
            move |court, core| {
                let current = now(core.memory.current(room.clone())).ok().flatten();
                if let (Planted::GrantTwice, Some(current)) = (court.planted, current)
                    && current.token.epoch.0 == seen.0 + 1
                {
                    return Ok(current.token);
                }
                let token = now(core.memory.grant(room.clone(), seen, owner))?;
                if let Some(current) = current {
                    core.before.insert(room.clone(), current);
                }
                court.world.note("grant", token.epoch.0, u64::from(owner.0[0]));
                let first = *core.granted.entry((room.clone(), token)).or_insert(owner);
                if first != owner {
                    court.world.fail(Property::OneWriter, || format!("room {room} was granted twice"));
                }
                Ok(token)
            },
        )
    }

    fn current(&self, room: RoomKey) -> Pending<Result<Option<Grant>, ArbiterError>> {
        self.ask(move |court, core| {
            if let (Planted::GrantStale, Some(before)) = (court.planted, core.before.get(&room)) {
                return Ok(Some(*before));
            }
            now(core.memory.current(room))
        })
    }

    fn retire(&self, room: RoomKey, token: Token) -> Pending<Result<(), ArbiterError>> {
        self.ask(move |_, core| now(core.memory.retire(room, token)))
    }

    fn join(&self, node: NodeRow) -> Pending<Result<(), ArbiterError>> {
        self.ask(move |court, core| {
            core.heard.insert(node.incarnation, court.world.now());
            now(core.memory.join(node))
        })
    }

    fn renew(&self, node: Incarnation, state: NodeState) -> Pending<Result<(), ArbiterError>> {
        self.ask(move |court, core| {
            core.heard.insert(node, court.world.now());
            now(core.memory.renew(node, state))
        })
    }

    fn leave(&self, node: Incarnation) -> Pending<Result<(), ArbiterError>> {
        self.ask(move |_, core| now(core.memory.leave(node)))
    }

    fn nodes(&self) -> Pending<Result<Vec<NodeLease>, ArbiterError>> {
        self.ask(move |court, core| {
            let at = court.world.now();
            let mut leases = now(core.memory.nodes())?;
            for lease in &mut leases {
                let heard = core.heard.get(&lease.row.incarnation).copied().unwrap_or(at);
                lease.age = Duration::from_millis(at - heard);
            }
            Ok(leases)
        })
    }

    fn grants(&self, of: GrantsOf) -> Pending<Result<Vec<(RoomKey, Grant)>, ArbiterError>> {
        self.ask(move |court, core| {
            let mut grants = now(core.memory.grants(of))?;
            if court.planted == Planted::GrantsLeftOut {
                grants.pop();
            }
            Ok(grants)
        })
    }
}
