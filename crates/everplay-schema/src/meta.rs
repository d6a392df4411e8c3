//! What the journal keeps beside the operations: counters and visibility.
//!
//! A list of records, each a kind byte and its body; a later record replaces an earlier one of the same kind and
//! refId. Numbers are the wire's `number`; a set is a count and ascending view ids.
//!
//! | kind | body | meaning |
//! | --- | --- | --- |
//! | 1 | refId, base set, count, (bit, set)* | what views were given on an instance |
//! | 2 | refId, set | views that see something inside a structure |
//! | 3 | refId, set | views that were granted a collection |
//! | 4 | refId, set | views that see all items of a collection |
//! | 5 | refId, next index, sent-until | counters of a collection |
//! | 6 | set | the views given out |
//! | 7 | next refId | counter of the replica |
//! | 8 | view | the view was removed: drop it from every set so far |
//! | 9 | refId, set | views waiting for a stream's item |
//! | 10 | length | this many bytes of the operations are the shared part; the rest is filtered or private |
//! | 11 | (empty) | the shared part is not whole here: the journal got items of a stream earlier than clients |
//!
//! The last two are first in a journal patch when they are there at all. Without them, all operations are shared.

use crate::decode::DecodeError;
use crate::number::put_uint;
use crate::read::Reader;
use crate::view::{Members, ViewId, ViewSet};
use std::collections::HashMap;

fn set(out: &mut Vec<u8>, views: &ViewSet) {
    put_uint(out, views.iter().count() as u32);
    for view in views.iter() {
        put_uint(out, view.0);
    }
}

fn record(out: &mut Vec<u8>, kind: u8, ref_id: u32, views: &ViewSet) {
    out.push(kind);
    put_uint(out, ref_id);
    set(out, views);
}

pub(crate) fn members(out: &mut Vec<u8>, ref_id: u32, members: &Members) {
    record(out, 1, ref_id, &members.base);
    put_uint(out, members.tags.len() as u32);
    for (bit, views) in &members.tags {
        put_uint(out, *bit);
        set(out, views);
    }
}

pub(crate) fn inside(out: &mut Vec<u8>, ref_id: u32, views: &ViewSet) {
    record(out, 2, ref_id, views);
}

pub(crate) fn granted(out: &mut Vec<u8>, ref_id: u32, views: &ViewSet) {
    record(out, 3, ref_id, views);
}

pub(crate) fn subscribed(out: &mut Vec<u8>, ref_id: u32, views: &ViewSet) {
    record(out, 4, ref_id, views);
}

pub(crate) fn counter(out: &mut Vec<u8>, ref_id: u32, next_index: u32, sent_until: u32) {
    out.push(5);
    put_uint(out, ref_id);
    put_uint(out, next_index);
    put_uint(out, sent_until);
}

pub(crate) fn views(out: &mut Vec<u8>, given: &ViewSet) {
    out.push(6);
    set(out, given);
}

pub(crate) fn next_ref(out: &mut Vec<u8>, next: u32) {
    out.push(7);
    put_uint(out, next);
}

pub(crate) fn forget(out: &mut Vec<u8>, view: ViewId) {
    out.push(8);
    put_uint(out, view.0);
}

pub(crate) fn queued(out: &mut Vec<u8>, ref_id: u32, views: &ViewSet) {
    record(out, 9, ref_id, views);
}

pub(crate) fn shared(out: &mut Vec<u8>, len: u32) {
    out.push(SHARED);
    put_uint(out, len);
}

pub(crate) fn shared_elsewhere(out: &mut Vec<u8>) {
    out.push(SHARED_ELSEWHERE);
}

const SHARED: u8 = 10;
const SHARED_ELSEWHERE: u8 = 11;

/// The length of the shared part of `operations` bytes, by the records after them; `None` when it is not whole.
pub(crate) fn shared_len(records: &mut Reader<'_>, operations: usize) -> Result<Option<usize>, DecodeError> {
    if records.is_at_end() {
        return Ok(Some(operations));
    }
    match records.byte()? {
        SHARED => match records.uint()? as usize {
            len if len <= operations => Ok(Some(len)),
            _ => Err(DecodeError::Malformed("a shared part longer than its patch")),
        },
        SHARED_ELSEWHERE => Ok(None),
        _ => Ok(Some(operations)),
    }
}

/// The records of a snapshot and the patches after it, merged.
#[derive(Clone, Debug, Default)]
pub(crate) struct MetaState {
    pub(crate) members: HashMap<u32, Members>,
    pub(crate) inside: HashMap<u32, ViewSet>,
    pub(crate) granted: HashMap<u32, ViewSet>,
    pub(crate) subscribed: HashMap<u32, ViewSet>,
    pub(crate) queued: HashMap<u32, ViewSet>,
    pub(crate) counters: HashMap<u32, (u32, u32)>,
    pub(crate) views: ViewSet,
    pub(crate) next_ref: u32,
}

/// Largest view id that is believed: a set takes id / 8 bytes.
const MAX_VIEW: u32 = 1 << 20;

fn read_view(reader: &mut Reader<'_>) -> Result<ViewId, DecodeError> {
    match reader.uint()? {
        view if view <= MAX_VIEW => Ok(ViewId(view)),
        _ => Err(DecodeError::Malformed("a view id beyond any that is given out")),
    }
}

fn read_set(reader: &mut Reader<'_>) -> Result<ViewSet, DecodeError> {
    let mut views = ViewSet::default();
    for _ in 0..reader.uint()? {
        views.insert(read_view(reader)?);
    }
    Ok(views)
}

impl MetaState {
    /// Applies all records of `reader`.
    pub(crate) fn apply(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        while !reader.is_at_end() {
            let kind = reader.byte()?;
            match kind {
                1 => {
                    let ref_id = reader.uint()?;
                    let mut members = Members { base: read_set(reader)?, tags: Vec::new() };
                    for _ in 0..reader.uint()? {
                        members.tags.push((reader.uint()?, read_set(reader)?));
                    }
                    self.members.insert(ref_id, members);
                }
                2 | 3 | 4 | 9 => {
                    let ref_id = reader.uint()?;
                    let views = read_set(reader)?;
                    let map = match kind {
                        2 => &mut self.inside,
                        3 => &mut self.granted,
                        4 => &mut self.subscribed,
                        _ => &mut self.queued,
                    };
                    map.insert(ref_id, views);
                }
                5 => {
                    let ref_id = reader.uint()?;
                    self.counters.insert(ref_id, (reader.uint()?, reader.uint()?));
                }
                6 => self.views = read_set(reader)?,
                7 => self.next_ref = reader.uint()?,
                8 => {
                    let view = read_view(reader)?;
                    self.forget(view);
                }
                SHARED => {
                    reader.uint()?;
                }
                SHARED_ELSEWHERE => {}
                _ => return Err(DecodeError::Malformed("an unknown kind of journal record")),
            }
        }
        Ok(())
    }

    fn forget(&mut self, view: ViewId) {
        for members in self.members.values_mut() {
            members.hide(view, None);
        }
        for map in [&mut self.inside, &mut self.granted, &mut self.subscribed, &mut self.queued] {
            for views in map.values_mut() {
                views.remove(view);
            }
        }
        self.views.remove(view);
    }
}
