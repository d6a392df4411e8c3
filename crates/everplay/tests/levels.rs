//! How much of the service there is, as clients and operators see it, and how often one may ask for a seat.

use everplay::config::Storage;
use everplay::prelude::*;
use everplay::{App, Config, Running};
use everplay_accounts::{Device, Permission};
use everplay_client::Client as Player;
use everplay_types::{CustomerId, Identity, Role};
use serde_json::{Value, json};

#[derive(State, Default)]
struct Lamp {
    told: List<String>,
}

impl Room for Lamp {
    type Options = serde::de::IgnoredAny;
    type Timer = ();

    fn create(_: &mut Context<Self>, _: serde::de::IgnoredAny) -> Result<Self, Refusal> {
        Ok(Self::default())
    }

    fn service(&mut self, _: &mut Context<Self>, level: ServiceLevel) {
        self.told.push(level.name().to_owned());
    }
}

/// A server, what may set its level, and its address.
async fn started() -> (Running, String, String) {
    started_with(Config::default()).await
}

async fn started_with(config: Config) -> (Running, String, String) {
    let config = Config { port: 0, storage: Storage::Memory, ..config };
    let running = App::new().room::<Lamp>("lamp").start(config).await.unwrap();
    let url = format!("http://{}", running.address());
    let guest = running.accounts().guest(&CustomerId::default(), Value::Null, &device()).await.unwrap();
    let scopes = [Permission::ServiceManage];
    let by = Identity { roles: [Role::Operator].into_iter().collect(), ..guest.identity };
    let key = running.accounts().create_key(&by, "operator", &scopes, None).await.unwrap().token;
    (running, url, key)
}

fn device() -> Device {
    Device { agent: "test".into(), network: "local".into() }
}

#[tokio::test]
async fn an_operator_says_that_the_service_is_being_worked_on() {
    let (running, url, key) = started().await;
    let guest = running.accounts().guest(&CustomerId::default(), Value::Null, &device()).await.unwrap();
    let client = reqwest::Client::new();
    let get = async |path: &str| {
        let answer = client.get(format!("{url}{path}")).send().await.unwrap();
        let level = answer.headers()["everplay-service"].to_str().unwrap().to_owned();
        (answer.status().as_u16(), level, answer.json::<Value>().await.unwrap())
    };
    assert_eq!(get("/faq").await.0, 200);
    let set = |body: Value| client.put(format!("{url}/admin/service")).bearer_auth(&key).json(&body).send();
    let word = json!({ "level": "maintenance", "message": "new disks", "seconds": 60 });
    assert_eq!(set(word).await.unwrap().status().as_u16(), 200);
    let (status, level, refused) = get("/faq").await;
    assert_eq!(
        (status, level.as_str(), &refused["error"]["code"]),
        (503, "maintenance", &json!("MAINTENANCE"))
    );
    assert!(refused["error"]["details"]["until"].is_string(), "{refused}");
    let (status, _, told) = get("/status").await;
    assert_eq!((status, &told["message"], &told["byOperator"]), (200, &json!("new disks"), &json!(true)));
    let health: Value = reqwest::get(format!("{url}/health")).await.unwrap().json().await.unwrap();
    assert_eq!(health["rooms"]["service"], "maintenance");

    assert_eq!(set(json!({ "level": "emergency" })).await.unwrap().status().as_u16(), 200);
    assert_eq!(get("/faq").await.0, 200);
    let ticket = json!({ "subject": "Anybody there?", "description": "Nobody can write now." });
    let open = client.post(format!("{url}/tickets")).bearer_auth(&guest.access_token).json(&ticket);
    let refused: Value = open.send().await.unwrap().json().await.unwrap();
    assert_eq!(refused["error"]["code"], "READ_ONLY");

    let stranger = client.delete(format!("{url}/admin/service")).bearer_auth(&guest.access_token);
    assert_eq!(stranger.send().await.unwrap().status().as_u16(), 403);
    let unset = client.delete(format!("{url}/admin/service")).bearer_auth(&key).send().await.unwrap();
    assert_eq!(unset.status().as_u16(), 200);
    assert_eq!(get("/status").await.2["byOperator"], json!(false));
}

#[tokio::test]
async fn an_operators_word_reaches_the_rooms() {
    let (_running, url, key) = started().await;
    let mut player =
        Player::new(&url).unwrap().create("lamp", &json!({})).await.unwrap_or_else(|error| panic!("{error}"));
    let client = reqwest::Client::new();
    let service = format!("{url}/admin/service");
    let mut expected = Vec::new();
    for level in ["maintenance", "limited", "full"] {
        let word = json!({ "level": level, "message": "new disks" });
        let set = client.put(&service).bearer_auth(&key).json(&word).send().await.unwrap();
        assert_eq!(set.status().as_u16(), 200);
        expected.push(level);
        let told = async {
            while player.state_json().is_none_or(|state| state["told"] != json!(expected)) {
                assert!(player.next().await.is_some(), "the room plays on");
            }
        };
        tokio::time::timeout(Duration::from_secs(10), told).await.expect("the room is told");
    }
}

