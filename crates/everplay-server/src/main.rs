//! The program we ship: Everplay with our games and their page.

mod pages;

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use everplay_spaaace::Spaaace;
use everplay_tictactoe::{TicTacToe, WaitingLine};

fn main() -> everplay::Result {
    everplay::App::new()
        .room::<TicTacToe>("tic_tac_toe")
        .filter_by(["mode"])
        .filter_defaults([("mode", "quick")])
        .matched([("mode", "private")])
        .room::<WaitingLine>("line")
        .filter_by(["line", "tables"])
        .filter_defaults([("line", "main")])
        .filter_defaults([("tables", 1)])
        .room::<Spaaace>("spaaace")
        .pages(pages::arcade())
        // An address of the page for links to this game; what they say after `#` stays.
        .routes(Router::new().route("/app/TTT", get(|| async { Redirect::permanent("/") })))
        .run()
}
