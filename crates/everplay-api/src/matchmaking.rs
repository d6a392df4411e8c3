//! Matchmaking by rating: a ticket, a proposal that both accept, two seats in one new room.
//!
//! ```text
//! POST ticket -> Pool (everplay-matchmaker) -> proposal -> both accept -> Seats (port) -> two reservations -> GET ticket
//! ```
//!
//! Who meets whom is the pool's to say. Here is what it lacks: a clock, names of tickets, ratings from the boards, and
//! the seats. Tickets live as long as the process: a client whose ticket is unknown makes another.

use crate::error::timestamp;
use crate::{ApiError, BoxFuture, Json, Path, Player};
use axum::extract::State;
use axum::http::StatusCode;
use everplay_boards::Boards;
use everplay_matchmaker::PoolSettings;
use everplay_matchmaker::tickets::{Effect, Pool, PoolError, ProposalId, Standing, TicketId};
use everplay_types::{Identity, Millis};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How often those who search are looked at.
const TICK: Duration = Duration::from_millis(250);
/// What one is worth before the first game, as the boards have it.
const FIRST_RATING: f64 = 1500.0;
/// The game of a ticket that names none.
const GAME: &str = "tic_tac_toe";

/// Makes rooms for two. Implemented by whoever runs rooms.
pub trait Seats: Send + Sync + 'static {
    /// Whether two can be matched for this game.
    fn knows(&self, game: &str) -> bool;

    /// Makes a room and reserves a seat in it for each, in this order. The answers are what matchmaking of the SDKs
    /// answers, for `consumeSeatReservation`. Errors: what kept it, for the log.
    fn pair<'a>(
        &'a self,
        game: &'a str,
        players: [&'a Identity; 2],
    ) -> BoxFuture<'a, Result<[Value; 2], String>>;
}

/// The tickets of this process.
#[derive(Clone)]
pub struct Matchmaking(Arc<Inner>);

struct Inner {
    seats: Arc<dyn Seats>,
    boards: Boards,
    began: Instant,
    /// Tells tickets of this process from those of another.
    process: u32,
    /// Short critical sections only: nothing waits under it.
    state: Mutex<Tickets>,
}

struct Tickets {
    pool: Pool<Who>,
    /// Whose open tickets they are, and how the room knows them.
    players: HashMap<TicketId, Identity>,
    reservations: HashMap<TicketId, Value>,
    /// The two of each proposal.
    pairs: HashMap<ProposalId, [TicketId; 2]>,
}

/// A player: customer and account.
type Who = (String, String);

impl std::fmt::Debug for Matchmaking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matchmaking").field("tickets", &self.0.state.lock().pool.len()).finish()
    }
}

impl Matchmaking {
    /// Starts a pool and what looks at it. Call it inside a runtime; it ends with the last clone.
    pub fn start(seats: Arc<dyn Seats>, boards: Boards, settings: PoolSettings) -> Self {
        let state = Tickets {
            pool: Pool::new(settings),
            players: HashMap::new(),
            reservations: HashMap::new(),
            pairs: HashMap::new(),
        };
        let inner = Arc::new(Inner {
            seats,
            boards,
            began: Instant::now(),
            process: rand::random(),
            state: Mutex::new(state),
        });
        tokio::spawn(keep_ticking(Arc::downgrade(&inner)));
        Matchmaking(inner)
    }
}

async fn keep_ticking(inner: Weak<Inner>) {
    loop {
        tokio::time::sleep(TICK).await;
        match inner.upgrade() {
            Some(inner) => inner.tick(),
            None => return,
        }
    }
}

