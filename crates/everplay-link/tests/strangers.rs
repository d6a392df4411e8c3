//! Whoever speaks to a node's address by hand: as a peer that breaks the rules, and as one that is no node at all.
//!
//! The bytes are written out here as the format says, so that a change of it shows.

mod support;

use everplay_cluster::{LinkEvent, Links, SendError};
use everplay_link::{LinkOptions, Security};
use everplay_types::Incarnation;
use std::time::Duration;
use support::{Node, PATIENCE, id, keyed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

const WELCOME: u8 = 0;
const NOT_ME: u8 = 1;
const STRANGER: u8 = 3;

fn call(caller: Incarnation, callee: Incarnation) -> Vec<u8> {
    [&b"EVLK\x01\0"[..], &caller.0, &callee.0, &[0; 32]].concat()
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&u32::try_from(payload.len()).unwrap().to_le_bytes()[..], &[kind], payload].concat()
}

/// A node in clear text that was asked to have a link with peer 1, and waits for its call.
async fn waiting() -> (Node, TcpListener) {
    let node = Node::start(2, Security::Plain).await;
    // Where peer 1 would be called: it takes connections and says nothing.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    node.links.connect(id(1), mute.local_addr().unwrap().to_string());
    (node, mute)
}

async fn greet(node: &Node, caller: Incarnation, callee: Incarnation) -> (TcpStream, u8) {
    let mut socket = TcpStream::connect(node.links.address()).await.unwrap();
    socket.write_all(&call(caller, callee)).await.unwrap();
    let mut answer = [0; 55];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer[..6], b"EVLK\x01\0");
    assert_eq!(answer[7..23], node.id.0);
    (socket, answer[6])
}

/// Peer 1, on a link that stands.
async fn linked(node: &mut Node) -> TcpStream {
    let (mut socket, verdict) = greet(node, id(1), id(2)).await;
    assert_eq!(verdict, WELCOME);
    socket.write_all(&[1]).await.unwrap();
    node.expect(LinkEvent::Up { peer: id(1) }).await;
    socket
}

/// Everything until the end of the connection.
async fn drain(socket: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset is an end as well.
    let _ = timeout(PATIENCE, socket.read_to_end(&mut rest)).await.expect("the connection ends");
}

#[tokio::test]
async fn the_answer_says_who_is_here_and_whom_it_waits_for() {
    let (mut node, _mute) = waiting().await;
    assert_eq!(greet(&node, id(1), id(9)).await.1, NOT_ME);
    assert_eq!(greet(&node, id(8), id(2)).await.1, STRANGER);
    // Its own incarnation is nobody else's.
    assert_eq!(greet(&node, id(2), id(2)).await.1, NOT_ME);
    // Welcome, but it never says go: nothing begins.
    let (socket, verdict) = greet(&node, id(1), id(2)).await;
    assert_eq!(verdict, WELCOME);
    drop(socket);
    node.quiet(Duration::from_millis(200)).await;
}

#[tokio::test]
async fn what_is_not_a_greeting_ends_the_connection() {
    for security in [Security::Plain, keyed()] {
        let mut node = Node::start(2, security).await;
        let mut noise = call(id(1), id(2));
        noise[0] ^= 1;
        let mut version = call(id(1), id(2));
        version[4] = 2;
        for bytes in [&b"GET / HTTP/1.1\r\nHost: node\r\n\r\n"[..], &[0; 200], &[255; 70], &noise, &version] {
            let mut socket = TcpStream::connect(node.links.address()).await.unwrap();
            socket.write_all(bytes).await.unwrap();
            drain(&mut socket).await;
        }
        node.quiet(Duration::ZERO).await;
    }
}

#[tokio::test]
async fn who_says_nothing_is_sent_away_and_few_of_them_fit() {
    let mut options = LinkOptions::new(id(2), Security::Plain);
    options.strangers = 3;
    options.hello_timeout = Duration::from_millis(300);
    let node = Node::with(options).await;
    let mut mute = Vec::new();
    for _ in 0..3 {
        mute.push(TcpStream::connect(node.links.address()).await.unwrap());
    }
    // They are in; the next ones are closed at once.
    loop {
        let mut one_more = TcpStream::connect(node.links.address()).await.unwrap();
        if matches!(timeout(Duration::from_millis(50), one_more.read_u8()).await, Ok(Err(_))) {
            break;
        }
        mute.push(one_more);
    }
    for socket in &mut mute {
        drain(socket).await;
    }
    assert_eq!(greet(&node, id(8), id(2)).await.1, STRANGER);
}

