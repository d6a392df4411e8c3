//! One connection to one server, and the question which server that is.
//!
//! A connection is used by one lane alone and never repaired: when anything about it is doubtful it is dropped, because
//! `WAIT` speaks only of what its own connection wrote.

use super::address::{Discovery, Host, Login};
use super::checks::{Facts, Unsafe};
use super::keys::{LIBRARY, SLOTS};
use super::options::RedisOptions;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, IntoConnectionInfo, Pipeline, ProtocolVersion,
    RedisConnectionInfo, TlsCertificates, Value,
};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::timeout;

/// Why there is no connection to where the rooms are.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum LinkError {
    #[error("{host}: {reason}")]
    Failed { host: Host, reason: String },
    #[error("{host}: no answer within {} ms", after.as_millis())]
    Silent { host: Host, after: Duration },
    #[error("{host} is a replica")]
    NotPrimary { host: Host },
    #[error("{host}: {source}")]
    Unsafe { host: Host, source: Unsafe },
    #[error("no majority of the {asked} Sentinels names a primary for `{service}`")]
    NoMajority { asked: usize, service: String },
    #[error("the Cluster serves {served} of {SLOTS} slots")]
    Slots { served: usize },
}

/// Which server has which slot.
#[derive(Debug, Clone)]
pub(super) struct Topology {
    pub(super) hosts: Vec<Host>,
    /// Index into `hosts` per slot; empty when there is one server.
    slots: Vec<u16>,
}

impl Topology {
    pub(super) fn host_of(&self, slot: u16) -> usize {
        self.slots.get(usize::from(slot)).copied().map_or(0, usize::from)
    }
}

/// Answers in order; errors of single commands are values.
pub(super) async fn exchange(
    connection: &mut MultiplexedConnection,
    pipeline: &Pipeline,
    count: usize,
) -> Result<Vec<Value>, String> {
    let answers = connection.send_packed_commands(pipeline, 0, count).await;
    let answers = answers.map_err(|error| error.to_string())?;
    if answers.len() == count { Ok(answers) } else { Err("the number of answers is wrong".to_owned()) }
}

/// Code and text of a server's error; `None` for every other value.
pub(super) fn refusal(value: &Value) -> Option<(String, String)> {
    let Value::ServerError(_) = value else { return None };
    let error = value.clone().extract_error().err()?;
    Some((error.code().unwrap_or("ERR").to_owned(), error.detail().unwrap_or_default().to_owned()))
}

pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.clone()),
        Value::Okay => Some("OK".to_owned()),
        _ => None,
    }
}

/// A connection without any question asked.
async fn dial(
    options: &RedisOptions,
    host: &Host,
    login: &Login,
    database: u32,
) -> Result<MultiplexedConnection, LinkError> {
    let failed = |reason: String| LinkError::Failed { host: host.clone(), reason };
    let Host { name, port } = host.clone();
    let address = if options.address.tls {
        ConnectionAddr::TcpTls { host: name, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(name, port)
    };
    let mut redis = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP2)
        .set_skip_set_lib_name()
        .set_db(database.into());
    if let Some(user) = &login.user {
        redis = redis.set_username(user);
    }
    if let Some(password) = &login.password {
        redis = redis.set_password(password);
    }
    let patience = options.wait_timeout + options.answer_timeout;
    let tcp = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(patience);
    let info = address.into_connection_info().map_err(|error| failed(error.to_string()))?;
    let info = info.set_redis_settings(redis).set_tcp_settings(tcp);
    let client = if options.address.tls {
        let certificates = TlsCertificates { client_tls: None, root_cert: options.root_certificate.clone() };
        Client::build_with_tls(info, certificates)
    } else {
        Client::open(info)
    };
    let client = client.map_err(|error| failed(error.to_string()))?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(options.connect_timeout))
        .set_response_timeout(Some(patience));
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    match timeout(options.connect_timeout, connecting).await {
        Ok(connection) => connection.map_err(|error| failed(error.to_string())),
        Err(_) => Err(LinkError::Silent { host: host.clone(), after: options.connect_timeout }),
    }
}

/// A few questions within the time for a connection.
async fn ask(
    options: &RedisOptions,
    host: &Host,
    connection: &mut MultiplexedConnection,
    commands: Vec<Cmd>,
) -> Result<Vec<Value>, LinkError> {
    let mut pipeline = Pipeline::new();
    let count = commands.len();
    for command in commands {
        pipeline.add_command(command);
    }
    match timeout(options.connect_timeout, exchange(connection, &pipeline, count)).await {
        Ok(answers) => answers.map_err(|reason| LinkError::Failed { host: host.clone(), reason }),
        Err(_) => Err(LinkError::Silent { host: host.clone(), after: options.connect_timeout }),
    }
}

fn command(words: &[&str]) -> Cmd {
    let mut command = Cmd::new();
    for word in words {
        command.arg(*word);
    }
    command
}

pub(super) fn load_library() -> Cmd {
    command(&["FUNCTION", "LOAD", &LIBRARY.0])
}

/// Did loading the library leave it there? It is also there when another node loaded it; a server without memory
/// refuses the command even then.
pub(super) fn library_loaded(answer: &Value) -> bool {
    refusal(answer).is_none_or(|(code, text)| code == "OOM" || text.contains("already exists"))
}

