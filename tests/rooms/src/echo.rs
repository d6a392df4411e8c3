use everplay::msgpack::Value;
use everplay::prelude::*;

/// Sends everything back to who sent it.
#[derive(State, Default)]
pub(crate) struct Echo {}

impl Room for Echo {
    type Options = Anything;
    type Timer = ();

    fn settings() -> Settings {
        // A test sends its whole table of payloads at once.
        Settings { messages_per_second: 1_000, ..Settings::default() }
    }

    fn create(_: &mut Context<Self>, _: Anything) -> Result<Self, Refusal> {
        Ok(Self {})
    }

    fn messages(on: &mut Messages<Self>) {
        on.bytes("bytes", |_, cx, client, bytes| {
            cx.send_bytes(client, "bytes", bytes);
            Ok(())
        });
        on.message("42", |_, cx, client, payload: Value| {
            cx.send(client, 42, &payload);
            Ok(())
        });
        on.any(|_, cx, client, kind, payload| {
            cx.send(client, kind, &payload);
            Ok(())
        });
    }
}
