//! Questions to other nodes and their answers.

use everplay_cluster::{Answer, Links, Message};
use everplay_types::Incarnation;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::oneshot;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum AskError {
    /// Nothing was sent.
    #[error("the node cannot be reached")]
    Unreachable,
    /// It may have been done.
    #[error("the node did not answer in time")]
    Unknown,
}

#[derive(Default)]
pub(super) struct Asks {
    next: AtomicU64,
    waiting: Mutex<BTreeMap<u64, (Incarnation, oneshot::Sender<Answer>)>>,
}

impl Asks {
    /// Sends the message made for a fresh number and waits for its answer.
    pub(super) async fn ask(
        &self,
        links: &dyn Links,
        peer: Incarnation,
        patience: Duration,
        message: impl FnOnce(u64) -> Message,
    ) -> Result<Answer, AskError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().insert(id, (peer, answer));
        if links.send(peer, message(id).encode()).is_err() {
            self.waiting.lock().remove(&id);
            return Err(AskError::Unreachable);
        }
        let result = tokio::time::timeout(patience, answered).await;
        self.waiting.lock().remove(&id);
        match result {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(AskError::Unknown),
        }
    }

    pub(super) fn answered(&self, peer: Incarnation, id: u64, answer: Answer) {
        let mut waiting = self.waiting.lock();
        if waiting.get(&id).is_some_and(|(asked, _)| *asked == peer)
            && let Some((_, asker)) = waiting.remove(&id)
        {
            // An asker that lost patience.
            let _ = asker.send(answer);
        }
    }

    /// The link broke: no answer comes from this node.
    pub(super) fn link_down(&self, peer: Incarnation) {
        self.waiting.lock().retain(|_, (asked, _)| *asked != peer);
    }
}
