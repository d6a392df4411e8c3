//! `/@connections/{id}`: a server of ours says something to one connection of the line, as the management call of the
//! origin's gateway did.
//!
//! Connections are those of the plain WebSocket of the waiting line (docs/line.md) that this process holds.

use crate::error::timestamp;
use crate::identity::need::RoomsManage;
use crate::{Allowed, ApiError, Json, Path};
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use std::time::SystemTime;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Plain connections by name. Implemented by whoever holds sockets.
pub trait Connections: Send + Sync + 'static {
    /// Puts a text on its way to a connection.
    fn post(&self, connection: &str, text: String) -> Result<(), PostError>;
    /// Since when it is there, and where from; None: it is not.
    fn about(&self, connection: &str) -> Option<AboutConnection>;
    /// Closes it. False: it is not there.
    fn close(&self, connection: &str) -> bool;
}

/// Why a text is not on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostError {
    /// No such connection, or no more.
    Gone,
    /// It has not taken what was sent before.
    Full,
}

/// What is known of a connection.
#[derive(Debug, Clone, Copy)]
pub struct AboutConnection {
    /// When it came.
    pub connected_at: SystemTime,
}

/// A connection of the line.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlainConnection {
    /// RFC 3339.
    pub connected_at: String,
}

type Holder = State<Arc<dyn Connections>>;

/// The routes.
pub fn routes(connections: Arc<dyn Connections>) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(post, about, close)).with_state(connections)
}

fn gone() -> ApiError {
    ApiError::new(StatusCode::GONE, "GONE", "this connection is not there any more")
}

/// Send a message to one connection of the line
///
/// The body goes out as it is, as one text message. For servers whose key has `rooms:manage`, and for operators.
#[utoipa::path(
    post, path = "/@connections/{id}", tag = "line", operation_id = "postToConnection",
    security(("bearer" = [])), params(("id" = String, Path, description = "A connection id")),
    request_body(content = String, content_type = "application/octet-stream", description = "At most 64 KiB of UTF-8"),
    responses((status = 200, description = "It is on its way"), (status = 410, description = "The connection is gone",
               body = crate::ErrorEnvelope))
)]
async fn post(
    State(connections): Holder,
    _: Allowed<RoomsManage>,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, ApiError> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", "the body is too large")
        }
        _ => ApiError::invalid("the body cannot be read"),
    })?;
    let text = String::from_utf8(body.into()).map_err(|_| ApiError::invalid("a message is UTF-8 text"))?;
    match connections.post(&id, text) {
        Ok(()) => Ok(StatusCode::OK),
        Err(PostError::Gone) => Err(gone()),
        Err(PostError::Full) => Err(ApiError::overloaded("the connection")),
    }
}

/// See whether a connection of the line is there
#[utoipa::path(
    get, path = "/@connections/{id}", tag = "line", operation_id = "getConnection",
    security(("bearer" = [])), params(("id" = String, Path, description = "A connection id")),
    responses((status = 200, description = "It is", body = PlainConnection),
              (status = 410, description = "The connection is gone", body = crate::ErrorEnvelope))
)]
async fn about(
    State(connections): Holder,
    _: Allowed<RoomsManage>,
    Path(id): Path<String>,
) -> Result<Json<PlainConnection>, ApiError> {
    let about = connections.about(&id).ok_or_else(gone)?;
    Ok(Json(PlainConnection { connected_at: timestamp(about.connected_at) }))
}

/// Close a connection of the line
#[utoipa::path(
    delete, path = "/@connections/{id}", tag = "line", operation_id = "deleteConnection",
    security(("bearer" = [])), params(("id" = String, Path, description = "A connection id")),
    responses((status = 204, description = "It is closed"),
              (status = 410, description = "The connection is gone", body = crate::ErrorEnvelope))
)]
async fn close(
    State(connections): Holder,
    _: Allowed<RoomsManage>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    if connections.close(&id) { Ok(StatusCode::NO_CONTENT) } else { Err(gone()) }
}
