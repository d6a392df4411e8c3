//! Every sentence of `docs/rooms/spaaace.md`, through the engine: clients send frames and decode what they get, a
//! pretend clock goes on, and a crash keeps nothing but the journal.

use super::*;
use crate::world::{SIZE, distance_squared, nose, offset};
use everplay::room::{
    Birth, ConnId, Connect, Input, Listing, Out, Recipients, Record, Reply, RoomEngine, RoomKind, RoomType,
    Section, Ticket,
};
use everplay::schema::{Decoder, Replica};
use everplay::types::RoomId;
use everplay_wire::{ClientFrame, Dialect, MessageType, ReliableStamp, ServerFrame, msgpack};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A client: what it knows of the room.
#[derive(Default)]
struct Pilot {
    conn: Option<ConnId>,
    token: String,
    decoder: Option<Decoder>,
    errors: Vec<i32>,
    /// The number of the last consumed input it was told.
    consumed: u32,
}

/// A room, its journal, and its clients.
struct Game {
    kind: Arc<dyn RoomKind>,
    engine: Box<dyn RoomEngine>,
    now: Millis,
    wake_at: Option<Millis>,
    journal: Vec<Vec<u8>>,
    pilots: BTreeMap<String, Pilot>,
    events: Vec<Value>,
    replies: Vec<Reply>,
    checkpoints: usize,
    next: u64,
}

fn room_id() -> RoomId {
    RoomId::new("room1").unwrap()
}

impl Game {
    fn new(options: Value) -> Game {
        Game::with(Spaaace::settings(), 5, options).unwrap()
    }

    fn with(settings: Settings, seed: u8, options: Value) -> Result<Game, Refusal> {
        let kind = RoomType::<Spaaace>::with_settings("spaaace", settings);
        let kind: Arc<dyn RoomKind> = Arc::new(Arc::new(kind));
        let engine = kind.create(Birth { room_id: room_id(), seed: [seed; 32], options })?;
        let mut game = Game {
            kind,
            engine,
            now: Millis::ZERO,
            wake_at: None,
            journal: Vec::new(),
            pilots: BTreeMap::new(),
            events: Vec::new(),
            replies: Vec::new(),
            checkpoints: 0,
            next: 1,
        };
        game.finish();
        Ok(game)
    }

    fn finish(&mut self) {
        let step = self.engine.finish();
        assert_eq!(step.warnings, Vec::<String>::new());
        if let Some(record) = &step.record {
            for section in Record::decode(record).unwrap().sections {
                if let Section::Event(event) = section {
                    assert_eq!(event.name, "flight over");
                    self.events.push(msgpack::from_slice(&event.payload).unwrap());
                }
            }
        }
        self.journal.extend(step.record);
        self.wake_at = step.wake_at;
        self.checkpoints += usize::from(step.checkpoint);
        for out in step.out {
            match out {
                Out::Frame { to, bytes, .. } => {
                    let to: Vec<ConnId> = match to {
                        Recipients::One(conn) => vec![conn],
                        Recipients::Many(conns) => conns.to_vec(),
                    };
                    for pilot in self.pilots.values_mut() {
                        if pilot.conn.is_some_and(|conn| to.contains(&conn)) {
                            pilot.receive(&bytes);
                        }
                    }
                }
                Out::Close { code: CloseCode::CONSENTED, .. } => {}
                Out::Close { conn, code, reason } => panic!("{conn:?} is closed: {code:?} {reason}"),
                Out::Reply { reply, .. } => self.replies.push(reply),
            }
        }
    }

