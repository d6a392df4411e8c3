//! One seat in one room, held by this process: that of a player who comes over HTTP, or a watcher's.
//!
//! ```text
//! attach -> Join: ack -> State, Patch: something changed -> ask "game" -> the answer is what everybody here sees
//!   ^                                                                      requests of the player -> answers
//!   '---- the room moved, or is being restored ----'
//! ```
//!
//! A client of the room like any other (`inside`). It reads no state: the room tells the game in answer to a request, so no kind of room is known here.
//!
//! Always holds: one request for the game at a time; a player's request that was under way when the room moved is sent
//! again, as it was.

use super::ended::Ended;
use crate::inside::{Got, Inside};
use everplay_api::games::{Following, GameNow, Stage, TableError};
use everplay_node::Handle;
use everplay_records::{GameId, GamePlayer};
use everplay_types::{CloseCode, ErrorCode, RoomId, SessionId};
use everplay_wire::msgpack;
use everplay_wire::{ClientFrame, MessageType, ResponseStatus, ServerFrame};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep};

/// Requests of players that wait; more are answered as unavailable.
const REQUESTS: usize = 16;
/// Codes by which rooms say that the position does not allow the move: there is no such place, and it is taken.
const NOT_ALLOWED: [u16; 2] = [4300, 4301];
/// How long a room may take for a request: as long as it takes another node to have the room.
const ANSWER: Duration = Duration::from_secs(8);
/// How long a room may take to let a player go.
const LEAVING: Duration = Duration::from_secs(2);
/// How long a seat is sought again. Rooms hold it for a minute.
const SEEKING: Duration = Duration::from_secs(60);
/// Keys under which one waiting game is asked for, that are remembered.
const KEYS: usize = 16;
/// Between two attempts.
const KNOCK: Duration = Duration::from_millis(100);
/// Between two looks at who still wants the seat.
const LOOK: Duration = Duration::from_secs(5);

/// How long a seat is kept for somebody who does not ask for anything. From the origin: who waits is cut after 5
/// minutes, and no game takes longer than 30.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    pub(super) waiting: Duration,
    pub(super) playing: Duration,
}

impl Patience {
    pub(super) const PLAYER: Patience =
        Patience { waiting: Duration::from_secs(5 * 60), playing: Duration::from_secs(30 * 60) };
    pub(super) const WATCHER: Patience =
        Patience { waiting: Duration::from_secs(30), playing: Duration::from_secs(30) };
}

/// The seat, to the rest of the process.
pub(super) struct SeatHandle {
    requests: mpsc::Sender<Ask>,
    view: Following,
    shared: Arc<Shared>,
    /// Under which keys the game was asked for.
    made_with: Mutex<Vec<String>>,
    /// What was answered under which key, for as long as this seat is known.
    answers: Mutex<HashMap<String, (Value, GameNow)>>,
    ended: Arc<Ended>,
}

struct Shared {
    /// When somebody last wanted something of it.
    used: Mutex<Instant>,
    ended: AtomicBool,
    /// Accounts with a seat here that nobody is in now.
    absent: Mutex<Vec<String>>,
}

enum Ask {
    Request {
        ty: &'static str,
        payload: Vec<u8>,
        answer: oneshot::Sender<Result<Told, TableError>>,
    },
    /// Says when the room has taken the seat back.
    Leave {
        done: oneshot::Sender<()>,
    },
}

/// What the room tells; see docs/games.md. Empty answers are for requests that have none.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    #[serde(default)]
    game: u32,
    #[serde(default)]
    status: String,
    #[serde(default)]
    players: Vec<Side>,
    #[serde(default)]
    board: Vec<Option<String>>,
    #[serde(default)]
    turn: Option<String>,
    #[serde(default)]
    winner: Option<String>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    moves: Vec<Value>,
    #[serde(default)]
    clock: Option<u64>,
    #[serde(default)]
    mode: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Side {
    #[serde(default)]
    user: Option<String>,
    session: String,
    name: String,
    mark: String,
    #[serde(default)]
    computer: bool,
    #[serde(default)]
    connected: bool,
}

/// Why a room does not let a client in, or let it go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) code: i32,
    pub(super) message: String,
}

