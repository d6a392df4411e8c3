//! What one link carries: messages and bytes in a second for sizes of message, and the time there and back of a small one.
//!
//! `cargo bench -p everplay-link --bench throughput`. Both ends run in this process, so they share its processors.

use bytes::Bytes;
use everplay_cluster::{LinkEvent, Links};
use everplay_link::{ClusterKey, LinkOptions, Security, TcpLinks};
use everplay_types::Incarnation;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedReceiver;

/// Time for one figure.
const TIME: Duration = Duration::from_secs(2);
/// Bytes the sender lets queue up.
const AHEAD: usize = 4 << 20;

struct Node {
    id: Incarnation,
    links: TcpLinks,
    events: UnboundedReceiver<LinkEvent>,
}

async fn node(number: u8, security: Security) -> Node {
    let id = Incarnation([number; 16]);
    let (links, events) =
        TcpLinks::bind(LinkOptions::new(id, security)).await.expect("a free port of loopback");
    Node { id, links, events }
}

async fn pair(security: Security) -> (Node, Node) {
    let mut one = node(1, security.clone()).await;
    let mut two = node(2, security).await;
    one.links.connect(two.id, two.links.advertised().to_owned());
    two.links.connect(one.id, one.links.advertised().to_owned());
    for node in [&mut one, &mut two] {
        assert!(matches!(node.events.recv().await, Some(LinkEvent::Up { .. })));
    }
    (one, two)
}

async fn flow(security: Security, length: usize) -> (f64, f64) {
    let (one, mut two) = pair(security).await;
    let message = Bytes::from(vec![7; length]);
    let (from, to) = (one.id, two.id);
    let begun = Instant::now();
    let sender = tokio::spawn(async move {
        let mut sent = 0_u64;
        while begun.elapsed() < TIME {
            // As a node does it: what a turn of rooms has for this peer, then the next turn.
            for _ in 0..(64 * 1024 / length).clamp(1, 256) {
                one.links.send(to, message.clone()).expect("a link that stands");
                sent += 1;
            }
            while one.links.queued(to) > AHEAD {
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
            tokio::task::yield_now().await;
        }
        (sent, one)
    });
    let mut got = 0_u64;
    // The sender's end is kept until everything was counted: dropping it breaks the link.
    let mut ended = None;
    tokio::pin!(sender);
    while ended.as_ref().is_none_or(|(sent, _)| *sent > got) {
        tokio::select! {
            biased;
            event = two.events.recv() => match event {
                Some(LinkEvent::Message { peer, .. }) if peer == from => got += 1,
                other => panic!("{other:?}"),
            },
            sent = &mut sender, if ended.is_none() => ended = Some(sent.expect("the sender does not panic")),
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    (got as f64 / seconds, got as f64 * length as f64 / seconds / 1e6)
}

async fn there_and_back(security: Security) -> (Duration, Duration) {
    let (mut one, mut two) = pair(security).await;
    let (from, to) = (one.id, two.id);
    let echo = tokio::spawn(async move {
        while let Some(LinkEvent::Message { bytes, .. }) = two.events.recv().await {
            two.links.send(from, bytes).expect("a link that stands");
        }
    });
    let message = Bytes::from_static(&[1; 100]);
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < TIME {
        let sent = Instant::now();
        one.links.send(to, message.clone()).expect("a link that stands");
        assert!(matches!(one.events.recv().await, Some(LinkEvent::Message { .. })));
        times.push(sent.elapsed());
    }
    echo.abort();
    times.sort();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

#[tokio::main]
async fn main() {
    // `cargo test` runs benchmarks too, to see that they build.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let key = ClusterKey::new("a key for the benchmark, long enough").expect("it is long enough");
    for (name, security) in [("clear text", Security::Plain), ("key", Security::Key(key))] {
        for length in [100, 1000, 10_000, 100_000, 1_000_000] {
            let (messages, megabytes) = flow(security.clone(), length).await;
            println!("{name:>10}  {length:>8} B  {messages:>10.0} messages/s  {megabytes:>7.1} MB/s");
        }
        let (half, most) = there_and_back(security).await;
        println!(
            "{name:>10}  there and back: median {} us, 99 of 100 within {} us",
            half.as_micros(),
            most.as_micros()
        );
    }
}
