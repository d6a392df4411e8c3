//! The support desk of a whole server: a ticket carries its game beyond the room's end, the desk's program hears of it,
//! and mail goes to whom it should.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use everplay::config::{ClusterKey, StoreUrl};
use everplay::prelude::*;
use everplay::{App, Config, Running};
use everplay_accounts::{Device, Permission};
use everplay_client::{Client as Player, Connection, Event, Reconnection};
use everplay_types::{CustomerId, Identity, Role};
use serde_json::{Value, json};
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::mpsc;

const KEY: &str = "a key of the desk's program, of 32 or more";

#[derive(State, Default)]
struct Counter {
    total: u32,
    #[state(private)]
    secret: u32,
}

impl Room for Counter {
    type Options = serde::de::IgnoredAny;
    type Timer = ();

    fn messages(on: &mut Messages<Self>) {
        on.message("add", |room: &mut Self, _: &mut Context<Self>, _: &Client, more: u32| {
            room.total += more;
            room.secret += 1;
            Ok(())
        });
    }

    fn create(_: &mut Context<Self>, _: serde::de::IgnoredAny) -> Result<Self, Refusal> {
        Ok(Self::default())
    }
}

async fn start(path: &Path, webhook: &str) -> Running {
    started(Config {
        support_webhook: StoreUrl(webhook.to_owned()),
        support_webhook_key: ClusterKey(KEY.to_owned()),
        ..of(path)
    })
    .await
}

fn of(path: &Path) -> Config {
    Config { port: 0, data_dir: path.to_owned(), ..Config::default() }
}

async fn started(config: Config) -> Running {
    App::new().room::<Counter>("counter").start(config).await.unwrap()
}

async fn see(connection: &mut Connection, total: u32) {
    let wanted = json!(total);
    while connection.state_json().is_none_or(|state| state["total"] != wanted) {
        match connection.next().await {
            Some(Event::Closed { code, reason }) => panic!("closed with {code} {reason}"),
            Some(_) => {}
            None => panic!("closed"),
        }
    }
}

/// Answers 503 to the first request, and tells of the others.
#[derive(Clone)]
struct Program {
    refusals: Arc<AtomicU32>,
    heard: mpsc::UnboundedSender<(String, Value)>,
}

async fn hear(Shared(program): Shared<Program>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if program.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let signature = headers["x-everplay-signature"].to_str().unwrap().to_owned();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, KEY.as_bytes());
    let right: String =
        aws_lc_rs::hmac::sign(&key, &body).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(signature, format!("sha256={right}"));
    let id = headers["x-everplay-notice"].to_str().unwrap().to_owned();
    program.heard.send((id, serde_json::from_slice(&body).unwrap())).unwrap();
    StatusCode::NO_CONTENT
}

struct Site {
    url: String,
    client: reqwest::Client,
}

impl Site {
    fn new(running: &Running) -> Self {
        Site { url: format!("http://{}", running.address()), client: reqwest::Client::new() }
    }

