//! Matchmaking by rating: its rules one by one, and what holds over thousands of orders of events.

use everplay_matchmaker::tickets::{Effect, Pool, PoolError, PoolSettings, Standing, TicketId};
use everplay_types::Millis;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const GAME: &str = "tic_tac_toe";

fn at(seconds: u64) -> Millis {
    Millis(seconds * 1000)
}

fn pool() -> Pool<u32> {
    Pool::new(PoolSettings::default())
}

fn proposed(effects: &[Effect]) -> Vec<[TicketId; 2]> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Proposes { tickets, .. } => Some(*tickets),
            _ => None,
        })
        .collect()
}

#[test]
fn equals_meet_at_once_and_both_must_accept() {
    let mut pool = pool();
    let ada = pool.enter(at(0), 1, GAME, 1500.0).unwrap();
    assert_eq!(pool.enter(at(0), 1, GAME, 1500.0), Err(PoolError::Another { ticket: ada }));
    assert!(pool.tick(at(0)).is_empty(), "nobody plays against nobody");
    let bob = pool.enter(at(1), 2, GAME, 1540.0).unwrap();
    assert_eq!(proposed(&pool.tick(at(1))), [[ada, bob]]);
    assert_eq!(pool.accept(at(2), ada), Ok(None));
    assert_eq!(pool.accept(at(2), ada), Ok(None), "twice is once");
    assert!(
        matches!(pool.accept(at(3), bob), Ok(Some(Effect::Matches { tickets, .. })) if tickets == [ada, bob])
    );
    assert_eq!(pool.cancel(at(4), ada), Err(PoolError::Matched));
    assert!(pool.enter(at(4), 1, GAME, 1500.0).is_ok(), "a matched ticket is no open one");
}

#[test]
fn the_window_widens_while_one_waits() {
    let mut pool = pool();
    let ada = pool.enter(at(0), 1, GAME, 1500.0).unwrap();
    let bob = pool.enter(at(5), 2, GAME, 1700.0).unwrap();
    assert_eq!(pool.estimate(at(5), ada).unwrap().as_secs(), 10);
    for second in 5..15 {
        [ada, bob].into_iter().for_each(|id| pool.seen(at(second), id));
        assert!(pool.tick(at(second)).is_empty(), "a gap of 200 at {second} s");
    }
    assert_eq!(proposed(&pool.tick(at(15))), [[ada, bob]], "50, and 10 for each second of the longer wait");
}

#[test]
fn games_do_not_mix_and_the_nearest_is_chosen() {
    let mut pool = pool();
    let ada = pool.enter(at(0), 1, GAME, 1500.0).unwrap();
    let _other = pool.enter(at(0), 2, "spaaace", 1500.0).unwrap();
    let _far = pool.enter(at(0), 3, GAME, 1545.0).unwrap();
    let near = pool.enter(at(0), 4, GAME, 1490.0).unwrap();
    assert_eq!(proposed(&pool.tick(at(0))), [[ada, near]]);
}

#[test]
fn who_accepts_in_vain_searches_on() {
    let mut pool = pool();
    let ada = pool.enter(at(0), 1, GAME, 1500.0).unwrap();
    let bob = pool.enter(at(0), 2, GAME, 1500.0).unwrap();
    pool.tick(at(0));
    pool.accept(at(1), ada).unwrap();
    let effects = pool.tick(at(15));
    assert!(matches!(effects[..], [Effect::Fails { .. }]));
    assert_eq!(pool.ticket(ada).unwrap().standing, Standing::Searching);
    assert_eq!(pool.ticket(bob).unwrap().standing, Standing::Lapsed);
    assert_eq!(pool.accept(at(15), bob), Err(PoolError::NothingProposed));
    assert_eq!(pool.ticket(ada).unwrap().since, at(0), "the wait counts from the first moment");
    let cleo = pool.enter(at(16), 3, GAME, 1500.0).unwrap();
    pool.tick(at(16));
    assert!(matches!(pool.cancel(at(17), ada), Ok(Some(Effect::Fails { .. }))), "declined");
    assert_eq!(pool.ticket(cleo).unwrap().standing, Standing::Searching);
    pool.tick(at(80));
    assert_eq!(pool.cancel(at(80), ada), Err(PoolError::Unknown), "and forgotten in the end");
}

#[test]
fn nobody_is_matched_who_no_longer_asks() {
    let mut pool = pool();
    let ada = pool.enter(at(0), 1, GAME, 1500.0).unwrap();
    pool.tick(at(30));
    assert_eq!(pool.ticket(ada).unwrap().standing, Standing::Lapsed);
    pool.enter(at(31), 2, GAME, 1500.0).unwrap();
    assert!(pool.tick(at(31)).is_empty());
}

