//! The waiting line: its rules one by one, and what holds over thousands of orders of events.

use everplay_matchmaker::line::{Effect, Input, Line, LineError, LineSettings, Mark, Place, Stage};
use everplay_types::Millis;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A line with its time, which keeps what it was told.
struct Play {
    line: Line<u32>,
    now: Millis,
    effects: Vec<Effect<u32>>,
}

impl Play {
    fn new(settings: LineSettings) -> Self {
        Self { line: Line::new(settings), now: Millis::ZERO, effects: Vec::new() }
    }

    fn tables(tables: usize) -> Self {
        Self::new(LineSettings { tables, ..LineSettings::default() })
    }

    fn take(&mut self, input: Input<u32>) {
        self.effects.extend(self.line.take(self.now, 0, input).unwrap());
        check(&self.line);
    }

    fn enter(&mut self, players: impl IntoIterator<Item = u32>) {
        players.into_iter().for_each(|player| self.take(Input::Entered(player)));
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.take(Input::Tick);
    }

    /// A game at table 0 ends, and the pause after it.
    fn ends(&mut self, winner: Option<Mark>) {
        self.take(Input::Ended { table: 0, winner });
        self.pass(LineSettings::default().pause);
    }

    fn seats(&self, table: usize) -> [Option<u32>; 2] {
        Mark::BOTH.map(|mark| self.line.tables()[table].seat(mark).map(|seat| seat.player))
    }

    fn waiting(&self) -> Vec<u32> {
        self.line.waiting().copied().collect()
    }
}

/// What always holds.
fn check(line: &Line<u32>) {
    let mut seen = BTreeSet::new();
    for (at, table) in line.tables().iter().enumerate() {
        for mark in Mark::BOTH {
            if let Some(seat) = table.seat(mark) {
                assert!(seen.insert(seat.player), "two places for one");
                assert_eq!(line.place(&seat.player), Some(Place::Seated(at, mark)));
            }
        }
        let taken = table.seats.iter().flatten().count();
        match table.stage {
            Stage::Playing { .. } => assert_eq!(taken, 2, "a game of two"),
            Stage::Open => {
                assert!(taken < 2, "two at a table play");
                assert!(table.seats.iter().flatten().all(|seat| seat.away_until.is_none()));
            }
            Stage::Over { .. } => {}
        }
    }
    let alone = |table: &&everplay_matchmaker::line::Table<u32>| {
        table.stage == Stage::Open && table.seats.iter().flatten().count() == 1
    };
    assert!(line.tables().iter().filter(alone).count() <= 1, "two who are alone play each other");
    let open = line.tables().iter().any(|table| table.stage == Stage::Open);
    for (number, waiting) in &line.parts().waiting {
        assert!(seen.insert(waiting.player), "two places for one");
        assert_eq!(line.place(&waiting.player), Some(Place::Waiting(*number)));
        assert!(waiting.away || !open, "somebody waits beside an empty seat");
    }
    assert_eq!(seen.len(), line.len(), "nobody is lost");
    assert_eq!(Line::from_parts(line.settings(), line.parts().clone()).as_ref(), Ok(line));
}

#[test]
fn the_first_two_play_and_the_others_wait_in_order() {
    let mut play = Play::tables(1);
    play.enter([1, 2, 3, 4]);
    assert_eq!(play.seats(0), [Some(1), Some(2)]);
    assert_eq!(play.waiting(), [3, 4]);
    play.enter([3]);
    assert_eq!(play.waiting(), [3, 4], "who is here is not queued again");
}

#[test]
fn the_winner_stays_and_the_loser_goes_to_the_back() {
    let mut play = Play::tables(1);
    play.enter([1, 2, 3, 4]);
    play.take(Input::Ended { table: 0, winner: Some(Mark::O) });
    assert_eq!(play.seats(0), [Some(1), Some(2)], "the board is looked at");
    play.pass(Duration::from_secs(3));
    assert_eq!(play.seats(0), [Some(3), Some(2)], "a winner keeps seat and mark");
    assert_eq!(play.waiting(), [4, 1]);
}

#[test]
fn a_rematch_follows_when_nobody_waits() {
    let mut play = Play::tables(1);
    play.enter([1, 2]);
    play.ends(Some(Mark::X));
    assert_eq!(play.seats(0), [Some(1), Some(2)]);
    assert_eq!(play.effects.iter().filter(|effect| matches!(effect, Effect::Begins { .. })).count(), 2);
}

#[test]
fn a_draw_frees_both_seats() {
    let mut play = Play::tables(1);
    play.enter([1, 2, 3]);
    play.ends(Some(Mark::X));
    assert_eq!((play.seats(0), play.waiting()), ([Some(1), Some(3)], vec![2]));
    play.ends(None);
    assert_eq!(
        (play.seats(0), play.waiting()),
        ([Some(2), Some(3)], vec![1]),
        "who sat for longer goes last"
    );
}

