//! Every rule, and every position that a game can lead to.

use super::*;
use std::collections::{HashMap, HashSet};

/// Plays cells in turn from the empty board; returns the board and what the last move led to.
fn played(cells: &[usize]) -> (Board, Result<Option<Outcome>, Illegal>) {
    let mut board = Board::default();
    let mut last = Ok(None);
    for &cell in cells {
        last = board.play(cell, board.turn());
    }
    (board, last)
}

/// All positions that games lead to, each with the number of marks on it.
fn reachable() -> HashSet<Board> {
    let mut seen = HashSet::from([Board::default()]);
    let mut open = vec![Board::default()];
    while let Some(board) = open.pop() {
        if board.outcome().is_some() {
            continue;
        }
        for cell in board.empty() {
            let mut next = board;
            next.play(cell, board.turn()).unwrap();
            if seen.insert(next) {
                open.push(next);
            }
        }
    }
    seen
}

#[test]
fn x_moves_first_and_turns_alternate() {
    let mut board = Board::default();
    assert_eq!(board.play(0, Mark::O), Err(Illegal::OutOfTurn));
    assert_eq!(board.play(0, Mark::X), Ok(None));
    assert_eq!(board.play(1, Mark::X), Err(Illegal::OutOfTurn));
    assert_eq!(board.play(1, Mark::O), Ok(None));
    assert_eq!(board.turn(), Mark::X);
}

#[test]
fn a_taken_cell_and_a_cell_that_does_not_exist_are_refused_and_change_nothing() {
    let (board, _) = played(&[4]);
    let mut tried = board;
    assert_eq!(tried.play(4, Mark::O), Err(Illegal::Occupied));
    assert_eq!(tried.play(9, Mark::O), Err(Illegal::NoSuchCell));
    assert_eq!(tried.play(usize::MAX, Mark::O), Err(Illegal::NoSuchCell));
    assert_eq!(tried, board);
}

#[test]
fn each_of_the_eight_lines_wins_for_each_side() {
    for line in LINES {
        for mark in [Mark::X, Mark::O] {
            let mut board = Board::default();
            for cell in line {
                board.0[cell] = Some(mark);
            }
            assert_eq!(board.outcome(), Some(Outcome::Win { mark, lines: vec![line] }), "{line:?} {mark}");
        }
    }
    assert_eq!(LINES.iter().collect::<HashSet<_>>().len(), 8);
}

#[test]
fn one_move_can_complete_two_lines() {
    let (_, last) = played(&[0, 1, 2, 3, 6, 5, 8, 7, 4]);
    assert_eq!(last, Ok(Some(Outcome::Win { mark: Mark::X, lines: vec![[0, 4, 8], [2, 4, 6]] })));
}

#[test]
fn a_full_board_without_a_line_is_a_draw() {
    let (board, last) = played(&[0, 1, 2, 4, 3, 5, 7, 6, 8]);
    assert_eq!(last, Ok(Some(Outcome::Draw)));
    assert_eq!(board.moves(), CELLS);
}

#[test]
fn the_ninth_move_can_win() {
    let (_, last) = played(&[0, 1, 2, 3, 4, 5, 7, 6, 8]);
    assert_eq!(last, Ok(Some(Outcome::Win { mark: Mark::X, lines: vec![[0, 4, 8]] })));
}

#[test]
fn nobody_moves_after_the_end() {
    let (mut board, last) = played(&[0, 3, 1, 4, 2]);
    assert!(matches!(last, Ok(Some(Outcome::Win { mark: Mark::X, .. }))));
    assert_eq!(board.play(5, Mark::O), Err(Illegal::Over));
    assert_eq!(board.play(5, Mark::X), Err(Illegal::Over));
}

#[test]
fn all_5478_reachable_positions_obey_the_rules() {
    let positions = reachable();
    assert_eq!(positions.len(), 5478);

    let mut ended: HashMap<&str, usize> = HashMap::new();
    for board in &positions {
        let count = |mark| (0..CELLS).filter(|&cell| board.at(cell) == Some(mark)).count();
        assert!(count(Mark::X) == count(Mark::O) || count(Mark::X) == count(Mark::O) + 1);
        assert!(!(board.holds_line(Mark::X) && board.holds_line(Mark::O)));
        match board.outcome() {
            Some(Outcome::Win { mark, lines }) => {
                assert_eq!(mark, board.turn().other(), "only who moved last can have won");
                assert!(!lines.is_empty() && lines.len() <= 2);
                *ended.entry(if mark == Mark::X { "X" } else { "O" }).or_default() += 1;
            }
            Some(Outcome::Draw) => *ended.entry("draw").or_default() += 1,
            None => assert!(board.moves() < CELLS),
        }
        for cell in 0..CELLS {
            for mark in [Mark::X, Mark::O] {
                let mut next = *board;
                let allowed = board.outcome().is_none() && board.at(cell).is_none() && mark == board.turn();
                assert_eq!(next.play(cell, mark).is_ok(), allowed);
                assert_eq!(next == *board, !allowed);
            }
        }
    }
    // The well-known number of final positions of each kind.
    assert_eq!(ended, HashMap::from([("X", 626), ("O", 316), ("draw", 16)]));
}

#[test]
fn exactly_the_reachable_positions_are_accepted_from_outside() {
    let positions = reachable();
    for code in 0..3_usize.pow(9) {
        let cells: Vec<u8> = (0..9).map(|cell| (code / 3_usize.pow(cell) % 3) as u8).collect();
        let raw = Board(std::array::from_fn(|cell| Mark::from_number(cells[cell])));
        let expected = if positions.contains(&raw) { Ok(raw) } else { Err(Unreachable) };
        assert_eq!(Board::from_cells(cells), expected, "{raw:?}");
    }
    assert_eq!(Board::from_cells([0; 8]), Err(Unreachable));
    assert_eq!(Board::from_cells([0; 10]), Err(Unreachable));
    assert_eq!(Board::from_cells([3, 0, 0, 0, 0, 0, 0, 0, 0]), Err(Unreachable));
}
