//! The page: built by Vite into web/dist, from where the server's build embeds it.

use crate::npm;
use crate::run::{heading, run};
use crate::workspace::Workspace;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// What lies in web/ without being a source of the page.
const NOT_SOURCES: [&str; 3] = ["node_modules", "dist", "generated"];

/// What the page's client of the services is made from.
const API_DOCUMENT: &str = "crates/everplay-api/tests/openapi.json";

/// Builds the page unless the one there was built from the same sources.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let web = workspace.path("web");
    heading("the page");
    npm::install(&web)?;
    let mut sources = sources(&web)?;
    sources.push(workspace.path(API_DOCUMENT));
    let wanted = npm::fingerprint(&sources)?;
    let note = web.join("node_modules/.built");
    let page = web.join("dist/index.html");
    if page.is_file() && fs::read_to_string(&note).is_ok_and(|built| built == wanted) {
        println!("unchanged");
        return Ok(());
    }
    run(npm::npm()?.args(["run", "build"]).current_dir(&web))?;
    ensure!(page.is_file(), "the build of web/ made no dist/index.html");
    fs::write(&note, wanted).with_context(|| format!("{} cannot be written", note.display()))
}

fn sources(web: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![web.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))? {
            let entry = entry?;
            let ours = folder != web || NOT_SOURCES.iter().all(|name| entry.file_name() != *name);
            match entry.file_type()?.is_dir() {
                true if ours => open.push(entry.path()),
                true => {}
                false => files.push(entry.path()),
            }
        }
    }
    files.sort();
    Ok(files)
}
