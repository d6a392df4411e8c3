//! The room `line` at a running server: players over real sockets, and a server that is killed under them.

use everplay::config::Storage;
use everplay::{App, Config, Running};
use everplay_client::{Client, Connection, Event, JoinError, Reconnection, RequestError};
use everplay_tictactoe::WaitingLine;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Longer than anything takes but a fault.
const PATIENCE: Duration = Duration::from_secs(60);

struct Server {
    running: Running,
    endpoint: String,
}

impl Server {
    async fn start(config: Config) -> Server {
        let app = || App::new().room::<WaitingLine>("line").filter_by(["line", "tables"]);
        // A server that was dropped lets go of its directory and its port when the last of its tasks has ended.
        let starting = async {
            loop {
                match app().start(config.clone()).await {
                    Ok(running) => return running,
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        let running = tokio::time::timeout(PATIENCE, starting).await.expect("it starts");
        Server { endpoint: format!("http://{}", running.address()), running }
    }

    async fn in_memory() -> Server {
        Server::start(Config { port: 0, storage: Storage::Memory, ..Config::default() }).await
    }

    async fn on_disk(path: &Path, port: u16) -> Server {
        Server::start(Config { port, data_dir: path.to_owned(), ..Config::default() }).await
    }

    fn client(&self) -> Client {
        let soon = Reconnection {
            min_uptime: Duration::ZERO,
            delay: Duration::from_millis(10),
            max_delay: Duration::from_millis(50),
            max_retries: 1000,
            ..Reconnection::default()
        };
        Client::new(&self.endpoint).unwrap().with_reconnection(soon)
    }

    async fn join(&self, name: &str) -> Player {
        Player::of(self.client().join_or_create("line", &json!({ "name": name })).await.unwrap())
    }
}

/// Somebody in the line, and what was said to it.
struct Player {
    connection: Connection,
    session: String,
    places: Vec<u64>,
    errors: Vec<i32>,
}

impl Player {
    fn of(connection: Connection) -> Player {
        let session = connection.session_id().to_owned();
        Player { connection, session, places: Vec::new(), errors: Vec::new() }
    }

    async fn hear(&mut self) {
        let event = tokio::time::timeout(PATIENCE, self.connection.next()).await;
        match event.expect("something happens in a minute") {
            Some(Event::Message { payload, .. }) => {
                let place: Value = payload.get().unwrap();
                self.places.push(place["position"].as_u64().unwrap());
            }
            Some(Event::Error { code, .. }) => self.errors.push(code),
            Some(Event::Closed { code, reason }) => panic!("closed with {code} {reason}"),
            Some(_) => {}
            None => panic!("the connection has ended"),
        }
    }

    /// Waits until this is so of the state.
    async fn until(&mut self, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        let waiting = async {
            loop {
                // Before the first state came there is none of its fields.
                if let Some(state) = self.connection.state_json()
                    && state["tables"].is_array()
                    && so(&state)
                {
                    return state;
                }
                self.hear().await;
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(state) => state,
            Err(_) => panic!("{what}: {:?}", self.connection.state_json()),
        }
    }

    /// The code of the refusal that answers this message.
    async fn refused(&mut self, kind: &str, payload: Value) -> i32 {
        self.connection.send(kind, &payload).unwrap();
        loop {
            match self.errors.pop() {
                Some(code) => return code,
                None => self.hear().await,
            }
        }
    }

    async fn play(&mut self, cell: u32) {
        self.connection.send("move", &json!({ "cell": cell })).unwrap();
        self.until("the move is on the board", |state| {
            state["tables"]
                .as_array()
                .unwrap()
                .iter()
                .any(|table| table["moves"].as_array().unwrap().contains(&json!(cell)))
        })
        .await;
    }
}

/// Who sits at the first table.
fn seats(state: &Value) -> [&str; 2] {
    ["x", "o"].map(|seat| state["tables"][0][seat].as_str().unwrap())
}

/// Who waits, in order.
fn waiting(state: &Value) -> Vec<&str> {
    let mut waiting: Vec<(u64, &str)> = state["players"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, player)| player["status"] == "waiting")
        .map(|(session, player)| (player["joinedAt"].as_u64().unwrap(), session.as_str()))
        .collect();
    waiting.sort_unstable();
    waiting.into_iter().map(|(_, session)| session).collect()
}

/// X wins with the top row.
async fn x_wins(x: &mut Player, o: &mut Player) {
    for (number, cell) in [0, 3, 1, 4, 2].into_iter().enumerate() {
        if number % 2 == 0 {
            x.play(cell).await
        } else {
            o.play(cell).await
        }
        let moves = number + 1;
        o.until("both see it", |state| state["tables"][0]["moves"].as_array().unwrap().len() == moves).await;
        x.until("both see it", |state| state["tables"][0]["moves"].as_array().unwrap().len() == moves).await;
    }
}

#[tokio::test]
async fn the_winner_stays_the_next_one_plays_and_everybody_knows_the_place() {
    let server = Server::in_memory().await;
    let (mut ada, mut bob, mut cleo, mut dan) = (
        server.join("Ada").await,
        server.join("Bob").await,
        server.join("Cleo").await,
        server.join("Dan").await,
    );
    let all = [&ada.session, &bob.session, &cleo.session, &dan.session].map(String::clone);
    let state = dan.until("four in the line", |state| state["waiting"] == 2).await;
    assert_eq!(seats(&state), [all[0].as_str(), all[1].as_str()]);
    assert_eq!(waiting(&state), [all[2].as_str(), all[3].as_str()]);
    assert_eq!(state["players"][&all[0]]["name"], "Ada");

    x_wins(&mut ada, &mut bob).await;
    let state = ada.until("the result", |state| state["tables"][0]["stage"] == "finished").await;
    assert_eq!((&state["tables"][0]["winner"], &state["tables"][0]["reason"]), (&json!(1), &json!("line")));
    assert_eq!(seats(&state), [all[0].as_str(), all[1].as_str()], "the board is looked at");

    let state = cleo.until("the next game", |state| state["tables"][0]["game"] == 2).await;
    assert_eq!(seats(&state), [all[0].as_str(), all[2].as_str()]);
    assert_eq!(waiting(&state), [all[3].as_str(), all[1].as_str()]);
    assert_eq!(state["players"][&all[0]]["wins"], 1);
    dan.until("the next game", |state| state["tables"][0]["game"] == 2).await;
    while dan.places.len() < 2 {
        dan.hear().await;
    }
    assert_eq!(dan.places, [2, 1]);
    let standing: Value = bob.connection.request("standing", &()).await.unwrap();
    assert_eq!((&standing["status"], &standing["position"]), (&json!("waiting"), &json!(2)));
    assert!(standing["waitMs"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_result_that_a_client_reports_is_refused_and_so_is_a_move_of_who_waits() {
    let server = Server::in_memory().await;
    let (mut ada, mut bob, mut cleo) =
        (server.join("Ada").await, server.join("Bob").await, server.join("Cleo").await);
    assert_eq!(ada.refused("gameOVER", json!({ "loserId": bob.session })).await, 4311);
    assert_eq!(cleo.refused("gameOVER", json!({ "data": { "loserId": "X", "winnerId": "O" } })).await, 4311);
    assert_eq!(cleo.refused("move", json!({ "cell": 0 })).await, 4305);
    assert_eq!(bob.refused("move", json!({ "cell": 0 })).await, 4302, "X moves first");
    let state = bob.until("the game", |state| state["tables"][0]["stage"] == "playing").await;
    assert_eq!(state["tables"][0]["moves"], json!([]));
}

#[tokio::test]
async fn who_leaves_a_game_loses_it_and_who_steps_out_watches() {
    let server = Server::in_memory().await;
    let (mut ada, bob, mut cleo) =
        (server.join("Ada").await, server.join("Bob").await, server.join("Cleo").await);
    ada.until("a game", |state| state["tables"][0]["stage"] == "playing").await;
    bob.connection.leave().await;
    let state = ada.until("a result", |state| state["tables"][0]["stage"] == "finished").await;
    assert_eq!((&state["tables"][0]["winner"], &state["tables"][0]["reason"]), (&json!(1), &json!("left")));
    let state = cleo.until("the next game", |state| state["tables"][0]["game"] == 2).await;
    assert_eq!(seats(&state), [ada.session.as_str(), cleo.session.as_str()]);

    cleo.connection.send("stepOut", &()).unwrap();
    let state = cleo.until("out of the line", |state| state["watchers"] == 1).await;
    assert_eq!(state["players"].as_object().unwrap().len(), 1);
    let none: Result<Value, RequestError> = cleo.connection.request("standing", &()).await;
    assert!(none.is_err());
    let back: Value = cleo.connection.request("enter", &()).await.unwrap();
    assert_ne!(back["status"], Value::Null);
    cleo.until("back in the line", |state| state["players"].as_object().unwrap().len() == 2).await;
}

#[tokio::test]
async fn lines_of_other_names_are_other_lines() {
    let server = Server::in_memory().await;
    let main = server.client().join_or_create("line", &json!({})).await.unwrap();
    let club = json!({ "line": "club", "tables": 3 });
    let many = server.client().join_or_create("line", &club).await.unwrap();
    assert_ne!(main.room_id(), many.room_id());
    let mut many = Player::of(many);
    let state = many.until("its state", |_| true).await;
    assert_eq!((&state["name"], state["tables"].as_array().unwrap().len()), (&json!("club"), 3));
}

#[tokio::test]
async fn a_line_has_no_more_than_sixteen_tables() {
    let server = Server::in_memory().await;
    let refused = server.client().create("line", &json!({ "tables": 17 })).await;
    assert!(matches!(refused, Err(JoinError::Matchmaking { code: 4308, .. })));
}

/// What a kill leaves is what was seen: seats, order, board and clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_survives_the_end_of_its_server() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::on_disk(directory.path(), 0).await;
    let port = server.running.address().port();
    let mut players = Vec::new();
    for name in ["Ada", "Bob", "Cleo", "Dan", "Eve"] {
        players.push(server.join(name).await);
    }
    players[0].play(4).await;
    players[1].play(0).await;
    for player in &mut players {
        player.until("two moves", |state| state["tables"][0]["moves"] == json!([4, 0])).await;
    }
    let before = players[4].until("all in the line", |state| state["waiting"] == 3).await;

    // Dropped without a stop it ends as in a crash.
    drop(server);
    let server = Server::on_disk(directory.path(), port).await;
    let back = |state: &Value| {
        state["players"].as_object().unwrap().values().all(|player| player["connected"] == true)
    };
    // All knock at the same time, as they would.
    let coming = players.into_iter().map(|mut player| {
        tokio::spawn(async move {
            loop {
                let event =
                    tokio::time::timeout(PATIENCE, player.connection.next()).await.expect("it comes back");
                match event {
                    Some(Event::Reconnected) => return player,
                    Some(Event::Closed { code, reason }) => panic!("closed with {code} {reason}"),
                    Some(_) => {}
                    None => panic!("the connection has ended"),
                }
            }
        })
    });
    let coming: Vec<_> = coming.collect();
    let mut players = Vec::new();
    for one in coming {
        players.push(one.await.unwrap());
    }
    let after = players[4].until("all are back", back).await;
    assert_eq!(waiting(&after), waiting(&before));
    assert_eq!(seats(&after), seats(&before));
    assert_eq!(after["tables"][0]["board"], before["tables"][0]["board"]);

    players[0].until("all are back", back).await;
    players[1].until("all are back", back).await;
    players[0].play(2).await;
    players[1].until("its turn", |state| state["tables"][0]["turn"] == 2).await;
    players[1].play(1).await;
    players[0].until("its turn", |state| state["tables"][0]["turn"] == 1).await;
    players[0].play(6).await;
    let state = players[2].until("the next game", |state| state["tables"][0]["game"] == 2).await;
    assert_eq!(seats(&state), [players[0].session.as_str(), players[2].session.as_str()]);
    assert_eq!(waiting(&state), [3, 4, 1].map(|at: usize| players[at].session.as_str()));
    drop(server);
}
