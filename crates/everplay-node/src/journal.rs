//! One room's way into its journal.
//!
//! ```text
//! push -> waiting -> submit -> append -> Ok ------------------------------------> Confirmed
//!                              ^  |  '-> full, busy, unknown: the same again --> HeldUp
//!                              |  '----> fenced by our own token or an older one
//!                              '--- seal again <- still granted? <-'
//! ```
//!
//! A store that failed over does not know who may write until the owner has sealed again. The arbiter is asked first:
//! only the grant in force seals. What the journal then holds decides: at least everything that was confirmed, and the
//! identical batch is repeated; less, and the store has broken its word, which nothing here can mend.
//!
//! Invariant: a batch whose outcome is not known is repeated as it was; nothing else is ever written at its positions.
//! Group commit needs no timer: the batch in flight is the timer.

#[cfg(test)]
mod tests;

use crate::planted::{self, Bug};
use bytes::Bytes;
use everplay_live::{
    Append, AppendError, Appended, Arbiter, ArbiterError, Grant, Limits, LiveStore, Pending, Position, Retry,
    RoomError, Snapshot, SnapshotError,
};
use everplay_types::{RoomKey, Seq, Token};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// First pause before a refused batch is tried again; doubled up to [`RETRY_CAP`].
const RETRY_FIRST: Duration = Duration::from_millis(20);
/// Longest pause: a disk that has space again is noticed within a second.
const RETRY_CAP: Duration = Duration::from_secs(1);
/// Longest pause while nobody answers: the end of a failover is noticed soon, and asking a store that is away costs it
/// nothing.
const SILENCE_CAP: Duration = Duration::from_millis(100);

/// Why a room stands still while the store does not say what became of its batch.
const SILENT: &str = "the journal does not answer";
/// Why it does while its store is taken over by another server.
const CHANGED: &str = "the store changed hands";

/// One room's writer: at most one batch is on its way, what comes meanwhile makes the next one.
pub(crate) struct RoomJournal {
    store: Arc<dyn LiveStore>,
    arbiter: Arc<dyn Arbiter>,
    room: RoomKey,
    token: Token,
    confirmed: Position,
    assigned: Seq,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
    flight: Option<Flight>,
    image: Option<(Seq, Bytes)>,
    publishing: Option<(Seq, Pending<Result<(), SnapshotError>>)>,
}

struct Flight {
    append: Append,
    bytes: usize,
    call: Call,
    again_at: Option<Instant>,
    pause: Duration,
    /// Sealed again on its behalf.
    sealed_again: bool,
    /// Why it is being repeated.
    held_up: Option<&'static str>,
}

/// What is asked on behalf of the batch on its way; `None` until it is time to ask (again).
enum Call {
    Append(Option<Pending<Result<Appended, AppendError>>>),
    /// Whether the room is still granted to this owner.
    Grant(Option<Pending<Result<Option<Grant>, ArbiterError>>>),
    Seal(Option<Pending<Result<Position, RoomError>>>),
}

/// The answer to a [`Call`].
enum Heard {
    Append(Result<Appended, AppendError>),
    Grant(Result<Option<Grant>, ArbiterError>),
    Seal(Result<Position, RoomError>),
}

/// What the store has to say.
pub(crate) enum News {
    /// About the batch on its way.
    Answer(Answer),
    /// About the snapshot on its way.
    Published(Result<(), SnapshotError>),
}

/// What an answer of the store means for the room.
pub(crate) enum Answer {
    /// The journal is durable up to [`RoomJournal::durable`].
    Confirmed,
    /// Nothing was written, or nobody knows; it is tried again.
    HeldUp,
    /// The room is not ours to write any more, or cannot be written.
    Lost(Loss),
}

/// Why a room's journal is lost to its owner.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Loss {
    /// Another owner was granted the room: it lives elsewhere, or will in a moment.
    #[error("the room was granted to another owner")]
    Moved,
    /// The store does not have what it confirmed. Clients may have seen what is gone.
    #[error("the store lost confirmed records: the journal ends at {have}, confirmed was {confirmed}")]
    Forgotten {
        /// Where the journal ends now.
        have: Seq,
        /// Up to where it was durable.
        confirmed: Seq,
    },
    /// The store will not take the records.
    #[error(transparent)]
    Refused(AppendError),
}

impl From<RoomError> for Loss {
    fn from(error: RoomError) -> Self {
        Loss::Refused(match error {
            RoomError::Fenced { fence } => AppendError::Fenced { fence },
            RoomError::TooLarge { bytes, limit } => AppendError::TooLarge { bytes, limit },
            RoomError::Full => AppendError::Full,
            RoomError::Busy => AppendError::Busy,
            RoomError::Unknown => AppendError::Unknown,
            RoomError::NotFound => AppendError::NotFound,
            RoomError::Closed => AppendError::Closed,
            RoomError::Quarantined { reason } => AppendError::Quarantined { reason },
            RoomError::Unavailable(source) => AppendError::Unavailable(source),
        })
    }
}

