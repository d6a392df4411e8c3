//! The command line every server has: built from the settings, so that no flag is without its documentation.
//!
//! Running without a subcommand is `serve`: a platform that knows only how to start a program starts a server.

use crate::config::{CONFIG_VARIABLE, ConfigError, Resolved, SETTINGS, Sources};
use crate::{Result, ctl};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Task {
    /// Run the server.
    Serve(Resolved),
    /// Print the settings in force.
    ShowConfig(Resolved),
    /// Print the settings as documentation.
    ConfigPage,
    /// List the rooms a stopped server keeps.
    Rooms(Resolved),
    /// Print one room a stopped server keeps.
    Inspect {
        /// Where it is kept.
        resolved: Resolved,
        /// Its id.
        room: String,
    },
    /// Make the tables of the record store in DynamoDB.
    #[cfg_attr(not(feature = "dynamodb"), expect(dead_code, reason = "a program without it says so"))]
    Tables {
        /// Where.
        resolved: Resolved,
        /// Only look whether they are there.
        check: bool,
    },
    /// Ask a running cluster.
    Ctl(ctl::Task),
    /// Measure.
    Bench(BenchTask),
    /// Break a whole region and look whether its players notice.
    #[cfg_attr(
        not(any(feature = "cluster", test)),
        expect(dead_code, reason = "a program without it says so")
    )]
    Chaos(ChaosTask),
    /// A region to try.
    #[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "a program without it says so"))]
    Cluster(ClusterTask),
}

/// What `cluster` is asked for.
#[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "a program without it says so"))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClusterTask {
    /// Of the page.
    pub(crate) port: u16,
    /// Nodes of the region.
    pub(crate) nodes: usize,
}

/// What `chaos` is asked for.
#[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "a program without it says so"))]
#[derive(Debug, Clone)]
pub(crate) struct ChaosTask {
    /// What is done, in this order.
    pub(crate) faults: Vec<Fault>,
    /// How often each of them.
    pub(crate) repeat: usize,
    /// Nodes of the region.
    pub(crate) nodes: usize,
    /// Rooms that are played in.
    pub(crate) rooms: usize,
    /// Players.
    pub(crate) clients: usize,
    /// How many of the players are real SDKs.
    pub(crate) sdk: usize,
    /// Where the SDK is; `None`: looked for.
    pub(crate) sdk_folder: Option<PathBuf>,
    /// Arenas of ships beside the rooms.
    pub(crate) arenas: usize,
    /// Shorter outages, fewer rooms.
    pub(crate) short: bool,
    /// Write the numbers here as JSON.
    pub(crate) json: Option<PathBuf>,
    /// Write JSON and a page into this folder.
    pub(crate) report: Option<PathBuf>,
    /// This is the part of another run that plays in a network namespace: what it came to goes here.
    pub(crate) inside: Option<PathBuf>,
}

/// What `bench` is asked for.
#[derive(Debug, Clone)]
pub(crate) struct BenchTask {
    /// Connections under load.
    pub(crate) clients: usize,
    /// Length of one measured round.
    pub(crate) round: Duration,
    /// Measured rounds per contestant, or kills.
    pub(crate) rounds: usize,
    /// Joined and idle connections whose memory is measured.
    pub(crate) idle: usize,
    /// Echo messages per second over all clients.
    pub(crate) echo_rate: u32,
    /// Kill and restart instead of measuring speed.
    pub(crate) crash: bool,
    /// Write the numbers here as JSON.
    pub(crate) json: Option<PathBuf>,
}

/// One kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL of a node, with the rooms and the sockets it has.
    Kill,
    /// SIGKILL of a node that has sockets and no rooms any more.
    Gateway,
    /// A node stands still (SIGSTOP) and wakes up later, believing that it still owns its rooms.
    Freeze,
    /// SIGKILL of the primary of Redis.
    Redis,
    /// The primary of Redis is cut off from its replicas, then killed.
    RedisCut,
    /// SIGKILL of a replica of Redis.
    Replica,
    /// Every node is asked to stop and started again, one after the other.
    Rolling,
    /// The primary of PostgreSQL is lost, and away for a while.
    Arbiter,
    /// Every socket of the region breaks at once.
    Herd,
    /// A client sends what makes its room panic, again and again.
    Poison,
    /// A zone is cut off from everything else, and comes back.
    Partition,
    /// A node dies with a thousand rooms.
    Thousand,
}

