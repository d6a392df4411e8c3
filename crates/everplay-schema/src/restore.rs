//! Snapshots and recovery.
//!
//! A snapshot is a version byte, the type table, the full state (server-only fields included) and the records of
//! `meta.rs`. Recovery decodes it and the journal patches after it by reflection, and then loads the result into the
//! types of this release by field name: new fields keep their default, vanished ones are dropped, numbers may change
//! their width as long as the value fits.
//!
//! refIds, indexes, counters and visibility come back as they were, so the patches that follow are, byte for byte,
//! those the lost replica would have made.
//!
//! | snapshot | journal patch |
//! | --- | --- |
//! | `u8` version 1 | `u8` version 2; 1 in releases that did not say how much of the operations is shared |
//! | `u32` length, types | |
//! | `u32` length, operations | `u32` length, operations |
//! | records | records |

use crate::decode::{DecodeError, DecodedTypes, Decoder, Node, Value};
use crate::meta::{self, MetaState};
use crate::output::NO_REF;
use crate::read::Reader;
use crate::structure::{Field, StructSlot, Structure, Visitor, VisitorRef};
use crate::track::CollectionViews;
use crate::types::{FieldSpec, ItemKind, Kind, TypeNo, TypeTable};
use crate::view::{Granted, ViewSet, Visibility};
use std::collections::HashMap;
use std::sync::Arc;

/// Version of snapshots, and of the oldest journal patches that are read.
pub const FORMAT_VERSION: u8 = 1;

/// Version of journal patches: the second one tells the shared part of the operations from the rest.
pub const PATCH_VERSION: u8 = 2;

/// The shared part of a journal patch: what every client got of it, after the opcode. `None` when the patch does not
/// hold it whole: a release before version 2 wrote it, or items of a broadcast stream went out with it.
pub fn shared_of(journal_patch: &[u8]) -> Result<Option<&[u8]>, DecodeError> {
    let mut reader = Reader::new(journal_patch);
    let version = patch_version(&mut reader)?;
    let len = reader.u32()? as usize;
    let operations = reader.take(len)?;
    if version < PATCH_VERSION {
        return Ok(None);
    }
    let shared = meta::shared_len(&mut reader, operations.len())?;
    Ok(shared.map(|len| &operations[..len]))
}

/// Why a room could not be restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The bytes are not what was written.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A field changed its type in a way its value does not survive.
    #[error("field {field} of {ty} cannot take the stored value {value}")]
    Misfit {
        /// The type.
        ty: String,
        /// The field.
        field: String,
        /// The stored value.
        value: String,
    },
    /// The snapshot holds an instance of a type this release does not have, in a slot that has to know it.
    #[error("the type {0} of a stored instance is not known any more")]
    UnknownType(String),
    /// Structures refer to each other in a circle or deeper than any state.
    #[error("the stored state is nested too deep")]
    TooDeep,
}

/// Deepest nesting of structures and collections that is restored.
const MAX_NESTING: usize = 128;

/// A snapshot, and the journal patches applied to it so far.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) decoder: Decoder,
    pub(crate) meta: MetaState,
}

impl Stored {
    /// What a decoder holds, with nothing noted beside it.
    pub(crate) fn over(decoder: Decoder) -> Stored {
        Stored { decoder, meta: MetaState::default() }
    }

    pub(crate) fn read(snapshot: &[u8]) -> Result<Stored, DecodeError> {
        let mut reader = Reader::new(snapshot);
        version(&mut reader)?;
        let len = reader.u32()? as usize;
        let types = crate::type_codec::read(reader.take(len)?)?;
        let mut stored = Stored { decoder: Decoder::new(types), meta: MetaState::default() };
        stored.payload(&mut reader)?;
        Ok(stored)
    }

    pub(crate) fn apply(&mut self, patch: &[u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(patch);
        patch_version(&mut reader)?;
        self.payload(&mut reader)
    }

    fn payload(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        let len = reader.u32()? as usize;
        self.decoder.apply(reader.take(len)?)?;
        self.meta.apply(reader)
    }
}

fn version(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    match reader.byte()? {
        FORMAT_VERSION => Ok(()),
        other => Err(DecodeError::Version(other)),
    }
}

fn patch_version(reader: &mut Reader<'_>) -> Result<u8, DecodeError> {
    match reader.byte()? {
        known @ FORMAT_VERSION..=PATCH_VERSION => Ok(known),
        other => Err(DecodeError::Version(other)),
    }
}

/// Writes the records of a snapshot.
pub struct Meta<'t> {
    pub(crate) types: &'t TypeTable,
    pub(crate) out: &'t mut Vec<u8>,
}