/// What a seat is taken with.
pub(super) struct Opening {
    pub(super) node: Handle,
    pub(super) kind: String,
    pub(super) room: RoomId,
    pub(super) session: SessionId,
    pub(super) created_at: u64,
    pub(super) patience: Patience,
    /// Leaves once the game is over.
    pub(super) one_game: bool,
    pub(super) made_with: Option<String>,
    /// Where it tells how the game ended.
    pub(super) ended: Arc<Ended>,
    pub(super) stop: watch::Receiver<bool>,
}

impl SeatHandle {
    /// Takes the reserved seat; answers once the game was told.
    pub(super) async fn open(opening: Opening) -> Result<Arc<Self>, OpenError> {
        let (patience, one_game) = (opening.patience, opening.one_game);
        let (made_with, mut stop) = (opening.made_with.clone(), opening.stop.clone());
        let ended = Arc::clone(&opening.ended);
        let mut seat = Seat::new(opening);
        seat.attach().await.map_err(|_| OpenError::Unavailable)?;
        let first = tokio::time::timeout(ANSWER, seat.first()).await;
        let first = match first.unwrap_or(Err(OpenError::Unavailable)) {
            Ok(first) => first,
            Err(error) => {
                // A seat that is not held does not wait for its player, nor its room for the seat.
                seat.give_back().await;
                return Err(error);
            }
        };
        let shared = Arc::clone(&seat.shared);
        let (sender, view) = watch::channel(Arc::new(first));
        let (requests, asked) = mpsc::channel(REQUESTS);
        tokio::spawn(async move {
            seat.run(sender, asked, &mut stop, patience, one_game).await;
            seat.shared.ended.store(true, Ordering::Release);
        });
        let made_with = Mutex::new(made_with.into_iter().collect());
        Ok(Arc::new(Self { requests, view, shared, made_with, ended, answers: Mutex::default() }))
    }

    /// Whether it is held no longer.
    pub(super) fn has_ended(&self) -> bool {
        self.shared.ended.load(Ordering::Acquire)
    }

    /// Ended long enough ago that its last word is in the record store.
    pub(super) fn is_old(&self) -> bool {
        self.has_ended() && self.shared.used.lock().elapsed() > Duration::from_secs(60)
    }

    /// Somebody wants it.
    pub(super) fn touch(&self) {
        *self.shared.used.lock() = Instant::now();
    }

    pub(super) fn was_made_with(&self, key: &str) -> bool {
        self.made_with.lock().iter().any(|known| known == key)
    }

    /// The game is what was asked for under this key as well.
    pub(super) fn make_with(&self, key: Option<String>) {
        let mut keys = self.made_with.lock();
        if let Some(key) = key
            && !keys.contains(&key)
            && keys.len() < KEYS
        {
            keys.push(key);
        }
    }

    pub(super) fn following(&self) -> Following {
        self.view.clone()
    }

    pub(super) fn now(&self) -> Arc<GameNow> {
        Arc::clone(&self.view.borrow())
    }

    /// Whether this account has a seat that nobody is in.
    pub(super) fn misses(&self, account: &str) -> bool {
        self.shared.absent.lock().iter().any(|absent| absent == account)
    }