    fn input(&mut self, input: Input) {
        self.engine.input(self.now, input);
        self.finish();
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn connect(&mut self, name: &str, token: Option<String>) {
        let conn = ConnId(self.number());
        self.pilots.entry(name.to_owned()).or_default().conn = Some(conn);
        let (session, skip_handshake) = (SessionId::new(name).unwrap(), token.is_some());
        let dialect = Some(Dialect::V18);
        self.input(Input::Connect(Connect { conn, session, token, skip_handshake, dialect }));
        self.frame(name, ClientFrame::Ack);
    }

    fn join(&mut self, name: &str, options: Value) {
        let (ticket, session) = (Ticket(self.number()), SessionId::new(name).unwrap());
        self.input(Input::Reserve { ticket, session, options, auth: Value::Null });
        assert_eq!(self.replies.pop(), Some(Reply::Reserved(Ok(()))));
        self.connect(name, None);
    }

    fn frame(&mut self, name: &str, frame: ClientFrame<'_>) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        let conn = self.pilots[name].conn.unwrap();
        self.input(Input::Frame { conn, bytes: bytes.into() });
    }

    fn send(&mut self, name: &str, kind: &str, payload: Value) {
        let payload = if payload.is_null() { Vec::new() } else { msgpack::to_vec(&payload).unwrap() };
        self.frame(name, ClientFrame::Data { ty: MessageType::from(kind), payload: &payload });
    }

    fn hold(&mut self, name: &str, keys: &str) {
        let keys = keys.as_bytes();
        let controls = json!({
            "up": keys.contains(&b'u'),
            "left": keys.contains(&b'l'),
            "right": keys.contains(&b'r'),
            "fire": keys.contains(&b'f'),
        });
        self.send(name, "controls", controls);
    }

    /// The code that comes back for a message.
    fn refused(&mut self, name: &str, kind: &str, payload: Value) -> i32 {
        self.send(name, kind, payload);
        self.pilots.get_mut(name).unwrap().errors.pop().expect("an error")
    }

    fn lose(&mut self, name: &str) {
        let conn = self.pilots.get_mut(name).unwrap().conn.take().unwrap();
        self.input(Input::Closed { conn, code: CloseCode(1006) });
    }

    fn come_back(&mut self, name: &str) {
        let token = self.pilots[name].token.clone();
        self.connect(name, Some(token));
    }

    fn leave(&mut self, name: &str) {
        self.frame(name, ClientFrame::Leave);
        self.pilots.remove(name);
    }

    fn pass(&mut self, millis: u64) {
        let end = Millis(self.now.0 + millis);
        while let Some(at) = self.wake_at.filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.engine.wake(self.now);
            self.finish();
        }
        self.now = end;
    }

    /// kill -9 and a start from the journal.
    fn crash(&mut self) {
        let records: Vec<&[u8]> = self.journal.iter().map(Vec::as_slice).collect();
        self.engine = self.kind.revive(&room_id(), None, &records).unwrap();
        self.now = self.engine.time();
        for pilot in self.pilots.values_mut() {
            pilot.conn = None;
        }
        self.engine.resume(&[], everplay::room::Absent::Dropped);
        self.finish();
    }

    /// The room as this client sees it.
    fn state(&self, name: &str) -> Value {
        self.pilots[name].decoder.as_ref().unwrap().to_json()
    }

    fn ship(&self, name: &str) -> Option<Ship> {
        ship_of(&self.state(name), name)
    }

    fn player(&self, name: &str, field: &str) -> Value {
        self.state(name)["players"][name][field].clone()
    }

    fn listing(&self) -> Listing {
        self.engine.listing()
    }

    /// What a fair pilot does: turn to the nearest ship, shoot when it is ahead and near.
    fn hunt(&mut self, name: &str, millis: u64) {
        let mut fire = false;
        for _ in 0..millis / 50 {
            let state = self.state(name);
            let keys = match ship_of(&state, name) {
                None => {
                    self.send(name, "spawn", Value::Null);
                    ""
                }
                Some(ship) => aim(&ship, &state, name, &mut fire),
            };
            self.hold(name, keys);
            self.pass(50);
        }
    }
}

impl Pilot {
    fn receive(&mut self, bytes: &[u8]) {
        match ServerFrame::decode(bytes, Dialect::V18).unwrap() {
            ServerFrame::Join(join) => {
                self.token = join.token.to_owned();
                if !join.handshake.is_empty() {
                    self.decoder = Some(Decoder::from_handshake(join.handshake).unwrap());
                }
            }
            ServerFrame::State { body, timed } | ServerFrame::Patch { body, timed, .. } => {
                self.decoder.as_mut().unwrap().apply(body).unwrap();
                self.consumed = timed.unwrap().input_seq;
            }
            ServerFrame::Error { code, .. } => self.errors.push(code),
            _ => {}
        }
    }
}

