//! Where links listen, how they are secured, their bounds and times.

use crate::key::ClusterKey;
use everplay_types::Incarnation;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// What [`TcpLinks::bind`](crate::TcpLinks::bind) needs to know.
#[derive(Debug, Clone)]
pub struct LinkOptions {
    /// Where this node waits for others. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// What others are told to dial, `host:port`; `None` for the address listened on.
    pub advertised: Option<String>,
    /// Who this process is.
    pub me: Incarnation,
    /// How connections are secured.
    pub security: Security,
    /// Time between two signs of life on a link with nothing to say. Default 100 ms.
    pub heartbeat: Duration,
    /// Time without any byte after which a peer is called silent. Default 500 ms: five heartbeats.
    pub silence: Duration,
    /// Bytes queued for one peer. Default 64 MiB. One more: the link is reset.
    pub queue_bytes: usize,
    /// Bytes of one message. Default 32 MiB. A longer one resets the link, at either end.
    pub max_message: usize,
    /// Time for a TCP connection to stand. Default 300 ms.
    pub connect_timeout: Duration,
    /// Time for TLS and the greeting on a connection that stands. Default 1 s.
    pub hello_timeout: Duration,
    /// Time for what was written to be taken by the peer's machine. Default 5 s. Then the link is down; the peer was called
    /// silent long before.
    pub user_timeout: Duration,
    /// Connections that were accepted and have not proved who they are. Default 64. One more is closed at once.
    pub strangers: usize,
}

impl LinkOptions {
    /// A node that listens on a free port of the loopback address, with everything else at its default.
    pub fn new(me: Incarnation, security: Security) -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            advertised: None,
            me,
            security,
            heartbeat: Duration::from_millis(100),
            silence: Duration::from_millis(500),
            queue_bytes: 64 << 20,
            max_message: 32 << 20,
            connect_timeout: Duration::from_millis(300),
            hello_timeout: Duration::from_secs(1),
            user_timeout: Duration::from_secs(5),
            strangers: 64,
        }
    }
}

/// How the two ends of a link know each other.
#[derive(Debug, Clone)]
pub enum Security {
    /// Not at all, in clear text. Loopback only: anything else is refused.
    Plain,
    /// TLS 1.3 between keys made at start; then each end proves that it has the cluster's key, bound to that very session.
    Key(ClusterKey),
    /// TLS 1.3 with certificates of one authority at both ends.
    Certificates(Certificates),
}

/// Certificates of a node, all as PEM text.
#[derive(Clone)]
pub struct Certificates {
    /// The node's certificate, followed by those between it and the authority.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
    /// The authority. Whoever has a certificate of it is a node: it must sign for nothing else. Names in certificates are
    /// not compared, because nodes come and go under any address.
    pub authority: Vec<u8>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates(hidden)")
    }
}

/// Why a node does not listen for links.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Clear text is for one machine.
    #[error("links at {address} need a cluster key or certificates: only loopback addresses go without")]
    Plain {
        /// Where it should have listened.
        address: SocketAddr,
    },
    /// Others cannot dial "everywhere".
    #[error("links listen at {address}: say under which address other nodes reach it")]
    Advertised {
        /// Where it listens.
        address: SocketAddr,
    },
    /// The address is taken or not this machine's.
    #[error("cannot listen for links at {address}")]
    Listen {
        /// Where it should have listened.
        address: SocketAddr,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The certificates or their key cannot be used.
    #[error("the {what} of the links cannot be used: {reason}")]
    Certificates {
        /// Which part.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// The library of cryptography refused to begin.
    #[error("TLS cannot be set up: {reason}")]
    Tls {
        /// Why.
        reason: String,
    },
}

/// Why a node is not found where others are told to dial.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The others would take this node for dead as soon as they call.
    #[error("nobody listens at {address}, where other nodes are told to reach this one")]
    Refused {
        /// What they are told.
        address: String,
    },
    /// The others would take this node for replaced by that one.
    #[error("another node ({node}) answers at {address}, where other nodes are told to reach this one")]
    Other {
        /// What they are told.
        address: String,
        /// Who it is.
        node: Incarnation,
    },
    /// Others may still reach it: networks exist where a machine does not reach its own outer address.
    #[error("{address}, where other nodes are told to reach this one, does not answer here: {reason}")]
    Silent {
        /// What they are told.
        address: String,
        /// Why.
        reason: String,
    },
}
