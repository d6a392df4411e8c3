//! Clients whose sockets outlive the room's owner. A model of the nodes that keep them decides, at random, how far
//! each had forwarded what its owner sent when the owner went, and when it finds the next one.
//!
//! Checked after each change of owner, of any length of journal, at any step: the client's state is the room's, and
//! it has every message of a recorded step once and in order.

mod harness;

use everplay_room::{
    Absent, Birth, CatchUp, Client, ConnId, Connect, Context, Input, InputMeta, InputSettings, Leave,
    Messages, Missed, Out, REATTACH_WINDOW, Reattach, Recipients, Refusal, Room, RoomEngine, RoomKind,
    RoomRng, RoomType, Settings, Step, Ticket,
};
use everplay_schema::{List, Map, State};
use everplay_types::{CloseCode, Millis, Seq, SessionId};
use everplay_wire::{ClientFrame, Dialect, MessageType, msgpack};
use harness::{Peer, room_id};
use serde::de::IgnoredAny;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const TICK: u64 = 20;

/// What the rooms below have in common, as their hooks leave it in the state.
trait Fixture: Room {
    /// Whether clients of this room follow by patches whatever happens to its owner.
    const PATCHES: bool;
    /// Whether states and patches carry the room's time.
    const TIMED: bool;

    /// What a client of this name sees of a room that holds `all`.
    fn sees(all: serde_json::Value, name: &str) -> serde_json::Value;
}

macro_rules! fixture {
    (
        $room:ident, $person:ident { $($view:tt)* }, shows: $shows:literal, patches: $patches:literal,
        timed: $timed:literal, $input:expr, $sees:expr
    ) => {
        #[derive(State, Default)]
        struct $room {
            ticks: u32,
            said: List<u32>,
            people: Map<$person>,
            drops: u32,
            leaves: u32,
            backs: u32,
        }

        #[derive(State, Default)]
        struct $person {
            score: u32,
            $($view)*
            hidden: u32,
        }

        impl Room for $room {
            type Options = IgnoredAny;
            type Timer = ();

            fn settings() -> Settings {
                Settings {
                    tick: Some(Duration::from_millis(TICK)),
                    patch_interval: Duration::from_millis(50),
                    auto_dispose: false,
                    ..Settings::default()
                }
            }

            fn messages(on: &mut Messages<Self>) {
                on.message("say", |room: &mut $room, cx, client, (how, id): (u8, u32)| {
                    room.said.push(id);
                    if room.said.len() > 5 {
                        room.said.remove(0);
                    }
                    if let Some(person) = room.people.get_mut(client.session_id()) {
                        person.score += 1;
                        person.hidden = id;
                    }
                    match how {
                        0 => cx.broadcast("say", &id),
                        1 => cx.broadcast_after_patch("say", &id),
                        2 => cx.broadcast_except("say", &id, &[client]),
                        3 => cx.send(client, "say", &id),
                        _ => {}
                    }
                    Ok(())
                });
                on.message("whisper", |_room: &mut $room, cx, _client, id: u32| {
                    cx.broadcast("whisper", &id);
                    Ok(())
                });
                let more: fn(&mut Messages<Self>) = $input;
                more(on);
            }

            fn create(_cx: &mut Context<Self>, _options: IgnoredAny) -> Result<Self, Refusal> {
                Ok(Self::default())
            }

            fn join(&mut self, cx: &mut Context<Self>, client: &Client, _: IgnoredAny) -> Result<(), Refusal> {
                self.people.insert(client.session_id().as_str(), $person::default());
                if $shows {
                    self.people.show(client.session_id(), client.view());
                }
                cx.send(client, "tick", &self.ticks);
                Ok(())
            }

            fn tick(&mut self, cx: &mut Context<Self>, _step: Duration) {
                self.ticks += 1;
                cx.broadcast("tick", &self.ticks);
            }

            fn drop(&mut self, _cx: &mut Context<Self>, _client: &Client, _code: CloseCode) {
                self.drops += 1;
            }

            fn leave(&mut self, _cx: &mut Context<Self>, _client: &Client, _why: Leave) {
                self.leaves += 1;
            }

            fn reconnect(&mut self, _cx: &mut Context<Self>, _client: &Client) {
                self.backs += 1;
            }
        }

        impl Fixture for $room {
            const PATCHES: bool = $patches;
            const TIMED: bool = $timed;

            fn sees(all: serde_json::Value, name: &str) -> serde_json::Value {
                $sees(all, name)
            }
        }
    };
}

