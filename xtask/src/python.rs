//! Programs from PyPI that tests talk to, each in a folder of its own under the scratch folder.

use crate::run::{find_program, run};
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// The program of these packages, installed when it is not there in these versions.
pub(crate) fn program(workspace: &Workspace, name: &str, packages: &[&str]) -> Result<PathBuf> {
    let folder = workspace.scratch().join(name);
    let program = folder.join("bin").join(name);
    let marked = folder.join(packages.join("+"));
    if program.is_file() && marked.is_file() {
        return Ok(program);
    }
    let python = find_program("python3")
        .with_context(|| format!("python3 is missing: the tests with {name} need it"))?;
    run(Command::new(python).args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(folder.join("bin/pip")).args(["install", "--quiet"]).args(packages))?;
    std::fs::write(marked, "").context("the scratch folder cannot be written")?;
    Ok(program)
}
