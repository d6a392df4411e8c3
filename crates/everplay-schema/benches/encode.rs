//! What encoding costs, beside `@colyseus/schema` doing the same in the same run.
//!
//! `cargo bench -p everplay-schema --bench encode --profile measure`. Needs Node and `npm ci` in `tests/official` for the
//! comparison; without them only our figures are printed. Median of the rounds, ns per change (or per entity for the
//! full state).

use everplay_schema::{FullForm, Map, Replica, State};
use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

#[derive(State, Default)]
struct Entity {
    x: f32,
    y: f32,
    angle: f32,
    score: u16,
}

#[derive(State, Default)]
struct Arena {
    tick: u32,
    entities: Map<Entity>,
}

fn arena(entities: usize) -> Replica<Arena> {
    let mut arena = Arena::default();
    for index in 0..entities {
        let at = index as f32;
        arena.entities.insert(format!("e{index}"), Entity { x: at, y: at * 2.0, angle: 0.5, score: 3 });
    }
    let mut replica = Replica::new(arena);
    replica.patch();
    replica
}

/// Median time of a round.
fn median(rounds: usize, mut round: impl FnMut(usize)) -> Duration {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|number| {
            let start = Instant::now();
            round(number);
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[rounds / 2]
}

fn one_of_a_thousand() -> f64 {
    let mut replica = arena(1000);
    let keys: Vec<String> = (0..1000).map(|index| format!("e{index}")).collect();
    let batch = 100;
    let time = median(200, |number| {
        for change in 0..batch {
            let key = keys[(number * 7 + change) % 1000].as_str();
            replica.get_mut().entities[key].x = (number * batch + change) as f32;
            replica.patch();
            black_box(replica.shared_patch());
        }
    });
    time.as_nanos() as f64 / batch as f64
}

fn all_of_a_thousand() -> f64 {
    let mut replica = arena(1000);
    let time = median(500, |number| {
        for (_, entity) in replica.get_mut().entities.iter_mut() {
            entity.x = number as f32 + 0.5;
            entity.y = number as f32 + 0.25;
        }
        replica.patch();
        black_box(replica.shared_patch());
    });
    time.as_nanos() as f64 / 2000.0
}

fn full_of_ten_thousand() -> f64 {
    let replica = arena(10_000);
    let mut bytes = Vec::new();
    let time = median(100, |_| {
        bytes.clear();
        replica.full_state(None, FullForm::Join, &mut bytes);
        black_box(&bytes);
    });
    time.as_nanos() as f64 / 10_000.0
}

fn main() {
    let ours = [
        ("one changed field among 1,000 entities, ns per change", one_of_a_thousand()),
        ("1,000 entities with two changed floats, ns per change", all_of_a_thousand()),
        ("full state of 10,000 entities, ns per entity", full_of_ten_thousand()),
    ];
    let official = official();
    for (index, (name, ours)) in ours.iter().enumerate() {
        match official.as_ref().and_then(|official| official.get(index)) {
            Some(official) => {
                println!("{name}: {ours:.1}, official {official:.1}, ratio {:.1}", official / ours);
            }
            None => println!("{name}: {ours:.1}"),
        }
    }
}

fn official() -> Option<Vec<f64>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/official.mjs");
    let output = Command::new("node").arg(script).output().ok()?;
    if !output.status.success() {
        eprintln!("no official figures: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    String::from_utf8(output.stdout).ok()?.lines().map(|line| line.trim().parse().ok()).collect()
}
