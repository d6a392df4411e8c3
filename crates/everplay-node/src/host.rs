//! Runs one room.
//!
//! ```text
//! mailbox -> turn: inputs, then what is due -> Step
//!              record -> journal        out, listing -> gate -> (durable) -> sockets, registry
//! journal refuses -> the room is given up        disk full, backlog -> the room pauses
//! panic -> revive: image dropped, journal read, the same inputs once more -> goes on, or the room is closed
//! kept sockets -> reattach: what they missed, from the newest records        freeze -> stands still -> another node
//! ```
//!
//! Invariant: a position of the journal is computed once. Whatever was not seen when the engine fell is
//! forgotten with it.

mod command;
mod connections;
mod kept;
mod revive;
mod standstill;

pub(crate) use command::{Command, Control, Frozen, Question, Reattach, ReattachSeat};
pub(crate) use kept::tail_of;
pub(crate) use revive::panic_message;

use crate::clock::RoomClock;
use crate::events::Outlet;
use crate::gate::{Batch, Gate};
use crate::journal::{Answer, Loss, News, RoomJournal};
use crate::metrics as names;
use crate::node::Node;
use crate::planted::{self, Bug};
use crate::registry::RoomEntry;
use bytes::Bytes;
use connections::{Connection, Connections, Parcels};
use everplay_live::AppendError;
use everplay_room::{
    CATCH_UP_BYTES, CatchUp, Durability, FrameKind, Input, Out, RECENT_BYTES, Recipients, Reply, RoomEngine,
    RoomKind, Step, Ticket, marker,
};
use everplay_types::{CloseCode, Millis, Seq, ServiceLevel};
use everplay_wire::{msgpack, server_frame};
use standstill::Standstill;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// Inputs taken from the mailbox in one turn: enough to share one patch and one commit among a burst, few enough
/// that a tick is not late.
const INPUTS_PER_TURN: usize = 256;

