//! One run: machines, clients, faults, then peace.

use super::arbiter::Court;
use super::checks::Journal;
use super::client::{Client, Crowd, Door, Inbox};
use super::faults::{self, Fault};
use super::room;
use super::store::Store;
use super::wires::Wires;
use super::world::{Dice, Failure, Ms, Property, World};
use crate::planted::Planted;
use everplay_cluster::Timing;
use everplay_live::NodeRow;
use everplay_node::{Ambient, ClusterParts, Events, Handle, Limits, Node, Options, SnapshotPolicy};
use everplay_types::{CustomerId, Incarnation, ProcessId};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Machines of a cluster.
const MACHINES: usize = 3;
/// How long things go wrong.
const TROUBLE: Ms = 4_000;
/// How long everything has to play again once nothing goes wrong any more.
const PEACE: Ms = 5_000;
/// States by which two clients of one room differ at most: what is on its way to one of them.
const LAG: u32 = 20;
/// A node runs this long before the others have their turn.
const TURN: Ms = 2;
/// A client that plays gets a patch at least this often.
const QUIET: Ms = 700;

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Everything follows from it.
    pub seed: u64,
    /// A bug that is put in.
    pub planted: Planted,
    /// Keep a log for people.
    pub verbose: bool,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// The first thing that went wrong.
    pub failure: Option<Failure>,
    /// Equal for runs in which the same happened.
    pub hash: u64,
    /// The log, when asked for.
    pub log: Vec<String>,
    /// Simulated milliseconds.
    pub lasted: u64,
    /// Faults.
    pub faults: usize,
    /// States and patches that clients looked at.
    pub patches: u64,
    /// Times a client came back.
    pub reconnects: u64,
}

struct Machine {
    index: usize,
    process: Option<Process>,
    /// Started again then.
    back_at: Option<Ms>,
    frozen_until: Ms,
}

struct Process {
    runtime: Runtime,
    node: Handle,
    incarnation: Incarnation,
    /// Time that passed while it stood still.
    owed: Ms,
    drained: Option<Arc<Mutex<bool>>>,
}

/// Runs one seed to its end.
pub fn run(plan: Plan) -> Report {
    everplay_node::plant(match plan.planted {
        Planted::Node(bug) => Some(bug),
        _ => None,
    });
    let mut sim = Sim::new(plan);
    let mut faults = sim.faults.clone().into_iter().peekable();
    while sim.world.now() < TROUBLE + PEACE && sim.world.failure().is_none() {
        sim.world.advance();
        sim.world.perform();
        let now = sim.world.now();
        while let Some((_, fault)) = faults.next_if(|(at, _)| *at <= now) {
            sim.strike(fault);
        }
        if now == TROUBLE {
            sim.heal();
        }
        sim.wires.tick();
        sim.clients(now >= TROUBLE);
        sim.machines();
    }
    if sim.world.failure().is_none() {
        sim.judge();
    }
    sim.report()
}

struct Sim {
    plan: Plan,
    world: Arc<World>,
    journal: Arc<Journal>,
    store: Arc<Store>,
    court: Arc<Court>,
    wires: Arc<Wires>,
    machines: Vec<Machine>,
    clients: Vec<Client>,
    crowd: Crowd,
    faults: Vec<(Ms, Fault)>,
    processes: u64,
    dice: Dice,
}

impl Sim {
    fn new(plan: Plan) -> Sim {
        let Plan { seed, planted, verbose } = plan;
        let mut dice = Dice::new(seed, "run");
        let world = World::new(seed, verbose);
        let journal = Journal::new(&world);
        let store = Store::new(&world, planted, &journal);
        let court = Court::new(&world, seed, planted);
        let wires = Wires::new(&world, planted);
        let machine = |index| Machine { index, process: None, back_at: Some(0), frozen_until: 0 };
        let machines: Vec<Machine> = (0..MACHINES).map(machine).collect();
        let clients = (0..dice.between(2, 6)).map(|number| Client::new(seed, number)).collect();
        let faults = faults::plan(&mut Dice::new(seed, "faults"), machines.len(), TROUBLE);
        let crowd = Crowd {
            world: Arc::clone(&world),
            journal: Arc::clone(&journal),
            inbox: Arc::new(Inbox::default()),
            sockets: Default::default(),
            seats: Default::default(),
            abandoned: Default::default(),
            clocks_run: !faults
                .iter()
                .any(|(_, fault)| matches!(fault, Fault::Freeze { .. } | Fault::Jump { .. })),
            again: planted == Planted::ResultAgain,
        };
        Sim {
            plan,
            world,
            journal,
            store,
            court,
            wires,
            machines,
            clients,
            crowd,
            faults,
            processes: 0,
            dice,
        }
    }

