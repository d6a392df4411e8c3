//! The tables, as data: adapters create them from it, the production definitions are compared with it.
//!
//! Names and attributes are those of the systems whose data this store takes over; see `docs/records.md`.

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// A game's head, its moves and one item per player.
    Games,
    /// Who is connected to a waiting line.
    Line,
    /// A ticket's head, its replies and its evidence.
    Tickets,
    /// What is still to be told to somebody.
    Notices,
    /// Articles of the support desk that agents wrote.
    Articles,
}

/// An attribute of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// Text.
    Text(&'static str),
    /// A whole number.
    Number(&'static str),
}

impl Attribute {
    /// Its name in items.
    pub const fn name(self) -> &'static str {
        match self {
            Attribute::Text(name) | Attribute::Number(name) => name,
        }
    }
}

/// A second order of the same items. Items without the index's attributes are not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: &'static str,
    /// What a query names.
    pub partition: Attribute,
    /// What it is sorted by.
    pub sort: Attribute,
}

/// A table as it must exist. All attributes are projected into the indexes, capacity is on demand, records expire by
/// [`EXPIRY`], point-in-time recovery and encryption are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSpec {
    /// Which.
    pub table: Table,
    /// Its name, before a prefix of the deployment.
    pub name: &'static str,
    /// Text.
    pub partition: Attribute,
    /// None: one item per partition.
    pub sort: Option<Attribute>,
    /// In no order.
    pub indexes: &'static [Index],
    /// Whether changes are streamed with the new and the old image.
    pub stream: bool,
}

/// The attribute with the second after which a record is no longer there.
pub const EXPIRY: &str = "expiresAt";

/// All tables.
pub const TABLES: [TableSpec; 5] = [
    TableSpec {
        table: Table::Games,
        name: "Games",
        partition: Attribute::Text("gameId"),
        sort: Some(Attribute::Number("timestamp")),
        indexes: &[Index {
            name: "PlayerGames",
            partition: Attribute::Text("playerId"),
            sort: Attribute::Number("createdAt"),
        }],
        stream: true,
    },
    TableSpec {
        table: Table::Line,
        name: "TicTacToeUsers",
        partition: Attribute::Text("connectionId"),
        sort: None,
        indexes: &[Index {
            name: "statusIndex",
            partition: Attribute::Text("status"),
            sort: Attribute::Text("joinedAt"),
        }],
        stream: true,
    },
    TableSpec {
        table: Table::Tickets,
        name: "Tickets",
        partition: Attribute::Text("ticketId"),
        sort: Some(Attribute::Number("part")),
        indexes: &[
            Index {
                name: "AuthorTickets",
                partition: Attribute::Text("authorId"),
                sort: Attribute::Number("createdAt"),
            },
            Index {
                name: "DeskTickets",
                partition: Attribute::Text("deskStatus"),
                sort: Attribute::Number("dueAt"),
            },
            Index {
                name: "CustomerTickets",
                partition: Attribute::Text("customer"),
                sort: Attribute::Number("updatedAt"),
            },
            Index {
                name: "RunningClocks",
                partition: Attribute::Text("clock"),
                sort: Attribute::Number("dueAt"),
            },
        ],
        stream: false,
    },
    TableSpec {
        table: Table::Notices,
        name: "Notices",
        partition: Attribute::Text("noticeId"),
        sort: None,
        indexes: &[Index {
            name: "DueNotices",
            partition: Attribute::Text("queue"),
            sort: Attribute::Number("dueAt"),
        }],
        stream: false,
    },
    TableSpec {
        table: Table::Articles,
        name: "Articles",
        partition: Attribute::Text("articleId"),
        sort: None,
        indexes: &[Index {
            name: "CustomerArticles",
            partition: Attribute::Text("customer"),
            sort: Attribute::Number("updatedAt"),
        }],
        stream: false,
    },
];

impl Table {
    /// How it must exist.
    pub fn spec(self) -> &'static TableSpec {
        match self {
            Table::Games => &TABLES[0],
            Table::Line => &TABLES[1],
            Table::Tickets => &TABLES[2],
            Table::Notices => &TABLES[3],
            Table::Articles => &TABLES[4],
        }
    }
}

impl TableSpec {
    /// The index of this name.
    pub fn index(&self, name: &str) -> Option<&'static Index> {
        self.indexes.iter().find(|index| index.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_finds_itself() {
        for spec in &TABLES {
            assert_eq!(spec.table.spec(), spec);
        }
    }
}
