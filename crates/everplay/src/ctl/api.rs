//! A node's `/cluster` routes, as the command line asks them.

use crate::{Error, Result};
use everplay_client::Endpoint;
use everplay_types::RoomId;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

/// How long a node may take: it asks another one to move a room, which may take ten seconds to refuse.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer: a list of a hundred thousand rooms.
const MOST: usize = 64 << 20;

/// A node, and the key it wants to see.
pub(crate) struct Api {
    node: Endpoint,
    key: String,
}

/// What the command line itself needs to know of a node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct NodeLine {
    pub(crate) incarnation: String,
    pub(crate) process: String,
    pub(crate) http: String,
    pub(crate) rooms: u32,
}

impl NodeLine {
    pub(crate) fn short(&self) -> &str {
        short(&self.incarnation)
    }
}

/// As many letters of a node's name as tell a few nodes apart.
pub(crate) fn short(incarnation: &str) -> &str {
    incarnation.get(..8).unwrap_or(incarnation)
}

#[derive(Deserialize)]
struct Nodes {
    nodes: Vec<NodeLine>,
}

#[derive(Deserialize)]
struct Refusal {
    error: Problem,
}

#[derive(Deserialize)]
struct Problem {
    message: String,
}

/// The path of a room. Its id is checked because it goes into a URL.
pub(crate) fn room_path(id: &str) -> Result<String> {
    let id = RoomId::new(id).map_err(|error| Error::Command(format!("{id:?} is no room id: {error}")))?;
    Ok(format!("/cluster/rooms/{id}"))
}

impl Api {
    pub(crate) fn new(node: Endpoint, key: String) -> Self {
        Self { node, key }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.request("GET", path, Vec::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.request("POST", path, body.to_string().into_bytes()).await
    }

    pub(crate) async fn nodes(&self) -> Result<Vec<NodeLine>> {
        let nodes: Nodes = serde_json::from_value(self.get("/cluster/nodes").await?).map_err(odd)?;
        Ok(nodes.nodes)
    }

    /// The one node that is meant.
    pub(crate) async fn find(&self, wanted: &str) -> Result<NodeLine> {
        choose(&self.nodes().await?, wanted).cloned().map_err(Error::Command)
    }

    async fn request(&self, method: &str, path: &str, body: Vec<u8>) -> Result<Value> {
        let who = self.node.authority();
        let failed = |problem: String| Error::Command(format!("{who}: {problem}"));
        let asked = self.node.request(method, path, Some(&self.key), body, MOST);
        let answer = timeout(PATIENCE, asked).await.map_err(|_| failed("no answer in time".to_owned()))?;
        let (status, body) = answer.map_err(|error| failed(error.to_string()))?;
        if (200..300).contains(&status) {
            return serde_json::from_slice(&body).map_err(odd);
        }
        Err(failed(match (status, serde_json::from_slice::<Refusal>(&body)) {
            (404, Err(_)) => "it is no node of a cluster that has a key, or not this program".to_owned(),
            (_, Ok(refusal)) => refusal.error.message,
            (_, Err(_)) => format!("it answered {status}"),
        }))
    }
}

fn odd(error: serde_json::Error) -> Error {
    Error::Command(format!("the node's answer makes no sense: {error}"))
}

/// A node by the beginning of its name, its process or its address.
fn choose<'a>(nodes: &'a [NodeLine], wanted: &str) -> Result<&'a NodeLine, String> {
    let exact =
        |node: &&NodeLine| node.process == wanted || node.http == wanted || node.incarnation == wanted;
    if let Some(node) = nodes.iter().find(exact) {
        return Ok(node);
    }
    let mut found = nodes.iter().filter(|node| !wanted.is_empty() && node.incarnation.starts_with(wanted));
    match (found.next(), found.next()) {
        (Some(node), None) => Ok(node),
        (Some(_), Some(_)) => Err(format!("several nodes' names begin with {wanted:?}; write more of it")),
        (None, _) => Err(format!("there is no node {wanted:?}; `everplay ctl nodes` lists them")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_meant_by_anything_that_is_its_alone() {
        let node = |incarnation: &str, process: &str, http: &str| NodeLine {
            incarnation: incarnation.to_owned(),
            process: process.to_owned(),
            http: http.to_owned(),
            rooms: 0,
        };
        let nodes = [node("aabb", "p1", "10.0.0.1:80"), node("aacc", "p2", "10.0.0.2:80")];
        for (wanted, found) in [
            ("aab", Ok(0)),
            ("p2", Ok(1)),
            ("10.0.0.1:80", Ok(0)),
            ("aacc", Ok(1)),
            ("aa", Err(())),
            ("", Err(())),
            ("x", Err(())),
        ] {
            assert_eq!(
                choose(&nodes, wanted).map_err(|_| ()),
                found.map(|index: usize| &nodes[index]),
                "{wanted}"
            );
        }
    }

    #[test]
    fn what_is_no_room_id_does_not_become_a_path() {
        assert_eq!(room_path("abc").unwrap(), "/cluster/rooms/abc");
        assert!(room_path("a/../b").is_err());
    }
}
