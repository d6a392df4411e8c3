//! Finds and reads case files.

use serde_json::Value as Json;
use std::path::{Path, PathBuf};

/// The case files of a folder in order of name. Files without a schema (an index) are no cases.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| format!("{}: {error}", dir.display()))?.path();
        let json = path.extension().is_some_and(|extension| extension == "json");
        if json && path.file_stem().is_some_and(|stem| stem != "index") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads one case.
pub(crate) fn load(path: &Path) -> Result<Json, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let case: Json = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    if case["schema"]["types"].is_array() { Ok(case) } else { Err("no schema in the file".to_owned()) }
}

/// Bytes from hexadecimal text.
pub(crate) fn unhex(text: &str) -> Result<Vec<u8>, String> {
    if !text.len().is_multiple_of(2) {
        return Err("odd number of hexadecimal digits".to_owned());
    }
    (0..text.len())
        .step_by(2)
        .map(|at| {
            let digits = text.get(at..at + 2).ok_or("not hexadecimal")?;
            u8::from_str_radix(digits, 16).map_err(|_| format!("not hexadecimal: {digits}"))
        })
        .collect()
}

/// Bytes as hexadecimal text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
