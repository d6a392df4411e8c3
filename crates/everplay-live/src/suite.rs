//! What every adapter must do, as cases that any adapter can run. For tests: a broken promise panics.
//!
//! Each case uses rooms of its own, so that one store may serve them all, in any order and side by side. They are
//! plain futures: an adapter that needs a runtime brings it, the others use [`block_on`].

use crate::record::Chain;
use crate::{
    Allowance, Allowances, Append, AppendError, Arbiter, ArbiterError, Bucket, GrantError, GrantsOf,
    Incarnation, Limits, LiveStore, LoadError, NodeRow, NodeState, Position, RegisterError, Registration,
    RoomError, RoomState, Snapshot, SnapshotError,
};
use bytes::Bytes;
use everplay_types::{CustomerId, Epoch, Nonce, ProcessId, RoomId, RoomKey, Seq, Token};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// Waits on this thread for a future that needs no runtime.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Thread(std::thread::Thread);
    impl Wake for Thread {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Thread(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// A room name that no other case of this process uses.
pub fn fresh_room(case: &str) -> RoomKey {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let room = RoomId::new(format!("{case}-{}-{n}", std::process::id())).expect("case names are ids");
    RoomKey { customer: CustomerId::default(), room }
}

/// A token from two numbers.
pub fn token(epoch: u64, nonce: u8) -> Token {
    Token { epoch: Epoch(epoch), nonce: Nonce([nonce; 16]) }
}

/// An owner as the suite plays it: knows its token and where it believes the journal ends.
#[derive(Debug)]
pub struct Owner<'a> {
    /// The store under test.
    pub store: &'a dyn LiveStore,
    /// Its room.
    pub room: RoomKey,
    /// Its token.
    pub token: Token,
    /// The end of the journal as it knows it.
    pub at: Position,
}

impl<'a> Owner<'a> {
    /// Registers a new room under epoch 1.
    pub async fn new(store: &'a dyn LiveStore, case: &str) -> Owner<'a> {
        let (room, token) = (fresh_room(case), token(1, 7));
        let at = store.register(registration(&room, token)).await.expect("a new room is registered");
        assert_eq!(at, Position { last: Seq::ZERO, chain: Chain::start(&room) });
        Owner { store, room, token, at }
    }

    /// The batch that would follow now.
    pub fn next<T: AsRef<[u8]>>(&self, payloads: impl IntoIterator<Item = T>) -> Append {
        let payloads = payloads.into_iter().map(|payload| Bytes::copy_from_slice(payload.as_ref())).collect();
        let Position { last, chain } = self.at;
        Append { room: self.room.clone(), token: self.token, expected: last.next(), prev: chain, payloads }
    }

    /// Appends and remembers the new end.
    pub async fn append<T: AsRef<[u8]>>(&mut self, payloads: impl IntoIterator<Item = T>) -> Position {
        let answer = self.store.append(self.next(payloads)).await;
        self.at = answer.expect("an append of the owner at the end succeeds");
        self.at
    }

    /// Publishes an image of the present end.
    pub async fn publish(&self, bytes: &'static [u8]) -> Result<(), SnapshotError> {
        let Position { last: seq, chain } = self.at;
        let (room, bytes) = (self.room.clone(), Bytes::from_static(bytes));
        self.store.publish_snapshot(Snapshot { room, token: self.token, seq, chain, bytes }).await
    }

    /// The next owner: seals with the next epoch.
    pub async fn succeed(&self) -> Owner<'a> {
        let token = Token { epoch: self.token.epoch.next(), ..self.token };
        let at = self.store.seal(self.room.clone(), token).await.expect("a higher token seals");
        Owner { store: self.store, room: self.room.clone(), token, at }
    }
}

/// A registration with a kind and a listing.
pub fn registration(room: &RoomKey, token: Token) -> Registration {
    let listing = Bytes::from_static(b"{\"clients\":0}");
    Registration { room: room.clone(), token, kind: "suite".to_owned(), listing }
}

/// Every case for a [`LiveStore`] with these limits.
pub async fn live(store: &dyn LiveStore, limits: Limits) {
    append_and_load(store).await;
    checks_come_in_order(store, limits).await;
    repeats_answer_as_before(store).await;
    several_in_flight(store).await;
    seal_moves_the_fence_up_only(store).await;
    registering(store).await;
    unknown_rooms(store).await;
    snapshots(store, limits).await;
    truncation_keeps_what_recovery_needs(store).await;
    directory(store, limits).await;
    quarantine(store).await;
    closing(store).await;
    sizes(store, limits).await;
}

async fn append_and_load(store: &dyn LiveStore) {
    let mut owner = Owner::new(store, "append").await;
    let first = owner.append(["a"]).await;
    assert_eq!(first.last, Seq(1));
    assert_ne!(first.chain, Chain::start(&owner.room));
    let end = owner.append(["", "bc", "d"]).await;
    assert_eq!(end.last, Seq(4));
    let room = store.load(owner.room.clone()).await.expect("a room with records loads");
    assert_eq!(room.snapshot, None);
    assert_eq!(room.position, end);
    assert_eq!(room.fence, owner.token);
    assert_eq!(room.passed_over, []);
    let tail: Vec<(u64, u64, &[u8])> =
        room.tail.iter().map(|entry| (entry.seq.0, entry.epoch.0, &*entry.payload)).collect();
    assert_eq!(tail, [(1, 1, &b"a"[..]), (2, 1, b""), (3, 1, b"bc"), (4, 1, b"d")]);
}

/// The token is looked at first, then the position, then the chain, then the size.
async fn checks_come_in_order(store: &dyn LiveStore, limits: Limits) {
    let mut owner = Owner::new(store, "order").await;
    let end = owner.append(["a", "b"]).await;
    let huge = vec![0; limits.payload + 1];
    let all_wrong = Append {
        token: token(1, 8),
        expected: Seq(9),
        prev: Chain([9; 16]),
        payloads: vec![huge.into()],
        ..owner.next(["x"])
    };
    let answer = store.append(all_wrong.clone()).await;
    assert!(matches!(answer, Err(AppendError::Fenced { fence }) if fence == owner.token), "{answer:?}");
    let right_token = Append { token: owner.token, ..all_wrong };
    let answer = store.append(right_token.clone()).await;
    assert!(
        matches!(answer, Err(AppendError::Gap { have, chain }) if (have, chain) == (end.last, end.chain))
    );
    let right_seq = Append { expected: Seq(3), ..right_token };
    let answer = store.append(right_seq.clone()).await;
    assert!(matches!(answer, Err(AppendError::Gap { have, .. }) if have == end.last), "{answer:?}");
    let right_chain = Append { prev: end.chain, ..right_seq };
    let answer = store.append(right_chain).await;
    assert!(matches!(answer, Err(AppendError::TooLarge { .. })), "{answer:?}");
    let past_the_end_of_numbers = Append { expected: Seq(u64::MAX), ..owner.next(["x", "y"]) };
    assert!(matches!(store.append(past_the_end_of_numbers).await, Err(AppendError::Gap { .. })));
    let zero = Append { expected: Seq::ZERO, ..owner.next(["x"]) };
    assert!(matches!(store.append(zero).await, Err(AppendError::Gap { .. })));
    // Nothing of all that was written.
    assert_eq!(store.append(owner.next::<&str>([])).await.expect("an empty append at the end"), end);
    assert_eq!(store.load(owner.room.clone()).await.expect("loads").tail.len(), 2);
}

async fn repeats_answer_as_before(store: &dyn LiveStore) {
    let mut owner = Owner::new(store, "repeat").await;
    let one = owner.next(["a", "b"]);
    let first = owner.append(["a", "b"]).await;
    assert_eq!(store.append(one.clone()).await.expect("the last batch repeated"), first);
    let two = owner.next(["c"]);
    let second = owner.append(["c"]).await;
    owner.append(["d"]).await;
    assert_eq!(store.append(one.clone()).await.expect("an earlier batch repeated"), first);
    assert_eq!(store.append(two.clone()).await.expect("an earlier batch repeated"), second);
    // The same positions with other payloads, or another cut of the same ones, are not the same batch.
    let other = Append { payloads: vec![Bytes::from_static(b"a"), Bytes::from_static(b"B")], ..one.clone() };
    assert!(matches!(store.append(other).await, Err(AppendError::Gap { have: Seq(4), .. })));
    let other = Append { payloads: vec![Bytes::from_static(b"C")], ..two };
    assert!(matches!(store.append(other).await, Err(AppendError::Gap { .. })));
    assert_eq!(store.load(owner.room.clone()).await.expect("loads").tail.len(), 4);
    // A fenced owner learns that it is fenced, even when its batch was written.
    owner.succeed().await;
    assert!(matches!(store.append(one).await, Err(AppendError::Fenced { .. })));
}

/// An owner may send ahead; when one of its batches is refused, the ones after it fail by themselves.
async fn several_in_flight(store: &dyn LiveStore) {
    let mut owner = Owner::new(store, "flight").await;
    let plan = |owner: &Owner<'_>, n: u64| {
        let mut at = owner.at;
        let mut batches = Vec::new();
        for n in 0..n {
            let payload = Bytes::from(n.to_le_bytes().to_vec());
            let Position { last, chain } = at;
            let batch =
                Append { expected: last.next(), prev: chain, payloads: vec![payload], ..owner.next(["x"]) };
            at = crate::rules::Batch::encode(&batch, &Limits::default()).end;
            batches.push(batch);
        }
        (batches, at)
    };
    let (batches, end) = plan(&owner, 300);
    let answers: Vec<_> = batches.iter().map(|batch| store.append(batch.clone())).collect();
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.await.expect("sent in order").last, Seq(n as u64 + 1));
    }
    owner.at = end;
    let again: Vec<_> = batches.iter().map(|batch| store.append(batch.clone())).collect();
    for (n, answer) in again.into_iter().enumerate() {
        assert_eq!(answer.await.expect("repeated in order").last, Seq(n as u64 + 1));
    }
    let (mut batches, _) = plan(&owner, 3);
    batches[0].prev = Chain([1; 16]);
    let answers: Vec<_> = batches.into_iter().map(|batch| store.append(batch)).collect();
    for answer in answers {
        assert!(matches!(answer.await, Err(AppendError::Gap { have: Seq(300), .. })));
    }
}

