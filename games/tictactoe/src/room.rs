//! The room: who sits where, whose turn it is, the clock, and what everybody sees of it.
//!
//! ```text
//! waiting -- second player --> playing -- line, draw, forfeit, timeout, left --> finished
//!                                 ^                                                 |
//!                                 +--------- rematch, or a newcomer's seat ---------+
//! ```
//!
//! The state is the public contract in `docs/rooms/tic_tac_toe.md`. The server decides every move and result;
//! clients only name cells.
//!
//! Always holds: at most two players that have not left, with different marks; `turn` is 0 unless playing;
//! a move clock is scheduled exactly while playing with one; `board` is what `moves` lead to.

mod requests;

use crate::computer::Level;
use crate::rules::{Board, CELLS, Illegal, Mark, Outcome};
use everplay::prelude::*;

/// Time for a move when the creator does not say.
const MOVE_SECONDS: u32 = 30;
/// Less is no game, more is a correspondence game whose rooms would pile up.
const MOVE_SECONDS_ALLOWED: std::ops::RangeInclusive<u32> = 5..=300;
/// The least time for a move after a restart: the default SDK waits up to 5 s between its attempts to come back.
pub(crate) const LEAST_AFTER_RESTART: Duration = Duration::from_secs(15);
/// How long the seat of a dropped player waits, which is as long as the SDKs keep trying.
const SEAT_KEPT: Duration = Duration::from_secs(60);
/// How long the computer takes for a move, so that one sees it come.
const THINKING: Duration = Duration::from_millis(600);
/// Players at a table.
const SEATS: u32 = 2;
/// Watchers a room takes.
const WATCHERS: u32 = 30;
/// Characters of a name; fits a player's card on a phone.
const NAME_LENGTH: usize = 20;
/// The most bytes that a finished game has as an event.
const RESULT_BYTES: usize = 2048;
/// The computer's key among the players. Session ids are longer.
const COMPUTER: &str = "computer";

const WAITING: &str = "waiting";
const PLAYING: &str = "playing";
const FINISHED: &str = "finished";

/// Codes of our own, as documented.
pub mod code {
    /// The cell does not exist.
    pub const NO_SUCH_CELL: u16 = 4300;
    /// A mark is there already.
    pub const OCCUPIED: u16 = 4301;
    /// The other side moves.
    pub const OUT_OF_TURN: u16 = 4302;
    /// The game is over.
    pub const GAME_OVER: u16 = 4303;
    /// The second player is missing.
    pub const NOT_STARTED: u16 = 4304;
    /// Watchers do not play.
    pub const NOT_A_PLAYER: u16 = 4305;
    /// A rematch comes after the end.
    pub const STILL_PLAYING: u16 = 4306;
    /// The other player has left.
    pub const OPPONENT_GONE: u16 = 4307;
    /// An option that the room does not know.
    pub const BAD_OPTION: u16 = 4308;
    /// A key that names another move, or is too long.
    pub const BAD_KEY: u16 = 4309;
}

/// One table with its two seats.
#[derive(State, Default)]
pub struct TicTacToe {
    mode: String,
    level: String,
    #[state(rename = "moveTime")]
    move_time: u32,
    phase: String,
    game: u32,
    board: List<u8>,
    turn: u8,
    moves: List<u8>,
    clock: u32,
    winner: u8,
    reason: String,
    line: List<u8>,
    draws: u16,
    spectators: u16,
    players: Map<Player>,
    /// The timer of the move clock, to cancel it when a move was made.
    #[state(private)]
    clock_timer: Option<u64>,
    /// The room's time at which this game began.
    #[state(private)]
    began: u64,
    /// Under which keys the moves came; may be shorter than they are.
    #[state(private)]
    keys: List<String>,
}

/// Somebody with a seat.
#[derive(State, Default)]
pub struct Player {
    name: String,
    mark: u8,
    connected: bool,
    left: bool,
    computer: bool,
    wins: u16,
    rematch: bool,
    /// The account, for statistics and histories; empty without one. Told to who asks for the game.
    #[state(private)]
    user: String,
}

