//! Who asks. A layer finds it out once per request; extractors hand it to handlers.

use crate::{ApiError, BoxFuture};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use everplay_accounts::{Permission, Principal};
use everplay_types::Identity;
use parking_lot::Mutex;
use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Finds out whose a bearer token or key is. Implemented by the account services, and by tests.
pub trait Authenticate: Send + Sync + 'static {
    /// Errors: [`Rejected`]; what is not known for certain is rejected.
    fn authenticate<'a>(&'a self, bearer: &'a str) -> BoxFuture<'a, Result<Principal, Rejected>>;

    /// Whose it is by what is known at once, for reading while nobody can be asked. None: nobody's, for all we know.
    fn believe(&self, _bearer: &str) -> Option<Identity> {
        None
    }
}

/// Who only reads waits this long for the account store: what anybody may see is shown without it.
const GLANCE: Duration = Duration::from_millis(500);

/// While it does not answer, they wait this long: what is remembered of it is answered at once.
const GLIMPSE: Duration = Duration::from_millis(20);

/// For so long, until one waits longer again.
const REST: Duration = Duration::from_secs(1);

/// Finds out who asks, without waiting long for a store that is away where that can be helped.
pub(crate) struct Asking {
    authenticate: Arc<dyn Authenticate>,
    rests_until: Mutex<Option<Instant>>,
}

impl Asking {
    pub(crate) fn new(authenticate: Arc<dyn Authenticate>) -> Self {
        Self { authenticate, rests_until: Mutex::default() }
    }

    /// Whose `token` it is. Who only `reads` may be believed.
    pub(crate) async fn who(&self, token: &str, reads: bool) -> Who {
        let asked = self.authenticate.authenticate(token);
        if !reads {
            return asked.await.map_or_else(Who::Rejected, Who::Known);
        }
        let rests = self.rests_until.lock().is_some_and(|until| Instant::now() < until);
        let answer = tokio::time::timeout(if rests { GLIMPSE } else { GLANCE }, asked).await;
        match answer {
            Ok(Ok(principal)) => Who::Known(principal),
            Ok(Err(Rejected::Invalid)) => Who::Rejected(Rejected::Invalid),
            Ok(Err(Rejected::Unavailable)) | Err(_) => {
                if !rests {
                    *self.rests_until.lock() = Some(Instant::now() + REST);
                }
                self.authenticate.believe(token).map_or(Who::Rejected(Rejected::Unavailable), Who::Believed)
            }
        }
    }
}

/// Why a token says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// Not ours, damaged, expired, or revoked.
    Invalid,
    /// The store cannot be asked.
    Unavailable,
}

impl From<Rejected> for ApiError {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::Invalid => ApiError::unauthenticated(),
            Rejected::Unavailable => ApiError::database_unavailable("the account store"),
        }
    }
}

/// What the request presented, as an extension of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Nothing.
    Nobody,
    /// Something that proves nothing.
    Rejected(Rejected),
    /// Something that would prove this if the store could be asked; only of who reads.
    Believed(Identity),
    /// Something that proves this.
    Known(Principal),
}

impl Who {
    /// Whoever proved who they are; others are refused.
    pub(crate) fn principal(&self) -> Result<&Principal, ApiError> {
        match self {
            Who::Known(principal) => Ok(principal),
            Who::Rejected(rejected) => Err((*rejected).into()),
            Who::Believed(_) => Err(Rejected::Unavailable.into()),
            Who::Nobody => Err(ApiError::unauthenticated()),
        }
    }
}

/// The token of `Authorization: Bearer`, if there is one of at most 4 KiB.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= 4096).then_some(token)
}

fn who(parts: &Parts) -> &Who {
    parts.extensions.get::<Who>().unwrap_or(&Who::Nobody)
}

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(who(parts).clone())
    }
}

/// The signed-in player or guest who asks; others are answered 401, servers 403.
#[derive(Debug, Clone)]
pub struct Player(pub Identity);

impl<S: Send + Sync> FromRequestParts<S> for Player {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match who(parts).principal()? {
            Principal::Player(identity) => Ok(Player(identity.clone())),
            Principal::Server(_) => Err(ApiError::forbidden("this is for players, not for servers")),
        }
    }
}

/// The player who asks, if one does. A token that is not valid is refused all the same: who believes to be signed in
/// should not be served as a stranger. While the account store is away a token is believed by its signature, and one that
/// cannot be (a server's key) is a stranger's: what anybody may see does not depend on that store.
#[derive(Debug, Clone)]
pub struct MaybePlayer(pub Option<Identity>);

impl<S: Send + Sync> FromRequestParts<S> for MaybePlayer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match who(parts) {
            Who::Nobody | Who::Rejected(Rejected::Unavailable) => Ok(MaybePlayer(None)),
            Who::Believed(identity) => Ok(MaybePlayer(Some(identity.clone()))),
            who => match who.principal()? {
                Principal::Player(identity) => Ok(MaybePlayer(Some(identity.clone()))),
                Principal::Server(_) => Ok(MaybePlayer(None)),
            },
        }
    }
}

/// A permission as a type, so that a handler's signature says what it needs.
pub trait Need: Send + Sync + 'static {
    /// The permission.
    const PERMISSION: Permission;
}

/// Whoever asks has the permission: `Allowed<need::AuditRead>`. Others are answered 401 or 403.
#[derive(Debug, Clone)]
pub struct Allowed<N: Need>(pub Principal, pub PhantomData<fn() -> N>);

impl<S: Send + Sync, N: Need> FromRequestParts<S> for Allowed<N> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let principal = who(parts).principal()?;
        permit(principal, N::PERMISSION)?;
        Ok(Allowed(principal.clone(), PhantomData))
    }
}

/// Refuses who may not, with the reason they can mend.
pub(crate) fn permit(principal: &Principal, permission: Permission) -> Result<(), ApiError> {
    if principal.may(permission) {
        return Ok(());
    }
    if let Principal::Player(identity) = principal
        && !identity.second_factor
        && identity.roles.iter().any(|role| everplay_accounts::allows(role, permission))
    {
        let mut refusal = ApiError::forbidden("sign in with your second factor to do this");
        refusal.code = "SECOND_FACTOR_REQUIRED";
        return Err(refusal);
    }
    Err(ApiError::forbidden("you may not do this")
        .details(serde_json::json!({ "permission": permission.name() })))
}

/// The permissions as types.
pub mod need {
    use super::{Need, Permission};

    macro_rules! needs {
        ($($name:ident),+) => { $(
            /// The permission of this name.
            #[derive(Debug, Clone, Copy)]
            pub enum $name {}
            impl Need for $name {
                const PERMISSION: Permission = Permission::$name;
            }
        )+ };
    }
    needs!(
        AccountsRead,
        AccountsBan,
        AccountsManage,
        RolesGrant,
        KeysManage,
        AuditRead,
        TicketsAnswer,
        ResultsWrite,
        RoomsManage,
        ServiceManage
    );
}
