//! Rooms hear how much of the service there is from the node that runs them, wherever they come from.

mod common;

use common::hub::Hub;
use common::*;
use everplay_live::Fault;
use everplay_node::Method;
use everplay_types::{Incarnation, ServiceLevel};
use serde_json::json;
use std::time::Duration;

/// Waits until the player's state says that the room was told exactly this.
async fn told(player: &Player, levels: &[ServiceLevel]) {
    let names: Vec<_> = levels.iter().map(|level| level.name()).collect();
    let wanted = json!(names);
    let what = format!("word of {wanted}");
    player.until(&what, |seen| (seen.decoder.as_ref()?.to_json()["levels"] == wanted).then_some(())).await;
}

#[tokio::test]
async fn rooms_that_run_and_rooms_that_start_are_told() {
    use ServiceLevel::{Full, Limited, Maintenance};
    let node = Stores::new().node().await;
    let mut players = Vec::new();
    for kind in ["counter", "bounded", "snapshot", "ephemeral"] {
        players.push(join_with(&node, Method::Create, kind, json!({})).await);
    }
    node.set_service(Limited);
    for player in &players {
        told(player, &[Limited]).await;
    }
    let late = join_with(&node, Method::Create, "counter", json!({})).await;
    told(&late, &[Limited]).await;
    // Said again, it is no news.
    node.set_service(Limited);
    node.set_service(Maintenance);
    node.set_service(Maintenance);
    told(&late, &[Limited, Maintenance]).await;
    node.set_service(Full);
    for player in &players {
        player.message("click", &1u32);
        player.clicks(1).await;
    }
    told(&late, &[Limited, Maintenance, Full]).await;
}

#[tokio::test]
async fn a_new_process_tells_only_what_is_news() {
    use ServiceLevel::{Emergency, Full};
    let stores = Stores::new();
    let node = stores.node().await;
    let mut ann = join(&node, "counter").await;
    node.set_service(Emergency);
    told(&ann, &[Emergency]).await;
    let node = stores.node().await;
    come_back(&node, &mut ann).await;
    told(&ann, &[Emergency, Full]).await;
    node.set_service(Emergency);
    told(&ann, &[Emergency, Full, Emergency]).await;
}

#[tokio::test]
async fn a_room_that_stands_still_hears_what_holds_when_it_goes_on() {
    use ServiceLevel::{Emergency, Full, Limited};
    let stores = Stores::new();
    let node = stores.node().await;
    let ann = join(&node, "counter").await;
    stores.live.set_fault(Fault::Full);
    ann.message("click", &1u32);
    let paused = |seen: &Seen| seen.messages.iter().any(|(kind, _)| kind == "__everplay").then_some(());
    ann.until("pause", paused).await;
    node.set_service(Emergency);
    node.set_service(Full);
    node.set_service(Limited);
    stores.live.set_fault(Fault::None);
    ann.clicks(1).await;
    told(&ann, &[Limited]).await;
}

#[tokio::test]
async fn a_room_that_fails_is_told_once_more_what_it_forgot() {
    use ServiceLevel::Limited;
    let node = Stores::new().node().await;
    // Falls back to its last image: one that knows its player, and may be from before the word.
    let ann = join(&node, "snapshot").await;
    for click in 1..=2 {
        // An image is taken every 50 ms, by a room that has something to do.
        tokio::time::sleep(Duration::from_millis(60)).await;
        ann.message("click", &1u32);
        ann.clicks(click).await;
    }
    node.set_service(Limited);
    told(&ann, &[Limited]).await;
    ann.message("panic once", &1u32);
    ann.clicks(100).await;
    told(&ann, &[Limited]).await;
}

#[tokio::test]
async fn a_room_that_changes_its_node_hears_what_holds_there() {
    use ServiceLevel::{Full, Limited, Maintenance};
    let (hub, stores) = (Hub::default(), Stores::new());
    let a = hub.node(&stores, 1, kinds()).await;
    let player = join_with(&a, Method::Create, "counter", json!({})).await;
    let b = hub.node(&stores, 2, kinds()).await;
    b.set_service(Limited);
    told(&player, &[]).await;
    let room = player.seat.room_id.clone();
    let moving = a.cluster().expect("in a cluster");
    let mut moved = moving.move_room(room.clone(), Incarnation([2; 16])).await;
    while moved.is_err() {
        // The nodes have just met.
        tokio::task::yield_now().await;
        moved = moving.move_room(room.clone(), Incarnation([2; 16])).await;
    }
    told(&player, &[Limited]).await;
    a.set_service(Maintenance);
    // Its owner dies, and the node that holds the socket takes it over.
    b.abandon();
    hub.kill(2);
    told(&player, &[Limited, Maintenance]).await;
    a.set_service(Full);
    told(&player, &[Limited, Maintenance, Full]).await;
}
