//! What becomes of games that ended: they are kept, and they count.
//!
//! ```text
//! rooms -> "game finished" -> KeepGames  -> record store
//!                         '-> CountGames -> statistics and boards
//! ```
//!
//! ```text
//! DIR/records.sqlite   games and their moves, unless DynamoDB has them
//! DIR/boards.sqlite    standings
//! ```
//!
//! In a cluster both are in PostgreSQL, unless DynamoDB has the games.
//!
//! Both are asked again until they have taken an event, so each may be away for as long as it likes: see docs/events.md.

use crate::config::{Config, Stores};
use crate::line::KeepLine;
use crate::personal::{Histories, Standings, board_name};
use crate::{Error, Result};
use everplay_accounts::{AccountError, Accounts, PersonalData};
use everplay_boards::{
    BoardStore, Boards, BoardsOptions, GameResult, Outcome, ResultPlayer, Source, SqliteBoardStore, rules,
};
use everplay_live::Pending;
use everplay_node::{EventConsumer, Events, RoomEvent, TakeError};
use everplay_records::{
    BreakerOptions, Game, GameId, GameMove, GamePlayer, GameStatus, Games, Guarded, Line, MemoryRecordStore,
    RecordStore, RetryOptions, SqliteRecordStore,
};
use serde::Deserialize;
use std::sync::Arc;

/// The event that a room emits at the end of a game.
const FINISHED: &str = "game finished";
/// Endings that make a game a forfeited one.
const FORFEITS: [&str; 3] = ["forfeit", "left", "timeout"];

/// Where games are kept and counted.
pub(crate) struct Counting {
    pub(crate) boards: Boards,
    pub(crate) games: Games,
    pub(crate) records: Arc<dyn RecordStore>,
}

impl Counting {
    /// Opens the stores that the settings ask for.
    pub(crate) async fn open(config: &Config) -> Result<Self> {
        let (boards, records) = open_stores(config).await?;
        let guarded = Guarded::new(records, RetryOptions::default(), BreakerOptions::default());
        let records: Arc<dyn RecordStore> = Arc::new(guarded);
        let boards = Boards::start(boards, BoardsOptions::default());
        Ok(Self { boards, games: Games::new(Arc::clone(&records)), records })
    }

    /// What takes the events of rooms.
    pub(crate) fn events(&self, accounts: &Accounts) -> Events {
        let keep = KeepGames { games: self.games.clone(), accounts: accounts.clone() };
        let count = CountGames { boards: self.boards.clone(), accounts: accounts.clone() };
        let line = KeepLine(Line::new(Arc::clone(&self.records)));
        Events::to(vec![Arc::new(keep), Arc::new(count), Arc::new(line)])
    }

    /// What of this belongs to a player.
    pub(crate) fn personal(&self) -> Vec<Arc<dyn PersonalData>> {
        vec![Arc::new(Standings(self.boards.clone())), Arc::new(Histories(self.games.clone()))]
    }
}

type Opened = (Arc<dyn BoardStore>, Arc<dyn RecordStore>);

async fn open_stores(config: &Config) -> Result<Opened> {
    let failed = |error: everplay_boards::StoreError| Error::Store(error.to_string());
    let dynamo = dynamo(config).await?;
    match config.stores()? {
        Stores::Memory => {
            let records = dynamo.unwrap_or_else(|| Arc::new(MemoryRecordStore::new()));
            Ok((Arc::new(SqliteBoardStore::memory().map_err(failed)?), records))
        }
        Stores::Sqlite => {
            let boards = SqliteBoardStore::open(config.data_dir.join("boards.sqlite")).map_err(failed)?;
            let records = match dynamo {
                Some(records) => records,
                None => Arc::new(
                    SqliteRecordStore::open(config.data_dir.join("records.sqlite"))
                        .map_err(|error| Error::Store(error.to_string()))?,
                ),
            };
            Ok((Arc::new(boards), records))
        }
        Stores::Cluster { database_url, .. } => {
            let records = match dynamo {
                Some(records) => records,
                None => shared_records(database_url).await?,
            };
            Ok((shared_boards(database_url).await?, records))
        }
    }
}