#[test]
fn nobody_wins_for_ever() {
    let mut play = Play::tables(1);
    play.enter([1, 2, 3]);
    for _ in 0..4 {
        play.ends(Some(Mark::X));
        assert_eq!(play.seats(0)[0], Some(1));
    }
    play.ends(Some(Mark::X));
    assert_eq!(play.line.place(&1), Some(Place::Waiting(play.line.parts().last_number)), "last of all");
}

#[test]
fn a_seat_is_kept_for_a_moment_then_the_next_one_has_it() {
    let mut play = Play::tables(1);
    play.enter([1, 2, 3]);
    play.take(Input::Dropped(1));
    play.pass(Duration::from_secs(14));
    play.take(Input::Returned(1));
    play.pass(Duration::from_secs(60));
    assert_eq!(play.seats(0), [Some(1), Some(2)]);
    play.take(Input::Dropped(1));
    play.pass(Duration::from_secs(15));
    assert!(play.effects.contains(&Effect::BreaksOff { table: 0, loser: Mark::X }));
    play.pass(Duration::from_secs(3));
    assert_eq!((play.seats(0), play.waiting()), ([Some(3), Some(2)], vec![1]));
}

#[test]
fn who_leaves_a_game_loses_it_and_the_seat_is_refilled() {
    let mut play = Play::tables(1);
    play.enter([1, 2, 3]);
    play.take(Input::Left(2));
    assert_eq!(
        play.effects[play.effects.len() - 2..],
        [Effect::BreaksOff { table: 0, loser: Mark::O }, Effect::Gone { player: 2 },]
    );
    play.pass(Duration::from_secs(3));
    assert_eq!((play.seats(0), play.waiting()), ([Some(1), Some(3)], vec![]));
}

#[test]
fn who_drops_while_waiting_keeps_the_place() {
    let mut play = Play::tables(1);
    play.enter([1, 2, 3, 4]);
    play.take(Input::Dropped(3));
    play.ends(Some(Mark::X));
    assert_eq!((play.seats(0), play.waiting()), ([Some(1), Some(4)], vec![3, 2]));
    play.take(Input::Returned(3));
    play.ends(Some(Mark::X));
    assert_eq!((play.seats(0), play.waiting()), ([Some(1), Some(3)], vec![2, 4]));
}

#[test]
fn nobody_sits_alone_at_two_tables() {
    let mut play = Play::tables(2);
    play.enter([1, 2, 3, 4]);
    assert_eq!((play.seats(0), play.seats(1)), ([Some(1), Some(2)], [Some(3), Some(4)]));
    play.take(Input::Left(2));
    play.take(Input::Left(3));
    play.pass(Duration::from_secs(3));
    assert_eq!((play.seats(0), play.seats(1)), ([Some(1), Some(4)], [None, None]));
}

#[test]
fn who_is_alone_and_drops_keeps_the_old_number() {
    let mut play = Play::tables(1);
    play.enter([1]);
    play.take(Input::Dropped(1));
    play.enter([2, 3, 4]);
    play.take(Input::Returned(1));
    assert_eq!((play.seats(0), play.waiting()), ([Some(2), Some(3)], vec![1, 4]));
}

#[test]
fn a_result_counts_only_where_a_game_is_on() {
    let mut play = Play::tables(1);
    play.enter([1]);
    let refused = play.line.take(play.now, 0, Input::Ended { table: 0, winner: None });
    assert_eq!(refused, Err(LineError::NotPlaying { table: 0 }));
    assert_eq!(play.line.take(play.now, 0, Input::Left(9)), Err(LineError::Unknown));
    assert_eq!(
        play.line.take(play.now, 0, Input::Ended { table: 7, winner: None }),
        Err(LineError::NotPlaying { table: 7 })
    );
}

#[test]
fn the_wait_is_estimated_from_games_that_were_played() {
    let mut play = Play::tables(2);
    play.enter(1..=7);
    let wait = |play: &Play, player| play.line.estimate(play.now, &player).unwrap().as_secs();
    assert_eq!([5, 6, 7].map(|player| wait(&play, player)), [40, 40, 80]);
    play.pass(Duration::from_secs(10));
    assert_eq!([1, 5, 6, 7].map(|player| wait(&play, player)), [0, 30, 30, 70]);
    for _ in 0..40 {
        play.pass(Duration::from_secs(7));
        for table in 0..2 {
            play.take(Input::Ended { table, winner: None });
        }
        play.pass(Duration::from_secs(3));
    }
    let (first, all) = (*play.waiting().first().unwrap(), play.line.parts().game_ms);
    assert!((9_900..=10_400).contains(&all), "games take 10 s now: {all}");
    assert!(wait(&play, first) <= 10);
}

