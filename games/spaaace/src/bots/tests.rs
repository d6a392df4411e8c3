//! Bots alone, and bots with prey: ten minutes each.

use super::*;
use crate::step::{Missile, Past, step};
use crate::{pilots, world};

struct Arena {
    step: u32,
    shots: u32,
    ships: Map<Ship>,
    missiles: Map<Missile>,
    rng: RoomRng,
    sights: Vec<Sight>,
    past: Past,
}

impl Arena {
    fn new(seed: u8, bots: usize) -> Self {
        let mut arena = Arena {
            step: 0,
            shots: 0,
            ships: Map::new(),
            missiles: Map::new(),
            rng: RoomRng::new([seed; 32], 0),
            sights: Vec::new(),
            past: Past::default(),
        };
        for number in 0..bots {
            arena.launch(&format!("bot{number}"), BOTS);
        }
        arena
    }

    fn launch(&mut self, key: &str, crew: u16) {
        let at = pilots::place(self.step, &self.ships, &self.missiles, &mut self.rng);
        let mut ship = Ship::new(at, crew, self.step);
        ship.next_shot = next_shot(self.step, &mut self.rng);
        self.ships.insert(key, ship);
    }

    fn step(&mut self) -> usize {
        self.step += 1;
        steer(self.step, &mut self.ships, &mut self.rng, &mut self.sights);
        let now = Millis(u64::from(self.step) * 1000 / u64::from(RATE));
        let (ships, missiles) = (&mut self.ships, &mut self.missiles);
        step(self.step, now, ships, missiles, &mut self.shots, &mut self.past).len()
    }
}

#[test]
fn bots_keep_an_arena_alive_for_ten_minutes() {
    let mut arena = Arena::new(1, 3);
    let (mut hits, mut since_thrust, mut last_shot) = (0, 0, 0);
    for _ in 0..10 * 60 * RATE {
        if !arena.ships.contains_key("player") {
            arena.launch("player", 1);
        }
        let shots = arena.shots;
        hits += arena.step();
        assert_eq!(arena.ships.values().filter(|ship| ship.crew == BOTS).count(), 3, "bots do not hit bots");
        since_thrust = if arena.ships.values().any(|ship| ship.held().up) { 0 } else { since_thrust + 1 };
        // Half a turn takes 72 steps.
        assert!(since_thrust < 3 * RATE, "nobody moves");
        last_shot = if arena.shots > shots { arena.step } else { last_shot };
        assert!(arena.step - last_shot < 60 * RATE, "a minute without a shot");
    }
    assert!(hits >= 10, "three bots hit somebody who does not fly only {hits} times");
    assert!(arena.shots >= 100, "{} shots", arena.shots);
}

#[test]
fn a_bot_never_shoots_faster_than_every_250_steps() {
    let mut arena = Arena::new(2, 1);
    let mut last = 0;
    for _ in 0..60 * RATE {
        if !arena.ships.contains_key("player") {
            arena.launch("player", 1);
        }
        let before = arena.shots;
        arena.step();
        assert!(arena.shots - before <= 1);
        if arena.shots > before {
            assert!(arena.step - last >= 250);
            last = arena.step;
        }
    }
    assert!(arena.shots > 0);
}

#[test]
fn bots_look_at_ships_and_not_at_missiles() {
    let (mut with, mut without) = (Arena::new(3, 1), Arena::new(3, 1));
    for arena in [&mut with, &mut without] {
        arena.ships.insert("player", Ship::new((100.0, 100.0), 1, u32::MAX));
    }
    let bot = with.ships.get("bot0").unwrap().at();
    for number in 0..200 {
        with.missiles.insert(
            format!("old{number}"),
            Missile { x: world::wrap(bot.0 + 40.0), y: bot.1, born: 2 * number, ..Missile::default() },
        );
        with.step();
        without.step();
        assert_eq!(with.ships.get("bot0"), without.ships.get("bot0"));
    }
}

#[test]
fn a_bot_takes_the_short_way_and_prefers_prey() {
    let mut arena = Arena::new(4, 0);
    let mut bot = Ship::new((2900.0, 1500.0), BOTS, 0);
    (bot.heading, bot.next_shot) = (0, u32::MAX);
    arena.ships.insert("bot0", bot);
    arena.ships.insert("bot1", Ship { next_shot: u32::MAX, ..Ship::new((2900.0, 1400.0), BOTS, 0) });
    arena.ships.insert("prey", Ship::new((150.0, 1500.0), 1, 0));
    arena.step();
    let bot = arena.ships.get("bot0").unwrap();
    assert!(bot.held().up && bot.vx > 0.0, "over the edge, past its fellow");
    arena.ships.remove("prey");
    arena.step();
    assert!(arena.ships.get("bot0").unwrap().held().left, "with nobody else, its fellow will do");
}

#[test]
fn the_same_seed_gives_the_same_flights() {
    let (mut once, mut again) = (Arena::new(5, 8), Arena::new(5, 8));
    for _ in 0..1000 {
        once.step();
        again.step();
    }
    assert!(once.ships.iter().eq(again.ships.iter()));
    assert_eq!(once.shots, again.shots);
}
