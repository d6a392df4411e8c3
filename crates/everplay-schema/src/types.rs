//! The types of a state tree as data: what the handshake tells, what walkers consult, what a snapshot carries.
//!
//! Derived types and run-time types describe themselves as [`TypeDef`]s; [`TypeTable::new`] numbers the types in the
//! official order, flattens inheritance and gives every field its index.
//!
//! Indexes: fields that may be sent are numbered first, inherited ones before own ones, as clients expect.
//! Server-only fields follow after them, so that they have an index in the journal and none on the wire.

use crate::number::Quantized;
use crate::view::FieldTag;
use std::any::TypeId;
use std::collections::HashMap;

/// Number of a type within its [`TypeTable`]; the TYPE_ID of the wire.
pub type TypeNo = u16;

/// Most fields a type can have, inherited and server-only ones included: an operation byte has six bits for the
/// index, and index 63 with both operation bits would read as a switch.
pub const MAX_FIELDS: usize = 63;

/// A primitive type of the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the variants are the wire's type names")]
pub enum Prim {
    String,
    Boolean,
    Int8,
    Uint8,
    Int16,
    Uint16,
    Int32,
    Uint32,
    Int64,
    Uint64,
    Float32,
    Float64,
    BigInt64,
    BigUint64,
    /// Self-describing; fractions may be rounded on the wire (not in the journal).
    Number,
    /// A number of few bits within a range.
    Quantized(Quantized),
}

impl Prim {
    const NAMED: [(&'static str, Prim); 15] = [
        ("string", Prim::String),
        ("boolean", Prim::Boolean),
        ("int8", Prim::Int8),
        ("uint8", Prim::Uint8),
        ("int16", Prim::Int16),
        ("uint16", Prim::Uint16),
        ("int32", Prim::Int32),
        ("uint32", Prim::Uint32),
        ("int64", Prim::Int64),
        ("uint64", Prim::Uint64),
        ("float32", Prim::Float32),
        ("float64", Prim::Float64),
        ("bigint64", Prim::BigInt64),
        ("biguint64", Prim::BigUint64),
        ("number", Prim::Number),
    ];

    /// The wire's name of the type.
    pub fn name(&self) -> &'static str {
        match self {
            Prim::Quantized(_) => "quantized",
            other => Self::NAMED.iter().find(|(_, prim)| prim == other).map_or("quantized", |(name, _)| name),
        }
    }

    /// The type with this name, if there is one; `quantized` needs its range and is not among them.
    pub fn named(name: &str) -> Option<Prim> {
        Self::NAMED.iter().find(|(known, _)| *known == name).map(|(_, prim)| *prim)
    }
}

/// The kinds of collections of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the wire's collection names")]
pub enum CollectionKind {
    Array,
    Map,
    Set,
    Collection,
    Stream,
}

impl CollectionKind {
    pub(crate) const ALL: [CollectionKind; 5] = [
        CollectionKind::Array,
        CollectionKind::Map,
        CollectionKind::Set,
        CollectionKind::Collection,
        CollectionKind::Stream,
    ];

    /// The wire's name.
    pub fn name(self) -> &'static str {
        match self {
            CollectionKind::Array => "array",
            CollectionKind::Map => "map",
            CollectionKind::Set => "set",
            CollectionKind::Collection => "collection",
            CollectionKind::Stream => "stream",
        }
    }
}

/// What a collection holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ItemKind {
    /// Primitives.
    Prim(Prim),
    /// Structures of this type or one derived from it.
    Struct(TypeNo),
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A primitive.
    Prim(Prim),
    /// A structure of this type or one derived from it.
    Struct(TypeNo),
    /// A collection.
    Collection(CollectionKind, ItemKind),
}

impl Kind {
    /// The type of the structure, or of the items.
    pub fn struct_type(&self) -> Option<TypeNo> {
        match self {
            Kind::Struct(no) | Kind::Collection(_, ItemKind::Struct(no)) => Some(*no),
            _ => None,
        }
    }

    fn renumber(self, new: &[TypeNo]) -> Kind {
        match self {
            Kind::Struct(no) => Kind::Struct(new[usize::from(no)]),
            Kind::Collection(kind, ItemKind::Struct(no)) => {
                Kind::Collection(kind, ItemKind::Struct(new[usize::from(no)]))
            }
            other => other,
        }
    }
}

