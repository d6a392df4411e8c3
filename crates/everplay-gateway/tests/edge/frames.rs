//! What a player may send, and how everything else is answered.

use crate::world::*;
use everplay_types::CloseCode;
use futures_util::SinkExt;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::{Bytes, Message};

#[tokio::test]
async fn messages_come_and_go() {
    let world = World::new();
    let mut player = world.join("good").await;
    for len in [0, 1, 125, 126, 5000, 60_000] {
        let frame = data(&vec![7; len]);
        player.send(&frame).await;
        assert_eq!(player.binary().await, frame);
    }
    // Many at once come back in order.
    for index in 0..200u8 {
        player.socket.feed(Message::Binary(data(&[index]).into())).await.unwrap();
    }
    player.socket.flush().await.unwrap();
    for index in 0..200u8 {
        assert_eq!(player.binary().await, data(&[index]));
    }
    player.send(&[12]).await;
    assert_eq!(player.close_frame().await, (4000, "left".to_owned()));
    world.until("the end", |world| world.events() == ["ack", "leave", "closed 4000"]).await;
    world.until("no socket", |world| world.handle.sockets() == 0).await;
}

#[tokio::test]
async fn the_room_learns_how_a_player_went() {
    let world = World::new();
    let mut player = world.join("good").await;
    let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame { code: 4321.into(), reason: "".into() };
    player.socket.close(Some(frame)).await.unwrap();
    world.until("a close", |world| world.events().contains(&"closed 4321".to_owned())).await;
    drop(world.join("good2").await);
    world.until("a loss", |world| world.events().contains(&"closed 1006".to_owned())).await;
}

/// Sends raw bytes after joining (or before, without `ack`); the close code and reason.
async fn answer_to(world: &World, ack: bool, message: Message) -> (u16, String) {
    let mut player = if ack { world.join("good").await } else { world.open("/p1/r1?sessionId=good").await };
    player.socket.send(message).await.unwrap();
    player.close_frame().await
}

#[tokio::test]
async fn broken_frames_are_answered_with_their_fault() {
    let world = World::new();
    let binary = |bytes: &'static [u8]| Message::Binary(Bytes::from_static(bytes));
    for (ack, message, code, reason) in [
        (false, binary(&[99]), 4102, "unknown frame code 3"),
        (true, binary(&[99]), 4102, "unknown frame code 3"),
        (true, binary(&[14]), 4102, "unknown frame code 14"),
        (true, binary(&[]), 4102, "the frame is empty"),
        (true, binary(&[13, 0xa5, b't']), 4102, "the frame ends inside its message type"),
        (true, Message::text("hello"), 4102, "text frames are not understood here"),
        (true, Message::Binary(vec![13; 65_537].into()), 1009, "a message is larger than allowed"),
    ] {
        let (got, why) = answer_to(&world, ack, message).await;
        assert_eq!((got, why.contains(reason)), (code, true), "{why} instead of {reason}");
    }
    let sockets = |world: &World| world.handle.sockets() == 0;
    world.until("no socket", sockets).await;
}

#[tokio::test]
async fn what_comes_before_the_acknowledgement_is_kept_until_it_comes() {
    let world = World::new();
    // An SDK that comes back sends as soon as its socket is open, before it has read JOIN_ROOM.
    let mut player = world.open("/p1/r1?sessionId=good").await;
    for _ in 0..16 {
        player.socket.send(Message::Binary(Bytes::from_static(&[17, 0xa1, b't', 1]))).await.unwrap();
    }
    let told = |world: &World| world.events().iter().filter(|event| event.starts_with("Bytes")).count();
    assert_eq!(told(&world), 0);
    player.socket.send(Message::Binary(Bytes::from_static(&[10]))).await.unwrap();
    world.until("all of them", |world| told(world) == 16).await;
    assert_eq!(world.events()[0], "ack");
    let mut player = world.open("/p1/r1?sessionId=good2").await;
    for _ in 0..17 {
        player.socket.send(Message::Binary(Bytes::from_static(&[17, 0xa1, b't', 1]))).await.unwrap();
    }
    let (code, reason) = player.close_frame().await;
    assert_eq!((code, reason.as_str()), (4102, "too many frames before the join was acknowledged"));
}

/// Bytes that no client library sends: the close code of the answer.
async fn answer_to_raw(world: &World, bytes: &[u8]) -> u16 {
    let player = world.join("good").await;
    let mut tcp = player.socket.into_inner();
    tcp.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, tcp.read_to_end(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer[0], 0x88, "a close frame in {answer:?}");
    u16::from_be_bytes([answer[2], answer[3]])
}

