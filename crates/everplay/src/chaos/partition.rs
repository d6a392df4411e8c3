//! A zone that is cut off: a region of its own, in network namespaces where they are permitted.
//!
//! This program runs itself again inside a fresh namespace (`unshare --net`), where it may lay cables and pull them without
//! touching the machine's network. What that run came to is handed over in a file.

use super::child::{find, run, trouble};
use super::network::Network;
use super::report::Sum;
use super::suffer;
use crate::cli::{ChaosTask, Fault};
use crate::{Error, Result};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const INSTALL: &str = "apt-get install util-linux";
/// Time for a run that is interrupted to stop what it started.
const STOPPING: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);

/// The run inside. Dropped too early it is interrupted, so that it stops its own processes.
struct Inner(Child);

impl Drop for Inner {
    fn drop(&mut self) {
        let start = Instant::now();
        if matches!(self.0.try_wait(), Ok(None)) {
            // Already ended is as good.
            drop(Command::new("kill").args(["-s", "INT", &self.0.id().to_string()]).status());
        }
        while matches!(self.0.try_wait(), Ok(None)) && start.elapsed() < STOPPING {
            std::thread::sleep(LOOK);
        }
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Runs that part of the task elsewhere. What it came to; only a note when namespaces are not permitted here.
pub(super) async fn outside(task: &ChaosTask) -> Result<Sum> {
    if let Err(problem) = permitted() {
        eprintln!("left out: partition: {problem}");
        return Ok(Sum { notes: vec![format!("partition: {problem}")], ..Sum::default() });
    }
    let file = tempfile::NamedTempFile::new().map_err(Error::system("a temporary file cannot be made"))?;
    let program = std::env::current_exe().map_err(Error::system("this program cannot be found"))?;
    let mut command = Command::new(find("unshare", INSTALL)?);
    command.args(["--net", "--"]).arg(program).args(["chaos", "--scenario", Fault::Partition.name()]);
    command.arg("--inside").arg(file.path());
    let counts = [
        ("--nodes", task.nodes),
        ("--rooms", task.rooms),
        ("--clients", task.clients),
        ("--sdk", task.sdk),
        ("--arenas", task.arenas),
    ];
    for (flag, count) in counts {
        command.args([flag, &count.to_string()]);
    }
    if let Some(folder) = &task.sdk_folder {
        command.arg("--sdk-folder").arg(folder);
    }
    if task.short {
        command.arg("--short");
    }
    let failed = |error: std::io::Error| trouble(format!("the region in namespaces: {error}"));
    let mut inner = Inner(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().map_err(failed)?);
    let status = loop {
        if let Some(status) = inner.0.try_wait().map_err(failed)? {
            break status;
        }
        tokio::time::sleep(LOOK).await;
    };
    if !status.success() {
        return Err(trouble("the region in namespaces failed"));
    }
    let text = std::fs::read(file.path()).map_err(Error::system("a temporary file cannot be read"))?;
    serde_json::from_slice(&text).map_err(|error| trouble(format!("the region in namespaces: {error}")))
}

/// The part of the task that is run in a namespace.
pub(super) async fn inside(task: &ChaosTask, result: &Path) -> Result {
    let task = ChaosTask { repeat: 1, ..task.clone() };
    let (sum, _) = suffer(&task, &[Fault::Partition], Network::Namespaces).await?;
    crate::bench::write_json(Some(result), &sum)
}

/// Whether this process may make namespaces and cables between them.
fn permitted() -> Result<(), String> {
    let ask = || -> Result {
        let script = "ip link set lo up && ip link add probe0 type bridge && ip link add probe1 type veth";
        let mut probe = Command::new(find("unshare", INSTALL)?);
        run(probe.args(["--net", "--", "/bin/sh", "-c", script]))
    };
    ask().map_err(|error| format!("network namespaces are not permitted here ({error})"))
}
