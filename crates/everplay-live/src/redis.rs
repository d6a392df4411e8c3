//! The live store of a cluster: rooms on Redis 7, Valkey or what speaks their protocol.
//!
//! ```text
//! caller -> lane (by slot; one batch in flight) -> FCALL ... FCALL WAIT n -> answers
//! ```
//!
//! What is checked, is checked inside the server by the functions of `library.lua`: token, position, chain, and that
//! the data set is still served by the server under which the owner sealed. Durable means what
//! [`RedisDurability`] says and `docs/stores.md` explains.
//!
//! Two calls do part of their work outside the room's lane, so that large transfers hold nobody up: `load` reads once
//! everything queued before it was answered; `publish_snapshot` writes and reads back first and takes effect when the
//! pointer is moved, so later calls about the room may be done before it.

mod address;
mod allowances;
mod checks;
mod keys;
mod lane;
mod link;
mod options;
mod reply;

pub use address::{AddressError, Discovery, Host, Login, RedisAddress};
pub use allowances::RedisAllowances;
pub use checks::{Notice, Unsafe};
pub use options::{Durability, RedisOptions};

use crate::record::{self, Chain, Damage, Kind, Record};
use crate::rules::Batch;
use crate::{
    Append, AppendError, Appended, Corruption, DirectoryEntry, Entry, LiveStore, LoadError, LoadedRoom,
    LoadedSnapshot, Pending, Position, RegisterError, Registration, RoomError, Snapshot, SnapshotError,
    Unavailable,
};
use ::redis::{Cmd, Value};
use bytes::Bytes;
use everplay_types::{CustomerId, Epoch, RoomId, RoomKey, Seq, Token};
use keys::Place;
use lane::{Call, Entrance, Job, Outcome};
use reply::{Answer, Verdict};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Heads read per batch when the directory is listed.
const HEADS_PER_BATCH: usize = 256;

/// A name without a head is taken out of the directory after this time, in seconds: no registration takes that long.
const ORPHAN_AGE: u32 = 3600;

/// Why a store was not opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RedisOpenError {
    /// A server must not keep rooms, or not in the durability asked for.
    #[error("{host}: {source}")]
    Unsafe {
        /// Which server.
        host: Host,
        /// Why.
        source: Unsafe,
    },
    /// A server, or the question where it is, did not answer as it must.
    #[error("{reason}")]
    Unreachable {
        /// Host and reason; no secret.
        reason: String,
    },
    /// Opened outside of a runtime.
    #[error("a runtime of tokio is needed")]
    NoRuntime,
}

impl From<link::LinkError> for RedisOpenError {
    fn from(error: link::LinkError) -> Self {
        match error {
            link::LinkError::Unsafe { host, source } => RedisOpenError::Unsafe { host, source },
            other => RedisOpenError::Unreachable { reason: other.to_string() },
        }
    }
}

/// A [`LiveStore`] on Redis. Clones share the connections; they close when the last one is dropped.
#[derive(Clone)]
pub struct RedisLiveStore {
    shared: Arc<Shared>,
}

struct Shared {
    options: Arc<RedisOptions>,
    notices: Vec<Notice>,
    runtime: Handle,
    /// Rooms by slot.
    lanes: Vec<Entrance>,
    /// Loads and lists.
    readers: Entrance,
    /// Snapshots' bytes.
    bulk: Entrance,
}

impl fmt::Debug for RedisLiveStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLiveStore").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl RedisLiveStore {
    /// Finds the servers, refuses those that must not keep rooms, loads the functions and starts the lanes on the
    /// present runtime. What the set-up does not promise is logged as warnings and told by [`Self::notices`].
    pub async fn open(options: RedisOptions) -> Result<RedisLiveStore, RedisOpenError> {
        let runtime = Handle::try_current().map_err(|_| RedisOpenError::NoRuntime)?;
        if options.address.tls {
            // Fails when one is installed already, and then that one serves.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let mut notices = Vec::new();
        for host in &link::discover(&options).await?.hosts {
            let (_, facts) = link::open(&options, host).await?;
            facts
                .replicated(options.durability)
                .map_err(|source| RedisOpenError::Unsafe { host: host.clone(), source })?;
            notices.extend(facts.notices(options.durability));
        }
        notices.sort();
        notices.dedup();
        for notice in &notices {
            tracing::warn!("live store on Redis: {notice}");
        }
        let options = Arc::new(options);
        let queued = Arc::new(AtomicUsize::new(0));
        let start = || lane::start(Arc::clone(&options), Arc::clone(&queued));
        let lanes = (0..options.lanes.max(1)).map(|_| start()).collect();
        let (readers, bulk) = (start(), start());
        let shared = Shared { options, notices, runtime, lanes, readers, bulk };
        Ok(RedisLiveStore { shared: Arc::new(shared) })
    }

    /// What this set-up does not promise, for status pages.
    pub fn notices(&self) -> &[Notice] {
        &self.shared.notices
    }
}

