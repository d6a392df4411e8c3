//! The ownership protocol as a small machine, searched exhaustively and breadth first.
//!
//! ```text
//! arbiter (may forget its newest grant)        3 nodes: idle -> granted -> sealing -> sealed -> read -> live
//! journal primary -- ordered, late --> replica     live: compute, append, confirm, send, freeze, thaw
//!         '- fail-over: the replica takes over     any node may die or stand still at any point
//! gateway with its clients: attach, forward, lose its memory
//! ```
//!
//! One room. Every entry has a value that is minted once, so a value also stands for the chain before it. A pause
//! needs no action of its own: the search also takes every order in which a node does nothing for long.
//!
//! What is checked in every state is listed in [`Violation`]. Each [`Rule`] can be taken away; the search then has to
//! find a shortest way to a violation. What others cover for is no rule here: both ways of it are open to the search.
//!
//! Bounds keep it finite ([`Bounds`]); within them nothing is sampled.

mod actions;
mod rules;
mod search;
mod state;

pub use actions::Action;
pub use rules::{Bounds, Judge, Rule, Rules};
pub use search::{Outcome, Step, search};
pub use state::Violation;

#[cfg(test)]
mod tests;
