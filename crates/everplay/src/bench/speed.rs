//! Processor time per delivered frame, echo times under load, memory per idle connection.
//!
//! A frame counts as delivered when a client has read it. The processor time is that of the whole server process
//! between two moments in which all clients are joined and nothing else happens.

use super::figures::{Figure, Machine, percentile, table};
use super::player::{Event, Player, PlayerError};
use super::process::{ServerProcess, processor_time, resident_bytes};
use super::{temporary_directory, write_json};
use crate::cli::BenchTask;
use crate::{Error, Result};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// One who is measured.
struct Contestant {
    name: &'static str,
    room: &'static str,
    endpoint: String,
    pid: u32,
    rounds: Vec<Round>,
    idle_kib: Option<f64>,
}

/// What one round came to.
#[derive(Debug, Clone, Serialize)]
struct Round {
    seconds: f64,
    frames: u64,
    cpu_us_per_frame: Option<f64>,
    cpu_share: Option<f64>,
    echoes: usize,
    echo_ms_p50: Option<f64>,
    echo_ms_p99: Option<f64>,
    echo_ms_p999: Option<f64>,
}

#[derive(Serialize)]
struct Report<'a> {
    machine: Machine,
    clients: usize,
    round_seconds: u64,
    echoes_per_second: u32,
    contestants: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    cpu_us_per_frame: Option<Figure>,
    echo_ms_p50: Option<Figure>,
    echo_ms_p99: Option<Figure>,
    echo_ms_p999: Option<Figure>,
    idle_connection_kib: Option<f64>,
    rounds: &'a [Round],
}

pub(super) async fn run(task: &BenchTask) -> Result {
    let directory = temporary_directory()?;
    let machine = Machine::this();
    eprintln!("{}", machine.show());
    let server = ServerProcess::start(directory.path(), 0)?;
    let mut contestants = [("Confirmed", "arena"), ("Ephemeral", "arena_ephemeral")]
        .map(|(name, room)| Contestant::new(name, room, &server));
    for round in 1..=task.rounds {
        for contestant in &mut contestants {
            eprintln!("round {round} of {}: {}", task.rounds, contestant.name);
            let measured = measure(contestant, task).await?;
            contestant.rounds.push(measured);
        }
    }
    drop(server);
    if task.idle > 0 {
        for contestant in &mut contestants {
            eprintln!("{} idle connections: {}", task.idle, contestant.name);
            contestant.idle_kib = measure_idle(contestant, task).await?;
        }
    }
    let report = report(&contestants, machine, task);
    println!("{}", show(&report));
    write_json(task.json.as_deref(), &report)
}

impl Contestant {
    fn new(name: &'static str, room: &'static str, server: &ServerProcess) -> Self {
        let (endpoint, pid) = (format!("http://{}", server.address), server.pid());
        Self { name, room, endpoint, pid, rounds: Vec::new(), idle_kib: None }
    }
}

/// What the players of one round share.
struct Shared {
    phase: AtomicU8,
    frames: AtomicU64,
}

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const OVER: u8 = 2;

/// Before a round counts: the last joins' full states and the first patches to everyone are over.
const WARM_UP: Duration = Duration::from_secs(2);

