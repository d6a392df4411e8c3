//! The suite on SQLite, and the service over it: pages, ranks, regions, what other processes count, a store that is
//! away.

use everplay_boards::{
    Board, BoardStore, Boards, BoardsOptions, GameResult, Order, Outcome, Pending, Profile, ResultPlayer,
    Scope, Source, SqliteBoardStore, Standing, StoreError, Taken, suite,
};
use everplay_types::CustomerId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    suite::all(Arc::new(SqliteBoardStore::open(folder.path().join("boards.sqlite")).unwrap())).await;
    suite::all(Arc::new(SqliteBoardStore::memory().unwrap())).await;
}

#[tokio::test]
async fn what_was_counted_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("boards.sqlite");
    let store = SqliteBoardStore::open(&path).unwrap();
    store.take(vec![game("room", 1, "ada", "bob")]).await.unwrap();
    drop(store);
    let store = SqliteBoardStore::open(&path).unwrap();
    assert_eq!(store.take(vec![game("room", 1, "ada", "bob")]).await.unwrap().counted, 0);
    assert_eq!(store.changes(0, 100).await.unwrap().len(), 6);
}

#[test]
fn a_foreign_file_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("boards.sqlite");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs(x)").unwrap();
    assert!(SqliteBoardStore::open(&path).is_err());
}

fn game(source: &str, number: u64, winner: &str, loser: &str) -> GameResult {
    let player = |player: &str, outcome| ResultPlayer {
        player: player.into(),
        name: player.to_uppercase(),
        region: None,
        outcome,
    };
    GameResult {
        customer: CustomerId::default(),
        source: Source { name: source.into(), number },
        game: "tic_tac_toe".into(),
        ended_at: 1_795_248_000_000,
        took_ms: 90_500,
        players: vec![player(winner, Outcome::Won), player(loser, Outcome::Lost)],
    }
}

fn board(scope: Scope, region: Option<&str>, order: Order) -> Board {
    Board { scope, region: region.map(str::to_owned), order }
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(20), "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn options() -> BoardsOptions {
    BoardsOptions {
        follow_every: Duration::from_millis(10),
        stale_after: Duration::from_millis(200),
        page: 7,
    }
}

/// A ladder: each player has beaten the next one four times, and everybody the last one.
async fn ladder(boards: &Boards) {
    let mut results = Vec::new();
    for at in 0..20 {
        for number in 1..=4 {
            results.push(game(&format!("{at}"), number, &format!("p{at:02}"), &format!("p{:02}", at + 1)));
        }
        results.push(game(&format!("{at}"), 5, &format!("p{at:02}"), "last"));
    }
    boards.take(results).await.unwrap();
}

#[tokio::test]
async fn pages_ranks_and_rows_around_a_player() {
    let boards = Boards::start(Arc::new(SqliteBoardStore::memory().unwrap()), options());
    ladder(&boards).await;
    let customer = CustomerId::default();
    let wins = board(Scope::Overall, None, Order::Wins);
    let page = boards.page(&customer, &wins, 0, 3);
    assert_eq!(page.total, 21, "p20 has four games, which is too few");
    let first = &page.rows[0];
    assert_eq!((first.user_id.as_str(), first.name.as_str(), first.rank), ("p00", "P00", 1));
    assert_eq!((first.win_percentage, first.current_streak), (100.0, 5));
    // Everybody between has won five of nine: they share the second rank.
    let rest = boards.page(&customer, &wins, 1, 100).rows;
    assert!(rest[..19].iter().all(|row| row.rank == 2 && row.win_percentage == 55.56));
    assert_eq!((rest[19].user_id.as_str(), rest[19].rank), ("last", 21));
    let (one, two) = (boards.page(&customer, &wins, 5, 4).rows, boards.page(&customer, &wins, 9, 4).rows);
    assert_eq!([one, two].concat(), rest[4..12]);
    let around = boards.around(&customer, &wins, "last", 2).unwrap();
    assert_eq!((around.offset, around.rows.len(), around.rows[2].user_id.as_str()), (18, 3, "last"));
    assert_eq!(boards.around(&customer, &wins, "p00", 2).unwrap().rows.len(), 3);
    assert!(
        boards.around(&customer, &wins, "p20", 2).is_none()
            && boards.row(&customer, &wins, "nobody").is_none()
    );
    let rated =
        boards.page(&customer, &board(Scope::Game("tic_tac_toe".into()), None, Order::Rating), 0, 50).rows;
    assert!(rated.is_sorted_by(|a, b| a.rating >= b.rating) && rated.len() == 21);
    let season = board(Scope::Season("tic_tac_toe".into(), "2026-Q4".into()), None, Order::Wins);
    assert_eq!(boards.page(&customer, &season, 0, 1).total, 21);
    let stats = boards.stats(&customer, "p03").unwrap();
    assert_eq!((stats.overall.games_played, stats.overall.games_won, stats.overall.games_lost), (9, 5, 4));
    assert_eq!((stats.overall.best_streak, stats.overall.total_playtime), (5, 814));
    assert_eq!(stats.games["tic_tac_toe"].games_played, 9);
    assert!(boards.stats(&CustomerId::new("other").unwrap(), "p03").is_none());
}

