//! A TCP balancer as small as one can be: each connection goes to the next node that says it is ready.
//!
//! A node that is not ready gets no new connections and keeps those it has, so that a drain is not a cut. One that does
//! not answer at all for [`DOWN_AFTER`] loses them: its clients would wait for ever on sockets that stay open, as they
//! do when a machine stands still. (HAProxy calls this `on-marked-down shutdown-sessions`.)

use super::child::READY;
use crate::{Error, Result};
use parking_lot::Mutex;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Between two questions to a node.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// Time for an answer, and for a connection.
const PATIENCE: Duration = Duration::from_millis(300);
/// Silence after which a node's connections are closed.
const DOWN_AFTER: Duration = Duration::from_secs(1);
/// How long a client is held while no node is ready.
const HOLD: Duration = Duration::from_secs(2);

/// Listens until it is dropped.
#[derive(Debug)]
pub(super) struct Balancer {
    pub(super) address: SocketAddr,
    nodes: Arc<[Node]>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Node {
    address: SocketAddr,
    ready: AtomicBool,
    /// Open connections to it.
    carried: AtomicUsize,
    /// Raised to close the connections to it.
    cut: watch::Sender<u32>,
    heard: Mutex<Instant>,
}

impl Balancer {
    pub(super) async fn start(addresses: &[SocketAddr]) -> Result<Balancer> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(Error::system("the balancer cannot listen"))?;
        let address = listener.local_addr().map_err(Error::system("the balancer cannot listen"))?;
        let node = |address: &SocketAddr| Node {
            address: *address,
            ready: AtomicBool::new(false),
            carried: AtomicUsize::new(0),
            cut: watch::Sender::new(0),
            heard: Mutex::new(Instant::now()),
        };
        let nodes: Arc<[Node]> = addresses.iter().map(node).collect();
        let mut tasks = JoinSet::new();
        for n in 0..nodes.len() {
            tasks.spawn(ask(Arc::clone(&nodes), n));
        }
        tasks.spawn(accept(listener, Arc::clone(&nodes)));
        Ok(Balancer { address, nodes, _tasks: tasks })
    }

    /// Connections that a node has now.
    pub(super) fn carried(&self, n: usize) -> usize {
        self.nodes[n].carried.load(Ordering::Relaxed)
    }

    /// Whether a node takes connections now.
    pub(super) fn is_ready(&self, n: usize) -> bool {
        self.nodes[n].ready.load(Ordering::Relaxed)
    }

    /// Nodes that take connections now.
    pub(super) fn ready(&self) -> usize {
        self.nodes.iter().filter(|node| node.ready.load(Ordering::Relaxed)).count()
    }
}

async fn ask(nodes: Arc<[Node]>, n: usize) {
    let node = &nodes[n];
    let mut every = tokio::time::interval(ASK_EVERY);
    loop {
        every.tick().await;
        let answer = timeout(PATIENCE, answer(node.address)).await.ok().and_then(|answer| answer.ok());
        node.ready.store(answer == Some(true), Ordering::Relaxed);
        let mut heard = node.heard.lock();
        match answer {
            Some(_) => *heard = Instant::now(),
            None if heard.elapsed() > DOWN_AFTER => {
                *heard = Instant::now();
                node.cut.send_modify(|cut| *cut += 1);
            }
            None => {}
        }
    }
}

async fn answer(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(READY.as_bytes()).await?;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await?;
    Ok(&status == b"HTTP/1.1 200")
}

async fn accept(listener: TcpListener, nodes: Arc<[Node]>) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A client that is gone already, or no descriptor left: the next one may have more luck.
                let Ok((client, _)) = accepted else { continue };
                connections.spawn(carry(client, Arc::clone(&nodes), Arc::clone(&next)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(mut client: TcpStream, nodes: Arc<[Node]>, next: Arc<AtomicUsize>) {
    let Some((node, mut server)) = connect(&nodes, &next).await else { return };
    let mut cut = node.cut.subscribe();
    // Small frames must not wait for each other. A socket that is gone says so with the first byte.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    node.carried.fetch_add(1, Ordering::Relaxed);
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = cut.changed() => {}
    }
    node.carried.fetch_sub(1, Ordering::Relaxed);
}

async fn connect<'n>(nodes: &'n [Node], next: &AtomicUsize) -> Option<(&'n Node, TcpStream)> {
    let start = Instant::now();
    while start.elapsed() < HOLD {
        for _ in 0..nodes.len() {
            let node = &nodes[next.fetch_add(1, Ordering::Relaxed) % nodes.len()];
            if !node.ready.load(Ordering::Relaxed) {
                continue;
            }
            if let Ok(Ok(server)) = timeout(PATIENCE, TcpStream::connect(node.address)).await {
                return Some((node, server));
            }
            node.ready.store(false, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    None
}
