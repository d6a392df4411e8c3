//! What comes from outside, and its bounds.

use super::{DeskError, Position, Side};
use crate::{Category, Priority, Status};
use everplay_types::RoomId;
use serde_json::{Value, json};

/// Bounds of the desk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Characters of a subject.
    pub subject: (usize, usize),
    /// Characters of a description.
    pub description: (usize, usize),
    /// Characters of a reply.
    pub reply: (usize, usize),
    /// Replies of a ticket.
    pub replies: u32,
    /// Tickets of one author that are not closed.
    pub open: usize,
    /// Bytes of a position as JSON; a larger one is left out and said to be.
    pub position: usize,
    /// Bytes of what is searched for.
    pub search: usize,
}

/// The bounds.
pub const LIMITS: Limits = Limits {
    subject: (5, 200),
    description: (10, 5000),
    reply: (1, 5000),
    replies: 500,
    open: 20,
    position: 256 << 10,
    search: 200,
};

/// A game that a ticket is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GameRef {
    /// The room.
    pub room: RoomId,
    /// Record of its journal; None: the last one now.
    pub seq: Option<u64>,
    /// Number of the game in the room, for one that ended.
    pub number: Option<u32>,
}

/// A ticket to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTicket {
    /// One line.
    pub subject: String,
    /// The question.
    pub description: String,
    /// None: guessed from the words.
    pub category: Option<Category>,
    /// What it is about.
    pub game: Option<GameRef>,
}

/// Something to be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReply {
    /// What.
    pub text: String,
    /// Only agents see it.
    pub internal: bool,
    /// Where the ticket stands after it; None: as an answer leads to.
    pub status: Option<Status>,
}

/// A ticket to be changed: None leaves a part as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// The version that the asker saw; another one is refused.
    pub version: Option<u64>,
    /// Where it stands.
    pub status: Option<Status>,
    /// For agents.
    pub priority: Option<Priority>,
    /// For agents.
    pub category: Option<Category>,
    /// For agents; `Some(None)`: nobody.
    pub assignee: Option<Option<String>>,
}

fn text(
    field: &'static str,
    text: &str,
    (least, most): (usize, usize),
    lines: bool,
) -> Result<String, DeskError> {
    let text = text.trim();
    let count = text.chars().count();
    let problem = |problem: String| Err(DeskError::Field { field, problem });
    if !(least..=most).contains(&count) {
        return problem(format!("{least} to {most} characters"));
    }
    if text.chars().any(|c| c.is_control() && !(lines && matches!(c, '\n' | '\r' | '\t'))) {
        return problem("no control characters".to_owned());
    }
    Ok(text.to_owned())
}

impl NewTicket {
    pub(super) fn checked(self) -> Result<Self, DeskError> {
        Ok(NewTicket {
            subject: text("subject", &self.subject, LIMITS.subject, false)?,
            description: text("description", &self.description, LIMITS.description, true)?,
            ..self
        })
    }
}

impl NewReply {
    pub(super) fn checked(self) -> Result<Self, DeskError> {
        Ok(NewReply { text: text("text", &self.text, LIMITS.reply, true)?, ..self })
    }
}

impl Change {
    pub(super) fn checked(self, side: &Side) -> Result<Self, DeskError> {
        if matches!(side, Side::Player(_)) {
            let agents = [
                ("priority", self.priority.is_some()),
                ("category", self.category.is_some()),
                ("assignee", self.assignee.is_some()),
            ];
            if let Some((field, _)) = agents.iter().find(|(_, given)| *given) {
                return Err(DeskError::ForAgents(field));
            }
        }
        if let Some(Some(assignee)) = &self.assignee {
            text("assignee", assignee, (1, everplay_types::MAX_ID_LEN + 16), false)?;
        }
        Ok(self)
    }
}

/// Whether a text has the shape of a ticket's name.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// A position as it is kept.
pub(super) fn written(position: Position) -> Value {
    let body = match position.body.to_string().len() {
        bytes if bytes > LIMITS.position => json!({ "tooLarge": bytes }),
        _ => position.body,
    };
    json!({ "seq": position.seq, "exact": position.exact, "position": body })
}
