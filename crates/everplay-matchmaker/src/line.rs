//! The waiting line: tables where two play, and everybody else in order.
//!
//! ```text
//! enter -> waiting -- oldest that is there --> seat -- both seats taken --> game -- result, pause --> winner stays
//!             ^                                                                                      loser waits again
//!             '------------------------------------ draw, or too many wins: both ------------------------'
//! ```
//!
//! Who waits has a *number*; the smallest is the longest wait. Numbers only rise, so an order once given never changes,
//! and somebody who loses a seat without having lost a game gets the old number back.
//!
//! Rules:
//! - A seat goes to the smallest number whose player is connected; tables with one player are filled before empty ones.
//! - The winner keeps seat and mark, the loser goes to the back. After [`LineSettings::most_wins`] wins in a row the winner
//!   goes to the back too, behind the loser. After a draw both go, who sat down later in front.
//! - Between a result and new seats lies [`LineSettings::pause`], in which the board is looked at.
//! - Who drops while waiting keeps the number and is passed over. Who drops during a game keeps the seat for
//!   [`LineSettings::seat_grace`], then loses the game and waits at the back. Nobody else's seat is kept for an absent
//!   player. How long a place is kept in all is the caller's to say, with [`Input::Left`].
//! - Two players who are alone at two tables, while nobody waits, are brought together.
//!
//! Always holds: everybody is either waiting or has exactly one seat; a table has at most one player per mark; a game is on
//! only where both seats are taken; somebody connected waits only while every table is full or in its pause.

use everplay_types::Millis;
use std::collections::BTreeMap;
use std::time::Duration;
use thiserror::Error;

/// One of the two seats of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// The first seat of a table that is taken.
    X,
    /// The other.
    O,
}

impl Mark {
    /// Both, in order.
    pub const BOTH: [Mark; 2] = [Mark::X, Mark::O];

    /// The other one.
    pub fn other(self) -> Mark {
        match self {
            Mark::X => Mark::O,
            Mark::O => Mark::X,
        }
    }

    fn at(self) -> usize {
        self as usize
    }
}

/// How a line behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineSettings {
    /// Tables; at least one.
    pub tables: usize,
    /// Wins in a row after which the winner goes to the back too. Default 5, as the documents of the line's origin propose.
    pub most_wins: u16,
    /// How long a player who dropped during a game keeps the seat. Default 15 s: SDKs try again within 5 s.
    pub seat_grace: Duration,
    /// How long a finished board stays before seats change. Default 3 s.
    pub pause: Duration,
    /// How long a game is believed to take before any was played. Default 40 s.
    pub first_guess: Duration,
}

impl Default for LineSettings {
    fn default() -> Self {
        Self {
            tables: 1,
            most_wins: 5,
            seat_grace: Duration::from_secs(15),
            pause: Duration::from_secs(3),
            first_guess: Duration::from_secs(40),
        }
    }
}

/// What happens to a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input<P> {
    /// Somebody comes. Nothing for who is here already.
    Entered(P),
    /// Somebody goes for good, or stayed away too long.
    Left(P),
    /// A connection is gone.
    Dropped(P),
    /// It is back.
    Returned(P),
    /// The game at this table ended, as the game itself says.
    Ended {
        /// The table.
        table: usize,
        /// Its winner; None: a draw.
        winner: Option<Mark>,
    },
    /// Time has passed.
    Tick,
}

/// What follows, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect<P> {
    /// Waits now, under this number: it came, or lost its seat.
    Waits {
        /// Who.
        player: P,
        /// Its number.
        number: u64,
    },
    /// Took this seat.
    Sits {
        /// Who.
        player: P,
        /// The table.
        table: usize,
        /// The seat.
        mark: Mark,
    },
    /// Is in the line no more.
    Gone {
        /// Who.
        player: P,
    },
    /// Both seats are taken, and a game begins.
    Begins {
        /// The table.
        table: usize,
    },
    /// The game cannot go on: this side left, or dropped and did not come back. The seat is empty already when it left.
    BreaksOff {
        /// The table.
        table: usize,
        /// The side that lost by it.
        loser: Mark,
    },
    /// The finished board is taken away.
    Clears {
        /// The table.
        table: usize,
    },
}

