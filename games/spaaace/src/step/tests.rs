//! What holds for any world, and the rules one by one.

use super::*;
use proptest::prelude::*;

/// Ships and missiles with the number of the last step.
#[derive(Debug, Clone, Default)]
struct World {
    step: u32,
    shots: u32,
    ships: Vec<(String, Ship)>,
    missiles: Vec<(String, Missile)>,
    past: Past,
}

impl World {
    /// Everything moved by the same amount.
    fn shifted(&self, by: (f32, f32)) -> World {
        // Up to twice the world, which is more than a float32 holds without rounding.
        let shift = |at: f32, by: f32| ((f64::from(at) + f64::from(by)) % f64::from(SIZE)) as f32;
        let mut world = self.clone();
        for (_, ship) in &mut world.ships {
            (ship.x, ship.y) = (shift(ship.x, by.0), shift(ship.y, by.1));
        }
        for (_, missile) in &mut world.missiles {
            (missile.x, missile.y) = (shift(missile.x, by.0), shift(missile.y, by.1));
        }
        world
    }

    /// The next step; ship `n` is steered by the bits of `keys[n]`.
    fn step(&mut self, keys: &[u8]) -> Vec<Hit> {
        let (mut ships, mut missiles) = (Map::new(), Map::new());
        for (number, (key, mut ship)) in self.ships.drain(..).enumerate() {
            if let Some(keys) = keys.get(number) {
                ship.steer(controls(*keys), Duration::ZERO);
            }
            ships.insert(key, ship);
        }
        for (key, missile) in self.missiles.drain(..) {
            missiles.insert(key, missile);
        }
        self.step += 1;
        let now = at_step(self.step);
        let hits = step(self.step, now, &mut ships, &mut missiles, &mut self.shots, &mut self.past);
        self.ships = ships.iter().map(|(key, ship)| (key.to_owned(), ship.clone())).collect();
        self.missiles = missiles.iter().map(|(key, missile)| (key.to_owned(), missile.clone())).collect();
        hits
    }

    fn ship(&self, key: &str) -> &Ship {
        self.ships.iter().find(|(known, _)| known == key).map(|(_, ship)| ship).unwrap()
    }
}

/// The room's time in a step.
fn at_step(step: u32) -> Millis {
    Millis(u64::from(step) * 1000 / u64::from(RATE))
}

fn controls(keys: u8) -> Controls {
    Controls { up: keys & 1 != 0, left: keys & 2 != 0, right: keys & 4 != 0, fire: keys & 8 != 0 }
}

fn grid(from: f32, to: f32) -> impl Strategy<Value = f32> {
    ((from * 4096.0) as i32..(to * 4096.0) as i32).prop_map(|units| units as f32 / 4096.0)
}

fn a_ship() -> impl Strategy<Value = Ship> {
    (grid(0.0, SIZE), grid(0.0, SIZE), grid(-2.1, 2.1), grid(-2.1, 2.1), 0..HEADINGS, 0..4_u16, 0..40_u32)
        .prop_map(|(x, y, vx, vy, heading, crew, safe_until)| Ship {
            x,
            y,
            vx,
            vy,
            heading,
            crew,
            safe_until,
            ..Ship::default()
        })
}

fn a_world() -> impl Strategy<Value = World> {
    let near = (grid(-60.0, 60.0), grid(-60.0, 60.0));
    (prop::collection::vec(a_ship(), 1..12), near).prop_map(|(mut ships, near)| {
        // Two that are likely to hit each other.
        if let [first, second, ..] = ships.as_mut_slice() {
            (second.x, second.y) = (wrap(first.x + near.0), wrap(first.y + near.1));
        }
        let named = |(number, ship): (usize, Ship)| (format!("ship{number}"), ship);
        World { ships: ships.into_iter().enumerate().map(named).collect(), ..World::default() }
    })
}

fn some_keys() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(0..16_u8, 12), 1..60)
}

fn speed((vx, vy): (f32, f32)) -> f64 {
    f64::from(vx).hypot(f64::from(vy))
}

fn on_grid(value: f32) -> bool {
    (value * 4096.0).fract() == 0.0
}

