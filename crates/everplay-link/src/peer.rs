//! One peer: its link if it stands, what is queued for it, and what was told about it.
//!
//! Invariant: everything about a peer is told to the node while its state is locked, so the node hears
//! `Up (Message | Silent | Heard)* Down` again and again, and nothing of a link after its `Down`.

use crate::frame::{HEADER, Outgoing};
use crate::metrics::{BREAKS, LINKS, SILENCES};
use bytes::Bytes;
use everplay_cluster::{LinkEvent, SendError};
use everplay_types::Incarnation;
use metrics::{counter, gauge};
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{info, warn};

/// Bytes taken from a queue for one round of writing.
const ROUND: usize = 512 * 1024;

/// A node this one was asked to have a link with.
pub(crate) struct Peer {
    pub(crate) id: Incarnation,
    events: UnboundedSender<LinkEvent>,
    state: Mutex<State>,
    /// Told to the dialler: the link went down, or the address is another.
    changed: Notify,
}

struct State {
    address: String,
    link: Option<Arc<Link>>,
    /// A greeting that this node decides about is under way: its own call, or an answer to a peer whose place it is not to
    /// call. There is one at a time.
    greeting: bool,
    /// There was a link once.
    met: bool,
    /// [`LinkEvent::Gone`] was told since the link stood last.
    gone: bool,
    forgotten: bool,
}

/// Why a link ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The other end closed it or vanished.
    Closed,
    /// What came was not a frame.
    Protocol,
    /// The queue was full.
    Full,
    /// The peer came with a newer connection.
    Replaced,
    /// This node was told to, or ends.
    Forgotten,
}

impl Cause {
    fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Protocol => "protocol",
            Self::Full => "full",
            Self::Replaced => "replaced",
            Self::Forgotten => "forgotten",
        }
    }
}

/// A connection that stands, as seen by those who write to it.
pub(crate) struct Link {
    queue: Mutex<Queue>,
    /// Something was queued, or `finish` was called.
    pub(crate) ready: Notify,
    /// The link is to end at once.
    pub(crate) stop: Notify,
    /// Ends once the queue is written.
    finishing: AtomicBool,
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<Bytes>,
    /// Bytes of frames queued and not yet written to the socket.
    bytes: usize,
}

impl Link {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::default(),
            ready: Notify::new(),
            stop: Notify::new(),
            finishing: AtomicBool::new(false),
        })
    }

    /// Moves messages from the queue to what is written next.
    pub(crate) fn take(&self, outgoing: &mut Outgoing) {
        let mut queue = self.queue.lock();
        let mut taken = 0;
        while taken < ROUND
            && let Some(message) = queue.messages.pop_front()
        {
            taken += HEADER + message.len();
            outgoing.message(message);
        }
    }

    /// Bytes of messages left the queue. Signs of life are not counted in it.
    pub(crate) fn written(&self, bytes: usize) {
        let mut queue = self.queue.lock();
        queue.bytes = queue.bytes.saturating_sub(bytes);
    }

    pub(crate) fn finish(&self) {
        self.finishing.store(true, Ordering::Release);
        self.ready.notify_one();
    }

    /// Whether the link ends now that there is nothing to write.
    pub(crate) fn is_finished(&self) -> bool {
        self.finishing.load(Ordering::Acquire) && self.queue.lock().messages.is_empty()
    }
}

impl Peer {
    pub(crate) fn new(id: Incarnation, address: String, events: UnboundedSender<LinkEvent>) -> Arc<Self> {
        let state = State { address, link: None, greeting: false, met: false, gone: false, forgotten: false };
        Arc::new(Self { id, events, state: Mutex::new(state), changed: Notify::new() })
    }

    /// The node may have stopped listening: then nobody is left to tell.
    fn tell(&self, event: LinkEvent) {
        let _ = self.events.send(event);
    }

    /// Another address to dial; what was told of the old one no longer counts.
    pub(crate) fn move_to(&self, address: String) {
        let mut state = self.state.lock();
        if state.address != address {
            state.address = address;
            state.gone = false;
            self.changed.notify_one();
        }
    }

    /// Where to dial, unless there is a link.
    pub(crate) fn wanted(&self) -> Option<String> {
        let state = self.state.lock();
        (state.link.is_none() && !state.forgotten).then(|| state.address.clone())
    }

    /// Whether there was a link ever.
    pub(crate) fn met(&self) -> bool {
        self.state.lock().met
    }

    /// Waits until something about the peer may be different.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes the place of the one greeting this node decides about; `None` when it is taken or there is a link.
    pub(crate) fn greet(self: &Arc<Self>) -> Option<Greeting> {
        let mut state = self.state.lock();
        if state.greeting || state.link.is_some() || state.forgotten {
            return None;
        }
        state.greeting = true;
        Some(Greeting(Arc::clone(self)))
    }

