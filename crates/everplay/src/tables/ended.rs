//! Games that ended a moment ago, as seats and watchers of this process saw them end.
//!
//! Whoever asks gets the end at once: another seat may not have heard of it, the room may be gone, and the record store
//! may not have the game yet. What was abandoned before it began is not among them: somebody else may play it.

use everplay_api::games::{GameNow, Stage};
use everplay_records::GameId;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long they are known. The record store has a game within a second, unless it is away.
const KNOWN: Duration = Duration::from_secs(60);
/// At most so many: some 20 MB.
const MOST: usize = 10_000;

#[derive(Default)]
pub(super) struct Ended(Mutex<Games>);

#[derive(Default)]
struct Games {
    games: HashMap<GameId, Arc<GameNow>>,
    /// In the order in which they ended.
    since: VecDeque<(Instant, GameId)>,
}

impl Games {
    fn see(&mut self, game: &Arc<GameNow>, now: Instant) {
        if !matches!(game.stage, Stage::Completed | Stage::Forfeited) {
            return;
        }
        if self.games.insert(game.id.clone(), Arc::clone(game)).is_none() {
            self.since.push_back((now, game.id.clone()));
        }
        self.forget(now);
    }

    fn get(&mut self, id: &GameId, now: Instant) -> Option<Arc<GameNow>> {
        self.forget(now);
        self.games.get(id).cloned()
    }

    fn forget(&mut self, now: Instant) {
        let is_old = |(since, _): &(Instant, GameId)| now.saturating_duration_since(*since) > KNOWN;
        while self.since.front().is_some_and(is_old) || self.since.len() > MOST {
            if let Some((_, id)) = self.since.pop_front() {
                self.games.remove(&id);
            }
        }
    }
}

impl Ended {
    /// Remembers a game if it was played to some end.
    pub(super) fn see(&self, game: &Arc<GameNow>) {
        self.0.lock().see(game, Instant::now());
    }

    pub(super) fn get(&self, id: &GameId) -> Option<Arc<GameNow>> {
        self.0.lock().get(id, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use everplay_types::RoomId;

    fn game(room: usize, stage: Stage) -> Arc<GameNow> {
        let id = GameId { room: RoomId::new(format!("ROOM{room}")).unwrap(), number: 1 };
        Arc::new(GameNow { stage, ..GameNow::untold(id, "duel".to_owned(), 0) })
    }

    #[test]
    fn what_ended_is_known_for_a_minute() {
        let (mut games, start) = (Games::default(), Instant::now());
        let (first, second) = (game(1, Stage::Completed), game(2, Stage::Forfeited));
        games.see(&first, start);
        games.see(&second, start + KNOWN / 2);
        // Seen again, it is not known for longer.
        games.see(&first, start + KNOWN / 2);
        assert_eq!(games.get(&first.id, start + KNOWN).as_ref(), Some(&first));
        let later = start + KNOWN + Duration::from_millis(1);
        assert_eq!((games.get(&first.id, later), games.get(&second.id, later)), (None, Some(second)));
    }

    #[test]
    fn it_is_bounded_and_knows_only_ends() {
        let (mut games, now) = (Games::default(), Instant::now());
        for stage in [Stage::Waiting, Stage::Active, Stage::Abandoned] {
            games.see(&game(0, stage), now);
        }
        assert_eq!(games.get(&game(0, Stage::Active).id, now), None);
        for room in 1..=MOST + 1 {
            games.see(&game(room, Stage::Completed), now);
        }
        assert_eq!(games.get(&game(1, Stage::Completed).id, now), None);
        assert!(games.get(&game(2, Stage::Completed).id, now).is_some());
        assert_eq!(games.games.len(), MOST);
    }
}
