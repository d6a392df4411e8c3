//! What the tests need from outside and may install: a browser, real stores, and the JavaScript packages.

use crate::npm;
use crate::python;
use crate::run::{find_program, run};
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program the tests start, and the Debian packages that bring it.
struct Need {
    what: &'static str,
    /// Any of these names will do.
    names: &'static [&'static str],
    packages: &'static [&'static str],
}

const BROWSER: Need = Need {
    what: "a browser for the page's tests",
    names: &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
    packages: &["chromium"],
};

const STORES: [Need; 3] = [
    Need { what: "Redis for the store's tests", names: &["redis-server"], packages: &["redis-server"] },
    Need {
        what: "Redis Sentinel for the store's tests",
        names: &["redis-sentinel"],
        packages: &["redis-sentinel"],
    },
    Need { what: "PostgreSQL for the arbiter's tests", names: &["initdb"], packages: &["postgresql"] },
];

/// Debian keeps PostgreSQL's own programs here, in a folder per version.
const POSTGRES: &str = "/usr/lib/postgresql";

pub(crate) fn setup(workspace: &Workspace) -> Result<()> {
    browser()?;
    stores()?;
    dynamodb(workspace)?;
    for folder in npm::folders(workspace)? {
        npm::install(&folder)?;
    }
    Ok(())
}

/// The browser, installed where we may; elsewhere says what is missing.
pub(crate) fn browser() -> Result<PathBuf> {
    BROWSER.get()
}

/// The stores that the live store's tests start, installed where we may; elsewhere says what is missing.
pub(crate) fn stores() -> Result<()> {
    STORES.iter().try_for_each(|need| need.get().map(drop))
}

/// A server that speaks DynamoDB.
pub(crate) fn dynamodb(workspace: &Workspace) -> Result<PathBuf> {
    python::program(workspace, "ministack", &["ministack==1.5.33", "cryptography==50.0.2"])
}

impl Need {
    fn get(&self) -> Result<PathBuf> {
        if let Some(program) = self.find() {
            return Ok(program);
        }
        let packages = self.packages.join(" ");
        if !is_root() || find_program("apt-get").is_none() {
            bail!("{} is missing: install it (on Debian: apt-get install {packages})", self.what);
        }
        let apt = || {
            let mut command = Command::new("apt-get");
            command.env("DEBIAN_FRONTEND", "noninteractive");
            command
        };
        run(apt().args(["update", "-qq"]))?;
        run(apt().args(["install", "-y", "-qq", "--no-install-recommends"]).args(self.packages))?;
        self.find().with_context(|| format!("{packages} brought no {}", self.names[0]))
    }

    fn find(&self) -> Option<PathBuf> {
        self.names
            .iter()
            .find_map(|name| find_program(name).or_else(|| find_in_versions(Path::new(POSTGRES), name)))
    }
}

/// A program below `VERSION/bin`.
fn find_in_versions(folder: &Path, name: &str) -> Option<PathBuf> {
    let versions = fs::read_dir(folder).ok()?;
    versions.flatten().map(|version| version.path().join("bin").join(name)).find(|program| program.is_file())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
