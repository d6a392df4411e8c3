//! The program we ship: Everplay with our games and their page.

mod pages;

use everplay_tictactoe::TicTacToe;

fn main() -> everplay::Result {
    everplay::App::new().room::<TicTacToe>("tic_tac_toe").filter_by(["mode"]).pages(pages::arcade()).run()
}