#[derive(State, Default)]
struct Move {
    by: u8,
}

fn everything(all: serde_json::Value, _name: &str) -> serde_json::Value {
    all
}

fn own_secrets(mut all: serde_json::Value, name: &str) -> serde_json::Value {
    let people = all["people"].as_object_mut().expect("a map");
    for (_, person) in people.iter_mut().filter(|(key, _)| *key != name) {
        person.as_object_mut().expect("a struct").remove("hidden");
    }
    all
}

fixture!(Plain, Person {}, shows: false, patches: true, timed: false, |_| {}, everything);
fixture!(Viewed, Guest { #[state(view)] }, shows: true, patches: false, timed: false, |_| {}, own_secrets);
fixture!(
    Timed,
    Driver {},
    shows: false,
    patches: false,
    timed: true,
    |on| {
        on.input(InputSettings::default(), |room: &mut Timed, _cx, client, input: &Move, _meta: &InputMeta| {
            if let Some(driver) = room.people.get_mut(client.session_id()) {
                driver.score += u32::from(input.by);
            }
        });
    },
    everything
);

/// A frame, or the end, on its way to a client.
enum Item {
    Frame(bytes::Bytes),
    Close(CloseCode),
}

/// One client, its socket, and what the node that keeps it knows.
#[derive(Default)]
struct Guest_ {
    peer: Peer,
    /// Released by the owner and not yet forwarded.
    waiting: Vec<(Seq, Item)>,
    forwarded: Seq,
    acknowledged: bool,
    /// JOIN_ROOM has come and was not answered yet.
    owes_ack: bool,
    /// The record of its join.
    joined_at: Seq,
    /// The first message it is to get.
    first_tick: u64,
    inputs: u32,
    closed: Option<CloseCode>,
    /// Full states it was to get.
    fulls: usize,
    /// Some messages may be lacking: its node was further behind than the records reach.
    gap: bool,
}

/// A room, its journal, its owner, and the nodes that keep its clients' sockets.
struct World<R: Room> {
    kind: Arc<RoomType<R>>,
    engine: Box<dyn RoomEngine>,
    now: Millis,
    wake_at: Option<Millis>,
    journal: Vec<Vec<u8>>,
    snapshot: Option<(usize, Vec<u8>)>,
    /// Steps that wait until the journal is durable: its end at that time, and what leaves then.
    held: Vec<(Seq, Vec<Out>)>,
    /// Durable at least up to here.
    released: Seq,
    catch_up: Option<CatchUp>,
    guests: BTreeMap<String, Guest_>,
    conns: BTreeMap<ConnId, String>,
    /// What was said in a step with this record, to whom.
    said: Vec<(Seq, u32, Vec<String>)>,
    draw: RoomRng,
    next: u64,
}

impl<R: Fixture> World<R> {
    fn new(seed: u64) -> Self {
        let kind = Arc::new(RoomType::<R>::new("test"));
        let engine = kind
            .create(Birth { room_id: room_id(), seed: [7; 32], options: json!({}) })
            .unwrap_or_else(|refusal| panic!("{refusal}"));
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut world = Self {
            kind,
            engine,
            now: Millis::ZERO,
            wake_at: None,
            journal: Vec::new(),
            snapshot: None,
            held: Vec::new(),
            released: Seq::ZERO,
            catch_up: None,
            guests: BTreeMap::new(),
            conns: BTreeMap::new(),
            said: Vec::new(),
            draw: RoomRng::new(key, 0),
            next: 1,
        };
        world.engine.keep_sent(true);
        world.finish();
        world
    }

    fn end(&self) -> Seq {
        Seq(self.journal.len() as u64)
    }

    fn finish(&mut self) -> bool {
        let Step { record, out, wake_at, awaiting, .. } = self.engine.finish();
        if !awaiting {
            self.catch_up = None;
        } else if self.catch_up.is_none() {
            self.catch_up = Some(CatchUp::new(self.end()));
        }
        let recorded = record.is_some();
        if let Some(record) = record {
            if let Some(catch_up) = &mut self.catch_up {
                catch_up.push(record.clone().into());
            }
            self.journal.push(record);
        }
        self.wake_at = wake_at;
        self.held.push((self.end(), out));
        recorded
    }

    fn step(&mut self, inputs: Vec<Input>) -> bool {
        for input in inputs {
            self.engine.input(self.now, input);
        }
        if self.wake_at.is_some_and(|at| at <= self.now) {
            self.engine.wake(self.now);
        }
        self.finish()
    }

    /// Everything up to `durable` leaves the owner.
    fn release(&mut self, durable: Seq) {
        self.released = durable;
        while self.held.first().is_some_and(|(seq, _)| *seq <= durable) {
            let (seq, out) = self.held.remove(0);
            for out in out {
                match out {
                    Out::Frame { to: Recipients::One(conn), bytes, .. } => self.hand(conn, seq, &bytes),
                    Out::Frame { to: Recipients::Many(conns), bytes, .. } => {
                        conns.iter().for_each(|conn| self.hand(*conn, seq, &bytes));
                    }
                    Out::Close { conn, code, .. } => {
                        if let Some(name) = self.conns.remove(&conn) {
                            self.guests.get_mut(&name).expect("known").waiting.push((seq, Item::Close(code)));
                        }
                    }
                    Out::Reply { .. } => {}
                }
            }
        }
    }

    fn hand(&mut self, conn: ConnId, seq: Seq, bytes: &bytes::Bytes) {
        if let Some(name) = self.conns.get(&conn) {
            self.guests.get_mut(name).expect("known").waiting.push((seq, Item::Frame(bytes.clone())));
        }
    }

    /// The first `batches` steps that wait at the client's node reach the client.
    fn forward(&mut self, name: &str, batches: usize) {
        let guest = self.guests.get_mut(name).expect("known");
        for _ in 0..batches {
            let Some((seq, _)) = guest.waiting.first() else { return };
            let seq = *seq;
            while guest.waiting.first().is_some_and(|(next, _)| *next == seq) {
                match guest.waiting.remove(0).1 {
                    Item::Frame(bytes) => {
                        let joins = guest.peer.joins;
                        guest.peer.receive(&bytes);
                        guest.owes_ack |= guest.peer.joins > joins;
                    }
                    Item::Close(code) => guest.closed = Some(code),
                }
            }
            guest.forwarded = seq;
        }
    }

    fn new_conn(&mut self, name: &str) -> ConnId {
        let conn = ConnId(self.next);
        self.next += 1;
        self.conns.insert(conn, name.to_owned());
        conn
    }

    fn conn_of(&self, name: &str) -> Option<ConnId> {
        self.conns.iter().find(|(_, known)| *known == name).map(|(conn, _)| *conn)
    }

    fn join(&mut self, name: &str) {
        let session = SessionId::new(name).expect("an id");
        let (options, auth) = (json!({}), json!({}));
        self.step(vec![Input::Reserve { ticket: Ticket(1), session: session.clone(), options, auth }]);
        self.guests.insert(name.to_owned(), Guest_ { forwarded: self.end(), ..Guest_::default() });
        let (conn, dialect) = (self.new_conn(name), Some(Dialect::V18));
        let connect = Connect { conn, session, token: None, skip_handshake: false, dialect };
        self.engine.input(self.now, Input::Connect(connect));
        self.finish();
        let all = self.engine.inspect().expect("whoever joins flushes");
        let joined_at = self.end();
        let guest = self.guests.get_mut(name).expect("known");
        guest.joined_at = joined_at;
        guest.first_tick = all["ticks"].as_u64().expect("a number");
    }

    fn send(&mut self, name: &str, frame: ClientFrame<'_>) -> bool {
        let Some(conn) = self.conn_of(name) else { return false };
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.step(vec![Input::Frame { conn, bytes: bytes.into() }])
    }

    fn acknowledge(&mut self, name: &str) {
        let guest = self.guests.get_mut(name).expect("known");
        if std::mem::take(&mut guest.owes_ack) {
            guest.acknowledged = true;
            self.send(name, ClientFrame::Ack);
        }
    }

    fn say(&mut self, name: &str, how: u8) {
        let id = self.next as u32;
        self.next += 1;
        if how == 9 {
            let payload = msgpack::to_vec(&id).expect("encodes");
            self.send(name, ClientFrame::Data { ty: MessageType::from("whisper"), payload: &payload });
            return;
        }
        let said = self.saying(name, how, id);
        let recorded = self.step(vec![said.0]);
        if recorded {
            self.said.push((self.end(), id, said.1));
        }
    }

    /// The input that has the client say something, and who is to hear it.
    fn saying(&self, name: &str, how: u8, id: u32) -> (Input, Vec<String>) {
        let payload = msgpack::to_vec(&(how, id)).expect("encodes");
        let mut bytes = Vec::new();
        ClientFrame::Data { ty: MessageType::from("say"), payload: &payload }.encode(&mut bytes);
        let conn = self.conn_of(name).expect("attached");
        let to: Vec<String> = match how {
            0 | 1 => self.guests.keys().cloned().collect(),
            2 => self.guests.keys().filter(|other| *other != name).cloned().collect(),
            3 => vec![name.to_owned()],
            _ => Vec::new(),
        };
        (Input::Frame { conn, bytes: bytes.into() }, to)
    }

    /// One thing that happens while the room has an owner.
    fn happen(&mut self) {
        let names: Vec<String> = self.guests.keys().cloned().collect();
        let pick = |draw: &mut RoomRng| {
            (!names.is_empty()).then(|| names[draw.below(names.len() as u64) as usize].clone())
        };
        let Some(name) = pick(&mut self.draw) else { return self.join("p0") };
        match self.draw.below(12) {
            0 if names.len() < 4 => self.join(&format!("p{}", names.len())),
            0..=2 => {
                self.now = Millis(self.now.0 + self.draw.below(45));
                self.step(Vec::new());
            }
            3..=6 => {
                let how = [0, 1, 2, 3, 4, 9][self.draw.below(6) as usize];
                if self.guests[&name].acknowledged {
                    self.say(&name, how);
                }
            }
            7..=8 => self.release(self.end()),
            9..=10 => {
                let batches = 1 + self.draw.below(4) as usize;
                self.forward(&name, batches);
            }
            _ => self.acknowledge(&name),
        }
        if self.draw.below(150) == 0
            && let Some(image) = self.engine.snapshot()
        {
            self.snapshot = Some((self.journal.len(), image));
        }
    }

    /// The owner goes; the journal ends anywhere that is at or after what was released.
    fn lose_owner(&mut self) {
        let snapshot = self.snapshot.as_ref().map_or(1, |(at, _)| *at as u64);
        let least = self.released.0.max(snapshot);
        let durable = least + self.draw.below(self.end().0 - least + 1);
        self.release(Seq(durable));
        self.held.clear();
        self.conns.clear();
        self.journal.truncate(durable as usize);
        self.said.retain(|(seq, _, _)| seq.0 <= durable);
        // The links break anywhere in what was released.
        for name in self.guests.keys().cloned().collect::<Vec<_>>() {
            let batches = self.draw.below(1 + self.guests[&name].waiting.len() as u64) as usize;
            self.forward(&name, batches);
            let guest = self.guests.get_mut(&name).expect("known");
            guest.waiting.clear();
            // Of its join nothing is left; if its reservation is, it joins the next owner's room.
            guest.gap |= guest.joined_at.0 > durable;
        }
        let (from, image) = match &self.snapshot {
            Some((at, image)) => (*at, Some(image.as_slice())),
            None => (0, None),
        };
        let records: Vec<&[u8]> = self.journal[from..].iter().map(Vec::as_slice).collect();
        self.engine = self.kind.revive(&room_id(), image, &records).expect("the journal is whole");
        let mut tail = CatchUp::new(Seq(from as u64));
        records.iter().for_each(|record| tail.push(record.to_vec().into()));
        self.catch_up = Some(tail);
        self.now = self.engine.time();
        self.engine.resume(&[], Absent::Awaited);
        self.engine.keep_sent(true);
        self.finish();
    }

    fn missed(&self, name: &str) -> Missed {
        let nothing = CatchUp::new(self.end());
        let catch_up = self.catch_up.as_ref().unwrap_or(&nothing);
        catch_up.missed(self.guests[name].forwarded).expect("our records")
    }

    fn seat(&mut self, name: &str, full: bool) -> Reattach {
        let conn = self.new_conn(name);
        let missed = Arc::new(self.missed(name));
        let reach = self.catch_up.as_ref().map_or(self.end(), CatchUp::after);
        let guest = self.guests.get_mut(name).expect("known");
        let live = guest.peer.order.contains(&"state");
        guest.fulls += usize::from(full || !live || guest.forwarded < reach);
        guest.gap |= if live { guest.forwarded < reach } else { guest.joined_at <= reach };
        Reattach {
            connect: Connect {
                conn,
                session: SessionId::new(name).expect("an id"),
                token: None,
                skip_handshake: false,
                dialect: Some(Dialect::V18),
            },
            acknowledged: guest.acknowledged,
            full,
            inputs: guest.inputs,
            input_time: 0,
            missed,
        }
    }

    /// All clients find the new owner, each at its time, while the room goes on; within the window.
    fn find_owner(&mut self) {
        let mut names: Vec<String> = self.guests.keys().cloned().collect();
        while !names.is_empty() {
            let mut inputs = Vec::new();
            let mut said = None;
            // Something may happen in the same step before them.
            if let Some(name) = self.conns.values().next().cloned()
                && self.guests[&name].acknowledged
                && self.draw.below(2) == 0
            {
                let id = self.next as u32;
                self.next += 1;
                let how = self.draw.below(4) as u8;
                let (input, to) = self.saying(&name, how, id);
                inputs.push(input);
                said = Some((id, to));
            }
            for _ in 0..=self.draw.below(3) {
                if names.is_empty() {
                    break;
                }
                let name = names.remove(self.draw.below(names.len() as u64) as usize);
                if self.guests[&name].closed.is_some() {
                    continue;
                }
                let full = self.draw.below(6) == 0;
                inputs.push(Input::Reattach(self.seat(&name, full)));
            }
            self.step(inputs);
            said.into_iter().for_each(|(id, to)| self.said.push((self.end(), id, to)));
            for _ in 0..self.draw.below(4) {
                if self.draw.below(2) == 0 {
                    self.now = Millis(self.now.0 + self.draw.below(60));
                    self.step(Vec::new());
                } else if let Some(name) = self.conns.values().next().cloned()
                    && self.guests[&name].acknowledged
                {
                    let how = self.draw.below(4) as u8;
                    self.say(&name, how);
                }
            }
        }
    }

    /// Everything arrives everywhere.
    fn settle(&mut self) {
        for _ in 0..4 {
            self.now = Millis(self.now.0 + 60);
            self.step(Vec::new());
            self.release(self.end());
            for name in self.guests.keys().cloned().collect::<Vec<_>>() {
                self.forward(&name, usize::MAX);
                self.acknowledge(&name);
            }
        }
    }

    fn check(&mut self, seed: u64) {
        let all = self.engine.inspect().expect("nothing is pending");
        assert_eq!((&all["drops"], &all["leaves"], &all["backs"]), (&json!(0), &json!(0), &json!(0)));
        for (name, guest) in &self.guests {
            if guest.closed.is_some() {
                // Its seat was never durable, and it was never told of one.
                assert_eq!(guest.peer.joins, 0, "seed {seed}: {name}");
                continue;
            }
            assert_eq!(guest.peer.state(), R::sees(all.clone(), name), "seed {seed}: {name}");
            let of = |kind: &str| -> Vec<u64> {
                let mine = guest.peer.messages.iter().filter(|(ty, _)| ty == kind);
                mine.map(|(_, id)| id.as_u64().expect("a number")).collect()
            };
            let ticks = of("tick");
            let rising = ticks.windows(2).all(|pair| pair[0] < pair[1]);
            assert!(rising, "seed {seed}: {name} got {ticks:?}");
            let mut said = of("say");
            let mut expected: Vec<u64> = self
                .said
                .iter()
                .filter(|(_, _, to)| to.contains(name))
                .map(|(_, id, _)| u64::from(*id))
                .collect();
            let whispers = of("whisper");
            assert!(whispers.windows(2).all(|pair| pair[0] < pair[1]), "seed {seed}: {name} {whispers:?}");
            // What follows a patch may follow the next message.
            said.sort_unstable();
            expected.sort_unstable();
            assert!(said.windows(2).all(|pair| pair[0] < pair[1]), "seed {seed}: {name} got {said:?}");
            assert!(said.iter().all(|id| expected.contains(id)), "seed {seed}: {name} {said:?} {expected:?}");
            let states = guest.peer.order.iter().filter(|word| **word == "state").count();
            assert!(!R::PATCHES || states <= 1 + guest.fulls, "seed {seed}: {name} got {states} states");
            let timed = guest.peer.order.iter().filter(|word| ["state", "patch"].contains(word)).count();
            assert!(!R::TIMED || guest.peer.timings.len() == timed, "seed {seed}: {name}");
            if !guest.gap {
                assert_eq!(ticks.first().copied(), Some(guest.first_tick), "seed {seed}: {name}");
                let gapless = ticks.windows(2).all(|pair| pair[0] + 1 == pair[1]);
                assert!(gapless, "seed {seed}: {name} got {ticks:?}");
                assert_eq!(ticks.last().copied(), all["ticks"].as_u64(), "seed {seed}: {name}");
                assert_eq!(said, expected, "seed {seed}: {name}");
            }
        }
    }
}

/// Plays, loses its owner, and goes on, a few times.
fn play<R: Fixture>(seed: u64) -> usize {
    let mut world = World::<R>::new(seed);
    for _ in 0..4 {
        for _ in 0..world.draw.below(120) {
            world.happen();
        }
        world.lose_owner();
        // A successor may go before anybody found it.
        if world.draw.below(4) == 0 {
            world.lose_owner();
        }
        world.find_owner();
        if world.draw.below(2) == 0 {
            world.settle();
            world.check(seed);
        }
    }
    world.settle();
    world.check(seed);
    world.guests.values().filter(|guest| !guest.gap && guest.closed.is_none()).count()
}

fn play_all<R: Fixture>() {
    let whole: usize = (0..100).map(play::<R>).sum();
    assert!(whole > 100, "only {whole} clients were checked for gaps");
}

#[test]
fn nobody_misses_or_sees_twice_what_a_record_holds() {
    play_all::<Plain>();
}

#[test]
fn clients_with_views_get_states_and_every_message() {
    play_all::<Viewed>();
}

#[test]
fn timed_clients_get_states_and_every_message() {
    play_all::<Timed>();
}

/// Clients `p0`, `p1`, ... that have everything.
fn world<R: Fixture>(clients: usize) -> World<R> {
    let mut world = World::<R>::new(0);
    (0..clients).for_each(|number| world.join(&format!("p{number}")));
    world.settle();
    world
}

impl<R: Fixture> World<R> {
    fn hooks(&mut self) -> [u64; 3] {
        let all = self.engine.inspect().expect("nothing is pending");
        ["drops", "leaves", "backs"].map(|hook| all[hook].as_u64().expect("a number"))
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.wake_at.filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.step(Vec::new());
            assert_ne!(self.wake_at, Some(at), "the engine asks to be woken in the past for ever");
        }
        self.now = end;
        self.settle();
    }

    fn detach(&mut self, name: &str) {
        let conn = self.conn_of(name).expect("attached");
        self.conns.remove(&conn);
        self.step(vec![Input::Detached { conn }]);
    }

    fn reattach(&mut self, name: &str) {
        let seat = self.seat(name, false);
        self.step(vec![Input::Reattach(seat)]);
    }

    fn states(&self, name: &str) -> usize {
        self.guests[name].peer.order.iter().filter(|word| **word == "state").count()
    }
}

#[test]
fn who_is_awaited_in_vain_is_dropped_once_and_its_seat_waits() {
    let mut world = world::<Plain>(2);
    let token = world.guests["p1"].peer.token.clone();
    world.lose_owner();
    world.reattach("p0");
    world.pass(REATTACH_WINDOW - Duration::from_millis(500));
    assert_eq!(world.hooks(), [0, 0, 0]);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.hooks(), [1, 0, 0]);
    world.pass(Duration::from_secs(20));
    assert_eq!(world.hooks(), [1, 0, 0], "after a restart seats wait longer than their time");
    // Its SDK has found another node.
    let conn = world.new_conn("p1");
    let session = SessionId::new("p1").expect("an id");
    let dialect = Some(Dialect::V18);
    world.step(vec![Input::Connect(Connect { conn, session, token, skip_handshake: true, dialect })]);
    world.settle();
    assert_eq!(world.hooks(), [1, 0, 1]);
    assert_eq!(world.guests["p1"].peer.state(), world.guests["p0"].peer.state());
}