    pub(super) async fn play(
        &self,
        number: u32,
        played: &Value,
        key: Option<String>,
    ) -> Result<GameNow, TableError> {
        // A request that is sent again because its room moved must not be a second move.
        let key = key.unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));
        if let Some(answer) = self.answered(number, played, Some(&key)) {
            return Ok(answer);
        }
        let payload = serde_json::json!({ "game": number, "played": played, "key": key });
        let now = match self.ask("play", &payload).await {
            Ok(told) => GameNow::clone(&self.now()).with(told),
            Err(TableError::Refused { code, message }) => {
                return Err(self.refused(number, played, code, message).await);
            }
            Err(error) => return Err(error),
        };
        self.ended.see(&Arc::new(now.clone()));
        self.answers.lock().insert(key, (played.clone(), now.clone()));
        Ok(now)
    }

    /// Why the room refused a move, by what the game is now.
    async fn refused(&self, number: u32, played: &Value, code: u16, message: String) -> TableError {
        let now = match self.ask("game", &Value::Null).await {
            Ok(told) => Arc::new(GameNow::clone(&self.now()).with(told)),
            Err(_) => self.now(),
        };
        self.ended.see(&now);
        if now.id.number > number || (now.id.number == number && now.stage.is_over()) {
            TableError::Over
        } else if NOT_ALLOWED.contains(&code) {
            TableError::InvalidMove {
                code,
                message,
                played: played.clone(),
                now: Box::new(GameNow::clone(&now)),
            }
        } else {
            TableError::Refused { code, message }
        }
    }

    /// What was answered to the same request before.
    pub(super) fn answered(&self, number: u32, played: &Value, key: Option<&str>) -> Option<GameNow> {
        let answers = self.answers.lock();
        let (before, answer) = answers.get(key?)?;
        (before == played && answer.id.number == number).then(|| answer.clone())
    }

    /// Gives the game up; answers it as it ended.
    pub(super) async fn forfeit(&self) -> Result<GameNow, TableError> {
        let now = self.now();
        if now.stage == Stage::Waiting {
            self.leave().await?;
            return Ok(GameNow {
                stage: Stage::Abandoned,
                turn: None,
                updated_at: wall(),
                ..GameNow::clone(&now)
            });
        }
        match self.ask("forfeit", &Value::Null).await {
            Ok(_) => {}
            Err(TableError::Refused { code, message }) => {
                return Err(self.refused(now.id.number, &Value::Null, code, message).await);
            }
            Err(error) => return Err(error),
        }
        let mut view = self.view.clone();
        let over = tokio::time::timeout(ANSWER, view.wait_for(|now| now.stage.is_over())).await;
        match over {
            Ok(Ok(now)) => Ok(GameNow::clone(&now)),
            _ => Err(TableError::Unavailable),
        }
    }

    /// Leaves the room. Errors: the seat is busy; it is left when nobody has asked for it long enough.
    pub(super) async fn leave(&self) -> Result<(), TableError> {
        let (done, left) = oneshot::channel();
        self.requests.try_send(Ask::Leave { done }).map_err(|_| TableError::Unavailable)?;
        left.await.map_err(|_| TableError::Unavailable)
    }

    async fn ask(&self, ty: &'static str, payload: &Value) -> Result<Told, TableError> {
        let payload = match payload {
            Value::Null => Vec::new(),
            payload => msgpack::to_vec(payload).map_err(|error| TableError::Invalid(error.to_string()))?,
        };
        let (answer, answered) = oneshot::channel();
        let sent = self.requests.try_send(Ask::Request { ty, payload, answer });
        sent.map_err(|_| TableError::Unavailable)?;
        match tokio::time::timeout(ANSWER, answered).await {
            Ok(Ok(answer)) => answer,
            _ => Err(TableError::Unavailable),
        }
    }
}

/// Why a seat could not be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OpenError {
    Refused(Refused),
    Unavailable,
    /// The room does not tell its game.
    NoGame,
}

trait With {
    fn with(self, told: Told) -> GameNow;
}

impl With for GameNow {
    /// The same game, as told now.
    fn with(self, told: Told) -> GameNow {
        let player = |side: Side| GamePlayer {
            id: side.user.unwrap_or(side.session),
            name: side.name,
            mark: side.mark,
            computer: side.computer,
        };
        GameNow {
            id: GameId { room: self.id.room, number: told.game.max(1) },
            kind: self.kind,
            stage: match told.status.as_str() {
                "waiting" => Stage::Waiting,
                "completed" => Stage::Completed,
                "forfeited" => Stage::Forfeited,
                _ => Stage::Active,
            },
            players: told.players.into_iter().map(player).collect(),
            board: told.board,
            turn: told.turn,
            winner: told.winner,
            reason: told.reason,
            moves: told.moves,
            clock: told.clock,
            created_at: self.created_at,
            updated_at: wall(),
            mode: told.mode,
        }
    }
}

fn wall() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// The process lets go of all seats, or is over.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The room is not here, and was not to be found.
struct NoRoom;

struct Pending {
    ty: &'static str,
    payload: Vec<u8>,
    answer: oneshot::Sender<Result<Told, TableError>>,
}

struct Seat {
    node: Handle,
    /// What every telling of the game begins with.
    blank: GameNow,
    inside: Inside,
    /// Something changed since the game was asked for.
    changed: bool,
    asking: Option<u32>,
    pending: BTreeMap<u32, Pending>,
    next: u32,
    refused: Option<Refused>,
    shared: Arc<Shared>,
    ended: Arc<Ended>,
}

