//! Rows of nodes of an arbiter that lives and dies with its process: in memory, and on a file of one process.

use crate::{ArbiterError, NodeLease, NodeRow, NodeState};
use everplay_types::Incarnation;
use std::collections::BTreeMap;
use std::time::Instant;

/// Who joined and when it was last heard.
#[derive(Debug, Default)]
pub(crate) struct Nodes(BTreeMap<Incarnation, (NodeRow, NodeState, Instant)>);

impl Nodes {
    pub(crate) fn join(&mut self, node: NodeRow) -> Result<(), ArbiterError> {
        if !node.fits() {
            return Err(ArbiterError::Text);
        }
        self.0.insert(node.incarnation, (node, NodeState::default(), Instant::now()));
        Ok(())
    }

    pub(crate) fn renew(&mut self, node: Incarnation, state: NodeState) -> Result<(), ArbiterError> {
        let (_, kept, heard) = self.0.get_mut(&node).ok_or(ArbiterError::NotListed)?;
        (*kept, *heard) = (state, Instant::now());
        Ok(())
    }

    pub(crate) fn leave(&mut self, node: Incarnation) -> Result<(), ArbiterError> {
        self.0.remove(&node);
        Ok(())
    }

    pub(crate) fn list(&self) -> Result<Vec<NodeLease>, ArbiterError> {
        let lease = |(row, state, heard): &(NodeRow, NodeState, Instant)| NodeLease {
            row: row.clone(),
            state: *state,
            age: heard.elapsed(),
        };
        Ok(self.0.values().map(lease).collect())
    }
}
