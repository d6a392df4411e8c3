//! The room `line`: a few tables, and everybody else waits in order; the winner stays.
//!
//! ```text
//! joins, drops, leaves, boards that end, time -> Line (everplay-matchmaker) -> who sits where, which games begin
//!                                                                           '-> this state, places, line records
//! ```
//!
//! Who sits where is decided by [`Line`], who wins by [`rules`](crate::rules); the room plays the boards and shows both. A
//! client cannot report a result. The public contract is `docs/line.md`.
//!
//! The line itself is a cache: all of it stands in the state, and [`restored`](Room::restored) makes it anew. Always holds
//! after a hook: tables and players of the state say what the line says.

use crate::room::{Account, Finished, FinishedPlayer, LEAST_AFTER_RESTART, Move, clean};
use crate::rules::{Board, CELLS, Illegal, Mark, Outcome};
use everplay::prelude::*;
use everplay_matchmaker::line::{self, Effect, Input, Line, LineSettings, Parts, Place, Seat, Stage, Table};
use std::collections::{BTreeMap, BTreeSet, HashMap};

mod records;

use records::{LineChanged, LineRecord, TableView};

/// Time for a move.
const MOVE_TIME: Duration = Duration::from_secs(30);
/// How long a place is kept for somebody whose connection is gone.
const PLACE_KEPT: Duration = Duration::from_secs(60);
/// Seats of a line, at tables and waiting.
const MOST: u32 = 1000;
/// Tables a line may be made with.
const TABLES: std::ops::RangeInclusive<u32> = 1..=16;
/// Plain clients are told the whole line at most this often: changes come in bunches.
const TELL_EVERY: Duration = Duration::from_millis(50);
/// Changes that wait for the record store. What comes on top is told as a whole when some were taken, so that results
/// have the room's outbox for themselves.
const CHANGES_KEPT: usize = 256;
/// The whole line of [`MOST`] players as an event, and much more than the results of all tables.
const KEPT_FREE: usize = 512 << 10;
/// How often a line looks whether events were taken, when it waits for that.
const LOOK_EVERY: Duration = Duration::from_secs(5);

const WAITING: &str = "waiting";
const PLAYING: &str = "playing";
const OPEN: &str = "open";
const FINISHED: &str = "finished";

/// Codes of our own, as documented; those of a move are `tic_tac_toe`'s.
pub mod code {
    /// The account is in the line already.
    pub const TWICE: u16 = 4310;
    /// A client reported a result.
    pub const NOT_YOURS_TO_SAY: u16 = 4311;
    /// The client is not in the line.
    pub const NOT_IN_LINE: u16 = 4312;
}

/// A waiting line with its tables.
#[derive(State, Default)]
pub struct WaitingLine {
    name: String,
    tables: List<LineTable>,
    players: Map<LinePlayer>,
    waiting: u32,
    watchers: u32,
    #[state(rename = "gameMs")]
    game_ms: u32,
    /// Number of the last game begun, over all tables.
    #[state(private)]
    game: u32,
    #[state(private)]
    last_number: u64,
    /// Set for when the line has something to do by itself.
    #[state(private)]
    due_timer: Option<u64>,
    /// Set when plain clients are to be told.
    #[state(private)]
    tell_timer: Option<u64>,
    /// Watchers who get messages of the plain form.
    #[state(private)]
    plain_watchers: Map<Plain>,
    /// Set while changes could not be told: the records are behind.
    #[state(private)]
    behind_timer: Option<u64>,
    #[state(skip)]
    line: Option<Line<String>>,
    /// The places that clients were last told.
    #[state(skip)]
    told: HashMap<String, usize>,
}

/// A mark in a map.
#[derive(State, Default)]
pub struct Plain {}

