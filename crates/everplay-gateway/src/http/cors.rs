//! CORS as the SDKs need it, on every answer: they send credentials, so the origin is repeated.
//!
//! What the official server allows is allowed here, and what our services take and tell besides.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use everplay_wire::matchmake::cors_headers;

const ALLOWED: HeaderName = header::ACCESS_CONTROL_ALLOW_HEADERS;
/// Request headers of our services that a page may send, besides the SDKs'.
const ALSO_ALLOWED: &str = "Idempotency-Key, If-None-Match, X-Request-Id";
/// Headers of answers that a page may read.
const EXPOSED: &str = "Retry-After, RateLimit, RateLimit-Policy, ETag, everplay-service, x-request-id";

/// Adds the headers. An application's own value for one of them stays.
pub(super) fn apply(headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
    let origin = origin.and_then(|origin| origin.to_str().ok());
    for (name, value) in cors_headers(origin) {
        let name = HeaderName::from_static(name);
        let also = if name == ALLOWED { format!("{value}, {ALSO_ALLOWED}") } else { value.to_owned() };
        let value =
            HeaderValue::from_str(&also).expect("constants, and an origin that was a header value before");
        headers.entry(name).or_insert(value);
    }
    headers.entry(header::ACCESS_CONTROL_EXPOSE_HEADERS).or_insert(HeaderValue::from_static(EXPOSED));
}
