//! A journal that version 1 wrote is read by this release, and the page that describes the format names the version.

use everplay_live::suite::{Owner, block_on, token};
use everplay_live::*;
use everplay_types::{CustomerId, RoomId, RoomKey, Seq};
use std::path::Path;
use std::time::Duration;

fn key(room: &str) -> RoomKey {
    RoomKey { customer: CustomerId::new("golden").unwrap(), room: RoomId::new(room).unwrap() }
}

#[test]
fn version_1_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/journal-v1.sqlite");
    std::fs::copy(golden, dir.path().join(FILE_NAME)).unwrap();
    let options = SqliteOptions { retention: Duration::MAX, ..SqliteOptions::new(dir.path()) };
    let store = SqliteLiveStore::open(options).unwrap();
    let load = |room: &str| block_on(store.load(key(room))).unwrap();
    let payloads = |room: &LoadedRoom| -> Vec<String> {
        room.tail.iter().map(|entry| String::from_utf8(entry.payload.to_vec()).unwrap()).collect()
    };

    let played = load("played");
    assert_eq!(played.snapshot.as_ref().unwrap().bytes, "image at 10");
    assert_eq!(payloads(&played), ["played 11", "played 12"]);
    assert_eq!(played.fence, token(2, 2));
    assert_eq!(played.position.chain.to_string(), "4ca34f0a3a5282acf126cbde8227b102");
    let quarantined = load("quarantined");
    assert_eq!((quarantined.tail.len(), quarantined.tail[0].seq), (12, Seq(1)));
    assert_eq!(quarantined.position.chain.to_string(), "91f67a0529493309fd192380cb506b2e");
    assert_eq!(payloads(&load("closed"))[11], "closed 12");
    assert_eq!(load("empty").position, Position { last: Seq::ZERO, chain: Chain::start(&key("empty")) });

    let entries = block_on(store.list(None)).unwrap();
    let states: Vec<_> = entries.iter().map(|entry| (entry.room.room.as_str(), &entry.state)).collect();
    let reason = RoomState::Quarantined { reason: "as a test".to_owned() };
    assert_eq!(states, [("empty", &RoomState::Live), ("played", &RoomState::Live), ("quarantined", &reason)]);
    assert_eq!((&*entries[1].kind, &*entries[1].listing), ("golden_kind", &br#"{"name":"played"}"#[..]));

    // And goes on.
    let mut owner = Owner { store: &store, room: key("played"), token: token(2, 2), at: played.position };
    assert_eq!(block_on(owner.append(["played 13"])).last, Seq(13));
}

/// Who changes a format changes its page.
#[test]
fn the_page_names_the_versions() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/journal.md");
    let page = std::fs::read_to_string(page).unwrap();
    for line in [
        format!("Record version: {}\n", record::FORMAT_VERSION),
        format!("File version: {SCHEMA_VERSION}\n"),
        format!("Record header: {} bytes, trailer: {} bytes\n", record::HEADER_LEN, record::TRAILER_LEN),
        format!("`{FILE_NAME}`"),
        format!("`{LOCK_NAME}`"),
    ] {
        assert!(page.contains(&line), "docs/journal.md does not say {line:?}");
    }
    for table in ["meta", "rooms", "records", "groups", "snapshots", "parts", "grants"] {
        assert!(page.contains(&format!("`{table}`")), "docs/journal.md does not describe {table}");
    }
}
