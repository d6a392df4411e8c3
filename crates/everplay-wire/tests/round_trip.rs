//! What is written is read back as it was, for any frame and any value.

use everplay_wire::msgpack::{self, BigInt, Limits, Timestamp, Value};
use everplay_wire::{
    ClientFrame, Dialect, Input, InputOptions, JoinForm, MessageType, ReliableStamp, ResponseStatus, Section,
    Serializer, ServerFrame, Stamp, Timed, server_frame,
};
use proptest::prelude::*;

fn config() -> ProptestConfig {
    ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() }
}

/// Values in the form in which they are read: numbers of 32 bits without fraction as integers.
fn values() -> impl Strategy<Value = Value> {
    let integer = prop_oneof![
        -200..70_000_i64,
        i64::from(i32::MIN)..=i64::from(u32::MAX),
        Just(i64::from(i32::MIN)),
        Just(i64::from(u32::MAX)),
    ];
    let float = any::<f64>().prop_filter("read as an integer", |number| {
        number.fract() != 0.0 || number.abs() > 5e9 || number.to_bits() == (-0.0_f64).to_bits()
    });
    let timestamp = (any::<i64>(), 0..1_000_000_000_u32)
        .prop_map(|(secs, nanos)| Value::Timestamp(Timestamp::new(secs, nanos).unwrap()));
    let near = (-100..1_i64 << 35, prop_oneof![Just(0), 0..1_000_000_000_u32])
        .prop_map(|(secs, nanos)| Value::Timestamp(Timestamp::new(secs, nanos).unwrap()));
    let leaf = prop_oneof![
        Just(Value::Nil),
        Just(Value::Undefined),
        any::<bool>().prop_map(Value::Bool),
        integer.prop_map(Value::Int),
        float.prop_map(Value::F64),
        any::<i64>().prop_map(|number| Value::BigInt(BigInt::from(number))),
        (1_u64 << 63..).prop_map(|number| Value::BigInt(BigInt::from(number))),
        "\\PC{0,40}".prop_map(Value::Str),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
        timestamp,
        near,
    ];
    leaf.prop_recursive(4, 64, 20, |inner| {
        let keys = prop_oneof![4 => "[a-d]{1,2}", 1 => "\\PC{0,40}"].prop_map(Value::Str);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::Array),
            prop::collection::vec((keys, inner.clone()), 0..20).prop_map(Value::Map),
            prop::collection::vec((inner.clone(), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..40)
}

#[derive(Debug, Clone)]
enum Type {
    Text(String),
    Number(u32),
}

impl Type {
    fn get(&self) -> MessageType<'_> {
        match self {
            Type::Text(text) => MessageType::Text(text),
            Type::Number(number) => MessageType::Number(*number),
        }
    }
}

fn types() -> impl Strategy<Value = Type> {
    prop_oneof![
        "\\PC{1,300}".prop_map(Type::Text),
        any::<u32>().prop_map(Type::Number),
        (0..300_u32).prop_map(Type::Number)
    ]
}

#[track_caller]
fn client(frame: ClientFrame<'_>, options: &InputOptions) {
    assert_eq!(ClientFrame::decode_with(&frame.to_vec(), options), Ok(frame));
}

#[track_caller]
fn server(frame: ServerFrame<'_>, dialect: Dialect) {
    let bytes = frame.to_bytes();
    assert_eq!(ServerFrame::decode(&bytes, dialect), Ok(frame));
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn values_in_both_styles(value in values()) {
        let mut plain = Vec::new();
        msgpack::encode(&value, &mut plain);
        prop_assert_eq!(msgpack::decode(&plain, Limits::default()), Ok(value.clone()));
        let mut records = Vec::new();
        msgpack::encode_records(&value, &mut records);
        prop_assert_eq!(msgpack::decode(&records, Limits::default()), Ok(value));
    }

    #[test]
    fn values_are_serde_types(value in values()) {
        prop_assert_eq!(msgpack::to_value(&value).unwrap(), value.clone());
        prop_assert_eq!(msgpack::from_value::<Value>(value.clone()).unwrap(), value);
    }

    #[test]
    fn json(value in values()) {
        // Not-a-number and the like are null in JSON, so the second way must be the same as the first.
        let json = serde_json::Value::from(value);
        prop_assert_eq!(serde_json::Value::from(Value::from(json.clone())), json);
    }

    #[test]
    fn any_type_of_the_author(
        small in any::<(i8, u16, i32, bool)>(), wide in any::<(i64, u64)>(), floats in any::<(f32, f64)>(),
        text in any::<Option<String>>(), list in any::<Vec<(char, u32)>>(),
        map in prop::collection::btree_map(any::<u64>(), any::<Option<String>>(), 0..5),
    ) {
        let value = (small, wide, (floats.0.to_bits(), floats.1), text, list, map);
        let bytes = msgpack::to_vec(&value).unwrap();
        let back = msgpack::from_slice(&bytes).unwrap();
        prop_assert_eq!(&value, &back);
        let bytes = msgpack::to_vec_records(&value).unwrap();
        prop_assert_eq!(value, msgpack::from_slice(&bytes).unwrap());
    }

    #[test]
    fn client_frames(ty in types(), body in bodies(), id in any::<u32>()) {
        let none = InputOptions::default();
        client(ClientFrame::Data { ty: ty.get(), payload: &body }, &none);
        client(ClientFrame::Bytes { ty: ty.get(), bytes: &body }, &none);
        client(ClientFrame::Request { id, ty: ty.get(), payload: &body }, &none);
        client(ClientFrame::InputReliable { stamp: None, body: &body }, &none);
    }

    #[test]
    fn inputs(
        seq in 0..1_000_000_u32, render in any::<bool>(), delta in -100_000..100_000_i64,
        entries in prop::collection::vec((0..50_000_u32, any::<u16>(), bodies()), 1..10),
    ) {
        let options = InputOptions { render_time: render, reckon_time: true, ..InputOptions::default() };
        let stamp = |time, delta| Stamp { time, render_delta: render.then_some(delta) };
        let inputs = |timed: bool| {
            let inputs = entries.iter().enumerate().map(|(index, (time, delta, body))| Input {
                seq: seq + index as u32,
                stamp: timed.then(|| stamp(*time, *delta)),
                body,
            });
            ClientFrame::InputUnreliable { inputs: inputs.collect() }
        };
        client(inputs(true), &options);
        client(inputs(false), &options);
        let stamp = ReliableStamp { delta, render_delta: render.then_some(7) };
        client(ClientFrame::InputReliable { stamp: Some(stamp), body: &entries[0].2 }, &options);
    }

    #[test]
    fn server_frames(
        ty in types(), body in bodies(), id in any::<u32>(), code in any::<i32>(), message in "\\PC{0,300}",
        timed in any::<Option<(u32, u32)>>(), seq in any::<Option<u16>>(),
    ) {
        for dialect in [Dialect::V16, Dialect::V17, Dialect::V18] {
            server(ServerFrame::Error { code, message: &message }, dialect);
            server(ServerFrame::Data { ty: ty.get(), payload: &body }, dialect);
            server(ServerFrame::Bytes { ty: ty.get(), bytes: &body }, dialect);
            server(ServerFrame::State { timed: None, body: &body }, dialect);
            server(ServerFrame::Patch { timed: None, seq: None, body: &body }, dialect);
        }
        let timed = timed.map(|(now, input_seq)| Timed { now, input_seq });
        server(ServerFrame::State { timed, body: &body }, Dialect::V18);
        server(ServerFrame::Patch { timed, seq, body: &body }, Dialect::V18);
        for status in [ResponseStatus::Ok, ResponseStatus::Rejected, ResponseStatus::Error] {
            server(ServerFrame::Response { id, status, payload: &body }, Dialect::V18);
        }
    }

    #[test]
    fn joins(
        token in "[A-Za-z0-9_-]{1,31}", handshake in prop::collection::vec(any::<u8>(), 0..400),
        tags in prop::collection::vec((any::<u8>(), bodies()), 0..3),
    ) {
        let sections: Vec<Section<'_>> =
            tags.iter().map(|(tag, payload)| Section { tag: *tag, payload }).collect();
        let read = |form, handshake: &[u8], sections: &[Section<'_>], dialect| {
            let frame = server_frame::join_room(form, &token, Serializer::Schema, handshake, sections).unwrap();
            match ServerFrame::decode(&frame, dialect).unwrap() {
                ServerFrame::Join(join) => {
                    assert_eq!((join.token, join.serializer), (token.as_str(), "schema"));
                    assert_eq!(join.sections, sections);
                    join.handshake.to_vec()
                }
                other => panic!("{other:?}"),
            }
        };
        prop_assert_eq!(&read(JoinForm::V18, &handshake, &sections, Dialect::V18), &handshake);
        prop_assert_eq!(&read(JoinForm::Probe, &handshake, &sections, Dialect::V18), &handshake);
        prop_assert_eq!(&read(JoinForm::V16V17, &handshake, &[], Dialect::V17), &handshake);
        prop_assert!(read(JoinForm::Bare, &handshake, &sections, Dialect::V18).is_empty());
        let polyglot = [&[0xff, 0x00], &handshake[..]].concat();
        prop_assert_eq!(&read(JoinForm::Polyglot, &polyglot, &[], Dialect::V18), &polyglot);
        // Older SDKs take the length for state of a field they do not know, up to the switch to the root.
        prop_assert!(read(JoinForm::Polyglot, &polyglot, &[], Dialect::V16).ends_with(&polyglot));
    }
}