/// A function of the library and how many keys follow.
fn call(name: &str, keys: u8) -> Cmd {
    let mut command = Cmd::new();
    command.arg("FCALL").arg(keys::function(name)).arg(keys);
    command
}

impl Shared {
    fn place(&self, room: &RoomKey) -> Place {
        Place::of_room(&self.options.prefix, room)
    }

    fn lane(&self, slot: u16) -> &Entrance {
        &self.lanes[usize::from(slot) * self.lanes.len() / keys::SLOTS]
    }

    /// A function about a room: its name, its keys and whether replicas are waited for.
    fn function(&self, name: &str, place: &Place) -> Cmd {
        let mut command = call(name, 2);
        command.arg(place.head()).arg(place.journal()).arg(self.sync());
        command
    }

    fn sync(&self) -> &'static str {
        if self.options.durability.replicas() > 0 { "1" } else { "0" }
    }

    fn enlist(&self, name: &str, key: &str, member: &str) -> Cmd {
        let mut command = call(name, 1);
        command.arg(key).arg(self.sync()).arg(member);
        command
    }

    fn too_large(&self, bytes: usize) -> Option<(usize, usize)> {
        let limit = self.options.limits.listing;
        (bytes > limit).then_some((bytes, limit))
    }

    /// Sends a call through an entrance and waits for its outcome.
    async fn run(entrance: &Entrance, slot: u16, command: Cmd) -> Result<Outcome, lane::Busy> {
        let (answer, waiting) = oneshot::channel();
        let bytes = command.get_packed_command().len();
        let answer = Box::new(move |outcome| drop::<Result<_, _>>(answer.send(outcome)));
        let call = Some(Call { slot, command });
        entrance.push(Job { room: None, before: Vec::new(), call, bytes, answer })?;
        Ok(waiting.await.unwrap_or(Outcome::Lost))
    }
}

/// What every operation's error can say, so that one place sorts the answers.
trait Failure: Sized + Send + 'static {
    fn room(error: RoomError) -> Self;
    fn lost() -> Self;
}

impl Failure for RoomError {
    fn room(error: RoomError) -> Self {
        error
    }
    fn lost() -> Self {
        RoomError::Unknown
    }
}

impl Failure for RegisterError {
    fn room(error: RoomError) -> Self {
        error.into()
    }
    fn lost() -> Self {
        RoomError::Unknown.into()
    }
}

impl Failure for SnapshotError {
    fn room(error: RoomError) -> Self {
        error.into()
    }
    fn lost() -> Self {
        RoomError::Unknown.into()
    }
}

impl Failure for AppendError {
    fn room(error: RoomError) -> Self {
        match error {
            RoomError::Fenced { fence } => AppendError::Fenced { fence },
            RoomError::TooLarge { bytes, limit } => AppendError::TooLarge { bytes, limit },
            RoomError::Full => AppendError::Full,
            RoomError::Busy => AppendError::Busy,
            RoomError::Unknown => AppendError::Unknown,
            RoomError::NotFound => AppendError::NotFound,
            RoomError::Closed => AppendError::Closed,
            RoomError::Quarantined { reason } => AppendError::Quarantined { reason },
            RoomError::Unavailable(source) => AppendError::Unavailable(source),
        }
    }
    fn lost() -> Self {
        AppendError::Unknown
    }
}

