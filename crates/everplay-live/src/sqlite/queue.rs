//! What the writer thread is asked, and how it answers.
//!
//! callers -> [bounded queue] -> one group -> commit -> answers
//!
//! Invariant: every command that was taken in is answered or its answer is dropped (a panic of the writer), which
//! callers see as an unknown outcome. Nothing waits for room in the queue: beyond its bounds the answer is `Busy`.

use crate::rules::Batch;
use crate::{
    AppendError, ArbiterError, Chain, Grant, GrantError, Incarnation, Position, RegisterError, Registration,
    RoomError, SnapshotError, Unavailable,
};
use bytes::Bytes;
use everplay_types::{Epoch, RoomKey, Seq, Token};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Where an answer goes.
pub(super) type Answer<T, E> = oneshot::Sender<Result<T, E>>;

/// One thing to do, in order.
pub(super) enum Command {
    Append { room: RoomKey, batch: Batch, answer: Answer<Position, AppendError> },
    Register { registration: Registration, answer: Answer<Position, RegisterError> },
    Relist { room: RoomKey, token: Token, listing: Bytes, answer: Answer<(), RoomError> },
    Seal { room: RoomKey, token: Token, answer: Answer<Position, RoomError> },
    Snapshot(Upload),
    Publish { upload: Upload, read_back: Result<(), SnapshotError> },
    Truncate { room: RoomKey, token: Token, below: Seq, answer: Answer<Seq, RoomError> },
    Close { room: RoomKey, token: Token, answer: Answer<(), RoomError> },
    Quarantine { room: RoomKey, reason: Option<String>, answer: Answer<(), RoomError> },
    Grant { room: RoomKey, seen: Epoch, owner: Incarnation, answer: Answer<Token, GrantError> },
    Current { room: RoomKey, answer: Answer<Option<Grant>, ArbiterError> },
    Retire { room: RoomKey, token: Token, answer: Answer<(), ArbiterError> },
}

/// A snapshot on its way into the file.
pub(super) struct Upload {
    pub(super) room: RoomKey,
    pub(super) token: Token,
    pub(super) seq: Seq,
    pub(super) chain: Chain,
    /// Bytes of the image itself, for the size limit.
    pub(super) payload: usize,
    /// Framed.
    pub(super) frame: Arc<Vec<u8>>,
    pub(super) identity: Chain,
    /// Its first row in `parts`; 0 until the first part is written.
    pub(super) first: i64,
    /// Rows written.
    pub(super) parts: u32,
    /// Bytes of `frame` written.
    pub(super) offset: usize,
    pub(super) answer: Answer<(), SnapshotError>,
}

/// Why a command was not carried out, whatever it was.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// The disk is full; nothing was written.
    Full,
    /// The queue is full; nothing was written.
    Busy,
    /// It may have been written.
    Unknown,
    /// The store is broken.
    Unavailable(Unavailable),
}

macro_rules! from_failure {
    ($($error:ident),*) => {$(
        impl From<Failure> for $error {
            fn from(failure: Failure) -> Self {
                match failure {
                    Failure::Full => $error::Full,
                    Failure::Busy => $error::Busy,
                    Failure::Unknown => $error::Unknown,
                    Failure::Unavailable(why) => $error::Unavailable(why),
                }
            }
        }
    )*};
}

from_failure!(AppendError, RoomError);

impl From<Failure> for RegisterError {
    fn from(failure: Failure) -> Self {
        RegisterError::Refused(failure.into())
    }
}

impl From<Failure> for SnapshotError {
    fn from(failure: Failure) -> Self {
        SnapshotError::Refused(failure.into())
    }
}

impl From<Failure> for GrantError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Full => GrantError::Later { reason: "no space left" },
            Failure::Busy => GrantError::Later { reason: "the queue is full" },
            Failure::Unknown => GrantError::Unknown,
            Failure::Unavailable(why) => GrantError::Unavailable(why),
        }
    }
}

impl From<Failure> for ArbiterError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Full | Failure::Busy | Failure::Unknown => ArbiterError::Later,
            Failure::Unavailable(why) => ArbiterError::Unavailable(why),
        }
    }
}

/// An answer that is decided but not sent: it may depend on what the commit brings.
pub(super) struct Sent<T, E> {
    pub(super) to: Answer<T, E>,
    pub(super) outcome: Result<T, E>,
}

