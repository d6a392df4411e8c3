//! `Map`: values by string key, in order of insertion.

use crate::decode::Value;
use crate::full::{Full, FullScope};
use crate::restore::{Load, Meta, RestoreError};
use crate::slab::Slab;
use crate::structure::{Change, Field, FieldType, Item, ItemType, Optional, Patch};
use crate::track::CollectionSlot;
use crate::types::{CollectionKind, FieldSpec, Kind, Prim, Registry, TypeNo, TypeTable};
use crate::view::{Granted, Scope, Tag, ViewId, ViewSet};
use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::BuildHasherDefault;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

/// A map with string keys (wire type `map`). Iterates in order of insertion.
///
/// `get_mut`, `iter_mut` and indexing mark what they give out; the next patch looks at that alone.
/// Putting a structure under a key that has one replaces the instance; to change one, use `get_mut`.
pub struct Map<T: Item> {
    /// Key to index. Hashed without a random seed: nothing depends on the order in here, and keys are the room's.
    keys: HashMap<Arc<str>, u32, BuildHasherDefault<DefaultHasher>>,
    slab: Slab<Arc<str>, T>,
}

impl<T: Item> Map<T> {
    /// An empty map.
    pub fn new() -> Self {
        Map { keys: HashMap::default(), slab: Slab::new(true) }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether the key has an entry.
    pub fn contains_key(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// The value under the key.
    pub fn get(&self, key: &str) -> Option<&T> {
        self.slab.get(*self.keys.get(key)?)
    }

    /// The value under the key, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut T> {
        self.slab.get_mut(*self.keys.get(key)?)
    }

    /// Puts a value under the key and gives back the one that was there.
    pub fn insert(&mut self, key: impl AsRef<str>, value: T) -> Option<T> {
        let key = key.as_ref();
        if let Some(index) = self.keys.get(key) {
            return self.slab.replace(*index, value);
        }
        if let Some(index) = self.slab.removed(|gone| **gone == *key) {
            self.slab.replace(index, value);
            self.keys.insert(Arc::from(key), index);
            return None;
        }
        let key: Arc<str> = Arc::from(key);
        let index = self.slab.push(key.clone(), value);
        self.keys.insert(key, index);
        None
    }

    /// The value under the key; `make` is asked for one when there is none.
    pub fn get_or_insert_with(&mut self, key: &str, make: impl FnOnce() -> T) -> &mut T {
        if !self.contains_key(key) {
            self.insert(key, make());
        }
        self.get_mut(key).expect("the key has a value by now")
    }

    /// Takes the entry out.
    pub fn remove(&mut self, key: &str) -> Option<T> {
        let index = self.keys.remove(key)?;
        self.slab.remove(index)
    }

    /// Keeps the entries for which `keep` says yes.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut T) -> bool) {
        let keys: Vec<Arc<str>> = self.slab.iter().map(|(entry, _)| entry.key.clone()).collect();
        for key in keys {
            if self.get_mut(&key).is_some_and(|value| !keep(&key, value)) {
                self.remove(&key);
            }
        }
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.slab.clear();
    }

    /// Entries in order of insertion.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &T)> {
        self.slab.iter().map(|(entry, value)| (&*entry.key, value))
    }

    /// Entries in order of insertion, to change them; all count as touched.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (&str, &mut T)> {
        self.slab.iter_mut().map(|(key, _, value)| (&**key, value))
    }

    /// Keys in order of insertion.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.iter().map(|(key, _)| key)
    }

    /// Values in order of insertion.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.iter().map(|(_, value)| value)
    }

    /// Values in order of insertion, to change them; all count as touched.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.iter_mut().map(|(_, value)| value)
    }

    /// Shows the entry to a view: itself, its untagged and default-tagged fields. False without such an entry.
    pub fn show(&mut self, key: &str, view: ViewId) -> bool {
        self.keys.get(key).is_some_and(|index| self.slab.show(*index, view, None))
    }

    /// Shows the entry to a view together with the fields tagged with one of these bits.
    pub fn show_tagged(&mut self, key: &str, view: ViewId, tag: Tag) -> bool {
        self.keys.get(key).is_some_and(|index| self.slab.show(*index, view, Some(tag)))
    }

    /// Shows the entry from now on: the view gets changes and full
    /// states, but not what is there by now. `tag`: also fields with these bits; zero for none.
    pub fn show_later(&mut self, key: &str, view: ViewId, tag: Tag) -> bool {
        self.keys.get(key).is_some_and(|index| self.slab.show_later(*index, view, tag))
    }

    /// Takes everything shown of the entry back.
    pub fn hide(&mut self, key: &str, view: ViewId) -> bool {
        self.keys.get(key).is_some_and(|index| self.slab.hide(*index, view, None))
    }

    /// Takes tag bits back; the entry stays shown.
    pub fn hide_tagged(&mut self, key: &str, view: ViewId, tag: Tag) -> bool {
        self.keys.get(key).is_some_and(|index| self.slab.hide(*index, view, Some(tag)))
    }

    /// Shows all entries, present and future ones.
    pub fn show_all(&mut self, view: ViewId) {
        self.slab.track.subscribe(view);
    }

    /// Takes [`Map::show_all`] back; entries shown by themselves stay.
    pub fn hide_all(&mut self, view: ViewId) {
        self.slab.track.unsubscribe(view);
    }

    /// Shows the map itself, without its entries.
    pub fn show_empty(&mut self, view: ViewId) {
        self.slab.track.grant(view);
    }

    /// Takes [`Map::show_empty`] back.
    pub fn hide_empty(&mut self, view: ViewId) {
        self.slab.track.revoke(view);
    }
}

