//! Fuzzing: cargo-fuzz over fuzz/fuzz_targets.
//!
//! libFuzzer's hooks are unstable compiler flags. RUSTC_BOOTSTRAP lets the pinned compiler take them, for
//! the fuzzing build alone. The address sanitizer is left out: the decoders are safe code, what it finds
//! the language already rules out, and without it twice as many inputs are tried.

use crate::check::cargo_tool;
use crate::run::{heading, run};
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::process::Command;

/// More than any frame the gateway lets through.
const INPUT_BYTES_MAX: u32 = 1 << 16;
/// Far below what one decoder may allocate for such an input, so that a leak or a bomb is seen.
const MEMORY_MB_MAX: u32 = 512;

pub(crate) fn fuzz(workspace: &Workspace, target: Option<&str>, seconds: u64) -> Result<bool> {
    let targets = targets(workspace)?;
    if let Some(target) = target {
        ensure!(targets.iter().any(|name| name == target), "the targets are {}", targets.join(", "));
    }
    let tool = cargo_tool(workspace, "cargo-fuzz")?;
    for name in targets.iter().filter(|name| target.is_none_or(|target| target == *name)) {
        heading(&format!("{name} for {seconds} s"));
        let mut command = Command::new(&tool);
        command.args(["fuzz", "run", "--sanitizer", "none", name, "--"]);
        command.arg(format!("-max_total_time={seconds}"));
        command.arg(format!("-max_len={INPUT_BYTES_MAX}"));
        command.arg(format!("-rss_limit_mb={MEMORY_MB_MAX}"));
        run(command.env("RUSTC_BOOTSTRAP", "1").current_dir(workspace.root()))?;
    }
    Ok(true)
}

pub(crate) fn list(workspace: &Workspace) -> Result<bool> {
    for name in targets(workspace)? {
        println!("{name}");
    }
    Ok(true)
}

fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.path("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "rs") {
            names.push(path.file_stem().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}
