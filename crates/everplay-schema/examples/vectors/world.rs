//! The mutations of a case.
//!
//! Cases are written for object graphs: one instance may be in several places. Here a graph mirrors that, and every
//! mutation is applied to the owned tree at each place the object is in. An instance that is put somewhere is copied
//! there, so it is a new one to clients: the one difference Rust's ownership forces.

use crate::schema::Schema;
use crate::views::{DEFAULT, Graph, Parent, Seen};
use everplay_schema::{
    Child, CollectionKind, DynField, DynItem, DynStruct, FieldTag, ItemId, Kind, Map, Prim, Replica, Tag,
    TypeNo, Value, ViewId,
};
use serde_json::Value as Json;
use std::collections::{HashMap, HashSet};

type Id = usize;

#[derive(Clone, Debug, PartialEq)]
enum Slot {
    Unset,
    Prim(Value),
    Object(Id),
}

#[derive(Clone, Debug)]
enum Object {
    Struct { ty: TypeNo, fields: Vec<Slot> },
    Array { kind: Kind, items: Vec<Slot> },
    Map { kind: Kind, items: Vec<(String, Slot)> },
    Bag { kind: Kind, items: Vec<Slot> },
}

/// One step down the tree.
#[derive(Clone, Debug)]
enum Step {
    Field(usize),
    Index(usize),
    Key(String),
}

type Path = Vec<Step>;

/// The graph of a case beside the tree.
pub(crate) struct World<'s> {
    schema: &'s Schema,
    objects: Vec<Object>,
    ids: HashMap<String, Id>,
    views: Vec<(String, ViewId)>,
    seen: HashMap<ViewId, Seen>,
    /// What was in the tree with the last patch.
    known: HashSet<Id>,
}

const ROOT: Id = 0;

impl<'s> World<'s> {
    /// A root with what exists from the start, and the tree of the same shape.
    pub(crate) fn new(schema: &'s Schema) -> (Self, DynStruct) {
        let mut world = World {
            schema,
            objects: Vec::new(),
            ids: HashMap::new(),
            views: Vec::new(),
            seen: HashMap::new(),
            known: HashSet::new(),
        };
        let root = world.make(0);
        world.ids.insert("root".to_owned(), root);
        let tree = world.build_struct(root);
        (world, tree)
    }

    /// Views in the order they were made.
    pub(crate) fn views(&self) -> &[(String, ViewId)] {
        &self.views
    }

    /// Applies a mutation of the state.
    pub(crate) fn apply(&mut self, op: &Json, tree: &mut DynStruct) -> Result<(), String> {
        let name = op["op"].as_str().unwrap_or_default();
        if name == "new" {
            let value = serde_json::json!({ "$new": op["type"], "id": op["id"], "init": op["init"] });
            self.value(&value, &Kind::Struct(0))?;
            return Ok(());
        }
        let target = self.target(&op["target"])?;
        let paths = self.paths(target);
        match name {
            "set" | "unset" => self.set_field(target, op, &paths, tree),
            "mapSet" | "mapDelete" => self.change_map(target, op, &paths, tree),
            "add" | "remove" | "maxPerTick" => self.change_bag(target, op, &paths, tree),
            "clear" => self.clear(target, &paths, tree),
            _ => self.change_array(target, op, &paths, tree),
        }
    }

    // ---- the graph

    fn make(&mut self, ty: TypeNo) -> Id {
        let id = self.objects.len();
        self.objects.push(Object::Struct { ty, fields: Vec::new() });
        let mut fields = Vec::new();
        for spec in self.schema.types.get(ty).fields.clone() {
            fields.push(match spec.kind {
                Kind::Prim(_) => Slot::Unset,
                Kind::Struct(no) if self.schema.is_auto(ty, &spec.name) => Slot::Object(self.make(no)),
                Kind::Struct(_) => Slot::Unset,
                Kind::Collection(..) => Slot::Object(self.make_collection(spec.kind)),
            });
        }
        self.objects[id] = Object::Struct { ty, fields };
        id
    }

    fn make_collection(&mut self, kind: Kind) -> Id {
        self.objects.push(match kind {
            Kind::Collection(CollectionKind::Array, _) => Object::Array { kind, items: Vec::new() },
            Kind::Collection(CollectionKind::Map, _) => Object::Map { kind, items: Vec::new() },
            _ => Object::Bag { kind, items: Vec::new() },
        });
        self.objects.len() - 1
    }

