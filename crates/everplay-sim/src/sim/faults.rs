//! What goes wrong, and when.

use super::world::{Dice, Ms};

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A machine's process is killed and started again after this long.
    Kill { machine: usize, back: Ms },
    /// A process stands still.
    Freeze { machine: usize, lasts: Ms },
    /// A process' clock jumps ahead.
    Jump { machine: usize, by: Ms },
    /// The way from one machine to another is cut; both ways if so.
    Cut { from: usize, to: usize, both: bool, lasts: Ms },
    /// The connection between two machines is reset.
    Reset { from: usize, to: usize },
    /// A machine does not reach the store.
    CutStore { machine: usize, lasts: Ms },
    /// The store's primary dies.
    FailOver { pause: Ms },
    /// The store answers late.
    SlowStore { by: Ms, lasts: Ms },
    /// The store has no space.
    FullStore { lasts: Ms },
    /// Calls to the store get lost.
    LossyStore { per_mille: u64, lasts: Ms },
    /// The arbiter does not answer.
    ArbiterAway { lasts: Ms },
    /// Calls to the arbiter get lost.
    LossyArbiter { per_mille: u64, lasts: Ms },
    /// A machine does not reach the arbiter.
    CutArbiter { machine: usize, lasts: Ms },
    /// A machine is drained and started again.
    Drain { machine: usize },
}

/// The faults of one run, in order of time.
pub(crate) fn plan(dice: &mut Dice, machines: usize, until: Ms) -> Vec<(Ms, Fault)> {
    let mut plan = Vec::new();
    let count = dice.between(1, 6);
    for _ in 0..count {
        let at = dice.between(200, until - 200);
        plan.push((at, one(dice, machines)));
        // Faults that come together find more than faults that come alone.
        if dice.chance(300) {
            plan.push((at + dice.between(0, 150), one(dice, machines)));
        }
    }
    plan.sort_by_key(|(at, _)| *at);
    plan
}

fn one(dice: &mut Dice, machines: usize) -> Fault {
    let machine = dice.below(machines as u64) as usize;
    let other = (machine + 1 + dice.below((machines as u64 - 1).max(1)) as usize) % machines;
    let lasts = dice.between(100, 2_500);
    match dice.below(if machines > 1 { 20 } else { 14 }) {
        0..=2 => Fault::Kill { machine, back: dice.between(20, 1_500) },
        3..=4 => Fault::Freeze { machine, lasts: dice.between(50, 4_000) },
        5 => Fault::Jump { machine, by: dice.between(100, 5_000) },
        6 => Fault::CutStore { machine, lasts },
        7..=8 => Fault::FailOver { pause: dice.between(50, 1_500) },
        9 => Fault::SlowStore { by: dice.between(5, 200), lasts },
        10 => Fault::FullStore { lasts },
        11 => Fault::LossyStore { per_mille: dice.between(20, 300), lasts },
        12 => Fault::LossyArbiter { per_mille: dice.between(20, 400), lasts },
        13 if dice.chance(500) => Fault::CutArbiter { machine, lasts },
        13 => Fault::ArbiterAway { lasts },
        14..=15 => Fault::Cut { from: machine, to: other, both: dice.chance(500), lasts },
        16..=17 => Fault::Reset { from: machine, to: other },
        _ => Fault::Drain { machine },
    }
}
