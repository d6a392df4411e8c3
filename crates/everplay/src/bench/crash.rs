//! Kills the server over and over under load, and proves that nobody was shown something that is not true any more.
//!
//! What is checked, for every client and every kill:
//! - it comes back by itself, with nothing but its reconnection token;
//! - the tick it is shown never goes back, neither while it plays nor over a kill;
//! - a tick is shown with one set of bytes: two clients of a room, before or after a kill, never see two truths;
//! - at the end, the journal stands at or beyond everything anyone was shown.

use super::figures::{Machine, percentile};
use super::player::{Event, LOST, Player};
use super::process::ServerProcess;
use super::{temporary_directory, write_json};
use crate::cli::BenchTask;
use crate::{Error, Result, data_dir, inspect};
use everplay_live::LiveStore;
use everplay_types::{CustomerId, RoomId, RoomKey};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// What all clients were shown, by room.
#[derive(Default)]
struct Seen {
    /// Per room: the bytes of each tick, as their hash.
    rooms: HashMap<String, BTreeMap<u32, u64>>,
    violations: Vec<String>,
    frames: u64,
}

/// Ticks per room whose bytes are remembered: more than are ever in flight.
const REMEMBERED: usize = 2_000;

/// What a client is told: the number of kills so far, and when the server was started again.
#[derive(Debug, Clone, Copy)]
struct Life {
    number: usize,
    started: Instant,
    over: bool,
}

/// What a client tells: in which life it is at home, and how long that took from the start.
struct Resumed {
    life: usize,
    took: Duration,
}

#[derive(Serialize)]
struct Report {
    machine: Machine,
    clients: usize,
    kills: usize,
    resumed: usize,
    frames: u64,
    start_to_resumed_ms_p50: Option<f64>,
    start_to_resumed_ms_p99: Option<f64>,
    start_to_resumed_ms_max: Option<f64>,
    violations: Vec<String>,
}

