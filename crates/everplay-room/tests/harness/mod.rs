//! Drives an engine the way a node does, with clients that decode what they are sent.

#![allow(dead_code, reason = "each test file uses a part of it")]

use bytes::Bytes;
use everplay_room::{
    Absent, Birth, ConnId, Connect, FrameKind, Input, Out, Recipients, Reply, Room, RoomEngine, RoomKind,
    RoomType, Step, Ticket,
};
use everplay_schema::Decoder;
use everplay_types::{CloseCode, Millis, RoomId, SessionId};
use everplay_wire::{ClientFrame, Dialect, Join, MessageType, ServerFrame, Timed, msgpack};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One client's side of a connection.
pub(crate) struct Peer {
    pub(crate) conn: Option<ConnId>,
    pub(crate) dialect: Dialect,
    pub(crate) token: Option<String>,
    pub(crate) decoder: Option<Decoder>,
    pub(crate) messages: Vec<(String, serde_json::Value)>,
    pub(crate) responses: Vec<(u32, u8, serde_json::Value)>,
    pub(crate) errors: Vec<(i32, String)>,
    pub(crate) closed: Option<(CloseCode, String)>,
    pub(crate) joins: usize,
    /// What JOIN_ROOM said beside the handshake.
    pub(crate) sections: Vec<(u8, Vec<u8>)>,
    /// What stood in front of states and patches.
    pub(crate) timings: Vec<Timed>,
    /// What arrived, in order, as short words.
    pub(crate) order: Vec<&'static str>,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            conn: None,
            dialect: Dialect::V18,
            token: None,
            decoder: None,
            messages: Vec::new(),
            responses: Vec::new(),
            errors: Vec::new(),
            closed: None,
            joins: 0,
            sections: Vec::new(),
            timings: Vec::new(),
            order: Vec::new(),
        }
    }
}

impl Peer {
    pub(crate) fn state(&self) -> serde_json::Value {
        self.decoder.as_ref().expect("the client has joined").to_json()
    }

    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        match ServerFrame::decode(bytes, self.dialect).expect("the server sends frames that decode") {
            ServerFrame::Join(Join { token, handshake, sections, .. }) => {
                self.sections =
                    sections.iter().map(|section| (section.tag, section.payload.to_vec())).collect();
                self.joins += 1;
                self.order.push("join");
                self.token = Some(token.to_owned());
                if !handshake.is_empty() {
                    self.decoder = Some(Decoder::from_handshake(handshake).expect("the handshake decodes"));
                }
            }
            ServerFrame::State { body, timed } => {
                self.timings.extend(timed);
                self.order.push("state");
                self.decoder
                    .as_mut()
                    .expect("a state follows a join")
                    .apply(body)
                    .expect("the state decodes");
            }
            ServerFrame::Patch { body, timed, .. } => {
                self.timings.extend(timed);
                self.order.push("patch");
                self.decoder
                    .as_mut()
                    .expect("a patch follows a join")
                    .apply(body)
                    .expect("the patch decodes");
            }
            ServerFrame::Data { ty, payload } => {
                self.order.push("message");
                self.messages.push((ty.to_string(), payload_json(payload)));
            }
            ServerFrame::Bytes { ty, bytes } => {
                self.messages.push((ty.to_string(), serde_json::json!(bytes)));
            }
            ServerFrame::Error { code, message } => self.errors.push((code, message.to_owned())),
            ServerFrame::Response { id, status, payload } => {
                self.responses.push((id, status as u8, payload_json(payload)));
            }
            ServerFrame::Ping => self.order.push("pong"),
            ServerFrame::Leave => self.order.push("leave"),
        }
    }
}

fn payload_json(payload: &[u8]) -> serde_json::Value {
    if payload.is_empty() { serde_json::Value::Null } else { msgpack::from_slice(payload).expect("msgpack") }
}

/// A room kind, its running engine, its journal and its clients.
pub(crate) struct Harness {
    pub(crate) kind: Arc<dyn RoomKind>,
    pub(crate) engine: Box<dyn RoomEngine>,
    pub(crate) now: Millis,
    pub(crate) wake_at: Option<Millis>,
    pub(crate) journal: Vec<Vec<u8>>,
    pub(crate) snapshot: Option<(usize, Vec<u8>)>,
    pub(crate) peers: BTreeMap<String, Peer>,
    pub(crate) conns: BTreeMap<ConnId, String>,
    pub(crate) replies: Vec<(Ticket, Reply)>,
    pub(crate) listing: Option<everplay_room::Listing>,
    pub(crate) ended: bool,
    pub(crate) overruns: u32,
    next: u64,
}

pub(crate) fn room_id() -> RoomId {
    RoomId::new("room1").expect("an id")
}

impl Harness {
    pub(crate) fn new<R: Room>(options: serde_json::Value) -> Self {
        let kind: Arc<dyn RoomKind> = Arc::new(Arc::new(RoomType::<R>::new("test")));
        let engine = kind
            .create(Birth { room_id: room_id(), seed: [3; 32], options })
            .unwrap_or_else(|refusal| panic!("{refusal}"));
        let mut harness = Self {
            kind,
            engine,
            now: Millis::ZERO,
            wake_at: None,
            journal: Vec::new(),
            snapshot: None,
            peers: BTreeMap::new(),
            conns: BTreeMap::new(),
            replies: Vec::new(),
            listing: None,
            ended: false,
            overruns: 0,
            next: 1,
        };
        harness.finish();
        harness
    }

