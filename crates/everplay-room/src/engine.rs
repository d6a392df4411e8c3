//! Runs one room: turns inputs into hook calls and their consequences into a step.
//!
//! ```text
//! input / wake -> hooks change state, ledger, context -> finish: patch once, journal record, frames in order
//! ```
//!
//! Order within a step: what hooks sent, in the order they sent it; the patch; what was to follow the patch;
//! closes. A patch is taken when it is due, and also when anything leaves: nothing may leave that was computed
//! from state the record does not hold.

mod kept;
mod membership;
mod traffic;

use crate::context::{Context, Link, Member};
use crate::effects::{FrameKind, Listing, Out, Recipients, Reply, ReserveError, Step};
use crate::inputs;
use crate::kind::{Absent, RoomType, typed_options};
use crate::ledger::{Ledger, Phase, Seat, from_hex};
use crate::record::{Draft, Snapshot};
use crate::{Birth, ConnId, Input, Leave, Outgoing, Refusal, Room, RoomEngine};
use bytes::Bytes;
use everplay_schema::{FullForm, Replica};
use everplay_types::{CloseCode, Millis, RoomId, ServiceLevel, SessionId};
use everplay_wire::{msgpack, server_frame};
use std::sync::Arc;
use std::time::Duration;

/// After a restart every seat waits at least this long for its client: the SDK keeps trying for about 56 s.
pub const GRACE_AFTER_RESTORE: Duration = Duration::from_secs(60);

/// How long a client whose socket was kept is awaited, in room time, before it counts as dropped: the node that holds
/// the socket seeks the new owner within a second, and a client that is gone should not look present for long.
pub const REATTACH_WINDOW: Duration = Duration::from_secs(3);

/// One running room.
pub struct Engine<R: Room> {
    kind: Arc<RoomType<R>>,
    state: Replica<R>,
    cx: Context<R>,
    draft: Draft,
    /// A hook may have changed the state since the last patch.
    touched: bool,
    last_patch: Option<Millis>,
    /// Number of the next step; the n-th is due at n times the step's length.
    next_tick: u64,
    overruns: u32,
    listed: Option<Listing>,
    /// Earliest deadline in the ledger; recomputed when the ledger was touched.
    deadline: Option<Millis>,
    /// Earliest time at which an awaited client counts as dropped. None: nobody is awaited.
    awaiting: Option<Millis>,
    /// See [`RoomEngine::keep_sent`].
    keeps_sent: bool,
    ended: bool,
}

impl<R: Room> Engine<R> {
    /// Makes a room. Its first step holds the whole state.
    pub fn create(kind: Arc<RoomType<R>>, birth: Birth) -> Result<Self, Refusal> {
        let options = typed_options(&birth.options)?;
        let mut ledger = Ledger {
            max_clients: kind.settings.max_clients,
            deserted_at: (Millis::ZERO + kind.settings.seat_reservation).0,
            ..Ledger::default()
        };
        ledger.set_rng_key(&birth.seed);
        let mut cx = Context::new(birth.room_id, Arc::clone(&kind.name), Replica::new(ledger), Millis::ZERO);
        let room = R::create(&mut cx, options)?;
        let mut engine = Self::over(kind, Replica::new(room), cx);
        engine.save_rng();
        // Nobody has seen anything: what the first patch would say is in the snapshot.
        engine.state.patch();
        engine.cx.ledger.patch();
        engine.cx.ledger_touched = true;
        if engine.kind.settings.durability.survives() {
            let (mut state, mut ledger) = (Vec::new(), Vec::new());
            engine.state.snapshot(&mut state);
            engine.cx.ledger.snapshot(&mut ledger);
            engine.draft.born(&state, &ledger);
        }
        Ok(engine)
    }

    pub(crate) fn revive(
        kind: Arc<RoomType<R>>,
        room_id: RoomId,
        state: Replica<R>,
        ledger: Replica<Ledger>,
        time: Millis,
    ) -> Self {
        let cx = Context::new(room_id, Arc::clone(&kind.name), ledger, time);
        Self::over(kind, state, cx)
    }