impl<T, E: From<Failure>> Sent<T, E> {
    fn finish(self, failure: Option<&Failure>) {
        let outcome = match failure {
            None => self.outcome,
            Some(failure) => Err(failure.clone().into()),
        };
        // A receiver that is gone is a cancelled call; the contract leaves its outcome open.
        let _ = self.to.send(outcome);
    }
}

/// A decided answer of any kind.
pub(super) enum Reply {
    Append(Sent<Position, AppendError>),
    Register(Sent<Position, RegisterError>),
    Position(Sent<Position, RoomError>),
    Done(Sent<(), RoomError>),
    Kept(Sent<Seq, RoomError>),
    Snapshot(Sent<(), SnapshotError>),
    Grant(Sent<Token, GrantError>),
    Current(Sent<Option<Grant>, ArbiterError>),
    Retire(Sent<(), ArbiterError>),
}

impl Reply {
    /// Sends what was decided, or the failure that overtook it.
    pub(super) fn finish(self, failure: Option<&Failure>) {
        match self {
            Reply::Append(sent) => sent.finish(failure),
            Reply::Register(sent) => sent.finish(failure),
            Reply::Position(sent) => sent.finish(failure),
            Reply::Done(sent) => sent.finish(failure),
            Reply::Kept(sent) => sent.finish(failure),
            Reply::Snapshot(sent) => sent.finish(failure),
            Reply::Grant(sent) => sent.finish(failure),
            Reply::Current(sent) => sent.finish(failure),
            Reply::Retire(sent) => sent.finish(failure),
        }
    }
}

impl Command {
    /// Answers without having done anything.
    pub(super) fn fail(self, failure: Failure) {
        fn no<T, E: From<Failure>>(answer: Answer<T, E>, failure: Failure) {
            let _ = answer.send(Err(failure.into()));
        }
        match self {
            Command::Append { answer, .. } => no(answer, failure),
            Command::Register { answer, .. } => no(answer, failure),
            Command::Relist { answer, .. }
            | Command::Close { answer, .. }
            | Command::Quarantine { answer, .. } => no(answer, failure),
            Command::Seal { answer, .. } => no(answer, failure),
            Command::Snapshot(upload) | Command::Publish { upload, .. } => no(upload.answer, failure),
            Command::Truncate { answer, .. } => no(answer, failure),
            Command::Grant { answer, .. } => no(answer, failure),
            Command::Current { answer, .. } => no(answer, failure),
            Command::Retire { answer, .. } => no(answer, failure),
        }
    }

    /// Bytes it holds in the queue.
    fn weight(&self) -> usize {
        match self {
            Command::Append { batch, .. } => batch.len(),
            Command::Snapshot(upload) => upload.frame.len(),
            Command::Register { registration, .. } => registration.listing.len(),
            Command::Relist { listing, .. } => listing.len(),
            Command::Publish { .. }
            | Command::Seal { .. }
            | Command::Truncate { .. }
            | Command::Close { .. }
            | Command::Quarantine { .. }
            | Command::Grant { .. }
            | Command::Current { .. }
            | Command::Retire { .. } => 0,
        }
    }
}

/// Bounds of the queue and of one group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) queue_commands: usize,
    pub(super) queue_bytes: usize,
    pub(super) group_commands: usize,
    pub(super) group_bytes: usize,
}

