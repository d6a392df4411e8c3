//! Health for people and machines.
//!
//! `/health/live` says that the process answers, nothing else: a store that blinks must not get the process killed.
//! `/health/ready` says whether players may come to this server rather than to another: a store that all servers share is no
//! part of it, since a balancer that took all of them out at once would close the sockets of rooms that only wait for it.
//! `/__healthcheck` is Colyseus's.
//!
//! `/health` gives details. Its fields `status` and `redis`, and 503 when either is bad, are what servers of this kind
//! answered before; a balancer may look at it, whoever restarts processes looks at `/health/live`.

use super::error::{Envelope, RequestId, json_response, text_response};
use super::{FORWARDED_FOR, bearer};
use crate::metrics::Route;
use crate::rooms::Readiness;
use crate::server::Shared;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use serde_json::json;
use std::net::SocketAddr;

/// What is asked, and by whom.
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) peer: SocketAddr,
    pub(super) headers: &'a HeaderMap,
}

/// Metrics tell how much is played: they are for who has the key, and without one for programs of this machine that did not
/// come through a proxy.
fn may_read_metrics(shared: &Shared, asked: &Asked<'_>) -> Result<(), Envelope<'static>> {
    let Some(key) = &shared.metrics_key else {
        let forwarded = [FORWARDED_FOR, "forwarded", "x-real-ip", "via"];
        let direct = !forwarded.iter().any(|name| asked.headers.contains_key(*name));
        if asked.peer.ip().to_canonical().is_loopback() && direct {
            return Ok(());
        }
        let message = "metrics are told to programs of this machine; set a key to read them from elsewhere";
        return Err(Envelope::new(StatusCode::FORBIDDEN, "FORBIDDEN", message));
    };
    match bearer(asked.headers) {
        Some(shown) if same(shown.as_bytes(), key.as_bytes()) => Ok(()),
        _ => Err(Envelope::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", "show the key of the metrics")),
    }
}

/// Looks at every byte, so that the time it takes tells nothing of where they differ.
fn same(shown: &[u8], key: &[u8]) -> bool {
    shown.len() == key.len() && shown.iter().zip(key).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// The answer, if the path is one of these routes.
pub(super) fn answer(shared: &Shared, id: &RequestId, asked: &Asked<'_>) -> Option<(Route, Response<Body>)> {
    if asked.method != Method::GET && asked.method != Method::HEAD {
        return None;
    }
    let response = match asked.path {
        "/__healthcheck" => text_response(StatusCode::OK, "OK"),
        "/health/live" => json_response(StatusCode::OK, json!({"status": "live"}).to_string()),
        "/health/ready" => match shared.readiness() {
            Readiness::Ready => json_response(StatusCode::OK, json!({"status": "ready"}).to_string()),
            Readiness::NotReady(reason) => {
                Envelope::new(StatusCode::SERVICE_UNAVAILABLE, "NOT_READY", &reason).response(id)
            }
        },
        "/health" => {
            let (ready, reason) = match shared.readiness() {
                Readiness::Ready => (true, None),
                Readiness::NotReady(reason) => (false, Some(reason)),
            };
            let redis = shared.rooms.redis();
            let healthy = ready && redis != Some(false);
            let body = json!({
                "status": if healthy { "healthy" } else { "unhealthy" },
                "redis": match redis {
                    Some(true) => "connected",
                    Some(false) => "disconnected",
                    None => "disabled",
                },
                "ready": ready,
                "reason": reason,
                "gateway": {"phase": shared.phase().as_str(), "sockets": shared.sockets(), "connections": shared.registry.len()},
                "rooms": shared.rooms.health(),
            });
            let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            json_response(status, body.to_string())
        }
        "/metrics" => {
            let render = shared.render_metrics.as_ref()?;
            if let Err(refusal) = may_read_metrics(shared, asked) {
                return Some((Route::Metrics, refusal.response(id)));
            }
            let mut response = text_response(StatusCode::OK, render());
            let prometheus = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, prometheus);
            return Some((Route::Metrics, response));
        }
        _ => return None,
    };
    Some((Route::Health, response))
}
