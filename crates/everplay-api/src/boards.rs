//! Statistics and leaderboards over HTTP.
//!
//! All of it is read from memory; answers say how old they are, and are marked stale while the store is away.

use crate::accounts::is_account;
use crate::error::ErrorEnvelope;
use crate::{Allowed, ApiError, Json, MaybePlayer, Path, Query, need};
use axum::extract::State;
use axum::http::StatusCode;
use everplay_accounts::{AccountError, Accounts, Principal};
use everplay_boards as boards;
use everplay_boards::{Board, Boards, GameResult, Order, ResultPlayer, Scope, Source};
use everplay_types::{CustomerId, MAX_ID_LEN, timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Rows of a page when nobody says.
const ROWS: u32 = 100;
/// Rows of a page at most.
const MAX_ROWS: u32 = 200;
/// Rows around a player on each side when nobody says.
const AROUND: u32 = 5;
/// Players of a reported game at most.
const MAX_PLAYERS: usize = 64;

/// The routes: `/leaderboard` and `/users/{id}/stats`. Reported players, and those who have
/// not played, are looked up among the accounts.
pub fn routes(boards: Boards, accounts: Accounts) -> OpenApiRouter {
    let reporting = Reporting { boards: boards.clone(), accounts };
    OpenApiRouter::new()
        .routes(routes!(global))
        .routes(routes!(regional))
        .routes(routes!(around))
        .with_state(boards)
        .merge(OpenApiRouter::new().routes(routes!(update)).routes(routes!(stats)).with_state(reporting))
}

/// What a reported result and statistics need.
#[derive(Clone)]
struct Reporting {
    boards: Boards,
    accounts: Accounts,
}

/// What a board is sorted by.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum BoardOrder {
    /// Share of wins, then wins, then fewer games.
    #[default]
    Wins,
    /// Glicko-2.
    Rating,
}

/// Which board, and which part of it.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
struct BoardQuery {
    /// Only this game, such as `tic_tac_toe`.
    game: Option<String>,
    /// Only this season of the game, such as `2026-Q4`.
    season: Option<String>,
    /// Sorted by. Default `wins`.
    #[param(inline)]
    order: BoardOrder,
    /// Place of the first row, from 0. Default 0.
    offset: Option<u32>,
    /// Rows, 1 to 200. Default 100.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Which board, and how much around the player.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
struct AroundQuery {
    /// Only this game, such as `tic_tac_toe`.
    game: Option<String>,
    /// Only this season of the game, such as `2026-Q4`.
    season: Option<String>,
    /// Only players at home here.
    region: Option<String>,
    /// Sorted by. Default `wins`.
    #[param(inline)]
    order: BoardOrder,
    /// Rows before and after the player's own, 0 to 50. Default 5.
    #[param(maximum = 50)]
    rows: Option<u32>,
}

/// One row of a board.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeaderboardRow {
    /// From 1; equals share it.
    pub rank: u64,
    /// The account.
    pub user_id: String,
    /// As shown.
    pub name: String,
    /// Where at home; null: not told.
    pub region: Option<String>,
    /// Games.
    pub games_played: u32,
    /// Of these won.
    pub games_won: u32,
    /// Of these lost.
    pub games_lost: u32,
    /// Of these neither.
    pub games_drawn: u32,
    /// Won of a hundred, two decimals.
    pub win_percentage: f64,
    /// Wins in a row now.
    pub current_streak: u32,
    /// Most wins in a row.
    pub best_streak: u32,
    /// Glicko-2, two decimals.
    pub rating: f64,
    /// How uncertain it is, two decimals.
    pub rating_deviation: f64,
}

/// Part of a board.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Leaderboard {
    /// Best first.
    pub rows: Vec<LeaderboardRow>,
    /// Place of the first row, from 0.
    pub offset: u64,
    /// How many stand on the board: everybody with five games or more.
    pub total: u64,
    /// The store is away, or not all of it was read yet: the newest results may be missing.
    pub stale: bool,
    /// When the store last answered, RFC 3339.
    pub as_of: String,
}

/// A player's place.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeaderboardPlace {
    /// The player's own row; null with fewer than five games.
    pub row: Option<LeaderboardRow>,
    /// The rows around it.
    pub around: Leaderboard,
}