/// A connection to a primary that may keep rooms and knows the functions.
pub(super) async fn open(
    options: &RedisOptions,
    host: &Host,
) -> Result<(MultiplexedConnection, Facts), LinkError> {
    let mut connection = dial(options, host, &options.address.login, options.address.database).await?;
    let answers = ask(options, host, &mut connection, vec![command(&["INFO"])]).await?;
    let failed = |reason: String| LinkError::Failed { host: host.clone(), reason };
    let facts = match (text(&answers[0]), refusal(&answers[0])) {
        (Some(info), _) => Facts::read(&info),
        (None, Some((code, text))) => return Err(failed(format!("{code} {text}"))),
        (None, None) => return Err(failed("INFO is answered strangely".to_owned())),
    };
    facts.admit().map_err(|source| LinkError::Unsafe { host: host.clone(), source })?;
    if !facts.primary {
        return Err(LinkError::NotPrimary { host: host.clone() });
    }
    let answers = ask(options, host, &mut connection, vec![load_library()]).await?;
    match refusal(&answers[0]) {
        Some((code, text)) if !library_loaded(&answers[0]) => Err(failed(format!("{code} {text}"))),
        _ => Ok((connection, facts)),
    }
}

/// Asks where the primaries are.
pub(super) async fn discover(options: &RedisOptions) -> Result<Topology, LinkError> {
    match &options.address.discovery {
        Discovery::Server(host) => {
            let mut connection = dial(options, host, &options.address.login, 0).await?;
            let answers = ask(options, host, &mut connection, vec![command(&["INFO", "cluster"])]).await?;
            if text(&answers[0]).is_some_and(|info| Facts::read(&info).cluster) {
                slots(options, host, &mut connection).await
            } else {
                Ok(Topology { hosts: vec![host.clone()], slots: Vec::new() })
            }
        }
        Discovery::Cluster(hosts) => {
            let mut last = LinkError::Slots { served: 0 };
            for host in hosts {
                let found = match dial(options, host, &options.address.login, 0).await {
                    Ok(mut connection) => slots(options, host, &mut connection).await,
                    Err(error) => Err(error),
                };
                match found {
                    Ok(topology) => return Ok(topology),
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
        Discovery::Sentinels { hosts, service } => {
            let asked = hosts.iter().map(|host| {
                let (options, host, service) = (options.clone(), host.clone(), service.clone());
                tokio::spawn(async move { primary(&options, &host, &service).await })
            });
            // Spawned first, awaited then: a dead Sentinel costs its timeout once, not once each.
            let asked: Vec<_> = asked.collect();
            let mut votes: HashMap<Host, usize> = HashMap::new();
            for answer in asked {
                if let Ok(Some(primary)) = answer.await {
                    *votes.entry(primary).or_default() += 1;
                }
            }
            match votes.into_iter().find(|(_, votes)| votes * 2 > hosts.len()) {
                Some((primary, _)) => Ok(Topology { hosts: vec![primary], slots: Vec::new() }),
                None => Err(LinkError::NoMajority { asked: hosts.len(), service: service.clone() }),
            }
        }
    }
}

/// What one Sentinel believes.
async fn primary(options: &RedisOptions, sentinel: &Host, service: &str) -> Option<Host> {
    let mut connection = dial(options, sentinel, &options.address.sentinel_login, 0).await.ok()?;
    let question = command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", service]);
    let answers = ask(options, sentinel, &mut connection, vec![question]).await.ok()?;
    let Value::Array(parts) = answers.first()? else { return None };
    Some(Host { name: text(parts.first()?)?, port: text(parts.get(1)?)?.parse().ok()? })
}

/// Reads `CLUSTER SLOTS`.
async fn slots(
    options: &RedisOptions,
    host: &Host,
    connection: &mut MultiplexedConnection,
) -> Result<Topology, LinkError> {
    let answers = ask(options, host, connection, vec![command(&["CLUSTER", "SLOTS"])]).await?;
    if let Some((code, text)) = refusal(&answers[0]) {
        return Err(LinkError::Failed { host: host.clone(), reason: format!("{code} {text}") });
    }
    read_slots(&answers[0], host).map_err(|served| LinkError::Slots { served })
}

/// Hosts and slots of a `CLUSTER SLOTS` answer given by `asked`; the number of slots served if it is not all of them.
fn read_slots(answer: &Value, asked: &Host) -> Result<Topology, usize> {
    let mut topology = Topology { hosts: Vec::new(), slots: vec![u16::MAX; SLOTS] };
    let Value::Array(ranges) = answer else { return Err(0) };
    for range in ranges {
        let Value::Array(range) = range else { continue };
        let (Some(Value::Int(first)), Some(Value::Int(last)), Some(Value::Array(primary))) =
            (range.first(), range.get(1), range.get(2))
        else {
            continue;
        };
        // A server that does not know its own name sends nothing: it is the one that was asked.
        let name = primary.first().and_then(text).filter(|name| !name.is_empty());
        let Some(Value::Int(port)) = primary.get(1) else { continue };
        let Ok(port) = u16::try_from(*port) else { continue };
        let host = Host { name: name.unwrap_or_else(|| asked.name.clone()), port };
        let index = topology.hosts.iter().position(|known| *known == host).unwrap_or_else(|| {
            topology.hosts.push(host);
            topology.hosts.len() - 1
        });
        let (Ok(first), Ok(last)) = (usize::try_from(*first), usize::try_from(*last)) else { continue };
        if let (Some(range), Ok(index)) = (topology.slots.get_mut(first..=last), u16::try_from(index)) {
            range.fill(index);
        }
    }
    match topology.slots.iter().filter(|slot| **slot != u16::MAX).count() {
        SLOTS => Ok(topology),
        served => Err(served),
    }
}
