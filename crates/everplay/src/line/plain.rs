//! The plain connections by name, for the management call: those of this process, and through their room those that other
//! nodes hold.
//!
//! A connection's record tells its room; a node that is asked takes a seat there for a moment, known to be a node, and has
//! the room send what is to be said. So a server of ours need not know which node a player came to.

use crate::inside::{Got, Inside};
use everplay_api::BoxFuture;
use everplay_api::line::{AboutConnection, Connections, PostError};
use everplay_node::{Handle, MatchRequest, Method};
use everplay_records::{Line, LineRecord};
use everplay_room::AuthRequest;
use everplay_types::{CustomerId, ErrorCode};
use everplay_wire::{ClientFrame, MessageType, ResponseStatus, ServerFrame, msgpack};
use parking_lot::Mutex;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;

/// Texts that wait for one connection.
const WAITING: usize = 64;
/// How long the room of another node's connection may take.
const RELAY: Duration = Duration::from_secs(5);
/// The message by which a room passes on what is to be said.
pub(super) const RELAYED: &str = "relay";

/// What the management call asks of a connection.
#[derive(Debug)]
pub(super) enum Post {
    Text(String),
    Close,
}

/// The connections of this process.
#[derive(Debug, Default)]
pub(crate) struct PlainConnections(Mutex<HashMap<String, Known>>);

#[derive(Debug)]
struct Known {
    posts: mpsc::Sender<Post>,
    since: SystemTime,
}

/// A connection's place among them, until it is dropped.
#[derive(Debug)]
pub(super) struct Entry {
    connections: Arc<PlainConnections>,
    id: String,
}

impl PlainConnections {
    pub(super) fn enter(self: &Arc<Self>, id: &str) -> (Entry, mpsc::Receiver<Post>) {
        let (posts, receiver) = mpsc::channel(WAITING);
        self.0.lock().insert(id.to_owned(), Known { posts, since: SystemTime::now() });
        (Entry { connections: Arc::clone(self), id: id.to_owned() }, receiver)
    }

    fn ask(&self, id: &str, post: Post) -> Result<(), PostError> {
        let connections = self.0.lock();
        let known = connections.get(id).ok_or(PostError::Gone)?;
        known.posts.try_send(post).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => PostError::Busy,
            mpsc::error::TrySendError::Closed(_) => PostError::Gone,
        })
    }

    fn holds(&self, id: &str) -> bool {
        self.0.lock().contains_key(id)
    }
}

impl Entry {
    /// What the room passed on. A queue that is full ends with the connection it waits for.
    pub(super) fn relayed(&self, post: Post) {
        let _ = self.connections.ask(&self.id, post);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.0.lock().remove(&self.id);
    }
}

/// All plain connections, wherever they are.
pub(crate) struct AllConnections {
    pub(crate) here: Arc<PlainConnections>,
    pub(crate) node: Handle,
    pub(crate) records: Line,
}

impl AllConnections {
    async fn say(&self, connection: &str, text: Option<String>) -> Result<(), PostError> {
        if self.here.holds(connection) {
            return self.here.ask(connection, text.map_or(Post::Close, Post::Text));
        }
        let record = self.record(connection).await?;
        let relaying = relay(&self.node, &record.room, connection, text);
        match tokio::time::timeout(RELAY, relaying).await {
            Ok(Some(true)) => Ok(()),
            Ok(Some(false)) => Err(PostError::Gone),
            Ok(None) | Err(_) => Err(PostError::Busy),
        }
    }

    async fn record(&self, connection: &str) -> Result<LineRecord, PostError> {
        let record = self.records.get(&CustomerId::default(), connection).await;
        let record = record.map_err(|error| {
            tracing::warn!(%error, "whether a connection is elsewhere is not known");
            PostError::Busy
        });
        record?.filter(|record| !record.room.is_empty()).ok_or(PostError::Gone)
    }
}

impl Connections for AllConnections {
    fn post<'a>(&'a self, connection: &'a str, text: String) -> BoxFuture<'a, Result<(), PostError>> {
        Box::pin(self.say(connection, Some(text)))
    }

    fn about<'a>(&'a self, connection: &'a str) -> BoxFuture<'a, Result<AboutConnection, PostError>> {
        Box::pin(async move {
            let here = self.here.0.lock().get(connection).map(|known| known.since);
            let connected_at = match here {
                Some(since) => since,
                None => UNIX_EPOCH + Duration::from_millis(self.record(connection).await?.joined_at),
            };
            Ok(AboutConnection { connected_at })
        })
    }

    fn close<'a>(&'a self, connection: &'a str) -> BoxFuture<'a, Result<(), PostError>> {
        Box::pin(async move {
            match self.say(connection, None).await {
                // A full queue ends with the connection it waits for.
                Err(PostError::Busy) if self.here.holds(connection) => Ok(()),
                said => said,
            }
        })
    }
}

/// Whether the room has the connection and passed it on; None: it cannot be asked.
async fn relay(node: &Handle, room: &str, connection: &str, text: Option<String>) -> Option<bool> {
    let request = MatchRequest {
        method: Method::JoinById,
        target: room.to_owned(),
        options: json!({}),
        auth: AuthRequest::of_node(),
    };
    let reserved = match node.matchmake(request).await {
        Ok(reserved) => reserved,
        Err(error) if error.code == ErrorCode::INVALID_ROOM_ID.0 => return Some(false),
        Err(_) => return None,
    };
    let mut seat = Inside::new(reserved.room_id, reserved.session_id);
    seat.attach(node).await.ok()?;
    let payload = msgpack::to_vec(&json!({ "connection": connection, "text": text })).ok()?;
    loop {
        let Got::Frame(bytes) = seat.next().await else { return None };
        match Inside::read(&bytes) {
            Ok(ServerFrame::Join(_)) => {
                let ty = MessageType::from(RELAYED);
                seat.push(&ClientFrame::Request { id: 1, ty, payload: &payload });
            }
            Ok(ServerFrame::Response { status, payload, .. }) => {
                seat.leave();
                let passed = msgpack::from_slice(payload).ok();
                return passed.filter(|_| status == ResponseStatus::Ok);
            }
            _ => {}
        }
    }
}
