//! Takes turns at writing patches to many sockets.
//!
//! A commit that many rooms share lets all of them write at once: thirty rooms of twenty clients are four milliseconds of
//! writing, and whoever sends a message meanwhile would wait for all of it. So a room writes its patches when its turn
//! comes, and after each turn what has arrived is looked at first. A room that has something to answer does not wait: it
//! writes what it has, in order.

use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The turns of one node: as many rooms write at once as the runtime has threads.
#[derive(Debug)]
pub(crate) struct FanOuts(Arc<Semaphore>);

/// A room's turn.
#[derive(Debug)]
pub(crate) struct Turn(OwnedSemaphorePermit);

impl FanOuts {
    pub(crate) fn new() -> Self {
        let threads = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
        Self(Arc::new(Semaphore::new(threads)))
    }

    /// Waits for the next turn, in order of asking. Cancel-safe, at the price of the place in the queue.
    pub(crate) async fn next(&self) -> Turn {
        let turn = Arc::clone(&self.0).acquire_owned().await;
        Turn(turn.expect("nobody closes it"))
    }
}

impl Turn {
    /// The room has written. The next one has its turn once everything that became ready meanwhile was looked at.
    pub(crate) async fn over(self) {
        tokio::task::yield_now().await;
        drop(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    #[tokio::test]
    async fn others_come_between_two_turns() {
        let (turns, order) =
            (Arc::new(FanOuts(Arc::new(Semaphore::new(1)))), Arc::new(Mutex::new(Vec::new())));
        let rooms: Vec<_> = (0..3)
            .map(|room| {
                let (turns, order) = (Arc::clone(&turns), Arc::clone(&order));
                tokio::spawn(async move {
                    let turn = turns.next().await;
                    order.lock().push(format!("room {room}"));
                    let order = Arc::clone(&order);
                    tokio::spawn(async move { order.lock().push(format!("after {room}")) });
                    turn.over().await;
                })
            })
            .collect();
        for room in rooms {
            room.await.unwrap();
        }
        tokio::task::yield_now().await;
        let order = order.lock();
        let expected = ["room 0", "after 0", "room 1", "after 1", "room 2", "after 2"];
        assert_eq!(*order, expected);
    }
}
