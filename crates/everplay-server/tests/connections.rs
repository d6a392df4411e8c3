//! The management call on two nodes: a service reaches a plain connection of the line, whichever node it asks.

#[path = "../../everplay-live/tests/servers/mod.rs"]
mod servers;
mod support;

use everplay::accounts::{Device, Permission};
use everplay::config::StoreUrl;
use everplay::types::{CustomerId, Identity, Role};
use everplay::{App, Config, Running};
use everplay_tictactoe::WaitingLine;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use servers::postgres::Postgres;
use servers::redis::Redis;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

async fn node(redis: &Redis, postgres: &Postgres) -> Running {
    let config = Config {
        port: 0,
        redis_url: StoreUrl(redis.url()),
        database_url: StoreUrl(postgres.url()),
        rate_guest: 100_000,
        rate_account: 100_000,
        ..Config::default()
    };
    App::new().room::<WaitingLine>("line").start(config).await.unwrap()
}

/// A plain connection.
struct Plain {
    socket: WebSocketStream<TcpStream>,
    id: String,
}

impl Plain {
    async fn open(node: &Running) -> Plain {
        let address = node.address();
        let tcp = TcpStream::connect(address).await.unwrap();
        let request = format!("ws://{address}/line/live");
        let (socket, _) = tokio_tungstenite::client_async(request, tcp).await.unwrap();
        let mut plain = Plain { socket, id: String::new() };
        let hello = plain.hear(|said| said["connectionId"].is_string()).await;
        plain.id = hello["connectionId"].as_str().unwrap().to_owned();
        plain
    }

    async fn hear(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(20), self.socket.next()).await;
            match next.expect("in time").expect("still open").unwrap() {
                Message::Text(text) => {
                    let said: Value = serde_json::from_str(&text).unwrap();
                    if wanted(&said) {
                        return said;
                    }
                }
                Message::Close(frame) => panic!("closed: {frame:?}"),
                _ => {}
            }
        }
    }
}

/// A call of a service with its key.
fn ask(node: &Running, method: &str, path: &str, key: &str, body: Option<&Value>) -> (u16, Value) {
    support::request(&node.address().to_string(), method, path, Some(key), None, body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_reached_through_any_node() {
    let (redis, postgres) = (Redis::start(&[]), Postgres::start());
    let (one, two) = (node(&redis, &postgres).await, node(&redis, &postgres).await);
    let device = Device { agent: "test".into(), network: "local".into() };
    let guest = one.accounts().guest(&CustomerId::default(), Value::Null, &device).await.unwrap();
    let by = Identity { roles: [Role::Operator].into_iter().collect(), ..guest.identity };
    let key = one.accounts().create_key(&by, "tools", &[Permission::RoomsManage], None).await.unwrap().token;
    let (mut ada, mut bob) = (Plain::open(&one).await, Plain::open(&two).await);
    ada.hear(|said| said["data"].as_array().is_some_and(|line| line.len() == 2)).await;

    for (plain, far) in [(&mut ada, &two), (&mut bob, &one)] {
        let path = format!("/production/@connections/{}", plain.id);
        // Its record follows in a moment; until then nobody there knows of it.
        let start = Instant::now();
        while ask(far, "GET", &path, &key, None).0 != 200 {
            assert!(start.elapsed() < Duration::from_secs(20), "never known elsewhere");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (status, said) = ask(far, "POST", &path, &key, Some(&json!({ "action": "news", "n": 1 })));
        assert_eq!(status, 200, "{said}");
        assert_eq!(plain.hear(|said| said["action"] == "news").await["n"], 1);
    }
    // A client of the line says nothing in a node's name.
    let seat = everplay_client::Client::new(&format!("http://{}", one.address())).unwrap();
    let mut seat = seat.join_or_create("line", &json!({ "name": "Eve", "watch": true })).await.unwrap();
    let forged = json!({ "connection": ada.id, "text": "hello from nobody" });
    assert!(seat.request::<_, Value>("relay", &forged).await.is_err());

    let path = format!("/@connections/{}", ada.id);
    assert_eq!(ask(&two, "DELETE", &path, &key, None).0, 204);
    let ends = async {
        while let Some(Ok(message)) = ada.socket.next().await {
            if message.is_close() {
                break;
            }
        }
        while ask(&two, "POST", &path, &key, Some(&json!("late"))).0 != 410 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ends).await.expect("it is gone, and known to be");
    assert_eq!(ask(&one, "POST", "/@connections/nobody", &key, Some(&json!("x"))).0, 410);
    bob.socket.send(Message::text(r#"{"action":"sendInfo"}"#)).await.unwrap();
    bob.hear(|said| said["connectionId"].is_string()).await;
    one.stop(Duration::from_secs(5)).await;
    two.stop(Duration::from_secs(5)).await;
}