proptest! {
    #[test]
    fn nothing_leaves_the_world_the_grid_or_the_speed_limits(mut world in a_world(), keys in some_keys()) {
        for keys in &keys {
            world.step(keys);
            for (_, ship) in &world.ships {
                prop_assert!((0.0..SIZE).contains(&ship.x) && (0.0..SIZE).contains(&ship.y));
                prop_assert!([ship.x, ship.y, ship.vx, ship.vy].into_iter().all(on_grid));
                prop_assert!(speed((ship.vx, ship.vy)) <= TOP_SPEED);
                prop_assert!(ship.heading < HEADINGS);
            }
            for (_, missile) in &world.missiles {
                let (x, y) = missile.at(world.step);
                prop_assert!((0.0..SIZE).contains(&x) && (0.0..SIZE).contains(&y));
                prop_assert!((6.99..13.01).contains(&speed((missile.vx, missile.vy))));
                prop_assert!(missile.age(world.step) < MISSILE_LIFE);
            }
        }
    }

    #[test]
    fn only_thrust_gives_energy(mut world in a_world(), keys in some_keys()) {
        for keys in &keys {
            let before = world.clone();
            world.step(keys);
            for (key, ship) in &world.ships {
                let old = before.ship(key);
                let (gained, was) = (speed((ship.vx, ship.vy)), speed((old.vx, old.vy)));
                if ship.held().up {
                    prop_assert!(gained <= was + THRUST + 1.0 / 4096.0);
                } else {
                    prop_assert_eq!((ship.vx, ship.vy), (old.vx, old.vy));
                }
            }
        }
    }

    #[test]
    fn a_shifted_world_goes_on_shifted(
        mut world in a_world(),
        keys in some_keys(),
        by in (grid(0.0, SIZE), grid(0.0, SIZE)),
    ) {
        let mut moved = world.shifted(by);
        for keys in &keys {
            prop_assert_eq!(world.step(keys), moved.step(keys));
            let here = world.shifted(by);
            prop_assert_eq!(&here.ships, &moved.ships);
            prop_assert_eq!(&here.missiles, &moved.missiles);
        }
    }

    #[test]
    fn the_same_world_goes_on_the_same(world in a_world(), keys in some_keys()) {
        let (mut once, mut again) = (world.clone(), world);
        for keys in &keys {
            prop_assert_eq!(once.step(keys), again.step(keys));
        }
        prop_assert_eq!(once.ships, again.ships);
        prop_assert_eq!(once.missiles, again.missiles);
    }

    #[test]
    fn touching_has_no_direction_and_no_edge(
        a in (grid(0.0, SIZE), grid(0.0, SIZE)),
        way in (grid(-40.0, 40.0), grid(-40.0, 40.0)),
    ) {
        let b = (wrap(a.0 + way.0), wrap(a.1 + way.1));
        prop_assert_eq!(touch(a, b), touch(b, a));
        prop_assert_eq!(touch(a, b), speed(way) < HIT_DISTANCE);
    }

    #[test]
    fn hits_are_by_others_on_the_unsafe_and_only_once(mut world in a_world(), keys in some_keys()) {
        for keys in &keys {
            let before = world.clone();
            let hits = world.step(keys);
            for (number, hit) in hits.iter().enumerate() {
                let victim = before.ship(&hit.victim);
                prop_assert!(victim.safe_until <= world.step || keys.iter().any(|keys| keys & 8 != 0));
                prop_assert!(hit.shooter != hit.victim);
                prop_assert!(world.ships.iter().all(|(key, _)| *key != hit.victim));
                prop_assert!(world.missiles.iter().all(|(key, _)| *key != hit.missile));
                let again = |other: &Hit| other.victim == hit.victim || other.missile == hit.missile;
                prop_assert!(!hits[number + 1..].iter().any(again));
            }
            prop_assert_eq!(world.ships.len() + hits.len(), before.ships.len());
        }
    }
}

/// Ships of different crews that can be hit, at rest.
fn ships(at: &[(f32, f32, u8)]) -> World {
    let ship = |(number, (x, y, heading)): (usize, &(f32, f32, u8))| {
        let mut ship = Ship::new((*x, *y), number as u16 + 1, 0);
        ship.heading = *heading;
        (["a", "b", "c", "d"][number].to_owned(), ship)
    };
    World { ships: at.iter().enumerate().map(ship).collect(), ..World::default() }
}

