//! A game told as it happens, over a WebSocket of plain JSON.
//!
//! ```text
//! server -> {type, data: Game, timestamp}            connection_established first, then what happens
//! client -> {type, id, data}                         authenticate, make_move, abandon_game, get_game_state, ping
//! server -> {type: "response", id, data} or {type: "error", id, error: {code, message, details}}
//! ```
//!
//! What is told is what rooms have told: a socket that comes late, or reads slowly, sees fewer steps and the same game.
//! Who acts proves who it is each time, with the token of the handshake or of `authenticate`.

use super::play::{forfeit_in, play_in};
use super::{Following, Game, GameNow, GameServices, Stage, find, game_id};
use crate::error::timestamp;
use crate::identity::bearer;
use crate::{ApiError, Caller, MaybePlayer, Path};
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use everplay_accounts::Principal;
use everplay_records::GameId;
use everplay_types::Identity;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// Bytes of a client's message.
const MESSAGE: usize = 10 << 10;
/// Messages of a client in a minute.
const MESSAGES: u32 = 100;
/// Between two pings.
const PING: Duration = Duration::from_secs(30);
/// A client that was not heard of for this long, two pings and five seconds, is gone.
const SILENCE: Duration = Duration::from_secs(65);
/// How long a client may take to take what it is sent.
const SENDING: Duration = Duration::from_secs(10);

/// Close codes of RFC 6455.
const NORMAL: u16 = 1000;
const GOING_AWAY: u16 = 1001;
const POLICY: u16 = 1008;

/// Follow a game
///
/// A WebSocket of JSON texts: `connection_established`, then `player_joined`, `move_made`, `game_state` and at last
/// `game_ended` or `game_abandoned`, each with the game as `data`. Players may act in it: see `docs/games.md`.
#[utoipa::path(
    get, path = "/games/{id}/live", tag = "games", operation_id = "followGame",
    params(("id" = String, Path, description = "The game")),
    responses((status = 101, description = "The socket"))
)]
pub(super) async fn live(
    State(services): State<GameServices>,
    who: MaybePlayer,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let id = game_id(&id)?;
    let upgrade = upgrade.map_err(|_| {
        ApiError::new(StatusCode::UPGRADE_REQUIRED, "UPGRADE_REQUIRED", "this is a WebSocket")
    })?;
    let following = find(&services, who.0.as_ref(), &id).await?;
    let token = bearer(&headers).map(str::to_owned);
    let upgrade = upgrade.max_message_size(MESSAGE).max_frame_size(MESSAGE);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let _counted = caller.socket;
        let mut live = Live { services, id, token, who: who.0, socket, heard: Instant::now() };
        let close = live.run(following).await;
        // A client that is gone cannot be told.
        drop(timeout(SENDING, live.socket.send(Message::Close(close))).await);
    }))
}

/// What clients send.
#[derive(Deserialize)]
struct Asked {
    #[serde(rename = "type")]
    ty: String,
    #[serde(default)]
    id: Value,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

#[derive(Deserialize)]
struct Move {
    position: Value,
    #[serde(default)]
    key: Option<String>,
}

struct Live {
    services: GameServices,
    id: GameId,
    token: Option<String>,
    /// As it was proved last.
    who: Option<Identity>,
    socket: WebSocket,
    heard: Instant,
}

/// The socket is over; None: without a word.
type Ended = Option<CloseFrame>;

fn closing(code: u16, reason: &'static str) -> Ended {
    Some(CloseFrame { code, reason: reason.into() })
}

impl Live {
    async fn run(&mut self, mut following: Following) -> Ended {
        let mut told = Arc::clone(&following.borrow_and_update());
        if let Err(ended) = self.tell("connection_established", &told).await {
            return ended;
        }
        if told.stage.is_over() {
            return closing(NORMAL, "the game is over");
        }
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut minute, mut messages) = (Instant::now(), 0);
        loop {
            let done = tokio::select! {
                changed = following.changed() => match changed {
                    Ok(()) => {
                        let now = Arc::clone(&following.borrow_and_update());
                        let before = std::mem::replace(&mut told, Arc::clone(&now));
                        self.tell_change(&before, &now).await
                    }
                    Err(_) => Err(closing(GOING_AWAY, "the room cannot be followed here any longer: come again")),
                },
                message = self.socket.recv() => {
                    if minute.elapsed() >= Duration::from_secs(60) {
                        (minute, messages) = (Instant::now(), 0);
                    }
                    messages += 1;
                    match message {
                        Some(Ok(_)) if messages > MESSAGES => Err(closing(POLICY, "too many messages")),
                        Some(Ok(message)) => self.message(message).await,
                        Some(Err(_)) | None => Err(None),
                    }
                }
                _ = pings.tick() => self.ping().await,
            };
            if let Err(ended) = done {
                return ended;
            }
        }
    }

