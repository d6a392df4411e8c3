//! Games over HTTP: seats of players without a socket, in the rooms where everybody plays.
//!
//! ```text
//! everplay_api::games -> Tables -> one seat for each player and room, one watcher for each room that is looked at
//!                                    '-> the node, wherever in the cluster the room is
//! ```
//!
//! Seats are found again by their players: what a process holds of them is only a connection. When it is gone (a restart,
//! another node that is asked), the next request of the player joins with `resume`, and the room gives its seat over.
//!
//! Always holds: a game that exists is never unknown. It is in its room, or its room is in the directory until the record
//! store has the game; what ended a moment ago in a seat or under the eyes of a watcher of this process is known at once.

mod ended;
mod seat;

use ended::Ended;
use everplay_api::BoxFuture;
use everplay_api::games::{Following, GameNow, Stage, TableError, Tables, Wish};
use everplay_node::{Handle, MatchError, MatchRequest, Method, Reservation};
use everplay_records::GameId;
use everplay_room::AuthRequest;
use everplay_types::{ErrorCode, Identity, RoomId};
use parking_lot::Mutex;
use seat::{OpenError, Opening, Patience, SeatHandle};
use serde_json::{Value, json};
use std::cmp::Ordering as Cmp;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use tokio::sync::{OnceCell, watch};

/// Games that one player sits in at the same time.
const GAMES: usize = 10;
/// Seats and watchers of one process: at some 10 KB each, 100 MB.
const SEATS: usize = 10_000;
/// Locks by which requests of one player to begin games take turns; players share them by chance.
const TURNS: usize = 64;
/// The mode of a wish that names none.
const QUICK: &str = "quick";
/// Codes from here on are rooms' own.
const ROOM_CODES: u16 = 4300;

/// Whose seat: an account's, by customer and id, or a watcher's.
type Sitter = Option<(String, String)>;
type Cell = Arc<OnceCell<Arc<SeatHandle>>>;

/// The seats that this process holds.
pub(crate) struct RoomTables {
    node: Handle,
    /// The kind of a wish that names none.
    kind: Option<String>,
    seats: Mutex<HashMap<(RoomId, Sitter), Cell>>,
    ended: Arc<Ended>,
    turns: [tokio::sync::Mutex<()>; TURNS],
    hasher: RandomState,
    stop: watch::Sender<bool>,
}

fn sitter(who: &Identity) -> Sitter {
    Some((who.customer.to_string(), who.id.to_string()))
}

/// What rooms are told of who joins.
fn auth(who: Option<&Identity>) -> AuthRequest {
    AuthRequest { token: None, identity: who.cloned(), ip: None, headers: Vec::new() }
}

/// What matchmaking said no with, to somebody who wants this room (or any).
fn no_seat(error: MatchError, this_room: bool) -> TableError {
    match error.code {
        code if code == ErrorCode::INVALID_ROOM_ID.0 => TableError::NotFound,
        code if code == ErrorCode::NO_HANDLER.0 => TableError::Invalid(error.message),
        code if code == ErrorCode::AUTH_FAILED.0 => TableError::Refused { code, message: error.message },
        code if code == ErrorCode::UNHANDLED.0 && this_room => TableError::Full,
        code if code >= ROOM_CODES => TableError::Invalid(error.message),
        _ => TableError::Unavailable,
    }
}

impl RoomTables {
    pub(crate) fn new(node: Handle, kind: Option<String>) -> Self {
        Self {
            node,
            kind,
            seats: Mutex::default(),
            ended: Arc::default(),
            turns: std::array::from_fn(|_| tokio::sync::Mutex::new(())),
            hasher: RandomState::new(),
            stop: watch::Sender::new(false),
        }
    }

    /// Lets go of all seats, which wait for their players, and ends what follows games.
    pub(crate) fn close(&self) {
        self.stop.send_replace(true);
    }

