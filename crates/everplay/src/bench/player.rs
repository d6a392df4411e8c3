//! One client of an arena, as little of one as a fair measurement needs: it joins, counts what arrives, comes back.
//!
//! It reads the room's tick from where it stands in an arena's bytes instead of decoding the whole state, so that the
//! driver costs less than what it drives; bytes that do not look so are an error, never skipped.

use everplay_client::{Client, Connection, JoinError, OwnedMessageType, Reconnection};
use std::hash::{DefaultHasher, Hasher};
use std::time::{Duration, Instant};
use thiserror::Error;

/// Why a client is not in its room (any more).
#[derive(Debug, Error)]
pub(crate) enum PlayerError {
    /// It never was.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The connection ended, and there was no way back.
    #[error("closed with {code}: {reason}")]
    Closed {
        /// Why.
        code: u16,
        /// In words.
        reason: String,
    },
    /// Something no arena sends.
    #[error("not understood: {0}")]
    Protocol(&'static str),
}

/// What arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The state, or a change of it.
    State {
        /// The whole state.
        full: bool,
        /// Of the room; None: it did not change.
        tick: Option<u32>,
        /// Of all its bytes.
        hash: u64,
    },
    /// The answer to an echo.
    Echo {
        /// How long it took.
        took: Duration,
    },
    /// The connection is gone; the client is on its way back.
    Dropped,
    /// Anything else.
    Other,
}

/// A client in its room.
pub(crate) struct Player {
    connection: Connection,
    /// Echoes carry the time since then.
    began: Instant,
}

/// How often a client knocks while the server is away. More often than the SDKs do: what is measured is the server.
const KNOCK: Duration = Duration::from_millis(20);

/// A client that is not back by then has lost its game.
pub(crate) const LOST: Duration = Duration::from_secs(30);

impl Player {
    /// Takes a seat in any room of this kind and waits for the state.
    pub(crate) async fn join(endpoint: &str, kind: &str) -> Result<Self, PlayerError> {
        let reconnection = Reconnection {
            min_uptime: Duration::ZERO,
            max_retries: (LOST.as_millis() / KNOCK.as_millis()) as u32,
            delay: KNOCK,
            max_delay: KNOCK,
            ..Reconnection::default()
        };
        let endpoint =
            Client::new(endpoint).map_err(|_| PlayerError::Protocol("the address is no http://host:port"))?;
        let client = endpoint.with_reconnection(reconnection).without_state();
        let connection = client.join_or_create(kind, &serde_json::json!({})).await?;
        let mut player = Self { connection, began: Instant::now() };
        while !matches!(player.next().await?, Event::State { full: true, .. }) {}
        Ok(player)
    }

    pub(crate) fn room(&self) -> &str {
        self.connection.room_id()
    }

    pub(crate) fn session(&self) -> &str {
        self.connection.session_id()
    }

    /// The next thing that arrives. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Result<Event, PlayerError> {
        let ended = || PlayerError::Closed { code: 1006, reason: String::new() };
        Ok(match self.connection.next().await.ok_or_else(ended)? {
            everplay_client::Event::State { full, body, .. } => {
                let tick = tick_of(&body);
                if full && tick.is_none() {
                    return Err(PlayerError::Protocol("a state without a tick"));
                }
                let mut hasher = DefaultHasher::new();
                hasher.write(&body);
                Event::State { full, tick, hash: hasher.finish() }
            }
            everplay_client::Event::Message { ty: OwnedMessageType::Text(ty), payload } if &*ty == "echo" => {
                let sent = payload.get::<String>().ok().and_then(|text| u64::from_str_radix(&text, 16).ok());
                let sent = sent.ok_or(PlayerError::Protocol("an echo that nobody sent"))?;
                Event::Echo { took: self.began.elapsed().saturating_sub(Duration::from_nanos(sent)) }
            }
            everplay_client::Event::Dropped { .. } => Event::Dropped,
            everplay_client::Event::Closed { code, reason } => {
                return Err(PlayerError::Closed { code, reason });
            }
            _ => Event::Other,
        })
    }

    /// Asks the room to answer with the time of now, as text: every server gives a text back as it is.
    pub(crate) async fn echo(&mut self) {
        let now = format!("{:016x}", self.began.elapsed().as_nanos() as u64);
        self.say("echo", &now).await;
    }

    /// Steers the ship.
    pub(crate) async fn turn(&mut self, angle: f64) {
        self.say("turn", &angle).await;
    }

    /// What goes wrong is told by the next event.
    async fn say<T: serde::Serialize>(&mut self, kind: &str, payload: &T) {
        if self.connection.send(kind, payload).is_ok() {
            let _ = self.connection.flush().await;
        }
    }

    /// Gives the seat back and waits until the server closed the connection.
    pub(crate) async fn leave(self) {
        // A server that does not answer loses the connection, which is a leave too.
        drop(tokio::time::timeout(Duration::from_secs(5), self.connection.leave()).await);
    }
}

/// The arena's tick is the first field of its root, and the root comes first: operation and index in one byte, then
/// the number. None when the bytes begin with something else.
fn tick_of(body: &[u8]) -> Option<u32> {
    match body.strip_prefix(&[0xff, 0x00]).unwrap_or(body) {
        [0x80, a, b, c, d, ..] => Some(u32::from_le_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}
