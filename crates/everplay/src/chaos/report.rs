//! What a run came to: distributions beside the promise, violations, and how much they say.

use super::flight::Flights;
use crate::bench::figures::{Machine, percentile, table};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What players of one kind noticed of one fault.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Row {
    /// What was done.
    pub(super) fault: String,
    /// Who noticed.
    pub(super) who: String,
    /// Each time it was done: the longest time without a frame of each player.
    pub(super) times: Vec<Vec<Duration>>,
    /// Full states they were sent, instead of the patches they missed.
    pub(super) full: u32,
    /// What is promised about them.
    pub(super) promise: Promise,
}

/// Bounds of a distribution; `None`: not promised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Promise {
    pub(super) p50_ms: Option<u32>,
    pub(super) p99_ms: Option<u32>,
    pub(super) max_ms: Option<u32>,
}

/// Frames shown to all players together around one moment at which something was done.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Picture {
    pub(super) fault: String,
    /// By slots of 50 ms, beginning a second before it.
    pub(super) frames: Vec<u32>,
}

/// Everything of a run that is counted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Sum {
    pub(super) rows: Vec<Row>,
    pub(super) pictures: Vec<Picture>,
    /// Frames with state that were compared; each could have been lost, repeated or contradicted.
    pub(super) frames: u64,
    /// Those of them that were shown to real SDKs.
    pub(super) sdk_frames: u64,
    /// Records of journals that were compared with what was shown.
    pub(super) records: u64,
    pub(super) flights: Flights,
    pub(super) violations: Vec<String>,
    /// What was left out, and why.
    pub(super) notes: Vec<String>,
}

impl Sum {
    /// Adds what another region came to.
    pub(super) fn add(&mut self, other: Sum) {
        self.rows.extend(other.rows);
        self.pictures.extend(other.pictures);
        self.frames += other.frames;
        self.sdk_frames += other.sdk_frames;
        self.records += other.records;
        self.flights.add(&other.flights);
        self.violations.extend(other.violations);
        self.notes.extend(other.notes);
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) fault: String,
    pub(super) who: String,
    players: usize,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    max_ms: Option<f64>,
    full_states: u32,
    pub(super) promise: Promise,
    kept: bool,
    /// Each time by itself, in order: whether it gets worse with time.
    pub(super) times: Vec<Time>,
    /// Every pause, sorted.
    #[serde(skip)]
    pub(super) pauses: Vec<Duration>,
}

/// One time of a fault.
#[derive(Debug, Serialize)]
pub(super) struct Time {
    players: usize,
    pub(super) p50_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
    max_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Report {
    machine: Machine,
    nodes: usize,
    rooms: usize,
    clients: usize,
    /// How many of the clients were real SDKs.
    sdk_clients: usize,
    /// Arenas beside the rooms, with two pilots each.
    arenas: usize,
    /// How often each fault was done.
    faults: usize,
    frames_checked: u64,
    sdk_frames_checked: u64,
    records_checked: u64,
    flights: Flights,
    violations: Vec<String>,
    notes: Vec<String>,
    /// With 95 % confidence fewer than this share of frames is wrong: 3 / N, when none was.
    bound: Option<f64>,
    pub(super) figures: Vec<Figures>,
    pub(super) pictures: Vec<Picture>,
}

/// What a run is called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) nodes: usize,
    pub(super) rooms: usize,
    pub(super) clients: usize,
    pub(super) sdk: usize,
    pub(super) arenas: usize,
    pub(super) faults: usize,
}

