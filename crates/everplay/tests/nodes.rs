//! What the nodes of a cluster have in common over HTTP, on a real Redis and a real PostgreSQL: one budget of requests, and
//! none refused because Redis is away; an operator's word; games that were played, and tickets; what is noticed and what is
//! still read while a store is away.

#[path = "../../everplay-live/tests/servers/mod.rs"]
mod servers;

use everplay::config::StoreUrl;
use everplay::prelude::*;
use everplay::{App, Config, Running};
use everplay_accounts::{Device, Permission};
use everplay_client::Client as Player;
use everplay_types::{CustomerId, Identity, Role};
use serde_json::{Value, json};
use servers::postgres::Postgres;
use servers::redis::Redis;
use std::time::Instant;

/// What a stranger may ask at once. One more every two seconds.
const BUDGET: u32 = 30;

#[derive(State, Default)]
struct Empty {
    nothing: u32,
}

impl Room for Empty {
    type Options = serde::de::IgnoredAny;
    type Timer = ();

    fn messages(on: &mut Messages<Self>) {
        on.message("end", |_: &mut Self, cx: &mut Context<Self>, _: &Client, game: Value| {
            cx.emit("game finished", &game).expect("there is room for it");
            Ok(())
        });
    }

    fn create(_: &mut Context<Self>, _: serde::de::IgnoredAny) -> Result<Self, Refusal> {
        Ok(Self::default())
    }
}

async fn node(redis: &Redis, postgres: &Postgres) -> Running {
    node_with(redis, postgres, BUDGET).await
}

async fn node_with(redis: &Redis, postgres: &Postgres, rate_guest: u32) -> Running {
    let config = Config {
        port: 0,
        redis_url: StoreUrl(redis.url()),
        database_url: StoreUrl(postgres.url()),
        rate_guest,
        trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        ..Config::default()
    };
    App::new().room::<Empty>("empty").start(config).await.unwrap()
}

/// Strangers, each from an address of its own.
struct Strangers {
    client: reqwest::Client,
    urls: Vec<String>,
    seen: u8,
}

impl Strangers {
    fn next(&mut self) -> String {
        self.seen += 1;
        format!("192.0.2.{}", self.seen)
    }

    /// Status, and what the answer says is left.
    async fn ask(&self, from: &str, node: usize) -> (u16, u32) {
        let request = self.client.get(format!("{}/faq", self.urls[node])).header("x-forwarded-for", from);
        let answer = request.send().await.unwrap();
        let told = answer.headers()["ratelimit"].to_str().unwrap().to_owned();
        let left = told.strip_prefix("\"guest\";r=").and_then(|rest| rest.split(';').next());
        (answer.status().as_u16(), left.unwrap().parse().unwrap())
    }

