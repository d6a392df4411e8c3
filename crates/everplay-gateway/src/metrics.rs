//! Every metric of the gateway, with unit and help. Handles are made once and shared: nothing is looked up per frame.
//!
//! No room, session or address is ever a label.

use everplay_types::CloseCode;
use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

const SOCKETS: &str = "everplay_gateway_sockets";
const CONNECTIONS: &str = "everplay_gateway_connections";
const REFUSALS: &str = "everplay_gateway_refusals_total";
const CLOSES: &str = "everplay_gateway_closes_total";
const REQUESTS: &str = "everplay_gateway_requests_total";
const MATCHMAKE_SECONDS: &str = "everplay_gateway_matchmake_seconds";
const FRAMES_IN: &str = "everplay_gateway_frames_in_total";
const BYTES_IN: &str = "everplay_gateway_bytes_in_total";
const FRAMES_OUT: &str = "everplay_gateway_frames_out_total";
const BYTES_OUT: &str = "everplay_gateway_bytes_out_total";
const WRITES: &str = "everplay_gateway_writes_total";
const PATCHES_SHED: &str = "everplay_gateway_patches_shed_total";
const RESYNCS: &str = "everplay_gateway_resyncs_total";

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident => $label:literal,)*) => {
        /// Why something was refused; the `reason` label of `everplay_gateway_refusals_total`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Refusal { $($(#[$doc])* $name,)* }

        impl Refusal {
            const ALL: &[Refusal] = &[$(Refusal::$name,)*];

            /// The label. Stable: dashboards and alerts name it.
            pub(crate) fn label(self) -> &'static str {
                match self { $(Refusal::$name => $label,)* }
            }
        }
    };
}

refusals! {
    /// The bound on all sockets.
    Connections => "connections",
    /// The bound on the sockets of one address.
    ConnectionsPerIp => "connections_per_ip",
    /// Headers did not arrive in time, or nothing did.
    HeaderTimeout => "header_timeout",
    /// Too many headers, or too many bytes of them.
    HeaderSize => "header_size",
    /// Not HTTP.
    BadRequest => "bad_request",
    /// The body is too large.
    BodySize => "body_size",
    /// The body did not arrive in time.
    BodyTimeout => "body_timeout",
    /// The body is not the JSON it should be.
    MalformedBody => "malformed_body",
    /// Matchmaking or a new connection while draining.
    Draining => "draining",
    /// The rooms did not answer a matchmaking request in time.
    MatchmakeTimeout => "matchmake_timeout",
    /// The rooms refused a matchmaking request.
    Matchmake => "matchmake",
    /// Matchmaking more often than one may ask.
    MatchmakeRate => "matchmake_rate",
    /// A WebSocket handshake that is not one.
    BadUpgrade => "bad_upgrade",
    /// No seat for this connection.
    NoSeat => "no_seat",
    /// The room is being restored.
    Restoring => "restoring",
    /// The room refused the client.
    Join => "join",
    /// The rooms did not take the connection in time.
    AttachTimeout => "attach_timeout",
    /// Too many frames before the join was acknowledged.
    BeforeAck => "before_ack",
    /// The join was not acknowledged in time.
    AckTimeout => "ack_timeout",
    /// Unknown opcode, truncated or otherwise malformed frame.
    BadFrame => "bad_frame",
    /// A text frame where only binary ones belong.
    TextFrame => "text_frame",
    /// A text frame that is not UTF-8.
    InvalidText => "invalid_text",
    /// A message over the size limit.
    FrameSize => "frame_size",
    /// The WebSocket protocol was broken.
    Protocol => "websocket_protocol",
    /// Too many messages per second.
    MessageRate => "message_rate",
    /// Too many WebSocket pings and pongs per second.
    ControlRate => "control_rate",
    /// The client does not read.
    TooSlow => "too_slow",
    /// Pings stayed unanswered.
    PingTimeout => "ping_timeout",
    /// The room's mailbox stayed full.
    InboxFull => "inbox_full",
}

/// Which kind of request it was; the `route` label of `everplay_gateway_requests_total`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Route {
    Matchmake,
    Upgrade,
    Health,
    Metrics,
    Preflight,
    App,
}

impl Route {
    /// In metrics and log lines.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Route::Matchmake => "matchmake",
            Route::Upgrade => "upgrade",
            Route::Health => "health",
            Route::Metrics => "metrics",
            Route::Preflight => "preflight",
            Route::App => "app",
        }
    }
}

/// The handles. Made after the program installed its recorder; before that, everything goes nowhere.
pub(crate) struct Metrics {
    pub(crate) sockets: Gauge,
    pub(crate) connections: Gauge,
    pub(crate) matchmake_seconds: Histogram,
    pub(crate) frames_in: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) frames_out: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) writes: Counter,
    pub(crate) patches_shed: Counter,
    pub(crate) resyncs: Counter,
    refusals: Vec<Counter>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        describe_gauge!(SOCKETS, Unit::Count, "Open sockets of all kinds.");
        describe_gauge!(CONNECTIONS, Unit::Count, "WebSocket connections that hold a seat in a room.");
        describe_counter!(REFUSALS, Unit::Count, "What was refused, by reason.");
        describe_counter!(CLOSES, Unit::Count, "Ended room connections, by close code.");
        describe_counter!(REQUESTS, Unit::Count, "HTTP requests, by route and class of status.");
        describe_histogram!(
            MATCHMAKE_SECONDS,
            Unit::Seconds,
            "Time the rooms took for a matchmaking request."
        );
        describe_counter!(FRAMES_IN, Unit::Count, "Frames received from room connections.");
        describe_counter!(BYTES_IN, Unit::Bytes, "Payload bytes of received frames.");
        describe_counter!(FRAMES_OUT, Unit::Count, "WebSocket frames written.");
        describe_counter!(BYTES_OUT, Unit::Bytes, "Bytes written to WebSockets.");
        describe_counter!(
            WRITES,
            Unit::Count,
            "Writes to WebSockets; frames per write show how well they gather."
        );
        describe_counter!(PATCHES_SHED, Unit::Count, "Patches dropped because a client fell behind.");
        describe_counter!(RESYNCS, Unit::Count, "Full states asked for after patches were dropped.");
        Metrics {
            sockets: gauge!(SOCKETS),
            connections: gauge!(CONNECTIONS),
            matchmake_seconds: histogram!(MATCHMAKE_SECONDS),
            frames_in: counter!(FRAMES_IN),
            bytes_in: counter!(BYTES_IN),
            frames_out: counter!(FRAMES_OUT),
            bytes_out: counter!(BYTES_OUT),
            writes: counter!(WRITES),
            patches_shed: counter!(PATCHES_SHED),
            resyncs: counter!(RESYNCS),
            refusals: Refusal::ALL
                .iter()
                .map(|reason| counter!(REFUSALS, "reason" => reason.label()))
                .collect(),
        }
    }

    /// Counts a refusal.
    pub(crate) fn refuse(&self, reason: Refusal) {
        self.refusals[reason as usize].increment(1);
    }

    /// Counts an ended room connection. Codes that are not ours or the protocol's share one label.
    pub(crate) fn closed(&self, code: CloseCode) {
        let label = match code.0 {
            1000..=1011 | 4000..=4010 | 4100..=4104 => code.0.to_string(),
            _ => "other".to_owned(),
        };
        counter!(CLOSES, "code" => label).increment(1);
    }

    /// Counts an answered request.
    pub(crate) fn answered(&self, route: Route, status: u16) {
        let route = route.label();
        let class = match status {
            100..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        counter!(REQUESTS, "route" => route, "status" => class).increment(1);
    }
}
