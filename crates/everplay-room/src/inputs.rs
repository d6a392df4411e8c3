//! Inputs of one client in a room that declared an input type: numbered, queued, consumed by simulation steps.
//!
//! ```text
//! frame -> decode -> [queue] -> one per step (two when it has grown) -> handler -> consumed number
//! ```
//!
//! The number of the last consumed input goes to the client with every patch; it is how the SDK knows which of its
//! predictions the state already holds. It is in the ledger, so a restart continues it. A new connection starts at
//! zero on both sides.
//!
//! When full: the oldest input is dropped and counts as consumed. A client that sends faster than the room steps
//! would otherwise be ever later, and its prediction with it.

use crate::context::Member;
use crate::messages::OnInput;
use crate::{Client, Context, InputMeta, Room};
use everplay_schema::{InputReader, RestoreError, State};
use everplay_types::Millis;
use everplay_wire::{Input, InputClock, InputOptions, ReliableStamp, Stamp};
use std::collections::VecDeque;
use std::sync::Arc;

/// Inputs kept for a client: half a second of 60 Hz. More is lag nobody wants to play with.
const QUEUE: usize = 32;

/// A queue this long is shortened by consuming two inputs a step.
const CATCH_UP: usize = 4;

/// Hands the next input of every client to the room, in order of their sessions.
pub(crate) fn consume<R: Room>(room: &mut R, cx: &mut Context<R>) {
    // Out of the context while handlers have it. They cannot add or remove a member: kicks wait for their end.
    let waiting = |inputs: &mut Box<dyn InputQueue<R>>| !inputs.is_empty();
    let take = |member: &mut Member<R>| Some((member.client.clone(), member.inputs.take_if(waiting)?));
    let mut taken: Vec<_> = cx.members.values_mut().filter_map(take).collect();
    for (client, inputs) in &mut taken {
        inputs.consume(room, cx, client);
    }
    let mut taken = taken.into_iter().peekable();
    for (session, member) in &mut cx.members {
        if let Some((_, inputs)) = taken.next_if(|(client, _)| client.session_id() == session) {
            member.consumed = inputs.consumed();
            member.inputs = Some(inputs);
        }
    }
}

/// Puts the numbers of the last consumed inputs into the ledger. Once per record, not per step: no client hears of
/// them before.
pub(crate) fn note_consumed<R: Room>(cx: &mut Context<R>) {
    for (session, member) in &mut cx.members {
        if std::mem::replace(&mut member.noted, member.consumed) == member.consumed {
            continue;
        }
        if let Some(seat) = cx.ledger.get_mut().seats.get_mut(session.as_str()) {
            seat.input_seq = member.consumed;
            cx.ledger_touched = true;
        }
    }
}

/// One connection's inputs, whatever their type.
pub(crate) trait InputQueue<R: Room>: Send {
    /// Whether there is nothing to consume.
    fn is_empty(&self) -> bool;
    /// Number of the last input consumed.
    fn consumed(&self) -> u32;
    /// The next input of an ordered connection.
    fn reliable(&mut self, stamp: Option<ReliableStamp>, body: &[u8]) -> Result<(), RestoreError>;
    /// Inputs with their numbers, some of them seen already.
    fn repeated(&mut self, inputs: &[Input<'_>]) -> Result<(), RestoreError>;
    /// The connection goes on where its client stands: it has sent `sent` inputs whose stamps add up to `time`. Those
    /// that did not arrive count as consumed. Answers the number of the last consumed one.
    fn go_on(&mut self, sent: u32, time: u32) -> u32;
    /// Hands the inputs of one step to the handler.
    fn consume(&mut self, room: &mut R, cx: &mut Context<R>, client: &Client);
}

pub(crate) struct TypedQueue<R: Room, I: State> {
    reader: InputReader<I>,
    queue: VecDeque<(InputMeta, I)>,
    clock: InputClock,
    options: InputOptions,
    /// The newest input seen.
    seen: u32,
    /// The newest input consumed or dropped.
    consumed: u32,
    handler: Arc<OnInput<R, I>>,
}

impl<R: Room, I: State> TypedQueue<R, I> {
    pub(crate) fn new(reader: InputReader<I>, options: InputOptions, handler: Arc<OnInput<R, I>>) -> Self {
        Self {
            reader,
            queue: VecDeque::new(),
            clock: InputClock::default(),
            options,
            seen: 0,
            consumed: 0,
            handler,
        }
    }

    fn push(&mut self, seq: u32, stamp: Option<Stamp>, body: &[u8]) -> Result<(), RestoreError> {
        let input = self.reader.read(body)?;
        self.seen = seq;
        if self.queue.len() >= QUEUE
            && let Some((dropped, _)) = self.queue.pop_front()
        {
            self.consumed = dropped.seq;
        }
        self.queue.push_back((self.meta(seq, stamp), input));
        Ok(())
    }

    fn meta(&self, seq: u32, stamp: Option<Stamp>) -> InputMeta {
        let time = stamp.map(|stamp| Millis(u64::from(stamp.time)));
        let behind = stamp.and_then(|stamp| stamp.render_delta).unwrap_or_default();
        let rendered = time.map(|time| Millis(time.0.saturating_sub(u64::from(behind))));
        InputMeta {
            seq,
            reckon_time: time.filter(|_| self.options.reckon_time),
            render_time: rendered.filter(|_| self.options.render_time),
        }
    }
}

impl<R: Room, I: State> InputQueue<R> for TypedQueue<R, I> {
    fn reliable(&mut self, stamp: Option<ReliableStamp>, body: &[u8]) -> Result<(), RestoreError> {
        let stamp = stamp.map(|stamp| self.clock.advance(stamp));
        self.push(self.seen.wrapping_add(1), stamp, body)
    }

    fn repeated(&mut self, inputs: &[Input<'_>]) -> Result<(), RestoreError> {
        for input in inputs {
            if input.seq > self.seen {
                self.push(input.seq, input.stamp, input.body)?;
            }
        }
        Ok(())
    }

    fn go_on(&mut self, sent: u32, time: u32) -> u32 {
        self.clock = InputClock::at(time);
        self.seen = sent;
        if self.queue.is_empty() {
            self.consumed = sent;
        }
        self.consumed
    }

    fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn consumed(&self) -> u32 {
        self.consumed
    }

    fn consume(&mut self, room: &mut R, cx: &mut Context<R>, client: &Client) {
        let count = if self.queue.len() > CATCH_UP { 2 } else { 1 };
        for _ in 0..count {
            let Some((meta, input)) = self.queue.pop_front() else { break };
            self.consumed = meta.seq;
            (self.handler)(room, cx, client, &input, &meta);
        }
    }
}
