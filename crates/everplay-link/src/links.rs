//! The table of peers, and the port the node speaks to.

use crate::metrics::Flow;
use crate::options::{AddressError, BindError, LinkOptions, Security};
use crate::peer::{Link, Peer};
use crate::throttle::Throttle;
use crate::tls::Securing;
use crate::{accept, dial};
use bytes::Bytes;
use everplay_cluster::{LinkEvent, Links, SendError};
use everplay_types::Incarnation;
use parking_lot::RwLock;
use socket2::SockRef;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};
use tracing::warn;

/// The links of this process over TCP. Dropping it breaks them all; [`close`](TcpLinks::close) ends them in order.
///
/// Events come through an unbounded channel so that reading never waits for the node: whoever has the receiving end must
/// take from it without waiting for anything else. What it holds was sent by nodes that proved they belong here, each of
/// which is slowed by its own link.
pub struct TcpLinks {
    shared: Arc<Shared>,
    runtime: Handle,
    events: UnboundedSender<LinkEvent>,
    listening: AbortHandle,
    address: SocketAddr,
    advertised: String,
}

/// What all tasks of the links know.
pub(crate) struct Shared {
    pub(crate) options: LinkOptions,
    pub(crate) securing: Securing,
    pub(crate) flow: Flow,
    pub(crate) wrong_key: Throttle,
    pub(crate) odd_caller: Throttle,
    peers: RwLock<HashMap<Incarnation, (Arc<Peer>, AbortHandle)>>,
}

impl Shared {
    /// A peer this node was asked to have a link with.
    pub(crate) fn peer(&self, id: Incarnation) -> Option<Arc<Peer>> {
        self.peers.read().get(&id).map(|(peer, _)| Arc::clone(peer))
    }

    /// Settings of every socket between nodes.
    pub(crate) fn prepare(&self, socket: &TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        #[cfg(target_os = "linux")]
        SockRef::from(socket).set_tcp_user_timeout(Some(self.options.user_timeout))?;
        Ok(())
    }
}

impl TcpLinks {
    /// Listens, on the current runtime: its tasks give the signs of life, so a runtime that stands still is found silent.
    pub async fn bind(options: LinkOptions) -> Result<(Self, UnboundedReceiver<LinkEvent>), BindError> {
        let listen = options.listen;
        if matches!(options.security, Security::Plain) && !listen.ip().is_loopback() {
            return Err(BindError::Plain { address: listen });
        }
        if listen.ip().is_unspecified() && options.advertised.is_none() {
            return Err(BindError::Advertised { address: listen });
        }
        let securing = Securing::new(&options.security)?;
        let failed = |source| BindError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let advertised = options.advertised.clone().unwrap_or_else(|| address.to_string());
        let shared = Arc::new(Shared {
            options,
            securing,
            flow: Flow::new(),
            wrong_key: Throttle::default(),
            odd_caller: Throttle::default(),
            peers: RwLock::default(),
        });
        let (events, receiver) = unbounded_channel();
        let listening = tokio::spawn(accept::run(Arc::clone(&shared), listener)).abort_handle();
        let runtime = Handle::current();
        Ok((Self { shared, runtime, events, listening, address, advertised }, receiver))
    }

    /// Where this node listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What other nodes are to dial.
    pub fn advertised(&self) -> &str {
        &self.advertised
    }

    /// Calls what other nodes are to dial, and looks whether it is this node that answers. Errors: it is not, or nobody
    /// does.
    pub async fn find_myself(&self) -> Result<(), AddressError> {
        dial::find_myself(&self.shared, &self.advertised).await
    }

    /// Writes what is queued, for at most `patience`, and ends all links. From then on nobody can be reached: the other
    /// nodes take this one for gone.
    pub async fn close(&self, patience: Duration) {
        self.listening.abort();
        let links: Vec<Arc<Link>> = {
            let peers = self.shared.peers.read();
            peers.values().for_each(|(_, dialling)| dialling.abort());
            peers.values().filter_map(|(peer, _)| peer.link()).collect()
        };
        links.iter().for_each(|link| link.finish());
        let end = Instant::now() + patience;
        loop {
            let open = self.shared.peers.read().values().filter(|(peer, _)| peer.link().is_some()).count();
            if open == 0 {
                break;
            }
            if Instant::now() >= end {
                warn!(links = open, "links were ended before everything was written");
                break;
            }
            sleep(Duration::from_millis(2)).await;
        }
        self.end();
    }

    fn end(&self) {
        self.listening.abort();
        for (_, (peer, dialling)) in self.shared.peers.write().drain() {
            dialling.abort();
            peer.forget();
        }
    }
}

impl Drop for TcpLinks {
    fn drop(&mut self) {
        self.end();
    }
}

impl Links for TcpLinks {
    fn connect(&self, peer: Incarnation, address: String) {
        if peer == self.shared.options.me {
            return;
        }
        let mut peers = self.shared.peers.write();
        if let Some((known, _)) = peers.get(&peer) {
            known.move_to(address);
            return;
        }
        let new = Peer::new(peer, address, self.events.clone());
        let dialling =
            self.runtime.spawn(dial::run(Arc::clone(&self.shared), Arc::clone(&new))).abort_handle();
        peers.insert(peer, (new, dialling));
    }

    fn forget(&self, peer: Incarnation) {
        if let Some((peer, dialling)) = self.shared.peers.write().remove(&peer) {
            dialling.abort();
            peer.forget();
        }
    }

    fn send(&self, peer: Incarnation, message: Bytes) -> Result<(), SendError> {
        let peers = self.shared.peers.read();
        let Some((peer, _)) = peers.get(&peer) else { return Err(SendError::NotConnected) };
        peer.send(message, self.shared.options.queue_bytes, self.shared.options.max_message)
    }

    fn queued(&self, peer: Incarnation) -> usize {
        self.shared.peers.read().get(&peer).map_or(0, |(peer, _)| peer.queued())
    }
}
