//! Processes that a region is made of: each with its log in a file, stopped by its id when it is dropped.

use crate::{Error, Result};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything that starts.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn trouble(what: impl Into<String>) -> Error {
    Error::Command(what.into())
}

/// A process that this program started. It does not outlive its value.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it with its output at the end of a file, out of reach of the terminal's Ctrl-C: it is stopped in order.
    pub(super) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Process> {
        let open = || File::options().create(true).append(true).open(log);
        let (out, err) = open()
            .and_then(|out| Ok((out.try_clone()?, out)))
            .map_err(|error| trouble(format!("{} cannot be written: {error}", log.display())))?;
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0).spawn();
        let child = child.map_err(|error| trouble(format!("{name} cannot be started: {error}")))?;
        Ok(Process { name: name.to_owned(), child, log: log.to_owned() })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL, and waits until it is gone.
    pub(super) fn kill(&mut self) {
        // Already ended is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Sends a signal by its name, as `STOP`.
    pub(super) fn signal(&self, signal: &str) -> Result {
        let sent = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status();
        match sent {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => {
                Err(trouble(format!("{} (process {}) cannot be sent SIG{signal}", self.name, self.id())))
            }
            Err(error) => Err(trouble(format!("`kill` cannot be run: {error}"))),
        }
    }

    /// Waits until the condition holds. Errors: the process ended before, or it takes too long; with its last words.
    pub(super) fn wait_until(&mut self, what: &str, mut holds: impl FnMut() -> bool) -> Result {
        let start = Instant::now();
        loop {
            if holds() {
                return Ok(());
            }
            let ended = self.has_ended();
            if ended || start.elapsed() > PATIENCE {
                let how = if ended { "ended" } else { "took too long" };
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                let words: Vec<&str> = log.lines().rev().take(5).collect();
                let words: Vec<&str> = words.into_iter().rev().collect();
                return Err(trouble(format!("{} {how} before {what}: {}", self.name, words.join(" / "))));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody has now on this machine, or in this namespace.
pub(super) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    Ok(address.map_err(Error::system("no port is free"))?.port())
}

/// Waits for something outside of any process.
pub(super) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) -> Result {
    let start = Instant::now();
    while !holds() {
        if start.elapsed() > PATIENCE {
            return Err(trouble(format!("waited {} s until {what}", PATIENCE.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Runs a short command to its end. Errors: it failed, with its last words.
pub(super) fn run(command: &mut Command) -> Result {
    let output = command.current_dir("/").output();
    let output = output.map_err(|error| trouble(format!("{command:?}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(trouble(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

/// Looks for a program on the PATH.
pub(super) fn find(name: &str, install: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file());
    found.ok_or_else(|| trouble(format!("`{name}` is not installed: {install}")))
}

/// Whether a server takes players, as a balancer asks it.
pub(super) fn is_ready(address: SocketAddr) -> bool {
    let ask = || {
        let patience = Duration::from_millis(500);
        let mut stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(READY.as_bytes())?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok::<bool, std::io::Error>(&answer == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// The question for readiness.
pub(super) const READY: &str = "GET /health/ready HTTP/1.1\r\nHost: balancer\r\nConnection: close\r\n\r\n";
