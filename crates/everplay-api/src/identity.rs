//! Who asks. A layer finds it out once per request; extractors hand it to handlers.

use crate::{ApiError, BoxFuture};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use everplay_accounts::{Permission, Principal};
use everplay_types::Identity;
use std::convert::Infallible;
use std::marker::PhantomData;

/// Finds out whose a bearer token or key is. Implemented by the account services, and by tests.
pub trait Authenticate: Send + Sync + 'static {
    /// Errors: [`Rejected`]; what is not known for certain is rejected.
    fn authenticate<'a>(&'a self, bearer: &'a str) -> BoxFuture<'a, Result<Principal, Rejected>>;
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
            Rejected::Unavailable => ApiError::unavailable("the account store"),
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
    /// Something that proves this.
    Known(Principal),
}

impl Who {
    /// Whoever proved who they are; others are refused.
    pub(crate) fn principal(&self) -> Result<&Principal, ApiError> {
        match self {
            Who::Known(principal) => Ok(principal),
            Who::Rejected(rejected) => Err((*rejected).into()),
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
/// should not be served as a stranger.
#[derive(Debug, Clone)]
pub struct MaybePlayer(pub Option<Identity>);

impl<S: Send + Sync> FromRequestParts<S> for MaybePlayer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match who(parts) {
            Who::Nobody => Ok(MaybePlayer(None)),
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
