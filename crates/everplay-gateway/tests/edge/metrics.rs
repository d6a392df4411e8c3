//! Refusals are counted under their reason.

use crate::world::*;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio_tungstenite::tungstenite::Message;

/// Keeps counters by name and labels, and which names were described.
#[derive(Default)]
struct Book {
    counters: Mutex<HashMap<String, Arc<AtomicU64>>>,
    gauges: Mutex<HashMap<String, Arc<AtomicU64>>>,
    described: Mutex<Vec<String>>,
}

fn name_of(key: &Key) -> String {
    let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
    format!("{}{{{}}}", key.name(), labels.join(","))
}

impl Recorder for Book {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        assert!(!help.is_empty());
        self.described.lock().unwrap().push(name.as_str().to_owned());
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe_counter(name, unit, help);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe_counter(name, unit, help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        assert!(self.described.lock().unwrap().contains(&key.name().to_owned()), "{key} has no help");
        Counter::from_arc(Arc::clone(self.counters.lock().unwrap().entry(name_of(key)).or_default()))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::clone(self.gauges.lock().unwrap().entry(name_of(key)).or_default()))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

impl Book {
    fn refusals(&self, reason: &str) -> u64 {
        let name = format!("everplay_gateway_refusals_total{{reason={reason}}}");
        self.counters.lock().unwrap()[&name].load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn every_refusal_is_counted_under_its_reason() {
    let book = Book::default();
    let world = metrics::with_local_recorder(&book, World::new);
    world.post("/matchmake/join/x", "{}").await;
    world.post("/matchmake/join/echo", "{").await;
    world.post("/matchmake/join/echo", &" ".repeat(70_000)).await;
    world.http("GET / HTTP/1.1\nhost: h\nupgrade: websocket\n\n").await;
    world.http("nonsense\n\n").await;
    world.open("/p1/r1?sessionId=nobody").await.close_code().await;
    world.open("/p1/r1?sessionId=restoring").await.close_code().await;
    for frame in
        [Message::text("x"), Message::Binary(vec![99].into()), Message::Binary(vec![0; 70_000].into())]
    {
        let mut player = world.join("good").await;
        futures_util::SinkExt::send(&mut player.socket, frame).await.unwrap();
        player.close_code().await;
    }
    world.handle.drain();
    world.post("/matchmake/join/echo", "{}").await;
    world.until("no socket", |world| world.handle.sockets() == 0).await;
    for reason in [
        "matchmake",
        "malformed_body",
        "body_size",
        "bad_upgrade",
        "bad_request",
        "no_seat",
        "restoring",
        "text_frame",
        "bad_frame",
        "frame_size",
        "draining",
    ] {
        assert_eq!(book.refusals(reason), 1, "{reason}");
    }
    assert_eq!(book.refusals("too_slow"), 0);
    let gauges = book.gauges.lock().unwrap();
    let gauge =
        |name: &str| f64::from_bits(gauges[&format!("everplay_gateway_{name}{{}}")].load(Ordering::Relaxed));
    assert_eq!((gauge("sockets"), gauge("connections")), (0.0, 0.0));
}