    /// A connection stands. `replace`: it is the peer's place to call, so it knows best which connection counts.
    /// `None` when this one is not needed.
    pub(crate) fn up(&self, replace: bool) -> Option<Arc<Link>> {
        let mut state = self.state.lock();
        if state.forgotten || (state.link.is_some() && !replace) {
            return None;
        }
        self.end(&mut state, Cause::Replaced);
        let link = Link::new();
        state.link = Some(Arc::clone(&link));
        state.met = true;
        state.gone = false;
        gauge!(LINKS).increment(1);
        info!(peer.id = %self.id, peer.address = state.address, "link to a node stands");
        self.tell(LinkEvent::Up { peer: self.id });
        Some(link)
    }

    /// A link ended by itself.
    pub(crate) fn down(&self, link: &Arc<Link>, cause: Cause) {
        let mut state = self.state.lock();
        if state.link.as_ref().is_some_and(|current| Arc::ptr_eq(current, link)) {
            self.end(&mut state, cause);
        }
    }

    fn end(&self, state: &mut MutexGuard<'_, State>, cause: Cause) {
        let Some(link) = state.link.take() else { return };
        link.stop.notify_one();
        gauge!(LINKS).decrement(1);
        counter!(BREAKS, "cause" => cause.label()).increment(1);
        match cause {
            Cause::Full | Cause::Protocol => {
                warn!(peer.id = %self.id, cause = cause.label(), "link to a node was reset");
            }
            Cause::Closed | Cause::Replaced | Cause::Forgotten => {
                info!(peer.id = %self.id, cause = cause.label(), "link to a node ended");
            }
        }
        self.tell(LinkEvent::Down { peer: self.id });
        self.changed.notify_one();
    }

    /// Nothing more will be told about the peer but that its link is down.
    pub(crate) fn forget(&self) {
        let mut state = self.state.lock();
        state.forgotten = true;
        self.end(&mut state, Cause::Forgotten);
    }

    /// The link that stands, to end it in order.
    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        self.state.lock().link.clone()
    }

    /// The peer's process has ended. Told once.
    pub(crate) fn gone(&self) {
        let mut state = self.state.lock();
        if !state.gone && !state.forgotten && state.link.is_none() {
            state.gone = true;
            info!(peer.id = %self.id, peer.address = state.address, "node is gone");
            self.tell(LinkEvent::Gone { peer: self.id });
        }
    }

    /// Tells what came, unless the link was ended meanwhile; `false` then.
    pub(crate) fn tell_messages(&self, link: &Arc<Link>, messages: &mut Vec<Bytes>) -> bool {
        let state = self.state.lock();
        let current = state.link.as_ref().is_some_and(|current| Arc::ptr_eq(current, link));
        if current {
            for bytes in messages.drain(..) {
                self.tell(LinkEvent::Message { peer: self.id, bytes });
            }
        }
        current
    }

    /// The peer on a standing link fell silent, or speaks again.
    pub(crate) fn tell_silence(&self, link: &Arc<Link>, silent: bool) {
        let state = self.state.lock();
        if !state.link.as_ref().is_some_and(|current| Arc::ptr_eq(current, link)) {
            return;
        }
        if silent {
            counter!(SILENCES).increment(1);
            warn!(peer.id = %self.id, "node is silent");
            self.tell(LinkEvent::Silent { peer: self.id });
        } else {
            info!(peer.id = %self.id, "node speaks again");
            self.tell(LinkEvent::Heard { peer: self.id });
        }
    }

    pub(crate) fn send(&self, message: Bytes, most_queued: usize, most: usize) -> Result<(), SendError> {
        let mut state = self.state.lock();
        let Some(link) = &state.link else { return Err(SendError::NotConnected) };
        if link.finishing.load(Ordering::Acquire) {
            return Err(SendError::NotConnected);
        }
        let mut queue = link.queue.lock();
        let queued = queue.bytes + HEADER + message.len();
        if queued > most_queued || message.len() > most {
            let length = message.len();
            let before = queue.bytes;
            drop(queue);
            warn!(peer.id = %self.id, queued_bytes = before, message_bytes = length, "no room for a message to a node");
            self.end(&mut state, Cause::Full);
            return Err(SendError::Full);
        }
        queue.bytes = queued;
        queue.messages.push_back(message);
        let first = queue.messages.len() == 1;
        drop(queue);
        if first {
            link.ready.notify_one();
        }
        Ok(())
    }

    pub(crate) fn queued(&self) -> usize {
        self.state.lock().link.as_ref().map_or(0, |link| link.queue.lock().bytes)
    }
}

/// The place of the one greeting this node decides about; free again when dropped.
pub(crate) struct Greeting(Arc<Peer>);

impl Drop for Greeting {
    fn drop(&mut self) {
        self.0.state.lock().greeting = false;
    }
}
