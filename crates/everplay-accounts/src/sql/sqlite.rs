//! SQLite in threads of its own: one that writes, one that reads, so that neither the runtime nor a reader waits for
//! the disk of a writer.

use super::{Row, SqlError, Value};
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, params_from_iter};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

/// Statements that may wait for a thread; one more is refused. Writers take turns before they queue, so this bounds
/// readers: at 50 us each, 100 ms.
const QUEUE: usize = 2048;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

#[derive(Debug, Clone)]
struct Lane(SyncSender<Job>);

impl Lane {
    fn start(name: &str, mut connection: Connection) -> Result<Self, SqlError> {
        let (jobs, waiting) = sync_channel::<Job>(QUEUE);
        let run = move || {
            for job in waiting {
                job(&mut connection);
            }
        };
        let started = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        started.map_err(|error| SqlError::Unavailable(error.to_string()))?;
        Ok(Lane(jobs))
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, SqlError> {
        let (answer, waiting) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // Whoever asked may have gone.
            let _ = answer.send(work(connection));
        });
        self.0.try_send(job).map_err(|error| {
            SqlError::Unavailable(match error {
                TrySendError::Full(_) => "too many statements wait".to_owned(),
                TrySendError::Disconnected(_) => "its thread has ended".to_owned(),
            })
        })?;
        let answered = waiting.await.map_err(|_| SqlError::Unavailable("its thread has ended".to_owned()))?;
        answered.map_err(explain)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Sqlite {
    writer: Arc<Mutex<Lane>>,
    /// None in memory, where a second connection would be a second database: reads wait their turn.
    reader: Option<Lane>,
}

impl Sqlite {
    pub(super) fn open(path: Option<&Path>) -> Result<Self, SqlError> {
        if let Some(path) = path {
            for_its_owner(path).map_err(|error| SqlError::Unavailable(error.to_string()))?;
        }
        let connect = || -> rusqlite::Result<Connection> {
            let connection = match path {
                Some(path) => Connection::open(path)?,
                None => Connection::open_in_memory()?,
            };
            connection.busy_timeout(Duration::from_secs(5))?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "foreign_keys", "ON")?;
            connection.set_prepared_statement_cache_capacity(128);
            Ok(connection)
        };
        let writer = Lane::start("accounts-write", connect().map_err(explain)?)?;
        let reader = match path {
            Some(_) => Some(Lane::start("accounts-read", connect().map_err(explain)?)?),
            None => None,
        };
        Ok(Sqlite { writer: Arc::new(Mutex::new(writer)), reader })
    }

    pub(super) async fn query(&self, sql: &'static str, args: Vec<Value>) -> Result<Vec<Row>, SqlError> {
        let work = move |connection: &mut Connection| query(connection, sql, args);
        match &self.reader {
            Some(reader) => reader.call(work).await,
            None => self.writer.lock().await.call(work).await,
        }
    }

    pub(super) async fn begin(&self) -> Result<Transaction, SqlError> {
        let lane = Arc::clone(&self.writer).lock_owned().await;
        // Made before the question, so that the end of a caller who does not wait for the answer is an end of it.
        let transaction = Transaction { lane, open: true };
        transaction.lane.call(|connection| connection.execute_batch("BEGIN IMMEDIATE")).await?;
        Ok(transaction)
    }
}

#[derive(Debug)]
pub(crate) struct Transaction {
    lane: OwnedMutexGuard<Lane>,
    open: bool,
}

impl Transaction {
    pub(super) async fn query(&mut self, sql: &'static str, args: Vec<Value>) -> Result<Vec<Row>, SqlError> {
        self.lane.call(move |connection| query(connection, sql, args)).await
    }

    pub(super) async fn execute(&mut self, sql: &'static str, args: Vec<Value>) -> Result<u64, SqlError> {
        let work = move |connection: &mut Connection| {
            let touched = connection.prepare_cached(&ours(sql))?.execute(params_from_iter(args))?;
            Ok(touched as u64)
        };
        self.lane.call(work).await
    }

    pub(super) async fn script(&mut self, sql: &'static str) -> Result<(), SqlError> {
        self.lane.call(move |connection| connection.execute_batch(&super::section(sql, "sqlite"))).await
    }

    pub(super) async fn commit(mut self) -> Result<(), SqlError> {
        self.lane.call(|connection| connection.execute_batch("COMMIT")).await?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.open {
            // It stands in the queue before whatever the next holder of the lane asks for. "No transaction is
            // active" is what it finds when the beginning failed.
            let _ = self.lane.0.try_send(Box::new(|connection| {
                let _ = connection.execute_batch("ROLLBACK");
            }));
        }
    }
}

/// Makes the file before SQLite does, readable by its owner only; SQLite gives the files beside it the same rights.
fn for_its_owner(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::File::options();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// SQLite numbers `?1`; its `$1` is a name, numbered as it comes.
fn ours(sql: &str) -> String {
    sql.replace('$', "?")
}

fn query(connection: &mut Connection, sql: &str, args: Vec<Value>) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare_cached(&ours(sql))?;
    let columns = statement.column_count();
    let rows = statement.query_map(params_from_iter(args), |row| {
        let values = (0..columns).map(|at| {
            Ok(match row.get_ref(at)? {
                ValueRef::Null => Value::Text(None),
                ValueRef::Integer(number) => Value::Int(Some(number)),
                ValueRef::Real(number) => Value::Int(Some(number as i64)),
                ValueRef::Text(text) => Value::Text(Some(String::from_utf8_lossy(text).into_owned())),
                ValueRef::Blob(bytes) => Value::Bytes(Some(bytes.to_vec())),
            })
        });
        Ok(Row(values.collect::<rusqlite::Result<_>>()?))
    })?;
    rows.collect()
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Value::Text(text) => text.to_sql(),
            Value::Int(number) => number.to_sql(),
            Value::Bytes(bytes) => bytes.to_sql(),
            Value::Flag(flag) => flag.to_sql(),
        }
    }
}

fn explain(error: rusqlite::Error) -> SqlError {
    match error.sqlite_error() {
        Some(cause)
            if cause.code == ErrorCode::ConstraintViolation
                && matches!(
                    cause.extended_code,
                    rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY
                ) =>
        {
            SqlError::Taken
        }
        _ => SqlError::Unavailable(error.to_string()),
    }
}
