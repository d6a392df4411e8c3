//! Random secrets, what is stored of them, and what is sealed.
//!
//! What a client presents (refresh tokens, codes in mails, keys of servers) is 256 random bits and stored as its
//! SHA-256 only: a read database opens nothing, and no slow hash is needed for what cannot be guessed. What we must be
//! able to read again (seeds of second factors, private keys) is sealed with AES-256-GCM under a key that is not in the
//! database, with the row it belongs to as associated data, so that a row's seal cannot be moved to another row.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

/// 256 random bits as 43 characters that a URL holds as they are.
pub(crate) fn draw() -> String {
    encode(&rand::random::<[u8; 32]>())
}

/// A random UUID (version 4), as accounts are named.
pub(crate) fn draw_uuid() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// What is stored of a secret that was drawn.
pub(crate) fn digest(secret: &str) -> Vec<u8> {
    sha256(secret.as_bytes())
}

pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

/// Base64 for URLs, without padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The key that seals what the database holds.
pub struct Sealer(LessSafeKey);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

/// Why a sealed value cannot be opened: another key, another row, or damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value does not open with the present key")]
pub struct NotOurs;

impl Sealer {
    /// From 32 secret bytes.
    pub fn new(key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("32 bytes are a key of AES-256");
        Sealer(LessSafeKey::new(key))
    }

    /// From a text of the operator's: at least 32 characters, which should be random.
    pub fn from_text(text: &str) -> Option<Self> {
        (text.len() >= 32).then(|| {
            let key = sha256(format!("everplay accounts {text}").as_bytes());
            Self::new(&key.try_into().expect("SHA-256 has 32 bytes"))
        })
    }

    /// A key that ends with the process, for stores that do too.
    pub fn ephemeral() -> Self {
        Self::new(&rand::random())
    }

    /// From a file that is drawn when it is not there, readable by its owner only.
    ///
    /// Errors: the file system's, or a file that holds something else.
    pub fn from_file(path: &Path) -> io::Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let key = decode(text.trim()).and_then(|key| <[u8; 32]>::try_from(key).ok());
                let key =
                    key.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "it does not hold a key"))?;
                Ok(Self::new(&key))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let key: [u8; 32] = rand::random();
                let draft = path.with_extension("draft");
                let mut options = std::fs::File::options();
                options.write(true).create(true).truncate(true);
                #[cfg(unix)]
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                let mut file = options.open(&draft)?;
                file.write_all(encode(&key).as_bytes())?;
                file.sync_all()?;
                std::fs::rename(&draft, path)?;
                Ok(Self::new(&key))
            }
            Err(error) => Err(error),
        }
    }

    /// Seals a value for one place: 12 bytes of nonce, then the ciphertext with its tag.
    pub(crate) fn seal(&self, place: &str, plain: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut sealed = plain.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut sealed)
            .expect("values are far below the limit of 64 GiB");
        [&nonce[..], &sealed].concat()
    }

    /// Opens what was sealed for this place.
    pub(crate) fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, NotOurs> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(NotOurs)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| NotOurs)?;
        let mut plain = sealed.to_vec();
        let length = self.0.open_in_place(nonce, Aad::from(place), &mut plain).map_err(|_| NotOurs)?.len();
        plain.truncate(length);
        Ok(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_opens_in_its_place_only() {
        let sealer = Sealer::new(&[7; 32]);
        let sealed = sealer.seal("totp default a", b"seed");
        assert_eq!(sealer.open("totp default a", &sealed).unwrap(), b"seed");
        assert_eq!(sealer.open("totp default b", &sealed), Err(NotOurs));
        assert_eq!(Sealer::new(&[8; 32]).open("totp default a", &sealed), Err(NotOurs));
        assert_ne!(sealed, sealer.seal("totp default a", b"seed"));
        assert_eq!(sealer.open("totp default a", b"short"), Err(NotOurs));
    }

    #[test]
    fn the_key_is_drawn_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accounts.key");
        let sealed = Sealer::from_file(&path).unwrap().seal("x", b"y");
        assert_eq!(Sealer::from_file(&path).unwrap().open("x", &sealed).unwrap(), b"y");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(&path, "something else").unwrap();
        assert!(Sealer::from_file(&path).is_err());
    }

    #[test]
    fn ids_are_uuids() {
        let id = draw_uuid();
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert_ne!(id, draw_uuid());
    }
}
