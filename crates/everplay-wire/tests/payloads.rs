//! What a game author's types make of payloads, and what clients read.

use everplay_wire::msgpack::{self, BigInt, Limits, PayloadError, Timestamp, Value};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Move {
    x: u8,
    y: f32,
    note: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Fleet {
    ships: Vec<Move>,
    #[serde(default)]
    speed: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Order {
    Stop,
    Turn(f64),
    Go { x: i32 },
    Pair(u8, u8),
}

fn json(text: &str) -> Value {
    Value::from(serde_json::from_str::<serde_json::Value>(text).unwrap())
}

#[track_caller]
fn fits<T: DeserializeOwned + PartialEq + Debug>(value: Value, expected: T) {
    assert_eq!(msgpack::from_value::<T>(value), Ok(expected));
}

#[track_caller]
fn refused<T: DeserializeOwned + Debug>(value: Value, message: &str) {
    let error = msgpack::from_value::<T>(value).unwrap_err();
    assert_eq!(error.to_string(), format!("payload does not fit: {message}"));
}

#[test]
fn numbers_fit_in_whatever_form_they_came() {
    fits::<u8>(Value::F64(255.0), 255);
    fits::<i32>(Value::F64(-0.0), 0);
    fits::<u64>(Value::F64(4_294_967_296.0), 1 << 32);
    fits::<i64>(Value::BigInt(BigInt::from(-5_i64)), -5);
    fits::<u64>(Value::BigInt(BigInt::from(u64::MAX)), u64::MAX);
    fits::<u128>(Value::Int(7), 7);
    fits::<f64>(Value::Int(3), 3.0);
    fits::<f32>(Value::F64(0.5), 0.5);
    refused::<u8>(Value::Int(256), "expected u8, got 256");
    refused::<u8>(Value::F64(1.5), "expected u8, got 1.5");
    refused::<u32>(Value::Int(-1), "expected u32, got -1");
    refused::<u32>(Value::F64(f64::NAN), "expected u32, got NaN");
    refused::<i64>(Value::F64(1e300), &format!("expected i64, got {}", 1e300));
    refused::<f64>("1".into(), "expected f64, got string");
}

#[test]
fn nothing_fits_options_and_unit() {
    for nothing in [Value::Nil, Value::Undefined] {
        fits::<Option<u8>>(nothing.clone(), None);
        fits::<()>(nothing, ());
    }
    assert_eq!(msgpack::from_slice::<()>(&[]), Ok(()));
    assert_eq!(msgpack::from_slice::<Option<Move>>(&[]), Ok(None));
    assert_eq!(msgpack::from_slice::<Value>(&[]), Ok(Value::Undefined));
    refused::<()>(Value::Int(1), "expected nothing, got number");
    refused::<String>(Value::Undefined, "expected string, got nothing");
    refused::<Move>(Value::Undefined, "expected object, got nothing");
}

#[test]
fn errors_name_the_field() {
    refused::<Move>(json(r#"{"x": "1", "y": 2}"#), "x: expected u8, got string");
    refused::<Move>(json(r#"{"y": 2}"#), "x: is missing");
    refused::<Fleet>(
        json(r#"{"ships": [{"x":1,"y":2}, {"x":1,"y":[]}]}"#),
        "ships[1].y: expected f32, got array",
    );
    refused::<Fleet>(json(r#"{"ships": [{"x":1}]}"#), "ships[0].y: is missing");
    refused::<BTreeMap<String, Move>>(json(r#"{"a": {"x":-1,"y":0}}"#), "a.x: expected u8, got -1");
    refused::<BTreeMap<u8, u8>>(json(r#"{"300": 1}"#), "300: expected u8, got string");
    refused::<(u8, u8)>(json("[1]"), "expected a tuple of size 2, got 1 elements");
    refused::<(u8, u8)>(json("[1,2,3]"), "expected 2 elements, got 3");
    refused::<Order>(json(r#""fly""#), "unknown variant `fly`, expected one of `stop`, `turn`, `go`, `pair`");
    refused::<Order>(json(r#"{"turn": true}"#), "turn: expected f64, got boolean");
    refused::<Order>(json(r#"{"go": {"x": 1.5}}"#), "go.x: expected i32, got 1.5");
    refused::<Order>(json(r#""turn""#), r#"expected {"turn": a value}, got string"#);
    refused::<Vec<u8>>(json("[1, 2, 300]"), "[2]: expected u8, got 300");
    let payload = msgpack::from_slice::<Move>(&[0xc1]).unwrap_err();
    assert_eq!(payload.to_string(), "payload cannot be read: the byte c1 starts no value");
    assert!(matches!(payload, PayloadError::Decode(_)));
}

#[test]
fn an_undefined_field_counts_as_missing() {
    let fleet = Value::object([("ships", Value::Array(vec![])), ("speed", Value::Undefined)]);
    fits(fleet, Fleet { ships: vec![], speed: 0 });
    let step = Value::object([("x", Value::Int(1)), ("y", Value::Int(2)), ("note", Value::Undefined)]);
    fits(step, Move { x: 1, y: 2.0, note: None });
    refused::<Move>(Value::object([("x", Value::Undefined)]), "x: is missing");
}

#[test]
fn other_clients_habits_fit() {
    // Lua writes an empty table as an empty list.
    fits::<HashMap<String, u8>>(Value::Array(vec![]), HashMap::new());
    refused::<Move>(Value::Array(vec![]), "x: is missing");
    // Typed dictionaries have integer keys, JavaScript has texts.
    fits::<BTreeMap<u32, u8>>(json(r#"{"7": 1}"#), BTreeMap::from([(7, 1)]));
    fits::<BTreeMap<u32, u8>>(Value::Map(vec![(Value::Int(7), Value::Int(1))]), BTreeMap::from([(7, 1)]));
    fits::<BTreeMap<String, u8>>(
        Value::Map(vec![(Value::Int(7), Value::Int(1))]),
        BTreeMap::from([("7".into(), 1)]),
    );
    fits::<Vec<u8>>(Value::Bytes(vec![1, 2]), vec![1, 2]);
    // Half of an emoji, as text that was cut.
    let cut = msgpack::decode(&[0xa4, b'a', 0xed, 0xa0, 0xbd], Limits::default()).unwrap();
    fits::<String>(cut, "a\u{fffd}\u{fffd}\u{fffd}".into());
}

#[test]
fn enums_are_names_or_objects_of_one_entry() {
    for (order, text) in [
        (Order::Stop, r#""stop""#),
        (Order::Turn(0.5), r#"{"turn":0.5}"#),
        (Order::Go { x: -3 }, r#"{"go":{"x":-3}}"#),
        (Order::Pair(1, 2), r#"{"pair":[1,2]}"#),
    ] {
        let value = msgpack::to_value(&order).unwrap();
        assert_eq!(serde_json::Value::from(value.clone()).to_string(), text);
        fits(value, order);
    }
}

#[test]
fn dates_fit_dates_and_milliseconds() {
    let date = Timestamp::from_millis(1_700_000_000_123);
    assert_eq!(date.to_string(), "2023-11-14T22:13:20.123Z");
    assert_eq!(Timestamp::from_millis(-1).to_string(), "1969-12-31T23:59:59.999Z");
    assert_eq!(Timestamp::from_millis(951_782_400_000).to_string(), "2000-02-29T00:00:00.000Z");
    assert_eq!(Timestamp::from_millis(253_402_300_800_000).to_string(), "+010000-01-01T00:00:00.000Z");
    fits(Value::Timestamp(date), date);
    fits(Value::Timestamp(date), 1_700_000_000_123_u64);
    fits(Value::Int(1_700_000_000_123), date);
    assert_eq!(msgpack::to_value(&date).unwrap(), Value::Timestamp(date));
    let json = serde_json::to_string(&date).unwrap();
    assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), date);
}

#[test]
fn integers_never_arrive_as_others() {
    #[track_caller]
    fn written<T: Serialize>(value: T, bytes: &[u8]) {
        assert_eq!(msgpack::to_vec(&value).unwrap(), bytes);
    }
    written(u32::MAX, &[0xce, 0xff, 0xff, 0xff, 0xff]);
    written(1_u64 << 32, &[0xcb, 0x41, 0xf0, 0, 0, 0, 0, 0, 0]);
    written(-(1_i64 << 53), &[0xcb, 0xc3, 0x40, 0, 0, 0, 0, 0, 0]);
    written(
        (1_u64 << 53) + 1,
        &[0xcf, 0, 0x20, 0, 0, 0, 0, 0, 1].map(|byte: u8| if byte == 0xcf { 0xd3 } else { byte }),
    );
    written(u64::MAX, &[0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    written(10.0_f64, &[0x0a]);
    written(-0.0_f64, &[0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0]);
    written((), &[]);
    written(Option::<u8>::None, &[0xc0]);
    written([Value::Undefined], &[0x91, 0xd4, 0, 0]);
    assert!(msgpack::to_vec(&(u128::from(u64::MAX) + 1)).is_err());
}

/// More shapes than ids: the ids start over, and a later definition replaces the earlier one.
#[test]
fn the_65th_shape_takes_the_first_id() {
    let shape = |index: usize| Value::object([(format!("k{index}"), Value::Int(1))]);
    let value = Value::Array((0..65).chain([64, 1, 0]).map(shape).collect());
    let mut bytes = Vec::new();
    msgpack::encode_records(&value, &mut bytes);
    // k64 replaced k0 under 40; k1 is still 41; k0 is defined again, as the 66th shape.
    assert!(bytes.ends_with(&[0x40, 1, 0x41, 1, 0xd4, 0x72, 0x41, 0x91, 0xa2, b'k', b'0', 1]));
    assert_eq!(msgpack::decode(&bytes, Limits::default()), Ok(value));
}

#[test]
fn ids_without_a_record_are_integers() {
    let decode = |bytes: &[u8]| msgpack::decode(bytes, Limits::default());
    assert_eq!(decode(&[0x40]), Ok(Value::Int(64)));
    assert_eq!(
        decode(&[0x92, 0xd4, 0x72, 0x40, 0x90, 0x41]),
        Ok(Value::Array(vec![Value::Map(vec![]), Value::Int(65)]))
    );
    assert_eq!(decode(&[0xd4, 0x72, 0x30, 0x90]), Err(msgpack::DecodeError::RecordId { id: 0x30 }));
    assert_eq!(decode(&[0xd4, 0x72, 0x40, 0x01]), Err(msgpack::DecodeError::RecordKeys));
    assert_eq!(decode(&[0xd4, 0x72, 0x40, 0x91, 0x01]), Err(msgpack::DecodeError::RecordKeys));
    assert_eq!(
        decode(&[0xd5, 0x72, 0x40, 0x40]),
        Err(msgpack::DecodeError::UnknownExtension { kind: 0x72, len: 2 })
    );
    assert_eq!(decode(&[0x01, 0x02]), Err(msgpack::DecodeError::TrailingBytes { count: 1 }));
    assert!(matches!(decode(&[0xd4, 0xff, 0xff]), Ok(Value::F64(number)) if number.is_nan()));
}

#[test]
fn nothing_inside_something_is_null() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Envelope<T> {
        body: T,
    }
    let value = msgpack::to_value(&Envelope { body: () }).unwrap();
    assert_eq!(value, Value::object([("body", Value::Nil)]));
    fits(value, Envelope { body: () });
}
