//! The least a server can do: one frame, built before, and one write of it per client, twenty times a second.
//!
//! No rooms, no state, no queues, no limits, no metrics: what it costs is what the kernel costs. Clients join it as they
//! join any server; the seat is made up, the state is empty. Messages are sent back as they came, for echoes.
//!
//! One thread. Each client reads in a task of its own; all patches are written by one.

use anyhow::Result;
use bytes::Bytes;
use clap::Parser;
use everplay_wire::matchmake::{RoomListing, SeatReservation};
use everplay_wire::{ClientFrame, JoinForm, Serializer, server_frame};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::task::{LocalSet, spawn_local};
use tungstenite::handshake::derive_accept_key;

/// Writes one prebuilt frame to every client, 20 times a second
#[derive(Parser)]
struct Arguments {
    /// Bytes of the frame's body
    #[arg(long, default_value_t = 300)]
    frame_bytes: usize,
    /// Clients that get their frames in one go, as in a room
    #[arg(long, default_value_t = 20)]
    room: usize,
}

const STEP: Duration = Duration::from_millis(50);

/// The clients, in the order they came; those that went leave a hole.
#[derive(Default)]
struct Clients {
    sending: RefCell<Vec<Option<tcp::OwnedWriteHalf>>>,
    sessions: Cell<u64>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, serve(arguments))
}

async fn serve(arguments: Arguments) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("The floor is ready: http://{}", listener.local_addr()?);
    let clients = Rc::new(Clients::default());
    spawn_local(write_patches(Rc::clone(&clients), arguments.frame_bytes, arguments.room.max(1)));
    loop {
        let (tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        let clients = Rc::clone(&clients);
        spawn_local(async move {
            let service = service_fn(|request| answer(Rc::clone(&clients), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(tcp), service)
                .with_upgrades();
            // A client that goes away is of no interest.
            drop(connection.await);
        });
    }
}

/// Every room's worth of clients in a moment of its own, so that the load is spread as rooms spread it.
async fn write_patches(clients: Rc<Clients>, body: usize, room: usize) {
    let mut patch = vec![0; body];
    // A tick that the driver finds: operation, field, number.
    patch[..5.min(body)].copy_from_slice(&[0x80, 1, 0, 0, 0][..5.min(body)]);
    let frame = framed(&server_frame::patch(None, &patch));
    let mut began = tokio::time::Instant::now();
    loop {
        let rooms = clients.sending.borrow().len().div_ceil(room).max(1);
        for number in 0..rooms {
            tokio::time::sleep_until(began + STEP.mul_f64(number as f64 / rooms as f64)).await;
            for member in clients.sending.borrow().iter().skip(number * room).take(room).flatten() {
                // One write; a full socket loses the frame.
                drop(member.try_write(&frame));
            }
        }
        began += STEP;
    }
}

/// With the header of an unmasked binary WebSocket message.
fn framed(frame: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x82];
    match u16::try_from(frame.len()) {
        Ok(len @ 0..=125) => bytes.push(len as u8),
        Ok(len) => {
            bytes.push(126);
            bytes.extend_from_slice(&len.to_be_bytes());
        }
        Err(_) => {
            bytes.push(127);
            bytes.extend_from_slice(&(frame.len() as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(frame);
    bytes
}

async fn answer(
    clients: Rc<Clients>,
    mut request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::default());
    if request.method() == Method::POST {
        let session = clients.sessions.get();
        clients.sessions.set(session + 1);
        let room = RoomListing {
            name: "arena".into(),
            process_id: "floor".into(),
            room_id: "room".into(),
            clients: 1,
            max_clients: None,
            public_address: None,
        };
        let seat = SeatReservation::new(format!("session{session}"), room);
        let json = serde_json::to_vec(&seat).expect("a seat is texts and numbers");
        response
            .headers_mut()
            .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
        *response.body_mut() = Full::new(json.into());
        return Ok(response);
    }
    let accept = request.headers().get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    let Some(Ok(accept)) = accept.map(hyper::header::HeaderValue::try_from) else {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    };
    let upgraded = hyper::upgrade::on(&mut request);
    spawn_local(async move {
        let Ok(upgraded) = upgraded.await else { return };
        if let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() {
            // Ends with the client.
            drop(play(clients, parts.io.into_inner(), &parts.read_buf).await);
        }
    });
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, hyper::header::HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, hyper::header::HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

/// Join, state, then echoes. The driver's messages are short and come whole.
async fn play(clients: Rc<Clients>, tcp: TcpStream, early: &[u8]) -> Result<()> {
    let (mut reading, sending) = tcp.into_split();
    let join = server_frame::join_room(JoinForm::V18, "token", Serializer::Schema, &[], &[])?;
    sending.try_write(&framed(&join))?;
    let mut buffer = vec![0; 1024];
    buffer[..early.len()].copy_from_slice(early);
    let mut filled = early.len();
    let mut sending = Some(sending);
    let mut number = None;
    loop {
        while let Some((frame, used)) = unmasked(&buffer[..filled]) {
            buffer.copy_within(used..filled, 0);
            filled -= used;
            if frame.is_empty() {
                // A control frame.
            } else if let Some(sending) = sending.take() {
                // The acknowledgement of the join.
                sending.try_write(&framed(&server_frame::state(None, &[0x80, 0, 0, 0, 0])))?;
                let mut all = clients.sending.borrow_mut();
                number = Some(all.len());
                all.push(Some(sending));
            } else if matches!(ClientFrame::decode(&frame), Ok(ClientFrame::Data { .. })) {
                let all = clients.sending.borrow();
                // Both directions have the same form of messages.
                if let Some(Some(own)) = number.and_then(|number| all.get(number)) {
                    own.try_write(&framed(&frame))?;
                }
            }
        }
        let read = reading.read(&mut buffer[filled..]).await.unwrap_or_default();
        if read == 0 {
            if let Some(number) = number {
                clients.sending.borrow_mut()[number] = None;
            }
            return Ok(());
        }
        filled += read;
    }
}

/// The first whole message of a client and its length on the wire; control frames come out empty.
fn unmasked(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let len = usize::from(second & 0x7f);
    // Longer ones are not sent by the driver.
    let (mask, rest) = rest.split_first_chunk::<4>()?;
    let payload = rest.get(..len)?;
    let plain = if first & 0x0f == 2 {
        payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
    } else {
        Vec::new()
    };
    Some((plain, 6 + len))
}
