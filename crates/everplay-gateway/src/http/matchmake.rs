//! The Colyseus matchmaking routes, with their own error form.

use super::body::{Bound, Verdict};
use super::error::{json_response, text_response};
use crate::metrics::Refusal;
use crate::rooms::{ClientInfo, MatchError, MatchRequest};
use crate::server::Shared;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use everplay_types::ErrorCode;
use everplay_wire::Dialect;
use everplay_wire::matchmake::{ErrorBody, MALFORMED_BODY, Method, http_status, parse_options};
use std::sync::Arc;

/// Answers `POST .../matchmake/{method}/{target}`.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    method: &str,
    target: String,
    dialect: Option<Dialect>,
    client: ClientInfo,
    body: Body,
    verdict: &Verdict,
) -> Response<Body> {
    if !shared.takes_players() {
        shared.metrics.refuse(Refusal::Draining);
        // As the official server during its graceful shutdown: no body.
        return text_response(StatusCode::SERVICE_UNAVAILABLE, Body::empty());
    }
    // Bounded by the body itself.
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return unreadable(shared, verdict.get().copied());
    };
    let Some(method) = Method::from_segment(method) else {
        shared.metrics.refuse(Refusal::Matchmake);
        return refusal(i32::from(ErrorCode::NO_HANDLER.0), format!("invalid method \"{method}\""));
    };
    let Ok(options) = parse_options(&body) else {
        shared.metrics.refuse(Refusal::MalformedBody);
        return json_response(StatusCode::BAD_REQUEST, MALFORMED_BODY.to_owned());
    };
    drop(body);
    let started = tokio::time::Instant::now();
    let reserving = shared.rooms.matchmake(MatchRequest { method, target, options, dialect, client });
    let reserved = tokio::time::timeout(shared.options.limits.matchmake, reserving).await;
    shared.metrics.matchmake_seconds.record(started.elapsed().as_secs_f64());
    match reserved {
        Ok(Ok(seat)) => {
            let body = serde_json::to_string(&seat).expect("strings and numbers are always JSON");
            json_response(StatusCode::OK, body)
        }
        Ok(Err(MatchError { code, message, retry_after })) => {
            let too_often = code == i32::from(StatusCode::TOO_MANY_REQUESTS.as_u16());
            shared.metrics.refuse(if too_often { Refusal::MatchmakeRate } else { Refusal::Matchmake });
            let mut response = refusal(code, message);
            if let Some(wait) = retry_after {
                // Whole seconds, rounded up: coming at the second told is never too early.
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
            }
            response
        }
        Err(_) => {
            shared.metrics.refuse(Refusal::MatchmakeTimeout);
            refusal(i32::from(ErrorCode::UNHANDLED.0), "the server is too busy".to_owned())
        }
    }
}

fn refusal(code: i32, message: String) -> Response<Body> {
    let status = StatusCode::from_u16(http_status(code)).expect("400 to 599 are statuses");
    let body = serde_json::to_string(&ErrorBody { code, error: message });
    json_response(status, body.expect("strings and numbers are always JSON"))
}

/// The body did not come whole. In the Colyseus form, because it is a Colyseus route.
fn unreadable(shared: &Shared, bound: Option<Bound>) -> Response<Body> {
    let (status, refused, message) = match bound {
        Some(Bound::Size) => (StatusCode::PAYLOAD_TOO_LARGE, Refusal::BodySize, "request body too large"),
        Some(Bound::Time) => (StatusCode::REQUEST_TIMEOUT, Refusal::BodyTimeout, "request body too slow"),
        None => (StatusCode::BAD_REQUEST, Refusal::BadRequest, "request body incomplete"),
    };
    shared.metrics.refuse(refused);
    refusal(i32::from(status.as_u16()), message.to_owned())
}
