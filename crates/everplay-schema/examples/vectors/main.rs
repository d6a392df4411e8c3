//! Runs conformance cases through the encoder and the decoder.
//!
//! `cargo run -p everplay-schema --example vectors -- DIR [--emit OUT] [--portable] [--handshakes]`
//!
//! DIR holds one JSON file per case: a schema, mutations, and what the official encoder sent and its decoder held.
//! Each failure is one line, then `N passed, N failed`. `--emit` writes the same files with our bytes in the place of
//! the official ones, for other decoders to judge; with `--handshakes` also the handshakes for older generations
//! and full states for returning clients.
//! Array changes are written in the native form unless `--portable`.

#[path = "case.rs"]
mod case;
#[path = "compare.rs"]
mod compare;
#[path = "run.rs"]
mod run;
#[path = "schema.rs"]
mod schema;
#[path = "views.rs"]
mod views;
#[path = "world.rs"]
mod world;

use everplay_schema::ArrayForm;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    match arguments().and_then(|arguments| run_all(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

struct Arguments {
    dir: PathBuf,
    emit: Option<PathBuf>,
    form: ArrayForm,
    handshakes: bool,
}

fn arguments() -> Result<Arguments, String> {
    let usage = "usage: vectors DIR [--emit OUT] [--portable] [--handshakes]";
    let mut arguments = std::env::args().skip(1);
    let (mut dir, mut emit, mut form, mut handshakes) = (None, None, ArrayForm::Native, false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--emit" => emit = Some(arguments.next().ok_or(usage)?.into()),
            "--portable" => form = ArrayForm::Portable,
            "--handshakes" => handshakes = true,
            "--native" => form = ArrayForm::Native,
            _ if dir.is_none() && !argument.starts_with("--") => dir = Some(argument.into()),
            _ => return Err(usage.to_owned()),
        }
    }
    Ok(Arguments { dir: dir.ok_or(usage)?, emit, form, handshakes })
}

fn run_all(arguments: &Arguments) -> Result<bool, String> {
    if let Some(out) = &arguments.emit {
        std::fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    }
    let (mut passed, mut failed) = (0, 0);
    for path in case::files(&arguments.dir)? {
        let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let outcome =
            case::load(&path).and_then(|case| run::run(&case, arguments.form, arguments.handshakes));
        match outcome {
            Err(message) => {
                failed += 1;
                println!("FAIL {name}: {message}");
            }
            Ok(outcome) => {
                if outcome.failures.is_empty() {
                    passed += 1;
                } else {
                    failed += 1;
                    for failure in &outcome.failures {
                        println!("FAIL {name}: {failure}");
                    }
                }
                if let (Some(out), Some(file)) = (&arguments.emit, path.file_name()) {
                    let text =
                        serde_json::to_string_pretty(&outcome.emitted).map_err(|error| error.to_string())?;
                    let file = out.join(file);
                    std::fs::write(&file, text + "\n")
                        .map_err(|error| format!("{}: {error}", file.display()))?;
                }
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(failed == 0)
}