    fn target(&self, target: &Json) -> Result<Id, String> {
        let id = |name: &Json| {
            let name = name.as_str().ok_or("a target starts with an id")?;
            self.ids.get(name).copied().ok_or_else(|| format!("unknown id {name}"))
        };
        let Json::Array(path) = target else { return id(target) };
        let mut current = id(path.first().unwrap_or(&Json::Null))?;
        for step in &path[1..] {
            let slot = match &self.objects[current] {
                Object::Struct { ty, fields } => {
                    self.position(*ty, step).ok().and_then(|position| fields.get(position))
                }
                Object::Map { items, .. } => {
                    items.iter().find(|(key, _)| step == key.as_str()).map(|(_, slot)| slot)
                }
                Object::Array { items, .. } | Object::Bag { items, .. } => {
                    step.as_u64().and_then(|index| items.get(index as usize))
                }
            };
            let Some(Slot::Object(next)) = slot else { return Err(format!("path {target} not found")) };
            current = *next;
        }
        Ok(current)
    }

    fn position(&self, ty: TypeNo, field: &Json) -> Result<usize, String> {
        let fields = &self.schema.types.get(ty).fields;
        let position = fields.iter().position(|spec| field == spec.name.as_str());
        position.ok_or_else(|| format!("no field {field}"))
    }

    fn value(&mut self, value: &Json, kind: &Kind) -> Result<Slot, String> {
        let prim = match kind {
            Kind::Prim(prim) => Some(*prim),
            _ => None,
        };
        let Json::Object(of) = value else {
            return Ok(match value {
                Json::Null => Slot::Unset,
                Json::Bool(v) => Slot::Prim(Value::Bool(*v)),
                Json::String(v) => Slot::Prim(Value::Str(v.clone())),
                Json::Number(v) => Slot::Prim(number(v, prim)),
                _ => return Err(format!("bad value {value}")),
            });
        };
        if let Some(text) = of.get("$num") {
            let v = match text.as_str() {
                Some("NaN") => f64::NAN,
                Some("-0") => -0.0,
                Some("Infinity") => f64::INFINITY,
                _ => f64::NEG_INFINITY,
            };
            return Ok(Slot::Prim(Value::Float(v)));
        }
        if let Some(text) = of.get("$big").and_then(Json::as_str) {
            return Ok(Slot::Prim(match (prim, text.parse::<i64>(), text.parse::<u64>()) {
                (Some(Prim::BigUint64), _, Ok(v)) | (_, Err(_), Ok(v)) => Value::BigUint(v),
                (_, Ok(v), _) => Value::BigInt(v),
                _ => return Err(format!("bad big integer {text}")),
            }));
        }
        if of.contains_key("$undef") {
            return Ok(Slot::Unset);
        }
        if let Some(id) = of.get("$id") {
            return Ok(Slot::Object(self.target(id)?));
        }
        if let Some(path) = of.get("$at") {
            return Ok(Slot::Object(self.target(path)?));
        }
        if let Some(ty) = of.get("$new") {
            let object = self.make(self.schema.number(ty.as_str().unwrap_or_default())?);
            if let Some(id) = of.get("id").and_then(Json::as_str) {
                self.ids.insert(id.to_owned(), object);
            }
            for (field, value) in of.get("init").and_then(Json::as_object).into_iter().flatten() {
                self.assign(object, &Json::String(field.clone()), value)?;
            }
            return Ok(Slot::Object(object));
        }
        if of.contains_key("$array") || of.contains_key("$map") {
            let collection = self.make_collection(*kind);
            let items = of.get("$array").or(of.get("$map")).unwrap_or(&Json::Null);
            self.fill(collection, items)?;
            return Ok(Slot::Object(collection));
        }
        Err(format!("bad value {value}"))
    }

    /// Sets a field in the graph alone.
    fn assign(&mut self, object: Id, field: &Json, value: &Json) -> Result<(), String> {
        let Object::Struct { ty, .. } = self.objects[object] else { return Err("not a struct".to_owned()) };
        let position = self.position(ty, field)?;
        if let Some(items) = value.get("$fill") {
            let Object::Struct { fields, .. } = &self.objects[object] else { return Ok(()) };
            let Slot::Object(collection) = fields[position] else { return Err("nothing to fill".to_owned()) };
            return self.fill(collection, items);
        }
        let kind = self.schema.types.get(ty).fields[position].kind;
        let slot = self.value(value, &kind)?;
        if let Object::Struct { fields, .. } = &mut self.objects[object] {
            fields[position] = slot;
        }
        Ok(())
    }

    fn fill(&mut self, collection: Id, values: &Json) -> Result<(), String> {
        let kind = self.item_kind(collection);
        if let Json::Object(entries) = values {
            for (key, value) in entries {
                let slot = self.value(value, &kind)?;
                if let Object::Map { items, .. } = &mut self.objects[collection] {
                    items.retain(|(known, _)| known != key);
                    items.push((key.clone(), slot));
                }
            }
            return Ok(());
        }
        for value in values.as_array().into_iter().flatten() {
            let slot = self.value(value, &kind)?;
            if let Object::Array { items, .. } | Object::Bag { items, .. } = &mut self.objects[collection] {
                items.push(slot);
            }
        }
        Ok(())
    }