async fn seal_moves_the_fence_up_only(store: &dyn LiveStore) {
    let mut old = Owner::new(store, "seal").await;
    old.append(["a"]).await;
    let mut new = old.succeed().await;
    assert_eq!(new.at, old.at);
    let stale = store.append(old.next(["zombie"])).await;
    assert!(matches!(stale, Err(AppendError::Fenced { fence }) if fence == new.token), "{stale:?}");
    let stale = store.seal(old.room.clone(), old.token).await;
    assert!(matches!(stale, Err(RoomError::Fenced { fence }) if fence == new.token), "{stale:?}");
    assert_eq!(store.seal(new.room.clone(), new.token).await.expect("a seal repeated"), new.at);
    new.append(["b"]).await;
    assert_eq!(store.seal(new.room.clone(), new.token).await.expect("a seal by the owner"), new.at);
    // The same epoch minted twice: exactly one of the two nonces survives, whatever the order.
    let higher = Token { nonce: Nonce([8; 16]), ..new.token };
    let lower = Token { nonce: Nonce([6; 16]), ..new.token };
    assert!(matches!(store.seal(new.room.clone(), lower).await, Err(RoomError::Fenced { .. })));
    store.seal(new.room.clone(), higher).await.expect("a higher nonce");
    assert!(matches!(store.seal(new.room.clone(), new.token).await, Err(RoomError::Fenced { .. })));
    assert!(matches!(store.append(new.next(["c"])).await, Err(AppendError::Fenced { .. })));
    let room = store.load(new.room.clone()).await.expect("loads");
    assert_eq!(room.fence, higher);
    let epochs: Vec<u64> = room.tail.iter().map(|entry| entry.epoch.0).collect();
    assert_eq!(epochs, [1, 2]);
    // A token above the fence that did not seal may not write either.
    let unsealed = Append { token: token(9, 9), ..new.next(["c"]) };
    assert!(matches!(store.append(unsealed).await, Err(AppendError::Fenced { .. })));
}

