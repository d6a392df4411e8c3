//! What a stranger reads first, and what a wrong call is told.

use super::*;

/// Compares with a file beside this one. `UPDATE_SNAPSHOTS=1 cargo test -p everplay` writes it anew.
fn check(name: &str, text: &str) {
    let path = format!("{}/src/cli/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == text, "{name} differs from {path}; it is now:\n{text}");
}

fn help(subcommand: Option<&str>) -> String {
    let mut command = command("0.0.0").term_width(110);
    match subcommand {
        Some(name) => command.find_subcommand_mut(name).unwrap().clone().term_width(110).render_long_help(),
        None => command.render_long_help(),
    }
    .to_string()
}

#[test]
fn the_help_is_what_was_read_and_agreed_to() {
    check("help", &help(None));
    check("help-serve", &help(Some("serve")));
    check("help-bench", &help(Some("bench")));
    check("help-chaos", &help(Some("chaos")));
}

fn task(arguments: &[&str]) -> Task {
    let arguments = std::iter::once("everplay").chain(arguments.iter().copied()).map(OsString::from);
    parse("0.0.0", arguments, []).unwrap()
}

#[test]
fn serving_is_what_happens_without_a_command() {
    let port = |arguments: &[&str]| match task(arguments) {
        Task::Serve(resolved) => resolved.config.port,
        other => panic!("{other:?}"),
    };
    assert_eq!(port(&[]), 2567);
    assert_eq!(port(&["--port", "80"]), 80);
    assert_eq!(port(&["serve", "--port=81"]), 81);
}

#[test]
fn chaos_does_what_is_named_in_its_own_order() {
    let faults = |arguments: &[&str]| match task(arguments) {
        Task::Chaos(task) => task.faults,
        other => panic!("{other:?}"),
    };
    assert_eq!(faults(&["chaos"]), Fault::ALL);
    assert_eq!(faults(&["chaos", "--scenario", "redis,kill"]), [Fault::Kill, Fault::Redis]);
}

#[test]
fn a_switch_needs_no_value_but_takes_one() {
    let switched = |arguments: &[&str]| match task(arguments) {
        Task::Serve(resolved) => resolved.config.bench_rooms,
        other => panic!("{other:?}"),
    };
    assert!(switched(&["--bench-rooms"]));
    assert!(!switched(&["--bench-rooms=false"]));
}

#[test]
fn the_file_is_named_by_flag_or_variable_and_must_exist() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("everplay.toml");
    std::fs::write(&file, "port = 4000\n").unwrap();
    let parse = |arguments: Vec<OsString>, environment: Vec<(OsString, OsString)>| {
        let arguments = std::iter::once("everplay".into()).chain(arguments);
        match parse("0.0.0", arguments, environment) {
            Ok(Task::Serve(resolved)) => Ok(resolved.config.port),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    };
    assert_eq!(parse(vec!["--config".into(), file.clone().into()], vec![]), Ok(4000));
    assert_eq!(parse(vec![], vec![("EVERPLAY_CONFIG".into(), file.into())]), Ok(4000));
    let missing = parse(vec!["--config".into(), "/nowhere.toml".into()], vec![]).unwrap_err();
    assert!(missing.starts_with("the configuration file /nowhere.toml cannot be read"), "{missing}");
}

#[test]
fn the_command_is_consistent() {
    command("0.0.0").debug_assert();
}

#[test]
fn a_room_may_begin_with_a_dash() {
    match task(&["inspect", "-zroom_0A", "--data-dir", "/nowhere"]) {
        Task::Inspect { room, .. } => assert_eq!(room, "-zroom_0A"),
        other => panic!("{other:?}"),
    }
}
