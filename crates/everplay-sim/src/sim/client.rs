//! The clients: what they do, what they see, and what they hold against it.
//!
//! A client behaves as the SDKs do: it asks for a seat, takes it at any node, acknowledges, and when its socket breaks
//! it knocks again with its newest token, keeping its decoder. It is an SDK of 0.17: the decoders of 0.18 sweep collections
//! after a new join, which the decoder used here leaves to the server.

use super::checks::Journal;
use super::room::{Did, Digest, KIND, SEATS};
use super::world::{Dice, Lane, Ms, Property, World};
use bytes::Bytes;
use everplay_node::{
    Attach, ClientSink, Handle, MatchError, MatchRequest, Method, PushError, Reservation, RoomLink,
};
use everplay_room::{AuthRequest, FrameKind};
use everplay_schema::{Decoder, Node, Value};
use everplay_types::CloseCode;
use everplay_wire::{ClientFrame, Dialect, MessageType, ServerFrame, msgpack};
use parking_lot::Mutex;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

/// How long a client waits for an answer before it tries elsewhere.
const PATIENCE: Ms = 2_500;
/// First pause before a knock, and the longest.
const KNOCK_FIRST: Ms = 50;
const KNOCK_CAP: Ms = 400;

/// What comes down a socket.
pub(crate) enum Item {
    Frame(Bytes),
    Close(CloseCode),
}

/// What goes up a socket.
enum Up {
    Frame(Bytes),
    Closed(CloseCode),
}

/// Items that reached clients and were not looked at yet, by the number of their socket.
#[derive(Default)]
pub(crate) struct Inbox(Mutex<VecDeque<(u64, Item)>>);

impl Inbox {
    pub(crate) fn take(&self) -> Option<(u64, Item)> {
        self.0.lock().pop_front()
    }

    fn put(&self, socket: u64, item: Item) {
        self.0.lock().push_back((socket, item));
    }
}

/// The node's end of a socket.
struct Socket {
    world: Arc<World>,
    inbox: Arc<Inbox>,
    number: u64,
}

impl Socket {
    fn down(&self, item: Item) {
        let delay = self.world.dice(|dice| dice.between(0, 3));
        let (inbox, number) = (Arc::clone(&self.inbox), self.number);
        self.world.send(Lane::Down(number), delay, move || inbox.put(number, item));
    }
}

impl ClientSink for Socket {
    fn deliver(&self, _: FrameKind, bytes: Bytes) {
        self.down(Item::Frame(bytes));
    }

    fn close(&self, code: CloseCode, _: &str) {
        self.down(Item::Close(code));
    }
}

/// A process that clients can reach.
pub(crate) struct Door<'a> {
    pub(crate) machine: usize,
    pub(crate) runtime: &'a Runtime,
    pub(crate) node: &'a Handle,
}

/// What all clients share.
pub(crate) struct Crowd {
    pub(crate) world: Arc<World>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) sockets: std::cell::Cell<u64>,
    /// Seats that were given out.
    pub(crate) seats: BTreeSet<String>,
    /// No node stands still or has its clock jump: three seconds are three seconds everywhere.
    pub(crate) clocks_run: bool,
    /// Rooms tell results again.
    pub(crate) again: bool,
    /// Sessions whose clients went away for good.
    pub(crate) abandoned: RefCell<BTreeSet<String>>,
}

type Slot = Arc<Mutex<Option<Result<Reservation, MatchError>>>>;

enum Phase {
    /// Nothing until then, then a new seat.
    Resting(Ms),
    /// Waits for a seat.
    Asking { slot: Slot, since: Ms },
    /// Has a seat and no socket; knocks then.
    Knocking { at: Ms, pause: Ms },
    /// Has a socket.
    Attached { since: Ms },
}

/// One player with one SDK.
pub(crate) struct Client {
    number: u64,
    dice: Dice,
    phase: Phase,
    seat: Option<Reservation>,
    token: Option<String>,
    decoder: Option<Decoder>,
    socket: u64,
    machine: usize,
    up: Option<mpsc::UnboundedSender<Up>>,
    /// JOIN_ROOM came over this socket.
    joined: bool,
    /// The full state came over this socket.
    live: bool,
    version: u32,
    said: u32,
    games: u32,
    sent: u32,
    /// It asked to leave: what happens to its seat is no wonder.
    leaving: bool,
    pub(crate) patched_at: Ms,
    /// Patches seen, for the figures.
    pub(crate) patches: u64,
    pub(crate) reconnects: u64,
}

