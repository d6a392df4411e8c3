//! Frames of clients: parsed here, answered here.

use super::Engine;
use super::membership::message;
use crate::context::Link;
use crate::effects::Out;
use crate::inputs::InputQueue;
use crate::{Client, ConnId, Leave, Refusal, Room};
use bytes::Bytes;
use everplay_schema::RestoreError;
use everplay_types::{CloseCode, ErrorCode, SessionId};
use everplay_wire::{ClientFrame, MessageType, ResponseStatus, msgpack, server_frame};
use serde::Serialize;
use std::borrow::Cow;
use std::sync::Arc;

/// What a request's promise is rejected with.
#[derive(Serialize)]
struct Failure<'a> {
    name: &'a str,
    code: u16,
    message: &'a str,
}

/// Handlers are registered by text; a number is its decimal form.
fn name_of(ty: MessageType<'_>) -> Cow<'_, str> {
    match ty {
        MessageType::Text(text) => Cow::Borrowed(text),
        MessageType::Number(number) => Cow::Owned(number.to_string()),
    }
}

impl<R: Room> Engine<R> {
    pub(super) fn frame(&mut self, conn: ConnId, bytes: &Bytes) {
        let Some(session) = self.cx.by_conn.get(&conn).cloned() else { return };
        let Some(member) = self.cx.members.get(&session) else { return };
        let client = member.client.clone();
        let live = matches!(member.link, Link::Live(_));
        let options = self.kind.input_options.unwrap_or_default();
        let frame = match ClientFrame::decode_with(bytes, &options) {
            Ok(frame) => frame,
            Err(error) => return self.bad_frame(conn, error.to_string()),
        };
        match frame {
            ClientFrame::Ack if live => {}
            ClientFrame::Ack => self.acknowledge(&session),
            // A client that changes its mind may leave before it has acknowledged.
            ClientFrame::Leave => self.leave(&session),
            _ if !live => self.bad_frame(conn, "a frame came before the join was acknowledged".into()),
            ClientFrame::Ping => {
                self.cx.out.push(message(conn, server_frame::ping()));
            }
            ClientFrame::Data { ty, payload } => self.data(conn, &client, ty, payload),
            ClientFrame::Bytes { ty, bytes } => self.raw(conn, &client, ty, bytes),
            ClientFrame::Request { id, ty, payload } => self.request(conn, &client, id, ty, payload),
            ClientFrame::InputReliable { stamp, body } => {
                self.input_frame(conn, &session, |inputs| inputs.reliable(stamp, body));
            }
            ClientFrame::InputUnreliable { inputs: repeated } => {
                self.input_frame(conn, &session, |inputs| inputs.repeated(&repeated));
            }
        }
    }

    fn input_frame(
        &mut self,
        conn: ConnId,
        session: &SessionId,
        queue: impl FnOnce(&mut dyn InputQueue<R>) -> Result<(), RestoreError>,
    ) {
        let inputs = self.cx.members.get_mut(session).and_then(|member| member.inputs.as_mut());
        let reason = match inputs.map(|inputs| queue(inputs.as_mut())) {
            Some(Ok(())) => return,
            Some(Err(error)) => format!("the input does not fit: {error}"),
            None => "this room takes no inputs".to_owned(),
        };
        self.bad_frame(conn, reason);
    }

    fn leave(&mut self, session: &SessionId) {
        self.remove_member(session, Leave::Consented, Some((CloseCode::CONSENTED, String::new())));
    }

    fn data(&mut self, conn: ConnId, client: &Client, ty: MessageType<'_>, payload: &[u8]) {
        let kind = Arc::clone(&self.kind);
        let (room, cx) = self.room();
        if let Err(refusal) = kind.messages.handle(room, cx, client, &name_of(ty), payload) {
            self.error(conn, client, &refusal);
        }
    }

    fn raw(&mut self, conn: ConnId, client: &Client, ty: MessageType<'_>, bytes: &[u8]) {
        let kind = Arc::clone(&self.kind);
        let (room, cx) = self.room();
        if let Err(refusal) = kind.messages.handle_bytes(room, cx, client, &name_of(ty), bytes) {
            self.error(conn, client, &refusal);
        }
    }

    fn request(&mut self, conn: ConnId, client: &Client, id: u32, ty: MessageType<'_>, payload: &[u8]) {
        let kind = Arc::clone(&self.kind);
        let name = name_of(ty);
        let known = kind.messages.handles(&name);
        let (room, cx) = self.room();
        let (status, payload) = match kind.messages.handle(room, cx, client, &name, payload) {
            Ok(answer) => (ResponseStatus::Ok, answer.unwrap_or_default()),
            Err(refusal) => {
                let code = refusal.code_or(ErrorCode::APPLICATION_ERROR);
                let misfit = code == ErrorCode::INVALID_PAYLOAD.0;
                let (status, name) = match (known, misfit) {
                    (false, _) => (ResponseStatus::Error, "no_handler"),
                    (true, true) => (ResponseStatus::Error, "invalid_payload"),
                    (true, false) => (ResponseStatus::Rejected, "refused"),
                };
                let failure = Failure { name, code, message: &refusal.message };
                (status, msgpack::to_vec(&failure).expect("two texts and a number can be encoded"))
            }
        };
        let frame = server_frame::response(id, status, &payload);
        self.cx.answer(conn, client.session_id(), frame);
    }

    fn error(&mut self, conn: ConnId, client: &Client, refusal: &Refusal) {
        let code = refusal.code_or(ErrorCode::APPLICATION_ERROR);
        let frame = server_frame::error(i32::from(code), &refusal.message);
        self.cx.answer(conn, client.session_id(), frame);
    }

    fn bad_frame(&mut self, conn: ConnId, reason: String) {
        self.cx.closes.push(Out::Close { conn, code: CloseCode::BAD_FRAME, reason });
    }
}
