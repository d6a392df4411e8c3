//! The account store: rows in, rows out, and the few decisions that only a database can make.
//!
//! Which races it decides, each by one statement that names what it expects: an address or a name belongs to one
//! account; an account changes from the version that was read; a refresh token is used once; a code is taken once; a
//! step of a second factor counts once; the audit log has one order.
//!
//! Every key and row begins with the customer, but for the one row about the service itself.

mod audit;
mod factors;
mod keys;
mod logins;
mod service;
mod users;

pub use audit::{AuditEntry, AuditRecord, BrokenChain};
pub(crate) use factors::Code;
pub use keys::ApiKey;
pub use logins::Login;
pub(crate) use logins::Rotation;
pub use service::{SaidService, ServiceWord};
pub(crate) use users::Replaced;
pub use users::{LinkedIdentity, User};

#[cfg(feature = "postgres")]
use crate::sql::PostgresError;
use crate::sql::{Database, SqlError};
use std::path::Path;

/// Why the store did not do what it was asked.
pub type StoreError = SqlError;

/// Steps of the schema; one is only ever added at the end. Old and new releases run side by side during an update, so a
/// step adds, and what it makes unused is removed by a step of a later release.
const SCHEMA: &[&str] =
    &[include_str!("schema.sql"), include_str!("schema_2_revoked.sql"), include_str!("schema_3_service.sql")];

/// The account store on SQLite or PostgreSQL. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AccountStore {
    database: Database,
}

impl AccountStore {
    /// On a file of SQLite, made when it is not there. One process at a time.
    pub async fn sqlite(path: &Path) -> Result<Self, StoreError> {
        Self::on(Database::sqlite(path)?).await
    }

    /// In memory: gone with the process.
    pub async fn memory() -> Result<Self, StoreError> {
        Self::on(Database::memory()?).await
    }

    #[cfg(feature = "postgres")]
    /// On PostgreSQL, in the schema `everplay`; any number of processes.
    pub async fn postgres(url: &str) -> Result<Self, OpenError> {
        Ok(Self::on(Database::postgres(url).await?).await?)
    }

    async fn on(database: Database) -> Result<Self, StoreError> {
        database.migrate(SCHEMA).await?;
        Ok(Self { database })
    }

    /// Whether other processes may change it.
    pub(crate) fn is_shared(&self) -> bool {
        self.database.is_shared()
    }

    /// Forgets what has expired. Cheap; called from time to time.
    pub(crate) async fn sweep(&self, now: i64) -> Result<(), StoreError> {
        let mut sweep = self.database.begin().await?;
        for sql in [
            "DELETE FROM codes WHERE expires_at <= $1",
            "DELETE FROM refresh_tokens WHERE expires_at <= $1",
            "DELETE FROM logins WHERE expires_at <= $1",
        ] {
            sweep.execute(sql, crate::sql::args![now]).await?;
        }
        sweep.commit().await
    }
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[cfg(feature = "postgres")]
    /// PostgreSQL cannot be reached.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// The schema cannot be made.
    #[error(transparent)]
    Store(#[from] StoreError),
}