/// Asks for a seat as an SDK does: status, when to come again, the body.
async fn seat(url: &str, path: &str, token: Option<&str>) -> (u16, Option<u64>, Value) {
    let mut request = reqwest::Client::new().post(format!("{url}/matchmake/{path}")).json(&json!({}));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.unwrap();
    let wait = answer.headers().get("retry-after").map(|wait| wait.to_str().unwrap().parse().unwrap());
    (answer.status().as_u16(), wait, answer.json().await.unwrap())
}

#[tokio::test]
async fn seats_are_given_so_often_and_never_denied_to_who_comes_back() {
    let (running, url, _) = started_with(Config { rate_matchmake: 3, ..Config::default() }).await;
    let guest = running.accounts().guest(&CustomerId::default(), Value::Null, &device()).await.unwrap();
    let (status, _, first) = seat(&url, "create/lamp", None).await;
    assert_eq!(status, 200);
    for token in [None, Some(guest.access_token.as_str())] {
        assert_eq!(seat(&url, "joinOrCreate/lamp", token).await.0, 200);
    }
    // A guest more is no budget more.
    for token in [None, Some(guest.access_token.as_str())] {
        let (status, wait, refused) = seat(&url, "create/lamp", token).await;
        assert_eq!((status, &refused["code"]), (429, &json!(429)), "{refused}");
        assert!(
            refused["error"].is_string() && wait.is_some_and(|wait| (1..=20).contains(&wait)),
            "{wait:?}"
        );
    }
    let room = first["roomId"].as_str().unwrap();
    for _ in 0..10 {
        let (status, _, answer) = seat(&url, &format!("reconnect/{room}"), None).await;
        assert_ne!(status, 429, "{answer}");
    }
    // The services count for themselves.
    assert_eq!(reqwest::get(format!("{url}/faq")).await.unwrap().status().as_u16(), 200);
    running.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn no_room_is_opened_while_there_is_no_service_for_it() {
    let (running, url, key) = started().await;
    let client = reqwest::Client::new();
    let set = async |word: Value| {
        let set = client.put(format!("{url}/admin/service")).bearer_auth(&key).json(&word);
        assert_eq!(set.send().await.unwrap().status().as_u16(), 200);
    };
    let refused = async |path: &str, said: &str| {
        let (status, wait, refused) = seat(&url, path, None).await;
        assert_eq!((status, &refused["code"]), (503, &json!(503)), "{path}: {refused}");
        assert!(refused["error"].as_str().unwrap().contains(said), "{refused}");
        assert!(wait.is_some_and(|wait| wait > 50), "{wait:?}");
    };
    set(json!({ "level": "emergency", "message": "disks are full", "seconds": 60 })).await;
    for path in ["create/lamp", "joinOrCreate/lamp"] {
        refused(path, "disks are full").await;
    }
    assert_eq!(running.node().status().rooms, 0);
    set(json!({ "level": "full" })).await;
    let mut player = Player::new(&url).unwrap().create("lamp", &json!({})).await.unwrap();
    let room = player.room_id().to_owned();

    set(json!({ "level": "emergency", "message": "disks are full", "seconds": 60 })).await;
    refused("create/lamp", "disks are full").await;
    for path in ["joinOrCreate/lamp".to_owned(), "join/lamp".to_owned(), format!("joinById/{room}")] {
        let (status, _, seat) = seat(&url, &path, None).await;
        assert_eq!((status, &seat["roomId"]), (200, &json!(room)), "{path}: {seat}");
    }

    set(json!({ "level": "maintenance", "message": "new disks", "seconds": 60 })).await;
    for path in ["create/lamp".to_owned(), "joinOrCreate/lamp".to_owned(), format!("joinById/{room}")] {
        refused(&path, "new disks").await;
    }
    let back = seat(&url, &format!("reconnect/{room}"), None).await;
    assert_ne!(back.0, 503, "who was there may come back: {}", back.2);
    while player.state_json().is_none_or(|state| state["told"] != json!(["emergency", "maintenance"])) {
        assert!(player.next().await.is_some(), "the room plays on");
    }
    for (path, status) in
        [("/.well-known/jwks.json", 200), ("/matchmake/create/lamp", 404), ("/health/live", 200)]
    {
        let answer = client.get(format!("{url}{path}")).send().await.unwrap();
        assert_eq!(answer.headers()["everplay-service"], "maintenance", "{path}");
        assert_eq!(answer.status().as_u16(), status, "{path}");
    }
    assert_eq!(running.node().status().rooms, 1);
}