    fn over(kind: Arc<RoomType<R>>, state: Replica<R>, cx: Context<R>) -> Self {
        let next_tick = kind.settings.tick.map_or(0, |step| step_after(cx.now, step));
        Self {
            kind,
            state,
            cx,
            draft: Draft::default(),
            touched: false,
            last_patch: None,
            next_tick,
            overruns: 0,
            listed: None,
            deadline: None,
            awaiting: None,
            keeps_sent: false,
            ended: false,
        }
    }

    /// The author's state.
    pub fn state(&self) -> &R {
        self.state.get()
    }

    fn room(&mut self) -> (&mut R, &mut Context<R>) {
        self.touched = true;
        (self.state.get_mut(), &mut self.cx)
    }

    /// Carries out what a hook asked for that needs the engine: kicks, views of the root, the end.
    fn settle(&mut self) {
        for (view, tag) in std::mem::take(&mut self.cx.root_views) {
            self.touched = true;
            self.state.show_root(view, tag);
        }
        // Leave hooks may kick again; each kick removes a seat, so this ends.
        while let Some((session, code)) = self.cx.kicked.pop() {
            self.remove_member(&session, Leave::Kicked(code), Some((code, String::new())));
        }
        if let Some(code) = self.cx.end.take() {
            self.end(code);
        }
    }

    fn end(&mut self, code: CloseCode) {
        if self.ended {
            return;
        }
        self.ended = true;
        let sessions: Vec<SessionId> = self.cx.members.keys().cloned().collect();
        for session in sessions {
            self.remove_member(&session, Leave::Kicked(code), Some((code, String::new())));
        }
        self.cx.ledger_mut().seats.clear();
        let (room, cx) = self.room();
        room.dispose(cx);
    }

    /// Tells the room what it was not told yet. What it was told is in the ledger, so a node may say it as often as it
    /// likes, and a restart neither repeats nor forgets it.
    fn service(&mut self, level: ServiceLevel) {
        if self.cx.service() != level {
            self.cx.ledger_mut().service = level.number();
            let (room, cx) = self.room();
            room.service(cx, level);
        }
    }

    fn tick(&mut self) {
        let Some(step) = self.kind.settings.tick else { return };
        let mut caught_up = 0;
        while due_at(self.next_tick, step) <= self.cx.now {
            if caught_up > self.kind.settings.max_catch_up {
                // Too far behind: running all missed steps would only fall further behind.
                let next = step_after(self.cx.now, step);
                let skipped = u32::try_from(next - self.next_tick).unwrap_or(u32::MAX);
                self.overruns = self.overruns.saturating_add(skipped);
                self.next_tick = next;
                return;
            }
            caught_up += 1;
            self.next_tick += 1;
            self.consume_inputs();
            let (room, cx) = self.room();
            room.tick(cx, step);
            self.settle();
            if self.ended {
                return;
            }
        }
    }

    fn timers(&mut self) {
        let now = self.cx.now.0;
        let mut due: Vec<(u64, u64, String)> = self
            .cx
            .ledger
            .get()
            .timers
            .iter()
            .filter(|(_, timer)| timer.due <= now)
            .filter_map(|(id, timer)| Some((timer.due, id.parse().ok()?, id.to_owned())))
            .collect();
        due.sort_unstable();
        for (_, _, id) in due {
            // An earlier timer's hook may have cancelled it.
            let Some(entry) = self.cx.ledger_mut().timers.remove(&id) else { continue };
            let timer =
                from_hex(&entry.payload).and_then(|payload| msgpack::from_slice::<R::Timer>(&payload).ok());
            let Some(timer) = timer else {
                self.cx
                    .warnings
                    .push(format!("timer {id} of an older release does not fit this one; dropped"));
                continue;
            };
            let (room, cx) = self.room();
            room.timer(cx, timer);
            self.settle();
            if self.ended {
                return;
            }
        }
    }

    /// Takes the pending changes: the patch goes to the record and to every live client.
    fn flush(&mut self) {
        // Clients that predict want to hear of the server's time although nothing changed.
        let heartbeat = self.kind.messages.input.is_some() && self.patch_due();
        if !self.touched && !heartbeat {
            return;
        }
        self.touched = false;
        self.last_patch = Some(self.cx.now);
        let changed = self.state.patch();
        if changed && self.kind.settings.durability.journals_steps() {
            self.put_sent();
            self.draft.state(self.state.journal_patch());
        }
        if changed || heartbeat {
            self.send_patch();
        }
    }