    /// The place of a seat: one request takes it, the others wait for that one.
    fn cell(&self, room: &RoomId, sitter: Sitter) -> Result<Cell, TableError> {
        let mut seats = self.seats.lock();
        let key = (room.clone(), sitter);
        if let Some(cell) = seats.get(&key)
            && cell.get().is_none_or(|seat| !seat.has_ended())
        {
            return Ok(Arc::clone(cell));
        }
        if seats.len() >= SEATS {
            seats.retain(|_, cell| cell.get().map_or(Arc::strong_count(cell) > 1, |seat| !seat.is_old()));
            if seats.len() >= SEATS {
                return Err(TableError::Unavailable);
            }
        }
        let cell = Cell::default();
        seats.insert(key, Arc::clone(&cell));
        Ok(cell)
    }

    /// The seat of a player as this process knows it, also one that ended a moment ago.
    fn known(&self, room: &RoomId, sitter: Sitter) -> Option<Arc<SeatHandle>> {
        self.last(room, sitter).filter(|seat| !seat.is_old())
    }

    /// The newest seat of a player in a room that this process remembers.
    fn last(&self, room: &RoomId, sitter: Sitter) -> Option<Arc<SeatHandle>> {
        self.seats.lock().get(&(room.clone(), sitter))?.get().cloned()
    }

    fn of_player(&self, who: &Identity) -> Vec<Arc<SeatHandle>> {
        let whose = sitter(who);
        let seats = self.seats.lock();
        let theirs = seats.iter().filter(|((_, sitter), _)| *sitter == whose);
        theirs.filter_map(|(_, cell)| cell.get().cloned()).filter(|seat| !seat.has_ended()).collect()
    }

    async fn reserve(
        &self,
        method: Method,
        target: &str,
        options: Value,
        who: Option<&Identity>,
    ) -> Result<Reservation, TableError> {
        let this_room = method == Method::JoinById;
        let request = MatchRequest { method, target: target.to_owned(), options, auth: auth(who) };
        self.node.matchmake(request).await.map_err(|error| no_seat(error, this_room))
    }

    async fn open(
        &self,
        seat: Reservation,
        patience: Patience,
        key: Option<String>,
    ) -> Result<Arc<SeatHandle>, OpenError> {
        let here = self.node.rooms().into_iter().find(|info| info.id == seat.room_id);
        SeatHandle::open(Opening {
            node: self.node.clone(),
            kind: seat.name,
            room: seat.room_id,
            session: seat.session_id,
            created_at: here.map_or_else(everplay_now, |info| info.created_at),
            patience,
            one_game: patience == Patience::PLAYER,
            made_with: key,
            ended: Arc::clone(&self.ended),
            stop: self.stop.subscribe(),
        })
        .await
    }

    async fn watcher(&self, room: &RoomId) -> Result<Arc<SeatHandle>, TableError> {
        let cell = self.cell(room, None)?;
        let seat = cell.get_or_try_init(|| async {
            let seat =
                self.reserve(Method::JoinById, room.as_str(), json!({ "mode": "watch" }), None).await?;
            self.open(seat, Patience::WATCHER, None).await.map_err(|error| match error {
                OpenError::NoGame | OpenError::Refused(_) => TableError::NotFound,
                OpenError::Unavailable => TableError::Unavailable,
            })
        });
        let seat = seat.await?;
        seat.touch();
        Ok(Arc::clone(seat))
    }

    /// The seat that a player has in a room, taken again if this process does not hold it.
    async fn seat(&self, who: &Identity, room: &RoomId) -> Result<Arc<SeatHandle>, TableError> {
        let cell = self.cell(room, sitter(who))?;
        let seat = cell.get_or_try_init(|| async {
            let seat =
                self.reserve(Method::JoinById, room.as_str(), json!({ "resume": true }), Some(who)).await?;
            self.open(seat, Patience::PLAYER, None).await.map_err(|error| match error {
                OpenError::Refused(_) => TableError::NotAPlayer,
                OpenError::NoGame => TableError::NotFound,
                OpenError::Unavailable => TableError::Unavailable,
            })
        });
        let seat = seat.await?;
        seat.touch();
        Ok(Arc::clone(seat))
    }