#[cfg(not(feature = "cluster"))]
async fn shared_boards(_: &str) -> Result<Arc<dyn BoardStore>> {
    // The stores of rooms were refused before.
    Err(Error::Store("this program was built without the stores of a cluster".to_owned()))
}

#[cfg(feature = "cluster")]
async fn shared_boards(database_url: &str) -> Result<Arc<dyn BoardStore>> {
    let store = everplay_boards::PostgresBoardStore::open(database_url).await;
    Ok(Arc::new(store.map_err(|error| Error::Store(error.to_string()))?))
}

#[cfg(not(feature = "cluster"))]
async fn shared_records(_: &str) -> Result<Arc<dyn RecordStore>> {
    Err(Error::Store("this program was built without the stores of a cluster".to_owned()))
}

#[cfg(feature = "cluster")]
async fn shared_records(database_url: &str) -> Result<Arc<dyn RecordStore>> {
    let store = everplay_records::PostgresRecordStore::open(database_url).await;
    Ok(Arc::new(store.map_err(|error| Error::Store(error.to_string()))?))
}

#[cfg(feature = "dynamodb")]
use crate::dynamodb::open as dynamo;

#[cfg(not(feature = "dynamodb"))]
async fn dynamo(config: &Config) -> Result<Option<Arc<dyn RecordStore>>> {
    if config.dynamodb.is_empty() {
        return Ok(None);
    }
    Err(Error::Store("`dynamodb` is set, but this program was built without it".to_owned()))
}

/// What a room says at the end of a game; see docs/events.md.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Finished {
    game: u32,
    players: Vec<Player>,
    #[serde(default)]
    winner: Option<String>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    board: Vec<Option<String>>,
    /// None: the room does not say.
    #[serde(default)]
    moves: Option<Vec<serde_json::Value>>,
    #[serde(default)]
    took_ms: u64,
}

#[derive(Deserialize)]
struct Player {
    #[serde(default)]
    user: Option<String>,
    session: String,
    name: String,
    mark: String,
    #[serde(default)]
    computer: bool,
}

fn read(events: &[Arc<RoomEvent>]) -> std::result::Result<Vec<(Arc<RoomEvent>, Finished)>, TakeError> {
    let one = |(at, event): (usize, &Arc<RoomEvent>)| match event.read::<Finished>() {
        Ok(finished) => Ok((Arc::clone(event), finished)),
        Err(reason) => Err(TakeError::Senseless { at, reason }),
    };
    events.iter().enumerate().map(one).collect()
}

/// Name of a player whose account was deleted while the game was on; as it is in what was kept before.
const FORGOTTEN: &str = "Forgotten";

/// Whether an account was deleted. Without an answer it counts as being there.
async fn is_gone(accounts: &Accounts, event: &RoomEvent, account: &str) -> bool {
    let profile = accounts.profile(&event.room.customer, account).await;
    matches!(profile, Err(AccountError::NotFound(_)))
}

/// Keeps every game, with its moves, for histories.
#[derive(Debug)]
struct KeepGames {
    games: Games,
    accounts: Accounts,
}

impl EventConsumer for KeepGames {
    fn name(&self) -> &'static str {
        "records"
    }

    fn wants(&self, name: &str) -> bool {
        name == FINISHED
    }

    fn take(&self, events: Vec<Arc<RoomEvent>>) -> Pending<std::result::Result<(), TakeError>> {
        let (games, accounts) = (self.games.clone(), self.accounts.clone());
        Box::pin(async move {
            for (at, (event, mut finished)) in read(&events)?.into_iter().enumerate() {
                for player in &mut finished.players {
                    if let Some(account) = &player.user
                        && is_gone(&accounts, &event, account).await
                    {
                        player.user = Some("forgotten".to_owned());
                        player.name = FORGOTTEN.to_owned();
                    }
                }
                let (id, game, moves) = kept(&event, finished);
                games.save(&event.room.customer, &id, &game, &moves).await.map_err(|error| {
                    match error.is_passing() {
                        true => TakeError::Later(error.to_string()),
                        false => TakeError::Senseless { at, reason: error.to_string() },
                    }
                })?;
            }
            Ok(())
        })
    }
}