/// What clients may ask for. Unknown fields are ignored, because SDKs may add their own.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Options {
    name: String,
    mode: String,
    level: String,
    move_seconds: Option<u32>,
    /// Takes the seat over that the same account has.
    resume: bool,
}

/// What a timer was set for.
#[derive(Debug, Serialize, Deserialize)]
pub enum Timer {
    /// The time for this move is over.
    Clock,
    /// The computer has thought long enough about its move in this game.
    Computer {
        /// Number of the game.
        game: u32,
    },
}

/// What is asked of an identity.
#[derive(Deserialize)]
pub(crate) struct Account {
    pub(crate) id: String,
}

/// The one thing a player may decide. Anything more is a forgery and does not fit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Move {
    pub(crate) cell: u32,
}

/// How a game ended, for the rest of the platform: see docs/events.md.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finished<'a> {
    pub(crate) game: u32,
    pub(crate) mode: &'a str,
    pub(crate) level: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) winner: Option<String>,
    pub(crate) moves: Vec<u8>,
    pub(crate) board: Vec<Option<String>>,
    pub(crate) took_ms: u64,
    pub(crate) players: Vec<FinishedPlayer<'a>>,
}

#[derive(Serialize)]
pub(crate) struct FinishedPlayer<'a> {
    pub(crate) user: Option<&'a str>,
    pub(crate) session: &'a str,
    pub(crate) name: &'a str,
    pub(crate) mark: String,
    pub(crate) computer: bool,
}

impl Room for TicTacToe {
    type Options = Options;
    type Timer = Timer;

    fn settings() -> Settings {
        Settings {
            max_clients: SEATS + WATCHERS,
            reconnection: SEAT_KEPT,
            // Nobody clicks faster; a script that does gains nothing.
            messages_per_second: 20,
            ..Settings::default()
        }
    }

    fn messages(on: &mut Messages<Self>) {
        on.message("move", Self::on_move);
        on.message("forfeit", Self::on_forfeit);
        on.message("rematch", Self::on_rematch);
        on.request("game", Self::on_game);
        on.request("play", Self::on_play);
    }

    fn create(cx: &mut Context<Self>, options: Options) -> Result<Self, Refusal> {
        let mode = match options.mode.as_str() {
            "" | "quick" => "quick",
            "private" => "private",
            COMPUTER => COMPUTER,
            _ => return Err(bad_option("a room is quick, private or against the computer")),
        };
        let seconds = match options.move_seconds {
            None if mode == COMPUTER => 0,
            None => MOVE_SECONDS,
            Some(0) if mode != "quick" => 0,
            Some(seconds) if MOVE_SECONDS_ALLOWED.contains(&seconds) => seconds,
            Some(_) => return Err(bad_option("the time for a move is 5 to 300 seconds")),
        };
        let mut room = TicTacToe {
            mode: mode.to_owned(),
            move_time: seconds * 1000,
            phase: WAITING.to_owned(),
            ..TicTacToe::default()
        };
        for _ in 0..CELLS {
            room.board.push(0);
        }
        if mode == COMPUTER {
            room.level = level(&options.level)?.name().to_owned();
            let name = "Computer".to_owned();
            let player = Player { name, mark: 2, connected: true, computer: true, ..Player::default() };
            room.players.insert(COMPUTER, player);
        }
        room.list(cx);
        Ok(room)
    }

