//! The suite on a real PostgreSQL, and two processes that follow each other through it.

#[path = "../../everplay-live/tests/servers/mod.rs"]
mod servers;

use everplay_boards::{
    Board, Boards, BoardsOptions, GameResult, Order, Outcome, PostgresBoardStore, ResultPlayer, Scope,
    Source, suite,
};
use everplay_types::CustomerId;
use servers::postgres::Postgres;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn game(source: &str, number: u64) -> GameResult {
    let player = |player: &str, outcome| ResultPlayer {
        player: player.into(),
        name: player.into(),
        region: None,
        outcome,
    };
    GameResult {
        customer: CustomerId::default(),
        source: Source { name: source.into(), number },
        game: "tic_tac_toe".into(),
        ended_at: 1_795_248_000_000,
        took_ms: 1000,
        players: vec![player("ada", Outcome::Won), player("bob", Outcome::Lost)],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_on_postgresql() {
    let server = Postgres::start();
    let store = Arc::new(PostgresBoardStore::open(&server.url()).await.unwrap());
    suite::all(store).await;
    // A second process brings nothing out of order, and opening again changes nothing.
    PostgresBoardStore::open(&server.url()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_follow_each_other_over_a_restart_of_the_server() {
    let mut server = Postgres::start();
    let options = BoardsOptions {
        follow_every: Duration::from_millis(20),
        stale_after: Duration::from_millis(500),
        ..BoardsOptions::default()
    };
    let open = async || Arc::new(PostgresBoardStore::open(&server.url()).await.unwrap());
    let (one, two) = (Boards::start(open().await, options), Boards::start(open().await, options));
    let board = Board { scope: Scope::Overall, region: None, order: Order::Wins };
    let customer = CustomerId::default();
    for number in 1..=6 {
        one.take(vec![game("one", number)]).await.unwrap();
    }
    let until = async |what: &str, done: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < Duration::from_secs(30), "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    until("the other sees it", &|| two.row(&customer, &board, "ada").is_some_and(|row| row.games_won == 6))
        .await;
    server.kill();
    until("stale", &|| two.fresh().stale).await;
    assert!(one.take(vec![game("one", 7)]).await.is_err());
    assert_eq!(two.row(&customer, &board, "ada").unwrap().games_won, 6);
    server.restart();
    until("fresh", &|| !one.fresh().stale && !two.fresh().stale).await;
    // Brought again, as the way from rooms does.
    one.take(vec![game("one", 6), game("one", 7)]).await.unwrap();
    until("the other sees it", &|| two.row(&customer, &board, "ada").is_some_and(|row| row.games_won == 7))
        .await;
}