impl Meta<'_> {
    pub(crate) fn structure<T: Structure>(&mut self, value: &T, slot: &StructSlot<T::Shadow>) {
        struct Visit<'a, 't>(&'a mut Meta<'t>);
        impl VisitorRef for Visit<'_, '_> {
            fn field<F: Field>(&mut self, spec: &FieldSpec, value: &F, slot: &F::Slot) {
                if !matches!(spec.kind, Kind::Prim(_)) {
                    value.meta(slot, spec, self.0);
                }
            }
        }
        if let Some(inside) = &slot.inside
            && !inside.now.is_empty()
        {
            meta::inside(self.out, slot.ref_id, &inside.now);
        }
        let ty = self.types.get(slot.type_no);
        if ty.nested {
            value.visit_ref(&slot.shadow, ty, &mut Visit(self));
        }
    }
}

/// Loads decoded values into the types of this release.
pub struct Load<'t> {
    types: &'t TypeTable,
    stored: &'t Stored,
    owner: u64,
    depth: usize,
    /// The type being loaded, for errors.
    at: String,
    /// Stored type number to this release's, by name.
    numbers: HashMap<TypeNo, Option<TypeNo>>,
}

impl<'t> Load<'t> {
    pub(crate) fn new(types: &'t TypeTable, stored: &'t Stored, owner: u64) -> Self {
        let numbers = stored
            .decoder
            .types()
            .types
            .iter()
            .map(|(no, ty)| {
                let now = types.types.iter().position(|now| now.name == ty.name);
                (*no, now.map(|no| no as TypeNo))
            })
            .collect();
        Load { types, stored, owner, depth: 0, at: String::new(), numbers }
    }

