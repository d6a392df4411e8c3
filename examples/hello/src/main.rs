//! A whole game server: players count sheep together. End it with `kill -9`, start it again: no sheep is lost.

use everplay::prelude::*;

/// The room is the state its clients see: the sheep each of them has counted.
#[derive(State, Default)]
struct Meadow {
    sheep: Map<u32>,
}

impl Meadow {
    fn count(&mut self, _: &mut Context<Self>, client: &Client, more: u32) -> Result<(), Refusal> {
        let counted = self.sheep.get_mut(client.session_id()).ok_or("you are not here")?;
        *counted = counted.checked_add(more).ok_or("there are not that many sheep")?;
        Ok(())
    }
}

impl Room for Meadow {
    type Options = Anything;
    type Timer = ();

    fn create(_: &mut Context<Self>, _: Anything) -> Result<Self, Refusal> {
        Ok(Meadow::default())
    }

    fn messages(on: &mut Messages<Self>) {
        on.message("count", Self::count);
    }

    fn join(&mut self, _: &mut Context<Self>, client: &Client, _: Anything) -> Result<(), Refusal> {
        self.sheep.insert(client.session_id(), 0);
        Ok(())
    }
}

fn main() -> everplay::Result {
    everplay::App::new().room::<Meadow>("meadow").run()
}
