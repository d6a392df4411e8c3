//! Standings and rankings of one customer in memory: what is read.
//!
//! A standing arrives whole with its number; an older one than is here changes nothing, so it does not matter from how
//! many sides and how often it comes.

use crate::ranking::Ranking;
use crate::rules::{self, LEAST_GAMES};
use crate::standing::{Scope, Standing};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What a board is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Share of wins, then wins, then fewer games.
    #[default]
    Wins,
    /// Glicko-2.
    Rating,
}

/// Which board.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Board {
    /// Of which games.
    pub scope: Scope,
    /// Only players at home here.
    pub region: Option<String>,
    /// Sorted by.
    pub order: Order,
}

/// How old an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fresh {
    /// The store is away, or not all of it was read yet: what others counted since is missing.
    pub stale: bool,
    /// When the store last answered, ms since 1970.
    pub as_of: u64,
}

/// One row of a board.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BoardRow {
    /// From 1; equals share it.
    pub rank: u64,
    /// The account.
    pub user_id: String,
    /// As shown.
    pub name: String,
    /// Where at home; empty: not told.
    pub region: String,
    /// Games.
    pub games_played: u32,
    /// Of these won.
    pub games_won: u32,
    /// Of these lost.
    pub games_lost: u32,
    /// Of these neither.
    pub games_drawn: u32,
    /// Won of a hundred, two decimals.
    pub win_percentage: f64,
    /// Wins in a row now.
    pub current_streak: u32,
    /// Most wins in a row.
    pub best_streak: u32,
    /// Glicko-2, two decimals.
    pub rating: f64,
    /// How uncertain it is, two decimals.
    pub rating_deviation: f64,
}

/// Part of a board.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BoardPage {
    /// Best first.
    pub rows: Vec<BoardRow>,
    /// Place of the first row, from 0.
    pub offset: u64,
    /// How many stand on the board.
    pub total: u64,
    /// How old it is.
    #[serde(flatten)]
    pub fresh: Fresh,
}

/// The same, without its age.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) rows: Vec<BoardRow>,
    pub(crate) offset: u64,
    pub(crate) total: u64,
}

impl Part {
    /// Of a board on which nobody stands.
    pub(crate) fn none(offset: u64) -> Self {
        Part { rows: Vec::new(), offset, total: 0 }
    }

    pub(crate) fn at(self, fresh: Fresh) -> BoardPage {
        BoardPage { rows: self.rows, offset: self.offset, total: self.total, fresh }
    }
}

/// What one player has done.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlayerStats {
    /// All games.
    pub overall: StatsRow,
    /// Each game by itself.
    pub games: BTreeMap<String, StatsRow>,
}

/// Counts of one scope.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatsRow {
    /// Games.
    pub games_played: u32,
    /// Of these won.
    pub games_won: u32,
    /// Of these lost.
    pub games_lost: u32,
    /// Of these neither.
    pub games_drawn: u32,
    /// Won of a hundred, two decimals.
    pub win_percentage: f64,
    /// Wins in a row now.
    pub current_streak: u32,
    /// Most wins in a row.
    pub best_streak: u32,
    /// Seconds in games.
    pub total_playtime: u64,
    /// Glicko-2, two decimals.
    pub rating: f64,
    /// How uncertain it is, two decimals.
    pub rating_deviation: f64,
}

#[derive(Debug)]
struct Person {
    id: Arc<str>,
    name: String,
    /// Change of the standing that the name came with.
    named: i64,
    tie: u64,
}

/// A standing without its names.
#[derive(Debug, Clone, Copy)]
struct Slot {
    change: i64,
    playtime_ms: u64,
    played: u32,
    won: u32,
    lost: u32,
    drawn: u32,
    streak: u32,
    best_streak: u32,
    region: u16,
    rating: f64,
    deviation: f64,
    wins_score: u128,
    rating_score: u128,
}

#[derive(Debug, Default)]
struct ScopeModel {
    slots: HashMap<u32, Slot>,
    wins: Ranking,
    rating: Ranking,
    /// By region: wins, rating.
    regions: HashMap<u16, (Ranking, Ranking)>,
}

/// One customer's players and boards.
#[derive(Debug, Default)]
pub(crate) struct Model {
    numbers: HashMap<Arc<str>, u32>,
    people: Vec<Person>,
    regions: Vec<String>,
    scopes: HashMap<Scope, ScopeModel>,
}

