use super::*;
use proptest::prelude::*;

fn record(payload: &[u8]) -> Record<'_> {
    let prev = Chain(*b"previous chain..");
    Record { kind: Kind::Entry, flags: 0, epoch: Epoch(3), seq: Seq(258), prev, payload }
}

fn bytes(record: &Record<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(record, &mut out);
    out
}

fn sign(out: &mut [u8]) {
    let at = out.len() - TRAILER_LEN;
    let crc = crc32c::crc32c(&out[..at]);
    out[at..].copy_from_slice(&crc.to_le_bytes());
}

/// The layout byte by byte, as the documentation draws it.
#[test]
fn layout() {
    let out = bytes(&record(b"hi"));
    assert_eq!(out[..4], [1, 0, 1, 0]);
    assert_eq!(out[4..12], 3_u64.to_le_bytes());
    assert_eq!(out[12..20], 258_u64.to_le_bytes());
    assert_eq!(out[20..36], *b"previous chain..");
    assert_eq!(out[36..40], [2, 0, 0, 0]);
    assert_eq!(out[40..42], *b"hi");
    assert_eq!(out.len(), framed_len(2));
}

#[test]
fn the_unknown_is_named() {
    let good = bytes(&record(b"hi"));
    let changed = |at: usize, to: u8| {
        let mut out = good.clone();
        out[at] = to;
        sign(&mut out);
        out
    };
    assert_eq!(decode(&changed(0, 2)), Err(Damage::Version { found: 2 }));
    assert_eq!(decode(&changed(2, 9)), Err(Damage::Kind { found: 9 }));
    assert_eq!(decode(&changed(3, 0x10)), Err(Damage::Flags { flags: 0x10 }));
    assert_eq!(decode(&changed(3, 0x08)).map(|read| read.flags), Ok(0x08));
    assert!(matches!(decode(&good[..1]), Err(Damage::Truncated { .. })));
    assert_eq!(decode(&good[..good.len() - 1]), Err(Damage::Truncated { need: 46, have: 45 }));
    assert_eq!(decode(&[&good[..], b"x"].concat()), Err(Damage::Trailing { extra: 1 }));
}

#[test]
fn only_the_record_that_follows_follows() {
    let good = bytes(&record(b"hi"));
    let prev = record(b"").prev;
    let (_, next) = chained(&good, Seq(258), prev, Epoch(3)).unwrap();
    assert_eq!(next, prev.extend(&good[..good.len() - TRAILER_LEN]));
    assert!(matches!(chained(&good, Seq(257), prev, Epoch(3)), Err(Damage::Sequence { .. })));
    assert!(matches!(chained(&good, Seq(258), Chain([0; 16]), Epoch(3)), Err(Damage::Chain { .. })));
    assert!(matches!(chained(&good, Seq(258), prev, Epoch(4)), Err(Damage::Epoch { .. })));
    let snapshot = bytes(&Record { kind: Kind::Snapshot, ..record(b"hi") });
    assert!(matches!(chained(&snapshot, Seq(258), prev, Epoch(3)), Err(Damage::Kind { found: 2 })));
}

/// A record of one room does not even start another's journal.
#[test]
fn chains_start_from_the_name() {
    let key = |customer: &str, room: &str| RoomKey {
        customer: customer.parse().unwrap(),
        room: room.parse().unwrap(),
    };
    let chains =
        [key("a", "bc"), key("ab", "c"), key("a", "b"), key("b", "bc")].map(|key| Chain::start(&key));
    for (n, chain) in chains.iter().enumerate() {
        assert!(!chains[..n].contains(chain));
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        payload in proptest::collection::vec(any::<u8>(), 0..300),
        (epoch, seq, prev, snapshot, flags) in (any::<u64>(), any::<u64>(), any::<[u8; 16]>(), any::<bool>(), 0..16_u8),
    ) {
        let kind = if snapshot { Kind::Snapshot } else { Kind::Entry };
        let record =
            Record { kind, flags, epoch: Epoch(epoch), seq: Seq(seq), prev: Chain(prev), payload: &payload };
        let out = bytes(&record);
        prop_assert_eq!(decode(&out), Ok(record));
    }

    #[test]
    fn every_changed_byte_is_noticed(payload in proptest::collection::vec(any::<u8>(), 0..60), at: usize, by in 1..=255_u8) {
        let mut out = bytes(&record(&payload));
        let at = at % out.len();
        out[at] ^= by;
        prop_assert!(decode(&out).is_err());
    }

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
        let _ = decode(&[&[1, 0, 1, 0][..], &bytes].concat());
    }
}
