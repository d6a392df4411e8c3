//! The room: who flies, who watches, the score, and how the arena is kept alive.
//!
//! ```text
//! join --> player with a ship --- hit ---> player without one -- "spawn" --> with one
//!   |                                      (a bot: by itself after 5 s)
//!   +----> watcher -- "spawn" --> player
//! ```
//!
//! The state is the public contract in `docs/rooms/spaaace.md`. Clients say which keys are down, nothing else.
//!
//! Always holds: at most one ship per player, under the player's key; every ship and missile belongs to a player that
//! is listed; players, bots included, are never more than [`SHIPS`], so there is a ship for each of them.

use crate::step::{BOTS, Controls, Hit, Missile, Past, RATE, Ship, step};
use crate::{bots, pilots};
use everplay::prelude::*;

/// Ships in an arena, those of the bots included.
pub const SHIPS: u32 = 100;
/// Watchers a room takes when all ships are taken; before that they have the seats of pilots to come.
const WATCHERS: u32 = 30;
/// Bots when the creator does not say.
const BOTS_BY_DEFAULT: u32 = 3;
/// More bots than this would be a room for bots.
const BOTS_ALLOWED: u32 = 20;
/// Length of a step, to the nanosecond: 20 ns a second are lost, a step in 26 days.
const STEP: Duration = Duration::from_nanos(1_000_000_000 / RATE as u64 + 1);
/// How long a new ship cannot be hit: the time to see where one is.
const SAFE_AFTER_SPAWN: u32 = 2 * RATE;
/// How long the ships of players cannot be hit after a restart: the SDKs try again after 5 s at the latest.
const SAFE_AFTER_RESTART: u32 = 8 * RATE;
/// How long the seat of a dropped player waits, which is as long as the SDKs keep trying.
const SEAT_KEPT: Duration = Duration::from_secs(60);
/// Lines of the kill feed.
const FEED: usize = 8;

/// Codes of our own, as documented.
pub mod code {
    /// One ship per player.
    pub const ALREADY_FLYING: u16 = 4300;
    /// All ships are taken.
    pub const ARENA_FULL: u16 = 4301;
    /// Watchers have no controls.
    pub const NOT_A_PILOT: u16 = 4302;
    /// An option that the room does not know.
    pub const BAD_OPTION: u16 = 4303;
}

/// One arena.
#[derive(State, Default)]
pub struct Spaaace {
    /// Steps since the arena was made; at 60 a second they last for two years.
    step: u32,
    ships: Map<Ship>,
    missiles: Map<Missile>,
    players: Map<Player>,
    kills: List<Kill>,
    spectators: u16,
    /// Joined by its id only, however many seats are free.
    #[state(private)]
    invited_only: bool,
    /// Number of the last missile.
    #[state(private)]
    shots: u32,
    /// Number of the last player's crew.
    #[state(private)]
    crews: u16,
    /// Number of the last ship.
    #[state(private)]
    hulls: u32,
    /// Where ships were, to judge shots by what their pilots saw. Gone with a restart, when nobody sees anything.
    #[state(skip)]
    past: Past,
    /// What bots see, to not allocate it anew each step.
    #[state(skip)]
    sights: Vec<bots::Sight>,
}

/// Somebody who flies, or will when there is a ship for them again.
#[derive(State, Default)]
pub struct Player {
    name: String,
    bot: bool,
    connected: bool,
    kills: u32,
    deaths: u32,
    /// See [`Ship::crew`].
    #[state(private)]
    crew: u16,
    /// The step in which a bot without a ship gets one.
    #[state(private)]
    back_at: u32,
}

/// A line of the kill feed. Names as they were: their owners may be gone.
#[derive(State, Default)]
pub struct Kill {
    step: u32,
    killer: String,
    victim: String,
    #[state(rename = "killerName")]
    killer_name: String,
    #[state(rename = "victimName")]
    victim_name: String,
}

/// What clients may ask for. Unknown fields are ignored, because SDKs may add their own.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Options {
    name: String,
    mode: String,
    bots: Option<u32>,
    private: bool,
}

/// A wish for a ship.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Spawn {
    name: String,
}

/// A player's visit, for the rest of the platform.
#[derive(Serialize)]
struct FlightOver<'a> {
    session: &'a str,
    name: &'a str,
    kills: u32,
    deaths: u32,
}

impl Room for Spaaace {
    type Options = Options;
    type Timer = ();

