//! PostgreSQL through a small pool.

use super::{Row, SqlError, Value};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Row as _, TypeInfo, ValueRef};
use std::str::FromStr;
use std::time::Duration;

/// Key of the advisory lock under which the schema is changed: any number, the same in every release.
const MIGRATION_LOCK: i64 = 0x6576_6163_636f_756e;

/// Connections of one node. Statements take well below a millisecond, so eight serve thousands a second.
const CONNECTIONS: u32 = 8;

/// What a statement ends with after `statement_timeout`.
const QUERY_CANCELED: &str = "57014";

/// Why PostgreSQL cannot be the account store. No message holds the URL.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// Not a URL of PostgreSQL.
    #[error("the URL is not of the form postgres://user:password@host:port/database")]
    Url,
    /// It does not answer, or refuses us.
    #[error("no connection: {0}")]
    Refused(#[source] sqlx::Error),
}

#[derive(Debug, Clone)]
pub(crate) struct Postgres(PgPool);

impl Postgres {
    pub(super) async fn open(url: &str) -> Result<Self, PostgresError> {
        let options = PgConnectOptions::from_str(url).map_err(|_| PostgresError::Url)?;
        let options = options
            .application_name("everplay-accounts")
            .options([
                ("search_path", "everplay"),
                ("statement_timeout", "5000"),
                ("idle_in_transaction_session_timeout", "10000"),
            ])
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(Duration::from_secs(3))
            .connect_with(options)
            .await
            .map_err(PostgresError::Refused)?;
        Ok(Postgres(pool))
    }

    pub(super) async fn migrate(&self, steps: &[&'static str]) -> Result<(), SqlError> {
        let mut all = self.begin().await?;
        all.query("SELECT 1::BIGINT FROM pg_advisory_xact_lock($1)", vec![MIGRATION_LOCK.into()]).await?;
        all.run("CREATE SCHEMA IF NOT EXISTS everplay").await?;
        all.run("CREATE TABLE IF NOT EXISTS accounts_migrations (version BIGINT PRIMARY KEY)").await?;
        let done = all.query("SELECT COALESCE(MAX(version), 0) FROM accounts_migrations", Vec::new()).await?;
        let done = done.first().map_or(Ok(0), |row| row.int(0))?;
        for (version, step) in (1..).zip(steps) {
            if version > done {
                all.script(step).await?;
                let insert = "INSERT INTO accounts_migrations (version) VALUES ($1)";
                all.execute(insert, vec![i64::into(version)]).await?;
            }
        }
        all.commit().await
    }

    pub(super) async fn query(&self, sql: &'static str, args: Vec<Value>) -> Result<Vec<Row>, SqlError> {
        let rows = bound(sql, args).fetch_all(&self.0).await.map_err(|error| self.explain(error))?;
        rows.iter().map(row).collect()
    }

    pub(super) async fn begin(&self) -> Result<Transaction, SqlError> {
        Ok(Transaction(self.0.begin().await.map_err(|error| self.explain(error))?))
    }

    /// A pool that waited in vain had all its connections in use, or could not make one.
    fn explain(&self, error: sqlx::Error) -> SqlError {
        let all_in_use = self.0.size() >= CONNECTIONS && self.0.num_idle() == 0;
        match error {
            sqlx::Error::PoolTimedOut if all_in_use => SqlError::Exhausted,
            error => explain(error),
        }
    }
}

pub(crate) struct Transaction(sqlx::Transaction<'static, sqlx::Postgres>);

impl Transaction {
    pub(super) async fn query(&mut self, sql: &'static str, args: Vec<Value>) -> Result<Vec<Row>, SqlError> {
        let rows = bound(sql, args).fetch_all(&mut *self.0).await.map_err(explain)?;
        rows.iter().map(row).collect()
    }

    pub(super) async fn execute(&mut self, sql: &'static str, args: Vec<Value>) -> Result<u64, SqlError> {
        Ok(bound(sql, args).execute(&mut *self.0).await.map_err(explain)?.rows_affected())
    }

    pub(super) async fn script(&mut self, sql: &'static str) -> Result<(), SqlError> {
        let sql = super::section(sql, "postgres");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *self.0).await.map_err(explain)?;
        Ok(())
    }

    async fn run(&mut self, sql: &'static str) -> Result<(), SqlError> {
        sqlx::raw_sql(sql).execute(&mut *self.0).await.map_err(explain)?;
        Ok(())
    }

    pub(super) async fn commit(self) -> Result<(), SqlError> {
        self.0.commit().await.map_err(explain)
    }
}

fn bound(sql: &'static str, args: Vec<Value>) -> sqlx::query::Query<'static, sqlx::Postgres, PgArguments> {
    args.into_iter().fold(sqlx::query(sql), |query, value| match value {
        // PostgreSQL has no texts with U+0000. Nothing is kept under one, so a stranger's finds nothing, as on SQLite.
        Value::Text(text) => query.bind(text.map(|text| text.replace('\0', "\u{fffd}"))),
        Value::Int(number) => query.bind(number),
        Value::Bytes(bytes) => query.bind(bytes),
        Value::Flag(flag) => query.bind(flag),
    })
}

fn row(row: &PgRow) -> Result<Row, SqlError> {
    let values = (0..row.len()).map(|at| {
        let kind = row.try_get_raw(at).map_err(explain)?.type_info().name().to_owned();
        Ok(match kind.as_str() {
            "INT8" => Value::Int(row.try_get(at).map_err(explain)?),
            "BYTEA" => Value::Bytes(row.try_get(at).map_err(explain)?),
            "BOOL" => Value::Flag(row.try_get(at).map_err(explain)?),
            _ => Value::Text(row.try_get(at).map_err(explain)?),
        })
    });
    Ok(Row(values.collect::<Result<_, SqlError>>()?))
}

fn explain(error: sqlx::Error) -> SqlError {
    match error.as_database_error() {
        Some(cause) if cause.is_unique_violation() => SqlError::Taken,
        Some(cause) if cause.code().as_deref() == Some(QUERY_CANCELED) => SqlError::TimedOut,
        _ => SqlError::Unavailable(error.to_string()),
    }
}
