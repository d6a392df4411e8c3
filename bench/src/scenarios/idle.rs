//! (d) many connections that mostly say nothing: what each of them keeps in memory, what all of them cost.

use super::{AT_ONCE, Bench, Rounds, folder, progress};
use crate::contestant::Who;
use crate::crowd::{Crowd, Sample};
use crate::figures::short;
use crate::results::{Goal, Outcome};
use anyhow::Result;
use everplay_wire::{ClientFrame, MessageType, msgpack};
use std::time::Duration;

const CONTESTANTS: [Who; 4] = [Who::Confirmed, Who::Ephemeral, Who::Uws, Who::Ws];
/// Joined before memory is read for the first time: code is compiled, pools and threads exist.
const FIRST: usize = 20;
/// A client says something once in that time.
const EVERY: Duration = Duration::from_secs(60);
/// How long memory is given to settle.
const SETTLE: Duration = Duration::from_secs(4);

struct Turn {
    sample: Sample,
    kib: f64,
}

pub(crate) async fn run(bench: &Bench) -> Result<Outcome> {
    let count = bench.size(10_000, 500);
    let mut rounds = Rounds::of(&CONTESTANTS);
    // It is long, and memory does not vary as time does.
    let repeats = bench.rounds.min(2);
    for round in 0..repeats {
        for who in bench.order(round, &CONTESTANTS) {
            let turn = turn(bench, who, count).await?;
            progress(&format!(
                "round {} of {repeats}: {:<22} {} KiB a connection, core {} % busy",
                round + 1,
                who.name(),
                short(turn.kib),
                short(turn.sample.server_share * 100.0)
            ));
            rounds.push(who, turn);
        }
    }
    let kib = |turn: &Turn| turn.kib;
    let verdicts = [
        rounds.value("KiB per idle connection", Who::Confirmed, kib, Goal::AtMost(8.0)),
        rounds.ratio("memory against uWebSockets", (Who::Confirmed, Who::Uws), kib, Goal::AtMost(0.25)),
        rounds.ratio("memory against ws", (Who::Confirmed, Who::Ws), kib, Goal::AtMost(0.25)),
        rounds.ratio(
            "CPU against uWebSockets",
            (Who::Confirmed, Who::Uws),
            |turn| turn.sample.server_share,
            Goal::None,
        ),
    ];
    let mut conditions = bench.conditions(rounds.all().map(|turn| &turn.sample))?;
    conditions.rounds = repeats;
    Ok(Outcome {
        title: format!("{count} mostly idle connections"),
        method: format!(
            "{count} clients in lobbies of 20; each says once a minute whether it is ready, which the other 19 are \
             told. Memory is the growth of the server's resident size per connection, rooms included, over that with \
             {FIRST} clients; for Colyseus after a full garbage collection at both moments. What the kernel keeps per \
             socket is in none of the figures."
        ),
        columns: rounds.names(),
        rows: vec![
            rounds.row("memory per connection, KiB", kib),
            rounds.row("server's core busy, %", |turn| turn.sample.server_share * 100.0),
            rounds.row("CPU per delivered frame, us", |turn| turn.sample.cpu_us_per_frame()),
        ],
        verdicts: verdicts.into_iter().flatten().collect(),
        conditions,
    })
}

async fn turn(bench: &Bench, who: Who, count: usize) -> Result<Turn> {
    let data = folder()?;
    let server = bench.lab.start(who, data.path(), 0).await?;
    let mut crowd = Crowd::of(&server);
    crowd.join(&who.kind("lobby"), FIRST, FIRST).await?;
    tokio::time::sleep(SETTLE).await;
    let before = server.memory().await?;
    crowd.join(&who.kind("lobby"), count, AT_ONCE).await?;
    let mut ready = vec![false; crowd.len()];
    crowd.say(crowd.len() as f64 / EVERY.as_secs_f64(), move |at| {
        ready[at] = !ready[at];
        let payload = msgpack::to_vec_records(&ready[at]).expect("a boolean can be encoded");
        ClientFrame::Data { ty: MessageType::from("ready"), payload: &payload }.to_vec()
    });
    tokio::time::sleep(SETTLE).await;
    let sample = crowd.watch(&server, bench.length).await?;
    let after = server.memory().await?;
    drop(crowd);
    server.kill().await?;
    let kib = after.saturating_sub(before) as f64 / 1024.0 / count as f64;
    Ok(Turn { sample, kib })
}
