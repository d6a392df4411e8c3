//! Reads the wire's values from a byte slice. Never panics, never allocates more than the input holds.

use crate::decode::DecodeError;

#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let end = self.at.checked_add(len).ok_or(DecodeError::Truncated(self.at))?;
        let taken = self.bytes.get(self.at..end).ok_or(DecodeError::Truncated(self.at))?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn f32(&mut self) -> Result<f32, DecodeError> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    pub(crate) fn f64(&mut self) -> Result<f64, DecodeError> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    /// A `number` of any form.
    pub(crate) fn number(&mut self) -> Result<f64, DecodeError> {
        let at = self.at;
        Ok(match self.byte()? {
            small @ 0..=0x7f => f64::from(small),
            0xca => f64::from(self.f32()?),
            0xcb => self.f64()?,
            0xcc => f64::from(self.byte()?),
            0xcd => f64::from(self.u16()?),
            0xce => f64::from(self.u32()?),
            0xcf => self.u64()? as f64,
            0xd0 => f64::from(self.byte()? as i8),
            0xd1 => f64::from(self.u16()? as i16),
            0xd2 => f64::from(self.u32()? as i32),
            0xd3 => self.u64()? as i64 as f64,
            negative @ 0xe0..=0xff => f64::from(negative as i8),
            _ => return Err(DecodeError::BadNumber(at)),
        })
    }

    /// A `number` that is a refId, index, length or count.
    pub(crate) fn uint(&mut self) -> Result<u32, DecodeError> {
        let at = self.at;
        let value = self.number()?;
        if value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value) {
            Ok(value as u32)
        } else {
            Err(DecodeError::BadNumber(at))
        }
    }

    pub(crate) fn string(&mut self) -> Result<&'a str, DecodeError> {
        let at = self.at;
        let len = match self.byte()? {
            short @ 0xa0..=0xbf => usize::from(short & 0x1f),
            0xd9 => usize::from(self.byte()?),
            0xda => usize::from(self.u16()?),
            0xdb => self.u32()? as usize,
            _ => return Err(DecodeError::BadString(at)),
        };
        std::str::from_utf8(self.take(len)?).map_err(|_| DecodeError::BadString(at))
    }
}
