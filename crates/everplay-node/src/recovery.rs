//! Brings the rooms of the directory back at start.
//!
//! For each: grant, seal, *then* load, rebuild, epoch-start record, live. What cannot be read is quarantined with
//! its reason; it is never begun anew. The other rooms go on.

use crate::host::{panic_message, tail_of};
use crate::metrics as names;
use crate::node::{Node, Registered};
use everplay_live::{DirectoryEntry, LoadError, RoomError, RoomState};
use everplay_types::RoomId;
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

enum Outcome {
    Live,
    Ended,
    Quarantined(RoomId, String),
    Stranded(RoomId, String),
}

pub(crate) async fn restore(node: &Arc<Node>) -> Result<Restored, RoomError> {
    let start = Instant::now();
    let entries = node.live.list(Some(node.options.customer.clone())).await?;
    let mut restored = Restored::default();
    let mut outcomes = futures_util::stream::iter(entries)
        .map(|entry| restore_room(node, entry))
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

async fn restore_room(node: &Arc<Node>, entry: DirectoryEntry) -> Outcome {
    let id = entry.room.room.clone();
    if let RoomState::Quarantined { reason } = entry.state {
        return Outcome::Quarantined(id, reason);
    }
    let Some(kind) = node.kinds.get(&entry.kind) else {
        return Outcome::Stranded(id, format!("this program has no room kind {:?}", entry.kind));
    };
    let owned = async {
        let current = node.arbiter.current(entry.room.clone()).await.map_err(|error| error.to_string())?;
        let seen = current.map(|grant| grant.token.epoch).unwrap_or(entry.token.epoch).max(entry.token.epoch);
        let token = node.grant(&entry.room, seen).await?;
        let position = node.live.seal(entry.room.clone(), token).await.map_err(|error| error.to_string())?;
        Ok::<_, String>((token, position))
    };
    let (token, position) = match owned.await {
        Ok(owned) => owned,
        // Nothing is wrong with the room; it is not ours, or not yet.
        Err(reason) => return Outcome::Stranded(id, reason),
    };
    let loaded = match load(node, &id).await {
        Ok(loaded) => loaded,
        Err(LoadError::Corrupt(corruption)) => return quarantine(node, id, corruption.to_string()),
        Err(error) => return Outcome::Stranded(id, error.to_string()),
    };
    for passed_over in &loaded.passed_over {
        tracing::warn!(room.id = %id, damage = %passed_over, "a damaged snapshot was passed over");
    }
    if position.last == everplay_types::Seq::ZERO {
        // Registered, and nothing confirmed: nobody was told of this room.
        node.forget(&id, token);
        return Outcome::Ended;
    }
    let snapshot = loaded.snapshot.as_ref().map(|snapshot| snapshot.bytes.as_ref());
    let records: Vec<&[u8]> = loaded.tail.iter().map(|entry| entry.payload.as_ref()).collect();
    let engine = catch_unwind(AssertUnwindSafe(|| {
        let mut engine = kind.kind.revive(&id, snapshot, &records)?;
        engine.resume(&[], everplay_room::Absent::Dropped);
        Ok::<_, everplay_room::ReviveError>(engine)
    }));
    let engine = match engine {
        Ok(Ok(engine)) => engine,
        Ok(Err(everplay_room::ReviveError::Ended { outbox })) => {
            node.tell_and_forget(&id, kind.kind.name(), token, outbox);
            return Outcome::Ended;
        }
        Ok(Err(error)) => return quarantine(node, id, error.to_string()),
        Err(panic) => {
            let reason = format!("the restored hook failed: {}", panic_message(panic.as_ref()));
            return quarantine(node, id, reason);
        }
    };
    let registered: Registered = serde_json::from_slice(&entry.listing).unwrap_or_default();
    let journal = node.journal(&id, token, loaded.position);
    let tail = tail_of(&loaded);
    node.host(kind, id, registered, engine, journal, tail);
    Outcome::Live
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
