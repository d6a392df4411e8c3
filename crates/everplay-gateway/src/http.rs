//! One request: which route it is, and what every answer carries.
//!
//! ```text
//! OPTIONS                        -> 204
//! upgrade                        -> socket::upgrade (a room, a latency probe, or a socket of the application), unless
//!                                   the application's router answers it
//! POST .../matchmake/{m}/{name}  -> matchmake
//! GET  /__healthcheck /health...  -> health
//! GET  /metrics                  -> the program's recorder
//! anything else                  -> the application's router
//! ```
//!
//! Invariants: every answer has the CORS headers, `x-request-id` and `everplay-service`; every body has a length; whatever is not a
//! Colyseus route and fails says so in the error envelope, also the router's bare 404 and 405.

mod access;
mod body;
mod cors;
pub(crate) mod error;
mod health;
mod matchmake;

use crate::metrics::{Refusal, Route};
use crate::rooms::ClientInfo;
use crate::server::{Shared, Slot, SocketSlot};
use crate::socket;
use access::Access;
use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use body::{Bound, BoundedBody, Verdict};
use error::{Envelope, RequestId};
use everplay_wire::matchmake::Route as MatchRoute;
use hyper::body::Incoming;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tower::ServiceExt;
use tracing::Instrument;

/// Header with the request's name.
const REQUEST_ID: &str = "x-request-id";
/// Header with the addresses a request came by.
const FORWARDED_FOR: &str = "x-forwarded-for";
/// Header with how much of the service there is.
const SERVICE: &str = "everplay-service";

/// Answers one request.
pub(crate) async fn answer(
    shared: &Arc<Shared>,
    slot: &Arc<Slot>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let id = RequestId::of(request.headers().get(REQUEST_ID));
    let origin = request.headers().get(header::ORIGIN).cloned();
    let is_head = request.method() == Method::HEAD;
    let guarded = shared.staff.guards(request.uri().path());
    let access = Access::begin(request.method(), || client_ip(shared, peer, request.headers()));
    // Whatever is logged on the way to the answer says of which request.
    let span = tracing::info_span!("request", request.id = %id);
    let (route, mut response) = dispatch(shared, slot, peer, &id, request).instrument(span).await;
    shared.metrics.answered(route, response.status().as_u16());
    if let Some(access) = access {
        access.end(route, &id, &response);
    }
    if is_bare_refusal(&response) && !is_head {
        response = envelope_of(response, &id);
    }
    if !guarded || origin.as_ref().is_some_and(|origin| shared.staff.comes_from(origin)) {
        cors::apply(response.headers_mut(), origin.as_ref());
    }
    // The answer depends on the origin: a shared cache must not give one origin's answer to another.
    response.headers_mut().append(header::VARY, HeaderValue::from_static("origin"));
    guard(response.headers_mut(), shared.https);
    response.headers_mut().insert(REQUEST_ID, id.header());
    if let Some(level) = shared.rooms.service() {
        response.headers_mut().entry(SERVICE).or_insert(HeaderValue::from_static(level));
    }
    response
}

/// Data is never a document: nothing in it may load, run, frame or be framed.
const DATA_POLICY: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// A year, as browsers that keep lists of such hosts want it.
const ONLY_HTTPS: &str = "max-age=31536000; includeSubDomains";

/// What browsers are told of every answer, unless it says it itself.
fn guard(headers: &mut HeaderMap, https: bool) {
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    let is_data = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/json") || kind.starts_with("text/plain"));
    if is_data {
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(DATA_POLICY));
    }
    if https {
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(HeaderValue::from_static(ONLY_HTTPS));
    }
}

