//! The client against a server that is written out frame by frame.

use everplay_client::{Client, Connection, Event, JoinError, Reconnection, RequestError, SendError};
use everplay_schema::{Generation, Replica, State};
use everplay_wire::matchmake::{RoomListing, SeatReservation};
use everplay_wire::{ClientFrame, JoinForm, MessageType, ResponseStatus, Serializer, msgpack, server_frame};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

#[derive(State, Default)]
struct Counter {
    count: u32,
}

/// A server that answers every reservation with the same seat and hands its sockets to the test.
struct Server {
    listener: TcpListener,
}

struct Peer {
    url: String,
    socket: WebSocketStream<TcpStream>,
}

impl Server {
    async fn start() -> (Server, Client) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(&format!("http://{}/v18", listener.local_addr().unwrap())).unwrap();
        let soon = Reconnection {
            min_uptime: Duration::ZERO,
            delay: Duration::from_millis(1),
            max_delay: Duration::from_millis(4),
            ..Reconnection::default()
        };
        (Server { listener }, client.with_reconnection(soon))
    }

    /// Answers one matchmaking request and returns its path and body.
    async fn answer(&self, status: u16, body: &str) -> (String, String) {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut request = String::new();
        loop {
            let mut chunk = [0; 1024];
            let len = stream.read(&mut chunk).await.unwrap();
            request += std::str::from_utf8(&chunk[..len]).unwrap();
            let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.unwrap().parse().unwrap() {
                break;
            }
        }
        let head = format!("HTTP/1.1 {status} Answer\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
    }

    async fn reserve(&self) -> (String, String) {
        let room = RoomListing {
            name: "main".into(),
            process_id: "p1".into(),
            room_id: "r1".into(),
            clients: 1,
            max_clients: None,
            public_address: None,
        };
        self.answer(200, &serde_json::to_string(&SeatReservation::new("s1".into(), room)).unwrap()).await
    }

    async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut url = String::new();
        #[expect(clippy::result_large_err, reason = "the callback's type is the library's")]
        let read_url = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            url = request.uri().to_string();
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, read_url).await.unwrap();
        Peer { url, socket }
    }

    /// Accepts a socket and joins its client under that token, with the counter at that value.
    async fn join(&self, token: &str, count: u32) -> Peer {
        let mut peer = self.accept().await;
        let handshake = Replica::<Counter>::handshake(Generation::Schema5);
        let join =
            server_frame::join_room(JoinForm::Probe, token, Serializer::Schema, &handshake, &[]).unwrap();
        peer.send(join).await;
        assert_eq!(peer.read().await, ClientFrame::Ack.to_vec());
        let mut replica = Replica::new(Counter { count });
        replica.patch();
        let mut state = Vec::new();
        replica.full_state(None, everplay_schema::FullForm::Join, &mut state);
        peer.send(server_frame::state(None, &state)).await;
        peer
    }
}

impl Peer {
    async fn send(&mut self, frame: bytes::Bytes) {
        self.socket.send(Message::Binary(frame)).await.unwrap();
    }

