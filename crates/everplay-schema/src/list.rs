//! `List`: values by position. The author's side; how changes are encoded is in `list_patch.rs`.

use crate::decode::Value;
use crate::full::{Full, FullScope};
use crate::output::NO_REF;
use crate::restore::{Load, Meta, RestoreError};
use crate::structure::{Change, Field, FieldType, Item, ItemType, Optional, Patch};
use crate::track::{CollectionSlot, Track};
use crate::types::{CollectionKind, FieldSpec, Kind, Prim, Registry, TypeNo, TypeTable};
use crate::view::{Granted, Scope, Tag, ViewId, ViewSet, Visibility};
use std::cmp::Ordering;
use std::fmt;
use std::ops::{Bound, Index, IndexMut, RangeBounds};

/// The position of an item clients do not have.
pub(crate) const NEW: u32 = u32::MAX;

pub(crate) struct ListEntry<T: Item> {
    pub(crate) value: T,
    pub(crate) slot: T::Slot,
    /// Where it was when the last patch was made.
    pub(crate) was: u32,
    /// Another instance was put in its place.
    pub(crate) replaced: bool,
    pub(crate) touched: bool,
    /// Something below has more to send with the next patch.
    pub(crate) again: bool,
    pub(crate) visibility: Option<Box<Visibility>>,
}

/// An item clients have and the list has not.
#[derive(Debug)]
pub(crate) struct Removed {
    pub(crate) was: u32,
    pub(crate) ref_id: u32,
    /// Views that see it, subscribers aside.
    pub(crate) seen: ViewSet,
}

/// A list (wire type `array`). Order is kept for everyone, except that views of a list whose items are shown one by
/// one get no order.
///
/// `get_mut`, `iter_mut` and indexing mark what they give out; the next patch looks at that, and from the first
/// position where items came or went.
pub struct List<T: Item> {
    pub(crate) entries: Vec<ListEntry<T>>,
    pub(crate) removed: Vec<Removed>,
    /// Instances another one took the place of.
    pub(crate) exchanged: Vec<Removed>,
    pub(crate) touched: Vec<u32>,
    /// Memory for the positions a patch writes again.
    pub(crate) changed: Vec<u32>,
    pub(crate) all_touched: bool,
    /// From here on items may have come, gone or moved.
    pub(crate) first_moved: usize,
    /// Length when the last patch was made.
    pub(crate) known_len: u32,
    pub(crate) cleared: bool,
    /// Nothing but an odd number of `reverse` happened.
    pub(crate) reversed: bool,
    pub(crate) track: Track,
}

impl<T: Item> List<T> {
    /// An empty list.
    pub fn new() -> Self {
        List {
            entries: Vec::new(),
            removed: Vec::new(),
            exchanged: Vec::new(),
            touched: Vec::new(),
            changed: Vec::new(),
            all_touched: false,
            first_moved: usize::MAX,
            known_len: 0,
            cleared: false,
            reversed: false,
            track: Track::default(),
        }
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The item at a position.
    pub fn get(&self, index: usize) -> Option<&T> {
        self.entries.get(index).map(|entry| &entry.value)
    }

    /// The item at a position, to change it.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.touch(index)?;
        Some(&mut self.entries[index].value)
    }

    /// The first item.
    pub fn first(&self) -> Option<&T> {
        self.get(0)
    }

    /// The last item.
    pub fn last(&self) -> Option<&T> {
        self.entries.last().map(|entry| &entry.value)
    }

    /// The last item, to change it.
    pub fn last_mut(&mut self) -> Option<&mut T> {
        self.get_mut(self.len().checked_sub(1)?)
    }

    /// Appends an item.
    pub fn push(&mut self, item: T) {
        self.insert(self.len(), item);
    }

    /// Puts an item at a position and moves the rest up. Panics beyond the end.
    pub fn insert(&mut self, index: usize, item: T) {
        self.moved_from(index);
        let entry = ListEntry {
            value: item,
            slot: T::Slot::default(),
            was: NEW,
            replaced: false,
            touched: true,
            again: false,
            visibility: None,
        };
        self.entries.insert(index, entry);
    }

