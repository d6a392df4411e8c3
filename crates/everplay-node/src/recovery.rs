//! Brings rooms back: those of the directory at start, those of a node that died, one that another node hands over.
//!
//! For each: grant, seal, *then* load, rebuild, epoch-start record, live. What cannot be read is quarantined with
//! its reason; it is never begun anew. The other rooms go on.

use crate::host::{panic_message, tail_of};
use crate::metrics as names;
use crate::node::{Node, Registered};
use crate::options::Kind;
use crate::planted::{self, Bug};
use bytes::Bytes;
use everplay_live::{DirectoryEntry, Grant, LoadError, Position, RoomError, RoomState};
use everplay_room::{Absent, CatchUp, Outgoing, ReviveError, RoomEngine};
use everplay_types::{Epoch, RoomId, RoomKey, Token};
use futures_util::StreamExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What came back.
#[derive(Debug, Clone, Default)]
pub struct Restored {
    /// Rooms that play again.
    pub rooms: usize,
    /// Rooms out of service, with the reason.
    pub quarantined: Vec<(RoomId, String)>,
    /// Rooms whose kind this program does not have; they stay as they are.
    pub stranded: Vec<(RoomId, String)>,
    /// From the first read to the last room live.
    pub took: Duration,
}

/// What became of one room.
pub(crate) enum Outcome {
    Live,
    Ended,
    Quarantined(RoomId, String),
    Stranded(RoomId, String),
}

pub(crate) async fn restore(node: &Arc<Node>) -> Result<Restored, RoomError> {
    let start = Instant::now();
    let entries = node.live.list(Some(node.options.customer.clone())).await?;
    if entries.is_empty() {
        tracing::info!("no saved rooms: everything starts fresh");
    }
    let mut restored = Restored::default();
    let mut outcomes = futures_util::stream::iter(entries)
        .map(|entry| restore_room(node, entry, None, Absent::Dropped))
        .buffer_unordered(node.options.limits.restoring);
    while let Some(outcome) = outcomes.next().await {
        match outcome {
            Outcome::Live => restored.rooms += 1,
            Outcome::Ended => {}
            Outcome::Quarantined(room, reason) => restored.quarantined.push((room, reason)),
            Outcome::Stranded(room, reason) => restored.stranded.push((room, reason)),
        }
    }
    drop(outcomes);
    metrics::counter!(names::ROOMS_RESTORED).increment(restored.rooms as u64);
    restored.took = start.elapsed();
    Ok(restored)
}

/// Looks at the directory and touches nothing.
pub(crate) async fn leave(node: &Arc<Node>) -> Result<Restored, RoomError> {
    let start = Instant::now();
    let entries = node.live.list(Some(node.options.customer.clone())).await?;
    let reason = "this start brings no rooms back; one that does has it again";
    let stranded = entries.into_iter().map(|entry| (entry.room.room, reason.to_owned())).collect();
    Ok(Restored { stranded, took: start.elapsed(), ..Restored::default() })
}

/// A room is being brought here. Two at a time could both be granted it, with one token: the arbiter knows the node,
/// not its tasks.
struct Adoption<'a> {
    node: &'a Node,
    room: RoomId,
}

impl<'a> Adoption<'a> {
    /// None: another one is under way.
    fn begin(node: &'a Node, room: &RoomId) -> Option<Adoption<'a>> {
        let alone = node.cluster().is_none_or(|cluster| cluster.adopting.lock().insert(room.clone()));
        (alone || planted::is(Bug::AdoptsTwice)).then(|| Adoption { node, room: room.clone() })
    }
}

impl Drop for Adoption<'_> {
    fn drop(&mut self) {
        if let Some(cluster) = self.node.cluster() {
            cluster.adopting.lock().remove(&self.room);
        }
    }
}

/// Takes a room over whose owner is gone.
pub(crate) async fn adopt(node: &Arc<Node>, room: RoomKey, grant: Grant) -> Outcome {
    let id = room.room.clone();
    let Some(_adoption) = Adoption::begin(node, &id) else {
        return Outcome::Stranded(id, "it is being taken over already".to_owned());
    };
    if node.registry.get(&id).is_some_and(|entry| entry.epoch() >= grant.token.epoch) {
        return Outcome::Stranded(id, "it is here".to_owned());
    }
    match node.live.find(room.clone()).await {
        Ok(Some(entry)) => {
            let drops = planted::is(Bug::TakeoverDrops);
            let absent = if drops { Absent::Dropped } else { Absent::Awaited };
            restore_room(node, entry, Some(grant.token.epoch), absent).await
        }
        Ok(None) => {
            // Granted and never registered, or closed and never retired: nobody was told of it.
            tracing::info!(room.id = %id, "a room that was granted has no journal and is forgotten");
            if let Err(error) = node.arbiter.retire(room, grant.token).await {
                tracing::debug!(room.id = %id, %error, "the arbiter still knows a room that has no journal");
            }
            Outcome::Ended
        }
        Err(error) => Outcome::Stranded(id, error.to_string()),
    }
}

