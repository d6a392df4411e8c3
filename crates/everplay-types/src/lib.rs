//! Ids, counters, codes and limits that more than one crate speaks of.
//!
//! Pure values: no clock, socket, file or randomness. A type lives here only when two crates need it.

#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]

mod codes;
mod identity;
mod ids;
mod ownership;
mod service;
mod time;

pub use codes::{CloseCode, ErrorCode};
pub use identity::{Identity, Role, Roles};
pub use ids::{AccountId, CustomerId, IdError, LoginId, MAX_ID_LEN, ProcessId, RoomId, RoomKey, SessionId};
pub use ownership::{Epoch, Incarnation, Nonce, Seq, Token};
pub use service::ServiceLevel;
pub use time::{Millis, timestamp};