    fn settings() -> Settings {
        Settings {
            tick: Some(STEP),
            max_clients: SHIPS + WATCHERS,
            reconnection: SEAT_KEPT,
            // One input per step, the messages of four keys, and some for a burst after a stall.
            messages_per_second: 240,
            ..Settings::default()
        }
    }

    fn messages(on: &mut Messages<Self>) {
        let stamps = InputSettings { render_time: true, ..InputSettings::default() };
        on.input(stamps, |arena: &mut Self, cx, client, controls: &Controls, meta| {
            let behind = arena.past.behind(cx.now(), meta.render_time);
            arena.control(client.session_id().as_str(), *controls, behind);
        });
        // The same for SDKs before 0.18, which have no inputs.
        on.message("controls", Self::on_controls);
        on.message("spawn", Self::on_spawn);
    }

    fn create(cx: &mut Context<Self>, options: Options) -> Result<Self, Refusal> {
        check_mode(&options)?;
        let wanted = options.bots.unwrap_or(BOTS_BY_DEFAULT);
        if wanted > BOTS_ALLOWED {
            return Err(bad_option("an arena has at most 20 bots"));
        }
        let mut arena = Spaaace { invited_only: options.private, ..Spaaace::default() };
        for number in 1..=wanted {
            // Session ids are longer.
            let key = format!("bot{number}");
            let name = format!("{} Bot", pilots::invented(cx.rng()));
            let bot = Player { name, bot: true, connected: true, crew: BOTS, ..Player::default() };
            arena.players.insert(&key, bot);
            arena.launch(cx, &key);
        }
        arena.list(cx);
        Ok(arena)
    }

    fn join(&mut self, cx: &mut Context<Self>, client: &Client, options: Options) -> Result<(), Refusal> {
        check_mode(&options)?;
        if options.mode == "watch" || self.is_full() {
            self.spectators += 1;
        } else {
            self.enlist(cx, client, &options.name);
        }
        self.list(cx);
        cx.checkpoint();
        Ok(())
    }

    fn tick(&mut self, cx: &mut Context<Self>, _step: Duration) {
        self.step = self.step.wrapping_add(1);
        bots::steer(self.step, &mut self.ships, cx.rng(), &mut self.sights);
        let (ships, missiles) = (&mut self.ships, &mut self.missiles);
        for hit in step(self.step, cx.now(), ships, missiles, &mut self.shots, &mut self.past) {
            self.score(&hit);
            cx.checkpoint();
        }
        let back = |(key, player): (&str, &Player)| {
            let due = player.bot && player.back_at == self.step && !self.ships.contains_key(key);
            due.then(|| key.to_owned())
        };
        let back: Vec<String> = self.players.iter().filter_map(back).collect();
        for bot in back {
            self.launch(cx, &bot);
        }
    }

    fn drop(&mut self, _cx: &mut Context<Self>, client: &Client, _code: CloseCode) {
        let session = client.session_id().as_str();
        self.set_connected(session, false);
        if let Some(ship) = self.ships.get_mut(session) {
            // Nobody holds the keys.
            ship.steer(Controls::default(), Duration::ZERO);
        }
    }

    fn reconnect(&mut self, _cx: &mut Context<Self>, client: &Client) {
        self.set_connected(client.session_id().as_str(), true);
    }

    fn leave(&mut self, cx: &mut Context<Self>, client: &Client, _why: Leave) {
        let session = client.session_id().as_str();
        match self.players.remove(session) {
            Some(Player { name, kills, deaths, .. }) => {
                self.ships.remove(session);
                self.missiles.retain(|_, missile| missile.owner != session);
                // Flights are told for whoever looks; one that cannot be is no loss to its pilot.
                let _ = cx.emit("flight over", &FlightOver { session, name: &name, kills, deaths });
            }
            None => self.spectators = self.spectators.saturating_sub(1),
        }
        self.list(cx);
        cx.checkpoint();
    }

    fn restored(&mut self, _cx: &mut Context<Self>) {
        // Whoever flew could not steer while we were away, and cannot until they are back.
        for ship in self.ships.values_mut().filter(|ship| ship.crew != BOTS) {
            ship.safe_until = ship.safe_until.max(self.step.saturating_add(SAFE_AFTER_RESTART));
        }
    }
}

impl Spaaace {
    /// The settings with the persistence of the game's origin: a snapshot every 5 s and at joins, leaves and hits,
    /// instead of a journal of every patch, good for an hour. Cheaper; a crash goes back to the last snapshot.
    pub fn settings_with_snapshots() -> Settings {
        let durability = Durability::Snapshot(Duration::from_secs(5));
        Settings { durability, expires: Some(Duration::from_secs(3600)), ..Self::settings() }
    }

