//! Redis servers, Sentinels and Clusters.

use super::{Process, find, free_port, wait_until};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const INSTALL: &str = "apt-get install redis-server redis-sentinel, or put Redis 7 or later on the PATH";

fn binary() -> PathBuf {
    find("redis-server", &[], INSTALL)
}

/// One redis-server.
#[derive(Debug)]
pub struct Redis {
    pub port: u16,
    arguments: Vec<String>,
    folder: TempDir,
    process: Process,
}

impl Redis {
    /// Starts one with the append-only file on and these further settings.
    pub fn start(settings: &[&str]) -> Redis {
        let folder = tempfile::tempdir().unwrap();
        let arguments: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        // The port may be lost between looking and binding.
        for _ in 0..5 {
            let port = free_port();
            let mut process = launch(port, folder.path(), &arguments);
            let mut ready = false;
            wait_until("redis-server answers", || {
                ready = answers(port, process.pid());
                ready || process.has_ended()
            });
            if ready {
                return Redis { port, arguments, folder, process };
            }
        }
        panic!("redis-server does not start; its log: {}", log(folder.path()));
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// SIGSTOP: connections stay, nothing is answered.
    pub fn freeze(&self) {
        self.process.signal("-STOP");
    }

    pub fn thaw(&self) {
        self.process.signal("-CONT");
    }

    /// Starts it again as a primary on its port and data.
    pub fn restart_as_primary(&mut self) {
        self.arguments.clear();
        self.restart();
    }

    /// Starts it again on its port and data.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = launch(self.port, self.folder.path(), &self.arguments);
        wait_until("redis-server answers again", || answers(self.port, self.process.pid()));
    }

    /// One command on a connection of its own; the answer's text, lines joined.
    pub fn command(&self, words: &[&str]) -> String {
        command(self.port, words)
            .unwrap_or_else(|| panic!("no answer to {words:?}; log: {}", log(self.folder.path())))
    }

    /// A field of INFO.
    pub fn info(&self, field: &str) -> String {
        info(self.port, field).unwrap_or_default()
    }
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap_or_default()
}

fn launch(port: u16, folder: &Path, settings: &[String]) -> Process {
    let mut command = Command::new(binary());
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(folder);
    command.args(["--save", "", "--repl-diskless-sync-delay", "0", "--maxmemory-policy", "noeviction"]);
    if !settings.iter().any(|setting| setting == "--appendonly") {
        command.args(["--appendonly", "yes"]);
    }
    command.args(settings);
    Process::start(&mut command, &folder.join("log"))
}

/// Is it this very process that answers, and is its data loaded?
fn answers(port: u16, pid: u32) -> bool {
    info(port, "process_id").is_some_and(|found| found == pid.to_string())
        && info(port, "loading").is_some_and(|loading| loading == "0")
}

fn info(port: u16, field: &str) -> Option<String> {
    let text = command(port, &["INFO", "everything"])?;
    text.lines().find_map(|line| line.trim_end().strip_prefix(field)?.strip_prefix(':').map(str::to_owned))
}

/// Sends a command and reads one answer; `None` when nobody answers, or an error does.
pub fn command(port: u16, words: &[&str]) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut out = format!("*{}\r\n", words.len());
    for word in words {
        out += &format!("${}\r\n{word}\r\n", word.len());
    }
    stream.write_all(out.as_bytes()).ok()?;
    answer(&mut BufReader::new(stream))
}

fn answer(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let (kind, rest) = line.trim_end().split_at_checked(1)?;
    match kind {
        "+" | ":" => Some(rest.to_owned()),
        "$" => {
            let Ok(length) = rest.parse::<usize>() else { return Some(String::new()) };
            let mut bytes = vec![0; length + 2];
            stream.read_exact(&mut bytes).ok()?;
            bytes.truncate(length);
            Some(String::from_utf8_lossy(&bytes).into_owned())
        }
        "*" => {
            let count: usize = rest.parse().unwrap_or(0);
            let parts: Option<Vec<String>> = (0..count).map(|_| answer(stream)).collect();
            Some(parts?.join("\n"))
        }
        _ => None,
    }
}

/// A primary, two replicas and three Sentinels that watch them as `game`.
#[derive(Debug)]
pub struct Watched {
    pub servers: Vec<Redis>,
    pub sentinels: Vec<Redis>,
}

impl Watched {
    pub fn start() -> Watched {
        let primary = Redis::start(&[]);
        let port = primary.port.to_string();
        let mut servers = vec![primary];
        for _ in 0..2 {
            servers.push(Redis::start(&["--replicaof", "127.0.0.1", &port]));
        }
        wait_until("the primary sees its replicas", || {
            servers[0].command(&["INFO"]).matches("state=online").count() == 2
        });
        let sentinels: Vec<Redis> = (0..3).map(|_| sentinel(&port)).collect();
        wait_until("the Sentinels know each other and the replicas", || {
            sentinels.iter().all(|sentinel| {
                let status = sentinel.command(&["SENTINEL", "MASTER", "game"]);
                status.contains("num-slaves\n2\n") && status.contains("num-other-sentinels\n2\n")
            })
        });
        Watched { servers, sentinels }
    }

    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.sentinels.iter().map(Redis::address).collect();
        format!("redis+sentinel://{}/game", hosts.join(","))
    }
}

fn sentinel(primary: &str) -> Redis {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        let port = free_port();
        let config = folder.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor game 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds game 500\nsentinel failover-timeout game 3000\n",
            folder.path().display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(binary());
        command.arg(&config).arg("--sentinel");
        let mut process = Process::start(&mut command, &folder.path().join("log"));
        let mut ready = false;
        wait_until("the Sentinel answers", || {
            ready = info(port, "process_id").is_some_and(|found| found == process.pid().to_string());
            ready || process.has_ended()
        });
        if ready {
            return Redis { port, arguments: Vec::new(), folder, process };
        }
    }
    panic!("the Sentinel does not start; its log: {}", log(folder.path()));
}

/// A Cluster of three primaries without replicas.
#[derive(Debug)]
pub struct Cluster {
    pub servers: Vec<Redis>,
}

impl Cluster {
    pub fn start() -> Cluster {
        // The bus gets a port of its own instead of one 10,000 higher, which may not exist.
        let servers: Vec<Redis> = (0..3)
            .map(|_| {
                let bus = free_port().to_string();
                let settings =
                    ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "2000"];
                Redis::start(&settings)
            })
            .collect();
        for (n, server) in servers.iter().enumerate() {
            let (first, last) = (n * 16384 / 3, (n + 1) * 16384 / 3 - 1);
            server.command(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
            server.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()]);
        }
        for server in &servers[1..] {
            let bus = &server.arguments[3];
            servers[0].command(&["CLUSTER", "MEET", "127.0.0.1", &server.port.to_string(), bus]);
        }
        wait_until("the Cluster is complete", || {
            servers.iter().all(|server| {
                let info = server.command(&["CLUSTER", "INFO"]);
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            })
        });
        Cluster { servers }
    }

    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.servers.iter().map(Redis::address).collect();
        format!("redis://{}", hosts.join(","))
    }
}