async fn registering(store: &dyn LiveStore) {
    let mut owner = Owner::new(store, "register").await;
    let end = owner.append(["a"]).await;
    let again = store.register(registration(&owner.room, owner.token)).await;
    assert_eq!(again.expect("the same registration repeated"), end);
    let other = store.register(registration(&owner.room, token(2, 1))).await;
    assert!(matches!(other, Err(RegisterError::Exists { fence }) if fence == owner.token), "{other:?}");
}

async fn unknown_rooms(store: &dyn LiveStore) {
    let room = fresh_room("unknown");
    let token = token(1, 1);
    assert!(matches!(store.load(room.clone()).await, Err(LoadError::NotFound)));
    assert!(matches!(store.seal(room.clone(), token).await, Err(RoomError::NotFound)));
    assert!(matches!(store.relist(room.clone(), token, Bytes::new()).await, Err(RoomError::NotFound)));
    assert!(matches!(store.truncate(room.clone(), token, Seq(1)).await, Err(RoomError::NotFound)));
    assert!(matches!(store.close(room.clone(), token).await, Err(RoomError::NotFound)));
    assert!(matches!(store.quarantine(room.clone(), "x".to_owned()).await, Err(RoomError::NotFound)));
    assert!(matches!(store.lift_quarantine(room.clone()).await, Err(RoomError::NotFound)));
    let (seq, chain) = (Seq::ZERO, Chain::start(&room));
    let append = Append { room: room.clone(), token, expected: Seq(1), prev: chain, payloads: vec![] };
    assert!(matches!(store.append(append).await, Err(AppendError::NotFound)));
    let snapshot = Snapshot { room, token, seq, chain, bytes: Bytes::new() };
    let answer = store.publish_snapshot(snapshot).await;
    assert!(matches!(answer, Err(SnapshotError::Refused(RoomError::NotFound))), "{answer:?}");
}

