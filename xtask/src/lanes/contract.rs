//! What the API document promises, tried with requests made from the document: no server error, and no answer that it does
//! not know.
//!
//! The requests are Schemathesis's (PyPI), installed into the scratch folder once. They are asked in turn as a guest, as a
//! registered player, with a server's key and as an admin with a second factor, all made over HTTP by
//! `tests/contract/identities.mjs`; what would end the one who asks, or the service, is asked as somebody who is there for that.
//! A run in which too few of the signed-in routes were served shows nothing, and fails. The routes of a WebSocket are left out.

use super::server::{Scratch, Server, free_port};
use crate::npm;
use crate::python;
use crate::run::run;
use crate::workspace::{Workspace, cargo};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// One version: another one finds other things on another day.
const PACKAGE: &str = "schemathesis==4.32.5";
/// Opening the stores in memory takes moments, also on a machine that is busy.
const START: Duration = Duration::from_secs(60);
const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
/// The setting `admin` of the server.
const ADMIN: &str = "admin@example.com";
/// Operations that end the one who asks, or their sign-in.
const PARTING: [&str; 3] = ["authLogout", "deleteAccount", "endOtherLogins"];
/// Operations that end the service for all.
const CLOSING: &str = "setServiceLevel";
/// Operations for the signed-in that must have been served at least once.
const SERVED: usize = 22;

/// One identity's requests.
struct Asked {
    /// Key of its token.
    who: &'static str,
    /// Requests are made for so long at most, in seconds.
    seconds: &'static str,
    /// Only what ends it, or all but that.
    parting: bool,
}

const ASKED: [Asked; 5] = [
    Asked { who: "guest", seconds: "25", parting: false },
    Asked { who: "member", seconds: "25", parting: false },
    Asked { who: "key", seconds: "25", parting: false },
    Asked { who: "admin", seconds: "25", parting: false },
    Asked { who: "leaver", seconds: "10", parting: true },
];

pub(super) fn lane(workspace: &Workspace) -> Result<()> {
    let program = python::program(workspace, "schemathesis", &[PACKAGE])?;
    run(cargo().args(["build", "--package", "everplay-server"]))?;
    let port = free_port()?;
    let data = Scratch::new(workspace, "contract")?;
    let log = data.path().join("log");
    let child = Command::new(workspace.program("debug", "everplay"))
        .args(["--storage", "memory", "--port", &port.to_string(), "--admin", ADMIN])
        // The admin's address is confirmed with the mail, which stands in the log.
        .args(["--log", "error,everplay_accounts::mail=info", "--log-format", "json"])
        // What is tried is not how often one may try.
        .args(["--rate-account", "1000000", "--rate-guest", "1000000", "--rate-burst", "1000000"])
        .current_dir(data.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).context("the log cannot be made")?)
        .spawn()
        .context("the server does not start")?;
    let mut server = Server::of(child, port);
    server.first_answer("GET", "/health/live", None, START)?;
    let url = format!("http://127.0.0.1:{port}");
    let document = data.path().join("document.json");
    let made = npm::node()?
        .arg(workspace.path("tests/contract/identities.mjs"))
        .args([&url, &log.display().to_string(), ADMIN, &document.display().to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("node does not start")?;
    ensure!(made.status.success(), "no identities to ask as ({})", made.status);
    let tokens: Value = serde_json::from_slice(&made.stdout).context("the identities cannot be read")?;
    let mut served = BTreeSet::new();
    let mut broken = Vec::new();
    for asked in &ASKED {
        let token = tokens[asked.who].as_str().with_context(|| format!("no token of {}", asked.who))?;
        let report = data.path().join(format!("{}.json", asked.who));
        println!("==> as {}", asked.who);
        let mut tried = Command::new(&program);
        tried
            .arg("run")
            .arg(&document)
            .args(["--url", &url, "--header", &format!("Authorization: Bearer {token}")])
            .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-time", asked.seconds])
            .args(["--exclude-path-regex", "/live$", "--suppress-health-check", "all", "--warnings", "off"])
            .args(["--generation-database", "none", "--seed", "1", "--no-color", "--request-timeout", "10"])
            .args(["--report", "json", "--report-json-path"])
            .arg(&report);
        for operation in PARTING {
            tried.args([
                if asked.parting { "--include-operation-id" } else { "--exclude-operation-id" },
                operation,
            ]);
        }
        if !asked.parting {
            tried.args(["--exclude-operation-id", CLOSING]);
        }
        let tried = tried.current_dir(data.path()).stdin(Stdio::null()).status();
        if !tried.context("Schemathesis does not start")?.success() {
            broken.push(asked.who);
        }
        served.extend(accepted(&report)?);
    }
    let ended = server.stop()?;
    if !broken.is_empty() {
        bail!("the server does not keep to its API document, asked as {}", broken.join(", "));
    }
    ensure!(ended.success(), "the server did not end well: {ended}");
    let secured = secured(&document)?;
    let shown = secured.intersection(&served).count();
    println!("{shown} of {} operations for the signed-in were served", secured.len());
    ensure!(
        shown >= SERVED,
        "only {shown} operations for the signed-in were served, so the rest of this shows nothing; refused: {}",
        secured.difference(&served).cloned().collect::<Vec<_>>().join(", ")
    );
    Ok(())
}

fn read(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", path.display()))
}

/// Operations that were served at least once, as `GET /account`, by Schemathesis's own count.
fn accepted(report: &Path) -> Result<Vec<String>> {
    let report = read(report)?;
    let rates = report["valid_rates"].as_object().context("the report has no `valid_rates`")?;
    let served = rates.iter().filter(|(_, phases)| {
        let phases = phases.as_object().into_iter().flatten();
        phases.into_iter().any(|(_, phase)| phase["accepted"].as_u64().is_some_and(|times| times > 0))
    });
    Ok(served.map(|(operation, _)| operation.clone()).collect())
}

/// Operations that say who may ask.
fn secured(document: &Path) -> Result<BTreeSet<String>> {
    let document = read(document)?;
    let paths = document["paths"].as_object().context("the document has no paths")?;
    let all = paths.iter().flat_map(|(path, operations)| {
        let operations = operations.as_object().into_iter().flatten();
        operations.map(move |(method, operation)| (path, method, operation))
    });
    let secured =
        all.filter(|(_, _, operation)| operation["security"].as_array().is_some_and(|ways| !ways.is_empty()));
    Ok(secured.map(|(path, method, _)| format!("{} {path}", method.to_uppercase())).collect())
}
