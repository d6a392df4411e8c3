//! The suite on the store in memory.

use everplay_records::{MemoryRecordStore, suite};
use std::sync::Arc;

#[tokio::test]
async fn the_suite() {
    suite::all(Arc::new(MemoryRecordStore::new())).await;
}
