//! Random schemas and mutations, drawn from a list of numbers so that failures shrink.

use everplay_schema::{
    Child, CollectionKind, Decoder, DynField, DynItem, DynStruct, FieldDef, FieldTag, ItemKind, Kind,
    Modifiers, Node, Prim, Quantized, QuantizedMode, Replica, Tag, TypeDef, TypeNo, TypeTable, Value, ViewId,
};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// Numbers to draw from; zeroes when they are used up.
#[derive(Clone)]
pub(crate) struct Draw<'a> {
    numbers: &'a [u16],
    at: usize,
    /// Makes every text unique.
    pub(crate) counter: u32,
}

impl<'a> Draw<'a> {
    pub(crate) fn new(numbers: &'a [u16]) -> Self {
        Draw { numbers, at: 0, counter: 0 }
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        let number = self.numbers.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        usize::from(number) % end.max(1)
    }

    fn one_in(&mut self, odds: usize) -> bool {
        self.below(odds) == odds - 1
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.numbers.len()
    }
}

const PRIMS: [Prim; 16] = [
    Prim::String,
    Prim::Uint8,
    Prim::Number,
    Prim::Boolean,
    Prim::Int8,
    Prim::Int16,
    Prim::Uint16,
    Prim::Int32,
    Prim::Uint32,
    Prim::Int64,
    Prim::Uint64,
    Prim::Float32,
    Prim::Float64,
    Prim::BigInt64,
    Prim::BigUint64,
    Prim::Quantized(Quantized { min: -1.0, max: 1.0, bits: 16, mode: QuantizedMode::Clamp }),
];

/// A schema of a few types; structs only hold types after their own, derived types follow their base.
pub(crate) fn schema(draw: &mut Draw<'_>, filtered: bool) -> Arc<TypeTable> {
    let count = 2 + draw.below(4);
    let mut defs: Vec<TypeDef> = Vec::new();
    for no in 0..count {
        let base = (no > 1 && draw.one_in(3)).then(|| 1 + draw.below(no - 1));
        let mut fields = Vec::new();
        for field in 0..1 + draw.below(4) {
            let kind = kind(draw, no, count);
            let mut modifiers = Modifiers::default();
            if filtered && draw.one_in(3) {
                modifiers.view = Some(match draw.below(3) {
                    0 => FieldTag::Bits(1),
                    1 => FieldTag::Bits(3),
                    _ => FieldTag::Default,
                });
            } else {
                match draw.below(16) {
                    13 => modifiers.private = true,
                    14 => modifiers.patch_only = matches!(kind, Kind::Prim(_)),
                    15 => modifiers.full_state_only = true,
                    _ => {}
                }
            }
            fields.push(FieldDef { name: format!("f{no}_{field}"), kind, modifiers });
        }
        defs.push(TypeDef { name: format!("T{no}"), extends: base.map(|base| base as TypeNo), fields });
    }
    Arc::new(TypeTable::new(&defs, 0).expect("the schema is a right one"))
}

fn kind(draw: &mut Draw<'_>, no: usize, count: usize) -> Kind {
    let prim = |draw: &mut Draw<'_>| PRIMS[draw.below(PRIMS.len())];
    let item = |draw: &mut Draw<'_>| match draw.below(2) {
        1 if no + 1 < count => ItemKind::Struct((no + 1 + draw.below(count - no - 1)) as TypeNo),
        // The wire has no collections of quantized values.
        _ => ItemKind::Prim(PRIMS[draw.below(PRIMS.len() - 1)]),
    };
    match draw.below(8) {
        0 | 1 => Kind::Prim(prim(draw)),
        2 if no + 1 < count => Kind::Struct((no + 1 + draw.below(count - no - 1)) as TypeNo),
        3 | 4 => Kind::Collection(CollectionKind::Array, item(draw)),
        5 => Kind::Collection(CollectionKind::Map, item(draw)),
        6 => Kind::Collection(CollectionKind::Set, item(draw)),
        7 if no + 1 < count && draw.one_in(3) => {
            Kind::Collection(CollectionKind::Stream, ItemKind::Struct((count - 1) as TypeNo))
        }
        _ => Kind::Collection(CollectionKind::Collection, item(draw)),
    }
}

