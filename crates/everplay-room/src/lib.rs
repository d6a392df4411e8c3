//! The [`Room`] trait and the pure engine that runs one room.
//!
//! ```text
//! Input (seat, socket, frame, time) -> Engine -> Step { record for the journal, what leaves once it is durable }
//! ```
//!
//! The engine performs nothing: no clock, socket, file, thread or ambient randomness. The node feeds it and
//! carries out its effects; tests and simulations drive the same code by hand.
//!
//! Always holds: everything that must survive is in one of two replicated trees, the author's state and the
//! engine's [`ledger`]; both are journaled by the same patches that make up the record of a step. Whatever
//! leaves a step was computed from state that is in that step's record or an earlier one.

#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]

mod catch_up;
mod client;
mod context;
mod effects;
mod engine;
mod input;
mod inputs;
mod kind;
pub mod ledger;
mod messages;
mod outbox;
mod record;
mod refusal;
mod rewind;
mod rng;
mod room;
mod settings;

pub use catch_up::{CATCH_UP_BYTES, CatchUp, Missed, RECENT_BYTES};
pub use client::Client;
pub use context::{Context, TimerId};
pub use effects::{FrameKind, Listing, Out, Recipients, Reply, ReserveError, Step};
pub use engine::{Engine, GRACE_AFTER_RESTORE, REATTACH_WINDOW};
pub use input::{ConnId, Connect, Input, Reattach, Ticket};
pub use kind::{Absent, AuthRequest, Birth, ReviveError, RoomEngine, RoomKind, RoomType};
pub use messages::{InputMeta, InputSettings, Messages};
pub use outbox::{OUTBOX_BYTES, OUTBOX_EVENTS, OutboxFull, Outgoing, Waiting};
pub use record::{Event, Record, RecordError, Section, Sent, Snapshot, To, marker};
pub use refusal::Refusal;
pub use rewind::{Moment, Place, Rewind};
pub use rng::RoomRng;
pub use room::{Leave, Room};
pub use settings::{Durability, Settings};
