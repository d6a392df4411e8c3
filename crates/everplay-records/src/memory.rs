//! The store in memory, for tests: nothing survives it.

use crate::rules::{self, check_writes, is_alive, now_s};
use crate::{Cursor, Item, Key, Page, Pending, Query, RecordStore, StoreError, Table, Write, WriteError};
use parking_lot::Mutex;
use serde_json::Value;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Tables in memory. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryRecordStore(Arc<Mutex<BTreeMap<(Table, Key), Item>>>);

impl MemoryRecordStore {
    /// Empty tables.
    pub fn new() -> Self {
        Self::default()
    }
}

/// An answer that is there already.
fn ready<T: Send + 'static>(value: T) -> Pending<T> {
    Box::pin(std::future::ready(value))
}

impl RecordStore for MemoryRecordStore {
    fn get(&self, table: Table, key: Key) -> Pending<Result<Option<Item>, StoreError>> {
        let found = rules::check_key(table, &key)
            .map(|()| self.0.lock().get(&(table, key)).filter(|item| is_alive(item, now_s())).cloned());
        ready(found)
    }

    fn query(&self, query: Query) -> Pending<Result<Page<Item>, StoreError>> {
        ready(run(&self.0.lock(), &query))
    }

    fn write(&self, writes: Vec<Write>) -> Pending<Result<(), WriteError>> {
        ready(change(&mut self.0.lock(), writes))
    }

    fn create_tables(&self) -> Pending<Result<(), StoreError>> {
        ready(Ok(()))
    }
}

fn change(items: &mut BTreeMap<(Table, Key), Item>, writes: Vec<Write>) -> Result<(), WriteError> {
    check_writes(&writes)?;
    let now = now_s();
    let mut refused = None;
    for (at, write) in writes.iter().enumerate() {
        let found = items.get(&write.place()?).filter(|item| is_alive(item, now));
        if !write.condition().holds(found) {
            refused = Some(WriteError::Refused { at, found: found.cloned().map(Box::new) });
            break;
        }
    }
    if let Some(refused) = refused {
        return Err(refused);
    }
    for write in writes {
        let place = write.place()?;
        match write {
            Write::Put { item, .. } => drop(items.insert(place, item)),
            Write::Delete { .. } => drop(items.remove(&place)),
            Write::Check { .. } => {}
        }
    }
    Ok(())
}

fn run(items: &BTreeMap<(Table, Key), Item>, query: &Query) -> Result<Page<Item>, StoreError> {
    let plan = rules::plan(query)?;
    let now = now_s();
    let order_of = |item: &Item| plan.sort.and_then(|sort| item.get(sort.name())).cloned();
    let mut found: Vec<(Value, &Key, &Item)> = items
        .iter()
        .filter(|((table, _), item)| *table == query.table && is_alive(item, now))
        .filter(|(_, item)| item.get(plan.partition.name()).and_then(Value::as_str) == Some(&query.partition))
        .filter_map(|((_, key), item)| match plan.sort {
            Some(_) => order_of(item).map(|order| (order, key, item)),
            None => Some((Value::Null, key, item)),
        })
        .filter(|(order, ..)| query.from.is_none_or(|from| order.as_i64().is_some_and(|order| order >= from)))
        .collect();
    found.sort_by(|a, b| compare(&a.0, &b.0).then_with(|| a.1.cmp(b.1)));
    if query.descending {
        found.reverse();
    }
    if let Some(after) = &plan.after {
        let sort = after.sort.map_or(crate::Sort::None, crate::Sort::Number);
        let place = Key { partition: after.partition.clone(), sort };
        found.retain(|(order, key, _)| {
            let side = compare(order, &after.order).then_with(|| (*key).cmp(&place));
            side == if query.descending { Ordering::Less } else { Ordering::Greater }
        });
    }
    let more = found.len() > query.paging.limit as usize;
    found.truncate(query.paging.limit as usize);
    let next = match found.last() {
        Some((_, _, item)) if more => Some(Cursor::new(&plan.position_of(query.table, item)?)),
        _ => None,
    };
    Ok(Page { items: found.into_iter().map(|(_, _, item)| item.clone()).collect(), next })
}

fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.cmp(b),
        _ => a.as_i64().cmp(&b.as_i64()),
    }
}
