//! The plain connections of this process by name, for the management call.

use everplay_api::line::{AboutConnection, Connections, PostError};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::mpsc;

/// Texts that wait for one connection.
const WAITING: usize = 64;

/// What the management call asks of a connection.
#[derive(Debug)]
pub(super) enum Post {
    Text(String),
    Close,
}

/// The connections.
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
            mpsc::error::TrySendError::Full(_) => PostError::Full,
            mpsc::error::TrySendError::Closed(_) => PostError::Gone,
        })
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections.0.lock().remove(&self.id);
    }
}

impl Connections for PlainConnections {
    fn post(&self, connection: &str, text: String) -> Result<(), PostError> {
        self.ask(connection, Post::Text(text))
    }

    fn about(&self, connection: &str) -> Option<AboutConnection> {
        self.0.lock().get(connection).map(|known| AboutConnection { connected_at: known.since })
    }

    fn close(&self, connection: &str) -> bool {
        // A full queue ends with the connection it waits for.
        self.ask(connection, Post::Close) != Err(PostError::Gone)
    }
}
