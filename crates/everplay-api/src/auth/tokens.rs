use super::{customer, device, signed_in};
use crate::{ApiError, Caller, Json, Rejected, Who};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use everplay_accounts::{Accounts, Principal};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What a sign-in gives.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// The user, as at sign-in.
    pub user: Value,
    /// The access token; 15 minutes.
    pub token: String,
    /// Gets the next two, once.
    pub refresh_token: String,
    /// Seconds until the access token ends.
    pub expires_in: i64,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Refresh {
    /// The newest one.
    refresh_token: String,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
struct SignOut {
    /// The newest one, for whom the access token has expired.
    refresh_token: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SecondFactor {
    /// As the sign-in answered it.
    challenge: String,
    /// Six digits of the authenticator, or a recovery code.
    code: String,
}

pub(super) fn routes() -> OpenApiRouter<Accounts> {
    OpenApiRouter::new()
        .routes(routes!(refresh))
        .routes(routes!(second_factor))
        .routes(routes!(logout))
        .routes(routes!(jwks))
}

fn tokens(in_: &everplay_accounts::SignedIn) -> Json<Tokens> {
    let Value::Object(mut all) = signed_in(in_) else { unreachable!("signed_in writes an object") };
    Json(Tokens {
        user: all.remove("user").unwrap_or_default(),
        token: in_.access_token.clone(),
        refresh_token: in_.refresh_token.clone(),
        expires_in: everplay_accounts::ACCESS_LIFETIME_MS / 1000,
    })
}

/// Get the next tokens
///
/// A refresh token works once. Presented again, the login ends: one of two who know it stole it. Two tabs that renew
/// within ten seconds are one.
#[utoipa::path(
    post, path = "/auth/refresh", tag = "auth", operation_id = "authRefresh", request_body = Refresh,
    responses((status = 200, description = "The next tokens", body = Tokens))
)]
async fn refresh(
    State(accounts): State<Accounts>,
    Json(body): Json<Refresh>,
) -> Result<Json<Tokens>, ApiError> {
    let in_ = accounts.renew(&customer(), &body.refresh_token).await?;
    Ok(tokens(&in_))
}

/// Show the second factor
#[utoipa::path(
    post, path = "/auth/second-factor", tag = "auth", operation_id = "authSecondFactor", request_body = SecondFactor,
    responses((status = 200, description = "In", body = Tokens))
)]
async fn second_factor(
    State(accounts): State<Accounts>,
    caller: Caller,
    headers: HeaderMap,
    Json(body): Json<SecondFactor>,
) -> Result<Json<Tokens>, ApiError> {
    let device = device(&caller, &headers);
    let in_ = accounts.sign_in_with_code(&customer(), &body.challenge, &body.code, &device).await?;
    Ok(tokens(&in_))
}

/// Sign out
///
/// The login ends everywhere at once: its tokens, and its sockets in rooms. Whose access token has expired meanwhile sends
/// the refresh token in the body instead.
#[utoipa::path(
    post, path = "/auth/logout", tag = "auth", operation_id = "authLogout", security(("bearer" = [])),
    request_body = Option<SignOut>, responses((status = 204, description = "Out"))
)]
async fn logout(
    State(accounts): State<Accounts>,
    who: Who,
    body: Option<Json<SignOut>>,
) -> Result<StatusCode, ApiError> {
    match (&who, body.and_then(|Json(body)| body.refresh_token)) {
        (Who::Rejected(Rejected::Invalid) | Who::Nobody, Some(refresh_token)) => {
            accounts.sign_out_with(&customer(), &refresh_token).await?;
        }
        (who, _) => match who.principal()? {
            Principal::Player(identity) => accounts.sign_out(identity).await?,
            Principal::Server(_) => {
                return Err(ApiError::forbidden("this is for players, not for servers"));
            }
        },
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The keys that access tokens are signed with
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "auth", operation_id = "jwks",
    responses((status = 200, description = "A JWK set", body = Value))
)]
async fn jwks(State(accounts): State<Accounts>) -> impl IntoResponse {
    // A new key is listed for ten minutes before it signs.
    ([(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"))], Json(accounts.jwks()))
}
