//! The room `matchmaking`: all searches for an opponent, of all players and games.
//!
//! ```text
//! node that was asked -> "search", "turn" -> Pool -> what the ticket is now, and maybe a pair to make a game for
//! node that made it   -> "made"           -> the seats of both, or they search on
//! ```
//!
//! Its clients are the nodes. What it holds is saved each second: a crash may forget a search that began, or an answer that was given, in the second before, and whoever asks hears so.
//!
//! A pair is handed to a node to make a game for. When that node says nothing, because it died, the pair is handed to the
//! next one that asks about it; who was given a seat by then finds that one taken by nobody.

use everplay_api::matchmaking::Turn;
use everplay_matchmaker::PoolSettings;
use everplay_matchmaker::tickets::{Effect, Pool, PoolError, ProposalId, SavedPool, Standing, TicketId};
use everplay_node::Kind;
use everplay_room::{AuthRequest, Client, Context, Durability, Messages, Refusal, Room, RoomType, Settings};
use everplay_schema::State;
use everplay_types::{CloseCode, Identity, Millis};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Name of the kind.
pub(crate) const NAME: &str = "matchmaking";
/// How often those who search are looked at.
const TICK: Duration = Duration::from_millis(250);
/// How often what the room holds is saved.
const SAVED: Duration = Duration::from_secs(1);
/// Searches at the same time, with those that ended a moment ago.
const TICKETS: usize = 20_000;
/// How long a node may take to make a game before another one is asked.
const MAKING: Duration = Duration::from_secs(5);
/// Not for clients.
const REFUSED: u16 = 4300;

/// Begins a search.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Search {
    pub(super) who: Identity,
    pub(super) game: String,
    pub(super) rating: f64,
}

/// Does something about one.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    /// Customer and account.
    pub(super) who: (String, String),
    pub(super) ticket: String,
    pub(super) accept: bool,
    pub(super) cancel: bool,
}

impl Asked {
    pub(super) fn new(who: &Identity, ticket: &str, turn: Turn) -> Self {
        Asked {
            who: name_of(who),
            ticket: ticket.to_owned(),
            accept: turn == Turn::Accept,
            cancel: turn == Turn::Cancel,
        }
    }
}

/// What became of a pair that was handed out.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Made {
    pub(super) proposal: u64,
    /// None: no game could be made.
    pub(super) seats: Option<[Value; 2]>,
}

/// The answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Told {
    /// As the ticket is now; with a pair, if this node is to make a game for it.
    Ticket(Box<Shown>, Option<Box<Pair>>),
    Unknown,
    Another(String),
    NothingProposed,
    Matched,
    Full,
}

/// Two who want to play.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pair {
    pub(super) proposal: u64,
    pub(super) game: String,
    pub(super) players: [Identity; 2],
}

/// A ticket; times are from now, in milliseconds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Shown {
    pub(super) ticket: String,
    pub(super) game: String,
    pub(super) status: String,
    pub(super) rating: f64,
    pub(super) window: f64,
    pub(super) waited_ms: u64,
    pub(super) estimate_ms: Option<u64>,
    /// Left to accept, accepted by this side, the opponent's rating.
    pub(super) proposal: Option<(u64, bool, Option<f64>)>,
    pub(super) seat: Option<Value>,
}

/// A player: customer and account.
type Who = (String, String);

/// Two whose game is being made.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Making {
    tickets: [TicketId; 2],
    /// When a node was last asked to.
    asked: Millis,
}

/// What is kept beside the pool.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Book {
    /// Whose tickets they are, and how rooms know them.
    players: BTreeMap<TicketId, Identity>,
    /// The two of each proposal.
    pairs: BTreeMap<ProposalId, [TicketId; 2]>,
    making: BTreeMap<ProposalId, Making>,
    seats: BTreeMap<TicketId, Value>,
}

/// Pool and book as they are kept; the book is borrowed to write it.
#[derive(Serialize, Deserialize)]
struct Kept<B> {
    pool: SavedPool<Who>,
    book: B,
}

#[derive(State, Default)]
pub(crate) struct Matchmaking {
    /// Tells this room's tickets from those of another.
    #[state(private)]
    label: u32,
    /// Pool and book as JSON.
    #[state(private)]
    kept: String,
    #[state(skip)]
    pool: Option<Pool<Who>>,
    #[state(skip)]
    book: Book,
    /// Something is not kept yet.
    #[state(skip)]
    changed: bool,
}

