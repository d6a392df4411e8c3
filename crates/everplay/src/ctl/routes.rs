//! `/cluster/...` on a node's listener, for whoever has the cluster's key.
//!
//! | request | answer |
//! |---|---|
//! | `GET /cluster/nodes` | `{"nodes": [..]}`, the asked one first |
//! | `GET /cluster/rooms` | `{"rooms": [..]}` of all nodes, oldest first |
//! | `GET /cluster/rooms/{id}` | the room |
//! | `POST /cluster/rooms/{id}/move` with `{"to": incarnation}` | when it plays there |
//! | `POST /cluster/nodes/{incarnation}/drain`, `.../undrain` | when the node has heard it |
//!
//! Errors are `{"error": {"code", "message"}}`. Without a key there are no such routes.

use axum::Json;
use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use everplay_link::ClusterKey;
use everplay_node::{ClusterHandle, MoveError};
use everplay_types::{Incarnation, RoomId};
use serde::Deserialize;
use serde_json::{Value, json};

/// The routes of a node of this cluster.
pub(crate) fn router(cluster: ClusterHandle, key: ClusterKey) -> Router {
    Router::new()
        .route("/cluster/nodes", get(nodes))
        .route("/cluster/rooms", get(rooms))
        .route("/cluster/rooms/{id}", get(room))
        .route("/cluster/rooms/{id}/move", post(move_room))
        .route("/cluster/nodes/{incarnation}/drain", post(drain))
        .route("/cluster/nodes/{incarnation}/undrain", post(undrain))
        .with_state(cluster)
        .layer(from_fn_with_state(key, guard))
}

/// Lets through who presents the key.
async fn guard(State(key): State<ClusterKey>, request: Request, next: Next) -> Response {
    let presented = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let presented = presented.and_then(|text| text.strip_prefix("Bearer "));
    // Compared as hashes, in constant time.
    if presented.is_some_and(|presented| key.is(presented)) {
        return next.run(request).await;
    }
    let refusal =
        Refusal(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", "that is not the cluster's key".to_owned());
    let mut response = refusal.into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// Status, stable code, and a sentence for people.
struct Refusal(StatusCode, &'static str, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Refusal(status, code, message) = self;
        (status, Json(json!({ "error": { "code": code, "message": message } }))).into_response()
    }
}

impl From<MoveError> for Refusal {
    fn from(error: MoveError) -> Self {
        let (status, code) = match &error {
            MoveError::NotHere => (StatusCode::NOT_FOUND, "NO_SUCH_ROOM"),
            MoveError::NoSuchNode => (StatusCode::NOT_FOUND, "NO_SUCH_NODE"),
            MoveError::There => (StatusCode::CONFLICT, "ALREADY_THERE"),
            MoveError::NotHeld | MoveError::NotStill => (StatusCode::SERVICE_UNAVAILABLE, "TRY_AGAIN"),
            MoveError::Refused(_) => (StatusCode::CONFLICT, "REFUSED"),
        };
        Refusal(status, code, error.to_string())
    }
}

fn room_id(text: &str) -> Result<RoomId, Refusal> {
    RoomId::new(text).map_err(|_| no_such_room())
}

fn no_such_room() -> Refusal {
    Refusal(StatusCode::NOT_FOUND, "NO_SUCH_ROOM", "no living node runs this room".to_owned())
}

/// 32 hexadecimal digits.
fn incarnation(text: &str) -> Result<Incarnation, Refusal> {
    let read = || {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u128::from_str_radix(text, 16).ok().filter(|_| digits)
    };
    let number = read().ok_or_else(|| {
        Refusal(StatusCode::NOT_FOUND, "NO_SUCH_NODE", "a node is named by 32 hexadecimal digits".to_owned())
    })?;
    Ok(Incarnation(number.to_be_bytes()))
}

async fn nodes(State(cluster): State<ClusterHandle>) -> Json<Value> {
    Json(json!({ "nodes": cluster.nodes() }))
}

async fn rooms(State(cluster): State<ClusterHandle>) -> Json<Value> {
    Json(json!({ "rooms": cluster.rooms() }))
}

async fn room(State(cluster): State<ClusterHandle>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let id = room_id(&id)?;
    let found = cluster.rooms().into_iter().find(|room| room.id == id).ok_or_else(no_such_room)?;
    Ok(Json(found).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct To {
    to: String,
}

async fn move_room(
    State(cluster): State<ClusterHandle>,
    Path(id): Path<String>,
    body: Result<Json<To>, JsonRejection>,
) -> Result<Json<Value>, Refusal> {
    let id = room_id(&id)?;
    let Json(To { to }) =
        body.map_err(|error| Refusal(StatusCode::BAD_REQUEST, "INVALID_REQUEST", error.body_text()))?;
    cluster.move_room(id.clone(), incarnation(&to)?).await?;
    Ok(Json(json!({ "room": id, "owner": to })))
}

async fn drain(
    State(cluster): State<ClusterHandle>,
    Path(node): Path<String>,
) -> Result<Json<Value>, Refusal> {
    mark(cluster, node, true).await
}

async fn undrain(
    State(cluster): State<ClusterHandle>,
    Path(node): Path<String>,
) -> Result<Json<Value>, Refusal> {
    mark(cluster, node, false).await
}

async fn mark(cluster: ClusterHandle, node: String, draining: bool) -> Result<Json<Value>, Refusal> {
    cluster.set_draining(incarnation(&node)?, draining).await?;
    tracing::info!(node, draining, "marked by an operator");
    Ok(Json(json!({ "node": node, "draining": draining })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_in_full() {
        let name = Incarnation([0xab; 16]);
        assert!(incarnation(&name.to_string()).is_ok_and(|read| read == name));
        for wrong in ["", "ab", "+bababababababababababababababab", &"g".repeat(32), &"a".repeat(33)] {
            assert!(incarnation(wrong).is_err(), "{wrong}");
        }
    }
}