async fn snapshots(store: &dyn LiveStore, limits: Limits) {
    let mut owner = Owner::new(store, "snapshot").await;
    owner.append(["a", "b"]).await;
    let two = owner.at;
    owner.publish(b"image at 2").await.expect("an image of the end");
    owner.publish(b"image at 2").await.expect("the same image repeated");
    let other = owner.publish(b"another image at 2").await;
    assert!(matches!(other, Err(SnapshotError::Stale { newest: Seq(2) })), "{other:?}");
    owner.append(["c", "d"]).await;
    let room = store.load(owner.room.clone()).await.expect("loads");
    let snapshot = room.snapshot.expect("published");
    assert_eq!((snapshot.seq, snapshot.chain, &*snapshot.bytes), (two.last, two.chain, &b"image at 2"[..]));
    assert_eq!(room.tail.len(), 2);
    assert_eq!(room.position, owner.at);
    // Of a position that is not written yet, of another history, of the past, by someone else, too large.
    let image = |at: Position, token, bytes: Vec<u8>| Snapshot {
        room: owner.room.clone(),
        token,
        seq: at.last,
        chain: at.chain,
        bytes: bytes.into(),
    };
    let future = Position { last: Seq(5), ..owner.at };
    let answer = store.publish_snapshot(image(future, owner.token, vec![1])).await;
    assert!(matches!(answer, Err(SnapshotError::NotDurable { have: Seq(4) })), "{answer:?}");
    let fork = Position { chain: Chain([1; 16]), ..owner.at };
    let answer = store.publish_snapshot(image(fork, owner.token, vec![1])).await;
    assert!(matches!(answer, Err(SnapshotError::NotDurable { .. })), "{answer:?}");
    let fork = Position { last: Seq(3), chain: Chain([1; 16]) };
    let answer = store.publish_snapshot(image(fork, owner.token, vec![1])).await;
    assert!(matches!(answer, Err(SnapshotError::NotDurable { .. })), "{answer:?}");
    let answer = store.publish_snapshot(image(owner.at, token(1, 1), vec![1])).await;
    assert!(matches!(answer, Err(SnapshotError::Refused(RoomError::Fenced { .. }))), "{answer:?}");
    let answer = store.publish_snapshot(image(owner.at, owner.token, vec![0; limits.snapshot + 1])).await;
    assert!(matches!(answer, Err(SnapshotError::Refused(RoomError::TooLarge { .. }))), "{answer:?}");
    assert_eq!(store.load(owner.room.clone()).await.expect("loads").snapshot.expect("kept").seq, Seq(2));
    // A large one, in several pieces, of the end.
    let large: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
    store.publish_snapshot(image(owner.at, owner.token, large.clone())).await.expect("a large image");
    let room = store.load(owner.room.clone()).await.expect("loads");
    assert_eq!(room.snapshot.expect("kept").bytes, large);
    assert!(room.tail.is_empty());
}