    fn keep(&self, room: RoomId, who: &Identity, seat: &Arc<SeatHandle>) {
        let cell = Arc::new(OnceCell::new_with(Some(Arc::clone(seat))));
        self.seats.lock().insert((room, sitter(who)), cell);
    }

    /// A seat that was reserved by who is to play in it.
    async fn sit(
        &self,
        reserved: Reservation,
        who: &Identity,
        key: Option<String>,
    ) -> Result<GameNow, TableError> {
        let room = reserved.room_id.clone();
        let seat = self.open(reserved, Patience::PLAYER, key).await.map_err(|error| match error {
            OpenError::Refused(refused) => TableError::Refused {
                code: u16::try_from(refused.code).unwrap_or_default(),
                message: refused.message,
            },
            OpenError::NoGame => TableError::Invalid("this game is not played over HTTP".to_owned()),
            OpenError::Unavailable => TableError::Unavailable,
        })?;
        let now = seat.now();
        if !now.players.iter().any(|player| player.id == who.id.as_str()) {
            // Rooms let everybody watch. A seat that is busy is left in time.
            let _ = seat.leave().await;
            return Err(TableError::Full);
        }
        self.keep(room, who, &seat);
        Ok(GameNow::clone(&now))
    }

    fn turn(&self, who: &Identity) -> &tokio::sync::Mutex<()> {
        &self.turns[(self.hasher.hash_one(who.id.as_str()) % TURNS as u64) as usize]
    }

    fn check_room_for_more(&self, who: &Identity) -> Result<(), TableError> {
        if self.of_player(who).len() >= GAMES { Err(TableError::TooMany(GAMES)) } else { Ok(()) }
    }

    async fn begin(&self, who: &Identity, wish: Wish) -> Result<GameNow, TableError> {
        let _turn = self.turn(who).lock().await;
        let kind = wish.kind.as_ref().or(self.kind.as_ref());
        let kind = kind.ok_or_else(|| TableError::Invalid("this server has no games".to_owned()))?;
        let is_quick = |mode: Option<&str>| mode.is_none_or(|mode| mode == QUICK);
        let quick = is_quick(wish.mode.as_deref());
        let seats = self.of_player(who);
        let asked = seats.iter().find(|seat| wish.key.as_ref().is_some_and(|key| seat.was_made_with(key)));
        let waiting = || {
            let waits = |now: &GameNow| {
                now.stage == Stage::Waiting && now.kind == *kind && is_quick(now.mode.as_deref())
            };
            seats.iter().find(|seat| quick && waits(&seat.now()))
        };
        if let Some(seat) = asked.or_else(waiting) {
            seat.touch();
            seat.make_with(wish.key);
            return Ok(GameNow::clone(&seat.now()));
        }
        self.check_room_for_more(who)?;
        let mut options = json!({ "name": who.name, "mode": wish.mode.as_deref().unwrap_or(QUICK) });
        if let Some(level) = wish.level {
            options["level"] = level.into();
        }
        if let Some(seconds) = wish.move_seconds {
            options["moveSeconds"] = seconds.into();
        }
        let method = if quick { Method::JoinOrCreate } else { Method::Create };
        let reserved = self.reserve(method, kind, options, Some(who)).await?;
        self.sit(reserved, who, wish.key).await
    }

    async fn enter(&self, who: &Identity, room: &RoomId) -> Result<GameNow, TableError> {
        let _turn = self.turn(who).lock().await;
        match self.seat(who, room).await {
            Ok(seat) => return Ok(GameNow::clone(&seat.now())),
            Err(TableError::NotAPlayer) => {}
            Err(error) => return Err(error),
        }
        self.check_room_for_more(who)?;
        let options = json!({ "name": who.name });
        let reserved = self.reserve(Method::JoinById, room.as_str(), options, Some(who)).await?;
        self.sit(reserved, who, None).await
    }

