//! Drain, close, and the deadline.

use crate::world::*;
use everplay_types::CloseCode;
use std::time::{Duration, Instant};

#[tokio::test]
async fn draining_takes_no_new_players_and_keeps_the_others() {
    let world = World::new();
    let mut player = world.join("good").await;
    world.handle.drain();
    let answer = world.post("/matchmake/joinOrCreate/echo", "{}").await;
    assert_eq!((answer.status, answer.body.as_str()), (503, ""));
    assert!(answer.header("access-control-allow-origin").is_some());
    assert_eq!(world.get("/health/ready").await.status, 503);
    assert_eq!(world.get("/health/live").await.status, 200);
    let frame = data(&[1]);
    player.send(&frame).await;
    assert_eq!(player.binary().await, frame);
    // Who lost the connection may come back meanwhile.
    world.join("good2").await;
}

#[tokio::test]
async fn stopping_flushes_then_closes_with_a_code_that_brings_players_back() {
    let mut world = World::new();
    let mut player = world.join("good").await;
    world.outbox("good").deliver(message(bytes::Bytes::from_static(b"\x0dlast words")));
    world.handle.drain();
    let handle = world.handle.clone();
    let stopping = tokio::spawn(async move { handle.stop(CloseCode::MAY_TRY_RECONNECT, PATIENCE).await });
    assert_eq!(player.binary().await, &b"\x0dlast words"[..]);
    assert_eq!(player.close_code().await, 4010);
    drop(player);
    assert_eq!(stopping.await.unwrap(), 0);
    tokio::time::timeout(PATIENCE, &mut world.running).await.unwrap().unwrap();
    assert_eq!(world.events().last().unwrap(), "closed 4010");
    assert!(tokio::net::TcpStream::connect(world.address).await.is_err(), "nobody listens");
}

#[tokio::test]
async fn a_deadline_ends_what_does_not_end_by_itself() {
    let mut world = World::with(|options| {
        options.limits.close = Duration::from_secs(60);
        options.limits.outbox_drain = Duration::from_secs(60);
    });
    let _player = world.join("good").await;
    let _silent = world.tcp().await;
    let started = Instant::now();
    // The player does not answer the close.
    let left = world.handle.stop(CloseCode::MAY_TRY_RECONNECT, Duration::from_millis(200)).await;
    assert_eq!(left, 1, "the idle HTTP socket went at once");
    tokio::time::timeout(PATIENCE, &mut world.running).await.unwrap().unwrap();
    assert!(started.elapsed() < Duration::from_secs(10));
    world.until("no socket", |world| world.handle.sockets() == 0).await;
    assert_eq!(world.events().last().unwrap(), "closed 4010");
}

#[tokio::test]
async fn a_dropped_service_leaves_nothing_behind() {
    let world = World::new();
    let _player = world.join("good").await;
    world.running.abort();
    world.until("no socket", |world| world.handle.sockets() == 0).await;
    assert_eq!(world.events().last().unwrap(), "closed 1006");
}
