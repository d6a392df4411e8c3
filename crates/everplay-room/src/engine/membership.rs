//! Seats and connections: who comes, who is awaited, who is gone.
//!
//! ```text
//! Reserved --connect--> Joined --drop--> Held --connect with token--> Joined
//!     | expires           | leave, kick    | expires, denied
//!     v                   v                v
//!   (gone)              (gone)           (gone)
//! ```

use super::{Engine, json_value};
use crate::context::{Joining, Link, Member};
use crate::effects::{FrameKind, Out, Recipients, Reply, ReserveError};
use crate::kind::typed_options;
use crate::ledger::{Phase, Seat, TokenHash};
use crate::{Client, ConnId, Connect, Input, Leave, Refusal, Room};
use bytes::Bytes;
use everplay_schema::{FullForm, ViewId};
use everplay_types::{CloseCode, ErrorCode, SessionId};
use everplay_wire::{Dialect, JoinForm, Section, Serializer, server_frame};
use std::time::Duration;

/// How long the 0.18 probe waits for its answer before the older form is sent as well: several round trips of a
/// slow line, short enough that older SDKs join without a visible delay.
const PROBE: Duration = Duration::from_millis(300);

/// Characters of a reconnection token, 6 bits each. The wire allows fewer than 32 bytes.
const TOKEN_LEN: usize = 24;

pub(super) fn client_of(session: SessionId, seat: &Seat) -> Client {
    let view = seat.view.checked_sub(1).map(ViewId);
    Client::new(session, view, json_value(&seat.auth))
}

pub(super) fn dialect_of(seat: &Seat) -> Option<Dialect> {
    match seat.dialect {
        16 => Some(Dialect::V16),
        17 => Some(Dialect::V17),
        18 => Some(Dialect::V18),
        _ => None,
    }
}

fn dialect_number(dialect: Dialect) -> u8 {
    match dialect {
        Dialect::V16 => 16,
        Dialect::V17 => 17,
        Dialect::V18 => 18,
    }
}

impl<R: Room> Engine<R> {
    pub(super) fn connect(&mut self, connect: Connect) {
        let seat = self.cx.ledger.get().seats.get(connect.session.as_str()).cloned();
        let accepted = seat.filter(|seat| match (seat.phase(), &connect.token) {
            (Phase::Reserved, None) => true,
            (Phase::Joined | Phase::Held, Some(token)) => seat.accepts(TokenHash::of(token)),
            _ => false,
        });
        let Some(seat) = accepted else {
            self.refuse(&connect);
            return;
        };
        if seat.phase() == Phase::Reserved {
            self.first_connect(&connect, &seat);
        } else {
            self.connect_again(&connect);
        }
    }

    fn first_connect(&mut self, connect: &Connect, seat: &Seat) {
        let session = &connect.session;
        let view = self.state.has_views().then(|| self.state.add_view());
        let client = Client::new(session.clone(), view, json_value(&seat.auth));
        let dialect = connect.dialect.or(dialect_of(seat));
        {
            let ledger = self.cx.ledger_mut();
            ledger.joined_once = true;
            if let Some(seat) = ledger.seats.get_mut(session.as_str()) {
                seat.set_phase(Phase::Joined);
                seat.view = view.map_or(0, |view| view.0 + 1);
                seat.options.clear();
            }
        }
        self.link(&client, connect, dialect, true);
        let joined = typed_options::<R::Options>(&json_value(&seat.options)).and_then(|options| {
            let (room, cx) = self.room();
            room.join(cx, &client, options)
        });
        if let Err(refusal) = joined {
            self.forget_member(session);
            self.refuse_with(connect.conn, &refusal, CloseCode::WITH_ERROR);
            return;
        }
        self.send_join(session, None);
    }