/// Why an input changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LineError {
    /// The player is not in the line.
    #[error("not in the line")]
    Unknown,
    /// No game is on at this table.
    #[error("no game is on at table {table}")]
    NotPlaying {
        /// The table.
        table: usize,
    },
}

/// Parts that are no line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the parts of the line contradict each other: {0}")]
pub struct NoLine(&'static str);

/// A seat that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat<P> {
    /// By whom.
    pub player: P,
    /// The number it waited under; given back when the seat is lost without a game.
    pub number: u64,
    /// Wins in a row.
    pub wins: u16,
    /// It dropped; this long the seat waits.
    pub away_until: Option<Millis>,
}

/// What goes on at a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stage {
    /// Nothing: a seat is empty.
    #[default]
    Open,
    /// A game.
    Playing {
        /// When it began.
        since: Millis,
    },
    /// A finished board.
    Over {
        /// Who won; None: a draw.
        winner: Option<Mark>,
        /// Until when it is looked at.
        until: Millis,
    },
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table<P> {
    /// X and O.
    pub seats: [Option<Seat<P>>; 2],
    /// What goes on.
    pub stage: Stage,
}

impl<P> Default for Table<P> {
    fn default() -> Self {
        Self { seats: [None, None], stage: Stage::Open }
    }
}

impl<P> Table<P> {
    /// Who has this seat.
    pub fn seat(&self, mark: Mark) -> Option<&Seat<P>> {
        self.seats[mark.at()].as_ref()
    }

    /// The only player at a table where nothing goes on.
    fn alone(&self) -> Option<Mark> {
        match (&self.seats, self.stage) {
            ([Some(_), None], Stage::Open) => Some(Mark::X),
            ([None, Some(_)], Stage::Open) => Some(Mark::O),
            _ => None,
        }
    }

    fn is_empty(&self) -> bool {
        self.stage == Stage::Open && self.seats.iter().all(Option::is_none)
    }
}

/// Somebody who waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting<P> {
    /// Who.
    pub player: P,
    /// Dropped: passed over until it is back.
    pub away: bool,
}

/// All of a line, to keep it elsewhere and make it anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts<P> {
    /// In order. More tables than the settings say stay until they are empty.
    pub tables: Vec<Table<P>>,
    /// By number.
    pub waiting: BTreeMap<u64, Waiting<P>>,
    /// The greatest number given so far.
    pub last_number: u64,
    /// How long a game takes, pause included; milliseconds.
    pub game_ms: u64,
}

/// Where somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Waits under this number.
    Waiting(u64),
    /// Has this seat.
    Seated(usize, Mark),
}

/// A waiting line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<P> {
    settings: LineSettings,
    parts: Parts<P>,
    places: BTreeMap<P, Place>,
    held: bool,
}

impl<P: Ord + Clone> Line<P> {
    /// An empty line.
    pub fn new(settings: LineSettings) -> Self {
        let parts = Parts {
            tables: vec![Table::default(); settings.tables.max(1)],
            waiting: BTreeMap::new(),
            last_number: 0,
            game_ms: millis(settings.first_guess),
        };
        Self { settings, parts, places: BTreeMap::new(), held: false }
    }

    /// The line that these parts were of. Errors: [`NoLine`] when no line has such parts.
    pub fn from_parts(settings: LineSettings, mut parts: Parts<P>) -> Result<Self, NoLine> {
        while parts.tables.len() < settings.tables.max(1) {
            parts.tables.push(Table::default());
        }
        let mut places = BTreeMap::new();
        for (at, table) in parts.tables.iter().enumerate() {
            if matches!(table.stage, Stage::Playing { .. }) && table.seats.iter().any(Option::is_none) {
                return Err(NoLine("a game with an empty seat"));
            }
            for mark in Mark::BOTH {
                let Some(seat) = table.seat(mark) else { continue };
                if seat.number > parts.last_number {
                    return Err(NoLine("a number that was never given"));
                }
                if places.insert(seat.player.clone(), Place::Seated(at, mark)).is_some() {
                    return Err(NoLine("a player with two places"));
                }
            }
        }
        for (number, waiting) in &parts.waiting {
            if *number > parts.last_number {
                return Err(NoLine("a number that was never given"));
            }
            if places.insert(waiting.player.clone(), Place::Waiting(*number)).is_some() {
                return Err(NoLine("a player with two places"));
            }
        }
        Ok(Self { settings, parts, places, held: false })
    }

