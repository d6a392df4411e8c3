//! Memory: patches allocate nothing in steady state, and hostile bytes little. One test, since the counts are global.

use everplay_schema::{Decoder, Generation, List, MEMORY_PER_BYTE, Map, Replica, State};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[derive(State, Default)]
struct Ship {
    x: f32,
    y: f32,
    name: String,
    hits: List<u8>,
    #[state(view)]
    fuel: u16,
}

#[derive(State, Default)]
struct Arena {
    tick: u32,
    ships: Map<Ship>,
    order: List<u16>,
}

fn play(arena: &mut Arena, round: u32) {
    arena.tick = round;
    for (_, ship) in arena.ships.iter_mut() {
        ship.x += 1.0;
        ship.y -= 1.0;
    }
    let ship = &mut arena.ships["ship7"];
    ship.fuel = round as u16;
    ship.hits[0] = round as u8;
    "anna".clone_into(&mut ship.name);
    if round.is_multiple_of(2) {
        ship.name.make_ascii_uppercase();
    }
    arena.order[3] = round as u16;
}

#[test]
fn memory_is_bounded() {
    let mut arena = Arena { order: (0..10).collect(), ..Arena::default() };
    for ship in 0..100 {
        arena.ships.insert(format!("ship{ship}"), Ship { hits: vec![1].into(), ..Ship::default() });
    }
    let mut replica = Replica::new(arena);
    let view = replica.add_view();
    replica.get_mut().ships.show("ship7", view);
    for round in 0..10 {
        play(replica.get_mut(), round);
        replica.patch();
    }
    let mut section = Vec::with_capacity(64);
    let region = Region::new(ALLOCATOR);
    for round in 10..100 {
        play(replica.get_mut(), round);
        assert!(replica.patch());
        section.clear();
        replica.view_patch(view, &mut section);
        assert!(!section.is_empty());
    }
    let stats = region.change();
    assert_eq!(stats.allocations + stats.reallocations, 0, "{stats:?}");

    hostile_bytes_make_little_memory();
}

fn hostile_bytes_make_little_memory() {
    let handshake = Replica::<Arena>::handshake(Generation::Schema5);
    let mut hostile: Vec<Vec<u8>> = Vec::new();
    // Structures made one after the other, each with its last field set.
    let mut ships = vec![0x81, 1, 0xff, 1];
    for ship in 0..100u8 {
        ships.extend_from_slice(&[0x80, ship, 0xa1, ship, 0xcd, ship, 1]);
    }
    for ship in 0..100u8 {
        ships.extend_from_slice(&[0xff, 0xcd, ship, 1, 0x84, 1, 0]);
    }
    hostile.push(ships);
    // Lengths and positions beyond anything that follows.
    hostile.push(vec![0x82, 2, 0xff, 2, 0x80, 0xce, 0xff, 0xff, 0xff, 0x7f, 1, 0]);
    hostile.push([&[0x82, 2, 0xff, 2][..], &[0x80, 0xcd, 0xff, 0xff, 1, 0].repeat(200)].concat());
    hostile.push(vec![0x81, 1, 0xff, 1, 0x80, 0, 0xdb, 0xff, 0xff, 0xff, 0xff]);
    for bytes in hostile {
        let mut decoder = Decoder::from_handshake(&handshake).expect("our handshake");
        let region = Region::new(ALLOCATOR);
        let _ = decoder.apply(&bytes);
        let used = region.change().bytes_allocated;
        assert!(used <= MEMORY_PER_BYTE * bytes.len(), "{used} bytes for {}", bytes.len());
    }
}
