//! The plain way into the waiting line: JSON over a WebSocket, for clients without an SDK.
//!
//! ```text
//! {"action":"joinQueue"} -> frame -> the room `line`, as a client in this process
//! {"action":"queueUpdate","data":[..]} <- frame <-'
//! ```
//!
//! A connection is a client of the room like any other: it asks matchmaking for a seat, is attached through a sink of
//! its own, and sends and reads frames. It asks the room for messages instead of state. The connection id is the session
//! id, so both ways in name players alike. The shapes are those of docs/line.md.
//!
//! Bounds: what the room sends waits in a queue of [`QUEUE`] messages; a client that does not take them is closed. Ten
//! seconds for a message to leave. Twenty messages a second, as the room's kind allows.

mod plain;
mod records;

pub(crate) use plain::{AllConnections, PlainConnections};
pub(crate) use records::KeepLine;

use axum::http::StatusCode;
use bytes::Bytes;
use everplay_api::levels::{Coming, Levels};
use everplay_api::{ErrorBody, timestamp};
use everplay_gateway::{Incoming, Socket, SocketHandler};
use everplay_node::{Attach, ClientSink, Handle, MatchRequest, Method, RoomLink};
use everplay_room::{AuthRequest, FrameKind};
use everplay_types::CloseCode;
use everplay_wire::{ClientFrame, Dialect, MessageType, ResponseStatus, ServerFrame, msgpack};
use plain::Entry;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;

/// Where the plain WebSocket is: our name for it, and that of the origin's stage.
pub(crate) const PATHS: [&str; 2] = ["/line/live", "/production"];
/// The room kind.
const ROOM: &str = "line";
/// Messages of the room that wait for the socket.
const QUEUE: usize = 256;
/// How long one message may take to leave.
const SENDING: Duration = Duration::from_secs(10);
/// How long the end of a socket may take.
const ENDING: Duration = Duration::from_secs(2);
/// Longest message of a client.
const MOST: usize = 4096;
/// The one request that is asked of the room.
const ENTER: u32 = 1;

/// Serves the plain WebSocket.
pub(crate) fn handler(node: Handle, levels: Levels, connections: Arc<PlainConnections>) -> SocketHandler {
    Arc::new(move |socket| {
        let (node, levels, connections) = (node.clone(), levels.clone(), Arc::clone(&connections));
        Box::pin(async move { serve(node, &levels, connections, socket).await })
    })
}

/// What the room sends, on its way to the socket.
enum Sent {
    Frame(Bytes),
    Close(CloseCode, String),
}

/// A plain client as the room sees it. State and patches are not looked at.
struct PlainSink {
    sent: mpsc::Sender<Sent>,
    /// Something found the queue full: the connection has to end.
    full: Arc<AtomicBool>,
}

impl PlainSink {
    fn put(&self, sent: Sent) {
        if self.sent.try_send(sent).is_err() {
            self.full.store(true, Ordering::Relaxed);
        }
    }
}

impl ClientSink for PlainSink {
    fn deliver(&self, kind: FrameKind, bytes: Bytes) {
        if kind == FrameKind::Message {
            self.put(Sent::Frame(bytes));
        }
    }

    fn close(&self, code: CloseCode, reason: &str) {
        self.put(Sent::Close(code, reason.to_owned()));
    }
}

/// What a client says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    action: String,
    #[serde(default)]
    connection_id: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    cell: Option<Value>,
}

/// How a connection ends.
struct End(CloseCode, String);

/// One connection in its place.
struct Seated {
    id: String,
    link: RoomLink,
    full: Arc<AtomicBool>,
    greeted: bool,
    window: (Instant, u32),
}

