//! One step of the simulation: turn, thrust, fire, move, hit. Pure: nothing but the arguments counts.
//!
//! ```text
//! for each ship:    keys -> heading -> velocity (at most 3) -> position -> a missile if fire was pressed
//! for each missile: too old -> gone, else the first ship of another crew within 28 px -> hit
//! ```
//!
//! A missile flies among the ships as its pilot saw them: it meets them where they were when fire was pressed, later
//! and later moments on its way, and in its last step the present. So a pilot hits what is drawn, and who sees a missile
//! come from afar can still get out of its way.
//!
//! Hits are found before anything is removed, so two who hit each other in the same step are both gone.
//!
//! Ships and missiles are parts of the room's state; their public fields are what clients need to draw them and to
//! predict their own, the private ones what a restart needs to go on.

use crate::world::{HEADINGS, SIZE, Spot, along, distance_squared, limit, wrap};
use everplay::prelude::*;

/// Where ships were, by their [hulls](Ship::hull).
pub type Past = Rewind<u32, Spot>;

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
    /// Which of all ships of the arena this is: the next ship of the same player is another one.
    #[state(private)]
    pub hull: u32,
    /// Keys held, one bit each and one for a press that was not looked at: one byte in the journal for all of them.
    #[state(private)]
    pub keys: u8,
    /// How late its pilot saw the others when fire went down, in ms. Used up by the step that follows.
    #[state(skip)]
    pub behind: u8,
    /// When a bot may fire next; players decide themselves.
    #[state(private)]
    pub next_shot: u32,
}

/// The bits of a ship's keys.
mod key {
    pub(super) const UP: u8 = 1;
    pub(super) const LEFT: u8 = 2;
    pub(super) const RIGHT: u8 = 4;
    pub(super) const FIRE: u8 = 8;
    /// Fire went down since the last step.
    pub(super) const PRESSED: u8 = 16;
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
    /// How late its pilot saw the others, in ms.
    #[state(private)]
    pub behind: u8,
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

    /// Takes over what the pilot holds down. A press of fire counts even if it ends before the next step; `behind` is
    /// how late the pilot saw the others then.
    pub fn steer(&mut self, controls: Controls, behind: Duration) {
        let mut keys = controls.bits() | (self.keys & key::PRESSED);
        if controls.fire && !self.held().fire {
            keys |= key::PRESSED;
            self.behind = u8::try_from(behind.as_millis()).unwrap_or(u8::MAX);
        }
        self.keys = keys;
    }

    /// What its pilot holds down.
    pub fn held(&self) -> Controls {
        let down = |bit: u8| self.keys & bit != 0;
        Controls { up: down(key::UP), left: down(key::LEFT), right: down(key::RIGHT), fire: down(key::FIRE) }
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
        let held = self.held();
        match (held.left, held.right) {
            (true, false) => self.heading = self.heading.checked_sub(1).unwrap_or(HEADINGS - 1),
            (false, true) => self.heading = (self.heading + 1) % HEADINGS,
            _ => {}
        }
        if held.up {
            let (x, y) = along(self.heading, THRUST);
            (self.vx, self.vy) = limit((self.vx + x, self.vy + y), TOP_SPEED);
            self.thrust = FLAME;
        } else {
            self.thrust = self.thrust.saturating_sub(1);
        }
        (self.x, self.y) = (wrap(self.x + self.vx), wrap(self.y + self.vy));
    }

    fn launch(&mut self, owner: &str, step: u32) -> Missile {
        let (x, y) = along(self.heading, MISSILE_SPEED);
        Missile {
            owner: owner.to_owned(),
            x: self.x,
            y: self.y,
            vx: self.vx + x,
            vy: self.vy + y,
            born: step,
            crew: self.crew,
            behind: std::mem::take(&mut self.behind),
        }
    }
}

