//! One client of an arena, as little of one as a fair measurement needs: it joins, counts what arrives, comes back.
//!
//! It reads the room's tick from where it stands in an arena's bytes instead of decoding the whole state, so that the
//! driver costs less than what it drives; bytes that do not look so are an error, never skipped.

use everplay_types::CloseCode;
use everplay_wire::matchmake::SeatReservation;
use everplay_wire::{ClientFrame, Dialect, MessageType, ServerFrame};
use futures_util::{SinkExt, StreamExt};
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};

/// How long a request or a join may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a client is not in its room.
#[derive(Debug, Error)]
pub(crate) enum PlayerError {
    /// Nobody listens, or the connection broke: the server is away.
    #[error("connection: {0}")]
    Away(#[from] io::Error),
    /// The server said no over HTTP.
    #[error("the server answered {status}: {body}")]
    Refused {
        /// Of HTTP.
        status: u16,
        /// As sent.
        body: String,
    },
    /// The server ended the connection.
    #[error("closed with {}: {reason}", code.0)]
    Closed {
        /// Why.
        code: CloseCode,
        /// In words.
        reason: String,
    },
    /// Something no server of this protocol sends.
    #[error("not understood: {0}")]
    Protocol(String),
}

impl PlayerError {
    /// Whether the server may be back in a moment.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            PlayerError::Away(_) | PlayerError::Refused { status: 503, .. } => true,
            PlayerError::Closed { code, .. } => {
                [CloseCode::MAY_TRY_RECONNECT, CloseCode(1006)].contains(code)
            }
            PlayerError::Refused { .. } | PlayerError::Protocol(_) => false,
        }
    }
}

/// What arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The whole state.
    State {
        /// Of the room.
        tick: u32,
    },
    /// A change.
    Patch {
        /// Of the room; None when it did not change.
        tick: Option<u32>,
        /// Of all its bytes.
        hash: u64,
    },
    /// The answer to an echo.
    Echo {
        /// How long it took.
        took: Duration,
    },
    /// Anything else.
    Other,
}

/// A client in its room.
pub(crate) struct Player {
    address: String,
    pub(crate) seat: SeatReservation,
    token: String,
    socket: WebSocketStream<TcpStream>,
    /// Echoes carry the time since then.
    began: Instant,
    out: Vec<u8>,
}

impl Player {
    /// Takes a seat in any room of this kind and waits for the state. Returns its tick too.
    pub(crate) async fn join(address: &str, kind: &str) -> Result<(Self, u32), PlayerError> {
        let (status, body) = post(address, &format!("/matchmake/joinOrCreate/{kind}"), "{}").await?;
        if status != 200 {
            return Err(PlayerError::Refused { status, body });
        }
        let seat: SeatReservation =
            serde_json::from_str(&body).map_err(|error| PlayerError::Protocol(error.to_string()))?;
        let socket = connect(address, &seat.websocket_path()).await?;
        let mut player = Self {
            address: address.to_owned(),
            seat,
            token: String::new(),
            socket,
            began: Instant::now(),
            out: Vec::new(),
        };
        let tick = player.wait_for_state().await?;
        Ok((player, tick))
    }

    /// Comes back after the connection broke, as the SDK does. Returns the tick of the state it was given.
    pub(crate) async fn resume(&mut self) -> Result<u32, PlayerError> {
        let path =
            format!("{}&reconnectionToken={}&skipHandshake=true", self.seat.websocket_path(), self.token);
        self.socket = connect(&self.address, &path).await?;
        self.wait_for_state().await
    }

    async fn wait_for_state(&mut self) -> Result<u32, PlayerError> {
        let waiting = async {
            loop {
                if let Event::State { tick } = self.next().await? {
                    return Ok(tick);
                }
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(joined) => joined,
            Err(_) => Err(PlayerError::Protocol("no state after the join".into())),
        }
    }

    /// The next thing that arrives; a join is acknowledged on the way. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Result<Event, PlayerError> {
        loop {
            let message = match self.socket.next().await {
                Some(Ok(message)) => message,
                Some(Err(tungstenite::Error::Io(error))) => return Err(PlayerError::Away(error)),
                Some(Err(tungstenite::Error::Protocol(
                    tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
                ))) => return Err(PlayerError::Away(io::ErrorKind::ConnectionReset.into())),
                Some(Err(error)) => return Err(PlayerError::Protocol(error.to_string())),
                None => return Err(PlayerError::Away(io::ErrorKind::UnexpectedEof.into())),
            };
            match message {
                Message::Binary(frame) => {
                    if let Some(event) = self.read(&frame)? {
                        return Ok(event);
                    }
                    self.send(ClientFrame::Ack).await?;
                }
                Message::Close(frame) => {
                    let (code, reason) = frame.map_or((CloseCode(1005), String::new()), |frame| {
                        (CloseCode(frame.code.into()), frame.reason.to_string())
                    });
                    return Err(PlayerError::Closed { code, reason });
                }
                _ => {}
            }
        }
    }

