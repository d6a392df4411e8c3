//! What players ask instead of looking at the state: the contract of `docs/games.md`, by which games are played over
//! HTTP. Any client may use it.
//!
//! A move that is asked for twice under one key is played once, and answered both times with the game as it was after
//! it: the keys are journaled beside the moves.

use super::{FINISHED, TicTacToe, WAITING, code, game_over, not_started};
use crate::rules::{Board, CELLS, Mark};
use everplay::prelude::*;

/// Bytes of a key.
const KEY_LENGTH: usize = 128;

/// A move, and what to know it by.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Play {
    /// Which game of the room.
    game: u32,
    /// The cell.
    played: u32,
    /// Empty: no key.
    #[serde(default)]
    key: String,
}

/// The game, in the words of every game.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GameNow {
    game: u32,
    status: &'static str,
    players: Vec<Side>,
    /// The asker's side.
    you: Option<String>,
    board: Vec<Option<String>>,
    turn: Option<String>,
    winner: Option<String>,
    reason: String,
    moves: Vec<u8>,
    /// Milliseconds left for the move; none without a clock.
    clock: Option<u64>,
    mode: String,
}

#[derive(Serialize)]
struct Side {
    user: Option<String>,
    session: String,
    name: String,
    mark: String,
    computer: bool,
    connected: bool,
}

impl TicTacToe {
    pub(super) fn on_game(
        &mut self,
        cx: &mut Context<Self>,
        client: &Client,
        _: Anything,
    ) -> Result<GameNow, Refusal> {
        Ok(self.told(cx, client, self.moves.len()))
    }

    pub(super) fn on_play(
        &mut self,
        cx: &mut Context<Self>,
        client: &Client,
        Play { game, played, key }: Play,
    ) -> Result<GameNow, Refusal> {
        let mark = self.mark_of(client)?;
        if key.len() > KEY_LENGTH {
            return Err(Refusal::new(code::BAD_KEY, "a key has at most 128 bytes"));
        }
        if game < self.game {
            return Err(game_over());
        }
        if let Some(at) = self.played_under(mark, &key) {
            return match self.moves.get(at).is_some_and(|cell| u32::from(*cell) == played) {
                true => Ok(self.told(cx, client, at + 1)),
                false => Err(Refusal::new(code::BAD_KEY, "another move was played under this key")),
            };
        }
        if self.phase == WAITING || game > self.game {
            return Err(not_started());
        }
        if self.phase == FINISHED {
            return Err(game_over());
        }
        self.put(cx, usize::try_from(played).unwrap_or(usize::MAX), mark).map_err(super::refused)?;
        // Moves by messages have none.
        while self.keys.len() + 1 < self.moves.len() {
            self.keys.push(String::new());
        }
        self.keys.push(key);
        Ok(self.told(cx, client, self.moves.len()))
    }

    /// Gives the seat of the same account to this client, wherever it was held.
    pub(super) fn resume(&mut self, cx: &mut Context<Self>, client: &Client) -> Result<(), Refusal> {
        let user = super::user_of(client);
        let held = self.players.iter().find(|(_, player)| !player.left && player.user == user);
        let held = held.filter(|_| !user.is_empty()).map(|(session, _)| session.to_owned());
        let seat = held.and_then(|session| Some((self.players.remove(&session)?, session)));
        let Some((mut player, before)) = seat else {
            return Err(Refusal::new(code::NOT_A_PLAYER, "you have no seat here"));
        };
        player.connected = true;
        self.players.insert(client.session_id().as_str(), player);
        if let Some(before) = cx.client(&before) {
            // Without its player it is a watcher, and leaves as one.
            self.spectators += 1;
            cx.kick(&before, CloseCode::REPLACED);
        }
        Ok(())
    }

    /// Which move of this side, from 0, came under this key.
    fn played_under(&self, mark: Mark, key: &str) -> Option<usize> {
        let theirs = usize::from(mark == Mark::O);
        let mut keys = self.keys.iter().enumerate();
        keys.find(|(at, known)| !key.is_empty() && *known == key && at % 2 == theirs).map(|(at, _)| at)
    }

    /// The game after so many of its moves.
    fn told(&self, cx: &Context<Self>, client: &Client, count: usize) -> GameNow {
        let last = count >= self.moves.len();
        let (mut board, mut mark) = (Board::default(), Mark::X);
        let moves: Vec<u8> = self.moves.iter().take(count).copied().collect();
        for cell in &moves {
            board.play(usize::from(*cell), mark).expect("moves were played by the rules");
            mark = mark.other();
        }
        let status = match (last, self.phase.as_str()) {
            (_, WAITING) => "waiting",
            (true, FINISHED) if super::is_forfeit(&self.reason) => "forfeited",
            (true, FINISHED) => "completed",
            _ => "active",
        };
        let over = last && self.phase == FINISHED;
        let side = self.players.get(client.session_id().as_str());
        let due = self.clock_timer.and_then(|timer| cx.due(TimerId(timer))).filter(|_| last);
        GameNow {
            // Who waits, waits for the next one.
            game: self.game + u32::from(status == "waiting"),
            status,
            players: self.sides(),
            you: side.and_then(|player| Mark::from_number(player.mark)).map(|mark| mark.to_string()),
            board: (0..CELLS).map(|cell| board.at(cell).map(|mark| mark.to_string())).collect(),
            turn: (status == "active").then(|| mark.to_string()),
            winner: Mark::from_number(self.winner).filter(|_| over).map(|mark| mark.to_string()),
            reason: if over { self.reason.clone() } else { String::new() },
            moves,
            clock: due.map(|due| due.since(cx.now()).as_millis() as u64),
            mode: self.mode.clone(),
        }
    }

    /// In the order of the sides: X first.
    fn sides(&self) -> Vec<Side> {
        let side = |(session, player): (&str, &super::Player)| Side {
            user: Some(player.user.clone()).filter(|user| !user.is_empty()),
            session: session.to_owned(),
            name: player.name.clone(),
            mark: Mark::from_number(player.mark).map(|mark| mark.to_string()).unwrap_or_default(),
            computer: player.computer,
            connected: player.connected,
        };
        let mut sides: Vec<Side> = self.players.iter().map(side).collect();
        sides.sort_by_key(|side| side.mark != Mark::X.to_string());
        sides
    }
}
