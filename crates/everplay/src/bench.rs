//! `everplay bench`: what this server costs on this machine, and whether it keeps its promise when it is killed.
//!
//! ```text
//! this process: players ----sockets----> ServerProcess: the same program, serving arenas
//!      '------------- /proc/PID -------------'
//! ```
//!
//! Contestants take turns round by round, so that whatever else the machine does meets all of them.

mod crash;
pub(crate) mod figures;
mod player;
mod process;
mod speed;

use crate::cli::BenchTask;
use crate::{Error, Result};
use std::path::Path;
use tokio::runtime::Runtime;

pub(crate) fn run(task: BenchTask) -> Result {
    let runtime = Runtime::new().map_err(Error::system("the runtime cannot be started"))?;
    if task.crash { runtime.block_on(crash::run(&task)) } else { runtime.block_on(speed::run(&task)) }
}

fn temporary_directory() -> Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("everplay-bench-")
        .tempdir()
        .map_err(Error::system("a temporary directory cannot be made"))
}

pub(crate) fn write_json(path: Option<&Path>, report: &impl serde::Serialize) -> Result {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_string_pretty(report).expect("a report is numbers and texts");
    std::fs::write(path, text + "\n")
        .map_err(|error| Error::Command(format!("{} cannot be written: {error}", path.display())))
}
