//! Links between nodes of one process: ordered, instant, and cut or killed on demand.

use super::{Stores, options};
use bytes::Bytes;
use everplay_cluster::{LinkEvent, Links, SendError, Timing};
use everplay_live::NodeRow;
use everplay_node::{ClusterParts, Handle, Kind, Node, Options};
use everplay_types::{Incarnation, ProcessId};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::mpsc;

/// What carries the messages.
#[derive(Clone, Default)]
pub(crate) struct Hub(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    nodes: BTreeMap<Incarnation, mpsc::UnboundedSender<LinkEvent>>,
    asked: BTreeSet<(Incarnation, Incarnation)>,
    up: BTreeSet<(Incarnation, Incarnation)>,
    cut: BTreeSet<(Incarnation, Incarnation)>,
    /// Nodes that were killed.
    gone: BTreeSet<Incarnation>,
}

fn pair(a: Incarnation, b: Incarnation) -> (Incarnation, Incarnation) {
    (a.min(b), a.max(b))
}

impl Inner {
    fn tell(&self, node: Incarnation, event: LinkEvent) {
        if let Some(events) = self.nodes.get(&node) {
            let _ = events.send(event);
        }
    }

    /// Links whom both sides asked for.
    fn settle(&mut self) {
        let asked: Vec<_> = self.asked.iter().copied().collect();
        for (from, to) in asked {
            if self.gone.contains(&from) {
                self.asked.remove(&(from, to));
                continue;
            }
            if self.gone.contains(&to) {
                self.asked.remove(&(from, to));
                self.tell(from, LinkEvent::Gone { peer: to });
                continue;
            }
            let both = self.asked.contains(&(to, from));
            if both && !self.cut.contains(&pair(from, to)) && self.up.insert(pair(from, to)) {
                self.tell(from, LinkEvent::Up { peer: to });
                self.tell(to, LinkEvent::Up { peer: from });
            }
        }
    }

    fn down(&mut self, a: Incarnation, b: Incarnation) {
        if self.up.remove(&pair(a, b)) {
            self.tell(a, LinkEvent::Down { peer: b });
            self.tell(b, LinkEvent::Down { peer: a });
        }
    }
}

impl Hub {
    /// A node of this number on these stores, once it has joined the others.
    pub(crate) async fn node(&self, stores: &Stores, number: u8, kinds: Vec<Kind>) -> Handle {
        let process_id = ProcessId::new(format!("p{number}")).expect("an id");
        let options = Options { process_id, ..options() };
        let (live, arbiter) = (Arc::new(stores.live.clone()), Arc::new(stores.arbiter.clone()));
        let node = Node::start_in_cluster(options, kinds, live, arbiter, self.parts(number));
        node.restore().await.expect("it joins");
        node
    }

    /// A new node's end.
    pub(crate) fn parts(&self, number: u8) -> ClusterParts {
        let me = Incarnation([number; 16]);
        let (sender, events) = mpsc::unbounded_channel();
        self.0.lock().nodes.insert(me, sender);
        let row = NodeRow {
            incarnation: me,
            process_id: ProcessId::new(format!("p{number}")).expect("an id"),
            address: format!("hub:{number}"),
            http: String::new(),
            version: "test".to_owned(),
            zone: String::new(),
        };
        ClusterParts {
            links: Arc::new(End { me, hub: self.clone() }),
            events,
            row,
            timing: Timing::default(),
        }
    }

    /// The node's process ends: its links break and its address refuses.
    pub(crate) fn kill(&self, number: u8) {
        let node = Incarnation([number; 16]);
        let mut inner = self.0.lock();
        inner.gone.insert(node);
        inner.nodes.remove(&node);
        let peers: Vec<Incarnation> = inner.nodes.keys().copied().collect();
        peers.iter().for_each(|peer| inner.down(node, *peer));
        inner.settle();
    }

    /// Breaks the link of two nodes and keeps it broken.
    pub(crate) fn cut(&self, a: u8, b: u8) {
        let (a, b) = (Incarnation([a; 16]), Incarnation([b; 16]));
        let mut inner = self.0.lock();
        inner.cut.insert(pair(a, b));
        inner.down(a, b);
    }

    pub(crate) fn mend(&self, a: u8, b: u8) {
        let mut inner = self.0.lock();
        inner.cut.remove(&pair(Incarnation([a; 16]), Incarnation([b; 16])));
        inner.settle();
    }
}

struct End {
    me: Incarnation,
    hub: Hub,
}

impl Links for End {
    fn connect(&self, peer: Incarnation, _address: String) {
        let mut inner = self.hub.0.lock();
        inner.asked.insert((self.me, peer));
        inner.settle();
    }

    fn forget(&self, peer: Incarnation) {
        let mut inner = self.hub.0.lock();
        inner.asked.remove(&(self.me, peer));
        inner.down(self.me, peer);
    }

    fn send(&self, peer: Incarnation, message: Bytes) -> Result<(), SendError> {
        let inner = self.hub.0.lock();
        if !inner.up.contains(&pair(self.me, peer)) {
            return Err(SendError::NotConnected);
        }
        inner.tell(peer, LinkEvent::Message { peer: self.me, bytes: message });
        Ok(())
    }

    fn queued(&self, _peer: Incarnation) -> usize {
        0
    }
}
