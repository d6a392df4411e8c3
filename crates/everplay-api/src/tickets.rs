//! Tickets of the support desk: players open and follow theirs, agents work on all.
//!
//! Who asks decides what a route does: the author of a ticket is its player, also when they are an agent; anybody else
//! needs `tickets:answer`, and without it the ticket is not there.

mod forms;

use crate::identity::permit;
use crate::{ApiError, Json, Path, Player, Query, Who};
use axum::extract::State;
use axum::http::StatusCode;
use everplay_accounts::{Accounts, Permission, Principal};
use everplay_records::{Cursor, Reply, Ticket as Kept};
use everplay_support::{Desk, DeskError, Faq, Filter, Side, Status, now_ms};
use everplay_types::{CustomerId, timestamp};
use forms::{ChangedTicket, OpenedTicket, TicketQuery, WrittenReply};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use forms::{TicketCategory, TicketPriority, TicketStatus};

/// Tickets or replies of a page when nobody says.
const PAGE: u32 = 25;
/// The same at most.
const MAX_PAGE: u32 = 100;
/// Articles that are shown to an agent with a ticket.
const SUGGESTIONS: usize = 3;

/// The routes: `/tickets`. `accounts` knows what staff are called.
pub fn routes(desk: Desk, faq: Faq, accounts: Accounts) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list, open))
        .routes(routes!(ticket, change))
        .routes(routes!(replies, reply))
        .routes(routes!(evidence))
        .with_state(Support { desk, faq, accounts })
}

/// Names of those who acted, as far as they were asked for; None: it has none.
type Names = HashMap<String, Option<String>>;

#[derive(Debug, Clone)]
struct Support {
    desk: Desk,
    faq: Faq,
    accounts: Accounts,
}

/// A question to the desk.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ticket {
    /// Twelve letters and digits.
    #[schema(example = "7K2M9QX4TB1C")]
    pub ticket_id: String,
    /// Account of who asked.
    pub author_id: String,
    /// As shown when it was opened.
    pub author_name: String,
    /// One line.
    pub subject: String,
    /// The question.
    pub description: String,
    /// What it is about.
    pub category: TicketCategory,
    /// How soon it must be answered.
    pub priority: TicketPriority,
    /// Where it stands.
    pub status: TicketStatus,
    /// Where whoever asks may put it with PUT.
    pub may_become: Vec<TicketStatus>,
    /// Who works on it, `account:ID` or `key:ID`; only told to agents.
    pub assignee: Option<String>,
    /// What they are called; null also when nobody knows any more.
    pub assignee_name: Option<String>,
    /// The game it is about.
    pub game: Option<TicketGame>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
    /// RFC 3339. When an answer is due (`open`, `in_progress`), or it is resolved or closed by itself; null when closed.
    pub due_at: Option<String>,
    /// Whether the answer is late, or was.
    pub overdue: bool,
    /// How often the time was over.
    pub escalations: u32,
    /// Replies so far, internal notes among them for agents and not for players.
    pub replies: u32,
    /// Rises with every change; give it with PUT to change only what you saw.
    pub version: u64,
}

/// A moment of a game.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TicketGame {
    /// The room.
    pub room: String,
    /// Position in its journal.
    pub seq: u64,
    /// Number of the game in the room, if it is about one that ended.
    pub number: Option<u32>,
}

/// Something that was said.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TicketReply {
    /// `player` or `agent`.
    pub side: &'static str,
    /// The player's account; `account:ID` or `key:ID` of an agent, whom players are not told.
    pub by: Option<String>,
    /// What they are called; null also when nobody knows any more.
    pub by_name: Option<String>,
    /// What.
    pub text: String,
    /// Only agents see it.
    pub internal: bool,
    /// RFC 3339.
    pub at: String,
}

/// Part of what was said.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TicketReplies {
    /// In order; there may be fewer than asked for although more follow.
    pub replies: Vec<TicketReply>,
    /// Give it as `after` to get the rest; null: this was all.
    pub next: Option<String>,
}

