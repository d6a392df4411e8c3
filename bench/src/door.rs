//! How clients get in: matchmaking over connections that are kept, then a WebSocket, the join and the first state.

use crate::line::{Line, Scratch, scratch};
use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use everplay_wire::matchmake::SeatReservation;
use everplay_wire::{ClientFrame, Dialect, ServerFrame};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_local;

/// The way into one server.
pub(crate) struct Door {
    address: SocketAddr,
    /// Connections that wait for their next request.
    idle: RefCell<Vec<SendRequest<Full<Bytes>>>>,
    scratch: Scratch,
}

/// A client that is in its room and has its first state.
pub(crate) struct Joined {
    pub(crate) line: Line,
    pub(crate) room: String,
}

/// A join that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(30);

impl Door {
    pub(crate) fn new(address: SocketAddr) -> Rc<Self> {
        Rc::new(Door { address, idle: RefCell::default(), scratch: scratch() })
    }

    /// `method` as in the matchmaking URL: `joinOrCreate`, `create`, `joinById`.
    pub(crate) async fn join(&self, method: &str, name: &str, options: &serde_json::Value) -> Result<Joined> {
        let joining = async {
            let answer = self.post(&format!("/matchmake/{method}/{name}"), options.to_string()).await?;
            let seat: SeatReservation = serde_json::from_slice(&answer)
                .with_context(|| format!("no seat in {name}: {}", String::from_utf8_lossy(&answer)))?;
            self.take(&seat).await
        };
        let joined = tokio::time::timeout(PATIENCE, joining).await;
        joined.with_context(|| format!("no seat in {name} after {} s", PATIENCE.as_secs()))?
    }

    async fn post(&self, target: &str, body: String) -> Result<Bytes> {
        let kept = self.idle.borrow_mut().pop();
        let kept = match kept {
            // The server may have closed it meanwhile.
            Some(mut kept) => kept.ready().await.is_ok().then_some(kept),
            None => None,
        };
        let mut sender = match kept {
            Some(kept) => kept,
            None => {
                let tcp = TcpStream::connect(self.address).await.context("the server does not accept")?;
                tcp.set_nodelay(true)?;
                let (sender, connection) = handshake(TokioIo::new(tcp)).await?;
                spawn_local(async move { drop(connection.await) });
                sender
            }
        };
        let request = Request::post(target)
            .header(header::HOST, self.address.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let answer = sender.send_request(request).await.context("matchmaking broke off")?;
        let answer = answer.into_body().collect().await.context("matchmaking broke off")?.to_bytes();
        self.idle.borrow_mut().push(sender);
        Ok(answer)
    }

    async fn take(&self, seat: &SeatReservation) -> Result<Joined> {
        let mut tcp = TcpStream::connect(self.address).await.context("the server does not accept")?;
        tcp.set_nodelay(true)?;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            seat.websocket_path(),
            self.address
        );
        tcp.write_all(request.as_bytes()).await?;
        let mut head = Vec::with_capacity(512);
        let end = loop {
            if let Some(at) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            ensure!(tcp.read_buf(&mut head).await? > 0, "the server closed during the handshake");
        };
        ensure!(head.starts_with(b"HTTP/1.1 101"), "no WebSocket: {}", String::from_utf8_lossy(&head[..end]));
        let mut line = Line::new(tcp, &head[end..], Rc::clone(&self.scratch));
        let sending = Rc::clone(&line.sending);
        let (mut asked, mut stands) = (false, false);
        while !stands {
            line.hear(|frame| {
                match ServerFrame::decode(frame, Dialect::V18) {
                    Ok(ServerFrame::Join(_)) if !asked => {
                        asked = true;
                        sending.send(&ClientFrame::Ack.to_vec())?;
                    }
                    Ok(ServerFrame::State { .. }) => stands = true,
                    Ok(ServerFrame::Error { code, message }) => bail!("refused: {message} ({code})"),
                    _ => {}
                }
                Ok(())
            })
            .await?;
        }
        Ok(Joined { line, room: seat.room_id.clone() })
    }
}