/// Reads an outcome: the answer if it is durable, or why not. `size` is what a `LARGE` is about.
fn settle<E: Failure>(outcome: Outcome, size: Option<(usize, usize)>) -> Result<Answer, E> {
    let (value, durable) = match outcome {
        Outcome::Answered { value, durable } => (value, durable),
        Outcome::Lost => return Err(E::lost()),
        Outcome::Full => return Err(E::room(RoomError::Full)),
        Outcome::Failed(reason) => return Err(E::room(Unavailable::new(reason).into())),
    };
    match reply::read(value, size) {
        Ok(Verdict::Refused(error)) => Err(E::room(error)),
        // What is not durable yet must not be told: it may be gone after a failover.
        Ok(Verdict::Answer(_)) if !durable => Err(E::lost()),
        Ok(Verdict::Answer(answer)) => Ok(answer),
        Err(reason) => Err(E::room(Unavailable::new(reason).into())),
    }
}

fn strange<E: Failure>() -> E {
    E::room(Unavailable::new("the server's function answered strangely").into())
}

impl RedisLiveStore {
    /// Queues a call about a room in its lane; the returned future only waits.
    fn submit<T, E, F>(&self, room: RoomKey, before: Vec<Call>, call: Call, read: F) -> Pending<Result<T, E>>
    where
        T: Send + 'static,
        E: Failure,
        F: FnOnce(Outcome) -> Result<T, E> + Send + 'static,
    {
        let (answer, waiting) = oneshot::channel();
        let bytes = call.command.get_packed_command().len();
        let entrance = self.shared.lane(call.slot);
        // Nobody waits any more when sending fails: the call is then done or not, as the port says.
        let answer = Box::new(move |outcome| drop(answer.send(read(outcome))));
        let pushed = entrance.push(Job { room: Some(room), before, call: Some(call), bytes, answer });
        Box::pin(async move {
            match pushed {
                Ok(()) => waiting.await.unwrap_or_else(|_| Err(E::lost())),
                Err(lane::Busy) => Err(E::room(RoomError::Busy)),
            }
        })
    }

    /// A function whose success says no more than that.
    fn plain(
        &self,
        room: RoomKey,
        slot: u16,
        command: Cmd,
        size: Option<(usize, usize)>,
    ) -> Pending<Result<(), RoomError>> {
        self.submit(room, Vec::new(), Call { slot, command }, move |outcome| {
            match settle::<RoomError>(outcome, size)? {
                Answer::Done => Ok(()),
                _ => Err(strange()),
            }
        })
    }

    /// Reads once everything that was queued before in the slot's lane was answered. `busy`: its queue is full.
    fn after<T, E, F>(
        &self,
        slot: u16,
        busy: E,
        gone: E,
        read: impl FnOnce(Arc<Shared>) -> F + Send + 'static,
    ) -> Pending<Result<T, E>>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: Future<Output = Result<T, E>> + Send,
    {
        let (turn, my_turn) = oneshot::channel();
        let answer = Box::new(move |_| {
            // The task that waits ends only with its runtime.
            let _ = turn.send(());
        });
        let job = Job { room: None, before: Vec::new(), call: None, bytes: 0, answer };
        if self.shared.lane(slot).push(job).is_err() {
            return Box::pin(std::future::ready(Err(busy)));
        }
        let shared = Arc::clone(&self.shared);
        let work = async move {
            // Without an answer the lane is gone, and so is everything that queued before.
            let _ = my_turn.await;
            read(shared).await
        };
        self.spawn(work, gone)
    }

    /// Work of several steps, started now, whether or not the future is polled.
    fn spawn<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
        gone: E,
    ) -> Pending<Result<T, E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let task = self.shared.runtime.spawn(work);
        Box::pin(async move { task.await.unwrap_or(Err(gone)) })
    }
}

impl LiveStore for RedisLiveStore {
    fn register(&self, registration: Registration) -> Pending<Result<Position, RegisterError>> {
        let Registration { room, token, kind, listing } = registration;
        let shared = &self.shared;
        let place = shared.place(&room);
        let size = shared.too_large(listing.len().max(kind.len()));
        let mut command = shared.function("register", &place);
        command.arg(reply::token(token)).arg(Chain::start(&room).to_string()).arg(kind).arg(&listing[..]);
        command.arg(u8::from(size.is_some()));
        let mut before = Vec::new();
        if size.is_none() {
            let (slot, key) = keys::customers(&shared.options.prefix);
            before.push(Call { slot, command: shared.enlist("enlist", &key, &room.customer) });
            let (slot, key) = keys::directory(&shared.options.prefix, &room.customer);
            before.push(Call { slot, command: shared.enlist("enlist", &key, &room.room) });
        }
        let call = Call { slot: place.slot, command };
        self.submit(room, before, call, move |outcome| match settle::<RoomError>(outcome, size)? {
            Answer::At(position) => Ok(position),
            Answer::Exists(fence) => Err(RegisterError::Exists { fence }),
            _ => Err(strange()),
        })
    }

