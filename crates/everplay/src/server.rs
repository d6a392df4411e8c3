//! One server in this process: stores, node and gateway, from the first open file to the last closed socket.
//!
//! ```text
//! settings -> stores -> node -> listen -> restore all rooms -> ready
//! stop: no joins -> rooms durable -> sockets closed with 4010 -> stores closed
//! ```
//!
//! While rooms are being restored the listener already answers, "come back in a moment": a client that knocks early
//! is not told that its room is gone.

use crate::cluster::Cluster;
use crate::config::Config;
use crate::line::{self, PlainConnections};
use crate::pages::Pages;
use crate::pairing::RoomSeats;
use crate::rooms::NodeRooms;
use crate::services::{self, OfRooms, Services};
use crate::stores;
use crate::{Error, Result};
use everplay_api::Rates;
use everplay_gateway::{BindError, RenderMetrics, Service};
use everplay_node::{Kind, Node, Restored};
use everplay_types::{CloseCode, CustomerId};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// What a program plugs in, as opposed to what an operator sets.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) kinds: Vec<Kind>,
    /// Kinds that two can be matched for by rating, with the options of their rooms.
    pub(crate) matched: HashMap<String, Map<String, Value>>,
    pub(crate) pages: Option<Pages>,
    pub(crate) routes: axum::Router,
    /// Answers `/metrics`. Only the program installs a recorder: there is one per process.
    pub(crate) metrics: Option<RenderMetrics>,
}

/// A server that takes players. Dropped without [`stop`](Running::stop) it ends as in a crash: sockets close without a
/// word, and what clients saw is durable anyway.
pub struct Running {
    address: SocketAddr,
    restored: Restored,
    node: everplay_node::Handle,
    cluster: Option<Cluster>,
    gateway: everplay_gateway::Handle,
    serving: JoinHandle<()>,
    services: Services,
}

/// What a stop came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Rooms that play on elsewhere.
    pub rooms_moved: usize,
    /// Rooms with everything durable.
    pub rooms: usize,
    /// Rooms that were not in time: what they had not made durable was seen by nobody.
    pub rooms_late: usize,
    /// Sockets that did not close in time.
    pub sockets_late: u32,
}

pub(crate) async fn start(config: Config, parts: Parts) -> Result<Running> {
    let stores = stores::open(&config).await?;
    let mut services = Services::open(&config, &stores.live).await?;
    let redis = config.uses_redis().then(|| services.probe().clone());
    let options = everplay_node::Options {
        process_id: stores.process_id,
        customer: CustomerId::default(),
        limits: everplay_node::Limits {
            rooms: config.max_rooms,
            mailbox: config.max_mailbox,
            ..everplay_node::Limits::default()
        },
        snapshots: everplay_node::SnapshotPolicy::default(),
        ambient: everplay_node::Ambient::default(),
        events: services.events(),
    };
    // Other nodes are told the port, so it has to be known before this one joins them.
    let listening = Service::listen(gateway_options(&config)).map_err(|error| match error {
        BindError::Listen { address, source } => Error::Bind { address, source },
        BindError::Option(error) => Error::Command(error.to_string()),
    })?;
    let address = listening.address();
    let first_kind = parts.kinds.first().map(|kind| kind.kind.name().to_owned());
    let (node, cluster) = match Cluster::open(&config, &options.process_id, address).await? {
        Some((cluster, others)) => {
            let node = Node::start_in_cluster(options, parts.kinds, stores.live, stores.arbiter, others);
            (node, Some(cluster))
        }
        None => (Node::start(options, parts.kinds, stores.live, stores.arbiter), None),
    };
    let public_address = Some(config.public_address.clone()).filter(|address| !address.is_empty());
    let connections = Arc::new(PlainConnections::default());
    let seats = RoomSeats {
        node: node.clone(),
        public_address: public_address.clone(),
        kinds: parts.matched,
        levels: services.levels().clone(),
    };
    let rates = Rates::new(services::rate_policy(&config), stores.allowances.clone());
    let of_rooms = OfRooms {
        allowances: stores.allowances,
        seats: Arc::new(seats),
        connections: Arc::clone(&connections),
    };
    let rooms = Arc::new(NodeRooms {
        node: node.clone(),
        public_address,
        doors: services.doors(),
        redis,
        levels: services.levels().clone(),
        rates,
    });
    let mut app = parts.routes.merge(services.router(&config, &node, first_kind, of_rooms));
    if let Some(cluster) = &cluster {
        app = app.merge(cluster.routes(&node));
    }
    if let Some(pages) = parts.pages {
        app = app.merge(pages.framed_by(&config.frame_ancestors).router());
    }
    let plain = line::handler(node.clone(), services.levels().clone(), connections);
    let parts = everplay_gateway::Parts {
        app,
        metrics: parts.metrics,
        metrics_key: Some(config.metrics_key.0.clone()).filter(|key| !key.is_empty()),
        staff: services::staff_paths(&config),
        https: config.public_url.starts_with("https://"),
        sockets: line::PATHS.map(|path| (path.to_owned(), Arc::clone(&plain))).into(),
        upgrades: Arc::new(everplay_api::games::takes_socket),
        ..everplay_gateway::Parts::new(rooms)
    };
    let service = listening.serve(parts);
    let gateway = service.handle();
    services.serve_at(&config, address);
    let serving = tokio::spawn(service.run());
    let restored = if config.hydration { node.restore().await } else { node.start_fresh().await };
    let restored = restored.map_err(|error| Error::Restore(error.to_string()))?;
    if !config.hydration {
        let rooms = restored.stranded.len();
        tracing::warn!(
            rooms,
            "hydration is off: saved rooms stay in the store and out of play until a start with hydration"
        );
    }
    Ok(Running { address, restored, node, cluster, gateway, serving, services })
}

