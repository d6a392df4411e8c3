//! Takes over rooms of nodes that died.
//!
//! The arbiter lists what a dead node owned. Each survivor takes the rooms that placement gives it, many at once; in each
//! further round it also takes those whose earlier places in line did not act. The arbiter's compare-and-set makes two
//! takers harmless, and the journal's fence makes a mistaken death cost one move.

use crate::metrics as names;
use crate::node::Node;
use crate::planted::{self, Bug};
use crate::recovery::{Outcome, adopt};
use everplay_cluster::{Candidate, rank};
use everplay_live::{Grant, GrantsOf};
use everplay_types::{Incarnation, RoomKey};
use futures_util::StreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Before the second round: nodes whose counts of rooms were a moment apart may each have left a room to the other.
const SECOND: Duration = Duration::from_millis(100);
/// Between the rounds after it: long enough for those before in line to have taken a room.
const ROUND: Duration = Duration::from_millis(400);

/// Rounds for one dead node; the sweep for rooms without a living owner goes on after them.
const ROUNDS: usize = 20;

/// Rooms taken at the same time.
const AT_ONCE: usize = 64;

/// Takes this node's share of a dead node's rooms, until none is left or the node lives.
pub(super) async fn take_over(node: Arc<Node>, dead: Incarnation) {
    let Some(cluster) = node.cluster() else { return };
    let began = Instant::now();
    let mut taken = 0;
    for round in 0..ROUNDS {
        if cluster.members.lock().is_alive(dead) {
            return;
        }
        match node.arbiter.grants(GrantsOf::Owner(dead)).await {
            Ok(grants) if grants.is_empty() => {
                // Nothing more is to be looked for under its name.
                if let Err(error) = node.arbiter.leave(dead).await {
                    tracing::warn!(node = %dead, %error, "the dead node is still listed");
                }
                break;
            }
            Ok(grants) => {
                tracing::debug!(node = %dead, round, rooms = grants.len(), "it owned rooms");
                taken += take(&node, grants, round).await;
            }
            // Nobody can take rooms over without the arbiter; those that run play on.
            Err(error) => tracing::warn!(node = %dead, %error, "its rooms cannot be asked for"),
        }
        tokio::time::sleep(if round == 0 { SECOND } else { ROUND }).await;
    }
    if taken > 0 {
        metrics::histogram!(names::TAKEOVER_SECONDS).record(began.elapsed());
    }
}

/// Takes rooms that belong to no node that is listed or alive: what earlier starts left behind.
pub(super) async fn take_orphans(node: &Arc<Node>, round: usize) -> usize {
    let Some(cluster) = node.cluster() else { return 0 };
    let listed = match node.arbiter.nodes().await {
        Ok(leases) => leases,
        Err(error) => {
            tracing::warn!(%error, "the nodes cannot be listed");
            return 0;
        }
    };
    let mut owners: Vec<Incarnation> = {
        let members = cluster.members.lock();
        // A node that is listed and not known yet was just started.
        let dead = |node: Incarnation| members.get(node).is_some_and(|member| member.dead);
        let listed = listed.iter().map(|lease| lease.row.incarnation).filter(|node| !dead(*node));
        listed.chain(members.alive().map(|member| member.row.node)).collect()
    };
    owners.push(node.incarnation);
    owners.sort_unstable();
    owners.dedup();
    match node.arbiter.grants(GrantsOf::NotOf(owners)).await {
        Ok(grants) => take(node, grants, round).await,
        Err(error) => {
            tracing::warn!(%error, "rooms without an owner cannot be asked for");
            0
        }
    }
}

/// Between two looks at strays.
const STRAYS: Duration = Duration::from_millis(250);

impl Node {
    /// The room may have been granted to this node, which did not come to run it: the arbiter or the store did not answer.
    /// Others leave it alone, because its owner lives.
    pub(crate) fn stray(&self, room: RoomKey) {
        if let Some(cluster) = self.cluster()
            && !planted::is(Bug::LeavesStrays)
        {
            cluster.strays.lock().insert(room);
        }
    }

    /// Goes on with strays until each is live, or another's.
    pub(super) async fn keep_strays(self: Arc<Self>) {
        let Some(cluster) = self.cluster() else { return };
        loop {
            tokio::time::sleep(STRAYS).await;
            let strays: Vec<RoomKey> = cluster.strays.lock().iter().cloned().collect();
            for room in strays {
                if self.settle_stray(&room).await {
                    cluster.strays.lock().remove(&room);
                }
            }
        }
    }

    async fn settle_stray(self: &Arc<Self>, room: &RoomKey) -> bool {
        match self.arbiter.current(room.clone()).await {
            Ok(Some(grant)) if grant.owner == self.incarnation => {
                let here =
                    self.registry.get(&room.room).is_some_and(|entry| entry.epoch() >= grant.token.epoch);
                here || !matches!(adopt(self, room.clone(), grant).await, Outcome::Stranded(..))
            }
            Ok(_) => true,
            Err(_) => false,
        }
    }
}

async fn take(node: &Arc<Node>, grants: Vec<(RoomKey, Grant)>, round: usize) -> usize {
    let candidates = node.candidates();
    let mut heirs: BTreeMap<Incarnation, Vec<Candidate>> = BTreeMap::new();
    let mine: Vec<(RoomKey, Grant)> = grants
        .into_iter()
        .filter(|(room, grant)| {
            let heirs = heirs.entry(grant.owner).or_insert_with(|| node.heirs(&candidates, grant.owner));
            in_line(room, heirs, node.incarnation).is_some_and(|rank| rank <= round)
        })
        .collect();
    let mut outcomes = futures_util::stream::iter(mine)
        .map(|(room, grant)| async move { (room.clone(), adopt(node, room, grant).await) })
        .buffer_unordered(AT_ONCE);
    let mut taken = 0;
    while let Some((room, outcome)) = outcomes.next().await {
        match outcome {
            Outcome::Live => taken += 1,
            Outcome::Ended | Outcome::Quarantined(..) => {}
            Outcome::Stranded(_, reason) => {
                tracing::debug!(room.id = %room.room, reason, "not taken over from here");
            }
        }
    }
    metrics::counter!(names::ROOMS_RESTORED).increment(taken as u64);
    taken
}

fn in_line(room: &RoomKey, candidates: &[Candidate], me: Incarnation) -> Option<usize> {
    rank(room.room.as_str(), candidates, me)
}
