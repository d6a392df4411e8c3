use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When what a room computed may be seen by its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Durability {
    /// Nothing leaves before the journal holds it: what a player has seen is never taken back.
    #[default]
    Confirmed,
    /// Every patch is journaled, but clients may be ahead of the journal by at most this long.
    /// A crash may take back what was seen within it.
    Bounded(Duration),
    /// No patch is journaled; a snapshot is written this often, and at joins, leaves and
    /// [`checkpoint`](crate::Context::checkpoint)s. A crash goes back to the last snapshot.
    Snapshot(Duration),
    /// Nothing is written. A crash ends the room.
    Ephemeral,
}

impl Durability {
    /// Whether each step's record goes to the journal.
    pub fn journals_steps(self) -> bool {
        matches!(self, Durability::Confirmed | Durability::Bounded(_))
    }

    /// Whether a restart finds the room again.
    pub fn survives(self) -> bool {
        self != Durability::Ephemeral
    }
}

/// What a room kind sets once for all its rooms.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Of the state's meaning. Raise it in a release whose rooms hold what the release before must not lose: a node
    /// that knows a lower version leaves such rooms to nodes that know this one, before it is granted them. Fields that
    /// may be lost on the way back need no new version. Default 1.
    pub version: u32,
    /// Length of a simulation step; None: the room only reacts. Default none.
    pub tick: Option<Duration>,
    /// Shortest time between two patches. The first change after a quiet time leaves at once.
    /// Default 50 ms, as Colyseus.
    pub patch_interval: Duration,
    /// Seats per room, reservations included. Full rooms are not joinable. Default 64: a bound that a
    /// forgotten setting cannot turn into an unbounded room; rooms may raise it.
    pub max_clients: u32,
    /// How long a reservation waits for its client. Default 15 s, as Colyseus.
    pub seat_reservation: Duration,
    /// How long the seat of a client whose connection dropped waits for it, unless the drop hook says
    /// otherwise. Zero: a drop is a leave. Default 30 s, in which the SDK makes ten attempts.
    pub reconnection: Duration,
    /// Whether clients without a verified identity may ask for seats. A guest has one; who presents no token, or one
    /// that is not valid, has none. Default true.
    pub anonymous: bool,
    /// See [`Durability`]. Default Confirmed.
    pub durability: Durability,
    /// How long a saved room is worth coming back to: a server that starts later than this after the last snapshot ends
    /// the room instead of bringing it back. By the wall clock, and the snapshot is what counts. Default none: for ever.
    pub expires: Option<Duration>,
    /// End the room when its last seat is gone. Default true.
    pub auto_dispose: bool,
    /// Messages a second one client may send before it is closed with 4101. Default 120, twice the
    /// input rate of a 60 Hz game.
    pub messages_per_second: u32,
    /// Missed simulation steps that are caught up at most; the rest is skipped and counted. Default 5.
    pub max_catch_up: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: 1,
            tick: None,
            patch_interval: Duration::from_millis(50),
            max_clients: 64,
            seat_reservation: Duration::from_secs(15),
            reconnection: Duration::from_secs(30),
            anonymous: true,
            durability: Durability::Confirmed,
            expires: None,
            auto_dispose: true,
            messages_per_second: 120,
            max_catch_up: 5,
        }
    }
}
