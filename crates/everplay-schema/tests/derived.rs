//! Derived types: what clients hold follows what the room holds, and a restored replica goes on with the same bytes.

use everplay_schema::{
    ArrayForm, Child, Collection, Decoder, FullForm, Generation, List, Map, Replica, Set, State, Tag,
    inspect, shared_of,
};
use serde_json::json;
use std::collections::HashMap;

#[derive(State, Default, Clone, Debug, PartialEq)]
struct Vec2 {
    x: f32,
    y: f32,
}

#[derive(State, Default, Clone, Debug, PartialEq)]
struct Entity {
    pos: Vec2,
    #[state(number)]
    hp: f64,
}

#[derive(State, Default, Clone, Debug, PartialEq)]
struct Orc {
    #[state(extends)]
    base: Entity,
    rage: u8,
}

#[derive(State, Clone, Debug, PartialEq)]
#[state(base = "Entity")]
enum AnyEntity {
    Entity(Entity),
    Orc(Orc),
}

#[derive(State, Default, Clone, Debug, PartialEq)]
struct Card {
    suit: String,
    rank: u8,
}

#[derive(State, Default, Clone, Debug, PartialEq)]
struct Player {
    name: String,
    score: Option<i32>,
    #[state(view)]
    hand: List<Card>,
    #[state(view = 2)]
    note: String,
    trail: List<u8>,
}

#[derive(State, Default, Debug)]
struct Arena {
    tick: u32,
    players: Map<Player>,
    entities: List<AnyEntity>,
    leader: Option<Child<Player>>,
    pos: Vec2,
    tags: Set<String>,
    rolls: Collection<u16>,
    #[state(number)]
    gold: Map<f64>,
    #[state(bigint)]
    big: u64,
    #[state(quantized(min = 0.0, max = 100.0, bits = 8))]
    health: f64,
    #[state(private)]
    deck: List<Card>,
    #[state(private)]
    secret: u64,
    #[state(skip)]
    cache: HashMap<String, u8>,
    #[state(deprecated)]
    old: u8,
    #[state(rename = "full")]
    is_full: bool,
}

/// A client that joined and follows.
struct Client {
    decoder: Decoder,
}

impl Client {
    fn join<S: State>(replica: &Replica<S>) -> Self {
        let mut decoder = Decoder::from_handshake(&Replica::<S>::handshake(Generation::Schema5)).unwrap();
        let mut bytes = Vec::new();
        replica.full_state(None, FullForm::Join, &mut bytes);
        decoder.apply(&bytes).unwrap();
        Client { decoder }
    }

    fn json(&self) -> serde_json::Value {
        self.decoder.to_json()
    }
}

fn change(arena: &mut Arena, step: u32) {
    arena.tick = step;
    arena.cache.insert(format!("step {step}"), 0);
    assert!(arena.cache.len() <= 64);
    match step % 8 {
        0 => {
            let player =
                Player { name: format!("p{step}"), trail: List::from(vec![1, 2]), ..Default::default() };
            arena.players.insert(format!("k{step}"), player);
            arena.gold.insert("coins", 0.1 * f64::from(step));
        }
        1 => {
            for (_, player) in arena.players.iter_mut() {
                player.score = Some(player.score.unwrap_or(0) + 1);
                player.trail.insert(1, step as u8);
            }
            arena.deck.push(Card { suit: "spade".into(), rank: step as u8 });
            arena.secret += 7;
        }
        2 => {
            arena.entities.push(AnyEntity::Orc(Orc { rage: 3, ..Default::default() }));
            arena.entities.push(AnyEntity::Entity(Entity::default()));
            arena.tags.insert(format!("t{}", step % 16));
            arena.rolls.add(5);
        }
        3 => {
            arena.leader = Some(Child::new(Player { name: "lead".into(), ..Default::default() }));
            arena.entities.reverse();
            arena.deck.reverse();
        }
        4 => {
            if let Some(leader) = &mut arena.leader {
                leader.score = Some(4);
            }
            arena.pos.x += 0.5;
            arena.health = f64::from(step % 100);
            arena.rolls.remove(&5);
        }
        5 => {
            let key = arena.players.keys().next().map(str::to_owned);
            if let Some(key) = key {
                arena.players.remove(&key);
            }
            if let Some(AnyEntity::Orc(orc)) = arena.entities.iter_mut().next() {
                orc.rage += 1;
            }
            arena.big = u64::MAX - u64::from(step);
        }
        6 => {
            arena.leader = None;
            if !arena.entities.is_empty() {
                arena.entities[0] = AnyEntity::Entity(Entity { hp: 2.5, ..Default::default() });
                arena.entities.remove(arena.entities.len() - 1);
            }
            arena.is_full = !arena.is_full;
        }
        _ => {
            arena.tags.clear();
            arena.gold.clear();
            if step % 16 == 15 {
                arena.players.clear();
                arena.trail_reset();
            }
        }
    }
}

impl Arena {
    fn trail_reset(&mut self) {
        self.entities.clear();
        self.deck.truncate(1);
    }
}

#[test]
fn clients_follow_through_patches() {
    for form in [ArrayForm::Portable, ArrayForm::Native] {
        let mut replica = Replica::new(Arena::default());
        replica.set_array_form(form);
        replica.patch();
        let mut client = Client::join(&replica);
        for step in 0..64 {
            change(replica.get_mut(), step);
            assert!(replica.patch());
            client.decoder.apply(replica.shared_patch()).unwrap();
            assert_eq!(client.json(), Client::join(&replica).json(), "{form:?} step {step}");
        }
        assert!(!replica.patch());
        assert!(replica.shared_patch().is_empty() && replica.journal_patch().is_empty());
    }
}

