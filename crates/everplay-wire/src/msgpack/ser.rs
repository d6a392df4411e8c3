//! The author's types into values, by serde.

use super::value::UNDEFINED;
use super::{BigInt, Timestamp, Value, timestamp};
use serde::ser::{self, Serialize};
use std::fmt;

/// Why a type has no payload: its own `Serialize` failed, or an integer does not fit 64 bits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SerializeError {
    message: String,
}

impl ser::Error for SerializeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string() }
    }
}

/// The value of the author's type, as serde's JSON would have it with these differences: nothing (`()`) on its own is
/// [`Value::Undefined`], bytes are bytes, keys of maps stay what they are, not-a-number stays a number, integers
/// beyond 2^53 and all of 128 bits are BigInts. Errors: [`SerializeError`].
pub fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, SerializeError> {
    value.serialize(ValueSerializer { top: true })
}

/// `top` tells nothing on its own from nothing inside of something, which is `null`.
struct ValueSerializer {
    top: bool,
}

fn inner<T: Serialize + ?Sized>(value: &T) -> Result<Value, SerializeError> {
    value.serialize(ValueSerializer { top: false })
}

fn variant(name: &str, value: Value) -> Value {
    Value::Map(vec![(name.into(), value)])
}

/// A list, a tuple, or an object, possibly inside an enum variant.
struct Compound {
    variant: Option<&'static str>,
    items: Vec<Value>,
}

struct Object {
    variant: Option<&'static str>,
    entries: Vec<(Value, Value)>,
    key: Option<Value>,
}

/// A length that a type promises is only a hint; this bounds what the hint alone makes us reserve.
const MAX_RESERVED: usize = 4096;

fn compound(variant: Option<&'static str>, len: usize) -> Result<Compound, SerializeError> {
    Ok(Compound { variant, items: Vec::with_capacity(len.min(MAX_RESERVED)) })
}

fn object(variant: Option<&'static str>, len: usize) -> Result<Object, SerializeError> {
    Ok(Object { variant, entries: Vec::with_capacity(len.min(MAX_RESERVED)), key: None })
}

macro_rules! numbers {
    ($($method:ident: $ty:ty),* $(,)?) => {$(
        fn $method(self, value: $ty) -> Result<Value, SerializeError> {
            Ok(Value::from(value))
        }
    )*};
}

impl ser::Serializer for ValueSerializer {
    type Ok = Value;
    type Error = SerializeError;
    type SerializeSeq = Compound;
    type SerializeTuple = Compound;
    type SerializeTupleStruct = Compound;
    type SerializeTupleVariant = Compound;
    type SerializeMap = Object;
    type SerializeStruct = Object;
    type SerializeStructVariant = Object;

    numbers! {
        serialize_bool: bool,
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_f32: f32, serialize_f64: f64, serialize_str: &str,
    }

    fn serialize_i128(self, value: i128) -> Result<Value, SerializeError> {
        BigInt::try_from(value)
            .map(Value::BigInt)
            .map_err(|_| ser::Error::custom("an integer beyond 64 bits"))
    }

    fn serialize_u128(self, value: u128) -> Result<Value, SerializeError> {
        match u64::try_from(value) {
            Ok(value) => Ok(Value::BigInt(value.into())),
            Err(_) => Err(ser::Error::custom("an integer beyond 64 bits")),
        }
    }

