//! From a fresh clone to a page to play on.

use crate::run::{heading, run};
use crate::web;
use crate::workspace::{Workspace, cargo};
use anyhow::{Context, Result, bail};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The package of the program we ship, and the program.
const SERVER: [&str; 2] = ["everplay-server", "everplay"];

/// Builds everything and becomes the server, so that Ctrl-C and signals reach it and nothing else.
pub(crate) fn play(workspace: &Workspace, port: u16, release: bool, data_dir: Option<&Path>) -> Result<bool> {
    web::build(workspace)?;
    server(release)?;
    let program = workspace.program(if release { "release" } else { "debug" }, SERVER[1]);
    let mut serve = Command::new(program);
    serve.args(["serve", "--port", &port.to_string()]);
    if let Some(data_dir) = data_dir {
        serve.arg("--data-dir").arg(data_dir);
    }
    heading(&format!(
        "play at http://127.0.0.1:{port}/ (Ctrl-C stops the server, the next start continues its games)"
    ));
    let error = serve.exec();
    bail!("{} does not start: {error}", serve.get_program().display())
}

/// Builds everything and becomes a whole region with a page to kill its nodes on.
pub(crate) fn cluster(workspace: &Workspace, port: u16, release: bool) -> Result<bool> {
    web::build(workspace)?;
    server(release)?;
    let program = workspace.program(if release { "release" } else { "debug" }, SERVER[1]);
    let mut region = Command::new(program);
    region.args(["cluster", "--port", &port.to_string()]);
    heading("a region: Redis, PostgreSQL, three nodes and a balancer on this machine");
    let error = region.exec();
    bail!("{} does not start: {error}", region.get_program().display())
}

/// The optimised program with the page inside.
pub(crate) fn build(workspace: &Workspace) -> Result<bool> {
    web::build(workspace)?;
    server(true)?;
    let program = workspace.program("release", SERVER[1]);
    let size =
        std::fs::metadata(&program).with_context(|| format!("{} is not there", program.display()))?.len();
    println!("\n{} ({:.1} MB)", program.display(), size as f64 / 1e6);
    Ok(true)
}

fn server(release: bool) -> Result<()> {
    heading("the server");
    let mut command = cargo();
    command.args(["build", "--package", SERVER[0]]);
    if release {
        command.arg("--release");
    }
    run(&mut command)
}
