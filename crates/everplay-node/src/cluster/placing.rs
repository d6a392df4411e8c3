//! Matchmaking over all nodes: what is asked of others, and what others ask.

use super::AskError;
use crate::matchmaking::{MatchError, Reservation, refusal_of};
use crate::node::Node;
use everplay_cluster::{Answer, Candidate, Control, Message, Request, RoomLine, successor};
use everplay_types::{ErrorCode, Incarnation, ProcessId, RoomId, SessionId};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// How long another node may take to answer a matchmaking question: longer than a room may stand still.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why another node gave no seat.
pub(crate) enum Elsewhere {
    /// It said so.
    Refused(MatchError),
    /// The room is not there any more, or the node cannot be reached.
    Gone,
}

impl Node {
    pub(super) fn reply(&self, peer: Incarnation, id: u64, answer: Answer) {
        let Some(cluster) = self.cluster() else { return };
        let reply = Message::Control(Control::Reply { id, answer });
        // An asker whose link broke asks again, or somebody else.
        let _ = cluster.links.send(peer, reply.encode());
    }

    async fn ask_peer(&self, peer: Incarnation, request: Request) -> Result<Answer, AskError> {
        let Some(cluster) = self.cluster() else { return Err(AskError::Unreachable) };
        let message = |id| Message::Control(Control::Ask { id, request });
        cluster.asks.ask(&*cluster.links, peer, PATIENCE, message).await
    }

    /// Another node's oldest room that fits, with the time it was made.
    pub(crate) fn candidate_elsewhere(
        &self,
        kind: &str,
        filters: &Map<String, Value>,
        tried: &HashSet<RoomId>,
    ) -> Option<(Incarnation, RoomLine)> {
        let view = self.cluster()?.view.lock();
        view.candidate(kind, filters, tried).map(|(owner, line)| (owner, line.clone()))
    }

    /// A room of another node.
    pub(crate) fn line_elsewhere(&self, room: &str) -> Option<(Incarnation, RoomLine)> {
        let room = RoomId::new(room).ok()?;
        let view = self.cluster()?.view.lock();
        view.get(&room).map(|(owner, line)| (owner, line.clone()))
    }

    pub(crate) async fn reserve_elsewhere(
        &self,
        owner: Incarnation,
        room: RoomId,
        options: &Value,
        auth: &Value,
    ) -> Result<Reservation, Elsewhere> {
        let request = Request::Reserve { room: room.clone(), options: options.clone(), auth: auth.clone() };
        match self.ask_peer(owner, request).await {
            Ok(answer) => self.seat(owner, answer).ok_or(Elsewhere::Gone)?.map_err(Elsewhere::Refused),
            Err(_) => Err(Elsewhere::Gone),
        }
    }

    pub(crate) async fn session_elsewhere(
        &self,
        owner: Incarnation,
        room: RoomId,
        token: &str,
    ) -> Option<Reservation> {
        let request = Request::FindSession { room: room.clone(), token: token.to_owned() };
        let Ok(Answer::Session(Some(session))) = self.ask_peer(owner, request).await else { return None };
        let cluster = self.cluster()?;
        let process = cluster.members.lock().get(owner)?.row.process.clone();
        let line = cluster.view.lock().get(&room).map(|(_, line)| line.clone())?;
        reservation(session, process, line)
    }

    /// None: an answer to another question.
    fn seat(&self, asked: Incarnation, answer: Answer) -> Option<Result<Reservation, MatchError>> {
        match answer {
            Answer::Seat { session, process, line } => {
                if let Some(cluster) = self.cluster() {
                    // Before the room's own news: whoever looks next finds it.
                    let owner = {
                        let members = cluster.members.lock();
                        let owner = members.all().find(|member| member.row.process == process);
                        owner.map_or(asked, |member| member.row.node)
                    };
                    if owner != self.incarnation {
                        cluster.view.lock().put(owner, (*line).clone());
                    }
                }
                Some(Ok(reservation(session, process, *line)?))
            }
            Answer::Refused { code, message } => Some(Err(MatchError { code, message })),
            Answer::Session(_) | Answer::Done | Answer::NotHere => None,
        }
    }

    /// The node that decides where clients with these filters meet; None: this one.
    pub(crate) fn decider(&self, kind: &str, filters: &Map<String, Value>) -> Option<Incarnation> {
        self.cluster()?;
        // Without weights: every node must name the same one.
        let equal: Vec<Candidate> =
            self.candidates().into_iter().map(|candidate| Candidate { rooms: 0, ..candidate }).collect();
        let name = format!("{kind} {}", Value::Object(filters.clone()));
        successor(&name, &equal).filter(|node| *node != self.incarnation)
    }

