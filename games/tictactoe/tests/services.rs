//! The ways to an opponent beside the SDK's matchmaking, at a running server: the line over plain JSON, in the shapes of
//! its origin, and tickets that meet by rating.

use everplay::accounts::Permission;
use everplay::config::Storage;
use everplay::types::{AccountId, CustomerId, Identity, LoginId, Role};
use everplay::{App, Config, Running};
use everplay_client::{Client, Connection};
use everplay_tictactoe::{TicTacToe, WaitingLine};
use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Longer than anything takes but a fault.
const PATIENCE: Duration = Duration::from_secs(60);

struct Server {
    running: Running,
    http: reqwest::Client,
}

impl Server {
    async fn start() -> Server {
        let config = Config { port: 0, storage: Storage::Memory, ..Config::default() };
        let app = App::new()
            .room::<TicTacToe>("tic_tac_toe")
            .filter_by(["mode"])
            .filter_defaults([("mode", "quick")])
            .matched([("mode", "private")])
            .room::<WaitingLine>("line")
            .filter_by(["line", "tables"])
            .filter_defaults([("line", json!("main")), ("tables", json!(1))]);
        Server { running: app.start(config).await.unwrap(), http: reqwest::Client::new() }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.address())
    }

    async fn ask(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.http.request(method, self.url(path));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    async fn guest(&self, name: &str) -> String {
        let body = json!({ "options": { "name": name } });
        let (status, answer) = self.ask(Method::POST, "/auth/anonymous", "", Some(body)).await;
        assert_eq!(status, 200, "{answer}");
        answer["token"].as_str().unwrap().to_owned()
    }

    /// The key of a server that may do this.
    async fn key(&self, may: Permission) -> String {
        let by = Identity {
            customer: CustomerId::default(),
            id: AccountId::new("admin").unwrap(),
            login: LoginId::new("login").unwrap(),
            name: "Admin".to_owned(),
            guest: false,
            roles: [Role::Admin].into_iter().collect(),
            second_factor: true,
        };
        self.running.accounts().create_key(&by, "server", &[may], None).await.unwrap().token
    }

    async fn plain(&self, path: &str) -> Plain {
        let url = format!("ws://{}{path}", self.running.address());
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut plain = Plain { socket, id: String::new() };
        let hello = plain.hear(|message| message.get("connectionId").is_some()).await;
        assert!(hello.get("action").is_none() && hello["message"].is_string());
        plain.id = hello["connectionId"].as_str().unwrap().to_owned();
        plain
    }
}

/// A client without an SDK.
struct Plain {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    id: String,
}

