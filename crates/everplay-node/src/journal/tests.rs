//! A journal over a store that fails over, stalls and forgets, and an arbiter that is away.

use super::*;
use everplay_live::suite::{fresh_room, registration};
use everplay_live::{Fault, Incarnation, MemoryArbiter, MemoryLiveStore};
use everplay_types::Epoch;

const ME: Incarnation = Incarnation([1; 16]);
const OTHER: Incarnation = Incarnation([2; 16]);

struct Bench {
    store: MemoryLiveStore,
    arbiter: MemoryArbiter,
    room: RoomKey,
    journal: RoomJournal,
}

impl Bench {
    async fn new() -> Bench {
        let (store, arbiter, room) = (MemoryLiveStore::new(), MemoryArbiter::new(7), fresh_room("journal"));
        let token = arbiter.grant(room.clone(), Epoch::NONE, ME).await.unwrap();
        let at = store.register(registration(&room, token)).await.unwrap();
        let (live, of) = (Arc::new(store.clone()), Arc::new(arbiter.clone()));
        let journal = RoomJournal::new(live, of, room.clone(), token, at);
        Bench { store, arbiter, room, journal }
    }

    fn push(&mut self, payload: &'static str) {
        self.journal.push(Bytes::from_static(payload.as_bytes()));
        self.journal.submit();
    }

    /// Waits for what becomes of everything that was pushed.
    async fn settle(&mut self) -> Result<(), Loss> {
        while !self.journal.is_settled() {
            if let Answer::Lost(loss) = self.journal.answered().await {
                return Err(loss);
            }
        }
        Ok(())
    }

    async fn held_up(&mut self) -> &'static str {
        assert!(matches!(self.journal.answered().await, Answer::HeldUp));
        self.journal.held_up().expect("says why")
    }

    async fn journaled(&self) -> Vec<String> {
        let room = self.store.load(self.room.clone()).await.unwrap();
        room.tail.iter().map(|entry| String::from_utf8_lossy(&entry.payload).into_owned()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_failover_is_survived_by_sealing_again() {
    let mut bench = Bench::new().await;
    bench.push("a");
    bench.settle().await.unwrap();
    bench.store.fail_over(0);
    bench.push("b");
    // What comes meanwhile waits behind it.
    bench.push("c");
    assert_eq!(bench.held_up().await, CHANGED);
    bench.settle().await.unwrap();
    assert_eq!(bench.journaled().await, ["a", "b", "c"]);
    assert_eq!(bench.journal.durable(), Seq(3));
}

/// The batch of unknown outcome was done before the failover: it is found, not written twice.
#[tokio::test(start_paused = true)]
async fn what_the_copy_has_already_is_not_written_again() {
    let mut bench = Bench::new().await;
    bench.push("a");
    bench.settle().await.unwrap();
    bench.store.set_fault(Fault::AnswersLost);
    bench.push("b");
    assert_eq!(bench.held_up().await, SILENT);
    bench.store.set_fault(Fault::None);
    bench.store.fail_over(0);
    bench.settle().await.unwrap();
    assert_eq!(bench.journaled().await, ["a", "b"]);

    // And one that did not reach the copy is written.
    bench.store.set_fault(Fault::AnswersLost);
    bench.push("c");
    assert_eq!(bench.held_up().await, SILENT);
    bench.store.set_fault(Fault::None);
    bench.store.fail_over(1);
    bench.settle().await.unwrap();
    assert_eq!(bench.journaled().await, ["a", "b", "c"]);
}

/// A store that answered and forgot: nothing is written over it, and the room is given up with that reason.
#[tokio::test(start_paused = true)]
async fn confirmed_records_that_are_gone_end_the_room() {
    let mut bench = Bench::new().await;
    bench.push("a");
    bench.push("b");
    bench.settle().await.unwrap();
    bench.store.fail_over(1);
    bench.push("c");
    let loss = bench.settle().await.unwrap_err();
    assert!(matches!(loss, Loss::Forgotten { have: Seq(1), confirmed: Seq(2) }), "{loss:?}");
    assert_eq!(bench.journaled().await, ["a"]);
}

/// Granted to another meanwhile, who has not sealed yet: the old owner must not seal.
#[tokio::test(start_paused = true)]
async fn only_the_grant_in_force_seals_again() {
    let mut bench = Bench::new().await;
    bench.push("a");
    bench.settle().await.unwrap();
    bench.store.fail_over(0);
    let seen = bench.journal.token().epoch;
    bench.arbiter.grant(bench.room.clone(), seen, OTHER).await.unwrap();
    bench.push("b");
    assert!(matches!(bench.settle().await, Err(Loss::Moved)));
    assert_eq!(bench.journaled().await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_newer_owner_is_not_asked_about() {
    let mut bench = Bench::new().await;
    let seen = bench.journal.token().epoch;
    let next = bench.arbiter.grant(bench.room.clone(), seen, OTHER).await.unwrap();
    bench.store.seal(bench.room.clone(), next).await.unwrap();
    bench.arbiter.set_away(true);
    bench.push("a");
    assert!(matches!(bench.settle().await, Err(Loss::Moved)));
}

/// Store and arbiter both away: the room waits as long as it takes, and loses nothing.
#[tokio::test(start_paused = true)]
async fn an_arbiter_that_is_away_is_waited_for() {
    let mut bench = Bench::new().await;
    bench.push("a");
    bench.settle().await.unwrap();
    bench.arbiter.set_away(true);
    bench.store.fail_over(0);
    bench.push("b");
    assert_eq!(bench.held_up().await, CHANGED);
    for _ in 0..50 {
        assert_eq!(bench.held_up().await, "the arbiter does not answer");
    }
    bench.arbiter.set_away(false);
    bench.settle().await.unwrap();
    assert_eq!(bench.journaled().await, ["a", "b"]);
}

/// A store that changes hands all the time is asked again and again, with pauses.
#[tokio::test(start_paused = true)]
async fn repeated_failovers_do_not_spin() {
    let mut bench = Bench::new().await;
    let start = Instant::now();
    bench.push("a");
    bench.settle().await.unwrap();
    bench.push("b");
    for _ in 0..100 {
        bench.store.fail_over(0);
        if bench.journal.is_settled() {
            bench.push("b");
        }
        assert!(!matches!(bench.journal.answered().await, Answer::Lost(_)));
    }
    bench.settle().await.unwrap();
    assert!(start.elapsed() > Duration::from_millis(20), "{:?}", start.elapsed());
}