/// `seen` is the epoch of the owner it is taken from, when that is known.
async fn restore_room(
    node: &Arc<Node>,
    entry: DirectoryEntry,
    seen: Option<Epoch>,
    absent: Absent,
) -> Outcome {
    let id = entry.room.room.clone();
    if let RoomState::Quarantined { reason } = entry.state {
        return Outcome::Quarantined(id, reason);
    }
    let Some(kind) = node.kinds.get(&entry.kind) else {
        return Outcome::Stranded(id, format!("this program has no room kind {:?}", entry.kind));
    };
    let registered: Registered = serde_json::from_slice(&entry.listing).unwrap_or_default();
    if let Err(reason) = knows(kind, &registered) {
        return Outcome::Stranded(id, reason);
    }
    let early = match planted::is(Bug::ReadsBeforeSeal) {
        true => load(node, &id).await.ok(),
        false => None,
    };
    let owned = async {
        let seen = match seen {
            Some(seen) => seen,
            None => {
                let current =
                    node.arbiter.current(entry.room.clone()).await.map_err(|error| error.to_string())?;
                current.map(|grant| grant.token.epoch).unwrap_or(entry.token.epoch).max(entry.token.epoch)
            }
        };
        let token = node.grant(&entry.room, seen).await?;
        let position = node.live.seal(entry.room.clone(), token).await.map_err(|error| error.to_string())?;
        Ok::<_, String>((token, position))
    };
    let (token, position) = match owned.await {
        Ok(owned) => owned,
        // Nothing is wrong with the room; it is not ours, or not yet.
        Err(reason) => {
            node.stray(entry.room);
            return Outcome::Stranded(id, reason);
        }
    };
    if position.last == everplay_types::Seq::ZERO {
        // Registered, and nothing confirmed: nobody was told of this room.
        tracing::info!(room.id = %id, "a room without a record is forgotten");
        node.forget(&id, token);
        return Outcome::Ended;
    }
    let saved_ago = registered.saved_ago(node.options.ambient.wall_ms());
    if let (Some(expires), Some(ago)) = (kind.kind.settings().expires, saved_ago)
        && ago > expires
    {
        let saved_ago_s = ago.as_secs();
        tracing::info!(room.id = %id, kind = entry.kind, saved_ago_s, "the saved room has expired and is ended");
        node.forget(&id, token);
        return Outcome::Ended;
    }
    read_and_host(node, kind, id, registered, token, absent, early).await
}

/// Reads a room that this node has sealed, and runs it.
async fn read_and_host(
    node: &Arc<Node>,
    kind: &Kind,
    id: RoomId,
    registered: Registered,
    token: Token,
    absent: Absent,
    early: Option<everplay_live::LoadedRoom>,
) -> Outcome {
    let read = match early {
        Some(early) => Ok(early),
        None => load(node, &id).await,
    };
    let loaded = match read {
        Ok(loaded) => loaded,
        Err(LoadError::Corrupt(corruption)) => return quarantine(node, id, corruption.to_string()),
        Err(error) => {
            node.stray(node.key(&id));
            return Outcome::Stranded(id, error.to_string());
        }
    };
    for passed_over in &loaded.passed_over {
        tracing::warn!(room.id = %id, damage = %passed_over, "a damaged snapshot was passed over");
    }
    let snapshot = loaded.snapshot.as_ref().map(|snapshot| snapshot.bytes.as_ref());
    let records: Vec<&[u8]> = loaded.tail.iter().map(|entry| entry.payload.as_ref()).collect();
    let engine = match rebuild(kind, &id, snapshot, &records, absent) {
        Ok(engine) => engine,
        Err(Unfit::Ended(outbox)) => {
            tracing::info!(room.id = %id, "a room that had ended is told of and forgotten");
            node.tell_and_forget(&id, kind.kind.name(), token, outbox);
            return Outcome::Ended;
        }
        Err(Unfit::Broken(reason)) => return quarantine(node, id, reason),
    };
    if let Err(reason) = raise_version(node, kind, &id, &registered, token).await {
        node.stray(node.key(&id));
        return Outcome::Stranded(id, reason);
    }
    let saved_ago_s = registered.saved_ago(node.options.ambient.wall_ms()).map(|ago| ago.as_secs());
    tracing::info!(
        room.id = %id,
        kind = kind.kind.name(),
        seq = loaded.position.last.0,
        saved_at_ms = engine.time().0,
        saved_ago_s,
        "room hydrated: it goes on at the time of its state that was saved last"
    );
    let journal = node.journal(&id, token, loaded.position);
    let tail = tail_of(&loaded);
    node.host(kind, id, registered, engine, journal, tail);
    Outcome::Live
}

/// Whether this program may run a room of that version: asked before it is granted, because what is granted here is not
/// looked for elsewhere.
fn knows(kind: &Kind, registered: &Registered) -> Result<(), String> {
    let known = kind.kind.settings().version;
    if registered.version <= known {
        return Ok(());
    }
    let wanted = registered.version;
    Err(format!("the room is of version {wanted} of its kind, and this program knows versions up to {known}"))
}

