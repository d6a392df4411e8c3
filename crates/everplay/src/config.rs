//! Settings: one declaration each, four places they may come from, read and checked once.
//!
//! ```text
//! default < file (--config) < environment < flag   ->   Given { text, source }   ->   Config
//! ```
//!
//! A setting called `data_dir` is the key `data_dir` of the file, the flag `--data-dir` and the variable
//! `EVERPLAY_DATA_DIR`; a few have a name that platforms and older servers know, `PORT` first of all. What the setting
//! means is written once, at its declaration below: the flag's help, `everplay config` and `docs/configuration.md` all
//! show those lines.
//!
//! Always holds: a key nobody knows or a text that does not fit fails the start, and the error names the key and
//! the place. The environment comes in as a list, so that tests never touch the real one.

mod resolve;
mod table;
#[cfg(test)]
mod tests;
mod value;

pub(crate) use resolve::CONFIG_VARIABLE;
pub use resolve::{ConfigError, Given, Resolved, Row, Source, Sources};
pub use table::markdown;
pub use value::{ClientSecret, ClusterKey, Issuer, Issuers, LogFormat, Size, Span, Storage, StoreUrl, Value};

use everplay_gateway::Network;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

/// One setting, as every way to set it sees it.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The key in the file.
    pub key: &'static str,
    /// The environment variable.
    pub env: &'static str,
    /// What kind of value it takes, for help texts.
    pub takes: &'static str,
    /// What it means.
    pub help: &'static str,
    /// The default as text.
    pub default: fn() -> String,
    /// Whether its value is hidden wherever settings are shown.
    pub secret: bool,
}

impl Setting {
    /// The command-line flag, without the dashes.
    pub fn flag(&self) -> String {
        self.key.replace('_', "-")
    }
}

