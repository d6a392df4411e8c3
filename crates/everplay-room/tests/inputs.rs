//! Rooms with declared inputs: numbering, consumption, timed frames, older SDKs.

mod harness;

use everplay_room::{Client, Context, InputMeta, InputSettings, Messages, Refusal, Room, Settings};
use everplay_schema::{Map, Replica, State};
use everplay_types::CloseCode;
use everplay_wire::{ClientFrame, Input, Section};
use harness::Harness;
use serde::de::IgnoredAny;
use serde_json::json;
use std::time::Duration;

#[derive(State, Default)]
struct Track {
    steps: u32,
    cars: Map<Car>,
}

#[derive(State, Default)]
struct Car {
    x: f32,
    inputs: u32,
}

#[derive(State, Default)]
struct Wheel {
    gas: bool,
    #[state(number)]
    steer: f64,
}

impl Room for Track {
    type Options = IgnoredAny;
    type Timer = ();

    fn settings() -> Settings {
        Settings {
            tick: Some(Duration::from_millis(20)),
            patch_interval: Duration::from_millis(40),
            ..Settings::default()
        }
    }

    fn messages(on: &mut Messages<Self>) {
        on.input(
            InputSettings::default(),
            |track: &mut Track, _cx, client, wheel: &Wheel, _meta: &InputMeta| {
                if let Some(car) = track.cars.get_mut(client.session_id()) {
                    car.inputs += 1;
                    car.x += wheel.steer as f32 + if wheel.gas { 1.0 } else { 0.0 };
                }
            },
        );
    }

    fn create(_cx: &mut Context<Self>, _options: IgnoredAny) -> Result<Self, Refusal> {
        Ok(Self::default())
    }

    fn join(
        &mut self,
        _cx: &mut Context<Self>,
        client: &Client,
        _options: IgnoredAny,
    ) -> Result<(), Refusal> {
        self.cars.insert(client.session_id().as_str(), Car::default());
        Ok(())
    }

    fn tick(&mut self, _cx: &mut Context<Self>, _step: Duration) {
        self.steps += 1;
    }
}

fn track() -> Harness {
    let mut room = Harness::new::<Track>(json!({}));
    room.join("ann");
    room
}

/// The next input, as the SDK encodes it: a patch with the input type as root.
fn drive(wheel: &mut Replica<Wheel>, gas: bool, steer: f64) -> Vec<u8> {
    wheel.get_mut().gas = gas;
    wheel.get_mut().steer = steer;
    wheel.patch();
    wheel.shared_patch().to_vec()
}

#[test]
fn the_join_tells_of_the_input_type_and_the_rates() {
    let room = track();
    let tags: Vec<u8> = room.peers["ann"].sections.iter().map(|(tag, _)| *tag).collect();
    assert_eq!(tags, [Section::INPUT_REFLECTION, Section::INPUT_OPTIONS]);
    let options = everplay_wire::InputOptions::decode(&room.peers["ann"].sections[1].1).unwrap();
    assert_eq!((options.tick_rate, options.patch_rate_ms), (Some(50.0), Some(40.0)));
}

#[test]
fn one_input_is_consumed_a_step_and_its_number_told() {
    let mut room = track();
    let mut wheel = Replica::new(Wheel::default());
    for _ in 0..3 {
        let body = drive(&mut wheel, true, 0.5);
        room.send("ann", ClientFrame::InputReliable { stamp: None, body: &body });
    }
    room.pass(400);
    let peer = &room.peers["ann"];
    assert_eq!(
        peer.state()["cars"]["ann"],
        json!({ "x": 4.5, "inputs": 3 }),
        "an empty body repeats the last values"
    );
    let timings = &peer.timings;
    assert_eq!(timings.last().unwrap().input_seq, 3);
    assert!(
        timings.windows(2).all(|pair| pair[0].now <= pair[1].now && pair[0].input_seq <= pair[1].input_seq)
    );
    // A patch each interval, also when nothing but time passes.
    assert!(timings.len() >= 10, "{} timed frames", timings.len());
}

#[test]
fn repeated_inputs_count_once() {
    let mut room = track();
    let mut wheel = Replica::new(Wheel::default());
    let bodies: Vec<Vec<u8>> = (0..4).map(|n| drive(&mut wheel, n % 2 == 0, 0.0)).collect();
    let input = |n: usize| Input { seq: n as u32 + 1, stamp: None, body: &bodies[n] };
    room.send("ann", ClientFrame::InputUnreliable { inputs: vec![input(0), input(1)] });
    room.send("ann", ClientFrame::InputUnreliable { inputs: vec![input(0), input(1), input(2)] });
    room.send("ann", ClientFrame::InputUnreliable { inputs: vec![input(1), input(2), input(3)] });
    room.pass(400);
    assert_eq!(room.peers["ann"].state()["cars"]["ann"]["inputs"], 4);
    assert_eq!(room.peers["ann"].timings.last().unwrap().input_seq, 4);
}

#[test]
fn a_flood_of_inputs_is_bounded_and_caught_up() {
    let mut room = track();
    for _ in 0..200 {
        room.send("ann", ClientFrame::InputReliable { stamp: None, body: &[] });
    }
    room.pass(1_000);
    let consumed = room.peers["ann"].state()["cars"]["ann"]["inputs"].as_u64().unwrap();
    assert_eq!(consumed, 32, "the queue holds half a second");
    assert_eq!(
        room.peers["ann"].timings.last().unwrap().input_seq,
        200,
        "what was dropped counts as consumed"
    );
}

#[test]
fn an_input_that_does_not_fit_closes() {
    let mut room = track();
    room.send("ann", ClientFrame::InputReliable { stamp: None, body: &[0x81, 0xcb, 1] });
    assert_eq!(room.peers["ann"].closed.as_ref().unwrap().0, CloseCode::BAD_FRAME);
}

#[test]
fn numbers_start_again_with_a_connection_and_survive_a_crash() {
    let mut room = track();
    room.send("ann", ClientFrame::InputReliable { stamp: None, body: &[] });
    room.pass(100);
    room.crash();
    room.come_back("ann");
    room.pass(100);
    assert_eq!(room.peers["ann"].timings.last().unwrap().input_seq, 0);
    assert_eq!(room.peers["ann"].state()["cars"]["ann"]["inputs"], 1);
    room.send("ann", ClientFrame::InputReliable { stamp: None, body: &[] });
    room.pass(100);
    assert_eq!(room.peers["ann"].timings.last().unwrap().input_seq, 1);
    assert_eq!(room.peers["ann"].state()["cars"]["ann"]["inputs"], 2);
}

#[test]
fn older_sdks_join_without_timed_frames() {
    let mut room = track();
    room.reserve("old", json!({}));
    room.connect("old", None, false, Some(everplay_wire::Dialect::V17));
    room.send("old", ClientFrame::Ack);
    room.pass(200);
    assert!(room.peers["old"].timings.is_empty());
    assert!(room.peers["old"].state()["steps"].as_u64().unwrap() > 5);
}
