//! The room `leaderboard`: the top of a board, and each client's own place, as they change.
//!
//! ```text
//! boards in memory -> feeder of each node: a client of every such room there -> "feed" -> the room's state
//!                                                                                     '-> "place" to who asks for it
//! ```
//!
//! A room knows nothing but its state, so what it shows is brought to it by a client, one for each room, that this
//! process seats, known to be a node. What the room shows is public; that it may be taken back by a crash is no loss,
//! since the feeder brings it anew: the room is saved now and then, so that its clients keep their seats.
//!
//! The public contract is in docs/rooms/leaderboard.md.

use crate::inside::{Got, Inside};
use everplay_boards::{Board, BoardPage, BoardRow, Boards, Order, Scope};
use everplay_node::{Handle, Kind, MatchRequest, Method};
use everplay_room::{AuthRequest, Client, Context, Durability, Messages, Refusal, Room, RoomType, Settings};
use everplay_schema::{List, State};
use everplay_types::{CloseCode, CustomerId, MAX_ID_LEN, RoomId, SessionId};
use everplay_wire::{ClientFrame, MessageType, ResponseStatus, ServerFrame, msgpack};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Name of the kind.
pub(crate) const NAME: &str = "leaderboard";
/// Rows of the state.
const ROWS: u32 = 100;
/// Between two looks at the boards. A result is in them a moment after its room told it.
const LOOK: Duration = Duration::from_millis(500);
/// Clients of a room: an own place for each is computed at every look.
const CLIENTS: u32 = 1000;
/// How often what a room shows is saved.
const SAVED: Duration = Duration::from_secs(60);
/// A board that there cannot be, or a message that is not for clients.
const REFUSED: u16 = 4300;

/// Which board.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Options {
    game: String,
    season: String,
    region: String,
    order: String,
}

#[derive(State, Default)]
pub(crate) struct Leaderboard {
    game: String,
    season: String,
    region: String,
    order: String,
    rows: List<Row>,
    total: u32,
    stale: bool,
    #[state(rename = "asOf")]
    as_of: f64,
}

/// A row, in the words of `GET /leaderboard/global`.
#[derive(State, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    rank: u32,
    #[state(rename = "userId")]
    user_id: String,
    name: String,
    region: String,
    #[state(rename = "gamesPlayed")]
    games_played: u32,
    #[state(rename = "gamesWon")]
    games_won: u32,
    #[state(rename = "gamesLost")]
    games_lost: u32,
    #[state(rename = "gamesDrawn")]
    games_drawn: u32,
    #[state(rename = "winPercentage")]
    win_percentage: f64,
    #[state(rename = "currentStreak")]
    current_streak: u32,
    #[state(rename = "bestStreak")]
    best_streak: u32,
    rating: f64,
    #[state(rename = "ratingDeviation")]
    rating_deviation: f64,
}

/// What a feeder brings.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feed {
    /// None: as before.
    top: Option<Top>,
    /// Own places that changed, by session; None: on no place.
    places: BTreeMap<String, Option<Row>>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Top {
    rows: Vec<Row>,
    total: u32,
    stale: bool,
    as_of: f64,
}

/// What a feeder is told: whose places are wanted, and of which board.
#[derive(Serialize, Deserialize)]
struct Wanted {
    board: [String; 4],
    /// Account by session.
    accounts: BTreeMap<String, String>,
}

/// What is asked of an identity.
#[derive(Deserialize)]
struct Account {
    id: String,
}

impl Room for Leaderboard {
    type Options = Options;
    type Timer = ();

    fn settings() -> Settings {
        Settings {
            max_clients: CLIENTS,
            reconnection: Duration::from_secs(60),
            durability: Durability::Snapshot(SAVED),
            ..Settings::default()
        }
    }

    fn messages(on: &mut Messages<Self>) {
        on.request("feed", Self::feed);
    }

