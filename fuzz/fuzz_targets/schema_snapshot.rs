//! Any bytes as a snapshot and a journal patch: looked at without types, and loaded into them.
#![no_main]

use everplay_schema::{List, Map, Replica, State, inspect};
use libfuzzer_sys::fuzz_target;

#[derive(State, Default)]
struct Item {
    name: String,
    #[state(view)]
    tags: List<u16>,
}

#[derive(State, Default)]
struct Room {
    tick: u32,
    items: Map<Item>,
    #[state(view)]
    hand: List<Item>,
    best: Option<Item>,
}

fuzz_target!(|data: (&[u8], &[u8])| {
    if let Ok(mut inspector) = inspect(data.0) {
        let _ = inspector.apply_journal(data.1);
        let _ = inspector.to_json().to_string();
    }
    if let Ok(mut recovery) = Replica::<Room>::restore(data.0) {
        let _ = recovery.apply(data.1);
        if let Ok(mut replica) = recovery.finish() {
            replica.patch();
            let mut snapshot = Vec::new();
            replica.snapshot(&mut snapshot);
        }
    }
});
