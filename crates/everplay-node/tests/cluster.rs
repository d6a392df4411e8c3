//! Several nodes on shared stores: sockets on one, rooms on another, and the other one dying.

mod common;

use common::hub::Hub;
use common::{Player, Stores, join_with, kinds_of_version};
use everplay_node::{Handle, Method, MoveError};
use everplay_types::Incarnation;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

/// Nodes that know each other.
struct Region {
    hub: Hub,
    stores: Stores,
}

impl Region {
    fn new() -> Region {
        Region { hub: Hub::default(), stores: Stores::new() }
    }

    async fn node(&self, number: u8) -> Handle {
        self.node_of_version(number, 1).await
    }

    async fn node_of_version(&self, number: u8, version: u32) -> Handle {
        self.hub.node(&self.stores, number, kinds_of_version(version)).await
    }

    /// As SIGKILL: its tasks stop, its links break.
    async fn kill(&self, number: u8, node: Handle) {
        node.abandon();
        self.hub.kill(number);
    }
}

fn owners(node: &Handle) -> BTreeSet<String> {
    node.cluster().expect("in a cluster").rooms().into_iter().map(|room| room.owner).collect()
}

async fn until(what: &str, check: impl Fn() -> bool) {
    let wait = async {
        while !check() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap_or_else(|_| panic!("no {what} in 10 s"));
}

/// A client of `gateway` in a room that another node runs.
async fn join_far(gateway: &Handle, owner: &Handle, kind: &str) -> Player {
    let first = join_with(owner, Method::Create, kind, json!({})).await;
    let room = first.seat.room_id.to_string();
    if !owner.rooms().iter().any(|info| info.id.as_str() == room) {
        let to = owner.cluster().expect("in a cluster").me();
        let at = gateway.cluster().expect("in a cluster");
        until("word of the room", || at.rooms().iter().any(|known| known.id.as_str() == room)).await;
        at.move_room(first.seat.room_id.clone(), to).await.expect("it moves");
        until("the room", || owner.rooms().iter().any(|info| info.id.as_str() == room)).await;
    }
    until("word of the room", || {
        let rooms = gateway.cluster().expect("in a cluster").rooms();
        rooms.iter().any(|known| known.id.as_str() == room)
    })
    .await;
    let player = join_with(gateway, Method::JoinById, &room, json!({})).await;
    drop(first);
    player
}

#[tokio::test]
async fn a_client_of_any_node_plays_in_a_room_of_any_other() {
    let region = Region::new();
    let (a, b) = (region.node(1).await, region.node(2).await);
    let player = join_far(&b, &a, "counter").await;
    assert_eq!(b.rooms().len(), 0);
    player.message("click", &3);
    assert_eq!(player.clicks(3).await, 3);
    player.message("echo", &"hello");
    player.until("echo", |seen| seen.messages.iter().find(|(kind, _)| kind == "echo").cloned()).await;
}

#[tokio::test]
async fn the_socket_outlives_the_room_s_owner() {
    let region = Region::new();
    let (a, b) = (region.node(1).await, region.node(2).await);
    let player = join_far(&b, &a, "counter").await;
    player.message("click", &3);
    player.clicks(3).await;
    region.kill(1, a).await;
    // Sent while nobody owns the room: kept, and played by the next owner.
    player.message("click", &4);
    assert_eq!(player.clicks(7).await, 7);
    let seen = player.socket.seen.lock();
    assert_eq!(seen.closed, None);
    assert_eq!(seen.states, 1, "no full state was needed");
    drop(seen);
    assert_eq!(b.rooms().len(), 1);
}

#[tokio::test]
async fn rooms_of_a_dead_node_are_spread_over_the_others() {
    let region = Region::new();
    let (a, b, c) = (region.node(1).await, region.node(2).await, region.node(3).await);
    let mut players = Vec::new();
    for _ in 0..12 {
        players.push(join_far(&b, &a, "counter").await);
    }
    region.kill(1, a).await;
    for player in &players {
        player.message("click", &1);
        player.clicks(1).await;
    }
    until("both to have some", || !b.rooms().is_empty() && !c.rooms().is_empty()).await;
    assert_eq!(b.rooms().len() + c.rooms().len(), 12);
    let dead = Incarnation([1; 16]).to_string();
    until("the ghosts to vanish", || !owners(&b).contains(&dead) && !owners(&c).contains(&dead)).await;
}

#[tokio::test]
async fn a_room_moves_while_it_is_played_and_nobody_notices() {
    let region = Region::new();
    let (a, b) = (region.node(1).await, region.node(2).await);
    // One socket on each node.
    let far = join_far(&b, &a, "counter").await;
    let near = join_with(&a, Method::JoinById, far.seat.room_id.as_str(), json!({})).await;
    let mut total = 0;
    for to in [2, 1, 2, 1] {
        let from = if to == 2 { &a } else { &b };
        let moving = from.cluster().expect("in a cluster");
        let room = far.seat.room_id.clone();
        let moving = tokio::spawn(async move { moving.move_room(room, Incarnation([to; 16])).await });
        for _ in 0..20 {
            far.message("click", &1);
            near.message("click", &1);
            total += 2;
            tokio::task::yield_now().await;
        }
        moving.await.expect("runs").expect("moves");
        assert_eq!(far.clicks(total).await, total);
        assert_eq!(near.clicks(total).await, total);
    }
    for player in [&far, &near] {
        let seen = player.socket.seen.lock();
        assert_eq!((seen.closed, seen.states), (None, 1));
    }
}

#[tokio::test]
async fn a_drain_hands_every_room_over() {
    let region = Region::new();
    let (a, b) = (region.node(1).await, region.node(2).await);
    let mut players = Vec::new();
    for _ in 0..8 {
        players.push(join_far(&b, &a, "counter").await);
    }
    let drained = a.drain(Duration::from_secs(10)).await;
    assert_eq!((drained.moved, drained.unsettled), (8, 0));
    for player in &players {
        player.message("click", &1);
        player.clicks(1).await;
        let seen = player.socket.seen.lock();
        assert_eq!((seen.closed, seen.states), (None, 1));
    }
    assert_eq!(b.rooms().len(), 8);
}

#[tokio::test]
async fn callers_on_all_nodes_share_a_room() {
    let region = Region::new();
    let nodes = [region.node(1).await, region.node(2).await, region.node(3).await];
    let joins: Vec<_> = (0..18)
        .map(|at| {
            let node = nodes[at % 3].clone();
            let map = json!({ "map": at % 2 });
            tokio::spawn(async move { join_with(&node, Method::JoinOrCreate, "mapped", map).await })
        })
        .collect();
    let mut rooms = BTreeSet::new();
    let mut players = Vec::new();
    for join in joins {
        let player = join.await.expect("joined");
        rooms.insert(player.seat.room_id.clone());
        players.push(player);
    }
    assert_eq!(rooms.len(), 2, "one for each map");
}

#[tokio::test]
async fn a_broken_link_is_not_a_death() {
    let region = Region::new();
    let (a, b, c) = (region.node(1).await, region.node(2).await, region.node(3).await);
    let player = join_far(&b, &a, "counter").await;
    player.message("click", &1);
    player.clicks(1).await;
    region.hub.cut(1, 2);
    player.message("click", &1);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(a.rooms().len(), 1, "node 3 still hears it");
    region.hub.mend(1, 2);
    assert_eq!(player.clicks(2).await, 2);
    assert_eq!((a.rooms().len(), b.rooms().len(), c.rooms().len()), (1, 0, 0));
    assert_eq!(player.socket.seen.lock().closed, None);
}

#[tokio::test]
async fn a_region_that_stopped_as_a_whole_starts_again() {
    let region = Region::new();
    let a = region.node(1).await;
    let mut player = join_with(&a, Method::Create, "counter", json!({})).await;
    player.message("click", &5);
    player.clicks(5).await;
    region.kill(1, a).await;
    let b = region.node(2).await;
    until("the room", || b.rooms().len() == 1).await;
    common::come_back(&b, &mut player).await;
    player.message("click", &1);
    assert_eq!(player.clicks(6).await, 6);
}

#[tokio::test]
async fn an_older_release_leaves_newer_rooms_to_newer_nodes() {
    let region = Region::new();
    let (old, new) = (region.node_of_version(1, 1).await, region.node_of_version(2, 2).await);
    // A room of the old release moves to the new one, and cannot go back.
    let player = join_far(&new, &old, "counter").await;
    let room = player.seat.room_id.clone();
    let (at_old, at_new) = (old.cluster().expect("in a cluster"), new.cluster().expect("in a cluster"));
    at_old.move_room(room.clone(), at_new.me()).await.expect("it moves");
    until("the room", || new.rooms().len() == 1).await;
    let back = at_new.move_room(room.clone(), at_old.me()).await;
    assert!(matches!(&back, Err(MoveError::Refused(reason)) if reason.contains("version 2")), "{back:?}");
    player.message("click", &1);
    player.clicks(1).await;
    // Nor does the old node take it over; the next new one does.
    region.kill(2, new).await;
    drop(player);
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    assert_eq!(old.rooms().len(), 0);
    let newer = region.node_of_version(3, 2).await;
    until("the room", || newer.rooms().iter().any(|info| info.id == room)).await;
    assert_eq!(old.rooms().len(), 0);
}
