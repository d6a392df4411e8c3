//! ID tokens of other issuers (OpenID Connect Core, 3.1.3.7).

use super::{Person, SocialProblem};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;

/// What a token must say.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) audience: &'a str,
    pub(super) nonce: &'a str,
    pub(super) now_seconds: i64,
}

/// How far an issuer's clock may be from ours.
const SKEW_SECONDS: i64 = 60;

#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    aud: Value,
    #[serde(default)]
    azp: Option<String>,
    exp: i64,
    iat: i64,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    preferred_username: Option<String>,
    #[serde(default)]
    email: Option<String>,
    /// Some issuers write it as a text.
    #[serde(default)]
    email_verified: Value,
    #[serde(default)]
    picture: Option<String>,
}

/// The issuer's keys that sign.
pub(super) struct KeySet(Vec<Jwk>);

fn bad(problem: impl ToString) -> SocialProblem {
    SocialProblem::Proof(problem.to_string())
}

/// The name of the key a token says it is signed with.
pub(super) fn key_of(token: &str) -> Result<Option<String>, SocialProblem> {
    Ok(jsonwebtoken::decode_header(token).map_err(bad)?.kid)
}

impl KeySet {
    /// Keys of kinds we do not know are left out.
    pub(super) fn new(set: Value) -> Result<Self, SocialProblem> {
        let keys = set["keys"].as_array().ok_or_else(|| bad("the key set has no keys"))?;
        let read = |key: &Value| serde_json::from_value::<Jwk>(key.clone()).ok();
        Ok(KeySet(JwkSet { keys: keys.iter().filter_map(read).collect() }.keys))
    }

    pub(super) fn has(&self, kid: Option<&str>) -> bool {
        self.find(kid).is_some()
    }

    fn find(&self, kid: Option<&str>) -> Option<&Jwk> {
        match kid {
            Some(_) => self.0.iter().find(|key| key.common.key_id.as_deref() == kid),
            // Without a name only when there is nothing to choose.
            None => (self.0.len() == 1).then(|| &self.0[0]),
        }
    }

    /// Who the token names, if it is what it must be.
    pub(super) fn verify(&self, token: &str, expected: &Expected<'_>) -> Result<Person, SocialProblem> {
        let header = jsonwebtoken::decode_header(token).map_err(bad)?;
        let key = self.find(header.kid.as_deref()).ok_or_else(|| bad("the ID token's key is unknown"))?;
        // The key decides which algorithms may be; a symmetric one is never among them.
        if !algorithms(key).contains(&header.alg) {
            return Err(bad("the ID token's algorithm is not its key's"));
        }
        let mut rules = Validation::new(header.alg);
        rules.set_issuer(&[expected.issuer]);
        rules.set_audience(&[expected.audience]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules.validate_exp = false;
        let decoding = DecodingKey::from_jwk(key).map_err(bad)?;
        let claims = jsonwebtoken::decode::<Claims>(token, &decoding, &rules).map_err(bad)?.claims;
        if claims.exp + SKEW_SECONDS < expected.now_seconds
            || claims.iat > expected.now_seconds + SKEW_SECONDS
        {
            return Err(bad("the ID token is not of now"));
        }
        if claims.aud.as_array().is_some_and(|all| all.len() > 1)
            && claims.azp.as_deref() != Some(expected.audience)
        {
            return Err(bad("the ID token is for several, and not for us first"));
        }
        if claims.nonce.as_deref() != Some(expected.nonce) {
            return Err(bad("the ID token answers another request"));
        }
        if claims.sub.is_empty() || claims.sub.len() > 255 {
            return Err(bad("the ID token names nobody"));
        }
        Ok(Person {
            subject: claims.sub,
            name: claims.name.or(claims.preferred_username),
            email: claims.email,
            email_verified: claims.email_verified == Value::Bool(true) || claims.email_verified == "true",
            picture: claims.picture,
        })
    }
}

fn algorithms(key: &Jwk) -> &'static [Algorithm] {
    match &key.algorithm {
        AlgorithmParameters::RSA(_) => &[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(_) => &[Algorithm::EdDSA],
        _ => &[],
    }
}

#[cfg(test)]
mod tests;
