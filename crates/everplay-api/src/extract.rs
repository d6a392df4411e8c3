//! axum's extractors, refusing in the envelope.

use crate::ApiError;
use axum::body::Bytes;
use axum::extract::rejection::{FormRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A JSON body, read or written. Reading wants `content-type: application/json`.
#[derive(Debug, Clone, Copy, FromRequest)]
#[from_request(via(axum::Json), rejection(ApiError))]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> axum::response::Response {
        axum::Json(self.0).into_response()
    }
}

/// `Option<Json<T>>`: a request with nothing in its body is none, whatever type it gives that.
impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, ApiError> {
        let (parts, body) = request.into_parts();
        let whole = Bytes::from_request(Request::from_parts(parts.clone(), body), state).await;
        let body = whole.map_err(|rejection| unreadable(rejection.status()))?;
        if body.is_empty() {
            return Ok(None);
        }
        let request = Request::from_parts(parts, body.into());
        <Json<T> as FromRequest<S>>::from_request(request, state).await.map(Some)
    }
}

/// Segments of the path.
#[derive(Debug, Clone, Copy, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
pub struct Path<T>(pub T);

/// The query string.
#[derive(Debug, Clone, Copy, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
pub struct Query<T>(pub T);

/// A form's body. Reading wants `content-type: application/x-www-form-urlencoded`.
#[derive(Debug, Clone, Copy, FromRequest)]
#[from_request(via(axum::Form), rejection(ApiError))]
pub struct Form<T>(pub T);

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        match rejection {
            JsonRejection::MissingJsonContentType(_) => other_type("send the body as application/json"),
            JsonRejection::JsonDataError(error) => in_words(&error.body_text()),
            JsonRejection::JsonSyntaxError(_) => ApiError::invalid("the body is not JSON"),
            other => unreadable(other.status()),
        }
    }
}

impl From<FormRejection> for ApiError {
    fn from(rejection: FormRejection) -> Self {
        match rejection {
            FormRejection::InvalidFormContentType(_) => {
                other_type("send the body as application/x-www-form-urlencoded")
            }
            FormRejection::FailedToDeserializeFormBody(error) => in_words(&error.body_text()),
            other => unreadable(other.status()),
        }
    }
}

fn other_type(message: &str) -> ApiError {
    ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message)
}

fn unreadable(status: StatusCode) -> ApiError {
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        return ApiError::new(status, "BODY_TOO_LARGE", "the body is too large");
    }
    ApiError::invalid("the body cannot be read")
}

impl From<PathRejection> for ApiError {
    fn from(_: PathRejection) -> Self {
        ApiError::invalid("the path cannot be read")
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        in_words(&rejection.body_text())
    }
}

/// What does not fit, in our own words, with the field it is about; never with what was sent. The library says
/// `Failed to deserialize the JSON body into the target type: players[0].name: invalid type: integer `1`, expected a string at
/// line 1 column 30`.
fn in_words(said: &str) -> ApiError {
    let said = said
        .strip_prefix("Failed to deserialize ")
        .and_then(|rest| rest.split_once(": "))
        .map_or(said, |(_, rest)| rest);
    let (path, problem) = match PROBLEMS.iter().filter_map(|start| said.find(start)).min() {
        Some(0) => ("", said),
        Some(at) => (said[..at].trim_end_matches(": "), &said[at..]),
        None => return ApiError::invalid("the request does not say what it should"),
    };
    let problem = problem.rsplit_once(" at line ").map_or(problem, |(problem, _)| problem);
    let named = problem.split('`').nth(1).filter(|name| is_name(name));
    let (field, message) = if problem.starts_with("missing field") {
        (below(path, named), "is missing".to_owned())
    } else if problem.starts_with("unknown field") {
        (below(path, named), "is not a field of this request".to_owned())
    } else if problem.starts_with("duplicate field") {
        (below(path, named), "stands there twice".to_owned())
    } else {
        let expected = problem.rsplit_once("expected ").map_or("something else", |(_, expected)| expected);
        (path.to_owned(), format!("must be {}", kind(expected)))
    };
    match field.as_str() {
        "" | "." => ApiError::invalid(format!("the request {message}")),
        field if is_name(field) => ApiError::invalid_field(field, format!("{field} {message}")),
        _ => ApiError::invalid("the request does not say what it should"),
    }
}

/// How the library begins what is wrong.
const PROBLEMS: [&str; 8] = [
    "missing field",
    "unknown field",
    "duplicate field",
    "unknown variant",
    "invalid type",
    "invalid value",
    "invalid length",
    "invalid digit",
];

/// Fields are named by us; what a stranger sent is not repeated, so what does not look like one of them is left out.
fn is_name(text: &str) -> bool {
    let ours = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'[' | b']' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(ours)
}

fn below(path: &str, name: Option<&str>) -> String {
    let name = name.unwrap_or_default();
    // The path of what is unknown ends with it already.
    match path {
        "" | "." => name.to_owned(),
        path if path == name || path.ends_with(&format!(".{name}")) => path.to_owned(),
        path => format!("{path}.{name}"),
    }
}

/// A type's name in Rust, in words.
fn kind(expected: &str) -> &str {
    match expected.trim_matches('`') {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" | "bool" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        other if other.starts_with("struct ") || other.starts_with("enum ") => "an object",
        _ if expected.starts_with("one of ") || expected.starts_with('`') => expected,
        other if other.starts_with("a ") || other.starts_with("an ") => other,
        _ => "something else",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_does_not_fit_is_told_in_our_words_with_its_field() {
        let body = |rest: &str| {
            in_words(&format!("Failed to deserialize the JSON body into the target type: {rest}"))
        };
        for (said, field, message) in [
            ("missing field `email` at line 1 column 2", "email", "email is missing"),
            (
                "settings: missing field `mode` at line 1 column 20",
                "settings.mode",
                "settings.mode is missing",
            ),
            (
                "extra: unknown field `extra`, expected `a` or `b` at line 1 column 9",
                "extra",
                "extra is not a field of this request",
            ),
            (
                "days: invalid type: string \"s3cret: x\", expected u32 at line 1 column 9",
                "days",
                "days must be a whole number that is not negative",
            ),
            (
                "level: unknown variant `none`, expected one of `full`, `limited` at line 1 column 9",
                "level",
                "level must be one of `full`, `limited`",
            ),
            (
                "players[0].name: invalid type: integer `1`, expected a string",
                "players[0].name",
                "players[0].name must be a string",
            ),
        ] {
            let refusal = body(said);
            assert_eq!((refusal.code, refusal.message.as_str()), ("INVALID_REQUEST", message), "{said}");
            assert_eq!(refusal.details, json!({ "field": field }));
        }
        let whole = body("invalid type: sequence, expected struct Credentials at line 1 column 0");
        assert_eq!((whole.message.as_str(), whole.details), ("the request must be an object", json!(null)));
        let query = in_words("Failed to deserialize query string: limit: invalid digit found in string");
        assert_eq!(query.details, json!({ "field": "limit" }));
        let odd = body("unknown field `<script>`, expected `a`");
        assert!(!odd.message.contains("script"), "{odd:?}");
    }
}
