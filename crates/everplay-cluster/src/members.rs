//! Who is in the cluster and alive, as far as one node can tell.
//!
//! ```text
//! unknown --roster--> Alive --Gone | silent for two | lease over, no link--> Dead --heard again--> Alive
//! ```
//!
//! "Dead" decides only when others *try* to take rooms over; the journal's fence makes a mistake cost one needless move. So
//! evidence is acted on early: a process that is gone at once, silence after a moment.
//!
//! - **Gone**: its address refuses connections, or another incarnation answers there. True whoever sees it.
//! - **Silence**: nothing heard for a while, here and by a second node if there is one. A single observer may be the one
//!   that is cut off.
//! - **Lease**: its row was not renewed for long and there is no link.
//!
//! A node that was itself stopped for a while hears nobody when it comes back; it forgives everyone first.

use everplay_types::{Incarnation, Millis};
use std::collections::{BTreeMap, BTreeSet};

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A link that is down this long counts as silence. Default 500 ms.
    pub silence: u64,
    /// Between hearing of silence and acting on it, so that what waits in buffers can be read. Default 100 ms.
    pub patience: u64,
    /// How long a node that was never heard may take to answer: it has to read of this one first. Default 3 s.
    pub introduction: u64,
    /// A row not renewed this long is over. Default 6 s.
    pub lease: u64,
    /// A gap between two ticks this long means that this node was stopped itself. Default 300 ms.
    pub stopped: u64,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing { silence: 500, patience: 100, introduction: 3_000, lease: 6_000, stopped: 300 }
    }
}

/// A node as the arbiter lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Which.
    pub node: Incarnation,
    /// Of its link listener.
    pub address: String,
    /// First segment of its rooms' URLs.
    pub process: String,
    /// Of its gateway, for people.
    pub http: String,
    /// Of its program.
    pub version: String,
    /// Where it stands.
    pub zone: String,
    /// It takes no rooms.
    pub draining: bool,
    /// Rooms it runs.
    pub rooms: u32,
    /// Milliseconds since it renewed its row.
    pub age: u64,
}

/// Another node as this one sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// As listed, with what it said of itself since.
    pub row: Row,
    /// There is a link.
    pub linked: bool,
    /// It counts as dead.
    pub dead: bool,
    /// There was a link.
    known: bool,
    /// Not heard since.
    silent_since: Option<Millis>,
    /// Nodes that do not hear it.
    suspected_by: BTreeSet<Incarnation>,
    /// Others were told that it is silent.
    told: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Keep a link to this node.
    Connect {
        /// Which.
        node: Incarnation,
        /// Where.
        address: String,
    },
    /// Close the link to this node.
    Forget(Incarnation),
    /// Tell every node that this one hears a node no more, or again.
    Tell {
        /// Which.
        node: Incarnation,
        /// Not heard.
        silent: bool,
    },
    /// A node died: its rooms are to be taken over.
    Dead(Incarnation),
}

/// The other nodes. Never holds the node itself.
#[derive(Debug)]
pub struct Members {
    me: Incarnation,
    timing: Timing,
    nodes: BTreeMap<Incarnation, Member>,
    ticked: Option<Millis>,
}

impl Members {
    /// Nobody yet.
    pub fn new(me: Incarnation, timing: Timing) -> Members {
        Members { me, timing, nodes: BTreeMap::new(), ticked: None }
    }

    /// Every other node that is known, dead ones too.
    pub fn all(&self) -> impl Iterator<Item = &Member> {
        self.nodes.values()
    }

    /// Other nodes that count as alive.
    pub fn alive(&self) -> impl Iterator<Item = &Member> {
        self.nodes.values().filter(|member| !member.dead)
    }

    /// One of them.
    pub fn get(&self, node: Incarnation) -> Option<&Member> {
        self.nodes.get(&node)
    }

    /// Whether a node counts as alive; this one does.
    pub fn is_alive(&self, node: Incarnation) -> bool {
        node == self.me || self.nodes.get(&node).is_some_and(|member| !member.dead)
    }

