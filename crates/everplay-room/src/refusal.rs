use crate::OutboxFull;
use everplay_types::ErrorCode;
use std::fmt;

/// A hook's "no", told to the client that asked.
///
/// Where it goes: from `create` and `auth` it answers the matchmaking request, from `join` it ends the
/// connection, from a message handler it becomes an ERROR frame and the connection stays open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What programs compare. None: the code of the hook that refused.
    pub code: Option<u16>,
    /// What people read. Safe to show: it leaves the server as it is.
    pub message: String,
}

impl Refusal {
    /// A refusal with a code of the author's own. Codes from 4300 up never collide with ours.
    pub fn new(code: u16, message: impl Into<String>) -> Self {
        Self { code: Some(code), message: message.into() }
    }

    pub(crate) fn code_or(&self, fallback: ErrorCode) -> u16 {
        self.code.unwrap_or(fallback.0)
    }
}

impl From<&str> for Refusal {
    fn from(message: &str) -> Self {
        Self { code: None, message: message.to_owned() }
    }
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self { code: None, message }
    }
}

impl From<OutboxFull> for Refusal {
    fn from(full: OutboxFull) -> Self {
        full.to_string().into()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}
