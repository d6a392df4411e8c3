//! The audit log: who did what to whom, in one order, without gaps, never changed.
//!
//! Each entry's hash covers the one before, so whoever keeps a hash can tell whether anything up to it was changed or
//! taken away. The database refuses updates and deletions of entries as well; the chain is for those who can change
//! the database.

use super::{AccountStore, StoreError};
use crate::secret::sha256;
use crate::sql::{Row, Transaction, args};
use everplay_types::CustomerId;
use serde_json::Value;

/// Something to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Whose log.
    pub customer: CustomerId,
    /// Milliseconds since 1970.
    pub at: i64,
    /// `account:...`, `key:...` or `system`.
    pub actor: String,
    /// What was done: `account.ban`, `key.create`.
    pub action: &'static str,
    /// To whom or what.
    pub target: String,
    /// What else matters. No secrets, no personal data: entries outlive accounts.
    pub details: Value,
}

/// Something that was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRecord {
    /// Place in the log, from 1.
    pub seq: i64,
    /// Milliseconds since 1970.
    pub at: i64,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// To whom or what.
    pub target: String,
    /// What else matters, as it was written.
    pub details: String,
    /// SHA-256 over the hash before and this entry.
    pub hash: Vec<u8>,
}

/// The log was changed by somebody other than us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the audit log is broken at entry {seq}")]
pub struct BrokenChain {
    /// The first entry that does not follow from the one before.
    pub seq: i64,
}

fn link(previous: &[u8], record: &AuditRecord) -> Vec<u8> {
    let mut bytes = previous.to_vec();
    bytes.extend_from_slice(&record.seq.to_be_bytes());
    bytes.extend_from_slice(&record.at.to_be_bytes());
    for text in [&record.actor, &record.action, &record.target, &record.details] {
        // With its length: "ab" and "c" are not "a" and "bc".
        bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    sha256(&bytes)
}

pub(super) async fn append(change: &mut Transaction, entry: &AuditEntry) -> Result<(), StoreError> {
    let customer = entry.customer.as_str();
    let sql =
        "INSERT INTO audit_heads (customer, seq, hash) VALUES ($1, 0, $2) ON CONFLICT (customer) DO NOTHING";
    change.execute(sql, args![customer, Vec::new()]).await?;
    // Takes the row's lock: entries of several nodes stand in line here.
    let sql = "UPDATE audit_heads SET seq = seq + 1 WHERE customer = $1 RETURNING seq, hash";
    let head = change.row(sql, args![customer]).await?;
    let head = head.ok_or_else(|| StoreError::Unavailable("the audit log has no head".to_owned()))?;
    let mut record = AuditRecord {
        seq: head.int(0)?,
        at: entry.at,
        actor: entry.actor.clone(),
        action: entry.action.to_owned(),
        target: entry.target.clone(),
        details: entry.details.to_string(),
        hash: Vec::new(),
    };
    record.hash = link(&head.bytes(1)?, &record);
    let sql = "INSERT INTO audit (customer, seq, at, actor, action, target, details, hash) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let values = args![
        customer,
        record.seq,
        record.at,
        &record.actor,
        &record.action,
        &record.target,
        &record.details,
        record.hash.clone(),
    ];
    change.execute(sql, values).await?;
    let sql = "UPDATE audit_heads SET hash = $2 WHERE customer = $1";
    change.execute(sql, args![customer, record.hash]).await.map(drop)
}

impl AccountStore {
    /// Records something that is not part of another change.
    pub async fn audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let mut change = self.database.begin().await?;
        append(&mut change, entry).await?;
        change.commit().await
    }

    /// Up to `limit` entries before `before`, the newest first.
    pub async fn audit_log(
        &self,
        customer: &CustomerId,
        before: i64,
        limit: i64,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let sql = "SELECT seq, at, actor, action, target, details, hash FROM audit \
                   WHERE customer = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3";
        let rows = self.database.query(sql, args![customer.as_str(), before, limit]).await?;
        rows.iter().map(read).collect()
    }

    /// Follows the chain from the first entry to the last. Returns the number of entries and the last hash.
    pub async fn verify_audit(
        &self,
        customer: &CustomerId,
    ) -> Result<Result<(i64, Vec<u8>), BrokenChain>, StoreError> {
        let head = self
            .database
            .row("SELECT seq, hash FROM audit_heads WHERE customer = $1", args![customer.as_str()])
            .await?;
        let (last, head_hash) = match head {
            Some(head) => (head.int(0)?, head.bytes(1)?),
            None => (0, Vec::new()),
        };
        let (mut seq, mut hash) = (0, Vec::new());
        loop {
            let sql = "SELECT seq, at, actor, action, target, details, hash FROM audit \
                       WHERE customer = $1 AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT 1000";
            let rows = self.database.query(sql, args![customer.as_str(), seq, last]).await?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                let record = read(row)?;
                if record.seq != seq + 1 || link(&hash, &record) != record.hash {
                    return Ok(Err(BrokenChain { seq: seq + 1 }));
                }
                (seq, hash) = (record.seq, record.hash);
            }
        }
        // The head tells entries that were cut off at the end.
        Ok(if seq == last && hash == head_hash { Ok((seq, hash)) } else { Err(BrokenChain { seq: seq + 1 }) })
    }
}

fn read(row: &Row) -> Result<AuditRecord, StoreError> {
    Ok(AuditRecord {
        seq: row.int(0)?,
        at: row.int(1)?,
        actor: row.text(2)?,
        action: row.text(3)?,
        target: row.text(4)?,
        details: row.text(5)?,
        hash: row.bytes(6)?,
    })
}
