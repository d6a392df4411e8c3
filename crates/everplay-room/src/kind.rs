//! Room kinds with their types erased: what the node keeps in its registry and runs.

use crate::ledger::Ledger;
use crate::record::{Record, RecordError, Section, Snapshot};
use crate::{ConnId, Engine, Input, Listing, Messages, Outgoing, Refusal, Room, Settings, Step};
use everplay_schema::{Generation, Replica, RestoreError};
use everplay_types::{ErrorCode, Identity, Millis, RoomId, SessionId};
use everplay_wire::InputOptions;
use std::net::IpAddr;
use std::sync::Arc;
use thiserror::Error;

/// Who asks for a seat.
#[derive(Debug, Clone, Default)]
pub struct AuthRequest {
    /// The bearer token, as sent.
    pub token: Option<String>,
    /// Whose token it is, when the server issued it and it is valid now. None: nobody knows who asks.
    pub identity: Option<Identity>,
    /// Where the request came from.
    pub ip: Option<IpAddr>,
    /// The request's headers, names in lower case.
    pub headers: Vec<(String, String)>,
}

/// Header of a node, and what an auth hook returns for one. Names that come over HTTP are in lower case.
pub(crate) const NODE: &str = "NODE";

impl AuthRequest {
    /// A node of the server itself, that has something to tell a room or to ask of it.
    pub fn of_node() -> Self {
        Self { headers: vec![(NODE.to_owned(), String::new())], ..Self::default() }
    }

    /// Whether a node asks. No request from outside can look like it.
    pub fn is_of_node(&self) -> bool {
        self.headers.iter().any(|(name, _)| name == NODE)
    }

    /// The identity as the value an auth hook returns; null without one. Of a node, what
    /// [`Client::is_node`](crate::Client::is_node) knows it by.
    pub fn identity_json(&self) -> serde_json::Value {
        if self.is_of_node() {
            return NODE.into();
        }
        serde_json::to_value(&self.identity).expect("an identity has only texts, flags and lists")
    }
}

/// What a new room is made from.
#[derive(Debug, Clone)]
pub struct Birth {
    /// The room's id.
    pub room_id: RoomId,
    /// Fresh secret randomness: the key of the room's random numbers and tokens.
    pub seed: [u8; 32],
    /// The creating client's options.
    pub options: serde_json::Value,
}

/// Why a room could not be brought back.
#[derive(Debug, Error)]
pub enum ReviveError {
    /// A record or snapshot cannot be read.
    #[error("record {at} cannot be read: {source}")]
    Record {
        /// Which of the given records, from 0; the snapshot counts as none.
        at: usize,
        /// What is wrong.
        source: RecordError,
    },
    /// A record cannot be applied to the state before it.
    #[error("record {at} cannot be applied: {source}")]
    Apply {
        /// Which of the given records, from 0.
        at: usize,
        /// What is wrong.
        source: RestoreError,
    },
    /// Neither a snapshot nor a first record.
    #[error("the journal does not hold the room's beginning")]
    NoBeginning,
    /// The journal says that the room ended.
    #[error("the room had ended")]
    Ended {
        /// What it had to tell and nobody took yet.
        outbox: Vec<Outgoing>,
    },
}

/// A room kind, whatever its type.
pub trait RoomKind: Send + Sync {
    /// The name clients join it by.
    fn name(&self) -> &str;
    /// What all its rooms have in common.
    fn settings(&self) -> &Settings;
    /// Which stamps its clients put on inputs; without, a stamped input cannot be read.
    fn input_options(&self) -> InputOptions;
    /// The auth hook. Options that do not fit the kind's type are refused here.
    fn auth(&self, request: &AuthRequest, options: &serde_json::Value) -> Result<serde_json::Value, Refusal>;
    /// Makes a room. May panic when the hook does.
    fn create(&self, birth: Birth) -> Result<Box<dyn RoomEngine>, Refusal>;
    /// Brings a room back from its snapshot and the records after it, without running any hook.
    /// [`RoomEngine::resume`] comes next.
    fn revive(
        &self,
        room_id: &RoomId,
        snapshot: Option<&[u8]>,
        records: &[&[u8]],
    ) -> Result<Box<dyn RoomEngine>, ReviveError>;
}

