//! What is done to a region, and what its players notice of it.

use super::bots::{self, Bots, Fared, Who};
use super::child::trouble;
use super::region::Region;
use super::report::{Picture, Promise, Row};
use super::sdk::Sdk;
use crate::Result;
use crate::chronicle::{QUICK, SLOW};
use crate::cli::{ChaosTask, Fault};
use everplay_client::{Connection, Event};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tokio::task::block_in_place;

const NOTHING: Promise = Promise { p50_ms: None, p99_ms: None, max_ms: None };

/// Slots of a picture: a second before, and five after.
const PICTURE: usize = 120;
const PICTURE_AFTER: u32 = 100;
/// What a poisoned room's clients are told.
const QUARANTINED: u16 = 4104;
/// Time for that.
const POISONED: Duration = Duration::from_secs(30);

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

    /// How long a zone is cut off.
    fn cut_off(self) -> Duration {
        Duration::from_secs(if self.short { 5 } else { 20 })
    }

    fn many(self) -> usize {
        if self.short { 200 } else { 1_000 }
    }
}

/// Distributions by fault and by who noticed.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    pub(super) pictures: Vec<Picture>,
}

impl Rows {
    /// Files how these fared, each kind of player in a row of its own. A fault that touches nobody of a kind has no row
    /// of theirs.
    fn add<'f>(
        &mut self,
        fault: &str,
        who: &str,
        promise: Promise,
        fared: impl IntoIterator<Item = &'f Fared>,
    ) {
        let fared: Vec<&Fared> = fared.into_iter().collect();
        for kind in Who::ALL {
            let theirs: Vec<&Fared> = fared.iter().copied().filter(|fared| fared.who == kind).collect();
            let who = format!("{}{who}", kind.prefix());
            let known = self.rows.iter().position(|row| row.fault == fault && row.who == who);
            if known.is_none() && theirs.is_empty() && kind != Who::Scribe {
                continue;
            }
            let row = known.unwrap_or_else(|| {
                self.rows.push(Row { fault: fault.to_owned(), who, times: Vec::new(), full: 0, promise });
                self.rows.len() - 1
            });
            self.rows[row].times.push(theirs.iter().map(|fared| fared.longest).collect());
            self.rows[row].full += theirs.iter().map(|fared| fared.full).sum::<u32>();
        }
    }

    /// Files what was shown around the moment at which something was done.
    fn picture(&mut self, fault: &str, bots: &Bots, at: Instant) {
        let from = at.checked_sub(Duration::from_secs(1)).unwrap_or(at);
        self.pictures.push(Picture { fault: fault.to_owned(), frames: bots.pulse(from, PICTURE) });
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
            Fault::Gateway => self.gateway().await,
            Fault::Redis => self.redis(false).await,
            Fault::RedisCut => self.redis(true).await,
            Fault::Replica => self.replica().await,
            Fault::Herd => self.herd().await,
            Fault::Poison => self.poison().await,
            Fault::Partition => self.partition().await,
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
        let at = self.bots.begin();
        self.region.nodes[victim].kill();
        if self.region.nodes.len() == 1 {
            block_in_place(|| self.region.nodes[victim].restart())?;
        }
        let fared = self.aftermath(Duration::from_secs(2), "after a node was killed").await;
        self.picture("node killed", at).await;
        self.split("node killed", &fared, &rooms, PROMISE_KILL, PROMISE_GATEWAY);
        self.cut_off("a node was killed", &fared, carried);
        block_in_place(|| self.region.nodes[victim].restart())?;
        self.region.all_ready().await
    }

    async fn freeze(&mut self) -> Result {
        self.settle().await?;
        let (victim, rooms) = self.region.busiest().await?;
        let at = self.bots.begin();
        self.region.nodes[victim].signal("STOP")?;
        let fared = self.aftermath(self.severity.frozen(), "while a node stood still").await;
        self.picture("node frozen", at).await;
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

    /// The node with the most sockets dies after it has handed its rooms over: a gateway and nothing else.
    async fn gateway(&mut self) -> Result {
        if self.region.nodes.len() == 1 {
            return Ok(());
        }
        self.settle().await?;
        let most = (0..self.region.nodes.len()).max_by_key(|n| self.region.balancer.carried(*n));
        let victim = most.unwrap_or(0);
        self.region.drain(victim).await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        self.everybody("after a node was drained").await;
        let carried = self.region.balancer.carried(victim);
        let at = self.bots.begin();
        self.region.nodes[victim].kill();
        let fared = self.aftermath(Duration::from_secs(2), "after a gateway was killed").await;
        self.picture("gateway killed", at).await;
        let dropped = fared.iter().filter(|fared| fared.dropped);
        self.rows.add("gateway killed", "sockets there", PROMISE_GATEWAY, dropped);
        let kept = fared.iter().filter(|fared| !fared.dropped);
        self.rows.add("gateway killed", "sockets elsewhere", NO_PAUSE, kept);
        self.cut_off("a gateway was killed", &fared, carried);
        block_in_place(|| self.region.nodes[victim].restart())?;
        self.region.all_ready().await
    }

    async fn redis(&mut self, cut: bool) -> Result {
        let fault = if cut { "Redis primary cut off and killed" } else { "Redis primary killed" };
        self.settle().await?;
        let at = self.bots.begin();
        block_in_place(|| {
            let redis = &mut self.region.redis;
            if cut { redis.kill_primary_cut_off(Duration::from_millis(200)) } else { redis.kill_primary() }
        })?;
        let fared = self.aftermath(Duration::from_secs(4), "after Redis failed over").await;
        self.picture(fault, at).await;
        self.rows.add(fault, "everybody", PROMISE_REDIS, &fared);
        self.cut_off("Redis failed over", &fared, 0);
        block_in_place(|| self.region.redis.mend())
    }

    async fn replica(&mut self) -> Result {
        let fault = "Redis replica killed";
        self.settle().await?;
        let at = self.bots.begin();
        block_in_place(|| self.region.redis.kill_replica())?;
        let fared = self.aftermath(Duration::from_secs(4), "after a replica of Redis was lost").await;
        self.picture(fault, at).await;
        self.rows.add(fault, "everybody", NO_PAUSE, &fared);
        self.cut_off("a replica of Redis was lost", &fared, 0);
        block_in_place(|| self.region.redis.mend())
    }

    async fn herd(&mut self) -> Result {
        let fault = "all sockets broken";
        self.settle().await?;
        let at = self.bots.begin();
        self.bots.scatter();
        let fared = self.aftermath(Duration::from_secs(3), "after all sockets broke at once").await;
        self.picture(fault, at).await;
        self.rows.add(fault, "everybody", PROMISE_GATEWAY, &fared);
        Ok(())
    }

    /// Strangers make rooms of their own panic, again and again: these rooms end, and nobody else notices.
    async fn poison(&mut self) -> Result {
        let fault = "rooms poisoned";
        self.settle().await?;
        let url = self.region.url();
        let mut strangers: Vec<Connection> = Vec::new();
        for group in 0..self.region.nodes.len() {
            let joined = bots::join(&url, QUICK, &format!("poison-{}-{group}", rand::random::<u32>())).await;
            strangers.push(joined.map_err(|error| trouble(format!("a stranger cannot join: {error}")))?);
        }
        let at = self.bots.begin();
        for stranger in strangers {
            let room = stranger.room_id().to_owned();
            match tokio::time::timeout(POISONED, poison(stranger)).await {
                Ok(QUARANTINED) => {}
                Ok(code) => self.bots.violate(format!("the poisoned room {room} closed with {code}")),
                Err(_) => self.bots.violate(format!("the poisoned room {room} goes on")),
            }
        }
        let fared = self.aftermath(Duration::from_secs(2), "while other rooms were poisoned").await;
        self.picture(fault, at).await;
        self.rows.add(fault, "everybody else", NO_PAUSE, &fared);
        self.cut_off("other rooms were poisoned", &fared, 0);
        for n in 0..self.region.nodes.len() {
            if self.region.nodes[n].has_ended() {
                self.bots.violate(format!("node {} died of a poisoned room", n + 1));
                block_in_place(|| self.region.nodes[n].restart())?;
            }
        }
        Ok(())
    }

    /// Pulls the cables of a zone, and puts them back while it still believes to own its rooms.
    async fn partition(&mut self) -> Result {
        self.settle().await?;
        let (victim, rooms) = self.region.busiest().await?;
        let zone = self.region.zone_of(victim);
        let (mut rooms, mut carried) = (rooms, 0);
        for n in &zone {
            rooms.extend(self.region.rooms_of(*n).await?);
            carried += self.region.balancer.carried(*n);
        }
        let network = self.region.network;
        let at = self.bots.begin();
        block_in_place(|| zone.iter().try_for_each(|n| network.plug(*n, false)))?;
        let fared = self.aftermath(self.severity.cut_off(), "while a zone was cut off").await;
        self.picture("zone cut off", at).await;
        self.split("zone cut off", &fared, &rooms, PROMISE_FREEZE, NOTHING);
        self.cut_off("a zone was cut off", &fared, carried);
        self.bots.begin();
        block_in_place(|| zone.iter().try_for_each(|n| network.plug(*n, true)))?;
        let fared = self.aftermath(Duration::from_secs(5), "after a zone came back").await;
        self.rows.add("zone comes back", "everybody", NO_PAUSE, &fared);
        for n in zone {
            block_in_place(|| self.region.nodes[n].restart())?;
        }
        self.region.all_ready().await
    }

    async fn rolling(&mut self) -> Result {
        for n in 0..self.region.nodes.len() {
            self.settle().await?;
            let carried = self.region.balancer.carried(n);
            let at = self.bots.begin();
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
            self.picture("rolling restart", at).await;
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
        let at = self.bots.begin();
        block_in_place(|| self.region.postgres.fail())?;
        let fared = self.aftermath(self.severity.away(), "while PostgreSQL was away").await;
        self.picture("PostgreSQL away", at).await;
        self.rows.add("PostgreSQL away", "everybody", NO_PAUSE, &fared);
        self.cut_off("PostgreSQL was away", &fared, 0);
        block_in_place(|| self.region.postgres.mend())?;
        self.region.all_ready().await
    }

    /// Keeps what was shown around that moment, once it is over.
    async fn picture(&mut self, fault: &str, at: Instant) {
        tokio::time::sleep_until((at + bots::SLOT * PICTURE_AFTER).into()).await;
        self.rows.picture(fault, self.bots, at);
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

/// Sends what makes the room panic until it has closed. The close code.
async fn poison(mut stranger: Connection) -> u16 {
    let mut again = tokio::time::interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            event = stranger.next() => match event {
                Some(Event::Closed { code, .. }) => return code,
                Some(_) => {}
                None => return 1006,
            },
            _ = again.tick() => {
                // What goes wrong is told by the next event.
                let _ = stranger.send("poison", &());
            }
        }
    }
}

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
    let mut bots = Bots::new();
    bots.scribes(&region.url(), SLOW, many, many).await?;
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
    let at = bots.begin();
    region.nodes[0].kill();
    if region.nodes.len() == 1 {
        block_in_place(|| region.nodes[0].restart())?;
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    playing("after a node with all rooms was killed").await;
    let fared = bots.fared();
    tokio::time::sleep(Duration::from_secs(1)).await;
    rows.picture("node with very many rooms killed", &bots, at);
    let theirs = |fared: &&Fared| rooms.is_empty() || rooms.contains(&fared.room);
    let kept = fared.iter().filter(|fared| !fared.dropped).filter(theirs);
    rows.add("node with very many rooms killed", "rooms there, sockets elsewhere", PROMISE_THOUSAND, kept);
    let dropped = fared.iter().filter(|fared| fared.dropped);
    rows.add("node with very many rooms killed", "sockets there", NOTHING, dropped);
    block_in_place(|| region.nodes[0].restart())?;
    region.all_ready().await?;
    Ok(bots)
}

/// The players that most faults are done to, and what there is nobody of.
pub(super) async fn players(region: &Region, task: &ChaosTask) -> Result<(Bots, Vec<String>)> {
    let (url, mut notes) = (region.url(), Vec::new());
    let sdk = match (task.sdk, Sdk::find(task.sdk_folder.as_deref())) {
        (0, _) => None,
        (_, Ok(sdk)) => Some(sdk),
        (_, Err(problem)) => {
            notes.push(format!("players that are the official SDK: {problem}"));
            None
        }
    };
    let theirs = if sdk.is_some() { task.sdk.min(task.clients) } else { 0 };
    let mut bots = Bots::new();
    bots.scribes(&url, QUICK, task.rooms, task.clients - theirs).await?;
    if let Some(sdk) = &sdk {
        eprintln!("{theirs} of the players are @colyseus/sdk {}", sdk.version);
        bots.sdks(sdk, &url, QUICK, task.rooms, theirs).await?;
    }
    if !bots.pilots(&url, task.arenas).await? {
        notes.push("arenas: this program has no room kind `spaaace`".to_owned());
    }
    notes.iter().for_each(|note| eprintln!("left out: {note}"));
    Ok((bots, notes))
}
