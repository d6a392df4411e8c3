//! Every sentence of `docs/rooms/tic_tac_toe.md`, through the engine: clients send frames, a pretend clock
//! goes on, and what the journal holds is looked at. A crash keeps nothing but the journal.

use super::*;
use everplay::room::{
    Birth, ConnId, Connect, Input, Listing, Out, Recipients, Record, Reply, RoomEngine, RoomKind, RoomType,
    Section, Ticket,
};
use everplay::types::RoomId;
use everplay_wire::{ClientFrame, Dialect, MessageType, ServerFrame, msgpack};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A room, its journal, and the clients at it.
struct Table {
    kind: Arc<dyn RoomKind>,
    engine: Box<dyn RoomEngine>,
    now: Millis,
    wake_at: Option<Millis>,
    journal: Vec<Vec<u8>>,
    conns: BTreeMap<String, ConnId>,
    tokens: BTreeMap<String, String>,
    errors: Vec<(String, i32)>,
    events: Vec<Value>,
    replies: Vec<Reply>,
    answers: Vec<Value>,
    ended: bool,
    next: u64,
}

fn room_id() -> RoomId {
    RoomId::new("room1").unwrap()
}

impl Table {
    fn create(options: Value) -> Result<Table, Refusal> {
        let kind: Arc<dyn RoomKind> = Arc::new(Arc::new(RoomType::<TicTacToe>::new("tic_tac_toe")));
        let engine = kind.create(Birth { room_id: room_id(), seed: [5; 32], options })?;
        let mut table = Table {
            kind,
            engine,
            now: Millis::ZERO,
            wake_at: None,
            journal: Vec::new(),
            conns: BTreeMap::new(),
            tokens: BTreeMap::new(),
            errors: Vec::new(),
            events: Vec::new(),
            replies: Vec::new(),
            answers: Vec::new(),
            ended: false,
            next: 1,
        };
        table.finish();
        Ok(table)
    }

    /// Ada with X, Bob with O, in a quick match.
    fn of_two() -> Table {
        let mut table = Table::create(json!({ "mode": "quick" })).unwrap();
        table.join("ada", json!({ "name": "Ada", "mode": "quick" }));
        table.join("bob", json!({ "name": "Bob", "mode": "quick" }));
        table
    }

    fn of_one(level: &str) -> Table {
        let mut table = Table::create(json!({ "mode": "computer", "level": level })).unwrap();
        table.join("ada", json!({ "name": "Ada" }));
        table
    }

    fn finish(&mut self) {
        let step = self.engine.finish();
        if let Some(record) = &step.record {
            for section in Record::decode(record).unwrap().sections {
                if let Section::Event(event) = section {
                    assert_eq!(event.name, "game finished");
                    self.events.push(msgpack::from_slice(&event.payload).unwrap());
                }
            }
        }
        self.journal.extend(step.record);
        self.wake_at = step.wake_at;
        self.ended |= step.ended;
        for out in step.out {
            match out {
                Out::Frame { to, bytes, .. } => {
                    let to: Vec<ConnId> = match to {
                        Recipients::One(conn) => vec![conn],
                        Recipients::Many(conns) => conns.to_vec(),
                    };
                    let here: Vec<String> = self
                        .conns
                        .iter()
                        .filter(|(_, conn)| to.contains(conn))
                        .map(|(name, _)| name.clone())
                        .collect();
                    for name in here {
                        self.receive(name, &bytes);
                    }
                }
                Out::Close { conn, .. } => self.conns.retain(|_, known| *known != conn),
                Out::Reply { reply, .. } => self.replies.push(reply),
            }
        }
    }

