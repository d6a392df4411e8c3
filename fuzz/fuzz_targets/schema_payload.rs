//! Any bytes as a handshake and any bytes as payloads after it: refused or decoded, never a panic, printable.
#![no_main]

use everplay_schema::Decoder;
use libfuzzer_sys::fuzz_target;

/// Types of every kind, so that payloads reach every operation without a lucky handshake.
const HANDSHAKE: &[u8] = include_bytes!("schema_handshake.bin");

fuzz_target!(|data: &[u8]| {
    let mut decoder = Decoder::from_handshake(HANDSHAKE).expect("a handshake of ours");
    for payload in data.split(|byte| *byte == 0xfe) {
        if decoder.apply(payload).is_err() {
            break;
        }
    }
    let _ = decoder.to_json().to_string();
});
