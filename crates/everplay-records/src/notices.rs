//! What is still to be told to somebody: an outbox. A notice is written together with the change it tells of, so that it
//! exists exactly if the change happened, and is taken away when it was delivered.
//!
//! ```text
//! written -> due -> claimed (due again later, in case the claimer dies) -> delivered: removed
//!                      ^                                               '-> failed: due again later, or given up
//!                      '--------------------------------------------------------'
//! ```
//!
//! Whoever delivers may die between delivering and removing: then it is delivered again. Receivers know it by its id.

use crate::port::typed;
use crate::{
    Condition, Item, Key, Paging, Query, RecordStore, StoreError, Table, Write, WriteError, item_of,
};
use everplay_types::CustomerId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// Those that are to be delivered are one partition of an index.
const WAITING: &str = "waiting";
/// Those that were given up are another, for people to look at.
const FAILED: &str = "failed";

/// Something to be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// Unique.
    pub notice_id: String,
    /// Whose.
    pub customer: CustomerId,
    /// By which way it goes, in the words of whoever delivers.
    pub channel: String,
    /// What it says, in their words too.
    pub body: Item,
    /// Milliseconds since 1970.
    pub created_at: u64,
    /// Not before this moment, milliseconds since 1970.
    pub due_at: u64,
    /// Deliveries that were begun.
    pub tries: u32,
    /// Rises with every change, from 1.
    pub version: u64,
    /// Why the last delivery failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Seconds since 1970 after which it is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NoticeList {
    /// In order.
    pub notices: Vec<Notice>,
    /// Ids of those that this release cannot read, and why; they stay where they are.
    pub unreadable: Vec<(String, StoreError)>,
}

/// The notices of a store.
#[derive(Debug, Clone)]
pub struct Notices(Arc<dyn RecordStore>);

impl Notices {
    /// Over this store.
    pub fn new(store: Arc<dyn RecordStore>) -> Self {
        Self(store)
    }

    /// The write that puts a new notice, to be done together with the change it tells of.
    pub fn put(notice: &Notice) -> Write {
        write(notice, WAITING)
    }

    /// Those that are due at this moment, the oldest first. What cannot be read takes no place of those that can.
    pub async fn due(&self, now: u64, limit: u32) -> Result<NoticeList, StoreError> {
        self.list(WAITING, limit, now).await
    }

    /// Those that were given up, the oldest first.
    pub async fn failed(&self, limit: u32) -> Result<NoticeList, StoreError> {
        self.list(FAILED, limit, u64::MAX).await
    }

    /// Takes a notice for delivery: nobody else gets it until `until`. None: somebody else has it, or it is gone.
    pub async fn claim(&self, notice: &Notice, until: u64) -> Result<Option<Notice>, StoreError> {
        let claimed =
            Notice { due_at: until, tries: notice.tries + 1, version: notice.version + 1, ..notice.clone() };
        Ok(self.change(write(&claimed, WAITING)).await?.then_some(claimed))
    }

    /// It was delivered. `notice` is as it was claimed.
    pub async fn done(&self, notice: &Notice) -> Result<(), StoreError> {
        let key = Key::single(notice.notice_id.clone());
        let condition = Condition::Version(notice.version);
        self.change(Write::Delete { table: Table::Notices, key, condition }).await.map(drop)
    }

    /// It was not delivered: again at `due_at`.
    pub async fn later(&self, notice: &Notice, problem: String, due_at: u64) -> Result<(), StoreError> {
        let version = notice.version + 1;
        let later = Notice { due_at, version, problem: Some(problem), ..notice.clone() };
        self.change(write(&later, WAITING)).await.map(drop)
    }

    /// It will not be delivered; kept for people until `expires_at`.
    pub async fn give_up(&self, notice: &Notice, problem: String, expires_at: u64) -> Result<(), StoreError> {
        let version = notice.version + 1;
        let failed =
            Notice { version, problem: Some(problem), expires_at: Some(expires_at), ..notice.clone() };
        self.change(write(&failed, FAILED)).await.map(drop)
    }

    /// Up to `limit` that are due until `until`.
    async fn list(&self, queue: &str, limit: u32, until: u64) -> Result<NoticeList, StoreError> {
        let mut found = NoticeList::default();
        let mut paging = Paging::first(limit);
        loop {
            let query = Query {
                table: Table::Notices,
                index: Some("DueNotices"),
                partition: queue.to_owned(),
                from: None,
                descending: false,
                paging,
            };
            let page = self.0.query(query).await?;
            for item in page.items {
                // The index is in this order, also of what cannot be read.
                if item.get("dueAt").and_then(Value::as_u64).is_some_and(|due_at| due_at > until) {
                    return Ok(found);
                }
                let id = item.get("noticeId").and_then(Value::as_str).unwrap_or_default().to_owned();
                match typed(item) {
                    Ok(notice) => found.notices.push(notice),
                    Err(error) => found.unreadable.push((id, error)),
                }
                if found.notices.len() >= limit as usize {
                    return Ok(found);
                }
            }
            match page.next {
                Some(next) => paging = Paging { limit, after: Some(next) },
                None => return Ok(found),
            }
        }
    }

    /// Whether the condition held.
    async fn change(&self, write: Write) -> Result<bool, StoreError> {
        match self.0.write(vec![write]).await {
            Ok(()) => Ok(true),
            Err(WriteError::Refused { .. }) => Ok(false),
            Err(WriteError::Store(error)) => Err(error),
        }
    }
}

fn write(notice: &Notice, queue: &str) -> Write {
    let mut item = item_of(notice);
    item.insert("queue".into(), queue.into());
    let condition = match notice.version {
        0 | 1 => Condition::Absent,
        version => Condition::Version(version - 1),
    };
    Write::Put { table: Table::Notices, item, condition }
}
