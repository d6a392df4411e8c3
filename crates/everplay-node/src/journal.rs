use bytes::Bytes;
use everplay_live::{
    Append, AppendError, Appended, Limits, LiveStore, Pending, Position, Retry, Snapshot, SnapshotError,
};
use everplay_types::{RoomKey, Seq, Token};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// First pause before a refused batch is tried again; doubled up to [`RETRY_CAP`].
const RETRY_FIRST: Duration = Duration::from_millis(20);
/// Longest pause: a disk that has space again is noticed within a second.
const RETRY_CAP: Duration = Duration::from_secs(1);

/// One room's writer: at most one batch is on its way, what comes meanwhile makes the next one.
///
/// Invariant: a batch whose outcome is not known is repeated as it was; nothing else is ever written at its
/// positions. Group commit needs no timer: the batch in flight is the timer.
pub(crate) struct RoomJournal {
    store: Arc<dyn LiveStore>,
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
    answer: Option<Pending<Result<Appended, AppendError>>>,
    again_at: Option<Instant>,
    pause: Duration,
    /// Why it is being repeated.
    held_up: Option<&'static str>,
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
    Lost(AppendError),
}

impl RoomJournal {
    pub(crate) fn new(store: Arc<dyn LiveStore>, room: RoomKey, token: Token, at: Position) -> Self {
        Self {
            store,
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
        self.confirmed.last
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
        let answer = Some(self.store.append(append.clone()));
        self.flight =
            Some(Flight { append, bytes, answer, again_at: None, pause: RETRY_FIRST, held_up: None });
    }

    /// Waits for what comes first of the batch and the snapshot on their way. Never ends when there is neither.
    /// Cancel-safe: an answer that was not taken is waited for again.
    pub(crate) async fn news(&mut self) -> News {
        let answered = answer_of(&self.store, &mut self.flight);
        let published = snapshot_of(&mut self.publishing);
        tokio::select! {
            biased;
            result = answered => News::Answer(self.settle(result)),
            result = published => News::Published(self.truncate(result)),
        }
    }

    /// Waits for the batch on its way. Never ends when there is none. Cancel-safe.
    pub(crate) async fn answered(&mut self) -> Answer {
        let result = answer_of(&self.store, &mut self.flight).await;
        self.settle(result)
    }

    fn settle(&mut self, result: Result<Appended, AppendError>) -> Answer {
        let Some(flight) = &mut self.flight else { return Answer::Confirmed };
        match result {
            Ok(position) => {
                self.confirmed = position;
                self.flight = None;
                self.publish();
                self.submit();
                Answer::Confirmed
            }
            Err(error) if error.retry() != Retry::Never => {
                flight.answer = None;
                flight.again_at = Some(Instant::now() + flight.pause);
                flight.pause = (flight.pause * 2).min(RETRY_CAP);
                flight.held_up = Some(match error {
                    AppendError::Full => "the disk is full",
                    AppendError::Busy => "the journal is busy",
                    _ => "the journal does not answer",
                });
                Answer::HeldUp
            }
            Err(error) => Answer::Lost(error),
        }
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

/// The answer to the batch on its way, which is sent again first when it is time to.
async fn answer_of(store: &Arc<dyn LiveStore>, flight: &mut Option<Flight>) -> Result<Appended, AppendError> {
    let Some(flight) = flight else { return std::future::pending().await };
    if let Some(at) = flight.again_at {
        tokio::time::sleep_until(at).await;
        flight.again_at = None;
    }
    flight.answer.get_or_insert_with(|| store.append(flight.append.clone())).await
}

async fn snapshot_of(
    publishing: &mut Option<(Seq, Pending<Result<(), SnapshotError>>)>,
) -> Result<(), SnapshotError> {
    match publishing {
        Some((_, answer)) => answer.await,
        None => std::future::pending().await,
    }
}
