//! JavaScript packages, as the lock files beside them say.

use crate::run::{find_program, run};
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest Node the official SDK and Vite run on.
const NODE_MAJOR: u32 = 20;

/// Installs what the lock file of `folder` names, unless that is what is there.
pub(crate) fn install(folder: &Path) -> Result<()> {
    install_with(folder, &["ci"])
}

/// The same versions, also where the lock file does not name what other platforms would take: newer releases of npm refuse
/// `ci` then.
pub(crate) fn install_for_here(folder: &Path) -> Result<()> {
    install_with(folder, &["install", "--no-save"])
}

fn install_with(folder: &Path, how: &[&str]) -> Result<()> {
    let lock = folder.join("package-lock.json");
    let wanted = fingerprint(&[lock]).with_context(|| format!("packages of {}", folder.display()))?;
    let note = folder.join("node_modules/.installed");
    if fs::read_to_string(&note).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    run(npm()?.args(how).args(["--no-audit", "--no-fund"]).current_dir(folder))?;
    // A package without dependencies leaves no folder behind.
    fs::create_dir_all(folder.join("node_modules"))?;
    fs::write(&note, wanted).with_context(|| format!("{} cannot be written", note.display()))
}

pub(crate) fn npm() -> Result<Command> {
    node()?;
    find_program("npm")
        .map(Command::new)
        .with_context(|| format!("npm is missing: install Node.js {NODE_MAJOR}"))
}

/// Node, checked to be new enough.
pub(crate) fn node() -> Result<Command> {
    let advice = || format!("Node.js {NODE_MAJOR} or newer is needed");
    let program = find_program("node").with_context(advice)?;
    let output = Command::new(&program).arg("--version").output().with_context(advice)?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    ensure!(major.is_some_and(|major| major >= NODE_MAJOR), "{}, not {version}", advice());
    Ok(Command::new(program))
}

/// Where the tests keep JavaScript. What the benchmarks compare with is theirs to install.
const TESTED: [&str; 3] = ["web", "tests", "crates"];

/// Every folder of the tests with a lock file.
pub(crate) fn folders(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = TESTED.map(|folder| workspace.path(folder)).into();
    while let Some(folder) = open.pop() {
        if folder.join("package-lock.json").is_file() {
            found.push(folder.clone());
        }
        for entry in fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))? {
            let entry = entry?;
            let name = entry.file_name();
            let theirs =
                name == "node_modules" || name == "target" || name.to_string_lossy().starts_with('.');
            if entry.file_type()?.is_dir() && !theirs {
                open.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// One text that changes when any of the files does.
pub(crate) fn fingerprint(files: &[PathBuf]) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.hash(&mut hasher);
        fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}
