//! The links between nodes: ordered connections that break, stand still one way or both, and tell what they hear.
//!
//! Cut ways behave as TCP does: what is sent waits and arrives when the way is open again, unless the connection was
//! reset meanwhile, and then nothing of it arrives. A killed process' connections are reset; its address refuses
//! until another process listens there, which is another incarnation.

use super::world::{Lane, Ms, World};
use crate::planted::Planted;
use bytes::Bytes;
use everplay_cluster::{LinkEvent, Links, SendError};
use everplay_types::Incarnation;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Nothing heard this long is silence.
const SILENCE: Ms = 500;
/// A connection on which nothing arrives this long is given up.
const GIVE_UP: Ms = 4_000;
/// Between two looks at all links.
const TICK: Ms = 10;

/// All links of a run.
pub(crate) struct Wires {
    world: Arc<World>,
    planted: Planted,
    core: Mutex<Core>,
}

#[derive(Default)]
struct Core {
    ends: BTreeMap<Incarnation, End>,
    asked: BTreeSet<(Incarnation, Incarnation)>,
    links: BTreeMap<(Incarnation, Incarnation), Link>,
    /// Ways from machine to machine that are cut.
    cut: BTreeSet<(u64, u64)>,
    frozen: BTreeSet<u64>,
    generations: u64,
}

struct End {
    machine: u64,
    process: u64,
    events: mpsc::UnboundedSender<LinkEvent>,
    alive: bool,
}

/// One standing connection; the sides are in order of incarnation.
struct Link {
    generation: u64,
    sides: [Side; 2],
}

#[derive(Default)]
struct Side {
    heard: Ms,
    silent: bool,
    /// Messages to this side that wait for a way that is cut.
    waiting: VecDeque<Bytes>,
    /// Bytes on their way to this side.
    queued: usize,
}

fn pair(a: Incarnation, b: Incarnation) -> (Incarnation, Incarnation) {
    (a.min(b), a.max(b))
}

impl Core {
    fn tell(&self, node: Incarnation, event: LinkEvent) {
        if let Some(end) = self.ends.get(&node)
            && end.alive
        {
            // A node that stopped listening is about to be killed.
            let _ = end.events.send(event);
        }
    }

    fn machine(&self, node: Incarnation) -> u64 {
        self.ends.get(&node).map_or(u64::MAX, |end| end.machine)
    }

    fn open(&self, from: Incarnation, to: Incarnation) -> bool {
        !self.cut.contains(&(self.machine(from), self.machine(to)))
    }

    fn alive(&self, node: Incarnation) -> bool {
        self.ends.get(&node).is_some_and(|end| end.alive)
    }

    fn runs(&self, node: Incarnation) -> bool {
        self.alive(node) && !self.frozen.contains(&self.machine(node))
    }

    fn down(&mut self, a: Incarnation, b: Incarnation) {
        if self.links.remove(&pair(a, b)).is_some() {
            self.tell(a, LinkEvent::Down { peer: b });
            self.tell(b, LinkEvent::Down { peer: a });
        }
    }
}

impl Wires {
    pub(crate) fn new(world: &Arc<World>, planted: Planted) -> Arc<Wires> {
        Arc::new(Wires { world: Arc::clone(world), planted, core: Mutex::default() })
    }

    /// A new process' end, and what happens on its links.
    pub(crate) fn end(
        self: &Arc<Self>,
        me: Incarnation,
        machine: u64,
        process: u64,
    ) -> (Arc<dyn Links>, mpsc::UnboundedReceiver<LinkEvent>) {
        let (sender, events) = mpsc::unbounded_channel();
        self.core.lock().ends.insert(me, End { machine, process, events: sender, alive: true });
        (Arc::new(Mine { me, wires: Arc::clone(self) }), events)
    }

    pub(crate) fn kill(&self, me: Incarnation) {
        let mut core = self.core.lock();
        if let Some(end) = core.ends.get_mut(&me) {
            end.alive = false;
        }
        core.asked.retain(|(from, _)| *from != me);
    }

    pub(crate) fn set_frozen(&self, machine: u64, frozen: bool) {
        let mut core = self.core.lock();
        if frozen {
            core.frozen.insert(machine)
        } else {
            core.frozen.remove(&machine)
        };
    }

    pub(crate) fn set_cut(&self, from: u64, to: u64, cut: bool) {
        let mut core = self.core.lock();
        if cut {
            core.cut.insert((from, to))
        } else {
            core.cut.remove(&(from, to))
        };
    }

    pub(crate) fn mend(&self) {
        let mut core = self.core.lock();
        core.cut.clear();
        core.frozen.clear();
    }

    pub(crate) fn reset(&self, a: u64, b: u64) {
        let mut core = self.core.lock();
        let standing: Vec<_> = core.links.keys().copied().collect();
        for (one, other) in standing {
            let machines = (core.machine(one), core.machine(other));
            if machines == (a, b) || machines == (b, a) {
                core.down(one, other);
            }
        }
    }

