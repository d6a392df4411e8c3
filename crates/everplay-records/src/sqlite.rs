//! The embedded adapter: one file, one thread that owns it.
//!
//! ```text
//! callers -> [bounded queue] -> thread: take what waits, one transaction -> commit -> answers
//! ```
//!
//! **Durable** means that the commit was synced (`synchronous=FULL`). Calls that arrive while a commit is synced share
//! the next one. A call that is refused wrote nothing, because conditions are checked before its first change. A table is a table with the key in front of the record as JSON text; an index is an index over what
//! SQLite extracts from that text, so an index cannot disagree with the records.
//!
//! When the queue is full the answer is `Throttled` at once. After an error of the file the thread opens it anew; the
//! calls of that commit are answered `Unavailable`, or `Unknown` when it was the commit itself that failed.

use crate::rules::{self, Plan, check_writes, item_from, now_s, sort_of};
use crate::tables::EXPIRY;
use crate::{
    Attribute, Cursor, Item, Key, Page, Pending, Query, RecordStore, StoreError, TABLES, Table, TableSpec,
    Write, WriteError,
};
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, OptionalExtension, params_from_iter};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Calls that wait at most. Each holds at most 3 MiB, usually a few hundred bytes.
const QUEUE: usize = 4096;
/// Calls that share a commit: enough to share its sync, few enough that none waits long.
const CALLS_PER_COMMIT: usize = 256;
/// Identifies the file: "EvRc".
const APPLICATION_ID: i32 = 0x4576_5263;
/// Of the tables. A lower one is brought to this one, a higher one is not opened.
///
/// 2 has tables and indexes that 1 had not: what is missing is made.
const FORMAT: i32 = 2;
/// Expired records that go with one sweep.
const SWEEP: usize = 500;
/// Between two sweeps.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Why the file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite or the file system says no.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What it says.
        source: rusqlite::Error,
    },
    /// Another program's file, or another release's.
    #[error("{path} is no record store of this release (application {application:#x}, format {format})")]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// Its mark.
        application: i32,
        /// Its version.
        format: i32,
    },
    /// The operating system gives no thread.
    #[error("no thread for the record store: {0}")]
    Thread(std::io::Error),
}

/// Tables in an SQLite file. Clones share the thread; it ends with the last of them.
#[derive(Debug, Clone)]
pub struct SqliteRecordStore(Arc<mpsc::Sender<Call>>);

#[derive(Debug)]
enum Call {
    Get(Table, Key, oneshot::Sender<Result<Option<Item>, StoreError>>),
    Query(Query, oneshot::Sender<Result<Page<Item>, StoreError>>),
    Write(Vec<Write>, oneshot::Sender<Result<(), WriteError>>),
}

impl SqliteRecordStore {
    /// Opens the file, or makes it with its tables. Blocks while it does.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let connection = connect(&path)?;
        let (sender, calls) = mpsc::channel(QUEUE);
        std::thread::Builder::new()
            .name("everplay-records".to_owned())
            .spawn(move || Thread { path, connection, swept: Instant::now() }.run(calls))
            .map_err(OpenError::Thread)?;
        Ok(Self(Arc::new(sender)))
    }

    fn ask<T: Send + 'static>(
        &self,
        call: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Call,
    ) -> Pending<Result<T, StoreError>> {
        let (answer, answered) = oneshot::channel();
        let queued = self.0.try_send(call(answer)).map_err(refusal);
        Box::pin(async move {
            queued?;
            answered.await.map_err(|_| StoreError::Unavailable("its thread has ended".to_owned()))?
        })
    }
}

fn refusal<T>(error: mpsc::error::TrySendError<T>) -> StoreError {
    match error {
        mpsc::error::TrySendError::Full(_) => StoreError::Throttled,
        mpsc::error::TrySendError::Closed(_) => StoreError::Unavailable("its thread has ended".to_owned()),
    }
}

