//! Keys of servers, and the keys tokens are signed with.

use super::{AccountStore, AuditEntry, StoreError};
use crate::access::Permission;
use crate::sql::{Row, args};
use crate::token::StoredKey;
use everplay_types::CustomerId;

/// A server's key, without its secret. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Names it; not secret.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Permission>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: i64,
    /// When it ends by itself.
    pub expires_at: Option<i64>,
    /// When it was ended.
    pub revoked_at: Option<i64>,
    /// How often it was presented, as of a few seconds ago.
    pub uses: i64,
    /// When it was presented last.
    pub last_used: Option<i64>,
}

/// A server's key with what its secret is checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredApiKey {
    pub(crate) key: ApiKey,
    pub(crate) secret: Vec<u8>,
    /// The secret before the last rotation, and until when it is good.
    pub(crate) previous: Option<(Vec<u8>, i64)>,
}

impl StoredApiKey {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let previous = row.opt_bytes(10)?.zip(row.opt_int(11)?);
        Ok(StoredApiKey {
            key: ApiKey {
                id: row.text(0)?,
                name: row.text(1)?,
                scopes: row.text(2)?.split(' ').filter_map(|scope| scope.parse().ok()).collect(),
                created_by: row.text(3)?,
                created_at: row.int(4)?,
                expires_at: row.opt_int(5)?,
                revoked_at: row.opt_int(6)?,
                uses: row.int(7)?,
                last_used: row.opt_int(8)?,
            },
            secret: row.bytes(9)?,
            previous,
        })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT key_id, name, scopes, created_by, created_at, expires_at, revoked_at, uses, last_used, secret_hash, \
             previous_hash, previous_until FROM api_keys WHERE ",
            $rest
        )
    };
}

impl AccountStore {
    pub(crate) async fn insert_api_key(
        &self,
        customer: &CustomerId,
        key: &ApiKey,
        secret: &[u8],
        audit: &AuditEntry,
    ) -> Result<(), StoreError> {
        let mut change = self.database.begin().await?;
        let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.name()).collect();
        let sql = "INSERT INTO api_keys (customer, key_id, name, secret_hash, scopes, created_by, created_at, expires_at, \
                   uses) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0)";
        let values = args![
            customer.as_str(),
            &key.id,
            &key.name,
            secret.to_vec(),
            scopes.join(" "),
            &key.created_by,
            key.created_at,
            key.expires_at,
        ];
        change.execute(sql, values).await?;
        super::audit::append(&mut change, audit).await?;
        change.commit().await
    }

    pub(crate) async fn api_key(
        &self,
        customer: &CustomerId,
        id: &str,
    ) -> Result<Option<StoredApiKey>, StoreError> {
        let row = self.database.row(select!("customer = $1 AND key_id = $2"), args![customer.as_str(), id]);
        row.await?.map(|row| StoredApiKey::read(&row)).transpose()
    }

    pub(crate) async fn api_keys(&self, customer: &CustomerId) -> Result<Vec<ApiKey>, StoreError> {
        let sql = select!("customer = $1 ORDER BY created_at DESC, key_id LIMIT 500");
        let rows = self.database.query(sql, args![customer.as_str()]).await?;
        rows.iter().map(|row| StoredApiKey::read(row).map(|stored| stored.key)).collect()
    }

    /// A new secret; the present one is good until `previous_until`. False: no such key, or it was revoked.
    pub(crate) async fn rotate_api_key(
        &self,
        customer: &CustomerId,
        id: &str,
        secret: &[u8],
        previous_until: i64,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut change = self.database.begin().await?;
        let sql = "UPDATE api_keys SET previous_hash = secret_hash, previous_until = $4, secret_hash = $3 \
                   WHERE customer = $1 AND key_id = $2 AND revoked_at IS NULL";
        if change.execute(sql, args![customer.as_str(), id, secret.to_vec(), previous_until]).await? == 0 {
            return Ok(false);
        }
        super::audit::append(&mut change, audit).await?;
        change.commit().await?;
        Ok(true)
    }

    /// Ends a key. False: no such key, or it was revoked before.
    pub(crate) async fn revoke_api_key(
        &self,
        customer: &CustomerId,
        id: &str,
        now: i64,
        audit: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut change = self.database.begin().await?;
        let sql =
            "UPDATE api_keys SET revoked_at = $3 WHERE customer = $1 AND key_id = $2 AND revoked_at IS NULL";
        if change.execute(sql, args![customer.as_str(), id, now]).await? == 0 {
            return Ok(false);
        }
        super::audit::append(&mut change, audit).await?;
        change.commit().await?;
        Ok(true)
    }

    /// Adds uses that were counted in memory.
    pub(crate) async fn count_uses(
        &self,
        uses: impl IntoIterator<Item = (CustomerId, String, i64, i64)>,
    ) -> Result<(), StoreError> {
        let mut change = self.database.begin().await?;
        for (customer, id, count, last) in uses {
            let sql =
                "UPDATE api_keys SET uses = uses + $3, last_used = $4 WHERE customer = $1 AND key_id = $2";
            change.execute(sql, args![customer.as_str(), &id, count, last]).await?;
        }
        change.commit().await
    }

    pub(crate) async fn signing_keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        let sql = "SELECT key_id, private_key, public_key, created_at FROM signing_keys ORDER BY created_at";
        let rows = self.database.query(sql, Vec::new()).await?;
        let read = |row: &Row| {
            Ok(StoredKey {
                id: row.text(0)?,
                private: row.bytes(1)?,
                public: row.bytes(2)?,
                created_at: row.int(3)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Adds a key and forgets those made before `forget`.
    pub(crate) async fn add_signing_key(&self, key: &StoredKey, forget: i64) -> Result<(), StoreError> {
        let mut change = self.database.begin().await?;
        let sql =
            "INSERT INTO signing_keys (key_id, private_key, public_key, created_at) VALUES ($1, $2, $3, $4)";
        change.execute(sql, args![&key.id, key.private.clone(), key.public.clone(), key.created_at]).await?;
        change.execute("DELETE FROM signing_keys WHERE created_at < $1", args![forget]).await?;
        change.commit().await
    }
}
