//! Tickets of the support desk and what was said about them.
//!
//! One partition per ticket: the head at part 0, replies from 1 on, the position of the game at part -1. Indexes: an
//! author's tickets by time, the desk's by status and when they are due, a customer's by their last change, and
//! everybody's whose clock runs. The desk's rules (statuses, clocks) are not here.

use crate::port::typed;
use crate::{
    Condition, Item, Key, Page, Paging, Query, RecordStore, StoreError, Table, Write, WriteError, item_of,
};
use everplay_types::{CustomerId, RoomId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// Part of a partition that holds the head.
const HEAD: i64 = 0;
/// Part that holds the position of the game.
const POSITION: i64 = -1;
/// Attribute `clock` of tickets whose clock runs: they are one partition of an index, because whoever looks for them
/// looks for all of them.
const RUNNING: &str = "running";

/// A moment of a game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// The room.
    pub room: RoomId,
    /// Position in its journal.
    pub seq: u64,
    /// Number of the game in the room, if it is about one that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub game: Option<u32>,
}

/// A ticket's head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ticket {
    /// Unique within the customer.
    pub ticket_id: String,
    /// Account of who asks.
    pub author_id: String,
    /// One line.
    pub subject: String,
    /// The question.
    pub description: String,
    /// The desk's word.
    pub category: String,
    /// The desk's word.
    pub priority: String,
    /// The desk's word.
    pub status: String,
    /// Account of the agent, once there is one.
    pub assignee: Option<String>,
    /// The game it is about.
    pub evidence: Option<Evidence>,
    /// Milliseconds since 1970.
    pub created_at: u64,
    /// Milliseconds since 1970.
    pub updated_at: u64,
    /// When the next answer is due, milliseconds since 1970: the desk's order.
    pub due_at: u64,
    /// Whether something happens by itself at `due_at`.
    #[serde(skip)]
    pub clock_runs: bool,
    /// Replies so far.
    pub replies: u32,
    /// Rises with every change, from 1.
    pub version: u64,
    /// Seconds since 1970 after which it is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// What else the desk keeps with it.
    #[serde(default)]
    pub more: Item,
}

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// Account of who says it.
    pub by: String,
    /// What.
    pub text: String,
    /// Only agents see it.
    #[serde(default)]
    pub internal: bool,
    /// Milliseconds since 1970.
    pub at: u64,
    /// Names of what is attached.
    #[serde(default)]
    pub attachments: Vec<String>,
}

/// The tickets of a store.
#[derive(Debug, Clone)]
pub struct Tickets(Arc<dyn RecordStore>);

impl Tickets {
    /// Over this store.
    pub fn new(store: Arc<dyn RecordStore>) -> Self {
        Self(store)
    }

    /// Writes a ticket whose version is one above the stored one (1: there is none yet), with the replies that are new
    /// in it: the last ones of `ticket.replies`.
    pub async fn save(
        &self,
        customer: &CustomerId,
        ticket: &Ticket,
        new: &[Reply],
    ) -> Result<(), WriteError> {
        self.save_with(customer, ticket, new, None, Vec::new()).await
    }

    /// The same with the position of its game, and with other writes that happen only together with it.
    pub async fn save_with(
        &self,
        customer: &CustomerId,
        ticket: &Ticket,
        new: &[Reply],
        position: Option<Value>,
        others: Vec<Write>,
    ) -> Result<(), WriteError> {
        let partition = format!("{customer}/{}", ticket.ticket_id);
        let place = |mut item: Item, part: i64| {
            item.insert("ticketId".into(), partition.clone().into());
            item.insert("part".into(), part.into());
            item.insert("customer".into(), customer.as_str().into());
            if let Some(at) = ticket.expires_at {
                item.insert("expiresAt".into(), at.into());
            }
            item
        };
        let mut head = place(item_of(ticket), HEAD);
        head.insert("authorId".into(), format!("{customer}/{}", ticket.author_id).into());
        head.insert("deskStatus".into(), format!("{customer}/{}", ticket.status).into());
        if ticket.clock_runs {
            head.insert("clock".into(), RUNNING.into());
        }
        let condition = match ticket.version {
            0 | 1 => Condition::Absent,
            version => Condition::Version(version - 1),
        };
        let mut writes = vec![Write::Put { table: Table::Tickets, item: head, condition }];
        let first = i64::from(ticket.replies) - new.len() as i64 + 1;
        for (part, reply) in (first..).zip(new) {
            let item = place(item_of(reply), part);
            writes.push(Write::Put { table: Table::Tickets, item, condition: Condition::Absent });
        }
        if let Some(position) = position {
            let item = place(Item::from_iter([("position".to_owned(), position)]), POSITION);
            writes.push(Write::Put { table: Table::Tickets, item, condition: Condition::Always });
        }
        writes.extend(others);
        self.0.write(writes).await
    }

