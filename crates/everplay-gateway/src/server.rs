//! The listener: accepts, bounds, serves, and ends.
//!
//! ```text
//! Serving --drain--> Draining --stop--> Closing --all ended, or deadline--> Ended
//! ```
//!
//! - Draining: matchmaking is answered 503 and readiness is false; whoever plays goes on, and may come back.
//! - Closing: nothing is accepted; every room connection sends what is queued, then its close.
//! - Ended: what is left is dropped.
//!
//! Invariant: every task belongs to the tracker, and ends at `Ended` at the latest, or when the service is dropped.

use crate::http;
use crate::http::error::{Envelope, RequestId};
use crate::metrics::{Metrics, Refusal};
use crate::options::{InvalidOption, Options};
use crate::registry::Registry;
use crate::rooms::{BoxFuture, Readiness, Rooms};
use crate::socket::Socket;
use crate::watched::{SharedTurn, Turn, Watched};
use axum::Router;
use axum::http::{HeaderValue, Request, StatusCode};
use everplay_types::CloseCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// Serves a WebSocket of the application; the socket's end is the handler's.
pub type SocketHandler = Arc<dyn Fn(Socket) -> BoxFuture<'static, ()> + Send + Sync>;

/// Says of a path whether its WebSocket handshakes are the application's router's to answer.
pub type Upgrades = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Renders the program's metrics in the Prometheus text format.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// What a program plugs into the gateway.
pub struct Parts {
    /// The rooms.
    pub rooms: Arc<dyn Rooms>,
    /// Pages and routes of the application, for every path the gateway does not know. Requests carry a
    /// [`ClientInfo`](crate::ClientInfo) extension.
    pub app: Router,
    /// Answers `/metrics`; without it, the application's router is asked.
    pub metrics: Option<RenderMetrics>,
    /// Read by who shows it as a bearer token; None: by programs of this machine.
    pub metrics_key: Option<String>,
    /// What only pages of a few hosts may call.
    pub staff: StaffPaths,
    /// Whether browsers come by HTTPS: then they are told to come by nothing else.
    pub https: bool,
    /// WebSockets of the application, by exact path.
    pub sockets: HashMap<String, SocketHandler>,
    /// Paths whose handshakes go to the application's router, with a [`SocketSlot`] extension.
    pub upgrades: Upgrades,
}

impl Parts {
    /// Only rooms.
    pub fn new(rooms: Arc<dyn Rooms>) -> Self {
        let upgrades: Upgrades = Arc::new(|_| false);
        Parts {
            rooms,
            app: Router::new(),
            metrics: None,
            metrics_key: None,
            staff: StaffPaths::default(),
            https: false,
            sockets: HashMap::new(),
            upgrades,
        }
    }
}

/// Paths whose answers pages of other hosts may not read, but those named. All others may be called from any page, as games
/// are played from anywhere.
#[derive(Debug, Clone, Default)]
pub struct StaffPaths {
    /// First segments, such as `/admin`; what is below them counts too.
    pub paths: Vec<String>,
    /// Origins that may, such as `https://desk.example`.
    pub origins: Vec<String>,
}

impl StaffPaths {
    pub(crate) fn guards(&self, path: &str) -> bool {
        self.paths.iter().any(|root| {
            path.strip_prefix(root.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    pub(crate) fn comes_from(&self, origin: &HeaderValue) -> bool {
        self.origins.iter().any(|own| own.as_bytes() == origin.as_bytes())
    }
}

/// Why the gateway could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A setting makes no sense.
    #[error("setting {0}")]
    Option(#[from] InvalidOption),
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// How far the life of the gateway has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving,
    Draining,
    Closing,
    Ended,
}

impl Phase {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Phase::Serving => "serving",
            Phase::Draining => "draining",
            Phase::Closing => "closing",
            Phase::Ended => "ended",
        }
    }
}

/// What every connection needs. Never changes after the service was built, apart from the counts.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) rooms: Arc<dyn Rooms>,
    pub(crate) app: Router,
    pub(crate) render_metrics: Option<RenderMetrics>,
    pub(crate) metrics_key: Option<String>,
    pub(crate) staff: StaffPaths,
    pub(crate) https: bool,
    pub(crate) sockets_of_app: HashMap<String, SocketHandler>,
    pub(crate) upgrades: Upgrades,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) registry: Registry,
    pub(crate) tracker: TaskTracker,
    phase: watch::Sender<Phase>,
    sockets: AtomicU32,
    /// Open sockets per address, of addresses that are counted.
    per_ip: Mutex<HashMap<IpAddr, u32>>,
}

