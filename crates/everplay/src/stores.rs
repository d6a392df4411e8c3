//! Which stores the settings ask for, and opening them.
//!
//! ```text
//! REDIS_URL and DATABASE_URL -> Redis and PostgreSQL, shared by the nodes of a cluster
//! storage = sqlite           -> one file of the data directory
//! storage = memory           -> nothing survives
//! ```

use crate::config::{Config, Stores as Choice};
use crate::data_dir::{self, draw_process_id};
use crate::{Error, Result};
use everplay_live::{Allowances, Arbiter, LiveStore, MemoryArbiter, MemoryLiveStore};
use everplay_types::ProcessId;
use std::sync::Arc;

/// Where rooms and the right to own them are kept.
pub(crate) struct Stores {
    pub(crate) live: Arc<dyn LiveStore>,
    pub(crate) arbiter: Arc<dyn Arbiter>,
    /// Limits of requests that all nodes count together; `None` where there is one node.
    pub(crate) allowances: Option<Arc<dyn Allowances>>,
    /// First segment of the URLs of rooms. Of a data directory; drawn at each start otherwise.
    pub(crate) process_id: ProcessId,
}

/// Opens what the settings ask for. What a set-up does not promise is logged by its adapter.
pub(crate) async fn open(config: &Config) -> Result<Stores> {
    match config.stores()? {
        Choice::Memory => {
            let live = Arc::new(MemoryLiveStore::new());
            let arbiter = Arc::new(MemoryArbiter::new(rand::random()));
            Ok(Stores { live, arbiter, allowances: None, process_id: draw_process_id() })
        }
        Choice::Sqlite => {
            let (store, process_id) = data_dir::open(&config.data_dir)?;
            let arbiter = Arc::new(store.arbiter());
            Ok(Stores { live: Arc::new(store), arbiter, allowances: None, process_id })
        }
        Choice::Cluster { redis_url, database_url } => cluster::open(redis_url, database_url).await,
    }
}

#[cfg(not(feature = "cluster"))]
mod cluster {
    use super::{Error, Result, Stores};

    pub(super) async fn open(_redis_url: &str, _database_url: &str) -> Result<Stores> {
        let problem = "REDIS_URL and DATABASE_URL are set, but this program was built without the stores of a \
            cluster; build it with the feature `cluster` of the crate `everplay`, or unset both to keep rooms in the \
            data directory";
        Err(Error::Store(problem.to_owned()))
    }
}

#[cfg(feature = "cluster")]
mod cluster {
    use super::{Error, Result, Stores};
    use crate::data_dir::draw_process_id;
    use everplay_live::{
        Allowances, PostgresArbiter, PostgresError, PostgresOptions, RedisAddress, RedisLiveStore,
        RedisOpenError, RedisOptions,
    };
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    /// How long servers that do not answer are waited for: they may be starting too, or changing over.
    const PATIENCE: Duration = Duration::from_secs(20);
    const PAUSE: Duration = Duration::from_millis(500);

    pub(super) async fn open(redis_url: &str, database_url: &str) -> Result<Stores> {
        let address = RedisAddress::parse(redis_url)
            .map_err(|error| Error::Store(format!("setting `redis_url`: {error}")))?;
        let redis = RedisOptions::new(address);
        let live = insist(
            "the live store on Redis",
            || RedisLiveStore::open(redis.clone()),
            |error| matches!(error, RedisOpenError::Unreachable { .. }),
        );
        // A room that is asked for makes five attempts: its caller is refused after 10 s, not after a minute.
        let patience = Duration::from_secs(2);
        let postgres = PostgresOptions { patience, ..PostgresOptions::new(database_url) };
        let arbiter = insist(
            "the arbiter on PostgreSQL",
            || PostgresArbiter::open(postgres.clone()),
            |error| {
                matches!(
                    error,
                    PostgresError::Silent { .. } | PostgresError::Refused(_) | PostgresError::Standby
                )
            },
        );
        let (live, arbiter) = tokio::try_join!(live, arbiter)?;
        let allowances = Some(Arc::new(live.allowances()) as Arc<dyn Allowances>);
        let process_id = draw_process_id();
        Ok(Stores { live: Arc::new(live), arbiter: Arc::new(arbiter), allowances, process_id })
    }

    /// Tries until it opens, or fails for a reason that does not pass by itself.
    async fn insist<T, E: std::error::Error, F: Future<Output = Result<T, E>>>(
        what: &'static str,
        open: impl Fn() -> F,
        passes: impl Fn(&E) -> bool,
    ) -> Result<T> {
        let start = Instant::now();
        let mut told = false;
        loop {
            let error = match open().await {
                Ok(opened) => return Ok(opened),
                Err(error) => error,
            };
            if !passes(&error) || start.elapsed() + PAUSE >= PATIENCE {
                return Err(Error::Store(format!("{what}: {error}")));
            }
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(%error, "waiting for {what}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
