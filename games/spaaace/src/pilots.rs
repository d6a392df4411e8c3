//! Names for pilots, and the place where a ship may appear.

use crate::step::{Missile, Ship};
use crate::world::{SIZE, distance_squared};
use everplay::prelude::*;
use everplay::room::RoomRng;

/// Characters of a name; fits above a ship.
const NAME_LENGTH: usize = 20;
/// A place is good when nothing is nearer than this: the reach of a missile and a little.
const CLEARANCE: f64 = 350.0;
/// Places tried; in an arena of 100 ships each is good with a probability above 1 %, so the best of them counts.
const TRIES: usize = 24;

const FIRST: [&str; 16] = [
    "Ar", "Bel", "Cor", "Dra", "El", "Fen", "Gal", "Hal", "Ix", "Jor", "Kas", "Lum", "Mir", "Nov", "Or",
    "Zar",
];
const MIDDLE: [&str; 8] = ["a", "e", "i", "o", "ari", "eno", "ul", "y"];
const LAST: [&str; 16] = [
    "bor", "dan", "dex", "don", "kan", "la", "lax", "mar", "nis", "nox", "ra", "ron", "tar", "thea", "vik",
    "zen",
];

/// A name as shown: no control characters, single blanks, at most 20 characters; one of ours when nothing is left.
pub fn name(wish: &str, rng: &mut RoomRng) -> String {
    let visible: String = wish.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let joined = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = joined.chars().take(NAME_LENGTH).collect();
    if cut.is_empty() { invented(rng) } else { cut.trim_end().to_owned() }
}

/// A name for somebody without one.
pub fn invented(rng: &mut RoomRng) -> String {
    let parts = [&FIRST[..], &MIDDLE[..], &LAST[..]];
    parts.iter().filter_map(|part| rng.pick(part)).copied().collect()
}

/// A place for a new ship, on whole pixels: the first one drawn with nothing near, else the emptiest of them.
pub fn place(step: u32, ships: &Map<Ship>, missiles: &Map<Missile>, rng: &mut RoomRng) -> (f32, f32) {
    let mut best = (f64::NEG_INFINITY, (0.0, 0.0));
    for _ in 0..TRIES {
        let mut coordinate = || rng.below(SIZE as u64) as f32;
        let at = (coordinate(), coordinate());
        let others = ships.values().map(Ship::at).chain(missiles.values().map(|missile| missile.at(step)));
        let room = others.map(|other| distance_squared(at, other)).fold(f64::INFINITY, f64::min);
        if room >= CLEARANCE * CLEARANCE {
            return at;
        }
        if room > best.0 {
            best = (room, at);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rng() -> RoomRng {
        RoomRng::new([9; 32], 0)
    }

    #[test]
    fn names_are_cleaned_and_never_empty() {
        assert_eq!(name("  Ada\u{7} \n Lovelace, Countess of Lovelace ", &mut rng()), "Ada Lovelace, Counte");
        let invented: Vec<String> = (0..50).map(|_| name(" \t", &mut rng())).collect();
        assert!(invented.iter().all(|name| (4..=NAME_LENGTH).contains(&name.chars().count())));
    }

    #[test]
    fn a_new_ship_is_clear_of_all_others() {
        let (mut ships, mut rng) = (Map::new(), rng());
        for number in 0..10 {
            let at = place(0, &ships, &Map::new(), &mut rng);
            assert!(
                ships.values().all(|ship: &Ship| distance_squared(ship.at(), at) >= CLEARANCE * CLEARANCE)
            );
            ships.insert(number.to_string(), Ship::new(at, number, 0));
        }
        for number in 10..100 {
            let at = place(0, &ships, &Map::new(), &mut rng);
            assert!(ships.values().all(|ship| distance_squared(ship.at(), at) >= 100.0 * 100.0), "{number}");
            ships.insert(number.to_string(), Ship::new(at, number, 0));
        }
    }
}