    fn item_kind(&self, collection: Id) -> Kind {
        use everplay_schema::ItemKind;
        match &self.objects[collection] {
            Object::Array { kind, .. } | Object::Map { kind, .. } | Object::Bag { kind, .. } => match kind {
                Kind::Collection(_, ItemKind::Prim(prim)) => Kind::Prim(*prim),
                Kind::Collection(_, ItemKind::Struct(no)) => Kind::Struct(*no),
                other => *other,
            },
            Object::Struct { ty, .. } => Kind::Struct(*ty),
        }
    }

    /// Every way from the root to an object.
    fn paths(&self, object: Id) -> Vec<Path> {
        let mut found = Vec::new();
        self.search(ROOT, object, &mut Vec::new(), &mut found);
        found
    }

    fn search(&self, at: Id, object: Id, path: &mut Path, found: &mut Vec<Path>) {
        if at == object {
            found.push(path.clone());
        }
        for (step, slot) in self.children(at) {
            if let Slot::Object(child) = slot {
                path.push(step);
                self.search(child, object, path, found);
                path.pop();
            }
        }
    }

    fn children(&self, of: Id) -> Vec<(Step, Slot)> {
        match &self.objects[of] {
            Object::Struct { fields, .. } => {
                fields.iter().cloned().enumerate().map(|(at, slot)| (Step::Field(at), slot)).collect()
            }
            Object::Array { items, .. } | Object::Bag { items, .. } => {
                items.iter().cloned().enumerate().map(|(at, slot)| (Step::Index(at), slot)).collect()
            }
            Object::Map { items, .. } => {
                items.iter().cloned().map(|(key, slot)| (Step::Key(key), slot)).collect()
            }
        }
    }

    // ---- copies for the tree

    fn build_struct(&self, id: Id) -> DynStruct {
        let Object::Struct { ty, fields } = &self.objects[id] else { unreachable!("asked for structs only") };
        let mut built = DynStruct::new(*ty, &self.schema.types);
        for (position, slot) in fields.iter().enumerate() {
            *built.field_mut(position) =
                self.build_field(slot, &self.schema.types.get(*ty).fields[position].kind);
        }
        built
    }

    fn build_field(&self, slot: &Slot, kind: &Kind) -> DynField {
        let set = match slot {
            Slot::Unset => None,
            slot => Some(slot),
        };
        match kind {
            Kind::Prim(_) => DynField::Prim(set.map(|slot| match slot {
                Slot::Prim(value) => value.clone(),
                _ => Value::Null,
            })),
            Kind::Struct(_) => DynField::Struct(set.map(|slot| match slot {
                Slot::Object(id) => Child::new(self.build_struct(*id)),
                _ => unreachable!("a struct field holds an object"),
            })),
            Kind::Collection(collection, _) => {
                let items = || match set {
                    Some(Slot::Object(id)) => self.children(*id),
                    _ => Vec::new(),
                };
                let values =
                    || items().into_iter().map(|(_, slot)| self.build_item(&slot)).collect::<Vec<_>>();
                match collection {
                    CollectionKind::Array => DynField::List(set.map(|_| values().into())),
                    CollectionKind::Map => DynField::Map(set.map(|_| {
                        let mut map = Map::new();
                        for (step, slot) in items() {
                            if let Step::Key(key) = step {
                                map.insert(key, self.build_item(&slot));
                            }
                        }
                        map
                    })),
                    CollectionKind::Set => DynField::Set(set.map(|_| values().into_iter().collect())),
                    CollectionKind::Collection => {
                        DynField::Collection(set.map(|_| values().into_iter().collect()))
                    }
                    CollectionKind::Stream => DynField::Stream(set.map(|_| values().into_iter().collect())),
                }
            }
        }
    }

    fn build_item(&self, slot: &Slot) -> DynItem {
        match slot {
            Slot::Object(id) => DynItem::Struct(self.build_struct(*id)),
            Slot::Prim(value) => DynItem::Prim(value.clone()),
            Slot::Unset => DynItem::Prim(Value::Null),
        }
    }

    // ---- mutations

