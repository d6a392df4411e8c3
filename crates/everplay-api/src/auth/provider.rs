//! Signing in elsewhere, as the SDK's `signInWithProvider` does it: a window goes to the provider and back, and tells
//! the page that opened it.
//!
//! Whom it tells matters: any page can open that window, and a provider that knows the browser asks nothing. So the
//! outcome goes to pages of our own origin and of those the operator names, and to nobody else.
//!
//! A link to an account is begun with that account's token in the URL, because the SDK does so. Another site could send
//! a browser there with a token of its own, to have its owner's identity linked to the wrong account: when the browser
//! says that another site sent it, a page asks first.

use super::forms::{escape, page};
use super::{customer, device, signed_in};
use crate::{ApiError, Caller, Form, Path, Query, Rejected, Who};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use everplay_accounts::{AccountError, Accounts, Entrance, Principal, Returned, SocialProblem};
use everplay_types::Identity;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Ties a sign-in to the browser that began it.
const COOKIE: &str = "everplay-social";

/// Origins of pages on other hosts that may hear of a sign-in: `https://play.example`, without a path.
#[derive(Debug, Clone, Default)]
pub struct Origins(pub Arc<[String]>);

#[derive(Clone)]
struct Social {
    accounts: Accounts,
    origins: Origins,
}

#[derive(Debug, Default, Deserialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
struct Begin {
    /// The access token of an account that the identity is to be linked to.
    #[serde(default)]
    token: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Callback {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

pub(super) fn routes(accounts: Accounts, origins: Origins) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(begin, begin_after_asking))
        .routes(routes!(callback))
        .route("/auth/done.js", axum::routing::get(script))
        .with_state(Social { accounts, origins })
}

/// The providers there are
#[utoipa::path(
    get, path = "/auth/providers", tag = "auth", operation_id = "listProviders",
    responses((status = 200, description = "Their names", body = Vec<String>))
)]
async fn list(State(social): State<Social>) -> crate::Json<Vec<String>> {
    crate::Json(social.accounts.providers())
}

/// Go to a provider (SDK: `signInWithProvider`)
#[utoipa::path(
    get, path = "/auth/provider/{name}", tag = "auth", operation_id = "beginProvider",
    params(("name" = String, Path, description = "A provider"), Begin),
    responses(
        (status = 200, description = "A page that asks before it links", content_type = "text/html"),
        (status = 303, description = "To the provider"),
    )
)]
async fn begin(
    State(social): State<Social>,
    headers: HeaderMap,
    Path(name): Path<String>,
    Query(begin): Query<Begin>,
) -> Result<Response<Body>, ApiError> {
    let link_to = social.link_to(begin.token.as_deref()).await?;
    let foreign = headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
    if let (Some(identity), true) = (&link_to, foreign) {
        let body = format!(
            "<p>Sign in at {} and link it to the account <b>{}</b>?</p><form method=post><input type=hidden name=token \
             value=\"{}\"><button>Yes, link it</button></form>",
            escape(&name),
            escape(&identity.name),
            escape(begin.token.as_deref().unwrap_or_default()),
        );
        return Ok(keeping_opener(page(StatusCode::OK, "Link an account", &body)));
    }
    social.go(&name, link_to.as_ref(), &headers).await
}

/// Go to a provider, after the page that asks
#[utoipa::path(
    post, path = "/auth/provider/{name}", tag = "auth", operation_id = "beginProviderAfterAsking",
    params(("name" = String, Path, description = "A provider")),
    request_body(content = Begin, content_type = "application/x-www-form-urlencoded"),
    responses((status = 303, description = "To the provider"))
)]
async fn begin_after_asking(
    State(social): State<Social>,
    headers: HeaderMap,
    Path(name): Path<String>,
    Form(begin): Form<Begin>,
) -> Result<Response<Body>, ApiError> {
    if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        return Err(ApiError::forbidden("this request came from another site"));
    }
    let link_to = social.link_to(begin.token.as_deref()).await?;
    social.go(&name, link_to.as_ref(), &headers).await
}

impl Social {
    async fn link_to(&self, token: Option<&str>) -> Result<Option<Identity>, ApiError> {
        let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
        match self.accounts.verify(token).await {
            Ok(Principal::Player(identity)) => Ok(Some(identity)),
            // The SDK sends whatever token it has. An old one is a guest's who comes back to a page left open, or a stranger's.
            _ => super::guest(&self.accounts, &Who::Rejected(Rejected::Invalid), Some(token)).await,
        }
    }

