//! One world of 2,000 moving entities; every client sees the some 50 around its own.
//!
//! What a client sees is worked out with a grid, four times a second; positions move and patches leave 20 times.
//! The same as `bench/colyseus/rooms/world.mjs`, line by line.

use everplay::prelude::*;
use std::collections::HashSet;

const ENTITIES: usize = 2_000;
const SIZE: f32 = 1_000.0;
const SPEED: f32 = 2.0;
const STEP: Duration = Duration::from_millis(50);
/// Steps between two looks around.
const LOOK_EVERY: u32 = 5;
/// The square of the radius of a circle that holds 50 of 2,000 entities.
const SIGHT_SQUARED: f32 = 50.0 / ENTITIES as f32 * SIZE * SIZE / std::f32::consts::PI;
const CELL: f32 = 100.0;
const CELLS: usize = (SIZE / CELL) as usize;

#[derive(State, Default)]
pub(crate) struct World {
    tick: u32,
    #[state(view)]
    entities: Map<Entity>,
    #[state(skip)]
    keys: Vec<String>,
    #[state(skip)]
    places: Vec<(f32, f32)>,
    #[state(skip)]
    watchers: Vec<Watcher>,
    #[state(skip)]
    joined: usize,
    #[state(skip)]
    grid: Vec<Vec<usize>>,
}

#[derive(State, Default)]
pub(crate) struct Entity {
    x: f32,
    y: f32,
    kind: u8,
    #[state(private)]
    vx: f32,
    #[state(private)]
    vy: f32,
}

struct Watcher {
    client: Client,
    own: usize,
    seen: HashSet<usize>,
}

impl Room for World {
    type Options = Anything;
    type Timer = ();

    fn settings() -> Settings {
        Settings { tick: Some(STEP), patch_interval: STEP, max_clients: 5_000, ..Settings::default() }
    }

    fn create(cx: &mut Context<Self>, _: Anything) -> Result<Self, Refusal> {
        let mut world = World::default();
        let rng = cx.rng();
        for number in 0..ENTITIES {
            let angle = rng.unit() as f32 * std::f32::consts::TAU;
            let entity = Entity {
                x: rng.unit() as f32 * SIZE,
                y: rng.unit() as f32 * SIZE,
                kind: (number % 8) as u8,
                vx: angle.cos() * SPEED,
                vy: angle.sin() * SPEED,
            };
            world.entities.insert(number.to_string(), entity);
        }
        world.index();
        Ok(world)
    }

    fn join(&mut self, _: &mut Context<Self>, client: &Client, _: Anything) -> Result<(), Refusal> {
        let own = self.joined % ENTITIES;
        self.joined += 1;
        let mut watcher = Watcher { client: client.clone(), own, seen: HashSet::new() };
        self.fill_grid();
        look(&self.grid, &self.places, &self.keys, &mut watcher, &mut self.entities);
        self.watchers.push(watcher);
        Ok(())
    }

    fn tick(&mut self, _: &mut Context<Self>, _: Duration) {
        self.tick = self.tick.wrapping_add(1);
        for (entity, place) in self.entities.values_mut().zip(&mut self.places) {
            (entity.x, entity.y) = (wrap(entity.x + entity.vx), wrap(entity.y + entity.vy));
            *place = (entity.x, entity.y);
        }
        if self.tick.is_multiple_of(LOOK_EVERY) {
            self.fill_grid();
            for watcher in &mut self.watchers {
                look(&self.grid, &self.places, &self.keys, watcher, &mut self.entities);
            }
        }
    }

    fn leave(&mut self, _: &mut Context<Self>, client: &Client, _: Leave) {
        self.watchers.retain(|watcher| watcher.client != *client);
    }

    fn restored(&mut self, _: &mut Context<Self>) {
        self.index();
    }
}

impl World {
    /// Fills what is not part of the state. Watchers of a life before start with what they see anew.
    fn index(&mut self) {
        self.keys = self.entities.keys().map(str::to_owned).collect();
        self.places = self.entities.values().map(|entity| (entity.x, entity.y)).collect();
        self.grid = vec![Vec::new(); CELLS * CELLS];
    }

    fn fill_grid(&mut self) {
        for cell in &mut self.grid {
            cell.clear();
        }
        for (number, (x, y)) in self.places.iter().enumerate() {
            self.grid[cell(*y) * CELLS + cell(*x)].push(number);
        }
    }
}

/// Shows what came into sight and hides what went out of it.
fn look(
    grid: &[Vec<usize>],
    places: &[(f32, f32)],
    keys: &[String],
    watcher: &mut Watcher,
    entities: &mut Map<Entity>,
) {
    let (x, y) = places[watcher.own];
    let view = watcher.client.view();
    let mut now = HashSet::with_capacity(watcher.seen.len());
    for down in [CELLS - 1, 0, 1] {
        for right in [CELLS - 1, 0, 1] {
            let (row, column) = ((cell(y) + down) % CELLS, (cell(x) + right) % CELLS);
            for &number in &grid[row * CELLS + column] {
                let (dx, dy) = (offset(x, places[number].0), offset(y, places[number].1));
                if dx * dx + dy * dy <= SIGHT_SQUARED {
                    now.insert(number);
                }
            }
        }
    }
    for &number in now.difference(&watcher.seen) {
        entities.show(&keys[number], view);
    }
    for &number in watcher.seen.difference(&now) {
        entities.hide(&keys[number], view);
    }
    watcher.seen = now;
}

fn cell(at: f32) -> usize {
    ((at / CELL) as usize).min(CELLS - 1)
}

fn wrap(at: f32) -> f32 {
    if at < 0.0 {
        at + SIZE
    } else if at >= SIZE {
        at - SIZE
    } else {
        at
    }
}

/// The short way from one coordinate to another.
fn offset(from: f32, to: f32) -> f32 {
    let straight = to - from;
    if straight < -SIZE / 2.0 {
        straight + SIZE
    } else if straight > SIZE / 2.0 {
        straight - SIZE
    } else {
        straight
    }
}
