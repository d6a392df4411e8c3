use crate::connection::{self, Connection, Link};
use crate::http::{self, Exchange};
use crate::{Endpoint, EndpointError, HttpError, Reconnection};
use everplay_schema::Decoder;
use everplay_wire::matchmake::{ErrorBody, Method, ReconnectBody, SeatReservation};
use everplay_wire::{Dialect, FrameError};
use serde::Serialize;
use tokio_tungstenite::tungstenite;

/// Gets into rooms of one server.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) endpoint: Endpoint,
    pub(crate) auth_token: Option<String>,
    pub(crate) dialect: Dialect,
    pub(crate) reconnection: Reconnection,
    pub(crate) decode_state: bool,
}

/// Why a client is not in the room.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Matchmaking had no answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The options are not JSON.
    #[error("the options cannot be written as JSON: {0}")]
    Options(serde_json::Error),
    /// Matchmaking answered with an error.
    #[error("{message} ({code})")]
    Matchmaking {
        /// An error code, or the status of an answer that has none.
        code: i32,
        /// The server's words.
        message: String,
    },
    /// The answer is neither a seat nor an error.
    #[error("the server answered with something else than a seat: {0}")]
    Reservation(serde_json::Error),
    /// No connection to the room, or it broke.
    #[error("no WebSocket: {0}")]
    Socket(Box<tungstenite::Error>),
    /// The room refused the client.
    #[error("{message} ({code})")]
    Refused {
        /// An error code.
        code: i32,
        /// The room's words.
        message: String,
        /// The code with which the connection was closed then.
        close_code: u16,
    },
    /// The server closed the connection before the join.
    #[error("closed before the join with {code} {reason}")]
    Closed {
        /// The close code.
        code: u16,
        /// The server's words.
        reason: String,
    },
    /// A frame that this client does not understand.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A description of the state that this client does not understand.
    #[error("the state's description cannot be read: {0}")]
    Handshake(#[from] everplay_schema::DecodeError),
    /// Not `roomId:token`.
    #[error("a reconnection token has the form roomId:token")]
    Token,
}

impl From<tungstenite::Error> for JoinError {
    fn from(error: tungstenite::Error) -> Self {
        JoinError::Socket(Box::new(error))
    }
}

impl Client {
    /// A client of the server at that endpoint, such as `http://127.0.0.1:2567`. Errors: [`EndpointError`].
    pub fn new(endpoint: &str) -> Result<Self, EndpointError> {
        Ok(Self {
            endpoint: endpoint.parse()?,
            auth_token: None,
            dialect: Dialect::V18,
            reconnection: Reconnection::default(),
            decode_state: true,
        })
    }

    /// Sends this account token with every join.
    pub fn with_auth_token(mut self, token: impl Into<String>) -> Self {
        self.auth_token = Some(token.into());
        self
    }

    /// Reads frames as SDKs of that generation do. The server is not told; the endpoint can.
    pub fn with_dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// How lost connections come back.
    pub fn with_reconnection(mut self, reconnection: Reconnection) -> Self {
        self.reconnection = reconnection;
        self
    }

    /// Leaves state and patches undecoded, for load where only their bytes count.
    pub fn without_state(mut self) -> Self {
        self.decode_state = false;
        self
    }

    /// Joins an open room of that name, or makes one.
    pub async fn join_or_create<T: Serialize>(
        &self,
        room: &str,
        options: &T,
    ) -> Result<Connection, JoinError> {
        self.enter(Method::JoinOrCreate, room, options).await
    }

    /// Makes a room of that name and joins it.
    pub async fn create<T: Serialize>(&self, room: &str, options: &T) -> Result<Connection, JoinError> {
        self.enter(Method::Create, room, options).await
    }

    /// Joins an open room of that name.
    pub async fn join<T: Serialize>(&self, room: &str, options: &T) -> Result<Connection, JoinError> {
        self.enter(Method::Join, room, options).await
    }

    /// Joins the room with that id.
    pub async fn join_by_id<T: Serialize>(
        &self,
        room_id: &str,
        options: &T,
    ) -> Result<Connection, JoinError> {
        self.enter(Method::JoinById, room_id, options).await
    }

    /// Comes back into a room with the token of an earlier [`Connection`] (`roomId:token`).
    pub async fn reconnect(&self, reconnection_token: &str) -> Result<Connection, JoinError> {
        let (room_id, token) = reconnection_token.split_once(':').ok_or(JoinError::Token)?;
        let body = ReconnectBody { reconnection_token: token.to_owned() };
        let seat = self.reserve(Method::Reconnect, room_id, &body).await?;
        self.take(&seat, Some(token)).await
    }

    /// Takes a seat that was reserved in another way. `token` when it was kept for somebody who comes back.
    pub async fn take(&self, seat: &SeatReservation, token: Option<&str>) -> Result<Connection, JoinError> {
        let joined = self.open(seat, token).await?;
        Ok(Connection::new(self.clone(), seat.clone(), joined))
    }

    /// Reserves a seat without taking it.
    pub async fn reserve<T: Serialize>(
        &self,
        method: Method,
        name: &str,
        options: &T,
    ) -> Result<SeatReservation, JoinError> {
        let options = serde_json::to_value(options).map_err(JoinError::Options)?;
        // `()` is null in JSON, and no options in ours.
        let body = if options.is_null() { "{}".to_owned() } else { options.to_string() };
        let target = self.endpoint.matchmake(method.as_str(), name);
        let token = self.auth_token.as_deref();
        let request = Exchange {
            method: "POST",
            authority: &self.endpoint.authority,
            target: &target,
            token,
            body: body.into_bytes(),
            most: http::MAX_BODY,
        };
        let (status, body) = http::exchange(request).await?;
        if let Ok(error) = serde_json::from_slice::<ErrorBody>(&body) {
            return Err(JoinError::Matchmaking { code: error.code, message: error.error });
        }
        if !status.is_success() {
            let message = String::from_utf8_lossy(&body).into_owned();
            return Err(JoinError::Matchmaking { code: i32::from(status.as_u16()), message });
        }
        serde_json::from_slice(&body).map_err(JoinError::Reservation)
    }

    async fn enter<T: Serialize>(
        &self,
        method: Method,
        name: &str,
        options: &T,
    ) -> Result<Connection, JoinError> {
        let seat = self.reserve(method, name, options).await?;
        self.take(&seat, None).await
    }

    pub(crate) async fn open(&self, seat: &SeatReservation, token: Option<&str>) -> Result<Link, JoinError> {
        let path = format!("/{}/{}", seat.process_id, seat.room_id);
        let mut query = format!("sessionId={}", seat.session_id);
        for (name, value) in [("reconnectionToken", token), ("_authToken", self.auth_token.as_deref())] {
            if let Some(value) = value {
                query += &format!("&{name}={value}");
            }
        }
        let (authority, url) = self.endpoint.websocket(seat.public_address.as_deref(), &path, &query);
        connection::open(&authority, &url, self.dialect, self.decode_state).await
    }
}

pub(crate) fn decoder(handshake: &[u8], wanted: bool) -> Result<Option<Decoder>, JoinError> {
    if handshake.is_empty() || !wanted { Ok(None) } else { Ok(Some(Decoder::from_handshake(handshake)?)) }
}
