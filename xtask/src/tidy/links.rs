//! Links between documents, and the example in the README.

use super::{Files, Finding};

const EXAMPLE: &str = "examples/hello/src/main.rs";

/// Links of Markdown files to files, folders and headings of the repository. Links elsewhere are not followed.
pub(super) fn broken(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in files.with_ending(&["md"]) {
        for (line, target) in targets(text) {
            if let Some(problem) = problem(files, path, target) {
                findings.push(Finding {
                    path: path.to_owned(),
                    line,
                    problem: format!("({target}) {problem}"),
                });
            }
        }
    }
    findings
}

/// What stands in `](...)` outside of code, with its line.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        let mut rest = if in_code { "" } else { line };
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, after)) = after.split_once(')') else { break };
            found.push((at + 1, target));
            rest = after;
        }
    }
    found
}

fn problem(files: &Files, from: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, heading) =
        target.split_once('#').map_or((target, None), |(file, heading)| (file, Some(heading)));
    let path = if file.is_empty() { Some(from.to_owned()) } else { resolved(from, file) };
    let Some(path) = path else { return Some("leads out of the repository".into()) };
    if !files.has(&path) {
        return Some(format!("leads nowhere: there is no {path}"));
    }
    let heading = heading.filter(|_| path.ends_with(".md"))?;
    let there = files.get(&path).is_some_and(|text| headings(text).any(|known| known == heading));
    (!there).then(|| format!("leads nowhere: {path} has no such heading"))
}

/// The path a link means, seen from the file it stands in. None when it climbs out of the repository.
fn resolved(from: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = if link.starts_with('/') { Vec::new() } else { from.split('/').collect() };
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The anchors of a document's headings, as forges make them.
fn headings(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept =
            title.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
        kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
    })
}

/// The README shows the first program; it is the one that is built and tested.
pub(super) fn readme_example(files: &Files) -> Vec<Finding> {
    let readme = files.get("README.md").unwrap_or_default();
    let shown = readme.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next());
    let example = files.get(EXAMPLE).unwrap_or_default();
    if !example.is_empty() && shown.into_iter().any(|shown| shown == example) {
        return Vec::new();
    }
    let problem = format!("its Rust example is not {EXAMPLE} to the letter");
    vec![Finding { path: "README.md".into(), line: 1, problem }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_files_folders_and_headings() {
        let page = "# A Page: the `first`\n[a](b.md) [b](../README.md#run-it) [c](#a-page-the-first) [d](https://x.y/z)\n\
                    ```\n[code](nowhere)\n```\n[e](/docs) ![p](images/p.png)\n";
        let files = Files::of([
            ("docs/a.md", page),
            ("docs/b.md", ""),
            ("README.md", "## Run it\n"),
            ("docs/images/p.png", ""),
        ]);
        assert_eq!(broken(&files), []);
    }

    #[test]
    fn a_dead_link_is_found() {
        let text = "[a](gone.md)\n[b](b.md#gone) [c](../../out.md)\n";
        let findings = broken(&Files::of([("docs/a.md", text), ("docs/b.md", "# B\n")]));
        let lines: Vec<usize> = findings.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [1, 2, 2]);
    }

    #[test]
    fn the_readme_shows_the_example_to_the_letter() {
        let example = "fn main() {}\n";
        let shown = format!("# E\n```sh\nx\n```\n```rust\n{example}```\n");
        assert_eq!(readme_example(&Files::of([("README.md", &shown), (EXAMPLE, example)])), []);
        assert_eq!(
            readme_example(&Files::of([("README.md", &shown), (EXAMPLE, "fn main() { }\n")])).len(),
            1
        );
    }
}
