//! Decoders meet bytes that no SDK sends: they answer with an error or a value, within their limits.

mod support;

use everplay_wire::msgpack::{self, DecodeError, Limits, Value};
use everplay_wire::{ClientFrame, Dialect, InputOptions, ServerFrame, matchmake, url};
use proptest::prelude::*;
use proptest::sample::Index;
use std::sync::LazyLock;
use support::captures;

static FRAMES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    captures().into_iter().flat_map(|capture| capture.frames).map(|frame| frame.bytes).collect()
});

fn config() -> ProptestConfig {
    ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() }
}

/// What a value holds on the heap, as the limit counts it: lists by their elements, texts and bytes by their length.
fn heap(value: &Value) -> usize {
    match value {
        Value::Str(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Array(items) => size_of_val(&items[..]) + items.iter().map(heap).sum::<usize>(),
        Value::Map(entries) => {
            let inner: usize = entries.iter().map(|(key, value)| heap(key) + heap(value)).sum();
            size_of_val(&entries[..]) + inner
        }
        _ => 0,
    }
}

fn read_everything(bytes: &[u8]) {
    let both = InputOptions { render_time: true, reckon_time: true, ..InputOptions::default() };
    let one = InputOptions { render_time: true, ..InputOptions::default() };
    for options in [InputOptions::default(), one, both] {
        if let Ok(frame) = ClientFrame::decode_with(bytes, &options) {
            // What was understood can be written, and is then understood the same.
            assert_eq!(ClientFrame::decode_with(&frame.to_vec(), &options).as_ref(), Ok(&frame));
        }
    }
    for dialect in [Dialect::V16, Dialect::V17, Dialect::V18] {
        if let Ok(ServerFrame::Join(join)) = ServerFrame::decode(bytes, dialect) {
            let _ = join.input_options();
        }
    }
    let limits = Limits { depth: 16, allocation: 4096 };
    if let Ok(value) = msgpack::decode(bytes, limits) {
        assert!(heap(&value) <= limits.allocation);
        let _ = serde_json::Value::from(value);
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn mutated_captures(
        base in any::<Index>(),
        edits in prop::collection::vec((any::<Index>(), any::<u8>(), 0..3u8), 1..6),
    ) {
        let mut bytes = base.get(&FRAMES).clone();
        for (at, byte, edit) in edits {
            match edit {
                0 if !bytes.is_empty() => *at.get_mut(&mut bytes) = byte,
                1 => bytes.insert(at.index(bytes.len() + 1), byte),
                _ => bytes.truncate(at.index(bytes.len() + 1)),
            }
        }
        read_everything(&bytes);
        for from in 0..bytes.len().min(8) {
            read_everything(&bytes[from..]);
        }
    }

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        read_everything(&bytes);
    }

    #[test]
    fn random_urls(target in "[/a-z0-9?&=%#_é-]{0,40}", prefix in "(/[a-z]/[a-z]\\?sessionId=)?") {
        let target = format!("{prefix}{target}");
        let _ = url::parse(&target);
        let _ = matchmake::Route::parse(&target);
    }
}

#[test]
fn deep_nesting_is_refused() {
    let limits = Limits::default();
    let nested = |levels: usize| {
        let mut bytes = vec![0x91; levels];
        bytes.push(0xc0);
        msgpack::decode(&bytes, limits)
    };
    assert!(nested(limits.depth).is_ok());
    assert_eq!(nested(limits.depth + 1), Err(DecodeError::TooDeep));
    assert_eq!(nested(1_000_000), Err(DecodeError::TooDeep));
}

#[test]
fn announced_lengths_cost_nothing() {
    for header in [0xdd, 0xdf, 0xdb, 0xc6] {
        let bytes = [header, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(msgpack::decode(&bytes, Limits::default()), Err(DecodeError::Truncated));
    }
}

/// One long key, written once, and objects of two bytes that each repeat it: four kilobytes that stand for two
/// megabytes.
#[test]
fn repeated_records_are_paid_for() {
    let mut bytes = vec![0xdc, 0x04, 0x00, 0xd4, 0x72, 0x40, 0x91, 0xda, 0x08, 0x00];
    bytes.extend(std::iter::repeat_n(b'k', 2048));
    bytes.push(0x01);
    bytes.extend(std::iter::repeat_n([0x40, 0x01], 1023).flatten());
    assert_eq!(msgpack::decode(&bytes, Limits::default()), Err(DecodeError::TooLarge));
    let roomy = Limits { allocation: 4 << 20, ..Limits::default() };
    assert_eq!(msgpack::decode(&bytes, roomy).unwrap().as_array().unwrap().len(), 1024);
}
