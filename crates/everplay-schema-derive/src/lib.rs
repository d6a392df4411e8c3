//! `#[derive(State)]`: makes a plain struct a part of a replicated state.
//!
//! The macro writes no logic, only the list of fields: their names and modifiers for the type table, and a visit of
//! each with its slot. What happens to a field is in `everplay-schema`.

mod attributes;
mod expand;

use proc_macro::TokenStream;

/// Makes a struct a part of a state tree, or an enum a slot for a family of types.
///
/// Field attributes, all within `#[state(...)]`:
///
/// | attribute | meaning |
/// | --- | --- |
/// | `number` | written as the self-describing `number` (also of items) |
/// | `bigint` | `i64`/`u64` as `bigint64`/`biguint64`, which JavaScript reads as `bigint` |
/// | `quantized(min = 0.0, max = 1.0, bits = 16, mode = "clamp")` | few bits within a range; bits 8, 16 or 32; mode `clamp` or `wrap` |
/// | `view`, `view = 2` | filtered: sent to views that were shown the instance (with one of these tag bits) |
/// | `private` | server-only: journaled, never sent |
/// | `skip` | neither sent nor journaled; `Default` after a recovery |
/// | `deprecated` | keeps its index, is not sent any more |
/// | `patch_only`, `full_state_only` | only in patches, only in full states |
/// | `rename = "x"` | another name on the wire |
/// | `extends` | the first field: the struct this one derives from |
///
/// Enums: `#[state(base = "Entity")]`, and one unnamed struct per variant that is `Entity` or extends it.
#[proc_macro_derive(State, attributes(state))]
pub fn derive_state(input: TokenStream) -> TokenStream {
    derive(input, &quote::quote!(::everplay_schema))
}

/// [`macro@State`] for crates that depend on `everplay` alone, which re-exports this one under the name `State`.
#[proc_macro_derive(FacadeState, attributes(state))]
pub fn derive_facade_state(input: TokenStream) -> TokenStream {
    derive(input, &quote::quote!(::everplay::schema))
}

fn derive(input: TokenStream, root: &proc_macro2::TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    expand::expand(&input, root).unwrap_or_else(syn::Error::into_compile_error).into()
}
