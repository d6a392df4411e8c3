/// Why a frame is not one that an SDK or a server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A frame without any byte.
    #[error("the frame is empty")]
    Empty,
    /// The first byte names no frame of this direction.
    #[error("unknown frame code {code}")]
    UnknownCode {
        /// The code, without the modifier bits.
        code: u8,
    },
    /// Modifier bits that this frame cannot have.
    #[error("frame code {code} with modifier bits {bits:#04x}")]
    Modifier {
        /// The code, without the modifier bits.
        code: u8,
        /// The high three bits of the first byte.
        bits: u8,
    },
    /// The frame ends inside a part.
    #[error("the frame ends inside its {part}")]
    Truncated {
        /// The part that was being read.
        part: &'static str,
    },
    /// Bytes after the last part.
    #[error("{count} bytes too many after the {part}")]
    TrailingBytes {
        /// The last part of such a frame.
        part: &'static str,
        /// How many bytes follow it.
        count: usize,
    },
    /// A byte that starts no number.
    #[error("the {part} is not a number (it starts with {byte:#04x})")]
    NotANumber {
        /// The part that was being read.
        part: &'static str,
        /// The first byte of it.
        byte: u8,
    },
    /// A number that is negative, has a fraction, or is too large for its part.
    #[error("the {part} is out of range")]
    OutOfRange {
        /// The part that was being read.
        part: &'static str,
    },
    /// A byte that starts no text.
    #[error("the {part} is not a text (it starts with {byte:#04x})")]
    NotAText {
        /// The part that was being read.
        part: &'static str,
        /// The first byte of it.
        byte: u8,
    },
    /// A text that is not UTF-8.
    #[error("the {part} is not UTF-8")]
    NotUtf8 {
        /// The part that was being read.
        part: &'static str,
    },
    /// A message type without characters: the SDKs cannot read it back.
    #[error("the message type is the empty text")]
    EmptyType,
    /// An input carries a time stamp, but the room asked for none.
    #[error("an input with a time stamp that the room did not ask for")]
    StampNotAsked,
    /// A frame of unreliable inputs has more or fewer stamps than inputs.
    #[error("{stamps} time stamps for {inputs} inputs")]
    StampCount {
        /// Stamps announced.
        stamps: u32,
        /// Inputs found.
        inputs: usize,
    },
    /// More inputs in one frame than [`MAX_INPUTS`](crate::MAX_INPUTS).
    #[error("too many inputs in one frame")]
    TooManyInputs,
    /// A response whose status is none of the three.
    #[error("unknown response status {status}")]
    UnknownStatus {
        /// The status byte.
        status: u8,
    },
}