impl Plain {
    async fn say(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("something comes");
            match message?.ok()? {
                Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    /// The next message of which this is so.
    async fn hear(&mut self, so: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.next().await.expect("it is not closed");
            if so(&message) {
                return message;
            }
        }
    }

    async fn answer(&mut self, message: Value, action: &str) -> Value {
        self.say(message).await;
        self.hear(|message| message["action"] == action).await
    }

    /// The line as it was told, once this is so of it.
    async fn line(&mut self, so: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let so =
            |message: &Value| message["action"] == "queueUpdate" && so(message["data"].as_array().unwrap());
        self.hear(so).await["data"].as_array().unwrap().clone()
    }
}

fn ids(line: &[Value]) -> Vec<&str> {
    line.iter().map(|record| record["connectionId"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn plain_clients_and_sdks_stand_in_one_line() {
    let server = Server::start().await;
    let mut ada = server.plain("/production").await;
    let mut bob = server.plain("/line/live").await;
    let sdk: Connection = Client::new(&server.url(""))
        .unwrap()
        .join_or_create("line", &json!({ "name": "Cleo", "line": "main", "tables": 1 }))
        .await
        .unwrap();
    let cleo = sdk.session_id().to_owned();
    let mut dan = server.plain("/production").await;

    let joined = ada.answer(json!({ "action": "joinQueue" }), "joinedQueue").await;
    assert_eq!(joined, json!({ "action": "joinedQueue", "status": "active", "marker": "X" }));
    let joined = dan.answer(json!({ "action": "joinQueue" }), "joinedQueue").await;
    assert_eq!((&joined["status"], &joined["position"]), (&json!("inactive"), &json!(2)));

    let (ada_id, dan_id) = (ada.id.clone(), dan.id.clone());
    ada.say(json!({ "action": "updateDB", "connectionId": ada_id, "username": "Ada" })).await;
    let whole = |line: &[Value]| line.len() == 4 && line[0].get("username").is_some();
    let seen = ada.line(whole).await;
    assert_eq!(seen, bob.line(whole).await);
    assert_eq!(seen, dan.line(whole).await, "all are told the same");
    assert_eq!(ids(&seen), [ada.id.as_str(), &bob.id, &cleo, &dan.id], "oldest first");
    assert_eq!(seen[0]["username"], "Ada");
    assert_eq!((&seen[0]["status"], &seen[0]["marker"]), (&json!("active"), &json!("X")));
    assert_eq!((&seen[1]["status"], &seen[1]["marker"]), (&json!("active"), &json!("O")));
    assert_eq!((&seen[2]["status"], seen[2].get("marker")), (&json!("inactive"), None));
    assert_eq!(seen[2]["username"], "Cleo");
    assert_eq!(seen[0]["sessionId"].as_str().unwrap().len(), 36, "a UUID");
    let times: Vec<&str> = seen.iter().map(|record| record["joinedAt"].as_str().unwrap()).collect();
    assert!(times.is_sorted() && times[0].len() == 24 && times[0].ends_with('Z'), "{times:?}");

    // Somebody else's record, a result, and what nobody understands.
    for (message, status, code) in [
        (json!({ "action": "updateDB", "connectionId": dan_id, "username": "Mallory" }), 403, "FORBIDDEN"),
        (json!({ "action": "gameOVER", "loserId": dan_id }), 403, "ROOM_4311"),
        (json!({ "action": "gameOVER", "data": { "loserId": "O", "winnerId": "X" } }), 403, "ROOM_4311"),
        (json!({ "action": "cheat" }), 400, "UNKNOWN_ACTION"),
        (json!("hello"), 400, "INVALID_REQUEST"),
    ] {
        let refused = ada.answer(message, "error").await;
        assert_eq!((&refused["statusCode"], &refused["error"]["code"]), (&json!(status), &json!(code)));
        assert!(refused["error"]["requestId"].is_string() && refused["error"]["timestamp"].is_string());
    }
    ada.say(json!({ "action": "sendInfo" })).await;
    let hello = ada.hear(|message| message.get("connectionId").is_some()).await;
    assert_eq!(hello["connectionId"], ada.id);

    // A game by plain messages; then the one with the SDK plays.
    for (moves, cell) in (1..).zip([0, 3, 1, 4, 2]) {
        let player = if moves % 2 == 1 { &mut ada } else { &mut bob };
        player.say(json!({ "action": "move", "cell": cell })).await;
        for player in [&mut ada, &mut bob] {
            let so = |message: &Value| {
                let taken = message["data"]["board"].as_array().into_iter().flatten();
                message["action"] == "tableUpdate" && taken.filter(|cell| cell.is_string()).count() == moves
            };
            player.hear(so).await;
        }
    }
    let next = |line: &[Value]| line.len() == 4 && ids(line)[3] != dan_id;
    let seen = dan.line(next).await;
    assert_eq!(ids(&seen), [ada.id.as_str(), &cleo, &dan_id, &bob.id], "the loser is at the back");
    assert_eq!(seen[1]["status"], "active");

    // A connection that is gone is gone for everybody.
    drop(dan);
    let without = |line: &[Value]| !ids(line).contains(&dan_id.as_str());
    assert_eq!(ada.line(without).await, bob.line(without).await);
    drop(sdk);
}

#[tokio::test]
async fn a_server_of_ours_speaks_to_one_connection() {
    let server = Server::start().await;
    let mut ada = server.plain("/line/live").await;
    let path = format!("/@connections/{}", ada.id);
    let post = |token: &str| {
        let request = server.http.post(server.url(&path)).body(r#"{"action":"news"}"#);
        let request = if token.is_empty() { request } else { request.bearer_auth(token) };
        async move { request.send().await.unwrap().status().as_u16() }
    };
    let (may, may_not) =
        (server.key(Permission::RoomsManage).await, server.key(Permission::ResultsWrite).await);
    assert_eq!(
        (post("").await, post(&may_not).await, post(&server.guest("Eve").await).await),
        (401, 403, 403)
    );
    assert_eq!(post(&may).await, 200);
    ada.hear(|message| *message == json!({ "action": "news" })).await;
    let (status, about) = server.ask(Method::GET, &path, &may, None).await;
    assert_eq!(status, 200, "{about}");
    assert!(about["connectedAt"].is_string());
    let (status, _) = server.ask(Method::DELETE, &path, &may, None).await;
    assert_eq!(status, 204);
    while ada.next().await.is_some() {}
    let gone = async {
        while post(&may).await != 410 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("it is gone");
}

/// The ticket once it stands like this.
async fn until(server: &Server, token: &str, ticket: &str, status: &str) -> Value {
    let path = format!("/matchmaking/tickets/{ticket}");
    let asking = async {
        loop {
            let (code, answer) = server.ask(Method::GET, &path, token, None).await;
            assert_eq!(code, 200, "{answer}");
            if answer["status"] == status && (status != "matched" || !answer["reservation"].is_null()) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("the ticket is never {status}"))
}

#[tokio::test]
async fn two_who_accept_are_seated_in_one_room() {
    let server = Server::start().await;
    let (ada, bob) = (server.guest("Ada").await, server.guest("Bob").await);
    let search = |token: String| {
        let server = &server;
        async move { server.ask(Method::POST, "/matchmaking/tickets", &token, Some(json!({}))).await }
    };
    let (status, refused) = search(String::new()).await;
    assert_eq!((status, &refused["error"]["code"]), (401, &json!("UNAUTHENTICATED")));
    let (status, first) = search(ada.clone()).await;
    assert_eq!(status, 201, "{first}");
    assert_eq!(
        (&first["status"], &first["game"], &first["rating"]),
        (&json!("searching"), &json!("tic_tac_toe"), &json!(1500.0))
    );
    assert!(first["estimatedWaitMs"].as_u64().unwrap() > 0);
    let mine = first["ticketId"].as_str().unwrap();
    let (status, again) = search(ada.clone()).await;
    assert_eq!((status, &again["error"]["code"]), (409, &json!("ALREADY_SEARCHING")));
    assert_eq!(again["error"]["details"]["ticketId"], mine);
    let accept = format!("/matchmaking/tickets/{mine}/accept");
    let (status, early) = server.ask(Method::POST, &accept, &ada, None).await;
    assert_eq!((status, &early["error"]["code"]), (409, &json!("NOTHING_PROPOSED")));

    let (_, second) = search(bob.clone()).await;
    let his = second["ticketId"].as_str().unwrap();
    let (status, _) = server.ask(Method::GET, &format!("/matchmaking/tickets/{mine}"), &bob, None).await;
    assert_eq!(status, 404, "tickets of others are nobody's business");
    let proposed = until(&server, &ada, mine, "proposed").await;
    assert_eq!(proposed["proposal"]["opponentRating"], 1500.0);
    let (_, one) = server.ask(Method::POST, &accept, &ada, None).await;
    assert_eq!((&one["status"], &one["proposal"]["accepted"]), (&json!("proposed"), &json!(true)));
    let accept = format!("/matchmaking/tickets/{his}/accept");
    let (status, two) = server.ask(Method::POST, &accept, &bob, None).await;
    assert_eq!((status, &two["status"]), (200, &json!("matched")));
    let one = until(&server, &ada, mine, "matched").await;
    assert_eq!(one["reservation"]["roomId"], two["reservation"]["roomId"]);

    let mut connections = Vec::new();
    for (ticket, token) in [(&one, &ada), (&two, &bob)] {
        let seat = serde_json::from_value(ticket["reservation"].clone()).unwrap();
        let client = Client::new(&server.url("")).unwrap().with_auth_token(token.as_str());
        connections.push(client.take(&seat, None).await.unwrap());
    }
    let playing = async {
        while connections[0].state_json().is_none_or(|state| state["phase"] != "playing") {
            connections[0].next().await;
        }
    };
    tokio::time::timeout(PATIENCE, playing).await.expect("the game begins");
    let state = connections[0].state_json().unwrap();
    let names: Vec<&str> = state["players"]
        .as_object()
        .unwrap()
        .values()
        .map(|player| player["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"Ada") && names.contains(&"Bob"), "{names:?}");
}

#[tokio::test]
async fn a_search_can_be_taken_back_and_an_opponent_declined() {
    let server = Server::start().await;
    let (ada, bob) = (server.guest("Ada").await, server.guest("Bob").await);
    let mut tickets = Vec::new();
    for token in [&ada, &bob] {
        let (_, ticket) = server.ask(Method::POST, "/matchmaking/tickets", token, Some(json!({}))).await;
        tickets.push(ticket["ticketId"].as_str().unwrap().to_owned());
    }
    until(&server, &ada, &tickets[0], "proposed").await;
    let path = format!("/matchmaking/tickets/{}", tickets[0]);
    let (status, cancelled) = server.ask(Method::DELETE, &path, &ada, None).await;
    assert_eq!((status, &cancelled["status"]), (200, &json!("cancelled")));
    let left = until(&server, &bob, &tickets[1], "searching").await;
    assert!(left["proposal"].is_null());
    let (status, refused) =
        server.ask(Method::POST, "/matchmaking/tickets", &ada, Some(json!({ "game": "chess" }))).await;
    assert_eq!((status, &refused["error"]["code"]), (400, &json!("INVALID_REQUEST")));
    let (status, unknown) = server.ask(Method::GET, "/matchmaking/tickets/nonsense", &ada, None).await;
    assert_eq!((status, &unknown["error"]["code"]), (404, &json!("NOT_FOUND")));
}
