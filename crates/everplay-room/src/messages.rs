use crate::{Client, Context, Refusal, Room};
use everplay_types::ErrorCode;
use everplay_wire::msgpack;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;

/// A handler's answer: the encoded reply, or a refusal with its code.
pub(crate) type Answer = Result<Option<Vec<u8>>, Refusal>;

type OnPayload<R> = Box<dyn Fn(&mut R, &mut Context<R>, &Client, &[u8]) -> Answer + Send + Sync>;
type OnBytes<R> = Box<dyn Fn(&mut R, &mut Context<R>, &Client, &[u8]) -> Result<(), Refusal> + Send + Sync>;
type OnAny<R> =
    Box<dyn Fn(&mut R, &mut Context<R>, &Client, &str, msgpack::Value) -> Result<(), Refusal> + Send + Sync>;

/// What a room kind understands, and who handles it.
///
/// A payload that does not fit the handler's type, and a message nobody handles, are refused with code 4217
/// naming what is wrong; the connection stays open and the room does not notice.
pub struct Messages<R: Room> {
    payload: HashMap<String, OnPayload<R>>,
    bytes: HashMap<String, OnBytes<R>>,
    any: Option<OnAny<R>>,
}

impl<R: Room> Messages<R> {
    pub(crate) fn of_kind() -> Self {
        let mut messages = Self { payload: HashMap::new(), bytes: HashMap::new(), any: None };
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