/// Where a mutation is: texts written there say how hidden the place is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Shared,
    Filtered,
    Private,
}

impl Place {
    fn into(self, modifiers: &Modifiers) -> Place {
        let own = if modifiers.private {
            Place::Private
        } else if modifiers.view.is_some() {
            Place::Filtered
        } else {
            Place::Shared
        };
        self.max(own)
    }

    /// What texts of the place start with.
    pub(crate) fn marker(self) -> &'static str {
        match self {
            Place::Shared => "shared#",
            Place::Filtered => "filtered#",
            Place::Private => "private#",
        }
    }
}

fn prim(draw: &mut Draw<'_>, prim: &Prim, place: Place) -> Value {
    draw.counter += 1;
    let number = draw.below(300);
    match prim {
        Prim::String => Value::Str(format!("{}{}", place.marker(), draw.counter)),
        Prim::Boolean => Value::Bool(number % 2 == 1),
        Prim::Int8 => Value::Int(number as i64 % 3 - 1),
        Prim::Uint8 => Value::Uint(number as u64 % 3),
        Prim::Int16 | Prim::Int32 | Prim::Int64 => Value::Int(-(number as i64)),
        Prim::Uint16 | Prim::Uint32 | Prim::Uint64 => Value::Uint(number as u64),
        Prim::BigInt64 => Value::BigInt(-(number as i64)),
        Prim::BigUint64 => Value::BigUint(number as u64),
        _ => Value::Float(number as f64 / 7.0),
    }
}

/// A type that fits where `declared` is expected.
fn instance(draw: &mut Draw<'_>, declared: TypeNo, types: &TypeTable) -> TypeNo {
    let derived: Vec<TypeNo> =
        (0..types.types().len() as TypeNo).filter(|no| types.get(*no).extends == Some(declared)).collect();
    match draw.below(derived.len() + 1) {
        0 => declared,
        one => derived[one - 1],
    }
}

fn build(draw: &mut Draw<'_>, ty: TypeNo, types: &TypeTable, place: Place) -> DynStruct {
    let mut value = DynStruct::new(instance(draw, ty, types), types);
    if draw.one_in(2) {
        mutate(draw, &mut value, types, place);
    }
    value
}

fn item(draw: &mut Draw<'_>, kind: &ItemKind, types: &TypeTable, place: Place) -> DynItem {
    match kind {
        ItemKind::Prim(of) => DynItem::Prim(prim(draw, of, place)),
        ItemKind::Struct(no) => DynItem::Struct(build(draw, *no, types, place)),
    }
}

