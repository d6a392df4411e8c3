//! What an arena costs: `cargo bench -p everplay-spaaace`.
//!
//! - the step alone: bots steer, ships and missiles move, hits are found;
//! - a room in its engine: 50 pilots who send 60 inputs a second, 20 bots, 60 steps and 20 patches a second; inputs are
//!   decoded, patches and journal records are made and thrown away. Once Confirmed, once with snapshots.
//!
//! Rooms per core is what fits into a second at 60 steps, without sockets. `--quick` runs a tenth, for a machine that
//! only checks that it still runs.

use everplay::prelude::*;
use everplay::room::{
    Birth, ConnId, Connect, Input, Out, Recipients, Record, RoomEngine, RoomKind, RoomRng, RoomType, Section,
    Ticket,
};
use everplay::schema::Replica;
use everplay::types::RoomId;
use everplay_spaaace::step::{BOTS, Controls, Missile, Past, RATE, Ship, step};
use everplay_spaaace::{Spaaace, bots, pilots};
use everplay_wire::{ClientFrame, Dialect, MessageType};
use std::sync::Arc;
use std::time::Instant;

const PILOTS: usize = 50;
const MACHINES: usize = 20;
/// Steps after which a pilot holds other keys.
const KEYS_CHANGE: u32 = 12;

fn main() {
    let seconds = if std::env::args().any(|argument| argument == "--quick") { 30 } else { 300 };
    println!("{PILOTS} ships of players and {MACHINES} of bots, {seconds} s of play");
    alone(seconds * RATE);
    room("confirmed", Spaaace::settings(), seconds);
    room("snapshots", Spaaace::settings_with_snapshots(), seconds);
}

fn report(what: &str, took: Duration, steps: u32) {
    let per_step = took.as_secs_f64() / f64::from(steps);
    println!(
        "{what:<12} {:>8.2} us a step  {:>9.0} steps a second  {:>6.0} rooms a core",
        per_step * 1e6,
        1.0 / per_step,
        1.0 / per_step / f64::from(RATE)
    );
}

fn random_keys(rng: &mut RoomRng) -> Controls {
    let keys = rng.below(16);
    Controls { up: keys & 1 != 0, left: keys & 6 == 2, right: keys & 6 == 4, fire: keys & 8 != 0 }
}

/// What the step works on. Maps remember what was removed until a patch has told of it, so there are patches here too.
#[derive(State, Default)]
struct Sky {
    ships: Map<Ship>,
    missiles: Map<Missile>,
}

fn alone(steps: u32) {
    let mut rng = RoomRng::new([1; 32], 0);
    let mut pilots_rng = RoomRng::new([2; 32], 0);
    let mut sky = Replica::new(Sky::default());
    let (mut shots, mut sights, mut hits, mut took) = (0, Vec::new(), 0, Duration::ZERO);
    let (mut past, mut hulls) = (Past::default(), 0);
    for number in 1..=steps {
        let Sky { ships, missiles } = sky.get_mut();
        if ships.len() < PILOTS + MACHINES {
            for key in 0..PILOTS + MACHINES {
                let name = key.to_string();
                if !ships.contains_key(&name) {
                    let at = pilots::place(number, ships, missiles, &mut rng);
                    let crew = if key < PILOTS { key as u16 + 1 } else { BOTS };
                    hulls += 1;
                    ships.insert(&name, Ship { hull: hulls, ..Ship::new(at, crew, number) });
                }
            }
        }
        if number.is_multiple_of(KEYS_CHANGE) {
            for ship in ships.values_mut().filter(|ship| ship.crew != BOTS) {
                // As late as over 100 ms of latency.
                ship.steer(random_keys(&mut pilots_rng), Duration::from_millis(200));
            }
        }
        let started = Instant::now();
        bots::steer(number, ships, &mut rng, &mut sights);
        let now = Millis(u64::from(number) * 1000 / u64::from(RATE));
        hits += step(number, now, ships, missiles, &mut shots, &mut past).len();
        took += started.elapsed();
        if number.is_multiple_of(3) {
            sky.patch();
        }
    }
    report("step", took, steps);
    println!("{:<12} {shots} shots, {hits} hits", "");
}

