//! A lane: one queue, one batch in flight, and `WAIT` as the last word of each batch.
//!
//! Whatever queues while a batch is on its way is the next batch; there is no timer. All calls about a room go through
//! one lane, so they take effect in the order they were made. In a Cluster a batch is cut by server, one connection each.
//!
//! A call whose batch was lost is of unknown outcome, and so is every call about the same room that queued behind it:
//! run alone it would be refused as a gap, though repeating both in order succeeds.

use super::address::Host;
use super::link::{self, Topology};
use super::options::RedisOptions;
use everplay_types::RoomKey;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, Value};
use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Between attempts to reach a server.
const REST: Duration = Duration::from_millis(20);

/// How a call ended, before its words are read.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// Answered. `durable`: as many replicas confirmed as are asked for, or none are.
    Answered { value: Value, durable: bool },
    /// Done or not.
    Lost,
    /// Refused for want of memory or disk; not done.
    Full,
    /// Refused in a way that will not change.
    Failed(String),
}

/// A command and the slot of its keys.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) slot: u16,
    pub(super) command: Cmd,
}

/// Something that waits in a lane.
pub(super) struct Job {
    /// Whose order it keeps.
    pub(super) room: Option<RoomKey>,
    /// Must be durable before `call` is sent.
    pub(super) before: Vec<Call>,
    /// `None`: only waits until everything queued before it was answered.
    pub(super) call: Option<Call>,
    /// Counted against the bytes that may queue.
    pub(super) bytes: usize,
    pub(super) answer: Box<dyn FnOnce(Outcome) + Send>,
}

/// The end of a lane that takes jobs.
#[derive(Clone)]
pub(super) struct Entrance {
    jobs: mpsc::Sender<Job>,
    queued: Arc<AtomicUsize>,
    limit: usize,
}

impl Entrance {
    /// Queues the job, or drops it: the caller is then told `Busy`.
    pub(super) fn push(&self, job: Job) -> Result<(), Busy> {
        let bytes = job.bytes;
        if self.queued.fetch_add(bytes, Ordering::Relaxed) + bytes > self.limit {
            self.queued.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Busy);
        }
        self.jobs.try_send(job).map_err(|_| {
            self.queued.fetch_sub(bytes, Ordering::Relaxed);
            Busy
        })
    }
}

/// The queue is full.
#[derive(Debug)]
pub(super) struct Busy;

/// Starts a lane on the present runtime. It ends when the last entrance is dropped and the queue is empty.
pub(super) fn start(options: Arc<RedisOptions>, queued: Arc<AtomicUsize>) -> Entrance {
    let (jobs, queue) = mpsc::channel(options.queue);
    let limit = options.queue_bytes;
    let lane = Lane {
        options,
        queue,
        waiting: VecDeque::new(),
        queued: Arc::clone(&queued),
        topology: None,
        connections: HashMap::new(),
        complained: false,
    };
    tokio::spawn(lane.run());
    Entrance { jobs, queued, limit }
}

struct Lane {
    options: Arc<RedisOptions>,
    queue: mpsc::Receiver<Job>,
    /// Taken from the queue, not yet sent.
    waiting: VecDeque<Job>,
    queued: Arc<AtomicUsize>,
    topology: Option<Arc<Topology>>,
    /// By index of the topology's hosts.
    connections: HashMap<usize, MultiplexedConnection>,
    /// The same trouble is logged once.
    complained: bool,
}

/// How one server's share of a batch ended.
struct Share {
    host: usize,
    outcomes: Vec<(usize, Outcome)>,
    /// The connection, if it is still good.
    connection: Option<MultiplexedConnection>,
    /// The servers may have changed their parts.
    moved: bool,
    /// Why there was no connection.
    trouble: Option<link::LinkError>,
}

impl Lane {
    async fn run(mut self) {
        while let Some(batch) = self.next_batch().await {
            self.commit(batch).await;
        }
    }

