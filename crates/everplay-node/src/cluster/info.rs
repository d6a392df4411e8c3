//! What people and tools ask of the cluster.

use super::MoveError;
use crate::node::{Handle, Node};
use everplay_cluster::{Answer, Control, Message, Request};
use everplay_room::Listing;
use everplay_types::{Epoch, Incarnation, RoomId, Seq};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long another node may take to do what an operator asked.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long an operator's drain may go on; rooms that are left stay where they are.
const DRAIN: Duration = Duration::from_secs(60);

/// A node of the cluster as another one sees it.
#[derive(Debug, Clone, Serialize)]
pub struct NodeInfo {
    /// This start of it.
    pub incarnation: String,
    /// First segment of its rooms' URLs.
    pub process: String,
    /// Where its gateway listens.
    pub http: String,
    /// Where its links end.
    pub link: String,
    /// Of its program.
    pub version: String,
    /// Where it stands; empty when nobody said.
    pub zone: String,
    /// It is the one that was asked.
    pub me: bool,
    /// `alive`, `dead`, or `unlinked` when nothing is heard of it yet.
    pub state: &'static str,
    /// It takes no rooms and hands its own over.
    pub draining: bool,
    /// Rooms it runs.
    pub rooms: u32,
    /// Bytes queued for it.
    pub queued: usize,
}

/// A room of the cluster.
#[derive(Debug, Clone, Serialize)]
pub struct ClusterRoom {
    /// Its id.
    pub id: RoomId,
    /// Its kind's name.
    pub kind: String,
    /// The node that runs it.
    pub owner: String,
    /// How often it changed owner.
    pub epoch: Epoch,
    /// Its last durable record when its line was last told.
    pub seq: Seq,
    /// Wall time of its creation in ms since 1970.
    pub created_at: u64,
    /// What matchmaking knows of it.
    pub listing: Listing,
}

/// The cluster, to ask and to tell. Cheap to clone.
#[derive(Clone)]
pub struct ClusterHandle(Arc<Node>);

impl Handle {
    /// The cluster this node is part of; None when it runs alone.
    pub fn cluster(&self) -> Option<ClusterHandle> {
        self.node().cluster().map(|_| ClusterHandle(Arc::clone(self.node())))
    }
}

impl ClusterHandle {
    /// This node's incarnation.
    pub fn me(&self) -> Incarnation {
        self.0.incarnation
    }

    /// Every node, this one first.
    pub fn nodes(&self) -> Vec<NodeInfo> {
        let Some(cluster) = self.0.cluster() else { return Vec::new() };
        let me = NodeInfo {
            incarnation: self.0.incarnation.to_string(),
            process: self.0.options.process_id.to_string(),
            http: cluster.row.http.clone(),
            link: cluster.row.address.clone(),
            version: cluster.row.version.clone(),
            zone: cluster.row.zone.clone(),
            me: true,
            state: "alive",
            draining: cluster.is_draining(),
            rooms: self.0.rooms(),
            queued: 0,
        };
        let mut rooms: BTreeMap<Incarnation, u32> = BTreeMap::new();
        for (owner, _) in cluster.view.lock().all() {
            *rooms.entry(owner).or_default() += 1;
        }
        let members = cluster.members.lock();
        let others = members.all().map(|member| NodeInfo {
            incarnation: member.row.node.to_string(),
            process: member.row.process.clone(),
            http: member.row.http.clone(),
            link: member.row.address.clone(),
            version: member.row.version.clone(),
            zone: member.row.zone.clone(),
            me: false,
            state: match (member.dead, member.linked) {
                (true, _) => "dead",
                (false, true) => "alive",
                (false, false) => "unlinked",
            },
            draining: member.row.draining,
            // What it told of its rooms is newer than its row.
            rooms: rooms.get(&member.row.node).copied().unwrap_or(0),
            queued: cluster.links.queued(member.row.node),
        });
        std::iter::once(me).chain(others).collect()
    }

    /// Every room that some living node runs, oldest first.
    pub fn rooms(&self) -> Vec<ClusterRoom> {
        let Some(cluster) = self.0.cluster() else { return Vec::new() };
        let me = self.0.incarnation;
        let mut rooms: Vec<ClusterRoom> = self
            .0
            .registry
            .entries()
            .iter()
            .filter(|entry| entry.is_listed())
            .map(|entry| (me, self.0.line(entry)))
            .chain(cluster.view.lock().all().map(|(owner, line)| (owner, line.clone())))
            .map(|(owner, line)| ClusterRoom {
                id: line.id,
                kind: line.kind,
                owner: owner.to_string(),
                epoch: line.epoch,
                seq: line.seq,
                created_at: line.created_at,
                listing: line.listing,
            })
            .collect();
        rooms.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        rooms
    }

    /// Sockets this node holds, and how many of them wait while their room's owner is sought.
    pub fn sockets(&self) -> (usize, usize) {
        self.0.cluster().map_or((0, 0), |cluster| cluster.seats.count())
    }

    /// Moves a room, whichever node runs it.
    pub async fn move_room(&self, room: RoomId, to: Incarnation) -> Result<(), MoveError> {
        if self.0.registry.get(&room).is_some() {
            return self.0.hand_over(&room, to).await;
        }
        let cluster = self.0.cluster().ok_or(MoveError::NotHere)?;
        let owner = cluster.view.lock().get(&room).map(|(owner, _)| owner).ok_or(MoveError::NotHere)?;
        if owner == to {
            return Err(MoveError::There);
        }
        self.tell(owner, Request::Move { room, to }).await
    }

    /// Marks a node: it takes no rooms and hands its own over, or takes rooms again. Returns when the node has heard it.
    pub async fn set_draining(&self, node: Incarnation, draining: bool) -> Result<(), MoveError> {
        if node == self.0.incarnation {
            self.0.drain_by_operator(draining);
            return Ok(());
        }
        self.tell(node, Request::Drain { draining }).await
    }

    async fn tell(&self, node: Incarnation, request: Request) -> Result<(), MoveError> {
        let cluster = self.0.cluster().ok_or(MoveError::NoSuchNode)?;
        let asked = cluster
            .asks
            .ask(&*cluster.links, node, PATIENCE, |id| Message::Control(Control::Ask { id, request }));
        match asked.await {
            Ok(Answer::Done) => Ok(()),
            Ok(Answer::NotHere) => Err(MoveError::NotHere),
            Ok(Answer::Refused { message, .. }) => Err(MoveError::Refused(message)),
            Ok(_) => Err(MoveError::Refused("its answer makes no sense".to_owned())),
            Err(error) => Err(MoveError::Refused(error.to_string())),
        }
    }
}

impl Node {
    pub(super) fn drain_by_operator(self: &Arc<Self>, draining: bool) {
        self.set_draining(draining);
        if draining {
            let node = Arc::clone(self);
            self.spawn(async move {
                let moved = node.hand_over_all(Instant::now() + DRAIN).await;
                tracing::info!(moved, left = node.registry.len(), "drained on an operator's word");
            });
        }
    }
}
