use crate::effects::{FrameKind, Out, Recipients};
use crate::inputs::InputQueue;
use crate::ledger::{Ledger, TimerEntry, to_hex};
use crate::outbox::Sums;
use crate::record::Tape;
use crate::{Client, ConnId, Event, Refusal, Room, RoomRng};
use bytes::Bytes;
use everplay_schema::{Replica, Tag};
use everplay_types::{CloseCode, Millis, RoomId, ServiceLevel, SessionId};
use everplay_wire::{Dialect, MessageType, Timed, msgpack, server_frame};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// Frames kept for a client between its join hook and its acknowledgement. More end its connection: the SDK
/// acknowledges within a round trip, and nothing else may grow meanwhile.
const QUEUE_BEFORE_ACK: usize = 256;

/// A journaled deadline, to cancel it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct TimerId(pub u64);

/// Everything outside the room, as its hooks may use it.
///
/// Nothing done through it happens before the hook returns, and nothing leaves before the journal holds the
/// state it was computed from.
pub struct Context<R: Room> {
    pub(crate) room_id: RoomId,
    pub(crate) kind: Arc<str>,
    pub(crate) now: Millis,
    pub(crate) ledger: Replica<Ledger>,
    pub(crate) rng: RoomRng,
    pub(crate) members: BTreeMap<SessionId, Member<R>>,
    pub(crate) by_conn: HashMap<ConnId, SessionId>,
    pub(crate) live: Option<Arc<[ConnId]>>,
    pub(crate) out: Vec<Out>,
    pub(crate) after_patch: Vec<Out>,
    /// What `out` holds since the last patch, for those who miss it.
    pub(crate) tape: Tape,
    /// What `after_patch` holds.
    pub(crate) tape_after_patch: Tape,
    pub(crate) closes: Vec<Out>,
    pub(crate) events: Vec<Event>,
    /// Of the events that wait in the ledger.
    pub(crate) waits: Sums,
    pub(crate) kicked: Vec<(SessionId, CloseCode)>,
    pub(crate) root_views: Vec<(everplay_schema::ViewId, Option<Tag>)>,
    pub(crate) hold: Option<Duration>,
    pub(crate) checkpoint: bool,
    pub(crate) end: Option<CloseCode>,
    pub(crate) warnings: Vec<String>,
    /// See [`RoomEngine::keep_events`](crate::RoomEngine::keep_events).
    pub(crate) keeps_events: bool,
    /// The time of day, ms since 1970, as the node last said it.
    pub(crate) date: u64,
    pub(crate) ledger_touched: bool,
    pub(crate) types: PhantomData<fn() -> R>,
}

/// A session with its connection, if it has one.
pub(crate) struct Member<R: Room> {
    pub(crate) client: Client,
    pub(crate) link: Link,
    /// In rooms with inputs, while its connection is live.
    pub(crate) inputs: Option<Box<dyn InputQueue<R>>>,
    /// Its patches carry the server's time and the consumed input number.
    pub(crate) timed: bool,
    /// Number of the last consumed input.
    pub(crate) consumed: u32,
    /// The same as the ledger has it.
    pub(crate) noted: u32,
    /// Its socket was kept, and nobody has said yet where it is: its connection leads nowhere, and when this time has
    /// come it counts as dropped.
    pub(crate) awaited_until: Option<Millis>,
}

impl<R: Room> Member<R> {
    pub(crate) fn new(client: Client, link: Link) -> Self {
        Self { client, link, inputs: None, timed: false, consumed: 0, noted: 0, awaited_until: None }
    }

    /// What goes in front of its states and patches.
    pub(crate) fn timing(&self, now: Millis) -> Option<Timed> {
        // The wire counts the room's time in 32 bits: 49 days.
        self.timed.then_some(Timed { now: now.0 as u32, input_seq: self.consumed })
    }
}

/// The connection of a member.
pub(crate) enum Link {
    /// None.
    Gone,
    /// JOIN_ROOM is on its way; messages wait for the acknowledgement.
    Joining(Joining),
    /// Acknowledged: gets patches.
    Live(ConnId),
}

