//! Lists of tickets, searching in them, and what is told of a ticket.

use super::{Desk, DeskError, Kept, LIMITS, kept_of};
use crate::triage::words;
use crate::{Category, Priority, Status};
use everplay_records::{Cursor, Paging, Reply, Ticket};
use everplay_types::CustomerId;

/// Tickets that one request looks at: who searches in more of them goes on with the cursor.
const SCAN: usize = 500;
/// Tickets read at a time.
const READ: u32 = 100;

/// Which tickets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those of this account, newest first; None: the desk's.
    pub author: Option<String>,
    /// Only those that stand here; the desk's are then in the order they are due.
    pub status: Option<Status>,
    /// Only those about this.
    pub category: Option<Category>,
    /// Only those as urgent as this.
    pub priority: Option<Priority>,
    /// Only those of this agent.
    pub assignee: Option<String>,
    /// Only those that are late or were.
    pub overdue: bool,
    /// Only those with all these words, in any order: of the subject, the description, the names.
    pub search: Option<String>,
}

/// Part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    /// In order; there may be fewer than asked for although more follow.
    pub items: Vec<T>,
    /// Where the rest begins; None: this was all.
    pub next: Option<Cursor>,
}

/// What the desk knows of a ticket beside its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// As shown when it was opened.
    pub author_name: String,
    /// How often the time was over.
    pub escalations: u32,
    /// Whether the desk is late, or ever was.
    pub overdue: bool,
    /// Internal notes among its replies.
    pub notes: u32,
}

impl Desk {
    /// What the desk knows of a ticket beside its fields.
    pub fn look(&self, ticket: &Ticket, now: u64) -> Result<Opened, DeskError> {
        let Kept { sla, author_name, notes, .. } = kept_of(ticket)?;
        Ok(Opened { author_name, escalations: sla.escalations, overdue: sla.is_overdue(now), notes })
    }

    /// Tickets, in pages. Bounded work: a page of a search may be short although more follow.
    pub async fn list(
        &self,
        customer: &CustomerId,
        filter: &Filter,
        limit: u32,
        after: Option<Cursor>,
        now: u64,
    ) -> Result<Listing<Ticket>, DeskError> {
        let wanted: Vec<String> =
            filter.search.as_deref().map(|text| words(text).collect()).unwrap_or_default();
        if filter.search.as_ref().is_some_and(|text| text.len() > LIMITS.search) {
            let problem = format!("at most {} bytes", LIMITS.search);
            return Err(DeskError::Field { field: "q", problem });
        }
        let mut items = Vec::new();
        let (mut after, mut seen) = (after, 0);
        loop {
            // One more than is missing is never read: the cursor stands after the last that was given.
            let missing = limit - items.len() as u32;
            let paging = Paging { limit: missing.clamp(1, READ), after };
            let tickets = &self.0.tickets;
            let page = match (&filter.author, filter.status) {
                (Some(author), _) => tickets.of_author(customer, author, paging).await?,
                (None, Some(status)) => tickets.of_status(customer, status.name(), paging).await?,
                (None, None) => tickets.of_customer(customer, paging).await?,
            };
            seen += page.items.len();
            for ticket in page.items {
                if filter.takes(&ticket, &wanted, now)? {
                    items.push(ticket);
                }
            }
            after = page.next;
            if after.is_none() || items.len() >= limit as usize || seen >= SCAN {
                return Ok(Listing { items, next: after });
            }
        }
    }

    /// All tickets of an account, for an export of what is kept of it.
    pub async fn all_of(&self, customer: &CustomerId, author: &str) -> Result<Vec<Ticket>, DeskError> {
        let mut all = Vec::new();
        let mut paging = Paging::first(READ);
        loop {
            let page = self.0.tickets.of_author(customer, author, paging).await?;
            all.extend(page.items);
            match page.next {
                Some(next) => paging = Paging { limit: READ, after: Some(next) },
                None => return Ok(all),
            }
        }
    }

    /// All tickets of an account with what was said about them, but for internal notes.
    pub async fn conversations_of(
        &self,
        customer: &CustomerId,
        author: &str,
    ) -> Result<Vec<(Ticket, Vec<Reply>)>, DeskError> {
        let mut all = Vec::new();
        for ticket in self.all_of(customer, author).await? {
            // As many replies as a ticket can have are one page of the store.
            let paging = Paging::first(LIMITS.replies);
            let mut said = self.0.tickets.replies(customer, &ticket.ticket_id, paging).await?.items;
            said.retain(|reply| !reply.internal);
            all.push((ticket, said));
        }
        Ok(all)
    }

    /// Takes away all tickets of an account with what was said about them. Repeated, it changes nothing.
    pub async fn forget(&self, customer: &CustomerId, author: &str) -> Result<(), DeskError> {
        for ticket in self.all_of(customer, author).await? {
            match self.0.tickets.remove(customer, &ticket.ticket_id).await {
                Ok(()) | Err(everplay_records::WriteError::Refused { .. }) => {}
                Err(everplay_records::WriteError::Store(error)) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Refuses one more ticket when there are many that are not closed.
    pub(super) async fn bound_open(&self, customer: &CustomerId, author: &str) -> Result<(), DeskError> {
        let page = self.0.tickets.of_author(customer, author, Paging::first(READ)).await?;
        let open = page.items.iter().filter(|ticket| ticket.status != Status::Closed.name()).count();
        if open >= LIMITS.open { Err(DeskError::TooMany(open)) } else { Ok(()) }
    }
}

impl Filter {
    fn takes(&self, ticket: &Ticket, wanted: &[String], now: u64) -> Result<bool, DeskError> {
        let named = |wanted: Option<&str>, is: &str| wanted.is_none_or(|wanted| wanted == is);
        if !named(self.status.map(Status::name), &ticket.status)
            || !named(self.category.map(Category::name), &ticket.category)
            || !named(self.priority.map(Priority::name), &ticket.priority)
            || self.assignee.as_ref().is_some_and(|wanted| ticket.assignee.as_ref() != Some(wanted))
        {
            return Ok(false);
        }
        let kept = kept_of(ticket)?;
        if self.overdue && !kept.sla.is_overdue(now) {
            return Ok(false);
        }
        if wanted.is_empty() {
            return Ok(true);
        }
        let room = ticket.evidence.as_ref().map_or("", |game| game.room.as_str());
        let texts = [
            ticket.subject.as_str(),
            &ticket.description,
            &kept.author_name,
            &ticket.ticket_id,
            &ticket.author_id,
            room,
        ];
        let has: Vec<String> = texts.into_iter().flat_map(words).collect();
        Ok(wanted.iter().all(|wanted| has.iter().any(|word| word.starts_with(wanted.as_str()))))
    }
}
