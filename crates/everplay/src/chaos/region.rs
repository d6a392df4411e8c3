//! A whole region on this machine: balancer, nodes, Redis behind Sentinels, PostgreSQL with a standby.
//!
//! Everything listens on free ports and keeps its files in one temporary directory. Dropping the region stops it, by the
//! ids of the processes it started. The nodes share a cluster key, as they would on several machines.

use super::balancer::Balancer;
use super::child::{Process, free_port, is_ready, trouble};
use super::network::Network;
use super::postgres::Replicated;
use super::redis::Watched;
use crate::ctl::Api;
use crate::{Error, Result};
use everplay_client::Endpoint;
use everplay_live::{
    Arbiter, GrantsOf, LiveStore, PostgresArbiter, PostgresOptions, RedisAddress, RedisLiveStore,
    RedisOptions,
};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::block_in_place;

/// Where the nodes of a region stand, in turn.
const ZONES: [&str; 3] = ["a", "b", "c"];

/// The parts, in the order in which they are stopped.
pub(super) struct Region {
    pub(super) balancer: Balancer,
    pub(super) nodes: Vec<Node>,
    /// Looks at the stores as a node does.
    live: RedisLiveStore,
    arbiter: PostgresArbiter,
    pub(super) redis: Watched,
    pub(super) postgres: Replicated,
    pub(super) network: Network,
    key: String,
    directory: TempDir,
}

/// One node and its process.
pub(super) struct Node {
    n: usize,
    pub(super) address: SocketAddr,
    process: Process,
    place: Place,
}

/// What all nodes are told.
#[derive(Clone)]
struct Place {
    network: Network,
    redis: String,
    database: String,
    key: String,
    directory: PathBuf,
    settings: Vec<(&'static str, String)>,
}

impl Region {
    /// Starts everything and waits until it takes players.
    ///
    /// `settings` are variables for every node, beside those that make it one of this region.
    pub(super) async fn start(
        nodes: usize,
        network: Network,
        settings: Vec<(&'static str, String)>,
    ) -> Result<Region> {
        let directory = tempfile::Builder::new()
            .prefix("everplay-chaos-")
            .tempdir()
            .map_err(Error::system("a temporary directory cannot be made"))?;
        // PostgreSQL runs as another user when this is root.
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o711))
            .map_err(Error::system("the temporary directory cannot be opened to PostgreSQL"))?;
        let path = directory.path();
        let (redis, postgres) = block_in_place(|| {
            network.prepare()?;
            eprintln!("starting Redis with two replicas and three Sentinels");
            let redis = Watched::start(network.host(), path)?;
            eprintln!("starting PostgreSQL with a synchronous standby");
            Ok::<_, Error>((redis, Replicated::start(network.host(), path)?))
        })?;
        let address = RedisAddress::parse(&redis.url()).map_err(|error| trouble(error.to_string()))?;
        let live = RedisLiveStore::open(RedisOptions::new(address)).await;
        let live = live.map_err(|error| trouble(format!("Redis: {error}")))?;
        let arbiter = PostgresArbiter::open(PostgresOptions::new(postgres.url())).await;
        let arbiter = arbiter.map_err(|error| trouble(format!("PostgreSQL: {error}")))?;
        eprintln!("starting {nodes} nodes and the balancer");
        let key = format!("{:032x}", rand::random::<u128>());
        let place = Place {
            network,
            redis: redis.url(),
            database: postgres.url(),
            key: key.clone(),
            directory: path.to_owned(),
            settings,
        };
        let nodes = block_in_place(|| {
            let mut started = Vec::new();
            for n in 0..nodes {
                started.push(Node::start(n, place.clone())?);
            }
            started.iter_mut().try_for_each(Node::wait)?;
            Ok::<_, Error>(started)
        })?;
        let addresses: Vec<SocketAddr> = nodes.iter().map(|node| node.address).collect();
        let balancer = Balancer::start(&addresses).await?;
        let region = Region { balancer, nodes, live, arbiter, redis, postgres, network, key, directory };
        region.all_ready().await?;
        Ok(region)
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Stops everything and leaves the files. Where they are.
    pub(super) fn keep_files(self) -> PathBuf {
        let Region { directory, .. } = self;
        directory.keep()
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.balancer.address)
    }

