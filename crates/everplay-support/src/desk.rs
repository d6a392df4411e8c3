//! Tickets: opened, found, answered, changed, escalated.
//!
//! Each change reads the ticket, decides, and writes it under the version it read together with what is to be told; who
//! was overtaken decides again on what is there now.

mod fields;
mod view;

pub use fields::{Change, GameRef, LIMITS, NewReply, NewTicket};
pub use view::{Filter, Listing, Opened};

use crate::complaints::Complaints;
use crate::notice::{self, Channel};
use crate::{Act, BoxFuture, Event, Priority, Sla, Status, now_ms, triage};
use everplay_records::{
    Cursor, Evidence, Item, Notices, Paging, RecordStore, Reply, StoreError, Ticket, Tickets, WriteError,
    item_of,
};
use everplay_types::{CustomerId, RoomId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;
use tokio::sync::Notify;

/// Changes that are tried again when somebody else was faster.
const TURNS: usize = 6;
/// Tickets whose clock is looked at in one go.
const RINGS: u32 = 100;

/// The moment of a game, as an agent sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Position {
    /// The record of the journal after which it is.
    pub seq: u64,
    /// Whether it is exactly the record that was asked for: older ones may be gone.
    pub exact: bool,
    /// State, ledger and whatever else the witness knows.
    pub body: Value,
}

/// Why there is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// No room or game of this name is known.
    #[error("there is no such game")]
    Unknown,
    /// It cannot be said now.
    #[error("{0}")]
    Unavailable(String),
}

/// Knows games.
pub trait Witness: Send + Sync + 'static {
    /// The position after record `seq` of the room's journal, None: the last; or of the game of that number if the room
    /// is over. Written down with the ticket, so it holds no secret.
    fn position<'a>(
        &'a self,
        customer: &'a CustomerId,
        room: &'a RoomId,
        seq: Option<u64>,
        game: Option<u32>,
    ) -> BoxFuture<'a, Result<Position, WitnessError>>;
}

/// Who acts on a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// The account that asked.
    Player(String),
    /// An agent, by the name that the audit log has.
    Agent(String),
}

/// Which ways there are to tell somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    /// Mail to players.
    pub player_mail: bool,
    /// Mail to the desk.
    pub desk_mail: bool,
    /// Requests to a program.
    pub webhook: bool,
}

impl Channels {
    pub(crate) fn has(self, channel: Channel) -> bool {
        match channel {
            Channel::PlayerMail => self.player_mail,
            Channel::DeskMail => self.desk_mail,
            Channel::Webhook => self.webhook,
        }
    }
}

/// Why the desk did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// A field does not hold what it should.
    #[error("{field}: {problem}")]
    Field {
        /// Its name in requests.
        field: &'static str,
        /// In words.
        problem: String,
    },
    /// No such ticket, or none that the asker may know of.
    #[error("there is no such ticket")]
    NotFound,
    /// It is about a game that nobody knows.
    #[error("there is no such game")]
    NoSuchGame,
    /// The ticket does not go from there to there, or not by this side.
    #[error("a ticket that is {from} cannot become that")]
    Transition {
        /// Where it stands.
        from: Status,
    },
    /// The field is the agents'.
    #[error("{0} is for agents to change")]
    ForAgents(&'static str),
    /// The asker saw another version than there is.
    #[error("the ticket has changed meanwhile; it is version {0} now")]
    Outdated(u64),
    /// The author has so many tickets that are not closed.
    #[error("there are {0} tickets of yours that are not closed; close some of them first")]
    TooMany(usize),
    /// The ticket has as many replies as it can.
    #[error("this ticket has as many replies as it can have; open another one")]
    Full,
    /// The witness cannot answer now.
    #[error("{0}")]
    Witness(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The desk. Cheap to clone.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

struct Inner {
    tickets: Tickets,
    notices: Notices,
    witness: Arc<dyn Witness>,
    channels: Channels,
    wake: Arc<Notify>,
    complaints: Complaints,
}

/// What the desk keeps with a ticket beside what every ticket has.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Kept {
    pub(crate) sla: Sla,
    pub(crate) author_name: String,
    /// Since when it stands where it stands.
    pub(crate) since: u64,
    /// Internal notes among its replies.
    #[serde(default)]
    pub(crate) notes: u32,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("channels", &self.0.channels).finish_non_exhaustive()
    }
}

impl Desk {
    /// Over this store.
    pub fn new(store: Arc<dyn RecordStore>, witness: Arc<dyn Witness>, channels: Channels) -> Self {
        Desk(Arc::new(Inner {
            tickets: Tickets::new(Arc::clone(&store)),
            notices: Notices::new(store),
            witness,
            channels,
            wake: Arc::default(),
            complaints: Complaints::default(),
        }))
    }

