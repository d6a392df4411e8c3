//! (a) fan-out, (f) echoes meanwhile, (h) what durability adds: arenas of 20, 20 patches a second, one measurement for
//! all three.

use super::{AT_ONCE, Bench, Rounds, WARM_UP, folder, progress};
use crate::contestant::Who;
use crate::crowd::{Crowd, Sample};
use crate::figures::{percentile_ms, short};
use crate::results::{Goal, Outcome};
use anyhow::Result;

const CONTESTANTS: [Who; 5] = [Who::Confirmed, Who::Ephemeral, Who::Uws, Who::Ws, Who::Floor];

/// Echoes a second over all clients.
const ECHOES: f64 = 200.0;

/// One contestant in one round.
pub(crate) struct Turn {
    sample: Sample,
    echo_ms: [f64; 3],
    /// Patches that arrived, in those that should have.
    delivered: f64,
}

/// All of it, by the number of clients.
pub(crate) struct Measured {
    sizes: Vec<(usize, Rounds<Turn>)>,
}

pub(crate) async fn run(bench: &Bench) -> Result<Measured> {
    let mut sizes = Vec::new();
    // What ours sends is what the floor sends; until that is known, a good guess.
    let mut frame_bytes = 250;
    for clients in [bench.size(500, 100), bench.size(1_500, 200)] {
        let mut rounds = Rounds::of(&CONTESTANTS);
        for round in 0..bench.rounds {
            for who in bench.order(round, &CONTESTANTS) {
                let turn = turn(bench, who, clients, frame_bytes).await?;
                if who == Who::Confirmed {
                    frame_bytes = (turn.sample.bytes / turn.sample.frames.max(1)) as usize;
                }
                progress(&format!(
                    "{clients} clients, round {} of {}: {:<22} {} us a frame, echo p99 {} ms, {:.1} % delivered, core {:.0} % busy",
                    round + 1,
                    bench.rounds,
                    who.name(),
                    short(turn.sample.cpu_us_per_frame()),
                    short(turn.echo_ms[1]),
                    turn.delivered * 100.0,
                    turn.sample.server_share * 100.0,
                ));
                rounds.push(who, turn);
            }
        }
        sizes.push((clients, rounds));
    }
    Ok(Measured { sizes })
}

async fn turn(bench: &Bench, who: Who, clients: usize, frame_bytes: usize) -> Result<Turn> {
    let data = folder()?;
    let server = bench.lab.start(who, data.path(), frame_bytes).await?;
    let mut crowd = Crowd::of(&server);
    crowd.join(&who.kind("arena"), clients, AT_ONCE).await?;
    crowd.echo(ECHOES);
    tokio::time::sleep(WARM_UP).await;
    let mut sample = crowd.watch(&server, bench.length).await?;
    drop(crowd);
    server.kill().await?;
    let mut echoes = std::mem::take(&mut sample.echoes);
    let delivered = sample.patches as f64 / (sample.seconds * 20.0 * clients as f64);
    let echo_ms = [0.5, 0.99, 0.999].map(|share| percentile_ms(&mut echoes, share));
    Ok(Turn { sample, echo_ms, delivered })
}

impl Measured {
    fn samples(&self) -> impl Iterator<Item = &Sample> + Clone {
        self.sizes.iter().flat_map(|(_, rounds)| rounds.all()).map(|turn| &turn.sample)
    }

    fn names(&self) -> Vec<String> {
        self.sizes.first().map(|(_, rounds)| rounds.names()).unwrap_or_default()
    }

