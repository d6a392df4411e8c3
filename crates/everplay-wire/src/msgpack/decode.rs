//! msgpack with the record extension, within limits.
//!
//! Allocation bound: what a decoded value holds on the heap, plus the keys of its records, is at most
//! [`Limits::allocation`] bytes. Every text, list and object is paid for before it is made, and no list is made longer
//! than the bytes that are left could fill. The bound matters for records: one byte stands for all keys of an object.

use super::{BigInt, Timestamp, Value};
use std::rc::Rc;

/// How much a payload may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How deep lists and objects may be nested.
    pub depth: usize,
    /// Bytes on the heap.
    pub allocation: usize,
}

impl Default for Limits {
    /// 64 levels, far beyond any message and far below the stack of a thread; 1 MiB, which holds every payload of a
    /// 4 KiB frame (at most 64 bytes for each two of input) eight times over, records apart.
    fn default() -> Self {
        Self { depth: 64, allocation: 1 << 20 }
    }
}

/// Why bytes are not a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The payload ends inside a value.
    #[error("the payload ends inside a value")]
    Truncated,
    /// Bytes after the value.
    #[error("{count} bytes after the value")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// Nested deeper than [`Limits::depth`].
    #[error("nested too deep")]
    TooDeep,
    /// Would take more memory than [`Limits::allocation`].
    #[error("takes too much memory")]
    TooLarge,
    /// The byte c1, which means nothing in msgpack.
    #[error("the byte c1 starts no value")]
    Reserved,
    /// An extension type that the SDKs do not send.
    #[error("unknown extension type {kind} of {len} bytes")]
    UnknownExtension {
        /// The extension's type.
        kind: i8,
        /// The length of its data.
        len: usize,
    },
    /// A record whose id is not in 40..7f.
    #[error("record id {id:#04x}")]
    RecordId {
        /// The id.
        id: u8,
    },
    /// A record whose keys are not a list of texts.
    #[error("a record's keys are not a list of texts")]
    RecordKeys,
    /// A timestamp with a second of nanoseconds or more.
    #[error("a timestamp with too many nanoseconds")]
    Timestamp,
}

/// Decodes one value that fills all of `bytes`.
///
/// Texts that are not UTF-8 get U+FFFD in the wrong places: JavaScript sends halves of emoji when text is cut.
/// Errors: [`DecodeError`].
pub fn decode(bytes: &[u8], limits: Limits) -> Result<Value, DecodeError> {
    let mut decoder =
        Decoder { rest: bytes, budget: limits.allocation, depth: limits.depth, records: Vec::new() };
    let value = decoder.value()?;
    match decoder.rest.len() {
        0 => Ok(value),
        count => Err(DecodeError::TrailingBytes { count }),
    }
}

const RECORD: i8 = 0x72;
const TIMESTAMP: i8 = -1;
const UNDEFINED: i8 = 0;
const FIRST_ID: u8 = 0x40;
const LAST_ID: u8 = 0x7f;

type Keys = Rc<[Box<str>]>;

struct Decoder<'a> {
    rest: &'a [u8],
    budget: usize,
    depth: usize,
    /// By id; empty until the first record.
    records: Vec<Option<Keys>>,
}

