use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Why a text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdError {
    /// Ids have at least one character.
    Empty,
    /// Ids have at most [`MAX_ID_LEN`] bytes.
    TooLong,
    /// Only `A-Z a-z 0-9 _ -` are allowed: the URL of a room is made of ids, unescaped.
    Alphabet,
}

/// Longest id in bytes. The SDKs put ids into URLs; 64 leaves room for a UUID with a prefix.
pub const MAX_ID_LEN: usize = 64;

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IdError::Empty => "an id cannot be empty",
            IdError::TooLong => "an id has at most 64 bytes",
            IdError::Alphabet => "an id has only letters, digits, _ and -",
        })
    }
}

impl std::error::Error for IdError {}

fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > MAX_ID_LEN {
        return Err(IdError::TooLong);
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if text.bytes().all(allowed) { Ok(()) } else { Err(IdError::Alphabet) }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and takes the text. Errors: [`IdError`].
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                let text = text.as_ref();
                check(text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::ops::Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), &self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }
    };
}

id!(
    /// One running game with authoritative state. Unique within a customer, never reused.
    RoomId
);
id!(
    /// One client's standing in a room; survives reconnects.
    SessionId
);
id!(
    /// First segment of a room's WebSocket URL. Stays the same when the server restarts on its data.
    ProcessId
);
id!(
    /// Whose rooms, players and keys these are. `default` when nobody asks.
    CustomerId
);
id!(
    /// A person or a guest, as the account store knows them. Never reused.
    AccountId
);
id!(
    /// One signing-in of an account, from then until it is signed out; survives the renewal of tokens. Not a
    /// [`SessionId`], which is a standing in a room.
    LoginId
);

impl Default for CustomerId {
    fn default() -> Self {
        CustomerId(Arc::from("default"))
    }
}

/// A room's full name: every key and row about a room starts with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RoomKey {
    /// The customer that owns the room.
    pub customer: CustomerId,
    /// The room.
    pub room: RoomId,
}

impl fmt::Display for RoomKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.customer, self.room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_hold_only_what_a_url_holds() {
        assert_eq!(RoomId::new(""), Err(IdError::Empty));
        assert_eq!(RoomId::new("a".repeat(65)), Err(IdError::TooLong));
        assert_eq!(RoomId::new("a/b"), Err(IdError::Alphabet));
        assert_eq!(RoomId::new("Az0_-").unwrap().as_str(), "Az0_-");
        assert!(serde_json::from_str::<RoomId>("\"a b\"").is_err());
    }
}
