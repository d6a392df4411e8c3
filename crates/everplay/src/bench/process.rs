//! The server under test: a process of its own, so that what it costs is not mixed with what driving it costs.

use crate::{Error, Result};
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A server this program started from itself. Killed when dropped.
pub(crate) struct ServerProcess {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl ServerProcess {
    /// Starts it on this data directory and waits until it says that it is ready.
    pub(crate) fn start(data_dir: &Path, port: u16) -> Result<Self> {
        let program = std::env::current_exe().map_err(Error::system("this program cannot be found"))?;
        let arguments: [OsString; 13] = [
            "serve".into(),
            "--bench-rooms".into(),
            // All players of a measurement come from one address.
            "--rate-matchmake=1000000".into(),
            "--rate-burst=1000000".into(),
            "--host".into(),
            "127.0.0.1".into(),
            "--port".into(),
            port.to_string().into(),
            "--data-dir".into(),
            data_dir.into(),
            "--log".into(),
            "warn".into(),
            "--log-format=human".into(),
        ];
        let mut child = Command::new(program)
            .args(arguments)
            // What the operator set for the real server is not about this one.
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Error::system("the server under test cannot be started"))?;
        let stdout = child.stdout.take().expect("it was asked for");
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        let address = line.split("http://").nth(1).and_then(|address| address.trim().parse().ok());
        match (read, address) {
            (Ok(_), Some(address)) => Ok(Self { child, address }),
            _ => {
                // It has said on standard error why.
                drop(child.kill());
                drop(child.wait());
                Err(Error::Command("the server under test did not start".into()))
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: nothing in it runs any more, not even a destructor.
    pub(crate) fn kill(&mut self) -> Result {
        self.child.kill().map_err(Error::system("the server under test cannot be killed"))?;
        self.child.wait().map_err(Error::system("the server under test cannot be waited for"))?;
        Ok(())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Already ended is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Processor time of a process since its start, all threads, user and system.
///
/// From `/proc/PID/stat`, in the hundredths of a second that Linux shows to programs on every architecture.
pub(crate) fn processor_time(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so count from its end; utime and stime are fields 14 and 15.
    let after_name = &stat[stat.rfind(')')? + 2..];
    let mut fields = after_name.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 10))
}

/// Resident bytes of a process.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib << 10)
}