    pub(crate) fn finish(&mut self) {
        let step: Step = self.engine.finish();
        self.journal.extend(step.record);
        self.wake_at = step.wake_at;
        self.ended |= step.ended;
        self.overruns += step.overruns;
        if step.listing.is_some() {
            self.listing = step.listing;
        }
        for out in step.out {
            match out {
                Out::Frame { to: Recipients::One(conn), bytes, kind } => self.deliver(conn, kind, &bytes),
                Out::Frame { to: Recipients::Many(conns), bytes, kind } => {
                    conns.iter().for_each(|&conn| self.deliver(conn, kind, &bytes));
                }
                Out::Close { conn, code, reason } => {
                    if let Some(name) = self.conns.remove(&conn) {
                        let peer = self.peers.entry(name).or_default();
                        if peer.conn == Some(conn) {
                            peer.closed = Some((code, reason));
                            peer.conn = None;
                        }
                    }
                }
                Out::Reply { ticket, reply } => self.replies.push((ticket, reply)),
            }
        }
    }

    fn deliver(&mut self, conn: ConnId, _kind: FrameKind, bytes: &Bytes) {
        if let Some(name) = self.conns.get(&conn) {
            self.peers.entry(name.clone()).or_default().receive(bytes);
        }
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.engine.input(self.now, input);
        self.finish();
    }

    /// Lets room time pass, waking the engine whenever it asked for it.
    pub(crate) fn pass(&mut self, millis: u64) {
        let end = Millis(self.now.0 + millis);
        while let Some(at) = self.wake_at.filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.engine.wake(self.now);
            self.finish();
            assert!(
                self.wake_at != Some(at) || at < self.now,
                "the engine asks to be woken in the past for ever"
            );
        }
        self.now = end;
    }

    pub(crate) fn reserve(&mut self, name: &str, options: serde_json::Value) -> Reply {
        let ticket = Ticket(self.next);
        self.next += 1;
        let session = SessionId::new(name).expect("an id");
        self.input(Input::Reserve { ticket, session, options, auth: serde_json::json!({ "name": name }) });
        self.replies.iter().rfind(|(asked, _)| *asked == ticket).expect("a reply").1.clone()
    }

    pub(crate) fn connect(
        &mut self,
        name: &str,
        token: Option<String>,
        skip_handshake: bool,
        dialect: Option<Dialect>,
    ) {
        let conn = ConnId(self.next);
        self.next += 1;
        self.conns.insert(conn, name.to_owned());
        let peer = self.peers.entry(name.to_owned()).or_default();
        peer.conn = Some(conn);
        peer.closed = None;
        peer.dialect = dialect.unwrap_or(peer.dialect);
        let session = SessionId::new(name).expect("an id");
        self.input(Input::Connect(Connect { conn, session, token, skip_handshake, dialect }));
    }

    pub(crate) fn send(&mut self, name: &str, frame: ClientFrame<'_>) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.raw(name, bytes);
    }

    pub(crate) fn raw(&mut self, name: &str, bytes: Vec<u8>) {
        let conn = self.peers[name].conn.expect("the client is connected");
        self.input(Input::Frame { conn, bytes: bytes.into() });
    }

    pub(crate) fn message(&mut self, name: &str, kind: &str, payload: &impl Serialize) {
        let payload = msgpack::to_vec(payload).expect("encodes");
        self.send(name, ClientFrame::Data { ty: MessageType::from(kind), payload: &payload });
    }

    pub(crate) fn request(&mut self, name: &str, id: u32, kind: &str, payload: &impl Serialize) {
        let payload = msgpack::to_vec(payload).expect("encodes");
        self.send(name, ClientFrame::Request { id, ty: MessageType::from(kind), payload: &payload });
    }

    /// Reserve, connect, acknowledge as an 0.18 client.
    pub(crate) fn join(&mut self, name: &str) {
        self.join_with(name, serde_json::json!({}));
    }

    pub(crate) fn join_with(&mut self, name: &str, options: serde_json::Value) {
        assert_eq!(self.reserve(name, options), Reply::Reserved(Ok(())));
        self.connect(name, None, false, None);
        self.send(name, ClientFrame::Ack);
    }

    pub(crate) fn drop_connection(&mut self, name: &str) {
        let conn =
            self.peers.get_mut(name).and_then(|peer| peer.conn.take()).expect("the client is connected");
        self.conns.remove(&conn);
        self.input(Input::Closed { conn, code: CloseCode(1006) });
    }

    /// As the SDK does by itself: old URL, token, its decoder kept.
    pub(crate) fn come_back(&mut self, name: &str) {
        let token = self.peers[name].token.clone();
        self.connect(name, token, true, None);
        self.send(name, ClientFrame::Ack);
    }

    /// What the journal holds, by reflection.
    pub(crate) fn inspect(&mut self) -> serde_json::Value {
        self.engine.inspect().expect("nothing is pending")
    }

    /// Forgets everything but the journal and starts again from it.
    pub(crate) fn crash(&mut self) {
        let (from, snapshot) = match &self.snapshot {
            Some((at, bytes)) => (*at, Some(bytes.as_slice())),
            None => (0, None),
        };
        let records: Vec<&[u8]> = self.journal[from..].iter().map(Vec::as_slice).collect();
        self.engine = self.kind.revive(&room_id(), snapshot, &records).expect("the journal is whole");
        self.now = self.engine.time();
        for peer in self.peers.values_mut() {
            peer.conn = None;
        }
        self.conns.clear();
        self.engine.resume(&[], Absent::Dropped);
        self.finish();
    }

    pub(crate) fn take_snapshot(&mut self) {
        let bytes = self.engine.snapshot().expect("nothing is pending");
        self.snapshot = Some((self.journal.len(), bytes));
    }
}
