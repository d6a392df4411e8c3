//! Who is connected to a waiting line, in the shape of the table `TicTacToeUsers` that earlier tools read.
//!
//! Who waits longest comes first: the index `statusIndex` is sorted by `joinedAt`, a text that sorts like the time it
//! says. The rules of the line are not here; they change several records at once through [`Line::change`], each under
//! its version, so two that act at the same moment cannot both win.
//!
//! What rooms tell is followed through [`Line::follow`]: beside the records the table has one item for each room, with the
//! number of the last event that was followed, written with the last of its records. It is in no index.

use crate::port::typed;
use crate::{
    Condition, Item, Key, MAX_PAGE, MAX_WRITES, Page, Paging, Query, RecordStore, StoreError, Table, Write,
    WriteError, item_of,
};
use everplay_types::CustomerId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;

/// Begins the key of a room's mark, after the customer. No connection is called so.
const MARK: &str = "room/";
/// A room's events are told again for as long as somebody has not taken them.
const MARK_KEPT_S: u64 = 30 * 86_400;

/// Whether somebody plays or waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineStatus {
    /// Has a seat.
    Active,
    /// Waits.
    Inactive,
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LineRecord {
    /// Unique within the customer.
    pub connection_id: String,
    /// Stays the same over reconnects.
    pub session_id: String,
    /// As shown, once it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Plays or waits.
    pub status: LineStatus,
    /// The seat's mark; none while waiting.
    pub marker: Option<String>,
    /// Since when, in milliseconds since 1970; stored as ISO 8601 in UTC.
    #[serde(with = "iso")]
    pub joined_at: u64,
    /// Which line; several may share the table.
    #[serde(default)]
    pub line: String,
    /// The room that runs it; empty in records of earlier releases.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub room: String,
    /// Rises with every change.
    pub version: u64,
    /// Seconds since 1970 after which it is gone although nobody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// What a room tells about its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineChange {
    /// The room.
    pub room: String,
    /// Number of the event that tells it; rises within a room.
    pub number: u64,
    /// When, in seconds since 1970.
    pub date: u64,
    /// Records as they shall be, whatever they were; their versions are not looked at.
    pub put: Vec<LineRecord>,
    /// Connections whose records go.
    pub removed: Vec<String>,
    /// `put` is everybody: other records of the room go, too.
    pub whole: bool,
}

/// The line's records of a store.
#[derive(Debug, Clone)]
pub struct Line(Arc<dyn RecordStore>);

impl LineStatus {
    fn text(self) -> &'static str {
        match self {
            LineStatus::Active => "active",
            LineStatus::Inactive => "inactive",
        }
    }
}

impl Line {
    /// Over this store.
    pub fn new(store: Arc<dyn RecordStore>) -> Self {
        Self(store)
    }

    /// One record.
    pub async fn get(
        &self,
        customer: &CustomerId,
        connection: &str,
    ) -> Result<Option<LineRecord>, StoreError> {
        let key = Key::single(format!("{customer}/{connection}"));
        let item = self.0.get(Table::Line, key).await?;
        // The mark of a room is no record.
        item.filter(|item| item.contains_key("status")).map(from_item).transpose()
    }

    /// Changes records as a room tells, unless this or something later of the room was followed already: then nothing
    /// happens. At most 98 records change at once; where more do, the rest follows, and a call that broke off between
    /// them is to be repeated. Errors: [`WriteError::Refused`] when a record changed meanwhile; a repeated call settles it.
    pub async fn follow(&self, customer: &CustomerId, mut change: LineChange) -> Result<(), WriteError> {
        let mark = Key::single(format!("{customer}/{MARK}{}", change.room));
        let known = self.0.get(Table::Line, mark.clone()).await?;
        if known.and_then(|item| item.get("version")?.as_u64()).is_some_and(|known| known >= change.number) {
            return Ok(());
        }
        if change.whole {
            let gone = self.others_of(customer, &change).await?;
            change.removed.extend(gone);
        }
        let mut writes = Vec::new();
        for mut record in change.put {
            let known = self.get(customer, &record.connection_id).await?;
            record.version = known.map_or(1, |known| known.version + 1);
            writes.push(put(customer, &record));
        }
        for connection in change.removed.into_iter().collect::<HashSet<_>>() {
            if let Some(known) = self.get(customer, &connection).await? {
                writes.push(removal(customer, &connection, known.version));
            }
        }
        let condition = Condition::OlderThan(change.number);
        let mut item = Item::new();
        item.insert("connectionId".into(), mark.partition.clone().into());
        item.insert("customer".into(), customer.as_str().into());
        item.insert("version".into(), change.number.into());
        item.insert(crate::tables::EXPIRY.into(), (change.date + MARK_KEPT_S).into());
        // Beside each part stands the mark, so that none is written after something later.
        let parts = writes.len().div_ceil(MAX_WRITES - 1).max(1);
        let mut writes = writes.into_iter();
        for part in 1..=parts {
            let mut call: Vec<Write> = writes.by_ref().take(MAX_WRITES - 1).collect();
            call.push(if part < parts {
                Write::Check { table: Table::Line, key: mark.clone(), condition }
            } else {
                Write::Put { table: Table::Line, item: item.clone(), condition }
            });
            self.0.write(call).await?;
        }
        Ok(())
    }