    fn create(
        _: &mut Context<Self>,
        Options { game, season, region, order }: Options,
    ) -> Result<Self, Refusal> {
        let room = Leaderboard { game, season, region, order, stale: true, ..Leaderboard::default() };
        match board_of(&room.board()) {
            Some(_) => Ok(room),
            None => Err(Refusal::new(REFUSED, "there is no such board")),
        }
    }

    fn drop(&mut self, cx: &mut Context<Self>, client: &Client, _: CloseCode) {
        if client.is_node() {
            // Another one comes, with a seat of its own.
            cx.deny_reconnection();
        }
    }
}

impl Leaderboard {
    fn board(&self) -> [String; 4] {
        [&self.game, &self.season, &self.region, &self.order].map(String::clone)
    }

    fn feed(&mut self, cx: &mut Context<Self>, client: &Client, feed: Feed) -> Result<Wanted, Refusal> {
        if !client.is_node() {
            return Err(Refusal::new(REFUSED, "rows come from the server"));
        }
        if let Some(top) = feed.top {
            for (at, row) in top.rows.iter().enumerate() {
                match self.rows.get(at) {
                    Some(shown) if shown == row => {}
                    Some(_) => self.rows[at].become_like(row),
                    None => self.rows.push(row.clone()),
                }
            }
            self.rows.truncate(top.rows.len());
            (self.total, self.stale, self.as_of) = (top.total, top.stale, top.as_of);
        }
        for (session, place) in feed.places {
            if let Some(client) = cx.client(&session) {
                cx.send(&client, "place", &place);
            }
        }
        let here = cx.clients().filter(|client| cx.is_connected(client));
        let accounts = here.filter_map(|client| {
            let account = client.auth_as::<Account>()?.id;
            Some((client.session_id().to_string(), account))
        });
        Ok(Wanted { board: self.board(), accounts: accounts.collect() })
    }
}

impl Row {
    /// Field by field, so that only what differs is sent.
    fn become_like(&mut self, row: &Row) {
        macro_rules! take {
            ($($field:ident),+) => { $( if self.$field != row.$field { self.$field.clone_from(&row.$field); } )+ };
        }
        take!(
            rank,
            user_id,
            name,
            region,
            games_played,
            games_won,
            games_lost,
            games_drawn,
            win_percentage,
            current_streak,
            best_streak,
            rating,
            rating_deviation
        );
    }
}