macro_rules! settings {
    ($( $(#[doc = $doc:literal])+ $key:ident ($env:literal): $type:ty = $default:expr; )+) => {
        /// What a server is told at its start; every field is valid by itself.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Config { $( $(#[doc = $doc])+ pub $key: $type, )+ }

        impl Default for Config {
            fn default() -> Self {
                Self { $( $key: $default, )+ }
            }
        }

        /// Every setting, in the order they are shown.
        pub const SETTINGS: &[Setting] = &[ $( Setting {
            key: stringify!($key),
            env: $env,
            takes: <$type as Value>::TAKES,
            help: concat!($($doc, "\n"),+),
            default: || <$type as Value>::show(&$default),
            secret: <$type as Value>::SECRET,
        } ),+ ];

        impl Config {
            /// Reads every setting from what was given; the lookup answers None for what nobody set.
            pub(crate) fn read<'a>(
                mut given: impl FnMut(&str) -> Option<&'a Given>,
            ) -> Result<Self, ConfigError> {
                Ok(Self { $( $key: match given(stringify!($key)) {
                    Some(given) => <$type as Value>::read(&given.text).map_err(|problem| ConfigError::Wrong {
                        key: stringify!($key),
                        source_of_it: given.source.clone(),
                        problem,
                    })?,
                    None => $default,
                }, )+ })
            }
        }
    };
}

settings! {
    /// Address to listen on. Loopback by default: nothing is reachable from outside unless you say so.
    host("EVERPLAY_HOST"): IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    /// Port to listen on; 0 takes a free one, which the line on standard output names.
    port("PORT"): u16 = 2567;
    /// Host, port and path, without a scheme, under which clients reach this server; needed only when it differs
    /// from what they asked. Empty: clients come back to where they came from.
    public_address("EVERPLAY_PUBLIC_ADDRESS"): String = String::new();
    /// Where rooms live: `sqlite` keeps them in the data directory, `memory` loses them when the process ends.
    storage("EVERPLAY_STORAGE"): Storage = Storage::Sqlite;
    /// Directory of everything that must survive a restart. Made when missing; one server at a time may use it.
    data_dir("EVERPLAY_DATA_DIR"): PathBuf = PathBuf::from("everplay-data");
    /// Redis or Valkey that keeps the rooms of a cluster, as `docs/stores.md` says. Together with `database_url`;
    /// then `storage` and `data_dir` are not used.
    redis_url("REDIS_URL"): StoreUrl = StoreUrl::default();
    /// PostgreSQL that says which node owns which room, `postgres://user:password@host/database`. Together with
    /// `redis_url`.
    database_url("DATABASE_URL"): StoreUrl = StoreUrl::default();
    /// DynamoDB that keeps games that were played: `aws` for the region's own, or the address of a server that speaks like
    /// it. Region and credentials come from the usual AWS settings. Empty: a file in `data_dir`; in a cluster, PostgreSQL.
    dynamodb("DYNAMODB_ENDPOINT"): String = String::new();
    /// In front of the names of its tables, so that several deployments fit into one account.
    dynamodb_prefix("DYNAMODB_PREFIX"): String = String::new();
    /// What the nodes of a cluster prove to each other that they know: the same random text of 32 characters or more
    /// on each. Needed unless `link_host` is a loopback address.
    cluster_key("EVERPLAY_CLUSTER_KEY"): ClusterKey = ClusterKey::default();
    /// Address on which other nodes of the cluster link up with this one.
    link_host("EVERPLAY_LINK_HOST"): IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    /// Port on which they do; 0 takes a free one.
    link_port("EVERPLAY_LINK_PORT"): u16 = 0;
    /// Host and port under which other nodes reach that listener. Empty: `link_host` and the port it got.
    link_address("EVERPLAY_LINK_ADDRESS"): String = String::new();
    /// PEM file with this node's certificate for links, and those between it and the authority. With `link_cert_key` and
    /// `link_ca`; then links do not use `cluster_key`.
    link_cert("EVERPLAY_LINK_CERT"): Option<PathBuf> = None;
    /// PEM file with the private key of that certificate.
    link_cert_key("EVERPLAY_LINK_KEY"): Option<PathBuf> = None;
    /// PEM file with the authority whose certificates are nodes. It must sign for nothing else.
    link_ca("EVERPLAY_LINK_CA"): Option<PathBuf> = None;
    /// Where this node stands. A dead node's rooms go to other zones than its own where there is space.
    zone("EVERPLAY_ZONE"): String = String::new();
    /// Sites that may show this server's pages inside their own, as `frame-ancestors` of a Content-Security-Policy has
    /// them.
    frame_ancestors("EVERPLAY_FRAME_ANCESTORS"): String = "'none'".to_owned();
    /// Where browsers reach this server, such as `https://play.example`: links in mails and the way back from providers
    /// lead there. Empty: `http` and the address it listens on.
    public_url("EVERPLAY_PUBLIC_URL"): String = String::new();
    /// Origins of pages on other hosts that may hear of a sign-in elsewhere, such as `https://game.example`, separated by
    /// commas.
    web_origins("EVERPLAY_WEB_ORIGINS"): String = String::new();
    /// Seals what the account store must be able to read again: private keys and seeds of second factors. The same random
    /// text of 32 characters or more on every node of a cluster. Empty: `cluster_key`, or a key drawn into `data_dir`.
    accounts_key("EVERPLAY_ACCOUNTS_KEY"): ClusterKey = ClusterKey::default();
    /// E-mail address whose account becomes an admin once the address is confirmed.
    admin("EVERPLAY_ADMIN"): String = String::new();
    /// Server that mail is sent through: `smtps://user:password@host:465`. Empty: mails are written to the log.
    smtp_url("EVERPLAY_SMTP_URL"): StoreUrl = StoreUrl::default();
    /// Whom mail is from.
    mail_from("EVERPLAY_MAIL_FROM"): String = "Everplay <no-reply@localhost>".to_owned();
    /// Where the support desk is told by mail of tickets, answers of players and time that is over. Empty: it is not.
    support_mail("EVERPLAY_SUPPORT_MAIL"): String = String::new();
    /// A program that is told by `POST` of everything that happens to tickets. Empty: none.
    support_webhook("EVERPLAY_SUPPORT_WEBHOOK"): StoreUrl = StoreUrl::default();
    /// Signs what it is told (`x-everplay-signature`, HMAC-SHA256): a random text of 32 characters or more.
    support_webhook_key("EVERPLAY_SUPPORT_WEBHOOK_KEY"): ClusterKey = ClusterKey::default();
    /// Sign-in with Google: `CLIENT_ID:CLIENT_SECRET`. Empty: not offered.
    google_login("EVERPLAY_GOOGLE_LOGIN"): ClientSecret = ClientSecret::default();
    /// Sign-in with Facebook: `CLIENT_ID:CLIENT_SECRET`. Empty: not offered.
    facebook_login("EVERPLAY_FACEBOOK_LOGIN"): ClientSecret = ClientSecret::default();
    /// Sign-in with X: `CLIENT_ID:CLIENT_SECRET`. Empty: not offered.
    x_login("EVERPLAY_X_LOGIN"): ClientSecret = ClientSecret::default();
    /// Sign-in with issuers of OpenID Connect, separated by commas: `NAME ISSUER CLIENT_ID CLIENT_SECRET`.
    oidc_login("EVERPLAY_OIDC_LOGIN"): Issuers = Issuers::default();
    /// Requests a minute to the services of a signed-in account or a server's key; more are answered 429.
    rate_account("EVERPLAY_RATE_ACCOUNT"): u32 = 1_000;
    /// Requests a minute to the services of a guest, or of a network nobody is signed in from; more are answered 429.
    rate_guest("EVERPLAY_RATE_GUEST"): u32 = 100;
    /// Searches for a seat in a room a minute (`/matchmake`, coming back to one's seat excepted) of a signed-in account, or of
    /// a network together with its guests; more are answered 429.
    rate_matchmake("EVERPLAY_RATE_MATCHMAKE"): u32 = 300;
    /// Requests to the services that this server takes at once from all together, and as many searches for a seat; more are
    /// answered 503.
    rate_burst("EVERPLAY_RATE_BURST"): u32 = 2_000;
    /// Whether Redis is used. `false` runs without a cluster, on `storage`, even where `redis_url` is set.
    redis_enabled("REDIS_ENABLED"): bool = true;
    /// Whether saved rooms are brought back at start. `false` starts fresh: they stay in the store as they are, nobody
    /// plays in them, the log names them, and the next start with `true` brings them back. Always `true` in a cluster.
    hydration("GAME_HYDRATION_ENABLED"): bool = true;
    /// Shown as `Authorization: Bearer KEY` to read `/metrics`: a random text of 32 characters or more. Empty: they are told to
    /// programs of this machine that come without a proxy.
    metrics_key("EVERPLAY_METRICS_KEY"): ClusterKey = ClusterKey::default();
    /// Which log lines are written: a level (`error`, `warn`, `info`, `debug`, `trace`) or a list such as
    /// `info,everplay_gateway=debug`; `info,access=off` leaves out the line per request, `warn` keeps those of `security`.
    log("EVERPLAY_LOG"): String = "info".to_owned();
    /// How log lines look: `human`, `json`, or `auto`, which is human on a terminal and JSON otherwise.
    log_format("EVERPLAY_LOG_FORMAT"): LogFormat = LogFormat::Auto;
    /// Adds the room kinds that `everplay bench` drives, `arena` (Confirmed) and `arena_ephemeral`, and those of
    /// `everplay chaos`, `chronicle` and `chronicle_slow`.
    bench_rooms("EVERPLAY_BENCH_ROOMS"): bool = false;
    /// How long a shutdown may take to make every room durable and close every connection.
    shutdown_deadline("EVERPLAY_SHUTDOWN_DEADLINE"): Duration = Duration::from_secs(10);
    /// Networks of proxies whose `X-Forwarded-For` is believed, such as `10.0.0.0/8,::1`. Empty: the header is ignored.
    trusted_proxies("EVERPLAY_TRUSTED_PROXIES"): Vec<Network> = Vec::new();
    /// Rooms at the same time; more are refused with 523.
    max_rooms("EVERPLAY_MAX_ROOMS"): usize = 10_000;
    /// Open sockets at the same time; one more is answered 503.
    max_connections("EVERPLAY_MAX_CONNECTIONS"): u32 = 20_000;
    /// Open sockets from one address, loopback and trusted proxies excepted; one more is answered 429.
    max_connections_per_ip("EVERPLAY_MAX_CONNECTIONS_PER_IP"): u32 = 512;
    /// Largest message a client may send to a room; a larger one closes its connection with 1009.
    max_frame("EVERPLAY_MAX_FRAME"): Size = Size(64 << 10);
    /// Largest body of an HTTP request; a larger one is answered 413.
    max_body("EVERPLAY_MAX_BODY"): Size = Size(64 << 10);
    /// Largest line and headers of an HTTP request; larger ones are answered 431.
    max_headers("EVERPLAY_MAX_HEADERS"): Size = Size(16 << 10);
    /// Patches and messages that may wait for one client that does not read; beyond it patches give way to one full
    /// state, then the connection is closed with 4100.
    max_outbox("EVERPLAY_MAX_OUTBOX"): Size = Size(256 << 10);
    /// Inputs that may wait for one room; beyond it its clients' sockets are not read for a while.
    max_mailbox("EVERPLAY_MAX_MAILBOX"): usize = 1_024;
    /// Time a client has to send a request's headers; then its socket is closed.
    header_timeout("EVERPLAY_HEADER_TIMEOUT"): Duration = Duration::from_secs(5);
    /// Time between WebSocket pings; a client that misses two is taken for gone.
    ping_interval("EVERPLAY_PING_INTERVAL"): Duration = Duration::from_secs(15);
}

/// Which stores keep the rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stores<'a> {
    /// This process.
    Memory,
    /// The data directory.
    Sqlite,
    /// Servers that several nodes share.
    Cluster {
        /// Of the journals.
        redis_url: &'a str,
        /// Of the ownership.
        database_url: &'a str,
    },
}

