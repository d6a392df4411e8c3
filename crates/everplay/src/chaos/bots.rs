//! Players of the region: each in its seat through everything, doing numbered deeds, believing nothing.

use super::child::trouble;
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

/// What all of them share.
#[derive(Debug, Default)]
struct Common {
    history: History,
    violations: Vec<String>,
    frames: u64,
    players: Vec<Player>,
}

/// What is measured of one.
#[derive(Debug)]
struct Player {
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
}

/// How one player fared in a window.
#[derive(Debug, Clone)]
pub(super) struct Fared {
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
}

impl Bots {
    /// Joins so many players, spread evenly over so many rooms.
    pub(super) async fn join(url: &str, kind: &'static str, rooms: usize, players: usize) -> Result<Bots> {
        let (common, over, scatter) = (Arc::default(), Arc::default(), watch::Sender::new(0));
        let mut bots = Bots { common, over, scatter, tasks: JoinSet::new() };
        let mut joining = JoinSet::new();
        let mut groups: HashMap<usize, HashSet<String>> = HashMap::new();
        let run = rand::random::<u32>();
        for n in 0..players {
            if joining.len() >= JOINING {
                bots.seat(joining.join_next().await, &mut groups)?;
            }
            let (url, group) = (url.to_owned(), n % rooms);
            joining.spawn(async move { (group, join(&url, kind, &format!("{run}-{group}")).await) });
        }
        while let Some(joined) = joining.join_next().await {
            bots.seat(Some(joined), &mut groups)?;
        }
        let mut common = bots.common.lock();
        for rooms in groups.values().filter(|rooms| rooms.len() > 1) {
            common.violate(format!("players of one group were put into {} rooms", rooms.len()));
        }
        drop(common);
        Ok(bots)
    }

    fn seat(&mut self, joined: Option<Joined>, groups: &mut HashMap<usize, HashSet<String>>) -> Result {
        let Some(Ok((group, joined))) = joined else { return Err(trouble("a player failed")) };
        let connection = joined.map_err(|error| trouble(format!("a player cannot join: {error}")))?;
        let room = connection.room_id().to_owned();
        groups.entry(group).or_default().insert(room.clone());
        let mut common = self.common.lock();
        let (shown, longest) = (Instant::now(), Duration::ZERO);
        common.players.push(Player {
            room,
            shown,
            longest,
            full: 0,
            dropped: false,
            away: false,
            out: false,
        });
        let number = common.players.len() - 1;
        drop(common);
        let (common, over) = (Arc::clone(&self.common), Arc::clone(&self.over));
        self.tasks.spawn(play(connection, number, common, over, self.scatter.subscribe()));
        Ok(())
    }

    /// Lets everybody come back through the balancer, to whichever node is next.
    pub(super) fn scatter(&self) {
        self.scatter.send_modify(|times| *times += 1);
    }

    /// From now on pauses count.
    pub(super) fn begin(&self) {
        for player in &mut self.common.lock().players {
            (player.longest, player.full, player.dropped) = (Duration::ZERO, 0, player.away);
        }
    }

    /// Waits until everybody who has a seat was shown the state within the last `fresh`. How many were not in time.
    pub(super) async fn all_playing(&self, fresh: Duration) -> usize {
        let start = Instant::now();
        loop {
            let silent = {
                let common = self.common.lock();
                let silent =
                    |player: &&Player| !player.out && (player.away || player.shown.elapsed() > fresh);
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
            room: player.room.clone(),
            longest: player.longest.max(player.shown.elapsed()),
            full: player.full,
            dropped: player.dropped,
        };
        common.players.iter().filter(|player| !player.out).map(fared).collect()
    }

    pub(super) fn violate(&self, what: String) {
        self.common.lock().violate(what);
    }

    /// Ends the game. What was shown, what was wrong with it, and how many frames were looked at.
    pub(super) async fn stop(mut self) -> (History, Vec<String>, u64) {
        self.over.store(true, Ordering::Relaxed);
        self.tasks.shutdown().await;
        let common = std::mem::take(&mut *self.common.lock());
        (common.history, common.violations, common.frames)
    }
}

impl Common {
    fn violate(&mut self, what: String) {
        eprintln!("VIOLATION: {what}");
        self.violations.push(what);
    }
}

async fn join(url: &str, kind: &str, group: &str) -> Result<Connection, JoinError> {
    // As SDKs come back, only that they do not give up, and also right after they joined.
    let reconnection = Reconnection {
        min_uptime: Duration::ZERO,
        max_retries: 100,
        max_delay: Duration::from_secs(1),
        ..Reconnection::default()
    };
    let client = Client::new(url).expect("the balancer's address").with_reconnection(reconnection);
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

/// One player until the end.
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
                common.frames += 1;
                let Some(page) = page else {
                    common.violate(format!("{who}: a state that is not a chronicle's"));
                    continue;
                };
                if let Err(problem) = witness.sees(&page, full, tells_of_a_step(&body)) {
                    common.violate(format!("{who}: {problem}"));
                }
                if let Err(problem) = common.history.agree(&room, page.tick, page.chain) {
                    common.violate(format!("{who}: {problem}"));
                }
                let player = &mut common.players[number];
                let now = Instant::now();
                player.longest = player.longest.max(now - player.shown);
                player.full += u32::from(full);
                (player.shown, player.away) = (now, false);
            }
            Some(Event::Message { ty: OwnedMessageType::Text(ty), payload }) if &*ty == "mark" => {
                let told = payload.get::<u32>().map_err(|error| error.to_string());
                if let Err(problem) = told.and_then(|mark| witness.marks(mark)) {
                    common.lock().violate(format!("{who}: {problem}"));
                }
            }
            Some(Event::Dropped { .. }) => {
                witness.drops();
                let player = &mut common.lock().players[number];
                (player.dropped, player.away) = (true, true);
            }
            Some(Event::Closed { code, reason }) => {
                let mut common = common.lock();
                common.violate(format!("{who}: the seat was lost, closed with {code} {reason}"));
                common.players[number].out = true;
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