/// A connection between JOIN_ROOM and its acknowledgement.
pub(crate) struct Joining {
    pub(crate) conn: ConnId,
    /// Its decoder already holds an older state of this room.
    pub(crate) rejoin: bool,
    /// First time in this room.
    pub(crate) first: bool,
    pub(crate) dialect: Option<Dialect>,
    /// When the probe counts as unanswered; None: not probing.
    pub(crate) probe_until: Option<Millis>,
    /// Repeated in the second JOIN_ROOM of a probe.
    pub(crate) token: String,
    pub(crate) skip_handshake: bool,
    pub(crate) queue: Vec<Bytes>,
}

impl Link {
    pub(crate) fn conn(&self) -> Option<ConnId> {
        match self {
            Link::Gone => None,
            Link::Joining(joining) => Some(joining.conn),
            Link::Live(conn) => Some(*conn),
        }
    }
}

impl<R: Room> Context<R> {
    pub(crate) fn new(room_id: RoomId, kind: Arc<str>, ledger: Replica<Ledger>, now: Millis) -> Self {
        let rng = RoomRng::new(ledger.get().rng_key(), ledger.get().rng_block);
        let waits = Sums::of(ledger.get());
        Self {
            waits,
            room_id,
            kind,
            now,
            ledger,
            rng,
            members: BTreeMap::new(),
            by_conn: HashMap::new(),
            live: None,
            out: Vec::new(),
            after_patch: Vec::new(),
            tape: Tape::default(),
            tape_after_patch: Tape::default(),
            closes: Vec::new(),
            events: Vec::new(),
            kicked: Vec::new(),
            root_views: Vec::new(),
            hold: None,
            checkpoint: false,
            end: None,
            warnings: Vec::new(),
            keeps_events: true,
            date: 0,
            ledger_touched: false,
            types: PhantomData,
        }
    }

    pub(crate) fn ledger_mut(&mut self) -> &mut Ledger {
        self.ledger_touched = true;
        self.ledger.get_mut()
    }

    /// The room's id.
    pub fn room_id(&self) -> &RoomId {
        &self.room_id
    }

    /// The name the room kind was registered under.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The room's time: since its creation, standing still while no server runs it.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// The time of day, ms since 1970, as the node last said it; to show, not to decide by: it may stand still or jump.
    pub fn date(&self) -> u64 {
        self.date
    }

    /// How much of the service there is, as the room was told last. Survives a restart with the room.
    pub fn service(&self) -> ServiceLevel {
        ServiceLevel::of_number(self.ledger.get().service).unwrap_or_default()
    }

    /// The room's random numbers. A restart continues them.
    pub fn rng(&mut self) -> &mut RoomRng {
        &mut self.rng
    }

    /// All clients that joined and have not left, connected or awaited, in order of session id.
    pub fn clients(&self) -> impl Iterator<Item = &Client> {
        self.members.values().map(|member| &member.client)
    }

    /// The client of this session, if it has a seat and has joined.
    pub fn client(&self, session: &str) -> Option<Client> {
        self.members.get(session).map(|member| member.client.clone())
    }

    /// Whether the client has a live connection now.
    pub fn is_connected(&self, client: &Client) -> bool {
        self.members.get(client.session_id()).is_some_and(|member| member.link.conn().is_some())
    }