    async fn look(&self, who: Option<&Identity>, id: &GameId) -> Result<Following, TableError> {
        if let Some(over) = self.ended.get(id) {
            return Ok(watch::channel(over).1);
        }
        if let Some(seat) = who.and_then(|who| self.known(&id.room, sitter(who)))
            && seat.now().id.number == id.number
            && (!seat.has_ended() || seat.now().stage.is_over())
        {
            if !seat.has_ended() {
                seat.touch();
            }
            return Ok(seat.following());
        }
        let watcher = match self.watcher(&id.room).await {
            Ok(watcher) => watcher,
            Err(TableError::NotFound) => return Err(self.missing(&id.room).await),
            Err(error) => return Err(error),
        };
        match watcher.now().id.number.cmp(&id.number) {
            Cmp::Less => return Err(TableError::NotFound),
            Cmp::Equal => {}
            // It was played, and its room has still to tell it.
            Cmp::Greater => {
                return self.ended.get(id).map(|over| watch::channel(over).1).ok_or(TableError::Unavailable);
            }
        }
        if let Some(who) = who.filter(|who| watcher.misses(who.id.as_str())) {
            match self.seat(who, &id.room).await {
                Ok(seat) => return Ok(seat.following()),
                // It was given up meanwhile.
                Err(TableError::NotAPlayer) => {}
                Err(TableError::NotFound) => return Err(self.missing(&id.room).await),
                Err(error) => return Err(error),
            }
        }
        Ok(watcher.following())
    }

    /// Why a room was not found.
    async fn missing(&self, room: &RoomId) -> TableError {
        match self.node.is_listed(room).await {
            Ok(false) => TableError::NotFound,
            Ok(true) => TableError::Unavailable,
            Err(error) => {
                tracing::debug!(room.id = %room, %error, "the directory did not say whether a room is there");
                TableError::Unavailable
            }
        }
    }
}

fn everplay_now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

impl Tables for RoomTables {
    fn create<'a>(&'a self, who: &'a Identity, wish: Wish) -> BoxFuture<'a, Result<GameNow, TableError>> {
        Box::pin(self.begin(who, wish))
    }

    fn join<'a>(&'a self, who: &'a Identity, room: &'a RoomId) -> BoxFuture<'a, Result<GameNow, TableError>> {
        Box::pin(self.enter(who, room))
    }

    fn play<'a>(
        &'a self,
        who: &'a Identity,
        id: &'a GameId,
        played: Value,
        key: Option<String>,
    ) -> BoxFuture<'a, Result<GameNow, TableError>> {
        Box::pin(async move {
            // A game that is over may be asked again for what it answered.
            let seat = self.last(&id.room, sitter(who)).filter(|seat| seat.has_ended());
            if let Some(answer) = seat.and_then(|seat| seat.answered(id.number, &played, key.as_deref())) {
                return Ok(answer);
            }
            if self.ended.get(id).is_some() {
                return Err(TableError::Over);
            }
            self.seat(who, &id.room).await?.play(id.number, &played, key).await
        })
    }

    fn forfeit<'a>(
        &'a self,
        who: &'a Identity,
        id: &'a GameId,
    ) -> BoxFuture<'a, Result<GameNow, TableError>> {
        Box::pin(async move {
            if self.ended.get(id).is_some() {
                return Err(TableError::Over);
            }
            let seat = self.seat(who, &id.room).await?;
            match seat.now().id.number == id.number {
                true if seat.now().stage.is_over() => Err(TableError::Over),
                true => seat.forfeit().await,
                false => Err(TableError::NotFound),
            }
        })
    }

    fn follow<'a>(
        &'a self,
        who: Option<&'a Identity>,
        id: &'a GameId,
    ) -> BoxFuture<'a, Result<Following, TableError>> {
        Box::pin(self.look(who, id))
    }
}
