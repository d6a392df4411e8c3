//! Decodes payloads by reflection: no Rust type needed, the types come from a handshake or a snapshot.
//!
//! The rules are those of the JavaScript decoder of schema 5, its one trap included (an inserted primitive equal to
//! the one in its slot is dropped), so that what this decoder holds is what a client holds.
//!
//! Hostile input: nothing panics, nothing recurses with the input, and memory stays below [`MEMORY_PER_BYTE`] bytes
//! per byte of all input so far (plus the types): a two-byte operation can make one structure, and a structure's
//! fields take memory up to the highest index used.

use crate::output::{NO_REF, op};
use crate::read::Reader;
use crate::types::{CollectionKind, FieldSpec, ItemKind, Kind, Prim, TypeNo};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Upper bound of the decoder's memory per byte of input.
pub const MEMORY_PER_BYTE: usize = 2048;

/// Deepest nesting that is turned into JSON; deeper (or cyclic, which only hostile bytes are) is cut off.
pub const MAX_DEPTH: usize = 64;

/// A decoded value.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the variants are the kinds of values")]
pub enum Value {
    /// Not set.
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    /// `bigint64`, which JSON writes as text.
    BigInt(i64),
    /// `biguint64`, which JSON writes as text.
    BigUint(u64),
    Float(f64),
    Str(String),
    /// A structure or collection by its refId.
    Ref(u32),
}

impl Value {
    /// The number, whatever its type.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Int(v) | Value::BigInt(v) => Some(*v as f64),
            Value::Uint(v) | Value::BigUint(v) => Some(*v as f64),
            Value::Float(v) => Some(*v),
            _ => None,
        }
    }

    /// Equal as JavaScript's `===` sees it.
    fn is_same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => false,
            (Value::BigInt(a), Value::BigInt(b)) => a == b,
            (Value::BigUint(a), Value::BigUint(b)) => a == b,
            (a, b) => match (a.as_f64(), b.as_f64()) {
                (Some(a), Some(b)) => a == b,
                _ => a == b,
            },
        }
    }
}

/// Why bytes could not be decoded. Positions count from the start of the payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The payload ends within a value.
    #[error("the payload ends within the value at byte {0}")]
    Truncated(usize),
    /// Not a number, or one that cannot be a refId, index or length.
    #[error("no fitting number at byte {0}")]
    BadNumber(usize),
    /// Not a string, or not UTF-8.
    #[error("no string at byte {0}")]
    BadString(usize),
    /// A switch to a structure the decoder does not have.
    #[error("switch to unknown refId {ref_id} at byte {at}")]
    UnknownRef {
        /// Position.
        at: usize,
        /// The refId.
        ref_id: u32,
    },
    /// An operation the structure at hand does not have.
    #[error("unknown operation {code:#04x} at byte {at}")]
    UnknownOperation {
        /// Position.
        at: usize,
        /// The operation byte.
        code: u8,
    },
    /// A refId names a structure of another kind or type than the place it is put in.
    #[error("refId {0} does not fit where it is put")]
    Misfit(u32),
    /// A type number that was not described.
    #[error("unknown type {0}")]
    UnknownType(u32),
    /// A version of the format this program does not know.
    #[error("version {0} of the format is not known")]
    Version(u8),
    /// Something else that no encoder writes.
    #[error("malformed: {0}")]
    Malformed(&'static str),
}

/// One type as the decoder knows it: all fields, each at its index.
#[derive(Clone, Debug)]
pub struct DecodedType {
    /// Name; empty when it came from a handshake, which has none.
    pub name: String,
    /// The type it derives from.
    pub extends: Option<TypeNo>,
    /// Fields by index, inherited ones included.
    pub fields: Vec<FieldSpec>,
}

/// The types a decoder works with.
#[derive(Clone, Debug, Default)]
pub struct DecodedTypes {
    pub(crate) types: BTreeMap<TypeNo, DecodedType>,
    pub(crate) root: TypeNo,
}

impl DecodedTypes {
    /// The type with this number.
    pub fn get(&self, no: TypeNo) -> Option<&DecodedType> {
        self.types.get(&no)
    }

