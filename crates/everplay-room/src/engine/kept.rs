//! Clients whose sockets outlive the room's owner.
//!
//! ```text
//! Joined, live --new owner, or the way to the socket broke--> awaited --reattach--> live again, nothing missed
//!                                                                |  REATTACH_WINDOW
//!                                                                '------------> dropped, as a lost connection is
//! ```
//!
//! An awaited client looks present to the room. Its connection number leads nowhere: what is sent there is on the
//! [`Tape`](crate::record::Tape), in the records, and so in what it is sent when its socket is here again.
//!
//! Invariant: a client that is attached again gets each frame of the records it missed once, in order, and is live
//! from the present step on. Who can not make use of those patches gets a full state before the messages.

use super::Engine;
use super::membership::{dialect_of, message};
use crate::catch_up::{Missing, Remainder};
use crate::context::{Joining, Link};
use crate::effects::{FrameKind, Out, Recipients};
use crate::ledger::{Phase, Seat};
use crate::{ConnId, REATTACH_WINDOW, Reattach, Room};
use bytes::Bytes;
use everplay_schema::FullForm;
use everplay_types::{CloseCode, SessionId};
use everplay_wire::Dialect;

/// What was addressed in the present step to a connection that leads nowhere.
#[derive(Default)]
struct Unsent {
    frames: Vec<Missing>,
    after_patch: Vec<Bytes>,
}

impl<R: Room> Engine<R> {
    /// A joined client of the room's last owner has not shown up here yet.
    pub(super) fn await_absent(&mut self, session: SessionId) {
        // No node counts its connections down from there.
        let nowhere = ConnId(u64::MAX - self.cx.by_conn.len() as u64);
        if let Some(member) = self.cx.members.get_mut(&session) {
            member.link = Link::Live(nowhere);
            self.cx.by_conn.insert(nowhere, session.clone());
            self.cx.live = None;
            self.wait_for(&session);
        }
    }

    pub(super) fn detached(&mut self, conn: ConnId) {
        if let Some(session) = self.cx.by_conn.get(&conn).cloned() {
            self.wait_for(&session);
        }
    }

    fn wait_for(&mut self, session: &SessionId) {
        let until = self.cx.now + REATTACH_WINDOW;
        if let Some(member) = self.cx.members.get_mut(session) {
            member.awaited_until = Some(until);
            self.awaiting = Some(self.awaiting.map_or(until, |earliest| earliest.min(until)));
            self.set_tape();
        }
    }

    /// Those who were awaited in vain are dropped, one after the other.
    pub(super) fn expire_awaited(&mut self) {
        let now = self.cx.now;
        let expired: Vec<ConnId> = self
            .cx
            .members
            .values()
            .filter(|member| member.awaited_until.is_some_and(|until| until <= now))
            .filter_map(|member| member.link.conn())
            .collect();
        for conn in expired {
            self.closed(conn, CloseCode(1006));
            self.settle();
        }
    }

    pub(super) fn joining(&self) -> bool {
        self.cx
            .members
            .values()
            .any(|member| matches!(member.link, Link::Joining(_)) && member.awaited_until.is_none())
    }

    /// Whether anyone is awaited after this step.
    pub(super) fn still_awaiting(&mut self) -> bool {
        if self.awaiting.is_some() {
            self.awaiting = self.cx.members.values().filter_map(|member| member.awaited_until).min();
            self.set_tape();
        }
        self.awaiting.is_some()
    }

    /// The tape runs while someone's socket may outlive what this owner sends.
    pub(super) fn set_tape(&mut self) {
        let on =
            (self.keeps_sent || self.awaiting.is_some()) && self.kind.settings.durability.journals_steps();
        self.cx.tape.set_on(on);
        self.cx.tape_after_patch.set_on(on);
    }

    /// What is on the tape goes to the record, before what comes next there.
    pub(super) fn put_sent(&mut self) {
        if !self.cx.tape.is_empty() {
            self.draft.sent(self.cx.tape.items());
            self.cx.tape.clear();
        }
    }

