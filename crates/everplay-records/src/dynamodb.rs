//! The adapter for DynamoDB, and for whatever speaks like it.
//!
//! A server at an `http://` address is one for development: where the environment names neither a region nor
//! credentials, made-up ones will do for it. AWS itself is asked over `https://` only, with what is really there.
//!
//! One write is one conditional `PutItem` or `DeleteItem`; several are one `TransactWriteItems`. Reads of a table are
//! strongly consistent; queries of an index are not, because DynamoDB's indexes are not. The SDK repeats nothing by
//! itself: [`Guarded`](crate::Guarded) does, and knows which outcome was unknown.
//!
//! **Durable** is what DynamoDB says: written to several zones before it answers.

mod create;
mod values;

use crate::rules::{self, Plan, check_writes, is_alive, now_s};
use crate::tables::EXPIRY;
use crate::{
    Attribute, Condition, Cursor, Item, Key, Page, Pending, Query, RecordStore, Sort, StoreError, Table,
    Write, WriteError,
};
use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::meta::region::RegionProviderChain;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use std::collections::HashMap;
use std::time::Duration;
use values::{from_values, key_values, to_values};

/// Where the tables are.
#[derive(Debug, Clone, Default)]
pub struct DynamoOptions {
    /// Another address than the region's, such as `http://127.0.0.1:8000` of a local server.
    pub endpoint: Option<String>,
    /// None: what the environment says.
    pub region: Option<String>,
    /// In front of each table's name: several deployments in one account. Default: nothing.
    pub prefix: String,
    /// Access key and secret; None: what the environment, the container or the instance gives.
    pub credentials: Option<(String, String)>,
}

/// Why the adapter could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DynamoError {
    /// Neither the options nor the environment name a region.
    #[error("no AWS region is set")]
    NoRegion,
}

/// Tables in DynamoDB. Clones share the connections.
#[derive(Debug, Clone)]
pub struct DynamoRecordStore {
    client: Client,
    prefix: String,
}

/// Longest time for one try; a healthy answer takes about 10 ms.
const TRY: Duration = Duration::from_secs(5);
/// Longest time to connect.
const CONNECT: Duration = Duration::from_secs(2);
/// The region of a server for development, whose environment names none.
const LOCAL_REGION: &str = "us-east-1";

/// Whether this is the address of a server for development.
fn is_local(endpoint: &str) -> bool {
    endpoint.starts_with("http://")
}

