//! `cargo xtask play`, as the README promises it: from the sources to a page that answers.

use crate::run::seconds;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Building everything from nothing on two slow cores takes minutes.
const START: Duration = Duration::from_secs(15 * 60);
/// The server's own deadline for a clean end is shorter.
const STOP: Duration = Duration::from_secs(30);

pub(super) fn lane(workspace: &Workspace) -> Result<()> {
    let port = free_port()?;
    let data = Scratch::new(workspace, "play")?;
    let child = Command::new(std::env::current_exe().context("where xtask lies")?)
        .args(["play", "--port", &port.to_string(), "--data-dir"])
        .arg(&data.0)
        .stdin(Stdio::null())
        .spawn()
        .context("xtask does not start")?;
    let mut server = Server::of(child);
    let start = Instant::now();
    let page = loop {
        if let Some(status) = server.0.try_wait()? {
            bail!("`cargo xtask play` ended ({status}) before it answered");
        }
        match get(port, "/") {
            Ok(page) => break page,
            Err(error) if start.elapsed() > START => return Err(error.context("the page did not come")),
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    };
    println!("the page came after {}", seconds(start.elapsed()));
    ensure!(page.starts_with("HTTP/1.1 200 "), "not a page: {}", page.lines().next().unwrap_or_default());
    ensure!(page.contains("<!doctype html") || page.contains("<!DOCTYPE html"), "the answer is no HTML page");
    let status = server.stop()?;
    ensure!(status.success(), "Ctrl-C did not end the server well: {status}");
    Ok(())
}

/// A port that nobody listens on.
pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn get(port: u16, path: &str) -> Result<String> {
    answer(port, "GET", path, None)
}

/// The whole answer, head and body. A body is JSON.
pub(super) fn answer(port: u16, method: &str, path: &str, body: Option<&str>) -> Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n")?;
    match body {
        None => write!(stream, "\r\n")?,
        Some(body) => {
            let length = body.len();
            write!(stream, "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")?;
        }
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A folder that goes when the lane ends.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new(workspace: &Workspace, name: &str) -> Result<Self> {
        let path = workspace.scratch().join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left behind it harms nobody: it lies in the target directory.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The server, which does not outlive the lane.
pub(super) struct Server(Child);

impl Server {
    pub(super) fn of(child: Child) -> Self {
        Self(child)
    }

    /// As Ctrl-C does.
    pub(super) fn stop(mut self) -> Result<ExitStatus> {
        let status = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status()?;
        ensure!(status.success(), "the server was gone");
        let start = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            ensure!(start.elapsed() < STOP, "the server did not end within {}", seconds(STOP));
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended: both say so, and there is nothing to do about it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
