//! The suite on a real PostgreSQL, and two processes that follow each other through it.

#[path = "../../everplay-live/tests/servers/mod.rs"]
mod servers;

use everplay_boards::{
    Board, Boards, BoardsOptions, GameResult, Order, Outcome, PostgresBoardStore, ResultPlayer, Scope,
    Source, suite,
};
use everplay_types::CustomerId;
use servers::postgres::Postgres;
use sqlx::{Connection, PgConnection, Row};
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

/// Name and type of each column of a view.
async fn columns(database: &mut PgConnection, view: &str) -> Vec<String> {
    let rows = sqlx::query(
        "SELECT column_name::TEXT || ' ' || data_type::TEXT FROM information_schema.columns
         WHERE table_schema='everplay' AND table_name=$1 ORDER BY ordinal_position",
    )
    .bind(view);
    rows.fetch_all(database).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Tools of the system these services came from read two views; a schema of the first release gets them.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_schema_is_brought_forward_and_has_the_views_of_the_origin() {
    let server = Postgres::start();
    let store = Arc::new(PostgresBoardStore::open(&server.url()).await.unwrap());
    let boards = Boards::start(store, BoardsOptions::default());
    for number in 1..=4 {
        boards.take(vec![game("one", number)]).await.unwrap();
    }
    let mut database = PgConnection::connect(&server.url()).await.unwrap();
    let as_it_was = "DROP VIEW everplay.user_stats, everplay.global_leaderboard;
        ALTER TABLE everplay.board_standings DROP COLUMN updated_at;
        DELETE FROM everplay.board_migrations WHERE version > 1;";
    sqlx::raw_sql(as_it_was).execute(&mut database).await.unwrap();
    let store = Arc::new(PostgresBoardStore::open(&server.url()).await.unwrap());
    let boards = Boards::start(store, BoardsOptions::default());
    let on_board = async |database: &mut PgConnection| {
        let rows = sqlx::query(
            "SELECT user_id, rank, win_percentage::TEXT FROM everplay.global_leaderboard ORDER BY rank",
        );
        let row =
            |row: &sqlx::postgres::PgRow| -> (String, i64, String) { (row.get(0), row.get(1), row.get(2)) };
        rows.fetch_all(database).await.unwrap().iter().map(row).collect::<Vec<_>>()
    };
    assert_eq!(on_board(&mut database).await, [], "four games are too few");
    boards.take(vec![game("one", 4), game("one", 5)]).await.unwrap();
    let row = |who: &str, rank, share: &str| (who.to_owned(), rank, share.to_owned());
    assert_eq!(on_board(&mut database).await, [row("ada", 1, "100.00"), row("bob", 2, "0.00")]);
    let ada = sqlx::query(
        "SELECT games_played, games_won, games_lost, games_drawn, current_streak, best_streak,
            EXTRACT(EPOCH FROM total_playtime)::INTEGER, (now() - updated_at < INTERVAL '1 hour')::INTEGER
         FROM everplay.user_stats WHERE user_id='ada'",
    );
    let ada = ada.fetch_one(&mut database).await.unwrap();
    let numbers: Vec<i32> = (0..8).map(|at| ada.get(at)).collect();
    assert_eq!(numbers, [5, 5, 0, 0, 5, 5, 5, 1]);
    assert_eq!(
        columns(&mut database, "user_stats").await,
        [
            "user_id text",
            "games_played integer",
            "games_won integer",
            "games_lost integer",
            "games_drawn integer",
            "current_streak integer",
            "best_streak integer",
            "total_playtime interval",
            "updated_at timestamp with time zone",
            "customer text",
        ]
    );
    assert_eq!(
        columns(&mut database, "global_leaderboard").await,
        [
            "user_id text",
            "username text",
            "display_name text",
            "games_played integer",
            "games_won integer",
            "games_lost integer",
            "win_percentage numeric",
            "current_streak integer",
            "best_streak integer",
            "rank bigint",
            "customer text",
        ]
    );
}
