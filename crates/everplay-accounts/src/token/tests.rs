//! What tokens are refused, each for one reason.

use super::*;
use everplay_types::{Identity, Roles};
use jsonwebtoken::jwk::Jwk;

const NOW: i64 = 1_800_000_000_000;

fn identity() -> Identity {
    Identity {
        customer: Default::default(),
        id: "ada".parse().unwrap(),
        login: "login".parse().unwrap(),
        name: "Ada".into(),
        guest: false,
        roles: Roles::default(),
        second_factor: false,
    }
}

fn ring(made_at: &[i64]) -> (Keyring, Vec<StoredKey>) {
    let sealer = Sealer::new(&[1; 32]);
    let stored: Vec<StoredKey> = made_at.iter().map(|at| draw_key(&sealer, *at)).collect();
    let ring = Keyring::new();
    assert_eq!(ring.load(&stored, &sealer), 0);
    (ring, stored)
}

fn forge(header: Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

fn private(stored: &StoredKey) -> EncodingKey {
    EncodingKey::from_ed_der(&Sealer::new(&[1; 32]).open(&place(&stored.id), &stored.private).unwrap())
}

#[test]
fn a_token_lives_fifteen_minutes() {
    let (ring, _) = ring(&[NOW - DAY]);
    let claims = Claims::new(&identity(), NOW);
    let token = ring.sign(&claims, NOW).unwrap();
    assert_eq!(ring.read(&token, NOW + 15 * MINUTE - 1, false), Ok(claims.clone()));
    assert_eq!(ring.read(&token, NOW + 15 * MINUTE, false), Err(BadToken::Expired));
    assert_eq!(ring.read(&token, NOW + 15 * MINUTE, true), Ok(claims));
    assert_eq!(ring.read(&token, NOW - 2 * MINUTE, false), Err(BadToken::Invalid), "issued in the future");
    assert!(ring.read(&token, NOW - 30 * SECOND, false).is_ok(), "clocks differ a little");
}

#[test]
fn a_successor_is_listed_before_it_signs_and_the_old_key_stays_accepted() {
    let (ring, stored) = ring(&[NOW - 90 * DAY, NOW]);
    let signer = |now| {
        let token = ring.sign(&Claims::new(&identity(), now), now).unwrap();
        (jsonwebtoken::decode_header(&token).unwrap().kid.unwrap(), token)
    };
    let (old, token) = signer(NOW + 9 * MINUTE);
    assert_eq!(old, stored[0].id);
    assert_eq!(signer(NOW + 10 * MINUTE).0, stored[1].id);
    assert!(ring.read(&token, NOW + 20 * MINUTE, false).is_ok());
    assert_eq!(ring.jwks()["keys"].as_array().unwrap().len(), 2);
    assert!(!ring.wants_key(NOW + 89 * DAY) && ring.wants_key(NOW + 90 * DAY));
    assert!(stored[0].created_at > Keyring::forgotten_before(NOW + DAY));
    assert!(stored[0].created_at < Keyring::forgotten_before(NOW + DAY + HOUR_OF_SLACK));
}

const HOUR_OF_SLACK: i64 = 60 * MINUTE;

#[test]
fn a_key_sealed_by_another_secret_is_left_out() {
    let (_, stored) = ring(&[NOW]);
    assert_eq!(Keyring::new().load(&stored, &Sealer::new(&[2; 32])), 1);
}

#[test]
fn forgeries_are_refused() {
    let (ring, stored) = ring(&[NOW - DAY]);
    let good = serde_json::to_value(Claims::new(&identity(), NOW)).unwrap();
    let header = || Header {
        typ: Some(TYPE.into()),
        kid: Some(stored[0].id.clone()),
        ..Header::new(Algorithm::EdDSA)
    };
    let ours = private(&stored[0]);
    assert!(ring.read(&forge(header(), &good, &ours), NOW, false).is_ok());
    let refused = |token: String| ring.read(&token, NOW, false).unwrap_err();

    // No signature at all, in every spelling of "none".
    for alg in ["none", "None", "NONE", "nOnE"] {
        let head = encode(json!({ "alg": alg, "typ": TYPE, "kid": stored[0].id }).to_string().as_bytes());
        let body = encode(good.to_string().as_bytes());
        assert_eq!(refused(format!("{head}.{body}.")), BadToken::Invalid, "{alg}");
    }
    // The public key, which everybody has, as the secret of a symmetric algorithm.
    let mixed = Header { alg: Algorithm::HS256, ..header() };
    assert_eq!(refused(forge(mixed, &good, &EncodingKey::from_secret(&stored[0].public))), BadToken::Invalid);
    // Somebody else's key under our key's name, also when the token brings the key along.
    let stranger = Ed25519KeyPair::generate().unwrap();
    let theirs = EncodingKey::from_ed_der(stranger.to_pkcs8().unwrap().as_ref());
    assert_eq!(refused(forge(header(), &good, &theirs)), BadToken::Invalid);
    let jwk: Jwk = serde_json::from_value(json!({
        "kty": "OKP", "crv": "Ed25519", "x": encode(stranger.public_key().as_ref()),
    }))
    .unwrap();
    let url = || Some("https://evil.example/keys".to_owned());
    let carried = Header { jwk: Some(jwk), jku: url(), x5u: url(), ..header() };
    assert_eq!(refused(forge(carried, &good, &theirs)), BadToken::Invalid);
    // A key's name is a name: no path, no query.
    for kid in ["../../../../dev/null", "' OR '1'='1", "", "default"] {
        let named = Header { kid: Some(kid.into()), ..header() };
        assert_eq!(refused(forge(named, &good, &ours)), BadToken::UnknownKey, "{kid}");
    }
    assert_eq!(refused(forge(Header { kid: None, ..header() }, &good, &ours)), BadToken::UnknownKey);
    // Tokens of ours for something else.
    for typ in [Some("JWT"), Some("refresh+jwt"), None] {
        let other = Header { typ: typ.map(str::to_owned), ..header() };
        assert_eq!(refused(forge(other, &good, &ours)), BadToken::Invalid, "{typ:?}");
    }
    let critical = Header { crit: Some(vec!["b64".into()]), ..header() };
    assert_eq!(refused(forge(critical, &good, &ours)), BadToken::Invalid);
    // Claims that are wrong, missing, or too generous.
    for (claim, wrong) in [
        ("iss", json!("evil")),
        ("aud", json!("another service")),
        ("aud", json!(["another service"])),
        ("exp", json!(NOW / 1000 + 86_400)),
        ("exp", json!(NOW / 1000 - 1)),
        ("iat", json!(NOW / 1000 + 120)),
        ("exp", json!("soon")),
    ] {
        let mut claims = good.clone();
        claims[claim] = wrong.clone();
        refused(forge(header(), &claims, &ours));
        claims.as_object_mut().unwrap().remove(claim);
        assert_eq!(refused(forge(header(), &claims, &ours)), BadToken::Invalid, "without {claim}");
    }
    // One bit of each part.
    let token = forge(header(), &good, &ours);
    for at in [5, token.find('.').unwrap() + 9, token.rfind('.').unwrap() + 7] {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        refused(String::from_utf8(bytes).unwrap());
    }
    for junk in ["", ".", "..", "a.b.c", "a.b.c.d", &"A".repeat(4000)] {
        refused(junk.to_owned());
    }
}