async fn measure(contestant: &Contestant, task: &BenchTask) -> Result<Round> {
    let shared = Arc::new(Shared { phase: AtomicU8::new(WARMING), frames: AtomicU64::new(0) });
    let players = join_all(contestant, task.clients).await?;
    let pause = Duration::from_secs_f64(task.clients as f64 / f64::from(task.echo_rate));
    let mut playing = JoinSet::new();
    for (at, player) in players.into_iter().enumerate() {
        // Spread over the pause, so that echoes are not sent in one volley.
        let first = pause.mul_f64(at as f64 / task.clients as f64);
        playing.spawn(play(player, Arc::clone(&shared), first, pause));
    }
    tokio::time::sleep(WARM_UP).await;
    shared.phase.store(MEASURING, Ordering::Relaxed);
    let (began, frames_before, cpu_before) =
        (Instant::now(), shared.frames.load(Ordering::Relaxed), processor_time(contestant.pid));
    tokio::time::sleep(task.round).await;
    let (took, frames_after, cpu_after) =
        (began.elapsed(), shared.frames.load(Ordering::Relaxed), processor_time(contestant.pid));
    shared.phase.store(OVER, Ordering::Relaxed);
    let mut echoes = Vec::new();
    while let Some(played) = playing.join_next().await {
        let played = played.map_err(|error| Error::Command(format!("a client failed: {error}")))?;
        let (player, samples) = played
            .map_err(|error| Error::Command(format!("a client of {} failed: {error}", contestant.name)))?;
        echoes.extend(samples);
        tokio::spawn(player.leave());
    }
    // The rooms end when their last client has left; the next contestant starts on a quiet machine.
    tokio::time::sleep(Duration::from_secs(1)).await;
    echoes.sort_unstable();
    let frames = frames_after - frames_before;
    let cpu = cpu_before.zip(cpu_after).map(|(before, after)| after.saturating_sub(before));
    Ok(Round {
        seconds: took.as_secs_f64(),
        frames,
        cpu_us_per_frame: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / frames.max(1) as f64),
        cpu_share: cpu.map(|cpu| cpu.as_secs_f64() / took.as_secs_f64()),
        echoes: echoes.len(),
        echo_ms_p50: percentile(&echoes, 0.5),
        echo_ms_p99: percentile(&echoes, 0.99),
        echo_ms_p999: percentile(&echoes, 0.999),
    })
}

async fn play(
    mut player: Player,
    shared: Arc<Shared>,
    first: Duration,
    pause: Duration,
) -> std::result::Result<(Player, Vec<Duration>), PlayerError> {
    let mut samples = Vec::new();
    let mut echo = tokio::time::interval_at(tokio::time::Instant::now() + first, pause);
    echo.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = player.next() => match event? {
                Event::Echo { took } => {
                    shared.frames.fetch_add(1, Ordering::Relaxed);
                    if shared.phase.load(Ordering::Relaxed) == MEASURING {
                        samples.push(took);
                    }
                }
                Event::Dropped => return Err(PlayerError::Closed { code: 1006, reason: "in the middle of a round".into() }),
                Event::State { .. } | Event::Other => {
                    shared.frames.fetch_add(1, Ordering::Relaxed);
                }
            },
            _ = echo.tick() => player.echo().await,
        }
        if shared.phase.load(Ordering::Relaxed) == OVER {
            return Ok((player, samples));
        }
    }
}

/// Joins at the same time that wait for their state: a server that restarts meets more.
const JOINS_AT_ONCE: usize = 20;

async fn join_all(contestant: &Contestant, clients: usize) -> Result<Vec<Player>> {
    let mut players = Vec::with_capacity(clients);
    let mut joining = JoinSet::new();
    for _ in 0..clients {
        if joining.len() >= JOINS_AT_ONCE {
            players.extend(joined(&mut joining, contestant).await?);
        }
        let (endpoint, room) = (contestant.endpoint.clone(), contestant.room);
        joining.spawn(async move { Player::join(&endpoint, room).await });
    }
    while !joining.is_empty() {
        players.extend(joined(&mut joining, contestant).await?);
    }
    Ok(players)
}

type Joining = JoinSet<std::result::Result<Player, PlayerError>>;

async fn joined(joining: &mut Joining, contestant: &Contestant) -> Result<Option<Player>> {
    match joining.join_next().await {
        Some(Ok(Ok(player))) => Ok(Some(player)),
        Some(Ok(Err(error))) => Err(Error::Command(format!(
            "a client cannot join {} at {}: {error}",
            contestant.name, contestant.endpoint
        ))),
        Some(Err(error)) => Err(Error::Command(format!("a client failed: {error}"))),
        None => Ok(None),
    }
}

