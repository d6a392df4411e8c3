//! One client in one room.
//!
//! ```text
//! joined --socket lost--> waiting --delay--> opening --join--> joined
//!    |                       ^                  |
//!    |                       +---- lost again --+
//!    +--closed for good, or no attempts left--> closed
//! ```

use crate::client::{Client, JoinError, decoder};
use crate::reconnection::Reconnection;
use bytes::Bytes;
use everplay_schema::Decoder;
use everplay_wire::matchmake::SeatReservation;
use everplay_wire::msgpack::{self, Limits, PayloadError, SerializeError, Value};
use everplay_wire::{
    ClientFrame, Dialect, MessageType, OwnedMessageType, ResponseStatus, ServerFrame, Timed,
};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message};

type Socket = WebSocketStream<TcpStream>;

/// A payload that was not decoded yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload(Bytes);

impl Payload {
    /// The payload as a type. Errors: it is not msgpack, or does not fit.
    pub fn get<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        Ok(msgpack::from_value(self.value()?)?)
    }

    /// The payload as it is.
    pub fn value(&self) -> Result<Value, PayloadError> {
        // The server is trusted with more memory than clients are: a lobby's listing may be long.
        Ok(msgpack::read_payload(&self.0, Limits { allocation: 64 << 20, ..Limits::default() })?)
    }

    /// The encoded bytes; empty for `undefined`.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

