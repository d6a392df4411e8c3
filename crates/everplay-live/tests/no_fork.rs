//! Two owners in any order of events: a journal never forks, and an old owner never writes after the seal.
//!
//! The owners are as unlucky as they can be: answers get lost and are asked for again, one is stopped and comes back
//! as a zombie, grants are won and lost. The checker watches only answers, and the journal at the end.

use everplay_live::suite::{block_on, fresh_room};
use everplay_live::*;
use everplay_types::{Epoch, RoomKey, Seq, Token};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy)]
enum Event {
    Grant,
    Seal,
    /// So many records; `true`: the answer is lost and the batch asked for again later.
    Append(usize, bool),
    Repeat,
    Snapshot,
    Truncate,
}

fn events() -> impl Strategy<Value = Vec<(bool, Event)>> {
    let event = prop_oneof![
        2 => Just(Event::Grant),
        3 => Just(Event::Seal),
        6 => (1..4_usize, any::<bool>()).prop_map(|(n, lost)| Event::Append(n, lost)),
        3 => Just(Event::Repeat),
        1 => Just(Event::Snapshot),
        1 => Just(Event::Truncate),
    ];
    proptest::collection::vec((any::<bool>(), event), 1..60)
}

/// What one owner believes.
#[derive(Default)]
struct Owner {
    seen: Epoch,
    token: Option<Token>,
    at: Option<Position>,
    /// A batch whose answer it has not got: nothing else may be computed for its positions.
    open: Option<Append>,
}

/// What every answer so far has promised.
#[derive(Default)]
struct Promises {
    /// The value at each position, by the chain that includes it.
    ends: BTreeMap<Seq, Chain>,
    /// Highest token that sealed.
    fence: Token,
}

impl Promises {
    fn appended(&mut self, token: Token, at: Position) -> Result<(), TestCaseError> {
        prop_assert!(token >= self.fence, "{token:?} appended after {:?} sealed", self.fence);
        let before = self.ends.insert(at.last, at.chain);
        prop_assert!(before.is_none_or(|before| before == at.chain), "two histories at {}", at.last);
        Ok(())
    }
}

fn step(
    (store, arbiter): (&dyn LiveStore, &dyn Arbiter),
    room: &RoomKey,
    (who, event): (bool, Event),
    owner: &mut Owner,
    promises: &mut Promises,
    count: &mut u64,
) -> Result<(), TestCaseError> {
    match event {
        Event::Grant => {
            match block_on(arbiter.grant(room.clone(), owner.seen, Incarnation([u8::from(who); 16]))) {
                Ok(token) => *owner = Owner { seen: token.epoch, token: Some(token), at: None, open: None },
                Err(GrantError::Taken { current: Some(grant), .. }) => owner.seen = grant.token.epoch,
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            }
        }
        Event::Seal => {
            let Some(token) = owner.token else { return Ok(()) };
            match block_on(store.seal(room.clone(), token)) {
                Ok(at) => {
                    prop_assert!(token >= promises.fence);
                    promises.fence = token;
                    // An owner that has a batch open must settle it first.
                    if owner.open.is_none() {
                        let loaded = block_on(store.load(room.clone())).expect("loads");
                        prop_assert_eq!(loaded.position, at);
                        owner.at = Some(at);
                    }
                }
                Err(RoomError::Fenced { fence }) => prop_assert!(token < fence),
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            }
        }
        Event::Append(n, lost) => {
            let (Some(token), Some(at), None) = (owner.token, owner.at, &owner.open) else { return Ok(()) };
            *count += 1;
            let payloads = (0..n).map(|k| format!("{who} {count} {k}").into()).collect();
            let room = room.clone();
            let batch = Append { room, token, expected: at.last.next(), prev: at.chain, payloads };
            let answer = block_on(store.append(batch.clone()));
            if lost { owner.open = Some(batch) } else { learn(owner, token, answer, promises)? }
        }
        Event::Repeat => {
            let (Some(token), Some(batch)) = (owner.token, owner.open.take()) else { return Ok(()) };
            learn(owner, token, block_on(store.append(batch)), promises)?;
        }
        Event::Snapshot => {
            let (Some(token), Some(at)) = (owner.token, owner.at) else { return Ok(()) };
            let (room, bytes) = (room.clone(), at.chain.to_string().into());
            let image = Snapshot { room, token, seq: at.last, chain: at.chain, bytes };
            if block_on(store.publish_snapshot(image)).is_ok() {
                prop_assert!(token >= promises.fence);
            }
        }
        Event::Truncate => {
            let (Some(token), Some(at)) = (owner.token, owner.at) else { return Ok(()) };
            if block_on(store.truncate(room.clone(), token, at.last)).is_ok() {
                prop_assert!(token >= promises.fence);
            }
        }
    }
    Ok(())
}

