//! Moves a room to another node while it is played.
//!
//! ```text
//! owner                      gateways                 successor
//! Hold  ------------------->  keep frames
//!       <-------------------  Held
//! freeze: all taken processed, durable, released
//! Offer (image, position) ------------------------->  grant, seal, position equal? -> image | journal
//!       <-------------------------------------------  Done, live
//! release: host ends         <----------------------  Room (its line): re-attached, what was kept is sent
//! ```
//!
//! A hand-over is an optimisation of a take-over: whatever goes wrong after the offer, the arbiter says whose the room is.
//! The successor's image is the journal's only if position and chain are those it sealed; else it reads the journal.

use super::asks::AskError;
use crate::host::{Command, Control as HostControl, Frozen};
use crate::metrics as names;
use crate::node::{Node, Registered};
use crate::recovery::{Adopted, adopt_image};
use crate::registry::RoomEntry;
use bytes::Bytes;
use everplay_cluster::{Answer, Control, Message, Offer};
use everplay_live::{Chain, Position};
use everplay_types::{Incarnation, RoomId};
use futures_util::StreamExt;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long gateways may take to keep frames back.
const HOLD: Duration = Duration::from_millis(500);
/// How long a room may take to stand still.
const FREEZE: Duration = Duration::from_millis(1_500);
/// How long the successor may take to be live.
const OFFER: Duration = Duration::from_secs(3);

/// Rooms that move at the same time when a node drains.
const MOVES_AT_ONCE: usize = 32;
/// How often a room is offered before it is left to a take-over.
const MOVE_TRIES: usize = 3;

/// Why a room did not move. It plays on where it was, or where the arbiter says.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MoveError {
    /// It is not on this node.
    #[error("the room is not on this node")]
    NotHere,
    /// There is no such node, or it is not alive, or it drains.
    #[error("the node cannot take rooms")]
    NoSuchNode,
    /// It is where it should go.
    #[error("the room is on that node already")]
    There,
    /// A node that holds its sockets did not answer in time.
    #[error("a gateway did not keep its clients' frames back in time")]
    NotHeld,
    /// It did not come to a durable stand in time, or ended meanwhile.
    #[error("the room did not stand still in time")]
    NotStill,
    /// The other node did not take it.
    #[error("the other node did not take the room: {0}")]
    Refused(String),
}

impl Node {
    /// Moves one room of this node; it is live there when this returns.
    pub(crate) async fn hand_over(self: &Arc<Self>, room: &RoomId, to: Incarnation) -> Result<(), MoveError> {
        let cluster = self.cluster().ok_or(MoveError::NoSuchNode)?;
        if to == self.incarnation {
            return Err(MoveError::There);
        }
        if !cluster.members.lock().get(to).is_some_and(|member| member.linked && !member.dead) {
            return Err(MoveError::NoSuchNode);
        }
        let entry = self.registry.get(room).ok_or(MoveError::NotHere)?;
        let began = Instant::now();
        let gateways = cluster.guests.nodes_of(room);
        let moved = match self.hold(&entry, &gateways).await {
            Ok(()) => self.give(&entry, to).await,
            Err(error) => Err(error),
        };
        match &moved {
            Ok(()) => {
                metrics::counter!(names::ROOMS_MOVED).increment(1);
                metrics::histogram!(names::MOVE_SECONDS).record(began.elapsed());
            }
            Err(error) => {
                tracing::warn!(room.id = %room, to = %to, %error, "the room was not moved");
                self.resume_gateways(&entry, &gateways);
            }
        }
        moved
    }

    /// Has every node that holds sockets of the room keep their frames, this one too.
    async fn hold(&self, entry: &Arc<RoomEntry>, gateways: &BTreeSet<Incarnation>) -> Result<(), MoveError> {
        let Some(cluster) = self.cluster() else { return Err(MoveError::NoSuchNode) };
        let held = cluster.holds.begin(&entry.id, gateways.clone());
        for gateway in gateways {
            let control = Control::Hold { room: entry.id.clone(), epoch: entry.epoch() };
            // A gateway whose link broke has nothing more to send on it.
            if cluster.links.send(*gateway, Message::Control(control).encode()).is_err() {
                cluster.holds.held(&entry.id, *gateway);
            }
        }
        cluster.seats.hold(&entry.id, None);
        let all = tokio::time::timeout(HOLD, held).await;
        cluster.holds.end(&entry.id);
        match all {
            Ok(Ok(())) => Ok(()),
            _ => Err(MoveError::NotHeld),
        }
    }

    fn resume_gateways(&self, entry: &Arc<RoomEntry>, gateways: &BTreeSet<Incarnation>) {
        let Some(cluster) = self.cluster() else { return };
        for gateway in gateways {
            let control = Control::Resume { room: entry.id.clone(), epoch: entry.epoch() };
            let _ = cluster.links.send(*gateway, Message::Control(control).encode());
        }
        cluster.seats.resume(&entry.id, None, &|| self.next_conn());
    }