    fn serialize_char(self, value: char) -> Result<Value, SerializeError> {
        Ok(Value::Str(value.into()))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Value, SerializeError> {
        Ok(Value::Bytes(value.to_owned()))
    }

    fn serialize_none(self) -> Result<Value, SerializeError> {
        Ok(Value::Nil)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, SerializeError> {
        inner(value)
    }

    fn serialize_unit(self) -> Result<Value, SerializeError> {
        Ok(if self.top { Value::Undefined } else { Value::Nil })
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<Value, SerializeError> {
        if name == UNDEFINED { Ok(Value::Undefined) } else { self.serialize_unit() }
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
    ) -> Result<Value, SerializeError> {
        Ok(name.into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Value, SerializeError> {
        let value = value.serialize(self)?;
        if name != timestamp::NAME {
            return Ok(value);
        }
        let parts = value.as_array().and_then(|parts| Some((parts.first()?, parts.get(1)?)));
        let (secs, nanos) = parts.expect("a timestamp serializes as its seconds and nanoseconds");
        let secs = secs.as_integer().and_then(|secs| i64::try_from(secs).ok());
        let nanos = nanos.as_integer().and_then(|nanos| u32::try_from(nanos).ok());
        let made = secs.zip(nanos).and_then(|(secs, nanos)| Timestamp::new(secs, nanos));
        Ok(Value::Timestamp(made.expect("a timestamp's parts are in range")))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Result<Value, SerializeError> {
        Ok(variant(name, inner(value)?))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Compound, SerializeError> {
        compound(None, len.unwrap_or(0))
    }

    fn serialize_tuple(self, len: usize) -> Result<Compound, SerializeError> {
        compound(None, len)
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Compound, SerializeError> {
        compound(None, len)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        len: usize,
    ) -> Result<Compound, SerializeError> {
        compound(Some(name), len)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Object, SerializeError> {
        object(None, len.unwrap_or(0))
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Object, SerializeError> {
        object(None, len)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        len: usize,
    ) -> Result<Object, SerializeError> {
        object(Some(name), len)
    }
}

impl Compound {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeError> {
        self.items.push(inner(value)?);
        Ok(())
    }

    fn finish(self) -> Value {
        let value = Value::Array(self.items);
        match self.variant {
            Some(name) => variant(name, value),
            None => value,
        }
    }
}

impl Object {
    fn field<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), SerializeError> {
        self.entries.push((key.into(), inner(value)?));
        Ok(())
    }

    fn finish(self) -> Value {
        let value = Value::Map(self.entries);
        match self.variant {
            Some(name) => variant(name, value),
            None => value,
        }
    }
}

impl ser::SerializeSeq for Compound {
    type Ok = Value;
    type Error = SerializeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeError> {
        self.push(value)
    }

    fn end(self) -> Result<Value, SerializeError> {
        Ok(self.finish())
    }
}

impl ser::SerializeTuple for Compound {
    type Ok = Value;
    type Error = SerializeError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeError> {
        self.push(value)
    }

    fn end(self) -> Result<Value, SerializeError> {
        Ok(self.finish())
    }
}

impl ser::SerializeTupleStruct for Compound {
    type Ok = Value;
    type Error = SerializeError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeError> {
        self.push(value)
    }

    fn end(self) -> Result<Value, SerializeError> {
        Ok(self.finish())
    }
}

impl ser::SerializeTupleVariant for Compound {
    type Ok = Value;
    type Error = SerializeError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeError> {
        self.push(value)
    }

    fn end(self) -> Result<Value, SerializeError> {
        Ok(self.finish())
    }
}

impl ser::SerializeMap for Object {
    type Ok = Value;
    type Error = SerializeError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), SerializeError> {
        self.key = Some(inner(key)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeError> {
        let Some(key) = self.key.take() else {
            return Err(ser::Error::custom("a map's value was serialized before its key"));
        };
        self.entries.push((key, inner(value)?));
        Ok(())
    }

    fn end(self) -> Result<Value, SerializeError> {
        Ok(self.finish())
    }
}

impl ser::SerializeStruct for Object {
    type Ok = Value;
    type Error = SerializeError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), SerializeError> {
        self.field(key, value)
    }

    fn end(self) -> Result<Value, SerializeError> {
        Ok(self.finish())
    }
}

impl ser::SerializeStructVariant for Object {
    type Ok = Value;
    type Error = SerializeError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), SerializeError> {
        self.field(key, value)
    }

    fn end(self) -> Result<Value, SerializeError> {
        Ok(self.finish())
    }
}
