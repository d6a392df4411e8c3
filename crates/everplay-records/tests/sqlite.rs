//! The suite on SQLite, and what only a file can do: survive, be foreign, be shared.

use everplay_records::{
    Condition, Key, OpenError, RecordStore, SqliteRecordStore, Table, Write, item_of, suite,
};
use serde_json::json;
use std::sync::Arc;

#[tokio::test]
async fn the_suite() {
    let folder = tempfile::tempdir().unwrap();
    suite::all(Arc::new(SqliteRecordStore::open(folder.path().join("records.sqlite")).unwrap())).await;
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.sqlite");
    let item = item_of(&json!({ "connectionId": "default/a", "version": 1 }));
    let store = SqliteRecordStore::open(&path).unwrap();
    let put = Write::Put { table: Table::Line, item: item.clone(), condition: Condition::Absent };
    store.write(vec![put]).await.unwrap();
    drop(store);
    let store = SqliteRecordStore::open(&path).unwrap();
    assert_eq!(store.get(Table::Line, Key::single("default/a")).await.unwrap(), Some(item));
}

#[test]
fn a_foreign_file_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.sqlite");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs(x)").unwrap();
    let error = SqliteRecordStore::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { application: 0, .. }), "{error}");
}

/// Every query of the suite's kind is answered from an index: no list grows with the table.
#[tokio::test]
async fn queries_of_an_index_use_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.sqlite");
    drop(SqliteRecordStore::open(&path).unwrap());
    let connection = rusqlite::Connection::open(&path).unwrap();
    let plan: String = connection
        .query_row(
            "EXPLAIN QUERY PLAN SELECT body FROM Games WHERE json_extract(body,'$.playerId')='a'
             AND json_extract(body,'$.createdAt') IS NOT NULL AND (expires IS NULL OR expires>1)
             ORDER BY json_extract(body,'$.createdAt') DESC, partition DESC, sort DESC LIMIT 3",
            [],
            |row| row.get(3),
        )
        .unwrap();
    assert!(plan.contains("USING INDEX GamesPlayerGames"), "{plan}");
}

/// A file of an earlier release is brought to this one, with what is in it.
#[tokio::test]
async fn an_earlier_file_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.sqlite");
    let store = SqliteRecordStore::open(&path).unwrap();
    let item = item_of(&json!({ "connectionId": "default/a", "version": 1 }));
    let put = Write::Put { table: Table::Line, item: item.clone(), condition: Condition::Absent };
    store.write(vec![put]).await.unwrap();
    drop(store);
    let earlier = "DROP TABLE Notices; DROP TABLE Articles; DROP INDEX TicketsRunningClocks;
                   DROP INDEX TicketsCustomerTickets; PRAGMA user_version=1;";
    rusqlite::Connection::open(&path).unwrap().execute_batch(earlier).unwrap();
    let store = SqliteRecordStore::open(&path).unwrap();
    assert_eq!(store.get(Table::Line, Key::single("default/a")).await.unwrap(), Some(item));
    suite::all(Arc::new(store)).await;
}

#[test]
fn a_later_file_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.sqlite");
    drop(SqliteRecordStore::open(&path).unwrap());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 3).unwrap();
    assert!(matches!(SqliteRecordStore::open(&path), Err(OpenError::Foreign { format: 3, .. })));
}