    /// Looks at every link: dials, listens, gives up.
    pub(crate) fn tick(self: &Arc<Self>) {
        let now = self.world.now();
        if !now.is_multiple_of(TICK) {
            return;
        }
        let mut core = self.core.lock();
        self.listen(&mut core, now);
        let asked: Vec<_> = core.asked.iter().copied().collect();
        for (me, peer) in asked {
            let reachable = core.open(me, peer) && core.open(peer, me);
            if !core.runs(me) || !reachable {
                continue;
            }
            if !core.alive(peer) {
                core.down(me, peer);
                core.asked.remove(&(me, peer));
                core.tell(me, LinkEvent::Gone { peer });
                self.world.note("gone", core.machine(me), core.machine(peer));
                continue;
            }
            let both = core.asked.contains(&(peer, me));
            if both && core.runs(peer) && !core.links.contains_key(&pair(me, peer)) {
                core.generations += 1;
                let side = || Side { heard: now, ..Side::default() };
                let link = Link { generation: core.generations, sides: [side(), side()] };
                core.links.insert(pair(me, peer), link);
                core.tell(me, LinkEvent::Up { peer });
                core.tell(peer, LinkEvent::Up { peer: me });
                self.world.note("linked", core.machine(me), core.machine(peer));
            }
        }
    }

    fn listen(self: &Arc<Self>, core: &mut Core, now: Ms) {
        let standing: Vec<_> = core.links.keys().copied().collect();
        for (low, high) in standing {
            for (to, from, side) in [(low, high, 0), (high, low, 1)] {
                let open = core.open(from, to);
                if !core.alive(from) && open {
                    core.down(low, high);
                    break;
                }
                let speaks = core.runs(from) && open;
                let listens = core.runs(to);
                let Some(link) = core.links.get_mut(&(low, high)) else { break };
                let end = &mut link.sides[side];
                if speaks || (!listens && open) {
                    end.heard = now;
                }
                let waiting = if open { std::mem::take(&mut end.waiting) } else { VecDeque::new() };
                let quiet = now - end.heard;
                let event = if end.silent && quiet == 0 && listens {
                    end.silent = false;
                    Some(LinkEvent::Heard { peer: from })
                } else if !end.silent && quiet > SILENCE && listens {
                    end.silent = true;
                    Some(LinkEvent::Silent { peer: from })
                } else {
                    None
                };
                for bytes in waiting {
                    core.tell(to, LinkEvent::Message { peer: from, bytes });
                }
                if let Some(event) = event {
                    core.tell(to, event);
                }
                if quiet > GIVE_UP {
                    core.down(low, high);
                    break;
                }
            }
        }
    }

    fn send(self: &Arc<Self>, from: Incarnation, to: Incarnation, bytes: Bytes) -> Result<(), SendError> {
        let mut core = self.core.lock();
        let side = usize::from(from < to);
        let lane = match (core.ends.get(&from), core.ends.get(&to)) {
            // What a killed process would still say while it is taken apart here, it never said.
            (Some(from), Some(to)) if from.alive => Lane::Link(from.process, to.process),
            _ => return Err(SendError::NotConnected),
        };
        let Some(link) = core.links.get_mut(&pair(from, to)) else { return Err(SendError::NotConnected) };
        link.sides[side].queued += bytes.len();
        let generation = link.generation;
        drop(core);
        let (delay, accident) = self.world.dice(|dice| (dice.between(0, 3), dice.chance(15)));
        match self.planted {
            Planted::LinkDrops if accident => return Ok(()),
            Planted::LinkRepeats if accident => {
                let (wires, bytes) = (Arc::clone(self), bytes.clone());
                self.world.after(delay + 10, move || wires.deliver(from, to, generation, bytes));
            }
            Planted::LinkSwaps if accident => {
                let wires = Arc::clone(self);
                self.world.after(delay + 10, move || wires.deliver(from, to, generation, bytes));
                return Ok(());
            }
            _ => {}
        }
        let wires = Arc::clone(self);
        self.world.send(lane, delay, move || wires.deliver(from, to, generation, bytes));
        Ok(())
    }

    fn deliver(&self, from: Incarnation, to: Incarnation, generation: u64, bytes: Bytes) {
        let mut core = self.core.lock();
        let open = core.open(from, to);
        let side = usize::from(from < to);
        let Some(link) = core.links.get_mut(&pair(from, to)) else { return };
        if link.generation != generation {
            return;
        }
        let end = &mut link.sides[side];
        end.queued = end.queued.saturating_sub(bytes.len());
        if !open || !end.waiting.is_empty() {
            end.waiting.push_back(bytes);
            return;
        }
        core.tell(to, LinkEvent::Message { peer: from, bytes });
    }
}

/// One process' links.
struct Mine {
    me: Incarnation,
    wires: Arc<Wires>,
}

impl Links for Mine {
    fn connect(&self, peer: Incarnation, _: String) {
        self.wires.core.lock().asked.insert((self.me, peer));
    }

    fn forget(&self, peer: Incarnation) {
        let mut core = self.wires.core.lock();
        core.asked.remove(&(self.me, peer));
        core.down(self.me, peer);
    }

    fn send(&self, peer: Incarnation, message: Bytes) -> Result<(), SendError> {
        self.wires.send(self.me, peer, message)
    }

    fn queued(&self, peer: Incarnation) -> usize {
        let core = self.wires.core.lock();
        let side = usize::from(self.me < peer);
        core.links.get(&pair(self.me, peer)).map_or(0, |link| link.sides[side].queued)
    }
}