    fn relist(&self, room: RoomKey, token: Token, listing: Bytes) -> Pending<Result<(), RoomError>> {
        let place = self.shared.place(&room);
        let size = self.shared.too_large(listing.len());
        let mut command = self.shared.function("relist", &place);
        command.arg(reply::token(token));
        match size {
            None => command.arg(&listing[..]).arg(0),
            Some(_) => command.arg("").arg(1),
        };
        self.plain(room, place.slot, command, size)
    }

    fn append(&self, append: Append) -> Pending<Result<Appended, AppendError>> {
        let batch = Batch::encode(&append, &self.shared.options.limits);
        let room = append.room;
        let place = self.shared.place(&room);
        let before = batch.expected.0.checked_sub(1);
        let mut command = self.shared.function("append", &place);
        command
            .arg(reply::token(batch.token))
            // No journal ends before position 0, so nothing follows it there.
            .arg(before.map_or_else(|| "none".to_owned(), |before| reply::position(Seq(before))))
            .arg(batch.prev.to_string())
            .arg(batch.count)
            .arg(reply::position(batch.end.last))
            .arg(batch.end.chain.to_string())
            .arg(u8::from(batch.oversize.is_some()))
            .arg(reply::id_after(batch.end.last));
        for (n, record) in batch.records().enumerate() {
            command.arg(format!("{}-0", batch.expected.0.wrapping_add(n as u64))).arg(record);
        }
        let size = batch.oversize;
        let key = place.head();
        let call = Call { slot: place.slot, command };
        self.submit(room, Vec::new(), call, move |outcome| {
            if let Outcome::Failed(reason) = outcome {
                // The functions check before they write; what still fails is the journal itself.
                let damage = Damage::Unreadable { reason };
                return Err(AppendError::Corrupt(Corruption { file: key, table: "journal", row: 0, damage }));
            }
            match settle::<AppendError>(outcome, size)? {
                Answer::At(position) => Ok(position),
                Answer::Gap(Position { last, chain }) => Err(AppendError::Gap { have: last, chain }),
                _ => Err(strange()),
            }
        })
    }

    fn seal(&self, room: RoomKey, token: Token) -> Pending<Result<Position, RoomError>> {
        let place = self.shared.place(&room);
        let mut command = self.shared.function("seal", &place);
        command.arg(reply::token(token));
        let call = Call { slot: place.slot, command };
        self.submit(room, Vec::new(), call, |outcome| match settle::<RoomError>(outcome, None)? {
            Answer::At(position) => Ok(position),
            _ => Err(strange()),
        })
    }

    fn load(&self, room: RoomKey) -> Pending<Result<LoadedRoom, LoadError>> {
        let place = self.shared.place(&room);
        let gone = Unavailable::new("the runtime stopped").into();
        self.after(place.slot, LoadError::Busy, gone, |shared| shared.load(room, place))
    }

    fn publish_snapshot(&self, snapshot: Snapshot) -> Pending<Result<(), SnapshotError>> {
        let this = self.clone();
        self.spawn(async move { this.publish(snapshot).await }, SnapshotError::lost())
    }

    fn truncate(&self, room: RoomKey, token: Token, below: Seq) -> Pending<Result<Seq, RoomError>> {
        let place = self.shared.place(&room);
        let mut command = self.shared.function("truncate", &place);
        command.arg(reply::token(token)).arg(reply::position(below));
        let call = Call { slot: place.slot, command };
        self.submit(room, Vec::new(), call, |outcome| match settle::<RoomError>(outcome, None)? {
            Answer::Kept(seq) => Ok(seq),
            _ => Err(strange()),
        })
    }

