//! The routes of the official SDK's `client.auth` (`@colyseus/auth` 0.18).

use super::{Tokens, customer, device, signed_in, user_json};
use crate::error::ErrorEnvelope;
use crate::identity::bearer;
use crate::{ApiError, Caller, Json, Player, Who};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use everplay_accounts::{AccountError, Accounts, Entrance};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A refusal in the SDK's form.
#[derive(Debug, Serialize, ToSchema)]
struct SdkError {
    /// What programs compare.
    error: String,
    /// Why, for a ban; or the challenge of a second factor.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Until when a ban lasts, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    /// Comes back with a code to `/auth/second-factor`.
    #[serde(skip_serializing_if = "Option::is_none")]
    challenge: Option<String>,
}

/// A refusal by a handler in the SDK's form, or one before it, in the envelope.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "names what the document says; each is written where it arises")]
enum SdkRefusal {
    Handler(SdkError),
    Edge(ErrorEnvelope),
}

#[derive(Debug, Deserialize, ToSchema)]
struct Registration {
    email: String,
    password: String,
    /// For the application; an object of at most 4 KiB.
    #[serde(default)]
    options: Value,
}

/// An address and a password, or the name of a provider.
#[derive(Debug, Deserialize, ToSchema)]
struct Credentials {
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    password: Option<String>,
    /// Begins a sign-in at this provider instead; the answer says where the browser goes.
    #[serde(default)]
    provider: Option<String>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
struct GuestOptions {
    /// For the application; an object of at most 4 KiB. Its `name` or `displayName` is shown to others.
    #[serde(default)]
    options: Value,
}

#[derive(Debug, Deserialize, ToSchema)]
struct Address {
    email: String,
}

pub(super) fn routes() -> OpenApiRouter<Accounts> {
    OpenApiRouter::new()
        .routes(routes!(userdata))
        .routes(routes!(register))
        .routes(routes!(login))
        .routes(routes!(anonymous))
        .routes(routes!(forgot_password))
}

/// Whose token this is (SDK: `getUserData`)
#[utoipa::path(
    get, path = "/auth/userdata", tag = "auth", operation_id = "authUserData", security(("bearer" = [])),
    responses((status = 200, description = "The user under `user`", body = Value))
)]
async fn userdata(
    State(accounts): State<Accounts>,
    Player(identity): Player,
) -> Result<Json<Value>, ApiError> {
    let user = accounts.account(&identity).await?;
    Ok(Json(json!({ "user": user_json(&user) })))
}

/// Make an account with a password (SDK: `registerWithEmailAndPassword`)
///
/// With a guest's token, the guest gets the password and keeps all it has.
#[utoipa::path(
    post, path = "/auth/register", tag = "auth", operation_id = "authRegister", request_body = Registration,
    responses(
        (status = 200, description = "In", body = Tokens),
        (status = 400, description = "email_malformed, password_...", body = SdkRefusal),
        (status = 401, description = "email_already_in_use", body = SdkRefusal),
    )
)]
async fn register(
    State(accounts): State<Accounts>,
    caller: Caller,
    headers: HeaderMap,
    who: Who,
    Json(new): Json<Registration>,
) -> Result<Response<Body>, ApiError> {
    let guest = super::guest(&accounts, &who, bearer(&headers)).await?;
    let device = device(&caller, &headers);
    let (of, email, password) = (customer(), &new.email, &new.password);
    let registered = accounts.register(&of, email, password, new.options, guest.as_ref(), &device).await;
    Ok(answer(registered.map(|in_| signed_in(&in_))))
}