    async fn ask(&self, method: reqwest::Method, path: &str, token: &str, body: Value) -> (u16, Value) {
        let request = self.client.request(method, format!("{}{path}", self.url)).bearer_auth(token);
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    async fn get(&self, path: &str, token: &str) -> (u16, Value) {
        self.ask(reqwest::Method::GET, path, token, Value::Null).await
    }

    async fn post(&self, path: &str, token: &str, body: Value) -> (u16, Value) {
        self.ask(reqwest::Method::POST, path, token, body).await
    }
}

#[tokio::test]
async fn a_ticket_keeps_its_game_and_the_desk_hears_of_it() {
    let (heard, mut hears) = mpsc::unbounded_channel();
    let program = Program { refusals: Arc::new(AtomicU32::new(1)), heard };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = format!("http://{}/desk", listener.local_addr().unwrap());
    let routes = Router::new().route("/desk", post(hear)).with_state(program);
    let serving = tokio::spawn(async move { axum::serve(listener, routes).await });

    let directory = tempfile::tempdir().unwrap();
    let running = start(directory.path(), &webhook).await;
    let site = Site::new(&running);
    let device = Device { agent: "test".into(), network: "local".into() };
    let accounts = running.accounts();
    let ada = accounts.guest(&CustomerId::default(), Value::Null, &device).await.unwrap();
    let eve = accounts.guest(&CustomerId::default(), Value::Null, &device).await.unwrap();
    let by = Identity { roles: [Role::SupportAgent].into_iter().collect(), ..ada.identity.clone() };
    let key = accounts.create_key(&by, "desk", &[Permission::TicketsAnswer], None).await.unwrap();
    let (ada, eve, desk) = (ada.access_token, eve.access_token, key.token);

    let endpoint = site.url.clone();
    let player = Player::new(&endpoint).unwrap().with_reconnection(Reconnection::off());
    let mut connection = player.join_or_create("counter", &json!({})).await.unwrap();
    connection.send("add", &3u32).unwrap();
    see(&mut connection, 3).await;
    let room = connection.room_id().to_owned();
    let about = |seq: Value| {
        json!({
            "subject": "The total is wrong", "description": "It should be 4 and not 3.",
            "game": { "room": room.clone(), "seq": seq },
        })
    };
    let (status, ticket) = site.post("/tickets", &ada, about(Value::Null)).await;
    assert_eq!(status, 201, "{ticket}");
    let seq = ticket["game"]["seq"].as_u64().unwrap();
    connection.send("add", &4u32).unwrap();
    see(&mut connection, 7).await;
    // The same moment named later: the journal still has it.
    let (status, again) = site.post("/tickets", &ada, about(seq.into())).await;
    assert_eq!((status, again["game"]["seq"].as_u64()), (201, Some(seq)));
    let path =
        |ticket: &Value, more: &str| format!("/tickets/{}{more}", ticket["ticketId"].as_str().unwrap());
    for ticket in [&ticket, &again] {
        let (status, evidence) = site.get(&path(ticket, "/evidence"), &desk).await;
        assert_eq!((status, &evidence["position"]["state"]["total"]), (200, &json!(3)), "{evidence}");
        assert_eq!((&evidence["exact"], &evidence["position"]["ledger"]), (&json!(true), &Value::Null));
    }
    let unknown = json!({
        "subject": "Another room", "description": "which nobody was ever in", "game": { "room": "nowhere" },
    });
    assert_eq!(site.post("/tickets", &ada, unknown).await.0, 400);

    // Nobody else sees it; only agents see the evidence and answer.
    assert_eq!(site.get(&path(&ticket, ""), &eve).await.0, 404);
    assert_eq!(site.get(&path(&ticket, "/evidence"), &ada).await.0, 403);
    assert_eq!(site.get("/tickets?view=desk", &ada).await.0, 403);
    let (status, all) = site.get("/tickets?view=desk&status=open&q=total", &desk).await;
    assert_eq!((status, all["tickets"].as_array().unwrap().len()), (200, 2), "{all}");
    let answer = json!({ "text": "It was 3 at that moment." });
    let (status, answered) = site.post(&path(&ticket, "/replies"), &desk, answer).await;
    assert_eq!((status, &answered["status"]), (201, &json!("waiting_for_customer")), "{answered}");
    let (_, seen) = site.get(&path(&ticket, ""), &ada).await;
    let said = &seen["conversation"]["replies"][0];
    assert_eq!(
        (&said["side"], &said["by"], &said["byName"], &said["text"]),
        (&json!("agent"), &Value::Null, &Value::Null, &json!("It was 3 at that moment."))
    );
    assert_eq!((&seen["ticket"]["assignee"], &seen["ticket"]["assigneeName"]), (&Value::Null, &Value::Null));
    // Agents are told who it was, by the name that the key was given.
    let (_, told) = site.get(&path(&ticket, ""), &desk).await;
    let (_, listed) = site.get("/tickets?view=desk&status=waiting_for_customer", &desk).await;
    for name in [
        &told["ticket"]["assigneeName"],
        &told["conversation"]["replies"][0]["byName"],
        &listed["tickets"][0]["assigneeName"],
    ] {
        assert_eq!(*name, "desk", "{told} {listed}");
    }
    let close = json!({ "status": "closed", "version": seen["ticket"]["version"] });
    let (status, closed) = site.ask(reqwest::Method::PUT, &path(&ticket, ""), &ada, close.clone()).await;
    assert_eq!((status, &closed["mayBecome"]), (200, &json!([])), "{closed}");
    let (status, refused) = site.ask(reqwest::Method::PUT, &path(&ticket, ""), &ada, close).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("VERSION_CONFLICT")));

    // The first request was refused; nothing is lost, and nothing is told twice.
    let mut events = Vec::new();
    let mut ids = std::collections::HashSet::new();
    while events.len() < 4 {
        let (id, body) = hears.recv().await.unwrap();
        assert!(ids.insert(id));
        events.push(body["notice"]["event"].as_str().unwrap().to_owned());
    }
    events.sort();
    assert_eq!(events, ["agent_replied", "opened", "opened", "status_changed_by_player"]);

    // The room ends, and the server with it: the position is still there.
    connection.leave().await;
    while running.node().status().rooms > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    running.stop(Duration::from_secs(5)).await;
    let running = start(directory.path(), &webhook).await;
    let site = Site::new(&running);
    let (status, evidence) = site.get(&path(&ticket, "/evidence"), &desk).await;
    assert_eq!((status, &evidence["position"]["state"]["total"]), (200, &json!(3)), "{evidence}");
    serving.abort();
}