    /// Waits until the balancer sends players to every node.
    pub(super) async fn all_ready(&self) -> Result {
        for _ in 0..600 {
            if self.balancer.ready() == self.nodes.len() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(trouble(format!(
            "{} of {} nodes are ready after a minute",
            self.balancer.ready(),
            self.nodes.len()
        )))
    }

    /// The rooms that a node owns.
    pub(super) async fn rooms_of(&self, n: usize) -> Result<HashSet<String>> {
        let failed = |error: everplay_live::ArbiterError| trouble(format!("PostgreSQL: {error}"));
        let http = self.nodes[n].address.to_string();
        let mut rooms = HashSet::new();
        for node in self.arbiter.nodes().await.map_err(failed)? {
            if node.row.http == http {
                let grants =
                    self.arbiter.grants(GrantsOf::Owner(node.row.incarnation)).await.map_err(failed)?;
                rooms.extend(grants.into_iter().map(|(room, _)| room.room.to_string()));
            }
        }
        Ok(rooms)
    }

    /// The node that owns the most rooms, and those rooms.
    pub(super) async fn busiest(&self) -> Result<(usize, HashSet<String>)> {
        let mut busiest = (0, HashSet::new());
        for n in 0..self.nodes.len() {
            let rooms = self.rooms_of(n).await?;
            if rooms.len() > busiest.1.len() {
                busiest = (n, rooms);
            }
        }
        Ok(busiest)
    }

    /// Has a node hand its rooms over and take none, as `everplay ctl drain` does, until it has none.
    pub(super) async fn drain(&self, n: usize) -> Result {
        let asked = self.nodes[n].address.to_string();
        let endpoint: Result<Endpoint, _> = format!("http://{asked}").parse();
        let endpoint = endpoint.map_err(|error| trouble(format!("{asked}: {error}")))?;
        let api = Api::new(endpoint, self.key.clone());
        let name = api.find(&asked).await?.incarnation;
        api.post(&format!("/cluster/nodes/{name}/drain"), &serde_json::Value::Null).await?;
        for _ in 0..600 {
            if self.rooms_of(n).await?.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(trouble("a node that was drained still has rooms after a minute"))
    }

    /// The nodes that stand in the zone of this one.
    pub(super) fn zone_of(&self, n: usize) -> Vec<usize> {
        (0..self.nodes.len()).filter(|other| other % ZONES.len() == n % ZONES.len()).collect()
    }

    pub(super) fn live(&self) -> &dyn LiveStore {
        &self.live
    }
}

impl Node {
    fn start(n: usize, place: Place) -> Result<Node> {
        let address = SocketAddr::new(place.network.node(n), free_port()?);
        let process = launch(n, address, &place)?;
        Ok(Node { n, address, process, place })
    }

    fn wait(&mut self) -> Result {
        let address = self.address;
        self.process.wait_until("it was ready", || is_ready(address))
    }

    /// SIGKILL: nothing in it runs any more, not even a destructor.
    pub(super) fn kill(&mut self) {
        self.process.kill();
    }

    pub(super) fn signal(&self, signal: &str) -> Result {
        self.process.signal(signal)
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.process.has_ended()
    }

    /// Starts it again at its address, if it has ended, and does not wait.
    pub(super) fn launch(&mut self) -> Result {
        if self.process.has_ended() {
            self.process = launch(self.n, self.address, &self.place)?;
        }
        Ok(())
    }

    /// Where it stands.
    pub(super) fn zone(&self) -> &'static str {
        ZONES[self.n % ZONES.len()]
    }

    /// Starts it again at its address, if it has ended, and waits until it takes players.
    pub(super) fn restart(&mut self) -> Result {
        self.launch()?;
        self.wait()
    }
}

fn launch(n: usize, address: SocketAddr, place: &Place) -> Result<Process> {
    let Place { network, redis, database, key, directory, settings } = place;
    let name = format!("node-{}", n + 1);
    let program = std::env::current_exe().map_err(Error::system("this program cannot be found"))?;
    let mut command = network.command(n, &program)?;
    let host = address.ip().to_string();
    command.arg("serve").env_clear();
    command.env("PORT", address.port().to_string()).env("REDIS_URL", redis).env("DATABASE_URL", database);
    command.env("EVERPLAY_HOST", &host).env("EVERPLAY_LINK_HOST", &host).env("EVERPLAY_CLUSTER_KEY", key);
    command.env("EVERPLAY_BENCH_ROOMS", "true").env("EVERPLAY_ZONE", ZONES[n % ZONES.len()]);
    // All bots come from one address.
    command.env("EVERPLAY_RATE_MATCHMAKE", "1000000").env("EVERPLAY_RATE_BURST", "1000000");
    command.env("EVERPLAY_LOG", "info").env("EVERPLAY_LOG_FORMAT", "human");
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    let process = Process::start(&name, &mut command, &directory.join(format!("{name}.log")))?;
    network.join(n, process.id())?;
    Ok(process)
}
