//! Matchmaking by rating: tickets whose window widens, proposals that both must accept.
//!
//! ```text
//! enter -> searching -- a gap within the window --> proposed -- both accept --> matched
//!             ^                                        |
//!             '---- who accepted, when the other -------+--> who declined or did not answer: lapsed
//! ```
//!
//! Rules:
//! - Tickets of one game meet; the one that has waited longest chooses first, the nearest rating.
//! - A gap is accepted when it fits the window of whoever of the two has waited longer: [`PoolSettings::window`] at first,
//!   [`PoolSettings::widening`] more each second, at most [`PoolSettings::widest`].
//! - A player has at most one ticket. The same two are not proposed to each other again by tickets one of which declined,
//!   because the ticket of who declined is gone.
//! - Who accepted in vain searches on, as if nothing had happened: the wait counts from the first moment.
//!
//! Always holds: a ticket that searches is found by its rating and nobody else is; a proposal names two proposed tickets of
//! one game and two players.

use everplay_types::Millis;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use thiserror::Error;

/// How a pool behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PoolSettings {
    /// The gap in rating that is fine at once. Default 50: odds of about 57 to 43.
    pub window: f64,
    /// What is added to it each second. Default 10.
    pub widening: f64,
    /// The widest gap. Default 1000: nearly anybody, for who waits a minute and a half.
    pub widest: f64,
    /// How long a proposal waits for both. Default 15 s.
    pub acceptance: Duration,
    /// How long a ticket is kept that nobody asks about any more. Default 30 s.
    pub idle: Duration,
    /// How long a ticket that was matched, cancelled or lapsed is still told of. Default 60 s.
    pub kept: Duration,
    /// How long a match is believed to take before any was made. Default 20 s.
    pub first_guess: Duration,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            window: 50.0,
            widening: 10.0,
            widest: 1000.0,
            acceptance: Duration::from_secs(15),
            idle: Duration::from_secs(30),
            kept: Duration::from_secs(60),
            first_guess: Duration::from_secs(20),
        }
    }
}

/// Names a ticket of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TicketId(pub u64);

/// Names a proposal of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProposalId(pub u64);

/// Where a ticket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Looks for an opponent.
    Searching,
    /// Has one, and both are asked.
    Proposed {
        /// The proposal.
        proposal: ProposalId,
        /// This side has accepted.
        accepted: bool,
        /// Until when.
        until: Millis,
    },
    /// Both accepted.
    Matched {
        /// The proposal.
        proposal: ProposalId,
    },
    /// Its player took it back, or declined.
    Cancelled,
    /// Its player did not answer a proposal, or asked no more.
    Lapsed,
}

impl Standing {
    /// Whether it may still lead to a match.
    pub fn is_open(self) -> bool {
        matches!(self, Standing::Searching | Standing::Proposed { .. })
    }
}

/// A ticket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ticket<P> {
    /// Whose.
    pub player: P,
    /// Which game; only equal ones meet.
    pub game: String,
    /// How good the player is.
    pub rating: f64,
    /// When it was made.
    pub since: Millis,
    /// Where it stands.
    pub standing: Standing,
    /// When its player last asked about it.
    seen: Millis,
    /// When it came to a close.
    closed: Millis,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// These two are asked.
    Proposes {
        /// The proposal.
        proposal: ProposalId,
        /// Whom; who waited longer first.
        tickets: [TicketId; 2],
    },
    /// Both accepted: they need a game.
    Matches {
        /// The proposal.
        proposal: ProposalId,
        /// Who; who waited longer first.
        tickets: [TicketId; 2],
    },
    /// A proposal came to nothing.
    Fails {
        /// The proposal.
        proposal: ProposalId,
    },
}

/// Why nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PoolError {
    /// No such ticket, or it is forgotten already.
    #[error("there is no such ticket")]
    Unknown,
    /// The player has one that is open.
    #[error("the player has a ticket already")]
    Another {
        /// That one.
        ticket: TicketId,
    },
    /// Nothing is proposed to this ticket.
    #[error("nothing is proposed to this ticket")]
    NothingProposed,
    /// Matched tickets cannot be taken back.
    #[error("the ticket is matched")]
    Matched,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Proposal {
    tickets: [TicketId; 2],
    accepted: [bool; 2],
    until: Millis,
}

