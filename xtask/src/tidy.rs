//! House rules that no compiler knows, as tests: a rule that is not run is a wish.
//!
//! Each rule is a function from the files to what breaks it, so that it can be tried on a file with one fault.
//! A finding names the file, the line, and what to do instead.

mod layers;
mod links;
mod manifests;
mod sources;
mod words;

use crate::run::run;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fmt;
use std::process::Command;

/// The texts of the repository by path, the paths relative and with `/`.
pub(crate) struct Files(BTreeMap<String, String>);

/// What breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.problem)
    }
}

type Rule = fn(&Files) -> Vec<Finding>;

const RULES: &[(&str, Rule)] = &[
    ("the repository reads alone: no paths of a machine, no hosts of a mirror", words::foreign),
    ("nothing is left for later", words::unfinished),
    ("no test is switched off", sources::switched_off_tests),
    ("no source file is longer than a person keeps in mind", sources::long_files),
    ("every dependency says why", manifests::reasons),
    ("crates depend downwards only", layers::arrows),
    ("pure crates let clippy hold them pure", layers::purity_lints),
    ("every link in the documents leads somewhere", links::broken),
    ("the README's example is the example", links::readme_example),
];

/// The lane.
pub(crate) fn lane(workspace: &Workspace) -> Result<()> {
    let files = Files::read(workspace)?;
    let mut broken = 0;
    for (name, rule) in RULES {
        let findings = rule(&files);
        println!("{} {name}", if findings.is_empty() { "ok  " } else { "FAIL" });
        for finding in &findings {
            println!("     {finding}");
        }
        broken += usize::from(!findings.is_empty());
    }
    // The rules' own tests come with the others in the lane `rust`; alone this lane proves them too.
    run(crate::workspace::cargo().args(["test", "--quiet", "--package", "xtask", "tidy"]))?;
    ensure!(broken == 0, "{broken} of {} house rules are broken, see above", RULES.len());
    Ok(())
}

impl Files {
    /// What git tracks or would track; files that are no text are left out.
    fn read(workspace: &Workspace) -> Result<Self> {
        let output = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(workspace.root())
            .output()
            .context("git does not start")?;
        if !output.status.success() {
            bail!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let names = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
        let mut files = BTreeMap::new();
        for name in names.split_terminator('\0') {
            // Deleted and not yet committed, or a picture: nothing to read.
            if let Ok(text) = std::fs::read_to_string(workspace.path(name)) {
                files.insert(name.to_owned(), text);
            } else if workspace.path(name).exists() {
                files.insert(name.to_owned(), String::new());
            }
        }
        Ok(Self(files))
    }

    #[cfg(test)]
    fn of<const N: usize>(files: [(&str, &str); N]) -> Self {
        Self(files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect())
    }

    fn get(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// Whether a file or a folder has this path.
    fn has(&self, path: &str) -> bool {
        let below = format!("{path}/");
        path.is_empty()
            || self.0.contains_key(path)
            || self.0.range(below.clone()..).next().is_some_and(|(next, _)| next.starts_with(&below))
    }

    fn with_ending<'a>(&'a self, endings: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
        let ends =
            move |path: &str| path.rsplit_once('.').is_some_and(|(_, ending)| endings.contains(&ending));
        self.iter().filter(move |(path, _)| ends(path))
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }
}

/// A finding per line for which `problem` has something to say.
fn per_line<'a>(
    files: impl Iterator<Item = (&'a str, &'a str)>,
    problem: impl Fn(&str) -> Option<String>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in files {
        for (at, line) in text.lines().enumerate() {
            if let Some(problem) = problem(line) {
                findings.push(Finding { path: path.to_owned(), line: at + 1, problem });
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_count_as_there() {
        let files = Files::of([("docs/a.md", "")]);
        assert!(files.has("docs/a.md") && files.has("docs") && !files.has("doc") && !files.has("docs/b.md"));
    }
}
