//! A million players: how long reading a board takes while thousands of results a second are counted.
//!
//! `cargo bench -p everplay-boards [--features postgres] [-- PLAYERS]`; with `BOARDS_DATABASE_URL` set it runs on that
//! (empty) PostgreSQL database instead of an SQLite file. Prints one line per measurement.

use everplay_boards::{
    Board, BoardStore, Boards, BoardsOptions, GameResult, Order, Outcome, ResultPlayer, Scope, Source,
    SqliteBoardStore,
};
use everplay_types::CustomerId;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Results of one call, as the way from rooms brings them.
const BATCH: usize = 256;
/// Results a second that must be absorbed while boards are read.
const RATE: f64 = 2_000.0;
/// How long reading is measured.
const READING: Duration = Duration::from_secs(20);

fn main() {
    let players: u32 = std::env::args().filter_map(|arg| arg.parse().ok()).next_back().unwrap_or(1_000_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime starts").block_on(run(players));
}

async fn store() -> (Arc<dyn BoardStore>, &'static str, Option<tempfile::TempDir>) {
    #[cfg(feature = "postgres")]
    if let Ok(url) = std::env::var("BOARDS_DATABASE_URL") {
        let store = everplay_boards::PostgresBoardStore::open(&url).await.expect("the database is there");
        return (Arc::new(store), "PostgreSQL", None);
    }
    let folder = tempfile::tempdir().expect("a folder for the file");
    let store = SqliteBoardStore::open(folder.path().join("boards.sqlite")).expect("the file is made");
    (Arc::new(store), "SQLite", Some(folder))
}

fn result(dice: &mut StdRng, number: u64, one: u32, other: u32) -> GameResult {
    // Lower numbers are the stronger players, so that boards have a shape.
    let first_wins = dice.random_range(0..10) < if one < other { 7 } else { 3 };
    let outcome = |wins: bool| if wins { Outcome::Won } else { Outcome::Lost };
    let player = |who: u32, wins| ResultPlayer {
        player: format!("player-{who:07}"),
        name: format!("Player {who}"),
        region: None,
        outcome: outcome(wins),
    };
    GameResult {
        customer: CustomerId::default(),
        source: Source { name: format!("room-{}", number % 10_000), number: number / 10_000 + 1 },
        game: "tic_tac_toe".into(),
        ended_at: 1_795_248_000_000,
        took_ms: 60_000,
        players: vec![player(one, first_wins), player(other, !first_wins)],
    }
}

fn percentiles(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    format!("p50 {:.3} ms, p99 {:.3} ms, worst {:.3} ms of {}", at(0.5), at(0.99), at(1.0), took.len())
}

async fn run(players: u32) {
    let (store, name, _folder) = store().await;
    let boards = Boards::start(store.clone(), BoardsOptions::default());
    let mut dice = StdRng::seed_from_u64(7);
    let mut number = 0u64;
    // Everybody plays five games, against somebody near in the order: all of them stand on the board.
    let began = Instant::now();
    for round in 1..=5u32 {
        let mut batch = Vec::with_capacity(4096);
        let step = 1 << round;
        for block in (0..players).step_by(step * 2) {
            for at in 0..step as u32 {
                let (one, other) = (block + at, block + at + step as u32);
                batch.push(result(&mut dice, number, one, other));
                number += 1;
                if batch.len() == 4096 {
                    boards.take(std::mem::take(&mut batch)).await.expect("counted");
                }
            }
        }
        boards.take(batch).await.expect("counted");
    }
    let rate = number as f64 / began.elapsed().as_secs_f64();
    println!("{name}: {players} players, {number} results counted at {rate:.0}/s");
    let again = Instant::now();
    let second = Boards::start(store, BoardsOptions::default());
    while second.fresh().stale {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("{name}: read in by another process in {:.1} s", again.elapsed().as_secs_f64());
    drop(second);
    read_while_counting(&boards, players, number).await;
}

async fn read_while_counting(boards: &Boards, players: u32, mut number: u64) {
    let over = Arc::new(AtomicBool::new(false));
    let counted = Arc::new(AtomicU64::new(0));
    let writer = {
        let (boards, over, counted) = (boards.clone(), Arc::clone(&over), Arc::clone(&counted));
        tokio::spawn(async move {
            let mut dice = StdRng::seed_from_u64(8);
            let mut beat = tokio::time::interval(Duration::from_secs_f64(BATCH as f64 / RATE));
            let mut late = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                beat.tick().await;
                let mut batch = Vec::with_capacity(BATCH);
                for _ in 0..BATCH {
                    let (one, other) = (dice.random_range(0..players), dice.random_range(0..players));
                    batch.push(result(
                        &mut dice,
                        number,
                        one,
                        if one == other { (one + 1) % players } else { other },
                    ));
                    number += 1;
                }
                let began = Instant::now();
                let taken = boards.take(batch).await.expect("counted");
                late = late.max(began.elapsed());
                counted.fetch_add(taken.counted as u64, Ordering::Relaxed);
            }
            late
        })
    };
    let customer = CustomerId::default();
    let (wins, rating) = (Order::Wins, Order::Rating);
    let overall = |order| Board { scope: Scope::Overall, region: None, order };
    let reader = {
        let boards = boards.clone();
        std::thread::spawn(move || {
            let mut dice = StdRng::seed_from_u64(9);
            let (mut tops, mut ranks, mut arounds) = (Vec::new(), Vec::new(), Vec::new());
            let began = Instant::now();
            while began.elapsed() < READING {
                let order = if dice.random() { wins } else { rating };
                let at = Instant::now();
                let page = boards.page(&customer, &overall(order), 0, 100);
                tops.push(at.elapsed());
                assert_eq!(page.rows.len(), 100);
                let who = format!("player-{:07}", dice.random_range(0..players));
                let at = Instant::now();
                let row = boards.row(&customer, &overall(order), &who);
                ranks.push(at.elapsed());
                assert!(row.is_some());
                let at = Instant::now();
                assert!(boards.around(&customer, &overall(order), &who, 10).is_some());
                arounds.push(at.elapsed());
                std::thread::sleep(Duration::from_millis(1));
            }
            (tops, ranks, arounds)
        })
    };
    let began = Instant::now();
    let (tops, ranks, arounds) =
        tokio::task::spawn_blocking(move || reader.join()).await.expect("it ends").expect("it read");
    let seconds = began.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    let slowest = writer.await.expect("it ends");
    println!("top 100: {}", percentiles(tops));
    println!("rank of a player: {}", percentiles(ranks));
    println!("10 rows around a player: {}", percentiles(arounds));
    let rate = counted.load(Ordering::Relaxed) as f64 / seconds;
    println!(
        "meanwhile {rate:.0} results/s counted, slowest call of {BATCH}: {:.0} ms",
        slowest.as_secs_f64() * 1000.0
    );
}
