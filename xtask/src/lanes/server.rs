//! A server of a lane's own: a free port, a folder that goes, the first answer, an end by its process id.

use crate::run::seconds;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

/// The server's own deadline for a clean end is shorter.
const STOP: Duration = Duration::from_secs(30);

/// A port that nobody listens on.
pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The whole answer, head and body. A body is JSON.
fn answer(port: u16, method: &str, path: &str, body: Option<&str>) -> Result<String> {
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
pub(super) struct Server {
    child: Child,
    port: u16,
}

impl Server {
    pub(super) fn of(child: Child, port: u16) -> Self {
        Self { child, port }
    }

    /// What it answers as soon as it listens, whatever that is. Errors: it ended, or did not answer in time.
    pub(super) fn first_answer(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&str>,
        patience: Duration,
    ) -> Result<String> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended ({status}) before it answered");
            }
            match answer(self.port, method, path, body) {
                Ok(answer) => {
                    println!("it answered after {}", seconds(start.elapsed()));
                    return Ok(answer);
                }
                Err(error) if start.elapsed() > patience => {
                    return Err(error.context("the server did not answer"));
                }
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// As Ctrl-C does.
    pub(super) fn stop(mut self) -> Result<ExitStatus> {
        let status = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status()?;
        ensure!(status.success(), "the server was gone");
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
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
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
