//! CORS as the SDKs need it, on every answer: they send credentials, so the origin is repeated.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use everplay_wire::matchmake::cors_headers;

/// Adds the headers. An application's own value for one of them stays.
pub(super) fn apply(headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
    let origin = origin.and_then(|origin| origin.to_str().ok());
    for (name, value) in cors_headers(origin) {
        let name = HeaderName::from_static(name);
        let value =
            HeaderValue::from_str(value).expect("constants, and an origin that was a header value before");
        headers.entry(name).or_insert(value);
    }
    // The answer depends on the origin: a shared cache must not give one origin's answer to another.
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}