impl RecordStore for SqliteRecordStore {
    fn get(&self, table: Table, key: Key) -> Pending<Result<Option<Item>, StoreError>> {
        match rules::check_key(table, &key) {
            Ok(()) => self.ask(|answer| Call::Get(table, key, answer)),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn query(&self, query: Query) -> Pending<Result<Page<Item>, StoreError>> {
        self.ask(|answer| Call::Query(query, answer))
    }

    fn write(&self, writes: Vec<Write>) -> Pending<Result<(), WriteError>> {
        let (answer, answered) = oneshot::channel();
        let queued = check_writes(&writes)
            .and_then(|()| self.0.try_send(Call::Write(writes, answer)).map_err(refusal));
        Box::pin(async move {
            queued?;
            answered.await.map_err(|_| StoreError::Unknown("its thread has ended".to_owned()))?
        })
    }

    /// Opening made them.
    fn create_tables(&self) -> Pending<Result<(), StoreError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

fn connect(path: &Path) -> Result<Connection, OpenError> {
    let file = |source| OpenError::File { path: path.to_owned(), source };
    let connection = Connection::open(path).map_err(file)?;
    let number =
        |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).map_err(file);
    let (application, format) = (number("application_id")?, number("user_version")?);
    let fresh = application == 0 && format == 0 && number("schema_version")? == 0;
    if !fresh && (application != APPLICATION_ID || !(1..=FORMAT).contains(&format)) {
        return Err(OpenError::Foreign { path: path.to_owned(), application, format });
    }
    connection.busy_timeout(Duration::from_secs(5)).map_err(file)?;
    connection
        .execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY;")
        .map_err(file)?;
    if fresh || format < FORMAT {
        let mut script = String::from("BEGIN;");
        for spec in &TABLES {
            script.push_str(&schema_of(spec));
        }
        script.push_str(&format!(
            "PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={FORMAT}; COMMIT;"
        ));
        connection.execute_batch(&script).map_err(file)?;
    }
    Ok(connection)
}

/// What an attribute is within the text of a record.
fn extract(attribute: Attribute) -> String {
    format!("json_extract(body,'$.{}')", attribute.name())
}

fn schema_of(spec: &TableSpec) -> String {
    let name = spec.name;
    let mut script = format!(
        "CREATE TABLE IF NOT EXISTS {name}(partition TEXT NOT NULL, sort INTEGER NOT NULL, body TEXT NOT NULL, expires INTEGER,
         PRIMARY KEY(partition, sort)) WITHOUT ROWID;
         CREATE INDEX IF NOT EXISTS {name}Expiry ON {name}(expires) WHERE expires IS NOT NULL;"
    );
    for index in spec.indexes {
        let (partition, sort) = (extract(index.partition), extract(index.sort));
        script.push_str(&format!(
            "CREATE INDEX IF NOT EXISTS {name}{} ON {name}({partition}, {sort}, partition, sort)
             WHERE {partition} IS NOT NULL;",
            index.name
        ));
    }
    script
}

/// The thread's own.
struct Thread {
    path: PathBuf,
    connection: Connection,
    swept: Instant,
}

/// What a call is told once the commit it rests on is durable.
enum Answer {
    Get(oneshot::Sender<Result<Option<Item>, StoreError>>, Result<Option<Item>, StoreError>),
    Query(oneshot::Sender<Result<Page<Item>, StoreError>>, Result<Page<Item>, StoreError>),
    Write(oneshot::Sender<Result<(), WriteError>>, Result<(), WriteError>),
}

impl Thread {
    fn run(mut self, mut calls: mpsc::Receiver<Call>) {
        while let Some(first) = calls.blocking_recv() {
            let mut group = vec![first];
            while group.len() < CALLS_PER_COMMIT {
                let Ok(call) = calls.try_recv() else { break };
                group.push(call);
            }
            self.perform(group);
        }
    }

    fn perform(&mut self, group: Vec<Call>) {
        let writes = group.iter().any(|call| matches!(call, Call::Write(..)));
        let begun = self.connection.execute_batch(if writes { "BEGIN IMMEDIATE" } else { "BEGIN" });
        let mut broken = begun.err();
        let mut answers = Vec::with_capacity(group.len());
        for call in group {
            answers.push(match &broken {
                Some(error) => refuse(call, error),
                None => self.answer(call, &mut broken),
            });
        }
        if broken.is_none() && writes && self.swept.elapsed() >= SWEEP_EVERY {
            self.swept = Instant::now();
            broken = sweep(&self.connection).err();
        }
        // Nothing of a broken group was written; what a failed commit left is not known.
        let committing = broken.is_none();
        if committing {
            broken = self.connection.execute_batch("COMMIT").err();
        }
        if let Some(error) = &broken {
            tracing::error!(%error, "the record store's file fails; it is opened anew");
        }
        for answer in answers {
            tell(answer, broken.as_ref(), committing);
        }
        if broken.is_some() {
            self.reopen();
        }
    }

