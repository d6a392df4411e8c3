//! Everything a change must pass before it goes in.

use crate::lanes;
use crate::run::{Report, find_program, run};
use crate::workspace::{Workspace, cargo};
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;

/// True when all passed.
pub(crate) fn check(workspace: &Workspace) -> bool {
    let mut report = Report::default();
    report.part("format", "the sources are formatted", || run(cargo().args(["fmt", "--all", "--check"])));
    report.part("lints", "clippy has nothing to say", || {
        run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    });
    report.part("reference", "the documentation builds without a warning", || {
        run(cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
    });
    lanes::add_all_to(&mut report, workspace);
    report
        .part("dependencies", "licences, bans and sources are as deny.toml says", || dependencies(workspace));
    report.finish()
}

fn dependencies(workspace: &Workspace) -> Result<()> {
    let deny = cargo_tool(workspace, "cargo-deny")?;
    let checks = |what: &[&str]| {
        let mut command = Command::new(&deny);
        command.args(["--all-features", "check"]).args(what).current_dir(workspace.root());
        command
    };
    run(&mut checks(&["licenses", "bans", "sources"]))?;
    // Known flaws come from a database on the net. Without it this says so, and nothing is proven.
    match run(Command::new(&deny).args(["fetch", "db"]).current_dir(workspace.root())) {
        Ok(()) => run(&mut checks(&["--disable-fetch", "advisories"])),
        Err(error) => {
            println!("advisories NOT checked, their database could not be fetched: {error:#}");
            Ok(())
        }
    }
}

/// A cargo tool: the installed one, or one of our own in the target directory.
pub(crate) fn cargo_tool(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let place = workspace.scratch().join("tools");
    let own = place.join("bin").join(name);
    if let Some(installed) = find_program(name).or_else(|| own.is_file().then(|| own.clone())) {
        return Ok(installed);
    }
    println!("{name} is missing; building it once");
    run(cargo().args(["install", "--locked", name, "--root"]).arg(&place))?;
    Ok(own)
}
