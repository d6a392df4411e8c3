//! Which Rust types the form attributes are for; the derive macro asks for these, so that a misfit is a compile error
//! at the field.

use crate::bag::{Collection, Set};
use crate::list::List;
use crate::map::Map;
use crate::structure::Item;

/// Fits `#[state(number)]`.
#[diagnostic::on_unimplemented(
    message = "`#[state(number)]` is for numbers, options and collections of them, not for `{Self}`",
    label = "not a number"
)]
pub trait NumberForm {}

/// Fits `#[state(bigint)]`.
#[diagnostic::on_unimplemented(
    message = "`#[state(bigint)]` is for `i64`, `u64`, options and collections of them, not for `{Self}`",
    label = "not a 64-bit integer"
)]
pub trait BigIntForm {}

/// Fits `#[state(quantized(..))]`.
#[diagnostic::on_unimplemented(
    message = "`#[state(quantized(..))]` is for `f32`, `f64` and options of them, not for `{Self}`",
    label = "not a float"
)]
pub trait QuantizedForm {}

macro_rules! forms {
    ($form:ident: $($rust:ty),+) => {
        $(impl $form for $rust {})+
        impl<T: $form> $form for Option<T> {}
    };
}

macro_rules! collections {
    ($($form:ident),+) => {$(
        impl<T: $form + Item> $form for Map<T> {}
        impl<T: $form + Item> $form for List<T> {}
        impl<T: $form + Item> $form for Set<T> {}
        impl<T: $form + Item> $form for Collection<T> {}
    )+};
}

forms!(NumberForm: i8, u8, i16, u16, i32, u32, i64, u64, f32, f64);
forms!(BigIntForm: i64, u64);
forms!(QuantizedForm: f32, f64);
collections!(NumberForm, BigIntForm);
