//! A server whose rooms do on demand what a test wants to see happen: `tests/sdk` drives it with the official SDKs.
//!
//! echo          echo.rs       any message back under its type
//! world         world.rs      a state of every form, and every verb of the context
//! track         track.rs      a step, and inputs that move cars
//! the others    doors.rs      rooms that refuse, are full, or are matched by a field

mod doors;
mod echo;
mod track;
mod world;

fn main() -> everplay::Result {
    everplay::App::new()
        .room::<echo::Echo>("echo")
        .room::<world::World>("world")
        .room::<track::Track>("track")
        .room::<doors::Members>("members")
        .room::<doors::Known>("known")
        .room::<doors::Refusing>("refusing")
        .room::<doors::Unborn>("unborn")
        .room::<doors::Pair>("pair")
        .room::<doors::Pair>("mapped")
        .filter_by(["map"])
        .run()
}
