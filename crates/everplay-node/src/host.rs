//! Runs one room.
//!
//! ```text
//! mailbox -> turn: inputs, then what is due -> Step
//!              record -> journal        out, listing -> gate -> (durable) -> sockets, registry
//! journal refuses -> the room is given up        disk full, backlog -> the room pauses
//! panic -> revive: image dropped, journal read, the same inputs once more -> goes on, or the room is closed
//! ```
//!
//! Invariant: a position of the journal is computed once. Whatever was not seen when the engine fell is
//! forgotten with it.

mod revive;

pub(crate) use revive::panic_message;

use crate::clock::RoomClock;
use crate::gate::{Batch, Gate};
use crate::journal::{Answer, Loss, News, RoomJournal};
use crate::link::ClientSink;
use crate::metrics as names;
use crate::node::Node;
use crate::registry::RoomEntry;
use bytes::Bytes;
use everplay_live::Position;
use everplay_room::{
    ConnId, Connect, Durability, FrameKind, Input, Out, Recipients, Reply, RoomEngine, RoomKind, Step,
    Ticket, marker,
};
use everplay_types::{CloseCode, Epoch, Millis, Seq, SessionId, Token};
use everplay_wire::{msgpack, server_frame};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Inputs taken from the mailbox in one turn: enough to share one patch and one commit among a burst, few enough
/// that a tick is not late.
const INPUTS_PER_TURN: usize = 256;

/// What the rest of the node asks of a room.
pub(crate) enum Command {
    Input(Input),
    Attach {
        connect: Connect,
        sink: Arc<dyn ClientSink>,
    },
    Ask {
        question: Question,
        answer: oneshot::Sender<Reply>,
    },
    /// Stop, with everything durable. Answered when done.
    Drain(oneshot::Sender<()>),
    /// A node kept the sockets of these clients over a change of owner, or over a broken link.
    Reattach(Reattach),
    /// The link to the node that holds these sockets broke: their clients are awaited for
    /// [`REATTACH_WINDOW`](everplay_room::REATTACH_WINDOW) without a word to the room.
    Detach(Vec<ConnId>),
    /// Stand still at a patch boundary, with everything taken before processed, durable and released. None: the room
    /// ended, or was given up meanwhile.
    Freeze(oneshot::Sender<Option<Frozen>>),
}

/// What a frozen room waits for. A sender that goes away without a word thaws it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    /// Go on.
    Thaw,
    /// The room has another owner: end without closing a socket, and forget the room.
    Release,
}

/// A room that stands still, to be carried on by another node.
#[derive(Debug)]
pub(crate) struct Frozen {
    /// The whole room at `position`.
    pub(crate) image: Bytes,
    /// Where its journal ends.
    pub(crate) position: Position,
    /// The owner's token.
    pub(crate) token: Token,
    /// Ends the standstill.
    pub(crate) control: mpsc::Sender<Control>,
}

/// Sockets of this room that one node kept.
pub(crate) struct Reattach {
    /// The newest owner that node has heard of.
    pub(crate) epoch: Epoch,
    /// Up to which record that node has given everything to all its live clients of the room.
    pub(crate) forwarded: Seq,
    /// The sockets.
    pub(crate) seats: Vec<ReattachSeat>,
}

/// One socket that was kept.
pub(crate) struct ReattachSeat {
    /// A new number for the connection, its session, and no token: the node that kept the socket is believed.
    pub(crate) connect: Connect,
    /// The socket.
    pub(crate) sink: Arc<dyn ClientSink>,
    /// The client has acknowledged JOIN_ROOM. Otherwise it is sent again.
    pub(crate) acknowledged: bool,
    /// Patches for it were dropped: it gets one full state.
    pub(crate) full: bool,
    /// Numbered inputs that were forwarded on this connection so far: the next one's number is one more.
    pub(crate) inputs: u32,
    /// What the time stamps of those inputs add up to, as an [`InputClock`](everplay_wire::InputClock) has it.
    pub(crate) input_time: u32,
}

pub(crate) enum Question {
    Reserve { session: SessionId, options: serde_json::Value, auth: serde_json::Value },
    FindSession { token: String },
}

struct Connection {
    session: SessionId,
    sink: Arc<dyn ClientSink>,
    /// It was given a full state: from then on it has seen what the journal holds.
    live: bool,
}

