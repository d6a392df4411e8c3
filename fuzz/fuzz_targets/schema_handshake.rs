//! Any bytes as a handshake, the rest as a payload for the types it tells.
#![no_main]

use everplay_schema::Decoder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (&[u8], &[u8])| {
    if let Ok(mut decoder) = Decoder::from_handshake(data.0) {
        let _ = decoder.apply(data.1);
        let _ = decoder.to_json().to_string();
    }
});