impl Inner {
    fn now(&self) -> Millis {
        Millis(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn tick(&self) {
        let now = self.now();
        let mut state = self.state.lock();
        for effect in state.pool.tick(now) {
            match effect {
                Effect::Proposes { proposal, tickets } => drop(state.pairs.insert(proposal, tickets)),
                Effect::Fails { proposal } => drop(state.pairs.remove(&proposal)),
                Effect::Matches { .. } => {}
            }
        }
        let Tickets { pool, players, reservations, .. } = &mut *state;
        players.retain(|id, _| pool.ticket(*id).is_some());
        reservations.retain(|id, _| pool.ticket(*id).is_some());
    }

    fn id_of(&self, text: &str, who: &Identity) -> Result<TicketId, ApiError> {
        let unknown = || ApiError::not_found("ticket");
        let (process, number) = text.split_once('-').ok_or_else(unknown)?;
        let id = TicketId(number.parse().map_err(|_| unknown())?);
        let state = self.state.lock();
        let ticket = state.pool.ticket(id).filter(|ticket| ticket.player == name_of(who));
        match ticket {
            Some(_) if process == format!("{:08x}", self.process) => Ok(id),
            _ => Err(unknown()),
        }
    }

    fn text_of(&self, id: TicketId) -> String {
        format!("{:08x}-{}", self.process, id.0)
    }

    fn shown(&self, id: TicketId) -> Result<MatchTicket, ApiError> {
        let now = self.now();
        let time = |at: Millis| timestamp(SystemTime::now() + at.since(now) - now.since(at));
        let state = self.state.lock();
        let ticket = state.pool.ticket(id).ok_or_else(|| ApiError::not_found("ticket"))?;
        let (status, proposal) = match ticket.standing {
            Standing::Searching => ("searching", None),
            Standing::Proposed { proposal, accepted, until } => {
                let pair = state.pairs.get(&proposal);
                let opponent = pair.and_then(|pair| pair.iter().find(|other| **other != id));
                let opponent = opponent.and_then(|other| state.pool.ticket(*other));
                let proposal = MatchProposal {
                    accept_by: time(until),
                    accepted,
                    opponent_rating: opponent.map(|other| rounded(other.rating)),
                };
                ("proposed", Some(proposal))
            }
            Standing::Matched { .. } => ("matched", None),
            Standing::Cancelled => ("cancelled", None),
            Standing::Lapsed => ("lapsed", None),
        };
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Ok(MatchTicket {
            ticket_id: self.text_of(id),
            game: ticket.game.split_once('/').map_or(ticket.game.as_str(), |(_, game)| game).to_owned(),
            status: status.to_owned(),
            rating: rounded(ticket.rating),
            window: rounded(state.pool.window(now, id)),
            created_at: time(ticket.since),
            waited_ms: millis(now.since(ticket.since)),
            estimated_wait_ms: state.pool.estimate(now, id).map(millis),
            proposal,
            reservation: state.reservations.get(&id).cloned(),
        })
    }

    /// Finds a room for a match. What both agreed on happens whether or not one of them hangs up.
    async fn make(self: Arc<Self>, proposal: ProposalId, tickets: [TicketId; 2]) {
        let found = {
            let state = self.state.lock();
            let players = tickets.map(|id| state.players.get(&id).cloned());
            let game = state.pool.ticket(tickets[0]).map(|ticket| ticket.game.clone());
            (game, players)
        };
        let (Some(game), [Some(one), Some(two)]) = found else { return };
        let game = game.split_once('/').map_or(game.as_str(), |(_, game)| game).to_owned();
        let made = self.seats.pair(&game, [&one, &two]).await;
        let mut state = self.state.lock();
        state.pairs.remove(&proposal);
        match made {
            Ok(reservations) => state.reservations.extend(tickets.into_iter().zip(reservations)),
            Err(error) => {
                tracing::warn!(game, error, "a match found no room; both search on");
                state.pool.reopen(self.now(), proposal);
            }
        }
    }
}

fn name_of(who: &Identity) -> Who {
    (who.customer.to_string(), who.id.to_string())
}

/// Two decimals, as the boards tell ratings.
fn rounded(rating: f64) -> f64 {
    (rating * 100.0).round() / 100.0
}

impl From<PoolError> for ApiError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Unknown => ApiError::not_found("ticket"),
            PoolError::Another { .. } => {
                ApiError::conflict("ALREADY_SEARCHING", "you have a ticket that is open already")
            }
            PoolError::NothingProposed => {
                ApiError::conflict("NOTHING_PROPOSED", "nothing is proposed to this ticket now")
            }
            PoolError::Matched => {
                ApiError::conflict("MATCHED", "this ticket is matched: join the room, or let the seat go")
            }
        }
    }
}

/// The routes under `/matchmaking/tickets`.
pub fn routes(matchmaking: Matchmaking) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(make_ticket))
        .routes(routes!(see_ticket, cancel_ticket))
        .routes(routes!(accept_match))
        .with_state(matchmaking)
}

/// What one wants to play.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct WantedMatch {
    /// A room kind for two. Default `tic_tac_toe`.
    #[schema(example = "tic_tac_toe")]
    game: Option<String>,
}

/// A search for an opponent.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MatchTicket {
    /// Its name.
    pub ticket_id: String,
    /// The room kind.
    pub game: String,
    /// `searching`, `proposed`, `matched`, `cancelled`, or `lapsed` when its player did not answer or asked no more.
    pub status: String,
    /// Of the player, from the boards; 1500 before the first game.
    pub rating: f64,
    /// The gap in rating that is fine now; it widens.
    pub window: f64,
    /// RFC 3339.
    pub created_at: String,
    /// Since then.
    pub waited_ms: u64,
    /// Until an opponent is proposed, as far as one can tell; null when not searching.
    pub estimated_wait_ms: Option<u64>,
    /// Who is proposed; null unless `proposed`.
    pub proposal: Option<MatchProposal>,
    /// The seat, for `consumeSeatReservation`; null until `matched` and the room is made. It waits 15 s.
    pub reservation: Option<Value>,
}

