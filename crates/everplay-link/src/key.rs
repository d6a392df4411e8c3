//! The secret that makes a process a node of this cluster.

use std::fmt;

/// Names what keys are derived for, so that the same words used elsewhere give another key.
const PURPOSE: &str = "everplay 2026-11-21 key of a cluster's links";

/// The secret all nodes of a cluster share, in derived form.
#[derive(Clone)]
pub struct ClusterKey(blake3::Hash);

/// A cluster's key is too short to be safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cluster's key needs at least {} characters, this one has {length}", ClusterKey::MIN_LENGTH)]
pub struct KeyTooShort {
    /// Characters it has.
    pub length: usize,
}

impl ClusterKey {
    /// Characters a key needs. It is hashed, not stretched, so it should be random: 32 random characters cannot be
    /// guessed by someone who recorded a failed greeting.
    pub const MIN_LENGTH: usize = 32;

    /// Takes the key as an operator wrote it; white space around it does not count.
    pub fn new(text: &str) -> Result<Self, KeyTooShort> {
        let text = text.trim();
        let length = text.chars().count();
        if length < Self::MIN_LENGTH {
            return Err(KeyTooShort { length });
        }
        Ok(Self(blake3::Hash::from_bytes(blake3::derive_key(PURPOSE, text.as_bytes()))))
    }

    /// Whether someone presented this key, compared in constant time.
    pub fn is(&self, presented: &str) -> bool {
        self.0 == blake3::Hash::from_bytes(blake3::derive_key(PURPOSE, presented.trim().as_bytes()))
    }

    /// A keyed hash of what `parts` write; every part has a fixed length.
    pub(crate) fn prove(&self, parts: &[&[u8]]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(self.0.as_bytes());
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize()
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterKey(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_long_and_hidden() {
        assert_eq!(ClusterKey::new("short").unwrap_err(), KeyTooShort { length: 5 });
        assert_eq!(ClusterKey::new(&" ".repeat(40)).unwrap_err(), KeyTooShort { length: 0 });
        let words = "0123456789abcdef0123456789abcdef";
        let key = ClusterKey::new(&format!(" {words}\n")).unwrap();
        assert!(key.is(words));
        assert!(!key.is("0123456789abcdef0123456789abcdeF"));
        assert_eq!(format!("{key:?}"), "ClusterKey(hidden)");
    }
}
