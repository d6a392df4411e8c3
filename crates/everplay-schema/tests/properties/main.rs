//! Properties of random schemas and mutations: patches lead where full states lead, for everyone, for views, for late
//! and for returning clients; hidden fields stay hidden; a restored replica continues with the same bytes.

mod hostile;
mod random;

use everplay_schema::{
    ArrayForm, Decoder, DynStruct, FullForm, Generation, Recovery, Replica, TypeTable, ViewId, shared_of,
};
use proptest::collection::vec;
use proptest::prelude::*;
use random::{Draw, Place, held, mutate, mutate_view, schema};
use std::sync::Arc;

struct Room {
    replica: Replica<DynStruct>,
    types: Arc<TypeTable>,
    views: Vec<ViewId>,
}

impl Room {
    fn new(draw: &mut Draw<'_>, filtered: bool) -> Self {
        let types = schema(draw, filtered);
        let mut state = DynStruct::new(0, &types);
        for _ in 0..draw.below(6) {
            mutate(draw, &mut state, &types, Place::Shared);
        }
        let mut replica = Replica::with_types(state, types.clone());
        replica.set_array_form([ArrayForm::Portable, ArrayForm::Native][draw.below(2)]);
        Room { replica, types, views: Vec::new() }
    }

    fn decoder(&self) -> Decoder {
        Decoder::from_handshake(&self.types.handshake(Generation::Schema5)).expect("our handshake")
    }

    fn full(&self, view: Option<ViewId>, form: FullForm) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.replica.full_state(view, form, &mut bytes);
        bytes
    }

    fn joined(&self, view: Option<ViewId>) -> Decoder {
        let mut decoder = self.decoder();
        decoder.apply(&self.full(view, FullForm::Join)).expect("our full state");
        decoder
    }

    fn patch_of(&self, view: Option<ViewId>) -> Vec<u8> {
        let mut bytes = self.replica.shared_patch().to_vec();
        if let Some(view) = view {
            self.replica.view_patch(view, &mut bytes);
        }
        bytes
    }

    fn tick(&mut self, draw: &mut Draw<'_>) {
        for _ in 0..1 + draw.below(4) {
            mutate(draw, self.replica.get_mut(), &self.types, Place::Shared);
        }
        if !self.views.is_empty() {
            for _ in 0..draw.below(4) {
                // The last view is never shown anything.
                let view = self.views[draw.below(self.views.len() - 1)];
                mutate_view(draw, &mut self.replica, view, &self.types);
            }
        }
        self.replica.patch();
    }
}

/// The types, for messages.
fn told(types: &TypeTable) -> String {
    let mut text = String::new();
    for (no, ty) in types.types().iter().enumerate() {
        text += &format!("\n{no} {} extends {:?}:", ty.name, ty.extends);
        for field in &ty.fields {
            text += &format!("\n  {} {} {:?} {:?}", field.index, field.name, field.kind, field.modifiers);
        }
    }
    text
}

fn contains(bytes: &[u8], marker: Place) -> bool {
    let marker = marker.marker().as_bytes();
    bytes.windows(marker.len()).any(|window| window == marker)
}

/// Clients that follow hold what clients that join hold.
fn follow(numbers: &[u16], filtered: bool) {
    let mut draw = Draw::new(numbers);
    let mut room = Room::new(&mut draw, filtered);
    if filtered {
        room.views = (0..3).map(|_| room.replica.add_view()).collect();
    }
    room.replica.patch();
    let viewers: Vec<Option<ViewId>> =
        std::iter::once(None).chain(room.views.iter().copied().map(Some)).collect();
    let mut clients: Vec<Decoder> = viewers.iter().map(|view| room.joined(*view)).collect();
    let mut old: Vec<Decoder> = clients.clone();
    let mut step = 0;
    while !draw.is_empty() {
        step += 1;
        room.tick(&mut draw);
        for ((view, client), old) in viewers.iter().zip(&mut clients).zip(&mut old) {
            let bytes = room.patch_of(*view);
            assert!(!contains(&bytes, Place::Private));
            if *view == room.views.last().copied() || view.is_none() {
                assert!(!contains(&bytes, Place::Filtered), "step {step}");
            }
            client.apply(&bytes).unwrap_or_else(|error| {
                panic!("step {step} {view:?}: {error} in {bytes:02x?} of {}", told(&room.types))
            });
            let joined = room.joined(*view);
            let schema = told(&room.types);
            assert_eq!(
                held(client, &room.types),
                held(&joined, &room.types),
                "step {step} {view:?} {schema}"
            );
            // One that was away for a while comes back with what it had.
            let mut back = old.clone();
            let rejoin = room.full(*view, FullForm::Rejoin);
            assert!(!contains(&rejoin, Place::Private));
            back.apply(&rejoin).unwrap_or_else(|error| panic!("step {step} {view:?} rejoin: {error}"));
            assert_eq!(
                held(&back, &room.types),
                held(&joined, &room.types),
                "step {step} {view:?} rejoin {schema}"
            );
            assert_eq!(back.len(), joined.len(), "step {step} {view:?}: nothing is left of the old state");
            if step % 3 == 0 {
                *old = client.clone();
            }
        }
        assert!(!room.replica.is_dirty());
    }
}