impl DynamoRecordStore {
    /// Prepares the connection; nothing is sent yet.
    pub async fn new(options: DynamoOptions) -> Result<Self, DynamoError> {
        let mut loader = aws_config::from_env()
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_timeout(TRY).connect_timeout(CONNECT).build());
        let local = options.endpoint.as_deref().is_some_and(is_local);
        if let Some(region) = options.region {
            loader = loader.region(Region::new(region));
        } else if local {
            // Not the machine's own service: it is asked over the network, and need not be there.
            let named = EnvironmentVariableRegionProvider::new();
            loader = loader.region(RegionProviderChain::first_try(named).or_else(LOCAL_REGION));
        }
        if let Some((key, secret)) = options.credentials {
            loader = loader.credentials_provider(Credentials::new(key, secret, None, None, "options"));
        } else if local {
            let made_up = Credentials::new("local", "local", None, None, "made up");
            let found = EnvironmentVariableCredentialsProvider::new();
            let chain = CredentialsProviderChain::first_try("Environment", found).or_else("Local", made_up);
            loader = loader.credentials_provider(chain);
        }
        if let Some(endpoint) = options.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let config = loader.load().await;
        if config.region().is_none() {
            return Err(DynamoError::NoRegion);
        }
        Ok(Self { client: Client::new(&config), prefix: options.prefix })
    }

    /// Makes the tables that are not there: all their names, and whether this call made them. One that is there and
    /// differs is `Invalid`.
    pub async fn make_tables(&self) -> Result<Vec<(String, bool)>, StoreError> {
        create::all(self).await
    }

    /// Looks whether the tables are there as this release needs them; a missing or different one is `Invalid`.
    pub async fn check_tables(&self) -> Result<(), StoreError> {
        create::check(self).await
    }

    fn name(&self, table: Table) -> String {
        format!("{}{}", self.prefix, table.spec().name)
    }

    async fn read(self, table: Table, key: Key) -> Result<Option<Item>, StoreError> {
        rules::check_key(table, &key)?;
        let answer = self
            .client
            .get_item()
            .table_name(self.name(table))
            .set_key(Some(key_values(table, &key)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| reading(&error))?;
        let item = answer.item.map(from_values).transpose()?;
        Ok(item.filter(|item| is_alive(item, now_s())))
    }

    async fn list(self, query: Query) -> Result<Page<Item>, StoreError> {
        let plan = rules::plan(&query)?;
        let mut condition = "#p = :p".to_owned();
        let mut call = self
            .client
            .query()
            .table_name(self.name(query.table))
            .set_index_name(query.index.map(str::to_owned))
            .consistent_read(query.index.is_none())
            .scan_index_forward(!query.descending)
            .expression_attribute_names("#p", plan.partition.name())
            .expression_attribute_values(":p", AttributeValue::S(query.partition.clone()))
            .limit(i32::try_from(query.paging.limit).unwrap_or(i32::MAX));
        if let (Some(from), Some(sort)) = (query.from, plan.sort) {
            condition.push_str(" AND #s >= :s");
            call = call
                .expression_attribute_names("#s", sort.name())
                .expression_attribute_values(":s", AttributeValue::N(from.to_string()));
        }
        let answer = call
            .key_condition_expression(condition)
            .set_exclusive_start_key(start_key(&query, &plan))
            .send()
            .await
            .map_err(|error| reading(&error))?;
        let next = answer.last_evaluated_key.map(from_values).transpose()?;
        let next = next.map(|key| plan.position_of(query.table, &key)).transpose()?;
        let now = now_s();
        let mut items = Vec::new();
        for values in answer.items.unwrap_or_default() {
            let item = from_values(values)?;
            if is_alive(&item, now) {
                items.push(item);
            }
        }
        Ok(Page { items, next: next.as_ref().map(Cursor::new) })
    }

    async fn change(self, mut writes: Vec<Write>) -> Result<(), WriteError> {
        check_writes(&writes)?;
        if writes.len() > 1 {
            return self.transact(writes).await;
        }
        match writes.pop() {
            Some(Write::Put { table, item, condition }) => self.put(table, item, condition).await,
            Some(Write::Delete { table, key, condition }) => self.delete(table, &key, condition).await,
            Some(check) => self.transact(vec![check]).await,
            None => Ok(()),
        }
    }

    async fn put(self, table: Table, item: Item, condition: Condition) -> Result<(), WriteError> {
        let guard = Expression::of(table, condition);
        let sent = self
            .client
            .put_item()
            .table_name(self.name(table))
            .set_item(Some(to_values(item)))
            .set_condition_expression(guard.text)
            .set_expression_attribute_names(guard.names)
            .set_expression_attribute_values(guard.values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(refused)) => {
                    refusal(0, refused.item.clone())
                }
                _ => Err(writing(&error).into()),
            },
        }
    }

    async fn delete(self, table: Table, key: &Key, condition: Condition) -> Result<(), WriteError> {
        let guard = Expression::of(table, condition);
        let sent = self
            .client
            .delete_item()
            .table_name(self.name(table))
            .set_key(Some(key_values(table, key)))
            .set_condition_expression(guard.text)
            .set_expression_attribute_names(guard.names)
            .set_expression_attribute_values(guard.values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(refused)) => {
                    refusal(0, refused.item.clone())
                }
                _ => Err(writing(&error).into()),
            },
        }
    }

    async fn transact(self, writes: Vec<Write>) -> Result<(), WriteError> {
        let mut items = Vec::with_capacity(writes.len());
        for write in writes {
            items.push(self.part(write)?);
        }
        let sent = self.client.transact_write_items().set_transact_items(Some(items)).send().await;
        let Err(error) = sent else { return Ok(()) };
        let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error()
        else {
            return Err(writing(&error).into());
        };
        for (at, reason) in cancelled.cancellation_reasons().iter().enumerate() {
            match reason.code() {
                Some("ConditionalCheckFailed") => return refusal(at, reason.item.clone()),
                Some("None") | None => {}
                Some("ValidationError") => {
                    let why = reason.message().unwrap_or("not valid").to_owned();
                    return Err(StoreError::Invalid(why).into());
                }
                // Another transaction on the same item, or no capacity: the next try finds the item at rest.
                Some(_) => return Err(StoreError::Throttled.into()),
            }
        }
        Err(StoreError::Throttled.into())
    }

    fn part(&self, write: Write) -> Result<TransactWriteItem, WriteError> {
        let built = |error: aws_sdk_dynamodb::error::BuildError| StoreError::Invalid(error.to_string());
        let part = TransactWriteItem::builder();
        let old = ReturnValuesOnConditionCheckFailure::AllOld;
        Ok(match write {
            Write::Put { table, item, condition } => {
                let guard = Expression::of(table, condition);
                let put = Put::builder()
                    .table_name(self.name(table))
                    .set_item(Some(to_values(item)))
                    .set_condition_expression(guard.text)
                    .set_expression_attribute_names(guard.names)
                    .set_expression_attribute_values(guard.values)
                    .return_values_on_condition_check_failure(old);
                part.put(put.build().map_err(built)?)
            }
            Write::Delete { table, key, condition } => {
                let guard = Expression::of(table, condition);
                let delete = Delete::builder()
                    .table_name(self.name(table))
                    .set_key(Some(key_values(table, &key)))
                    .set_condition_expression(guard.text)
                    .set_expression_attribute_names(guard.names)
                    .set_expression_attribute_values(guard.values)
                    .return_values_on_condition_check_failure(old);
                part.delete(delete.build().map_err(built)?)
            }
            Write::Check { table, key, condition } => {
                let guard = Expression::of(table, condition);
                let check = ConditionCheck::builder()
                    .table_name(self.name(table))
                    .set_key(Some(key_values(table, &key)))
                    // A check of nothing is a check that is always true.
                    .condition_expression(guard.text.unwrap_or_else(|| {
                        format!(
                            "attribute_exists({0}) OR attribute_not_exists({0})",
                            table.spec().partition.name()
                        )
                    }))
                    .set_expression_attribute_names(guard.names)
                    .set_expression_attribute_values(guard.values)
                    .return_values_on_condition_check_failure(old);
                part.condition_check(check.build().map_err(built)?)
            }
        }
        .build())
    }
}

