//! State whose types are known at run time only.
//!
//! A [`DynStruct`] holds its fields by position in its [`TypeDesc`]; it implements the traits derived structs
//! implement, and its collections are the same `List`, `Map`, `Set`, `Collection` and `Stream`, so that whatever is
//! shown with it is shown for derived types.

use crate::bag::{Collection, Set, Stream};
use crate::child::Child;
use crate::decode::Value;
use crate::full::{Full, FullScope};
use crate::list::List;
use crate::map::Map;
use crate::number::{number_is_rounded, put_number, put_number_exact, put_str};
use crate::output::NO_REF;
use crate::prim::{Primitive, poll_primitive};
use crate::restore::{Load, Meta, RestoreError};
use crate::structure::{Change, Field, Item, Patch, Structure, Visitor, VisitorRef};
use crate::types::{CollectionKind, FieldSpec, ItemKind, Kind, Prim, TypeDesc, TypeNo, TypeTable};
use crate::view::{Granted, Scope, ViewId, ViewSet};

/// A struct of a run-time type.
#[derive(Debug)]
pub struct DynStruct {
    ty: TypeNo,
    fields: Vec<DynField>,
}

/// A field of a [`DynStruct`]. Which variant it is follows from the type; `None` is unset.
#[derive(Debug)]
#[expect(missing_docs, reason = "the variants are the kinds of fields")]
pub enum DynField {
    Prim(Option<Value>),
    Struct(Option<Child<DynStruct>>),
    List(Option<List<DynItem>>),
    Map(Option<Map<DynItem>>),
    Set(Option<Set<DynItem>>),
    Collection(Option<Collection<DynItem>>),
    Stream(Option<Stream<DynItem>>),
}

/// An item of a collection in a [`DynStruct`].
#[derive(Debug)]
#[expect(missing_docs, reason = "the variants are the kinds of items")]
pub enum DynItem {
    Prim(Value),
    Struct(DynStruct),
}

impl DynStruct {
    /// An instance of type `ty`: primitives and nested structs unset, collections empty.
    pub fn new(ty: TypeNo, types: &TypeTable) -> Self {
        let fields = types.get(ty).fields.iter().map(|spec| DynField::blank(&spec.kind)).collect();
        DynStruct { ty, fields }
    }

    /// The type.
    pub fn ty(&self) -> TypeNo {
        self.ty
    }

    /// The field at a position of [`TypeDesc::fields`]. Panics beyond the last.
    pub fn field(&self, position: usize) -> &DynField {
        &self.fields[position]
    }

    /// The field at a position, to change it. Panics beyond the last.
    pub fn field_mut(&mut self, position: usize) -> &mut DynField {
        &mut self.fields[position]
    }
}

impl DynField {
    /// What a field of this kind starts as.
    pub fn blank(kind: &Kind) -> Self {
        match kind {
            Kind::Prim(_) => DynField::Prim(None),
            Kind::Struct(_) => DynField::Struct(None),
            Kind::Collection(CollectionKind::Array, _) => DynField::List(Some(List::new())),
            Kind::Collection(CollectionKind::Map, _) => DynField::Map(Some(Map::new())),
            Kind::Collection(CollectionKind::Set, _) => DynField::Set(Some(Set::new())),
            Kind::Collection(CollectionKind::Collection, _) => DynField::Collection(Some(Collection::new())),
            Kind::Collection(CollectionKind::Stream, _) => DynField::Stream(Some(Stream::new())),
        }
    }
}

impl Clone for DynStruct {
    fn clone(&self) -> Self {
        DynStruct { ty: self.ty, fields: self.fields.clone() }
    }
}

impl Clone for DynField {
    fn clone(&self) -> Self {
        match self {
            DynField::Prim(value) => DynField::Prim(value.clone()),
            DynField::Struct(value) => DynField::Struct(value.clone()),
            DynField::List(value) => DynField::List(value.clone()),
            DynField::Map(value) => DynField::Map(value.clone()),
            DynField::Set(value) => DynField::Set(value.clone()),
            DynField::Collection(value) => DynField::Collection(value.clone()),
            DynField::Stream(value) => DynField::Stream(value.clone()),
        }
    }
}