#[tokio::test]
async fn regions_follow_their_players() {
    let boards = Boards::start(Arc::new(SqliteBoardStore::memory().unwrap()), options());
    let customer = CustomerId::default();
    let region = |region: &str| Profile { name: None, region: Some(region.into()) };
    for at in 0..10 {
        boards
            .set_profile(&customer, &format!("p{at:02}"), region(if at < 5 { "eu" } else { "us" }))
            .await
            .unwrap();
    }
    ladder(&boards).await;
    let of = |name: &str| board(Scope::Overall, Some(name), Order::Wins);
    assert_eq!(
        (boards.page(&customer, &of("eu"), 0, 9).total, boards.page(&customer, &of("us"), 0, 9).total),
        (5, 5)
    );
    boards.set_profile(&customer, "p00", region("us")).await.unwrap();
    let us = boards.page(&customer, &of("us"), 0, 9);
    assert_eq!((us.total, us.rows[0].user_id.as_str(), us.rows[1].rank), (6, "p00", 2));
    assert_eq!(boards.page(&customer, &of("eu"), 0, 9).total, 4);
    assert!(boards.row(&customer, &of("eu"), "p00").is_none());
    assert_eq!(boards.page(&customer, &of("nowhere"), 0, 9).total, 0);
    boards.forget(&customer, "p00").await.unwrap();
    assert_eq!(boards.page(&customer, &of("us"), 0, 9).total, 5);
}

/// A store that can be away.
#[derive(Debug, Clone)]
struct Sometimes(SqliteBoardStore, Arc<AtomicBool>);

impl Sometimes {
    fn or_away<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> Pending<Result<T, StoreError>>,
    ) -> Pending<Result<T, StoreError>> {
        match self.1.load(Ordering::Relaxed) {
            true => Box::pin(async { Err(StoreError("away".into())) }),
            false => call(),
        }
    }
}

impl BoardStore for Sometimes {
    fn take(&self, results: Vec<GameResult>) -> Pending<Result<Taken, StoreError>> {
        self.or_away(|| self.0.take(results))
    }

    fn set_profile(
        &self,
        customer: CustomerId,
        player: String,
        profile: Profile,
    ) -> Pending<Result<Vec<Standing>, StoreError>> {
        self.or_away(|| self.0.set_profile(customer, player, profile))
    }

    fn forget(&self, customer: CustomerId, player: String) -> Pending<Result<Vec<Standing>, StoreError>> {
        self.or_away(|| self.0.forget(customer, player))
    }

    fn changes(&self, after: i64, limit: u32) -> Pending<Result<Vec<Standing>, StoreError>> {
        self.or_away(|| self.0.changes(after, limit))
    }
}

#[tokio::test]
async fn boards_are_served_stale_while_the_store_is_away() {
    let (store, away) = (SqliteBoardStore::memory().unwrap(), Arc::new(AtomicBool::new(false)));
    let boards = Boards::start(Arc::new(Sometimes(store, Arc::clone(&away))), options());
    ladder(&boards).await;
    until("fresh", || !boards.fresh().stale).await;
    away.store(true, Ordering::Relaxed);
    until("stale", || boards.fresh().stale).await;
    let (customer, wins) = (CustomerId::default(), board(Scope::Overall, None, Order::Wins));
    let page = boards.page(&customer, &wins, 0, 5);
    assert!(page.fresh.stale && page.rows.len() == 5 && page.fresh.as_of > 1_600_000_000_000);
    assert!(boards.take(vec![game("x", 1, "p05", "p06")]).await.is_err());
    away.store(false, Ordering::Relaxed);
    until("fresh again", || !boards.fresh().stale).await;
    assert_eq!(boards.take(vec![game("x", 1, "p05", "p06")]).await.unwrap().counted, 1);
}

/// Two processes over one store see each other's results; a third one that starts later reads them in.
#[tokio::test]
async fn processes_follow_each_other() {
    let store: Arc<dyn BoardStore> = Arc::new(SqliteBoardStore::memory().unwrap());
    let (one, two) = (Boards::start(store.clone(), options()), Boards::start(store.clone(), options()));
    ladder(&one).await;
    let (customer, wins) = (CustomerId::default(), board(Scope::Overall, None, Order::Wins));
    until("the ladder", || two.page(&customer, &wins, 0, 1).total == 21).await;
    for number in 1..=30 {
        let by = if number % 2 == 0 { &one } else { &two };
        by.take(vec![game("both", number, "late", &format!("p{:02}", number % 20))]).await.unwrap();
    }
    let three = Boards::start(store, options());
    for boards in [&one, &two, &three] {
        let all = |boards: &Boards| boards.page(&customer, &wins, 0, 100).rows;
        until("the same board", || all(boards) == all(&one) && all(boards)[0].games_played == 30).await;
    }
}