    fn set_field(
        &mut self,
        target: Id,
        op: &Json,
        paths: &[Path],
        tree: &mut DynStruct,
    ) -> Result<(), String> {
        let Object::Struct { ty, fields } = &self.objects[target] else {
            return Err("not a struct".to_owned());
        };
        let (ty, fields) = (*ty, fields.clone());
        let position = self.position(ty, &op["field"])?;
        let before = fields[position].clone();
        let kind = self.schema.types.get(ty).fields[position].kind;
        if op["op"] == "unset" {
            if let Object::Struct { fields, .. } = &mut self.objects[target] {
                fields[position] = Slot::Unset;
            }
        } else if op["value"].get("$fill").is_some() {
            let Slot::Object(collection) = before else { return Err("nothing to fill".to_owned()) };
            let known = self.children(collection).len();
            let places = self.paths(collection);
            self.assign(target, &op["field"], &op["value"])?;
            let new: Vec<_> = self.children(collection).into_iter().skip(known).collect();
            for path in places {
                let field = field_at(tree, &path)?;
                for (step, slot) in &new {
                    add_item(field, step, self.build_item(slot));
                }
            }
            return Ok(());
        } else {
            self.assign(target, &op["field"], &op["value"])?;
        }
        let Object::Struct { fields, .. } = &self.objects[target] else { return Ok(()) };
        let after = &fields[position];
        if *after == before {
            return Ok(());
        }
        for path in paths {
            let built = self.build_field(after, &kind);
            *struct_at(tree, path)?.field_mut(position) = built;
        }
        Ok(())
    }

