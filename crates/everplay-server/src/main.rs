//! The program we ship: Everplay with our games and their page.

mod pages;

use everplay_spaaace::Spaaace;
use everplay_tictactoe::{TicTacToe, WaitingLine};

fn main() -> everplay::Result {
    everplay::App::new()
        .room::<TicTacToe>("tic_tac_toe")
        .filter_by(["mode"])
        .matched([("mode", "private")])
        .room::<WaitingLine>("line")
        .filter_by(["line", "tables"])
        .room::<Spaaace>("spaaace")
        .pages(pages::arcade())
        .run()
}
