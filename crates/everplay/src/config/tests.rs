//! Where a setting comes from, which place wins, and what a wrong one says.

use super::*;
use std::ffi::OsString;

fn sources(file: Option<&str>, environment: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Sources {
    Sources {
        flags: flags.iter().map(|(key, text)| (*key, (*text).to_owned())).collect(),
        environment: environment
            .iter()
            .map(|(name, text)| (OsString::from(name), OsString::from(text)))
            .collect(),
        file: file.map(|text| (PathBuf::from("everplay.toml"), text.to_owned())),
    }
}

fn port(resolved: &Resolved) -> (u16, String) {
    let row = resolved.rows.iter().find(|row| row.key == "port").unwrap();
    (resolved.config.port, row.source.to_string())
}

fn problem(sources: Sources) -> String {
    sources.resolve().unwrap_err().to_string()
}

#[test]
fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
    let file = Some("port = 1001");
    let env: &[_] = &[("PORT", "1002")];
    let flag: &[_] = &[("port", "1003")];
    assert_eq!(port(&sources(None, &[], &[]).resolve().unwrap()), (2567, "default".into()));
    assert_eq!(port(&sources(file, &[], &[]).resolve().unwrap()), (1001, "file everplay.toml".into()));
    assert_eq!(port(&sources(file, env, &[]).resolve().unwrap()), (1002, "environment PORT".into()));
    assert_eq!(port(&sources(file, env, flag).resolve().unwrap()), (1003, "flag --port".into()));
}

