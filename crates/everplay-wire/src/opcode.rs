//! First bytes of the frames: a code in the low five bits and, since 0.18, modifiers in the high three.

pub(crate) const JOIN_ROOM: u8 = 10;
pub(crate) const ERROR: u8 = 11;
pub(crate) const LEAVE_ROOM: u8 = 12;
pub(crate) const ROOM_DATA: u8 = 13;
pub(crate) const ROOM_STATE: u8 = 14;
pub(crate) const ROOM_STATE_PATCH: u8 = 15;
pub(crate) const ROOM_DATA_BYTES: u8 = 17;
pub(crate) const PING: u8 = 18;
pub(crate) const ROOM_INPUT_RELIABLE: u8 = 19;
pub(crate) const ROOM_INPUT_UNRELIABLE: u8 = 20;
pub(crate) const ROOM_REQUEST: u8 = 21;
pub(crate) const ROOM_RESPONSE: u8 = 22;

/// The frame carries server time and an input acknowledgement, or an input its stamp.
pub(crate) const TIMED: u8 = 0x80;
/// The frame came as a datagram and carries a sequence number.
pub(crate) const UNRELIABLE: u8 = 0x40;
/// Without a meaning today: 0.18 masks it away, older SDKs then do not know the code. The join probe lives off this.
pub(crate) const RESERVED: u8 = 0x20;

const CODE_MASK: u8 = 0x1f;

/// Splits a first byte into code and modifier bits.
pub(crate) fn split(byte: u8) -> (u8, u8) {
    (byte & CODE_MASK, byte & !CODE_MASK)
}
