//! A Redis of three servers that three Sentinels watch.
//!
//! Two replicas and not one: with a single one nothing could be confirmed after a failover, until the lost server was
//! replaced.

use super::child::{Process, find, free_port, trouble, wait_until};
use crate::Result;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const INSTALL: &str = "apt-get install redis-server, or put Redis 7 or Valkey on the PATH as redis-server";

/// What the Sentinels call the group.
const GROUP: &str = "region";

/// Servers that follow each other, and their Sentinels.
#[derive(Debug)]
pub(super) struct Watched {
    host: IpAddr,
    directory: PathBuf,
    servers: Vec<Server>,
    sentinels: Vec<Server>,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    process: Process,
}

impl Watched {
    pub(super) fn start(host: IpAddr, directory: &Path) -> Result<Watched> {
        let free = || Ok::<_, crate::Error>(SocketAddr::new(host, free_port()?));
        let mut servers = vec![serve(directory, free()?, None)?];
        for _ in 0..2 {
            let primary = servers[0].address;
            servers.push(serve(directory, free()?, Some(primary))?);
        }
        let primary = servers[0].address;
        wait_until("Redis sees its replicas", || {
            ask(primary, &["INFO", "replication"])
                .is_some_and(|info| info.matches("state=online").count() == 2)
        })?;
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            sentinels.push(watch(directory, free()?, primary)?);
        }
        let watched = Watched { host, directory: directory.to_owned(), servers, sentinels };
        watched.settle()?;
        Ok(watched)
    }

    pub(super) fn url(&self) -> String {
        let hosts: Vec<String> = self.sentinels.iter().map(|sentinel| sentinel.address.to_string()).collect();
        format!("redis+sentinel://{}/{GROUP}", hosts.join(","))
    }

    /// Waits until every Sentinel knows two replicas that can be elected, and the other Sentinels.
    pub(super) fn settle(&self) -> Result {
        wait_until("the Sentinels know everybody", || {
            self.sentinels.iter().all(|sentinel| {
                let primary = ask(sentinel.address, &["SENTINEL", "MASTER", GROUP]).unwrap_or_default();
                let replicas = ask(sentinel.address, &["SENTINEL", "REPLICAS", GROUP]).unwrap_or_default();
                primary.contains("num-other-sentinels\n2\n")
                    && primary.contains("flags\nmaster\n")
                    && replicas.matches("master-link-status\nok\n").count() == 2
                    && replicas.matches("flags\nslave\n").count() == 2
            })
        })
    }

    /// Takes the links to the replicas away, gives the nodes time to write what no replica will have, kills the
    /// primary, and lets the replicas go on.
    pub(super) fn kill_primary_cut_off(&mut self, cut: Duration) -> Result {
        let primary = self.primary()?;
        for replica in self.servers.iter().filter(|server| server.address != primary) {
            replica.process.signal("STOP")?;
        }
        std::thread::sleep(cut);
        self.kill_primary()?;
        for replica in self.servers.iter().filter(|server| server.address != primary) {
            replica.process.signal("CONT")?;
        }
        Ok(())
    }

    /// SIGKILL of the primary.
    pub(super) fn kill_primary(&mut self) -> Result {
        let primary = self.primary()?;
        let killed = self.servers.iter_mut().find(|server| server.address == primary);
        killed.ok_or_else(|| trouble("the Sentinels name a primary that is not ours"))?.process.kill();
        Ok(())
    }

    /// SIGKILL of a replica; one is left, which confirms.
    pub(super) fn kill_replica(&mut self) -> Result {
        let primary = self.primary()?;
        let replica = self.servers.iter_mut().find(|server| server.address != primary);
        replica.ok_or_else(|| trouble("there is no replica"))?.process.kill();
        Ok(())
    }

    /// Starts servers that ended again, as replicas of the present primary, and waits until all is as before.
    pub(super) fn mend(&mut self) -> Result {
        for n in 0..self.servers.len() {
            if self.servers[n].process.has_ended() {
                let address = self.servers[n].address;
                let primary = self.elected(address)?;
                self.servers[n] = serve(&self.directory, address, Some(primary))?;
            }
        }
        self.settle()
    }

    /// The primary, once it is not the one that was lost.
    fn elected(&self, lost: SocketAddr) -> Result<SocketAddr> {
        let mut elected = None;
        wait_until("the Sentinels elect a primary", || {
            elected = self.primary().ok().filter(|primary| *primary != lost);
            elected.is_some()
        })?;
        elected.ok_or_else(|| trouble("no primary"))
    }

    fn primary(&self) -> Result<SocketAddr> {
        let named = ask(self.sentinels[0].address, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP]);
        let port = named.as_deref().and_then(|named| named.lines().nth(1)?.parse().ok());
        let port: Option<u16> = port;
        port.map(|port| SocketAddr::new(self.host, port))
            .ok_or_else(|| trouble("the Sentinel names no primary"))
    }
}

fn serve(directory: &Path, address: SocketAddr, follows: Option<SocketAddr>) -> Result<Server> {
    let port = address.port();
    let data = directory.join(format!("redis-{port}"));
    std::fs::create_dir_all(&data).map_err(|error| trouble(format!("{}: {error}", data.display())))?;
    let mut command = Command::new(find("redis-server", INSTALL)?);
    command.args([
        "--port",
        &port.to_string(),
        "--bind",
        &address.ip().to_string(),
        "--protected-mode",
        "no",
    ]);
    command.args(["--save", "", "--appendonly", "yes"]);
    command.args(["--maxmemory-policy", "noeviction", "--repl-diskless-sync-delay", "0", "--dir"]).arg(&data);
    if let Some(primary) = follows {
        command.args(["--replicaof", &primary.ip().to_string(), &primary.port().to_string()]);
    }
    let mut process =
        Process::start("redis-server", &mut command, &directory.join(format!("redis-{port}.log")))?;
    let id = process.id().to_string();
    process.wait_until("it answered", || {
        let info = ask(address, &["INFO", "everything"]).unwrap_or_default();
        info.contains(&format!("process_id:{id}\r")) && info.contains("loading:0\r")
    })?;
    Ok(Server { address, process })
}

fn watch(directory: &Path, address: SocketAddr, primary: SocketAddr) -> Result<Server> {
    let (port, host) = (address.port(), address.ip());
    let file = directory.join(format!("sentinel-{port}.conf"));
    let text = format!(
        "port {port}\nbind {host}\nprotected-mode no\ndir {}\nsentinel monitor {GROUP} {} {} 2\n\
         sentinel down-after-milliseconds {GROUP} 500\nsentinel failover-timeout {GROUP} 3000\n",
        directory.display(),
        primary.ip(),
        primary.port()
    );
    std::fs::write(&file, text).map_err(|error| trouble(format!("{}: {error}", file.display())))?;
    let mut command = Command::new(find("redis-server", INSTALL)?);
    command.arg(&file).arg("--sentinel");
    let log = directory.join(format!("sentinel-{port}.log"));
    let mut process = Process::start("redis-sentinel", &mut command, &log)?;
    process.wait_until("it answered", || ask(address, &["PING"]).is_some())?;
    Ok(Server { address, process })
}

/// Sends one command and reads its answer, lines joined; `None` when there is none, or an error.
fn ask(address: SocketAddr, words: &[&str]) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
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
            Some(parts?.join("\n") + "\n")
        }
        _ => None,
    }
}
