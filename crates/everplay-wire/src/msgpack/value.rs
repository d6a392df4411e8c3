use super::{BigInt, Timestamp, timestamp};
use serde::de::{Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// Any payload. A handler that takes or answers a `Value` gets everything as it came.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`.
    Nil,
    /// `undefined`: a field that was not set, or a message without payload.
    Undefined,
    /// `true` or `false`.
    Bool(bool),
    /// A number without fraction. Beyond 2^53 it is written as a [`BigInt`], because a number would not be exact.
    Int(i64),
    /// A number. Whole ones of 32 bits are written as integers, as JavaScript does.
    F64(f64),
    /// A BigInt.
    BigInt(BigInt),
    /// Text.
    Str(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list.
    Array(Vec<Value>),
    /// An object, or a map whose keys may be anything; in the order in which it came.
    Map(Vec<(Value, Value)>),
    /// A point in time.
    Timestamp(Timestamp),
}

// What an element of a list costs; the default limits are derived from it.
const _: () = assert!(size_of::<Value>() <= 32);

/// Largest integer up to which every integer is a JavaScript number, 2^53.
pub(super) const MAX_EXACT: u64 = 1 << 53;

/// The name by which our own serializer and deserializer recognise a `Value` and keep what serde has no word for.
pub(super) const NAME: &str = "$everplay_wire::msgpack::Value";
/// The same for `undefined`, which elsewhere is an empty unit.
pub(super) const UNDEFINED: &str = "$everplay_wire::msgpack::Undefined";

impl Value {
    /// The value of an object's field.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let Value::Map(entries) = self else { return None };
        entries.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value)
    }

    /// The text.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::Str(text) = self { Some(text) } else { None }
    }

    /// The number, rounded when it is an integer beyond 2^53.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Int(value) => Some(*value as f64),
            Value::F64(value) => Some(*value),
            Value::BigInt(value) => Some(value.get() as f64),
            _ => None,
        }
    }

    /// The number when it has no fraction, whatever form it came in.
    pub fn as_integer(&self) -> Option<i128> {
        match self {
            Value::Int(value) => Some(i128::from(*value)),
            Value::BigInt(value) => Some(value.get()),
            // 2^64 is far below the end of i128, so the cast is exact.
            Value::F64(value) if value.fract() == 0.0 && value.abs() <= 18_446_744_073_709_551_616.0 => {
                Some(*value as i128)
            }
            _ => None,
        }
    }

    /// The truth value.
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(value) = self { Some(*value) } else { None }
    }

    /// The list.
    pub fn as_array(&self) -> Option<&[Value]> {
        if let Value::Array(items) = self { Some(items) } else { None }
    }

    /// Whether it is `null` or `undefined`.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Value::Nil | Value::Undefined)
    }

    /// What it is called in error messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Nil => "null",
            Value::Undefined => "nothing",
            Value::Bool(_) => "boolean",
            Value::Int(_) | Value::F64(_) => "number",
            Value::BigInt(_) => "bigint",
            Value::Str(_) => "string",
            Value::Bytes(_) => "bytes",
            Value::Array(_) => "array",
            Value::Map(_) => "object",
            Value::Timestamp(_) => "date",
        }
    }

    /// An object of named values.
    pub fn object<K: Into<String>>(entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        Value::Map(entries.into_iter().map(|(key, value)| (Value::Str(key.into()), value)).collect())
    }
}

macro_rules! from {
    ($($ty:ty => $variant:ident),* $(,)?) => {$(
        impl From<$ty> for Value {
            fn from(value: $ty) -> Self {
                Value::$variant(value.into())
            }
        }
    )*};
}

from!(bool => Bool, i8 => Int, i16 => Int, i32 => Int, u8 => Int, u16 => Int, u32 => Int, f32 => F64, f64 => F64,
    BigInt => BigInt, &str => Str, String => Str, Vec<Value> => Array, Timestamp => Timestamp);

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        if value.unsigned_abs() <= MAX_EXACT { Value::Int(value) } else { Value::BigInt(value.into()) }
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        if value <= MAX_EXACT { Value::Int(value as i64) } else { Value::BigInt(value.into()) }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Nil => serializer.serialize_none(),
            Value::Undefined => serializer.serialize_unit_struct(UNDEFINED),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(value) => serializer.serialize_i64(*value),
            Value::F64(value) => serializer.serialize_f64(*value),
            Value::BigInt(value) => serializer.serialize_i128(value.get()),
            Value::Str(value) => serializer.serialize_str(value),
            Value::Bytes(value) => serializer.serialize_bytes(value),
            Value::Array(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| seq.serialize_element(item))?;
                seq.end()
            }
            Value::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                entries.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
            Value::Timestamp(value) => value.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(NAME, ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Value, E> {
        BigInt::try_from(value).map(Value::BigInt).map_err(|_| E::custom("an integer beyond 64 bits"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::F64(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Str(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Str(value))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(value.to_owned()))
    }

    fn visit_byte_buf<E>(self, value: Vec<u8>) -> Result<Value, E> {
        Ok(Value::Bytes(value))
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    /// Other formats have one word for nothing, and it is `null`; ours says `undefined` through an enum.
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Map(entries))
    }

    /// Only our own deserializer comes here: what serde has no word for.
    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<Value, A::Error> {
        let (name, variant): (String, _) = access.variant()?;
        match name.as_str() {
            UNDEFINED => variant.newtype_variant::<i64>().map(|_| Value::Undefined),
            timestamp::NAME => {
                let (secs, nanos) = variant.newtype_variant()?;
                let timestamp = Timestamp::new(secs, nanos);
                timestamp
                    .map(Value::Timestamp)
                    .ok_or_else(|| A::Error::custom("a second has less nanoseconds"))
            }
            other => Err(A::Error::unknown_variant(other, &[])),
        }
    }
}