/// A ticket with what belongs to it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TicketDetails {
    /// The ticket.
    pub ticket: Ticket,
    /// The first 100 replies.
    pub conversation: TicketReplies,
    /// Articles that may answer it; only for agents.
    pub suggestions: Vec<crate::faq::FaqTitle>,
}

/// Part of a list of tickets.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TicketList {
    /// In order; there may be fewer than asked for although more follow.
    pub tickets: Vec<Ticket>,
    /// Give it as `after` to get the rest; null: this was all.
    pub next: Option<String>,
}

/// The game of a ticket, as it was when the ticket was opened.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TicketEvidence {
    /// Which moment.
    pub game: TicketGame,
    /// Whether it is exactly the record that was asked for; older ones may have been gone.
    pub exact: bool,
    /// `state` of the room, `seq`, `time_ms`; `game` as it was kept, if a number was named; or only `tooLarge` with the
    /// number of bytes.
    pub position: Value,
}

/// Which part of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
struct RepliesQuery {
    /// Replies, 1 to 100. Default 25.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next` of the page before.
    after: Option<String>,
}

impl From<DeskError> for ApiError {
    fn from(error: DeskError) -> Self {
        let message = error.to_string();
        match error {
            DeskError::Field { field, problem } => ApiError::invalid_field(field, problem),
            DeskError::NotFound => ApiError::not_found("ticket"),
            DeskError::NoSuchGame => ApiError::invalid_field("game", message),
            DeskError::Transition { from } => {
                ApiError::conflict("STATUS_CONFLICT", message).details(json!({ "status": from.name() }))
            }
            DeskError::ForAgents(field) => ApiError::forbidden(message)
                .details(json!({ "permission": Permission::TicketsAnswer.name(), "field": field })),
            DeskError::Outdated(version) => {
                ApiError::conflict("VERSION_CONFLICT", message).details(json!({ "version": version }))
            }
            DeskError::TooMany(_) => ApiError::conflict("TOO_MANY_TICKETS", message),
            DeskError::Full => ApiError::conflict("TICKET_FULL", message),
            DeskError::Witness(why) => {
                tracing::warn!(why, "the game of a ticket cannot be read");
                ApiError::unavailable("the game")
            }
            DeskError::Store(error) => error.into(),
        }
    }
}

fn page_size(limit: Option<u32>) -> Result<u32, ApiError> {
    let limit = limit.unwrap_or(PAGE);
    if (1..=MAX_PAGE).contains(&limit) {
        Ok(limit)
    } else {
        Err(ApiError::invalid_field("limit", "1 to 100 at a time"))
    }
}

