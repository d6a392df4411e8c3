//! The record store on DynamoDB, when the settings name one, and the command that makes its tables.
//!
//! ```text
//! aws, https://...   production: the tables are looked at when the server starts; it never makes them
//! http://...         a server for development: they are made
//! ```

use crate::config::Config;
use crate::{Error, Result};
use everplay_records::{DynamoOptions, DynamoRecordStore, RecordStore, StoreError};
use std::sync::Arc;

/// The region's own service, rather than an address.
const REGION: &str = "aws";

/// The store, where the settings name one.
pub(crate) async fn open(config: &Config) -> Result<Option<Arc<dyn RecordStore>>> {
    if config.dynamodb.is_empty() {
        return Ok(None);
    }
    let store = prepare(config).await?;
    if config.dynamodb.starts_with("http://") {
        store.make_tables().await.map_err(failed)?;
    } else {
        match store.check_tables().await {
            // Rooms come back without it; games that end wait in them.
            Err(error) if error.is_passing() => {
                tracing::warn!(%error, "DynamoDB was not looked at: games that end wait until it answers");
            }
            looked => looked.map_err(|error| {
                Error::Store(format!("DynamoDB: {error}; `everplay tables` makes what is missing"))
            })?,
        }
    }
    Ok(Some(Arc::new(store)))
}

/// Makes the tables, or only looks whether they are there; what is to be printed.
pub(crate) async fn tables(config: &Config, check: bool) -> Result<String> {
    if config.dynamodb.is_empty() {
        let problem = "setting `dynamodb` is empty, so that there are no tables to make: the other stores make their own";
        return Err(Error::Command(problem.to_owned()));
    }
    let store = prepare(config).await?;
    if check {
        store.check_tables().await.map_err(failed)?;
        return Ok("All tables are there, as this release needs them.\n".to_owned());
    }
    let tables = store.make_tables().await.map_err(failed)?;
    Ok(tables
        .iter()
        .map(|(name, made)| format!("{name}: {}\n", if *made { "made" } else { "is there" }))
        .collect())
}

async fn prepare(config: &Config) -> Result<DynamoRecordStore> {
    let address = config.dynamodb.as_str();
    if address != REGION && !address.starts_with("http://") && !address.starts_with("https://") {
        return Err(Error::Store(format!(
            "setting `dynamodb` is {address:?}: it takes `{REGION}` or an address such as http://127.0.0.1:8000"
        )));
    }
    let options = DynamoOptions {
        endpoint: Some(address.to_owned()).filter(|address| address != REGION),
        prefix: config.dynamodb_prefix.clone(),
        ..DynamoOptions::default()
    };
    DynamoRecordStore::new(options).await.map_err(|error| Error::Store(format!("DynamoDB: {error}")))
}

fn failed(error: StoreError) -> Error {
    Error::Store(format!("DynamoDB: {error}"))
}