    fn known(&self, no: TypeNo) -> Result<TypeNo, DecodeError> {
        if self.types.contains_key(&no) { Ok(no) } else { Err(DecodeError::UnknownType(u32::from(no))) }
    }
}

/// A structure or collection.
#[derive(Clone, Debug)]
pub enum Node {
    /// A struct: its type and fields by index.
    #[expect(missing_docs, reason = "named by the line above")]
    Struct { ty: TypeNo, fields: Vec<Value> },
    /// An array.
    #[expect(missing_docs, reason = "named by the line above")]
    Array { item: ItemKind, items: Items },
    /// A map: by index, key and value.
    #[expect(missing_docs, reason = "named by the line above")]
    Map { item: ItemKind, items: BTreeMap<u32, (Arc<str>, Value)> },
    /// A set, collection or stream: by index.
    #[expect(missing_docs, reason = "named by the line above")]
    Bag { kind: CollectionKind, item: ItemKind, items: BTreeMap<u32, Value> },
}

/// Items of an array while it is visited: `Null` is a hole, and slots beyond the end wait apart.
#[derive(Clone, Debug, Default)]
pub struct Items {
    slots: Vec<Value>,
    beyond: BTreeMap<u32, Value>,
    holes: bool,
}

impl Items {
    /// The items.
    pub fn values(&self) -> &[Value] {
        &self.slots
    }

    fn get(&self, index: u32) -> &Value {
        self.slots.get(index as usize).or_else(|| self.beyond.get(&index)).unwrap_or(&Value::Null)
    }

    fn set(&mut self, index: u32, value: Value) {
        let (at, end) = (index as usize, self.slots.len());
        if at < end {
            self.slots[at] = value;
        } else if at == end && self.beyond.is_empty() {
            self.slots.push(value);
        } else {
            self.beyond.insert(index, value);
        }
    }

    fn insert(&mut self, index: u32, value: Value) {
        if (index as usize) < self.slots.len() {
            self.slots.insert(index as usize, value);
        } else {
            let shifted = self.beyond.split_off(&index);
            self.beyond.insert(index, value);
            self.beyond.extend(shifted.into_iter().map(|(at, value)| (at.saturating_add(1), value)));
        }
    }

    fn delete(&mut self, index: u32) {
        self.holes = true;
        match self.slots.get_mut(index as usize) {
            Some(slot) => *slot = Value::Null,
            None => {
                self.beyond.remove(&index);
            }
        }
    }

    /// Closes the holes.
    fn leave(&mut self) {
        if self.holes {
            self.slots.retain(|slot| *slot != Value::Null);
            self.holes = false;
        }
        if !self.beyond.is_empty() {
            self.slots.extend(std::mem::take(&mut self.beyond).into_values());
        }
    }
}

impl Node {
    fn values(&self) -> Box<dyn Iterator<Item = &Value> + '_> {
        match self {
            Node::Struct { fields, .. } => Box::new(fields.iter()),
            Node::Array { items, .. } => Box::new(items.slots.iter().chain(items.beyond.values())),
            Node::Map { items, .. } => Box::new(items.values().map(|(_, value)| value)),
            Node::Bag { items, .. } => Box::new(items.values()),
        }
    }

    fn refs(&self) -> Vec<u32> {
        let refs = self.values().filter_map(|value| match value {
            Value::Ref(ref_id) => Some(*ref_id),
            _ => None,
        });
        refs.collect()
    }
}

/// Decodes payloads into a tree of [`Node`]s.
#[derive(Clone, Debug)]
pub struct Decoder {
    types: Arc<DecodedTypes>,
    nodes: HashMap<u32, Node>,
    /// References to each structure from fields and items.
    counts: HashMap<u32, u32>,
    /// Structures whose last reference went away in this payload.
    dropped: Vec<u32>,
}

/// What an operation byte does.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Effect {
    adds: bool,
    deletes: bool,
}

impl Effect {
    fn of(code: u8) -> Effect {
        Effect { adds: code & op::ADD != 0, deletes: code & op::DELETE != 0 }
    }
}