    fn change_map(
        &mut self,
        target: Id,
        op: &Json,
        paths: &[Path],
        tree: &mut DynStruct,
    ) -> Result<(), String> {
        let key = op["key"].as_str().ok_or("a map operation has a key")?.to_owned();
        if op["op"] == "mapDelete" {
            if let Object::Map { items, .. } = &mut self.objects[target] {
                items.retain(|(known, _)| *known != key);
            }
            for path in paths {
                if let DynField::Map(Some(map)) = field_at(tree, path)? {
                    map.remove(&key);
                }
            }
            return Ok(());
        }
        let kind = self.item_kind(target);
        let slot = self.value(&op["value"], &kind)?;
        let Object::Map { items, .. } = &mut self.objects[target] else { return Err("not a map".to_owned()) };
        match items.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) if *known == slot => return Ok(()),
            Some((_, known)) => *known = slot.clone(),
            None => items.push((key.clone(), slot.clone())),
        }
        for path in paths {
            let item = self.build_item(&slot);
            if let DynField::Map(Some(map)) = field_at(tree, path)? {
                map.insert(&key, item);
            }
        }
        Ok(())
    }

    fn change_bag(
        &mut self,
        target: Id,
        op: &Json,
        paths: &[Path],
        tree: &mut DynStruct,
    ) -> Result<(), String> {
        if op["op"] == "maxPerTick" {
            for path in paths {
                if let DynField::Stream(Some(stream)) = field_at(tree, path)? {
                    stream.set_max_per_tick(op["value"].as_u64().unwrap_or(32) as u32);
                }
            }
            return Ok(());
        }
        let kind = self.item_kind(target);
        let slot = self.value(&op["value"], &kind)?;
        let Object::Bag { items, kind } = &mut self.objects[target] else {
            return Err("not a set, collection or stream".to_owned());
        };
        let known = items.iter().position(|known| *known == slot);
        if op["op"] == "add" {
            let once = !matches!(kind, Kind::Collection(CollectionKind::Collection, _));
            if known.is_some() && once {
                return Ok(());
            }
            let at = items.len();
            items.push(slot.clone());
            for path in paths {
                let item = self.build_item(&slot);
                add_item(field_at(tree, path)?, &Step::Index(at), item);
            }
            return Ok(());
        }
        let Some(at) = known else { return Ok(()) };
        items.remove(at);
        for path in paths {
            match field_at(tree, path)? {
                DynField::Set(Some(set)) => drop(nth(set.iter(), at).and_then(|id| set.take(id))),
                DynField::Collection(Some(all)) => drop(nth(all.iter(), at).and_then(|id| all.take(id))),
                DynField::Stream(Some(stream)) => drop(nth(stream.iter(), at).and_then(|id| stream.take(id))),
                _ => {}
            }
        }
        Ok(())
    }

    fn clear(&mut self, target: Id, paths: &[Path], tree: &mut DynStruct) -> Result<(), String> {
        match &mut self.objects[target] {
            Object::Array { items, .. } | Object::Bag { items, .. } => items.clear(),
            Object::Map { items, .. } => items.clear(),
            Object::Struct { .. } => return Err("a struct cannot be cleared".to_owned()),
        }
        for path in paths {
            match field_at(tree, path)? {
                DynField::List(Some(list)) => list.clear(),
                DynField::Map(Some(map)) => map.clear(),
                DynField::Set(Some(set)) => set.clear(),
                DynField::Collection(Some(all)) => all.clear(),
                DynField::Stream(Some(stream)) => stream.clear(),
                _ => {}
            }
        }
        Ok(())
    }

    fn change_array(
        &mut self,
        target: Id,
        op: &Json,
        paths: &[Path],
        tree: &mut DynStruct,
    ) -> Result<(), String> {
        let kind = self.item_kind(target);
        let mut new = Vec::new();
        for value in op["values"].as_array().into_iter().flatten() {
            new.push(self.value(value, &kind)?);
        }
        let Object::Array { items, .. } = &self.objects[target] else {
            return Err("not an array".to_owned());
        };
        let old = items.clone();
        let len = old.len();
        let name = op["op"].as_str().unwrap_or_default();
        // (from, how many go, what comes), a permutation by swaps, or a reversal.
        let (mut range, mut swaps, mut reverse) = ((len, 0), Vec::new(), false);
        match name {
            "push" => {}
            "pop" => range = (len.saturating_sub(1), len.min(1)),
            "shift" => range = (0, len.min(1)),
            "unshift" => range = (0, 0),
            "splice" => {
                let start = op["start"].as_i64().unwrap_or(0);
                let start = if start < 0 {
                    len.saturating_sub(start.unsigned_abs() as usize)
                } else {
                    start as usize
                };
                let start = start.min(len);
                let count = op["deleteCount"].as_u64().map_or(len, |count| count as usize);
                range = (start, count.min(len - start));
            }
            "setLength" => {
                let keep = (op["length"].as_u64().unwrap_or(0) as usize).min(len);
                range = (keep, len - keep);
            }
            "setAt" => {
                let index = op["index"].as_u64().unwrap_or(0) as usize;
                let slot = self.value(&op["value"], &kind)?;
                if index < len {
                    return self.set_at(target, index, slot, paths, tree);
                }
                new.push(slot);
            }
            "reverse" => reverse = true,
            "move" => {
                for swap in op["swaps"].as_array().into_iter().flatten() {
                    let at = |index: usize| swap[index].as_u64().unwrap_or(0) as usize;
                    swaps.push((at(0), at(1)));
                }
            }
            "sort" => swaps = self.sort_swaps(&old, op),
            other => return Err(format!("unknown operation {other}")),
        }
        let Object::Array { items, .. } = &mut self.objects[target] else { return Ok(()) };
        if reverse {
            items.reverse();
        } else if swaps.is_empty() {
            items.splice(range.0..range.0 + range.1, new.clone());
        }
        for (a, b) in &swaps {
            items.swap(*a, *b);
        }
        for path in paths {
            let built: Vec<DynItem> = new.iter().map(|slot| self.build_item(slot)).collect();
            let DynField::List(Some(list)) = field_at(tree, path)? else { continue };
            if reverse {
                list.reverse();
            } else if swaps.is_empty() {
                list.splice(range.0..range.0 + range.1, built);
            }
            for (a, b) in &swaps {
                list.swap(*a, *b);
            }
        }
        Ok(())
    }

    fn set_at(
        &mut self,
        target: Id,
        index: usize,
        slot: Slot,
        paths: &[Path],
        tree: &mut DynStruct,
    ) -> Result<(), String> {
        let Object::Array { items, .. } = &mut self.objects[target] else { return Ok(()) };
        if items[index] == slot {
            return Ok(());
        }
        items[index] = slot.clone();
        for path in paths {
            let item = self.build_item(&slot);
            if let DynField::List(Some(list)) = field_at(tree, path)? {
                list.replace(index, item);
            }
        }
        Ok(())
    }

    /// A stable sort as a list of swaps.
    fn sort_swaps(&self, items: &[Slot], op: &Json) -> Vec<(usize, usize)> {
        let key = |slot: &Slot| match (slot, op["by"].as_str()) {
            (Slot::Object(id), Some(by)) => match &self.objects[*id] {
                Object::Struct { ty, fields } => self
                    .position(*ty, &Json::String(by.to_owned()))
                    .map_or(Slot::Unset, |at| fields[at].clone()),
                _ => Slot::Unset,
            },
            (slot, _) => slot.clone(),
        };
        let compare = |a: &Slot, b: &Slot| match (key(a), key(b)) {
            (Slot::Prim(Value::Str(a)), Slot::Prim(Value::Str(b))) => a.encode_utf16().cmp(b.encode_utf16()),
            (Slot::Prim(a), Slot::Prim(b)) => {
                let (a, b) = (a.as_f64().unwrap_or(0.0), b.as_f64().unwrap_or(0.0));
                a.partial_cmp(&b).unwrap_or(std::cmp::Ordering::Equal)
            }
            _ => std::cmp::Ordering::Equal,
        };
        let mut order: Vec<usize> = (0..items.len()).collect();
        if op["dir"] == "desc" {
            order.sort_by(|a, b| compare(&items[*b], &items[*a]));
        } else {
            order.sort_by(|a, b| compare(&items[*a], &items[*b]));
        }
        let mut now: Vec<usize> = (0..items.len()).collect();
        let mut swaps = Vec::new();
        for (at, wanted) in order.iter().enumerate() {
            let from = now.iter().position(|item| item == wanted).unwrap_or(at);
            if from != at {
                now.swap(at, from);
                swaps.push((at, from));
            }
        }
        swaps
    }

    // ---- views

    /// Applies an operation on views; false when it is not one.
    pub(crate) fn apply_view(&mut self, op: &Json, replica: &mut Replica<DynStruct>) -> Result<bool, String> {
        let name = op["op"].as_str().unwrap_or_default();
        if !name.starts_with("view") {
            return Ok(false);
        }
        let label = op["view"].as_str().unwrap_or_default().to_owned();
        if name == "viewCreate" {
            self.views.push((label, replica.add_view()));
            return Ok(true);
        }
        let view = self.views.iter().find(|(known, _)| *known == label);
        let view = view.map(|(_, view)| *view).ok_or_else(|| format!("unknown view {label}"))?;
        if name == "viewDispose" {
            replica.remove_view(view);
            self.views.retain(|(known, _)| *known != label);
            self.seen.remove(&view);
            return Ok(true);
        }
        let target = self.target(&op["target"])?;
        if self.is_stream(target) || self.parent(target).is_some_and(|parent| self.is_stream(parent.id)) {
            return self.apply_stream(name, target, view, replica).map(|()| true);
        }
        let tag = op["tag"].as_i64().unwrap_or(DEFAULT);
        // A detached instance cannot be added.
        if target != ROOT && self.parent(target).is_none() {
            return Ok(true);
        }
        let mut seen = self.seen.remove(&view).unwrap_or_default();
        match name {
            "viewAdd" => seen.add(self, target, tag),
            "viewRemove" => seen.remove(self, target, tag),
            "viewSubscribe" => seen.subscribe(self, target),
            "viewUnsubscribe" => seen.unsubscribe(self, target),
            other => return Err(format!("unknown operation {other}")),
        }
        self.seen.insert(view, seen);
        Ok(true)
    }

    /// Streams send what they were asked for by turns: our own calls do the same.
    fn apply_stream(
        &self,
        name: &str,
        target: Id,
        view: ViewId,
        replica: &mut Replica<DynStruct>,
    ) -> Result<(), String> {
        match name {
            "viewAdd" | "viewRemove" => {
                for path in self.paths(target) {
                    let what = if name == "viewAdd" { Give::Show(None) } else { Give::Hide(None) };
                    give(replica.get_mut(), &path, view, what)?;
                }
                Ok(())
            }
            _ => self.subscribe(target, view, name == "viewSubscribe", replica),
        }
    }

    /// Notes what a mutation means to views.
    pub(crate) fn follow(&mut self) {
        let mut seen = std::mem::take(&mut self.seen);
        seen.values_mut().for_each(|seen| seen.follow(self));
        self.seen = seen;
    }

    /// Gives every view exactly what the official encoder gives it by now.
    pub(crate) fn show_views(&mut self, replica: &mut Replica<DynStruct>) -> Result<(), String> {
        let mut all = std::mem::take(&mut self.seen);
        for (view, seen) in &mut all {
            seen.introduce(&self.known);
            seen.inherit(self, ROOT, &self.known);
            self.show(ROOT, &mut Vec::new(), *view, seen, replica)?;
            seen.settle();
        }
        self.seen = all;
        self.known = (0..self.objects.len()).filter(|id| *id == ROOT || self.parent(*id).is_some()).collect();
        Ok(())
    }

    fn show(
        &self,
        object: Id,
        path: &mut Path,
        view: ViewId,
        seen: &Seen,
        replica: &mut Replica<DynStruct>,
    ) -> Result<(), String> {
        if self.is_stream(object) {
            return Ok(());
        }
        let shown = seen.is_visible(object) && !seen.is_latent(object);
        let (given, other) = (Tag(seen.tags(object)), Tag(!seen.tags(object) & TAGS));
        if shown && seen.is_above(object) {
            if object == ROOT {
                replica.hide_root(view, Some(other));
                replica.show_root_later(view, given);
            } else {
                give(replica.get_mut(), path, view, Give::Hide(Some(other)))?;
                give(replica.get_mut(), path, view, Give::Later(given))?;
            }
        } else if shown {
            if object == ROOT {
                replica.show_root(view, Some(given));
                replica.hide_root(view, Some(other));
            } else {
                give(replica.get_mut(), path, view, Give::Show(Some(given)))?;
                give(replica.get_mut(), path, view, Give::Hide(Some(other)))?;
            }
        } else if object == ROOT {
            replica.hide_root(view, None);
        } else if self.is_struct(object)
            || self.parent(object).is_none_or(|parent| parent.tag != Some(DEFAULT))
        {
            // Items of a default-tagged collection go one by one.
            give(replica.get_mut(), path, view, Give::Hide(None))?;
        }
        for (step, slot) in self.children(object) {
            if let Slot::Object(child) = slot {
                path.push(step);
                self.show(child, path, view, seen, replica)?;
                path.pop();
            }
        }
        Ok(())
    }

    fn subscribe(
        &self,
        target: Id,
        view: ViewId,
        on: bool,
        replica: &mut Replica<DynStruct>,
    ) -> Result<(), String> {
        macro_rules! subscribe {
            ($collection:ident) => {
                if on { $collection.show_all(view) } else { $collection.hide_all(view) }
            };
        }
        for path in self.paths(target) {
            match field_at(replica.get_mut(), &path)? {
                DynField::List(Some(list)) => subscribe!(list),
                DynField::Map(Some(map)) => subscribe!(map),
                DynField::Set(Some(set)) => subscribe!(set),
                DynField::Collection(Some(all)) => subscribe!(all),
                DynField::Stream(Some(stream)) => subscribe!(stream),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Graph for World<'_> {
    fn parent(&self, of: Id) -> Option<Parent> {
        let mut found = None;
        for id in 0..self.objects.len() {
            for (step, slot) in self.children(id) {
                if slot == Slot::Object(of) && (id == ROOT || self.parent(id).is_some()) {
                    let collection = !matches!(step, Step::Field(_));
                    let tag = match step {
                        Step::Field(at) => self.tag(id, at),
                        _ => self.parent(id).and_then(|parent| parent.tag),
                    };
                    found = Some(Parent { id, collection, tag });
                }
            }
        }
        found
    }

    fn held(&self, of: Id) -> Vec<(Option<i64>, Id)> {
        let held = self.children(of).into_iter().filter_map(|(step, slot)| match (step, slot) {
            (Step::Field(at), Slot::Object(id)) => Some((self.tag(of, at), id)),
            (_, Slot::Object(id)) => Some((None, id)),
            _ => None,
        });
        held.collect()
    }

    fn is_struct(&self, of: Id) -> bool {
        matches!(self.objects[of], Object::Struct { .. })
    }

    fn is_primitive(&self, of: Id) -> bool {
        !self.is_struct(of) && matches!(self.item_kind(of), Kind::Prim(_))
    }

    fn is_stream(&self, of: Id) -> bool {
        let Object::Bag { kind, .. } = &self.objects[of] else { return false };
        matches!(kind, Kind::Collection(CollectionKind::Stream, _))
    }
}

impl World<'_> {
    /// The view tag of a struct's field.
    fn tag(&self, of: Id, at: usize) -> Option<i64> {
        let Object::Struct { ty, .. } = &self.objects[of] else { return None };
        self.schema.types.get(*ty).fields[at].modifiers.view.map(|tag| match tag {
            FieldTag::Default => DEFAULT,
            FieldTag::Bits(bits) => i64::from(bits),
        })
    }
}

fn number(v: &serde_json::Number, prim: Option<Prim>) -> Value {
    match prim {
        Some(Prim::Float32 | Prim::Float64 | Prim::Number | Prim::Quantized(_)) | None => {
            Value::Float(v.as_f64().unwrap_or(0.0))
        }
        Some(Prim::BigInt64) => Value::BigInt(v.as_i64().unwrap_or(0)),
        Some(Prim::BigUint64) => Value::BigUint(v.as_u64().unwrap_or(0)),
        _ => match (v.as_u64(), v.as_i64()) {
            (_, Some(v)) if v < 0 => Value::Int(v),
            (Some(v), _) => Value::Uint(v),
            _ => Value::Float(v.as_f64().unwrap_or(0.0)),
        },
    }
}

fn nth<'a>(mut items: impl Iterator<Item = (ItemId, &'a DynItem)>, at: usize) -> Option<ItemId> {
    items.nth(at).map(|(id, _)| id)
}