/// Sign in (SDK: `signInWithEmailAndPassword`)
///
/// An account with a second factor is answered 401 `second_factor_required` with a challenge. With `provider` in the
/// place of a password, a sign-in elsewhere begins.
#[utoipa::path(
    post, path = "/auth/login", tag = "auth", operation_id = "authLogin", request_body = Credentials,
    responses(
        (status = 200, description = "In; or, for a provider, where the browser goes", body = Tokens),
        (status = 400, description = "email_malformed", body = SdkRefusal),
        (status = 401, description = "invalid_credentials, second_factor_required", body = SdkRefusal),
        (status = 403, description = "banned", body = SdkRefusal),
    )
)]
async fn login(
    State(accounts): State<Accounts>,
    caller: Caller,
    headers: HeaderMap,
    Json(credentials): Json<Credentials>,
) -> Result<Response<Body>, ApiError> {
    if let Some(provider) = &credentials.provider {
        let begun = accounts.begin_social(&customer(), provider, None, None).await?;
        let mut response = Json(json!({ "url": begun.url })).into_response();
        let cookie = super::provider::cookie(accounts.public_url(), &begun.cookie);
        response.headers_mut().insert(header::SET_COOKIE, cookie);
        return Ok(response);
    }
    let (Some(email), Some(password)) = (credentials.email, credentials.password) else {
        return Err(ApiError::invalid("an e-mail address and a password, or a provider"));
    };
    let device = device(&caller, &headers);
    Ok(match accounts.sign_in(&customer(), &email, &password, &device).await {
        Ok(Entrance::Open(in_)) => answer(Ok(signed_in(&in_))),
        Ok(Entrance::SecondFactor { challenge }) => {
            let error = "second_factor_required".to_owned();
            let body = SdkError { error, reason: None, until: None, challenge: Some(challenge) };
            refuse(StatusCode::UNAUTHORIZED, &body)
        }
        Err(error) => answer(Err(error)),
    })
}

/// Come as a guest (SDK: `signInAnonymously`)
#[utoipa::path(
    post, path = "/auth/anonymous", tag = "auth", operation_id = "authAnonymous", request_body = GuestOptions,
    responses((status = 200, description = "In", body = Tokens))
)]
async fn anonymous(
    State(accounts): State<Accounts>,
    caller: Caller,
    headers: HeaderMap,
    Json(body): Json<GuestOptions>,
) -> Response<Body> {
    let device = device(&caller, &headers);
    answer(accounts.guest(&customer(), body.options, &device).await.map(|in_| signed_in(&in_)))
}

/// Ask for a new password by mail (SDK: `sendPasswordResetEmail`)
///
/// Answered `true` whether there is such an account or not.
#[utoipa::path(
    post, path = "/auth/forgot-password", tag = "auth", operation_id = "authForgotPassword", request_body = Address,
    responses(
        (status = 200, description = "If there is such an account, a mail is on its way", body = bool, content_type = "application/json"),
        (status = 400, description = "email_malformed", body = SdkRefusal),
    )
)]
async fn forgot_password(
    State(accounts): State<Accounts>,
    caller: Caller,
    Json(address): Json<Address>,
) -> Response<Body> {
    answer(accounts.request_reset(&customer(), &address.email, &caller.network()).map(|()| Value::Bool(true)))
}

/// In the SDK's form.
fn answer(result: Result<Value, AccountError>) -> Response<Body> {
    let error = match result {
        Ok(value) => return Json(value).into_response(),
        Err(error) => error,
    };
    let plain =
        |error: &str| SdkError { error: error.to_owned(), reason: None, until: None, challenge: None };
    let unauthorized = |error| refuse(StatusCode::UNAUTHORIZED, &plain(error));
    match error {
        AccountError::InvalidCredentials => unauthorized("invalid_credentials"),
        AccountError::EmailTaken => unauthorized("email_already_in_use"),
        AccountError::EmailMalformed => refuse(StatusCode::BAD_REQUEST, &plain("email_malformed")),
        AccountError::Password(problem) => {
            use everplay_accounts::PasswordProblem::{Common, Context, TooLong, TooShort};
            let code = match problem {
                TooShort => "password_too_short",
                TooLong => "password_too_long",
                Common => "password_too_common",
                Context => "password_holds_own_name",
            };
            refuse(StatusCode::BAD_REQUEST, &plain(code))
        }
        AccountError::Banned { reason, until } => {
            let until = until.map(crate::accounts::time);
            refuse(
                StatusCode::FORBIDDEN,
                &SdkError { error: "banned".to_owned(), reason: Some(reason), until, challenge: None },
            )
        }
        other => ApiError::from(other).into_response(),
    }
}

fn refuse(status: StatusCode, body: &SdkError) -> Response<Body> {
    let mut response = Response::new(Body::from(serde_json::to_vec(body).expect("texts are JSON")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