    fn receive(&mut self, name: String, bytes: &[u8]) {
        match ServerFrame::decode(bytes, Dialect::V18).unwrap() {
            ServerFrame::Join(join) => {
                self.tokens.insert(name, join.token.to_owned());
            }
            ServerFrame::Error { code, .. } => self.errors.push((name, code)),
            ServerFrame::Response { payload, .. } => self.answers.push(msgpack::from_slice(payload).unwrap()),
            _ => {}
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

    fn reserve(&mut self, name: &str, options: Value) -> Reply {
        self.reserve_as(name, options, Value::Null)
    }

    fn reserve_as(&mut self, name: &str, options: Value, auth: Value) -> Reply {
        let (ticket, session) = (Ticket(self.number()), SessionId::new(name).unwrap());
        self.input(Input::Reserve { ticket, session, options, auth });
        self.replies.pop().unwrap()
    }

    /// What a request is answered.
    fn ask(&mut self, name: &str, kind: &str, payload: Value) -> Value {
        let payload = msgpack::to_vec(&payload).unwrap();
        self.frame(name, ClientFrame::Request { id: 1, ty: MessageType::from(kind), payload: &payload });
        self.answers.pop().expect("an answer")
    }

    fn connect(&mut self, name: &str, token: Option<String>) {
        let conn = ConnId(self.number());
        self.conns.insert(name.to_owned(), conn);
        let (session, skip_handshake) = (SessionId::new(name).unwrap(), token.is_some());
        self.input(Input::Connect(Connect {
            conn,
            session,
            token,
            skip_handshake,
            dialect: Some(Dialect::V18),
        }));
        // A seat that is gone is answered with a close.
        if self.conns.contains_key(name) {
            self.frame(name, ClientFrame::Ack);
        }
    }

    fn join(&mut self, name: &str, options: Value) {
        assert_eq!(self.reserve(name, options), Reply::Reserved(Ok(())));
        self.connect(name, None);
    }

    fn frame(&mut self, name: &str, frame: ClientFrame<'_>) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.input(Input::Frame { conn: self.conns[name], bytes: bytes.into() });
    }

    fn send(&mut self, name: &str, kind: &str, payload: Value) {
        // Slower than the limit of messages a second.
        self.pass(100);
        let payload = if payload.is_null() { Vec::new() } else { msgpack::to_vec(&payload).unwrap() };
        self.frame(name, ClientFrame::Data { ty: MessageType::from(kind), payload: &payload });
    }

    fn play(&mut self, name: &str, cell: u32) {
        let before = self.errors.len();
        self.send(name, "move", json!({ "cell": cell }));
        assert_eq!(self.errors.len(), before, "{name} plays {cell}: {:?}", self.errors);
    }

    /// Cells by turns, Ada first.
    fn play_all(&mut self, cells: &[u32]) {
        for (number, cell) in cells.iter().enumerate() {
            self.play(if number % 2 == 0 { "ada" } else { "bob" }, *cell);
        }
    }

    /// What comes back for a message: its code, and that nothing else happened.
    fn refused(&mut self, name: &str, kind: &str, payload: Value) -> i32 {
        let before = self.state();
        self.send(name, kind, payload);
        assert_eq!(self.state(), before, "a refused message changes nothing");
        let (to, code) = self.errors.pop().expect("an error");
        assert_eq!(to, name);
        code
    }

    fn lose(&mut self, name: &str) {
        let conn = self.conns.remove(name).unwrap();
        self.input(Input::Closed { conn, code: CloseCode(1006) });
    }

    fn come_back(&mut self, name: &str) {
        let token = self.tokens[name].clone();
        self.connect(name, Some(token));
    }

    fn leave(&mut self, name: &str) {
        self.frame(name, ClientFrame::Leave);
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

    fn seconds(&mut self, seconds: u64) {
        self.pass(seconds * 1000);
    }

    /// kill -9 and a start from the journal.
    fn crash(&mut self) {
        let records: Vec<&[u8]> = self.journal.iter().map(Vec::as_slice).collect();
        self.engine = self.kind.revive(&room_id(), None, &records).unwrap();
        self.now = self.engine.time();
        self.conns.clear();
        self.engine.resume(&[], everplay::room::Absent::Dropped);
        self.finish();
    }

    fn state(&mut self) -> Value {
        // The state is whole once the pending patch is out.
        for _ in 0..100 {
            if let Some(state) = self.engine.inspect() {
                return state;
            }
            self.pass(10);
        }
        panic!("a change is pending for ever");
    }

    fn get(&mut self, field: &str) -> Value {
        self.state()[field].clone()
    }

    fn player(&mut self, name: &str, field: &str) -> Value {
        self.state()["players"][name][field].clone()
    }

    fn result(&mut self) -> (Value, Value) {
        let state = self.state();
        assert_eq!(state["phase"], "finished");
        assert_eq!(state["turn"], 0);
        assert_eq!(state["clock"], 0);
        (state["reason"].clone(), state["winner"].clone())
    }

    fn listing(&self) -> Listing {
        self.engine.listing()
    }
}

fn result(reason: &str, winner: u8) -> (Value, Value) {
    (json!(reason), json!(winner))
}

#[test]
fn the_first_waits_the_second_starts_the_game() {
    let mut table = Table::create(json!({ "mode": "quick" })).unwrap();
    table.join("ada", json!({ "name": "  Ada\u{7} \n Lovelace, Countess of Lovelace " }));
    assert_eq!(table.get("phase"), "waiting");
    assert_eq!(table.get("game"), 0);
    assert_eq!(table.get("board"), json!([0, 0, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(table.player("ada", "mark"), 1);
    assert_eq!(table.player("ada", "name"), "Ada Lovelace, Counte");

    table.join("bob", json!({}));
    let state = table.state();
    assert_eq!(state["phase"], "playing");
    assert_eq!((&state["game"], &state["turn"]), (&json!(1), &json!(1)));
    assert_eq!((&state["clock"], &state["moveTime"]), (&json!(30_000), &json!(30_000)));
    assert_eq!(state["players"]["bob"]["mark"], 2);
    assert_eq!(state["players"]["bob"]["name"], "Player");
}

#[test]
fn a_line_wins_and_the_result_is_an_event_in_the_same_record() {
    let mut table = Table::of_two();
    table.play_all(&[4, 0, 2, 1, 6]);
    assert_eq!(table.result(), result("line", 1));
    assert_eq!(table.get("line"), json!([2, 4, 6]));
    assert_eq!(table.get("moves"), json!([4, 0, 2, 1, 6]));
    assert_eq!(table.get("board"), json!([2, 2, 1, 0, 1, 0, 1, 0, 0]));
    assert_eq!((table.player("ada", "wins"), table.player("bob", "wins")), (json!(1), json!(0)));
    let expected = json!({
        "game": 1, "mode": "quick", "level": "", "reason": "line", "winner": "X", "moves": [4, 0, 2, 1, 6],
        "board": ["O", "O", "X", null, "X", null, "X", null, null], "tookMs": 500,
        "players": [
            { "user": null, "session": "ada", "name": "Ada", "mark": "X", "computer": false },
            { "user": null, "session": "bob", "name": "Bob", "mark": "O", "computer": false },
        ],
    });
    assert_eq!(table.events, [expected]);
}

#[test]
fn two_lines_at_once_are_both_told() {
    let mut table = Table::of_two();
    table.play_all(&[0, 1, 2, 3, 6, 5, 8, 7, 4]);
    assert_eq!(table.result(), result("line", 1));
    assert_eq!(table.get("line"), json!([0, 4, 8, 2, 4, 6]));
}

#[test]
fn a_full_board_is_a_draw_and_keeps_the_seats() {
    let mut table = Table::of_two();
    table.play_all(&[0, 1, 2, 4, 3, 5, 7, 6, 8]);
    assert_eq!(table.result(), result("draw", 0));
    assert_eq!(table.get("draws"), 1);
    assert_eq!(table.events[0]["winner"], Value::Null);
    assert_eq!(table.get("players").as_object().unwrap().len(), 2);
}

#[test]
fn what_the_rules_forbid_is_refused_with_its_code() {
    let mut table = Table::create(json!({})).unwrap();
    table.join("ada", json!({}));
    let cell = |cell: u32| json!({ "cell": cell });
    assert_eq!(table.refused("ada", "move", cell(0)), 4304);
    assert_eq!(table.refused("ada", "forfeit", Value::Null), 4304);
    assert_eq!(table.refused("ada", "rematch", Value::Null), 4304);
    table.join("bob", json!({}));
    table.join("wim", json!({ "mode": "watch" }));

    assert_eq!(table.refused("bob", "move", cell(0)), 4302);
    table.play("ada", 4);
    assert_eq!(table.refused("ada", "move", cell(0)), 4302, "nobody moves twice");
    assert_eq!(table.refused("bob", "move", cell(4)), 4301);
    assert_eq!(table.refused("bob", "move", cell(9)), 4300);
    assert_eq!(table.refused("bob", "rematch", Value::Null), 4306);
    for kind in ["move", "forfeit", "rematch"] {
        assert_eq!(table.refused("wim", kind, cell(0)), 4305, "{kind}");
    }

    table.play("bob", 0);
    table.play("ada", 3);
    table.play("bob", 1);
    table.play("ada", 5);
    assert_eq!(table.result(), result("line", 1));
    assert_eq!(table.refused("bob", "move", cell(2)), 4303);
    assert_eq!(table.refused("bob", "forfeit", Value::Null), 4303);
    assert_eq!(table.events.len(), 1);
}

#[test]
fn a_client_cannot_name_marks_results_or_others() {
    let mut table = Table::of_two();
    for forged in [
        json!({ "cell": 0, "mark": "O" }),
        json!({ "cell": 0, "winner": 1 }),
        json!({ "cell": 0, "player": "bob" }),
        json!({ "cell": -1 }),
        json!({ "cell": 1.5 }),
        json!({ "cell": "0" }),
        json!({ "cell": [0] }),
        json!({}),
        json!(0),
        Value::Null,
    ] {
        assert_eq!(table.refused("ada", "move", forged.clone()), 4217, "{forged}");
    }
    for kind in ["win", "result", "state", "finish"] {
        assert_eq!(table.refused("ada", kind, json!({ "winner": 1 })), 4217, "{kind}");
    }
    assert_eq!(table.events, Vec::<Value>::new());
}

#[test]
fn a_player_may_give_up_out_of_turn_too() {
    let mut table = Table::of_two();
    table.send("bob", "forfeit", Value::Null);
    assert_eq!(table.result(), result("forfeit", 1));
    assert_eq!(table.player("bob", "connected"), true);
}

#[test]
fn a_rematch_needs_both_and_swaps_sides() {
    let mut table = Table::of_two();
    table.play_all(&[4, 0, 2, 1, 6]);
    table.send("bob", "rematch", Value::Null);
    table.send("bob", "rematch", Value::Null);
    assert_eq!(table.get("phase"), "finished");
    assert_eq!((table.player("ada", "rematch"), table.player("bob", "rematch")), (json!(false), json!(true)));
    table.send("ada", "rematch", json!({}));

    let state = table.state();
    assert_eq!((&state["phase"], &state["game"]), (&json!("playing"), &json!(2)));
    assert_eq!(state["board"], json!([0, 0, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!((&state["moves"], &state["line"], &state["reason"]), (&json!([]), &json!([]), &json!("")));
    assert_eq!((&state["players"]["ada"]["mark"], &state["players"]["bob"]["mark"]), (&json!(2), &json!(1)));
    assert_eq!(
        (&state["players"]["ada"]["wins"], &state["players"]["ada"]["rematch"]),
        (&json!(1), &json!(false))
    );
    assert_eq!(table.refused("ada", "move", json!({ "cell": 0 })), 4302);
    table.play("bob", 0);
    table.send("bob", "forfeit", Value::Null);
    assert_eq!(table.result(), result("forfeit", 2));
    assert_eq!(table.player("ada", "wins"), 2);
}

#[test]
fn who_lets_the_clock_run_out_loses() {
    let mut table = Table::of_two();
    table.seconds(20);
    table.play("ada", 0);
    assert_eq!(table.get("clock"), 30_000, "each move has its own time");
    table.seconds(29);
    assert_eq!(table.get("phase"), "playing");
    table.seconds(2);
    assert_eq!(table.result(), result("timeout", 1));
    table.seconds(300);
    assert_eq!(table.events.len(), 1);
}

#[test]
fn the_clock_can_be_set_by_the_creator_only() {
    let mut table = Table::create(json!({ "mode": "private", "moveSeconds": 5 })).unwrap();
    table.join("ada", json!({}));
    table.join("bob", json!({ "moveSeconds": 300 }));
    assert_eq!(table.get("moveTime"), 5_000);
    table.seconds(6);
    assert_eq!(table.result(), result("timeout", 2));

    let mut table = Table::create(json!({ "mode": "private", "moveSeconds": 0 })).unwrap();
    table.join("ada", json!({}));
    table.join("bob", json!({}));
    table.seconds(3600);
    assert_eq!((table.get("phase"), table.get("clock")), (json!("playing"), json!(0)));
}

#[test]
fn options_that_make_no_sense_create_no_room() {
    for options in [
        json!({ "mode": "watch" }),
        json!({ "mode": "ranked" }),
        json!({ "mode": "computer", "level": "godlike" }),
        json!({ "moveSeconds": 4 }),
        json!({ "moveSeconds": 301 }),
        json!({ "mode": "quick", "moveSeconds": 0 }),
    ] {
        let refusal = Table::create(options.clone()).err().unwrap_or_else(|| panic!("{options} made a room"));
        assert_eq!(refusal.code, Some(4308), "{options}");
    }
    assert!(Table::create(json!({ "name": "Ada", "sdk": { "some": "thing" } })).is_ok());
}

#[test]
fn who_leaves_a_game_loses_it_and_stays_named() {
    let mut table = Table::of_two();
    table.play("ada", 0);
    table.leave("ada");
    assert_eq!(table.result(), result("left", 2));
    assert_eq!((table.player("ada", "left"), table.player("ada", "name")), (json!(true), json!("Ada")));
    assert_eq!(table.refused("bob", "rematch", Value::Null), 4307);
    assert!(!table.ended);
    table.leave("bob");
    assert!(table.ended, "the room ends with its last client");
    assert_eq!(table.events.len(), 1);
}

#[test]
fn a_newcomer_takes_the_seat_that_is_left() {
    let mut table = Table::of_two();
    table.leave("ada");
    table.join("eve", json!({ "name": "Eve" }));
    let state = table.state();
    assert_eq!((&state["phase"], &state["game"]), (&json!("playing"), &json!(2)));
    assert_eq!(state["players"].as_object().unwrap().len(), 2);
    assert_eq!((&state["players"]["eve"]["mark"], &state["players"]["bob"]["mark"]), (&json!(1), &json!(2)));
}

#[test]
fn a_room_that_only_watchers_kept_waits_for_two_again() {
    // It once kept the old result, and the newcomer's rematch began a game against nobody.
    let mut table = Table::of_two();
    table.join("wim", json!({ "mode": "watch" }));
    table.play("ada", 4);
    table.leave("ada");
    table.leave("bob");
    table.join("eve", json!({ "name": "Eve" }));
    let state = table.state();
    assert_eq!(
        (&state["phase"], &state["reason"], &state["winner"]),
        (&json!("waiting"), &json!(""), &json!(0))
    );
    assert_eq!(state["board"], json!([0, 0, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(table.refused("eve", "rematch", Value::Null), 4304);
    table.join("ken", json!({}));
    assert_eq!((table.get("phase"), table.get("game")), (json!("playing"), json!(2)));
}

#[test]
fn who_leaves_while_waiting_leaves_nothing_behind() {
    let mut table = Table::create(json!({})).unwrap();
    table.join("wim", json!({ "mode": "watch" }));
    table.join("ada", json!({}));
    table.leave("ada");
    assert_eq!(table.get("players"), json!({}));
    assert_eq!(table.get("phase"), "waiting");
    table.join("bob", json!({}));
    assert_eq!(table.player("bob", "mark"), 1);
}

#[test]
fn a_dropped_player_keeps_the_seat_for_a_minute() {
    let mut table = Table::create(json!({ "mode": "private", "moveSeconds": 0 })).unwrap();
    table.join("ada", json!({}));
    table.join("bob", json!({}));
    table.play("ada", 4);
    table.lose("bob");
    assert_eq!((table.player("bob", "connected"), table.player("bob", "left")), (json!(false), json!(false)));
    table.seconds(58);
    assert_eq!(table.get("phase"), "playing");
    table.come_back("bob");
    assert_eq!(table.player("bob", "connected"), true);
    table.play("bob", 0);

    table.lose("bob");
    table.seconds(61);
    assert_eq!(table.result(), result("left", 1));
    assert_eq!(table.player("bob", "left"), true);
}

#[test]
fn dropping_does_not_stop_the_clock() {
    let mut table = Table::of_two();
    table.lose("ada");
    table.seconds(31);
    assert_eq!(table.result(), result("timeout", 2));
    table.come_back("ada");
    assert_eq!(table.player("ada", "connected"), true, "the seat outlives the game");
}

#[test]
fn who_comes_back_or_joins_is_told_what_is_left_of_the_clock() {
    let mut table = Table::of_two();
    table.seconds(10);
    table.lose("bob");
    table.seconds(5);
    table.come_back("bob");
    assert_eq!(table.get("clock"), 15_000);
    table.seconds(5);
    table.join("wim", json!({ "mode": "watch" }));
    let left = table.get("clock").as_u64().unwrap();
    assert!((9_900..=10_000).contains(&left), "{left}");
    table.seconds(11);
    assert_eq!(table.result(), result("timeout", 2), "told again, not given again");
}

#[test]
fn watchers_are_counted_and_take_no_seat() {
    let mut table = Table::create(json!({})).unwrap();
    table.join("wim", json!({ "mode": "watch" }));
    table.join("ada", json!({}));
    table.join("bob", json!({}));
    table.join("late", json!({ "mode": "private" }));
    assert_eq!(table.get("spectators"), 2);
    assert_eq!(table.get("players").as_object().unwrap().len(), 2);
    table.lose("wim");
    assert_eq!(table.get("spectators"), 2);
    table.come_back("wim");
    table.leave("wim");
    table.leave("late");
    assert_eq!(table.get("spectators"), 0);
    assert_eq!(table.get("phase"), "playing");
}

#[test]
fn matchmaking_finds_only_quick_rooms_that_wait_for_someone_who_is_there() {
    let mut table = Table::create(json!({ "mode": "quick" })).unwrap();
    table.join("ada", json!({}));
    assert!(!table.listing().private && !table.listing().locked);
    table.lose("ada");
    assert!(table.listing().private);
    table.come_back("ada");
    assert!(!table.listing().private);

    // Two who are matched at once: the second reservation finds the room full, not a place to watch.
    assert_eq!(table.reserve("bob", json!({})), Reply::Reserved(Ok(())));
    assert!(table.listing().locked);
    assert!(matches!(table.reserve("eve", json!({})), Reply::Reserved(Err(_))));
    table.connect("bob", None);
    assert!(table.listing().private && !table.listing().locked, "found by nobody, open to watchers");
    table.join("eve", json!({ "mode": "watch" }));

    for mode in ["private", "computer"] {
        let mut table = Table::create(json!({ "mode": mode })).unwrap();
        table.join("ada", json!({}));
        assert!(table.listing().private, "{mode}");
    }
}

#[test]
fn thirty_watch_and_the_next_is_turned_away() {
    let mut table = Table::of_two();
    for number in 0..30 {
        table.join(&format!("watcher{number}"), json!({ "mode": "watch" }));
    }
    assert!(matches!(table.reserve("late", json!({ "mode": "watch" })), Reply::Reserved(Err(_))));
    assert_eq!(table.get("spectators"), 30);
}

#[test]
fn the_computer_answers_after_a_moment_and_begins_every_second_game() {
    for level in ["easy", "medium", "perfect"] {
        let mut table = Table::of_one(level);
        assert_eq!((table.get("phase"), table.get("level")), (json!("playing"), json!(level)));
        assert_eq!((table.get("clock"), table.player("computer", "computer")), (json!(0), json!(true)));
        table.play("ada", 4);
        table.pass(300);
        assert_eq!(table.get("moves").as_array().unwrap().len(), 1);
        assert_eq!(table.refused("ada", "move", json!({ "cell": 0 })), 4302);
        table.pass(200);
        assert_eq!((table.get("moves").as_array().unwrap().len(), table.get("turn")), (2, json!(1)));

        table.send("ada", "forfeit", Value::Null);
        assert_eq!(table.result(), result("forfeit", 2));
        assert_eq!(table.player("computer", "wins"), 1);
        table.send("ada", "rematch", Value::Null);
        table.pass(700);
        assert_eq!((table.get("moves").as_array().unwrap().len(), table.get("turn")), (1, json!(2)));
        assert_eq!(table.player("ada", "mark"), 2);
    }
}

#[test]
fn a_computer_that_still_thinks_does_not_play_in_the_next_game() {
    let mut table = Table::of_one("easy");
    table.play("ada", 4);
    table.send("ada", "forfeit", Value::Null);
    table.send("ada", "rematch", Value::Null);
    table.send("ada", "forfeit", Value::Null);
    table.send("ada", "rematch", Value::Null);
    table.seconds(5);
    assert_eq!((table.get("moves"), table.get("turn")), (json!([]), json!(1)));
}

#[test]
fn a_whole_game_against_the_perfect_computer_is_never_won() {
    for opening in 0..9 {
        let mut table = Table::of_one("perfect");
        let mut next = opening;
        while table.get("phase") == "playing" {
            table.play("ada", next);
            table.pass(700);
            let board = table.get("board");
            next = board.as_array().unwrap().iter().position(|cell| cell == 0).unwrap_or(0) as u32;
        }
        assert_ne!(table.get("winner"), 1);
    }
}

#[test]
fn a_crash_in_the_middle_takes_nothing_back() {
    let mut table = Table::of_two();
    table.play_all(&[4, 0, 2]);
    let before = table.state();
    table.crash();
    let mut after = table.state();
    assert_eq!(after["players"]["ada"]["connected"], false, "both are on their way");
    for name in ["ada", "bob"] {
        after["players"][name]["connected"] = json!(true);
    }
    // The timer of the clock is a new one.
    after["clock_timer"] = before["clock_timer"].clone();
    assert_eq!(after, before);

    table.come_back("bob");
    table.come_back("ada");
    assert_eq!(table.player("ada", "connected"), true);
    table.play("bob", 1);
    table.play("ada", 6);
    assert_eq!(table.result(), result("line", 1));
    table.send("ada", "rematch", Value::Null);
    table.send("bob", "rematch", Value::Null);
    table.play("bob", 0);
}

#[test]
fn a_restart_gives_the_whole_time_again() {
    let mut table = Table::of_two();
    table.play("ada", 4);
    table.seconds(29);
    table.join("wim", json!({ "mode": "watch" }));
    assert!(table.get("clock").as_u64().unwrap() <= 1_000);
    table.crash();
    assert_eq!(table.get("clock"), 30_000);
    table.come_back("ada");
    table.seconds(25);
    table.come_back("bob");
    assert_eq!(table.get("phase"), "playing");
    table.play("bob", 0);

    let mut table = Table::create(json!({ "moveSeconds": 5 })).unwrap();
    table.join("ada", json!({}));
    table.join("bob", json!({}));
    table.crash();
    assert_eq!(table.get("clock"), 15_000, "enough to come back with the SDK's longest pauses");
}

#[test]
fn who_does_not_come_back_after_a_restart_has_left() {
    let mut table = Table::create(json!({ "mode": "private", "moveSeconds": 0 })).unwrap();
    table.join("ada", json!({}));
    table.join("bob", json!({}));
    table.crash();
    table.come_back("ada");
    table.seconds(120);
    assert_eq!(table.result(), result("left", 1));
}

#[test]
fn a_computer_that_was_thinking_goes_on_after_a_restart() {
    let mut table = Table::of_one("perfect");
    table.play("ada", 0);
    table.crash();
    table.come_back("ada");
    table.seconds(1);
    assert_eq!(table.get("moves"), json!([0, 4]), "the only answer to a corner");
}

/// What must hold after anything at all.
fn check_invariants(table: &mut Table) {
    let state = table.state();
    let numbers = |field: &str| -> Vec<u8> {
        state[field].as_array().unwrap().iter().map(|number| number.as_u64().unwrap() as u8).collect()
    };
    let mut replayed = Board::default();
    let mut outcome = None;
    for cell in numbers("moves") {
        outcome = replayed.play(cell.into(), replayed.turn()).unwrap();
    }
    assert_eq!(Board::from_cells(numbers("board")), Ok(replayed), "the board is what the moves lead to");

    let playing = state["phase"] == "playing";
    let turn = if playing { replayed.turn().number() } else { 0 };
    assert_eq!(state["turn"], turn);
    assert_eq!(playing && state["moveTime"] != 0, !state["clock_timer"].is_null(), "{state}");
    assert_eq!(state["clock"] != 0, !state["clock_timer"].is_null());
    assert!(!(playing && outcome.is_some()), "a decided game goes on: {state}");
    match (&outcome, state["reason"].as_str().unwrap()) {
        (Some(Outcome::Win { mark, lines }), "line") => {
            assert_eq!(state["winner"], mark.number());
            assert_eq!(numbers("line").len(), lines.len() * 3);
        }
        (Some(Outcome::Draw), "draw") => assert_eq!(state["winner"], 0),
        (None, "") => assert_eq!(state["winner"], 0),
        (None, "forfeit" | "timeout" | "left") => assert_ne!(state["winner"], 0),
        (outcome, reason) => panic!("{outcome:?} is told as {reason:?}"),
    }

    let players = state["players"].as_object().unwrap();
    let marks: Vec<_> = players.values().map(|player| player["mark"].as_u64().unwrap()).collect();
    assert!(marks.len() < 2 || marks.len() == 2 && marks[0] + marks[1] == 3, "{marks:?}");
    assert!(!playing || marks.len() == 2);
    let games = state["game"].as_u64().unwrap();
    assert_eq!(table.events.len() as u64, games - u64::from(playing), "each finished game is told once");
}

#[test]
fn nothing_that_clients_time_and_crashes_do_breaks_a_room() {
    let mut finished = 0;
    for seed in 0..40_u64 {
        // A small generator is enough: the seed names the run.
        let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut roll = |sides: u64| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            dice % sides
        };
        let mode = ["quick", "private", "computer"][seed as usize % 3];
        let mut table = Table::create(json!({ "mode": mode, "level": "easy" })).unwrap();
        let mut names = Vec::new();
        for step in 0..400 {
            if table.ended {
                break;
            }
            let live: Vec<String> = table.conns.keys().cloned().collect();
            let someone = (!live.is_empty()).then(|| live[roll(live.len() as u64) as usize].clone());
            match (roll(60), someone) {
                (0 | 1, _) | (_, None) if names.len() < 6 => {
                    let name = format!("client{step}");
                    if table.reserve(&name, json!({ "mode": mode })) == Reply::Reserved(Ok(())) {
                        table.connect(&name, None);
                        names.push(name);
                    }
                }
                (2, Some(name)) => table.lose(&name),
                (3, Some(name)) => {
                    table.leave(&name);
                    names.retain(|known| *known != name);
                }
                (4, Some(name)) => table.send(&name, "forfeit", Value::Null),
                (5, _) => table.pass(roll(40_000)),
                (6, _) => table.crash(),
                (7..=9, _) => {
                    if let Some(name) = names.iter().find(|name| !table.conns.contains_key(*name)).cloned() {
                        table.come_back(&name);
                        names.retain(|known| *known != name || table.conns.contains_key(&name));
                    }
                }
                (10..=20, Some(name)) => table.send(&name, "rematch", Value::Null),
                (_, Some(name)) => table.send(&name, "move", json!({ "cell": roll(10) })),
                (_, None) => table.pass(1_000),
            }
            if !table.ended {
                check_invariants(&mut table);
            }
        }
        assert!(
            table.errors.iter().all(|(_, code)| (4300..4308).contains(code) || *code == 524),
            "{:?}",
            table.errors
        );
        finished += table.events.len();
    }
    assert!(finished > 100, "only {finished} games ended: the runs show little");
}

#[test]
fn a_move_asked_for_twice_under_one_key_is_played_once() {
    let mut table = Table::of_two();
    let play = |cell: u32, key: &str| json!({ "game": 1, "played": cell, "key": key });
    let first = table.ask("ada", "play", play(4, "a"));
    assert_eq!(
        (&first["status"], &first["turn"], &first["you"]),
        (&json!("active"), &json!("O"), &json!("X"))
    );
    table.play("bob", 0);
    table.crash();
    table.come_back("ada");
    table.come_back("bob");
    // Without the clock, which runs on, the answer is the same, also after the other's move and a crash.
    let mut again = table.ask("ada", "play", play(4, "a"));
    assert_eq!((&again["board"], &again["turn"]), (&first["board"], &first["turn"]));
    again["clock"] = first["clock"].clone();
    again["players"] = first["players"].clone();
    assert_eq!(again, first);
    assert_eq!(table.get("moves"), json!([4, 0]));
    assert_eq!(table.ask("ada", "play", play(5, "a"))["code"], 4309);
    assert_eq!(table.ask("bob", "play", play(4, "b"))["code"], 4302);
    // Keys are each side's own.
    assert_eq!(table.ask("ada", "play", play(2, "c"))["moves"], json!([4, 0, 2]));
    assert_eq!(table.ask("bob", "play", play(1, "a"))["moves"], json!([4, 0, 2, 1]));
    let last = table.ask("ada", "play", play(6, "d"));
    assert_eq!(
        (&last["status"], &last["winner"], &last["reason"]),
        (&json!("completed"), &json!("X"), &json!("line"))
    );
    assert_eq!(table.ask("ada", "play", play(6, "d")), last);
    assert_eq!(table.ask("bob", "play", play(8, "e"))["code"], 4303);
    assert_eq!(table.events.len(), 1);
}

#[test]
fn an_account_takes_its_seat_over_from_another_connection() {
    let mut table = Table::create(json!({ "mode": "private" })).unwrap();
    let (ada, eve) = (json!({ "id": "account-a" }), json!({ "id": "account-e" }));
    let join = |table: &mut Table, name: &str, options: Value, auth: &Value| {
        assert_eq!(table.reserve_as(name, options, auth.clone()), Reply::Reserved(Ok(())));
        table.connect(name, None);
    };
    join(&mut table, "phone", json!({ "name": "Ada" }), &ada);
    join(&mut table, "bob", json!({ "name": "Bob" }), &Value::Null);
    table.play("phone", 4);
    // Nobody else's account has a seat here, and who has none cannot take one over.
    for (name, auth) in [("eve", &eve), ("mallory", &Value::Null)] {
        join(&mut table, name, json!({ "resume": true }), auth);
        assert!(!table.conns.contains_key(name));
        assert_eq!(table.errors.pop(), Some((name.to_owned(), 4305)));
    }
    join(&mut table, "desk", json!({ "resume": true }), &ada);
    assert!(!table.conns.contains_key("phone"), "one seat, one connection");
    let state = table.state();
    assert_eq!((&state["phase"], &state["spectators"]), (&json!("playing"), &json!(0)));
    assert_eq!(state["players"]["desk"]["name"], "Ada");
    table.play("bob", 0);
    table.play("desk", 8);
    // Also from one that is gone, and after a crash.
    table.crash();
    join(&mut table, "pad", json!({ "resume": true }), &ada);
    table.come_back("bob");
    let now = table.ask("pad", "game", Value::Null);
    assert_eq!((&now["you"], &now["moves"]), (&json!("X"), &json!([4, 0, 8])));
    assert_eq!((&now["players"][0]["user"], &now["players"][1]["user"]), (&json!("account-a"), &Value::Null));
    assert_eq!(table.get("players").as_object().unwrap().len(), 2);
    assert!(table.events.is_empty());
}