    async fn go(
        &self,
        name: &str,
        link_to: Option<&Identity>,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, ApiError> {
        let begun = self.accounts.begin_social(&customer(), name, link_to, self.opener(headers)).await?;
        let mut response = StatusCode::SEE_OTHER.into_response();
        let location =
            HeaderValue::from_str(&begun.url).map_err(|_| ApiError::unavailable("the provider"))?;
        response.headers_mut().insert(header::LOCATION, location);
        response.headers_mut().insert(header::SET_COOKIE, cookie(self.accounts.public_url(), &begun.cookie));
        Ok(keeping_opener(response))
    }

    /// The origin of the page that opened the window, if it may hear of the outcome.
    fn opener(&self, headers: &HeaderMap) -> Option<String> {
        let referer = headers.get(header::REFERER)?.to_str().ok()?;
        let end = referer.find("://")? + 3;
        let origin = &referer[..referer[end..].find('/').map_or(referer.len(), |slash| end + slash)];
        self.origins.0.iter().find(|allowed| *allowed == origin).cloned()
    }
}

/// Come back from a provider
///
/// The page tells the window that opened it: `{user, token, refreshToken}`, or `{error}`.
#[utoipa::path(
    get, path = "/auth/provider/{name}/callback", tag = "auth", operation_id = "endProvider",
    params(("name" = String, Path, description = "A provider"), Callback),
    responses((status = 200, description = "A page that tells its opener", content_type = "text/html"))
)]
async fn callback(
    State(social): State<Social>,
    caller: Caller,
    headers: HeaderMap,
    Path(name): Path<String>,
    Query(back): Query<Callback>,
) -> Result<Response<Body>, ApiError> {
    let accounts = &social.accounts;
    let returned = Returned { code: back.code, state: back.state, iss: back.iss, error: back.error };
    let cookie = cookie_of(&headers);
    let device = device(&caller, &headers);
    let ended = accounts.end_social(&customer(), &name, &returned, cookie, &device).await;
    let failed = |error: &str| json!({ "error": error, "user": null, "token": null });
    let (told, opener) = match ended {
        Ok(outcome) => match outcome.entrance {
            Entrance::Open(in_) => (signed_in(&in_), outcome.opener),
            Entrance::SecondFactor { challenge } => {
                let mut told = failed("second_factor_required");
                told["challenge"] = Value::from(challenge);
                (told, outcome.opener)
            }
        },
        Err(AccountError::Banned { reason, until }) => {
            let mut told = failed("banned");
            told["reason"] = Value::from(reason);
            told["until"] = until.map(crate::accounts::time).into();
            (told, None)
        }
        Err(AccountError::Social(SocialProblem::Refused)) => (failed("refused"), None),
        Err(AccountError::Social(SocialProblem::State)) => (failed("begin_again"), None),
        Err(AccountError::Conflict(_)) => (failed("identity_already_linked"), None),
        Err(error @ AccountError::Store(_)) => return Err(error.into()),
        Err(_) => (failed("provider_failed"), None),
    };
    let title = if told["error"].is_null() { "You are signed in" } else { "That did not work" };
    let body = format!(
        "<p id=outcome data-outcome=\"{}\" data-target=\"{}\">You can close this window.</p>\
         <script src=\"/auth/done.js\"></script>",
        escape(&told.to_string()),
        escape(&opener.unwrap_or_else(|| accounts.public_url().to_owned())),
    );
    let mut response = page(StatusCode::OK, title, &body);
    const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; base-uri 'none'; \
                          form-action 'none'; frame-ancestors 'none'";
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(keeping_opener(response))
}

async fn script() -> impl IntoResponse {
    let headers =
        [(header::CONTENT_TYPE, "text/javascript; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, include_str!("done.js"))
}

/// The opener's policy of these pages: with the strict one of all others, the browser would cut the window off from the
/// page that waits for it.
fn keeping_opener(mut response: Response<Body>) -> Response<Body> {
    let name = HeaderName::from_static("cross-origin-opener-policy");
    response.headers_mut().insert(name, HeaderValue::from_static("unsafe-none"));
    response
}

/// `Lax`, because the provider's redirect must bring it.
pub(super) fn cookie(public_url: &str, secret: &str) -> HeaderValue {
    let secure = if public_url.starts_with("https://") { "; Secure" } else { "" };
    let text = format!("{COOKIE}={secret}; Path=/auth/provider; Max-Age=600; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::from_str(&text).expect("secrets are of the alphabet of URLs")
}

fn cookie_of(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}
