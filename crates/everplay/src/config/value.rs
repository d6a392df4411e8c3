//! The types settings have, each with its text form: what a person writes in a file, a flag or a variable.

use everplay_gateway::Network;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A type of setting.
pub trait Value: Sized {
    /// What it takes, for help texts.
    const TAKES: &'static str;
    /// Whether it is hidden wherever settings are shown.
    const SECRET: bool = false;
    /// Reads the text. The error completes the sentence "the value ...".
    fn read(text: &str) -> Result<Self, String>;
    /// The text that reads back as the same value.
    fn show(&self) -> String;
}

impl Value for bool {
    const TAKES: &'static str = "true|false";

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err("must be true or false".into()),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for u16 {
    const TAKES: &'static str = "PORT";

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "must be a port number, 0 to 65535".into())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for usize {
    const TAKES: &'static str = "COUNT";

    fn read(text: &str) -> Result<Self, String> {
        match text.replace('_', "").parse() {
            Ok(0) | Err(_) => Err("must be a whole number above 0".into()),
            Ok(count) => Ok(count),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for u32 {
    const TAKES: &'static str = "COUNT";

    fn read(text: &str) -> Result<Self, String> {
        usize::read(text)?.try_into().map_err(|_| "is too large".into())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Vec<Network> {
    const TAKES: &'static str = "NETWORKS";

    fn read(text: &str) -> Result<Self, String> {
        let networks = text.split(',').map(str::trim).filter(|network| !network.is_empty());
        networks
            .map(|network| network.parse().map_err(|problem| format!("names {network:?}, which {problem}")))
            .collect()
    }

    fn show(&self) -> String {
        self.iter().map(Network::to_string).collect::<Vec<_>>().join(",")
    }
}

impl Value for String {
    const TAKES: &'static str = "TEXT";

    fn read(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

/// The address of a store, which may hold a password. Empty: not set.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct StoreUrl(pub String);

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "StoreUrl()" } else { "StoreUrl(..)" })
    }
}

impl Value for StoreUrl {
    const TAKES: &'static str = "URL";
    const SECRET: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains("://") {
            Ok(StoreUrl(text.to_owned()))
        } else {
            Err("must be a URL".into())
        }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// What a provider of identities knows this server by. Empty: nothing.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ClientSecret(pub Option<(String, String)>);

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_none() { "ClientSecret()" } else { "ClientSecret(..)" })
    }
}

impl Value for ClientSecret {
    const TAKES: &'static str = "ID:SECRET";
    const SECRET: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            _ if text.is_empty() => Ok(ClientSecret(None)),
            Some((id, secret)) if !id.is_empty() && !secret.is_empty() => {
                Ok(ClientSecret(Some((id.to_owned(), secret.to_owned()))))
            }
            _ => Err("must be CLIENT_ID:CLIENT_SECRET".into()),
        }
    }

    fn show(&self) -> String {
        self.0.as_ref().map(|(id, secret)| format!("{id}:{secret}")).unwrap_or_default()
    }
}

/// An issuer of OpenID Connect.
#[derive(Clone, PartialEq, Eq)]
pub struct Issuer {
    /// In paths: lower-case letters, digits and `-`.
    pub name: String,
    /// Exactly as it names itself.
    pub issuer: String,
    /// What it knows this server by.
    pub client_id: String,
    /// The same, secret.
    pub client_secret: String,
}

/// Issuers of OpenID Connect.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Issuers(pub Vec<Issuer>);

impl fmt::Debug for Issuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|issuer| &issuer.name)).finish()
    }
}

impl Value for Issuers {
    const TAKES: &'static str = "ISSUERS";
    const SECRET: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        let issuers = text.split(',').map(str::trim).filter(|issuer| !issuer.is_empty());
        let read = |text: &str| {
            let words: Vec<&str> = text.split_whitespace().collect();
            let [name, issuer, client_id, client_secret] = words[..] else {
                return Err("must be NAME ISSUER CLIENT_ID CLIENT_SECRET for each issuer".to_owned());
            };
            let in_path = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if !name.bytes().all(in_path) {
                return Err("must name each issuer with lower-case letters, digits and -".to_owned());
            }
            Ok(Issuer {
                name: name.to_owned(),
                issuer: issuer.to_owned(),
                client_id: client_id.to_owned(),
                client_secret: client_secret.to_owned(),
            })
        };
        issuers.map(read).collect::<Result<_, _>>().map(Issuers)
    }

    fn show(&self) -> String {
        let show =
            |one: &Issuer| format!("{} {} {} {}", one.name, one.issuer, one.client_id, one.client_secret);
        self.0.iter().map(show).collect::<Vec<_>>().join(",")
    }
}

