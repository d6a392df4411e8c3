use crate::FrameError;
use crate::number::{Reader, write_text, write_uint};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a message is called: a text or a number, as the game chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MessageType<'a> {
    /// A text of at least one byte.
    Text(&'a str),
    /// A number of 32 bits. The SDKs could send others; no game does.
    Number(u32),
}

/// [`MessageType`] that owns its text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OwnedMessageType {
    /// A text of at least one byte.
    Text(String),
    /// A number of 32 bits.
    Number(u32),
}

impl<'a> MessageType<'a> {
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, FrameError> {
        const PART: &str = "message type";
        match reader.peek() {
            Some(0xa0..=0xbf | 0xd9..=0xdb) => match reader.text(PART)? {
                "" => Err(FrameError::EmptyType),
                text => Ok(MessageType::Text(text)),
            },
            _ => Ok(MessageType::Number(reader.uint(PART)?)),
        }
    }

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        match self {
            MessageType::Text(text) => write_text(out, text),
            // The SDKs read the unsigned form as well as the float they would write beyond 31 bits.
            MessageType::Number(number) => write_uint(out, number),
        }
    }

    /// Copies the text.
    pub fn to_owned(self) -> OwnedMessageType {
        match self {
            MessageType::Text(text) => OwnedMessageType::Text(text.to_owned()),
            MessageType::Number(number) => OwnedMessageType::Number(number),
        }
    }
}

impl OwnedMessageType {
    /// Borrows the text.
    pub fn borrow(&self) -> MessageType<'_> {
        match self {
            OwnedMessageType::Text(text) => MessageType::Text(text),
            OwnedMessageType::Number(number) => MessageType::Number(*number),
        }
    }
}

impl<'a> From<&'a str> for MessageType<'a> {
    fn from(text: &'a str) -> Self {
        MessageType::Text(text)
    }
}

impl From<u32> for MessageType<'_> {
    fn from(number: u32) -> Self {
        MessageType::Number(number)
    }
}

impl<'a> From<&'a OwnedMessageType> for MessageType<'a> {
    fn from(owned: &'a OwnedMessageType) -> Self {
        owned.borrow()
    }
}

impl From<&str> for OwnedMessageType {
    fn from(text: &str) -> Self {
        OwnedMessageType::Text(text.to_owned())
    }
}

impl From<String> for OwnedMessageType {
    fn from(text: String) -> Self {
        OwnedMessageType::Text(text)
    }
}

impl From<u32> for OwnedMessageType {
    fn from(number: u32) -> Self {
        OwnedMessageType::Number(number)
    }
}

impl From<MessageType<'_>> for OwnedMessageType {
    fn from(borrowed: MessageType<'_>) -> Self {
        borrowed.to_owned()
    }
}

impl PartialEq<MessageType<'_>> for OwnedMessageType {
    fn eq(&self, other: &MessageType<'_>) -> bool {
        self.borrow() == *other
    }
}

impl fmt::Display for MessageType<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MessageType::Text(text) => f.write_str(text),
            MessageType::Number(number) => number.fmt(f),
        }
    }
}

impl fmt::Display for OwnedMessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.borrow().fmt(f)
    }
}