impl Room for Matchmaking {
    type Options = serde_json::Value;
    type Timer = ();

    fn settings() -> Settings {
        Settings {
            tick: Some(TICK),
            max_clients: 1_000,
            reconnection: Duration::from_secs(60),
            durability: Durability::Snapshot(SAVED),
            // Nobody waits for an answer any more.
            expires: Some(Duration::from_secs(60)),
            messages_per_second: 1_000_000,
            ..Settings::default()
        }
    }

    fn messages(on: &mut Messages<Self>) {
        on.request("search", Self::search);
        on.request("turn", Self::turn);
        on.request("made", Self::made);
    }

    fn auth(request: &AuthRequest, _: &Self::Options) -> Result<Value, Refusal> {
        if request.is_of_node() {
            return Ok(request.identity_json());
        }
        Err(Refusal::new(REFUSED, "searches are made at /matchmaking/tickets"))
    }

    fn create(cx: &mut Context<Self>, _: Self::Options) -> Result<Self, Refusal> {
        Ok(Matchmaking {
            label: u32::try_from(cx.rng().below(1 << 32)).expect("it is below"),
            pool: Some(Pool::new(PoolSettings::default())),
            ..Matchmaking::default()
        })
    }

    fn tick(&mut self, cx: &mut Context<Self>, _: Duration) {
        let now = cx.now();
        let (pool, book) = self.parts();
        if pool.is_empty() {
            return;
        }
        let effects = pool.tick(now);
        book.note(&effects);
        book.players.retain(|id, _| pool.ticket(*id).is_some());
        book.seats.retain(|id, _| pool.ticket(*id).is_some());
        book.making.retain(|_, making| making.tickets.iter().all(|id| pool.ticket(*id).is_some()));
        self.changed |= !effects.is_empty();
        if self.changed || self.pool.as_ref().is_some_and(Pool::is_empty) {
            self.keep();
        }
    }

    fn restored(&mut self, _: &mut Context<Self>) {
        // What an older or newer release wrote is forgotten: players search anew.
        let kept: Option<Kept<Book>> = serde_json::from_str(&self.kept).ok();
        match kept {
            Some(Kept { pool, book }) => {
                self.pool = Some(Pool::restore(PoolSettings::default(), pool));
                self.book = book;
            }
            None => self.pool = Some(Pool::new(PoolSettings::default())),
        }
    }

    fn drop(&mut self, cx: &mut Context<Self>, _: &Client, code: CloseCode) {
        // A node that comes back takes a new seat; one that is gone does not come back.
        if code != CloseCode::CONSENTED {
            cx.deny_reconnection();
        }
    }
}

impl Matchmaking {
    fn parts(&mut self) -> (&mut Pool<Who>, &mut Book) {
        let pool = self.pool.get_or_insert_with(|| Pool::new(PoolSettings::default()));
        (pool, &mut self.book)
    }

    fn keep(&mut self) {
        let Some(pool) = &self.pool else { return };
        if let Ok(text) = serde_json::to_string(&Kept { pool: pool.save(), book: &self.book }) {
            self.kept = text;
        }
        self.changed = false;
    }

    fn search(&mut self, cx: &mut Context<Self>, _: &Client, wanted: Search) -> Result<Told, Refusal> {
        let (now, label) = (cx.now(), self.label);
        let (pool, book) = self.parts();
        if pool.len() >= TICKETS {
            return Ok(Told::Full);
        }
        // Customers do not meet.
        let scope = format!("{}/{}", wanted.who.customer, wanted.game);
        let id = match pool.enter(now, name_of(&wanted.who), scope, wanted.rating) {
            Ok(id) => id,
            Err(PoolError::Another { ticket }) => return Ok(Told::Another(text_of(label, ticket))),
            Err(error) => return Ok(error.into()),
        };
        book.players.insert(id, wanted.who);
        book.note(&pool.tick(now));
        self.changed = true;
        Ok(self.told(now, id))
    }

    fn turn(&mut self, cx: &mut Context<Self>, _: &Client, asked: Asked) -> Result<Told, Refusal> {
        let now = cx.now();
        let Some(id) = self.id_of(&asked) else { return Ok(Told::Unknown) };
        let (pool, book) = self.parts();
        let done = match (asked.accept, asked.cancel) {
            (true, _) => pool.accept(now, id),
            (_, true) => pool.cancel(now, id),
            _ => {
                pool.seen(now, id);
                return Ok(self.told(now, id));
            }
        };
        match done {
            Ok(effect) => book.note(effect.as_slice()),
            Err(error) => return Ok(error.into()),
        }
        self.changed = true;
        Ok(self.told(now, id))
    }