impl Support {
    /// As whom this principal sees the ticket, and the ticket.
    async fn seen(&self, by: &Principal, id: &str) -> Result<(Side, Kept), ApiError> {
        let customer = by.customer();
        let account = match by {
            Principal::Player(identity) => Some(identity.id.to_string()),
            Principal::Server(_) => None,
        };
        if by.may(Permission::TicketsAnswer) {
            let agent = Side::Agent(by.actor());
            let ticket = self.desk.get(customer, &agent, id).await?;
            return Ok(match account {
                Some(account) if account == ticket.author_id => (Side::Player(account), ticket),
                _ => (agent, ticket),
            });
        }
        let Some(account) = account else {
            permit(by, Permission::TicketsAnswer)?;
            return Err(ApiError::not_found("ticket"));
        };
        let player = Side::Player(account);
        match self.desk.get(customer, &player, id).await {
            Ok(ticket) => Ok((player, ticket)),
            Err(DeskError::NotFound) => Err(match permit(by, Permission::TicketsAnswer) {
                Err(refusal) if refusal.code == "SECOND_FACTOR_REQUIRED" => refusal,
                _ => ApiError::not_found("ticket"),
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// A ticket as that side sees it.
    async fn shown(&self, customer: &CustomerId, side: &Side, kept: Kept) -> Result<Ticket, ApiError> {
        self.named(customer, side, kept, &mut Names::new()).await
    }

    /// The same, with the names that are known already.
    async fn named(
        &self,
        customer: &CustomerId,
        side: &Side,
        kept: Kept,
        names: &mut Names,
    ) -> Result<Ticket, ApiError> {
        let assignee = kept.assignee.as_deref().filter(|_| matches!(side, Side::Agent(_)));
        let assignee_name = match assignee {
            Some(actor) => self.name(customer, actor, names).await,
            None => None,
        };
        Ok(Ticket { assignee_name, ..self.unnamed(side, kept)? })
    }

    /// What whoever acted is called. Names are an ornament: without the account store there are none.
    async fn name(&self, customer: &CustomerId, actor: &str, names: &mut Names) -> Option<String> {
        if !names.contains_key(actor) {
            let name = self.accounts.actor_name(customer, actor).await.unwrap_or_else(|error| {
                tracing::debug!(%error, "an agent has no name now");
                None
            });
            names.insert(actor.to_owned(), name);
        }
        names.get(actor).cloned().flatten()
    }

    fn unnamed(&self, side: &Side, kept: Kept) -> Result<Ticket, ApiError> {
        let more = self.desk.look(&kept, now_ms())?;
        let broken = |()| {
            tracing::error!(ticket.id = kept.ticket_id, "a ticket holds words that nobody knows");
            ApiError::internal()
        };
        let status: Status = kept.status.parse().map_err(broken)?;
        let sets = |to| match side {
            Side::Player(_) => everplay_support::Act::PlayerSets(to),
            Side::Agent(_) => everplay_support::Act::AgentSets(to),
        };
        let may = Status::ALL.into_iter().filter(|to| *to != status && status.after(sets(*to)).is_some());
        Ok(Ticket {
            category: kept.category.parse::<everplay_support::Category>().map_err(broken)?.into(),
            priority: kept.priority.parse::<everplay_support::Priority>().map_err(broken)?.into(),
            status: status.into(),
            may_become: may.map(TicketStatus::from).collect(),
            ticket_id: kept.ticket_id,
            author_id: kept.author_id,
            author_name: more.author_name,
            subject: kept.subject,
            description: kept.description,
            assignee: kept.assignee.filter(|_| matches!(side, Side::Agent(_))),
            assignee_name: None,
            game: kept.evidence.map(|game| TicketGame {
                room: game.room.to_string(),
                seq: game.seq,
                number: game.game,
            }),
            created_at: timestamp(kept.created_at),
            updated_at: timestamp(kept.updated_at),
            due_at: (status != Status::Closed).then(|| timestamp(kept.due_at)),
            overdue: more.overdue,
            escalations: more.escalations,
            replies: match side {
                Side::Agent(_) => kept.replies,
                Side::Player(_) => kept.replies - more.notes.min(kept.replies),
            },
            version: kept.version,
        })
    }

    async fn said(
        &self,
        customer: &CustomerId,
        side: &Side,
        ticket: &Kept,
        limit: u32,
        after: Option<Cursor>,
    ) -> Result<TicketReplies, ApiError> {
        let page = self.desk.replies(customer, side, &ticket.ticket_id, limit, after).await?;
        let player = self.desk.look(ticket, now_ms())?.author_name;
        let mut names = Names::new();
        let mut replies = Vec::with_capacity(page.items.len());
        for reply in page.items {
            let reply = said(side, &ticket.author_id, reply);
            let by_name = match (reply.side, &reply.by) {
                ("player", _) => Some(player.clone()),
                (_, Some(agent)) => self.name(customer, agent, &mut names).await,
                (_, None) => None,
            };
            replies.push(TicketReply { by_name, ..reply });
        }
        Ok(TicketReplies { replies, next: page.next.map(|cursor| cursor.to_string()) })
    }
}

fn said(side: &Side, author: &str, reply: Reply) -> TicketReply {
    let from_player = reply.by == author;
    TicketReply {
        side: if from_player { "player" } else { "agent" },
        by: Some(reply.by).filter(|_| from_player || matches!(side, Side::Agent(_))),
        by_name: None,
        text: reply.text,
        internal: reply.internal,
        at: timestamp(reply.at),
    }
}

/// Open a ticket
///
/// With `game`, the ticket carries the position of the game at that moment. A player has at most 20 tickets that are not
/// closed.
#[utoipa::path(
    post, path = "/tickets", tag = "support", operation_id = "openTicket", security(("bearer" = [])),
    request_body = OpenedTicket,
    responses((status = 201, description = "The ticket", body = Ticket))
)]
async fn open(
    State(support): State<Support>,
    Player(identity): Player,
    Json(body): Json<OpenedTicket>,
) -> Result<(StatusCode, Json<Ticket>), ApiError> {
    let account = identity.id.to_string();
    let ticket = support.desk.open(&identity.customer, &account, &identity.name, body.read()?).await?;
    let shown = support.shown(&identity.customer, &Side::Player(account), ticket).await?;
    Ok((StatusCode::CREATED, Json(shown)))
}

/// List tickets
///
/// One's own, newest first; with `view=desk` those of all players, which needs `tickets:answer`: in the order they are due
/// when a status is named, else the last changed first. A page may be short although more follow: go on with `next`.
#[utoipa::path(
    get, path = "/tickets", tag = "support", operation_id = "listTickets", security(("bearer" = [])),
    params(TicketQuery),
    responses((status = 200, description = "Part of the list", body = TicketList))
)]
async fn list(
    State(support): State<Support>,
    who: Who,
    Query(query): Query<TicketQuery>,
) -> Result<Json<TicketList>, ApiError> {
    let by = who.principal()?;
    let limit = page_size(query.limit)?;
    let side = match by {
        Principal::Player(identity) if !query.is_desk() => Side::Player(identity.id.to_string()),
        _ => {
            permit(by, Permission::TicketsAnswer)?;
            Side::Agent(by.actor())
        }
    };
    let after = query.after.clone().map(Cursor::from_text);
    let filter = Filter {
        author: match &side {
            Side::Player(account) => Some(account.clone()),
            Side::Agent(_) => query.author.clone(),
        },
        ..query.filter(&side)?
    };
    let page = support.desk.list(by.customer(), &filter, limit, after, now_ms()).await?;
    let mut names = Names::new();
    let mut tickets = Vec::with_capacity(page.items.len());
    for ticket in page.items {
        tickets.push(support.named(by.customer(), &side, ticket, &mut names).await?);
    }
    Ok(Json(TicketList { tickets, next: page.next.map(|cursor| cursor.to_string()) }))
}

