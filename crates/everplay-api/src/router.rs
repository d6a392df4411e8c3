//! Puts services together and wraps them in what all share.

use crate::error::ApiError;
use crate::identity::{Asking, Authenticate, Who, bearer};
use crate::levels::Levels;
use crate::rate::{RatePolicy, Rates};
use crate::{Caller, csrf, document, headers};
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use everplay_accounts::Principal;
use everplay_live::Allowances;
use std::sync::Arc;
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

/// Every route is also served below this.
pub(crate) const PREFIX: &str = "/api";

/// What all services share.
pub struct Layers {
    /// Finds out who asks.
    pub authenticate: Arc<dyn Authenticate>,
    /// How often one may ask.
    pub rates: RatePolicy,
    /// What servers that share their stores count together; `None`: this one counts alone.
    pub shared_rates: Option<Arc<dyn Allowances>>,
    /// How much of the service there is.
    pub levels: Levels,
    /// Longest a handler may take; then 503. Default 10 s.
    pub timeout: Duration,
    /// Largest body; a larger one is answered 413. Default 64 KiB.
    pub max_body: usize,
}

impl Layers {
    /// The defaults.
    pub fn new(authenticate: Arc<dyn Authenticate>) -> Self {
        Self {
            authenticate,
            rates: RatePolicy::default(),
            shared_rates: None,
            levels: Levels::default(),
            timeout: Duration::from_secs(10),
            max_body: 64 << 10,
        }
    }
}

/// Services, put together.
pub struct Api {
    services: OpenApiRouter,
}

impl Api {
    /// None yet.
    #[expect(clippy::new_without_default, reason = "an Api is built in a chain that starts with a verb")]
    pub fn new() -> Self {
        Self { services: document::begin() }
    }

    /// Adds a service. Paths must not collide.
    #[must_use]
    pub fn service(mut self, routes: OpenApiRouter) -> Self {
        self.services = self.services.merge(routes);
        self
    }

    /// The document of all services.
    pub fn document(&self) -> OpenApi {
        document::finish(self.services.get_openapi().clone())
    }

    /// The router of all services, their document and its page, each also below `/api`; 404 for other paths is left to whoever mounts it.
    pub fn router(self, layers: Layers) -> Router {
        let pages = document::routes(&self.document());
        let (services, _) = self.services.split_for_parts();
        let rates = Rates::new(layers.rates, layers.shared_rates);
        let shared = Arc::new(Shared {
            asking: Asking::new(layers.authenticate),
            rates,
            levels: layers.levels,
            timeout: layers.timeout,
        });
        let services = services
            .merge(pages)
            .method_not_allowed_fallback(|| async {
                let message = "this path does not take that method";
                ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message)
            })
            .layer(DefaultBodyLimit::max(layers.max_body))
            .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
                ApiError::internal().into_response()
            }))
            .layer(from_fn_with_state(shared, around));
        // What is inside sees the path without the prefix.
        Router::new().nest(PREFIX, services.clone()).merge(services)
    }
}

struct Shared {
    asking: Asking,
    rates: Rates,
    levels: Levels,
    timeout: Duration,
}

/// Around every request: who asks and whether they may ask now, then the handler, then the answer's form.
async fn around(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let caller = match request.extensions().get::<Caller>() {
        Some(caller) => caller.clone(),
        None => {
            let caller = Caller::stranger();
            request.extensions_mut().insert(caller.clone());
            caller
        }
    };
    let who = match bearer(request.headers()) {
        None => Who::Nobody,
        Some(token) => shared.asking.who(token, request.method().is_safe()).await,
    };
    let (key, limit) = match &who {
        Who::Known(Principal::Player(identity)) | Who::Believed(identity) if !identity.guest => {
            (format!("account {} {}", identity.customer, identity.id), shared.rates.account())
        }
        Who::Known(Principal::Player(identity)) | Who::Believed(identity) => {
            (format!("guest {} {}", identity.customer, identity.id), shared.rates.guest())
        }
        Who::Known(Principal::Server(key)) => {
            (format!("key {} {}", key.customer, key.key), shared.rates.account())
        }
        Who::Nobody | Who::Rejected(_) => (format!("network {}", caller.network()), shared.rates.guest()),
    };
    let (method, route) = (request.method().clone(), request.extensions().get::<MatchedPath>().cloned());
    let account = account_of(&who);
    let (taken, allowed) = shared.rates.take(key, limit).await;
    let allowed = allowed
        .map_err(ApiError::from)
        .and_then(|()| shared.levels.admit(request.method(), request.uri().path()))
        .and_then(|()| csrf::check(request.method(), request.headers()));
    let response = match allowed {
        Err(refusal) => refusal.into_response(),
        Ok(()) => {
            request.extensions_mut().insert(who);
            match tokio::time::timeout(shared.timeout, next.run(request)).await {
                Ok(response) => response,
                Err(_) => ApiError::timed_out().into_response(),
            }
        }
    };
    if let Some(code) = refused_for_security(&response, route.as_ref()) {
        let route = route.as_ref().map_or("", MatchedPath::as_str);
        tracing::warn!(
            target: "security", code, %method, route, account.id = account, network = caller.network(),
            request.id = %caller.request_id, "refused"
        );
    }
    let mut response = in_form(response, &caller);
    if let Some(route) = route {
        // For the edge's line about this request.
        response.extensions_mut().insert(route);
    }
    taken.apply(response.headers_mut());
    headers::apply(response.headers_mut());
    shared.levels.apply(response.headers_mut());
    let id =
        HeaderValue::from_str(&caller.request_id).expect("the edge takes only header text as a request's id");
    response.headers_mut().insert(HeaderName::from_static("x-request-id"), id);
    response
}

/// The account that asks, for log lines; empty for strangers.
fn account_of(who: &Who) -> String {
    match who {
        Who::Known(Principal::Player(identity)) | Who::Believed(identity) => identity.id.to_string(),
        Who::Known(Principal::Server(key)) => format!("key {}", key.key),
        Who::Nobody | Who::Rejected(_) => String::new(),
    }
}

/// Refusals that whoever watches over the server wants to hear of: proofs that were none, and what somebody may not do. A token
/// that has expired is none of them.
const OF_SECURITY: [&str; 8] = [
    "INVALID_CREDENTIALS",
    "WRONG_CODE",
    "PROVIDER_REFUSED",
    "BANNED",
    "FORBIDDEN",
    "SECOND_FACTOR_REQUIRED",
    "PASSWORD_REQUIRED",
    "CROSS_SITE",
];

/// The code under which a refusal is told to them. Sign-ins of SDKs are refused in the SDKs' own words.
fn refused_for_security(response: &Response, route: Option<&MatchedPath>) -> Option<&'static str> {
    match response.extensions().get::<ApiError>() {
        Some(refusal) => OF_SECURITY.into_iter().find(|code| *code == refusal.code),
        None => {
            let refused = matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            (refused && route.is_some_and(|route| route.as_str().contains("/auth")))
                .then_some("SIGN_IN_REFUSED")
        }
    }
}

/// Writes the envelope of a refusal.
fn in_form(response: Response, caller: &Caller) -> Response {
    let Some(refusal) = response.extensions().get::<ApiError>() else { return response };
    if refusal.status.is_server_error() {
        tracing::warn!(request.id = %caller.request_id, code = refusal.code, "a request could not be served");
    }
    let mut written: Response<Body> = refusal.write(&caller.request_id);
    for (name, value) in response.headers() {
        if !written.headers().contains_key(name) && name != axum::http::header::CONTENT_LENGTH {
            written.headers_mut().append(name.clone(), value.clone());
        }
    }
    written
}
