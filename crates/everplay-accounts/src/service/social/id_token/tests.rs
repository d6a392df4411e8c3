//! What ID tokens are refused, each for one reason.

use super::*;
use crate::secret::encode;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

const NOW: i64 = 1_800_000_000;

/// A key of an issuer.
struct Signer {
    kid: &'static str,
    private: Vec<u8>,
    public: String,
}

impl Signer {
    fn new(kid: &'static str) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let private = pair.to_pkcs8().unwrap().as_ref().to_vec();
        Self { kid, private, public: encode(pair.public_key().as_ref()) }
    }

    fn jwk(&self) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": self.public })
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_ed_der(&self.private)).unwrap()
    }
}

fn expected() -> Expected<'static> {
    Expected { issuer: "https://issuer.example", audience: "everplay", nonce: "once", now_seconds: NOW }
}

fn claims() -> Value {
    json!({
        "iss": "https://issuer.example", "aud": "everplay", "sub": "ada", "nonce": "once",
        "iat": NOW, "exp": NOW + 300, "email": "ada@issuer.example", "email_verified": "true",
    })
}

/// The claims with one of them changed, or without it.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

#[test]
fn what_an_issuer_says_of_somebody_for_us_and_now_is_believed() {
    let (one, two) = (Signer::new("one"), Signer::new("two"));
    let keys = KeySet::new(json!({ "keys": [one.jwk(), two.jwk(), { "kty": "of tomorrow" }] })).unwrap();
    for signer in [&one, &two] {
        let person = keys.verify(&signer.sign(&claims()), &expected()).unwrap();
        assert_eq!((person.subject.as_str(), person.email_verified), ("ada", true));
    }
    let mut several = with("aud", json!(["another", "everplay"]));
    several["azp"] = json!("everplay");
    assert!(keys.verify(&one.sign(&several), &expected()).is_ok());
    assert!(
        keys.verify(&one.sign(&with("exp", json!(NOW - 30))), &expected()).is_ok(),
        "clocks differ a little"
    );
    let unverified = keys.verify(&one.sign(&with("email_verified", json!("maybe"))), &expected()).unwrap();
    assert!(!unverified.email_verified);
}

#[test]
fn everything_else_is_refused() {
    let (one, two) = (Signer::new("one"), Signer::new("two"));
    let keys = KeySet::new(json!({ "keys": [one.jwk(), two.jwk()] })).unwrap();
    let refused = |why: &str, token: String| {
        let verified = keys.verify(&token, &expected());
        assert!(matches!(verified, Err(SocialProblem::Proof(_))), "{why}: {:?}", verified.is_ok());
    };
    for (why, name, value) in [
        ("for another", "aud", json!("another")),
        ("for several, and for another first", "aud", json!(["another", "everplay"])),
        ("for nobody", "aud", Value::Null),
        ("of another issuer", "iss", json!("https://evil.example")),
        ("of no issuer", "iss", Value::Null),
        ("over", "exp", json!(NOW - 61)),
        ("of tomorrow", "iat", json!(NOW + 61)),
        ("an answer to another request", "nonce", json!("twice")),
        ("an answer to no request", "nonce", Value::Null),
        ("about nobody", "sub", json!("")),
        ("about somebody with a very long name", "sub", json!("x".repeat(256))),
    ] {
        refused(why, one.sign(&with(name, value)));
    }
    let named =
        |kid: Option<&str>, alg: Algorithm| Header { kid: kid.map(str::to_owned), ..Header::new(alg) };
    let ed = |kid, signer: &Signer| {
        let key = EncodingKey::from_ed_der(&signer.private);
        jsonwebtoken::encode(&named(kid, Algorithm::EdDSA), &claims(), &key).unwrap()
    };
    refused("signed by somebody else", ed(Some("one"), &two));
    refused("signed by a key nobody knows", ed(Some("three"), &one));
    refused("of a key that is not named, where there are two", ed(None, &one));
    // The public key, which everybody has, taken for a shared secret.
    let shared = EncodingKey::from_secret(one.public.as_bytes());
    refused(
        "signed with the public key",
        jsonwebtoken::encode(&named(Some("one"), Algorithm::HS256), &claims(), &shared).unwrap(),
    );
    let [header, body] =
        [json!({ "alg": "none", "kid": "one" }), claims()].map(|part| encode(part.to_string().as_bytes()));
    refused("signed by nobody", format!("{header}.{body}."));
    let good = one.sign(&claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (head, _) = signed.split_once('.').unwrap();
    let other = encode(with("sub", json!("eve")).to_string().as_bytes());
    refused("changed afterwards", format!("{head}.{other}.{signature}"));
    refused("cut off", signed.to_owned());
    refused("nothing", String::new());
}
