//! Reads `#[state(...)]`.

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, Error, Field, LitFloat, LitInt, LitStr, Result};

/// Another wire form for the same Rust type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Form {
    Number,
    BigInt,
    Quantized { min: f64, max: f64, bits: u8, wrap: bool },
}

/// Everything said about one field.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FieldAttributes {
    pub(crate) form: Option<Form>,
    /// `Some(None)` is the default tag.
    pub(crate) view: Option<Option<u32>>,
    pub(crate) private: bool,
    pub(crate) skip: bool,
    pub(crate) deprecated: bool,
    pub(crate) patch_only: bool,
    pub(crate) full_state_only: bool,
    pub(crate) rename: Option<String>,
    pub(crate) extends: bool,
}

const KNOWN: &str = "number, bigint, quantized(..), view, view = N, private, skip, deprecated, patch_only, \
                     full_state_only, rename = \"..\", extends";

impl FieldAttributes {
    pub(crate) fn read(field: &Field) -> Result<Self> {
        let name = field.ident.as_ref().map_or_else(String::new, ToString::to_string);
        let mut read = FieldAttributes::default();
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("state")) {
            attribute.parse_nested_meta(|meta| read.one(&name, &meta))?;
        }
        read.check(&name, field)?;
        Ok(read)
    }

    fn one(&mut self, name: &str, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let key = meta.path.get_ident().map_or_else(String::new, ToString::to_string);
        match key.as_str() {
            "number" => self.set_form(name, meta, Form::Number),
            "bigint" => self.set_form(name, meta, Form::BigInt),
            "quantized" => {
                let form = quantized(name, meta)?;
                self.set_form(name, meta, form)
            }
            "view" => {
                self.view = Some(None);
                if meta.input.peek(syn::Token![=]) {
                    let bits: LitInt = meta.value()?.parse()?;
                    let bits = bits.base10_parse::<u32>().ok().filter(|bits| (1..1 << 31).contains(bits));
                    let bits = bits.ok_or_else(|| {
                        meta.error(format!("field `{name}`: a view tag is a bit mask from 1 to 2^31 - 1"))
                    })?;
                    self.view = Some(Some(bits));
                }
                Ok(())
            }
            "private" => flag(&mut self.private),
            "skip" => flag(&mut self.skip),
            "deprecated" => flag(&mut self.deprecated),
            "patch_only" => flag(&mut self.patch_only),
            "full_state_only" => flag(&mut self.full_state_only),
            "extends" => flag(&mut self.extends),
            "rename" => {
                let text: LitStr = meta.value()?.parse()?;
                self.rename = Some(text.value());
                Ok(())
            }
            other => {
                Err(meta.error(format!("field `{name}`: unknown attribute `{other}`; known are {KNOWN}")))
            }
        }
    }

    fn set_form(&mut self, name: &str, meta: &ParseNestedMeta<'_>, form: Form) -> Result<()> {
        if self.form.is_some() {
            return Err(meta.error(format!("field `{name}`: one of number, bigint and quantized is enough")));
        }
        self.form = Some(form);
        Ok(())
    }

    fn check(&self, name: &str, field: &Field) -> Result<()> {
        let span = field.ident.as_ref().map_or_else(Span::call_site, syn::Ident::span);
        let plain = FieldAttributes { skip: false, ..self.clone() } == FieldAttributes::default();
        if self.skip && !plain {
            return Err(Error::new(span, format!("field `{name}`: a skipped field has no other attribute")));
        }
        let plain = FieldAttributes { extends: false, ..self.clone() } == FieldAttributes::default();
        if self.extends && !plain {
            return Err(Error::new(span, format!("field `{name}`: the base has no other attribute")));
        }
        if self.private && (self.view.is_some() || self.patch_only || self.full_state_only || self.deprecated)
        {
            let text =
                format!("field `{name}`: a private field is never sent, so how it is sent has no meaning");
            return Err(Error::new(span, text));
        }
        if self.patch_only && self.full_state_only {
            let text =
                format!("field `{name}`: patch_only and full_state_only together send nothing; use private");
            return Err(Error::new(span, text));
        }
        Ok(())
    }
}

fn flag(set: &mut bool) -> Result<()> {
    *set = true;
    Ok(())
}

