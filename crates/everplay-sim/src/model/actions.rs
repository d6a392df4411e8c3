//! What may happen next in a state.

use super::rules::{Bounds, Judge, Rule, Rules};
use super::state::{Frame, Join, Node, Op, Phase, State, Token, Violation};
use std::fmt;

/// Something that happens. The number is the node's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// An idle node is granted the room: it believes its owner to be dead.
    Grant(usize),
    /// The same, and its nonce orders below the earlier ones.
    GrantLow(usize),
    /// An idle node raises the epoch in the store, contrary to the rule.
    MintInStore(usize),
    /// The arbiter's standby takes over without the newest grant.
    ArbiterForgets,
    /// A granted node reads the journal, contrary to the rule.
    ReadEarly(usize),
    /// The store takes the node's seal, or refuses it.
    Seal(usize),
    /// The seal counts.
    SealCounts(usize),
    /// The node reads the journal.
    Read(usize),
    /// The node goes live without an entry, contrary to the rule.
    GoLive(usize),
    /// The node computes an entry.
    Compute(usize),
    /// The store takes the node's append, or refuses it.
    Append(usize),
    /// The answer to an append is lost.
    AnswerLost(usize),
    /// The entry counts.
    Counts(usize),
    /// A frame leaves the node for the gateway.
    Send(usize),
    /// The frame reaches the gateway.
    Deliver(usize),
    /// The gateway attaches to the node.
    Attach(usize),
    /// A client asks the node for its seat through a gateway that knows nothing.
    Join(usize),
    /// The link between node and gateway breaks.
    LinkBreaks(usize),
    /// The owner freezes and offers the room to another node.
    Offer(usize, usize),
    /// The target of the offer is granted the room.
    TakeOffer(usize),
    /// A frozen owner goes on.
    Thaw(usize),
    /// The node dies and starts again, knowing nothing.
    Die(usize),
    /// The replica hears of the primary's next change.
    Replicate,
    /// The primary dies and its replica takes its place.
    StoreFails,
    /// The gateway dies.
    GatewayDies,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |node: &usize| char::from(b'A' + *node as u8);
        match self {
            Action::Grant(n) => write!(f, "{} is granted the room", name(n)),
            Action::GrantLow(n) => write!(f, "{} is granted the room, with a low nonce", name(n)),
            Action::MintInStore(n) => write!(f, "{} raises the epoch in the store", name(n)),
            Action::ArbiterForgets => f.write_str("the arbiter forgets its newest grant"),
            Action::ReadEarly(n) => write!(f, "{} reads before its seal", name(n)),
            Action::Seal(n) => write!(f, "{} seals", name(n)),
            Action::SealCounts(n) => write!(f, "{}'s seal counts", name(n)),
            Action::Read(n) => write!(f, "{} reads", name(n)),
            Action::GoLive(n) => write!(f, "{} is live", name(n)),
            Action::Compute(n) => write!(f, "{} computes an entry", name(n)),
            Action::Append(n) => write!(f, "{} appends", name(n)),
            Action::AnswerLost(n) => write!(f, "{} gets no answer", name(n)),
            Action::Counts(n) => write!(f, "{}'s entry counts", name(n)),
            Action::Send(n) => write!(f, "{} sends", name(n)),
            Action::Deliver(n) => write!(f, "the gateway hears from {}", name(n)),
            Action::Attach(n) => write!(f, "the gateway attaches to {}", name(n)),
            Action::Join(n) => write!(f, "a client asks {} for its seat", name(n)),
            Action::LinkBreaks(n) => write!(f, "the link to {} breaks", name(n)),
            Action::Offer(n, to) => write!(f, "{} freezes and offers the room to {}", name(n), name(to)),
            Action::TakeOffer(n) => write!(f, "{} is granted the room it was offered", name(n)),
            Action::Thaw(n) => write!(f, "{} goes on", name(n)),
            Action::Die(n) => write!(f, "{} dies", name(n)),
            Action::Replicate => f.write_str("the replica catches up by one"),
            Action::StoreFails => f.write_str("the primary dies, its replica takes over"),
            Action::GatewayDies => f.write_str("the gateway dies"),
        }
    }
}

pub(super) type Next = (Action, Result<State, Violation>);