impl Clone for DynItem {
    fn clone(&self) -> Self {
        match self {
            DynItem::Prim(value) => DynItem::Prim(value.clone()),
            DynItem::Struct(value) => DynItem::Struct(value.clone()),
        }
    }
}

/// Slots of a [`DynStruct`], made as fields are first seen.
#[derive(Default)]
pub struct DynShadow(Vec<DynFieldSlot>);

impl Structure for DynStruct {
    type Shadow = DynShadow;
    const FIELDS: usize = 0;

    fn type_no(&self, _types: &TypeTable) -> TypeNo {
        self.ty
    }

    fn blank(ty: TypeNo, types: &TypeTable) -> Self {
        DynStruct::new(ty, types)
    }

    fn visit<V: Visitor>(&mut self, shadow: &mut Self::Shadow, ty: &TypeDesc, visitor: &mut V) {
        if shadow.0.len() < self.fields.len() {
            shadow.0.resize_with(self.fields.len(), DynFieldSlot::default);
        }
        for ((spec, field), slot) in ty.fields.iter().zip(&mut self.fields).zip(&mut shadow.0) {
            visitor.field(spec, field, slot);
        }
    }

    fn visit_ref<V: VisitorRef>(&self, shadow: &Self::Shadow, ty: &TypeDesc, visitor: &mut V) {
        let unseen = DynFieldSlot::default();
        for (position, (spec, field)) in ty.fields.iter().zip(&self.fields).enumerate() {
            visitor.field(spec, field, shadow.0.get(position).unwrap_or(&unseen));
        }
    }
}