    /// At the end of a step: messages are worth a record of their own only while someone misses them.
    pub(super) fn finish_tape(&mut self) {
        let worth = self.awaiting.is_some() || !self.draft.is_empty();
        for tape in [&mut self.cx.tape, &mut self.cx.tape_after_patch] {
            if worth && !tape.is_empty() {
                self.draft.sent(tape.items());
            }
            tape.clear();
        }
    }

    pub(super) fn reattach(&mut self, reattach: &Reattach) {
        let session = &reattach.connect.session;
        let seat = self.cx.ledger.get().seats.get(session.as_str()).cloned();
        let Some(seat) = seat else { return self.see_off(reattach) };
        match seat.phase() {
            // Nothing of its first connection is in the journal.
            Phase::Reserved => return self.connect(reattach.connect.clone()),
            Phase::Held => {}
            Phase::Joined if self.is_awaited(session) => {}
            Phase::Joined => {
                // Two sockets of one session were kept, of which the newer one holds the newer token.
                let conn = reattach.connect.conn;
                let reason = "another connection has the seat".to_owned();
                let code = CloseCode::MAY_TRY_RECONNECT;
                return self.cx.closes.push(Out::Close { conn, code, reason });
            }
        }
        if !reattach.acknowledged || seat.awaits_acknowledgement() {
            self.reattach_joining(reattach, &seat);
        } else {
            self.reattach_live(reattach, &seat);
        }
        if seat.phase() == Phase::Held {
            if let Some(seat) = self.cx.ledger_mut().seats.get_mut(session.as_str()) {
                seat.set_phase(Phase::Joined);
            }
            let Some(client) = self.cx.client(session) else { return };
            let (room, cx) = self.room();
            room.reconnect(cx, &client);
        }
    }

    fn is_awaited(&self, session: &SessionId) -> bool {
        self.cx.members.get(session).is_some_and(|member| member.awaited_until.is_some())
    }

    /// The client had not acknowledged JOIN_ROOM, or the room's last owner did not live to know it.
    fn reattach_joining(&mut self, reattach: &Reattach, seat: &Seat) {
        let connect = &reattach.connect;
        let session = &connect.session;
        let Some(member) = self.cx.members.get_mut(session) else { return };
        let client = member.client.clone();
        let mut late = Vec::new();
        let (first, mut queue) = match std::mem::replace(&mut member.link, Link::Gone) {
            Link::Joining(Joining { conn, first, queue, .. }) => {
                self.cx.by_conn.remove(&conn);
                (first, queue)
            }
            Link::Live(conn) => {
                self.cx.by_conn.remove(&conn);
                let now = self.unsent_to(conn);
                let mut queue = reattach.missed.since_join(session);
                queue.extend(now.frames.into_iter().filter_map(Missing::message));
                late = now.after_patch;
                (false, queue)
            }
            Link::Gone => (false, reattach.missed.since_join(session)),
        };
        self.link(&client, connect, connect.dialect.or(dialect_of(seat)), first);
        // Once more on the tape, behind the new JOIN_ROOM; what follows the present patch comes behind it anyway.
        queue.iter().for_each(|frame| self.cx.tape.only(session, frame));
        queue.append(&mut late);
        if let Some(Link::Joining(joining)) = self.cx.members.get_mut(session).map(|member| &mut member.link)
        {
            joining.queue = queue;
        }
        if reattach.acknowledged {
            self.acknowledge(session);
            // The current token may have gone to a later socket of this client whose owner did not live to send it: the
            // one before stays good until a JOIN_ROOM is acknowledged here.
            if let Some(kept) = self.cx.ledger_mut().seats.get_mut(session.as_str()) {
                (kept.previous_0, kept.previous_1) = (seat.previous_0, seat.previous_1);
            }
            self.go_on_with_inputs(reattach);
        } else {
            self.send_join(session, None);
        }
    }

