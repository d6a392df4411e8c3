//! Log lines: for people on a terminal, for machines otherwise, always on standard error.

use crate::config::{Config, ConfigError, LogFormat, Source};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts writing log lines. Once per process; a program that has a subscriber of its own keeps it.
pub(crate) fn start(config: &Config, source: &Source) -> Result<(), ConfigError> {
    let filter = EnvFilter::builder().parse(&config.log).map_err(|error| ConfigError::Wrong {
        key: "log",
        source_of_it: source.clone(),
        problem: format!("must be a level or a list of target=level: {error}"),
    })?;
    let json = match config.log_format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Human => false,
        LogFormat::Json => true,
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if json {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    } else {
        lines.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init()
    };
    // Err: the program installed its own subscriber before; its lines go where it wants them.
    drop(started);
    Ok(())
}
