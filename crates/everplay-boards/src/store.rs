//! The port of what keeps standings.

use crate::rules::{self, RowKey};
use crate::standing::{GameResult, Standing};
use everplay_types::CustomerId;
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;

/// An answer on its way.
pub type Pending<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// The store cannot do it now. Whether it did is not known; the same call again changes nothing twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store of standings cannot answer: {0}")]
pub struct StoreError(pub String);

/// What became of results.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Taken {
    /// How many were counted now; the others had been, or can never be.
    pub counted: usize,
    /// The standings as they are now.
    pub changed: Vec<Standing>,
}

/// What is known of a player beside games; None: stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// As shown.
    pub name: Option<String>,
    /// Where the player is at home.
    pub region: Option<String>,
}

/// Keeps standings.
///
/// What an implementor owes:
/// - **Once.** A result whose number is not above the last one counted of its source changes nothing. The numbers are
///   kept in the same transaction as what they changed.
/// - **Whole.** A call happens whole or not at all, and is durable when it is answered.
/// - **One order.** Changes are numbered in the order they become visible: whoever has read up to a number misses none
///   at or below it.
pub trait BoardStore: Send + Sync + fmt::Debug {
    /// Counts results.
    fn take(&self, results: Vec<GameResult>) -> Pending<Result<Taken, StoreError>>;

    /// Writes down what is known of a player; answers the changed standings, one at least.
    fn set_profile(
        &self,
        customer: CustomerId,
        player: String,
        profile: Profile,
    ) -> Pending<Result<Vec<Standing>, StoreError>>;

    /// Takes a player off: name, region and all counts. The games of others stay counted.
    fn forget(&self, customer: CustomerId, player: String) -> Pending<Result<Vec<Standing>, StoreError>>;

    /// Up to `limit` standings that changed after number `after`, in the order of their last changes.
    fn changes(&self, after: i64, limit: u32) -> Pending<Result<Vec<Standing>, StoreError>>;
}

/// One transaction's work, the same for every store: fed with what is stored, says what to store.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Last number by source, of those that results name.
    pub(crate) sources: BTreeMap<(CustomerId, String), u64>,
    /// Standings by key.
    pub(crate) rows: BTreeMap<RowKey, Standing>,
    counted: usize,
    changed: BTreeMap<RowKey, ()>,
    /// Sources whose number rose.
    risen: BTreeMap<(CustomerId, String), u64>,
}

impl Work {
    /// What must be read before [`count`](Self::count).
    pub(crate) fn needs(results: &[GameResult]) -> (Vec<(CustomerId, String)>, Vec<RowKey>) {
        let mut sources: Vec<_> =
            results.iter().map(|result| (result.customer.clone(), result.source.name.clone())).collect();
        let mut rows: Vec<RowKey> =
            results.iter().filter(|result| rules::counts(result)).flat_map(rules::rows_of).collect();
        sources.sort();
        sources.dedup();
        rows.sort();
        rows.dedup();
        (sources, rows)
    }

    pub(crate) fn count(&mut self, results: &[GameResult]) {
        for result in results {
            let source = (result.customer.clone(), result.source.name.clone());
            let last = self.sources.entry(source.clone()).or_default();
            if result.source.number <= *last {
                continue;
            }
            *last = result.source.number;
            self.risen.insert(source, result.source.number);
            if rules::counts(result) {
                self.counted += 1;
                self.changed.extend(rules::apply(result, &mut self.rows).into_iter().map(|key| (key, ())));
            }
        }
    }

    /// Numbers the changed standings after `clock`; answers what to store, the sources' numbers and the new clock.
    pub(crate) fn finish(mut self, clock: i64) -> (Taken, BTreeMap<(CustomerId, String), u64>, i64) {
        let mut now = clock;
        let mut changed = Vec::with_capacity(self.changed.len());
        for key in self.changed.into_keys() {
            let Some(mut standing) = self.rows.remove(&key) else { continue };
            now += 1;
            standing.change = now;
            changed.push(standing);
        }
        (Taken { counted: self.counted, changed }, self.risen, now)
    }

    /// A player's standings with another profile.
    pub(crate) fn profile(standings: Vec<Standing>, clock: i64, profile: &Profile) -> (Vec<Standing>, i64) {
        let numbered = |(at, mut standing): (usize, Standing)| {
            standing.name = profile.name.clone().unwrap_or(standing.name);
            standing.region = profile.region.clone().unwrap_or(standing.region);
            standing.change = clock + 1 + at as i64;
            standing
        };
        let changed: Vec<Standing> = standings.into_iter().enumerate().map(numbered).collect();
        let clock = clock + changed.len() as i64;
        (changed, clock)
    }

    /// A player's standings with nothing in them.
    pub(crate) fn blank(standings: Vec<Standing>, clock: i64) -> (Vec<Standing>, i64) {
        let blank = |standing: Standing| Standing {
            name: "Forgotten".to_owned(),
            ..Standing::new(standing.customer, standing.scope, standing.player)
        };
        Self::profile(standings.into_iter().map(blank).collect(), clock, &Profile::default())
    }
}
