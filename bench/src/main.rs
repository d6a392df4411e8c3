//! Measures Everplay beside the official server and beside the least any server can do.
//!
//! ```text
//! this process (one core): Crowd of clients ----sockets----> one server at a time (another core)
//!        '---- /proc ----'                                    everplay-bench-server | node server.mjs | everplay-bench-floor
//! ```
//!
//! Contestants take turns round by round, each in a fresh process, so that whatever else the machine does meets all of
//! them; ratios are taken round by round. What came of it goes to bench/results.json, and from there into
//! docs/benchmarks.md and its picture.

mod chart;
mod contestant;
mod crowd;
mod door;
mod figures;
mod line;
mod machine;
mod page;
mod results;
mod scenarios;

use anyhow::{Context, Result, bail};
use clap::Parser;
use contestant::{Lab, Who};
use results::{Outcome, Results};
use scenarios::{Bench, fanout, idle, joins, recovery, spaaace, world};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::task::LocalSet;

/// Measure Everplay beside Colyseus and beside the floor, and write docs/benchmarks.md
#[derive(Parser)]
#[command(name = "everplay-bench")]
struct Arguments {
    /// Scenarios by letter: a fan-out, b Spaaace, c views, d idle, e joins, f echo, g recovery, h durability
    #[arg(long, value_delimiter = ',', default_value = "a,b,c,d,e,f,g,h")]
    scenario: Vec<char>,
    /// Rounds of each contestant
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=20))]
    rounds: u64,
    /// Seconds of one measurement
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Small crowds and one short round: shows that everything runs; the page is left as it is
    #[arg(long)]
    quick: bool,
    /// Measure only these contestants and leave the page as it is: for work on one of them
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<Who>,
    /// The repository
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Only write the page anew from what was measured before
    #[arg(long)]
    page: bool,
}

const SCENARIOS: [(char, &str); 8] = [
    ('a', "arena fan-out"),
    ('b', "Spaaace: rooms per core"),
    ('c', "a world seen through views"),
    ('d', "10,000 mostly idle connections"),
    ('e', "join storm"),
    ('f', "echo under (a)"),
    ('g', "recovery"),
    ('h', "Confirmed against Ephemeral"),
];

/// A scenario that takes longer has got stuck: with its servers it is given up.
const LONGEST: Duration = Duration::from_secs(900);

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if cfg!(debug_assertions) && !arguments.quick && !arguments.page {
        bail!("a debug build measures nothing: cargo xtask bench");
    }
    if let Some(unknown) =
        arguments.scenario.iter().find(|letter| !SCENARIOS.iter().any(|(known, _)| known == *letter))
    {
        let known: Vec<String> = SCENARIOS.iter().map(|(letter, name)| format!("{letter} {name}")).collect();
        bail!("there is no scenario {unknown}; there are: {}", known.join(", "));
    }
    let results = arguments.root.join("bench/results.json");
    if arguments.page {
        return publish(&arguments.root, &Results::read(&results)?);
    }
    let lab = Lab::new(&arguments.root.join("bench/colyseus"))?;
    let (rounds, seconds) = if arguments.quick { (1, 2) } else { (arguments.rounds, arguments.seconds) };
    let bench = Bench {
        lab,
        rounds: usize::try_from(rounds).context("clap bounds it")?,
        length: Duration::from_secs(seconds),
        quick: arguments.quick,
        only: arguments.only,
    };
    eprintln!("{}\n{}; {}", machine::describe(), bench.lab.show_pins(), bench.lab.versions()?);
    // After the pinning, so that threads and clients inherit it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        tokio::select! {
            done = measure(&bench, &arguments.scenario, &arguments.root, &results) => done,
            // Servers are killed when their handles are dropped.
            _ = tokio::signal::ctrl_c() => bail!("interrupted; what was measured before is kept"),
        }
    })
}

/// Runs the scenarios in order; each is kept as soon as it is over. One that fails is told of and does not keep the others
/// from being measured; what an earlier run found of it stays on the page, with its date.
async fn measure(bench: &Bench, wanted: &[char], root: &Path, path: &Path) -> Result<()> {
    let began = Instant::now();
    let mut fan_out = FanOut::Unknown;
    let mut failed = Vec::new();
    for (letter, name) in SCENARIOS {
        if !wanted.contains(&letter) {
            continue;
        }
        eprintln!("\n({letter}) {name}, after {:.0} s", began.elapsed().as_secs_f64());
        let outcome = tokio::time::timeout(LONGEST, outcome(bench, letter, &mut fan_out)).await;
        let outcome = outcome.unwrap_or_else(|_| bail!("it takes longer than {} s", LONGEST.as_secs()));
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                eprintln!("  ! ({letter}) {name} was not measured: {error:#}");
                failed.push(letter.to_string());
                continue;
            }
        };
        for verdict in &outcome.verdicts {
            let mark = if verdict.reached() { " " } else { "!" };
            eprintln!("  {mark} {}: {} (to reach: {})", verdict.name, verdict.figure, verdict.goal);
        }
        if !bench.quick && bench.only.is_empty() {
            // Read again: another run may have added something.
            let mut results = Results::read(path)?;
            results.scenarios.insert(letter, outcome);
            results.write(path)?;
            publish(root, &results)?;
        }
    }
    eprintln!("\ndone after {:.0} s", began.elapsed().as_secs_f64());
    if failed.is_empty() { Ok(()) } else { bail!("not measured: {}", failed.join(", ")) }
}

/// What (a), (f) and (h) are read from, measured once.
enum FanOut {
    Unknown,
    Known(fanout::Measured),
    Failed,
}

async fn outcome(bench: &Bench, letter: char, fan_out: &mut FanOut) -> Result<Outcome> {
    if matches!(letter, 'a' | 'f' | 'h') && matches!(fan_out, FanOut::Unknown) {
        *fan_out = FanOut::Failed;
        *fan_out = FanOut::Known(fanout::run(bench).await?);
    }
    match (letter, fan_out) {
        ('a', FanOut::Known(measured)) => measured.fan_out(bench),
        ('f', FanOut::Known(measured)) => measured.echo(bench),
        ('h', FanOut::Known(measured)) => measured.durability(bench),
        ('a' | 'f' | 'h', _) => bail!("the rounds it is read from have failed"),
        ('b', _) => spaaace::run(bench).await,
        ('c', _) => world::run(bench).await,
        ('d', _) => idle::run(bench).await,
        ('e', _) => joins::run(bench).await,
        _ => recovery::run(bench).await,
    }
}

fn publish(root: &Path, results: &Results) -> Result<()> {
    page::update(&root.join("docs/benchmarks.md"), results)?;
    chart::write(&root.join("docs/images/benchmarks.svg"), results)
}
