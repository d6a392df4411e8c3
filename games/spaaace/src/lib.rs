//! Spaaace for Everplay: ships, missiles and bots in a world without edges, 60 steps a second.
//!
//! - [`world`]: the torus, its grid, the headings.
//! - [`mod@step`]: what happens to ships and missiles in a step; a pure function.
//! - [`bots`]: what the bots hold down.
//! - [`pilots`]: names, and where a ship may appear.
//! - [`room`]: who flies, scores, comings and goings; its public contract is `docs/rooms/spaaace.md`.

pub mod bots;
pub mod pilots;
pub mod room;
pub mod step;
pub mod world;

pub use room::Spaaace;