    fn boot(&mut self, index: usize) {
        self.processes += 1;
        let process = self.processes;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without sockets needs nothing of the system");
        let mut dice = Dice::new(self.plan.seed, &format!("process {process}"));
        let mut name = [0; 16];
        name.iter_mut().for_each(|byte| *byte = dice.next() as u8);
        let incarnation = Incarnation(name);
        let dice = Mutex::new(dice);
        let clock = Arc::clone(&self.world);
        let ambient = Ambient::new(
            move |bytes| {
                let mut dice = dice.lock();
                bytes.iter_mut().for_each(|byte| *byte = dice.next() as u8);
            },
            move || 1_700_000_000_000 + clock.now(),
        );
        let options = Options {
            process_id: ProcessId::new(format!("m{index}")).expect("letters and digits"),
            customer: CustomerId::default(),
            limits: Limits::default(),
            snapshots: SnapshotPolicy { records: 40, ..SnapshotPolicy::default() },
            ambient,
            events: Events::default(),
        };
        let machine = index as u64;
        let live = Arc::new(self.store.client(machine, process));
        let arbiter = Arc::new(self.court.client(machine, process));
        let entered = runtime.enter();
        let (links, events) = self.wires.end(incarnation, machine, process);
        let row = NodeRow {
            incarnation,
            process_id: options.process_id.clone(),
            address: format!("machine {index}"),
            http: String::new(),
            version: "sim".to_owned(),
            zone: String::new(),
        };
        let parts = ClusterParts { links, events, row, timing: Timing::default() };
        let node = Node::start_in_cluster(options, room::kinds(), live, arbiter, parts);
        drop(entered);
        let restoring = node.clone();
        runtime.spawn(async move {
            while restoring.restore().await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        self.world.note("boot", machine, process);
        let machine = &mut self.machines[index];
        machine.process = Some(Process { runtime, node, incarnation, owed: 0, drained: None });
        machine.back_at = None;
        machine.frozen_until = 0;
    }

    /// The process ends between two instructions; its sockets break a moment later.
    fn kill(&mut self, index: usize, back: Ms) {
        let now = self.world.now();
        self.wires.set_frozen(index as u64, false);
        let machine = &mut self.machines[index];
        machine.back_at = Some(now + back.max(1));
        machine.frozen_until = 0;
        let Some(process) = machine.process.take() else { return };
        self.world.note("kill", index as u64, back);
        self.wires.kill(process.incarnation);
        drop(process.node);
        drop(process.runtime);
        for client in &mut self.clients {
            if client.machine() == Some(index) {
                client.breaks(&self.crowd);
            }
        }
    }

    fn strike(&mut self, fault: Fault) {
        self.world.say(|| format!("{fault:?}"));
        let now = self.world.now();
        let (store, court) = (Arc::clone(&self.store), Arc::clone(&self.court));
        match fault {
            Fault::Kill { machine, back } => self.kill(machine, back),
            Fault::Freeze { machine, lasts } => {
                self.wires.set_frozen(machine as u64, true);
                let machine = &mut self.machines[machine];
                machine.frozen_until = machine.frozen_until.max(now + lasts);
            }
            Fault::Jump { machine, by } => {
                if let Some(process) = &mut self.machines[machine].process {
                    process.owed += by;
                }
            }
            Fault::CutStore { machine, lasts } => {
                store.set_cut(machine as u64, true);
                self.world.after(lasts, move || store.set_cut(machine as u64, false));
            }
            Fault::FailOver { pause } => store.fail_over(pause),
            Fault::SlowStore { by, lasts } => {
                store.set_slow(by);
                self.world.after(lasts, move || store.set_slow(0));
            }
            Fault::FullStore { lasts } => {
                store.set_full(true);
                self.world.after(lasts, move || store.set_full(false));
            }
            Fault::LossyStore { per_mille, lasts } => {
                store.set_lossy(per_mille);
                self.world.after(lasts, move || store.set_lossy(0));
            }
            Fault::ArbiterAway { lasts } => {
                court.set_away(true);
                self.world.after(lasts, move || court.set_away(false));
            }
            Fault::LossyArbiter { per_mille, lasts } => {
                court.set_lossy(per_mille);
                self.world.after(lasts, move || court.set_lossy(0));
            }
            Fault::CutArbiter { machine, lasts } => {
                court.set_cut(machine as u64, true);
                self.world.after(lasts, move || court.set_cut(machine as u64, false));
            }
            Fault::Drain { machine } => self.drain(machine),
            Fault::Cut { from, to, both, lasts } => {
                let (from, to) = (from as u64, to as u64);
                let wires = Arc::clone(&self.wires);
                let set = move |cut| {
                    wires.set_cut(from, to, cut);
                    if both {
                        wires.set_cut(to, from, cut);
                    }
                };
                set(true);
                self.world.after(lasts, move || set(false));
            }
            Fault::Reset { from, to } => self.wires.reset(from as u64, to as u64),
        }
    }

    fn drain(&mut self, index: usize) {
        if let Some(process) = &mut self.machines[index].process
            && process.drained.is_none()
        {
            let done = Arc::new(Mutex::new(false));
            process.drained = Some(Arc::clone(&done));
            let node = process.node.clone();
            process.runtime.spawn(async move {
                node.drain(Duration::from_secs(2)).await;
                *done.lock() = true;
            });
        }
    }

    /// Nothing goes wrong from here on.
    fn heal(&mut self) {
        self.world.note("heal", 0, 0);
        self.store.set_full(false);
        self.store.set_slow(0);
        self.store.set_lossy(0);
        self.court.set_away(false);
        self.court.set_lossy(0);
        self.wires.mend();
        for index in 0..self.machines.len() {
            self.store.set_cut(index as u64, false);
            self.court.set_cut(index as u64, false);
            self.machines[index].frozen_until = 0;
        }
    }

    fn clients(&mut self, calm: bool) {
        while let Some((socket, item)) = self.crowd.inbox.take() {
            if let Some(client) = self.clients.iter_mut().find(|client| client.socket() == socket) {
                client.hear(&self.crowd, item);
            }
        }
        let mut doors = Vec::new();
        for machine in &self.machines {
            let Some(process) = &machine.process else { continue };
            if process.drained.is_none() {
                doors.push(Door { machine: machine.index, runtime: &process.runtime, node: &process.node });
            }
        }
        for client in &mut self.clients {
            client.act(&mut self.crowd, &doors, calm);
        }
    }

    fn machines(&mut self) {
        let now = self.world.now();
        if !now.is_multiple_of(TURN) {
            return;
        }
        let mut order: Vec<usize> = (0..self.machines.len()).collect();
        self.dice.shuffle(&mut order);
        for index in order {
            let machine = &mut self.machines[index];
            if machine.back_at.is_some_and(|at| at <= now) {
                self.boot(index);
                continue;
            }
            let frozen = machine.frozen_until > now;
            let Some(process) = &mut machine.process else { continue };
            if frozen {
                process.owed += TURN;
                continue;
            }
            if process.owed > 0 {
                self.wires.set_frozen(index as u64, false);
            }
            let owed = std::mem::take(&mut process.owed);
            let _span = tracing::debug_span!("m", index).entered();
            process.runtime.block_on(async {
                if owed > 0 {
                    tokio::time::advance(Duration::from_millis(owed)).await;
                }
                tokio::time::sleep(Duration::from_millis(TURN)).await;
            });
            if process.drained.as_ref().is_some_and(|done| *done.lock()) {
                self.kill(index, 50);
            }
        }
    }

    /// After a time of peace everyone plays.
    fn judge(&self) {
        let now = self.world.now();
        for (number, client) in self.clients.iter().enumerate() {
            let room = client.room().unwrap_or("none");
            if !client.is_playing() {
                self.world.fail(Property::Lives, || format!("client {number} does not play (room {room})"));
            } else if now - client.patched_at > QUIET {
                self.world.fail(Property::Lives, || {
                    format!("client {number} hears nothing of room {room} since {} ms", client.patched_at)
                });
            }
            let (version, games) = client.newest();
            let highest = self.journal.highest_seen(room);
            if version + LAG < highest {
                self.world.fail(Property::SeenSurvives, || {
                    format!("room {room}: state {highest} was seen, client {number} is at {version}")
                });
            }
            if (self.journal.results(room) as u32) < games {
                self.world.fail(Property::CountedOnce, || {
                    format!("room {room}: {games} games are finished, and not all results are in the journal")
                });
            }
        }
    }

    fn report(self) -> Report {
        self.world.clear();
        Report {
            failure: self.world.failure(),
            hash: self.world.hash(),
            log: self.world.take_log(),
            lasted: self.world.now(),
            faults: self.faults.len(),
            patches: self.clients.iter().map(|client| client.patches).sum(),
            reconnects: self.clients.iter().map(|client| client.reconnects).sum(),
        }
    }
}