fn add_item(field: &mut DynField, step: &Step, item: DynItem) {
    match (field, step) {
        (DynField::List(Some(list)), _) => list.push(item),
        (DynField::Map(Some(map)), Step::Key(key)) => drop(map.insert(key, item)),
        (DynField::Set(Some(set)), _) => drop(set.add(item)),
        (DynField::Collection(Some(all)), _) => drop(all.add(item)),
        (DynField::Stream(Some(stream)), _) => drop(stream.add(item)),
        _ => {}
    }
}

const NOT_FOUND: &str = "a path of the graph is not in the tree";

/// The struct at the end of a path.
fn struct_at<'t>(tree: &'t mut DynStruct, path: &[Step]) -> Result<&'t mut DynStruct, String> {
    let Some((last, above)) = path.split_last() else { return Ok(tree) };
    if let Step::Field(position) = last {
        return match struct_at(tree, above)?.field_mut(*position) {
            DynField::Struct(Some(child)) => Ok(child),
            _ => Err(NOT_FOUND.to_owned()),
        };
    }
    let item = match (field_at(tree, above)?, last) {
        (DynField::List(Some(list)), Step::Index(at)) => list.get_mut(*at),
        (DynField::Map(Some(map)), Step::Key(key)) => map.get_mut(key),
        (DynField::Set(Some(set)), Step::Index(at)) => nth(set.iter(), *at).and_then(|id| set.get_mut(id)),
        (DynField::Collection(Some(all)), Step::Index(at)) => {
            nth(all.iter(), *at).and_then(|id| all.get_mut(id))
        }
        (DynField::Stream(Some(stream)), Step::Index(at)) => {
            nth(stream.iter(), *at).and_then(|id| stream.get_mut(id))
        }
        _ => None,
    };
    match item {
        Some(DynItem::Struct(value)) => Ok(value),
        _ => Err(NOT_FOUND.to_owned()),
    }
}

