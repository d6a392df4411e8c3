//! The suite on servers that speak DynamoDB: `ministack` (PyPI) and, where it can be had, AWS's own DynamoDB Local.
//!
//! `MINISTACK` is the program (`pip install ministack cryptography`), by default the one on the path.
//! `DYNAMODB_LOCAL` is the folder with `DynamoDBLocal.jar` (in the npm package `amplify-dynamodb-simulator`); the test
//! of the second opinion says so and passes without it, because its licence does not let it come with a product.
//! Without a server the first test fails with these words.

#![cfg(feature = "dynamodb")]

#[path = "../../everplay-live/tests/servers/mod.rs"]
mod servers;

use everplay_records::{
    BreakerOptions, Condition, DynamoOptions, DynamoRecordStore, Guarded, Key, RecordStore, RetryOptions,
    StoreError, Table, Write, WriteError, item_of, suite,
};
use serde_json::json;
use servers::dynamodb::DynamoDb;
use servers::{Process, free_port};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

async fn store(endpoint: &str, prefix: &str) -> Arc<DynamoRecordStore> {
    let options = DynamoOptions {
        endpoint: Some(endpoint.to_owned()),
        region: Some("us-east-1".to_owned()),
        prefix: prefix.to_owned(),
        credentials: Some(("test".to_owned(), "test".to_owned())),
    };
    Arc::new(DynamoRecordStore::new(options).await.unwrap())
}

/// Tables are made as soon as the server answers.
async fn ready(store: &DynamoRecordStore) {
    let began = Instant::now();
    while let Err(error) = store.create_tables().await {
        assert!(began.elapsed() < Duration::from_secs(60), "the server does not come up: {error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn the_suite_on_ministack() {
    let server = DynamoDb::start();
    let store = store(&server.url(), "it-").await;
    ready(&store).await;
    suite::all(store).await;
}

#[tokio::test]
async fn the_suite_on_dynamodb_local() {
    let Ok(folder) = std::env::var("DYNAMODB_LOCAL") else {
        println!("DYNAMODB_LOCAL is not set: no second opinion");
        return;
    };
    let port = free_port();
    let mut command = Command::new("java");
    command.current_dir(folder).args([
        "-Xmx512m",
        "-Djava.library.path=DynamoDBLocal_lib",
        "-jar",
        "DynamoDBLocal.jar",
    ]);
    command.args(["-inMemory", "-sharedDb", "-port", &port.to_string()]);
    let logs = tempfile::tempdir().unwrap();
    let _server = Process::start(&mut command, &logs.path().join("log"));
    let store = store(&format!("http://127.0.0.1:{port}"), "").await;
    ready(&store).await;
    suite::all(store).await;
}

/// A server that dies and comes back: calls fail in bounded time, say that nothing is known to be written, and go on.
#[tokio::test]
async fn a_server_that_is_away_is_said_to_be_and_found_again() {
    let server = DynamoDb::start();
    let port = server.port;
    let bare = store(&server.url(), "").await;
    ready(&bare).await;
    let retry = RetryOptions { first: Duration::from_millis(5), ..RetryOptions::default() };
    let rest = Duration::from_millis(300);
    let guarded = Guarded::new(bare.clone(), retry, BreakerOptions { rest, ..BreakerOptions::default() });
    let write = |version: u64| {
        let item = item_of(&json!({ "connectionId": "default/a", "version": version }));
        guarded.write(vec![Write::Put { table: Table::Line, item, condition: Condition::Always }])
    };
    write(1).await.unwrap();
    drop(server);
    let away = write(2).await.unwrap_err();
    assert!(matches!(away, WriteError::Store(StoreError::Unavailable(_) | StoreError::Unknown(_))), "{away}");
    let began = Instant::now();
    while guarded.is_closed() {
        assert!(began.elapsed() < Duration::from_secs(30), "the breaker stays closed");
        write(2).await.unwrap_err();
    }
    assert!(matches!(write(2).await, Err(WriteError::Store(StoreError::Resting(_)))));
    let _server = DynamoDb::on(port);
    ready(&bare).await;
    let began = Instant::now();
    while !guarded.is_closed() {
        assert!(began.elapsed() < Duration::from_secs(30), "the breaker stays open");
        let _ = write(3).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let found = guarded.get(Table::Line, Key::single("default/a")).await.unwrap().expect("it was written");
    assert_eq!(found["version"], 3);
}

/// A table of the same name with another key is not used.
#[tokio::test]
async fn a_table_that_differs_is_told() {
    let server = DynamoDb::start();
    let store = store(&server.url(), "").await;
    ready(&store).await;
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version_latest()
        .region(aws_sdk_dynamodb::config::Region::new("us-east-1"))
        .credentials_provider(aws_sdk_dynamodb::config::Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(server.url())
        .build();
    let client = aws_sdk_dynamodb::Client::from_conf(config);
    let index = client.describe_table().table_name("TicTacToeUsers").send().await.unwrap().table.unwrap();
    assert_eq!(index.global_secondary_indexes()[0].index_name(), Some("statusIndex"));
    client.delete_table().table_name("TicTacToeUsers").send().await.unwrap();
    use aws_sdk_dynamodb::types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    };
    let key = KeySchemaElement::builder().attribute_name("other").key_type(KeyType::Hash).build().unwrap();
    let kind = ScalarAttributeType::S;
    let attribute =
        AttributeDefinition::builder().attribute_name("other").attribute_type(kind).build().unwrap();
    let create =
        client.create_table().table_name("TicTacToeUsers").key_schema(key).attribute_definitions(attribute);
    create.billing_mode(BillingMode::PayPerRequest).send().await.unwrap();
    for told in [store.create_tables().await, store.check_tables().await] {
        assert!(matches!(&told, Err(StoreError::Invalid(why)) if why.contains("TicTacToeUsers")), "{told:?}");
    }
}

/// Whoever develops with such a server sets its address and nothing else.
#[tokio::test]
async fn a_server_for_development_needs_neither_region_nor_credentials() {
    let server = DynamoDb::start();
    let options = DynamoOptions { endpoint: Some(server.url()), ..DynamoOptions::default() };
    let store = DynamoRecordStore::new(options).await.unwrap();
    let missing = store.check_tables().await;
    assert!(
        matches!(&missing, Err(StoreError::Invalid(why)) if why.contains("no table Games")),
        "{missing:?}"
    );
    let made = store.make_tables().await.unwrap();
    assert!(made.iter().all(|(_, made)| *made), "{made:?}");
    let there = store.make_tables().await.unwrap();
    assert!(there.iter().all(|(_, made)| !made) && there.len() == made.len(), "{there:?}");
    store.check_tables().await.unwrap();
}
