//! Searches for an opponent, as any node answers for them: a seat in the one room `matchmaking`, wherever it is, through
//! which this node's requests go.
//!
//! Always holds: a request that was under way when the room moved, or came back on another node, is sent again as it was;
//! each of them may be done twice, and whoever began a search that was heard is told its ticket.

mod room;

use crate::inside::{Got, Inside};
use crate::pairing::RoomSeats;
use everplay_api::BoxFuture;
use everplay_api::matchmaking::{MatchProposal, MatchTicket, SearchError, Searches, Turn};
use everplay_node::{Handle, MatchRequest, Method};
use everplay_room::AuthRequest;
use everplay_types::{Identity, timestamp};
use everplay_wire::{ClientFrame, MessageType, ResponseStatus, ServerFrame, msgpack};
use room::{Asked, Made, Pair, Search, Shown, Told};
pub(crate) use room::{NAME, kind};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

/// Requests that wait to be sent; more are refused.
const REQUESTS: usize = 1_024;
/// How long the room may take: as long as it takes another node to have it.
const ANSWER: Duration = Duration::from_secs(8);
/// Between two attempts to get into the room.
const KNOCK: Duration = Duration::from_millis(100);
/// How long the seat is kept when nobody asks.
const IDLE: Duration = Duration::from_secs(60);

/// This node's way to the room.
pub(crate) struct RoomSearches {
    asks: mpsc::Sender<Ask>,
    seats: Arc<RoomSeats>,
}

struct Ask {
    ty: &'static str,
    payload: Vec<u8>,
    answer: oneshot::Sender<Vec<u8>>,
}

impl RoomSearches {
    /// The searches, and the task that talks to the room; it ends with them.
    pub(crate) fn new(seats: Arc<RoomSeats>) -> (Self, impl Future<Output = ()>) {
        let (asks, asked) = mpsc::channel(REQUESTS);
        let talking = talk(seats.node.clone(), asked);
        (Self { asks, seats }, talking)
    }

    /// Asks the room; what it wants made is made before this answers, whether or not somebody still waits for it.
    async fn ask(&self, ty: &'static str, question: &impl Serialize) -> Result<Told, SearchError> {
        let told = said(&self.asks, ty, question).await?;
        if let Told::Ticket(_, Some(pair)) = &told {
            let (asks, seats, pair) = (self.asks.clone(), Arc::clone(&self.seats), Pair::clone(pair));
            let making = tokio::spawn(async move {
                let players = [&pair.players[0], &pair.players[1]];
                let seats = match seats.pair(&pair.game, players).await {
                    Ok(seats) => Some(seats),
                    Err(error) => {
                        tracing::warn!(game = pair.game, error, "a match found no room; both search on");
                        None
                    }
                };
                let made = Made { proposal: pair.proposal, seats };
                let payload = msgpack::to_vec(&made).map_err(|_| SearchError::Away)?;
                send(&asks, "made", payload).await.map(drop)
            });
            making.await.map_err(|_| SearchError::Away)??;
        }
        Ok(told)
    }
}

impl Searches for RoomSearches {
    fn knows(&self, game: &str) -> bool {
        self.seats.kinds.contains_key(game)
    }

    fn search<'a>(
        &'a self,
        who: &'a Identity,
        game: &'a str,
        rating: f64,
    ) -> BoxFuture<'a, Result<MatchTicket, SearchError>> {
        Box::pin(async move {
            let wanted = Search { who: who.clone(), game: game.to_owned(), rating };
            ticket_of(self.ask("search", &wanted).await?)
        })
    }

    fn turn<'a>(
        &'a self,
        who: &'a Identity,
        ticket: &'a str,
        turn: Turn,
    ) -> BoxFuture<'a, Result<MatchTicket, SearchError>> {
        Box::pin(async move {
            let told = self.ask("turn", &Asked::new(who, ticket, turn)).await?;
            // A game was made for it meanwhile: the seat is on the ticket now.
            let told = match &told {
                Told::Ticket(_, Some(_)) => self.ask("turn", &Asked::new(who, ticket, Turn::See)).await?,
                _ => told,
            };
            ticket_of(told)
        })
    }
}

fn ticket_of(told: Told) -> Result<MatchTicket, SearchError> {
    match told {
        Told::Ticket(shown, _) => Ok(shown_as(*shown)),
        Told::Unknown => Err(SearchError::Unknown),
        Told::Another(ticket) => Err(SearchError::Another { ticket }),
        Told::NothingProposed => Err(SearchError::NothingProposed),
        Told::Matched => Err(SearchError::Matched),
        Told::Full => Err(SearchError::Full),
    }
}

