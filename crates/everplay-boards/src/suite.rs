//! What every board store must do, as cases that any adapter can run. For tests: a broken promise panics.

use crate::{BoardStore, GameResult, Outcome, Profile, ResultPlayer, Scope, Source, Standing};
use everplay_types::CustomerId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A store under test.
pub type Store = Arc<dyn BoardStore>;

/// Runs every case.
pub async fn all(store: Store) {
    a_result_counts_once(&store).await;
    a_call_is_whole(&store).await;
    changes_are_read_in_order(&store).await;
    racing_writers_count_everything(&store).await;
    profiles_are_on_every_standing(&store).await;
    the_forgotten_have_nothing(&store).await;
}

fn customer(case: &str) -> CustomerId {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970").as_nanos();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    CustomerId::new(format!("{case}-{now:x}-{next}")).expect("letters, digits and lines")
}

fn result(customer: &CustomerId, source: &str, number: u64, winner: &str, loser: &str) -> GameResult {
    let player = |player: &str, outcome| ResultPlayer {
        player: player.to_owned(),
        name: player.to_uppercase(),
        region: None,
        outcome,
    };
    GameResult {
        customer: customer.clone(),
        source: Source { name: source.to_owned(), number },
        game: "tic_tac_toe".to_owned(),
        ended_at: 1_795_248_000_000,
        took_ms: 60_000,
        players: vec![player(winner, Outcome::Won), player(loser, Outcome::Lost)],
    }
}

/// The customer's standings, as a follower from the beginning sees them.
async fn standings(store: &Store, customer: &CustomerId) -> Vec<Standing> {
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let page = store.changes(after, 100).await.unwrap();
        let Some(last) = page.last() else { return found };
        after = last.change;
        found.extend(page.into_iter().filter(|standing| standing.customer == *customer));
    }
}

async fn overall(store: &Store, customer: &CustomerId, player: &str) -> Standing {
    let all = standings(store, customer).await;
    let mut own =
        all.into_iter().filter(|standing| standing.player == player && standing.scope == Scope::Overall);
    own.next().expect("the player has played")
}

/// Repeated, late and once more in one call: one win.
pub async fn a_result_counts_once(store: &Store) {
    let who = customer("once");
    let first = result(&who, "room", 3, "ada", "bob");
    let taken = store.take(vec![first.clone(), first.clone()]).await.unwrap();
    assert_eq!((taken.counted, taken.changed.len()), (1, 6));
    let earlier = result(&who, "room", 2, "bob", "ada");
    assert_eq!(store.take(vec![first, earlier]).await.unwrap().counted, 0);
    assert_eq!(store.take(vec![result(&who, "room", 4, "ada", "bob")]).await.unwrap().counted, 1);
    let other = customer("once");
    assert_eq!(store.take(vec![result(&other, "room", 1, "ada", "bob")]).await.unwrap().counted, 1);
    let ada = overall(store, &who, "ada").await;
    assert_eq!((ada.played, ada.won, ada.streak, ada.playtime_ms), (2, 2, 2, 120_000));
    assert_eq!(ada.name, "ADA");
    let mut alone = result(&who, "room", 9, "ada", "bob");
    alone.players.pop();
    assert_eq!(store.take(vec![alone]).await.unwrap().counted, 0);
    assert_eq!(store.take(vec![result(&who, "room", 9, "ada", "bob")]).await.unwrap().counted, 0);
}

/// Many results of the same two in one call build on each other.
pub async fn a_call_is_whole(store: &Store) {
    let who = customer("whole");
    let results = (1..=40).map(|number| match number % 4 {
        0 => result(&who, "room", number, "bob", "ada"),
        _ => result(&who, "room", number, "ada", "bob"),
    });
    let taken = store.take(results.collect()).await.unwrap();
    assert_eq!((taken.counted, taken.changed.len()), (40, 6));
    let ada = overall(store, &who, "ada").await;
    assert_eq!((ada.played, ada.won, ada.lost, ada.streak, ada.best_streak), (40, 30, 10, 0, 3));
    assert!(ada.rating > 1500.0 && ada.volatility > 0.0);
}

/// Numbers rise; who reads up to one misses nothing at or below it.
pub async fn changes_are_read_in_order(store: &Store) {
    let who = customer("changes");
    store.take(vec![result(&who, "a", 1, "ada", "bob"), result(&who, "b", 1, "cyd", "dan")]).await.unwrap();
    let before = standings(store, &who).await;
    assert_eq!(before.len(), 12);
    assert!(before.is_sorted_by_key(|standing| standing.change));
    let last = before.last().expect("there are some").change;
    let taken = store.take(vec![result(&who, "a", 2, "ada", "cyd")]).await.unwrap();
    let mut news = store.changes(last, 100).await.unwrap();
    news.retain(|standing| standing.customer == who);
    let mut changed = taken.changed;
    changed.sort_by_key(|standing| standing.change);
    assert_eq!(news, changed);
}

/// Side by side, the same players: every result counts.
pub async fn racing_writers_count_everything(store: &Store) {
    let who = customer("races");
    let mut tasks = Vec::new();
    for writer in 0..8 {
        let (store, who) = (store.clone(), who.clone());
        tasks.push(tokio::spawn(async move {
            for number in 1..=10 {
                let one = result(&who, &format!("room-{writer}"), number, "ada", "bob");
                store.take(vec![one]).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let ada = overall(store, &who, "ada").await;
    assert_eq!((ada.played, ada.best_streak), (80, 80));
    let bob = overall(store, &who, "bob").await;
    assert!((ada.rating - 1500.0) > 100.0 && (bob.rating - 1500.0) < -100.0);
}

/// Told before the first game, and again later.
pub async fn profiles_are_on_every_standing(store: &Store) {
    let who = customer("profiles");
    let profile = |name: Option<&str>, region: &str| Profile {
        name: name.map(str::to_owned),
        region: Some(region.to_owned()),
    };
    let told = store.set_profile(who.clone(), "ada".into(), profile(Some("Ada"), "eu")).await.unwrap();
    assert_eq!((told.len(), told[0].played, told[0].region.as_str()), (1, 0, "eu"));
    store.take(vec![result(&who, "room", 1, "ada", "bob")]).await.unwrap();
    let own =
        |all: Vec<Standing>| all.into_iter().filter(|standing| standing.player == "ada").collect::<Vec<_>>();
    let all = own(standings(store, &who).await);
    assert!(all.len() == 3 && all.iter().all(|standing| standing.region == "eu"));
    assert_eq!(store.set_profile(who.clone(), "ada".into(), profile(None, "us")).await.unwrap().len(), 3);
    let all = own(standings(store, &who).await);
    assert!(
        all.iter().all(|standing| standing.region == "us" && standing.name == "ADA" && standing.played == 1)
    );
}

/// No name, no counts; the others keep theirs.
pub async fn the_forgotten_have_nothing(store: &Store) {
    let who = customer("forgotten");
    store.take(vec![result(&who, "room", 1, "ada", "bob")]).await.unwrap();
    assert_eq!(store.forget(who.clone(), "ada".into()).await.unwrap().len(), 3);
    let all = standings(store, &who).await;
    assert!(all.iter().filter(|standing| standing.player == "ada").all(|standing| standing.played == 0));
    assert!(!format!("{all:?}").contains("ADA"));
    assert_eq!(overall(store, &who, "bob").await.lost, 1);
    assert_eq!(store.forget(who, "nobody".into()).await.unwrap().len(), 0);
}
