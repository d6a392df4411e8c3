//! Writes: one alone is one statement, several are one transaction.
//!
//! A transaction first holds the rows that are there, in the order of tables and keys, and checks all conditions against
//! them. Then it puts rows where it saw none, in the same order: an item, or, for a key that is only deleted or checked, a
//! row that it takes away again. From then on nobody else can change any of the keys, present or absent. Only then it
//! changes what it holds. When somebody was faster in the second step, it begins again and sees what they did; those that
//! begin again take turns, lest many that put and delete the same records overtake each other for ever.
//!
//! No two of them wait for each other: in the first step each waits for a greater key than those it holds, in the second
//! likewise for what others put, and not for rows that are merely held (`DO NOTHING`); in the third for nobody. A single
//! statement holds nothing while it waits.

use super::error::Stop;
use super::sql::{Statements, columns};
use crate::rules::{is_alive, item_from, now_s, sort_of};
use crate::tables::EXPIRY;
use crate::{Attribute, Condition, Item, Key, StoreError, Table, Write};
use serde_json::Value;
use sqlx::postgres::{PgArguments, PgConnection, Postgres};
use sqlx::query::Query;
use sqlx::{Connection, Row as _};
use std::collections::{BTreeMap, BTreeSet};

/// Beginnings of one call. Each but the last was overtaken by a transaction that did something.
const TURNS: u32 = 8;

/// Key of the advisory lock of calls that begin again: any number, the same in every release.
const AGAIN: i64 = 0x6576_7265_7475_726e;

/// Bytes of an entry of an index: the record's partition and the two attributes. A third of a page of 8 KiB less what
/// the server needs, so that it does not depend on how well the texts compress.
const MAX_ENTRY_BYTES: usize = 2600;

/// A call's writes, with their places.
#[derive(Debug)]
pub(super) struct Call {
    writes: Vec<Write>,
    places: Vec<(Table, Key)>,
}

impl Call {
    /// Of writes that were checked.
    pub(super) fn new(writes: Vec<Write>) -> Result<Self, StoreError> {
        let places = writes.iter().map(Write::place).collect::<Result<Vec<_>, _>>()?;
        for (write, (_, key)) in writes.iter().zip(&places) {
            if let Write::Put { table, item, .. } = write {
                check_entries(*table, item, key)?;
            }
        }
        Ok(Self { writes, places })
    }

    pub(super) async fn perform(&self, connection: &mut PgConnection) -> Result<(), Stop> {
        if let ([write], [(table, key)]) = (self.writes.as_slice(), self.places.as_slice())
            && let Some(done) = alone(connection, write, *table, key).await?
        {
            return Ok(done);
        }
        for turn in 0..TURNS {
            match self.transact(connection, turn > 0).await {
                Err(Stop::Overtaken) => {}
                done => return done,
            }
        }
        Err(Stop::Wrong(StoreError::Throttled))
    }

    async fn transact(&self, connection: &mut PgConnection, again: bool) -> Result<(), Stop> {
        let mut all = connection.begin().await?;
        if again {
            sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(AGAIN).execute(&mut *all).await?;
        }
        let there = self.hold(&mut all).await?;
        self.decide(&there)?;
        let order: BTreeMap<&(Table, Key), &Write> = self.places.iter().zip(&self.writes).collect();
        let (mut new, mut replaced, mut gone) = (Rows::default(), Rows::default(), Keys::default());
        for (place, write) in order {
            let (table, key) = place;
            let is_there = there.contains_key(place);
            match write {
                Write::Put { item, .. } if is_there => replaced.add(*table, key, Some(item)),
                Write::Put { item, .. } => new.add(*table, key, Some(item)),
                Write::Delete { .. } if is_there => gone.add(*table, key),
                Write::Check { .. } if is_there => {}
                Write::Delete { .. } | Write::Check { .. } => {
                    new.add(*table, key, None);
                    gone.add(*table, key);
                }
            }
        }
        new.send(&mut all, |statements| &statements.insert).await?;
        replaced.send(&mut all, |statements| &statements.replace).await?;
        gone.send(&mut all).await?;
        all.commit().await.map_err(Stop::Committing)
    }