/// A table.
#[derive(State, Default)]
pub struct LineTable {
    stage: String,
    x: String,
    o: String,
    game: u32,
    board: List<u8>,
    turn: u8,
    moves: List<u8>,
    clock: u32,
    winner: u8,
    reason: String,
    line: List<u8>,
    /// The timer of the move clock.
    #[state(private)]
    clock_timer: Option<u64>,
    /// The room's time at which the game began.
    #[state(private)]
    began: u64,
    /// Until when a finished board stays.
    #[state(private)]
    until: u64,
}

/// Somebody in the line.
#[derive(State, Default)]
pub struct LinePlayer {
    name: String,
    status: String,
    /// From 1; 0 while waiting.
    table: u8,
    mark: u8,
    connected: bool,
    wins: u16,
    #[state(rename = "joinedAt")]
    joined_at: u64,
    /// The room's time until which the seat waits.
    #[state(private)]
    away_until: Option<u64>,
    /// The account; empty without one.
    #[state(private)]
    user: String,
    /// A UUID, for the line's records.
    #[state(private)]
    record: String,
    /// It was told a name.
    #[state(private)]
    named: bool,
    /// Gets messages of the plain form.
    #[state(private)]
    plain: bool,
}

/// What clients may ask for. Unknown fields are ignored, because SDKs may add their own.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Options {
    name: String,
    line: String,
    tables: Option<u32>,
    watch: bool,
    plain: bool,
}

/// What a node brings.
#[derive(Debug, Deserialize)]
struct Relay {
    connection: String,
    text: Option<String>,
}

/// What a timer was set for.
#[derive(Debug, Serialize, Deserialize)]
pub enum Timer {
    /// The time for a move is over.
    Clock {
        /// The table.
        table: usize,
    },
    /// The line has something to do.
    Due,
    /// Plain clients are told the line.
    Tell,
    /// The record store is told the whole line.
    CatchUp,
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

/// Where somebody stands, told to that client.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Standing {
    status: &'static str,
    /// From 1, those who are away included; 0 at a table.
    position: usize,
    wait_ms: u64,
    /// From 1; 0 while waiting.
    table: usize,
    mark: Option<String>,
}

impl Room for WaitingLine {
    type Options = Options;
    type Timer = Timer;

    fn settings() -> Settings {
        Settings {
            max_clients: MOST,
            reconnection: PLACE_KEPT,
            messages_per_second: 20,
            ..Settings::default()
        }
    }

    fn messages(on: &mut Messages<Self>) {
        on.message("move", Self::on_move);
        on.message("forfeit", Self::on_forfeit);
        on.message("name", Self::on_name);
        on.message("stepOut", Self::on_step_out);
        on.request("enter", Self::on_enter);
        on.request("relay", Self::on_relay);
        on.request("standing", |room: &mut Self, cx, client, _: Anything| room.standing(cx, client));
        for kind in ["gameOVER", "result"] {
            on.message(kind, |_: &mut Self, _: &mut Context<Self>, _: &Client, _: Anything| {
                Err(Refusal::new(code::NOT_YOURS_TO_SAY, "the game at the table decides who won"))
            });
        }
    }

    fn create(_: &mut Context<Self>, options: Options) -> Result<Self, Refusal> {
        let tables = options.tables.unwrap_or(*TABLES.start());
        if !TABLES.contains(&tables) {
            return Err(Refusal::new(crate::room::code::BAD_OPTION, "a line has 1 to 16 tables"));
        }
        let mut room = WaitingLine { name: clean_line(&options.line), ..WaitingLine::default() };
        for _ in 0..tables {
            room.tables.push(LineTable::empty());
        }
        let line = Line::new(room.settings_of_line());
        room.game_ms = u32::try_from(line.parts().game_ms).unwrap_or(u32::MAX);
        room.line = Some(line);
        Ok(room)
    }

    fn join(&mut self, cx: &mut Context<Self>, client: &Client, options: Options) -> Result<(), Refusal> {
        if client.is_node() {
            return Ok(());
        }
        if options.watch {
            self.watchers += 1;
            if options.plain {
                self.plain_watchers.insert(client.session_id().as_str(), Plain {});
                self.tell_soon(cx);
            }
            return Ok(());
        }
        self.enter(cx, client, &options.name, options.plain)
    }