impl Config {
    /// Which stores the settings ask for. Errors: settings that are valid each by itself and not together.
    pub fn stores(&self) -> Result<Stores<'_>, ConfigError> {
        let own = match self.storage {
            Storage::Memory => Stores::Memory,
            Storage::Sqlite => Stores::Sqlite,
        };
        if !self.redis_enabled {
            return Ok(own);
        }
        let (redis_url, database_url) = (self.redis_url.0.as_str(), self.database_url.0.as_str());
        match (redis_url.is_empty(), database_url.is_empty()) {
            (true, true) => Ok(own),
            (false, true) => Err(ConfigError::Alone { set: "redis_url", missing: "database_url" }),
            (true, false) => Err(ConfigError::Alone { set: "database_url", missing: "redis_url" }),
            (false, false) if self.storage == Storage::Memory => Err(ConfigError::Contradiction {
                problem: "`storage` is memory, but `redis_url` and `database_url` name stores; unset one or the others",
            }),
            (false, false) if self.has_certificates().is_none() => Err(ConfigError::Contradiction {
                problem: "`link_cert`, `link_cert_key` and `link_ca` (EVERPLAY_LINK_CERT, _KEY and _CA) belong together; \
                    set all three or none",
            }),
            (false, false)
                if !self.link_host.is_loopback()
                    && self.cluster_key.0.is_empty()
                    && self.has_certificates() == Some(false) =>
            {
                Err(ConfigError::Contradiction {
                    problem: "`link_host` is reachable from outside, and without `cluster_key` (EVERPLAY_CLUSTER_KEY) \
                        anybody could pretend to be a node; set the same random text of 32 characters on every node",
                })
            }
            (false, false)
                if !self.link_host.is_loopback()
                    && self.cluster_key.0.is_empty()
                    && self.accounts_key.0.is_empty() =>
            {
                Err(ConfigError::Contradiction {
                    problem: "`link_host` is reachable from outside and links use certificates, so `accounts_key` \
                        (EVERPLAY_ACCOUNTS_KEY) has to seal what the account store must be able to read again; set the same \
                        random text of 32 characters on every node",
                })
            }
            (false, false) if !self.hydration => Err(ConfigError::Contradiction {
                problem: "`hydration` (GAME_HYDRATION_ENABLED) is off, but in a cluster the other nodes bring rooms back; \
                    start with other stores, or with hydration",
            }),
            (false, false) => Ok(Stores::Cluster { redis_url, database_url }),
        }
    }

    /// Whether links are secured by certificates; `None`: a part is missing.
    pub(crate) fn has_certificates(&self) -> Option<bool> {
        match [&self.link_cert, &self.link_cert_key, &self.link_ca].map(Option::is_some) {
            [true, true, true] => Some(true),
            [false, false, false] => Some(false),
            _ => None,
        }
    }

    /// Whether Redis keeps the rooms.
    pub(crate) fn uses_redis(&self) -> bool {
        matches!(self.stores(), Ok(Stores::Cluster { .. }))
    }
}
