//! The service: counts through the store, reads from memory, follows what other processes count.

use crate::heads::Heads;
use crate::model::{Board, BoardPage, BoardRow, Fresh, Model, Part, PlayerStats};
use crate::standing::{GameResult, Standing};
use crate::store::{BoardStore, Profile, StoreError, Taken};
use everplay_types::CustomerId;
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Standings put into the model under one lock: a reader waits a fraction of a millisecond, or as long as whoever holds
/// the lock is kept from running.
const AT_ONCE: usize = 64;

/// How boards keep up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoardsOptions {
    /// Between two looks at what other processes counted. Default 250 ms.
    pub follow_every: Duration,
    /// Answers are marked stale when the store has not answered for this long. Default 2 s.
    pub stale_after: Duration,
    /// Standings read at once. Default 10,000.
    pub page: u32,
}

impl Default for BoardsOptions {
    fn default() -> Self {
        Self { follow_every: Duration::from_millis(250), stale_after: Duration::from_secs(2), page: 10_000 }
    }
}

/// Statistics and boards. Clones share everything; following ends with the last of them.
#[derive(Debug, Clone)]
pub struct Boards {
    shared: Arc<Shared>,
    _following: Arc<Following>,
}

#[derive(Debug)]
struct Following(AbortHandle);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug)]
struct Shared {
    store: Arc<dyn BoardStore>,
    options: BoardsOptions,
    models: RwLock<HashMap<CustomerId, Arc<RwLock<Model>>>>,
    /// The tops of boards that are asked for: read without the models' locks.
    heads: Heads,
    /// Every change up to this number is in the models.
    through: Mutex<i64>,
    contact: Mutex<Contact>,
}

#[derive(Debug, Clone, Copy)]
struct Contact {
    /// Everything was read once.
    loaded: bool,
    /// When the store last answered, and the time of day then.
    last: Option<(Instant, u64)>,
    away: bool,
}

impl Boards {
    /// Over this store. Reading it in begins now; answers are marked stale until it is done.
    pub fn start(store: Arc<dyn BoardStore>, options: BoardsOptions) -> Self {
        let shared = Arc::new(Shared {
            store,
            options,
            models: RwLock::default(),
            heads: Heads::default(),
            through: Mutex::new(0),
            contact: Mutex::new(Contact { loaded: false, last: None, away: false }),
        });
        let following = tokio::spawn(follow(Arc::clone(&shared))).abort_handle();
        Self { shared, _following: Arc::new(Following(following)) }
    }

    /// Counts results, each once, whoever brings it and however often. They are on the boards when it answers.
    pub async fn take(&self, results: Vec<GameResult>) -> Result<Taken, StoreError> {
        let taken = self.shared.heard(self.shared.store.take(results).await)?;
        self.shared.put_own(&taken.changed);
        Ok(taken)
    }

    /// Writes down what is known of a player.
    pub async fn set_profile(
        &self,
        customer: &CustomerId,
        player: &str,
        profile: Profile,
    ) -> Result<(), StoreError> {
        let changed = self.shared.store.set_profile(customer.clone(), player.to_owned(), profile).await;
        self.shared.put_own(&self.shared.heard(changed)?);
        Ok(())
    }

    /// Takes a player off every board.
    pub async fn forget(&self, customer: &CustomerId, player: &str) -> Result<(), StoreError> {
        let changed = self.shared.store.forget(customer.clone(), player.to_owned()).await;
        self.shared.put_own(&self.shared.heard(changed)?);
        Ok(())
    }

    /// Up to `limit` rows of a board from place `offset` (from 0) on.
    pub fn page(&self, customer: &CustomerId, board: &Board, offset: u64, limit: u32) -> BoardPage {
        let fresh = self.fresh();
        if offset + u64::from(limit) <= u64::from(Heads::ROWS) {
            let shared = &self.shared;
            let head = shared.heads.get(customer, board, || shared.page(customer, board, 0, Heads::ROWS));
            let rows = head.rows.iter().skip(offset as usize).take(limit as usize).cloned().collect();
            return BoardPage { rows, offset, total: head.total, fresh };
        }
        self.shared.page(customer, board, offset, limit).at(fresh)
    }