#[tokio::test]
async fn what_is_not_a_frame_breaks_the_link() {
    let (mut node, _mute) = waiting().await;
    let bad: [&[u8]; 5] = [
        &frame(0, b"a sign of life says nothing"),
        &frame(2, b"no such kind"),
        &[255; 64],
        // 32 MiB and one byte, of which nothing need come.
        &[&(32_u32 * 1024 * 1024 + 1).to_le_bytes()[..], &[1]].concat(),
        b"GET / HTTP/1.1\r\n\r\n",
    ];
    for bytes in bad {
        let mut socket = linked(&mut node).await;
        // What came whole before it counts.
        socket.write_all(&[frame(0, b""), frame(1, b"good"), bytes.to_vec()].concat()).await.unwrap();
        assert_eq!(node.message().await, &b"good"[..]);
        node.expect(LinkEvent::Down { peer: id(1) }).await;
        drain(&mut socket).await;
    }
}

#[tokio::test]
async fn half_a_message_is_none() {
    let (mut node, _mute) = waiting().await;
    let mut socket = linked(&mut node).await;
    let whole = frame(1, &[7; 1000]);
    socket.write_all(&[&whole[..], &whole[..999]].concat()).await.unwrap();
    drop(socket);
    assert_eq!(node.message().await, vec![7; 1000]);
    node.expect(LinkEvent::Down { peer: id(1) }).await;
}

#[tokio::test]
async fn a_frame_may_come_byte_by_byte() {
    let (mut node, _mute) = waiting().await;
    let mut socket = linked(&mut node).await;
    socket.set_nodelay(true).unwrap();
    for byte in [frame(1, b"slow"), frame(0, b""), frame(1, b""), frame(1, b"ly")].concat() {
        socket.write_all(&[byte]).await.unwrap();
        sleep(Duration::from_millis(1)).await;
    }
    for message in ["slow", "", "ly"] {
        assert_eq!(node.message().await, message.as_bytes());
    }
}

#[tokio::test]
async fn any_byte_is_a_sign_of_life() {
    let (mut node, _mute) = waiting().await;
    let mut socket = linked(&mut node).await;
    node.expect(LinkEvent::Silent { peer: id(1) }).await;
    // The first byte of a message whose rest takes its time.
    let message = frame(1, b"here I am");
    socket.write_all(&message[..1]).await.unwrap();
    node.expect(LinkEvent::Heard { peer: id(1) }).await;
    for byte in &message[1..] {
        sleep(Duration::from_millis(60)).await;
        socket.write_all(&[*byte]).await.unwrap();
    }
    assert_eq!(node.message().await, &b"here I am"[..]);
    node.expect(LinkEvent::Silent { peer: id(1) }).await;
    drop(socket);
    node.expect(LinkEvent::Down { peer: id(1) }).await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_cut_off_whole() {
    let (mut node, _mute) = waiting().await;
    let mut socket = linked(&mut node).await;
    let mut sent = 0_u32;
    let error = loop {
        // Each says how many went before.
        let message = [&sent.to_le_bytes()[..], &[0; 60_000]].concat();
        match node.links.send(id(1), message.into()) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(error, SendError::Full);
    node.until(LinkEvent::Down { peer: id(1) }).await;
    assert_eq!(node.links.send(id(1), vec![1].into()), Err(SendError::NotConnected));
    // What did arrive is a beginning without a gap.
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, socket.read_to_end(&mut bytes)).await.expect("the connection ends");
    let mut rest = &bytes[..];
    let mut next = 0_u32;
    while let Some((header, after)) = rest.split_first_chunk::<5>() {
        let length = u32::from_le_bytes(header[..4].try_into().unwrap()) as usize;
        if header[4] == 1 && after.len() >= length {
            assert_eq!(after[..4], next.to_le_bytes());
            next += 1;
        }
        rest = after.get(length..).unwrap_or_default();
    }
    assert!(next < sent, "{next} of {sent} arrived at a peer that was cut off");
}

#[tokio::test]
async fn the_one_whose_place_it_is_to_call_may_call_again() {
    let (mut node, _mute) = waiting().await;
    let mut old = linked(&mut node).await;
    // It lost the connection without this node's knowledge, and calls anew.
    let (mut new, verdict) = greet(&node, id(1), id(2)).await;
    assert_eq!(verdict, WELCOME);
    old.write_all(&frame(1, b"the last of the old")).await.unwrap();
    assert_eq!(node.message().await, &b"the last of the old"[..]);
    new.write_all(&[1]).await.unwrap();
    node.expect(LinkEvent::Down { peer: id(1) }).await;
    node.expect(LinkEvent::Up { peer: id(1) }).await;
    // Of the old one nothing more is told.
    let _ = old.write_all(&frame(1, b"too late")).await;
    new.write_all(&frame(1, b"the first of the new")).await.unwrap();
    assert_eq!(node.message().await, &b"the first of the new"[..]);
    drain(&mut old).await;
}