    /// Sends the patch taken last to every live client, encoded once for all that see the same.
    fn send_patch(&mut self) {
        let live = self.cx.live();
        if live.is_empty() {
            return;
        }
        let body = self.state.shared_patch();
        let shared = server_frame::patch(None, body);
        if !self.state.has_views() && self.kind.messages.input.is_none() {
            if !body.is_empty() {
                let to = Recipients::Many(live);
                self.cx.out.push(Out::Frame { to, kind: FrameKind::Patch, bytes: shared });
            }
            return;
        }
        let mut own = Vec::new();
        for member in self.cx.members.values() {
            let Link::Live(conn) = member.link else { continue };
            own.clear();
            own.extend_from_slice(body);
            if let Some(view) = member.client.view_id() {
                self.state.view_patch(view, &mut own);
            }
            let bytes = match member.timing(self.cx.now) {
                None if own.is_empty() => continue,
                None if own.len() == body.len() => shared.clone(),
                timing => server_frame::patch(timing, &own),
            };
            self.cx.out.push(Out::Frame { to: Recipients::One(conn), kind: FrameKind::Patch, bytes });
        }
    }

    /// Hands every client's next input to the room.
    fn consume_inputs(&mut self) {
        if self.kind.messages.input.is_some() {
            let (room, cx) = self.room();
            inputs::consume(room, cx);
        }
    }

    /// A full state as a frame. Nothing may be pending.
    fn state_frame(&self, member: &Member<R>, form: FullForm) -> Bytes {
        let mut body = Vec::new();
        self.state.full_state(member.client.view_id(), form, &mut body);
        server_frame::state(member.timing(self.cx.now), &body)
    }

    fn patch_due(&self) -> bool {
        let interval = self.kind.settings.patch_interval;
        // A fifth of slack: a step that wakes a little early must not wait for another one.
        self.last_patch.is_none_or(|last| self.cx.now + interval / 5 >= last + interval)
    }

    /// Remembers the random numbers used, so that a restart does not draw them again.
    fn save_rng(&mut self) {
        let block = self.cx.rng.next_block();
        if self.cx.ledger.get().rng_block != block {
            self.cx.ledger_mut().rng_block = block;
        }
    }

    fn seats(&self) -> u32 {
        self.cx.ledger.get().seats.len() as u32
    }

    fn next_wake(&self) -> Option<Millis> {
        let patch = self
            .touched
            .then(|| self.last_patch.map_or(self.cx.now, |last| last + self.kind.settings.patch_interval));
        let probes = self.cx.members.values().filter_map(|member| match &member.link {
            Link::Joining(joining) => joining.probe_until,
            _ => None,
        });
        let tick = self.kind.settings.tick.map(|step| due_at(self.next_tick, step));
        [patch, tick, self.deadline, self.awaiting].into_iter().flatten().chain(probes).min()
    }
}

impl<R: Room> RoomEngine for Engine<R> {
    fn resume(&mut self, attached: &[(SessionId, ConnId)], absent: Absent) {
        let wait = (self.cx.now + GRACE_AFTER_RESTORE).0;
        self.draft.restored();
        self.cx.ledger_mut().restored += 1;
        let seats: Vec<(String, Seat)> =
            self.cx.ledger.get().seats.iter().map(|(id, seat)| (id.to_owned(), seat.clone())).collect();
        let mut dropped = Vec::new();
        for (id, seat) in seats {
            let Ok(session) = SessionId::new(&id) else { continue };
            let attached = attached.iter().find(|(attached, _)| *attached == session).map(|(_, conn)| *conn);
            // Inputs are numbered by counting them on both sides; those that fell with the engine before this one
            // were counted by the client only.
            let counted = self.kind.messages.input.is_some() && seat.dialect == 18;
            let conn = attached.filter(|_| !counted);
            if let (Some(conn), true) = (attached, counted) {
                let (code, reason) = (CloseCode::MAY_TRY_RECONNECT, "the room was restored".to_owned());
                self.cx.closes.push(Out::Close { conn, code, reason });
            }
            let awaited = absent == Absent::Awaited && seat.phase() == Phase::Joined && conn.is_none();
            if let Some(kept) = self.cx.ledger_mut().seats.get_mut(&id) {
                kept.expires_at = kept.expires_at.max(wait);
                if seat.phase() == Phase::Joined && conn.is_none() && !awaited {
                    kept.set_phase(Phase::Held);
                    kept.dropped_with = 1006;
                    dropped.push(session.clone());
                }
            }
            if seat.phase() != Phase::Reserved {
                let client = membership::client_of(session.clone(), &seat);
                let link = conn.map_or(Link::Gone, Link::Live);
                if let Some(conn) = conn {
                    self.cx.by_conn.insert(conn, session.clone());
                }
                self.cx.members.insert(session.clone(), Member::new(client, link));
                if awaited {
                    self.await_absent(session);
                }
            }
        }
        let (room, cx) = self.room();
        room.restored(cx);
        self.settle();
        for session in dropped {
            let Some(client) = self.cx.client(&session) else { continue };
            let (room, cx) = self.room();
            room.drop(cx, &client, CloseCode(1006));
            // The server was away, not the client: the seat waits whatever the hook says.
            self.cx.hold = None;
            self.settle();
        }
    }

