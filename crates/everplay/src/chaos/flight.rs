//! Whether an arena of ships goes on where it was seen last: pure.
//!
//! ```text
//! frames of one pilot -> Flight: no step back, no jump, no reset, scores only grow, nobody vanishes
//! what all pilots saw, and the journals -> Skies: one place per ship and step
//! ```
//!
//! The room is read by its public contract, as any client reads it: a ship moves at most [`TOP_SPEED`] pixels and turns at
//! most one heading a step, a hit counts once for who hit and once for who was hit.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Steps a second.
const RATE: f64 = 60.0;
/// Pixels a ship may move in one step.
const TOP_SPEED: f64 = 3.0;
/// Width and height of the world, which has no edges.
const SIZE: f64 = 3000.0;
/// Headings of a full turn.
const HEADINGS: i64 = 144;
/// Positions are exact; this is for the sum of two roundings of the speed limit.
const ROUNDING: f64 = 0.01;
/// Steps that may come early: the first frame was late by that much.
const EARLY: f64 = 120.0;
/// A frame after so long ends a pause.
const PAUSE: Duration = Duration::from_millis(150);

/// A ship at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Pose {
    x: f64,
    y: f64,
    heading: i64,
}

/// What counts for a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Score {
    kills: u64,
    deaths: u64,
}

/// An arena at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chart {
    pub(super) step: u64,
    ships: BTreeMap<String, Pose>,
    scores: BTreeMap<String, Score>,
}

impl Chart {
    /// Reads a state as JSON. `None`: it is no arena's.
    pub(super) fn of(state: &Value) -> Option<Chart> {
        // What was never set is 0.
        let whole = |value: &Value| if value.is_null() { Some(0) } else { value.as_u64() };
        let real = |value: &Value| if value.is_null() { Some(0.0) } else { value.as_f64() };
        let pose = |ship: &Value| {
            let heading = i64::try_from(whole(&ship["heading"])?).ok()?;
            Some(Pose { x: real(&ship["x"])?, y: real(&ship["y"])?, heading })
        };
        let score = |player: &Value| {
            Some(Score { kills: whole(&player["kills"])?, deaths: whole(&player["deaths"])? })
        };
        Some(Chart {
            step: whole(state.get("step")?)?,
            ships: entries(&state["ships"], pose)?,
            scores: entries(&state["players"], score)?,
        })
    }

    /// Where somebody's ship points; `None`: there is none.
    pub(super) fn heading(&self, pilot: &str) -> Option<i64> {
        self.ships.get(pilot).map(|ship| ship.heading)
    }

    fn hits(&self) -> (u64, u64) {
        let sum = |of: fn(&Score) -> u64| self.scores.values().map(of).sum();
        (sum(|score| score.kills), sum(|score| score.deaths))
    }
}

fn entries<T>(map: &Value, read: impl Fn(&Value) -> Option<T>) -> Option<BTreeMap<String, T>> {
    let Some(map) = map.as_object() else { return map.is_null().then(BTreeMap::new) };
    map.iter().map(|(key, value)| Some((key.clone(), read(value)?))).collect()
}

/// What a frame came to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Moved {
    /// Ships that were compared with where they had been.
    pub(super) ships: u64,
    /// The farthest that one of them went, in pixels.
    pub(super) farthest: f64,
    /// Steps since the frame before.
    pub(super) steps: u64,
}

/// What one pilot has seen of its arena.
#[derive(Debug, Default)]
pub(super) struct Flight {
    last: Option<Chart>,
    /// The first step seen.
    first: Option<u64>,
}

impl Flight {
    /// A frame was shown, so long after the first one. What is wrong with it, if anything.
    pub(super) fn sees(&mut self, chart: Chart, since_first: Duration) -> Result<Moved, String> {
        let Some(last) = self.last.replace(chart.clone()) else {
            self.first = Some(chart.step);
            return Ok(Moved::default());
        };
        if chart.step < last.step {
            return Err(format!("step {} was shown after step {}", chart.step, last.step));
        }
        let steps = chart.step - last.step;
        let played = chart.step.saturating_sub(self.first.unwrap_or(0)) as f64;
        if played > since_first.as_secs_f64() * RATE + EARLY {
            return Err(format!("{played} steps in {} ms", since_first.as_millis()));
        }
        let mut moved = Moved { steps, ..Moved::default() };
        for (pilot, before) in &last.scores {
            let now = chart.scores.get(pilot).ok_or_else(|| format!("player {pilot} vanished"))?;
            if now.kills < before.kills || now.deaths < before.deaths {
                return Err(format!("the score of {pilot} went from {before:?} to {now:?}"));
            }
            let (Some(from), true) = (last.ships.get(pilot), now.deaths == before.deaths) else { continue };
            let to = chart.ships.get(pilot).ok_or_else(|| format!("the ship of {pilot} vanished"))?;
            let way = distance(from, to);
            moved.ships += 1;
            moved.farthest = moved.farthest.max(way);
            if way > TOP_SPEED * steps as f64 + ROUNDING {
                return Err(format!("the ship of {pilot} went {way:.1} pixels in {steps} steps"));
            }
            let turned = (to.heading - from.heading).rem_euclid(HEADINGS);
            let turned = turned.min(HEADINGS - turned);
            if turned.unsigned_abs() > steps {
                return Err(format!("the ship of {pilot} turned {turned} headings in {steps} steps"));
            }
        }
        match chart.hits() {
            (kills, deaths) if kills == deaths => Ok(moved),
            (kills, deaths) => {
                Err(format!("{kills} hits were counted for who hit, {deaths} for who was hit"))
            }
        }
    }
}