/// One mutation somewhere in the tree.
pub(crate) fn mutate(draw: &mut Draw<'_>, value: &mut DynStruct, types: &TypeTable, place: Place) {
    let specs = &types.get(value.ty()).fields;
    if specs.is_empty() {
        return;
    }
    let position = draw.below(specs.len());
    let spec = &specs[position];
    let place = place.into(&spec.modifiers);
    let field = value.field_mut(position);
    match (field, &spec.kind) {
        (DynField::Prim(value), Kind::Prim(of)) => {
            *value = (!draw.one_in(6)).then(|| prim(draw, of, place));
        }
        (DynField::Struct(value), Kind::Struct(no)) => match (value, draw.below(6)) {
            (Some(child), 0..4) => mutate(draw, child, types, place),
            (value @ Some(_), 4) => *value = None,
            (value, _) => *value = Some(Child::new(build(draw, *no, types, place))),
        },
        (field @ (DynField::List(_) | DynField::Map(_)), Kind::Collection(..)) if draw.one_in(25) => {
            *field = DynField::blank(&spec.kind);
        }
        (DynField::List(Some(list)), Kind::Collection(_, of)) => {
            let len = list.len();
            match draw.below(14) {
                0..3 => list.push(item(draw, of, types, place)),
                3 | 4 => list.insert(draw.below(len + 1), item(draw, of, types, place)),
                5 if len > 0 => drop(list.remove(draw.below(len))),
                6 if len > 0 => drop(list.replace(draw.below(len), item(draw, of, types, place))),
                7 if len > 1 => list.swap(draw.below(len), draw.below(len)),
                8 => list.reverse(),
                9 if draw.one_in(3) => list.clear(),
                _ if len > 0 => match &mut list[draw.below(len)] {
                    DynItem::Struct(value) => mutate(draw, value, types, place),
                    DynItem::Prim(value) => {
                        if let ItemKind::Prim(of) = of {
                            *value = prim(draw, of, place);
                        }
                    }
                },
                _ => {}
            }
        }
        (DynField::Map(Some(map)), Kind::Collection(_, of)) => {
            let key = format!("k{}", draw.below(5));
            match draw.below(9) {
                0..4 => drop(map.insert(&key, item(draw, of, types, place))),
                4 | 5 => drop(map.remove(&key)),
                6 if draw.one_in(4) => map.clear(),
                _ => match map.get_mut(&key) {
                    Some(DynItem::Struct(value)) => mutate(draw, value, types, place),
                    Some(DynItem::Prim(value)) => {
                        if let ItemKind::Prim(of) = of {
                            *value = prim(draw, of, place);
                        }
                    }
                    None => {}
                },
            }
        }
        (DynField::Set(Some(bag)), Kind::Collection(_, of)) => {
            let ids: Vec<_> = bag.iter().map(|(id, _)| id).collect();
            match draw.below(8) {
                0..3 => drop(bag.add(item(draw, of, types, place))),
                3 if !ids.is_empty() => drop(bag.take(ids[draw.below(ids.len())])),
                4 if draw.one_in(4) => bag.clear(),
                _ if !ids.is_empty() => {
                    if let Some(DynItem::Struct(value)) = bag.get_mut(ids[draw.below(ids.len())]) {
                        mutate(draw, value, types, place);
                    }
                }
                _ => {}
            }
        }
        (DynField::Collection(Some(bag)), Kind::Collection(_, of)) => {
            let ids: Vec<_> = bag.iter().map(|(id, _)| id).collect();
            match draw.below(6) {
                0..3 => drop(bag.add(item(draw, of, types, place))),
                3 if !ids.is_empty() => drop(bag.take(ids[draw.below(ids.len())])),
                4 if draw.one_in(4) => bag.clear(),
                _ => {}
            }
        }
        (DynField::Stream(Some(stream)), Kind::Collection(_, of)) => {
            let ids: Vec<_> = stream.iter().map(|(id, _)| id).collect();
            match draw.below(6) {
                0..3 => drop(stream.add(item(draw, of, types, place))),
                3 if !ids.is_empty() => drop(stream.take(ids[draw.below(ids.len())])),
                _ if !ids.is_empty() => {
                    if let Some(DynItem::Struct(value)) = stream.get_mut(ids[draw.below(ids.len())]) {
                        mutate(draw, value, types, place);
                    }
                }
                _ => {}
            }
        }
        _ => {}
    }
}

/// Shows something to a view, or takes it back.
pub(crate) fn mutate_view(
    draw: &mut Draw<'_>,
    replica: &mut Replica<DynStruct>,
    view: ViewId,
    types: &TypeTable,
) {
    let tag = [None, Some(Tag(1)), Some(Tag(2)), Some(Tag(3))][draw.below(4)];
    let show = !draw.one_in(3);
    if draw.one_in(8) {
        if show {
            replica.show_root(view, tag)
        } else {
            replica.hide_root(view, tag)
        }
        return;
    }
    give(draw, replica.get_mut(), view, tag, show, types);
}

