//! Players of the region: each in its seat through everything, believing nothing.
//!
//! This file has what all of them share and the scribes, who do numbered deeds in rooms that prove their own history.
//! `pilot.rs` has those who fly, `sdk.rs` those that are the official SDK.

use super::child::trouble;
use super::flight::{Flights, Skies};
use super::pilot;
use super::sdk::{self, Sdk};
use super::witness::{History, Page, Witness};
use crate::Result;
use crate::chronicle::GROUP;
use everplay_client::{Client, Connection, Event, JoinError, OwnedMessageType, Reconnection};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Between two deeds of one player.
const DEED_EVERY: Duration = Duration::from_millis(400);
/// Players that join at a time.
const JOINING: usize = 8;
/// Attempts to join while the region is in trouble.
const JOIN_TRIES: u32 = 20;
/// A player that was shown nothing for so long is lost.
const LOST: Duration = Duration::from_secs(60);
/// A pilot whose ship does not turn for so long does not control it: longer than it takes to be shot and to come back.
const UNSTEERED: Duration = Duration::from_secs(3);
/// Frames are counted in slots of this length.
pub(super) const SLOT: Duration = Duration::from_millis(50);

/// What a player is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Our client in a room that proves its history.
    Scribe,
    /// The official SDK in such a room.
    Sdk,
    /// Our client in an arena of ships.
    Pilot,
}

impl Who {
    pub(super) const ALL: [Who; 3] = [Who::Scribe, Who::Sdk, Who::Pilot];

    /// Before the name of a row.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Who::Scribe => "",
            Who::Sdk => "SDK: ",
            Who::Pilot => "arenas: ",
        }
    }
}

/// What all of them share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) history: History,
    pub(super) skies: Skies,
    pub(super) flights: Flights,
    violations: Vec<String>,
    frames: u64,
    sdk_frames: u64,
    players: Vec<Player>,
    born: Instant,
    /// Frames shown to all together, by slots since then.
    pulse: Vec<u32>,
}

/// What is measured of one.
#[derive(Debug)]
struct Player {
    who: Who,
    room: String,
    /// When it was last shown the state.
    shown: Instant,
    /// Longest time between two frames with state since the window began.
    longest: Duration,
    /// Full states since then.
    full: u32,
    /// Lost its socket since then.
    dropped: bool,
    /// Is on its way back.
    away: bool,
    /// Its seat is gone.
    out: bool,
    /// When its ship last did what it was told; only of pilots.
    steered: Option<Instant>,
}

/// How one player fared in a window.
#[derive(Debug, Clone)]
pub(super) struct Fared {
    pub(super) who: Who,
    pub(super) room: String,
    pub(super) longest: Duration,
    pub(super) full: u32,
    pub(super) dropped: bool,
}

/// What became of one attempt to take a seat: its group, and the seat.
type Joined = Result<(usize, Result<Connection, JoinError>), tokio::task::JoinError>;

/// All players. They stop when this is dropped.
pub(super) struct Bots {
    common: Arc<Mutex<Common>>,
    over: Arc<AtomicBool>,
    /// Raised to have everybody come back over another socket.
    scatter: watch::Sender<u32>,
    tasks: JoinSet<()>,
    /// Told apart from those of other runs of the same region.
    run: u32,
}

/// What was seen by all, when the game is over.
pub(super) struct Seen {
    pub(super) history: History,
    pub(super) skies: Skies,
    pub(super) flights: Flights,
    pub(super) violations: Vec<String>,
    pub(super) frames: u64,
    pub(super) sdk_frames: u64,
}

impl Bots {
    pub(super) fn new() -> Bots {
        let common = Common {
            history: History::default(),
            skies: Skies::default(),
            flights: Flights::default(),
            violations: Vec::new(),
            frames: 0,
            sdk_frames: 0,
            players: Vec::new(),
            born: Instant::now(),
            pulse: Vec::new(),
        };
        let common = Arc::new(Mutex::new(common));
        let (over, scatter) = (Arc::default(), watch::Sender::new(0));
        Bots { common, over, scatter, tasks: JoinSet::new(), run: rand::random() }
    }

    /// Joins so many players, spread evenly over so many rooms.
    pub(super) async fn scribes(
        &mut self,
        url: &str,
        kind: &'static str,
        rooms: usize,
        players: usize,
    ) -> Result {
        let mut joining = JoinSet::new();
        let mut groups: HashMap<usize, HashSet<String>> = HashMap::new();
        let run = self.run;
        for n in 0..players {
            if joining.len() >= JOINING {
                self.seat(joining.join_next().await, &mut groups)?;
            }
            let (url, group) = (url.to_owned(), n % rooms);
            joining.spawn(async move { (group, join(&url, kind, &format!("{run}-{group}")).await) });
        }
        while let Some(joined) = joining.join_next().await {
            self.seat(Some(joined), &mut groups)?;
        }
        let mut common = self.common.lock();
        for rooms in groups.values().filter(|rooms| rooms.len() > 1) {
            common.violate(format!("players of one group were put into {} rooms", rooms.len()));
        }
        Ok(())
    }

