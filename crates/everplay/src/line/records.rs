//! Keeps the line's records: what a room tells with `line changed` becomes the table `TicTacToeUsers`.
//!
//! The room is what holds; records follow, also when the store was away. The number of the last event is kept with the
//! records of its room, so that what is told again changes nothing, whoever tells it.

use everplay_live::Pending;
use everplay_node::{EventConsumer, RoomEvent, TakeError};
use everplay_records::{Line, LineChange, LineRecord, LineStatus, WriteError};
use serde::Deserialize;
use std::sync::Arc;

/// The event.
const CHANGED: &str = "line changed";
/// A record that nothing was heard of for so long is of a room that was lost.
const KEPT_S: u64 = 86_400;

/// What changed.
#[derive(Debug, Deserialize)]
struct Changed {
    line: String,
    /// `put` is everybody; absent in events of earlier releases.
    #[serde(default)]
    whole: bool,
    put: Vec<Told>,
    removed: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    connection_id: String,
    session_id: String,
    #[serde(default)]
    username: Option<String>,
    status: LineStatus,
    #[serde(default)]
    marker: Option<String>,
    joined_at: u64,
}

/// Writes the records.
#[derive(Debug)]
pub(crate) struct KeepLine(pub(crate) Line);

impl EventConsumer for KeepLine {
    fn name(&self) -> &'static str {
        "line"
    }

    fn wants(&self, name: &str) -> bool {
        name == CHANGED
    }

    fn take(&self, events: Vec<Arc<RoomEvent>>) -> Pending<Result<(), TakeError>> {
        let line = self.0.clone();
        Box::pin(async move {
            for (at, event) in events.iter().enumerate() {
                let changed = event.read::<Changed>();
                let changed = changed.map_err(|reason| TakeError::Senseless { at, reason })?;
                keep(&line, at, event, changed).await?;
            }
            Ok(())
        })
    }
}

async fn keep(line: &Line, at: usize, event: &RoomEvent, changed: Changed) -> Result<(), TakeError> {
    let room = event.room.room.to_string();
    let record = |told: Told| LineRecord {
        connection_id: told.connection_id,
        session_id: told.session_id,
        username: told.username,
        status: told.status,
        marker: told.marker,
        joined_at: told.joined_at,
        line: changed.line.clone(),
        room: room.clone(),
        version: 0,
        expires_at: Some(event.date / 1000 + KEPT_S),
    };
    let change = LineChange {
        put: changed.put.into_iter().map(record).collect(),
        removed: changed.removed,
        whole: changed.whole,
        number: event.number,
        date: event.date / 1000,
        room: room.clone(),
    };
    match line.follow(&event.room.customer, change).await {
        Ok(()) => Ok(()),
        // Another node told the same event meanwhile: what it wrote is read the next time.
        Err(WriteError::Refused { .. }) => Err(TakeError::Later("the record changed meanwhile".to_owned())),
        Err(WriteError::Store(error)) if error.is_passing() => Err(TakeError::Later(error.to_string())),
        Err(WriteError::Store(error)) => Err(TakeError::Senseless { at, reason: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use everplay_records::{MemoryRecordStore, Paging};
    use everplay_types::{CustomerId, Millis, RoomId, RoomKey};
    use serde_json::{Value, json};

    const DATE: u64 = 1_795_248_000_000;

    fn event(number: u64, payload: &Value) -> Arc<RoomEvent> {
        Arc::new(RoomEvent {
            room: RoomKey { customer: CustomerId::default(), room: RoomId::new("ROOM").unwrap() },
            kind: "line".into(),
            number,
            name: CHANGED.into(),
            payload: everplay_wire::msgpack::to_vec(payload).unwrap().into(),
            time: Millis(9),
            date: DATE,
        })
    }

    fn told(id: &str, status: &str, marker: Option<&str>, joined_at: u64) -> Value {
        let mut told = json!({
            "connectionId": id, "sessionId": format!("uuid of {id}"), "status": status, "joinedAt": joined_at,
        });
        if let Some(marker) = marker {
            told["marker"] = marker.into();
        }
        told
    }

    async fn of_status(line: &Line, status: LineStatus) -> Vec<String> {
        let paging = Paging { limit: 10, after: None };
        let page = line.of_status(&CustomerId::default(), status, paging).await.unwrap();
        page.items.into_iter().map(|record| record.connection_id).collect()
    }

    /// Told once or three times, records are what the room said last; who waits longest comes first.
    #[tokio::test]
    async fn records_follow_the_room() {
        let line = Line::new(Arc::new(MemoryRecordStore::new()));
        let keep = KeepLine(line.clone());
        let first = event(
            1,
            &json!({ "line": "main", "removed": [], "put": [
                told("ada", "active", Some("X"), DATE), told("bob", "active", Some("O"), DATE + 1),
                told("cleo", "inactive", None, DATE + 3), told("dan", "inactive", None, DATE + 2),
            ] }),
        );
        let second = event(
            2,
            &json!({ "line": "main", "removed": ["ada"], "put": [
                told("dan", "active", Some("X"), DATE + 2), told("bob", "inactive", None, DATE + 4),
            ] }),
        );
        for events in [vec![Arc::clone(&first)], vec![first, Arc::clone(&second)], vec![second]] {
            keep.take(events).await.unwrap();
        }
        assert_eq!(of_status(&line, LineStatus::Active).await, ["dan"]);
        assert_eq!(of_status(&line, LineStatus::Inactive).await, ["cleo", "bob"]);
        let dan = line.get(&CustomerId::default(), "dan").await.unwrap().unwrap();
        assert_eq!((dan.marker.as_deref(), dan.joined_at, dan.line.as_str()), (Some("X"), DATE + 2, "main"));
        assert_eq!(dan.expires_at, Some(DATE / 1000 + KEPT_S));
        assert!(line.get(&CustomerId::default(), "ada").await.unwrap().is_none());
    }

    /// A node that slept tells old events again, after another one told later ones: nobody who left comes back.
    #[tokio::test]
    async fn who_left_does_not_come_back() {
        let line = Line::new(Arc::new(MemoryRecordStore::new()));
        let keep = KeepLine(line.clone());
        let came = |id: &str| told(id, "inactive", None, DATE);
        let events = [
            event(1, &json!({ "line": "main", "removed": [], "put": [came("ada"), came("bob")] })),
            event(2, &json!({ "line": "main", "removed": ["ada"], "put": [] })),
            event(
                7,
                &json!({ "line": "main", "removed": [], "put": [told("bob", "active", Some("X"), DATE)] }),
            ),
        ];
        for order in [&[0, 1, 2][..], &[0], &[1, 0, 2], &[2, 1, 0], &[0, 1]] {
            let batch = order.iter().map(|at: &usize| Arc::clone(&events[*at])).collect();
            keep.take(batch).await.unwrap();
            assert_eq!(of_status(&line, LineStatus::Active).await, ["bob"]);
            assert_eq!(of_status(&line, LineStatus::Inactive).await, [""; 0]);
        }
        // Told as a whole, after changes that were never told.
        let whole =
            json!({ "line": "main", "whole": true, "removed": [], "put": [came("cleo"), came("dan")] });
        keep.take(vec![event(300, &whole), Arc::clone(&events[2])]).await.unwrap();
        assert_eq!(of_status(&line, LineStatus::Active).await, [""; 0]);
        assert_eq!(of_status(&line, LineStatus::Inactive).await.len(), 2);
    }
}
