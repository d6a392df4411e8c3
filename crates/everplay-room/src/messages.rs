use crate::inputs::{InputQueue, TypedQueue};
use crate::{Client, Context, Refusal, Room};
use everplay_schema::{Generation, InputReader, Replica, State};
use everplay_types::{ErrorCode, Millis};
use everplay_wire::{InputOptions, msgpack};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::Arc;

/// A handler's answer: the encoded reply, or a refusal with its code.
pub(crate) type Answer = Result<Option<Vec<u8>>, Refusal>;

type OnPayload<R> = Box<dyn Fn(&mut R, &mut Context<R>, &Client, &[u8]) -> Answer + Send + Sync>;
type OnBytes<R> = Box<dyn Fn(&mut R, &mut Context<R>, &Client, &[u8]) -> Result<(), Refusal> + Send + Sync>;
type OnAny<R> =
    Box<dyn Fn(&mut R, &mut Context<R>, &Client, &str, msgpack::Value) -> Result<(), Refusal> + Send + Sync>;

pub(crate) type OnInput<R, I> = dyn Fn(&mut R, &mut Context<R>, &Client, &I, &InputMeta) + Send + Sync;
type MakeQueue<R> = dyn Fn(InputOptions) -> Box<dyn InputQueue<R>> + Send + Sync;

/// Which times clients stamp their inputs with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InputSettings {
    /// The time the client was drawing: what its player saw of the others.
    pub render_time: bool,
    /// The time the client reckons the server has.
    pub reckon_time: bool,
}

/// What is known of an input beside its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputMeta {
    /// Its number on this connection, from 1.
    pub seq: u32,
    /// When asked for: the room's time the client was drawing.
    pub render_time: Option<Millis>,
    /// When asked for: the room's time as the client reckoned it.
    pub reckon_time: Option<Millis>,
}

/// A declared input type.
pub(crate) struct InputKind<R: Room> {
    pub(crate) settings: InputSettings,
    /// The type, as clients are told.
    pub(crate) handshake: Vec<u8>,
    pub(crate) queue: Box<MakeQueue<R>>,
}

/// What a room kind understands, and who handles it.
///
/// A payload that does not fit the handler's type, and a message nobody handles, are refused with code 4217
/// naming what is wrong; the connection stays open and the room does not notice.
pub struct Messages<R: Room> {
    payload: HashMap<String, OnPayload<R>>,
    bytes: HashMap<String, OnBytes<R>>,
    any: Option<OnAny<R>>,
    pub(crate) input: Option<InputKind<R>>,
}

impl<R: Room> Messages<R> {
    pub(crate) fn of_kind() -> Self {
        let mut messages = Self { payload: HashMap::new(), bytes: HashMap::new(), any: None, input: None };
        R::messages(&mut messages);
        messages
    }

    /// Handles `room.send(kind, payload)`. Sent as a request, it is answered with nothing.
    ///
    /// Panics when the type is handled already.
    pub fn message<M: DeserializeOwned>(
        &mut self,
        kind: impl Into<String>,
        handler: impl Fn(&mut R, &mut Context<R>, &Client, M) -> Result<(), Refusal> + Send + Sync + 'static,
    ) -> &mut Self {
        self.insert(
            kind.into(),
            Box::new(move |room, cx, client, payload| {
                handler(room, cx, client, typed(payload)?)?;
                Ok(None)
            }),
        )
    }

    /// Handles `room.request(kind, payload)`; what it returns is the answer. Sent as a plain message, the
    /// answer is dropped.
    ///
    /// Panics when the type is handled already.
    pub fn request<M: DeserializeOwned, T: Serialize>(
        &mut self,
        kind: impl Into<String>,
        handler: impl Fn(&mut R, &mut Context<R>, &Client, M) -> Result<T, Refusal> + Send + Sync + 'static,
    ) -> &mut Self {
        self.insert(
            kind.into(),
            Box::new(move |room, cx, client, payload| {
                let answer = handler(room, cx, client, typed(payload)?)?;
                Ok(Some(msgpack::to_vec(&answer).map_err(|error| Refusal::from(error.to_string()))?))
            }),
        )
    }

