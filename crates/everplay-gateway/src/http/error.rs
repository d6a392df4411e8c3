//! The error envelope of every route that is not Colyseus's:
//! `{"error":{"code","message","details","timestamp","requestId"}}`.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use everplay_types::timestamp;
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Name of one request, in logs, in the answer's `x-request-id` and in error envelopes.
///
/// Taken from the request's own `x-request-id` when that is at most 64 letters, digits, `_`, `-` or `.`; else drawn.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// Longest id taken over from a request.
    const MAX_LEN: usize = 64;

    pub(crate) fn of(given: Option<&HeaderValue>) -> Self {
        let given = given.and_then(|value| value.to_str().ok()).filter(|text| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
            (1..=Self::MAX_LEN).contains(&text.len()) && text.bytes().all(allowed)
        });
        match given {
            Some(text) => RequestId(Arc::from(text)),
            None => RequestId(Arc::from(format!("{:016x}", rand::random::<u64>()))),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("its alphabet is that of header values")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({})", self.0)
    }
}

/// An error answer: a stable code for programs, a sentence for people.
pub(crate) struct Envelope<'a> {
    pub(crate) status: StatusCode,
    /// Stable; upper case with underscores.
    pub(crate) code: &'a str,
    pub(crate) message: &'a str,
    pub(crate) details: Value,
}

impl<'a> Envelope<'a> {
    pub(crate) fn new(status: StatusCode, code: &'a str, message: &'a str) -> Self {
        Envelope { status, code, message, details: Value::Null }
    }

    pub(crate) fn body(&self, id: &RequestId) -> String {
        json!({"error": {
            "code": self.code,
            "message": self.message,
            "details": self.details,
            "timestamp": timestamp(now_ms()),
            "requestId": id.as_str(),
        }})
        .to_string()
    }

    pub(crate) fn response(&self, id: &RequestId) -> Response<Body> {
        json_response(self.status, self.body(id))
    }
}

/// A JSON answer with a length, never chunked: some SDKs cannot read chunks.
pub(crate) fn json_response(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A plain text answer.
pub(crate) fn text_response(status: StatusCode, text: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_of_strangers_are_checked() {
        let given = |text: &'static str| RequestId::of(Some(&HeaderValue::from_static(text)));
        assert_eq!(given("a-1_b.c").as_str(), "a-1_b.c");
        assert_ne!(given("a b").as_str(), "a b");
        assert_eq!(RequestId::of(None).as_str().len(), 16);
    }
}
