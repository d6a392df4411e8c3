//! What a server says about itself, and whether rooms may be kept there. Pure.

use super::options::Durability;
use std::fmt;

/// What `INFO` tells, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) version: String,
    pub(super) primary: bool,
    pub(super) cluster: bool,
    /// Replicas that are connected and up to date with the stream.
    pub(super) replicas: usize,
    policy: String,
    append_only: bool,
    fsync_failed: bool,
}

impl Facts {
    /// Reads the text of `INFO`.
    pub(super) fn read(info: &str) -> Facts {
        let field = |name: &str| {
            info.lines()
                .find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
                .unwrap_or_default()
        };
        let online = |line: &&str| {
            let digits =
                line.strip_prefix("slave").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            digits && line.contains("state=online")
        };
        Facts {
            version: field("redis_version").to_owned(),
            primary: field("role") == "master",
            cluster: field("cluster_enabled") == "1",
            replicas: info.lines().filter(online).count(),
            policy: field("maxmemory_policy").to_owned(),
            append_only: field("aof_enabled") == "1",
            fsync_failed: field("aof_last_write_status") == "err",
        }
    }

    /// May rooms be kept here at all? Asked at every connection, because servers are reconfigured while they run.
    pub(super) fn admit(&self) -> Result<(), Unsafe> {
        let major = self.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_none_or(|major| major < 7) {
            return Err(Unsafe::Version { found: self.version.clone() });
        }
        if self.policy != "noeviction" {
            return Err(Unsafe::Eviction { policy: self.policy.clone() });
        }
        Ok(())
    }

    /// At start only: are there enough replicas? Later, each write finds out for itself.
    pub(super) fn replicated(&self, durability: Durability) -> Result<(), Unsafe> {
        match durability {
            Durability::Replicas(need) if self.replicas < usize::from(need.get()) => {
                Err(Unsafe::Replicas { need: need.get(), have: self.replicas })
            }
            Durability::Replicas(_) | Durability::Alone => Ok(()),
        }
    }

    /// What this set-up does not promise.
    pub(super) fn notices(&self, durability: Durability) -> Vec<Notice> {
        let mut notices = Vec::new();
        match durability {
            Durability::Alone => notices.push(Notice::Alone { replicas: self.replicas }),
            Durability::Replicas(n) if self.replicas > usize::from(n.get()) => {
                notices.push(Notice::Elections { confirmed: n.get(), replicas: self.replicas });
            }
            Durability::Replicas(_) => {}
        }
        if !self.append_only {
            notices.push(Notice::NoAppendOnlyFile);
        }
        if self.fsync_failed {
            notices.push(Notice::AppendOnlyFileFails);
        }
        notices
    }
}

/// Why a server must not keep rooms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsafe {
    /// Functions came with Redis 7.
    #[error("the server is version {found}; version 7 or later, or Valkey, is needed")]
    Version {
        /// As the server says.
        found: String,
    },
    /// Journals would vanish one key at a time.
    #[error(
        "maxmemory-policy is `{policy}`: the server would delete rooms when its memory is full. \
         Set `maxmemory-policy noeviction`, and keep caches on another server"
    )]
    Eviction {
        /// The policy in force.
        policy: String,
    },
    /// Writes could never be confirmed.
    #[error("{have} replicas are connected, {need} must confirm each write")]
    Replicas {
        /// As configured.
        need: u8,
        /// As connected now.
        have: usize,
    },
}

/// Something that the set-up does not promise, in words for the operator. Logged as a warning when a store is opened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Notice {
    /// No replica confirms writes.
    Alone {
        /// Connected nevertheless.
        replicas: usize,
    },
    /// Fewer replicas confirm than could be elected.
    Elections {
        /// Confirm each write.
        confirmed: u8,
        /// Are connected.
        replicas: usize,
    },
    /// The append-only file is off.
    NoAppendOnlyFile,
    /// The append-only file cannot be written.
    AppendOnlyFileFails,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Alone { replicas } => write!(
                f,
                "no replica confirms writes ({replicas} connected): when this Redis is lost, rooms lose what was seen. \
                 Rooms survive the loss of a node. Set `replicas=1` in the URL to wait for one"
            ),
            Notice::Elections { confirmed, replicas } => write!(
                f,
                "{confirmed} of {replicas} replicas confirm each write: give all the same replica-priority, \
                 or one that lags may be elected and lose confirmed records"
            ),
            Notice::NoAppendOnlyFile => f.write_str(
                "appendonly is off: a primary that restarts comes back old or empty, and its replicas copy that. \
                 Set `appendonly yes`, or see that nothing restarts a primary",
            ),
            Notice::AppendOnlyFileFails => f.write_str("the append-only file cannot be written: look at the disk"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU8;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\n# Persistence\r\naof_enabled:1\r\n\
        aof_last_write_status:ok\r\nmaxmemory_policy:noeviction\r\nrole:master\r\nconnected_slaves:2\r\n\
        slave0:ip=127.0.0.1,port=1,state=online,offset=5,lag=0\r\n\
        slave1:ip=127.0.0.1,port=2,state=wait_bgsave,offset=0,lag=0\r\nslave_repl_offset:3\r\ncluster_enabled:0\r\n";

    fn replicas(n: u8) -> Durability {
        NonZeroU8::new(n).map_or(Durability::Alone, Durability::Replicas)
    }

    #[test]
    fn a_good_server_passes() {
        let facts = Facts::read(INFO);
        assert!(facts.primary && !facts.cluster);
        assert_eq!(facts.replicas, 1);
        assert_eq!(facts.admit(), Ok(()));
        assert_eq!(facts.replicated(replicas(1)), Ok(()));
        assert_eq!(facts.notices(replicas(1)), []);
        assert_eq!(facts.notices(Durability::Alone), [Notice::Alone { replicas: 1 }]);
    }

    #[test]
    fn unsafe_ones_are_refused_or_named() {
        let old = Facts::read(&INFO.replace("7.0.15", "6.2.1"));
        assert_eq!(old.admit(), Err(Unsafe::Version { found: "6.2.1".to_owned() }));
        let cache = Facts::read(&INFO.replace("noeviction", "allkeys-lru"));
        assert_eq!(cache.admit(), Err(Unsafe::Eviction { policy: "allkeys-lru".to_owned() }));
        assert!(Facts::read("").admit().is_err());
        let lonely = Facts::read(INFO).replicated(replicas(2));
        assert_eq!(lonely, Err(Unsafe::Replicas { need: 2, have: 1 }));
        let many =
            Facts::read(&INFO.replace("wait_bgsave", "online").replace("aof_enabled:1", "aof_enabled:0"));
        let notices = [Notice::Elections { confirmed: 1, replicas: 2 }, Notice::NoAppendOnlyFile];
        assert_eq!(many.notices(replicas(1)), notices);
    }
}
