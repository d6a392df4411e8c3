//! What may become of a ticket, and by whom.
//!
//! ```text
//!           agent                      agent answers
//!  open ------------> in_progress ----------------------> waiting_for_customer
//!   ^  '---------------------------- agent answers --------^   |  |
//!   |                    ^------------ player answers ---------'  | a week of silence
//!   |  player answers, or says that it is not so                  v
//!   '------------------------------------------------------- resolved --- a week of silence ---> closed
//! ```

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Where a ticket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nobody has looked at it.
    Open,
    /// An agent works on it.
    InProgress,
    /// The player was asked something.
    WaitingForCustomer,
    /// Answered, as the desk believes; the player may disagree.
    Resolved,
    /// Over, for good.
    Closed,
}

/// Something that happens to a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// The player writes.
    PlayerReplies,
    /// The player says where it stands.
    PlayerSets(Status),
    /// An agent writes to the player.
    AgentReplies,
    /// An agent says where it stands.
    AgentSets(Status),
    /// The ticket's clock has run out.
    ClockRings,
}

impl Status {
    /// All there are.
    pub const ALL: [Status; 5] =
        [Status::Open, Status::InProgress, Status::WaitingForCustomer, Status::Resolved, Status::Closed];

    /// Its name in records and answers.
    pub fn name(self) -> &'static str {
        match self {
            Status::Open => "open",
            Status::InProgress => "in_progress",
            Status::WaitingForCustomer => "waiting_for_customer",
            Status::Resolved => "resolved",
            Status::Closed => "closed",
        }
    }

    /// Where the ticket stands after it; None: that may not happen.
    pub fn after(self, act: Act) -> Option<Status> {
        use Status::{Closed, InProgress, Open, Resolved, WaitingForCustomer};
        match (self, act) {
            (Closed, _) => None,
            (Open, Act::PlayerReplies) => Some(Open),
            (InProgress | WaitingForCustomer, Act::PlayerReplies) => Some(InProgress),
            (Resolved, Act::PlayerReplies | Act::PlayerSets(Open)) => Some(Open),
            (_, Act::PlayerSets(Closed)) => Some(Closed),
            (_, Act::PlayerSets(_)) => None,
            (Resolved, Act::AgentReplies) => Some(Resolved),
            (_, Act::AgentReplies) => Some(WaitingForCustomer),
            (Open | InProgress, Act::AgentSets(Open)) => Some(Open),
            (_, Act::AgentSets(Open)) => None,
            (Resolved, Act::AgentSets(WaitingForCustomer)) => None,
            (_, Act::AgentSets(status)) => Some(status),
            (Open | InProgress, Act::ClockRings) => Some(self),
            (WaitingForCustomer, Act::ClockRings) => Some(Resolved),
            (Resolved, Act::ClockRings) => Some(Closed),
        }
    }

    /// Whether the desk owes the player something.
    pub fn is_owed(self) -> bool {
        matches!(self, Status::Open | Status::InProgress)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Status {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Status::ALL.into_iter().find(|status| status.name() == text).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows: what happens. Columns: where it stood. A line: that may not happen.
    const TABLE: &str = "
                         open     in_progress  waiting      resolved     closed
        player replies   open     in_progress  in_progress  open         -
        player open      -        -            -            open         -
        player progress  -        -            -            -            -
        player waiting   -        -            -            -            -
        player resolved  -        -            -            -            -
        player closed    closed   closed       closed       closed       -
        agent replies    waiting  waiting      waiting      resolved     -
        agent open       open     open         -            -            -
        agent progress   in_progress in_progress in_progress in_progress -
        agent waiting    waiting  waiting      waiting      -            -
        agent resolved   resolved resolved     resolved     resolved     -
        agent closed     closed   closed       closed       closed       -
        clock rings      open     in_progress  resolved     closed       -
    ";

    #[test]
    fn the_table() {
        let sets = |of: fn(Status) -> Act| Status::ALL.map(of);
        let mut acts = vec![Act::PlayerReplies];
        acts.extend(sets(Act::PlayerSets));
        acts.push(Act::AgentReplies);
        acts.extend(sets(Act::AgentSets));
        acts.push(Act::ClockRings);
        let rows: Vec<&str> = TABLE.lines().skip(2).filter(|row| !row.trim().is_empty()).collect();
        assert_eq!(rows.len(), acts.len());
        for (act, row) in acts.into_iter().zip(rows) {
            let cells: Vec<&str> = row.split_whitespace().skip(2).collect();
            for (from, cell) in Status::ALL.into_iter().zip(cells) {
                let wanted = match cell {
                    "-" => None,
                    "waiting" => Some(Status::WaitingForCustomer),
                    name => Some(name.parse().unwrap()),
                };
                assert_eq!(from.after(act), wanted, "{from}: {act:?}");
            }
        }
    }
}
