//! The command line against two linked nodes on shared stores, over their real routes.

use super::*;
use axum::Router;
use everplay_cluster::{Links, Timing};
use everplay_link::{ClusterKey, LinkOptions, Security, TcpLinks};
use everplay_live::{Arbiter, LiveStore, MemoryArbiter, MemoryLiveStore, NodeRow};
use everplay_node::{ClusterParts, Handle, MatchRequest, Method, Node};
use everplay_room::AuthRequest;
use everplay_types::{CustomerId, Incarnation, ProcessId};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

const KEY: &str = "the key of a cluster of two, in a test";

struct One {
    node: Handle,
    /// Where its routes are.
    address: SocketAddr,
}

async fn one(number: u8, live: &MemoryLiveStore, arbiter: &MemoryArbiter) -> One {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incarnation = Incarnation([number; 16]);
    let key = ClusterKey::new(KEY).unwrap();
    let (links, events) =
        TcpLinks::bind(LinkOptions::new(incarnation, Security::Key(key.clone()))).await.unwrap();
    let process_id = ProcessId::new(format!("p{number}")).unwrap();
    let row = NodeRow {
        incarnation,
        process_id: process_id.clone(),
        address: links.advertised().to_owned(),
        http: address.to_string(),
        version: "test".to_owned(),
        zone: "here".to_owned(),
    };
    let parts =
        ClusterParts { links: Arc::new(links) as Arc<dyn Links>, events, row, timing: Timing::default() };
    let options = everplay_node::Options {
        process_id,
        customer: CustomerId::default(),
        limits: everplay_node::Limits::default(),
        snapshots: everplay_node::SnapshotPolicy::default(),
        ambient: everplay_node::Ambient::default(),
        events: everplay_node::Events::default(),
    };
    let live: Arc<dyn LiveStore> = Arc::new(live.clone());
    let arbiter: Arc<dyn Arbiter> = Arc::new(arbiter.clone());
    let node = Node::start_in_cluster(options, crate::arena::kinds().into(), live, arbiter, parts);
    let routes = Router::new().merge(router(node.cluster().unwrap(), key));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    node.restore().await.unwrap();
    One { node, address }
}

/// Two nodes that see each other, and a room on the first.
async fn two() -> (One, One, String) {
    let (live, arbiter) = (MemoryLiveStore::default(), MemoryArbiter::default());
    let first = one(1, &live, &arbiter).await;
    let request = MatchRequest {
        method: Method::Create,
        target: "arena".into(),
        options: json!({}),
        auth: AuthRequest::default(),
    };
    let seat = first.node.matchmake(request).await.unwrap();
    let second = one(2, &live, &arbiter).await;
    let room = seat.room_id.to_string();
    until(async || say(&second, &["rooms"]).await.is_ok_and(|text| text.contains(&room))).await;
    until(async || say(&first, &["nodes"]).await.is_ok_and(|text| text.matches("alive").count() == 2)).await;
    (first, second, room)
}

async fn until(mut check: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !check().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), wait).await.expect("it comes true in time");
}

async fn say_with(to: &One, key: &str, words: &[&str]) -> Result<String> {
    let url = format!("http://{}", to.address);
    let words = ["ctl", "--node", &url].into_iter().chain(words.iter().copied());
    let environment = [("EVERPLAY_CLUSTER_KEY".into(), key.into())];
    act(task(&command().get_matches_from(words), &environment)?).await
}

async fn say(to: &One, words: &[&str]) -> Result<String> {
    say_with(to, KEY, words).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_answers_for_all() {
    let (first, second, room) = two().await;
    for asked in [&first, &second] {
        let nodes = say(asked, &["nodes"]).await.unwrap();
        assert!(
            nodes.contains("01010101") && nodes.contains("02020202") && nodes.contains("here"),
            "{nodes}"
        );
        let shown = say(asked, &["room", &room]).await.unwrap();
        assert!(shown.contains("node      01010101"), "{shown}");
    }
    let listed: serde_json::Value =
        serde_json::from_str(&say(&second, &["rooms", "--json"]).await.unwrap()).unwrap();
    assert_eq!(listed["rooms"][0]["id"], room);
    let missing = say(&first, &["room", "nosuchroom"]).await.unwrap_err().to_string();
    assert!(missing.ends_with("no living node runs this room"), "{missing}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_moves_and_a_node_is_emptied() {
    let (first, second, room) = two().await;
    // Asked of the one that does not have it.
    let moved = say(&second, &["move", &room, "0202"]).await.unwrap();
    assert!(moved.starts_with(&format!("Room {room} plays on 02020202 now")), "{moved}");
    until(async || say(&first, &["room", &room]).await.is_ok_and(|text| text.contains("node      0202")))
        .await;
    let again = say(&second, &["move", &room, "p2"]).await.unwrap_err().to_string();
    assert!(again.ends_with("the room is on that node already"), "{again}");

    let emptied = say(&first, &["drain", "p2"]).await.unwrap();
    assert_eq!(emptied, "Node 02020202 runs no room and takes none.\n");
    until(async || say(&first, &["nodes"]).await.is_ok_and(|text| text.contains("draining"))).await;
    until(async || say(&second, &["room", &room]).await.is_ok_and(|text| text.contains("node      0101")))
        .await;
    assert_eq!(say(&first, &["undrain", "0202"]).await.unwrap(), "Node 02020202 takes rooms again.\n");
    until(async || say(&first, &["nodes"]).await.is_ok_and(|text| !text.contains("draining"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_without_the_key_is_answered() {
    let (first, second, room) = two().await;
    for words in [&["nodes"][..], &["rooms"], &["room", &room], &["move", &room, "p2"], &["drain", "p1"]] {
        let refused =
            say_with(&first, "another key, which is just as long", words).await.unwrap_err().to_string();
        assert!(refused.ends_with("that is not the cluster's key"), "{refused}");
    }
    // Nor without any: a browser that follows a link.
    let endpoint: Endpoint = format!("http://{}", second.address).parse().unwrap();
    for (method, path) in
        [("GET", "/cluster/nodes".to_owned()), ("POST", format!("/cluster/rooms/{room}/move"))]
    {
        assert_eq!(endpoint.request(method, &path, None, Vec::new(), 1 << 20).await.unwrap().0, 401);
    }
    assert!(say(&first, &["room", &room]).await.unwrap().contains("node      0101"));
}
