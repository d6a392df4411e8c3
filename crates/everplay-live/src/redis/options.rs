//! How a store on Redis is set up.

use super::address::{Discovery, RedisAddress};
use crate::Limits;
use std::fmt;
use std::num::NonZeroU8;
use std::time::Duration;

/// When a write counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// As soon as the primary has it in memory. Losing the primary loses what players saw; opening says so loudly.
    Alone,
    /// When this many replicas received it too (`WAIT`). The loss of one machine loses nothing that was seen.
    Replicas(NonZeroU8),
}

impl Durability {
    pub(super) fn replicas(self) -> u8 {
        match self {
            Durability::Alone => 0,
            Durability::Replicas(n) => n.get(),
        }
    }
}

/// How to open a [`RedisLiveStore`](crate::RedisLiveStore).
#[derive(Clone)]
pub struct RedisOptions {
    /// Where the servers are.
    pub address: RedisAddress,
    /// When a write counts. From the URL's `replicas`; without it one replica behind Sentinels, none otherwise.
    pub durability: Durability,
    /// The certificate authority of the servers, PEM. `None`: the system's and the well-known ones.
    pub root_certificate: Option<Vec<u8>>,
    /// First part of every key, for several installations on one server. Default `everplay`.
    pub prefix: String,
    /// How large things may be.
    pub limits: Limits,
    /// Connections that carry writes, each with one batch in flight. Default 2.
    pub lanes: usize,
    /// Calls that may queue per lane; beyond them the answer is `Busy`. Default 4,096.
    pub queue: usize,
    /// Bytes that may queue in all lanes. Default 64 MiB.
    pub queue_bytes: usize,
    /// Calls in one batch. Default 256.
    pub batch_calls: usize,
    /// Bytes after which a batch is closed. Default 512 KiB.
    pub batch_bytes: usize,
    /// Time for one connection, including its name's resolution, TLS and first questions. Default 300 ms.
    pub connect_timeout: Duration,
    /// How long the server waits for replicas before it says how many confirmed. Default 500 ms.
    pub wait_timeout: Duration,
    /// Time for a batch beyond `wait_timeout`; then the connection is dropped and its calls are of unknown outcome.
    /// Default 1 s.
    pub answer_timeout: Duration,
    /// How long a load is tried again while the servers change over. Default 10 s.
    pub load_patience: Duration,
    /// How long the journal of a closed room can be loaded. Default 1 hour.
    pub retention: Duration,
}

impl RedisOptions {
    /// The defaults for an address.
    pub fn new(address: RedisAddress) -> RedisOptions {
        let unsaid = if matches!(address.discovery, Discovery::Sentinels { .. }) { 1 } else { 0 };
        let replicas = NonZeroU8::new(address.replicas.unwrap_or(unsaid));
        RedisOptions {
            address,
            durability: replicas.map_or(Durability::Alone, Durability::Replicas),
            root_certificate: None,
            prefix: "everplay".to_owned(),
            limits: Limits::default(),
            lanes: 2,
            queue: 4096,
            queue_bytes: 64 << 20,
            batch_calls: 256,
            batch_bytes: 512 << 10,
            connect_timeout: Duration::from_millis(300),
            wait_timeout: Duration::from_millis(500),
            answer_timeout: Duration::from_secs(1),
            load_patience: Duration::from_secs(10),
            retention: Duration::from_secs(3600),
        }
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("address", &self.address)
            .field("durability", &self.durability)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
