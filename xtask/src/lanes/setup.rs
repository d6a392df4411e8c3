//! What the tests need from outside and may install: a browser, and the JavaScript packages.

use crate::npm;
use crate::run::{find_program, run};
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// Names Debian and others give the browser.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

pub(crate) fn setup(workspace: &Workspace) -> Result<()> {
    browser()?;
    for folder in npm::folders(workspace)? {
        npm::install(&folder)?;
    }
    Ok(())
}

/// The browser, installed where we may; elsewhere says what is missing.
pub(crate) fn browser() -> Result<PathBuf> {
    let installed = || BROWSERS.iter().find_map(|name| find_program(name));
    if let Some(browser) = installed() {
        return Ok(browser);
    }
    if !is_root() || find_program("apt-get").is_none() {
        bail!("no browser for the page's tests: install Chromium (on Debian: apt-get install chromium)");
    }
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    run(apt().args(["update", "-qq"]))?;
    run(apt().args(["install", "-y", "-qq", "--no-install-recommends", "chromium"]))?;
    installed().context("the package chromium brought no browser")
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
