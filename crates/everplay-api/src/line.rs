//! `/@connections/{id}`: a server of ours says something to one connection of the line, as the management call of the
//! origin's gateway did.
//!
//! Connections are those of the plain WebSocket of the waiting line (docs/line.md), whichever node holds them.

use crate::error::timestamp;
use crate::identity::need::RoomsManage;
use crate::{Allowed, ApiError, BoxFuture, Json, Path};
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
    fn post<'a>(&'a self, connection: &'a str, text: String) -> BoxFuture<'a, Result<(), PostError>>;
    /// Since when it is there.
    fn about<'a>(&'a self, connection: &'a str) -> BoxFuture<'a, Result<AboutConnection, PostError>>;
    /// Closes it.
    fn close<'a>(&'a self, connection: &'a str) -> BoxFuture<'a, Result<(), PostError>>;
}

/// Why a text is not on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostError {
    /// No such connection, or no more.
    Gone,
    /// It has not taken what was sent before, or whoever holds it does not answer.
    Busy,
}

impl From<PostError> for ApiError {
    fn from(error: PostError) -> Self {
        match error {
            PostError::Gone => {
                ApiError::new(StatusCode::GONE, "GONE", "this connection is not there any more")
            }
            PostError::Busy => ApiError::overloaded("the connection"),
        }
    }
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
    // The origin's tools put the stage in front.
    let of_the_stage = axum::routing::post(post).get(about).delete(close);
    OpenApiRouter::new()
        .routes(routes!(post, about, close))
        .route("/production/@connections/{id}", of_the_stage)
        .with_state(connections)
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
    connections.post(&id, text).await?;
    Ok(StatusCode::OK)
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
    let about = connections.about(&id).await?;
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
    connections.close(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}