impl<T: Item> Default for Map<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Item + Clone> Clone for Map<T> {
    /// Copies the values. The copy is new to every client.
    fn clone(&self) -> Self {
        self.iter().map(|(key, value)| (key, value.clone())).collect()
    }
}

impl<T: Item + fmt::Debug> fmt::Debug for Map<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<T: Item + PartialEq> PartialEq for Map<T> {
    /// Equal entries, in any order.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<T: Item> Index<&str> for Map<T> {
    type Output = T;

    /// Panics without such an entry.
    fn index(&self, key: &str) -> &T {
        self.get(key).unwrap_or_else(|| panic!("no entry with key {key:?}"))
    }
}

impl<T: Item> IndexMut<&str> for Map<T> {
    fn index_mut(&mut self, key: &str) -> &mut T {
        self.get_mut(key).unwrap_or_else(|| panic!("no entry with key {key:?}"))
    }
}

impl<K: AsRef<str>, T: Item> FromIterator<(K, T)> for Map<T> {
    fn from_iter<I: IntoIterator<Item = (K, T)>>(entries: I) -> Self {
        let mut map = Self::new();
        map.extend(entries);
        map
    }
}

impl<K: AsRef<str>, T: Item> Extend<(K, T)> for Map<T> {
    fn extend<I: IntoIterator<Item = (K, T)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<T: ItemType> FieldType for Map<T> {
    fn kind(registry: &mut Registry, prim: Option<Prim>) -> Kind {
        Kind::Collection(CollectionKind::Map, T::item_kind(registry, prim))
    }
}

impl<T: Item> Optional for Map<T> {
    fn blank_value(_spec: &FieldSpec, _ty: Option<TypeNo>, _types: &TypeTable) -> Self {
        Self::new()
    }
}

impl<T: Item> Field for Map<T> {
    type Slot = CollectionSlot;

    crate::bag::slab_field!(slab);

    fn introduce(&mut self, _slot: &mut Self::Slot, spec: &FieldSpec, cx: &mut Patch<'_>) {
        self.introduce_again(spec, cx);
    }

    fn poll(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, cx: &mut Patch<'_>) -> Change {
        if self.slab.track.is_foreign(slot, cx) {
            self.introduce_again(spec, cx);
        }
        slot.announce(self.slab.track.ref_id)
    }

    fn load(
        &mut self,
        slot: &mut Self::Slot,
        spec: &FieldSpec,
        value: &Value,
        cx: &mut Load<'_>,
    ) -> Result<(), RestoreError> {
        let (ref_id, items) = cx.map_items(spec, value)?;
        self.clear();
        for (index, key, _) in &items {
            self.keys.insert(key.clone(), *index);
        }
        self.slab.load(slot, spec, ref_id, items.into_iter(), cx)
    }
}

impl<T: Item> Map<T> {
    /// Introduction gives entries new indexes.
    fn introduce_again(&mut self, spec: &FieldSpec, cx: &mut Patch<'_>) {
        self.slab.introduce(spec, cx);
        for entry in &self.slab.entries {
            if let Some(index) = self.keys.get_mut(&entry.key) {
                *index = entry.index;
            }
        }
    }
}
