//! `everplay ctl`: asks a running node about its cluster, moves rooms and empties nodes.
//!
//! ```text
//! arguments -> Task -> api (HTTP, with the cluster's key) -> routes of any node -> the cluster
//!                       '-> table, or JSON as it came
//! ```
//!
//! Any node answers for all: it knows every node and room, and passes on what another has to do.

mod api;
mod arguments;
#[cfg(feature = "cluster")]
mod routes;
mod table;

pub(crate) use api::Api;
pub(crate) use arguments::{command, task};
#[cfg(feature = "cluster")]
pub(crate) use routes::router;

use crate::{Error, Result};
use api::NodeLine;
use everplay_client::Endpoint;
use serde_json::Value;
use std::fmt;
use std::io::Write;
use std::time::{Duration, Instant};
use tokio::runtime;

/// What `ctl` is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    /// The node that is asked.
    node: Endpoint,
    key: Key,
    /// The answer as it came instead of a table.
    json: bool,
    action: Action,
}

/// The cluster's key, which must not be printed.
#[derive(Clone)]
struct Key(String);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[derive(Debug, Clone)]
enum Action {
    Nodes,
    Rooms,
    Room { room: String },
    Move { room: String, to: String },
    Drain { node: String, wait: Duration },
    Undrain { node: String },
}

/// Between two looks at a node that empties itself.
const LOOK: Duration = Duration::from_millis(500);

/// Does it; what it answers is for standard output.
pub(crate) fn run(task: Task) -> Result<String> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Error::system("the runtime cannot be started"))?.block_on(act(task))
}

async fn act(task: Task) -> Result<String> {
    let Task { node, key, json, action } = task;
    let api = Api::new(node, key.0);
    let shown = |value: Value, table: fn(&Value) -> Result<String>| {
        if json { Ok(format!("{value:#}\n")) } else { table(&value) }
    };
    match action {
        Action::Nodes => shown(api.get("/cluster/nodes").await?, table::nodes),
        Action::Rooms => shown(api.get("/cluster/rooms").await?, table::rooms),
        Action::Room { room } => shown(api.get(&api::room_path(&room)?).await?, table::room),
        Action::Move { room, to } => {
            let to = api.find(&to).await?;
            let began = Instant::now();
            let path = format!("{}/move", api::room_path(&room)?);
            let answer = api.post(&path, &serde_json::json!({ "to": to.incarnation })).await?;
            let took = began.elapsed().as_millis();
            Ok(if json {
                format!("{answer:#}\n")
            } else {
                format!("Room {room} plays on {} now; that took {took} ms.\n", to.short())
            })
        }
        Action::Drain { node, wait } => {
            let node = api.find(&node).await?;
            let answer =
                api.post(&format!("/cluster/nodes/{}/drain", node.incarnation), &Value::Null).await?;
            emptied(&api, &node, wait).await?;
            Ok(if json {
                format!("{answer:#}\n")
            } else {
                format!("Node {} runs no room and takes none.\n", node.short())
            })
        }
        Action::Undrain { node } => {
            let node = api.find(&node).await?;
            let answer =
                api.post(&format!("/cluster/nodes/{}/undrain", node.incarnation), &Value::Null).await?;
            Ok(if json {
                format!("{answer:#}\n")
            } else {
                format!("Node {} takes rooms again.\n", node.short())
            })
        }
    }
}

/// Waits until a node runs no room, and says on standard error how many are left.
async fn emptied(api: &Api, node: &NodeLine, wait: Duration) -> Result {
    let end = Instant::now() + wait;
    let mut told = None;
    loop {
        let nodes = api.nodes().await?;
        // A node that left the cluster runs nothing.
        let left =
            nodes.iter().find(|line| line.incarnation == node.incarnation).map_or(0, |line| line.rooms);
        if told != Some(left) {
            told = Some(left);
            // Progress is for people: whoever closed standard error does not want it.
            let _ = writeln!(std::io::stderr(), "{left} rooms left on {}", node.short());
        }
        if left == 0 {
            return Ok(());
        }
        if Instant::now() >= end {
            let problem = format!("node {} takes no rooms, and still runs {left}", node.short());
            return Err(Error::Command(problem));
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(all(test, feature = "cluster"))]
mod tests;
