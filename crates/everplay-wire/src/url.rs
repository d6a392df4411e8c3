//! What the URL of an upgrade request says.
//!
//! `/{anything}/{processId}/{roomId}?sessionId=..&reconnectionToken=..&_authToken=..&skipHandshake=1`: the last two
//! segments are the address, everything before belongs to the endpoint. The SDKs append values unescaped, so the query
//! is read leniently; the address is not.

use crate::Dialect;
use std::borrow::Cow;

/// Longest process, room or session id in bytes.
pub const MAX_ID_LEN: usize = 64;

/// Where an upgrade request wants to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target<'a> {
    /// No session: the client only measures how far away the server is.
    Probe,
    /// A seat in a room.
    Seat(SeatUrl<'a>),
}

/// The address and the credentials of a seat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatUrl<'a> {
    /// Which process gave the seat.
    pub process_id: &'a str,
    /// Which room it is in.
    pub room_id: &'a str,
    /// Whose seat it is.
    pub session_id: Cow<'a, str>,
    /// There when the client comes back.
    pub reconnection_token: Option<Cow<'a, str>>,
    /// The client keeps its decoder or has the state's types itself. Counts by presence, whatever its value.
    pub skip_handshake: bool,
    /// The token of the client's account, for those that cannot send headers.
    pub auth_token: Option<Cow<'a, str>>,
    /// What the endpoint says about the SDK.
    pub dialect: Option<Dialect>,
}

/// Why a URL leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// A session but no two segments that could be ids.
    #[error("the path does not end in process and room id")]
    NoRoom,
    /// An id that is empty, longer than [`MAX_ID_LEN`], or has other characters than letters, digits, `_` and `-`.
    #[error("the {0} is not an id")]
    NotAnId(&'static str),
}

/// Reads path and query of an upgrade request. Errors: [`UrlError`].
pub fn parse(target: &str) -> Result<Target<'_>, UrlError> {
    let target = target.split_once('#').map_or(target, |(target, _)| target);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let session_id = query_value(query, "sessionId");
    let mut segments = path.trim_end_matches('/').rsplit('/').filter(|segment| !segment.is_empty());
    let (room_id, process_id) = (segments.next(), segments.next());
    let Some(session_id) = session_id else {
        // Two segments without a session may be a room or an endpoint's path; nobody gets in without a session, and
        // measuring is harmless.
        return Ok(Target::Probe);
    };
    let (Some(room_id), Some(process_id)) = (room_id, process_id) else {
        return Err(UrlError::NoRoom);
    };
    check_id(process_id, "process id")?;
    check_id(room_id, "room id")?;
    check_id(&session_id, "session id")?;
    Ok(Target::Seat(SeatUrl {
        process_id,
        room_id,
        session_id,
        reconnection_token: query_value(query, "reconnectionToken"),
        skip_handshake: query_value(query, "skipHandshake").is_some(),
        auth_token: query_value(query, "_authToken"),
        dialect: Dialect::from_endpoint(path, query),
    }))
}

fn check_id(id: &str, part: &'static str) -> Result<(), UrlError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let valid = (1..=MAX_ID_LEN).contains(&id.len()) && id.bytes().all(allowed);
    if valid { Ok(()) } else { Err(UrlError::NotAnId(part)) }
}

/// The first value of a name. A name without `=` has the empty value. Percent escapes that make UTF-8 are resolved;
/// a plus sign stays one, since nobody escapes it.
pub fn query_value<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| unescape(value))
    })
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = match tail {
            [high, low, ..] if byte == b'%' => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = &tail[2..];
            }
            None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat<'a>(target: &'a str) -> SeatUrl<'a> {
        match parse(target) {
            Ok(Target::Seat(seat)) => seat,
            other => panic!("{target}: {other:?}"),
        }
    }

    #[test]
    fn the_last_two_segments_are_the_address() {
        let plain = seat("/l4UWGD2VQ/eHtgN3-_H?sessionId=l3rHE9VL-");
        assert_eq!((plain.process_id, plain.room_id), ("l4UWGD2VQ", "eHtgN3-_H"));
        assert_eq!(plain.session_id, "l3rHE9VL-");
        assert!(!plain.skip_handshake && plain.reconnection_token.is_none() && plain.dialect.is_none());
        let long = seat(
            "/v17/games/p/r?proto=0.16&x=1&sessionId=s&reconnectionToken=t&_authToken=a.b-c%3d&skipHandshake",
        );
        assert_eq!((long.process_id, long.room_id), ("p", "r"));
        assert_eq!(long.reconnection_token.as_deref(), Some("t"));
        assert_eq!(long.auth_token.as_deref(), Some("a.b-c="));
        assert!(long.skip_handshake);
        assert_eq!(long.dialect, Some(Dialect::V16));
    }

    #[test]
    fn a_latency_probe_has_no_session() {
        for target in ["/", "", "/v17", "/games/shooter?proto=0.17"] {
            assert_eq!(parse(target), Ok(Target::Probe), "{target}");
        }
    }

    #[test]
    fn bad_addresses_are_refused() {
        assert_eq!(parse("/?sessionId=s"), Err(UrlError::NoRoom));
        assert_eq!(parse("/r?sessionId=s"), Err(UrlError::NoRoom));
        assert_eq!(parse("/p/r.x?sessionId=s"), Err(UrlError::NotAnId("room id")));
        assert_eq!(parse("/p%20/r?sessionId=s"), Err(UrlError::NotAnId("process id")));
        assert_eq!(parse("/p/r?sessionId="), Err(UrlError::NotAnId("session id")));
        let long = "x".repeat(65);
        assert_eq!(parse(&format!("/p/{long}?sessionId=s")), Err(UrlError::NotAnId("room id")));
    }

    #[test]
    fn values_are_read_leniently() {
        assert_eq!(query_value("a=%zz&b=%ff&c=1+2&d=%", "a").as_deref(), Some("%zz"));
        assert_eq!(query_value("a=%zz&b=%ff&c=1+2&d=%", "b").as_deref(), Some("%ff"));
        assert_eq!(query_value("a=%zz&b=%ff&c=1+2&d=%", "c").as_deref(), Some("1+2"));
        assert_eq!(query_value("a=%zz&b=%ff&c=1+2&d=%", "d").as_deref(), Some("%"));
        assert_eq!(query_value("a=%zz", "e"), None);
    }
}
