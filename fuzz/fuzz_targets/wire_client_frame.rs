//! Any bytes as a client's frame: an error, or a frame that is written and read back the same.
#![no_main]

use everplay_wire::{ClientFrame, InputOptions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for (render_time, reckon_time) in [(false, false), (true, false), (true, true)] {
        let options = InputOptions { render_time, reckon_time, ..InputOptions::default() };
        if let Ok(frame) = ClientFrame::decode_with(bytes, &options) {
            assert_eq!(ClientFrame::decode_with(&frame.to_vec(), &options), Ok(frame));
        }
    }
});
