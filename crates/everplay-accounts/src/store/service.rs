//! An operator's word on how much of the service there is, for all processes on this store.

use super::{AccountStore, AuditEntry, StoreError, audit};
use crate::sql::args;
use everplay_types::ServiceLevel;

/// What an operator said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceWord {
    /// How much of the service there is.
    pub level: ServiceLevel,
    /// Told to players.
    pub message: String,
    /// When it is expected to be over, in milliseconds since 1970. It does not end by itself.
    pub until: Option<i64>,
}

/// The last that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaidService {
    /// Counts words; a later one has a higher number.
    pub version: i64,
    /// None: nothing, or it was taken back.
    pub word: Option<ServiceWord>,
}

impl AccountStore {
    /// Puts a word in the place of the one before, and the act into the log. Returns its number.
    pub(crate) async fn say_service(
        &self,
        word: Option<&ServiceWord>,
        entry: &AuditEntry,
    ) -> Result<i64, StoreError> {
        let mut change = self.database.begin().await?;
        let sql = "UPDATE service_words SET version = version + 1, level = $1, message = $2, until = $3 \
                   WHERE id = 1 RETURNING version";
        let values = args![
            word.map(|word| word.level.name()),
            word.map_or("", |word| &word.message),
            word.and_then(|word| word.until),
        ];
        let row = change.row(sql, values).await?;
        let row = row.ok_or_else(|| StoreError::Unavailable("the service's row is gone".to_owned()))?;
        let version = row.int(0)?;
        audit::append(&mut change, entry).await?;
        change.commit().await?;
        Ok(version)
    }

    /// What was said last.
    pub async fn said_service(&self) -> Result<SaidService, StoreError> {
        let sql = "SELECT version, level, message, until FROM service_words WHERE id = 1";
        let row = self.database.row(sql, Vec::new()).await?;
        let row = row.ok_or_else(|| StoreError::Unavailable("the service's row is gone".to_owned()))?;
        // A level of a later release is none that this one could keep to.
        let level = row
            .opt_text(1)?
            .and_then(|name| ServiceLevel::ALL.into_iter().find(|level| level.name() == name));
        let word = match level {
            Some(level) => Some(ServiceWord { level, message: row.text(2)?, until: row.opt_int(3)? }),
            None => None,
        };
        Ok(SaidService { version: row.int(0)?, word })
    }
}
