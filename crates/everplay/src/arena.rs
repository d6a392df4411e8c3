//! The room every benchmark and crash test drives: twenty ships that never stop.
//!
//! Part of the facade, so that any server can be measured by `everplay bench` on the machine it will run on. Its
//! contract (names, fields, messages) is fixed: results are compared across servers and releases.

use everplay_node::Kind;
use everplay_room::{Client, Context, Durability, Leave, Messages, Refusal, Room, RoomType, Settings};
use everplay_schema::{Map, State};
use everplay_wire::msgpack::Value;
use serde::de::IgnoredAny;
use std::sync::Arc;
use std::time::Duration;

/// Seats of an arena.
pub(crate) const SEATS: u32 = 20;
/// Time between two moves, and between two patches.
pub(crate) const STEP: Duration = Duration::from_millis(50);

const SIZE: f32 = 1000.0;
const SPEED: f32 = 2.0;

#[derive(State, Default)]
pub(crate) struct Arena {
    tick: u32,
    ships: Map<Ship>,
}

#[derive(State, Default)]
pub(crate) struct Ship {
    x: f32,
    y: f32,
    angle: f32,
    score: u16,
}

impl Arena {
    fn turn(&mut self, _: &mut Context<Self>, client: &Client, angle: f64) -> Result<(), Refusal> {
        if let Some(ship) = self.ships.get_mut(client.session_id()) {
            ship.angle = angle as f32;
        }
        Ok(())
    }

    fn echo(&mut self, cx: &mut Context<Self>, client: &Client, payload: Value) -> Result<(), Refusal> {
        cx.send(client, "echo", &payload);
        Ok(())
    }
}

impl Room for Arena {
    type Options = IgnoredAny;
    type Timer = ();

    fn settings() -> Settings {
        Settings { tick: Some(STEP), patch_interval: STEP, max_clients: SEATS, ..Settings::default() }
    }

    fn messages(on: &mut Messages<Self>) {
        on.message("turn", Self::turn).message("echo", Self::echo);
    }

    fn create(_: &mut Context<Self>, _: IgnoredAny) -> Result<Self, Refusal> {
        Ok(Self::default())
    }

    fn join(&mut self, cx: &mut Context<Self>, client: &Client, _: IgnoredAny) -> Result<(), Refusal> {
        let rng = cx.rng();
        let ship = Ship {
            x: rng.unit() as f32 * SIZE,
            y: rng.unit() as f32 * SIZE,
            angle: rng.unit() as f32 * std::f32::consts::TAU,
            score: 0,
        };
        self.ships.insert(client.session_id(), ship);
        Ok(())
    }

    fn tick(&mut self, _: &mut Context<Self>, _: Duration) {
        self.tick += 1;
        for (_, ship) in self.ships.iter_mut() {
            ship.x = (ship.x + ship.angle.cos() * SPEED).rem_euclid(SIZE);
            ship.y = (ship.y + ship.angle.sin() * SPEED).rem_euclid(SIZE);
        }
    }

    fn leave(&mut self, _: &mut Context<Self>, client: &Client, _: Leave) {
        self.ships.remove(client.session_id());
    }
}

/// The two arenas that `--bench-rooms` adds.
pub(crate) fn kinds() -> [Kind; 2] {
    let kind = |name, durability| {
        let settings = Settings { durability, ..Arena::settings() };
        Kind::new(Arc::new(Arc::new(RoomType::<Arena>::with_settings(name, settings))))
    };
    [kind("arena", Durability::Confirmed), kind("arena_ephemeral", Durability::Ephemeral)]
}
