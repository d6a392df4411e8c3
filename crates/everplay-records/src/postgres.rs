//! The adapter for PostgreSQL: a cluster's record store where there is no DynamoDB. Schema `everplay`, tables `record_*`.
//!
//! ```text
//! callers -> [bounded number of calls] -> connection of the pool -> one statement, or one transaction
//! ```
//!
//! **Durable** means committed with `synchronous_commit`, on the standby as well where one is set up.
//!
//! A call is a task of its own: it ends, and its connection with it or back in the pool, whether its caller still waits
//! or not. When all connections are busy calls wait for one; beyond [`CALLS`] the answer is `Throttled` at once. A call
//! that gets no answer in time gives its connection up: the server may be gone without a word, and whoever took its place
//! is found by connecting anew. Commits that may have happened are told as `Unknown`, everything else wrote nothing.

mod change;
mod error;
mod schema;
mod sql;

use crate::rules::{self, Plan, check_writes, item_from, now_s, sort_of};
use crate::{
    Attribute, Cursor, Item, Key, Page, Pending, Query, RecordStore, StoreError, TABLES, Table, Write,
    WriteError,
};
use change::Call;
use error::{Stop, nothing_done};
use parking_lot::Mutex;
use serde_json::Value;
use sql::Statements;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Row as _};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Connections of one process: some 1,000 writes or 4,000 reads a second on two busy cores.
const CONNECTIONS: u32 = 4;
/// Calls under way or waiting for a connection; one more is refused. Each holds at most 3 MiB, usually a few hundred
/// bytes.
const CALLS: usize = 1024;
/// Longest wait for a connection.
const ACQUIRE: Duration = Duration::from_secs(3);
/// A connection that was used within this time is not asked whether it still works; a call that finds that it does not
/// is told so, and is repeated like others without an answer.
const FRESH: Duration = Duration::from_secs(1);
/// Longest time for one call once it has a connection; beyond the server's own bounds for a statement (4 s) and for a lock
/// (2 s), so that mostly the server says what became of it.
const TRY: Duration = Duration::from_secs(5);
/// Expired records of a table that go with one sweep.
const SWEEP: i64 = 500;
/// Between two sweeps of one process.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Why PostgreSQL cannot be the record store. No message holds the URL.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// Not a URL of PostgreSQL.
    #[error("the URL is not of the form postgres://user:password@host:port/database")]
    Url,
    /// It does not answer, or refuses us.
    #[error("no connection: {0}")]
    Refused(#[source] sqlx::Error),
    /// The tables cannot be made, or are others.
    #[error("the tables of the record store: {0}")]
    Tables(#[from] StoreError),
}

/// Tables in PostgreSQL. Clones share the connections.
#[derive(Debug, Clone)]
pub struct PostgresRecordStore(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pool: PgPool,
    calls: Arc<Semaphore>,
    /// When the server answered last.
    answered: Mutex<Instant>,
    /// When this process swept last. None: never; the first write does.
    swept: Mutex<Option<Instant>>,
}

/// What a call does with its connection.
type Work<'c, T> = Pin<Box<dyn Future<Output = Result<T, Stop>> + Send + 'c>>;

impl PostgresRecordStore {
    /// Connects, and brings the tables up to date; several processes may do so at once.
    pub async fn open(url: &str) -> Result<Self, PostgresError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| PostgresError::Url)?
            .application_name("everplay-records")
            .options([
                ("search_path", "everplay"),
                ("statement_timeout", "4000"),
                ("lock_timeout", "2000"),
                ("idle_in_transaction_session_timeout", "10000"),
                ("default_transaction_isolation", "read committed"),
            ])
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            .before_acquire(|connection, used| {
                Box::pin(async move {
                    if used.idle_for >= FRESH {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(|connection, _| {
                Box::pin(async move {
                    // An operator's `remote_apply` says more and stays.
                    let durable = "SELECT SET_CONFIG('synchronous_commit', 'on', FALSE)
                                   WHERE CURRENT_SETTING('synchronous_commit') NOT IN ('on', 'remote_apply')";
                    sqlx::query(durable).execute(connection).await.map(drop)
                })
            })
            .connect_with(options)
            .await
            .map_err(PostgresError::Refused)?;
        let store = Self(Arc::new(Shared {
            pool,
            calls: Arc::new(Semaphore::new(CALLS)),
            answered: Mutex::new(Instant::now()),
            swept: Mutex::new(None),
        }));
        store.create_tables().await?;
        Ok(store)
    }

    /// Lets a task do it, within the bounds.
    fn call<T, E>(
        &self,
        told: fn(Stop) -> E,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T> + Send + 'static,
    ) -> Pending<Result<T, E>>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let permit = Arc::clone(&self.0.calls).try_acquire_owned();
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let permit = permit.map_err(|_| StoreError::Throttled)?;
            let task = tokio::spawn(async move {
                let _permit = permit;
                shared.perform(work).await
            });
            task.await.unwrap_or(Err(Stop::Silent)).map_err(told)
        })
    }
}

impl Shared {
    async fn perform<T>(
        &self,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T>,
    ) -> Result<T, Stop> {
        let mut connection = self.pool.acquire().await.map_err(|error| self.no_connection(error))?;
        let done = timeout(TRY, work(&mut connection)).await.unwrap_or(Err(Stop::Silent));
        match &done {
            Err(stop) if !stop.is_clean() => connection.close_on_drop(),
            _ => *self.answered.lock() = Instant::now(),
        }
        done
    }

    /// While the server answers others it is only busy.
    fn no_connection(&self, error: sqlx::Error) -> Stop {
        Stop::Wrong(match error {
            sqlx::Error::PoolTimedOut if self.answered.lock().elapsed() < ACQUIRE => StoreError::Throttled,
            error => nothing_done(&error),
        })
    }

    /// Takes away some of what has expired, when it is time. Several processes take different records, and wait neither
    /// for each other nor for writers.
    fn sweep(self: &Arc<Self>) {
        {
            let mut swept = self.swept.lock();
            if swept.is_some_and(|swept| swept.elapsed() < SWEEP_EVERY) {
                return;
            }
            *swept = Some(Instant::now());
        }
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let swept = shared.perform(|connection| Box::pin(sweep(connection))).await;
            if let Err(stop) = swept {
                tracing::debug!(error = %stop.of_read(), "expired records stay for another minute");
            }
        });
    }
}