/// One room's task.
pub(crate) struct Host {
    node: Arc<Node>,
    kind: Arc<dyn RoomKind>,
    entry: Arc<RoomEntry>,
    mailbox: mpsc::Receiver<Command>,
    engine: Box<dyn RoomEngine>,
    journal: RoomJournal,
    gate: Gate,
    clock: RoomClock,
    wake_at: Option<Millis>,
    connections: HashMap<ConnId, Connection>,
    tickets: HashMap<Ticket, oneshot::Sender<Reply>>,
    next_ticket: u64,
    paused: Option<&'static str>,
    draining: Option<oneshot::Sender<()>>,
    drained: bool,
    over: bool,
    snapshots: Snapshots,
    revivals: Vec<Instant>,
}

/// When the next snapshot is due.
struct Snapshots {
    at: Instant,
    records: u64,
    bytes: usize,
    last_len: usize,
}

impl Host {
    pub(crate) fn new(
        node: Arc<Node>,
        kind: Arc<dyn RoomKind>,
        entry: Arc<RoomEntry>,
        mailbox: mpsc::Receiver<Command>,
        engine: Box<dyn RoomEngine>,
        journal: RoomJournal,
    ) -> Self {
        let settings = kind.settings();
        // Rooms without a journal have no commit to share, and are better off each in a moment of its own.
        let step = if settings.durability.journals_steps() {
            settings.tick.unwrap_or(settings.patch_interval)
        } else {
            Duration::from_millis(1)
        };
        let clock = node.beat.clock(engine.time(), step);
        Self {
            node,
            kind,
            entry,
            mailbox,
            journal,
            gate: Gate::default(),
            clock,
            wake_at: None,
            engine,
            connections: HashMap::new(),
            tickets: HashMap::new(),
            next_ticket: 0,
            paused: None,
            draining: None,
            drained: false,
            over: false,
            snapshots: Snapshots { at: Instant::now(), records: 0, bytes: 0, last_len: 0 },
            revivals: Vec::new(),
        }
    }

    /// Runs until the room is over or given up.
    pub(crate) async fn run(mut self) {
        metrics::gauge!(names::ROOMS).increment(1.0);
        self.turn(Vec::new()).await;
        let mut commands = Vec::new();
        while !self.over {
            let wake = self.wake_at.filter(|_| self.steps()).and_then(|at| self.clock.instant_of(at));
            let steps = self.steps();
            tokio::select! {
                biased;
                news = self.journal.news() => self.hear(news),
                count = self.mailbox.recv_many(&mut commands, INPUTS_PER_TURN), if steps || self.drained => {
                    if count == 0 {
                        break;
                    }
                    let mut inputs = Vec::with_capacity(count);
                    for command in commands.drain(..) {
                        self.absorb(command, &mut inputs);
                    }
                    if !self.drained {
                        self.turn(inputs).await;
                    }
                }
                () = sleep_until(wake), if wake.is_some() => self.turn(Vec::new()).await,
            }
            self.try_drain();
        }
        metrics::gauge!(names::ROOMS).decrement(1.0);
    }

    /// Whether the engine may be stepped now.
    fn steps(&self) -> bool {
        self.paused.is_none() && !self.drained
    }

    /// Files what comes with a command, and adds the engine's part of it to `inputs`.
    fn absorb(&mut self, command: Command, inputs: &mut Vec<Input>) {
        match command {
            Command::Input(input) => inputs.push(input),
            Command::Attach { connect, sink } => {
                let session = connect.session.clone();
                self.connections.insert(connect.conn, Connection { session, sink, live: false });
                inputs.push(Input::Connect(connect));
            }
            Command::Ask { question, answer } => {
                let ticket = Ticket(self.next_ticket);
                self.next_ticket += 1;
                self.tickets.insert(ticket, answer);
                inputs.push(match question {
                    Question::Reserve { session, options, auth } => {
                        Input::Reserve { ticket, session, options, auth }
                    }
                    Question::FindSession { token } => Input::FindSession { ticket, token },
                });
            }
            Command::Drain(done) => self.draining = Some(done),
            Command::Reattach(Reattach { seats, .. }) => {
                seats.into_iter().for_each(|seat| seat.sink.moved());
            }
            Command::Detach(conns) => {
                inputs.extend(conns.into_iter().map(|conn| Input::Closed { conn, code: CloseCode(1006) }));
            }
            Command::Freeze(answer) => drop(answer.send(None)),
        }
    }