    pub(crate) fn types(&self) -> &'t TypeTable {
        self.types
    }

    pub(crate) fn owner(&self) -> u64 {
        self.owner
    }

    fn stored_types(&self) -> &'t DecodedTypes {
        self.stored.decoder.types()
    }

    pub(crate) fn misfit(&self, spec: &FieldSpec, value: &Value) -> RestoreError {
        RestoreError::Misfit { ty: self.at.clone(), field: spec.name.clone(), value: format!("{value:?}") }
    }

    /// The type an instance is to have; `None` for primitives.
    pub(crate) fn instance_type(
        &self,
        spec: &FieldSpec,
        value: &Value,
    ) -> Result<Option<TypeNo>, RestoreError> {
        let (Some(declared), Value::Ref(ref_id)) = (spec.kind.struct_type(), value) else { return Ok(None) };
        let Some(Node::Struct { ty, .. }) = self.stored.decoder.node(*ref_id) else { return Ok(None) };
        match self.numbers.get(ty).copied().flatten() {
            Some(no) if self.types.derives(no, declared) => Ok(Some(no)),
            // Renamed, or moved out of the family: a slot of one type takes it as that.
            _ if !self.types.types.iter().any(|ty| ty.extends == Some(declared)) => Ok(Some(declared)),
            _ => {
                let name = self.stored_types().get(*ty).map_or(String::new(), |ty| ty.name.clone());
                Err(RestoreError::UnknownType(name))
            }
        }
    }

    fn deeper<R>(
        &mut self,
        load: impl FnOnce(&mut Self) -> Result<R, RestoreError>,
    ) -> Result<R, RestoreError> {
        if self.depth >= MAX_NESTING {
            return Err(RestoreError::TooDeep);
        }
        self.depth += 1;
        let result = load(self);
        self.depth -= 1;
        result
    }

    pub(crate) fn structure<T: Structure>(
        &mut self,
        value: &mut T,
        slot: &mut StructSlot<T::Shadow>,
        spec: &FieldSpec,
        stored: &Value,
    ) -> Result<(), RestoreError> {
        let Value::Ref(ref_id) = stored else { return Err(self.misfit(spec, stored)) };
        let Some(Node::Struct { ty, fields }) = self.stored.decoder.node(*ref_id) else {
            return Err(self.misfit(spec, stored));
        };
        let Some(stored_type) = self.stored_types().get(*ty) else {
            return Err(DecodeError::UnknownType(u32::from(*ty)).into());
        };
        slot.ref_id = *ref_id;
        slot.type_no = value.type_no(self.types);
        slot.announced = true;
        slot.inside = self.granted_of(self.stored.meta.inside.get(ref_id)).map(Box::new);
        let ty = self.types.get(slot.type_no);
        let outer = std::mem::replace(&mut self.at, ty.name.clone());
        let result = self.deeper(|cx| {
            let mut visit = LoadFields { stored: &stored_type.fields, values: fields, error: None, cx };
            value.visit(&mut slot.shadow, ty, &mut visit);
            visit.error.map_or(Ok(()), Err)
        });
        self.at = outer;
        result
    }

    fn granted_of(&self, views: Option<&ViewSet>) -> Option<Granted> {
        let views = views.filter(|views| !views.is_empty())?;
        Some(Granted { now: views.clone(), seen: views.clone() })
    }

    pub(crate) fn visibility(&self, ref_id: u32) -> Option<Box<Visibility>> {
        if ref_id == NO_REF {
            return None;
        }
        let members = self.stored.meta.members.get(&ref_id).filter(|members| !members.is_empty())?;
        Some(Box::new(Visibility { now: members.clone(), seen: members.clone() }))
    }

    pub(crate) fn queued(&self, ref_id: u32) -> ViewSet {
        self.stored.meta.queued.get(&ref_id).cloned().unwrap_or_default()
    }

    pub(crate) fn counter(&self, ref_id: u32) -> Option<(u32, u32)> {
        self.stored.meta.counters.get(&ref_id).copied()
    }

    pub(crate) fn collection_views(&self, ref_id: u32) -> Option<Box<CollectionViews>> {
        let granted = self.granted_of(self.stored.meta.granted.get(&ref_id));
        let subscribed = self.granted_of(self.stored.meta.subscribed.get(&ref_id));
        if granted.is_none() && subscribed.is_none() {
            return None;
        }
        Some(Box::new(CollectionViews {
            granted: granted.unwrap_or_default(),
            subscribed: subscribed.unwrap_or_default(),
        }))
    }

    fn collection(&self, spec: &FieldSpec, value: &Value) -> Result<(u32, &'t Node), RestoreError> {
        let Value::Ref(ref_id) = value else { return Err(self.misfit(spec, value)) };
        let node = self.stored.decoder.node(*ref_id).ok_or_else(|| self.misfit(spec, value))?;
        let (Node::Array { item, .. } | Node::Map { item, .. } | Node::Bag { item, .. }) = node else {
            return Err(self.misfit(spec, value));
        };
        // Primitives cannot become structures, nor the other way round.
        let structs = matches!(item, ItemKind::Struct(_));
        if structs != matches!(spec.kind, Kind::Collection(_, ItemKind::Struct(_))) {
            return Err(self.misfit(spec, value));
        }
        Ok((*ref_id, node))
    }

    pub(crate) fn map_items(
        &mut self,
        spec: &FieldSpec,
        value: &Value,
    ) -> Result<(u32, Vec<MapItem>), RestoreError> {
        match self.collection(spec, value)? {
            (ref_id, Node::Map { items, .. }) => {
                let items = items.iter().map(|(index, (key, value))| (*index, key.clone(), value.clone()));
                Ok((ref_id, items.collect()))
            }
            _ => Err(self.misfit(spec, value)),
        }
    }

    pub(crate) fn indexed_items(
        &mut self,
        spec: &FieldSpec,
        value: &Value,
    ) -> Result<(u32, Vec<(u32, Value)>), RestoreError> {
        match self.collection(spec, value)? {
            (ref_id, Node::Bag { items, .. }) => {
                Ok((ref_id, items.iter().map(|(index, value)| (*index, value.clone())).collect()))
            }
            _ => Err(self.misfit(spec, value)),
        }
    }

    pub(crate) fn list_items(
        &mut self,
        spec: &FieldSpec,
        value: &Value,
    ) -> Result<(u32, Vec<Value>), RestoreError> {
        match self.collection(spec, value)? {
            (ref_id, Node::Array { items, .. }) => Ok((ref_id, items.values().to_vec())),
            _ => Err(self.misfit(spec, value)),
        }
    }
}

/// Index, key and value of a map's entry.
pub(crate) type MapItem = (u32, Arc<str>, Value);

struct LoadFields<'a, 't> {
    stored: &'a [FieldSpec],
    values: &'a [Value],
    error: Option<RestoreError>,
    cx: &'a mut Load<'t>,
}

impl Visitor for LoadFields<'_, '_> {
    fn field<F: Field>(&mut self, spec: &FieldSpec, value: &mut F, slot: &mut F::Slot) {
        if self.error.is_some() {
            return;
        }
        let stored = self.stored.iter().find(|stored| stored.name == spec.name);
        let Some(found) = stored.and_then(|stored| self.values.get(usize::from(stored.index))) else {
            return;
        };
        if *found == Value::Null {
            // An option that was unset; anything else was not stored yet and keeps its default.
            if let Err(RestoreError::Decode(error)) = value.load(slot, spec, found, self.cx) {
                self.error = Some(error.into());
            }
            return;
        }
        self.error = value.load(slot, spec, found, self.cx).err();
    }
}