    fn on_controls(
        &mut self,
        _cx: &mut Context<Self>,
        client: &Client,
        controls: Controls,
    ) -> Result<(), Refusal> {
        let session = client.session_id().as_str();
        if !self.players.contains_key(session) {
            return Err(Refusal::new(code::NOT_A_PILOT, "watchers have no controls"));
        }
        // Nothing tells what its pilot saw.
        self.control(session, controls, Duration::ZERO);
        Ok(())
    }

    /// Keys of somebody whose ship was hit a moment ago are nothing to complain about.
    fn control(&mut self, session: &str, controls: Controls, behind: Duration) {
        if let Some(ship) = self.ships.get_mut(session) {
            ship.steer(controls, behind);
        }
    }

    fn on_spawn(
        &mut self,
        cx: &mut Context<Self>,
        client: &Client,
        wish: Option<Spawn>,
    ) -> Result<(), Refusal> {
        let session = client.session_id().as_str();
        if self.ships.contains_key(session) {
            return Err(Refusal::new(code::ALREADY_FLYING, "one ship each"));
        }
        if self.players.contains_key(session) {
            self.launch(cx, session);
        } else if self.is_full() {
            return Err(Refusal::new(code::ARENA_FULL, "all ships are taken"));
        } else {
            self.spectators = self.spectators.saturating_sub(1);
            self.enlist(cx, client, &wish.unwrap_or_default().name);
            self.list(cx);
        }
        cx.checkpoint();
        Ok(())
    }

    /// Makes a client a player with a ship.
    fn enlist(&mut self, cx: &mut Context<Self>, client: &Client, name: &str) {
        let session = client.session_id().as_str();
        let name = pilots::name(name, cx.rng());
        self.crews = self.crews.checked_add(1).unwrap_or(BOTS + 1);
        self.players.insert(session, Player { name, connected: true, crew: self.crews, ..Player::default() });
        self.launch(cx, session);
    }

    /// Gives a player a ship, away from the others.
    fn launch(&mut self, cx: &mut Context<Self>, key: &str) {
        let Some(player) = self.players.get(key) else { return };
        let at = pilots::place(self.step, &self.ships, &self.missiles, cx.rng());
        self.hulls = self.hulls.wrapping_add(1);
        let mut ship = Ship::new(at, player.crew, self.step.saturating_add(SAFE_AFTER_SPAWN));
        ship.hull = self.hulls;
        if player.bot {
            ship.next_shot = bots::next_shot(self.step, cx.rng());
        }
        self.ships.insert(key, ship);
    }

    fn score(&mut self, hit: &Hit) {
        let mut killer_name = String::new();
        if let Some(killer) = self.players.get_mut(&hit.shooter) {
            killer.kills = killer.kills.saturating_add(1);
            killer_name.clone_from(&killer.name);
        }
        let mut victim_name = String::new();
        if let Some(victim) = self.players.get_mut(&hit.victim) {
            victim.deaths = victim.deaths.saturating_add(1);
            victim.back_at = self.step.saturating_add(bots::AWAY);
            victim_name.clone_from(&victim.name);
        }
        if self.kills.len() >= FEED {
            self.kills.remove(0);
        }
        self.kills.push(Kill {
            step: self.step,
            killer: hit.shooter.clone(),
            victim: hit.victim.clone(),
            killer_name,
            victim_name,
        });
    }

    fn is_full(&self) -> bool {
        self.players.len() >= SHIPS as usize
    }

    /// Whom matchmaking may send here: as many as there are ships. Watchers of a full arena come by id.
    fn list(&self, cx: &mut Context<Self>) {
        let bots = self.players.values().filter(|player| player.bot).count() as u32;
        cx.set_private(self.invited_only || self.is_full());
        cx.set_max_clients(SHIPS - bots + if self.is_full() { WATCHERS } else { u32::from(self.spectators) });
    }

    fn set_connected(&mut self, session: &str, connected: bool) {
        if let Some(player) = self.players.get_mut(session) {
            player.connected = connected;
        }
    }
}

fn check_mode(options: &Options) -> Result<(), Refusal> {
    match options.mode.as_str() {
        "" | "play" | "watch" => Ok(()),
        _ => Err(bad_option("one plays or watches")),
    }
}

fn bad_option(message: &str) -> Refusal {
    Refusal::new(code::BAD_OPTION, message)
}

#[cfg(test)]
mod tests;
