//! A WebSocket echo on the gateway's listener: text and binary messages come back unchanged. For conformance suites.
//!
//! `cargo run -p everplay-gateway --example echo -- 127.0.0.1:9001` prints the address and serves until it is killed.
//! Every other path is the gateway without any room.

use everplay_gateway::{
    Attach, AttachError, Attached, BindError, BoxFuture, Incoming, MatchError, MatchRequest, Options, Outbox,
    Parts, Readiness, Rooms, Service, Socket,
};
use everplay_types::CloseCode;
use everplay_wire::matchmake::SeatReservation;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// No rooms at all.
struct NoRooms;

impl Rooms for NoRooms {
    fn matchmake(&self, _: MatchRequest) -> BoxFuture<'_, Result<SeatReservation, MatchError>> {
        Box::pin(async { Err(MatchError::new(520, "no rooms here")) })
    }

    fn attach(&self, _: Attach, _: Outbox) -> BoxFuture<'_, Result<Attached, AttachError>> {
        Box::pin(async { Err(AttachError::NoSeat) })
    }

    fn readiness(&self) -> Readiness {
        Readiness::Ready
    }

    fn health(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

async fn echo(mut socket: Socket) {
    let end = loop {
        let sent = match socket.recv().await {
            Ok(Incoming::Binary(bytes)) => socket.send_binary(bytes).await,
            Ok(Incoming::Text(text)) => socket.send_text(text).await,
            Ok(Incoming::Control) => Ok(()),
            Ok(Incoming::Close(_)) => break None,
            Err(violation) => break violation.close_code(),
        };
        if sent.is_err() {
            return;
        }
    };
    if let Some(code) = end {
        socket.queue_close(code, "");
    }
    socket.finish(Duration::from_secs(1)).await;
}

/// The listener with an echo at `/`. Must be called inside a tokio runtime.
pub(crate) fn service(address: SocketAddr) -> Result<Service, BindError> {
    let mut options = Options { host: address.ip(), port: address.port(), ..Options::default() };
    // The suites send messages of 16 MiB.
    options.limits.frame_bytes = 32 * 1024 * 1024;
    let mut parts = Parts::new(Arc::new(NoRooms));
    parts.sockets.insert("/".to_owned(), Arc::new(|socket| Box::pin(echo(socket))));
    Service::bind(options, parts)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address: SocketAddr = std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:0").parse()?;
    let service = service(address)?;
    println!("{}", service.address());
    let handle = service.handle();
    let running = tokio::spawn(service.run());
    tokio::signal::ctrl_c().await?;
    handle.stop(CloseCode::NORMAL, Duration::from_secs(1)).await;
    running.await?;
    Ok(())
}
