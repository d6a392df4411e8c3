//! What each subcommand does.

use crate::cli::Task;
use crate::config::{self, Config, Resolved, Source};
use crate::server::{self, Parts, Running};
use crate::{Error, Result, bench, ctl, inspect, logs};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(crate) fn run(task: Task, assemble: impl FnOnce(&Config) -> Result<Parts>) -> Result {
    match task {
        Task::Serve(resolved) => serve(resolved, assemble),
        Task::ShowConfig(resolved) => print(&table(&resolved)),
        Task::ConfigPage => print(&config::markdown()),
        Task::Rooms(resolved) => print(&inspect::rooms(&resolved.config.data_dir)?),
        Task::Inspect { resolved, room } => print(&inspect::room(&resolved.config.data_dir, &room)?),
        #[cfg(feature = "dynamodb")]
        Task::Tables { resolved, check } => {
            let runtime = Runtime::new().map_err(Error::system("the runtime cannot be started"))?;
            print(&runtime.block_on(crate::dynamodb::tables(&resolved.config, check))?)
        }
        #[cfg(not(feature = "dynamodb"))]
        Task::Tables { .. } => Err(Error::Command(
            "this program was built without DynamoDB; build it with the feature `dynamodb` of the crate `everplay`".into(),
        )),
        Task::Ctl(task) => print(&ctl::run(task)?),
        Task::Bench(task) => bench::run(task),
        #[cfg(feature = "cluster")]
        Task::Chaos(task) => crate::chaos::run(&task),
        #[cfg(feature = "cluster")]
        Task::Cluster(task) => crate::chaos::try_out(task),
        #[cfg(not(feature = "cluster"))]
        Task::Chaos(_) | Task::Cluster(_) => Err(Error::Command(
            "this program was built without a cluster; build it with the feature `cluster` of the crate `everplay`"
                .into(),
        )),
    }
}

/// Logs, parts, start, report, wait, drain.
fn serve(resolved: Resolved, assemble: impl FnOnce(&Config) -> Result<Parts>) -> Result {
    start_logs(&resolved)?;
    let config = resolved.config;
    let mut parts = assemble(&config)?;
    let metrics = install_recorder();
    parts.metrics = metrics.clone().map(|metrics| Arc::new(move || metrics.render()) as _);
    let deadline = config.shutdown_deadline;
    let runtime = Runtime::new().map_err(Error::system("the runtime cannot be started"))?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let began = Instant::now();
        let running = tokio::select! {
            running = server::start(config, parts) => running?,
            signal = signals.next() => {
                tracing::info!(signal, "stopped before it was ready");
                return Ok(());
            }
        };
        tokio::spawn(keep_metrics_small(metrics));
        report(&running, began.elapsed())?;
        let signal = signals.next().await;
        tracing::info!(
            signal,
            "stopping: no more joins, rooms become durable, clients are told to come back"
        );
        tokio::spawn(exit_at_second_signal(signals));
        let stopped = running.stop(deadline).await;
        if stopped.rooms_late > 0 || stopped.sockets_late > 0 {
            let (rooms, sockets) = (stopped.rooms_late, stopped.sockets_late);
            tracing::warn!(
                rooms,
                sockets,
                "not everything was done by the deadline; nothing a client saw is lost"
            );
        }
        tracing::info!(rooms = stopped.rooms, "stopped");
        Ok(())
    })
}

fn start_logs(resolved: &Resolved) -> Result {
    let row = resolved.rows.iter().find(|row| row.key == "log");
    let source = row.map_or(Source::Default, |row| row.source.clone());
    Ok(logs::start(&resolved.config, &source)?)
}

/// None when the program installed a recorder of its own.
fn install_recorder() -> Option<PrometheusHandle> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).ok()?;
    everplay_node::describe_metrics();
    #[cfg(feature = "cluster")]
    everplay_link::describe_metrics();
    Some(handle)
}

/// Histograms keep their samples until they are folded in; nobody may ever ask for `/metrics`.
async fn keep_metrics_small(metrics: Option<PrometheusHandle>) {
    let Some(metrics) = metrics else { return };
    let mut every = tokio::time::interval(Duration::from_secs(5));
    loop {
        every.tick().await;
        metrics.run_upkeep();
    }
}

fn report(running: &Running, took: Duration) -> Result {
    let restored = running.restored();
    let mut lines = format!("Everplay is ready: http://{}\n", running.address());
    match restored.rooms {
        0 => {}
        1 => lines.push_str("1 room came back.\n"),
        rooms => lines.push_str(&format!("{rooms} rooms came back.\n")),
    }
    for (room, reason) in &restored.quarantined {
        lines.push_str(&format!("Room {room} is quarantined: {reason}\n"));
    }
    for (room, reason) in &restored.stranded {
        lines.push_str(&format!("Room {room} did not come back and was left as it is: {reason}\n"));
    }
    let (rooms, quarantined, stranded) =
        (restored.rooms, restored.quarantined.len(), restored.stranded.len());
    let duration_ms = took.as_millis() as u64;
    tracing::info!(address = %running.address(), rooms, quarantined, stranded, duration_ms, "ready");
    print(&lines)
}

/// Prints a text; whoever stopped reading it does not make the program fail.
fn print(text: &str) -> Result {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::System { what: "standard output cannot be written to", source: error })
        }
        _ => Ok(()),
    }
}

fn table(resolved: &Resolved) -> String {
    let rows = &resolved.rows;
    let width = |of: fn(&config::Row) -> usize| rows.iter().map(of).max().unwrap_or(0);
    let (keys, values) = (width(|row| row.key.len()), width(|row| row.value.chars().count()));
    let line = |row: &config::Row| format!("{:keys$}  {:values$}  {}\n", row.key, row.value, row.source);
    rows.iter().map(line).collect()
}

/// The signals that ask a server to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(Error::system("signals cannot be listened for"));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// The next one's number.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
        }
    }
}

/// Whoever asks twice does not want to wait: 128 and the signal's number, as a shell would see it.
async fn exit_at_second_signal(mut signals: Signals) {
    let signal = signals.next().await;
    tracing::warn!(signal, "stopped at once; clients come back when a server runs again");
    std::process::exit(128 + signal);
}