/// The short way round.
fn distance(from: &Pose, to: &Pose) -> f64 {
    let axis = |from: f64, to: f64| {
        let straight = (to - from).rem_euclid(SIZE);
        straight.min(SIZE - straight)
    };
    axis(from.x, to.x).hypot(axis(from.y, to.y))
}

/// What all flights came to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Flights {
    /// Ships that were compared with where they had been a frame before.
    ships_compared: u64,
    /// Frames that ended a pause.
    resumptions: u64,
    /// The farthest that a ship went over one of them, in pixels.
    resumed_farthest_px: f64,
    /// Most steps of the simulation over one of them; a ship moves at most 3 pixels in each.
    resumed_most_steps: u64,
    /// Records of their journals that agree with what was shown.
    records_compared: u64,
}

impl Flights {
    /// Counts a frame that came after so long.
    pub(super) fn count(&mut self, moved: Moved, pause: Duration) {
        self.ships_compared += moved.ships;
        if pause > PAUSE {
            self.resumptions += 1;
            self.resumed_farthest_px = self.resumed_farthest_px.max(moved.farthest);
            self.resumed_most_steps = self.resumed_most_steps.max(moved.steps);
        }
    }

    /// Adds those of another region.
    pub(super) fn add(&mut self, other: &Flights) {
        self.ships_compared += other.ships_compared;
        self.resumptions += other.resumptions;
        self.resumed_farthest_px = self.resumed_farthest_px.max(other.resumed_farthest_px);
        self.resumed_most_steps = self.resumed_most_steps.max(other.resumed_most_steps);
        self.records_compared += other.records_compared;
    }

    pub(super) fn compared(&mut self, records: u64) {
        self.records_compared += records;
    }

    /// A sentence; empty when nobody flew.
    pub(super) fn show(&self) -> String {
        if self.ships_compared == 0 {
            return String::new();
        }
        let &Flights {
            ships_compared,
            resumptions,
            resumed_farthest_px,
            resumed_most_steps,
            records_compared,
        } = self;
        format!(
            "arenas: {ships_compared} times a ship was found where it could have flown to; over {resumptions} pauses \
             the farthest went {resumed_farthest_px:.0} px in at most {resumed_most_steps} steps of 3 px; scores, bots \
             and own ships went on, and {records_compared} records of journals agree\n"
        )
    }
}

/// What was shown of all arenas, by anyone.
#[derive(Debug, Default)]
pub(super) struct Skies {
    arenas: BTreeMap<String, Arena>,
}

#[derive(Debug, Default)]
struct Arena {
    /// The last step shown.
    height: u64,
    /// Ship and score of each player at each step shown, both hashed: a day of play fits.
    poses: HashMap<(u64, u64), u64>,
}