    fn join(&mut self, cx: &mut Context<Self>, client: &Client, options: Options) -> Result<(), Refusal> {
        let seated = self.players.values().filter(|player| !player.left).count();
        if options.resume {
            self.resume(cx, client)?;
        } else if options.mode == "watch" || seated >= SEATS as usize {
            self.spectators += 1;
        } else {
            has_room_for_result(cx)?;
            self.players.retain(|_, player| !player.left);
            let opponent = self.players.values().next().and_then(|player| Mark::from_number(player.mark));
            let mark = opponent.map_or(Mark::X, Mark::other).number();
            let user = user_of(client);
            let name = clean(&options.name);
            let player = Player { name, mark, connected: true, user, ..Player::default() };
            self.players.insert(client.session_id().as_str(), player);
            if self.players.len() == SEATS as usize {
                self.begin(cx);
            } else {
                // Both had left, and only watchers kept the room.
                self.clear();
                self.phase = WAITING.to_owned();
            }
        }
        self.renew_clock(cx);
        self.list(cx);
        Ok(())
    }

    fn timer(&mut self, cx: &mut Context<Self>, timer: Timer) {
        match timer {
            Timer::Clock => {
                self.clock_timer = None;
                let winner = Mark::from_number(self.turn).map(Mark::other);
                self.finish(cx, winner, "timeout");
            }
            Timer::Computer { game } if game == self.game => self.computer_moves(cx),
            // Its game ended meanwhile.
            Timer::Computer { .. } => {}
        }
    }

    fn drop(&mut self, cx: &mut Context<Self>, client: &Client, _code: CloseCode) {
        self.set_connected(client, false);
        self.list(cx);
    }

    fn reconnect(&mut self, cx: &mut Context<Self>, client: &Client) {
        self.set_connected(client, true);
        self.renew_clock(cx);
        self.list(cx);
    }

    fn leave(&mut self, cx: &mut Context<Self>, client: &Client, _why: Leave) {
        let session = client.session_id().as_str();
        let mark = self.players.get(session).and_then(|player| Mark::from_number(player.mark));
        match mark {
            None => self.spectators = self.spectators.saturating_sub(1),
            Some(_) if self.phase == WAITING => {
                self.players.remove(session);
            }
            Some(mark) => {
                if let Some(player) = self.players.get_mut(session) {
                    player.left = true;
                    player.connected = false;
                    player.rematch = false;
                }
                self.finish(cx, Some(mark.other()), "left");
            }
        }
        self.list(cx);
    }

    fn restored(&mut self, cx: &mut Context<Self>) {
        // Whoever is to move could not while we were away.
        if self.phase == PLAYING && self.move_time > 0 {
            let time = Duration::from_millis(self.move_time.into()).max(LEAST_AFTER_RESTART);
            self.start_clock(cx, time);
        }
    }
}

impl TicTacToe {
    fn on_move(
        &mut self,
        cx: &mut Context<Self>,
        client: &Client,
        Move { cell }: Move,
    ) -> Result<(), Refusal> {
        let mark = self.mark_of(client)?;
        if self.phase == WAITING {
            return Err(not_started());
        }
        if self.phase == FINISHED {
            return Err(game_over());
        }
        self.put(cx, usize::try_from(cell).unwrap_or(usize::MAX), mark).map_err(refused)
    }

    fn on_forfeit(&mut self, cx: &mut Context<Self>, client: &Client, _: Anything) -> Result<(), Refusal> {
        let mark = self.mark_of(client)?;
        match self.phase.as_str() {
            WAITING => Err(not_started()),
            FINISHED => Err(game_over()),
            _ => {
                self.finish(cx, Some(mark.other()), "forfeit");
                Ok(())
            }
        }
    }

    fn on_rematch(&mut self, cx: &mut Context<Self>, client: &Client, _: Anything) -> Result<(), Refusal> {
        self.mark_of(client)?;
        match self.phase.as_str() {
            WAITING => return Err(not_started()),
            PLAYING => return Err(Refusal::new(code::STILL_PLAYING, "the game is still on")),
            _ => {}
        }
        if self.players.values().any(|player| player.left) {
            return Err(Refusal::new(code::OPPONENT_GONE, "the other player has left"));
        }
        has_room_for_result(cx)?;
        if let Some(player) = self.players.get_mut(client.session_id().as_str()) {
            player.rematch = true;
        }
        if self.players.values().all(|player| player.rematch || player.computer) {
            for player in self.players.values_mut() {
                player.mark = SEATS as u8 + 1 - player.mark;
            }
            self.begin(cx);
        }
        Ok(())
    }

