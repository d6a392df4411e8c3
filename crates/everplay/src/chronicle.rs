//! A room whose state proves its own history.
//!
//! Each step mixes its number and everything that clients did before it into `chain`; the last [`RING`] steps' deeds stay
//! in `links`, so whoever saw one step can compute what every later one must show. A history that was forked, shortened
//! or played again differently cannot show the same chain.
//!
//! Served beside the arenas (`--bench-rooms`), for `everplay chaos`.

use everplay_node::Kind;
use everplay_room::{Client, Context, Leave, Messages, Refusal, Room, RoomType, Settings};
use everplay_schema::{List, Map, State};
use serde::de::IgnoredAny;
use std::sync::Arc;
use std::time::Duration;

/// Steps whose deeds are kept in the state.
pub(crate) const RING: u32 = 64;
/// Steps between two messages.
const MARK_EVERY: u32 = 8;
/// The rooms of a quick step: as arenas.
pub(crate) const QUICK: &str = "chronicle";
/// The rooms of a slow one, for many at a time.
pub(crate) const SLOW: &str = "chronicle_slow";
/// Time between two of its steps.
const SLOW_STEP: Duration = Duration::from_millis(500);
/// Join option by which clients that are to share a room find each other.
pub(crate) const GROUP: &str = "group";

#[derive(State, Default)]
pub(crate) struct Chronicle {
    tick: u32,
    #[state(bigint)]
    chain: u64,
    #[state(bigint)]
    links: List<u64>,
    marks: u32,
    scribes: Map<Scribe>,
    /// What was done since the last step.
    #[state(private)]
    deeds: u64,
}

/// A client's deeds, counted.
#[derive(State, Default)]
pub(crate) struct Scribe {
    /// How many were done.
    done: u32,
    /// The number of the last one.
    last: u32,
    /// How many were done again.
    again: u32,
}

fn mix(chain: u64, more: u64) -> u64 {
    let mut mixed = (chain ^ more.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 32)
}

/// The chain after a step.
pub(crate) fn after(chain: u64, tick: u32, deeds: u64) -> u64 {
    mix(mix(chain, u64::from(tick)), deeds)
}

impl Chronicle {
    /// What a hook does that was written badly.
    fn poison(&mut self, _: &mut Context<Self>, _: &Client, _: IgnoredAny) -> Result<(), Refusal> {
        panic!("poison, as `everplay chaos` asked for")
    }

    /// Nothing; it is only said.
    fn rest(&mut self, _: &mut Context<Self>, _: &Client, _: IgnoredAny) -> Result<(), Refusal> {
        Ok(())
    }

    fn deed(&mut self, _: &mut Context<Self>, client: &Client, number: u32) -> Result<(), Refusal> {
        let Some(scribe) = self.scribes.get_mut(client.session_id()) else { return Ok(()) };
        if number <= scribe.last {
            scribe.again += 1;
        } else {
            scribe.done += 1;
            scribe.last = number;
        }
        let name = client.session_id().bytes().fold(0, |name, byte| mix(name, u64::from(byte)));
        self.deeds = mix(mix(self.deeds, name), u64::from(number));
        Ok(())
    }
}

impl Room for Chronicle {
    type Options = IgnoredAny;
    type Timer = ();

    fn settings() -> Settings {
        let step = crate::arena::STEP;
        let reconnection = Duration::from_secs(120);
        Settings { tick: Some(step), patch_interval: step, reconnection, ..Settings::default() }
    }

    fn messages(on: &mut Messages<Self>) {
        on.message("deed", Self::deed);
        on.message("rest", Self::rest);
        on.message("poison", Self::poison);
    }

    fn create(cx: &mut Context<Self>, _: IgnoredAny) -> Result<Self, Refusal> {
        let mut room = Self { chain: cx.rng().next_u64(), ..Self::default() };
        (0..RING).for_each(|_| room.links.push(0));
        Ok(room)
    }

    fn join(&mut self, _: &mut Context<Self>, client: &Client, _: IgnoredAny) -> Result<(), Refusal> {
        self.scribes.insert(client.session_id(), Scribe::default());
        Ok(())
    }

    fn tick(&mut self, cx: &mut Context<Self>, _: Duration) {
        self.tick += 1;
        self.links.replace((self.tick % RING) as usize, self.deeds);
        self.chain = after(self.chain, self.tick, self.deeds);
        self.deeds = 0;
        if self.tick.is_multiple_of(MARK_EVERY) {
            self.marks += 1;
            cx.broadcast("mark", &self.marks);
        }
    }

    fn leave(&mut self, _: &mut Context<Self>, client: &Client, _: Leave) {
        self.scribes.remove(client.session_id());
    }
}

/// The two kinds that `--bench-rooms` adds.
pub(crate) fn kinds() -> [Kind; 2] {
    let kind = |name, step| {
        let settings = Settings { tick: Some(step), patch_interval: step, ..Chronicle::settings() };
        let mut kind = Kind::new(Arc::new(Arc::new(RoomType::<Chronicle>::with_settings(name, settings))));
        kind.filter_by = vec![GROUP.to_owned()];
        kind
    };
    [kind(QUICK, crate::arena::STEP), kind(SLOW, SLOW_STEP)]
}