    /// Asks the nodes in turn until they have one budget between them. Not at once: a question that is not answered in
    /// time counts at one node alone, and so do those of the next seconds.
    async fn until_they_share(&mut self) {
        let start = Instant::now();
        loop {
            let from = self.next();
            let began = Instant::now();
            let mut answers = Vec::new();
            for n in 0..BUDGET + 10 {
                answers.push(self.ask(&from, n as usize % self.urls.len()).await);
            }
            let served = answers.iter().filter(|(status, _)| *status == 200).count();
            let filled = 1 + began.elapsed().as_secs() as usize / 2;
            if answers[1] == (200, BUDGET - 2) && served <= BUDGET as usize + filled {
                assert!(served >= BUDGET as usize, "{answers:?}");
                assert!(answers.iter().all(|(status, _)| [200, 429].contains(status)), "{answers:?}");
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(40), "{answers:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_have_one_budget_and_answer_without_redis() {
    let (mut redis, postgres) = (Redis::start(&[]), Postgres::start());
    let nodes = [node(&redis, &postgres).await, node(&redis, &postgres).await];
    let urls = nodes.iter().map(|node| format!("http://{}", node.address())).collect();
    let mut strangers = Strangers { client: reqwest::Client::new(), urls, seen: 0 };
    strangers.until_they_share().await;

    redis.kill();
    let from = strangers.next();
    for left in (0..BUDGET).rev() {
        for node in 0..2 {
            let (status, told) = strangers.ask(&from, node).await;
            assert_eq!(status, 200);
            // Each counts alone; on a slow machine one has filled in meanwhile.
            assert!(told >= left, "{told} at {left}");
        }
    }

    redis.restart();
    strangers.until_they_share().await;
    for node in nodes {
        node.stop(Duration::from_secs(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_word_holds_on_all_nodes() {
    let (redis, postgres) = (Redis::start(&[]), Postgres::start());
    let mut nodes = vec![node(&redis, &postgres).await, node(&redis, &postgres).await];
    let device = Device { agent: "test".into(), network: "local".into() };
    let guest = nodes[0].accounts().guest(&CustomerId::default(), Value::Null, &device).await.unwrap();
    let scopes = [Permission::ServiceManage];
    let by = Identity { roles: [Role::Operator].into_iter().collect(), ..guest.identity };
    let key = nodes[0].accounts().create_key(&by, "operator", &scopes, None).await.unwrap().token;
    let client = reqwest::Client::new();
    let service = |node: &Running| format!("http://{}/admin/service", node.address());
    let until = async |node: &Running, level: &str| {
        let status = format!("http://{}/status", node.address());
        let start = Instant::now();
        loop {
            let told: Value = client.get(&status).send().await.unwrap().json().await.unwrap();
            if told["level"] == level {
                return told;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{told}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let word = json!({ "level": "maintenance", "message": "new disks" });
    let set = client.put(service(&nodes[0])).bearer_auth(&key).json(&word).send().await.unwrap();
    assert_eq!(set.status().as_u16(), 200);
    let told = until(&nodes[1], "maintenance").await;
    assert_eq!((&told["message"], &told["byOperator"]), (&json!("new disks"), &json!(true)));
    // One that comes later keeps to it as well, and another one may take it back.
    nodes.push(node(&redis, &postgres).await);
    until(&nodes[2], "maintenance").await;
    let unset = client.delete(service(&nodes[2])).bearer_auth(&key).send().await.unwrap();
    assert_eq!(unset.status().as_u16(), 200);
    for node in &nodes {
        until(node, "full").await;
    }
    for node in nodes {
        node.stop(Duration::from_secs(5)).await;
    }
}

/// Nothing of it is in a node's memory: all of them were stopped before it is looked at again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn games_and_tickets_are_found_on_every_node_and_after_all_were_stopped() {
    let (redis, postgres) = (Redis::start(&[]), Postgres::start());
    let mut nodes = vec![node(&redis, &postgres).await, node(&redis, &postgres).await];
    let device = Device { agent: "test".into(), network: "local".into() };
    let mut users = Vec::new();
    for _ in 0..2 {
        users.push(nodes[0].accounts().guest(&CustomerId::default(), Value::Null, &device).await.unwrap());
    }
    let [ada, bob] = [0, 1].map(|at| users[at].identity.id.to_string());
    let player = |user: &str, mark: &str| json!({ "user": user, "session": mark, "name": user, "mark": mark, "computer": false });
    let game = json!({
        "game": 7, "mode": "quick", "reason": "line", "winner": "O", "moves": [4, 0, 8, 1, 3, 2], "tookMs": 400,
        "board": ["O", "O", "O", "X", "X", null, null, null, "X"],
        "players": [player(&ada, "X"), player(&bob, "O")],
    });
    let url = |node: &Running| format!("http://{}", node.address());
    let player = Player::new(&url(&nodes[0])).unwrap();
    let mut seat = player.join_or_create("empty", &json!({})).await.unwrap();
    let id = format!("{}.7", seat.room_id());
    seat.send("end", &game).unwrap();
    seat.flush().await.unwrap();

    let client = reqwest::Client::new();
    let history = async |node: &Running| {
        let path = format!("{}/users/{ada}/games", url(node));
        let start = Instant::now();
        loop {
            let told: Value = client.get(&path).send().await.unwrap().json().await.unwrap();
            if told["games"].as_array().is_some_and(|games| !games.is_empty()) {
                assert_eq!(told["games"][0]["gameId"], id, "{told}");
                assert_eq!(told["games"].as_array().unwrap().len(), 1, "{told}");
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{told}");
            tokio::time::sleep(Duration::from_millis(800)).await;
        }
        let kept = client.get(format!("{}/games/{id}", url(node))).send().await.unwrap();
        let kept: Value = kept.json().await.unwrap();
        assert_eq!(
            (&kept["winner"], kept["moves"].as_array().map(Vec::len)),
            (&json!("player2"), Some(6)),
            "{kept}"
        );
    };
    history(&nodes[1]).await;
    let asked = json!({ "subject": "The last game", "description": "My opponent took a corner of mine." });
    let asked =
        client.post(format!("{}/tickets", url(&nodes[1]))).bearer_auth(&users[1].access_token).json(&asked);
    let ticket: Value = asked.send().await.unwrap().json().await.unwrap();
    let ticket = ticket["ticketId"].as_str().unwrap_or_else(|| panic!("{ticket}")).to_owned();
    let found = async |node: &Running| {
        let path = format!("{}/tickets/{ticket}", url(node));
        let seen = client.get(path).bearer_auth(&users[1].access_token).send().await.unwrap();
        assert_eq!(seen.status().as_u16(), 200);
    };
    found(&nodes[0]).await;

    for node in nodes.drain(..) {
        node.stop(Duration::from_secs(5)).await;
    }
    nodes.push(node(&redis, &postgres).await);
    history(&nodes[0]).await;
    found(&nodes[0]).await;
    for node in nodes {
        node.stop(Duration::from_secs(5)).await;
    }
}

/// Asks until the answer is as wanted, for half a minute.
async fn until(client: &reqwest::Client, url: &str, wanted: impl Fn(u16, &Value) -> bool) {
    let start = Instant::now();
    loop {
        let answer = client.get(url).send().await.unwrap();
        let (status, body) = (answer.status().as_u16(), answer.json::<Value>().await.unwrap());
        if wanted(status, &body) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{url}: {status} {body}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_redis_is_noticed_although_no_room_writes() {
    let (mut redis, postgres) = (Redis::start(&[]), Postgres::start());
    let node = node_with(&redis, &postgres, 100_000).await;
    let url = format!("http://{}", node.address());
    let client = reqwest::Client::new();
    let health = format!("{url}/health");
    until(&client, &health, |status, body| status == 200 && body["redis"] == "connected").await;
    redis.kill();
    until(&client, &health, |status, body| status == 503 && body["redis"] == "disconnected").await;
    until(&client, &format!("{url}/status"), |_, told| told["level"] == "emergency").await;
    let opened = client.post(format!("{url}/matchmake/create/empty")).json(&json!({})).send().await.unwrap();
    assert_eq!(opened.status().as_u16(), 503);
    // What needs no room is read, from any node that a balancer chooses.
    for path in ["/health/ready", "/faq", "/leaderboard/global"] {
        let answer = client.get(format!("{url}{path}")).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{path}");
    }
    redis.restart();
    until(&client, &health, |status, body| status == 200 && body["redis"] == "connected").await;
    until(&client, &format!("{url}/status"), |_, told| told["level"] == "full").await;
    node.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_signed_in_reads_on_while_postgresql_is_away() {
    let (redis, mut postgres) = (Redis::start(&[]), Postgres::start());
    let node = node_with(&redis, &postgres, 100_000).await;
    let url = format!("http://{}", node.address());
    let device = Device { agent: "test".into(), network: "local".into() };
    let guest = async || node.accounts().guest(&CustomerId::default(), Value::Null, &device).await.unwrap();
    let guests = [guest().await, guest().await];
    let by = Identity { roles: [Role::Operator].into_iter().collect(), ..guests[0].identity.clone() };
    let key = node.accounts().create_key(&by, "operator", &[Permission::ServiceManage], None).await;
    let key = key.unwrap().token;
    let client = reqwest::Client::new();
    let get = async |path: &str, token: &str| {
        let began = Instant::now();
        let answer = client.get(format!("{url}{path}")).bearer_auth(token).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap(), began.elapsed())
    };
    assert_eq!(get("/leaderboard/global", &guests[0].access_token).await.0, 200);
    postgres.kill();
    until(&client, &format!("{url}/leaderboard/global"), |_, board| board["stale"] == true).await;
    // The second one was never asked about before.
    for token in [&guests[0].access_token, &guests[1].access_token, &key] {
        for path in ["/leaderboard/global", "/faq", "/status"] {
            let (status, body, took) = get(path, token).await;
            assert_eq!(status, 200, "{path}: {body}");
            assert!(took < Duration::from_millis(2_500), "{path}: {took:?}");
        }
    }
    let (status, told, _) = get("/leaderboard/global", &guests[1].access_token).await;
    assert_eq!((status, &told["stale"]), (200, &json!(true)));
    // What is one's own is not told on a signature alone, and one that is not ours is nobody's.
    let (status, refused, _) = get("/account", &guests[1].access_token).await;
    assert_eq!((status, &refused["error"]["code"]), (503, &json!("DATABASE_UNAVAILABLE")), "{refused}");
    let (status, refused, _) = get("/leaderboard/global", "eyJhbGciOiJFZERTQSJ9.e30.AAAA").await;
    assert_eq!(status, 401, "{refused}");
    until(&client, &format!("{url}/status"), |_, told| {
        told["level"] == "limited" && told["message"].as_str().is_some_and(|why| why.contains("accounts"))
    })
    .await;
    postgres.restart();
    until(&client, &format!("{url}/status"), |_, told| told["level"] == "full").await;
    assert_eq!(get("/account", &guests[1].access_token).await.0, 200);
    node.stop(Duration::from_secs(5)).await;
}