/// What becomes of joined clients that have no connection when a room comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// Their sockets went with the process: they count as dropped, and their seats wait for them.
    Dropped,
    /// Other nodes may have kept their sockets: they stay joined, without a word to the room, until
    /// [`REATTACH_WINDOW`](crate::REATTACH_WINDOW) is over.
    Awaited,
}

/// One running room, whatever its type. Every call may panic when a hook does; the engine is then lost.
pub trait RoomEngine: Send {
    /// Runs the restored hook and starts waiting for the clients the room had.
    ///
    /// `attached` are connections that outlived the engine before this one and have seen exactly what the
    /// journal holds: they go on as if nothing had happened, and no drop hook runs for them. `absent` are all other
    /// joined clients.
    fn resume(&mut self, attached: &[(SessionId, ConnId)], absent: Absent);
    /// Whether records also hold what leaves beside the patch, for clients whose sockets outlive the room's owner.
    /// Off at first; of effect for rooms whose steps are journaled.
    fn keep_sent(&mut self, on: bool);
    /// Whether events wait in the room until [`Input::Taken`]. On at first; off where nobody takes any.
    fn keep_events(&mut self, on: bool);
    /// The time of day, ms since 1970. Events carry it; nothing is decided by it.
    fn dated(&mut self, wall_ms: u64);
    /// The events after number `after` that wait to be taken, in order. Those of a step may be told once its record is
    /// durable.
    fn outbox(&self, after: u64) -> Vec<Outgoing>;
    /// Takes one input at this time of the room.
    fn input(&mut self, now: Millis, input: Input);
    /// Does what is due: simulation steps, timers, expired seats.
    fn wake(&mut self, now: Millis);
    /// Takes what all calls since the last one have left to do.
    fn finish(&mut self) -> Step;
    /// The whole room, to recover from without older records; None while a change waits for its patch.
    fn snapshot(&mut self) -> Option<Vec<u8>>;
    /// Whether a client is between JOIN_ROOM and its acknowledgement: what it holds is known a round trip later.
    fn is_joining(&self) -> bool;
    /// The room's time as of the last call.
    fn time(&self) -> Millis;
    /// The room's entry in listings.
    fn listing(&self) -> Listing;
    /// The author's state as JSON, with what clients never see; for consoles.
    fn inspect(&mut self) -> Option<serde_json::Value>;
}

/// A room kind with its type.
pub struct RoomType<R: Room> {
    pub(crate) name: Arc<str>,
    pub(crate) settings: Settings,
    pub(crate) messages: Messages<R>,
    /// What clients are told of inputs; None: the kind declares none.
    pub(crate) input_options: Option<InputOptions>,
    pub(crate) handshakes: Handshakes,
}

/// The polyglot form writes its length in two bytes.
const POLYGLOT_MAX: usize = 0xffff;

/// The state types as each SDK generation wants to be told; computed once per kind.
pub(crate) struct Handshakes {
    pub(crate) schema5: Vec<u8>,
    pub(crate) schema4: Vec<u8>,
    /// None when the types use what old decoders lack.
    pub(crate) polyglot: Option<Vec<u8>>,
}