impl Fault {
    /// All of them, in the order in which they are done.
    pub(crate) const ALL: [Fault; 12] = [
        Fault::Kill,
        Fault::Gateway,
        Fault::Freeze,
        Fault::Redis,
        Fault::RedisCut,
        Fault::Replica,
        Fault::Rolling,
        Fault::Arbiter,
        Fault::Herd,
        Fault::Poison,
        Fault::Partition,
        Fault::Thousand,
    ];

    /// As it is called on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Fault::Kill => "kill",
            Fault::Gateway => "gateway",
            Fault::Freeze => "freeze",
            Fault::Redis => "redis",
            Fault::RedisCut => "redis-cut",
            Fault::Replica => "replica",
            Fault::Rolling => "rolling",
            Fault::Arbiter => "arbiter",
            Fault::Herd => "herd",
            Fault::Poison => "poison",
            Fault::Partition => "partition",
            Fault::Thousand => "thousand",
        }
    }
}

/// Reads the arguments. On `--help`, `--version` and mistakes it prints and ends the process, as clap does.
pub(crate) fn parse(
    version: &'static str,
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Task> {
    let matches = command(version).get_matches_from(with_subcommand(arguments));
    let environment: Vec<_> = environment.into_iter().collect();
    let (name, matches) = matches.subcommand().expect("clap demands a subcommand");
    Ok(match name {
        "serve" => Task::Serve(settings(matches, environment)?),
        "config" if matches.get_flag("markdown") => Task::ConfigPage,
        "config" => Task::ShowConfig(settings(matches, environment)?),
        "rooms" => Task::Rooms(settings(matches, environment)?),
        "inspect" => Task::Inspect {
            resolved: settings(matches, environment)?,
            room: matches.get_one::<String>("room").expect("clap demands it").clone(),
        },
        "tables" => {
            Task::Tables { resolved: settings(matches, environment)?, check: matches.get_flag("check") }
        }
        "ctl" => Task::Ctl(ctl::task(matches, &environment)?),
        "bench" => Task::Bench(bench(matches)),
        "chaos" => Task::Chaos(chaos(matches)),
        "cluster" => {
            let number = |name: &str| *matches.get_one::<u64>(name).expect("it has a default");
            Task::Cluster(ClusterTask {
                port: u16::try_from(number("port")).expect("clap bounds it"),
                nodes: usize::try_from(number("nodes")).expect("clap bounds it"),
            })
        }
        _ => unreachable!("clap knows these subcommands only"),
    })
}

/// `everplay --port 80` and `everplay` alone mean `everplay serve ...`.
fn with_subcommand(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let asks_for_all =
        |first: &OsString| ["-h", "--help", "-V", "--version"].iter().any(|flag| first == flag);
    let serve = match arguments.get(1) {
        None => true,
        Some(first) => !asks_for_all(first) && first.to_str().is_some_and(|first| first.starts_with('-')),
    };
    if serve {
        arguments.insert(arguments.len().min(1), "serve".into());
    }
    arguments
}

fn settings(matches: &ArgMatches, environment: Vec<(OsString, OsString)>) -> Result<Resolved, ConfigError> {
    let named = environment.iter().find(|(name, value)| name == CONFIG_VARIABLE && !value.is_empty());
    let file = matches.get_one::<PathBuf>("config").cloned().or(named.map(|(_, value)| PathBuf::from(value)));
    let flags = SETTINGS.iter().filter_map(|setting| {
        let text = matches.try_get_one::<String>(setting.key).ok().flatten()?;
        Some((setting.key, text.clone()))
    });
    let mut sources = Sources { flags: flags.collect(), environment, file: None };
    if let Some(path) = file {
        sources.read_file(&path)?;
    }
    sources.resolve()
}

fn bench(matches: &ArgMatches) -> BenchTask {
    let number = |name: &str| *matches.get_one::<u64>(name).expect("it has a default");
    let count = |name: &str| usize::try_from(number(name)).expect("clap bounds it");
    let crash = matches.get_flag("crash");
    let rounds = matches.get_one::<u64>("rounds").copied().unwrap_or(if crash { 20 } else { 3 });
    BenchTask {
        clients: count("clients"),
        round: Duration::from_secs(number("seconds")),
        rounds: usize::try_from(rounds).expect("clap bounds it"),
        idle: count("idle"),
        echo_rate: u32::try_from(number("echo-rate")).expect("clap bounds it"),
        crash,
        json: matches.get_one::<PathBuf>("json").cloned(),
    }
}

fn chaos(matches: &ArgMatches) -> ChaosTask {
    let number = |name: &str| {
        let number = *matches.get_one::<u64>(name).expect("it has a default");
        usize::try_from(number).expect("clap bounds it")
    };
    let named: Vec<&String> = matches.get_many("scenario").map(Iterator::collect).unwrap_or_default();
    let all = named.iter().any(|name| *name == "all");
    let wanted = |fault: &Fault| all || named.iter().any(|name| *name == fault.name());
    ChaosTask {
        faults: Fault::ALL.into_iter().filter(wanted).collect(),
        repeat: number("repeat"),
        nodes: number("nodes"),
        rooms: number("rooms"),
        clients: number("clients"),
        sdk: number("sdk"),
        sdk_folder: matches.get_one::<PathBuf>("sdk-folder").cloned(),
        arenas: number("arenas"),
        short: matches.get_flag("short"),
        json: matches.get_one::<PathBuf>("json").cloned(),
        report: matches.get_one::<PathBuf>("report").cloned(),
        inside: matches.get_one::<PathBuf>("inside").cloned(),
    }
}

fn chaos_command() -> Command {
    let faults = Fault::ALL.map(Fault::name);
    Command::new("chaos")
        .about("Break a whole region on this machine and check that its players lose nothing")
        .long_about(
            "Starts a balancer, nodes, Redis with two replicas and three Sentinels, and PostgreSQL with a synchronous \
             standby on free ports of 127.0.0.1, has bots play, and breaks one part after the other. Needs \
             redis-server and PostgreSQL's programs; it says how to install what is missing. Every frame is checked: \
             nothing that was shown may be lost, repeated or contradicted, by other frames or by the journals. \
             Pauses are printed beside what is promised. Progress goes to standard error. The exit code is 1 when \
             something that was shown was not true.\n\n\
             kill: SIGKILL of a node with its rooms and sockets. gateway: SIGKILL of a node that has only sockets \
             left. freeze: SIGSTOP for 30 s. redis: SIGKILL of the primary. redis-cut: the primary is cut off from its \
             replicas, then killed. replica: SIGKILL of a replica. rolling: every node is asked to stop and started \
             again. arbiter: the primary of PostgreSQL is lost and away for 60 s. herd: all sockets break at once. \
             poison: clients make their rooms panic. partition: a zone is cut off for 20 s; this needs network \
             namespaces and a region of its own, and is left out with a word where they are not permitted. thousand: \
             a node dies with 1,000 rooms.\n\n\
             Some of the players are real SDKs of 0.18, run by node, when both are found; some fly in arenas of the \
             room kind `spaaace`, when this program has it.",
        )
        .arg(
            Arg::new("scenario")
                .long("scenario")
                .alias("faults")
                .value_name("LIST")
                .value_delimiter(',')
                .value_parser(clap::builder::PossibleValuesParser::new(
                    faults.into_iter().chain(std::iter::once("all")),
                ))
                .default_value("all")
                .help("What to break"),
        )
        .arg(number("repeat", "3", 1..=1_000, "How often each, except for `partition` and `thousand`"))
        .arg(number("nodes", "3", 1..=9, "Nodes of the region"))
        .arg(number("rooms", "60", 1..=1_000, "Rooms that are played in"))
        .arg(number("clients", "300", 1..=10_000, "Players, spread evenly over the rooms"))
        .arg(number("sdk", "12", 0..=1_000, "How many of the players are real SDKs"))
        .arg(path("sdk-folder", "DIR", "Where @colyseus/sdk 0.18 is installed [default: looked for from here upwards]"))
        .arg(number("arenas", "6", 0..=100, "Arenas beside the rooms, two pilots in each"))
        .arg(flag("short", "Shorter outages (5 s frozen, 10 s without PostgreSQL) and 200 rooms for a thousand"))
        .arg(path("report", "DIR", "Also write report.json and report.html into this folder"))
        .arg(path("json", "FILE", "Also write the numbers to a file"))
        .arg(path("inside", "FILE", "The run is a part of another").hide(true))
}

pub(crate) fn command(version: &'static str) -> Command {
    Command::new("everplay")
        .version(version)
        .about("A multiplayer game server whose rooms survive the end of its process")
        .after_help(
            "Without a command it serves. `everplay serve --help` lists the settings; every setting is also an \
             environment variable and a key of the file named with --config.",
        )
        .subcommand_required(true)
        .subcommand(
            Command::new("serve")
                .about("Run the server; this is what happens without a command")
                .long_about(
                    "Runs the server until it is told to stop.\n\nOn start it brings back every room of the data \
                     directory, then prints one line with its address. On SIGTERM or SIGINT it takes no more joins, \
                     makes every room durable, asks the clients to come back, and ends with 0; a second signal ends \
                     it at once. After a crash, start it again on the same data directory.",
                )
                .args(settings_arguments(|_| true)),
        )
        .subcommand(
            Command::new("config")
                .about("Print the settings in force and where each comes from; secrets are hidden")
                .arg(flag("markdown", "Print all settings as a page of documentation instead"))
                .args(settings_arguments(|_| true)),
        )
        .subcommand(
            Command::new("rooms")
                .about("List the rooms a stopped server keeps in its data directory")
                .args(settings_arguments(|key| key == "data_dir")),
        )
        .subcommand(
            Command::new("inspect")
                .about("Print a room of a stopped server as JSON, whatever its kind")
                .arg(room_argument("The room's id, as `rooms` lists it"))
                .args(settings_arguments(|key| key == "data_dir")),
        )
        .subcommand(
            Command::new("tables")
                .about("Make the tables in DynamoDB that games and tickets are kept in, and tell of those that differ")
                .arg(flag("check", "Make nothing; fail when one is missing or differs"))
                .args(settings_arguments(|key| key.starts_with("dynamodb"))),
        )
        .subcommand(ctl::command())
        .subcommand(bench_command())
        .subcommand(chaos_command())
        .subcommand(
            Command::new("cluster")
                .about("A whole region on this machine to try: the game, and beside it its nodes with a kill button each")
                .arg(number("port", "2567", 0..=65_535, "Port of the page; 0 takes a free one"))
                .arg(number("nodes", "3", 1..=9, "Nodes of the region")),
        )
}

fn bench_command() -> Command {
    Command::new("bench")
        .about("Measure this server on this machine, or kill it over and over and check that nothing is lost")
        .long_about(
            "Starts this program as a server of its own in a temporary directory, drives it with clients and \
             prints a table: processor time per delivered frame, echo times under load and memory per idle \
             connection, for rooms that are durable (Confirmed) and rooms that are not (Ephemeral), in rounds that \
             take turns. Progress goes to standard error.\n\nWith --crash the server is killed with SIGKILL under \
             load and started again, and every client is checked: it must resume by itself, its room's tick must \
             never go back. The exit code is 1 when one did.",
        )
        .arg(number("clients", "200", 1..=20_000, "Connections under load, 20 to a room"))
        .arg(number("seconds", "10", 1..=600, "Length of one measured round"))
        .arg(optional_number("rounds", 1..=1_000, "Rounds per contestant, or kills [default: 3, with --crash 20]"))
        .arg(number("idle", "1000", 0..=20_000, "Joined idle connections whose memory is measured; 0 skips it"))
        .arg(number("echo-rate", "200", 1..=100_000, "Echo messages per second over all clients"))
        .arg(flag("crash", "Kill the server under load and check that every client resumes and nothing is lost"))
        .arg(
            Arg::new("json")
                .long("json")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Also write the numbers to a file"),
        )
}

fn settings_arguments(wanted: fn(&str) -> bool) -> Vec<Arg> {
    let file = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help(format!("Read settings from this TOML file [env: {CONFIG_VARIABLE}]"));
    let argument = |setting: &'static crate::config::Setting| {
        let default = (setting.default)();
        let default = if default.is_empty() { String::new() } else { format!(" [default: {default}]") };
        let help = setting.help.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        let argument = Arg::new(setting.key).long(setting.flag()).value_name(setting.takes).help(format!(
            "{}{default} [env: {}]",
            help.trim_end(),
            setting.env
        ));
        if setting.takes == "true|false" {
            // `--bench-rooms` alone turns it on.
            argument.num_args(0..=1).require_equals(true).default_missing_value("true")
        } else {
            argument
        }
    };
    let settings = SETTINGS.iter().filter(|setting| wanted(setting.key)).map(argument);
    std::iter::once(file).chain(settings).collect()
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn path(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).value_parser(value_parser!(PathBuf)).help(help)
}

fn number(
    name: &'static str,
    default: &'static str,
    range: std::ops::RangeInclusive<u64>,
    help: &'static str,
) -> Arg {
    optional_number(name, range, help).default_value(default)
}

fn optional_number(name: &'static str, range: std::ops::RangeInclusive<u64>, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("N").value_parser(value_parser!(u64).range(range)).help(help)
}

/// The id of a room. One that begins with `-` is no option.
pub(crate) fn room_argument(help: &'static str) -> Arg {
    Arg::new("room").required(true).value_name("ROOM").allow_hyphen_values(true).help(help)
}

#[cfg(test)]
mod tests;
