//! What a player lives through, on each set of stores: signs in, registers, finds an opponent of the same strength, plays,
//! sees statistics and a board change, asks the desk about the game; and all of it is there after the program was killed.

mod support;

#[path = "../../everplay-live/tests/servers/mod.rs"]
mod servers;

use everplay_client::Connection;
use serde_json::{Value, json};
use servers::dynamodb::DynamoDb;
use servers::postgres::Postgres;
use servers::redis::Redis;
use support::{Guest, Server, eventually, play, until};

const PASSWORD: &str = "a horse that counts to nine";

#[tokio::test(flavor = "multi_thread")]
async fn with_nothing_installed() {
    story(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_redis_and_postgresql_by_their_addresses() {
    let servers = (Redis::start(&[]), Postgres::start());
    let (redis, postgres) = (servers.0.url(), servers.1.url());
    let folder = story(&[("REDIS_URL", redis.as_str()), ("DATABASE_URL", &postgres)]).await;
    is_empty(&folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_redis_postgresql_and_dynamodb_by_their_addresses() {
    let servers = (Redis::start(&[]), Postgres::start(), DynamoDb::start());
    let (redis, postgres, dynamodb) = (servers.0.url(), servers.1.url(), servers.2.url());
    let stores = [
        ("REDIS_URL", redis.as_str()),
        ("DATABASE_URL", &postgres),
        ("DYNAMODB_ENDPOINT", &dynamodb),
        ("DYNAMODB_PREFIX", "story-"),
    ];
    is_empty(&story(&stores).await);
}

fn is_empty(folder: &tempfile::TempDir) {
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "nothing is kept on the machine itself: {left:?}");
}

/// The folder it was told to keep its data in.
async fn story(stores: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start_on(folder.path(), "0", stores);
    let port = server.port();
    let (ada, bob) = (registered(&server, "Ada", "ada@games.example"), server.guest("Bob"));

    let onlooker = server.client(&bob.token);
    let mut board = onlooker.join_or_create("leaderboard", &json!({ "game": "tic_tac_toe" })).await.unwrap();
    let (mut one, mut two) = matched(&server, &ada, &bob).await;
    let room = one.room_id().to_owned();
    // Five games in a row, as many as it takes to stand on a board; whoever has X wins.
    for game in 1..=5 {
        let begun = until(&mut one, "the game", |state| state["phase"] == "playing").await;
        let begins = begun["players"][one.session_id()]["mark"] == 1;
        let (x, o) = if begins { (&mut one, &mut two) } else { (&mut two, &mut one) };
        play(x, o, &[4, 0, 2, 1, 6]).await;
        until(x, "the end", |state| state["phase"] == "finished").await;
        if game < 5 {
            for seat in [&mut one, &mut two] {
                seat.send("rematch", &json!(null)).unwrap();
                seat.flush().await.unwrap();
            }
            let begun = |state: &Value| state["game"] == game + 1;
            until(&mut one, "a rematch", begun).await;
            until(&mut two, "a rematch", begun).await;
        }
    }
    let rows = |state: &Value| state["rows"].as_array().is_some_and(|rows| rows.len() == 2);
    let shown = until(&mut board, "both are on the board that is looked at", rows).await;
    assert_eq!(shown["rows"][0]["gamesWon"], 3, "{shown}");

    let ticket = json!({
        "subject": "The last game", "description": "My opponent took a corner that was mine.",
        "game": { "room": room, "number": 5 },
    });
    let (status, ticket) = server.request("POST", "/tickets", Some(&bob.token), None, Some(&ticket));
    assert_eq!((status, &ticket["game"]["room"]), (201, &json!(room)), "{ticket}");
    let ticket = ticket["ticketId"].as_str().unwrap().to_owned();

    let lived = |server: &Server| {
        let stats = server.get(&format!("/users/{}/stats", ada.id));
        let games = server.get(&format!("/users/{}/games", ada.id));
        (stats["overall"]["gamesPlayed"].clone(), games["games"].as_array().unwrap().len())
    };
    eventually(
        "all games are counted and kept",
        || lived(&server),
        |(played, kept)| *played == 5 && *kept == 5,
    );
    server.kill();
    server = Server::start_on(folder.path(), &port, stores);
    eventually("nothing is forgotten", || lived(&server), |(played, kept)| *played == 5 && *kept == 5);
    assert_eq!(server.get(&format!("/games/{room}.2"))["moves"].as_array().unwrap().len(), 5);
    let again = json!({ "email": "ada@games.example", "password": PASSWORD });
    let (status, again) = server.request("POST", "/auth/login", None, None, Some(&again));
    assert_eq!((status, &again["user"]["id"]), (200, &json!(ada.id)), "{again}");
    let path = format!("/tickets/{ticket}");
    let (status, seen) = server.request("GET", &path, Some(&bob.token), None, None);
    assert_eq!((status, &seen["ticket"]["game"]["number"]), (200, &json!(5)), "{seen}");
    let stranger = server.request("GET", &path, again["token"].as_str(), None, None);
    assert_eq!(stranger.0, 404, "a ticket is its author's: {}", stranger.1);
    folder
}

/// A guest who then registers, and so keeps the account.
fn registered(server: &Server, name: &str, email: &str) -> Guest {
    let guest = server.guest(name);
    let body = json!({ "email": email, "password": PASSWORD, "options": { "name": name } });
    let (status, answer) = server.request("POST", "/auth/register", Some(&guest.token), None, Some(&body));
    assert_eq!((status, &answer["user"]["id"]), (200, &json!(guest.id)), "{answer}");
    Guest { id: guest.id, token: answer["token"].as_str().unwrap().to_owned() }
}

/// Both search for somebody of their strength, accept each other and take their seats.
async fn matched(server: &Server, one: &Guest, two: &Guest) -> (Connection, Connection) {
    let search = |player: &Guest| {
        let body = json!({ "game": "tic_tac_toe" });
        let (status, ticket) =
            server.request("POST", "/matchmaking/tickets", Some(&player.token), None, Some(&body));
        assert_eq!(status, 201, "{ticket}");
        format!("/matchmaking/tickets/{}", ticket["ticketId"].as_str().unwrap())
    };
    let tickets = [(one, search(one)), (two, search(two))];
    let wait = |status: &str| {
        tickets.each_ref().map(|(player, path)| {
            let ask = || server.request("GET", path, Some(&player.token), None, None).1;
            eventually(status, ask, |ticket| ticket["status"] == status)
        })
    };
    wait("proposed");
    for (player, path) in &tickets {
        let accepted = server.request("POST", &format!("{path}/accept"), Some(&player.token), None, None);
        assert_eq!(accepted.0, 200, "{}", accepted.1);
    }
    let [first, second] =
        wait("matched").map(|ticket| serde_json::from_value(ticket["reservation"].clone()).unwrap());
    let first = server.client(&one.token).take(&first, None).await.unwrap();
    (first, server.client(&two.token).take(&second, None).await.unwrap())
}
