//! All room connections, so that a shutdown reaches every one of them.

use crate::outbox::Outbox;
use crate::server::Shared;
use everplay_types::CloseCode;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The outboxes of all connections that have or ask for a seat.
#[derive(Default)]
pub(crate) struct Registry {
    /// Held for an insert or a remove; copied before anything is done with all.
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    outboxes: HashMap<u64, Outbox>,
    /// Connections by room.
    members: HashMap<String, Arc<AtomicU32>>,
    /// Set once all are told to end: whoever comes after is told at once.
    closing: Option<(CloseCode, &'static str)>,
}

/// A connection's entry; removed on drop.
pub(crate) struct Registered {
    shared: Arc<Shared>,
    key: u64,
    room: String,
}

impl Registered {
    /// `outbox` is made with the number of connections of the room, which goes on being kept up.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        room: &str,
        outbox: impl FnOnce(Arc<AtomicU32>) -> Outbox,
    ) -> (Self, Outbox) {
        let mut open = shared.registry.open.lock();
        let key = open.next;
        open.next += 1;
        let members = Arc::clone(open.members.entry(room.to_owned()).or_default());
        members.fetch_add(1, Ordering::Relaxed);
        let outbox = outbox(members);
        if let Some((code, reason)) = open.closing {
            outbox.close(code, reason);
        }
        open.outboxes.insert(key, outbox.clone());
        drop(open);
        (Registered { shared: Arc::clone(shared), key, room: room.to_owned() }, outbox)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut open = self.shared.registry.open.lock();
        open.outboxes.remove(&self.key);
        if let Some(members) = open.members.get(&self.room)
            && members.fetch_sub(1, Ordering::Relaxed) == 1
        {
            open.members.remove(&self.room);
        }
    }
}

impl Registry {
    pub(crate) fn len(&self) -> usize {
        self.open.lock().outboxes.len()
    }

    /// Tells every connection to end after what is queued for it. Returns how many.
    pub(crate) fn close_all(&self, code: CloseCode, reason: &'static str) -> usize {
        let outboxes: Vec<Outbox> = {
            let mut open = self.open.lock();
            open.closing.get_or_insert((code, reason));
            open.outboxes.values().cloned().collect()
        };
        for outbox in &outboxes {
            outbox.close(code, reason);
        }
        outboxes.len()
    }
}
