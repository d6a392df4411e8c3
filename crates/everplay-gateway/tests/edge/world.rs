//! A gateway in front of echo rooms, and players.

use bytes::Bytes;
use everplay_gateway::{
    Attach, AttachError, Attached, BoxFuture, Frame, FrameKind, Handle, MatchError, MatchRequest, Options,
    Outbox, Parts, PushError, Readiness, RoomInbox, Rooms, Service,
};
use everplay_types::CloseCode;
use everplay_wire::matchmake::{RoomListing, SeatReservation};
use everplay_wire::{ClientFrame, InputOptions, MessageType, server_frame};
use futures_util::{SinkExt, StreamExt};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message};

/// Longest time anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Rooms that echo messages, and write down what the gateway tells them.
#[derive(Default)]
pub(crate) struct EchoRooms {
    pub(crate) requests: Mutex<Vec<MatchRequest>>,
    pub(crate) attaches: Mutex<Vec<Attach>>,
    pub(crate) events: Arc<Mutex<Vec<String>>>,
    pub(crate) outboxes: Mutex<HashMap<String, Outbox>>,
    /// Set: `NotReady` with this reason.
    pub(crate) not_ready: Mutex<Option<String>>,
    /// Whether the Redis behind the rooms answers, if there is one.
    pub(crate) redis: Mutex<Option<bool>>,
    /// Set: mailboxes are full.
    pub(crate) full: Arc<Mutex<bool>>,
    pub(crate) messages_per_second: Option<u32>,
}

impl Rooms for EchoRooms {
    fn matchmake(&self, request: MatchRequest) -> BoxFuture<'_, Result<SeatReservation, MatchError>> {
        self.requests.lock().unwrap().push(request.clone());
        Box::pin(async move {
            let error = |code, message: &str| Err(MatchError::new(code, message));
            match request.target.as_str() {
                "echo" => Ok(SeatReservation::new(
                    "good".to_owned(),
                    RoomListing {
                        name: "echo".to_owned(),
                        process_id: "p1".to_owned(),
                        room_id: "r1".to_owned(),
                        clients: 1,
                        max_clients: Some(2),
                        public_address: None,
                    },
                )),
                "busy" => Err(MatchError {
                    retry_after: Some(Duration::from_millis(1_500)),
                    ..MatchError::new(429, "too many requests; ask again later")
                }),
                "teapot" => error(418, "short and stout"),
                "custom" => error(4242, "an application's own code"),
                "never" => std::future::pending().await,
                _ => error(520, "provided room name \"x\" not defined"),
            }
        })
    }

    fn attach(&self, request: Attach, outbox: Outbox) -> BoxFuture<'_, Result<Attached, AttachError>> {
        self.attaches.lock().unwrap().push(request.clone());
        Box::pin(async move {
            match request.session.as_str() {
                "restoring" => return Err(AttachError::Restoring),
                "never" => return std::future::pending().await,
                "banned" => return Err(AttachError::Refused { code: 401, message: "banned".to_owned() }),
                session if session.starts_with("good") => {}
                _ => return Err(AttachError::NoSeat),
            }
            outbox.deliver(control(Bytes::from_static(b"\x0a\x03tok\x04none")));
            self.outboxes.lock().unwrap().insert(request.session.clone(), outbox.clone());
            let inbox = EchoInbox { outbox, events: Arc::clone(&self.events), full: Arc::clone(&self.full) };
            Ok(Attached {
                inbox: Box::new(inbox),
                messages_per_second: self.messages_per_second,
                inputs: InputOptions::default(),
            })
        })
    }

    fn readiness(&self) -> Readiness {
        match self.not_ready.lock().unwrap().clone() {
            None => Readiness::Ready,
            Some(reason) => Readiness::NotReady(reason),
        }
    }

    fn redis(&self) -> Option<bool> {
        *self.redis.lock().unwrap()
    }

    fn health(&self) -> serde_json::Value {
        serde_json::json!({"rooms": 1})
    }
}

struct EchoInbox {
    outbox: Outbox,
    events: Arc<Mutex<Vec<String>>>,
    full: Arc<Mutex<bool>>,
}

impl EchoInbox {
    fn note(&self, event: String) {
        self.events.lock().unwrap().push(event);
    }
}

impl RoomInbox for EchoInbox {
    fn push(&mut self, frame: ClientFrame<'_>, bytes: &Bytes) -> Result<(), PushError> {
        if *self.full.lock().unwrap() {
            return Err(PushError::Full);
        }
        match frame {
            ClientFrame::Ack => {
                self.note("ack".to_owned());
                self.outbox.deliver(state(Bytes::from_static(b"\x0estate")));
            }
            ClientFrame::Leave => {
                self.note("leave".to_owned());
                self.outbox.close(CloseCode::CONSENTED, "left");
            }
            ClientFrame::Data { .. } => self.outbox.deliver(message(bytes.clone())),
            ClientFrame::Ping => self.outbox.deliver(control(server_frame::ping())),
            other => self.note(format!("{other:?}")),
        }
        Ok(())
    }

    fn resync(&mut self) {
        self.note("resync".to_owned());
        self.outbox.deliver(state(Bytes::from_static(b"\x0eresync")));
    }

    fn closed(&mut self, code: CloseCode) {
        self.note(format!("closed {}", code.0));
    }
}

pub(crate) fn control(bytes: Bytes) -> Frame {
    Frame { bytes, kind: FrameKind::Control }
}

pub(crate) fn state(bytes: Bytes) -> Frame {
    Frame { bytes, kind: FrameKind::State }
}

