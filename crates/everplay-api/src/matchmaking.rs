//! Matchmaking by rating: a ticket, a proposal that both accept, two seats in one new room.
//!
//! ```text
//! POST ticket -> Searches (port) -> proposal -> both accept -> two reservations -> GET ticket
//! ```
//!
//! Who meets whom is decided where all tickets are, which is not here: every node answers for every ticket. Here are the
//! routes, and the rating that a search begins with, from the boards.

use crate::{ApiError, BoxFuture, Json, Path, Player};
use axum::extract::State;
use axum::http::StatusCode;
use everplay_boards::Boards;
use everplay_types::Identity;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What one is worth before the first game, as the boards have it.
const FIRST_RATING: f64 = 1500.0;
/// The game of a ticket that names none.
const GAME: &str = "tic_tac_toe";

/// All searches for an opponent, wherever they are looked after.
pub trait Searches: Send + Sync + 'static {
    /// Whether two can be matched for this game.
    fn knows(&self, game: &str) -> bool;

    /// Begins a search. A player has one.
    fn search<'a>(
        &'a self,
        who: &'a Identity,
        game: &'a str,
        rating: f64,
    ) -> BoxFuture<'a, Result<MatchTicket, SearchError>>;

    /// Does something about a search of one's own; answers how it stands then.
    fn turn<'a>(
        &'a self,
        who: &'a Identity,
        ticket: &'a str,
        turn: Turn,
    ) -> BoxFuture<'a, Result<MatchTicket, SearchError>>;
}

/// What is done about a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is asked about, and so goes on.
    See,
    /// The opponent that is proposed is accepted.
    Accept,
    /// It is taken back, or the opponent declined.
    Cancel,
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchError {
    /// No such ticket, or not one's own, or forgotten.
    Unknown,
    /// The player searches already.
    Another {
        /// That ticket.
        ticket: String,
    },
    /// There is nothing to accept.
    NothingProposed,
    /// It cannot be taken back any more.
    Matched,
    /// More search than are looked after.
    Full,
    /// Whoever looks after them does not answer.
    Away,
}

impl From<SearchError> for ApiError {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Unknown => ApiError::not_found("ticket"),
            SearchError::Another { ticket } => {
                ApiError::conflict("ALREADY_SEARCHING", "you have a ticket that is open already")
                    .details(json!({ "ticketId": ticket }))
            }
            SearchError::NothingProposed => {
                ApiError::conflict("NOTHING_PROPOSED", "nothing is proposed to this ticket now")
            }
            SearchError::Matched => {
                ApiError::conflict("MATCHED", "this ticket is matched: join the room, or let the seat go")
            }
            SearchError::Full | SearchError::Away => ApiError::unavailable("matchmaking"),
        }
    }
}

/// Searches and the boards that rate whoever searches.
#[derive(Clone)]
struct Matchmaking {
    searches: Arc<dyn Searches>,
    boards: Boards,
}

/// The routes under `/matchmaking/tickets`.
pub fn routes(searches: Arc<dyn Searches>, boards: Boards) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(make_ticket))
        .routes(routes!(see_ticket, cancel_ticket))
        .routes(routes!(accept_match))
        .with_state(Matchmaking { searches, boards })
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
    State(matchmaking): State<Matchmaking>,
    Player(identity): Player,
    Json(wanted): Json<WantedMatch>,
) -> Result<(StatusCode, Json<MatchTicket>), ApiError> {
    let game = wanted.game.as_deref().unwrap_or(GAME);
    if !matchmaking.searches.knows(game) {
        return Err(ApiError::invalid_field("game", "no opponents are looked for in this game"));
    }
    let stats = matchmaking.boards.stats(&identity.customer, identity.id.as_str());
    let rating = stats.map_or(FIRST_RATING, |stats| {
        stats.games.get(game).map_or(stats.overall.rating, |of_game| of_game.rating)
    });
    let ticket = matchmaking.searches.search(&identity, game, rating).await?;
    Ok((StatusCode::CREATED, Json(ticket)))
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
    State(matchmaking): State<Matchmaking>,
    Player(identity): Player,
    Path(id): Path<String>,
) -> Result<Json<MatchTicket>, ApiError> {
    Ok(Json(matchmaking.searches.turn(&identity, &id, Turn::See).await?))
}

/// Take the search back, or decline what is proposed
#[utoipa::path(
    delete, path = "/matchmaking/tickets/{id}", tag = "matchmaking", operation_id = "cancelMatchTicket",
    security(("bearer" = [])), params(("id" = String, Path, description = "A ticket of one's own")),
    responses((status = 200, description = "The ticket as it is now", body = MatchTicket))
)]
async fn cancel_ticket(
    State(matchmaking): State<Matchmaking>,
    Player(identity): Player,
    Path(id): Path<String>,
) -> Result<Json<MatchTicket>, ApiError> {
    Ok(Json(matchmaking.searches.turn(&identity, &id, Turn::Cancel).await?))
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
    State(matchmaking): State<Matchmaking>,
    Player(identity): Player,
    Path(id): Path<String>,
) -> Result<Json<MatchTicket>, ApiError> {
    Ok(Json(matchmaking.searches.turn(&identity, &id, Turn::Accept).await?))
}
