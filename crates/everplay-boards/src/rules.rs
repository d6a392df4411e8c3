//! What results do to standings. Pure.

use crate::standing::{GameResult, Outcome, Scope, Standing, season_of};
use everplay_types::CustomerId;
use skillratings::Outcomes;
use skillratings::glicko2::{Glicko2Config, Glicko2Rating, glicko2};
use std::collections::{BTreeMap, BTreeSet};

/// Games before somebody stands on a board: fewer say nothing.
pub const LEAST_GAMES: u32 = 5;

/// Names a standing.
pub type RowKey = (CustomerId, String, String);

/// Whether a result can count: at least two players, each once, with an account.
pub fn counts(result: &GameResult) -> bool {
    let players: BTreeSet<&str> = result.players.iter().map(|player| player.player.as_str()).collect();
    players.len() == result.players.len()
        && players.len() >= 2
        && !players.contains("")
        && !result.game.is_empty()
        && !result.game.contains('/')
}

/// The scopes that a result counts in.
pub fn scopes_of(result: &GameResult) -> [Scope; 3] {
    let season = season_of(result.ended_at);
    [Scope::Overall, Scope::Game(result.game.clone()), Scope::Season(result.game.clone(), season)]
}

/// The standings that a result changes, in an order that is the same for everybody.
pub fn rows_of(result: &GameResult) -> Vec<RowKey> {
    let mut rows: Vec<RowKey> = scopes_of(result)
        .iter()
        .flat_map(|scope| {
            let key = |player: &str| (result.customer.clone(), scope.to_text(), player.to_owned());
            result.players.iter().map(move |player| key(&player.player))
        })
        .collect();
    rows.sort();
    rows
}

/// Counts a result. `standings` holds what is stored of [`rows_of`]; it is changed, and what is missing is made.
/// Answers the keys of what changed.
pub fn apply(result: &GameResult, standings: &mut BTreeMap<RowKey, Standing>) -> Vec<RowKey> {
    let mut changed = Vec::new();
    for scope in scopes_of(result) {
        let key = |player: &str| (result.customer.clone(), scope.to_text(), player.to_owned());
        let before: Vec<Glicko2Rating> = result
            .players
            .iter()
            .map(|player| standings.get(&key(&player.player)).map_or_else(Glicko2Rating::new, rating_of))
            .collect();
        for (at, player) in result.players.iter().enumerate() {
            let home = standings.get(&(result.customer.clone(), String::new(), player.player.clone()));
            let region = home.map(|home| home.region.clone()).unwrap_or_default();
            let standing = standings.entry(key(&player.player)).or_insert_with(|| {
                let (customer, scope) = (result.customer.clone(), scope.clone());
                Standing { region, ..Standing::new(customer, scope, player.player.clone()) }
            });
            count(standing, player.outcome, result.took_ms);
            if !player.name.is_empty() {
                standing.name.clone_from(&player.name);
            }
            if let Some(region) = &player.region {
                standing.region.clone_from(region);
            }
            rate(standing, at, result, &before);
            changed.push(key(&player.player));
        }
    }
    changed
}

fn count(standing: &mut Standing, outcome: Outcome, took_ms: u64) {
    standing.played += 1;
    standing.playtime_ms += took_ms;
    match outcome {
        Outcome::Won => {
            standing.won += 1;
            standing.streak += 1;
            standing.best_streak = standing.best_streak.max(standing.streak);
        }
        Outcome::Lost => {
            standing.lost += 1;
            standing.streak = 0;
        }
        Outcome::Drawn => {
            standing.drawn += 1;
            standing.streak = 0;
        }
    }
}

fn rating_of(standing: &Standing) -> Glicko2Rating {
    Glicko2Rating { rating: standing.rating, deviation: standing.deviation, volatility: standing.volatility }
}