pub(super) async fn run(task: &BenchTask) -> Result {
    let directory = temporary_directory()?;
    let machine = Machine::this();
    eprintln!("{}", machine.show());
    let mut server = ServerProcess::start(directory.path(), 0)?;
    let address = server.address;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (lives, life) = watch::channel(Life { number: 0, started: Instant::now(), over: false });
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut playing = JoinSet::new();
    for _ in 0..task.clients {
        let joined = Player::join(&format!("http://{address}"), "arena").await;
        let player = joined.map_err(|error| Error::Command(format!("a client cannot join: {error}")))?;
        playing.spawn(play(player, Arc::clone(&seen), life.clone(), tell.clone()));
    }
    drop(tell);
    eprintln!("{} clients play; killing the server {} times", task.clients, task.rounds);
    let mut times = Vec::new();
    for kill in 1..=task.rounds {
        // Anywhere within a patch interval and a snapshot interval.
        tokio::time::sleep(Duration::from_millis(500 + rand::random::<u64>() % 1_000)).await;
        server.kill()?;
        let started = Instant::now();
        lives.send_replace(Life { number: kill, started, over: false });
        server = tokio::task::block_in_place(|| ServerProcess::start(directory.path(), address.port()))?;
        let ready = started.elapsed();
        let mut of_this_life = Vec::new();
        let all = async {
            while of_this_life.len() < task.clients {
                match told.recv().await {
                    Some(Resumed { life, took }) if life == kill => of_this_life.push(took),
                    Some(_) => {}
                    None => break,
                }
            }
        };
        drop(tokio::time::timeout(LOST, all).await);
        let missing = task.clients - of_this_life.len();
        if missing > 0 {
            violation(&seen, format!("kill {kill}: {missing} clients did not come back"));
        }
        of_this_life.sort_unstable();
        let last = percentile(&of_this_life, 1.0).unwrap_or_default();
        eprintln!(
            "kill {kill}: ready after {:.0} ms, {} of {} clients back, the last after {last:.0} ms",
            ready.as_secs_f64() * 1e3,
            of_this_life.len(),
            task.clients
        );
        times.extend(of_this_life);
        if missing > 0 {
            break;
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    server.kill()?;
    lives.send_modify(|life| life.over = true);
    while playing.join_next().await.is_some() {}
    compare_with_journals(directory.path(), &seen).await?;
    times.sort_unstable();
    let seen = std::mem::take(&mut *seen.lock().expect("no client panics while it writes down what it saw"));
    let report = Report {
        machine,
        clients: task.clients,
        kills: task.rounds,
        resumed: times.len(),
        frames: seen.frames,
        start_to_resumed_ms_p50: percentile(&times, 0.5),
        start_to_resumed_ms_p99: percentile(&times, 0.99),
        start_to_resumed_ms_max: percentile(&times, 1.0),
        violations: seen.violations,
    };
    println!("{}", show(&report));
    write_json(task.json.as_deref(), &report)?;
    if report.violations.is_empty() { Ok(()) } else { Err(Error::Command("the promise was broken".into())) }
}

/// One client through all lives of the server.
async fn play(
    mut player: Player,
    seen: Arc<Mutex<Seen>>,
    mut life: watch::Receiver<Life>,
    tell: mpsc::UnboundedSender<Resumed>,
) {
    let (room, name) = (player.room().to_owned(), player.session().to_owned());
    let mut last = 0;
    let mut away = false;
    let mut turn = tokio::time::interval(Duration::from_millis(400));
    loop {
        let event = tokio::select! {
            event = player.next() => event,
            _ = turn.tick() => {
                player.turn(f64::from(last % 7)).await;
                continue;
            }
        };
        match event {
            Ok(Event::State { full, tick: Some(tick), hash }) => {
                last = shown(&seen, &room, &name, last, tick, (!full).then_some(hash));
                if full && std::mem::take(&mut away) {
                    let Life { number, started, .. } = *life.borrow_and_update();
                    // Nobody listens any more when the run was given up.
                    drop(tell.send(Resumed { life: number, took: started.elapsed() }));
                }
            }
            Ok(Event::Dropped) if life.borrow().over => return,
            Ok(Event::Dropped) => away = true,
            Ok(_) => {}
            Err(_) if life.borrow().over => return,
            Err(error) => return violation(&seen, format!("{name} in {room}: {error}")),
        }
    }
}

/// Writes down what a client was shown. Returns the highest tick it has seen.
fn shown(seen: &Mutex<Seen>, room: &str, name: &str, last: u32, tick: u32, hash: Option<u64>) -> u32 {
    let mut seen = seen.lock().expect("no client panics while it writes down what it saw");
    seen.frames += 1;
    if tick < last {
        seen.violations.push(format!("{name} in {room}: tick went back from {last} to {tick}"));
    }
    let ticks = seen.rooms.entry(room.to_owned()).or_default();
    let conflict = match hash {
        // A full state has bytes of its own; it counts for the height only.
        None => {
            ticks.entry(tick).or_insert(0);
            false
        }
        Some(hash) => {
            let known = ticks.entry(tick).or_insert(hash);
            let conflict = *known != 0 && *known != hash;
            *known = hash;
            conflict
        }
    };
    if ticks.len() > REMEMBERED {
        ticks.pop_first();
    }
    if conflict {
        seen.violations.push(format!("{room}: two truths about tick {tick}"));
    }
    last.max(tick)
}

/// The journal of each room must hold at least what anyone was shown of it.
async fn compare_with_journals(directory: &std::path::Path, seen: &Mutex<Seen>) -> Result {
    let store = data_dir::open_existing(directory)?;
    let heights: Vec<(String, u32)> = {
        let seen = seen.lock().expect("no client panics while it writes down what it saw");
        seen.rooms
            .iter()
            .filter_map(|(room, ticks)| Some((room.clone(), *ticks.last_key_value()?.0)))
            .collect()
    };
    for (room, height) in heights {
        let id = RoomId::new(&room).map_err(|error| Error::Command(format!("{room:?}: {error}")))?;
        let loaded = store.load(RoomKey { customer: CustomerId::default(), room: id }).await;
        let state = loaded.map_err(|error| error.to_string()).and_then(|loaded| inspect::state(&loaded));
        match state.map(|state| state["state"]["tick"].as_u64()) {
            Ok(Some(tick)) if tick >= u64::from(height) => {}
            Ok(tick) => {
                violation(seen, format!("{room}: shown up to tick {height}, the journal holds {tick:?}"))
            }
            Err(error) => {
                violation(seen, format!("{room}: shown up to tick {height}, not readable: {error}"))
            }
        }
    }
    Ok(())
}

fn violation(seen: &Mutex<Seen>, what: String) {
    eprintln!("VIOLATION: {what}");
    seen.lock().expect("no client panics while it writes down what it saw").violations.push(what);
}

fn show(report: &Report) -> String {
    let ms = |value: Option<f64>| value.map_or("-".to_owned(), |ms| format!("{ms:.0} ms"));
    format!(
        "{}\n{} clients, {} kills with SIGKILL: {} of {} resumes, {} frames checked, {} violations\n\
         start to resumed: p50 {}, p99 {}, max {}\n{}",
        report.machine.show(),
        report.clients,
        report.kills,
        report.resumed,
        report.clients * report.kills,
        report.frames,
        report.violations.len(),
        ms(report.start_to_resumed_ms_p50),
        ms(report.start_to_resumed_ms_p99),
        ms(report.start_to_resumed_ms_max),
        report.violations.iter().take(20).map(|violation| format!("  {violation}\n")).collect::<String>(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(shows: &[(u32, Option<u64>)]) -> Vec<String> {
        let seen = Mutex::new(Seen::default());
        let mut last = 0;
        for (tick, hash) in shows {
            last = shown(&seen, "room", "client", last, *tick, *hash);
        }
        seen.into_inner().unwrap().violations
    }

    #[test]
    fn a_game_that_goes_on_is_no_violation() {
        assert!(
            violations(&[(1, None), (1, Some(7)), (2, Some(8)), (2, Some(8)), (5, None), (6, Some(9))])
                .is_empty()
        );
    }

    #[test]
    fn a_tick_that_goes_back_and_a_second_truth_are_violations() {
        assert_eq!(violations(&[(5, Some(1)), (4, None)]), ["client in room: tick went back from 5 to 4"]);
        assert_eq!(violations(&[(5, Some(1)), (5, Some(2))]), ["room: two truths about tick 5"]);
    }
}
