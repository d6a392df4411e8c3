//! Breadth first, so that what is found is as short as can be.

use super::actions::{Action, Machine};
use super::rules::{Bounds, Judge, Rules};
use super::state::{State, Violation};
use std::fmt;
use std::hash::{Hash, Hasher};

/// What a search found.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Different states seen, nodes counted as alike.
    pub states: usize,
    /// Steps of the longest shortest way to a state.
    pub depth: usize,
    /// A shortest way to a violation; none when there is none within the bounds.
    pub found: Option<(Vec<Step>, Violation)>,
}

/// One step of a way to a violation.
#[derive(Debug, Clone)]
pub struct Step {
    /// What happens.
    pub action: Action,
    /// What then is in force: grant, fence, journal, replica, what clients saw.
    pub after: String,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((steps, violation)) = &self.found else {
            return write!(f, "clean: {} states, {} steps deep", self.states, self.depth);
        };
        writeln!(f, "{violation}, after {} steps:", steps.len())?;
        for (number, step) in steps.iter().enumerate() {
            let action = step.action.to_string();
            writeln!(f, "  {:>2}. {action:<44} {}", number + 1, step.after)?;
        }
        Ok(())
    }
}

/// Visits every state that can be reached under these rules within these bounds, or stops at the first violation.
pub fn search(rules: Rules, bounds: Bounds, judge: Judge) -> Outcome {
    let machine = Machine { rules, bounds, judge };
    let mut seen = Seen::new();
    let mut parents = vec![0u32];
    seen.insert(State::default().canonical());
    let mut next = Vec::new();
    let mut at = 0;
    let mut depth = 0;
    let mut level_end = 1;
    while at < seen.states.len() {
        if at == level_end {
            depth += 1;
            level_end = seen.states.len();
        }
        let state = seen.states[at];
        machine.next(&state, &mut next);
        for (action, result) in next.drain(..) {
            match result {
                Ok(state) => {
                    if seen.insert(state.canonical()) {
                        parents.push(at as u32);
                    }
                }
                Err(violation) => {
                    let steps = retrace(&machine, &seen.states, &parents, at, action);
                    return Outcome { states: seen.states.len(), depth, found: Some((steps, violation)) };
                }
            }
        }
        at += 1;
    }
    Outcome { states: seen.states.len(), depth, found: None }
}

/// Walks the way again with nodes that keep their names.
fn retrace(machine: &Machine, states: &[State], parents: &[u32], end: usize, last: Action) -> Vec<Step> {
    let mut way = vec![end];
    while let Some(&at) = way.last()
        && at != 0
    {
        way.push(parents[at] as usize);
    }
    let mut state = State::default();
    let mut steps = Vec::new();
    let mut next = Vec::new();
    for target in way.into_iter().rev().skip(1) {
        machine.next(&state, &mut next);
        let taken = next.drain(..).find_map(|(action, result)| {
            let after = result.ok()?;
            (after.canonical() == states[target]).then_some((action, after))
        });
        // The way was found with the same actions.
        let Some((action, after)) = taken else { break };
        state = after;
        steps.push(Step { action, after: describe(&state) });
    }
    machine.next(&state, &mut next);
    // Nodes may have other numbers here than in the state that the search looked at.
    let violating = next.drain(..).find(|(action, result)| {
        result.is_err() && std::mem::discriminant(action) == std::mem::discriminant(&last)
    });
    if let Some((action, _)) = violating {
        steps.push(Step { action, after: String::new() });
    }
    steps
}

fn describe(state: &State) -> String {
    let State { granted, primary, replica, gateway, .. } = state;
    format!(
        "grant {granted} fence {} journal {:?} replica {:?} seen {:?}",
        primary.fence, primary.log, replica.log, gateway.seen
    )
}

/// A set of states that remembers their order. The table holds numbers into the list, so a state is kept once.
struct Seen {
    states: Vec<State>,
    table: Vec<u32>,
}

impl Seen {
    const FREE: u32 = u32::MAX;

    fn new() -> Seen {
        Seen { states: Vec::new(), table: vec![Self::FREE; 1 << 12] }
    }

    fn insert(&mut self, state: State) -> bool {
        if self.states.len() * 2 >= self.table.len() {
            let mut table = vec![Self::FREE; self.table.len() * 2];
            for (number, state) in self.states.iter().enumerate() {
                let mut slot = hash(state) as usize & (table.len() - 1);
                while table[slot] != Self::FREE {
                    slot = (slot + 1) & (table.len() - 1);
                }
                table[slot] = number as u32;
            }
            self.table = table;
        }
        let mut slot = hash(&state) as usize & (self.table.len() - 1);
        loop {
            match self.table[slot] {
                Self::FREE => break,
                number if self.states[number as usize] == state => return false,
                _ => slot = (slot + 1) & (self.table.len() - 1),
            }
        }
        self.table[slot] = self.states.len() as u32;
        self.states.push(state);
        true
    }
}

/// Multiplies and mixes word by word: states are small, not chosen by an enemy, and hashed by the million.
#[derive(Default)]
struct Mix(u64);

fn hash(state: &State) -> u64 {
    let mut mix = Mix::default();
    state.hash(&mut mix);
    mix.finish()
}

impl Mix {
    fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.word(u64::from(*byte)));
    }

    fn write_u8(&mut self, value: u8) {
        self.word(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.word(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.word(value);
    }

    fn write_isize(&mut self, value: isize) {
        self.word(value as u64);
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}
