//! Reads the captured traffic.

// Each test file uses its own part of this module.
#![allow(dead_code, reason = "each test file uses a part of it")]

use everplay_wire::Dialect;
use serde_json::Value as Json;
use std::fs;
use std::path::{Path, PathBuf};

/// One captured frame.
pub(crate) struct Frame {
    pub(crate) conn: u64,
    pub(crate) from_client: bool,
    pub(crate) bytes: Vec<u8>,
    /// The capture's own reading of it.
    pub(crate) text: String,
}

/// One captured scenario.
pub(crate) struct Capture {
    pub(crate) name: String,
    pub(crate) dialect: Dialect,
    pub(crate) json: Json,
    pub(crate) frames: Vec<Frame>,
}

impl Capture {
    /// The events of a kind.
    pub(crate) fn events<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Json> {
        let events = self.json["events"].as_array().unwrap().iter();
        events.filter(move |event| event["kind"] == kind)
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures")
}

fn read(path: &Path) -> Json {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All scenarios, in order of their names.
pub(crate) fn captures() -> Vec<Capture> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder().join("ws")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| capture(path)).collect()
}

fn capture(path: &Path) -> Capture {
    let json = read(path);
    let frame = |event: &Json| Frame {
        conn: event["conn"].as_u64().unwrap(),
        from_client: event["dir"] == "client->server",
        bytes: bytes(event["hex"].as_str().unwrap()),
        text: event["text"].as_str().unwrap().to_owned(),
    };
    let events = json["events"].as_array().unwrap();
    let frames = events.iter().filter(|event| event["kind"] == "frame").map(frame).collect();
    let dialect = Dialect::from_version(json["sdk"].as_str().unwrap()).unwrap();
    let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
    Capture { name, dialect, frames, json }
}

pub(crate) fn compat() -> Json {
    read(&folder().join("compat.json"))
}
