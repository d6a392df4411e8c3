//! Runs the rooms of one node.
//!
//! ```text
//! matchmaking -> mailbox -> host (engine) -> Step -> journal -> gate -> ClientSink
//!                                                  '-> listing -> matchmaking
//! ```
//!
//! A host owns one room: its engine, its place in the journal and its gate. The gate holds what a step wants to
//! send until the journal is durable up to that step; the room itself never waits. The registry knows the hosts,
//! matchmaking chooses among them, recovery makes them from journals at start.
//!
//! A node may be one of several: then sockets of other nodes sit in rooms here and the other way round, rooms of a node
//! that dies are taken over, and rooms move while they are played (module `cluster`).
//!
//! Calls [`everplay_room`] (rules), [`everplay_live`] (stores) and whoever implements [`ClientSink`] (sockets).
//! Never imports the gateway: the program joins the two.

mod ambient;
mod clock;
mod cluster;
mod events;
mod fan_outs;
mod gate;
mod host;
mod journal;
mod link;
mod matchmaking;
mod metrics;
mod node;
mod options;
#[cfg_attr(not(feature = "planted"), allow(dead_code, reason = "nobody plants anything"))]
mod planted;
mod recovery;
mod registry;
mod shelf;

pub use ambient::Ambient;
pub use cluster::{ClusterHandle, ClusterParts, ClusterRoom, MoveError, NodeInfo};
pub use events::{EventConsumer, Events, RoomEvent, TakeError};
pub use link::{
    Attach, AttachError, ClientSink, PushError, Relay, RelayBatch, RelayItem, RelaySeat, RoomLink,
};
pub use matchmaking::{MatchError, MatchRequest, Method, Reservation};
pub use metrics::describe_metrics;
pub use node::{Drained, Handle, Node, RestoreError, Status};
pub use options::{Kind, Limits, Options, SnapshotPolicy};
#[cfg(feature = "planted")]
pub use planted::{Bug, plant};
pub use recovery::Restored;
pub use registry::RoomInfo;