    /// None: a join, to be acknowledged.
    fn read(&mut self, frame: &[u8]) -> Result<Option<Event>, PlayerError> {
        let decoded = ServerFrame::decode(frame, Dialect::V18);
        Ok(Some(match decoded.map_err(|error| PlayerError::Protocol(error.to_string()))? {
            ServerFrame::Join(join) => {
                join.token.clone_into(&mut self.token);
                return Ok(None);
            }
            ServerFrame::State { body, .. } => {
                let tick =
                    tick_of(body).ok_or_else(|| PlayerError::Protocol("a state without a tick".into()))?;
                Event::State { tick }
            }
            ServerFrame::Patch { body, .. } => {
                let mut hasher = DefaultHasher::new();
                hasher.write(body);
                Event::Patch { tick: tick_of(body), hash: hasher.finish() }
            }
            ServerFrame::Data { ty: MessageType::Text("echo"), payload } => {
                let sent = std::str::from_utf8(payload.get(1..).unwrap_or_default())
                    .ok()
                    .and_then(|text| u64::from_str_radix(text, 16).ok())
                    .ok_or_else(|| PlayerError::Protocol("an echo that nobody sent".into()))?;
                let now = self.began.elapsed();
                Event::Echo { took: now.saturating_sub(Duration::from_nanos(sent)) }
            }
            _ => Event::Other,
        }))
    }

    /// Asks the room to answer with the time of now.
    pub(crate) async fn echo(&mut self) -> Result<(), PlayerError> {
        // A msgpack string of sixteen characters: every server gives back a string as it is.
        let payload = format!("\u{0}{:016x}", self.began.elapsed().as_nanos() as u64);
        let mut payload = payload.into_bytes();
        payload[0] = 0xb0;
        self.send(ClientFrame::Data { ty: MessageType::Text("echo"), payload: &payload }).await
    }

    /// Steers the ship.
    pub(crate) async fn turn(&mut self, angle: f64) -> Result<(), PlayerError> {
        let mut payload = [0xcb; 9];
        payload[1..].copy_from_slice(&angle.to_be_bytes());
        self.send(ClientFrame::Data { ty: MessageType::Text("turn"), payload: &payload }).await
    }

    /// Gives the seat back and waits until the server closed the connection.
    pub(crate) async fn leave(mut self) {
        let leaving = async {
            if self.send(ClientFrame::Leave).await.is_ok() {
                while self.next().await.is_ok() {}
            }
        };
        // A server that does not answer loses the connection, which is a leave too.
        drop(tokio::time::timeout(Duration::from_secs(5), leaving).await);
    }

    async fn send(&mut self, frame: ClientFrame<'_>) -> Result<(), PlayerError> {
        self.out.clear();
        frame.encode(&mut self.out);
        let message = Message::Binary(self.out.clone().into());
        self.socket.send(message).await.map_err(|error| match error {
            tungstenite::Error::Io(error) => PlayerError::Away(error),
            error => PlayerError::Away(io::Error::other(error)),
        })
    }
}

/// The arena's tick is the first field of its root, and the root comes first: operation and index in one byte, then
/// the number. None when the bytes begin with something else.
fn tick_of(body: &[u8]) -> Option<u32> {
    let body = body.strip_prefix(&[0xff, 0x00]).unwrap_or(body);
    match body {
        [0x80 | 0x00, a, b, c, d, ..] => Some(u32::from_le_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}

async fn connect(address: &str, path: &str) -> Result<WebSocketStream<TcpStream>, PlayerError> {
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    // Thousands of these live in one process: small buffers.
    let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
    let handshake =
        tokio_tungstenite::client_async_with_config(format!("ws://{address}{path}"), tcp, Some(config));
    match tokio::time::timeout(PATIENCE, handshake).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(tungstenite::Error::Http(answer))) => Err(PlayerError::Refused {
            status: answer.status().as_u16(),
            body: String::from_utf8_lossy(answer.body().as_deref().unwrap_or_default()).into_owned(),
        }),
        Ok(Err(tungstenite::Error::Io(error))) => Err(PlayerError::Away(error)),
        // The server died between the accept and its answer.
        Ok(Err(tungstenite::Error::Protocol(tungstenite::error::ProtocolError::HandshakeIncomplete))) => {
            Err(PlayerError::Away(io::ErrorKind::UnexpectedEof.into()))
        }
        Ok(Err(error)) => Err(PlayerError::Protocol(error.to_string())),
        Err(_) => Err(PlayerError::Away(io::ErrorKind::TimedOut.into())),
    }
}

/// One request on a connection of its own. Returns status and body.
pub(crate) async fn post(address: &str, path: &str, body: &str) -> Result<(u16, String), PlayerError> {
    let exchange = async {
        let mut tcp = TcpStream::connect(address).await?;
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\naccept: application/json\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        tcp.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        tcp.take(64 << 10).read_to_end(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let answer = match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(answer) => answer?,
        Err(_) => return Err(PlayerError::Away(io::ErrorKind::TimedOut.into())),
    };
    if answer.is_empty() {
        return Err(PlayerError::Away(io::ErrorKind::UnexpectedEof.into()));
    }
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| PlayerError::Protocol("an answer without a status".into()))?;
    Ok((status, body.to_owned()))
}
