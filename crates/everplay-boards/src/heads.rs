//! The tops of boards, ready to be read.
//!
//! Nearly everybody looks at the top. A reader of it waits for nobody: whoever puts standings into a model makes the tops
//! anew afterwards, and until then the one before is the right answer, because what is being put was not answered yet.
//! Without this, a reader waits for the model's lock, and on a busy machine for the one who holds it to run again.
//!
//! Invariant: once a put has returned, no top from before it is given out.

use crate::model::{Board, Part};
use everplay_types::CustomerId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::{Duration, Instant};

/// Boards whose tops are kept: at 200 rows of some 200 bytes, 3 MB. Others are read from the model.
const BOARDS: usize = 64;
/// A top that nobody asked for this long is dropped rather than made anew.
const WANTED: Duration = Duration::from_secs(10);

type Key = (CustomerId, Board);

#[derive(Debug, Default)]
pub(crate) struct Heads {
    kept: Mutex<Kept>,
    /// Held while tops are made anew, so that the last to finish has seen what all before it put.
    renewing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Kept {
    /// How often tops were made anew: one that was read before must not be kept after.
    renewed: u64,
    heads: HashMap<Key, Head>,
}

#[derive(Debug)]
struct Head {
    page: Arc<Part>,
    asked: Instant,
}

impl Heads {
    /// Rows of a top.
    pub(crate) const ROWS: u32 = 200;

    /// The top of a board, made by `read` if it is not there.
    pub(crate) fn get(&self, customer: &CustomerId, board: &Board, read: impl FnOnce() -> Part) -> Arc<Part> {
        let key = (customer.clone(), board.clone());
        let renewed = {
            let mut kept = self.kept.lock();
            if let Some(head) = kept.heads.get_mut(&key) {
                head.asked = Instant::now();
                return Arc::clone(&head.page);
            }
            kept.renewed
        };
        let page = Arc::new(read());
        let mut kept = self.kept.lock();
        if kept.renewed == renewed && kept.heads.len() < BOARDS {
            kept.heads.insert(key, Head { page: Arc::clone(&page), asked: Instant::now() });
        }
        page
    }

    /// Standings were put: makes every top anew that is asked for.
    pub(crate) fn renew(&self, read: impl Fn(&CustomerId, &Board) -> Part) {
        let _renewing = self.renewing.lock();
        let wanted: Vec<Key> = {
            let mut kept = self.kept.lock();
            kept.heads.retain(|_, head| head.asked.elapsed() < WANTED);
            kept.heads.keys().cloned().collect()
        };
        let pages: Vec<_> = wanted.into_iter().map(|key| (Arc::new(read(&key.0, &key.1)), key)).collect();
        let mut kept = self.kept.lock();
        kept.renewed += 1;
        // One that was kept meanwhile was read before some of this was put.
        kept.heads.retain(|key, _| pages.iter().any(|(_, made)| made == key));
        for (page, key) in pages {
            if let Some(head) = kept.heads.get_mut(&key) {
                head.page = page;
            }
        }
    }
}