    /// Whether no game begins, from the next input on: seats are given, and who has them waits. Not one of the parts.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Whether no game begins.
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// How it behaves.
    pub fn settings(&self) -> LineSettings {
        self.settings
    }

    /// Its parts.
    pub fn parts(&self) -> &Parts<P> {
        &self.parts
    }

    /// The tables.
    pub fn tables(&self) -> &[Table<P>] {
        &self.parts.tables
    }

    /// Where somebody is; None: not in the line.
    pub fn place(&self, player: &P) -> Option<Place> {
        self.places.get(player).copied()
    }

    /// Everybody who waits, who comes next first; those who are away in their places.
    pub fn waiting(&self) -> impl Iterator<Item = &P> {
        self.parts.waiting.values().map(|waiting| &waiting.player)
    }

    /// How many are in the line, at tables and waiting.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nobody is here.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// When [`Input::Tick`] has something to do.
    pub fn due(&self) -> Option<Millis> {
        let of_table = |table: &Table<P>| match table.stage {
            Stage::Over { until, .. } => Some(until),
            Stage::Playing { .. } => table.seats.iter().flatten().filter_map(|seat| seat.away_until).min(),
            Stage::Open => None,
        };
        self.parts.tables.iter().filter_map(of_table).min()
    }

    /// Gives everybody whose seat waits at least the whole grace from now: after a time in which nobody could come back.
    pub fn renew_grace(&mut self, now: Millis) {
        let until = now + self.settings.seat_grace;
        for seat in self.parts.tables.iter_mut().flat_map(|table| &mut table.seats).flatten() {
            seat.away_until = seat.away_until.map(|was| was.max(until));
        }
    }

    /// Takes one input. `least` is the least number to give: the time of day makes numbers times as well; 0 where that is
    /// not wanted. Errors: [`LineError`], and nothing changed.
    pub fn take(&mut self, now: Millis, least: u64, input: Input<P>) -> Result<Vec<Effect<P>>, LineError> {
        let mut effects = Vec::new();
        let mut numbers = Numbers { least };
        match input {
            Input::Entered(player) => {
                if !self.places.contains_key(&player) {
                    self.queue(player, false, &mut numbers, &mut effects);
                }
            }
            Input::Left(player) => self.leave(now, player, &mut effects)?,
            Input::Dropped(player) => match self.place(&player).ok_or(LineError::Unknown)? {
                Place::Waiting(number) => self.set_away(number, true),
                Place::Seated(table, mark) => {
                    let until = now + self.settings.seat_grace;
                    if let Some(seat) = &mut self.parts.tables[table].seats[mark.at()] {
                        seat.away_until.get_or_insert(until);
                    }
                }
            },
            Input::Returned(player) => match self.place(&player).ok_or(LineError::Unknown)? {
                Place::Waiting(number) => self.set_away(number, false),
                Place::Seated(table, mark) => {
                    if let Some(seat) = &mut self.parts.tables[table].seats[mark.at()] {
                        seat.away_until = None;
                    }
                }
            },
            Input::Ended { table, winner } => {
                let playing = self.parts.tables.get(table).map(|table| table.stage);
                let Some(Stage::Playing { since }) = playing else {
                    return Err(LineError::NotPlaying { table });
                };
                self.end(now, since, table, winner);
            }
            Input::Tick => {}
        }
        self.settle(now, &mut numbers, &mut effects);
        Ok(effects)
    }

    /// How long somebody who waits will wait, if games take as long as they did. Zero for who has a seat.
    pub fn estimate(&self, now: Millis, player: &P) -> Option<Duration> {
        let number = match self.place(player)? {
            Place::Seated(..) => return Some(Duration::ZERO),
            Place::Waiting(number) => number,
        };
        let ahead = self.parts.waiting.range(..number).filter(|(_, waiting)| !waiting.away).count();
        Some(self.estimate_behind(now, ahead))
    }

