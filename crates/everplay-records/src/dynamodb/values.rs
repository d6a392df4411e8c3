//! Records as DynamoDB's typed values, and back.

use crate::{Item, Key, Sort, StoreError, Table};
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value;
use std::collections::HashMap;

pub(super) fn to_values(item: Item) -> HashMap<String, AttributeValue> {
    item.into_iter().map(|(name, value)| (name, to_value(value))).collect()
}

fn to_value(value: Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(value) => AttributeValue::Bool(value),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(text) => AttributeValue::S(text),
        Value::Array(list) => AttributeValue::L(list.into_iter().map(to_value).collect()),
        Value::Object(map) => AttributeValue::M(to_values(map)),
    }
}

pub(super) fn from_values(values: HashMap<String, AttributeValue>) -> Result<Item, StoreError> {
    values.into_iter().map(|(name, value)| Ok((name, from_value(value)?))).collect()
}

fn from_value(value: AttributeValue) -> Result<Value, StoreError> {
    let unreadable = |what: &str| StoreError::Unreadable(what.to_owned());
    Ok(match value {
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::Bool(value) => value.into(),
        AttributeValue::S(text) => text.into(),
        AttributeValue::N(number) => {
            let whole = number.parse::<i64>().map(Value::from);
            whole
                .or_else(|_| number.parse::<u64>().map(Value::from))
                .or_else(|_| number.parse::<f64>().map(Value::from))
                .map_err(|_| unreadable("a number is none"))?
        }
        AttributeValue::L(list) => list.into_iter().map(from_value).collect::<Result<Vec<_>, _>>()?.into(),
        AttributeValue::M(map) => Value::Object(from_values(map)?),
        // Sets and bytes: never written by us.
        _ => return Err(unreadable("an attribute has a type that we do not write")),
    })
}

pub(super) fn key_values(table: Table, key: &Key) -> HashMap<String, AttributeValue> {
    let spec = table.spec();
    let mut values =
        HashMap::from([(spec.partition.name().to_owned(), AttributeValue::S(key.partition.clone()))]);
    if let (Some(attribute), Sort::Number(number)) = (spec.sort, &key.sort) {
        values.insert(attribute.name().to_owned(), AttributeValue::N(number.to_string()));
    }
    values
}
