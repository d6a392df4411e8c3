//! (g) recovery: how many rooms a second come back after a kill.

use super::{AT_ONCE, Bench, Rounds, folder, progress};
use crate::contestant::Who;
use crate::crowd::{Crowd, Sample};
use crate::figures::short;
use crate::results::{Goal, Outcome};
use anyhow::Result;
use std::time::{Duration, Instant};

const CONTESTANTS: [Who; 1] = [Who::Confirmed];
/// What the rooms do before the kill, so that there are journals to read.
const PLAY: Duration = Duration::from_secs(5);

struct Turn {
    sample: Sample,
    per_second: f64,
    /// From the start of the process to its readiness, with rooms and without, in milliseconds.
    ready_ms: [f64; 2],
}

pub(crate) async fn run(bench: &Bench) -> Result<Outcome> {
    let count = bench.size(1_000, 100);
    let mut rounds = Rounds::of(&CONTESTANTS);
    for round in 0..bench.rounds {
        let turn = turn(bench, count).await?;
        progress(&format!(
            "round {} of {}: {} rooms a second, ready after {} ms",
            round + 1,
            bench.rounds,
            short(turn.per_second),
            short(turn.ready_ms[0])
        ));
        rounds.push(Who::Confirmed, turn);
    }
    let verdict =
        rounds.value("rooms restored per second", Who::Confirmed, |turn| turn.per_second, Goal::None);
    Ok(Outcome {
        title: "recovery".into(),
        method: format!(
            "{count} arenas with one client each play for {} s; SIGKILL; the process starts again on the same data \
             directory and on one core. Rooms per second is {count} over the time to its readiness, less that of a \
             start without rooms. Colyseus has nothing to compare: its rooms end with the process.",
            PLAY.as_secs()
        ),
        columns: rounds.names(),
        rows: vec![
            rounds.row("rooms restored per second", |turn| turn.per_second),
            rounds.row("start to ready, ms", |turn| turn.ready_ms[0]),
            rounds.row("start to ready without rooms, ms", |turn| turn.ready_ms[1]),
        ],
        verdicts: verdict.into_iter().collect(),
        conditions: bench.conditions(rounds.all().map(|turn| &turn.sample))?,
    })
}

async fn turn(bench: &Bench, count: usize) -> Result<Turn> {
    let (data, empty) = (folder()?, folder()?);
    let server = bench.lab.start(Who::Confirmed, data.path(), 0).await?;
    let mut crowd = Crowd::of(&server);
    crowd.rooms("arena", count, AT_ONCE).await?;
    let sample = crowd.watch(&server, PLAY).await?;
    server.kill().await?;
    drop(crowd);
    let began = Instant::now();
    let again = bench.lab.start(Who::Confirmed, data.path(), 0).await?;
    let with = began.elapsed();
    again.kill().await?;
    let began = Instant::now();
    let without = bench.lab.start(Who::Confirmed, empty.path(), 0).await?;
    let alone = began.elapsed();
    without.kill().await?;
    let seconds = with.saturating_sub(alone).as_secs_f64().max(1e-3);
    let ready_ms = [with, alone].map(|time| time.as_secs_f64() * 1e3);
    Ok(Turn { sample, per_second: count as f64 / seconds, ready_ms })
}
