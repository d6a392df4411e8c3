//! What an error of PostgreSQL means to a caller.

use crate::{Item, StoreError, WriteError};
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// Why a call came to nothing.
#[derive(Debug)]
pub(super) enum Stop {
    /// A condition does not hold.
    Refused { at: usize, found: Option<Item> },
    /// What was asked or found makes no sense.
    Wrong(StoreError),
    /// Another transaction put a record where this one saw none. Nothing was written.
    Overtaken,
    /// Before the server was asked to commit: nothing was written.
    Before(sqlx::Error),
    /// While it was to commit.
    Committing(sqlx::Error),
    /// No answer in time, at whatever stage.
    Silent,
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Stop::Before(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Stop::Wrong(error)
    }
}

impl Stop {
    /// Whether the connection is worth keeping. One that only reads has become a standby's: the next one may find who
    /// took over.
    pub(super) fn is_clean(&self) -> bool {
        match self {
            Stop::Refused { .. } | Stop::Wrong(_) | Stop::Overtaken => true,
            Stop::Before(error) | Stop::Committing(error) => {
                said(error).is_some_and(|said| !is_last_word(said) && said.code() != "25006")
            }
            Stop::Silent => false,
        }
    }

    /// For a call that reads: it may simply be repeated.
    pub(super) fn of_read(self) -> StoreError {
        match self {
            Stop::Wrong(error) => error,
            Stop::Before(error) | Stop::Committing(error) => nothing_done(&error),
            Stop::Silent => StoreError::Unavailable("it did not answer in time".to_owned()),
            Stop::Overtaken | Stop::Refused { .. } => StoreError::Throttled,
        }
    }

    pub(super) fn of_write(self) -> WriteError {
        let store = match self {
            Stop::Refused { at, found } => return WriteError::Refused { at, found: found.map(Box::new) },
            Stop::Committing(error) => match said(&error) {
                // It took the transaction back. When it ends the connection it may have committed before.
                Some(said) if !is_last_word(said) => nothing_done(&error),
                _ => StoreError::Unknown(error.to_string()),
            },
            Stop::Silent => StoreError::Unknown("it did not answer in time".to_owned()),
            other => other.of_read(),
        };
        WriteError::Store(store)
    }
}

fn said(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error().and_then(|error| error.try_downcast_ref())
}

/// The server ends the connection with it.
fn is_last_word(said: &PgDatabaseError) -> bool {
    matches!(said.severity(), PgSeverity::Fatal | PgSeverity::Panic)
}

/// Of an error after which nothing is written.
pub(super) fn nothing_done(error: &sqlx::Error) -> StoreError {
    if matches!(error, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) {
        return StoreError::Unreadable(error.to_string());
    }
    let Some(said) = said(error) else { return StoreError::Unavailable(error.to_string()) };
    match said.code() {
        // Held by others: serialisation, deadlock, no lock in time, no answer in time. Full: connections, locks.
        "40001" | "40P01" | "55P03" | "57014" | "53200" | "53300" | "53400" => StoreError::Throttled,
        // More than an index holds, and what no column takes.
        code if code.starts_with("54") || code.starts_with("22") => StoreError::Invalid(error.to_string()),
        // Disk full, tables or rights missing, a standby, going down: somebody has to do something, or to wait.
        _ => StoreError::Unavailable(error.to_string()),
    }
}
