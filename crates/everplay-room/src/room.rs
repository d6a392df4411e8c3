use crate::{AuthRequest, Client, Context, Messages, Refusal, Settings};
use everplay_schema::State;
use everplay_types::{CloseCode, ServiceLevel};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// A kind of room, written as the state its clients see.
///
/// The type is the state tree: hooks change its fields, and what changed is journaled and sent. Fields
/// marked `private` are journaled and never sent, fields marked `skip` are caches that [`restored`](Room::restored)
/// rebuilds. Time, randomness, timers, messages and events come through the [`Context`].
///
/// A hook that panics ends this attempt at the room, not the process: the room is restored from its journal
/// and the input is tried once more; if it panics again the room is closed.
pub trait Room: State + Send + Sized + 'static {
    /// What clients may pass when they create or join; JSON. Options that do not fit are refused.
    /// [`serde::de::IgnoredAny`] takes anything.
    type Options: DeserializeOwned;

    /// What a timer carries until it is due. `()` when the room has none.
    type Timer: Serialize + DeserializeOwned;

    /// Step length, patch rate, seats, durability.
    fn settings() -> Settings {
        Settings::default()
    }

    /// Says which messages and requests the room understands. Called once per kind.
    fn messages(on: &mut Messages<Self>) {
        let _ = on;
    }

    /// Decides who may ask for a seat, before any room is involved. The value is kept with the seat.
    ///
    /// Unless a kind says otherwise, it is the verified [`Identity`](everplay_types::Identity) as JSON, or null for a
    /// client without one; [`Client::auth_as`] reads it back.
    fn auth(request: &AuthRequest, options: &Self::Options) -> Result<serde_json::Value, Refusal> {
        let _ = options;
        Ok(request.identity_json())
    }

    /// Makes the room; `options` are those of the client that caused it.
    fn create(cx: &mut Context<Self>, options: Self::Options) -> Result<Self, Refusal>;

    /// A client took its seat. It sees the state after this returns.
    fn join(
        &mut self,
        cx: &mut Context<Self>,
        client: &Client,
        options: Self::Options,
    ) -> Result<(), Refusal> {
        let _ = (cx, client, options);
        Ok(())
    }

    /// One simulation step of [`Settings::tick`].
    fn tick(&mut self, cx: &mut Context<Self>, step: Duration) {
        let _ = (cx, step);
    }

    /// A timer set with [`Context::schedule`] is due.
    fn timer(&mut self, cx: &mut Context<Self>, timer: Self::Timer) {
        let _ = (cx, timer);
    }

    /// A client's connection is gone and its seat waits ([`Settings::reconnection`]);
    /// [`Context::allow_reconnection`] and [`Context::deny_reconnection`] change for how long.
    fn drop(&mut self, cx: &mut Context<Self>, client: &Client, code: CloseCode) {
        let _ = (cx, client, code);
    }

    /// A dropped client is back in its seat.
    fn reconnect(&mut self, cx: &mut Context<Self>, client: &Client) {
        let _ = (cx, client);
    }

    /// A client's seat is gone.
    fn leave(&mut self, cx: &mut Context<Self>, client: &Client, why: Leave) {
        let _ = (cx, client, why);
    }

    /// How much of the service there is has changed; [`Context::service`] says it from now on. Whatever happens to the
    /// room's server, each hook differs from the one before, and the first from `full`.
    ///
    /// A room plays on at any level unless it does something about it here: warn its players, stop its clocks, end.
    fn service(&mut self, cx: &mut Context<Self>, level: ServiceLevel) {
        let _ = (cx, level);
    }

    /// The room ends. Last chance to emit an event.
    fn dispose(&mut self, cx: &mut Context<Self>) {
        let _ = cx;
    }

    /// The room came back from its journal; rebuild what is only a cache. Its clients are on their way:
    /// a drop hook follows for each, and a reconnect when it is here.
    fn restored(&mut self, cx: &mut Context<Self>) {
        let _ = cx;
    }
}

/// Why a seat is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// The client asked to leave.
    Consented,
    /// The room removed it, with this close code.
    Kicked(CloseCode),
    /// The connection dropped and the client did not come back in time.
    Dropped(CloseCode),
}
