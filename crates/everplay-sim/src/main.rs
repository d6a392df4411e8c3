//! Runs the model and the simulator: `cargo xtask sim`.

use clap::{Parser, ValueEnum};
use everplay_sim::model::{Bounds, Judge, Rule, Rules, search};
use everplay_sim::{Failure, Plan, Planted, Report, run};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Check the cluster's protocol by model and by simulation
#[derive(Parser)]
#[command(name = "cargo xtask sim")]
struct Cli {
    /// Run this seed alone and print what happened
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run this many seeds
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    from: u64,
    /// Go on after a seed that found something, and print all of them
    #[arg(long, conflicts_with = "plant_all")]
    keep_going: bool,
    /// Print what the nodes log, too
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Put a bug in; with --seeds: stop at the first seed that finds it
    #[arg(long, value_name = "BUG")]
    planted: Option<String>,
    /// Put every known bug in, one after the other, and print how many seeds each needed and what showed it
    #[arg(long)]
    plant_all: bool,
    /// Search the model instead
    #[arg(long, value_enum, value_name = "WHAT")]
    model: Option<Model>,
    /// Threads that run seeds; each seed runs in one
    #[arg(long, value_name = "N", default_value_t = 2)]
    threads: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Model {
    /// Every rule in force
    Clean,
    /// Each rule taken away in turn
    Rules,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let fine = match (cli.model, cli.seed) {
        (Some(model), _) => search_model(model),
        (None, Some(seed)) => replay(&cli, seed),
        (None, None) if cli.plant_all => plant_all(&cli),
        (None, None) => many(&cli),
    };
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn bug(cli: &Cli) -> Planted {
    let Some(name) = &cli.planted else { return Planted::None };
    let known = Planted::ALL.into_iter().find(|bug| bug.name() == *name);
    known.unwrap_or_else(|| {
        let names: Vec<String> = Planted::ALL.iter().map(|bug| bug.name()).collect();
        eprintln!("no bug called {name}; there are {}", names.join(", "));
        std::process::exit(2)
    })
}

fn replay(cli: &Cli, seed: u64) -> bool {
    if cli.trace {
        let log = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).without_time();
        log.with_ansi(false).with_target(false).init();
    }
    let report = run(Plan { seed, planted: bug(cli), verbose: true });
    if !cli.trace {
        report.log.iter().for_each(|line| println!("{line}"));
    }
    match &report.failure {
        Some(failure) => println!("seed {seed}: {failure}"),
        None => println!("seed {seed}: nothing found; log hash {:016x}", report.hash),
    }
    report.failure.is_none()
}

/// Runs seeds, in order of their numbers, those that found something; until the first one if so.
fn finds(cli: &Cli, planted: Planted, first: bool) -> (Totals, BTreeMap<u64, Failure>) {
    let Cli { from, seeds, threads, .. } = *cli;
    let next = AtomicU64::new(from);
    let found: Mutex<BTreeMap<u64, Failure>> = Mutex::default();
    let totals = Mutex::new(Totals::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    // Lower ones than the lowest so far are still to be looked at.
                    let lowest = found.lock().expect("no thread panics").keys().next().copied();
                    if seed >= from + seeds || (first && lowest.is_some_and(|lowest| lowest < seed)) {
                        return;
                    }
                    let report = run(Plan { seed, planted, verbose: false });
                    totals.lock().expect("no thread panics").add(&report);
                    if let Some(failure) = report.failure {
                        found.lock().expect("no thread panics").insert(seed, failure);
                    }
                }
            });
        }
    });
    (totals.into_inner().expect("no thread panics"), found.into_inner().expect("no thread panics"))
}

#[derive(Default)]
struct Totals {
    seeds: u64,
    lasted: u64,
    faults: usize,
    patches: u64,
    reconnects: u64,
}

impl Totals {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.lasted += report.lasted;
        self.faults += report.faults;
        self.patches += report.patches;
        self.reconnects += report.reconnects;
    }
}

fn many(cli: &Cli) -> bool {
    let begun = Instant::now();
    let planted = bug(cli);
    let (totals, found) = finds(cli, planted, !cli.keep_going);
    let took = begun.elapsed().as_secs_f64();
    println!(
        "{} seeds in {took:.1} s: {:.1} simulated hours, {} faults, {} states and patches seen, {} reconnects",
        totals.seeds,
        totals.lasted as f64 / 3.6e6,
        totals.faults,
        totals.patches,
        totals.reconnects
    );
    let with =
        if planted == Planted::None { String::new() } else { format!(" --planted {}", planted.name()) };
    for (seed, failure) in found.iter().take(if cli.keep_going { usize::MAX } else { 1 }) {
        println!("seed {seed}: {failure}");
        println!("see it again: cargo xtask sim --seed {seed}{with}");
    }
    if found.is_empty() {
        println!("nothing found");
    }
    found.is_empty()
}

fn plant_all(cli: &Cli) -> bool {
    let mut missed = 0;
    println!("| bug | seeds needed | property that showed it |\n|---|---|---|");
    for planted in Planted::ALL {
        let (_, found) = finds(cli, planted, true);
        match found.into_iter().next() {
            Some((seed, failure)) => {
                println!("| {} | {} | {:?} |", planted.name(), seed - cli.from + 1, failure.property);
            }
            None => {
                missed += 1;
                println!("| {} | not found in {} | |", planted.name(), cli.seeds);
            }
        }
    }
    println!("{} bugs, {missed} not found", Planted::ALL.len());
    missed == 0
}

fn search_model(model: Model) -> bool {
    let mut fine = true;
    for bounds in Bounds::TESTED {
        if model == Model::Clean {
            let outcome = search(Rules::ALL, bounds, Judge::Strict);
            println!("{}: {outcome}", bounds.name);
            fine &= outcome.found.is_none();
        }
    }
    if model == Model::Rules {
        println!(
            "| rule taken away | what is found | steps | what players notice | steps |\n|---|---|---|---|---|"
        );
        for rule in Rule::ALL {
            let way = |judge| {
                let tried = Bounds::TESTED.into_iter().filter(|bounds| rule.matters(bounds));
                let found = tried.filter_map(|bounds| search(Rules::ALL.without(rule), bounds, judge).found);
                let shortest = found.min_by_key(|(steps, _)| steps.len());
                shortest.map_or_else(
                    || "nothing |".to_owned(),
                    |(steps, violation)| format!("{violation} | {}", steps.len()),
                )
            };
            let (strict, players) = (way(Judge::Strict), way(Judge::Players));
            fine &= !strict.starts_with("nothing");
            println!("| {rule:?} | {strict} | {players} |");
        }
    }
    fine
}