    /// What is to be told, for [`Outbox`](crate::Outbox).
    pub fn notices(&self) -> Notices {
        self.0.notices.clone()
    }

    /// Says that there is something new to be told.
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.0.wake)
    }

    /// Opens a ticket of an account.
    pub async fn open(
        &self,
        customer: &CustomerId,
        author: &str,
        author_name: &str,
        new: NewTicket,
    ) -> Result<Ticket, DeskError> {
        let new = new.checked()?;
        self.bound_open(customer, author).await?;
        let position = match &new.game {
            None => None,
            Some(game) => {
                let asked = self.0.witness.position(customer, &game.room, game.seq, game.number).await;
                Some(asked.map_err(|error| match error {
                    WitnessError::Unknown => DeskError::NoSuchGame,
                    WitnessError::Unavailable(why) => DeskError::Witness(why),
                })?)
            }
        };
        let now = now_ms();
        let category = new.category.unwrap_or_else(|| triage::category(&new.subject, &new.description));
        let priority = triage::priority(&new.subject, &new.description);
        let evidence = new.game.zip(position.as_ref()).map(|(game, position)| Evidence {
            room: game.room,
            seq: position.seq,
            game: game.number,
        });
        let mut ticket = Ticket {
            ticket_id: draw_id(),
            author_id: author.to_owned(),
            subject: new.subject,
            description: new.description,
            category: category.to_string(),
            priority: priority.to_string(),
            status: Status::Open.to_string(),
            assignee: None,
            evidence,
            created_at: now,
            updated_at: now,
            due_at: now,
            clock_runs: false,
            replies: 0,
            version: 1,
            expires_at: None,
            more: Item::new(),
        };
        let kept = Kept {
            sla: Sla::begin(priority, now),
            author_name: author_name.to_owned(),
            since: now,
            notes: 0,
        };
        put_kept(&mut ticket, &kept)?;
        let position = position.map(fields::written);
        self.write(customer, &ticket, &[], position, &[(Event::Opened, None)]).await.map_err(|error| {
            match error {
                // Two names of 60 random bits are never equal; a repetition of an unknown outcome may be refused.
                WriteError::Refused { .. } => {
                    DeskError::Store(StoreError::Unknown("the ticket's name is taken".to_owned()))
                }
                WriteError::Store(error) => error.into(),
            }
        })?;
        Ok(ticket)
    }

    /// One ticket, for whoever may see it; a player only their own.
    pub async fn get(&self, customer: &CustomerId, side: &Side, id: &str) -> Result<Ticket, DeskError> {
        let found = if fields::is_id(id) { self.0.tickets.get(customer, id).await? } else { None };
        match (found, side) {
            (Some(ticket), Side::Player(account)) if ticket.author_id != *account => {
                drop(ticket);
                Err(DeskError::NotFound)
            }
            (Some(ticket), _) => Ok(ticket),
            (None, _) => Err(DeskError::NotFound),
        }
    }

    /// What was said, in order; internal notes only to agents, so a player's page may be shorter than asked for.
    pub async fn replies(
        &self,
        customer: &CustomerId,
        side: &Side,
        id: &str,
        limit: u32,
        after: Option<Cursor>,
    ) -> Result<Listing<Reply>, DeskError> {
        self.get(customer, side, id).await?;
        let page = self.0.tickets.replies(customer, id, Paging { limit, after }).await?;
        let mut items = page.items;
        if matches!(side, Side::Player(_)) {
            items.retain(|reply| !reply.internal);
        }
        Ok(Listing { items, next: page.next })
    }

    /// The position of the game, as it was when the ticket was opened. For agents: it may show what players did not see.
    pub async fn evidence(&self, customer: &CustomerId, id: &str) -> Result<Option<Value>, DeskError> {
        let agent = Side::Agent(String::new());
        self.get(customer, &agent, id).await?;
        Ok(self.0.tickets.position(customer, id).await?)
    }

    /// Says something on a ticket. Returns the ticket as it is then.
    pub async fn reply(
        &self,
        customer: &CustomerId,
        side: &Side,
        id: &str,
        new: NewReply,
    ) -> Result<Ticket, DeskError> {
        let new = new.checked()?;
        if matches!(side, Side::Player(_)) && (new.internal || new.status.is_some()) {
            return Err(DeskError::ForAgents(if new.internal { "internal" } else { "status" }));
        }
        self.turn(customer, side, id, None, |ticket, kept, now| {
            let from = status_of(ticket)?;
            if ticket.replies >= LIMITS.replies {
                return Err(DeskError::Full);
            }
            let (by, event, act) = match side {
                Side::Player(account) => (account, Event::PlayerReplied, Act::PlayerReplies),
                Side::Agent(name) => (name, Event::AgentReplied, Act::AgentReplies),
            };
            let to = match (new.internal, new.status) {
                (true, None) => Some(from),
                (_, Some(status)) => from.after(Act::AgentSets(status)),
                (false, None) => from.after(act),
            };
            let to = to.ok_or(DeskError::Transition { from })?;
            if let (Side::Agent(name), false) = (side, new.internal) {
                ticket.assignee.get_or_insert_with(|| name.clone());
            }
            ticket.replies += 1;
            kept.notes += u32::from(new.internal);
            stand(ticket, kept, to, now);
            let reply = Reply {
                by: by.clone(),
                text: new.text.clone(),
                internal: new.internal,
                at: now,
                attachments: Vec::new(),
            };
            let told = match (new.internal, from == to) {
                (false, _) => Some((event, Some(new.text.clone()))),
                (true, false) => Some((Event::StatusChanged, None)),
                (true, true) => None,
            };
            Ok(Turned { replies: vec![reply], told: told.into_iter().collect() })
        })
        .await
    }

    /// Changes a ticket. Returns it as it is then.
    pub async fn change(
        &self,
        customer: &CustomerId,
        side: &Side,
        id: &str,
        change: Change,
    ) -> Result<Ticket, DeskError> {
        let change = change.checked(side)?;
        self.turn(customer, side, id, change.version, |ticket, kept, now| {
            let from = status_of(ticket)?;
            let to = match (change.status, side) {
                (None, _) => Some(from).filter(|from| *from != Status::Closed),
                (Some(status), Side::Player(_)) => from.after(Act::PlayerSets(status)),
                (Some(status), Side::Agent(_)) => from.after(Act::AgentSets(status)),
            };
            let to = to.ok_or(DeskError::Transition { from })?;
            if let Some(priority) = change.priority
                && ticket.priority != priority.name()
            {
                ticket.priority = priority.to_string();
                kept.sla.prioritise(priority);
            }
            if let Some(category) = change.category {
                ticket.category = category.to_string();
            }
            if let Some(assignee) = &change.assignee {
                ticket.assignee = assignee.clone();
            }
            stand(ticket, kept, to, now);
            let event = match side {
                Side::Player(_) => Event::StatusChangedByPlayer,
                Side::Agent(_) => Event::StatusChanged,
            };
            let told = (from != to).then_some((event, None));
            Ok(Turned { replies: Vec::new(), told: told.into_iter().collect() })
        })
        .await
    }

    /// Lets the clocks that have run out ring: tickets are escalated, resolved or closed. Returns how many rang; call it
    /// again soon when there were many. Any number of nodes may.
    ///
    /// A ticket that cannot be read or written is left out, and the log has it; only a store that rests ends it.
    pub async fn ring(&self, now: u64) -> Result<usize, DeskError> {
        let mut rang = 0;
        let mut paging = Paging::first(RINGS);
        loop {
            let page = self.0.tickets.running(paging).await?;
            for item in page.items {
                let (customer, ticket) = match item {
                    Ok(found) => found,
                    Err(error) => {
                        self.0.complaints.of(&error.to_string(), || {
                            tracing::error!(%error, "the clock of a ticket does not ring");
                        });
                        continue;
                    }
                };
                if ticket.due_at > now {
                    return Ok(rang);
                }
                let (desk, id) = (Side::Agent("clock".to_owned()), &ticket.ticket_id);
                match self.turn_at(&customer, &desk, id, Some(ticket.version), now, ring).await {
                    Ok(_) => rang += 1,
                    // Somebody did something about it, or another node rang.
                    Err(DeskError::Outdated(_) | DeskError::NotFound | DeskError::Transition { .. }) => {}
                    Err(error @ DeskError::Store(StoreError::Resting(_))) => return Err(error),
                    Err(error) => self.0.complaints.of(&format!("ticket {customer}/{id}: {error}"), || {
                        tracing::error!(%customer, ticket.id = id, %error, "the clock of a ticket does not ring");
                    }),
                }
            }
            match page.next {
                Some(next) if rang < RINGS as usize => paging = Paging { limit: RINGS, after: Some(next) },
                _ => return Ok(rang),
            }
        }
    }

    async fn turn(
        &self,
        customer: &CustomerId,
        side: &Side,
        id: &str,
        version: Option<u64>,
        change: impl Fn(&mut Ticket, &mut Kept, u64) -> Result<Turned, DeskError>,
    ) -> Result<Ticket, DeskError> {
        self.turn_at(customer, side, id, version, now_ms(), change).await
    }

    /// Reads, decides, writes; again when overtaken, unless the asker named the version they saw.
    async fn turn_at(
        &self,
        customer: &CustomerId,
        side: &Side,
        id: &str,
        version: Option<u64>,
        now: u64,
        change: impl Fn(&mut Ticket, &mut Kept, u64) -> Result<Turned, DeskError>,
    ) -> Result<Ticket, DeskError> {
        for _ in 0..TURNS {
            let before = self.get(customer, side, id).await?;
            if version.is_some_and(|version| version != before.version) {
                return Err(DeskError::Outdated(before.version));
            }
            let (mut ticket, mut kept) = (before.clone(), kept_of(&before)?);
            // Clocks of several nodes differ a little; a ticket's time does not go back.
            let now = now.max(before.updated_at);
            let turned = change(&mut ticket, &mut kept, now)?;
            put_kept(&mut ticket, &kept)?;
            if ticket == before {
                return Ok(ticket);
            }
            ticket.updated_at = now;
            ticket.version += 1;
            let told: Vec<(Event, Option<&str>)> =
                turned.told.iter().map(|(event, text)| (*event, text.as_deref())).collect();
            match self.write(customer, &ticket, &turned.replies, None, &told).await {
                Ok(()) => return Ok(ticket),
                Err(WriteError::Refused { .. }) => {}
                Err(WriteError::Store(error)) => return Err(error.into()),
            }
        }
        Err(DeskError::Store(StoreError::Throttled))
    }

    async fn write(
        &self,
        customer: &CustomerId,
        ticket: &Ticket,
        replies: &[Reply],
        position: Option<Value>,
        told: &[(Event, Option<&str>)],
    ) -> Result<(), WriteError> {
        let facts = facts_of(ticket)?;
        let notices = told
            .iter()
            .flat_map(|(event, text)| notice::of(*event, customer, ticket, facts, *text, self.0.channels));
        let others: Vec<_> = notices.map(|notice| Notices::put(&notice)).collect();
        let tells = !others.is_empty();
        self.0.tickets.save_with(customer, ticket, replies, position, others).await?;
        if tells {
            self.0.wake.notify_one();
        }
        Ok(())
    }
}

