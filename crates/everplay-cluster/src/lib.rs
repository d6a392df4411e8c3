//! The rules of several nodes: what they tell each other, who counts as alive, who takes which room.
//!
//! ```text
//! roster, link events, time -> Members -> connect, forget, tell, dead
//! dead node's rooms, members -> successors -> the rooms this node takes
//! ```
//!
//! Pure: no clock, socket or task. Time is an argument, and what is to be done comes back as a value, so a simulation runs
//! the same code as a cluster. [`Links`] is the port through which messages travel.

#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]

mod links;
mod members;
mod message;
mod placement;

pub use links::{LinkEvent, Links, SendError};
pub use members::{Effect, Member, Members, Row, Timing};
pub use message::{
    Answer, Control, Delivery, Item, Message, MessageError, Offer, Request, RoomLine, SeatClaim, SeatKept,
};
pub use placement::{Candidate, rank, successor};
