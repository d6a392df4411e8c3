//! One way to speak SQL to two databases: SQLite in this process, PostgreSQL elsewhere.
//!
//! The statements are the same for both: `$1` placeholders, `TEXT`, `BIGINT`, `BYTEA`, `BOOLEAN`, `RETURNING`, upserts.
//! So there is one store, one suite, and two adapters of a few calls each; what they owe:
//!
//! - a transaction is all or nothing, and isolated at least as "read committed"; an update that names what it expects
//!   in its `WHERE` is the way to decide a race;
//! - `commit` returns when the change is durable;
//! - a dropped transaction, also of a cancelled caller, leaves nothing behind;
//! - a broken rule of the schema is [`SqlError::Taken`], everything else that went wrong is `Unavailable`.

#[cfg(feature = "postgres")]
mod postgres;
mod sqlite;

use std::fmt;
use std::path::Path;

#[cfg(feature = "postgres")]
pub use postgres::PostgresError;

/// Why a statement came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// A row with this key is there already.
    #[error("a row with this key exists")]
    Taken,
    /// The database does not answer, or does not do what it is asked. Whether it did is known only for reads.
    #[error("the account store cannot answer: {0}")]
    Unavailable(String),
    /// All connections are in use, and none came free in time. Nothing was asked.
    #[error("all connections to the account store are in use")]
    Exhausted,
    /// The database gave a statement up because it took too long. Nothing was changed.
    #[error("the account store took too long and gave up")]
    TimedOut,
}

/// A value of a row or a statement. The kind is known even when there is no value, because PostgreSQL asks for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(Option<String>),
    Int(Option<i64>),
    Bytes(Option<Vec<u8>>),
    Flag(Option<bool>),
}

macro_rules! from {
    ($($of:ty => $to:ident),+) => { $(
        impl From<$of> for Value {
            fn from(value: $of) -> Self {
                Value::$to(Some(value.into()))
            }
        }
        impl From<Option<$of>> for Value {
            fn from(value: Option<$of>) -> Self {
                Value::$to(value.map(Into::into))
            }
        }
    )+ };
}
from!(String => Text, &str => Text, &String => Text, i64 => Int, Vec<u8> => Bytes, bool => Flag);

macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::sql::Value::from($value)),*] };
}
pub(crate) use args;

/// One row of an answer.
#[derive(Debug)]
pub(crate) struct Row(Vec<Value>);

impl Row {
    pub(crate) fn opt_text(&self, at: usize) -> Result<Option<String>, SqlError> {
        match self.0.get(at) {
            Some(Value::Text(text)) => Ok(text.clone()),
            other => unexpected(at, other),
        }
    }

    pub(crate) fn text(&self, at: usize) -> Result<String, SqlError> {
        self.opt_text(at)?.map_or_else(|| unexpected(at, None), Ok)
    }

    pub(crate) fn opt_int(&self, at: usize) -> Result<Option<i64>, SqlError> {
        match self.0.get(at) {
            Some(Value::Int(number)) => Ok(*number),
            // SQLite does not say of what kind a missing value is.
            Some(Value::Text(None)) => Ok(None),
            other => unexpected(at, other),
        }
    }

    pub(crate) fn int(&self, at: usize) -> Result<i64, SqlError> {
        self.opt_int(at)?.map_or_else(|| unexpected(at, None), Ok)
    }

    pub(crate) fn opt_bytes(&self, at: usize) -> Result<Option<Vec<u8>>, SqlError> {
        match self.0.get(at) {
            Some(Value::Bytes(bytes)) => Ok(bytes.clone()),
            Some(Value::Text(None)) => Ok(None),
            other => unexpected(at, other),
        }
    }

    pub(crate) fn bytes(&self, at: usize) -> Result<Vec<u8>, SqlError> {
        self.opt_bytes(at)?.map_or_else(|| unexpected(at, None), Ok)
    }

    pub(crate) fn flag(&self, at: usize) -> Result<bool, SqlError> {
        match self.0.get(at) {
            Some(Value::Flag(Some(flag))) => Ok(*flag),
            Some(Value::Int(Some(number))) => Ok(*number != 0),
            other => unexpected(at, other),
        }
    }
}

fn unexpected<T>(at: usize, value: Option<&Value>) -> Result<T, SqlError> {
    let kind = match value {
        None => "nothing",
        Some(Value::Text(_)) => "a text",
        Some(Value::Int(_)) => "a number",
        Some(Value::Bytes(_)) => "bytes",
        Some(Value::Flag(_)) => "a flag",
    };
    Err(SqlError::Unavailable(format!("column {at} holds {kind}")))
}

/// A database. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Database {
    Sqlite(sqlite::Sqlite),
    #[cfg(feature = "postgres")]
    Postgres(postgres::Postgres),
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Database::Sqlite(_) => "Sqlite",
            #[cfg(feature = "postgres")]
            Database::Postgres(_) => "Postgres",
        })
    }
}

/// Changes that happen together.
pub(crate) enum Transaction {
    Sqlite(sqlite::Transaction),
    #[cfg(feature = "postgres")]
    Postgres(postgres::Transaction),
}

