//! The handshake: the types of a state, themselves written as a state of four fixed types.
//!
//! Written without the general encoder, because its layout is fixed: the reflection is 0, its list of types 1, then
//! per type the type, its list of fields, each field and its quantized descriptor are numbered in a row.

use crate::decode::{DecodeError, DecodedType, DecodedTypes, Decoder, Node, Value};
use crate::number::{Quantized, QuantizedMode, put_number, put_str, put_uint};
use crate::output::op;
use crate::types::{
    CollectionKind, FieldSpec, ItemKind, Kind, MAX_FIELDS, Modifiers, Prim, TypeDesc, TypeNo, TypeTable,
};
use std::collections::BTreeMap;

/// Which decoder a handshake is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// `@colyseus/schema` 3: SDK 0.16.
    Schema3,
    /// `@colyseus/schema` 4: SDK 0.17 and the SDKs outside of JavaScript. The same bytes as for 3.
    Schema4,
    /// `@colyseus/schema` 5: SDK 0.18.
    Schema5,
    /// One handshake all of them read, see [`TypeTable::polyglot_possible`].
    Polyglot,
}

/// Indexes of the fields of `ReflectionField`.
mod field {
    pub(super) const NAME: usize = 0;
    pub(super) const TYPE: usize = 1;
    pub(super) const REFERENCED: usize = 2;
    pub(super) const CHILD: usize = 3;
    pub(super) const QUANTIZED: usize = 4;
}

impl TypeTable {
    /// Whether one handshake can serve all generations: no `quantized` and no `stream`, which only schema 5 has.
    pub fn polyglot_possible(&self) -> bool {
        let fields = self.types[..self.sent].iter().flat_map(|ty| &ty.fields);
        fields.filter(|field| !field.modifiers.private).all(|field| {
            !matches!(field.prim(), Some(Prim::Quantized(_)))
                && !matches!(field.kind, Kind::Collection(CollectionKind::Stream, _))
        })
    }

    /// The handshake bytes.
    pub fn handshake(&self, generation: Generation) -> Vec<u8> {
        let mut out = Vec::new();
        let mut next_ref = 2;
        let order = self.handshake_order();
        if generation == Generation::Polyglot {
            // Old decoders read the length in front of the handshake as an unknown field and go on at a switch.
            out.extend_from_slice(&[op::SWITCH, 0]);
        }
        out.extend_from_slice(&[op::ADD, 1, op::SWITCH, 1]);
        let refs: Vec<u32> = order
            .iter()
            .map(|no| {
                let ty = self.get(*no);
                let own = own_fields(ty);
                let quantized = own.iter().filter(|field| quantized_of(field).is_some()).count();
                let ref_id = next_ref;
                next_ref += 2 + (own.len() + quantized) as u32;
                ref_id
            })
            .collect();
        for (index, ref_id) in refs.iter().enumerate() {
            out.push(op::ADD);
            put_uint(&mut out, index as u32);
            put_uint(&mut out, *ref_id);
        }
        for (no, ref_id) in order.iter().zip(&refs) {
            self.put_type(*no, *ref_id, generation, &mut out);
        }
        out
    }

    /// By number, children after their parents.
    fn handshake_order(&self) -> Vec<TypeNo> {
        let mut order: Vec<TypeNo> = Vec::new();
        let mut waiting: Vec<TypeNo> = (0..self.sent as TypeNo).collect();
        while !waiting.is_empty() {
            let before = order.len();
            waiting.retain(|no| {
                let ready = self.get(*no).extends.is_none_or(|parent| order.contains(&parent));
                if ready {
                    order.push(*no);
                }
                !ready
            });
            if order.len() == before {
                break;
            }
        }
        order
    }

    fn put_type(&self, no: TypeNo, ref_id: u32, generation: Generation, out: &mut Vec<u8>) {
        let ty = self.get(no);
        let own = own_fields(ty);
        switch(out, ref_id);
        out.push(op::ADD);
        put_uint(out, u32::from(no));
        if let Some(parent) = ty.extends {
            out.push(op::ADD | 1);
            put_uint(out, u32::from(parent));
        }
        out.push(op::ADD | 2);
        put_uint(out, ref_id + 1);
        if own.is_empty() {
            return;
        }
        switch(out, ref_id + 1);
        let mut next = ref_id + 2;
        for (index, spec) in own.iter().enumerate() {
            out.push(op::ADD);
            put_uint(out, index as u32);
            put_uint(out, next);
            next += 1 + u32::from(quantized_of(spec).is_some());
        }
        let mut next = ref_id + 2;
        for spec in own {
            put_field(spec, next, generation, out);
            next += 1 + u32::from(quantized_of(spec).is_some());
        }
    }
}

fn own_fields(ty: &TypeDesc) -> Vec<&FieldSpec> {
    ty.fields[ty.own_from..].iter().filter(|field| !field.modifiers.private).collect()
}

fn quantized_of(spec: &FieldSpec) -> Option<&Quantized> {
    match &spec.kind {
        Kind::Prim(Prim::Quantized(range)) => Some(range),
        _ => None,
    }
}

