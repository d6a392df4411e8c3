//! Standing still at a patch boundary, so that another node can carry the room on.
//!
//! ```text
//! No -> Wanted --nobody is joining, no change waits for its patch--> Still --durable and released--> Frozen
//!          '---------------------- the asker went away -----------------'                              |
//!                                                              thaw: goes on       release: it is over here
//! ```
//!
//! Invariant: from `Still` on neither the engine runs nor the mailbox is read, so the image is the room.

#[cfg(test)]
mod tests;

use super::{Control, Frozen, Host};
use bytes::Bytes;
use everplay_room::marker;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// How long clients that are joining may take to acknowledge: the next owner would send them JOIN_ROOM once more.
const JOINS: Duration = Duration::from_millis(500);

/// Whether the room stands still, or is to.
pub(super) enum Standstill {
    No,
    Wanted { answer: oneshot::Sender<Option<Frozen>>, joins_until: Instant },
    Still { answer: oneshot::Sender<Option<Frozen>>, image: Bytes },
    Frozen(mpsc::Receiver<Control>),
}

/// What happened to a standstill.
pub(super) enum Change {
    /// Clients that were joining have had their time.
    Later,
    /// Nobody waits for it any more, or it is over.
    Thaw,
    Release,
}

impl Standstill {
    pub(super) fn is_still(&self) -> bool {
        matches!(self, Standstill::Still { .. } | Standstill::Frozen(_))
    }

    /// Waits for the next change. Cancel-safe.
    pub(super) async fn change(&mut self) -> Change {
        match self {
            Standstill::No => std::future::pending().await,
            Standstill::Wanted { answer, joins_until } => {
                // Once the time is over only the asker matters.
                let later = *joins_until;
                let waits = later > Instant::now();
                tokio::select! {
                    biased;
                    () = answer.closed() => Change::Thaw,
                    () = tokio::time::sleep_until(later), if waits => Change::Later,
                }
            }
            Standstill::Still { answer, .. } => {
                answer.closed().await;
                Change::Thaw
            }
            Standstill::Frozen(control) => match control.recv().await {
                Some(Control::Release) => Change::Release,
                Some(Control::Thaw) | None => Change::Thaw,
            },
        }
    }

    /// The room is over: whoever waits for it to stand still learns that.
    pub(super) fn give_up(self) {
        if let Standstill::Wanted { answer, .. } | Standstill::Still { answer, .. } = self {
            // An asker that went away does not need to know.
            let _ = answer.send(None);
        }
    }
}

impl Host {
    pub(super) fn freeze(&mut self, answer: oneshot::Sender<Option<Frozen>>) {
        if let Standstill::No = self.standstill {
            self.standstill = Standstill::Wanted { answer, joins_until: Instant::now() + JOINS };
        } else {
            // One move at a time.
            let _ = answer.send(None);
        }
    }

    pub(super) fn standstill_changed(&mut self, change: Change) {
        match change {
            Change::Later => {}
            Change::Thaw => self.thaw(),
            Change::Release => {
                tracing::info!(room.id = %self.entry.id, "the room lives elsewhere now");
                self.leave();
                self.hand_back();
                if let Some(drained) = self.draining.take() {
                    // All of it is durable.
                    let _ = drained.send(());
                }
            }
        }
    }

    fn thaw(&mut self) {
        self.standstill = Standstill::No;
        if self.paused.is_none() {
            self.clock.resume();
        }
    }

    /// Goes a step towards the standstill, if one is wanted and the room is ready for it.
    pub(super) fn try_stand_still(&mut self) {
        if self.over || self.paused.is_some() {
            return;
        }
        if let Standstill::Wanted { joins_until, .. } = &self.standstill {
            let joining = self.engine.is_joining() && Instant::now() < *joins_until;
            // A change waits for its patch; the wake that sends it is set.
            let image = if joining { None } else { self.engine.snapshot() };
            if let Some(image) = image {
                self.stand_still(Bytes::from(image));
            }
        }
        let settled = self.journal.is_settled() && self.gate.is_empty();
        if settled && let Standstill::Still { .. } = self.standstill {
            self.report_frozen();
        }
    }

    fn stand_still(&mut self, image: Bytes) {
        let Standstill::Wanted { answer, .. } = std::mem::replace(&mut self.standstill, Standstill::No)
        else {
            return;
        };
        self.clock.pause();
        let durability = self.kind.settings().durability;
        if durability.survives() && !durability.journals_steps() {
            // Nothing else gives the image a position of its own; published, it also outlives the next owner.
            self.journal.push(Bytes::from(marker(self.engine.time())));
            self.journal.image(image.clone());
            self.journal.publish_if_settled();
            self.journal.submit();
        }
        self.standstill = Standstill::Still { answer, image };
        self.mark();
        self.release();
    }

    fn report_frozen(&mut self) {
        let Standstill::Still { answer, image } = std::mem::replace(&mut self.standstill, Standstill::No)
        else {
            return;
        };
        let (control, word) = mpsc::channel(1);
        let (position, token) = (self.journal.position(), self.journal.token());
        match answer.send(Some(Frozen { image, position, token, control })) {
            Ok(()) => self.standstill = Standstill::Frozen(word),
            Err(_) => self.thaw(),
        }
    }
}
