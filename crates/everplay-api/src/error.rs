//! The error envelope: `{"error":{"code","message","details","timestamp","requestId"}}`.
//!
//! A handler says what went wrong; the outermost layer writes the body, because only it knows the request's name. So
//! whatever refuses, an extractor, a limit, a handler or a panic, says it in the same words.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use utoipa::ToSchema;

/// A refusal: a status, a stable code for programs, a sentence for people. Safe to show.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    /// The answer's status.
    pub status: StatusCode,
    /// Stable; upper case with underscores. `docs/api.md` lists them.
    pub code: &'static str,
    /// For people. Never what a stranger sent, never what a store said.
    pub message: String,
    /// What a program needs to mend it; null when there is nothing.
    pub details: Value,
    /// When to come again.
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// A refusal without details.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: Value::Null, retry_after: None }
    }

    /// 400: the request does not say what it should.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message)
    }

    /// 400 about one field.
    pub fn invalid_field(field: &str, message: impl Into<String>) -> Self {
        Self::invalid(message).details(json!({ "field": field }))
    }

    /// 401: nobody knows who asks.
    pub fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", "sign in first")
    }

    /// 403: it is known who asks, and they may not.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "FORBIDDEN", message)
    }

    /// 404: no such thing, or none that the asker may know of.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", format!("there is no such {what}"))
    }

    /// 409: it contradicts what is so already.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// 429 with the time after which it would be taken.
    pub fn too_many(message: impl Into<String>, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", message)
        }
    }

    /// 503: something that is no database (a room, a provider) cannot answer now. Asking again is right.
    pub fn unavailable(what: &str) -> Self {
        Self::passing("UNAVAILABLE", format!("{what} cannot answer now"))
    }

    /// 503: a database cannot be reached. Asking again is right, in a while.
    pub fn database_unavailable(what: &str) -> Self {
        Self::passing("DATABASE_UNAVAILABLE", format!("{what} cannot be reached now"))
    }

    /// 503: there is more to do than can be done: a pool, a queue or a budget is exhausted. Nothing was done.
    pub fn overloaded(what: &str) -> Self {
        Self::passing("OVERLOADED", format!("{what} has too much to do"))
    }

    /// 503: it took too long and was given up; for a change it is not known here whether it was made.
    pub fn timed_out() -> Self {
        Self::passing("TIMEOUT", "it took too long and was given up".to_owned())
    }

    fn passing(code: &'static str, message: String) -> Self {
        Self {
            retry_after: Some(Duration::from_secs(1)),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
        }
    }

    /// 500: a broken invariant. The cause is logged where it is known, and not told.
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "something broke on our side")
    }

    /// With what a program needs to mend it.
    #[must_use]
    pub fn details(mut self, details: Value) -> Self {
        self.details = details;
        self
    }

    pub(crate) fn body(&self, request_id: &str) -> ErrorEnvelope {
        ErrorEnvelope {
            error: ErrorBody {
                code: self.code.to_owned(),
                message: self.message.clone(),
                details: self.details.clone(),
                timestamp: timestamp(SystemTime::now()),
                request_id: request_id.to_owned(),
            },
        }
    }

    /// The whole answer, written.
    pub(crate) fn write(&self, request_id: &str) -> Response<Body> {
        let body = serde_json::to_vec(&self.body(request_id)).expect("texts and JSON are JSON");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after {
            // Whole seconds, rounded up: coming at the second told is never too early.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

impl IntoResponse for ApiError {
    /// A marked answer without a body; the outermost layer writes it.
    fn into_response(self) -> axum::response::Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        response.extensions_mut().insert(self);
        response
    }
}

/// The body of every refusal.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ErrorEnvelope {
    /// What went wrong.
    pub error: ErrorBody,
}

/// What went wrong.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// Stable; upper case with underscores.
    #[schema(example = "NOT_FOUND")]
    pub code: String,
    /// For people.
    pub message: String,
    /// What a program needs to mend it.
    pub details: Value,
    /// RFC 3339 in UTC with milliseconds.
    #[schema(example = "2026-01-31T12:00:00.000Z")]
    pub timestamp: String,
    /// The name of the request in our logs.
    pub request_id: String,
}

/// RFC 3339 in UTC with milliseconds. Times before 1970 are 1970.
pub fn timestamp(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    everplay_types::timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_whole_seconds_rounded_up() {
        let answer = ApiError::too_many("slow down", Duration::from_millis(1_001)).write("r");
        assert_eq!(answer.headers()[header::RETRY_AFTER], "2");
    }
}