/// A fixed order among equals, the same in every process: FNV-1a over the account.
fn tie_of(player: &str) -> u64 {
    player.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn cents(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn percentage(won: u32, played: u32) -> f64 {
    cents(f64::from(won) * 100.0 / f64::from(played.max(1)))
}

impl Model {
    /// Takes a standing, unless a newer one is here.
    pub(crate) fn put(&mut self, standing: &Standing) {
        let who = self.person(standing);
        let region = self.region(&standing.region);
        let scope = match self.scopes.get_mut(&standing.scope) {
            Some(scope) => scope,
            None => self.scopes.entry(standing.scope.clone()).or_default(),
        };
        let tie = self.people[who as usize].tie;
        if let Some(before) = scope.slots.get(&who).copied() {
            if before.change >= standing.change {
                return;
            }
            if before.played >= LEAST_GAMES {
                scope.wins.remove(before.wins_score, tie);
                scope.rating.remove(before.rating_score, tie);
                if let Some((wins, rating)) = scope.regions.get_mut(&before.region) {
                    wins.remove(before.wins_score, tie);
                    rating.remove(before.rating_score, tie);
                }
            }
        }
        let slot = Slot {
            change: standing.change,
            playtime_ms: standing.playtime_ms,
            played: standing.played,
            won: standing.won,
            lost: standing.lost,
            drawn: standing.drawn,
            streak: standing.streak,
            best_streak: standing.best_streak,
            region,
            rating: standing.rating,
            deviation: standing.deviation,
            wins_score: rules::wins_score(standing),
            rating_score: rules::rating_score(standing),
        };
        scope.slots.insert(who, slot);
        if slot.played >= LEAST_GAMES {
            scope.wins.insert(slot.wins_score, tie, who);
            scope.rating.insert(slot.rating_score, tie, who);
            if !standing.region.is_empty() {
                let (wins, rating) = scope.regions.entry(region).or_default();
                wins.insert(slot.wins_score, tie, who);
                rating.insert(slot.rating_score, tie, who);
            }
        }
    }

    fn person(&mut self, standing: &Standing) -> u32 {
        let who = match self.numbers.get(standing.player.as_str()) {
            Some(who) => *who,
            None => {
                let (id, who): (Arc<str>, _) = (standing.player.as_str().into(), self.people.len() as u32);
                let tie = tie_of(&id);
                self.people.push(Person { id: Arc::clone(&id), name: String::new(), named: -1, tie });
                self.numbers.insert(id, who);
                who
            }
        };
        let person = &mut self.people[who as usize];
        if standing.change > person.named {
            person.named = standing.change;
            if person.name != standing.name {
                person.name.clone_from(&standing.name);
            }
        }
        who
    }

    fn region(&mut self, name: &str) -> u16 {
        let known = self.regions.iter().position(|region| region == name);
        let at = known.unwrap_or_else(|| {
            self.regions.push(name.to_owned());
            self.regions.len() - 1
        });
        // Regions are chosen from a short list; past the end of u16 they would share the last.
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    fn ranking(&self, board: &Board) -> Option<(&ScopeModel, &Ranking)> {
        let scope = self.scopes.get(&board.scope)?;
        let both = match &board.region {
            None => (&scope.wins, &scope.rating),
            Some(name) => {
                let at = self.regions.iter().position(|region| region == name)?;
                let (wins, rating) = scope.regions.get(&u16::try_from(at).ok()?)?;
                (wins, rating)
            }
        };
        Some((scope, if board.order == Order::Wins { both.0 } else { both.1 }))
    }

    /// Rows from a place on.
    pub(crate) fn page(&self, board: &Board, offset: u64, limit: u32) -> Part {
        let Some((scope, ranking)) = self.ranking(board) else { return Part::none(offset) };
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let mut rows: Vec<BoardRow> = Vec::with_capacity(limit as usize);
        let mut last = None;
        for (at, (score, who)) in ranking.from(from, limit as usize).enumerate() {
            let rank = match last {
                Some((same, rank)) if same == score => rank,
                // The first of a page may share its rank with rows before it.
                None => ranking.rank(score) as u64,
                Some(_) => (from + at) as u64 + 1,
            };
            last = Some((score, rank));
            rows.extend(scope.slots.get(&who).map(|slot| self.row(rank, who, slot)));
        }
        Part { rows, offset, total: ranking.len() as u64 }
    }

    /// Rows around a player; None: the player does not stand on this board.
    pub(crate) fn around(&self, board: &Board, player: &str, each_side: u32) -> Option<Part> {
        let (ranking, score, tie, _) = self.seat(board, player)?;
        let offset = ranking.place(score, tie).saturating_sub(each_side as usize);
        let before = ranking.place(score, tie) - offset;
        Some(self.page(board, offset as u64, before as u32 + 1 + each_side))
    }

    /// A player's own row.
    pub(crate) fn of(&self, board: &Board, player: &str) -> Option<BoardRow> {
        let (ranking, score, _, who) = self.seat(board, player)?;
        let slot = self.scopes.get(&board.scope)?.slots.get(&who)?;
        Some(self.row(ranking.rank(score) as u64, who, slot))
    }

    fn seat(&self, board: &Board, player: &str) -> Option<(&Ranking, u128, u64, u32)> {
        let who = *self.numbers.get(player)?;
        let (scope, ranking) = self.ranking(board)?;
        let slot = scope.slots.get(&who).filter(|slot| slot.played >= LEAST_GAMES)?;
        let here =
            board.region.as_ref().is_none_or(|name| self.regions.get(slot.region as usize) == Some(name));
        let score = if board.order == Order::Wins { slot.wins_score } else { slot.rating_score };
        here.then(|| (ranking, score, self.people[who as usize].tie, who))
    }

    fn row(&self, rank: u64, who: u32, slot: &Slot) -> BoardRow {
        let person = &self.people[who as usize];
        BoardRow {
            rank,
            user_id: person.id.to_string(),
            name: person.name.clone(),
            region: self.regions.get(slot.region as usize).cloned().unwrap_or_default(),
            games_played: slot.played,
            games_won: slot.won,
            games_lost: slot.lost,
            games_drawn: slot.drawn,
            win_percentage: percentage(slot.won, slot.played),
            current_streak: slot.streak,
            best_streak: slot.best_streak,
            rating: cents(slot.rating),
            rating_deviation: cents(slot.deviation),
        }
    }

    /// What a player has done; None: nothing that counts.
    pub(crate) fn stats(&self, player: &str) -> Option<PlayerStats> {
        let who = self.numbers.get(player)?;
        let row = |slot: &Slot| StatsRow {
            games_played: slot.played,
            games_won: slot.won,
            games_lost: slot.lost,
            games_drawn: slot.drawn,
            win_percentage: percentage(slot.won, slot.played),
            current_streak: slot.streak,
            best_streak: slot.best_streak,
            total_playtime: slot.playtime_ms / 1000,
            rating: cents(slot.rating),
            rating_deviation: cents(slot.deviation),
        };
        let of = |scope: &Scope| self.scopes.get(scope)?.slots.get(who).map(row);
        let overall = of(&Scope::Overall)?;
        let games = self.scopes.keys().filter_map(|scope| match scope {
            Scope::Game(game) => Some((game.clone(), of(scope)?)),
            Scope::Overall | Scope::Season(..) => None,
        });
        Some(PlayerStats { overall, games: games.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use everplay_types::CustomerId;
    use proptest::prelude::*;

    fn standing(player: usize, played: u32, won: u32) -> Standing {
        let blank = Standing::new(CustomerId::default(), Scope::Overall, format!("p{player}"));
        Standing { played, won, lost: played - won, change: player as i64 + 1, ..blank }
    }

    fn board() -> Board {
        Board { scope: Scope::Overall, region: None, order: Order::Wins }
    }

    /// The order in words: share of wins by cross multiplication, then wins, then fewer games.
    fn better(a: (u32, u32), b: (u32, u32)) -> std::cmp::Ordering {
        let ((played, won), (others, wins)) = (a, b);
        let (mine, theirs) =
            (u64::from(won) * u64::from(others.max(1)), u64::from(wins) * u64::from(played.max(1)));
        theirs.cmp(&mine).then(wins.cmp(&won)).then(played.cmp(&others))
    }

    #[test]
    fn from_the_fifth_game_on() {
        let mut model = Model::default();
        model.put(&standing(1, 4, 4));
        assert!(model.of(&board(), "p1").is_none() && model.page(&board(), 0, 9).rows.is_empty());
        model.put(&Standing { change: 9, ..standing(1, 5, 4) });
        assert_eq!(model.of(&board(), "p1").map(|row| (row.rank, row.win_percentage)), Some((1, 80.0)));
    }

    proptest! {
        /// Against a plain sort of everybody with five games: small numbers, so that many are equal, and large ones.
        #[test]
        fn boards_are_in_the_order_that_is_written_down(
            all in prop::collection::vec((0u32..12, 0u32..12, 1u32..300_000), 1..80),
        ) {
            let games: Vec<(u32, u32)> =
                all.iter().map(|(played, won, times)| (played * times, won.min(played) * times)).collect();
            let mut model = Model::default();
            for (at, (played, won)) in games.iter().enumerate() {
                model.put(&standing(at, *played, *won));
            }
            let mut known: Vec<(u32, u32)> = games.iter().copied().filter(|(played, _)| *played >= 5).collect();
            known.sort_by(|a, b| better(*a, *b));
            let page = model.page(&board(), 0, 1000);
            let found: Vec<_> = page.rows.iter().map(|row| (row.games_played, row.games_won)).collect();
            prop_assert_eq!(&found, &known);
            for row in &page.rows {
                let me = (row.games_played, row.games_won);
                let before = known.iter().filter(|other| better(**other, me).is_lt()).count() as u64;
                prop_assert_eq!(row.rank, before + 1, "equals share a rank");
                prop_assert_eq!(model.of(&board(), &row.user_id).map(|own| own.rank), Some(row.rank));
            }
        }
    }
}
