//! The program itself, as an operator meets it: started, killed, asked to stop, started wrongly.

use everplay_client::{Client, Connection, Event, Reconnection};
use serde_json::json;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_everplay");

/// A running server; killed when the test ends, however it ends.
struct Server {
    child: Child,
    url: String,
    /// What it said when it was ready.
    said: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(data_dir: &Path, port: u16) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .env_clear()
        .args(["serve", "--bench-rooms", "--log", "warn", "--port", &port.to_string(), "--data-dir"])
        .arg(data_dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl Server {
    /// Starts and waits for the line with the address.
    fn start(data_dir: &Path, port: u16) -> Self {
        let mut child = program(data_dir, port).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let Some((_, address)) = said.trim().split_once("http://") else {
            let mut errors = String::new();
            child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
            panic!("it did not start: {said} {errors}");
        };
        let url = format!("http://{address}");
        Self { child, url, said }
    }

    fn port(&self) -> u16 {
        self.url.rsplit(':').next().unwrap().parse().unwrap()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    fn wait(&mut self, at_most: Duration) -> ExitStatus {
        let until = Instant::now() + at_most;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "it still runs");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    async fn join(&self) -> Connection {
        let reconnection = Reconnection {
            min_uptime: Duration::ZERO,
            delay: Duration::from_millis(10),
            max_delay: Duration::from_millis(20),
            max_retries: 500,
            ..Reconnection::default()
        };
        let client = Client::new(&self.url).unwrap().with_reconnection(reconnection);
        client.join_or_create("arena", &json!({})).await.unwrap()
    }
}

async fn next(connection: &mut Connection) -> Event {
    let next = tokio::time::timeout(Duration::from_secs(20), connection.next());
    match next.await.expect("something arrives") {
        Some(Event::Closed { code, reason }) => panic!("closed with {code} {reason}"),
        Some(event) => event,
        None => panic!("closed"),
    }
}

fn tick(connection: &Connection) -> u64 {
    connection.state_json().and_then(|state| state["tick"].as_u64()).unwrap_or(0)
}

async fn play_until(connection: &mut Connection, wanted: u64) {
    while tick(connection) < wanted {
        next(connection).await;
    }
}

fn output(command: &mut Command) -> (Output, String) {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, errors)
}

/// The promise: kill -9, start again, and the same client plays on in the same room without having seen anything
/// that is not true any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_goes_on_where_its_players_saw_it_last() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(directory.path(), 0);
    let port = server.port();
    let mut connection = server.join().await;
    let (room, session) = (connection.room_id().to_owned(), connection.session_id().to_owned());
    for life in 1..=3u64 {
        let target = tick(&connection) + 5;
        play_until(&mut connection, target).await;
        let seen = tick(&connection);
        server.kill();
        server = Server::start(directory.path(), port);
        while !matches!(next(&mut connection).await, Event::State { full: true, .. }) {}
        assert!(tick(&connection) >= seen, "life {life}: {} after {seen}", tick(&connection));
        let state = connection.state_json().unwrap();
        assert!(state["ships"][&session].is_object(), "life {life}: the ship is still there");
        assert_eq!(connection.room_id(), room);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_asked_to_stop_sends_its_players_away_to_come_back_and_ends_well() {
    for name in ["TERM", "INT"] {
        let directory = tempfile::tempdir().unwrap();
        let mut server = Server::start(directory.path(), 0);
        let port = server.port();
        let mut connection = server.join().await;
        play_until(&mut connection, 3).await;
        server.signal(name);
        assert!(server.wait(Duration::from_secs(10)).success(), "{name}");
        let code = loop {
            if let Event::Dropped { code } = next(&mut connection).await {
                break code;
            }
        };
        assert_eq!(code, 4010, "{name}");
        let seen = tick(&connection);
        let server = Server::start(directory.path(), port);
        while !matches!(next(&mut connection).await, Event::State { full: true, .. }) {}
        assert!(tick(&connection) >= seen, "{name}");
        drop(server);
    }
}

/// A client that never answers the close holds up the first request to stop; a second one does not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_asked_twice_ends_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(directory.path(), 0);
    let mut connection = server.join().await;
    play_until(&mut connection, 1).await;
    server.signal("TERM");
    let refused = Client::new(&server.url).unwrap();
    while refused.join_or_create("arena", &json!({})).await.is_ok() {}
    server.signal("TERM");
    let asked = Instant::now();
    assert_eq!(server.wait(Duration::from_secs(1)).code(), Some(128 + 15));
    assert!(asked.elapsed() < Duration::from_secs(1));
    drop(connection);
}

#[test]
fn the_data_directory_belongs_to_one_server() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), 0);
    assert!(server.said.starts_with("Everplay is ready: http://127.0.0.1:"), "{}", server.said);
    let (second, errors) = output(&mut program(directory.path(), 0));
    assert_eq!(second.status.code(), Some(1));
    let expected = format!("another server uses it (process {})", server.child.id());
    assert!(errors.contains(&expected), "{errors}");
}

