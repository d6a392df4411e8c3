//! `Child`: a nested struct with a visibility and an identity of its own.

use crate::decode::Value;
use crate::full::{Full, FullScope, Part};
use crate::meta;
use crate::restore::{Load, Meta, RestoreError};
use crate::structure::{Change, Field, Item, ItemType, Patch, StructSlot, Structure};
use crate::types::{FieldSpec, ItemKind, Prim, Registry, TypeNo, TypeTable};
use crate::view::{Granted, Members, Scope, Tag, ViewId, ViewSet, Visibility};
use std::ops::{Deref, DerefMut};

/// A nested struct that can be shown to views by itself.
///
/// A plain nested struct follows the instance it is in. Assigning a new `Child` makes a new instance for clients,
/// where assigning a plain struct changes the fields of the one that is there.
#[derive(Debug, Default)]
pub struct Child<T> {
    value: T,
    /// Clients know the instance.
    known: bool,
    visibility: Option<Box<Visibility>>,
}

impl<T> Child<T> {
    /// A new instance.
    pub fn new(value: T) -> Self {
        Child { value, known: false, visibility: None }
    }

    /// The value alone.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// Shows the instance's default-tagged fields.
    pub fn show(&mut self, view: ViewId) {
        self.visibility.get_or_insert_default().now.show(view, None);
    }

    /// Shows the fields tagged with one of these bits, too.
    pub fn show_tagged(&mut self, view: ViewId, tag: Tag) {
        self.visibility.get_or_insert_default().now.show(view, Some(tag));
    }

    /// Shows the instance's default-tagged fields from now on: the view gets changes and full states, but not what
    /// is there by now.
    pub fn show_later(&mut self, view: ViewId, tag: Tag) {
        self.visibility.get_or_insert_default().now.show_later(view, tag);
    }

    /// Takes everything shown back.
    pub fn hide(&mut self, view: ViewId) {
        if let Some(visibility) = &mut self.visibility {
            visibility.now.hide(view, None);
        }
    }

    /// Takes tag bits back.
    pub fn hide_tagged(&mut self, view: ViewId, tag: Tag) {
        if let Some(visibility) = &mut self.visibility {
            visibility.now.hide(view, Some(tag));
        }
    }
}

impl<T> Deref for Child<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Child<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: Clone> Clone for Child<T> {
    /// Copies the value. The copy is a new instance.
    fn clone(&self) -> Self {
        Child::new(self.value.clone())
    }
}

impl<T: PartialEq> PartialEq for Child<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T> From<T> for Child<T> {
    fn from(value: T) -> Self {
        Child::new(value)
    }
}

impl<T: Structure> Field for Child<T> {
    type Slot = <T as Field>::Slot;

    fn poll(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, cx: &mut Patch<'_>) -> Change {
        self.renew(slot);
        self.known = true;
        self.value.poll(slot, spec, cx)
    }

    fn write(&self, slot: &Self::Slot, spec: &FieldSpec, exact: bool, out: &mut Vec<u8>) {
        self.value.write(slot, spec, exact, out);
    }

    fn introduce(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, cx: &mut Patch<'_>) {
        if let Some(visibility) = &mut self.visibility {
            visibility.seen = Default::default();
        }
        self.value.introduce(slot, spec, cx);
    }

    fn is_fresh(&self, slot: &Self::Slot) -> bool {
        slot.fresh
    }

    fn ref_id(&self, slot: &Self::Slot) -> u32 {
        slot.ref_id
    }

    fn inside<'a>(&'a self, slot: &'a Self::Slot) -> Option<&'a Granted> {
        self.value.inside(slot)
    }

    fn cover(slot: &mut Self::Slot, view: ViewId) {
        T::cover(slot, view);
    }

    fn shown(&self) -> (ViewSet, ViewSet) {
        let given = self.visibility.as_ref();
        given.map_or((ViewSet::EMPTY, ViewSet::EMPTY), |given| (given.seen.all(), given.now.all()))
    }

