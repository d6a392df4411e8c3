//! Every bound of the gateway: its unit, its default, and what happens when it is reached.
//!
//! Invariant: whatever a stranger can make grow (sockets, headers, bodies, frames, queues, waiting times) has a
//! field here. A refusal because of a bound is counted in `everplay_gateway_refusals_total` under its reason.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Bounds of the gateway. Every field has a default; unknown keys are refused.
///
/// Times are written in milliseconds under keys that end in `_ms`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Open sockets of all kinds. Default 20000. One more is answered 503 and closed.
    pub connections: u32,
    /// Open sockets from one address; 0 switches the bound off. Default 512, for a school behind one router.
    /// One more is answered 429 and closed. Trusted proxies are exempt.
    pub connections_per_ip: u32,
    /// Whether [`connections_per_ip`](Self::connections_per_ip) counts loopback too. Default false: a proxy, a
    /// load generator and a developer's browser all come from there.
    pub connections_per_ip_loopback: bool,

    /// Time for a request's headers, from the accept or their first byte. Default 5 s.
    /// Then the socket is closed without an answer, as is one that never says anything.
    #[serde(with = "millis", rename = "header_read_ms")]
    pub header_read: Duration,
    /// Time without a request on a connection that had one. Default 75 s, above the idle time of common proxies, so that
    /// it is them who close and no request meets a closed connection. Then the socket is closed.
    #[serde(with = "millis", rename = "keep_alive_ms")]
    pub keep_alive: Duration,
    /// Bytes of a request's line and headers. Default 16 KiB (browsers with many cookies stay below 8). More: 431.
    pub header_bytes: u32,
    /// Number of headers of a request. Default 100. More: 431.
    pub headers: u32,
    /// Bytes of a request's body. Default 64 KiB. More: 413.
    pub body_bytes: u32,
    /// Time for a request's body. Default 10 s. Then 408.
    #[serde(with = "millis", rename = "body_read_ms")]
    pub body_read: Duration,
    /// Time for an answer of the rooms to a matchmaking request. Default 15 s, as long as a seat is held. Then 523.
    #[serde(with = "millis", rename = "matchmake_ms")]
    pub matchmake: Duration,

    /// Time for the rooms to take a connection to its seat. Default 10 s. Then close 4010: come back.
    #[serde(with = "millis", rename = "attach_ms")]
    pub attach: Duration,
    /// Time from the seat to the client's acknowledgement of the join. Default 15 s. Then close 4102.
    #[serde(with = "millis", rename = "ack_ms")]
    pub ack: Duration,
    /// Bytes of one message from a client, all its fragments together. Default 64 KiB. More: close 1009 before
    /// anything is allocated.
    pub frame_bytes: u32,
    /// Bytes read from a socket at once, held for as long as it is open. Default 1 KiB: what clients send is short.
    pub read_buffer_bytes: u32,
    /// Messages per second of one client, for room kinds that do not say; a burst of one second's worth is allowed;
    /// 0 switches the bound off. Default 250: inputs at 60 Hz and what was typed while offline. More: close 4101.
    pub messages_per_second: u32,
    /// WebSocket pings and pongs per second of one client. Default 20. More: close 4101.
    pub control_frames_per_second: u32,
    /// Time a message may wait for space in its room's mailbox; the socket is not read meanwhile. Default 5 s.
    /// Then close 4010: come back.
    #[serde(with = "millis", rename = "inbox_wait_ms")]
    pub inbox_wait: Duration,

    /// Bytes of patches and messages waiting for one client. Default 256 KiB. At that point patches give way to one
    /// later full state; where there are none, the connection is closed with 4100. One frame may exceed it.
    pub outbox_bytes: u32,
    /// Time to read what waits after patches gave way. Default 5 s. Then close 4100.
    #[serde(with = "millis", rename = "outbox_drain_ms")]
    pub outbox_drain: Duration,
    /// Bytes the kernel may hold unsent per socket; 0 leaves it to the system. Default 32 KiB: what waits in the
    /// kernel can no longer give way. No effect where the system has no such setting.
    pub unsent_bytes: u32,

    /// Time between WebSocket pings to a client. Default 15 s, below the idle time of common proxies.
    #[serde(with = "millis", rename = "ping_every_ms")]
    pub ping_every: Duration,
    /// Pings without any sign of life before the socket is dropped. Default 2.
    pub pings_missed: u32,
    /// Time for a client to answer a close before the socket is dropped. Default 2 s.
    #[serde(with = "millis", rename = "close_ms")]
    pub close: Duration,
    /// Life of a latency probe. Default 1 s, as in the official server. Then close 1000.
    #[serde(with = "millis", rename = "probe_ms")]
    pub probe: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 20_000,
            connections_per_ip: 512,
            connections_per_ip_loopback: false,
            header_read: Duration::from_secs(5),
            keep_alive: Duration::from_secs(75),
            header_bytes: 16 * 1024,
            headers: 100,
            body_bytes: 64 * 1024,
            body_read: Duration::from_secs(10),
            matchmake: Duration::from_secs(15),
            attach: Duration::from_secs(10),
            ack: Duration::from_secs(15),
            frame_bytes: 64 * 1024,
            read_buffer_bytes: 1024,
            messages_per_second: 250,
            control_frames_per_second: 20,
            inbox_wait: Duration::from_secs(5),
            outbox_bytes: 256 * 1024,
            outbox_drain: Duration::from_secs(5),
            unsent_bytes: 32 * 1024,
            ping_every: Duration::from_secs(15),
            pings_missed: 2,
            close: Duration::from_secs(2),
            probe: Duration::from_secs(1),
        }
    }
}

impl Limits {
    /// The first bound that makes no sense, as its key and what is wrong with it.
    pub(crate) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let positive = [
            ("connections", self.connections),
            ("headers", self.headers),
            ("body_bytes", self.body_bytes),
            ("frame_bytes", self.frame_bytes),
            ("control_frames_per_second", self.control_frames_per_second),
            ("outbox_bytes", self.outbox_bytes),
            ("pings_missed", self.pings_missed),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err((key, "must be at least 1"));
        }
        let times = [
            ("header_read_ms", self.header_read),
            ("keep_alive_ms", self.keep_alive),
            ("body_read_ms", self.body_read),
            ("matchmake_ms", self.matchmake),
            ("attach_ms", self.attach),
            ("ack_ms", self.ack),
            ("inbox_wait_ms", self.inbox_wait),
            ("outbox_drain_ms", self.outbox_drain),
            ("ping_every_ms", self.ping_every),
            ("close_ms", self.close),
            ("probe_ms", self.probe),
        ];
        if let Some((key, _)) = times.into_iter().find(|(_, value)| value.is_zero()) {
            return Err((key, "must be at least 1"));
        }
        if self.header_bytes < 1024 {
            return Err(("header_bytes", "must be at least 1024"));
        }
        if self.read_buffer_bytes < 256 {
            return Err(("read_buffer_bytes", "must be at least 256"));
        }
        Ok(())
    }
}

/// Durations as whole milliseconds.
mod millis {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}
