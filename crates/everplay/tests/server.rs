//! A server inside the test's own process: real sockets, from the player's side.

use everplay::config::Storage;
use everplay::prelude::*;
use everplay::{App, Config, Running};
use everplay_client::{Client as Player, Connection, Event, JoinError, Reconnection};
use serde_json::json;
use std::path::Path;

#[derive(State, Default)]
struct Counter {
    total: u32,
}

#[derive(Deserialize)]
struct Level {
    #[serde(default)]
    level: String,
}

impl Room for Counter {
    type Options = Level;
    type Timer = ();

    fn messages(on: &mut Messages<Self>) {
        on.message("add", |room: &mut Self, _: &mut Context<Self>, _: &Client, more: u32| {
            room.total += more;
            Ok(())
        });
    }

    fn create(_: &mut Context<Self>, options: Level) -> Result<Self, Refusal> {
        match options.level.as_str() {
            "closed" => Err("this level is closed".into()),
            _ => Ok(Self::default()),
        }
    }
}

fn app() -> App<Counter> {
    App::new().room::<Counter>("counter").filter_by(["level"])
}

async fn start(config: Config) -> Running {
    app().start(Config { port: 0, ..config }).await.unwrap()
}

fn on_disk(path: &Path) -> Config {
    Config { data_dir: path.to_owned(), ..Config::default() }
}

fn in_memory() -> Config {
    Config { storage: Storage::Memory, ..Config::default() }
}

async fn join(running: &Running, level: &str) -> Result<Connection, JoinError> {
    let endpoint = format!("http://{}", running.address());
    let player = Player::new(&endpoint).unwrap().with_reconnection(Reconnection::off());
    player.join_or_create("counter", &json!({ "level": level })).await
}

/// Plays until the client sees this total. Panics when the connection ends before.
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

async fn close_code(mut connection: Connection) -> u16 {
    loop {
        match connection.next().await {
            Some(Event::Closed { code, .. } | Event::Dropped { code }) => return code,
            Some(_) => {}
            None => panic!("it ended without saying how"),
        }
    }
}

#[tokio::test]
async fn players_share_a_room_when_their_filtered_options_agree() {
    let running = start(in_memory()).await;
    let mut first = join(&running, "one").await.unwrap();
    let mut second = join(&running, "one").await.unwrap();
    let other = join(&running, "two").await.unwrap();
    assert_eq!(first.room_id(), second.room_id());
    assert_ne!(first.room_id(), other.room_id());
    first.send("add", &3u32).unwrap();
    see(&mut first, 3).await;
    see(&mut second, 3).await;
    assert_eq!(running.node().status().rooms, 2);
}

#[tokio::test]
async fn a_refusal_of_the_room_is_told_to_the_player() {
    let running = start(in_memory()).await;
    let refused = join(&running, "closed").await.err().expect("the level is closed");
    assert!(refused.to_string().contains("this level is closed"), "{refused}");
}

#[tokio::test]
async fn a_stop_sends_players_away_to_come_back_and_the_next_start_has_their_room() {
    let directory = tempfile::tempdir().unwrap();
    let running = start(on_disk(directory.path())).await;
    let mut connection = join(&running, "one").await.unwrap();
    connection.send("add", &7u32).unwrap();
    see(&mut connection, 7).await;
    let token = connection.reconnection_token();
    let stopped = running.stop(Duration::from_secs(5)).await;
    assert_eq!((stopped.rooms, stopped.rooms_late, stopped.sockets_late), (1, 0, 0));
    assert_eq!(close_code(connection).await, CloseCode::MAY_TRY_RECONNECT.0);

    let running = start(on_disk(directory.path())).await;
    assert_eq!(running.restored().rooms, 1);
    let player = Player::new(&format!("http://{}", running.address())).unwrap();
    let mut connection = player.reconnect(&token).await.unwrap();
    see(&mut connection, 7).await;
    connection.send("add", &1u32).unwrap();
    see(&mut connection, 8).await;
}

#[tokio::test]
async fn a_saved_room_expires() {
    for (expires, back) in [(Duration::from_secs(3600), 1), (Duration::from_millis(1), 0)] {
        let directory = tempfile::tempdir().unwrap();
        let saved = || {
            let durability = Durability::Snapshot(Duration::from_millis(20));
            app().settings(|settings| (settings.durability, settings.expires) = (durability, Some(expires)))
        };
        let config = || Config { port: 0, ..on_disk(directory.path()) };
        let running = saved().start(config()).await.unwrap();
        let mut connection = join(&running, "one").await.unwrap();
        connection.send("add", &7u32).unwrap();
        see(&mut connection, 7).await;
        running.stop(Duration::from_secs(5)).await;
        tokio::time::sleep(Duration::from_millis(5)).await;

        let running = saved().start(config()).await.unwrap();
        assert_eq!(running.restored().rooms, back, "good for {expires:?}");
        running.stop(Duration::from_secs(5)).await;
        // What has expired is over, for every later start.
        let running = saved().start(config()).await.unwrap();
        assert_eq!((running.restored().rooms, running.restored().stranded.len()), (back, 0));
    }
}

#[tokio::test]
async fn two_kinds_of_one_name_and_names_no_url_holds_are_refused() {
    let twice = app().room::<Counter>("counter").start(Config { port: 0, ..in_memory() }).await;
    assert_eq!(twice.err().unwrap().to_string(), "room kind \"counter\": it is registered twice");
    let spaced = App::new().room::<Counter>("my room").start(Config { port: 0, ..in_memory() }).await;
    assert!(spaced.err().unwrap().to_string().starts_with("room kind \"my room\": a name has only"));
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let running = start(in_memory()).await;
    let second = app().start(Config { port: running.address().port(), ..in_memory() }).await;
    let refused = second.err().unwrap().to_string();
    assert!(refused.starts_with(&format!("cannot listen on {}", running.address())), "{refused}");
}

#[tokio::test]
async fn bodies_of_services_are_as_large_as_the_setting_says() {
    let body = serde_json::json!({ "options": { "note": "x".repeat(100_000) } });
    for (max_body, refused) in [(64 << 10, true), (256 << 10, false)] {
        let config = Config { max_body: everplay::config::Size(max_body), ..in_memory() };
        let running = start(config).await;
        let url = format!("http://{}/auth/anonymous", running.address());
        let status = reqwest::Client::new().post(url).json(&body).send().await.unwrap().status().as_u16();
        assert_eq!(status == 413, refused, "{status}");
        running.stop(Duration::from_secs(5)).await;
    }
}
