//! Ministack (PyPI), a server that speaks DynamoDB and keeps its tables in memory.

use super::{Process, find, free_port};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running server.
#[derive(Debug)]
pub struct DynamoDb {
    pub process: Process,
    pub port: u16,
    /// Holds its log.
    _dir: TempDir,
}

impl DynamoDb {
    /// Starts one and waits until it takes connections. `MINISTACK` is the program; by default the one on the path.
    pub fn start() -> DynamoDb {
        Self::on(free_port())
    }

    /// The same on a port that was used before.
    pub fn on(port: u16) -> DynamoDb {
        let named = std::env::var_os("MINISTACK").map(PathBuf::from);
        let program = named.unwrap_or_else(|| {
            find("ministack", &[], "pip install ministack cryptography, or set MINISTACK to the program")
        });
        let dir = TempDir::new().unwrap();
        let mut command = Command::new(program);
        command.env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", port.to_string()).current_dir(dir.path());
        let process = Process::start(&mut command, &dir.path().join("log"));
        let server = DynamoDb { process, port, _dir: dir };
        server.ready();
        server
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A Python program takes longer than the other stores to come up, above all on a machine that is busy.
    fn ready(&self) {
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "ministack does not come up");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