    /// Sends a message to one client. Clients that are not connected miss it: what must not be missed is state.
    ///
    /// Panics when the payload cannot be encoded, such as a map with a struct for a key.
    pub fn send<'a>(&mut self, to: &Client, kind: impl Into<MessageType<'a>>, payload: &impl Serialize) {
        let frame = data_frame(kind.into(), payload);
        self.send_frame(to.session_id().clone(), frame);
    }

    /// Sends raw bytes to one client.
    pub fn send_bytes<'a>(&mut self, to: &Client, kind: impl Into<MessageType<'a>>, bytes: &[u8]) {
        self.send_frame(to.session_id().clone(), server_frame::bytes(kind, bytes));
    }

    /// Sends a message to all clients, encoded once. Panics as [`send`](Self::send).
    pub fn broadcast<'a>(&mut self, kind: impl Into<MessageType<'a>>, payload: &impl Serialize) {
        let frame = data_frame(kind.into(), payload);
        let to = Recipients::Many(self.live());
        self.tape.all(&frame);
        self.out.push(Out::Frame { to, kind: FrameKind::Message, bytes: frame.clone() });
        self.queue_for_joining(&frame, &[]);
    }

    /// Sends a message to all clients but these. Panics as [`send`](Self::send).
    pub fn broadcast_except<'a>(
        &mut self,
        kind: impl Into<MessageType<'a>>,
        payload: &impl Serialize,
        except: &[&Client],
    ) {
        let frame = data_frame(kind.into(), payload);
        let left_out = |session: &SessionId| except.iter().any(|client| client.session_id() == session);
        let to: Arc<[ConnId]> = self
            .members
            .iter()
            .filter(|(session, _)| !left_out(session))
            .filter_map(|(_, member)| if let Link::Live(conn) = member.link { Some(conn) } else { None })
            .collect();
        self.tape.except(except.iter().map(|client| client.session_id().as_str()), &frame);
        self.out.push(Out::Frame {
            to: Recipients::Many(to),
            kind: FrameKind::Message,
            bytes: frame.clone(),
        });
        self.queue_for_joining(&frame, except);
    }

    /// Sends a message to all clients right after the next patch, when they see the state it speaks of.
    /// Panics as [`send`](Self::send).
    pub fn broadcast_after_patch<'a>(&mut self, kind: impl Into<MessageType<'a>>, payload: &impl Serialize) {
        let frame = data_frame(kind.into(), payload);
        let to = Recipients::Many(self.live());
        self.tape_after_patch.all(&frame);
        self.after_patch.push(Out::Frame { to, kind: FrameKind::Message, bytes: frame.clone() });
        self.queue_for_joining(&frame, &[]);
    }

    /// Removes a client; its SDK does not come back. The leave hook follows.
    ///
    /// [`CloseCode::CONSENTED`] tells the client it was a normal end; codes of 4300 and more are the author's own.
    pub fn kick(&mut self, client: &Client, code: CloseCode) {
        self.kicked.push((client.session_id().clone(), code));
    }

    /// Takes no more clients until unlocked. Full rooms are locked by themselves.
    pub fn lock(&mut self) {
        self.ledger_mut().locked = true;
    }

    /// Takes clients again.
    pub fn unlock(&mut self) {
        self.ledger_mut().locked = false;
    }

    /// A private room is joined by its id only.
    pub fn set_private(&mut self, private: bool) {
        self.ledger_mut().private = private;
    }

    /// An unlisted room is matched as usual, but not shown in lobbies.
    pub fn set_unlisted(&mut self, unlisted: bool) {
        self.ledger_mut().unlisted = unlisted;
    }

    /// What listings say of the room, and what filters compare. Errors: the value is not JSON.
    pub fn set_metadata(&mut self, metadata: &impl Serialize) -> Result<(), Refusal> {
        let text = serde_json::to_string(metadata).map_err(|error| Refusal::from(error.to_string()))?;
        self.ledger_mut().metadata = text;
        Ok(())
    }

    /// Sets the number of seats of this room.
    pub fn set_max_clients(&mut self, seats: u32) {
        self.ledger_mut().max_clients = seats;
    }

    /// In the drop hook: keeps the dropped client's seat this long.
    pub fn allow_reconnection(&mut self, wait: Duration) {
        self.hold = Some(wait);
    }

    /// In the drop hook: the seat is gone at once.
    pub fn deny_reconnection(&mut self) {
        self.hold = Some(Duration::ZERO);
    }

    /// Calls the timer hook with `timer` after `delay` of room time. Journaled: a restart does not lose it.
    ///
    /// Panics when the timer cannot be encoded.
    pub fn schedule(&mut self, delay: Duration, timer: &R::Timer) -> TimerId {
        let payload =
            msgpack::to_vec(timer).unwrap_or_else(|error| panic!("the timer cannot be encoded: {error}"));
        let due = (self.now + delay).0;
        let ledger = self.ledger_mut();
        let id = ledger.next_timer;
        ledger.next_timer += 1;
        ledger.timers.insert(id.to_string(), TimerEntry { due, payload: to_hex(&payload) });
        TimerId(id)
    }

    /// Forgets a timer. One that was due or cancelled already is ignored.
    pub fn cancel(&mut self, timer: TimerId) {
        self.ledger_mut().timers.remove(&timer.0.to_string());
    }

    /// When the timer is due; None when it is over.
    pub fn due(&self, timer: TimerId) -> Option<Millis> {
        self.ledger.get().timers.get(&timer.0.to_string()).map(|entry| Millis(entry.due))
    }

    /// Shows the filtered fields of the state's root to a client: those of the default tag, or of `tag`.
    /// Items of collections are shown by the collections themselves.
    pub fn show_root(&mut self, client: &Client, tag: Option<Tag>) {
        self.root_views.push((client.view(), tag));
    }

    /// Writes a snapshot with this step, for rooms whose durability is not per patch.
    pub fn checkpoint(&mut self) {
        self.checkpoint = true;
    }

    /// Ends the room: every client leaves with 4000, then the room is disposed.
    pub fn disconnect(&mut self) {
        self.end = Some(CloseCode::CONSENTED);
    }

    /// The connections that get patches, shared until the next change.
    pub(crate) fn live(&mut self) -> Arc<[ConnId]> {
        let members = &self.members;
        let live = self.live.get_or_insert_with(|| {
            let conn =
                |member: &Member<R>| if let Link::Live(conn) = member.link { Some(conn) } else { None };
            members.values().filter_map(conn).collect()
        });
        Arc::clone(live)
    }

    pub(crate) fn send_frame(&mut self, session: SessionId, frame: Bytes) {
        let Some(member) = self.members.get_mut(&session) else { return };
        if member.link.conn().is_some() {
            self.tape.only(&session, &frame);
        }
        match &mut member.link {
            Link::Gone => {}
            Link::Live(conn) => self.out.push(Out::Frame {
                to: Recipients::One(*conn),
                kind: FrameKind::Message,
                bytes: frame,
            }),
            Link::Joining(joining) => enqueue(joining, frame, &mut self.closes),
        }
    }

    /// An answer on the connection it was asked on.
    pub(crate) fn answer(&mut self, conn: ConnId, session: &SessionId, frame: Bytes) {
        self.tape.only(session, &frame);
        let to = Recipients::One(conn);
        self.out.push(Out::Frame { to, kind: FrameKind::Message, bytes: frame });
    }

    fn queue_for_joining(&mut self, frame: &Bytes, except: &[&Client]) {
        for (session, member) in &mut self.members {
            let Link::Joining(joining) = &mut member.link else { continue };
            if !except.iter().any(|client| client.session_id() == session) {
                enqueue(joining, frame.clone(), &mut self.closes);
            }
        }
    }
}

fn enqueue(joining: &mut Joining, frame: Bytes, closes: &mut Vec<Out>) {
    if joining.queue.len() < QUEUE_BEFORE_ACK {
        joining.queue.push(frame);
    } else if joining.queue.len() == QUEUE_BEFORE_ACK {
        // One past the bound marks that the close was asked for.
        joining.queue.push(Bytes::new());
        closes.push(Out::Close {
            conn: joining.conn,
            code: CloseCode::TOO_SLOW,
            reason: "the join was not acknowledged in time".into(),
        });
    }
}

fn data_frame(kind: MessageType<'_>, payload: &impl Serialize) -> Bytes {
    let payload = msgpack::to_vec(payload)
        .unwrap_or_else(|error| panic!("the payload of message {kind:?} cannot be encoded: {error}"));
    server_frame::data(kind, &payload)
}