#[test]
fn held_keys_turn_by_two_and_a_half_degrees_and_thrust_along_the_nose() {
    let mut world = ships(&[(100.0, 100.0, 36)]);
    for _ in 0..36 {
        world.step(&[0b100]);
    }
    assert_eq!(world.ship("a").heading, 72, "a right turn from down is left");
    for _ in 0..108 {
        world.step(&[0b010]);
    }
    assert_eq!(world.ship("a").heading, 108);
    world.step(&[0b110]);
    assert_eq!(world.ship("a").heading, 108, "both keys are none");
    world.step(&[0b001]);
    let ship = world.ship("a");
    assert_eq!((ship.vx, ship.vy, ship.thrust), (0.0, -205.0 / 4096.0, FLAME));
    let flames: Vec<u8> = (0..6).map(|_| (world.step(&[0]), world.ship("a").thrust).1).collect();
    assert_eq!(flames, [4, 3, 2, 1, 0, 0]);
}

#[test]
fn a_ship_gets_to_its_top_speed_and_keeps_it() {
    let mut world = ships(&[(0.0, 0.0, 17)]);
    for _ in 0..61 {
        world.step(&[1]);
    }
    assert!((2.998..=3.0).contains(&speed((world.ship("a").vx, world.ship("a").vy))));
    let velocity = (world.ship("a").vx, world.ship("a").vy);
    for _ in 0..600 {
        world.step(&[0]);
    }
    assert_eq!((world.ship("a").vx, world.ship("a").vy), velocity, "no friction");
}

#[test]
fn one_press_is_one_missile_that_lives_for_half_a_second() {
    let mut world = ships(&[(1500.0, 1500.0, 0)]);
    world.ships[0].1.vy = 2.0;
    for _ in 0..20 {
        world.step(&[8]);
    }
    assert_eq!(world.missiles.len(), 1, "holding does not repeat");
    let missile = world.missiles[0].1.clone();
    assert_eq!((missile.vx, missile.vy, missile.owner.as_str()), (10.0, 2.0, "a"));
    assert_eq!(missile.at(world.step), (1500.0 + 190.0, 1500.0 + 20.0 * 2.0));
    for _ in 20..30 {
        assert_eq!(world.missiles.len(), 1);
        world.step(&[0]);
    }
    assert_eq!(world.missiles.len(), 1);
    world.step(&[8]);
    assert_eq!(world.missiles.len(), 1, "the first is gone, the second is there");
    assert_eq!(world.missiles[0].1.born, world.step);
}

#[test]
fn a_press_between_two_steps_counts() {
    let mut world = ships(&[(0.0, 0.0, 0)]);
    let ship = &mut world.ships[0].1;
    ship.steer(controls(8), Duration::ZERO);
    ship.steer(controls(0), Duration::ZERO);
    world.step(&[]);
    assert_eq!(world.missiles.len(), 1);
    world.step(&[]);
    assert_eq!(world.missiles.len(), 1);
}

#[test]
fn a_missile_hits_across_the_edge_of_the_world() {
    for (from, to, heading) in [
        ((2950.0, 700.0), (40.0, 700.0), 0),
        ((40.0, 700.0), (2950.0, 700.0), 72),
        ((700.0, 2950.0), (700.0, 40.0), 36),
        ((2990.0, 2990.0), (60.0, 60.0), 18),
    ] {
        let mut world = ships(&[(from.0, from.1, heading), (to.0, to.1, 0)]);
        let mut hits = world.step(&[8]);
        for _ in 0..MISSILE_LIFE {
            hits.extend(world.step(&[]));
        }
        assert_eq!(hits.len(), 1, "from {from:?} to {to:?}");
        assert_eq!((hits[0].shooter.as_str(), hits[0].victim.as_str()), ("a", "b"));
        assert_eq!(world.ships.len(), 1);
        assert!(world.missiles.is_empty());
    }
}