#[tokio::test]
async fn broken_websockets_are_answered_with_their_fault() {
    let world = World::new();
    for (bytes, code) in [
        // Text that is not UTF-8.
        (&[0x81, 0x81, 0, 0, 0, 0, 0xff][..], 1007),
        // Not masked.
        (&[0x82, 1, 0], 1002),
        // A reserved bit; a reserved opcode.
        (&[0xc2, 0x81, 0, 0, 0, 0, 10], 1002),
        (&[0x83, 0x81, 0, 0, 0, 0, 10], 1002),
        // A continuation of nothing; a fragmented ping.
        (&[0x80, 0x81, 0, 0, 0, 0, 10], 1002),
        (&[0x09, 0x80, 0, 0, 0, 0], 1002),
        // Announces 4 GiB: refused before anything is allocated, or arrives.
        (&[0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], 1009),
    ] {
        assert_eq!(answer_to_raw(&world, bytes).await, code, "{bytes:?}");
    }
    // Two fragments that are too large together.
    let mut fragments = Vec::new();
    for first in [0x02, 0x00] {
        fragments.extend_from_slice(&[first, 0xfe, 0x9c, 0x40, 0, 0, 0, 0]);
        fragments.extend(std::iter::repeat_n(13, 40_000));
    }
    assert_eq!(answer_to_raw(&world, &fragments).await, 1009);
}

#[tokio::test]
async fn a_player_who_says_too_much_is_told_so() {
    let rooms = EchoRooms { messages_per_second: Some(20), ..EchoRooms::default() };
    let world = World::build(rooms, |_| {}, |_| {});
    let mut player = world.join("good").await;
    for _ in 0..25 {
        player.socket.feed(Message::Binary(data(&[]).into())).await.unwrap();
    }
    player.socket.flush().await.unwrap();
    assert_eq!(player.close_frame().await, (4101, "too many messages per second".to_owned()));
    world.until("the end", |world| world.events().contains(&"closed 4101".to_owned())).await;
}

#[tokio::test]
async fn a_flood_of_pings_is_answered_with_a_close() {
    let world = World::new();
    let mut player = world.join("good").await;
    for _ in 0..30 {
        player.socket.feed(Message::Ping(Bytes::new())).await.unwrap();
    }
    player.socket.flush().await.unwrap();
    assert_eq!(player.close_frame().await, (4101, "too many pings per second".to_owned()));
}

#[tokio::test]
async fn a_join_that_is_never_acknowledged_ends() {
    let world = World::with(|options| options.limits.ack = Duration::from_millis(100));
    let mut player = world.open("/p1/r1?sessionId=good").await;
    assert_eq!(player.close_frame().await, (4102, "the join was not acknowledged".to_owned()));
    // One that is acknowledged goes on.
    let mut player = world.join("good").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    player.send(&[18]).await;
    assert_eq!(&player.binary().await[..], [18]);
}

#[tokio::test]
async fn a_silent_socket_is_dropped_after_two_pings() {
    let world = World::with(|options| options.limits.ping_every = Duration::from_millis(100));
    let mut lively = world.join("good").await;
    let _silent = world.join("good2").await;
    // Reading answers the pings of the first; nobody reads for the second.
    let reading = tokio::spawn(async move { lively.binary().await });
    world.until("a loss", |world| world.events().contains(&"closed 1006".to_owned())).await;
    world.outbox("good").deliver(control(bytes::Bytes::from_static(&[18])));
    assert_eq!(&reading.await.unwrap()[..], [18]);
    assert!(!world.outbox("good").is_closed() || world.handle.connections() == 0);
}

#[tokio::test]
async fn a_full_mailbox_holds_the_sender_back() {
    let world = World::with(|options| options.limits.inbox_wait = PATIENCE);
    let mut player = world.join("good").await;
    *world.rooms.full.lock().unwrap() = true;
    player.send(&data(&[1])).await;
    player.send(&data(&[2])).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    *world.rooms.full.lock().unwrap() = false;
    assert_eq!(player.binary().await, data(&[1]));
    assert_eq!(player.binary().await, data(&[2]));
}

#[tokio::test]
async fn a_mailbox_that_stays_full_ends_the_connection() {
    let world = World::with(|options| options.limits.inbox_wait = Duration::from_millis(100));
    let mut player = world.join("good").await;
    *world.rooms.full.lock().unwrap() = true;
    player.send(&data(&[3])).await;
    assert_eq!(player.close_code().await, CloseCode::MAY_TRY_RECONNECT.0);
}

#[tokio::test]
async fn the_rooms_close_comes_after_its_last_words() {
    let world = World::new();
    let mut player = world.join("good").await;
    let outbox = world.outbox("good");
    outbox.deliver(message(bytes::Bytes::from_static(b"\x0dlast words")));
    outbox.close(CloseCode::REPLACED, "elsewhere");
    assert_eq!(player.binary().await, &b"\x0dlast words"[..]);
    assert_eq!(player.close_frame().await, (4103, "elsewhere".to_owned()));

    // A code that cannot be sent becomes one with which SDKs stay away.
    let mut player = world.join("good2").await;
    world.outbox("good2").close(CloseCode(1006), "");
    assert_eq!(player.close_code().await, 4002);
}
