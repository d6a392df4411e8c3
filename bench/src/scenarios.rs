//! The scenarios, and what they have in common.

pub(crate) mod fanout;
pub(crate) mod idle;
pub(crate) mod joins;
pub(crate) mod recovery;
pub(crate) mod spaaace;
pub(crate) mod world;

use crate::contestant::{Lab, Who};
use crate::crowd::Sample;
use crate::figures::Figure;
use crate::machine;
use crate::results::{Conditions, Goal, Row, Verdict};
use anyhow::Result;
use std::time::Duration;
use tempfile::TempDir;

/// How it is measured.
pub(crate) struct Bench {
    pub(crate) lab: Lab,
    pub(crate) rounds: usize,
    /// Length of one measurement.
    pub(crate) length: Duration,
    /// Small crowds: shows that everything runs, not how fast.
    pub(crate) quick: bool,
    /// Only these; all when empty.
    pub(crate) only: Vec<Who>,
}

/// Joins at the same time where joining is not what is measured.
pub(crate) const AT_ONCE: usize = 40;

/// Before a measurement counts: the last full states and the first patches to everyone are over.
pub(crate) const WARM_UP: Duration = Duration::from_secs(2);

impl Bench {
    /// The contestants of a round: each round another begins, so that none always follows the same.
    pub(crate) fn order(&self, round: usize, contestants: &[Who]) -> Vec<Who> {
        let mut order = contestants.to_vec();
        order.rotate_left(round % contestants.len());
        order.retain(|who| self.only.is_empty() || self.only.contains(who));
        order
    }

    pub(crate) fn size(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }

    pub(crate) fn conditions<'a>(
        &self,
        samples: impl Iterator<Item = &'a Sample> + Clone,
    ) -> Result<Conditions> {
        Ok(Conditions {
            date: machine::now(),
            machine: machine::describe(),
            versions: self.lab.versions()?,
            cores: self.lab.show_pins(),
            rounds: self.rounds,
            foreign: Figure::of(samples.clone().map(|sample| sample.foreign_share)),
            driver: samples.map(|sample| sample.driver_share).fold(0.0, f64::max),
        })
    }
}

pub(crate) fn progress(text: &str) {
    eprintln!("    {text}");
}

/// Where a server keeps its rooms; gone when dropped.
pub(crate) fn folder() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("everplay-bench-").tempdir()?)
}

/// What each contestant came to, round by round.
pub(crate) struct Rounds<T> {
    contestants: Vec<Who>,
    values: Vec<Vec<T>>,
}

impl<T> Rounds<T> {
    pub(crate) fn of(contestants: &[Who]) -> Self {
        Rounds { contestants: contestants.to_vec(), values: contestants.iter().map(|_| Vec::new()).collect() }
    }

    pub(crate) fn push(&mut self, who: Who, value: T) {
        if let Some(at) = self.contestants.iter().position(|other| *other == who) {
            self.values[at].push(value);
        }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.contestants.iter().map(|who| who.name().to_owned()).collect()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &T> + Clone {
        self.values.iter().flatten()
    }

    pub(crate) fn row(&self, name: impl Into<String>, of: impl Fn(&T) -> f64) -> Row {
        let cells = self.values.iter().map(|values| Figure::of(values.iter().map(&of)));
        Row { name: name.into(), cells: cells.collect() }
    }

    fn series(&self, who: Who, of: &impl Fn(&T) -> f64) -> Vec<f64> {
        let at = self.contestants.iter().position(|other| *other == who);
        at.map(|at| self.values[at].iter().map(of).collect()).unwrap_or_default()
    }

    /// One contestant's figures in those of another.
    pub(crate) fn ratio(
        &self,
        name: impl Into<String>,
        (ours, theirs): (Who, Who),
        of: impl Fn(&T) -> f64,
        goal: Goal,
    ) -> Option<Verdict> {
        let figure = Figure::ratio(&self.series(ours, &of), &self.series(theirs, &of))?;
        Some(Verdict { name: name.into(), figure, goal })
    }

    pub(crate) fn value(
        &self,
        name: impl Into<String>,
        who: Who,
        of: impl Fn(&T) -> f64,
        goal: Goal,
    ) -> Option<Verdict> {
        Some(Verdict { name: name.into(), figure: Figure::of(self.series(who, &of))?, goal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_ratios_follow_the_contestants() {
        let mut rounds = Rounds::of(&[Who::Confirmed, Who::Uws]);
        for (ours, theirs) in [(1.0, 4.0), (3.0, 4.0)] {
            rounds.push(Who::Uws, theirs);
            rounds.push(Who::Confirmed, ours);
        }
        let row = rounds.row("row", |value| *value);
        assert_eq!(row.cells.iter().flatten().map(|figure| figure.median).collect::<Vec<_>>(), [2.0, 4.0]);
        let pair = (Who::Confirmed, Who::Uws);
        let verdict = rounds.ratio("ratio", pair, |value| *value, Goal::AtMost(0.5)).unwrap();
        assert_eq!(verdict.figure.median, 0.5);
        assert!(verdict.reached());
        assert!(rounds.value("none", Who::Floor, |value| *value, Goal::None).is_none());
    }
}
