//! Decoded states in the notation of the cases, and their comparison.

use everplay_schema::{Decoder, Node, Value};
use serde_json::{Map, Value as Json, json};

/// The whole state: big integers and special numbers are marked, deprecated fields left out.
pub(crate) fn canonical(decoder: &Decoder) -> Json {
    value(decoder, &Value::Ref(0))
}

fn value(decoder: &Decoder, of: &Value) -> Json {
    match of {
        Value::Null => Json::Null,
        Value::Bool(v) => json!(v),
        Value::Int(v) => json!(v),
        Value::Uint(v) => json!(v),
        Value::BigInt(v) => json!({ "$big": v.to_string() }),
        Value::BigUint(v) => json!({ "$big": v.to_string() }),
        Value::Float(v) => number(*v),
        Value::Str(v) => json!(v),
        Value::Ref(ref_id) => match decoder.node(*ref_id) {
            None => Json::Null,
            Some(Node::Struct { ty, fields }) => {
                let specs = decoder.types().get(*ty).map_or(&[][..], |ty| &ty.fields);
                let set = fields.iter().zip(specs).filter(|(value, _)| **value != Value::Null);
                Json::Object(set.map(|(of, spec)| (spec.name.clone(), value(decoder, of))).collect())
            }
            Some(Node::Map { items, .. }) => {
                Json::Object(items.values().map(|(key, of)| (key.to_string(), value(decoder, of))).collect())
            }
            Some(Node::Array { items, .. }) => items.values().iter().map(|of| value(decoder, of)).collect(),
            Some(Node::Bag { items, .. }) => items.values().map(|of| value(decoder, of)).collect(),
        },
    }
}

fn number(v: f64) -> Json {
    if v.is_nan() {
        json!({ "$num": "NaN" })
    } else if v.is_infinite() {
        json!({ "$num": if v > 0.0 { "Infinity" } else { "-Infinity" } })
    } else if v == 0.0 && v.is_sign_negative() {
        json!({ "$num": "-0" })
    } else {
        json!(v)
    }
}

/// Equal, with numbers as JavaScript has them.
pub(crate) fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            let within = |a: &Map<String, Json>, b: &Map<String, Json>| {
                a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
            };
            a.len() == b.len() && within(a, b)
        }
        (a, b) => a == b,
    }
}
