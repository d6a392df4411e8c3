//! The room kind that is simulated: its state says what happened to it, so that clients can check what they see.

use everplay_node::Kind;
use everplay_room::{Client, Context, Leave, Messages, Refusal, Room, RoomType, Settings};
use everplay_schema::{List, Map, State};
use everplay_types::CloseCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Name of the kind.
pub(crate) const KIND: &str = "tally";
/// Seats of a room.
pub(crate) const SEATS: u32 = 4;
/// Messages that make one game.
const GAME: u32 = 12;

/// Every change raises `version` and renews `digest`, a sum over everything else.
#[derive(State, Default)]
pub(crate) struct Tally {
    pub(crate) version: u32,
    pub(crate) digest: u32,
    pub(crate) ticks: u32,
    pub(crate) said: u32,
    pub(crate) games: u32,
    /// Messages that came a second time.
    pub(crate) repeats: u32,
    /// By session: the number of the last message.
    pub(crate) last: Map<u32>,
    /// By session: 1 joined, 2 dropped, 3 left by itself, 4 lost its seat.
    pub(crate) seats: Map<u32>,
    /// The newest messages, so that patches insert and remove.
    pub(crate) recent: List<u32>,
    /// A planted bug: tells its last result again when it comes back.
    pub(crate) again: bool,
}

/// What an event of the room says: the state's number and digest, or a finished game.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) version: u32,
    pub(crate) digest: u32,
}

/// Name of the event of every change.
pub(crate) const MARK: &str = "mark";
/// Name of the event of a finished game.
pub(crate) const RESULT: &str = "result";

const NONE_WAITS: &str = "nobody takes events here, so none wait";

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Asked {
    again: bool,
}

/// What a client is told of a message that was taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Did {
    pub(crate) said: u32,
    pub(crate) session: String,
    pub(crate) n: u32,
}

/// Sums up a state as the room and its clients both can.
#[derive(Default)]
pub(crate) struct Digest(u32);

impl Digest {
    pub(crate) fn add(&mut self, value: u32) {
        self.0 = (self.0.rotate_left(7) ^ value).wrapping_mul(0x9e37_79b1);
    }

    /// Maps come in the order of their indexes, which differ after a full state: add up, whatever the order.
    pub(crate) fn add_map<'a>(&mut self, items: impl Iterator<Item = (&'a str, u32)>) {
        let sum = items.fold(0u32, |sum, (key, value)| {
            let mut one = Digest(super::world::number(key.as_bytes()) as u32);
            one.add(value);
            sum.wrapping_add(one.0)
        });
        self.add(sum);
    }

    pub(crate) fn get(self) -> u32 {
        self.0
    }
}

impl Tally {
    fn changed(&mut self, cx: &mut Context<Self>) {
        self.version += 1;
        let mut digest = Digest::default();
        for value in [self.version, self.ticks, self.said, self.games, self.repeats] {
            digest.add(value);
        }
        digest.add_map(self.last.iter().map(|(key, value)| (key, *value)));
        digest.add_map(self.seats.iter().map(|(key, value)| (key, *value)));
        self.recent.iter().for_each(|value| digest.add(*value));
        self.digest = digest.get();
        cx.emit(MARK, &Mark { version: self.version, digest: self.digest }).expect(NONE_WAITS);
    }

    fn seat(&mut self, cx: &mut Context<Self>, client: &Client, how: u32) {
        self.seats.insert(client.session_id().as_str(), how);
        self.changed(cx);
    }
}

impl Room for Tally {
    type Options = Asked;
    type Timer = ();

    fn settings() -> Settings {
        Settings {
            tick: Some(Duration::from_millis(100)),
            patch_interval: Duration::from_millis(20),
            max_clients: SEATS,
            ..Settings::default()
        }
    }

    fn messages(on: &mut Messages<Self>) {
        on.message("add", |room: &mut Tally, cx, client, n: u32| {
            let session = client.session_id().as_str();
            if n <= room.last.get(session).copied().unwrap_or_default() {
                room.repeats += 1;
            } else {
                room.last.insert(session, n);
            }
            room.recent.push(n);
            if room.recent.len() > 5 {
                room.recent.remove(0);
            }
            room.said += 1;
            if room.said.is_multiple_of(GAME) {
                room.games += 1;
                cx.emit(RESULT, &room.games)?;
            }
            let did = Did { said: room.said, session: session.to_owned(), n };
            cx.broadcast_after_patch("did", &did);
            room.changed(cx);
            Ok(())
        });
    }

    fn create(cx: &mut Context<Self>, asked: Asked) -> Result<Self, Refusal> {
        let mut room = Self { again: asked.again, ..Self::default() };
        room.changed(cx);
        Ok(room)
    }

    fn join(&mut self, cx: &mut Context<Self>, client: &Client, _: Asked) -> Result<(), Refusal> {
        self.seat(cx, client, 1);
        Ok(())
    }

    fn tick(&mut self, cx: &mut Context<Self>, _: Duration) {
        self.ticks += 1;
        self.changed(cx);
    }

    fn drop(&mut self, cx: &mut Context<Self>, client: &Client, _: CloseCode) {
        self.seat(cx, client, 2);
    }

    fn reconnect(&mut self, cx: &mut Context<Self>, client: &Client) {
        self.seat(cx, client, 1);
    }

    fn restored(&mut self, cx: &mut Context<Self>) {
        if self.again && self.games > 0 {
            cx.emit(RESULT, &self.games).expect(NONE_WAITS);
        }
    }

    fn leave(&mut self, cx: &mut Context<Self>, client: &Client, why: Leave) {
        let how = if why == Leave::Consented { 3 } else { 4 };
        self.seat(cx, client, how);
    }
}

pub(crate) fn kinds() -> Vec<Kind> {
    vec![Kind::new(Arc::new(Arc::new(RoomType::<Tally>::new(KIND))))]
}
