//! Joins the two halves that do not know each other: the gateway's port [`Rooms`], answered by a node.

use crate::doors::Doors;
use crate::levels::LiveProbe;
use bytes::Bytes;
use everplay_api::levels::{Coming, Levels};
use everplay_api::{ApiError, Rates};
use everplay_gateway::{
    Attach, AttachError, Attached, BoxFuture, ClientInfo, Frame, MatchError, MatchRequest, Outbox, PushError,
    Readiness, RoomInbox, Rooms,
};
use everplay_node::{ClientSink, Handle, RoomLink};
use everplay_room::{AuthRequest, FrameKind};
use everplay_types::{CloseCode, ErrorCode, Identity, RoomId, SessionId};
use everplay_wire::ClientFrame;
use everplay_wire::matchmake::{Method, RoomListing, SeatReservation};
use serde_json::json;
use std::sync::Arc;

/// A node as the gateway sees it.
pub(crate) struct NodeRooms {
    pub(crate) node: Handle,
    /// Told to clients with their seat; None: they come back to where they came from.
    pub(crate) public_address: Option<String>,
    /// Says whose token it is.
    pub(crate) doors: Arc<Doors>,
    /// What is known of the Redis that keeps the rooms, if one does.
    pub(crate) redis: Option<LiveProbe>,
    /// How much of the service there is.
    pub(crate) levels: Levels,
    /// How often one may ask for a seat.
    pub(crate) rates: Rates,
}

impl Rooms for NodeRooms {
    fn matchmake(&self, request: MatchRequest) -> BoxFuture<'_, Result<SeatReservation, MatchError>> {
        Box::pin(async move {
            let identity =
                self.doors.identity(request.client.token.as_deref()).await.map_err(|signed_out| {
                    MatchError::new(i32::from(ErrorCode::AUTH_FAILED.0), signed_out.to_string())
                })?;
            // Whoever comes back to a seat has it: when a node dies, all players behind one address come at once.
            if request.method != Method::Reconnect {
                self.rates.take_seat(identity.as_ref(), request.client.ip).await.map_err(refused)?;
            }
            // Who asks for any room gets one that is there when none may be opened.
            let any = request.method == Method::JoinOrCreate;
            self.levels.admit_player(coming(request.method)).map_err(refused)?;
            let none_opened = self.levels.admit_player(Coming::Opening);
            let wanted = everplay_node::MatchRequest {
                method: if any && none_opened.is_err() {
                    everplay_node::Method::Join
                } else {
                    method(request.method)
                },
                target: request.target,
                options: request.options,
                auth: auth(identity, request.client),
            };
            match self.node.matchmake(wanted).await {
                Ok(seat) => Ok(SeatReservation::new(
                    seat.session_id.into(),
                    RoomListing {
                        name: seat.name,
                        process_id: seat.process_id.into(),
                        room_id: seat.room_id.into(),
                        clients: seat.clients,
                        max_clients: Some(seat.max_clients),
                        public_address: self.public_address.clone(),
                    },
                )),
                Err(error) if any && error.code == ErrorCode::INVALID_CRITERIA.0 => {
                    none_opened.map_err(refused)?;
                    Err(MatchError::new(i32::from(error.code), error.message))
                }
                Err(error) => Err(MatchError::new(i32::from(error.code), error.message)),
            }
        })
    }

    fn attach(&self, request: Attach, outbox: Outbox) -> BoxFuture<'_, Result<Attached, AttachError>> {
        Box::pin(async move {
            // What is no id was never given out, so nobody has a seat under it.
            let (Ok(room), Ok(session)) = (RoomId::new(&request.room), SessionId::new(&request.session))
            else {
                return Err(AttachError::NoSeat);
            };
            let login = self.doors.login_of(request.client.token.as_deref()).await.map_err(|signed_out| {
                AttachError::Refused {
                    code: i32::from(ErrorCode::AUTH_FAILED.0),
                    message: signed_out.to_string(),
                }
            })?;
            let wanted = everplay_node::Attach {
                room,
                session,
                token: request.reconnection_token,
                skip_handshake: request.skip_handshake,
                dialect: request.dialect,
            };
            let sink = Arc::new(SocketSink(outbox));
            if let Some(login) = login {
                self.doors.enter(login, &sink);
            }
            match self.node.attach(wanted, sink).await {
                Ok(link) => Ok(Attached {
                    messages_per_second: Some(link.messages_per_second()),
                    inputs: link.input_options(),
                    inbox: Box::new(NodeInbox(Some(link))),
                }),
                Err(error) if error.is_transient() => Err(AttachError::Restoring),
                Err(_) => Err(AttachError::NoSeat),
            }
        })
    }

    fn readiness(&self) -> Readiness {
        if self.node.is_ready() {
            Readiness::Ready
        } else {
            Readiness::NotReady("restoring rooms".to_owned())
        }
    }

    fn redis(&self) -> Option<bool> {
        self.redis.as_ref().map(|probe| !probe.is_away())
    }

    fn service(&self) -> Option<&'static str> {
        Some(self.levels.level().name())
    }

    fn health(&self) -> serde_json::Value {
        let status = self.node.status();
        json!({ "ready": status.ready, "running": status.rooms, "paused": status.paused, "service": self.levels.level().name() })
    }
}