/// Modifiers of a field.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Modifiers {
    /// Filtered: sent to the views that were shown the instance.
    pub view: Option<FieldTag>,
    /// Server-only: journaled, never sent, not in the handshake.
    pub private: bool,
    /// Keeps its index in the handshake; journaled, never sent.
    pub deprecated: bool,
    /// Sent in patches, not in full states.
    pub patch_only: bool,
    /// Sent in full states, never in patches.
    pub full_state_only: bool,
}

/// One own field of a type, as described by the type.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldDef {
    /// Name on the wire.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Its modifiers.
    pub modifiers: Modifiers,
}

/// One type, as described by itself: own fields only.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeDef {
    /// Name, for people and for restoring.
    pub name: String,
    /// The type it derives from.
    pub extends: Option<TypeNo>,
    /// Own fields in declaration order.
    pub fields: Vec<FieldDef>,
}

/// One field of a type, inherited or own, as walkers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldSpec {
    /// Name on the wire.
    pub name: String,
    /// Index in operations.
    pub index: u8,
    /// What it holds.
    pub kind: Kind,
    /// Its modifiers.
    pub modifiers: Modifiers,
    /// Whether something filtered can be inside.
    pub views_below: bool,
    /// No modifier at all: the fast path of walkers.
    pub(crate) plain: bool,
}

impl FieldSpec {
    /// The primitive the field or its items are written as; structures have none.
    pub(crate) fn prim(&self) -> Option<&Prim> {
        match &self.kind {
            Kind::Prim(prim) | Kind::Collection(_, ItemKind::Prim(prim)) => Some(prim),
            _ => None,
        }
    }

    /// Never in a patch.
    pub(crate) fn unsent(&self) -> bool {
        self.modifiers.private || self.modifiers.deprecated || self.modifiers.full_state_only
    }

    /// Items have to be shown one by one.
    /// A collection of structs.
    pub(crate) fn has_struct_items(&self) -> bool {
        matches!(self.kind, Kind::Collection(_, ItemKind::Struct(_)))
    }

    pub(crate) fn per_item(&self) -> bool {
        self.modifiers.view == Some(FieldTag::Default)
            && matches!(self.kind, Kind::Collection(_, ItemKind::Struct(_)))
    }
}

/// One type, flattened.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeDesc {
    /// Its name.
    pub name: String,
    /// The type it derives from.
    pub extends: Option<TypeNo>,
    /// Where own fields start in `fields`.
    pub own_from: usize,
    /// Inherited fields in declaration order, then own ones.
    pub fields: Vec<FieldSpec>,
    /// Whether a field is filtered, here or below.
    pub views: bool,
    /// Whether a field is a structure or collection.
    pub(crate) nested: bool,
}

/// All types of a state tree, numbered in the official order: the root is 0.
#[derive(Clone, Debug, Default)]
pub struct TypeTable {
    pub(crate) types: Vec<TypeDesc>,
    /// How many of them, from the first, clients are told about.
    pub(crate) sent: usize,
    by_rust: HashMap<TypeId, TypeNo>,
}

/// Why types cannot be a state tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// More than [`MAX_FIELDS`] fields, inherited and server-only ones included.
    #[error("type {0} has {1} fields, at most 63 are possible")]
    TooManyFields(String, usize),
    /// A type extends itself, or something else that is not a tree.
    #[error("type {0} extends itself")]
    CyclicExtends(String),
    /// A type number out of range.
    #[error("a field or type refers to type number {0}, which does not exist")]
    UnknownType(TypeNo),
    /// A collection of quantized values, which the handshake cannot tell.
    #[error("field {0} of {1} is a collection of quantized values, which the wire does not have")]
    QuantizedItems(String, String),
    /// More types than the table can number.
    #[error("more than 65535 types")]
    TooManyTypes,
}

impl TypeTable {
    /// Numbers and flattens. `root` is an index into `defs`, as are all type numbers in there. Types that cannot be
    /// reached from the root are left out.
    pub fn new(defs: &[TypeDef], root: usize) -> Result<TypeTable, TypeError> {
        Ok(Self::build(defs, root)?.0)
    }