/// See a ticket
#[utoipa::path(
    get, path = "/tickets/{id}", tag = "support", operation_id = "getTicket", security(("bearer" = [])),
    params(("id" = String, Path, description = "A ticket")),
    responses((status = 200, description = "The ticket and what was said", body = TicketDetails))
)]
async fn ticket(
    State(support): State<Support>,
    who: Who,
    Path(id): Path<String>,
) -> Result<Json<TicketDetails>, ApiError> {
    let by = who.principal()?;
    let (side, kept) = support.seen(by, &id).await?;
    let conversation = support.said(by.customer(), &side, &kept, MAX_PAGE, None).await?;
    let suggestions = match &side {
        Side::Player(_) => Vec::new(),
        Side::Agent(_) => {
            // The space: the last word is whole.
            let text = format!("{} {} ", kept.subject, kept.description);
            let found = support.faq.search(by.customer(), &text, SUGGESTIONS).await;
            found.into_iter().map(crate::faq::FaqTitle::from).collect()
        }
    };
    let ticket = support.shown(by.customer(), &side, kept).await?;
    Ok(Json(TicketDetails { ticket, conversation, suggestions }))
}

/// Change a ticket
///
/// Players close theirs, or say that a resolved one is not (`open`). Agents change all; what is left out stays as it is.
#[utoipa::path(
    put, path = "/tickets/{id}", tag = "support", operation_id = "changeTicket", security(("bearer" = [])),
    params(("id" = String, Path, description = "A ticket")), request_body = ChangedTicket,
    responses((status = 200, description = "The ticket as it is now", body = Ticket))
)]
async fn change(
    State(support): State<Support>,
    who: Who,
    Path(id): Path<String>,
    Json(body): Json<ChangedTicket>,
) -> Result<Json<Ticket>, ApiError> {
    let by = who.principal()?;
    let (side, _) = support.seen(by, &id).await?;
    let ticket = support.desk.change(by.customer(), &side, &id, body.read(by)).await?;
    Ok(Json(support.shown(by.customer(), &side, ticket).await?))
}