    /// Puts another item in the place of the one at a position, which is given back. Panics beyond the end.
    ///
    /// A structure becomes a new instance for clients; to change the one that is there, use indexing.
    pub fn replace(&mut self, index: usize, item: T) -> T {
        assert!(self.touch(index).is_some(), "no item at {index}");
        let entry = &mut self.entries[index];
        if entry.was != NEW && !entry.replaced && entry.value.ref_id(&entry.slot) != NO_REF {
            entry.replaced = true;
            let removed = entry.removed();
            (entry.slot, entry.visibility) = (T::Slot::default(), None);
            self.exchanged.push(removed);
        }
        std::mem::replace(&mut self.entries[index].value, item)
    }

    /// Takes the item at a position out and moves the rest down. Panics beyond the end.
    pub fn remove(&mut self, index: usize) -> T {
        self.moved_from(index);
        let entry = self.entries.remove(index);
        self.note_removed(&entry);
        entry.value
    }

    /// Takes the last item out.
    pub fn pop(&mut self) -> Option<T> {
        let last = self.len().checked_sub(1)?;
        Some(self.remove(last))
    }

    /// Removes all items.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.removed.clear();
        self.exchanged.clear();
        self.touched.clear();
        self.all_touched = false;
        self.cleared |= self.known_len > 0;
        self.first_moved = 0;
        self.reversed = false;
    }

    /// Removes the items from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.drain(len.min(self.len())..);
    }

    /// Takes the items of a range out. Panics when the range is not within the list.
    pub fn drain(&mut self, range: impl RangeBounds<usize>) -> Vec<T> {
        let (start, end) = self.resolve(range);
        if start == end {
            return Vec::new();
        }
        self.moved_from(start);
        let drained: Vec<ListEntry<T>> = self.entries.drain(start..end).collect();
        for entry in &drained {
            self.note_removed(entry);
        }
        drained.into_iter().map(|entry| entry.value).collect()
    }

    /// Puts items in the place of a range, whose items are given back. Panics when the range is not within the list.
    pub fn splice(&mut self, range: impl RangeBounds<usize>, items: impl IntoIterator<Item = T>) -> Vec<T> {
        let (start, end) = self.resolve(range);
        let old = self.drain(start..end);
        for (at, item) in (start..).zip(items) {
            self.insert(at, item);
        }
        old
    }

    /// Keeps the items for which `keep` says yes. All kept items count as touched.
    pub fn retain(&mut self, mut keep: impl FnMut(&mut T) -> bool) {
        let mut index = 0;
        self.all_touched = true;
        while index < self.entries.len() {
            if keep(&mut self.entries[index].value) {
                index += 1;
            } else {
                self.remove(index);
            }
        }
    }

    /// Swaps two items. Panics beyond the end.
    pub fn swap(&mut self, a: usize, b: usize) {
        if a != b {
            self.entries.swap(a, b);
            self.moved_from(a.min(b));
        }
    }

    /// Turns the order around.
    pub fn reverse(&mut self) {
        let alone = self.first_moved == usize::MAX || self.reversed;
        let reversed = self.reversed;
        self.entries.reverse();
        self.moved_from(0);
        self.reversed = alone && !reversed;
    }

    /// Sorts, keeping the order of equal items.
    pub fn sort_by(&mut self, mut compare: impl FnMut(&T, &T) -> Ordering) {
        self.entries.sort_by(|a, b| compare(&a.value, &b.value));
        self.moved_from(0);
    }

    /// Sorts by a key, keeping the order of equal items.
    pub fn sort_by_key<K: Ord>(&mut self, mut key: impl FnMut(&T) -> K) {
        self.sort_by(|a, b| key(a).cmp(&key(b)));
    }

    /// The items.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.entries.iter().map(|entry| &entry.value)
    }

    /// The items, to change them; all count as touched.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> + ExactSizeIterator {
        self.all_touched = true;
        self.entries.iter_mut().map(|entry| &mut entry.value)
    }

    /// Whether an equal item is in the list.
    pub fn contains(&self, item: &T) -> bool
    where
        T: PartialEq,
    {
        self.iter().any(|known| known == item)
    }

    /// Shows the item to a view: itself, its untagged and default-tagged fields. False beyond the end.
    pub fn show(&mut self, index: usize, view: ViewId) -> bool {
        self.give(index, view, None)
    }

    /// Shows the item together with the fields tagged with one of these bits.
    pub fn show_tagged(&mut self, index: usize, view: ViewId, tag: Tag) -> bool {
        self.give(index, view, Some(tag))
    }

    /// Shows the item from now on: the view gets changes and full
    /// states, but not what is there by now. `tag`: also fields with these bits; zero for none.
    pub fn show_later(&mut self, index: usize, view: ViewId, tag: Tag) -> bool {
        if self.touch(index).is_none() {
            return false;
        }
        self.entries[index].visibility.get_or_insert_default().now.show_later(view, tag);
        self.track.grant(view);
        true
    }

    /// Takes everything shown of the item back.
    pub fn hide(&mut self, index: usize, view: ViewId) -> bool {
        self.take_back(index, view, None)
    }

    /// Takes tag bits back; the item stays shown.
    pub fn hide_tagged(&mut self, index: usize, view: ViewId, tag: Tag) -> bool {
        self.take_back(index, view, Some(tag))
    }

    /// Shows all items, present and future ones.
    pub fn show_all(&mut self, view: ViewId) {
        self.track.subscribe(view);
    }

    /// Takes [`List::show_all`] back; items shown by themselves stay.
    pub fn hide_all(&mut self, view: ViewId) {
        self.track.unsubscribe(view);
    }

    /// Shows the list itself, without its items.
    pub fn show_empty(&mut self, view: ViewId) {
        self.track.grant(view);
    }

    /// Takes [`List::show_empty`] back.
    pub fn hide_empty(&mut self, view: ViewId) {
        self.track.revoke(view);
    }

    fn give(&mut self, index: usize, view: ViewId, tag: Option<Tag>) -> bool {
        if self.touch(index).is_none() {
            return false;
        }
        self.entries[index].visibility.get_or_insert_default().now.show(view, tag);
        self.track.grant(view);
        true
    }

    fn take_back(&mut self, index: usize, view: ViewId, tag: Option<Tag>) -> bool {
        if self.touch(index).is_none() {
            return false;
        }
        let entry = &mut self.entries[index];
        if tag.is_none() {
            T::cover(&mut entry.slot, view);
        }
        if let Some(visibility) = &mut entry.visibility {
            visibility.now.hide(view, tag);
        }
        true
    }

    fn resolve(&self, range: impl RangeBounds<usize>) -> (usize, usize) {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => self.len(),
        };
        assert!(start <= end && end <= self.len(), "range {start}..{end} of a list of {}", self.len());
        (start, end)
    }

    pub(crate) fn touch(&mut self, index: usize) -> Option<()> {
        let entry = self.entries.get_mut(index)?;
        if !entry.touched {
            entry.touched = true;
            self.touched.push(index as u32);
        }
        Some(())
    }

    fn moved_from(&mut self, index: usize) {
        self.first_moved = self.first_moved.min(index);
        self.reversed = false;
    }

    fn note_removed(&mut self, entry: &ListEntry<T>) {
        if entry.was == NEW || self.cleared {
            return;
        }
        // What clients have in the place of an exchanged instance is the one before it.
        let exchanged = self.exchanged.iter().position(|removed| removed.was == entry.was);
        self.removed.push(match exchanged {
            Some(at) => self.exchanged.remove(at),
            None => entry.removed(),
        });
    }
}