async fn serve(node: Handle, levels: &Levels, connections: Arc<PlainConnections>, mut socket: Socket) {
    let (sender, mut sent) = mpsc::channel(QUEUE);
    // The line is there to open rooms.
    let admitted = levels.admit_player(Coming::Opening).map_err(|refusal| refusal.message);
    let seated = match admitted {
        Ok(()) => sit(&node, sender).await,
        Err(refused) => Err(refused),
    };
    let seated = match seated {
        Ok(seated) => seated,
        Err(message) => {
            let refusal = refusal("", None, StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", &message);
            let _ = say(&mut socket, &refusal).await;
            socket.queue_close(CloseCode::MAY_TRY_RECONNECT, &message);
            return socket.finish(ENDING).await;
        }
    };
    let (entry, mut posts) = connections.enter(&seated.id);
    let End(code, reason) = talk(seated, &mut socket, &mut sent, &mut posts, entry).await;
    socket.queue_close(code, &reason);
    socket.finish(ENDING).await;
}

/// A place in the line, as a client of the room.
async fn sit(node: &Handle, sender: mpsc::Sender<Sent>) -> Result<Seated, String> {
    let request = MatchRequest {
        method: Method::JoinOrCreate,
        target: ROOM.to_owned(),
        options: json!({ "plain": true }),
        auth: AuthRequest::default(),
    };
    let seat = node.matchmake(request).await.map_err(|error| error.to_string())?;
    let id = seat.session_id.to_string();
    let attach = Attach {
        room: seat.room_id,
        session: seat.session_id,
        token: None,
        skip_handshake: true,
        dialect: Some(Dialect::V18),
    };
    let full = Arc::new(AtomicBool::new(false));
    let sink = PlainSink { sent: sender, full: Arc::clone(&full) };
    let link = node.attach(attach, Arc::new(sink)).await.map_err(|error| error.to_string())?;
    Ok(Seated { id, link, full, greeted: false, window: (Instant::now(), 0) })
}

async fn talk(
    mut seated: Seated,
    socket: &mut Socket,
    sent: &mut mpsc::Receiver<Sent>,
    posts: &mut mpsc::Receiver<plain::Post>,
    entry: Entry,
) -> End {
    let end = loop {
        let texts = tokio::select! {
            incoming = socket.recv() => match incoming {
                Ok(Incoming::Text(text)) => seated.hear(&text),
                Ok(Incoming::Binary(_)) => {
                    vec![refusal(&seated.id, None, StatusCode::BAD_REQUEST, "INVALID_REQUEST", "messages are text")]
                }
                Ok(Incoming::Control) => Vec::new(),
                Ok(Incoming::Close(_)) => break End(CloseCode::NORMAL, String::new()),
                Err(violation) => {
                    let code = violation.close_code().unwrap_or(CloseCode::NORMAL);
                    break End(code, violation.to_string());
                }
            },
            frame = sent.recv() => match frame {
                Some(Sent::Frame(_)) if seated.full.load(Ordering::Relaxed) => {
                    break End(CloseCode::TOO_SLOW, "too much was waiting for this client".to_owned());
                }
                Some(Sent::Frame(bytes)) => match relayed(&bytes) {
                    Some(post) => {
                        entry.relayed(post);
                        continue;
                    }
                    None => seated.tell(&bytes),
                },
                Some(Sent::Close(code, reason)) => break End(code, reason),
                None => break End(CloseCode::MAY_TRY_RECONNECT, "the line is gone".to_owned()),
            },
            post = posts.recv() => match post {
                Some(plain::Post::Text(text)) => {
                    if !matches!(send(socket, text).await, Ok(())) {
                        break End(CloseCode::TOO_SLOW, String::new());
                    }
                    continue;
                }
                Some(plain::Post::Close) | None => {
                    break End(CloseCode::NORMAL, "closed by the service".to_owned());
                }
            },
        };
        let mut slow = false;
        for text in texts {
            slow |= say(socket, &text).await.is_err();
        }
        if slow {
            break End(CloseCode::TOO_SLOW, "too slow".to_owned());
        }
    };
    // A plain client has no way back to its place: whatever ended the connection, it leaves the line.
    seated.push(ClientFrame::Leave);
    seated.link.closed(CloseCode::NORMAL);
    drop(entry);
    end
}

/// What another node has the room say to this connection, if the frame is that.
fn relayed(bytes: &[u8]) -> Option<plain::Post> {
    match ServerFrame::decode(bytes, Dialect::V18) {
        Ok(ServerFrame::Data { ty: MessageType::Text(plain::RELAYED), payload }) => {
            let text: Option<String> = msgpack::from_slice(payload).ok()?;
            Some(text.map_or(plain::Post::Close, plain::Post::Text))
        }
        _ => None,
    }
}

async fn say(socket: &mut Socket, text: &Value) -> Result<(), ()> {
    send(socket, text.to_string()).await
}

async fn send(socket: &mut Socket, text: String) -> Result<(), ()> {
    match tokio::time::timeout(SENDING, socket.send_text(text.into())).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(()),
    }
}

impl Seated {
    fn push(&self, frame: ClientFrame<'_>) -> bool {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.link.push(bytes.into()).is_ok()
    }

    fn data(&self, action: &str, kind: &str, payload: &Value) -> Vec<Value> {
        let payload = msgpack::to_vec(payload).expect("JSON can be encoded");
        if self.push(ClientFrame::Data { ty: MessageType::Text(kind), payload: &payload }) {
            return Vec::new();
        }
        vec![self.refuse(action, StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "the line is busy")]
    }

    fn refuse(&self, action: &str, status: StatusCode, code: &str, message: &str) -> Value {
        refusal(&self.id, Some(action), status, code, message)
    }

