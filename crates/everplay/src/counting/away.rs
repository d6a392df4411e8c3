//! The record store is away while a line plays for an hour: boards go on counting, and when it is back everything is kept
//! once. The node that hosts the room dies in between.

use super::*;
use everplay_accounts::{AccountStore, Device, Parts, Sealer};
use everplay_boards::{Board, Order, Scope};
use everplay_live::{Arbiter, LiveStore, MemoryArbiter, MemoryLiveStore};
use everplay_node::{Ambient, Handle, Kind, Limits, MatchRequest, Method, Node, Options, SnapshotPolicy};
use everplay_records::{Item, Key, LineStatus, Page, Paging, Query, StoreError, Table, Write, WriteError};
use everplay_room::{AuthRequest, Context, Refusal, Room, RoomType, Settings};
use everplay_schema::State;
use everplay_types::{CustomerId, ProcessId};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Games that 16 tables of a line play in an hour.
const GAMES: u32 = 1340;
/// Changes of the line that may wait, as in the room `line`.
const CHANGES: usize = 256;

/// A record store that can be away.
#[derive(Debug)]
struct Distant {
    near: MemoryRecordStore,
    away: Arc<AtomicBool>,
}

impl Distant {
    fn gone(&self) -> Option<StoreError> {
        self.away.load(Ordering::Relaxed).then(|| StoreError::Unavailable("as told".to_owned()))
    }
}

impl RecordStore for Distant {
    fn get(
        &self,
        table: Table,
        key: Key,
    ) -> everplay_records::Pending<std::result::Result<Option<Item>, StoreError>> {
        match self.gone() {
            Some(gone) => Box::pin(async { Err(gone) }),
            None => self.near.get(table, key),
        }
    }

    fn query(&self, query: Query) -> everplay_records::Pending<std::result::Result<Page<Item>, StoreError>> {
        match self.gone() {
            Some(gone) => Box::pin(async { Err(gone) }),
            None => self.near.query(query),
        }
    }

    fn write(&self, writes: Vec<Write>) -> everplay_records::Pending<std::result::Result<(), WriteError>> {
        match self.gone() {
            Some(gone) => Box::pin(async { Err(gone.into()) }),
            None => self.near.write(writes),
        }
    }

    fn create_tables(&self) -> everplay_records::Pending<std::result::Result<(), StoreError>> {
        self.near.create_tables()
    }
}

/// Tells what a busy line tells, as fast as it can.
#[derive(State, Default)]
struct Busy {
    game: u32,
    ada: String,
    bob: String,
}

#[derive(Deserialize)]
struct Two {
    ada: String,
    bob: String,
}

impl Room for Busy {
    type Options = Two;
    type Timer = ();

    fn settings() -> Settings {
        Settings { auto_dispose: false, patch_interval: Duration::from_millis(5), ..Settings::default() }
    }

    fn create(cx: &mut Context<Self>, Two { ada, bob }: Two) -> std::result::Result<Self, Refusal> {
        cx.schedule(Duration::from_millis(1), &());
        Ok(Busy { game: 0, ada, bob })
    }

    fn timer(&mut self, cx: &mut Context<Self>, (): ()) {
        for _ in 0..10 {
            self.game += 1;
            let player = |user: &str, mark: &str| json!({ "user": user, "session": user, "name": user, "mark": mark, "computer": false });
            let winner = if self.game.is_multiple_of(2) { "X" } else { "O" };
            let finished = json!({
                "game": self.game, "winner": winner, "reason": "line", "moves": [4, 0, 2, 1, 6], "tookMs": 9000,
                "players": [player(&self.ada, "X"), player(&self.bob, "O")],
            });
            cx.emit(FINISHED, &finished).expect("results have room");
            let one = json!({
                "connectionId": format!("c{}", self.game % 40), "sessionId": "s", "status": "active", "marker": "X",
                "joinedAt": 1_795_248_000_000u64,
            });
            let changed = json!({ "line": "main", "put": [one], "removed": [] });
            let _ = cx.emit_up_to(CHANGES, "line changed", &changed);
        }
        if self.game < GAMES {
            cx.schedule(Duration::from_millis(1), &());
        }
    }
}