    /// Holds the rows that are there, expired ones as well; what they say.
    async fn hold(&self, all: &mut PgConnection) -> Result<BTreeMap<(Table, Key), String>, Stop> {
        let mut keys = Keys::default();
        for (table, key) in self.places.iter().collect::<BTreeSet<_>>() {
            keys.add(*table, key);
        }
        let mut there = BTreeMap::new();
        for (table, (partitions, sorts)) in keys.0 {
            let query = sqlx::query(Statements::of(table).hold.as_str()).bind(partitions).bind(sorts);
            for row in query.fetch_all(&mut *all).await? {
                let partition = String::from_utf8(row.try_get(0)?)
                    .map_err(|error| StoreError::Unreadable(error.to_string()))?;
                let key = match table.spec().sort {
                    None => Key::single(partition),
                    Some(_) => Key::pair(partition, row.try_get(1)?),
                };
                there.insert((table, key), row.try_get(2)?);
            }
        }
        Ok(there)
    }

    fn decide(&self, there: &BTreeMap<(Table, Key), String>) -> Result<(), Stop> {
        let now = now_s();
        for (at, (write, place)) in self.writes.iter().zip(&self.places).enumerate() {
            if write.condition() == Condition::Always {
                continue;
            }
            let found = there.get(place).map(|text| item_from(text)).transpose()?;
            let found = found.filter(|item| is_alive(item, now));
            if !write.condition().holds(found.as_ref()) {
                return Err(Stop::Refused { at, found });
            }
        }
        Ok(())
    }
}

/// One write as one statement; None: it takes a transaction.
async fn alone(
    connection: &mut PgConnection,
    write: &Write,
    table: Table,
    key: &Key,
) -> Result<Option<()>, Stop> {
    let statements = Statements::of(table);
    let (Ok(version), now) = (wanted(write.condition()), now_s()) else { return Ok(None) };
    let row = |item| {
        let mut rows = Batch::new(table);
        rows.add(key, Some(item));
        rows
    };
    let query = match (write, write.condition()) {
        (Write::Put { item, .. }, Condition::Always) => row(item).bind(&statements.put),
        (Write::Put { item, .. }, Condition::Absent) => row(item).bind(&statements.put_absent).bind(now),
        (Write::Put { item, .. }, Condition::OlderThan(_)) => {
            row(item).bind(&statements.put_older).bind(now).bind(version)
        }
        (Write::Put { item, .. }, Condition::Version(_)) => {
            row(item).bind(&statements.put_version).bind(now).bind(version)
        }
        (Write::Delete { .. }, Condition::Always) => keyed(&statements.delete, key),
        (Write::Delete { .. }, Condition::Version(_)) => {
            keyed(&statements.delete_version, key).bind(now).bind(version)
        }
        (Write::Delete { .. } | Write::Check { .. }, _) => return Ok(None),
    };
    let changed = query.execute(&mut *connection).await.map_err(Stop::Committing)?.rows_affected();
    if changed > 0 || write.condition() == Condition::Always {
        return Ok(Some(()));
    }
    let found = super::read(connection, table, key).await?;
    match write.condition().holds(found.as_ref()) {
        false => Err(Stop::Refused { at: 0, found }),
        // It changed in between.
        true => Ok(None),
    }
}

/// The condition's number as the column has it.
fn wanted(condition: Condition) -> Result<i64, std::num::TryFromIntError> {
    match condition {
        Condition::Always | Condition::Absent => Ok(0),
        Condition::Version(number) | Condition::OlderThan(number) => number.try_into(),
    }
}

fn keyed<'q>(sql: &'static str, key: &Key) -> Query<'q, Postgres, PgArguments> {
    sqlx::query(sql).bind(vec![key.partition.clone().into_bytes()]).bind(vec![sort_of(key)])
}

/// Keys by table, in order.
#[derive(Debug, Default)]
struct Keys(BTreeMap<Table, (Vec<Vec<u8>>, Vec<i64>)>);

impl Keys {
    fn add(&mut self, table: Table, key: &Key) {
        let (partitions, sorts) = self.0.entry(table).or_default();
        partitions.push(key.partition.clone().into_bytes());
        sorts.push(sort_of(key));
    }

