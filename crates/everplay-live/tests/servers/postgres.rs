//! PostgreSQL servers, alone or with a synchronous standby.

use super::{Process, find, free_port, wait_until};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const INSTALL: &str = "apt-get install postgresql, or put the programs of PostgreSQL 14 or later on the PATH";

/// Debian keeps the programs of each release in a folder of its own.
fn program(name: &str) -> PathBuf {
    let mut releases: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|folders| folders.filter_map(|folder| Some(folder.ok()?.path().join("bin"))).collect())
        .unwrap_or_default();
    releases.sort();
    releases.reverse();
    // Debian's folders first: what is on the PATH there are wrappers that look for a cluster of the system.
    let own = releases.iter().map(|folder| folder.join(name)).find(|file| file.is_file());
    own.unwrap_or_else(|| find(name, &[], INSTALL))
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("`id` is on every system");
    id.stdout == b"0\n"
}

/// PostgreSQL refuses to run as root, so root starts it as `postgres`.
fn command(name: &str) -> Command {
    if !is_root() {
        return Command::new(program(name));
    }
    let mut command = Command::new(find("setpriv", &[], "apt-get install util-linux"));
    command.args(["--reuid", "postgres", "--regid", "postgres", "--init-groups"]).arg(program(name));
    command
}

fn run(mut command: Command) {
    let output = command.current_dir("/").output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// One server with its own data.
#[derive(Debug)]
pub struct Postgres {
    pub port: u16,
    folder: TempDir,
    process: Process,
}

impl Postgres {
    pub fn start() -> Postgres {
        let folder = folder();
        let mut initdb = command("initdb");
        initdb.args(["--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "-D"]);
        initdb.arg(data(folder.path()));
        run(initdb);
        Postgres::serve(folder)
    }

    fn serve(folder: TempDir) -> Postgres {
        for _ in 0..5 {
            let port = free_port();
            let mut process = launch(port, folder.path());
            let mut ready = false;
            wait_until("PostgreSQL answers", || {
                ready = answers(port);
                ready || process.has_ended()
            });
            if ready {
                return Postgres { port, folder, process };
            }
        }
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        panic!("PostgreSQL does not start; its log: {log}");
    }

    /// A standby of this server that confirms each commit, under the name `standby`.
    pub fn synchronous_standby(&self) -> Postgres {
        let folder = folder();
        let mut backup = command("pg_basebackup");
        backup.args([
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
            "-U",
            "postgres",
            "-R",
            "-X",
            "stream",
        ]);
        backup.args(["-c", "fast", "--no-sync", "-D"]).arg(data(folder.path()));
        backup.args(["-d", "application_name=standby"]);
        run(backup);
        let standby = Postgres::serve(folder);
        self.execute("alter system set synchronous_standby_names = 'standby'");
        self.execute("select pg_reload_conf()");
        wait_until("the standby confirms", || {
            self.query("select count(*) from pg_stat_replication where sync_state = 'sync'") == "1"
        });
        standby
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    /// SIGKILL of the server and its children, which would serve their connections for a moment longer.
    pub fn kill(&mut self) {
        let parent = self.process.pid().to_string();
        let children = Command::new("ps").args(["-o", "pid=", "--ppid", &parent]).output().unwrap();
        self.process.kill();
        String::from_utf8_lossy(&children.stdout).split_whitespace().for_each(|pid| signal("-KILL", pid));
    }

    /// Starts it again on its port and data.
    pub fn restart(&mut self) {
        self.process.kill();
        // The children of the killed server hold its memory until they notice.
        wait_until("PostgreSQL answers again", || {
            self.process = launch(self.port, self.folder.path());
            let mut ready = false;
            wait_until("PostgreSQL answers or ends", || {
                ready = answers(self.port);
                ready || self.process.has_ended()
            });
            ready
        });
    }

    /// SIGSTOP of the processes that receive the primary's log; the others follow the primary's connections.
    pub fn freeze_receiver(&self) -> Receiver {
        let pid = self.query("select pid from pg_stat_wal_receiver");
        signal("-STOP", &pid);
        Receiver(pid)
    }

    pub fn execute(&self, sql: &str) {
        self.query(sql);
    }

    /// The one value of a query, as text.
    pub fn query(&self, sql: &str) -> String {
        let mut psql = command("psql");
        psql.args([
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
            "-U",
            "postgres",
            "-X",
            "-A",
            "-t",
            "-q",
            "-c",
            sql,
        ]);
        // Tests weaken the role; the one that looks is not to be weakened.
        psql.env("PGOPTIONS", "-c statement_timeout=0");
        let output = psql.current_dir("/").output().unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

/// A frozen process, thawed when dropped.
#[derive(Debug)]
pub struct Receiver(String);

impl Drop for Receiver {
    fn drop(&mut self) {
        signal("-CONT", &self.0);
    }
}

fn signal(signal: &str, pid: &str) {
    // It may be gone by the time it is thawed.
    let _ = Command::new("kill").args([signal, pid]).status();
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    if is_root() {
        let mut chown = Command::new("chown");
        chown.arg("postgres:postgres").arg(folder.path());
        run(chown);
    }
    folder
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn launch(port: u16, folder: &Path) -> Process {
    let mut server = command("postgres");
    server.arg("-D").arg(data(folder)).args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k"]).arg(folder);
    for setting in
        ["wal_level=replica", "max_connections=60", "shared_buffers=16MB", "wal_receiver_status_interval=1s"]
    {
        server.args(["-c", setting]);
    }
    server.current_dir("/");
    Process::start(&mut server, &folder.join("log"))
}

fn answers(port: u16) -> bool {
    if TcpStream::connect(("127.0.0.1", port)).is_err() {
        return false;
    }
    let mut ready = command("pg_isready");
    ready.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
    ready.current_dir("/").status().is_ok_and(|status| status.success())
}
