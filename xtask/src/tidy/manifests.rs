//! Why each dependency is there, beside it: the reason is what lets someone remove it later.

use super::{Files, Finding};

/// Every dependency of a crate has a comment in the line above. The workspace's own table of versions is
/// left out: its reasons stand where the crate is used.
pub(super) fn reasons(files: &Files) -> Vec<Finding> {
    let manifests = files.iter().filter(|(path, _)| path.ends_with("/Cargo.toml"));
    manifests.flat_map(|(path, text)| without_reason(path, text)).collect()
}

fn without_reason(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_dependencies = false;
    let mut before = "";
    for (at, line) in text.lines().map(str::trim).enumerate() {
        let find = |name: &str| Finding {
            path: path.to_owned(),
            line: at + 1,
            problem: format!("{name} has no reason: say in a comment above why this crate needs it"),
        };
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            in_dependencies = table.ends_with("dependencies");
            // A table of its own: [dependencies.name]
            if table.contains("dependencies.") && !before.starts_with('#') {
                findings.push(find(table));
            }
        } else if in_dependencies && !before.starts_with('#') && starts_entry(line) {
            findings.push(find(line.split(['.', ' ', '=']).next().unwrap_or(line)));
        }
        before = line;
    }
    findings
}

/// Not an empty line, a comment, or the rest of a value over several lines.
fn starts_entry(line: &str) -> bool {
    line.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_') && line.contains('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let text = "[package]\nname = \"a\"\n\n[dependencies]\n# Bytes of the wire.\nbytes.workspace = true\nserde = \"1\"\n\n\
                    [dev-dependencies]\n# Random trees.\nproptest = { version = \"1\", features = [\n  \"std\",\n] }\n";
        let findings = reasons(&Files::of([("crates/a/Cargo.toml", text), ("Cargo.toml", text)]));
        let found: Vec<(usize, &str)> =
            findings.iter().map(|finding| (finding.line, finding.problem.as_str())).collect();
        assert_eq!(found, [(7, "serde has no reason: say in a comment above why this crate needs it")]);
    }
}