#[test]
fn the_reach_is_what_the_life_allows() {
    for (distance, hit) in [(310.0, true), (317.0, true), (319.0, false), (400.0, false)] {
        let mut world = ships(&[(0.0, 100.0, 0), (distance, 100.0, 0)]);
        let mut hits = world.step(&[8]);
        for _ in 0..2 * MISSILE_LIFE {
            hits.extend(world.step(&[]));
        }
        assert_eq!(hits.len() == 1, hit, "at {distance}");
    }
}

#[test]
fn two_who_shoot_each_other_are_both_gone() {
    let mut world = ships(&[(1000.0, 1000.0, 0), (1200.0, 1000.0, 72)]);
    let mut hits = world.step(&[8, 8]);
    while hits.is_empty() {
        hits = world.step(&[]);
    }
    assert_eq!(hits.len(), 2);
    assert!(world.ships.is_empty() && world.missiles.is_empty());
}

#[test]
fn missiles_pass_own_crews_safe_ships_and_each_other() {
    let mut world = ships(&[(1000.0, 1000.0, 0), (1100.0, 1000.0, 72), (1200.0, 1000.0, 72)]);
    world.ships[1].1.crew = 1;
    world.ships[2].1.safe_until = 1000;
    let mut hits = world.step(&[8]);
    for _ in 0..MISSILE_LIFE {
        hits.extend(world.step(&[]));
    }
    assert_eq!(hits, []);
    // Who shoots is not safe any more.
    world.step(&[0, 0, 8]);
    assert!(!world.ship("c").is_safe(world.step));
}

/// A pilot whose line takes 100 ms each way, firing straight at a ship that crosses in front.
///
/// The picture: the others as they were 250 ms ago (100 ms on the way, 100 ms held back to draw smoothly, and the 50 ms
/// in which the shot's own way began), missiles among them. The pilot fires when the missile, as fast as it is drawn,
/// meets the ship that is drawn.
fn crossing(distance: f32, behind: Duration) -> usize {
    let mut world = ships(&[(1000.0, 1000.0, 0), (1000.0 + distance, 700.0, 36)]);
    (world.ships[1].1.hull, world.ships[1].1.vy) = (7, 3.0);
    let (late, life) = (250.0 * 60.0 / 1000.0, MISSILE_LIFE as f32);
    // Drawn, the missile needs this many steps for the way, because it starts `late` steps in the past and arrives in
    // the present.
    let flight = distance / 10.0 * (1.0 + late / life);
    let mut hits = Vec::new();
    let mut fired = false;
    for _ in 0..200 {
        let drawn = world.ship("b").y - late * 3.0;
        if !fired && drawn + flight * 3.0 >= 1000.0 {
            world.ships[0].1.steer(controls(8), behind);
            fired = true;
        }
        hits.extend(world.step(&[]));
        if world.ships.len() < 2 {
            break;
        }
    }
    assert!(fired);
    hits.len()
}

#[test]
fn what_is_drawn_is_hit_at_100_ms_of_latency() {
    for distance in [60.0, 90.0, 120.0, 180.0, 240.0, 290.0] {
        assert_eq!(crossing(distance, Duration::from_millis(250)), 1, "at {distance}");
    }
    // Judged by what is there. Farther away the missile is in the present before it arrives.
    for distance in [60.0, 90.0] {
        assert_eq!(crossing(distance, Duration::ZERO), 0, "at {distance}");
    }
}

#[test]
fn a_missile_arrives_in_the_present() {
    let missile = Missile { born: 100, behind: 240, ..Missile::default() };
    let ago: Vec<u128> =
        [100, 110, 115, 129, 130, 500].iter().map(|step| missile.ago(*step).as_millis()).collect();
    assert_eq!(ago, [240, 160, 120, 8, 0, 0]);
}

#[test]
fn a_ship_that_appeared_since_is_met_where_it_is() {
    let mut world = ships(&[(1000.0, 1000.0, 0), (1100.0, 1000.0, 0)]);
    world.ships[1].1.hull = 9;
    for _ in 0..30 {
        world.step(&[]);
    }
    // As after a restart.
    world.past = Past::default();
    world.ships[0].1.steer(controls(8), Duration::from_millis(250));
    let hits: usize = (0..MISSILE_LIFE).map(|_| world.step(&[]).len()).sum();
    assert_eq!(hits, 1);
}