    async fn read(&mut self) -> Vec<u8> {
        match self.socket.next().await.unwrap().unwrap() {
            Message::Binary(frame) => frame.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    async fn close(&mut self, code: u16, reason: &'static str) {
        self.socket.close(Some(CloseFrame { code: code.into(), reason: reason.into() })).await.unwrap();
    }
}

async fn joined() -> (Server, Connection, Peer) {
    let (server, client) = Server::start().await;
    let serve = async {
        server.reserve().await;
        server.join("t1", 7).await
    };
    let (connection, peer) = tokio::join!(client.join_or_create("main", &()), serve);
    let mut connection = connection.unwrap();
    assert!(matches!(connection.next().await, Some(Event::State { full: true, .. })));
    (server, connection, peer)
}

#[tokio::test]
async fn joins_with_options_and_sees_the_state() {
    let (server, client) = Server::start().await;
    let options = json!({"level": 3});
    let serve = async { (server.reserve().await, server.join("t1", 7).await) };
    let (connection, ((path, body), peer)) = tokio::join!(client.create("main", &options), serve);
    assert_eq!((path.as_str(), body.as_str()), ("/v18/matchmake/create/main", r#"{"level":3}"#));
    assert_eq!(peer.url, "/v18/p1/r1?sessionId=s1");
    let mut connection = connection.unwrap();
    assert_eq!(connection.reconnection_token(), "r1:t1");
    assert!(matches!(connection.next().await, Some(Event::State { full: true, .. })));
    assert_eq!(connection.state_json(), Some(json!({"count": 7})));
}

#[tokio::test]
async fn messages_go_both_ways() {
    let (_server, mut connection, mut peer) = joined().await;
    connection.send("move", &json!({"x": 64})).unwrap();
    connection.send(3, &()).unwrap();
    connection.flush().await.unwrap();
    assert_eq!(
        peer.read().await,
        [&[13, 0xa4], &b"move"[..], &[0xd4, 0x72, 0x40, 0x91, 0xa1, b'x', 0xcc, 64]].concat()
    );
    assert_eq!(peer.read().await, [13, 3]);
    peer.send(server_frame::data("hello", &msgpack::to_vec(&"you").unwrap())).await;
    let Some(Event::Message { ty, payload }) = connection.next().await else { panic!("a message") };
    assert_eq!((ty, payload.get::<String>().unwrap()), ("hello".into(), "you".to_owned()));
    peer.send(server_frame::error(4217, "no")).await;
    assert_eq!(connection.next().await, Some(Event::Error { code: 4217, message: "no".into() }));
}

#[tokio::test]
async fn requests_find_their_answers() {
    let (_server, mut connection, mut peer) = joined().await;
    let answers = async {
        for (status, payload) in
            [(ResponseStatus::Ok, 5), (ResponseStatus::Rejected, 6), (ResponseStatus::Ok, 7)]
        {
            let frame = peer.read().await;
            let Ok(ClientFrame::Request { id, ty, .. }) = ClientFrame::decode(&frame) else {
                panic!("a request")
            };
            assert_eq!(ty, MessageType::Text("add"));
            peer.send(server_frame::ping()).await;
            peer.send(server_frame::response(id, status, &msgpack::to_vec(&payload).unwrap())).await;
        }
        peer
    };
    let asks = async {
        assert_eq!(connection.request::<_, u8>("add", &1).await.unwrap(), 5);
        let refused = connection.request::<_, u8>("add", &1).await.unwrap_err();
        assert!(matches!(refused, RequestError::Rejected { reason } if reason == json!(6)));
        let misfit = connection.request::<_, String>("add", &1).await.unwrap_err();
        assert_eq!(misfit.to_string(), "payload does not fit: expected string, got number");
        // What came meanwhile was kept.
        assert_eq!(connection.next().await, Some(Event::Pong));
    };
    tokio::join!(asks, answers);
}

#[tokio::test]
async fn comes_back_after_a_lost_socket() {
    let (server, mut connection, peer) = joined().await;
    drop(peer);
    assert_eq!(connection.next().await, Some(Event::Dropped { code: 1006 }));
    for number in 0..12_u32 {
        connection.send(number, &()).unwrap();
    }
    let serve = async {
        // The first attempts meet a server that is not ready.
        let mut early = server.accept().await;
        early.close(4010, "restoring").await;
        drop(server.listener.accept().await.unwrap());
        let mut peer = server.join("t2", 8).await;
        assert_eq!(peer.url, "/v18/p1/r1?sessionId=s1&reconnectionToken=t1");
        // The newest ten were kept.
        for number in 2..12_u8 {
            assert_eq!(peer.read().await, [13, number]);
        }
        peer
    };
    let play = async {
        assert_eq!(connection.next().await, Some(Event::Reconnected));
        assert!(matches!(connection.next().await, Some(Event::State { full: true, .. })));
        assert_eq!(connection.state_json(), Some(json!({"count": 8})));
        assert_eq!(connection.reconnection_token(), "r1:t2");
    };
    tokio::join!(play, serve);
}

#[tokio::test]
async fn stops_when_the_server_says_so() {
    let (server, mut connection, mut peer) = joined().await;
    peer.close(4010, "").await;
    drop(peer);
    assert_eq!(connection.next().await, Some(Event::Dropped { code: 4010 }));
    let serve = async {
        let mut peer = server.accept().await;
        peer.send(server_frame::error(524, "seat reservation expired.")).await;
        peer.close(4003, "").await;
    };
    let (event, ()) = tokio::join!(connection.next(), serve);
    assert!(matches!(event, Some(Event::Closed { code: 4003, .. })), "{event:?}");
    assert_eq!(connection.next().await, None);
    assert!(matches!(connection.send("x", &()), Err(SendError::Closed)));
}

#[tokio::test]
async fn a_kick_is_final() {
    let (_server, mut connection, mut peer) = joined().await;
    peer.close(4100, "too slow").await;
    assert_eq!(connection.next().await, Some(Event::Closed { code: 4100, reason: "too slow".into() }));
}

#[tokio::test]
async fn leaves_on_purpose() {
    let (_server, connection, mut peer) = joined().await;
    let serve = async {
        assert_eq!(peer.read().await, ClientFrame::Leave.to_vec());
        peer.close(4000, "").await;
    };
    let (code, ()) = tokio::join!(connection.leave(), serve);
    assert_eq!(code, 4000);
}

#[tokio::test]
async fn refusals_carry_code_and_message() {
    let (server, client) = Server::start().await;
    let answer = server.answer(520, r#"{"code":520,"error":"provided room name \"x\" not defined"}"#);
    let (refused, _) = tokio::join!(client.join("x", &()), answer);
    let refused = refused.err().unwrap();
    assert!(
        matches!(&refused, JoinError::Matchmaking { code: 520, message } if message.contains("not defined"))
    );

    let serve = async {
        server.reserve().await;
        let mut peer = server.accept().await;
        peer.send(server_frame::error(526, "full of ghosts")).await;
        peer.close(4002, "").await;
    };
    let (refused, ()) = tokio::join!(client.join("x", &()), serve);
    assert!(
        matches!(refused, Err(JoinError::Refused { code: 526, message, close_code: 4002 }) if message == "full of ghosts")
    );
}