#[test]
fn a_successor_of_the_successor_awaits_anew() {
    let mut world = world::<Plain>(1);
    for _ in 0..3 {
        world.lose_owner();
        world.pass(REATTACH_WINDOW / 2);
    }
    world.reattach("p0");
    world.pass(REATTACH_WINDOW * 2);
    assert_eq!(world.hooks(), [0, 0, 0]);
    world.check(0);
    assert_eq!(world.states("p0"), 1);
}

#[test]
fn a_socket_that_comes_late_comes_back() {
    let mut world = world::<Plain>(2);
    world.lose_owner();
    world.reattach("p0");
    world.pass(REATTACH_WINDOW * 2);
    // Its window is over, and so are the records that were kept.
    world.reattach("p1");
    world.settle();
    assert_eq!(world.hooks(), [1, 0, 1]);
    assert_eq!(world.guests["p1"].peer.state(), world.guests["p0"].peer.state());
}

#[test]
fn a_broken_way_is_mended_without_a_word_to_the_room() {
    let mut world = world::<Plain>(2);
    world.detach("p1");
    world.say("p0", 0);
    world.say("p0", 9);
    world.pass(Duration::from_millis(300));
    world.reattach("p1");
    world.settle();
    assert_eq!(world.hooks(), [0, 0, 0]);
    world.check(0);
    assert_eq!(world.states("p1"), 1);
    let whispers = world.guests["p1"].peer.messages.iter().filter(|(kind, _)| kind == "whisper").count();
    assert_eq!(whispers, 1, "while someone misses it, a message is worth a record");
    // A second socket of the session is told to come back with its token, if that is still good.
    let seat = world.seat("p1", false);
    let stranger = seat.connect.conn;
    world.engine.input(world.now, Input::Reattach(seat));
    let closed = world.engine.finish().out.into_iter().find_map(|out| match out {
        Out::Close { conn, code, .. } => Some((conn, code)),
        _ => None,
    });
    assert_eq!(closed, Some((stranger, CloseCode::MAY_TRY_RECONNECT)));
}