/// What a pool is made of again: all tickets and proposals, and none of what only finds them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedPool<P> {
    tickets: Vec<(TicketId, Ticket<P>)>,
    proposals: Vec<(ProposalId, Proposal)>,
    last: u64,
    wait_ms: u64,
}

/// All tickets.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool<P> {
    settings: PoolSettings,
    tickets: BTreeMap<TicketId, Ticket<P>>,
    by_player: BTreeMap<P, TicketId>,
    /// Those who search: game, rating as an ordered number, ticket.
    searching: BTreeSet<(String, i64, TicketId)>,
    proposals: BTreeMap<ProposalId, Proposal>,
    last: u64,
    wait_ms: u64,
}

impl<P: Ord + Clone> Pool<P> {
    /// Without tickets.
    pub fn new(settings: PoolSettings) -> Self {
        Self {
            settings,
            tickets: BTreeMap::new(),
            by_player: BTreeMap::new(),
            searching: BTreeSet::new(),
            proposals: BTreeMap::new(),
            last: 0,
            wait_ms: millis(settings.first_guess),
        }
    }

    /// The pool as it can be kept.
    pub fn save(&self) -> SavedPool<P> {
        SavedPool {
            tickets: self.tickets.iter().map(|(id, ticket)| (*id, ticket.clone())).collect(),
            proposals: self.proposals.iter().map(|(id, proposal)| (*id, proposal.clone())).collect(),
            last: self.last,
            wait_ms: self.wait_ms,
        }
    }

    /// The pool that was kept.
    pub fn restore(settings: PoolSettings, saved: SavedPool<P>) -> Self {
        let mut pool = Self { last: saved.last, wait_ms: saved.wait_ms, ..Self::new(settings) };
        pool.proposals.extend(saved.proposals);
        for (id, ticket) in saved.tickets {
            if ticket.standing == Standing::Searching {
                pool.searching.insert(key(&ticket, id));
            }
            if ticket.standing.is_open() {
                pool.by_player.insert(ticket.player.clone(), id);
            }
            pool.tickets.insert(id, ticket);
        }
        pool
    }

    /// A new ticket. Errors: [`PoolError::Another`].
    pub fn enter(
        &mut self,
        now: Millis,
        player: P,
        game: impl Into<String>,
        rating: f64,
    ) -> Result<TicketId, PoolError> {
        if let Some(ticket) = self.by_player.get(&player) {
            return Err(PoolError::Another { ticket: *ticket });
        }
        let id = TicketId(self.number());
        let rating = if rating.is_finite() { rating } else { 0.0 };
        let ticket = Ticket {
            player: player.clone(),
            game: game.into(),
            rating,
            since: now,
            standing: Standing::Searching,
            seen: now,
            closed: now,
        };
        self.searching.insert(key(&ticket, id));
        self.tickets.insert(id, ticket);
        self.by_player.insert(player, id);
        Ok(id)
    }

    /// A ticket, also for a while after it was closed.
    pub fn ticket(&self, id: TicketId) -> Option<&Ticket<P>> {
        self.tickets.get(&id)
    }

    /// The open ticket of a player.
    pub fn of_player(&self, player: &P) -> Option<TicketId> {
        self.by_player.get(player).copied()
    }

    /// How many tickets are known, closed ones included.
    pub fn len(&self) -> usize {
        self.tickets.len()
    }

