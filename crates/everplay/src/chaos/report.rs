//! What a run came to: distributions beside the promise, violations, and how much they say.

use crate::bench::figures::{Machine, percentile, table};
use serde::Serialize;
use std::time::Duration;

/// What players of one kind noticed of one fault.
#[derive(Debug)]
pub(super) struct Row {
    /// What was done.
    pub(super) fault: &'static str,
    /// Who noticed.
    pub(super) who: &'static str,
    /// Longest time without a frame, of each player and each repetition.
    pub(super) pauses: Vec<Duration>,
    /// Full states they were sent, instead of the patches they missed.
    pub(super) full: u32,
    /// What is promised about them.
    pub(super) promise: Promise,
}

/// Bounds of a distribution; `None`: not promised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Promise {
    pub(super) p50_ms: Option<u32>,
    pub(super) p99_ms: Option<u32>,
    pub(super) max_ms: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Figures {
    fault: &'static str,
    who: &'static str,
    players: usize,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    max_ms: Option<f64>,
    full_states: u32,
    promise: Promise,
    kept: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Report {
    machine: Machine,
    nodes: usize,
    rooms: usize,
    clients: usize,
    /// How often each fault was done.
    faults: usize,
    /// Frames with state that were compared; each could have been lost, repeated or contradicted.
    frames_checked: u64,
    /// Records of journals that were compared with what was shown.
    records_checked: u64,
    violations: Vec<String>,
    /// With 95 % confidence fewer than this share of frames is wrong: 3 / N, when none was.
    bound: Option<f64>,
    figures: Vec<Figures>,
}

/// What a run is called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) nodes: usize,
    pub(super) rooms: usize,
    pub(super) clients: usize,
    pub(super) faults: usize,
}

impl Report {
    pub(super) fn new(
        scale: Scale,
        rows: Vec<Row>,
        frames: u64,
        records: u64,
        violations: Vec<String>,
    ) -> Report {
        let Scale { nodes, rooms, clients, faults } = scale;
        Report {
            machine: Machine::this(),
            nodes,
            rooms,
            clients,
            faults,
            frames_checked: frames,
            records_checked: records,
            bound: (violations.is_empty() && frames > 0).then(|| 3.0 / frames as f64),
            violations,
            figures: rows.into_iter().map(Figures::of).collect(),
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// For people.
    pub(super) fn show(&self) -> String {
        let ms = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.0}"));
        let rows: Vec<Vec<String>> = self
            .figures
            .iter()
            .map(|row| {
                vec![
                    row.fault.to_owned(),
                    row.who.to_owned(),
                    row.players.to_string(),
                    ms(row.p50_ms),
                    ms(row.p99_ms),
                    ms(row.max_ms),
                    row.full_states.to_string(),
                    row.promise.show(),
                    if row.players == 0 {
                        "-"
                    } else if row.kept {
                        "kept"
                    } else {
                        "MISSED"
                    }
                    .to_owned(),
                ]
            })
            .collect();
        let header = ["fault", "who", "pauses", "p50 ms", "p99 ms", "max ms", "full", "promise", ""];
        let verdict = match self.bound {
            Some(bound) => format!(
                "lost, repeated or contradicted: 0 of {} frames (fewer than {bound:.1e} with 95 % confidence: 3/N)",
                self.frames_checked
            ),
            None => format!("VIOLATIONS: {} in {} frames", self.violations.len(), self.frames_checked),
        };
        let few = self.violations.iter().take(20).map(|violation| format!("  {violation}\n"));
        format!(
            "{}\n{} nodes, {} rooms, {} clients, each fault {} times; a pause is the longest time without a frame, \
             steps of 50 ms included\n{}{verdict}; {} records of journals agree with what was shown\n{}",
            self.machine.show(),
            self.nodes,
            self.rooms,
            self.clients,
            self.faults,
            table(&header, &rows),
            self.records_checked,
            few.collect::<String>()
        )
    }
}

impl Figures {
    fn of(row: Row) -> Figures {
        let Row { fault, who, mut pauses, full: full_states, promise } = row;
        pauses.sort_unstable();
        let (p50_ms, p99_ms, max_ms) =
            (percentile(&pauses, 0.5), percentile(&pauses, 0.99), percentile(&pauses, 1.0));
        let within = |value: Option<f64>, bound: Option<u32>| match (value, bound) {
            (Some(value), Some(bound)) => value <= f64::from(bound),
            _ => true,
        };
        let kept = within(p50_ms, promise.p50_ms)
            && within(p99_ms, promise.p99_ms)
            && within(max_ms, promise.max_ms);
        Figures { fault, who, players: pauses.len(), p50_ms, p99_ms, max_ms, full_states, promise, kept }
    }
}

impl Promise {
    fn show(self) -> String {
        let parts = [("p50", self.p50_ms), ("p99", self.p99_ms), ("max", self.max_ms)];
        let said = parts.iter().filter_map(|(name, bound)| bound.map(|bound| format!("{name} <= {bound}")));
        let said: Vec<String> = said.collect();
        if said.is_empty() { "-".to_owned() } else { said.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_kept_when_every_bound_holds() {
        let row = |longest, promise| {
            let pauses = (1..=longest).map(Duration::from_millis).collect();
            Figures::of(Row { fault: "kill", who: "all", pauses, full: 0, promise })
        };
        let promise = Promise { p50_ms: Some(50), p99_ms: Some(99), max_ms: None };
        assert!(row(100, promise).kept);
        assert!(!row(102, promise).kept);
        assert!(row(0, promise).kept);
        assert_eq!(promise.show(), "p50 <= 50, p99 <= 99");
        assert_eq!(Promise::default().show(), "-");
    }

    #[test]
    fn nothing_wrong_in_many_frames_has_a_bound() {
        let scale = Scale { nodes: 3, rooms: 1, clients: 2, faults: 1 };
        let clean = Report::new(scale, Vec::new(), 3_000, 7, Vec::new());
        assert!(
            clean.is_clean() && clean.show().contains("0 of 3000 frames (fewer than 1.0e-3"),
            "{}",
            clean.show()
        );
        let wrong = Report::new(scale, Vec::new(), 3_000, 7, vec!["a lie".to_owned()]);
        assert!(
            !wrong.is_clean() && wrong.show().contains("VIOLATIONS: 1 in 3000 frames"),
            "{}",
            wrong.show()
        );
    }
}