fn ship_of(state: &Value, name: &str) -> Option<Ship> {
    let ship = state["ships"].get(name)?;
    let number = |field: &str| ship[field].as_f64().unwrap() as f32;
    Some(Ship {
        x: number("x"),
        y: number("y"),
        vx: number("vx"),
        vy: number("vy"),
        heading: ship["heading"].as_u64().unwrap() as u8,
        thrust: ship["thrust"].as_u64().unwrap() as u8,
        safe_until: ship["safeUntil"].as_u64().unwrap() as u32,
        ..Ship::default()
    })
}

fn aim(ship: &Ship, state: &Value, name: &str, fire: &mut bool) -> &'static str {
    let others = state["ships"].as_object().unwrap().keys().filter(|key| *key != name);
    let target = others
        .filter_map(|key| ship_of(state, key))
        .min_by(|a, b| distance_squared(ship.at(), a.at()).total_cmp(&distance_squared(ship.at(), b.at())));
    let Some(target) = target else { return "" };
    let (x, y) = (f64::from(offset(ship.x, target.x)), f64::from(offset(ship.y, target.y)));
    let (nose_x, nose_y) = nose(ship.heading);
    let (ahead, aside) = (nose_x * x + nose_y * y, nose_x * y - nose_y * x);
    *fire = !*fire && ahead > 0.0 && x.hypot(y) < 300.0 && aside.abs() < 25.0;
    match (ahead > 0.0 && aside.abs() < 0.1 * ahead, *fire) {
        (true, true) => "uf",
        (true, false) => "u",
        (false, true) => "f",
        (false, false) if aside < 0.0 => "l",
        (false, false) => "r",
    }
}

/// What must be as it was after a restart.
fn flight(state: &Value) -> Value {
    let mut state = state.clone();
    for ship in state["ships"].as_object_mut().unwrap().values_mut() {
        ship.as_object_mut().unwrap().remove("safeUntil");
    }
    for player in state["players"].as_object_mut().unwrap().values_mut() {
        player.as_object_mut().unwrap().remove("connected");
    }
    state
}

#[test]
fn who_joins_flies_among_three_bots() {
    let mut game = Game::new(json!({}));
    game.join("ada", json!({ "name": "  Ada\u{7} " }));
    let state = game.state("ada");
    let names: Vec<&str> = state["ships"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["ada", "bot1", "bot2", "bot3"]);
    let ship = game.ship("ada").unwrap();
    assert_eq!((ship.vx, ship.vy, ship.heading), (0.0, 0.0, 36));
    for bot in ["bot1", "bot2", "bot3"] {
        let bot = ship_of(&state, bot).unwrap();
        assert!(distance_squared(ship.at(), bot.at()) > 300.0 * 300.0);
    }
    assert_eq!(ship.safe_until, 120);
    assert_eq!(
        state["players"]["ada"],
        json!({ "name": "Ada", "bot": false, "connected": true, "kills": 0, "deaths": 0 })
    );
    assert_eq!(state["players"]["bot1"]["bot"], true);
    assert!(state["players"]["bot1"]["name"].as_str().unwrap().ends_with(" Bot"));
    assert!(!state.to_string().contains("crew"), "what clients do not need is not sent");
}

#[test]
fn options_that_do_not_exist_are_refused() {
    let refusal =
        |options| Game::with(Spaaace::settings(), 1, options).err().and_then(|refusal| refusal.code);
    assert_eq!(refusal(json!({ "mode": "cheat" })), Some(code::BAD_OPTION));
    assert_eq!(refusal(json!({ "bots": 21 })), Some(code::BAD_OPTION));
    assert_eq!(refusal(json!({ "bots": 0, "mode": "watch", "region": "eu" })), None);
}

