//! `Set`, `Collection` and `Stream`: items without a key.
//!
//! An item is identified by the index it got when it was added; indexes are never reused. A `Set` of primitives holds
//! each value once; a `Stream` sends its items a few per tick.

use crate::decode::Value;
use crate::full::{Full, FullScope};
use crate::prim::Primitive;
use crate::restore::{Load, Meta, RestoreError};
use crate::slab::Slab;
use crate::structure::{Change, Field, FieldType, Item, ItemType, Optional, Patch};
use crate::track::CollectionSlot;
use crate::types::{CollectionKind, FieldSpec, Kind, Prim, Registry, TypeNo, TypeTable};
use crate::view::{Granted, Scope, Tag, ViewId, ViewSet};
use std::fmt;

/// Identifies an item of a [`Set`], [`Collection`] or [`Stream`] for the life of the collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(pub u32);

/// The parts of `Field` every slab-backed collection shares.
macro_rules! slab_field {
    ($slab:ident) => {
        fn write(&self, _slot: &Self::Slot, _spec: &FieldSpec, _exact: bool, out: &mut Vec<u8>) {
            crate::number::put_uint(out, self.$slab.track.ref_id);
        }

        fn is_fresh(&self, _slot: &Self::Slot) -> bool {
            self.$slab.track.fresh
        }

        fn ref_id(&self, _slot: &Self::Slot) -> u32 {
            self.$slab.track.ref_id
        }

        fn inside<'a>(&'a self, _slot: &'a Self::Slot) -> Option<&'a Granted> {
            self.$slab.inside()
        }

        fn shown(&self) -> (ViewSet, ViewSet) {
            self.$slab.track.shown()
        }

        fn told(slot: &Self::Slot) -> Option<&ViewSet> {
            slot.told()
        }

        fn descend(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, scope: &Scope, cx: &mut Patch<'_>) {
            self.$slab.descend(spec, scope, cx);
            slot.tell(&self.$slab.track);
        }

        fn settle(&mut self, _slot: &mut Self::Slot, spec: &FieldSpec, types: &TypeTable) -> ViewSet {
            self.$slab.settle(spec, types)
        }

        fn forget(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, view: ViewId, types: &TypeTable) {
            self.$slab.forget(spec, view, types);
            slot.tell(&self.$slab.track);
        }

        fn is_dirty(&self, slot: &Self::Slot, spec: &FieldSpec, types: &TypeTable) -> bool {
            !slot.knows(self.$slab.track.ref_id) || self.$slab.is_dirty(spec, types)
        }

        fn full(&self, _slot: &Self::Slot, spec: &FieldSpec, scope: FullScope, cx: &mut Full<'_>) {
            self.$slab.full(spec, scope, cx);
        }

        fn meta(&self, _slot: &Self::Slot, spec: &FieldSpec, cx: &mut Meta<'_>) {
            self.$slab.meta(spec, cx);
        }
    };
}
pub(crate) use slab_field;