    async fn send(&mut self, value: &Value) -> Result<(), Ended> {
        let sent = timeout(SENDING, self.socket.send(Message::text(value.to_string()))).await;
        if matches!(sent, Ok(Ok(()))) { Ok(()) } else { Err(None) }
    }

    async fn ping(&mut self) -> Result<(), Ended> {
        if self.heard.elapsed() > SILENCE {
            return Err(None);
        }
        let sent = timeout(SENDING, self.socket.send(Message::Ping(Default::default()))).await;
        if matches!(sent, Ok(Ok(()))) { Ok(()) } else { Err(None) }
    }

    async fn tell(&mut self, ty: &str, now: &GameNow) -> Result<(), Ended> {
        let game = Game::now(now, self.who.as_ref());
        self.send(&json!({ "type": ty, "data": game, "timestamp": timestamp(SystemTime::now()) })).await
    }

    /// Everything that happened between two states, then the end if it is over.
    async fn tell_change(&mut self, before: &GameNow, now: &GameNow) -> Result<(), Ended> {
        if now.id != self.id {
            return Err(closing(NORMAL, "the room is in its next game"));
        }
        let mut happened = Vec::new();
        if before.stage == Stage::Waiting && now.players.len() > before.players.len() {
            happened.push("player_joined");
        }
        if now.moves.len() > before.moves.len() {
            happened.push("move_made");
        }
        match now.stage {
            Stage::Abandoned => happened.push("game_abandoned"),
            stage if stage.is_over() => happened.push("game_ended"),
            _ if happened.is_empty() => happened.push("game_state"),
            _ => {}
        }
        for ty in happened {
            self.tell(ty, now).await?;
        }
        if now.stage.is_over() { Err(closing(NORMAL, "the game is over")) } else { Ok(()) }
    }

    async fn message(&mut self, message: Message) -> Result<(), Ended> {
        self.heard = Instant::now();
        let text = match message {
            Message::Text(text) => text,
            // Pings are answered by the socket itself.
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Close(_) => return Err(None),
            Message::Binary(_) => return Err(closing(1003, "messages are texts")),
        };
        let Ok(Asked { ty, id, data }) = serde_json::from_str(&text) else {
            let refusal = ApiError::invalid("messages are JSON: type, id, data");
            return self.refuse(Value::Null, &refusal).await;
        };
        match self.act(&ty, data).await {
            Ok(data) => self.send(&json!({ "type": "response", "id": id, "data": data })).await,
            Err(refusal) => self.refuse(id, &refusal).await,
        }
    }

    async fn refuse(&mut self, id: Value, refusal: &ApiError) -> Result<(), Ended> {
        let error = json!({ "code": refusal.code, "message": refusal.message, "details": refusal.details });
        self.send(&json!({ "type": "error", "id": id, "error": error })).await
    }

    async fn act(&mut self, ty: &str, data: Value) -> Result<Value, ApiError> {
        let misfit = || ApiError::invalid_field("data", "it does not fit the type of the message");
        let now = match ty {
            "ping" => return Ok(json!({ "type": "pong" })),
            "authenticate" => {
                let Token { token } = serde_json::from_value(data).map_err(|_| misfit())?;
                self.token = Some(token);
                let who = self.identity().await?;
                // Who plays is in the seat again.
                drop(find(&self.services, Some(&who), &self.id).await?);
                return Ok(json!({ "userId": who.id, "name": who.name }));
            }
            "make_move" => {
                let Move { position, key } = serde_json::from_value(data).map_err(|_| misfit())?;
                let who = self.identity().await?;
                play_in(&self.services, &who, &self.id, position, key).await?
            }
            "abandon_game" => {
                let who = self.identity().await?;
                Arc::new(forfeit_in(&self.services, &who, &self.id).await?)
            }
            "get_game_state" => {
                let following = find(&self.services, self.who.as_ref(), &self.id).await?;
                Arc::clone(&following.borrow())
            }
            _ => return Err(ApiError::invalid_field("type", "there is no such type")),
        };
        serde_json::to_value(Game::now(&now, self.who.as_ref())).map_err(|_| ApiError::internal())
    }

    /// Who holds the token, now.
    async fn identity(&mut self) -> Result<Identity, ApiError> {
        let token = self.token.as_deref().ok_or_else(ApiError::unauthenticated)?;
        let principal = self.services.authenticate.authenticate(token).await?;
        let Principal::Player(identity) = principal else {
            return Err(ApiError::forbidden("this is for players, not for servers"));
        };
        self.who = Some(identity.clone());
        Ok(identity)
    }
}
