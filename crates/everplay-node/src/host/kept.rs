//! Sockets that were kept while this host was not there for them.

use super::connections::Connection;
use super::{Command, Host, Reattach};
use crate::journal::Answer;
use crate::metrics as names;
use everplay_live::LoadedRoom;
use everplay_room::{CatchUp, Durability, Input, Missed};
use everplay_types::Seq;
use std::sync::Arc;

impl Host {
    /// Files kept sockets, and adds what the engine is to know of them to `inputs`.
    pub(super) async fn reattach(&mut self, reattach: Reattach, inputs: &mut Vec<Input>) {
        if reattach.epoch > self.journal.token().epoch {
            // They have heard of a later owner than this one: it is there that they belong.
            return reattach.seats.into_iter().for_each(|seat| seat.sink.moved());
        }
        let missed = Arc::new(self.missed(&reattach).await);
        if self.over {
            return reattach.seats.into_iter().for_each(|seat| seat.sink.moved());
        }
        self.reattached = self.reattached.max(reattach.number);
        self.taken += 1;
        let relays = reattach.seats.iter().filter_map(|seat| seat.sink.relay());
        self.connections.are_behind(relays.map(|seat| seat.relay.id()), self.taken);
        metrics::counter!(names::CLIENTS_REATTACHED).increment(reattach.seats.len() as u64);
        for seat in reattach.seats {
            let mut connection = Connection::new(seat.connect.session.clone(), seat.sink);
            connection.live = seat.acknowledged;
            if let Some(old) = self.connections.number_of(&connection) {
                self.connections.remove(&old);
                inputs.push(Input::Detached { conn: old });
            }
            self.connections.insert(seat.connect.conn, connection);
            inputs.push(Input::Reattach(everplay_room::Reattach {
                connect: seat.connect,
                acknowledged: seat.acknowledged,
                full: seat.full,
                inputs: seat.inputs,
                input_time: seat.input_time,
                missed: Arc::clone(&missed),
            }));
        }
    }

    /// What left this room after what these sockets were given.
    async fn missed(&mut self, reattach: &Reattach) -> Missed {
        let durability = self.kind.settings().durability;
        if !durability.journals_steps() {
            return Missed::unknown();
        }
        let forwarded = reattach.forwarded;
        // What an earlier owner sent rests on what this one began with.
        let earlier = reattach.epoch < self.journal.token().epoch;
        let end = if earlier { self.began_at } else { self.journal.assigned() };
        if forwarded > end {
            if durability == Durability::Confirmed {
                metrics::counter!(names::CLIENTS_AHEAD).increment(reattach.seats.len() as u64);
                tracing::error!(
                    room.id = %self.entry.id, %forwarded, journal = %end,
                    "clients have seen what the journal does not hold"
                );
            }
            return Missed::unknown();
        }
        let known = self.catch_up.as_ref().map_or(self.journal.assigned(), CatchUp::after);
        if forwarded < known {
            self.read_back(forwarded).await;
        }
        let nothing;
        let catch_up = match &self.catch_up {
            Some(catch_up) => catch_up,
            None => {
                nothing = CatchUp::new(self.journal.assigned());
                &nothing
            }
        };
        catch_up.missed(forwarded).unwrap_or_else(|error| {
            tracing::error!(room.id = %self.entry.id, %error, "the newest records cannot be read");
            Missed::unknown()
        })
    }

    /// Looks for records after `forwarded` in the journal: the way to these sockets broke some time before it was
    /// noticed.
    async fn read_back(&mut self, forwarded: Seq) {
        while !self.journal.is_settled() {
            match self.journal.answered().await {
                Answer::Confirmed => self.release(),
                Answer::HeldUp => {}
                Answer::Lost(loss) => return self.give_up(&loss),
            }
        }
        match self.node.read_room(&self.entry.id).await {
            Ok(loaded) if loaded.position.last == self.journal.assigned() => {
                let read = tail_of(&loaded);
                if read.after() <= forwarded || self.catch_up.is_none() {
                    self.catch_up = Some(read);
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(room.id = %self.entry.id, %error, "what clients missed is not known; they get full states");
            }
        }
    }

    /// Gives back what waits in the mailbox: this host will not look at it, and the next owner should.
    pub(super) fn hand_back(&mut self) {
        self.mailbox.close();
        while let Ok(command) = self.mailbox.try_recv() {
            self.hand_back_one(command);
        }
    }

    pub(super) fn hand_back_one(&mut self, command: Command) {
        match command {
            Command::Input(Input::Frame { conn, bytes }) => {
                if let Some(connection) = self.connections.get(&conn) {
                    connection.sink.unprocessed(bytes);
                }
            }
            Command::Attach { sink, .. } => sink.moved(),
            Command::Reattach(reattach) => reattach.seats.iter().for_each(|seat| seat.sink.moved()),
            Command::Detach(conns) => conns.iter().for_each(|conn| drop(self.connections.remove(conn))),
            // Their askers see that nobody answers.
            Command::Input(_)
            | Command::Ask { .. }
            | Command::Drain(_)
            | Command::Freeze(_)
            | Command::Superseded => {}
        }
    }
}

/// The records after the snapshot.
pub(crate) fn tail_of(loaded: &LoadedRoom) -> CatchUp {
    let mut tail = CatchUp::new(loaded.snapshot.as_ref().map_or(Seq::ZERO, |snapshot| snapshot.seq));
    loaded.tail.iter().for_each(|entry| tail.push(entry.payload.clone()));
    tail
}
