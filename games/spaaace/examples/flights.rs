//! Records flights of single ships from the server's own step, for the page's prediction to be held against:
//!
//! ```text
//! cargo run -p everplay-spaaace --example flights > web/src/spaaace/flights.json
//! ```
//!
//! A test in `tests/flights.rs` fails when the recording is not what the step computes any more. One flight is
//!
//! - `start`: `[x, y, vx, vy, heading, thrust]` before the first step;
//! - `keys`: a letter for each step, `a` plus the bits up 1, left 2, right 4, fire 8;
//! - `every30`: the same numbers as `start` after steps 30, 60 and so on;
//! - `missiles`: `[born, x, y, vx, vy]` of each, where it was fired.
//!
//! Numbers are the shortest decimals that mean the float32.

use everplay::prelude::*;
use everplay::room::RoomRng;
use everplay_spaaace::step::{Controls, Missile, Past, RATE, Ship, step};
use std::fmt::Write;

const FLIGHTS: u8 = 6;
/// Six seconds: enough to reach the top speed and to cross an edge.
const STEPS: u32 = 6 * RATE;
/// Keys are held this long at most, in steps.
const HELD: u64 = 25;

#[cfg_attr(test, expect(dead_code, reason = "the test of the recording has this file for a module"))]
fn main() {
    print!("{}", recording());
}

/// The file's text.
pub(crate) fn recording() -> String {
    let flights: Vec<String> = (0..FLIGHTS).map(flight).collect();
    format!("[\n{}\n]\n", flights.join(",\n"))
}

fn flight(seed: u8) -> String {
    let mut rng = RoomRng::new([seed; 32], 0);
    // Near a corner, so that edges are crossed.
    let at = (rng.below(400) as f32 + 2700.0, rng.below(400) as f32);
    let start = Ship::new((at.0 % 3000.0, at.1), 1, 0);
    let first = row(&motion(&start));
    let (mut ships, mut missiles, mut past) = (Map::new(), Map::<Missile>::new(), Past::default());
    ships.insert("ship", start);
    let (mut shots, mut known) = (0, 0);
    let (mut letters, mut places, mut fired) = (String::new(), Vec::new(), Vec::new());
    let (mut keys, mut held) = (0, 0);
    for number in 1..=STEPS {
        if held == 0 {
            keys = rng.below(16) as u8;
            held = 1 + rng.below(HELD);
        }
        held -= 1;
        letters.push(char::from(b'a' + keys));
        let bit = |bit: u8| keys & bit != 0;
        let controls = Controls { up: bit(1), left: bit(2), right: bit(4), fire: bit(8) };
        if let Some(ship) = ships.get_mut("ship") {
            ship.steer(controls, Duration::ZERO);
        }
        let now = Millis(u64::from(number) * 1000 / u64::from(RATE));
        step(number, now, &mut ships, &mut missiles, &mut shots, &mut past);
        if shots > known {
            known = shots;
            if let Some(Missile { x, y, vx, vy, born, .. }) = missiles.get(&shots.to_string()) {
                fired.push(row(&[*born as f32, *x, *y, *vx, *vy]));
            }
        }
        if number.is_multiple_of(30) {
            places.extend(ships.get("ship").map(|ship| row(&motion(ship))));
        }
    }
    format!(
        "  {{\n    \"start\": {first},\n    \"keys\": \"{letters}\",\n    \"every30\": [{}],\n    \"missiles\": [{}]\n  }}",
        places.join(","),
        fired.join(",")
    )
}

fn motion(ship: &Ship) -> [f32; 6] {
    [ship.x, ship.y, ship.vx, ship.vy, f32::from(ship.heading), f32::from(ship.thrust)]
}

fn row(numbers: &[f32]) -> String {
    let mut row = String::from("[");
    for (at, number) in numbers.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        // Adding zero makes a negative zero a plain one.
        write!(row, "{comma}{}", number + 0.0).expect("writing to a String does not fail");
    }
    row + "]"
}