impl Controls {
    fn bits(self) -> u8 {
        let bit = |down: bool, bit: u8| if down { bit } else { 0 };
        bit(self.up, key::UP)
            | bit(self.left, key::LEFT)
            | bit(self.right, key::RIGHT)
            | bit(self.fire, key::FIRE)
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

    /// How long ago the ships were where it meets them in this step: what its pilot saw, less and less of it.
    pub fn ago(&self, step: u32) -> Duration {
        let left = MISSILE_LIFE.saturating_sub(self.age(step));
        Duration::from_millis(u64::from(u32::from(self.behind) * left / MISSILE_LIFE))
    }
}

/// Computes the step with this number at the room's time `now`: changes `ships` and `missiles`, gives new missiles the
/// keys after `shots`, adds the step to the `past`, removes what was hit and tells of it, in the order of the missiles.
pub fn step(
    step: u32,
    now: Millis,
    ships: &mut Map<Ship>,
    missiles: &mut Map<Missile>,
    shots: &mut u32,
    past: &mut Past,
) -> Vec<Hit> {
    for (key, ship) in ships.iter_mut() {
        ship.fly();
        if ship.keys & key::PRESSED != 0 {
            ship.keys &= !key::PRESSED;
            // Who shoots can be shot.
            ship.safe_until = ship.safe_until.min(step);
            *shots = shots.wrapping_add(1);
            missiles.insert(shots.to_string(), ship.launch(key, step));
        }
    }
    past.record(now, ships.values().map(|ship| (ship.hull, Spot(ship.x, ship.y))));
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
    let hits = hits(step, now, ships, missiles, past);
    for hit in &hits {
        missiles.remove(&hit.missile);
        ships.remove(&hit.victim);
    }
    hits
}

/// A ship that can be hit, as the search sees it.
struct Target<'a> {
    key: &'a str,
    at: (f32, f32),
    crew: u16,
    hull: u32,
}

/// Every missile takes at most one ship, every ship is taken once.
fn hits(step: u32, now: Millis, ships: &Map<Ship>, missiles: &Map<Missile>, past: &Past) -> Vec<Hit> {
    let mut hits: Vec<Hit> = Vec::new();
    // Side by side in memory: this is the only part that looks at pairs.
    let targets: Vec<Target<'_>> = ships
        .iter()
        .filter(|(_, ship)| !ship.is_safe(step))
        .map(|(key, ship)| Target { key, at: ship.at(), crew: ship.crew, hull: ship.hull })
        .collect();
    for (key, missile) in missiles.iter() {
        let at = missile.at(step);
        let ago = missile.ago(step);
        let moment = past.at(now - ago);
        let meets = |target: &Target<'_>| {
            if ago.is_zero() {
                return touch(at, target.at);
            }
            // A ship that the past does not know, because the room was restored, is met where it is.
            within(at, target.at, HIT_DISTANCE + FARTHEST)
                && touch(at, moment.place(&target.hull).map_or(target.at, |Spot(x, y)| (x, y)))
        };
        let victim = targets.iter().find(|target| {
            target.crew != missile.crew && meets(target) && !hits.iter().any(|hit| hit.victim == target.key)
        });
        if let Some(victim) = victim {
            let (missile_key, shooter) = (key.to_owned(), missile.owner.clone());
            hits.push(Hit { missile: missile_key, shooter, victim: victim.key.to_owned() });
        }
    }
    hits
}

/// More than a ship flies in the 255 ms that fit a missile's `behind`, in pixels, a late step or two included.
const FARTHEST: f64 = TOP_SPEED * RATE as f64 * 0.3;

/// Whether two centres are within [`HIT_DISTANCE`], the edge of the world or not.
pub fn touch(a: (f32, f32), b: (f32, f32)) -> bool {
    within(a, b, HIT_DISTANCE)
}

fn within(a: (f32, f32), b: (f32, f32), reach: f64) -> bool {
    // Most pairs are far apart on one axis already.
    let apart = (a.0 - b.0).abs();
    if apart > reach as f32 && apart < SIZE - reach as f32 {
        return false;
    }
    distance_squared(a, b) < reach * reach
}

#[cfg(test)]
mod tests;