/// Counts of one game, or of all.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserGameStats {
    /// Games.
    pub games_played: u32,
    /// Of these won.
    pub games_won: u32,
    /// Of these lost.
    pub games_lost: u32,
    /// Of these neither.
    pub games_drawn: u32,
    /// Won of a hundred, two decimals.
    pub win_percentage: f64,
    /// Wins in a row now.
    pub current_streak: u32,
    /// Most wins in a row.
    pub best_streak: u32,
    /// Seconds in games.
    pub total_playtime: u64,
    /// Glicko-2, two decimals; null before the first game.
    pub rating: Option<f64>,
    /// How uncertain it is, two decimals; null before the first game.
    pub rating_deviation: Option<f64>,
}

/// What a player has done. Nobody's are all zero: whether an account exists is not told here.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserStats {
    /// The account.
    pub user_id: String,
    /// All games.
    pub overall: UserGameStats,
    /// Each game by itself.
    pub games: BTreeMap<String, UserGameStats>,
    /// The newest results may be missing.
    pub stale: bool,
    /// When the store last answered, RFC 3339.
    pub as_of: String,
}

/// A game's end, told by a server that is trusted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResultReport {
    /// Names the game: reported twice it counts once. Letters, digits, `_` and `-`, at most 64.
    game_id: String,
    /// Which game, such as `tic_tac_toe`.
    game: String,
    /// Milliseconds since 1970. Default: now.
    ended_at: Option<u64>,
    /// Milliseconds it took. Default 0.
    #[serde(default)]
    duration_ms: u64,
    /// 2 to 64, each once.
    players: Vec<ReportedPlayer>,
}

/// Somebody who played.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReportedPlayer {
    /// The account.
    user_id: String,
    /// As shown. Default: as last told.
    #[serde(default)]
    name: String,
    /// How it ended.
    outcome: ReportedOutcome,
}

/// How a game ended for a player.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ReportedOutcome {
    /// Won.
    Won,
    /// Lost.
    Lost,
    /// Neither.
    Drawn,
}

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
struct ResultCounted {
    /// False: it had been counted before.
    counted: bool,
}

impl From<boards::BoardRow> for LeaderboardRow {
    fn from(row: boards::BoardRow) -> Self {
        LeaderboardRow {
            rank: row.rank,
            user_id: row.user_id,
            name: row.name,
            region: Some(row.region).filter(|region| !region.is_empty()),
            games_played: row.games_played,
            games_won: row.games_won,
            games_lost: row.games_lost,
            games_drawn: row.games_drawn,
            win_percentage: row.win_percentage,
            current_streak: row.current_streak,
            best_streak: row.best_streak,
            rating: row.rating,
            rating_deviation: row.rating_deviation,
        }
    }
}

impl From<boards::BoardPage> for Leaderboard {
    fn from(page: boards::BoardPage) -> Self {
        Leaderboard {
            rows: page.rows.into_iter().map(LeaderboardRow::from).collect(),
            offset: page.offset,
            total: page.total,
            stale: page.fresh.stale,
            as_of: timestamp(page.fresh.as_of),
        }
    }
}

impl From<boards::StatsRow> for UserGameStats {
    fn from(row: boards::StatsRow) -> Self {
        UserGameStats {
            games_played: row.games_played,
            games_won: row.games_won,
            games_lost: row.games_lost,
            games_drawn: row.games_drawn,
            win_percentage: row.win_percentage,
            current_streak: row.current_streak,
            best_streak: row.best_streak,
            total_playtime: row.total_playtime,
            rating: Some(row.rating),
            rating_deviation: Some(row.rating_deviation),
        }
    }
}

fn customer(who: MaybePlayer) -> CustomerId {
    who.0.map(|identity| identity.customer).unwrap_or_default()
}

fn board(
    game: Option<String>,
    season: Option<String>,
    region: Option<String>,
    order: BoardOrder,
) -> Result<Board, ApiError> {
    let named = |field: &str, text: Option<String>| match text {
        Some(text) if text.is_empty() || text.len() > MAX_ID_LEN || text.contains('/') => {
            Err(ApiError::invalid_field(field, "it has 1 to 64 characters and no slash"))
        }
        text => Ok(text),
    };
    let scope = match (named("game", game)?, named("season", season)?) {
        (None, None) => Scope::Overall,
        (Some(game), None) => Scope::Game(game),
        (Some(game), Some(season)) => Scope::Season(game, season),
        (None, Some(_)) => {
            return Err(ApiError::invalid_field("season", "seasons are of a game: name it too"));
        }
    };
    let order = match order {
        BoardOrder::Wins => Order::Wins,
        BoardOrder::Rating => Order::Rating,
    };
    Ok(Board { scope, region: named("region", region)?, order })
}

