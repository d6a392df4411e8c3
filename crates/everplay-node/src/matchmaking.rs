//! Chooses rooms and sells seats, on this node and, in a cluster, on the others.
//!
//! The room itself is the only one who gives a seat; what is known here are listings, which may be a moment old.
//! A room that filled up meanwhile says so and the next one is tried.

use crate::cluster::Elsewhere;
use crate::host::{Command, Question};
use crate::metrics as names;
use crate::node::{Node, Phase};
use crate::options::Kind;
use crate::registry::RoomEntry;
use everplay_room::{AuthRequest, Refusal, Reply, ReserveError};
use everplay_types::{ErrorCode, Incarnation, ProcessId, RoomId, SessionId};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::oneshot;

/// How often a room that filled up meanwhile is replaced by another candidate.
const TRIES: usize = 5;

/// How often a room that went away under the question is looked for elsewhere: together longer than a hand-over.
const MOVING_TRIES: u32 = 20;
/// Pause between two looks.
const MOVING_PAUSE: Duration = Duration::from_millis(50);

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

/// A room that may have a seat.
enum Candidate {
    Here(Arc<RoomEntry>),
    There(Incarnation, RoomId),
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
            // Others may have the room, or make it.
            Phase::Draining if self.roomiest().is_some() => {}
            Phase::Draining => {
                return Err(MatchError { code: 503, message: "the server is shutting down".into() });
            }
        }
        match request.method {
            Method::Reconnect => self.reconnect(&request).await,
            Method::JoinById => self.join_by_id(&request).await,
            Method::Create => {
                let kind = self.kind(&request.target)?;
                let auth = authorise(kind, &request)?;
                self.create_anywhere(kind, &request.options, &auth).await
            }
            Method::Join | Method::JoinOrCreate => self.find(&request).await,
        }
    }

    async fn join_by_id(&self, request: &MatchRequest) -> Result<Reservation, MatchError> {
        let id = &request.target;
        let mut auth = None;
        for _ in 0..MOVING_TRIES {
            let here = self.registry.get(id);
            let there = self.line_elsewhere(id);
            let kind = match (&here, &there) {
                (Some(entry), _) => entry.kind.to_string(),
                (None, Some((_, line))) => line.kind.clone(),
                (None, None) => break,
            };
            if auth.is_none() {
                auth = Some(authorise(self.kind(&kind)?, request)?);
            }
            let auth = auth.as_ref().unwrap_or(&serde_json::Value::Null);
            if let Some(entry) = here {
                match self.reserve(&entry, &request.options, auth).await {
                    Ok(reservation) => return Ok(reservation),
                    // It may be on its way to another node.
                    Err(None) if self.cluster().is_some() => {}
                    Err(error) => return Err(refusal_of(&entry, error)),
                }
            } else if let Some((owner, line)) = there {
                match self.reserve_elsewhere(owner, line.id, &request.options, auth).await {
                    Ok(reservation) => return Ok(reservation),
                    Err(Elsewhere::Refused(error)) => return Err(error),
                    Err(Elsewhere::Gone) => {}
                }
            }
            tokio::time::sleep(MOVING_PAUSE).await;
        }
        Err(MatchError::new(ErrorCode::INVALID_ROOM_ID, format!("room \"{id}\" not found")))
    }

    async fn find(self: &Arc<Self>, request: &MatchRequest) -> Result<Reservation, MatchError> {
        let kind = self.kind(&request.target)?;
        let auth = authorise(kind, request)?;
        let filters = filters_of(kind, &request.options);
        if let Some(reservation) = self.join_existing(kind, &filters, &request.options, &auth).await? {
            return Ok(reservation);
        }
        if request.method == Method::Join {
            return Err(MatchError::new(
                ErrorCode::INVALID_CRITERIA,
                "no rooms found with provided criteria",
            ));
        }
        // One node decides for equal filters, so that callers on all nodes share the room.
        if let Some(decider) = self.decider(kind.kind.name(), &filters) {
            let found =
                self.find_or_create_elsewhere(decider, kind.kind.name(), &request.options, &auth).await;
            if let Some(found) = found {
                return found;
            }
        }
        self.find_or_create(kind.kind.name(), &request.options, &auth).await
    }

    /// Joins a room that fits or makes one, as the node that decides for these filters.
    pub(crate) async fn find_or_create(
        self: &Arc<Self>,
        kind: &str,
        options: &serde_json::Value,
        auth: &serde_json::Value,
    ) -> Result<Reservation, MatchError> {
        let kind = self.kind(kind)?;
        let filters = filters_of(kind, options);
        let name = kind.kind.name();
        for attempt in 1.. {
            {
                // One creation at a time for equal filters: callers at the same moment share the room. Seats are asked
                // for without the lock, or each caller would wait for the commits of all before it.
                let lock = self.creation_lock(name, &filters);
                let _creating = lock.lock().await;
                if attempt > TRIES || self.candidate(name, &filters, &HashSet::new()).is_none() {
                    return self.create_anywhere(kind, options, auth).await;
                }
            }
            if let Some(reservation) = self.join_existing(kind, &filters, options, auth).await? {
                return Ok(reservation);
            }
        }
        unreachable!("the loop returns")
    }

    /// The oldest room that fits and takes a client, wherever it is.
    fn candidate(
        &self,
        kind: &str,
        filters: &serde_json::Map<String, serde_json::Value>,
        tried: &HashSet<RoomId>,
    ) -> Option<Candidate> {
        // Rooms of a node that drains are about to move: they are joined where they come to be.
        let here = Some(()).filter(|()| self.phase() == Phase::Ready);
        let here = here.and_then(|()| self.registry.candidate(kind, filters));
        match (here, self.candidate_elsewhere(kind, filters, tried)) {
            (Some(entry), Some((_, line)))
                if (entry.created_at, &entry.id) <= (line.created_at, &line.id) =>
            {
                Some(Candidate::Here(entry))
            }
            (_, Some((owner, line))) => Some(Candidate::There(owner, line.id)),
            (Some(entry), None) => Some(Candidate::Here(entry)),
            (None, None) => None,
        }
    }

    async fn join_existing(
        &self,
        kind: &Kind,
        filters: &serde_json::Map<String, serde_json::Value>,
        options: &serde_json::Value,
        auth: &serde_json::Value,
    ) -> Result<Option<Reservation>, MatchError> {
        let name = kind.kind.name();
        let mut tried = HashSet::new();
        for _ in 0..TRIES {
            match self.candidate(name, filters, &tried) {
                None => return Ok(None),
                Some(Candidate::Here(entry)) => match self.reserve(&entry, options, auth).await {
                    Ok(reservation) => return Ok(Some(reservation)),
                    Err(Some(_)) => {}
                    Err(None) => self.registry.remove(&entry),
                },
                Some(Candidate::There(owner, room)) => {
                    tried.insert(room.clone());
                    if let Ok(reservation) = self.reserve_elsewhere(owner, room, options, auth).await {
                        return Ok(Some(reservation));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Makes a room on the node with the fewest.
    async fn create_anywhere(
        self: &Arc<Self>,
        kind: &Kind,
        options: &serde_json::Value,
        auth: &serde_json::Value,
    ) -> Result<Reservation, MatchError> {
        if let Some(node) = self.roomiest()
            && let Some(created) = self.create_elsewhere(node, kind.kind.name(), options, auth).await
        {
            return created;
        }
        self.create_here(kind.kind.name(), options, auth).await
    }

    pub(crate) async fn create_here(
        self: &Arc<Self>,
        kind: &str,
        options: &serde_json::Value,
        auth: &serde_json::Value,
    ) -> Result<Reservation, MatchError> {
        if self.phase() == Phase::Draining {
            return Err(MatchError { code: 503, message: "the server is shutting down".into() });
        }
        let kind = self.kind(kind)?;
        let entry = self.create_room(kind, options, filters_of(kind, options)).await?;
        self.reserve_here(&entry, options, auth).await
    }

    pub(crate) async fn reserve_here(
        &self,
        entry: &Arc<RoomEntry>,
        options: &serde_json::Value,
        auth: &serde_json::Value,
    ) -> Result<Reservation, MatchError> {
        self.reserve(entry, options, auth).await.map_err(|error| refusal_of(entry, error))
    }

    /// Err(None): the room is gone.
    pub(crate) async fn reserve(
        &self,
        entry: &Arc<RoomEntry>,
        options: &serde_json::Value,
        auth: &serde_json::Value,
    ) -> Result<Reservation, Option<ReserveError>> {
        let session =
            SessionId::new(self.options.ambient.id(SESSION_ID_LEN)).expect("the alphabet is that of ids");
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
        let expired = || MatchError::new(ErrorCode::EXPIRED, "reconnection token invalid or expired.");
        if let Some(entry) = self.registry.get(&request.target) {
            let session = self.session_here(&entry, token.to_owned()).await.ok_or_else(expired)?;
            return Ok(self.reservation(&entry, session));
        }
        let (owner, line) = self.line_elsewhere(&request.target).ok_or_else(|| {
            MatchError::new(
                ErrorCode::INVALID_ROOM_ID,
                format!("room \"{}\" has been disposed.", request.target),
            )
        })?;
        self.session_elsewhere(owner, line.id, token).await.ok_or_else(expired)
    }

    /// The session a reconnection token of a room here belongs to.
    pub(crate) async fn session_here(&self, entry: &Arc<RoomEntry>, token: String) -> Option<SessionId> {
        match ask(entry, Question::FindSession { token }).await {
            Some(Reply::Session(session)) => session,
            _ => None,
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

pub(crate) fn refusal_of(entry: &RoomEntry, error: Option<ReserveError>) -> MatchError {
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

/// The options two clients must share. An absent one counts as what it means to leave it out.
pub(crate) fn filters_of(
    kind: &Kind,
    options: &serde_json::Value,
) -> serde_json::Map<String, serde_json::Value> {
    let value = |name: &String| {
        let given = options.get(name).filter(|value| !value.is_null());
        (name.clone(), given.or_else(|| kind.filter_defaults.get(name)).cloned().unwrap_or_default())
    };
    kind.filter_by.iter().map(value).collect()
}