fn give(
    draw: &mut Draw<'_>,
    value: &mut DynStruct,
    view: ViewId,
    tag: Option<Tag>,
    show: bool,
    types: &TypeTable,
) {
    macro_rules! give {
        ($collection:ident, $key:expr) => {
            match (show, tag) {
                (true, None) => $collection.show($key, view),
                (true, Some(tag)) => $collection.show_tagged($key, view, tag),
                (false, None) => $collection.hide($key, view),
                (false, Some(tag)) => $collection.hide_tagged($key, view, tag),
            }
        };
    }
    macro_rules! all {
        ($collection:ident) => {
            if show { $collection.show_all(view) } else { $collection.hide_all(view) }
        };
    }
    let fields = types.get(value.ty()).fields.len();
    if fields == 0 {
        return;
    }
    let deeper = draw.one_in(2);
    let all = draw.one_in(8);
    let position = draw.below(fields);
    match value.field_mut(position) {
        DynField::Struct(Some(child)) => {
            if deeper {
                return give(draw, child, view, tag, show, types);
            }
            match (show, tag) {
                (true, None) => child.show(view),
                (true, Some(tag)) => child.show_tagged(view, tag),
                (false, None) => child.hide(view),
                (false, Some(tag)) => child.hide_tagged(view, tag),
            }
        }
        DynField::List(Some(list)) => {
            let at = draw.below(list.len());
            match list.get_mut(at) {
                Some(DynItem::Struct(item)) if deeper => give(draw, item, view, tag, show, types),
                Some(DynItem::Struct(_)) if all => all!(list),
                Some(DynItem::Struct(_)) => {
                    give!(list, at);
                }
                _ => {}
            }
        }
        DynField::Map(Some(map)) => {
            let keys: Vec<String> = map.keys().map(str::to_owned).collect();
            if keys.is_empty() {
                return;
            }
            let key = &keys[draw.below(keys.len())];
            match map.get_mut(key) {
                Some(DynItem::Struct(item)) if deeper => give(draw, item, view, tag, show, types),
                Some(DynItem::Struct(_)) if all => all!(map),
                Some(DynItem::Struct(_)) => {
                    give!(map, key);
                }
                _ => {}
            }
        }
        DynField::Set(Some(bag)) => {
            let ids: Vec<_> = bag.iter().map(|(id, _)| id).collect();
            if ids.is_empty() {
                return;
            }
            let id = ids[draw.below(ids.len())];
            match bag.get_mut(id) {
                Some(DynItem::Struct(item)) if deeper => give(draw, item, view, tag, show, types),
                Some(DynItem::Struct(_)) if all => all!(bag),
                Some(DynItem::Struct(_)) => {
                    give!(bag, id);
                }
                _ => {}
            }
        }
        DynField::Stream(Some(stream)) => {
            let ids: Vec<_> = stream.iter().map(|(id, _)| id).collect();
            if all {
                all!(stream)
            } else if !ids.is_empty() {
                let id = ids[draw.below(ids.len())];
                give!(stream, id);
            }
        }
        _ => {}
    }
}

/// What a client holds, as far as patches and full states must agree: fields of only one of them are left out, lists
/// whose items are shown one by one have no order, and empty ones are as good as none.
pub(crate) fn held(decoder: &Decoder, types: &TypeTable) -> Json {
    value(decoder, types, &Value::Ref(0), false)
}

fn value(decoder: &Decoder, types: &TypeTable, of: &Value, unordered: bool) -> Json {
    let Value::Ref(ref_id) = of else { return json!(format!("{of:?}")) };
    let list = |values: Vec<&Value>| -> Json {
        let mut all: Vec<Json> = values.into_iter().map(|of| value(decoder, types, of, false)).collect();
        if unordered {
            all.sort_by_key(Json::to_string);
        }
        if all.is_empty() && unordered { Json::Null } else { Json::Array(all) }
    };
    match decoder.node(*ref_id) {
        None => json!("missing"),
        Some(Node::Struct { ty, fields }) => {
            let specs = &types.get(*ty).fields;
            let mut out = serde_json::Map::new();
            for (index, of) in fields.iter().enumerate() {
                let spec =
                    specs.iter().find(|spec| usize::from(spec.index) == index).expect("a field of the type");
                if *of == Value::Null || spec.modifiers.patch_only || spec.modifiers.full_state_only {
                    continue;
                }
                let one_by_one = spec.modifiers.view == Some(FieldTag::Default)
                    && matches!(spec.kind, Kind::Collection(_, ItemKind::Struct(_)));
                let of = value(decoder, types, of, one_by_one);
                if of != Json::Null {
                    out.insert(spec.name.clone(), of);
                }
            }
            Json::Object(out)
        }
        Some(Node::Map { items, .. }) => {
            if items.is_empty() && unordered {
                return Json::Null;
            }
            let entries = items
                .iter()
                .map(|(index, (key, of))| (format!("{key}@{index}"), value(decoder, types, of, false)));
            Json::Object(entries.collect())
        }
        Some(Node::Array { items, .. }) => list(items.values().iter().collect()),
        Some(Node::Bag { items, .. }) => list(items.values().collect()),
    }
}