/// An opponent, if both want.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MatchProposal {
    /// RFC 3339.
    pub accept_by: String,
    /// This side has accepted.
    pub accepted: bool,
    /// The opponent's rating.
    pub opponent_rating: Option<f64>,
}

/// Search for an opponent of one's rating
///
/// A player has one open ticket. It stays open while it is asked about at least every 30 s.
#[utoipa::path(
    post, path = "/matchmaking/tickets", tag = "matchmaking", operation_id = "createMatchTicket",
    security(("bearer" = [])), request_body = WantedMatch,
    responses((status = 201, description = "The ticket", body = MatchTicket))
)]
async fn make_ticket(
    State(Matchmaking(inner)): State<Matchmaking>,
    Player(identity): Player,
    Json(wanted): Json<WantedMatch>,
) -> Result<(StatusCode, Json<MatchTicket>), ApiError> {
    let game = wanted.game.as_deref().unwrap_or(GAME);
    if !inner.seats.knows(game) {
        return Err(ApiError::invalid_field("game", "no opponents are looked for in this game"));
    }
    let stats = inner.boards.stats(&identity.customer, identity.id.as_str());
    let rating = stats.map_or(FIRST_RATING, |stats| {
        stats.games.get(game).map_or(stats.overall.rating, |of_game| of_game.rating)
    });
    // Customers do not meet.
    let scope = format!("{}/{game}", identity.customer);
    let entered = {
        let mut state = inner.state.lock();
        let entered = state.pool.enter(inner.now(), name_of(&identity), scope, rating);
        if let Ok(id) = entered {
            state.players.insert(id, identity);
        }
        entered
    };
    let id = entered.map_err(|error| match error {
        PoolError::Another { ticket } => {
            ApiError::from(error).details(json!({ "ticketId": inner.text_of(ticket) }))
        }
        error => error.into(),
    })?;
    inner.tick();
    Ok((StatusCode::CREATED, Json(inner.shown(id)?)))
}

/// See how the search stands
///
/// Ask about once a second. A ticket that is closed is told of for another minute.
#[utoipa::path(
    get, path = "/matchmaking/tickets/{id}", tag = "matchmaking", operation_id = "getMatchTicket",
    security(("bearer" = [])), params(("id" = String, Path, description = "A ticket of one's own")),
    responses((status = 200, description = "The ticket", body = MatchTicket))
)]
async fn see_ticket(
    State(Matchmaking(inner)): State<Matchmaking>,
    Player(identity): Player,
    Path(id): Path<String>,
) -> Result<Json<MatchTicket>, ApiError> {
    let id = inner.id_of(&id, &identity)?;
    inner.state.lock().pool.seen(inner.now(), id);
    Ok(Json(inner.shown(id)?))
}

/// Take the search back, or decline what is proposed
#[utoipa::path(
    delete, path = "/matchmaking/tickets/{id}", tag = "matchmaking", operation_id = "cancelMatchTicket",
    security(("bearer" = [])), params(("id" = String, Path, description = "A ticket of one's own")),
    responses((status = 200, description = "The ticket as it is now", body = MatchTicket))
)]
async fn cancel_ticket(
    State(Matchmaking(inner)): State<Matchmaking>,
    Player(identity): Player,
    Path(id): Path<String>,
) -> Result<Json<MatchTicket>, ApiError> {
    let id = inner.id_of(&id, &identity)?;
    let cancelled = inner.state.lock().pool.cancel(inner.now(), id)?;
    if let Some(Effect::Fails { proposal }) = cancelled {
        inner.state.lock().pairs.remove(&proposal);
    }
    Ok(Json(inner.shown(id)?))
}

/// Accept the opponent that is proposed
///
/// When the other has accepted too, the answer carries the seat.
#[utoipa::path(
    post, path = "/matchmaking/tickets/{id}/accept", tag = "matchmaking", operation_id = "acceptMatch",
    security(("bearer" = [])), params(("id" = String, Path, description = "A ticket of one's own")),
    responses((status = 200, description = "The ticket as it is now", body = MatchTicket))
)]
async fn accept_match(
    State(Matchmaking(inner)): State<Matchmaking>,
    Player(identity): Player,
    Path(id): Path<String>,
) -> Result<Json<MatchTicket>, ApiError> {
    let id = inner.id_of(&id, &identity)?;
    let accepted = inner.state.lock().pool.accept(inner.now(), id)?;
    if let Some(Effect::Matches { proposal, tickets }) = accepted {
        let making = tokio::spawn(Arc::clone(&inner).make(proposal, tickets));
        making.await.map_err(|_| ApiError::internal())?;
    }
    Ok(Json(inner.shown(id)?))
}