    /// One turn of the engine: these inputs, what is due, one step.
    async fn turn(&mut self, inputs: Vec<Input>) {
        let now = self.clock.now();
        let due = self.wake_at.is_some_and(|at| at <= now);
        for input in &inputs {
            if let Input::Closed { conn, .. } = input {
                self.connections.remove(conn);
            }
        }
        let engine = &mut self.engine;
        let step = catch_unwind(AssertUnwindSafe(|| {
            for input in &inputs {
                engine.input(now, input.clone());
            }
            if due {
                engine.wake(now);
            }
            engine.finish()
        }));
        match step {
            Ok(step) => self.take(step),
            Err(panic) => self.revive(inputs, panic).await,
        }
    }

    fn take(&mut self, step: Step) {
        for warning in &step.warnings {
            tracing::warn!(room.id = %self.entry.id, "{warning}");
        }
        if step.overruns > 0 {
            metrics::counter!(names::TICK_OVERRUNS).increment(u64::from(step.overruns));
        }
        self.wake_at = step.wake_at;
        let durability = self.kind.settings().durability;
        if let Some(record) = step.record {
            // Rooms that only snapshot still need a beginning to recover from.
            let beginning = durability.survives() && self.journal.assigned() == Seq::ZERO;
            if durability.journals_steps() || beginning {
                self.snapshots.records += 1;
                self.snapshots.bytes += record.len();
                self.journal.push(Bytes::from(record));
            }
        }
        self.snapshot_if_due(durability, step.checkpoint || step.listing.is_some());
        if !step.out.is_empty() || step.listing.is_some() || step.ended {
            self.gate.hold(Batch {
                seq: self.journal.assigned(),
                made: Instant::now(),
                out: step.out,
                listing: step.listing,
                ended: step.ended,
            });
        }
        self.journal.submit();
        self.release();
        self.pause_or_resume();
    }

    fn snapshot_if_due(&mut self, durability: Durability, moment: bool) {
        let snapshots = &self.snapshots;
        let policy = &self.node.options.snapshots;
        let age = snapshots.at.elapsed();
        let due = match durability {
            Durability::Ephemeral => false,
            Durability::Snapshot(every) => moment || age >= every,
            Durability::Confirmed | Durability::Bounded(_) => {
                snapshots.records >= policy.records
                    || snapshots.bytes >= policy.bytes.max(snapshots.last_len)
                    || (snapshots.records > 0 && age >= policy.interval)
            }
        };
        if due {
            self.snapshot();
        }
    }

