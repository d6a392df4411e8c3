//! The arrows between crates, stated as what may be used; everything else is absent.
//!
//! Only what a crate ships with counts: its tests may lean on anything.

use super::{Files, Finding};

/// Each of our crates with those of ours that it may use. Sorted from the bottom up.
const MAY_USE: &[(&str, &[&str])] = &[
    ("everplay-types", &[]),
    ("everplay-schema-derive", &[]),
    ("everplay-schema", &["everplay-types", "everplay-schema-derive"]),
    ("everplay-wire", &["everplay-types"]),
    ("everplay-room", &["everplay-types", "everplay-schema", "everplay-wire"]),
    ("everplay-live", &["everplay-types"]),
    ("everplay-records", &["everplay-types"]),
    ("everplay-accounts", &["everplay-types"]),
    ("everplay-boards", &["everplay-types"]),
    ("everplay-support", &["everplay-types", "everplay-records"]),
    ("everplay-cluster", &["everplay-types", "everplay-wire", "everplay-room"]),
    ("everplay-matchmaker", &["everplay-types"]),
    (
        "everplay-node",
        &[
            "everplay-types",
            "everplay-wire",
            "everplay-schema",
            "everplay-room",
            "everplay-live",
            "everplay-cluster",
        ],
    ),
    ("everplay-link", &["everplay-types", "everplay-cluster"]),
    ("everplay-gateway", &["everplay-types", "everplay-wire"]),
    ("everplay-client", &["everplay-types", "everplay-wire", "everplay-schema"]),
];

/// Values and rules: no runtime, socket, file, clock or thread.
pub(super) const PURE: [&str; 6] = [
    "everplay-types",
    "everplay-schema",
    "everplay-wire",
    "everplay-room",
    "everplay-cluster",
    "everplay-matchmaker",
];

/// What brings in the outside world.
const IMPURE: [&str; 10] = [
    "tokio",
    "tokio-util",
    "tokio-tungstenite",
    "rusqlite",
    "axum",
    "hyper",
    "hyper-util",
    "tower",
    "tower-http",
    "rand",
];

pub(super) fn arrows(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, allowed) in MAY_USE {
        let path = format!("crates/{name}/Cargo.toml");
        let Some(text) = files.get(&path) else { continue };
        for (line, used) in dependencies(text) {
            let upwards = used.starts_with("everplay") && !allowed.contains(&used);
            let impure = PURE.contains(name) && IMPURE.contains(&used);
            if upwards || impure {
                let why = if impure { "is pure" } else { "lies below it or beside it" };
                findings.push(Finding {
                    path: path.clone(),
                    line,
                    problem: format!("{name} may not use {used}: it {why}"),
                });
            }
        }
    }
    findings
}

/// The crates named under `[dependencies]`, with their lines.
fn dependencies(manifest: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut inside = false;
    for (at, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            inside = line.trim() == "[dependencies]";
        } else if inside && line.starts_with(|first: char| first.is_ascii_lowercase()) {
            found.push((at + 1, line.split(['.', ' ', '=']).next().unwrap_or(line)));
        }
    }
    found
}

/// The line with which a library asks for the list in its clippy.toml. The workspace leaves these lints off,
/// so that tests, examples and benchmarks of pure crates may read files and clocks.
const LINT: &str = "#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]";

pub(super) fn purity_lints(files: &Files) -> Vec<Finding> {
    let list = files.get("crates/everplay-types/clippy.toml");
    let mut findings = Vec::new();
    for name in PURE {
        let library = format!("crates/{name}/src/lib.rs");
        if !files.get(&library).is_some_and(|text| text.lines().any(|line| line == LINT)) {
            findings.push(Finding { path: library, line: 1, problem: format!("a pure crate says {LINT}") });
        }
        let path = format!("crates/{name}/clippy.toml");
        if list.is_none() || files.get(&path) != list {
            let problem = "every pure crate has the same list of what it must not use".to_owned();
            findings.push(Finding { path, line: 1, problem });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrow_upwards_is_found() {
        let text = "[dependencies]\n# a\neverplay-types.workspace = true\n# b\neverplay-node.workspace = true\n\n\
                    [dev-dependencies]\neverplay-room.workspace = true\n";
        let findings = arrows(&Files::of([("crates/everplay-gateway/Cargo.toml", text)]));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].line, 5);
    }

    #[test]
    fn a_runtime_in_a_pure_crate_is_found() {
        let text = "[dependencies]\ntokio = { version = \"1\" }\n";
        let pure = arrows(&Files::of([("crates/everplay-wire/Cargo.toml", text)]));
        assert_eq!(pure.len(), 1);
        assert!(arrows(&Files::of([("crates/everplay-live/Cargo.toml", text)])).is_empty());
    }

    #[test]
    fn a_pure_crate_without_its_lints_is_found() {
        let (library, list) = (format!("//! Pure.\n{LINT}\n"), "disallowed-methods = []\n");
        let paths: Vec<(String, String)> = PURE
            .iter()
            .flat_map(|name| {
                [("src/lib.rs", library.as_str()), ("clippy.toml", list)]
                    .map(|(file, text)| (format!("crates/{name}/{file}"), text.to_owned()))
            })
            .collect();
        let mut files = Files(paths.into_iter().collect());
        assert!(purity_lints(&files).is_empty());
        files.0.insert("crates/everplay-room/src/lib.rs".into(), "//! Pure.\n".into());
        files.0.insert("crates/everplay-wire/clippy.toml".into(), "\n".into());
        assert_eq!(purity_lints(&files).len(), 2);
    }
}
