//! Games over HTTP and over the SDK's wire are the same games: a player by requests and a player with a socket sit at one
//! table, also when the program is killed in the middle.

mod support;

use everplay_client::{Connection, Event, OwnedMessageType};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::{Guest, Server, eventually, until};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

impl Guest {
    fn play(&self, server: &Server, game: &str, cell: u32, key: &str) -> (u16, Value) {
        let body = json!({ "played": cell });
        server.request("PUT", &format!("/games/{game}/moves"), Some(&self.token), Some(key), Some(&body))
    }
}

fn id(game: &Value) -> String {
    game["gameId"].as_str().unwrap_or_else(|| panic!("{game}")).to_owned()
}

struct Live(WebSocketStream<TcpStream>);

impl Live {
    async fn open(server: &Server, game: &str, token: Option<&str>) -> Live {
        Self::open_at(server, &format!("/games/{game}/live"), token).await
    }

    async fn open_at(server: &Server, path: &str, token: Option<&str>) -> Live {
        let mut request = format!("ws://{}{path}", server.address).into_client_request().unwrap();
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let socket = TcpStream::connect(&server.address).await.unwrap();
        Live(tokio_tungstenite::client_async(request, socket).await.unwrap().0)
    }

    /// The next message; None when the server has closed.
    async fn next(&mut self) -> Option<Value> {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(20), self.0.next()).await;
            match next.expect("a message in time") {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(_))) | Some(Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next message of this type.
    async fn of(&mut self, ty: &str) -> Value {
        loop {
            let message = self.next().await.unwrap_or_else(|| panic!("closed before {ty}"));
            if message["type"] == ty {
                return message;
            }
        }
    }

    async fn ask(&mut self, message: Value) -> Value {
        self.0.send(Message::text(message.to_string())).await.unwrap();
        loop {
            let answer = self.next().await.expect("an answer");
            if answer["id"] == message["id"] {
                return answer;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_by_requests_and_one_with_a_socket_play_one_game() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), "0");
    let port = server.port();
    let (ada, bob) = (server.guest("Ada"), server.guest("Bob"));
    let wanted = json!({ "mode": "private", "moveSeconds": 300 });
    let (status, made) = server.request("POST", "/games", Some(&ada.token), Some("first"), Some(&wanted));
    assert_eq!((status, &made["status"], &made["you"]), (201, &json!("waiting"), &json!("X")), "{made}");
    assert_eq!(made["board"], json!([[null, null, null], [null, null, null], [null, null, null]]));
    let game = id(&made);
    let again = server.request("POST", "/games", Some(&ada.token), Some("first"), Some(&wanted)).1;
    assert_eq!(id(&again), game, "the same request, the same game");
    assert_eq!(ada.play(&server, &game, 4, "early").0, 409, "nobody to play with");

    let mut live = Live::open(&server, &game, None).await;
    assert_eq!(live.next().await.unwrap()["type"], "connection_established");
    let room = game.split('.').next().unwrap();
    let mut seat = server.client(&bob.token).join_by_id(room, &json!({ "name": "Bob" })).await.unwrap();
    assert_eq!(live.of("player_joined").await["data"]["players"].as_array().unwrap().len(), 2);

    // By request, by message, and refused without a trace.
    let (status, first) = ada.play(&server, &game, 4, "one");
    assert_eq!((status, &first["currentPlayer"]), (200, &json!("O")), "{first}");
    assert_eq!(live.of("move_made").await["data"]["moves"].as_array().unwrap().len(), 1);
    let turn = |mark: u64| move |state: &Value| state["turn"] == mark;
    until(&mut seat, "the turn of O", turn(2)).await;
    let refusal = ada.play(&server, &game, 5, "not yet").1;
    assert_eq!(refusal["error"]["code"], "MOVE_REFUSED", "the move is right, it is not the time for it");
    assert_eq!(refusal["error"]["details"], json!({ "roomCode": 4302 }));
    seat.send("move", &json!({ "cell": 0 })).unwrap();
    until(&mut seat, "the turn of X", turn(1)).await;
    assert_eq!(live.of("move_made").await["data"]["board"][0][0], "O");
    assert_eq!(
        ada.play(&server, &game, 4, "one"),
        (200, first.clone()),
        "repeated: the same answer, no move"
    );
    let board = json!([["O", null, null], [null, "X", null], [null, null, null]]);
    for (cell, position, code) in [(0, [0, 0], 4301), (4, [1, 1], 4301), (9, [3, 0], 4300)] {
        let (status, refusal) = ada.play(&server, &game, cell, &format!("cell {cell}"));
        assert_eq!((status, &refusal["error"]["code"]), (409, &json!("INVALID_MOVE")), "{refusal}");
        let details =
            json!({ "gameId": game, "position": position, "currentBoard": board, "roomCode": code });
        assert_eq!(refusal["error"]["details"], details);
    }
    let (status, refusal) = server.request(
        "PUT",
        &format!("/games/{game}/moves"),
        Some(&ada.token),
        None,
        Some(&json!({ "played": "x" })),
    );
    assert_eq!((status, &refusal["error"]["code"]), (400, &json!("INVALID_REQUEST")), "{refusal}");
    let eve = server.guest("Eve");
    assert_eq!(eve.play(&server, &game, 1, "eve").1["error"]["code"], "NOT_A_PLAYER");
    assert_eq!(server.request("DELETE", &format!("/games/{game}"), Some(&eve.token), None, None).0, 403);
    let join = format!("/games/{game}/join");
    assert_eq!(server.request("POST", &join, Some(&eve.token), None, None).1["error"]["code"], "GAME_FULL");

    // The program dies; both come back, one by knocking, one by asking.
    server.kill();
    while live.next().await.is_some() {}
    server = Server::start(folder.path(), &port);
    let seen = server.request("GET", &format!("/games/{game}"), Some(&ada.token), None, None);
    assert_eq!((seen.0, &seen.1["you"]), (200, &json!("X")), "{}", seen.1);
    assert_eq!(seen.1["moves"].as_array().unwrap().len(), 2);
    let repeated = ada.play(&server, &game, 4, "one");
    assert_eq!((repeated.0, &repeated.1["board"]), (200, &first["board"]), "known after a kill");
    while !matches!(seat.next().await.expect("it comes back"), Event::State { full: true, .. }) {}
    let mut live = Live::open(&server, &game, None).await;
    assert_eq!(ada.play(&server, &game, 2, "two").0, 200);
    until(&mut seat, "the turn of O", turn(2)).await;
    seat.send("move", &json!({ "cell": 1 })).unwrap();
    until(&mut seat, "the turn of X", turn(1)).await;
    let (status, last) = ada.play(&server, &game, 6, "three");
    assert_eq!(
        (status, &last["winner"], &last["status"]),
        (200, &json!("player1"), &json!("completed")),
        "{last}"
    );
    assert_eq!(ada.play(&server, &game, 6, "three"), (200, last.clone()), "also once it is over");
    assert_eq!(
        ada.play(&server, &game, 4, "one").1["board"],
        first["board"],
        "and the moves before the last"
    );
    until(&mut seat, "the end", |state| state["phase"] == "finished").await;
    let ended = live.of("game_ended").await;
    assert_eq!(ended["data"]["winner"], "player1");
    assert_eq!(live.next().await, None, "nothing follows the end");
    // Kept and counted as any other.
    let path = format!("/games/{game}");
    let kept =
        eventually("kept", || server.get(&path), |game| game["reason"] == "line" && game["clock"].is_null());
    assert_eq!(kept["moves"].as_array().unwrap().len(), 5);
    assert_eq!((&kept["players"][0]["id"], &kept["players"][1]["id"]), (&json!(ada.id), &json!(bob.id)));
    let stats = format!("/users/{}/stats", ada.id);
    eventually("counted", || server.get(&stats), |stats| stats["overall"]["gamesWon"] == 1);
    assert_eq!(ada.play(&server, &game, 7, "late").1["error"]["code"], "GAME_OVER");

    // Nobody remembers what was answered, but what was played is kept.
    drop(seat);
    server.kill();
    server = Server::start(folder.path(), &port);
    for (cell, key) in [(4, "one"), (2, "two"), (6, "three")] {
        let (status, repeated) = ada.play(&server, &game, cell, key);
        assert_eq!((status, &repeated["status"], &repeated["board"]), (200, &last["status"], &last["board"]));
    }
    assert_eq!(ada.play(&server, &game, 7, "late").1["error"]["code"], "GAME_OVER");
    assert_eq!(ada.play(&server, &game, 0, "of the other").1["error"]["code"], "GAME_OVER");
    let unnamed = server.request(
        "PUT",
        &format!("{path}/moves"),
        Some(&ada.token),
        None,
        Some(&json!({ "played": 6 })),
    );
    assert_eq!(unnamed.1["error"]["code"], "GAME_OVER", "without a key it is another move");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_players_by_requests_meet_and_one_gives_up() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "0");
    let (ada, bob) = (server.guest("Ada"), server.guest("Bob"));
    let begin = |guest: &Guest| server.request("POST", "/games", Some(&guest.token), None, Some(&json!({})));
    assert_eq!(server.request("POST", "/games", None, None, Some(&json!({}))).0, 401);
    assert_eq!(
        server.request("POST", "/games", Some(&ada.token), None, Some(&json!({ "mode": "watch" }))).0,
        400
    );
    assert_eq!(
        server.request("POST", "/games", Some(&ada.token), None, Some(&json!({ "game": "nothing" }))).0,
        400
    );
    let first = begin(&ada).1;
    assert_eq!(
        (&first["status"], id(&begin(&ada).1)),
        (&json!("waiting"), id(&first)),
        "who waits, waits once"
    );
    let met = begin(&bob).1;
    assert_eq!((id(&met), &met["status"], &met["you"]), (id(&first), &json!("active"), &json!("O")), "{met}");
    let game = id(&met);

    // A browser proves who it is with a message.
    let mut live = Live::open(&server, &game, None).await;
    live.of("connection_established").await;
    let play =
        |position: u32, at: u32| json!({ "type": "make_move", "id": at, "data": { "position": position } });
    assert_eq!(live.ask(play(4, 1)).await["error"]["code"], "UNAUTHENTICATED");
    let token = json!({ "type": "authenticate", "id": 2, "data": { "token": ada.token } });
    assert_eq!(live.ask(token).await["data"]["userId"], json!(ada.id));
    let moved = live.ask(play(4, 3)).await;
    assert_eq!((&moved["type"], &moved["data"]["you"]), (&json!("response"), &json!("X")), "{moved}");
    assert_eq!(live.ask(play(5, 4)).await["error"]["code"], "MOVE_REFUSED");
    assert_eq!(bob.play(&server, &game, 8, "eight").0, 200);
    let refusal = live.ask(play(8, 7)).await;
    assert_eq!((&refusal["type"], &refusal["error"]["code"]), (&json!("error"), &json!("INVALID_MOVE")));
    let details = json!({
        "gameId": game, "position": [2, 2], "roomCode": 4301,
        "currentBoard": [[null, null, null], [null, "X", null], [null, null, "O"]],
    });
    assert_eq!(refusal["error"]["details"], details);
    assert_eq!(live.ask(json!({ "type": "ping", "id": 5 })).await["data"]["type"], "pong");
    assert_eq!(live.ask(json!({ "type": "dance", "id": 6 })).await["error"]["code"], "INVALID_REQUEST");

    let (status, ended) = server.request("DELETE", &format!("/games/{game}"), Some(&bob.token), None, None);
    assert_eq!(
        (status, &ended["status"], &ended["winner"]),
        (200, &json!("forfeited"), &json!("player1")),
        "{ended}"
    );
    assert_eq!(live.of("game_ended").await["data"]["reason"], "forfeit");
    let (status, gone) = server.request("DELETE", &format!("/games/{game}"), Some(&bob.token), None, None);
    assert_eq!((status, &gone["error"]["code"]), (409, &json!("GAME_OVER")), "{gone}");
    assert_eq!(gone["error"]["details"], Value::Null);
    eventually("kept", || server.get(&format!("/games/{game}")), |game| game["status"] == "forfeited");

    // One who waits and gives up leaves nothing behind.
    let waiting = begin(&ada).1;
    let path = format!("/games/{}", id(&waiting));
    let (status, given_up) = server.request("DELETE", &path, Some(&ada.token), None, None);
    assert_eq!((status, &given_up["status"]), (200, &json!("abandoned")), "{given_up}");
    let other = begin(&bob).1;
    assert_ne!(id(&other), id(&waiting));
    // Against the computer, which answers by itself.
    let wanted = json!({ "mode": "computer", "level": "easy" });
    let solo = server.request("POST", "/games", Some(&ada.token), None, Some(&wanted)).1;
    let game = id(&solo);
    assert_eq!(ada.play(&server, &game, 4, "a").0, 200);
    let path = format!("/games/{game}");
    eventually(
        "the computer moves",
        || server.get(&path),
        |game| game["moves"].as_array().unwrap().len() == 2,
    );
    assert_eq!(server.request("GET", "/games/NOWHERE.1/live", None, None, None).0, 426);
    assert_eq!(server.request("GET", "/games/NOWHERE.1", None, None, None).0, 404);
}

