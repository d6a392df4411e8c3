//! What a connection costs: resident memory while idle, and CPU per delivered frame.
//!
//! `cargo run --profile measure -p everplay-gateway --example load -- [connections]`
//!
//! The clients live in a second process (this program, started again), so that only the gateway's own memory and time
//! are counted. Rooms do nothing but hold an outbox: what is measured is the gateway's share, kernel time included.

use bytes::Bytes;
use everplay_gateway::{
    Attach, AttachError, Attached, BoxFuture, Frame, FrameKind, MatchError, MatchRequest, Options, Outbox,
    Parts, PushError, Readiness, RoomInbox, Rooms, Service,
};
use everplay_types::CloseCode;
use everplay_wire::matchmake::SeatReservation;
use everplay_wire::{ClientFrame, InputOptions};
use std::error::Error;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Fault = Box<dyn Error + Send + Sync>;

/// Clients that share every frame, as in a room.
const ROOM: usize = 20;

#[derive(Default)]
struct HoldOutboxes {
    outboxes: Mutex<Vec<Outbox>>,
    acked: Arc<AtomicUsize>,
}

struct Inbox(Arc<AtomicUsize>);

impl RoomInbox for Inbox {
    fn push(&mut self, _: ClientFrame<'_>, _: &Bytes) -> Result<(), PushError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn resync(&mut self) {}

    fn closed(&mut self, _: CloseCode) {}
}

impl Rooms for HoldOutboxes {
    fn matchmake(&self, _: MatchRequest) -> BoxFuture<'_, Result<SeatReservation, MatchError>> {
        Box::pin(async { Err(MatchError::new(520, "no rooms here")) })
    }

    fn attach(&self, _: Attach, outbox: Outbox) -> BoxFuture<'_, Result<Attached, AttachError>> {
        Box::pin(async move {
            self.outboxes.lock().expect("nobody panics with it").push(outbox);
            let inbox = Box::new(Inbox(Arc::clone(&self.acked)));
            Ok(Attached { inbox, messages_per_second: None, inputs: InputOptions::default() })
        })
    }

    fn readiness(&self) -> Readiness {
        Readiness::Ready
    }

    fn health(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

/// Resident memory of this process in KiB.
fn resident_kib() -> Result<f64, Fault> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse()?)
}

/// CPU time of all threads of this process, from the scheduler.
fn cpu() -> Result<Duration, Fault> {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let stat = std::fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += stat.split_whitespace().next().ok_or("no time")?.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

fn main() -> Result<(), Fault> {
    let args: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    match args.get(1).map(String::as_str) {
        Some("clients") => runtime.block_on(clients(args[2].parse()?, args[3].parse()?)),
        connections => {
            let connections = connections.map_or(Ok(2000), str::parse)?;
            runtime.block_on(async { tokio::spawn(serve(connections)).await? })
        }
    }
}

async fn serve(connections: usize) -> Result<(), Fault> {
    let mut options = Options { port: 0, ..Options::default() };
    options.limits.connections = u32::MAX;
    let rooms = Arc::new(HoldOutboxes::default());
    let service = Service::bind(options, Parts::new(Arc::clone(&rooms) as Arc<dyn Rooms>))?;
    let address = service.address();
    tokio::spawn(service.run());

    let before = resident_kib()?;
    let mut child = std::process::Command::new(std::env::current_exe()?)
        .args(["clients", &address.to_string(), &connections.to_string()])
        .stdin(Stdio::piped())
        .spawn()?;
    while rooms.acked.load(Ordering::Relaxed) < connections {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let idle = (resident_kib()? - before) / connections as f64;
    println!("{connections} idle connections: {idle:.2} KiB each");

    let outboxes = rooms.outboxes.lock().expect("nobody panics with it").clone();
    for (name, frames, len, pause_ms) in
        [("256 B, one at a time", 1, 256, 50), ("8 x 64 B at once", 8, 64, 50), ("4 KiB", 1, 4096, 50)]
    {
        let rounds = 40;
        let started = cpu()?;
        for _ in 0..rounds {
            for room in outboxes.chunks(ROOM) {
                for _ in 0..frames {
                    let frame = Frame { bytes: Bytes::from(vec![15; len]), kind: FrameKind::Patch };
                    room.iter().for_each(|outbox| outbox.deliver(frame.clone()));
                }
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
        let spent = cpu()? - started;
        let delivered = rounds * frames * connections;
        println!(
            "broadcast {name}: {:.2} us of CPU per delivered frame",
            spent.as_secs_f64() * 1e6 / delivered as f64
        );
    }
    let after = (resident_kib()? - before) / connections as f64;
    println!("after that: {after:.2} KiB each");
    // The child ends when its input does.
    drop(child.stdin.take());
    child.wait()?;
    Ok(())
}

/// Opens the connections, acknowledges, and reads whatever comes until the input ends.
async fn clients(address: SocketAddr, connections: usize) -> Result<(), Fault> {
    for index in 0..connections {
        let mut tcp = TcpStream::connect(address).await?;
        let request = format!(
            "GET /p/r?sessionId=s{index} HTTP/1.1\r\nhost: h\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        tcp.write_all(request.as_bytes()).await?;
        let mut scratch = [0; 512];
        let read = tcp.read(&mut scratch).await?;
        if !scratch[..read].starts_with(b"HTTP/1.1 101 ") {
            return Err("no upgrade".into());
        }
        // The ack: a masked binary frame of one byte.
        tcp.write_all(&[0x82, 0x81, 0, 0, 0, 0, 10]).await?;
        tokio::spawn(async move {
            let mut scratch = vec![0; 4096];
            while matches!(tcp.read(&mut scratch).await, Ok(read) if read > 0) {}
        });
    }
    tokio::task::spawn_blocking(|| std::io::Read::read_to_end(&mut std::io::stdin(), &mut Vec::new()))
        .await??;
    Ok(())
}
