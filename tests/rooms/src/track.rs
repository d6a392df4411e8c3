//! A room with a step and an input type: cars that roll as their drivers steer.

use everplay::prelude::*;

/// Where every car is.
#[derive(State, Default)]
pub(crate) struct Track {
    steps: u32,
    cars: Map<Car>,
}

#[derive(State, Default)]
struct Car {
    x: f32,
    /// Inputs and messages that moved it.
    moves: u32,
}

/// What a driver holds.
#[derive(State, Default)]
struct Wheel {
    gas: bool,
    #[state(number)]
    steer: f64,
}

impl Track {
    fn roll(&mut self, client: &Client, steer: f64, gas: bool) {
        if let Some(car) = self.cars.get_mut(client.session_id()) {
            car.moves += 1;
            car.x += steer as f32 + if gas { 1.0 } else { 0.0 };
        }
    }
}

impl Room for Track {
    type Options = Anything;
    type Timer = ();

    fn settings() -> Settings {
        Settings { tick: Some(Duration::from_millis(20)), ..Settings::default() }
    }

    fn messages(on: &mut Messages<Self>) {
        on.input(
            InputSettings::default(),
            |track: &mut Track, _cx, client, wheel: &Wheel, _meta: &InputMeta| {
                track.roll(client, wheel.steer, wheel.gas);
            },
        );
        on.message("steer", |track: &mut Track, _cx, client, steer: f64| {
            track.roll(client, steer, false);
            Ok(())
        });
    }

    fn create(_: &mut Context<Self>, _: Anything) -> Result<Self, Refusal> {
        Ok(Self::default())
    }

    fn join(&mut self, _: &mut Context<Self>, client: &Client, _: Anything) -> Result<(), Refusal> {
        self.cars.insert(client.session_id(), Car::default());
        Ok(())
    }

    fn tick(&mut self, _: &mut Context<Self>, _: Duration) {
        self.steps += 1;
    }
}