    /// (a)
    pub(crate) fn fan_out(&self, bench: &Bench) -> Result<Outcome> {
        let cpu = |turn: &Turn| turn.sample.cpu_us_per_frame();
        let (mut rows, mut verdicts) = (Vec::new(), Vec::new());
        for (clients, rounds) in &self.sizes {
            rows.push(rounds.row(format!("{clients} clients: CPU per delivered frame, us"), cpu));
            rows.push(rounds.row(format!("{clients} clients: server's core busy, %"), |turn| {
                turn.sample.server_share * 100.0
            }));
            rows.push(
                rounds.row(format!("{clients} clients: patches delivered, %"), |turn| turn.delivered * 100.0),
            );
            let against = |whose: &str, pair, goal| {
                rounds.ratio(format!("CPU per frame, {clients} clients, against {whose}"), pair, cpu, goal)
            };
            verdicts.extend([
                against("the floor", (Who::Confirmed, Who::Floor), Goal::AtMost(1.25)),
                against("uWebSockets", (Who::Confirmed, Who::Uws), Goal::AtMost(0.75)),
                against("ws", (Who::Confirmed, Who::Ws), Goal::None),
                against("the floor, Ephemeral", (Who::Ephemeral, Who::Floor), Goal::None),
                against("uWebSockets, Ephemeral", (Who::Ephemeral, Who::Uws), Goal::None),
            ]);
        }
        Ok(Outcome {
            title: "arena fan-out".into(),
            method: "Arenas of 20, every ship moves every 50 ms, a patch to everyone 20 times a second, 200 echoes a \
                     second over all clients. A frame counts as delivered when a client has read it; the processor \
                     time is that of the whole server process. The floor writes one prebuilt frame of the same size \
                     to each client and does nothing else."
                .into(),
            columns: self.names(),
            rows,
            verdicts: verdicts.into_iter().flatten().collect(),
            conditions: bench.conditions(self.samples())?,
        })
    }

    /// (f)
    pub(crate) fn echo(&self, bench: &Bench) -> Result<Outcome> {
        let (mut rows, mut verdicts) = (Vec::new(), Vec::new());
        for (clients, rounds) in &self.sizes {
            for (at, name) in ["p50", "p99", "p99.9"].iter().enumerate() {
                rows.push(rounds.row(format!("{clients} clients: echo {name}, ms"), |turn| turn.echo_ms[at]));
            }
            let p99 = |turn: &Turn| turn.echo_ms[1];
            let against = |whose: &str, pair, goal| {
                rounds.ratio(format!("echo p99, {clients} clients, against {whose}"), pair, p99, goal)
            };
            verdicts.extend([
                against("uWebSockets", (Who::Confirmed, Who::Uws), Goal::AtMost(0.5)),
                against("uWebSockets, Ephemeral", (Who::Ephemeral, Who::Uws), Goal::None),
                against("the floor", (Who::Confirmed, Who::Floor), Goal::None),
            ]);
        }
        Ok(Outcome {
            title: "echo under that load".into(),
            method: "The time from the driver's write of a message to its read of the answer, while all patches of (a) \
                     go out."
                .into(),
            columns: self.names(),
            rows,
            verdicts: verdicts.into_iter().flatten().collect(),
            conditions: bench.conditions(self.samples())?,
        })
    }

    /// (h)
    pub(crate) fn durability(&self, bench: &Bench) -> Result<Outcome> {
        let cpu = |turn: &Turn| turn.sample.cpu_us_per_frame();
        let rows = self.sizes.iter().map(|(clients, rounds)| {
            let mut row = rounds.row(format!("{clients} clients: CPU per delivered frame, us"), cpu);
            row.cells.truncate(2);
            row
        });
        let verdicts = self.sizes.iter().filter_map(|(clients, rounds)| {
            let name = format!("Confirmed against Ephemeral, {clients} clients");
            rounds.ratio(name, (Who::Confirmed, Who::Ephemeral), cpu, Goal::AtMost(1.15))
        });
        let mut columns = self.names();
        columns.truncate(2);
        Ok(Outcome {
            title: "the cost of durability".into(),
            method: "From the rounds of (a): every patch is in the journal before anyone sees it, against no journal."
                .into(),
            columns,
            rows: rows.collect(),
            verdicts: verdicts.collect(),
            conditions: bench.conditions(self.samples())?,
        })
    }
}