/// What a frame came to.
enum Came {
    Nothing,
    Game(Box<Told>),
    NoGame,
    Closed(CloseCode),
}

impl Seat {
    fn new(opening: Opening) -> Self {
        let Opening { node, kind, room, session, created_at, ended, .. } = opening;
        let blank = GameNow::untold(GameId { room: room.clone(), number: 1 }, kind, created_at);
        let shared = Shared {
            used: Mutex::new(Instant::now()),
            ended: AtomicBool::new(false),
            absent: Mutex::default(),
        };
        Self {
            node,
            blank,
            inside: Inside::new(room, session),
            changed: false,
            asking: None,
            pending: BTreeMap::new(),
            next: 0,
            refused: None,
            shared: Arc::new(shared),
            ended,
        }
    }

    async fn attach(&mut self) -> Result<(), everplay_node::AttachError> {
        self.asking = None;
        self.inside.attach(&self.node).await
    }

    /// Waits for the first telling of the game.
    async fn first(&mut self) -> Result<GameNow, OpenError> {
        loop {
            let got = self.inside.next().await;
            match self.got(got) {
                Came::Game(told) => return Ok(self.tell(*told)),
                Came::NoGame => return Err(OpenError::NoGame),
                Came::Closed(_) => {
                    return Err(self.refused.take().map_or(OpenError::Unavailable, OpenError::Refused));
                }
                Came::Nothing => {}
            }
        }
    }

    fn tell(&mut self, told: Told) -> GameNow {
        let absent = told.players.iter().filter(|side| !side.connected && !side.computer);
        *self.shared.absent.lock() = absent.filter_map(|side| side.user.clone()).collect();
        let now = self.blank.clone().with(told);
        self.ended.see(&Arc::new(now.clone()));
        now
    }

    async fn run(
        &mut self,
        view: watch::Sender<Arc<GameNow>>,
        mut asked: mpsc::Receiver<Ask>,
        stop: &mut watch::Receiver<bool>,
        patience: Patience,
        one_game: bool,
    ) {
        let mut look = tokio::time::interval(LOOK);
        loop {
            let over = view.borrow().stage.is_over();
            if one_game && over && self.pending.is_empty() {
                return self.inside.leave();
            }
            let came = tokio::select! {
                got = self.inside.next() => self.got(got),
                ask = asked.recv() => match ask {
                    Some(Ask::Request { ty, payload, answer }) => {
                        self.request(Pending { ty, payload, answer });
                        Came::Nothing
                    }
                    Some(Ask::Leave { done }) => {
                        self.give_back().await;
                        view.send_modify(|now| {
                            if now.stage == Stage::Waiting {
                                let abandoned = Stage::Abandoned;
                                *now = Arc::new(GameNow { stage: abandoned, turn: None, ..GameNow::clone(now) });
                            }
                        });
                        // Who asked may not wait for it.
                        let _ = done.send(());
                        return;
                    }
                    // The server is gone without a word; so are its sockets.
                    None => return,
                },
                _ = look.tick() => {
                    // One receiver is the handle's own.
                    let unwanted = view.receiver_count() <= 1;
                    let waiting = view.borrow().stage == Stage::Waiting;
                    let patience = if waiting { patience.waiting } else { patience.playing };
                    if unwanted && self.shared.used.lock().elapsed() > patience {
                        return self.inside.leave();
                    }
                    Came::Nothing
                }
                () = stopped(stop) => return,
            };
            match came {
                Came::Game(told) => {
                    let now = self.tell(*told);
                    view.send_if_modified(|before| {
                        // How much time is left is no news by itself.
                        let (clock, updated_at) = (before.clock, before.updated_at);
                        let happened = GameNow { clock, updated_at, ..now.clone() } != **before;
                        *before = Arc::new(now);
                        happened
                    });
                }
                Came::Closed(code) => {
                    self.inside.hang_up();
                    let back = tokio::select! {
                        back = self.come_back(code) => back,
                        () = stopped(stop) => return,
                    };
                    if back.is_err() {
                        return;
                    }
                }
                Came::Nothing | Came::NoGame => {}
            }
        }
    }

    /// Leaves; whoever is answered afterwards does not find it in the room.
    async fn give_back(&mut self) {
        // A room that does not answer is told again, by the end of the connection.
        let _ = tokio::time::timeout(LEAVING, self.inside.give_back()).await;
        self.inside.leave();
    }

