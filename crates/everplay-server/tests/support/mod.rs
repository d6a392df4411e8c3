//! A program of one's own, asked over HTTP and over the SDK's wire.
#![allow(dead_code, reason = "each test file uses its part")]

use everplay_client::{Client, Connection, Event, Reconnection};
use serde_json::{Value, json};
use std::fmt::Debug;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server; killed when the test ends, however it ends.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Somebody with an account of the moment.
pub(crate) struct Guest {
    pub(crate) id: String,
    pub(crate) token: String,
}

impl Server {
    pub(crate) fn start(data_dir: &Path, port: &str) -> Self {
        Self::start_on(data_dir, port, &[])
    }

    /// With other settings, named as environment variables.
    pub(crate) fn start_on(data_dir: &Path, port: &str, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_everplay"));
        command.env_clear().args(["serve", "--log", "warn", "--port", port, "--data-dir"]).arg(data_dir);
        command.envs(settings.iter().copied());
        // Every guest of a test comes from one address and asks as often as a condition takes.
        command.args(["--rate-guest", "100000", "--rate-matchmake", "100000", "--rate-burst", "100000"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let address =
            said.trim().split_once("http://").unwrap_or_else(|| panic!("it did not start: {said}")).1;
        Self { child, address: address.to_owned() }
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn port(&self) -> String {
        self.address.rsplit(':').next().unwrap().to_owned()
    }

    /// One request: status and body.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> (u16, Value) {
        request(&self.address, method, path, token, key, body)
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, answer) = self.request("GET", path, None, None, None);
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    pub(crate) fn guest(&self, name: &str) -> Guest {
        let body = json!({ "options": { "name": name } });
        let (status, answer) = self.request("POST", "/auth/anonymous", None, None, Some(&body));
        assert_eq!(status, 200, "{answer}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Guest { id: text(&answer["user"]["id"]), token: text(&answer["token"]) }
    }

    /// A client that comes back as soon as it can.
    pub(crate) fn client(&self, token: &str) -> Client {
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

/// One request to whoever listens there: status and body.
pub(crate) fn request(
    address: &str,
    method: &str,
    path: &str,
    token: Option<&str>,
    key: Option<&str>,
    body: Option<&Value>,
) -> (u16, Value) {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", address);
    for (name, value) in [("authorization: Bearer", token), ("idempotency-key:", key)] {
        if let Some(value) = value {
            head += &format!("{name} {value}\r\n");
        }
    }
    let body = body.map(Value::to_string).unwrap_or_default();
    head += &format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all((head + &body).as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let status = answer.split_whitespace().nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    // Chunked or not, the JSON begins and ends with its braces.
    let json = body.find('{').and_then(|from| body.get(from..=body.rfind('}')?)).unwrap_or("null");
    (status, serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {answer}")))
}

/// Follows the room until its state is as wanted.
pub(crate) async fn until(seat: &mut Connection, what: &str, done: impl Fn(&Value) -> bool) -> Value {
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
pub(crate) async fn play(first: &mut Connection, second: &mut Connection, cells: &[u32]) {
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

/// Asks until the answer is as wanted.
pub(crate) fn eventually<T: Debug>(what: &str, ask: impl Fn() -> T, done: impl Fn(&T) -> bool) -> T {
    let began = Instant::now();
    loop {
        let answer = ask();
        if done(&answer) {
            return answer;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{what}: {answer:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
