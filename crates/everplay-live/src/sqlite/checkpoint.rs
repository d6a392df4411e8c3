//! Brings what the write-ahead log holds into the file's pages, beside the writer.
//!
//! Commits only append to the log. This thread copies committed pages from it into the file (a passive checkpoint:
//! nobody waits). Under constant load it never catches up to the last commit, and only a log that is copied whole
//! can start over; so when the log is long the writer is asked to copy the short rest between two commits.
//!
//! An error other than "full" or "busy" is a failed write or sync of the file: the writer then poisons the store.

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

/// Pages in the log beyond which the writer is asked to finish a checkpoint: 32 MiB.
const LONG_LOG: i64 = (32 << 20) / 4096;

/// What the writer and the thread say to each other.
#[derive(Debug, Default)]
pub(super) struct Checkpoint {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    wished: bool,
    finish: bool,
    closing: bool,
    failed: Option<String>,
}

impl Checkpoint {
    /// Enough was written.
    pub(super) fn wish(&self) {
        self.state.lock().wished = true;
        self.wake.notify_one();
    }

    /// Is the writer to finish a checkpoint now?
    pub(super) fn take_finish(&self) -> bool {
        std::mem::take(&mut self.state.lock().finish)
    }

    /// Why checkpoints failed, if they did.
    pub(super) fn failed(&self) -> Option<String> {
        self.state.lock().failed.clone()
    }

    pub(super) fn close(&self) {
        self.state.lock().closing = true;
        self.wake.notify_one();
    }

    /// The thread: ends with [`close`](Self::close) or the first failure.
    pub(super) fn run(&self, conn: &Connection) {
        loop {
            let mut state = self.state.lock();
            while !state.wished && !state.closing {
                self.wake.wait(&mut state);
            }
            if state.closing {
                return;
            }
            state.wished = false;
            drop(state);
            let outcome = passive(conn);
            let mut state = self.state.lock();
            match outcome {
                Ok(pages) => state.finish |= pages > LONG_LOG,
                Err(reason) => {
                    state.failed = Some(reason);
                    return;
                }
            }
        }
    }
}

/// One passive checkpoint. Returns the pages in the log, copied or not. A full disk or a busy file is no failure:
/// the log still has everything.
pub(super) fn passive(conn: &Connection) -> Result<i64, String> {
    let outcome = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |row| row.get::<_, i64>(1));
    match outcome {
        Ok(pages) => Ok(pages),
        Err(error) if super::writer::is_full(&error) => Ok(0),
        Err(error) => match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => Ok(0),
            _ => Err(format!("checkpoint: {error}")),
        },
    }
}
