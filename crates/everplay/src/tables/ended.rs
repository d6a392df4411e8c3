//! Games that ended a moment ago, as seats and watchers of this process saw them end.
//!
//! Whoever asks gets the end at once: another seat may not have heard of it, the room may be gone, and the record store
//! may not have the game yet. What was abandoned before it began is not among them: somebody else may play it.

use everplay_api::games::{GameNow, Stage};
use everplay_records::GameId;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

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
    fn forget(&mut self) {
        while self.since.front().is_some_and(|(since, _)| since.elapsed() > KNOWN || self.since.len() > MOST)
        {
            if let Some((_, id)) = self.since.pop_front() {
                self.games.remove(&id);
            }
        }
    }
}

impl Ended {
    /// Remembers a game if it was played to some end.
    pub(super) fn see(&self, now: &Arc<GameNow>) {
        if !matches!(now.stage, Stage::Completed | Stage::Forfeited) {
            return;
        }
        let mut games = self.0.lock();
        if games.games.insert(now.id.clone(), Arc::clone(now)).is_none() {
            games.since.push_back((Instant::now(), now.id.clone()));
        }
        games.forget();
    }

    pub(super) fn get(&self, id: &GameId) -> Option<Arc<GameNow>> {
        let mut games = self.0.lock();
        games.forget();
        games.games.get(id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use everplay_types::RoomId;

    fn game(room: usize, stage: Stage) -> Arc<GameNow> {
        Arc::new(GameNow {
            id: GameId { room: RoomId::new(format!("ROOM{room}")).unwrap(), number: 1 },
            kind: "duel".to_owned(),
            stage,
            players: Vec::new(),
            board: Vec::new(),
            turn: None,
            winner: None,
            reason: String::new(),
            moves: Vec::new(),
            clock: None,
            created_at: 0,
            updated_at: 0,
            mode: None,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn what_ended_is_known_for_a_minute() {
        let (ended, first, second) = (Ended::default(), game(1, Stage::Completed), game(2, Stage::Forfeited));
        ended.see(&first);
        tokio::time::advance(KNOWN / 2).await;
        ended.see(&second);
        // Seen again, it is not known for longer.
        ended.see(&first);
        assert_eq!(ended.get(&first.id).as_ref(), Some(&first));
        tokio::time::advance(KNOWN / 2 + Duration::from_millis(1)).await;
        assert_eq!((ended.get(&first.id), ended.get(&second.id).as_ref()), (None, Some(&second)));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_bounded_and_knows_only_ends() {
        let ended = Ended::default();
        for stage in [Stage::Waiting, Stage::Active, Stage::Abandoned] {
            ended.see(&game(0, stage));
        }
        assert_eq!(ended.get(&game(0, Stage::Active).id), None);
        for room in 1..=MOST + 1 {
            ended.see(&game(room, Stage::Completed));
        }
        assert_eq!(ended.get(&game(1, Stage::Completed).id), None);
        assert!(ended.get(&game(2, Stage::Completed).id).is_some());
        assert_eq!(ended.0.lock().games.len(), MOST);
    }
}