/// One search's rules and bounds.
#[derive(Clone, Copy)]
pub(super) struct Machine {
    pub(super) rules: Rules,
    pub(super) bounds: Bounds,
    pub(super) judge: Judge,
}

impl Machine {
    /// Every action possible in `state`, with what it leads to.
    pub(super) fn next(&self, state: &State, out: &mut Vec<Next>) {
        for index in 0..self.bounds.nodes {
            self.ownership(state, index, out);
            self.writing(state, index, out);
            self.showing(state, index, out);
            self.handing_over(state, index, out);
            if state.nodes[index] != Node::default() {
                change(state, out, Action::Die(index), |next| next.nodes[index] = Node::default());
            }
        }
        self.surroundings(state, out);
    }

    fn has(&self, rule: Rule) -> bool {
        self.rules.has(rule)
    }

    fn surroundings(&self, state: &State, out: &mut Vec<Next>) {
        let mut ops = state.ops;
        if let Some(op) = ops.pop() {
            change(state, out, Action::Replicate, |next| {
                next.ops = ops;
                match op {
                    Op::Seal(token) => next.replica.fence = token,
                    Op::Append(value) => next.replica.log = next.replica.log.with(value),
                }
            });
        }
        if state.failovers < self.bounds.failovers {
            change(state, out, Action::StoreFails, |next| {
                next.failovers += 1;
                next.primary = next.replica;
                next.ops = Default::default();
                for node in &mut next.nodes {
                    // Its connection broke: nothing is known of what was on its way.
                    node.written = false;
                    if node.phase == Phase::Sealing {
                        node.phase = Phase::Granted;
                    }
                }
            });
        }
        if state.forgotten < self.bounds.forgotten && state.granted != state.before {
            change(state, out, Action::ArbiterForgets, |next| {
                next.forgotten += 1;
                next.granted = next.before;
            });
        }
        if state.gateways < self.bounds.gateways && state.gateway.newest != Token::default() {
            change(state, out, Action::GatewayDies, |next| {
                next.gateways += 1;
                next.gateway.newest = Token::default();
                next.gateway.fresh = true;
                for node in &mut next.nodes {
                    (node.sent, node.frame, node.join) = Default::default();
                }
            });
        }
    }

    fn mint(&self, next: &mut State, index: usize, low: bool) {
        next.grants += 1;
        let nonce = match (self.has(Rule::Nonce), low) {
            (false, _) => 0,
            (true, false) => 8 + next.grants,
            (true, true) => 8 - next.grants,
        };
        next.before = next.granted;
        next.granted = Token::new(next.granted.epoch() + 1, nonce);
        let node = &mut next.nodes[index];
        node.token = next.granted;
        node.wrote = false;
        node.phase = Phase::Granted;
    }

    fn ownership(&self, state: &State, index: usize, out: &mut Vec<Next>) {
        let node = &state.nodes[index];
        let may_mint = state.grants < self.bounds.grants;
        match node.phase {
            Phase::Idle if may_mint && self.has(Rule::ArbiterMints) => {
                change(state, out, Action::Grant(index), |next| self.mint(next, index, false));
                // The order of nonces matters only where epochs can be equal.
                if self.bounds.forgotten > 0 && self.has(Rule::Nonce) {
                    change(state, out, Action::GrantLow(index), |next| self.mint(next, index, true));
                }
            }
            Phase::Idle if may_mint && !state.ops.is_full() => {
                change(state, out, Action::MintInStore(index), |next| {
                    next.grants += 1;
                    let token = Token::new(next.primary.fence.epoch() + 1, 0);
                    next.primary.fence = token;
                    next.ops.push(Op::Seal(token));
                    next.nodes[index] = Node { phase: Phase::Sealing, token, ..Node::default() };
                });
            }
            Phase::Granted | Phase::ReadEarly => {
                if node.phase == Phase::Granted && !self.has(Rule::SealBeforeRead) {
                    change(state, out, Action::ReadEarly(index), |next| {
                        next.nodes[index].image = next.primary.log;
                        next.nodes[index].phase = Phase::ReadEarly;
                    });
                }
                let early = node.phase == Phase::ReadEarly;
                if (early || self.has(Rule::SealBeforeRead)) && !state.ops.is_full() {
                    change(state, out, Action::Seal(index), |next| {
                        if node.token < next.primary.fence && self.has(Rule::SealRises) {
                            next.nodes[index] = Node::default();
                            return;
                        }
                        next.primary.fence = node.token;
                        next.ops.push(Op::Seal(node.token));
                        next.nodes[index].phase = Phase::Sealing;
                    });
                }
            }
            Phase::Sealing if !self.has(Rule::WaitSeal) || state.replica.fence >= node.token => {
                change(state, out, Action::SealCounts(index), |next| next.nodes[index].phase = Phase::Sealed);
            }
            Phase::Sealed => change(state, out, Action::Read(index), |next| {
                let node = &mut next.nodes[index];
                node.phase = Phase::Read;
                match node.warm.take() {
                    Some(warm) if !self.has(Rule::RereadAfterSeal) => node.image = warm,
                    _ if self.has(Rule::SealBeforeRead) => node.image = next.primary.log,
                    _ => {}
                }
            }),
            Phase::Read if !self.has(Rule::EpochStart) => {
                change(state, out, Action::GoLive(index), |next| next.nodes[index].phase = Phase::Live);
            }
            _ => {}
        }
    }