#[test]
fn every_kind_of_value_reads_back_what_it_shows() {
    fn check<T: Value + PartialEq + std::fmt::Debug>(text: &str, value: T) {
        assert_eq!(T::read(text).as_ref(), Ok(&value));
        assert_eq!(T::read(&value.show()), Ok(value));
    }
    check("true", true);
    check("2567", 2567u16);
    check("10_000", 10_000usize);
    check("250ms", Duration::from_millis(250));
    check("90s", Duration::from_secs(90));
    check("5m", Duration::from_secs(300));
    check("64KiB", Size(65_536));
    check("1MiB", Size(1 << 20));
    check("4097", Size(4097));
    check::<Vec<everplay_gateway::Network>>(
        "10.0.0.0/8, ::1",
        vec!["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()],
    );
    check("::1", "::1".parse::<IpAddr>().unwrap());
    check("memory", Storage::Memory);
    check("json", LogFormat::Json);
    for setting in SETTINGS {
        let environment = [(setting.env, (setting.default)())];
        let environment: Vec<_> = environment.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let resolved = sources(None, &environment, &[]).resolve().unwrap();
        assert_eq!(resolved.config, Config::default(), "{} reads back its default", setting.key);
    }
}

#[test]
fn what_is_wrong_names_its_key_and_its_place() {
    assert_eq!(
        problem(sources(Some("prot = 1"), &[], &[])),
        "everplay.toml: there is no setting `prot`; did you mean `port`?"
    );
    assert_eq!(
        problem(sources(None, &[("EVERPLAY_DATADIR", "x")], &[])),
        "environment variable EVERPLAY_DATADIR: there is no such setting; did you mean `EVERPLAY_DATA_DIR`?"
    );
    assert_eq!(
        problem(sources(None, &[("EVERPLAY_PORT", "8080")], &[])),
        "environment variable EVERPLAY_PORT: there is no such setting; did you mean `PORT`?"
    );
    assert_eq!(
        problem(sources(None, &[("PORT", "http")], &[])),
        "setting `port` from environment PORT: the value must be a port number, 0 to 65535"
    );
    assert_eq!(
        problem(sources(None, &[], &[("max_rooms", "0")])),
        "setting `max_rooms` from flag --max-rooms: the value must be a whole number above 0"
    );
    assert_eq!(
        problem(sources(Some("[port]\nnumber = 1"), &[], &[])),
        "setting `port` from file everplay.toml: the value must be a text, a list of texts, a number, or true or false"
    );
    assert_eq!(
        problem(sources(Some("shutdown_deadline = \"10\""), &[], &[])),
        "setting `shutdown_deadline` from file everplay.toml: the value must be a time such as 250ms, 10s, 5m or 2h"
    );
    assert!(
        problem(sources(Some("port ="), &[], &[]))
            .starts_with("the configuration file everplay.toml is not valid TOML")
    );
}

#[test]
fn redis_can_be_switched_off_where_its_address_is_set() {
    let both: &[_] = &[("REDIS_URL", "redis://r"), ("DATABASE_URL", "postgres://d")];
    let config = |more: &[(&str, &str)]| sources(None, &[both, more].concat(), &[]).resolve().unwrap().config;
    assert!(config(&[]).uses_redis());
    let off = config(&[("REDIS_ENABLED", "false")]);
    assert_eq!((off.stores().unwrap(), off.uses_redis()), (Stores::Sqlite, false));
    let fresh = config(&[("GAME_HYDRATION_ENABLED", "false")]).stores().unwrap_err().to_string();
    assert!(fresh.contains("in a cluster the other nodes bring rooms back"), "{fresh}");
}

#[test]
fn the_stores_of_a_cluster_come_together_and_exclude_the_others() {
    let (redis, database) =
        (("REDIS_URL", "redis://:hunter2@r"), ("DATABASE_URL", "postgres://u:hunter2@d/x"));
    let stores = |environment: &[(&'static str, &'static str)]| {
        let config = sources(None, environment, &[]).resolve().unwrap().config;
        assert!(!format!("{config:?}").contains("hunter2"));
        config.stores().map(|stores| stores == Stores::Sqlite).map_err(|error| error.to_string())
    };
    assert_eq!(stores(&[]), Ok(true));
    assert_eq!(stores(&[redis, database]), Ok(false));
    let alone = stores(&[redis]).unwrap_err();
    assert!(alone.starts_with("`redis_url` is set and `database_url` is not"), "{alone}");
    assert!(alone.contains("set DATABASE_URL too, or neither"), "{alone}");
    assert!(stores(&[database]).unwrap_err().contains("set REDIS_URL too"));
    let memory = stores(&[redis, database, ("EVERPLAY_STORAGE", "memory")]).unwrap_err();
    assert!(memory.starts_with("`storage` is memory, but"), "{memory}");
    let open = ("EVERPLAY_LINK_HOST", "0.0.0.0");
    assert!(stores(&[redis, database, open]).unwrap_err().contains("EVERPLAY_CLUSTER_KEY"));
    let key = ("EVERPLAY_CLUSTER_KEY", "0123456789abcdef0123456789abcdef");
    assert_eq!(stores(&[redis, database, open, key]), Ok(false));
    let files = [("EVERPLAY_LINK_CERT", "a"), ("EVERPLAY_LINK_KEY", "b"), ("EVERPLAY_LINK_CA", "c")];
    let bare = stores(&[redis, database, open, files[0], files[1], files[2]]).unwrap_err();
    assert!(bare.contains("EVERPLAY_ACCOUNTS_KEY"), "{bare}");
    let accounts = ("EVERPLAY_ACCOUNTS_KEY", "0123456789abcdef0123456789abcdef");
    assert_eq!(stores(&[redis, database, open, files[0], files[1], files[2], accounts]), Ok(false));
    let part = stores(&[redis, database, key, files[0], files[1]]).unwrap_err();
    assert!(part.contains("set all three or none"), "{part}");
}

#[test]
fn secrets_are_hidden_wherever_settings_are_shown() {
    let environment = [
        ("REDIS_URL", "redis://:hunter2@r"),
        ("DATABASE_URL", "postgres://u:hunter2@d/x"),
        ("EVERPLAY_CLUSTER_KEY", "hunter2hunter2hunter2hunter2hunter2"),
    ];
    let resolved = sources(None, &environment, &[]).resolve().unwrap();
    assert!(!format!("{resolved:?}").contains("hunter2"), "{resolved:?}");
    for key in ["redis_url", "database_url", "cluster_key"] {
        let row = resolved.rows.iter().find(|row| row.key == key).unwrap();
        assert_eq!(row.value, "••••••••");
    }
    let short = problem(sources(None, &[("EVERPLAY_CLUSTER_KEY", "hunter2")], &[]));
    assert!(short.ends_with("the value must have at least 32 characters"), "{short}");
    let words = problem(sources(None, &[("REDIS_URL", "hunter2")], &[]));
    assert!(words.ends_with("the value must be a URL"), "{words}");
}

#[test]
fn variables_that_kubernetes_makes_for_a_service_are_not_mistakes() {
    let variables = [
        ("EVERPLAY_PORT", "tcp://10.0.0.1:2567"),
        ("EVERPLAY_SERVICE_HOST", "10.0.0.1"),
        ("EVERPLAY_SERVICE_PORT_HTTP", "2567"),
        ("EVERPLAY_GATEWAY_PORT_2567_TCP_ADDR", "10.0.0.1"),
    ];
    assert_eq!(sources(None, &variables, &[]).resolve().unwrap().config, Config::default());
}

#[test]
fn the_page_in_the_documentation_is_the_one_the_settings_make() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        page == markdown(),
        "docs/configuration.md is out of date; write it with: cargo run -- config --markdown > docs/configuration.md"
    );
}