    fn seat(&mut self, joined: Option<Joined>, groups: &mut HashMap<usize, HashSet<String>>) -> Result {
        let Some(Ok((group, joined))) = joined else { return Err(trouble("a player failed")) };
        let connection = joined.map_err(|error| trouble(format!("a player cannot join: {error}")))?;
        let room = connection.room_id().to_owned();
        groups.entry(group).or_default().insert(room.clone());
        let number = self.common.lock().enlist(Who::Scribe, room);
        let (common, over) = (Arc::clone(&self.common), Arc::clone(&self.over));
        self.tasks.spawn(play(connection, number, common, over, self.scatter.subscribe()));
        Ok(())
    }

    /// Opens arenas with two pilots each. False: this program has no such room kind.
    pub(super) async fn pilots(&mut self, url: &str, arenas: usize) -> Result<bool> {
        for _ in 0..arenas {
            let Some(pair) = pilot::take_off(&client(url)).await? else { return Ok(false) };
            for connection in pair {
                let number = self.common.lock().enlist(Who::Pilot, connection.room_id().to_owned());
                let (common, over) = (Arc::clone(&self.common), Arc::clone(&self.over));
                self.tasks.spawn(pilot::fly(connection, number, common, over, self.scatter.subscribe()));
            }
        }
        Ok(true)
    }

    /// Has so many real SDKs join the rooms of the scribes.
    pub(super) async fn sdks(
        &mut self,
        sdk: &Sdk,
        url: &str,
        kind: &'static str,
        rooms: usize,
        players: usize,
    ) -> Result {
        let groups: Vec<String> = (0..players).map(|n| format!("{}-{}", self.run, n % rooms)).collect();
        let joined = sdk.join(url, kind, &groups).await?;
        let (common, scatter) = (Arc::clone(&self.common), self.scatter.subscribe());
        self.tasks.spawn(sdk::listen(joined, common, scatter));
        Ok(())
    }

    /// Lets everybody come back through the balancer, to whichever node is next.
    pub(super) fn scatter(&self) {
        self.scatter.send_modify(|times| *times += 1);
    }

    /// From now on pauses count. When that is.
    pub(super) fn begin(&self) -> Instant {
        for player in &mut self.common.lock().players {
            (player.longest, player.full, player.dropped) = (Duration::ZERO, 0, player.away);
        }
        Instant::now()
    }

