//! The rules of several nodes: what they tell each other, who counts as alive, who takes which room.
//!
//! Pure: no clock, socket or task. Time is an argument, and what is to be done comes back as a value, so a simulation runs
//! the same code as a cluster.

#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]

mod links;

pub use links::{LinkEvent, Links, SendError};