    /// What a client said: goes to the room, or is answered here.
    fn hear(&mut self, text: &str) -> Vec<Value> {
        let now = Instant::now();
        if now.duration_since(self.window.0) >= Duration::from_secs(1) {
            self.window = (now, 0);
        }
        self.window.1 += 1;
        if self.window.1 > self.link.messages_per_second() {
            let status = StatusCode::TOO_MANY_REQUESTS;
            return vec![refusal(&self.id, None, status, "RATE_LIMITED", "too many messages in a second")];
        }
        let said = Some(text).filter(|text| text.len() <= MOST);
        let Some(said) = said.and_then(|text| serde_json::from_str::<Said>(text).ok()) else {
            let problem = "a message is an object with an action, of at most 4 KiB";
            return vec![refusal(&self.id, None, StatusCode::BAD_REQUEST, "INVALID_REQUEST", problem)];
        };
        match said.action.as_str() {
            "sendInfo" => vec![self.hello()],
            "joinQueue" => {
                if self.push(ClientFrame::Request { id: ENTER, ty: MessageType::Text("enter"), payload: &[] })
                {
                    return Vec::new();
                }
                vec![self.refuse(
                    "joinQueue",
                    StatusCode::SERVICE_UNAVAILABLE,
                    "UNAVAILABLE",
                    "the line is busy",
                )]
            }
            "updateDB" if said.connection_id.as_ref().is_some_and(|id| *id != self.id) => {
                let problem = "a connection changes its own record only";
                vec![self.refuse("updateDB", StatusCode::FORBIDDEN, "FORBIDDEN", problem)]
            }
            "updateDB" => match said.username {
                Some(name) => self.data("updateDB", "name", &json!({ "name": name })),
                None => {
                    vec![self.refuse(
                        "updateDB",
                        StatusCode::BAD_REQUEST,
                        "INVALID_REQUEST",
                        "username is missing",
                    )]
                }
            },
            // Whatever it says: the room refuses it, because the table's own game decides.
            "gameOVER" => self.data("gameOVER", "gameOVER", &Value::Null),
            "move" => self.data("move", "move", &json!({ "cell": said.cell })),
            "forfeit" => self.data("forfeit", "forfeit", &Value::Null),
            "leaveQueue" => self.data("leaveQueue", "stepOut", &Value::Null),
            _ => {
                let problem = "joinQueue, updateDB, sendInfo, move, forfeit and leaveQueue are understood";
                vec![refusal(&self.id, None, StatusCode::BAD_REQUEST, "UNKNOWN_ACTION", problem)]
            }
        }
    }

    /// What the room said, in the client's words.
    fn tell(&mut self, bytes: &[u8]) -> Vec<Value> {
        let Ok(frame) = ServerFrame::decode(bytes, Dialect::V18) else { return Vec::new() };
        // The room is trusted with more memory than clients are: a line may be long.
        let limits = msgpack::Limits { allocation: 64 << 20, ..msgpack::Limits::default() };
        let payload = |bytes: &[u8]| {
            let value = msgpack::read_payload(bytes, limits).ok();
            value.and_then(|value| msgpack::from_value::<Value>(value).ok()).unwrap_or_default()
        };
        match frame {
            ServerFrame::Join(_) => {
                self.push(ClientFrame::Ack);
                if std::mem::replace(&mut self.greeted, true) { Vec::new() } else { vec![self.hello()] }
            }
            ServerFrame::Data { ty: MessageType::Text(kind), payload: content } => {
                vec![json!({ "action": kind, "data": payload(content) })]
            }
            ServerFrame::Bytes { ty: MessageType::Text(kind), bytes } => {
                vec![json!({ "action": kind, "data": dated(payload(bytes)) })]
            }
            ServerFrame::Error { code, message } => {
                let status = if code == 4311 { StatusCode::FORBIDDEN } else { StatusCode::BAD_REQUEST };
                vec![refusal(&self.id, None, status, &format!("ROOM_{code}"), message)]
            }
            ServerFrame::Response { id: ENTER, status: ResponseStatus::Ok, payload: content } => {
                vec![joined(payload(content))]
            }
            ServerFrame::Response { .. } => {
                vec![self.refuse("joinQueue", StatusCode::CONFLICT, "CONFLICT", "no place in the line")]
            }
            _ => Vec::new(),
        }
    }

    fn hello(&self) -> Value {
        json!({ "message": "Welcome to the line", "connectionId": self.id })
    }
}

/// The acknowledgement of a join.
fn joined(standing: Value) -> Value {
    let mut joined = json!({ "action": "joinedQueue", "status": "inactive" });
    if standing["status"] == "playing" {
        joined["status"] = "active".into();
        joined["marker"] = standing["mark"].clone();
    } else {
        joined["position"] = standing["position"].clone();
        joined["waitMs"] = standing["waitMs"].clone();
    }
    joined
}

/// Records with their times as the world writes them.
fn dated(mut records: Value) -> Value {
    for record in records.as_array_mut().into_iter().flatten() {
        // Times are too large for the integers of the SDKs' msgpack and come as floats.
        if let Some(ms) = record["joinedAt"].as_f64() {
            record["joinedAt"] = timestamp(UNIX_EPOCH + Duration::from_millis(ms as u64)).into();
        }
    }
    records
}

/// The error envelope of the services, as a message.
fn refusal(id: &str, action: Option<&str>, status: StatusCode, code: &str, message: &str) -> Value {
    let error = ErrorBody {
        code: code.to_owned(),
        message: message.to_owned(),
        details: action.map_or(Value::Null, |action| json!({ "action": action })),
        timestamp: timestamp(SystemTime::now()),
        request_id: id.to_owned(),
    };
    json!({ "action": "error", "statusCode": status.as_u16(), "error": error })
}