impl Decoder {
    /// A decoder with an empty root.
    pub fn new(types: DecodedTypes) -> Decoder {
        let root = Node::Struct { ty: types.root, fields: Vec::new() };
        Decoder {
            nodes: HashMap::from([(0, root)]),
            counts: HashMap::new(),
            dropped: Vec::new(),
            types: Arc::new(types),
        }
    }

    /// A decoder for clients' payloads, from a handshake of schema 3, 4 or 5.
    pub fn from_handshake(handshake: &[u8]) -> Result<Decoder, DecodeError> {
        Ok(Decoder::new(crate::handshake::read(handshake)?))
    }

    /// The types in force.
    pub fn types(&self) -> &DecodedTypes {
        &self.types
    }

    /// The structure or collection with this refId; the root is 0.
    pub fn node(&self, ref_id: u32) -> Option<&Node> {
        self.nodes.get(&ref_id)
    }

    /// The root.
    pub fn root(&self) -> &Node {
        self.nodes.get(&0).expect("the root is never dropped")
    }

    /// How many structures and collections there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never: there is always the root.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Applies a payload: a full state or a patch, shared part and view section in one or one after the other.
    /// After an error the tree is in an undefined (but safe) state.
    pub fn apply(&mut self, payload: &[u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(payload);
        let mut current = 0;
        while let Some(byte) = reader.peek() {
            // In a struct `ff` can only be a switch, in a collection no operation is `ff`.
            if byte == op::SWITCH {
                let at = reader.position();
                reader.byte()?;
                let ref_id = reader.uint()?;
                if !self.nodes.contains_key(&ref_id) {
                    return Err(DecodeError::UnknownRef { at, ref_id });
                }
                self.leave(current);
                current = ref_id;
                continue;
            }
            self.operation(current, &mut reader)?;
        }
        self.leave(current);
        self.collect();
        Ok(())
    }

    fn leave(&mut self, ref_id: u32) {
        if let Some(Node::Array { items, .. }) = self.nodes.get_mut(&ref_id) {
            items.leave();
        }
    }

    fn operation(&mut self, current: u32, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        match self.nodes.get(&current) {
            Some(Node::Struct { ty, .. }) => {
                let ty = *ty;
                self.struct_operation(current, ty, reader)
            }
            Some(Node::Array { item, .. }) => {
                let item = *item;
                self.array_operation(current, item, reader)
            }
            Some(Node::Map { item, .. } | Node::Bag { item, .. }) => {
                let item = *item;
                self.indexed_operation(current, item, reader)
            }
            None => Err(DecodeError::Malformed("operations on a structure that was dropped")),
        }
    }

    fn struct_operation(
        &mut self,
        current: u32,
        ty: TypeNo,
        reader: &mut Reader<'_>,
    ) -> Result<(), DecodeError> {
        let byte = reader.byte()?;
        let (code, index) = (byte & 0xc0, usize::from(byte & 0x3f));
        let types = self.types.clone();
        let Some(spec) = types.get(ty).and_then(|ty| ty.fields.get(index)) else {
            self.skip(reader);
            return Ok(());
        };
        let effect = Effect::of(code);
        let old = match self.nodes.get(&current) {
            Some(Node::Struct { fields, .. }) => fields.get(index).cloned().unwrap_or_default(),
            _ => Value::Null,
        };
        if effect.deletes {
            self.release(&old);
        }
        let value =
            if code == op::DELETE { Value::Null } else { self.value(spec.kind, effect, &old, reader)? };
        if !effect.deletes && matches!(spec.kind, Kind::Collection(..)) && old != value {
            self.release(&old);
        }
        if let Some(Node::Struct { fields, .. }) = self.nodes.get_mut(&current) {
            if fields.len() <= index {
                fields.resize(index + 1, Value::Null);
            }
            fields[index] = value;
        }
        Ok(())
    }

    /// Unknown field: on to the next switch to a structure that exists.
    fn skip(&self, reader: &mut Reader<'_>) {
        while let Some(byte) = reader.peek() {
            if byte == op::SWITCH {
                let mut ahead = reader.clone();
                let known =
                    ahead.byte().is_ok() && ahead.uint().is_ok_and(|ref_id| self.nodes.contains_key(&ref_id));
                if known {
                    return;
                }
            }
            if reader.byte().is_err() {
                return;
            }
        }
    }

    fn array_operation(
        &mut self,
        current: u32,
        item: ItemKind,
        reader: &mut Reader<'_>,
    ) -> Result<(), DecodeError> {
        let at = reader.position();
        let code = reader.byte()?;
        match code {
            op::CLEAR => return self.clear(current),
            op::REVERSE => {
                if let Some(items) = self.items(current) {
                    items.slots.reverse();
                }
                return Ok(());
            }
            op::DELETE_BY_REFID => {
                let ref_id = reader.uint()?;
                if self.nodes.contains_key(&ref_id) {
                    self.release(&Value::Ref(ref_id));
                    if let Some(items) = self.items(current)
                        && let Some(index) = items.slots.iter().position(|slot| *slot == Value::Ref(ref_id))
                    {
                        items.delete(index as u32);
                    }
                }
                return Ok(());
            }
            op::REPLACE | op::DELETE | op::ADD | op::DELETE_AND_ADD => {}
            op::MOVE | op::DELETE_AND_MOVE | op::MOVE_AND_ADD | op::ADD_BY_REFID => {}
            _ => return Err(DecodeError::UnknownOperation { at, code }),
        }
        let mut index = reader.uint()?;
        if code == op::ADD_BY_REFID {
            let instance = Value::Ref(index);
            let items = self.items(current).ok_or(DecodeError::Malformed("not an array"))?;
            let end = items.slots.len() + items.beyond.len();
            index = items.slots.iter().position(|slot| *slot == instance).unwrap_or(end) as u32;
        }
        let effect = Effect::of(code);
        let old = self.items(current).map_or(Value::Null, |items| items.get(index).clone());
        if effect.deletes {
            self.release(&old);
            if code != op::DELETE_AND_ADD
                && let Some(items) = self.items(current)
            {
                items.delete(index);
            }
        }
        if code == op::DELETE {
            return Ok(());
        }
        let kind = match item {
            ItemKind::Prim(prim) => Kind::Prim(prim),
            ItemKind::Struct(no) => Kind::Struct(no),
        };
        let value = self.value(kind, effect, &old, reader)?;
        if value == Value::Null || value.is_same(&old) {
            return Ok(());
        }
        let items = self.items(current).ok_or(DecodeError::Malformed("not an array"))?;
        match code {
            op::ADD if *items.get(index) != Value::Null => items.insert(index, value),
            op::DELETE_AND_MOVE => {
                if (index as usize) < items.slots.len() {
                    items.slots.remove(index as usize);
                }
                items.set(index, value);
            }
            _ => items.set(index, value),
        }
        Ok(())
    }

    fn items(&mut self, ref_id: u32) -> Option<&mut Items> {
        match self.nodes.get_mut(&ref_id) {
            Some(Node::Array { items, .. }) => Some(items),
            _ => None,
        }
    }

    fn indexed_operation(
        &mut self,
        current: u32,
        item: ItemKind,
        reader: &mut Reader<'_>,
    ) -> Result<(), DecodeError> {
        let at = reader.position();
        let code = reader.byte()?;
        match code {
            op::CLEAR => return self.clear(current),
            op::REPLACE | op::DELETE | op::ADD | op::DELETE_AND_ADD => {}
            _ => return Err(DecodeError::UnknownOperation { at, code }),
        }
        let index = reader.uint()?;
        let effect = Effect::of(code);
        let is_map = matches!(self.nodes.get(&current), Some(Node::Map { .. }));
        let mut key: Option<Arc<str>> = None;
        if is_map && effect.adds {
            key = Some(Arc::from(reader.string()?));
        }
        let old = match self.nodes.get(&current) {
            Some(Node::Map { items, .. }) => items.get(&index).map(|(_, value)| value.clone()),
            Some(Node::Bag { items, .. }) => items.get(&index).cloned(),
            _ => None,
        };
        let old = old.unwrap_or_default();
        if effect.deletes {
            self.release(&old);
        }
        if code == op::DELETE {
            match self.nodes.get_mut(&current) {
                Some(Node::Map { items, .. }) => drop(items.remove(&index)),
                Some(Node::Bag { items, .. }) => drop(items.remove(&index)),
                _ => {}
            }
            return Ok(());
        }
        let kind = match item {
            ItemKind::Prim(prim) => Kind::Prim(prim),
            ItemKind::Struct(no) => Kind::Struct(no),
        };
        let value = self.value(kind, effect, &old, reader)?;
        match self.nodes.get_mut(&current) {
            Some(Node::Map { items, .. }) => {
                if let Some(key) = key {
                    // One entry per key: a key under a new index moves there.
                    if items.get(&index).is_none_or(|(known, _)| *known != key) {
                        items.retain(|_, (known, _)| *known != key);
                    }
                    items.insert(index, (key, value));
                } else if let Some((_, slot)) = items.get_mut(&index) {
                    *slot = value;
                }
            }
            Some(Node::Bag { items, .. }) => {
                items.insert(index, value);
            }
            _ => {}
        }
        Ok(())
    }

    fn clear(&mut self, current: u32) -> Result<(), DecodeError> {
        let Some(node) = self.nodes.get_mut(&current) else { return Ok(()) };
        let refs = node.refs();
        match node {
            Node::Struct { .. } => {}
            Node::Array { items, .. } => *items = Items::default(),
            Node::Map { items, .. } => items.clear(),
            Node::Bag { items, .. } => items.clear(),
        }
        for ref_id in refs {
            self.release(&Value::Ref(ref_id));
        }
        Ok(())
    }

    /// Reads a value; makes the structure it introduces and counts the reference.
    fn value(
        &mut self,
        kind: Kind,
        effect: Effect,
        old: &Value,
        reader: &mut Reader<'_>,
    ) -> Result<Value, DecodeError> {
        if let Kind::Prim(prim) = kind {
            return primitive(&prim, reader);
        }
        let ref_id = reader.uint()?;
        if ref_id == 0 || ref_id == NO_REF {
            return Err(DecodeError::Misfit(ref_id));
        }
        let value = Value::Ref(ref_id);
        let exists = self.nodes.contains_key(&ref_id);
        match kind {
            Kind::Struct(declared) => {
                if !effect.adds {
                    return Ok(if exists { value } else { Value::Null });
                }
                let mut ty = declared;
                if reader.peek() == Some(op::TYPE_ID) {
                    reader.byte()?;
                    let no = reader.uint()?;
                    ty = TypeNo::try_from(no).map_err(|_| DecodeError::UnknownType(no))?;
                }
                match self.nodes.get(&ref_id) {
                    Some(Node::Struct { .. }) => {}
                    Some(_) => return Err(DecodeError::Misfit(ref_id)),
                    None => {
                        let node = Node::Struct { ty: self.types.known(ty)?, fields: Vec::new() };
                        self.nodes.insert(ref_id, node);
                    }
                }
            }
            Kind::Collection(kind, item) => match self.nodes.get(&ref_id) {
                Some(Node::Struct { .. }) => return Err(DecodeError::Misfit(ref_id)),
                Some(_) => {}
                None => {
                    if let ItemKind::Struct(no) = item {
                        self.types.known(no)?;
                    }
                    let node = match kind {
                        CollectionKind::Array => Node::Array { item, items: Items::default() },
                        CollectionKind::Map => Node::Map { item, items: BTreeMap::new() },
                        kind => Node::Bag { kind, item, items: BTreeMap::new() },
                    };
                    self.nodes.insert(ref_id, node);
                }
            },
            Kind::Prim(_) => {}
        }
        if *old != value || effect.deletes {
            let count = self.counts.entry(ref_id).or_insert(0);
            *count = count.saturating_add(1);
        }
        Ok(value)
    }

    fn release(&mut self, value: &Value) {
        let Value::Ref(ref_id) = value else { return };
        if let Some(count) = self.counts.get_mut(ref_id)
            && *count > 0
        {
            *count -= 1;
            if *count == 0 {
                self.dropped.push(*ref_id);
            }
        }
    }

    /// Drops what nothing refers to any more, and what only that referred to.
    fn collect(&mut self) {
        while let Some(ref_id) = self.dropped.pop() {
            if self.counts.get(&ref_id).is_some_and(|count| *count > 0) {
                continue;
            }
            self.counts.remove(&ref_id);
            if let Some(node) = self.nodes.remove(&ref_id) {
                for child in node.refs() {
                    self.release(&Value::Ref(child));
                }
            }
        }
    }

    /// The whole state as JSON: unset fields are left out, map keys keep their order, big integers are texts,
    /// NaN and infinities are null. Beyond [`MAX_DEPTH`] levels or a million values it is cut off with null.
    #[cfg(feature = "json")]
    pub fn to_json(&self) -> serde_json::Value {
        self.json(&Value::Ref(0), 0, &mut 1_000_000)
    }

    #[cfg(feature = "json")]
    fn json(&self, value: &Value, depth: usize, budget: &mut usize) -> serde_json::Value {
        use serde_json::Value as Json;
        if depth > MAX_DEPTH || *budget == 0 {
            return Json::Null;
        }
        *budget -= 1;
        match value {
            Value::Null => Json::Null,
            Value::Bool(v) => Json::Bool(*v),
            Value::Int(v) => Json::from(*v),
            Value::Uint(v) => Json::from(*v),
            Value::BigInt(v) => Json::String(v.to_string()),
            Value::BigUint(v) => Json::String(v.to_string()),
            Value::Float(v) => Json::from(*v),
            Value::Str(v) => Json::String(v.clone()),
            Value::Ref(ref_id) => match self.nodes.get(ref_id) {
                None => Json::Null,
                Some(Node::Struct { ty, fields }) => {
                    let specs = self.types.get(*ty).map_or(&[][..], |ty| &ty.fields);
                    let set = fields
                        .iter()
                        .zip(specs)
                        .filter(|(value, spec)| **value != Value::Null && !spec.modifiers.deprecated);
                    Json::Object(
                        set.map(|(value, spec)| (spec.name.clone(), self.json(value, depth + 1, budget)))
                            .collect(),
                    )
                }
                Some(Node::Map { items, .. }) => Json::Object(
                    items
                        .values()
                        .map(|(key, value)| (key.to_string(), self.json(value, depth + 1, budget)))
                        .collect(),
                ),
                Some(node) => {
                    Json::Array(node.values().map(|value| self.json(value, depth + 1, budget)).collect())
                }
            },
        }
    }
}

fn primitive(prim: &Prim, reader: &mut Reader<'_>) -> Result<Value, DecodeError> {
    Ok(match prim {
        Prim::String => Value::Str(reader.string()?.to_owned()),
        Prim::Boolean => Value::Bool(reader.byte()? > 0),
        Prim::Int8 => Value::Int(i64::from(reader.byte()? as i8)),
        Prim::Uint8 => Value::Uint(u64::from(reader.byte()?)),
        Prim::Int16 => Value::Int(i64::from(reader.u16()? as i16)),
        Prim::Uint16 => Value::Uint(u64::from(reader.u16()?)),
        Prim::Int32 => Value::Int(i64::from(reader.u32()? as i32)),
        Prim::Uint32 => Value::Uint(u64::from(reader.u32()?)),
        Prim::Int64 => Value::Int(reader.u64()? as i64),
        Prim::Uint64 => Value::Uint(reader.u64()?),
        Prim::Float32 => Value::Float(f64::from(reader.f32()?)),
        Prim::Float64 => Value::Float(reader.f64()?),
        Prim::BigInt64 => Value::BigInt(reader.u64()? as i64),
        Prim::BigUint64 => Value::BigUint(reader.u64()?),
        Prim::Number => Value::Float(reader.number()?),
        Prim::Quantized(range) => Value::Float(range.dequantize(match range.bits {
            8 => u32::from(reader.byte()?),
            16 => u32::from(reader.u16()?),
            _ => reader.u32()?,
        })),
    })
}
