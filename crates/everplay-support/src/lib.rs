//! The support desk: players ask, agents answer, nobody is forgotten.
//!
//! ```text
//! player -> Desk::open ---.                             .-> mail to the player
//! player -> Desk::reply --+-> ticket + notices, at once +-> mail to the desk
//! agent  -> Desk::change -'   (record store)            '-> webhook
//! clock  -> Desk::ring ---'                  Outbox::run: until each was taken
//! ```
//!
//! What may become of a ticket is the table in [`Status::after`]; when it must be answered is [`Sla`]; what it seems to be
//! about is [`triage`]. A ticket that is about a game keeps the position at that moment, so that an agent sees it when the
//! room is long gone.
//!
//! What is absent: HTTP, accounts, rooms. Whoever asks was identified before; positions come from a [`Witness`], and
//! notices leave by a [`Courier`].

mod complaints;
mod desk;
mod faq;
mod notice;
mod outbox;
mod sla;
mod status;
pub mod triage;

pub use desk::{
    Change, Channels, Desk, DeskError, Filter, GameRef, LIMITS, Listing, NewReply, NewTicket, Opened,
    Position, Side, Witness, WitnessError,
};
pub use faq::{Faq, FaqArticle, FaqError, NewArticle};
pub use notice::{Channel, Courier, CourierError, Event, Told};
pub use outbox::Outbox;
pub use sla::Sla;
pub use status::{Act, Status};
pub use triage::{Category, Priority};

/// A future of a port: boxed, because ports are trait objects.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn std::future::Future<Output = T> + Send + 'a>>;

/// Milliseconds since 1970, of the wall clock: tickets outlive the process.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