    /// The client's frames go on where they stopped.
    fn reattach_live(&mut self, reattach: &Reattach, seat: &Seat) {
        let Reattach { connect, full, missed, .. } = reattach;
        let (session, conn) = (&connect.session, connect.conn);
        let dialect = connect.dialect.or(dialect_of(seat));
        let Some(member) = self.cx.members.get_mut(session) else { return };
        let old = std::mem::replace(&mut member.link, Link::Gone).conn();
        member.awaited_until = None;
        if let Some(kind) = &self.kind.messages.input {
            let options = self.kind.input_options.unwrap_or_default();
            member.inputs.get_or_insert_with(|| (kind.queue)(options));
            member.timed = dialect == Some(Dialect::V18);
        }
        let patches = !member.timed && member.client.view_id().is_none();
        self.cx.live = None;
        let unsent = old.map(|old| {
            self.cx.by_conn.remove(&old);
            self.unsent_to(old)
        });
        let Unsent { frames, after_patch } = unsent.unwrap_or_default();
        self.go_on_with_inputs(reattach);
        let Remainder { frames: mut missing, needs_full } = missed.of(session, patches);
        missing.extend(frames);
        if needs_full || *full {
            // Those who are live get what is pending as a patch; this one has it in its full state.
            self.flush();
            let Some(member) = self.cx.members.get(session) else { return };
            let bytes = self.state_frame(member, FullForm::Rejoin);
            self.cx.out.push(Out::Frame { to: Recipients::One(conn), kind: FrameKind::State, bytes });
            missing.retain(|missing| matches!(missing, Missing::Message(_)));
        }
        if let Some(member) = self.cx.members.get_mut(session) {
            member.link = Link::Live(conn);
        }
        self.cx.by_conn.insert(conn, session.clone());
        self.cx.live = None;
        // On the tape they are already, each in the step that it was meant for.
        self.cx.out.extend(missing.into_iter().map(|missing| missing.to(conn)));
        self.cx.after_patch.extend(after_patch.into_iter().map(|frame| message(conn, frame)));
    }

    fn go_on_with_inputs(&mut self, reattach: &Reattach) {
        let session = &reattach.connect.session;
        let Some(member) = self.cx.members.get_mut(session) else { return };
        let Some(inputs) = &mut member.inputs else { return };
        member.consumed = inputs.go_on(reattach.inputs, reattach.input_time);
        let consumed = member.consumed;
        if let Some(seat) = self.cx.ledger_mut().seats.get_mut(session.as_str()) {
            seat.input_seq = consumed;
        }
    }

    /// Copies of what this step has for a connection that leads nowhere, to send it where its client is now.
    fn unsent_to(&self, nowhere: ConnId) -> Unsent {
        let mine = |out: &Out| match out {
            Out::Frame { to, kind, bytes } if to.includes(nowhere) => match kind {
                FrameKind::Patch => Some(Missing::Patch(bytes.clone())),
                FrameKind::Message => Some(Missing::Message(bytes.clone())),
                FrameKind::State => None,
            },
            _ => None,
        };
        Unsent {
            frames: self.cx.out.iter().filter_map(mine).collect(),
            after_patch: self.cx.after_patch.iter().filter_map(mine).filter_map(Missing::message).collect(),
        }
    }

    /// There is no seat (any more): the client learns how its connection ended, which it may have missed.
    pub(super) fn see_off(&mut self, reattach: &Reattach) {
        let Reattach { connect, missed, .. } = reattach;
        let Some((code, reason)) = missed.closed(&connect.session) else { return self.refuse(connect) };
        let frames = missed.of(&connect.session, false).frames;
        self.cx.out.extend(frames.into_iter().map(|missing| missing.to(connect.conn)));
        self.cx.closes.push(Out::Close { conn: connect.conn, code, reason });
    }
}

impl Missing {
    fn message(self) -> Option<Bytes> {
        match self {
            Missing::Message(frame) => Some(frame),
            Missing::Patch(_) => None,
        }
    }

    fn to(self, conn: ConnId) -> Out {
        match self {
            Missing::Message(frame) => message(conn, frame),
            Missing::Patch(bytes) => Out::Frame { to: Recipients::One(conn), kind: FrameKind::Patch, bytes },
        }
    }
}

impl Recipients {
    fn includes(&self, conn: ConnId) -> bool {
        match self {
            Recipients::One(one) => *one == conn,
            Recipients::Many(many) => many.contains(&conn),
        }
    }
}