async fn truncation_keeps_what_recovery_needs(store: &dyn LiveStore) {
    let mut owner = Owner::new(store, "truncate").await;
    for _ in 0..10 {
        owner.append(["x"]).await;
    }
    let cut = |owner: &Owner<'_>, below| store.truncate(owner.room.clone(), owner.token, Seq(below));
    assert_eq!(cut(&owner, 11).await.expect("nothing to drop"), Seq(1));
    owner.publish(b"ten").await.expect("published");
    assert_eq!(cut(&owner, 11).await.expect("one snapshot is not enough"), Seq(1));
    for _ in 0..10 {
        owner.append(["y"]).await;
    }
    owner.publish(b"twenty").await.expect("published");
    let repeat = owner.next(["z"]);
    owner.append(["z"]).await;
    assert_eq!(cut(&owner, 5).await.expect("less than allowed"), Seq(5));
    assert_eq!(cut(&owner, 100).await.expect("cut to the older snapshot"), Seq(11));
    assert_eq!(cut(&owner, 3).await.expect("never back"), Seq(11));
    let room = store.load(owner.room.clone()).await.expect("loads");
    assert_eq!(&*room.snapshot.expect("kept").bytes, b"twenty");
    assert_eq!(room.tail.len(), 1);
    assert_eq!(room.position, owner.at);
    assert_eq!(store.append(repeat).await.expect("repeats still work above the cut"), owner.at);
    let fenced = store.truncate(owner.room.clone(), token(1, 1), Seq(20)).await;
    assert!(matches!(fenced, Err(RoomError::Fenced { .. })));
    owner.append(["more"]).await;
    owner.publish(b"twenty-two").await.expect("published");
    assert_eq!(cut(&owner, 100).await.expect("cut to the older snapshot"), Seq(21));
    let new = owner.succeed().await;
    assert_eq!(new.at, owner.at);
}

async fn directory(store: &dyn LiveStore, limits: Limits) {
    let mut rooms = Vec::new();
    let customer = CustomerId::new(&*fresh_room("customer").room).expect("an id");
    for n in 0..3 {
        let room =
            RoomKey { customer: customer.clone(), room: RoomId::new(format!("r{}", 2 - n)).expect("an id") };
        store.register(registration(&room, token(1, n))).await.expect("new");
        rooms.push(room);
    }
    let list = || store.list(Some(customer.clone()));
    let entries = list().await.expect("lists");
    let names: Vec<&str> = entries.iter().map(|entry| entry.room.room.as_str()).collect();
    assert_eq!(names, ["r0", "r1", "r2"]);
    assert_eq!(entries[0].kind, "suite");
    assert_eq!(&*entries[0].listing, b"{\"clients\":0}");
    assert_eq!((entries[0].token, entries[0].last), (token(1, 2), Seq::ZERO));
    assert_eq!(entries[0].state, RoomState::Live);
    let listing = Bytes::from_static(b"{\"clients\":1}");
    store.relist(rooms[2].clone(), token(1, 2), listing.clone()).await.expect("relisted");
    let fenced = store.relist(rooms[1].clone(), token(1, 0), listing.clone()).await;
    assert!(matches!(fenced, Err(RoomError::Fenced { .. })));
    let large = Bytes::from(vec![b'x'; limits.listing + 1]);
    let answer = store.relist(rooms[1].clone(), token(1, 1), large).await;
    assert!(matches!(answer, Err(RoomError::TooLarge { .. })));
    store.close(rooms[0].clone(), token(1, 0)).await.expect("closed");
    let entries = list().await.expect("lists");
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].listing, listing);
    let found = store.find(rooms[2].clone()).await.expect("answers").expect("is there");
    assert_eq!(found, entries[0]);
    assert_eq!(store.find(rooms[0].clone()).await.expect("answers"), None, "closed");
    assert_eq!(store.find(fresh_room("nowhere")).await.expect("answers"), None);
    let all = store.list(None).await.expect("lists");
    assert!(rooms[1..].iter().all(|room| all.iter().any(|entry| entry.room == *room)));
}

