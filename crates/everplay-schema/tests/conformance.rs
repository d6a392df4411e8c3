//! The recorded cases of the official encoder, and the official decoders on our bytes.

#[path = "../examples/vectors/case.rs"]
mod case;
#[path = "../examples/vectors/compare.rs"]
mod compare;
#[path = "../examples/vectors/run.rs"]
mod run;
#[path = "../examples/vectors/schema.rs"]
mod schema;
#[path = "../examples/vectors/views.rs"]
mod views;
#[path = "../examples/vectors/world.rs"]
mod world;

use everplay_schema::ArrayForm;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn outcomes(form: ArrayForm) -> Vec<(String, run::Outcome)> {
    let files = case::files(&folder("vectors")).expect("the cases are in the repository");
    assert_eq!(files.len(), 95);
    let outcomes = files.iter().map(|file| {
        let name = file.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        let outcome = case::load(file).and_then(|case| run::run(&case, form, true));
        (name.clone(), outcome.unwrap_or_else(|error| panic!("{name}: {error}")))
    });
    outcomes.collect()
}

#[test]
fn every_recorded_case_passes_in_both_forms() {
    for form in [ArrayForm::Native, ArrayForm::Portable] {
        for (name, outcome) in outcomes(form) {
            assert!(outcome.failures.is_empty(), "{name} {form:?}: {:#?}", outcome.failures);
        }
    }
}

/// Random cases with views, made with the official encoder and our own generator: what is shown, when and with which
/// tag, and mutations in between.
#[test]
fn views_get_what_the_official_encoder_gives_them() {
    let files = case::files(&folder("vectors-views")).expect("the cases are in the repository");
    assert!(files.len() >= 40, "{} cases", files.len());
    for (file, form) in files.iter().flat_map(|file| [(file, ArrayForm::Native), (file, ArrayForm::Portable)])
    {
        let outcome = case::load(file).and_then(|case| run::run(&case, form, true));
        let outcome = outcome.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(outcome.failures.is_empty(), "{} {form:?}: {:#?}", file.display(), outcome.failures);
    }
}

/// `byte-differences.json`: reason, then case, then places. Every place that differs is listed, and every listed
/// place differs.
#[test]
fn bytes_differ_from_the_official_ones_only_where_listed() {
    let text =
        std::fs::read_to_string(folder("byte-differences.json")).expect("the list is in the repository");
    let listed: BTreeMap<String, BTreeMap<String, Vec<String>>> =
        serde_json::from_str(&text).expect("the list is JSON");
    let flat = listed.values().flatten();
    let listed: BTreeSet<(String, String)> = flat
        .flat_map(|(case, places)| places.iter().map(move |place| (case.clone(), place.clone())))
        .collect();
    let found: BTreeSet<(String, String)> = outcomes(ArrayForm::Native)
        .into_iter()
        .flat_map(|(name, outcome)| outcome.differences.into_iter().map(move |place| (name.clone(), place)))
        .collect();
    let new: Vec<_> = found.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(new.is_empty() && gone.is_empty(), "not listed: {new:#?}\nlisted without need: {gone:#?}");
}

/// Cases a generation cannot decode, with array changes in the native form.
const NATIVE_ONLY: [&str; 4] =
    ["array-prim-shift-unshift", "array-prim-splice", "array-ref-splice", "array-ref-unshift"];
/// Cases with types only schema 5 has.
const SCHEMA_5_ONLY: [&str; 3] = ["quantized", "stream-broadcast", "view-stream"];

#[test]
fn official_decoders_hold_the_recorded_states() {
    let official = folder("official");
    if !official.join("node_modules").is_dir() {
        let installed = Command::new("npm").arg("ci").current_dir(&official).status();
        assert!(installed.expect("npm is installed").success(), "npm ci failed");
    }
    for form in [ArrayForm::Native, ArrayForm::Portable] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for (name, outcome) in outcomes(form) {
            let file = dir.path().join(name + ".json");
            std::fs::write(file, outcome.emitted.to_string()).expect("the temporary folder takes files");
        }
        let judged = Command::new("node").arg("judge.mjs").arg(dir.path()).current_dir(&official).output();
        let judged = judged.expect("node is installed");
        assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
        let result: Json = serde_json::from_slice(&judged.stdout).expect("the judge prints JSON");
        let old: &[&str] = if form == ArrayForm::Native { &NATIVE_ONLY } else { &[] };
        let with_types: BTreeSet<&str> = old.iter().chain(&SCHEMA_5_ONLY).copied().collect();
        expect(&result, "schema5", 95, &BTreeSet::new());
        expect(&result, "schema4", 95, &with_types);
        expect(&result, "schema3", 95, &with_types);
        // Cases with types only schema 5 has have no polyglot handshake.
        let old: BTreeSet<&str> = old.iter().copied().collect();
        expect(&result, "schema5 polyglot", 92, &BTreeSet::new());
        expect(&result, "schema4 polyglot", 92, &old);
        expect(&result, "schema3 polyglot", 92, &old);
    }
}

fn expect(result: &Json, generation: &str, cases: usize, failing: &BTreeSet<&str>) {
    let failed = result[generation]["failed"].as_object().expect("the judge lists failures");
    let names: BTreeSet<&str> = failed.keys().map(String::as_str).collect();
    assert_eq!(names, *failing, "{generation}: {failed:#?}");
    let passed = result[generation]["passed"].as_u64().expect("the judge counts");
    assert_eq!(passed as usize, cases - failing.len(), "{generation}");
}
