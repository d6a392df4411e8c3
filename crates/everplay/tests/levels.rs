//! How much of the service there is, as clients and operators see it.

use everplay::config::Storage;
use everplay::prelude::*;
use everplay::{App, Config};
use everplay_accounts::{Device, Permission};
use everplay_types::CustomerId;
use serde_json::{Value, json};

#[derive(State, Default)]
struct Empty {
    nothing: u32,
}

impl Room for Empty {
    type Options = serde::de::IgnoredAny;
    type Timer = ();

    fn create(_: &mut Context<Self>, _: serde::de::IgnoredAny) -> Result<Self, Refusal> {
        Ok(Self::default())
    }
}

#[tokio::test]
async fn an_operator_says_that_the_service_is_being_worked_on() {
    let config = Config { port: 0, storage: Storage::Memory, ..Config::default() };
    let running = App::new().room::<Empty>("empty").start(config).await.unwrap();
    let url = format!("http://{}", running.address());
    let device = Device { agent: "test".into(), network: "local".into() };
    let guest = running.accounts().guest(&CustomerId::default(), Value::Null, &device).await.unwrap();
    let scopes = [Permission::ServiceManage];
    let key = running.accounts().create_key(&guest.identity, "operator", &scopes, None).await.unwrap().token;
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
