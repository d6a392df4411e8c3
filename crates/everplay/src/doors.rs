//! Who may come to a seat, and who has to go: joins tokens of accounts to sockets of rooms.
//!
//! A seat is asked for with a verified identity or with none. A socket that came with a token is remembered under the
//! token's login, and closed when that login ends, wherever it was ended.
//!
//! A token that is not ours, or has expired, is no identity and no reason to refuse: a room kind may read tokens of
//! somebody else's in its auth hook, and one that wants accounts says so in its settings.

use crate::rooms::SocketSink;
use everplay_accounts::{Accounts, Ended, Unverified};
use everplay_node::ClientSink;
use everplay_types::{CloseCode, CustomerId, Identity};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

type Login = (CustomerId, String);

/// The sockets by login.
pub(crate) struct Doors {
    accounts: Accounts,
    /// Sockets that have gone are removed when another comes under their login, and all of them when there are many.
    sockets: Mutex<HashMap<Login, Vec<Weak<SocketSink>>>>,
}

/// Logins with sockets before those whose sockets have gone are looked for.
const SWEEP_AT: usize = 10_000;

/// The login was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signed out")]
pub(crate) struct SignedOut;

impl Doors {
    pub(crate) fn new(accounts: Accounts) -> Self {
        Doors { accounts, sockets: Mutex::default() }
    }

    /// Whose token it is, for an auth hook. Errors: it was somebody's until they were signed out, who should hear of it
    /// rather than play on under no name.
    pub(crate) async fn identity(&self, token: Option<&str>) -> Result<Option<Identity>, SignedOut> {
        let Some(token) = token else { return Ok(None) };
        match self.accounts.verify_for_play(token, false).await {
            Ok(identity) => Ok(Some(identity)),
            Err(Unverified::Ended) => Err(SignedOut),
            Err(Unverified::Invalid | Unverified::Unavailable) => Ok(None),
        }
    }

    /// The login of a token that a socket brings, also when it has expired meanwhile.
    pub(crate) async fn login_of(&self, token: Option<&str>) -> Result<Option<Login>, SignedOut> {
        let Some(token) = token else { return Ok(None) };
        match self.accounts.verify_for_play(token, true).await {
            Ok(identity) => Ok(Some((identity.customer, identity.login.to_string()))),
            Err(Unverified::Ended) => Err(SignedOut),
            Err(Unverified::Invalid | Unverified::Unavailable) => Ok(None),
        }
    }

    /// Remembers a socket.
    pub(crate) fn enter(&self, login: Login, socket: &Arc<SocketSink>) {
        let mut sockets = self.sockets.lock();
        if sockets.len() >= SWEEP_AT && !sockets.contains_key(&login) {
            sockets.retain(|_, sockets| sockets.iter().any(|socket| socket.strong_count() > 0));
        }
        let of_login = sockets.entry(login).or_default();
        of_login.retain(|socket| socket.strong_count() > 0);
        of_login.push(Arc::downgrade(socket));
    }

    fn close(&self, ended: &Ended) {
        let mut sockets = self.sockets.lock();
        for login in &ended.logins {
            let of_login = sockets.remove(&(ended.customer.clone(), login.clone())).unwrap_or_default();
            for socket in of_login.iter().filter_map(Weak::upgrade) {
                socket.close(CloseCode::SIGNED_OUT, "signed out");
            }
        }
    }
}

/// Closes the sockets of logins that end, until the doors are gone.
pub(crate) async fn watch(doors: Weak<Doors>, mut endings: tokio::sync::broadcast::Receiver<Ended>) {
    use tokio::sync::broadcast::error::RecvError;
    loop {
        let ended = endings.recv().await;
        let Some(doors) = doors.upgrade() else { return };
        match ended {
            Ok(ended) => doors.close(&ended),
            // So many ended at once that some were missed: ask for each login with a socket.
            Err(RecvError::Lagged(_)) => {
                let all: Vec<Login> = doors.sockets.lock().keys().cloned().collect();
                for (customer, login) in all {
                    if !doors.accounts.is_open(&customer, &login).await {
                        doors.close(&Ended { customer, logins: vec![login] });
                    }
                }
            }
            Err(RecvError::Closed) => return,
        }
    }
}