    /// The arbiter's list, as just read.
    pub fn roster(&mut self, rows: Vec<Row>, now: Millis) -> Vec<Effect> {
        let mut effects = Vec::new();
        let listed: BTreeSet<Incarnation> = rows.iter().map(|row| row.node).collect();
        for row in rows {
            if row.node == self.me {
                continue;
            }
            let lapsed = row.age >= self.timing.lease;
            match self.nodes.get_mut(&row.node) {
                Some(member) => {
                    let (draining, rooms) = (member.row.draining, member.row.rooms);
                    let linked = member.linked;
                    member.row = row;
                    if linked {
                        // What it said on the link is newer.
                        (member.row.draining, member.row.rooms) = (draining, rooms);
                    } else if lapsed && !member.dead {
                        effects.extend(member.die());
                    }
                }
                None => {
                    effects.push(Effect::Connect { node: row.node, address: row.address.clone() });
                    self.nodes.insert(row.node, Member::new(row, now));
                }
            }
        }
        let vanished: Vec<Incarnation> = self
            .nodes
            .iter()
            .filter(|(node, member)| !member.linked && !listed.contains(node))
            .map(|(node, _)| *node)
            .collect();
        for node in vanished {
            // It left, or somebody found it dead and has taken what it had.
            let Some(mut member) = self.nodes.remove(&node) else { continue };
            if !member.dead {
                effects.extend(member.die());
            }
            effects.push(Effect::Forget(node));
        }
        effects
    }

    /// What a node says of itself.
    pub fn said(&mut self, node: Incarnation, draining: bool, rooms: u32) {
        if let Some(member) = self.nodes.get_mut(&node) {
            (member.row.draining, member.row.rooms) = (draining, rooms);
        }
    }

    /// The link stands, or a silent node speaks again.
    pub fn heard(&mut self, node: Incarnation) -> Vec<Effect> {
        let Some(member) = self.nodes.get_mut(&node) else { return Vec::new() };
        member.linked = true;
        member.known = true;
        member.silent_since = None;
        // A node that was taken for dead and is not: its rooms are elsewhere, and it will notice.
        member.dead = false;
        member.suspected_by.clear();
        let told = std::mem::take(&mut member.told);
        told.then_some(Effect::Tell { node, silent: false }).into_iter().collect()
    }

    /// The link stands and nothing comes.
    pub fn silent(&mut self, node: Incarnation, now: Millis) {
        if let Some(member) = self.nodes.get_mut(&node) {
            // The link waited for the whole of the silence already.
            let since = Millis(now.0.saturating_sub(self.timing.silence));
            member.silent_since.get_or_insert(since);
        }
    }

    /// The link broke.
    pub fn down(&mut self, node: Incarnation, now: Millis) {
        if let Some(member) = self.nodes.get_mut(&node) {
            member.linked = false;
            member.silent_since.get_or_insert(now);
        }
    }

    /// Its process has ended.
    pub fn gone(&mut self, node: Incarnation) -> Vec<Effect> {
        let Some(member) = self.nodes.get_mut(&node) else { return Vec::new() };
        member.linked = false;
        if member.dead { Vec::new() } else { member.die() }
    }

    /// Another node does not hear this one, or does again.
    pub fn suspicion(&mut self, from: Incarnation, node: Incarnation, silent: bool) {
        let Some(member) = self.nodes.get_mut(&node) else { return };
        if silent {
            member.suspected_by.insert(from);
        } else {
            member.suspected_by.remove(&from);
        }
    }

    /// Time passed. Call every 50 to 100 ms.
    pub fn tick(&mut self, now: Millis) -> Vec<Effect> {
        let stopped = self.ticked.is_some_and(|last| now.0.saturating_sub(last.0) >= self.timing.stopped);
        self.ticked = Some(now);
        if stopped {
            for member in self.nodes.values_mut() {
                member.silent_since = member.silent_since.map(|_| now);
                member.suspected_by.clear();
            }
            return Vec::new();
        }
        let silent: Vec<Incarnation> = self
            .nodes
            .iter()
            .filter(|(_, member)| !member.dead && member.is_silent(now, &self.timing))
            .map(|(node, _)| *node)
            .collect();
        let mut effects = Vec::new();
        for node in silent {
            let others_hear =
                self.nodes.iter().any(|(other, member)| *other != node && !member.dead && member.hears());
            let Some(member) = self.nodes.get_mut(&node) else { continue };
            if !std::mem::replace(&mut member.told, true) {
                effects.push(Effect::Tell { node, silent: true });
            }
            if !others_hear || !member.suspected_by.is_empty() {
                effects.extend(member.die());
            }
        }
        effects
    }
}

impl Member {
    fn new(row: Row, now: Millis) -> Member {
        Member {
            row,
            linked: false,
            dead: false,
            known: false,
            silent_since: Some(now),
            suspected_by: BTreeSet::new(),
            told: false,
        }
    }

    fn is_silent(&self, now: Millis, timing: &Timing) -> bool {
        let due = if self.known { timing.silence + timing.patience } else { timing.introduction };
        self.silent_since.is_some_and(|since| now.0.saturating_sub(since.0) >= due)
    }

    /// It could tell us what it hears.
    fn hears(&self) -> bool {
        self.linked && self.silent_since.is_none()
    }

