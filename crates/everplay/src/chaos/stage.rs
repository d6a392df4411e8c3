//! A region to try: a page with the game, and beside it the nodes, each with a button that kills it.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | the page |
//! | `GET /nodes` | `[{"name", "zone", "state", "rooms", "sockets"}]` |
//! | `POST /nodes/{n}/kill`, `/freeze`, `/wake`, `/start` | when it is done |
//!
//! It listens on loopback. A `POST` must carry the header `x-everplay-stage`, which no page of another site can send.

use super::child::trouble;
use super::network::Network;
use super::region::Region;
use crate::cli::ClusterTask;
use crate::{Error, Result};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

const PAGE: &str = include_str!("stage.html");
/// Runs no script but the page's own, and shows nothing but the game.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src";
const SCRIPT: &str = include_str!("stage.js");
const STYLE: &str = include_str!("stage.css");
const MARK: &str = "x-everplay-stage";

struct Stage {
    region: Mutex<Region>,
    /// Nodes that stand still.
    frozen: Mutex<BTreeSet<usize>>,
    game: String,
}

#[derive(Serialize)]
struct NodeLine {
    name: String,
    zone: &'static str,
    /// `plays`, `starts`, `frozen` or `dead`.
    state: &'static str,
    rooms: usize,
    sockets: usize,
}

/// Starts the region and serves the page until it is dropped.
pub(super) async fn run(task: ClusterTask) -> Result {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, task.port)).await;
    let listener = listener.map_err(Error::system("the page's port cannot be listened on"))?;
    let address = listener.local_addr().map_err(Error::system("the page has no address"))?;
    let settings = vec![("EVERPLAY_FRAME_ANCESTORS", format!("http://{address}"))];
    let region = Region::start(task.nodes, Network::Loopback, settings).await?;
    let game = region.url();
    let stage = Arc::new(Stage { region: Mutex::new(region), frozen: Mutex::default(), game });
    let app = Router::new()
        .route("/", get(page))
        .route("/stage.js", get(async || ([(header::CONTENT_TYPE, "text/javascript")], SCRIPT)))
        .route("/stage.css", get(async || ([(header::CONTENT_TYPE, "text/css")], STYLE)))
        .route("/nodes", get(nodes))
        .route("/nodes/{n}/{what}", post(act))
        .with_state(stage);
    let url = format!("http://{address}/");
    println!("play at {url} and kill what you like (Ctrl-C stops everything)");
    // Whoever has no browser here reads the line above.
    drop(Command::new("xdg-open").arg(&url).spawn());
    axum::serve(listener, app).await.map_err(Error::system("the page cannot be served"))
}

async fn page(State(stage): State<Arc<Stage>>) -> Response {
    let policy = format!("{POLICY} {}", stage.game);
    let page = Html(PAGE.replace("{game}", &stage.game));
    ([(header::CONTENT_SECURITY_POLICY, policy)], page).into_response()
}

async fn nodes(State(stage): State<Arc<Stage>>) -> Json<Vec<NodeLine>> {
    let mut region = stage.region.lock().await;
    let frozen = stage.frozen.lock().await.clone();
    let mut lines = Vec::new();
    for n in 0..region.nodes.len() {
        // While PostgreSQL is busy nobody is wronged by a stale number.
        let rooms = region.rooms_of(n).await.map_or(0, |rooms| rooms.len());
        let ended = region.nodes[n].has_ended();
        let state = match (ended, frozen.contains(&n), region.balancer.is_ready(n)) {
            (true, _, _) => "dead",
            (_, true, _) => "frozen",
            (_, _, false) => "starts",
            _ => "plays",
        };
        lines.push(NodeLine {
            name: format!("node {}", n + 1),
            zone: region.nodes[n].zone(),
            state,
            rooms: if ended { 0 } else { rooms },
            sockets: region.balancer.carried(n),
        });
    }
    Json(lines)
}

async fn act(
    State(stage): State<Arc<Stage>>,
    Path((n, what)): Path<(usize, String)>,
    headers: HeaderMap,
) -> Response {
    if !headers.contains_key(MARK) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let mut region = stage.region.lock().await;
    let mut frozen = stage.frozen.lock().await;
    let Some(node) = region.nodes.get_mut(n) else { return StatusCode::NOT_FOUND.into_response() };
    let done = match what.as_str() {
        "kill" => {
            node.kill();
            Ok(())
        }
        "freeze" => node.signal("STOP").map(|()| {
            frozen.insert(n);
        }),
        "wake" => node.signal("CONT"),
        "start" => node.launch(),
        _ => Err(trouble("nothing of that name can be done")),
    };
    if what != "freeze" {
        frozen.remove(&n);
    }
    match done {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}