    /// A player's row with up to `each_side` rows before and after it. None: the player is not on this board.
    pub fn around(
        &self,
        customer: &CustomerId,
        board: &Board,
        player: &str,
        each_side: u32,
    ) -> Option<BoardPage> {
        Some(self.shared.model(customer)?.read().around(board, player, each_side)?.at(self.fresh()))
    }

    /// A player's row. None: the player is not on this board.
    pub fn row(&self, customer: &CustomerId, board: &Board, player: &str) -> Option<BoardRow> {
        self.shared.model(customer)?.read().of(board, player)
    }

    /// What a player has done. None: nothing that counts.
    pub fn stats(&self, customer: &CustomerId, player: &str) -> Option<PlayerStats> {
        self.shared.model(customer)?.read().stats(player)
    }

    /// How old answers are.
    pub fn fresh(&self) -> Fresh {
        let contact = *self.shared.contact.lock();
        let recent = contact.last.is_some_and(|(at, _)| at.elapsed() <= self.shared.options.stale_after);
        Fresh { stale: !contact.loaded || !recent, as_of: contact.last.map_or(0, |(_, wall)| wall) }
    }
}

impl Shared {
    fn model(&self, customer: &CustomerId) -> Option<Arc<RwLock<Model>>> {
        self.models.read().get(customer).cloned()
    }

    /// Notes whether the store is there.
    fn heard<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        let mut contact = self.contact.lock();
        match &answer {
            Ok(_) => {
                let wall =
                    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
                contact.last = Some((Instant::now(), wall));
                if std::mem::take(&mut contact.away) {
                    tracing::info!("the store of standings is back");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut contact.away, true) {
                    tracing::warn!(%error, "the store of standings is away; boards are stale");
                }
            }
        }
        answer
    }

    fn page(&self, customer: &CustomerId, board: &Board, offset: u64, limit: u32) -> Part {
        match self.model(customer) {
            Some(model) => model.read().page(board, offset, limit),
            None => Part::none(offset),
        }
    }

    fn put(&self, standings: &[Standing]) {
        self.put_into_models(standings);
        if !standings.is_empty() {
            self.heads.renew(|customer, board| self.page(customer, board, 0, Heads::ROWS));
        }
    }

    fn put_into_models(&self, standings: &[Standing]) {
        for part in standings.chunks(AT_ONCE) {
            let mut rest = part;
            while let Some(first) = rest.first() {
                let same = rest.iter().take_while(|standing| standing.customer == first.customer).count();
                let model = match self.model(&first.customer) {
                    Some(model) => model,
                    None => Arc::clone(self.models.write().entry(first.customer.clone()).or_default()),
                };
                let mut model = model.write();
                rest[..same].iter().for_each(|standing| model.put(standing));
                rest = &rest[same..];
            }
        }
    }

    /// Puts what this process changed. If nothing of others lies before it, it need not be read again.
    fn put_own(&self, changed: &[Standing]) {
        self.put(changed);
        let numbers = changed.iter().map(|standing| standing.change);
        if let (Some(first), Some(last)) = (numbers.clone().min(), numbers.max()) {
            let mut through = self.through.lock();
            if *through + 1 == first && last - first + 1 == changed.len() as i64 {
                *through = last;
            }
        }
    }
}

async fn follow(shared: Arc<Shared>) {
    loop {
        let after = *shared.through.lock();
        let more = match shared.heard(shared.store.changes(after, shared.options.page).await) {
            Ok(changed) => {
                shared.put(&changed);
                if let Some(last) = changed.last() {
                    let mut through = shared.through.lock();
                    *through = last.change.max(*through);
                }
                let more = changed.len() == shared.options.page as usize;
                shared.contact.lock().loaded |= !more;
                more
            }
            Err(_) => false,
        };
        if more {
            // A large store is read in without holding up who else runs here.
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(shared.options.follow_every).await;
        }
    }
}