impl Report {
    pub(super) fn new(scale: Scale, sum: Sum) -> Report {
        let Scale { nodes, rooms, clients, sdk, arenas, faults } = scale;
        let Sum { rows, pictures, frames, sdk_frames, records, flights, violations, notes } = sum;
        Report {
            machine: Machine::this(),
            nodes,
            rooms,
            clients,
            sdk_clients: sdk,
            arenas,
            faults,
            frames_checked: frames,
            sdk_frames_checked: sdk_frames,
            records_checked: records,
            flights,
            bound: (violations.is_empty() && frames > 0).then(|| 3.0 / frames as f64),
            violations,
            notes,
            figures: rows.into_iter().map(Figures::of).collect(),
            pictures,
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// The table's first line, and its others.
    pub(super) fn rows(&self) -> ([&'static str; 9], Vec<Vec<String>>) {
        let ms = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.0}"));
        let header = ["fault", "who", "pauses", "p50 ms", "p99 ms", "max ms", "full", "promise", ""];
        let rows = self.figures.iter().map(|row| {
            let kept = match (row.players, row.kept) {
                (0, _) => "-",
                (_, true) => "kept",
                (_, false) => "MISSED",
            };
            vec![
                row.fault.clone(),
                row.who.clone(),
                row.players.to_string(),
                ms(row.p50_ms),
                ms(row.p99_ms),
                ms(row.max_ms),
                row.full_states.to_string(),
                row.promise.show(),
                kept.to_owned(),
            ]
        });
        (header, rows.collect())
    }

    /// The machine, and how many of what there were.
    pub(super) fn head(&self) -> String {
        format!(
            "{}\n{} nodes, {} rooms, {} clients ({} of them the official SDK), {} arenas with two pilots each, each \
             fault {} times; a pause is the longest time without a frame, steps of 50 ms included\n",
            self.machine.show(),
            self.nodes,
            self.rooms,
            self.clients,
            self.sdk_clients,
            self.arenas,
            self.faults,
        )
    }

    /// What was found.
    pub(super) fn verdict(&self) -> String {
        let verdict = match self.bound {
            Some(bound) => format!(
                "lost, repeated or contradicted: 0 of {} frames (fewer than {bound:.1e} with 95 % confidence: 3/N), {} \
                 of them shown to the official SDK",
                self.frames_checked, self.sdk_frames_checked
            ),
            None => format!("VIOLATIONS: {} in {} frames", self.violations.len(), self.frames_checked),
        };
        let few = self.violations.iter().take(20).map(|violation| format!("  {violation}\n"));
        let notes = self.notes.iter().map(|note| format!("left out: {note}\n"));
        format!(
            "{verdict}; {} records of journals agree with what was shown\n{}{}{}",
            self.records_checked,
            few.collect::<String>(),
            self.flights.show(),
            notes.collect::<String>()
        )
    }

    /// For people.
    pub(super) fn show(&self) -> String {
        let (header, rows) = self.rows();
        format!("{}{}{}", self.head(), table(&header, &rows), self.verdict())
    }
}

impl Figures {
    fn of(row: Row) -> Figures {
        let Row { fault, who, times, full: full_states, promise } = row;
        let mut pauses: Vec<Duration> = times.iter().flatten().copied().collect();
        pauses.sort_unstable();
        let time = |mut pauses: Vec<Duration>| {
            pauses.sort_unstable();
            let [p50_ms, p99_ms, max_ms] = [0.5, 0.99, 1.0].map(|share| percentile(&pauses, share));
            Time { players: pauses.len(), p50_ms, p99_ms, max_ms }
        };
        let times = times.into_iter().map(time).collect();
        let [p50_ms, p99_ms, max_ms] = [0.5, 0.99, 1.0].map(|share| percentile(&pauses, share));
        let within = |value: Option<f64>, bound: Option<u32>| match (value, bound) {
            (Some(value), Some(bound)) => value <= f64::from(bound),
            _ => true,
        };
        let kept = within(p50_ms, promise.p50_ms)
            && within(p99_ms, promise.p99_ms)
            && within(max_ms, promise.max_ms);
        let players = pauses.len();
        Figures { fault, who, players, p50_ms, p99_ms, max_ms, full_states, promise, kept, times, pauses }
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
            let (fault, who) = ("kill".to_owned(), "all".to_owned());
            Figures::of(Row { fault, who, times: vec![pauses], full: 0, promise })
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
        let scale = Scale { nodes: 3, rooms: 1, clients: 2, sdk: 0, arenas: 0, faults: 1 };
        let clean = Report::new(scale, Sum { frames: 3_000, records: 7, ..Sum::default() });
        assert!(
            clean.is_clean() && clean.show().contains("0 of 3000 frames (fewer than 1.0e-3"),
            "{}",
            clean.show()
        );
        let wrong =
            Report::new(scale, Sum { frames: 3_000, violations: vec!["a lie".to_owned()], ..Sum::default() });
        assert!(
            !wrong.is_clean() && wrong.show().contains("VIOLATIONS: 1 in 3000 frames"),
            "{}",
            wrong.show()
        );
    }
}