impl Running {
    /// Where it listens; tells the port when a free one was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came back from the stores.
    pub fn restored(&self) -> &Restored {
        &self.restored
    }

    /// The rooms, to ask about them.
    pub fn node(&self) -> &everplay_node::Handle {
        &self.node
    }

    /// The accounts, to ask about them.
    pub fn accounts(&self) -> &everplay_accounts::Accounts {
        self.services.accounts()
    }

    /// Takes no more joins, makes every room durable, closes every socket with a code that makes its client come
    /// back. Returns at the latest after `deadline`.
    pub async fn stop(mut self, deadline: Duration) -> Stopped {
        let began = Instant::now();
        self.gateway.drain();
        self.services.leave_tables();
        let drained = self.node.drain(deadline).await;
        // Sockets get what is left of the time, and a moment in any case: a close code is what brings clients back.
        let left = deadline.saturating_sub(began.elapsed()).max(Duration::from_millis(100));
        let sockets_late = self.gateway.stop(CloseCode::MAY_TRY_RECONNECT, left).await;
        // The service ends by itself after stop(); a panic in it has nothing left to spoil.
        let _ = (&mut self.serving).await;
        self.node.end().await;
        self.services.close().await;
        if let Some(cluster) = self.cluster.take() {
            cluster.close().await;
        }
        Stopped {
            rooms_moved: drained.moved,
            rooms: drained.settled,
            rooms_late: drained.unsettled,
            sockets_late,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.serving.abort();
        self.node.abandon();
    }
}

fn gateway_options(config: &Config) -> everplay_gateway::Options {
    everplay_gateway::Options {
        host: config.host,
        port: config.port,
        trusted_proxies: config.trusted_proxies.clone(),
        limits: everplay_gateway::Limits {
            connections: config.max_connections,
            connections_per_ip: config.max_connections_per_ip,
            header_bytes: config.max_headers.0,
            header_read: config.header_timeout,
            body_bytes: config.max_body.0,
            frame_bytes: config.max_frame.0,
            outbox_bytes: config.max_outbox.0,
            ping_every: config.ping_interval,
            ..everplay_gateway::Limits::default()
        },
        ..everplay_gateway::Options::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_the_settings_are_those_of_the_gateway() {
        assert_eq!(gateway_options(&Config::default()), everplay_gateway::Options::default());
    }
}