pub(crate) fn message(bytes: Bytes) -> Frame {
    Frame { bytes, kind: FrameKind::Message }
}

pub(crate) fn patch(len: usize) -> Frame {
    let mut bytes = vec![0; len];
    bytes[0] = 15;
    Frame { bytes: bytes.into(), kind: FrameKind::Patch }
}

/// A message of type `t` with this payload.
pub(crate) fn data(payload: &[u8]) -> Vec<u8> {
    ClientFrame::Data { ty: MessageType::Text("t"), payload }.to_vec()
}

/// A running gateway. Ends with the value.
pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) handle: Handle,
    pub(crate) rooms: Arc<EchoRooms>,
    pub(crate) running: tokio::task::JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl World {
    pub(crate) fn new() -> World {
        World::with(|_| {})
    }

    /// With other settings.
    pub(crate) fn with(change: impl FnOnce(&mut Options)) -> World {
        World::build(EchoRooms::default(), change, |_| {})
    }

    pub(crate) fn build(
        rooms: EchoRooms,
        change: impl FnOnce(&mut Options),
        plug: impl FnOnce(&mut Parts),
    ) -> World {
        let mut options = Options { port: 0, ..Options::default() };
        options.limits.close = Duration::from_millis(500);
        change(&mut options);
        let rooms = Arc::new(rooms);
        let mut parts = Parts::new(Arc::clone(&rooms) as Arc<dyn Rooms>);
        plug(&mut parts);
        let service = Service::bind(options, parts).unwrap();
        let (address, handle) = (service.address(), service.handle());
        World { address, handle, rooms, running: tokio::spawn(service.run()) }
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.rooms.events.lock().unwrap().clone()
    }

    pub(crate) fn outbox(&self, session: &str) -> Outbox {
        self.rooms.outboxes.lock().unwrap()[session].clone()
    }

    /// Waits for a condition.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&World) -> bool) {
        let waiting = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "{what} did not happen; events: {:?}", self.events());
    }

    pub(crate) async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// One request on a connection of its own.
    pub(crate) async fn http(&self, request: &str) -> Answer {
        let mut tcp = self.tcp().await;
        tcp.write_all(request.replace('\n', "\r\n").as_bytes()).await.unwrap();
        Answer::read(&mut tcp).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.http(&format!("GET {path} HTTP/1.1\nhost: h\nconnection: close\n\n")).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        let length = body.len();
        self.http(&format!(
            "POST {path} HTTP/1.1\nhost: h\nconnection: close\ncontent-length: {length}\n\n{body}"
        ))
        .await
    }

    /// A WebSocket at `path`.
    pub(crate) async fn open(&self, path: &str) -> Player {
        let url = format!("ws://{}{path}", self.address);
        let (socket, _) = tokio_tungstenite::client_async(url, self.tcp().await).await.unwrap();
        Player { socket }
    }

    /// A player that has joined and read the first state.
    pub(crate) async fn join(&self, session: &str) -> Player {
        let mut player = self.open(&format!("/p1/r1?sessionId={session}")).await;
        assert_eq!(player.binary().await[0], 10);
        player.send(&[10]).await;
        assert_eq!(player.binary().await, &b"\x0estate"[..]);
        player
    }
}

pub(crate) struct Player {
    pub(crate) socket: WebSocketStream<TcpStream>,
}

impl Player {
    pub(crate) async fn send(&mut self, frame: &[u8]) {
        self.socket.send(Message::Binary(frame.to_vec().into())).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> Option<Result<Message, tungstenite::Error>> {
        tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("an answer in time")
    }

    /// The next binary message.
    pub(crate) async fn binary(&mut self) -> Bytes {
        loop {
            match self.next().await {
                Some(Ok(Message::Binary(bytes))) => return bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("{other:?} instead of a binary message"),
            }
        }
    }

    /// Reads to the end; the close code and reason.
    pub(crate) async fn close_frame(&mut self) -> (u16, String) {
        loop {
            match self.next().await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(Message::Close(None))) | None => panic!("closed without a code"),
                Some(Ok(_)) => {}
                Some(Err(error)) => panic!("{error} instead of a close frame"),
            }
        }
    }

    pub(crate) async fn close_code(&mut self) -> u16 {
        self.close_frame().await.0
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// Reads one answer with a length, or to the end.
    pub(crate) async fn read(tcp: &mut TcpStream) -> Answer {
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            if let Some(answer) = Answer::parse(&bytes) {
                return answer;
            }
            let read = tokio::time::timeout(PATIENCE, tcp.read(&mut chunk))
                .await
                .expect("an answer in time")
                .unwrap();
            assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&bytes));
            bytes.extend_from_slice(&chunk[..read]);
        }
    }

    fn parse(bytes: &[u8]) -> Option<Answer> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        // What follows a switch of protocols is not HTTP.
        let body = if head.contains(" 101 ") { "" } else { std::str::from_utf8(&bytes[end + 4..]).unwrap() };
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
        let headers: Vec<_> = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
            .collect();
        let answer = Answer { status, headers, body: body.to_owned() };
        let length = match answer.header("content-length") {
            Some(length) => length.parse().unwrap(),
            None => 0,
        };
        (body.len() >= length).then_some(answer)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The code in the error envelope, whose other parts must be there.
    #[track_caller]
    pub(crate) fn envelope_code(&self) -> String {
        let json = self.json();
        let error = &json["error"];
        assert!(error["message"].is_string() && error["timestamp"].is_string(), "{json}");
        assert_eq!(error["requestId"].as_str(), self.header("x-request-id"), "{json}");
        error["code"].as_str().unwrap().to_owned()
    }
}
