//! Benchmarks: what lies in the crates' `benches`, and the whole program under load.

use crate::run::{heading, run};
use crate::web;
use crate::workspace::{Workspace, cargo};
use anyhow::{Result, bail};

/// The name for `everplay bench`.
const SERVER: &str = "server";
/// Optimised as a release without the long link-time step; fast enough to measure.
const PROFILE: &str = "measure";

pub(crate) fn bench(workspace: &Workspace, names: &[String], arguments: &[String]) -> Result<bool> {
    let benches = workspace.benches();
    let known = |name: &str| name == SERVER || benches.iter().any(|bench| bench.package == name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let mut all: Vec<&str> = benches.iter().map(|bench| bench.package.as_str()).collect();
        all.dedup();
        bail!("no benchmarks called {unknown}; there are {}, {SERVER}", all.join(", "));
    }
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
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
