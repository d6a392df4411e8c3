//! Where things were a moment ago, so that an action is judged by what its player saw.
//!
//! ```text
//! each step: record(now, places) -> [frames of the last moments]
//! an input:  behind(now, render_time) -> how late its client drew the others, bounded
//! a shot:    at(now - behind).place(key) -> where that was then, between two frames
//! ```
//!
//! A client draws others late: by the way its patches took, and by what it holds back to draw them smoothly. Whoever
//! aims at what is drawn misses what is there. [`InputMeta::render_time`](crate::InputMeta::render_time) says which
//! moment was drawn, in the room's time, which is that of the steps recorded here.
//!
//! Always holds: frames are in order of time and reach back no further than the reach asks for; nothing is rewound
//! beyond the reach, whatever a client claims, nor into the future. It is a cache: keep it in a field that is
//! `#[state(skip)]`. After a restart it is empty, and everything is where it is now.

use everplay_types::Millis;
use std::collections::VecDeque;
use std::time::Duration;

/// The places of the things `K` over the last moments.
#[derive(Debug, Clone)]
pub struct Rewind<K, P> {
    reach: Duration,
    /// Oldest first; one frame at most is older than the reach, to have something to interpolate from.
    frames: VecDeque<Frame<K, P>>,
}

#[derive(Debug, Clone)]
struct Frame<K, P> {
    time: Millis,
    /// In order of the keys.
    places: Vec<(K, P)>,
}

/// A place that something passes through on its way to another.
pub trait Place: Clone {
    /// Between `self` and `later`: `part` is 0 at `self`, 1 at `later`. Worlds without edges go the short way round.
    fn between(&self, later: &Self, part: f32) -> Self;
}

impl Place for f32 {
    fn between(&self, later: &Self, part: f32) -> Self {
        self + (later - self) * part
    }
}

impl<const N: usize> Place for [f32; N] {
    fn between(&self, later: &Self, part: f32) -> Self {
        std::array::from_fn(|axis| self[axis].between(&later[axis], part))
    }
}

/// Room enough for 100 ms of latency each way and as much of smoothing, and a bound to how long somebody who took
/// cover is still hit.
const USUAL_REACH: Duration = Duration::from_millis(250);

impl<K: Ord, P: Place> Default for Rewind<K, P> {
    /// With a reach of 250 ms.
    fn default() -> Self {
        Self::new(USUAL_REACH)
    }
}

impl<K: Ord, P: Place> Rewind<K, P> {
    /// Rewinds by `reach` at most.
    pub fn new(reach: Duration) -> Self {
        Self { reach, frames: VecDeque::new() }
    }

    /// Remembers where everything is now: what patches of this moment show. Call it once per step, after things moved.
    /// A thing that is not among the places is not there.
    pub fn record(&mut self, now: Millis, places: impl IntoIterator<Item = (K, P)>) {
        // Steps that are caught up share a moment; clients are shown the last of them. Time does not go back.
        while self.frames.back().is_some_and(|last| last.time >= now) {
            self.frames.pop_back();
        }
        let oldest = now - self.reach;
        let mut kept = Vec::new();
        while self.frames.get(1).is_some_and(|second| second.time <= oldest) {
            kept = self.frames.pop_front().map(|frame| frame.places).unwrap_or_default();
        }
        kept.clear();
        kept.extend(places);
        kept.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        self.frames.push_back(Frame { time: now, places: kept });
    }

    /// How far behind `now` a client drew the others; at most the reach. Zero without a render time, which is what
    /// clients send before they know the room's time.
    pub fn behind(&self, now: Millis, render_time: Option<Millis>) -> Duration {
        let drawn = render_time.filter(|time| *time > Millis::ZERO);
        drawn.map_or(Duration::ZERO, |time| now.since(time)).min(self.reach)
    }

    /// A moment of the past: no further back than the reach, and no later than the last record.
    pub fn at(&self, time: Millis) -> Moment<'_, K, P> {
        let Some(last) = self.frames.back() else { return Moment { between: None } };
        let time = time.clamp(last.time - self.reach, last.time);
        let later = self.frames.partition_point(|frame| frame.time < time).min(self.frames.len() - 1);
        let after = &self.frames[later];
        let before = later.checked_sub(1).map_or(after, |earlier| &self.frames[earlier]);
        let span = after.time.since(before.time).as_secs_f32();
        let part = if span > 0.0 { (time.since(before.time).as_secs_f32() / span).min(1.0) } else { 1.0 };
        Moment { between: Some(Between { before, after, part }) }
    }
}

/// Where things were at one moment.
#[derive(Debug)]
pub struct Moment<'a, K, P> {
    /// None: nothing is remembered.
    between: Option<Between<'a, K, P>>,
}

#[derive(Debug)]
struct Between<'a, K, P> {
    before: &'a Frame<K, P>,
    after: &'a Frame<K, P>,
    part: f32,
}

impl<K: Ord, P: Place> Moment<'_, K, P> {
    /// Where it was; None: it was not there yet, or nothing is remembered of that moment.
    pub fn place(&self, key: &K) -> Option<P> {
        let Between { before, after, part } = self.between.as_ref()?;
        match (before.place(key), after.place(key)) {
            (Some(from), Some(to)) => Some(from.between(to, *part)),
            // It went in between; until then it was to be seen.
            (Some(from), None) => Some(from.clone()),
            (None, Some(to)) => (*part >= 1.0).then(|| to.clone()),
            (None, None) => None,
        }
    }
}

impl<K: Ord, P> Frame<K, P> {
    fn place(&self, key: &K) -> Option<&P> {
        let at = self.places.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
        Some(&self.places[at].1)
    }
}

#[cfg(test)]
mod tests;
