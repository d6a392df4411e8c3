//! Self-describing numbers and length-prefixed texts, as frame headers and state bytes use them.
//!
//! They look like msgpack but are little-endian. A number is one byte (`00..7f` for 0..127, `e0..ff` for -32..-1) or a
//! prefix (`ca cb` floats, `cc..cf` unsigned, `d0..d3` signed) and its bytes. A text is a length (`a0..bf` for 0..31,
//! `d9 u8`, `da u16`, `db u32`) and UTF-8.

use crate::FrameError;

/// Reads a frame from its start; every method names the part it reads, for the error.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte without taking it.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Takes everything that is left.
    pub fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Takes `len` bytes. Errors: [`FrameError::Truncated`].
    pub fn take(&mut self, len: usize, part: &'static str) -> Result<&'a [u8], FrameError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(FrameError::Truncated { part })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, part: &'static str) -> Result<[u8; N], FrameError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(FrameError::Truncated { part })?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    pub fn u8(&mut self, part: &'static str) -> Result<u8, FrameError> {
        Ok(self.array::<1>(part)?[0])
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self, part: &'static str) -> Result<u16, FrameError> {
        Ok(u16::from_le_bytes(self.array(part)?))
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self, part: &'static str) -> Result<u32, FrameError> {
        Ok(u32::from_le_bytes(self.array(part)?))
    }

    /// A number in any of its forms, also those longer than needed. 64-bit forms round as a JavaScript number does.
    pub fn number(&mut self, part: &'static str) -> Result<f64, FrameError> {
        let byte = self.u8(part)?;
        Ok(match byte {
            0x00..=0x7f => f64::from(byte),
            0xe0..=0xff => f64::from(byte as i8),
            0xca => f64::from(f32::from_le_bytes(self.array(part)?)),
            0xcb => f64::from_le_bytes(self.array(part)?),
            0xcc => f64::from(self.u8(part)?),
            0xcd => f64::from(self.u16(part)?),
            0xce => f64::from(self.u32(part)?),
            0xcf => u64::from_le_bytes(self.array(part)?) as f64,
            0xd0 => f64::from(self.u8(part)? as i8),
            0xd1 => f64::from(self.u16(part)? as i16),
            0xd2 => f64::from(self.u32(part)? as i32),
            0xd3 => i64::from_le_bytes(self.array(part)?) as f64,
            _ => return Err(FrameError::NotANumber { part, byte }),
        })
    }

    /// A number that has no fraction and fits 32 bits unsigned: lengths, counts, ids.
    pub fn uint(&mut self, part: &'static str) -> Result<u32, FrameError> {
        let number = self.number(part)?;
        // Exact: every u32 is an f64.
        if number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number) {
            Ok(number as u32)
        } else {
            Err(FrameError::OutOfRange { part })
        }
    }

    /// A number without fraction that a JavaScript number holds exactly.
    pub fn int(&mut self, part: &'static str) -> Result<i64, FrameError> {
        let number = self.number(part)?;
        if number.fract() == 0.0 && number.abs() <= MAX_SAFE_INTEGER {
            Ok(number as i64)
        } else {
            Err(FrameError::OutOfRange { part })
        }
    }

    /// A length-prefixed text.
    pub fn text(&mut self, part: &'static str) -> Result<&'a str, FrameError> {
        let byte = self.u8(part)?;
        let len = match byte {
            0xa0..=0xbf => usize::from(byte & 0x1f),
            0xd9 => usize::from(self.u8(part)?),
            0xda => usize::from(self.u16(part)?),
            0xdb => self.u32(part)? as usize,
            _ => return Err(FrameError::NotAText { part, byte }),
        };
        std::str::from_utf8(self.take(len, part)?).map_err(|_| FrameError::NotUtf8 { part })
    }
}

