//! After a panic: the engine's image may be inconsistent, so it is dropped and read again from the journal. The
//! inputs since the last step had no effect anyone saw; they are tried once more. A second panic on them closes
//! the room for good.

use super::Host;
use super::connections::Parcels;
use crate::journal::Answer;
use crate::metrics as names;
use everplay_room::{Absent, ConnId, Durability, Input, RoomEngine, Step};
use everplay_types::{CloseCode, SessionId};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use tokio::time::Instant;

/// Revivals within this time that are too many: a room that fails again and again is not playable.
const WINDOW: Duration = Duration::from_secs(60);
const REVIVALS_IN_WINDOW: usize = 5;

impl Host {
    pub(super) async fn revive(&mut self, inputs: Vec<Input>, panic: Box<dyn Any + Send>) {
        let message = panic_message(panic.as_ref());
        metrics::counter!(names::ROOM_PANICS).increment(1);
        tracing::error!(room.id = %self.entry.id, panic = message, "the room failed");
        self.revivals.retain(|at| at.elapsed() < WINDOW);
        self.revivals.push(Instant::now());
        if self.kind.settings().durability == Durability::Ephemeral {
            return self.fail(&message, false);
        }
        if self.revivals.len() > REVIVALS_IN_WINDOW {
            return self.fail(&message, true);
        }
        // Everything handed to the journal before the panic is valid and is on its way to clients.
        while !self.journal.is_settled() {
            match self.journal.answered().await {
                Answer::Confirmed => self.release(),
                Answer::HeldUp => {}
                Answer::Lost(loss) => return self.give_up(&loss),
            }
        }
        self.release();
        self.gate.clear();
        self.outlet.clear();
        let loaded = match self.node.read_room(&self.entry.id).await {
            Ok(loaded) => loaded,
            Err(error) => return self.fail(&format!("{message}; and then its journal: {error}"), false),
        };
        let snapshot = loaded.snapshot.as_ref().map(|snapshot| snapshot.bytes.as_ref());
        let records: Vec<&[u8]> = loaded.tail.iter().map(|entry| entry.payload.as_ref()).collect();
        let engine = match self.kind.revive(&self.entry.id, snapshot, &records) {
            Ok(engine) => engine,
            Err(error) => return self.fail(&format!("{message}; and then its journal: {error}"), true),
        };
        self.close_unacknowledged();
        match self.resume(engine, &inputs) {
            Ok(step) => {
                tracing::info!(room.id = %self.entry.id, "the room was restored from its journal and goes on");
                self.take(step);
            }
            Err(panic) => self.fail(&panic_message(panic.as_ref()), true),
        }
    }

    /// Connections still joining have seen nothing; they come back by themselves.
    fn close_unacknowledged(&mut self) {
        let waiting: Vec<_> = self
            .connections
            .iter()
            .filter(|(_, connection)| !connection.live)
            .map(|(conn, _)| *conn)
            .collect();
        let mut parcels = Parcels::default();
        for conn in waiting {
            let (code, reason) = (CloseCode::MAY_TRY_RECONNECT, "the room was restored".to_owned());
            self.connections.close(conn, code, reason, &mut parcels);
        }
        self.send_aside(parcels);
    }

    fn resume(
        &mut self,
        mut engine: Box<dyn RoomEngine>,
        inputs: &[Input],
    ) -> Result<Step, Box<dyn Any + Send>> {
        // Sockets that were to be attached again in this very turn still are.
        let again = |conn: &ConnId| {
            inputs.iter().any(|input| matches!(input, Input::Reattach(again) if again.connect.conn == *conn))
        };
        let attached: Vec<(SessionId, ConnId)> = self
            .connections
            .iter()
            .filter(|(conn, _)| !again(conn))
            .map(|(conn, connection)| (connection.session.clone(), *conn))
            .collect();
        let awaiting = self.awaiting
            || inputs.iter().any(|input| matches!(input, Input::Reattach(_) | Input::Detached { .. }));
        let absent = if awaiting { Absent::Awaited } else { Absent::Dropped };
        let behind = !self.kind.settings().durability.journals_steps();
        let now = self.clock.now();
        let keep_sent = self.keeps_sent(inputs);
        let connections = &self.connections;
        let step = catch_unwind(AssertUnwindSafe(|| {
            engine.keep_sent(keep_sent);
            engine.resume(&attached, absent);
            for input in inputs {
                match input {
                    Input::Connect(_) => {}
                    Input::Reattach(again) if connections.get(&again.connect.conn).is_none() => {}
                    input => engine.input(now, input.clone()),
                }
            }
            if behind {
                // These rooms fall back to their last snapshot; their clients are ahead of it.
                for (_, conn) in &attached {
                    engine.input(now, Input::Resync { conn: *conn });
                }
            }
            engine.wake(now);
            engine.finish()
        }))?;
        self.engine = engine;
        // What it was told since its last image fell with the engine.
        self.service.mark_changed();
        Ok(step)
    }

    fn fail(&mut self, message: &str, quarantine: bool) {
        tracing::error!(room.id = %self.entry.id, panic = message, "the room is closed");
        if quarantine {
            metrics::counter!(names::ROOMS_QUARANTINED).increment(1);
            self.node.quarantine(&self.entry.id, format!("failed twice: {message}"));
        }
        self.leave_with(CloseCode::ROOM_FAILED, "the room failed");
    }
}

pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