impl<T: Item> ListEntry<T> {
    fn removed(&self) -> Removed {
        let mut seen = self.visibility.as_ref().map_or(ViewSet::EMPTY, |given| given.seen.all());
        if let Some(inside) = self.value.inside(&self.slot) {
            seen = seen.union(&inside.seen);
        }
        Removed { was: self.was, ref_id: self.value.ref_id(&self.slot), seen }
    }
}

impl<T: Item> Default for List<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Item + Clone> Clone for List<T> {
    /// Copies the values. The copy is new to every client.
    fn clone(&self) -> Self {
        self.iter().cloned().collect()
    }
}

impl<T: Item + fmt::Debug> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Item + PartialEq> PartialEq for List<T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Item> Index<usize> for List<T> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        &self.entries[index].value
    }
}

impl<T: Item> IndexMut<usize> for List<T> {
    fn index_mut(&mut self, index: usize) -> &mut T {
        let len = self.len();
        self.get_mut(index).unwrap_or_else(|| panic!("index {index} of a list of {len}"))
    }
}

impl<T: Item> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut list = Self::new();
        list.extend(items);
        list
    }
}

impl<T: Item> From<Vec<T>> for List<T> {
    fn from(items: Vec<T>) -> Self {
        items.into_iter().collect()
    }
}

impl<T: Item> Extend<T> for List<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        for item in items {
            self.push(item);
        }
    }
}

