//! (b) Spaaace: how many rooms of 50 pilots and 20 bots a core carries at 60 steps a second.

use super::{Bench, Rounds, WARM_UP, folder, progress};
use crate::contestant::{Server, Who};
use crate::crowd::{Crowd, Sample};
use crate::figures::short;
use crate::results::{Goal, Outcome};
use anyhow::{Context, Result, ensure};
use everplay::prelude::*;
use everplay::room::RoomRng;
use everplay_spaaace::bots;
use everplay_spaaace::step::{BOTS, Controls, Missile, Past, RATE, Ship, step};
use everplay_wire::{ClientFrame, MessageType};
use std::collections::HashMap;
use std::fmt::Write;
use std::time::Instant;

const CONTESTANTS: [Who; 3] = [Who::Confirmed, Who::Ephemeral, Who::Uws];
/// Rooms whose processor time is read.
const FEW: usize = 5;
const PILOTS: usize = 50;
const MACHINES: usize = 20;
/// Rooms after which nobody looks for more.
const MOST: usize = 90;
/// A room that makes fewer of its 60 steps a second has overrun.
const ON_TIME: f64 = 0.985;
/// Steps of the fight that both sides play before they are compared.
const CHECKED: u32 = 600;

struct Turn {
    /// With a few rooms.
    sample: Sample,
    /// How many such rooms a second of the server's processor time serves.
    per_core: f64,
    carried: f64,
}

pub(crate) async fn run(bench: &Bench) -> Result<Outcome> {
    check(bench).await.context("the two sides do not play the same game")?;
    progress(&format!("both sides play the same {CHECKED} steps, bit for bit"));
    let mut rounds = Rounds::of(&CONTESTANTS);
    // It is the longest of all.
    let repeats = bench.rounds.min(2);
    for round in 0..repeats {
        for who in bench.order(round, &CONTESTANTS) {
            let turn = turn(bench, who).await?;
            progress(&format!(
                "round {} of {repeats}: {:<22} carries {:.0} rooms without overrun; {} by its processor time with few",
                round + 1,
                who.name(),
                turn.carried,
                short(turn.per_core),
            ));
            rounds.push(who, turn);
        }
    }
    let few = bench.size(FEW, 1);
    let per_core = |turn: &Turn| turn.per_core;
    let carried = |turn: &Turn| turn.carried;
    let (ours, ephemeral) = ((Who::Confirmed, Who::Uws), (Who::Ephemeral, Who::Uws));
    let verdicts = [
        rounds.ratio("rooms per core against Colyseus", ours, carried, Goal::AtLeast(5.0)),
        rounds.ratio("rooms per core, Ephemeral against Colyseus", ephemeral, carried, Goal::None),
        rounds.ratio("by processor time against Colyseus", ours, per_core, Goal::None),
        rounds.ratio("by processor time, Ephemeral against Colyseus", ephemeral, per_core, Goal::None),
    ];
    let mut conditions = bench.conditions(rounds.all().map(|turn| &turn.sample))?;
    conditions.rounds = repeats;
    Ok(Outcome {
        title: "Spaaace: rooms per core".into(),
        method: format!(
            "Rooms with {PILOTS} connected pilots, each of which sends an input 60 times a second and holds other keys \
             five times a second, and {MACHINES} bots; 60 steps and 20 patches a second to everyone. Rooms are added, \
             first by two fifths, then on a fresh server by tenths, until one of them makes less than {:.1} steps a second. \
             By processor time: the steps that were made with {few} rooms per second of the server's processor time, in \
             those of one room. The game on Colyseus has the same rules: before the rounds both sides play {CHECKED} steps of the \
             same fight and every position is compared bit for bit.",
            60.0 * ON_TIME
        ),
        columns: rounds.names(),
        rows: vec![
            rounds.row("rooms without overrun", carried),
            rounds.row("rooms by processor time", per_core),
            rounds
                .row(format!("{few} rooms: server's core busy, %"), |turn| turn.sample.server_share * 100.0),
            rounds.row(format!("{few} rooms: bytes per frame"), |turn| {
                turn.sample.bytes as f64 / turn.sample.frames.max(1) as f64
            }),
        ],
        verdicts: verdicts.into_iter().flatten().collect(),
        conditions,
    })
}