impl Shared {
    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until the gateway has come to `phase`.
    pub(crate) async fn reached(&self, phase: Phase) {
        // It fails without a sender, which lives in `self`.
        drop(self.phase.subscribe().wait_for(|current| *current >= phase).await);
    }

    pub(crate) fn takes_players(&self) -> bool {
        self.phase() == Phase::Serving
    }

    pub(crate) fn sockets(&self) -> u32 {
        self.sockets.load(Ordering::Relaxed)
    }

    pub(crate) fn readiness(&self) -> Readiness {
        match self.phase() {
            Phase::Serving => self.rooms.readiness(),
            phase => Readiness::NotReady(phase.as_str().to_owned()),
        }
    }

    /// Moves on; never back.
    fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let moves = *current < phase;
            *current = phase.max(*current);
            moves
        });
    }
}

/// An open socket's place among the counted ones. Whoever keeps a socket that was upgraded holds this as long.
#[derive(Clone)]
pub struct SocketSlot(#[expect(dead_code, reason = "held for its drop")] pub(crate) Arc<Slot>);

impl std::fmt::Debug for SocketSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SocketSlot")
    }
}

/// One open socket, counted; uncounted on drop.
pub(crate) struct Slot {
    shared: Arc<Shared>,
    /// Whose count it is part of.
    ip: Option<IpAddr>,
}

impl Slot {
    fn take(shared: &Arc<Shared>, peer: IpAddr) -> Result<Slot, Refusal> {
        let limits = &shared.options.limits;
        let peer = peer.to_canonical();
        // Only the accept loop adds, so nobody can pass between the look and the count.
        if shared.sockets() >= limits.connections {
            return Err(Refusal::Connections);
        }
        let counted = limits.connections_per_ip > 0
            && (limits.connections_per_ip_loopback || !peer.is_loopback())
            && !shared.options.trusts(peer);
        let ip = counted.then_some(peer);
        if let Some(ip) = ip {
            let mut per_ip = shared.per_ip.lock();
            let count = per_ip.entry(ip).or_insert(0);
            if *count >= limits.connections_per_ip {
                return Err(Refusal::ConnectionsPerIp);
            }
            *count += 1;
        }
        shared.sockets.fetch_add(1, Ordering::Relaxed);
        shared.metrics.sockets.increment(1);
        Ok(Slot { shared: Arc::clone(shared), ip })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.shared.sockets.fetch_sub(1, Ordering::Relaxed);
        self.shared.metrics.sockets.decrement(1);
        if let Some(ip) = self.ip {
            let mut per_ip = self.shared.per_ip.lock();
            if let Some(count) = per_ip.get_mut(&ip) {
                *count -= 1;
                if *count == 0 {
                    per_ip.remove(&ip);
                }
            }
        }
    }
}

/// The gateway, listening but not serving yet.
pub struct Service {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// A listener whose service is still to be put together, for programs that must know its port first.
pub struct Listening {
    options: Options,
    listener: TcpListener,
    address: SocketAddr,
}

impl Listening {
    /// The address in use; tells the port when a free one was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The service that answers there.
    pub fn serve(self, parts: Parts) -> Service {
        let shared = Arc::new(Shared {
            options: self.options,
            rooms: parts.rooms,
            app: parts.app,
            render_metrics: parts.metrics,
            metrics_key: parts.metrics_key,
            staff: parts.staff,
            https: parts.https,
            sockets_of_app: parts.sockets,
            upgrades: parts.upgrades,
            metrics: Arc::new(Metrics::new()),
            registry: Registry::default(),
            tracker: TaskTracker::new(),
            phase: watch::Sender::new(Phase::Serving),
            sockets: AtomicU32::new(0),
            per_ip: Mutex::default(),
        });
        Service { listener: self.listener, address: self.address, shared }
    }
}

impl Service {
    /// [`listen`](Self::listen), with all parts at hand.
    pub fn bind(options: Options, parts: Parts) -> Result<Service, BindError> {
        Ok(Self::listen(options)?.serve(parts))
    }