impl RoomJournal {
    pub(crate) fn new(
        store: Arc<dyn LiveStore>,
        arbiter: Arc<dyn Arbiter>,
        room: RoomKey,
        token: Token,
        at: Position,
    ) -> Self {
        Self {
            store,
            arbiter,
            room,
            token,
            confirmed: at,
            assigned: at.last,
            waiting: Vec::new(),
            waiting_bytes: 0,
            flight: None,
            image: None,
            publishing: None,
        }
    }

    pub(crate) fn token(&self) -> Token {
        self.token
    }

    pub(crate) fn durable(&self) -> Seq {
        if planted::is(Bug::UnknownIsDone) && self.held_up().is_some() {
            return self.assigned;
        }
        self.confirmed.last
    }

    /// Where the journal ends, as far as it is durable.
    pub(crate) fn position(&self) -> Position {
        self.confirmed
    }

    /// The position of the newest record handed in.
    pub(crate) fn assigned(&self) -> Seq {
        self.assigned
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.flight.is_none() && self.waiting.is_empty()
    }

    pub(crate) fn is_publishing(&self) -> bool {
        self.image.is_some() || self.publishing.is_some()
    }

    /// Bytes handed in and not yet confirmed.
    pub(crate) fn unconfirmed_bytes(&self) -> usize {
        self.waiting_bytes + self.flight.as_ref().map_or(0, |flight| flight.bytes)
    }