fn switch(out: &mut Vec<u8>, ref_id: u32) {
    out.push(op::SWITCH);
    put_uint(out, ref_id);
}

fn put_field(spec: &FieldSpec, ref_id: u32, generation: Generation, out: &mut Vec<u8>) {
    let text = |out: &mut Vec<u8>, index: usize, text: &str| {
        out.push(op::ADD | index as u8);
        put_str(out, text);
    };
    let referenced = |out: &mut Vec<u8>, no: f64| {
        out.push(op::ADD | field::REFERENCED as u8);
        put_number(out, no);
    };
    switch(out, ref_id);
    text(out, field::NAME, &spec.name);
    match &spec.kind {
        Kind::Prim(Prim::Quantized(range)) => {
            text(out, field::TYPE, "quantized");
            out.push(op::ADD | field::QUANTIZED as u8);
            put_uint(out, ref_id + 1);
            switch(out, ref_id + 1);
            out.push(op::ADD);
            out.extend_from_slice(&range.min.to_le_bytes());
            out.push(op::ADD | 1);
            out.extend_from_slice(&range.max.to_le_bytes());
            out.extend_from_slice(&[
                op::ADD | 2,
                range.bits,
                op::ADD | 3,
                u8::from(range.mode == QuantizedMode::Wrap),
            ]);
        }
        Kind::Prim(prim) => text(out, field::TYPE, prim.name()),
        Kind::Struct(no) => {
            text(out, field::TYPE, "ref");
            referenced(out, f64::from(*no));
        }
        Kind::Collection(kind, ItemKind::Struct(no)) => {
            text(out, field::TYPE, kind.name());
            referenced(out, f64::from(*no));
        }
        Kind::Collection(kind, ItemKind::Prim(prim)) => {
            let both = format!("{}:{}", kind.name(), prim.name());
            match generation {
                Generation::Schema3 | Generation::Schema4 => {
                    text(out, field::TYPE, &both);
                    referenced(out, -1.0);
                }
                Generation::Schema5 => {
                    text(out, field::TYPE, kind.name());
                    referenced(out, -1.0);
                    text(out, field::CHILD, prim.name());
                }
                Generation::Polyglot => {
                    // Old decoders stop at the field they do not know; new ones read the type a second time.
                    text(out, field::TYPE, &both);
                    referenced(out, -1.0);
                    text(out, field::CHILD, prim.name());
                    text(out, field::TYPE, kind.name());
                }
            }
        }
    }
}

// ---- reading

fn reflection_types() -> DecodedTypes {
    let spec = |index: u8, name: &str, kind: Kind| FieldSpec {
        name: name.to_owned(),
        index,
        kind,
        modifiers: Modifiers::default(),
        views_below: false,
        plain: true,
    };
    let ty =
        |name: &str, fields: Vec<FieldSpec>| DecodedType { name: name.to_owned(), extends: None, fields };
    let list = |no: TypeNo| Kind::Collection(CollectionKind::Array, ItemKind::Struct(no));
    let (number, string) = (Kind::Prim(Prim::Number), Kind::Prim(Prim::String));
    let (double, byte) = (Kind::Prim(Prim::Float64), Kind::Prim(Prim::Uint8));
    DecodedTypes {
        root: 0,
        types: BTreeMap::from([
            (0, ty("Reflection", vec![spec(0, "types", list(1)), spec(1, "rootType", number)])),
            (
                1,
                ty(
                    "ReflectionType",
                    vec![spec(0, "id", number), spec(1, "extendsId", number), spec(2, "fields", list(2))],
                ),
            ),
            (
                2,
                ty(
                    "ReflectionField",
                    vec![
                        spec(0, "name", string),
                        spec(1, "type", string),
                        spec(2, "referencedType", number),
                        spec(3, "childPrimitive", string),
                        spec(4, "quantized", Kind::Struct(3)),
                    ],
                ),
            ),
            (
                3,
                ty(
                    "QuantizedDescriptor",
                    vec![
                        spec(0, "min", double),
                        spec(1, "max", double),
                        spec(2, "bits", byte),
                        spec(3, "mode", byte),
                    ],
                ),
            ),
        ]),
    }
}

