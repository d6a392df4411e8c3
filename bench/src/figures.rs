//! Numbers of several rounds: medians with their spread, percentiles, ratios of rounds that were measured in turns.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A figure of several rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Figure {
    /// None of nothing.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Figure { median: (low + high) / 2.0, min, max })
    }

    /// Round by round, so that what the machine did besides meets both sides.
    pub(crate) fn ratio(ours: &[f64], theirs: &[f64]) -> Option<Self> {
        Self::of(
            ours.iter().zip(theirs).filter(|(_, theirs)| **theirs > 0.0).map(|(ours, theirs)| ours / theirs),
        )
    }
}

impl std::fmt::Display for Figure {
    /// `12.3 (11.9 .. 13.0)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&short(self.median))?;
        if self.min != self.max {
            write!(f, " ({} .. {})", short(self.min), short(self.max))?;
        }
        Ok(())
    }
}

/// Three digits that count.
pub(crate) fn short(value: f64) -> String {
    let digits = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$}")
}

/// The time below which this share of the samples lies, in milliseconds; sorts them. Zero of nothing.
pub(crate) fn percentile_ms(samples: &mut [Duration], share: f64) -> f64 {
    samples.sort_unstable();
    let at = (samples.len() as f64 * share).ceil() as usize;
    samples.get(at.clamp(1, samples.len().max(1)) - 1).map_or(0.0, |sample| sample.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_and_medians_have_a_spread() {
        let mut samples: Vec<Duration> = (1..=1000).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile_ms(&mut samples, 0.5), 500.0);
        assert_eq!(percentile_ms(&mut samples, 0.999), 999.0);
        assert_eq!(percentile_ms(&mut samples[..1], 0.999), 1.0);
        assert_eq!(percentile_ms(&mut [], 0.5), 0.0);
        let figure = Figure::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!(figure.to_string(), "2.00 (1.00 .. 3.00)");
        assert_eq!(Figure::of([1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(Figure::of([]), None);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // A machine twice as slow in the second round changes nothing.
        let ratio = Figure::ratio(&[1.0, 2.0], &[2.0, 4.0]).unwrap();
        assert_eq!((ratio.min, ratio.max), (0.5, 0.5));
    }
}