    /// Handles `room.sendBytes(kind, bytes)`.
    ///
    /// Panics when the type is handled already.
    pub fn bytes(
        &mut self,
        kind: impl Into<String>,
        handler: impl Fn(&mut R, &mut Context<R>, &Client, &[u8]) -> Result<(), Refusal> + Send + Sync + 'static,
    ) -> &mut Self {
        let kind = kind.into();
        let replaced = self.bytes.insert(kind.clone(), Box::new(handler));
        assert!(replaced.is_none(), "bytes of type {kind:?} are handled twice");
        self
    }

    /// Handles every message no other handler takes.
    pub fn any(
        &mut self,
        handler: impl Fn(&mut R, &mut Context<R>, &Client, &str, msgpack::Value) -> Result<(), Refusal>
        + Send
        + Sync
        + 'static,
    ) -> &mut Self {
        self.any = Some(Box::new(handler));
        self
    }

    /// Declares the room's input type and handles its inputs, for SDKs of 0.18 that send them and predict their
    /// effect. Before each simulation step ([`Settings::tick`](crate::Settings::tick)) the handler gets the next input
    /// of every client, in order of their sessions; a client that sent none keeps what the room remembers of it.
    ///
    /// Older SDKs join such a room too; they have no inputs, so give them a message with the same meaning.
    ///
    /// Panics when a field of the type is not a primitive, or when an input is declared already.
    pub fn input<I: State>(
        &mut self,
        settings: InputSettings,
        handler: impl Fn(&mut R, &mut Context<R>, &Client, &I, &InputMeta) + Send + Sync + 'static,
    ) -> &mut Self {
        assert!(self.input.is_none(), "a room has one input type");
        let new_reader = || InputReader::<I>::new().unwrap_or_else(|error| panic!("{error}"));
        new_reader();
        let handler: Arc<OnInput<R, I>> = Arc::new(handler);
        self.input = Some(InputKind {
            settings,
            handshake: Replica::<I>::handshake(Generation::Schema5),
            queue: Box::new(move |options| {
                Box::new(TypedQueue::new(new_reader(), options, Arc::clone(&handler)))
            }),
        });
        self
    }

    fn insert(&mut self, kind: String, handler: OnPayload<R>) -> &mut Self {
        let replaced = self.payload.insert(kind.clone(), handler);
        assert!(replaced.is_none(), "messages of type {kind:?} are handled twice");
        self
    }

    pub(crate) fn handle(
        &self,
        room: &mut R,
        cx: &mut Context<R>,
        client: &Client,
        kind: &str,
        payload: &[u8],
    ) -> Answer {
        if let Some(handler) = self.payload.get(kind) {
            return handler(room, cx, client, payload);
        }
        match &self.any {
            Some(any) => any(room, cx, client, kind, typed(payload)?).map(|()| None),
            None => Err(unknown(kind)),
        }
    }

    pub(crate) fn handles(&self, kind: &str) -> bool {
        self.any.is_some() || self.payload.contains_key(kind)
    }

    pub(crate) fn handle_bytes(
        &self,
        room: &mut R,
        cx: &mut Context<R>,
        client: &Client,
        kind: &str,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        match self.bytes.get(kind) {
            Some(handler) => handler(room, cx, client, bytes),
            None => Err(unknown(kind)),
        }
    }
}

fn unknown(kind: &str) -> Refusal {
    Refusal::new(ErrorCode::INVALID_PAYLOAD.0, format!("messages of type {kind:?} are not understood here"))
}

fn typed<M: DeserializeOwned>(payload: &[u8]) -> Result<M, Refusal> {
    msgpack::from_slice(payload).map_err(|error| {
        Refusal::new(ErrorCode::INVALID_PAYLOAD.0, format!("the payload does not fit: {error}"))
    })
}