/// A socket as the node sees it.
pub(crate) struct SocketSink(Outbox);

impl ClientSink for SocketSink {
    fn deliver(&self, kind: FrameKind, bytes: Bytes) {
        let kind = match kind {
            FrameKind::Patch => everplay_gateway::FrameKind::Patch,
            FrameKind::State => everplay_gateway::FrameKind::State,
            FrameKind::Message => everplay_gateway::FrameKind::Message,
        };
        self.0.deliver(Frame { bytes, kind });
    }

    fn close(&self, code: CloseCode, reason: &str) {
        self.0.close(code, reason.to_owned());
    }
}

/// A room's mailbox as the gateway sees it. None once the socket's end was reported.
struct NodeInbox(Option<RoomLink>);

impl RoomInbox for NodeInbox {
    fn push(&mut self, _: ClientFrame<'_>, bytes: &Bytes) -> Result<(), PushError> {
        let link = self.0.as_ref().ok_or(PushError::Closed)?;
        link.push(bytes.clone()).map_err(|error| match error {
            everplay_node::PushError::Full(_) => PushError::Full,
            everplay_node::PushError::Closed => PushError::Closed,
        })
    }

    fn resync(&mut self) {
        if let Some(link) = &self.0 {
            link.resync();
        }
    }

    fn closed(&mut self, code: CloseCode) {
        if let Some(link) = self.0.take() {
            link.closed(code);
        }
    }
}

fn coming(method: Method) -> Coming {
    match method {
        Method::Reconnect => Coming::Back,
        Method::Join | Method::JoinById | Method::JoinOrCreate => Coming::New,
        Method::Create => Coming::Opening,
    }
}

/// What a service refuses, in the form of the Colyseus routes.
fn refused(refusal: ApiError) -> MatchError {
    MatchError {
        code: i32::from(refusal.status.as_u16()),
        message: refusal.message,
        retry_after: refusal.retry_after,
    }
}

fn method(method: Method) -> everplay_node::Method {
    match method {
        Method::JoinOrCreate => everplay_node::Method::JoinOrCreate,
        Method::Create => everplay_node::Method::Create,
        Method::Join => everplay_node::Method::Join,
        Method::JoinById => everplay_node::Method::JoinById,
        Method::Reconnect => everplay_node::Method::Reconnect,
    }
}

fn auth(identity: Option<Identity>, client: ClientInfo) -> AuthRequest {
    let header = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    AuthRequest {
        token: client.token,
        identity,
        ip: Some(client.ip),
        headers: client.headers.iter().filter_map(header).collect(),
    }
}