#[test]
fn keys_fly_the_ship() {
    let mut game = Game::new(json!({ "bots": 0 }));
    game.join("ada", json!({}));
    let start = game.ship("ada").unwrap();
    game.hold("ada", "u");
    game.pass(2000);
    let flown = game.ship("ada").unwrap();
    assert_eq!((flown.vx, flown.heading, flown.thrust), (0.0, 36, 5));
    assert!(flown.vy > 2.9 && offset(start.y, flown.y) > 150.0);
    game.hold("ada", "rf");
    game.pass(200);
    let state = game.state("ada");
    assert!(game.ship("ada").unwrap().heading > 40);
    assert_eq!(state["missiles"].as_object().unwrap().len(), 1);
    assert_eq!(state["missiles"]["1"]["owner"], "ada");
    game.pass(600);
    assert_eq!(game.state("ada")["missiles"], json!({}));
}

#[test]
fn inputs_fly_the_ship_and_are_counted() {
    let mut game = Game::new(json!({ "bots": 0 }));
    game.join("ada", json!({}));
    let mut keys = Replica::new(Controls::default());
    for step in 0..60 {
        *keys.get_mut() = Controls { up: true, right: step < 10, ..Controls::default() };
        keys.patch();
        let body = keys.shared_patch().to_vec();
        game.frame("ada", ClientFrame::InputReliable { stamp: None, body: &body });
        game.pass(16);
    }
    game.pass(100);
    let ship = game.ship("ada").unwrap();
    assert_eq!(game.pilots["ada"].consumed, 60);
    assert_eq!(ship.heading, 46, "ten inputs with the key down are ten steps of turning");
    assert!(ship.vy > 2.0 && ship.vx < 0.0);
}

#[test]
fn a_shot_is_judged_by_the_time_its_pilot_was_drawing() {
    let mut game = Game::new(json!({ "bots": 0 }));
    game.join("ada", json!({}));
    game.pass(1_000);
    let mut keys = Replica::new(Controls::default());
    let (mut clock, mut behind) = (0, Vec::new());
    for late in [Some(0), Some(150), Some(1_000), None] {
        for fire in [true, false] {
            *keys.get_mut() = Controls { fire, ..Controls::default() };
            keys.patch();
            let body = keys.shared_patch().to_vec();
            // The SDK stamps what the page says needs it, as the difference to the stamp before.
            let stamp = late.filter(|_| fire).map(|late| {
                let time = game.now.0 as i64 - late;
                ReliableStamp { delta: time - std::mem::replace(&mut clock, time), render_delta: None }
            });
            game.frame("ada", ClientFrame::InputReliable { stamp, body: &body });
            game.pass(50);
        }
        let state = game.engine.inspect().unwrap();
        let newest = state["missiles"].as_object().unwrap().values().next_back().unwrap().clone();
        behind.push(newest["behind"].as_i64().unwrap());
        game.pass(600);
    }
    assert!((0..=17).contains(&behind[0]), "fired in the step after: {behind:?}");
    assert!((150..=167).contains(&behind[1]), "{behind:?}");
    assert_eq!(behind[2..], [250, 0], "not further than that, and nothing without a stamp");
}

#[test]
fn one_ship_each_and_none_for_watchers_until_they_ask() {
    let mut game = Game::new(json!({}));
    game.join("ada", json!({}));
    game.join("wim", json!({ "mode": "watch" }));
    assert_eq!(game.refused("ada", "spawn", Value::Null), i32::from(code::ALREADY_FLYING));
    assert_eq!(game.state("wim")["spectators"], 1);
    assert_eq!(game.ship("wim"), None);
    let up = json!({ "up": true, "left": false, "right": false, "fire": false });
    assert_eq!(game.refused("wim", "controls", up), i32::from(code::NOT_A_PILOT));
    game.send("wim", "spawn", json!({ "name": "Wim" }));
    game.pass(100);
    assert!(game.ship("wim").is_some());
    assert_eq!(game.player("wim", "name"), "Wim");
    assert_eq!(game.state("wim")["spectators"], 0);
    assert_eq!(game.state("wim")["ships"].as_object().unwrap().len(), 5);
}

#[test]
fn sixty_steps_are_a_second() {
    let mut game = Game::new(json!({}));
    game.join("ada", json!({}));
    let before = game.state("ada")["step"].as_u64().unwrap();
    game.pass(60_000);
    let steps = game.state("ada")["step"].as_u64().unwrap() - before;
    assert!((3596..=3600).contains(&steps), "{steps} of which the last three wait for their patch");
}

