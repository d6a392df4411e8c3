//! The links' metrics, each with unit and help. No node is ever a label: they come and go.

use metrics::{Counter, Unit, counter, describe_counter, describe_gauge};

pub(crate) const LINKS: &str = "everplay_links";
pub(crate) const BREAKS: &str = "everplay_link_breaks_total";
pub(crate) const SILENCES: &str = "everplay_link_silences_total";
pub(crate) const REFUSALS: &str = "everplay_link_refusals_total";
const SENT: &str = "everplay_link_sent_bytes_total";
const RECEIVED: &str = "everplay_link_received_bytes_total";

/// Tells the installed recorder what the links' metrics mean.
pub fn describe_metrics() {
    describe_gauge!(LINKS, Unit::Count, "Links to other nodes that stand");
    describe_counter!(BREAKS, Unit::Count, "Links that broke, by cause");
    describe_counter!(SILENCES, Unit::Count, "Times a node on a standing link was not heard for too long");
    describe_counter!(REFUSALS, Unit::Count, "Connections between nodes that came to nothing, by cause");
    describe_counter!(SENT, Unit::Bytes, "Bytes written to other nodes, before encryption");
    describe_counter!(RECEIVED, Unit::Bytes, "Bytes read from other nodes, after decryption");
}

/// Counters that are bumped often enough to be looked up once.
pub(crate) struct Flow {
    pub(crate) sent: Counter,
    pub(crate) received: Counter,
}

impl Flow {
    pub(crate) fn new() -> Self {
        Self { sent: counter!(SENT), received: counter!(RECEIVED) }
    }
}
