//! What is told to whom when something happens to a ticket.
//!
//! | what happens | the player (mail) | the desk (mail) | the webhook |
//! |---|---|---|---|
//! | a ticket is opened | yes | yes | yes |
//! | the player writes | | yes | yes |
//! | an agent writes | yes | | yes |
//! | the status changes | yes, unless they did it | | yes |
//! | the time is over | | yes | yes |
//!
//! Internal notes are told to nobody.

use crate::desk::Channels;
use crate::{BoxFuture, Category, Priority, Status};
use everplay_records::{Item, Notice, Ticket};
use everplay_types::CustomerId;
use serde::{Deserialize, Serialize};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A ticket was opened.
    Opened,
    /// The player wrote.
    PlayerReplied,
    /// An agent wrote.
    AgentReplied,
    /// An agent or the clock changed where it stands.
    StatusChanged,
    /// The player changed where it stands.
    StatusChangedByPlayer,
    /// The time to answer it is over.
    Escalated,
}

/// A way to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// Mail to the account that asked.
    PlayerMail,
    /// Mail to the desk.
    DeskMail,
    /// A request to a program of the desk.
    Webhook,
}

impl Event {
    /// Whom it is told to.
    fn channels(self) -> &'static [Channel] {
        use Channel::{DeskMail, PlayerMail, Webhook};
        match self {
            Event::Opened => &[PlayerMail, DeskMail, Webhook],
            Event::PlayerReplied | Event::Escalated => &[DeskMail, Webhook],
            Event::AgentReplied | Event::StatusChanged => &[PlayerMail, Webhook],
            Event::StatusChangedByPlayer => &[Webhook],
        }
    }
}

/// What a notice says: the ticket as it was then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// What happened.
    pub event: Event,
    /// The ticket.
    pub ticket_id: String,
    /// Account of who asked.
    pub author_id: String,
    /// The ticket's.
    pub subject: String,
    /// The ticket's.
    pub category: Category,
    /// The ticket's.
    pub priority: Priority,
    /// The ticket's.
    pub status: Status,
    /// What was written, if something was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Milliseconds since 1970.
    pub at: u64,
}

/// Why a notice did not leave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CourierError {
    /// The receiver is away; again later.
    #[error("{0}")]
    Later(String),
    /// It will never be taken.
    #[error("{0}")]
    Never(String),
}

/// Delivers notices.
pub trait Courier: Send + Sync + 'static {
    /// Delivers one. The same `id` may come again, when it is not known whether the first time arrived. Nobody to tell (an
    /// account without an address) is a success.
    fn deliver<'a>(
        &'a self,
        customer: &'a CustomerId,
        channel: Channel,
        id: &'a str,
        told: &'a Told,
    ) -> BoxFuture<'a, Result<(), CourierError>>;
}

/// The notices of an event, on the channels that there are.
pub(crate) fn of(
    event: Event,
    customer: &CustomerId,
    ticket: &Ticket,
    facts: (Category, Priority, Status),
    text: Option<&str>,
    channels: Channels,
) -> Vec<Notice> {
    let told = Told {
        event,
        ticket_id: ticket.ticket_id.clone(),
        author_id: ticket.author_id.clone(),
        subject: ticket.subject.clone(),
        category: facts.0,
        priority: facts.1,
        status: facts.2,
        text: text.map(str::to_owned),
        at: ticket.updated_at,
    };
    let open = event.channels().iter().filter(|channel| channels.has(**channel));
    open.map(|channel| Notice {
        notice_id: format!("{:032x}", rand::random::<u128>()),
        customer: customer.clone(),
        channel: name(*channel),
        body: body(&told),
        created_at: ticket.updated_at,
        due_at: ticket.updated_at,
        tries: 0,
        version: 1,
        problem: None,
        expires_at: None,
    })
    .collect()
}

fn body(told: &Told) -> Item {
    everplay_records::item_of(told)
}

fn name(channel: Channel) -> String {
    match channel {
        Channel::PlayerMail => "player_mail",
        Channel::DeskMail => "desk_mail",
        Channel::Webhook => "webhook",
    }
    .to_owned()
}

/// The notice as it was written. None: by another release.
pub(crate) fn read(notice: &Notice) -> Option<(Channel, Told)> {
    let channel = serde_json::from_value(notice.channel.clone().into()).ok()?;
    let told = serde_json::from_value(serde_json::Value::Object(notice.body.clone())).ok()?;
    Some((channel, told))
}
