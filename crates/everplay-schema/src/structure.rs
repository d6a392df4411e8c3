//! How walkers see values: the traits derived types, run-time types and collections have in common.
//!
//! A [`Structure`] shows its fields, one by one and each with its own type, to a visitor; a [`Field`] knows how to
//! compare itself with its slot, how to write itself, how to go down into what it holds. Walkers are visitors, so
//! that derived types and [`crate::DynStruct`] run through the very same code.
//!
//! Values stay plain: what must be remembered between patches is the *slot* beside the value. A primitive's slot is
//! the value last sent; a structure's slot is its refId and the slots of its fields (its *shadow*). Slots of fields
//! are in the shadow of the structure, slots of items in the collection's entry, the root's slot in the replica.

use crate::decode::Value;
use crate::full::{Full, FullScope};
use crate::output::{NO_REF, Output};
use crate::restore::{Load, Meta, RestoreError};
use crate::types::{FieldSpec, ItemKind, Kind, Prim, Registry, TypeDesc, TypeNo, TypeTable};
use crate::view::{Granted, Scope, ViewId, ViewSet};
use std::sync::Arc;

/// Which operations change arrays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArrayForm {
    /// What the decoders of schema 3, 4 and 5 and the SDKs outside of JavaScript all understand.
    #[default]
    Portable,
    /// What schema 5 sends: shorter for inserts in the middle, which only schema 5 decodes.
    Native,
}

/// What happened to a field since the last patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// It has a new value.
    Set,
    /// Another instance took the place of the one clients know.
    Replace,
    /// It has no value any more.
    Unset,
}

/// State of one patch being encoded.
pub struct Patch<'t> {
    pub(crate) types: &'t TypeTable,
    pub(crate) out: &'t mut Output,
    pub(crate) next_ref: u32,
    pub(crate) form: ArrayForm,
    /// Tells collections of this replica from those that were moved in from elsewhere.
    pub(crate) owner: u64,
    /// Whether the room has given out views.
    pub(crate) views: bool,
    /// Set when a stream has more to send: whoever is above looks again with the next patch.
    pub(crate) again: bool,
}

impl Patch<'_> {
    /// The next refId. They are never reused.
    pub(crate) fn new_ref(&mut self) -> u32 {
        let new = self.next_ref;
        self.next_ref = new.checked_add(1).expect("a room makes fewer than 2^32 structures");
        new
    }
}

/// Visits the fields of a structure to change slots.
pub trait Visitor {
    /// One field, in the order of [`TypeDesc::fields`].
    fn field<F: Field>(&mut self, spec: &FieldSpec, value: &mut F, slot: &mut F::Slot);
}

/// Visits the fields of a structure to read.
pub trait VisitorRef {
    /// One field, in the order of [`TypeDesc::fields`].
    fn field<F: Field>(&mut self, spec: &FieldSpec, value: &F, slot: &F::Slot);
}

/// A struct of the state tree: derived, or [`crate::DynStruct`].
pub trait Structure: Send + Sized + 'static {
    /// Slots of the fields.
    type Shadow: Default + Send;
    /// Number of fields, inherited ones included; where the own fields of a deriving type start.
    const FIELDS: usize;
    /// The instance's type.
    fn type_no(&self, types: &TypeTable) -> TypeNo;
    /// A new instance for [`Field::load`] to fill.
    fn blank(ty: TypeNo, types: &TypeTable) -> Self;
    /// Shows every field.
    fn visit<V: Visitor>(&mut self, shadow: &mut Self::Shadow, ty: &TypeDesc, visitor: &mut V);
    /// Shows every field, to read.
    fn visit_ref<V: VisitorRef>(&self, shadow: &Self::Shadow, ty: &TypeDesc, visitor: &mut V);
}

/// A struct whose type is known when the program is compiled. Made by `#[derive(State)]`.
pub trait State: Structure + Default {
    /// Registers the type and what it refers to.
    fn describe(registry: &mut Registry) -> TypeNo;
    /// The types of the tree with this one as root, built once.
    fn table() -> Arc<TypeTable>;
}

