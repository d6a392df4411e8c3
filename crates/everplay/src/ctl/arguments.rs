//! The arguments of `ctl`.

use super::{Action, Key, Task};
use crate::cli::room_argument;
use crate::{Error, Result};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use everplay_client::Endpoint;
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Holds the key when `--key-file` does not name a file; the server reads it there too.
const KEY_VARIABLE: &str = "EVERPLAY_CLUSTER_KEY";
/// Names the port of a server on this machine, as the server's own setting does.
const PORT_VARIABLE: &str = "PORT";

pub(crate) fn command() -> Command {
    let room = || room_argument("The room's id");
    let node = |help: &'static str| Arg::new("to").required(true).value_name("NODE").help(help);
    let on_node = |name: &'static str, about: &'static str| {
        Command::new(name)
            .about(about)
            .arg(node("The beginning of its name in `ctl nodes`, or its process or address"))
    };
    Command::new("ctl")
        .about("Ask a running node about its cluster, move rooms and empty nodes")
        .long_about(
            "Asks a running node about its cluster. Any node answers for all of them.\n\nThe request carries the \
             cluster's key, over HTTP without encryption: run this on the node's machine, or through a tunnel.",
        )
        .subcommand_required(true)
        .arg(
            Arg::new("node")
                .long("node")
                .global(true)
                .value_name("URL")
                .help(format!("A node [default: http://127.0.0.1:2567, or the port in {PORT_VARIABLE}]")),
        )
        .arg(
            Arg::new("key-file")
                .long("key-file")
                .global(true)
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help(format!("Read the cluster's key from this file [default: from {KEY_VARIABLE}]")),
        )
        .arg(
            Arg::new("clear-text")
                .long("clear-text")
                .global(true)
                .action(ArgAction::SetTrue)
                .help("Send the key to another machine although everyone on the way can read it"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .global(true)
                .action(ArgAction::SetTrue)
                .help("Print the node's answer as JSON"),
        )
        .subcommand(Command::new("nodes").about("List the nodes and how each is"))
        .subcommand(Command::new("rooms").about("List the rooms of all nodes"))
        .subcommand(Command::new("room").about("Show one room").arg(room()))
        .subcommand(
            Command::new("move")
                .about("Move a room to another node while it is played")
                .arg(room())
                .arg(node("Where to: the beginning of a name in `ctl nodes`, or its process or address")),
        )
        .subcommand(
            on_node("drain", "Let a node take no rooms and hand its own over, and wait until it has none").arg(
                Arg::new("wait")
                    .long("wait")
                    .value_name("SECONDS")
                    .default_value("90")
                    .value_parser(value_parser!(u64).range(0..=86_400))
                    .help("How long to wait for its last room; the exit code is 1 when some are left"),
            ),
        )
        .subcommand(on_node("undrain", "Let a drained node take rooms again"))
}

/// What the arguments ask for. Errors name what is missing and where it may be given.
pub(crate) fn task(matches: &ArgMatches, environment: &[(OsString, OsString)]) -> Result<Task> {
    let (name, action) = matches.subcommand().expect("clap demands a subcommand");
    let text = |name: &str| action.get_one::<String>(name).expect("clap demands it").clone();
    let variable = |wanted: &str| {
        let found = environment.iter().find(|(name, value)| name == wanted && !value.is_empty());
        found.and_then(|(_, value)| value.to_str())
    };
    let node = match action.get_one::<String>("node") {
        Some(url) => url.clone(),
        None => format!("http://127.0.0.1:{}", variable(PORT_VARIABLE).unwrap_or("2567")),
    };
    let node: Endpoint = node.parse().map_err(|error| Error::Command(format!("{node}: {error}")))?;
    if !is_here(node.authority()) && !action.get_flag("clear-text") {
        let problem = format!(
            "{} is another machine, and the cluster's key would travel there unencrypted; run this on that machine, or \
             use a tunnel, or say --clear-text",
            node.authority()
        );
        return Err(Error::Command(problem));
    }
    let key = match action.get_one::<PathBuf>("key-file") {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| Error::Command(format!("{}: {error}", path.display())))?
            .trim()
            .to_owned(),
        None => variable(KEY_VARIABLE).map(str::to_owned).ok_or_else(|| {
            Error::Command(format!(
                "the cluster's key is missing: set {KEY_VARIABLE} or name a file with --key-file"
            ))
        })?,
    };
    let action_of = match name {
        "nodes" => Action::Nodes,
        "rooms" => Action::Rooms,
        "room" => Action::Room { room: text("room") },
        "move" => Action::Move { room: text("room"), to: text("to") },
        "drain" => {
            let seconds = *action.get_one::<u64>("wait").expect("it has a default");
            Action::Drain { node: text("to"), wait: Duration::from_secs(seconds) }
        }
        "undrain" => Action::Undrain { node: text("to") },
        _ => unreachable!("clap knows these subcommands only"),
    };
    Ok(Task { node, key: Key(key), json: action.get_flag("json"), action: action_of })
}

/// Whether an authority is this machine without asking anyone.
fn is_here(authority: &str) -> bool {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Task> {
        let matches = command().get_matches_from(std::iter::once("ctl").chain(arguments.iter().copied()));
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        task(&matches, &environment)
    }

    const KEY: (&str, &str) = (KEY_VARIABLE, "the cluster's key");

    #[test]
    fn a_node_on_this_machine_is_the_default() {
        let node = |arguments: &[&str], environment: &[(&str, &str)]| {
            parse(arguments, environment).unwrap().node.authority().to_owned()
        };
        assert_eq!(node(&["nodes"], &[KEY]), "127.0.0.1:2567");
        assert_eq!(node(&["nodes"], &[KEY, ("PORT", "80")]), "127.0.0.1:80");
        assert_eq!(node(&["nodes", "--node", "http://[::1]:81"], &[KEY]), "[::1]:81");
        assert_eq!(node(&["--node", "http://localhost:82/", "rooms"], &[KEY]), "localhost:82");
    }

    #[test]
    fn the_key_does_not_leave_the_machine_unasked() {
        let far = ["nodes", "--node", "http://10.0.0.7:2567"];
        assert!(parse(&far, &[KEY]).unwrap_err().to_string().contains("unencrypted"));
        assert!(parse(&["nodes", "--node", "http://10.0.0.7:2567", "--clear-text"], &[KEY]).is_ok());
    }

    #[test]
    fn a_missing_key_is_named_and_a_present_one_hidden() {
        assert!(parse(&["nodes"], &[]).unwrap_err().to_string().contains(KEY_VARIABLE));
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("key");
        std::fs::write(&file, "from a file\n").unwrap();
        let task = parse(&["nodes", "--key-file", file.to_str().unwrap()], &[KEY]).unwrap();
        assert_eq!(task.key.0, "from a file");
        assert!(!format!("{task:?}").contains("from a file"));
    }
}
