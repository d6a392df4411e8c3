//! Callers: everyone who connects to this node's address, until they have proved who they are.

use crate::connection;
use crate::hello::{Answer, CALL_LENGTH, Call, GO, HelloError, Verdict};
use crate::links::Shared;
use crate::metrics::REFUSALS;
use crate::tls::End;
use metrics::counter;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, warn};

/// Pause when the system cannot give a socket: files have run out, and trying harder does not help.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// Why a caller did not become a link.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("it took too long")]
    Slow,
    #[error("the connection broke or is secured differently")]
    Broken(#[source] io::Error),
    #[error(transparent)]
    Hello(#[from] HelloError),
}

/// Accepts for as long as the task lives.
pub(crate) async fn run(shared: Arc<Shared>, listener: TcpListener) {
    let strangers = Arc::new(Semaphore::new(shared.options.strangers));
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                // One that broke before it was accepted is not worth a pause.
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    warn!(error = %error, "cannot accept links");
                    sleep(EXHAUSTED).await;
                }
                continue;
            }
        };
        let Ok(place) = Arc::clone(&strangers).try_acquire_owned() else {
            counter!(REFUSALS, "cause" => "strangers").increment(1);
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let greeting = greet(&shared, socket);
            let refusal = match timeout(shared.options.hello_timeout, greeting).await {
                Ok(Ok(())) => None,
                Ok(Err(refusal)) => Some(refusal),
                Err(_) => Some(Refusal::Slow),
            };
            drop(place);
            if let Some(refusal) = refusal {
                tell(&shared, &refusal);
            }
        });
    }
}

fn tell(shared: &Shared, refusal: &Refusal) {
    let cause = match refusal {
        Refusal::Slow => "slow",
        Refusal::Broken(_) => "broken",
        Refusal::Hello(_) => "hello",
    };
    counter!(REFUSALS, "cause" => cause).increment(1);
    match refusal {
        Refusal::Hello(HelloError::WrongKey) => shared.wrong_key.log(|left_out| {
            error!(left_out, "a caller has another cluster key and was refused: all nodes need the same");
        }),
        // Nodes that end in the middle of a greeting, and whoever knocks at ports.
        Refusal::Slow | Refusal::Broken(_) | Refusal::Hello(_) => shared.odd_caller.log(|left_out| {
            warn!(reason = chain(refusal), left_out, "a caller was refused");
        }),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// Hears a call, answers it, and begins the link if it is welcome.
async fn greet(shared: &Arc<Shared>, socket: TcpStream) -> Result<(), Refusal> {
    shared.prepare(&socket).map_err(Refusal::Broken)?;
    let (mut stream, binding) = shared.securing.secure(socket, End::Callee).await.map_err(Refusal::Broken)?;
    let mut bytes = [0; CALL_LENGTH];
    stream.read_exact(&mut bytes).await.map_err(Refusal::Broken)?;
    let me = shared.options.me;
    let call = match Call::decode(&bytes, &binding) {
        Ok(call) => call,
        Err(error) => {
            let verdict = match error {
                HelloError::WrongKey => Verdict::WrongKey,
                HelloError::Version { .. } => Verdict::Version,
                HelloError::Magic | HelloError::Verdict { .. } | HelloError::Mirror => {
                    return Err(error.into());
                }
            };
            let answer = Answer { verdict, callee: me }.encode(me, &binding);
            // Best effort: the error is told here anyway.
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
            return Err(error.into());
        }
    };
    // It is the lower one's place to call; such a call also replaces what this node still takes for a link.
    let theirs = call.caller < me;
    let peer = shared.peer(call.caller);
    let mut greeting = None;
    let verdict = match &peer {
        _ if call.callee != me || call.caller == me => Verdict::NotMe,
        None => Verdict::Stranger,
        Some(_) if theirs => Verdict::Welcome,
        Some(peer) => {
            greeting = peer.greet();
            if greeting.is_some() { Verdict::Welcome } else { Verdict::Busy }
        }
    };
    let answer = Answer { verdict, callee: me }.encode(call.caller, &binding);
    stream.write_all(&answer).await.map_err(Refusal::Broken)?;
    stream.flush().await.map_err(Refusal::Broken)?;
    let (Verdict::Welcome, Some(peer)) = (verdict, peer) else {
        debug!(peer.id = %call.caller, verdict = ?verdict, "a node's call was answered and not taken");
        let _ = stream.shutdown().await;
        return Ok(());
    };
    if stream.read_u8().await.map_err(Refusal::Broken)? != GO {
        return Err(HelloError::Magic.into());
    }
    let link = peer.up(theirs);
    drop(greeting);
    if let Some(link) = link {
        tokio::spawn(connection::run(Arc::clone(shared), peer, link, stream));
    }
    Ok(())
}