async fn quarantine(store: &dyn LiveStore) {
    let mut owner = Owner::new(store, "quarantine").await;
    owner.append(["a"]).await;
    store.quarantine(owner.room.clone(), "record 1 is damaged".to_owned()).await.expect("quarantined");
    store.quarantine(owner.room.clone(), "another reason".to_owned()).await.expect("is already");
    let answer = store.append(owner.next(["b"])).await;
    assert!(matches!(&answer, Err(AppendError::Quarantined { reason }) if reason == "record 1 is damaged"));
    let answer = store.seal(owner.room.clone(), token(2, 1)).await;
    assert!(matches!(answer, Err(RoomError::Quarantined { .. })), "{answer:?}");
    let entries = store.list(Some(owner.room.customer.clone())).await.expect("lists");
    let entry = entries.iter().find(|entry| entry.room == owner.room).expect("still listed");
    assert_eq!(entry.state, RoomState::Quarantined { reason: "record 1 is damaged".to_owned() });
    assert_eq!(store.find(owner.room.clone()).await.expect("answers").as_ref(), Some(entry));
    assert_eq!(store.load(owner.room.clone()).await.expect("can be looked at").tail.len(), 1);
    store.lift_quarantine(owner.room.clone()).await.expect("lifted");
    store.lift_quarantine(owner.room.clone()).await.expect("is already");
    owner.append(["b"]).await;
}

async fn closing(store: &dyn LiveStore) {
    let mut owner = Owner::new(store, "close").await;
    owner.append(["a"]).await;
    let fenced = store.close(owner.room.clone(), token(1, 1)).await;
    assert!(matches!(fenced, Err(RoomError::Fenced { .. })));
    store.close(owner.room.clone(), owner.token).await.expect("closed");
    store.close(owner.room.clone(), owner.token).await.expect("closed already");
    assert!(matches!(store.append(owner.next(["b"])).await, Err(AppendError::Closed)));
    assert!(matches!(store.seal(owner.room.clone(), token(2, 1)).await, Err(RoomError::Closed)));
    assert!(matches!(store.quarantine(owner.room.clone(), String::new()).await, Err(RoomError::Closed)));
    assert_eq!(store.load(owner.room.clone()).await.expect("within the retention").tail.len(), 1);
    let reuse = store.register(registration(&owner.room, token(3, 3))).await;
    assert!(matches!(reuse, Err(RegisterError::Exists { .. })), "names are not reused: {reuse:?}");
}

async fn sizes(store: &dyn LiveStore, limits: Limits) {
    let mut owner = Owner::new(store, "sizes").await;
    owner.append([vec![7; limits.payload]]).await;
    let many = owner.next(std::iter::repeat_n("x", limits.records + 1));
    assert!(matches!(store.append(many).await, Err(AppendError::TooLarge { .. })));
    let fit = limits.batch / limits.payload;
    if fit < limits.records {
        let sum = owner.next(std::iter::repeat_n(vec![0; limits.payload], fit + 1));
        assert!(matches!(store.append(sum).await, Err(AppendError::TooLarge { .. })));
    }
    owner.append(std::iter::repeat_n("x", limits.records)).await;
    let room = store.load(owner.room.clone()).await.expect("loads");
    assert_eq!(room.tail[0].payload.len(), limits.payload);
    assert_eq!(room.position, owner.at);
}

/// Every case for an [`Arbiter`].
pub async fn arbiter(arbiter: &dyn Arbiter) {
    let (a, b) = (Incarnation([1; 16]), Incarnation([2; 16]));
    let room = fresh_room("grant");
    assert_eq!(arbiter.current(room.clone()).await.expect("answers"), None);
    let first = arbiter.grant(room.clone(), Epoch::NONE, a).await.expect("never granted");
    assert_eq!(first.epoch, Epoch(1));
    let late = arbiter.grant(room.clone(), Epoch::NONE, b).await;
    assert!(
        matches!(late, Err(GrantError::Taken { current: Some(grant), .. }) if grant.owner == a),
        "{late:?}"
    );
    let ahead = arbiter.grant(room.clone(), Epoch(2), b).await;
    assert!(matches!(ahead, Err(GrantError::Taken { .. })), "{ahead:?}");
    let second = arbiter.grant(room.clone(), Epoch(1), b).await.expect("saw the epoch in force");
    assert!(second > first && second.nonce != first.nonce);
    let current = arbiter.current(room.clone()).await.expect("answers").expect("granted");
    assert_eq!((current.token, current.owner), (second, b));

    // Of several at once exactly one wins.
    let others: Vec<_> =
        (0..8).map(|n| arbiter.grant(room.clone(), Epoch(2), Incarnation([n; 16]))).collect();
    let mut won = Vec::new();
    for other in others {
        won.extend(other.await.ok());
    }
    assert_eq!(won.len(), 1);

    let refused = arbiter.retire(room.clone(), second).await;
    assert!(
        matches!(refused, Err(ArbiterError::Taken { current }) if current.token == won[0]),
        "{refused:?}"
    );
    arbiter.retire(room.clone(), won[0]).await.expect("the token in force");
    arbiter.retire(room.clone(), won[0]).await.expect("retired already");
    assert_eq!(arbiter.current(room.clone()).await.expect("answers"), None);
    let gone = arbiter.grant(room, Epoch(3), a).await;
    assert!(matches!(gone, Err(GrantError::Taken { current: None, .. })), "{gone:?}");

    // Rooms do not meet.
    let (one, two) = (fresh_room("grant"), fresh_room("grant"));
    let (one, two) = (arbiter.grant(one, Epoch::NONE, a), arbiter.grant(two, Epoch::NONE, a));
    let (one, two) = (one.await.expect("fresh"), two.await.expect("fresh"));
    assert_ne!(one.nonce, two.nonce);

    grants_by_owner(arbiter).await;
    nodes(arbiter).await;
}

