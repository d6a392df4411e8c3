//! `/auth/*`: the ways in. Half of it is the official SDK's `client.auth`, whose forms are not ours to choose; the
//! other half renews and ends what the first began.
//!
//! The SDK's routes answer `{user, token}` and refuse with `{"error": code}`, as `@colyseus/auth` does; fields beyond
//! those are additions that the SDK hands on to the page: `refreshToken`, `expiresIn`. All other routes, and refusals
//! that come before a handler (limits, a body that is not JSON), speak the envelope.

mod forms;
mod provider;
mod sdk;
mod tokens;

pub use provider::Origins;
pub use tokens::Tokens;

use crate::{ApiError, Caller, Rejected, Who};
use axum::http::{HeaderMap, header};
use everplay_accounts::{Accounts, Device, Principal, SignedIn};
use everplay_types::{CustomerId, Identity};
use serde_json::{Map, Value, json};
use utoipa_axum::router::OpenApiRouter;

/// The routes: `/auth`, `/.well-known/jwks.json`. `origins` are those of pages that may hear of a sign-in elsewhere.
pub fn routes(accounts: Accounts, origins: Origins) -> OpenApiRouter {
    OpenApiRouter::new()
        .merge(sdk::routes())
        .merge(tokens::routes())
        .merge(forms::routes())
        .with_state(accounts.clone())
        .merge(provider::routes(accounts, origins))
}

/// What a sign-in is listed under.
fn device(caller: &Caller, headers: &HeaderMap) -> Device {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    Device { agent: agent.to_owned(), network: caller.network() }
}

/// Whose players ask. One server serves one customer until customers have names of their own.
fn customer() -> CustomerId {
    CustomerId::default()
}

/// The signed-in player, where being none is fine.
fn player(who: &Who) -> Option<&Identity> {
    match who {
        Who::Known(Principal::Player(identity)) => Some(identity),
        _ => None,
    }
}

/// The guest who asks. A token that has expired will do as long as its login is open: a page that was left open keeps the
/// guest it shows, and what that guest has played.
async fn guest(accounts: &Accounts, who: &Who, token: Option<&str>) -> Result<Option<Identity>, ApiError> {
    let known = match (who, token) {
        (Who::Rejected(Rejected::Unavailable), _) => return Err(Rejected::Unavailable.into()),
        (Who::Rejected(Rejected::Invalid), Some(token)) => accounts.verify_for_play(token, true).await.ok(),
        _ => player(who).cloned(),
    };
    Ok(known.filter(|identity| identity.guest))
}

/// The answer to a sign-in, as the SDK wants it and with what it hands on.
fn signed_in(signed_in: &SignedIn) -> Value {
    json!({
        "user": sdk_user(signed_in),
        "token": signed_in.access_token,
        "refreshToken": signed_in.refresh_token,
        "expiresIn": everplay_accounts::ACCESS_LIFETIME_MS / 1000,
    })
}

/// The user as pages of the SDK expect it: what the application gave, and over it what is ours to say.
fn sdk_user(signed_in: &SignedIn) -> Value {
    user_json(&signed_in.user)
}

fn user_json(user: &everplay_accounts::User) -> Value {
    let mut json = user.options.as_object().cloned().unwrap_or_else(Map::new);
    let ours = json!({
        "id": user.id,
        "anonymous": user.guest,
        "email": user.email,
        "emailConfirmed": user.email_confirmed,
        "username": user.username,
        "displayName": user.display_name,
        "avatarUrl": user.avatar_url,
        "region": user.region,
        "roles": user.roles,
    });
    if let Value::Object(ours) = ours {
        json.extend(ours);
    }
    if user.guest {
        json.insert("anonymousId".to_owned(), Value::from(user.id.clone()));
    }
    Value::Object(json)
}