    fn timer(&mut self, cx: &mut Context<Self>, timer: Timer) {
        match timer {
            Timer::Clock { table } => {
                let Some(at) = self.tables.get_mut(table) else { return };
                at.clock_timer = None;
                let winner = Mark::from_number(at.turn).map(Mark::other);
                self.game_ends(cx, table, winner, "timeout");
            }
            Timer::Due => {
                self.due_timer = None;
                self.feed(cx, Input::Tick);
            }
            Timer::Tell => {
                self.tell_timer = None;
                self.tell(cx);
            }
            Timer::CatchUp => {
                self.behind_timer = None;
                self.tell_records(cx, true, &BTreeSet::new(), &[]);
            }
        }
    }

    fn drop(&mut self, cx: &mut Context<Self>, client: &Client, _code: CloseCode) {
        let session = client.session_id().as_str();
        if let Some(player) = self.players.get_mut(session) {
            player.connected = false;
            self.feed(cx, Input::Dropped(session.to_owned()));
        }
    }

    fn reconnect(&mut self, cx: &mut Context<Self>, client: &Client) {
        let session = client.session_id().as_str();
        self.told.remove(session);
        if let Some(player) = self.players.get_mut(session) {
            player.connected = true;
            let (table, plain) = (player.table, player.plain);
            self.renew_clock(cx, usize::from(table));
            self.feed(cx, Input::Returned(session.to_owned()));
            if plain {
                self.tell_soon(cx);
            }
        }
    }

    fn leave(&mut self, cx: &mut Context<Self>, client: &Client, _why: Leave) {
        let session = client.session_id().as_str();
        if self.players.contains_key(session) {
            self.feed(cx, Input::Left(session.to_owned()));
        } else if !client.is_node() {
            self.watchers = self.watchers.saturating_sub(1);
            self.plain_watchers.remove(session);
        }
    }

    fn restored(&mut self, cx: &mut Context<Self>) {
        let mut line = Line::from_parts(self.settings_of_line(), self.parts())
            .expect("the state says what a line said when it was journaled");
        // Nobody could come back while we were away.
        line.renew_grace(cx.now());
        self.line = Some(line);
        for table in 0..self.tables.len() {
            if self.tables.get(table).is_some_and(|table| table.stage == PLAYING) {
                self.start_clock(cx, table, MOVE_TIME.max(LEAST_AFTER_RESTART));
            }
        }
        self.feed(cx, Input::Tick);
        self.tell_soon(cx);
    }
}

impl WaitingLine {
    fn settings_of_line(&self) -> LineSettings {
        LineSettings { tables: self.tables.len(), ..LineSettings::default() }
    }

    fn enter(
        &mut self,
        cx: &mut Context<Self>,
        client: &Client,
        name: &str,
        plain: bool,
    ) -> Result<(), Refusal> {
        let session = client.session_id().as_str();
        let user = client.auth_as::<Account>().map(|account| account.id).unwrap_or_default();
        let same = |(_, player): &(&str, &LinePlayer)| !user.is_empty() && player.user == user;
        if let Some((other, player)) = self.players.iter().find(same) {
            if player.connected {
                return Err(Refusal::new(code::TWICE, "this account is in the line already"));
            }
            // Who comes anew instead of coming back begins anew.
            if let Some(other) = cx.client(other) {
                cx.kick(&other, CloseCode::CONSENTED);
            }
        }
        let named = !name.trim().is_empty();
        let record = uuid(cx);
        let player = LinePlayer {
            name: clean(name),
            connected: true,
            user,
            record,
            named,
            plain,
            ..LinePlayer::default()
        };
        self.players.insert(session, player);
        self.feed(cx, Input::Entered(session.to_owned()));
        Ok(())
    }