#[derive(Debug, Clone)]
enum Act {
    Enter(u32),
    Leave(u32),
    Drop(u32),
    Return(u32),
    End(usize, Option<Mark>),
    Pass(u64),
    Again,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let player = 0..14u32;
    let winner = prop_oneof![Just(None), Just(Some(Mark::X)), Just(Some(Mark::O))];
    let act = prop_oneof![
        5 => player.clone().prop_map(Act::Enter),
        2 => player.clone().prop_map(Act::Leave),
        2 => player.clone().prop_map(Act::Drop),
        2 => player.prop_map(Act::Return),
        5 => (0..3usize, winner).prop_map(|(table, winner)| Act::End(table, winner)),
        4 => (0..20_000u64).prop_map(Act::Pass),
        1 => Just(Act::Again),
    ];
    prop::collection::vec(act, 1..120)
}

/// What a careful observer knows of the line, from what was put in and what came out.
#[derive(Default)]
struct Observer {
    inside: BTreeSet<u32>,
    away: BTreeSet<u32>,
    numbers: BTreeMap<u32, u64>,
    last: u64,
}

impl Observer {
    fn see(&mut self, effects: &[Effect<u32>], line: &Line<u32>) {
        for effect in effects {
            match effect {
                Effect::Waits { player, number } => {
                    let before = self.numbers.insert(*player, *number);
                    assert!(*number > self.last || before == Some(*number), "a new number is the greatest");
                    self.last = self.last.max(*number);
                }
                Effect::Sits { player, .. } => {
                    assert!(!self.away.contains(player), "a seat for somebody who is not there");
                }
                Effect::Gone { player } => {
                    self.numbers.remove(player);
                }
                _ => {}
            }
        }
        let order: Vec<u64> = line.waiting().map(|player| self.numbers[player]).collect();
        assert!(order.is_sorted(), "by number");
        assert_eq!(line.len(), self.inside.len(), "nobody is lost, nobody is made up");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Never three at a table, never two of one mark, nobody lost, the order kept, whatever happens in whatever order; and
    /// when all are connected and games are played, everybody plays.
    #[test]
    fn the_line_holds(tables in 1..4usize, most_wins in 1..4u16, acts in acts()) {
        let mut play = Play::new(LineSettings { tables, most_wins, ..LineSettings::default() });
        let mut observer = Observer::default();
        for act in acts {
            let before = play.waiting();
            let input = match act {
                Act::Enter(player) => { observer.inside.insert(player); Input::Entered(player) }
                Act::Leave(player) => {
                    if !observer.inside.remove(&player) { continue }
                    observer.away.remove(&player);
                    Input::Left(player)
                }
                Act::Drop(player) => {
                    if !observer.inside.contains(&player) { continue }
                    observer.away.insert(player);
                    Input::Dropped(player)
                }
                Act::Return(player) => {
                    if !observer.inside.contains(&player) { continue }
                    observer.away.remove(&player);
                    Input::Returned(player)
                }
                Act::End(table, winner) => {
                    let stage = play.line.tables().get(table).map(|table| table.stage);
                    if !matches!(stage, Some(Stage::Playing { .. })) { continue }
                    Input::Ended { table, winner }
                }
                Act::Pass(ms) => { play.now = Millis(play.now.0 + ms); Input::Tick }
                Act::Again => {
                    play.line = Line::from_parts(play.line.settings(), play.line.parts().clone()).unwrap();
                    continue;
                }
            };
            let effects = play.line.take(play.now, 0, input).unwrap();
            check(&play.line);
            observer.see(&effects, &play.line);
            // Whoever waited before and after waits in the same order.
            let after = play.waiting();
            let moved: BTreeSet<u32> = effects.iter().filter_map(|effect| match effect {
                Effect::Waits { player, .. } => Some(*player),
                _ => None,
            }).collect();
            let stayed = |all: &[u32], others: &[u32]| -> Vec<u32> {
                all.iter().copied().filter(|one| others.contains(one) && !moved.contains(one)).collect()
            };
            prop_assert_eq!(stayed(&before, &after), stayed(&after, &before));
        }
        // From here on all are there and play; X always wins.
        for player in observer.inside.clone() {
            play.take(Input::Returned(player));
        }
        play.effects.clear();
        let mut played = BTreeSet::new();
        for _ in 0..(observer.inside.len() * (usize::from(most_wins) + 1) + 2) {
            for table in 0..play.line.tables().len() {
                if matches!(play.line.tables()[table].stage, Stage::Playing { .. }) {
                    played.extend(play.seats(table).into_iter().flatten());
                    play.take(Input::Ended { table, winner: Some(Mark::X) });
                }
            }
            play.pass(Duration::from_secs(3));
        }
        if observer.inside.len() >= 2 {
            prop_assert_eq!(played, observer.inside);
        }
    }
}