    /// How long a place behind that many others takes.
    pub fn estimate_behind(&self, now: Millis, ahead: usize) -> Duration {
        let game = self.parts.game_ms;
        // Each table gives up a seat when its game is over, and one more a game later.
        let mut openings: Vec<u64> =
            self.parts.tables.iter().map(|table| self.opens_in(now, table)).collect();
        openings.sort_unstable();
        let rounds = ahead / openings.len();
        let wait = openings[ahead % openings.len()].saturating_add(game.saturating_mul(rounds as u64));
        Duration::from_millis(wait)
    }

    fn opens_in(&self, now: Millis, table: &Table<P>) -> u64 {
        match table.stage {
            Stage::Open => 0,
            Stage::Over { until, .. } => millis(until.since(now)),
            // A game that takes longer than most is believed to end soon.
            Stage::Playing { since } => {
                let gone = millis(now.since(since));
                self.parts.game_ms.saturating_sub(gone).max(self.parts.game_ms / 8)
            }
        }
    }

    fn end(&mut self, now: Millis, since: Millis, table: usize, winner: Option<Mark>) {
        let until = now + self.settings.pause;
        let took = millis(until.since(since));
        self.parts.game_ms = (self.parts.game_ms.saturating_mul(7).saturating_add(took)) / 8;
        let table = &mut self.parts.tables[table];
        table.stage = Stage::Over { winner, until };
        for mark in Mark::BOTH {
            if let Some(seat) = &mut table.seats[mark.at()] {
                seat.wins = if winner == Some(mark) { seat.wins.saturating_add(1) } else { 0 };
            }
        }
    }

    fn leave(&mut self, now: Millis, player: P, effects: &mut Vec<Effect<P>>) -> Result<(), LineError> {
        match self.places.remove(&player).ok_or(LineError::Unknown)? {
            Place::Waiting(number) => {
                self.parts.waiting.remove(&number);
            }
            Place::Seated(table, mark) => {
                self.parts.tables[table].seats[mark.at()] = None;
                if let Stage::Playing { since } = self.parts.tables[table].stage {
                    effects.push(Effect::BreaksOff { table, loser: mark });
                    self.end(now, since, table, Some(mark.other()));
                }
            }
        }
        effects.push(Effect::Gone { player });
        Ok(())
    }

    fn set_away(&mut self, number: u64, away: bool) {
        if let Some(waiting) = self.parts.waiting.get_mut(&number) {
            waiting.away = away;
        }
    }

    fn queue(&mut self, player: P, away: bool, numbers: &mut Numbers, effects: &mut Vec<Effect<P>>) {
        let number = numbers.next(&mut self.parts.last_number);
        self.wait(player, number, away, effects);
    }

    fn wait(&mut self, player: P, number: u64, away: bool, effects: &mut Vec<Effect<P>>) {
        self.places.insert(player.clone(), Place::Waiting(number));
        self.parts.waiting.insert(number, Waiting { player: player.clone(), away });
        effects.push(Effect::Waits { player, number });
    }

    fn sit(&mut self, seat: Seat<P>, table: usize, mark: Mark, effects: &mut Vec<Effect<P>>) {
        let player = seat.player.clone();
        self.places.insert(player.clone(), Place::Seated(table, mark));
        self.parts.tables[table].seats[mark.at()] = Some(seat);
        effects.push(Effect::Sits { player, table, mark });
    }

    /// Everything that follows by itself: graces and pauses that are over, seats, games.
    fn settle(&mut self, now: Millis, numbers: &mut Numbers, effects: &mut Vec<Effect<P>>) {
        for table in 0..self.parts.tables.len() {
            self.lose_by_absence(now, table, effects);
            self.clear(now, table, numbers, effects);
            if self.parts.tables[table].stage == Stage::Open {
                self.give_up_absent(table, effects);
            }
        }
        while let Some(table) = self.next_table() {
            let Some(number) = self.next_waiting() else { break };
            let Some(waiting) = self.parts.waiting.remove(&number) else { break };
            let mark = self.parts.tables[table].alone().map_or(Mark::X, Mark::other);
            let seat = Seat { player: waiting.player, number, wins: 0, away_until: None };
            self.sit(seat, table, mark, effects);
        }
        self.bring_together(effects);
        for (at, table) in self.parts.tables.iter_mut().enumerate() {
            if !self.held && table.stage == Stage::Open && table.seats.iter().all(Option::is_some) {
                table.stage = Stage::Playing { since: now };
                effects.push(Effect::Begins { table: at });
            }
        }
    }

