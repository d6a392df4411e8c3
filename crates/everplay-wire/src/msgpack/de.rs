//! Values into the author's types, by serde, with errors that name the field.

use super::{Timestamp, Value, timestamp, value};
use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, EnumAccess, Expected, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use std::fmt::{self, Write};
use std::iter;

/// A payload is not of the handler's type: `payload does not fit: ships[2].x: expected u8, got string`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FitError {
    /// From the innermost outwards: the error travels that way.
    path: Vec<Segment>,
    what: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Field(String),
    Index(usize),
}

impl FitError {
    /// Where: `ships[2].x`; empty for the payload itself.
    pub fn path(&self) -> String {
        let mut out = String::new();
        for segment in self.path.iter().rev() {
            let written = match segment {
                Segment::Field(name) if out.is_empty() => write!(out, "{name}"),
                Segment::Field(name) => write!(out, ".{name}"),
                Segment::Index(index) => write!(out, "[{index}]"),
            };
            written.expect("writing to a string does not fail");
        }
        out
    }

    /// What: `expected u8, got string`.
    pub fn what(&self) -> &str {
        &self.what
    }

    fn new(what: String) -> Self {
        Self { path: Vec::new(), what }
    }

    fn mismatch(expected: &str, got: &Value) -> Self {
        Self::new(format!("expected {expected}, got {}", got.kind()))
    }

    fn within(mut self, segment: Segment) -> Self {
        self.path.push(segment);
        self
    }
}

impl fmt::Display for FitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("payload does not fit: ")?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path())?;
        }
        f.write_str(&self.what)
    }
}

impl std::error::Error for FitError {}

impl de::Error for FitError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(got: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {expected}, got {}", describe(&got)))
    }

    fn invalid_value(got: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let got = match got {
            Unexpected::Signed(number) => number.to_string(),
            Unexpected::Unsigned(number) => number.to_string(),
            Unexpected::Float(number) => number.to_string(),
            Unexpected::Str(text) => format!("{text:?}"),
            got => describe(&got).to_owned(),
        };
        Self::new(format!("expected {expected}, got {got}"))
    }

    fn invalid_length(len: usize, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {expected}, got {len} elements"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new("is missing".to_owned()).within(Segment::Field(field.to_owned()))
    }
}

fn describe(got: &Unexpected<'_>) -> &'static str {
    match got {
        Unexpected::Bool(_) => "boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "number",
        Unexpected::Char(_) | Unexpected::Str(_) => "string",
        Unexpected::Bytes(_) => "bytes",
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Seq => "array",
        Unexpected::Map => "object",
        _ => "something else",
    }
}

/// The author's type from a value.
///
/// Friendly to what clients send: whole numbers fit integers in whatever form they came, texts of digits fit integer
/// keys, `null` and `undefined` fit `Option` and `()`, an undefined field counts as missing, bytes fit lists of `u8`,
/// an empty list fits an object (Lua knows no difference), dates fit numbers of milliseconds.
/// Errors: [`FitError`].
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, FitError> {
    T::deserialize(ValueDeserializer(value))
}

struct ValueDeserializer(Value);

impl ValueDeserializer {
    fn number(&self) -> Option<i128> {
        match &self.0 {
            Value::Timestamp(time) => Some(i128::from(time.millis())),
            value => value.as_integer(),
        }
    }

    /// `got` of an integer that does not fit: the number itself says more than its kind.
    fn out_of_range(&self, expected: &str) -> FitError {
        match &self.0 {
            Value::Int(number) => FitError::new(format!("expected {expected}, got {number}")),
            Value::F64(number) => FitError::new(format!("expected {expected}, got {number}")),
            Value::BigInt(number) => FitError::new(format!("expected {expected}, got {number}")),
            value => FitError::mismatch(expected, value),
        }
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $ty:ident),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FitError> {
            match self.number().map($ty::try_from) {
                Some(Ok(number)) => visitor.$visit(number),
                _ => Err(self.out_of_range(stringify!($ty))),
            }
        }
    )*};
}