fn quantized(name: &str, meta: &ParseNestedMeta<'_>) -> Result<Form> {
    let (mut min, mut max, mut bits, mut wrap) = (None, None, 16, false);
    meta.parse_nested_meta(|inner| {
        if inner.path.is_ident("min") {
            min = Some(float(&inner)?);
        } else if inner.path.is_ident("max") {
            max = Some(float(&inner)?);
        } else if inner.path.is_ident("bits") {
            let literal: LitInt = inner.value()?.parse()?;
            bits = literal.base10_parse::<u8>()?;
            if ![8, 16, 32].contains(&bits) {
                return Err(inner.error(format!("field `{name}`: bits is 8, 16 or 32")));
            }
        } else if inner.path.is_ident("mode") {
            let mode: LitStr = inner.value()?.parse()?;
            wrap = match mode.value().as_str() {
                "clamp" => false,
                "wrap" => true,
                _ => return Err(inner.error(format!("field `{name}`: mode is \"clamp\" or \"wrap\""))),
            };
        } else {
            return Err(inner.error(format!("field `{name}`: quantized takes min, max, bits and mode")));
        }
        Ok(())
    })?;
    let (Some(min), Some(max)) = (min, max) else {
        return Err(meta.error(format!("field `{name}`: quantized needs min and max")));
    };
    if min >= max {
        return Err(meta.error(format!("field `{name}`: quantized needs min < max")));
    }
    Ok(Form::Quantized { min, max, bits, wrap })
}

/// A number with an optional minus, integer or not.
fn float(meta: &ParseNestedMeta<'_>) -> Result<f64> {
    let input = meta.value()?;
    let sign = if input.parse::<Option<syn::Token![-]>>()?.is_some() { -1.0 } else { 1.0 };
    if input.peek(LitInt) {
        return Ok(sign * input.parse::<LitInt>()?.base10_parse::<f64>()?);
    }
    Ok(sign * input.parse::<LitFloat>()?.base10_parse::<f64>()?)
}

/// `#[state(base = "Type")]` of an enum.
pub(crate) fn base_of(attributes: &[Attribute]) -> Result<Option<syn::Path>> {
    let mut base = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("state")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("base") {
                return Err(meta.error("an enum takes #[state(base = \"Type\")]"));
            }
            let text: LitStr = meta.value()?.parse()?;
            base = Some(text.parse()?);
            Ok(())
        })?;
    }
    Ok(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(field: &str) -> Result<FieldAttributes> {
        let item: syn::ItemStruct = syn::parse_str(&format!("struct S {{ {field} }}"))?;
        FieldAttributes::read(item.fields.iter().next().expect("one field was written"))
    }

    fn error(field: &str) -> String {
        read(field).expect_err("the attributes are wrong").to_string()
    }

    #[test]
    fn reads_all_attributes() {
        let field = read("#[state(view = 2, rename = \"p\")] #[state(number)] a: f64").expect("is right");
        assert_eq!(field.view, Some(Some(2)));
        assert_eq!(field.rename.as_deref(), Some("p"));
        assert_eq!(field.form, Some(Form::Number));
        let field = read("#[state(quantized(min = -1, max = 1.5, bits = 8, mode = \"wrap\"))] a: f32")
            .expect("is right");
        assert_eq!(field.form, Some(Form::Quantized { min: -1.0, max: 1.5, bits: 8, wrap: true }));
        assert_eq!(read("#[state(view)] a: u8").expect("is right").view, Some(None));
    }

    #[test]
    fn errors_name_the_field_and_what_is_allowed() {
        assert!(
            error("#[state(nummer)] hp: f64")
                .contains("field `hp`: unknown attribute `nummer`; known are number")
        );
        assert!(
            error("#[state(private, view)] deck: u8").contains("field `deck`: a private field is never sent")
        );
        assert!(error("#[state(skip, view)] c: u8").contains("field `c`: a skipped field"));
        assert!(error("#[state(quantized(min = 0, max = 1, bits = 9))] c: f32").contains("8, 16 or 32"));
        assert!(error("#[state(quantized(min = 2, max = 1))] c: f32").contains("min < max"));
        assert!(error("#[state(quantized(bits = 8))] c: f32").contains("needs min and max"));
        assert!(error("#[state(view = 0)] c: f32").contains("bit mask"));
        assert!(error("#[state(number, bigint)] c: i64").contains("one of number"));
        assert!(error("#[state(patch_only, full_state_only)] c: i64").contains("use private"));
    }
}
