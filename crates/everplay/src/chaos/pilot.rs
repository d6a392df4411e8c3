//! Pilots: players of the arenas, who fly all the time by the room's declared input and look whether the ship obeys.

use super::bots::Common;
use super::child::trouble;
use super::flight::{Chart, Flight};
use crate::Result;
use everplay_client::{Client, Connection, Event, JoinError};
use everplay_types::ErrorCode;
use everplay_wire::ClientFrame;
use parking_lot::Mutex;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The arenas' room kind; a program may have it or not.
const ARENA: &str = "spaaace";
/// Between two inputs.
const STEER_EVERY: Duration = Duration::from_millis(100);
/// Inputs of one turn, before the next in the other direction.
const TURN: u32 = 12;

/// A new arena with two pilots; `None`: the region has no such rooms.
pub(super) async fn take_off(client: &Client) -> Result<Option<[Connection; 2]>> {
    let failed = |error: JoinError| trouble(format!("a pilot cannot join: {error}"));
    // Private: strangers do not come in by chance.
    let first = match client.create(ARENA, &json!({ "name": "Ada", "private": true, "bots": 3 })).await {
        Err(JoinError::Matchmaking { code, .. }) if code == i32::from(ErrorCode::NO_HANDLER.0) => {
            return Ok(None);
        }
        joined => joined.map_err(failed)?,
    };
    let second = client.join_by_id(first.room_id(), &json!({ "name": "Grace" })).await.map_err(failed)?;
    Ok(Some([first, second]))
}

/// The keys of one moment: a turn to one side, then to the other, thrust now and then, and a shot.
fn keys(beat: u32) -> [bool; 4] {
    let left = (beat / TURN).is_multiple_of(2);
    [beat.is_multiple_of(4), left, !left, beat.is_multiple_of(7)]
}

/// The input with all its fields.
fn input(keys: [bool; 4]) -> Vec<u8> {
    (0x80..).zip(keys).flat_map(|(field, down)| [field, u8::from(down)]).collect()
}

/// One pilot until the end.
pub(super) async fn fly(
    mut connection: Connection,
    number: usize,
    common: Arc<Mutex<Common>>,
    over: Arc<AtomicBool>,
    mut scatter: watch::Receiver<u32>,
) {
    let (room, session) = (connection.room_id().to_owned(), connection.session_id().to_owned());
    let who = format!("{session} in arena {room}");
    let (mut flight, mut began) = (Flight::default(), None);
    let (mut beat, mut heading, mut flying) = (0_u32, None, true);
    let mut steer = tokio::time::interval(STEER_EVERY);
    loop {
        let event = tokio::select! {
            event = connection.next() => event,
            Ok(()) = scatter.changed() => {
                connection.break_socket();
                continue;
            }
            _ = steer.tick() => {
                beat = beat.wrapping_add(1);
                let body = input(keys(beat));
                let mut sent = connection.push(&ClientFrame::InputReliable { stamp: None, body: &body });
                if !flying && beat.is_multiple_of(5) {
                    sent = sent.and(connection.send("spawn", &()));
                }
                // What goes wrong is told by the next event.
                if sent.is_ok() {
                    let _ = connection.flush().await;
                }
                continue;
            }
        };
        if over.load(Ordering::Relaxed) {
            return;
        }
        match event {
            Some(Event::State { full, .. }) => {
                let chart = connection.state_json().as_ref().and_then(Chart::of);
                let mut common = common.lock();
                let pause = common.shown(number, full);
                let Some(chart) = chart else {
                    common.violate(format!("{who}: a state that is not an arena's"));
                    continue;
                };
                let points = chart.heading(&session);
                if points.is_some() && heading.is_some() && points != heading {
                    common.steered(number);
                }
                (flying, heading) = (points.is_some(), points);
                if let Err(problem) = common.skies.agree(&room, &chart) {
                    common.violate(format!("{who}: {problem}"));
                }
                let began = *began.get_or_insert_with(Instant::now);
                match flight.sees(chart, began.elapsed()) {
                    Ok(moved) => common.flights.count(moved, pause),
                    Err(problem) => common.violate(format!("{who}: {problem}")),
                }
            }
            Some(Event::Error { .. }) => {
                // Asked for a ship while one was on its way.
            }
            Some(Event::Dropped { .. }) => common.lock().dropped(number),
            Some(Event::Closed { code, reason }) => {
                common.lock().lose(number, &who, code, &reason);
                return;
            }
            Some(_) => {}
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pilots_always_turn_and_say_all_of_it() {
        for beat in 0..100 {
            let [_, left, right, _] = keys(beat);
            assert!(left != right);
        }
        assert_eq!(input([true, false, true, false]), [0x80, 1, 0x81, 0, 0x82, 1, 0x83, 0]);
    }
}
