//! The production definitions of the tables are the ones the server uses.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test -p everplay-records --test terraform` writes them anew.

use everplay_records::{Attribute, EXPIRY, TABLES};
use serde_json::{Value, json};

fn attribute(attribute: Attribute) -> Value {
    match attribute {
        Attribute::Text(name) => json!({ "name": name, "type": "S" }),
        Attribute::Number(name) => json!({ "name": name, "type": "N" }),
    }
}

#[test]
fn they_are_the_servers_own() {
    let tables: Vec<Value> = TABLES
        .iter()
        .map(|spec| {
            let indexes: Vec<Value> = spec
                .indexes
                .iter()
                .map(|index| {
                    json!({
                        "name": index.name,
                        "partition": attribute(index.partition),
                        "sort": attribute(index.sort),
                    })
                })
                .collect();
            json!({
                "name": spec.name,
                "partition": attribute(spec.partition),
                "sort": spec.sort.map(attribute),
                "indexes": indexes,
                "stream": spec.stream,
                "expiry": EXPIRY,
            })
        })
        .collect();
    let wanted = Value::from(tables);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/terraform/modules/records/tables.json");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(&wanted).unwrap() + "\n").unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        serde_json::from_str(&kept).ok() == Some(wanted),
        "the tables changed: write {path} with UPDATE_SNAPSHOTS=1, and plan the change"
    );
}

/// The definitions read that file and nothing else names a table, a key or an index.
#[test]
fn nothing_else_says_what_the_tables_are() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/terraform/modules/records/main.tf");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains("tables.json"));
    for spec in &TABLES {
        for name in [spec.name, spec.partition.name()] {
            assert!(!text.contains(&format!("\"{name}\"")), "{name} is written twice");
        }
    }
}