#[tokio::test]
async fn a_player_that_nobody_knows_is_not_found() {
    let directory = tempfile::tempdir().unwrap();
    let running = start(directory.path(), "").await;
    let site = Site::new(&running);
    let device = Device { agent: "test".into(), network: "local".into() };
    let ada = running.accounts().guest(&CustomerId::default(), Value::Null, &device).await.unwrap();
    let (id, token) = (ada.identity.id.to_string(), ada.access_token);
    for who in ["00000000-0000-4000-8000-000000000000", "nobody"] {
        for what in ["", "/stats", "/games"] {
            let (status, answer) = site.get(&format!("/users/{who}{what}"), &token).await;
            assert_eq!(
                (status, &answer["error"]["code"]),
                (404, &json!("NOT_FOUND")),
                "{who}{what}: {answer}"
            );
        }
    }
    // Who has an account and has not played yet is there.
    for who in [id.as_str(), "me"] {
        let (status, stats) = site.get(&format!("/users/{who}/stats"), &token).await;
        assert_eq!((status, &stats["overall"]["gamesPlayed"]), (200, &json!(0)), "{stats}");
        let (status, games) = site.get(&format!("/users/{who}/games"), &token).await;
        assert_eq!((status, &games["games"]), (200, &json!([])), "{games}");
    }
}

#[tokio::test]
async fn everybody_finds_answers() {
    let directory = tempfile::tempdir().unwrap();
    let running = start(directory.path(), "").await;
    let site = Site::new(&running);
    let open = |path: &str| {
        let url = format!("{}{path}", site.url);
        async move { reqwest::get(url).await.unwrap().json::<Value>().await.unwrap() }
    };
    let typed = open("/faq/suggestions?q=forgot%20my%20passw").await;
    assert_eq!(typed["suggestions"][0]["slug"], "forgot-password");
    assert_eq!(open("/faq/forgot-password").await["category"], "account");
    assert!(open("/faq").await["articles"].as_array().unwrap().len() > 5);
    assert_eq!(open("/faq/nothing").await["error"]["code"], "NOT_FOUND");
}

/// Takes letters the way a mail server does, and tells what the sender said for each.
fn post_office() -> (u16, mpsc::UnboundedReceiver<String>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (arrived, letters) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in listener.incoming() {
            let (line, arrived) = (line.unwrap(), arrived.clone());
            std::thread::spawn(move || take(line, &arrived));
        }
    });
    (port, letters)
}

fn take(line: std::net::TcpStream, arrived: &mpsc::UnboundedSender<String>) {
    let mut out = line.try_clone().unwrap();
    let mut answer = |text: &str| out.write_all(format!("{text}\r\n").as_bytes());
    let (mut letter, mut in_text) = (String::new(), false);
    answer("220 mail.example ready").unwrap();
    for heard in std::io::BufReader::new(line).lines() {
        let Ok(heard) = heard else { return };
        letter.extend([heard.as_str(), "\n"]);
        let answered = match heard.split([' ', ':']).next().unwrap_or_default() {
            "." if in_text => {
                in_text = false;
                // Long lines are sent in parts (RFC 2045, 6.7).
                let _ = arrived.send(std::mem::take(&mut letter).replace("=\n", "").replace("=3D", "="));
                answer("250 taken")
            }
            _ if in_text => continue,
            "DATA" => {
                in_text = true;
                answer("354 go on")
            }
            "QUIT" => return,
            _ => answer("250 fine"),
        };
        if answered.is_err() {
            return;
        }
    }
}