fn kept(event: &RoomEvent, finished: Finished) -> (GameId, Game, Vec<GameMove>) {
    let marks: Vec<String> = finished.players.iter().map(|player| player.mark.clone()).collect();
    let winner = match &finished.winner {
        None => "draw".to_owned(),
        Some(winner) => match marks.iter().position(|mark| mark == winner) {
            Some(at) => format!("player{}", at + 1),
            None => winner.clone(),
        },
    };
    let played = finished.moves.unwrap_or_default();
    let moves = played.iter().enumerate().map(|(at, played)| GameMove {
        number: at as u32 + 1,
        mark: marks.get(at % marks.len().max(1)).cloned().unwrap_or_default(),
        played: played.clone(),
    });
    let moves = moves.collect();
    let player = |player: Player| GamePlayer {
        id: player.user.unwrap_or(player.session),
        name: player.name,
        mark: player.mark,
        computer: player.computer,
    };
    let forfeited = FORFEITS.contains(&finished.reason.as_str());
    let game = Game {
        kind: event.kind.to_string(),
        players: finished.players.into_iter().map(player).collect(),
        board: finished.board,
        current_player: None,
        status: if forfeited { GameStatus::Forfeited } else { GameStatus::Completed },
        winner: Some(winner),
        reason: finished.reason,
        moves: played,
        created_at: event.date.saturating_sub(finished.took_ms),
        updated_at: event.date,
        version: event.number,
        expires_at: None,
    };
    (GameId { room: event.room.room.clone(), number: finished.game }, game, moves)
}

/// Counts games between accounts.
#[derive(Debug)]
struct CountGames {
    boards: Boards,
    accounts: Accounts,
}

impl EventConsumer for CountGames {
    fn name(&self) -> &'static str {
        "boards"
    }

    fn wants(&self, name: &str) -> bool {
        name == FINISHED
    }

    fn take(&self, events: Vec<Arc<RoomEvent>>) -> Pending<std::result::Result<(), TakeError>> {
        let (boards, accounts) = (self.boards.clone(), self.accounts.clone());
        Box::pin(async move {
            let mut results = Vec::new();
            for (event, finished) in read(&events)? {
                let Some(mut result) = counted(&event, finished) else { continue };
                for player in &mut result.players {
                    match accounts.profile(&event.room.customer, &player.player).await {
                        Ok(profile) => {
                            player.name = board_name(&profile).unwrap_or(std::mem::take(&mut player.name));
                            player.region = Some(profile.region.unwrap_or_default());
                        }
                        Err(AccountError::NotFound(_)) => player.name = FORGOTTEN.to_owned(),
                        // Without an answer the region stays what it was.
                        Err(_) => {}
                    }
                }
                results.push(result);
            }
            if !results.is_empty() {
                boards.take(results).await.map_err(|error| TakeError::Later(error.to_string()))?;
            }
            Ok(())
        })
    }
}

/// Whether a game says something about its players. One that was given up before each had moved does not: somebody who
/// loses on purpose, or two who agree, would make a rating of nothing.
fn was_played(finished: &Finished) -> bool {
    let forfeited = FORFEITS.contains(&finished.reason.as_str());
    let each_moved = finished.moves.as_ref().is_none_or(|moves| moves.len() >= finished.players.len());
    !forfeited || each_moved
}

fn counted(event: &RoomEvent, finished: Finished) -> Option<GameResult> {
    if finished.players.iter().any(|player| player.computer) || !was_played(&finished) {
        return None;
    }
    let outcome = |mark: &str| match &finished.winner {
        None => Outcome::Drawn,
        Some(winner) if winner == mark => Outcome::Won,
        Some(_) => Outcome::Lost,
    };
    let player = |player: &Player| {
        let (outcome, name) = (outcome(&player.mark), player.name.clone());
        Some(ResultPlayer { player: player.user.clone()?, name, region: None, outcome })
    };
    let result = GameResult {
        customer: event.room.customer.clone(),
        source: Source { name: event.room.room.to_string(), number: event.number },
        game: event.kind.to_string(),
        ended_at: event.date,
        took_ms: finished.took_ms,
        players: finished.players.iter().filter_map(player).collect(),
    };
    rules::counts(&result).then_some(result)
}