    fn writing(&self, state: &State, index: usize, out: &mut Vec<Next>) {
        let node = &state.nodes[index];
        if !matches!(node.phase, Phase::Read | Phase::Live) {
            return;
        }
        let may_mint = state.values < self.bounds.values;
        if node.pending == 0 {
            if may_mint && !node.frozen {
                change(state, out, Action::Compute(index), |next| {
                    next.values += 1;
                    let node = &mut next.nodes[index];
                    node.pending = next.values;
                    if node.join == Join::Asked {
                        node.join = Join::InEntry;
                    }
                });
            }
            return;
        }
        if !node.written {
            if !state.ops.is_full() {
                let mut next = *state;
                let outcome = self.append(&mut next, index).and_then(|()| next.check());
                out.push((Action::Append(index), outcome.map(|()| next)));
            }
            return;
        }
        let repeatable = self.has(Rule::RepeatSame) || may_mint;
        if repeatable {
            change(state, out, Action::AnswerLost(index), |next| {
                let node = &mut next.nodes[index];
                node.written = false;
                if !self.has(Rule::RepeatSame) {
                    next.values += 1;
                    node.pending = next.values;
                }
            });
        }
        if !self.has(Rule::WaitEntries) || state.replica.log.has(node.pending) {
            let mut next = *state;
            let outcome = self.count(&mut next, index).and_then(|()| next.check());
            out.push((Action::Counts(index), outcome.map(|()| next)));
        }
    }

    fn append(&self, next: &mut State, index: usize) -> Result<(), Violation> {
        let Node { token, pending, image, .. } = next.nodes[index];
        let log = next.primary.log;
        if self.has(Rule::Fence) && token != next.primary.fence {
            if token < next.primary.fence {
                next.nodes[index] = Node::default();
            } else {
                next.primary.fence = token;
                next.ops.push(Op::Seal(token));
            }
            return Ok(());
        }
        let node = &mut next.nodes[index];
        let place = image.len();
        let taken = log.at(place) == pending;
        let follows = log.len() == place && log.last() == image.last();
        if taken && self.has(Rule::Position) {
            (node.written, node.wrote) = (true, true);
        } else if follows || (!self.has(Rule::Position) && log.len() < 7) {
            next.primary.log = log.with(pending);
            next.ops.push(Op::Append(pending));
            (node.written, node.wrote) = (true, true);
        } else if token == next.primary.fence && self.judge == Judge::Strict {
            return Err(Violation::OwnerIsRefused);
        } else {
            *node = Node::default();
        }
        Ok(())
    }

    fn count(&self, next: &mut State, index: usize) -> Result<(), Violation> {
        let node = &mut next.nodes[index];
        node.image = node.image.with(node.pending);
        (node.pending, node.written) = (0, false);
        node.phase = Phase::Live;
        if node.join == Join::InEntry {
            node.join = Join::None;
            if next.gateway.newest == node.token {
                return welcome(next, index);
            }
        }
        Ok(())
    }

