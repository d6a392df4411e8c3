//! The simulator and the model of the ownership protocol: crates/everplay-sim, built and run.

use crate::run::run;
use crate::workspace::cargo;
use anyhow::Result;

/// Seeds that the tests run: free of findings, as docs/simulation.md says.
const TESTED: u32 = 2_000;

/// Optimised as a release without the long link-time step: the nodes are most of the work.
const PROFILE: &str = "measure";

/// Hands the arguments through. Errors: something was found; how to see it again was printed.
pub(crate) fn sim(arguments: &[String]) -> Result<bool> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--profile", PROFILE, "--package", "everplay-sim", "--"]);
    run(command.args(arguments))?;
    Ok(true)
}

pub(crate) fn lane() -> Result<()> {
    sim(&["--seeds".to_owned(), TESTED.to_string()]).map(drop)
}
