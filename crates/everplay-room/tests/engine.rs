//! The engine from outside: what goes in, what comes out, what a crash leaves.

mod harness;

use everplay_room::{
    AuthRequest, Client, Context, Input, Leave, Listing, Messages, Refusal, Reply, ReserveError, Room,
    RoomKind, RoomType, Section, Settings, Ticket,
};
use everplay_schema::{List, Map, State};
use everplay_types::{CloseCode, SessionId};
use everplay_wire::{ClientFrame, Dialect, MessageType};
use harness::Harness;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

#[derive(State, Default)]
struct Hall {
    ticks: u32,
    people: Map<Person>,
    log: List<String>,
    #[state(private)]
    secret: u32,
    #[state(skip)]
    cache: Vec<u32>,
}

#[derive(State, Default)]
struct Person {
    name: String,
    here: bool,
    score: u32,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Options {
    name: String,
    refuse: bool,
}

#[derive(Serialize, Deserialize)]
enum Alarm {
    Ring(String),
}

impl Room for Hall {
    type Options = Options;
    type Timer = Alarm;

    fn settings() -> Settings {
        Settings { max_clients: 3, reconnection: Duration::from_secs(10), ..Settings::default() }
    }

    fn messages(on: &mut Messages<Self>) {
        on.message("score", |hall: &mut Hall, _cx, client, by: u32| {
            let person = hall.people.get_mut(client.session_id()).ok_or("who are you?")?;
            person.score += by;
            Ok(())
        });
        on.message("alarm", |_hall, cx, _client, after: u64| {
            cx.schedule(Duration::from_millis(after), &Alarm::Ring(format!("set at {}", cx.now().0)));
            Ok(())
        });
        on.message("shout", |_hall, cx, client, text: String| {
            cx.broadcast_except("shout", &text, &[client]);
            cx.broadcast_after_patch("later", &text);
            Ok(())
        });
        on.message("kick", |_hall, cx, _client, who: String| {
            let who = cx.client(&who).ok_or(Refusal::new(4301, "nobody of that name"))?;
            cx.kick(&who, CloseCode::CONSENTED);
            Ok(())
        });
        on.message("secret", |hall: &mut Hall, cx, _client, (): ()| {
            hall.secret = cx.rng().below(1 << 30) as u32;
            Ok(())
        });
        on.message("panic", |_hall, _cx, _client, (): ()| panic!("as told"));
        on.message("lock", |_hall, cx, _client, (): ()| {
            cx.lock();
            cx.set_private(true);
            cx.set_metadata(&json!({ "map": "dunes" }))
        });
        on.message("win", |hall: &mut Hall, cx, client, (): ()| {
            hall.log.push(format!("{} won", client.session_id()));
            Ok(cx.emit("game finished", &json!({ "winner": client.session_id().as_str() }))?)
        });
        on.request(
            "double",
            |_hall, _cx, _client, n: i32| {
                if n > 100 { Err(Refusal::new(4302, "too much")) } else { Ok(n * 2) }
            },
        );
        on.bytes("raw", |hall: &mut Hall, cx, client, bytes| {
            hall.log.push(format!("{} bytes", bytes.len()));
            cx.send_bytes(client, "raw", bytes);
            Ok(())
        });
    }

    fn auth(request: &AuthRequest, _options: &Options) -> Result<serde_json::Value, Refusal> {
        match request.token.as_deref() {
            Some("bad") => Err(Refusal::new(401, "bad token")),
            token => Ok(json!({ "token": token })),
        }
    }

    fn create(_cx: &mut Context<Self>, _options: Options) -> Result<Self, Refusal> {
        Ok(Hall { secret: 7, ..Hall::default() })
    }

    fn join(&mut self, cx: &mut Context<Self>, client: &Client, options: Options) -> Result<(), Refusal> {
        if options.refuse {
            return Err(Refusal::new(4300, "not you"));
        }
        let person = Person { name: options.name, here: true, score: 0 };
        self.people.insert(client.session_id().as_str(), person);
        cx.send(client, "welcome", &"hello");
        Ok(())
    }

