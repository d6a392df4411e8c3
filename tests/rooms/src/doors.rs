//! Rooms that show what stands between a player and a seat.

use everplay::msgpack::Value;
use everplay::prelude::*;
use serde_json::json;

/// Lets in who knows the word.
#[derive(State, Default)]
pub(crate) struct Members {}

impl Room for Members {
    type Options = Anything;
    type Timer = ();

    fn auth(request: &AuthRequest, _: &Anything) -> Result<serde_json::Value, Refusal> {
        match request.token.as_deref() {
            Some("good") => Ok(json!({ "user": 1 })),
            Some(_) => Err(Refusal::new(401, "bad token")),
            None => Err("members only".into()),
        }
    }

    fn create(_: &mut Context<Self>, _: Anything) -> Result<Self, Refusal> {
        Ok(Self {})
    }

    fn messages(on: &mut Messages<Self>) {
        on.message("who", |_, cx, client, _: Value| {
            cx.send(client, "who", client.auth());
            Ok(())
        });
    }
}

/// Lets in whom the server knows: accounts and guests.
#[derive(State, Default)]
pub(crate) struct Known {}

impl Room for Known {
    type Options = Anything;
    type Timer = ();

    fn settings() -> Settings {
        Settings { anonymous: false, ..Settings::default() }
    }

    fn create(_: &mut Context<Self>, _: Anything) -> Result<Self, Refusal> {
        Ok(Self {})
    }

    fn messages(on: &mut Messages<Self>) {
        on.message("who", |_, cx, client, _: Value| {
            cx.send(client, "who", client.auth());
            Ok(())
        });
    }
}

/// What a refused player asked to be told.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Wish {
    code: Option<u16>,
}

impl Wish {
    fn refusal(&self) -> Refusal {
        self.code.map_or_else(|| "not today".into(), |code| Refusal::new(code, "not today"))
    }
}

/// Can be made, but lets nobody join.
#[derive(State, Default)]
pub(crate) struct Refusing {}

impl Room for Refusing {
    type Options = Wish;
    type Timer = ();

    fn create(_: &mut Context<Self>, _: Wish) -> Result<Self, Refusal> {
        Ok(Self {})
    }

    fn join(&mut self, _: &mut Context<Self>, _: &Client, wish: Wish) -> Result<(), Refusal> {
        Err(wish.refusal())
    }
}

/// Cannot even be made.
#[derive(State, Default)]
pub(crate) struct Unborn {}

impl Room for Unborn {
    type Options = Wish;
    type Timer = ();

    fn create(_: &mut Context<Self>, wish: Wish) -> Result<Self, Refusal> {
        Err(wish.refusal())
    }
}

/// Two seats.
#[derive(State, Default)]
pub(crate) struct Pair {}

impl Room for Pair {
    type Options = Anything;
    type Timer = ();

    fn settings() -> Settings {
        Settings { max_clients: 2, ..Settings::default() }
    }

    fn create(_: &mut Context<Self>, _: Anything) -> Result<Self, Refusal> {
        Ok(Self {})
    }
}
