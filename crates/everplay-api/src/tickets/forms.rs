//! What requests about tickets say.

use crate::ApiError;
use everplay_accounts::Principal;
use everplay_support::{Category, Change, Filter, GameRef, NewReply, NewTicket, Priority, Side, Status};
use everplay_types::RoomId;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

macro_rules! mirrored {
    ($(#[doc = $doc:literal])+ $name:ident of $of:ident { $($(#[doc = $each:literal])+ $variant:ident,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[doc = $each])+ $variant,)+ }

        impl From<$of> for $name {
            fn from(of: $of) -> Self {
                match of { $($of::$variant => $name::$variant),+ }
            }
        }

        impl From<$name> for $of {
            fn from(name: $name) -> Self {
                match name { $($name::$variant => $of::$variant),+ }
            }
        }
    };
}

mirrored! {
    /// Where a ticket stands.
    TicketStatus of Status {
        /// Nobody has looked at it.
        Open,
        /// An agent works on it.
        InProgress,
        /// The player was asked something.
        WaitingForCustomer,
        /// Answered, as the desk believes.
        Resolved,
        /// Over, for good.
        Closed,
    }
}

mirrored! {
    /// What a ticket is about.
    TicketCategory of Category {
        /// Something does not work.
        Technical,
        /// Something in a game was not as it should be.
        Gameplay,
        /// Signing in, names, data.
        Account,
        /// Money.
        Billing,
        /// Anything else.
        Other,
    }
}

mirrored! {
    /// How soon a ticket must be answered.
    TicketPriority of Priority {
        /// Within 4 hours.
        Urgent,
        /// Within 24 hours.
        High,
        /// Within 48 hours.
        Medium,
        /// Within 72 hours.
        Low,
    }
}

/// A ticket to be opened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenedTicket {
    /// One line.
    #[schema(min_length = 5, max_length = 200)]
    subject: String,
    /// The question.
    #[schema(min_length = 10, max_length = 5000)]
    description: String,
    /// Left out: guessed from the words.
    category: Option<TicketCategory>,
    /// The game it is about.
    game: Option<OpenedGame>,
}

/// A game that a ticket is about.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OpenedGame {
    /// The room's id.
    #[schema(min_length = 1, max_length = 64)]
    room: String,
    /// Position in its journal; left out: the last one now.
    seq: Option<u64>,
    /// Number of the game in the room, for one that ended: the part of `gameId` after the full stop.
    number: Option<u32>,
}

impl OpenedTicket {
    pub(super) fn read(self) -> Result<NewTicket, ApiError> {
        let game = match self.game {
            None => None,
            Some(game) => Some(GameRef {
                room: RoomId::new(game.room)
                    .map_err(|_| ApiError::invalid_field("game.room", "this is no room"))?,
                seq: game.seq,
                number: game.number,
            }),
        };
        Ok(NewTicket {
            subject: self.subject,
            description: self.description,
            category: self.category.map(Category::from),
            game,
        })
    }
}

/// What is to change of a ticket; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangedTicket {
    /// The version you saw; when there is another one meanwhile, nothing changes and the answer is 409.
    version: Option<u64>,
    /// Where it stands. Players: `closed`, and `open` for one that is resolved.
    status: Option<TicketStatus>,
    /// For agents.
    priority: Option<TicketPriority>,
    /// For agents.
    category: Option<TicketCategory>,
    /// For agents: an agent as `account:ID`, `me`, or null for nobody.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 80)]
    assignee: Option<Option<String>>,
}

/// Null is something else than nothing.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl ChangedTicket {
    pub(super) fn read(self, by: &Principal) -> Change {
        let named = |name: String| if name == "me" { by.actor() } else { name };
        Change {
            version: self.version,
            status: self.status.map(Status::from),
            priority: self.priority.map(Priority::from),
            category: self.category.map(Category::from),
            assignee: self.assignee.map(|assignee| assignee.map(named)),
        }
    }
}

/// Something to be said.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenReply {
    /// What.
    #[schema(min_length = 1, max_length = 5000)]
    text: String,
    /// For agents: only agents see it.
    #[serde(default)]
    internal: bool,
    /// For agents: where the ticket stands after it.
    status: Option<TicketStatus>,
}

impl WrittenReply {
    pub(super) fn read(self) -> NewReply {
        NewReply { text: self.text, internal: self.internal, status: self.status.map(Status::from) }
    }
}

/// Whose tickets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum View {
    /// One's own.
    #[default]
    Mine,
    /// Those of all players.
    Desk,
}

/// Which tickets, and which part of the list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TicketQuery {
    /// Whose. Default `mine`; a server's key always asks for the desk's.
    #[param(inline)]
    view: View,
    /// Only those that stand here.
    #[param(inline)]
    status: Option<TicketStatus>,
    /// Only those about this.
    #[param(inline)]
    category: Option<TicketCategory>,
    /// Only those as urgent as this.
    #[param(inline)]
    priority: Option<TicketPriority>,
    /// Only those of this agent, as `account:ID`, or `me`. For agents.
    #[param(max_length = 80)]
    assignee: Option<String>,
    /// Only those of this account. For agents.
    #[param(max_length = 64)]
    pub(super) author: Option<String>,
    /// Only those that are late or were.
    overdue: bool,
    /// Only those with all these words, or beginnings of words, in subject, description or names.
    #[param(max_length = 200)]
    q: Option<String>,
    /// Tickets, 1 to 100. Default 25.
    #[param(minimum = 1, maximum = 100)]
    pub(super) limit: Option<u32>,
    /// `next` of the page before.
    pub(super) after: Option<String>,
}

impl TicketQuery {
    pub(super) fn is_desk(&self) -> bool {
        self.view == View::Desk
    }

    /// The filter, but for whose tickets.
    pub(super) fn filter(&self, side: &Side) -> Result<Filter, ApiError> {
        if self
            .author
            .as_ref()
            .is_some_and(|author| author.is_empty() || author.len() > everplay_types::MAX_ID_LEN)
        {
            return Err(ApiError::invalid_field("author", "this is no account"));
        }
        let assignee = match side {
            Side::Player(_) => None,
            Side::Agent(name) => {
                self.assignee.clone().map(|asked| if asked == "me" { name.clone() } else { asked })
            }
        };
        Ok(Filter {
            author: None,
            status: self.status.map(Status::from),
            category: self.category.map(Category::from),
            priority: self.priority.map(Priority::from),
            assignee,
            overdue: self.overdue,
            search: self.q.clone(),
        })
    }
}