    fn on_enter(
        &mut self,
        cx: &mut Context<Self>,
        client: &Client,
        _: Anything,
    ) -> Result<Standing, Refusal> {
        let session = client.session_id().as_str();
        if !self.players.contains_key(session) {
            let plain = self.plain_watchers.contains_key(session);
            self.enter(cx, client, "", plain)?;
            self.watchers = self.watchers.saturating_sub(1);
            self.plain_watchers.remove(session);
        }
        self.standing(cx, client)
    }

    /// A node brings what a service says to a plain connection that another node holds; without a text it is closed.
    fn on_relay(&mut self, cx: &mut Context<Self>, client: &Client, relay: Relay) -> Result<bool, Refusal> {
        if !client.is_node() {
            return Err(Refusal::new(code::NOT_YOURS_TO_SAY, "this is for the server's own nodes"));
        }
        let connection = relay.connection.as_str();
        let is_plain = self.plain_watchers.contains_key(connection)
            || self.players.get(connection).is_some_and(|player| player.plain);
        let to = cx.client(connection).filter(|to| is_plain && cx.is_connected(to));
        if let Some(to) = &to {
            cx.send(to, "relay", &relay.text);
        }
        Ok(to.is_some())
    }

    fn on_step_out(&mut self, cx: &mut Context<Self>, client: &Client, _: Anything) -> Result<(), Refusal> {
        let session = client.session_id().as_str();
        let plain = self.players.get(session).ok_or_else(not_in_line)?.plain;
        self.feed(cx, Input::Left(session.to_owned()));
        self.watchers += 1;
        if plain {
            self.plain_watchers.insert(session, Plain {});
        }
        Ok(())
    }

    fn on_name(
        &mut self,
        cx: &mut Context<Self>,
        client: &Client,
        Name { name }: Name,
    ) -> Result<(), Refusal> {
        let session = client.session_id().as_str();
        let player = self.players.get_mut(session).ok_or_else(not_in_line)?;
        let (name, named) = (clean(&name), !name.trim().is_empty());
        if (&player.name, player.named) == (&name, named) {
            return Ok(());
        }
        (player.name, player.named) = (name, named);
        self.note(cx, BTreeSet::from([session.to_owned()]), Vec::new());
        Ok(())
    }

    fn on_move(
        &mut self,
        cx: &mut Context<Self>,
        client: &Client,
        Move { cell }: Move,
    ) -> Result<(), Refusal> {
        let (table, mark) = self.game_of(client)?;
        let mut board = self.position(table);
        let cell = usize::try_from(cell).unwrap_or(usize::MAX);
        let outcome = board.play(cell, mark).map_err(|illegal| {
            use crate::room::code;
            let code = match illegal {
                Illegal::NoSuchCell => code::NO_SUCH_CELL,
                Illegal::Occupied => code::OCCUPIED,
                Illegal::OutOfTurn => code::OUT_OF_TURN,
                Illegal::Over => code::GAME_OVER,
            };
            Refusal::new(code, illegal.to_string())
        })?;
        let Some(at) = self.tables.get_mut(table) else { return Ok(()) };
        at.board[cell] = mark.number();
        at.moves.push(cell as u8);
        match outcome {
            None => {
                at.turn = mark.other().number();
                self.start_clock(cx, table, MOVE_TIME);
                self.show_table(cx, table);
            }
            Some(Outcome::Draw) => self.game_ends(cx, table, None, "draw"),
            Some(Outcome::Win { mark, lines }) => {
                lines.concat().into_iter().for_each(|cell| at.line.push(cell as u8));
                self.game_ends(cx, table, Some(mark), "line");
            }
        }
        Ok(())
    }

    fn on_forfeit(&mut self, cx: &mut Context<Self>, client: &Client, _: Anything) -> Result<(), Refusal> {
        let (table, mark) = self.game_of(client)?;
        self.game_ends(cx, table, Some(mark.other()), "forfeit");
        Ok(())
    }

