//! `cargo xtask play`, as the README promises it: from the sources to a page that answers.

use super::server::{Scratch, Server, free_port};
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Building everything from nothing on two slow cores takes minutes.
const START: Duration = Duration::from_secs(15 * 60);

pub(super) fn lane(workspace: &Workspace) -> Result<()> {
    let port = free_port()?;
    let data = Scratch::new(workspace, "play")?;
    let child = Command::new(std::env::current_exe().context("where xtask lies")?)
        .args(["play", "--port", &port.to_string(), "--data-dir"])
        .arg(data.path())
        .stdin(Stdio::null())
        .spawn()
        .context("xtask does not start")?;
    let mut server = Server::of(child, port);
    let page = server.first_answer("GET", "/", None, START)?;
    ensure!(page.starts_with("HTTP/1.1 200 "), "not a page: {}", page.lines().next().unwrap_or_default());
    ensure!(page.contains("<!doctype html") || page.contains("<!DOCTYPE html"), "the answer is no HTML page");
    let status = server.stop()?;
    ensure!(status.success(), "Ctrl-C did not end the server well: {status}");
    Ok(())
}
