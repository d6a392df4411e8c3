//! The type table of a snapshot: every type with all its fields, server-only ones included.
//!
//! | part | bytes |
//! | --- | --- |
//! | table | count, types by number |
//! | type | name, 1 + parent's number or 0, count of fields, fields by index |
//! | field | name, flags, view tag (if flagged), kind |
//! | kind | 0 primitive, 1 struct, 2.. collections in the order array, map, set, collection, stream; for a primitive (also of items) its name, for a structure 255 and its number |
//!
//! Numbers are the wire's `number`, texts its `string`. Flags: 1 private, 2 deprecated, 4 patch only, 8 full state
//! only, 16 filtered.

use crate::decode::{DecodeError, DecodedType, DecodedTypes};
use crate::number::{Quantized, QuantizedMode, put_str, put_uint};
use crate::read::Reader;
use crate::types::{
    CollectionKind, FieldSpec, ItemKind, Kind, MAX_FIELDS, Modifiers, Prim, TypeNo, TypeTable,
};
use crate::view::FieldTag;
use std::collections::BTreeMap;

pub(crate) fn put(types: &TypeTable, out: &mut Vec<u8>) {
    put_uint(out, types.types.len() as u32);
    for ty in &types.types {
        put_str(out, &ty.name);
        put_uint(out, ty.extends.map_or(0, |parent| u32::from(parent) + 1));
        put_uint(out, ty.fields.len() as u32);
        let mut fields: Vec<&FieldSpec> = ty.fields.iter().collect();
        fields.sort_by_key(|field| field.index);
        for field in fields {
            put_field(field, out);
        }
    }
}

fn put_field(field: &FieldSpec, out: &mut Vec<u8>) {
    let modifiers = &field.modifiers;
    put_str(out, &field.name);
    let flags = [
        modifiers.private,
        modifiers.deprecated,
        modifiers.patch_only,
        modifiers.full_state_only,
        modifiers.view.is_some(),
    ];
    out.push(flags.iter().enumerate().map(|(bit, set)| u8::from(*set) << bit).sum());
    match modifiers.view {
        None => {}
        Some(FieldTag::Default) => put_uint(out, 0),
        Some(FieldTag::Bits(bits)) => put_uint(out, bits),
    }
    match &field.kind {
        Kind::Prim(prim) => {
            out.push(0);
            put_prim(prim, out);
        }
        Kind::Struct(no) => {
            out.push(1);
            put_uint(out, u32::from(*no));
        }
        Kind::Collection(kind, item) => {
            let index = CollectionKind::ALL.iter().position(|known| known == kind).unwrap_or(0);
            out.push(2 + index as u8);
            match item {
                ItemKind::Prim(prim) => put_prim(prim, out),
                ItemKind::Struct(no) => {
                    out.push(255);
                    put_uint(out, u32::from(*no));
                }
            }
        }
    }
}

fn put_prim(prim: &Prim, out: &mut Vec<u8>) {
    put_str(out, prim.name());
    if let Prim::Quantized(range) = prim {
        out.extend_from_slice(&range.min.to_le_bytes());
        out.extend_from_slice(&range.max.to_le_bytes());
        out.extend_from_slice(&[range.bits, u8::from(range.mode == QuantizedMode::Wrap)]);
    }
}

pub(crate) fn read(bytes: &[u8]) -> Result<DecodedTypes, DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut types = BTreeMap::new();
    for no in 0..reader.uint()? {
        let no = TypeNo::try_from(no).map_err(|_| DecodeError::UnknownType(no))?;
        let name = reader.string()?.to_owned();
        let extends = match reader.uint()? {
            0 => None,
            parent => Some(type_no(parent - 1)?),
        };
        let count = reader.uint()? as usize;
        if count > MAX_FIELDS {
            return Err(DecodeError::Malformed("a type with more than 63 fields"));
        }
        let mut fields = Vec::new();
        for index in 0..count {
            fields.push(read_field(index as u8, &mut reader)?);
        }
        types.insert(no, DecodedType { name, extends, fields });
    }
    if types.is_empty() {
        return Err(DecodeError::Malformed("no types"));
    }
    Ok(DecodedTypes { types, root: 0 })
}

fn type_no(no: u32) -> Result<TypeNo, DecodeError> {
    TypeNo::try_from(no).map_err(|_| DecodeError::UnknownType(no))
}

fn read_field(index: u8, reader: &mut Reader<'_>) -> Result<FieldSpec, DecodeError> {
    let name = reader.string()?.to_owned();
    let flags = reader.byte()?;
    let view = if flags & 16 == 0 {
        None
    } else {
        match reader.uint()? {
            0 => Some(FieldTag::Default),
            bits => Some(FieldTag::Bits(bits)),
        }
    };
    let modifiers = Modifiers {
        view,
        private: flags & 1 != 0,
        deprecated: flags & 2 != 0,
        patch_only: flags & 4 != 0,
        full_state_only: flags & 8 != 0,
    };
    let kind = match reader.byte()? {
        0 => Kind::Prim(read_prim(reader)?),
        1 => Kind::Struct(type_no(reader.uint()?)?),
        code => {
            let kind = CollectionKind::ALL.get(usize::from(code) - 2).copied();
            let kind = kind.ok_or(DecodeError::Malformed("an unknown kind of field"))?;
            let item = if reader.peek() == Some(255) {
                reader.byte()?;
                ItemKind::Struct(type_no(reader.uint()?)?)
            } else {
                ItemKind::Prim(read_prim(reader)?)
            };
            Kind::Collection(kind, item)
        }
    };
    Ok(FieldSpec {
        name,
        index,
        kind,
        modifiers,
        views_below: false,
        plain: modifiers == Modifiers::default(),
    })
}

fn read_prim(reader: &mut Reader<'_>) -> Result<Prim, DecodeError> {
    let name = reader.string()?;
    if name != "quantized" {
        return Prim::named(name).ok_or(DecodeError::Malformed("an unknown primitive"));
    }
    let (min, max) = (reader.f64()?, reader.f64()?);
    let (bits, mode) = (reader.byte()?, reader.byte()?);
    if ![8, 16, 32].contains(&bits) {
        return Err(DecodeError::Malformed("quantized to something else than 8, 16 or 32 bits"));
    }
    let mode = if mode == 1 { QuantizedMode::Wrap } else { QuantizedMode::Clamp };
    Ok(Prim::Quantized(Quantized { min, max, bits, mode }))
}
