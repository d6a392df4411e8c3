//! Any bytes as a payload: an error, or a value within the limits that is written and read back the same.
#![no_main]

use everplay_wire::msgpack::{self, Limits, Value};
use libfuzzer_sys::fuzz_target;

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

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { depth: 32, allocation: 64 << 10 };
    let Ok(value) = msgpack::decode(bytes, limits) else { return };
    assert!(heap(&value) <= limits.allocation);

    // Written once, every number is in its shortest form and stays so. Compared as bytes: not-a-number is not equal
    // to itself.
    let roomy = Limits { depth: 32, allocation: 1 << 20 };
    let write = |value: &Value| {
        let mut out = Vec::new();
        msgpack::encode(value, &mut out);
        out
    };
    let written = write(&value);
    let again = msgpack::decode(&written, roomy).expect("a written value is read");
    assert_eq!(write(&again), written);

    let mut records = Vec::new();
    msgpack::encode_records(&value, &mut records);
    let again = msgpack::decode(&records, roomy).expect("a value in record style is read");
    assert_eq!(write(&again), written);

    let same: Value = msgpack::from_value(value.clone()).expect("a value is a value");
    assert_eq!(write(&same), written);
    drop(serde_json::Value::from(value));
});
