//! A PostgreSQL whose commits a standby confirms.

use super::child::{Process, find, free_port, run, trouble};
use crate::Result;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const INSTALL: &str = "apt-get install postgresql, or put the programs of PostgreSQL 14 or later on the PATH";

/// A primary and its standby.
#[derive(Debug)]
pub(super) struct Replicated {
    primary: Server,
    /// Only has to be there.
    _standby: Server,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    directory: PathBuf,
    process: Process,
}

impl Replicated {
    pub(super) fn start(host: IpAddr, directory: &Path) -> Result<Replicated> {
        let first = directory.join("postgres-1");
        let second = directory.join("postgres-2");
        for data in [&first, &second] {
            std::fs::create_dir(data).map_err(|error| trouble(format!("{}: {error}", data.display())))?;
            if is_root() {
                let mut chown = Command::new("chown");
                run(chown.arg("postgres:postgres").arg(data))?;
            }
        }
        let mut initdb = program("initdb")?;
        initdb.args(["--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "-D"]);
        run(initdb.arg(first.join("data")))?;
        let file = first.join("data/pg_hba.conf");
        let hosts = format!("{host}/24 trust");
        let rules = format!("local all all trust\nhost all all {hosts}\nhost replication all {hosts}\n");
        std::fs::write(&file, rules).map_err(|error| trouble(format!("{}: {error}", file.display())))?;
        let primary = serve(host, first)?;
        let mut backup = program("pg_basebackup")?;
        backup.args([
            "-h",
            &host.to_string(),
            "-p",
            &primary.address.port().to_string(),
            "-U",
            "postgres",
            "-R",
            "-X",
            "stream",
        ]);
        backup.args(["-c", "fast", "--no-sync", "-d", "application_name=standby", "-D"]);
        run(backup.arg(second.join("data")))?;
        let standby = serve(host, second)?;
        let mut replicated = Replicated { primary, _standby: standby };
        replicated.query("alter system set synchronous_standby_names = 'standby'")?;
        replicated.query("select pg_reload_conf()")?;
        let primary = replicated.primary.address;
        replicated.primary.process.wait_until("the standby confirmed", || {
            let count = "select count(*) from pg_stat_replication where sync_state = 'sync'";
            query(primary, count).is_ok_and(|count| count == "1")
        })?;
        Ok(replicated)
    }

    pub(super) fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres?sslmode=disable", self.primary.address)
    }

    /// Ends the primary at once, without a word to anybody it serves.
    pub(super) fn fail(&mut self) -> Result {
        // As a crash to its clients and its data; SIGKILL would leave its children running for a moment.
        self.primary.process.signal("QUIT")?;
        let process = &mut self.primary.process;
        super::child::wait_until("PostgreSQL is gone", || process.has_ended())
    }

    /// Starts the primary again on its data.
    pub(super) fn mend(&mut self) -> Result {
        self.primary.process = launch(self.primary.address, &self.primary.directory)?;
        Ok(())
    }

    fn query(&self, sql: &str) -> Result<String> {
        query(self.primary.address, sql)
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n")
}

/// One of PostgreSQL's programs. It refuses to run as root, so root runs it as `postgres`.
fn program(name: &str) -> Result<Command> {
    // Debian keeps the programs of each release in a folder of its own; what is on the PATH there are wrappers.
    let mut releases: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|folders| {
            folders.filter_map(|folder| Some(folder.ok()?.path().join("bin").join(name))).collect()
        })
        .unwrap_or_default();
    releases.sort();
    let file = match releases.into_iter().rev().find(|file| file.is_file()) {
        Some(file) => file,
        None => find(name, INSTALL)?,
    };
    if !is_root() {
        return Ok(Command::new(file));
    }
    let mut command = Command::new(find("setpriv", "apt-get install util-linux")?);
    command.args(["--reuid", "postgres", "--regid", "postgres", "--init-groups"]).arg(file);
    Ok(command)
}

fn serve(host: IpAddr, directory: PathBuf) -> Result<Server> {
    let address = SocketAddr::new(host, free_port()?);
    let process = launch(address, &directory)?;
    Ok(Server { address, directory, process })
}

fn launch(address: SocketAddr, directory: &Path) -> Result<Process> {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let mut server = program("postgres")?;
    server.arg("-D").arg(directory.join("data")).args(["-p", &port, "-h", &host, "-k"]);
    server.arg(directory).args(["-c", "wal_level=replica", "-c", "max_connections=80"]);
    server.args(["-c", "shared_buffers=16MB"]).current_dir("/");
    let mut process = Process::start("postgres", &mut server, &directory.with_extension("log"))?;
    let mut ready = program("pg_isready")?;
    ready.args(["-q", "-h", &host, "-p", &port]).current_dir("/");
    process.wait_until("it took connections", || {
        TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok()
            && ready.status().is_ok_and(|status| status.success())
    })?;
    Ok(process)
}

/// The one value of a query, as text.
fn query(address: SocketAddr, sql: &str) -> Result<String> {
    let mut psql = program("psql")?;
    psql.args([
        "-h",
        &address.ip().to_string(),
        "-p",
        &address.port().to_string(),
        "-U",
        "postgres",
        "-X",
        "-A",
        "-t",
        "-q",
        "-c",
        sql,
    ]);
    let output = psql.current_dir("/").output().map_err(|error| trouble(format!("psql: {error}")))?;
    if !output.status.success() {
        return Err(trouble(format!("{sql}: {}", String::from_utf8_lossy(&output.stderr).trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
