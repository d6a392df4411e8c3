//! From a WebSocket handshake to a seat in a room.
//!
//! The handshake is answered first, whoever knocks: SDKs hear about a missing seat only inside the WebSocket, as an
//! ERROR frame and a close code.

use super::probe;
use super::reader::Connection;
use super::transport::Socket;
use crate::http::error::{Envelope, RequestId};
use crate::metrics::Refusal;
use crate::outbox::{Direct, Outbox};
use crate::registry::Registered;
use crate::rooms::{Attach, AttachError, BoxFuture, ClientInfo};
use crate::server::{Phase, Shared, Slot, SocketHandler};
use crate::watched::Watched;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use everplay_types::{CloseCode, ErrorCode};
use everplay_wire::server_frame;
use everplay_wire::url::{self, SeatUrl, Target};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::pin::pin;
use std::sync::Arc;
use tungstenite::handshake::derive_accept_key;

/// What the socket will be.
enum Purpose {
    Probe,
    Seat(Box<Attach>),
    App(SocketHandler),
}

/// Answers the handshake, and serves the socket in a task of its own.
pub(crate) fn answer(
    shared: &Arc<Shared>,
    slot: &Arc<Slot>,
    client: ClientInfo,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let id = client.request_id.clone();
    if shared.phase() >= Phase::Closing {
        shared.metrics.refuse(Refusal::Draining);
        let refusal = "the server is shutting down";
        return Envelope::new(StatusCode::SERVICE_UNAVAILABLE, "DRAINING", refusal).response(&id);
    }
    let accept = match check(request.method(), request.version(), request.headers()) {
        Ok(accept) => accept,
        Err(problem) => return refuse(shared, &id, problem),
    };
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let purpose = match shared.sockets_of_app.get(request.uri().path()) {
        Some(handler) => Purpose::App(Arc::clone(handler)),
        None => match url::parse(target) {
            Ok(Target::Probe) => Purpose::Probe,
            Ok(Target::Seat(seat)) => Purpose::Seat(Box::new(attach(seat, client))),
            Err(error) => return refuse(shared, &id, Problem::Url(error.to_string())),
        },
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let (shared, slot) = (Arc::clone(shared), Arc::clone(slot));
    let tracker = shared.tracker.clone();
    tracker.spawn(async move {
        let mut over = pin!(shared.reached(Phase::Ended));
        // One box after the other, so that the space of a long first step is not held for the life of the connection.
        let opening: BoxFuture<'_, Option<_>> = Box::pin(open(upgrade, purpose, &shared));
        let seated = tokio::select! {
            () = &mut over => return,
            seated = opening => seated,
        };
        if let Some((mut connection, _registered)) = seated {
            tokio::select! {
                () = over => {}
                () = connection.run() => {}
            }
        }
        drop(slot);
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// What is wrong with a handshake (RFC 6455, 4.2.1).
enum Problem {
    Method,
    Version,
    Connection,
    WebSocketVersion,
    Key,
    Url(String),
}

fn check(method: &Method, version: Version, headers: &HeaderMap) -> Result<HeaderValue, Problem> {
    if method != Method::GET {
        return Err(Problem::Method);
    }
    if version != Version::HTTP_11 {
        return Err(Problem::Version);
    }
    let connection = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    if !connection
        .flat_map(|value| value.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
    {
        return Err(Problem::Connection);
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Problem::WebSocketVersion);
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or(Problem::Key)?.as_bytes();
    // 16 bytes in base64.
    let is_key = key.len() == 24
        && key.ends_with(b"==")
        && key[..22].iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'));
    if !is_key {
        return Err(Problem::Key);
    }
    Ok(HeaderValue::from_str(&derive_accept_key(key)).expect("base64 is a header value"))
}

fn refuse(shared: &Shared, id: &RequestId, problem: Problem) -> Response<Body> {
    shared.metrics.refuse(Refusal::BadUpgrade);
    let (status, message) = match &problem {
        Problem::Method => (StatusCode::METHOD_NOT_ALLOWED, "a websocket handshake is a GET request"),
        Problem::Version => (StatusCode::BAD_REQUEST, "a websocket handshake needs HTTP/1.1"),
        Problem::Connection => (StatusCode::BAD_REQUEST, "the connection header does not say upgrade"),
        Problem::WebSocketVersion => {
            (StatusCode::UPGRADE_REQUIRED, "only websocket version 13 is spoken here")
        }
        Problem::Key => (StatusCode::BAD_REQUEST, "sec-websocket-key is not 16 bytes in base64"),
        Problem::Url(message) => (StatusCode::BAD_REQUEST, message.as_str()),
    };
    let mut response = Envelope::new(status, "BAD_UPGRADE", message).response(id);
    match problem {
        Problem::Method => response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET")),
        Problem::WebSocketVersion => {
            response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
        }
        _ => None,
    };
    response
}

fn attach(seat: SeatUrl<'_>, mut client: ClientInfo) -> Attach {
    if let Some(token) = seat.auth_token {
        client.token = Some(token.into_owned());
    }
    Attach {
        process: seat.process_id.to_owned(),
        room: seat.room_id.to_owned(),
        session: seat.session_id.into_owned(),
        reconnection_token: seat.reconnection_token.map(|token| token.into_owned()),
        skip_handshake: seat.skip_handshake,
        dialect: seat.dialect,
        client,
    }
}

/// The stream itself, freed from the HTTP connection.
async fn take_over(upgrade: OnUpgrade, shared: &Shared) -> Option<Socket> {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!(%error, "websocket handshake broke off");
            return None;
        }
    };
    let parts = upgraded.downcast::<TokioIo<Watched>>().expect("the accept loop serves such streams only");
    Some(Socket::new(parts.io.into_inner().tcp, parts.read_buf, &shared.options.limits))
}

/// Takes the socket over; serves what is not a room's to its end, and finds a seat for what is.
async fn open(
    upgrade: OnUpgrade,
    purpose: Purpose,
    shared: &Arc<Shared>,
) -> Option<(Box<Connection>, Registered)> {
    let mut socket = take_over(upgrade, shared).await?;
    match purpose {
        Purpose::Probe => probe::run(&mut socket, &shared.options.limits).await,
        Purpose::App(handler) => handler(socket).await,
        Purpose::Seat(attach) => return seat(socket, attach, shared).await,
    }
    None
}

/// Asks the rooms for the seat; answers the client and returns nothing when there is none.
async fn seat(
    mut socket: Socket,
    attach: Box<Attach>,
    shared: &Arc<Shared>,
) -> Option<(Box<Connection>, Registered)> {
    let limits = &shared.options.limits;
    let comes_back = attach.reconnection_token.is_some();
    let (registered, outbox) = Registered::new(shared, &attach.room, |members| {
        let direct = Direct { sending: socket.sending(), members, metrics: Arc::clone(&shared.metrics) };
        Outbox::new(limits.outbox_bytes, Some(direct))
    });
    let attaching = shared.rooms.attach(*attach, outbox.clone());
    let (error, close, refusal) = match tokio::time::timeout(limits.attach, attaching).await {
        Ok(Ok(attached)) => {
            let connection = Connection::new(socket, outbox, attached, Arc::clone(shared));
            return Some((Box::new(connection), registered));
        }
        Ok(Err(AttachError::NoSeat)) => {
            let close = if comes_back { CloseCode::FAILED_TO_RECONNECT } else { CloseCode::WITH_ERROR };
            (expired("seat reservation expired."), close, Refusal::NoSeat)
        }
        Ok(Err(AttachError::Restoring)) => {
            (expired("the room is being restored"), CloseCode::MAY_TRY_RECONNECT, Refusal::Restoring)
        }
        Ok(Err(AttachError::Refused { code, message })) => {
            ((code, message), CloseCode::WITH_ERROR, Refusal::Join)
        }
        Err(_) => (expired("the room did not answer"), CloseCode::MAY_TRY_RECONNECT, Refusal::AttachTimeout),
    };
    drop(registered);
    outbox.abandon(close);
    shared.metrics.refuse(refusal);
    let (code, message) = error;
    socket.queue(super::writer::Opcode::Binary, server_frame::error(code, &message));
    socket.queue_close(close, &message);
    socket.finish(limits.close).await;
    None
}

fn expired(message: &str) -> (i32, String) {
    (i32::from(ErrorCode::EXPIRED.0), message.to_owned())
}
