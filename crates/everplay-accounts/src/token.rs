//! Access tokens: JWTs signed with Ed25519, and the keys they are signed with.
//!
//! ```text
//! made --lead--> signs --90 days--> successor made --lead--> retired --a day--> gone
//!        '---------- listed at /.well-known/jwks.json and accepted -----------'
//! ```
//!
//! A key is listed before it signs, so that whoever keeps the list for a few minutes knows it in time, and accepted for
//! a day after it signed last, far longer than any token lives.
//!
//! A token is read in one way only: the header names a key of ours, the algorithm is that key's and no other, issuer
//! and audience are ours, the type is that of access tokens. Where a header points to keys of its own (`jwk`, `jku`,
//! `x5u`), nobody looks. What the account may do is not in the token; it is asked for when the token is used.

use crate::clock::{DAY, MINUTE, SECOND};
use crate::secret::{Sealer, encode};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Life of an access token.
pub const ACCESS_LIFETIME_MS: i64 = 15 * MINUTE;

/// Age at which a key gets its successor.
pub const KEY_LIFETIME_MS: i64 = 90 * DAY;

/// Time a key is listed before it signs.
const LEAD: i64 = 10 * MINUTE;

/// Time a key is accepted after it signed last.
const OVERLAP: i64 = DAY;

/// How far clocks of other nodes may be ahead.
const SKEW: i64 = 60 * SECOND;

/// `typ` of access tokens (RFC 9068).
const TYPE: &str = "at+jwt";

/// Issuer and audience.
const OURSELVES: &str = "everplay";

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) aud: String,
    /// The account.
    pub(crate) sub: String,
    /// The customer.
    pub(crate) cus: String,
    /// The login.
    pub(crate) sid: String,
    /// The name when it was signed.
    pub(crate) name: String,
    /// Whether it is a guest's.
    #[serde(default)]
    pub(crate) guest: bool,
    /// Seconds since 1970.
    pub(crate) iat: i64,
    pub(crate) exp: i64,
}

/// A key pair as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredKey {
    pub(crate) id: String,
    /// PKCS#8, sealed.
    pub(crate) private: Vec<u8>,
    /// 32 bytes.
    pub(crate) public: Vec<u8>,
    pub(crate) created_at: i64,
}

/// Makes a key pair.
pub(crate) fn draw_key(sealer: &Sealer, now: i64) -> StoredKey {
    let pair = Ed25519KeyPair::generate().expect("the system gives random keys");
    let pkcs8 = pair.to_pkcs8().expect("a key that was made has a form");
    let id = encode(&rand::random::<[u8; 12]>());
    let private = sealer.seal(&place(&id), pkcs8.as_ref());
    StoredKey { private, public: pair.public_key().as_ref().to_vec(), created_at: now, id }
}

fn place(key: &str) -> String {
    format!("signing key {key}")
}

struct Key {
    id: String,
    public: Vec<u8>,
    created_at: i64,
    signs: EncodingKey,
    verifies: DecodingKey,
}

/// The keys in use.
pub(crate) struct Keyring(RwLock<Vec<Key>>);

/// Why a token says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadToken {
    /// Signed with a key that is not in the ring: perhaps one of another node's, so look again.
    UnknownKey,
    /// Anything else.
    Invalid,
    /// It was good until a while ago.
    Expired,
}

impl Keyring {
    pub(crate) fn new() -> Self {
        Keyring(RwLock::new(Vec::new()))
    }

    /// Takes over what the store has. Keys that do not open are left out and counted: another secret sealed them.
    pub(crate) fn load(&self, stored: &[StoredKey], sealer: &Sealer) -> usize {
        let open = |stored: &StoredKey| {
            let private = sealer.open(&place(&stored.id), &stored.private).ok()?;
            let verifies = DecodingKey::from_ed_components(&encode(&stored.public)).ok()?;
            Some(Key {
                id: stored.id.clone(),
                public: stored.public.clone(),
                created_at: stored.created_at,
                signs: EncodingKey::from_ed_der(&private),
                verifies,
            })
        };
        let mut keys: Vec<Key> = stored.iter().filter_map(open).collect();
        keys.sort_by_key(|key| key.created_at);
        let left_out = stored.len() - keys.len();
        *self.0.write() = keys;
        left_out
    }

    /// Whether it is time to make a key.
    pub(crate) fn wants_key(&self, now: i64) -> bool {
        self.0.read().last().is_none_or(|newest| newest.created_at + KEY_LIFETIME_MS <= now)
    }

    /// Keys made before this signed their last token long enough ago.
    pub(crate) fn forgotten_before(now: i64) -> i64 {
        now - KEY_LIFETIME_MS - LEAD - ACCESS_LIFETIME_MS - OVERLAP
    }

    /// Signs with the newest key that has been listed for long enough; None when there is no key.
    pub(crate) fn sign(&self, claims: &Claims, now: i64) -> Option<String> {
        let keys = self.0.read();
        let listed = keys.iter().rev().find(|key| key.created_at + LEAD <= now);
        let key = listed.or_else(|| keys.first())?;
        let header =
            Header { typ: Some(TYPE.into()), kid: Some(key.id.clone()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, claims, &key.signs).ok()
    }

    /// Reads a token. With `expired_too`, one that was good says what it said; for sockets that come back to a seat.
    pub(crate) fn read(&self, token: &str, now: i64, expired_too: bool) -> Result<Claims, BadToken> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| BadToken::Invalid)?;
        if header.alg != Algorithm::EdDSA || header.typ.as_deref() != Some(TYPE) || header.crit.is_some() {
            return Err(BadToken::Invalid);
        }
        let keys = self.0.read();
        let key = keys.iter().find(|key| Some(&key.id) == header.kid.as_ref()).ok_or(BadToken::UnknownKey)?;
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_issuer(&[OURSELVES]);
        rules.set_audience(&[OURSELVES]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // By our clock, below: the library knows the system's only.
        rules.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &key.verifies, &rules)
            .map_err(|_| BadToken::Invalid)?
            .claims;
        if claims.iat * SECOND > now + SKEW || claims.exp - claims.iat > ACCESS_LIFETIME_MS / SECOND {
            return Err(BadToken::Invalid);
        }
        if claims.exp * SECOND <= now && !expired_too {
            return Err(BadToken::Expired);
        }
        Ok(claims)
    }

    /// The public keys as a JWK set (RFC 7517, RFC 8037).
    pub(crate) fn jwks(&self) -> Value {
        let keys = self.0.read();
        let key = |key: &Key| {
            json!({
                "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
                "kid": key.id, "x": encode(&key.public),
            })
        };
        json!({ "keys": keys.iter().map(key).collect::<Vec<_>>() })
    }
}

impl Claims {
    pub(crate) fn new(identity: &everplay_types::Identity, now: i64) -> Self {
        Claims {
            iss: OURSELVES.into(),
            aud: OURSELVES.into(),
            sub: identity.id.as_str().into(),
            cus: identity.customer.as_str().into(),
            sid: identity.login.as_str().into(),
            name: identity.name.clone(),
            guest: identity.guest,
            iat: now / SECOND,
            exp: (now + ACCESS_LIFETIME_MS) / SECOND,
        }
    }
}

#[cfg(test)]
mod tests;