    /// Takes the seat again, unless it was taken away.
    async fn come_back(&mut self, code: CloseCode) -> Result<(), NoRoom> {
        let for_good = [
            CloseCode::CONSENTED,
            CloseCode::SERVER_SHUTDOWN,
            CloseCode::WITH_ERROR,
            CloseCode::FAILED_TO_RECONNECT,
            CloseCode::REPLACED,
            CloseCode::ROOM_FAILED,
        ];
        if for_good.contains(&code) || !self.inside.may_come_back() {
            return Err(NoRoom);
        }
        let since = Instant::now();
        while since.elapsed() < SEEKING {
            sleep(KNOCK).await;
            match self.attach().await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_transient() => {}
                // On its way to another node, or gone: the former is over sooner.
                Err(_) if since.elapsed() < ANSWER => {}
                Err(_) => break,
            }
        }
        Err(NoRoom)
    }

    fn got(&mut self, got: Got) -> Came {
        let bytes = match got {
            Got::Frame(bytes) => bytes,
            Got::Closed(code) => return Came::Closed(code),
        };
        match Inside::read(&bytes) {
            Ok(ServerFrame::Join(_)) => {
                self.changed = true;
                let again: Vec<u32> = self.pending.keys().copied().collect();
                again.into_iter().for_each(|id| self.send(id));
            }
            Ok(ServerFrame::State { .. } | ServerFrame::Patch { .. }) => self.changed = true,
            Ok(ServerFrame::Error { code, message }) => {
                self.refused = Some(Refused { code, message: message.to_owned() });
            }
            Ok(ServerFrame::Response { id, status, payload }) => return self.answered(id, status, payload),
            // Messages of the room's own, and what other generations say.
            Ok(_) | Err(_) => {}
        }
        self.ask_for_game();
        Came::Nothing
    }

    fn ask_for_game(&mut self) {
        if self.inside.is_live() && self.changed && self.asking.is_none() {
            self.changed = false;
            self.next += 1;
            self.asking = Some(self.next);
            self.inside.push(&ClientFrame::Request {
                id: self.next,
                ty: MessageType::from("game"),
                payload: &[],
            });
        }
    }

    fn answered(&mut self, id: u32, status: ResponseStatus, payload: &[u8]) -> Came {
        let ours = self.asking == Some(id);
        let told = match status {
            ResponseStatus::Ok if payload.is_empty() => Ok(None),
            ResponseStatus::Ok => msgpack::from_slice::<Told>(payload)
                .map(Some)
                .map_err(|_| TableError::Invalid("this game is not played over HTTP".to_owned())),
            ResponseStatus::Rejected => Err(refusal(payload, false)),
            ResponseStatus::Error => Err(refusal(payload, true)),
        };
        if ours {
            self.asking = None;
            let told = told.ok().flatten();
            self.ask_for_game();
            return told.map_or(Came::NoGame, |told| Came::Game(Box::new(told)));
        }
        if let Some(pending) = self.pending.remove(&id) {
            let empty =
                || msgpack::from_slice(&[0x80]).expect("an empty map leaves every field at its default");
            // Who asked may have gone.
            let _ = pending.answer.send(told.map(|told| told.unwrap_or_else(empty)));
        }
        Came::Nothing
    }

    fn request(&mut self, pending: Pending) {
        self.next += 1;
        self.pending.retain(|_, pending| !pending.answer.is_closed());
        self.pending.insert(self.next, pending);
        if self.inside.is_live() {
            self.send(self.next);
        }
    }

    fn send(&mut self, id: u32) {
        if let Some(Pending { ty, payload, .. }) = self.pending.get(&id) {
            self.inside.push(&ClientFrame::Request { id, ty: MessageType::from(*ty), payload });
        }
    }
}

/// What the room said no with.
fn refusal(payload: &[u8], is_error: bool) -> TableError {
    #[derive(Deserialize)]
    struct Failure {
        #[serde(default)]
        code: u16,
        #[serde(default)]
        message: String,
    }
    match msgpack::from_slice::<Failure>(payload) {
        Ok(Failure { code, message }) if is_error || code == ErrorCode::INVALID_PAYLOAD.0 => {
            TableError::Invalid(message)
        }
        Ok(Failure { code, message }) => TableError::Refused { code, message },
        Err(_) => TableError::Unavailable,
    }
}
