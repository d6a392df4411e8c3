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

/// One connection's inputs, whatever their type.
pub(crate) trait InputQueue<R: Room>: Send {
    /// The next input of an ordered connection.
    fn reliable(&mut self, stamp: Option<ReliableStamp>, body: &[u8]) -> Result<(), RestoreError>;
    /// Inputs with their numbers, some of them seen already.
    fn repeated(&mut self, inputs: &[Input<'_>]) -> Result<(), RestoreError>;
    /// The connection goes on where its client stands: it has sent `sent` inputs whose stamps add up to `time`. Those
    /// that did not arrive count as consumed. Answers the number of the last consumed one.
    fn go_on(&mut self, sent: u32, time: u32) -> u32;
    /// Hands the inputs of one step to the handler. Answers the number of the last consumed one.
    fn consume(&mut self, room: &mut R, cx: &mut Context<R>, client: &Client) -> u32;
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

    fn consume(&mut self, room: &mut R, cx: &mut Context<R>, client: &Client) -> u32 {
        let count = if self.queue.len() > CATCH_UP { 2 } else { 1 };
        for _ in 0..count {
            let Some((meta, input)) = self.queue.pop_front() else { break };
            self.consumed = meta.seq;
            (self.handler)(room, cx, client, &input, &meta);
        }
        self.consumed
    }
}
