//! WebSockets: the handshake, rooms, latency probes, and sockets of the application.

mod probe;
mod rate;
mod reader;
mod transport;
pub(crate) mod upgrade;
pub(crate) mod writer;

pub use transport::{Incoming, Socket, Violation};