    async fn give(self: &Arc<Self>, entry: &Arc<RoomEntry>, to: Incarnation) -> Result<(), MoveError> {
        let Some(cluster) = self.cluster() else { return Err(MoveError::NoSuchNode) };
        let (answer, frozen) = oneshot::channel();
        let sent = tokio::time::timeout(FREEZE, entry.mailbox.send(Command::Freeze(answer))).await;
        if !matches!(sent, Ok(Ok(()))) {
            return Err(MoveError::NotStill);
        }
        // A room that stands still later than this finds its answer unwanted, and goes on.
        let Ok(Ok(Some(frozen))) = tokio::time::timeout(FREEZE, frozen).await else {
            return Err(MoveError::NotStill);
        };
        let Frozen { image, position, token, control } = frozen;
        let offer = Offer {
            room: entry.id.clone(),
            kind: entry.kind.to_string(),
            created_at: entry.created_at,
            filters: entry.filters.clone(),
            version: self.kinds.get(&*entry.kind).map_or(0, |kind| kind.kind.settings().version),
            token,
            seq: position.last,
            chain: position.chain.0,
        };
        let answer =
            cluster.asks.ask(&*cluster.links, to, OFFER, |id| Message::Offer { id, offer, image }).await;
        let refused = match answer {
            Ok(Answer::Done) => None,
            Ok(Answer::Refused { message, .. }) => Some(message),
            Ok(_) => Some("its answer makes no sense".to_owned()),
            Err(AskError::Unreachable) => Some(AskError::Unreachable.to_string()),
            Err(AskError::Unknown) => Some(AskError::Unknown.to_string()),
        };
        // Whatever was said: the other node may have been granted the room, and only the arbiter knows.
        let refused = match refused {
            Some(reason) if self.still_mine(entry).await => Some(reason),
            Some(_) | None => None,
        };
        match refused {
            None => {
                // A host that ended meanwhile needs no word; one that has ended takes no questions any more.
                let _ = control.send(HostControl::Release).await;
                let _ = tokio::time::timeout(FREEZE, entry.mailbox.closed()).await;
                Ok(())
            }
            Some(reason) => {
                let _ = control.send(HostControl::Thaw).await;
                Err(MoveError::Refused(reason))
            }
        }
    }

    /// Whether the arbiter has the room granted to this node. Asks until there is an answer: a room that stands still
    /// while nobody knows is better than one that plays twice.
    async fn still_mine(&self, entry: &Arc<RoomEntry>) -> bool {
        loop {
            match self.arbiter.current(self.key(&entry.id)).await {
                Ok(Some(grant)) => return grant.owner == self.incarnation,
                // Rooms that are not journaled have no grant: the offer may have arrived, so it counts as taken.
                Ok(None) => return false,
                Err(error) => {
                    tracing::warn!(room.id = %entry.id, %error, "whose room it is cannot be asked");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }

    /// Takes a room that another node offers; it is live when this returns.
    pub(super) async fn take_offer(self: &Arc<Self>, offer: Offer, image: Bytes) -> Answer {
        let refused = |message: String| Answer::Refused { code: 503, message };
        if self.cluster().is_none_or(|cluster| cluster.is_draining()) {
            return refused("the node drains".to_owned());
        }
        let position = Position { last: offer.seq, chain: Chain(offer.chain) };
        let registered = Registered {
            created_at: offer.created_at,
            filters: offer.filters,
            version: offer.version,
            saved_at: 0,
        };
        let adopted =
            Adopted { room: offer.room, kind: offer.kind, registered, token: offer.token, position };
        match adopt_image(self, adopted, image).await {
            Ok(()) => Answer::Done,
            Err(reason) => refused(reason),
        }
    }

    /// Moves every room to the other nodes, as far as the time allows. Answers how many went.
    pub(super) async fn hand_over_all(self: &Arc<Self>, until: Instant) -> usize {
        futures_util::stream::iter(self.registry.entries())
            // A move that has begun is not broken off.
            .take_while(|_| std::future::ready(Instant::now() < until))
            .map(|entry| async move {
                for _ in 0..MOVE_TRIES {
                    let to = everplay_cluster::successor(entry.id.as_str(), &self.candidates());
                    let Some(to) = to else { return false };
                    match self.hand_over(&entry.id, to).await {
                        Ok(()) => return true,
                        Err(MoveError::NotHere | MoveError::There) => return false,
                        Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                    }
                }
                false
            })
            .buffer_unordered(MOVES_AT_ONCE)
            .filter(|moved| std::future::ready(*moved))
            .count()
            .await
    }
}
