//! What each level does, and that the perfect one cannot be beaten, whatever either side chooses.

use super::*;
use crate::rules::Outcome;
use std::collections::HashSet;

/// A board from nine characters; the turn follows from the count of marks.
fn board(cells: &str) -> Board {
    let cells = cells.chars().filter(|c| !c.is_whitespace());
    Board::from_cells(cells.map(|c| "-XO".find(c).unwrap() as u8)).unwrap()
}

/// All cells that the level may choose here.
fn choices(level: Level, board: &Board) -> HashSet<usize> {
    (0..CELLS).filter_map(|n| level.choose(board, |bound| n % bound)).collect()
}

fn check(level: Level, cells: &str, expected: impl IntoIterator<Item = usize>) {
    assert_eq!(choices(level, &board(cells)), HashSet::from_iter(expected), "{cells}");
}

#[test]
fn easy_takes_any_empty_cell() {
    check(Level::Easy, "XO- --- ---", 2..9);
    check(Level::Easy, "XX- OO- ---", [2, 5, 6, 7, 8]);
}

#[test]
fn medium_wins_before_it_blocks() {
    check(Level::Medium, "XX- OO- ---", [2]);
    check(Level::Medium, "XX- OO- X--", [5]);
}

#[test]
fn medium_really_blocks() {
    // The origin of this player compared with the wrong empty mark and never did.
    check(Level::Medium, "X-X -O- ---", [1]);
    check(Level::Medium, "X-- -O- --X", [2, 6]);
    check(Level::Medium, "OX- -X- ---", [7]);
}

#[test]
fn medium_prefers_corners_then_the_centre_then_the_rest() {
    check(Level::Medium, "--- --- ---", [0, 2, 6, 8]);
    check(Level::Medium, "X-- --- ---", [2, 6, 8]);
    check(Level::Medium, "XOX --- OXO", [4]);
    check(Level::Medium, "XOX XO- OXO", [5]);
}

#[test]
fn medium_can_be_beaten_by_two_threats() {
    assert!(lost_games(Level::Medium, Mark::O) > 0);
}

#[test]
fn perfect_takes_the_win_at_hand() {
    check(Level::Perfect, "XX- OO- ---", [2]);
    check(Level::Perfect, "OO- XX- X--", [2]);
}

#[test]
fn perfect_never_loses_whatever_both_sides_choose() {
    assert_eq!(lost_games(Level::Perfect, Mark::X), 0);
    assert_eq!(lost_games(Level::Perfect, Mark::O), 0);
}

#[test]
fn perfect_takes_every_win_that_can_be_forced() {
    // From every position it can be asked in, also ones it would never have played into.
    let mut values = vec![None; 3_usize.pow(CELLS as u32)];
    solve(&Board::default(), &mut values);
    let mut asked = 0;
    visit(&Board::default(), &mut HashSet::new(), &mut |board| {
        for cell in choices(Level::Perfect, board) {
            let value = VALUES[index(board)];
            assert_eq!(-VALUES[index(&after(board, cell))].signum(), value.signum());
            asked += 1;
        }
    });
    // 5,478 positions less the 958 final ones, at least one choice each.
    assert!(asked >= 4520, "{asked}");
    assert_eq!(values.iter().flatten().count(), 5478);
    assert_eq!(VALUES[index(&Board::default())], 0, "a game without a mistake is a draw");
}

#[test]
fn every_level_answers_every_position_with_an_empty_cell() {
    visit(&Board::default(), &mut HashSet::new(), &mut |board| {
        for level in [Level::Easy, Level::Medium, Level::Perfect] {
            let cells = choices(level, board);
            assert!(!cells.is_empty());
            assert!(cells.iter().all(|&cell| board.at(cell).is_none()));
        }
    });
}

#[test]
fn nobody_chooses_after_the_end() {
    for level in [Level::Easy, Level::Medium, Level::Perfect] {
        assert_eq!(level.choose(&board("XXX OO- ---"), |_| 0), None);
        assert_eq!(level.choose(&board("XOX XOO OXX"), |_| 0), None);
    }
}

/// In how many ways the level, playing `side` with every choice it may make, loses against any play at all.
fn lost_games(level: Level, side: Mark) -> usize {
    fn play(board: &Board, level: Level, side: Mark) -> usize {
        match board.outcome() {
            Some(Outcome::Win { mark, .. }) => usize::from(mark != side),
            Some(Outcome::Draw) => 0,
            None if board.turn() == side => {
                choices(level, board).into_iter().map(|cell| play(&after(board, cell), level, side)).sum()
            }
            None => board.empty().map(|cell| play(&after(board, cell), level, side)).sum(),
        }
    }
    play(&Board::default(), level, side)
}

/// Calls `see` for every position in which somebody may move.
fn visit(board: &Board, seen: &mut HashSet<Board>, see: &mut impl FnMut(&Board)) {
    if board.outcome().is_some() || !seen.insert(*board) {
        return;
    }
    see(board);
    for cell in board.empty() {
        visit(&after(board, cell), seen, see);
    }
}