impl RecordStore for DynamoRecordStore {
    fn get(&self, table: Table, key: Key) -> Pending<Result<Option<Item>, StoreError>> {
        Box::pin(self.clone().read(table, key))
    }

    fn query(&self, query: Query) -> Pending<Result<Page<Item>, StoreError>> {
        Box::pin(self.clone().list(query))
    }

    fn write(&self, writes: Vec<Write>) -> Pending<Result<(), WriteError>> {
        Box::pin(self.clone().change(writes))
    }

    fn create_tables(&self) -> Pending<Result<(), StoreError>> {
        let store = self.clone();
        Box::pin(async move { store.make_tables().await.map(drop) })
    }
}

/// A condition in DynamoDB's words. Expired items that were not deleted yet count as not there.
struct Expression {
    text: Option<String>,
    names: Option<HashMap<String, String>>,
    values: Option<HashMap<String, AttributeValue>>,
}

impl Expression {
    fn of(table: Table, condition: Condition) -> Self {
        let number = |number: u64| AttributeValue::N(number.to_string());
        let gone = "(attribute_not_exists(#k) OR #e <= :now)";
        let alive = "(attribute_not_exists(#e) OR #e > :now)";
        let (text, version) = match condition {
            Condition::Always => return Self { text: None, names: None, values: None },
            Condition::Absent => (gone.to_owned(), None),
            Condition::Version(version) => (format!("#v = :v AND {alive}"), Some(version)),
            Condition::OlderThan(version) => (format!("{gone} OR #v < :v"), Some(version)),
        };
        let mut names = HashMap::from([("#e".to_owned(), EXPIRY.to_owned())]);
        let now = u64::try_from(now_s()).unwrap_or_default();
        let mut values = HashMap::from([(":now".to_owned(), number(now))]);
        if text.contains("#k") {
            names.insert("#k".to_owned(), table.spec().partition.name().to_owned());
        }
        if let Some(version) = version {
            names.insert("#v".to_owned(), "version".to_owned());
            values.insert(":v".to_owned(), number(version));
        }
        Self { text: Some(text), names: Some(names), values: Some(values) }
    }
}

