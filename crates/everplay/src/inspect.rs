//! Looks into the data directory of a stopped server, by reflection: any room kind, also one this program never had.

use crate::{Error, Result, data_dir};
use everplay_live::{LiveStore, LoadedRoom, RoomState};
use everplay_room::{Record, Section, Snapshot};
use everplay_schema::Inspector;
use everplay_types::{CustomerId, Millis, RoomId, RoomKey, Seq};
use serde_json::{Value, json};
use std::path::Path;
use tokio::runtime::Runtime;

/// One line per room: id, kind, last record, whether it may run.
pub(crate) fn rooms(data_dir: &Path) -> Result<String> {
    let store = data_dir::open_existing(data_dir)?;
    let entries = runtime()?.block_on(store.list(None)).map_err(|error| Error::Command(error.to_string()))?;
    let line = |entry: &everplay_live::DirectoryEntry| {
        let state = match &entry.state {
            RoomState::Live => "live".to_owned(),
            RoomState::Quarantined { reason } => format!("quarantined: {reason}"),
        };
        format!("{}  {}  seq {}  {state}\n", entry.room.room, entry.kind, entry.last)
    };
    Ok(entries.iter().map(line).collect())
}

/// The room's state and ledger at the end of its journal.
pub(crate) fn room(data_dir: &Path, id: &str) -> Result<String> {
    let id = RoomId::new(id).map_err(|error| Error::Command(format!("{id:?} is no room id: {error}")))?;
    let store = data_dir::open_existing(data_dir)?;
    let key = RoomKey { customer: CustomerId::default(), room: id };
    let loaded = runtime()?
        .block_on(store.load(key.clone()))
        .map_err(|error| Error::Command(format!("room {}: {error}", key.room)))?;
    let value = state(&loaded).map_err(|problem| Error::Command(format!("room {}: {problem}", key.room)))?;
    Ok(serde_json::to_string_pretty(&value).expect("a JSON value is JSON") + "\n")
}

/// Both trees of a room at the end of its journal, as JSON. The error says which record cannot be read and why.
pub(crate) fn state(loaded: &LoadedRoom) -> Result<Value, String> {
    state_at(loaded, None)
}

/// The same after record `until`, or after the one that is nearest to it in what was loaded; `seq` says which.
pub(crate) fn state_at(loaded: &LoadedRoom, until: Option<Seq>) -> Result<Value, String> {
    let mut trees: Option<(Inspector, Inspector)> = None;
    let mut time = Millis::ZERO;
    let mut ended = false;
    let mut last = loaded.snapshot.as_ref().map_or(Seq::ZERO, |snapshot| snapshot.seq);
    let begin = |state: &[u8], ledger: &[u8]| {
        let tree = |bytes| everplay_schema::inspect(bytes).map_err(|error| error.to_string());
        Ok::<_, String>((tree(state)?, tree(ledger)?))
    };
    if let Some(snapshot) = &loaded.snapshot {
        let at = |error: String| format!("snapshot at {}: {error}", snapshot.seq);
        let decoded = Snapshot::decode(&snapshot.bytes).map_err(|error| at(error.to_string()))?;
        time = decoded.time;
        trees = Some(begin(decoded.state, decoded.ledger).map_err(at)?);
    }
    for entry in &loaded.tail {
        if trees.is_some() && until.is_some_and(|until| entry.seq > until) {
            break;
        }
        last = entry.seq;
        let at = |error: String| format!("record {}: {error}", entry.seq);
        let record = Record::decode(&entry.payload).map_err(|error| at(error.to_string()))?;
        time = record.time;
        for section in record.sections {
            match (section, &mut trees) {
                (Section::Born { state, ledger }, trees) => *trees = Some(begin(state, ledger).map_err(at)?),
                (Section::State(patch), Some((state, _))) => {
                    state.apply_journal(patch).map_err(|error| at(error.to_string()))?;
                }
                (Section::Ledger(patch), Some((_, ledger))) => {
                    ledger.apply_journal(patch).map_err(|error| at(error.to_string()))?;
                }
                (Section::State(_) | Section::Ledger(_), None) => {
                    return Err(at("a change before the room's beginning".into()));
                }
                (Section::Ended, _) => ended = true,
                (Section::Event(_) | Section::Sent(_) | Section::Restored, _) => {}
            }
        }
    }
    let (state, ledger) = trees.ok_or("the journal does not hold the room's beginning")?;
    let mut ledger = ledger.to_json();
    hide_secrets(&mut ledger);
    Ok(json!({
        "seq": last,
        "time_ms": time,
        "ended": ended,
        "state": state.to_json(),
        "ledger": ledger,
    }))
}

/// Tokens are kept hashed, but the key of the room's random numbers would tell the next ones.
fn hide_secrets(ledger: &mut Value) {
    let Some(fields) = ledger.as_object_mut() else { return };
    fields.retain(|name, _| !name.starts_with("rng_key"));
}

fn runtime() -> Result<Runtime> {
    Runtime::new().map_err(Error::system("the runtime cannot be started"))
}