    async fn send(self, all: &mut PgConnection) -> Result<(), Stop> {
        for (table, (partitions, sorts)) in self.0 {
            let query = sqlx::query(Statements::of(table).delete.as_str()).bind(partitions).bind(sorts);
            query.execute(&mut *all).await?;
        }
        Ok(())
    }
}

/// Rows by table, in order.
#[derive(Debug, Default)]
struct Rows(BTreeMap<Table, Batch>);

impl Rows {
    fn add(&mut self, table: Table, key: &Key, item: Option<&Item>) {
        self.0.entry(table).or_insert_with(|| Batch::new(table)).add(key, item);
    }

    async fn send(
        self,
        all: &mut PgConnection,
        statement: impl Fn(&'static Statements) -> &'static str,
    ) -> Result<(), Stop> {
        for (table, batch) in self.0 {
            let rows = batch.sorts.len() as u64;
            let query = batch.bind(statement(Statements::of(table)));
            if query.execute(&mut *all).await?.rows_affected() != rows {
                return Err(Stop::Overtaken);
            }
        }
        Ok(())
    }
}

/// Rows of one table, by column.
#[derive(Debug)]
struct Batch {
    partitions: Vec<Vec<u8>>,
    sorts: Vec<i64>,
    bodies: Vec<String>,
    versions: Vec<Option<i64>>,
    expires: Vec<Option<i64>>,
    indexed: Vec<Column>,
}

#[derive(Debug)]
enum Column {
    Text(&'static str, Vec<Option<Vec<u8>>>),
    Number(&'static str, Vec<Option<i64>>),
}

impl Batch {
    fn new(table: Table) -> Self {
        let column = |attribute| match attribute {
            Attribute::Text(name) => Column::Text(name, Vec::new()),
            Attribute::Number(name) => Column::Number(name, Vec::new()),
        };
        Self {
            partitions: Vec::new(),
            sorts: Vec::new(),
            bodies: Vec::new(),
            versions: Vec::new(),
            expires: Vec::new(),
            indexed: columns(table.spec()).into_iter().map(column).collect(),
        }
    }

    /// Without an item: a row that nobody will see.
    fn add(&mut self, key: &Key, item: Option<&Item>) {
        let value = |name: &str| item.and_then(|item| item.get(name));
        self.partitions.push(key.partition.clone().into_bytes());
        self.sorts.push(sort_of(key));
        self.bodies.push(item.map(|item| Value::from(item.clone()).to_string()).unwrap_or_default());
        // A version beyond the column's range is none there: no condition that is decided there names it.
        let version = value("version").and_then(Value::as_u64);
        self.versions.push(version.and_then(|version| version.try_into().ok()));
        self.expires.push(value(EXPIRY).and_then(Value::as_i64));
        for column in &mut self.indexed {
            match column {
                Column::Text(name, values) => {
                    values.push(value(name).and_then(Value::as_str).map(|text| text.as_bytes().to_vec()));
                }
                Column::Number(name, values) => values.push(value(name).and_then(Value::as_i64)),
            }
        }
    }

    fn bind<'q>(self, sql: &'static str) -> Query<'q, Postgres, PgArguments> {
        let own = sqlx::query(sql)
            .bind(self.partitions)
            .bind(self.sorts)
            .bind(self.bodies)
            .bind(self.versions)
            .bind(self.expires);
        self.indexed.into_iter().fold(own, |query, column| match column {
            Column::Text(_, values) => query.bind(values),
            Column::Number(_, values) => query.bind(values),
        })
    }
}

fn check_entries(table: Table, item: &Item, key: &Key) -> Result<(), StoreError> {
    for index in table.spec().indexes {
        let bytes = |attribute: Attribute| match item.get(attribute.name()) {
            Some(Value::String(text)) => text.len(),
            _ => 8,
        };
        let entry = key.partition.len() + bytes(index.partition) + bytes(index.sort);
        if entry > MAX_ENTRY_BYTES {
            let why = format!("an entry of {entry} bytes is too large for the index {}", index.name);
            return Err(StoreError::Invalid(why));
        }
    }
    Ok(())
}