    fn showing(&self, state: &State, index: usize, out: &mut Vec<Next>) {
        let node = &state.nodes[index];
        let gateway = &state.gateway;
        if let Some(frame) = node.frame {
            let mut next = *state;
            next.nodes[index].frame = None;
            let wanted = frame.token == gateway.newest || !self.has(Rule::GatewayFence);
            let outcome = if !wanted || gateway.fresh {
                Ok(())
            } else if frame.index == gateway.seen.len() {
                next.gateway.seen = gateway.seen.with(frame.value);
                next.check()
            } else {
                Err(Violation::OutOfTurn)
            };
            out.push((Action::Deliver(index), outcome.map(|()| next)));
        }
        if node.phase != Phase::Live {
            return;
        }
        if let Some(sent) = node.sent {
            let early = if self.has(Rule::SendAfterDurable) { 0 } else { node.pending };
            let value = if sent < node.image.len() {
                node.image.at(sent)
            } else if sent == node.image.len() {
                early
            } else {
                0
            };
            if value != 0 && node.frame.is_none() {
                change(state, out, Action::Send(index), |next| {
                    let node = &mut next.nodes[index];
                    node.frame = Some(Frame { token: node.token, index: sent, value });
                    node.sent = Some(sent + 1);
                });
            }
            change(state, out, Action::LinkBreaks(index), |next| {
                (next.nodes[index].sent, next.nodes[index].frame) = Default::default();
            });
            return;
        }
        if gateway.fresh {
            let mut next = *state;
            next.gateway.newest = node.token;
            next.gateway.fresh = false;
            let outcome = if self.has(Rule::JoinThroughJournal) {
                next.nodes[index].join = Join::Asked;
                Ok(())
            } else {
                welcome(&mut next, index).and_then(|()| next.check())
            };
            out.push((Action::Join(index), outcome.map(|()| next)));
        } else if node.join == Join::None
            && (node.token >= gateway.newest || !self.has(Rule::GatewayFence))
            && !state.nodes.iter().any(|other| other.join != Join::None && other.token == gateway.newest)
        {
            let mut next = *state;
            next.gateway.newest = node.token;
            let forwarded = if self.has(Rule::TellForwarded) { gateway.seen.len() } else { node.image.len() };
            next.nodes[index].sent = Some(forwarded);
            let known = gateway.seen.len() <= node.image.len();
            let outcome = if known { Ok(next) } else { Err(Violation::ClientFromTheFuture) };
            out.push((Action::Attach(index), outcome));
        }
    }

    fn handing_over(&self, state: &State, index: usize, out: &mut Vec<Next>) {
        let node = &state.nodes[index];
        match node.phase {
            Phase::Offered if state.granted != node.token => {
                change(state, out, Action::TakeOffer(index), |next| next.nodes[index] = Node::default());
            }
            Phase::Offered if state.grants < self.bounds.grants => {
                change(state, out, Action::TakeOffer(index), |next| self.mint(next, index, false));
            }
            // Whether the room is still its own it may ask or not.
            Phase::Live if node.frozen => {
                change(state, out, Action::Thaw(index), |next| next.nodes[index].frozen = false);
            }
            // Also with an entry on its way, although the program waits for it.
            Phase::Live if state.handovers < self.bounds.handovers => {
                for target in (0..self.bounds.nodes).filter(|to| state.nodes[*to] == Node::default()) {
                    change(state, out, Action::Offer(index, target), |next| {
                        next.handovers += 1;
                        let given =
                            if node.pending == 0 { node.image } else { node.image.with(node.pending) };
                        next.nodes[index].frozen = true;
                        let token = node.token;
                        next.nodes[target] =
                            Node { phase: Phase::Offered, token, warm: Some(given), ..Node::default() };
                    });
                }
            }
            _ => {}
        }
    }
}

/// The clients of a gateway that knows nothing get the whole state, and what follows.
fn welcome(next: &mut State, index: usize) -> Result<(), Violation> {
    let node = &mut next.nodes[index];
    if !node.image.starts_with(next.gateway.seen) {
        return Err(Violation::ClientFromTheFuture);
    }
    next.gateway.seen = node.image;
    node.sent = Some(node.image.len());
    Ok(())
}

fn change(state: &State, out: &mut Vec<Next>, action: Action, act: impl FnOnce(&mut State)) {
    let mut next = *state;
    act(&mut next);
    out.push((action, next.check().map(|()| next)));
}