    fn keep_sent(&mut self, on: bool) {
        self.keeps_sent = on;
        self.set_tape();
    }

    fn keep_events(&mut self, on: bool) {
        self.cx.keeps_events = on;
    }

    fn dated(&mut self, wall_ms: u64) {
        self.cx.date = wall_ms;
    }

    fn outbox(&self, after: u64) -> Vec<Outgoing> {
        self.cx.ledger.get().outbox_after(after)
    }

    fn input(&mut self, now: Millis, input: Input) {
        self.cx.now = self.cx.now.max(now);
        if self.ended {
            self.refuse_after_end(input);
            return;
        }
        match input {
            Input::Reserve { ticket, session, options, auth } => {
                let reserved = self.reserve(&session, &options, &auth);
                self.cx.out.push(Out::Reply { ticket, reply: Reply::Reserved(reserved) });
            }
            Input::FindSession { ticket, token } => {
                let session = self.session_of(&token);
                self.cx.out.push(Out::Reply { ticket, reply: Reply::Session(session) });
            }
            Input::Connect(connect) => self.connect(connect),
            Input::Frame { conn, bytes } => self.frame(conn, &bytes),
            Input::Closed { conn, code } => self.closed(conn, code),
            Input::Detached { conn } => self.detached(conn),
            Input::Reattach(reattach) => self.reattach(&reattach),
            Input::Resync { conn } => self.resync(conn),
            Input::Taken { through, beyond } => {
                // Touched, so that a patch comes and the record with it.
                self.touched |= self.cx.taken(through, &beyond);
            }
            Input::Service { level } => self.service(level),
            Input::End { code } => self.end(code),
        }
        self.settle();
    }

    fn wake(&mut self, now: Millis) {
        self.cx.now = self.cx.now.max(now);
        if self.ended {
            return;
        }
        self.tick();
        if !self.ended && self.deadline.is_some_and(|deadline| deadline <= self.cx.now) {
            self.timers();
            self.expire_seats();
        }
        if self.awaiting.is_some_and(|until| until <= self.cx.now) {
            self.expire_awaited();
        }
        self.second_joins();
        self.settle();
    }

