//! The program on the stores of a cluster: a real Redis behind Sentinels and a real PostgreSQL.

#[path = "../../everplay-live/tests/servers/mod.rs"]
mod servers;

use everplay_client::{Client, Connection, Event, Reconnection};
use serde_json::json;
use servers::postgres::Postgres;
use servers::redis::{Redis, Watched};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_everplay");

/// A running server; killed when the test ends, however it ends.
struct Server {
    child: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(redis: &str, database: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.env_clear().args(["serve", "--bench-rooms", "--log", "warn"]);
    command.env("REDIS_URL", redis).env("DATABASE_URL", database);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Server {
    fn start(redis: &str, database: &str, port: u16) -> Server {
        let mut child = program(redis, database).args(["--port", &port.to_string()]).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let Some((_, address)) = said.trim().split_once("http://") else {
            let mut errors = String::new();
            child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
            panic!("it did not start: {said} {errors}");
        };
        Server { child, url: format!("http://{address}") }
    }

    fn port(&self) -> u16 {
        self.url.rsplit(':').next().unwrap().parse().unwrap()
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

async fn join(url: &str) -> Connection {
    let reconnection = Reconnection {
        min_uptime: Duration::ZERO,
        delay: Duration::from_millis(10),
        max_delay: Duration::from_millis(20),
        max_retries: 1_000,
        ..Reconnection::default()
    };
    let client = Client::new(url).unwrap().with_reconnection(reconnection);
    client.join_or_create("arena", &json!({})).await.unwrap()
}

fn tick(connection: &Connection) -> u64 {
    connection.state_json().and_then(|state| state["tick"].as_u64()).unwrap_or(0)
}

async fn play_until(connection: &mut Connection, wanted: u64) {
    while tick(connection) < wanted {
        let next = tokio::time::timeout(Duration::from_secs(20), connection.next());
        match next.await.expect("something arrives") {
            Some(Event::Closed { code, reason }) => panic!("closed with {code} {reason}"),
            Some(_) => {}
            None => panic!("closed"),
        }
    }
}

fn output(command: &mut Command) -> (Output, String) {
    let output = command.output().unwrap();
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output, text)
}

/// Killed and started anew, with nothing but the stores between the two: the same client plays on in the same room,
/// also after Redis has failed over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_process_brings_the_rooms_back() {
    let mut watched = Watched::start();
    let postgres = Postgres::start();
    let (redis, database) = (watched.url(), postgres.url());
    let mut server = Server::start(&redis, &database, 0);
    let port = server.port();
    let mut connection = join(&server.url).await;
    let (room, session) = (connection.room_id().to_owned(), connection.session_id().to_owned());
    for life in 1..=3u64 {
        let target = tick(&connection) + 5;
        play_until(&mut connection, target).await;
        let seen = tick(&connection);
        server.kill();
        if life == 2 {
            watched.servers[1..].iter().for_each(Redis::freeze);
            watched.servers[0].kill();
            watched.servers[1..].iter().for_each(Redis::thaw);
        }
        server = Server::start(&redis, &database, port);
        play_until(&mut connection, seen + 1).await;
        let state = connection.state_json().unwrap();
        assert!(state["ships"][&session].is_object(), "life {life}: the ship is still there");
        assert_eq!(connection.room_id(), room);
        assert_eq!(postgres.query("select epoch from everplay.room_grants"), (life + 1).to_string());
    }
    // Neither secrets nor rooms in a data directory.
    assert!(!std::path::Path::new("everplay-data").exists());
}

#[test]
fn what_is_wrong_with_the_stores_is_said_without_their_secrets() {
    let (postgres, evicting) = ("postgres://u:hunter2@127.0.0.1:1/x", Redis::start(&[]));
    let (alone, errors) = output(program("redis://127.0.0.1:1", postgres).env_remove("REDIS_URL"));
    assert_eq!(alone.status.code(), Some(1));
    assert!(errors.contains("`database_url` is set and `redis_url` is not"), "{errors}");
    let (wrong, errors) = output(&mut program("http://:hunter2@127.0.0.1", postgres));
    assert_eq!(wrong.status.code(), Some(1));
    assert!(errors.contains("setting `redis_url`") && !errors.contains("hunter2"), "{errors}");
    evicting.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let (refused, errors) = output(&mut program(&evicting.url(), postgres));
    assert_eq!(refused.status.code(), Some(1));
    assert!(errors.contains("the live store on Redis") && errors.contains("noeviction"), "{errors}");
    assert!(!errors.contains("hunter2"), "{errors}");

    let mut config = Command::new(PROGRAM);
    config.env_clear().arg("config").env("REDIS_URL", "redis://:hunter2@x").env("DATABASE_URL", postgres);
    let (_, shown) = output(&mut config);
    assert!(shown.contains("environment REDIS_URL") && !shown.contains("hunter2"), "{shown}");
}

/// What a set-up does not promise is in the log of the start.
#[test]
fn an_unsafe_set_up_is_told_at_the_start() {
    let (redis, postgres) = (Redis::start(&[]), Postgres::start());
    let mut child = program(&redis.url(), &postgres.url()).args(["--port", "0"]).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(said.contains("is ready"), "{said} {log}");
    assert!(log.contains("live store on Redis:") && log.contains("no synchronous standby"), "{log}");
}