fn learn(
    owner: &mut Owner,
    token: Token,
    answer: Result<Position, AppendError>,
    promises: &mut Promises,
) -> Result<(), TestCaseError> {
    match answer {
        Ok(at) => {
            owner.at = Some(at);
            promises.appended(token, at)
        }
        Err(AppendError::Fenced { fence }) => {
            prop_assert_ne!(token, fence);
            owner.at = None;
            Ok(())
        }
        Err(AppendError::Gap { .. }) => {
            owner.at = None;
            Ok(())
        }
        Err(error) => Err(TestCaseError::fail(error.to_string())),
    }
}

fn never_forks(ports: (&dyn LiveStore, &dyn Arbiter), events: &[(bool, Event)]) -> Result<(), TestCaseError> {
    let (store, arbiter) = ports;
    let room = fresh_room("fork");
    let first = block_on(arbiter.grant(room.clone(), Epoch::NONE, Incarnation([0; 16]))).expect("fresh");
    let (kind, listing) = ("fork".to_owned(), Default::default());
    let at = block_on(store.register(Registration { room: room.clone(), token: first, kind, listing }))
        .expect("new");
    let a = Owner { seen: first.epoch, token: Some(first), at: Some(at), open: None };
    let mut owners = [a, Owner::default()];
    let mut promises = Promises { fence: first, ..Promises::default() };
    let mut count = 0;
    for (who, event) in events {
        step(ports, &room, (*who, *event), &mut owners[usize::from(*who)], &mut promises, &mut count)?;
    }
    let loaded = block_on(store.load(room.clone())).expect("loads");
    prop_assert_eq!(loaded.fence, promises.fence);
    if let Some(snapshot) = &loaded.snapshot {
        prop_assert_eq!(&snapshot.bytes, &snapshot.chain.to_string());
    }
    let (mut chain, mut ends) = match &loaded.snapshot {
        Some(snapshot) => (snapshot.chain, BTreeMap::from([(snapshot.seq, snapshot.chain)])),
        None => (Chain::start(&room), BTreeMap::new()),
    };
    for entry in &loaded.tail {
        let (kind, flags, prev) = (record::Kind::Entry, 0, chain);
        let again =
            record::Record { kind, flags, epoch: entry.epoch, seq: entry.seq, prev, payload: &entry.payload };
        chain = record::encode(&again, &mut Vec::new());
        ends.insert(entry.seq, chain);
    }
    for (seq, chain) in &promises.ends {
        prop_assert!(*seq <= loaded.position.last, "{seq} was answered and is gone");
        prop_assert!(ends.get(seq).is_none_or(|found| found == chain), "another value at {seq}");
    }
    Ok(())
}

/// A failure prints its events; they become a test of their own rather than a file.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn memory_never_forks() {
    let (store, arbiter) = (MemoryLiveStore::new(), MemoryArbiter::new(1));
    proptest!(cases(2000), |(events in events())| {
        never_forks((&store, &arbiter), &events)?;
    });
}

#[test]
fn sqlite_never_forks() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteLiveStore::open(SqliteOptions::new(dir.path())).unwrap();
    let arbiter = store.arbiter();
    proptest!(cases(150), |(events in events())| {
        never_forks((&store, &arbiter), &events)?;
    });
}
