//! What must hold, in parts by concern. Each fails alone, and all run even when one failed.
//!
//! Invariant: a lane installs or builds what it needs itself, so that any of them can be run alone on a
//! fresh clone; `setup` only does it all at once, first.

mod contract;
mod page;
mod server;
mod setup;

use crate::npm;
use crate::run::{Report, find_program, run};
use crate::tidy;
use crate::web;
use crate::workspace::{Workspace, cargo};
use anyhow::{Result, ensure};
use std::process::Command;

/// A part of the tests.
#[derive(Clone, Copy)]
pub(crate) struct Lane {
    name: &'static str,
    shows: &'static str,
    run: fn(&Workspace) -> Result<()>,
}

/// All of them, cheap ones first, those that need the page after the page.
const LANES: &[Lane] = &[
    Lane {
        name: "setup",
        shows: "the browser, the stores and the JavaScript packages are installed",
        run: setup::setup,
    },
    Lane { name: "tidy", shows: "the house rules hold", run: tidy::lane },
    Lane { name: "web", shows: "the page's own tests pass and it builds", run: web_lane },
    Lane { name: "rust", shows: "the tests of all crates pass", run: rust },
    Lane { name: "doc", shows: "the examples in the documentation run", run: doc },
    Lane { name: "sim", shows: "simulated clusters lose nothing, whatever goes wrong", run: sim },
    Lane {
        name: "websocket",
        shows: "the listener speaks WebSocket as the Autobahn cases demand",
        run: websocket,
    },
    Lane {
        name: "contract",
        shows: "the services keep to their API document, whatever they are asked",
        run: contract::lane,
    },
    Lane { name: "sdk", shows: "the official SDKs of three generations play and survive a kill", run: sdk },
    Lane { name: "browser", shows: "two browser pages finish a game across a kill", run: browser },
    Lane { name: "play", shows: "`cargo xtask play` answers with the page", run: page::lane },
];

/// Runs the named lanes, or all. True when all passed.
pub(crate) fn test(workspace: &Workspace, lanes: &[Lane]) -> bool {
    let mut report = Report::default();
    add_to(&mut report, workspace, if lanes.is_empty() { LANES } else { lanes });
    report.finish()
}

pub(crate) fn add_all_to(report: &mut Report, workspace: &Workspace) {
    add_to(report, workspace, LANES);
}

fn add_to(report: &mut Report, workspace: &Workspace, lanes: &[Lane]) {
    for lane in lanes {
        report.part(lane.name, lane.shows, || (lane.run)(workspace));
    }
}

pub(crate) fn by_name(name: &str) -> Result<Lane, String> {
    let names = || LANES.iter().map(|lane| lane.name).collect::<Vec<_>>().join(", ");
    LANES.iter().find(|lane| lane.name == name).copied().ok_or_else(|| format!("the lanes are {}", names()))
}

pub(crate) fn list() {
    for lane in LANES {
        println!("{:<10} {}", lane.name, lane.shows);
    }
}

fn web_lane(workspace: &Workspace) -> Result<()> {
    let folder = workspace.path("web");
    npm::install(&folder)?;
    run(npm::npm()?.args(["test"]).current_dir(&folder))?;
    web::build(workspace)
}

fn rust(workspace: &Workspace) -> Result<()> {
    // The server embeds the page, and its tests ask for it.
    web::build(workspace)?;
    official_packages(workspace)?;
    setup::stores()?;
    let mut command = cargo();
    if find_program("cargo-nextest").is_some() {
        command.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
    } else {
        command.args(["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests", "--examples"]);
    }
    run(command.env("MINISTACK", setup::dynamodb(workspace)?))
}

/// The schema crate asks the official decoders what they read.
fn official_packages(workspace: &Workspace) -> Result<()> {
    let crates = workspace.path("crates");
    for folder in npm::folders(workspace)?.iter().filter(|folder| folder.starts_with(&crates)) {
        npm::install(folder)?;
    }
    Ok(())
}

fn doc(_: &Workspace) -> Result<()> {
    run(cargo().args(["test", "--workspace", "--doc", "--no-fail-fast"]))
}

fn sim(_: &Workspace) -> Result<()> {
    crate::sim::lane()
}

fn websocket(_: &Workspace) -> Result<()> {
    let mut command = cargo();
    command.args([
        "test",
        "--package",
        "everplay-gateway",
        "--features",
        "conformance",
        "--test",
        "conformance",
    ]);
    run(command.args(["--", "--nocapture"]))
}

fn sdk(workspace: &Workspace) -> Result<()> {
    run(cargo().args(["build", "--package", "everplay-server", "--package", "everplay-test-rooms"]))?;
    run_twice_at_most(&mut node_tests(workspace, "tests/sdk")?)
}

fn browser(workspace: &Workspace) -> Result<()> {
    let chromium = setup::browser()?;
    web::build(workspace)?;
    run(cargo().args(["build", "--package", "everplay-server"]))?;
    run_twice_at_most(node_tests(workspace, "tests/browser")?.env("CHROMIUM", chromium))
}

/// Runs tests that kill servers under real clients; like a Rust test, they have a second try, and it is told.
fn run_twice_at_most(tests: &mut Command) -> Result<()> {
    run(tests).or_else(|error| {
        println!("==> FLAKY or broken, once more: {error:#}");
        run(tests)
    })
}

fn node_tests(workspace: &Workspace, folder: &str) -> Result<Command> {
    let path = workspace.path(folder);
    ensure!(path.join("package.json").is_file(), "{folder} holds no tests");
    npm::install(&path)?;
    let mut node = npm::node()?;
    node.args(["--test", "--test-reporter=spec"]).current_dir(path);
    node.env("EVERPLAY_BIN", workspace.program("debug", "everplay"));
    node.env("EVERPLAY_TEST_ROOMS_BIN", workspace.program("debug", "everplay-test-rooms"));
    Ok(node)
}
