//! What is done to a region, and what its players notice of it.

use super::bots::{Bots, Fared};
use super::child::trouble;
use super::region::Region;
use super::report::{Promise, Row};
use crate::Result;
use crate::chronicle::{QUICK, SLOW};
use crate::cli::Fault;
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tokio::task::block_in_place;

const NOTHING: Promise = Promise { p50_ms: None, p99_ms: None, max_ms: None };

/// A room's step, twice: that much is no pause.
const NO_PAUSE: Promise = Promise { p99_ms: Some(100), ..NOTHING };

/// How hard a run is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Severity {
    pub(super) short: bool,
}

impl Severity {
    fn frozen(self) -> Duration {
        Duration::from_secs(if self.short { 5 } else { 30 })
    }

    fn away(self) -> Duration {
        Duration::from_secs(if self.short { 10 } else { 60 })
    }

    fn many(self) -> usize {
        if self.short { 200 } else { 1_000 }
    }
}

/// Distributions by fault and by who noticed.
#[derive(Debug, Default)]
pub(super) struct Rows(Vec<Row>);

impl Rows {
    pub(super) fn into_inner(self) -> Vec<Row> {
        self.0
    }

    fn add<'f>(
        &mut self,
        fault: &'static str,
        who: &'static str,
        promise: Promise,
        fared: impl IntoIterator<Item = &'f Fared>,
    ) {
        let row = match self.0.iter().position(|row| row.fault == fault && row.who == who) {
            Some(row) => row,
            None => {
                self.0.push(Row { fault, who, pauses: Vec::new(), full: 0, promise });
                self.0.len() - 1
            }
        };
        for fared in fared {
            self.0[row].pauses.push(fared.longest);
            self.0[row].full += fared.full;
        }
    }
}

/// Players in the midst of it.
pub(super) struct Scene<'r> {
    pub(super) region: &'r mut Region,
    pub(super) bots: &'r Bots,
    pub(super) severity: Severity,
    pub(super) rows: &'r mut Rows,
}

