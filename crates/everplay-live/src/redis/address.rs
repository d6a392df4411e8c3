//! Where the servers are, read from one URL. Pure; errors never repeat the URL, which may hold a password.

use std::fmt;

/// Host and port of one server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host {
    /// Name or address; IPv6 without brackets. Resolved anew for every connection.
    pub name: String,
    /// TCP port.
    pub port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Host { name, port } = self;
        if name.contains(':') { write!(f, "[{name}]:{port}") } else { write!(f, "{name}:{port}") }
    }
}

/// How the primary is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discovery {
    /// It is this server, or this one knows the Cluster it belongs to.
    Server(Host),
    /// Sentinels are asked; the answer of a majority of those named here counts.
    Sentinels {
        /// The Sentinels.
        hosts: Vec<Host>,
        /// The name under which they watch the primary.
        service: String,
    },
    /// Any of these knows which server has which slots.
    Cluster(Vec<Host>),
}

/// User and password for a server.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// `None`: the default user.
    pub user: Option<String>,
    /// `None`: the server asks for none.
    pub password: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = if self.password.is_some() { "set" } else { "none" };
        write!(f, "Login {{ user: {:?}, password: {password} }}", self.user)
    }
}

/// What `REDIS_URL` says.
///
/// ```text
/// redis://[user[:password]@]host[:port][/db][?replicas=n]
/// redis://...@host:port,host:port             several hosts: Cluster
/// redis+sentinel://...@host[:port],.../service[/db][?replicas=n&sentinel_password=...]
/// rediss:// and rediss+sentinel://            the same over TLS
/// ```
///
/// User and passwords are percent-encoded. Ports default to 6379, of Sentinels to 26379.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisAddress {
    /// Where to ask.
    pub discovery: Discovery,
    /// Whether the servers and Sentinels speak TLS.
    pub tls: bool,
    /// For the servers.
    pub login: Login,
    /// For the Sentinels.
    pub sentinel_login: Login,
    /// Number of the database; always 0 in Cluster.
    pub database: u32,
    /// How many replicas confirm each write; `None` when the URL does not say.
    pub replicas: Option<u8>,
}

/// What is wrong with a URL. Hosts are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not one of the four schemes.
    #[error("the URL must start with redis://, rediss://, redis+sentinel:// or rediss+sentinel://")]
    Scheme,
    /// Nothing where a host belongs.
    #[error("host {position} is empty")]
    EmptyHost {
        /// Which one.
        position: usize,
    },
    /// A `[` without its `]`, or something other than a port after it.
    #[error("host {position} has unbalanced brackets around an IPv6 address")]
    Brackets {
        /// Which one.
        position: usize,
    },
    /// Not a port.
    #[error(
        "host {position}: the port is not a number from 1 to 65535; a password with / @ : ? or # must be percent-encoded"
    )]
    Port {
        /// Which one.
        position: usize,
    },
    /// A `%` without two hexadecimal digits, or bytes that are not UTF-8.
    #[error("the {part} is not percent-encoded UTF-8")]
    Encoding {
        /// User, password or another part.
        part: &'static str,
    },
    /// Sentinels watch services by name.
    #[error("the name of the service that the Sentinels watch is missing: redis+sentinel://host/NAME")]
    Service,
    /// What follows the host is not a number.
    #[error("the database after the last / is not a number from 0 to 65535")]
    Database,
    /// Cluster has one database.
    #[error("several hosts mean Cluster mode, which has no database but 0")]
    ClusterDatabase,
    /// A setting this release does not know; known ones are named.
    #[error("setting {position} after the ? is not known; known are replicas and sentinel_password")]
    Setting {
        /// Which one, counted from 1.
        position: usize,
    },
    /// Not a number of replicas.
    #[error("replicas must be a number from 0 to 15")]
    Replicas,
}

impl RedisAddress {
    /// Reads a URL. Errors: [`AddressError`], none of which repeats any part of it.
    pub fn parse(url: &str) -> Result<RedisAddress, AddressError> {
        let (scheme, rest) = url.trim().split_once("://").ok_or(AddressError::Scheme)?;
        let (tls, sentinel) = match scheme {
            "redis" => (false, false),
            "rediss" => (true, false),
            "redis+sentinel" => (false, true),
            "rediss+sentinel" => (true, true),
            _ => return Err(AddressError::Scheme),
        };
        let (rest, settings) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (parse_login(login)?, hosts),
            None => (Login::default(), authority),
        };
        let port = if sentinel { 26379 } else { 6379 };
        let mut hosts = hosts
            .split(',')
            .enumerate()
            .map(|(n, text)| parse_host(text, port, n + 1))
            .collect::<Result<Vec<Host>, _>>()?;
        let (service, database) = match (sentinel, path.split_once('/')) {
            (false, _) => (None, path),
            (true, Some((service, database))) => (Some(service), database),
            (true, None) => (Some(path), ""),
        };
        let database: u16 = match database {
            "" => 0,
            number => number.parse().map_err(|_| AddressError::Database)?,
        };
        let discovery = match service {
            Some("") => return Err(AddressError::Service),
            Some(service) => Discovery::Sentinels { hosts, service: decode(service, "name of the service")? },
            None if hosts.len() > 1 && database != 0 => return Err(AddressError::ClusterDatabase),
            None if hosts.len() > 1 => Discovery::Cluster(hosts),
            None => Discovery::Server(hosts.remove(0)),
        };
        let mut address = RedisAddress {
            discovery,
            tls,
            login,
            sentinel_login: Login::default(),
            database: database.into(),
            replicas: None,
        };
        for (n, setting) in settings.split('&').filter(|setting| !setting.is_empty()).enumerate() {
            match setting.split_once('=') {
                Some(("replicas", number)) => {
                    let number = number.parse().ok().filter(|number| *number < 16);
                    address.replicas = Some(number.ok_or(AddressError::Replicas)?);
                }
                Some(("sentinel_password", password)) if sentinel => {
                    address.sentinel_login.password = Some(decode(password, "password of the Sentinels")?);
                }
                _ => return Err(AddressError::Setting { position: n + 1 }),
            }
        }
        Ok(address)
    }
}