    /// Checks the options and listens. Nothing is accepted before [`run`](Self::run); what knocks meanwhile waits in
    /// the kernel. Must be called inside a tokio runtime.
    pub fn listen(options: Options) -> Result<Listening, BindError> {
        options.check()?;
        let address = options.address();
        let listen = || -> io::Result<TcpListener> {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // A restart must not wait for the sockets of the life before.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(options.backlog)
        };
        let failed = |source| BindError::Listen { address, source };
        let listener = listen().map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Listening { options, listener, address })
    }

    /// The address in use; tells the port when a free one was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Steers the service.
    pub fn handle(&self) -> Handle {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// Serves until [`Handle::stop`]. Dropping the future ends every connection without a word.
    pub async fn run(self) {
        let Service { listener, shared, .. } = self;
        let ends = EndOnDrop(Arc::clone(&shared));
        let mut closing = pin!(shared.reached(Phase::Closing));
        loop {
            tokio::select! {
                biased;
                () = &mut closing => break,
                accepted = listener.accept() => match accepted {
                    Ok((tcp, peer)) => admit(&shared, tcp, peer),
                    Err(error) if is_about_one_connection(&error) => {}
                    Err(error) => {
                        // Out of file descriptors, most likely: the kernel keeps the callers waiting.
                        tracing::warn!(%error, "cannot accept connections, trying again");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        drop(listener);
        shared.tracker.close();
        tokio::select! {
            () = shared.tracker.wait() => {}
            () = shared.reached(Phase::Ended) => {}
        }
        drop(ends);
    }
}

/// Ends all tasks when the service goes, however it goes.
struct EndOnDrop(Arc<Shared>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.advance(Phase::Ended);
    }
}

/// Steers a running service. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    /// Stops taking players: not ready, matchmaking answered 503. Connections go on.
    pub fn drain(&self) {
        self.shared.advance(Phase::Draining);
    }

    /// Ends every room connection after what is queued for it, and takes no new one. Returns how many there were.
    pub fn close_all(&self, code: CloseCode) -> usize {
        self.shared.advance(Phase::Closing);
        self.shared.registry.close_all(code, "the server is restarting")
    }

    /// [`close_all`](Self::close_all), then waits for all sockets to end; what is left after `deadline` is dropped.
    /// Returns how many sockets that were.
    pub async fn stop(&self, code: CloseCode, deadline: Duration) -> u32 {
        let closed = self.close_all(code);
        tracing::info!(connections = closed, "closing all connections");
        self.shared.tracker.close();
        let left = match tokio::time::timeout(deadline, self.shared.tracker.wait()).await {
            Ok(()) => 0,
            Err(_) => self.shared.sockets(),
        };
        self.shared.advance(Phase::Ended);
        left
    }

    /// Room connections now, also those that ask for their seat.
    pub fn connections(&self) -> usize {
        self.shared.registry.len()
    }

    /// Open sockets of all kinds now.
    pub fn sockets(&self) -> u32 {
        self.shared.sockets()
    }
}

/// Errors of `accept` that concern the one connection that was to be accepted (accept(2)).
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn admit(shared: &Arc<Shared>, tcp: TcpStream, peer: SocketAddr) {
    match Slot::take(shared, peer.ip()) {
        Ok(slot) => {
            prepare(&tcp, shared.options.limits.unsent_bytes);
            let shared = Arc::clone(shared);
            let tracker = shared.tracker.clone();
            tracker.spawn(serve(shared, Arc::new(slot), tcp, peer));
        }
        Err(refusal) => {
            shared.metrics.refuse(refusal);
            if shared.tracker.len() < shared.sockets() as usize + REFUSALS_AT_ONCE {
                shared.tracker.spawn(turn_away(tcp, refusal));
            }
        }
    }
}

/// Sockets over the bound that get an answer at the same time; more are just closed.
const REFUSALS_AT_ONCE: usize = 256;

/// Settings of the socket. They are optimisations: a socket that refuses them is served anyway.
fn prepare(tcp: &TcpStream, unsent_bytes: u32) {
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    #[cfg(target_os = "linux")]
    if unsent_bytes > 0
        && let Err(error) = socket2::SockRef::from(tcp).set_tcp_notsent_lowat(unsent_bytes)
    {
        tracing::debug!(%error, "no TCP_NOTSENT_LOWAT");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = unsent_bytes;
}

/// Serves HTTP on one socket until it closes, or becomes a WebSocket.
async fn serve(shared: Arc<Shared>, slot: Arc<Slot>, tcp: TcpStream, peer: SocketAddr) {
    let limits = &shared.options.limits;
    let (stream, turn) = Watched::new(tcp);
    let service = service_fn(|request: Request<Incoming>| {
        let (shared, slot, turn) = (Arc::clone(&shared), Arc::clone(&slot), Arc::clone(&turn));
        async move {
            *turn.lock() = Turn::Busy;
            let response = http::answer(&shared, &slot, peer, request).await;
            *turn.lock() = Turn::Idle;
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.keep_alive.max(limits.header_read))
        .max_headers(limits.headers as usize)
        .max_header_size(limits.header_bytes as usize)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut overdue = pin!(headers_overdue(&turn, limits.header_read));
    let served = tokio::select! {
        biased;
        served = connection.as_mut() => served,
        () = overdue.as_mut() => return shared.metrics.refuse(Refusal::HeaderTimeout),
        () = shared.reached(Phase::Closing) => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                served = connection => served,
                () = overdue => return,
                () = shared.reached(Phase::Ended) => return,
            }
        }
    };
    if let Err(error) = served {
        let refusal = if error.is_parse_too_large() {
            Refusal::HeaderSize
        } else if error.is_parse() {
            Refusal::BadRequest
        } else {
            // The client went away, or said nothing more after its last request; nothing was refused.
            return;
        };
        shared.metrics.refuse(refusal);
    }
}

/// Resolves when headers have been due for longer than `limit`, at most a fifth of it later.
async fn headers_overdue(turn: &SharedTurn, limit: Duration) {
    loop {
        let now = Instant::now();
        let look_at = match *turn.lock() {
            Turn::Head(since) if since + limit <= now => return,
            Turn::Head(since) => since + limit,
            Turn::Busy | Turn::Idle => now + limit / 5,
        };
        tokio::time::sleep_until(look_at).await;
    }
}

/// Answers a socket over the bound, without reading its request.
async fn turn_away(mut tcp: TcpStream, refusal: Refusal) {
    let id = RequestId::of(None);
    let (status, code, message) = match refusal {
        Refusal::ConnectionsPerIp => {
            let status = StatusCode::TOO_MANY_REQUESTS;
            (status, "TOO_MANY_CONNECTIONS_FROM_ADDRESS", "too many connections from this address")
        }
        _ => (
            StatusCode::SERVICE_UNAVAILABLE,
            "TOO_MANY_CONNECTIONS",
            "the server has no room for another connection",
        ),
    };
    let body = Envelope::new(status, code, message).body(&id);
    let answer = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\
         access-control-allow-origin: *\r\nretry-after: 5\r\nx-request-id: {id}\r\n\r\n{body}",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        body.len(),
    );
    let answering = async {
        if tcp.write_all(answer.as_bytes()).await.is_ok() && tcp.shutdown().await.is_ok() {
            // Unread bytes at the close would reset the connection and lose the answer.
            let mut scratch = [0; 512];
            while matches!(tcp.read(&mut scratch).await, Ok(read) if read > 0) {}
        }
    };
    // A caller who neither reads nor closes gets nothing more.
    drop(tokio::time::timeout(Duration::from_secs(1), answering).await);
}
