//! Plain msgpack with the lengths the official server uses, so that bytes can be compared with its.

use super::value::MAX_EXACT;
use super::{Timestamp, Value};

/// Appends the value as servers write it.
///
/// Objects have a 16-bit length (32-bit beyond 65535 entries), whole numbers of 32 bits their shortest form, all
/// other numbers are float64, `undefined` is `d4 00 00`.
///
/// Panics: when a text, a list or an object has 2^32 elements or more.
pub fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Map(entries) => {
            map_header(out, entries.len());
            for (key, value) in entries {
                encode(key, out);
                encode(value, out);
            }
        }
        Value::Array(items) => {
            array_header(out, items.len());
            items.iter().for_each(|item| encode(item, out));
        }
        value => scalar(value, out),
    }
}

/// Appends a value that holds no others.
pub(super) fn scalar(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Nil => out.push(0xc0),
        Value::Undefined => out.extend_from_slice(&[0xd4, 0, 0]),
        Value::Bool(value) => out.push(0xc2 | u8::from(*value)),
        Value::Int(value) => int(out, *value),
        Value::F64(value) => float(out, *value),
        Value::BigInt(value) => match i64::try_from(value.get()) {
            Ok(value) => prefixed(out, 0xd3, value.to_be_bytes()),
            Err(_) => {
                let value = u64::try_from(value.get()).expect("a BigInt has 64 bits, signed or unsigned");
                prefixed(out, 0xcf, value.to_be_bytes());
            }
        },
        Value::Str(value) => text(out, value),
        Value::Bytes(bytes) => {
            bytes_header(out, bytes.len());
            out.extend_from_slice(bytes);
        }
        Value::Timestamp(value) => timestamp(out, *value),
        Value::Array(_) | Value::Map(_) => unreachable!("lists and objects are written by their own callers"),
    }
}

fn prefixed<const N: usize>(out: &mut Vec<u8>, prefix: u8, bytes: [u8; N]) {
    out.push(prefix);
    out.extend_from_slice(&bytes);
}

pub(super) fn int(out: &mut Vec<u8>, value: i64) {
    match value {
        0..0x80 => out.push(value as u8),
        0x80..0x100 => prefixed(out, 0xcc, [value as u8]),
        0x100..0x1_0000 => prefixed(out, 0xcd, (value as u16).to_be_bytes()),
        0x1_0000..0x1_0000_0000 => prefixed(out, 0xce, (value as u32).to_be_bytes()),
        -0x20..0 => out.push(value as u8),
        -0x80..-0x20 => prefixed(out, 0xd0, [value as u8]),
        -0x8000..-0x80 => prefixed(out, 0xd1, (value as i16).to_be_bytes()),
        -0x8000_0000..-0x8000 => prefixed(out, 0xd2, (value as i32).to_be_bytes()),
        _ if value.unsigned_abs() <= MAX_EXACT => prefixed(out, 0xcb, (value as f64).to_be_bytes()),
        _ => prefixed(out, 0xd3, value.to_be_bytes()),
    }
}

pub(super) fn float(out: &mut Vec<u8>, value: f64) {
    match short_integer(value) {
        Some(value) => int(out, value),
        None => prefixed(out, 0xcb, value.to_be_bytes()),
    }
}

/// The integer that a whole number of 32 bits, signed or unsigned, is written as. Negative zero stays a float.
pub(super) fn short_integer(value: f64) -> Option<i64> {
    let range = f64::from(i32::MIN)..=f64::from(u32::MAX);
    let whole = value.fract() == 0.0 && range.contains(&value);
    (whole && (value != 0.0 || value.is_sign_positive())).then_some(value as i64)
}

fn len32(len: usize) -> [u8; 4] {
    u32::try_from(len).expect("a payload is far below 2^32 elements").to_be_bytes()
}

pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    match text.len() {
        len @ 0..0x20 => out.push(0xa0 | len as u8),
        len @ 0x20..0x100 => prefixed(out, 0xd9, [len as u8]),
        len @ 0x100..0x1_0000 => prefixed(out, 0xda, (len as u16).to_be_bytes()),
        len => prefixed(out, 0xdb, len32(len)),
    }
    out.extend_from_slice(text.as_bytes());
}

fn bytes_header(out: &mut Vec<u8>, len: usize) {
    match len {
        0..0x100 => prefixed(out, 0xc4, [len as u8]),
        0x100..0x1_0000 => prefixed(out, 0xc5, (len as u16).to_be_bytes()),
        _ => prefixed(out, 0xc6, len32(len)),
    }
}

pub(super) fn array_header(out: &mut Vec<u8>, len: usize) {
    match len {
        0..0x10 => out.push(0x90 | len as u8),
        0x10..0x1_0000 => prefixed(out, 0xdc, (len as u16).to_be_bytes()),
        _ => prefixed(out, 0xdd, len32(len)),
    }
}

pub(super) fn map_header(out: &mut Vec<u8>, len: usize) {
    match u16::try_from(len) {
        Ok(len) => prefixed(out, 0xde, len.to_be_bytes()),
        Err(_) => prefixed(out, 0xdf, len32(len)),
    }
}

fn timestamp(out: &mut Vec<u8>, value: Timestamp) {
    let nanos = u64::from(value.nanos());
    match u64::try_from(value.secs()) {
        Ok(secs) if nanos == 0 && secs < 1 << 32 => {
            out.extend_from_slice(&[0xd6, 0xff]);
            out.extend_from_slice(&(secs as u32).to_be_bytes());
        }
        Ok(secs) if secs < 1 << 34 => {
            out.extend_from_slice(&[0xd7, 0xff]);
            out.extend_from_slice(&(nanos << 34 | secs).to_be_bytes());
        }
        _ => {
            out.extend_from_slice(&[0xc7, 12, 0xff]);
            out.extend_from_slice(&value.nanos().to_be_bytes());
            out.extend_from_slice(&value.secs().to_be_bytes());
        }
    }
}
