//! A client for bots, load and tests: what the SDKs do, in Rust, without TLS.
//!
//! ```no_run
//! # async fn play() -> Result<(), Box<dyn std::error::Error>> {
//! use everplay_client::{Client, Event};
//!
//! let client = Client::new("http://127.0.0.1:2567")?;
//! let mut room = client.join_or_create("arena", &()).await?;
//! room.send("turn", &0.5)?;
//! while let Some(event) = room.next().await {
//!     if let Event::State { .. } = event {
//!         println!("{:?}", room.state_json());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A [`Connection`] does everything inside [`Connection::next`], also sending and reconnecting, and has no task of its
//! own: a process that plays thousands of clients decides itself how they run. `next` may be dropped at any time (in
//! a `select!`, by a timeout) without losing anything.
//!
//! Unlike the SDKs it asks for the handshake again when it reconnects, and starts from a new state.

mod client;
mod connection;
mod endpoint;
mod http;
mod reconnection;

pub use client::{Client, JoinError};
pub use connection::{Connection, Event, Payload, RequestError, SendError};
pub use endpoint::{Endpoint, EndpointError};
pub use http::HttpError;
pub use reconnection::Reconnection;

pub use everplay_schema::Decoder;
pub use everplay_wire::msgpack::Value;
pub use everplay_wire::{Dialect, OwnedMessageType, Timed};
