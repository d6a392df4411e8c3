//! A whole region on this machine: balancer, nodes, Redis behind Sentinels, PostgreSQL with a standby.
//!
//! Everything listens on free ports of 127.0.0.1 and keeps its files in one temporary directory. Dropping the region
//! stops it, by the ids of the processes it started.

use super::balancer::Balancer;
use super::child::{Process, at, free_port, is_ready, trouble};
use super::postgres::Replicated;
use super::redis::Watched;
use crate::{Error, Result};
use everplay_live::{
    Arbiter, GrantsOf, LiveStore, PostgresArbiter, PostgresOptions, RedisAddress, RedisLiveStore,
    RedisOptions,
};
use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
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
    directory: TempDir,
}

/// One node and its process.
pub(super) struct Node {
    name: String,
    pub(super) port: u16,
    process: Process,
    redis: String,
    database: String,
    log: PathBuf,
}

impl Region {
    pub(super) async fn start(nodes: usize) -> Result<Region> {
        let directory = tempfile::Builder::new()
            .prefix("everplay-chaos-")
            .tempdir()
            .map_err(Error::system("a temporary directory cannot be made"))?;
        // PostgreSQL runs as another user when this is root.
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o711))
            .map_err(Error::system("the temporary directory cannot be opened to PostgreSQL"))?;
        let path = directory.path();
        let (redis, postgres) = block_in_place(|| {
            eprintln!("starting Redis with two replicas and three Sentinels");
            let redis = Watched::start(path)?;
            eprintln!("starting PostgreSQL with a synchronous standby");
            Ok::<_, Error>((redis, Replicated::start(path)?))
        })?;
        let address = RedisAddress::parse(&redis.url()).map_err(|error| trouble(error.to_string()))?;
        let live = RedisLiveStore::open(RedisOptions::new(address)).await;
        let live = live.map_err(|error| trouble(format!("Redis: {error}")))?;
        let arbiter = PostgresArbiter::open(PostgresOptions::new(postgres.url())).await;
        let arbiter = arbiter.map_err(|error| trouble(format!("PostgreSQL: {error}")))?;
        eprintln!("starting {nodes} nodes and the balancer");
        let nodes = block_in_place(|| {
            let mut started = Vec::new();
            for n in 0..nodes {
                started.push(Node::start(n, path, redis.url(), postgres.url())?);
            }
            started.iter_mut().try_for_each(Node::wait)?;
            Ok::<_, Error>(started)
        })?;
        let ports: Vec<u16> = nodes.iter().map(|node| node.port).collect();
        let balancer = Balancer::start(&ports).await?;
        let region = Region { balancer, nodes, live, arbiter, redis, postgres, directory };
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
        let http = at(self.nodes[n].port).to_string();
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

    pub(super) fn live(&self) -> &dyn LiveStore {
        &self.live
    }
}

impl Node {
    fn start(n: usize, directory: &Path, redis: String, database: String) -> Result<Node> {
        let (name, port) = (format!("node-{}", n + 1), free_port()?);
        let log = directory.join(format!("{name}.log"));
        let zone = ZONES[n % ZONES.len()];
        let process = launch(&name, port, zone, &redis, &database, &log)?;
        Ok(Node { name, port, process, redis, database, log })
    }

    fn wait(&mut self) -> Result {
        let port = self.port;
        self.process.wait_until("it was ready", || is_ready(port))
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

    /// Starts it again at its port, if it has ended, and waits until it takes players.
    pub(super) fn restart(&mut self) -> Result {
        if self.process.has_ended() {
            let zone = ZONES[usize::from(self.name.bytes().last().unwrap_or(b'1') - b'1') % ZONES.len()];
            let Node { name, port, redis, database, log, .. } = &*self;
            self.process = launch(name, *port, zone, redis, database, log)?;
        }
        self.wait()
    }
}

fn launch(name: &str, port: u16, zone: &str, redis: &str, database: &str, log: &Path) -> Result<Process> {
    let program = std::env::current_exe().map_err(Error::system("this program cannot be found"))?;
    let mut command = Command::new(program);
    command.arg("serve").env_clear();
    command.env("PORT", port.to_string()).env("REDIS_URL", redis).env("DATABASE_URL", database);
    command.env("EVERPLAY_BENCH_ROOMS", "true").env("EVERPLAY_ZONE", zone);
    command.env("EVERPLAY_LOG", "info").env("EVERPLAY_LOG_FORMAT", "human");
    Process::start(name, &mut command, log)
}
