//! What is remembered, for how long, and what is answered in between.

use super::*;

/// Steps of 16, 17, 17 ms as a 60 Hz room has them; `a` moves by 3 a step, `b` comes in step 10 and goes in step 20.
fn history() -> Rewind<&'static str, f32> {
    let mut past = Rewind::default();
    for step in 0..30 {
        let mut places = vec![("a", step as f32 * 3.0)];
        if (10..20).contains(&step) {
            // Not in order of the keys.
            places.insert(0, ("b", 1000.0));
        }
        past.record(at_step(step), places);
    }
    past
}

fn at_step(step: u64) -> Millis {
    Millis(1000 + step * 50 / 3)
}

#[test]
fn a_moment_between_two_steps_is_between_their_places() {
    let past = history();
    assert_eq!(past.at(at_step(20)).place(&"a"), Some(60.0));
    let middle = Millis(at_step(20).0 + 8);
    let place = past.at(middle).place(&"a").unwrap();
    assert!((place - 61.5).abs() < 0.1, "{place}");
}

#[test]
fn nothing_is_rewound_further_than_the_reach_or_into_the_future() {
    let past = history();
    let now = at_step(29);
    assert_eq!(past.at(Millis(9_000)).place(&"a"), Some(87.0));
    let oldest = past.at(now - Duration::from_millis(250)).place(&"a").unwrap();
    assert_eq!(past.at(Millis::ZERO).place(&"a"), Some(oldest));
    assert!((oldest - 42.0).abs() < 0.3, "15 steps ago: {oldest}");

    let behind = |time: Option<u64>| past.behind(now, time.map(Millis)).as_millis();
    assert_eq!(behind(Some(now.0 - 180)), 180);
    assert_eq!(behind(Some(now.0 - 900)), 250, "whatever a client claims");
    assert_eq!(behind(Some(now.0 + 900)), 0);
    assert_eq!(behind(Some(0)), 0, "the client does not know the time yet");
    assert_eq!(behind(None), 0);
}

#[test]
fn what_was_not_there_has_no_place() {
    let past = history();
    assert_eq!(past.at(at_step(14)).place(&"b"), Some(1000.0), "the oldest moment");
    assert_eq!(past.at(at_step(19)).place(&"b"), Some(1000.0));
    assert_eq!(past.at(at_step(20)).place(&"b"), Some(1000.0), "seen until the step it was gone in");
    assert_eq!(past.at(at_step(21)).place(&"b"), None);
    assert_eq!(past.at(at_step(21)).place(&"c"), None);

    let mut past = Rewind::default();
    past.record(Millis(100), [("a", 1.0)]);
    past.record(Millis(120), [("a", 1.0), ("b", 5.0)]);
    assert_eq!(past.at(Millis(110)).place(&"b"), None, "it comes in the second step");
    assert_eq!(past.at(Millis(120)).place(&"b"), Some(5.0));
    assert_eq!(Rewind::<u8, f32>::default().at(Millis(5)).place(&1), None);
}

#[test]
fn steps_of_the_same_moment_are_the_last_of_them() {
    let mut past = Rewind::default();
    past.record(Millis(100), [(1, 1.0)]);
    past.record(Millis(150), [(1, 2.0)]);
    past.record(Millis(150), [(1, 3.0)]);
    assert_eq!(past.at(Millis(125)).place(&1), Some(2.0), "half way from the first to the last");
    // A room's time does not go back; if it did, what was recorded later never happened.
    past.record(Millis(120), [(1, 9.0)]);
    assert_eq!(past.at(Millis(500)).place(&1), Some(9.0));
    assert_eq!(past.frames.len(), 2);
}

#[test]
fn memory_is_bounded_and_reused() {
    let mut past = Rewind::new(Duration::from_millis(100));
    for step in 0..1000 {
        past.record(at_step(step), (0..50).map(|key| (key, step as f32)));
    }
    assert!(past.frames.len() <= 8, "{} frames for six steps and the two around them", past.frames.len());
    assert!(past.frames.iter().all(|frame| frame.places.capacity() < 100));
}

/// Whatever the steps and the moment: a thing that moves evenly is found where it was.
#[test]
fn an_even_movement_is_found_anywhere() {
    let mut past = Rewind::default();
    let mut now = 10_000;
    for step in 0..500_u64 {
        // Early, late and skipped steps.
        now += [16, 17, 17, 1, 33, 17, 120, 2, 60][step as usize * 7 % 9];
        past.record(Millis(now), [((), [now as f32 / 50.0, 7.0])]);
        let first = past.frames[0].time.0;
        for ago in (0..400).step_by(13) {
            let asked = (now - ago).max(first).max(now - 250);
            let [x, y] = past.at(Millis(now - ago)).place(&()).unwrap();
            assert!((x - asked as f32 / 50.0).abs() < 0.01, "{ago} ms before {now}: {x}");
            assert_eq!(y, 7.0);
        }
    }
}
