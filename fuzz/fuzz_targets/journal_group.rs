#![no_main]
//! Rows that say which records a commit holds: any bytes are answered, and no more runs come out than fit in them.

use everplay_live::group::decode_runs;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    if bytes.len() >= 4 {
        let (unchecked, _) = bytes.split_at(bytes.len() - 4);
        check(&[unchecked, &crc32c::crc32c(unchecked).to_le_bytes()].concat());
    }
});

fn check(bytes: &[u8]) {
    if let Ok(runs) = decode_runs(bytes) {
        assert_eq!(bytes.len(), 2 + runs.len() * 36 + 4);
    }
}
