//! A game by requests in a cluster of two nodes: each move may be sent to either, and the end is known at both.
//!
//! The room is the least that docs/games.md asks of a kind: five cells in a row, and who takes the last one wins.

#[path = "../../everplay-live/tests/servers/mod.rs"]
mod servers;

use everplay::config::StoreUrl;
use everplay::prelude::*;
use everplay::{App, Config, Running};
use reqwest::Method;
use serde_json::{Value, json};
use servers::postgres::Postgres;
use servers::redis::Redis;
use std::time::Instant;

const CELLS: usize = 5;
/// Longer than anything takes but a fault.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was played is by cells; sides are by who came first.
#[derive(State, Default)]
struct Row {
    moves: List<u8>,
    keys: List<String>,
    accounts: List<String>,
    sessions: List<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Options {
    mode: String,
    resume: bool,
}

#[derive(Deserialize)]
struct Account {
    id: String,
}

#[derive(Deserialize)]
struct Play {
    played: u8,
    key: String,
}

impl Room for Row {
    type Options = Options;
    type Timer = ();

    fn messages(on: &mut Messages<Self>) {
        on.request("game", |room: &mut Self, _: &mut Context<Self>, _: &Client, _: Anything| {
            Ok(room.told(room.moves.len()))
        });
        on.request("play", Self::on_play);
    }

    fn create(_: &mut Context<Self>, _: Options) -> Result<Self, Refusal> {
        Ok(Self::default())
    }

    fn join(&mut self, cx: &mut Context<Self>, client: &Client, options: Options) -> Result<(), Refusal> {
        let account = client.auth_as::<Account>().map(|account| account.id).unwrap_or_default();
        let session = client.session_id().to_string();
        let side = self.accounts.iter().position(|known| *known == account);
        match side {
            Some(side) if options.resume => {
                if let Some(before) = cx.client(&self.sessions[side]) {
                    cx.kick(&before, CloseCode::REPLACED);
                }
                self.sessions[side] = session;
            }
            None if options.resume => return Err(Refusal::new(4305, "no seat here")),
            None if options.mode != "watch" && self.accounts.len() < 2 => {
                self.accounts.push(account);
                self.sessions.push(session);
            }
            _ => {}
        }
        Ok(())
    }
}

impl Row {
    fn on_play(&mut self, cx: &mut Context<Self>, client: &Client, play: Play) -> Result<Value, Refusal> {
        let side = self.sessions.iter().position(|session| session == client.session_id().as_str());
        let side = side.ok_or_else(|| Refusal::new(4305, "no seat here"))?;
        let before = self.keys.iter().enumerate().position(|(at, key)| at % 2 == side && *key == play.key);
        if let Some(at) = before {
            return Ok(self.told(at + 1));
        }
        let no = |code, message: &str| Err(Refusal::new(code, message));
        match usize::from(play.played) {
            _ if self.accounts.len() < 2 => return no(4304, "nobody to play with"),
            _ if self.moves.len() == CELLS => return no(4303, "the game is over"),
            _ if self.moves.len() % 2 != side => return no(4302, "the other side moves"),
            CELLS.. => return no(4300, "there is no such cell"),
            _ if self.moves.iter().any(|cell| *cell == play.played) => return no(4301, "the cell is taken"),
            _ => {}
        }
        self.moves.push(play.played);
        self.keys.push(play.key);
        let told = self.told(self.moves.len());
        if self.moves.len() == CELLS {
            let _ = cx.emit("game finished", &told);
        }
        Ok(told)
    }