    fn die(&mut self) -> Vec<Effect> {
        self.dead = true;
        vec![Effect::Dead(self.row.node)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Incarnation = Incarnation([0; 16]);
    const A: Incarnation = Incarnation([1; 16]);
    const B: Incarnation = Incarnation([2; 16]);

    fn row(node: Incarnation, age: u64) -> Row {
        Row {
            node,
            address: format!("{}", node.0[0]),
            process: "p".into(),
            http: String::new(),
            version: String::new(),
            zone: String::new(),
            draining: false,
            rooms: 0,
            age,
        }
    }

    fn three() -> Members {
        let mut members = Members::new(ME, Timing::default());
        let effects = members.roster(vec![row(ME, 0), row(A, 0), row(B, 0)], Millis(0));
        assert_eq!(effects.len(), 2, "a link to each other node: {effects:?}");
        members.heard(A);
        members.heard(B);
        run(&mut members, 0, 100);
        members
    }

    /// Ticks every 100 ms and gathers what comes of it.
    fn run(members: &mut Members, from: u64, to: u64) -> Vec<Effect> {
        (from..=to).step_by(100).flat_map(|now| members.tick(Millis(now))).collect()
    }

    #[test]
    fn a_process_that_is_gone_is_dead_at_once() {
        let mut members = three();
        assert_eq!(members.gone(A), [Effect::Dead(A)]);
        assert_eq!(members.gone(A), []);
        assert!(!members.is_alive(A) && members.is_alive(B) && members.is_alive(ME));
    }

    #[test]
    fn silence_needs_a_second_observer_when_there_is_one() {
        let mut members = three();
        members.silent(A, Millis(600));
        let told = Effect::Tell { node: A, silent: true };
        assert_eq!(run(&mut members, 200, 3_000), [told]);
        members.suspicion(B, A, true);
        assert_eq!(members.tick(Millis(3_100)), [Effect::Dead(A)]);
    }

    #[test]
    fn alone_with_a_silent_node_one_observer_is_enough() {
        let mut members = three();
        members.gone(B);
        members.down(A, Millis(200));
        let effects = run(&mut members, 200, 700);
        assert_eq!(effects, []);
        let effects = run(&mut members, 800, 900);
        assert_eq!(effects, [Effect::Tell { node: A, silent: true }, Effect::Dead(A)]);
    }

    #[test]
    fn an_observer_that_hears_nobody_is_not_asked() {
        let mut members = three();
        members.down(A, Millis(200));
        members.down(B, Millis(200));
        // Both are silent to this node, so neither could confirm: it acts, and if it is the one that is cut off, the
        // arbiter is out of its reach as well.
        let dead: Vec<Effect> = run(&mut members, 200, 900)
            .into_iter()
            .filter(|effect| matches!(effect, Effect::Dead(_)))
            .collect();
        assert_eq!(dead, [Effect::Dead(A), Effect::Dead(B)]);
    }

    #[test]
    fn who_was_stopped_forgives_first() {
        let mut members = three();
        members.silent(A, Millis(30_000));
        members.silent(B, Millis(30_000));
        assert_eq!(members.tick(Millis(30_000)), []);
        members.heard(A);
        members.heard(B);
        assert_eq!(run(&mut members, 30_100, 40_000), []);
    }

    #[test]
    fn a_node_that_was_never_heard_gets_more_time() {
        let mut members = Members::new(ME, Timing::default());
        members.roster(vec![row(A, 0)], Millis(0));
        assert_eq!(run(&mut members, 0, 2_900), []);
        assert!(run(&mut members, 3_000, 3_100).contains(&Effect::Dead(A)));
    }

    #[test]
    fn a_dead_node_that_speaks_lives() {
        let mut members = three();
        members.gone(B);
        members.silent(A, Millis(600));
        assert!(run(&mut members, 200, 900).contains(&Effect::Dead(A)));
        assert_eq!(members.heard(A), [Effect::Tell { node: A, silent: false }]);
        assert!(members.is_alive(A));
    }

    #[test]
    fn a_lapsed_row_counts_only_without_a_link() {
        let mut members = three();
        assert_eq!(members.roster(vec![row(A, 9_000), row(B, 0)], Millis(100)), []);
        members.down(A, Millis(100));
        assert_eq!(members.roster(vec![row(A, 9_000), row(B, 0)], Millis(200)), [Effect::Dead(A)]);
    }

    #[test]
    fn a_node_that_left_is_forgotten() {
        let mut members = three();
        members.down(A, Millis(100));
        let effects = members.roster(vec![row(B, 0)], Millis(200));
        assert_eq!(effects, [Effect::Dead(A), Effect::Forget(A)]);
        assert!(members.get(A).is_none());
    }
}