/// What can be a field: primitives, structs, options of both, collections.
pub trait Field: Send + Sized + 'static {
    /// What is remembered beside the value.
    type Slot: Default + Send;

    /// Compares with the slot and brings it up to date. Gives refIds to what is new.
    fn poll(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, cx: &mut Patch<'_>) -> Change;
    /// Whether there is a value.
    fn is_set(&self) -> bool {
        true
    }
    /// Appends the value: a primitive's bytes, or a refId with a TYPE_ID where needed. `exact`: without rounding.
    fn write(&self, slot: &Self::Slot, spec: &FieldSpec, exact: bool, out: &mut Vec<u8>);
    /// Whether the value loses precision on the wire.
    fn rounded(&self, _spec: &FieldSpec) -> bool {
        false
    }
    /// Gives refIds to the value and everything in it: it is new to all clients.
    fn introduce(&mut self, _slot: &mut Self::Slot, _spec: &FieldSpec, _cx: &mut Patch<'_>) {}
    /// Whether the value is introduced in the patch being encoded.
    fn is_fresh(&self, _slot: &Self::Slot) -> bool {
        false
    }
    /// The refId of the structure or collection.
    fn ref_id(&self, _slot: &Self::Slot) -> u32 {
        NO_REF
    }
    /// Views that see something inside and therefore see this.
    fn inside<'a>(&'a self, _slot: &'a Self::Slot) -> Option<&'a Granted> {
        None
    }
    /// Views the value itself was shown to, before and after.
    fn shown(&self) -> (ViewSet, ViewSet) {
        (ViewSet::EMPTY, ViewSet::EMPTY)
    }
    /// Views that were told of what is in this place because they see something inside.
    fn told(_slot: &Self::Slot) -> Option<&ViewSet> {
        None
    }
    /// Writes what changed in an instance that these views had before and have now, and that was shown to them as a whole.
    /// False: there is more to it than that, and nothing was done.
    fn descend_plain(
        &mut self,
        _slot: &mut Self::Slot,
        _scope: &Scope,
        _audience: &ViewSet,
        _cx: &mut Patch<'_>,
    ) -> bool {
        false
    }
    /// A view is not to have what is in this place any more, whatever it was shown inside.
    fn cover(_slot: &mut Self::Slot, _view: ViewId) {}
    /// Writes the sections of the value and of what is below.
    fn descend(&mut self, _slot: &mut Self::Slot, _spec: &FieldSpec, _scope: &Scope, _cx: &mut Patch<'_>) {}
    /// Passes "a view was shown something in here" upwards, before anything is written.
    fn settle(&mut self, _slot: &mut Self::Slot, _spec: &FieldSpec, _types: &TypeTable) -> ViewSet {
        ViewSet::EMPTY
    }
    /// Removes a view from all visibility below.
    fn forget(&mut self, _slot: &mut Self::Slot, _spec: &FieldSpec, _view: ViewId, _types: &TypeTable) {}
    /// Whether something waits for the next patch. May say yes too often, never no too often.
    fn is_dirty(&self, slot: &Self::Slot, spec: &FieldSpec, types: &TypeTable) -> bool;
    /// Writes the full state of the value and of what is below.
    fn full(&self, _slot: &Self::Slot, _spec: &FieldSpec, _scope: FullScope, _cx: &mut Full<'_>) {}
    /// Notes counters and visibility for a snapshot.
    fn meta(&self, _slot: &Self::Slot, _spec: &FieldSpec, _cx: &mut Meta<'_>) {}
    /// Takes a decoded value, with its refIds and indexes.
    fn load(
        &mut self,
        slot: &mut Self::Slot,
        spec: &FieldSpec,
        value: &Value,
        cx: &mut Load<'_>,
    ) -> Result<(), RestoreError>;
}

/// What can be in a collection: primitives and structs.
pub trait Item: Field {
    /// A value to load into. `ty` is the instance's type for structures.
    fn blank_item(spec: &FieldSpec, ty: Option<TypeNo>, types: &TypeTable) -> Self;
}

/// Fields that describe themselves when the program is compiled.
pub trait FieldType: Field {
    /// What it is on the wire; `prim` overrides the primitive.
    fn kind(registry: &mut Registry, prim: Option<Prim>) -> Kind;
}

/// Items that describe themselves when the program is compiled.
pub trait ItemType: Item {
    /// What it is on the wire; `prim` overrides the primitive.
    fn item_kind(registry: &mut Registry, prim: Option<Prim>) -> ItemKind;
}

/// What is remembered of a struct between patches.
#[derive(Debug)]
pub struct StructSlot<S> {
    pub(crate) ref_id: u32,
    pub(crate) type_no: TypeNo,
    /// Introduced in the patch being encoded.
    pub(crate) fresh: bool,
    /// The parent has told its refId.
    pub(crate) announced: bool,
    /// Clients know another instance in this place.
    pub(crate) replaces: bool,
    /// Views that were shown something inside; none in most rooms.
    pub(crate) inside: Option<Box<Granted>>,
    pub(crate) shadow: S,
}

impl<S: Default> Default for StructSlot<S> {
    fn default() -> Self {
        StructSlot {
            ref_id: NO_REF,
            type_no: 0,
            fresh: false,
            announced: false,
            replaces: false,
            inside: None,
            shadow: S::default(),
        }
    }
}

impl<S> StructSlot<S> {
    /// The refId clients know.
    pub fn ref_id(&self) -> u32 {
        self.ref_id
    }

    /// Starts anew for another instance; remembers what clients have to be told of the old one.
    pub(crate) fn renew(&mut self)
    where
        S: Default,
    {
        let seen = self.inside.take().map(|inside| inside.seen).filter(|seen| !seen.is_empty());
        let inside = seen.map(|seen| Box::new(Granted { now: ViewSet::EMPTY, seen }));
        let replaces = self.announced || self.replaces;
        *self = StructSlot { inside, replaces, ..StructSlot::default() };
    }

    pub(crate) fn grant(&mut self, views: &ViewSet) {
        if !views.is_empty() {
            let inside = self.inside.get_or_insert_default();
            inside.now = inside.now.union(views);
        }
    }
}

impl<T: Structure> Field for T {
    type Slot = StructSlot<T::Shadow>;

    fn poll(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, cx: &mut Patch<'_>) -> Change {
        if slot.announced {
            return Change::None;
        }
        if slot.ref_id == NO_REF {
            self.introduce(slot, spec, cx);
        }
        slot.announced = true;
        if std::mem::take(&mut slot.replaces) { Change::Replace } else { Change::Set }
    }

    fn write(&self, slot: &Self::Slot, spec: &FieldSpec, _exact: bool, out: &mut Vec<u8>) {
        crate::patch::put_instance(out, slot.ref_id, slot.type_no, spec);
    }

    fn introduce(&mut self, slot: &mut Self::Slot, _spec: &FieldSpec, cx: &mut Patch<'_>) {
        crate::patch::introduce(self, slot, cx);
    }

    fn is_fresh(&self, slot: &Self::Slot) -> bool {
        slot.fresh
    }

    fn ref_id(&self, slot: &Self::Slot) -> u32 {
        slot.ref_id
    }

    fn inside<'a>(&'a self, slot: &'a Self::Slot) -> Option<&'a Granted> {
        slot.inside.as_deref()
    }

    fn cover(slot: &mut Self::Slot, view: ViewId) {
        if let Some(inside) = &mut slot.inside {
            inside.now.remove(view);
        }
    }

    fn told(slot: &Self::Slot) -> Option<&ViewSet> {
        slot.inside.as_ref().map(|inside| &inside.seen)
    }

    fn descend(&mut self, slot: &mut Self::Slot, _spec: &FieldSpec, scope: &Scope, cx: &mut Patch<'_>) {
        crate::patch::walk(self, slot, scope, cx);
    }

    fn descend_plain(
        &mut self,
        slot: &mut Self::Slot,
        scope: &Scope,
        audience: &ViewSet,
        cx: &mut Patch<'_>,
    ) -> bool {
        crate::patch::walk_plain(self, slot, scope, audience, cx)
    }

    fn settle(&mut self, slot: &mut Self::Slot, _spec: &FieldSpec, types: &TypeTable) -> ViewSet {
        crate::patch::settle(self, slot, types)
    }

    fn forget(&mut self, slot: &mut Self::Slot, _spec: &FieldSpec, view: ViewId, types: &TypeTable) {
        crate::patch::forget(self, slot, view, types);
    }

    fn is_dirty(&self, slot: &Self::Slot, _spec: &FieldSpec, types: &TypeTable) -> bool {
        !slot.announced || crate::patch::is_dirty(self, slot, types)
    }

    fn full(&self, slot: &Self::Slot, _spec: &FieldSpec, scope: FullScope, cx: &mut Full<'_>) {
        cx.structure(self, slot, scope);
    }

    fn meta(&self, slot: &Self::Slot, _spec: &FieldSpec, cx: &mut Meta<'_>) {
        cx.structure(self, slot);
    }

    fn load(
        &mut self,
        slot: &mut Self::Slot,
        spec: &FieldSpec,
        value: &Value,
        cx: &mut Load<'_>,
    ) -> Result<(), RestoreError> {
        cx.structure(self, slot, spec, value)
    }
}

impl<T: Structure> Item for T {
    fn blank_item(spec: &FieldSpec, ty: Option<TypeNo>, types: &TypeTable) -> Self {
        T::blank(ty.or(spec.kind.struct_type()).unwrap_or(0), types)
    }
}

impl<T: State> ItemType for T {
    fn item_kind(registry: &mut Registry, _prim: Option<Prim>) -> ItemKind {
        ItemKind::Struct(T::describe(registry))
    }
}

impl<T: ItemType> FieldType for T {
    fn kind(registry: &mut Registry, prim: Option<Prim>) -> Kind {
        match T::item_kind(registry, prim) {
            ItemKind::Prim(prim) => Kind::Prim(prim),
            ItemKind::Struct(no) => Kind::Struct(no),
        }
    }
}

/// What can be left unset: everything that can be a field, but options.
pub trait Optional: Field {
    /// A value to load into.
    fn blank_value(spec: &FieldSpec, ty: Option<TypeNo>, types: &TypeTable) -> Self;
}

impl<T: Item> Optional for T {
    fn blank_value(spec: &FieldSpec, ty: Option<TypeNo>, types: &TypeTable) -> Self {
        T::blank_item(spec, ty, types)
    }
}

impl<T: Optional> Field for Option<T> {
    type Slot = OptionSlot<T::Slot>;

    fn poll(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, cx: &mut Patch<'_>) -> Change {
        match self {
            Some(value) => {
                let change = value.poll(&mut slot.slot, spec, cx);
                slot.known = true;
                change
            }
            None if slot.known => {
                *slot = OptionSlot::default();
                Change::Unset
            }
            None => Change::None,
        }
    }

    fn is_set(&self) -> bool {
        self.is_some()
    }

    fn write(&self, slot: &Self::Slot, spec: &FieldSpec, exact: bool, out: &mut Vec<u8>) {
        if let Some(value) = self {
            value.write(&slot.slot, spec, exact, out);
        }
    }

    fn rounded(&self, spec: &FieldSpec) -> bool {
        self.as_ref().is_some_and(|value| value.rounded(spec))
    }

    fn introduce(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, cx: &mut Patch<'_>) {
        if let Some(value) = self {
            value.introduce(&mut slot.slot, spec, cx);
        }
    }

    fn is_fresh(&self, slot: &Self::Slot) -> bool {
        self.as_ref().is_some_and(|value| value.is_fresh(&slot.slot))
    }

    fn ref_id(&self, slot: &Self::Slot) -> u32 {
        self.as_ref().map_or(NO_REF, |value| value.ref_id(&slot.slot))
    }

    fn inside<'a>(&'a self, slot: &'a Self::Slot) -> Option<&'a Granted> {
        self.as_ref().and_then(|value| value.inside(&slot.slot))
    }

    fn cover(slot: &mut Self::Slot, view: ViewId) {
        T::cover(&mut slot.slot, view);
    }

    fn told(slot: &Self::Slot) -> Option<&ViewSet> {
        T::told(&slot.slot)
    }

    fn shown(&self) -> (ViewSet, ViewSet) {
        self.as_ref().map_or((ViewSet::EMPTY, ViewSet::EMPTY), Field::shown)
    }

    fn descend(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, scope: &Scope, cx: &mut Patch<'_>) {
        if let Some(value) = self {
            value.descend(&mut slot.slot, spec, scope, cx);
        }
    }

    fn settle(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, types: &TypeTable) -> ViewSet {
        self.as_mut().map_or(ViewSet::EMPTY, |value| value.settle(&mut slot.slot, spec, types))
    }

    fn forget(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, view: ViewId, types: &TypeTable) {
        if let Some(value) = self {
            value.forget(&mut slot.slot, spec, view, types);
        }
    }

    fn is_dirty(&self, slot: &Self::Slot, spec: &FieldSpec, types: &TypeTable) -> bool {
        match self {
            Some(value) => !slot.known || value.is_dirty(&slot.slot, spec, types),
            None => slot.known,
        }
    }

    fn full(&self, slot: &Self::Slot, spec: &FieldSpec, scope: FullScope, cx: &mut Full<'_>) {
        if let Some(value) = self {
            value.full(&slot.slot, spec, scope, cx);
        }
    }

    fn meta(&self, slot: &Self::Slot, spec: &FieldSpec, cx: &mut Meta<'_>) {
        if let Some(value) = self {
            value.meta(&slot.slot, spec, cx);
        }
    }

    fn load(
        &mut self,
        slot: &mut Self::Slot,
        spec: &FieldSpec,
        value: &Value,
        cx: &mut Load<'_>,
    ) -> Result<(), RestoreError> {
        if matches!(value, Value::Null) {
            *self = None;
            return Ok(());
        }
        let ty = cx.instance_type(spec, value)?;
        self.insert(T::blank_value(spec, ty, cx.types())).load(&mut slot.slot, spec, value, cx)?;
        slot.known = true;
        Ok(())
    }
}

/// What is remembered of an optional field.
#[derive(Debug, Default)]
pub struct OptionSlot<S> {
    known: bool,
    slot: S,
}

impl<T: FieldType + Optional> FieldType for Option<T> {
    fn kind(registry: &mut Registry, prim: Option<Prim>) -> Kind {
        T::kind(registry, prim)
    }
}