struct World {
    live: MemoryLiveStore,
    arbiter: MemoryArbiter,
    accounts: Accounts,
    counting: Counting,
    away: Arc<AtomicBool>,
}

impl World {
    async fn new() -> World {
        let away = Arc::new(AtomicBool::new(true));
        let distant = Distant { near: MemoryRecordStore::new(), away: Arc::clone(&away) };
        let records: Arc<dyn RecordStore> = Arc::new(distant);
        let boards = Arc::new(SqliteBoardStore::memory().unwrap());
        let parts = Parts::new(AccountStore::memory().await.unwrap(), Sealer::ephemeral());
        World {
            live: MemoryLiveStore::default(),
            arbiter: MemoryArbiter::default(),
            accounts: Accounts::start(parts).await.unwrap(),
            counting: Counting {
                boards: Boards::start(boards, BoardsOptions::default()),
                games: Games::new(Arc::clone(&records)),
                records,
            },
            away,
        }
    }

    async fn guest(&self) -> String {
        let guest = self.accounts.guest(&CustomerId::default(), json!({}), &Device::default()).await;
        guest.unwrap().identity.id.to_string()
    }

    async fn node(&self) -> Handle {
        let options = Options {
            process_id: ProcessId::new("test").unwrap(),
            customer: CustomerId::default(),
            limits: Limits::default(),
            snapshots: SnapshotPolicy { records: 64, ..SnapshotPolicy::default() },
            ambient: Ambient::default(),
            events: self.counting.events(&self.accounts),
        };
        let kind = Kind::new(Arc::new(Arc::new(RoomType::<Busy>::new("line"))));
        let live: Arc<dyn LiveStore> = Arc::new(self.live.clone());
        let arbiter: Arc<dyn Arbiter> = Arc::new(self.arbiter.clone());
        let node = Node::start(options, vec![kind], live, arbiter);
        node.restore().await.unwrap();
        node
    }

    fn counted(&self, player: &str) -> u32 {
        let stats = self.counting.boards.stats(&CustomerId::default(), player);
        stats.map_or(0, |stats| stats.overall.games_played)
    }

    /// Numbers of the games in a player's history.
    async fn kept(&self, player: &str) -> Vec<u32> {
        let (mut games, mut paging) = (Vec::new(), Paging::first(1000));
        loop {
            let page = self.counting.games.of_player(&CustomerId::default(), player, paging).await.unwrap();
            games.extend(page.items.into_iter().map(|(id, _)| id.number));
            match page.next {
                Some(next) => paging = Paging { limit: 1000, after: Some(next) },
                None => return games,
            }
        }
    }
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !done().await {
        // Who was away for long is asked again after half a minute.
        assert!(began.elapsed() < Duration::from_secs(180), "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_hour_without_the_record_store_loses_nothing() {
    let world = World::new().await;
    let (ada, bob) = (world.guest().await, world.guest().await);
    let mut node = world.node().await;
    let request = MatchRequest {
        method: Method::Create,
        target: "line".into(),
        options: json!({ "ada": ada, "bob": bob }),
        auth: AuthRequest::default(),
    };
    node.matchmake(request).await.unwrap();
    until("half of it is counted", async || world.counted(&ada) > GAMES / 2).await;
    node.end().await;
    node = world.node().await;
    until("boards have all", async || world.counted(&ada) == GAMES).await;
    let board = Board { scope: Scope::Overall, region: None, order: Order::Wins };
    assert_eq!(world.counting.boards.page(&CustomerId::default(), &board, 0, 10).total, 2);
    world.away.store(false, Ordering::Relaxed);
    let line = Line::new(Arc::clone(&world.counting.records));
    until("the records have all", async || world.kept(&ada).await.len() >= GAMES as usize).await;
    let kept = world.kept(&bob).await;
    assert_eq!(
        (kept.len(), kept.into_iter().collect::<BTreeSet<_>>()),
        (GAMES as usize, (1..=GAMES).collect())
    );
    until("the line is there", async || {
        let page = line.of_status(&CustomerId::default(), LineStatus::Active, Paging::first(100)).await;
        !page.unwrap().items.is_empty()
    })
    .await;
    assert_eq!((world.counted(&ada), world.counted(&bob)), (GAMES, GAMES));
    node.end().await;
}
