//! People who wait, and now and then say that they are ready. Nothing moves by itself.

use everplay::prelude::*;

#[derive(State, Default)]
pub(crate) struct Lobby {
    guests: Map<Guest>,
}

#[derive(State, Default)]
pub(crate) struct Guest {
    name: String,
    ready: bool,
}

impl Room for Lobby {
    type Options = Anything;
    type Timer = ();

    fn settings() -> Settings {
        Settings { max_clients: 20, ..Settings::default() }
    }

    fn messages(on: &mut Messages<Self>) {
        on.message("ready", |lobby: &mut Lobby, _cx, client, ready: bool| {
            if let Some(guest) = lobby.guests.get_mut(client.session_id().as_str()) {
                guest.ready = ready;
            }
            Ok(())
        });
    }

    fn create(_: &mut Context<Self>, _: Anything) -> Result<Self, Refusal> {
        Ok(Lobby::default())
    }

    fn join(&mut self, _: &mut Context<Self>, client: &Client, _: Anything) -> Result<(), Refusal> {
        let session = client.session_id().as_str();
        self.guests.insert(session, Guest { name: format!("Guest {session}"), ready: false });
        Ok(())
    }

    fn leave(&mut self, _: &mut Context<Self>, client: &Client, _: Leave) {
        self.guests.remove(client.session_id().as_str());
    }
}
