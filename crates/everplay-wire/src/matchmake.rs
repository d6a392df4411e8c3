//! The matchmaking routes: paths, JSON bodies, statuses and headers.
//!
//! `POST {endpoint}/matchmake/{method}/{room name or id}` with the join options as body, answered with a seat
//! ([`SeatReservation`]) or an error ([`ErrorBody`] under [`http_status`]).

use crate::Dialect;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// How a client wants to get into a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Into an open room that fits, or into a new one.
    JoinOrCreate,
    /// Into a new room.
    Create,
    /// Into an open room that fits.
    Join,
    /// Into that room.
    JoinById,
    /// Back into that room, with a reconnection token in the body.
    Reconnect,
}

impl Method {
    /// The path segment.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::JoinOrCreate => "joinOrCreate",
            Method::Create => "create",
            Method::Join => "join",
            Method::JoinById => "joinById",
            Method::Reconnect => "reconnect",
        }
    }

    /// From the path segment.
    pub fn from_segment(segment: &str) -> Option<Self> {
        [Method::JoinOrCreate, Method::Create, Method::Join, Method::JoinById, Method::Reconnect]
            .into_iter()
            .find(|method| method.as_str() == segment)
    }
}

/// A matchmaking path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route<'a> {
    /// The method as it was sent; [`Method::from_segment`] knows the valid ones.
    pub method: &'a str,
    /// Room name, or room id for joinById and reconnect. Not percent-decoded: the SDKs do not escape it.
    pub name: &'a str,
    /// What the endpoint says about the SDK.
    pub dialect: Option<Dialect>,
}

impl<'a> Route<'a> {
    /// Reads a request's path and query: the last three segments are `matchmake`, method and name; what is before
    /// them belongs to the endpoint. `None` when it is another route.
    pub fn parse(target: &'a str) -> Option<Self> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut segments = path.rsplitn(4, '/');
        let (name, method, route) = (segments.next()?, segments.next()?, segments.next()?);
        segments.next()?;
        let found = route == "matchmake" && !method.is_empty() && !name.is_empty();
        found.then(|| Route { method, name, dialect: Dialect::from_endpoint(path, query) })
    }
}

/// The join options of a body. No body and an empty list (Lua's empty table) are no options.
///
/// Errors: when it is not JSON; the answer is status 400 with [`MALFORMED_BODY`].
pub fn parse_options(body: &[u8]) -> Result<Json, serde_json::Error> {
    if body.trim_ascii().is_empty() {
        return Ok(Json::Object(Default::default()));
    }
    match serde_json::from_slice(body)? {
        Json::Array(items) if items.is_empty() => Ok(Json::Object(Default::default())),
        options => Ok(options),
    }
}

/// The body of the answer to a body that is not JSON.
pub const MALFORMED_BODY: &str = r#"{"error":"malformed request body"}"#;

/// The body of a reconnect request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconnectBody {
    /// The token of the connection that was lost.
    #[serde(rename = "reconnectionToken")]
    pub reconnection_token: String,
}

/// A seat that waits for its client. Written in the union of both shapes: 0.17 and newer read the outer fields, 0.16
/// the `room`. Answer it with a Content-Length: some clients cannot read chunks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[serde(from = "AnyReservation")]
pub struct SeatReservation {
    /// The room's name, that is its kind.
    pub name: String,
    /// First segment of the WebSocket path.
    pub process_id: String,
    /// Second segment of the WebSocket path.
    pub room_id: String,
    /// The seat, and the session of whoever takes it.
    pub session_id: String,
    /// Host, port and path prefix to connect to instead of the endpoint's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_address: Option<String>,
    /// For 0.16: what the other generations have outside.
    pub room: RoomListing,
}

/// The room of a [`SeatReservation`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomListing {
    /// The room's name, that is its kind.
    pub name: String,
    /// First segment of the WebSocket path.
    pub process_id: String,
    /// Second segment of the WebSocket path.
    pub room_id: String,
    /// Clients and seats, with this one.
    #[serde(default)]
    pub clients: u32,
    /// `null` when there is no limit.
    #[serde(default)]
    pub max_clients: Option<u32>,
    /// Host, port and path prefix to connect to instead of the endpoint's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_address: Option<String>,
}

impl SeatReservation {
    /// A seat in the shape for every SDK.
    pub fn new(session_id: String, room: RoomListing) -> Self {
        Self {
            name: room.name.clone(),
            process_id: room.process_id.clone(),
            room_id: room.room_id.clone(),
            session_id,
            public_address: room.public_address.clone(),
            room,
        }
    }

