//! Writes the implementations.

use crate::attributes::{FieldAttributes, Form, base_of};
use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DataEnum, DataStruct, DeriveInput, Error, Fields, Ident, Result, Type};

/// `root` is the path under which the code finds the schema crate.
pub(crate) fn expand(input: &DeriveInput, root: &TokenStream) -> Result<TokenStream> {
    if !input.generics.params.is_empty() {
        let text = "a state type has no type parameters or lifetimes: its wire type is fixed";
        return Err(Error::new_spanned(&input.generics, text));
    }
    match &input.data {
        Data::Struct(data) => structure(input, data, root),
        Data::Enum(data) => family(input, data, root),
        Data::Union(_) => Err(Error::new_spanned(&input.ident, "a union cannot be a state")),
    }
}

struct StateField<'a> {
    ident: &'a Ident,
    ty: &'a Type,
    attributes: FieldAttributes,
}

/// Most fields, counted as far as the macro can see.
const MAX_FIELDS: usize = 63;

fn structure(input: &DeriveInput, data: &DataStruct, root: &TokenStream) -> Result<TokenStream> {
    let name = &input.ident;
    let named = match &data.fields {
        Fields::Named(named) => named.named.iter().collect(),
        Fields::Unit => Vec::new(),
        Fields::Unnamed(_) => {
            return Err(Error::new_spanned(name, "a state has named fields: clients see the names"));
        }
    };
    let mut fields = Vec::new();
    let mut base = None;
    for (position, field) in named.into_iter().enumerate() {
        let ident = field.ident.as_ref().expect("the fields of this struct are named");
        let attributes = FieldAttributes::read(field)?;
        if attributes.skip {
            continue;
        }
        if attributes.extends {
            if position != 0 {
                let text =
                    format!("field `{ident}`: the base comes first, its fields have the first indexes");
                return Err(Error::new_spanned(ident, text));
            }
            base = Some((ident, &field.ty));
            continue;
        }
        fields.push(StateField { ident, ty: &field.ty, attributes });
    }
    if fields.len() > MAX_FIELDS {
        let text =
            format!("a state has at most 63 fields, inherited ones included; this one has {}", fields.len());
        return Err(Error::new_spanned(name, text));
    }
    let krate = quote!(#root::derive);
    let shadow = format_ident!("__{}Shadow", name);
    let count = fields.len();
    let describe = fields.iter().map(|field| describe(field, root, &krate));
    let slots =
        fields.iter().map(|StateField { ident, ty, .. }| quote!(#ident: <#ty as #krate::Field>::Slot,));
    let visits = fields.iter().enumerate().map(|(index, StateField { ident, .. })| {
        quote!(visitor.field(&ty.fields[FROM + #index], &mut self.#ident, &mut shadow.#ident);)
    });
    let visits_ref = fields.iter().enumerate().map(|(index, StateField { ident, .. })| {
        quote!(visitor.field(&ty.fields[FROM + #index], &self.#ident, &shadow.#ident);)
    });
    let (base_slot, base_count, base_describe, base_visit, base_visit_ref) = match base {
        None => (quote!(), quote!(0), quote!(), quote!(), quote!()),
        Some((ident, ty)) => (
            quote!(#ident: <#ty as #krate::Structure>::Shadow,),
            quote!(<#ty as #krate::Structure>::FIELDS),
            quote!(def.extends = ::std::option::Option::Some(<#ty as #krate::State>::describe(registry));),
            quote!(#krate::Structure::visit(&mut self.#ident, &mut shadow.#ident, ty, visitor);),
            quote!(#krate::Structure::visit_ref(&self.#ident, &shadow.#ident, ty, visitor);),
        ),
    };
    let visibility = &input.vis;
    let wire_name = name.to_string();
    Ok(quote! {
        #[doc(hidden)]
        #[derive(Default)]
        #visibility struct #shadow {
            #base_slot
            #(#slots)*
        }

        #[automatically_derived]
        #[allow(unused_variables, deprecated)]
        impl #krate::Structure for #name {
            type Shadow = #shadow;
            const FIELDS: usize = #base_count + #count;

            fn type_no(&self, types: &#krate::TypeTable) -> #krate::TypeNo {
                types.number_of::<Self>()
            }

            fn blank(no: #krate::TypeNo, types: &#krate::TypeTable) -> Self {
                <Self as ::std::default::Default>::default()
            }

            #[inline]
            fn visit<V: #krate::Visitor>(
                &mut self, shadow: &mut Self::Shadow, ty: &#krate::TypeDesc, visitor: &mut V,
            ) {
                const FROM: usize = #base_count;
                #base_visit
                #(#visits)*
            }

            fn visit_ref<V: #krate::VisitorRef>(
                &self, shadow: &Self::Shadow, ty: &#krate::TypeDesc, visitor: &mut V,
            ) {
                const FROM: usize = #base_count;
                #base_visit_ref
                #(#visits_ref)*
            }
        }

        #[automatically_derived]
        impl #krate::State for #name {
            fn describe(registry: &mut #krate::Registry) -> #krate::TypeNo {
                registry.structure::<Self>(#wire_name, |registry, def| {
                    #base_describe
                    #(#describe)*
                })
            }

            fn table() -> ::std::sync::Arc<#krate::TypeTable> {
                static TABLE: ::std::sync::OnceLock<::std::sync::Arc<#krate::TypeTable>> =
                    ::std::sync::OnceLock::new();
                TABLE
                    .get_or_init(|| {
                        let mut registry = #krate::Registry::default();
                        let root = <Self as #krate::State>::describe(&mut registry);
                        ::std::sync::Arc::new(registry.finish(root))
                    })
                    .clone()
            }
        }
    })
}

fn describe(field: &StateField<'_>, root: &TokenStream, krate: &TokenStream) -> TokenStream {
    let StateField { ident, ty, attributes } = field;
    let raw = ident.to_string();
    let name = attributes.rename.clone().unwrap_or_else(|| raw.trim_start_matches("r#").to_owned());
    let none = quote!(::std::option::Option::None);
    let prim = match &attributes.form {
        None => none.clone(),
        Some(Form::Number) => quote!(::std::option::Option::Some(#krate::Prim::Number)),
        Some(Form::BigInt) => quote!(::std::option::Option::Some(#krate::Prim::BigInt64)),
        Some(Form::Quantized { min, max, bits, wrap }) => {
            let mode = if *wrap { quote!(Wrap) } else { quote!(Clamp) };
            quote!(::std::option::Option::Some(#krate::Prim::Quantized(#root::Quantized {
                min: #min, max: #max, bits: #bits, mode: #root::QuantizedMode::#mode,
            })))
        }
    };
    let view = match attributes.view {
        None => none,
        Some(None) => quote!(::std::option::Option::Some(#krate::FieldTag::Default)),
        Some(Some(bits)) => quote!(::std::option::Option::Some(#krate::FieldTag::Bits(#bits))),
    };
    let fits = match &attributes.form {
        None => None,
        Some(Form::Number) => Some(quote!(NumberForm)),
        Some(Form::BigInt) => Some(quote!(BigIntForm)),
        Some(Form::Quantized { .. }) => Some(quote!(QuantizedForm)),
    };
    // At the type, so that a misfit is reported there.
    let fits = fits.map(|form| {
        quote_spanned! {ty.span()=>
            {
                fn fits<T: #krate::#form>() {}
                fits::<#ty>();
            }
        }
    });
    let FieldAttributes { private, deprecated, patch_only, full_state_only, .. } = attributes;
    quote! {
        #fits
        let kind = <#ty as #krate::FieldType>::kind(registry, #prim);
        def.fields.push(#krate::FieldDef {
            name: ::std::string::String::from(#name),
            kind,
            modifiers: #krate::Modifiers {
                view: #view,
                private: #private,
                deprecated: #deprecated,
                patch_only: #patch_only,
                full_state_only: #full_state_only,
            },
        });
    }
}

/// An enum: a slot of a base type that holds one of several derived types.
fn family(input: &DeriveInput, data: &DataEnum, root: &TokenStream) -> Result<TokenStream> {
    let name = &input.ident;
    let Some(base) = base_of(&input.attrs)? else {
        let text = "an enum needs #[state(base = \"Type\")]: the type clients expect in this place";
        return Err(Error::new_spanned(name, text));
    };
    let mut variants = Vec::new();
    for variant in &data.variants {
        let Fields::Unnamed(fields) = &variant.fields else {
            return Err(one_struct(&variant.ident));
        };
        let (1, Some(field)) = (fields.unnamed.len(), fields.unnamed.first()) else {
            return Err(one_struct(&variant.ident));
        };
        variants.push((&variant.ident, &field.ty));
    }
    let Some((first, first_type)) = variants.first() else {
        return Err(Error::new_spanned(name, "an enum without variants has no value"));
    };
    let krate = quote!(#root::derive);
    let slot = format_ident!("__{}Slot", name);
    let visibility = &input.vis;
    let idents: Vec<_> = variants.iter().map(|(ident, _)| *ident).collect();
    let types: Vec<_> = variants.iter().map(|(_, ty)| *ty).collect();
    Ok(quote! {
        #[doc(hidden)]
        #[derive(Default)]
        #visibility enum #slot {
            #[default]
            __None,
            #(#idents(<#types as #krate::Field>::Slot),)*
        }

        #[automatically_derived]
        impl #krate::Field for #name {
            type Slot = #slot;

            fn poll(
                &mut self, slot: &mut Self::Slot, spec: &#krate::FieldSpec, cx: &mut #krate::Patch<'_>,
            ) -> #krate::Change {
                match (self, slot) {
                    #((Self::#idents(value), #slot::#idents(slot)) => #krate::Field::poll(value, slot, spec, cx),)*
                    (value, slot) => {
                        // Another type is another instance.
                        let known = !::std::matches!(slot, #slot::__None);
                        match value {
                            #(Self::#idents(value) => {
                                let mut new = ::std::default::Default::default();
                                let change = #krate::Field::poll(value, &mut new, spec, cx);
                                *slot = #slot::#idents(new);
                                if known { #krate::Change::Replace } else { change }
                            })*
                        }
                    }
                }
            }

            fn write(
                &self, slot: &Self::Slot, spec: &#krate::FieldSpec, exact: bool,
                out: &mut ::std::vec::Vec<u8>,
            ) {
                match (self, slot) {
                    #((Self::#idents(value), #slot::#idents(slot)) => {
                        #krate::Field::write(value, slot, spec, exact, out)
                    })*
                    _ => {}
                }
            }

            fn introduce(
                &mut self, slot: &mut Self::Slot, spec: &#krate::FieldSpec, cx: &mut #krate::Patch<'_>,
            ) {
                match self {
                    #(Self::#idents(value) => {
                        let mut new = ::std::default::Default::default();
                        #krate::Field::introduce(value, &mut new, spec, cx);
                        *slot = #slot::#idents(new);
                    })*
                }
            }

            fn is_fresh(&self, slot: &Self::Slot) -> bool {
                match (self, slot) {
                    #((Self::#idents(value), #slot::#idents(slot)) => #krate::Field::is_fresh(value, slot),)*
                    _ => false,
                }
            }

            fn ref_id(&self, slot: &Self::Slot) -> u32 {
                match slot {
                    #slot::__None => #krate::NO_REF,
                    // Of the instance clients know, which may be of another type than the one that is there now.
                    #(#slot::#idents(slot) => slot.ref_id(),)*
                }
            }

            fn inside<'a>(&'a self, slot: &'a Self::Slot) -> ::std::option::Option<&'a #krate::Granted> {
                match (self, slot) {
                    #((Self::#idents(value), #slot::#idents(slot)) => #krate::Field::inside(value, slot),)*
                    _ => ::std::option::Option::None,
                }
            }

            fn cover(slot: &mut Self::Slot, view: #krate::ViewId) {
                match slot {
                    #slot::__None => {}
                    #(#slot::#idents(slot) => <#types as #krate::Field>::cover(slot, view),)*
                }
            }

            fn told(slot: &Self::Slot) -> ::std::option::Option<&#krate::ViewSet> {
                match slot {
                    #slot::__None => ::std::option::Option::None,
                    #(#slot::#idents(slot) => <#types as #krate::Field>::told(slot),)*
                }
            }

            fn descend(
                &mut self, slot: &mut Self::Slot, spec: &#krate::FieldSpec, scope: &#krate::Scope,
                cx: &mut #krate::Patch<'_>,
            ) {
                match (self, slot) {
                    #((Self::#idents(value), #slot::#idents(slot)) => {
                        #krate::Field::descend(value, slot, spec, scope, cx)
                    })*
                    _ => {}
                }
            }

            fn settle(
                &mut self, slot: &mut Self::Slot, spec: &#krate::FieldSpec, types: &#krate::TypeTable,
            ) -> #krate::ViewSet {
                match (self, slot) {
                    #((Self::#idents(value), #slot::#idents(slot)) => {
                        #krate::Field::settle(value, slot, spec, types)
                    })*
                    // Not known to clients yet: settled as it is told.
                    _ => ::std::default::Default::default(),
                }
            }

            fn forget(
                &mut self, slot: &mut Self::Slot, spec: &#krate::FieldSpec, view: #krate::ViewId,
                types: &#krate::TypeTable,
            ) {
                match (self, slot) {
                    #((Self::#idents(value), #slot::#idents(slot)) => {
                        #krate::Field::forget(value, slot, spec, view, types)
                    })*
                    (value, _) => match value {
                        #(Self::#idents(value) => {
                            let mut new = ::std::default::Default::default();
                            #krate::Field::forget(value, &mut new, spec, view, types)
                        })*
                    },
                }
            }

            fn is_dirty(
                &self, slot: &Self::Slot, spec: &#krate::FieldSpec, types: &#krate::TypeTable,
            ) -> bool {
                match (self, slot) {
                    #((Self::#idents(value), #slot::#idents(slot)) => {
                        #krate::Field::is_dirty(value, slot, spec, types)
                    })*
                    _ => true,
                }
            }

            fn full(
                &self, slot: &Self::Slot, spec: &#krate::FieldSpec, scope: #krate::FullScope,
                cx: &mut #krate::Full<'_>,
            ) {
                match (self, slot) {
                    #((Self::#idents(value), #slot::#idents(slot)) => {
                        #krate::Field::full(value, slot, spec, scope, cx)
                    })*
                    _ => {}
                }
            }

            fn meta(&self, slot: &Self::Slot, spec: &#krate::FieldSpec, cx: &mut #krate::Meta<'_>) {
                match (self, slot) {
                    #((Self::#idents(value), #slot::#idents(slot)) => {
                        #krate::Field::meta(value, slot, spec, cx)
                    })*
                    _ => {}
                }
            }

            fn load(
                &mut self, slot: &mut Self::Slot, spec: &#krate::FieldSpec, value: &#krate::Value,
                cx: &mut #krate::Load<'_>,
            ) -> ::std::result::Result<(), #root::RestoreError> {
                match self {
                    #(Self::#idents(inner) => {
                        let mut new = ::std::default::Default::default();
                        #krate::Field::load(inner, &mut new, spec, value, cx)?;
                        *slot = #slot::#idents(new);
                        ::std::result::Result::Ok(())
                    })*
                }
            }
        }

        #[automatically_derived]
        impl #krate::Item for #name {
            fn blank_item(
                spec: &#krate::FieldSpec, ty: ::std::option::Option<#krate::TypeNo>, types: &#krate::TypeTable,
            ) -> Self {
                #(if ty == ::std::option::Option::Some(types.number_of::<#types>()) {
                    return Self::#idents(::std::default::Default::default());
                })*
                Self::#first(<#first_type as ::std::default::Default>::default())
            }
        }

        #[automatically_derived]
        impl #krate::ItemType for #name {
            fn item_kind(
                registry: &mut #krate::Registry, prim: ::std::option::Option<#krate::Prim>,
            ) -> #krate::ItemKind {
                let base = <#base as #krate::State>::describe(registry);
                #(let _ = <#types as #krate::State>::describe(registry);)*
                #krate::ItemKind::Struct(base)
            }
        }

        #(const _: fn() = || {
            fn is_state<T: #krate::State>() {}
            is_state::<#types>();
        };)*
    })
}

fn one_struct(variant: &Ident) -> Error {
    let text = format!("variant `{variant}`: one unnamed state struct, as in `{variant}({variant})`");
    Error::new_spanned(variant, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(item: &str) -> String {
        let input = syn::parse_str(item).expect("the item parses");
        expand(&input, &quote!(::everplay_schema)).expect_err("the item is wrong").to_string()
    }

    #[test]
    fn errors_say_what_is_allowed() {
        assert!(error("struct A(u8);").contains("named fields"));
        assert!(error("struct A<T> { a: T }").contains("type parameters"));
        assert!(
            error("struct A { x: u8, #[state(extends)] base: B }")
                .contains("field `base`: the base comes first")
        );
        assert!(error("enum A { X(X) }").contains("base"));
        assert!(error("#[state(base = \"X\")] enum A { X { a: u8 } }").contains("variant `X`: one unnamed"));
        let fields: String = (0..64).map(|index| format!("f{index}: u8,")).collect();
        assert!(error(&format!("struct A {{ {fields} }}")).contains("at most 63 fields"));
    }
}