    fn told(slot: &Self::Slot) -> Option<&ViewSet> {
        T::told(slot)
    }

    fn descend(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, scope: &Scope, cx: &mut Patch<'_>) {
        let Some(given) = &mut self.visibility else {
            if scope.alone {
                let mut below = scope.only(&ViewSet::EMPTY, &ViewSet::EMPTY);
                (below.members_old, below.members_new) = (Members::EMPTY, Members::EMPTY);
                return self.value.descend(slot, spec, &below, cx);
            }
            return self.value.descend(slot, spec, scope, cx);
        };
        let below = if scope.alone {
            Scope {
                members_old: given.seen.clone(),
                members_new: given.now.clone(),
                ..scope.only(&given.seen.all(), &given.now.all())
            }
        } else {
            Scope {
                members_old: scope.members_old.union(&given.seen),
                members_new: scope.members_new.union(&given.now),
                ..scope.clone()
            }
        };
        if given.now != given.seen {
            if !(slot.fresh && given.now.is_empty()) {
                meta::members(&mut cx.out.meta, slot.ref_id, &given.now);
            }
            given.seen = given.now.clone();
        }
        self.value.descend(slot, spec, &below, cx);
    }

    fn settle(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, types: &TypeTable) -> ViewSet {
        self.renew(slot);
        let mut found = self.value.settle(slot, spec, types);
        if let Some(given) = &self.visibility
            && given.now != given.seen
        {
            let shown = given.now.all();
            found = found.union(&shown);
            slot.grant(&shown);
        }
        found
    }

    fn forget(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, view: ViewId, types: &TypeTable) {
        if let Some(visibility) = &mut self.visibility {
            visibility.forget(view);
        }
        self.value.forget(slot, spec, view, types);
    }

    fn is_dirty(&self, slot: &Self::Slot, spec: &FieldSpec, types: &TypeTable) -> bool {
        !self.known
            || self.visibility.as_ref().is_some_and(|given| given.now != given.seen)
            || self.value.is_dirty(slot, spec, types)
    }

    fn full(&self, slot: &Self::Slot, spec: &FieldSpec, scope: FullScope, cx: &mut Full<'_>) {
        let scope = match (&self.visibility, cx.part) {
            (given, Part::View(view)) if cx.alone => {
                scope.alone(view, given.as_ref().map_or(&Members::EMPTY, |given| &given.now))
            }
            (Some(given), Part::View(view)) => scope.given(view, &given.now),
            _ => scope,
        };
        self.value.full(slot, spec, scope, cx);
    }

    fn meta(&self, slot: &Self::Slot, spec: &FieldSpec, cx: &mut Meta<'_>) {
        if let Some(given) = &self.visibility
            && !given.now.is_empty()
        {
            meta::members(cx.out, slot.ref_id, &given.now);
        }
        self.value.meta(slot, spec, cx);
    }

    fn load(
        &mut self,
        slot: &mut Self::Slot,
        spec: &FieldSpec,
        value: &Value,
        cx: &mut Load<'_>,
    ) -> Result<(), RestoreError> {
        self.value.load(slot, spec, value, cx)?;
        self.known = true;
        self.visibility = cx.visibility(slot.ref_id);
        Ok(())
    }
}

impl<T: Structure> Child<T> {
    /// A new child is a new instance, whatever was in its place.
    fn renew(&self, slot: &mut StructSlot<T::Shadow>) {
        if !self.known && slot.announced {
            slot.renew();
        }
    }
}

impl<T: Structure> Item for Child<T> {
    fn blank_item(spec: &FieldSpec, ty: Option<TypeNo>, types: &TypeTable) -> Self {
        Child::new(T::blank_item(spec, ty, types))
    }
}

impl<T: ItemType + Structure> ItemType for Child<T> {
    fn item_kind(registry: &mut Registry, prim: Option<Prim>) -> ItemKind {
        T::item_kind(registry, prim)
    }
}