#[test]
fn a_client_that_left_while_it_was_awaited_learns_how_it_was_closed() {
    let mut world = world::<Plain>(2);
    world.send("p1", ClientFrame::Leave);
    // The close was released, and the node that was to forward it lost its way here.
    world.release(world.end());
    world.guests.get_mut("p1").expect("known").waiting.clear();
    world.lose_owner();
    world.reattach("p1");
    world.reattach("p0");
    world.settle();
    assert_eq!(world.guests["p1"].closed, Some(CloseCode::CONSENTED));
    assert_eq!(world.hooks(), [0, 1, 0]);
}

#[test]
fn inputs_go_on_with_the_number_after_the_last_one_sent() {
    let mut world = world::<Timed>(1);
    let send = |world: &mut World<Timed>| {
        let body = [0x80, 1];
        world.guests.get_mut("p0").expect("known").inputs += 1;
        world.send("p0", ClientFrame::InputReliable { stamp: None, body: &body });
    };
    for _ in 0..3 {
        send(&mut world);
    }
    world.settle();
    send(&mut world);
    // The fourth may or may not have reached the room.
    world.lose_owner();
    world.reattach("p0");
    world.settle();
    send(&mut world);
    world.settle();
    let guest = &world.guests["p0"];
    assert!(guest.closed.is_none());
    assert_eq!(guest.peer.timings.last().expect("timed").input_seq, 5);
    let rising = guest.peer.timings.windows(2).all(|pair| pair[0].input_seq <= pair[1].input_seq);
    assert!(rising, "{:?}", guest.peer.timings);
    assert_eq!(world.engine.inspect().expect("nothing is pending")["people"]["p0"]["score"], 4);
}

#[test]
fn what_nobody_can_miss_is_not_recorded() {
    let mut world = world::<Plain>(2);
    let sent = |world: &World<Plain>, from: usize| {
        world.journal[from..].iter().any(|record| {
            let record = everplay_room::Record::decode(record).expect("our record");
            record.sections.iter().any(|section| matches!(section, everplay_room::Section::Sent(_)))
        })
    };
    assert!(sent(&world, 0));
    world.engine.keep_sent(false);
    let from = world.journal.len();
    world.say("p0", 0);
    world.pass(Duration::from_millis(200));
    assert!(world.journal.len() > from && !sent(&world, from));
    world.detach("p0");
    world.pass(Duration::from_millis(100));
    assert!(sent(&world, from), "the tape runs while someone is awaited");
}

#[test]
fn what_was_missed_comes_in_the_order_of_its_steps() {
    let mut world = world::<Plain>(2);
    world.detach("p1");
    let before = world.guests["p1"].peer.order.len();
    world.say("p0", 0);
    world.say("p0", 1);
    world.reattach("p1");
    world.release(world.end());
    world.forward("p1", usize::MAX);
    assert_eq!(world.guests["p1"].peer.order[before..], ["message", "patch", "patch", "message"]);
}