/// List what was said on a ticket
#[utoipa::path(
    get, path = "/tickets/{id}/replies", tag = "support", operation_id = "listTicketReplies", security(("bearer" = [])),
    params(("id" = String, Path, description = "A ticket"), RepliesQuery),
    responses((status = 200, description = "Part of it, in order", body = TicketReplies))
)]
async fn replies(
    State(support): State<Support>,
    who: Who,
    Path(id): Path<String>,
    Query(query): Query<RepliesQuery>,
) -> Result<Json<TicketReplies>, ApiError> {
    let by = who.principal()?;
    let limit = page_size(query.limit)?;
    let (side, kept) = support.seen(by, &id).await?;
    Ok(Json(support.said(by.customer(), &side, &kept, limit, query.after.map(Cursor::from_text)).await?))
}

/// Answer a ticket
///
/// An agent's answer makes the ticket wait for the player, unless `status` says otherwise; a player's answer brings it
/// back to the desk. With `internal`, only agents see it and nobody is told.
#[utoipa::path(
    post, path = "/tickets/{id}/replies", tag = "support", operation_id = "replyToTicket", security(("bearer" = [])),
    params(("id" = String, Path, description = "A ticket")), request_body = WrittenReply,
    responses((status = 201, description = "The ticket as it is now", body = Ticket))
)]
async fn reply(
    State(support): State<Support>,
    who: Who,
    Path(id): Path<String>,
    Json(body): Json<WrittenReply>,
) -> Result<(StatusCode, Json<Ticket>), ApiError> {
    let by = who.principal()?;
    let (side, _) = support.seen(by, &id).await?;
    let ticket = support.desk.reply(by.customer(), &side, &id, body.read()).await?;
    Ok((StatusCode::CREATED, Json(support.shown(by.customer(), &side, ticket).await?)))
}

/// See the game of a ticket
///
/// As it was at the moment the ticket is about, also when the room is long gone. It may show what players did not see.
#[utoipa::path(
    get, path = "/tickets/{id}/evidence", tag = "support", operation_id = "getTicketEvidence",
    security(("bearer" = [])), params(("id" = String, Path, description = "A ticket")),
    responses((status = 200, description = "Needs tickets:answer", body = TicketEvidence))
)]
async fn evidence(
    State(support): State<Support>,
    who: Who,
    Path(id): Path<String>,
) -> Result<Json<TicketEvidence>, ApiError> {
    let by = who.principal()?;
    permit(by, Permission::TicketsAnswer)?;
    let kept = support.desk.get(by.customer(), &Side::Agent(by.actor()), &id).await?;
    let written = support.desk.evidence(by.customer(), &id).await?;
    let (Some(game), Some(mut written)) = (kept.evidence, written) else {
        return Err(ApiError::not_found("evidence"));
    };
    Ok(Json(TicketEvidence {
        game: TicketGame { room: game.room.to_string(), seq: game.seq, number: game.game },
        exact: written["exact"].as_bool().unwrap_or_default(),
        position: written["position"].take(),
    }))
}
