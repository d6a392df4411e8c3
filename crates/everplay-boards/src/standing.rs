use everplay_types::CustomerId;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What names a result for ever: it counts once, whoever brings it and however often.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// A room, or another name of whoever counts its results.
    pub name: String,
    /// Rises with each result of that name: one that is not above the last one counted was counted already.
    pub number: u64,
}

/// How a game ended for one player.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Won.
    Won,
    /// Lost.
    Lost,
    /// Neither.
    Drawn,
}

/// Somebody who played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultPlayer {
    /// The account.
    pub player: String,
    /// As shown.
    pub name: String,
    /// Where they are at home; None: not known now, it stays as it was.
    pub region: Option<String>,
    /// How it ended for them.
    pub outcome: Outcome,
}

/// A game that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GameResult {
    /// Whose players these are.
    pub customer: CustomerId,
    /// Its name.
    pub source: Source,
    /// The game's kind, such as `tic_tac_toe`.
    pub game: String,
    /// When it ended, ms since 1970: decides the season.
    pub ended_at: u64,
    /// How long it took, ms.
    pub took_ms: u64,
    /// Everybody, each once.
    pub players: Vec<ResultPlayer>,
}

/// What a standing counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// All games.
    Overall,
    /// One game.
    Game(String),
    /// One game in one season.
    Season(String, String),
}

impl Scope {
    /// As stored: nothing, the game, or the game, a slash and the season.
    pub fn to_text(&self) -> String {
        match self {
            Scope::Overall => String::new(),
            Scope::Game(game) => game.clone(),
            Scope::Season(game, season) => format!("{game}/{season}"),
        }
    }

    /// What [`to_text`](Self::to_text) wrote.
    pub fn from_text(text: &str) -> Self {
        match text.split_once('/') {
            _ if text.is_empty() => Scope::Overall,
            None => Scope::Game(text.to_owned()),
            Some((game, season)) => Scope::Season(game.to_owned(), season.to_owned()),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

/// What one player has done in one scope.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Whose player.
    pub customer: CustomerId,
    /// Of which games.
    pub scope: Scope,
    /// The account.
    pub player: String,
    /// As last told.
    pub name: String,
    /// Where the player is at home; empty: not told.
    pub region: String,
    /// Games.
    pub played: u32,
    /// Of these won.
    pub won: u32,
    /// Of these lost.
    pub lost: u32,
    /// Of these neither.
    pub drawn: u32,
    /// Wins since the last game that was none.
    pub streak: u32,
    /// The most it ever was.
    pub best_streak: u32,
    /// Time in games, ms.
    pub playtime_ms: u64,
    /// Glicko-2.
    pub rating: f64,
    /// Glicko-2.
    pub deviation: f64,
    /// Glicko-2.
    pub volatility: f64,
    /// Position among all changes of all standings; 0: never stored.
    pub change: i64,
}

impl Standing {
    /// Of somebody who has not played.
    pub fn new(customer: CustomerId, scope: Scope, player: String) -> Self {
        let start = skillratings::glicko2::Glicko2Rating::new();
        Self {
            customer,
            scope,
            player,
            name: String::new(),
            region: String::new(),
            played: 0,
            won: 0,
            lost: 0,
            drawn: 0,
            streak: 0,
            best_streak: 0,
            playtime_ms: 0,
            rating: start.rating,
            deviation: start.deviation,
            volatility: start.volatility,
            change: 0,
        }
    }
}

/// The season of a moment: the quarter, such as `2026-Q4`.
pub fn season_of(ms: u64) -> String {
    let mut days = ms / 86_400_000;
    let mut year = 1970;
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            let leap = u64::from(is_leap(year));
            let quarter =
                [90 + leap, 181 + leap, 273 + leap].iter().filter(|first| days >= **first).count() + 1;
            return format!("{year}-Q{quarter}");
        }
        days -= length;
        year += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seasons_are_quarters() {
        for (ms, season) in [
            (0, "1970-Q1"),
            (1_711_929_599_999, "2024-Q1"),
            (1_711_929_600_000, "2024-Q2"),
            (1_795_248_000_000, "2026-Q4"),
            (1_798_761_599_999, "2026-Q4"),
            (1_798_761_600_000, "2027-Q1"),
        ] {
            assert_eq!(season_of(ms), season);
        }
    }

    #[test]
    fn scopes_come_back() {
        for scope in [Scope::Overall, Scope::Game("a".into()), Scope::Season("a".into(), "2026-Q4".into())] {
            assert_eq!(Scope::from_text(&scope.to_text()), scope);
        }
    }
}
