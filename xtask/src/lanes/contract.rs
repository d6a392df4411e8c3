//! What the API document promises, tried with requests made from the document: no server error, and no answer that it does
//! not know.
//!
//! The requests are Schemathesis's (PyPI), installed into the scratch folder once. They are asked as a guest, so what is for
//! staff is refused, in the form that the document says; the routes of a WebSocket are left out.

use super::server::{Scratch, Server, free_port};
use crate::python;
use crate::run::run;
use crate::workspace::{Workspace, cargo};
use anyhow::{Context, Result, ensure};
use std::process::{Command, Stdio};
use std::time::Duration;

/// One version: another one finds other things on another day.
const PACKAGE: &str = "schemathesis==4.32.5";
/// Requests are made for so long at most, in seconds.
const TIME: &str = "60";
/// Opening the stores in memory takes moments, also on a machine that is busy.
const START: Duration = Duration::from_secs(60);
const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

pub(super) fn lane(workspace: &Workspace) -> Result<()> {
    let program = python::program(workspace, "schemathesis", &[PACKAGE])?;
    run(cargo().args(["build", "--package", "everplay-server"]))?;
    let port = free_port()?;
    let data = Scratch::new(workspace, "contract")?;
    let child = Command::new(workspace.program("debug", "everplay"))
        .args(["--storage", "memory", "--port", &port.to_string(), "--log", "error"])
        // What is tried is not how often one may try.
        .args(["--rate-account", "1000000", "--rate-guest", "1000000", "--rate-burst", "1000000"])
        .current_dir(data.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("the server does not start")?;
    let mut server = Server::of(child, port);
    let guest = server.first_answer("POST", "/auth/anonymous", Some("{}"), START)?;
    ensure!(guest.starts_with("HTTP/1.1 200 "), "no guest: {guest}");
    let token = guest
        .split_once("\"token\":\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(token, _)| token)
        .context("the answer of /auth/anonymous holds no token")?;
    let tried = Command::new(program)
        .args(["run", &format!("http://127.0.0.1:{port}/openapi.json")])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-time", TIME])
        .args(["--exclude-path-regex", "/live$", "--suppress-health-check", "all", "--warnings", "off"])
        .args(["--generation-database", "none", "--seed", "1", "--no-color", "--request-timeout", "10"])
        .current_dir(data.path())
        .stdin(Stdio::null())
        .status()
        .context("Schemathesis does not start")?;
    let ended = server.stop()?;
    ensure!(tried.success(), "the server does not keep to its API document ({tried})");
    ensure!(ended.success(), "the server did not end well: {ended}");
    Ok(())
}