/// Incarnations that no other case of this process uses.
fn fresh_node() -> Incarnation {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut bytes = [0xee; 16];
    bytes[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Incarnation(bytes)
}

async fn grants_by_owner(arbiter: &dyn Arbiter) {
    let (a, b) = (fresh_node(), fresh_node());
    let of = |owner| arbiter.grants(GrantsOf::Owner(owner));
    assert_eq!(of(a).await.expect("answers"), []);
    let customer = customer_room().customer;
    let mut rooms = Vec::new();
    for n in 0..3 {
        let room =
            RoomKey { customer: customer.clone(), room: RoomId::new(format!("r{}", 2 - n)).expect("an id") };
        let token = arbiter.grant(room.clone(), Epoch::NONE, a).await.expect("fresh");
        rooms.push((room, token));
    }
    let held = of(a).await.expect("answers");
    let names: Vec<&str> = held.iter().map(|(room, _)| room.room.as_str()).collect();
    assert_eq!(names, ["r0", "r1", "r2"]);
    assert!(
        held.iter().all(|(room, grant)| grant.owner == a && rooms.contains(&(room.clone(), grant.token)))
    );
    let (moved, token) = rooms[0].clone();
    let next = arbiter.grant(moved.clone(), token.epoch, b).await.expect("saw the epoch in force");
    assert_eq!(of(a).await.expect("answers").len(), 2);
    let held = of(b).await.expect("answers");
    assert_eq!(held.len(), 1);
    assert_eq!((&held[0].0, held[0].1.token, held[0].1.owner), (&moved, next, b));
    let others = arbiter.grants(GrantsOf::NotOf(vec![a])).await.expect("answers");
    assert!(others.contains(&held[0]) && others.iter().all(|(_, grant)| grant.owner != a));
    let all = arbiter.grants(GrantsOf::NotOf(Vec::new())).await.expect("answers");
    assert!(all.len() >= 3 && all.iter().map(|(room, _)| room).is_sorted());
    arbiter.retire(moved, next).await.expect("the token in force");
    assert_eq!(of(b).await.expect("answers"), []);
}

/// A room of a customer that no other case uses.
fn customer_room() -> RoomKey {
    let room = fresh_room("customer");
    RoomKey { customer: CustomerId::new(room.room.as_str()).expect("an id"), ..room }
}

async fn nodes(arbiter: &dyn Arbiter) {
    let row = |incarnation, zone: &str| NodeRow {
        incarnation,
        process_id: ProcessId::new("p-1").expect("an id"),
        address: "10.0.0.1:7000".to_owned(),
        http: "10.0.0.1:2567".to_owned(),
        version: "0.1.0".to_owned(),
        zone: zone.to_owned(),
    };
    let (a, b) = (fresh_node(), fresh_node());
    let listed = async || {
        let all = arbiter.nodes().await.expect("lists");
        assert!(all.iter().map(|node| node.row.incarnation).is_sorted());
        all.into_iter().filter(|node| [a, b].contains(&node.row.incarnation)).collect::<Vec<_>>()
    };
    let busy = NodeState { draining: true, rooms: 7 };
    assert!(matches!(arbiter.renew(a, busy).await, Err(ArbiterError::NotListed)));
    arbiter.join(row(b, "")).await.expect("joins");
    arbiter.join(row(a, "here")).await.expect("joins");
    let both = listed().await;
    assert_eq!(both.iter().map(|node| &node.row).collect::<Vec<_>>(), [&row(a, "here"), &row(b, "")]);
    assert!(both.iter().all(|node| node.state == NodeState::default()));
    arbiter.renew(a, busy).await.expect("is listed");
    let both = listed().await;
    assert_eq!((both[0].state, both[1].state), (busy, NodeState::default()));
    assert!(both[0].age < both[1].age, "{both:?}");
    // The same incarnation again: another address, nothing left of its state.
    arbiter.join(row(a, "there")).await.expect("joins again");
    let both = listed().await;
    assert_eq!((both[0].row.zone.as_str(), both[0].state), ("there", NodeState::default()));
    let long = NodeRow { http: "x".repeat(NodeRow::MAX_TEXT + 1), ..row(b, "") };
    assert!(matches!(arbiter.join(long).await, Err(ArbiterError::Text)));
    let zero = NodeRow { version: "0\0".to_owned(), ..row(b, "") };
    assert!(matches!(arbiter.join(zero).await, Err(ArbiterError::Text)));
    arbiter.leave(a).await.expect("leaves");
    arbiter.leave(a).await.expect("left already");
    assert!(matches!(arbiter.renew(a, busy).await, Err(ArbiterError::NotListed)));
    assert_eq!(listed().await.len(), 1);
    arbiter.leave(b).await.expect("leaves");
    assert_eq!(listed().await, []);
}

/// All cases of the port of allowances.
pub async fn allowances(allowances: &dyn Allowances) {
    let fresh = |case: &str| fresh_room(case).room.to_string();
    let hour = Duration::from_secs(3600);
    let take = async |name: &str, bucket| allowances.take(name, bucket).await.expect("answers");

    // A full one gives its size, and says what is left.
    let (name, bucket) = (fresh("full"), Bucket { size: 5, fills_in: hour });
    for remaining in (0..5).rev() {
        assert_eq!(take(&name, bucket).await, Allowance::Taken { remaining });
    }
    // What is refused costs nothing, however often.
    for _ in 0..10 {
        let Allowance::Empty { wait } = take(&name, bucket).await else { panic!("more than there is") };
        assert!(wait <= hour / 5 && wait > hour / 5 - Duration::from_secs(60), "{wait:?}");
    }
    assert_eq!(take(&fresh("other"), bucket).await, Allowance::Taken { remaining: 4 });
    // Said to be of another kind: at most empty.
    let faster = Bucket { size: 5, fills_in: Duration::from_millis(5) };
    if let Allowance::Empty { wait } = take(&name, faster).await {
        assert!(wait <= Duration::from_millis(1), "{wait:?}");
    }

    // Side by side, never more than there is.
    let (name, bucket) = (fresh("crowd"), Bucket { size: 20, fills_in: hour });
    let crowd: Vec<_> = (0..64).map(|_| allowances.take(&name, bucket)).collect();
    let mut left = Vec::new();
    for answer in crowd {
        if let Allowance::Taken { remaining } = answer.await.expect("answers") {
            left.push(remaining);
        }
    }
    left.sort_unstable();
    assert_eq!(left, (0..20).collect::<Vec<u32>>());

    // Filled steadily: one asked all the time gives its size and what filled in meanwhile.
    let (name, bucket) = (fresh("steady"), Bucket { size: 10, fills_in: Duration::from_millis(100) });
    let (start, mut taken, mut refused) = (Instant::now(), 0, 0);
    while start.elapsed() < Duration::from_millis(300) {
        match take(&name, bucket).await {
            Allowance::Taken { .. } => taken += 1,
            Allowance::Empty { wait } => {
                assert!(wait <= Duration::from_millis(10), "{wait:?}");
                refused += 1;
            }
        }
    }
    // The clock that counts may be another machine's: a hundredth is allowed for its pace.
    let most = 11 + (start.elapsed().as_secs_f64() * 101.0) as u32;
    assert!(taken <= most && (taken >= 10 || refused == 0), "{taken} in {:?}", start.elapsed());
    // Whoever waits as long as is said gets one, once the clocks agree.
    while let Allowance::Empty { wait } = take(&name, bucket).await {
        std::thread::sleep(wait);
    }

    let never = Bucket { size: 0, fills_in: hour };
    assert!(matches!(take(&fresh("never"), never).await, Allowance::Empty { .. }));
}