/// What a change says and tells.
struct Turned {
    replies: Vec<Reply>,
    told: Vec<(Event, Option<String>)>,
}

fn ring(ticket: &mut Ticket, kept: &mut Kept, now: u64) -> Result<Turned, DeskError> {
    let from = status_of(ticket)?;
    let to = from.after(Act::ClockRings).ok_or(DeskError::Transition { from })?;
    let event = if from == to {
        ticket.priority = Priority::Urgent.to_string();
        kept.sla.escalate(now);
        Event::Escalated
    } else {
        Event::StatusChanged
    };
    stand(ticket, kept, to, now);
    Ok(Turned { replies: Vec::new(), told: vec![(event, None)] })
}

/// The ticket stands there from now on.
fn stand(ticket: &mut Ticket, kept: &mut Kept, to: Status, now: u64) {
    if ticket.status != to.name() {
        ticket.status = to.to_string();
        kept.since = now;
    }
    kept.sla.turn(to, now);
}

/// Puts the desk's part into the ticket, and sets when it is due by it.
fn put_kept(ticket: &mut Ticket, kept: &Kept) -> Result<(), DeskError> {
    (ticket.due_at, ticket.clock_runs) = kept.sla.due(status_of(ticket)?, kept.since);
    ticket.more = item_of(kept);
    Ok(())
}

fn unreadable(what: &str) -> StoreError {
    StoreError::Unreadable(format!("the {what} of a ticket"))
}

fn status_of(ticket: &Ticket) -> Result<Status, DeskError> {
    Ok(ticket.status.parse().map_err(|()| unreadable("status"))?)
}

pub(crate) fn kept_of(ticket: &Ticket) -> Result<Kept, DeskError> {
    let kept = serde_json::from_value(Value::Object(ticket.more.clone()));
    Ok(kept.map_err(|_| unreadable("clock"))?)
}

fn facts_of(ticket: &Ticket) -> Result<(crate::Category, Priority, Status), StoreError> {
    Ok((
        ticket.category.parse().map_err(|()| unreadable("category"))?,
        ticket.priority.parse().map_err(|()| unreadable("priority"))?,
        ticket.status.parse().map_err(|()| unreadable("status"))?,
    ))
}

/// Twelve letters and digits that are not mistaken for each other: 60 random bits.
fn draw_id() -> String {
    const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let bits: u64 = rand::random();
    (0..12).map(|at| char::from(LETTERS[(bits >> (5 * at)) as usize & 31])).collect()
}