    fn connect_again(&mut self, connect: &Connect) {
        let Some(member) = self.cx.members.get_mut(&connect.session) else {
            self.refuse(connect);
            return;
        };
        let client = member.client.clone();
        if let Some(old) = std::mem::replace(&mut member.link, Link::Gone).conn() {
            self.cx.by_conn.remove(&old);
            let reason = "another connection took the seat".into();
            self.cx.closes.push(Out::Close { conn: old, code: CloseCode::REPLACED, reason });
        }
        let mut known = None;
        if let Some(seat) = self.cx.ledger_mut().seats.get_mut(connect.session.as_str()) {
            seat.set_phase(Phase::Joined);
            known = dialect_of(seat);
        }
        self.link(&client, connect, connect.dialect.or(known), false);
        let (room, cx) = self.room();
        room.reconnect(cx, &client);
        self.send_join(&connect.session, connect.token.as_deref());
    }

    /// Puts the connection in its seat, unacknowledged, so that what the hook sends is queued for it.
    pub(super) fn link(&mut self, client: &Client, connect: &Connect, dialect: Option<Dialect>, first: bool) {
        let joining = Joining {
            conn: connect.conn,
            rejoin: !first && connect.skip_handshake,
            first,
            dialect,
            probe_until: None,
            token: String::new(),
            skip_handshake: connect.skip_handshake,
            queue: Vec::new(),
        };
        self.cx.tape.join(client.session_id());
        let member = Member::new(client.clone(), Link::Joining(joining));
        self.cx.members.insert(connect.session.clone(), member);
        self.cx.by_conn.insert(connect.conn, connect.session.clone());
        self.cx.live = None;
    }

