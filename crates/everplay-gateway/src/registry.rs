//! All room connections, so that a shutdown reaches every one of them.

use crate::outbox::Outbox;
use crate::server::Shared;
use everplay_types::CloseCode;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

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
    /// Set once all are told to end: whoever comes after is told at once.
    closing: Option<(CloseCode, &'static str)>,
}

/// A connection's entry; removed on drop.
pub(crate) struct Registered {
    shared: Arc<Shared>,
    key: u64,
}

impl Registered {
    pub(crate) fn new(shared: &Arc<Shared>, outbox: Outbox) -> Self {
        let mut open = shared.registry.open.lock();
        let key = open.next;
        open.next += 1;
        if let Some((code, reason)) = open.closing {
            outbox.close(code, reason);
        }
        open.outboxes.insert(key, outbox);
        drop(open);
        Registered { shared: Arc::clone(shared), key }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.registry.open.lock().outboxes.remove(&self.key);
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