    /// Does one call within the open transaction; a refused write leaves nothing of it.
    fn answer(&self, call: Call, broken: &mut Option<rusqlite::Error>) -> Answer {
        match call {
            Call::Get(table, key, answer) => {
                Answer::Get(answer, keep(read(&self.connection, table, &key), broken))
            }
            Call::Query(query, answer) => Answer::Query(
                answer,
                match rules::plan(&query) {
                    Ok(plan) => keep(list(&self.connection, &query, &plan), broken),
                    Err(error) => Err(error),
                },
            ),
            Call::Write(writes, answer) => {
                let done = change(&self.connection, writes).unwrap_or_else(|error| {
                    let told = StoreError::Unavailable(error.to_string());
                    *broken = Some(error);
                    Err(told.into())
                });
                Answer::Write(answer, done)
            }
        }
    }

    fn reopen(&mut self) {
        match connect(&self.path) {
            Ok(connection) => self.connection = connection,
            // The old one stays: its next transaction fails as this one did, and tries again.
            Err(error) => tracing::error!(%error, "the record store's file cannot be opened"),
        }
        let _ = self.connection.execute_batch("ROLLBACK");
    }
}

type Read<T> = Result<Result<T, StoreError>, rusqlite::Error>;

fn keep<T>(read: Read<T>, broken: &mut Option<rusqlite::Error>) -> Result<T, StoreError> {
    read.unwrap_or_else(|error| {
        let told = StoreError::Unavailable(error.to_string());
        *broken = Some(error);
        Err(told)
    })
}

fn refuse(call: Call, error: &rusqlite::Error) -> Answer {
    let told = StoreError::Unavailable(error.to_string());
    match call {
        Call::Get(.., answer) => Answer::Get(answer, Err(told)),
        Call::Query(_, answer) => Answer::Query(answer, Err(told)),
        Call::Write(_, answer) => Answer::Write(answer, Err(told.into())),
    }
}

/// Callers that have gone away do not mind.
fn tell(answer: Answer, broken: Option<&rusqlite::Error>, committing: bool) {
    match answer {
        Answer::Get(answer, found) => drop(answer.send(found)),
        Answer::Query(answer, found) => drop(answer.send(found)),
        Answer::Write(answer, done) => {
            let done = match (done, broken) {
                (Ok(()), Some(error)) if committing => Err(StoreError::Unknown(error.to_string()).into()),
                (Ok(()), Some(error)) => Err(StoreError::Unavailable(error.to_string()).into()),
                (done, _) => done,
            };
            drop(answer.send(done));
        }
    }
}

fn read(connection: &Connection, table: Table, key: &Key) -> Read<Option<Item>> {
    let name = table.spec().name;
    let text: Option<String> = connection
        .prepare_cached(&format!(
            "SELECT body FROM {name} WHERE partition=?1 AND sort=?2 AND (expires IS NULL OR expires>?3)"
        ))?
        .query_row((&key.partition, sort_of(key), now_s()), |row| row.get(0))
        .optional()?;
    Ok(text.map(|text| item_from(&text)).transpose())
}

fn list(connection: &Connection, query: &Query, plan: &Plan) -> Read<Page<Item>> {
    let name = query.table.spec().name;
    let (direction, beyond) = if query.descending { ("DESC", "<") } else { ("ASC", ">") };
    let mut values: Vec<SqlValue> = vec![query.partition.clone().into(), now_s().into()];
    let mut place = |value: SqlValue| {
        values.push(value);
        format!("?{}", values.len())
    };
    let (partition, order) = match query.index {
        None => ("partition".to_owned(), "sort".to_owned()),
        Some(_) => (extract(plan.partition), plan.sort.map_or("NULL".to_owned(), extract)),
    };
    let mut filter = format!("{partition}=?1 AND {order} IS NOT NULL");
    if let Some(from) = query.from {
        filter.push_str(&format!(" AND {order}>={}", place(from.into())));
    }
    if let Some(after) = &plan.after {
        let at = place(sql_of(&after.order));
        match query.index {
            None if plan.sort.is_none() => filter.push_str(" AND 0"),
            None => filter.push_str(&format!(" AND sort{beyond}{at}")),
            Some(_) => {
                let (home, sort) =
                    (place(after.partition.clone().into()), place(after.sort.unwrap_or(0).into()));
                filter.push_str(&format!(" AND ({order},partition,sort){beyond}({at},{home},{sort})"));
            }
        }
    }
    let limit = place(i64::from(query.paging.limit + 1).into());
    let mut statement = connection.prepare_cached(&format!(
        "SELECT body FROM {name} WHERE {filter} AND (expires IS NULL OR expires>?2)
         ORDER BY {order} {direction}, partition {direction}, sort {direction} LIMIT {limit}"
    ))?;
    let texts = statement
        .query_map(params_from_iter(values), |row| row.get::<_, String>(0))?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(page_of(texts, query, plan))
}

fn page_of(mut texts: Vec<String>, query: &Query, plan: &Plan) -> Result<Page<Item>, StoreError> {
    let more = texts.len() > query.paging.limit as usize;
    texts.truncate(query.paging.limit as usize);
    let items = texts.iter().map(|text| item_from(text)).collect::<Result<Vec<_>, _>>()?;
    let next = match items.last() {
        Some(item) if more => Some(Cursor::new(&plan.position_of(query.table, item)?)),
        _ => None,
    };
    Ok(Page { items, next })
}

fn sql_of(value: &Value) -> SqlValue {
    match value {
        Value::Number(number) => number.as_i64().map_or(SqlValue::Null, SqlValue::Integer),
        Value::String(text) => SqlValue::Text(text.clone()),
        _ => SqlValue::Null,
    }
}

/// Checks all conditions, then writes.
fn change(connection: &Connection, writes: Vec<Write>) -> Result<Result<(), WriteError>, rusqlite::Error> {
    let mut places = Vec::with_capacity(writes.len());
    for (at, write) in writes.iter().enumerate() {
        let (table, key) = match write.place() {
            Ok(place) => place,
            Err(error) => return Ok(Err(error.into())),
        };
        if write.condition() != crate::Condition::Always {
            let found = match read(connection, table, &key)? {
                Ok(found) => found,
                Err(error) => return Ok(Err(error.into())),
            };
            if !write.condition().holds(found.as_ref()) {
                return Ok(Err(WriteError::Refused { at, found: found.map(Box::new) }));
            }
        }
        places.push((table, key));
    }
    for (write, (table, key)) in writes.into_iter().zip(places) {
        let name = table.spec().name;
        match write {
            Write::Put { item, .. } => {
                let expires = item.get(EXPIRY).and_then(Value::as_i64);
                let body = Value::Object(item).to_string();
                connection
                    .prepare_cached(&format!(
                        "INSERT INTO {name}(partition,sort,body,expires) VALUES(?1,?2,?3,?4)
                         ON CONFLICT(partition,sort) DO UPDATE SET body=excluded.body, expires=excluded.expires"
                    ))?
                    .execute((key.partition.as_str(), sort_of(&key), body.as_str(), expires))?;
            }
            Write::Delete { .. } => {
                connection
                    .prepare_cached(&format!("DELETE FROM {name} WHERE partition=?1 AND sort=?2"))?
                    .execute((key.partition.as_str(), sort_of(&key)))?;
            }
            Write::Check { .. } => {}
        }
    }
    Ok(Ok(()))
}

/// Takes away some of what has expired.
fn sweep(connection: &Connection) -> Result<(), rusqlite::Error> {
    for spec in &TABLES {
        let name = spec.name;
        connection.execute(
            &format!(
                "DELETE FROM {name} WHERE (partition, sort) IN
                 (SELECT partition, sort FROM {name} WHERE expires<=?1 LIMIT {SWEEP})"
            ),
            [now_s()],
        )?;
    }
    Ok(())
}
