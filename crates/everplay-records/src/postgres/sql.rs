//! The statements, made once from [`TABLES`]. Names are those of the tables; everything of a call is bound.
//!
//! `partition` and texts of indexes are `BYTEA`: their order is that of UTF-8, whatever collation the database has, and a
//! NUL within them is a byte like another. The record is JSON as `TEXT`, where a NUL is written `\u0000`; `JSONB` refuses
//! it, and would bring records back with other numbers and another order of attributes than they were written with.

use crate::{Attribute, Query, TABLES, Table, TableSpec};
use std::sync::LazyLock;

/// What every table has; the columns of its indexes follow.
const OWN: [(&str, &str); 5] = [
    ("partition", "BYTEA"),
    ("sort", "BIGINT"),
    ("body", "TEXT"),
    ("version", "BIGINT"),
    ("expires", "BIGINT"),
];

static ALL: LazyLock<Vec<Statements>> = LazyLock::new(|| TABLES.iter().map(Statements::new).collect());

/// The statements about one table.
#[derive(Debug)]
pub(super) struct Statements {
    table: Table,
    /// One record, if it is alive: partition, sort, now.
    pub(super) read: String,
    /// Some records, dead ones as well, held in the order of their keys: partitions, sorts.
    pub(super) hold: String,
    /// Puts records where none are: rows.
    pub(super) insert: String,
    /// Puts records in the place of others: rows.
    pub(super) replace: String,
    /// Takes records away: partitions, sorts.
    pub(super) delete: String,
    /// Puts a record whatever is there: rows.
    pub(super) put: String,
    /// The same, if what is there has expired: rows, now.
    pub(super) put_absent: String,
    /// The same, if what is there has expired or is older: rows, now, version.
    pub(super) put_older: String,
    /// Puts a record in the place of a living one of this version: rows, now, version.
    pub(super) put_version: String,
    /// Takes away a living record of this version: partitions, sorts, now, version.
    pub(super) delete_version: String,
    /// Takes away some of what has expired: now, how many.
    pub(super) sweep: String,
    /// By the key and by each index, in the order of the table's definition.
    lists: Vec<(Option<&'static str>, List)>,
}

/// The statements of one order. The first two values are partition and now, the last is the limit.
#[derive(Debug)]
pub(super) struct List {
    /// From a number on, if it is ordered by numbers: the number.
    pub(super) first: [String; 2],
    /// From a place on; descending down to a number, if it is ordered by numbers: the number, then the place.
    pub(super) after: [String; 2],
}

impl Statements {
    pub(super) fn of(table: Table) -> &'static Statements {
        ALL.iter().find(|statements| statements.table == table).expect("every table has its statements")
    }

    pub(super) fn list(&'static self, query: &Query) -> &'static List {
        let found = self.lists.iter().find(|(index, _)| *index == query.index);
        &found.expect("the query was checked: the table has this index").1
    }

    fn new(spec: &TableSpec) -> Self {
        let name = table_name(spec);
        let columns = columns(spec);
        let typed = OWN.iter().map(|(name, kind)| ((*name).to_owned(), *kind));
        let typed: Vec<(String, &str)> =
            typed.chain(columns.iter().map(|column| (column_name(*column), kind(*column)))).collect();
        let list = typed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let given = |from: usize, columns: &[(String, &str)]| {
            let kinds = columns.iter().enumerate().map(|(at, (_, kind))| format!("${}::{kind}[]", from + at));
            let names = columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            format!("UNNEST({}) AS k({names})", kinds.collect::<Vec<_>>().join(", "))
        };
        let (rows, keys) = (given(1, &typed), given(1, &typed[..2]));
        let rest = &typed[2..];
        let set = |from: &str| {
            let one = |(name, _): &(String, &str)| format!("{name}={from}.{name}");
            rest.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        let (excluded, new) = (set("excluded"), set("k"));
        let key = "t.partition=k.partition AND t.sort=k.sort";
        let upsert = format!(
            "INSERT INTO {name} AS t({list}) SELECT * FROM {rows}
             ON CONFLICT(partition, sort) DO UPDATE SET {excluded}"
        );
        let (now, version) = (typed.len() + 1, typed.len() + 2);
        let replace = format!("UPDATE {name} AS t SET {new} FROM {rows} WHERE {key}");
        let delete = format!("DELETE FROM {name} AS t USING {keys} WHERE {key}");
        let own = (None, List::by_key(spec, &name));
        let indexes = spec.indexes.iter().map(|index| {
            let (home, order) = (column_name(index.partition), column_name(index.sort));
            (Some(index.name), List::by_index(&name, &home, &order, index.sort))
        });
        Statements {
            table: spec.table,
            read: format!(
                "SELECT body FROM {name} WHERE partition=$1 AND sort=$2 AND (expires IS NULL OR expires>$3)"
            ),
            hold: format!(
                "SELECT t.partition, t.sort, t.body FROM {name} AS t JOIN {keys} ON {key}
                 ORDER BY t.partition, t.sort FOR UPDATE OF t"
            ),
            insert: format!(
                "INSERT INTO {name}({list}) SELECT * FROM {rows} ORDER BY partition, sort
                 ON CONFLICT(partition, sort) DO NOTHING"
            ),
            put_absent: format!("{upsert} WHERE t.expires<=${now}"),
            put_older: format!("{upsert} WHERE t.expires<=${now} OR t.version<${version}"),
            put: upsert,
            put_version: format!(
                "{replace} AND (t.expires IS NULL OR t.expires>${now}) AND t.version=${version}"
            ),
            replace,
            delete_version: format!("{delete} AND (t.expires IS NULL OR t.expires>$3) AND t.version=$4"),
            delete,
            sweep: format!(
                "DELETE FROM {name} AS t USING (SELECT partition, sort FROM {name} WHERE expires<=$1
                 ORDER BY expires LIMIT $2 FOR UPDATE SKIP LOCKED) AS k WHERE {key}"
            ),
            lists: std::iter::once(own).chain(indexes).collect(),
        }
    }
}

impl List {
    fn by_key(spec: &TableSpec, name: &str) -> Self {
        let select =
            format!("SELECT body FROM {name} WHERE partition=$1 AND (expires IS NULL OR expires>$2)");
        if spec.sort.is_none() {
            // One record at most: nothing is after it.
            let all = format!("{select} LIMIT $3");
            let none = format!("{select} AND FALSE LIMIT $3");
            return List { first: [all.clone(), all], after: [none.clone(), none] };
        }
        List {
            first: [
                format!("{select} AND sort>=$3 ORDER BY sort LIMIT $4"),
                format!("{select} AND sort>=$3 ORDER BY sort DESC LIMIT $4"),
            ],
            after: [
                format!("{select} AND sort>$3 ORDER BY sort LIMIT $4"),
                format!("{select} AND sort>=$3 AND sort<$4 ORDER BY sort DESC LIMIT $5"),
            ],
        }
    }

