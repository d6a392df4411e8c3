use std::fmt;

/// An integer that JavaScript keeps apart from numbers; on the wire one of 64 bits, signed or unsigned.
///
/// Kept as sign and magnitude so that a `Value` stays at four words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BigInt {
    negative: bool,
    magnitude: u64,
}

impl BigInt {
    /// The integer.
    pub fn get(self) -> i128 {
        let magnitude = i128::from(self.magnitude);
        if self.negative { -magnitude } else { magnitude }
    }
}

impl From<i64> for BigInt {
    fn from(value: i64) -> Self {
        Self { negative: value < 0, magnitude: value.unsigned_abs() }
    }
}

impl From<u64> for BigInt {
    fn from(value: u64) -> Self {
        Self { negative: false, magnitude: value }
    }
}

/// Fails outside of -2^63..2^64, which the wire cannot carry.
impl TryFrom<i128> for BigInt {
    type Error = std::num::TryFromIntError;

    fn try_from(value: i128) -> Result<Self, Self::Error> {
        match i64::try_from(value) {
            Ok(value) => Ok(value.into()),
            Err(_) => u64::try_from(value).map(Self::from),
        }
    }
}

impl fmt::Display for BigInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}
