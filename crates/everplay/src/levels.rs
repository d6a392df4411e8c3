//! Looks at what the services stand on, once a second, for the level of service, and at what operators said of it on other
//! servers; tells the rooms.

use everplay_accounts::Accounts;
use everplay_api::levels::{Levels, Signals};
use everplay_boards::Boards;
use everplay_node::Handle;
use everplay_records::{Key, RecordStore, Table};
use std::sync::Arc;
use std::time::{Duration, Instant};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The record store is asked at each so many looks.
const ASK_EVERY: u32 = 5;
/// An answer that takes longer is none.
const SLOW: Duration = Duration::from_secs(2);
/// A task that runs so much later than it wanted to runs in a server that is overloaded.
const LATE: Duration = Duration::from_secs(1);

/// Tells the node's rooms each level until it is dropped.
pub(crate) async fn tell_rooms(levels: Levels, node: Handle) {
    let mut told = levels.level();
    loop {
        node.set_service(told);
        told = levels.changed(told).await;
    }
}

/// Looks until it is dropped.
pub(crate) async fn watch(
    levels: Levels,
    accounts: Accounts,
    node: Handle,
    boards: Boards,
    records: Arc<dyn RecordStore>,
) {
    let mut records_away = false;
    for look in 0u32.. {
        // While it cannot be read, what was read holds.
        if let Ok(Ok(said)) = tokio::time::timeout(SLOW, accounts.said_service()).await {
            levels.hear(said);
        }
        let wanted = Instant::now() + LOOK_EVERY;
        tokio::time::sleep(LOOK_EVERY).await;
        let overloaded = wanted.elapsed() > LATE;
        if look.is_multiple_of(ASK_EVERY) {
            let probe = records.get(Table::Articles, Key::single("everplay/probe"));
            records_away = !matches!(tokio::time::timeout(SLOW, probe).await, Ok(Ok(_)));
        }
        let store_away = match (records_away, boards.fresh().stale) {
            (true, _) => Some("games that were played and tickets cannot be reached"),
            (false, true) => Some("statistics and leaderboards are as they were a while ago"),
            (false, false) => None,
        };
        // A room whose journal does not advance stands still.
        let journals_stand = node.status().paused > 0;
        levels.observe(Signals { journals_stand, store_away, overloaded });
    }
}