    /// The game after so many of its moves, also for the event at its end.
    fn told(&self, count: usize) -> Value {
        let moves: Vec<u8> = self.moves.iter().take(count).copied().collect();
        let mark = |side: usize| ["A", "B"][side];
        let cell = |cell: usize| moves.iter().position(|played| usize::from(*played) == cell);
        let board: Vec<_> = (0..CELLS).map(|at| cell(at).map(|played| mark(played % 2))).collect();
        let status = match (self.accounts.len(), count) {
            (2, CELLS) => "completed",
            (2, _) => "active",
            _ => "waiting",
        };
        let player = |(side, account): (usize, &String)| {
            let session = &self.sessions[side];
            json!({ "user": account, "session": session, "name": mark(side), "mark": mark(side), "connected": true })
        };
        json!({
            "game": 1,
            "status": status,
            "players": self.accounts.iter().enumerate().map(player).collect::<Vec<_>>(),
            "board": board,
            "turn": (status == "active").then(|| mark(count % 2)),
            "winner": (status == "completed").then(|| mark(0)),
            "reason": if status == "completed" { "row" } else { "" },
            "moves": moves,
        })
    }
}

async fn node(redis: &Redis, postgres: &Postgres) -> Running {
    let config = Config {
        port: 0,
        redis_url: StoreUrl(redis.url()),
        database_url: StoreUrl(postgres.url()),
        rate_guest: 10_000,
        ..Config::default()
    };
    App::new().room::<Row>("row").start(config).await.unwrap()
}

struct Nodes {
    client: reqwest::Client,
    urls: Vec<String>,
}

impl Nodes {
    async fn ask(
        &self,
        node: usize,
        method: Method,
        path: &str,
        who: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let request = self.client.request(method, format!("{}{path}", self.urls[node]));
        let request = if who.is_empty() { request } else { request.bearer_auth(who) };
        let request = if let Some(body) = body { request.json(&body) } else { request };
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    async fn guest(&self, node: usize, name: &str) -> String {
        let body = json!({ "options": { "name": name } });
        let (status, answer) = self.ask(node, Method::POST, "/auth/anonymous", "", Some(body)).await;
        assert_eq!(status, 200, "{answer}");
        answer["token"].as_str().unwrap().to_owned()
    }

    /// Plays at this node. "Come again" is an answer; "there is no such game" is none.
    async fn play(&self, node: usize, game: &str, who: &str, cell: u8, key: &str) -> (u16, Value) {
        let began = Instant::now();
        loop {
            let url = format!("{}/games/{game}/moves", self.urls[node]);
            let request = self.client.put(url).bearer_auth(who).header("idempotency-key", key);
            let answer = request.json(&json!({ "played": cell })).send().await.unwrap();
            let status = answer.status().as_u16();
            if status != 503 {
                return (status, answer.json().await.unwrap());
            }
            assert!(answer.headers().contains_key("retry-after"));
            assert!(began.elapsed() < PATIENCE, "{}", answer.text().await.unwrap());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Asks a node until the game is as wanted. It is there all the time.
    async fn see(&self, node: usize, game: &str, who: &str, done: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let (status, seen) = self.ask(node, Method::GET, &format!("/games/{game}"), who, None).await;
            assert!([200, 503].contains(&status), "{status} {seen}");
            if status == 200 && done(&seen) {
                return seen;
            }
            assert!(began.elapsed() < PATIENCE, "{seen}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moves_may_be_sent_to_either_node() {
    let (redis, postgres) = (Redis::start(&[]), Postgres::start());
    let running = [node(&redis, &postgres).await, node(&redis, &postgres).await];
    let urls = running.iter().map(|node| format!("http://{}", node.address())).collect();
    let nodes = Nodes { client: reqwest::Client::new(), urls };
    let began = Instant::now();
    let linked = |node: &Running| {
        let nodes = node.node().cluster().expect("it is one of a cluster").nodes();
        nodes.len() == 2 && nodes.iter().all(|node| node.state == "alive")
    };
    while !running.iter().all(linked) {
        assert!(began.elapsed() < PATIENCE, "the nodes do not find each other");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (ada, bob, eve) =
        (nodes.guest(0, "Ada").await, nodes.guest(1, "Bob").await, nodes.guest(1, "Eve").await);

    // Rooms come to be on either node.
    for round in 0..4 {
        let wanted = json!({ "mode": "private" });
        let (status, made) = nodes.ask(round % 2, Method::POST, "/games", &ada, Some(wanted)).await;
        assert_eq!(status, 201, "{made}");
        let game = made["gameId"].as_str().unwrap();
        let at = (round + 1) % 2;
        nodes.see(at, game, "", |seen| seen["status"] == "waiting").await;
        let (status, joined) = nodes.ask(at, Method::POST, &format!("/games/{game}/join"), &bob, None).await;
        assert_eq!((status, &joined["you"]), (200, &json!("B")), "{joined}");

        // Each of the two at both nodes, and each move repeated at the other one.
        let order = [1, 1, 0, 0, 1];
        for (number, node) in order.into_iter().enumerate() {
            let (who, cell, key) = ([&ada, &bob][number % 2], number as u8, format!("move {number}"));
            let (status, played) = nodes.play(node, game, who, cell, &key).await;
            assert_eq!((status, played["moves"].as_array().unwrap().len()), (200, number + 1), "{played}");
            if number == CELLS - 1 {
                break;
            }
            let (status, again) = nodes.play(1 - node, game, who, cell, &key).await;
            assert_eq!((status, &again["board"], &again["moves"]), (200, &played["board"], &played["moves"]));
            let next = [&bob, &ada][number % 2];
            let (status, refusal) = nodes.play(1 - node, game, next, cell, "taken").await;
            assert_eq!((status, &refusal["error"]["code"]), (409, &json!("INVALID_MOVE")), "{refusal}");
            assert_eq!(refusal["error"]["details"]["position"], json!([0, cell]));
            assert_eq!(refusal["error"]["details"]["currentBoard"], played["board"]);
            for node in 0..2 {
                nodes.see(node, game, "", |seen| seen["moves"] == played["moves"]).await;
            }
        }
        // At once, at both.
        for node in [0, 1] {
            for who in [&ada, &bob, &eve, &String::new()] {
                let seen = nodes.see(node, game, who, |seen| seen["status"] == "completed").await;
                assert_eq!(
                    (&seen["winner"], &seen["board"]),
                    (&json!("player1"), &json!([["A", "B", "A", "B", "A"]]))
                );
            }
            let late = [(&ada, 3, "GAME_OVER"), (&bob, 4, "GAME_OVER"), (&eve, 4, "NOT_A_PLAYER")];
            for (who, cell, code) in late {
                let refusal = nodes.play(node, game, who, cell, "late").await.1;
                assert_eq!(refusal["error"]["code"], code, "{refusal}");
            }
            let (status, again) = nodes.play(node, game, &ada, 4, "move 4").await;
            assert_eq!((status, &again["status"]), (200, &json!("completed")));
            let path = format!("/games/{game}");
            let (status, refusal) = nodes.ask(node, Method::DELETE, &path, &ada, None).await;
            assert_eq!((status, &refusal["error"]["code"]), (409, &json!("GAME_OVER")), "{refusal}");
        }
    }
    assert_eq!(nodes.ask(1, Method::GET, "/games/NOWHERE.1", "", None).await.0, 404);
    for node in running {
        node.stop(Duration::from_secs(5)).await;
    }
}