/// How long memory is given to settle before it is read.
const SETTLE: Duration = Duration::from_secs(3);

/// On a server that nobody has used before, so that no memory freed earlier is counted as free.
async fn measure_idle(contestant: &Contestant, task: &BenchTask) -> Result<Option<f64>> {
    let directory = temporary_directory()?;
    let fresh = ServerProcess::start(directory.path(), 0)?;
    let contestant = &Contestant::new(contestant.name, contestant.room, &fresh);
    let pid = contestant.pid;
    // One room's worth first: code paths are warm, threads and pools exist.
    let first = join_all(contestant, crate::arena::SEATS as usize).await?;
    let (mut reading, held) = hold(first);
    tokio::time::sleep(SETTLE).await;
    let before = resident_bytes(pid);
    let (more, held_too) = hold(join_all(contestant, task.idle).await?);
    reading.extend(more);
    tokio::time::sleep(SETTLE).await;
    let after = resident_bytes(pid);
    drop((held, held_too));
    for reader in reading {
        // Ends with the channel it watches.
        drop(reader.await);
    }
    let grown = before.zip(after).map(|(before, after)| after.saturating_sub(before));
    Ok(grown.map(|bytes| bytes as f64 / 1024.0 / task.idle as f64))
}

/// Keeps players in their rooms, reading and saying nothing, until the sender is dropped.
fn hold(players: Vec<Player>) -> (Vec<tokio::task::JoinHandle<()>>, tokio::sync::watch::Sender<()>) {
    let (held, over) = tokio::sync::watch::channel(());
    let read = |mut player: Player| {
        let mut over = over.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    event = player.next() => if event.is_err() { return },
                    _ = over.changed() => return player.leave().await,
                }
            }
        })
    };
    (players.into_iter().map(read).collect(), held)
}

fn report<'a>(contestants: &'a [Contestant], machine: Machine, task: &BenchTask) -> Report<'a> {
    let line = |contestant: &'a Contestant| {
        let figure =
            |of: fn(&Round) -> Option<f64>| Figure::of(contestant.rounds.iter().filter_map(of).collect());
        Line {
            name: contestant.name,
            cpu_us_per_frame: figure(|round| round.cpu_us_per_frame),
            echo_ms_p50: figure(|round| round.echo_ms_p50),
            echo_ms_p99: figure(|round| round.echo_ms_p99),
            echo_ms_p999: figure(|round| round.echo_ms_p999),
            idle_connection_kib: contestant.idle_kib,
            rounds: &contestant.rounds,
        }
    };
    Report {
        machine,
        clients: task.clients,
        round_seconds: task.round.as_secs(),
        echoes_per_second: task.echo_rate,
        contestants: contestants.iter().map(line).collect(),
    }
}

fn show(report: &Report<'_>) -> String {
    let mut header = vec!["median (min .. max)"];
    header.extend(report.contestants.iter().map(|line| line.name));
    let row = |name: &str, cell: &dyn Fn(&Line<'_>) -> String| {
        let cells = report.contestants.iter().map(cell);
        std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>()
    };
    let rows = [
        row("CPU per delivered frame, us", &|line| Figure::show(line.cpu_us_per_frame)),
        row("echo p50, ms", &|line| Figure::show(line.echo_ms_p50)),
        row("echo p99, ms", &|line| Figure::show(line.echo_ms_p99)),
        row("echo p99.9, ms", &|line| Figure::show(line.echo_ms_p999)),
        row("memory per idle connection, KiB", &|line| {
            Figure::show(line.idle_connection_kib.and_then(|kib| Figure::of(vec![kib])))
        }),
    ];
    let rounds = report.contestants.first().map_or(0, |line| line.rounds.len());
    format!(
        "{}\n{} clients, 20 to a room, 20 patches/s each, {} echoes/s; {rounds} rounds of {} s each, in turns\n\n{}",
        report.machine.show(),
        report.clients,
        report.echoes_per_second,
        report.round_seconds,
        table(&header, &rows)
    )
}