    fn timer(&mut self, cx: &mut Context<Self>, timer: Alarm) {
        let Alarm::Ring(text) = timer;
        self.log.push(format!("{text} rang at {}", cx.now().0));
    }

    fn drop(&mut self, _cx: &mut Context<Self>, client: &Client, _code: CloseCode) {
        if let Some(person) = self.people.get_mut(client.session_id()) {
            person.here = false;
        }
    }

    fn reconnect(&mut self, _cx: &mut Context<Self>, client: &Client) {
        if let Some(person) = self.people.get_mut(client.session_id()) {
            person.here = true;
        }
    }

    fn leave(&mut self, _cx: &mut Context<Self>, client: &Client, why: Leave) {
        self.people.remove(client.session_id());
        self.log.push(format!("{} left: {why:?}", client.session_id()));
    }

    fn restored(&mut self, _cx: &mut Context<Self>) {
        self.cache = vec![1, 2, 3];
    }
}

fn hall() -> Harness {
    Harness::new::<Hall>(json!({}))
}

fn session(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

#[test]
fn a_newcomer_gets_state_then_messages_then_patches() {
    let mut room = hall();
    room.join_with("ann", json!({ "name": "Ann" }));
    assert_eq!(room.peers["ann"].order, ["join", "state", "message"]);
    assert_eq!(room.peers["ann"].messages, [("welcome".to_owned(), json!("hello"))]);
    room.pass(100);
    room.join_with("bob", json!({ "name": "Bob" }));
    assert_eq!(room.peers["bob"].state(), room.peers["ann"].state());
    assert_eq!(room.peers["ann"].state()["people"]["bob"]["name"], "Bob");
    // What clients see is what the journal would give back, less what is private.
    assert_eq!(room.inspect()["secret"], 7);
    assert!(room.peers["ann"].state().get("secret").is_none());
}

#[test]
fn changes_reach_all_in_one_patch_per_interval() {
    let mut room = hall();
    room.join("ann");
    room.join("bob");
    room.pass(100);
    let before = room.peers["bob"].order.len();
    for _ in 0..5 {
        room.message("ann", "score", &2u32);
    }
    // The first change leaves at once, the others wait for the interval.
    room.pass(60);
    assert_eq!(room.peers["bob"].order[before..], ["patch", "patch"]);
    assert_eq!(room.peers["bob"].state()["people"]["ann"]["score"], 10);
}

#[test]
fn messages_wait_for_their_state_and_keep_their_order() {
    let mut room = hall();
    room.join("ann");
    room.join("bob");
    room.pass(100);
    let before = room.peers["bob"].order.len();
    let records = room.journal.len();
    room.engine.input(room.now, frame(&room, "ann", "score", &1u32));
    room.engine.input(room.now, frame(&room, "ann", "shout", &"hi"));
    room.finish();
    assert_eq!(room.peers["bob"].order[before..], ["message", "patch", "message"]);
    assert_eq!(room.journal.len(), records + 1, "one record holds what all of it was computed from");
    assert!(!room.peers["ann"].messages.iter().any(|(kind, _)| kind == "shout"));
    assert!(room.peers["ann"].messages.iter().any(|(kind, _)| kind == "later"));
}

fn frame(room: &Harness, name: &str, kind: &str, payload: &impl Serialize) -> Input {
    let payload = everplay_wire::msgpack::to_vec(payload).unwrap();
    let mut bytes = Vec::new();
    ClientFrame::Data { ty: MessageType::from(kind), payload: &payload }.encode(&mut bytes);
    Input::Frame { conn: room.peers[name].conn.unwrap(), bytes: bytes.into() }
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_lost() {
    let mut room = hall();
    room.join("ann");
    room.message("ann", "nonsense", &1);
    room.message("ann", "score", &"many");
    room.message("ann", "kick", &"nobody");
    let errors = &room.peers["ann"].errors;
    assert_eq!(errors.iter().map(|(code, _)| *code).collect::<Vec<_>>(), [4217, 4217, 4301]);
    assert!(errors[0].1.contains("nonsense"), "{errors:?}");
    assert!(errors[1].1.contains("u32"), "{errors:?}");
    room.message("ann", "score", &3u32);
    room.pass(100);
    assert_eq!(room.peers["ann"].state()["people"]["ann"]["score"], 3);
    room.raw("ann", vec![99, 1, 2]);
    assert_eq!(room.peers["ann"].closed.as_ref().unwrap().0, CloseCode::BAD_FRAME);
}

#[test]
fn requests_are_answered_refused_and_reported() {
    let mut room = hall();
    room.join("ann");
    room.request("ann", 1, "double", &21);
    room.request("ann", 2, "double", &200);
    room.request("ann", 3, "double", &"x");
    room.request("ann", 4, "missing", &());
    let answers = &room.peers["ann"].responses;
    assert_eq!(answers[0], (1, 0, json!(42)));
    assert_eq!((answers[1].1, &answers[1].2["code"]), (1, &json!(4302)));
    assert_eq!((answers[2].1, &answers[2].2["name"]), (2, &json!("invalid_payload")));
    assert_eq!((answers[3].1, &answers[3].2["name"]), (2, &json!("no_handler")));
}

#[test]
fn pings_and_bytes_go_both_ways() {
    let mut room = hall();
    room.join("ann");
    room.send("ann", ClientFrame::Ping);
    assert_eq!(room.peers["ann"].order.last(), Some(&"pong"));
    room.send("ann", ClientFrame::Bytes { ty: MessageType::from("raw"), bytes: &[1, 2, 3] });
    assert_eq!(room.peers["ann"].messages.last().unwrap(), &("raw".to_owned(), json!([1, 2, 3])));
}

#[test]
fn a_frame_before_the_acknowledgement_closes() {
    let mut room = hall();
    room.reserve("ann", json!({}));
    room.connect("ann", None, false, Some(Dialect::V18));
    room.message("ann", "score", &1u32);
    assert_eq!(room.peers["ann"].closed.as_ref().unwrap().0, CloseCode::BAD_FRAME);
}

#[test]
fn seats_are_counted_locked_and_lost_when_nobody_comes() {
    let mut room = hall();
    for name in ["a", "b", "c"] {
        assert_eq!(room.reserve(name, json!({})), Reply::Reserved(Ok(())));
    }
    assert_eq!(room.reserve("d", json!({})), Reply::Reserved(Err(ReserveError::Full)));
    let Listing { clients, locked, .. } = room.listing.clone().unwrap();
    assert_eq!((clients, locked), (3, true));
    room.connect("a", None, false, None);
    room.send("a", ClientFrame::Ack);
    room.pass(15_001);
    let Listing { clients, locked, .. } = room.listing.clone().unwrap();
    assert_eq!((clients, locked), (1, false), "reservations nobody used are places again");
    room.message("a", "lock", &());
    let listing = room.listing.clone().unwrap();
    assert!(listing.locked && listing.private);
    assert_eq!(listing.metadata, json!({ "map": "dunes" }));
    assert_eq!(room.reserve("e", json!({})), Reply::Reserved(Err(ReserveError::Locked)));
}

#[test]
fn an_unjoined_room_and_an_empty_one_end() {
    let mut room = hall();
    room.pass(14_000);
    assert!(!room.ended);
    room.pass(2_000);
    assert!(room.ended);

    let mut room = hall();
    room.join("ann");
    room.send("ann", ClientFrame::Leave);
    assert_eq!(room.peers["ann"].closed.as_ref().unwrap().0, CloseCode::CONSENTED);
    assert!(room.ended);
    assert!(room.kind.revive(&harness::room_id(), None, &records(&room)).is_err(), "an ended room is over");
}

fn records(room: &Harness) -> Vec<&[u8]> {
    room.journal.iter().map(Vec::as_slice).collect()
}

#[test]
fn tokens_open_one_seat_once_and_seats_need_their_token() {
    let mut room = hall();
    room.join("ann");
    let first = room.peers["ann"].token.clone();
    room.drop_connection("ann");
    room.connect("ann", None, true, None);
    assert_eq!(
        room.peers["ann"].closed.as_ref().unwrap().0,
        CloseCode::WITH_ERROR,
        "a seat in use needs its token"
    );
    room.connect("ann", Some("wrong".into()), true, None);
    assert_eq!(room.peers["ann"].closed.as_ref().unwrap().0, CloseCode::FAILED_TO_RECONNECT);
    room.come_back("ann");
    assert!(room.peers["ann"].closed.is_none());
    room.drop_connection("ann");
    room.connect("ann", first, true, None);
    assert_eq!(
        room.peers["ann"].closed.as_ref().unwrap().0,
        CloseCode::FAILED_TO_RECONNECT,
        "a token works once"
    );
    room.come_back("ann");
    assert!(room.peers["ann"].closed.is_none());
    room.connect("stranger", None, false, None);
    assert_eq!(room.peers["stranger"].closed.as_ref().unwrap().0, CloseCode::WITH_ERROR);
}

#[test]
fn a_token_that_never_arrived_does_not_lock_its_client_out() {
    let mut room = hall();
    room.join("ann");
    let held = room.peers["ann"].token.clone();
    room.drop_connection("ann");
    // JOIN_ROOM with the next token is on its way when the connection breaks again.
    room.connect("ann", held.clone(), true, None);
    room.drop_connection("ann");
    room.connect("ann", held, true, None);
    room.send("ann", ClientFrame::Ack);
    assert!(room.peers["ann"].closed.is_none());
}

#[test]
fn a_drop_is_not_a_leave_until_the_wait_is_over() {
    let mut room = hall();
    room.join("ann");
    room.join("bob");
    room.drop_connection("ann");
    room.pass(100);
    assert_eq!(room.peers["bob"].state()["people"]["ann"]["here"], false);
    room.come_back("ann");
    room.pass(100);
    assert_eq!(room.peers["bob"].state()["people"]["ann"]["here"], true);
    assert_eq!(room.peers["ann"].state(), room.peers["bob"].state());
    room.drop_connection("ann");
    room.pass(10_100);
    assert!(room.peers["bob"].state()["people"].get("ann").is_none());
    assert_eq!(room.peers["bob"].state()["log"][0], "ann left: Dropped(CloseCode(1006))");
}

#[test]
fn a_second_connection_with_the_token_takes_the_seat() {
    let mut room = hall();
    room.join("ann");
    let old = room.peers["ann"].conn.unwrap();
    let token = room.peers["ann"].token.clone();
    room.connect("ann", token, true, None);
    room.send("ann", ClientFrame::Ack);
    assert!(!room.conns.contains_key(&old), "the older connection was closed");
    room.message("ann", "score", &1u32);
    room.pass(100);
    assert_eq!(room.peers["ann"].state()["people"]["ann"]["score"], 1);
}

#[test]
fn a_refused_join_frees_the_seat() {
    let mut room = hall();
    room.join("bob");
    room.reserve("ann", json!({ "refuse": true }));
    room.connect("ann", None, false, None);
    assert_eq!(room.peers["ann"].errors, [(4300, "not you".to_owned())]);
    assert_eq!(room.peers["ann"].closed.as_ref().unwrap().0, CloseCode::WITH_ERROR);
    assert_eq!(room.listing.as_ref().unwrap().clients, 1);
}

#[test]
fn older_sdks_get_their_form_after_the_probe() {
    let mut room = hall();
    room.reserve("old", json!({}));
    room.connect("old", None, false, None);
    assert_eq!(room.peers["old"].joins, 1);
    room.pass(301);
    assert_eq!(room.peers["old"].joins, 2);
    room.send("old", ClientFrame::Ack);
    assert_eq!(room.peers["old"].state()["ticks"], 0);
    room.send("old", ClientFrame::Ack);
    assert!(room.peers["old"].closed.is_none(), "a slow client acknowledges twice");
}

#[test]
fn kicked_clients_see_the_last_patch_and_do_not_come_back() {
    let mut room = hall();
    room.join("ann");
    room.join("bob");
    room.pass(100);
    let token = room.peers["bob"].token.clone();
    room.message("ann", "kick", &"bob");
    assert_eq!(room.peers["bob"].closed.as_ref().unwrap().0, CloseCode::CONSENTED);
    room.connect("bob", token, true, None);
    assert_eq!(room.peers["bob"].closed.as_ref().unwrap().0, CloseCode::FAILED_TO_RECONNECT);
}

#[test]
fn a_crash_takes_nothing_back_and_everyone_resumes() {
    for with_snapshot in [false, true] {
        let mut room = hall();
        room.join_with("ann", json!({ "name": "Ann" }));
        room.join_with("bob", json!({ "name": "Bob" }));
        room.message("ann", "score", &5u32);
        room.message("ann", "alarm", &2_000u64);
        room.message("bob", "secret", &());
        room.pass(100);
        if with_snapshot {
            room.take_snapshot();
            room.message("bob", "score", &1u32);
            room.pass(100);
        }
        let seen = room.peers["ann"].state();
        let whole = room.inspect();
        room.crash();
        let mut restored = room.inspect();
        for name in ["ann", "bob"] {
            assert_eq!(restored["people"][name]["here"], false, "they are on their way");
            restored["people"][name]["here"] = json!(true);
        }
        assert_eq!(restored, whole);
        room.pass(500);
        room.come_back("ann");
        room.come_back("bob");
        room.pass(100);
        assert_eq!(room.peers["ann"].state(), seen);
        assert_eq!(room.peers["bob"].state(), seen);
        room.pass(2_000);
        let log = room.peers["ann"].state()["log"][0].as_str().unwrap().to_owned();
        assert!(log.starts_with("set at"), "a timer survives: {log}");
    }
}

#[test]
fn after_a_crash_nobody_is_timed_out_by_the_servers_absence() {
    let mut room = hall();
    room.join("ann");
    room.join("bob");
    room.pass(100);
    room.crash();
    // Longer than the kind's own 10 s.
    room.pass(50_000);
    room.come_back("ann");
    assert!(room.peers["ann"].closed.is_none());
    room.pass(15_000);
    assert!(room.peers["ann"].state()["people"].get("bob").is_none(), "bob never came");
}

#[test]
fn reservations_survive_a_crash() {
    let mut room = hall();
    room.join("ann");
    room.reserve("bob", json!({ "name": "Bob" }));
    room.crash();
    room.connect("bob", None, false, None);
    room.send("bob", ClientFrame::Ack);
    assert_eq!(room.peers["bob"].state()["people"]["bob"]["name"], "Bob");
}

#[test]
fn random_numbers_are_not_drawn_twice() {
    let mut room = hall();
    room.join("ann");
    room.message("ann", "secret", &());
    room.pass(100);
    let first = room.inspect()["secret"].clone();
    room.crash();
    room.come_back("ann");
    room.message("ann", "secret", &());
    room.pass(100);
    assert_ne!(room.inspect()["secret"], first);
}

#[test]
fn events_are_in_the_record_of_the_state_that_caused_them() {
    let mut room = hall();
    room.join("ann");
    room.message("ann", "win", &());
    let record = everplay_room::Record::decode(room.journal.last().unwrap()).unwrap();
    assert!(record.sections.iter().any(|section| matches!(section, Section::State(_))));
    assert!(
        record
            .sections
            .iter()
            .any(|section| { matches!(section, Section::Event(event) if event.name == "game finished") })
    );
}

#[test]
fn tokens_are_found_by_value_and_only_in_this_room() {
    let mut room = hall();
    room.join("ann");
    let token = room.peers["ann"].token.clone().unwrap();
    room.input(Input::FindSession { ticket: Ticket(900), token });
    room.input(Input::FindSession { ticket: Ticket(901), token: "other".into() });
    assert!(room.replies.contains(&(Ticket(900), Reply::Session(Some(session("ann"))))));
    assert!(room.replies.contains(&(Ticket(901), Reply::Session(None))));
}

#[test]
fn a_cut_queue_is_mended_by_one_full_state() {
    let mut room = hall();
    room.join("ann");
    room.join("bob");
    room.message("ann", "score", &1u32);
    room.pass(100);
    let conn = room.peers["bob"].conn.unwrap();
    room.peers.get_mut("ann").unwrap().order.clear();
    room.input(Input::Resync { conn });
    assert_eq!(room.peers["bob"].order.last(), Some(&"state"));
    assert_eq!(room.peers["bob"].state(), room.peers["ann"].state());
    assert!(room.peers["ann"].order.is_empty(), "the others do not notice");
}

#[test]
fn options_and_tokens_are_judged_before_a_room_is_involved() {
    let kind = Arc::new(RoomType::<Hall>::new("hall"));
    let request = |token: &str| AuthRequest { token: Some(token.into()), ..AuthRequest::default() };
    assert_eq!(kind.auth(&request("good"), &json!({})).unwrap(), json!({ "token": "good" }));
    assert_eq!(kind.auth(&request("bad"), &json!({})).unwrap_err().code, Some(401));
    let misfit = kind.auth(&request("good"), &json!({ "nam": 1 })).unwrap_err();
    assert!(misfit.message.contains("nam"), "{misfit}");
}

#[derive(State, Default)]
struct Clockwork {
    steps: u32,
}

impl Room for Clockwork {
    type Options = serde::de::IgnoredAny;
    type Timer = ();

    fn settings() -> Settings {
        Settings { tick: Some(Duration::from_millis(50)), ..Settings::default() }
    }

    fn create(_cx: &mut Context<Self>, _options: Self::Options) -> Result<Self, Refusal> {
        Ok(Self::default())
    }

    fn tick(&mut self, _cx: &mut Context<Self>, _step: Duration) {
        self.steps += 1;
    }
}

#[test]
fn steps_do_not_drift_and_catch_up_boundedly() {
    let mut room = Harness::new::<Clockwork>(json!({}));
    room.join("ann");
    room.pass(10_000);
    assert_eq!(room.peers["ann"].state()["steps"], 200);
    let patches = room.peers["ann"].order.iter().filter(|kind| **kind == "patch").count();
    assert!((199..=201).contains(&patches), "{patches} patches");
    // A stall of five seconds is a hundred steps; only a few are made up for.
    room.now = everplay_types::Millis(room.now.0 + 5_000);
    room.engine.wake(room.now);
    room.finish();
    assert!(room.overruns >= 90, "{}", room.overruns);
    room.pass(1_000);
    let steps = room.peers["ann"].state()["steps"].as_u64().unwrap();
    assert!((219..=230).contains(&steps), "{steps}");
}

#[derive(State, Default)]
struct Sixty {
    steps: u32,
}

impl Room for Sixty {
    type Options = serde::de::IgnoredAny;
    type Timer = ();

    fn settings() -> Settings {
        Settings { tick: Some(Duration::from_nanos(16_666_667)), ..Settings::default() }
    }

    fn create(_cx: &mut Context<Self>, _options: Self::Options) -> Result<Self, Refusal> {
        Ok(Self::default())
    }

    fn tick(&mut self, _cx: &mut Context<Self>, _step: Duration) {
        self.steps += 1;
    }
}

#[test]
fn sixty_steps_are_a_second() {
    let mut room = Harness::new::<Sixty>(json!({}));
    room.join("ann");
    room.pass(100_000);
    room.crash();
    room.come_back("ann");
    let before = room.peers["ann"].state()["steps"].as_u64().unwrap();
    assert!((5_997..=6_000).contains(&before), "{before}");
    room.pass(10_000);
    let after = room.peers["ann"].state()["steps"].as_u64().unwrap();
    assert!((597..=603).contains(&(after - before)), "{before} to {after}");
}