macro_rules! floats {
    ($($method:ident $visit:ident $ty:ident),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FitError> {
            let number = match &self.0 {
                Value::Timestamp(time) => Some(time.millis() as f64),
                value => value.as_f64(),
            };
            match number {
                Some(number) => visitor.$visit(number as $ty),
                None => Err(FitError::mismatch(stringify!($ty), &self.0)),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for ValueDeserializer {
    type Error = FitError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FitError> {
        match self.0 {
            Value::Nil | Value::Undefined => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Int(value) => visit_integer(value, visitor),
            Value::F64(value) => visitor.visit_f64(value),
            Value::BigInt(value) => match i64::try_from(value.get()) {
                Ok(value) => visit_integer(value, visitor),
                Err(_) => match u64::try_from(value.get()) {
                    Ok(value) => visitor.visit_u64(value),
                    Err(_) => visitor.visit_i128(value.get()),
                },
            },
            Value::Str(value) => visitor.visit_string(value),
            Value::Bytes(value) => visitor.visit_byte_buf(value),
            Value::Array(items) => visit_array(items, visitor),
            Value::Map(entries) => visit_object(entries, visitor),
            Value::Timestamp(value) => visitor.visit_i64(value.millis()),
        }
    }

    integers! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_i128 visit_i128 i128,
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64, deserialize_u128 visit_u128 u128,
    }

    floats! { deserialize_f32 visit_f32 f32, deserialize_f64 visit_f64 f64 }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FitError> {
        match self.0 {
            Value::Bool(value) => visitor.visit_bool(value),
            value => Err(FitError::mismatch("boolean", &value)),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FitError> {
        self.deserialize_string(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FitError> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FitError> {
        match self.0 {
            Value::Str(value) => visitor.visit_string(value),
            value => Err(FitError::mismatch("string", &value)),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FitError> {
        self.deserialize_byte_buf(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FitError> {
        match self.0 {
            Value::Bytes(value) => visitor.visit_byte_buf(value),
            Value::Array(items) => visit_array(items, visitor),
            value => Err(FitError::mismatch("bytes", &value)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FitError> {
        if self.0.is_nothing() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FitError> {
        if self.0.is_nothing() { visitor.visit_unit() } else { Err(FitError::mismatch("nothing", &self.0)) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, FitError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, FitError> {
        match (name, self.0) {
            (value::NAME, value) => visit_exact(value, visitor),
            (timestamp::NAME, Value::Timestamp(time)) => {
                visit_array(vec![time.secs().into(), time.nanos().into()], visitor)
            }
            (timestamp::NAME, value) => ValueDeserializer(value).deserialize_any(visitor),
            (_, value) => visitor.visit_newtype_struct(ValueDeserializer(value)),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FitError> {
        match self.0 {
            Value::Array(items) => visit_array(items, visitor),
            Value::Bytes(bytes) => visit_array(bytes.into_iter().map(Value::from).collect(), visitor),
            value => Err(FitError::mismatch("array", &value)),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, FitError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, FitError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FitError> {
        match self.0 {
            Value::Map(entries) => visit_object(entries, visitor),
            Value::Array(items) if items.is_empty() => visit_object(Vec::new(), visitor),
            value => Err(FitError::mismatch("object", &value)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FitError> {
        match self.0 {
            Value::Map(mut entries) => {
                entries.retain(|(_, value)| *value != Value::Undefined);
                visit_object(entries, visitor)
            }
            Value::Array(items) if !items.is_empty() => visit_array(items, visitor),
            value => ValueDeserializer(value).deserialize_map(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FitError> {
        match self.0 {
            Value::Str(name) => visitor.visit_enum(Variant { name, value: None }),
            Value::Map(mut entries) if entries.len() == 1 => match entries.pop() {
                Some((Value::Str(name), value)) => visitor.visit_enum(Variant { name, value: Some(value) }),
                _ => Err(FitError::new("expected a variant's name as key".to_owned())),
            },
            Value::Map(entries) => Err(FitError::new(format!(
                "expected an object with one entry, got {} entries",
                entries.len()
            ))),
            value => Err(FitError::mismatch("string or object", &value)),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FitError> {
        self.deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FitError> {
        visitor.visit_unit()
    }
}

fn visit_integer<'de, V: Visitor<'de>>(value: i64, visitor: V) -> Result<V::Value, FitError> {
    // Visitors of unsigned types are tried with an unsigned number first.
    match u64::try_from(value) {
        Ok(value) => visitor.visit_u64(value),
        Err(_) => visitor.visit_i64(value),
    }
}

/// For a `Value`: what serde has no word for comes as a variant, the rest as it is.
fn visit_exact<'de, V: Visitor<'de>>(value: Value, visitor: V) -> Result<V::Value, FitError> {
    let special = |name: &'static str, parts: Value| {
        let parts = iter::once((name, Forward(parts)));
        MapAccessDeserializer::new(MapDeserializer::new(parts))
    };
    match value {
        Value::Nil => visitor.visit_none(),
        Value::Undefined => visitor.visit_enum(special(value::UNDEFINED, Value::Int(0))),
        Value::Timestamp(time) => visitor.visit_enum(special(timestamp::NAME, timestamp_parts(time))),
        Value::BigInt(value) => visitor.visit_i128(value.get()),
        Value::Int(value) => visitor.visit_i64(value),
        value => de::Deserializer::deserialize_any(ValueDeserializer(value), visitor),
    }
}

fn timestamp_parts(time: Timestamp) -> Value {
    Value::Array(vec![time.secs().into(), time.nanos().into()])
}

struct Forward(Value);

impl de::IntoDeserializer<'_, FitError> for Forward {
    type Deserializer = ValueDeserializer;

    fn into_deserializer(self) -> ValueDeserializer {
        ValueDeserializer(self.0)
    }
}

fn visit_array<'de, V: Visitor<'de>>(items: Vec<Value>, visitor: V) -> Result<V::Value, FitError> {
    let len = items.len();
    let mut array = Items { items: items.into_iter(), index: 0 };
    let value = visitor.visit_seq(&mut array)?;
    match array.items.len() {
        0 => Ok(value),
        left => Err(FitError::new(format!("expected {} elements, got {len}", len - left))),
    }
}

fn visit_object<'de, V: Visitor<'de>>(
    entries: Vec<(Value, Value)>,
    visitor: V,
) -> Result<V::Value, FitError> {
    visitor.visit_map(Entries { entries: entries.into_iter(), value: None })
}

struct Items {
    items: std::vec::IntoIter<Value>,
    index: usize,
}

impl<'de> SeqAccess<'de> for &mut Items {
    type Error = FitError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, FitError> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        seed.deserialize(ValueDeserializer(item))
            .map(Some)
            .map_err(|error| error.within(Segment::Index(index)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Entries {
    entries: std::vec::IntoIter<(Value, Value)>,
    value: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Entries {
    type Error = FitError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, FitError> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        let name = key_text(&key);
        self.value = Some((name.clone(), value));
        seed.deserialize(KeyDeserializer(key)).map(Some).map_err(|error| error.within(Segment::Field(name)))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, FitError> {
        let Some((name, value)) = self.value.take() else {
            return Err(FitError::new("a value was asked for before its key".to_owned()));
        };
        seed.deserialize(ValueDeserializer(value)).map_err(|error| error.within(Segment::Field(name)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

fn key_text(key: &Value) -> String {
    match key {
        Value::Str(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        key => format!("({})", key.kind()),
    }
}

/// Keys of objects are texts in most clients, whatever the author's map has.
struct KeyDeserializer(Value);

macro_rules! key_integers {
    ($($method:ident $ty:ident),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FitError> {
            let number = self.0.as_str().and_then(|text| text.parse::<$ty>().ok());
            let key = match number {
                Some(number) => Value::from(number),
                None => self.0,
            };
            ValueDeserializer(key).$method(visitor)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for KeyDeserializer {
    type Error = FitError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FitError> {
        ValueDeserializer(self.0).deserialize_any(visitor)
    }

    key_integers! {
        deserialize_i8 i8, deserialize_i16 i16, deserialize_i32 i32, deserialize_i64 i64,
        deserialize_u8 u8, deserialize_u16 u16, deserialize_u32 u32, deserialize_u64 u64,
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FitError> {
        match self.0.as_str() {
            Some("true") => visitor.visit_bool(true),
            Some("false") => visitor.visit_bool(false),
            _ => ValueDeserializer(self.0).deserialize_bool(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FitError> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FitError> {
        match self.0 {
            Value::Int(number) => visitor.visit_string(number.to_string()),
            key => ValueDeserializer(key).deserialize_string(visitor),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FitError> {
        match self.0 {
            // A plain map of another client may count its fields; no field is called that.
            Value::Int(number) => visitor.visit_string(number.to_string()),
            key => ValueDeserializer(key).deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, FitError> {
        match name {
            value::NAME | timestamp::NAME => {
                ValueDeserializer(self.0).deserialize_newtype_struct(name, visitor)
            }
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FitError> {
        if self.0.is_nothing() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FitError> {
        ValueDeserializer(self.0).deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        i128 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple tuple_struct map struct ignored_any
    }
}

struct Variant {
    name: String,
    value: Option<Value>,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = FitError;
    type Variant = VariantContent;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, VariantContent), FitError> {
        let content = VariantContent { name: self.name.clone(), value: self.value };
        Ok((seed.deserialize(ValueDeserializer(Value::Str(self.name)))?, content))
    }
}

struct VariantContent {
    name: String,
    value: Option<Value>,
}

impl VariantContent {
    fn content(self, expected: &str) -> Result<(ValueDeserializer, Segment), FitError> {
        let Some(value) = self.value else {
            return Err(FitError::new(format!("expected {{\"{}\": {expected}}}, got string", self.name)));
        };
        Ok((ValueDeserializer(value), Segment::Field(self.name)))
    }
}

impl<'de> VariantAccess<'de> for VariantContent {
    type Error = FitError;

    fn unit_variant(self) -> Result<(), FitError> {
        match self.value {
            Some(value) if !value.is_nothing() => {
                Err(FitError::mismatch("nothing", &value).within(Segment::Field(self.name)))
            }
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, FitError> {
        let (content, segment) = self.content("a value")?;
        seed.deserialize(content).map_err(|error| error.within(segment))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, FitError> {
        let (content, segment) = self.content("an array")?;
        de::Deserializer::deserialize_seq(content, visitor).map_err(|error| error.within(segment))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FitError> {
        let (content, segment) = self.content("an object")?;
        de::Deserializer::deserialize_struct(content, "", fields, visitor)
            .map_err(|error| error.within(segment))
    }
}