async fn dispatch(
    shared: &Arc<Shared>,
    slot: &Arc<Slot>,
    peer: SocketAddr,
    id: &RequestId,
    request: Request<Incoming>,
) -> (Route, Response<Body>) {
    if request.method() == Method::OPTIONS {
        return (Route::Preflight, no_content());
    }
    let upgraded_by_app = is_upgrade(request.headers()) && (shared.upgrades)(request.uri().path());
    if is_upgrade(request.headers()) && !upgraded_by_app {
        let client = client_info(shared, peer, id, request.headers());
        return (Route::Upgrade, socket::upgrade::answer(shared, slot, client, request));
    }
    let limits = &shared.options.limits;
    if let Some(length) = request.body().size_hint().exact()
        && length > u64::from(limits.body_bytes)
    {
        shared.metrics.refuse(Refusal::BodySize);
        return (Route::App, too_large(id));
    }
    let (parts, body) = request.into_parts();
    let verdict = Verdict::default();
    let body = Body::new(BoundedBody::new(body, limits.body_bytes, limits.body_read, Arc::clone(&verdict)));
    let request = Request::from_parts(parts, body);

    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    if let Some(route) = MatchRoute::parse(target) {
        if request.method() != Method::POST {
            let refusal =
                Envelope::new(StatusCode::NOT_FOUND, "NOT_FOUND", "matchmaking takes POST requests");
            return (Route::Matchmake, refusal.response(id));
        }
        let (method, name, dialect) = (route.method.to_owned(), route.name.to_owned(), route.dialect);
        let client = client_info(shared, peer, id, request.headers());
        let response =
            matchmake::answer(shared, &method, name, dialect, client, request.into_body(), &verdict).await;
        return (Route::Matchmake, response);
    }
    let asked = health::Asked {
        method: request.method(),
        path: request.uri().path(),
        peer,
        headers: request.headers(),
    };
    if let Some((route, response)) = health::answer(shared, id, &asked) {
        return (route, response);
    }
    let mut request = request;
    let client = client_info(shared, peer, id, request.headers());
    request.extensions_mut().insert(client);
    if upgraded_by_app {
        request.extensions_mut().insert(SocketSlot(Arc::clone(slot)));
    }
    let response = match shared.app.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let response = match verdict.get() {
        None => response,
        Some(Bound::Size) => {
            shared.metrics.refuse(Refusal::BodySize);
            too_large(id)
        }
        Some(Bound::Time) => {
            shared.metrics.refuse(Refusal::BodyTimeout);
            let message = "the request's body did not arrive in time";
            Envelope::new(StatusCode::REQUEST_TIMEOUT, "BODY_TOO_SLOW", message).response(id)
        }
    };
    (Route::App, response)
}

/// What the edge knows of whoever sent `headers`.
fn client_info(shared: &Shared, peer: SocketAddr, id: &RequestId, headers: &HeaderMap) -> ClientInfo {
    ClientInfo {
        ip: client_ip(shared, peer, headers),
        token: bearer(headers).map(str::to_owned),
        headers: headers.clone(),
        request_id: id.clone(),
    }
}

fn client_ip(shared: &Shared, peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
    // Several headers of that name are one list.
    let forwarded: Vec<&str> =
        headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    let forwarded = (!forwarded.is_empty()).then(|| forwarded.join(","));
    shared.options.client_address(peer.ip(), forwarded.as_deref())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

fn no_content() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn too_large(id: &RequestId) -> Response<Body> {
    Envelope::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", "the request's body is too large")
        .response(id)
}

/// A refusal without any words: what a router answers for a path or method it does not have.
fn is_bare_refusal(response: &Response<Body>) -> bool {
    matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)
        && response.body().size_hint().exact() == Some(0)
}

fn envelope_of(bare: Response<Body>, id: &RequestId) -> Response<Body> {
    let (code, message) = match bare.status() {
        StatusCode::NOT_FOUND => ("NOT_FOUND", "there is nothing at this path"),
        _ => ("METHOD_NOT_ALLOWED", "this path does not take that method"),
    };
    let mut response = Envelope::new(bare.status(), code, message).response(id);
    if let Some(allow) = bare.headers().get(header::ALLOW) {
        response.headers_mut().insert(header::ALLOW, allow.clone());
    }
    response
}