/// What the nodes of a cluster prove to each other that they know. Empty: nothing.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ClusterKey(pub String);

impl ClusterKey {
    /// Characters of a key at least: 32 of base 64 are 192 bits.
    pub const LEAST: usize = 32;
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "ClusterKey()" } else { "ClusterKey(..)" })
    }
}

impl Value for ClusterKey {
    const TAKES: &'static str = "KEY";
    const SECRET: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.chars().count() >= Self::LEAST {
            Ok(ClusterKey(text.to_owned()))
        } else {
            Err(format!("must have at least {} characters", Self::LEAST))
        }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

impl Value for PathBuf {
    const TAKES: &'static str = "PATH";

    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("must not be empty".into()) } else { Ok(PathBuf::from(text)) }
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

/// A file that need not be there: empty is none.
impl Value for Option<PathBuf> {
    const TAKES: &'static str = "PATH";

    fn read(text: &str) -> Result<Self, String> {
        Ok(Some(text).filter(|text| !text.is_empty()).map(PathBuf::from))
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(String::new, |path| path.display().to_string())
    }
}

impl Value for IpAddr {
    const TAKES: &'static str = "IP";

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "must be an IP address such as 127.0.0.1, 0.0.0.0 or ::1".into())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Duration {
    const TAKES: &'static str = "TIME";

    fn read(text: &str) -> Result<Self, String> {
        Span::read(text).map(|span| span.0)
    }

    fn show(&self) -> String {
        Span(*self).to_string()
    }
}

/// A duration as people write it: `250ms`, `10s`, `5m`, `2h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

/// What a longest span is held to: a deadline beyond a day is a slip of the unit.
const LONGEST_SPAN: Duration = Duration::from_secs(24 * 60 * 60);

impl Span {
    fn read(text: &str) -> Result<Self, String> {
        let problem = || "must be a time such as 250ms, 10s, 5m or 2h".to_owned();
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (count, unit) = text.split_at(digits);
        let count: u64 = count.parse().map_err(|_| problem())?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(problem()),
        };
        let span = Duration::from_millis(count.checked_mul(millis).ok_or_else(problem)?);
        if span > LONGEST_SPAN { Err("must be at most 24h".into()) } else { Ok(Self(span)) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match [(3_600_000, "h"), (60_000, "m"), (1_000, "s")]
            .iter()
            .find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit))
        {
            Some((unit, name)) => write!(f, "{}{name}", millis / unit),
            None => write!(f, "{millis}ms"),
        }
    }
}

/// A number of bytes as people write it: `4096`, `64KiB`, `1MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u32);

impl Value for Size {
    const TAKES: &'static str = "SIZE";

    fn read(text: &str) -> Result<Self, String> {
        let problem = || "must be a size such as 4096, 64KiB or 1MiB".to_owned();
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (count, unit) = text.split_at(digits);
        let count: u32 = count.parse().map_err(|_| problem())?;
        let factor = match unit {
            "" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            _ => return Err(problem()),
        };
        match count.checked_mul(factor) {
            Some(0) | None => Err(problem()),
            Some(bytes) => Ok(Size(bytes)),
        }
    }

    fn show(&self) -> String {
        match self.0 {
            bytes if bytes % (1 << 20) == 0 => format!("{}MiB", bytes >> 20),
            bytes if bytes % (1 << 10) == 0 => format!("{}KiB", bytes >> 10),
            bytes => bytes.to_string(),
        }
    }
}

/// Where rooms live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// In files of the data directory.
    Sqlite,
    /// In this process only.
    Memory,
}

impl Value for Storage {
    const TAKES: &'static str = "sqlite|memory";

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "sqlite" => Ok(Storage::Sqlite),
            "memory" => Ok(Storage::Memory),
            _ => Err("must be sqlite or memory".into()),
        }
    }

    fn show(&self) -> String {
        match self {
            Storage::Sqlite => "sqlite",
            Storage::Memory => "memory",
        }
        .into()
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Value for LogFormat {
    const TAKES: &'static str = "auto|human|json";

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(LogFormat::Auto),
            "human" => Ok(LogFormat::Human),
            "json" => Ok(LogFormat::Json),
            _ => Err("must be auto, human or json".into()),
        }
    }

    fn show(&self) -> String {
        match self {
            LogFormat::Auto => "auto",
            LogFormat::Human => "human",
            LogFormat::Json => "json",
        }
        .into()
    }
}