/// The next letter, which goes to that address.
async fn letter_to(to: &str, letters: &mut mpsc::UnboundedReceiver<String>) -> String {
    let letter = letters.recv().await.unwrap();
    assert!(letter.contains(&format!("RCPT TO:<{to}>")), "{to}: {letter}");
    letter
}

#[tokio::test]
async fn mail_goes_to_the_desk_and_to_the_player() {
    let (port, mut letters) = post_office();
    let directory = tempfile::tempdir().unwrap();
    let running = started(Config {
        smtp_url: StoreUrl(format!("smtp://127.0.0.1:{port}")),
        mail_from: "Everplay <games@play.example>".to_owned(),
        support_mail: "desk@play.example".to_owned(),
        ..of(directory.path())
    })
    .await;
    let site = Site::new(&running);

    let who = json!({ "email": "ada@mail.example", "password": "correct horse battery staple" });
    let (status, registered) = site.post("/auth/register", "", who).await;
    assert_eq!(status, 200, "{registered}");
    let ada = registered["token"].as_str().unwrap();
    let letter = letter_to("ada@mail.example", &mut letters).await;
    assert!(letter.contains("MAIL FROM:<games@play.example>"), "{letter}");
    let (_, token) = letter.split_once("/auth/confirm-email?token=").expect("the letter has the link");
    let form = format!("token={}", token.split_whitespace().next().unwrap());
    let confirming = site.client.post(format!("{}/auth/confirm-email", site.url));
    let confirming = confirming.header("content-type", "application/x-www-form-urlencoded").body(form);
    assert_eq!(confirming.send().await.unwrap().status(), StatusCode::OK);

    let question = json!({ "subject": "The total is wrong", "description": "It should be 4 and not 3." });
    let (status, ticket) = site.post("/tickets", ada, question).await;
    assert_eq!(status, 201, "{ticket}");
    let id = ticket["ticketId"].as_str().unwrap();
    let mut opened = [letters.recv().await.unwrap(), letters.recv().await.unwrap()];
    opened.sort_by_key(|letter| letter.contains("RCPT TO:<desk@play.example>"));
    let [to_ada, to_desk] = opened;
    assert!(to_ada.contains("RCPT TO:<ada@mail.example>"), "{to_ada}");
    assert!(to_desk.contains("RCPT TO:<desk@play.example>"), "{to_desk}");
    for letter in [&to_ada, &to_desk] {
        assert!(letter.contains(&format!("Subject: [{id}] The total is wrong")), "{letter}");
        assert!(letter.contains("A ticket was opened."), "{letter}");
    }

    // An answer goes to the player alone, and what the player writes to the desk alone.
    let device = Device { agent: "test".into(), network: "local".into() };
    let boss = running.accounts().guest(&CustomerId::default(), Value::Null, &device).await.unwrap();
    let boss = Identity { roles: [Role::SupportAgent].into_iter().collect(), ..boss.identity };
    let key = running.accounts().create_key(&boss, "desk", &[Permission::TicketsAnswer], None);
    let desk = key.await.unwrap().token;
    let replies = format!("/tickets/{id}/replies");
    assert_eq!(site.post(&replies, &desk, json!({ "text": "It was 3 then." })).await.0, 201);
    let letter = letter_to("ada@mail.example", &mut letters).await;
    assert!(
        letter.contains("There is an answer to your ticket:") && letter.contains("It was 3 then."),
        "{letter}"
    );
    assert_eq!(site.post(&replies, ada, json!({ "text": "Oh, I see." })).await.0, 201);
    let letter = letter_to("desk@play.example", &mut letters).await;
    assert!(letter.contains("The player wrote:") && letter.contains("Oh, I see."), "{letter}");
    running.stop(Duration::from_secs(5)).await;
}