    fn build(defs: &[TypeDef], root: usize) -> Result<(TypeTable, Vec<Option<TypeNo>>), TypeError> {
        check(defs, root)?;
        let mut order = Vec::new();
        visit(defs, root, &mut order);
        let sent = order.len();
        // Types only the server knows come last, so that they have no part in what clients are told.
        let mut next = 0;
        while next < order.len() {
            for field in defs[order[next]].fields.iter().filter(|field| field.modifiers.private) {
                if let Some(no) = field.kind.struct_type() {
                    visit(defs, usize::from(no), &mut order);
                }
            }
            next += 1;
        }
        let mut numbers = vec![0; defs.len()];
        for (new, old) in order.iter().enumerate() {
            numbers[*old] = new as TypeNo;
        }
        let mut types = Vec::with_capacity(order.len());
        for old in &order {
            types.push(flatten(defs, *old, &numbers)?);
        }
        mark_views(&mut types);
        let visited = (0..defs.len()).map(|old| order.contains(&old).then(|| numbers[old])).collect();
        Ok((TypeTable { types, sent, by_rust: HashMap::new() }, visited))
    }

    /// The type with this number.
    pub fn get(&self, no: TypeNo) -> &TypeDesc {
        &self.types[usize::from(no)]
    }

    /// All types by number.
    pub fn types(&self) -> &[TypeDesc] {
        &self.types
    }

    /// The number of a derived type. Panics when it is not part of the tree.
    pub fn number_of<T: 'static>(&self) -> TypeNo {
        *self.by_rust.get(&TypeId::of::<T>()).expect("a type is described before its values are walked")
    }

    /// Whether any field is filtered.
    pub fn has_views(&self) -> bool {
        self.types.first().is_some_and(|root| root.views)
    }

    /// Whether `no` is `base` or derives from it.
    pub(crate) fn derives(&self, no: TypeNo, base: TypeNo) -> bool {
        let mut current = Some(no);
        while let Some(no) = current {
            if no == base {
                return true;
            }
            current = self.types.get(usize::from(no)).and_then(|ty| ty.extends);
        }
        false
    }
}

fn check(defs: &[TypeDef], root: usize) -> Result<(), TypeError> {
    if defs.len() > usize::from(TypeNo::MAX) {
        return Err(TypeError::TooManyTypes);
    }
    let known =
        |no: TypeNo| if usize::from(no) < defs.len() { Ok(()) } else { Err(TypeError::UnknownType(no)) };
    known(root.min(usize::from(TypeNo::MAX)) as TypeNo)?;
    for def in defs {
        for no in def.fields.iter().filter_map(|field| field.kind.struct_type()).chain(def.extends) {
            known(no)?;
        }
    }
    for def in defs {
        for field in &def.fields {
            if let Kind::Collection(_, ItemKind::Prim(Prim::Quantized(_))) = field.kind {
                return Err(TypeError::QuantizedItems(field.name.clone(), def.name.clone()));
            }
        }
        let (mut steps, mut current) = (0, def.extends);
        while let Some(no) = current {
            steps += 1;
            if steps > defs.len() {
                return Err(TypeError::CyclicExtends(def.name.clone()));
            }
            current = defs[usize::from(no)].extends;
        }
    }
    Ok(())
}

/// The official order: the type, its direct subclasses, its parents upwards, the types of its fields.
fn visit(defs: &[TypeDef], no: usize, order: &mut Vec<usize>) {
    if order.contains(&no) {
        return;
    }
    order.push(no);
    for (child, def) in defs.iter().enumerate() {
        if def.extends.is_some_and(|parent| usize::from(parent) == no) {
            visit(defs, child, order);
        }
    }
    let mut parent = defs[no].extends;
    let mut line = vec![no];
    while let Some(up) = parent {
        visit(defs, usize::from(up), order);
        line.push(usize::from(up));
        parent = defs[usize::from(up)].extends;
    }
    for ty in line.iter().rev() {
        for field in defs[*ty].fields.iter().filter(|field| !field.modifiers.private) {
            if let Some(no) = field.kind.struct_type() {
                visit(defs, usize::from(no), order);
            }
        }
    }
}