impl From<BoardRow> for Row {
    fn from(row: BoardRow) -> Self {
        Row {
            rank: u32::try_from(row.rank).unwrap_or(u32::MAX),
            user_id: row.user_id,
            name: row.name,
            region: row.region,
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

/// The board of game, season, region and order; None: there cannot be one.
fn board_of([game, season, region, order]: &[String; 4]) -> Option<Board> {
    if [game, season, region].iter().any(|text| text.len() > MAX_ID_LEN || text.contains('/')) {
        return None;
    }
    let scope = match (game.as_str(), season.as_str()) {
        ("", "") => Scope::Overall,
        ("", _) => return None,
        (game, "") => Scope::Game(game.to_owned()),
        (game, season) => Scope::Season(game.to_owned(), season.to_owned()),
    };
    let order = match order.as_str() {
        "" | "wins" => Order::Wins,
        "rating" => Order::Rating,
        _ => return None,
    };
    Some(Board { scope, region: Some(region.clone()).filter(|region| !region.is_empty()), order })
}

/// The kind, as every server has it unless the program has one of that name.
pub(crate) fn kind() -> Kind {
    let mut kind = Kind::new(Arc::new(Arc::new(RoomType::<Leaderboard>::new(NAME))));
    kind.filter_by = ["game", "season", "region", "order"].map(str::to_owned).to_vec();
    kind.filter_defaults.extend(["game", "season", "region"].map(|name| (name.to_owned(), "".into())));
    kind.filter_defaults.insert("order".to_owned(), "wins".into());
    kind
}

/// Feeds the rooms of this node, wherever they come from, until it is dropped.
pub(crate) async fn feed(node: Handle, boards: Boards) {
    let mut fed: HashMap<RoomId, tokio::task::AbortHandle> = HashMap::new();
    let mut feeders = JoinSet::new();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        while feeders.try_join_next().is_some() {}
        fed.retain(|_, feeder| !feeder.is_finished());
        if !node.is_ready() {
            continue;
        }
        for info in node.rooms().into_iter().filter(|info| info.kind == NAME) {
            // One client is the feeder itself, or somebody who is about to join.
            let room = info.id.clone();
            fed.entry(info.id)
                .or_insert_with(|| feeders.spawn(Feeder::run(node.clone(), boards.clone(), room)));
        }
    }
}

struct Feeder {
    boards: Boards,
    seat: Inside,
    board: Option<Board>,
    shown: Option<Top>,
    /// What each session was told of its place.
    told: HashMap<String, Option<Row>>,
    accounts: BTreeMap<String, String>,
    next: u32,
}

impl Feeder {
    /// Until the room is gone, elsewhere, or nobody else is in it.
    async fn run(node: Handle, boards: Boards, room: RoomId) {
        let request = MatchRequest {
            method: Method::JoinById,
            target: room.to_string(),
            options: serde_json::json!({}),
            auth: AuthRequest::of_node(),
        };
        let Ok(reserved) = node.matchmake(request).await else { return };
        let session: SessionId = reserved.session_id;
        let mut seat = Inside::new(reserved.room_id, session);
        if seat.attach(&node).await.is_err() {
            return;
        }
        let told = HashMap::new();
        let mut feeder =
            Feeder { boards, seat, board: None, shown: None, told, accounts: BTreeMap::new(), next: 0 };
        feeder.serve(&node, &room).await;
        feeder.seat.leave();
    }

    async fn serve(&mut self, node: &Handle, room: &RoomId) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                got = self.seat.next() => match got {
                    Got::Frame(bytes) => self.frame(&bytes),
                    Got::Closed(_) => return,
                },
                _ = look.tick() => {
                    let here = node.rooms().into_iter().find(|info| info.id == *room);
                    if here.is_none_or(|info| info.listing.clients <= 1) {
                        return;
                    }
                    self.bring();
                }
            }
        }
    }

    fn frame(&mut self, bytes: &bytes::Bytes) {
        if let Ok(ServerFrame::Response { status: ResponseStatus::Ok, payload, .. }) = Inside::read(bytes)
            && let Ok(wanted) = msgpack::from_slice::<Wanted>(payload)
        {
            self.board = board_of(&wanted.board);
            self.accounts = wanted.accounts;
            self.told.retain(|session, _| self.accounts.contains_key(session));
        }
    }

    /// What changed since it was brought last; the answer tells whose places are wanted.
    fn bring(&mut self) {
        if !self.seat.is_live() {
            return;
        }
        let mut feed = Feed::default();
        if let Some(board) = &self.board {
            let customer = CustomerId::default();
            let top = top(self.boards.page(&customer, board, 0, ROWS));
            let same = |shown: &Top| Top { as_of: top.as_of, ..shown.clone() } == top;
            if !self.shown.as_ref().is_some_and(same) {
                self.shown = Some(top.clone());
                feed.top = Some(top);
            }
            for (session, account) in &self.accounts {
                let row = self.boards.row(&customer, board, account).map(Row::from);
                if self.told.get(session) != Some(&row) {
                    self.told.insert(session.clone(), row.clone());
                    feed.places.insert(session.clone(), row);
                }
            }
        }
        let Ok(payload) = msgpack::to_vec(&feed) else { return };
        self.next += 1;
        self.seat.push(&ClientFrame::Request {
            id: self.next,
            ty: MessageType::from("feed"),
            payload: &payload,
        });
    }
}

fn top(page: BoardPage) -> Top {
    Top {
        rows: page.rows.into_iter().map(Row::from).collect(),
        total: u32::try_from(page.total).unwrap_or(u32::MAX),
        stale: page.fresh.stale,
        as_of: page.fresh.as_of as f64,
    }
}
