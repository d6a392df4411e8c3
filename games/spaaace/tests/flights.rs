//! The recording that the page's prediction is held against is what the step computes today.

#[path = "../examples/flights.rs"]
mod flights;

#[test]
fn the_recording_of_the_page_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/src/spaaace/flights.json");
    let recorded = std::fs::read_to_string(path).unwrap();
    assert!(
        recorded == flights::recording(),
        "run: cargo run -p everplay-spaaace --example flights > web/src/spaaace/flights.json"
    );
}