fn parse_login(text: &str) -> Result<Login, AddressError> {
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (user, Some(decode(password, "password")?)),
        None => (text, None),
    };
    let user = if user.is_empty() { None } else { Some(decode(user, "user")?) };
    Ok(Login { user, password })
}

fn parse_host(text: &str, default: u16, position: usize) -> Result<Host, AddressError> {
    let (name, port) = if let Some(rest) = text.strip_prefix('[') {
        let (name, rest) = rest.split_once(']').ok_or(AddressError::Brackets { position })?;
        match rest.strip_prefix(':') {
            Some(port) => (name, Some(port)),
            None if rest.is_empty() => (name, None),
            None => return Err(AddressError::Brackets { position }),
        }
    } else {
        match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        }
    };
    if name.is_empty() {
        return Err(AddressError::EmptyHost { position });
    }
    let port = match port {
        None => default,
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(AddressError::Port { position })?,
    };
    Ok(Host { name: name.to_owned(), port })
}

fn decode(text: &str, part: &'static str) -> Result<String, AddressError> {
    let wrong = AddressError::Encoding { part };
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => out.push((high * 16 + low) as u8),
            _ => return Err(wrong),
        }
    }
    String::from_utf8(out).map_err(|_| wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, port: u16) -> Host {
        Host { name: name.to_owned(), port }
    }

    #[test]
    fn the_four_forms() {
        let address = RedisAddress::parse("redis://localhost").unwrap();
        assert_eq!(address.discovery, Discovery::Server(host("localhost", 6379)));
        assert_eq!((address.tls, address.database, address.replicas), (false, 0, None));
        let address = RedisAddress::parse("rediss://ann:p%40ss%2f@[::1]:7000/3?replicas=2").unwrap();
        assert_eq!(address.discovery, Discovery::Server(host("::1", 7000)));
        assert_eq!((address.tls, address.database, address.replicas), (true, 3, Some(2)));
        let login = Login { user: Some("ann".into()), password: Some("p@ss/".into()) };
        assert_eq!(address.login, login);
        let address = RedisAddress::parse("redis://:pw@a:1,b").unwrap();
        assert_eq!(address.discovery, Discovery::Cluster(vec![host("a", 1), host("b", 6379)]));
        assert_eq!(address.login, Login { user: None, password: Some("pw".into()) });
        let address = RedisAddress::parse("redis+sentinel://a,b:9/game/1?sentinel_password=x").unwrap();
        let hosts = vec![host("a", 26379), host("b", 9)];
        assert_eq!(address.discovery, Discovery::Sentinels { hosts, service: "game".into() });
        assert_eq!(address.database, 1);
        assert_eq!(address.sentinel_login.password.as_deref(), Some("x"));
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("localhost:6379", AddressError::Scheme),
            ("http://localhost", AddressError::Scheme),
            ("redis://", AddressError::EmptyHost { position: 1 }),
            ("redis://a,,b", AddressError::EmptyHost { position: 2 }),
            ("redis://a:0", AddressError::Port { position: 1 }),
            ("redis://a,b:x", AddressError::Port { position: 2 }),
            ("redis://[::1", AddressError::Brackets { position: 1 }),
            ("redis://[::1]7", AddressError::Brackets { position: 1 }),
            ("redis://:%zz@a", AddressError::Encoding { part: "password" }),
            ("redis://%ff@a", AddressError::Encoding { part: "user" }),
            ("redis://a/x", AddressError::Database),
            ("redis://a,b/1", AddressError::ClusterDatabase),
            ("redis+sentinel://a", AddressError::Service),
            ("redis://a?x=1", AddressError::Setting { position: 1 }),
            ("redis://a?replicas=1&sentinel_password=x", AddressError::Setting { position: 2 }),
            ("redis://a?replicas=many", AddressError::Replicas),
        ];
        for (url, error) in cases {
            assert_eq!(RedisAddress::parse(url), Err(error), "{url}");
        }
    }

    /// A password that was not encoded ends up in any part of the URL; no message may show it.
    #[test]
    fn errors_and_debug_hold_no_secret() {
        for url in [
            "redis://:hun/ter2@a:1",
            "redis://u:hun:ter2@a:x",
            "redis://u:hunter2%@a",
            "hunter2",
            "redis://a/hunter2",
        ] {
            let error = RedisAddress::parse(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("ter2"), "{error}");
        }
        let address = RedisAddress::parse("redis://u:hunter2@a").unwrap();
        assert!(!format!("{address:?}").contains("hunter2"));
    }
}