/// Reads a handshake of any generation.
pub(crate) fn read(handshake: &[u8]) -> Result<DecodedTypes, DecodeError> {
    let mut decoder = Decoder::new(reflection_types());
    decoder.apply(handshake)?;
    let root = fields_of(&decoder, &Value::Ref(0))?;
    let mut own: BTreeMap<TypeNo, (Option<TypeNo>, Vec<FieldSpec>)> = BTreeMap::new();
    let mut budget = handshake.len();
    for value in items_of(&decoder, root.first())? {
        let ty = fields_of(&decoder, value)?;
        let id = type_no(ty.first())?.ok_or(DecodeError::Malformed("a type without id"))?;
        let mut fields = Vec::new();
        for value in items_of(&decoder, ty.get(2))? {
            // One field instance may be listed many times by hostile bytes; real ones are longer than their entry.
            budget = budget.checked_sub(1).ok_or(DecodeError::Malformed("more fields than bytes"))?;
            fields.push(read_field(&decoder, fields_of(&decoder, value)?)?);
        }
        own.insert(id, (type_no(ty.get(1))?, fields));
    }
    let mut types = BTreeMap::new();
    for (no, (extends, _)) in &own {
        let mut line = vec![*no];
        let mut parent = *extends;
        while let Some(up) = parent {
            if line.len() > MAX_FIELDS {
                return Err(DecodeError::Malformed("types extend each other in a circle, or too deep"));
            }
            line.push(up);
            parent = own.get(&up).ok_or(DecodeError::UnknownType(u32::from(up)))?.0;
        }
        let mut fields: Vec<FieldSpec> = Vec::new();
        for up in line.iter().rev() {
            fields.extend(own[up].1.iter().take(MAX_FIELDS + 1).cloned());
            if fields.len() > MAX_FIELDS {
                return Err(DecodeError::Malformed("a type with more than 63 fields"));
            }
        }
        for (index, field) in fields.iter_mut().enumerate() {
            field.index = index as u8;
        }
        types.insert(*no, DecodedType { name: String::new(), extends: *extends, fields });
    }
    let root = type_no(root.get(1))?.unwrap_or(0);
    if !types.contains_key(&root) {
        return Err(DecodeError::UnknownType(u32::from(root)));
    }
    Ok(DecodedTypes { types, root })
}

fn fields_of<'a>(decoder: &'a Decoder, value: &Value) -> Result<&'a [Value], DecodeError> {
    match value {
        Value::Ref(ref_id) => match decoder.node(*ref_id) {
            Some(Node::Struct { fields, .. }) => Ok(fields),
            _ => Err(DecodeError::Malformed("a handshake entry is not a structure")),
        },
        _ => Err(DecodeError::Malformed("a handshake entry is not a structure")),
    }
}

fn items_of<'a>(decoder: &'a Decoder, value: Option<&Value>) -> Result<&'a [Value], DecodeError> {
    match value {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Ref(ref_id)) => match decoder.node(*ref_id) {
            Some(Node::Array { items, .. }) => Ok(items.values()),
            _ => Err(DecodeError::Malformed("a handshake entry is not a list")),
        },
        Some(_) => Err(DecodeError::Malformed("a handshake entry is not a list")),
    }
}

/// A type number; -1 and unset are none.
fn type_no(value: Option<&Value>) -> Result<Option<TypeNo>, DecodeError> {
    match value.and_then(Value::as_f64) {
        None | Some(-1.0) => Ok(None),
        Some(no) if no.fract() == 0.0 && (0.0..=f64::from(TypeNo::MAX)).contains(&no) => {
            Ok(Some(no as TypeNo))
        }
        Some(_) => Err(DecodeError::Malformed("a type number out of range")),
    }
}

fn read_field(decoder: &Decoder, fields: &[Value]) -> Result<FieldSpec, DecodeError> {
    let text = |index: usize| match fields.get(index) {
        Some(Value::Str(text)) => Some(text.as_str()),
        _ => None,
    };
    let name = text(field::NAME).ok_or(DecodeError::Malformed("a field without name"))?;
    let type_name = text(field::TYPE).ok_or(DecodeError::Malformed("a field without type"))?;
    let referenced = type_no(fields.get(field::REFERENCED))?;
    let unknown = DecodeError::Malformed("a field of unknown type");
    let (collection, child) = match type_name.split_once(':') {
        Some((collection, child)) => (collection, Some(child)),
        None => (type_name, text(field::CHILD)),
    };
    let kind = if let Some(kind) = CollectionKind::ALL.into_iter().find(|kind| kind.name() == collection) {
        let item = match (referenced, child) {
            (Some(no), _) => ItemKind::Struct(no),
            (None, Some(child)) => ItemKind::Prim(Prim::named(child).ok_or(unknown)?),
            (None, None) => return Err(unknown),
        };
        Kind::Collection(kind, item)
    } else if type_name == "ref" {
        Kind::Struct(referenced.ok_or(unknown)?)
    } else if type_name == "quantized" {
        let descriptor = fields.get(field::QUANTIZED).ok_or(unknown)?;
        Kind::Prim(Prim::Quantized(read_quantized(fields_of(decoder, descriptor)?)?))
    } else {
        Kind::Prim(Prim::named(type_name).ok_or(unknown)?)
    };
    Ok(FieldSpec {
        name: name.to_owned(),
        index: 0,
        kind,
        modifiers: Modifiers::default(),
        views_below: false,
        plain: true,
    })
}

fn read_quantized(fields: &[Value]) -> Result<Quantized, DecodeError> {
    let number = |index: usize| fields.get(index).and_then(Value::as_f64).unwrap_or(0.0);
    let bits = number(2);
    if ![8.0, 16.0, 32.0].contains(&bits) {
        return Err(DecodeError::Malformed("quantized to something else than 8, 16 or 32 bits"));
    }
    let mode = if number(3) == 1.0 { QuantizedMode::Wrap } else { QuantizedMode::Clamp };
    Ok(Quantized { min: number(0), max: number(1), bits: bits as u8, mode })
}