    /// The game that a client plays now.
    fn game_of(&self, client: &Client) -> Result<(usize, Mark), Refusal> {
        use crate::room::code;
        let player = self.players.get(client.session_id().as_str());
        let seat = player.and_then(|player| {
            Some((usize::from(player.table).checked_sub(1)?, Mark::from_number(player.mark)?))
        });
        let seat = seat.ok_or_else(|| Refusal::new(code::NOT_A_PLAYER, "who waits does not play"))?;
        match self.tables.get(seat.0).map(|table| table.stage.as_str()) {
            Some(PLAYING) => Ok(seat),
            Some(FINISHED) => Err(Refusal::new(code::GAME_OVER, "the game is over")),
            _ => Err(Refusal::new(code::NOT_STARTED, "the second player is missing")),
        }
    }

    /// A game ended by its own rules.
    fn game_ends(&mut self, cx: &mut Context<Self>, table: usize, winner: Option<Mark>, reason: &str) {
        self.finish(cx, table, winner, reason);
        let winner = winner.map(seat_of);
        self.feed(cx, Input::Ended { table, winner });
    }

    /// Gives the line an input and does what follows.
    fn feed(&mut self, cx: &mut Context<Self>, input: Input<String>) {
        let (now, date) = (cx.now(), cx.date());
        let line = self.line.as_mut().expect("made in create and in restored");
        // A game begins only while the ends of all that may be on can be told.
        line.hold(!cx.can_emit(self.tables.len() + CHANGES_KEPT, KEPT_FREE));
        // An input about somebody or something that is gone meanwhile changes nothing.
        let Ok(effects) = line.take(now, date, input) else { return };
        let (mut touched, mut removed) = (BTreeSet::new(), Vec::new());
        for effect in effects {
            match effect {
                Effect::Waits { player, number } => {
                    self.vacate(&player);
                    if let Some(known) = self.players.get_mut(&player) {
                        known.status = WAITING.to_owned();
                        (known.table, known.mark, known.wins) = (0, 0, 0);
                        known.joined_at = number;
                    }
                    touched.insert(player);
                }
                Effect::Sits { player, table, mark } => {
                    self.vacate(&player);
                    if let Some(known) = self.players.get_mut(&player) {
                        known.status = PLAYING.to_owned();
                        known.table = table as u8 + 1;
                        known.mark = mark_of(mark).number();
                    }
                    if let Some(at) = self.tables.get_mut(table) {
                        *at.seat(mark) = player.clone();
                    }
                    touched.insert(player);
                }
                Effect::Gone { player } => {
                    self.vacate(&player);
                    self.players.remove(&player);
                    self.told.remove(&player);
                    touched.remove(&player);
                    removed.push(player);
                }
                Effect::Begins { table } => self.begin(cx, table),
                Effect::BreaksOff { table, loser } => {
                    self.finish(cx, table, Some(mark_of(loser).other()), "left");
                }
                Effect::Clears { table } => {
                    if let Some(at) = self.tables.get_mut(table) {
                        at.clear();
                        OPEN.clone_into(&mut at.stage);
                    }
                }
            }
        }
        self.follow_line(cx);
        if !touched.is_empty() || !removed.is_empty() {
            self.note(cx, touched, removed);
            (0..self.tables.len()).for_each(|table| self.show_table(cx, table));
        }
    }

    /// What of the line stands in the state beside seats and numbers.
    fn follow_line(&mut self, cx: &mut Context<Self>) {
        let Some(line) = &self.line else { return };
        let parts = line.parts();
        self.last_number = parts.last_number;
        self.waiting = parts.waiting.len() as u32;
        self.game_ms = u32::try_from(parts.game_ms).unwrap_or(u32::MAX);
        for (table, at) in parts.tables.iter().zip(self.tables.iter_mut()) {
            if let Stage::Over { until, .. } = table.stage {
                at.until = until.0;
            }
            for seat in table.seats.iter().flatten() {
                if let Some(player) = self.players.get_mut(&seat.player) {
                    player.wins = seat.wins;
                    player.away_until = seat.away_until.map(|until| until.0);
                }
            }
        }
        let set = self.due_timer.map(TimerId);
        let is_set = set.and_then(|timer| cx.due(timer));
        let mut due = line.due();
        if line.is_held() {
            let look = cx.now() + LOOK_EVERY;
            due = Some(due.unwrap_or(look).min(is_set.unwrap_or(look)).min(look));
        }
        if is_set != due {
            if let Some(timer) = set {
                cx.cancel(timer);
            }
            let delay = |due: Millis| due.since(cx.now());
            self.due_timer = due.map(delay).map(|delay| cx.schedule(delay, &Timer::Due).0);
        }
        self.tell_places(cx);
    }