#[test]
fn a_taken_port_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (refused, errors) = output(&mut program(directory.path(), address.port()));
    assert_eq!(refused.status.code(), Some(1));
    assert!(errors.contains(&format!("cannot listen on {address}")), "{errors}");
}

/// The server told by the variables that servers of this game had before; its words go to files.
fn by_environment(data_dir: &Path, port: u16, hydration: bool) -> Child {
    let file = |name: &str| File::create(data_dir.with_extension(name)).unwrap();
    Command::new(PROGRAM)
        .env_clear()
        .envs([("PORT", &*port.to_string()), ("REDIS_ENABLED", "false"), ("EVERPLAY_BENCH_ROOMS", "true")])
        .env("GAME_HYDRATION_ENABLED", hydration.to_string())
        .args(["serve", "--data-dir"])
        .arg(data_dir)
        .stdin(Stdio::null())
        .stdout(file("out"))
        .stderr(file("err"))
        .spawn()
        .unwrap()
}

/// What the server has written so far, once it is ready.
fn said(data_dir: &Path) -> (String, String) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let read = |name: &str| std::fs::read_to_string(data_dir.with_extension(name)).unwrap();
        let (out, err) = (read("out"), read("err"));
        if err.contains("\"ready\"") && out.ends_with('\n') {
            return (out, err);
        }
        assert!(Instant::now() < until, "it does not start: {out} {err}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Status and body of `/health`.
fn health(port: u16) -> (String, serde_json::Value) {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.write_all(b"GET /health HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), serde_json::from_str(body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_hydration_rooms_wait_in_the_store_for_a_start_with_it() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("data");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let start = |hydration| {
        let child = by_environment(&directory, port, hydration);
        (Server { child, url: url.clone(), said: String::new() }, said(&directory))
    };

    let (mut server, (_, log)) = start(true);
    assert!(log.contains("no saved rooms: everything starts fresh"), "{log}");
    let mut connection = server.join().await;
    play_until(&mut connection, 3).await;
    let room = connection.room_id().to_owned();
    let (status, details) = health(port);
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert_eq!((&details["status"], &details["redis"]), (&json!("healthy"), &json!("disabled")));
    server.kill();
    drop(connection);

    let (mut server, (out, log)) = start(false);
    assert!(out.contains(&format!("Room {room} did not come back and was left as it is")), "{out}");
    assert!(log.contains("hydration is off: saved rooms stay in the store"), "{log}");
    let mut connection = server.join().await;
    play_until(&mut connection, 3).await;
    assert_ne!(connection.room_id(), room);
    server.kill();
    drop(connection);

    let (_server, (out, log)) = start(true);
    assert!(out.contains("2 rooms came back."), "{out}");
    let line = log.lines().find(|line| line.contains("room hydrated") && line.contains(&room)).unwrap();
    assert!(line.contains("saved_at_ms"), "{line}");
}

/// A disk without space, as far as a process can be given one without rights: no file of it may grow.
#[test]
fn a_full_disk_is_said_and_ends_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let script = format!(
        "trap '' XFSZ; ulimit -f 0; exec '{PROGRAM}' serve --port 0 --data-dir '{}' 2>&1 >/dev/null | cat",
        directory.path().display()
    );
    let said =
        Command::new("sh").args(["-c", &script]).env("PATH", std::env::var_os("PATH").unwrap()).output();
    let said = String::from_utf8_lossy(&said.unwrap().stdout).into_owned();
    assert!(
        said.contains("the data directory") && said.contains(&*directory.path().to_string_lossy()),
        "{said}"
    );
}

#[test]
fn a_wrong_setting_ends_the_start_with_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let (refused, errors) = output(program(directory.path(), 0).env("EVERPLAY_MAX_ROOMS", "many"));
    assert_eq!(refused.status.code(), Some(1));
    let expected =
        "setting `max_rooms` from environment EVERPLAY_MAX_ROOMS: the value must be a whole number above 0";
    assert!(errors.contains(expected), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_can_be_looked_into() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Server::start(directory.path(), 0);
    let mut connection = server.join().await;
    play_until(&mut connection, 3).await;
    let room = connection.room_id().to_owned();
    let look = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.env_clear().args(arguments).arg("--data-dir").arg(directory.path());
        output(&mut command)
    };
    let (refused, errors) = look(&["rooms"]);
    assert_eq!(refused.status.code(), Some(1), "{errors}");
    server.kill();
    let seen = tick(&connection);
    let (rooms, _) = look(&["rooms"]);
    let listed = String::from_utf8(rooms.stdout).unwrap();
    assert!(listed.starts_with(&format!("{room}  arena  seq ")), "{listed}");
    let (inspected, errors) = look(&["inspect", &room]);
    let value: serde_json::Value = serde_json::from_slice(&inspected.stdout).expect(&errors);
    assert!(value["state"]["tick"].as_u64().unwrap() >= seen, "{value}");
    assert!(value["state"]["ships"][connection.session_id()].is_object(), "{value}");
    assert!(!value["ledger"].to_string().contains("rng_key"), "{value}");
}
