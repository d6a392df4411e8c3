//! Any text as the target of a request.
#![no_main]

use everplay_wire::{matchmake, url};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = url::parse(text);
        let _ = matchmake::Route::parse(text);
    }
    let _ = matchmake::parse_options(bytes);
});