fn page(
    boards: &Boards,
    who: MaybePlayer,
    query: BoardQuery,
    region: Option<String>,
) -> Result<Json<Leaderboard>, ApiError> {
    let limit = query.limit.unwrap_or(ROWS);
    if !(1..=MAX_ROWS).contains(&limit) {
        return Err(ApiError::invalid_field("limit", "1 to 200 rows at a time"));
    }
    let board = board(query.game, query.season, region, query.order)?;
    let offset = query.offset.unwrap_or(0).into();
    Ok(Json(boards.page(&customer(who), &board, offset, limit).into()))
}

/// The board of everybody
#[utoipa::path(
    get, path = "/leaderboard/global", tag = "leaderboard", operation_id = "getGlobalLeaderboard", params(BoardQuery),
    responses((status = 200, description = "Part of the board", body = Leaderboard))
)]
async fn global(
    State(boards): State<Boards>,
    who: MaybePlayer,
    Query(query): Query<BoardQuery>,
) -> Result<Json<Leaderboard>, ApiError> {
    page(&boards, who, query, None)
}

/// The board of a region
#[utoipa::path(
    get, path = "/leaderboard/regional/{region}", tag = "leaderboard", operation_id = "getRegionalLeaderboard",
    params(("region" = String, Path, description = "As players say in their profiles"), BoardQuery),
    responses((status = 200, description = "Part of the board", body = Leaderboard))
)]
async fn regional(
    State(boards): State<Boards>,
    who: MaybePlayer,
    Path(region): Path<String>,
    Query(query): Query<BoardQuery>,
) -> Result<Json<Leaderboard>, ApiError> {
    page(&boards, who, query, Some(region))
}

/// A player's place, with the rows around it
///
/// `me` is the account that asks.
#[utoipa::path(
    get, path = "/leaderboard/user/{id}", tag = "leaderboard", operation_id = "getLeaderboardPlace",
    params(("id" = String, Path, description = "An account, or `me`"), AroundQuery),
    responses((status = 200, description = "The place", body = LeaderboardPlace))
)]
async fn around(
    State(boards): State<Boards>,
    who: MaybePlayer,
    Path(id): Path<String>,
    Query(query): Query<AroundQuery>,
) -> Result<Json<LeaderboardPlace>, ApiError> {
    let (customer, id) = asked(who, id)?;
    let rows = query.rows.unwrap_or(AROUND);
    if rows > 50 {
        return Err(ApiError::invalid_field("rows", "at most 50 rows on each side"));
    }
    let board = board(query.game, query.season, query.region, query.order)?;
    let row = boards.row(&customer, &board, &id);
    let around = boards
        .around(&customer, &board, &id, rows)
        .unwrap_or_else(|| boards::BoardPage { rows: Vec::new(), ..boards.page(&customer, &board, 0, 1) });
    Ok(Json(LeaderboardPlace { row: row.map(LeaderboardRow::from), around: around.into() }))
}

/// Report a result
///
/// For servers whose games are not rooms here. Players have accounts; boards show their names and regions.
#[utoipa::path(
    post, path = "/leaderboard/update", tag = "leaderboard", operation_id = "reportResult", security(("bearer" = [])),
    request_body = ResultReport,
    responses((status = 200, description = "It counts, once", body = ResultCounted))
)]
async fn update(
    State(Reporting { boards, accounts }): State<Reporting>,
    who: Allowed<need::ResultsWrite>,
    Json(report): Json<ResultReport>,
) -> Result<Json<ResultCounted>, ApiError> {
    let customer = match who.0 {
        Principal::Player(identity) => identity.customer,
        Principal::Server(key) => key.customer,
    };
    let mut result = reported(customer, report)?;
    if !boards::rules::counts(&result) {
        return Err(ApiError::invalid_field("players", "at least two, each once"));
    }
    for player in &mut result.players {
        let profile = match accounts.profile(&result.customer, &player.player).await {
            Err(AccountError::NotFound(_)) => {
                let problem = format!("there is no account {}", player.player);
                return Err(ApiError::invalid_field("players", problem));
            }
            profile => profile?,
        };
        if !profile.guest || player.name.is_empty() {
            player.name = profile.display_name;
        }
        player.region = Some(profile.region.unwrap_or_default());
    }
    let taken = boards.take(vec![result]).await.map_err(|error| {
        tracing::warn!(%error, "a reported result was not counted");
        ApiError::database_unavailable("the store of standings")
    })?;
    Ok(Json(ResultCounted { counted: taken.counted > 0 }))
}

