//! One step of the simulation: turn, thrust, fire, move, hit. Pure: nothing but the arguments counts.
//!
//! ```text
//! for each ship:    keys -> heading -> velocity (at most 3) -> position -> a missile if fire was pressed
//! for each missile: too old -> gone, else the first ship of another crew within 28 px -> hit
//! ```
//!
//! Hits are found before anything is removed, so two who hit each other in the same step are both gone.
//!
//! Ships and missiles are parts of the room's state; their public fields are what clients need to draw them and to
//! predict their own, the private ones what a restart needs to go on.

use crate::world::{HEADINGS, SIZE, along, distance_squared, limit, wrap};
use everplay::prelude::*;

/// Steps a second.
pub const RATE: u32 = 60;
/// Pixels per step that one step of thrust adds.
pub const THRUST: f64 = 0.05;
/// Most pixels per step of a ship: 180 a second.
pub const TOP_SPEED: f64 = 3.0;
/// Pixels per step of a missile, beyond those of its ship.
pub const MISSILE_SPEED: f64 = 10.0;
/// Steps a missile flies: half a second, 300 pixels from where its ship would be.
pub const MISSILE_LIFE: u32 = 30;
/// A missile hits below this distance between the centres, in pixels.
pub const HIT_DISTANCE: f64 = 28.0;
/// [`Ship::thrust`] while the key is down; counts down after, so that a short burst is seen between two patches.
pub const FLAME: u8 = 5;
/// The heading of a new ship: down.
pub const FIRST_HEADING: u8 = 36;
/// The crew of all bots. Every player is a crew of their own, from 1.
pub const BOTS: u16 = 0;

/// A ship that flies.
#[derive(State, Default, Debug, Clone, PartialEq)]
pub struct Ship {
    /// Pixels from the left, 0 to 3000.
    pub x: f32,
    /// Pixels from the top.
    pub y: f32,
    /// Pixels per step.
    pub vx: f32,
    /// Pixels per step.
    pub vy: f32,
    /// 2.5 degrees each, clockwise; 0 is right.
    pub heading: u8,
    /// [`FLAME`] while it thrusts, then down to 0.
    pub thrust: u8,
    /// Nothing hits it before this step.
    #[state(rename = "safeUntil")]
    pub safe_until: u32,
    /// Missiles do not hit ships of the crew that fired them.
    #[state(private)]
    pub crew: u16,
    /// Keys held.
    #[state(private)]
    pub up: bool,
    /// See `up`.
    #[state(private)]
    pub left: bool,
    /// See `up`.
    #[state(private)]
    pub right: bool,
    /// See `up`.
    #[state(private)]
    pub fire: bool,
    /// Fire went down since the last step.
    #[state(private)]
    pub pressed: bool,
    /// When a bot may fire next; players decide themselves.
    #[state(private)]
    pub next_shot: u32,
}

/// What a pilot holds down.
#[derive(State, Default, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Controls {
    /// Thrust along the nose.
    pub up: bool,
    /// Turn counter-clockwise.
    pub left: bool,
    /// Turn clockwise.
    pub right: bool,
    /// One missile each time it goes down.
    pub fire: bool,
}

/// A missile. It never turns, so its start tells where it is: nothing of it changes while it flies.
#[derive(State, Default, Debug, Clone, PartialEq)]
pub struct Missile {
    /// The key of the ship that fired it.
    pub owner: String,
    /// Where it was in the step `born`.
    pub x: f32,
    /// See `x`.
    pub y: f32,
    /// Pixels per step.
    pub vx: f32,
    /// Pixels per step.
    pub vy: f32,
    /// The step it was fired in.
    pub born: u32,
    /// The crew that fired it.
    #[state(private)]
    pub crew: u16,
}

/// A missile that found a ship. Both are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The key of the missile.
    pub missile: String,
    /// The key of the ship that fired it, which may be gone itself.
    pub shooter: String,
    /// The key of the ship that was hit.
    pub victim: String,
}

impl Ship {
    /// A ship at rest that nothing hits before the step `safe_until`.
    pub fn new(at: (f32, f32), crew: u16, safe_until: u32) -> Self {
        Ship { x: at.0, y: at.1, heading: FIRST_HEADING, safe_until, crew, ..Ship::default() }
    }

    /// Takes over what the pilot holds down. A press of fire counts even if it ends before the next step.
    pub fn steer(&mut self, controls: Controls) {
        self.pressed |= controls.fire && !self.fire;
        Controls { up: self.up, left: self.left, right: self.right, fire: self.fire } = controls;
    }