/// Largest integer up to which every integer is a JavaScript number: 2^53 - 1.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// Appends a number the way the SDKs write it: integers of 32 bits signed in the shortest form, everything else as
/// float32 when that is closer than 0.0001, else as float64. Not a number is 0, infinities are 2^53 - 1.
pub fn write_number(out: &mut Vec<u8>, value: f64) {
    let value = match value {
        v if v.is_nan() => 0.0,
        v if v.is_infinite() => MAX_SAFE_INTEGER.copysign(v),
        v => v,
    };
    let whole = value as i32;
    if f64::from(whole) == value {
        return write_int(out, whole);
    }
    let short = value as f32;
    if (f64::from(short) - value).abs() < 1e-4 {
        out.push(0xca);
        out.extend_from_slice(&short.to_le_bytes());
    } else {
        out.push(0xcb);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Appends an integer in its shortest form.
pub fn write_int(out: &mut Vec<u8>, value: i32) {
    match value {
        0.. => write_uint(out, value.unsigned_abs()),
        -0x20..0 => out.push(value as u8),
        -0x80..-0x20 => out.extend_from_slice(&[0xd0, value as u8]),
        -0x8000..-0x80 => {
            out.push(0xd1);
            out.extend_from_slice(&(value as i16).to_le_bytes());
        }
        _ => {
            out.push(0xd2);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}

/// Appends an unsigned integer in its shortest form.
pub fn write_uint(out: &mut Vec<u8>, value: u32) {
    match value {
        0..0x80 => out.push(value as u8),
        0x80..0x100 => out.extend_from_slice(&[0xcc, value as u8]),
        0x100..0x1_0000 => {
            out.push(0xcd);
            out.extend_from_slice(&(value as u16).to_le_bytes());
        }
        _ => {
            out.push(0xce);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
}

/// Appends a text with its length in the shortest form.
///
/// Panics: when the text has 4 GiB or more.
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    let len = text.len();
    if len < 0x20 {
        out.push(0xa0 | len as u8);
    } else if let Ok(len) = u8::try_from(len) {
        out.extend_from_slice(&[0xd9, len]);
    } else if let Ok(len) = u16::try_from(len) {
        out.push(0xda);
        out.extend_from_slice(&len.to_le_bytes());
    } else {
        let len = u32::try_from(len).expect("a frame's text is far below 4 GiB");
        out.push(0xdb);
        out.extend_from_slice(&len.to_le_bytes());
    }
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: f64, hex: &[u8]) {
        let mut out = Vec::new();
        write_number(&mut out, value);
        assert_eq!(out, hex, "{value}");
    }

    #[test]
    fn numbers_are_written_as_the_sdks_write_them() {
        check(0.0, &[0]);
        check(127.0, &[0x7f]);
        check(128.0, &[0xcc, 0x80]);
        check(4321.0, &[0xcd, 0xe1, 0x10]);
        check(65536.0, &[0xce, 0, 0, 1, 0]);
        check(-1.0, &[0xff]);
        check(-33.0, &[0xd0, 0xdf]);
        check(-129.0, &[0xd1, 0x7f, 0xff]);
        check(-32769.0, &[0xd2, 0xff, 0x7f, 0xff, 0xff]);
        check(f64::NAN, &[0]);
        check(-3.5, &[0xca, 0, 0, 0x60, 0xc0]);
        check(4294967296.0, &[0xca, 0, 0, 0x80, 0x4f]);
        check(1e300, &[0xcb, 0x9c, 0x75, 0x00, 0x88, 0x3c, 0xe4, 0x37, 0x7e]);
    }

    #[test]
    fn uint_refuses_what_is_no_length() {
        let refused = |bytes: &[u8]| Reader::new(bytes).uint("length").unwrap_err();
        assert_eq!(refused(&[0xff]), FrameError::OutOfRange { part: "length" });
        assert_eq!(refused(&[0xca, 0, 0, 0, 0x3f]), FrameError::OutOfRange { part: "length" });
        assert_eq!(refused(&[0xc0]), FrameError::NotANumber { part: "length", byte: 0xc0 });
        assert_eq!(refused(&[0xcd, 1]), FrameError::Truncated { part: "length" });
        assert_eq!(refused(&[]), FrameError::Truncated { part: "length" });
    }
}