fn reported(customer: CustomerId, report: ResultReport) -> Result<GameResult, ApiError> {
    let is_id = |text: &str| everplay_types::RoomId::new(text).is_ok();
    if !is_id(&report.game_id) {
        return Err(ApiError::invalid_field("gameId", "1 to 64 letters, digits, _ and -"));
    }
    if !is_id(&report.game) {
        return Err(ApiError::invalid_field("game", "1 to 64 letters, digits, _ and -"));
    }
    let fits = |player: &ReportedPlayer| is_id(&player.user_id) && player.name.chars().count() <= 50;
    if report.players.len() > MAX_PLAYERS || !report.players.iter().all(fits) {
        return Err(ApiError::invalid_field(
            "players",
            "at most 64, with ids and names of at most 50 characters",
        ));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    // A day ahead is a clock that is wrong; a century is a mistake.
    let ended_at = report.ended_at.unwrap_or(now);
    if ended_at > now + 86_400_000 || report.duration_ms > 30 * 86_400_000 {
        return Err(ApiError::invalid_field(
            "endedAt",
            "not in the future, and no game of more than a month",
        ));
    }
    let outcome = |outcome| match outcome {
        ReportedOutcome::Won => boards::Outcome::Won,
        ReportedOutcome::Lost => boards::Outcome::Lost,
        ReportedOutcome::Drawn => boards::Outcome::Drawn,
    };
    let player = |player: ReportedPlayer| ResultPlayer {
        player: player.user_id,
        name: player.name,
        region: None,
        outcome: outcome(player.outcome),
    };
    Ok(GameResult {
        customer,
        // No room has a slash in its name.
        source: Source { name: format!("reported/{}", report.game_id), number: 1 },
        game: report.game,
        ended_at,
        took_ms: report.duration_ms,
        players: report.players.into_iter().map(player).collect(),
    })
}

/// A player's statistics
///
/// `me` is the account that asks.
#[utoipa::path(
    get, path = "/users/{id}/stats", tag = "users", operation_id = "getUserStats",
    params(("id" = String, Path, description = "An account, or `me`")),
    responses(
        (status = 200, description = "The statistics; of an account that has not played, all zero", body = UserStats),
        (status = 404, description = "NOT_FOUND: no account has this name, and none that played", body = ErrorEnvelope),
    )
)]
async fn stats(
    State(Reporting { boards, accounts }): State<Reporting>,
    who: MaybePlayer,
    Path(id): Path<String>,
) -> Result<Json<UserStats>, ApiError> {
    let (customer, id) = asked(who, id)?;
    let found = boards.stats(&customer, &id);
    if found.is_none() {
        is_account(&accounts, &customer, &id).await?;
    }
    let fresh = boards.fresh();
    let (overall, games) = found.map(|stats| (stats.overall.into(), stats.games)).unwrap_or_default();
    let games = games.into_iter().map(|(game, row)| (game, row.into())).collect();
    Ok(Json(UserStats { user_id: id, overall, games, stale: fresh.stale, as_of: timestamp(fresh.as_of) }))
}

/// Whose, and of which customer.
fn asked(who: MaybePlayer, id: String) -> Result<(CustomerId, String), ApiError> {
    let invalid = || ApiError::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", "this is no account");
    match who.0 {
        Some(identity) if id == "me" => Ok((identity.customer, identity.id.to_string())),
        None if id == "me" => Err(ApiError::unauthenticated()),
        _ if id.is_empty() || id.len() > MAX_ID_LEN => Err(invalid()),
        who => Ok((who.map(|identity| identity.customer).unwrap_or_default(), id)),
    }
}