    /// The position of its game, as it was copied.
    pub async fn position(&self, customer: &CustomerId, ticket: &str) -> Result<Option<Value>, StoreError> {
        let key = Key::pair(format!("{customer}/{ticket}"), POSITION);
        let item = self.0.get(Table::Tickets, key).await?;
        Ok(item.and_then(|mut item| item.remove("position")))
    }

    /// Takes a ticket away with all that belongs to it. Repeated, it changes nothing.
    pub async fn remove(&self, customer: &CustomerId, ticket: &str) -> Result<(), WriteError> {
        let partition = format!("{customer}/{ticket}");
        let delete = |part| Write::Delete {
            table: Table::Tickets,
            key: Key::pair(partition.clone(), part),
            condition: Condition::Always,
        };
        let Some(head) = self.get(customer, ticket).await? else { return Ok(()) };
        // The head last: while it is there the rest is found again.
        let parts: Vec<i64> = (1..=i64::from(head.replies)).chain([POSITION]).collect();
        for parts in parts.chunks(crate::MAX_WRITES) {
            self.0.write(parts.iter().copied().map(delete).collect()).await?;
        }
        self.0.write(vec![delete(HEAD)]).await
    }

    /// One ticket.
    pub async fn get(&self, customer: &CustomerId, ticket: &str) -> Result<Option<Ticket>, StoreError> {
        let key = Key::pair(format!("{customer}/{ticket}"), HEAD);
        self.0.get(Table::Tickets, key).await?.map(from_item).transpose()
    }

    /// What was said about it, in order.
    pub async fn replies(
        &self,
        customer: &CustomerId,
        ticket: &str,
        paging: Paging,
    ) -> Result<Page<Reply>, StoreError> {
        let partition = format!("{customer}/{ticket}");
        let query =
            Query { table: Table::Tickets, index: None, partition, from: Some(1), descending: false, paging };
        self.0.query(query).await?.try_map(typed)
    }

    /// An author's tickets, newest first.
    pub async fn of_author(
        &self,
        customer: &CustomerId,
        author: &str,
        paging: Paging,
    ) -> Result<Page<Ticket>, StoreError> {
        self.by("AuthorTickets", format!("{customer}/{author}"), true, paging).await
    }

    /// The desk's tickets of a status, those that are due first.
    pub async fn of_status(
        &self,
        customer: &CustomerId,
        status: &str,
        paging: Paging,
    ) -> Result<Page<Ticket>, StoreError> {
        self.by("DeskTickets", format!("{customer}/{status}"), false, paging).await
    }

    /// A customer's tickets, the last changed first.
    pub async fn of_customer(
        &self,
        customer: &CustomerId,
        paging: Paging,
    ) -> Result<Page<Ticket>, StoreError> {
        self.by("CustomerTickets", customer.to_string(), true, paging).await
    }

    /// Tickets of all customers whose clock runs, those that are due first. One that cannot be read is an error in its
    /// place, which names it; the others are there.
    pub async fn running(
        &self,
        paging: Paging,
    ) -> Result<Page<Result<(CustomerId, Ticket), StoreError>>, StoreError> {
        let query = Query {
            table: Table::Tickets,
            index: Some("RunningClocks"),
            partition: RUNNING.to_owned(),
            from: None,
            descending: false,
            paging,
        };
        let read = |item: Item| {
            let id = item.get("ticketId").and_then(Value::as_str).unwrap_or_default().to_owned();
            let unreadable = |why: String| StoreError::Unreadable(format!("ticket {id}: {why}"));
            let customer = item.get("customer").and_then(Value::as_str).unwrap_or_default();
            let customer = CustomerId::new(customer).map_err(|error| unreadable(error.to_string()))?;
            Ok((customer, from_item(item).map_err(|error| unreadable(error.to_string()))?))
        };
        let page = self.0.query(query).await?;
        Ok(Page { items: page.items.into_iter().map(read).collect(), next: page.next })
    }

    async fn by(
        &self,
        index: &'static str,
        partition: String,
        descending: bool,
        paging: Paging,
    ) -> Result<Page<Ticket>, StoreError> {
        let query =
            Query { table: Table::Tickets, index: Some(index), partition, from: None, descending, paging };
        self.0.query(query).await?.try_map(from_item)
    }
}

fn from_item(mut item: Item) -> Result<Ticket, StoreError> {
    for name in ["ticketId", "authorId"] {
        if let Some(Value::String(text)) = item.get_mut(name)
            && let Some((_, bare)) = text.split_once('/')
        {
            *text = bare.to_owned();
        }
    }
    let clock_runs = item.contains_key("clock");
    Ok(Ticket { clock_runs, ..typed(item)? })
}
