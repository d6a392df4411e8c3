//! Any bytes as a server's frame, in every dialect.
#![no_main]

use everplay_wire::{Dialect, ServerFrame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for dialect in [Dialect::V16, Dialect::V17, Dialect::V18] {
        match ServerFrame::decode(bytes, dialect) {
            Ok(ServerFrame::Join(join)) => drop(join.input_options()),
            Ok(frame) => assert_eq!(ServerFrame::decode(&frame.to_bytes(), dialect), Ok(frame)),
            Err(_) => {}
        }
    }
});
