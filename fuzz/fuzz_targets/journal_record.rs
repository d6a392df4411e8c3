#![no_main]
//! Records of a journal: any bytes are answered, and what is understood says the same when it is written again.

use everplay_live::record::{decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // Most inputs fail at the checksum; with the right one the rest is looked at too.
    if bytes.len() >= 4 {
        let (unchecked, _) = bytes.split_at(bytes.len() - 4);
        check(&[unchecked, &crc32c::crc32c(unchecked).to_le_bytes()].concat());
    }
});

fn check(bytes: &[u8]) {
    let Ok(record) = decode(bytes) else { return };
    assert!(record.payload.len() < bytes.len());
    let mut again = Vec::new();
    encode(&record, &mut again);
    assert_eq!(again, bytes);
}
