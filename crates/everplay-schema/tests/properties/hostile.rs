//! Hostile bytes: random ones, and right ones that were tampered with. Nothing may panic.

use crate::random::{Draw, Place, mutate, schema};
use everplay_schema::{Decoder, DynStruct, FullForm, Generation, Recovery, Replica, inspect};
use proptest::collection::vec;
use proptest::prelude::*;

fn tamper(bytes: &mut Vec<u8>, changes: &[(u16, u8)]) {
    for (at, byte) in changes {
        if bytes.is_empty() {
            return;
        }
        let at = usize::from(*at) % bytes.len();
        match byte % 4 {
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, byte.wrapping_mul(31)),
            2 => bytes[at] = *byte,
            _ => bytes[at] ^= byte,
        }
    }
}

fn use_it(decoder: &Decoder) {
    let _ = decoder.to_json().to_string();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_refused_or_decoded(
        numbers in vec(any::<u16>(), 0..60), payload in vec(any::<u8>(), 0..300),
    ) {
        let types = schema(&mut Draw::new(&numbers), false);
        let mut decoder = Decoder::from_handshake(&types.handshake(Generation::Schema5)).expect("our handshake");
        let _ = decoder.apply(&payload);
        use_it(&decoder);
        if let Ok(decoder) = Decoder::from_handshake(&payload) {
            use_it(&decoder);
        }
        let _ = inspect(&payload).map(|_| ());
        let _ = Recovery::<DynStruct>::new(&payload, types).map(|_| ());
    }

    #[test]
    fn tampered_bytes_are_refused_or_decoded(
        numbers in vec(any::<u16>(), 0..200), changes in vec(any::<(u16, u8)>(), 1..6),
    ) {
        let mut draw = Draw::new(&numbers);
        let types = schema(&mut draw, true);
        let mut replica = Replica::with_types(DynStruct::new(0, &types), types.clone());
        let view = replica.add_view();
        while !draw.is_empty() {
            mutate(&mut draw, replica.get_mut(), &types, Place::Shared);
        }
        replica.patch();
        let mut handshake = types.handshake(Generation::Schema5);
        let mut full = Vec::new();
        replica.full_state(Some(view), FullForm::Rejoin, &mut full);
        let mut snapshot = Vec::new();
        replica.snapshot(&mut snapshot);
        let mut patch = replica.journal_patch().to_vec();

        tamper(&mut full, &changes);
        let mut decoder = Decoder::from_handshake(&handshake).expect("our handshake");
        let _ = decoder.apply(&full);
        use_it(&decoder);
        tamper(&mut handshake, &changes);
        if let Ok(mut decoder) = Decoder::from_handshake(&handshake) {
            let _ = decoder.apply(&full);
            use_it(&decoder);
        }
        if let Ok(mut recovery) = Recovery::<DynStruct>::new(&snapshot, types.clone()) {
            tamper(&mut patch, &changes);
            let _ = recovery.apply(&patch);
            let _ = recovery.finish().map(|mut replica| replica.patch());
        }
        tamper(&mut snapshot, &changes);
        if let Ok(recovery) = Recovery::<DynStruct>::new(&snapshot, types) {
            let _ = recovery.finish().map(|mut replica| replica.patch());
        }
    }
}
