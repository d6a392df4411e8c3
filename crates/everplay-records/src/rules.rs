//! What every adapter decides the same way: keys of items, bounds, conditions, expiry.

use crate::cursor::Position;
use crate::tables::EXPIRY;
use crate::{Attribute, Condition, Cursor, Item, Key, Query, Sort, StoreError, Table, Write};
use serde_json::Value;

/// Writes of one call. DynamoDB takes 100 in a transaction.
pub const MAX_WRITES: usize = 100;
/// Bytes of one item as JSON. DynamoDB takes 400 KB; its way of counting differs a little from ours.
pub const MAX_ITEM_BYTES: usize = 350 << 10;
/// Bytes of all items of one call. DynamoDB takes 4 MB.
pub(crate) const MAX_CALL_BYTES: usize = 3 << 20;
/// Bytes of a partition's value. DynamoDB takes 2,048.
pub(crate) const MAX_PARTITION_BYTES: usize = 1024;
/// Items of a page.
pub const MAX_PAGE: u32 = 1000;

fn invalid<T>(why: impl Into<String>) -> Result<T, StoreError> {
    Err(StoreError::Invalid(why.into()))
}

/// The second part of a key in stores whose tables all have a column for it.
pub(crate) fn sort_of(key: &Key) -> i64 {
    match key.sort {
        Sort::None => 0,
        Sort::Number(number) => number,
    }
}

/// An item of a store that keeps it as text.
pub(crate) fn item_from(text: &str) -> Result<Item, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Unreadable(error.to_string()))
}

/// The key that an item holds in its attributes.
pub(crate) fn key_of(table: Table, item: &Item) -> Result<Key, StoreError> {
    let spec = table.spec();
    let Some(partition) = item.get(spec.partition.name()).and_then(Value::as_str) else {
        return invalid(format!("an item of {} has no {}", spec.name, spec.partition.name()));
    };
    let sort = match spec.sort {
        None => Sort::None,
        Some(attribute) => match item.get(attribute.name()).and_then(Value::as_i64) {
            Some(number) => Sort::Number(number),
            None => return invalid(format!("an item of {} has no {}", spec.name, attribute.name())),
        },
    };
    let key = Key { partition: partition.to_owned(), sort };
    check_key(table, &key)?;
    Ok(key)
}

pub(crate) fn check_key(table: Table, key: &Key) -> Result<(), StoreError> {
    let spec = table.spec();
    if key.partition.is_empty() || key.partition.len() > MAX_PARTITION_BYTES {
        return invalid(format!(
            "{} of {} has 1 to {MAX_PARTITION_BYTES} bytes",
            spec.partition.name(),
            spec.name
        ));
    }
    if spec.sort.is_some() != matches!(key.sort, Sort::Number(_)) {
        return invalid(format!("the key of {} has another shape", spec.name));
    }
    Ok(())
}