/// Commands on their way to the writer.
pub(super) struct Queue {
    bounds: Bounds,
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

/// Pause without a new command after which the queue counts as settled: two or three turns of rooms. Giving the processor
/// away is not enough, because the scheduler may give it back before anybody else had it.
const SETTLE_PAUSE: Duration = Duration::from_micros(50);
/// Pauses before a group is taken in any case.
const SETTLE_PAUSES: u32 = 40;

#[derive(Default)]
struct Waiting {
    commands: VecDeque<Command>,
    bytes: usize,
    end: Option<End>,
    /// Size of the last group, or half of what this was before it: one small group among large ones changes little.
    last: usize,
}

/// Why nothing more is taken in.
#[derive(Debug, Clone)]
enum End {
    /// The store is being dropped: finish what is queued.
    Closing,
    /// The storage failed: fail what is queued.
    Broken(Unavailable),
}

impl Queue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Queue { bounds, waiting: Mutex::default(), wake: Condvar::new() }
    }

    /// Takes a command in, or answers it at once. What the store asks of itself (`Publish`) is always taken.
    pub(super) fn push(&self, command: Command) {
        let mut waiting = self.waiting.lock();
        let weight = command.weight();
        let own = matches!(command, Command::Publish { .. });
        let room = own
            || waiting.commands.len() < self.bounds.queue_commands
                && waiting.bytes.saturating_add(weight) <= self.bounds.queue_bytes;
        let failure = match &waiting.end {
            Some(End::Broken(why)) => Some(Failure::Unavailable(why.clone())),
            Some(End::Closing) => Some(Failure::Unavailable(Unavailable::new("the store is closing"))),
            None if !room => Some(Failure::Busy),
            None => None,
        };
        if let Some(failure) = failure {
            drop(waiting);
            return command.fail(failure);
        }
        waiting.bytes += weight;
        waiting.commands.push_back(command);
        let first = waiting.commands.len() == 1;
        drop(waiting);
        if first {
            self.wake.notify_one();
        }
    }

    /// The next group: whatever queued while the last one was committed, up to the bounds of a group. Waits for the
    /// first command until `until` (`None`: without end). `alone`: at most one command, so that it stands or falls by
    /// itself. `None` when the store closes and nothing is left.
    pub(super) fn take(&self, until: Option<Instant>, alone: bool) -> Option<Vec<Command>> {
        let mut waiting = self.waiting.lock();
        let idle = waiting.commands.is_empty();
        while waiting.commands.is_empty() {
            if waiting.end.is_some() {
                return None;
            }
            let late = match until {
                None => {
                    self.wake.wait(&mut waiting);
                    false
                }
                Some(until) => self.wake.wait_until(&mut waiting, until).timed_out(),
            };
            if late {
                break;
            }
        }
        if idle {
            self.settle(&mut waiting);
        }
        let mut group = Vec::new();
        let mut bytes = 0;
        let commands = if alone { 1 } else { self.bounds.group_commands };
        while group.len() < commands && (bytes < self.bounds.group_bytes || group.is_empty()) {
            let Some(command) = waiting.commands.pop_front() else { break };
            let weight = command.weight();
            waiting.bytes -= weight;
            // A snapshot is written piece by piece over several groups, so it does not fill this one.
            bytes += if matches!(command, Command::Snapshot(_)) { 0 } else { weight };
            group.push(command);
        }
        waiting.last = group.len().max(waiting.last / 2);
        Some(group)
    }

    /// Lets those who are about to queue something do so: rooms step in the same moments, and the first of them woke
    /// this thread up. Waits as long as the queue grows. Where commands come one by one nobody is held up: then the last
    /// group was a single one, and the first look finds no other.
    fn settle(&self, waiting: &mut MutexGuard<'_, Waiting>) {
        for _ in 0..SETTLE_PAUSES {
            let before = waiting.commands.len();
            if waiting.last > 1 {
                MutexGuard::unlocked(waiting, || std::thread::sleep(SETTLE_PAUSE));
            } else {
                MutexGuard::unlocked(waiting, std::thread::yield_now);
            }
            let now = waiting.commands.len();
            if now == before || now >= self.bounds.group_commands {
                return;
            }
            // Not one by one after all.
            waiting.last = now;
        }
    }

    /// Bytes of snapshots under way that are allowed: as many as may wait in front.
    pub(super) fn upload_bytes(&self) -> usize {
        self.bounds.queue_bytes
    }

    /// Takes nothing more in; what is queued is still done.
    pub(super) fn close(&self) {
        self.waiting.lock().end.get_or_insert(End::Closing);
        self.wake.notify_one();
    }

    /// Takes nothing more in and fails what is queued.
    pub(super) fn poison(&self, why: &Unavailable) {
        let mut waiting = self.waiting.lock();
        waiting.end = Some(End::Broken(why.clone()));
        waiting.bytes = 0;
        let commands = std::mem::take(&mut waiting.commands);
        drop(waiting);
        self.wake.notify_one();
        for command in commands {
            command.fail(Failure::Unavailable(why.clone()));
        }
    }

    /// Why the store is broken, if it is.
    pub(super) fn broken(&self) -> Option<Unavailable> {
        match &self.waiting.lock().end {
            Some(End::Broken(why)) => Some(why.clone()),
            Some(End::Closing) | None => None,
        }
    }

    /// Commands waiting.
    pub(super) fn len(&self) -> usize {
        self.waiting.lock().commands.len()
    }
}
