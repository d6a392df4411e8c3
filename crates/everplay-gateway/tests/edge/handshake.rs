//! From the WebSocket handshake to a seat.

use crate::world::*;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const KEY: &str = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";

#[tokio::test]
async fn handshakes_that_are_none_are_refused() {
    let world = World::new();
    let upgrade = "upgrade: websocket\nconnection: keep-alive, Upgrade";
    for (request, status) in [
        (
            format!("GET /p/r?sessionId=good HTTP/1.1\nhost: h\n{upgrade}\nsec-websocket-version: 13\n{KEY}"),
            101,
        ),
        (
            format!("GET /p/r?sessionId=good HTTP/1.1\nhost: h\n{upgrade}\nsec-websocket-version: 8\n{KEY}"),
            426,
        ),
        (format!("GET /p/r?sessionId=good HTTP/1.1\nhost: h\n{upgrade}\nsec-websocket-version: 13"), 400),
        (
            format!(
                "GET /p/r HTTP/1.1\nhost: h\n{upgrade}\nsec-websocket-version: 13\nsec-websocket-key: short"
            ),
            400,
        ),
        (
            format!(
                "POST /p/r HTTP/1.1\nhost: h\ncontent-length: 0\n{upgrade}\nsec-websocket-version: 13\n{KEY}"
            ),
            405,
        ),
        (format!("GET /p/r HTTP/1.1\nhost: h\nupgrade: websocket\nsec-websocket-version: 13\n{KEY}"), 400),
        (
            format!(
                "GET /p/r.x?sessionId=good HTTP/1.1\nhost: h\n{upgrade}\nsec-websocket-version: 13\n{KEY}"
            ),
            400,
        ),
        (
            format!("GET /r?sessionId=good HTTP/1.1\nhost: h\n{upgrade}\nsec-websocket-version: 13\n{KEY}"),
            400,
        ),
    ] {
        let answer = world.http(&format!("{request}\n\n")).await;
        assert_eq!(answer.status, status, "{request}");
        if status == 101 {
            assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        } else {
            assert_eq!(answer.envelope_code(), "BAD_UPGRADE");
        }
    }
}

#[tokio::test]
async fn the_rooms_learn_what_the_url_says() {
    let world = World::new();
    let path = "/v16/x/p1/r1?sessionId=good&reconnectionToken=abc&_authToken=jwt&skipHandshake=1";
    let mut player = world.open(path).await;
    assert_eq!(player.binary().await[0], 10);
    let attaches = world.rooms.attaches.lock().unwrap();
    let seen = &attaches[0];
    assert_eq!((seen.process.as_str(), seen.room.as_str(), seen.session.as_str()), ("p1", "r1", "good"));
    assert_eq!(
        (seen.reconnection_token.as_deref(), seen.client.token.as_deref()),
        (Some("abc"), Some("jwt"))
    );
    assert_eq!((seen.skip_handshake, seen.dialect), (true, Some(everplay_wire::Dialect::V16)));
}

/// The ERROR frame's code and message, and the close code.
async fn refused(world: &World, path: &str) -> (i32, String, u16) {
    use everplay_wire::{Dialect, ServerFrame};
    let mut player = world.open(path).await;
    let frame = player.binary().await;
    let (code, message) = match ServerFrame::decode(&frame, Dialect::V18).unwrap() {
        ServerFrame::Error { code, message } => (code, message.to_owned()),
        other => panic!("{other:?}"),
    };
    (code, message, player.close_code().await)
}

#[tokio::test]
async fn a_missing_seat_is_told_as_the_official_server_does() {
    let world = World::with(|options| options.limits.attach = Duration::from_millis(100));
    let expired = "seat reservation expired.".to_owned();
    assert_eq!(refused(&world, "/p1/r1?sessionId=nobody").await, (524, expired.clone(), 4002));
    assert_eq!(refused(&world, "/p1/r1?sessionId=nobody&reconnectionToken=t").await, (524, expired, 4003));
    let (code, _, close) = refused(&world, "/p1/r1?sessionId=restoring&reconnectionToken=t").await;
    assert_eq!((code, close), (524, 4010));
    assert_eq!(refused(&world, "/p1/r1?sessionId=banned").await, (401, "banned".to_owned(), 4002));
    let (code, _, close) = refused(&world, "/p1/r1?sessionId=never").await;
    assert_eq!((code, close), (524, 4010), "a room that does not answer");
    world.until("no connection is left", |world| world.handle.connections() == 0).await;
}

#[tokio::test]
async fn a_latency_probe_is_answered_for_a_while() {
    let world = World::with(|options| options.limits.probe = Duration::from_millis(300));
    for path in ["/", "/v17"] {
        let mut probe = world.open(path).await;
        for message in [&[18][..], b"anything"] {
            probe.send(message).await;
            assert_eq!(&probe.binary().await[..], [18]);
        }
        assert_eq!(probe.close_code().await, 1000);
    }
}

#[tokio::test]
async fn frames_sent_along_with_the_handshake_are_not_lost() {
    let world = World::new();
    let mut tcp = world.tcp().await;
    let request = format!(
        "GET /p1/r1?sessionId=good HTTP/1.1\nhost: h\nupgrade: websocket\nconnection: upgrade\n\
         sec-websocket-version: 13\n{KEY}\n\n"
    );
    let mut bytes = request.replace('\n', "\r\n").into_bytes();
    // A masked binary frame of one byte, mask zero: the ack.
    bytes.extend_from_slice(&[0x82, 0x81, 0, 0, 0, 0, 10]);
    tcp.write_all(&bytes).await.unwrap();
    world.until("the ack", |world| world.events() == ["ack"]).await;
}
