//! The port of the links between nodes: one ordered, authenticated connection per pair.

use bytes::Bytes;
use everplay_types::Incarnation;
use thiserror::Error;

/// The links of one node to all others.
///
/// What an implementor owes:
/// - **Order.** Messages to one peer arrive whole, in the order of the calls, or the link breaks: nothing is ever lost
///   from the middle. After a break what was queued is gone, and both sides are told with [`LinkEvent::Down`].
/// - **Identity.** A message told to come from a peer was sent by the process that has this incarnation and the
///   cluster's secret.
/// - **Bounds.** Queues are bounded; a full one breaks the link.
/// - No method waits.
pub trait Links: Send + Sync {
    /// Keeps a link to this peer until [`forget`](Links::forget), dialling again and again. Of two nodes the one with the
    /// lower incarnation dials; both must ask. Repeated calls change nothing but the address.
    fn connect(&self, peer: Incarnation, address: String);

    /// Closes the link and stops dialling.
    fn forget(&self, peer: Incarnation);

    /// Queues one message.
    fn send(&self, peer: Incarnation, message: Bytes) -> Result<(), SendError>;

    /// Bytes queued for the peer and not yet written; 0 without a link. For back-pressure.
    fn queued(&self, peer: Incarnation) -> usize;
}

/// Why a message was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendError {
    /// There is no link at the moment.
    #[error("there is no link to the node")]
    NotConnected,
    /// The queue was full; the link was reset.
    #[error("the link to the node was full and was reset")]
    Full,
}

/// What happens on the links, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// The link stands; both sides know each other.
    Up {
        /// The other node.
        peer: Incarnation,
    },
    /// A message came.
    Message {
        /// From this node.
        peer: Incarnation,
        /// As given to [`Links::send`].
        bytes: Bytes,
    },
    /// The link broke. It is dialled again.
    Down {
        /// The other node.
        peer: Incarnation,
    },
    /// The link stands and nothing was heard for too long. Told once until [`LinkEvent::Heard`].
    Silent {
        /// The other node.
        peer: Incarnation,
    },
    /// A silent peer speaks again.
    Heard {
        /// The other node.
        peer: Incarnation,
    },
    /// The peer's process has ended: its address refuses connections, or another incarnation answers there.
    Gone {
        /// The node that was.
        peer: Incarnation,
    },
}
