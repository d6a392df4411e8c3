//! Rules about single source files.

use super::{Files, Finding, per_line};

/// Past this a file has found a second reason to change.
const LINES_MAX: usize = 1000;

/// Written in halves, because this file is read too.
const SWITCHES: [(&str, &str); 8] = [
    ("#[ign", "ore"),
    ("test.sk", "ip("),
    ("it.sk", "ip("),
    ("describe.sk", "ip("),
    ("test.on", "ly("),
    ("it.on", "ly("),
    ("describe.on", "ly("),
    ("test.to", "do("),
];

/// A test asserts what is so today, and says why it is wrong if it is.
pub(super) fn switched_off_tests(files: &Files) -> Vec<Finding> {
    per_line(files.with_ending(&["rs", "ts", "mjs", "js"]), |line| {
        let switch = SWITCHES
            .iter()
            .map(|(head, tail)| format!("{head}{tail}"))
            .find(|switch| line.contains(switch))?;
        Some(format!("{switch}: assert today's behaviour instead"))
    })
}

pub(super) fn long_files(files: &Files) -> Vec<Finding> {
    let sources = files.with_ending(&["rs", "ts", "mjs", "js", "css", "sh"]);
    let long = sources.filter_map(|(path, text)| {
        let lines = text.lines().count();
        let problem =
            format!("{lines} lines, {LINES_MAX} at most: give the second reason to change a file of its own");
        (lines > LINES_MAX).then(|| Finding { path: path.to_owned(), line: lines, problem })
    });
    long.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switched_off_test_is_found() {
        let text = format!("#[test]\n{}{}]\nfn a() {{}}\n", "#[ign", "ore");
        let findings = switched_off_tests(&Files::of([("a.rs", &text), ("b.md", &text)]));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].line, 2);
    }

    #[test]
    fn a_long_file_is_found() {
        let (fits, long) = ("//\n".repeat(LINES_MAX), "//\n".repeat(LINES_MAX + 1));
        assert_eq!(long_files(&Files::of([("fits.rs", &fits), ("long.rs", &long)])).len(), 1);
    }
}