impl Client {
    pub(crate) fn new(seed: u64, number: u64) -> Client {
        let mut dice = Dice::new(seed, &format!("client {number}"));
        let rest = dice.below(300);
        Client {
            number,
            dice,
            phase: Phase::Resting(rest),
            seat: None,
            token: None,
            decoder: None,
            socket: 0,
            machine: 0,
            up: None,
            joined: false,
            live: false,
            version: 0,
            said: 0,
            games: 0,
            sent: 0,
            leaving: false,
            patched_at: 0,
            patches: 0,
            reconnects: 0,
        }
    }

    pub(crate) fn room(&self) -> Option<&str> {
        self.seat.as_ref().map(|seat| &*seat.room_id as &str)
    }

    /// The newest state it saw, and how many games were finished in it.
    pub(crate) fn newest(&self) -> (u32, u32) {
        (self.version, self.games)
    }

    pub(crate) fn is_playing(&self) -> bool {
        self.live
    }

    pub(crate) fn socket(&self) -> u64 {
        self.socket
    }

    /// The machine its socket ends at, if it has one.
    pub(crate) fn machine(&self) -> Option<usize> {
        matches!(self.phase, Phase::Attached { .. }).then_some(self.machine)
    }

    /// The machine it hangs on is gone: what was sent last may still arrive.
    pub(crate) fn breaks(&mut self, crowd: &Crowd) {
        let (inbox, number) = (Arc::clone(&crowd.inbox), self.socket);
        if self.dice.chance(500) {
            // Nothing does.
            crowd.sockets.set(crowd.sockets.get() + 1);
            self.socket = crowd.sockets.get();
        }
        let socket = self.socket;
        let delay = self.dice.between(0, 5);
        self.up = None;
        crowd.world.send(Lane::Down(number), delay, move || inbox.put(socket, Item::Close(CloseCode(1006))));
    }

    /// Forgets its seat: it left, or was never in.
    fn rest(&mut self, crowd: &Crowd, now: Ms, pause: Ms) {
        self.hang_up();
        if let Some(seat) = &self.seat {
            crowd.abandoned.borrow_mut().insert(seat.session_id.to_string());
        }
        (self.seat, self.token, self.decoder) = (None, None, None);
        (self.version, self.said, self.sent, self.leaving) = (0, 0, 0, false);
        self.phase = Phase::Resting(now + pause);
    }

    fn hang_up(&mut self) {
        (self.up, self.joined, self.live) = (None, false, false);
        self.socket = 0;
    }

    fn knock(&mut self, now: Ms, pause: Ms) {
        self.hang_up();
        let at = now + self.dice.between(pause / 2, pause);
        self.phase = Phase::Knocking { at, pause: (pause * 2).min(KNOCK_CAP) };
    }