fn shown_as(shown: Shown) -> MatchTicket {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let proposal = shown.proposal.map(|(left, accepted, opponent)| MatchProposal {
        accept_by: timestamp(now.saturating_add(left)),
        accepted,
        opponent_rating: opponent.map(rounded),
    });
    MatchTicket {
        ticket_id: shown.ticket,
        game: shown.game,
        status: shown.status,
        rating: rounded(shown.rating),
        window: rounded(shown.window),
        created_at: timestamp(now.saturating_sub(shown.waited_ms)),
        waited_ms: shown.waited_ms,
        estimated_wait_ms: shown.estimate_ms,
        proposal,
        reservation: shown.seat,
    }
}

/// Two decimals, as the boards tell ratings.
fn rounded(rating: f64) -> f64 {
    (rating * 100.0).round() / 100.0
}

async fn said(
    asks: &mpsc::Sender<Ask>,
    ty: &'static str,
    question: &impl Serialize,
) -> Result<Told, SearchError> {
    let payload = msgpack::to_vec(question).map_err(|_| SearchError::Away)?;
    let answer = send(asks, ty, payload).await?;
    msgpack::from_slice(&answer).map_err(|error| {
        tracing::error!(%error, "the room of searches answered what this release does not understand");
        SearchError::Away
    })
}

async fn send(asks: &mpsc::Sender<Ask>, ty: &'static str, payload: Vec<u8>) -> Result<Vec<u8>, SearchError> {
    let (answer, answered) = oneshot::channel();
    asks.try_send(Ask { ty, payload, answer }).map_err(|_| SearchError::Full)?;
    match tokio::time::timeout(ANSWER, answered).await {
        Ok(Ok(answer)) => Ok(answer),
        _ => Err(SearchError::Away),
    }
}

/// Talks to the room while there is somebody to ask for.
async fn talk(node: Handle, mut asked: mpsc::Receiver<Ask>) {
    let mut open = Open::default();
    while let Some(ask) = asked.recv().await {
        open.add(ask);
        let mut used = Instant::now();
        while used.elapsed() < IDLE {
            open.forget_abandoned();
            let Some(mut seat) = enter(&node).await else {
                sleep(KNOCK).await;
                // Whoever cannot wait has gone by then.
                while let Ok(ask) = asked.try_recv() {
                    open.add(ask);
                    used = Instant::now();
                }
                continue;
            };
            let mut look = tokio::time::interval(Duration::from_secs(1));
            loop {
                tokio::select! {
                    got = seat.next() => match got {
                        Got::Frame(bytes) => match Inside::read(&bytes) {
                            Ok(ServerFrame::Join(_)) => open.send_all(&seat),
                            Ok(ServerFrame::Response { id, status, payload }) => open.answer(id, status, payload),
                            _ => {}
                        },
                        Got::Closed(_) => break,
                    },
                    ask = asked.recv() => match ask {
                        Some(ask) => {
                            used = Instant::now();
                            open.send(&seat, ask);
                        }
                        None => return seat.leave(),
                    },
                    _ = look.tick() => {
                        open.forget_abandoned();
                        if used.elapsed() >= IDLE {
                            seat.leave();
                            break;
                        }
                    }
                }
            }
        }
    }
}

/// A seat in the room, which is made where there is none.
async fn enter(node: &Handle) -> Option<Inside> {
    let (method, options) = (Method::JoinOrCreate, serde_json::json!({}));
    let request = MatchRequest { method, target: NAME.to_owned(), options, auth: AuthRequest::of_node() };
    let reserved = node.matchmake(request).await.ok()?;
    let mut seat = Inside::new(reserved.room_id, reserved.session_id);
    seat.attach(node).await.ok()?;
    Some(seat)
}

/// Requests that have no answer yet.
#[derive(Default)]
struct Open {
    last: u32,
    asks: BTreeMap<u32, Ask>,
}

impl Open {
    fn add(&mut self, ask: Ask) -> u32 {
        self.last = self.last.wrapping_add(1);
        self.asks.insert(self.last, ask);
        self.last
    }

    fn send(&mut self, seat: &Inside, ask: Ask) {
        let id = self.add(ask);
        if seat.is_live() {
            push(seat, id, &self.asks[&id]);
        }
    }

    fn send_all(&self, seat: &Inside) {
        self.asks.iter().for_each(|(id, ask)| push(seat, *id, ask));
    }

    fn answer(&mut self, id: u32, status: ResponseStatus, payload: &[u8]) {
        let Some(ask) = self.asks.remove(&id) else { return };
        match status {
            // Whoever asked may have gone.
            ResponseStatus::Ok => drop(ask.answer.send(payload.to_vec())),
            ResponseStatus::Rejected | ResponseStatus::Error => {
                tracing::error!(request = ask.ty, "the room of searches refuses a request");
            }
        }
    }

    fn forget_abandoned(&mut self) {
        self.asks.retain(|_, ask| !ask.answer.is_closed());
    }
}

fn push(seat: &Inside, id: u32, ask: &Ask) {
    seat.push(&ClientFrame::Request { id, ty: MessageType::from(ask.ty), payload: &ask.payload });
}