/// What happened in a room.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The state changed; [`Connection::state`] has it.
    State {
        /// The whole state came, not what changed.
        full: bool,
        /// Only in rooms with inputs.
        timed: Option<Timed>,
        /// The state's bytes.
        body: Bytes,
    },
    /// A message.
    Message {
        /// What it is called.
        ty: OwnedMessageType,
        /// Its content.
        payload: Payload,
    },
    /// A message of raw bytes.
    Bytes {
        /// What it is called.
        ty: OwnedMessageType,
        /// The bytes.
        bytes: Bytes,
    },
    /// An answer to [`Connection::start_request`].
    Response {
        /// The request's id.
        id: u32,
        /// How it ended.
        status: ResponseStatus,
        /// The answer, the reason, or the error.
        payload: Payload,
    },
    /// The answer to [`Connection::ping`].
    Pong,
    /// The server reports an error; the connection goes on.
    Error {
        /// An error code.
        code: i32,
        /// The server's words.
        message: String,
    },
    /// The connection was lost and is being opened again.
    Dropped {
        /// The close code; 1006 when there was none.
        code: u16,
    },
    /// The connection is back; a full state follows.
    Reconnected,
    /// The connection ended; no event follows.
    Closed {
        /// The close code; 1006 when there was none.
        code: u16,
        /// The server's words, or why the client ended it.
        reason: String,
    },
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The connection ended.
    #[error("the connection is closed")]
    Closed,
    /// The payload's type has no msgpack.
    #[error("the payload cannot be encoded: {0}")]
    Payload(#[from] SerializeError),
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// It was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The connection was lost before the answer.
    #[error("the connection was lost before the answer")]
    Lost,
    /// The room said no.
    #[error("rejected: {reason}")]
    Rejected {
        /// The room's reason.
        reason: serde_json::Value,
    },
    /// The handler failed, or there is none.
    #[error("failed: {error}")]
    Failed {
        /// `{name, message, code?}`.
        error: serde_json::Value,
    },
    /// The answer does not fit the type that was asked for.
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

/// A socket that has joined and whose ack was sent.
pub(crate) struct Link {
    socket: Socket,
    token: String,
    decoder: Option<Decoder>,
}

enum Phase {
    Joined(Box<Socket>),
    Reopening { attempt: u32, opening: Pin<Box<dyn Future<Output = Result<Link, JoinError>> + Send>> },
    Closed,
}

/// One client in one room. Everything happens inside [`next`](Self::next), so it has to be called again and again.
pub struct Connection {
    client: Client,
    seat: SeatReservation,
    token: String,
    decoder: Option<Decoder>,
    phase: Phase,
    /// When the first join was: younger connections do not come back.
    joined_at: Instant,
    /// Frames to send, oldest first.
    outgoing: VecDeque<Vec<u8>>,
    /// Frames were given to the socket and may still be in its buffer.
    unflushed: bool,
    /// Events that came while a request waited for its answer.
    events: VecDeque<Event>,
    next_request: u32,
}

/// Opens a socket, waits for the join and acks it. The state comes later.
pub(crate) async fn open(
    authority: &str,
    url: &str,
    dialect: Dialect,
    decode_state: bool,
) -> Result<Link, JoinError> {
    let stream = TcpStream::connect(authority).await.map_err(tungstenite::Error::Io)?;
    stream.set_nodelay(true).map_err(tungstenite::Error::Io)?;
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await?;
    let mut refusal = None;
    loop {
        let message = match socket.next().await {
            Some(message) => message?,
            None => Message::Close(None),
        };
        match message {
            Message::Binary(frame) => match ServerFrame::decode(&frame, dialect) {
                Ok(ServerFrame::Join(join)) => {
                    let (token, decoder) = (join.token.to_owned(), decoder(join.handshake, decode_state)?);
                    socket.send(Message::binary(ClientFrame::Ack.to_vec())).await?;
                    return Ok(Link { socket, token, decoder });
                }
                Ok(ServerFrame::Error { code, message }) => refusal = Some((code, message.to_owned())),
                // Older SDKs ignore what they do not know, the join probe for one.
                Ok(_) | Err(everplay_wire::FrameError::UnknownCode { .. }) => {}
                Err(error) => return Err(error.into()),
            },
            Message::Close(frame) => {
                let (close_code, reason) = close_of(frame.as_ref());
                return Err(match refusal {
                    // A server that asks the client to come back has not refused it.
                    Some((code, message)) if !Reconnection::comes_back_after(close_code) => {
                        JoinError::Refused { code, message, close_code }
                    }
                    _ => JoinError::Closed { code: close_code, reason },
                });
            }
            _ => {}
        }
    }
}

fn close_of(frame: Option<&tungstenite::protocol::CloseFrame>) -> (u16, String) {
    match frame {
        Some(frame) => (frame.code.into(), frame.reason.as_str().to_owned()),
        None => (1005, String::new()),
    }
}

impl Connection {
    pub(crate) fn new(client: Client, seat: SeatReservation, link: Link) -> Self {
        Self {
            client,
            seat,
            token: link.token,
            decoder: link.decoder,
            phase: Phase::Joined(Box::new(link.socket)),
            joined_at: Instant::now(),
            outgoing: VecDeque::new(),
            unflushed: false,
            events: VecDeque::new(),
            next_request: 0,
        }
    }

    /// The room.
    pub fn room_id(&self) -> &str {
        &self.seat.room_id
    }

    /// This client's session; stays the same when it comes back.
    pub fn session_id(&self) -> &str {
        &self.seat.session_id
    }

    /// What [`Client::reconnect`] takes: `roomId:token`. New on every join.
    pub fn reconnection_token(&self) -> String {
        format!("{}:{}", self.seat.room_id, self.token)
    }

    /// The state as far as it came; `None` in rooms without state.
    pub fn state(&self) -> Option<&Decoder> {
        self.decoder.as_ref()
    }

    /// The state as JSON.
    pub fn state_json(&self) -> Option<serde_json::Value> {
        self.decoder.as_ref().map(Decoder::to_json)
    }

    /// Whether the connection has ended for good.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Puts a message into the queue; it leaves with the next call of [`next`](Self::next), [`flush`](Self::flush) or
    /// a request. While the connection is lost the newest few are kept. `&()` is `undefined`.
    pub fn send<'a, T: Serialize + ?Sized>(
        &mut self,
        ty: impl Into<MessageType<'a>>,
        payload: &T,
    ) -> Result<(), SendError> {
        let payload = msgpack::to_vec_records(payload)?;
        self.push(&ClientFrame::Data { ty: ty.into(), payload: &payload })
    }

    /// Puts a message of raw bytes into the queue.
    pub fn send_bytes<'a>(&mut self, ty: impl Into<MessageType<'a>>, bytes: &[u8]) -> Result<(), SendError> {
        self.push(&ClientFrame::Bytes { ty: ty.into(), bytes })
    }

    /// Asks for a [`Event::Pong`].
    pub fn ping(&mut self) -> Result<(), SendError> {
        self.push(&ClientFrame::Ping)
    }

    /// Puts any frame into the queue, for inputs and for tests.
    pub fn push(&mut self, frame: &ClientFrame<'_>) -> Result<(), SendError> {
        self.push_raw(frame.to_vec())
    }

    /// Puts bytes into the queue as one frame, for tests of what a server does with them.
    pub fn push_raw(&mut self, frame: Vec<u8>) -> Result<(), SendError> {
        match self.phase {
            Phase::Closed => return Err(SendError::Closed),
            Phase::Reopening { .. } if self.outgoing.len() >= self.client.reconnection.max_enqueued => {
                self.outgoing.pop_front();
                if self.client.reconnection.max_enqueued == 0 {
                    return Ok(());
                }
            }
            _ => {}
        }
        self.outgoing.push_back(frame);
        Ok(())
    }

    /// Puts a request into the queue and returns its id; the answer is an [`Event::Response`].
    pub fn start_request<'a, T: Serialize + ?Sized>(
        &mut self,
        ty: impl Into<MessageType<'a>>,
        payload: &T,
    ) -> Result<u32, SendError> {
        let payload = msgpack::to_vec_records(payload)?;
        let id = self.next_request;
        self.next_request = id.wrapping_add(1);
        self.push(&ClientFrame::Request { id, ty: ty.into(), payload: &payload })?;
        Ok(id)
    }

    /// Sends a request and waits for its answer. Events that come meanwhile are kept for [`next`](Self::next).
    /// There is no timeout; dropping the call forgets the answer.
    pub async fn request<'a, T: Serialize + ?Sized, R: DeserializeOwned>(
        &mut self,
        ty: impl Into<MessageType<'a>>,
        payload: &T,
    ) -> Result<R, RequestError> {
        let wanted = self.start_request(ty, payload)?;
        loop {
            let Some(event) = poll_fn(|cx| self.poll_event(cx)).await else { return Err(RequestError::Lost) };
            match event {
                Event::Response { id, status, payload } if id == wanted => {
                    let json = |payload: Payload| payload.value().map(serde_json::Value::from);
                    return match status {
                        ResponseStatus::Ok => Ok(payload.get()?),
                        ResponseStatus::Rejected => Err(RequestError::Rejected { reason: json(payload)? }),
                        ResponseStatus::Error => Err(RequestError::Failed { error: json(payload)? }),
                    };
                }
                event => {
                    let lost = matches!(event, Event::Dropped { .. } | Event::Closed { .. });
                    self.events.push_back(event);
                    if lost {
                        return Err(RequestError::Lost);
                    }
                }
            }
        }
    }

    /// The next event; `None` after [`Event::Closed`]. Sends what is queued and comes back when the connection is
    /// lost. May be dropped at any time.
    pub async fn next(&mut self) -> Option<Event> {
        match self.events.pop_front() {
            Some(event) => Some(event),
            None => poll_fn(|cx| self.poll_event(cx)).await,
        }
    }

    /// Sends what is queued. Returns at once while the connection is lost.
    pub async fn flush(&mut self) -> Result<(), SendError> {
        poll_fn(|cx| match self.poll_send(cx) {
            // The next read reports what is wrong with the socket.
            Poll::Ready(_) => Poll::Ready(if self.is_closed() { Err(SendError::Closed) } else { Ok(()) }),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Leaves on purpose and waits until the server has closed. Returns the close code.
    pub async fn leave(mut self) -> u16 {
        self.client.reconnection.enabled = false;
        if self.push(&ClientFrame::Leave).is_err() {
            return 1006;
        }
        loop {
            match self.next().await {
                Some(Event::Closed { code, .. }) => return code,
                Some(_) => {}
                None => return 1006,
            }
        }
    }

    /// Drops the socket without a goodbye, as a network does. [`next`](Self::next) then comes back.
    pub fn break_socket(&mut self) {
        if matches!(self.phase, Phase::Joined(_)) {
            let event = self.lost(1006, String::new());
            self.events.push_back(event);
        }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), tungstenite::Error>> {
        let Phase::Joined(socket) = &mut self.phase else { return Poll::Ready(Ok(())) };
        let mut socket = Pin::new(&mut **socket);
        while !self.outgoing.is_empty() {
            ready!(socket.as_mut().poll_ready(cx))?;
            if let Some(frame) = self.outgoing.pop_front() {
                socket.as_mut().start_send(Message::binary(frame))?;
                self.unflushed = true;
            }
        }
        if self.unflushed {
            ready!(socket.as_mut().poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            // A socket that cannot be written to says on reading what happened to it.
            let _ = self.poll_send(cx);
            match &mut self.phase {
                Phase::Closed => return Poll::Ready(None),
                Phase::Joined(socket) => match ready!(Pin::new(&mut **socket).poll_next(cx)) {
                    Some(Ok(Message::Binary(frame))) => {
                        if let Some(event) = self.read(&frame) {
                            return Poll::Ready(Some(event));
                        }
                    }
                    Some(Ok(Message::Close(frame))) => {
                        let (code, reason) = close_of(frame.as_ref());
                        return Poll::Ready(Some(self.lost(code, reason)));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Poll::Ready(Some(self.lost(1006, error.to_string()))),
                    None => return Poll::Ready(Some(self.lost(1006, String::new()))),
                },
                Phase::Reopening { attempt, opening } => {
                    let attempt = *attempt;
                    match ready!(opening.as_mut().poll(cx)) {
                        Ok(link) => {
                            self.token = link.token;
                            self.decoder = link.decoder;
                            self.unflushed = false;
                            self.phase = Phase::Joined(Box::new(link.socket));
                            return Poll::Ready(Some(Event::Reconnected));
                        }
                        Err(error) => {
                            if let Some(event) = self.failed(attempt, error) {
                                return Poll::Ready(Some(event));
                            }
                        }
                    }
                }
            }
        }
    }

    fn read(&mut self, frame: &Bytes) -> Option<Event> {
        let decoded = match ServerFrame::decode(frame, self.client.dialect) {
            Ok(decoded) => decoded,
            Err(everplay_wire::FrameError::UnknownCode { .. }) => return None,
            Err(error) => return Some(self.close(1002, error.to_string())),
        };
        let payload = |bytes: &[u8]| Payload(frame.slice_ref(bytes));
        Some(match decoded {
            ServerFrame::Join(join) => {
                // A probe and its successor can both reach a slow client; it acks both.
                self.token = join.token.to_owned();
                self.outgoing.push_front(ClientFrame::Ack.to_vec());
                return None;
            }
            ServerFrame::Error { code, message } => Event::Error { code, message: message.to_owned() },
            ServerFrame::Leave => {
                self.outgoing.push_back(ClientFrame::Leave.to_vec());
                return None;
            }
            ServerFrame::Data { ty, payload: bytes } => {
                Event::Message { ty: ty.to_owned(), payload: payload(bytes) }
            }
            ServerFrame::Bytes { ty, bytes } => {
                Event::Bytes { ty: ty.to_owned(), bytes: frame.slice_ref(bytes) }
            }
            ServerFrame::State { timed, body } => {
                return Some(self.apply(true, timed, frame.slice_ref(body)));
            }
            ServerFrame::Patch { timed, body, .. } => {
                return Some(self.apply(false, timed, frame.slice_ref(body)));
            }
            ServerFrame::Ping => Event::Pong,
            ServerFrame::Response { id, status, payload: bytes } => {
                Event::Response { id, status, payload: payload(bytes) }
            }
        })
    }

    fn apply(&mut self, full: bool, timed: Option<Timed>, body: Bytes) -> Event {
        match self.decoder.as_mut().map(|decoder| decoder.apply(&body)) {
            Some(Err(error)) => self.close(1002, format!("the state cannot be read: {error}")),
            _ => Event::State { full, timed, body },
        }
    }

    fn close(&mut self, code: u16, reason: String) -> Event {
        self.phase = Phase::Closed;
        self.outgoing.clear();
        Event::Closed { code, reason }
    }

    fn lost(&mut self, code: u16, reason: String) -> Event {
        let options = self.client.reconnection;
        if !options.enabled || !Reconnection::comes_back_after(code) {
            return self.close(code, reason);
        }
        if self.joined_at.elapsed() < options.min_uptime {
            return self.close(code, "the connection is too young to come back".to_owned());
        }
        let excess = self.outgoing.len().saturating_sub(options.max_enqueued);
        self.outgoing.drain(..excess);
        self.reopen(1);
        Event::Dropped { code }
    }

    /// An attempt failed: tries again, or says that it is over.
    fn failed(&mut self, attempt: u32, error: JoinError) -> Option<Event> {
        let again = match &error {
            JoinError::Socket(_) => true,
            JoinError::Closed { code, .. } => Reconnection::comes_back_after(*code),
            _ => false,
        };
        if again && attempt < self.client.reconnection.max_retries {
            self.reopen(attempt + 1);
            return None;
        }
        Some(match error {
            JoinError::Closed { code, reason } if !again => self.close(code, reason),
            JoinError::Refused { message, close_code, .. } => self.close(close_code, message),
            error => self.close(4003, error.to_string()),
        })
    }

    fn reopen(&mut self, attempt: u32) {
        let delay = self.client.reconnection.delay_before(attempt);
        let (client, seat, token) = (self.client.clone(), self.seat.clone(), self.token.clone());
        let opening = async move {
            tokio::time::sleep(delay).await;
            client.open(&seat, Some(&token)).await
        };
        self.phase = Phase::Reopening { attempt, opening: Box::pin(opening) };
    }
}
