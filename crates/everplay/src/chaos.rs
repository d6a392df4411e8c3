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
mod flight;
mod network;
mod page;
mod partition;
mod pilot;
mod postgres;
mod redis;
mod region;
mod report;
mod sdk;
mod stage;
mod witness;

use crate::bench::write_json;
use crate::cli::{ChaosTask, ClusterTask, Fault};
use crate::{Error, Result};
use bots::{Bots, Seen};
use child::trouble;
use everplay_live::{LiveStore, LoadedRoom};
use everplay_room::{Record, Section, Snapshot};
use everplay_schema::Inspector;
use everplay_types::{CustomerId, RoomId, RoomKey};
use faults::{Rows, Scene, Severity};
use flight::Chart;
use network::Network;
use region::Region;
use report::{Report, Scale, Sum};
use serde_json::Value;
use std::path::Path;
use tokio::runtime::Runtime;

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

/// `everplay cluster`: such a region to play with, until Ctrl-C.
pub(crate) fn try_out(task: ClusterTask) -> Result {
    let runtime = Runtime::new().map_err(Error::system("the runtime cannot be started"))?;
    runtime.block_on(async {
        tokio::select! {
            done = stage::run(task) => done,
            // Dropping it stops the region.
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    })
}

async fn play(task: &ChaosTask) -> Result {
    if let Some(result) = &task.inside {
        return partition::inside(task, result).await;
    }
    let mut sum = Sum::default();
    let elsewhere = |fault: &Fault| *fault == Fault::Partition;
    let here: Vec<Fault> = task.faults.iter().copied().filter(|fault| !elsewhere(fault)).collect();
    let mut kept = None;
    if !here.is_empty() {
        let (found, files) = suffer(task, &here, Network::Loopback).await?;
        sum.add(found);
        kept = files;
    }
    if task.faults.iter().any(elsewhere) {
        sum.add(partition::outside(task).await?);
    }
    let scale = Scale {
        nodes: task.nodes,
        rooms: task.rooms,
        clients: task.clients,
        sdk: if sum.sdk_frames > 0 { task.sdk.min(task.clients) } else { 0 },
        arenas: task.arenas,
        faults: task.repeat,
    };
    let report = Report::new(scale, sum);
    println!("{}", report.show());
    write_json(task.json.as_deref(), &report)?;
    if let Some(folder) = &task.report {
        write_report(folder, &report)?;
    }
    if report.is_clean() {
        return Ok(());
    }
    let files = kept.map_or(String::new(), |files| format!("; logs and data are in {files}"));
    Err(trouble(format!("the promise was broken{files}")))
}

fn write_report(folder: &Path, report: &Report) -> Result {
    std::fs::create_dir_all(folder)
        .map_err(|error| trouble(format!("{} cannot be made: {error}", folder.display())))?;
    write_json(Some(&folder.join("report.json")), report)?;
    let file = folder.join("report.html");
    std::fs::write(&file, page::render(report))
        .map_err(|error| trouble(format!("{} cannot be written: {error}", file.display())))?;
    eprintln!("the report is {}", file.display());
    Ok(())
}

/// Starts a region, does all this to it, and compares. What it came to; where its files are, when something was wrong.
async fn suffer(task: &ChaosTask, faults: &[Fault], network: Network) -> Result<(Sum, Option<String>)> {
    let mut region = Region::start(task.nodes, network, Vec::new()).await?;
    eprintln!("the region runs at {}, its files are in {}", region.url(), region.path().display());
    let severity = Severity { short: task.short };
    let (mut rows, mut sum) = (Rows::default(), Sum::default());
    let ordinary: Vec<Fault> = faults.iter().copied().filter(|fault| *fault != Fault::Thousand).collect();
    if !ordinary.is_empty() {
        let (bots, notes) = faults::players(&region, task).await?;
        sum.notes = notes;
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
    if faults.contains(&Fault::Thousand) {
        let bots = faults::thousand(&mut region, severity, &mut rows).await?;
        check(&region, bots, &mut sum).await;
    }
    (sum.rows, sum.pictures) = (rows.rows, rows.pictures);
    let files = (!sum.violations.is_empty()).then(|| region.keep_files().display().to_string());
    Ok((sum, files))
}

/// Ends the game and compares what was shown with the journals.
async fn check(region: &Region, bots: Bots, sum: &mut Sum) {
    let Seen { history, skies, mut flights, violations, frames, sdk_frames } = bots.stop().await;
    sum.frames += frames;
    sum.sdk_frames += sdk_frames;
    sum.violations.extend(violations);
    let mut wrong = |room: &str, problem: String| {
        eprintln!("VIOLATION: {room}: {problem}");
        sum.violations.push(format!("{room}: {problem}"));
    };
    for (room, height) in history.heights() {
        let compared = compare(region.live(), room, height.into(), |state| {
            let (tick, chain) = reading(state).ok_or("not a chronicle")?;
            history.confirms(room, tick, chain)?;
            Ok(tick.into())
        });
        match compared.await {
            Ok(records) => sum.records += records,
            Err(problem) => wrong(room, problem),
        }
    }
    for (room, height) in skies.heights() {
        let compared = compare(region.live(), room, height, |state| {
            let chart = Chart::of(state).ok_or("not an arena")?;
            skies.confirms(room, &chart)?;
            Ok(chart.step)
        });
        match compared.await {
            Ok(records) => flights.compared(records),
            Err(problem) => wrong(room, problem),
        }
    }
    sum.flights.add(&flights);
}

/// The journal of a room must tell what was shown of it, and not end before that step. How many of its records were
/// compared, by a function that answers with the step it was given.
async fn compare(
    live: &dyn LiveStore,
    room: &str,
    height: u64,
    mut confirms: impl FnMut(&Value) -> Result<u64, String>,
) -> Result<u64, String> {
    let id = RoomId::new(room).map_err(|error| error.to_string())?;
    let loaded = live.load(RoomKey { customer: CustomerId::default(), room: id }).await;
    let loaded = loaded.map_err(|error| format!("shown up to step {height}, and not readable: {error}"))?;
    let (mut compared, mut end) = (0, 0);
    walk(&loaded, |state| {
        (compared, end) = (compared + 1, confirms(state)?);
        Ok(())
    })?;
    if end < height {
        return Err(format!("shown up to step {height}, the journal ends at step {end}"));
    }
    Ok(compared)
}

/// Tells the state after each record, from the snapshot to the end.
fn walk(loaded: &LoadedRoom, mut tell: impl FnMut(&Value) -> Result<(), String>) -> Result<(), String> {
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
            tell(&state.to_json()).map_err(at)?;
        }
    }
    if let (Some(state), true) = (&state, loaded.tail.is_empty()) {
        tell(&state.to_json())?;
    }
    Ok(())
}

fn reading(state: &Value) -> Option<(u32, u64)> {
    let chain = &state["chain"];
    let chain = chain.as_u64().or_else(|| chain.as_str()?.parse().ok())?;
    Some((u32::try_from(state["tick"].as_u64().unwrap_or(0)).ok()?, chain))
}