impl Database {
    pub(crate) fn is_shared(&self) -> bool {
        !matches!(self, Database::Sqlite(_))
    }

    /// A file; made when it is not there.
    pub(crate) fn sqlite(path: &Path) -> Result<Self, SqlError> {
        sqlite::Sqlite::open(Some(path)).map(Database::Sqlite)
    }

    /// Ends with the process.
    pub(crate) fn memory() -> Result<Self, SqlError> {
        sqlite::Sqlite::open(None).map(Database::Sqlite)
    }

    #[cfg(feature = "postgres")]
    /// A server. The tables are in the schema `everplay`.
    pub(crate) async fn postgres(url: &str) -> Result<Self, PostgresError> {
        postgres::Postgres::open(url).await.map(Database::Postgres)
    }

    /// Brings the schema to the present version, one step after the other; several nodes may do it at once.
    pub(crate) async fn migrate(&self, steps: &[&'static str]) -> Result<(), SqlError> {
        #[cfg(feature = "postgres")]
        if let Database::Postgres(postgres) = self {
            return postgres.migrate(steps).await;
        }
        let mut all = self.begin().await?;
        all.execute(
            "CREATE TABLE IF NOT EXISTS accounts_migrations (version BIGINT PRIMARY KEY)",
            Vec::new(),
        )
        .await?;
        let done = all.query("SELECT COALESCE(MAX(version), 0) FROM accounts_migrations", Vec::new()).await?;
        let done = done.first().map_or(Ok(0), |row| row.int(0))?;
        for (version, step) in (1..).zip(steps) {
            if version > done {
                all.script(step).await?;
                all.execute("INSERT INTO accounts_migrations (version) VALUES ($1)", args![version]).await?;
            }
        }
        all.commit().await
    }

    /// What is so now. Not for changes.
    pub(crate) async fn query(&self, sql: &'static str, args: Vec<Value>) -> Result<Vec<Row>, SqlError> {
        match self {
            Database::Sqlite(sqlite) => sqlite.query(sql, args).await,
            #[cfg(feature = "postgres")]
            Database::Postgres(postgres) => postgres.query(sql, args).await,
        }
    }

    /// The first row of what is so now.
    pub(crate) async fn row(&self, sql: &'static str, args: Vec<Value>) -> Result<Option<Row>, SqlError> {
        Ok(self.query(sql, args).await?.into_iter().next())
    }

    /// One change. Returns the number of rows it touched.
    pub(crate) async fn execute(&self, sql: &'static str, args: Vec<Value>) -> Result<u64, SqlError> {
        let mut one = self.begin().await?;
        let touched = one.execute(sql, args).await?;
        one.commit().await?;
        Ok(touched)
    }

    pub(crate) async fn begin(&self) -> Result<Transaction, SqlError> {
        match self {
            Database::Sqlite(sqlite) => sqlite.begin().await.map(Transaction::Sqlite),
            #[cfg(feature = "postgres")]
            Database::Postgres(postgres) => postgres.begin().await.map(Transaction::Postgres),
        }
    }
}

impl Transaction {
    pub(crate) async fn query(&mut self, sql: &'static str, args: Vec<Value>) -> Result<Vec<Row>, SqlError> {
        match self {
            Transaction::Sqlite(sqlite) => sqlite.query(sql, args).await,
            #[cfg(feature = "postgres")]
            Transaction::Postgres(postgres) => postgres.query(sql, args).await,
        }
    }

    pub(crate) async fn row(&mut self, sql: &'static str, args: Vec<Value>) -> Result<Option<Row>, SqlError> {
        Ok(self.query(sql, args).await?.into_iter().next())
    }

    pub(crate) async fn execute(&mut self, sql: &'static str, args: Vec<Value>) -> Result<u64, SqlError> {
        match self {
            Transaction::Sqlite(sqlite) => sqlite.execute(sql, args).await,
            #[cfg(feature = "postgres")]
            Transaction::Postgres(postgres) => postgres.execute(sql, args).await,
        }
    }

    /// Several statements without values, of the schema.
    async fn script(&mut self, sql: &'static str) -> Result<(), SqlError> {
        match self {
            Transaction::Sqlite(sqlite) => sqlite.script(sql).await,
            #[cfg(feature = "postgres")]
            Transaction::Postgres(postgres) => postgres.script(sql).await,
        }
    }

    pub(crate) async fn commit(self) -> Result<(), SqlError> {
        match self {
            Transaction::Sqlite(sqlite) => sqlite.commit().await,
            #[cfg(feature = "postgres")]
            Transaction::Postgres(postgres) => postgres.commit().await,
        }
    }
}

/// The lines of a script that are for one database: a line `-- sqlite`, `-- postgres` or `-- both` says for whom the
/// next ones are.
fn section(sql: &str, wanted: &str) -> String {
    let mut ours = true;
    let mut lines = Vec::new();
    for line in sql.lines() {
        match line.trim().strip_prefix("-- ") {
            Some("both") => ours = true,
            Some(only @ ("sqlite" | "postgres")) => ours = only == wanted,
            _ if ours => lines.push(line),
            _ => {}
        }
    }
    lines.join("\n")
}