/// The collection at the end of a path.
fn field_at<'t>(tree: &'t mut DynStruct, path: &[Step]) -> Result<&'t mut DynField, String> {
    match path.split_last() {
        Some((Step::Field(position), above)) => Ok(struct_at(tree, above)?.field_mut(*position)),
        _ => Err(NOT_FOUND.to_owned()),
    }
}

/// What a view gets.
#[derive(Clone, Copy)]
enum Give {
    Show(Option<Tag>),
    Later(Tag),
    Hide(Option<Tag>),
}

/// All bits a tag can have in a case.
const TAGS: u32 = u32::MAX >> 1;

/// Shows or hides what is at the end of a path.
fn give(tree: &mut DynStruct, path: &[Step], view: ViewId, what: Give) -> Result<(), String> {
    macro_rules! give {
        ($collection:ident, $key:expr) => {
            match what {
                Give::Show(Some(tag)) => $collection.show_tagged($key, view, tag),
                Give::Show(None) => $collection.show($key, view),
                Give::Later(tag) => $collection.show_later($key, view, tag),
                Give::Hide(Some(tag)) => $collection.hide_tagged($key, view, tag),
                Give::Hide(None) => $collection.hide($key, view),
            }
        };
    }
    macro_rules! collection {
        ($collection:ident) => {
            match what {
                Give::Show(_) | Give::Later(_) => $collection.show_empty(view),
                Give::Hide(None) => $collection.hide_empty(view),
                Give::Hide(Some(_)) => {}
            }
        };
    }
    let Some((last, above)) = path.split_last() else { return Ok(()) };
    if let Step::Field(position) = last {
        match struct_at(tree, above)?.field_mut(*position) {
            DynField::Struct(Some(child)) => match what {
                Give::Show(Some(tag)) => child.show_tagged(view, tag),
                Give::Show(None) => child.show(view),
                Give::Later(tag) => child.show_later(view, tag),
                Give::Hide(Some(tag)) => child.hide_tagged(view, tag),
                Give::Hide(None) => child.hide(view),
            },
            DynField::List(Some(list)) => collection!(list),
            DynField::Map(Some(map)) => collection!(map),
            DynField::Set(Some(set)) => collection!(set),
            DynField::Collection(Some(all)) => collection!(all),
            _ => {}
        }
        return Ok(());
    }
    match (field_at(tree, above)?, last) {
        (DynField::List(Some(list)), Step::Index(at)) => {
            let _ = give!(list, *at);
        }
        (DynField::Map(Some(map)), Step::Key(key)) => {
            let _ = give!(map, key);
        }
        (DynField::Set(Some(set)), Step::Index(at)) => {
            let _ = nth(set.iter(), *at).map(|id| give!(set, id));
        }
        (DynField::Collection(Some(all)), Step::Index(at)) => {
            let _ = nth(all.iter(), *at).map(|id| give!(all, id));
        }
        (DynField::Stream(Some(stream)), Step::Index(at)) => {
            let _ = nth(stream.iter(), *at).map(|id| give!(stream, id));
        }
        _ => {}
    }
    Ok(())
}
