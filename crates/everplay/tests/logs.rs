//! What the log tells of requests, and what it never holds: every line of our crates at the finest level, while somebody signs in
//! rightly and wrongly, asks for what is not theirs, and plays.

use everplay::config::Storage;
use everplay::prelude::*;
use everplay::{App, Config};
use everplay_client::Client as Player;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;
use tracing_subscriber::fmt::MakeWriter;

#[derive(State, Default)]
struct Lamp {
    on: bool,
}

impl Room for Lamp {
    type Options = serde::de::IgnoredAny;
    type Timer = ();

    fn create(_: &mut Context<Self>, _: serde::de::IgnoredAny) -> Result<Self, Refusal> {
        Ok(Self::default())
    }
}

/// The log, as it is written.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).into_owned()
    }

    /// The line of a request under a target, once it is there.
    async fn line(&self, target: &str, request: &str) -> Value {
        let start = Instant::now();
        loop {
            let text = self.text();
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(line) =
                lines.into_iter().find(|line| line["target"] == target && line["request.id"] == request)
            {
                return line;
            }
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "no line of {target} about {request} in\n{text}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_told_and_secrets_are_not() {
    let log = Log::default();
    // Mails go to the log without an SMTP server, which the start warns of; that is the one exception.
    let filter = "everplay=trace,everplay_api=trace,everplay_gateway=trace,everplay_node=trace,everplay_accounts=trace,\
                  everplay_accounts::mail=off,access=trace,security=trace";
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(log.clone())
        .init();
    let config = Config { port: 0, storage: Storage::Memory, ..Config::default() };
    let running = App::new().room::<Lamp>("lamp").start(config).await.unwrap();
    let url = format!("http://{}", running.address());
    assert!(log.text().contains("no SMTP server is set"));

    let client = reqwest::Client::new();
    let (password, wrong) = ("correct-horse-battery-1", "not-the-password-2");
    let post = async |path: &str, id: &str, token: Option<&str>, body: Value| {
        let mut request = client.post(format!("{url}{path}")).header("x-request-id", id).json(&body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap_or_default())
    };
    let card = |password: &str| json!({ "email": "ada@example.com", "password": password });
    let (status, in_) = post("/auth/register", "register", None, card(password)).await;
    assert_eq!(status, 200, "{in_}");
    let [token, refresh] = ["token", "refreshToken"].map(|name| in_[name].as_str().unwrap().to_owned());

    assert_eq!(post("/auth/login", "wrong-password", None, card(wrong)).await.0, 401);
    let told = log.line("security", "wrong-password").await;
    assert_eq!(
        (&told["level"], &told["method"], &told["route"]),
        (&json!("WARN"), &json!("POST"), &json!("/auth/login"))
    );
    assert_eq!(told["network"], "127.0.0.1");

    let refused = client.get(format!("{url}/admin/audit?secret=in-the-query")).bearer_auth(&token);
    let refused = refused.header("x-request-id", "not-mine").send().await.unwrap();
    assert_eq!(refused.status().as_u16(), 403);
    let told = log.line("security", "not-mine").await;
    assert_eq!((&told["code"], &told["route"]), (&json!("FORBIDDEN"), &json!("/admin/audit")));
    assert!(told["account.id"].as_str().is_some_and(|account| !account.is_empty()), "{told}");
    let told = log.line("access", "not-mine").await;
    assert_eq!(
        (&told["status"], &told["route"], &told["method"]),
        (&json!(403), &json!("/admin/audit"), &json!("GET"))
    );
    assert!(told["ms"].is_u64(), "{told}");

    let renewed = post("/auth/refresh", "renew", None, json!({ "refreshToken": refresh })).await;
    assert_eq!(renewed.0, 200, "{}", renewed.1);
    let next = renewed.1["refreshToken"].as_str().unwrap().to_owned();
    assert_eq!(
        post("/auth/refresh", "no-token", None, json!({ "refreshToken": "made-up-refresh" })).await.0,
        401
    );
    assert_eq!(log.line("security", "no-token").await["code"], "WRONG_CODE");

    let mut seat =
        Player::new(&url).unwrap().with_auth_token(token.clone()).create("lamp", &json!({})).await.unwrap();
    assert!(seat.next().await.is_some());
    let profile = client
        .get(format!("{url}/users/me"))
        .bearer_auth(&token)
        .header("x-request-id", "profile")
        .send()
        .await
        .unwrap();
    assert_eq!(profile.status().as_u16(), 200);
    assert_eq!(log.line("access", "profile").await["route"], "/users/{id}");
    let asked =
        client.post(format!("{url}/matchmake/join/lamp")).header("x-request-id", "seat").json(&json!({}));
    assert_eq!(asked.send().await.unwrap().status().as_u16(), 200);
    assert_eq!(log.line("access", "seat").await["route"], "matchmake");

    let text = log.text();
    let seat_token = seat.reconnection_token();
    let secrets = [
        password,
        wrong,
        &token,
        &refresh,
        &next,
        &seat_token,
        "made-up-refresh",
        "in-the-query",
        "ada@example.com",
    ];
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} is in the log:\n{text}");
    }
    running.stop(Duration::from_secs(5)).await;
}
