//! What a busy line tells while somebody does not take it, through the engine: hours go by in a moment.

use super::*;
use everplay::room::{
    Absent, Birth, ConnId, Connect, OUTBOX_EVENTS, Outgoing, RoomEngine, RoomKind, RoomType, Ticket,
};
use everplay::types::RoomId;
use everplay_wire::{ClientFrame, Dialect, MessageType, msgpack};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

const PLAYERS: u64 = 40;
const TABLES_OF_IT: usize = 16;

/// A line of 16 tables with 40 players, its journal, and its operator's log.
struct Busy {
    kind: Arc<dyn RoomKind>,
    engine: Box<dyn RoomEngine>,
    now: Millis,
    wake_at: Option<Millis>,
    journal: Vec<Vec<u8>>,
    warnings: Vec<String>,
}

fn room_id() -> RoomId {
    RoomId::new("line1").unwrap()
}

fn session(player: u64) -> SessionId {
    SessionId::new(format!("player{player:03}")).unwrap()
}

impl Busy {
    fn new() -> Busy {
        let kind: Arc<dyn RoomKind> = Arc::new(Arc::new(RoomType::<WaitingLine>::new("line")));
        let options = json!({ "tables": TABLES_OF_IT });
        let engine = kind.create(Birth { room_id: room_id(), seed: [5; 32], options }).unwrap();
        let (now, wake_at) = (Millis::ZERO, None);
        let mut busy = Busy { kind, engine, now, wake_at, journal: Vec::new(), warnings: Vec::new() };
        for player in 0..PLAYERS {
            let (ticket, session) = (Ticket(player), session(player));
            let options = json!({ "name": format!("Player {player}") });
            busy.input(everplay::room::Input::Reserve { ticket, session, options, auth: Value::Null });
            busy.connect(player);
        }
        busy
    }

    fn connect(&mut self, player: u64) {
        self.input(everplay::room::Input::Connect(Connect {
            conn: ConnId(player),
            session: session(player),
            token: None,
            skip_handshake: false,
            dialect: Some(Dialect::V18),
        }));
        self.frame(player, ClientFrame::Ack);
    }

    fn finish(&mut self) {
        let step = self.engine.finish();
        self.journal.extend(step.record);
        self.wake_at = step.wake_at;
        self.warnings.extend(step.warnings);
    }

    fn input(&mut self, input: everplay::room::Input) {
        self.engine.input(self.now, input);
        self.finish();
    }

    fn frame(&mut self, player: u64, frame: ClientFrame<'_>) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.input(everplay::room::Input::Frame { conn: ConnId(player), bytes: bytes.into() });
    }

    fn send(&mut self, player: u64, kind: &str, payload: &Value) {
        let payload = msgpack::to_vec(payload).unwrap();
        self.frame(player, ClientFrame::Data { ty: MessageType::from(kind), payload: &payload });
    }

    fn pass(&mut self, millis: u64) {
        let end = Millis(self.now.0 + millis);
        while let Some(at) = self.wake_at.filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.engine.wake(self.now);
            self.finish();
        }
        self.now = end;
    }

    /// Each table plays a game, the next one begins.
    fn round(&mut self) {
        (0..PLAYERS).for_each(|player| self.send(player, "forfeit", &Value::Null));
        self.pass(3100);
    }

    fn taken(&mut self, through: u64, beyond: Vec<u64>) {
        self.input(everplay::room::Input::Taken { through, beyond });
    }

    fn of(&self, name: &str) -> Vec<Outgoing> {
        let mut events = self.engine.outbox(0);
        events.retain(|waiting| waiting.event.name == name);
        events
    }

    /// Numbers of the games that wait, each once.
    fn games(&self) -> BTreeSet<u64> {
        let results = self.of("game finished");
        let game = |result: &Outgoing| {
            let result: Value = msgpack::from_slice(&result.event.payload).unwrap();
            result["game"].as_u64().unwrap()
        };
        let games: BTreeSet<u64> = results.iter().map(game).collect();
        assert_eq!(games.len(), results.len(), "each game once");
        games
    }

    fn changes(&self) -> Vec<Value> {
        self.of("line changed")
            .iter()
            .map(|waiting| msgpack::from_slice(&waiting.event.payload).unwrap())
            .collect()
    }

    /// kill -9 and a start from the journal.
    fn crash(&mut self) {
        let records: Vec<&[u8]> = self.journal.iter().map(Vec::as_slice).collect();
        self.engine = self.kind.revive(&room_id(), None, &records).unwrap();
        self.now = self.engine.time();
        self.engine.resume(&[], Absent::Dropped);
        self.finish();
    }
}

#[test]
fn a_name_that_is_no_other_is_no_change() {
    let mut busy = Busy::new();
    let before = busy.changes().len();
    for _ in 0..5 {
        busy.send(1, "name", &json!({ "name": " Player  1" }));
    }
    assert_eq!(busy.changes().len(), before);
    busy.send(1, "name", &json!({ "name": "Ada" }));
    assert_eq!(busy.changes().last().unwrap()["put"][0]["username"], "Ada");
}

/// An hour of 16 tables and more: every game waits, changes of the line only up to their share, and when some of these
/// were taken the line is told as a whole.
#[test]
fn results_are_not_crowded_out_by_changes() {
    let mut busy = Busy::new();
    for _ in 0..130 {
        busy.round();
        busy.send(1, "name", &json!({ "name": format!("Ada {}", busy.now.0) }));
    }
    let all: BTreeSet<u64> = (1..=130 * TABLES_OF_IT as u64).collect();
    assert_eq!(busy.games(), all);
    assert_eq!(busy.changes().len(), CHANGES_KEPT);
    assert_eq!(busy.warnings, Vec::<String>::new());
    assert!(busy.changes().iter().all(|change| change.get("whole").is_none()));
    busy.crash();
    assert_eq!((busy.games(), busy.changes().len()), (all.clone(), CHANGES_KEPT));
    // Who keeps the line is back; who keeps games is still away.
    let changes = busy.of("line changed").into_iter().map(|change| change.number).collect();
    busy.taken(0, changes);
    busy.pass(6000);
    let whole = busy.changes().into_iter().find(|change| change["whole"] == true).expect("the whole line");
    assert_eq!(whole["put"].as_array().unwrap().len() as u64, PLAYERS);
    assert_eq!(busy.games(), all);
}

/// At the very bound no game begins, and none that was played is lost; when results were taken the line goes on.
#[test]
fn a_line_that_can_tell_no_more_begins_no_game() {
    let mut busy = Busy::new();
    let mut rounds = 0;
    while rounds < OUTBOX_EVENTS / TABLES_OF_IT {
        busy.round();
        rounds += 1;
    }
    let played = busy.games();
    assert_eq!(played, (1..=played.len() as u64).collect());
    assert!(played.len() > OUTBOX_EVENTS / 2, "{}", played.len());
    busy.round();
    assert_eq!(busy.games(), played, "no game begins");
    assert_eq!(busy.warnings, Vec::<String>::new());
    let last = busy.engine.outbox(0).last().unwrap().number;
    busy.taken(last, Vec::new());
    busy.pass(6000);
    busy.round();
    let next = played.len() as u64 + 1;
    assert_eq!(busy.games(), (next..next + TABLES_OF_IT as u64).collect());
}