    /// Has the decider find or make a room. None: it cannot be reached, so this node decides.
    pub(crate) async fn find_or_create_elsewhere(
        &self,
        decider: Incarnation,
        kind: &str,
        options: &Value,
        auth: &Value,
    ) -> Option<Result<Reservation, MatchError>> {
        let request =
            Request::FindOrCreate { kind: kind.to_owned(), options: options.clone(), auth: auth.clone() };
        let answer = self.ask_peer(decider, request).await.ok()?;
        self.seat(decider, answer)
    }

    /// The node for a new room: the one with the fewest. None: this one.
    pub(crate) fn roomiest(&self) -> Option<Incarnation> {
        let cluster = self.cluster()?;
        let mine = self.rooms();
        let others = self.candidates().into_iter().filter(|candidate| candidate.node != self.incarnation);
        let fewest = others.min_by_key(|candidate| (candidate.rooms, candidate.node))?;
        (cluster.is_draining() || fewest.rooms < mine).then_some(fewest.node)
    }

    /// Has another node make a room. None: it cannot be reached.
    pub(crate) async fn create_elsewhere(
        &self,
        on: Incarnation,
        kind: &str,
        options: &Value,
        auth: &Value,
    ) -> Option<Result<Reservation, MatchError>> {
        let request = Request::Create { kind: kind.to_owned(), options: options.clone(), auth: auth.clone() };
        let answer = self.ask_peer(on, request).await.ok()?;
        if let Some(cluster) = self.cluster()
            && matches!(answer, Answer::Seat { .. })
        {
            // Until it says how many it has: the next room should not go there for that reason alone.
            let mut members = cluster.members.lock();
            if let Some((draining, rooms)) =
                members.get(on).map(|member| (member.row.draining, member.row.rooms))
            {
                members.said(on, draining, rooms + 1);
            }
        }
        self.seat(on, answer)
    }

    /// Does what another node asks.
    pub(super) async fn answer(self: &Arc<Self>, request: Request) -> Answer {
        match request {
            Request::Reserve { room, options, auth } => match self.registry.get(&room) {
                Some(entry) => match self.reserve(&entry, &options, &auth).await {
                    Err(None) => Answer::NotHere,
                    reserved => self.seat_answer(reserved.map_err(|error| refusal_of(&entry, error))),
                },
                None => Answer::NotHere,
            },
            Request::FindSession { room, token } => match self.registry.get(&room) {
                Some(entry) => Answer::Session(self.session_here(&entry, token).await),
                None => Answer::NotHere,
            },
            Request::FindOrCreate { kind, options, auth } => {
                self.seat_answer(self.find_or_create(&kind, &options, &auth).await)
            }
            Request::Create { kind, options, auth } => {
                self.seat_answer(self.create_here(&kind, &options, &auth).await)
            }
            Request::Move { room, to } => match self.hand_over(&room, to).await {
                Ok(()) => Answer::Done,
                Err(super::MoveError::NotHere) => Answer::NotHere,
                Err(error) => Answer::Refused { code: 503, message: error.to_string() },
            },
            Request::Drain { draining } => {
                self.drain_by_operator(draining);
                Answer::Done
            }
        }
    }

    fn seat_answer(&self, reserved: Result<Reservation, MatchError>) -> Answer {
        let reservation = match reserved {
            Ok(reservation) => reservation,
            Err(error) => return Answer::Refused { code: error.code, message: error.message },
        };
        let line = match self.registry.get(&reservation.room_id) {
            Some(entry) => Some(self.line(&entry)),
            None => self.cluster().and_then(|cluster| {
                cluster.view.lock().get(&reservation.room_id).map(|(_, line)| line.clone())
            }),
        };
        match line {
            Some(line) => Answer::Seat {
                session: reservation.session_id,
                process: reservation.process_id.to_string(),
                line: Box::new(line),
            },
            None => {
                Answer::Refused { code: ErrorCode::UNHANDLED.0, message: "the room ended at once".to_owned() }
            }
        }
    }
}

fn reservation(session: SessionId, process: String, line: RoomLine) -> Option<Reservation> {
    Some(Reservation {
        name: line.kind,
        room_id: line.id,
        process_id: ProcessId::new(process).ok()?,
        session_id: session,
        clients: line.listing.clients,
        max_clients: line.listing.max_clients,
    })
}
