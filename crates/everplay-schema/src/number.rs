//! The self-describing number of the wire and its fixed-width relatives.
//!
//! Everything here appends to a `Vec<u8>`; reading is in `read.rs`. All multi-byte values are little-endian.
//! `number` is what refIds, indexes, lengths and the schema type `number` are written as.

/// Appends a non-negative integer in its narrowest form. Used for refIds, indexes and lengths.
pub(crate) fn put_uint(out: &mut Vec<u8>, value: u32) {
    if value < 0x80 {
        out.push(value as u8);
    } else if value <= 0xff {
        out.extend_from_slice(&[0xcc, value as u8]);
    } else if value <= 0xffff {
        out.push(0xcd);
        out.extend_from_slice(&(value as u16).to_le_bytes());
    } else {
        out.push(0xce);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// How a `number` is written.
#[derive(Clone, Copy, PartialEq, Debug)]
enum NumberForm {
    Integer(i64),
    Single(f32),
    Double(f64),
}

/// Chooses as the official encoder does: NaN is 0, infinities are the largest safe integers, integers
/// within 32 signed bits stay integers, everything else is a float32 when that is within 1e-4, else a float64.
fn form_of(value: f64) -> NumberForm {
    const MAX_SAFE: f64 = 9_007_199_254_740_991.0;
    let value = match value {
        _ if value.is_nan() => 0.0,
        _ if value.is_infinite() => MAX_SAFE.copysign(value),
        finite => finite,
    };
    if value.fract() == 0.0 && (-2_147_483_648.0..=2_147_483_647.0).contains(&value) {
        return NumberForm::Integer(value as i64);
    }
    let single = value as f32;
    if single.is_finite() && (f64::from(single) - value).abs() < 1e-4 {
        NumberForm::Single(single)
    } else {
        NumberForm::Double(value)
    }
}

/// Appends a value of the schema type `number`.
pub(crate) fn put_number(out: &mut Vec<u8>, value: f64) {
    match form_of(value) {
        NumberForm::Integer(integer) => put_int(out, integer),
        NumberForm::Single(single) => {
            out.push(0xca);
            out.extend_from_slice(&single.to_le_bytes());
        }
        NumberForm::Double(double) => put_number_exact(out, double),
    }
}

/// Appends a `number` without loss: what the journal keeps where the wire form is rounded.
pub(crate) fn put_number_exact(out: &mut Vec<u8>, value: f64) {
    out.push(0xcb);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Whether a client reads something else than `value` from [`put_number`].
pub(crate) fn number_is_rounded(value: f64) -> bool {
    let read = match form_of(value) {
        NumberForm::Integer(integer) => integer as f64,
        NumberForm::Single(single) => f64::from(single),
        NumberForm::Double(double) => double,
    };
    read.to_bits() != value.to_bits()
}

fn put_int(out: &mut Vec<u8>, value: i64) {
    match value {
        0.. => put_uint(out, value as u32),
        -32..0 => out.push(value as i8 as u8),
        -128..-32 => out.extend_from_slice(&[0xd0, value as i8 as u8]),
        -32_768..-128 => {
            out.push(0xd1);
            out.extend_from_slice(&(value as i16).to_le_bytes());
        }
        _ => {
            out.push(0xd2);
            out.extend_from_slice(&(value as i32).to_le_bytes());
        }
    }
}

/// Appends a string: length prefix and UTF-8.
pub(crate) fn put_str(out: &mut Vec<u8>, text: &str) {
    let len = text.len();
    if len < 0x20 {
        out.push(0xa0 | len as u8);
    } else if len <= 0xff {
        out.extend_from_slice(&[0xd9, len as u8]);
    } else if len <= 0xffff {
        out.push(0xda);
        out.extend_from_slice(&(len as u16).to_le_bytes());
    } else {
        out.push(0xdb);
        out.extend_from_slice(&(len as u32).to_le_bytes());
    }
    out.extend_from_slice(text.as_bytes());
}

/// Range, precision and behaviour at the ends of a `quantized` field.
///
/// Wire value q of `bits` bits, `value = min + q / span * (max - min)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantized {
    /// Smallest value.
    pub min: f64,
    /// Largest value; with [`QuantizedMode::Wrap`] the end that means the same as `min`.
    pub max: f64,
    /// 8, 16 or 32.
    pub bits: u8,
    /// What happens outside of the range.
    pub mode: QuantizedMode,
}

/// What a quantized field does with a value outside of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantizedMode {
    /// The nearest end is taken.
    Clamp,
    /// The range is a circle (angles).
    Wrap,
}

impl Quantized {
    fn span(&self) -> f64 {
        let full = f64::from(self.bits).exp2();
        match self.mode {
            QuantizedMode::Wrap => full,
            // One step less, so that zero in the middle of a symmetric range is exact.
            QuantizedMode::Clamp if self.min == -self.max => full - 2.0,
            QuantizedMode::Clamp => full - 1.0,
        }
    }

    /// The wire value of `value`.
    pub(crate) fn quantize(&self, value: f64) -> u32 {
        let (width, span) = (self.max - self.min, self.span());
        match self.mode {
            QuantizedMode::Clamp => {
                if value.is_nan() {
                    return 0;
                }
                let clamped = value.clamp(self.min.min(self.max), self.max.max(self.min));
                ((clamped - self.min) / width * span + 0.5).floor() as u32
            }
            QuantizedMode::Wrap => {
                if !value.is_finite() {
                    return 0;
                }
                let offset = (value - self.min).rem_euclid(width);
                ((offset / width * span + 0.5).floor() % span) as u32
            }
        }
    }

    /// The value a client reads for a wire value.
    pub(crate) fn dequantize(&self, wire: u32) -> f64 {
        self.min + f64::from(wire) / self.span() * (self.max - self.min)
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>, value: f64) {
        let wire = self.quantize(value);
        out.extend_from_slice(&wire.to_le_bytes()[..usize::from(self.bits / 8)]);
    }
}
