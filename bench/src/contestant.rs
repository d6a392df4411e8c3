//! Who is measured: servers started one at a time, each a process of its own on a core of its own, killed when dropped.

use crate::machine;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Who {
    /// Everplay as it is by default: nothing leaves before it is durable.
    Confirmed,
    /// Everplay without a journal, which is what all others do.
    Ephemeral,
    /// Colyseus on its fastest transport.
    Uws,
    /// Colyseus on its default transport.
    Ws,
    /// One write per client.
    Floor,
}

impl Who {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Who::Confirmed => "Everplay",
            Who::Ephemeral => "Everplay, Ephemeral",
            Who::Uws => "Colyseus, uWebSockets",
            Who::Ws => "Colyseus, ws",
            Who::Floor => "floor",
        }
    }

    /// The name under which this contestant has a room kind.
    pub(crate) fn kind(self, base: &str) -> String {
        if self == Who::Ephemeral { format!("{base}_ephemeral") } else { base.to_owned() }
    }

    pub(crate) fn is_colyseus(self) -> bool {
        matches!(self, Who::Uws | Who::Ws)
    }
}

/// Where things are, and who runs on which core.
pub(crate) struct Lab {
    /// The folder of this program and its siblings.
    programs: PathBuf,
    /// `bench/colyseus`, with its packages installed.
    colyseus: PathBuf,
    /// The core of the server and those of the driver; None: there is one core, or no way to choose.
    pins: Option<(String, String)>,
}

impl Lab {
    /// Finds the programs and binds this process to the driver's cores.
    pub(crate) fn new(colyseus: &Path) -> Result<Self> {
        let own = std::env::current_exe().context("this program cannot be found")?;
        let programs = own.parent().context("a program lies in a folder")?.to_owned();
        for sibling in ["everplay-bench-server", "everplay-bench-floor"] {
            if !programs.join(sibling).is_file() {
                bail!("{sibling} was not built: cargo build --profile measure -p everplay-bench");
            }
        }
        if !colyseus.join("node_modules/@colyseus/core").is_dir() {
            bail!("the official server is not installed: npm ci in {}", colyseus.display());
        }
        let cores = machine::cores();
        let others = if cores > 2 { format!("1-{}", cores - 1) } else { "1".to_owned() };
        let pins = (cores > 1 && machine::pin_self(&others)).then(|| ("0".to_owned(), others));
        Ok(Lab { programs, colyseus: colyseus.to_owned(), pins })
    }

    /// How the cores are shared, for the reader of the figures.
    pub(crate) fn show_pins(&self) -> String {
        match &self.pins {
            Some((server, driver)) => format!("servers on core {server}, driver on core {driver}"),
            None => "servers and driver share all cores".to_owned(),
        }
    }

    /// The packages of the official server with their versions, and what runs them.
    pub(crate) fn versions(&self) -> Result<String> {
        let text = std::fs::read_to_string(self.colyseus.join("package.json"))?;
        let manifest: Value = serde_json::from_str(&text)?;
        let packages = manifest["dependencies"].as_object().context("package.json has dependencies")?;
        let shown =
            packages.iter().filter(|(name, _)| name.starts_with("@colyseus/") || *name == "uWebSockets.js");
        let shown: Vec<String> =
            shown.map(|(name, version)| format!("{name} {}", version.as_str().unwrap_or("?"))).collect();
        let node = std::process::Command::new("node").arg("--version").output().context("node is missing")?;
        let node = String::from_utf8_lossy(&node.stdout).trim().to_owned();
        Ok(format!("everplay {}, Node {node}, {}", env!("CARGO_PKG_VERSION"), shown.join(", ")))
    }

    /// A command whose program runs on the server's core.
    pub(crate) fn on_server_core(&self, program: &Path) -> Command {
        match &self.pins {
            Some((core, _)) => {
                let mut command = Command::new("taskset");
                command.args(["-c", core]).arg(program);
                command
            }
            None => Command::new(program),
        }
    }

    pub(crate) fn colyseus(&self) -> &Path {
        &self.colyseus
    }

    /// Starts a server and waits until it says that it is ready. `data` is where ours keeps its rooms; `frame_bytes` is what
    /// the floor sends.
    pub(crate) async fn start(&self, who: Who, data: &Path, frame_bytes: usize) -> Result<Server> {
        let mut command = match who {
            Who::Confirmed | Who::Ephemeral => {
                let mut command = self.on_server_core(&self.programs.join("everplay-bench-server"));
                command.args(["serve", "--bench-rooms", "--host", "127.0.0.1", "--port", "0"]);
                // All players of a measurement come from one address.
                command.args(["--rate-matchmake", "1000000", "--rate-burst", "1000000"]);
                command
                    .args(["--log", "error", "--log-format=human", "--max-rooms", "20000", "--data-dir"])
                    .arg(data);
                command
            }
            Who::Uws | Who::Ws => {
                let mut command = self.on_server_core(Path::new("node"));
                let transport = if who == Who::Uws { "uws" } else { "ws" };
                let port = free_port()?.to_string();
                command.args(["--expose-gc", "server.mjs", "--transport", transport, "--port", &port]);
                command.current_dir(&self.colyseus);
                command
            }
            Who::Floor => {
                let mut command = self.on_server_core(&self.programs.join("everplay-bench-floor"));
                command.args(["--frame-bytes", &frame_bytes.to_string()]);
                command
            }
        };
        // What an operator set for a real server is not about this one.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("EVERPLAY_") || name == "PORT" {
                command.env_remove(name);
            }
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} does not start", who.name()))?;
        let stdout = child.stdout.take().context("its output was asked for")?;
        let pid = child.id().context("it has just been started")?;
        let mut lines = BufReader::new(stdout).lines();
        let listening = async {
            while let Some(line) = lines.next_line().await? {
                let address = line.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next());
                if let Some(address) = address {
                    return address.parse().with_context(|| format!("no address in: {line}"));
                }
            }
            bail!("{} ended before it was ready", who.name())
        };
        let address = tokio::time::timeout(Duration::from_secs(120), listening)
            .await
            .with_context(|| format!("{} was not ready in time", who.name()))??;
        // Nobody must wait for a reader of its output.
        tokio::task::spawn_local(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Server { child, pid, address, who })
    }
}

/// A port that was free a moment ago, for servers that cannot say which they took.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) pid: u32,
    pub(crate) address: SocketAddr,
    who: Who,
}

impl Server {
    /// SIGKILL, and waits until it is gone.
    pub(crate) async fn kill(mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("{} cannot be killed", self.who.name()))
    }

    /// Resident bytes.
    pub(crate) fn memory(&self) -> u64 {
        machine::resident_bytes(self.pid)
    }

    /// Resident bytes after garbage was collected, where the language has such a thing.
    pub(crate) async fn memory_needed(&self) -> Result<u64> {
        if self.who.is_colyseus() {
            let asked = Command::new("kill").args(["-USR2", &self.pid.to_string()]).status().await?;
            anyhow::ensure!(asked.success(), "{} cannot be asked to collect its garbage", self.who.name());
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        Ok(self.memory())
    }
}