impl<R: Room> RoomType<R> {
    /// The kind under this name, with the settings of its type.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self::with_settings(name, R::settings())
    }

    /// The kind under this name, with these settings.
    pub fn with_settings(name: impl Into<Arc<str>>, settings: Settings) -> Self {
        let messages = Messages::<R>::of_kind();
        Self {
            name: name.into(),
            input_options: messages.input.as_ref().map(|input| InputOptions {
                render_time: input.settings.render_time,
                reckon_time: input.settings.reckon_time,
                tick_rate: settings.tick.map(|step| (1.0 / step.as_secs_f64()).round()),
                patch_rate_ms: Some(settings.patch_interval.as_millis() as f64),
                sub_steps: None,
            }),
            settings,
            messages,
            handshakes: Handshakes {
                schema5: Replica::<R>::handshake(Generation::Schema5),
                schema4: Replica::<R>::handshake(Generation::Schema4),
                polyglot: Replica::<R>::polyglot_possible()
                    .then(|| Replica::<R>::handshake(Generation::Polyglot))
                    .filter(|handshake| handshake.len() <= POLYGLOT_MAX),
            },
        }
    }
}

pub(crate) fn typed_options<T: serde::de::DeserializeOwned>(
    options: &serde_json::Value,
) -> Result<T, Refusal> {
    T::deserialize(options)
        .map_err(|error| Refusal::new(ErrorCode::UNHANDLED.0, format!("the options do not fit: {error}")))
}

impl<R: Room> RoomKind for Arc<RoomType<R>> {
    fn name(&self) -> &str {
        &self.name
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn input_options(&self) -> InputOptions {
        self.input_options.unwrap_or_default()
    }

    fn auth(&self, request: &AuthRequest, options: &serde_json::Value) -> Result<serde_json::Value, Refusal> {
        R::auth(request, &typed_options(options)?)
    }

    fn create(&self, birth: Birth) -> Result<Box<dyn RoomEngine>, Refusal> {
        Ok(Box::new(Engine::create(Arc::clone(self), birth)?))
    }

    fn revive(
        &self,
        room_id: &RoomId,
        snapshot: Option<&[u8]>,
        records: &[&[u8]],
    ) -> Result<Box<dyn RoomEngine>, ReviveError> {
        let mut time = Millis::ZERO;
        let mut trees = None;
        let begin = |at: usize, state: &[u8], ledger: &[u8]| {
            let apply = |source| ReviveError::Apply { at, source };
            Ok::<_, ReviveError>((
                Replica::<R>::restore(state).map_err(apply)?,
                Replica::<Ledger>::restore(ledger).map_err(apply)?,
            ))
        };
        if let Some(bytes) = snapshot {
            let snapshot = Snapshot::decode(bytes).map_err(|source| ReviveError::Record { at: 0, source })?;
            time = snapshot.time;
            trees = Some(begin(0, snapshot.state, snapshot.ledger)?);
        }
        for (at, bytes) in records.iter().enumerate() {
            let record = Record::decode(bytes).map_err(|source| ReviveError::Record { at, source })?;
            time = record.time;
            for section in record.sections {
                let apply = |source| ReviveError::Apply { at, source };
                match (section, &mut trees) {
                    (Section::Born { state, ledger }, trees) => *trees = Some(begin(at, state, ledger)?),
                    (Section::State(patch), Some((state, _))) => state.apply(patch).map_err(apply)?,
                    (Section::Ledger(patch), Some((_, ledger))) => ledger.apply(patch).map_err(apply)?,
                    (Section::State(_) | Section::Ledger(_), None) => return Err(ReviveError::NoBeginning),
                    (Section::Event(_) | Section::Sent(_) | Section::Restored, _) => {}
                    (Section::Ended, trees) => {
                        let ledger =
                            trees.take().map(|(_, ledger)| ledger.finish()).transpose().map_err(apply)?;
                        let outbox = ledger.map(|ledger| ledger.get().outbox_after(0)).unwrap_or_default();
                        return Err(ReviveError::Ended { outbox });
                    }
                }
            }
        }
        let (state, ledger) = trees.ok_or(ReviveError::NoBeginning)?;
        let apply = |source| ReviveError::Apply { at: records.len(), source };
        let (state, ledger) = (state.finish().map_err(apply)?, ledger.finish().map_err(apply)?);
        Ok(Box::new(Engine::revive(Arc::clone(self), room_id.clone(), state, ledger, time)))
    }
}