    /// Tells each who waits the place it has, when it is another.
    fn tell_places(&mut self, cx: &mut Context<Self>) {
        let Some(line) = &self.line else { return };
        let (mut ahead, mut changed) = (0, Vec::new());
        for (before, (number, waiting)) in line.parts().waiting.iter().enumerate() {
            debug_assert_eq!(line.place(&waiting.player), Some(Place::Waiting(*number)));
            if self.told.get(&waiting.player) != Some(&before) {
                changed.push((waiting.player.clone(), before, line.estimate_behind(cx.now(), ahead)));
            }
            ahead += usize::from(!waiting.away);
        }
        for (player, before, wait) in changed {
            if let Some(client) = cx.client(&player) {
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                let standing =
                    Standing { status: WAITING, position: before + 1, wait_ms, table: 0, mark: None };
                cx.send(&client, "place", &standing);
            }
            self.told.insert(player, before);
        }
        let waits = |player: &String| matches!(line.place(player), Some(Place::Waiting(_)));
        self.told.retain(|player, _| waits(player));
    }

    fn standing(&mut self, cx: &mut Context<Self>, client: &Client) -> Result<Standing, Refusal> {
        let session = client.session_id().as_str().to_owned();
        let Some(line) = &self.line else { return Err(not_in_line()) };
        match line.place(&session).ok_or_else(not_in_line)? {
            Place::Seated(table, mark) => Ok(Standing {
                status: PLAYING,
                position: 0,
                wait_ms: 0,
                table: table + 1,
                mark: Some(mark_of(mark).to_string()),
            }),
            Place::Waiting(number) => Ok(Standing {
                status: WAITING,
                position: line.parts().waiting.range(..=number).count(),
                wait_ms: line.estimate(cx.now(), &session).map_or(0, |wait| wait.as_millis() as u64),
                table: 0,
                mark: None,
            }),
        }
    }

    /// Takes somebody's name off the seat it had.
    fn vacate(&mut self, session: &str) {
        let Some(player) = self.players.get_mut(session) else { return };
        player.away_until = None;
        let (Some(table), Some(mark)) =
            (usize::from(player.table).checked_sub(1), Mark::from_number(player.mark))
        else {
            return;
        };
        if let Some(at) = self.tables.get_mut(table) {
            at.seat(seat_of(mark)).clear();
        }
    }

    fn begin(&mut self, cx: &mut Context<Self>, table: usize) {
        self.game += 1;
        let (game, now) = (self.game, cx.now().0);
        let Some(at) = self.tables.get_mut(table) else { return };
        at.clear();
        PLAYING.clone_into(&mut at.stage);
        (at.game, at.began, at.turn) = (game, now, Mark::X.number());
        self.start_clock(cx, table, MOVE_TIME);
    }

