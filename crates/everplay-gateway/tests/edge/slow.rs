//! Players who do not read: patches give way to one full state, then the connection ends; memory stays flat.

use crate::world::*;
use std::time::Duration;

#[tokio::test]
async fn a_player_who_falls_behind_gets_one_full_state() {
    let world = World::new();
    let mut player = world.join("good").await;
    let outbox = world.outbox("good");
    // More than the kernel and the budget hold together, in no time.
    for _ in 0..4000 {
        outbox.deliver(patch(4096));
    }
    outbox.deliver(message(bytes::Bytes::from_static(b"\x0dnever lost")));
    let (mut patches, mut messages) = (0, 0);
    loop {
        let frame = player.binary().await;
        match frame[0] {
            15 => patches += 1,
            13 => messages += 1,
            14 => break,
            other => panic!("{other}"),
        }
    }
    assert!(patches < 4000, "{patches} of 4000 patches were sent");
    assert_eq!(messages, 1);
    assert_eq!(world.events(), ["ack", "resync"]);
    // From here on patches flow again.
    outbox.deliver(patch(10));
    assert_eq!(player.binary().await.len(), 10);
}

#[tokio::test]
async fn a_player_who_does_not_catch_up_is_closed() {
    let world = World::with(|options| options.limits.outbox_drain = Duration::from_millis(300));
    let _player = world.join("good").await;
    let outbox = world.outbox("good");
    // Keep talking as a room does: it must not notice.
    let talking = tokio::spawn({
        let outbox = outbox.clone();
        async move {
            while !outbox.is_closed() {
                outbox.deliver(patch(64 * 1024));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    world.until("the close", |world| world.events().contains(&"closed 4100".to_owned())).await;
    talking.await.unwrap();
    world.until("no socket", |world| world.handle.sockets() == 0).await;
}

#[tokio::test]
async fn messages_that_are_not_read_end_the_connection_with_a_code() {
    let world = World::new();
    let mut player = world.join("good").await;
    let outbox = world.outbox("good");
    let mut sent = 0;
    while !outbox.is_closed() {
        outbox.deliver(message(bytes::Bytes::from(vec![13; 8192])));
        sent += 1;
        assert!(sent < 100_000);
    }
    // What had left already is read in full, then the code.
    assert_eq!(player.close_code().await, 4100);
}

/// Resident kilobytes of this process.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_slow_readers_keep_memory_flat() {
    const READERS: usize = 200;
    let world = World::with(|options| {
        options.limits.outbox_bytes = 64 * 1024;
        options.limits.outbox_drain = Duration::from_secs(60);
    });
    let mut players = Vec::new();
    for index in 0..READERS {
        players.push(world.join(&format!("good{index}")).await);
    }
    let outboxes: Vec<_> = (0..READERS).map(|index| world.outbox(&format!("good{index}"))).collect();
    let talk = |bytes: usize| {
        let outboxes = &outboxes;
        async move {
            for _ in 0..bytes / 4096 {
                let frame = patch(4096);
                outboxes.iter().for_each(|outbox| outbox.deliver(frame.clone()));
                tokio::task::yield_now().await;
            }
        }
    };
    // Fill every queue there is, then say forty times as much.
    talk(1024 * 1024).await;
    let full = resident_kib();
    talk(40 * 1024 * 1024).await;
    let after = resident_kib();
    println!("{READERS} slow readers: {full} KiB with full queues, {after} KiB after 40 MiB more for each");
    assert!(after < full + 8 * 1024, "{full} KiB grew to {after} KiB");
    assert_eq!(world.handle.connections(), READERS, "nobody had to go within the time to drain");
}