    /// A new game between the two at the table; X moves first.
    fn begin(&mut self, cx: &mut Context<Self>) {
        self.clear();
        self.game += 1;
        self.began = cx.now().0;
        self.phase = PLAYING.to_owned();
        self.turn_to(cx, Mark::X);
    }

    /// Takes the last game from the table.
    fn clear(&mut self) {
        for cell in 0..CELLS {
            self.board[cell] = 0;
        }
        self.moves.clear();
        self.keys.clear();
        self.line.clear();
        self.winner = 0;
        self.reason.clear();
        for player in self.players.values_mut() {
            player.rematch = false;
        }
    }

    fn put(&mut self, cx: &mut Context<Self>, cell: usize, mark: Mark) -> Result<(), Illegal> {
        let mut board = self.position();
        let outcome = board.play(cell, mark)?;
        self.board[cell] = mark.number();
        self.moves.push(cell as u8);
        match outcome {
            None => self.turn_to(cx, mark.other()),
            Some(Outcome::Draw) => self.finish(cx, None, "draw"),
            Some(Outcome::Win { mark, lines }) => {
                lines.concat().into_iter().for_each(|cell| self.line.push(cell as u8));
                self.finish(cx, Some(mark), "line");
            }
        }
        Ok(())
    }

    fn turn_to(&mut self, cx: &mut Context<Self>, mark: Mark) {
        self.turn = mark.number();
        if self.move_time > 0 {
            self.start_clock(cx, Duration::from_millis(self.move_time.into()));
        }
        if self.players.get(COMPUTER).is_some_and(|computer| computer.mark == self.turn) {
            cx.schedule(THINKING, &Timer::Computer { game: self.game });
        }
    }

    fn computer_moves(&mut self, cx: &mut Context<Self>) {
        let (Some(mark), Ok(level)) = (Mark::from_number(self.turn), level(&self.level)) else { return };
        let below = |bound: usize| cx.rng().below(bound as u64) as usize;
        let Some(cell) = level.choose(&self.position(), below) else { return };
        self.put(cx, cell, mark).expect("a level chooses an empty cell for the side to move");
    }

    /// The end of a game that is on; otherwise nothing.
    fn finish(&mut self, cx: &mut Context<Self>, winner: Option<Mark>, reason: &str) {
        if self.phase != PLAYING {
            return;
        }
        self.stop_clock(cx);
        self.phase = FINISHED.to_owned();
        self.turn = 0;
        self.winner = winner.map_or(0, Mark::number);
        self.reason = reason.to_owned();
        match self.players.values_mut().find(|player| player.mark == self.winner) {
            Some(player) => player.wins = player.wins.saturating_add(1),
            None => self.draws = self.draws.saturating_add(1),
        }
        let players = self.players.iter().map(|(session, player)| FinishedPlayer {
            user: Some(player.user.as_str()).filter(|user| !user.is_empty()),
            session,
            name: &player.name,
            mark: Mark::from_number(player.mark).map(|mark| mark.to_string()).unwrap_or_default(),
            computer: player.computer,
        });
        let mut players: Vec<_> = players.collect();
        // In the order of the sides: X first.
        players.sort_by_key(|player| player.mark != Mark::X.to_string());
        // There is room for it, or the game would not have begun.
        let _ = cx.emit(
            "game finished",
            &Finished {
                game: self.game,
                mode: &self.mode,
                level: &self.level,
                reason,
                winner: winner.map(|mark| mark.to_string()),
                moves: self.moves.iter().copied().collect(),
                board: self
                    .board
                    .iter()
                    .map(|cell| Mark::from_number(*cell).map(|mark| mark.to_string()))
                    .collect(),
                took_ms: cx.now().0.saturating_sub(self.began),
                players,
            },
        );
    }

