//! Message payloads: msgpack as the SDKs speak it.
//!
//! ```text
//! author's type --to_value--> Value --encode---------> bytes for clients of any SDK
//!                                   --encode_records-> bytes as the JavaScript SDKs write them
//! author's type <-from_value- Value <-decode---------- bytes of any client
//! ```
//!
//! What differs from plain msgpack:
//! - JavaScript SDKs write objects as *records*: `d4 72 id keys values..` defines the keys of `id` (40..7f) and is an
//!   object at once, `id values..` is another with the same keys. So they write the integers 64..127 in two bytes.
//! - `undefined` is `d4 00 00`, or no payload at all.
//! - The 64-bit integer forms are BigInts, another type than numbers in JavaScript. An integer is written as a number
//!   as long as a number holds it exactly (up to 2^53), in 32 bits or as float64, and as a BigInt beyond: it never
//!   arrives as a different one.

mod bigint;
mod de;
mod decode;
mod encode;
mod json;
mod records;
mod ser;
mod timestamp;
mod value;

pub use bigint::BigInt;
pub use de::{FitError, from_value};
pub use decode::{DecodeError, Limits, decode};
pub use encode::encode;
pub use records::encode_records;
pub use ser::{SerializeError, to_value};
pub use timestamp::Timestamp;
pub use value::Value;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a payload is not what a handler takes.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PayloadError {
    /// Not msgpack, or beyond the limits.
    #[error("payload cannot be read: {0}")]
    Decode(#[from] DecodeError),
    /// Well-formed, but not of that type.
    #[error("{0}")]
    Fit(#[from] FitError),
}

/// A payload from the author's type. Nothing (`()`) is the empty payload. Errors: [`SerializeError`].
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, SerializeError> {
    let mut out = Vec::new();
    match to_value(value)? {
        Value::Undefined => {}
        value => encode(&value, &mut out),
    }
    Ok(out)
}

/// [`to_vec`] in the clients' record style.
pub fn to_vec_records<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, SerializeError> {
    let mut out = Vec::new();
    match to_value(value)? {
        Value::Undefined => {}
        value => encode_records(&value, &mut out),
    }
    Ok(out)
}

/// The author's type from a payload, within the default [`Limits`]. The empty payload is nothing.
pub fn from_slice<T: DeserializeOwned>(payload: &[u8]) -> Result<T, PayloadError> {
    Ok(from_value(read_payload(payload, Limits::default())?)?)
}

/// The value of a payload; the empty payload is [`Value::Undefined`].
pub fn read_payload(payload: &[u8], limits: Limits) -> Result<Value, DecodeError> {
    if payload.is_empty() { Ok(Value::Undefined) } else { decode(payload, limits) }
}