fn room(what: &str, settings: Settings, seconds: u32) {
    let kind: Arc<dyn RoomKind> = Arc::new(Arc::new(RoomType::<Spaaace>::with_settings("spaaace", settings)));
    let room_id = RoomId::new("room1").expect("an id");
    let options = serde_json::json!({ "bots": MACHINES });
    let engine = kind.create(Birth { room_id, seed: [3; 32], options }).expect("an arena");
    let mut driver =
        Driver { engine, now: Millis::ZERO, wake_at: None, journal: Journal::default(), sent: 0, patches: 0 };
    driver.finish();
    for pilot in 0..PILOTS as u64 {
        let session = SessionId::new(format!("pilot{pilot}")).expect("an id");
        let options = serde_json::json!({ "name": format!("Pilot {pilot}") });
        let (conn, auth) = (ConnId(pilot), serde_json::Value::Null);
        driver.input(Input::Reserve { ticket: Ticket(pilot), session: session.clone(), options, auth });
        let dialect = Some(Dialect::V18);
        driver.input(Input::Connect(Connect { conn, session, token: None, skip_handshake: false, dialect }));
        driver.frame(conn, ClientFrame::Ack);
    }
    (driver.journal, driver.sent, driver.patches) = (Journal::default(), 0, 0);
    let mut rng = RoomRng::new([4; 32], 0);
    let mut keys: Vec<Replica<Controls>> = (0..PILOTS).map(|_| Replica::new(Controls::default())).collect();
    let started = Instant::now();
    for number in 0..seconds * RATE {
        for (pilot, keys) in keys.iter_mut().enumerate() {
            let conn = ConnId(pilot as u64);
            if (number + pilot as u32).is_multiple_of(KEYS_CHANGE) {
                *keys.get_mut() = random_keys(&mut rng);
            }
            // As the SDK does it: what changed since the last input.
            keys.patch();
            driver.frame(conn, ClientFrame::InputReliable { stamp: None, body: keys.shared_patch() });
            if (number + 6 * pilot as u32).is_multiple_of(5 * RATE) {
                // Refused to those who fly, with a patch of its own.
                driver.frame(conn, ClientFrame::Data { ty: MessageType::from("spawn"), payload: &[] });
            }
        }
        driver.until(u64::from(number + 1) * 1000 / u64::from(RATE));
    }
    let took = started.elapsed();
    report(what, took, seconds * RATE);
    println!(
        "{:<12} {} patches, {} bytes a patch and client; a second of journal: {} records, {} bytes of state, {} of \
         the ledger",
        "",
        driver.patches,
        driver.sent / driver.patches.max(1),
        driver.journal.records / seconds as usize,
        driver.journal.state / seconds as usize,
        driver.journal.ledger / seconds as usize
    );
}

/// A room without a network: what it makes is counted and dropped.
struct Driver {
    engine: Box<dyn RoomEngine>,
    now: Millis,
    wake_at: Option<Millis>,
    journal: Journal,
    sent: usize,
    patches: usize,
}

/// What a room would have written.
#[derive(Default)]
struct Journal {
    records: usize,
    state: usize,
    ledger: usize,
}

impl Journal {
    fn add(&mut self, record: &[u8]) {
        self.records += 1;
        for section in Record::decode(record).expect("the engine's own record").sections {
            match section {
                Section::State(patch) => self.state += patch.len(),
                Section::Ledger(patch) => self.ledger += patch.len(),
                _ => {}
            }
        }
    }
}

impl Driver {
    fn finish(&mut self) {
        let step = self.engine.finish();
        if let Some(record) = &step.record {
            self.journal.add(record);
        }
        self.wake_at = step.wake_at;
        for out in step.out {
            if let Out::Frame { kind: everplay::room::FrameKind::Patch, bytes, to } = out {
                // Timed patches are made for each client; count those of the first.
                if matches!(&to, Recipients::One(ConnId(0)) | Recipients::Many(_)) {
                    self.sent += bytes.len();
                    self.patches += 1;
                }
            }
        }
    }

    fn input(&mut self, input: Input) {
        self.engine.input(self.now, input);
        self.finish();
    }

    fn frame(&mut self, conn: ConnId, frame: ClientFrame<'_>) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.input(Input::Frame { conn, bytes: bytes.into() });
    }

    fn until(&mut self, end: u64) {
        let end = Millis(end);
        while let Some(at) = self.wake_at.filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.engine.wake(self.now);
            self.finish();
        }
        self.now = end;
    }
}
