//! Calling: one task per peer that calls for as long as there is no link.
//!
//! The node with the lower incarnation calls at once. The other waits for a moment first, and calls too when nothing comes
//! or when a link broke: that call finds out whether the peer's process is still there.

use crate::connection;
use crate::hello::{ANSWER_LENGTH, Answer, Call, GO, HelloError, Verdict};
use crate::links::Shared;
use crate::metrics::REFUSALS;
use crate::options::{AddressError, Security};
use crate::peer::Peer;
use crate::throttle::Throttle;
use crate::tls::End;
use everplay_types::Incarnation;
use metrics::counter;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tracing::{debug, error, info};

/// How long the node with the higher incarnation waits to be called the first time.
const TURN: Duration = Duration::from_millis(200);
/// Between a first refusal and the call that confirms it.
const CONFIRM: Duration = Duration::from_millis(20);
/// First and longest pause between calls.
const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(500);
/// Between calls to a peer that is well and does not want one now.
const POLITE: Duration = Duration::from_millis(50);

/// Why a call did not become a link.
#[derive(Debug, thiserror::Error)]
enum CallError {
    /// There is a link by now, or the peer's call is being answered.
    #[error("another greeting is under way")]
    Needless,
    #[error("nobody listens there")]
    Refused,
    #[error("another node answers there")]
    Other,
    #[error("it is not ready for this node")]
    NotNow,
    #[error(transparent)]
    Hello(#[from] HelloError),
    #[error("without a cluster key only loopback addresses are called")]
    Plain,
    #[error("no answer in time")]
    Slow,
    #[error("{0}")]
    Failed(#[source] io::Error),
}

/// Calls the peer whenever there is no link, for as long as the task lives.
pub(crate) async fn run(shared: Arc<Shared>, peer: Arc<Peer>) {
    let lower = shared.options.me < peer.id;
    let told = Throttle::default();
    if !lower {
        // Ends early when something happens, which is looked at below.
        let _ = timeout(TURN, peer.changed()).await;
    }
    let mut refusals = 0_u32;
    let mut pause = FIRST;
    loop {
        let Some(address) = peer.wanted() else {
            peer.changed().await;
            (refusals, pause) = (0, FIRST);
            continue;
        };
        let error = match call(&shared, &peer, &address).await {
            Ok(()) => continue,
            Err(error) => error,
        };
        debug!(peer.id = %peer.id, peer.address = address, error = %error, "call to a node failed");
        let wait = match &error {
            CallError::Needless | CallError::NotNow => POLITE,
            CallError::Refused => {
                refusals += 1;
                let known = peer.met() || refusals > 1;
                if known {
                    peer.gone();
                }
                if known { pause } else { CONFIRM }
            }
            CallError::Other => {
                peer.gone();
                pause
            }
            CallError::Hello(HelloError::WrongKey) => {
                told.log(|left_out| {
                    let (id, address) = (peer.id, &address);
                    error!(peer.id = %id, peer.address = address, left_out, "a node has another cluster key: all need the same");
                });
                LONGEST
            }
            CallError::Hello(_) | CallError::Plain => {
                told.log(|left_out| {
                    let (id, address) = (peer.id, &address);
                    error!(peer.id = %id, peer.address = address, error = %error, left_out, "a node cannot be called");
                });
                LONGEST
            }
            CallError::Slow | CallError::Failed(_) => {
                told.log(|left_out| {
                    let (id, address) = (peer.id, &address);
                    info!(peer.id = %id, peer.address = address, error = %error, left_out, "a node cannot be reached");
                });
                pause
            }
        };
        counter!(REFUSALS, "cause" => "call").increment(1);
        pause = (pause * 2).min(LONGEST);
        if !matches!(error, CallError::Refused) {
            refusals = 0;
        }
        // Ends early when the peer calls or its address changes.
        if timeout(wait, peer.changed()).await.is_ok() {
            pause = FIRST;
        }
    }
}

/// Calls once.
async fn call(shared: &Arc<Shared>, peer: &Arc<Peer>, address: &str) -> Result<(), CallError> {
    let socket = connect(shared, address).await?;
    shared.prepare(&socket).map_err(CallError::Failed)?;
    timeout(shared.options.hello_timeout, greet(shared, peer, socket)).await.map_err(|_| CallError::Slow)?
}

/// A TCP connection to any of the addresses behind a name. Refused only when all of them refuse.
async fn connect(shared: &Shared, address: &str) -> Result<TcpStream, CallError> {
    let patience = shared.options.connect_timeout;
    let places: Vec<SocketAddr> = match address.parse() {
        Ok(place) => vec![place],
        Err(_) => {
            let found = timeout(patience, lookup_host(address)).await.map_err(|_| CallError::Slow)?;
            found.map_err(CallError::Failed)?.collect()
        }
    };
    let mut worst = None;
    for place in places {
        if matches!(shared.options.security, Security::Plain) && !place.ip().is_loopback() {
            return Err(CallError::Plain);
        }
        let error = match timeout(patience, TcpStream::connect(place)).await {
            // A dead port of this machine may be given to the very socket that calls it, which then talks to itself.
            Ok(Ok(socket)) if socket.local_addr().ok() == socket.peer_addr().ok() => CallError::Refused,
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => CallError::Refused,
            Ok(Err(error)) => CallError::Failed(error),
            Err(_) => CallError::Slow,
        };
        if !matches!((&worst, &error), (Some(_), CallError::Refused)) {
            worst = Some(error);
        }
    }
    Err(worst.unwrap_or_else(|| CallError::Failed(io::Error::other("the name has no address"))))
}

/// Calls the address that others are told to dial, as a stranger, and looks who answers.
pub(crate) async fn find_myself(shared: &Shared, address: &str) -> Result<(), AddressError> {
    let me = shared.options.me;
    // Nobody's: whoever is called knows no such node, and says so under its own name.
    let caller = Incarnation(me.0.map(|byte| !byte));
    let asked = async {
        let failed = CallError::Failed;
        let socket = connect(shared, address).await?;
        let (mut stream, binding) = shared.securing.secure(socket, End::Caller).await.map_err(failed)?;
        stream.write_all(&Call { caller, callee: me }.encode(&binding)).await.map_err(failed)?;
        stream.flush().await.map_err(failed)?;
        let mut bytes = [0; ANSWER_LENGTH];
        stream.read_exact(&mut bytes).await.map_err(failed)?;
        Ok::<_, CallError>(Answer::decode(&bytes, caller, &binding)?)
    };
    let patience = shared.options.connect_timeout + shared.options.hello_timeout;
    let answer = timeout(patience, asked).await.unwrap_or(Err(CallError::Slow));
    let address = || address.to_owned();
    match answer {
        Ok(answer) if answer.callee == me => Ok(()),
        Ok(answer) => Err(AddressError::Other { address: address(), node: answer.callee }),
        Err(CallError::Refused) => Err(AddressError::Refused { address: address() }),
        Err(error) => Err(AddressError::Silent { address: address(), reason: error.to_string() }),
    }
}

async fn greet(shared: &Arc<Shared>, peer: &Arc<Peer>, socket: TcpStream) -> Result<(), CallError> {
    let me = shared.options.me;
    let failed = CallError::Failed;
    let (mut stream, binding) = shared.securing.secure(socket, End::Caller).await.map_err(failed)?;
    // From here on the peer may take this connection into use.
    let greeting = peer.greet().ok_or(CallError::Needless)?;
    let call = Call { caller: me, callee: peer.id }.encode(&binding);
    stream.write_all(&call).await.map_err(failed)?;
    stream.flush().await.map_err(failed)?;
    let mut bytes = [0; ANSWER_LENGTH];
    stream.read_exact(&mut bytes).await.map_err(failed)?;
    let answer = Answer::decode(&bytes, me, &binding)?;
    match answer.verdict {
        Verdict::Welcome | Verdict::Busy | Verdict::Stranger if answer.callee != peer.id => {
            return Err(CallError::Other);
        }
        Verdict::Welcome => {}
        Verdict::NotMe if answer.callee != peer.id => return Err(CallError::Other),
        Verdict::Busy | Verdict::Stranger | Verdict::NotMe => return Err(CallError::NotNow),
        Verdict::WrongKey => return Err(HelloError::WrongKey.into()),
        Verdict::Version => return Err(HelloError::Magic.into()),
    }
    stream.write_u8(GO).await.map_err(failed)?;
    stream.flush().await.map_err(failed)?;
    let link = peer.up(false);
    drop(greeting);
    let link = link.ok_or(CallError::Needless)?;
    tokio::spawn(connection::run(Arc::clone(shared), Arc::clone(peer), link, stream));
    Ok(())
}