#[test]
fn a_client_cannot_name_places_scores_or_others() {
    let mut game = Game::new(json!({}));
    game.join("ada", json!({}));
    for forged in [
        json!({ "up": true, "left": false, "right": false, "fire": false, "x": 1 }),
        json!({ "up": 1, "left": 0, "right": 0, "fire": 0 }),
        json!({ "up": true }),
        json!([]),
        Value::Null,
    ] {
        assert_eq!(game.refused("ada", "controls", forged.clone()), 4217, "{forged}");
    }
    assert_eq!(game.refused("ada", "spawn", json!({ "x": 1 })), 4217);
    assert_eq!(game.refused("ada", "kill", json!({ "victim": "bot1" })), 4217);
}

#[test]
fn a_fight_is_scored_fed_and_survived() {
    let mut game = Game::new(json!({ "bots": 3 }));
    game.join("ada", json!({ "name": "Ada" }));
    game.hunt("ada", 180_000);
    let state = game.state("ada");
    let (kills, deaths) = (&state["players"]["ada"]["kills"], &state["players"]["ada"]["deaths"]);
    let (kills, deaths) = (kills.as_u64().unwrap(), deaths.as_u64().unwrap());
    let bots = |field: &str| -> u64 {
        let count = |bot: &str| state["players"][bot][field].as_u64().unwrap();
        ["bot1", "bot2", "bot3"].into_iter().map(count).sum()
    };
    assert!(kills > 5, "{state}");
    assert!(deaths > 0, "bots hit back, and the score stayed through it: {state}");
    assert_eq!((bots("deaths"), bots("kills")), (kills, deaths), "bots do not hit bots");

    let feed = state["kills"].as_array().unwrap();
    assert_eq!(feed.len(), FEED);
    for pair in feed.windows(2) {
        assert!(pair[0]["step"].as_u64() <= pair[1]["step"].as_u64());
    }
    let line = feed.iter().rfind(|line| line["killer"] == "ada").unwrap();
    assert_eq!(line["killerName"], "Ada");
    assert!(line["victimName"].as_str().unwrap().ends_with(" Bot"));

    // Whatever was shot is back after five seconds.
    game.hold("ada", "");
    game.pass(5_200);
    let ships = game.state("ada")["ships"].clone();
    assert!(["bot1", "bot2", "bot3"].into_iter().all(|bot| ships.get(bot).is_some()), "{ships}");

    game.leave("ada");
    assert_eq!(game.events.len(), 1);
    assert_eq!(game.events[0]["session"], "ada");
    assert_eq!(game.events[0]["kills"], kills);
}

#[test]
fn a_crash_leaves_everything_where_it_was() {
    let mut game = Game::new(json!({}));
    game.join("ada", json!({ "name": "Ada" }));
    game.join("bob", json!({ "name": "Bob" }));
    game.join("wim", json!({ "mode": "watch" }));
    game.hunt("ada", 60_000);
    // In flight, with a missile under way.
    while game.ship("ada").is_none() {
        game.hunt("ada", 50);
    }
    game.hold("ada", "");
    game.hold("ada", "uf");
    game.pass(110);
    let seen = game.state("ada");
    assert!(!seen["missiles"].as_object().unwrap().is_empty());

    game.crash();
    game.come_back("ada");
    game.come_back("wim");
    assert_eq!(flight(&game.state("ada")), flight(&seen));
    assert_eq!(game.player("ada", "connected"), true);
    assert_eq!(game.state("ada")["players"]["bob"]["connected"], false);
    let step = seen["step"].as_u64().unwrap();
    let safe_until = game.ship("ada").unwrap().safe_until;
    assert_eq!(u64::from(safe_until), step + 480, "nobody is hit before they are back");

    game.hold("ada", "r");
    game.pass(1000);
    let (before, after) = (ship_of(&seen, "ada").unwrap(), game.ship("ada").unwrap());
    assert_ne!(before.heading, after.heading, "it obeys");
    let way = distance_squared(before.at(), after.at()).sqrt();
    assert!(way <= 3.0 * 70.0, "{way} pixels in a second");
    let ships = game.state("wim")["ships"].clone();
    assert!(["bot1", "bot2", "bot3"].iter().any(|bot| ships.get(bot).is_some()));
    assert_eq!(game.player("ada", "kills"), seen["players"]["ada"]["kills"]);

    // Bob does not come back: a minute later he is gone, with all that was his.
    game.pass(61_000);
    assert_eq!(game.state("ada")["players"].get("bob"), None);
    assert_eq!(game.state("ada")["ships"].get("bob"), None);
}

