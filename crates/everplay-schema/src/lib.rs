//! Replicated state: plain Rust structs whose changes are encoded once, for clients and for the journal.
//!
//! ```text
//! room code -> &mut State -> Replica::patch -> shared | filtered | private
//!                                               |         |           |
//!                                  every client +   views +   journal + (all three)
//! ```
//!
//! ```
//! use everplay_schema::{Map, Replica, State};
//!
//! #[derive(State, Default)]
//! struct Ship {
//!     x: f32,
//!     y: f32,
//! }
//!
//! #[derive(State, Default)]
//! struct Arena {
//!     tick: u32,
//!     ships: Map<Ship>,
//! }
//!
//! let mut arena = Replica::new(Arena::default());
//! arena.get_mut().ships.insert("ann", Ship::default());
//! arena.patch();
//! arena.get_mut().ships["ann"].x = 1.5;
//! assert!(arena.patch());
//! assert_eq!(arena.shared_patch(), [0xff, 2, 0x80, 0, 0, 0xc0, 0x3f]);
//! ```
//!
//! What must always hold:
//! - a client that applies a full state and then every patch holds the state the room holds (what it may see of it);
//! - a hidden field never leaves: no byte of it is in the shared part or in the section of a view that may not see it;
//! - refIds are never reused, and a restored replica continues with the very bytes the lost one would have sent.
//!
//! The wire format is that of `@colyseus/schema`; where our bytes differ from the official encoder's is listed, with
//! the reasons, in `docs/schema-differences.md`.

#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]

// The derive macro's output names this crate, also in this crate's own documentation and tests.
extern crate self as everplay_schema;

mod bag;
mod child;
mod decode;
mod dynamic;
mod forms;
mod full;
mod handshake;
mod input;
mod list;
mod list_patch;
mod map;
mod meta;
mod number;
mod output;
mod patch;
mod prim;
mod read;
mod replica;
mod restore;
mod slab;
mod structure;
mod track;
mod type_codec;
mod types;
mod view;

pub use bag::{Collection, ItemId, Set, Stream};
pub use child::Child;
pub use decode::{
    DecodeError, DecodedType, DecodedTypes, Decoder, Items, MAX_DEPTH, MEMORY_PER_BYTE, Node, Value,
};
pub use dynamic::{DynField, DynItem, DynStruct};
pub use everplay_schema_derive::State;
pub use full::FullForm;
pub use handshake::Generation;
pub use input::{InputReader, InputTypeError};
pub use list::List;
pub use map::Map;
pub use number::{Quantized, QuantizedMode};
pub use prim::Primitive;
pub use replica::{Inspector, Recovery, Replica, inspect};
pub use restore::{FORMAT_VERSION, PATCH_VERSION, RestoreError, shared_of};
pub use structure::{ArrayForm, Item, State};
pub use types::{
    CollectionKind, FieldDef, FieldSpec, ItemKind, Kind, MAX_FIELDS, Modifiers, Prim, TypeDef, TypeDesc,
    TypeError, TypeNo, TypeTable,
};
pub use view::{FieldTag, Following, Tag, ViewId, ViewSet};

/// What `#[derive(State)]` writes code against. Not for use by hand.
#[doc(hidden)]
pub mod derive {
    pub use crate::decode::Value;
    pub use crate::forms::{BigIntForm, NumberForm, QuantizedForm};
    pub use crate::full::{Full, FullScope};
    pub use crate::output::NO_REF;
    pub use crate::restore::{Load, Meta};
    pub use crate::structure::{
        Change, Field, FieldType, Item, ItemType, Patch, State, StructSlot, Structure, Visitor, VisitorRef,
    };
    pub use crate::types::{
        FieldDef, FieldSpec, ItemKind, Kind, Modifiers, Prim, Registry, TypeDef, TypeDesc, TypeError, TypeNo,
        TypeTable,
    };
    pub use crate::view::{FieldTag, Granted, Scope, ViewId, ViewSet};
}
