//! The node's metrics, each with unit and help. No room, session or player is ever a label.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub(crate) const ROOMS: &str = "everplay_rooms";
pub(crate) const ROOMS_CREATED: &str = "everplay_rooms_created_total";
pub(crate) const ROOMS_RESTORED: &str = "everplay_rooms_restored_total";
pub(crate) const ROOMS_QUARANTINED: &str = "everplay_rooms_quarantined_total";
pub(crate) const ROOM_PANICS: &str = "everplay_room_panics_total";
pub(crate) const ROOMS_LOST: &str = "everplay_rooms_lost_total";
pub(crate) const CLIENTS_AHEAD: &str = "everplay_clients_ahead_total";
pub(crate) const CLIENTS_REATTACHED: &str = "everplay_clients_reattached_total";
pub(crate) const ROOMS_PAUSED: &str = "everplay_rooms_paused_total";
pub(crate) const TICK_OVERRUNS: &str = "everplay_tick_overruns_total";
pub(crate) const FRAMES_SENT: &str = "everplay_frames_sent_total";
pub(crate) const CONFIRM_SECONDS: &str = "everplay_confirm_seconds";
pub(crate) const STALE_FRAMES: &str = "everplay_stale_frames_total";
pub(crate) const NODES_LOST: &str = "everplay_nodes_lost_total";
pub(crate) const TAKEOVER_SECONDS: &str = "everplay_takeover_seconds";
pub(crate) const ROOMS_MOVED: &str = "everplay_rooms_moved_total";
pub(crate) const MOVE_SECONDS: &str = "everplay_move_seconds";
pub(crate) const EVENTS_TAKEN: &str = "everplay_events_taken_total";
pub(crate) const EVENTS_SENSELESS: &str = "everplay_events_senseless_total";
pub(crate) const EVENT_RETRIES: &str = "everplay_event_retries_total";
pub(crate) const EVENTS_WAITING: &str = "everplay_events_waiting";
pub(crate) const EVENTS_OLDEST: &str = "everplay_events_oldest_seconds";
pub(crate) const MATCHMAKE: &str = "everplay_matchmake_total";

/// Tells the installed recorder what the node's metrics mean.
pub fn describe_metrics() {
    describe_gauge!(ROOMS, Unit::Count, "Rooms running on this node");
    describe_counter!(ROOMS_CREATED, Unit::Count, "Rooms created, by kind");
    describe_counter!(ROOMS_RESTORED, Unit::Count, "Rooms brought back from their journals at start");
    describe_counter!(
        ROOMS_QUARANTINED,
        Unit::Count,
        "Rooms taken out of service because they could not be read or failed twice"
    );
    describe_counter!(
        ROOM_PANICS,
        Unit::Count,
        "Panics in rooms; each was restored from its journal or closed"
    );
    describe_counter!(EVENTS_TAKEN, Unit::Count, "Events of rooms that a consumer has taken, by consumer");
    describe_counter!(
        EVENTS_SENSELESS,
        Unit::Count,
        "Events that a consumer cannot make sense of and that were left out, by consumer"
    );
    describe_counter!(
        EVENT_RETRIES,
        Unit::Count,
        "Batches of events that a consumer did not take, by consumer"
    );
    describe_gauge!(
        EVENTS_WAITING,
        Unit::Count,
        "Events of this node's rooms that a consumer has still to take, by consumer"
    );
    describe_gauge!(
        EVENTS_OLDEST,
        Unit::Seconds,
        "How long ago the oldest of these happened, by consumer; 0 when none waits"
    );
    describe_counter!(ROOMS_LOST, Unit::Count, "Rooms given up because their journal refused this node");
    describe_counter!(
        CLIENTS_AHEAD,
        Unit::Count,
        "Clients that had seen what their room's journal does not hold. Always zero while the promise is kept"
    );
    describe_counter!(
        CLIENTS_REATTACHED,
        Unit::Count,
        "Clients whose socket was kept while their room changed its owner or was out of reach"
    );
    describe_counter!(ROOMS_PAUSED, Unit::Count, "Times a room paused because its journal did not advance");
    describe_counter!(TICK_OVERRUNS, Unit::Count, "Simulation steps skipped because a room fell behind");
    describe_counter!(FRAMES_SENT, Unit::Count, "Frames handed to sockets");
    describe_histogram!(CONFIRM_SECONDS, Unit::Seconds, "From a step to its release by the journal");
    describe_counter!(
        STALE_FRAMES,
        Unit::Count,
        "Frames of earlier owners of a room, dropped before any socket"
    );
    describe_counter!(NODES_LOST, Unit::Count, "Nodes that this one found dead");
    describe_histogram!(
        TAKEOVER_SECONDS,
        Unit::Seconds,
        "From a node's death as noticed here to its last room taken over by this node"
    );
    describe_counter!(ROOMS_MOVED, Unit::Count, "Rooms handed over to another node");
    describe_histogram!(
        MOVE_SECONDS,
        Unit::Seconds,
        "From the first word of a hand-over to the room being elsewhere"
    );
    describe_counter!(MATCHMAKE, Unit::Count, "Matchmaking requests, by method and outcome");
}
