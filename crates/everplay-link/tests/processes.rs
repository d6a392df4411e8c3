//! Two processes: what a node hears when the other one is frozen, wakes up, and is killed.
//!
//! The other process is this very program, told by its environment to be a node; it echoes what it is sent.

mod support;

use bytes::Bytes;
use everplay_cluster::{LinkEvent, Links, SendError};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Node, id, keyed};

/// Where the parent listens.
const PARENT: &str = "EVERPLAY_LINK_TEST_PARENT";
/// The number of the incarnation to be.
const NUMBER: &str = "EVERPLAY_LINK_TEST_NUMBER";

/// Not a test of its own: the other process of the tests below.
#[tokio::test]
async fn other_process() {
    let (Ok(parent), Ok(number)) = (std::env::var(PARENT), std::env::var(NUMBER)) else { return };
    let mut node = Node::start(number.parse().unwrap(), keyed()).await;
    println!("\nlistening {}", node.links.advertised());
    node.links.connect(id(5), parent);
    while let Some(event) = node.events.recv().await {
        if let LinkEvent::Message { peer, bytes } = event {
            // The parent may have gone.
            let _ = node.links.send(peer, bytes);
        }
    }
}

struct Process {
    child: Child,
    address: String,
}

impl Process {
    fn start(parent: &Node, number: u8) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["other_process", "--exact", "--nocapture", "--test-threads=1"])
            .env(PARENT, parent.links.advertised())
            .env(NUMBER, number.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address =
            lines.map_while(Result::ok).find_map(|line| line.strip_prefix("listening ").map(str::to_owned));
        Self { child, address: address.expect("the other process says where it listens") }
    }

    fn signal(&self, name: &str) {
        let done =
            Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have been killed by the test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A node and another process, linked.
async fn together(number: u8) -> (Node, Process) {
    let mut node = Node::start(5, keyed()).await;
    let process = Process::start(&node, number);
    node.links.connect(id(number), process.address.clone());
    node.until(LinkEvent::Up { peer: id(number) }).await;
    node.links.send(id(number), Bytes::from_static(b"hello")).unwrap();
    assert_eq!(node.message().await, &b"hello"[..]);
    (node, process)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_node_is_silent_until_it_wakes() {
    let (mut node, process) = together(7).await;
    process.signal("STOP");
    let frozen = Instant::now();
    node.expect(LinkEvent::Silent { peer: id(7) }).await;
    let took = frozen.elapsed();
    println!("silent after {} ms", took.as_millis());
    assert!(
        took >= Duration::from_millis(300),
        "{took:?} is too hasty: the last sign of life was 100 ms old at most"
    );
    // Told once, and the link stands: what is said meanwhile arrives.
    node.links.send(id(7), Bytes::from_static(b"are you there?")).unwrap();
    node.quiet(Duration::from_millis(700)).await;
    process.signal("CONT");
    node.expect(LinkEvent::Heard { peer: id(7) }).await;
    assert_eq!(node.message().await, &b"are you there?"[..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_node_s_queue_fills_and_the_link_is_reset() {
    let (mut node, process) = together(7).await;
    process.signal("STOP");
    let message = Bytes::from(vec![7; 1 << 20]);
    let mut sent = 0;
    let error = loop {
        match node.links.send(id(7), message.clone()) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(node.links.queued(id(7)) <= 64 << 20);
        tokio::task::yield_now().await;
    };
    assert_eq!(error, SendError::Full);
    assert!(sent >= 63, "only {sent} messages were taken");
    node.until(LinkEvent::Down { peer: id(7) }).await;
    assert_eq!(node.links.queued(id(7)), 0);
    process.signal("CONT");
    // It was alive: they find each other again, and no message of the old link is told after that.
    node.expect(LinkEvent::Up { peer: id(7) }).await;
    node.links.send(id(7), Bytes::from_static(b"again")).unwrap();
    assert_eq!(node.message().await, &b"again"[..]);
}

/// From the kill to the evidence, for a peer that this node calls and for one that calls it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_is_gone_at_once() {
    for number in [3, 7, 4, 8, 2, 9] {
        let (mut node, process) = together(number).await;
        let killed = Instant::now();
        process.signal("KILL");
        node.until(LinkEvent::Down { peer: id(number) }).await;
        let down = killed.elapsed();
        node.expect(LinkEvent::Gone { peer: id(number) }).await;
        let gone = killed.elapsed();
        println!("{number}: down after {} us, gone after {} us", down.as_micros(), gone.as_micros());
        // 50 ms when the machine has time for it.
        assert!(gone < Duration::from_secs(1), "{gone:?}");
    }
}