/// What anybody may ask of a game that is over, with the answers.
async fn assert_over(server: &Server, game: &str, players: [&Guest; 2], eve: &Guest, board: &Value) {
    let path = format!("/games/{game}");
    for who in [None, Some(players[0]), Some(players[1]), Some(eve)] {
        let (status, seen) = server.request("GET", &path, who.map(|who| who.token.as_str()), None, None);
        assert_eq!((status, &seen["status"], &seen["board"]), (200, &json!("completed"), board), "{seen}");
        assert_eq!((&seen["winner"], &seen["currentPlayer"]), (&json!("player1"), &Value::Null));
    }
    for (who, code) in [(players[0], "GAME_OVER"), (players[1], "GAME_OVER"), (eve, "NOT_A_PLAYER")] {
        assert_eq!(who.play(server, game, 8, "late").1["error"]["code"], code);
        let (_, refusal) = server.request("DELETE", &path, Some(&who.token), None, None);
        assert_eq!(refusal["error"]["code"], code);
    }
    let mut live = Live::open(server, game, None).await;
    let told = live.next().await.unwrap();
    assert_eq!((&told["type"], &told["data"]["board"]), (&json!("connection_established"), board));
    assert_eq!(live.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_that_just_ended_is_known_to_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "0");
    let (ada, bob, eve) = (server.guest("Ada"), server.guest("Bob"), server.guest("Eve"));
    let wanted = json!({ "mode": "private" });
    let won = json!([["X", "X", "X"], ["O", "O", null], [null, null, null]]);
    for round in 0..5 {
        let game = id(&server.request("POST", "/games", Some(&ada.token), None, Some(&wanted)).1);
        let path = format!("/games/{game}");
        assert_eq!(server.request("POST", &format!("{path}/join"), Some(&bob.token), None, None).0, 200);
        for (at, cell) in [0, 3, 1, 4, 2].into_iter().enumerate() {
            let who = if at % 2 == 0 { &ada } else { &bob };
            assert_eq!(who.play(&server, &game, cell, &format!("{at}")).0, 200, "round {round}");
        }
        assert_over(&server, &game, [&ada, &bob], &eve, &won).await;
        let (status, refusal) = server.request("POST", &format!("{path}/join"), Some(&eve.token), None, None);
        assert_eq!(status, 409, "{refusal}");
    }
    // Nobody had a seat by request, and nobody looked.
    for _ in 0..5 {
        let options = json!({ "name": "Ada", "mode": "private" });
        let mut first = server.client(&ada.token).create("tic_tac_toe", &options).await.unwrap();
        let room = first.room_id().to_owned();
        let mut second =
            server.client(&bob.token).join_by_id(&room, &json!({ "name": "Bob" })).await.unwrap();
        support::play(&mut first, &mut second, &[0, 3, 1, 4, 2]).await;
        until(&mut second, "the end", |state| state["phase"] == "finished").await;
        tokio::join!(first.leave(), second.leave());
        assert_over(&server, &format!("{room}.1"), [&ada, &bob], &eve, &won).await;
    }
    assert_eq!(server.request("GET", "/games/NOWHERE.1", None, None, None).0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_is_answered_with_what_was_wished_for() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "0");
    let (ada, bob) = (server.guest("Ada"), server.guest("Bob"));
    let begin = |key: Option<&str>, wanted: Value| {
        server.request("POST", "/games", Some(&ada.token), key, Some(&wanted))
    };
    let private = id(&begin(None, json!({ "mode": "private" })).1);
    let quick = id(&begin(None, json!({ "mode": "quick" })).1);
    assert_ne!(quick, private, "somebody was told of the private one");
    assert_eq!(id(&begin(None, json!({})).1), quick, "who waits, waits once");
    assert_eq!(id(&begin(Some("later"), json!({ "game": "tic_tac_toe" })).1), quick, "also under a name");
    for seconds in [1, 4, 301, 0] {
        let (status, refusal) = begin(None, json!({ "moveSeconds": seconds }));
        assert_eq!(
            (status, &refusal["error"]["details"]["field"]),
            (400, &json!("moveSeconds")),
            "{refusal}"
        );
    }
    assert_eq!(begin(None, json!({ "mode": "private", "moveSeconds": 0 })).0, 201);
    let met = server.request("POST", "/games", Some(&bob.token), None, Some(&json!({ "moveSeconds": 10 }))).1;
    assert_eq!((id(&met), &met["status"]), (quick.clone(), &json!("active")));
    assert_eq!(id(&begin(Some("later"), json!({})).1), quick, "the same name, the same game");

    // What is no such game leaves nothing behind.
    let rooms = || server.get("/health")["rooms"]["running"].clone();
    let before = rooms();
    assert!(before.as_u64() > Some(0), "{before}");
    for kind in ["line", "spaaace", "leaderboard", "nothing"] {
        let (status, refusal) = begin(None, json!({ "game": kind }));
        assert_eq!(
            (status, &refusal["error"]["code"]),
            (400, &json!("INVALID_REQUEST")),
            "{kind}: {refusal}"
        );
    }
    eventually("no room more", rooms, |now| *now == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_routes_have_a_second_address() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "0");
    let ada = server.guest("Ada");
    let solo = json!({ "mode": "computer" });
    let game = id(&server.request("POST", "/api/games", Some(&ada.token), None, Some(&solo)).1);
    let moves = format!("/api/games/{game}/moves");
    let played = server.request("POST", &moves, Some(&ada.token), None, Some(&json!({ "played": 4 })));
    assert_eq!((played.0, &played.1["board"][1][1]), (200, &json!("X")), "{}", played.1);
    assert_eq!(
        server.get(&format!("/api/games/{game}"))["gameId"],
        server.get(&format!("/games/{game}"))["gameId"]
    );
    assert_eq!(server.get("/api/status"), server.get("/status"));
    let mut live = Live::open_at(&server, &format!("/api/games/{game}/live"), None).await;
    assert_eq!(live.next().await.unwrap()["data"]["gameId"], json!(game));
    let (status, refusal) = server.request("GET", "/api/games/NOWHERE.1", None, None, None);
    assert_eq!((status, &refusal["error"]["code"]), (404, &json!("NOT_FOUND")));
    assert_eq!(server.request("GET", "/api/nothing", None, None, None).0, 404);
    assert_eq!(server.request("GET", "/app/TTT", None, None, None).0, 308);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_account_is_nobody_in_games_and_on_boards() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), "0");
    let (ada, bob) = (server.guest("Ada"), server.guest("Bob"));
    let made =
        server.request("POST", "/games", Some(&ada.token), None, Some(&json!({ "mode": "private" }))).1;
    let game = id(&made);
    assert_eq!(server.request("POST", &format!("/games/{game}/join"), Some(&bob.token), None, None).0, 200);
    // A game counts once both have moved.
    assert_eq!(ada.play(&server, &game, 4, "first").0, 200);
    assert_eq!(bob.play(&server, &game, 0, "first").0, 200);
    assert_eq!(server.request("DELETE", &format!("/games/{game}"), Some(&bob.token), None, None).0, 200);
    let stats = |guest: &Guest| server.get(&format!("/users/{}/stats", guest.id))["overall"].clone();
    eventually("counted", || stats(&ada), |stats| stats["gamesWon"] == 1);
    let path = format!("/games/{game}");
    eventually("kept", || server.get(&path), |game| game["clock"].is_null() && game["status"] == "forfeited");

    let (status, all) = server.request("GET", "/account/export", Some(&ada.token), None, None);
    assert_eq!((status, &all["elsewhere"]["statistics"]["overall"]["gamesWon"]), (200, &json!(1)), "{all}");
    assert_eq!(all["elsewhere"]["games"][0]["gameId"], json!(game));
    let (status, answer) = server.request("DELETE", "/account", Some(&ada.token), None, Some(&json!({})));
    assert!((200..300).contains(&status), "{status} {answer}");
    let kept = server.get(&path);
    assert_eq!(
        (&kept["players"][0]["id"], &kept["players"][0]["name"]),
        (&json!("forgotten"), &json!("Forgotten"))
    );
    assert_eq!(kept["players"][1]["name"], "Bob");
    assert_eq!((&stats(&ada)["gamesPlayed"], &stats(&bob)["gamesLost"]), (&json!(0), &json!(1)));
    let history = server.request("GET", &format!("/users/{}/games", ada.id), None, None, None);
    assert_eq!(history.0, 404, "nobody is called so any more: {}", history.1);
}

