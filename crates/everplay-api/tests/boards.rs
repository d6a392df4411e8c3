//! Results that other servers report, over HTTP: counted once, for accounts that are there, by who may.

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use everplay_accounts::{AccountStore, Accounts, Device, Parts, Permission, ProfileChange, Sealer, SignedIn};
use everplay_api::{Api, Caller, Layers, RatePolicy};
use everplay_boards::{Boards, BoardsOptions, SqliteBoardStore};
use everplay_types::{CustomerId, Role, Roles};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::sync::Arc;

struct Site {
    url: String,
    accounts: Accounts,
    client: Client,
    _serving: tokio::task::JoinHandle<()>,
}

/// What the edge puts into each request.
async fn as_the_edge_does(mut request: Request, next: Next) -> axum::response::Response {
    let caller = Caller { ip: "192.0.2.1".parse().unwrap(), request_id: Arc::from("test"), socket: None };
    request.extensions_mut().insert(caller);
    next.run(request).await
}

impl Site {
    async fn open() -> Site {
        let parts = Parts::new(AccountStore::memory().await.unwrap(), Sealer::ephemeral());
        let accounts = Accounts::start(parts).await.unwrap();
        let boards = Boards::start(Arc::new(SqliteBoardStore::memory().unwrap()), BoardsOptions::default());
        let mut layers = Layers::new(Arc::new(accounts.clone()));
        let generous =
            RatePolicy { account: 100_000, guest: 100_000, burst: 100_000, ..RatePolicy::default() };
        layers.rates = generous;
        let router = Api::new()
            .service(everplay_api::boards::routes(boards, accounts.clone()))
            .router(layers)
            .layer(from_fn(as_the_edge_does));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Site { url, accounts, client: Client::new(), _serving: serving }
    }

    async fn player(&self, region: &str) -> SignedIn {
        let customer = CustomerId::default();
        let guest = self.accounts.guest(&customer, json!({}), &Device::default()).await.unwrap();
        let change = ProfileChange { region: Some(region.to_owned()), ..ProfileChange::default() };
        self.accounts.change_profile(&guest.identity, &change).await.unwrap();
        guest
    }

    /// A key of a server.
    async fn key(&self, scopes: &[Permission]) -> String {
        let mut admin = self.player("eu").await.identity;
        admin.roles = [Role::Admin].into_iter().collect::<Roles>();
        admin.second_factor = true;
        self.accounts.create_key(&admin, "server", scopes, None).await.unwrap().token
    }

    async fn ask(&self, method: Method, path: &str, token: &str, body: Option<&Value>) -> (u16, Value) {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    async fn report(&self, token: &str, body: &Value) -> (u16, Value) {
        self.ask(Method::POST, "/leaderboard/update", token, Some(body)).await
    }
}

fn result(game: u32, winner: &str, loser: &str) -> Value {
    json!({
        "gameId": format!("duel-{game}"), "game": "duel", "durationMs": 60_000,
        "players": [
            { "userId": winner, "name": "Ada", "outcome": "won" },
            { "userId": loser, "name": "Bob", "outcome": "lost" },
        ],
    })
}

#[tokio::test]
async fn a_reported_result_counts_once_and_where_its_players_are_at_home() {
    let site = Site::open().await;
    let key = site.key(&[Permission::ResultsWrite]).await;
    let (ada, bob) = (site.player("eu-north").await, site.player("eu-south").await);
    let (ada, bob) = (ada.identity.id.as_str(), bob.identity.id.as_str());
    for game in 1..=5 {
        for counted in [true, false, false] {
            let (status, answer) = site.report(&key, &result(game, ada, bob)).await;
            assert_eq!((status, &answer["counted"]), (200, &json!(counted)), "{answer}");
        }
    }
    let (_, stats) = site.ask(Method::GET, &format!("/users/{ada}/stats"), "", None).await;
    assert_eq!((&stats["overall"]["gamesPlayed"], &stats["overall"]["gamesWon"]), (&json!(5), &json!(5)));
    let (_, board) = site.ask(Method::GET, "/leaderboard/regional/eu-north?game=duel", "", None).await;
    assert_eq!((&board["total"], &board["rows"][0]["userId"]), (&json!(1), &json!(ada)), "{board}");
    let (_, board) = site.ask(Method::GET, "/leaderboard/regional/eu-south", "", None).await;
    assert_eq!((&board["total"], &board["rows"][0]["userId"]), (&json!(1), &json!(bob)), "{board}");
    let (_, board) = site.ask(Method::GET, "/leaderboard/global", "", None).await;
    assert_eq!(board["total"], 2);
}

#[tokio::test]
async fn only_servers_report_and_only_of_accounts_that_are_there() {
    let site = Site::open().await;
    let key = site.key(&[Permission::ResultsWrite]).await;
    let other = site.key(&[Permission::RoomsManage]).await;
    let (ada, bob) = (site.player("eu").await, site.player("eu").await);
    let report = result(1, ada.identity.id.as_str(), bob.identity.id.as_str());
    assert_eq!(site.report("", &report).await.0, 401);
    assert_eq!(site.report("nonsense", &report).await.0, 401);
    assert_eq!(site.report(&ada.access_token, &report).await.0, 403, "nobody reports their own games");
    assert_eq!(site.report(&other, &report).await.0, 403);
    let (status, answer) = site.report(&key, &result(1, ada.identity.id.as_str(), "nobody")).await;
    assert_eq!((status, &answer["error"]["details"]["field"]), (400, &json!("players")), "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("nobody"), "{answer}");
    let by = everplay_accounts::Principal::Player(bob.identity.clone());
    site.accounts.delete(&by, bob.identity.id.as_str()).await.unwrap();
    assert_eq!(site.report(&key, &report).await.0, 400, "the account was deleted");
    let (_, stats) = site.ask(Method::GET, &format!("/users/{}/stats", ada.identity.id), "", None).await;
    assert_eq!(stats["overall"]["gamesPlayed"], 0, "nothing was counted");
}