    /// The end of a game: what the board shows, and what the rest of the platform is told.
    fn finish(&mut self, cx: &mut Context<Self>, table: usize, winner: Option<Mark>, reason: &str) {
        self.stop_clock(cx, table);
        let Some(at) = self.tables.get_mut(table) else { return };
        FINISHED.clone_into(&mut at.stage);
        at.turn = 0;
        at.winner = winner.map_or(0, Mark::number);
        reason.clone_into(&mut at.reason);
        let players = [(&at.x, Mark::X), (&at.o, Mark::O)].into_iter().filter_map(|(session, mark)| {
            let player = self.players.get(session)?;
            Some(FinishedPlayer {
                user: Some(player.user.as_str()).filter(|user| !user.is_empty()),
                session,
                name: &player.name,
                mark: mark.to_string(),
                computer: false,
            })
        });
        let finished = Finished {
            game: at.game,
            mode: "line",
            level: "",
            reason,
            winner: winner.map(|mark| mark.to_string()),
            moves: at.moves.iter().copied().collect(),
            board: at
                .board
                .iter()
                .map(|cell| Mark::from_number(*cell).map(|mark| mark.to_string()))
                .collect(),
            took_ms: cx.now().0.saturating_sub(at.began),
            players: players.collect(),
        };
        // There is room for it: `feed` lets no game begin otherwise.
        let _ = cx.emit("game finished", &finished);
        self.show_table(cx, table);
    }

    fn start_clock(&mut self, cx: &mut Context<Self>, table: usize, time: Duration) {
        self.stop_clock(cx, table);
        if let Some(at) = self.tables.get_mut(table) {
            at.clock_timer = Some(cx.schedule(time, &Timer::Clock { table }).0);
            at.clock = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        }
    }

    fn stop_clock(&mut self, cx: &mut Context<Self>, table: usize) {
        if let Some(at) = self.tables.get_mut(table) {
            if let Some(timer) = at.clock_timer.take() {
                cx.cancel(TimerId(timer));
            }
            at.clock = 0;
        }
    }

    /// Says again how much time is left at a table (from 1), for somebody who did not see the turn begin.
    fn renew_clock(&mut self, cx: &Context<Self>, table: usize) {
        let Some(at) = table.checked_sub(1).and_then(|table| self.tables.get_mut(table)) else { return };
        if let Some(due) = at.clock_timer.and_then(|timer| cx.due(TimerId(timer))) {
            at.clock = u32::try_from(due.since(cx.now()).as_millis()).unwrap_or(u32::MAX).max(1);
        }
    }

    fn position(&self, table: usize) -> Board {
        let cells = self.tables.get(table).into_iter().flat_map(|table| table.board.iter().copied());
        Board::from_cells(cells).expect("only moves by the rules change a board")
    }

    /// The line as the state has it.
    fn parts(&self) -> Parts<String> {
        let seat = |session: &String| {
            let player = self.players.get(session)?;
            Some(Seat {
                player: session.clone(),
                number: player.joined_at,
                wins: player.wins,
                away_until: player.away_until.map(Millis),
            })
        };
        let table = |table: &LineTable| Table {
            seats: [seat(&table.x), seat(&table.o)],
            stage: match table.stage.as_str() {
                PLAYING => Stage::Playing { since: Millis(table.began) },
                FINISHED => Stage::Over {
                    winner: Mark::from_number(table.winner).map(seat_of),
                    until: Millis(table.until),
                },
                _ => Stage::Open,
            },
        };
        let waiting = self.players.iter().filter(|(_, player)| player.status == WAITING);
        let waiting = waiting.map(|(session, player)| {
            (player.joined_at, line::Waiting { player: session.to_owned(), away: !player.connected })
        });
        Parts {
            tables: self.tables.iter().map(table).collect(),
            waiting: waiting.collect::<BTreeMap<_, _>>(),
            last_number: self.last_number,
            game_ms: self.game_ms.into(),
        }
    }

    /// Tells the record store and, soon, plain clients what changed about these.
    fn note(&mut self, cx: &mut Context<Self>, touched: BTreeSet<String>, removed: Vec<String>) {
        self.tell_records(cx, self.behind_timer.is_some(), &touched, &removed);
        self.tell_soon(cx);
    }

