//! Games count once: two guests play over the SDK's wire, the program is killed at the moment of a result, and statistics,
//! boards and histories say what was played.

use everplay_client::{Client, Connection, Event, Reconnection};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server; killed when the test ends, however it ends.
struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(data_dir: &Path, port: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_everplay"));
        command.env_clear().args(["serve", "--log", "warn", "--port", port, "--data-dir"]).arg(data_dir);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let address =
            said.trim().split_once("http://").unwrap_or_else(|| panic!("it did not start: {said}")).1;
        Self { child, address: address.to_owned() }
    }

    /// One request: status and body.
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut socket = TcpStream::connect(&self.address).unwrap();
        write!(
            socket,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let status = answer.split_whitespace().nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        // Chunked or not, the JSON begins and ends with its braces.
        let json = body.find('{').and_then(|from| body.get(from..=body.rfind('}')?)).unwrap_or("null");
        (status, serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {answer}")))
    }

    fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask("GET", path, None);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// A new guest: account and token.
    fn guest(&self, name: &str) -> (String, String) {
        let body = json!({ "options": { "name": name } });
        let (status, answer) = self.ask("POST", "/auth/anonymous", Some(&body));
        assert_eq!(status, 200, "{answer}");
        (answer["user"]["id"].as_str().unwrap().to_owned(), answer["token"].as_str().unwrap().to_owned())
    }

    fn client(&self, token: &str) -> Client {
        let reconnection = Reconnection {
            min_uptime: Duration::ZERO,
            delay: Duration::from_millis(10),
            max_delay: Duration::from_millis(50),
            max_retries: 500,
            ..Reconnection::default()
        };
        let client = Client::new(&format!("http://{}", self.address)).unwrap();
        client.with_auth_token(token).with_reconnection(reconnection)
    }
}

async fn until(seat: &mut Connection, what: &str, done: impl Fn(&Value) -> bool) -> Value {
    loop {
        if let Some(state) = seat.state_json().filter(&done) {
            return state;
        }
        let next = tokio::time::timeout(Duration::from_secs(20), seat.next()).await;
        match next.unwrap_or_else(|_| panic!("not in time: {what}")) {
            Some(Event::Closed { code, reason }) => panic!("{what}: closed with {code} {reason}"),
            Some(Event::Error { code, message }) => panic!("{what}: {code} {message}"),
            Some(_) => {}
            None => panic!("{what}: closed"),
        }
    }
}

/// Plays the cells in turn; X begins. `first` has X. Returns when both have seen all but the last move land.
async fn play(first: &mut Connection, second: &mut Connection, cells: &[u32]) {
    for (at, cell) in cells.iter().enumerate() {
        let (mover, other) =
            if at % 2 == 0 { (&mut *first, &mut *second) } else { (&mut *second, &mut *first) };
        let moves =
            |state: &Value, count: usize| state["moves"].as_array().is_some_and(|moves| moves.len() == count);
        until(mover, "the turn", |state| state["phase"] == "playing" && moves(state, at)).await;
        mover.send("move", &json!({ "cell": cell })).unwrap();
        let landed = |state: &Value| moves(state, at + 1);
        until(mover, "the move", landed).await;
        until(other, "the other's move", landed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn games_count_once_although_the_program_is_killed_at_the_result() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), "0");
    let port = server.address.rsplit(':').next().unwrap().to_owned();
    let ((ada, ada_token), (bob, bob_token)) = (server.guest("Ada"), server.guest("Bob"));
    let options = json!({ "name": "Ada", "mode": "private" });
    let mut one = server.client(&ada_token).create("tic_tac_toe", &options).await.unwrap();
    let room = one.room_id().to_owned();
    let mut two = server.client(&bob_token).join_by_id(&room, &json!({ "name": "Bob" })).await.unwrap();
    // Six games; sides swap with each, and whoever has X wins, but for one draw.
    for game in 1..=6 {
        let cells: &[u32] = if game == 3 { &[0, 1, 2, 4, 3, 5, 7, 6, 8] } else { &[4, 0, 2, 1, 6] };
        let (x, o) = if game % 2 == 1 { (&mut one, &mut two) } else { (&mut two, &mut one) };
        play(x, o, cells).await;
        until(x, "the end", |state| state["phase"] == "finished").await;
        // Whoever counts has had no time yet, or is in the middle of it.
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        server = Server::start(folder.path(), &port);
        for seat in [&mut one, &mut two] {
            while !matches!(seat.next().await.expect("it comes back"), Event::State { full: true, .. }) {}
        }
        if game < 6 {
            one.send("rematch", &json!(null)).unwrap();
            two.send("rematch", &json!(null)).unwrap();
            // What is sent leaves while the connection is looked after.
            one.flush().await.unwrap();
            two.flush().await.unwrap();
            let begun = |state: &Value| state["game"] == game + 1;
            until(&mut one, "a rematch", begun).await;
            until(&mut two, "a rematch", begun).await;
        }
    }
    let began = Instant::now();
    loop {
        let (stats, history) =
            (server.get(&format!("/users/{ada}/stats")), server.get(&format!("/users/{ada}/games")));
        let counted = stats["overall"]["gamesPlayed"].as_u64().unwrap();
        let kept = history["games"].as_array().unwrap().len();
        assert!(counted <= 6 && kept <= 6, "{stats} {history}");
        if counted == 6 && kept == 6 && stats["stale"] == false {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "not counted: {stats} {history}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let stats = server.get(&format!("/users/{ada}/stats"));
    let counts = |stats: &Value| {
        ["gamesWon", "gamesLost", "gamesDrawn", "currentStreak"]
            .map(|name| stats["overall"][name].as_u64().unwrap())
    };
    assert_eq!(counts(&stats), [2, 3, 1, 0]);
    assert_eq!(counts(&server.get(&format!("/users/{bob}/stats"))), [3, 2, 1, 1]);
    assert_eq!(stats["games"]["tic_tac_toe"]["gamesPlayed"], 6);
    let board = server.get("/leaderboard/global?game=tic_tac_toe");
    assert_eq!((board["total"].as_u64(), board["rows"][0]["userId"].as_str()), (Some(2), Some(bob.as_str())));
    assert_eq!((&board["rows"][0]["winPercentage"], &board["rows"][1]["rank"]), (&json!(50.0), &json!(2)));
    let place = server.get(&format!("/leaderboard/user/{ada}?order=rating"));
    assert_eq!((&place["row"]["rank"], place["around"]["rows"].as_array().unwrap().len()), (&json!(2), 2));
    let history = server.get(&format!("/users/{bob}/games?limit=4"));
    let rest = server.get(&format!("/users/{bob}/games?after={}", history["next"].as_str().unwrap()));
    assert_eq!((history["games"].as_array().unwrap().len(), rest["games"].as_array().unwrap().len()), (4, 2));
    assert_eq!((&rest["next"], &history["games"][0]["gameId"]), (&Value::Null, &json!(format!("{room}.6"))));
    let third = server.get(&format!("/games/{room}.3"));
    assert_eq!((&third["winner"], &third["status"]), (&json!("draw"), &json!("completed")));
    assert_eq!(third["board"], json!([["X", "O", "X"], ["X", "O", "O"], ["O", "X", "X"]]));
    assert_eq!(third["moves"].as_array().unwrap().len(), 9);
    assert_eq!(server.ask("GET", "/games/NOWHERE.1", None).0, 404);
    assert_eq!(server.ask("GET", "/leaderboard/global?season=2026-Q4", None).0, 400);
    assert_eq!(server.ask("POST", "/leaderboard/update", Some(&json!({}))).0, 401);
}
