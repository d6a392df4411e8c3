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
    /// As it stands, and after garbage was collected.
    kib: [f64; 2],
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
                "round {} of {repeats}: {:<22} {} KiB a connection ({} as it stands), core {} % busy",
                round + 1,
                who.name(),
                short(turn.kib[1]),
                short(turn.kib[0]),
                short(turn.sample.server_share * 100.0)
            ));
            rounds.push(who, turn);
        }
    }
    let (stands, needed) = (|turn: &Turn| turn.kib[0], |turn: &Turn| turn.kib[1]);
    let (uws, ws) = ((Who::Confirmed, Who::Uws), (Who::Confirmed, Who::Ws));
    let verdicts = [
        rounds.value("KiB per idle connection", Who::Confirmed, stands, Goal::AtMost(8.0)),
        rounds.ratio(
            "memory against uWebSockets after its garbage collection",
            uws,
            needed,
            Goal::AtMost(0.25),
        ),
        rounds.ratio("memory against ws after its garbage collection", ws, needed, Goal::AtMost(0.25)),
        rounds.ratio("memory against uWebSockets as it stands", uws, stands, Goal::None),
        rounds.ratio("memory against ws as it stands", ws, stands, Goal::None),
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
             {FIRST} clients: as it stands, and for Colyseus once more after a full garbage collection at both moments, \
             which an operator does not get. What the kernel keeps per socket is in none of the figures."
        ),
        columns: rounds.names(),
        rows: vec![
            rounds.row("memory per connection as it stands, KiB", stands),
            rounds.row("after garbage collection, KiB", needed),
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
    let before = [server.memory(), server.memory_needed().await?];
    crowd.join(&who.kind("lobby"), count, AT_ONCE).await?;
    let mut ready = vec![false; crowd.len()];
    crowd.say(crowd.len() as f64 / EVERY.as_secs_f64(), move |at| {
        ready[at] = !ready[at];
        let payload = msgpack::to_vec_records(&ready[at]).expect("a boolean can be encoded");
        ClientFrame::Data { ty: MessageType::from("ready"), payload: &payload }.to_vec()
    });
    tokio::time::sleep(SETTLE).await;
    let sample = crowd.watch(&server, bench.length).await?;
    let after = [server.memory(), server.memory_needed().await?];
    drop(crowd);
    server.kill().await?;
    let kib = [0, 1].map(|at| after[at].saturating_sub(before[at]) as f64 / 1024.0 / count as f64);
    Ok(Turn { sample, kib })
}
