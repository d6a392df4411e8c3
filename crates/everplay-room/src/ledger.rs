//! What the engine itself must not forget, as a second replicated tree beside the author's state.
//!
//! Journaled by the same patches, restored by the same decoder and readable by reflection, so seats, timers and
//! flags need no format of their own. Never sent to clients.

use crate::outbox::Waiting;
use everplay_schema::{Map, State};
use everplay_types::Millis;

/// The engine's own state.
#[derive(State, Default)]
pub struct Ledger {
    /// By session id.
    pub seats: Map<Seat>,
    /// By decimal timer id.
    pub timers: Map<TimerEntry>,
    /// The id of the next timer.
    pub next_timer: u64,
    /// Locked by the room itself.
    pub locked: bool,
    /// Joinable by id only.
    pub private: bool,
    /// Not shown in lobbies.
    pub unlisted: bool,
    /// Seats there are.
    pub max_clients: u32,
    /// JSON text; empty: none.
    pub metadata: String,
    /// The key of the room's random numbers, as four words.
    pub rng_key_0: u64,
    /// See `rng_key_0`.
    pub rng_key_1: u64,
    /// See `rng_key_0`.
    pub rng_key_2: u64,
    /// See `rng_key_0`.
    pub rng_key_3: u64,
    /// Random blocks used up.
    pub rng_block: u64,
    /// How often the room came back from its journal.
    pub restored: u32,
    /// Whether anyone ever had a seat: an empty room that was never joined waits a little longer.
    pub joined_once: bool,
    /// When an unjoined room ends.
    pub deserted_at: u64,
    /// Events that others have not taken yet, by decimal number.
    pub outbox: Map<Waiting>,
    /// Number of the last event.
    pub last_event: u64,
    /// How much of the service there is, as the room was told last: the number of a
    /// [`ServiceLevel`](everplay_types::ServiceLevel).
    pub service: u8,
}

/// A session's place in the room.
#[derive(State, Default, Clone)]
pub struct Seat {
    /// See [`Phase`].
    pub phase: u8,
    /// First half of the hash of the current reconnection token.
    pub token_0: u64,
    /// Second half.
    pub token_1: u64,
    /// The token before it, valid until the client has acknowledged the current one: it may never have
    /// received the current one.
    pub previous_0: u64,
    /// Second half.
    pub previous_1: u64,
    /// 0 unknown, else the minor version of the SDK: 16, 17, 18.
    pub dialect: u8,
    /// When a reserved or held seat is lost, in the room's time.
    pub expires_at: u64,
    /// Close code the connection ended with, while held.
    pub dropped_with: u16,
    /// Join options as JSON text, until the client has joined.
    pub options: String,
    /// What the auth hook returned, as JSON text.
    pub auth: String,
    /// The client's view, plus one; 0: none.
    pub view: u32,
    /// Number of the last input consumed of the present connection.
    pub input_seq: u32,
    /// JOIN_ROOM with the current token was not acknowledged yet.
    pub joining: bool,
}

/// Where a seat stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Waits for its client's first connection.
    Reserved,
    /// The join hook has run; a connection may be there.
    Joined,
    /// Its connection dropped; waits for the client to come back.
    Held,
}

impl Seat {
    /// Where the seat stands.
    pub fn phase(&self) -> Phase {
        match self.phase {
            0 => Phase::Reserved,
            1 => Phase::Joined,
            _ => Phase::Held,
        }
    }

    pub(crate) fn set_phase(&mut self, phase: Phase) {
        self.phase = match phase {
            Phase::Reserved => 0,
            Phase::Joined => 1,
            Phase::Held => 2,
        };
    }

    pub(crate) fn token(&self) -> TokenHash {
        TokenHash(self.token_0, self.token_1)
    }

    pub(crate) fn accepts(&self, hash: TokenHash) -> bool {
        hash == self.token() || hash == TokenHash(self.previous_0, self.previous_1)
    }

    /// A fresh token, on its way with JOIN_ROOM. `shown` is the one the client came with: that one it surely has, and it
    /// stays good; the current one may never have reached it.
    pub(crate) fn rotate_token(&mut self, token: &str, shown: Option<&str>) {
        let TokenHash(first, second) = TokenHash::of(token);
        let kept = shown.map_or(self.token(), TokenHash::of);
        (self.previous_0, self.previous_1) = (kept.0, kept.1);
        (self.token_0, self.token_1) = (first, second);
        self.joining = true;
    }

    /// JOIN_ROOM with the current token is on its way, as far as the journal knows.
    pub(crate) fn awaits_acknowledgement(&self) -> bool {
        self.joining
    }

    /// The client has the current token; the one before it is dead.
    pub(crate) fn forget_previous_token(&mut self) {
        (self.previous_0, self.previous_1) = (self.token_0, self.token_1);
        self.joining = false;
    }
}

/// The first 128 bits of a token's hash: journals and consoles never show a token that still opens a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenHash(u64, u64);

impl TokenHash {
    pub(crate) fn of(token: &str) -> Self {
        let hash = blake3::hash(token.as_bytes());
        let word = |at: usize| {
            u64::from_le_bytes(hash.as_bytes()[at..at + 8].try_into().expect("a slice of eight bytes"))
        };
        Self(word(0), word(8))
    }
}

/// A deadline that survives.
#[derive(State, Default, Clone)]
pub struct TimerEntry {
    /// When, in the room's time.
    pub due: u64,
    /// The author's payload, msgpack as hexadecimal text.
    pub payload: String,
}

impl Ledger {
    pub(crate) fn rng_key(&self) -> [u8; 32] {
        let mut key = [0; 32];
        let words = [self.rng_key_0, self.rng_key_1, self.rng_key_2, self.rng_key_3];
        for (chunk, word) in key.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        key
    }

    pub(crate) fn set_rng_key(&mut self, key: &[u8; 32]) {
        let word =
            |at: usize| u64::from_le_bytes(key[at..at + 8].try_into().expect("a slice of eight bytes"));
        (self.rng_key_0, self.rng_key_1) = (word(0), word(8));
        (self.rng_key_2, self.rng_key_3) = (word(16), word(24));
    }

    /// The earliest time something in here is due.
    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        let timers = self.timers.iter().map(|(_, timer)| timer.due);
        let seats = self
            .seats
            .iter()
            .filter(|(_, seat)| seat.phase() != Phase::Joined)
            .map(|(_, seat)| seat.expires_at);
        let deserted = (self.seats.is_empty() && self.deserted_at > 0).then_some(self.deserted_at);
        timers.chain(seats).chain(deserted).min().map(Millis)
    }
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a String does not fail");
    }
    text
}

pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