    fn close(&self, room: RoomKey, token: Token) -> Pending<Result<(), RoomError>> {
        let place = self.shared.place(&room);
        let mut command = self.shared.function("close", &place);
        // Redis has no key that expires after no time; a thousandth of a second is as good.
        let retention = self.shared.options.retention.as_millis().max(1);
        command.arg(reply::token(token)).arg(u64::try_from(retention).unwrap_or(u64::MAX >> 1).to_string());
        let closing = self.plain(room.clone(), place.slot, command, None);
        let shared = Arc::clone(&self.shared);
        let work = async move {
            let closed = closing.await;
            if closed.is_ok() {
                // The head says that it is closed; a name left behind is passed over and taken out by the next list.
                shared.runtime.spawn(shared.clone().delist(room, 0));
            }
            closed
        };
        self.spawn(work, RoomError::Unknown)
    }

    fn list(&self, customer: Option<CustomerId>) -> Pending<Result<Vec<DirectoryEntry>, RoomError>> {
        let shared = Arc::clone(&self.shared);
        self.spawn(async move { shared.list(customer).await }, RoomError::Unknown)
    }

    fn find(&self, room: RoomKey) -> Pending<Result<Option<DirectoryEntry>, RoomError>> {
        let slot = self.shared.place(&room).slot;
        self.after(slot, RoomError::Busy, RoomError::Unknown, |shared| async move {
            match shared.head(room).await? {
                Some(reply::Listed::Open(entry)) => Ok(Some(entry)),
                Some(reply::Listed::Closed) | None => Ok(None),
            }
        })
    }

    fn quarantine(&self, room: RoomKey, reason: String) -> Pending<Result<(), RoomError>> {
        let place = self.shared.place(&room);
        let size = self.shared.too_large(reason.len());
        let mut command = self.shared.function("quarantine", &place);
        match size {
            None => command.arg(reason).arg(0),
            Some(_) => command.arg("").arg(1),
        };
        self.plain(room, place.slot, command, size)
    }

    fn lift_quarantine(&self, room: RoomKey) -> Pending<Result<(), RoomError>> {
        let place = self.shared.place(&room);
        let command = self.shared.function("lift", &place);
        self.plain(room, place.slot, command, None)
    }
}

impl RedisLiveStore {
    /// Aside, back, compared, visible.
    async fn publish(self, snapshot: Snapshot) -> Result<(), SnapshotError> {
        let shared = &self.shared;
        let Snapshot { room, token, seq, chain, bytes } = snapshot;
        let place = shared.place(&room);
        let limit = shared.options.limits.snapshot;
        let size = (bytes.len() > limit).then_some((bytes.len(), limit));
        let mut framed = Vec::new();
        if size.is_none() {
            let image = Record {
                kind: Kind::Snapshot,
                flags: 0,
                epoch: token.epoch,
                seq,
                prev: chain,
                payload: &bytes,
            };
            record::encode(&image, &mut framed);
        }
        let pointer = format!("{}:{chain}", reply::position(seq));
        let mut stage = call("stage", 3);
        stage.arg(place.head()).arg(place.journal()).arg(place.image(&pointer)).arg(shared.sync());
        let mut publish = shared.function("publish", &place);
        for command in [&mut stage, &mut publish] {
            command.arg(reply::token(token)).arg(reply::position(seq)).arg(chain.to_string());
            command.arg(reply::id_after(seq)).arg(&pointer);
        }
        stage.arg(u8::from(size.is_some())).arg(&framed);
        publish.arg(reply::position(Seq(seq.0.saturating_add(1))));
        let busy = |_| SnapshotError::from(RoomError::Busy);
        let staged = Shared::run(&shared.bulk, place.slot, stage).await.map_err(busy)?;
        match published(settle::<SnapshotError>(staged, size)?)? {
            Step::Already => return Ok(()),
            Step::Done => {}
        }
        let mut get = Cmd::new();
        get.arg("GET").arg(place.image(&pointer));
        let read = Shared::run(&shared.bulk, place.slot, get).await.map_err(busy)?;
        match read {
            Outcome::Answered { value: Value::BulkString(stored), .. } if stored == framed => {}
            Outcome::Answered { value, .. } => {
                let stored = if let Value::BulkString(stored) = value { stored } else { Vec::new() };
                let reason = "not what was written".to_owned();
                let damage = record::decode(&stored).err().unwrap_or(Damage::Unreadable { reason });
                let file = place.image(&pointer);
                return Err(SnapshotError::Corrupt(Corruption { file, table: "snapshots", row: 0, damage }));
            }
            other => return settle::<SnapshotError>(other, None).and(Err(strange())),
        }
        let call = Call { slot: place.slot, command: publish };
        let answer = self.submit(room, Vec::new(), call, |outcome| settle::<SnapshotError>(outcome, None));
        published(answer.await?).map(|_| ())
    }
}

