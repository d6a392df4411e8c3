//! Our side of the comparison: the program we ship, with the rooms that are compared.
//!
//! `arena` and `arena_ephemeral` come with `--bench-rooms`.

mod lobby;
mod world;

use everplay::prelude::*;
use everplay_spaaace::Spaaace;
use lobby::Lobby;
use world::World;

fn main() -> everplay::Result {
    everplay::App::new()
        .room::<Lobby>("lobby")
        .room::<Lobby>("lobby_ephemeral")
        .durability(Durability::Ephemeral)
        .room::<World>("world")
        .room::<World>("world_ephemeral")
        .durability(Durability::Ephemeral)
        .room::<Spaaace>("spaaace")
        .room::<Spaaace>("spaaace_ephemeral")
        .durability(Durability::Ephemeral)
        .run()
}