    /// Takes an image if the room stands between two patches; answers whether it does.
    fn snapshot(&mut self) -> bool {
        if self.journal.is_publishing() {
            return true;
        }
        let Some(image) = self.engine.snapshot() else { return false };
        if !self.kind.settings().durability.journals_steps() {
            // Nothing else gives the image a position of its own.
            self.journal.push(Bytes::from(marker(self.engine.time())));
        }
        self.snapshots = Snapshots { at: Instant::now(), records: 0, bytes: 0, last_len: image.len() };
        self.journal.image(Bytes::from(image));
        self.journal.publish_if_settled();
        self.journal.submit();
        true
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Answer(answer) => self.answered(answer),
            News::Published(Ok(())) => {}
            News::Published(Err(error)) => {
                tracing::warn!(room.id = %self.entry.id, %error, "the snapshot was not published; the tail grows");
            }
        }
    }

    fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Confirmed => self.release(),
            Answer::HeldUp => {}
            Answer::Lost(loss) => return self.give_up(&loss),
        }
        self.pause_or_resume();
    }

    /// Lets out what may leave.
    fn release(&mut self) {
        let (durable, ahead_until) = match self.kind.settings().durability {
            Durability::Confirmed => (self.journal.durable(), None),
            Durability::Bounded(lead) => (self.journal.durable(), Instant::now().checked_sub(lead)),
            Durability::Snapshot(_) | Durability::Ephemeral => (Seq(u64::MAX), None),
        };
        while let Some(batch) = self.gate.release(durable, ahead_until) {
            self.perform(batch);
        }
    }

    fn perform(&mut self, batch: Batch) {
        metrics::histogram!(names::CONFIRM_SECONDS).record(batch.made.elapsed());
        // Before the replies: whoever was told of a seat finds the room listed.
        if let Some(listing) = batch.listing {
            self.node.registry.list(&self.entry, listing);
        }
        let mut frames = 0u64;
        for out in batch.out {
            match out {
                Out::Frame { to: Recipients::One(conn), kind, bytes } => {
                    frames += 1;
                    if let Some(connection) = self.connections.get_mut(&conn) {
                        connection.live |= kind == FrameKind::State;
                        connection.sink.deliver(kind, bytes);
                    }
                }
                Out::Frame { to: Recipients::Many(conns), kind, bytes } => {
                    frames += conns.len() as u64;
                    for conn in conns.iter() {
                        if let Some(connection) = self.connections.get(conn) {
                            connection.sink.deliver(kind, bytes.clone());
                        }
                    }
                }
                Out::Close { conn, code, reason } => {
                    if let Some(connection) = self.connections.remove(&conn) {
                        connection.sink.close(code, &reason);
                    }
                }
                Out::Reply { ticket, reply } => {
                    if let Some(asker) = self.tickets.remove(&ticket) {
                        // An asker that went away leaves its seat to the reservation's time-out.
                        let _ = asker.send(reply);
                    }
                }
            }
        }
        metrics::counter!(names::FRAMES_SENT).increment(frames);
        self.entry.set_progress(self.journal.token().epoch, self.journal.durable(), self.paused);
        if batch.ended {
            self.end();
        }
    }

    /// The room's last step is out.
    fn end(&mut self) {
        self.over = true;
        self.node.registry.remove(&self.entry);
        if self.kind.settings().durability.survives() {
            self.node.forget(&self.entry.id, self.journal.token());
        }
    }

    /// Stands still while the journal does not advance, and tells the clients.
    fn pause_or_resume(&mut self) {
        let backlog = self.journal.unconfirmed_bytes() > self.node.options.limits.unconfirmed_bytes;
        let reason = self.journal.held_up().or(backlog.then_some("the journal is behind"));
        if reason.is_some() == self.paused.is_some() {
            return;
        }
        self.paused = reason;
        match reason {
            Some(reason) => {
                self.clock.pause();
                metrics::counter!(names::ROOMS_PAUSED).increment(1);
                tracing::warn!(room.id = %self.entry.id, reason, "the room pauses");
            }
            None => {
                self.clock.resume();
                tracing::info!(room.id = %self.entry.id, "the room goes on");
            }
        }
        self.entry.set_progress(self.journal.token().epoch, self.journal.durable(), self.paused);
        self.tell_paused(reason);
    }

    /// Not derived from the room's state, so it may pass the gate.
    fn tell_paused(&self, reason: Option<&'static str>) {
        let payload = serde_json::json!({ "paused": reason.is_some(), "reason": reason });
        let Ok(payload) = msgpack::to_vec(&payload) else { return };
        let frame = server_frame::data("__everplay", &payload);
        for connection in self.connections.values().filter(|connection| connection.live) {
            connection.sink.deliver(FrameKind::Message, frame.clone());
        }
    }

    /// The journal is not ours any more, or cannot be written. What was not confirmed was not seen.
    fn give_up(&mut self, loss: &Loss) {
        tracing::error!(room.id = %self.entry.id, error = %loss, "the room is given up");
        metrics::counter!(names::ROOMS_LOST).increment(1);
        self.leave_with(CloseCode::MAY_TRY_RECONNECT, "the room moved");
    }

    fn leave_with(&mut self, code: CloseCode, reason: &str) {
        self.over = true;
        self.gate.clear();
        self.node.registry.remove(&self.entry);
        for (_, connection) in self.connections.drain() {
            connection.sink.close(code, reason);
        }
    }

    /// Finishes a drain once nothing waits: the room stands at its last patch, durable, seen.
    fn try_drain(&mut self) {
        if self.draining.is_none() || self.over {
            return;
        }
        if !self.drained {
            let quiet =
                !self.kind.settings().durability.survives() || self.snapshots.records == 0 || self.snapshot();
            if !quiet {
                // A change waits for its patch; the wake that sends it is set.
                return;
            }
            self.drained = true;
        }
        let settled = self.journal.is_settled() && !self.journal.is_publishing() && self.gate.is_empty();
        if let Some(done) = self.draining.take_if(|_| settled) {
            // A drain that ran out of time has stopped waiting.
            let _ = done.send(());
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