enum Step {
    Done,
    Already,
}

fn published(answer: Answer) -> Result<Step, SnapshotError> {
    match answer {
        Answer::Done => Ok(Step::Done),
        Answer::Same => Ok(Step::Already),
        Answer::Stale(newest) => Err(SnapshotError::Stale { newest }),
        Answer::Future(have) => Err(SnapshotError::NotDurable { have }),
        // Another snapshot of the same owner was written aside in between; the caller may repeat this one.
        Answer::Gone => Err(RoomError::Busy.into()),
        _ => Err(strange()),
    }
}

impl Shared {
    async fn delist(self: Arc<Self>, room: RoomKey, age: u32) {
        let (slot, key) = keys::directory(&self.options.prefix, &room.customer);
        let mut command = self.enlist("delist", &key, &room.room);
        command.arg(age);
        // Left undone it is done by the next list.
        let _ = Shared::run(&self.readers, slot, command).await;
    }

    /// Asks until the servers answer: reading changes nothing, so it can be repeated.
    async fn load(self: Arc<Self>, room: RoomKey, place: Place) -> Result<LoadedRoom, LoadError> {
        let start = Instant::now();
        let mut passed_over = Vec::new();
        let mut which = "1";
        loop {
            let mut command = self.function("load", &place);
            command.arg(which);
            let outcome =
                Shared::run(&self.readers, place.slot, command).await.map_err(|_| LoadError::Busy)?;
            let stored = match settle::<RoomError>(outcome, None) {
                Ok(Answer::Loaded(stored)) => stored,
                Ok(_) => return Err(Unavailable::new("the server's function answered strangely").into()),
                Err(RoomError::NotFound) => return Err(LoadError::NotFound),
                Err(RoomError::Unavailable(source)) => return Err(source.into()),
                Err(error) if start.elapsed() > self.options.load_patience => {
                    let waited = start.elapsed().as_secs();
                    return Err(Unavailable::new(format!("not loaded for {waited} s: {error}")).into());
                }
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let next = match which {
                "1" if stored.older.is_some() => "0",
                "-" => "",
                _ => "-",
            };
            match assemble(&room, &place, stored, &mut passed_over)? {
                Some(mut loaded) => {
                    loaded.passed_over = passed_over;
                    return Ok(loaded);
                }
                None if next.is_empty() => {
                    let missing = Damage::Missing { seq: Seq(1) };
                    let here =
                        Corruption { file: place.journal(), table: "records", row: 0, damage: missing };
                    return Err(passed_over.into_iter().next().unwrap_or(here).into());
                }
                None => which = next,
            }
        }
    }

    /// Asks until the servers answer, as [`Self::load`] does. A queue that is full is not waited for.
    async fn look(&self, slot: u16, command: Cmd) -> Result<Answer, RoomError> {
        let start = Instant::now();
        loop {
            let outcome = Shared::run(&self.readers, slot, command.clone()).await;
            match settle::<RoomError>(outcome.map_err(|_| RoomError::Busy)?, None) {
                Err(RoomError::Unknown) if start.elapsed() < self.options.load_patience => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                settled => return settled,
            }
        }
    }

    async fn list(self: Arc<Self>, customer: Option<CustomerId>) -> Result<Vec<DirectoryEntry>, RoomError> {
        let prefix = &self.options.prefix;
        let customers = match customer {
            Some(customer) => vec![customer],
            None => {
                let (slot, key) = keys::customers(prefix);
                let names = self.members(slot, &key).await?;
                names.into_iter().filter_map(|name| CustomerId::new(name).ok()).collect()
            }
        };
        let mut rooms = Vec::new();
        for customer in customers {
            let (slot, key) = keys::directory(prefix, &customer);
            for name in self.members(slot, &key).await? {
                if let Ok(room) = RoomId::new(name) {
                    rooms.push(RoomKey { customer: customer.clone(), room });
                }
            }
        }
        rooms.sort();
        let mut entries = Vec::new();
        for chunk in rooms.chunks(HEADS_PER_BATCH) {
            // Queued together, so that they travel together.
            let heads: Vec<_> =
                chunk.iter().map(|room| tokio::spawn(Arc::clone(&self).head(room.clone()))).collect();
            for (room, head) in chunk.iter().zip(heads) {
                match head.await.unwrap_or(Err(RoomError::Unknown))? {
                    Some(reply::Listed::Open(entry)) => entries.push(entry),
                    Some(reply::Listed::Closed) => self.clone().delist(room.clone(), 0).await,
                    None => self.clone().delist(room.clone(), ORPHAN_AGE).await,
                }
            }
        }
        Ok(entries)
    }

    async fn members(&self, slot: u16, key: &str) -> Result<Vec<String>, RoomError> {
        let mut command = call("members", 1);
        command.arg(key).arg(self.sync());
        match self.look(slot, command).await? {
            Answer::Names(names) => Ok(names),
            _ => Err(strange()),
        }
    }

    async fn head(self: Arc<Self>, room: RoomKey) -> Result<Option<reply::Listed>, RoomError> {
        let place = self.place(&room);
        let command = self.function("head", &place);
        match self.look(place.slot, command).await {
            Ok(Answer::Head(head)) => Ok(Some(head.of(room))),
            Ok(_) => Err(strange()),
            Err(RoomError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Verifies what was read. `None` when the image is damaged or missing and another look may find an older one.
fn assemble(
    room: &RoomKey,
    place: &Place,
    stored: reply::Stored,
    passed_over: &mut Vec<Corruption>,
) -> Result<Option<LoadedRoom>, Corruption> {
    let at = |file: String, table, row: u64, damage| Corruption {
        file,
        table,
        row: i64::try_from(row).unwrap_or(i64::MAX),
        damage,
    };
    let (mut snapshot, mut seq, mut chain) = (None, Seq::ZERO, Chain::start(room));
    if let Some((pointer, published)) = &stored.pointer {
        let damage = match record::decode(&stored.image) {
            Ok(read) if read.kind != Kind::Snapshot => Damage::Kind { found: read.kind as u8 },
            Ok(read) if read.seq != *published => Damage::Sequence { expected: *published, found: read.seq },
            Ok(read) => {
                let bytes = Bytes::copy_from_slice(read.payload);
                snapshot = Some(LoadedSnapshot { seq: read.seq, chain: read.prev, bytes });
                (seq, chain) = (read.seq, read.prev);
                Damage::Missing { seq: read.seq }
            }
            Err(damage) => damage,
        };
        if snapshot.is_none() {
            passed_over.push(at(place.image(pointer), "snapshots", published.0, damage));
            return Ok(None);
        }
    }
    let mut epoch = Epoch::NONE;
    let mut tail = Vec::with_capacity(stored.records.len());
    for bytes in &stored.records {
        seq = seq.next();
        let chained = record::chained(bytes, seq, chain, epoch);
        if snapshot.is_none() && tail.is_empty() && matches!(chained, Err(Damage::Sequence { .. })) {
            // The beginning was dropped, so only an image could help.
            return Ok(None);
        }
        let (record, next) = chained.map_err(|damage| at(place.journal(), "records", seq.0, damage))?;
        (chain, epoch) = (next, record.epoch);
        tail.push(Entry { seq, epoch, payload: Bytes::copy_from_slice(record.payload) });
    }
    let position = Position { last: seq, chain };
    if position.last != stored.end.last {
        let damage = Damage::Missing { seq: seq.next() };
        return Err(at(place.journal(), "records", seq.0, damage));
    }
    if chain != stored.end.chain {
        let damage = Damage::Chain { expected: stored.end.chain, found: chain };
        return Err(at(place.journal(), "records", seq.0, damage));
    }
    Ok(Some(LoadedRoom { snapshot, tail, position, fence: stored.fence, passed_over: Vec::new() }))
}