impl RecordStore for PostgresRecordStore {
    fn get(&self, table: Table, key: Key) -> Pending<Result<Option<Item>, StoreError>> {
        if let Err(error) = rules::check_key(table, &key) {
            return Box::pin(std::future::ready(Err(error)));
        }
        self.call(Stop::of_read, move |connection| {
            Box::pin(async move { read(connection, table, &key).await })
        })
    }

    fn query(&self, query: Query) -> Pending<Result<Page<Item>, StoreError>> {
        match rules::plan(&query) {
            Err(error) => Box::pin(std::future::ready(Err(error))),
            Ok(plan) => self.call(Stop::of_read, move |connection| {
                Box::pin(async move { list(connection, &query, &plan).await })
            }),
        }
    }

    fn write(&self, writes: Vec<Write>) -> Pending<Result<(), WriteError>> {
        let call = match check_writes(&writes).and_then(|()| Call::new(writes)) {
            Ok(call) => call,
            Err(error) => return Box::pin(std::future::ready(Err(error.into()))),
        };
        let shared = Arc::clone(&self.0);
        let written = self
            .call(Stop::of_write, move |connection| Box::pin(async move { call.perform(connection).await }));
        Box::pin(async move {
            let written = written.await;
            shared.sweep();
            written
        })
    }

    fn create_tables(&self) -> Pending<Result<(), StoreError>> {
        self.call(Stop::of_read, |connection| {
            Box::pin(async move {
                schema::migrate(connection).await?;
                Ok(schema::check(connection).await??)
            })
        })
    }
}

async fn read(connection: &mut PgConnection, table: Table, key: &Key) -> Result<Option<Item>, Stop> {
    let query = sqlx::query(Statements::of(table).read.as_str())
        .bind(key.partition.as_bytes())
        .bind(sort_of(key))
        .bind(now_s());
    let Some(row) = query.fetch_optional(connection).await? else { return Ok(None) };
    Ok(Some(item_from(row.try_get(0)?)?))
}

async fn list(connection: &mut PgConnection, query: &Query, plan: &Plan) -> Result<Page<Item>, Stop> {
    let texts = Statements::of(query.table).list(query);
    let sql = match plan.after {
        None => texts.first[usize::from(query.descending)].as_str(),
        Some(_) => texts.after[usize::from(query.descending)].as_str(),
    };
    let mut bound = sqlx::query(sql).bind(query.partition.as_bytes()).bind(now_s());
    let is_numbered = matches!(plan.sort, Some(Attribute::Number(_)));
    if is_numbered && (plan.after.is_none() || query.descending) {
        bound = bound.bind(query.from.unwrap_or(i64::MIN));
    }
    if let (Some(after), Some(_)) = (&plan.after, plan.sort) {
        bound = match &after.order {
            Value::String(text) => bound.bind(text.as_bytes()),
            number => bound.bind(number.as_i64()),
        };
        if query.index.is_some() {
            bound = bound.bind(after.partition.as_bytes()).bind(after.sort.unwrap_or(0));
        }
    }
    let limit = query.paging.limit as usize;
    let rows = bound.bind(limit as i64 + 1).fetch_all(connection).await?;
    let mut items = Vec::new();
    for row in rows.iter().take(limit) {
        items.push(item_from(row.try_get(0)?)?);
    }
    let next = match items.last() {
        Some(item) if rows.len() > limit => Some(Cursor::new(&plan.position_of(query.table, item)?)),
        _ => None,
    };
    Ok(Page { items, next })
}

async fn sweep(connection: &mut PgConnection) -> Result<(), Stop> {
    for spec in &TABLES {
        let query = sqlx::query(Statements::of(spec.table).sweep.as_str()).bind(now_s()).bind(SWEEP);
        query.execute(&mut *connection).await?;
    }
    Ok(())
}