    /// Why the journal does not advance, when the store said so.
    pub(crate) fn held_up(&self) -> Option<&'static str> {
        self.flight.as_ref().and_then(|flight| flight.held_up)
    }

    /// Takes one record; its position is the answer.
    pub(crate) fn push(&mut self, payload: Bytes) -> Seq {
        self.assigned = self.assigned.next();
        self.waiting_bytes += payload.len();
        self.waiting.push(payload);
        self.assigned
    }

    /// Takes an image of the room at the newest record, published once that record is durable.
    pub(crate) fn image(&mut self, bytes: Bytes) {
        self.image = Some((self.assigned, bytes));
    }

    /// Sends what waits, unless a batch is on its way already.
    pub(crate) fn submit(&mut self) {
        if self.flight.is_some() || self.waiting.is_empty() {
            return;
        }
        let limits = Limits::default();
        // A batch ends where the image stands, so that its answer carries the chain there.
        let image_at = self.image.as_ref().map_or(u64::MAX, |(seq, _)| seq.0);
        let until_image =
            usize::try_from(image_at.saturating_sub(self.confirmed.last.0)).unwrap_or(usize::MAX);
        let mut count = 0;
        let mut bytes = 0;
        for payload in self.waiting.iter().take(limits.records.min(until_image)) {
            if count > 0 && bytes + payload.len() > limits.batch {
                break;
            }
            count += 1;
            bytes += payload.len();
        }
        let payloads: Vec<Bytes> = self.waiting.drain(..count).collect();
        self.waiting_bytes -= bytes;
        let append = Append {
            room: self.room.clone(),
            token: self.token,
            expected: self.confirmed.last.next(),
            prev: self.confirmed.chain,
            payloads,
        };
        let call = Call::Append(Some(self.store.append(append.clone())));
        let (again_at, pause, sealed_again, held_up) = (None, RETRY_FIRST, false, None);
        self.flight = Some(Flight { append, bytes, call, again_at, pause, sealed_again, held_up });
    }

    /// Waits for what comes first of the batch and the snapshot on their way. Never ends when there is neither.
    /// Cancel-safe: an answer that was not taken is waited for again.
    pub(crate) async fn news(&mut self) -> News {
        let answered = answer_of(&self.store, &self.arbiter, &mut self.flight);
        let published = snapshot_of(&mut self.publishing);
        tokio::select! {
            biased;
            heard = answered => News::Answer(self.settle(heard)),
            result = published => News::Published(self.truncate(result)),
        }
    }

    /// Waits for the batch on its way. Never ends when there is none. Cancel-safe.
    pub(crate) async fn answered(&mut self) -> Answer {
        let heard = answer_of(&self.store, &self.arbiter, &mut self.flight).await;
        self.settle(heard)
    }

    fn settle(&mut self, heard: Heard) -> Answer {
        match heard {
            Heard::Append(result) => self.appended(result),
            Heard::Grant(result) => self.granted(result),
            Heard::Seal(result) => self.sealed(result),
        }
    }

    fn appended(&mut self, result: Result<Appended, AppendError>) -> Answer {
        match result {
            Ok(position) => {
                self.confirmed = position;
                self.flight = None;
                self.publish();
                self.submit();
                Answer::Confirmed
            }
            Err(AppendError::Full) => self.hold_up(Call::Append(None), "the disk is full", RETRY_CAP),
            Err(AppendError::Busy) => self.hold_up(Call::Append(None), "the journal is busy", RETRY_CAP),
            Err(AppendError::Unknown) => self.hold_up(Call::Append(None), SILENT, SILENCE_CAP),
            Err(AppendError::Fenced { fence }) if fence > self.token => Answer::Lost(Loss::Moved),
            // Nobody newer has sealed: the store does not know what this owner did.
            Err(AppendError::Fenced { .. }) => match &self.flight {
                // And again: it changes hands faster than it is asked.
                Some(flight) if flight.sealed_again => self.hold_up(Call::Grant(None), CHANGED, SILENCE_CAP),
                _ => self.go_on(Call::Grant(None)),
            },
            Err(AppendError::Gap { have, .. }) if have < self.confirmed.last => self.forgotten(have),
            Err(AppendError::NotFound) => self.forgotten(Seq::ZERO),
            Err(error) => Answer::Lost(Loss::Refused(error)),
        }
    }

    fn granted(&mut self, result: Result<Option<Grant>, ArbiterError>) -> Answer {
        match result {
            Ok(Some(grant)) if grant.token == self.token => self.go_on(Call::Seal(None)),
            Ok(_) => Answer::Lost(Loss::Moved),
            Err(_) => self.hold_up(Call::Grant(None), "the arbiter does not answer", SILENCE_CAP),
        }
    }

    fn sealed(&mut self, result: Result<Position, RoomError>) -> Answer {
        match result {
            Ok(at) if at.last < self.confirmed.last => self.forgotten(at.last),
            Ok(at) if at.last == self.confirmed.last && at.chain != self.confirmed.chain => {
                self.forgotten(at.last)
            }
            Ok(_) => {
                tracing::info!(room.id = %self.room.room, "the store changed hands; the journal is sealed again");
                self.flight.iter_mut().for_each(|flight| flight.sealed_again = true);
                self.go_on(Call::Append(None))
            }
            Err(error) if error.retry() != Retry::Never => {
                self.hold_up(Call::Seal(None), SILENT, SILENCE_CAP)
            }
            Err(RoomError::Fenced { .. }) => Answer::Lost(Loss::Moved),
            Err(RoomError::NotFound) => self.forgotten(Seq::ZERO),
            Err(error) => Answer::Lost(error.into()),
        }
    }

    fn forgotten(&self, have: Seq) -> Answer {
        Answer::Lost(Loss::Forgotten { have, confirmed: self.confirmed.last })
    }

    /// Makes the next call at once, on the way back from a failover of the store.
    fn go_on(&mut self, call: Call) -> Answer {
        if let Some(flight) = &mut self.flight {
            (flight.call, flight.again_at) = (call, None);
            flight.held_up = Some(CHANGED);
        }
        Answer::HeldUp
    }

    /// Makes the call after a pause, at most `cap` long.
    fn hold_up(&mut self, call: Call, why: &'static str, cap: Duration) -> Answer {
        if let Some(flight) = &mut self.flight {
            flight.call = call;
            flight.again_at = Some(Instant::now() + flight.pause);
            flight.pause = (flight.pause * 2).min(cap);
            flight.held_up = Some(why);
        }
        Answer::HeldUp
    }

    fn publish(&mut self) {
        if self.publishing.is_some() || self.image.as_ref().is_none_or(|(seq, _)| *seq != self.confirmed.last)
        {
            return;
        }
        let Some((seq, bytes)) = self.image.take() else { return };
        let snapshot =
            Snapshot { room: self.room.clone(), token: self.token, seq, chain: self.confirmed.chain, bytes };
        self.publishing = Some((seq, self.store.publish_snapshot(snapshot)));
    }

    /// Lets the store drop what a published snapshot made needless.
    fn truncate(&mut self, published: Result<(), SnapshotError>) -> Result<(), SnapshotError> {
        if let (Some((seq, _)), Ok(())) = (self.publishing.take(), &published) {
            // Queued when the call returns; a lost answer costs space, not data.
            drop(self.store.truncate(self.room.clone(), self.token, seq));
        }
        published
    }

    /// The image is taken where nothing waits: publish it at once.
    pub(crate) fn publish_if_settled(&mut self) {
        if self.is_settled() {
            self.publish();
        }
    }
}

/// What is heard about the batch on its way, after it was asked (again) when it is time to.
async fn answer_of(
    store: &Arc<dyn LiveStore>,
    arbiter: &Arc<dyn Arbiter>,
    flight: &mut Option<Flight>,
) -> Heard {
    let Some(flight) = flight else { return std::future::pending().await };
    if let Some(at) = flight.again_at {
        tokio::time::sleep_until(at).await;
        flight.again_at = None;
    }
    let Append { room, token, .. } = &flight.append;
    match &mut flight.call {
        Call::Append(answer) => {
            Heard::Append(answer.get_or_insert_with(|| store.append(flight.append.clone())).await)
        }
        Call::Grant(answer) => {
            Heard::Grant(answer.get_or_insert_with(|| arbiter.current(room.clone())).await)
        }
        Call::Seal(answer) => {
            Heard::Seal(answer.get_or_insert_with(|| store.seal(room.clone(), *token)).await)
        }
    }
}

async fn snapshot_of(
    publishing: &mut Option<(Seq, Pending<Result<(), SnapshotError>>)>,
) -> Result<(), SnapshotError> {
    match publishing {
        Some((_, answer)) => answer.await,
        None => std::future::pending().await,
    }
}
