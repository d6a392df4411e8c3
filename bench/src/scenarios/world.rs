//! (c) one world of 2,000 moving entities: every client sees the some 50 around its own.

use super::{AT_ONCE, Bench, Rounds, WARM_UP, folder, progress};
use crate::contestant::Who;
use crate::crowd::{Crowd, Sample};
use crate::figures::short;
use crate::results::{Goal, Outcome};
use anyhow::Result;

const CONTESTANTS: [Who; 3] = [Who::Confirmed, Who::Ephemeral, Who::Uws];

/// With the clients the scenario is about, and with three times as many.
struct Turn {
    samples: [Sample; 2],
}

/// How many such clients a second of the server's processor time serves.
fn per_core(sample: &Sample) -> f64 {
    sample.patches as f64 / 20.0 / sample.cpu.as_secs_f64().max(0.01)
}

pub(crate) async fn run(bench: &Bench) -> Result<Outcome> {
    let sizes = [bench.size(200, 40), bench.size(600, 80)];
    let mut rounds = Rounds::of(&CONTESTANTS);
    for round in 0..bench.rounds {
        for who in bench.order(round, &CONTESTANTS) {
            let turn = turn(bench, who, sizes).await?;
            let [few, many] = &turn.samples;
            progress(&format!(
                "round {} of {}: {:<22} {} clients: core {:.0} % busy, {} clients per core; {}: {:.0} %, {}",
                round + 1,
                bench.rounds,
                who.name(),
                sizes[0],
                few.server_share * 100.0,
                short(per_core(few)),
                sizes[1],
                many.server_share * 100.0,
                short(per_core(many)),
            ));
            rounds.push(who, turn);
        }
    }
    let (mut rows, mut verdicts) = (Vec::new(), Vec::new());
    for (at, clients) in sizes.into_iter().enumerate() {
        let of = move |turn: &Turn| per_core(&turn.samples[at]);
        rows.extend([
            rounds.row(format!("{clients} clients: clients per core"), of),
            rounds.row(format!("{clients} clients: server's core busy, %"), move |turn: &Turn| {
                turn.samples[at].server_share * 100.0
            }),
            rounds.row(format!("{clients} clients: patches per second and client"), move |turn: &Turn| {
                turn.samples[at].patches as f64 / turn.samples[at].seconds / clients as f64
            }),
            rounds.row(format!("{clients} clients: bytes per frame"), move |turn: &Turn| {
                turn.samples[at].bytes as f64 / turn.samples[at].frames.max(1) as f64
            }),
        ]);
        let against = |whose: &str, pair, goal| {
            rounds.ratio(format!("clients per core, {clients} clients, {whose}"), pair, of, goal)
        };
        verdicts.extend([
            against("against StateView", (Who::Confirmed, Who::Uws), Goal::AtLeast(8.0)),
            against("Ephemeral against StateView", (Who::Ephemeral, Who::Uws), Goal::None),
        ]);
    }
    Ok(Outcome {
        title: "a world seen through views".into(),
        method: "One room, 2,000 entities that move every 50 ms; a client sees those within a circle that holds 50 of \
                 them, looked up in a grid four times a second, and gets 20 patches a second. Clients per core are the \
                 patches that arrived per second of the server's processor time, in those of one client: what the whole \
                 room costs is in it."
            .into(),
        columns: rounds.names(),
        rows,
        verdicts: verdicts.into_iter().flatten().collect(),
        conditions: bench.conditions(rounds.all().flat_map(|turn| &turn.samples))?,
    })
}

async fn turn(bench: &Bench, who: Who, sizes: [usize; 2]) -> Result<Turn> {
    let data = folder()?;
    let server = bench.lab.start(who, data.path(), 0).await?;
    let mut crowd = Crowd::of(&server);
    let mut samples = [Sample::default(), Sample::default()];
    for (sample, clients) in samples.iter_mut().zip(sizes) {
        crowd.join(&who.kind("world"), clients - crowd.len(), AT_ONCE).await?;
        tokio::time::sleep(WARM_UP).await;
        *sample = crowd.watch(&server, bench.length).await?;
    }
    drop(crowd);
    server.kill().await?;
    Ok(Turn { samples })
}