    /// Tells the record store what changed, or the whole line; later, when too much waits for it already.
    fn tell_records(
        &mut self,
        cx: &mut Context<Self>,
        whole: bool,
        touched: &BTreeSet<String>,
        removed: &[String],
    ) {
        let told = |(session, _): &(&str, &LinePlayer)| whole || touched.contains(*session);
        let put = self.players.iter().filter(told);
        let put = put.map(|(session, player)| LineRecord::of(session, player)).collect();
        let changed = LineChanged { line: &self.name, whole, put, removed };
        let said = cx.emit_up_to(CHANGES_KEPT, "line changed", &changed);
        match (said, self.behind_timer) {
            (Err(_), None) => self.behind_timer = Some(cx.schedule(LOOK_EVERY, &Timer::CatchUp).0),
            (Ok(()), Some(timer)) => {
                cx.cancel(TimerId(timer));
                self.behind_timer = None;
            }
            _ => {}
        }
    }

    fn tell_soon(&mut self, cx: &mut Context<Self>) {
        let somebody = !self.plain_watchers.is_empty() || self.players.values().any(|player| player.plain);
        if somebody && self.tell_timer.is_none() {
            self.tell_timer = Some(cx.schedule(TELL_EVERY, &Timer::Tell).0);
        }
    }

    /// Tells plain clients the whole line, encoded once.
    fn tell(&mut self, cx: &mut Context<Self>) {
        let mut records: Vec<(u64, LineRecord<'_>)> = self
            .players
            .iter()
            .map(|(session, player)| (player.joined_at, LineRecord::of(session, player)))
            .collect();
        records.sort_by_key(|(joined_at, _)| *joined_at);
        let records: Vec<LineRecord<'_>> = records.into_iter().map(|(_, record)| record).collect();
        let bytes = everplay::msgpack::to_vec(&records).expect("texts and numbers can be encoded");
        let players = self.players.iter().filter(|(_, player)| player.plain).map(|(session, _)| session);
        let to: Vec<Client> =
            players.chain(self.plain_watchers.keys()).filter_map(|session| cx.client(session)).collect();
        for client in to {
            cx.send_bytes(&client, "queueUpdate", &bytes);
        }
    }

    /// Shows plain clients at a table their board.
    fn show_table(&self, cx: &mut Context<Self>, table: usize) {
        let Some(at) = self.tables.get(table) else { return };
        for session in [&at.x, &at.o] {
            if self.players.get(session).is_some_and(|player| player.plain)
                && let Some(client) = cx.client(session)
            {
                cx.send(&client, "tableUpdate", &TableView::of(table, at));
            }
        }
    }
}

impl LineTable {
    fn empty() -> Self {
        let mut table = LineTable { stage: OPEN.to_owned(), ..LineTable::default() };
        (0..CELLS).for_each(|_| table.board.push(0));
        table
    }

    fn seat(&mut self, mark: line::Mark) -> &mut String {
        match mark {
            line::Mark::X => &mut self.x,
            line::Mark::O => &mut self.o,
        }
    }

    /// Takes the last game off the board.
    fn clear(&mut self) {
        self.board.iter_mut().for_each(|cell| *cell = 0);
        self.moves.clear();
        self.line.clear();
        self.reason.clear();
        (self.turn, self.winner) = (0, 0);
    }
}

/// The mark of a seat.
fn mark_of(seat: line::Mark) -> Mark {
    match seat {
        line::Mark::X => Mark::X,
        line::Mark::O => Mark::O,
    }
}

/// The seat of a mark.
fn seat_of(mark: Mark) -> line::Mark {
    match mark {
        Mark::X => line::Mark::X,
        Mark::O => line::Mark::O,
    }
}

/// The name of a line: `main` when there is none.
fn clean_line(name: &str) -> String {
    if name.trim().is_empty() { "main".to_owned() } else { clean(name) }
}

/// A random UUID (version 4), of the room's random numbers.
fn uuid(cx: &mut Context<WaitingLine>) -> String {
    let (high, low) = (cx.rng().next_u64(), cx.rng().next_u64());
    let high = high & !0xf000 | 0x4000;
    let low = low & !(0b11 << 62) | 0b10 << 62;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

fn not_in_line() -> Refusal {
    Refusal::new(code::NOT_IN_LINE, "not in the line")
}

#[cfg(test)]
mod tests;
