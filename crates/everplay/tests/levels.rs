//! How much of the service there is, as clients and operators see it.

use everplay::config::Storage;
use everplay::prelude::*;
use everplay::{App, Config, Running};
use everplay_accounts::{Device, Permission};
use everplay_client::Client as Player;
use everplay_types::CustomerId;
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
    let config = Config { port: 0, storage: Storage::Memory, ..Config::default() };
    let running = App::new().room::<Lamp>("lamp").start(config).await.unwrap();
    let url = format!("http://{}", running.address());
    let guest = running.accounts().guest(&CustomerId::default(), Value::Null, &device()).await.unwrap();
    let scopes = [Permission::ServiceManage];
    let key = running.accounts().create_key(&guest.identity, "operator", &scopes, None).await.unwrap().token;
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