#[test]
fn a_match_without_a_game_is_taken_back() {
    let mut pool = pool();
    let ada = pool.enter(at(0), 1, GAME, 1500.0).unwrap();
    let bob = pool.enter(at(0), 2, GAME, 1500.0).unwrap();
    pool.tick(at(0));
    pool.accept(at(1), ada).unwrap();
    let Ok(Some(Effect::Matches { proposal, .. })) = pool.accept(at(1), bob) else { panic!("both accepted") };
    pool.reopen(at(2), proposal);
    assert_eq!(pool.ticket(bob).unwrap().standing, Standing::Searching);
    assert_eq!(pool.of_player(&2), Some(bob));
    assert_eq!(proposed(&pool.tick(at(2))), [[ada, bob]]);
}

#[derive(Debug, Clone)]
enum Act {
    Enter(u32, bool, u32),
    Cancel(u64),
    Accept(u64),
    Pass(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0..12u32, any::<bool>(), 1000..2200u32).prop_map(|(player, game, rating)| Act::Enter(player, game, rating)),
        1 => (1..60u64).prop_map(Act::Cancel),
        4 => (1..60u64).prop_map(Act::Accept),
        4 => (0..9000u64).prop_map(Act::Pass),
    ];
    prop::collection::vec(act, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// A proposal joins two open tickets of one game whose gap fits; a ticket is matched once, by the acceptance of both;
    /// whoever cancelled, or did not accept, is never matched.
    #[test]
    fn the_pool_holds(acts in acts()) {
        let settings = PoolSettings::default();
        let mut pool: Pool<u32> = Pool::new(settings);
        let mut now = at(0);
        let mut accepted: BTreeMap<TicketId, Millis> = BTreeMap::new();
        let mut matched: BTreeSet<TicketId> = BTreeSet::new();
        let mut closed: BTreeSet<TicketId> = BTreeSet::new();
        for act in acts {
            let effects: Vec<Effect> = match act {
                Act::Enter(player, game, rating) => {
                    let before = pool.of_player(&player);
                    let entered = pool.enter(now, player, if game { GAME } else { "other" }, rating.into());
                    prop_assert_eq!(entered.is_err(), before.is_some());
                    Vec::new()
                }
                Act::Cancel(id) => {
                    let was = pool.ticket(TicketId(id)).map(|ticket| ticket.standing);
                    let result = pool.cancel(now, TicketId(id));
                    if was.is_some_and(Standing::is_open) {
                        closed.insert(TicketId(id));
                    }
                    result.ok().flatten().into_iter().collect()
                }
                Act::Accept(id) => match pool.accept(now, TicketId(id)) {
                    Ok(effect) => { accepted.insert(TicketId(id), now); effect.into_iter().collect() }
                    Err(_) => Vec::new(),
                },
                Act::Pass(ms) => {
                    now = Millis(now.0 + ms);
                    // Kept and brought back, it is the same.
                    let kept = Pool::restore(settings, pool.save());
                    prop_assert_eq!(&kept, &pool);
                    pool = kept;
                    pool.tick(now)
                }
            };
            for effect in &effects {
                match effect {
                    Effect::Proposes { tickets: [a, b], .. } => {
                        let (one, two) = (pool.ticket(*a).unwrap(), pool.ticket(*b).unwrap());
                        prop_assert_eq!(&one.game, &two.game);
                        prop_assert_ne!(one.player, two.player);
                        let longer = one.since.min(two.since);
                        let window = settings.window + settings.widening * now.since(longer).as_secs_f64();
                        prop_assert!((one.rating - two.rating).abs() <= window.min(settings.widest));
                        prop_assert!(!closed.contains(a) && !closed.contains(b));
                        accepted.remove(a);
                        accepted.remove(b);
                    }
                    Effect::Matches { tickets, .. } => {
                        for ticket in tickets {
                            prop_assert!(matched.insert(*ticket), "matched twice");
                            prop_assert!(accepted.contains_key(ticket), "matched without a yes");
                            prop_assert!(!closed.contains(ticket), "matched after it was taken back");
                        }
                    }
                    Effect::Fails { .. } => {}
                }
            }
        }
        // Two who go on asking meet in the end: windows widen past every gap here.
        let open: Vec<TicketId> = (1..400).map(TicketId)
            .filter(|id| pool.ticket(*id).is_some_and(|ticket| ticket.standing.is_open())).collect();
        for _ in 0..200 {
            now = Millis(now.0 + 1000);
            open.iter().for_each(|id| pool.seen(now, *id));
            pool.tick(now);
            for id in &open {
                let _ = pool.accept(now, *id);
            }
        }
        for game in [GAME, "other"] {
            let left = open.iter().filter(|id| {
                pool.ticket(**id).is_some_and(|ticket| ticket.game == game && ticket.standing.is_open())
            });
            let ratings: Vec<f64> = left.filter_map(|id| Some(pool.ticket(*id)?.rating)).collect();
            let near = ratings.iter().enumerate().any(|(at, one)| {
                ratings[at + 1..].iter().any(|other| (one - other).abs() <= settings.widest)
            });
            prop_assert!(!near, "two who fit are left waiting: {:?}", ratings);
        }
    }
}
