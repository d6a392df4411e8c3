//! The schema of a case as run-time types.

use everplay_schema::{
    CollectionKind, FieldDef, FieldTag, ItemKind, Kind, Modifiers, Prim, Quantized, QuantizedMode, TypeDef,
    TypeNo, TypeTable,
};
use serde_json::Value as Json;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Types of a case.
pub(crate) struct Schema {
    pub(crate) types: Arc<TypeTable>,
    numbers: HashMap<String, TypeNo>,
    /// (type, field) of structs that exist from the start.
    auto: HashSet<(TypeNo, String)>,
}

impl Schema {
    pub(crate) fn read(schema: &Json) -> Result<Schema, String> {
        let types = schema["types"].as_array().ok_or("types are no list")?;
        let names: Vec<&str> = types.iter().map(|ty| ty["name"].as_str().unwrap_or_default()).collect();
        let position = |name: &Json| {
            let name = name.as_str().ok_or("a type is named by a text")?;
            let position = names.iter().position(|known| *known == name);
            position.map(|no| no as TypeNo).ok_or_else(|| format!("unknown type {name}"))
        };
        let mut defs = Vec::new();
        for ty in types {
            let mut fields = Vec::new();
            for field in ty["fields"].as_array().ok_or("fields are no list")? {
                fields.push(field_def(field, &position)?);
            }
            let extends = match &ty["extends"] {
                Json::Null => None,
                name => Some(position(name)?),
            };
            defs.push(TypeDef { name: ty["name"].as_str().unwrap_or_default().to_owned(), extends, fields });
        }
        let root = usize::from(position(&schema["root"])?);
        let table = TypeTable::new(&defs, root).map_err(|error| error.to_string())?;
        let numbers: HashMap<String, TypeNo> =
            table.types().iter().enumerate().map(|(no, ty)| (ty.name.clone(), no as TypeNo)).collect();
        let mut auto = HashSet::new();
        for ty in types {
            let Some(no) = ty["name"].as_str().and_then(|name| numbers.get(name)) else { continue };
            for field in ty["fields"].as_array().into_iter().flatten() {
                if field["auto"] == true {
                    auto.insert((*no, field["name"].as_str().unwrap_or_default().to_owned()));
                }
            }
        }
        Ok(Schema { types: Arc::new(table), numbers, auto })
    }

    pub(crate) fn number(&self, name: &str) -> Result<TypeNo, String> {
        self.numbers.get(name).copied().ok_or_else(|| format!("unknown type {name}"))
    }

    /// Whether a struct field is filled from the start, in the type or one it derives from.
    pub(crate) fn is_auto(&self, no: TypeNo, field: &str) -> bool {
        let mut current = Some(no);
        while let Some(no) = current {
            if self.auto.contains(&(no, field.to_owned())) {
                return true;
            }
            current = self.types.get(no).extends;
        }
        false
    }
}

fn field_def(field: &Json, position: &impl Fn(&Json) -> Result<TypeNo, String>) -> Result<FieldDef, String> {
    let name = field["name"].as_str().ok_or("a field has no name")?.to_owned();
    let modifiers = Modifiers {
        view: match &field["view"] {
            Json::Null => None,
            tag => match tag.as_i64() {
                Some(-1) => Some(FieldTag::Default),
                Some(bits) => Some(FieldTag::Bits(bits as u32)),
                None => return Err(format!("{name}: a view tag is a number")),
            },
        },
        private: field["noSync"] == true,
        deprecated: field["deprecated"] == true,
        patch_only: field["patchOnly"] == true,
        full_state_only: field["fullStateOnly"] == true,
    };
    let kind = kind(&field["type"], position).map_err(|error| format!("{name}: {error}"))?;
    Ok(FieldDef { name, kind, modifiers })
}

fn kind(ty: &Json, position: &impl Fn(&Json) -> Result<TypeNo, String>) -> Result<Kind, String> {
    let prim = |name: &str| Prim::named(name).ok_or_else(|| format!("unknown type {name}"));
    let Json::Object(of) = ty else {
        return Ok(Kind::Prim(prim(ty.as_str().ok_or("a type is a text or an object")?)?));
    };
    let (key, inner) = of.iter().next().ok_or("an empty type")?;
    let kinds = [
        ("array", CollectionKind::Array),
        ("map", CollectionKind::Map),
        ("set", CollectionKind::Set),
        ("collection", CollectionKind::Collection),
        ("stream", CollectionKind::Stream),
    ];
    match key.as_str() {
        "ref" => Ok(Kind::Struct(position(inner)?)),
        "quantized" => Ok(Kind::Prim(Prim::Quantized(Quantized {
            min: inner["min"].as_f64().ok_or("quantized without min")?,
            max: inner["max"].as_f64().ok_or("quantized without max")?,
            bits: inner["bits"].as_u64().unwrap_or(16) as u8,
            mode: if inner["mode"] == "wrap" { QuantizedMode::Wrap } else { QuantizedMode::Clamp },
        }))),
        other => {
            let collection = kinds.into_iter().find(|(name, _)| *name == other);
            let (_, collection) = collection.ok_or_else(|| format!("unknown type {other}"))?;
            let item = match inner {
                Json::String(name) => ItemKind::Prim(prim(name)?),
                item => ItemKind::Struct(position(&item["ref"])?),
            };
            Ok(Kind::Collection(collection, item))
        }
    }
}