impl<T: ItemType> FieldType for List<T> {
    fn kind(registry: &mut Registry, prim: Option<Prim>) -> Kind {
        Kind::Collection(CollectionKind::Array, T::item_kind(registry, prim))
    }
}

impl<T: Item> Optional for List<T> {
    fn blank_value(_spec: &FieldSpec, _ty: Option<TypeNo>, _types: &TypeTable) -> Self {
        Self::new()
    }
}

impl<T: Item> Field for List<T> {
    type Slot = CollectionSlot;

    fn poll(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, cx: &mut Patch<'_>) -> Change {
        if self.track.is_foreign(slot, cx) {
            self.introduce_again(spec, cx);
        }
        slot.announce(self.track.ref_id)
    }

    fn write(&self, _slot: &Self::Slot, _spec: &FieldSpec, _exact: bool, out: &mut Vec<u8>) {
        crate::number::put_uint(out, self.track.ref_id);
    }

    fn introduce(&mut self, _slot: &mut Self::Slot, spec: &FieldSpec, cx: &mut Patch<'_>) {
        self.introduce_again(spec, cx);
    }

    fn is_fresh(&self, _slot: &Self::Slot) -> bool {
        self.track.fresh
    }

    fn ref_id(&self, _slot: &Self::Slot) -> u32 {
        self.track.ref_id
    }

    fn inside<'a>(&'a self, _slot: &'a Self::Slot) -> Option<&'a Granted> {
        self.track.granted()
    }

    fn shown(&self) -> (ViewSet, ViewSet) {
        self.track.shown()
    }

    fn told(slot: &Self::Slot) -> Option<&ViewSet> {
        slot.told()
    }

    fn descend(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, scope: &Scope, cx: &mut Patch<'_>) {
        self.encode(spec, scope, cx);
        slot.tell(&self.track);
    }

    fn settle(&mut self, _slot: &mut Self::Slot, spec: &FieldSpec, types: &TypeTable) -> ViewSet {
        self.settle_views(spec, types)
    }

    fn forget(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, view: ViewId, types: &TypeTable) {
        self.track.forget(view);
        slot.tell(&self.track);
        for entry in &mut self.entries {
            if let Some(visibility) = &mut entry.visibility {
                visibility.forget(view);
            }
            if spec.views_below {
                entry.value.forget(&mut entry.slot, spec, view, types);
            }
        }
        for removed in self.removed.iter_mut().chain(&mut self.exchanged) {
            removed.seen.remove(view);
        }
    }

    fn is_dirty(&self, slot: &Self::Slot, spec: &FieldSpec, types: &TypeTable) -> bool {
        !slot.knows(self.track.ref_id) || self.has_pending(spec, types)
    }

    fn full(&self, _slot: &Self::Slot, spec: &FieldSpec, scope: FullScope, cx: &mut Full<'_>) {
        self.encode_full(spec, scope, cx);
    }

    fn meta(&self, _slot: &Self::Slot, spec: &FieldSpec, cx: &mut Meta<'_>) {
        self.track.meta(cx.out);
        if spec.prim().is_some() {
            return;
        }
        for entry in &self.entries {
            if let Some(given) = &entry.visibility
                && !given.now.is_empty()
            {
                crate::meta::members(cx.out, entry.value.ref_id(&entry.slot), &given.now);
            }
            entry.value.meta(&entry.slot, spec, cx);
        }
    }

    fn load(
        &mut self,
        slot: &mut Self::Slot,
        spec: &FieldSpec,
        value: &Value,
        cx: &mut Load<'_>,
    ) -> Result<(), RestoreError> {
        let (ref_id, items) = cx.list_items(spec, value)?;
        *self = Self::new();
        slot.announce(ref_id);
        self.track.load(ref_id, cx);
        slot.tell(&self.track);
        for (was, value) in (0..).zip(items) {
            let ty = cx.instance_type(spec, &value)?;
            let mut item = T::blank_item(spec, ty, cx.types());
            let mut item_slot = T::Slot::default();
            item.load(&mut item_slot, spec, &value, cx)?;
            let visibility = cx.visibility(item.ref_id(&item_slot));
            self.entries.push(ListEntry {
                value: item,
                slot: item_slot,
                was,
                replaced: false,
                touched: false,
                again: false,
                visibility,
            });
        }
        self.known_len = self.entries.len() as u32;
        Ok(())
    }
}