/// One room's task.
pub(crate) struct Host {
    node: Arc<Node>,
    kind: Arc<dyn RoomKind>,
    entry: Arc<RoomEntry>,
    mailbox: mpsc::Receiver<Command>,
    engine: Box<dyn RoomEngine>,
    journal: RoomJournal,
    gate: Gate,
    outlet: Outlet,
    clock: RoomClock,
    wake_at: Option<Millis>,
    connections: Connections,
    /// Where the journal ended when this host began.
    began_at: Seq,
    /// The newest records, while there are clients that may have missed them.
    catch_up: Option<CatchUp>,
    /// The newest [`Reattach`] of this node's sockets.
    reattached: u64,
    /// How many [`Reattach`]es were taken.
    taken: u64,
    /// Clients whose sockets were kept are awaited.
    awaiting: bool,
    tickets: HashMap<Ticket, oneshot::Sender<Reply>>,
    next_ticket: u64,
    paused: Option<&'static str>,
    draining: Option<oneshot::Sender<()>>,
    drained: bool,
    standstill: Standstill,
    /// What the room is to be told, in a turn of its own.
    service: watch::Receiver<ServiceLevel>,
    ending: bool,
    over: bool,
    /// Patches may leave, and wait for this room's turn.
    fan_out_waits: bool,
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
        let began_at = journal.assigned();
        let mut service = node.service.subscribe();
        // The room may have been told something else where it was before.
        service.mark_changed();
        let outlet = Outlet::new(
            &node.options.events,
            node.key(&entry.id),
            kind.name().into(),
            entry.mailbox.downgrade(),
            settings.durability,
        );
        Self {
            node,
            kind,
            entry,
            mailbox,
            journal,
            gate: Gate::default(),
            outlet,
            clock,
            wake_at: None,
            engine,
            connections: Connections::default(),
            began_at,
            catch_up: None,
            reattached: 0,
            taken: 0,
            awaiting: false,
            tickets: HashMap::new(),
            next_ticket: 0,
            paused: None,
            draining: None,
            drained: false,
            standstill: Standstill::No,
            service,
            ending: false,
            over: false,
            fan_out_waits: false,
            snapshots: Snapshots { at: Instant::now(), records: 0, bytes: 0, last_len: 0 },
            revivals: Vec::new(),
        }
    }

    /// With the records that the room was recovered from: clients that are awaited may have missed them. They must
    /// end where the journal does.
    pub(crate) fn recovered(mut self, tail: CatchUp) -> Self {
        self.catch_up = Some(tail);
        self
    }

    /// Runs until the room is over or given up.
    pub(crate) async fn run(mut self) {
        metrics::gauge!(names::ROOMS).increment(1.0);
        self.turn(self.clock.now(), Vec::new()).await;
        self.try_end();
        let mut commands = Vec::new();
        while !self.over {
            let wake = self.wake_at.filter(|_| self.steps()).and_then(|at| self.clock.instant_of(at));
            let steps = self.steps();
            tokio::select! {
                biased;
                news = self.journal.news() => self.hear(news),
                Ok(()) = self.service.changed(), if steps => {
                    let level = *self.service.borrow_and_update();
                    commands.push(Command::Input(Input::Service { level }));
                    self.take_turn(&mut commands).await;
                }
                count = self.mailbox.recv_many(&mut commands, INPUTS_PER_TURN), if steps || self.drained => {
                    if count == 0 {
                        break;
                    }
                    self.take_turn(&mut commands).await;
                }
                () = sleep_until(wake), if wake.is_some() => self.take_turn(&mut commands).await,
                change = self.standstill.change() => self.standstill_changed(change),
                turn = self.node.fan_outs.next(), if self.fan_out_waits => {
                    self.release();
                    turn.over().await;
                }
            }
            self.try_end();
            self.try_drain();
            self.try_stand_still();
        }
        self.standstill.give_up();
        metrics::gauge!(names::ROOMS).decrement(1.0);
    }

    /// One turn with what was taken from the mailbox, and with the inputs on the shelf if a step is due.
    async fn take_turn(&mut self, commands: &mut Vec<Command>) {
        let now = self.clock.now();
        let due = self.steps() && self.wake_at.is_some_and(|at| at <= now);
        let shelved = self.entry.shelf.as_ref().filter(|_| due).map(|shelf| shelf.take()).unwrap_or_default();
        if !shelved.is_empty() {
            // What their clients sent before them: an acknowledgement, above all.
            for _ in 0..self.mailbox.max_capacity() {
                let Ok(command) = self.mailbox.try_recv() else { break };
                commands.push(command);
            }
        }
        if commands.iter().any(|command| matches!(command, Command::Superseded)) {
            commands.drain(..).for_each(|command| self.hand_back_one(command));
            return self.give_up(&Loss::Moved);
        }
        let mut inputs = Vec::with_capacity(commands.len() + shelved.len());
        for command in commands.drain(..) {
            if command.begins_anew(&inputs) && !self.over {
                self.turn(now, std::mem::take(&mut inputs)).await;
            }
            self.absorb(command, &mut inputs).await;
        }
        inputs.extend(shelved);
        if !self.drained && !self.over {
            self.turn(now, inputs).await;
        }
    }

    /// Whether the engine may be stepped now.
    fn steps(&self) -> bool {
        self.paused.is_none() && !self.drained && !self.standstill.is_still()
    }

    /// Files what comes with a command, and adds the engine's part of it to `inputs`.
    async fn absorb(&mut self, command: Command, inputs: &mut Vec<Input>) {
        match command {
            Command::Input(input) => inputs.push(input),
            Command::Attach { connect, sink } => {
                let connection =
                    Connection::new(connect.session.clone(), sink).showing(connect.token.clone());
                if self.connections.is_joining(&connection) && !planted::is(Bug::TakesEveryJoin) {
                    // Were it to take the seat, the token that the first one is told of would be void.
                    let (code, reason) = (CloseCode::MAY_TRY_RECONNECT, "another connection is joining");
                    return connection.sink.close(code, reason);
                }
                self.connections.insert(connect.conn, connection);
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
            Command::Reattach(reattach) => self.reattach(reattach, inputs).await,
            Command::Detach(conns) => {
                conns.iter().for_each(|conn| drop(self.connections.remove(conn)));
                inputs.extend(conns.into_iter().map(|conn| Input::Detached { conn }));
            }
            Command::Freeze(answer) => self.freeze(answer),
            // Seen before anything of its burst was taken.
            Command::Superseded => {}
        }
    }

    /// One turn of the engine: these inputs, what is due, one step.
    async fn turn(&mut self, now: Millis, inputs: Vec<Input>) {
        let due = self.wake_at.is_some_and(|at| at <= now);
        for input in &inputs {
            if let Input::Closed { conn, .. } = input {
                self.connections.remove(conn);
            }
        }
        let keep_sent = self.keeps_sent(&inputs);
        let (wall_ms, keep_events) =
            (self.node.options.ambient.wall_ms(), self.node.options.events.are_wanted());
        let engine = &mut self.engine;
        let step = catch_unwind(AssertUnwindSafe(|| {
            engine.keep_sent(keep_sent);
            engine.keep_events(keep_events);
            engine.dated(wall_ms);
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

    /// Whether someone may miss what this turn sends. A socket whose way broke in it is filed no more, and misses what
    /// comes before that in the turn.
    fn keeps_sent(&self, inputs: &[Input]) -> bool {
        let detached = || inputs.iter().any(|input| matches!(input, Input::Detached { .. }));
        self.connections.any_outlive() || detached()
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
        self.awaiting = step.awaiting;
        self.keep_records(durability);
        // Rooms that only snapshot still need a beginning to recover from, and an end that outlives the process: they
        // stay in the directory until their last events were taken, which the last image holds.
        let beginning = durability.survives() && self.journal.assigned() == Seq::ZERO;
        let end = durability.survives() && !durability.journals_steps() && step.ended;
        if end {
            self.snapshot();
        }
        if let Some(record) = step.record
            && (durability.journals_steps() || beginning || end)
        {
            self.snapshots.records += 1;
            self.snapshots.bytes += record.len();
            let record = Bytes::from(record);
            if let Some(catch_up) = &mut self.catch_up {
                catch_up.push(record.clone());
            }
            self.journal.push(record);
        }
        let told = self.outlet.step(self.journal.assigned(), step.emitted);
        // An image behind the record that says so would hide that the room has ended.
        let imaged = !step.ended
            && self.snapshot_if_due(durability, step.checkpoint || step.listing.is_some() || told);
        if !step.out.is_empty() || step.listing.is_some() || step.ended {
            self.gate.hold(Batch {
                seq: self.journal.assigned(),
                made: Instant::now(),
                out: step.out,
                listing: step.listing,
                ended: step.ended,
                mark: false,
                reattached: self.reattached,
                taken: self.taken,
            });
        }
        if imaged {
            self.mark();
        }
        self.journal.submit();
        self.release_in_turn();
        self.pause_or_resume();
    }

    /// Keeps the newest records while there is someone who may miss them.
    fn keep_records(&mut self, durability: Durability) {
        if !durability.journals_steps() || !(self.awaiting || self.connections.any_outlive()) {
            self.catch_up = None;
            return;
        }
        let assigned = self.journal.assigned();
        let catch_up = self.catch_up.get_or_insert_with(|| CatchUp::new(assigned));
        catch_up.set_limit(if self.awaiting { CATCH_UP_BYTES } else { RECENT_BYTES });
    }

    /// Tells all kept sockets' nodes how far the journal is, once it is durable: after an image, the records before
    /// it are no longer read, so nobody should stand there only because there was nothing to send.
    fn mark(&mut self) {
        if self.connections.any_outlive() {
            let (seq, made) = (self.journal.assigned(), Instant::now());
            let (reattached, taken) = (self.reattached, self.taken);
            let (out, listing) = (Vec::new(), None);
            self.gate.hold(Batch { seq, made, out, listing, ended: false, mark: true, reattached, taken });
        }
    }

    /// Answers whether an image was taken.
    fn snapshot_if_due(&mut self, durability: Durability, moment: bool) -> bool {
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
        due && self.snapshot()
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
        self.outlet.imaged();
        self.journal.publish_if_settled();
        self.journal.submit();
        true
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Answer(answer) => self.answered(answer),
            News::Published(Ok(())) => {
                self.outlet.published(true);
                self.outlet.release(self.journal.durable(), self.engine.as_ref());
                if self.kind.settings().expires.is_some() {
                    self.node.saved(&self.entry, self.kind.settings(), self.journal.token());
                }
            }
            News::Published(Err(error)) => {
                self.outlet.published(false);
                tracing::warn!(room.id = %self.entry.id, %error, "the snapshot was not published; the tail grows");
            }
        }
    }

    fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Confirmed => self.release_in_turn(),
            Answer::HeldUp if planted::is(Bug::UnknownIsDone) => self.release(),
            Answer::HeldUp => {}
            Answer::Lost(loss) => return self.give_up(&loss),
        }
        self.pause_or_resume();
    }

    /// Lets out what may leave; patches for many wait for their turn among the rooms, but not for the next step.
    fn release_in_turn(&mut self) {
        if self.fan_out_waits || !self.gate.is_fan_out() {
            return self.release();
        }
        let (durable, ahead_until) = self.released();
        self.fan_out_waits = self.gate.may_release(durable, ahead_until);
        self.outlet.release(self.journal.durable(), self.engine.as_ref());
    }

    /// Up to which record things may leave, and what was made since when.
    fn released(&self) -> (Seq, Option<Instant>) {
        match self.kind.settings().durability {
            Durability::Confirmed if planted::is(Bug::SendsEarly) => (Seq(u64::MAX), None),
            Durability::Confirmed => (self.journal.durable(), None),
            Durability::Bounded(lead) => (self.journal.durable(), Instant::now().checked_sub(lead)),
            Durability::Snapshot(_) | Durability::Ephemeral => (Seq(u64::MAX), None),
        }
    }

    /// Lets out what may leave.
    fn release(&mut self) {
        self.fan_out_waits = false;
        let (durable, ahead_until) = self.released();
        self.outlet.release(self.journal.durable(), self.engine.as_ref());
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
        let mut parcels = Parcels::default();
        if batch.mark {
            self.connections.all_relays(&mut parcels);
        }
        for out in batch.out {
            match out {
                Out::Frame { to: Recipients::One(conn), kind, bytes } => {
                    frames += 1;
                    self.connections.deliver(conn, kind, bytes, &mut parcels);
                }
                Out::Frame { to: Recipients::Many(conns), kind, bytes } => {
                    frames += conns.len() as u64;
                    self.connections.deliver_all(&conns, kind, &bytes, &mut parcels);
                }
                Out::Close { conn, code, reason } => {
                    self.connections.close(conn, code, reason, &mut parcels);
                }
                Out::Reply { ticket, reply } => {
                    if let Some(asker) = self.tickets.remove(&ticket) {
                        // An asker that went away leaves its seat to the reservation's time-out.
                        let _ = asker.send(reply);
                    }
                }
            }
        }
        self.connections.caught_up(batch.taken);
        self.connections.send(parcels, &self.entry.id, self.journal.token().epoch, Some(batch.seq));
        self.entry.delivered.store(batch.seq.0, Ordering::Release);
        self.entry.reattached.store(batch.reattached, Ordering::Release);
        metrics::counter!(names::FRAMES_SENT).increment(frames);
        self.entry.set_progress(self.journal.token().epoch, self.journal.durable(), self.paused);
        self.ending |= batch.ended;
    }

    /// The room's last step is out. Once it is durable, too, the room is over.
    fn try_end(&mut self) {
        let imaging = !self.kind.settings().durability.journals_steps() && self.journal.is_publishing();
        if !self.ending || self.over || !self.journal.is_settled() || imaging {
            return;
        }
        self.over = true;
        self.node.registry.remove(&self.entry);
        if self.kind.settings().durability.survives() {
            self.outlet.end(self.engine.as_ref());
            self.node.forget_when_told(&self.entry.id, self.journal.token());
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
                if !self.standstill.is_still() {
                    self.clock.resume();
                }
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
        let mut parcels = Parcels::default();
        self.connections.deliver_to_live(FrameKind::Message, &frame, &mut parcels);
        self.send_aside(parcels);
    }

    /// Sends what belongs to no step: it says nothing of how far the journal is.
    fn send_aside(&self, parcels: Parcels) {
        let delivered = planted::is(Bug::TellsBeforeReattached)
            .then(|| Seq(self.entry.delivered.load(Ordering::Acquire)));
        self.connections.send(parcels, &self.entry.id, self.journal.token().epoch, delivered);
    }

    /// The journal is not ours any more, or cannot be written. What was not confirmed was not seen.
    fn give_up(&mut self, loss: &Loss) {
        tracing::error!(room.id = %self.entry.id, error = %loss, "the room is given up");
        metrics::counter!(names::ROOMS_LOST).increment(1);
        match loss {
            // Whoever keeps the sockets seeks the new owner.
            Loss::Moved | Loss::Refused(AppendError::Fenced { .. }) => {
                self.leave();
                self.hand_back();
                self.connections.drain().for_each(|connection| connection.sink.moved());
            }
            Loss::Forgotten { .. } | Loss::Refused(_) => {
                self.leave_with(CloseCode::MAY_TRY_RECONNECT, "the room has lost its journal");
            }
        }
    }

    /// The room is not here any more; its clients are to be told.
    fn leave(&mut self) {
        self.over = true;
        self.gate.clear();
        self.node.registry.remove(&self.entry);
    }

    fn leave_with(&mut self, code: CloseCode, reason: &str) {
        self.leave();
        let mut parcels = Parcels::default();
        self.connections.close_all(code, reason, &mut parcels);
        self.send_aside(parcels);
    }

    /// Finishes a drain once nothing waits: the room stands at its last patch, durable, seen.
    fn try_drain(&mut self) {
        if self.draining.is_none() || self.over || self.standstill.is_still() {
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