    /// Waits until everybody who has a seat was shown the state within the last `fresh`. How many were not in time.
    pub(super) async fn all_playing(&self, fresh: Duration) -> usize {
        let start = Instant::now();
        loop {
            let silent = {
                let common = self.common.lock();
                let silent = |player: &&Player| {
                    let unsteered = player.steered.is_some_and(|steered| steered.elapsed() > UNSTEERED);
                    !player.out && (player.away || player.shown.elapsed() > fresh || unsteered)
                };
                common.players.iter().filter(silent).count()
            };
            if silent == 0 || start.elapsed() > LOST {
                return silent;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// How everybody fared since [`Self::begin`].
    pub(super) fn fared(&self) -> Vec<Fared> {
        let common = self.common.lock();
        let fared = |player: &Player| Fared {
            who: player.who,
            room: player.room.clone(),
            longest: player.longest.max(player.shown.elapsed()),
            full: player.full,
            dropped: player.dropped,
        };
        common.players.iter().filter(|player| !player.out).map(fared).collect()
    }

    /// Frames shown to all together from that moment on, in so many slots.
    pub(super) fn pulse(&self, from: Instant, slots: usize) -> Vec<u32> {
        let common = self.common.lock();
        let first = slot(from.saturating_duration_since(common.born));
        (first..first + slots).map(|slot| common.pulse.get(slot).copied().unwrap_or(0)).collect()
    }

    pub(super) fn violate(&self, what: String) {
        self.common.lock().violate(what);
    }

    /// Ends the game. What was shown, and what was wrong with it.
    pub(super) async fn stop(mut self) -> Seen {
        self.over.store(true, Ordering::Relaxed);
        self.tasks.shutdown().await;
        let mut common = self.common.lock();
        Seen {
            history: std::mem::take(&mut common.history),
            skies: std::mem::take(&mut common.skies),
            flights: std::mem::take(&mut common.flights),
            violations: std::mem::take(&mut common.violations),
            frames: common.frames,
            sdk_frames: common.sdk_frames,
        }
    }
}

fn slot(since: Duration) -> usize {
    usize::try_from(since.as_millis() / SLOT.as_millis()).unwrap_or(usize::MAX)
}

impl Common {
    /// A new player's number.
    pub(super) fn enlist(&mut self, who: Who, room: String) -> usize {
        let now = Instant::now();
        self.players.push(Player {
            who,
            room,
            shown: now,
            longest: Duration::ZERO,
            full: 0,
            dropped: false,
            away: false,
            out: false,
            steered: (who == Who::Pilot).then_some(now),
        });
        self.players.len() - 1
    }

    pub(super) fn violate(&mut self, what: String) {
        eprintln!("VIOLATION: {what}");
        self.violations.push(what);
    }

    /// A player was shown the state. How long it had waited for that.
    pub(super) fn shown(&mut self, number: usize, full: bool) -> Duration {
        let now = Instant::now();
        let slot = slot(now.saturating_duration_since(self.born));
        if self.pulse.len() <= slot {
            self.pulse.resize(slot + 1, 0);
        }
        self.pulse[slot] += 1;
        self.frames += 1;
        let player = &mut self.players[number];
        self.sdk_frames += u64::from(player.who == Who::Sdk);
        let pause = now - player.shown;
        player.longest = player.longest.max(pause);
        player.full += u32::from(full);
        (player.shown, player.away) = (now, false);
        pause
    }

    /// A pilot's ship did what it was told.
    pub(super) fn steered(&mut self, number: usize) {
        self.players[number].steered = Some(Instant::now());
    }

    pub(super) fn dropped(&mut self, number: usize) {
        let player = &mut self.players[number];
        (player.dropped, player.away) = (true, true);
    }

    /// A player's seat is gone.
    pub(super) fn lose(&mut self, number: usize, who: &str, code: u16, reason: &str) {
        self.violate(format!("{who}: the seat was lost, closed with {code} {reason}"));
        self.players[number].out = true;
    }

    /// A page was shown to somebody: it must follow from what that one saw before, and agree with what others saw.
    pub(super) fn judge(
        &mut self,
        who: &str,
        room: &str,
        witness: &mut Witness,
        page: &Page,
        full: bool,
        stepped: bool,
    ) {
        if let Err(problem) = witness.sees(page, full, stepped) {
            self.violate(format!("{who}: {problem}"));
        }
        if let Err(problem) = self.history.agree(room, page.tick, page.chain) {
            self.violate(format!("{who}: {problem}"));
        }
    }
}

/// As SDKs come back, only that they do not give up, and also right after they joined.
pub(super) fn client(url: &str) -> Client {
    let reconnection = Reconnection {
        min_uptime: Duration::ZERO,
        max_retries: 100,
        max_delay: Duration::from_secs(1),
        ..Reconnection::default()
    };
    Client::new(url).expect("the balancer's address").with_reconnection(reconnection)
}

/// Joins the room of a group, or makes it; tries again while the region is in trouble.
pub(super) async fn join(url: &str, kind: &str, group: &str) -> Result<Connection, JoinError> {
    let client = client(url);
    let mut tries = 0;
    loop {
        tries += 1;
        match client.join_or_create(kind, &serde_json::json!({ GROUP: group })).await {
            Err(error) if tries < JOIN_TRIES => {
                tracing::debug!(%error, "joining again");
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            joined => return joined,
        }
    }
}

/// One scribe until the end.
async fn play(
    mut connection: Connection,
    number: usize,
    common: Arc<Mutex<Common>>,
    over: Arc<AtomicBool>,
    mut scatter: watch::Receiver<u32>,
) {
    let (room, session) = (connection.room_id().to_owned(), connection.session_id().to_owned());
    let who = format!("{session} in {room}");
    let mut witness = Witness::default();
    let mut deeds = tokio::time::interval(DEED_EVERY);
    loop {
        let event = tokio::select! {
            event = connection.next() => event,
            Ok(()) = scatter.changed() => {
                connection.break_socket();
                continue;
            }
            _ = deeds.tick() => {
                witness.sent += 1;
                // What goes wrong is told by the next event.
                if connection.send("deed", &witness.sent).is_ok() {
                    let _ = connection.flush().await;
                }
                continue;
            }
        };
        if over.load(Ordering::Relaxed) {
            return;
        }
        match event {
            Some(Event::State { full, body, .. }) => {
                let page = connection.state().and_then(|state| Page::of(state, &session));
                let mut common = common.lock();
                common.shown(number, full);
                match page {
                    Some(page) => {
                        common.judge(&who, &room, &mut witness, &page, full, tells_of_a_step(&body));
                    }
                    None => common.violate(format!("{who}: a state that is not a chronicle's")),
                }
            }
            Some(Event::Message { ty: OwnedMessageType::Text(ty), payload }) if &*ty == "mark" => {
                let told = payload.get::<u32>().map_err(|error| error.to_string());
                if let Err(problem) = told.and_then(|mark| witness.marks(mark)) {
                    common.lock().violate(format!("{who}: {problem}"));
                }
            }
            Some(Event::Dropped { .. }) => {
                witness.drops();
                common.lock().dropped(number);
            }
            Some(Event::Closed { code, reason }) => {
                common.lock().lose(number, &who, code, &reason);
                return;
            }
            Some(_) => {}
            None => return,
        }
    }
}

/// The step's number is the first field of the root, and the root comes first.
fn tells_of_a_step(patch: &[u8]) -> bool {
    patch.strip_prefix(&[0xff, 0x00]).unwrap_or(patch).first() == Some(&0x80)
}
