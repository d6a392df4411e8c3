//! Who plays: accounts, sessions, roles, keys of servers, and the record of privileged acts.
mod access;

pub use access::{Permission, Principal, ServerKey, allows};
