//! Benchmarks: the server beside Colyseus and the floor, what lies in the crates' `benches`, the program by itself.

use crate::npm;
use crate::run::{heading, run};
use crate::web;
use crate::workspace::{Workspace, cargo};
use anyhow::{Result, bail};
use std::process::Command;

/// The name for `everplay bench`.
const SERVER: &str = "server";
/// Optimised as a release without the long link-time step; fast enough to measure.
const PROFILE: &str = "measure";

/// The comparison's package, and the name of its program.
const COMPARISON: &str = "everplay-bench";

/// Runs the comparison when no names are given, else the benchmarks with these names.
pub(crate) fn bench(
    workspace: &Workspace,
    names: &[String],
    comparison: &Comparison,
    arguments: &[String],
) -> Result<bool> {
    if names.is_empty() {
        return compare(workspace, comparison);
    }
    let benches = workspace.benches();
    let known = |name: &str| name == SERVER || benches.iter().any(|bench| bench.package == name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let mut all: Vec<&str> = benches.iter().map(|bench| bench.package.as_str()).collect();
        all.dedup();
        bail!("no benchmarks called {unknown}; there are {}, {SERVER}", all.join(", "));
    }
    let wanted = |name: &str| names.iter().any(|wanted| wanted == name);
    for bench in benches.iter().filter(|bench| wanted(&bench.package)) {
        heading(&format!("{} of {}", bench.name, bench.package));
        let mut command = cargo();
        command.args(["bench", "--profile", PROFILE, "--package", &bench.package, "--bench", &bench.name]);
        run(command.arg("--").args(arguments))?;
    }
    if wanted(SERVER) {
        web::build(workspace)?;
        heading("the server under load");
        let mut command = cargo();
        command.args(["run", "--profile", PROFILE, "--package", "everplay-server", "--", "bench"]);
        run(command.args(arguments))?;
    }
    Ok(true)
}

/// How the comparison is made.
#[derive(clap::Args)]
pub(crate) struct Comparison {
    /// Scenarios of the comparison: a fan-out, b Spaaace, c views, d idle, e joins, f echo, g recovery, h durability
    #[arg(long, value_name = "LETTERS", default_value = "a,b,c,d,e,f,g,h", conflicts_with = "names")]
    scenario: String,
    /// Rounds of each contestant
    #[arg(long, value_name = "N", default_value_t = 3, conflicts_with = "names")]
    rounds: u32,
    /// Length of one measurement
    #[arg(long, value_name = "N", default_value_t = 5, conflicts_with = "names")]
    seconds: u32,
    /// Small crowds and one short round, two minutes: shows that it runs, leaves the page as it is
    #[arg(long, conflicts_with = "names")]
    quick: bool,
}

/// The server beside the official one and beside the least any server can do, into docs/benchmarks.md.
fn compare(workspace: &Workspace, comparison: &Comparison) -> Result<bool> {
    let folder = workspace.path("bench/colyseus");
    npm::install_for_here(&folder)?;
    heading("the programs that are compared");
    run(cargo().args(["build", "--profile", PROFILE, "--package", COMPARISON]))?;
    heading(if comparison.quick {
        "small crowds, one short round: about two minutes"
    } else {
        "all scenarios take about 17 minutes; other work on the machine goes into the figures"
    });
    let mut command = Command::new(workspace.program(PROFILE, COMPARISON));
    command.arg("--root").arg(workspace.root()).args(["--scenario", &comparison.scenario]);
    command.args(["--rounds", &comparison.rounds.to_string(), "--seconds", &comparison.seconds.to_string()]);
    if comparison.quick {
        command.arg("--quick");
    }
    // Fails when a scenario did; the page has the others.
    run(&mut command)?;
    Ok(true)
}
