//! A whole cluster in one thread, from one seed.
//!
//! ```text
//! clients <-frames-> nodes (the real ones, each on a runtime of its own) <-messages-> nodes
//!                      |  calls
//!                      v
//!           store with a late replica, arbiter      World: time, order, chance, faults
//! ```
//!
//! Every node runs as it does in the program, on a current-thread runtime whose clock stands still. The simulator lets
//! each of them run for a moment, in an order drawn anew every time. What leaves a node (store calls, messages to
//! other nodes, frames to clients) goes through [`World`](world::World), which decides when it arrives, whether it
//! does, and in what order. To freeze a node is not to let it run; to kill it is to drop its runtime; to let its
//! clock jump is to advance it.
//!
//! A run has a time of faults, then everything heals and must play again. What must hold is checked while it runs, by
//! the clients ([`client`]) and beside the journal ([`checks`]).
//!
//! Invariant: nothing here reads a clock, a thread or a random source, so that a seed is enough to see a run again.

pub(crate) mod arbiter;
pub(crate) mod checks;
pub(crate) mod client;
pub(crate) mod faults;
pub(crate) mod room;
pub(crate) mod run;
pub(crate) mod store;
pub(crate) mod wires;
pub(crate) mod world;

#[cfg(test)]
mod tests;
