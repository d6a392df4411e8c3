//! Who plays whom: the waiting line of many tables, and tickets matched by rating.
//!
//! ```text
//! players, results, time -> Line -> seats, places, games that begin or break off
//! tickets, answers, time -> Pool -> proposals, matches, tickets that lapse
//! ```
//!
//! Pure: no clock, socket, task or chance. Time is an argument, and what follows comes back as a value, so that the same
//! code runs in a room, in a service and in a test that plays thousands of orders of events.

#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod line;
pub mod tickets;

pub use line::{Line, LineSettings};
pub use tickets::{Pool, PoolSettings, SavedPool};