    async fn next_batch(&mut self) -> Option<Vec<Job>> {
        if self.waiting.is_empty() {
            let job = self.queue.recv().await?;
            self.waiting.push_back(job);
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < self.options.batch_calls && bytes < self.options.batch_bytes {
            let Some(job) = self.waiting.pop_front().or_else(|| self.queue.try_recv().ok()) else { break };
            bytes += job.bytes;
            batch.push(job);
        }
        Some(batch)
    }

    fn answer(&self, job: Job, outcome: Outcome) {
        self.queued.fetch_sub(job.bytes, Ordering::Relaxed);
        (job.answer)(outcome);
    }

    /// Everything that was queued when a connection could not be made is of unknown outcome, so that its callers
    /// decide how long they wait.
    fn give_up(&mut self, batch: Vec<Job>) {
        self.drain();
        for job in batch.into_iter().chain(mem::take(&mut self.waiting)) {
            self.answer(job, Outcome::Lost);
        }
    }

    fn drain(&mut self) {
        while let Ok(job) = self.queue.try_recv() {
            self.waiting.push_back(job);
        }
    }

    async fn commit(&mut self, mut batch: Vec<Job>) {
        if self.topology.is_none() {
            match link::discover(&self.options).await {
                Ok(topology) => self.topology = Some(Arc::new(topology)),
                Err(error) => {
                    self.complain(&error);
                    // The next attempt comes with the next call; a short rest keeps eager callers from spinning.
                    tokio::time::sleep(REST).await;
                    return self.give_up(batch);
                }
            }
        }
        // Without a call a job only waits for its turn.
        let turn = Outcome::Answered { value: Value::Nil, durable: true };
        let mut outcomes: Vec<Option<Outcome>> =
            batch.iter().map(|job| job.call.is_none().then(|| turn.clone())).collect();
        let mut moved = false;
        let first: Vec<(usize, Call)> = batch
            .iter_mut()
            .enumerate()
            .flat_map(|(n, job)| mem::take(&mut job.before).into_iter().map(move |call| (n, call)))
            .collect();
        if !first.is_empty() {
            for (n, outcome) in self.send(first, &mut moved).await {
                match outcome {
                    Outcome::Answered { durable: true, .. } => {}
                    Outcome::Answered { durable: false, .. } => outcomes[n] = Some(Outcome::Lost),
                    other => outcomes[n] = Some(other),
                }
            }
        }
        let main: Vec<(usize, Call)> = batch
            .iter_mut()
            .enumerate()
            .filter(|(n, _)| outcomes[*n].is_none())
            .filter_map(|(n, job)| Some((n, job.call.take()?)))
            .collect();
        for (n, outcome) in self.send(main, &mut moved).await {
            outcomes[n] = Some(outcome);
        }
        if moved {
            self.forget();
        }
        self.deliver(batch, outcomes);
    }

    /// Gives each caller its answer, and those behind a failed call the same failure.
    fn deliver(&mut self, batch: Vec<Job>, outcomes: Vec<Option<Outcome>>) {
        let mut failed: HashMap<RoomKey, Outcome> = HashMap::new();
        for (job, outcome) in batch.into_iter().zip(outcomes) {
            let mut outcome = outcome.unwrap_or(Outcome::Lost);
            if let Some(room) = &job.room {
                if let (true, Some(failure)) = (is_gap(&outcome), failed.get(room)) {
                    outcome = failure.clone();
                }
                if matches!(outcome, Outcome::Lost | Outcome::Full) {
                    failed.entry(room.clone()).or_insert_with(|| outcome.clone());
                }
            }
            self.answer(job, outcome);
        }
        if failed.is_empty() {
            return;
        }
        self.drain();
        for job in mem::take(&mut self.waiting) {
            match job.room.as_ref().and_then(|room| failed.get(room)).cloned() {
                Some(failure) => self.answer(job, failure),
                None => self.waiting.push_back(job),
            }
        }
    }

    fn forget(&mut self) {
        self.topology = None;
        self.connections.clear();
    }

    /// The same trouble is logged once.
    fn complain(&mut self, error: &link::LinkError) {
        if !mem::replace(&mut self.complained, true) {
            tracing::warn!(%error, "no connection to the live store");
        }
    }

    /// Sends calls, each to its server, in order per server.
    async fn send(&mut self, calls: Vec<(usize, Call)>, moved: &mut bool) -> Vec<(usize, Outcome)> {
        let Some(topology) = self.topology.clone() else {
            return calls.into_iter().map(|(n, _)| (n, Outcome::Lost)).collect();
        };
        let mut shares: HashMap<usize, Vec<(usize, Cmd)>> = HashMap::new();
        for (n, call) in calls {
            shares.entry(topology.host_of(call.slot)).or_default().push((n, call.command));
        }
        let mut under_way = JoinSet::new();
        let mut done = Vec::new();
        let alone = shares.len() == 1;
        for (host, commands) in shares {
            let connection = self.connections.remove(&host);
            let address = topology.hosts[host].clone();
            let share = exchange(Arc::clone(&self.options), host, address, connection, commands);
            if alone {
                done.extend(self.settle(share.await, moved));
            } else {
                under_way.spawn(share);
            }
        }
        while let Some(share) = under_way.join_next().await {
            // A share that panicked leaves its calls without an outcome, and they are told that it is unknown.
            if let Ok(share) = share {
                done.extend(self.settle(share, moved));
            }
        }
        done
    }

    fn settle(&mut self, share: Share, moved: &mut bool) -> Vec<(usize, Outcome)> {
        *moved |= share.moved;
        match &share.trouble {
            Some(error) => self.complain(error),
            None if mem::replace(&mut self.complained, false) => tracing::info!("the live store is back"),
            None => {}
        }
        if let Some(connection) = share.connection {
            self.connections.insert(share.host, connection);
        }
        share.outcomes
    }
}

fn is_gap(outcome: &Outcome) -> bool {
    let Outcome::Answered { value: Value::Array(parts), .. } = outcome else { return false };
    matches!(parts.first(), Some(Value::BulkString(word)) if word == b"GAP")
}

/// One pipeline and its `WAIT`. Calls of functions that the server does not know are repeated once, in their order,
/// after the library was loaded: nothing of them was done.
///
/// Too few confirmations may mean that this server was replaced and does not know it yet: where the rooms are is then
/// asked again before the next batch.
async fn exchange(
    options: Arc<RedisOptions>,
    host: usize,
    address: Host,
    connection: Option<MultiplexedConnection>,
    commands: Vec<(usize, Cmd)>,
) -> Share {
    let mut connection = match connection {
        Some(connection) => connection,
        None => match link::open(&options, &address).await {
            Ok((connection, _)) => connection,
            Err(error) => {
                tokio::time::sleep(REST).await;
                let outcomes = commands.into_iter().map(|(n, _)| (n, Outcome::Lost)).collect();
                return Share { host, outcomes, connection: None, moved: true, trouble: Some(error) };
            }
        },
    };
    let mut outcomes = Vec::with_capacity(commands.len());
    let mut moved = false;
    let mut rest = commands;
    for attempt in 0..2 {
        let mut unknown = Vec::new();
        let Some((answers, durable)) = pipeline(&options, &mut connection, &rest).await else {
            outcomes.extend(rest.into_iter().map(|(n, _)| (n, Outcome::Lost)));
            return Share { host, outcomes, connection: None, moved: true, trouble: None };
        };
        moved |= !durable;
        for ((n, command), value) in rest.into_iter().zip(answers) {
            let outcome = match link::refusal(&value) {
                None => Outcome::Answered { value, durable },
                Some((_, text)) if text.contains("Function not found") => {
                    unknown.push((n, command));
                    continue;
                }
                Some((code, text)) => match code.as_str() {
                    "OOM" | "MISCONF" => Outcome::Full,
                    "READONLY" | "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "MOVED" | "ASK" | "TRYAGAIN" => {
                        moved = true;
                        Outcome::Lost
                    }
                    "NOREPLICAS" | "BUSY" => Outcome::Lost,
                    _ => Outcome::Failed(format!("{code} {text}")),
                },
            };
            outcomes.push((n, outcome));
        }
        rest = unknown;
        if rest.is_empty() {
            break;
        }
        let mut reload = Pipeline::new();
        reload.add_command(link::load_library());
        let loaded = link::exchange(&mut connection, &reload, 1).await;
        if attempt == 1 || !loaded.is_ok_and(|answers| link::library_loaded(&answers[0])) {
            outcomes.extend(mem::take(&mut rest).into_iter().map(|(n, _)| (n, Outcome::Lost)));
            moved = true;
            break;
        }
    }
    Share { host, outcomes, connection: Some(connection), moved, trouble: None }
}

/// The answers and whether enough replicas confirmed; `None` when the connection is not to be trusted any more.
async fn pipeline(
    options: &RedisOptions,
    connection: &mut MultiplexedConnection,
    commands: &[(usize, Cmd)],
) -> Option<(Vec<Value>, bool)> {
    let replicas = options.durability.replicas();
    let mut pipeline = Pipeline::with_capacity(commands.len() + 1);
    for (_, command) in commands {
        pipeline.add_command(command.clone());
    }
    if replicas > 0 {
        let limit = u64::try_from(options.wait_timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        pipeline.cmd("WAIT").arg(replicas).arg(limit);
    }
    let count = commands.len() + usize::from(replicas > 0);
    let mut answers = link::exchange(connection, &pipeline, count).await.ok()?;
    if replicas == 0 {
        return Some((answers, true));
    }
    let confirmed = answers.pop()?;
    let durable = matches!(confirmed, Value::Int(n) if n >= i64::from(replicas));
    Some((answers, durable))
}
