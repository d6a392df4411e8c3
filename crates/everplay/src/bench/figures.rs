//! Numbers of a run: distributions, medians with their spread, the machine they belong to.

use serde::Serialize;
use std::time::Duration;

/// A figure of several rounds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Figure {
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Self { median, min, max })
    }

    /// `12.3 (11.9 .. 13.0)`.
    pub(crate) fn show(this: Option<Self>) -> String {
        match this {
            Some(Figure { median, min, max }) if min == max => short(median),
            Some(Figure { median, min, max }) => {
                format!("{} ({} .. {})", short(median), short(min), short(max))
            }
            None => "-".into(),
        }
    }
}

/// Three digits that count.
fn short(value: f64) -> String {
    let digits = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$}")
}

/// The duration below which this share of the samples lies, in milliseconds. `samples` must be sorted.
pub(crate) fn percentile(samples: &[Duration], share: f64) -> Option<f64> {
    let last = samples.len().checked_sub(1)?;
    let at = ((samples.len() as f64 * share).ceil() as usize).saturating_sub(1).min(last);
    Some(samples[at].as_secs_f64() * 1e3)
}

/// What the figures were measured on.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) system: String,
    pub(crate) everplay: &'static str,
    pub(crate) optimised: bool,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let model = read("/proc/cpuinfo").lines().find_map(|line| {
            line.strip_prefix("model name").map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned())
        });
        Self {
            processor: model.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            system: format!("{} {}", std::env::consts::OS, read("/proc/sys/kernel/osrelease").trim()),
            everplay: env!("CARGO_PKG_VERSION"),
            optimised: !cfg!(debug_assertions),
        }
    }

    pub(crate) fn show(&self) -> String {
        let build = if self.optimised { "" } else { ", DEBUG BUILD: the figures mean nothing" };
        format!(
            "{}, {} cores, {}, everplay {}{build}",
            self.processor, self.cores, self.system, self.everplay
        )
    }
}

/// A table for people; the first column is the names of its rows.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("| {} |\n", padded.join(" | "))
    };
    let mut text = line(&mut header.iter().copied());
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    text.push_str(&format!("|-{}-|\n", rule.join("-|-")));
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_and_medians_have_a_spread() {
        let samples: Vec<Duration> = (1..=1000).map(Duration::from_millis).collect();
        assert_eq!(percentile(&samples, 0.5), Some(500.0));
        assert_eq!(percentile(&samples, 0.999), Some(999.0));
        assert_eq!(percentile(&samples[..1], 0.999), Some(1.0));
        assert_eq!(percentile(&[], 0.5), None);
        assert_eq!(Figure::show(Figure::of(vec![3.0, 1.0, 2.0])), "2.00 (1.00 .. 3.00)");
        assert_eq!(Figure::show(None), "-");
    }
}
