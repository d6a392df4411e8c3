//! Games count once: two guests play over the SDK's wire, the program is killed at the moment of a result, and statistics,
//! boards and histories say what was played.

mod support;

use everplay_client::Event;
use serde_json::{Value, json};
use support::{Guest, Server, eventually, play, until};

#[tokio::test(flavor = "multi_thread")]
async fn games_count_once_although_the_program_is_killed_at_the_result() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), "0");
    let port = server.port();
    let Guest { id: ada, token: ada_token } = server.guest("Ada");
    let Guest { id: bob, token: bob_token } = server.guest("Bob");
    let options = json!({ "name": "Ada", "mode": "private" });
    let mut one = server.client(&ada_token).create("tic_tac_toe", &options).await.unwrap();
    let room = one.room_id().to_owned();
    let mut two = server.client(&bob_token).join_by_id(&room, &json!({ "name": "Bob" })).await.unwrap();
    // Six games; sides swap with each, and whoever has X wins, but for one draw.
    for game in 1..=6 {
        let cells: &[u32] = if game == 3 { &[0, 1, 2, 4, 3, 5, 7, 6, 8] } else { &[4, 0, 2, 1, 6] };
        let (x, o) = if game % 2 == 1 { (&mut one, &mut two) } else { (&mut two, &mut one) };
        play(x, o, cells).await;
        until(x, "the end", |state| state["phase"] == "finished").await;
        // Whoever counts has had no time yet, or is in the middle of it.
        server.kill();
        server = Server::start(folder.path(), &port);
        for seat in [&mut one, &mut two] {
            while !matches!(seat.next().await.expect("it comes back"), Event::State { full: true, .. }) {}
        }
        if game < 6 {
            one.send("rematch", &json!(null)).unwrap();
            two.send("rematch", &json!(null)).unwrap();
            // What is sent leaves while the connection is looked after.
            one.flush().await.unwrap();
            two.flush().await.unwrap();
            let begun = |state: &Value| state["game"] == game + 1;
            until(&mut one, "a rematch", begun).await;
            until(&mut two, "a rematch", begun).await;
        }
    }
    let (stats, _) = eventually(
        "all games are counted and kept",
        || (server.get(&format!("/users/{ada}/stats")), server.get(&format!("/users/{ada}/games"))),
        |(stats, history)| {
            let counted = stats["overall"]["gamesPlayed"].as_u64().unwrap();
            let kept = history["games"].as_array().unwrap().len();
            assert!(counted <= 6 && kept <= 6, "{stats} {history}");
            counted == 6 && kept == 6 && stats["stale"] == false
        },
    );
    let counts = |stats: &Value| {
        ["gamesWon", "gamesLost", "gamesDrawn", "currentStreak"]
            .map(|name| stats["overall"][name].as_u64().unwrap())
    };
    assert_eq!(counts(&stats), [2, 3, 1, 0]);
    assert_eq!(counts(&server.get(&format!("/users/{bob}/stats"))), [3, 2, 1, 1]);
    assert_eq!(stats["games"]["tic_tac_toe"]["gamesPlayed"], 6);
    let board = server.get("/leaderboard/global?game=tic_tac_toe");
    assert_eq!((board["total"].as_u64(), board["rows"][0]["userId"].as_str()), (Some(2), Some(bob.as_str())));
    assert_eq!((&board["rows"][0]["winPercentage"], &board["rows"][1]["rank"]), (&json!(50.0), &json!(2)));
    let place = server.get(&format!("/leaderboard/user/{ada}?order=rating"));
    assert_eq!((&place["row"]["rank"], place["around"]["rows"].as_array().unwrap().len()), (&json!(2), 2));
    let history = server.get(&format!("/users/{bob}/games?limit=4"));
    let rest = server.get(&format!("/users/{bob}/games?after={}", history["next"].as_str().unwrap()));
    assert_eq!((history["games"].as_array().unwrap().len(), rest["games"].as_array().unwrap().len()), (4, 2));
    assert_eq!((&rest["next"], &history["games"][0]["gameId"]), (&Value::Null, &json!(format!("{room}.6"))));
    let third = server.get(&format!("/games/{room}.3"));
    assert_eq!((&third["winner"], &third["status"]), (&json!("draw"), &json!("completed")));
    assert_eq!(third["board"], json!([["X", "O", "X"], ["X", "O", "O"], ["O", "X", "X"]]));
    assert_eq!(third["moves"].as_array().unwrap().len(), 9);
    assert_eq!(server.request("GET", "/games/NOWHERE.1", None, None, None).0, 404);
    let season = "/leaderboard/global?season=2026-Q4";
    assert_eq!(server.request("GET", season, None, None, None).0, 400);
    let update = server.request("POST", "/leaderboard/update", None, None, Some(&json!({})));
    assert_eq!(update.0, 401);
}