    /// Connections with a record of the change's room that it does not put.
    async fn others_of(&self, customer: &CustomerId, change: &LineChange) -> Result<Vec<String>, StoreError> {
        let here: HashSet<&str> = change.put.iter().map(|record| record.connection_id.as_str()).collect();
        let mut others = Vec::new();
        for status in [LineStatus::Active, LineStatus::Inactive] {
            let mut after = None;
            loop {
                let page = self.of_status(customer, status, Paging { limit: MAX_PAGE, after }).await?;
                let of_room = page.items.into_iter().filter(|record| record.room == change.room);
                let gone = of_room.filter(|record| !here.contains(record.connection_id.as_str()));
                others.extend(gone.map(|record| record.connection_id));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(others)
    }

    /// Those who play, or those who wait; longest first.
    pub async fn of_status(
        &self,
        customer: &CustomerId,
        status: LineStatus,
        paging: Paging,
    ) -> Result<Page<LineRecord>, StoreError> {
        let partition = format!("{customer}/{}", status.text());
        let query = Query {
            table: Table::Line,
            index: Some("statusIndex"),
            partition,
            from: None,
            descending: false,
            paging,
        };
        self.0.query(query).await?.try_map(from_item)
    }

    /// Changes records together, or none. `put`: as they shall be, each with a version one above the one it replaces,
    /// or 1 for a new one; `remove`: with the version they have. Refused with the place in `put`, then `remove`.
    pub async fn change(
        &self,
        customer: &CustomerId,
        put: &[LineRecord],
        remove: &[(String, u64)],
    ) -> Result<(), WriteError> {
        let puts = put.iter().map(|record| self::put(customer, record));
        let removes = remove.iter().map(|(connection, version)| removal(customer, connection, *version));
        self.0.write(puts.chain(removes).collect()).await
    }
}

fn put(customer: &CustomerId, record: &LineRecord) -> Write {
    Write::Put {
        table: Table::Line,
        item: to_item(customer, record),
        condition: match record.version {
            0 | 1 => Condition::Absent,
            version => Condition::Version(version - 1),
        },
    }
}

fn removal(customer: &CustomerId, connection: &str, version: u64) -> Write {
    Write::Delete {
        table: Table::Line,
        key: Key::single(format!("{customer}/{connection}")),
        condition: Condition::Version(version),
    }
}

fn to_item(customer: &CustomerId, record: &LineRecord) -> Item {
    let mut item = item_of(record);
    item.insert("connectionId".into(), format!("{customer}/{}", record.connection_id).into());
    item.insert("status".into(), format!("{customer}/{}", record.status.text()).into());
    item.insert("customer".into(), customer.as_str().into());
    item
}

fn from_item(mut item: Item) -> Result<LineRecord, StoreError> {
    for name in ["connectionId", "status"] {
        if let Some(Value::String(text)) = item.get_mut(name)
            && let Some((_, bare)) = text.split_once('/')
        {
            *text = bare.to_owned();
        }
    }
    typed(item)
}

/// Milliseconds since 1970 as `2026-11-21T08:00:00.000Z`: texts that sort as the times do.
mod iso {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(ms: &u64, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&text(*ms))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        parse(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is no time")))
    }

    /// Gregorian, by counting days from the first of March of the year 0, so that leap days come last.
    pub(super) fn text(ms: u64) -> String {
        let (days, rest) = (ms / 86_400_000, ms % 86_400_000);
        let shifted = days + 719_468;
        let (era, day) = (shifted / 146_097, shifted % 146_097);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let march = (5 * day + 2) / 153;
        let (day, month) = (day - (153 * march + 2) / 5 + 1, if march < 10 { march + 3 } else { march - 9 });
        let year = year + era * 400 + u64::from(month <= 2);
        let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", rest % 1000)
    }

    pub(super) fn parse(text: &str) -> Option<u64> {
        let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u64>().ok();
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        let (year, march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * march + 2) / 5 + day - 1;
        let seconds = number(11..13)? * 3600 + number(14..16)? * 60 + number(17..19)?;
        let ms = match text.as_bytes().get(19) {
            Some(b'.') => number(20..23)?,
            _ => 0,
        };
        Some((days.checked_sub(719_468)? * 86_400 + seconds) * 1000 + ms)
    }
}

#[cfg(test)]
mod tests {
    use super::iso;

    #[test]
    fn times_are_written_as_the_world_writes_them() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_248_000_123, "2026-11-21T08:00:00.123Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
        ] {
            assert_eq!(iso::text(ms), text);
            assert_eq!(iso::parse(text), Some(ms));
        }
        assert_eq!(iso::parse("2026-11-21T08:00:00Z"), Some(1_795_248_000_000));
        for wrong in ["", "yesterday", "2026-13-01T00:00:00Z", "1969-12-31T00:00:00Z"] {
            assert_eq!(iso::parse(wrong), None);
        }
    }
}
