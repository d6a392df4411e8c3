//! The Autobahn WebSocket cases against our listener.
//!
//! `cargo test -p everplay-gateway --features conformance --test conformance`. The cases come from the Python package
//! `kosoku`, installed into a virtual environment below the target directory, one version pinned by hash.
//!
//! Expected of the 517 cases: all pass, except
//! - families 12 and 13 (compression, 216 cases) are answered as not negotiated: we never offer the extension. See
//!   docs/decisions/2026-11-21-websocket-transport.md;
//! - 6.4.3 and 6.4.4 are "non-strict": invalid UTF-8 in the middle of a text frame that arrives in pieces is refused with
//!   1007 when the frame is complete, not at the first wrong byte, because tungstenite decodes whole frames. It costs
//!   an attacker's own bandwidth, up to the frame limit, and rooms take no text frames at all.

#[path = "../examples/echo.rs"]
#[allow(dead_code, reason = "the example's main is not this test's")]
mod echo;

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance-requirements.txt");
/// Cases in the pinned version: a run that silently has fewer proves nothing.
const CASES: usize = 517;
/// Cases of the compression families.
const COMPRESSION_CASES: usize = 216;

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}: {text}", output.status);
}

/// The suite's program, installed once per target directory.
fn suite(scratch: &Path) -> PathBuf {
    let venv = scratch.join("autobahn-venv");
    let program = venv.join("bin/kosoku");
    if !program.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        let pip = venv.join("bin/pip");
        run(Command::new(pip).args([
            "install",
            "--quiet",
            "--no-deps",
            "--require-hashes",
            "-r",
            REQUIREMENTS,
        ]));
    }
    program
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_autobahn_cases_but_compression_pass() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let service = echo::service(([127, 0, 0, 1], 0).into()).unwrap();
    let address = service.address();
    let serving = tokio::spawn(service.run());

    let report = scratch.join(format!("autobahn-report-{}", std::process::id()));
    let (program, outdir) = (suite(scratch), report.clone());
    tokio::task::spawn_blocking(move || {
        let mut command = Command::new(program);
        // Its status says that cases are "unimplemented"; the report says which.
        let output = command.args(["-p", "2", "-o"]).arg(outdir).arg(address.to_string()).output();
        output.expect("the suite starts");
    })
    .await
    .unwrap();
    serving.abort();

    let index = std::fs::read_to_string(report.join("index.json")).expect("the suite wrote its report");
    std::fs::remove_dir_all(&report).unwrap();
    let index: BTreeMap<String, BTreeMap<String, Value>> = serde_json::from_str(&index).unwrap();
    let cases = index.into_values().next().unwrap();
    assert_eq!(cases.len(), CASES);

    let mut unexpected = Vec::new();
    let mut compression = 0;
    for (case, result) in &cases {
        let is_compression = case.starts_with("12.") || case.starts_with("13.");
        compression += usize::from(is_compression);
        let behavior = result["behavior"].as_str().unwrap();
        let close = result["behaviorClose"].as_str().unwrap();
        let expected = match case.as_str() {
            _ if is_compression => behavior == "UNIMPLEMENTED",
            "6.4.3" | "6.4.4" => behavior == "NON-STRICT",
            _ => matches!(behavior, "OK" | "INFORMATIONAL"),
        };
        if !expected || !matches!(close, "OK" | "INFORMATIONAL") {
            unexpected.push(format!("{case}: {behavior}, close {close}"));
        }
    }
    assert_eq!(compression, COMPRESSION_CASES);
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    println!("{} of {CASES} cases pass, {compression} are about compression", CASES - compression);
}
