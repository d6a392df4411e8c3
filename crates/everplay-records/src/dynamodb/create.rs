//! Makes the tables for development and tests, and compares those that are there with what this release expects.
//! In production they come from the infrastructure's own definitions.

use super::DynamoRecordStore;
use crate::tables::EXPIRY;
use crate::{Attribute, StoreError, TABLES, TableSpec};
use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    PointInTimeRecoverySpecification, Projection, ProjectionType, ScalarAttributeType, StreamSpecification,
    StreamViewType, TableDescription, TableStatus, TimeToLiveSpecification,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Between two looks at a table that is being made.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Looks until it counts as stuck: a minute.
const LOOKS: u32 = 600;

/// Every table's name, and whether it was made now.
pub(super) async fn all(store: &DynamoRecordStore) -> Result<Vec<(String, bool)>, StoreError> {
    let mut tables = Vec::with_capacity(TABLES.len());
    for spec in &TABLES {
        let (description, made) = match describe(store, spec).await? {
            Some(description) => (description, false),
            None => {
                create(store, spec).await?;
                (active(store, spec).await?, true)
            }
        };
        same(store, spec, &description)?;
        tables.push((store.name(spec.table), made));
    }
    Ok(tables)
}

/// That the tables are there and as they must be.
pub(super) async fn check(store: &DynamoRecordStore) -> Result<(), StoreError> {
    for spec in &TABLES {
        let Some(description) = describe(store, spec).await? else {
            return Err(StoreError::Invalid(format!("there is no table {}", store.name(spec.table))));
        };
        same(store, spec, &description)?;
    }
    Ok(())
}

fn same(store: &DynamoRecordStore, spec: &TableSpec, found: &TableDescription) -> Result<(), StoreError> {
    difference(spec, found).map_or(Ok(()), |difference| {
        Err(StoreError::Invalid(format!("the table {} differs: {difference}", store.name(spec.table))))
    })
}

fn failed<E: ProvideErrorMetadata>(what: &str, error: &SdkError<E>) -> StoreError {
    let why = error.as_service_error().and_then(ProvideErrorMetadata::message).unwrap_or("no answer");
    StoreError::Unavailable(format!("{what}: {why}"))
}

fn built(error: BuildError) -> StoreError {
    StoreError::Invalid(error.to_string())
}

async fn describe(
    store: &DynamoRecordStore,
    spec: &TableSpec,
) -> Result<Option<TableDescription>, StoreError> {
    match store.client.describe_table().table_name(store.name(spec.table)).send().await {
        Ok(answer) => Ok(answer.table),
        Err(error)
            if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) =>
        {
            Ok(None)
        }
        Err(error) => Err(failed("the table cannot be looked at", &error)),
    }
}

async fn create(store: &DynamoRecordStore, spec: &TableSpec) -> Result<(), StoreError> {
    let name = store.name(spec.table);
    let mut attributes = BTreeMap::new();
    attributes.extend(std::iter::once(spec.partition).chain(spec.sort).map(|at| (at.name(), at)));
    let mut call = store
        .client
        .create_table()
        .table_name(&name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_key_schema(Some(keys(spec.partition, spec.sort)?));
    for index in spec.indexes {
        attributes.extend([index.partition, index.sort].map(|at| (at.name(), at)));
        let index = GlobalSecondaryIndex::builder()
            .index_name(index.name)
            .set_key_schema(Some(keys(index.partition, Some(index.sort))?))
            .projection(Projection::builder().projection_type(ProjectionType::All).build());
        call = call.global_secondary_indexes(index.build().map_err(built)?);
    }
    for attribute in attributes.into_values() {
        let kind = match attribute {
            Attribute::Text(_) => ScalarAttributeType::S,
            Attribute::Number(_) => ScalarAttributeType::N,
        };
        let definition =
            AttributeDefinition::builder().attribute_name(attribute.name()).attribute_type(kind).build();
        call = call.attribute_definitions(definition.map_err(built)?);
    }
    if spec.stream {
        let both = StreamViewType::NewAndOldImages;
        let stream = StreamSpecification::builder().stream_enabled(true).stream_view_type(both).build();
        call = call.stream_specification(stream.map_err(built)?);
    }
    match call.send().await {
        Ok(_) => {}
        // Somebody else was faster.
        Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception()) => {
            return Ok(());
        }
        Err(error) => return Err(failed("the table cannot be made", &error)),
    }
    active(store, spec).await?;
    let expiry =
        TimeToLiveSpecification::builder().enabled(true).attribute_name(EXPIRY).build().map_err(built)?;
    let expiring =
        store.client.update_time_to_live().table_name(&name).time_to_live_specification(expiry).send().await;
    expiring.map_err(|error| failed("expiry cannot be set", &error))?;
    let recovery = PointInTimeRecoverySpecification::builder()
        .point_in_time_recovery_enabled(true)
        .build()
        .map_err(built)?;
    let recovering = store
        .client
        .update_continuous_backups()
        .table_name(&name)
        .point_in_time_recovery_specification(recovery)
        .send();
    if let Err(error) = recovering.await {
        // Local servers do not all know it; the real one does, and there the definitions of production apply.
        tracing::warn!(table = name, error = %failed("point-in-time recovery", &error), "the table is not backed up");
    }
    Ok(())
}

fn keys(partition: Attribute, sort: Option<Attribute>) -> Result<Vec<KeySchemaElement>, StoreError> {
    let element = |attribute: Attribute, kind: KeyType| {
        KeySchemaElement::builder().attribute_name(attribute.name()).key_type(kind).build().map_err(built)
    };
    let mut keys = vec![element(partition, KeyType::Hash)?];
    if let Some(sort) = sort {
        keys.push(element(sort, KeyType::Range)?);
    }
    Ok(keys)
}

/// Waits until the table can be used.
async fn active(store: &DynamoRecordStore, spec: &TableSpec) -> Result<TableDescription, StoreError> {
    for _ in 0..LOOKS {
        if let Some(description) = describe(store, spec).await?
            && description.table_status == Some(TableStatus::Active)
        {
            return Ok(description);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Err(StoreError::Unavailable(format!("the table {} does not become active", store.name(spec.table))))
}

/// What is not as it must be. More than we ask for is no difference.
fn difference(spec: &TableSpec, found: &TableDescription) -> Option<String> {
    let schema = keys(spec.partition, spec.sort).ok()?;
    if found.key_schema() != schema {
        return Some(format!("its key is {:?}", found.key_schema()));
    }
    for attribute in std::iter::once(spec.partition)
        .chain(spec.sort)
        .chain(spec.indexes.iter().flat_map(|index| [index.partition, index.sort]))
    {
        let kind = match attribute {
            Attribute::Text(_) => ScalarAttributeType::S,
            Attribute::Number(_) => ScalarAttributeType::N,
        };
        let fits =
            |at: &AttributeDefinition| at.attribute_name == attribute.name() && at.attribute_type == kind;
        if !found.attribute_definitions().iter().any(fits) {
            return Some(format!("{} is no {kind}", attribute.name()));
        }
    }
    for index in spec.indexes {
        let schema = keys(index.partition, Some(index.sort)).ok()?;
        let there = found.global_secondary_indexes().iter().any(|there| {
            there.index_name() == Some(index.name)
                && there.key_schema() == schema
                && there.projection().and_then(|projection| projection.projection_type())
                    == Some(&ProjectionType::All)
        });
        if !there {
            return Some(format!("the index {} is missing or another", index.name));
        }
    }
    None
}