    fn made(&mut self, cx: &mut Context<Self>, _: &Client, made: Made) -> Result<(), Refusal> {
        let (now, proposal) = (cx.now(), ProposalId(made.proposal));
        let (pool, book) = self.parts();
        // Two nodes may have been asked: the first one's game is theirs.
        let Some(making) = book.making.remove(&proposal) else { return Ok(()) };
        match made.seats {
            Some(seats) => book.seats.extend(making.tickets.into_iter().zip(seats)),
            None => pool.reopen(now, proposal),
        }
        self.changed = true;
        Ok(())
    }

    /// Whose it is comes with the question.
    fn id_of(&self, asked: &Asked) -> Option<TicketId> {
        let (label, number) = asked.ticket.split_once('-')?;
        let id = TicketId(number.parse().ok()?);
        let ticket = self.pool.as_ref()?.ticket(id)?;
        (label == format!("{:08x}", self.label) && ticket.player == asked.who).then_some(id)
    }

    fn told(&mut self, now: Millis, id: TicketId) -> Told {
        let label = self.label;
        let (pool, book) = self.parts();
        let Some(ticket) = pool.ticket(id) else { return Told::Unknown };
        let mut pair = None;
        let (status, proposal) = match ticket.standing {
            Standing::Searching => ("searching", None),
            Standing::Proposed { proposal, accepted, until } => {
                let opponent =
                    book.pairs.get(&proposal).and_then(|two| two.iter().find(|other| **other != id));
                let rating = opponent.and_then(|other| Some(pool.ticket(*other)?.rating));
                ("proposed", Some((millis(until.since(now)), accepted, rating)))
            }
            Standing::Matched { proposal } => {
                pair = book.hand_out(now, proposal, game_of(&ticket.game));
                ("matched", None)
            }
            Standing::Cancelled => ("cancelled", None),
            Standing::Lapsed => ("lapsed", None),
        };
        let shown = Shown {
            ticket: text_of(label, id),
            game: game_of(&ticket.game).to_owned(),
            status: status.to_owned(),
            rating: ticket.rating,
            window: pool.window(now, id),
            waited_ms: millis(now.since(ticket.since)),
            estimate_ms: pool.estimate(now, id).map(millis),
            proposal,
            seat: book.seats.get(&id).cloned(),
        };
        Told::Ticket(Box::new(shown), pair.map(Box::new))
    }
}

impl Book {
    fn note(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Proposes { proposal, tickets } => drop(self.pairs.insert(*proposal, *tickets)),
                Effect::Fails { proposal } => drop(self.pairs.remove(proposal)),
                Effect::Matches { proposal, tickets } => {
                    self.pairs.remove(proposal);
                    // As if nobody had been asked for long.
                    self.making.insert(*proposal, Making { tickets: *tickets, asked: Millis(0) });
                }
            }
        }
    }

    /// The pair of a match without a game, unless somebody is making one.
    fn hand_out(&mut self, now: Millis, proposal: ProposalId, game: &str) -> Option<Pair> {
        let making = self.making.get_mut(&proposal)?;
        let nobody = making.asked == Millis(0) || now >= making.asked + MAKING;
        let players = making.tickets.map(|id| self.players.get(&id).cloned());
        let [Some(one), Some(two)] = players else { return None };
        nobody.then(|| {
            making.asked = now.max(Millis(1));
            Pair { proposal: proposal.0, game: game.to_owned(), players: [one, two] }
        })
    }
}

impl From<PoolError> for Told {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Unknown | PoolError::Another { .. } => Told::Unknown,
            PoolError::NothingProposed => Told::NothingProposed,
            PoolError::Matched => Told::Matched,
        }
    }
}

fn name_of(who: &Identity) -> Who {
    (who.customer.to_string(), who.id.to_string())
}

fn text_of(label: u32, id: TicketId) -> String {
    format!("{label:08x}-{}", id.0)
}

/// Without the customer.
fn game_of(scope: &str) -> &str {
    scope.split_once('/').map_or(scope, |(_, game)| game)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The kind, as a server has it that matches players.
pub(crate) fn kind() -> Kind {
    Kind::new(Arc::new(Arc::new(RoomType::<Matchmaking>::new(NAME))))
}
