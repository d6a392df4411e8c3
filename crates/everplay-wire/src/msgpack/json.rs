//! Values to and from JSON, the way JavaScript's own JSON does it.

use super::{BigInt, Value};
use serde_json::{Map, Number, Value as Json};

/// Nothing in an object is left out, elsewhere it is `null`; so are numbers that JSON has no word for. BigInts are
/// numbers, bytes lists of numbers, dates texts, keys texts.
impl From<Value> for Json {
    fn from(value: Value) -> Self {
        match value {
            Value::Nil | Value::Undefined => Json::Null,
            Value::Bool(value) => Json::Bool(value),
            Value::Int(value) => value.into(),
            Value::F64(value) => Number::from_f64(value).map_or(Json::Null, Json::Number),
            Value::BigInt(value) => big(value),
            Value::Str(value) => Json::String(value),
            Value::Bytes(value) => value.into(),
            Value::Array(items) => items.into_iter().map(Json::from).collect(),
            Value::Map(entries) => {
                let entries = entries.into_iter().filter(|(_, value)| *value != Value::Undefined);
                Json::Object(entries.map(|(key, value)| (key_text(key), value.into())).collect::<Map<_, _>>())
            }
            Value::Timestamp(value) => Json::String(value.to_string()),
        }
    }
}

fn big(value: BigInt) -> Json {
    let unsigned = u64::try_from(value.get()).map(Number::from);
    let number = unsigned.or_else(|_| i64::try_from(value.get()).map(Number::from));
    number.map(Json::Number).expect("a BigInt has 64 bits, signed or unsigned")
}

fn key_text(key: Value) -> String {
    match Json::from(key) {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

/// Numbers are integers when JSON wrote them without fraction; integers beyond 2^53 are BigInts.
impl From<Json> for Value {
    fn from(json: Json) -> Self {
        match json {
            Json::Null => Value::Nil,
            Json::Bool(value) => Value::Bool(value),
            Json::Number(number) => {
                let integer = number.as_i64().map(Value::from).or_else(|| number.as_u64().map(Value::from));
                integer.unwrap_or_else(|| number.as_f64().map_or(Value::Nil, Value::F64))
            }
            Json::String(value) => Value::Str(value),
            Json::Array(items) => items.into_iter().map(Value::from).collect::<Vec<_>>().into(),
            Json::Object(entries) => {
                Value::object(entries.into_iter().map(|(key, value)| (key, value.into())))
            }
        }
    }
}
