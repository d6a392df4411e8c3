//! `everplay chaos` as an operator runs it: a region is started, broken, checked and stopped.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_everplay");

fn chaos(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("chaos").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_node_and_the_primary_of_redis_die_and_nothing_that_was_shown_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("report.json");
    let run = "--nodes 2 --clients 12 --rooms 4 --sdk 2 --arenas 1 --repeat 2 --short --scenario kill";
    let output = chaos(&run.split(' ').collect::<Vec<_>>()).arg("--json").arg(&json).output().unwrap();
    let (shown, progress) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{shown}\n{progress}");
    assert!(
        shown.contains("| node killed") && shown.contains("lost, repeated or contradicted: 0 of"),
        "{shown}"
    );
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(report["violations"], serde_json::json!([]));
    assert!(report["frames_checked"].as_u64().unwrap() > 100, "{report}");
    // Sockets on nodes that live are sent what they missed, patch by patch.
    let elsewhere = |row: &&serde_json::Value| row["who"] == "rooms there, sockets elsewhere";
    let kept = report["figures"].as_array().unwrap().iter().find(elsewhere).unwrap();
    assert!(kept["players"].as_u64().unwrap() > 0 && kept["full_states"] == 0, "{report}");
    assert!(report["sdk_frames_checked"].as_u64().unwrap() > 0, "{report}");
    assert!(report["flights"]["ships_compared"].as_u64().unwrap() > 0, "{report}");
    assert!(report["records_checked"].as_u64().unwrap() > 0, "{report}");
}

#[test]
fn a_region_that_is_interrupted_leaves_nothing_behind() {
    let mut run =
        chaos(&["--nodes", "1", "--clients", "4", "--rooms", "2", "--repeat", "1000"]).spawn().unwrap();
    let mut progress = BufReader::new(run.stderr.take().unwrap()).lines();
    let said = progress.find(|line| line.as_ref().unwrap().contains("its files are in")).unwrap().unwrap();
    let files = said.rsplit(' ').next().unwrap().to_owned();
    assert!(Path::new(&files).is_dir(), "{said}");
    let children = Command::new("ps").args(["-o", "pid=", "--ppid", &run.id().to_string()]).output().unwrap();
    let children = String::from_utf8(children.stdout).unwrap();
    assert!(children.split_whitespace().count() >= 9, "three Redis, three Sentinels, two PostgreSQL, a node");
    let alive = |pid: &str| Path::new(&format!("/proc/{pid}")).exists();
    assert!(children.split_whitespace().all(alive));
    assert!(Command::new("kill").args(["-s", "INT", &run.id().to_string()]).status().unwrap().success());
    let asked = Instant::now();
    let status = loop {
        if let Some(status) = run.try_wait().unwrap() {
            break status;
        }
        assert!(asked.elapsed() < Duration::from_secs(20), "it still runs");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(status.code(), Some(1));
    assert!(!children.split_whitespace().any(alive), "{children}");
    assert!(!Path::new(&files).exists(), "{files}");
}
