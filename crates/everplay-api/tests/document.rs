//! The API document as clients read it: kept beside this file, so that a change of the API shows as a difference.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test -p everplay-api --test document` writes it anew.

use everplay_accounts::{AccountStore, Accounts, Parts, Sealer};
use everplay_api::Api;
use everplay_api::auth::Origins;
use everplay_api::games::{Following, GameNow, GameServices, TableError, Tables, Wish};
use everplay_api::line::{AboutConnection, Connections, PostError};
use everplay_api::matchmaking::{MatchTicket, SearchError, Searches, Turn};
use everplay_boards::{Boards, BoardsOptions, SqliteBoardStore};
use everplay_records::{GameId, Games, MemoryRecordStore, RecordStore};
use everplay_support::{BoxFuture, Channels, Desk, Faq, Position, Witness, WitnessError};
use everplay_types::{CustomerId, Identity, RoomId};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;

struct NoGames;

impl Witness for NoGames {
    fn position<'a>(
        &'a self,
        _: &'a CustomerId,
        _: &'a RoomId,
        _: Option<u64>,
        _: Option<u32>,
    ) -> BoxFuture<'a, Result<Position, WitnessError>> {
        Box::pin(async { Err(WitnessError::Unknown) })
    }
}

/// No game is on.
struct NoTables;

type Pending<'a, T> = everplay_api::BoxFuture<'a, Result<T, TableError>>;

impl Tables for NoTables {
    fn create<'a>(&'a self, _: &'a Identity, _: Wish) -> Pending<'a, GameNow> {
        Box::pin(async { Err(TableError::Unavailable) })
    }

    fn join<'a>(&'a self, _: &'a Identity, _: &'a RoomId) -> Pending<'a, GameNow> {
        Box::pin(async { Err(TableError::NotFound) })
    }

    fn play<'a>(
        &'a self,
        _: &'a Identity,
        _: &'a GameId,
        _: Value,
        _: Option<String>,
    ) -> Pending<'a, GameNow> {
        Box::pin(async { Err(TableError::NotFound) })
    }

    fn forfeit<'a>(&'a self, _: &'a Identity, _: &'a GameId) -> Pending<'a, GameNow> {
        Box::pin(async { Err(TableError::NotFound) })
    }

    fn follow<'a>(&'a self, _: Option<&'a Identity>, _: &'a GameId) -> Pending<'a, Following> {
        Box::pin(async { Err(TableError::NotFound) })
    }
}

/// Nobody is matched.
struct NoSearches;

type Searched<'a> = everplay_api::BoxFuture<'a, Result<MatchTicket, SearchError>>;

impl Searches for NoSearches {
    fn knows(&self, _: &str) -> bool {
        false
    }

    fn search<'a>(&'a self, _: &'a Identity, _: &'a str, _: f64) -> Searched<'a> {
        Box::pin(async { Err(SearchError::Away) })
    }

    fn turn<'a>(&'a self, _: &'a Identity, _: &'a str, _: Turn) -> Searched<'a> {
        Box::pin(async { Err(SearchError::Unknown) })
    }
}

struct NoConnections;

type Posted<'a, T> = everplay_api::BoxFuture<'a, Result<T, PostError>>;

impl Connections for NoConnections {
    fn post<'a>(&'a self, _: &'a str, _: String) -> Posted<'a, ()> {
        Box::pin(async { Err(PostError::Gone) })
    }

    fn about<'a>(&'a self, _: &'a str) -> Posted<'a, AboutConnection> {
        Box::pin(async { Err(PostError::Gone) })
    }

    fn close<'a>(&'a self, _: &'a str) -> Posted<'a, ()> {
        Box::pin(async { Err(PostError::Gone) })
    }
}

async fn document() -> String {
    let parts = Parts::new(AccountStore::memory().await.unwrap(), Sealer::ephemeral());
    let accounts = Accounts::start(parts).await.unwrap();
    let standings = Arc::new(SqliteBoardStore::memory().unwrap());
    let records: Arc<dyn RecordStore> = Arc::new(MemoryRecordStore::new());
    let faq = Faq::new(Arc::clone(&records));
    let channels = Channels { player_mail: true, desk_mail: false, webhook: false };
    let desk = Desk::new(Arc::clone(&records), Arc::new(NoGames), channels);
    let games = GameServices {
        games: Games::new(Arc::new(MemoryRecordStore::new())),
        tables: Arc::new(NoTables),
        authenticate: Arc::new(accounts.clone()),
        accounts: accounts.clone(),
    };
    let boards = Boards::start(Arc::new(SqliteBoardStore::memory().unwrap()), BoardsOptions::default());
    let api = Api::new()
        .service(everplay_api::auth::routes(accounts.clone(), Origins::default()))
        .service(everplay_api::accounts::routes(accounts.clone()))
        .service(everplay_api::boards::routes(
            Boards::start(standings, BoardsOptions::default()),
            accounts.clone(),
        ))
        .service(everplay_api::tickets::routes(desk, faq.clone(), accounts.clone()))
        .service(everplay_api::faq::routes(faq))
        .service(everplay_api::levels::routes(Default::default(), accounts))
        .service(everplay_api::matchmaking::routes(Arc::new(NoSearches), boards))
        .service(everplay_api::line::routes(Arc::new(NoConnections)))
        .service(everplay_api::games::routes(games));
    api.document().to_pretty_json().unwrap() + "\n"
}

#[tokio::test]
async fn it_is_the_one_that_was_reviewed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openapi.json");
    let document = document().await;
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(path, &document).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == document,
        "the API changed: look at it with UPDATE_SNAPSHOTS=1, and keep it if it is meant"
    );
}

#[tokio::test]
async fn every_operation_can_be_told_apart_and_says_how_it_refuses() {
    let document: Value = serde_json::from_str(&document().await).unwrap();
    assert_eq!(document["openapi"], "3.1.0", "generators of clients do not know later versions yet");
    let mut names = HashSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap_or_default();
            assert!(!name.is_empty() && names.insert(name.to_owned()), "{method} {path}: {name}");
            assert!(operation["summary"].is_string() && operation["tags"][0].is_string(), "{method} {path}");
            let refused = &operation["responses"]["default"]["content"]["application/json"]["schema"]["$ref"];
            assert_eq!(refused, "#/components/schemas/ErrorEnvelope", "{method} {path}");
        }
    }
    assert!(names.len() > 40, "{}", names.len());
}
