//! Chooses rooms and sells seats.
//!
//! The room itself is the only one who gives a seat; what is known here are listings, which may be a moment old.
//! A room that filled up meanwhile says so and the next one is tried.

use crate::host::{Command, Question};
use crate::metrics as names;
use crate::node::{Node, Phase};
use crate::options::Kind;
use crate::registry::RoomEntry;
use everplay_room::{AuthRequest, Refusal, Reply, ReserveError};
use everplay_types::{ErrorCode, ProcessId, RoomId, SessionId};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use thiserror::Error;
use tokio::sync::oneshot;

/// How often a room that filled up meanwhile is replaced by another candidate.
const TRIES: usize = 5;

/// Characters of a session id, 6 random bits each.
const SESSION_ID_LEN: usize = 16;

/// What a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A room that fits, or a new one.
    JoinOrCreate,
    /// A new room.
    Create,
    /// A room that fits.
    Join,
    /// This room.
    JoinById,
    /// Its old seat in this room.
    Reconnect,
}

impl Method {
    /// The method as it stands in the URL; None for any other text.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "joinOrCreate" => Method::JoinOrCreate,
            "create" => Method::Create,
            "join" => Method::Join,
            "joinById" => Method::JoinById,
            "reconnect" => Method::Reconnect,
            _ => return None,
        })
    }

    /// The method as it stands in the URL.
    pub fn name(self) -> &'static str {
        match self {
            Method::JoinOrCreate => "joinOrCreate",
            Method::Create => "create",
            Method::Join => "join",
            Method::JoinById => "joinById",
            Method::Reconnect => "reconnect",
        }
    }
}

/// A matchmaking request.
#[derive(Debug, Clone)]
pub struct MatchRequest {
    /// What is wanted.
    pub method: Method,
    /// The room kind's name, or the room's id.
    pub target: String,
    /// Join options, or for `Reconnect` an object with `reconnectionToken`.
    pub options: serde_json::Value,
    /// Who asks.
    pub auth: AuthRequest,
}

/// A seat that waits for its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The room kind's name.
    pub name: String,
    /// The room.
    pub room_id: RoomId,
    /// First segment of the room's URL.
    pub process_id: ProcessId,
    /// The session the seat is for.
    pub session_id: SessionId,
    /// Seats taken, this one included.
    pub clients: u32,
    /// Seats there are.
    pub max_clients: u32,
}

/// Why there is no seat, as it is told to the client.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct MatchError {
    /// One of [`ErrorCode`], or a code of the room's author.
    pub code: u16,
    /// A sentence.
    pub message: String,
}

impl MatchError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code: code.0, message: message.into() }
    }

    pub(crate) fn refused(refusal: Refusal, fallback: ErrorCode) -> Self {
        Self { code: refusal.code.unwrap_or(fallback.0), message: refusal.message }
    }
}

impl Node {
    pub(crate) async fn matchmake(
        self: &Arc<Self>,
        request: MatchRequest,
    ) -> Result<Reservation, MatchError> {
        let method = request.method.name();
        let result = self.dispatch(request).await;
        let outcome = if result.is_ok() { "seat" } else { "refused" };
        metrics::counter!(names::MATCHMAKE, "method" => method, "outcome" => outcome).increment(1);
        result
    }

    async fn dispatch(self: &Arc<Self>, request: MatchRequest) -> Result<Reservation, MatchError> {
        match self.phase() {
            Phase::Ready => {}
            Phase::Restoring => {
                return Err(MatchError { code: 503, message: "rooms are being restored".into() });
            }
            Phase::Draining => {
                return Err(MatchError { code: 503, message: "the server is shutting down".into() });
            }
        }
        match request.method {
            Method::Reconnect => self.reconnect(&request).await,
            Method::JoinById => {
                let entry = self.room(&request.target)?;
                let auth = authorise(self.kind(&entry.kind)?, &request)?;
                self.reserve(&entry, &request.options, &auth).await.map_err(|error| refusal_of(&entry, error))
            }
            Method::Create => {
                let kind = self.kind(&request.target)?;
                let auth = authorise(kind, &request)?;
                self.create_and_reserve(kind, &request.options, &auth).await
            }
            Method::Join | Method::JoinOrCreate => self.find(&request).await,
        }
    }

    async fn find(self: &Arc<Self>, request: &MatchRequest) -> Result<Reservation, MatchError> {
        let kind = self.kind(&request.target)?;
        let auth = authorise(kind, request)?;
        let filters = filters_of(kind, &request.options);
        if let Some(reservation) = self.join_existing(kind, &filters, request, &auth).await? {
            return Ok(reservation);
        }
        if request.method == Method::Join {
            return Err(MatchError::new(
                ErrorCode::INVALID_CRITERIA,
                "no rooms found with provided criteria",
            ));
        }
        // One creation at a time for equal filters: callers at the same moment share the room.
        let lock = self.creation_lock(kind.kind.name(), &filters);
        let _creating = lock.lock().await;
        if let Some(reservation) = self.join_existing(kind, &filters, request, &auth).await? {
            return Ok(reservation);
        }
        self.create_and_reserve(kind, &request.options, &auth).await
    }