    /// Sends JOIN_ROOM with a fresh token in place of the one the client has shown, if it came with one; probes when the client's generation is not known and matters.
    pub(super) fn send_join(&mut self, session: &SessionId, shown: Option<&str>) {
        let token = self.cx.rng.id(TOKEN_LEN);
        if let Some(seat) = self.cx.ledger_mut().seats.get_mut(session.as_str()) {
            seat.rotate_token(&token, shown);
        }
        let probe_until = self.cx.now + PROBE;
        let options = self.kind.input_options.map(|options| options.encode());
        let sections: Vec<Section<'_>> = match (&self.kind.messages.input, &options) {
            (Some(input), Some(options)) => {
                vec![Section::input_reflection(&input.handshake), Section::input_options(options)]
            }
            _ => Vec::new(),
        };
        // The hook may have kicked it already; the kick is carried out when this returns.
        let Some(Member { link: Link::Joining(joining), .. }) = self.cx.members.get_mut(session) else {
            return;
        };
        let handshakes = &self.kind.handshakes;
        let (form, handshake, sections): (JoinForm, &[u8], &[Section<'_>]) =
            match (joining.skip_handshake, joining.dialect) {
                (true, None) if !sections.is_empty() => (JoinForm::Probe, &[], &sections),
                (true, Some(Dialect::V18)) => (JoinForm::Bare, &[], &sections),
                (true, _) => (JoinForm::Bare, &[], &[]),
                (false, None) => (JoinForm::Probe, &handshakes.schema5, &sections),
                (false, Some(Dialect::V18)) => (JoinForm::V18, &handshakes.schema5, &sections),
                (false, Some(_)) => (JoinForm::V16V17, &handshakes.schema4, &[]),
            };
        joining.probe_until = (form == JoinForm::Probe).then_some(probe_until);
        let frame = join_frame(form, &token, handshake, sections);
        let conn = joining.conn;
        joining.token = token;
        self.cx.out.push(message(conn, frame));
    }

    /// Clients that did not answer the probe are older: they ignored it and get the form they know. A slow
    /// 0.18 client reads the polyglot form as a second join, and its answer does not tell which of them it is: the
    /// generation stays unknown, and the next join probes again.
    pub(super) fn second_joins(&mut self) {
        let now = self.cx.now;
        for member in self.cx.members.values_mut() {
            let Link::Joining(joining) = &mut member.link else { continue };
            if joining.probe_until.is_none_or(|until| until > now) {
                continue;
            }
            joining.probe_until = None;
            let handshakes = &self.kind.handshakes;
            let (form, handshake): (JoinForm, &[u8]) = match &handshakes.polyglot {
                _ if joining.skip_handshake => (JoinForm::Bare, &[]),
                Some(polyglot) => (JoinForm::Polyglot, polyglot),
                None => (JoinForm::V16V17, &handshakes.schema4),
            };
            let frame = join_frame(form, &joining.token, handshake, &[]);
            self.cx.out.push(message(joining.conn, frame));
        }
    }

    /// The client has JOIN_ROOM: from here on it gets patches, after one full state.
    pub(super) fn acknowledge(&mut self, session: &SessionId) {
        // Those who are live get what is pending as a patch; the newcomer has it in its full state.
        self.flush();
        let Some(member) = self.cx.members.get_mut(session) else { return };
        let Link::Joining(joining) = &mut member.link else { return };
        let conn = joining.conn;
        let dialect = match joining.probe_until {
            Some(_) => Some(Dialect::V18),
            None => joining.dialect,
        };
        let form = match (joining.rejoin, dialect) {
            (false, _) => FullForm::Join,
            (true, Some(Dialect::V18)) => FullForm::Resync,
            (true, _) => FullForm::Rejoin,
        };
        let queue = std::mem::take(&mut joining.queue);
        member.link = Link::Live(conn);
        let options = self.kind.input_options.unwrap_or_default();
        member.inputs = self.kind.messages.input.as_ref().map(|input| (input.queue)(options));
        member.timed = member.inputs.is_some() && dialect == Some(Dialect::V18);
        (member.consumed, member.noted) = (0, 0);
        self.cx.live = None;
        if let Some(seat) = self.cx.ledger_mut().seats.get_mut(session.as_str()) {
            seat.forget_previous_token();
            seat.dialect = dialect.map_or(seat.dialect, dialect_number);
            seat.input_seq = 0;
        }
        let Some(member) = self.cx.members.get(session) else { return };
        let bytes = self.state_frame(member, form);
        self.cx.out.push(Out::Frame { to: Recipients::One(conn), kind: FrameKind::State, bytes });
        self.cx.tape.live(session);
        for bytes in queue {
            self.cx.tape.only(session, &bytes);
            self.cx.out.push(Out::Frame { to: Recipients::One(conn), kind: FrameKind::Message, bytes });
        }
    }

    /// A full state for a connection whose queue was cut.
    pub(super) fn resync(&mut self, conn: ConnId) {
        let Some(session) = self.cx.by_conn.get(&conn).cloned() else { return };
        self.flush();
        let Some(member) = self.cx.members.get(&session) else { return };
        if !matches!(member.link, Link::Live(_)) {
            return;
        }
        // The decoder holds an older state, and without a JOIN_ROOM before it no generation reconciles.
        let bytes = self.state_frame(member, FullForm::Rejoin);
        self.cx.tape.full(&session);
        self.cx.out.push(Out::Frame { to: Recipients::One(conn), kind: FrameKind::State, bytes });
    }

    pub(super) fn closed(&mut self, conn: ConnId, code: CloseCode) {
        let Some(session) = self.cx.by_conn.remove(&conn) else { return };
        let Some(member) = self.cx.members.get_mut(&session) else { return };
        let never_joined = matches!(&member.link, Link::Joining(joining) if joining.first);
        member.link = Link::Gone;
        member.inputs = None;
        member.awaited_until = None;
        let client = member.client.clone();
        self.cx.live = None;
        if never_joined {
            self.remove_member(&session, Leave::Dropped(code), None);
            return;
        }
        self.cx.hold = Some(self.kind.settings.reconnection);
        let (room, cx) = self.room();
        room.drop(cx, &client, code);
        let hold = self.cx.hold.take().unwrap_or_default();
        if hold.is_zero() {
            self.remove_member(&session, Leave::Dropped(code), None);
            return;
        }
        let expires_at = (self.cx.now + hold).0;
        if let Some(seat) = self.cx.ledger_mut().seats.get_mut(session.as_str()) {
            seat.set_phase(Phase::Held);
            seat.expires_at = expires_at;
            seat.dropped_with = code.0;
        }
    }

    pub(super) fn expire_seats(&mut self) {
        let now = self.cx.now.0;
        let expired: Vec<(String, Phase, u16)> = self
            .cx
            .ledger
            .get()
            .seats
            .iter()
            .filter(|(_, seat)| seat.phase() != Phase::Joined && seat.expires_at <= now)
            .map(|(id, seat)| (id.to_owned(), seat.phase(), seat.dropped_with))
            .collect();
        for (id, phase, dropped_with) in expired {
            if phase == Phase::Reserved {
                self.cx.ledger_mut().seats.remove(&id);
            } else if let Ok(session) = SessionId::new(&id) {
                self.remove_member(&session, Leave::Dropped(CloseCode(dropped_with)), None);
            }
        }
    }

    /// Frees the seat and tells the room. `close` is told to the connection, if there is one.
    pub(super) fn remove_member(
        &mut self,
        session: &SessionId,
        why: Leave,
        close: Option<(CloseCode, String)>,
    ) {
        let Some(member) = self.forget_member(session) else { return };
        if let (Some(conn), Some((code, reason))) = (member.link.conn(), close) {
            self.cx.tape.closed(session, code, &reason);
            self.cx.closes.push(Out::Close { conn, code, reason });
        }
        let (room, cx) = self.room();
        room.leave(cx, &member.client, why);
    }

    /// Frees the seat without a word to the room.
    fn forget_member(&mut self, session: &SessionId) -> Option<Member<R>> {
        self.cx.ledger_mut().seats.remove(session.as_str());
        let member = self.cx.members.remove(session)?;
        if let Some(conn) = member.link.conn() {
            self.cx.by_conn.remove(&conn);
        }
        self.cx.live = None;
        if let Some(view) = member.client.view_id() {
            self.touched = true;
            self.state.remove_view(view);
        }
        Some(member)
    }

    pub(super) fn session_of(&self, token: &str) -> Option<SessionId> {
        let hash = TokenHash::of(token);
        let seats = &self.cx.ledger.get().seats;
        let (id, _) = seats.iter().find(|(_, seat)| seat.phase() != Phase::Reserved && seat.accepts(hash))?;
        SessionId::new(id).ok()
    }

    pub(super) fn refuse(&mut self, connect: &Connect) {
        let code =
            if connect.token.is_some() { CloseCode::FAILED_TO_RECONNECT } else { CloseCode::WITH_ERROR };
        let refusal = Refusal::new(ErrorCode::EXPIRED.0, "seat reservation expired.");
        self.refuse_with(connect.conn, &refusal, code);
    }

    fn refuse_with(&mut self, conn: ConnId, refusal: &Refusal, close: CloseCode) {
        let code = refusal.code_or(ErrorCode::APPLICATION_ERROR);
        let frame = server_frame::error(i32::from(code), &refusal.message);
        self.cx.out.push(message(conn, frame));
        self.cx.closes.push(Out::Close { conn, code: close, reason: refusal.message.clone() });
    }

    pub(super) fn refuse_after_end(&mut self, input: Input) {
        match input {
            Input::Reserve { ticket, .. } => {
                let reply = Reply::Reserved(Err(ReserveError::Ended));
                self.cx.out.push(Out::Reply { ticket, reply });
            }
            Input::FindSession { ticket, .. } => {
                self.cx.out.push(Out::Reply { ticket, reply: Reply::Session(None) });
            }
            Input::Connect(connect) => self.refuse(&connect),
            Input::Reattach(reattach) => self.see_off(&reattach),
            Input::Detached { .. } | Input::Taken { .. } | Input::Service { .. } => {}
            Input::Frame { .. } | Input::Closed { .. } | Input::Resync { .. } | Input::End { .. } => {}
        }
    }
}

fn join_frame(form: JoinForm, token: &str, handshake: &[u8], sections: &[Section<'_>]) -> Bytes {
    server_frame::join_room(form, token, Serializer::Schema, handshake, sections)
        .expect("tokens are 24 bytes, polyglot handshakes fit, and sections go with the layout of 0.18 only")
}

pub(super) fn message(conn: ConnId, bytes: Bytes) -> Out {
    Out::Frame { to: Recipients::One(conn), kind: FrameKind::Message, bytes }
}
