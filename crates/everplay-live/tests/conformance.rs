//! Every adapter runs the suites of its ports.

use everplay_live::suite::{self, block_on};
use everplay_live::{
    Limits, MemoryAllowances, MemoryArbiter, MemoryLiveStore, SqliteLiveStore, SqliteOptions,
};

fn limits() -> Limits {
    Limits { payload: 64 << 10, batch: 512 << 10, records: 256, snapshot: 1 << 20, listing: 4 << 10 }
}

#[test]
fn memory() {
    block_on(suite::live(&MemoryLiveStore::with_limits(limits()), limits()));
    block_on(suite::arbiter(&MemoryArbiter::new(7)));
    block_on(suite::allowances(&MemoryAllowances::new()));
}

#[test]
fn sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions { limits: limits(), ..SqliteOptions::new(dir.path()) };
    let store = SqliteLiveStore::open(options).unwrap();
    block_on(suite::live(&store, limits()));
    block_on(suite::arbiter(&store.arbiter()));
}

/// The same with groups of one command: nothing may rest on being in the same commit.
#[test]
fn sqlite_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions { limits: limits(), group_commands: 1, ..SqliteOptions::new(dir.path()) };
    let store = SqliteLiveStore::open(options).unwrap();
    block_on(suite::live(&store, limits()));
    block_on(suite::arbiter(&store.arbiter()));
}