/// Checks a whole call before anything happens.
pub(crate) fn check_writes(writes: &[Write]) -> Result<(), StoreError> {
    if writes.is_empty() || writes.len() > MAX_WRITES {
        return invalid(format!("a call has 1 to {MAX_WRITES} writes, not {}", writes.len()));
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut total = 0;
    for write in writes {
        let (table, key) = write.place()?;
        if !seen.insert((table, key)) {
            return invalid("two writes of one call are about the same key");
        }
        if let Write::Put { item, .. } = write {
            let bytes = serde_json::to_string(item).map_or(usize::MAX, |text| text.len());
            total += bytes.min(MAX_CALL_BYTES + 1);
            if bytes > MAX_ITEM_BYTES || total > MAX_CALL_BYTES {
                return invalid(format!("an item of {bytes} bytes, {total} in the call, is too large"));
            }
            check_indexed(table, item)?;
        }
    }
    Ok(())
}

/// An attribute of an index has the index's type, or is not there.
fn check_indexed(table: Table, item: &Item) -> Result<(), StoreError> {
    for index in table.spec().indexes {
        for attribute in [index.partition, index.sort] {
            let fits = match (attribute, item.get(attribute.name())) {
                (_, None) => true,
                (Attribute::Text(_), Some(value)) => value.as_str().is_some_and(|text| !text.is_empty()),
                (Attribute::Number(_), Some(value)) => value.as_i64().is_some(),
            };
            if !fits {
                return invalid(format!("{} does not fit the index {}", attribute.name(), index.name));
            }
        }
    }
    Ok(())
}

impl Write {
    /// Which item it is about.
    pub(crate) fn place(&self) -> Result<(Table, Key), StoreError> {
        match self {
            Write::Put { table, item, .. } => Ok((*table, key_of(*table, item)?)),
            Write::Delete { table, key, .. } | Write::Check { table, key, .. } => {
                check_key(*table, key)?;
                Ok((*table, key.clone()))
            }
        }
    }

    pub(crate) fn condition(&self) -> Condition {
        match self {
            Write::Put { condition, .. }
            | Write::Delete { condition, .. }
            | Write::Check { condition, .. } => *condition,
        }
    }
}

impl Condition {
    /// Whether it holds of what is at the key.
    pub(crate) fn holds(self, found: Option<&Item>) -> bool {
        let version = found.and_then(|item| item.get("version")).and_then(Value::as_u64);
        match self {
            Condition::Always => true,
            Condition::Absent => found.is_none(),
            Condition::Version(wanted) => version == Some(wanted),
            Condition::OlderThan(bound) => found.is_none() || version.is_some_and(|version| version < bound),
        }
    }
}

/// Whether the item is still there at this second.
pub(crate) fn is_alive(item: &Item, now_s: i64) -> bool {
    item.get(EXPIRY).and_then(Value::as_i64).is_none_or(|at| at > now_s)
}

/// A query whose parts fit together.
pub(crate) struct Plan {
    pub(crate) partition: Attribute,
    /// None: the table has one item per partition.
    pub(crate) sort: Option<Attribute>,
    pub(crate) after: Option<Position>,
}

pub(crate) fn plan(query: &Query) -> Result<Plan, StoreError> {
    let spec = query.table.spec();
    let (partition, sort) = match query.index {
        None => (spec.partition, spec.sort),
        Some(name) => match spec.index(name) {
            Some(index) => (index.partition, Some(index.sort)),
            None => return invalid(format!("{} has no index {name}", spec.name)),
        },
    };
    if query.paging.limit == 0 || query.paging.limit > MAX_PAGE {
        return invalid(format!("a page has 1 to {MAX_PAGE} items"));
    }
    if query.from.is_some() && !matches!(sort, Some(Attribute::Number(_))) {
        return invalid("only numbers have a lower bound");
    }
    let after = query.paging.after.as_ref().map(Cursor::position).transpose()?;
    if let Some(after) = &after {
        let fits = match sort {
            None => after.order.is_null(),
            Some(Attribute::Text(_)) => after.order.is_string(),
            Some(Attribute::Number(_)) => after.order.is_i64(),
        };
        let own = query.index.is_some() || after.partition == query.partition;
        let bounded = query.from.is_none_or(|from| after.order.as_i64().is_some_and(|order| order >= from));
        if !fits || !own || !bounded || spec.sort.is_some() != after.sort.is_some() {
            return invalid("the cursor belongs to another query");
        }
    }
    Ok(Plan { partition, sort, after })
}

impl Plan {
    /// Where a page ends that ends with this item.
    pub(crate) fn position_of(&self, table: Table, item: &Item) -> Result<Position, StoreError> {
        let key = key_of(table, item)?;
        let order = self.sort.and_then(|sort| item.get(sort.name())).cloned().unwrap_or_default();
        let sort = match key.sort {
            Sort::None => None,
            Sort::Number(number) => Some(number),
        };
        Ok(Position { order, partition: key.partition, sort })
    }
}

/// Seconds since 1970.
pub(crate) fn now_s() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
