//! (c) one world of 2,000 moving entities: every client sees the some 50 around its own.

use super::{AT_ONCE, Bench, Rounds, WARM_UP, folder, progress};
use crate::contestant::Who;
use crate::crowd::{Crowd, Sample};
use crate::figures::short;
use crate::results::{Goal, Outcome};
use anyhow::Result;

const CONTESTANTS: [Who; 3] = [Who::Confirmed, Who::Ephemeral, Who::Uws];
/// A patch rate below this is not the 20 a second that were asked for.
const ON_TIME: f64 = 0.97;

struct Turn {
    /// With the clients the scenario is about.
    sample: Sample,
    rate: f64,
    /// Clients that got their patches on time.
    carried: f64,
}

pub(crate) async fn run(bench: &Bench) -> Result<Outcome> {
    let clients = bench.size(200, 40);
    let mut rounds = Rounds::of(&CONTESTANTS);
    for round in 0..bench.rounds {
        for who in bench.order(round, &CONTESTANTS) {
            let turn = turn(bench, who, clients).await?;
            progress(&format!(
                "round {} of {}: {:<22} {clients} clients: core {:.0} % busy, {} patches a second; carries {:.0}",
                round + 1,
                bench.rounds,
                who.name(),
                turn.sample.server_share * 100.0,
                short(turn.rate),
                turn.carried
            ));
            rounds.push(who, turn);
        }
    }
    let carried = |turn: &Turn| turn.carried;
    let cpu = |turn: &Turn| turn.sample.cpu_us_per_frame();
    let verdicts = [
        rounds.ratio(
            "clients per core against StateView",
            (Who::Confirmed, Who::Uws),
            carried,
            Goal::AtLeast(8.0),
        ),
        rounds.ratio("Ephemeral against StateView", (Who::Ephemeral, Who::Uws), carried, Goal::None),
        rounds.ratio("CPU per frame against StateView", (Who::Confirmed, Who::Uws), cpu, Goal::None),
    ];
    Ok(Outcome {
        title: "a world seen through views".into(),
        method: format!(
            "One room, 2,000 entities that move every 50 ms; a client sees those within a circle that holds 50 of them, \
             looked up in a grid four times a second. First {clients} clients; then clients are added in steps of a \
             twelfth until a patch rate of {:.1} a second is not kept: the last number that was on time is what a core \
             carries. Where {clients} are too many already, it is {clients} times the share of the 20 patches a second \
             that arrived, which flatters that side.",
            20.0 * ON_TIME
        ),
        columns: rounds.names(),
        rows: vec![
            rounds.row("clients a core carries", carried),
            rounds.row(format!("{clients} clients: server's core busy, %"), |turn| {
                turn.sample.server_share * 100.0
            }),
            rounds.row(format!("{clients} clients: patches per second and client"), |turn| turn.rate),
            rounds.row(format!("{clients} clients: CPU per delivered frame, us"), cpu),
            rounds.row(format!("{clients} clients: bytes per frame"), |turn| {
                turn.sample.bytes as f64 / turn.sample.frames.max(1) as f64
            }),
        ],
        verdicts: verdicts.into_iter().flatten().collect(),
        conditions: bench.conditions(rounds.all().map(|turn| &turn.sample))?,
    })
}

async fn turn(bench: &Bench, who: Who, clients: usize) -> Result<Turn> {
    let data = folder()?;
    let server = bench.lab.start(who, data.path(), 0).await?;
    let mut crowd = Crowd::of(&server);
    crowd.join(&who.kind("world"), clients, AT_ONCE).await?;
    tokio::time::sleep(WARM_UP).await;
    let sample = crowd.watch(&server, bench.length).await?;
    let rate = |sample: &Sample, clients: usize| sample.patches as f64 / sample.seconds / clients as f64;
    let mut carried = clients as f64 * (rate(&sample, clients) / 20.0).min(1.0);
    if rate(&sample, clients) >= 20.0 * ON_TIME {
        // From where the shares of now say that it must become tight.
        let likely = clients as f64 / sample.server_share.max(0.01);
        let mut wanted = ((likely * 0.6) as usize).clamp(clients, 4_000);
        loop {
            if wanted > crowd.len() {
                crowd.join(&who.kind("world"), wanted - crowd.len(), AT_ONCE).await?;
                tokio::time::sleep(WARM_UP).await;
            }
            let trial = crowd.watch(&server, bench.length.min(std::time::Duration::from_secs(3))).await?;
            if rate(&trial, crowd.len()) < 20.0 * ON_TIME || crowd.len() >= 4_500 {
                break;
            }
            carried = crowd.len() as f64;
            wanted = crowd.len() + (crowd.len() / 12).max(4);
        }
    }
    let rate = rate(&sample, clients);
    drop(crowd);
    server.kill().await?;
    Ok(Turn { sample, rate, carried })
}
