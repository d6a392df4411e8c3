use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a node takes from its surroundings and cannot work out: random bits and the time of day.
///
/// Everything else that differs from run to run comes through ports, so a node with pretend surroundings, stores and
/// sockets does the same again. The monotonic clock is the runtime's.
#[derive(Clone)]
pub struct Ambient {
    random: Arc<Random>,
    wall: Arc<Wall>,
}

type Random = dyn Fn(&mut [u8]) + Send + Sync;
type Wall = dyn Fn() -> u64 + Send + Sync;

impl Ambient {
    /// `random` fills the bytes it is given, `wall` answers in ms since 1970.
    pub fn new(
        random: impl Fn(&mut [u8]) + Send + Sync + 'static,
        wall: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        Self { random: Arc::new(random), wall: Arc::new(wall) }
    }

    /// That many random bytes.
    pub(crate) fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.random)(&mut bytes);
        bytes
    }

    /// Wall time in ms since 1970. For people; nothing is decided by it.
    pub(crate) fn wall_ms(&self) -> u64 {
        (self.wall)()
    }

    /// A random text of letters, digits, `_` and `-`, 6 bits each; the first is a letter or a digit, because on a command
    /// line what begins with `-` is an option.
    pub(crate) fn id(&self, len: usize) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
        let mut bytes = vec![0; len];
        (self.random)(&mut bytes);
        if let Some(first) = bytes.first_mut() {
            *first %= 62;
        }
        bytes.into_iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect()
    }
}

/// The operating system's.
impl Default for Ambient {
    fn default() -> Self {
        Self::new(
            |bytes| rand::Rng::fill_bytes(&mut rand::rng(), bytes),
            || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64),
        )
    }
}

impl fmt::Debug for Ambient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ambient")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_looks_like_an_option() {
        for byte in 0..=u8::MAX {
            let id = Ambient::new(move |bytes| bytes.fill(byte), || 0).id(9);
            assert_eq!(id.len(), 9);
            assert!(id.starts_with(|first: char| first.is_ascii_alphanumeric()), "{id}");
        }
    }
}