    /// Path and query of the WebSocket, without a scheme and host and without the endpoint's own.
    pub fn websocket_path(&self) -> String {
        format!("/{}/{}?sessionId={}", self.process_id, self.room_id, self.session_id)
    }
}

/// What the official servers answer: one of both shapes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", untagged)]
enum AnyReservation {
    #[serde(rename_all = "camelCase")]
    Nested { room: RoomListing, session_id: String },
    #[serde(rename_all = "camelCase")]
    Flat {
        session_id: String,
        #[serde(flatten)]
        room: RoomListing,
    },
}

impl From<AnyReservation> for SeatReservation {
    fn from(any: AnyReservation) -> Self {
        match any {
            AnyReservation::Nested { room, session_id } | AnyReservation::Flat { room, session_id } => {
                Self::new(session_id, room)
            }
        }
    }
}

/// The body of an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The error's code. 0.17 and newer take the HTTP status instead; 0.16 and people read this one.
    pub code: i32,
    /// For people.
    pub error: String,
}

/// The status under which an error of that code is answered: the code itself when it is an error status, else 523.
///
/// SDKs of 0.17 and newer take the status for the code. An application's code outside of 400..=599 cannot be a status,
/// so those SDKs see 523 and the body holds the real one.
pub fn http_status(code: i32) -> u16 {
    match u16::try_from(code) {
        Ok(status @ 400..=599) => status,
        _ => UNHANDLED,
    }
}

const UNHANDLED: u16 = 523;

/// The headers of every answer, errors and preflights (204, empty body) included.
///
/// The origin is repeated instead of `*` because the SDKs send credentials.
pub fn cors_headers(origin: Option<&str>) -> [(&'static str, &str); 5] {
    [
        ("access-control-allow-headers", "Origin, X-Requested-With, Content-Type, Accept, Authorization"),
        ("access-control-allow-methods", "GET,HEAD,PUT,PATCH,POST,DELETE"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-origin", origin.unwrap_or("*")),
        ("access-control-max-age", "2592000"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_after_any_prefix() {
        let route = |target| Route::parse(target).map(|route| (route.method, route.name, route.dialect));
        assert_eq!(route("/matchmake/joinOrCreate/main"), Some(("joinOrCreate", "main", None)));
        assert_eq!(route("/v17/matchmake/join/x?a=b"), Some(("join", "x", Some(Dialect::V17))));
        assert_eq!(route("/games/matchmake/nope/x"), Some(("nope", "x", None)));
        assert_eq!(route("/matchmake/join/"), None);
        assert_eq!(route("/matchmake/join"), None);
        assert_eq!(route("matchmake/join/x"), None);
        assert_eq!(route("/x"), None);
        assert_eq!(Method::from_segment("nope"), None);
        assert_eq!(Method::from_segment("joinById"), Some(Method::JoinById));
    }

    #[test]
    fn no_options_come_in_three_ways() {
        for body in ["", " ", "{}", "[]"] {
            assert_eq!(parse_options(body.as_bytes()).unwrap(), serde_json::json!({}), "{body:?}");
        }
        assert!(parse_options(b"{").is_err());
    }

    #[test]
    fn codes_that_are_no_statuses_are_523() {
        let statuses = [520, 401, 400, 599, 4212, 399, 600, 0, -1].map(http_status);
        assert_eq!(statuses, [520, 401, 400, 599, 523, 523, 523, 523, 523]);
    }

    #[test]
    fn a_reservation_has_both_shapes() {
        let listing = RoomListing {
            name: "main".into(),
            process_id: "p".into(),
            room_id: "r".into(),
            clients: 1,
            max_clients: None,
            public_address: None,
        };
        let seat = SeatReservation::new("s".into(), listing);
        let json = serde_json::to_string(&seat).unwrap();
        assert_eq!(
            json,
            r#"{"name":"main","processId":"p","roomId":"r","sessionId":"s","room":{"name":"main","processId":"p","roomId":"r","clients":1,"maxClients":null}}"#
        );
        assert_eq!(serde_json::from_str::<SeatReservation>(&json).unwrap(), seat);
        let flat = r#"{"name":"main","sessionId":"s","roomId":"r","processId":"p"}"#;
        assert_eq!(serde_json::from_str::<SeatReservation>(flat).unwrap().room_id, "r");
        assert_eq!(seat.websocket_path(), "/p/r?sessionId=s");
    }
}