    /// What it does of its own accord. `calm`: it stays where it is and plays.
    pub(crate) fn act(&mut self, crowd: &mut Crowd, doors: &[Door<'_>], calm: bool) {
        let now = crowd.world.now();
        match &mut self.phase {
            Phase::Resting(until) if now >= *until || calm => self.ask(crowd, doors),
            Phase::Resting(_) => {}
            Phase::Asking { slot, since } => {
                let answer = slot.lock().take();
                match answer {
                    Some(Ok(seat)) => {
                        let name = format!("{} {}", &*seat.room_id as &str, &*seat.session_id as &str);
                        crowd.world.note("seat", self.number, super::world::number(name.as_bytes()));
                        if !crowd.seats.insert(name) {
                            crowd.world.fail(Property::OneSession, || "a seat was given twice".to_owned());
                        }
                        self.seat = Some(seat);
                        self.connect(crowd, doors, KNOCK_FIRST);
                    }
                    Some(Err(error)) => {
                        crowd.world.say(|| format!("client {} got no seat: {error}", self.number));
                        let pause = self.dice.between(50, 200);
                        self.rest(crowd, now, pause);
                    }
                    None if now - *since > PATIENCE => self.rest(crowd, now, 0),
                    None => {}
                }
            }
            Phase::Knocking { at, pause } if now >= *at => {
                let pause = *pause;
                self.connect(crowd, doors, pause);
            }
            Phase::Knocking { .. } => {}
            Phase::Attached { since } => {
                if !self.live && now - *since > PATIENCE {
                    crowd.world.say(|| format!("client {} gives the socket up", self.number));
                    self.drop_socket(crowd, now);
                } else if self.live {
                    self.play(crowd, now, calm);
                }
            }
        }
    }

    fn ask(&mut self, crowd: &Crowd, doors: &[Door<'_>]) {
        let now = crowd.world.now();
        let Some(door) = self.dice.pick(doors) else { return };
        let slot = Slot::default();
        let (node, answer) = (door.node.clone(), Arc::clone(&slot));
        let request = MatchRequest {
            method: Method::JoinOrCreate,
            target: KIND.into(),
            options: serde_json::json!({ "again": crowd.again }),
            auth: AuthRequest::default(),
        };
        door.runtime.spawn(async move {
            let result = node.matchmake(request).await;
            *answer.lock() = Some(result);
        });
        self.phase = Phase::Asking { slot, since: now };
    }

    fn connect(&mut self, crowd: &mut Crowd, doors: &[Door<'_>], pause: Ms) {
        let now = crowd.world.now();
        let Some(seat) = &self.seat else { return };
        let Some(door) = self.dice.pick(doors) else {
            self.knock(now, pause);
            return;
        };
        crowd.sockets.set(crowd.sockets.get() + 1);
        self.socket = crowd.sockets.get();
        self.machine = door.machine;
        let attach = Attach {
            room: seat.room_id.clone(),
            session: seat.session_id.clone(),
            token: self.token.clone(),
            skip_handshake: self.decoder.is_some(),
            dialect: Some(Dialect::V17),
        };
        crowd.world.note("connect", self.number, self.socket);
        crowd.world.say(|| format!("client {} connects to machine {}", self.number, self.machine));
        let (world, inbox) = (Arc::clone(&crowd.world), Arc::clone(&crowd.inbox));
        let sink = Arc::new(Socket { world, inbox, number: self.socket });
        let (up, frames) = mpsc::unbounded_channel();
        self.up = Some(up);
        door.runtime.spawn(serve(door.node.clone(), attach, sink, frames));
        self.phase = Phase::Attached { since: now };
    }

    fn play(&mut self, crowd: &Crowd, now: Ms, calm: bool) {
        if self.dice.chance(30) {
            self.sent += 1;
            let payload = msgpack::to_vec(&self.sent).expect("a number is msgpack");
            self.push(crowd, &ClientFrame::Data { ty: MessageType::from("add"), payload: &payload });
        }
        if calm {
            return;
        }
        if self.dice.below(8_000) == 0 {
            crowd.world.say(|| format!("client {} leaves", self.number));
            self.leaving = true;
            self.push(crowd, &ClientFrame::Leave);
        } else if self.dice.below(6_000) == 0 {
            crowd.world.say(|| format!("client {}'s socket breaks", self.number));
            self.drop_socket(crowd, now);
        }
    }

    /// The socket breaks at the client's end; the node hears of it later.
    fn drop_socket(&mut self, crowd: &Crowd, now: Ms) {
        if let Some(up) = self.up.take() {
            let delay = self.dice.between(0, 600);
            crowd
                .world
                .send(Lane::Up(self.socket), delay, move || drop(up.send(Up::Closed(CloseCode(1006)))));
        }
        self.lost(crowd, now, CloseCode(1006));
    }

    fn push(&self, crowd: &Crowd, frame: &ClientFrame<'_>) {
        let Some(up) = self.up.clone() else { return };
        let bytes = Bytes::from(frame.to_vec());
        let delay = crowd.world.dice(|dice| dice.between(0, 3));
        crowd.world.send(Lane::Up(self.socket), delay, move || drop(up.send(Up::Frame(bytes))));
    }

    /// The socket is gone.
    fn lost(&mut self, crowd: &Crowd, now: Ms, code: CloseCode) {
        crowd.world.note("closed", self.number, u64::from(code.0));
        if self.leaving || code == CloseCode::CONSENTED {
            let pause = self.dice.between(0, 400);
            self.rest(crowd, now, pause);
        } else if self.token.is_none() {
            // The seat was never taken: the SDK reports an error and the player tries again.
            let pause = self.dice.between(50, 200);
            self.rest(crowd, now, pause);
        } else if [1006, CloseCode::MAY_TRY_RECONNECT.0].contains(&code.0) {
            self.reconnects += 1;
            self.knock(now, KNOCK_FIRST);
        } else {
            let room = self.room().unwrap_or_default().to_owned();
            crowd.world.fail(Property::NoFalseLeave, || {
                format!("client {} of room {room} wanted to stay and was closed with {}", self.number, code.0)
            });
        }
    }

    /// Looks at what came down its socket.
    pub(crate) fn hear(&mut self, crowd: &Crowd, item: Item) {
        let now = crowd.world.now();
        match item {
            Item::Close(code) => self.lost(crowd, now, code),
            Item::Frame(bytes) => match ServerFrame::decode(&bytes, Dialect::V17) {
                Ok(frame) => self.frame(crowd, frame),
                Err(error) => crowd
                    .world
                    .fail(Property::Converges, || format!("client {} got a bad frame: {error}", self.number)),
            },
        }
    }

    fn frame(&mut self, crowd: &Crowd, frame: ServerFrame<'_>) {
        let world = &crowd.world;
        match frame {
            ServerFrame::Join(join) => {
                world.note("join", self.number, self.socket);
                self.token = Some(join.token.to_owned());
                if !join.handshake.is_empty() {
                    match Decoder::from_handshake(join.handshake) {
                        Ok(decoder) => self.decoder = Some(decoder),
                        Err(error) => world.fail(Property::Converges, || format!("bad handshake: {error}")),
                    }
                }
                self.joined = true;
                self.push(crowd, &ClientFrame::Ack);
            }
            ServerFrame::State { body, .. } => {
                self.live = true;
                self.said = 0;
                self.apply(crowd, body, true);
            }
            ServerFrame::Patch { body, .. } => {
                if !self.live {
                    world.fail(Property::InSequence, || {
                        format!("client {} got a patch before a state", self.number)
                    });
                }
                self.apply(crowd, body, false);
            }
            ServerFrame::Data { ty, payload } if ty.to_string() == "did" => self.did(world, payload),
            ServerFrame::Error { code, message } => {
                world.say(|| format!("client {} got error {code}: {message}", self.number));
            }
            _ => {}
        }
    }

    fn did(&mut self, world: &World, payload: &[u8]) {
        let Ok(did) = msgpack::from_slice::<Did>(payload) else { return };
        // Who asked to leave gets the rest as far as the records go; a full state, where they do not, is not for it any more.
        if self.said != 0 && did.said != self.said + 1 && !self.leaving {
            world.fail(Property::InSequence, || {
                format!("client {} got message {} after {}", self.number, did.said, self.said)
            });
        }
        self.said = did.said;
    }

    fn apply(&mut self, crowd: &Crowd, body: &[u8], full: bool) {
        let world = &crowd.world;
        let Some(decoder) = &mut self.decoder else {
            world.fail(Property::InSequence, || format!("client {} got a state before JOIN", self.number));
            return;
        };
        if let Err(error) = decoder.apply(body) {
            world.fail(Property::Converges, || format!("client {} cannot read: {error}", self.number));
            return;
        }
        let view = View::of(decoder);
        let before = self.version;
        let repeated = if full { view.version < before } else { view.version <= before };
        if repeated {
            let property = if full { Property::SeenSurvives } else { Property::InSequence };
            world.fail(property, || {
                format!("client {} saw state {} after {before}", self.number, view.version)
            });
        }
        if view.digest != view.summed {
            world.fail(Property::Converges, || {
                format!(
                    "client {}'s state {} is not the room's: {}",
                    self.number,
                    view.version,
                    self.decoder.as_ref().map(Decoder::to_json).unwrap_or_default()
                )
            });
        }
        if view.repeats > 0 {
            world.fail(Property::ConsumedOnce, || "a message was taken twice".to_owned());
        }
        let abandoned = crowd.abandoned.borrow();
        if let Some(session) = view.lost_seats.iter().find(|session| !abandoned.contains(*session)) {
            world.fail(Property::NoFalseLeave, || {
                format!("session {session} lost its seat as client {} sees it", self.number)
            });
        }
        if view.taken > SEATS {
            world.fail(Property::OneSession, || format!("{} clients in {SEATS} seats", view.taken));
        }
        // A node awaits sockets that others hold for three seconds; until then the room must not notice.
        let own = self.seat.as_ref().and_then(|seat| view.seats.get(&*seat.session_id as &str));
        if own == Some(&2) && !full && crowd.clocks_run && world.now() - self.patched_at < 2_500 {
            world.fail(Property::NoFalseLeave, || {
                format!("client {} counts as dropped and kept its socket", self.number)
            });
        }
        (self.version, self.games) = (view.version, view.games);
        self.patched_at = world.now();
        self.patches += 1;
        world.note(if full { "state" } else { "patch" }, self.number, u64::from(view.version));
        let room = self.room().unwrap_or_default();
        crowd.journal.seen(room, view.version, view.digest);
    }
}

/// A room's state as a client has it.
#[derive(Default)]
struct View {
    version: u32,
    digest: u32,
    /// What the digest should be.
    summed: u32,
    games: u32,
    repeats: u32,
    lost_seats: Vec<String>,
    seats: BTreeMap<String, u32>,
    taken: u32,
}

impl View {
    fn of(decoder: &Decoder) -> View {
        let Node::Struct { fields, .. } = decoder.root() else { return View::default() };
        let number = |value: Option<&Value>| value.and_then(Value::as_f64).map_or(0, |value| value as u32);
        let field = |index: usize| number(fields.get(index));
        let node = |index: usize| match fields.get(index) {
            Some(Value::Ref(reference)) => decoder.node(*reference),
            _ => None,
        };
        let mut digest = Digest::default();
        [0, 2, 3, 4, 5].into_iter().for_each(|index| digest.add(field(index)));
        let (mut lost_seats, mut taken, mut seats) = (Vec::new(), 0, BTreeMap::new());
        for index in [6, 7] {
            let items: Vec<(&str, u32)> = match node(index) {
                Some(Node::Map { items, .. }) => {
                    items.values().map(|(key, value)| (&**key, number(Some(value)))).collect()
                }
                _ => Vec::new(),
            };
            if index == 7 {
                let lost = items.iter().filter(|(_, how)| *how == 4);
                lost_seats = lost.map(|(session, _)| (*session).to_owned()).collect();
                seats = items.iter().map(|(session, how)| ((*session).to_owned(), *how)).collect();
                taken = items.iter().filter(|(_, how)| matches!(how, 1 | 2)).count() as u32;
            }
            digest.add_map(items.into_iter());
        }
        if let Some(Node::Array { items, .. }) = node(8) {
            items.values().iter().for_each(|value| digest.add(number(Some(value))));
        }
        let summed = digest.get();
        View {
            version: field(0),
            digest: field(1),
            summed,
            games: field(4),
            repeats: field(5),
            lost_seats,
            seats,
            taken,
        }
    }
}

/// The node's side of one socket: what the gateway's reader does.
async fn serve(node: Handle, attach: Attach, sink: Arc<Socket>, mut frames: mpsc::UnboundedReceiver<Up>) {
    let comes_back = attach.token.is_some();
    let link = match node.attach(attach, Arc::clone(&sink) as Arc<dyn ClientSink>).await {
        Ok(link) => link,
        Err(error) => {
            let code = match (error.is_transient(), comes_back) {
                (true, _) => CloseCode::MAY_TRY_RECONNECT,
                (false, true) => CloseCode::FAILED_TO_RECONNECT,
                (false, false) => CloseCode::WITH_ERROR,
            };
            return sink.close(code, "");
        }
    };
    while let Some(up) = frames.recv().await {
        match up {
            Up::Frame(bytes) => {
                if !push(&link, bytes).await {
                    return;
                }
            }
            Up::Closed(code) => return link.closed(code),
        }
    }
}

async fn push(link: &RoomLink, mut bytes: Bytes) -> bool {
    loop {
        match link.push(bytes) {
            Ok(()) => return true,
            Err(PushError::Closed) => return false,
            Err(PushError::Full(back)) => {
                bytes = back;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}