/// Passes everything on to the variant at hand; the slot has the same variant, or is empty.
macro_rules! by_variant {
    ($value:ident, $slot:ident { $($variant:ident($inner:ty)),+ }) => {
        /// The slot of the variant at hand.
        #[derive(Default)]
        pub enum $slot {
            /// Nothing was told yet.
            #[default]
            Empty,
            $(
                /// Of the variant of the same name.
                $variant(<$inner as Field>::Slot),
            )+
        }

        impl Field for $value {
            type Slot = $slot;

            fn poll(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, cx: &mut Patch<'_>) -> Change {
                self.prepare(slot);
                match (self, slot) {
                    $(($value::$variant(value), $slot::$variant(slot)) => value.poll(slot, spec, cx),)+
                    _ => Change::None,
                }
            }

            fn is_set(&self) -> bool {
                match self {
                    $($value::$variant(value) => value.is_set(),)+
                }
            }

            fn write(&self, slot: &Self::Slot, spec: &FieldSpec, exact: bool, out: &mut Vec<u8>) {
                match (self, slot) {
                    $(($value::$variant(value), $slot::$variant(slot)) => value.write(slot, spec, exact, out),)+
                    _ => {}
                }
            }

            fn rounded(&self, spec: &FieldSpec) -> bool {
                match self {
                    $($value::$variant(value) => Field::rounded(value, spec),)+
                }
            }

            fn introduce(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, cx: &mut Patch<'_>) {
                self.prepare(slot);
                match (self, slot) {
                    $(($value::$variant(value), $slot::$variant(slot)) => value.introduce(slot, spec, cx),)+
                    _ => {}
                }
            }

            fn is_fresh(&self, slot: &Self::Slot) -> bool {
                match (self, slot) {
                    $(($value::$variant(value), $slot::$variant(slot)) => value.is_fresh(slot),)+
                    _ => false,
                }
            }

            fn ref_id(&self, slot: &Self::Slot) -> u32 {
                match (self, slot) {
                    $(($value::$variant(value), $slot::$variant(slot)) => value.ref_id(slot),)+
                    _ => NO_REF,
                }
            }

            fn inside<'a>(&'a self, slot: &'a Self::Slot) -> Option<&'a Granted> {
                match (self, slot) {
                    $(($value::$variant(value), $slot::$variant(slot)) => value.inside(slot),)+
                    _ => None,
                }
            }

            fn cover(slot: &mut Self::Slot, view: ViewId) {
                match slot {
                    $slot::Empty => {}
                    $($slot::$variant(slot) => <$inner as Field>::cover(slot, view),)+
                }
            }

            fn shown(&self) -> (ViewSet, ViewSet) {
                match self {
                    $($value::$variant(value) => value.shown(),)+
                }
            }

            fn told(slot: &Self::Slot) -> Option<&ViewSet> {
                match slot {
                    $slot::Empty => None,
                    $($slot::$variant(slot) => <$inner as Field>::told(slot),)+
                }
            }

            fn descend(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, scope: &Scope, cx: &mut Patch<'_>) {
                match (self, slot) {
                    $(($value::$variant(value), $slot::$variant(slot)) => value.descend(slot, spec, scope, cx),)+
                    _ => {}
                }
            }

            fn settle(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, types: &TypeTable) -> ViewSet {
                self.prepare(slot);
                match (self, slot) {
                    $(($value::$variant(value), $slot::$variant(slot)) => value.settle(slot, spec, types),)+
                    _ => ViewSet::EMPTY,
                }
            }

            fn forget(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, view: ViewId, types: &TypeTable) {
                self.prepare(slot);
                match (self, slot) {
                    $(($value::$variant(value), $slot::$variant(slot)) => value.forget(slot, spec, view, types),)+
                    _ => {}
                }
            }

            fn is_dirty(&self, slot: &Self::Slot, spec: &FieldSpec, types: &TypeTable) -> bool {
                match (self, slot) {
                    $(($value::$variant(value), $slot::$variant(slot)) => value.is_dirty(slot, spec, types),)+
                    (value, _) => value.is_set(),
                }
            }

            fn full(&self, slot: &Self::Slot, spec: &FieldSpec, scope: FullScope, cx: &mut Full<'_>) {
                match (self, slot) {
                    $(($value::$variant(value), $slot::$variant(slot)) => value.full(slot, spec, scope, cx),)+
                    _ => {}
                }
            }

            fn meta(&self, slot: &Self::Slot, spec: &FieldSpec, cx: &mut Meta<'_>) {
                match (self, slot) {
                    $(($value::$variant(value), $slot::$variant(slot)) => value.meta(slot, spec, cx),)+
                    _ => {}
                }
            }

            fn load(
                &mut self, slot: &mut Self::Slot, spec: &FieldSpec, value: &Value, cx: &mut Load<'_>,
            ) -> Result<(), RestoreError> {
                self.prepare(slot);
                match (self, slot) {
                    $(($value::$variant(inner), $slot::$variant(slot)) => inner.load(slot, spec, value, cx),)+
                    _ => Ok(()),
                }
            }
        }

        impl $value {
            /// Gives an empty slot the variant of the value.
            fn prepare(&self, slot: &mut $slot) {
                match (self, &*slot) {
                    $(($value::$variant(_), $slot::$variant(_)) => {})+
                    $(($value::$variant(_), _) => *slot = $slot::$variant(Default::default()),)+
                }
            }
        }
    };
}

by_variant!(DynField, DynFieldSlot {
    Prim(Option<Value>),
    Struct(Option<Child<DynStruct>>),
    List(Option<List<DynItem>>),
    Map(Option<Map<DynItem>>),
    Set(Option<Set<DynItem>>),
    Collection(Option<Collection<DynItem>>),
    Stream(Option<Stream<DynItem>>)
});

by_variant!(DynItem, DynItemSlot { Prim(Value), Struct(DynStruct) });

impl Item for DynItem {
    fn blank_item(spec: &FieldSpec, ty: Option<TypeNo>, types: &TypeTable) -> Self {
        match spec.kind {
            Kind::Collection(_, ItemKind::Struct(declared)) => {
                DynItem::Struct(DynStruct::new(ty.unwrap_or(declared), types))
            }
            _ => DynItem::Prim(Value::Null),
        }
    }
}

