//! (e) a join storm: as many joins as the server takes, 100 at a time.

use super::{Bench, Rounds, folder, progress};
use crate::contestant::Who;
use crate::crowd::{Crowd, Sample};
use crate::figures::{percentile_ms, short};
use crate::machine;
use crate::results::{Goal, Outcome};
use anyhow::Result;
use std::time::Instant;

const CONTESTANTS: [Who; 4] = [Who::Confirmed, Who::Ephemeral, Who::Uws, Who::Ws];
const AT_ONCE: usize = 100;
/// Joins before those that count: code is compiled, pools are filled.
const FIRST: usize = 200;

struct Turn {
    sample: Sample,
    per_second: f64,
    ms: [f64; 2],
}

pub(crate) async fn run(bench: &Bench) -> Result<Outcome> {
    let count = bench.size(4_000, 400);
    let mut rounds = Rounds::of(&CONTESTANTS);
    for round in 0..bench.rounds {
        for who in bench.order(round, &CONTESTANTS) {
            let turn = turn(bench, who, count).await?;
            progress(&format!(
                "round {} of {}: {:<22} {} joins a second, p99 {} ms, driver {:.0} % busy",
                round + 1,
                bench.rounds,
                who.name(),
                short(turn.per_second),
                short(turn.ms[1]),
                turn.sample.driver_share * 100.0
            ));
            rounds.push(who, turn);
        }
    }
    let speed = |turn: &Turn| turn.per_second;
    let verdicts = [
        rounds.ratio(
            "joins per second against uWebSockets",
            (Who::Confirmed, Who::Uws),
            speed,
            Goal::AtLeast(4.0),
        ),
        rounds.ratio("joins per second against ws", (Who::Confirmed, Who::Ws), speed, Goal::None),
        rounds.ratio("Ephemeral against uWebSockets", (Who::Ephemeral, Who::Uws), speed, Goal::None),
    ];
    Ok(Outcome {
        title: "join storm".into(),
        method: format!(
            "{count} clients join lobbies of 20, {AT_ONCE} of them at a time: matchmaking over kept HTTP connections, \
             WebSocket, join, acknowledgement, first full state. A join is over when the client has its state."
        ),
        columns: rounds.names(),
        rows: vec![
            rounds.row("joins per second", speed),
            rounds.row("join p50, ms", |turn| turn.ms[0]),
            rounds.row("join p99, ms", |turn| turn.ms[1]),
            rounds
                .row("server's CPU per join, us", |turn| turn.sample.cpu.as_secs_f64() * 1e6 / count as f64),
        ],
        verdicts: verdicts.into_iter().flatten().collect(),
        conditions: bench.conditions(rounds.all().map(|turn| &turn.sample))?,
    })
}

async fn turn(bench: &Bench, who: Who, count: usize) -> Result<Turn> {
    let data = folder()?;
    let server = bench.lab.start(who, data.path(), 0).await?;
    let mut crowd = Crowd::of(&server);
    crowd.join(&who.kind("lobby"), FIRST, AT_ONCE).await?;
    let times = || {
        [
            machine::processor_time(server.pid),
            machine::processor_time(std::process::id()),
            machine::busy_time(),
        ]
    };
    let (began, before) = (Instant::now(), times());
    let mut took = crowd.join(&who.kind("lobby"), count, AT_ONCE).await?;
    let seconds = began.elapsed().as_secs_f64();
    let after = times();
    let spent = |at: usize| after[at].saturating_sub(before[at]);
    let sample = Sample {
        seconds,
        cpu: spent(0),
        server_share: spent(0).as_secs_f64() / seconds,
        driver_share: spent(1).as_secs_f64() / seconds,
        foreign_share: spent(2).saturating_sub(spent(0) + spent(1)).as_secs_f64() / seconds,
        ..Sample::default()
    };
    drop(crowd);
    server.kill().await?;
    let ms = [0.5, 0.99].map(|share| percentile_ms(&mut took, share));
    Ok(Turn { sample, per_second: count as f64 / seconds, ms })
}
