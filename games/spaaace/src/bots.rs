//! What the bots hold down: turn towards the nearest ship, thrust, now and then fire.
//!
//! They look at ships only, never at missiles, the short way round the world, and prefer ships they can hit; where
//! there are none but bots they chase each other, so that whoever looks in sees something. Decisions are made with
//! sums and products alone, which are the same on every machine; chance comes from the rng passed in.

use crate::step::{BOTS, Controls, RATE, Ship};
use crate::world::{distance_squared, nose, offset};
use everplay::prelude::*;
use everplay::room::RoomRng;

/// A bot fires at what is nearer than this, in pixels; its missile flies 300 beyond its own way.
const SIGHT: f64 = 400.0;
/// Steps between two shots of a bot: 250 to 350, about 5 s.
const BETWEEN_SHOTS: std::ops::RangeInclusive<u32> = 250..=350;
/// Tangent of 4 degrees: a bot that is less off its target goes straight on.
const AIM: f64 = 0.069_926_811_943_510_41;
/// Steps after which a bot that was shot is back.
pub const AWAY: u32 = 5 * RATE;

/// The step of a bot's next shot.
pub fn next_shot(step: u32, rng: &mut RoomRng) -> u32 {
    let spread = u64::from(BETWEEN_SHOTS.end() - BETWEEN_SHOTS.start() + 1);
    step + BETWEEN_SHOTS.start() + rng.below(spread) as u32
}

/// Lets every bot among the ships steer for the coming step. `sights` is scratch space.
pub fn steer(step: u32, ships: &mut Map<Ship>, rng: &mut RoomRng, sights: &mut Vec<Sight>) {
    sights.clear();
    sights.extend(
        ships.values().map(|ship| Sight { at: ship.at(), prey: ship.crew != BOTS && !ship.is_safe(step) }),
    );
    for (number, ship) in ships.values_mut().enumerate() {
        if ship.crew != BOTS {
            continue;
        }
        let target = nearest(number, sights);
        let mut controls = target.map_or(Controls::default(), |target| chase(ship, target.at));
        if ship.next_shot <= step {
            let near = target.filter(|target| distance_squared(ship.at(), target.at) < SIGHT * SIGHT);
            // Fire goes down for one step; it was up before.
            controls.fire = near.is_some() && controls.up && !ship.held().fire;
            if controls.fire {
                ship.next_shot = next_shot(step, rng);
            }
        }
        // Bots see what is.
        ship.steer(controls, Duration::ZERO);
    }
}

/// A ship as a bot sees it.
#[derive(Debug, Clone, Copy)]
pub struct Sight {
    at: (f32, f32),
    prey: bool,
}

/// The nearest ship but the one with this number; any prey before all others.
fn nearest(own: usize, sights: &[Sight]) -> Option<Sight> {
    let from = sights[own].at;
    let mut best: Option<(bool, f64, Sight)> = None;
    for (number, sight) in sights.iter().enumerate() {
        if number == own {
            continue;
        }
        let distance = distance_squared(from, sight.at);
        let better = best
            .is_none_or(|(prey, least, _)| (sight.prey && !prey) || (sight.prey == prey && distance < least));
        if better {
            best = Some((sight.prey, distance, *sight));
        }
    }
    best.map(|(_, _, sight)| sight)
}

/// Turn towards the target; once it is ahead, thrust.
fn chase(ship: &Ship, target: (f32, f32)) -> Controls {
    let (nose_x, nose_y) = nose(ship.heading);
    let (x, y) = (f64::from(offset(ship.x, target.0)), f64::from(offset(ship.y, target.1)));
    let (ahead, aside) = (nose_x * x + nose_y * y, nose_x * y - nose_y * x);
    if ahead > 0.0 && aside.abs() <= AIM * ahead {
        Controls { up: true, ..Controls::default() }
    } else {
        Controls { left: aside < 0.0, right: aside >= 0.0, ..Controls::default() }
    }
}

#[cfg(test)]
mod tests;