/// The key that DynamoDB would have answered with: the index's attributes and the table's.
fn start_key(query: &Query, plan: &Plan) -> Option<HashMap<String, AttributeValue>> {
    let after = plan.after.as_ref()?;
    let key = Key { partition: after.partition.clone(), sort: after.sort.map_or(Sort::None, Sort::Number) };
    let mut values = key_values(query.table, &key);
    if query.index.is_some() {
        values.insert(plan.partition.name().to_owned(), AttributeValue::S(query.partition.clone()));
        match plan.sort {
            Some(Attribute::Number(name)) => {
                values.insert(name.to_owned(), AttributeValue::N(after.order.to_string()));
            }
            Some(Attribute::Text(name)) => {
                let text = after.order.as_str().unwrap_or_default().to_owned();
                values.insert(name.to_owned(), AttributeValue::S(text));
            }
            None => {}
        }
    }
    Some(values)
}

fn refusal(at: usize, found: Option<HashMap<String, AttributeValue>>) -> Result<(), WriteError> {
    let found = found.filter(|found| !found.is_empty()).map(from_values).transpose()?;
    let found = found.filter(|item| is_alive(item, now_s())).map(Box::new);
    Err(WriteError::Refused { at, found })
}

/// A failed call that changes nothing: never unknown.
fn reading<E: ProvideErrorMetadata>(error: &SdkError<E>) -> StoreError {
    match writing(error) {
        StoreError::Unknown(why) => StoreError::Unavailable(why),
        other => other,
    }
}

/// What a failed call means. Whatever is not known to have changed nothing is unknown.
fn writing<E: ProvideErrorMetadata>(error: &SdkError<E>) -> StoreError {
    match error {
        SdkError::ConstructionFailure(_) => StoreError::Unavailable("the call could not be made".to_owned()),
        SdkError::DispatchFailure(failure) if failure.as_connector_error().is_some_and(refused) => {
            StoreError::Unavailable("no connection".to_owned())
        }
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) | SdkError::ResponseError(_) => {
            StoreError::Unknown("no answer".to_owned())
        }
        SdkError::ServiceError(service) => by_code(service.err().code(), service.err().message()),
        _ => StoreError::Unknown("an error this release does not know".to_owned()),
    }
}

/// Whether the connection was never there, so that nothing can have been written.
fn refused(failure: &aws_sdk_dynamodb::error::ConnectorError) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(failure);
    while let Some(error) = source {
        if error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused)
        {
            return true;
        }
        source = error.source();
    }
    false
}

fn by_code(code: Option<&str>, message: Option<&str>) -> StoreError {
    let why = || format!("{}: {}", code.unwrap_or("no code"), message.unwrap_or("no message"));
    match code {
        Some(
            "ProvisionedThroughputExceededException"
            | "ThrottlingException"
            | "RequestLimitExceeded"
            | "LimitExceededException"
            | "TransactionConflictException"
            | "TransactionInProgressException",
        ) => StoreError::Throttled,
        Some("ValidationException" | "ItemCollectionSizeLimitExceededException") => {
            StoreError::Invalid(why())
        }
        Some("InternalServerError" | "InternalFailure") | None => StoreError::Unknown(why()),
        // Among them: the table is missing, the key is wrong. Nothing was written, and an operator can mend it.
        Some(_) => StoreError::Unavailable(why()),
    }
}
