//! Primitives as fields and items.
//!
//! The Rust type gives the wire type of the same name; `#[state(number)]`, `bigint` and `quantized` choose another
//! form for the same value. Floats are compared bit by bit: NaN equals itself and -0 differs from 0.

use crate::decode::Value;
use crate::number::{number_is_rounded, put_number, put_number_exact, put_str};
use crate::restore::{Load, RestoreError};
use crate::structure::{Change, Field, Item, ItemType, Patch};
use crate::types::{FieldSpec, ItemKind, Prim, Registry, TypeNo, TypeTable};

/// A primitive value. Implemented for `bool`, the integers up to 64 bits, `f32`, `f64` and `String`.
pub trait Primitive: Clone + Send + Default + 'static {
    /// The wire type it has without an attribute.
    const PRIM: Prim;
    /// Whether clients would see no difference.
    fn same(&self, other: &Self) -> bool;
    /// Appends the value as `prim`; `exact` writes a `number` without rounding.
    fn put(&self, prim: &Prim, exact: bool, out: &mut Vec<u8>);
    /// Replaces a value by what clients will read, where the room must hold that (quantized).
    fn normalise(&mut self, _prim: &Prim) {}
    /// Whether a client reads something else than the value.
    fn rounded(&self, _prim: &Prim) -> bool {
        false
    }
    /// The value of a decoded one, if it fits.
    fn from_value(value: &Value) -> Option<Self>;
    /// Copies into an existing value, reusing its memory.
    fn copy_to(&self, to: &mut Self) {
        *to = self.clone();
    }
}

macro_rules! integer {
    ($($rust:ty => $prim:ident),+) => {$(
        impl Primitive for $rust {
            const PRIM: Prim = Prim::$prim;
            fn same(&self, other: &Self) -> bool {
                self == other
            }
            fn put(&self, prim: &Prim, exact: bool, out: &mut Vec<u8>) {
                match prim {
                    Prim::Number if exact => put_number_exact(out, *self as f64),
                    Prim::Number => put_number(out, *self as f64),
                    _ => out.extend_from_slice(&self.to_le_bytes()),
                }
            }
            fn rounded(&self, prim: &Prim) -> bool {
                matches!(prim, Prim::Number) && number_is_rounded(*self as f64)
            }
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    Value::Int(v) | Value::BigInt(v) => (*v).try_into().ok(),
                    Value::Uint(v) | Value::BigUint(v) => (*v).try_into().ok(),
                    // Exact or not at all: `as` saturates, the way back finds out.
                    Value::Float(v) => (*v as $rust as f64 == *v).then_some(*v as $rust),
                    _ => None,
                }
            }
        }
    )+};
}

integer!(i8 => Int8, u8 => Uint8, i16 => Int16, u16 => Uint16, i32 => Int32, u32 => Uint32, i64 => Int64, u64 => Uint64);

macro_rules! float {
    ($($rust:ty => $prim:ident),+) => {$(
        impl Primitive for $rust {
            const PRIM: Prim = Prim::$prim;
            fn same(&self, other: &Self) -> bool {
                self.to_bits() == other.to_bits()
            }
            fn put(&self, prim: &Prim, exact: bool, out: &mut Vec<u8>) {
                match prim {
                    Prim::Number if exact => put_number_exact(out, *self as f64),
                    Prim::Number => put_number(out, *self as f64),
                    Prim::Quantized(range) => range.put(out, *self as f64),
                    Prim::Float32 => out.extend_from_slice(&(*self as f32).to_le_bytes()),
                    _ => out.extend_from_slice(&(*self as f64).to_le_bytes()),
                }
            }
            fn normalise(&mut self, prim: &Prim) {
                if let Prim::Quantized(range) = prim {
                    *self = range.dequantize(range.quantize(*self as f64)) as $rust;
                }
            }
            fn rounded(&self, prim: &Prim) -> bool {
                matches!(prim, Prim::Number) && number_is_rounded(*self as f64)
            }
            fn from_value(value: &Value) -> Option<Self> {
                value.as_f64().map(|v| v as $rust)
            }
        }
    )+};
}

float!(f32 => Float32, f64 => Float64);

impl Primitive for bool {
    const PRIM: Prim = Prim::Boolean;

    fn same(&self, other: &Self) -> bool {
        self == other
    }

    fn put(&self, _prim: &Prim, _exact: bool, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(v) => Some(*v),
            _ => None,
        }
    }
}

impl Primitive for String {
    const PRIM: Prim = Prim::String;

    fn same(&self, other: &Self) -> bool {
        self == other
    }

    fn put(&self, _prim: &Prim, _exact: bool, out: &mut Vec<u8>) {
        put_str(out, self);
    }

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Str(v) => Some(v.clone()),
            _ => None,
        }
    }

    fn copy_to(&self, to: &mut Self) {
        to.clone_from(self);
    }
}

macro_rules! primitive_field {
    ($($rust:ty),+) => {$(
        impl Field for $rust {
            /// The value last told.
            type Slot = Option<$rust>;

            #[inline]
            fn poll(&mut self, slot: &mut Self::Slot, spec: &FieldSpec, _cx: &mut Patch<'_>) -> Change {
                poll_primitive(self, slot, spec)
            }

            #[inline]
            fn write(&self, _slot: &Self::Slot, spec: &FieldSpec, exact: bool, out: &mut Vec<u8>) {
                self.put(spec.prim().unwrap_or(&Self::PRIM), exact, out);
            }

            #[inline]
            fn rounded(&self, spec: &FieldSpec) -> bool {
                spec.prim().is_some_and(|prim| Primitive::rounded(self, prim))
            }

            fn is_dirty(&self, slot: &Self::Slot, _spec: &FieldSpec, _types: &TypeTable) -> bool {
                !slot.as_ref().is_some_and(|told| self.same(told))
            }

            fn load(
                &mut self, slot: &mut Self::Slot, spec: &FieldSpec, value: &Value, cx: &mut Load<'_>,
            ) -> Result<(), RestoreError> {
                *self = Self::from_value(value).ok_or_else(|| cx.misfit(spec, value))?;
                *slot = Some(self.clone());
                Ok(())
            }
        }

        impl Item for $rust {
            fn blank_item(_spec: &FieldSpec, _ty: Option<TypeNo>, _types: &TypeTable) -> Self {
                Self::default()
            }
        }

        impl ItemType for $rust {
            fn item_kind(_registry: &mut Registry, prim: Option<Prim>) -> ItemKind {
                // One attribute for both signs.
                ItemKind::Prim(match prim {
                    Some(Prim::BigInt64) if Self::PRIM == Prim::Uint64 => Prim::BigUint64,
                    Some(prim) => prim,
                    None => Self::PRIM,
                })
            }
        }
    )+};
}

primitive_field!(bool, i8, u8, i16, u16, i32, u32, i64, u64, f32, f64, String);

/// Compares a primitive with the value last told and brings that up to date.
#[inline]
pub(crate) fn poll_primitive<T: Primitive>(value: &mut T, slot: &mut Option<T>, spec: &FieldSpec) -> Change {
    if let Some(told) = slot {
        if value.same(told) {
            return Change::None;
        }
        if let Some(prim @ Prim::Quantized(_)) = spec.prim() {
            value.normalise(prim);
            if value.same(told) {
                return Change::None;
            }
        }
        value.copy_to(told);
        return Change::Set;
    }
    if let Some(prim) = spec.prim() {
        value.normalise(prim);
    }
    *slot = Some(value.clone());
    Change::Set
}
