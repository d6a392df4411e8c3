//! What a world seen through views costs: 2,000 entities that all move, every client sees some 50 of them.
//!
//! `cargo bench -p everplay-schema --bench views --profile measure`. Median of the rounds, us per patch for all clients.
//! With a number as argument only so many patches are made, for a profiler that counts instructions.

use everplay_schema::{Map, Replica, State, ViewId};
use std::hint::black_box;
use std::time::{Duration, Instant};

const ENTITIES: usize = 2_000;
const SEEN: usize = 50;
/// Patches between two looks around.
const LOOK_EVERY: usize = 5;
/// Entities that come into sight, and go out of it, with a look.
const TURNOVER: usize = 5;

#[derive(State, Default)]
struct World {
    tick: u32,
    #[state(view)]
    entities: Map<Entity>,
}

#[derive(State, Default)]
struct Entity {
    x: f32,
    y: f32,
    kind: u8,
    #[state(private)]
    vx: f32,
    #[state(private)]
    vy: f32,
}

struct Scene {
    replica: Replica<World>,
    keys: Vec<String>,
    views: Vec<ViewId>,
    patches: usize,
    frame: Vec<u8>,
}

impl Scene {
    fn new(clients: usize) -> Self {
        let keys: Vec<String> = (0..ENTITIES).map(|number| number.to_string()).collect();
        let mut world = World::default();
        for (number, key) in keys.iter().enumerate() {
            let at = number as f32;
            let entity = Entity { x: at, y: at * 2.0, kind: 3, vx: 0.5, vy: 0.25 };
            world.entities.insert(key, entity);
        }
        let mut replica = Replica::new(world);
        let views: Vec<ViewId> = (0..clients).map(|_| replica.add_view()).collect();
        for (number, view) in views.iter().enumerate() {
            for at in 0..SEEN {
                replica.get_mut().entities.show(&keys[place(number, at)], *view);
            }
        }
        replica.patch();
        Scene { replica, keys, views, patches: 0, frame: Vec::new() }
    }

    /// Moves everything, and now and then what is seen; then a patch for each client. Answers its bytes.
    fn patch(&mut self) -> usize {
        self.patches += 1;
        let world = self.replica.get_mut();
        world.tick += 1;
        for entity in world.entities.values_mut() {
            entity.x += entity.vx;
            entity.y += entity.vy;
        }
        if self.patches.is_multiple_of(LOOK_EVERY) {
            let gone = (self.patches / LOOK_EVERY - 1) * TURNOVER;
            for (number, view) in self.views.iter().enumerate() {
                for at in gone..gone + TURNOVER {
                    world.entities.hide(&self.keys[place(number, at)], *view);
                    world.entities.show(&self.keys[place(number, at + SEEN)], *view);
                }
            }
        }
        self.replica.patch();
        let mut bytes = self.replica.journal_patch().len();
        for view in &self.views {
            self.frame.clear();
            self.frame.extend_from_slice(self.replica.shared_patch());
            self.replica.view_patch(*view, &mut self.frame);
            bytes += black_box(&self.frame).len();
        }
        bytes
    }
}

/// Clients stand scattered over the world.
fn place(client: usize, at: usize) -> usize {
    (client * 769 + at) % ENTITIES
}

fn main() {
    if let Some(patches) = std::env::args().skip(1).find_map(|argument| argument.parse::<usize>().ok()) {
        let mut scene = Scene::new(200);
        let bytes: usize = (0..patches).map(|_| scene.patch()).sum();
        return println!("{patches} patches, {bytes} bytes");
    }
    for clients in [200, 600] {
        let mut scene = Scene::new(clients);
        let mut times: Vec<Duration> = (0..200)
            .map(|_| {
                let start = Instant::now();
                scene.patch();
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        println!("{clients} clients: {:.0} us a patch", times[times.len() / 2].as_secs_f64() * 1e6);
    }
}