    fn finish(&mut self) -> Step {
        let empty = self.cx.ledger.get().seats.is_empty();
        let deserted = self.cx.ledger.get().joined_once || self.cx.now.0 >= self.cx.ledger.get().deserted_at;
        if !self.ended && self.kind.settings.auto_dispose && empty && deserted {
            self.end(CloseCode::CONSENTED);
        }
        self.save_rng();
        // All of a listing is in the ledger: a turn that left it alone need not compare.
        let listing = (self.cx.ledger_touched || self.listed.is_none())
            .then(|| self.listing())
            .filter(|listing| self.listed.as_ref() != Some(listing));
        let leaves = !self.cx.out.is_empty()
            || !self.cx.after_patch.is_empty()
            || !self.cx.closes.is_empty()
            || !self.cx.events.is_empty()
            || listing.is_some()
            || !self.draft.is_empty();
        if leaves || self.ended || self.patch_due() {
            self.flush();
            inputs::note_consumed(&mut self.cx);
            if self.cx.ledger_touched {
                self.cx.ledger_touched = false;
                let changed = self.cx.ledger.patch();
                if changed && self.kind.settings.durability.journals_steps() {
                    self.draft.ledger(self.cx.ledger.journal_patch());
                }
                self.deadline = self.cx.ledger.get().next_deadline();
            }
            for event in std::mem::take(&mut self.cx.events) {
                self.draft.event(&event);
            }
            self.finish_tape();
            if self.ended {
                self.draft.ended();
            }
            self.cx.out.append(&mut self.cx.after_patch);
            self.cx.out.append(&mut self.cx.closes);
        }
        if listing.is_some() {
            self.listed.clone_from(&listing);
        }
        let awaiting = self.still_awaiting();
        Step {
            record: self.draft.take(self.cx.now),
            out: std::mem::take(&mut self.cx.out),
            listing,
            wake_at: if self.ended { None } else { self.next_wake() },
            checkpoint: std::mem::take(&mut self.cx.checkpoint),
            ended: self.ended,
            emitted: self.cx.ledger.get().last_event,
            awaiting,
            overruns: std::mem::take(&mut self.overruns),
            warnings: std::mem::take(&mut self.cx.warnings),
        }
    }

    fn snapshot(&mut self) -> Option<Vec<u8>> {
        if self.touched || self.cx.ledger_touched || !self.draft.is_empty() {
            return None;
        }
        let (mut state, mut ledger) = (Vec::new(), Vec::new());
        self.state.snapshot(&mut state);
        self.cx.ledger.snapshot(&mut ledger);
        Some(Snapshot::encode(self.cx.now, &state, &ledger))
    }

    fn is_joining(&self) -> bool {
        self.joining()
    }

    fn time(&self) -> Millis {
        self.cx.now
    }

    fn listing(&self) -> Listing {
        let ledger = self.cx.ledger.get();
        let clients = self.seats();
        Listing {
            clients,
            max_clients: ledger.max_clients,
            locked: ledger.locked || clients >= ledger.max_clients || self.ended,
            private: ledger.private,
            unlisted: ledger.unlisted,
            metadata: serde_json::from_str(&ledger.metadata).unwrap_or_default(),
        }
    }

    fn inspect(&mut self) -> Option<serde_json::Value> {
        let mut snapshot = Vec::new();
        if self.touched {
            return None;
        }
        self.state.snapshot(&mut snapshot);
        everplay_schema::inspect(&snapshot).ok().map(|decoder| decoder.to_json())
    }
}

impl<R: Room> Engine<R> {
    fn reserve(
        &mut self,
        session: &SessionId,
        options: &serde_json::Value,
        auth: &serde_json::Value,
    ) -> Result<(), ReserveError> {
        let ledger = self.cx.ledger.get();
        if ledger.seats.len() as u32 >= ledger.max_clients {
            return Err(ReserveError::Full);
        }
        if ledger.locked {
            return Err(ReserveError::Locked);
        }
        let mut seat = Seat {
            expires_at: (self.cx.now + self.kind.settings.seat_reservation).0,
            options: json_text(options),
            auth: json_text(auth),
            ..Seat::default()
        };
        seat.set_phase(Phase::Reserved);
        self.cx.ledger_mut().seats.insert(session.as_str(), seat);
        Ok(())
    }
}

/// Null costs nothing.
fn json_text(value: &serde_json::Value) -> String {
    if value.is_null() { String::new() } else { value.to_string() }
}

fn json_value(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// When the n-th step is due. Counted in nanoseconds from the room's beginning, so that sixty steps are a second
/// although a sixtieth is no whole number of milliseconds.
fn due_at(number: u64, step: Duration) -> Millis {
    let nanos = u128::from(number) * step.as_nanos();
    Millis(u64::try_from(nanos / 1_000_000).unwrap_or(u64::MAX))
}

/// The number of the next step after `now`: rooms whose clocks agree step in the same moments, also after a restart,
/// and a node can write down many steps at once.
fn step_after(now: Millis, step: Duration) -> u64 {
    let past = u128::from(now.0) * 1_000_000 / step.as_nanos().max(1);
    let mut number = u64::try_from(past).unwrap_or(u64::MAX);
    while due_at(number, step) <= now {
        number = number.saturating_add(1);
    }
    number
}