    /// Where it is.
    pub fn at(&self) -> (f32, f32) {
        (self.x, self.y)
    }

    /// Whether missiles pass through it in this step.
    pub fn is_safe(&self, step: u32) -> bool {
        step < self.safe_until
    }

    fn fly(&mut self) {
        match (self.left, self.right) {
            (true, false) => self.heading = self.heading.checked_sub(1).unwrap_or(HEADINGS - 1),
            (false, true) => self.heading = (self.heading + 1) % HEADINGS,
            _ => {}
        }
        if self.up {
            let (x, y) = along(self.heading, THRUST);
            (self.vx, self.vy) = limit((self.vx + x, self.vy + y), TOP_SPEED);
            self.thrust = FLAME;
        } else {
            self.thrust = self.thrust.saturating_sub(1);
        }
        (self.x, self.y) = (wrap(self.x + self.vx), wrap(self.y + self.vy));
    }

    fn launch(&self, owner: &str, step: u32) -> Missile {
        let (x, y) = along(self.heading, MISSILE_SPEED);
        Missile {
            owner: owner.to_owned(),
            x: self.x,
            y: self.y,
            vx: self.vx + x,
            vy: self.vy + y,
            born: step,
            crew: self.crew,
        }
    }
}

impl Missile {
    /// Steps since it was fired.
    pub fn age(&self, step: u32) -> u32 {
        step.saturating_sub(self.born)
    }

    /// Where it is in this step: start plus age times velocity. Exact: the most is 3000 + 30 * 13 pixels.
    pub fn at(&self, step: u32) -> (f32, f32) {
        let age = self.age(step).min(MISSILE_LIFE) as f32;
        (wrap(self.x + age * self.vx), wrap(self.y + age * self.vy))
    }
}

/// Computes the step with this number: changes `ships` and `missiles`, gives new missiles the keys after `shots`,
/// removes what was hit and tells of it, in the order of the missiles.
pub fn step(step: u32, ships: &mut Map<Ship>, missiles: &mut Map<Missile>, shots: &mut u32) -> Vec<Hit> {
    for (key, ship) in ships.iter_mut() {
        ship.fly();
        if std::mem::take(&mut ship.pressed) {
            // Who shoots can be shot.
            ship.safe_until = ship.safe_until.min(step);
            *shots = shots.wrapping_add(1);
            missiles.insert(shots.to_string(), ship.launch(key, step));
        }
    }
    if missiles.is_empty() {
        return Vec::new();
    }
    let old: Vec<String> = missiles
        .iter()
        .filter(|(_, missile)| missile.age(step) >= MISSILE_LIFE)
        .map(|(key, _)| key.to_owned())
        .collect();
    for key in &old {
        missiles.remove(key);
    }
    let hits = hits(step, ships, missiles);
    for hit in &hits {
        missiles.remove(&hit.missile);
        ships.remove(&hit.victim);
    }
    hits
}

/// Every missile takes at most one ship, every ship is taken once.
fn hits(step: u32, ships: &Map<Ship>, missiles: &Map<Missile>) -> Vec<Hit> {
    let mut hits: Vec<Hit> = Vec::new();
    // Side by side in memory: this is the only part that looks at pairs.
    let targets: Vec<(&str, (f32, f32), u16)> = ships
        .iter()
        .filter(|(_, ship)| !ship.is_safe(step))
        .map(|(key, ship)| (key, ship.at(), ship.crew))
        .collect();
    for (key, missile) in missiles.iter() {
        let at = missile.at(step);
        let victim = targets.iter().find(|(ship, place, crew)| {
            *crew != missile.crew && touch(at, *place) && !hits.iter().any(|hit| hit.victim == **ship)
        });
        if let Some((victim, ..)) = victim {
            let (missile_key, shooter) = (key.to_owned(), missile.owner.clone());
            hits.push(Hit { missile: missile_key, shooter, victim: (*victim).to_owned() });
        }
    }
    hits
}

/// Whether two centres are within [`HIT_DISTANCE`], the edge of the world or not.
pub fn touch(a: (f32, f32), b: (f32, f32)) -> bool {
    // Most pairs are far apart on one axis already.
    let apart = (a.0 - b.0).abs();
    if apart > HIT_DISTANCE as f32 && apart < SIZE - HIT_DISTANCE as f32 {
        return false;
    }
    distance_squared(a, b) < HIT_DISTANCE * HIT_DISTANCE
}

#[cfg(test)]
mod tests;