async fn turn(bench: &Bench, who: Who) -> Result<Turn> {
    let few = bench.size(FEW, 1);
    let coarse = climb(bench, who, few, usize::MAX, |rooms| (rooms * 7 / 5).max(rooms + 1)).await?;
    let (sample, steps) = coarse.first.context("there is at least one room")?;
    let per_core = steps / 60.0 / sample.cpu.as_secs_f64().max(0.01);
    let mut carried = coarse.carried;
    // A room that was once behind is not quick to be without: the finer steps begin with a fresh server.
    if carried + 1 < coarse.beyond && !bench.quick {
        let finer =
            climb(bench, who, carried + 1, coarse.beyond, |rooms| rooms + (rooms / 10).max(1)).await?;
        carried = carried.max(finer.carried);
    }
    Ok(Turn { sample, per_core, carried: carried as f64 })
}

/// How far one server came.
struct Climb {
    /// What the first number of rooms cost, and the steps they made.
    first: Option<(Sample, f64)>,
    /// The most rooms without an overrun.
    carried: usize,
    /// The fewest rooms that were too many.
    beyond: usize,
}

/// Adds rooms until one of them overruns, or there would be `limit`.
async fn climb(
    bench: &Bench,
    who: Who,
    from: usize,
    limit: usize,
    next: impl Fn(usize) -> usize,
) -> Result<Climb> {
    let data = folder()?;
    let server = bench.lab.start(who, data.path(), 0).await?;
    let mut crowd = Crowd::of(&server);
    let (kind, options) = (who.kind("spaaace"), serde_json::json!({ "bots": MACHINES }));
    let mut climb = Climb { first: None, carried: 0, beyond: limit };
    let mut wanted = from;
    while wanted < limit.min(if bench.quick { 4 } else { MOST }) {
        for _ in crowd.len() / PILOTS..wanted {
            crowd.room(&kind, &options, PILOTS).await?;
        }
        crowd.say(60.0 * crowd.len() as f64, pilot());
        tokio::time::sleep(WARM_UP).await;
        let (mut sample, mut steps, mut on_time) = trial(bench, &crowd, &server).await?;
        if !on_time {
            // Once more: the machine may have been busy with something else.
            (sample, steps, on_time) = trial(bench, &crowd, &server).await?;
        }
        climb.first.get_or_insert((sample, steps));
        if !on_time {
            climb.beyond = wanted;
            break;
        }
        climb.carried = wanted;
        wanted = next(wanted);
    }
    drop(crowd);
    server.kill().await?;
    Ok(climb)
}

/// Counts for a while; tells how many steps all rooms made, and whether every room made its own.
async fn trial(bench: &Bench, crowd: &Crowd, server: &Server) -> Result<(Sample, f64, bool)> {
    let before: HashMap<String, u32> =
        crowd.ticks().into_iter().map(|(room, tick)| (room.to_owned(), tick)).collect();
    let began = Instant::now();
    let sample = crowd.watch(server, bench.length.min(Duration::from_secs(4))).await?;
    let seconds = began.elapsed().as_secs_f64();
    let after = crowd.ticks();
    let steps: Vec<f64> = after
        .into_iter()
        .map(|(room, tick)| f64::from(tick.saturating_sub(before.get(room).copied().unwrap_or(tick))))
        .collect();
    let on_time = steps.iter().all(|steps| steps / seconds >= 60.0 * ON_TIME);
    Ok((sample, steps.iter().sum(), on_time))
}

