//! Writes the journal that `tests/golden.rs` reads, as this release writes it: `cargo run -p everplay-live --example
//! golden -- DIR`. Run once per format version, and keep the file under the version's name.

use everplay_live::suite::{block_on, token};
use everplay_live::{
    Append, Chain, LiveStore, Position, Registration, Snapshot, SqliteLiveStore, SqliteOptions,
};
use everplay_types::{CustomerId, RoomId, RoomKey, Seq};

fn main() {
    let dir = std::env::args().nth(1).expect("the folder to write to");
    let store = SqliteLiveStore::open(SqliteOptions::new(dir)).expect("a new journal");
    let customer = CustomerId::new("golden").expect("an id");
    let key = |room: &str| RoomKey { customer: customer.clone(), room: RoomId::new(room).expect("an id") };
    block_on(async {
        for name in ["played", "quarantined", "closed", "empty"] {
            let (room, token) = (key(name), token(1, 1));
            let (kind, listing) = ("golden_kind".to_owned(), format!("{{\"name\":\"{name}\"}}").into());
            let registration = Registration { room: room.clone(), token, kind, listing };
            let mut at = store.register(registration).await.expect("registered");
            assert_eq!(at, Position { last: Seq::ZERO, chain: Chain::start(&room) });
            let records = if name == "empty" { 0 } else { 12 };
            for n in 1..=records {
                let payloads = vec![format!("{name} {n}").into()];
                let (expected, prev, room) = (at.last.next(), at.chain, room.clone());
                at = store.append(Append { room, token, expected, prev, payloads }).await.expect("appended");
                if n % 5 == 0 && name == "played" {
                    let (room, seq, chain) = (key(name), at.last, at.chain);
                    let bytes = format!("image at {seq}").into();
                    let image = Snapshot { room, token, seq, chain, bytes };
                    store.publish_snapshot(image).await.expect("published");
                }
            }
        }
        assert_eq!(store.truncate(key("played"), token(1, 1), Seq(4)).await.expect("truncated"), Seq(4));
        store.seal(key("played"), token(2, 2)).await.expect("sealed");
        store.quarantine(key("quarantined"), "as a test".to_owned()).await.expect("quarantined");
        store.close(key("closed"), token(1, 1)).await.expect("closed");
    });
}