#[test]
fn restored_replicas_continue_with_the_same_bytes() {
    let mut replica = Replica::new(Arena::default());
    replica.patch();
    let mut snapshot = Vec::new();
    replica.snapshot(&mut snapshot);
    let mut journal: Vec<Vec<u8>> = Vec::new();
    let mut view = None;
    for step in 0..48 {
        if step == 5 {
            view = Some(replica.add_view());
        }
        change(replica.get_mut(), step);
        if let Some(view) = view {
            show(replica.get_mut(), view, step);
        }
        replica.patch();
        assert_eq!(shared_of(replica.journal_patch()), Ok(Some(replica.shared_patch())), "step {step}");
        journal.push(replica.journal_patch().to_vec());
        let mut recovery = Replica::<Arena>::restore(&snapshot).unwrap();
        for patch in &journal {
            recovery.apply(patch).unwrap();
        }
        let mut restored = recovery.finish().unwrap();
        assert!(!restored.patch(), "step {step}: nothing is pending after a restore");
        let (mut live, mut back) = (Vec::new(), Vec::new());
        replica.snapshot(&mut live);
        restored.snapshot(&mut back);
        assert_eq!(live, back, "step {step}");
        // Both go on alike.
        let mut twin = Replica::<Arena>::restore(&live).unwrap().finish().unwrap();
        for replica in [&mut restored, &mut twin] {
            change(replica.get_mut(), step + 1);
            if let Some(view) = view {
                show(replica.get_mut(), view, step + 1);
            }
            replica.patch();
        }
        assert_eq!(restored.journal_patch(), twin.journal_patch());
        let mut inspector = inspect(&snapshot).unwrap();
        for patch in &journal {
            inspector.apply_journal(patch).unwrap();
        }
        assert_eq!(inspector.to_json()["secret"], json!(replica.get().secret));
    }
}

fn show(arena: &mut Arena, view: everplay_schema::ViewId, step: u32) {
    let key = arena.players.keys().last().map(str::to_owned);
    if let Some(key) = key {
        if step.is_multiple_of(3) {
            arena.players.show(&key, view);
        }
        if step.is_multiple_of(5) {
            arena.players.show_tagged(&key, view, Tag(2));
        }
        if step.is_multiple_of(7) {
            arena.players.hide(&key, view);
        }
        let player = &mut arena.players[key.as_str()];
        player.note = format!("n{step}");
        player.hand.push(Card { suit: "heart".into(), rank: step as u8 });
        if step.is_multiple_of(2) {
            player.hand.show(0, view);
        }
    }
}

#[test]
fn private_and_skipped_fields_stay_in_the_server() {
    let mut replica = Replica::new(Arena::default());
    replica.patch();
    let handshake = Replica::<Arena>::handshake(Generation::Schema5);
    for name in ["deck", "secret", "cache"] {
        assert!(!handshake.windows(name.len()).any(|window| window == name.as_bytes()), "{name}");
    }
    replica.get_mut().secret = 0x1122_3344_5566_7788;
    assert!(replica.patch());
    assert!(replica.shared_patch().is_empty());
    let needle = 0x1122_3344_5566_7788u64.to_le_bytes();
    assert!(replica.journal_patch().windows(8).any(|window| window == needle));
    assert_eq!(shared_of(replica.journal_patch()), Ok(Some(&[][..])));
    replica.get_mut().tick += 1;
    replica.get_mut().secret += 1;
    replica.patch();
    assert_eq!(shared_of(replica.journal_patch()), Ok(Some(replica.shared_patch())));
}

#[test]
fn a_journal_patch_of_the_first_version_is_read_and_does_not_say_what_was_shared() {
    let mut replica = Replica::new(Arena::default());
    replica.patch();
    let mut snapshot = Vec::new();
    replica.snapshot(&mut snapshot);
    replica.get_mut().tick = 7;
    replica.patch();
    // With everything shared, the versions differ in their number alone.
    let mut patch = replica.journal_patch().to_vec();
    assert_eq!((patch[0], shared_of(&patch)), (2, Ok(Some(replica.shared_patch()))));
    patch[0] = 1;
    assert_eq!(shared_of(&patch), Ok(None));
    let mut recovery = Replica::<Arena>::restore(&snapshot).unwrap();
    recovery.apply(&patch).unwrap();
    assert_eq!(recovery.finish().unwrap().get().tick, 7);
    patch[0] = 3;
    assert!(Replica::<Arena>::restore(&snapshot).unwrap().apply(&patch).is_err());
}

#[test]
fn a_hidden_hand_is_shown_card_by_card() {
    let mut replica = Replica::new(Arena::default());
    replica.get_mut().players.insert("a", Player { note: "top secret".into(), ..Default::default() });
    let view = replica.add_view();
    replica.get_mut().players["a"].hand.push(Card { suit: "heart".into(), rank: 7 });
    replica.patch();
    let mut client = Client::join(&replica);
    let mut section = Vec::new();
    replica.view_patch(view, &mut section);
    assert!(section.is_empty());
    replica.get_mut().players["a"].hand.show(0, view);
    replica.get_mut().players.show_tagged("a", view, Tag(2));
    replica.patch();
    assert!(replica.shared_patch().is_empty());
    replica.view_patch(view, &mut section);
    client.decoder.apply(&section).unwrap();
    let json = client.json();
    assert_eq!(json["players"]["a"]["hand"], json!([{ "suit": "heart", "rank": 7 }]));
    assert_eq!(json["players"]["a"]["note"], json!("top secret"));
    replica.get_mut().players["a"].hand.hide(0, view);
    replica.patch();
    section.clear();
    replica.view_patch(view, &mut section);
    client.decoder.apply(&section).unwrap();
    assert_eq!(client.json()["players"]["a"]["hand"], json!([]));
}