fn flatten(defs: &[TypeDef], no: usize, numbers: &[TypeNo]) -> Result<TypeDesc, TypeError> {
    let mut line = vec![no];
    while let Some(parent) = defs[line[line.len() - 1]].extends {
        line.push(usize::from(parent));
    }
    line.reverse();
    let own_from = line[..line.len() - 1].iter().map(|ty| defs[*ty].fields.len()).sum();
    let all: Vec<&FieldDef> = line.iter().flat_map(|ty| &defs[*ty].fields).collect();
    if all.len() > MAX_FIELDS {
        return Err(TypeError::TooManyFields(defs[no].name.clone(), all.len()));
    }
    let sent = all.iter().filter(|field| !field.modifiers.private).count();
    let (mut next_sent, mut next_private) = (0, sent);
    let fields: Vec<FieldSpec> = all
        .into_iter()
        .map(|field| {
            let next = if field.modifiers.private { &mut next_private } else { &mut next_sent };
            let index = *next as u8;
            *next += 1;
            FieldSpec {
                name: field.name.clone(),
                index,
                kind: field.kind.renumber(numbers),
                modifiers: field.modifiers,
                views_below: false,
                plain: field.modifiers == Modifiers::default(),
            }
        })
        .collect();
    Ok(TypeDesc {
        name: defs[no].name.clone(),
        extends: defs[no].extends.map(|parent| numbers[usize::from(parent)]),
        own_from,
        nested: fields.iter().any(|field| !matches!(field.kind, Kind::Prim(_))),
        fields,
        views: false,
    })
}

/// Spreads "something filtered is in here" from fields to the types and fields that lead to them.
fn mark_views(types: &mut [TypeDesc]) {
    for ty in types.iter_mut() {
        ty.views = ty.fields.iter().any(|field| {
            field.modifiers.view.is_some()
                || matches!(field.kind, Kind::Collection(CollectionKind::Stream, ItemKind::Struct(_)))
        });
    }
    loop {
        let mut with: Vec<bool> = types.iter().map(|ty| ty.views).collect();
        // A slot of a base type may hold a derived instance.
        for (no, ty) in types.iter().enumerate() {
            if with[no]
                && let Some(parent) = ty.extends
            {
                with[usize::from(parent)] = true;
            }
        }
        let mut changed = false;
        for (no, ty) in types.iter_mut().enumerate() {
            let mut views = with[no];
            for field in &mut ty.fields {
                let stream =
                    matches!(field.kind, Kind::Collection(CollectionKind::Stream, ItemKind::Struct(_)));
                let below = stream || field.kind.struct_type().is_some_and(|no| with[usize::from(no)]);
                changed |= below != field.views_below;
                field.views_below = below;
                views |= below;
            }
            changed |= views != ty.views;
            ty.views = views;
        }
        if !changed {
            return;
        }
    }
}

/// Collects the descriptions of derived types, each once.
#[derive(Default)]
pub struct Registry {
    defs: Vec<TypeDef>,
    by_rust: HashMap<TypeId, TypeNo>,
}

impl Registry {
    /// Registers `T` under `name` unless it is known, and describes it with `describe`.
    pub fn structure<T: 'static>(
        &mut self,
        name: &str,
        describe: impl FnOnce(&mut Registry, &mut TypeDef),
    ) -> TypeNo {
        if let Some(no) = self.by_rust.get(&TypeId::of::<T>()) {
            return *no;
        }
        let no = TypeNo::try_from(self.defs.len()).expect("a program has fewer than 65536 state types");
        self.by_rust.insert(TypeId::of::<T>(), no);
        self.defs.push(TypeDef { name: name.to_owned(), extends: None, fields: Vec::new() });
        let mut def = TypeDef { name: name.to_owned(), extends: None, fields: Vec::new() };
        describe(self, &mut def);
        self.defs[usize::from(no)] = def;
        no
    }

    /// The finished table with `root` as type 0.
    ///
    /// Panics when a type has more than [`MAX_FIELDS`] fields, naming it: that is a mistake in the program's types,
    /// found the first time the type is used.
    pub fn finish(self, root: TypeNo) -> TypeTable {
        let (mut table, numbers) = match TypeTable::build(&self.defs, usize::from(root)) {
            Ok(built) => built,
            Err(error) => panic!("{error}"),
        };
        for (rust, no) in self.by_rust {
            if let Some(number) = numbers[usize::from(no)] {
                table.by_rust.insert(rust, number);
            }
        }
        table
    }
}