/// A replica restored at any step goes on like the one that did not crash.
fn restore(numbers: &[u16], filtered: bool) {
    let mut draw = Draw::new(numbers);
    let mut room = Room::new(&mut draw, filtered);
    if filtered {
        room.views = (0..3).map(|_| room.replica.add_view()).collect();
    }
    room.replica.patch();
    let mut snapshot = Vec::new();
    room.replica.snapshot(&mut snapshot);
    let mut journal: Vec<Vec<u8>> = Vec::new();
    let form = [ArrayForm::Portable, ArrayForm::Native][draw.below(2)];
    room.replica.set_array_form(form);
    let mut step = 0;
    let mut twin: Option<Replica<DynStruct>> = None;
    while !draw.is_empty() {
        step += 1;
        let position = draw.clone();
        room.tick(&mut draw);
        if let Some(restored) = twin.take() {
            let mut position = position;
            let mut other = Room { replica: restored, types: room.types.clone(), views: room.views.clone() };
            other.tick(&mut position);
            assert_eq!(other.replica.shared_patch(), room.replica.shared_patch(), "step {step}");
            for view in &room.views {
                assert_eq!(other.patch_of(Some(*view)), room.patch_of(Some(*view)), "step {step} {view:?}");
            }
            assert_eq!(other.replica.journal_patch(), room.replica.journal_patch(), "step {step}");
        }
        if !room.replica.journal_patch().is_empty() {
            let patch = room.replica.journal_patch().to_vec();
            if let Some(shared) = shared_of(&patch).expect("our patch") {
                assert_eq!(shared, room.replica.shared_patch(), "step {step}");
            }
            journal.push(patch);
        }
        let mut recovery = Recovery::<DynStruct>::new(&snapshot, room.types.clone()).expect("our snapshot");
        for patch in &journal {
            recovery.apply(patch).unwrap_or_else(|error| panic!("step {step}: {error}"));
        }
        let mut restored = recovery.finish().unwrap_or_else(|error| panic!("step {step}: {error}"));
        restored.set_array_form(form);
        let (mut live, mut back) = (Vec::new(), Vec::new());
        room.replica.snapshot(&mut live);
        restored.snapshot(&mut back);
        let differ = live.iter().zip(&back).position(|(a, b)| a != b).unwrap_or(live.len().min(back.len()));
        let schema = told(&room.types);
        let patch = room.replica.journal_patch();
        assert!(
            live == back,
            "step {step}: {:02x?} became {:02x?} by {patch:02x?} of {schema}",
            &live[differ..],
            &back[differ..]
        );
        twin = Some(restored);
    }
}

fn cases() -> ProptestConfig {
    ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn following_is_joining(numbers in vec(any::<u16>(), 0..400)) {
        follow(&numbers, false);
    }

    #[test]
    fn following_is_joining_with_views(numbers in vec(any::<u16>(), 0..400)) {
        follow(&numbers, true);
    }

    #[test]
    fn a_restored_replica_continues(numbers in vec(any::<u16>(), 0..250)) {
        restore(&numbers, false);
    }

    #[test]
    fn a_restored_replica_continues_with_views(numbers in vec(any::<u16>(), 0..250)) {
        restore(&numbers, true);
    }
}