/// Every other player is an opponent, as they were before this game; each game is a rating period of its own.
fn rate(standing: &mut Standing, at: usize, result: &GameResult, before: &[Glicko2Rating]) {
    let mut rating = before[at];
    for (other, opponent) in result.players.iter().enumerate().filter(|(other, _)| *other != at) {
        let outcome = match (result.players[at].outcome, opponent.outcome) {
            (Outcome::Won, Outcome::Lost | Outcome::Drawn) => Outcomes::WIN,
            (Outcome::Lost | Outcome::Drawn, Outcome::Won) => Outcomes::LOSS,
            _ => Outcomes::DRAW,
        };
        rating = glicko2(&rating, &before[other], &outcome, &Glicko2Config::new()).0;
    }
    (standing.rating, standing.deviation, standing.volatility) =
        (rating.rating, rating.deviation, rating.volatility);
}

/// The order of boards by wins, higher is better: share of wins, then wins, then fewer games.
///
/// The share is kept to 40 binary places: two shares of fewer than a million games each are never taken for equal.
pub fn wins_score(standing: &Standing) -> u128 {
    let games = u64::from(standing.played.max(1));
    let share = (u64::from(standing.won) << 40) / games;
    (u128::from(share) << 64) | (u128::from(standing.won) << 32) | u128::from(u32::MAX - standing.played)
}

/// The order of boards by rating, higher is better.
pub fn rating_score(standing: &Standing) -> u128 {
    // Thousandths of a point; ratings are far from the ends.
    ((standing.rating.clamp(-1e9, 1e9) + 1e9) * 1e3).round() as u128
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standing::{ResultPlayer, Source};

    fn result(outcomes: [Outcome; 2]) -> GameResult {
        let player = |(name, outcome): (&str, Outcome)| ResultPlayer {
            player: name.to_owned(),
            name: name.to_uppercase(),
            region: None,
            outcome,
        };
        GameResult {
            customer: CustomerId::default(),
            source: Source { name: "room".into(), number: 1 },
            game: "tic_tac_toe".into(),
            ended_at: 1_795_248_000_000,
            took_ms: 1500,
            players: ["ada", "bob"].into_iter().zip(outcomes).map(player).collect(),
        }
    }

    #[test]
    fn a_result_counts_in_every_scope_for_everybody() {
        let mut standings = BTreeMap::new();
        let won = [Outcome::Won, Outcome::Lost];
        for outcomes in [won, won, [Outcome::Drawn, Outcome::Drawn], won] {
            assert_eq!(apply(&result(outcomes), &mut standings).len(), 6);
        }
        assert_eq!(standings.len(), 6);
        let season =
            standings.iter().find(|((_, scope, player), _)| scope.contains("2026-Q4") && player == "ada");
        let ada = season.unwrap().1;
        assert_eq!((ada.played, ada.won, ada.lost, ada.drawn), (4, 3, 0, 1));
        assert_eq!((ada.streak, ada.best_streak, ada.playtime_ms, ada.name.as_str()), (1, 2, 6000, "ADA"));
        let bob = &standings[&(CustomerId::default(), String::new(), "bob".to_owned())];
        assert!(ada.rating > 1600.0 && bob.rating < 1400.0 && ada.deviation < 300.0);
        // What one wins the other loses, as both began alike.
        assert!((ada.rating + bob.rating - 3000.0).abs() < 1e-6);
    }

    #[test]
    fn what_is_no_contest_does_not_count() {
        assert!(counts(&result([Outcome::Won, Outcome::Lost])));
        let mut alone = result([Outcome::Won, Outcome::Lost]);
        alone.players.pop();
        assert!(!counts(&alone));
        let mut twice = result([Outcome::Won, Outcome::Lost]);
        twice.players[1].player = "ada".into();
        assert!(!counts(&twice));
        let mut nobody = result([Outcome::Won, Outcome::Lost]);
        nobody.players[1].player.clear();
        assert!(!counts(&nobody));
    }

    #[test]
    fn the_order_is_share_then_wins_then_fewer_games() {
        let standing = |won: u32, played: u32| {
            let blank = Standing::new(CustomerId::default(), Scope::Overall, "p".into());
            wins_score(&Standing { won, played, ..blank })
        };
        assert!(standing(3, 4) > standing(70, 100));
        assert!(standing(6, 8) > standing(3, 4));
        assert!(standing(0, 5) > standing(0, 6));
        assert!(standing(999_999, 1_000_000) > standing(999_998, 999_999));
        assert!(standing(0, 0) > standing(0, 1));
    }
}
