//! Codes that are used once, and second factors.

use super::{AccountStore, AuditEntry, StoreError};
use crate::sql::args;
use everplay_types::CustomerId;

/// A code that was sent somewhere and comes back once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) purpose: &'static str,
    pub(crate) user: String,
    /// What it is about, as whoever made it wrote it.
    pub(crate) payload: String,
    pub(crate) expires_at: i64,
}

/// An authenticator of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Factor {
    /// Sealed.
    pub(crate) seed: Vec<u8>,
    /// Whether its owner showed a code of it.
    pub(crate) confirmed: bool,
    /// The newest step of which a code was used.
    pub(crate) last_step: i64,
}

impl AccountStore {
    pub(crate) async fn put_code(
        &self,
        customer: &CustomerId,
        hash: &[u8],
        code: &Code,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO codes (customer, code_hash, purpose, user_id, payload, expires_at) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let values =
            args![customer.as_str(), hash.to_vec(), code.purpose, &code.user, &code.payload, code.expires_at];
        self.database.execute(sql, values).await.map(drop)
    }

    /// Looks at a code without using it.
    pub(crate) async fn code(
        &self,
        customer: &CustomerId,
        hash: &[u8],
        purpose: &'static str,
        now: i64,
    ) -> Result<Option<Code>, StoreError> {
        let sql = "SELECT user_id, payload, expires_at FROM codes \
                   WHERE customer = $1 AND code_hash = $2 AND purpose = $3 AND expires_at > $4";
        let row = self.database.row(sql, args![customer.as_str(), hash.to_vec(), purpose, now]).await?;
        row.map(|row| {
            Ok(Code { purpose, user: row.text(0)?, payload: row.text(1)?, expires_at: row.int(2)? })
        })
        .transpose()
    }

    /// Uses a code: of any number of callers one gets it.
    pub(crate) async fn take_code(
        &self,
        customer: &CustomerId,
        hash: &[u8],
        purpose: &'static str,
        now: i64,
    ) -> Result<Option<Code>, StoreError> {
        let mut change = self.database.begin().await?;
        let sql = "DELETE FROM codes WHERE customer = $1 AND code_hash = $2 AND purpose = $3 \
                   RETURNING user_id, payload, expires_at";
        let row = change.row(sql, args![customer.as_str(), hash.to_vec(), purpose]).await?;
        change.commit().await?;
        let code = row.map(|row| {
            Ok(Code { purpose, user: row.text(0)?, payload: row.text(1)?, expires_at: row.int(2)? })
        });
        Ok(code.transpose()?.filter(|code: &Code| now < code.expires_at))
    }

    /// Forgets an account's codes of one purpose: a newer one was sent, or they became void.
    pub(crate) async fn drop_codes(
        &self,
        customer: &CustomerId,
        user: &str,
        purpose: &'static str,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM codes WHERE customer = $1 AND user_id = $2 AND purpose = $3";
        self.database.execute(sql, args![customer.as_str(), user, purpose]).await.map(drop)
    }

    pub(crate) async fn factor(
        &self,
        customer: &CustomerId,
        user: &str,
    ) -> Result<Option<Factor>, StoreError> {
        let sql = "SELECT seed, confirmed, last_step FROM factors WHERE customer = $1 AND user_id = $2";
        let row = self.database.row(sql, args![customer.as_str(), user]).await?;
        row.map(|row| Ok(Factor { seed: row.bytes(0)?, confirmed: row.flag(1)?, last_step: row.int(2)? }))
            .transpose()
    }

    /// Begins an authenticator, in the place of one that was never confirmed. False: a confirmed one is there.
    pub(crate) async fn begin_factor(
        &self,
        customer: &CustomerId,
        user: &str,
        seed: &[u8],
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO factors (customer, user_id, seed, confirmed, last_step) VALUES ($1, $2, $3, $4, 0) \
                   ON CONFLICT (customer, user_id) DO UPDATE SET seed = excluded.seed, last_step = 0 \
                   WHERE NOT factors.confirmed";
        Ok(self.database.execute(sql, args![customer.as_str(), user, seed.to_vec(), false]).await? == 1)
    }

    /// Counts a step as used, if it is newer than the newest; of any number of callers one succeeds.
    pub(crate) async fn use_step(
        &self,
        customer: &CustomerId,
        user: &str,
        step: i64,
        confirmed: bool,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE factors SET last_step = $3, confirmed = confirmed OR $4 \
                   WHERE customer = $1 AND user_id = $2 AND last_step < $3 AND (confirmed OR $4)";
        Ok(self.database.execute(sql, args![customer.as_str(), user, step, confirmed]).await? == 1)
    }

    /// Removes the authenticator and its recovery codes; with its entry in the audit log, if there is one.
    pub(crate) async fn drop_factor(
        &self,
        customer: &CustomerId,
        user: &str,
        audit: Option<&AuditEntry>,
    ) -> Result<(), StoreError> {
        let mut change = self.database.begin().await?;
        let sql = "DELETE FROM recovery_codes WHERE customer = $1 AND user_id = $2";
        change.execute(sql, args![customer.as_str(), user]).await?;
        let sql = "DELETE FROM factors WHERE customer = $1 AND user_id = $2";
        change.execute(sql, args![customer.as_str(), user]).await?;
        if let Some(entry) = audit {
            super::audit::append(&mut change, entry).await?;
        }
        change.commit().await
    }

    /// Puts new recovery codes in the place of all old ones.
    pub(crate) async fn put_recovery_codes(
        &self,
        customer: &CustomerId,
        user: &str,
        hashes: &[Vec<u8>],
    ) -> Result<(), StoreError> {
        let mut change = self.database.begin().await?;
        let sql = "DELETE FROM recovery_codes WHERE customer = $1 AND user_id = $2";
        change.execute(sql, args![customer.as_str(), user]).await?;
        for hash in hashes {
            let sql = "INSERT INTO recovery_codes (customer, user_id, code_hash) VALUES ($1, $2, $3)";
            change.execute(sql, args![customer.as_str(), user, hash.clone()]).await?;
        }
        change.commit().await
    }

    /// Uses a recovery code: of any number of callers one succeeds.
    pub(crate) async fn take_recovery_code(
        &self,
        customer: &CustomerId,
        user: &str,
        hash: &[u8],
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM recovery_codes WHERE customer = $1 AND user_id = $2 AND code_hash = $3";
        Ok(self.database.execute(sql, args![customer.as_str(), user, hash.to_vec()]).await? == 1)
    }

    pub(crate) async fn count_recovery_codes(
        &self,
        customer: &CustomerId,
        user: &str,
    ) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) FROM recovery_codes WHERE customer = $1 AND user_id = $2";
        let row = self.database.row(sql, args![customer.as_str(), user]).await?;
        row.map_or(Ok(0), |row| row.int(0))
    }
}