    fn lose_by_absence(&mut self, now: Millis, table: usize, effects: &mut Vec<Effect<P>>) {
        let Stage::Playing { since } = self.parts.tables[table].stage else { return };
        let until = |mark: Mark| self.parts.tables[table].seat(mark).and_then(|seat| seat.away_until);
        // Who has been away for longer loses; X if neither has.
        let absent = Mark::BOTH.into_iter().filter_map(|mark| Some((until(mark)?, mark))).min();
        if let Some((until, loser)) = absent
            && until <= now
        {
            effects.push(Effect::BreaksOff { table, loser });
            self.end(now, since, table, Some(loser.other()));
        }
    }

    /// Moves on from a finished board that was looked at for long enough.
    fn clear(&mut self, now: Millis, table: usize, numbers: &mut Numbers, effects: &mut Vec<Effect<P>>) {
        let Stage::Over { winner, until } = self.parts.tables[table].stage else { return };
        if now < until {
            return;
        }
        self.parts.tables[table].stage = Stage::Open;
        effects.push(Effect::Clears { table });
        let most = self.settings.most_wins.max(1);
        let seat = |mark: Mark| self.parts.tables[table].seat(mark);
        let stays = |mark: Mark| winner == Some(mark) && seat(mark).is_some_and(|seat| seat.wins < most);
        let mut going: Vec<Mark> =
            Mark::BOTH.into_iter().filter(|mark| seat(*mark).is_some() && !stays(*mark)).collect();
        // The loser before the winner; after a draw who sat down later before who sat for longer.
        going.sort_by_key(|mark| {
            (winner == Some(*mark), std::cmp::Reverse(seat(*mark).map(|seat| seat.number)))
        });
        for mark in going {
            if let Some(seat) = self.parts.tables[table].seats[mark.at()].take() {
                self.queue(seat.player, seat.away_until.is_some(), numbers, effects);
            }
        }
    }

    /// An empty chair is no opponent: who is away while no game is on waits again, in the old place.
    fn give_up_absent(&mut self, table: usize, effects: &mut Vec<Effect<P>>) {
        for mark in Mark::BOTH {
            let seat = &mut self.parts.tables[table].seats[mark.at()];
            if seat.as_ref().is_some_and(|seat| seat.away_until.is_some())
                && let Some(seat) = seat.take()
            {
                self.wait(seat.player, seat.number, true, effects);
            }
        }
    }

    /// Where the next seat is given: beside somebody who is alone, else at an empty table.
    fn next_table(&self) -> Option<usize> {
        let kept = self.settings.tables.max(1);
        let tables = &self.parts.tables;
        tables
            .iter()
            .position(|table| table.alone().is_some())
            .or_else(|| tables.iter().take(kept).position(Table::is_empty))
    }

    fn next_waiting(&self) -> Option<u64> {
        self.parts.waiting.iter().find(|(_, waiting)| !waiting.away).map(|(number, _)| *number)
    }

    fn bring_together(&mut self, effects: &mut Vec<Effect<P>>) {
        loop {
            let mut alone = self.parts.tables.iter().enumerate();
            let mut next = || alone.by_ref().find_map(|(at, table)| Some((at, table.alone()?)));
            let (Some((to, held)), Some((from, mark))) = (next(), next()) else { return };
            if let Some(seat) = self.parts.tables[from].seats[mark.at()].take() {
                self.sit(seat, to, held.other(), effects);
            }
        }
    }
}

/// Gives numbers, each greater than all before.
struct Numbers {
    least: u64,
}

impl Numbers {
    fn next(&mut self, last: &mut u64) -> u64 {
        *last = (*last + 1).max(self.least);
        *last
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
