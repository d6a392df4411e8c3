//! Looks at what the services stand on, once a second, for the level of service, and at what operators said of it on other
//! servers; tells the rooms.
//!
//! Journals stand when the live store does not answer a question, also while no room writes, or when half of the rooms or more
//! do not get on. A few rooms that do not are their own trouble: they are told of, and nobody else is refused for them.

use everplay_accounts::Accounts;
use everplay_api::levels::{Levels, Signals};
use everplay_boards::Boards;
use everplay_live::LiveStore;
use everplay_node::Handle;
use everplay_records::{Key, RecordStore, Table};
use everplay_types::{CustomerId, RoomId, RoomKey};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The record store is asked at each so many looks.
const ASK_EVERY: u32 = 5;
/// An answer that takes longer is none.
const SLOW: Duration = Duration::from_secs(2);
/// A task that runs so much later than it wanted to runs in a server that is overloaded.
const LATE: Duration = Duration::from_secs(1);

/// What is known of the live store's answers. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveProbe(Arc<AtomicBool>);

impl LiveProbe {
    /// Whether the last question was not answered.
    pub(crate) fn is_away(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Asks for a room that is not there, and remembers whether there was an answer.
    async fn ask(&self, live: &dyn LiveStore) -> bool {
        let room = RoomId::new("everplay-probe").expect("letters and a dash are a name");
        let room = RoomKey { customer: CustomerId::default(), room };
        let away = !matches!(tokio::time::timeout(SLOW, live.find(room)).await, Ok(Ok(_)));
        self.0.store(away, Ordering::Relaxed);
        away
    }
}

/// What the rooms themselves say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Journals {
    Advance,
    FewStand,
    Stand,
}

impl Journals {
    fn of(rooms: usize, paused: usize) -> Self {
        match paused {
            0 => Journals::Advance,
            paused if paused * 2 >= rooms => Journals::Stand,
            _ => Journals::FewStand,
        }
    }
}

/// What is looked at.
pub(crate) struct Watched {
    pub(crate) accounts: Accounts,
    pub(crate) node: Handle,
    pub(crate) boards: Boards,
    pub(crate) records: Arc<dyn RecordStore>,
    pub(crate) live: Arc<dyn LiveStore>,
    pub(crate) probe: LiveProbe,
}

/// Tells the node's rooms each level until it is dropped.
pub(crate) async fn tell_rooms(levels: Levels, node: Handle) {
    let mut told = levels.level();
    loop {
        node.set_service(told);
        told = levels.changed(told).await;
    }
}

/// Looks until it is dropped.
pub(crate) async fn watch(levels: Levels, watched: Watched) {
    let Watched { accounts, node, boards, records, live, probe } = watched;
    let mut records_away = false;
    for look in 0u32.. {
        let overloaded = async {
            let wanted = Instant::now() + LOOK_EVERY;
            tokio::time::sleep(LOOK_EVERY).await;
            wanted.elapsed() > LATE
        };
        let asked = async {
            let record = records.get(Table::Articles, Key::single("everplay/probe"));
            match look.is_multiple_of(ASK_EVERY) {
                true => Some(!matches!(tokio::time::timeout(SLOW, record).await, Ok(Ok(_)))),
                false => None,
            }
        };
        let said = tokio::time::timeout(SLOW, accounts.said_service());
        let (overloaded, said, live_away, asked) =
            tokio::join!(overloaded, said, probe.ask(live.as_ref()), asked);
        records_away = asked.unwrap_or(records_away);
        let accounts_away = match said {
            Ok(Ok(said)) => {
                levels.hear(said);
                false
            }
            // While it cannot be read, what was read holds.
            Ok(Err(_)) | Err(_) => true,
        };
        let status = node.status();
        let journals = Journals::of(status.rooms, status.paused);
        let store_away = if accounts_away {
            Some("accounts cannot be reached: who is signed in plays on, and nobody signs in")
        } else if records_away {
            Some("games that were played and tickets cannot be reached")
        } else if boards.fresh().stale {
            Some("statistics and leaderboards are as they were a while ago")
        } else if journals == Journals::FewStand {
            Some("some games stand still for a while")
        } else {
            None
        };
        let journals_stand = live_away || journals == Journals::Stand;
        levels.observe(Signals { journals_stand, store_away, overloaded });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_rooms_speak_for_the_store() {
        let of = |rooms, paused| Journals::of(rooms, paused);
        assert_eq!((of(0, 0), of(1, 0)), (Journals::Advance, Journals::Advance));
        assert_eq!((of(1, 1), of(2, 1), of(100, 50)), (Journals::Stand, Journals::Stand, Journals::Stand));
        assert_eq!((of(3, 1), of(100, 49)), (Journals::FewStand, Journals::FewStand));
    }
}