macro_rules! bag {
    ($(#[$doc:meta])* $name:ident, $kind:ident) => {
        $(#[$doc])*
        pub struct $name<T: Item> {
            slab: Slab<(), T>,
        }

        impl<T: Item> $name<T> {
            /// Without items.
            pub fn new() -> Self {
                Self { slab: Slab::new(false) }
            }

            /// Number of items.
            pub fn len(&self) -> usize {
                self.slab.len()
            }

            /// Whether there is no item.
            pub fn is_empty(&self) -> bool {
                self.slab.len() == 0
            }

            /// Adds an item.
            pub fn add(&mut self, item: T) -> ItemId {
                ItemId(self.slab.push((), item))
            }

            /// The item.
            pub fn get(&self, id: ItemId) -> Option<&T> {
                self.slab.get(id.0)
            }

            /// The item, to change it.
            pub fn get_mut(&mut self, id: ItemId) -> Option<&mut T> {
                self.slab.get_mut(id.0)
            }

            /// Takes the item out.
            pub fn take(&mut self, id: ItemId) -> Option<T> {
                self.slab.remove(id.0)
            }

            /// Removes all items.
            pub fn clear(&mut self) {
                self.slab.clear();
            }

            /// Items in order of addition.
            pub fn iter(&self) -> impl DoubleEndedIterator<Item = (ItemId, &T)> {
                self.slab.iter().map(|(entry, value)| (ItemId(entry.index), value))
            }

            /// Items in order of addition, to change them; all count as touched.
            pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (ItemId, &mut T)> {
                self.slab.iter_mut().map(|(_, index, value)| (ItemId(index), value))
            }

            /// Items without their ids.
            pub fn values(&self) -> impl DoubleEndedIterator<Item = &T> {
                self.iter().map(|(_, value)| value)
            }

            /// Shows the item with the fields tagged with one of these bits.
            pub fn show_tagged(&mut self, id: ItemId, view: ViewId, tag: Tag) -> bool {
                self.slab.show(id.0, view, Some(tag))
            }

            /// Shows the item from now on: the view gets changes and full states, but not what is there by now.
            pub fn show_later(&mut self, id: ItemId, view: ViewId, tag: Tag) -> bool {
                self.slab.show_later(id.0, view, tag)
            }

            /// Takes everything shown of the item back.
            pub fn hide(&mut self, id: ItemId, view: ViewId) -> bool {
                self.slab.hide(id.0, view, None)
            }

            /// Takes tag bits back; the item stays shown.
            pub fn hide_tagged(&mut self, id: ItemId, view: ViewId, tag: Tag) -> bool {
                self.slab.hide(id.0, view, Some(tag))
            }

            /// Shows all items, present and future ones.
            pub fn show_all(&mut self, view: ViewId) {
                self.slab.track.subscribe(view);
            }

            /// Takes `show_all` back; items shown by themselves stay, but in a stream, where that makes no difference.
            pub fn hide_all(&mut self, view: ViewId) {
                self.slab.unsubscribe(view, CollectionKind::$kind == CollectionKind::Stream);
            }

            /// Shows the collection itself, without its items.
            pub fn show_empty(&mut self, view: ViewId) {
                self.slab.track.grant(view);
            }

            /// Takes `show_empty` back.
            pub fn hide_empty(&mut self, view: ViewId) {
                self.slab.track.revoke(view);
            }
        }

        impl<T: Item> Default for $name<T> {
            fn default() -> Self {
                Self::new()
            }
        }

        impl<T: Item + Clone> Clone for $name<T> {
            /// Copies the values, which get new ids. The copy is new to every client.
            fn clone(&self) -> Self {
                Self { slab: self.slab.copy() }
            }
        }

        impl<T: Item + fmt::Debug> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_list().entries(self.values()).finish()
            }
        }

        impl<T: Item + PartialEq> PartialEq for $name<T> {
            /// Equal items in the same order.
            fn eq(&self, other: &Self) -> bool {
                self.values().eq(other.values())
            }
        }

        impl<T: Item> FromIterator<T> for $name<T> {
            fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
                let mut all = Self::new();
                for item in items {
                    all.add(item);
                }
                all
            }
        }

        impl<T: ItemType> FieldType for $name<T> {
            fn kind(registry: &mut Registry, prim: Option<Prim>) -> Kind {
                Kind::Collection(CollectionKind::$kind, T::item_kind(registry, prim))
            }
        }

        impl<T: Item> Optional for $name<T> {
            fn blank_value(_spec: &FieldSpec, _ty: Option<TypeNo>, _types: &TypeTable) -> Self {
                Self::new()
            }
        }

        impl<T: Item> Field for $name<T> {
            type Slot = CollectionSlot;

            slab_field!(slab);

            fn poll(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, cx: &mut Patch<'_>) -> Change {
                self.slab.poll(slot, spec, cx)
            }

            fn introduce(&mut self, _slot: &mut Self::Slot, spec: &FieldSpec, cx: &mut Patch<'_>) {
                self.slab.introduce(spec, cx);
            }

            fn load(
                &mut self, slot: &mut Self::Slot, spec: &FieldSpec, value: &Value, cx: &mut Load<'_>,
            ) -> Result<(), RestoreError> {
                let (ref_id, items) = cx.indexed_items(spec, value)?;
                self.clear();
                self.slab.load(slot, spec, ref_id, items.into_iter().map(|(index, value)| (index, (), value)), cx)
            }
        }
    };
}

bag!(
    /// Items in order of addition (wire type `set`). Of primitives, [`Set::insert`] keeps each value once.
    Set,
    Set
);
bag!(
    /// Items in order of addition, equal ones allowed (wire type `collection`).
    Collection,
    Collection
);
bag!(
    /// Items sent a few per tick (wire type `stream`, schema 5 only).
    ///
    /// While the room has no views, everyone gets at most [`Stream::max_per_tick`] new items with a patch, in order.
    /// With views, each view gets the items it is shown, at most so many per patch.
    Stream,
    Stream
);

impl<T: Item> Set<T> {
    /// Shows the item to a view: itself, its untagged and default-tagged fields.
    pub fn show(&mut self, id: ItemId, view: ViewId) -> bool {
        self.slab.show(id.0, view, None)
    }
}

impl<T: Item> Collection<T> {
    /// Shows the item to a view: itself, its untagged and default-tagged fields.
    pub fn show(&mut self, id: ItemId, view: ViewId) -> bool {
        self.slab.show(id.0, view, None)
    }
}

impl<T: Item> Stream<T> {
    /// Puts the item into the view's backlog.
    pub fn show(&mut self, id: ItemId, view: ViewId) -> bool {
        self.slab.queue(id.0, view)
    }

    /// Items sent per patch, to everyone or to each view. 32 unless set.
    pub fn max_per_tick(&self) -> u32 {
        self.slab.max_per_tick
    }

    /// Sets how many items are sent per patch. Part of the program, not of the state: not journaled.
    pub fn set_max_per_tick(&mut self, items: u32) {
        self.slab.max_per_tick = items;
    }
}

impl<T: Item + Primitive> Set<T> {
    /// Adds a value unless it is there. Looks at every value: sets are meant for dozens, a `Map` for thousands.
    pub fn insert(&mut self, value: T) -> bool {
        if self.contains(&value) {
            return false;
        }
        self.add(value);
        true
    }

    /// Whether the value is in the set.
    pub fn contains(&self, value: &T) -> bool {
        self.values().any(|known| known.same(value))
    }

    /// Takes the value out.
    pub fn remove(&mut self, value: &T) -> bool {
        let id = self.iter().find(|(_, known)| known.same(value)).map(|(id, _)| id);
        id.is_some_and(|id| self.take(id).is_some())
    }
}

impl<T: Item + Primitive> Collection<T> {
    /// Takes the first item with this value out.
    pub fn remove(&mut self, value: &T) -> bool {
        let id = self.iter().find(|(_, known)| known.same(value)).map(|(id, _)| id);
        id.is_some_and(|id| self.take(id).is_some())
    }
}
