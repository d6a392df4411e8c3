//! A node as the tests see it: its links, and what it is told.

#![allow(dead_code, reason = "each test file uses a part of it")]

use bytes::Bytes;
use everplay_cluster::{LinkEvent, Links};
use everplay_link::{ClusterKey, LinkOptions, Security, TcpLinks};
use everplay_types::Incarnation;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const KEY: &str = "a key for tests, of more than 32 characters";

pub(crate) struct Node {
    pub(crate) id: Incarnation,
    pub(crate) links: TcpLinks,
    pub(crate) events: UnboundedReceiver<LinkEvent>,
}

pub(crate) fn id(number: u8) -> Incarnation {
    Incarnation([number; 16])
}

pub(crate) fn keyed() -> Security {
    Security::Key(ClusterKey::new(KEY).unwrap())
}

impl Node {
    pub(crate) async fn start(number: u8, security: Security) -> Self {
        Self::with(LinkOptions::new(id(number), security)).await
    }

    pub(crate) async fn with(options: LinkOptions) -> Self {
        let id = options.me;
        let (links, events) = TcpLinks::bind(options).await.unwrap();
        Self { id, links, events }
    }

    pub(crate) fn connect(&self, other: &Self) {
        self.links.connect(other.id, other.links.advertised().to_owned());
    }

    pub(crate) fn send(&self, to: &Self, message: impl Into<Bytes>) {
        self.links.send(to.id, message.into()).unwrap();
    }

    pub(crate) async fn next(&mut self) -> LinkEvent {
        timeout(PATIENCE, self.events.recv()).await.expect("an event in time").expect("links that live")
    }

    /// The next event is this one.
    pub(crate) async fn expect(&mut self, event: LinkEvent) {
        assert_eq!(self.next().await, event);
    }

    /// Skips what comes before this event.
    pub(crate) async fn until(&mut self, event: LinkEvent) {
        while self.next().await != event {}
    }

    pub(crate) async fn message(&mut self) -> Bytes {
        match self.next().await {
            LinkEvent::Message { bytes, .. } => bytes,
            other => panic!("a message was expected, not {other:?}"),
        }
    }

    /// Nothing is told for a while.
    pub(crate) async fn quiet(&mut self, time: Duration) {
        if let Ok(event) = timeout(time, self.events.recv()).await {
            panic!("nothing was expected, not {event:?}");
        }
    }
}

/// Two nodes with a link between them; the first has the lower incarnation.
pub(crate) async fn pair(security: Security) -> (Node, Node) {
    let mut low = Node::start(1, security.clone()).await;
    let mut high = Node::start(2, security).await;
    low.connect(&high);
    high.connect(&low);
    low.expect(LinkEvent::Up { peer: high.id }).await;
    high.expect(LinkEvent::Up { peer: low.id }).await;
    (low, high)
}