#[test]
fn a_lost_connection_lets_go_of_the_keys_and_keeps_the_score() {
    let mut game = Game::new(json!({}));
    game.join("ada", json!({}));
    game.join("bob", json!({ "mode": "watch" }));
    game.hunt("ada", 60_000);
    while game.ship("ada").is_none() {
        game.hunt("ada", 50);
    }
    let kills = game.player("ada", "kills");
    game.hold("ada", "ur");
    game.pass(100);
    game.lose("ada");
    game.pass(100);
    let before = ship_of(&game.state("bob"), "ada");
    game.pass(300);
    let after = ship_of(&game.state("bob"), "ada");
    assert_eq!(game.state("bob")["players"]["ada"]["connected"], false);
    if let (Some(before), Some(after)) = (before, after) {
        assert_eq!((before.heading, before.vx, before.vy), (after.heading, after.vx, after.vy));
    }
    game.come_back("ada");
    assert_eq!(game.player("ada", "connected"), true);
    assert_eq!(game.player("ada", "kills"), kills);
}

#[test]
fn a_full_arena_is_watched() {
    let mut game = Game::new(json!({ "bots": 20 }));
    for number in 0..SHIPS - 20 {
        assert!(!game.listing().locked && !game.listing().private, "a seat for pilot {number}");
        game.join(&format!("pilot{number}"), json!({}));
    }
    assert!(game.listing().private, "matchmaking looks elsewhere");
    game.join("late", json!({}));
    assert_eq!(game.ship("late"), None);
    let state = game.state("late");
    assert_eq!((state["ships"].as_object().unwrap().len(), &state["spectators"]), (100, &json!(1)));
    assert_eq!(game.refused("late", "spawn", Value::Null), i32::from(code::ARENA_FULL));
    game.leave("pilot7");
    assert!(!game.listing().private);
    game.send("late", "spawn", Value::Null);
    game.pass(100);
    assert!(game.ship("late").is_some());
}

#[test]
fn a_private_arena_is_joined_by_its_link() {
    let mut game = Game::new(json!({ "private": true, "bots": 1 }));
    game.join("ada", json!({}));
    assert!(game.listing().private, "matchmaking sends nobody");
    // Whoever has the id; what they wish of the arena does not count.
    game.join("bob", json!({ "private": false, "bots": 9 }));
    assert_eq!(game.state("bob")["ships"].as_object().unwrap().len(), 3);
    game.leave("ada");
    game.crash();
    game.come_back("bob");
    assert!(game.listing().private);
}

#[test]
fn the_same_seed_and_inputs_give_the_same_bytes() {
    let play = |seed| {
        let mut game = Game::with(Spaaace::settings(), seed, json!({ "bots": 6 })).unwrap();
        game.join("ada", json!({}));
        game.hunt("ada", 20_000);
        game.journal
    };
    assert!(play(7) == play(7));
    assert!(play(7) != play(8));
}

#[test]
fn with_snapshots_nothing_is_journaled_and_moments_are_checkpoints() {
    let mut game = Game::with(Spaaace::settings_with_snapshots(), 5, json!({})).unwrap();
    game.join("ada", json!({}));
    assert_eq!(game.checkpoints, 1);
    let records = game.journal.len();
    game.pass(1000);
    assert_eq!(game.journal.len(), records);
    game.hunt("ada", 120_000);
    let state = game.state("ada");
    let (kills, deaths) =
        (state["players"]["ada"]["kills"].as_u64(), state["players"]["ada"]["deaths"].as_u64());
    assert!(
        game.checkpoints as u64 > kills.unwrap() + deaths.unwrap(),
        "one for each hit, and one for the join"
    );
    assert!(state["ships"]["bot1"]["x"].as_f64().is_none_or(|x| x < f64::from(SIZE)));
}
