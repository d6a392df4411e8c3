//! Checks the ownership protocol in two ways.
//!
//! | module | what runs | what it covers |
//! |---|---|---|
//! | [`model`] | a small abstract machine, every interleaving | the rules: which are needed, which are not |
//! | `sim` | the real nodes over pretend stores, links and sockets, sampled by seed | the program: whether it follows them |
//!
//! The page is `docs/simulation.md`.

pub mod model;
mod planted;
mod sim;

pub use planted::Planted;
pub use sim::run::{Plan, Report, run};
pub use sim::world::{Failure, Property};