    fn start_clock(&mut self, cx: &mut Context<Self>, time: Duration) {
        self.stop_clock(cx);
        self.clock_timer = Some(cx.schedule(time, &Timer::Clock).0);
        self.clock = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    }

    fn stop_clock(&mut self, cx: &mut Context<Self>) {
        if let Some(timer) = self.clock_timer.take() {
            cx.cancel(TimerId(timer));
        }
        self.clock = 0;
    }

    /// Says again how much time is left, for those who did not see the turn begin.
    fn renew_clock(&mut self, cx: &Context<Self>) {
        if let Some(due) = self.clock_timer.and_then(|timer| cx.due(TimerId(timer))) {
            // Zero means no clock.
            self.clock = u32::try_from(due.since(cx.now()).as_millis()).unwrap_or(u32::MAX).max(1);
        }
    }

    /// Whom matchmaking may send here: one more player while the first waits and is there, in a quick room.
    /// Everybody else comes by id.
    fn list(&self, cx: &mut Context<Self>) {
        let waits = self.mode == "quick" && self.phase == WAITING;
        cx.set_private(!waits || self.players.values().any(|player| !player.connected));
        // While waiting, no more reservations than seats: two who are matched at once must not meet a third.
        cx.set_max_clients(SEATS + if waits { u32::from(self.spectators) } else { WATCHERS });
    }

    fn position(&self) -> Board {
        Board::from_cells(self.board.iter().copied()).expect("only moves by the rules change the board")
    }

    fn mark_of(&self, client: &Client) -> Result<Mark, Refusal> {
        self.players
            .get(client.session_id().as_str())
            .and_then(|player| Mark::from_number(player.mark))
            .ok_or_else(|| Refusal::new(code::NOT_A_PLAYER, "watchers do not play"))
    }

    fn set_connected(&mut self, client: &Client, connected: bool) {
        if let Some(player) = self.players.get_mut(client.session_id().as_str()) {
            player.connected = connected;
        }
    }
}

fn level(name: &str) -> Result<Level, Refusal> {
    match name {
        "easy" => Ok(Level::Easy),
        "" | "medium" => Ok(Level::Medium),
        "perfect" => Ok(Level::Perfect),
        _ => Err(bad_option("the computer is easy, medium or perfect")),
    }
}

/// A name as shown: no control characters, single blanks, at most [`NAME_LENGTH`] characters, never empty.
pub(crate) fn clean(name: &str) -> String {
    let visible: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let joined = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = joined.chars().take(NAME_LENGTH).collect();
    if cut.is_empty() { "Player".to_owned() } else { cut.trim_end().to_owned() }
}

/// The account of a client; empty without one.
fn user_of(client: &Client) -> String {
    client.auth_as::<Account>().map(|account| account.id).unwrap_or_default()
}

/// Whether an ending is one that somebody caused beside the board.
fn is_forfeit(reason: &str) -> bool {
    matches!(reason, "forfeit" | "left" | "timeout")
}

/// No game begins whose end could not be told.
fn has_room_for_result(cx: &Context<TicTacToe>) -> Result<(), Refusal> {
    if cx.can_emit(1, RESULT_BYTES) { Ok(()) } else { Err(OutboxFull.into()) }
}

fn refused(illegal: Illegal) -> Refusal {
    let code = match illegal {
        Illegal::NoSuchCell => code::NO_SUCH_CELL,
        Illegal::Occupied => code::OCCUPIED,
        Illegal::OutOfTurn => code::OUT_OF_TURN,
        Illegal::Over => code::GAME_OVER,
    };
    Refusal::new(code, illegal.to_string())
}

fn bad_option(message: &str) -> Refusal {
    Refusal::new(code::BAD_OPTION, message)
}

fn not_started() -> Refusal {
    Refusal::new(code::NOT_STARTED, "the second player is missing")
}

fn game_over() -> Refusal {
    Refusal::new(code::GAME_OVER, "the game is over")
}

#[cfg(test)]
mod tests;
