//! Games that were played, or are being played as far as others were told.
//!
//! One partition per game: the head at sort value 0, its moves from 1 on, and below 0 one item per player, which is
//! what the index `PlayerGames` finds. All of it is written at once, so a player's history never names a game that is
//! not there.

use crate::port::typed;
use crate::{
    Condition, Item, Key, Page, Paging, Query, RecordStore, StoreError, Table, Write, WriteError, item_of,
};
use everplay_types::{CustomerId, RoomId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// A game: which room, and which of the games played in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GameId {
    /// The room.
    pub room: RoomId,
    /// From 1.
    pub number: u32,
}

impl std::fmt::Display for GameId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.room, self.number)
    }
}

impl std::str::FromStr for GameId {
    type Err = StoreError;

    /// The room's id, a full stop and the number; without them the room's first game.
    fn from_str(text: &str) -> Result<Self, StoreError> {
        let (room, number) = text.split_once('.').unwrap_or((text, "1"));
        let parsed = RoomId::new(room).ok().zip(number.parse().ok().filter(|number| *number > 0));
        let (room, number) = parsed.ok_or_else(|| StoreError::Invalid(format!("{text:?} is no game")))?;
        Ok(Self { room, number })
    }
}

/// Where a game stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GameStatus {
    /// It is on.
    Active,
    /// It was played to its end.
    Completed,
    /// Somebody gave up, left or ran out of time.
    Forfeited,
}

/// Somebody who played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GamePlayer {
    /// The account; the session of somebody without one.
    pub id: String,
    /// As shown.
    pub name: String,
    /// As the game calls its sides, such as `X`.
    pub mark: String,
    /// Played by the server.
    #[serde(default)]
    pub computer: bool,
}

/// A game's head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Game {
    /// Name of the room's kind.
    pub kind: String,
    /// In the order of the sides.
    pub players: Vec<GamePlayer>,
    /// Cells by rows: a mark or null.
    pub board: Vec<Option<String>>,
    /// Mark of the side to move; null when nobody is.
    pub current_player: Option<String>,
    /// Where it stands.
    pub status: GameStatus,
    /// `player1`, `player2`, `draw`, or null while it is on.
    pub winner: Option<String>,
    /// Why it ended, in the game's words.
    #[serde(default)]
    pub reason: String,
    /// What was played, in order, in the game's terms.
    pub moves: Vec<Value>,
    /// Milliseconds since 1970.
    pub created_at: u64,
    /// Milliseconds since 1970.
    pub updated_at: u64,
    /// Rises with every state of the game; a lower one never replaces a higher.
    pub version: u64,
    /// Seconds since 1970 after which it is forgotten; None: kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// One move.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GameMove {
    /// From 1.
    pub number: u32,
    /// Mark of the side.
    pub mark: String,
    /// In the game's terms.
    pub played: Value,
}

/// A game with its moves.
#[derive(Debug, Clone, PartialEq)]
pub struct PlayedGame {
    /// Which.
    pub id: GameId,
    /// Its head.
    pub game: Game,
    /// In order.
    pub moves: Vec<GameMove>,
}

/// What became of a game that was to be saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// It is stored.
    Stored,
    /// This state or a later one was stored already; nothing changed.
    AlreadyThere,
}

/// The games of a store.
#[derive(Debug, Clone)]
pub struct Games(Arc<dyn RecordStore>);

/// Moves that fit beside a head and its players into one call.
const MOVES_PER_CALL: usize = 80;

impl Games {
    /// Over this store.
    pub fn new(store: Arc<dyn RecordStore>) -> Self {
        Self(store)
    }

    /// Saves a state of a game, if it is newer than what is stored. May be repeated.
    ///
    /// Games of more than 80 moves are written in several calls, the head last: what is found is complete.
    pub async fn save(
        &self,
        customer: &CustomerId,
        id: &GameId,
        game: &Game,
        moves: &[GameMove],
    ) -> Result<Saved, StoreError> {
        let partition = partition(customer, id);
        let place = |mut item: Item, sort: i64| {
            item.insert("gameId".into(), partition.clone().into());
            item.insert("timestamp".into(), sort.into());
            item.insert("customer".into(), customer.as_str().into());
            if let Some(at) = game.expires_at {
                item.insert("expiresAt".into(), at.into());
            }
            item
        };
        let mut first: Vec<Write> = moves
            .iter()
            .map(|played| place(item_of(played), i64::from(played.number)))
            .map(|item| Write::Put { table: Table::Games, item, condition: Condition::Always })
            .collect();
        let rest = first.split_off(first.len() - first.len().min(MOVES_PER_CALL));
        for call in first.chunks(crate::MAX_WRITES) {
            unrefused(self.0.write(call.to_vec()).await)?;
        }
        let head = place(item_of(game), 0);
        let mut writes = vec![Write::Put {
            table: Table::Games,
            item: head,
            condition: Condition::OlderThan(game.version),
        }];
        for (at, player) in game.players.iter().enumerate().filter(|(_, player)| !player.computer) {
            let mut item = Item::new();
            item.insert("playerId".into(), owner(customer, &player.id).into());
            for name in ["kind", "status", "winner", "reason", "players", "createdAt", "updatedAt", "version"]
            {
                let value = item_of(game).remove(name).unwrap_or_default();
                item.insert(name.into(), value);
            }
            item.insert("mark".into(), player.mark.clone().into());
            let sort = -1 - i64::try_from(at).unwrap_or(i64::MAX - 1);
            writes.push(Write::Put {
                table: Table::Games,
                item: place(item, sort),
                condition: Condition::Always,
            });
        }
        writes.extend(rest);
        match self.0.write(writes).await {
            Ok(()) => Ok(Saved::Stored),
            Err(WriteError::Refused { .. }) => Ok(Saved::AlreadyThere),
            Err(WriteError::Store(error)) => Err(error),
        }
    }