impl Skies {
    /// What somebody saw. The error: others saw it differently.
    pub(super) fn agree(&mut self, room: &str, chart: &Chart) -> Result<(), String> {
        if !self.arenas.contains_key(room) {
            self.arenas.insert(room.to_owned(), Arena::default());
        }
        let arena = self.arenas.get_mut(room).expect("it was put there");
        arena.height = arena.height.max(chart.step);
        for (pilot, place, pose) in marks(chart) {
            match arena.poses.insert(place, pose) {
                Some(known) if known != pose => {
                    return Err(format!("two truths about {pilot} in step {}", chart.step));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A step as a journal has it. The error: somebody was shown something else.
    pub(super) fn confirms(&self, room: &str, chart: &Chart) -> Result<(), String> {
        let Some(arena) = self.arenas.get(room) else { return Ok(()) };
        for (pilot, place, pose) in marks(chart) {
            if arena.poses.get(&place).is_some_and(|seen| *seen != pose) {
                return Err(format!(
                    "the journal has {pilot} elsewhere in step {} than was shown",
                    chart.step
                ));
            }
        }
        Ok(())
    }

    /// Arenas of which something was shown, with the last step shown.
    pub(super) fn heights(&self) -> impl Iterator<Item = (&str, u64)> {
        self.arenas.iter().map(|(room, arena)| (room.as_str(), arena.height))
    }
}

/// Where everybody with a ship is, as numbers: the step and who, where and how good.
fn marks(chart: &Chart) -> impl Iterator<Item = (&str, (u64, u64), u64)> {
    let hash = |value: &dyn Fn(&mut DefaultHasher)| {
        let mut hasher = DefaultHasher::new();
        value(&mut hasher);
        hasher.finish()
    };
    chart.ships.iter().map(move |(pilot, ship)| {
        let score = chart.scores.get(pilot).map(|score| (score.kills, score.deaths));
        let who = hash(&|hasher| pilot.hash(hasher));
        let pose = hash(&|hasher| (ship.x.to_bits(), ship.y.to_bits(), ship.heading, score).hash(hasher));
        (pilot.as_str(), (chart.step, who), pose)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn chart(step: u64, x: f64, deaths: u64) -> Chart {
        let state = json!({
            "step": step,
            "ships": { "me": { "x": x, "y": 10.0, "heading": 143 }, "bot1": { "x": 5.0, "y": 5.0 } },
            "players": { "me": { "kills": deaths }, "bot1": { "deaths": deaths, "bot": true } },
        });
        Chart::of(&state).unwrap()
    }

    fn watch(charts: Vec<Chart>) -> Result<Moved, String> {
        let mut flight = Flight::default();
        let mut moved = Ok(Moved::default());
        for (n, chart) in charts.into_iter().enumerate() {
            moved = Ok(flight.sees(chart, Duration::from_millis(50 * n as u64))?);
        }
        moved
    }

    #[test]
    fn ships_fly_as_far_as_they_can_also_round_the_world() {
        let moved = watch(vec![chart(10, 2_998.0, 0), chart(13, 4.0, 0)]).unwrap();
        assert_eq!(moved, Moved { ships: 2, farthest: 6.0, steps: 3 });
        assert_eq!(chart(1, 0.0, 0).heading("me"), Some(143));
        assert_eq!(Chart::of(&json!({ "tick": 3 })), None);
    }

    #[test]
    fn a_jump_a_reset_and_a_lost_score_are_found() {
        let said = |charts| watch(charts).unwrap_err();
        assert_eq!(said(vec![chart(9, 1.0, 0), chart(8, 1.0, 0)]), "step 8 was shown after step 9");
        let jump = said(vec![chart(10, 100.0, 0), chart(12, 110.0, 0)]);
        assert_eq!(jump, "the ship of me went 10.0 pixels in 2 steps");
        assert!(said(vec![chart(1, 1.0, 2), chart(2, 1.0, 1)]).starts_with("the score of "));
        assert_eq!(said(vec![chart(1, 1.0, 0), chart(500, 1.0, 0)]), "499 steps in 50 ms");
        let mut alone = chart(2, 1.0, 0);
        alone.ships.remove("bot1");
        assert_eq!(said(vec![chart(1, 1.0, 0), alone.clone()]), "the ship of bot1 vanished");
        alone.scores.remove("bot1");
        assert_eq!(said(vec![chart(1, 1.0, 0), alone]), "player bot1 vanished");
        let mut unfair = chart(2, 1.0, 0);
        unfair.scores.insert("bot1".to_owned(), Score { kills: 1, deaths: 0 });
        assert!(said(vec![chart(1, 1.0, 0), unfair]).starts_with("1 hits were counted"));
    }

    #[test]
    fn two_places_of_one_ship_are_found_whoever_tells_them() {
        let mut skies = Skies::default();
        skies.agree("r", &chart(1, 1.0, 0)).unwrap();
        skies.agree("r", &chart(1, 1.0, 0)).unwrap();
        skies.agree("r", &chart(2, 3.0, 0)).unwrap();
        assert_eq!(skies.agree("r", &chart(1, 2.0, 0)).unwrap_err(), "two truths about me in step 1");
        skies.confirms("r", &chart(2, 3.0, 0)).unwrap();
        skies.confirms("r", &chart(9, 9.0, 0)).unwrap();
        assert!(skies.confirms("r", &chart(2, 4.0, 0)).unwrap_err().contains("elsewhere in step 2"));
        assert_eq!(skies.heights().collect::<Vec<_>>(), [("r", 2)]);
    }
}
