//! Links between nodes: one authenticated TCP connection for each two of them, as
//! [`everplay_cluster::Links`] asks for.
//!
//! - [`TcpLinks`] accepts and dials, and keeps the table of peers.
//! - [`LinkOptions`] says where to listen, how sessions are secured, and the bounds and times.
//! - [`ClusterKey`] is the secret all nodes of a cluster share.
//!
//! What goes over a connection, in order: TLS 1.3 (unless both ends are on loopback and ask for none), the exchange of
//! `hello`, then frames as in `frame`. A connection that breaks any rule is closed; nothing is skipped over.

mod accept;
mod connection;
mod dial;
mod frame;
mod hello;
mod key;
mod links;
mod metrics;
mod options;
mod peer;
mod stream;
mod throttle;
mod tls;

pub use key::{ClusterKey, KeyTooShort};
pub use links::TcpLinks;
pub use metrics::describe_metrics;
pub use options::{AddressError, BindError, Certificates, LinkOptions, Security};
