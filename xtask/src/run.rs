//! Commands with a line before and a time after, so that a long log can be read from its headings.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Says what begins.
pub(crate) fn heading(text: &str) {
    println!("\n==> {text}");
}

/// Runs a command to its end; its output goes where ours goes. Errors name the command and how it ended.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = shown(command);
    println!("--> {line}");
    let start = Instant::now();
    // No part of the tests may wait for a person.
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("{} does not start", command.get_program().display()))?;
    if !status.success() {
        bail!("`{line}` failed ({status}) after {}", seconds(start.elapsed()));
    }
    println!("--> done in {}", seconds(start.elapsed()));
    Ok(())
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
    let mut line = program.into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    if let Some(folder) = command.get_current_dir().and_then(Path::file_name) {
        line = format!("[{}] {line}", folder.display());
    }
    line
}

/// `1.2 s`, `3 min 04 s`.
pub(crate) fn seconds(time: Duration) -> String {
    let whole = time.as_secs();
    if whole < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}

/// Where a program is, if it is installed.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|place| place.join(name))
        .find(|file| file.is_file())
}

/// Parts that fail alone: all of them run, and the last line counts them.
#[derive(Default)]
pub(crate) struct Report {
    parts: Vec<(String, Duration, Result<(), String>)>,
}

impl Report {
    pub(crate) fn part(&mut self, name: &str, what: &str, part: impl FnOnce() -> Result<()>) {
        heading(&format!("{name}: {what}"));
        let start = Instant::now();
        let result = part().map_err(|error| format!("{error:#}"));
        match &result {
            Ok(()) => println!("==> {name}: ok, {}", seconds(start.elapsed())),
            Err(error) => println!("==> {name}: FAILED, {}\n{error}", seconds(start.elapsed())),
        }
        self.parts.push((name.to_owned(), start.elapsed(), result));
    }

    /// Prints the table and the count. True when nothing failed.
    pub(crate) fn finish(self) -> bool {
        heading("summary");
        for (name, time, result) in &self.parts {
            let first = |error: &String| error.lines().next().unwrap_or_default().to_owned();
            let verdict =
                result.as_ref().map_or_else(|error| format!("FAILED  {}", first(error)), |()| "ok".into());
            println!("{name:<12} {:>14}  {verdict}", seconds(*time));
        }
        let failed = self.parts.iter().filter(|(.., result)| result.is_err()).count();
        println!("\n{} passed, {failed} failed", self.parts.len() - failed);
        failed == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_people_say_them() {
        assert_eq!(seconds(Duration::from_millis(1234)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(184)), "3 min 04 s");
    }

    #[test]
    fn a_failed_command_names_itself_and_the_rest_still_runs() {
        let mut report = Report::default();
        report.part("first", "fails", || run(&mut Command::new("false")));
        report.part("second", "runs", || run(&mut Command::new("true")));
        let verdicts: Vec<bool> = report.parts.iter().map(|(.., result)| result.is_ok()).collect();
        assert_eq!(verdicts, [false, true]);
        assert!(report.parts[0].2.as_ref().unwrap_err().starts_with("`false` failed"));
        assert!(!report.finish());
    }
}