#[cfg(test)]
mod away;

#[cfg(test)]
mod tests {
    use super::*;
    use everplay_types::{CustomerId, Millis, RoomId, RoomKey};
    use serde_json::json;

    fn event(payload: serde_json::Value) -> RoomEvent {
        RoomEvent {
            room: RoomKey { customer: CustomerId::default(), room: RoomId::new("ROOM").unwrap() },
            kind: "tic_tac_toe".into(),
            number: 3,
            name: FINISHED.into(),
            payload: everplay_wire::msgpack::to_vec(&payload).unwrap().into(),
            time: Millis(9),
            date: 1_000_000,
        }
    }

    fn payload(users: [Option<&str>; 2], computer: bool, winner: Option<&str>) -> serde_json::Value {
        json!({
            "game": 2, "mode": "quick", "reason": "left", "winner": winner, "moves": [4, 0, 8], "tookMs": 400,
            "board": ["O", null, null, null, "X", null, null, null, "X"],
            "players": [
                { "user": users[0], "session": "s1", "name": "Ada", "mark": "X", "computer": false },
                { "user": users[1], "session": "s2", "name": "Bob", "mark": "O", "computer": computer },
            ],
        })
    }

    #[test]
    fn a_game_is_kept_as_it_was() {
        let event = event(payload([Some("ada"), None], false, Some("O")));
        let (id, game, moves) = kept(&event, event.read().unwrap());
        assert_eq!(id.to_string(), "ROOM.2");
        assert_eq!((game.status, game.winner.as_deref()), (GameStatus::Forfeited, Some("player2")));
        assert_eq!((game.created_at, game.updated_at), (999_600, 1_000_000));
        assert_eq!((game.players[0].id.as_str(), game.players[1].id.as_str()), ("ada", "s2"));
        assert_eq!(moves[1], GameMove { number: 2, mark: "O".into(), played: json!(0) });
    }

    /// Sides take turns: with two moves each has made one.
    #[test]
    fn a_game_given_up_before_both_moved_counts_for_nobody() {
        let result = |moves: serde_json::Value, reason: &str| {
            let mut payload = payload([Some("ada"), Some("bob")], false, Some("X"));
            (payload["moves"], payload["reason"]) = (moves, reason.into());
            let event = event(payload);
            let kept = kept(&event, event.read().unwrap()).1;
            assert_eq!(kept.reason, reason, "it is in the histories");
            counted(&event, event.read().unwrap()).is_some()
        };
        for reason in FORFEITS {
            assert!(!result(json!([]), reason) && !result(json!([4]), reason), "{reason}");
            assert!(result(json!([4, 0]), reason), "{reason}");
            assert!(result(json!(null), reason), "a room that does not tell moves");
        }
        assert!(result(json!([]), "line"), "not given up");
    }

    #[test]
    fn only_games_between_accounts_count() {
        let result = |users, computer, winner| {
            let event = event(payload(users, computer, winner));
            counted(&event, event.read().unwrap())
        };
        let drawn = result([Some("ada"), Some("bob")], false, None).unwrap();
        assert!(drawn.players.iter().all(|player| player.outcome == Outcome::Drawn));
        assert_eq!((drawn.source.name.as_str(), drawn.source.number), ("ROOM", 3));
        let won = result([Some("ada"), Some("bob")], false, Some("X")).unwrap();
        assert_eq!([won.players[0].outcome, won.players[1].outcome], [Outcome::Won, Outcome::Lost]);
        assert!(result([Some("ada"), Some("ada")], false, Some("X")).is_none(), "against oneself");
        assert!(result([Some("ada"), None], false, Some("X")).is_none());
        assert!(result([Some("ada"), Some("bob")], true, Some("X")).is_none());
    }
}