/// Lets programs of a lower version know that the room is not theirs any more, before this one writes to it.
async fn raise_version(
    node: &Node,
    kind: &Kind,
    id: &RoomId,
    registered: &Registered,
    token: Token,
) -> Result<(), String> {
    let version = kind.kind.settings().version;
    if registered.version >= version {
        return Ok(());
    }
    let raised = Registered { version, ..registered.clone() };
    let listing = serde_json::to_vec(&raised).map_err(|error| error.to_string())?;
    node.live.relist(node.key(id), token, listing.into()).await.map_err(|error| error.to_string())
}

/// Why a room that was read cannot run.
enum Unfit {
    /// With what it had still to tell.
    Ended(Vec<Outgoing>),
    Broken(String),
}

fn rebuild(
    kind: &Kind,
    id: &RoomId,
    snapshot: Option<&[u8]>,
    records: &[&[u8]],
    absent: Absent,
) -> Result<Box<dyn RoomEngine>, Unfit> {
    let engine = catch_unwind(AssertUnwindSafe(|| {
        let mut engine = kind.kind.revive(id, snapshot, records)?;
        engine.resume(&[], absent);
        Ok::<_, ReviveError>(engine)
    }));
    match engine {
        Ok(Ok(engine)) => Ok(engine),
        Ok(Err(ReviveError::Ended { outbox })) => Err(Unfit::Ended(outbox)),
        Ok(Err(error)) => Err(Unfit::Broken(error.to_string())),
        Err(panic) => {
            Err(Unfit::Broken(format!("the restored hook failed: {}", panic_message(panic.as_ref()))))
        }
    }
}

/// A room as another node hands it over.
pub(crate) struct Adopted {
    pub(crate) room: RoomId,
    pub(crate) kind: String,
    pub(crate) registered: Registered,
    /// What it was last written with.
    pub(crate) token: Token,
    /// Where its journal ends, and its image stands.
    pub(crate) position: Position,
}

/// Takes a room from a node that stands it still. The image counts only if the journal ends where it stands once it is
/// sealed: the old owner may have gone on meanwhile. Errors: a sentence for the other node's log.
pub(crate) async fn adopt_image(node: &Arc<Node>, adopted: Adopted, image: Bytes) -> Result<(), String> {
    let Adopted { room: id, kind, registered, token, position } = adopted;
    let Some(_adoption) = Adoption::begin(node, &id) else {
        return Err("it is being taken over already".to_owned());
    };
    if node.registry.get(&id).is_some_and(|entry| entry.epoch() > token.epoch) {
        return Err("it is here by now".to_owned());
    }
    let kind = node.kinds.get(&kind).ok_or_else(|| format!("this program has no room kind {kind:?}"))?;
    if node.registry.len() >= node.options.limits.rooms {
        return Err(format!("this node runs {} rooms and takes no more", node.options.limits.rooms));
    }
    knows(kind, &registered)?;
    // Before anything is granted: an image that cannot be read leaves the room where it is.
    let engine = match rebuild(kind, &id, Some(&image), &[], Absent::Awaited) {
        Ok(engine) => engine,
        Err(Unfit::Ended(_)) => return Err("the room has ended".to_owned()),
        Err(Unfit::Broken(reason)) => return Err(reason),
    };
    let key = node.key(&id);
    let mut journal = node.journal(&id, token, position);
    if kind.kind.settings().durability.survives() {
        let granted = async {
            let token = node.grant(&key, token.epoch).await?;
            let sealed = node.live.seal(key.clone(), token).await.map_err(|error| error.to_string())?;
            Ok::<_, String>((token, sealed))
        };
        let (token, sealed) = granted.await.inspect_err(|_| node.stray(key.clone()))?;
        if sealed != position {
            return match read_and_host(node, kind, id, registered, token, Absent::Awaited, None).await {
                Outcome::Live => Ok(()),
                Outcome::Ended => Err("the room has ended".to_owned()),
                Outcome::Quarantined(_, reason) | Outcome::Stranded(_, reason) => Err(reason),
            };
        }
        let raised = raise_version(node, kind, &id, &registered, token).await;
        raised.inspect_err(|_| node.stray(key))?;
        journal = node.journal(&id, token, sealed);
    }
    let tail = CatchUp::new(position.last);
    node.host(kind, id, registered, engine, journal, tail);
    Ok(())
}

async fn load(node: &Node, id: &RoomId) -> Result<everplay_live::LoadedRoom, LoadError> {
    loop {
        match node.read_room(id).await {
            Err(LoadError::Busy) => tokio::time::sleep(Duration::from_millis(20)).await,
            other => return other,
        }
    }
}

fn quarantine(node: &Node, id: RoomId, reason: String) -> Outcome {
    tracing::error!(room.id = %id, reason, "the room is quarantined");
    metrics::counter!(names::ROOMS_QUARANTINED).increment(1);
    node.quarantine(&id, reason.clone());
    Outcome::Quarantined(id, reason)
}