impl Decoder<'_> {
    fn value(&mut self) -> Result<Value, DecodeError> {
        let byte = self.u8()?;
        Ok(match byte {
            FIRST_ID..=LAST_ID => match self.record(byte) {
                Some(keys) => self.nested(|decoder| decoder.record_values(&keys))?,
                None => Value::Int(i64::from(byte)),
            },
            0x00..FIRST_ID => Value::Int(i64::from(byte)),
            0x80..=0x8f => self.map(usize::from(byte & 0x0f))?,
            0x90..=0x9f => self.array(usize::from(byte & 0x0f))?,
            0xa0..=0xbf => self.text(usize::from(byte & 0x1f)).map(Value::Str)?,
            0xc0 => Value::Nil,
            0xc1 => return Err(DecodeError::Reserved),
            0xc2 => Value::Bool(false),
            0xc3 => Value::Bool(true),
            0xc4 => self.len8().and_then(|len| self.bytes(len))?,
            0xc5 => self.len16().and_then(|len| self.bytes(len))?,
            0xc6 => self.len32().and_then(|len| self.bytes(len))?,
            0xc7 => self.len8().and_then(|len| self.extension(len))?,
            0xc8 => self.len16().and_then(|len| self.extension(len))?,
            0xc9 => self.len32().and_then(|len| self.extension(len))?,
            0xca => Value::F64(f64::from(f32::from_be_bytes(self.chunk()?))),
            0xcb => Value::F64(f64::from_be_bytes(self.chunk()?)),
            0xcc => Value::Int(i64::from(self.u8()?)),
            0xcd => Value::Int(i64::from(u16::from_be_bytes(self.chunk()?))),
            0xce => Value::Int(i64::from(u32::from_be_bytes(self.chunk()?))),
            0xcf => Value::BigInt(BigInt::from(u64::from_be_bytes(self.chunk()?))),
            0xd0 => Value::Int(i64::from(i8::from_be_bytes(self.chunk()?))),
            0xd1 => Value::Int(i64::from(i16::from_be_bytes(self.chunk()?))),
            0xd2 => Value::Int(i64::from(i32::from_be_bytes(self.chunk()?))),
            0xd3 => Value::BigInt(BigInt::from(i64::from_be_bytes(self.chunk()?))),
            0xd4 => self.extension(1)?,
            0xd5 => self.extension(2)?,
            0xd6 => self.extension(4)?,
            0xd7 => self.extension(8)?,
            0xd8 => self.extension(16)?,
            0xd9 => self.len8().and_then(|len| self.text(len)).map(Value::Str)?,
            0xda => self.len16().and_then(|len| self.text(len)).map(Value::Str)?,
            0xdb => self.len32().and_then(|len| self.text(len)).map(Value::Str)?,
            0xdc => self.len16().and_then(|len| self.array(len))?,
            0xdd => self.len32().and_then(|len| self.array(len))?,
            0xde => self.len16().and_then(|len| self.map(len))?,
            0xdf => self.len32().and_then(|len| self.map(len))?,
            0xe0..=0xff => Value::Int(i64::from(byte as i8)),
        })
    }

    fn take(&mut self, len: usize) -> Result<&[u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.chunk::<1>()?[0])
    }

    fn len8(&mut self) -> Result<usize, DecodeError> {
        self.u8().map(usize::from)
    }

    fn len16(&mut self) -> Result<usize, DecodeError> {
        self.chunk().map(|bytes| usize::from(u16::from_be_bytes(bytes)))
    }

    fn len32(&mut self) -> Result<usize, DecodeError> {
        self.chunk().map(|bytes| u32::from_be_bytes(bytes) as usize)
    }

    fn pay(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.budget = self.budget.checked_sub(bytes).ok_or(DecodeError::TooLarge)?;
        Ok(())
    }

    /// An empty list with room for `count` elements that each take at least `min_len` bytes of input.
    fn list<T>(&mut self, count: usize, min_len: usize) -> Result<Vec<T>, DecodeError> {
        if count > self.rest.len() / min_len {
            return Err(DecodeError::Truncated);
        }
        self.pay(count.saturating_mul(size_of::<T>()))?;
        Ok(Vec::with_capacity(count))
    }

    fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        self.depth = self.depth.checked_sub(1).ok_or(DecodeError::TooDeep)?;
        let read = read(self);
        self.depth += 1;
        read
    }

    fn text(&mut self, len: usize) -> Result<String, DecodeError> {
        if len > self.rest.len() {
            return Err(DecodeError::Truncated);
        }
        self.pay(len)?;
        let text = String::from_utf8_lossy(self.take(len)?).into_owned();
        // A replaced byte becomes three.
        self.pay(text.len().saturating_sub(len))?;
        Ok(text)
    }

    fn bytes(&mut self, len: usize) -> Result<Value, DecodeError> {
        if len > self.rest.len() {
            return Err(DecodeError::Truncated);
        }
        self.pay(len)?;
        Ok(Value::Bytes(self.take(len)?.to_owned()))
    }

    fn array(&mut self, count: usize) -> Result<Value, DecodeError> {
        self.nested(|decoder| {
            let mut items = decoder.list(count, 1)?;
            for _ in 0..count {
                items.push(decoder.value()?);
            }
            Ok(Value::Array(items))
        })
    }

    fn map(&mut self, count: usize) -> Result<Value, DecodeError> {
        self.nested(|decoder| {
            let mut entries = decoder.list(count, 2)?;
            for _ in 0..count {
                entries.push((decoder.value()?, decoder.value()?));
            }
            Ok(Value::Map(entries))
        })
    }

    fn record(&self, id: u8) -> Option<Keys> {
        self.records.get(usize::from(id - FIRST_ID))?.clone()
    }

    fn record_values(&mut self, keys: &Keys) -> Result<Value, DecodeError> {
        let mut entries = self.list(keys.len(), 1)?;
        for key in keys.iter() {
            self.pay(key.len())?;
            entries.push((Value::Str(String::from(&**key)), self.value()?));
        }
        Ok(Value::Map(entries))
    }

    fn define_record(&mut self) -> Result<Value, DecodeError> {
        let id = self.u8()?;
        if !(FIRST_ID..=LAST_ID).contains(&id) {
            return Err(DecodeError::RecordId { id });
        }
        let count = match self.u8()? {
            byte @ 0x90..=0x9f => usize::from(byte & 0x0f),
            0xdc => self.len16()?,
            0xdd => self.len32()?,
            _ => return Err(DecodeError::RecordKeys),
        };
        let mut keys = self.list::<Box<str>>(count, 1)?;
        for _ in 0..count {
            let len = match self.u8()? {
                byte @ 0xa0..=0xbf => usize::from(byte & 0x1f),
                0xd9 => self.len8()?,
                0xda => self.len16()?,
                0xdb => self.len32()?,
                _ => return Err(DecodeError::RecordKeys),
            };
            keys.push(self.text(len)?.into_boxed_str());
        }
        let keys = Keys::from(keys);
        if self.records.is_empty() {
            let ids = usize::from(LAST_ID - FIRST_ID) + 1;
            self.pay(ids * size_of::<Option<Keys>>())?;
            self.records.resize(ids, None);
        }
        self.records[usize::from(id - FIRST_ID)] = Some(keys.clone());
        self.nested(|decoder| decoder.record_values(&keys))
    }

    fn extension(&mut self, len: usize) -> Result<Value, DecodeError> {
        let kind = i8::from_be_bytes(self.chunk()?);
        match (kind, len) {
            (RECORD, 1) => self.define_record(),
            (UNDEFINED, 1) => self.u8().map(|_| Value::Undefined),
            // An invalid Date, whose time is not a number.
            (TIMESTAMP, 1) => self.u8().map(|_| Value::F64(f64::NAN)),
            (TIMESTAMP, 4) => timestamp(i64::from(u32::from_be_bytes(self.chunk()?)), 0),
            (TIMESTAMP, 8) => {
                let both = u64::from_be_bytes(self.chunk()?);
                timestamp((both & ((1 << 34) - 1)) as i64, (both >> 34) as u32)
            }
            (TIMESTAMP, 12) => {
                let nanos = u32::from_be_bytes(self.chunk()?);
                timestamp(i64::from_be_bytes(self.chunk()?), nanos)
            }
            (kind, len) => Err(DecodeError::UnknownExtension { kind, len }),
        }
    }
}

fn timestamp(secs: i64, nanos: u32) -> Result<Value, DecodeError> {
    Timestamp::new(secs, nanos).map(Value::Timestamp).ok_or(DecodeError::Timestamp)
}