impl Scene<'_> {
    pub(super) async fn suffer(&mut self, fault: Fault) -> Result {
        match fault {
            Fault::Kill => self.kill().await,
            Fault::Freeze => self.freeze().await,
            Fault::Redis => self.redis().await,
            Fault::Rolling => self.rolling().await,
            Fault::Arbiter => self.arbiter().await,
            Fault::Thousand => Ok(()),
        }
    }

    /// How long players wait on this machine when nothing is done to the region: what the other rows begin with.
    pub(super) async fn yardstick(&mut self) -> Result {
        self.settle().await?;
        self.bots.begin();
        let fared = self.aftermath(self.severity.frozen(), "though nothing was done").await;
        self.rows.add("nothing", "everybody", NOTHING, &fared);
        Ok(())
    }

    /// Everybody plays for a moment before anything is done.
    async fn settle(&self) -> Result {
        self.region.all_ready().await?;
        tokio::time::sleep(Duration::from_millis(500 + rand::random::<u64>() % 1_000)).await;
        self.everybody("before anything was done").await;
        Ok(())
    }

    async fn everybody(&self, when: &str) {
        let silent = self.bots.all_playing(Duration::from_millis(500)).await;
        if silent > 0 {
            self.bots.violate(format!("{silent} players were shown nothing any more {when}"));
        }
    }

    /// Waits until everybody plays again, at least this long. How they fared.
    async fn aftermath(&self, at_least: Duration, when: &str) -> Vec<Fared> {
        tokio::time::sleep(at_least).await;
        self.everybody(when).await;
        self.bots.fared()
    }

    async fn kill(&mut self) -> Result {
        self.settle().await?;
        let (victim, rooms) = self.region.busiest().await?;
        let carried = self.region.balancer.carried(victim);
        self.bots.begin();
        self.region.nodes[victim].kill();
        if self.region.nodes.len() == 1 {
            block_in_place(|| self.region.nodes[victim].restart())?;
        }
        let fared = self.aftermath(Duration::from_secs(2), "after a node was killed").await;
        self.split("node killed", &fared, &rooms, PROMISE_KILL, PROMISE_GATEWAY);
        self.cut_off("a node was killed", &fared, carried);
        block_in_place(|| self.region.nodes[victim].restart())?;
        self.region.all_ready().await
    }

    async fn freeze(&mut self) -> Result {
        self.settle().await?;
        let (victim, rooms) = self.region.busiest().await?;
        self.bots.begin();
        self.region.nodes[victim].signal("STOP")?;
        let fared = self.aftermath(self.severity.frozen(), "while a node stood still").await;
        self.split("node frozen", &fared, &rooms, PROMISE_FREEZE, NOTHING);
        // It wakes up believing that the rooms are its own.
        self.bots.begin();
        self.region.nodes[victim].signal("CONT")?;
        let fared = self.aftermath(Duration::from_secs(3), "after a node woke up").await;
        self.rows.add("node wakes up", "everybody", NO_PAUSE, &fared);
        if self.region.nodes[victim].has_ended() {
            block_in_place(|| self.region.nodes[victim].restart())?;
        }
        self.region.all_ready().await
    }

    async fn redis(&mut self) -> Result {
        self.settle().await?;
        self.bots.begin();
        block_in_place(|| self.region.redis.kill_primary_cut_off(Duration::from_millis(200)))?;
        let fared = self.aftermath(Duration::from_secs(4), "after Redis failed over").await;
        self.rows.add("Redis primary cut off and killed", "everybody", PROMISE_REDIS, &fared);
        self.cut_off("Redis failed over", &fared, 0);
        block_in_place(|| self.region.redis.mend())
    }

    async fn rolling(&mut self) -> Result {
        for n in 0..self.region.nodes.len() {
            self.settle().await?;
            let carried = self.region.balancer.carried(n);
            self.bots.begin();
            self.region.nodes[n].signal("TERM")?;
            let start = Instant::now();
            while !self.region.nodes[n].has_ended() {
                if start.elapsed() > Duration::from_secs(60) {
                    return Err(trouble("a node that was asked to stop runs on after a minute"));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if self.region.nodes.len() == 1 {
                block_in_place(|| self.region.nodes[n].restart())?;
            }
            let fared = self.aftermath(Duration::from_secs(1), "after a node was asked to stop").await;
            let stayed = fared.iter().filter(|fared| !fared.dropped);
            self.rows.add("rolling restart", "sockets on nodes that stay", PROMISE_ROLLING, stayed);
            let moved = fared.iter().filter(|fared| fared.dropped);
            self.rows.add("rolling restart", "sockets on the node that goes", PROMISE_GATEWAY, moved);
            self.cut_off("a node was asked to stop", &fared, carried);
            block_in_place(|| self.region.nodes[n].restart())?;
        }
        self.region.all_ready().await
    }

    async fn arbiter(&mut self) -> Result {
        self.settle().await?;
        self.bots.begin();
        block_in_place(|| self.region.postgres.fail())?;
        let fared = self.aftermath(self.severity.away(), "while PostgreSQL was away").await;
        self.rows.add("PostgreSQL away", "everybody", NO_PAUSE, &fared);
        self.cut_off("PostgreSQL was away", &fared, 0);
        block_in_place(|| self.region.postgres.mend())?;
        self.region.all_ready().await
    }

    /// Files players by what the victim had of theirs.
    fn split(
        &mut self,
        fault: &'static str,
        fared: &[Fared],
        rooms: &HashSet<String>,
        room_only: Promise,
        socket: Promise,
    ) {
        let theirs = |fared: &&Fared| rooms.is_empty() || rooms.contains(&fared.room);
        let kept = fared.iter().filter(|fared| !fared.dropped);
        self.rows.add(fault, "rooms there, sockets elsewhere", room_only, kept.clone().filter(theirs));
        self.rows.add(fault, "sockets there", socket, fared.iter().filter(|fared| fared.dropped));
        self.rows.add(fault, "neither", NO_PAUSE, kept.filter(|fared| !theirs(fared)));
    }

    /// No more players may lose their sockets than the node had that was struck.
    fn cut_off(&self, when: &str, fared: &[Fared], carried: usize) {
        let dropped = fared.iter().filter(|fared| fared.dropped).count();
        if dropped > carried {
            self.bots.violate(format!(
                "{dropped} players lost their sockets when {when}, which carried {carried}"
            ));
        }
    }
}

const PROMISE_KILL: Promise = Promise { p50_ms: Some(150), p99_ms: Some(500), ..NOTHING };
const PROMISE_GATEWAY: Promise = Promise { p50_ms: Some(1_000), p99_ms: Some(3_000), ..NOTHING };
const PROMISE_FREEZE: Promise = Promise { p99_ms: Some(1_500), ..NOTHING };
const PROMISE_REDIS: Promise = Promise { max_ms: Some(4_000), ..NOTHING };
const PROMISE_ROLLING: Promise = Promise { p99_ms: Some(200), ..NOTHING };
/// Two seconds after detection, and a step of these rooms before the first frame.
const PROMISE_THOUSAND: Promise = Promise { max_ms: Some(2_500), ..NOTHING };

/// Puts very many rooms on one node, their players' sockets on all, and kills it. The players, for the check of what
/// they saw.
pub(super) async fn thousand(region: &mut Region, severity: Severity, rows: &mut Rows) -> Result<Bots> {
    let others = 1..region.nodes.len();
    for n in others.clone() {
        region.nodes[n].kill();
    }
    while region.balancer.ready() > 1 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let many = severity.many();
    eprintln!("{many} rooms on one node");
    let bots = Bots::join(&region.url(), SLOW, many, many).await?;
    block_in_place(|| others.clone().try_for_each(|n| region.nodes[n].restart()))?;
    region.all_ready().await?;
    bots.scatter();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let playing = async |when: &str| {
        let silent = bots.all_playing(Duration::from_secs(2)).await;
        if silent > 0 {
            bots.violate(format!("{silent} of {many} players were shown nothing any more {when}"));
        }
    };
    playing("before anything was done").await;
    let rooms = region.rooms_of(0).await?;
    bots.begin();
    region.nodes[0].kill();
    if region.nodes.len() == 1 {
        block_in_place(|| region.nodes[0].restart())?;
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    playing("after a node with all rooms was killed").await;
    let fared = bots.fared();
    let theirs = |fared: &&Fared| rooms.is_empty() || rooms.contains(&fared.room);
    let kept = fared.iter().filter(|fared| !fared.dropped).filter(theirs);
    rows.add("node with very many rooms killed", "rooms there, sockets elsewhere", PROMISE_THOUSAND, kept);
    let dropped = fared.iter().filter(|fared| fared.dropped);
    rows.add("node with very many rooms killed", "sockets there", NOTHING, dropped);
    block_in_place(|| region.nodes[0].restart())?;
    region.all_ready().await?;
    Ok(bots)
}

/// The players that most faults are done to.
pub(super) async fn players(region: &Region, rooms: usize, clients: usize) -> Result<Bots> {
    Bots::join(&region.url(), QUICK, rooms, clients).await
}