    async fn join_existing(
        &self,
        kind: &Kind,
        filters: &serde_json::Map<String, serde_json::Value>,
        request: &MatchRequest,
        auth: &serde_json::Value,
    ) -> Result<Option<Reservation>, MatchError> {
        for _ in 0..TRIES {
            let Some(entry) = self.registry.candidate(kind.kind.name(), filters) else { return Ok(None) };
            match self.reserve(&entry, &request.options, auth).await {
                Ok(reservation) => return Ok(Some(reservation)),
                Err(Some(_)) => {}
                Err(None) => self.registry.remove(&entry),
            }
        }
        Ok(None)
    }

    async fn create_and_reserve(
        self: &Arc<Self>,
        kind: &Kind,
        options: &serde_json::Value,
        auth: &serde_json::Value,
    ) -> Result<Reservation, MatchError> {
        let entry = self.create_room(kind, options, filters_of(kind, options)).await?;
        self.reserve(&entry, options, auth).await.map_err(|error| refusal_of(&entry, error))
    }

    /// Err(None): the room is gone.
    async fn reserve(
        &self,
        entry: &Arc<RoomEntry>,
        options: &serde_json::Value,
        auth: &serde_json::Value,
    ) -> Result<Reservation, Option<ReserveError>> {
        let session = SessionId::new(self.options.ambient.id(SESSION_ID_LEN)).expect("the alphabet is that of ids");
        let question =
            Question::Reserve { session: session.clone(), options: options.clone(), auth: auth.clone() };
        entry.asked.fetch_add(1, Ordering::Relaxed);
        let reply = ask(entry, question).await;
        entry.asked.fetch_sub(1, Ordering::Relaxed);
        match reply {
            Some(Reply::Reserved(Ok(()))) => Ok(self.reservation(entry, session)),
            Some(Reply::Reserved(Err(error))) => Err(Some(error)),
            Some(Reply::Session(_)) | None => Err(None),
        }
    }

    async fn reconnect(&self, request: &MatchRequest) -> Result<Reservation, MatchError> {
        let token = request.options.get("reconnectionToken").and_then(|token| token.as_str());
        let Some(token) = token else {
            return Err(MatchError::new(ErrorCode::UNHANDLED, "'reconnectionToken' must be provided"));
        };
        let entry = self.registry.get(&request.target).ok_or_else(|| {
            MatchError::new(
                ErrorCode::INVALID_ROOM_ID,
                format!("room \"{}\" has been disposed.", request.target),
            )
        })?;
        match ask(&entry, Question::FindSession { token: token.to_owned() }).await {
            Some(Reply::Session(Some(session))) => Ok(self.reservation(&entry, session)),
            _ => Err(MatchError::new(ErrorCode::EXPIRED, "reconnection token invalid or expired.")),
        }
    }

    fn reservation(&self, entry: &RoomEntry, session_id: SessionId) -> Reservation {
        let listing = entry.listing();
        Reservation {
            name: entry.kind.to_string(),
            room_id: entry.id.clone(),
            process_id: self.options.process_id.clone(),
            session_id,
            clients: listing.clients,
            max_clients: listing.max_clients,
        }
    }

    fn room(&self, id: &str) -> Result<Arc<RoomEntry>, MatchError> {
        self.registry
            .get(id)
            .ok_or_else(|| MatchError::new(ErrorCode::INVALID_ROOM_ID, format!("room \"{id}\" not found")))
    }

    fn kind(&self, name: &str) -> Result<&Kind, MatchError> {
        self.kinds.get(name).ok_or_else(|| {
            MatchError::new(ErrorCode::NO_HANDLER, format!("provided room name \"{name}\" not defined"))
        })
    }
}

async fn ask(entry: &RoomEntry, question: Question) -> Option<Reply> {
    let (answer, reply) = oneshot::channel();
    entry.mailbox.send(Command::Ask { question, answer }).await.ok()?;
    reply.await.ok()
}

fn authorise(kind: &Kind, request: &MatchRequest) -> Result<serde_json::Value, MatchError> {
    if !kind.kind.settings().anonymous && request.auth.identity.is_none() {
        return Err(MatchError::new(ErrorCode::AUTH_FAILED, "sign in first, as a guest at least"));
    }
    match catch_unwind(AssertUnwindSafe(|| kind.kind.auth(&request.auth, &request.options))) {
        Ok(Ok(auth)) => Ok(auth),
        Ok(Err(refusal)) => Err(MatchError::refused(refusal, ErrorCode::AUTH_FAILED)),
        Err(_) => Err(MatchError::new(ErrorCode::UNHANDLED, "the auth hook failed")),
    }
}

fn refusal_of(entry: &RoomEntry, error: Option<ReserveError>) -> MatchError {
    let id = &entry.id;
    match error {
        Some(ReserveError::Full) => MatchError::new(ErrorCode::UNHANDLED, format!("{id} is already full.")),
        Some(ReserveError::Locked) => {
            MatchError::new(ErrorCode::INVALID_ROOM_ID, format!("room \"{id}\" is locked"))
        }
        Some(ReserveError::Ended) | None => {
            MatchError::new(ErrorCode::INVALID_ROOM_ID, format!("room \"{id}\" has been disposed."))
        }
    }
}

/// The options two clients must share; absent ones count as null.
pub(crate) fn filters_of(
    kind: &Kind,
    options: &serde_json::Value,
) -> serde_json::Map<String, serde_json::Value> {
    let value = |name: &String| (name.clone(), options.get(name).cloned().unwrap_or_default());
    kind.filter_by.iter().map(value).collect()
}
