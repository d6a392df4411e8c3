//! The latency probe: a socket without a seat, on which every message is answered with one byte.
//!
//! The SDKs measure the time from one to the other. The official server ends it after a second in any case; so do we.

use super::rate::Rate;
use super::transport::{Incoming, Socket};
use crate::limits::Limits;
use bytes::Bytes;
use everplay_types::CloseCode;
use tokio::time::Instant;

/// The opcode of PING, which is the whole answer.
const PONG: &[u8] = &[18];

/// Serves the probe to its end.
pub(super) async fn run(socket: &mut Socket, limits: &Limits) {
    let until = Instant::now() + limits.probe;
    let mut rate = Rate::new(limits.messages_per_second, Instant::now());
    let answering = async {
        loop {
            match socket.recv().await {
                Ok(Incoming::Binary(_) | Incoming::Text(_)) => {
                    if !rate.allows(Instant::now()) {
                        return Some((CloseCode::RATE_LIMITED, "too many messages per second"));
                    }
                    if socket.send_binary(Bytes::from_static(PONG)).await.is_err() {
                        return None;
                    }
                }
                Ok(Incoming::Control) => {}
                Ok(Incoming::Close(_)) => return None,
                Err(violation) => return violation.close_code().map(|code| (code, "")),
            }
        }
    };
    match tokio::time::timeout_at(until, answering).await {
        Err(_) => socket.queue_close(CloseCode::NORMAL, ""),
        Ok(Some((code, reason))) => socket.queue_close(code, reason),
        Ok(None) => {}
    }
    socket.finish(limits.close).await;
}
