//! `everplay chaos`: a whole region on this machine, everything in it broken in turn, and what its players say.
//!
//! ```text
//! bots --sockets--> balancer --> nodes (this program, `serve`) --> Redis and Sentinels, PostgreSQL and standby
//!   '- Witness, History: nothing that was shown is lost, repeated or contradicted <- journals
//! ```
//!
//! The players are real clients in rooms whose state proves its own history ([`crate::chronicle`]). Pauses are printed
//! beside what is promised; a promise about time that is missed is marked, one about truth ends with exit code 1.
//! Everything runs in a temporary directory on ports of its own, and only processes that were started here are
//! stopped.

mod balancer;
mod bots;
mod child;
mod faults;
mod postgres;
mod redis;
mod region;
mod report;
mod witness;

use crate::bench::write_json;
use crate::cli::{ChaosTask, Fault};
use crate::{Error, Result};
use bots::Bots;
use child::trouble;
use everplay_live::{LiveStore, LoadedRoom};
use everplay_room::{Record, Section, Snapshot};
use everplay_schema::Inspector;
use everplay_types::{CustomerId, RoomId, RoomKey};
use faults::{Rows, Scene, Severity};
use region::Region;
use report::{Report, Scale};
use tokio::runtime::Runtime;
use witness::History;

pub(crate) fn run(task: &ChaosTask) -> Result {
    let runtime = Runtime::new().map_err(Error::system("the runtime cannot be started"))?;
    runtime.block_on(async {
        tokio::select! {
            done = play(task) => done,
            // Dropping the play stops the region.
            _ = tokio::signal::ctrl_c() => Err(trouble("interrupted; the region is stopped")),
        }
    })
}

/// What was seen and checked so far.
#[derive(Default)]
struct Sum {
    frames: u64,
    records: u64,
    violations: Vec<String>,
}

async fn play(task: &ChaosTask) -> Result {
    let mut region = Region::start(task.nodes).await?;
    eprintln!("the region runs at {}, its files are in {}", region.url(), region.path().display());
    let severity = Severity { short: task.short };
    let (mut rows, mut sum) = (Rows::default(), Sum::default());
    let ordinary: Vec<Fault> =
        task.faults.iter().copied().filter(|fault| *fault != Fault::Thousand).collect();
    if !ordinary.is_empty() {
        let bots = faults::players(&region, task.rooms, task.clients).await?;
        eprintln!("{} players in {} rooms", task.clients, task.rooms);
        let mut scene = Scene { region: &mut region, bots: &bots, severity, rows: &mut rows };
        scene.yardstick().await?;
        for fault in ordinary {
            for time in 1..=task.repeat {
                eprintln!("{} {time} of {}", fault.name(), task.repeat);
                scene.suffer(fault).await?;
            }
        }
        check(&region, bots, &mut sum).await;
    }
    if task.faults.contains(&Fault::Thousand) {
        let bots = faults::thousand(&mut region, severity, &mut rows).await?;
        check(&region, bots, &mut sum).await;
    }
    let Sum { frames, records, violations } = sum;
    let scale = Scale { nodes: task.nodes, rooms: task.rooms, clients: task.clients, faults: task.repeat };
    let report = Report::new(scale, rows.into_inner(), frames, records, violations);
    println!("{}", report.show());
    write_json(task.json.as_deref(), &report)?;
    if report.is_clean() {
        return Ok(());
    }
    let files = region.keep_files();
    Err(trouble(format!("the promise was broken; logs and data are in {}", files.display())))
}

/// Ends the game and compares what was shown with the journals.
async fn check(region: &Region, bots: Bots, sum: &mut Sum) {
    let (history, violations, frames) = bots.stop().await;
    sum.frames += frames;
    sum.violations.extend(violations);
    for (room, height) in history.heights() {
        match compare(region.live(), &history, room, height).await {
            Ok(records) => sum.records += records,
            Err(problem) => {
                eprintln!("VIOLATION: {room}: {problem}");
                sum.violations.push(format!("{room}: {problem}"));
            }
        }
    }
}

/// The journal of a room must tell what was shown of it, and not end before. How many steps of it were compared.
async fn compare(live: &dyn LiveStore, history: &History, room: &str, height: u32) -> Result<u64, String> {
    let id = RoomId::new(room).map_err(|error| error.to_string())?;
    let loaded = live.load(RoomKey { customer: CustomerId::default(), room: id }).await;
    let loaded = loaded.map_err(|error| format!("shown up to step {height}, and not readable: {error}"))?;
    let (mut compared, mut end) = (0, 0);
    walk(&loaded, |tick, chain| {
        (compared, end) = (compared + 1, tick);
        history.confirms(room, tick, chain)
    })?;
    if end < height {
        return Err(format!("shown up to step {height}, the journal ends at step {end}"));
    }
    Ok(compared)
}

/// Tells step and chain after each record, from the snapshot to the end.
fn walk(loaded: &LoadedRoom, mut tell: impl FnMut(u32, u64) -> Result<(), String>) -> Result<(), String> {
    let inspect = |state: &[u8]| everplay_schema::inspect(state).map_err(|error| error.to_string());
    let mut state: Option<Inspector> = None;
    if let Some(snapshot) = &loaded.snapshot {
        let decoded = Snapshot::decode(&snapshot.bytes).map_err(|error| error.to_string())?;
        state = Some(inspect(decoded.state)?);
    }
    for entry in &loaded.tail {
        let at = |problem: String| format!("record {}: {problem}", entry.seq);
        let record = Record::decode(&entry.payload).map_err(|error| at(error.to_string()))?;
        for section in record.sections {
            match (section, &mut state) {
                (Section::Born { state: born, .. }, state) => *state = Some(inspect(born).map_err(at)?),
                (Section::State(patch), Some(state)) => {
                    state.apply_journal(patch).map_err(|error| at(error.to_string()))?;
                }
                _ => {}
            }
        }
        if let Some(state) = &state {
            let (tick, chain) = reading(&state.to_json()).ok_or_else(|| at("not a chronicle".to_owned()))?;
            tell(tick, chain).map_err(at)?;
        }
    }
    if let (Some(state), true) = (&state, loaded.tail.is_empty()) {
        let (tick, chain) = reading(&state.to_json()).ok_or("the snapshot is not a chronicle's")?;
        tell(tick, chain)?;
    }
    Ok(())
}

fn reading(state: &serde_json::Value) -> Option<(u32, u64)> {
    let chain = &state["chain"];
    let chain = chain.as_u64().or_else(|| chain.as_str()?.parse().ok())?;
    Some((u32::try_from(state["tick"].as_u64().unwrap_or(0)).ok()?, chain))
}