    /// Whether no ticket is known.
    pub fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }

    /// The ticket's player still waits for it.
    pub fn seen(&mut self, now: Millis, id: TicketId) {
        if let Some(ticket) = self.tickets.get_mut(&id) {
            ticket.seen = ticket.seen.max(now);
        }
    }

    /// Takes a ticket back; declines what is proposed to it. Errors: [`PoolError`]; closed ones stay as they are.
    pub fn cancel(&mut self, now: Millis, id: TicketId) -> Result<Option<Effect>, PoolError> {
        match self.tickets.get(&id).ok_or(PoolError::Unknown)?.standing {
            Standing::Matched { .. } => Err(PoolError::Matched),
            Standing::Cancelled | Standing::Lapsed => Ok(None),
            Standing::Searching => {
                self.close(now, id, Standing::Cancelled);
                Ok(None)
            }
            Standing::Proposed { proposal, .. } => {
                self.close(now, id, Standing::Cancelled);
                let others = self.proposals.remove(&proposal).into_iter().flat_map(|failed| failed.tickets);
                others.filter(|other| *other != id).for_each(|other| self.search_on(other));
                Ok(Some(Effect::Fails { proposal }))
            }
        }
    }

    /// Accepts what is proposed to a ticket. Twice is as good as once. Errors: [`PoolError`].
    pub fn accept(&mut self, now: Millis, id: TicketId) -> Result<Option<Effect>, PoolError> {
        let ticket = self.tickets.get_mut(&id).ok_or(PoolError::Unknown)?;
        ticket.seen = ticket.seen.max(now);
        let proposal = match &mut ticket.standing {
            Standing::Proposed { proposal, accepted, until } if now < *until => {
                *accepted = true;
                *proposal
            }
            Standing::Matched { .. } => return Ok(None),
            _ => return Err(PoolError::NothingProposed),
        };
        let Some(asked) = self.proposals.get_mut(&proposal) else { return Err(PoolError::NothingProposed) };
        for (ticket, accepted) in asked.tickets.iter().zip(&mut asked.accepted) {
            *accepted |= *ticket == id;
        }
        if asked.accepted != [true, true] {
            return Ok(None);
        }
        let tickets = asked.tickets;
        self.proposals.remove(&proposal);
        for id in tickets {
            let waited = self.tickets.get(&id).map_or(0, |ticket| millis(now.since(ticket.since)));
            self.wait_ms = (self.wait_ms.saturating_mul(7).saturating_add(waited)) / 8;
            self.close(now, id, Standing::Matched { proposal });
        }
        Ok(Some(Effect::Matches { proposal, tickets }))
    }

    /// The game of a match could not be made: both search on. Nothing for tickets that were not matched by it.
    pub fn reopen(&mut self, now: Millis, proposal: ProposalId) {
        let of_match = |(id, ticket): (&TicketId, &Ticket<P>)| {
            (ticket.standing == Standing::Matched { proposal }).then_some(*id)
        };
        let ids: Vec<TicketId> = self.tickets.iter().filter_map(of_match).collect();
        for id in ids {
            let Some(player) = self.tickets.get(&id).map(|ticket| ticket.player.clone()) else { continue };
            // Unless the player has begun to search anew.
            if let std::collections::btree_map::Entry::Vacant(none) = self.by_player.entry(player) {
                none.insert(id);
                self.search_on(id);
                self.seen(now, id);
            }
        }
    }

    /// Lets time pass: proposals and tickets lapse, and those who search are proposed to each other.
    pub fn tick(&mut self, now: Millis) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.lapse(now, &mut effects);
        // Whoever has waited longest chooses first.
        let mut order: Vec<(Millis, TicketId)> =
            self.searching.iter().filter_map(|(.., id)| Some((self.tickets.get(id)?.since, *id))).collect();
        order.sort_unstable();
        for (_, id) in order {
            if let Some(other) = self.nearest(now, id) {
                effects.push(self.propose(now, [id, other]));
            }
        }
        effects
    }

    /// How long a ticket will wait for a proposal, if matches take as long as they did. None when it is not searching.
    pub fn estimate(&self, now: Millis, id: TicketId) -> Option<Duration> {
        let ticket = self.tickets.get(&id).filter(|ticket| ticket.standing == Standing::Searching)?;
        let by_experience = self.wait_ms.saturating_sub(millis(now.since(ticket.since)));
        // Whoever searches now is met when the window of the longer wait has grown to the gap.
        let by_window = self.neighbours(id).into_iter().flatten().filter_map(|other| {
            let other = self.tickets.get(&other)?;
            let gap = (other.rating - ticket.rating).abs();
            if gap > self.settings.widest {
                return None;
            }
            let seconds =
                ((gap - self.settings.window) / self.settings.widening.max(f64::MIN_POSITIVE)).max(0.0);
            let meets = ticket.since.min(other.since) + Duration::from_secs_f64(seconds.min(86_400.0));
            Some(millis(meets.since(now)))
        });
        Some(Duration::from_millis(by_window.min().unwrap_or(by_experience.max(1000))))
    }

    /// The gap a ticket accepts now.
    pub fn window(&self, now: Millis, id: TicketId) -> f64 {
        let waited = self.tickets.get(&id).map_or(Duration::ZERO, |ticket| now.since(ticket.since));
        (self.settings.window + self.settings.widening * waited.as_secs_f64()).min(self.settings.widest)
    }

    fn lapse(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let over: Vec<ProposalId> =
            self.proposals.iter().filter(|(_, proposal)| proposal.until <= now).map(|(id, _)| *id).collect();
        for proposal in over {
            let Some(failed) = self.proposals.remove(&proposal) else { continue };
            for (id, accepted) in failed.tickets.into_iter().zip(failed.accepted) {
                if accepted {
                    self.search_on(id);
                } else {
                    self.close(now, id, Standing::Lapsed);
                }
            }
            effects.push(Effect::Fails { proposal });
        }
        let idle: Vec<TicketId> = self
            .searching
            .iter()
            .map(|(.., id)| *id)
            .filter(|id| self.tickets.get(id).is_some_and(|ticket| ticket.seen + self.settings.idle <= now))
            .collect();
        for id in idle {
            self.close(now, id, Standing::Lapsed);
        }
        let kept = self.settings.kept;
        self.tickets.retain(|_, ticket| ticket.standing.is_open() || now < ticket.closed + kept);
    }

    /// The next below and above by rating, in the same game.
    fn neighbours(&self, id: TicketId) -> [Option<TicketId>; 2] {
        let Some(ticket) = self.tickets.get(&id) else { return [None, None] };
        let own = key(ticket, id);
        let same = |found: Option<&(String, i64, TicketId)>| {
            found.filter(|(game, ..)| *game == ticket.game).map(|(.., id)| *id)
        };
        use std::ops::Bound::{Excluded, Unbounded};
        [
            same(self.searching.range((Unbounded, Excluded(&own))).next_back()),
            same(self.searching.range((Excluded(&own), Unbounded)).next()),
        ]
    }

    fn nearest(&self, now: Millis, id: TicketId) -> Option<TicketId> {
        let ticket = self.tickets.get(&id).filter(|ticket| ticket.standing == Standing::Searching)?;
        let gap = |other: &TicketId| {
            self.tickets.get(other).map_or(f64::INFINITY, |other| (other.rating - ticket.rating).abs())
        };
        let nearest = self
            .neighbours(id)
            .into_iter()
            .flatten()
            .min_by(|a, b| gap(a).total_cmp(&gap(b)).then_with(|| a.cmp(b)))?;
        (gap(&nearest) <= self.window(now, id)).then_some(nearest)
    }

    fn propose(&mut self, now: Millis, tickets: [TicketId; 2]) -> Effect {
        let (proposal, until) = (ProposalId(self.number()), now + self.settings.acceptance);
        for id in tickets {
            if let Some(ticket) = self.tickets.get_mut(&id) {
                self.searching.remove(&key(ticket, id));
                ticket.standing = Standing::Proposed { proposal, accepted: false, until };
            }
        }
        self.proposals.insert(proposal, Proposal { tickets, accepted: [false; 2], until });
        Effect::Proposes { proposal, tickets }
    }

    fn search_on(&mut self, id: TicketId) {
        if let Some(ticket) = self.tickets.get_mut(&id) {
            ticket.standing = Standing::Searching;
            self.searching.insert(key(ticket, id));
        }
    }

    fn close(&mut self, now: Millis, id: TicketId, standing: Standing) {
        if let Some(ticket) = self.tickets.get_mut(&id) {
            self.searching.remove(&key(ticket, id));
            ticket.standing = standing;
            ticket.closed = now;
            self.by_player.remove(&ticket.player);
        }
    }

    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

/// Ratings are compared to a hundredth.
fn key<P>(ticket: &Ticket<P>, id: TicketId) -> (String, i64, TicketId) {
    (ticket.game.clone(), (ticket.rating * 100.0).round() as i64, id)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