impl Primitive for Value {
    // Never asked for: run-time fields always name their primitive.
    const PRIM: Prim = Prim::Number;

    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (a, b) => a == b,
        }
    }

    fn put(&self, prim: &Prim, exact: bool, out: &mut Vec<u8>) {
        let float = self.as_f64().unwrap_or_default();
        let signed = match self {
            Value::Int(v) | Value::BigInt(v) => *v,
            Value::Uint(v) | Value::BigUint(v) => *v as i64,
            _ => float as i64,
        };
        let unsigned = match self {
            Value::Uint(v) | Value::BigUint(v) => *v,
            Value::Int(v) | Value::BigInt(v) => *v as u64,
            _ => float as u64,
        };
        match prim {
            Prim::String => put_str(out, if let Value::Str(text) = self { text } else { "" }),
            Prim::Boolean => out.push(u8::from(*self == Value::Bool(true))),
            Prim::Int8 | Prim::Uint8 => out.push(signed as u8),
            Prim::Int16 | Prim::Uint16 => out.extend_from_slice(&(signed as u16).to_le_bytes()),
            Prim::Int32 | Prim::Uint32 => out.extend_from_slice(&(signed as u32).to_le_bytes()),
            Prim::Int64 | Prim::BigInt64 => out.extend_from_slice(&signed.to_le_bytes()),
            Prim::Uint64 | Prim::BigUint64 => out.extend_from_slice(&unsigned.to_le_bytes()),
            Prim::Float32 => out.extend_from_slice(&(float as f32).to_le_bytes()),
            Prim::Float64 => out.extend_from_slice(&float.to_le_bytes()),
            Prim::Number if exact => put_number_exact(out, float),
            Prim::Number => put_number(out, float),
            Prim::Quantized(range) => range.put(out, float),
        }
    }

    fn normalise(&mut self, prim: &Prim) {
        let Some(float) = self.as_f64() else { return };
        match prim {
            Prim::Quantized(range) => *self = Value::Float(range.dequantize(range.quantize(float))),
            Prim::Number | Prim::Float64 => *self = Value::Float(float),
            // What the journal gives back.
            Prim::Float32 => *self = Value::Float(f64::from(float as f32)),
            _ => {}
        }
    }

    fn rounded(&self, prim: &Prim) -> bool {
        matches!(prim, Prim::Number) && self.as_f64().is_some_and(number_is_rounded)
    }

    fn from_value(value: &Value) -> Option<Self> {
        Some(value.clone())
    }

    fn copy_to(&self, to: &mut Self) {
        match (self, to) {
            (Value::Str(text), Value::Str(to)) => to.clone_from(text),
            (value, to) => *to = value.clone(),
        }
    }
}

impl Field for Value {
    type Slot = Option<Value>;

    fn poll(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, _cx: &mut Patch<'_>) -> Change {
        // Values written by hand come in any numeric variant; the slot remembers the settled one.
        if let Some(prim) = spec.prim() {
            self.normalise(prim);
        }
        poll_primitive(self, slot, spec)
    }

    fn write(&self, _slot: &Self::Slot, spec: &FieldSpec, exact: bool, out: &mut Vec<u8>) {
        self.put(spec.prim().unwrap_or(&Self::PRIM), exact, out);
    }

    fn rounded(&self, spec: &FieldSpec) -> bool {
        spec.prim().is_some_and(|prim| Primitive::rounded(self, prim))
    }

    fn is_dirty(&self, slot: &Self::Slot, _spec: &FieldSpec, _types: &TypeTable) -> bool {
        !slot.as_ref().is_some_and(|told| self.same(told))
    }

    fn load(
        &mut self,
        slot: &mut Self::Slot,
        _spec: &FieldSpec,
        value: &Value,
        _cx: &mut Load<'_>,
    ) -> Result<(), RestoreError> {
        *self = value.clone();
        *slot = Some(value.clone());
        Ok(())
    }
}

impl Item for Value {
    fn blank_item(_spec: &FieldSpec, _ty: Option<TypeNo>, _types: &TypeTable) -> Self {
        Value::Null
    }
}

impl Set<DynItem> {
    /// Adds a primitive unless it is there.
    pub fn insert_value(&mut self, value: Value) -> bool {
        let is_same = |item: &DynItem| matches!(item, DynItem::Prim(known) if known.same(&value));
        if self.values().any(is_same) {
            return false;
        }
        self.add(DynItem::Prim(value));
        true
    }
}
