//! What a ticket seems to be about and how urgent it is, from its words. A guess: agents correct it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

macro_rules! names {
    ($of:ident, $count:literal, $($variant:ident $name:literal),+) => {
        impl $of {
            /// All there are.
            pub const ALL: [$of; $count] = [$($of::$variant),+];

            /// Its name in records and answers.
            pub fn name(self) -> &'static str {
                match self { $($of::$variant => $name),+ }
            }
        }

        impl fmt::Display for $of {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $of {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                Self::ALL.into_iter().find(|one| one.name() == text).ok_or(())
            }
        }
    };
}

/// What a ticket is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Something does not work.
    Technical,
    /// Something in a game was not as it should be.
    Gameplay,
    /// Signing in, names, data.
    Account,
    /// Money.
    Billing,
    /// Anything else.
    Other,
}

names!(Category, 5, Technical "technical", Gameplay "gameplay", Account "account", Billing "billing", Other "other");

/// How soon it must be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Within 4 hours.
    Urgent,
    /// Within 24 hours.
    High,
    /// Within 48 hours.
    Medium,
    /// Within 72 hours.
    Low,
}

names!(Priority, 4, Urgent "urgent", High "high", Medium "medium", Low "low");

impl Priority {
    /// Hours in which the desk must answer.
    pub fn hours(self) -> u64 {
        match self {
            Priority::Urgent => 4,
            Priority::High => 24,
            Priority::Medium => 48,
            Priority::Low => 72,
        }
    }
}

/// Beginnings of words that speak for a category.
const CATEGORIES: &[(Category, &[&str])] = &[
    (Category::Billing, &["bill", "pay", "paid", "refund", "charge", "invoice", "money", "card", "purchase"]),
    (
        Category::Account,
        &[
            "account",
            "password",
            "login",
            "log",
            "sign",
            "email",
            "mail",
            "name",
            "delete",
            "hack",
            "stolen",
            "ban",
            "profile",
            "authenticator",
        ],
    ),
    (
        Category::Gameplay,
        &[
            "game",
            "move",
            "opponent",
            "cheat",
            "score",
            "rank",
            "rating",
            "win",
            "won",
            "lost",
            "lose",
            "draw",
            "match",
            "board",
            "leaderboard",
            "player",
            "forfeit",
            "turn",
            "queue",
            "line",
        ],
    ),
    (
        Category::Technical,
        &[
            "crash",
            "error",
            "bug",
            "freeze",
            "froze",
            "lag",
            "slow",
            "connect",
            "disconnect",
            "load",
            "screen",
            "browser",
            "broken",
            "timeout",
            "sound",
            "page",
        ],
    ),
];

/// Beginnings of words that speak for a priority; the first list with a hit decides.
const PRIORITIES: &[(Priority, &[&str])] = &[
    (
        Priority::Urgent,
        &["urgent", "emergency", "hack", "stolen", "fraud", "threat", "abuse", "immediately", "breach"],
    ),
    (
        Priority::High,
        &[
            "cannot",
            "can't",
            "cant",
            "unable",
            "crash",
            "lost",
            "broken",
            "refund",
            "charge",
            "cheat",
            "locked",
            "important",
        ],
    ),
    (
        Priority::Low,
        &["suggest", "idea", "feature", "wish", "question", "wonder", "typo", "curious", "feedback", "thank"],
    ),
];

/// The words of a text: letters, digits and apostrophes, in lower case.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'')
        .map(|word| word.trim_matches('\'').to_lowercase())
        .filter(|word| !word.is_empty())
}

fn begins(word: &str, beginnings: &[&str]) -> bool {
    // Short beginnings are whole words: "log" is in "login", and so is "logical".
    beginnings.iter().any(|begin| if begin.len() < 4 { word == *begin } else { word.starts_with(begin) })
}

/// What the ticket seems to be about: the category with most hits, a word of the subject counting three.
pub fn category(subject: &str, description: &str) -> Category {
    let mut best = (Category::Other, 0);
    for (category, beginnings) in CATEGORIES {
        let hits = |text: &str| words(text).filter(|word| begins(word, beginnings)).count();
        let score = 3 * hits(subject) + hits(description);
        if score > best.1 {
            best = (*category, score);
        }
    }
    best.0
}

/// How urgent it seems to be.
pub fn priority(subject: &str, description: &str) -> Priority {
    let hit =
        |beginnings: &[&str]| words(subject).chain(words(description)).any(|word| begins(&word, beginnings));
    PRIORITIES.iter().find(|(_, words)| hit(words)).map_or(Priority::Medium, |(priority, _)| *priority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_what_it_is_about() {
        for (subject, wanted, urgency) in [
            ("My account was hacked", Category::Account, Priority::Urgent),
            ("I was charged twice", Category::Billing, Priority::High),
            ("The opponent cheats", Category::Gameplay, Priority::High),
            ("Page freezes in my browser", Category::Technical, Priority::Medium),
            ("An idea", Category::Other, Priority::Low),
            ("Hello", Category::Other, Priority::Medium),
            ("I can't log in", Category::Account, Priority::High),
        ] {
            assert_eq!((category(subject, ""), priority(subject, "")), (wanted, urgency), "{subject}");
        }
    }

    #[test]
    fn the_subject_weighs_more() {
        assert_eq!(category("Refund", "after the game and the match"), Category::Billing);
    }

    #[test]
    fn names_come_back() {
        for category in Category::ALL {
            assert_eq!(category.name().parse(), Ok(category));
        }
        assert_eq!("nothing".parse::<Priority>(), Err(()));
    }
}