    /// The place of a row of an index is the order, then the record's key. An ascending list that goes on from a place
    /// names no lower number: it is implied, and the server would begin there and read everything before the place.
    fn by_index(name: &str, home: &str, order: &str, sort: Attribute) -> Self {
        let select = format!(
            "SELECT body FROM {name} WHERE {home}=$1 AND {order} IS NOT NULL AND (expires IS NULL OR expires>$2)"
        );
        let place = format!("({order}, partition, sort)");
        let up = format!("ORDER BY {order}, partition, sort");
        let down = format!("ORDER BY {order} DESC, partition DESC, sort DESC");
        let beyond = format!("{select} AND {place}>($3, $4, $5) {up} LIMIT $6");
        match sort {
            Attribute::Text(_) => List {
                first: [format!("{select} {up} LIMIT $3"), format!("{select} {down} LIMIT $3")],
                after: [beyond, format!("{select} AND {place}<($3, $4, $5) {down} LIMIT $6")],
            },
            Attribute::Number(_) => List {
                first: [
                    format!("{select} AND {order}>=$3 {up} LIMIT $4"),
                    format!("{select} AND {order}>=$3 {down} LIMIT $4"),
                ],
                after: [beyond, format!("{select} AND {order}>=$3 AND {place}<($4, $5, $6) {down} LIMIT $7")],
            },
        }
    }
}

/// Attributes that indexes name, each once, in the order of the definition.
pub(super) fn columns(spec: &TableSpec) -> Vec<Attribute> {
    let mut columns: Vec<Attribute> = Vec::new();
    for attribute in spec.indexes.iter().flat_map(|index| [index.partition, index.sort]) {
        if !columns.contains(&attribute) {
            columns.push(attribute);
        }
    }
    columns
}

fn kind(column: Attribute) -> &'static str {
    match column {
        Attribute::Text(_) => "BYTEA",
        Attribute::Number(_) => "BIGINT",
    }
}

/// `record_tic_tac_toe_users` of `TicTacToeUsers`.
pub(super) fn table_name(spec: &TableSpec) -> String {
    format!("record_{}", snake(spec.name))
}

/// `record_games_player_games` of `PlayerGames` of `Games`.
pub(super) fn index_name(spec: &TableSpec, index: &str) -> String {
    format!("{}_{}", table_name(spec), snake(index))
}

/// `player_id` of `playerId`.
pub(super) fn column_name(attribute: Attribute) -> String {
    snake(attribute.name())
}

/// All columns of a table.
pub(super) fn column_names(spec: &TableSpec) -> Vec<String> {
    let own = OWN.iter().map(|(name, _)| (*name).to_owned());
    own.chain(columns(spec).into_iter().map(column_name)).collect()
}

fn snake(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.extend(letter.to_lowercase());
    }
    text
}
