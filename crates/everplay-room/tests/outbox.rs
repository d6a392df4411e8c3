//! Events wait in the room until they were taken: over crashes, snapshots and the room's end.

mod harness;

use everplay_room::{
    Context, Input, Leave, Messages, OUTBOX_BYTES, OUTBOX_EVENTS, OutboxFull, Outgoing, Refusal, ReviveError,
    Room, Settings,
};
use everplay_schema::State;
use everplay_wire::msgpack;
use harness::{Harness, room_id};
use serde_json::json;

#[derive(State, Default)]
struct Bell {
    rung: u32,
    refused: u32,
}

impl Room for Bell {
    type Options = serde_json::Value;
    type Timer = ();

    fn settings() -> Settings {
        Settings { messages_per_second: 10_000, ..Settings::default() }
    }

    fn messages(on: &mut Messages<Self>) {
        on.message("ring", |bell: &mut Bell, cx, _client, times: u32| {
            for _ in 0..times {
                bell.rung += 1;
                cx.emit("rung", &bell.rung)?;
            }
            Ok(())
        });
        on.message("hum", |bell: &mut Bell, cx, _client, times: u32| {
            for _ in 0..times {
                bell.refused += u32::from(cx.emit_up_to(3, "hummed", &bell.rung) == Err(OutboxFull));
            }
            Ok(())
        });
        on.message("toll", |bell: &mut Bell, cx, _client, bytes: u32| {
            let long = "x".repeat(bytes as usize);
            let (fits, said) = (cx.can_emit(1, long.len() + 9), cx.emit("tolled", &long));
            assert_eq!(fits, said.is_ok());
            bell.refused += u32::from(said.is_err());
            Ok(())
        });
    }

    fn create(cx: &mut Context<Self>, _: serde_json::Value) -> Result<Self, Refusal> {
        cx.emit("made", &0)?;
        Ok(Bell::default())
    }

    fn leave(&mut self, cx: &mut Context<Self>, _: &everplay_room::Client, _: Leave) {
        let _ = cx.emit("left", &self.rung);
    }
}

fn waiting(harness: &Harness, after: u64) -> Vec<(u64, String, u32)> {
    let what = |out: Outgoing| (out.number, out.event.name, msgpack::from_slice(&out.event.payload).unwrap());
    harness.engine.outbox(after).into_iter().map(what).collect()
}

fn event(number: u64, name: &str, payload: u32) -> (u64, String, u32) {
    (number, name.to_owned(), payload)
}

#[test]
fn events_wait_over_crashes_until_they_are_taken() {
    let mut harness = Harness::new::<Bell>(json!({}));
    harness.engine.dated(1_000);
    harness.join("ann");
    harness.message("ann", "ring", &2u32);
    let all = [event(1, "made", 0), event(2, "rung", 1), event(3, "rung", 2)];
    assert_eq!(waiting(&harness, 0), all);
    assert_eq!(harness.engine.outbox(2)[0].date, 1_000);
    harness.crash();
    assert_eq!(waiting(&harness, 0), all);
    harness.input(Input::Taken { through: 2, beyond: Vec::new() });
    harness.pass(100);
    assert_eq!(waiting(&harness, 0), all[2..]);
    harness.crash();
    assert_eq!(waiting(&harness, 0), all[2..]);
    harness.pass(100);
    harness.take_snapshot();
    harness.crash();
    // Numbers go on where they were, also when nothing waits.
    harness.input(Input::Taken { through: 3, beyond: Vec::new() });
    harness.pass(100);
    harness.crash();
    harness.come_back("ann");
    harness.message("ann", "ring", &1u32);
    assert_eq!(waiting(&harness, 0), [event(4, "rung", 3)]);
}

#[test]
fn a_room_that_ended_still_has_them_to_tell() {
    let mut harness = Harness::new::<Bell>(json!({}));
    harness.join("ann");
    harness.send("ann", everplay_wire::ClientFrame::Leave);
    assert!(harness.ended);
    let records: Vec<&[u8]> = harness.journal.iter().map(Vec::as_slice).collect();
    match harness.kind.revive(&room_id(), None, &records) {
        Err(ReviveError::Ended { outbox }) => {
            let names: Vec<String> = outbox.into_iter().map(|out| out.event.name).collect();
            assert_eq!(names, ["made", "left"]);
        }
        other => panic!("the room has ended, not {:?}", other.err()),
    }
}

/// Nothing is dropped without a word: what does not fit is refused, and the numbers have no gap for it.
#[test]
fn more_than_the_bound_is_refused() {
    let mut harness = Harness::new::<Bell>(json!({}));
    harness.join("ann");
    harness.message("ann", "ring", &(OUTBOX_EVENTS as u32 + 5));
    assert_eq!(waiting(&harness, 0).len(), OUTBOX_EVENTS);
    let kept = waiting(&harness, OUTBOX_EVENTS as u64 - 1);
    assert_eq!(kept, [event(OUTBOX_EVENTS as u64, "rung", OUTBOX_EVENTS as u32 - 1)]);
    harness.input(Input::Taken { through: OUTBOX_EVENTS as u64, beyond: Vec::new() });
    harness.message("ann", "ring", &1u32);
    assert_eq!(waiting(&harness, 0)[0].0, OUTBOX_EVENTS as u64 + 1);
}

#[test]
fn more_bytes_than_the_bound_are_refused() {
    let mut harness = Harness::new::<Bell>(json!({}));
    harness.join("ann");
    for _ in 0..5 {
        harness.message("ann", "toll", &(OUTBOX_BYTES as u32 / 4 - 100));
    }
    harness.pass(100);
    harness.take_snapshot();
    harness.crash();
    let waiting = harness.engine.outbox(0);
    let bytes: usize = waiting.iter().map(|out| out.event.payload.len()).sum();
    assert_eq!((waiting.len(), bytes <= OUTBOX_BYTES), (5, true));
}

/// What can be told later leaves the outbox to what cannot, and goes before it when it was taken.
#[test]
fn some_may_wait_only_up_to_a_number() {
    let mut harness = Harness::new::<Bell>(json!({}));
    harness.join("ann");
    harness.message("ann", "ring", &2u32);
    harness.message("ann", "hum", &5u32);
    harness.message("ann", "ring", &1u32);
    let numbers = |harness: &Harness| {
        let all: Vec<u64> = waiting(harness, 0).into_iter().map(|(number, _, _)| number).collect();
        // The same by the other way.
        let last = all.len() - 2;
        let late: Vec<u64> =
            waiting(harness, all[last - 1]).into_iter().map(|(number, _, _)| number).collect();
        assert_eq!(all[last..], late);
        all
    };
    assert_eq!(numbers(&harness), [1, 2, 3, 4, 5, 6, 7]);
    harness.input(Input::Taken { through: 1, beyond: vec![4, 6] });
    harness.pass(100);
    assert_eq!(numbers(&harness), [2, 3, 5, 7]);
    harness.crash();
    harness.come_back("ann");
    assert_eq!(numbers(&harness), [2, 3, 5, 7]);
    harness.message("ann", "hum", &5u32);
    assert_eq!(numbers(&harness), [2, 3, 5, 7, 8, 9]);
}

#[test]
fn where_nobody_takes_any_none_wait() {
    let mut harness = Harness::new::<Bell>(json!({}));
    harness.engine.keep_events(false);
    harness.join("ann");
    harness.message("ann", "ring", &3u32);
    assert_eq!(waiting(&harness, 0), [event(1, "made", 0)]);
}