    /// A game with its moves.
    pub async fn game(&self, customer: &CustomerId, id: &GameId) -> Result<Option<PlayedGame>, StoreError> {
        let mut query = Query {
            table: Table::Games,
            index: None,
            partition: partition(customer, id),
            from: Some(0),
            descending: false,
            paging: Paging::first(crate::MAX_PAGE),
        };
        let (mut head, mut moves) = (None, Vec::new());
        loop {
            let page = self.0.query(query.clone()).await?;
            for item in page.items {
                match item.get("timestamp").and_then(Value::as_i64) {
                    Some(0) => head = Some(typed(item)?),
                    _ => moves.push(typed(item)?),
                }
            }
            query.paging.after = page.next;
            if query.paging.after.is_none() {
                return Ok(head.map(|game| PlayedGame { id: id.clone(), game, moves }));
            }
        }
    }

    /// A player's games, newest first, without boards and moves.
    pub async fn of_player(
        &self,
        customer: &CustomerId,
        player: &str,
        paging: Paging,
    ) -> Result<Page<(GameId, Item)>, StoreError> {
        let page = self
            .0
            .query(Query {
                table: Table::Games,
                index: Some("PlayerGames"),
                partition: owner(customer, player),
                from: None,
                descending: true,
                paging,
            })
            .await?;
        page.try_map(|mut item| {
            let id = item.get("gameId").and_then(Value::as_str).and_then(|key| key.split_once('/'));
            let id =
                id.ok_or_else(|| StoreError::Unreadable("a game without its key".to_owned()))?.1.parse()?;
            for name in ["gameId", "timestamp", "customer", "playerId", "version"] {
                item.remove(name);
            }
            Ok((id, item))
        })
    }

    /// Takes a player's name and id out of all stored games, as the law may demand; the games stay. Answers how many.
    pub async fn forget_player(&self, customer: &CustomerId, player: &str) -> Result<u32, StoreError> {
        let mut count = 0;
        loop {
            // What was changed leaves the index, so the first page is always what is left.
            let page = self.of_player(customer, player, Paging::first(25)).await?;
            if page.items.is_empty() {
                return Ok(count);
            }
            for (id, _) in page.items {
                count += u32::from(self.forget_in(customer, &id, player).await?);
            }
        }
    }

    async fn forget_in(&self, customer: &CustomerId, id: &GameId, player: &str) -> Result<bool, StoreError> {
        let partition = partition(customer, id);
        let Some(mut head) = self.0.get(Table::Games, Key::pair(partition.clone(), 0)).await? else {
            return Ok(false);
        };
        let mut game: Game = typed(head.clone())?;
        let theirs: Vec<bool> = game.players.iter().map(|entry| entry.id == player).collect();
        for entry in game.players.iter_mut().filter(|entry| entry.id == player) {
            (entry.id, entry.name) = ("forgotten".to_owned(), "Forgotten".to_owned());
        }
        let players = item_of(&game).remove("players").unwrap_or_default();
        let mut writes = Vec::new();
        for (at, theirs) in theirs.into_iter().enumerate() {
            let key = Key::pair(partition.clone(), -1 - i64::try_from(at).unwrap_or(0));
            if theirs {
                writes.push(Write::Delete { table: Table::Games, key, condition: Condition::Always });
            } else if let Some(mut item) = self.0.get(Table::Games, key).await? {
                item.insert("players".into(), players.clone());
                writes.push(Write::Put { table: Table::Games, item, condition: Condition::Always });
            }
        }
        head.insert("players".into(), players);
        let condition = Condition::Version(game.version);
        writes.push(Write::Put { table: Table::Games, item: head, condition });
        match self.0.write(writes).await {
            Ok(()) => Ok(true),
            // It changed meanwhile; the next round finds it again.
            Err(WriteError::Refused { .. }) => Ok(false),
            Err(WriteError::Store(error)) => Err(error),
        }
    }
}

fn partition(customer: &CustomerId, id: &GameId) -> String {
    format!("{customer}/{id}")
}

fn owner(customer: &CustomerId, player: &str) -> String {
    format!("{customer}/{player}")
}

fn unrefused(answer: Result<(), WriteError>) -> Result<(), StoreError> {
    match answer {
        Ok(()) => Ok(()),
        Err(WriteError::Store(error)) => Err(error),
        Err(error @ WriteError::Refused { .. }) => Err(StoreError::Unreadable(error.to_string())),
    }
}
