//! Matchmaking by rating on several nodes, on a real Redis and a real PostgreSQL: any node answers for any search, also when
//! the one that looked after them is gone.

#[path = "../../everplay-live/tests/servers/mod.rs"]
mod servers;

use everplay::config::StoreUrl;
use everplay::prelude::*;
use everplay::{App, Config, Running};
use everplay_accounts::Device;
use everplay_client::Client as Player;
use everplay_types::CustomerId;
use everplay_wire::matchmake::SeatReservation;
use serde_json::{Value, json};
use servers::postgres::Postgres;
use servers::redis::Redis;
use std::time::Instant;

#[derive(State, Default)]
struct Duel {
    nothing: u32,
}

impl Room for Duel {
    type Options = Value;
    type Timer = ();

    fn create(_: &mut Context<Self>, _: Value) -> Result<Self, Refusal> {
        Ok(Self::default())
    }
}

async fn node(redis: &Redis, postgres: &Postgres) -> Running {
    let config = Config {
        port: 0,
        redis_url: StoreUrl(redis.url()),
        database_url: StoreUrl(postgres.url()),
        ..Config::default()
    };
    App::new().room::<Duel>("duel").matched([("mode", "ranked")]).start(config).await.unwrap()
}

/// Somebody who is at one node now and at another then.
struct Searcher {
    client: reqwest::Client,
    token: String,
}

impl Searcher {
    async fn new(node: &Running) -> Searcher {
        let device = Device { agent: "test".into(), network: "local".into() };
        let guest = node.accounts().guest(&CustomerId::default(), Value::Null, &device).await.unwrap();
        Searcher { client: reqwest::Client::new(), token: guest.access_token }
    }

    async fn ask(&self, node: &Running, method: reqwest::Method, path: &str) -> (u16, Value) {
        let url = format!("http://{}/matchmaking/tickets{path}", node.address());
        let mut request = self.client.request(method.clone(), url).bearer_auth(&self.token);
        if method == reqwest::Method::POST && path.is_empty() {
            request = request.json(&json!({ "game": "duel" }));
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn search(&self, node: &Running) -> String {
        let (status, ticket) = self.ask(node, reqwest::Method::POST, "").await;
        assert_eq!(status, 201, "{ticket}");
        format!("/{}", ticket["ticketId"].as_str().unwrap())
    }

    async fn until(&self, node: &Running, ticket: &str, wanted: &str) -> Value {
        let start = Instant::now();
        loop {
            let (status, seen) = self.ask(node, reqwest::Method::GET, ticket).await;
            if status == 200 && seen["status"] == wanted {
                return seen;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "not {wanted}: {status} {seen}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn accept(&self, node: &Running, ticket: &str) -> Value {
        let (status, seen) = self.ask(node, reqwest::Method::POST, &format!("{ticket}/accept")).await;
        assert_eq!(status, 200, "{seen}");
        seen
    }
}

async fn sits(node: &Running, ticket: &Value) -> String {
    let seat: SeatReservation = serde_json::from_value(ticket["reservation"].clone()).unwrap();
    let player = Player::new(&format!("http://{}", node.address())).unwrap();
    player.take(&seat, None).await.unwrap().room_id().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_answers_for_any_search() {
    let (redis, postgres) = (Redis::start(&[]), Postgres::start());
    let nodes = [node(&redis, &postgres).await, node(&redis, &postgres).await];
    let (ada, bob) = (Searcher::new(&nodes[0]).await, Searcher::new(&nodes[1]).await);
    let (of_ada, of_bob) = (ada.search(&nodes[0]).await, bob.search(&nodes[1]).await);
    ada.until(&nodes[1], &of_ada, "proposed").await;
    bob.until(&nodes[0], &of_bob, "proposed").await;
    // One search for a player, wherever it was begun; a stranger's is nobody else's.
    let (status, another) = ada.ask(&nodes[1], reqwest::Method::POST, "").await;
    assert_eq!((status, &another["error"]["code"]), (409, &json!("ALREADY_SEARCHING")), "{another}");
    assert_eq!(another["error"]["details"]["ticketId"], of_ada[1..]);
    assert_eq!(bob.ask(&nodes[0], reqwest::Method::GET, &of_ada).await.0, 404);
    let first = ada.accept(&nodes[1], &of_ada).await;
    assert_eq!((&first["status"], &first["proposal"]["accepted"]), (&json!("proposed"), &json!(true)));
    let second = bob.accept(&nodes[0], &of_bob).await;
    assert_eq!(second["status"], "matched");
    let first = ada.until(&nodes[0], &of_ada, "matched").await;
    assert_eq!(sits(&nodes[0], &first).await, sits(&nodes[1], &second).await, "one room");
    let (status, kept) = ada.ask(&nodes[0], reqwest::Method::DELETE, &of_ada).await;
    assert_eq!((status, &kept["error"]["code"]), (409, &json!("MATCHED")), "{kept}");
    for node in nodes {
        node.stop(Duration::from_secs(5)).await;
    }
}

/// Each node is stopped in turn while the same two search: wherever the searches were, they go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_go_on_when_a_node_goes() {
    let (redis, postgres) = (Redis::start(&[]), Postgres::start());
    let mut nodes = vec![node(&redis, &postgres).await, node(&redis, &postgres).await];
    let ada = Searcher::new(&nodes[0]).await;
    let mut ticket = ada.search(&nodes[0]).await;
    ada.until(&nodes[1], &ticket, "searching").await;
    for _ in 0..2 {
        nodes.push(node(&redis, &postgres).await);
        nodes.remove(0).stop(Duration::from_secs(5)).await;
        let seen = ada.until(&nodes[1], &ticket, "searching").await;
        assert_eq!(seen["ticketId"], ticket[1..], "the same search, looked after elsewhere");
    }
    let bob = Searcher::new(&nodes[0]).await;
    let of_bob = bob.search(&nodes[0]).await;
    ada.until(&nodes[1], &ticket, "proposed").await;
    ada.accept(&nodes[1], &ticket).await;
    bob.accept(&nodes[0], &of_bob).await;
    let matched = ada.until(&nodes[0], &ticket, "matched").await;
    sits(&nodes[0], &matched).await;
    // Taken back, it is over, and one may search anew.
    ticket = ada.search(&nodes[1]).await;
    let (status, over) = ada.ask(&nodes[0], reqwest::Method::DELETE, &ticket).await;
    assert_eq!((status, &over["status"]), (200, &json!("cancelled")), "{over}");
    ada.search(&nodes[0]).await;
    for node in nodes {
        node.stop(Duration::from_secs(5)).await;
    }
}