/// What a client sends in one step: what changed since the last one, as the SDK does it; now and then the wish for a new
/// ship.
fn pilot() -> impl FnMut(usize) -> Vec<u8> + 'static {
    let mut rng = RoomRng::new([7; 32], 0);
    let mut clients: Vec<(u32, [bool; 4])> = Vec::new();
    move |at| {
        if clients.len() <= at {
            clients.resize(at + 1, (0, [false; 4]));
        }
        let (number, held) = &mut clients[at];
        if *number == 0 {
            // Spread, so that not all change their keys in the same step.
            *number = at as u32 % 60;
        }
        *number += 1;
        if number.is_multiple_of(60) {
            return ClientFrame::Data { ty: MessageType::from("spawn"), payload: &[] }.to_vec();
        }
        let mut body = Vec::new();
        if number.is_multiple_of(12) {
            let keys = rng.below(16);
            let now = [keys & 1 != 0, keys & 6 == 2, keys & 6 == 4, keys & 8 != 0];
            for (field, (is, was)) in now.iter().zip(held.iter()).enumerate() {
                if is != was {
                    body.extend([0x80 | field as u8, u8::from(*is)]);
                }
            }
            *held = now;
        }
        ClientFrame::InputReliable { stamp: None, body: &body }.to_vec()
    }
}

/// Plays a scripted fight on both sides and compares every step.
async fn check(bench: &Bench) -> Result<()> {
    let mut node = bench.lab.on_server_core(std::path::Path::new("node"));
    let output = node
        .args(["check.mjs", &CHECKED.to_string()])
        .current_dir(bench.lab.colyseus())
        .output()
        .await
        .context("node is missing")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (theirs, ours) = (String::from_utf8_lossy(&output.stdout).into_owned(), fight(CHECKED));
    for (ours, theirs) in ours.lines().zip(theirs.lines()) {
        ensure!(ours == theirs, "ours: {ours}\ntheirs: {theirs}");
    }
    ensure!(ours.lines().count() == theirs.lines().count(), "one side stopped early");
    Ok(())
}

/// The fight of `bench/colyseus/check.mjs`: step, ships, missiles, shots, a sum of all ships, hits.
fn fight(steps: u32) -> String {
    let mut seed = 12345_u32;
    let mut draw = |bound: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (f64::from(seed) / 4_294_967_296.0 * f64::from(bound)) as u32
    };
    let (mut ships, mut missiles, mut shots) = (Map::<Ship>::new(), Map::<Missile>::new(), 0);
    for number in 0..PILOTS + MACHINES {
        let (x, y) = (draw(3000), draw(3000));
        let crew = if number < PILOTS { number as u16 + 1 } else { BOTS };
        let ship =
            Ship { next_shot: u32::MAX, hull: number as u32, ..Ship::new((x as f32, y as f32), crew, 0) };
        ships.insert(number.to_string(), ship);
    }
    let (mut rng, mut sights, mut past, mut tale) =
        (RoomRng::new([0; 32], 0), Vec::new(), Past::default(), String::new());
    for number in 1..=steps {
        for pilot in 0..PILOTS as u32 {
            let keys = draw(16);
            if number % 12 == pilot % 12
                && let Some(ship) = ships.get_mut(&pilot.to_string())
            {
                let (up, fire) = (keys & 1 != 0, keys & 8 != 0);
                ship.steer(Controls { up, left: keys & 6 == 2, right: keys & 6 == 4, fire }, Duration::ZERO);
            }
        }
        bots::steer(number, &mut ships, &mut rng, &mut sights);
        let now = Millis(u64::from(number) * 1000 / u64::from(RATE));
        let hits = step(number, now, &mut ships, &mut missiles, &mut shots, &mut past);
        let mut sum = 0_u32;
        for ship in ships.values() {
            let numbers = [ship.x, ship.y, ship.vx, ship.vy].map(f32::to_bits);
            for part in numbers.into_iter().chain([ship.heading.into(), ship.thrust.into()]) {
                sum = sum.wrapping_mul(31).wrapping_add(part);
            }
        }
        let line =
            [number, ships.len() as u32, missiles.len() as u32, shots, sum].map(|part| part.to_string());
        tale += &line.join(" ");
        for hit in hits {
            write!(tale, " {}:{}>{}", hit.missile, hit.shooter, hit.victim).expect("a text takes everything");
        }
        tale.push('\n');
    }
    tale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripted_fight_has_shots_and_hits() {
        let tale = fight(300);
        assert_eq!(tale.lines().count(), 300);
        assert!(tale.contains('>'), "nobody was hit");
        assert!(
            tale.lines().last().unwrap().split(' ').nth(1).unwrap().parse::<usize>().unwrap()
                < PILOTS + MACHINES
        );
    }
}