/// What a room of a board has shown: its state, and the client's own place.
#[derive(Default)]
struct Shown {
    place: Option<Value>,
}

impl Shown {
    async fn until(&mut self, seat: &mut Connection, what: &str, done: impl Fn(&Value, &Value) -> bool) {
        let began = Instant::now();
        loop {
            if let (Some(state), Some(place)) = (seat.state_json(), &self.place)
                && done(&state, place)
            {
                return;
            }
            let next = tokio::time::timeout(Duration::from_secs(20), seat.next()).await;
            match next.unwrap_or_else(|_| panic!("not in time: {what}")) {
                Some(Event::Message { ty: OwnedMessageType::Text(ty), payload }) if &*ty == "place" => {
                    self.place = Some(payload.value().unwrap().into());
                }
                Some(Event::Closed { code, reason }) => panic!("{what}: closed with {code} {reason}"),
                Some(_) => {}
                None => panic!("{what}: closed"),
            }
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "{what}: {:?} {:?}",
                seat.state_json(),
                self.place
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_is_followed_while_games_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), "0");
    let port = server.port();
    let (ada, bob) = (server.guest("Ada"), server.guest("Bob"));
    let options = json!({ "game": "tic_tac_toe" });
    let mut seat = server.client(&ada.token).join_or_create("leaderboard", &options).await.unwrap();
    let mut shown = Shown::default();
    let empty = |state: &Value, place: &Value| {
        state["rows"] == json!([]) && state["stale"] == false && place.is_null()
    };
    shown.until(&mut seat, "an empty board", empty).await;
    let game = |server: &Server| {
        let made =
            server.request("POST", "/games", Some(&ada.token), None, Some(&json!({ "mode": "private" }))).1;
        let (game, path) = (id(&made), format!("/games/{}", id(&made)));
        assert_eq!(server.request("POST", &format!("{path}/join"), Some(&bob.token), None, None).0, 200);
        // A game counts once both have moved.
        assert_eq!(ada.play(server, &game, 4, "first").0, 200);
        assert_eq!(bob.play(server, &game, 0, "first").0, 200);
        assert_eq!(server.request("DELETE", &path, Some(&bob.token), None, None).0, 200);
    };
    (0..5).for_each(|_| game(&server));
    let five = |state: &Value, place: &Value| {
        let rows = state["rows"].as_array().unwrap();
        rows.len() == 2
            && rows[0]["userId"] == json!(ada.id)
            && rows[0]["gamesWon"] == 5
            && place["rank"] == 1
    };
    shown.until(&mut seat, "five games", five).await;
    // Somebody else in the same room has a place of their own; rows come from the server only.
    let mut other = server.client(&bob.token).join_or_create("leaderboard", &options).await.unwrap();
    assert_eq!(other.room_id(), seat.room_id());
    Shown::default().until(&mut other, "the other's place", |_, place| place["rank"] == 2).await;
    assert!(other.request::<_, Value>("feed", &json!({ "top": null, "places": {} })).await.is_err());
    let refused =
        server.client(&bob.token).join_or_create("leaderboard", &json!({ "season": "2026-Q4" })).await;
    assert!(refused.is_err(), "seasons are of a game");

    server.kill();
    server = Server::start(folder.path(), &port);
    game(&server);
    let six = |state: &Value, place: &Value| state["rows"][0]["gamesWon"] == 6 && place["gamesPlayed"] == 6;
    shown.until(&mut seat, "a sixth game, after a kill", six).await;
}
